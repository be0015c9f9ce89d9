"""Speed of a grid: ``python benchmarks/grid.py [column|workers|both] [OPTIONS]``.

``column`` takes the time of one seed of Zhu et al.'s Table 4 for BPR on MovieLens-1M, all stages, by
``benchmarks/plain.py`` and by ``recaudit reproduce`` with one worker; ``workers`` that of ``reproduce`` with
two workers beside one, for one seed and for ``--seeds`` (2). One seed is a chain: no list is stolen before
the victim is trained, so two workers have less to share.

Each run is a process of its own, with one thread of torch a worker and a store of its own that is empty, one
after the other; a run takes minutes, so there is one of each, and the load average before it is told. Luck
stops a training sooner or later, so seconds an epoch are shown too, and what the plain script would take for
as many epochs as ours. The agreements tell whether both do the same work: their splits and seeds differ.

Needs MovieLens-1M (``recaudit data fetch ml-1m``).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table

from recaudit.attacks.registry import STEALING_ATTACKS, key_inputs
from recaudit.data.sources import find_source
from recaudit.errors import UsageError
from recaudit.rng import child_seed

GRID = ("reproduce", "zhu2023/table4", "--only", "data=ml-1m,victim=bpr")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
STAGES = ("victim", "retrained", "auxiliary", "QSD", "PTD", "PTQ", "PTA", "PTAQ")


@dataclass(frozen=True, kw_only=True)
class Training:
    """How long the training of one stage of seed 0 took, validation included, and what came out."""

    epochs: int
    seconds: float
    agreement: float | None = None

    @property
    def an_epoch(self) -> float:
        return self.seconds / self.epochs


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One run: seconds by the clock and of all its processes, the load average before, and its trainings."""

    wall: float
    processor: float
    load: float
    trainings: Mapping[str, Training] = field(default_factory=dict)


def timed(command: Sequence[str]) -> Measured:
    """Run a command to its end, and return what it and its children took."""
    print(" ".join(command), file=sys.stderr, flush=True)
    load, before = os.getloadavg()[0], resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(
        command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=False
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(wall=wall, processor=processor, load=load)


def plain(loader: bool) -> Measured:
    """Run the plain script, its batches from torch's loader or not."""
    ratings = find_source("ml-1m")[1]
    if ratings is None:
        raise SystemExit("grid.py: MovieLens-1M is not there; run: recaudit data fetch ml-1m")
    script = Path(__file__).with_name("plain.py")
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.json"
        options = ["--json", str(table), *(["--loader"] if loader else [])]
        run = timed([sys.executable, str(script), str(ratings), *options])
        rows = json.loads(table.read_text(encoding="utf-8"))["stages"]
    trainings = {
        row["stage"]: Training(epochs=row["epochs"], seconds=row["seconds"], agreement=row["agreement"])
        for row in rows
        if row["epochs"]
    }
    return Measured(wall=run.wall, processor=run.processor, load=run.load, trainings=trainings)


@cache
def ours(seeds: int, workers: int) -> Measured:
    """Reproduce the column into an empty store."""
    with tempfile.TemporaryDirectory() as folder:
        store, out = Path(folder) / "store", Path(folder) / "out"
        options = ["--seeds", str(seeds), "--workers", str(workers), "--store", str(store), "--out", str(out)]
        run = timed(["recaudit", *GRID, *options])
        agreements = reproduced(out)
        trainings = {
            name: replace(training, agreement=agreements.get(name))
            for name, training in stored_trainings(store)
        }
    return Measured(wall=run.wall, processor=run.processor, load=run.load, trainings=trainings)


def reproduced(out: Path) -> dict[str, float]:
    """Return the agreements that ``reproduce`` tells."""
    rows = pl.read_parquet(out / "results.parquet").filter(
        (pl.col("metric") == "agreement@50") & (pl.col("users") == "unqueried")
    )
    return dict(rows.select("attack", "value").iter_rows())


def stored_trainings(store: Path) -> Iterator[tuple[str, Training]]:
    """Yield the trainings of seed 0 that the store holds, by the plain script's names of stages.

    The clone of an attack that asks for lists is trained within the node that judges it.
    """
    for path in sorted(store.glob("*/*/node.json")):
        node = json.loads(path.read_text(encoding="utf-8"))
        inputs, facts = node["inputs"], node["facts"]
        name, log = trained(inputs), facts.get("log")
        if name is not None and inputs.get("attack", {}).get("lists"):
            log = {"epochs": facts["cost"]["epochs"], "seconds": node["elapsed"]}
        if name is not None and log is not None:
            yield name, Training(epochs=log["epochs"], seconds=log["seconds"])


def trained(inputs: Mapping[str, Any]) -> str | None:
    """Return what a node trains with seed 0: victim, ceiling and auxiliary model go by their seeds."""
    attack, seed = child_seed(0, "attack"), inputs.get("seed")
    models = {
        child_seed(0, "victim"): "victim",
        child_seed(0, "retrained"): "retrained",
        child_seed(attack, "auxiliary"): "auxiliary",
    }
    if seed != attack:
        return models.get(seed) if seed is not None else None
    if "attack" in inputs:
        return next(
            (name for name, one in STEALING_ATTACKS.items() if key_inputs(one) == inputs["attack"]), None
        )
    return {"none": "PTD", "attention": "PTA"}.get(inputs["auxiliary"])


def column(loader: bool) -> None:
    """Print the seconds of the column by the plain script and by us, in all and an epoch."""
    theirs, mine = plain(loader), ours(1, 1)
    heads = (
        "Table 4, ml-1m, bpr, one seed",
        "seconds",
        "processor's",
        "ratio",
        "processor's ratio",
        "load before",
    )
    table = Table(*heads, box=box.MARKDOWN)
    for name, run in (("plain PyTorch script", theirs), ("recaudit, 1 worker", mine)):
        ratios = f"{run.wall / theirs.wall:.2f}", f"{run.processor / theirs.processor:.2f}"
        table.add_row(name, f"{run.wall:.0f}", f"{run.processor:.0f}", *ratios, f"{run.load:.1f}")
    Console(width=130).print(table)
    epochs(theirs.trainings, mine.trainings)


def epochs(theirs: Mapping[str, Training], mine: Mapping[str, Training]) -> None:
    """Print epochs, seconds an epoch and agreement of each stage, and the ratio at equal epochs."""
    missing = [name for name in STAGES if name not in theirs or name not in mine]
    if missing:
        raise SystemExit(f"grid.py: no training found of {', '.join(missing)}")
    heads = ("epochs", "recaudit's", "seconds an epoch", "recaudit's", "ratio", "agreement", "recaudit's")
    table = Table("stage", *heads, box=box.MARKDOWN)
    for name in STAGES:
        a, b = theirs[name], mine[name]
        an_epoch = f"{a.an_epoch:.3f}", f"{b.an_epoch:.3f}", f"{b.an_epoch / a.an_epoch:.2f}"
        agreed = ("" if one.agreement is None else f"{one.agreement:.3f}" for one in (a, b))
        table.add_row(name, str(a.epochs), str(b.epochs), *an_epoch, *agreed)
    Console(width=130).print(table)
    at_ours = sum(theirs[name].an_epoch * mine[name].epochs for name in STAGES)
    spent = sum(mine[name].seconds for name in STAGES)
    print(
        f"\nTrainings of recaudit's numbers of epochs: plain {at_ours:.0f} s, recaudit {spent:.0f} s, "
        f"ratio {spent / at_ours:.2f}\n"
    )


def workers(seeds: int) -> None:
    """Print how many times as fast two workers are as one."""
    heads = ("seeds", "1 worker, seconds", "2 workers, seconds", "times as fast", "load before")
    table = Table(*heads, box=box.MARKDOWN)
    for number in sorted({1, seeds}):
        one, two = ours(number, 1), ours(number, 2)
        walls = f"{one.wall:.0f}", f"{two.wall:.0f}", f"{one.wall / two.wall:.2f}"
        table.add_row(str(number), *walls, f"{one.load:.1f}, {two.load:.1f}")
    Console(width=130).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="?", choices=["column", "workers", "both"], default="both")
    parser.add_argument("--loader", action="store_true", help="let the plain script use torch's DataLoader")
    parser.add_argument("--seeds", type=int, default=2, help="seeds that the workers share, beside one alone")
    options = parser.parse_args()
    loads = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"{os.cpu_count()} processors, load averages {loads}\n")
    try:
        if options.part != "workers":
            column(options.loader)
        if options.part != "column":
            workers(options.seeds)
    except UsageError as error:
        raise SystemExit(f"grid.py: {error}") from None


if __name__ == "__main__":
    main()
