"""Results on disk: an audit's figures.csv, result.json and report.html; an experiment's tidy table."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile

import polars as pl

from recaudit.errors import UsageError
from recaudit.files import whole_file, write_text
from recaudit.report.html import render_html
from recaudit.report.result import Result
from recaudit.report.tables import write_figures_csv

__all__ = ["check_folder", "write_page", "write_result", "write_results", "write_table"]


def check_folder(directory: Path) -> None:
    """See that a folder takes files, or can be made: nothing is made yet, so that a mistake leaves none behind.

    Raises:
        UsageError: where it does not.
    """
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"out: {directory} is a file; name a folder")
    there = next(folder for folder in (directory, *directory.absolute().parents) if folder.exists())
    try:
        with TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UsageError(f"out: {directory} cannot hold the results: {error.strerror}") from None


def write_result(result: Result, directory: Path) -> None:
    """Write ``figures.csv``, ``report.html`` and ``result.json`` into ``directory``, made where needed.

    All three are written in full before the first takes its place, so that a failure on the way leaves an
    earlier result as it was. ``result.json`` comes last: where it is, the others are too.

    Raises:
        UsageError: where ``directory`` cannot hold files.
    """
    page = render_html(result)
    with _refused(directory, "result"), ExitStack() as stack:
        # The stack ends with what it began with.
        stored = stack.enter_context(whole_file(directory / "result.json"))
        report = stack.enter_context(whole_file(directory / "report.html"))
        figures = stack.enter_context(whole_file(directory / "figures.csv"))
        stored.write_text(result.to_json(), encoding="utf-8")
        report.write_text(page, encoding="utf-8")
        write_figures_csv(result, figures)


def write_results(frame: pl.DataFrame, directory: Path) -> None:
    """Write an experiment's tidy table as ``results.parquet`` and ``results.csv``.

    Raises:
        UsageError: where ``directory`` cannot hold files.
    """
    with _refused(directory, "results"), whole_file(directory / "results.csv") as csv, csv.open("wb") as file:
        frame.write_csv(file)
    write_table(frame, directory / "results.parquet")


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write a table of results as Parquet; errors as of ``write_results``."""
    with _refused(path.parent, "results"), whole_file(path) as parquet, parquet.open("wb") as file:
        frame.write_parquet(file)


def write_page(text: str, path: Path) -> None:
    """Write a page; errors as of ``write_results``."""
    with _refused(path, "page"):
        write_text(path, text)


@contextmanager
def _refused(place: Path, what: str) -> Iterator[None]:
    """Say which place cannot hold what."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{place}: cannot write the {what} there: {error.strerror}") from None
