"""From a grid to its work: the stages of all cells and seeds, each once, with what each needs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from recaudit.audit.seed import SeedAudit
from recaudit.audit.spec import AuditSpec, audit_spec
from recaudit.data.interactions import Interactions
from recaudit.data.sources import DataSpec, load
from recaudit.experiments.grid import Cell, Grid
from recaudit.pipeline import Stage, Store
from recaudit.pipeline.memo import Memo
from recaudit.pipeline.run import Progress, Run, no_progress
from recaudit.validation import validated

__all__ = [
    "Planned",
    "Task",
    "cell_spec",
    "finished_seeds",
    "missing",
    "open_data",
    "open_seed",
    "plan",
    "plan_audits",
]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One stage to compute, in plain values that any process can take.

    Args:
        store: folder of the store.
        spec: JSON of the audit's spec.
        seed: the seed.
        name: what :meth:`~recaudit.audit.seed.SeedAudit.do` is to do.
        stage: what names the result.
        device: where to compute it.
    """

    store: str
    spec: str
    seed: int
    name: tuple[str, ...]
    stage: Stage
    device: str


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A task with what must be there before it.

    Args:
        task: what is to be computed.
        needs: hashes of the stages that it takes.
        place: where its cell and seed stand in the grid; who comes first is computed first.
    """

    task: Task
    needs: frozenset[str]
    place: int


def cell_spec(cell: Cell, *, device: str = "cpu") -> AuditSpec:
    """Return the audit that a cell stands for."""
    return audit_spec({**cell.values, "device": device})


def plan(grid: Grid, store: Store, *, device: str = "cpu") -> dict[str, Planned]:
    """Return all stages of a grid's cells and seeds, by hash, finished ones too.

    Cells come seed by seed, so that a grid that is stopped has all its cells over some seeds.

    Raises:
        UsageError: where a cell's data are missing or cannot be split as it says.
    """
    specs = [(cell, cell_spec(cell, device=device)) for cell in grid.cells()]
    most = max(cell.seeds for cell, _ in specs)
    return plan_audits(
        [(spec, seed) for seed in range(most) for cell, spec in specs if seed < cell.seeds], store
    )


def plan_audits(audits: Sequence[tuple[AuditSpec, int]], store: Store) -> dict[str, Planned]:
    """Return all stages of audits of one seed each, by hash, finished ones too; who comes first goes first.

    Raises:
        UsageError: where an audit's data are missing or cannot be split as it says.
    """
    planned: dict[str, Planned] = {}
    for place, (spec, seed) in enumerate(audits):
        text = json.dumps(spec.resolved())
        for work in open_seed(text, seed, Memo(store=store)).works():
            if work.stage.hash not in planned:
                task = Task(
                    store=str(store.folder),
                    spec=text,
                    seed=seed,
                    name=work.name,
                    stage=work.stage,
                    device=spec.device,
                )
                planned[work.stage.hash] = Planned(task=task, needs=frozenset(work.needs), place=place)
    return planned


def open_seed(spec: str, seed: int, memo: Memo, progress: Progress = no_progress) -> SeedAudit:
    """Return one seed of the audit whose spec is ``spec`` in JSON, its data loaded once a process."""
    settings = _spec(spec)
    data = open_data(settings)
    return SeedAudit(settings, data, Run(seed=seed, device=settings.device, progress=progress, memo=memo))


def open_data(spec: AuditSpec) -> Interactions:
    """Return the interactions that a spec names, loaded once a process."""
    return _data(spec.data.model_dump_json())


@lru_cache(maxsize=256)
def _spec(text: str) -> AuditSpec:
    return audit_spec(json.loads(text))


@lru_cache(maxsize=3)
def _data(text: str) -> Interactions:
    values: Mapping[str, Any] = json.loads(text)
    return load(validated(DataSpec, values, where="data"))


def missing(planned: Mapping[str, Planned], store: Store) -> dict[str, Planned]:
    """Return what is still to be computed: figures that are not stored, and what they need and lack.

    What is damaged is told and counts as not stored.
    """
    found = set()
    left = [key for key, one in planned.items() if one.task.name[0] == "judge"]
    while left:
        key = left.pop()
        # What is not planned itself, such as a saved victim, is there already.
        if key not in found and key in planned and store.read(planned[key].task.stage) is None:
            found.add(key)
            left += planned[key].needs
    return {key: one for key, one in planned.items() if key in found}


def finished_seeds(spec: AuditSpec, store: Store) -> tuple[int, ...]:
    """Return the seeds of a spec of which all figures are stored."""
    text = json.dumps(spec.resolved())
    audits = {seed: open_seed(text, seed, Memo(store=store)) for seed in spec.seeds}
    return tuple(
        seed
        for seed, audit in audits.items()
        if all(store.read(work.stage) is not None for work in audit.works() if work.name[0] == "judge")
    )
