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
from recaudit.audit.seed import SeedResult, audit_seed, read_seed, write_seed
from recaudit.audit.spec import AuditSpec
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
        """Return the value of one figure.

        Raises:
            KeyError: where there is no such figure.
        """
        for row in self.content["figures"]:
            if (row["attack"], row["metric"], row["users"]) == (attack, metric, users):
                value: float | None = row["value"]
                return value
        raise KeyError((attack, metric, users))


def run_audit(
    spec: AuditSpec,
    *,
    data: Interactions | None = None,
    out: Path | None = None,
    progress: Progress = no_progress,
) -> AuditResult:
    """Audit one setting over all its seeds.

    Args:
        spec: what to measure.
        data: the interactions, where they are at hand already; ``spec.data`` is loaded otherwise.
        out: directory that keeps finished seeds and victims, so that a killed audit goes on where it was;
            seeds found there under the same spec, data and version are not computed again.
        progress: told the stages of the audit (under ``"audit"``) and the epochs of trainings.

    Raises:
        UsageError: where the spec cannot be carried out on the data or the device.
    """
    check_device(spec.device)
    data = load(spec.data) if data is None else data
    key = _key(spec, data)
    results: list[SeedResult] = []
    reused: list[int] = []
    for seed in spec.seeds:
        path = None if out is None else out / "seeds" / f"seed-{seed}.json"
        stored = None if path is None else read_seed(key, path)
        if stored is not None:
            reused.append(seed)
        else:
            stored, victim = audit_seed(spec, data, seed, progress)
            if out is not None and path is not None:
                if spec.saved_victim is None:
                    save_victim(victim, spec, out / "victims" / f"seed-{seed}")
                write_seed(stored, key, path)
        results.append(stored)
    return AuditResult(content=_content(spec, data, results), reused=tuple(reused))


def check_device(device: str) -> None:
    """Refuse a device that torch doesn't know or doesn't have.

    Raises:
        UsageError: which names the device and those there are.
    """
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        there = ["cpu"]
        there += [f"cuda:{number}" for number in range(torch.cuda.device_count())]
        there += ["mps"] if torch.backends.mps.is_available() else []
        raise UsageError(f"device: {device!r} is not there; this machine has {', '.join(there)}") from None


def _key(spec: AuditSpec, data: Interactions) -> str:
    """Return what a stored seed answers to: spec, data, device and version."""
    text = "\n".join([spec.digest, data.fingerprint, spec.device, __version__])
    return hashlib.sha256(text.encode()).hexdigest()


def _content(spec: AuditSpec, data: Interactions, seeds: Sequence[SeedResult]) -> dict[str, Any]:
    first = seeds[0]
    return {
        "recaudit": __version__,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "spec": spec.resolved(),
        "spec_hash": spec.digest,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "scipy", "polars")},
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
