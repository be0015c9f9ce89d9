"""The models by name: entry points that turn text into specs."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from recaudit.errors import UsageError
from recaudit.models.protocol import RecommenderSpec
from recaudit.plugins import Registry
from recaudit.validation import validated
from recaudit.vocabulary import Card

__all__ = ["MODELS", "distribution", "model_card", "model_spec"]


def _model(found: Any) -> type[Any] | None:
    parts = ("fit", "restore", "model")
    known = isinstance(found, type) and issubclass(found, BaseModel)
    return (
        found if known and all(hasattr(found, part) or part in found.model_fields for part in parts) else None
    )


MODELS: Registry[type[Any]] = Registry(
    "recaudit.models",
    kind="model",
    taken=_model,
    expected="a pydantic class that satisfies RecommenderSpec",
)
"""Models by name: pydantic classes whose instances satisfy ``RecommenderSpec``."""


def model_spec(values: Mapping[str, Any], *, where: str) -> RecommenderSpec:
    """Return the spec that ``values`` describe: ``model`` names it, the rest are its hyperparameters.

    Args:
        values: plain values, as from YAML.
        where: the option or key to name in errors, such as ``"victim"``.

    Raises:
        UsageError: for an unknown model, key or value; the message names it and what was expected.
    """
    name = values.get("model")
    if name is None:
        raise UsageError(f"{where}: no model is named; name one of {', '.join(sorted(MODELS))}")
    spec: RecommenderSpec = validated(MODELS.find(str(name), where=where), values, where=where)
    return spec


def model_card(spec: RecommenderSpec) -> Card:
    """Return a model's card; one without any is called by its name."""
    card = getattr(spec, "card", None)
    if isinstance(card, Card):
        return card
    return Card(name=spec.model, label=spec.model, order=1000, sentence=f"The model {spec.model}.")


def distribution(model: str) -> str | None:
    """Return name and version of the package that a third party's model comes from; ``None`` for ours."""
    return MODELS.package(model)
