"""Interactions: who interacted with what, as ordered histories."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from jaxtyping import Float32, Int32, Int64
from scipy import sparse

__all__ = ["Interactions"]


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

    Raises:
        ValueError: where the parts do not fit together; the message names the part and the first offender.
    """

    name: str
    offsets: Int64[np.ndarray, "U1"]
    items: Int32[np.ndarray, "N"]
    user_ids: pl.Series
    item_ids: pl.Series
    ratings: Float32[np.ndarray, "N"] | None = None
    times: Int64[np.ndarray, "N"] | None = None

    def __post_init__(self) -> None:
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.items):
            raise ValueError(f"offsets run from {self.offsets[0]} to {self.offsets[-1]}, not 0 to {len(self.items)}")
        if len(self.user_ids) != self.n_users:
            raise ValueError(f"{len(self.user_ids)} user ids for {self.n_users} users")
        for name, column in (("ratings", self.ratings), ("times", self.times)):
            if column is not None and len(column) != len(self.items):
                raise ValueError(f"{len(column)} {name} for {len(self.items)} interactions")
        lengths = np.diff(self.offsets)
        if (lengths < 1).any():
            raise ValueError(f"user {self.user_ids[int(np.argmin(lengths))]!r} has no items; leave such users out")
        if len(self.items) and not (self.items.min() >= 0 and self.items.max() < self.n_items):
            raise ValueError(f"item numbers must lie in 0..{self.n_items - 1}")
        order = np.sort(self.keys)
        twice = np.flatnonzero(order[1:] == order[:-1])
        if len(twice):
            user, item = divmod(int(order[twice[0]]), self.n_items)
            raise ValueError(f"user {self.user_ids[user]!r} has item {self.item_ids[item]!r} twice")
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
        return self.users.astype(np.int64) * self.n_items + self.items

    @property
    def popularity(self) -> Int64[np.ndarray, "I"]:
        """Number of interactions of each item."""
        return np.bincount(self.items, minlength=self.n_items)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the histories and the ids: equal where the interactions are equal, whatever their name."""
        digest = hashlib.sha256(str(self.n_items).encode())
        for part in (self.offsets, self.items, self.ratings, self.times):
            digest.update(b"-" if part is None else np.ascontiguousarray(part).tobytes())
        for ids in (self.user_ids, self.item_ids):
            digest.update(np.asarray(ids.hash(seed=0)).tobytes() if ids.dtype == pl.String else ids.to_numpy().tobytes())
        return digest.hexdigest()

    def history(self, user: int) -> Int32[np.ndarray, "L"]:
        """Return the items of one user, oldest first."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def matrix(self) -> sparse.csr_array:
        """Return the binary user-item matrix."""
        ones = np.ones(len(self.items), dtype=np.float32)
        return sparse.csr_array((ones, self.items, self.offsets), shape=(self.n_users, self.n_items))

    def of_users(self, users: Int64[np.ndarray, "V"]) -> "Interactions":
        """Return the histories of ``users`` alone, in that order, over the same catalogue."""
        lengths = self.lengths[users]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = np.repeat(self.offsets[users] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return self._picked(rows, offsets, self.user_ids.gather(users) if len(users) else self.user_ids.clear())

    def where(self, keep: np.ndarray) -> "Interactions":
        """Return the interactions that the boolean ``keep`` (N,) marks; users left with none go."""
        lengths = np.bincount(self.users[keep], minlength=self.n_users)
        stay = np.flatnonzero(lengths)
        offsets = np.concatenate([[0], np.cumsum(lengths[stay])]).astype(np.int64)
        return self._picked(np.flatnonzero(keep), offsets, self.user_ids.gather(stay))

    def _picked(self, rows: np.ndarray, offsets: np.ndarray, user_ids: pl.Series) -> "Interactions":
        return Interactions(
            name=self.name,
            offsets=offsets,
            items=self.items[rows],
            user_ids=user_ids,
            item_ids=self.item_ids,
            ratings=None if self.ratings is None else self.ratings[rows],
            times=None if self.times is None else self.times[rows],
        )
