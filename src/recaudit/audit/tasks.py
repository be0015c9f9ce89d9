"""An audit's nodes as tasks: planned, looked up in the store, and performed by any process."""

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from recaudit.audit.seed import SeedAudit
from recaudit.audit.spec import AuditSpec, audit_spec
from recaudit.data.interactions import Interactions
from recaudit.data.sources import DataSpec, load
from recaudit.errors import UsageError
from recaudit.pipeline.cache import Cache
from recaudit.pipeline.node import Node
from recaudit.pipeline.run import Progress, Run, no_progress
from recaudit.pipeline.schedule import Done, Planned, Task
from recaudit.pipeline.store import Store
from recaudit.validation import validated

__all__ = ["finished_seeds", "missing", "open_data", "open_seed", "perform", "plan_audits", "planned_nodes"]


def planned_nodes(
    audits: Iterable[tuple[AuditSpec, int, SeedAudit]], store: Store | None
) -> dict[str, Planned]:
    """Return all kept nodes of audits of one seed each as tasks, by hash; who comes first goes first."""
    planned: dict[str, Planned] = {}
    for place, (spec, seed, audit) in enumerate(audits):
        text = spec.model_dump_json()
        wanted = {node.key.hash for node in audit.targets}
        for node in audit.nodes():
            if node.key.hash in planned:
                continue
            task = Task(
                store="" if store is None else str(store.folder),
                spec=text,
                seed=seed,
                key=node.key,
                label=node.label,
                device=spec.device,
            )
            planned[node.key.hash] = Planned(
                task=task,
                needs=node.kept_needs,
                shares=node.shared_needs,
                place=place,
                wanted=node.key.hash in wanted,
            )
    return planned


def plan_audits(audits: Sequence[tuple[AuditSpec, int]], store: Store) -> dict[str, Planned]:
    """Return all kept nodes of audits of one seed each as tasks, by hash, finished ones too.

    Raises:
        UsageError: where an audit's data are missing or cannot be split as it says.
    """
    opened = ((spec, seed, open_seed(spec.model_dump_json(), seed, Cache(store))) for spec, seed in audits)
    return planned_nodes(opened, store)


def open_seed(spec: str, seed: int, cache: Cache, progress: Progress = no_progress) -> SeedAudit:
    """Return one seed of the audit whose spec is ``spec`` in JSON, its data loaded once a process."""
    settings = _spec(spec)
    data = open_data(settings)
    return SeedAudit(settings, data, Run(seed=seed, device=settings.device, progress=progress, cache=cache))


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


def missing(planned: Mapping[str, Planned], store: Store | None) -> dict[str, Planned]:
    """Return the nodes still to be computed: figures that are not stored, and what they need and lack.

    A damaged result is told and counts as not stored. Without a store, everything is missing.
    """
    if store is None:
        return dict(planned)
    found = set()
    left = [key for key, one in planned.items() if one.wanted]
    while left:
        key = left.pop()
        if key not in found and store.read(planned[key].task.key) is None:
            found.add(key)
            left += planned[key].needs
    return {key: one for key, one in planned.items() if key in found}


def finished_seeds(spec: AuditSpec, store: Store) -> tuple[int, ...]:
    """Return the seeds of a spec of which all figures are stored."""
    text = spec.model_dump_json()
    audits = {seed: open_seed(text, seed, Cache(store)) for seed in spec.seeds}
    return tuple(
        seed
        for seed, audit in audits.items()
        if all(store.read(node.key) is not None for node in audit.targets)
    )


@lru_cache(maxsize=4)
def _worker_cache(store: str) -> tuple[Cache, list[str]]:
    """Return a process's cache on a store, with the lines about damaged results that it met."""
    damaged: list[str] = []
    return Cache(Store(Path(store), say=damaged.append)), damaged


@lru_cache(maxsize=8)
def _worker_nodes(store: str, spec: str, seed: int, progress: Any) -> dict[str, Node[Any]]:
    """Return the kept nodes of one seed of an audit, by hash."""
    audit = open_seed(spec, seed, _worker_cache(store)[0], progress)
    return {node.key.hash: node for node in audit.nodes()}


def perform(task: Task, progress: Progress = no_progress) -> Done:
    """Compute one node and keep its result in the store.

    A process keeps the nodes of the seeds at hand, and results that several nodes share.

    Raises:
        UsageError: where the store or the data cannot be found on this machine, or the data cannot be split;
            where this machine's data or versions are others than those of the process that asks.
    """
    torch.set_num_threads(1)  # results must not depend on who computes, and workers share the machine
    if not Path(task.store).is_dir():
        raise UsageError(
            f"store: {task.store} is not there on {platform.node()}; a cluster needs a folder that all "
            "machines share, under the same name"
        )
    cache, damaged = _worker_cache(task.store)
    if cache.store is not None and cache.store.busy(task.key):
        return Done(busy=True)
    nodes = _worker_nodes(task.store, task.spec, task.seed, progress)  # type: ignore[arg-type]
    if task.key.hash not in nodes:
        raise UsageError(
            f"{platform.node()} has other data than the process that asks, or another version of recaudit, "
            "torch, numpy, scipy or polars: the figures would not be comparable; give both the same"
        )
    cache.get(nodes[task.key.hash])
    told = tuple(damaged)
    damaged.clear()
    return Done(damaged=told)
