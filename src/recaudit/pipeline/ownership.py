"""What in a folder is a store's own: nothing else is ever removed, and no other folder is written into."""

import json
import re
from pathlib import Path

from recaudit.errors import UsageError
from recaudit.pipeline.keys import DESCRIPTION, HASH, KINDS, TENSORS, fits

__all__ = ["DOOMED", "LOCKS", "MARKER", "MARKING", "PARTIAL", "PARTIAL_NAME", "check_folder", "is_ours"]

MARKER, FORMAT = "recaudit-store.json", 2
MARKING = f'{{"format": {FORMAT}}}\n'
LOCKS, DOOMED, PARTIAL = "locks", "doomed", ".partial-"
PARTIAL_NAME = re.compile(r"\.partial-([0-9a-f]{64})-[a-z0-9_]+")


def check_folder(folder: Path) -> None:
    """Refuse a folder that is no store, or one of another format.

    Raises:
        UsageError: for such a folder.
        OSError: where the folder cannot be read.
    """
    marker, found = folder / MARKER, list(folder.iterdir())
    strange = not marker.exists() and not all(map(_is_scaffold, found))
    # Another process that makes the store meanwhile marks it first: the marker is looked for once more.
    if strange and not marker.exists() and not _holds_node(folder):
        raise UsageError(
            f"store: {folder} is no store of recaudit: it holds other files and no finished node; "
            "name a store or a new folder"
        )
    try:
        number = json.loads(marker.read_bytes())["format"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # none yet, or half of it
        number = FORMAT
    if number != FORMAT:
        raise UsageError(
            f"store: {folder} is of format {number!r}, of another version of recaudit; this one reads format "
            f"{FORMAT}; name another folder, or remove this one: its results are computed again"
        )


def is_ours(folder: Path) -> bool:
    """Whether a folder has a name of ours, is no link, and holds nothing but our files."""
    if PARTIAL_NAME.fullmatch(folder.name):
        return _holds_only_ours(folder, partial=True)
    kind = folder.parent
    named = HASH.fullmatch(folder.name) is not None and kind.name in KINDS and not kind.is_symlink()
    return named and _holds_only_ours(folder)


def _holds_only_ours(folder: Path, *, partial: bool = False) -> bool:
    """Whether a folder holds our two files at most, and in a partial one a folder that is being removed."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    try:
        return all(
            (path.name in (DESCRIPTION, TENSORS) and path.is_file() and not path.is_symlink())
            or (partial and path.name == DOOMED and _holds_only_ours(path))
            for path in folder.iterdir()
        )
    except OSError:  # not to be read, or gone
        return False


def _is_scaffold(path: Path) -> bool:
    """Whether something is what a store without a whole node may hold, and nothing else."""
    if path.name == LOCKS and path.is_dir():
        return all(lock.suffix == ".lock" and HASH.fullmatch(lock.stem) for lock in path.iterdir())
    if path.name in KINDS and path.is_dir():
        return all(map(is_ours, path.iterdir()))
    return path.name == MARKER or (PARTIAL_NAME.fullmatch(path.name) is not None and is_ours(path))


def _holds_node(folder: Path) -> bool:
    """Whether a folder without a marker holds a node: it is a store whose marker was lost."""
    places = (path for kind in KINDS for path in (folder / kind).glob("*") if HASH.fullmatch(path.name))
    for place in places:
        try:
            stored = json.loads((place / DESCRIPTION).read_bytes())
        except (OSError, ValueError, RecursionError):
            continue
        named = (place.parent.name, place.name)
        if isinstance(stored, dict) and (stored.get("kind"), stored.get("hash")) == named and fits(stored):
            return True
    return False
