"""From a YAML file, flags and ``--set`` to the plain values of one spec."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode

from recaudit.errors import UsageError
from recaudit.validation import laid_in

__all__ = ["apply_setting", "read_yaml", "with_flags"]

ALIASES: Mapping[str, tuple[str, str]] = {
    "known": ("split", "known"),
    "serving": ("membership", "serving"),
    "shadows": ("membership", "shadows"),
    **{name: ("data", name) for name in ("format", "columns", "header", "separator", "encoding", "repeats")},
}
"""Flags, and keys at a spec's top level, that stand for a nested key."""

ALONE: Mapping[str, str] = {"data": "source", "victim": "model", "clone": "model", "defence": "defence"}
"""Keys whose value may stand alone, and what it then is."""


class _Loader(yaml.SafeLoader):
    """Plain YAML in which no mapping has a key twice: YAML's own rule, which PyYAML does not keep."""

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key.value, str) and key.value in seen:
                raise ConstructorError(
                    problem=f"the key {key.value!r} is there twice", problem_mark=key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file, aliases resolved.

    Raises:
        UsageError: where the file is missing, not UTF-8, not YAML (with line and column) or no mapping.
    """
    try:
        values = _load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot read the spec: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}; save the spec as UTF-8") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UsageError(f"{path}{where}: not YAML: {_problem(error)}") from None
    if values is None:
        raise UsageError(f"{path}: the file is empty; a spec has keys such as data, victim, attacks")
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UsageError(
            f"{path}: a spec is a mapping of keys such as data, victim, attacks; found {values!r:.60}"
        )
    return with_flags({}, values)


def with_flags(values: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` with ``flags`` put over them; a flag that is ``None`` was not given."""
    given = {key: value for key, value in flags.items() if value is not None}
    # Whole keys first, so that --columns goes into the --data beside it.
    merged = {**values, **{key: value for key, value in given.items() if key not in ALIASES}}
    for key, (outer, inner) in ALIASES.items():
        if key in given:
            laid_in(merged, (outer, inner), given[key], alone=ALONE, where=key)
    return merged


def apply_setting(values: dict[str, Any], setting: str) -> None:
    """Put one ``key=value`` of ``--set`` into ``values``: a dotted key, and a value read as YAML.

    Raises:
        UsageError: where the text is no ``key=value``, the value no YAML, or the key leads through a value.
    """
    key, equals, text = setting.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UsageError(f"--set {setting!r}: expected key=value, such as victim.embedding_size=32")
    try:
        value = _load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"--set {setting!r}: the value is not YAML: {_problem(error)}") from None
    if len(parts) == 1 and parts[0] in ALIASES:
        parts = list(ALIASES[parts[0]])
    laid_in(values, parts, value, alone=ALONE, where=f"--set {setting}")


def _load(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)


def _problem(error: Exception) -> str:
    """Return in a few words what a YAML parser found wrong."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    # Each kind of yaml's errors keeps its reason elsewhere; a value that is no date is a plain ValueError.
    said = getattr(error, "problem", None) or getattr(error, "reason", None)
    return str(said or error)
