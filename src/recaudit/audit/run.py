"""The audit: every seed, finished results kept, and the result."""

import json
import platform
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from recaudit import __version__
from recaudit.attacks.protocol import named
from recaudit.audit.membership.figures import chosen_features, curves, membership_figures
from recaudit.audit.seed import SeedAudit
from recaudit.audit.spec import AuditSpec
from recaudit.audit.stealing.figures import figures
from recaudit.audit.stealing.threat import Stealing
from recaudit.audit.tasks import missing, perform, planned_nodes
from recaudit.audit.values import SeedResult
from recaudit.audit.victim import save_victim
from recaudit.data.interactions import Interactions
from recaudit.data.readers.frames import interactions_of
from recaudit.data.sources import load
from recaudit.errors import UsageError
from recaudit.figures import Figure, Figures
from recaudit.models.registry import model_card
from recaudit.pipeline.cache import Cache
from recaudit.pipeline.keys import versions
from recaudit.pipeline.node import Node
from recaudit.pipeline.pools.local import Here, Processes
from recaudit.pipeline.run import Progress, Run, no_progress
from recaudit.pipeline.schedule import Done, Pool, State, execute
from recaudit.pipeline.store import Store
from recaudit.victims.protocol import VictimSpec

__all__ = ["STORE", "AuditResult", "check_device", "check_out", "run_audit"]

STORE = "store"
"""The folder in an audit's output that keeps its finished results."""


@dataclass(frozen=True, kw_only=True)
class AuditResult:
    """What an audit found, as plain values: the content of ``result.json``.

    Args:
        content: spec and its hash, versions, description of the data, ledgers, costs (``stages``) and figures.
        reused: seeds for which nothing was computed, as all their results were stored.
    """

    content: dict[str, Any]
    reused: tuple[int, ...]

    @cached_property
    def index(self) -> Figures:
        """The figures, to be found by attack, metric, users and serving."""
        return Figures.of(Figure.model_validate(row) for row in self.content["figures"])

    def figure(
        self, attack: str, metric: str, users: str = "unqueried", *, serving: str | None = None
    ) -> float | None:
        """Return the value of one figure, ``None`` where it is not available.

        Args:
            attack: the attack, or ``popularity``, ``retrained`` or ``victim``; where a model reads histories
                also ``constant`` or ``auxiliary``.
            metric: such as ``agreement@50`` or ``auc``.
            users: whose figure; ``candidates`` for membership inference.
            serving: how users are served, for membership inference.

        Raises:
            KeyError: where there is no such figure; the message names those of the attack or of the metric.
        """
        found = self.index.find(attack, metric, users, serving)
        if found is not None:
            return found.value
        of_attack = {f"{one.metric} ({one.users})" for one in self.index if one.attack == attack}
        there = sorted(of_attack or self.index.attacks)
        raise KeyError(f"no {metric!r} of {attack!r} on {users!r} users; there are {', '.join(there)}")


def run_audit(
    spec: AuditSpec,
    *,
    data: Any = None,
    out: str | Path | None = None,
    store: Store | None = None,
    workers: int = 1,
    progress: Progress = no_progress,
    tell: Callable[[State], None] = lambda _: None,
) -> AuditResult:
    """Audit one setting over all its seeds.

    torch computes on as many threads as it is told to; the command line takes one, and another number of
    threads may change the last digits of a figure. Each process of several computes on one.

    Args:
        spec: what to measure.
        data: the interactions, where they are at hand already: ``Interactions``, or a frame or rows as
            :func:`~recaudit.data.readers.frames.interactions_of` takes; ``spec.data`` is loaded otherwise.
        out: directory for the victims, and for a store of the finished nodes where ``store`` is not given.
        store: keeps finished nodes, so that a killed audit goes on where it was, and another audit takes
            what both need. Without it and ``out``, nothing is kept.
        workers: processes that compute; 1 computes here. Several load ``spec.data`` themselves.
        progress: told the epochs of trainings that are computed here.
        tell: hears how far the audit is.

    Raises:
        UsageError: where the spec cannot be carried out on the data or the device, or ``out`` cannot hold the
            result or holds another audit's.
        ValueError: where several workers are to compute on ``data`` that is given here.
    """
    if workers > 1 and data is not None:
        raise ValueError("several workers load spec.data themselves; leave data out, or take one worker")
    check_device(spec.device)
    out = None if out is None else Path(out)
    if out is not None:
        check_out(out, spec)
    if data is None:
        data = load(spec.data)  # afresh: a file may have changed
    elif not isinstance(data, Interactions):
        data = interactions_of(data)
    if spec.k >= data.n_items:
        raise UsageError(f"k: lists of {spec.k} items need more than the {data.n_items} of {data.name!r}")
    with ExitStack() as stack:
        if store is None and (out is not None or workers > 1):
            folder = stack.enter_context(TemporaryDirectory()) if out is None else out / STORE
            store = Store(Path(folder), writes=False)
        return _audit(spec, data, out, _Computing(store=store, workers=workers, progress=progress, tell=tell))


@dataclass(frozen=True, kw_only=True)
class _Computing:
    """Where and before whose eyes an audit is computed."""

    store: Store | None
    workers: int
    progress: Progress
    tell: Callable[[State], None]


def _audit(spec: AuditSpec, data: Interactions, out: Path | None, computing: _Computing) -> AuditResult:
    cache = Cache(computing.store)
    run = Run(seed=0, device=spec.device, progress=computing.progress, cache=cache)
    audits = {seed: SeedAudit(spec, data, replace(run, seed=seed)) for seed in spec.seeds}
    if computing.store is not None:
        computing.store.prepare()  # only now: a mistake in spec or data leaves no folder behind
    planned = planned_nodes([(spec, seed, audit) for seed, audit in audits.items()], computing.store)
    todo = missing(planned, computing.store)
    if computing.workers > 1:
        pool: Pool = Processes(perform, min(computing.workers, max(1, len(todo))))
    else:
        nodes = {node.key.hash: node for audit in audits.values() for node in audit.nodes()}
        pool = Here(lambda task: _computed(cache, nodes[task.key.hash]))
    execute(todo, pool, computing.tell)
    results = [audit.result() for audit in audits.values()]
    if out is not None and not isinstance(spec.victim, VictimSpec):  # a model that was trained here
        for seed, audit in audits.items():
            if audit.stealing is not None:
                _save_victim(audit.stealing, spec, seed, out)
    computed = {one.task.seed for one in todo.values()}
    return AuditResult(
        content=_content(spec, data, results),
        reused=tuple(seed for seed in spec.seeds if seed not in computed),
    )


def _computed(cache: Cache, node: Node[Any]) -> Done:
    cache.get(node)
    return Done()


def _save_victim(stealing: Stealing, spec: AuditSpec, seed: int, out: Path) -> None:
    victim, folder = stealing.run.cache.get(stealing.victim), out / "victims" / f"seed-{seed}"
    try:
        save_victim(victim, spec, stealing.split, seed, folder)
    except OSError as error:
        raise UsageError(f"out: {out} cannot hold the result: {error.strerror}") from None


def check_out(out: Path, spec: AuditSpec) -> None:
    """Refuse a directory that holds another audit's result.

    Raises:
        UsageError: which says what is there and what to do.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"out: {out} is a file; name a folder")
    stored, digest = out / "result.json", spec.digest
    try:
        other = json.loads(stored.read_bytes())["spec_hash"] if stored.is_file() else digest
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(
            f"out: {stored} is damaged or not an audit's; remove it or name another folder"
        ) from None
    if other != digest:
        raise UsageError(f"out: {out} holds the result of another spec; name another folder or remove it")


def check_device(device: str) -> None:
    """Refuse a device that torch doesn't know or doesn't have.

    Raises:
        UsageError: which names the device and those there are.
    """
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError):
        there = ["cpu"]
        there += [f"cuda:{number}" for number in range(torch.cuda.device_count())]
        there += ["mps"] if torch.backends.mps.is_available() else []
        raise UsageError(f"device: {device!r} is not there; this machine has {', '.join(there)}") from None


def _cards(spec: AuditSpec) -> dict[str, Any]:
    """Return the visiting cards of all that an audit measures, by which its report names them."""
    steals, infers = ("stealing" in spec.threats), ("membership" in spec.threats)
    return {
        "attacks": [named(one, name).to_dict() for name, one in spec.settings.items()] if steals else [],
        "membership_attacks": [named(one, name).to_dict() for name, one in spec.membership.settings.items()]
        if infers
        else [],
        "victim": spec.victim_card.to_dict(),
        "clone": model_card(spec.clone).to_dict() if steals else None,
        "defence": None if spec.defence is None else spec.defence.card.to_dict(),
    }


def _content(spec: AuditSpec, data: Interactions, seeds: Sequence[SeedResult]) -> dict[str, Any]:
    first = seeds[0]
    roles = {
        **{role: f"{role}_users" for role in ("target", "auxiliary", "queried", "validation", "unqueried")},
        "all": "known_users",
        "candidates": "candidate_users",
        "members": "member_users",
        "shadow": "shadow_users",
        "others": "attacker_users",
    }
    if "unseen" in first.users:
        roles["unseen"] = "unseen_users"
    steals = "stealing" in spec.threats
    return {
        "recaudit": __version__,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "spec": spec.model_dump(mode="json"),
        "spec_hash": spec.digest,
        "versions": {"python": platform.python_version()}
        | {name: number for name, number in versions().items() if name != "recaudit"},
        "data": {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "n_users": data.n_users,
            "n_items": data.n_items,
            "n_interactions": len(data.items),
            "density": data.density,
            "times": data.times is not None,
            "reading": None if data.reading is None else data.reading.model_dump(mode="json"),
            "target_interactions": first.interactions if steals else None,
            **{column: first.users.get(role) for role, column in roles.items()},
        },
        "ledgers": [ledger for one in seeds for ledger in one.ledgers],
        "stages": [stage for one in seeds for stage in one.stages],
        "figures": [
            *(figures(spec, data.name, seeds) if steals else ()),
            *membership_figures(spec, data.name, seeds),
        ],
        "cards": _cards(spec),
        "curves": curves(spec, seeds),
        "blind": chosen_features(seeds),
    }
