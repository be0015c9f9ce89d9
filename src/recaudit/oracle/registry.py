"""The defences by name: entry points, and plain values into defences."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from recaudit.oracle.defences import DefenceSpec
from recaudit.pipeline.node import key_values
from recaudit.plugins import Registry
from recaudit.validation import validated

__all__ = ["DEFENCES", "defence_inputs", "defence_spec", "plain_defence"]

DEFAULT = "popular-items"
"""The defence of settings that name none."""


def _defence(found: Any) -> type[Any] | None:
    known = isinstance(found, type) and issubclass(found, BaseModel)
    return found if known and all(hasattr(found, part) for part in ("card", "protect")) else None


DEFENCES: Registry[type[Any]] = Registry(
    "recaudit.defences",
    kind="defence",
    taken=_defence,
    expected="a pydantic class that satisfies DefenceSpec",
)
"""Defences by name: pydantic classes whose instances satisfy ``DefenceSpec``."""


def defence_spec(values: Mapping[str, Any], *, where: str) -> DefenceSpec:
    """Return the defence that ``values`` describe: ``defence`` names it, the rest are its settings.

    Args:
        values: plain values, as from YAML.
        where: the option or key to name in errors, such as ``"defence"``.

    Raises:
        UsageError: for an unknown name, key or value; the message names it and what was expected.
    """
    kind = DEFENCES.find(str(values.get("defence", DEFAULT)), where=where)
    settings = {key: value for key, value in values.items() if key != "defence" or key in kind.model_fields}
    spec: DefenceSpec = validated(kind, settings, where=where)
    return spec


def plain_defence(spec: DefenceSpec) -> dict[str, Any]:
    """Return the plain values that :func:`defence_spec` makes ``spec`` of."""
    own: Any = spec  # a registry holds pydantic models alone
    return _named(spec, own.model_dump(mode="json"))


def defence_inputs(spec: DefenceSpec) -> dict[str, Any]:
    """Return a defence as inputs of a key; a third party's counts with its package's version."""
    own: Any = spec
    plain, package = _named(spec, key_values(own)), DEFENCES.package(spec.card.name)
    return plain if package is None else {**plain, "package": package}


def _named(spec: DefenceSpec, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with the defence's name, which the default defence does without."""
    return values if spec.card.name == DEFAULT else {"defence": spec.card.name, **values}
