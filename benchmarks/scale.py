"""How recaudit fares with large data: ``python benchmarks/scale.py [reading [ROWS]|top-lists]``.

``reading`` generates a CSV of 25 million rows (or of so many) in the shape of MovieLens 25M and reads it, with Polars
alone and into ``Interactions``, each in a fresh process. (So import what is heavy, torch above all, in the parts.)
``top-lists`` ranks 50,000 items for 100,000 users by factors of 64, beside the bare matrix product.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from recaudit.data.interactions import Interactions
from recaudit.data.readers.registry import read_interactions

if TYPE_CHECKING:
    from recaudit.models.factorization import NetworkRecommender

ROWS, USERS, ITEMS = 25_000_000, 162_541, 59_047
REPEATS = 3
LIST_USERS, LIST_ITEMS, FACTORS, K = 100_000, 50_000, 64, 50


def generate(path: Path, order: str, rows: int, seed: int = 0) -> None:
    """Write ``user,item,rating,timestamp`` rows with long-tailed users and items and no repeated pair.

    Args:
        path: where to.
        order: ``sorted`` by user and item, as MovieLens publishes its files, or ``shuffled``.
        rows: how many.
        seed: of the random numbers.
    """
    random = np.random.default_rng(seed)
    activity = np.cumsum(random.lognormal(0, 1.2, USERS))
    popularity = np.cumsum((np.arange(ITEMS) + 20.0) ** -1.0)
    keys = np.empty(0, dtype=np.int64)
    while len(keys) < rows:
        # Searching for sorted numbers is many times faster, and the items are shuffled among the users after.
        users = np.searchsorted(activity, np.sort(random.random(rows // 2)) * activity[-1])
        items = np.searchsorted(popularity, np.sort(random.random(rows // 2)) * popularity[-1])
        keys = np.sort(np.concatenate([keys, users * ITEMS + random.permutation(items)]))
        keys = keys[np.append(True, keys[1:] != keys[:-1])]
    keys = (
        keys[np.sort(random.permutation(len(keys))[:rows])]
        if order == "sorted"
        else random.permutation(keys)[:rows]
    )
    users, items = np.divmod(keys, ITEMS)
    joined = random.integers(789_652_004, 1_574_327_703, USERS)
    frame = {
        "user": users + 1,
        "item": random.permutation(3 * ITEMS)[:ITEMS][items] + 1,
        "rating": random.integers(1, 11, rows) / 2,
        "timestamp": joined[users] + random.integers(0, 3_000_000, rows),
    }
    pl.DataFrame(frame).write_csv(path)


def read_bare(path: Path) -> int:
    """Read the file as Polars does, and return the number of rows."""
    return len(pl.read_csv(path))


def read_ours(path: Path) -> int:
    """Read the file into ``Interactions``, and return the number of interactions."""
    return len(read_interactions(path).items)


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


def reading(rows: int) -> None:
    """Print what reading so many rows takes, sorted as published and shuffled."""
    table = Table(title=f"Reading {rows:,} rows, {USERS:,} users, {ITEMS:,} items (median of {REPEATS})")
    for column in ("rows are", "file", "reader", "seconds", "times Polars", "peak memory"):
        table.add_column(column, justify="left" if column in {"rows are", "reader"} else "right")
    with tempfile.TemporaryDirectory() as folder:
        for order in ("sorted", "shuffled"):
            path = Path(folder) / f"{order}.csv"
            in_child("generate", str(path), order, str(rows))
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


def factor_model() -> "tuple[NetworkRecommender, Interactions]":
    """Return a matrix factorisation with random factors, and 50 items to exclude for each user."""
    import torch  # noqa: PLC0415

    from recaudit.models.factorization import BPR  # noqa: PLC0415

    random = np.random.default_rng(0)
    shapes = {"users": (LIST_USERS, FACTORS), "items.table": (LIST_ITEMS, FACTORS)}
    tensors = {
        name: torch.from_numpy(random.standard_normal(shape, np.float32)) for name, shape in shapes.items()
    }
    first = random.integers(0, LIST_ITEMS, LIST_USERS)
    histories = (first[:, None] + 997 * np.arange(50)) % LIST_ITEMS
    seen = Interactions(
        name="random",
        offsets=50 * np.arange(LIST_USERS + 1, dtype=np.int64),
        items=histories.astype(np.int32).ravel(),
        user_ids=pl.Series(np.arange(LIST_USERS)),
        item_ids=pl.Series(np.arange(LIST_ITEMS)),
    )
    return BPR(embedding_size=FACTORS).restore(tensors, n_users=LIST_USERS, n_items=LIST_ITEMS), seen


def listing() -> dict[str, float]:
    """Rank here, in turns with the bare product of the same chunks, and return seconds and the peak in GB.

    One thread; seconds are the processor's, so that other work on the machine disturbs them less.
    """
    import torch  # noqa: PLC0415

    from recaudit.models.ranking import CHUNK_SCORES, top_k  # noqa: PLC0415

    torch.set_num_threads(1)
    model, seen = factor_model()
    tensors = model.tensors()
    users, items = tensors["users"], tensors["items.table"]
    spent = {"product": 0.0, "lists": 0.0}
    for part in np.array_split(np.arange(LIST_USERS), 10):
        begin = time.process_time()
        for chunk in np.array_split(part, -(-len(part) * LIST_ITEMS // CHUNK_SCORES)):
            users[chunk] @ items.T
        middle = time.process_time()
        spent["product"] += middle - begin
        top_k(model, part, seen, K)
        spent["lists"] += time.process_time() - middle
    begin = time.process_time()
    top_k(model, np.arange(LIST_USERS), seen, K)
    spent["lists, at once"] = time.process_time() - begin
    return spent | {"gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}


def top_lists() -> None:
    """Print what ranking takes beside the bare matrix product."""
    table = Table(title=f"Top {K} of {LIST_ITEMS:,} items for {LIST_USERS:,} users, factors of {FACTORS}")
    for column in ("", "processor seconds", "times the product"):
        table.add_column(column, justify="right" if column else "left")
    report = in_child("list")
    peak = report.pop("gb")
    for name, seconds in report.items():
        table.add_row(name, f"{seconds:.1f}", f"{seconds / report['product']:.2f}")
    Console().print(table)
    Console().print(f"peak memory {peak:.2f} GB", highlight=False)


def main(arguments: list[str]) -> None:
    """Run the named parts, or all."""
    match arguments:
        case ["generate", path, order, rows]:
            generate(Path(path), order, int(rows))
            print("{}")
        case ["measure", step, path]:
            print(json.dumps(measured(step, Path(path))))
        case ["list"]:
            print(json.dumps(listing()))
        case ["reading"]:
            reading(ROWS)
        case ["reading", rows] if rows.isdecimal():
            reading(int(rows))
        case ["top-lists"]:
            top_lists()
        case []:
            reading(ROWS)
            top_lists()
        case _:
            raise SystemExit(f"{' '.join(arguments)!r} is no part of this benchmark; {__doc__}")


if __name__ == "__main__":
    main(sys.argv[1:])
