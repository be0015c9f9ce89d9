"""Networks that read histories, how they are batched, and what they learn from.

Histories are cut to their last ``max_length`` items and padded at the end, with an item that nobody ever
looks at: encoders are causal, so no state before the padding depends on it, and no mask is needed.

Shapes are named B for sequences of a batch, L for positions, P for positions that count, M for items of a
position, I for all items and D for factors.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from recaudit.data.interactions import Interactions
from recaudit.models.losses import SAMPLED_LOSSES, SHARED_LOSSES, SampledLoss
from recaudit.models.networks import ItemVectors, TrainedNetwork
from recaudit.models.protocol import of_type
from recaudit.models.sampling import Examples, Membership, equal_batches, shuffled_passes
from recaudit.models.training import Batch

__all__ = [
    "BUCKET",
    "NextItems",
    "PrefixScores",
    "Prefixes",
    "SequenceLoss",
    "SequenceNetwork",
    "padded",
]

BUCKET = 16
"""Sequences whose lengths fall into the same range of so many are batched together."""

SequenceLoss = Literal["cross-entropy", SampledLoss]


class SequenceNetwork(TrainedNetwork, ABC):
    """Gives a state to every prefix of a sequence, and scores items by inner products with the states.

    Where the item vectors depend on the user (fused ones, Zhu et al. 2023, Eq. 5-8), the user's vector p is
    the encoder's state. At the output that is the state that the items are scored with. The vector of the
    item at position t of the input is met by the state of the same position, of a first pass that reads the
    learned vectors alone, so that no position sees its future.

    Args:
        items: the vectors of the ``inputs`` and of the ``outputs``, or one set, ``shared``, for both.
    """

    def __init__(self, items: Mapping[str, ItemVectors]) -> None:
        super().__init__()
        self.tables = nn.ModuleDict(dict[str, nn.Module](items))

    @abstractmethod
    def encode(self, vectors: Float32[Tensor, "B L D"]) -> Float32[Tensor, "B L D"]:
        """Return the state at each position; it depends on this and on earlier positions alone."""

    def item_vectors(self) -> dict[str, ItemVectors]:
        """Return the sets of item vectors."""
        return {name: self._vectors(name) for name in self.tables}

    def _vectors(self, name: str) -> ItemVectors:
        return of_type(ItemVectors, self.tables[name if name in self.tables else "shared"])

    def states(self, items: Int64[Tensor, "B L"]) -> Float32[Tensor, "B L D"]:
        """Return the state after each item of the sequences."""
        inputs = self._vectors("inputs")
        states = self.encode(inputs.met(None, items))
        return self.encode(inputs.met(states, items)) if inputs.personal else states

    def item_scores(
        self, states: Float32[Tensor, "P D"], items: Int64[Tensor, "M P"]
    ) -> Float32[Tensor, "M P"]:
        """Return the scores of ``items[m, p]`` after ``states[p]``."""
        outputs = self._vectors("outputs")
        return torch.stack([(states * outputs.met(states, chosen)).sum(-1) for chosen in items])

    def shared_scores(
        self, states: Float32[Tensor, "P D"], items: Int64[Tensor, "M"]
    ) -> Float32[Tensor, "M P"]:
        """Return the scores of ``items[m]`` after ``states[p]``: the same items after all states."""
        outputs = self._vectors("outputs")
        if outputs.personal:
            return outputs.all_dots(states).T.index_select(0, items)
        return outputs.met(None, items) @ states.T

    def cross_entropy(
        self, states: Float32[Tensor, "P D"], targets: Int64[Tensor, "P"]
    ) -> Float32[Tensor, ""]:
        """Return the mean of -log softmax of the scores of all items after each state, at its target."""
        return self._vectors("outputs").cross_entropy(states, targets)

    def all_scores(self, states: Float32[Tensor, "P D"]) -> Float32[Tensor, "P I"]:
        """Return the scores of all items after each state."""
        return self._vectors("outputs").all_dots(states)


def padded(
    histories: Interactions, ends: Int64[np.ndarray, "B"], lengths: Int64[np.ndarray, "B"]
) -> Int64[Tensor, "B L"]:
    """Return the ``lengths[b]`` items up to interaction ``ends[b]``, itself left out, padded at the end.

    L is the greatest length; the padding is item 0.
    """
    places = (ends - lengths)[:, None] + np.arange(lengths.max())
    inside = places < ends[:, None]
    items = histories.items[np.where(inside, places, 0)].astype(np.int64)
    return torch.from_numpy(np.where(inside, items, 0))


@dataclass(frozen=True, kw_only=True, eq=False)
class NextItems:
    """The objective that a model is trained by: at every position of a history, the item that comes next.

    An epoch has every interaction but a history's first once for its target. Histories of more than
    ``max_length`` + 1 items are cut into pieces of that length, from their end, each of which begins with the
    last target of the piece before it; an epoch that would have fewer than ``examples`` targets makes
    several passes. A batch holds sequences of like length, so that little is padded, and as many of them as
    have about a batch's targets.

    Args:
        network: what is trained.
        histories: what to learn from.
        max_length: the longest sequence that the network reads.
        loss_name: ``cross-entropy`` over all items, or a loss of sampled negatives.
        negatives: items drawn uniformly for each target among those that the history does not hold.
        shared_negatives: items drawn uniformly for each batch, for the losses whose targets share them; a
            target among them is left out of its own loss.
        examples: the fewest targets of an epoch.
    """

    network: SequenceNetwork
    histories: Interactions
    max_length: int
    loss_name: SequenceLoss
    negatives: int = 1
    shared_negatives: int = 512
    examples: int = 1

    @cached_property
    def _pieces(self) -> tuple[np.ndarray, np.ndarray]:
        """Return where the inputs of each piece end, and their number."""
        ends, lengths = [], []
        left = self.histories.lengths - 1
        end = self.histories.offsets[1:] - 1
        while (left > 0).any():
            left_now, end_now = left[left > 0], end[left > 0]
            taken = np.minimum(left_now, self.max_length)
            ends.append(end_now)
            lengths.append(taken)
            left, end = left_now - taken, end_now - taken
        if not ends:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        return np.concatenate(ends), np.concatenate(lengths)

    @property
    def n_targets(self) -> int:
        """Number of targets of one pass."""
        return int(self._pieces[1].sum())

    @cached_property
    def _membership(self) -> Membership:
        data = self.histories
        return Membership(keys=data.keys, n_users=data.n_users, n_items=data.n_items)

    @cached_property
    def _users(self) -> np.ndarray:
        return self.histories.users.astype(np.int64)

    def batches(self, generator: torch.Generator, batch_size: int, device: str) -> Iterator[Batch]:
        """Yield sequences (B, L), their positions' places in B * L (P,), targets above negatives (M, P).

        Losses that share negatives get them as well: (N,).
        """
        ends, lengths = self._pieces
        passes = max(1, -(-self.examples // self.n_targets))
        order = shuffled_passes(len(ends), passes * len(ends), generator).numpy()
        order = order[np.argsort(lengths[order] // BUCKET, kind="stable")]
        so_far = np.cumsum(lengths[order])
        n_batches = -(-int(so_far[-1]) // batch_size)
        cuts = np.unique(np.searchsorted(so_far, so_far[-1] * np.arange(1, n_batches) / n_batches))
        groups = np.split(order, cuts)
        for number in torch.randperm(len(groups), generator=generator).tolist():
            chosen = groups[number]
            if len(chosen):
                batch = self._batch(ends[chosen], lengths[chosen], generator)
                yield tuple(part.to(device) for part in batch)

    def _batch(self, ends: np.ndarray, lengths: np.ndarray, generator: torch.Generator) -> Batch:
        items = padded(self.histories, ends, lengths)
        inside = np.arange(items.shape[1]) < lengths[:, None]
        following = ((ends - lengths + 1)[:, None] + np.arange(items.shape[1]))[inside]
        rows = [torch.from_numpy(self.histories.items[following].astype(np.int64))]
        shared = []
        if self.loss_name in SHARED_LOSSES:
            n_items = self.histories.n_items
            shared.append(torch.randint(n_items, (self.shared_negatives,), generator=generator))
        elif self.loss_name != "cross-entropy":
            users = torch.from_numpy(self._users[following])
            rows += [self._membership.draw_free(users, generator) for _ in range(self.negatives)]
        return items, torch.from_numpy(np.flatnonzero(inside)), torch.stack(rows), *shared

    def differentiate(self, *batch: Tensor) -> None:
        """Take the gradient of a batch's loss by autograd."""
        self.loss(*batch).backward()  # type: ignore[no-untyped-call]

    def loss(self, *batch: Tensor) -> Float32[Tensor, ""]:
        """Return the mean loss over a batch's positions."""
        items, places, targets, *shared = batch
        states = self.network.states(items).flatten(0, 1).index_select(0, places)
        if self.loss_name == "cross-entropy":
            return self.network.cross_entropy(states, targets[0])
        scores = self.network.item_scores(states, targets)
        for drawn in shared:
            others = self.network.shared_scores(states, drawn)
            scores = torch.cat([scores, others.masked_fill(drawn[:, None] == targets, -torch.inf)])
        return SAMPLED_LOSSES[self.loss_name](scores).mean()


@dataclass(frozen=True, kw_only=True, eq=False)
class Prefixes:
    """Users each of whom is known by a prefix of a history; several may share one history.

    Args:
        histories: the histories.
        rows: number of each prefix's history.
        lengths: number of each prefix's items, at least one.
        max_length: the longest sequence that the network reads.

    Raises:
        ValueError: where a prefix is empty or longer than its history, or where a history longer than
            ``max_length`` has a prefix that is not the whole.
    """

    histories: Interactions
    rows: Int64[np.ndarray, "U"]
    lengths: Int64[np.ndarray, "U"]
    max_length: int

    def __post_init__(self) -> None:
        whole = self.histories.lengths[self.rows]
        if ((self.lengths < 1) | (self.lengths > whole)).any():
            raise ValueError("a prefix has at least one item, and at most all of its history")
        if ((whole > self.max_length) & (self.lengths != whole)).any():
            raise ValueError(f"prefixes need histories of at most max_length={self.max_length} items")

    @classmethod
    def whole(cls, histories: Interactions, max_length: int) -> "Prefixes":
        """Return every history as its own longest prefix."""
        rows = np.arange(histories.n_users)
        return cls(histories=histories, rows=rows, lengths=histories.lengths, max_length=max_length)

    @classmethod
    def all_of(cls, histories: Interactions, max_length: int) -> "Prefixes":
        """Return the prefix that ends at each interaction, in order."""
        users = histories.users.astype(np.int64)
        lengths = np.arange(len(users)) - histories.offsets[users] + 1
        return cls(histories=histories, rows=users, lengths=lengths, max_length=max_length)


@dataclass(frozen=True, kw_only=True, eq=False)
class PrefixScores:
    """The objective of examples that name prefixes as users, and items.

    Examples of one history stand side by side, so that few histories are encoded for a batch, and histories
    of like length, so that little is padded; batches come in random order.

    Args:
        network: gives the scores.
        prefixes: the users.
        examples: draws an epoch.
        of_scores: the loss of the (M, B) scores of a batch's items, its mean over the examples.
    """

    network: SequenceNetwork
    prefixes: Prefixes
    examples: Examples
    of_scores: Callable[..., Float32[Tensor, ""]]

    def batches(self, generator: torch.Generator, batch_size: int, device: str) -> Iterator[Batch]:
        """Yield sequences (B, L), the places of prefixes' ends in B * L (P,), each example's end among them
        (N,), its items (M, N) and whatever else is drawn.
        """  # noqa: D205
        users, items, *others = self.examples.epoch(generator)
        histories = self.prefixes.histories
        # Of like length side by side, so that little is padded; at random within.
        shuffled = torch.randperm(histories.n_users, generator=generator).numpy()
        read = np.minimum(histories.lengths, self.prefixes.max_length)
        turn = np.empty(histories.n_users, dtype=np.int64)
        turn[shuffled[np.argsort(read[shuffled] // BUCKET, kind="stable")]] = np.arange(histories.n_users)
        order = torch.from_numpy(np.argsort(turn[self.prefixes.rows[users.numpy()]], kind="stable"))
        cuts = equal_batches(len(users), batch_size)
        for number in torch.randperm(len(cuts), generator=generator).tolist():
            chosen = order[slice(*cuts[number])]
            batch = (
                *self._read(users[chosen].numpy()),
                items[:, chosen],
                *(other[chosen] for other in others),
            )
            yield tuple(part.to(device) for part in batch)

    def _read(self, users: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        distinct, example_of = np.unique(users, return_inverse=True)
        rows, row_of = np.unique(self.prefixes.rows[distinct], return_inverse=True)
        histories = self.prefixes.histories
        whole = histories.lengths[rows]
        read = np.minimum(whole, self.prefixes.max_length)
        items = padded(histories, histories.offsets[1:][rows], read)
        last = self.prefixes.lengths[distinct] - 1 - (whole - read)[row_of]
        places = row_of * items.shape[1] + last
        return items, torch.from_numpy(places), torch.from_numpy(example_of)

    def differentiate(self, *batch: Tensor) -> None:
        """Take the gradient of a batch's loss by autograd."""
        self.loss(*batch).backward()  # type: ignore[no-untyped-call]

    def loss(self, *batch: Tensor) -> Float32[Tensor, ""]:
        """Return the loss of the scores of a batch's items after their prefixes."""
        sequences, places, example_of, items, *others = batch
        states = self.network.states(sequences).flatten(0, 1).index_select(0, places)
        scores = self.network.item_scores(states.index_select(0, example_of), items)
        return self.of_scores(scores, *others)
