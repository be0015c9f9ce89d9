"""Digests of splits: what keys of nodes say of who is on which side."""

import hashlib
from collections.abc import Iterable

import numpy as np

from recaudit.data.split import Split

__all__ = ["digest", "split_digest"]


def digest(parts: Iterable[np.ndarray], fingerprints: Iterable[str]) -> str:
    """Return the SHA-256 over who is on which side of a split, and over the fingerprints of its data."""
    texts = [hashlib.sha256(part.tobytes()).hexdigest() for part in parts]
    return hashlib.sha256(" ".join([*texts, *fingerprints]).encode()).hexdigest()


def split_digest(split: Split, queried: np.ndarray, *, auxiliary: bool) -> str:
    """Return the SHA-256 over who is on which side, as far as an attack and its figures depend on it.

    Args:
        split: who is on which side.
        queried: the queried users that the budget leaves, positions among the known ones.
        auxiliary: whether the attack uses auxiliary data. Without them, the digest is the same whatever share
            of them there is.
    """
    parts = [split.known, queried, split.validation, split.unqueried]
    parts += [split.heldout_offsets, split.heldout_items]
    if not auxiliary:
        return digest(parts, (split.target.fingerprint,))
    return digest([*parts, split.common], (split.target.fingerprint, split.auxiliary.fingerprint))
