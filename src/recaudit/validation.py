"""Plain values into frozen specs, with errors that a user can act on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from recaudit.errors import UsageError, nearest

__all__ = ["LATER", "laid_in", "laid_over", "validated"]

S = TypeVar("S", bound=BaseModel)

LATER: dict[str, Any] = {"later": True}
"""The ``json_schema_extra`` of a spec's field that was added later: its default stays out of keys."""


def validated(kind: type[S], values: Mapping[str, Any], *, where: str = "") -> S:
    """Return ``kind`` made of ``values``.

    A validator's ``UsageError`` is passed on as it is: it names its key itself.

    Raises:
        UsageError: one line that names the first wrong key by its dotted path below ``where``, what was
            found, and the nearest known key or the rule that the value breaks.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        told = first.get("ctx", {}).get("error")
        if isinstance(told, UsageError):
            raise told from None
        path = [str(part) for part in first["loc"]]
        dotted = ".".join([*([where] if where else []), *path])
        if first["type"] == "extra_forbidden":
            raise UsageError(f"unknown key {dotted!r}{_hint(kind, path, dotted)}") from None
        if first["type"] == "missing":
            raise UsageError(f"missing key {dotted!r}") from None
        message = first["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        found = "" if first["type"] == "value_error" else f"; found {first['input']!r:.80}"
        raise UsageError(f"{dotted}: {message}{found}" if dotted else f"{message}{found}") from None


def laid_over(own: S, given: Mapping[str, Any], *, where: str = "") -> S:
    """Return ``own`` with the values that are given in place.

    Of settings within settings, those that are not given stay ``own``'s, except where there is a choice of
    kinds, as of classifiers.

    Raises:
        UsageError: as :func:`validated` does.
    """
    return validated(type(own), _over(own, given), where=where)


def _over(own: BaseModel, given: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: getattr(own, name) for name in type(own).model_fields}
    for name, value in given.items():
        inner, current = _model(type(own), name), values.get(name)
        alike = inner is type(current) and isinstance(current, BaseModel) and isinstance(value, Mapping)
        values[name] = _over(current, value) if alike else value  # type: ignore[arg-type]
    return values


def laid_in(
    values: dict[str, Any], path: Sequence[str], value: object, *, alone: Mapping[str, str], where: str
) -> None:
    """Put ``value`` at ``path`` into nested mappings, copied where they are there, made where they are not.

    Args:
        values: the mapping that changes.
        path: the keys from the outermost on.
        value: what is put there.
        alone: by the dotted key of a mapping that a text may stand for, the key within it that the text is.
        where: what to name in errors, such as ``--set k.x=3``.

    Raises:
        UsageError: where the path leads through a value that has no keys inside.
    """
    *outer, last = path
    for place, part in enumerate(outer, start=1):
        inner, key = values.get(part), alone.get(".".join(path[:place]))
        if isinstance(inner, str) and key is not None:
            inner = {key: inner}
        if not isinstance(inner, Mapping | None):
            raise UsageError(f"{where}: {part!r} is {inner!r}, which has no keys inside")
        values[part] = values = dict(inner or {})
    values[last] = value


def _hint(kind: type[BaseModel], path: Sequence[str], dotted: str) -> str:
    """Return a hint at the known key that an unknown one was meant to be: of that name further in, or alike."""
    *outer, name = path
    for part in outer:
        inner = _model(kind, part)
        if inner is None:
            return ""
        kind = inner
    within = next((key for key in _keys_within(kind) if key.rpartition(".")[2] == name), None)
    if within is not None:
        return f"; did you mean {dotted.removesuffix(name) + within!r}?"
    return nearest(name, kind.model_fields)


def _keys_within(kind: type[BaseModel]) -> Iterator[str]:
    """Yield the dotted keys of the models within a model, those further out first."""
    models = {name: inner for name in kind.model_fields if (inner := _model(kind, name)) is not None}
    for name, inner in models.items():
        yield from (f"{name}.{key}" for key in inner.model_fields)
    for name, inner in models.items():
        yield from (f"{name}.{key}" for key in _keys_within(inner))


def _model(kind: type[BaseModel], name: str) -> type[BaseModel] | None:
    """Return the model that a field holds, where it holds one."""
    field = kind.model_fields.get(name)
    inner = None if field is None else field.annotation
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None
