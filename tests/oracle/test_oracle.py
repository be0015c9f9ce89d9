"""The oracle: what it gives, what it counts, and when it refuses."""

import numpy as np
import polars as pl
import pytest
import torch

from recaudit.data.interactions import Interactions
from recaudit.models.protocol import TopK
from recaudit.oracle.defences import PopularItems
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
    assert oracle.ledger == Ledger(lists=1, users=1, items=2, calls=1)  # 4 and 5; the padding is no item
    oracle.query(users(3, 3, 0))
    assert oracle.ledger == Ledger(lists=4, users=2, items=5, calls=2)  # 0, 1 and 2 came in
    oracle.query(users())
    assert oracle.ledger == Ledger(lists=4, users=2, items=5, calls=3)


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
    assert oracle.ledger == Ledger(lists=3, users=2, items=3, calls=2)


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


class FirstIsFive:
    """A defence that puts item 5 first and notes what it was given."""

    def __init__(self):
        self.given = []

    def apply(self, users, lists):
        self.given.append((users.tolist(), lists.items.tolist()))
        items = lists.items.copy()
        items[:, 0] = 5
        return TopK(items=items, scores=lists.scores)


def test_what_is_served_is_defended_and_what_was_served_is_counted():
    defence = FirstIsFive()
    oracle = Oracle(Falling(), SEEN, k=2, defence=defence)
    lists = oracle.query(users(2, 1))
    assert lists.items.tolist() == [[5, 3], [5, 2]]
    assert lists.scores is None
    assert defence.given == [([2, 1], [[2, 3], [1, 2]])]
    assert oracle.ledger == Ledger(lists=2, users=2, items=3, calls=1)  # 5, 3 and 2, not the victim's own 1


def test_a_query_beyond_the_budget_reaches_no_defence():
    defence = FirstIsFive()
    with pytest.raises(BudgetExceeded):
        Oracle(Falling(), SEEN, k=2, budget=1, defence=defence).query(users(0, 1))
    assert defence.given == []


def test_no_attribute_leads_to_the_victim_or_its_defence():
    victim, defence = Falling(), FirstIsFive()
    held = vars(Oracle(victim, SEEN, k=2, defence=defence)).values()
    assert not any(value is victim or value is defence or value is SEEN for value in held)


def test_popular_items_in_served_lists():
    # The most popular of SEEN are 0 and 1; user 1 has 0, user 0 neither, and both stand in user 0's list.
    oracle = Oracle(Falling(), SEEN, k=2, defence=PopularItems(mixed=2, top=2).protect(SEEN, 7))
    assert oracle.query(users(0)).items.tolist() == [[0, 1]]
    assert oracle.query(users(1)).items.tolist() == [[1, 2]]
    # Among the three most popular is 2: the most that fits user 0 is one item.
    oracle = Oracle(Falling(), SEEN, k=2, defence=PopularItems(mixed=2, top=3).protect(SEEN, 7))
    [first] = oracle.query(users(0)).items.tolist()
    assert first in ([2, 1], [0, 2])
    assert oracle.query(users(0, 0)).items.tolist() == [first, first]


@pytest.mark.parametrize("defence", [None, PopularItems(mixed=0).protect(SEEN, 0)])
def test_changing_an_answer_changes_no_later_one(defence):
    oracle = Oracle(Falling(), SEEN, k=2, defence=defence)
    oracle.query(users(0)).items[:] = 5
    assert oracle.query(users(0)).items.tolist() == [[0, 1]]


class Table:
    """A service with these lists, which notes whom it was asked for."""

    def __init__(self):
        self.items = np.array([[0, 1], [2, -1], [1, 3]])
        self.asked = []

    def serve(self, users):
        self.asked += users.tolist()
        return TopK(items=self.items[users], scores=np.ones((len(users), 2), dtype=np.float32))


def test_a_service_is_asked_under_the_same_ledger_budget_and_refusals():
    table = Table()
    oracle = Oracle.serving(table.serve, n_users=3, budget=4)
    lists = oracle.query(users(1, 0))
    assert lists.items.tolist() == [[2, -1], [0, 1]]
    assert lists.scores is None
    assert oracle.ledger == Ledger(lists=2, users=2, items=3, calls=1)  # 0, 1 and 2; the padding is no item
    with pytest.raises(IndexError, match=r"users must lie in 0\.\.2"):
        oracle.query(users(3))
    oracle.query(users(2))
    with pytest.raises(BudgetExceeded, match="2 lists asked for, 1 of the budget of 4 left"):
        oracle.query(users(0, 1))
    assert table.asked == [1, 0, 2]
    assert oracle.ledger == Ledger(lists=3, users=3, items=4, calls=2)


def test_a_service_without_a_budget_may_be_asked_for_ever():
    oracle = Oracle.serving(Table().serve, n_users=3)
    for _ in range(50):
        oracle.query(users(0, 1, 2))
    assert oracle.ledger.lists == 150


def test_no_attribute_leads_to_the_service():
    table = Table()
    held = vars(Oracle.serving(table.serve, n_users=3)).values()
    assert not any(value is table or getattr(value, "__self__", None) is table for value in held)
