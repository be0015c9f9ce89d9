"""How recaudit fares with large data: ``python benchmarks/scale.py [reading|top-lists]``.

``reading`` generates a CSV of 25 million rows in the shape of MovieLens 25M and reads it, with Polars alone
and into ``Interactions``, each in a fresh process. (So import what is heavy, torch above all, in the parts.)
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from recaudit.data.formats import read_interactions

ROWS, USERS, ITEMS = 25_000_000, 162_541, 59_047
REPEATS = 3


def generate(path: Path, order: str, seed: int = 0) -> None:
    """Write ``user,item,rating,timestamp`` rows with long-tailed users and items and no repeated pair.

    Args:
        path: where to.
        order: ``sorted`` by user and item, as MovieLens publishes its files, or ``shuffled``.
        seed: of the random numbers.
    """
    random = np.random.default_rng(seed)
    activity = np.cumsum(random.lognormal(0, 1.2, USERS))
    popularity = np.cumsum((np.arange(ITEMS) + 20.0) ** -1.0)
    keys = np.empty(0, dtype=np.int64)
    while len(keys) < ROWS:
        # Searching for sorted numbers is many times faster, and the items are shuffled among the users after.
        users = np.searchsorted(activity, np.sort(random.random(ROWS // 2)) * activity[-1])
        items = np.searchsorted(popularity, np.sort(random.random(ROWS // 2)) * popularity[-1])
        keys = np.sort(np.concatenate([keys, users * ITEMS + random.permutation(items)]))
        keys = keys[np.append(True, keys[1:] != keys[:-1])]
    keys = (
        keys[np.sort(random.permutation(len(keys))[:ROWS])]
        if order == "sorted"
        else random.permutation(keys)[:ROWS]
    )
    users, items = np.divmod(keys, ITEMS)
    joined = random.integers(789_652_004, 1_574_327_703, USERS)
    frame = {
        "user": users + 1,
        "item": random.permutation(3 * ITEMS)[:ITEMS][items] + 1,
        "rating": random.integers(1, 11, ROWS) / 2,
        "timestamp": joined[users] + random.integers(0, 3_000_000, ROWS),
    }
    pl.DataFrame(frame).write_csv(path)


def read_bare(path: Path) -> int:
    """Read the file as Polars does, and return the number of rows."""
    return len(pl.read_csv(path))


def read_ours(path: Path) -> int:
    """Read the file into ``Interactions``, and return the number of interactions."""
    return len(read_interactions(path, columns="user=user,item=item,rating=rating,time=timestamp").items)


def in_child(*arguments: str) -> dict[str, float]:
    """Run one step in a fresh process, whose peak of memory is then its own, and return what it reports."""
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True)
    report: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return report


def measured(step: str, path: Path) -> dict[str, float]:
    """Run one reader here, and return its seconds, the process's peak in GB and the rows."""
    begin = time.perf_counter()
    rows = {"bare": read_bare, "ours": read_ours}[step](path)
    seconds = time.perf_counter() - begin
    return {
        "seconds": seconds,
        "gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "rows": rows,
    }


def reading() -> None:
    """Print what reading 25 million rows takes, sorted as published and shuffled."""
    table = Table(title=f"Reading {ROWS:,} rows, {USERS:,} users, {ITEMS:,} items (median of {REPEATS})")
    for column in ("rows are", "file", "reader", "seconds", "times Polars", "peak memory"):
        table.add_column(column, justify="left" if column in {"rows are", "reader"} else "right")
    with tempfile.TemporaryDirectory() as folder:
        for order in ("sorted", "shuffled"):
            path = Path(folder) / f"{order}.csv"
            in_child("generate", str(path), order)
            runs: dict[str, list[dict[str, float]]] = {"bare": [], "ours": []}
            for _ in range(REPEATS):
                for step, results in runs.items():
                    results.append(in_child("measure", step, str(path)))
            bare = statistics.median(r["seconds"] for r in runs["bare"])
            for step, label in (("bare", "pl.read_csv"), ("ours", "read_interactions")):
                seconds = statistics.median(r["seconds"] for r in runs[step])
                table.add_row(
                    order,
                    f"{path.stat().st_size / 1e6:,.0f} MB",
                    label,
                    f"{seconds:.2f}",
                    f"{seconds / bare:.2f}",
                    f"{max(r['gb'] for r in runs[step]):.2f} GB",
                )
            path.unlink()
    Console().print(table)


def main(arguments: list[str]) -> None:
    """Run the named parts, or all."""
    match arguments:
        case ["generate", path, order]:
            generate(Path(path), order)
            print("{}")
        case ["measure", step, path]:
            print(json.dumps(measured(step, Path(path))))
        case [] | ["reading"]:
            reading()
        case _:
            raise SystemExit(f"{' '.join(arguments)!r} is no part of this benchmark; {__doc__}")


if __name__ == "__main__":
    main(sys.argv[1:])
