"""The models by name: entry points that turn text into specs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from recaudit.errors import UsageError
from recaudit.models.protocol import RecommenderSpec
from recaudit.plugins import Registry
from recaudit.validation import laid_over, validated
from recaudit.vocabulary import Card

__all__ = ["MODELS", "distribution", "model_card", "model_of", "model_spec"]


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


def model_of(value: object, *, where: str, default: str | BaseModel | None = None) -> RecommenderSpec:
    """Return the spec that a value means: a spec, a model's name, or hyperparameters with their ``model``.

    Args:
        value: the value, as from YAML or Python.
        where: the option or key to name in errors, such as ``"victim"``.
        default: the model of hyperparameters that name none, or the spec that they are laid over.

    Raises:
        UsageError: for an unknown model, key or value; the message names it and what was expected.
    """
    if isinstance(value, BaseModel) and isinstance(value, RecommenderSpec):
        return value
    if isinstance(value, str | Path):
        value = {"model": str(value)}
    if not isinstance(value, Mapping):
        raise UsageError(
            f"{where}: expected a model's name or a mapping of its hyperparameters; found {value!r:.80}"
        )
    if "model" in value or default is None:
        return model_spec(value, where=where)
    if isinstance(default, str):
        return model_spec({"model": default, **value}, where=where)
    spec: Any = laid_over(default, value, where=where)
    return spec  # type: ignore[no-any-return]


def model_card(spec: RecommenderSpec) -> Card:
    """Return a model's card; one without any is called by its name."""
    card = getattr(spec, "card", None)
    if isinstance(card, Card):
        return card
    return Card(name=spec.model, label=spec.model, order=1000, sentence=f"The model {spec.model}.")


def distribution(model: str) -> str | None:
    """Return name and version of the package that a third party's model comes from; ``None`` for ours."""
    return MODELS.package(model)
