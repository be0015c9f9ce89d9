"""Finished stages on disk, each under the hash of all that its result depends on."""

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from safetensors.torch import load, save
from torch import Tensor

from recaudit import __version__
from recaudit.errors import UsageError

__all__ = ["Piece", "Stage", "Store", "StoredStage", "versions"]

DESCRIPTION, TENSORS = "stage.json", "tensors.safetensors"
PARTIAL = ".partial-"
HASH = re.compile("[0-9a-f]{64}")


@cache
def versions() -> Mapping[str, str]:
    """Return the versions of what computes a result: others may give other bits."""
    return {"recaudit": __version__} | {name: version(name) for name in ("torch", "numpy", "scipy", "polars")}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What names a result: its kind and everything that it depends on, as plain JSON values.

    Args:
        kind: ``model``, ``clone``, ...: the folder that the result lies in.
        inputs: specs, fingerprints of data, hashes of other stages, seed and device.
    """

    kind: str
    inputs: Mapping[str, Any]

    @cached_property
    def hash(self) -> str:
        """SHA-256 over kind, inputs and :func:`versions`."""
        return _digest([self.kind, self.inputs, versions()])


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What a stage leaves behind.

    Args:
        tensors: weights, or values of users.
        facts: plain values beside them.
        seconds: what it cost, as if it ran alone, with all that it takes from other stages.
        elapsed: seconds that it took.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    elapsed: float = 0.0


@dataclass(frozen=True, kw_only=True)
class StoredStage:
    """A finished stage as ``runs list`` shows it; its tensors stay on disk."""

    hash: str
    kind: str
    inputs: Mapping[str, Any]
    facts: Mapping[str, Any]
    seconds: float
    elapsed: float
    created: str
    versions: Mapping[str, str]
    size: int
    folder: Path


class Store:
    """A folder of finished stages, ``KIND/HASH/{stage.json,tensors.safetensors}``.

    A stage is written to a folder beside it that takes its name when it is complete, so that a killed process
    leaves all of it or nothing. Every file has a SHA-256: what is damaged counts as not there, is told, and
    is computed again. Several processes may use one store: who computes and writes a stage holds a lock that
    the system releases when the process ends, however it ends.

    Args:
        folder: made where it is missing.
        say: told about damaged stages, one line each.

    Raises:
        UsageError: where the folder cannot be made or written to.
    """

    def __init__(self, folder: Path, *, say: Callable[[str], None] | None = None) -> None:
        self.folder = folder.absolute()
        self._hears = say
        self._told: set[str] = set()
        try:
            (self.folder / "locks").mkdir(parents=True, exist_ok=True)
            if not os.access(self.folder, os.W_OK | os.X_OK):
                raise PermissionError(0, "not writable")
        except OSError as error:
            raise self._refusal(error) from None

    def read(self, stage: Stage) -> Piece | None:
        """Return the stored result; ``None`` where there is none, or where it is damaged, which is told."""
        folder = self._place(stage)
        try:
            stored, content = _checked(folder)
        except FileNotFoundError:
            return None
        except _Damaged as error:
            self._say(f"{folder}: {error}; it is computed again")
            return None
        costs = {name: stored[name] for name in ("seconds", "elapsed")}
        return Piece(tensors=load(content), facts=stored["facts"], **costs)

    def write(self, stage: Stage, piece: Piece) -> None:
        """Store a result, whole or not at all; a whole one that another process stored meanwhile stays.

        Raises:
            UsageError: where the disk cannot hold it.
        """
        try:
            self._write(stage, piece)
        except OSError as error:
            raise self._refusal(error) from None

    @contextmanager
    def lock(self, stage: Stage) -> Iterator[None]:
        """Hold the lock of who computes and writes ``stage``; it waits for another's end.

        Raises:
            UsageError: where the folder cannot hold the lock.
        """
        lock = FileLock(self._lock_file(stage.hash))
        try:
            lock.acquire()
        except OSError as error:
            raise self._refusal(error) from None
        try:
            yield
        finally:
            lock.release()

    def busy(self, stage: Stage) -> bool:
        """Whether another process is computing ``stage`` right now."""
        return self._held(stage.hash)

    def stages(self) -> Iterator[StoredStage]:
        """Yield the stored stages, by kind and hash; what is damaged is told and left out."""
        for folder in sorted(path for path in self.folder.glob("*/*") if HASH.fullmatch(path.name)):
            try:
                stored = _description(folder)
            except FileNotFoundError:  # another process removed it meanwhile
                continue
            except _Damaged as error:
                self._say(f"{folder}: {error}; recaudit runs gc removes it")
                continue
            described = len(_rendered({key: value for key, value in stored.items() if key != "sha256"}))
            del stored["sha256"]
            sizes = [entry["bytes"] for entry in stored.pop("files").values()]
            yield StoredStage(**stored, size=sum(sizes) + described, folder=folder)

    def garbage(self) -> Iterator[tuple[Path, str]]:
        """Yield what no run can use, and why: leftovers of killed processes, damaged and outdated stages.

        What a process is writing at this moment is left out, and whatever else lies in the folder.
        """
        partials = self.folder.glob(f"{PARTIAL}*")
        places = (path for path in self.folder.glob("*/*") if HASH.fullmatch(path.name))
        for path in (*sorted(partials), *sorted(places)):
            why = self._useless(path)
            if why is not None:
                yield path, why

    def remove(self, path: Path) -> None:
        """Remove what :meth:`garbage` named, unless another process has put a whole stage there meanwhile."""
        if self._useless(path) is not None:
            self._discard(path)

    def _useless(self, path: Path) -> str | None:
        """Return why no run can use a folder, ``None`` where one can."""
        if path.name.startswith(PARTIAL):
            return None if self._held(path.name.split("-")[1]) else "left by a process that was stopped"
        try:
            stored, _ = _checked(path)
        except (_Damaged, FileNotFoundError) as error:
            return str(error)
        others = {name: old for name, old in stored["versions"].items() if versions().get(name) != old}
        return "by " + ", ".join(f"{name} {old}" for name, old in others.items()) if others else None

    def _say(self, line: str) -> None:
        """Tell a line, once."""
        if self._hears is not None and line not in self._told:
            self._told.add(line)
            self._hears(line)

    def _refusal(self, error: OSError) -> UsageError:
        room = "make room there or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        reason = error.strerror or str(error)
        return UsageError(f"store: {self.folder} cannot hold results: {reason}; {room}name another folder")

    def _held(self, digest: str) -> bool:
        """Whether another process holds a stage's lock."""
        lock = FileLock(self._lock_file(digest))
        try:
            with lock.acquire(blocking=False):
                return False
        except Timeout:
            return True
        except OSError as error:
            raise self._refusal(error) from None

    def _place(self, stage: Stage) -> Path:
        return self.folder / stage.kind / stage.hash

    def _lock_file(self, digest: str) -> Path:
        return self.folder / "locks" / f"{digest}.lock"

    def _write(self, stage: Stage, piece: Piece) -> None:
        # The hash in the name tells whose lock is held while the folder is being filled.
        partial = Path(tempfile.mkdtemp(dir=self.folder, prefix=f"{PARTIAL}{stage.hash}-"))
        try:
            partial.chmod(self.folder.stat().st_mode)
            _write_files(stage, piece, partial)
            place = self._place(stage)
            place.parent.mkdir(exist_ok=True)
            if not self._took(partial, place):
                try:
                    _checked(place)
                except (_Damaged, FileNotFoundError):
                    self._discard(place)
                    self._took(partial, place)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _took(self, partial: Path, place: Path) -> bool:
        """Give the folder ``partial`` the name ``place``, unless there is something already."""
        try:
            partial.rename(place)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                return False
            raise
        return True

    def _discard(self, place: Path) -> None:
        """Remove a folder so that no reader meets half of it."""
        doomed = Path(tempfile.mkdtemp(dir=self.folder, prefix=f"{PARTIAL}{place.name}-"))
        try:
            place.rename(doomed / "doomed")
        except FileNotFoundError:
            pass
        finally:
            shutil.rmtree(doomed, ignore_errors=True)


class _Damaged(Exception):
    """A stored stage is not what was written; the message says how."""


def _digest(plain: Any) -> str:
    text = json.dumps(plain, sort_keys=True, default=dict, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _write_files(stage: Stage, piece: Piece, folder: Path) -> None:
    content = save(dict(piece.tensors))
    (folder / TENSORS).write_bytes(content)
    described = {
        "hash": stage.hash,
        "kind": stage.kind,
        "inputs": stage.inputs,
        "facts": piece.facts,
        "seconds": piece.seconds,
        "elapsed": piece.elapsed,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "versions": versions(),
        "files": {TENSORS: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}},
    }
    (folder / DESCRIPTION).write_bytes(_rendered(described))


def _rendered(described: Mapping[str, Any]) -> bytes:
    """Return the content of ``stage.json`` with its own checksum."""
    text = json.dumps({**described, "sha256": _digest(described)}, indent=1, sort_keys=True, default=dict)
    return f"{text}\n".encode()


def _description(folder: Path) -> dict[str, Any]:
    """Return ``stage.json``, whose own checksum holds.

    Raises:
        FileNotFoundError: where there is no such stage.
        _Damaged: where the file is not as it was written.
    """
    path = folder / DESCRIPTION
    if folder.is_dir() and not path.is_file():
        raise _Damaged(f"{DESCRIPTION} is missing")
    try:
        content = path.read_bytes()
        stored = json.loads(content)
        described = {key: value for key, value in stored.items() if key != "sha256"}
        whole = content == _rendered(described) and stored["hash"] == folder.name
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise _Damaged(f"{DESCRIPTION} is damaged")
    return stored  # type: ignore[no-any-return]


def _checked(folder: Path) -> tuple[dict[str, Any], bytes]:
    """Return description and tensors of a stored stage whose checksums hold."""
    stored = _description(folder)
    try:
        content = (folder / TENSORS).read_bytes()
    except OSError:
        raise _Damaged(f"{TENSORS} is missing") from None
    if hashlib.sha256(content).hexdigest() != stored["files"][TENSORS]["sha256"]:
        raise _Damaged(f"{TENSORS} is damaged")
    return stored, content
