"""The audit: every seed, finished ones kept, and the result."""

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from recaudit import __version__
from recaudit.audit.figures import figures
from recaudit.audit.seed import SeedResult, audit_seed
from recaudit.audit.spec import AuditSpec
from recaudit.audit.store import check_out, make_out, read_seed, seed_path, victim_path, write_seed
from recaudit.audit.victim import save_victim
from recaudit.data.interactions import Interactions
from recaudit.data.sources import load
from recaudit.errors import UsageError
from recaudit.models.base import Progress, no_progress

__all__ = ["AuditResult", "check_device", "run_audit"]


@dataclass(frozen=True, kw_only=True)
class AuditResult:
    """What an audit found, as plain values: the content of ``result.json``.

    Args:
        content: spec and its hash, versions, description of the data, ledgers, stages and figures.
        reused: seeds whose stored result was taken instead of being computed.
    """

    content: dict[str, Any]
    reused: tuple[int, ...]

    def figure(self, attack: str, metric: str, users: str = "unqueried") -> float | None:
        """Return the value of one figure, ``None`` where it is not available.

        Raises:
            KeyError: where there is no such figure; the message names those of the attack or of the metric.
        """
        rows = self.content["figures"]
        for row in rows:
            if (row["attack"], row["metric"], row["users"]) == (attack, metric, users):
                value: float | None = row["value"]
                return value
        of_attack = {f"{row['metric']} ({row['users']})" for row in rows if row["attack"] == attack}
        there = sorted(of_attack or {row["attack"] for row in rows})
        raise KeyError(f"no {metric!r} of {attack!r} on {users!r} users; there are {', '.join(there)}")


def run_audit(
    spec: AuditSpec,
    *,
    data: Interactions | None = None,
    out: str | Path | None = None,
    progress: Progress = no_progress,
) -> AuditResult:
    """Audit one setting over all its seeds.

    torch computes on as many threads as it is told to; the command line takes one, and another number of
    threads may change the last digits of a figure.

    Args:
        spec: what to measure.
        data: the interactions, where they are at hand already; ``spec.data`` is loaded otherwise.
        out: directory that keeps finished seeds and victims, so that a killed audit goes on where it was;
            seeds found there under the same spec, data, device and version are not computed again.
        progress: told the stages of the audit, whose names begin with ``"audit: "``, and the epochs of
            trainings.

    Raises:
        UsageError: where the spec cannot be carried out on the data or the device, or ``out`` cannot hold the
            result or holds another audit's.
    """
    check_device(spec.device)
    out = None if out is None else Path(out)
    if out is not None:
        check_out(out, spec)
    data = load(spec.data) if data is None else data
    if spec.k >= data.n_items:
        raise UsageError(f"k: lists of {spec.k} items need more than the {data.n_items} of {data.name!r}")
    if out is not None:
        make_out(out)
    found = [_seed(spec, data, seed, out, progress) for seed in spec.seeds]
    return AuditResult(
        content=_content(spec, data, [result for result, _ in found]),
        reused=tuple(result.seed for result, stored in found if stored),
    )


def _seed(
    spec: AuditSpec, data: Interactions, seed: int, out: Path | None, progress: Progress
) -> tuple[SeedResult, bool]:
    """Return one seed's result, and whether it was stored already."""
    if out is None:
        return audit_seed(spec, data, seed, progress)[0], False
    key, path = _key(spec, data), seed_path(out, seed)
    stored = read_seed(key, spec, path)
    if stored is not None:
        return stored, True
    result, victim = audit_seed(spec, data, seed, progress)
    try:
        if spec.saved_victim is None:
            save_victim(victim, spec, seed, victim_path(out, seed))
        write_seed(result, key, spec, path)
    except OSError as error:
        raise UsageError(f"out: {out} cannot hold the result: {error.strerror}") from None
    return result, False


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


def _key(spec: AuditSpec, data: Interactions) -> str:
    """Return what a stored seed answers to: spec, data, device, and the versions of what computes it."""
    text = "\n".join([spec.digest, data.fingerprint, spec.device, __version__, *_versions().values()])
    return hashlib.sha256(text.encode()).hexdigest()


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "numpy", "scipy", "polars")}


def _content(spec: AuditSpec, data: Interactions, seeds: Sequence[SeedResult]) -> dict[str, Any]:
    first = seeds[0]
    return {
        "recaudit": __version__,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "spec": spec.resolved(),
        "spec_hash": spec.digest,
        "versions": {
            "python": platform.python_version(),
            **_versions(),
        },
        "data": {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "n_users": data.n_users,
            "n_items": data.n_items,
            "n_interactions": len(data.items),
            "density": data.density,
            "target_users": first.users["target"],
            "auxiliary_users": first.users["auxiliary"],
            "target_interactions": first.interactions,
            "known_users": first.users["all"],
            "queried_users": first.users["queried"],
            "validation_users": first.users["validation"],
            "unqueried_users": first.users["unqueried"],
        },
        "ledgers": [ledger for one in seeds for ledger in one.ledgers],
        "stages": [stage for one in seeds for stage in one.stages],
        "figures": figures(spec, data.name, seeds),
    }
