"""The victim of one seed: trained here, or taken from where an earlier audit saved it."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from recaudit.audit.spec import AuditSpec
from recaudit.data.interactions import Interactions
from recaudit.data.split import Split, SplitSpec, split
from recaudit.errors import UsageError
from recaudit.files import write_text
from recaudit.models.base import Recommender, RecommenderSpec, Run, TopK
from recaudit.models.ranking import top_k
from recaudit.models.saving import load_model, save_model
from recaudit.validation import validated

__all__ = ["Victim", "fit_victim", "save_victim"]

SPLIT = "split.json"


@dataclass(frozen=True, kw_only=True)
class Victim:
    """A fitted recommender with what it was fitted to.

    Args:
        recommender: the model.
        spec: its hyperparameters.
        target: the interactions that it was fitted to.
        split_seed: the seed of the split that chose them.
    """

    recommender: Recommender
    spec: RecommenderSpec
    target: Interactions
    split_seed: int

    def lists(self, users: Int64[np.ndarray, "U"], k: int) -> TopK:
        """Return the lists that it serves, as the judge sees them: no ledger, no budget."""
        return top_k(self.recommender, users, self.target, k)


def fit_victim(spec: AuditSpec, data: Interactions, seed: int, run: Run) -> tuple[Split, Victim]:
    """Return the split of ``seed`` and the victim trained on its target part, or the saved victim and its split."""
    if spec.saved_victim is not None:
        return _saved(spec, data, spec.saved_victim)
    parts = split(data, spec.split, seed)
    recommender = spec.victim_spec().fit(parts.target, run.child("victim"))
    return parts, Victim(
        recommender=recommender, spec=spec.victim_spec(), target=parts.target, split_seed=seed
    )


def save_victim(victim: Victim, spec: AuditSpec, directory: Path) -> None:
    """Save a victim with the split that chose its training data."""
    write_text(
        directory / SPLIT,
        json.dumps({"split": spec.split.model_dump(mode="json"), "seed": victim.split_seed}, indent=2) + "\n",
    )
    save_model(victim.recommender, victim.spec, victim.target.fingerprint, directory)


def _saved(spec: AuditSpec, data: Interactions, directory: Path) -> tuple[Split, Victim]:
    """Load a victim; the same target users and held-out interactions are found again by its split's seed."""
    recommender, own_spec, description = load_model(directory)
    try:
        stored = json.loads((directory / SPLIT).read_bytes())
        seed = int(stored["seed"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"{directory / SPLIT}: missing or damaged; it says which interactions the victim was trained on"
        ) from None
    trained_by = validated(SplitSpec, stored["split"], where=str(directory / SPLIT))
    same = {"target_share", "heldout", "heldout_by"}
    chosen = trained_by.model_copy(update=spec.split.model_dump(exclude=same))
    parts = split(data, chosen, seed)
    if parts.target.fingerprint != description.fingerprint:
        raise UsageError(
            f"victim: {str(directory)!r} was trained on other interactions than {data.name!r} gives; "
            "name the same data with the same options"
        )
    return parts, Victim(recommender=recommender, spec=own_spec, target=parts.target, split_seed=seed)
