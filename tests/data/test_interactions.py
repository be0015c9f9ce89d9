"""Interactions: what they promise about histories, numbers and ids."""

import jaxtyping
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recaudit.data import interactions as module
from recaudit.data.interactions import Interactions, RepeatedPair
from recaudit.errors import UsageError


def made(histories, n_items=None, *, name="made", user_ids=None, item_ids=None, ratings=None, times=None):
    flat = [item for history in histories for item in history]
    n_items = (max(flat) + 1 if flat else 0) if n_items is None else n_items
    return Interactions(
        name=name,
        offsets=np.cumsum([0, *map(len, histories)]).astype(np.int64),
        items=np.array(flat, dtype=np.int32),
        user_ids=pl.Series("user", range(10, 10 + len(histories)) if user_ids is None else user_ids),
        item_ids=pl.Series("item", range(100, 100 + n_items) if item_ids is None else item_ids),
        ratings=None if ratings is None else np.array(ratings, dtype=np.float32),
        times=None if times is None else np.array(times, dtype=np.int64),
    )


@pytest.fixture
def small() -> Interactions:
    return made([[2, 0], [1], [0, 1, 3]], 5, ratings=[1, 2, 3, 4, 5, 6], times=[5, 6, 7, 8, 9, 10])


def test_counts_and_views(small):
    assert (small.n_users, small.n_items, len(small.items)) == (3, 5, 6)
    assert small.density == 6 / 15
    assert small.lengths.tolist() == [2, 1, 3]
    assert small.users.tolist() == [0, 0, 1, 2, 2, 2]
    assert small.keys.tolist() == [2, 0, 6, 10, 11, 13]
    assert small.popularity.tolist() == [2, 2, 1, 1, 0]
    assert small.history(2).tolist() == [0, 1, 3]
    assert small.matrix().toarray().tolist() == [[1, 0, 1, 0, 0], [0, 1, 0, 0, 0], [1, 1, 0, 1, 0]]


def test_external_ids_both_ways(small):
    assert small.user_ids[small.user_numbers([12, 10])].to_list() == [12, 10]
    assert small.item_numbers([104, 100]).tolist() == [4, 0]
    with pytest.raises(UsageError, match="made has no user with the id 99"):
        small.user_numbers([99])
    with pytest.raises(UsageError, match="made has no item with the id 'x'"):
        small.item_numbers(["x"])


def test_of_users_takes_their_order_and_keeps_the_catalogue(small):
    part = small.of_users(np.array([2, 0]))
    assert part.user_ids.to_list() == [12, 10]
    assert part.items.tolist() == [0, 1, 3, 2, 0]
    assert part.ratings.tolist() == [4, 5, 6, 1, 2]
    assert part.times.tolist() == [8, 9, 10, 5, 6]
    assert part.n_items == 5


def test_of_no_users_is_empty(small):
    assert small.of_users(np.array([], dtype=np.int64)).n_users == 0


def test_up_to_gives_each_beginning_of_a_history_as_a_user(small):
    found = small.up_to(np.array([6, 1, 2, 5, 3]))
    assert [found.history(user).tolist() for user in range(found.n_users)] == [
        [0, 1, 3], [2], [2, 0], [0, 1], [1],
    ]  # fmt: skip
    assert found.user_ids.to_list() == [0, 1, 2, 3, 4]
    assert found.ratings.tolist() == [4, 5, 6, 1, 1, 2, 4, 5, 3]
    assert found.n_items == 5
    assert small.up_to(np.zeros(0, dtype=np.int64)).n_users == 0


def test_where_drops_users_left_with_nothing(small):
    part = small.where(np.array([False, True, False, True, False, True]))
    assert part.user_ids.to_list() == [10, 12]
    assert part.offsets.tolist() == [0, 1, 3]
    assert part.items.tolist() == [0, 0, 3]
    assert part.ratings.tolist() == [2, 4, 6]


def test_arrays_cannot_be_changed(small):
    with pytest.raises(ValueError, match="read-only"):
        small.items[0] = 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offsets": np.array([0, 2, 3])}, "offsets run from 0 to 3, not 0 to 6"),
        ({"offsets": np.array([], dtype=np.int64)}, "offsets run from nothing"),
        ({"offsets": np.array([0, 0, 3, 6])}, "user 10 has no items"),
        ({"user_ids": pl.Series([1, 2])}, "2 user ids for 3 users"),
        ({"item_ids": pl.Series([1, 2, 3])}, r"item numbers must lie in 0..2"),
        ({"items": np.array([2, 0, 1, 0, 1, -1], dtype=np.int32)}, r"item numbers must lie in 0..4"),
        ({"items": np.array([2, 0, 1, 3, 1, 3], dtype=np.int32)}, "user 12 has item 103 twice"),
    ],
)
def test_parts_that_do_not_fit_are_named(small, changes, message):
    parts = {f: getattr(small, f) for f in small.__dataclass_fields__}
    with pytest.raises(ValueError, match=message):
        Interactions(**{**parts, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ratings": np.ones(2, dtype=np.float32)}, "2 ratings for 6 interactions"),
        ({"times": np.ones(7, dtype=np.int64)}, "7 times for 6 interactions"),
    ],
)
def test_lengths_that_do_not_fit_are_named_without_jaxtyping(small, changes, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    parts = {f: getattr(small, f) for f in small.__dataclass_fields__}
    with pytest.raises(ValueError, match=message):
        Interactions(**{**parts, **changes})


@pytest.mark.parametrize("block", [1, 2, 3, 1 << 20])
def test_a_repeat_is_found_in_any_block(monkeypatch, block):
    monkeypatch.setattr(module, "BLOCK", block)
    made([[0, 1, 2], [2, 1], [0], [1, 2, 0]])
    with pytest.raises(RepeatedPair) as caught:
        made([[0, 1, 2], [2, 1], [0], [1, 2, 1]])
    assert (caught.value.user_id, caught.value.item_id) == (13, 101)


INTEGERS = "ac6a89d5be43e4081b5ce8fff61427d94917543dfe8e8b421e25a26ff1ecd108"
TEXT = "9bf1b5d7042801f87f29f1136f717757a0e279556924e918151bd305845c04be"


def test_fingerprint_is_the_same_everywhere():
    # Written down once: another machine, Python or library must come to the same text.
    integers = made([[2, 0], [1]], 3, ratings=[1, 2, 3], times=[5, 6, 7])
    text = made([[0], [1]], user_ids=["ä", "b"], item_ids=["x", "yz"])
    assert integers.fingerprint == INTEGERS
    assert text.fingerprint == TEXT


@pytest.mark.parametrize(
    "other",
    [
        made([[0, 2], [1]], 3),
        made([[2, 0], [1]], 4),
        made([[2], [0, 1]], 3),
        made([[2, 0], [1]], 3, user_ids=[10, 12]),
        made([[2, 0], [1]], 3, user_ids=["10", "11"]),
        made([[2, 0], [1]], 3, item_ids=[100, 101, 103]),
        made([[2, 0], [1]], 3, ratings=[0, 0, 0]),
        made([[2, 0], [1]], 3, times=[0, 0, 0]),
    ],
)
def test_fingerprint_sees_every_difference(other):
    assert other.fingerprint != made([[2, 0], [1]], 3).fingerprint


def test_fingerprint_does_not_see_the_name_or_where_text_ids_are_cut():
    assert made([[0]], name="a").fingerprint == made([[0]], name="b").fingerprint
    a = made([[0], [1]], user_ids=["ab", "c"])
    b = made([[0], [1]], user_ids=["a", "bc"])
    assert a.fingerprint != b.fingerprint


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, unique=True), min_size=1, max_size=12), st.randoms())
def test_where_and_of_users_agree_with_plain_lists(histories, random):
    data = made(histories, 10)
    users = random.sample(range(len(histories)), random.randint(1, len(histories)))
    part = data.of_users(np.array(users))
    assert [part.history(u).tolist() for u in range(part.n_users)] == [histories[u] for u in users]
    keep = np.array([random.random() < 0.5 for _ in data.items])
    kept = iter(keep.tolist())
    plain = [[i for i in history if next(kept)] for history in histories]
    part = data.where(keep)
    assert [part.history(u).tolist() for u in range(part.n_users)] == [h for h in plain if h]
