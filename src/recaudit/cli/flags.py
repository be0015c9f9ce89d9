"""The flags of ``recaudit audit`` and ``data describe``, read off the fields of their specs.

The source text of the specs is read, not the classes: these load torch, which takes seconds.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, make_dataclass
from functools import cache
from importlib.metadata import entry_points
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, Token

from recaudit.cli.spec_file import ALIASES

__all__ = ["Whole", "flags_of_data", "flags_of_spec"]

MODULE, SPEC = "recaudit.audit.spec", "AuditSpec"
DATA_MODULE, DATA_SPEC = "recaudit.data.sources", "DataSpec"
NESTED = ("settings", "split", "defence", "membership")
"""Keys of a spec that only have keys inside: these are told by ``--set``."""

GROUPS = {"victim": "recaudit.models", "attacks": "recaudit.stealing_attacks", "format": "recaudit.readers"}
"""Flags that take names, and the entry points that have these names."""


def _whole(kind: Any, tokens: Sequence[Token]) -> int:
    """Return a flag's whole number: cyclopts by itself makes 2 of 2.5."""
    del kind
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"expected a whole number, found {tokens[0].value!r}") from None


Whole = Annotated[int | None, Parameter(converter=_whole)]
KINDS: Mapping[str, Any] = {
    "int": Whole,
    "int | None": Whole,
    "float": float | None,
    "bool | None": bool | None,
}
"""What a flag takes by the annotation of its field; all others take a text."""


def flags_of_spec() -> type[Any]:
    """Return the class of the flags that stand for a spec's fields, each ``None`` where it is not given."""
    return _made(_flags())


def flags_of_data() -> type[Any]:
    """Return the class of the flags that say how a file is read, the same as in :func:`flags_of_spec`."""
    fields = _fields(DATA_MODULE, DATA_SPEC)
    return _made((flag, fields[inner]) for flag, (outer, inner) in ALIASES.items() if outer == "data")


def _made(flags_and_fields: "Iterable[tuple[str, _Field]]") -> type[Any]:
    made = []
    for name, one in flags_and_fields:
        kind, text = KINDS.get(ast.unparse(one.annotation), str | None), _help(name, one)
        made.append((name, Annotated[kind, Parameter(help=text)], field(default=None)))
    flags = make_dataclass("Flags", made, frozen=True, kw_only=True)
    flags.__module__ = __name__
    return Parameter(name="*")(flags)


def _flags() -> Iterator[tuple[str, "_Field"]]:
    """Yield the flags and their fields: the spec's own, each followed by those of keys within."""
    for name, own in _fields(MODULE, SPEC).items():
        if name not in NESTED:
            yield name, own
        for flag, (outer, inner) in ALIASES.items():
            if outer == name:
                kind = ast.unparse(own.annotation)
                yield flag, _fields(_imported(MODULE)[kind], kind)[inner]


class _Field:
    """A field of a spec in source text: its annotation, its default and the docstring below.

    Args:
        statement: the field's line.
        text: its docstring.
        module: the module that it stands in.
    """

    def __init__(self, statement: ast.AnnAssign, text: str, module: str) -> None:
        self.annotation, self.text = statement.annotation, " ".join(text.replace("``", "`").split())
        value = statement.value
        if isinstance(value, ast.Call):
            value = next((one.value for one in value.keywords if one.arg == "default"), None)
        if isinstance(value, ast.Name):
            value = _constants(module).get(value.id)
        try:
            self.default = None if value is None else ast.literal_eval(value)
        except ValueError:  # another spec's defaults
            self.default = None


def _help(name: str, one: _Field) -> str:
    """Return a flag's help: the field's docstring, the names that there are, and the default."""
    told = [one.text]
    if name in GROUPS:
        told.append(
            f"Known: {', '.join(sorted({entry.name for entry in entry_points(group=GROUPS[name])}))}."
        )
    if one.default is not None:
        told.append(f"Default: {_plain(one.default)}.")
    return " ".join(told)


def _plain(default: object) -> str:
    """Return a default as one types it: seeds from 0 on by their number."""
    if not isinstance(default, tuple):
        return str(default)
    return str(len(default)) if default == tuple(range(len(default))) else ",".join(map(str, default))


@cache
def _tree(module: str) -> ast.Module:
    path = Path(__file__).parents[1].joinpath(*module.split(".")[1:]).with_suffix(".py")
    return ast.parse(path.read_text("utf-8"))


def _fields(module: str, kind: str) -> dict[str, _Field]:
    """Return the documented fields of a class in their order."""
    body = next(one.body for one in _tree(module).body if isinstance(one, ast.ClassDef) and one.name == kind)
    found = {}
    for statement, below in pairwise(body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            text = (
                below.value.value
                if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                else ""
            )
            found[statement.target.id] = _Field(statement, str(text), module)
    return found


def _imported(module: str) -> dict[str, str]:
    """Return the module that each name of ours is imported from."""
    imports = (one for one in _tree(module).body if isinstance(one, ast.ImportFrom))
    return {alias.name: str(one.module) for one in imports for alias in one.names}


def _constants(module: str) -> dict[str, ast.expr]:
    assigned = (one for one in _tree(module).body if isinstance(one, ast.Assign))
    return {
        one.id: statement.value
        for statement in assigned
        for one in statement.targets
        if isinstance(one, ast.Name)
    }
