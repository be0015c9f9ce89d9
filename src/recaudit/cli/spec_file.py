"""From a YAML file, flags and ``--set`` to the plain values of one spec."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from recaudit.errors import UsageError

__all__ = ["apply_setting", "read_yaml", "with_flags"]

ALIASES: Mapping[str, tuple[str, str]] = {
    "known": ("split", "known"),
    "columns": ("data", "columns"),
    "format": ("data", "format"),
}
"""Flags, and keys at a spec's top level, that stand for a nested key."""

ALONE: Mapping[str, str] = {"data": "source", "victim": "model", "clone": "model"}
"""Keys whose value may stand alone, and what it then is."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file, aliases resolved.

    Raises:
        UsageError: where the file is missing, is not UTF-8 or not YAML (with line and column), or is no mapping.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot read the spec: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}; save the spec as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise UsageError(f"{path}{where}: not YAML: {problem}") from None
    if values is None:
        raise UsageError(f"{path}: the file is empty; a spec has keys such as data, victim, attacks")
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UsageError(
            f"{path}: a spec is a mapping of keys such as data, victim, attacks; found {values!r:.60}"
        )
    return with_flags({}, values)


def with_flags(values: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` with ``flags`` put over them; a flag that is ``None`` was not given."""
    merged = {key: _spread(key, value) for key, value in values.items()}
    given = {key: value for key, value in flags.items() if value is not None}
    # Whole keys first, so that --columns goes into the --data beside it.
    for key, value in given.items():
        if key not in ALIASES:
            merged[key] = _spread(key, value)
    for key, (outer, inner) in ALIASES.items():
        if key in given:
            _inside(merged, outer, key)[inner] = given[key]
    return merged


def apply_setting(values: dict[str, Any], setting: str) -> None:
    """Put one ``key=value`` of ``--set`` into ``values``: a dotted key, and a value read as YAML.

    Raises:
        UsageError: where the text is no ``key=value``, the value is no YAML, or the key leads through a value.
    """
    key, equals, text = setting.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UsageError(f"--set {setting!r}: expected key=value, such as victim.embedding_size=32")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UsageError(f"--set {setting!r}: the value {text!r} is not YAML") from None
    if len(parts) == 1 and parts[0] in ALIASES:
        parts = list(ALIASES[parts[0]])
    _nested(values, parts[:-1], setting)[parts[-1]] = _spread(parts[0], value) if len(parts) == 1 else value


def _nested(values: dict[str, Any], path: Iterable[str], setting: str) -> dict[str, Any]:
    for part in path:
        values = _inside(values, part, f"--set {setting}")
    return values


def _inside(values: dict[str, Any], key: str, who: str) -> dict[str, Any]:
    """Return the mapping under ``key``, made where there is none."""
    inner = values.get(key)
    inner = {} if inner is None else _spread(key, inner)
    if not isinstance(inner, Mapping):
        raise UsageError(f"{who}: {key!r} is {inner!r}, which has no keys inside")
    values[key] = dict(inner)
    return values[key]  # type: ignore[no-any-return]


def _spread(key: str, value: Any) -> Any:
    """Return the mapping that a value standing alone means: a saved model's folder, a model's name, a source."""
    if key not in ALONE or not isinstance(value, str | Path):
        return value
    if ALONE[key] == "model" and Path(value).is_dir():
        return {"saved": str(value)}
    return {ALONE[key]: str(value)}
