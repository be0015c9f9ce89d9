"""Whether attacks beat what needs none, from planted figures of each case."""

from typing import NamedTuple

import pytest

from recaudit.report.comparison import one_list_for_all, without_attack


class Planted(NamedTuple):
    value: float | None
    low: float | None = None
    high: float | None = None


def said(one: Planted) -> str:
    return f"<{one.value}>"


SAME = "This recommender serves nearly the same list to everybody, but for what each user has seen: "
LITTLE = ". What the attacks reach says little about the model: there is little to steal."


@pytest.mark.parametrize(
    ("constant", "diversity", "seen"),
    [
        (Planted(0.88), None, "one constant list agrees <0.88> with it"),
        (Planted(0.8), Planted(0.9), None),
        (
            Planted(0.75),
            Planted(0.2),
            "one constant list agrees <0.75> with it, and two users’ lists differ in <0.2> of their items",
        ),
        (None, Planted(0.0), "two users’ lists differ in <0.0> of their items"),
        (Planted(None), Planted(0.05), "two users’ lists differ in <0.05> of their items"),
    ],
)
def test_nearly_the_same_list_for_everybody_is_called_so(constant, diversity, seen) -> None:
    found = one_list_for_all(constant, Planted(0.99), diversity, said)
    assert found is not None
    assert found.startswith(SAME)
    assert found.endswith(LITTLE)
    assert seen is None or found == SAME + seen + LITTLE


@pytest.mark.parametrize(
    ("constant", "ceiling", "reached"),
    [
        (Planted(0.4, 0.38, 0.42), Planted(0.4), True),
        (Planted(0.5, 0.48, 0.52), Planted(0.4), True),
        (Planted(0.4, 0.3, 0.5), Planted(0.5), True),  # within its interval
        (Planted(0.4, 0.3, 0.5), Planted(0.51), False),
        (Planted(0.45, 0.44, 0.46), Planted(0.5), True),  # nine tenths of it
        (Planted(0.44, 0.43, 0.45), Planted(0.5), False),
        (Planted(0.44), Planted(0.5), False),
        (Planted(0.1, 0.08, 0.12), Planted(0.7), False),
    ],
)
def test_a_ceiling_that_one_list_reaches_is_called_so(constant, ceiling, reached) -> None:
    found = one_list_for_all(constant, ceiling, Planted(0.7), said, whose="target")
    if reached:
        assert found == (
            "One constant list, the same for everybody and chosen in hindsight, agrees "
            f"<{constant.value}> with the target’s lists; the target trained again with another seed agrees "
            f"<{ceiling.value}>. Agreement cannot tell a clone from that list here, and what the attacks "
            "reach says little about the model."
        )
    else:
        assert found is None


@pytest.mark.parametrize("gone", [None, Planted(None)])
def test_what_was_not_measured_is_not_judged(gone) -> None:
    assert one_list_for_all(gone, Planted(0.7), gone, said) is None
    assert one_list_for_all(Planted(0.6), gone, None, said) is None
    assert without_attack({"PTD": Planted(0.1)}, gone, gone, said) == []
    assert without_attack({"PTD": gone}, Planted(0.5), Planted(0.5), said) == []


def test_attacks_that_beat_nothing_are_named_by_what_they_fail_at() -> None:
    attacks = {
        "QSD5": Planted(0.2, 0.19, 0.21),
        "QSD10": Planted(0.3, 0.29, 0.31),
        "PTD": Planted(0.5, 0.47, 0.53),
        "PTQ": Planted(0.52, 0.50, 0.54),
        "PTAQ": Planted(0.6, 0.57, 0.63),
    }
    assert without_attack(attacks, Planted(0.3, 0.28, 0.32), Planted(0.49, 0.48, 0.5), said) == [
        "QSD5, QSD10 are no better than one constant list for everybody, which is chosen in hindsight and "
        "gets <0.3>.",
        "QSD5, QSD10 are no better than the auxiliary model alone, which gets <0.49>, asked nothing of the "
        "victim and saw none of its users; PTD is not clearly better.",
    ]
    assert without_attack(attacks, None, Planted(0.1, 0.05, 0.15), said) == []


@pytest.mark.parametrize(
    ("own", "reference", "found"),
    [
        (Planted(0.5, 0.4, 0.6), Planted(0.5, 0.4, 0.6), "no better"),
        (Planted(0.5, 0.45, 0.55), Planted(0.46, 0.45, 0.47), "not clearly better"),  # its interval
        (Planted(0.5, 0.49, 0.51), Planted(0.46, 0.4, 0.52), "not clearly better"),  # the reference's
        (Planted(0.5, 0.47, 0.53), Planted(0.46, 0.42, 0.49), None),  # they overlap, but hold no mean
        (Planted(0.5), Planted(0.49), None),
        (Planted(0.48), Planted(0.49), "no better"),
    ],
)
def test_not_clearly_better_is_a_mean_within_the_others_interval(own, reference, found) -> None:
    (text,) = without_attack({"PTD": own}, None, reference, said) or [None]
    if found is None:
        assert text is None
    else:
        assert text.startswith(f"PTD is {found} than the auxiliary model alone")
