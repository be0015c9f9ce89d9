"""The victim of one seed: trained, kept by the store, or taken from where an earlier audit saved it."""

from functools import lru_cache
from pathlib import Path

from recaudit.audit.saved import content_hash, read_split, write_split
from recaudit.audit.spec import AuditSpec
from recaudit.data.interactions import Interactions
from recaudit.data.split import Split, SplitSpec, split
from recaudit.errors import UsageError
from recaudit.models.fitting import fit_node
from recaudit.models.protocol import Recommender, reading
from recaudit.models.saving import load_model, save_model
from recaudit.pipeline.node import Node
from recaudit.pipeline.run import Run

__all__ = ["save_victim", "split_for", "victim_node"]


def split_for(spec: AuditSpec, data: Interactions, seed: int) -> Split:
    """Return the split of ``seed``, or the one by which the saved victim's training data are found again."""
    if spec.saved_victim is not None:
        seed = read_split(spec.saved_victim).seed
    return _split(data, spec.split_spec(), seed)


@lru_cache(maxsize=16)  # a process that works at a grid meets the same split again and again
def _split(data: Interactions, spec: SplitSpec, seed: int) -> Split:
    return split(data, spec, seed)


def victim_node(spec: AuditSpec, parts: Split, run: Run) -> Node[Recommender]:
    """Return the node of the victim: the one that trains it, or the one that loads the saved victim.

    A saved victim's key holds its content and the seed, as a defence of it draws by the seed. A victim that
    reads histories is shown the target's.
    """
    directory = spec.saved_victim
    if directory is None:
        return fit_node(spec.victim_spec(), parts.target, run.child("victim"), of="the victim")
    return Node(
        kind="saved",
        inputs={"content": content_hash(directory), "seed": run.seed},
        compute=lambda: _saved_victim(directory, parts.target),
        codec=None,
        label="loading the saved victim",
    )


def _saved_victim(directory: Path, target: Interactions) -> Recommender:
    """Return the saved victim.

    Raises:
        UsageError: where the saved victim is damaged or was trained on other interactions.
    """
    recommender, _, description = load_model(directory)
    if target.fingerprint != description.fingerprint:
        raise UsageError(
            f"victim: {str(directory)!r} was trained on other interactions than {target.name!r} gives; "
            "name the same data with the same options"
        )
    return reading(recommender, target)


def save_victim(victim: Recommender, spec: AuditSpec, parts: Split, seed: int, directory: Path) -> None:
    """Save the victim that was trained on the target of the split of ``seed``, with that split."""
    write_split(spec.split, seed, directory)
    save_model(victim, spec.victim_spec(), parts.target.fingerprint, directory)
