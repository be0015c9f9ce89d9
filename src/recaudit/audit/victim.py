"""The victim of one seed: trained, kept by the store, or taken from where an earlier audit saved it."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from recaudit.audit.saved import content_hash, read_split, write_split
from recaudit.audit.spec import AuditSpec
from recaudit.data.interactions import Interactions
from recaudit.data.split import Split, SplitSpec, split
from recaudit.errors import UsageError
from recaudit.models.fitting import fit_once, fit_stage
from recaudit.models.protocol import Recommender, RecommenderSpec, TopK, reading
from recaudit.models.ranking import top_k
from recaudit.models.saving import load_model, save_model
from recaudit.pipeline import Stage
from recaudit.pipeline.run import Run

__all__ = ["Victim", "fit_victim", "save_victim", "split_for", "victim_stage"]


@dataclass(frozen=True, kw_only=True)
class Victim:
    """A fitted recommender with what it was fitted to.

    Args:
        recommender: the model.
        spec: its hyperparameters.
        target: the interactions that it was fitted to.
    """

    recommender: Recommender
    spec: RecommenderSpec
    target: Interactions

    def lists(self, users: Int64[np.ndarray, "U"], k: int) -> TopK:
        """Return the lists that it serves, as the judge sees them: no ledger, no budget."""
        return top_k(self.recommender, users, self.target, k)


def split_for(spec: AuditSpec, data: Interactions, seed: int) -> Split:
    """Return the split of ``seed``, or the one by which the saved victim's training data are found again."""
    if spec.saved_victim is not None:
        seed = read_split(spec.saved_victim).seed
    return _split(data, spec.split_spec(), seed)


@lru_cache(maxsize=16)  # a process that works at a grid meets the same split again and again
def _split(data: Interactions, spec: SplitSpec, seed: int) -> Split:
    return split(data, spec, seed)


def victim_stage(spec: AuditSpec, target: Interactions, run: Run) -> Stage:
    """Return what names the victim: the stage that trains it, or the content of the saved one.

    With a saved one the seed counts too, as a defence of it draws by the seed.
    """
    if spec.saved_victim is not None:
        return Stage(kind="saved", inputs={"content": content_hash(spec.saved_victim), "seed": run.seed})
    return fit_stage(spec.victim_spec(), target, run.child("victim"))


def fit_victim(spec: AuditSpec, parts: Split, run: Run) -> Victim:
    """Return the victim trained on the target's interactions, or the saved one that was.

    One that reads histories is shown the target's.

    Raises:
        UsageError: where the saved victim is damaged or was trained on other interactions.
    """
    target, directory = parts.target, spec.saved_victim
    if directory is None:
        own = spec.victim_spec()
        return Victim(recommender=fit_once(own, target, run.child("victim")), spec=own, target=target)
    recommender, own, description = load_model(directory)
    if target.fingerprint != description.fingerprint:
        raise UsageError(
            f"victim: {str(directory)!r} was trained on other interactions than {target.name!r} gives; "
            "name the same data with the same options"
        )
    return Victim(recommender=reading(recommender, target), spec=own, target=target)


def save_victim(victim: Victim, spec: AuditSpec, seed: int, directory: Path) -> None:
    """Save the victim that was trained on the target of the split of ``seed``, with that split."""
    write_split(spec.split, seed, directory)
    save_model(victim.recommender, victim.spec, victim.target.fingerprint, directory)
