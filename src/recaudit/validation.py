"""Plain values into frozen specs, with errors that a user can act on."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from recaudit.errors import UsageError, nearest

__all__ = ["validated"]

S = TypeVar("S", bound=BaseModel)


def validated(kind: type[S], values: Mapping[str, Any], *, where: str = "") -> S:
    """Return ``kind`` made of ``values``.

    Raises:
        UsageError: one line that names the first wrong key by its dotted path below ``where``, what was
            found, and the nearest known key or the rule that the value breaks.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"]]
        dotted = ".".join([*([where] if where else []), *path])
        if first["type"] == "extra_forbidden":
            raise UsageError(f"unknown key {dotted!r}{nearest(path[-1], _keys(kind, path[:-1]))}") from None
        if first["type"] == "missing":
            raise UsageError(f"missing key {dotted!r}") from None
        message = first["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        found = "" if first["type"] == "value_error" else f"; found {first['input']!r:.80}"
        raise UsageError(f"{dotted}: {message}{found}" if dotted else f"{message}{found}") from None


def _keys(kind: type[BaseModel], path: list[str]) -> list[str]:
    """Return the keys of the model at ``path`` below ``kind``."""
    for part in path:
        field = kind.model_fields.get(part)
        inner = None if field is None else field.annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        kind = inner
    return list(kind.model_fields)
