"""The defences by name: entry points, and plain values into defences."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from recaudit.oracle.defences import DefenceSpec
from recaudit.plugins import Registry
from recaudit.validation import validated

__all__ = ["DEFENCES", "defence_spec"]

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
