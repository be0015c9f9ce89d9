"""The victim of one seed: trained, kept by the store, or taken from where an earlier audit saved it."""

from functools import lru_cache
from pathlib import Path

from recaudit.audit.spec import AuditSpec
from recaudit.data.interactions import Interactions
from recaudit.data.split import Split, SplitSpec, split
from recaudit.models.protocol import Recommender
from recaudit.models.saving import save_model
from recaudit.pipeline.node import Node
from recaudit.pipeline.run import Run
from recaudit.victims.saved import SavedVictim, read_split, write_split
from recaudit.victims.trained import TrainedVictim

__all__ = ["save_victim", "split_for", "victim_node", "victim_of"]


def split_for(spec: AuditSpec, data: Interactions, seed: int) -> Split:
    """Return the split of ``seed``, or the one by which the saved victim's training data are found again."""
    if spec.saved_victim is not None:
        seed = read_split(spec.saved_victim).seed
    return _split(data, spec.split, seed)


@lru_cache(maxsize=16)  # a process that works at a grid meets the same split again and again
def _split(data: Interactions, spec: SplitSpec, seed: int) -> Split:
    return split(data, spec, seed)


def victim_of(spec: AuditSpec) -> SavedVictim | TrainedVictim:
    """Return the victim that a spec names."""
    return spec.victim if isinstance(spec.victim, SavedVictim) else TrainedVictim(model=spec.victim)


def victim_node(spec: AuditSpec, parts: Split, run: Run) -> Node[Recommender]:
    """Return the node of the victim: the one that trains it, or the one that loads the saved victim."""
    return victim_of(spec).fitted(parts.target, run)


def save_victim(victim: Recommender, spec: AuditSpec, parts: Split, seed: int, directory: Path) -> None:
    """Save the victim that was trained on the target of the split of ``seed``, with that split."""
    write_split(spec.split, seed, directory)
    save_model(victim, spec.victim_model, parts.target.fingerprint, directory)
