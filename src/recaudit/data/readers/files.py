"""Files: what the user named, made into a plain file that a reader can read.

What the first bytes say comes before the file's ending. Packed files are unpacked, other encodings and line ends
brought to UTF-8 and line feeds, the parts of a folder or a pattern joined, all in a temporary folder; a plain
file is read where it lies.
"""

import bz2
import codecs
import glob
import gzip
import lzma
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from recaudit.errors import UsageError, nearest

__all__ = ["ARROW", "JSON", "PARQUET", "TEXT", "File", "opened"]

PARQUET, ARROW, JSON, TEXT = "Parquet", "Arrow", "JSON", "text"

SAMPLE = 1 << 20
"""The bytes of a text that are looked at before it is read."""

LINES = 200
"""The lines of a text that are looked at before it is read."""

_PACKED: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
# What is no table at all, or none that is read here, by its first bytes.
_SIGNATURES = {
    b"\x28\xb5\x2f\xfd": "a Zstandard file; unpack it first",
    b"7z\xbc\xaf\x27\x1c": "a 7z file; unpack it first",
    b"Rar!": "a RAR file; unpack it first",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save the sheet as CSV",
    b"SQLite format 3": "an SQLite database; export the table as CSV",
    b"\x89HDF": "an HDF5 file; write the table as CSV or Parquet",
    b"\x93NUMPY": "a NumPy array; write it as CSV or Parquet, one row an interaction",
    b"\x80\x02": "a Python pickle, which is not opened; write the table as CSV or Parquet",
    b"\x80\x03": "a Python pickle, which is not opened; write the table as CSV or Parquet",
    b"\x80\x04": "a Python pickle, which is not opened; write the table as CSV or Parquet",
    b"\x80\x05": "a Python pickle, which is not opened; write the table as CSV or Parquet",
    b"%PDF": "a PDF document, expected a table",
    b"Obj\x01": "an Avro file; write the table as CSV or Parquet",
    b"ORC": "an ORC file; write the table as CSV or Parquet",
    b"version https://git-lfs.github.com/spec": "a Git LFS pointer, not the file itself; run git lfs pull where "
    "it comes from",
    b"\xff\xfe": "UTF-16 text; convert it to UTF-8, or add --encoding utf-16",
    b"\xfe\xff": "UTF-16 text; convert it to UTF-8, or add --encoding utf-16",
}
_PAGE = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<body")


@dataclass(frozen=True, kw_only=True)
class File:
    """A file as a reader gets it.

    Args:
        shown: how messages name it.
        kind: what its first bytes say it is: ``PARQUET``, ``ARROW``, ``JSON`` or ``TEXT``.
        paths: the plain files that hold it: one, except for Parquet and Arrow.
        pieces: of a text that several files were joined into, each file's name and its first line there, and
            how many of its own lines were left out before.
        told: what was guessed on the way, a sentence each.
    """

    shown: Path
    kind: str
    paths: tuple[Path, ...]
    pieces: tuple[tuple[int, int, Path], ...] = ()
    told: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The first plain file; of a text, the only one."""
        return self.paths[0]

    def at(self, line: int) -> str:
        """Return how a message names a line."""
        for begin, before, shown in reversed(self.pieces):
            if line >= begin:
                return f"{shown}, line {line - begin + before + 1}"
        return f"{self.shown}, line {line}"

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The first lines of a text, without their ends and a byte order mark; what is no UTF-8 is replaced."""
        if self.kind not in (TEXT, JSON):
            return ()
        with self.path.open("rb") as file:
            raw = file.read(SAMPLE)
            whole = not file.read(1)
        lines = raw.decode("utf-8-sig", errors="replace").split("\n")
        lines = lines if whole or len(lines) == 1 else lines[:-1]
        return tuple(line.rstrip("\r") for line in lines[:LINES])


@contextmanager
def opened(
    path: Path, *, encoding: str | None = None, header: Callable[[File], bool] = lambda _: False
) -> Iterator[File]:
    """Yield the file that a path names: a file, a folder of parts, or a pattern such as ``part-*.csv``.

    Args:
        path: the path.
        encoding: of a text; ``None`` takes UTF-8.
        header: says whether a text begins with a header, which the parts of a folder repeat.

    Raises:
        UsageError: where there is nothing that can be read.
    """
    paths = _named(path)
    with tempfile.TemporaryDirectory(prefix="recaudit-") as folder:
        parts = [_plain(one, Path(folder) / str(number), encoding) for number, one in enumerate(paths)]
        yield parts[0] if len(parts) == 1 else _joined(path, parts, header, Path(folder) / "joined")


def _named(path: Path) -> list[Path]:
    """Return the files that a path names."""
    try:
        if path.is_dir():
            return _parts(path)
        if path.exists():
            if not path.is_file():
                raise UsageError(f"{path}: is no regular file")
            path.open("rb").close()
            return [path]
        if glob.has_magic(str(path)):
            found = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
            files = [one for one in found if one.is_file() and not one.name.startswith(("_", "."))]
            if files:
                return files
            raise UsageError(f"{path}: no file fits this pattern")
        siblings = [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []
    except OSError as error:
        raise UsageError(f"{path}: cannot be opened ({error.strerror})") from None
    raise UsageError(f"{path}: no such file{nearest(path.name, siblings) if siblings else ''}")


def _parts(folder: Path) -> list[Path]:
    """Return the files of a folder that one table was written to, as Spark does."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(("_", ".")) for part in path.relative_to(folder).parts)
    )
    parts = [path for path in files if path.name.startswith("part-")]
    if parts:
        return parts
    if files and {path.suffix for path in files} <= {".parquet", ".pq", ".arrow", ".feather"}:
        return files
    files.sort(key=lambda path: path.suffix in ("", ".md", ".txt", ".html", ".pdf"))
    inside = f", such as {files[0].relative_to(folder)}" if files else ""
    raise UsageError(f"{folder}: is a directory, expected a file; name the file inside it{inside}")


def _plain(path: Path, place: Path, encoding: str | None) -> File:
    """Return one file, unpacked and as UTF-8 text where it is text."""
    shown, told = path, []
    head = _head(path)
    for signature, unpack in _PACKED.items():
        if head.startswith(signature):
            path = _unpacked(shown, place.with_suffix(".unpacked"), unpack)
            head = _head(path)
    if head.startswith(b"PK\x03\x04"):
        path, member = _from_zip(shown, path, place.with_suffix(".unpacked"))
        head = _head(path)
        told.append(f"The zip file holds one file, {member}, which was read.")
    kind = _kind(shown, head, encoding)
    if kind == TEXT and encoding is not None:
        path = _decoded(shown, path, place.with_suffix(".decoded"), encoding)
        head = _head(path)
    if kind == TEXT and b"\r" in head and b"\n" not in head:
        path = _with_line_feeds(path, place.with_suffix(".lines"))
        told.append("Lines end with a carriage return alone, as on old Macs.")
    if kind == TEXT and encoding is None:
        told += _odd_bytes(head)
    if not _is_utf8(path):  # Polars opens no such name
        place.symlink_to(path.absolute())
        path = place
    return File(shown=shown, kind=kind, paths=(path,), told=tuple(told))


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(SAMPLE)


def _kind(shown: Path, head: bytes, encoding: str | None) -> str:
    """Return what the first bytes say that a file is.

    Raises:
        UsageError: where that is nothing that can be read.
    """
    if not head:
        raise UsageError(f"{shown}: the file is empty")
    if head.startswith(b"PAR1"):
        return PARQUET
    if head.startswith(b"ARROW1"):
        return ARROW
    for signature, what in _SIGNATURES.items():
        if head.startswith(signature) and not (encoding and what.startswith("UTF-16")):
            raise UsageError(f"{shown}, line 1: this is {what}")
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if text[:16].lower().startswith(_PAGE):
        raise UsageError(
            f"{shown}, line 1: this is a web page (HTML or XML), not data; the download went wrong"
        )
    if head[257:262] == b"ustar":
        raise UsageError(f"{shown}: this is a tar archive; unpack it first")
    return JSON if text[:1] == b"{" or text[:2] == b"[{" else TEXT


def _unpacked(shown: Path, target: Path, unpack: Callable[[Path], Any]) -> Path:
    try:
        with unpack(shown) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file, SAMPLE)
    except (EOFError, zlib.error, lzma.LZMAError, ValueError, gzip.BadGzipFile) as error:
        raise UsageError(f"{shown}: the packed file is damaged ({error}); download it again") from None
    except OSError as error:
        raise UsageError(f"{shown}: the file cannot be unpacked ({error})") from None
    return target


def _from_zip(shown: Path, path: Path, target: Path) -> tuple[Path, str]:
    """Return the one file of a zip file, and its name there."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            if "[Content_Types].xml" in names or "mimetype" in names:
                what = "an Excel workbook" if any(name.startswith("xl/") for name in names) else "a document"
                raise UsageError(f"{shown}: this is {what}; save the sheet as CSV")
            names = [name for name in names if not name.startswith("__MACOSX/")]
            names = [name for name in names if not name.rpartition("/")[2].startswith(".")]
            if len(names) != 1:
                some = f" ({', '.join(names[:4])}{', …' if len(names) > 4 else ''})" if names else ""
                raise UsageError(
                    f"{shown}: this zip file holds {len(names)} files{some}, expected one; unpack it and name the "
                    "file with the interactions"
                )
            with archive.open(names[0]) as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file, SAMPLE)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UsageError(f"{shown}: the zip file is damaged or locked ({error})") from None
    return target, names[0]


def _decoded(shown: Path, path: Path, target: Path, encoding: str) -> Path:
    """Write a text of another encoding as UTF-8."""
    try:
        codec = codecs.lookup(encoding)
        if not codec._is_text_encoding:
            raise LookupError
    except LookupError:
        raise UsageError(
            f"encoding: unknown encoding {encoding!r}; known are utf-8, latin-1, cp1252, utf-16, gb18030, shift_jis "
            "and all others of Python"
        ) from None
    try:
        with (
            path.open(encoding=encoding, newline="") as text,
            target.open("w", encoding="utf-8", newline="") as file,
        ):
            shutil.copyfileobj(text, file, SAMPLE)
    except (UnicodeError, ValueError) as error:
        raise UsageError(f"{shown}: is no {encoding} text ({error}); name another --encoding") from None
    return target


def _with_line_feeds(path: Path, target: Path) -> Path:
    with path.open("rb") as old, target.open("wb") as new:
        while block := old.read(SAMPLE):
            new.write(block.replace(b"\r", b"\n"))
    return target


def _odd_bytes(head: bytes) -> list[str]:
    """Return what to say of bytes that are not UTF-8; where an id holds them, the reader refuses it."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError as error:
        line = head.count(b"\n", 0, error.start) + 1
        return [
            f"Line {line} has bytes that are not UTF-8, in columns that are not read; with --encoding latin-1 they "
            "would be letters."
        ]
    return []


def _joined(shown: Path, parts: Sequence[File], header: Callable[[File], bool], target: Path) -> File:
    """Return several files as one: Parquet and Arrow side by side, text joined, with one header."""
    kinds = {part.kind for part in parts}
    if len(kinds) > 1:
        raise UsageError(
            f"{shown}: holds files of several kinds ({', '.join(sorted(kinds))}); name one of them"
        )
    told = [f"{len(parts)} files were read as one table, in the order of their names."]
    told += dict.fromkeys(sentence for part in parts for sentence in part.told)
    if kinds <= {PARQUET, ARROW}:
        paths = tuple(part.path for part in parts)
        return File(shown=shown, kind=parts[0].kind, paths=paths, told=tuple(told))
    first = parts[0].lines[0]
    repeated = parts[0].kind == TEXT and header(parts[0])
    pieces, line = [], 1
    with target.open("wb") as joined:
        for part in parts:
            skip = int(repeated and part is not parts[0])
            if skip and part.lines[0] != first:
                raise UsageError(
                    f"{part.shown}, line 1: the header is not that of {parts[0].shown.name}; found "
                    f"{part.lines[0]!r:.80}, expected {first!r:.80}"
                )
            pieces.append((line, skip, part.shown))
            with part.path.open("rb") as file:
                line += _appended(file, joined, skip)
    return File(shown=shown, kind=parts[0].kind, paths=(target,), pieces=tuple(pieces), told=tuple(told))


def _appended(file: IO[bytes], joined: IO[bytes], skip: int) -> int:
    """Copy a part's lines, the first ``skip`` apart, and return how many there are."""
    lines, last = 0, b"\n"
    if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        file.seek(0)
    for _ in range(skip):
        file.readline()
    while block := file.read(SAMPLE):
        joined.write(block)
        lines, last = lines + block.count(b"\n"), block[-1:]
    if last != b"\n":
        joined.write(b"\n")
        lines += 1
    return lines
