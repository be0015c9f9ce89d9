"""The output directory while an audit runs: finished seeds, so that a killed audit goes on where it was."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from recaudit.audit.seed import SeedResult
from recaudit.audit.spec import CEILING, FLOOR, VICTIM, AuditSpec
from recaudit.errors import UsageError
from recaudit.files import write_text

__all__ = ["check_out", "make_out", "read_seed", "seed_path", "victim_path", "write_seed"]


def seed_path(out: Path, seed: int) -> Path:
    """Return where the result of one seed is kept."""
    return out / "seeds" / f"seed-{seed}.json"


def victim_path(out: Path, seed: int) -> Path:
    """Return the directory that the victim of one seed is saved in."""
    return out / "victims" / f"seed-{seed}"


def check_out(out: Path, spec: AuditSpec) -> None:
    """Refuse a directory that holds another audit's result or finished seeds.

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
    for path in sorted((out / "seeds").glob("seed-*.json")):
        plain = _read(path)
        if plain is not None and plain.get("spec_hash", digest) != digest:
            raise UsageError(
                f"out: {out} holds finished seeds of another spec; name another folder or remove it"
            )


def make_out(out: Path) -> None:
    """Make the directory, so that one that cannot hold files is known before hours of work, not after.

    Raises:
        UsageError: where it cannot be made or written to.
    """
    try:
        for path in (out, out / "seeds"):
            path.mkdir(parents=True, exist_ok=True)
            if not os.access(path, os.W_OK | os.X_OK):
                raise PermissionError(0, "not writable")
    except OSError as error:
        raise UsageError(
            f"out: {out} cannot hold the result: {error.strerror}; name another folder"
        ) from None


def write_seed(result: SeedResult, key: str, spec: AuditSpec, path: Path) -> None:
    """Store one seed's result, whole or not at all, under the key that it answers to."""
    plain = asdict(result)
    plain["values"] = {
        attack: {
            metric: {role: values.tolist() for role, values in roles.items()}
            for metric, roles in metrics.items()
        }
        for attack, metrics in result.values.items()
    }
    write_text(path, json.dumps({"key": key, "spec_hash": spec.digest, "result": plain}))


def read_seed(key: str, spec: AuditSpec, path: Path) -> SeedResult | None:
    """Return the stored result of one seed; ``None`` where none is under this key, or it is damaged."""
    stored = _read(path)
    if stored is None or stored.get("key") != key:
        return None
    try:
        plain = stored["result"]
        plain["values"] = {
            attack: {
                metric: {role: np.array(values, dtype=np.float64) for role, values in roles.items()}
                for metric, roles in metrics.items()
            }
            for attack, metrics in plain["values"].items()
        }
        complete = plain["values"].keys() == {FLOOR, CEILING, VICTIM, *spec.attacks}
        return SeedResult(**plain) if complete else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _read(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file, or ``None`` where there is none that can be read."""
    try:
        stored = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return stored if isinstance(stored, dict) else None
