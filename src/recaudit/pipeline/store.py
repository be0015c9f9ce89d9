"""Finished results on disk, each under the hash of all that its result depends on."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from glob import glob
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from recaudit.errors import UsageError
from recaudit.pipeline.keys import (
    FIELDS,
    HASH,
    KINDS,
    TENSORS,
    Artifact,
    Damaged,
    Key,
    StoredNode,
    checked,
    description,
    other_versions,
    rendered,
    write_files,
)
from recaudit.pipeline.ownership import (
    DOOMED,
    LOCKS,
    MARKER,
    MARKING,
    PARTIAL,
    PARTIAL_NAME,
    check_folder,
    is_ours,
)

__all__ = ["Store"]


class Store:
    """A folder of finished results, ``KIND/HASH/{node.json,tensors.safetensors}``.

    A node is written to a folder beside it that takes its name when it is complete, so that a killed process
    leaves all of it or nothing. Every file has a SHA-256: what is damaged counts as not there, is told, and
    is computed again. Several processes may use one store: who computes and writes a node holds a lock that
    the system releases when the process ends, however it ends.

    A store is marked by a file ``recaudit-store.json``. A folder without it is a store where it holds a node
    (its marker was lost) or nothing; any other is refused and left as it is.

    Args:
        folder: made where it is missing.
        say: told about damaged results, one line each.
        writes: whether nodes will be written: the folder is made, marked, and seen to be writable now, not
            after hours of work. Without it nothing is made until a node is locked or written after all, and
            a folder that is not there holds nothing.

    Raises:
        UsageError: where the folder is no store, or cannot be made, or written to or read.
    """

    def __init__(
        self, folder: Path, *, say: Callable[[str], None] | None = None, writes: bool = True
    ) -> None:
        self.folder = folder.absolute()
        self._hears = say
        self._told: set[str] = set()
        self._made = False
        if writes:
            self.prepare()
            return
        try:
            check_folder(self.folder)
        except FileNotFoundError:
            pass
        except NotADirectoryError as error:
            raise self._refusal(error) from None
        except OSError as error:
            raise self._refusal(error, "cannot be read") from None

    def read(self, key: Key) -> Artifact | None:
        """Return the stored result; ``None`` where there is none, or where it is damaged, which is told."""
        folder = self._place(key)
        try:
            stored, content = checked(folder)
        except FileNotFoundError:
            return None
        except Damaged as error:
            self._say(f"{folder}: {error}; it is computed again")
            return None
        from safetensors.torch import load  # noqa: PLC0415 - loads torch, which a look at a store need not

        costs = {name: stored[name] for name in ("seconds", "elapsed")}
        return Artifact(tensors=load(content), facts=stored["facts"], label=_label(stored), **costs)

    def write(self, key: Key, artifact: Artifact) -> None:
        """Store a result, whole or not at all; a whole one that another process stored meanwhile stays.

        Raises:
            UsageError: where the disk cannot hold it.
        """
        self.prepare()
        try:
            self._write(key, artifact)
        except OSError as error:
            raise self._refusal(error) from None

    @contextmanager
    def lock(self, key: Key) -> Iterator[None]:
        """Hold the lock of who computes and writes ``key``; it waits for another's end.

        Raises:
            UsageError: where the folder cannot hold the lock.
        """
        self.prepare()
        lock = FileLock(self._lock_file(key.hash))
        try:
            lock.acquire()
        except OSError as error:
            raise self._refusal(error) from None
        try:
            yield
        finally:
            lock.release()

    def busy(self, key: Key) -> bool:
        """Whether another process is computing ``key`` right now."""
        try:
            return self._held(key.hash)
        except OSError as error:
            raise self._refusal(error) from None

    def nodes(self) -> Iterator[StoredNode]:
        """Yield the stored nodes, by kind and hash; what is damaged is told and left out.

        So is what another version wrote where it lacks something that this one needs.
        """
        # Unlike pathlib's, this glob is at ease with folders that another process removes meanwhile.
        found = (self.folder / name for name in glob("*/*", root_dir=self.folder))
        for folder in sorted(path for path in found if HASH.fullmatch(path.name)):
            try:
                stored = description(folder)
            except FileNotFoundError:  # another process removed it meanwhile
                continue
            except Damaged as error:
                if folder.parent.name in KINDS:
                    by_hand = "it holds other files too, so that recaudit runs gc leaves it"
                    self._say(
                        f"{folder}: {error}; {'recaudit runs gc removes it' if is_ours(folder) else by_hand}"
                    )
                continue
            described = len(rendered({key: value for key, value in stored.items() if key != "sha256"}))
            known = {name: stored[name] for name in FIELDS if name != "files"}
            size = stored["files"][TENSORS]["bytes"] + described
            yield StoredNode(**known, label=_label(stored), size=size, folder=folder)

    def garbage(self) -> Iterator[tuple[Path, str]]:
        """Yield what no run can use, and why: leftovers of killed processes, damaged and outdated nodes.

        What a process is writing at this moment is left out, and whatever else lies in the folder: only
        folders of our kinds and names that hold nothing but our files are taken.
        """
        partials = self.folder.glob(f"{PARTIAL}*")
        places = (path for kind in KINDS for path in (self.folder / kind).glob("*"))
        for path in (*sorted(partials), *sorted(places)):
            why = self._useless(path)
            if why is not None:
                yield path, why

    def remove(self, path: Path) -> None:
        """Remove what :meth:`garbage` named, unless another process has put a whole node there meanwhile.

        Raises:
            UsageError: where the folder may not be changed.
        """
        if self._useless(path) is None:
            return
        try:
            self._discard(path)
        except OSError as error:
            raise self._refusal(error, "cannot be cleared up") from None

    def clear_locks(self, *, dry_run: bool = False) -> int:
        """Remove the files of locks that nobody holds, and return how many.

        A file goes while its lock is held. Who opened it before and takes the lock after sees that the file
        has no name any more and makes it anew (filelock from 3.21.2 on; with an older one, two processes may
        compute one node: both results are the same, and the first that is whole stays).

        Args:
            dry_run: only count them.
        """
        number = 0
        for path in sorted((self.folder / LOCKS).glob("*.lock")):
            if not HASH.fullmatch(path.stem) or path.is_symlink():
                continue
            with suppress(OSError), FileLock(path).acquire(blocking=False):  # held, or not ours to remove
                if not dry_run:
                    path.unlink()
                number += 1
        return number

    def _useless(self, path: Path) -> str | None:
        """Return why no run can use a folder of ours, ``None`` where one can, or where it is not ours."""
        if not is_ours(path):
            return None
        if partial := PARTIAL_NAME.fullmatch(path.name):
            try:
                held = self._held(partial[1])
            except OSError:  # whose lock may not be tried stays
                held = True
            return None if held else "left by a process that was stopped"
        try:
            stored, _ = checked(path)
        except (Damaged, FileNotFoundError) as error:
            return str(error)
        others = other_versions(stored["versions"])
        return f"by {others}" if others else None

    def prepare(self) -> None:
        """Make what a store needs, once, and see that it can be written to; a folder that is no store stays as it is.

        Raises:
            UsageError: where it cannot be made, or written to.
        """
        if self._made:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            check_folder(self.folder)
            if not os.access(self.folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            with suppress(FileExistsError), (self.folder / MARKER).open("x", encoding="utf-8") as marker:
                marker.write(MARKING)
            (self.folder / LOCKS).mkdir(exist_ok=True)
        except OSError as error:
            raise self._refusal(error) from None
        self._made = True

    def _say(self, line: str) -> None:
        """Tell a line, once."""
        if self._hears is not None and line not in self._told:
            self._told.add(line)
            self._hears(line)

    def _refusal(self, error: OSError, what: str = "cannot hold results") -> UsageError:
        room = "make room there or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        reason = error.strerror or str(error)
        return UsageError(f"store: {self.folder} {what}: {reason}; {room}name another folder")

    def _held(self, digest: str) -> bool:
        """Whether another process holds a node's lock; to look makes no file."""
        path = self._lock_file(digest)
        if not path.exists():
            return False
        try:
            with FileLock(path).acquire(blocking=False):
                return False
        except Timeout:
            return True

    def _place(self, key: Key) -> Path:
        return self.folder / key.kind / key.hash

    def _lock_file(self, digest: str) -> Path:
        return self.folder / LOCKS / f"{digest}.lock"

    def _write(self, key: Key, artifact: Artifact) -> None:
        # The hash in the name tells whose lock is held while the folder is being filled.
        partial = Path(tempfile.mkdtemp(dir=self.folder, prefix=f"{PARTIAL}{key.hash}-"))
        try:
            partial.chmod(self.folder.stat().st_mode)
            write_files(key, artifact, partial)
            place = self._place(key)
            place.parent.mkdir(exist_ok=True)
            if not self._took(partial, place):
                try:
                    checked(place)
                except (Damaged, FileNotFoundError):
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
        if place.name.startswith(PARTIAL):  # no reader looks there
            shutil.rmtree(place, ignore_errors=True)
            return
        doomed = Path(tempfile.mkdtemp(dir=self.folder, prefix=f"{PARTIAL}{place.name}-"))
        try:
            place.rename(doomed / DOOMED)
        except FileNotFoundError:
            pass
        finally:
            shutil.rmtree(doomed, ignore_errors=True)


def _label(stored: Mapping[str, Any]) -> str:
    """Return what a node did in words; earlier versions stored none."""
    return str(stored.get("label", ""))
