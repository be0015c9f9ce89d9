"""The oracle: what it gives, what it counts, and when it refuses."""

import numpy as np
import polars as pl
import pytest
import torch

from recaudit.data.interactions import Interactions
from recaudit.oracle.oracle import BudgetExceeded, Ledger, Oracle

# Users 0 to 3 over six items; user 3 has all items but two.
SEEN = Interactions(
    name="seen",
    offsets=np.array([0, 1, 2, 4, 8]),
    items=np.array([5, 0, 0, 1, 0, 1, 2, 3], dtype=np.int32),
    user_ids=pl.Series(range(4)),
    item_ids=pl.Series(range(6)),
)


class Falling:
    """Scores every item by its number, lowest best, and notes whom it was asked for."""

    n_users, n_items, log = 4, 6, None

    def __init__(self) -> None:
        self.asked: list[int] = []

    def score(self, users):
        self.asked += users.tolist()
        return -torch.arange(6, dtype=torch.float32).repeat(len(users), 1)

    def tensors(self):
        return {}


def users(*numbers):
    return np.array(numbers, dtype=np.int64)


def test_lists_exclude_what_was_seen_and_carry_no_scores():
    lists = Oracle(Falling(), SEEN, k=3).query(users(2, 0, 1))
    assert lists.items.tolist() == [[2, 3, 4], [0, 1, 2], [1, 2, 3]]
    assert lists.scores is None


def test_lists_are_k_long_and_padded_where_fewer_items_are_left():
    assert Oracle(Falling(), SEEN, k=4).query(users(3)).items.tolist() == [[4, 5, -1, -1]]
    assert Oracle(Falling(), SEEN, k=9).query(users(0)).items.tolist() == [[0, 1, 2, 3, 4, -1, -1, -1, -1]]


def test_the_ledger_counts_repeated_lists_distinct_users_and_items_without_padding():
    oracle = Oracle(Falling(), SEEN, k=3)
    assert oracle.ledger == Ledger(lists=0, users=0, items=0)
    oracle.query(users(3))
    assert oracle.ledger == Ledger(lists=1, users=1, items=2)  # 4 and 5; the padding is no item
    oracle.query(users(3, 3, 0))
    assert oracle.ledger == Ledger(lists=4, users=2, items=5)  # 0, 1 and 2 came in
    oracle.query(users())
    assert oracle.ledger == Ledger(lists=4, users=2, items=5)


def test_the_budget_refuses_before_it_answers_and_the_ledger_stays():
    victim = Falling()
    oracle = Oracle(victim, SEEN, k=2, budget=3)
    oracle.query(users(0, 1))
    before = oracle.ledger
    with pytest.raises(BudgetExceeded, match="2 lists asked for, 1 of the budget of 3 left"):
        oracle.query(users(2, 3))
    assert set(victim.asked) == {0, 1}
    assert oracle.ledger == before
    oracle.query(users(0))  # what is left may still be asked for, and a repeated list counts
    with pytest.raises(BudgetExceeded):
        oracle.query(users(0))
    assert oracle.ledger == Ledger(lists=3, users=2, items=3)


def test_no_budget_means_no_limit():
    oracle = Oracle(Falling(), SEEN, k=1)
    for _ in range(50):
        oracle.query(users(0, 1, 2, 3))
    assert oracle.ledger.lists == 200


def test_whoever_holds_an_oracle_finds_no_budget_to_raise():
    assert {name for name in vars(Oracle(Falling(), SEEN, k=1, budget=1)) if name[0] != "_"} == set()


@pytest.mark.parametrize("asked", [(4,), (-1,), (0, 7, 1)])
def test_unknown_users_are_refused_and_nothing_is_counted(asked):
    victim = Falling()
    oracle = Oracle(victim, SEEN, k=2, budget=10)
    with pytest.raises(IndexError, match=r"users must lie in 0\.\.3"):
        oracle.query(users(*asked))
    assert victim.asked == []
    assert oracle.ledger == Ledger(lists=0, users=0, items=0)


def test_changing_an_answer_changes_no_later_one():
    oracle = Oracle(Falling(), SEEN, k=2)
    oracle.query(users(0)).items[:] = 5
    assert oracle.query(users(0)).items.tolist() == [[0, 1]]
