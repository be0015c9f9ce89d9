"""Interactions: who interacted with what, as ordered histories."""

import hashlib
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from jaxtyping import Float32, Int32, Int64
from scipy import sparse

from recaudit.data.blocks import in_threads, user_blocks
from recaudit.data.reading import Reading
from recaudit.data.rows import picked_rows
from recaudit.errors import UsageError

__all__ = ["Interactions", "RepeatedPair"]

# Interactions whose keys are sorted at a time in the check for repeated pairs: small enough for a
# processor's cache.
BLOCK = 1 << 18


class RepeatedPair(ValueError):
    """A user has the same item twice.

    Args:
        user_id: the user's external id.
        item_id: the item's external id.
    """

    def __init__(self, user_id: int | str, item_id: int | str) -> None:
        super().__init__(f"user {user_id!r} has item {item_id!r} twice")
        self.user_id = user_id
        self.item_id = item_id


@dataclass(frozen=True, kw_only=True, eq=False)
class Interactions:
    """Ordered histories of users over a catalogue of items, in compressed sparse rows.

    User ``u`` interacted with ``items[offsets[u]:offsets[u + 1]]``, oldest first where times are known and in
    the file's order where they are not. Every user has at least one item and no item twice; items that nobody
    interacted with may stand in the catalogue.

    Args:
        name: what to call the data in tables.
        offsets: where each user's history begins and ends.
        items: item numbers ``0..n_items-1``.
        user_ids: the users' external ids (integers or text), one a user.
        item_ids: the items' external ids, one an item; ``n_items`` is their number.
        ratings: one an interaction, or ``None``.
        times: seconds or any other order, one an interaction, or ``None``.
        reading: what a reader made of the file that the interactions come from; it does not count in
            ``fingerprint``.

    Raises:
        RepeatedPair: where a user has an item twice (a ``ValueError``).
        ValueError: where the parts do not fit together; the message names the part and the first offender.
    """

    name: str
    offsets: Int64[np.ndarray, "U1"]
    items: Int32[np.ndarray, "N"]
    user_ids: pl.Series
    item_ids: pl.Series
    ratings: Float32[np.ndarray, "N"] | None = None
    times: Int64[np.ndarray, "N"] | None = None
    reading: Reading | None = None

    def __post_init__(self) -> None:
        if len(self.offsets) == 0 or self.offsets[0] != 0 or self.offsets[-1] != len(self.items):
            ends = f"{self.offsets[0]} to {self.offsets[-1]}" if len(self.offsets) else "nothing to nothing"
            raise ValueError(f"offsets run from {ends}, not 0 to {len(self.items)}")
        if len(self.user_ids) != self.n_users:
            raise ValueError(f"{len(self.user_ids)} user ids for {self.n_users} users")
        for name, column in (("ratings", self.ratings), ("times", self.times)):
            if column is not None and len(column) != len(self.items):
                raise ValueError(f"{len(column)} {name} for {len(self.items)} interactions")
        lengths = self.lengths
        if (lengths < 1).any():
            raise ValueError(
                f"user {self.user_ids[int(np.argmin(lengths))]!r} has no items; leave such users out"
            )
        if len(self.items) and not (self.items.min() >= 0 and self.items.max() < self.n_items):
            raise ValueError(f"item numbers must lie in 0..{self.n_items - 1}")
        repeat = self._first_repeat()
        if repeat is not None:
            raise RepeatedPair(self.user_ids[repeat[0]], self.item_ids[repeat[1]])
        for part in (self.offsets, self.items, self.ratings, self.times):
            if part is not None:
                part.flags.writeable = False

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.offsets) - 1

    @property
    def n_items(self) -> int:
        """Number of items in the catalogue, seen or not."""
        return len(self.item_ids)

    @property
    def density(self) -> float:
        """Share of the user-item pairs that are interactions."""
        return len(self.items) / (self.n_users * self.n_items)

    @property
    def lengths(self) -> Int64[np.ndarray, "U"]:
        """Length of each user's history."""
        return np.diff(self.offsets)

    @property
    def users(self) -> Int32[np.ndarray, "N"]:
        """User number of each interaction."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), self.lengths)

    @property
    def keys(self) -> Int64[np.ndarray, "N"]:
        """``user * n_items + item`` of each interaction: one number a pair."""
        keys = self.users.astype(np.int64)
        keys *= self.n_items
        keys += self.items
        return keys

    @property
    def popularity(self) -> Int64[np.ndarray, "I"]:
        """Number of interactions of each item."""
        return np.bincount(self.items, minlength=self.n_items)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the histories and the ids: equal where the interactions are equal.

        The name does not count, nor do a library's version and the machine's byte order.
        """
        digest = hashlib.sha256(f"{self.n_users} {self.n_items} {len(self.items)}".encode())
        for part, kind in (
            (self.offsets, "<i8"),
            (self.items, "<i4"),
            (self.ratings, "<f4"),
            (self.times, "<i8"),
        ):
            digest.update(b"-" if part is None else np.ascontiguousarray(part, dtype=kind).tobytes())
        for ids in (self.user_ids, self.item_ids):
            if ids.dtype == pl.String:
                digest.update(b"text" + ids.str.len_bytes().to_numpy().astype("<i8").tobytes())
                digest.update("".join(ids.to_list()).encode())
            else:
                digest.update(b"integers" + ids.to_numpy().astype("<i8").tobytes())
        return digest.hexdigest()

    @cached_property
    def _user_numbers(self) -> dict[int | str, int]:
        return {user: number for number, user in enumerate(self.user_ids.to_list())}

    @cached_property
    def _item_numbers(self) -> dict[int | str, int]:
        return {item: number for number, item in enumerate(self.item_ids.to_list())}

    def user_numbers(self, user_ids: Iterable[int | str]) -> Int64[np.ndarray, "V"]:
        """Return the numbers of the users with these external ids.

        Raises:
            UsageError: where an id is not in the data.
        """
        return _numbers(self.name, "user", self._user_numbers, user_ids)

    def item_numbers(self, item_ids: Iterable[int | str]) -> Int64[np.ndarray, "V"]:
        """Return the numbers of the items with these external ids.

        Raises:
            UsageError: where an id is not in the data.
        """
        return _numbers(self.name, "item", self._item_numbers, item_ids)

    def history(self, user: int) -> Int32[np.ndarray, "L"]:
        """Return the items of one user, oldest first."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def matrix(self) -> sparse.csr_array:
        """Return the binary user-item matrix."""
        ones = np.ones(len(self.items), dtype=np.float32)
        return sparse.csr_array((ones, self.items, self.offsets), shape=(self.n_users, self.n_items))

    def of_users(self, users: Int64[np.ndarray, "V"]) -> "Interactions":
        """Return the histories of ``users`` alone, in that order, over the same catalogue."""
        offsets, rows = picked_rows(self.offsets, users)
        user_ids = self.user_ids.gather(users) if len(users) else self.user_ids.clear()
        return self._picked(rows, offsets, user_ids)

    def up_to(self, ends: Int64[np.ndarray, "P"]) -> "Interactions":
        """Return each history up to interaction ``ends[p]``, itself left out, as a user numbered p.

        The history is that of interaction ``ends[p] - 1``, the last one that is in it.
        """
        begins = self.offsets[np.searchsorted(self.offsets, ends - 1, side="right") - 1]
        lengths = ends - begins
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - begins, lengths)
        return self._picked(places, offsets, pl.Series(np.arange(len(ends))))

    def where(self, keep: np.ndarray) -> "Interactions":
        """Return the interactions that the boolean ``keep`` (N,) marks; users left with none go."""
        lengths = np.bincount(self.users[keep], minlength=self.n_users)
        stay = np.flatnonzero(lengths)
        offsets = np.concatenate([[0], np.cumsum(lengths[stay])]).astype(np.int64)
        return self._picked(np.flatnonzero(keep), offsets, self.user_ids.gather(stay))

    def with_reading(self, reading: Reading) -> "Interactions":
        """Return the same interactions with what a reader says of their file."""
        # A copy shares the arrays, which are checked already: dataclasses.replace would sort all pairs again.
        told = copy(self)
        object.__setattr__(told, "reading", reading)
        return told

    def _picked(self, rows: np.ndarray, offsets: np.ndarray, user_ids: pl.Series) -> "Interactions":
        return Interactions(
            name=self.name,
            offsets=offsets,
            items=self.items[rows],
            user_ids=user_ids,
            item_ids=self.item_ids,
            ratings=None if self.ratings is None else self.ratings[rows],
            times=None if self.times is None else self.times[rows],
            reading=self.reading,
        )

    def _first_repeat(self) -> tuple[int, int] | None:
        """Return the first user with a repeated item, and that item."""

        def look(first: int, last: int) -> tuple[int, int] | None:
            keys = np.repeat(np.arange(last - first, dtype=np.int64), np.diff(self.offsets[first : last + 1]))
            keys *= self.n_items
            keys += self.items[self.offsets[first] : self.offsets[last]]
            keys.sort()
            twice = np.flatnonzero(keys[1:] == keys[:-1])
            if not len(twice):
                return None
            user, item = divmod(int(keys[twice[0]]), self.n_items)
            return first + user, item

        found = in_threads(look, user_blocks(self.offsets, BLOCK))
        return next((pair for pair in found if pair is not None), None)


def _numbers(
    name: str, kind: str, known: dict[int | str, int], ids: Iterable[int | str]
) -> Int64[np.ndarray, "V"]:
    try:
        return np.array([known[i] for i in ids], dtype=np.int64)
    except KeyError as error:
        raise UsageError(f"{name} has no {kind} with the id {error.args[0]!r}") from None
