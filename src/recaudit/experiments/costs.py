"""What stages cost on this machine: measured where like ones are stored, else a guess."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from recaudit.experiments.plan import Planned, Task
from recaudit.pipeline import Store

__all__ = ["Costs", "Estimate"]

Label = tuple[str, ...]

GUESSES: Mapping[str, float] = {"model": 60.0, "interactions": 15.0, "lists": 30.0, "figures": 1.0}
"""Seconds of a stage of matrix factorisation on MovieLens-1M, for where nothing like it is stored."""

SLOWER: Mapping[str, float] = {"ncf": 4.0, "lfm": 0.1, "folded": 0.1, "membership": 20.0}
"""How many times as long other models take."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Seconds of work on one worker, and which share of them rests on stages measured in this store."""

    seconds: float
    measured: float


class Costs:
    """Median seconds of the stages in a store, by what they have in common."""

    def __init__(self, store: Store) -> None:
        found: dict[Label, list[float]] = defaultdict(list)
        for stored in store.stages():
            # The figures of an attack that learns from lists count its clone, which has a label of its own.
            if not stored.inputs.get("asks"):
                found[_label(stored.kind, stored.inputs)].append(stored.elapsed)
        self._medians = {label: median(seconds) for label, seconds in found.items()}

    def of(self, planned: Iterable[Planned]) -> Estimate:
        """Return what stages cost together."""
        known = guessed = 0.0
        for label in (label for one in planned for label in _labels(one.task)):
            if label in self._medians:
                known += self._medians[label]
            else:
                guessed += GUESSES[label[0]] * SLOWER.get(label[2], 1.0)
        total = known + guessed
        return Estimate(seconds=total, measured=known / total if total else 1.0)


def _labels(task: Task) -> Iterator[Label]:
    """Yield the label of a task, and of the clone that it makes on the way where an attack asks for lists."""
    stage = task.stage
    yield _label(stage.kind, stage.inputs)
    if stage.inputs.get("asks"):
        spec = json.loads(task.spec)
        inputs = {**stage.inputs, "spec": spec["clone"], "settings": spec["settings"][task.name[1]]}
        yield _label("clone", inputs)


def _label(kind: str, inputs: Mapping[str, Any]) -> Label:
    """Return sort of stage, data, model, and how the attack learns."""
    data = str(inputs.get("data", ""))
    model = str(inputs.get("spec", {}).get("model", "folded" if "folded" in inputs else ""))
    model = str(inputs.get("threat", model))
    if kind != "clone":
        return (kind, data, model)
    # Another version's stages may have other inputs: they are like none that is planned.
    if "settings" in inputs:
        settings = inputs["settings"]
        return ("lists", data, model, str(settings.get("auxiliary")), str(settings.get("interactions")))
    return ("interactions", data, model, str(inputs.get("auxiliary")))
