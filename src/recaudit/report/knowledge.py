"""What each attack is given, and what it does with that, in words."""

from dataclasses import dataclass

from recaudit.report.result import Result
from recaudit.report.rows import AUXILIARY, CONSTANT, Grown, grown, number

__all__ = ["Knowledge", "knowledge", "reads_histories"]


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """What an attack is given, and what it does with it in one sentence.

    Args:
        interactions: whether it has whole histories of some of the victim’s users.
        auxiliary: whether it has interactions of other users with the same items.
        lists: whether it asks the victim for lists.
        method: the sentence.
        served_alone: whether the histories that it uses are of no users but those whose lists it asks for.
    """

    interactions: bool
    auxiliary: bool
    lists: bool
    method: str
    served_alone: bool = False


_START = "Starts from the items’ vectors of a model trained on the auxiliary data"
_KNOWLEDGE = {
    "QSD": Knowledge(
        interactions=False,
        auxiliary=False,
        lists=True,
        method="Learns from the victim’s lists alone to rank what they rank.",
    ),
    "PTD": Knowledge(
        interactions=True,
        auxiliary=False,
        lists=False,
        method="Trains the same kind of model on the known histories and asks for nothing.",
    ),
    "PTQ": Knowledge(
        interactions=True,
        auxiliary=False,
        lists=True,
        method="Trains on the known histories, then learns to rank as the victim’s lists do.",
    ),
    "PTA": Knowledge(
        interactions=True,
        auxiliary=True,
        lists=False,
        method="Trains on the known histories and weighs in items’ vectors learned from the auxiliary data.",
    ),
    "PTAQ": Knowledge(
        interactions=True,
        auxiliary=True,
        lists=True,
        method="Uses all three: known histories, auxiliary data, and the victim’s lists.",
    ),
    "PTA(Pre)": Knowledge(
        interactions=True,
        auxiliary=True,
        lists=False,
        method=f"{_START}, then trains on the known histories.",
    ),
    "PTAQ(Pre)": Knowledge(
        interactions=True,
        auxiliary=True,
        lists=True,
        method=f"{_START}, trains on the known histories, then learns from the victim’s lists.",
    ),
}


_READING_QSD = Knowledge(
    interactions=True,
    auxiliary=False,
    lists=True,
    served_alone=True,
    method="Learns from the victim’s lists for known users, whose histories the clone reads, to rank what "
    "they rank.",
)
_READ = frozenset({"sasrec", "stamp", "gru4rec"})


def knowledge(result: Result, attack: str) -> Knowledge | None:
    """Return what ``attack`` of ``result`` is given, ``None`` where the report does not know the attack.

    Attacks that show histories of their own are told by their settings, whatever their name, others by name.
    """
    own = grown(result, attack)
    if own is not None:
        return _of_grown(own)
    if attack == "QSD" and any(figure.attack == AUXILIARY for figure in result.figures):
        return _READING_QSD  # the auxiliary model has a row where the clone reads histories
    return _KNOWLEDGE.get(attack)


def reads_histories(result: Result) -> bool:
    """Return whether the victim or a clone reads histories.

    Audits of stealing then have the constant list's row; those of membership alone tell it by the model.
    """
    return any(figure.attack == CONSTANT or figure.victim in _READ for figure in result.figures)


def _of_grown(own: Grown) -> Knowledge:
    """Return what an attack is given that grows histories of its own, or draws them at random."""
    items = f"{number(own.length)} {'random ' if own.random else ''}item{'' if own.length == 1 else 's'}"
    histories = (
        f"Shows histories of {items}"
        if own.random
        else f"Grows histories of {items} by asking: a random item first, then one drawn from each list that "
        "comes back"
    )
    times = number(own.times) if own.times == round(own.times) else f"{own.times:g}"
    often = "as many lists as PTQ" if own.times == 1 else f"{times} times as many lists as PTQ"
    return Knowledge(
        interactions=False,
        auxiliary=False,
        lists=True,
        method=f"{histories}. Asks for {often}, and learns from them alone to rank what they rank.",
    )
