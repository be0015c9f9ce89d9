from typing import Any

import pytest

from recaudit.report import Result, parse_result
from recaudit.report.membership_rows import LADDER, Membership, arrange_membership
from recaudit.report.membership_words import (
    best_single,
    conclusion,
    membership_caution,
    membership_verdict,
    method,
    needs,
    null_words,
    serving_words,
)
from recaudit.report.rows import arrange
from recaudit.report.words import caution


def _arranged(values: dict[str, Any]) -> Membership:
    membership = arrange_membership(parse_result(values))
    assert membership is not None
    return membership


def _set(values: dict[str, Any], serving: str, attack: str, metric: str, *ends: float | None) -> None:
    """Plant value, low and high of a figure of the candidates; ``*`` stands for the whole ladder."""
    found = [
        figure
        for figure in values["figures"]
        if (figure["serving"], figure["metric"], figure["users"]) == (serving, metric, "candidates")
        and (figure["attack"] == attack or (attack == "*" and figure["attack"] in LADDER))
    ]
    assert found
    for figure in found:
        figure |= dict(zip(("value", "low", "high"), ends, strict=True))


def _headline(values: dict[str, Any]) -> str:
    membership = _arranged(values)
    return " ".join(conclusion(membership.blocks[0], membership.non_members))


def test_the_verdict_is_on_everyone_folded_with_popular_beside_it(membership_result: Result) -> None:
    membership = arrange_membership(membership_result)
    assert membership is not None
    assert membership_verdict(membership) == (
        "With everyone folded in, the highest of 9 rungs, stack, tells members from strangers with an "
        "AUC of 0.634 (0.616–0.652), where 0.5 is chance, and finds 6 of 100 members (6–7) while wrongly "
        "naming 1 of 100 strangers. stack retrains on the candidates’ data, as an auditor can; with "
        "data of the attacker’s own, the highest rung, stack (stranger), has an AUC of 0.556 (0.538–0.574).",
        "With the popular list for strangers, the highest of 9 rungs, stack, tells members from "
        "strangers with an AUC of 0.957 (0.939–0.975), where 0.5 is chance, and finds 56 of 100 members "
        "(55–57) while wrongly naming 1 of 100 strangers. This AUC is explained by how strangers are served: "
        "the blind detector “popular share” alone reaches 0.951 (0.933–0.969).",
    )


@pytest.mark.parametrize(
    ("value", "low", "words"),
    [
        (0.0, 0.0, "finds no member while wrongly naming 1 of 100 strangers"),
        (0.004, 0.0, "finds fewer than 1 of 100 members while wrongly naming 1 of 100 strangers"),
        (0.123, 0.101, "finds 12 of 100 members (10–15) while wrongly naming 1 of 100 strangers"),
    ],
)
def test_the_rate_is_told_in_people(
    membership_values: dict[str, Any], value: float, low: float, words: str
) -> None:
    _set(membership_values, "everyone-folded", "stack", "tpr@0.01", value, low, 0.151)
    assert words in _headline(membership_values)


def test_with_few_strangers_none_is_named(membership_values: dict[str, Any]) -> None:
    membership_values["data"] |= {"candidate_users": 150, "member_users": 75}
    text = _headline(membership_values)
    assert "finds 6 of 100 members (6–7) without wrongly naming one of the 75 strangers" in text
    notes = membership_caution(_arranged(membership_values))
    assert notes == [
        "TPR at 1 % and at 0.1 % false positives means here: no false positive at all among 75 non-members. "
        "It hangs on the few who look likeliest."
    ]


@pytest.mark.parametrize(("candidates", "said"), [(1998, True), (2000, False)])
def test_a_thousandth_needs_a_thousand_strangers(
    membership_values: dict[str, Any], candidates: int, said: bool
) -> None:
    membership_values["data"] |= {"candidate_users": candidates, "member_users": candidates // 2}
    notes = membership_caution(_arranged(membership_values))
    assert any("no false positive at all among 999 non-members" in note for note in notes) is said


def test_chance_is_no_leak_found_by_these_attacks(membership_values: dict[str, Any]) -> None:
    _set(membership_values, "everyone-folded", "*", "auc", 0.512, 0.494, 0.53)
    _set(membership_values, "everyone-folded", "*", "tpr@0.01", 0.012, 0.004, 0.03)
    assert _headline(membership_values) == (
        "With everyone folded in, no leak found by these attacks: the highest of 9 rungs, stack, "
        "has an AUC of 0.512 (0.494–0.530): its interval contains 0.5, which is chance."
    )


def test_a_blind_detector_above_chance_is_a_leak(membership_values: dict[str, Any]) -> None:
    _set(membership_values, "everyone-folded", "*", "auc", 0.512, 0.494, 0.53)
    _set(membership_values, "everyone-folded", "*", "tpr@0.01", 0.012, 0.004, 0.03)
    _set(membership_values, "everyone-folded", "blind: list constancy", "auc", 0.8, 0.7, 0.9)
    text = _headline(membership_values)
    assert "no leak" not in text
    assert text.endswith("“list constancy” tells members from strangers with an AUC of 0.800 (0.700–0.900).")


def test_an_interval_above_chance_elsewhere_is_a_leak(membership_values: dict[str, Any]) -> None:
    _set(membership_values, "everyone-folded", "*", "auc", 0.512, 0.494, 0.53)
    _set(membership_values, "everyone-folded", "rich", "auc", 0.511, 0.503, 0.519)
    text = _headline(membership_values)
    assert "no leak" not in text
    assert "contains 0.5, which is chance; those of rich lie above it" in text


def test_a_few_members_who_stand_out_are_a_leak(membership_values: dict[str, Any]) -> None:
    _set(membership_values, "everyone-folded", "*", "auc", 0.512, 0.494, 0.53)
    _set(membership_values, "everyone-folded", "*", "tpr@0.01", 0.012, 0.004, 0.03)
    _set(membership_values, "everyone-folded", "lira-items", "tpr@0.01", 0.08, 0.05, 0.11)
    text = _headline(membership_values)
    assert "no leak" not in text
    assert text.endswith("more than 1 % of members are found: lira-items (8.0 %, 5.0–11.0).")


def test_the_published_attack_is_explained_where_the_strongest_is_not(
    membership_values: dict[str, Any],
) -> None:
    for metric in ("popular share", "best single feature"):
        _set(membership_values, "popular", f"blind: {metric}", "auc", 0.9, 0.88, 0.92)
    _set(membership_values, "popular", "blind: list constancy", "auc", 0.8, 0.78, 0.82)
    membership = _arranged(membership_values)
    text = " ".join(conclusion(membership.blocks[1], membership.non_members))
    assert text.endswith(
        "The published attack (difference) has an AUC of 0.852 (0.834–0.870); this AUC is explained by how "
        "strangers are served: the blind detector “popular share” alone reaches 0.900 (0.880–0.920)."
    )
    for feature in ("popular share", "best single feature", "list constancy"):
        _set(membership_values, "popular", f"blind: {feature}", "auc", 0.833, 0.8, 0.85)
    membership = _arranged(membership_values)
    assert "explained" not in " ".join(conclusion(membership.blocks[1], membership.non_members))


def test_where_all_are_served_alike_the_serving_explains_nothing(membership_values: dict[str, Any]) -> None:
    _set(membership_values, "everyone-folded", "blind: history length", "auc", 0.62, 0.6, 0.64)
    text = _headline(membership_values)
    told = "A single feature does as well or better: the blind detector “history length” alone reaches 0.620"
    assert told in text
    assert "served" not in text


@pytest.mark.parametrize(("low", "high"), [(0.51, 0.55), (0.44, 0.49)])
def test_a_null_control_off_chance_is_to_be_distrusted(
    membership_values: dict[str, Any], low: float, high: float
) -> None:
    assert "distrusted" not in " ".join(membership_verdict(_arranged(membership_values)))
    _set(membership_values, "everyone-folded", "null: stack", "auc", 0.5 * (low + high), low, high)
    membership = _arranged(membership_values)
    verdict, beside = membership_verdict(membership)
    assert "Its null control misses 0.5: this measurement is to be distrusted." in verdict
    assert "distrusted" not in beside
    assert membership_caution(membership)[0].startswith(
        "Everyone folded in: the null control of the highest rung misses 0.5"
    )
    told = null_words(membership.blocks[0])
    assert f"misses it for stack {0.5 * (low + high):.3f} ({low:.3f}–" in told
    assert "this measurement is to be distrusted" in told
    assert null_words(membership.blocks[1]).endswith("every interval contains 0.5, as it must.")


def test_another_null_control_off_chance_is_told_and_no_more(membership_values: dict[str, Any]) -> None:
    _set(membership_values, "everyone-folded", "null: rich", "auc", 0.53, 0.51, 0.55)
    membership = _arranged(membership_values)
    told = null_words(membership.blocks[0])
    assert "misses it for rich 0.530 (0.510–0.550): one interval in twenty does by chance" in told
    assert not any("null control" in note for note in membership_caution(membership))
    assert "distrusted" not in " ".join(membership_verdict(membership))


def test_worse_than_chance_is_called_so(membership_values: dict[str, Any]) -> None:
    _set(membership_values, "everyone-folded", "*", "auc", 0.4, 0.38, 0.42)
    assert "its interval is below 0.5" in _headline(membership_values)
    assert any(
        "to somebody who turns them round" in n for n in membership_caution(_arranged(membership_values))
    )


def test_without_everyone_folded_the_next_serving_is_the_headline(membership_values: dict[str, Any]) -> None:
    membership_values["figures"] = [f for f in membership_values["figures"] if f["serving"] == "popular"]
    membership = _arranged(membership_values)
    (paragraph,) = membership_verdict(membership)
    assert paragraph.startswith("With the popular list for strangers, the highest of 9")
    assert any(
        "Serving everyone folded in was not measured" in note for note in membership_caution(membership)
    )


def test_one_seed_is_said_once(both_values: dict[str, Any]) -> None:
    for figure in both_values["figures"]:
        figure["seeds"] = 1
    result = parse_result(both_values)
    assert sum(note.startswith("One seed:") for note in caution(result, arrange(result))) == 1


def test_a_blind_accuracy_that_is_missing_is_no_fault(membership_values: dict[str, Any]) -> None:
    row = next(f for f in membership_values["figures"] if f["attack"] == "blind: popular share")
    membership_values["figures"].append(
        row | {"metric": "accuracy", "value": None, "low": None, "high": None}
    )
    result = parse_result(membership_values)
    assert not any("not available" in note for note in caution(result, arrange(result)))
    row["value"] = None
    result = parse_result(membership_values)
    assert any("not available" in note for note in caution(result, arrange(result)))


def test_each_rung_says_what_it_needs_and_does() -> None:
    assert {attack: needs(attack) for attack in ("difference", "stack", "stack (stranger)", "novel")} == {
        "difference": "own data",
        "stack": "retrains on candidates’ data",
        "stack (stranger)": "own data",
        "novel": "not known",
    }
    assert len({method(attack) for attack in LADDER}) == len(LADDER)
    assert "does not describe" in method("novel")
    assert "does not describe" in serving_words("by post")


def test_the_best_single_feature_is_told_over_the_seeds(membership_result: Result) -> None:
    membership = arrange_membership(membership_result)
    assert membership is not None
    assert best_single(membership.blocks[0]) == (
        "The best single feature was “list constancy” in 3, “popular share” in 2 of 5 seeds."
    )


def test_no_word_promises_too_much(membership_values: dict[str, Any]) -> None:
    _set(membership_values, "everyone-folded", "*", "auc", 0.512, 0.494, 0.53)
    texts = [*membership_verdict(_arranged(membership_values)), *map(method, LADDER)]
    texts += [
        serving_words(serving) for serving in ("everyone-folded", "popular", "popular-random", "fold-in")
    ]
    assert not any(
        word in text.lower() for text in texts for word in ("private", "privacy", "safe", "secure")
    )
