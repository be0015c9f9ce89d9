"""The cache: results of nodes, from memory or the store, else computed."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import replace
from typing import Any, TypeVar

from recaudit.pipeline.keys import Artifact
from recaudit.pipeline.node import Codec, Node
from recaudit.pipeline.store import Store

T = TypeVar("T")

__all__ = ["Cache"]

HELD = 24
"""Results of transient nodes that a process holds at most; the one used longest ago goes first."""


class Cache:
    """Results of nodes, with what they cost.

    Args:
        store: keeps artifacts on disk, for later runs and other processes; without it, memory does.

    Attributes:
        hits: kept results that were there already.
        misses: kept results that were computed.
        saved_seconds: seconds saved by hits, as if each result had been computed where it was asked for.
    """

    def __init__(self, store: Store | None = None) -> None:
        self.store = store
        self.hits = self.misses = 0
        self.saved_seconds = 0.0
        self._artifacts: dict[str, Artifact] = {}
        self._held: OrderedDict[str, tuple[Any, float]] = OrderedDict()

    def get(self, node: Node[T]) -> T:
        """Return the node's result, computed where it is not kept yet.

        ``saved_seconds`` grows by the cost of a kept result, so that an attack's cost can be told as if the
        attack ran alone.
        """
        if node.codec is None:
            return self._transient(node)
        kept = self._kept(node)
        if kept is None:
            with nullcontext() if self.store is None else self.store.lock(node.key):
                kept = self._kept(node)  # another process may have been quicker
                if kept is None:
                    return self._computed(node, node.codec)
        self.hits += 1
        self.saved_seconds += kept.seconds
        return node.codec.unpack(kept)

    def _transient(self, node: Node[T]) -> T:
        if node.key.hash in self._held:
            self._held.move_to_end(node.key.hash)
            value, cost = self._held[node.key.hash]
            self.saved_seconds += cost
            return value  # type: ignore[no-any-return]
        with self.clock() as seconds:
            result = node.compute()
            self._held[node.key.hash] = (result, seconds())
        while len(self._held) > HELD:
            self._held.popitem(last=False)
        return result

    def _kept(self, node: Node[Any]) -> Artifact | None:
        if self.store is not None:
            return self.store.read(node.key)
        found = self._artifacts.get(node.key.hash)
        return None if found is None else _copy(found)

    def _computed(self, node: Node[T], codec: Codec[T]) -> T:
        self.misses += 1
        with self.clock() as seconds:
            began = time.perf_counter()
            result = node.compute()
            elapsed = time.perf_counter() - began
            artifact = replace(codec.pack(result), label=node.label, seconds=seconds(), elapsed=elapsed)
        if self.store is None:
            self._artifacts[node.key.hash] = _copy(artifact)
        else:
            self.store.write(node.key, artifact)
        return result

    @contextmanager
    def clock(self) -> Iterator[Callable[[], float]]:
        """Yield a function that tells the seconds since the block began, as if nothing had been kept."""
        began, saved = time.perf_counter(), self.saved_seconds
        yield lambda: time.perf_counter() - began + self.saved_seconds - saved


def _copy(artifact: Artifact) -> Artifact:
    """Return an artifact that has nothing in common with ``artifact``."""
    tensors = {name: tensor.detach().clone() for name, tensor in artifact.tensors.items()}
    return replace(artifact, tensors=tensors, facts=deepcopy(artifact.facts))
