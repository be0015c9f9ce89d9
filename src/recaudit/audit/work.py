"""A stage of an audit as a scheduler sees it, and what names the split that it depends on."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from recaudit.store import Stage

__all__ = ["Work", "digest"]


@dataclass(frozen=True, kw_only=True)
class Work:
    """One stage of a seed.

    Args:
        name: what :meth:`recaudit.audit.seed.SeedAudit.do` is to do: ``fit``, ``share`` or ``judge``, then
            whose or what.
        stage: what names its result.
        needs: hashes of the stages that it takes the results of.
    """

    name: tuple[str, ...]
    stage: Stage
    needs: tuple[str, ...]


def digest(parts: Iterable[np.ndarray], fingerprints: Iterable[str]) -> str:
    """Return the SHA-256 over who is on which side of a split, and over the fingerprints of its data."""
    texts = [hashlib.sha256(part.tobytes()).hexdigest() for part in parts]
    return hashlib.sha256(" ".join([*texts, *fingerprints]).encode()).hexdigest()
