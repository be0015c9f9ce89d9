"""Kinds of options that several commands have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, Token

__all__ = ["Folder"]


def _folder(kind: Any, tokens: Sequence[Token]) -> Path:
    """Return a flag's folder: a path of no letters would be the current one."""
    del kind
    if not tokens[0].value:
        raise ValueError("expected the name of a folder, found nothing; the current folder is .")
    return Path(tokens[0].value)


Folder = Annotated[Path, Parameter(converter=_folder)]
