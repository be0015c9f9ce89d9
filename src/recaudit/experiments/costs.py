"""What nodes cost on this machine: measured where like ones are stored, else a guess."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from recaudit.pipeline import Store
from recaudit.pipeline.schedule import Planned

__all__ = ["Costs", "Estimate"]

Label = tuple[str, ...]

GUESSES: Mapping[str, float] = {
    "model": 60.0,
    "models": 60.0,
    "clone": 15.0,
    "lists": 0.5,
    "judged": 1.0,
    "inferred": 1.0,
}
"""Seconds of a node of matrix factorisation on MovieLens-1M, for where nothing like it is stored."""

SLOWER: Mapping[str, float] = {"ncf": 4.0, "lfm": 0.1, "folded": 0.1}
"""How many times as long other models take."""

ATTACK = 15.0
"""How many times as long judging an attack takes as judging a reference: the clone is trained on the way."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Seconds of work on one worker, and which share of them rests on nodes measured in this store."""

    seconds: float
    measured: float


class Costs:
    """Median seconds of the nodes in a store, by what they have in common."""

    def __init__(self, store: Store) -> None:
        found: dict[Label, list[float]] = defaultdict(list)
        for stored in store.nodes():
            found[_label(stored.kind, stored.inputs)].append(stored.elapsed)
        self._medians = {label: median(seconds) for label, seconds in found.items()}

    def of(self, planned: Iterable[Planned]) -> Estimate:
        """Return what nodes cost together."""
        known = guessed = 0.0
        for label in (_label(one.task.key.kind, one.task.key.inputs) for one in planned):
            if label in self._medians:
                known += self._medians[label]
            else:
                guessed += (
                    GUESSES[label[0]] * SLOWER.get(label[2], 1.0) * (ATTACK if label[3] == "attack" else 1.0)
                )
        total = known + guessed
        return Estimate(seconds=total, measured=known / total if total else 1.0)


def _label(kind: str, inputs: Mapping[str, Any]) -> Label:
    """Return kind, data, model, and how the attack learns."""
    spec = inputs.get("spec") or inputs.get("clone") or {}
    model = "folded" if "folded" in inputs.get("needs", {}) else str(spec.get("model", ""))
    attack = inputs.get("attack", {})
    how = tuple(str(attack.get(name)) for name in ("auxiliary", "lists", "kind"))
    return (kind, str(inputs.get("data", "")), model, str(inputs.get("row", "")), *how)
