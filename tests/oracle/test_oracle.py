"""The oracle: what it gives, what it counts, and when it refuses."""

import numpy as np
import polars as pl
import pytest
import torch

from recaudit.data.interactions import Interactions
from recaudit.errors import UsageError
from recaudit.models.protocol import TopK
from recaudit.oracle.defences import PopularItems
from recaudit.oracle.log import SCHEMA, queries_of
from recaudit.oracle.oracle import BudgetExceeded, Ledger, NotAllowed, Oracle
from recaudit.victims.protocol import Abilities, Queries, Victim
from recaudit.victims.trained import FittedVictim

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


def open_oracle(model, seen, **more):
    """Return the oracle of ``model`` where every user of ``seen`` may be asked about."""
    more = {"allowed": np.arange(seen.n_users)} | more
    return Oracle(FittedVictim(recommender=model, seen=seen), **more)


def test_lists_exclude_what_was_seen_and_carry_no_scores():
    lists = open_oracle(Falling(), SEEN, k=3).query(Queries(users=users(2, 0, 1)))
    assert lists.items.tolist() == [[2, 3, 4], [0, 1, 2], [1, 2, 3]]
    assert lists.scores is None


def test_lists_are_k_long_and_padded_where_fewer_items_are_left():
    assert open_oracle(Falling(), SEEN, k=4).query(Queries(users=users(3))).items.tolist() == [[4, 5, -1, -1]]
    assert open_oracle(Falling(), SEEN, k=9).query(Queries(users=users(0))).items.tolist() == [
        [0, 1, 2, 3, 4, -1, -1, -1, -1]
    ]


def test_the_ledger_counts_repeated_lists_distinct_users_and_items_without_padding():
    oracle = open_oracle(Falling(), SEEN, k=3)
    assert oracle.ledger == Ledger(lists=0, users=0, items=0)
    oracle.query(Queries(users=users(3)))
    assert oracle.ledger == Ledger(lists=1, users=1, items=2, calls=1)  # 4 and 5; the padding is no item
    oracle.query(Queries(users=users(3, 3, 0)))
    assert oracle.ledger == Ledger(lists=4, users=2, items=5, calls=2)  # 0, 1 and 2 came in
    oracle.query(Queries(users=users()))
    assert oracle.ledger == Ledger(lists=4, users=2, items=5, calls=3)


def test_the_budget_refuses_before_it_answers_and_the_ledger_stays():
    victim = Falling()
    oracle = open_oracle(victim, SEEN, k=2, budget=3)
    oracle.query(Queries(users=users(0, 1)))
    before = oracle.ledger
    with pytest.raises(BudgetExceeded, match="2 lists asked for, 1 of the budget of 3 left"):
        oracle.query(Queries(users=users(2, 3)))
    assert set(victim.asked) == {0, 1}
    assert oracle.ledger == before
    oracle.query(Queries(users=users(0)))  # what is left may still be asked for, and a repeated list counts
    with pytest.raises(BudgetExceeded):
        oracle.query(Queries(users=users(0)))
    assert oracle.ledger == Ledger(lists=3, users=2, items=3, calls=2)


def test_no_budget_means_no_limit():
    oracle = open_oracle(Falling(), SEEN, k=1)
    for _ in range(50):
        oracle.query(Queries(users=users(0, 1, 2, 3)))
    assert oracle.ledger.lists == 200


def test_whoever_holds_an_oracle_finds_no_budget_to_raise():
    assert {name for name in vars(open_oracle(Falling(), SEEN, k=1, budget=1)) if name[0] != "_"} == set()


@pytest.mark.parametrize(("asked", "named"), [((3,), "3"), ((-1,), "-1"), ((0, 7, 1, 3), "3, 7")])
def test_users_whom_the_attacker_may_not_ask_about_are_refused_before_anything_is_served(asked, named):
    victim = Falling()
    oracle = open_oracle(victim, SEEN, k=2, budget=10, allowed=users(2, 0, 1, 0))
    with pytest.raises(NotAllowed, match=f"may ask about 3 users, and not about {named}; no list was served"):
        oracle.query(Queries(users=users(*asked)))
    assert victim.asked == []
    assert oracle.ledger == Ledger(lists=0, users=0, items=0)
    assert oracle.query(Queries(users=users(1, 2))).items.tolist() == [[1, 2], [2, 3]]


def test_many_refused_users_are_named_in_part():
    oracle = open_oracle(Falling(), SEEN, k=2, allowed=users())
    with pytest.raises(NotAllowed, match=r"may ask about 0 users, and not about 1, 2, 3, 4, 5, …; no list"):
        oracle.query(Queries(users=np.arange(1, 9)))


def test_the_log_holds_what_was_asked_and_answered_whatever_becomes_of_the_arrays():
    oracle, asked = open_oracle(Falling(), SEEN, k=2), users(3, 0)
    oracle.query(Queries(users=asked)).items[:] = -7
    asked[:] = 1
    [exchange] = oracle.log.exchanges
    assert exchange.queries.users.tolist() == [3, 0]
    assert exchange.items.tolist() == [[4, 5], [0, 1]]
    with pytest.raises(ValueError, match="read-only"):
        exchange.items[0, 0] = 1


def test_the_log_is_a_plain_frame():
    oracle = open_oracle(Falling(), SEEN, k=3)
    oracle.query(Queries(users=users(3)))
    oracle.query(Queries(users=users()))
    oracle.query(Queries(users=users(0, 0)))
    frame = oracle.log.frame()
    assert frame.schema == SCHEMA
    assert frame.select("call", "user", "items").rows() == [
        (0, 3, [4, 5]),
        (2, 0, [0, 1, 2]),
        (2, 0, [0, 1, 2]),
    ]
    assert frame["session"].null_count() == frame["history"].null_count() == 3
    assert open_oracle(Falling(), SEEN, k=3).log.frame().schema == SCHEMA


def test_a_log_that_was_written_can_be_replayed(tmp_path):
    oracle = open_oracle(Falling(), SEEN, k=3)
    for asked in ((3, 1), (0,), (2, 2)):
        oracle.query(Queries(users=users(*asked)))
    oracle.log.frame().write_parquet(tmp_path / "log.parquet")
    again = open_oracle(Falling(), SEEN, k=3)
    for queries in queries_of(pl.read_parquet(tmp_path / "log.parquet"), n_items=6):
        again.query(queries)
    assert again.log.frame().equals(oracle.log.frame())
    assert again.ledger == oracle.ledger


def test_lists_that_are_too_short_or_too_few_do_not_pass():
    oracle = open_oracle(Falling(), SEEN, k=2, defence=Shortening())
    with pytest.raises(ValueError, match=r"lists \(1, 1\) were served for 1 queries of 2 items"):
        oracle.query(Queries(users=users(0)))
    assert oracle.ledger == Ledger(lists=0, users=0, items=0)


class Shortening:
    """A defence that takes the last item away."""

    def apply(self, queries, lists):
        return TopK(items=lists.items[:, :-1])


class FirstIsFive:
    """A defence that puts item 5 first and notes what it was given."""

    def __init__(self):
        self.given = []

    def apply(self, queries, lists):
        self.given.append((queries.users.tolist(), lists.items.tolist()))
        items = lists.items.copy()
        items[:, 0] = 5
        return TopK(items=items, scores=lists.scores)


def test_what_is_served_is_defended_and_what_was_served_is_counted():
    defence = FirstIsFive()
    oracle = open_oracle(Falling(), SEEN, k=2, defence=defence)
    lists = oracle.query(Queries(users=users(2, 1)))
    assert lists.items.tolist() == [[5, 3], [5, 2]]
    assert lists.scores is None
    assert defence.given == [([2, 1], [[2, 3], [1, 2]])]
    assert oracle.ledger == Ledger(lists=2, users=2, items=3, calls=1)  # 5, 3 and 2, not the victim's own 1


def test_a_query_beyond_the_budget_reaches_no_defence():
    defence = FirstIsFive()
    with pytest.raises(BudgetExceeded):
        open_oracle(Falling(), SEEN, k=2, budget=1, defence=defence).query(Queries(users=users(0, 1)))
    assert defence.given == []


def test_no_attribute_leads_to_the_victim_or_its_defence():
    victim, defence = Falling(), FirstIsFive()
    held = vars(open_oracle(victim, SEEN, k=2, defence=defence)).values()
    assert not any(value is victim or value is defence or value is SEEN for value in held)


def test_popular_items_in_served_lists():
    # The most popular of SEEN are 0 and 1; user 1 has 0, user 0 neither, and both stand in user 0's list.
    oracle = open_oracle(Falling(), SEEN, k=2, defence=PopularItems(mixed=2, top=2).protect(SEEN, 7))
    assert oracle.query(Queries(users=users(0))).items.tolist() == [[0, 1]]
    assert oracle.query(Queries(users=users(1))).items.tolist() == [[1, 2]]
    # Among the three most popular is 2: the most that fits user 0 is one item.
    oracle = open_oracle(Falling(), SEEN, k=2, defence=PopularItems(mixed=2, top=3).protect(SEEN, 7))
    [first] = oracle.query(Queries(users=users(0))).items.tolist()
    assert first in ([2, 1], [0, 2])
    assert oracle.query(Queries(users=users(0, 0))).items.tolist() == [first, first]


@pytest.mark.parametrize("defence", [None, PopularItems(mixed=0).protect(SEEN, 0)])
def test_changing_an_answer_changes_no_later_one(defence):
    oracle = open_oracle(Falling(), SEEN, k=2, defence=defence)
    oracle.query(Queries(users=users(0))).items[:] = 5
    assert oracle.query(Queries(users=users(0))).items.tolist() == [[0, 1]]


class Ordered:
    """A victim of the user's own: knows users by number, has short lists, and notes whom it was asked for."""

    abilities = Abilities(longest=2, repeatable=False)

    def __init__(self):
        self.items = np.array([[0, 1], [2, -1], [1, 3]])
        self.asked = []

    def recommend(self, queries, k):
        self.asked += queries.users.tolist()
        return TopK(items=self.items[queries.users, :k], scores=np.ones((len(queries), k), dtype=np.float32))


def test_whatever_answers_queries_is_a_victim():
    victim = Ordered()
    assert isinstance(victim, Victim)
    oracle = Oracle(victim, allowed=users(0, 1, 2), k=2, budget=4)
    lists = oracle.query(Queries(users=users(1, 0)))
    assert lists.items.tolist() == [[2, -1], [0, 1]]
    assert lists.scores is None
    assert oracle.ledger == Ledger(lists=2, users=2, items=3, calls=1)  # 0, 1 and 2; the padding is no item
    oracle.query(Queries(users=users(2)))
    with pytest.raises(BudgetExceeded, match="2 lists asked for, 1 of the budget of 4 left"):
        oracle.query(Queries(users=users(0, 1)))
    assert victim.asked == [1, 0, 2]
    assert oracle.ledger == Ledger(lists=3, users=3, items=4, calls=2)
    assert oracle.abilities == victim.abilities
    held = vars(oracle).values()
    assert not any(value is victim or getattr(value, "__self__", None) is victim for value in held)


def test_lists_longer_than_the_victim_s_are_refused():
    with pytest.raises(UsageError, match=r"k: lists of 3 items, but the victim's .* at most 2; lower k"):
        Oracle(Ordered(), allowed=users(0), k=3)


def test_a_victim_that_is_shown_histories_alone_is_not_asked_by_number():
    victim = Ordered()
    victim.abilities = Abilities(by_user=False, by_history=True)
    with pytest.raises(UsageError, match="answers for shown histories alone"):
        Oracle(victim, allowed=users(0), k=2).query(Queries(users=users(0)))
    assert victim.asked == []
