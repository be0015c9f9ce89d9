"""Fold-in: users whom a fitted model has never seen, estimated from their histories by the model's own means.

All that is not a user's own (item vectors, item biases, perceptrons) stays as it was fitted. The users' own
parameters begin afresh and are trained as the model was: the same loss, the same optimiser, the same way of
drawing unseen items, for as many epochs and steps as the model was trained for. A user's examples fall into
batches at random, as many batches as an epoch of the model's training had; who else is folded in has no
part in it, as no parameter is shared and every user's random numbers are a stream of their own.
"""

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int32, Int64
from torch import Tensor
from torch.nn import Parameter

from recaudit.data.interactions import Interactions
from recaudit.errors import UsageError
from recaudit.models.networks import Network
from recaudit.models.protocol import Recommender, RecommenderSpec, TrainingLog, of_type
from recaudit.models.training import (
    Descends,
    GradientDescent,
    Optimisation,
    Slopes,
    differentiator,
    no_denormals,
    stepper,
)
from recaudit.pipeline.run import Run
from recaudit.rng import numpy_generator

__all__ = ["FoldedExamples", "FoldsIn", "fold_in", "fold_users", "fresh_users", "shown_part"]

TABLE_PAIRS = 1 << 25
"""Up to this many user-item pairs, unseen items stand in a table (128 MiB); beyond, they are searched for."""

DRAWS_AT_ONCE = 1 << 21
"""Random numbers held at once (16 MiB), where an epoch takes no more."""


@runtime_checkable
class FoldsIn(Protocol):
    """A recommender's spec that can estimate users whom the fitted model has never seen."""

    def fold_in(
        self, fitted: Recommender, histories: Interactions, run: Run, *, n_interactions: int
    ) -> Recommender:
        """Return a recommender of the users of ``histories``; ``fitted`` stays as it is.

        Args:
            fitted: what this spec was fitted to become.
            histories: of the new users, over the same items; the result numbers its users as they do.
            run: seed, device and progress.
            n_interactions: what ``fitted`` was trained on, as many interactions.
        """


def fold_in(
    spec: RecommenderSpec,
    fitted: Recommender,
    histories: Interactions,
    run: Run,
    *,
    n_interactions: int | None = None,
) -> Recommender:
    """Return a recommender of the users of ``histories``, whom ``fitted`` has never seen.

    Args:
        spec: what ``fitted`` was fitted from.
        fitted: stays as it is, and its item parameters are the result's, to the bit.
        histories: of the new users, over the same items; the result numbers its users as they do.
        run: seed, device and progress.
        n_interactions: how many interactions ``fitted`` was trained on, which says how many steps an epoch
            had; by default its users' number times the mean length of ``histories``. Given, it makes a user's
            result the same whoever else is folded in (to float32 rounding).

    Raises:
        UsageError: where the model cannot do it, has no training log, or has other items.
    """
    if not isinstance(spec, FoldsIn):
        raise UsageError(
            f"{spec.model}: this model has no fold_in and cannot estimate users it was not trained on; "
            "serve them popular items, or give its spec a method fold_in (recaudit.models.cold_start.FoldsIn)"
        )
    if fitted.n_items != histories.n_items:
        raise UsageError(
            f"{spec.model}: histories over {histories.n_items} items cannot be folded into a model of "
            f"{fitted.n_items}; take histories over the model's own catalogue"
        )
    if n_interactions is None:
        n_interactions = round(fitted.n_users * float(histories.lengths.mean()))
    return spec.fold_in(fitted, histories, run, n_interactions=n_interactions)


def shown_part(histories: Interactions, share: float, seed: int) -> Interactions:
    """Return histories short of a random ``share`` of their interactions, leaving every user at least one.

    Training keeps a validation slice of that share from a member's history, so a stranger's vector must be
    estimated from no more. Nothing is judged by what is cut.
    """
    draws = np.concatenate([stream.random(n) for stream, n in _streams(histories, seed, "shown part")])
    keep = draws >= share
    for user in np.flatnonzero(np.add.reduceat(keep, histories.offsets[:-1]) == 0):
        begin, end = histories.offsets[user], histories.offsets[user + 1]
        keep[begin + int(np.argmax(draws[begin:end]))] = True
    return histories.where(keep)


def fresh_users(network: Network, users: Interactions, seed: int, *, scale: float) -> Network:
    """Return a copy of ``network`` with newly drawn parameters for ``users``, which alone want gradients.

    Vectors are drawn from N(0, scale²), each user's from a stream of their own; biases are zero.
    """
    folded = deepcopy(network).requires_grad_(False)
    streams = [stream for stream, _ in _streams(users, seed, "initial")]
    for parameter in folded.user_parameters():
        fresh = np.zeros((users.n_users, *parameter.shape[1:]), dtype=np.float32)
        if parameter.ndim == 2:
            for row, stream in zip(fresh, streams, strict=True):
                row[:] = stream.standard_normal(len(row)) * scale
        parameter.data = torch.from_numpy(fresh).to(parameter.device)
        parameter.requires_grad_(True)
    return folded


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldedExamples:
    """What an epoch of fold-in trains on: each example in a batch drawn uniformly, independent of all others.

    Args:
        shown: the users' histories.
        seed: of the run.
        negatives: unseen items drawn for each interaction, uniformly.
        n_batches: batches of an epoch.
        passes: how often an epoch shows each interaction, as training passes over few data several times.
        targets: of the interactions (N,), drawn items having 0; given, each pair is an example of its own
            with its own batch, and else an interaction and what is drawn for it are one example.
    """

    shown: Interactions
    seed: int
    negatives: int
    n_batches: int
    passes: int = 1
    targets: Float32[np.ndarray, "N"] | None = None

    @cached_property
    def _users(self) -> Int32[np.ndarray, "P"]:
        return np.repeat(np.arange(self.shown.n_users, dtype=np.int32), self.shown.lengths * self.passes)

    @cached_property
    def _places(self) -> tuple[Int64[np.ndarray, "P"], Int64[np.ndarray, "P"]]:
        """Number of the interaction, and of the pass, of each example; a user's passes follow each other."""
        own = np.arange(len(self._users)) - self.passes * self.shown.offsets[self._users]
        passes, within = np.divmod(own, self.shown.lengths[self._users])
        return self.shown.offsets[self._users] + within, passes

    @cached_property
    def _own_items(self) -> Int32[np.ndarray, "P"]:
        """Item of the interaction of each example."""
        return np.asarray(self.shown.items[self._places[0]], dtype=np.int32)

    @cached_property
    def _free(self) -> tuple[Int64[np.ndarray, "P"], Int64[np.ndarray, "P"]]:
        """Number of each example's items to draw from, and where they begin in :attr:`_free_items`.

        They are those that the user has not seen, or all where the user has seen all.
        """
        free = self.shown.n_items - self.shown.lengths
        free[free == 0] = self.shown.n_items
        starts = np.cumsum(free) - free
        return free[self._users], starts[self._users]

    @cached_property
    def _free_items(self) -> Int32[np.ndarray, "F"] | None:
        """Items to draw from, rising, user by user; ``None`` where the table would be large."""
        shape = self.shown.n_users, self.shown.n_items
        if shape[0] * shape[1] > TABLE_PAIRS:
            return None
        free = np.ones(shape, dtype=np.bool_)
        free[self.shown.users, self.shown.items] = False
        free[self.shown.lengths == self.shown.n_items] = True
        return np.nonzero(free)[1].astype(np.int32)

    @cached_property
    def _gaps(self) -> Int64[np.ndarray, "N"]:
        """Rising keys, by which the n-th item that a user has not seen is found by bisection.

        Below a user's j-th item h_j (from 0, sorted) lie h_j - j unseen ones.
        """
        users = self.shown.users.astype(np.int64)
        keys = np.sort(self.shown.keys) - users * self.shown.n_items
        keys -= np.arange(len(keys)) - self.shown.offsets[users]
        return users * (self.shown.n_items + 1) + keys

    def unseen(self, uniform: Float64[np.ndarray, "P"]) -> Int32[np.ndarray, "P"]:
        """Return an item for each example: uniform among those its user has not seen, or any if all are."""
        shown, users = self.shown, self._users
        free, starts = self._free
        rank = _cell(uniform, free)
        if self._free_items is not None:
            rank += starts
            return self._free_items.take(rank)
        below = np.searchsorted(self._gaps, users * (shown.n_items + 1) + rank, side="right")
        some = shown.lengths[users] < shown.n_items
        return np.where(some, rank + below - shown.offsets[users], rank).astype(np.int32)

    @cached_property
    def _draws(self) -> Iterator[Float64[np.ndarray, "W P"]]:
        """Yield each epoch's random numbers; several epochs' are drawn at once, as every call costs."""
        rows = 1 + self.negatives
        # What is random of an example: its batch, or one for each of its pairs, and its drawn items.
        width = self.negatives + (1 if self.targets is None else rows)
        epochs = min(16, max(1, DRAWS_AT_ONCE // (width * len(self._users))))
        ends = np.cumsum(self.shown.lengths) * self.passes
        streams = list(_streams(self.shown, self.seed, "epochs"))
        while True:
            block = np.empty((epochs, width, len(self._users)))
            for (stream, length), end in zip(streams, ends.tolist(), strict=True):
                n = length * self.passes
                block[:, :, end - n : end] = stream.random((epochs, width, n))
            yield from block

    def epoch(self) -> tuple[list[Tensor], list[tuple[int, int]]]:
        """Draw an epoch, each of them anew.

        Returns:
            Users (E,), items (M, E) and, where there are targets, these (E,), in the order of their batches;
            and where each batch begins and ends among them.
        """
        rows, draws = 1 + self.negatives, next(self._draws)
        items = [self._own_items, *map(self.unseen, draws[: self.negatives])]
        batches = draws[self.negatives :]
        if self.passes > 1:
            batches = (self._places[1] + batches) / self.passes
        # Numbers of few bits are sorted by their digits, in a fraction of the time.
        batches = _cell(batches, self.n_batches).astype(np.min_scalar_type(self.n_batches)).ravel()
        columns: list[np.ndarray] = [self._users, *items]
        if self.targets is not None:
            targets = np.zeros((rows, len(self._users)), dtype=np.float32)
            targets[0] = self.targets[self._places[0]]
            columns = [np.tile(self._users, rows), np.concatenate(items), targets.ravel()]
        # A user's examples stay in an order that the others' do not touch.
        order = np.argsort(batches, kind="stable")
        edges = np.concatenate([[0], np.cumsum(np.bincount(batches, minlength=self.n_batches))])
        users, *drawn = (torch.from_numpy(column.take(order)) for column in columns)
        others = [] if self.targets is None else [drawn.pop()]
        return [users.long(), torch.stack(drawn).long(), *others], list(pairwise(edges.tolist()))


@no_denormals()
def fold_users(
    network: Network,
    examples: FoldedExamples,
    loss: Callable[..., Tensor],
    *,
    slopes: Slopes | None = None,
    epochs: int,
    optimisation: Optimisation | GradientDescent,
    run: Run,
    stage: str,
) -> TrainingLog:
    """Train the user parameters of ``network`` in place, all else staying as it is.

    Args:
        network: as :func:`fresh_users` returns it.
        examples: draws the epochs.
        loss: of the scores of a batch's pairs and of their targets, where there are any. It is what a whole
            batch of the training would give these pairs: a mean is taken over all that such a batch holds.
        slopes: the loss's gradient, where there is a closed form.
        epochs: how many to run.
        optimisation: settings of Adam or of gradient descent, as the network was trained with.
        run: seed, device and progress.
        stage: what to call this where progress is shown.

    Raises:
        UsageError: where it diverges.
    """
    began = time.perf_counter()
    network.to(run.device).train()
    parameters = network.user_parameters()
    advance = _advance(network, parameters, loss, slopes, optimisation)
    for epoch in range(1, epochs + 1):
        drawn, batches = examples.epoch()
        users, items, *others = (tensor.to(run.device) for tensor in drawn)
        for start, end in batches:
            advance(users[start:end], items[:, start:end], *(other[start:end] for other in others))
        run.progress(stage, epoch, epochs)
    if not all(parameter.isfinite().all() for parameter in parameters):
        raise UsageError(f"{stage}: the fold-in diverged; lower optimisation.learning_rate and fit again")
    network.requires_grad_(True).eval()
    seconds = time.perf_counter() - began
    return TrainingLog(epochs=epochs, best_epoch=epochs, best_score=0.0, scores=(), seconds=seconds)


def _advance(
    network: Network,
    parameters: list[Parameter],
    loss: Callable[..., Tensor],
    slopes: Slopes | None,
    optimisation: Optimisation | GradientDescent,
) -> Callable[..., None]:
    """Return what makes one step on a batch of pairs, in the user parameters."""
    if isinstance(optimisation, GradientDescent):
        return partial(of_type(Descends, network).descend, optimisation)
    step, differentiate = stepper(parameters, optimisation), differentiator(network, loss, slopes)

    def advance(users: Tensor, *others: Tensor) -> None:
        if len(users):
            differentiate(users, *others)
        step()  # without examples too: Adam goes on by its means

    return advance


def _cell(uniform: np.ndarray, n: np.ndarray | int) -> np.ndarray:
    """Return which of ``n`` equal parts of [0, 1) holds each number."""
    parts: np.ndarray = np.minimum((uniform * n).astype(np.int64), np.asarray(n) - 1)
    return parts  # without the minimum, a product may round up to n


def _streams(users: Interactions, seed: int, purpose: str) -> Iterator[tuple[np.random.Generator, int]]:
    """Yield each user's random stream, named by the external id, and the length of the history."""
    for user, length in zip(users.user_ids.to_list(), users.lengths.tolist(), strict=True):
        yield numpy_generator(seed, "fold-in", purpose, user), length
