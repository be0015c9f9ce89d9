"""A stage of an audit as a scheduler sees it, and what names the split that it depends on."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from recaudit.data.split import Split
from recaudit.pipeline import Stage

__all__ = ["Work", "digest", "split_digest"]


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


def split_digest(split: Split, queried: np.ndarray) -> str:
    """Return the SHA-256 over who is on which side, as far as attacks and figures depend on it.

    Args:
        split: who is on which side.
        queried: the queried users that the budget leaves, positions among the known ones.
    """
    heldout = (split.heldout_offsets, split.heldout_items)
    parts = (split.known, queried, split.validation, split.unqueried, split.common, *heldout)
    return digest(parts, (split.target.fingerprint, split.auxiliary.fingerprint))
