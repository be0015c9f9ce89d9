"""Histories synthesised by asking the victim for the list of each of their prefixes (Yue et al. 2021)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64, Int32, Int64

from recaudit.data.interactions import Interactions
from recaudit.oracle.oracle import Oracle
from recaudit.rng import numpy_generator
from recaudit.victims.protocol import Queries

__all__ = ["Drawing", "Synthesised", "synthesised"]

Drawing = Literal["autoregressive", "random"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Synthesised:
    """Synthetic histories, and the list that the victim served after each of their items.

    Args:
        sequences: S histories of N items in all, numbered as their items were drawn.
        lists: the list of the prefix that ends with each interaction, in their order; padded with -1.
    """

    sequences: Interactions
    lists: Int64[np.ndarray, "N k"]

    @property
    def prefixes(self) -> Interactions:
        """The prefix that ends with each interaction, as a user of its own."""
        return self.sequences.up_to(np.arange(1, len(self.sequences.items) + 1))

    def __getitem__(self, part: slice) -> "Synthesised":
        """Return some of the sequences with their lists; ``part`` has no step."""
        first, last, _ = part.indices(self.sequences.n_users)
        begin, end = self.sequences.offsets[[first, last]]
        return Synthesised(
            sequences=self.sequences.of_users(np.arange(first, last)), lists=self.lists[begin:end]
        )


def synthesised(
    oracle: Oracle, *, n_items: int, lists: int, length: int, drawing: Drawing, seed: int
) -> Synthesised:
    """Grow histories item by item, asking for the list of each prefix: exactly ``lists`` lists are paid for.

    All grow side by side, so that each of ``length`` calls asks for one list of each history; the last one is
    shorter where ``length`` does not divide ``lists``. The first item is drawn uniformly from the catalogue.
    ``autoregressive`` histories go on with an item drawn uniformly from the list that was served for them, as
    in the authors' public code; ``random`` ones, their baseline, with an item drawn uniformly from the
    catalogue, though they pay for as many lists. No history gets an item twice; one whose list holds nothing
    new goes on with any other item.

    What is drawn for a history is fixed by the seed and its number: more lists give more histories beside
    the same ones.

    Args:
        oracle: is asked; it must read histories.
        n_items: size of the catalogue.
        lists: lists to pay for, at least 1.
        length: items of a history, at most ``n_items``.
        drawing: how histories grow.
        seed: names the random streams.
    """
    length = min(length, lists)
    n_sequences = -(-lists // length)
    lengths = np.full(n_sequences, length, dtype=np.int64)
    lengths[-1] = lists - (n_sequences - 1) * length
    numbers = np.stack(
        [numpy_generator(seed, "synthesised", row).random(length) for row in range(n_sequences)]
    )
    grown = np.zeros((n_sequences, length), dtype=np.int32)
    free = np.ones((n_sequences, n_items), dtype=np.bool_)
    answers: list[Int64[np.ndarray, "S k"]] = []
    for step in range(length):
        rows = np.flatnonzero(lengths > step)
        drawn = _uniformly(numbers[rows, step], free[rows])
        if answers and drawing == "autoregressive":
            drawn = _listed(numbers[rows, step], free[rows], answers[-1][rows], otherwise=drawn)
        grown[rows, step] = drawn
        free[rows, drawn] = False
        shown = _histories(grown, np.where(lengths > step, step + 1, 0), n_items)
        answers.append(oracle.query(Queries(histories=shown)).items)
    sequences = _histories(grown, lengths, n_items)
    served = np.full((lists, answers[0].shape[1]), -1, dtype=np.int64)
    for step, answer in enumerate(answers):
        served[sequences.offsets[: len(answer)] + step] = answer
    return Synthesised(sequences=sequences, lists=served)


def _histories(
    grown: Int32[np.ndarray, "S L"], lengths: Int64[np.ndarray, "S"], n_items: int
) -> Interactions:
    """Return the first ``lengths`` items of each row as its history; the row's number is its id."""
    rows = np.flatnonzero(lengths)
    return Interactions(
        name="synthesised",
        offsets=np.concatenate([[0], np.cumsum(lengths[rows])]),
        items=grown[np.arange(grown.shape[1]) < lengths[:, None]],
        user_ids=pl.Series(rows),
        item_ids=pl.Series(np.arange(n_items)),
    )


def _uniformly(numbers: Float64[np.ndarray, "S"], allowed: Bool[np.ndarray, "S w"]) -> Int64[np.ndarray, "S"]:
    """Return one of each row's allowed columns, all alike likely, by a number in [0, 1); 0 where none is."""
    turns = (numbers * allowed.sum(axis=1)).astype(np.int64)
    columns: np.ndarray = np.argmax(np.cumsum(allowed, axis=1) > turns[:, None], axis=1)
    return columns


def _listed(
    numbers: Float64[np.ndarray, "S"],
    free: Bool[np.ndarray, "S I"],
    lists: Int64[np.ndarray, "S k"],
    *,
    otherwise: Int64[np.ndarray, "S"],
) -> Int64[np.ndarray, "S"]:
    """Return one of each list's items that are free, or ``otherwise`` where it holds none."""
    new = (lists >= 0) & np.take_along_axis(free, np.maximum(lists, 0), axis=1)
    drawn = np.take_along_axis(lists, _uniformly(numbers, new)[:, None], axis=1)[:, 0]
    return np.where(new.any(axis=1), drawn, otherwise)
