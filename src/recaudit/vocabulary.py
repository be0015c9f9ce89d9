"""The words of audits, said once: rows, groups, metrics, servings, and visiting cards. Loads no torch."""

from dataclasses import dataclass
from typing import Any

__all__ = ["NEEDS", "Card"]

NEEDS = ("histories", "auxiliary", "lists", "shadows")
"""What an attack can need: known users' histories, auxiliary users' histories, the victim's lists, shadow
models."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """The visiting card of an attack, a defence, a model or a victim. It travels in ``result.json``.

    Args:
        name: the name in specs, on the command line and in ``figures.csv``.
        label: the name in tables and plots.
        order: the place in tables; rows with a lower number come first, equal ones by name.
        sentence: what it does, in one sentence.
        needs: what it needs, of :data:`NEEDS`.
    """

    name: str
    label: str
    order: int
    sentence: str
    needs: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the card as plain values, as ``result.json`` has it."""
        return {
            "name": self.name,
            "label": self.label,
            "order": self.order,
            "sentence": self.sentence,
            "needs": list(self.needs),
        }
