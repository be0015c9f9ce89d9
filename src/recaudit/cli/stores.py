"""Which store a command uses."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from recaudit.cli.console import Output
from recaudit.errors import UsageError

if TYPE_CHECKING:
    from recaudit.pipeline import Store

__all__ = ["default_store", "open_store"]


def default_store() -> Path:
    """Return the store that is used where none is named: ``RECAUDIT_STORE``, or a folder here."""
    return Path(os.environ.get("RECAUDIT_STORE") or "recaudit-store")


def open_store(folder: Path | None, output: Output) -> "Store":
    """Return a store that is there already, to read it: nothing is made in it.

    Raises:
        UsageError: where it is not there, or is no store.
    """
    from recaudit.pipeline import Store  # noqa: PLC0415

    folder = folder or default_store()
    if not folder.is_dir():
        raise UsageError(f"store: {folder} is not there; name a store with --store or RECAUDIT_STORE")
    return Store(folder, say=output.warn, writes=False)
