from typing import Any

import pytest

from recaudit.report import Result, parse_result
from recaudit.report import sentences as told
from recaudit.report.sentences import best_feature, leak, membership_verdict, null_control, stealing_verdict
from recaudit.report.views import Served, Stealing, served


def set_leak(values: dict[str, Any], serving: str, attack: str, metric: str, *ends: float | None) -> None:
    """Plant value, low and high of a figure of the candidates; ``*`` stands for all attacks."""
    found = [
        figure
        for figure in values["figures"]
        if (figure["serving"], figure["metric"], figure["users"]) == (serving, metric, "candidates")
        and (figure["attack"] == attack or (attack == "*" and ": " not in figure["attack"]))
    ]
    assert found
    for figure in found:
        figure |= dict(zip(("value", "low", "high"), ends, strict=True))


def at_chance(values: dict[str, Any]) -> dict[str, Any]:
    set_leak(values, "everyone-folded", "*", "auc", 0.512, 0.494, 0.53)
    set_leak(values, "everyone-folded", "*", "tpr@0.01", 0.012, 0.004, 0.03)
    return values


def planted(values: dict[str, Any], **agreements: float) -> dict[str, Any]:
    """Set agreement@50 on unqueried users, with an interval of 0.01 either side."""
    for figure in values["figures"]:
        name = figure["attack"]
        if (figure["metric"], figure["users"]) == ("agreement@50", "unqueried") and name in agreements:
            figure |= {"value": (value := agreements[name]), "low": value - 0.01, "high": value + 0.01}
    return values


def blocks(values: dict[str, Any]) -> tuple[Served, ...]:
    return served(parse_result(values))


def headline(values: dict[str, Any]) -> str:
    return plain(" ".join(leak(blocks(values)[0])))


def notes(values: dict[str, Any]) -> list[str]:
    return [plain(str(note)) for note in told.notes(parse_result(values))]


def verdict(values: dict[str, Any]) -> str:
    return plain(" ".join(stealing_verdict(Stealing(parse_result(values)))))


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def without(values: dict[str, Any], *attacks: str) -> dict[str, Any]:
    return values | {"figures": [figure for figure in values["figures"] if figure["attack"] not in attacks]}


def test_the_verdict_names_the_strongest_attack_the_floor_and_the_ceiling(values: dict[str, Any]) -> None:
    assert verdict(values) == (
        "With 272 of the victim’s lists, the histories of 302 of 3,020 users (10 %) and auxiliary data of "
        "3,020 other users, the strongest attack (PTAQ) reproduces 64.7 % (62.3–67.1) of the items that the "
        "victim recommends to users whose lists nobody asked for. The most popular unseen items, with no "
        "attack at all, get 28.0 % (25.6–30.4). The victim trained again with another seed gets 71.0 % "
        "(68.6–73.4). PTAQ goes 85 % of the way from the popular list to the retrained victim."
    )


def test_the_verdict_gives_each_attack_only_what_it_had(values: dict[str, Any]) -> None:
    one = verdict(without(values, "QSD", "PTQ", "PTA", "PTAQ"))
    assert one.startswith(
        "With the histories of 302 of 3,020 users (10 %), the one attack of this audit (PTD)"
    )
    other = verdict(without(values, "PTD", "PTQ", "PTA", "PTAQ"))
    assert other.startswith("With 272 of the victim’s lists, the one attack")


def test_the_verdict_tells_unseen_users_and_what_needs_no_attack(sequential_values: dict[str, Any]) -> None:
    text = verdict(sequential_values)
    assert "(PTAQ) reproduces 61.3 % (59.3–63.3)" in text
    for sentence in (
        "On users whom the attacker has never seen, it reproduces 60.4 % (59.6–61.2).",
        "One list, the same for everybody and chosen in hindsight, gets 26.2 % (24.2–28.2).",
        "A model of the auxiliary data alone, which asks the victim nothing, gets 48.1 % (46.1–50.1).",
    ):
        assert sentence in text
    assert "says little" not in text


@pytest.mark.parametrize("attack", ["constant", "auxiliary"])
def test_a_reference_is_never_the_strongest(sequential_values: dict[str, Any], attack: str) -> None:
    stealing = Stealing(parse_result(planted(sequential_values, **{attack: 0.99})))
    assert stealing.strongest == "PTAQ"
    assert stealing.rows == (
        *("popularity", "constant", "auxiliary"),
        *("QSD5", "QSD30", "QSD5(random)", "PTD", "PTAQ"),
        "retrained",
    )


def test_an_attack_below_the_floor_is_called_so(values: dict[str, Any]) -> None:
    assert any("QSD is beaten by the popular list" in note for note in notes(values))
    assert not any("beaten" in note for note in notes(without(values, "QSD")))
    assert any("QSD, PTD are beaten by the popular list" in note for note in notes(planted(values, PTD=0.28)))


def test_an_undertrained_victim_is_called_so(values: dict[str, Any]) -> None:
    assert not any("undertrained" in note for note in notes(values))
    for figure in values["figures"]:
        if figure["attack"] == "victim" and figure["metric"] == "recall@50":
            figure["value"] = 0.25
    assert any("may be undertrained" in note for note in notes(values))


def test_a_victim_with_one_list_for_all_is_called_so_before_all_else(
    sequential_values: dict[str, Any],
) -> None:
    values = planted(sequential_values, constant=0.88, retrained=0.9, PTAQ=0.89)
    assert notes(values)[0] == (
        "This recommender serves nearly the same list to everybody, but for what each user has seen: one "
        "constant list agrees 88.0 % (87.0–89.0) with it. What the attacks reach says little about the "
        "model: there is little to steal."
    )
    assert verdict(values).endswith("says little about this recommender: see below.")
    close = planted(values, popularity=0.87)
    assert not any("lie close together" in note for note in notes(close)), "said once"
    apart = planted(values, popularity=0.65, constant=0.3, retrained=0.7)
    assert any("lie close together" in note for note in notes(apart))
    reached = planted(values, constant=0.7, retrained=0.72)
    assert notes(reached)[0].startswith("One constant list, the same for everybody and chosen in hindsight,")


def test_low_diversity_alone_is_called_so(sequential_values: dict[str, Any]) -> None:
    for figure in sequential_values["figures"]:
        if figure["metric"] == "diversity@50":
            figure |= {"value": 0.1, "low": 0.08, "high": 0.12}
    assert "two users’ lists differ in 10.0 % (8.0–12.0) of their items" in notes(sequential_values)[0]


def test_attacks_no_better_than_no_attack_are_called_so(sequential_values: dict[str, Any]) -> None:
    assert notes(sequential_values)[1:] == [
        "QSD5, QSD5(random) are no better than one constant list for everybody, which is chosen in hindsight "
        "and gets 26.2 % (24.2–28.2).",
        "QSD5, QSD30, QSD5(random) are no better than the auxiliary model alone, which gets 48.1 % "
        "(46.1–50.1), asked nothing of the victim and saw none of its users; PTD is not clearly better.",
    ]


NO_TIMES, MIDDLE = "The data have no times", "cut out of the middle of histories"


@pytest.mark.parametrize(
    ("times", "by", "found"),
    [
        (True, "time", ()),
        (None, None, ()),
        (False, "random", (NO_TIMES, MIDDLE, "With times, split.heldout_by=time would judge")),
        (True, "random", (MIDDLE, "next. split.heldout_by=time judges each user’s last items.")),
        (None, "random", (MIDDLE, "Where the data have times, split.heldout_by=time judges")),
    ],
)
def test_histories_without_a_known_order_are_told(
    sequential_values: dict[str, Any],
    values: dict[str, Any],
    times: bool | None,
    by: str | None,
    found: tuple[str, ...],
) -> None:
    for one, reads in ((sequential_values, True), (values, False)):
        one["data"] |= {} if times is None else {"times": times}
        one["spec"]["split"] |= {} if by is None else {"heldout_by": by}
        text = " ".join(notes(one))
        assert [words in text for words in (NO_TIMES, MIDDLE)] == [
            reads and words in found for words in (NO_TIMES, MIDDLE)
        ]
        assert not reads or all(words in text for words in found)


def test_membership_of_a_victim_that_reads_histories_tells_of_their_order(
    membership_values: dict[str, Any],
) -> None:
    membership_values["data"]["times"] = False
    assert NO_TIMES not in " ".join(notes(membership_values))
    membership_values["cards"]["victim"]["needs"] = ["histories"]
    assert NO_TIMES in " ".join(notes(membership_values))


def test_the_membership_verdict_is_on_everyone_folded_with_popular_beside_it(
    membership_result: Result,
) -> None:
    assert [plain(text) for text in membership_verdict(membership_result)] == [
        "Everyone folded in: the strongest of 9 attacks, stack, tells members from strangers with an AUC of 0.634 "
        "(0.616–0.652), where 0.5 is chance, and finds 6.3 % (5.5–7.1) of members while wrongly naming 1 % of "
        "strangers. stack retrains on the candidates’ data, as an auditor can; with data of the attacker’s own, "
        "stack (stranger) has an AUC of 0.556 (0.538–0.574).",
        "Popular list for strangers: the strongest of 9 attacks, stack, tells members from strangers with an AUC "
        "of 0.957 (0.939–0.975), where 0.5 is chance, and finds 56.3 % (55.5–57.1) of members while wrongly naming "
        "1 % of strangers. How strangers are served explains this: the detector “blind: popular share” alone "
        "reaches 0.951 (0.933–0.969).",
    ]


@pytest.mark.parametrize(("candidates", "rates"), [(150, "1 % and at 0.1 %"), (1998, "0.1 %"), (2000, "")])
def test_a_rate_needs_as_many_strangers(
    membership_values: dict[str, Any], candidates: int, rates: str
) -> None:
    membership_values["data"] |= {"candidate_users": candidates, "member_users": candidates // 2}
    found = [note for note in notes(membership_values) if "no false positive" in note]
    assert [note.startswith(f"TPR at {rates} means here") for note in found] == ([True] if rates else [])
    few = "without wrongly naming one of the 75 strangers" in headline(membership_values)
    assert few is (candidates == 150)


def test_chance_is_no_leak_found_by_these_attacks(membership_values: dict[str, Any]) -> None:
    assert headline(at_chance(membership_values)) == (
        "Everyone folded in: the strongest of 9 attacks, stack, has an AUC of 0.512 (0.494–0.530): its interval "
        "contains 0.5, which is chance. No leak was found by these attacks."
    )


@pytest.mark.parametrize(
    "ends", [(0.512, 0.1, 0.9), (0.786, 0.449, 0.948), (0.5, 0.0, 0.7), (1.0, None, None)]
)
def test_no_leak_is_never_said_where_a_plain_one_is_not_ruled_out(
    membership_values: dict[str, Any], ends: tuple[float | None, ...]
) -> None:
    found = at_chance(membership_values)
    for figure in found["figures"]:
        if (figure["attack"], figure["metric"]) == ("stack", "auc"):
            figure.update(zip(("value", "low", "high"), ends, strict=True), n=4)
    assert "No leak was found" not in headline(found)
    assert headline(found).endswith(
        "Too few candidates to tell: a leak that is plain with more of them is not ruled out."
    )


@pytest.mark.parametrize(
    ("attack", "metric", "ends", "words"),
    [
        ("rich", "auc", (0.511, 0.503, 0.519), "Yet the AUC of rich is above chance."),
        ("lira-items", "tpr@0.01", (0.08, 0.05, 0.11), "members are found: lira-items (8.0 % (5.0–11.0))."),
        (
            "blind: list constancy",
            "auc",
            (0.8, 0.7, 0.9),
            "list constancy” has an AUC of 0.800 (0.700–0.900).",
        ),
    ],
)
def test_another_row_above_chance_is_a_leak(
    membership_values: dict[str, Any], attack: str, metric: str, ends: tuple[float, float, float], words: str
) -> None:
    set_leak(at_chance(membership_values), "everyone-folded", attack, metric, *ends)
    assert "No leak" not in headline(membership_values)
    assert headline(membership_values).endswith(words)


def test_the_simplest_attack_is_explained_where_the_strongest_is_not(
    membership_values: dict[str, Any],
) -> None:
    for feature in ("popular share", "best single feature"):
        set_leak(membership_values, "popular", f"blind: {feature}", "auc", 0.9, 0.88, 0.92)
    set_leak(membership_values, "popular", "blind: list constancy", "auc", 0.8, 0.78, 0.82)
    text = " ".join(leak(blocks(membership_values)[1]))
    assert text.endswith(
        "difference has an AUC of 0.852 (0.834–0.870); how strangers are served explains this: the detector "
        "“blind: popular share” alone reaches 0.900 (0.880–0.920)."
    )
    for feature in ("popular share", "best single feature", "list constancy"):
        set_leak(membership_values, "popular", f"blind: {feature}", "auc", 0.833, 0.8, 0.85)
    assert "explains" not in " ".join(leak(blocks(membership_values)[1]))


def test_where_all_are_served_alike_the_serving_explains_nothing(membership_values: dict[str, Any]) -> None:
    set_leak(membership_values, "everyone-folded", "blind: history length", "auc", 0.62, 0.6, 0.64)
    text = headline(membership_values)
    assert "One plain feature does as well or better: the detector “blind: history length” alone" in text
    assert "served" not in text


@pytest.mark.parametrize(("low", "high"), [(0.51, 0.55), (0.44, 0.49)])
def test_a_null_control_off_chance_is_to_be_distrusted(
    membership_values: dict[str, Any], low: float, high: float
) -> None:
    set_leak(membership_values, "everyone-folded", "null: stack", "auc", 0.5 * (low + high), low, high)
    first, beside = membership_verdict(parse_result(membership_values))
    assert "Its null control misses 0.5: distrust this measurement." in first
    assert "distrust" not in beside
    assert notes(membership_values)[0].startswith(
        "Everyone folded in: the null control of the strongest attack misses"
    )
    own, other = map(null_control, blocks(membership_values))
    assert (
        f"misses it for stack {0.5 * (low + high):.3f} ({low:.3f}–{high:.3f}): distrust this measurement."
        in own
    )
    assert other.endswith("the AUC is 0.492 to 0.508; every interval contains 0.5, as it must.")


def test_another_null_control_off_chance_is_told_and_no_more(membership_values: dict[str, Any]) -> None:
    set_leak(membership_values, "everyone-folded", "null: rich", "auc", 0.53, 0.51, 0.55)
    own = null_control(blocks(membership_values)[0])
    assert "misses it for rich 0.530 (0.510–0.550): one interval in twenty does by chance" in own
    assert not any("null control" in note for note in notes(membership_values))
    assert "distrust" not in " ".join(membership_verdict(parse_result(membership_values)))


def test_worse_than_chance_is_called_so(membership_values: dict[str, Any]) -> None:
    set_leak(membership_values, "everyone-folded", "*", "auc", 0.4, 0.38, 0.42)
    assert "its interval is below 0.5" in headline(membership_values)
    assert any("to an attacker who turns them round" in note for note in notes(membership_values))


def test_without_everyone_folded_the_next_serving_is_the_headline(membership_values: dict[str, Any]) -> None:
    membership_values["figures"] = [f for f in membership_values["figures"] if f["serving"] == "popular"]
    (paragraph,) = membership_verdict(parse_result(membership_values))
    assert paragraph.startswith("Popular list for strangers: the strongest of 9")
    assert any("Serving everyone folded in was not measured" in note for note in notes(membership_values))


def test_one_seed_is_said_once(both_values: dict[str, Any]) -> None:
    for figure in both_values["figures"]:
        figure["seeds"] = 1
    assert sum(note.startswith("One seed:") for note in notes(both_values)) == 1


def test_a_blind_accuracy_that_is_missing_is_no_fault(membership_values: dict[str, Any]) -> None:
    row = next(f for f in membership_values["figures"] if f["attack"] == "blind: popular share")
    membership_values["figures"].append(
        row | {"metric": "accuracy", "value": None, "low": None, "high": None}
    )
    assert not any("not available" in note for note in notes(membership_values))
    row["value"] = None
    assert any("not available" in note for note in notes(membership_values))


def test_the_best_single_feature_is_told_over_the_seeds(membership_result: Result) -> None:
    assert best_feature(served(membership_result)[0]) == (
        "The best single feature was “list constancy” in 3, “popular share” in 2 of 5 seeds."
    )
