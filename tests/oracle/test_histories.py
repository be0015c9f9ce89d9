"""Histories shown to the oracle: whom it answers, what it leaves out, counts and refuses."""

import numpy as np
import polars as pl
import pytest
import torch

from recaudit.data.interactions import Interactions
from recaudit.errors import UsageError
from recaudit.models.protocol import TopK
from recaudit.oracle.defences import PopularItems, RandomItems
from recaudit.oracle.log import queries_of
from recaudit.oracle.oracle import BudgetExceeded, Ledger, Oracle
from recaudit.victims.lists import FixedLists
from recaudit.victims.protocol import Queries
from recaudit.victims.trained import FittedVictim

N_ITEMS = 8


def histories(*rows, ids=None, n_items=N_ITEMS):
    return Interactions(
        name="shown",
        offsets=np.cumsum([0, *map(len, rows)]).astype(np.int64),
        items=np.array([item for row in rows for item in row], dtype=np.int32),
        user_ids=pl.Series(range(len(rows)) if ids is None else ids),
        item_ids=pl.Series(range(n_items)),
    )


def users(*numbers):
    return np.array(numbers, dtype=np.int64)


def open_oracle(model, seen, **more):
    """Return the oracle of ``model`` where every user of ``seen`` may be asked about."""
    more = {"allowed": np.arange(seen.n_users)} | more
    return Oracle(FittedVictim(recommender=model, seen=seen), **more)


class After:
    """A cycle of items: the best item for a history is the one after its last, then the next, and so on."""

    n_items, log = N_ITEMS, None

    def __init__(self, read: Interactions, asked: list[list[int]]) -> None:
        self.read, self.asked = read, asked
        self.n_users = read.n_users

    def shown(self, shown: Interactions) -> "After":
        return After(shown, self.asked)

    def score(self, asked):
        lasts = [int(self.read.history(user)[-1]) for user in asked.tolist()]
        self.asked.append(lasts)
        steps = (torch.arange(N_ITEMS) - torch.tensor(lasts)[:, None] - 1) % N_ITEMS
        return -steps.float()

    def tensors(self):
        return {}


class Numbered:
    """Knows its users by their numbers alone."""

    n_users, n_items, log = 2, N_ITEMS, None

    def __init__(self) -> None:
        self.asked: list[int] = []

    def score(self, asked):
        self.asked += asked.tolist()
        return -torch.arange(N_ITEMS, dtype=torch.float32).repeat(len(asked), 1)

    def tensors(self):
        return {}


TRAINED = histories([0, 4], [5])
"""The users that the victim knows by number."""


def victim():
    return After(TRAINED, [])


class TestLists:
    def test_they_follow_the_shown_history_without_its_items(self):
        lists = open_oracle(victim(), TRAINED, k=3).query(
            Queries(histories=histories([6], [6, 7, 1], [1, 6, 7]))
        )
        assert lists.items.tolist() == [[7, 0, 1], [2, 3, 4], [0, 2, 3]]
        assert lists.scores is None

    def test_users_by_number_still_get_their_own(self):
        oracle = open_oracle(victim(), TRAINED, k=3)
        oracle.query(Queries(histories=histories([6], [2])))
        assert oracle.query(Queries(users=users(1, 0))).items.tolist() == [[6, 7, 0], [5, 6, 7]]

    def test_they_are_padded_where_the_history_leaves_too_few_items(self):
        lists = open_oracle(victim(), TRAINED, k=3).query(
            Queries(histories=histories([*range(1, 7)], [*range(N_ITEMS)]))
        )
        assert lists.items.tolist() == [[7, 0, -1], [-1, -1, -1]]

    def test_no_history_gets_no_list(self):
        oracle = open_oracle(victim(), TRAINED, k=3, budget=0)
        assert oracle.query(Queries(histories=histories().of_users(users()))).items.shape == (0, 3)
        assert oracle.ledger == Ledger(lists=0, users=0, items=0, calls=1)


class TestLedger:
    def test_it_counts_calls_lists_and_sessions_that_grow_and_reads_older_ones(self):
        oracle = open_oracle(victim(), TRAINED, k=2)
        oracle.query(Queries(histories=histories([0], [3])))
        assert oracle.ledger == Ledger(lists=2, users=0, items=4, calls=1, sequences=2)
        oracle.query(Queries(histories=histories([0, 1], [3, 4])))
        assert oracle.ledger == Ledger(lists=4, users=0, items=6, calls=2, sequences=2)  # 1 to 6
        oracle.query(Queries(histories=histories([0, 1], ids=[7])))
        oracle.query(Queries(users=users(0, 1)))
        assert oracle.ledger == Ledger(lists=7, users=2, items=7, calls=4, sequences=3)  # 7 came in
        assert Ledger(**{"lists": 3, "users": 2, "items": 1}) == Ledger(
            lists=3, users=2, items=1, calls=0, sequences=0
        )

    def test_sessions_may_have_names(self):
        oracle = open_oracle(victim(), TRAINED, k=2)
        oracle.query(Queries(histories=histories([0], [3], ids=["a", "b"])))
        oracle.query(Queries(histories=histories([3, 1], [2], ids=["b", "c"])))
        assert oracle.ledger.sequences == 3


class TestBudget:
    def test_it_holds_for_numbers_and_histories_together_and_refuses_before_it_answers(self):
        model = victim()
        oracle = open_oracle(model, TRAINED, k=2, budget=4)
        oracle.query(Queries(users=users(1)))
        oracle.query(Queries(histories=histories([0], [3])))
        before, asked = oracle.ledger, list(model.asked)
        with pytest.raises(BudgetExceeded, match="2 lists asked for, 1 of the budget of 4 left"):
            oracle.query(Queries(histories=histories([0, 1], [3, 4])))
        with pytest.raises(BudgetExceeded):
            oracle.query(Queries(users=users(0, 1)))
        assert (oracle.ledger, model.asked) == (before, asked)
        oracle.query(Queries(histories=histories([0, 1])))
        with pytest.raises(BudgetExceeded):
            oracle.query(Queries(users=users(0)))

    def test_whether_it_suffices_can_be_asked_before(self):
        oracle = open_oracle(victim(), TRAINED, k=2, budget=2)
        oracle.check_budget(2)
        with pytest.raises(BudgetExceeded, match="3 lists asked for, 2 of the budget of 2 left"):
            oracle.check_budget(3)
        assert oracle.ledger == Ledger(lists=0, users=0, items=0)
        open_oracle(victim(), TRAINED, k=2).check_budget(10**9)


class TestRefusals:
    def refused(self, oracle, why):
        for ask in (oracle.check_reads_histories, lambda: oracle.query(Queries(histories=histories([0])))):
            with pytest.raises(UsageError, match=why) as error:
                ask()
            assert "audit a model that reads them (such as sasrec, stamp or gru4rec), or leave out" in str(
                error.value
            )
            assert "\n" not in str(error.value)
        assert oracle.ledger == Ledger(lists=0, users=0, items=0)

    def test_a_victim_that_knows_numbers_alone(self):
        model = Numbered()
        # Without a list left: why no list can ever be had comes before that none is left.
        self.refused(open_oracle(model, TRAINED, k=2, budget=0), "the victim knows its users by number alone")
        assert model.asked == []

    def test_a_victim_with_fixed_lists(self):
        asked = Oracle(FixedLists(lists=users(0, 1)[:, None]), allowed=users(0, 1), k=1)
        self.refused(asked, "the victim knows its users by number alone")

    def test_a_victim_that_reads_them_is_no_reason(self):
        oracle = open_oracle(victim(), TRAINED, k=2)
        oracle.check_reads_histories()

    @pytest.mark.parametrize("n_items", [7, 9])
    def test_another_catalogue(self, n_items):
        model = victim()
        oracle = open_oracle(model, TRAINED, k=2)
        with pytest.raises(
            ValueError, match=f"histories over {n_items} items were shown; the catalogue has 8"
        ):
            oracle.query(Queries(histories=histories([0], n_items=n_items)))
        assert (model.asked, oracle.ledger) == ([], Ledger(lists=0, users=0, items=0))


def test_no_attribute_leads_to_the_victim_or_its_defence():
    model, defence = victim(), PopularItems(mixed=1).protect(TRAINED, 0)
    oracle = open_oracle(model, TRAINED, k=2, defence=defence)
    oracle.query(Queries(histories=histories([0])))
    assert not any(value is model or value is defence or value is TRAINED for value in vars(oracle).values())


class TestDefended:
    # Items by popularity in these 40 histories: 0 to 5, which every user has, then 6 and 7.
    POPULAR = histories(*([[0, 1, 2, 3, 4, 5, *([6] if user else [])] for user in range(40)]))

    def oracle(self, *, defence=None, seed=0, k=3):
        defence = PopularItems(mixed=2, top=6) if defence is None else defence
        return open_oracle(victim(), TRAINED, k=k, defence=defence.protect(self.POPULAR, seed))

    def test_what_is_mixed_in_is_popular_and_not_in_the_shown_history(self):
        # After 5 come 6, 7 and 0: two of the three places get items that are neither there nor in the
        # history. User 0 of the training data has all popular items, and that is no matter here.
        for seed in range(20):
            shown = histories([5], [1, 2, 5], [3, 1, 2, 5])
            served = self.oracle(seed=seed).query(Queries(histories=shown)).items.tolist()
            for row, free in zip(served, ({1, 2, 3, 4}, {3, 4}, {4}), strict=True):
                arrived = set(row) - {6, 7, 0}
                assert len(arrived) == min(2, len(free))
                assert arrived <= free
                assert len(set(row)) == 3

    def test_the_same_history_is_served_the_same_list_whoever_is_with_it(self):
        oracle = self.oracle()
        rows = [[item, 5] for item in (0, 1, 2, 3, 4)] + [[5]]
        alone = [oracle.query(Queries(histories=histories(row))).items[0].tolist() for row in rows]
        together = (
            oracle.query(Queries(histories=histories(*rows[::-1], ids=[*"uvwxyz"]))).items[::-1].tolist()
        )
        assert together == alone

    def test_draws_differ_between_lists_and_not_between_ways_to_ask_for_one(self):
        # All are followed by 0 to 6 but for their own items; which of the rest comes in is drawn.
        shown = histories(*([item, other, 7] for item in range(7) for other in range(7) if item != other))
        oracle = open_oracle(victim(), TRAINED, k=3, defence=RandomItems(changed=2).protect(shown, 0))
        served = {tuple(row) for row in oracle.query(Queries(histories=shown)).items.tolist()}
        assert len(served) > 10
        # This victim reads the last item alone, so that the order of those before it brings nothing new.
        orders = ([0, 1, 2, 7], [1, 0, 2, 7], [2, 1, 0, 7])
        assert (
            len({tuple(oracle.query(Queries(histories=histories(row))).items[0].tolist()) for row in orders})
            == 1
        )

    @pytest.mark.parametrize("defence", [PopularItems(mixed=2, top=6), RandomItems(changed=2)])
    def test_asked_by_number_and_by_history_a_user_is_served_the_same_list(self, defence):
        for seed in range(10):
            oracle = open_oracle(victim(), TRAINED, k=3, defence=defence.protect(TRAINED, seed, by_list=True))
            by_number = oracle.query(Queries(users=users(1, 0))).items[::-1]
            assert by_number.tolist() == oracle.query(Queries(histories=TRAINED)).items.tolist()

    def test_more_mixed_in_keeps_what_fewer_did(self):
        shown = histories([5], [1, 5], [2, 5])
        one, two = (
            self.oracle(defence=PopularItems(mixed=mixed, top=6)).query(Queries(histories=shown)).items
            for mixed in (1, 2)
        )
        plain = open_oracle(victim(), TRAINED, k=3).query(Queries(histories=shown)).items
        assert ((one != plain).sum(axis=1) == 1).all()
        assert ((two != plain).sum(axis=1) == 2).all()
        assert (two[one != plain] == one[one != plain]).all()

    def test_the_ledger_counts_what_was_served(self):
        oracle = self.oracle()
        served = oracle.query(Queries(histories=histories([5], [1, 5]))).items
        assert oracle.ledger.items == len(set(served.ravel().tolist()))

    def test_numbers_keep_their_own_draws(self):
        defence = PopularItems(mixed=2, top=6).protect(self.POPULAR, 3)
        lists, asked = TopK(items=np.array([[6, 7, 0], [7, 6, 1]])), Queries(users=users(0, 1))
        before = defence.apply(asked, lists).items.tolist()
        defence.apply(Queries(histories=histories([5], [4])), lists)
        assert defence.apply(asked, lists).items.tolist() == before


def test_the_log_of_shown_histories_can_be_replayed(tmp_path):
    oracle = open_oracle(victim(), TRAINED, k=2)
    oracle.query(Queries(histories=histories([0], [3], ids=["a", "b"])))
    oracle.query(Queries(users=users(1)))
    oracle.query(Queries(histories=histories([3, 1], [2], ids=["b", "c"])))
    frame = oracle.log.frame()
    assert frame.drop("user").rows()[-2:] == [(2, "b", [3, 1], [2, 4]), (2, "c", [2], [3, 4])]
    frame.write_parquet(tmp_path / "log.parquet")
    again = open_oracle(victim(), TRAINED, k=2)
    for queries in queries_of(pl.read_parquet(tmp_path / "log.parquet"), n_items=N_ITEMS):
        again.query(queries)
    assert again.log.frame().equals(frame)
    assert again.ledger == oracle.ledger


def test_a_query_is_of_numbers_or_of_histories():
    for both in ({}, {"users": users(0), "histories": histories([0])}):
        with pytest.raises(ValueError, match="by number or by history, one of the two"):
            Queries(**both)
