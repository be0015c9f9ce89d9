"""The victim of one seed: trained here, or taken from where an earlier audit saved it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from recaudit.audit.saved import read_split, write_split
from recaudit.audit.spec import AuditSpec
from recaudit.data.interactions import Interactions
from recaudit.data.split import Split, split
from recaudit.errors import UsageError
from recaudit.models.base import Recommender, RecommenderSpec, Run, TopK
from recaudit.models.ranking import top_k
from recaudit.models.saving import load_model, save_model

__all__ = ["Victim", "fit_victim", "save_victim", "split_for"]


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
    return split(data, spec.split_spec(), seed)


def fit_victim(spec: AuditSpec, parts: Split, run: Run) -> Victim:
    """Return the victim trained on the target's interactions, or the saved one that was.

    Raises:
        UsageError: where the saved victim is damaged or was trained on other interactions.
    """
    target, directory = parts.target, spec.saved_victim
    if directory is None:
        own = spec.victim_spec()
        return Victim(recommender=own.fit(target, run.child("victim")), spec=own, target=target)
    recommender, own, description = load_model(directory)
    if target.fingerprint != description.fingerprint:
        raise UsageError(
            f"victim: {str(directory)!r} was trained on other interactions than {target.name!r} gives; "
            "name the same data with the same options"
        )
    return Victim(recommender=recommender, spec=own, target=target)


def save_victim(victim: Victim, spec: AuditSpec, seed: int, directory: Path) -> None:
    """Save the victim that was trained on the target of the split of ``seed``, with that split."""
    write_split(spec.split, seed, directory)
    save_model(victim.recommender, victim.spec, victim.target.fingerprint, directory)
