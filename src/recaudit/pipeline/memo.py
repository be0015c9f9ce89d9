"""Results that several stages share, in memory or in the store."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TypeVar

from recaudit.pipeline.stages import Piece, Stage
from recaudit.pipeline.store import Store

T = TypeVar("T")

__all__ = ["Memo"]


@dataclass(kw_only=True)
class Memo:
    """Results that several stages share, such as the auxiliary model, with what they cost.

    Args:
        store: keeps the results on disk, for later runs and other processes; without it, memory does.
        pieces: results in memory, by the hash of their stage.
        saved_seconds: what the results cost that were there already.
        computed: how many were not there.
    """

    store: Store | None = None
    pieces: dict[str, Piece] = field(default_factory=dict)
    saved_seconds: float = 0.0
    computed: int = 0

    def once(
        self, stage: Stage, compute: Callable[[], T], pack: Callable[[T], Piece], unpack: Callable[[Piece], T]
    ) -> T:
        """Return the result of ``stage``, computing it where it is not kept yet.

        ``saved_seconds`` grows by what a kept result had cost, so that an attack's cost can be told as if it
        ran alone.

        Args:
            stage: names the result.
            compute: computes it.
            pack: makes what is kept of it; ``seconds`` are filled in here.
            unpack: makes the result again, each time anew: who changes it changes nothing that is kept.
        """
        kept = self._kept(stage)
        if kept is None:
            with nullcontext() if self.store is None else self.store.lock(stage):
                kept = self._kept(stage)  # another process may have been quicker
                if kept is None:
                    return self._computed(stage, compute, pack)
        self.saved_seconds += kept.seconds
        return unpack(kept)

    def _kept(self, stage: Stage) -> Piece | None:
        if self.store is not None:
            return self.store.read(stage)
        return _copy(self.pieces[stage.hash]) if stage.hash in self.pieces else None

    def _computed(self, stage: Stage, compute: Callable[[], T], pack: Callable[[T], Piece]) -> T:
        self.computed += 1
        with self.clock() as seconds:
            began = time.perf_counter()
            result = compute()
            elapsed = time.perf_counter() - began
            piece = replace(pack(result), seconds=seconds(), elapsed=elapsed)
        if self.store is None:
            self.pieces[stage.hash] = _copy(piece)
        else:
            self.store.write(stage, piece)
        return result

    @contextmanager
    def clock(self) -> Iterator[Callable[[], float]]:
        """Yield a function that tells the seconds since the block began, as if nothing had been kept."""
        began, saved = time.perf_counter(), self.saved_seconds
        yield lambda: time.perf_counter() - began + self.saved_seconds - saved


def _copy(piece: Piece) -> Piece:
    """Return a piece that has nothing in common with ``piece``."""
    tensors = {name: tensor.detach().clone() for name, tensor in piece.tensors.items()}
    return replace(piece, tensors=tensors, facts=deepcopy(piece.facts))
