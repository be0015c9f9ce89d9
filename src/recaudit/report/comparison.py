"""What attacks must beat before their agreement says anything, in words: one list for all, no list at all."""

from collections.abc import Callable, Mapping, Sequence

from recaudit.figures import Figure

__all__ = ["one_list_for_all", "without_attack"]

SAME = 0.8
"""The share of a list's items above which two lists are nearly the same: four items in five."""

REACHED = 0.9
"""The share of the ceiling's agreement at which the constant list has reached it, intervals aside."""


def one_list_for_all(
    constant: Figure | None,
    ceiling: Figure | None,
    diversity: Figure | None,
    say: Callable[[Figure], str],
) -> str | None:
    """Return what to say of a recommender whose lists hardly depend on the user, ``None`` of any other.

    It serves nearly the same list to everybody where the constant list agrees with ``SAME`` of its items or
    more, or where two users' lists differ in ``1 - SAME`` of their items or less. The first is the rule that
    mostly counts: lists from which seen items are left out differ, too, where one ranking makes them all.

    Of others, the constant list has reached the ceiling where the ceiling lies below the upper end of the
    constant list's interval, or where ``REACHED`` of the ceiling lies below its mean: there, agreement cannot
    tell a clone from one list for all, be it that the lists are alike or that two trainings of the
    recommender are not.

    Args:
        constant: agreement of the constant list with the recommender's.
        ceiling: agreement of the recommender with itself, trained again.
        diversity: the share of their items in which two users' lists differ, the mean over pairs.
        say: writes an estimate.
    """
    one = None if constant is None else constant.value
    differ = None if diversity is None else diversity.value
    alike = differ is not None and 1 - differ >= SAME
    if alike or (one is not None and one >= SAME):
        seen = []
        if constant is not None and one is not None:
            seen.append(f"one constant list agrees {say(constant)} with it")
        if diversity is not None and alike:
            seen.append(f"two users’ lists differ in {say(diversity)} of their items")
        return (
            "This recommender serves nearly the same list to everybody, but for what each user has seen: "
            f"{', and '.join(seen)}. What the attacks reach says little about the model: there is little to "
            "steal."
        )
    if constant is None or one is None or ceiling is None or ceiling.value is None:
        return None
    top = one if constant.high is None else max(one, constant.high)
    if max(top, one / REACHED) < ceiling.value:
        return None
    return (
        f"One constant list, the same for everybody and chosen in hindsight, agrees {say(constant)} with the "
        f"victim’s lists; the victim trained again with another seed agrees {say(ceiling)}. Agreement "
        "cannot tell a clone from that list here, and what the attacks reach says little about the model."
    )


def without_attack(
    attacks: Mapping[str, Figure | None],
    constant: Figure | None,
    auxiliary: Figure | None,
    say: Callable[[Figure], str],
) -> list[str]:
    """Return which attacks are no better than what attacks nothing, a text a reference that they fail at.

    An attack is no better where its mean is not above the reference's, and not clearly better where one of
    the two means lies in the other one's interval. All rows are measured on the same users, so that this
    asks less than intervals that lie apart.

    Args:
        attacks: their agreement by name, those without one left aside.
        constant: the agreement of the constant list.
        auxiliary: the agreement of the auxiliary model alone.
        say: writes an estimate.
    """
    references = (
        (constant, "one constant list for everybody, which is chosen in hindsight and gets {}"),
        (
            auxiliary,
            "the auxiliary model alone, which gets {}, asked nothing of the victim and saw none of its users",
        ),
    )
    found = []
    for reference, words in references:
        if reference is not None and reference.value is not None:
            below, unclear = _no_better(attacks, reference, reference.value)
            than = words.format(say(reference))
            if below:
                more = f"; {_are(unclear)} not clearly better" if unclear else ""
                found.append(f"{_are(below)} no better than {than}{more}.")
            elif unclear:
                found.append(f"{_are(unclear)} not clearly better than {than}.")
    return found


def _no_better(
    attacks: Mapping[str, Figure | None], reference: Figure, bound: float
) -> tuple[list[str], list[str]]:
    """Return the attacks that are no better than the reference, and those not clearly better."""
    top = bound if reference.high is None else reference.high
    below, unclear = [], []
    for name, own in attacks.items():
        if own is None or own.value is None:
            continue
        if own.value <= bound:
            below.append(name)
        elif own.value <= top or (own.low is not None and own.low <= bound):
            unclear.append(name)
    return below, unclear


def _are(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"
