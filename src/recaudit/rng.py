"""Named seeds: every random choice in an audit draws from a stream that has a name.

A stream is named by the run's seed and a path such as ``("split", "halves")``. Adding a choice never shifts
another one's stream, and the same name gives the same stream on every machine (of the same torch and NumPy).
"""

import hashlib

import numpy as np
import torch

__all__ = ["child_seed", "numpy_generator", "torch_generator"]


def child_seed(seed: int, *path: str | int) -> int:
    """Return the 63-bit seed of the stream named ``path`` below ``seed``.

    The seed is the first eight bytes of BLAKE2b over the text of ``(seed, *path)``, without the sign.
    """
    text = repr((int(seed), *path)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def numpy_generator(seed: int, *path: str | int) -> np.random.Generator:
    """Return NumPy's generator of the stream named ``path`` below ``seed``."""
    return np.random.default_rng(child_seed(seed, *path))


def torch_generator(seed: int, *path: str | int) -> torch.Generator:
    """Return torch's CPU generator of the stream named ``path`` below ``seed``.

    Sampling always happens on the CPU, so that a run draws the same numbers whatever its device.
    """
    return torch.Generator().manual_seed(child_seed(seed, *path))
