"""Filters: planted cores, and what holds for any data."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recaudit.data.filters import binarise, k_core, truncate
from recaudit.data.interactions import Interactions
from recaudit.errors import UsageError


def made(histories, *, ratings=None, times=None):
    """Return interactions of ``{user id: [item ids]}``."""
    items = sorted({item for history in histories.values() for item in history})
    number = {item: place for place, item in enumerate(items)}
    flat = [number[item] for history in histories.values() for item in history]
    return Interactions(
        name="made",
        offsets=np.cumsum([0, *map(len, histories.values())]).astype(np.int64),
        items=np.array(flat, dtype=np.int32),
        user_ids=pl.Series("user", list(histories)),
        item_ids=pl.Series("item", items),
        ratings=None if ratings is None else np.array(ratings, dtype=np.float32),
        times=None if times is None else np.array(times, dtype=np.int64),
    )


def histories(data):
    users = enumerate(data.user_ids.to_list())
    return {user: data.item_ids[data.history(number)].to_list() for number, user in users}


# Users 1-3 and items 1-3 form a full 3-core; 4 hangs on item 4, which hangs on 4 and 5: a chain that one pass
# shortens by one link and iteration takes away whole.
CORE = {1: [3, 1, 2], 2: [1, 2, 3], 3: [2, 3, 1]}
CHAIN = {4: [1, 2, 4], 5: [4, 5, 1], 6: [5, 4]}


def test_iterative_core_is_planted():
    core = k_core(made(CORE | CHAIN), users=3, items=3, iterative=True)
    assert histories(core) == CORE
    assert core.item_ids.to_list() == [1, 2, 3]


def test_one_pass_counts_once():
    # As given, item 4 has three users, so it stays; item 5 and user 6 have two interactions and go.
    core = k_core(made(CORE | CHAIN), users=3, items=3, iterative=False)
    assert histories(core) == CORE | {4: [1, 2, 4], 5: [4, 1]}


def test_users_and_items_have_their_own_numbers():
    data = made({1: [1, 2], 2: [1], 3: [1, 3]})
    assert histories(k_core(data, users=2, items=0, iterative=True)) == {1: [1, 2], 3: [1, 3]}
    assert histories(k_core(data, users=0, items=2, iterative=True)) == {1: [1], 2: [1], 3: [1]}
    assert k_core(data, users=0, items=0, iterative=True) is data
    assert k_core(data, users=1, items=1, iterative=False) is data


def test_ratings_and_times_go_along():
    data = made({1: [1, 2], 2: [2], 3: [2, 3]}, ratings=[1, 2, 3, 4, 5], times=[10, 20, 30, 40, 50])
    core = k_core(data, users=0, items=2, iterative=False)
    assert core.ratings.tolist() == [2, 3, 4]
    assert core.times.tolist() == [20, 30, 40]


def test_an_item_that_nobody_interacted_with_goes_with_a_core():
    data = made({1: [1, 2], 2: [1, 2]}).where(np.array([True, False, True, False]))
    assert data.n_items == 2
    assert k_core(data, users=0, items=1, iterative=True).item_ids.to_list() == [1]


@pytest.mark.parametrize("numbers", [{"users": -1, "items": 0}, {"users": 0, "items": -5}])
def test_negative_cores_are_named(numbers):
    which, least = next((name[:-1], least) for name, least in numbers.items() if least)
    with pytest.raises(UsageError, match=f"{which}_core: found {least}, expected a whole number, 0"):
        k_core(made(CORE), **numbers, iterative=True)


@pytest.mark.parametrize("iterative", [False, True])
def test_nothing_left_is_said(iterative):
    with pytest.raises(UsageError, match="made: nothing is left when every user must have 4"):
        k_core(made(CORE), users=4, items=2, iterative=iterative)


DATA = st.dictionaries(
    st.integers(0, 50),
    st.lists(st.integers(0, 8), min_size=1, max_size=9, unique=True),
    min_size=1,
    max_size=12,
)


@given(DATA, st.integers(0, 4), st.integers(0, 4))
def test_the_iterative_core_is_a_fixed_point_and_the_largest(plain, users, items):
    data = made(plain)
    # The core by definition: take away one user or item too few, until there is none.
    expected = {user: list(history) for user, history in plain.items()}
    changed = True
    while changed:
        before = sum(map(len, expected.values()))
        expected = {u: h for u, h in expected.items() if len(h) >= users and h}
        count = {i: sum(i in h for h in expected.values()) for h in expected.values() for i in h}
        expected = {u: [i for i in h if count[i] >= items] for u, h in expected.items()}
        changed = sum(map(len, expected.values())) != before
    expected = {u: h for u, h in expected.items() if h}
    if not expected:
        with pytest.raises(UsageError, match="nothing is left"):
            k_core(data, users=users, items=items, iterative=True)
        return
    core = k_core(data, users=users, items=items, iterative=True)
    assert histories(core) == expected
    assert k_core(core, users=users, items=items, iterative=True) is core
    assert core.popularity.min() > 0


@given(DATA, st.integers(0, 4), st.integers(0, 4))
def test_one_pass_drops_by_the_counts_as_given(plain, users, items):
    count = {i: sum(i in h for h in plain.values()) for h in plain.values() for i in h}
    expected = {u: [i for i in h if count[i] >= items] for u, h in plain.items() if len(h) >= users}
    expected = {u: h for u, h in expected.items() if h}
    if expected:
        assert histories(k_core(made(plain), users=users, items=items, iterative=False)) == expected


def test_one_pass_is_no_fixed_point():
    once = k_core(made(CORE | CHAIN), users=3, items=3, iterative=False)
    assert histories(k_core(once, users=3, items=3, iterative=False)) != histories(once)


def test_binarise_keeps_ratings_from_the_minimum_on():
    data = made({1: [1, 2], 2: [3], 3: [2, 3]}, ratings=[4, 3.5, 3, 4.5, 0.1])
    assert histories(binarise(data, 3.5)) == {1: [1, 2], 3: [2]}
    assert binarise(data, 3.5).item_ids.to_list() == [1, 2]
    # 0.1 is no exact float32: the minimum is rounded as the ratings are.
    assert binarise(data, 0.1) is data


def test_binarise_faults():
    with pytest.raises(UsageError, match="made: minimum_rating needs ratings, and these data have none"):
        binarise(made(CORE), 3.0)
    with pytest.raises(UsageError, match="no rating reaches minimum_rating 9; the highest is 2"):
        binarise(made({1: [1, 2]}, ratings=[1, 2]), 9.0)


def test_truncate_keeps_the_last():
    data = made({1: [1, 2, 3], 2: [3], 3: [2, 1]}, times=[1, 2, 3, 4, 5, 6])
    short = truncate(data, 2)
    assert histories(short) == {1: [2, 3], 2: [3], 3: [2, 1]}
    assert short.times.tolist() == [2, 3, 4, 5, 6]
    assert truncate(data, 3) is data
    assert truncate(data, 1).n_items == 3
    with pytest.raises(UsageError, match="history length: found 0, expected 1 or more"):
        truncate(data, 0)


@given(DATA, st.integers(1, 10))
def test_truncate_agrees_with_plain_lists(plain, length):
    assert histories(truncate(made(plain), length)) == {user: h[-length:] for user, h in plain.items()}


@pytest.mark.parametrize(
    ("name", "once", "iterative"),
    [
        ("ml-1m", (6040, 3416, 999_611), (6040, 3416, 999_611)),
        ("ta-feng", (13_584, 11_941, 503_303), (13_583, 11_939, 503_291)),
        ("steam", (2509, 1584, 55_272), (2464, 1527, 54_895)),
    ],
)
def test_cores_of_the_real_data(real_data, name, once, iterative):
    data = real_data(name)
    for expected, again in ((once, False), (iterative, True)):
        core = k_core(data, users=5, items=5, iterative=again)
        assert (core.n_users, core.n_items, len(core.items)) == expected
