"""What phase two draws from the victim's lists."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recaudit.attacks.stealing.lists import ListedItems
from recaudit.data.interactions import Interactions

HISTORIES = Interactions(
    name="known",
    offsets=np.array([0, 1, 3, 4, 5]),
    items=np.array([9, 8, 9, 7, 0], dtype=np.int32),
    user_ids=pl.Series(range(4)),
    item_ids=pl.Series(range(10)),
)
USERS = np.array([1, 3])
LISTS = np.array([[4, 2, 0], [5, -1, -1]])


def listed(**options):
    chosen = {"users": USERS, "lists": LISTS, "excluded": HISTORIES, "n_users": 4, "n_items": 10} | options
    return ListedItems(**chosen)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_each_item_stands_with_its_next_and_the_last_with_itself():
    users, items = listed().epoch(generator())
    rows = sorted(zip(users.tolist(), items[0].tolist(), items[1].tolist(), strict=True))
    assert rows == [(1, 0, 0), (1, 2, 0), (1, 4, 2), (3, 5, 5)]  # and no padding


def test_a_list_of_one_stands_with_itself():
    users, items = listed(lists=np.array([[4], [5]])).epoch(generator())
    rows = sorted(zip(users.tolist(), *items[:2].tolist(), strict=True))
    assert rows == [(1, 4, 4), (3, 5, 5)]


@pytest.mark.parametrize(
    ("excluded", "free"),
    [
        (HISTORIES, {1: {1, 3, 5, 6, 7}, 3: {1, 2, 3, 4, 6, 7, 8, 9}}),
        (None, {1: {1, 3, 5, 6, 7, 8, 9}, 3: {0, 1, 2, 3, 4, 6, 7, 8, 9}}),
    ],
)
def test_drawn_items_are_all_those_outside_list_and_history_and_no_other(excluded, free):
    users, items = listed(excluded=excluded, negatives=2, examples=2000).epoch(generator())
    assert items.shape[0] == 4
    for row in items[2:]:
        for user, allowed in free.items():
            assert set(row[users == user].tolist()) == allowed


@pytest.mark.parametrize(("examples", "n"), [(1, 4), (4, 4), (5, 8), (17, 20)])
def test_an_epoch_makes_as_many_passes_as_it_takes(examples, n):
    users, items = listed(examples=examples).epoch(generator())
    assert len(users) == n
    assert items.shape == (3, n)
    for part in range(0, n, 4):
        one_pass = zip(users[part : part + 4].tolist(), items[0, part : part + 4].tolist(), strict=True)
        assert sorted(one_pass) == [(1, 0), (1, 2), (1, 4), (3, 5)]


def test_epochs_differ_and_a_seed_repeats_them():
    stream = generator(1)
    first, second = (listed(examples=400).epoch(stream) for _ in range(2))
    assert not torch.equal(first[1], second[1])
    assert torch.equal(listed(examples=400).epoch(generator(1))[1], first[1])


@given(st.integers(1, 8), st.integers(1, 12), st.integers(0, 10**6))
def test_any_lists(n_lists, k, seed):
    random = np.random.default_rng(seed)
    lists = np.array([random.permutation(30)[:k] for _ in range(n_lists)])
    for row, length in zip(lists, random.integers(1, k + 1, n_lists), strict=True):
        row[length:] = -1
    users = random.permutation(20)[:n_lists]
    drawn_users, items = listed(users=users, lists=lists, excluded=None, n_users=20, n_items=30).epoch(
        generator(seed)
    )
    following = {
        (user, item): after
        for user, row in zip(users.tolist(), lists.tolist(), strict=True)
        for item, after in zip(row, [*row[1:], -1], strict=True)
        if item >= 0
    }
    assert len(drawn_users) == len(following)
    for user, item, after, drawn in zip(drawn_users.tolist(), *items.tolist(), strict=True):
        expected = following[user, item]
        assert after == (expected if expected >= 0 else item)
        assert (user, drawn) not in following
