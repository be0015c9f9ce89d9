"""The victim of one seed: trained, kept by the store, or taken from where an earlier audit saved it."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from recaudit.audit.spec import AuditSpec
from recaudit.data.interactions import Interactions
from recaudit.data.split import Split, SplitSpec, split
from recaudit.models.protocol import Recommender
from recaudit.models.saving import save_model
from recaudit.pipeline.node import Node
from recaudit.pipeline.run import Run
from recaudit.victims.protocol import FitsModel, Victim, VictimSpec
from recaudit.victims.registry import victim_inputs
from recaudit.victims.saved import read_split, write_split
from recaudit.victims.trained import FittedVictim

__all__ = ["opened_victim", "retrained_node", "save_victim", "split_for", "victim_node"]


def split_for(spec: AuditSpec, data: Interactions, seed: int) -> Split:
    """Return the split of ``seed``, or the one by which the saved victim's training data are found again."""
    if spec.saved_victim is not None:
        seed = read_split(spec.saved_victim).seed
    return _split(data, spec.split, seed)


@lru_cache(maxsize=16)  # a process that works at a grid meets the same split again and again
def _split(data: Interactions, spec: SplitSpec, seed: int) -> Split:
    return split(data, spec, seed)


def victim_node(spec: AuditSpec, parts: Split, run: Run) -> Node[Any]:
    """Return the node of the victim: of its model, or of what is opened where it is no model of ours."""
    victim, target = spec.victim_spec, parts.target
    if isinstance(victim, FitsModel):
        return victim.fitted(target, run)
    return _opening("victim", victim, target, run, lambda: victim.open(target, run))


def retrained_node(spec: AuditSpec, parts: Split, run: Run) -> Node[Any]:
    """Return the node of the victim trained with another seed; its result is ``None`` where it cannot be."""
    victim, target = spec.victim_spec, parts.target
    if isinstance(victim, FitsModel):
        return victim.refitted(target, run)
    return _opening("retrained victim", victim, target, run, lambda: victim.retrained(target, run))


def opened_victim(found: Recommender | Victim, target: Interactions) -> Victim:
    """Return what a victim's node holds as a victim of the target's users."""
    return FittedVictim(recommender=found, seen=target) if isinstance(found, Recommender) else found


def _opening(
    kind: str, victim: VictimSpec, target: Interactions, run: Run, compute: Callable[[], Victim | None]
) -> Node[Victim | None]:
    inputs = {
        "spec": victim_inputs(victim),
        "data": target.name,
        "fingerprint": target.fingerprint,
        "seed": run.seed,
        "device": run.device,
    }
    return Node(kind=kind, inputs=inputs, compute=compute, codec=None, label=f"opening the {kind}")


def save_victim(victim: Recommender, spec: AuditSpec, parts: Split, seed: int, directory: Path) -> None:
    """Save the model that was trained on the target of the split of ``seed``, with that split."""
    write_split(spec.split, seed, directory)
    model = spec.victim_model
    assert model is not None  # only models are saved
    save_model(victim, model, parts.target.fingerprint, directory)
