"""The victims by name: entry points, and plain values into victims."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from recaudit.models.registry import MODELS, model_spec
from recaudit.pipeline.node import key_values
from recaudit.plugins import Registry
from recaudit.validation import validated
from recaudit.victims.protocol import VictimSpec
from recaudit.victims.trained import TrainedVictim

__all__ = ["VICTIMS", "plain_victim", "victim_inputs", "victim_spec"]


def _victim(found: Any) -> type[Any] | None:
    known = isinstance(found, type) and issubclass(found, BaseModel)
    return found if known and all(hasattr(found, part) for part in ("card", "open", "retrained")) else None


VICTIMS: Registry[type[Any]] = Registry(
    "recaudit.victims",
    kind="victim",
    taken=_victim,
    expected="a pydantic class that satisfies VictimSpec",
)
"""Victims that are no models to train, by name: pydantic classes whose instances satisfy ``VictimSpec``."""


def victim_spec(values: Mapping[str, Any], *, where: str) -> VictimSpec:
    """Return the victim that ``values`` describe.

    ``victim`` names one of :data:`VICTIMS`, and the rest are its settings; ``saved`` alone stands for a saved
    one; ``model`` names a model to train, and the rest are its hyperparameters.

    Args:
        values: plain values, as from YAML.
        where: the option or key to name in errors, such as ``"victim"``.

    Raises:
        UsageError: for an unknown name, key or value; the message names it and what was expected.
    """
    if values.get("model") in VICTIMS and values["model"] not in MODELS:  # a name that stood alone
        values = {"victim": values["model"], **{key: one for key, one in values.items() if key != "model"}}
    if "victim" not in values and "saved" not in values:
        return TrainedVictim(model=model_spec(values, where=where))
    name = str(values.get("victim", "saved"))
    kind = VICTIMS.find(name, where=where)
    settings = {key: value for key, value in values.items() if key != "victim" or key in kind.model_fields}
    spec: VictimSpec = validated(kind, settings, where=where)
    return spec


def plain_victim(spec: VictimSpec) -> dict[str, Any]:
    """Return the plain values that :func:`victim_spec` makes a victim of a registered kind of."""
    own: Any = spec  # a registry holds pydantic models alone
    return {"victim": spec.card.name, **own.model_dump(mode="json")}


def victim_inputs(spec: VictimSpec) -> dict[str, Any]:
    """Return such a victim as inputs of a key; a third party's counts with its package's version."""
    own: Any = spec
    plain = {"victim": spec.card.name, **key_values(own)}
    package = VICTIMS.package(spec.card.name)
    return plain if package is None else {**plain, "package": package}
