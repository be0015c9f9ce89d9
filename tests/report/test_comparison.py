"""Whether attacks beat what needs none, from planted figures of each case."""

import pytest

from recaudit.figures import Figure
from recaudit.report.comparison import one_list_for_all, without_attack


def planted(value: float | None, low: float | None = None, high: float | None = None) -> Figure:
    about = {"data": "d", "victim": "v", "attack": "a", "users": "u", "metric": "agreement@50", "seeds": 1}
    return Figure(value=value, low=low, high=high, **about)


def said(one: Figure) -> str:
    return f"<{one.value}>"


SAME = "This recommender serves nearly the same list to everybody, but for what each user has seen: "
LITTLE = ". What the attacks reach says little about the model: there is little to steal."


@pytest.mark.parametrize(
    ("constant", "diversity", "seen"),
    [
        (planted(0.88), None, "one constant list agrees <0.88> with it"),
        (planted(0.8), planted(0.9), None),
        (
            planted(0.75),
            planted(0.2),
            "one constant list agrees <0.75> with it, and two users’ lists differ in <0.2> of their items",
        ),
        (None, planted(0.0), "two users’ lists differ in <0.0> of their items"),
        (planted(None), planted(0.05), "two users’ lists differ in <0.05> of their items"),
    ],
)
def test_nearly_the_same_list_for_everybody_is_called_so(constant, diversity, seen) -> None:
    found = one_list_for_all(constant, planted(0.99), diversity, said)
    assert found is not None
    assert found.startswith(SAME)
    assert found.endswith(LITTLE)
    assert seen is None or found == SAME + seen + LITTLE


@pytest.mark.parametrize(
    ("constant", "ceiling", "reached"),
    [
        (planted(0.4, 0.38, 0.42), planted(0.4), True),
        (planted(0.5, 0.48, 0.52), planted(0.4), True),
        (planted(0.4, 0.3, 0.5), planted(0.5), True),  # within its interval
        (planted(0.4, 0.3, 0.5), planted(0.51), False),
        (planted(0.45, 0.44, 0.46), planted(0.5), True),  # nine tenths of it
        (planted(0.44, 0.43, 0.45), planted(0.5), False),
        (planted(0.44), planted(0.5), False),
        (planted(0.1, 0.08, 0.12), planted(0.7), False),
    ],
)
def test_a_ceiling_that_one_list_reaches_is_called_so(constant, ceiling, reached) -> None:
    found = one_list_for_all(constant, ceiling, planted(0.7), said)
    if reached:
        assert found == (
            "One constant list, the same for everybody and chosen in hindsight, agrees "
            f"<{constant.value}> with the victim’s lists; the victim trained again with another seed agrees "
            f"<{ceiling.value}>. Agreement cannot tell a clone from that list here, and what the attacks "
            "reach says little about the model."
        )
    else:
        assert found is None


@pytest.mark.parametrize("gone", [None, planted(None)])
def test_what_was_not_measured_is_not_judged(gone) -> None:
    assert one_list_for_all(gone, planted(0.7), gone, said) is None
    assert one_list_for_all(planted(0.6), gone, None, said) is None
    assert without_attack({"PTD": planted(0.1)}, gone, gone, said) == []
    assert without_attack({"PTD": gone}, planted(0.5), planted(0.5), said) == []


def test_attacks_that_beat_nothing_are_named_by_what_they_fail_at() -> None:
    attacks = {
        "QSD5": planted(0.2, 0.19, 0.21),
        "QSD10": planted(0.3, 0.29, 0.31),
        "PTD": planted(0.5, 0.47, 0.53),
        "PTQ": planted(0.52, 0.50, 0.54),
        "PTAQ": planted(0.6, 0.57, 0.63),
    }
    assert without_attack(attacks, planted(0.3, 0.28, 0.32), planted(0.49, 0.48, 0.5), said) == [
        "QSD5, QSD10 are no better than one constant list for everybody, which is chosen in hindsight and "
        "gets <0.3>.",
        "QSD5, QSD10 are no better than the auxiliary model alone, which gets <0.49>, asked nothing of the "
        "victim and saw none of its users; PTD is not clearly better.",
    ]
    assert without_attack(attacks, None, planted(0.1, 0.05, 0.15), said) == []


@pytest.mark.parametrize(
    ("own", "reference", "found"),
    [
        (planted(0.5, 0.4, 0.6), planted(0.5, 0.4, 0.6), "no better"),
        (planted(0.5, 0.45, 0.55), planted(0.46, 0.45, 0.47), "not clearly better"),  # its interval
        (planted(0.5, 0.49, 0.51), planted(0.46, 0.4, 0.52), "not clearly better"),  # the reference's
        (planted(0.5, 0.47, 0.53), planted(0.46, 0.42, 0.49), None),  # they overlap, but hold no mean
        (planted(0.5), planted(0.49), None),
        (planted(0.48), planted(0.49), "no better"),
    ],
)
def test_not_clearly_better_is_a_mean_within_the_others_interval(own, reference, found) -> None:
    (text,) = without_attack({"PTD": own}, None, reference, said) or [None]
    if found is None:
        assert text is None
    else:
        assert text.startswith(f"PTD is {found} than the auxiliary model alone")
