"""Fetching: a publisher's file into the user's cache, checked, and written whole or not at all."""

import tempfile
import zipfile
import zlib
from pathlib import Path

import platformdirs
import pooch
import requests

from recaudit.data.sources import Archive, Source, find_source, places
from recaudit.errors import UsageError
from recaudit.files import whole_file

__all__ = ["download", "fetch"]

# Seconds without a byte after which a download is given up.
PATIENCE = 60


def fetch(name: str, *, progress: bool = True) -> Path:
    """Download a named data set from its publisher into the user's cache, unless it is already here.

    Args:
        name: a name in ``recaudit.data.sources.SOURCES``.
        progress: whether to show a progress bar on standard error.

    Returns:
        The file's path.

    Raises:
        UsageError: where there is no such data set, its publisher asks for a login (the message says what to
            download and where to put it), the download fails, or what arrives is not what was published.
    """
    source, path = find_source(name)
    if path is not None:
        return path
    if source.archive is None:
        raise UsageError(f"{name}: {source.instructions.format(folder=places(source)[0])}")
    return download(source, source.archive, progress=progress)


def download(source: Source, archive: Archive, *, progress: bool) -> Path:
    """Download an archive, check its SHA-256, and unpack its one wanted member into the user's cache.

    Raises:
        UsageError: where the download fails or what arrives is not what was published.
    """
    target = platformdirs.user_cache_path("recaudit") / source.name / source.files[0]
    by_hand = f"to go on by hand, download it elsewhere and put {archive.member} at {target}"
    pooch.get_logger().setLevel("WARNING")
    with tempfile.TemporaryDirectory(prefix="recaudit-") as folder:
        try:
            pooch.retrieve(
                archive.url,
                known_hash=f"sha256:{archive.sha256}",
                fname="archive.zip",
                path=folder,
                downloader=pooch.HTTPDownloader(progressbar=progress, timeout=PATIENCE),
            )
        except requests.exceptions.RequestException as error:
            raise UsageError(f"{archive.url}: the download failed ({_one_line(error)}); {by_hand}") from None
        except ValueError as error:
            raise UsageError(
                f"{archive.url}: {_one_line(error).split('. ')[0]}; the download was damaged, or the "
                f"publisher has replaced the file: try again; {by_hand} (figures then belong to that version)"
            ) from None
        _unpack(archive, Path(folder) / "archive.zip", target)
    return target


def _unpack(archive: Archive, zipped: Path, target: Path) -> None:
    """Write the wanted member, and nothing else, to ``target``; no name in the archive decides a path."""
    left = archive.largest + 1
    try:
        with (
            zipfile.ZipFile(zipped) as files,
            files.open(archive.member) as packed,
            whole_file(target) as temporary,
            temporary.open("wb") as file,
        ):
            # The size that an archive states need not be true, so the bytes are counted as they come.
            while block := packed.read(min(left, 1 << 20)):
                file.write(block)
                left -= len(block)
                if not left:
                    raise UsageError(
                        f"{archive.url}: {archive.member} has more than {archive.largest:,} bytes, "
                        "so it is not what was published"
                    )
    except KeyError:
        raise UsageError(f"{archive.url}: there is no {archive.member} in the archive") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UsageError(f"{archive.url}: the archive is damaged ({_one_line(error)})") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
