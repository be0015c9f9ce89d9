"""The models by name: the one table that turns text into specs."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from recaudit.errors import UsageError, nearest
from recaudit.models.factorization import BPR, LMF
from recaudit.models.protocol import RecommenderSpec
from recaudit.models.zoo.baselines import ItemKNN, Popularity
from recaudit.models.zoo.gru4rec import GRU4Rec
from recaudit.models.zoo.lfm import LFM
from recaudit.models.zoo.ncf import NCF
from recaudit.models.zoo.private import PrivateItemKNN, PrivateLFM
from recaudit.models.zoo.sasrec import SASRec
from recaudit.models.zoo.stamp import STAMP
from recaudit.validation import validated

__all__ = ["MODELS", "distribution", "model_spec"]

MODELS: Mapping[str, type[Any]] = {
    "popularity": Popularity,
    "item-knn": ItemKNN,
    "bpr": BPR,
    "lmf": LMF,
    "ncf": NCF,
    "lfm": LFM,
    "sasrec": SASRec,
    "gru4rec": GRU4Rec,
    "stamp": STAMP,
    "private-item-knn": PrivateItemKNN,
    "private-lfm": PrivateLFM,
}

ENTRY_POINTS = "recaudit.models"
"""Third parties register pydantic classes that satisfy ``RecommenderSpec`` under this group."""


def model_spec(values: Mapping[str, Any], *, where: str) -> RecommenderSpec:
    """Return the spec that ``values`` describe: ``model`` names it, the rest are its hyperparameters.

    Args:
        values: plain values, as from YAML.
        where: the option or key to name in errors, such as ``"victim"``.

    Raises:
        UsageError: for an unknown model, key or value; the message names it and what was expected.
    """
    known = dict(MODELS)
    outside = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    name = values.get("model")
    if name is None:
        raise UsageError(f"{where}: no model is named; name one of {', '.join(sorted({*known, *outside}))}")
    if not isinstance(name, str) or (name not in known and name not in outside):
        raise UsageError(f"{where}: unknown model {name!r}{nearest(str(name), [*known, *outside])}")
    kind = known[name] if name in known else outside[name].load()
    spec: RecommenderSpec = validated(kind, values, where=where)
    return spec


def distribution(model: str) -> str | None:
    """Return name and version of the package that a third party's model comes from; ``None`` for ours."""
    if model in MODELS:
        return None
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name == model and entry.dist is not None:
            return f"{entry.dist.name} {entry.dist.version}"
    return None
