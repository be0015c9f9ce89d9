"""Synthetic histories: grown from a planted victim's lists, paid for exactly, the same for the same seed."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from profiles import examples
from recaudit.attacks.stealing.synthesis import Synthesised, synthesised
from recaudit.data.interactions import Interactions
from recaudit.errors import UsageError
from recaudit.models.protocol import TopK
from recaudit.oracle.oracle import Ledger, Oracle
from recaudit.victims.lists import FixedLists
from recaudit.victims.trained import FittedVictim

N_ITEMS, K = 60, 6


def open_oracle(model, seen, **more):
    """Return the oracle of ``model`` where every user of ``seen`` may be asked about."""
    more = {"allowed": np.arange(seen.n_users)} | more
    return Oracle(FittedVictim(recommender=model, seen=seen), **more)


def histories(*rows, n_items=N_ITEMS):
    return Interactions(
        name="shown",
        offsets=np.cumsum([0, *map(len, rows)]).astype(np.int64),
        items=np.array([item for row in rows for item in row], dtype=np.int32),
        user_ids=pl.Series(range(len(rows))),
        item_ids=pl.Series(range(n_items)),
    )


class Cycle:
    """After an item come those with the next greater numbers, round and round; the planted answer."""

    log = None

    def __init__(self, read, n_items=N_ITEMS):
        self.read, self.n_items, self.n_users = read, n_items, read.n_users

    def shown(self, shown):
        return Cycle(shown, self.n_items)

    def score(self, asked):
        lasts = torch.tensor([int(self.read.history(user)[-1]) for user in asked.tolist()])
        return -((torch.arange(self.n_items) - lasts[:, None] - 1) % self.n_items).float()

    def tensors(self):
        return {}


def after(history, k=K, n_items=N_ITEMS):
    """Return the list that the cycle serves for a history."""
    unseen = [
        item for item in ((history[-1] + 1 + s) % n_items for s in range(n_items)) if item not in history
    ]
    return (unseen + [-1] * k)[:k]


def oracle(k=K, n_items=N_ITEMS, **more):
    trained = histories([0], n_items=n_items)
    return open_oracle(Cycle(trained, n_items), trained, k=k, **more)


def grown(asked=None, *, lists=230, length=20, drawing="autoregressive", seed=0, n_items=N_ITEMS):
    asked = oracle() if asked is None else asked
    return synthesised(asked, n_items=n_items, lists=lists, length=length, drawing=drawing, seed=seed)


def rows(found):
    return [found.sequences.history(row).tolist() for row in range(found.sequences.n_users)]


@pytest.mark.parametrize("drawing", ["autoregressive", "random"])
class TestBothDrawings:
    def test_each_prefix_has_the_list_that_was_served_for_it(self, drawing):
        found = grown(drawing=drawing)
        place = 0
        for history in rows(found):
            for end in range(1, len(history) + 1):
                assert found.lists[place].tolist() == after(history[:end])
                place += 1
        assert place == len(found.lists) == len(found.sequences.items)

    @pytest.mark.parametrize(
        ("lists", "length", "lengths"),
        [(230, 20, [20] * 11 + [10]), (40, 20, [20, 20]), (7, 20, [7]), (3, 1, [1, 1, 1]), (1, 5, [1])],
    )
    def test_exactly_the_lists_are_paid_for_in_as_many_calls_as_a_history_has_items(
        self, drawing, lists, length, lengths
    ):
        asked = oracle(budget=lists)
        found = grown(asked, lists=lists, length=length, drawing=drawing)
        assert found.sequences.lengths.tolist() == lengths
        items = len(set(found.lists.ravel().tolist()))
        assert asked.ledger == Ledger(
            lists=lists, users=0, items=items, calls=max(lengths), sequences=len(lengths)
        )

    def test_a_seed_gives_the_same_histories_again_and_another_seed_others(self, drawing):
        one, again, other = (grown(drawing=drawing, seed=seed) for seed in (0, 0, 1))
        assert rows(one) == rows(again)
        assert (one.lists == again.lists).all()
        assert not set(map(tuple, rows(one))) & set(map(tuple, rows(other)))

    def test_more_lists_give_more_histories_beside_the_same_ones(self, drawing):
        few, many = rows(grown(lists=50, drawing=drawing)), rows(grown(lists=90, drawing=drawing))
        assert many[:2] == few[:2]
        assert many[2][:10] == few[2]

    def test_the_first_items_come_from_all_over_the_catalogue(self, drawing):
        firsts = [history[0] for history in rows(grown(lists=6000, length=1, drawing=drawing))]
        counts = np.bincount(firsts, minlength=N_ITEMS)
        # A hundred each, of which a standard deviation is 10.
        assert counts.min() > 60
        assert counts.max() < 140

    def test_a_history_can_take_the_whole_catalogue(self, drawing):
        found = grown(oracle(k=4, n_items=9), lists=18, length=9, drawing=drawing, n_items=9)
        assert [sorted(history) for history in rows(found)] == [[*range(9)]] * 2
        assert found.lists[[8, 17]].tolist() == [[-1] * 4] * 2

    def test_nothing_is_spent_where_no_history_is_read(self, drawing):
        asked = Oracle(FixedLists(lists=np.zeros((9, K), dtype=np.int64)), allowed=np.arange(9), k=K)
        with pytest.raises(UsageError, match="reads no histories"):
            grown(asked, drawing=drawing)
        assert asked.ledger.lists == 0


class TestAutoregressive:
    def test_each_item_comes_from_the_list_before_it(self):
        for history in rows(grown()):
            for end in range(1, len(history)):
                assert history[end] in after(history[:end])

    def test_every_place_of_a_list_is_drawn_alike_often(self):
        histories_ = rows(grown(lists=12_000, length=2))
        places = np.bincount([after([first]).index(second) for first, second in histories_], minlength=K)
        # A thousand each, of which a standard deviation is 29.
        assert abs(places - 1000).max() < 120

    def test_the_only_list_leads_on_whatever_is_drawn(self):
        for history in rows(grown(oracle(k=1))):
            assert history == [(history[0] + step) % N_ITEMS for step in range(len(history))]

    def test_a_list_that_holds_nothing_new_leaves_any_other_item(self):
        class Stubborn:
            """Serves item 3, the last item of the history, and padding."""

            def apply(self, queries, lists):
                read = queries.histories
                last = read.items[read.offsets[1:] - 1].astype(np.int64)
                return TopK(items=np.stack([np.full(len(last), 3), last, np.full(len(last), -1)], axis=1))

        found = rows(grown(oracle(k=3, defence=Stubborn()), lists=120, length=6))
        assert all(len(set(history)) == 6 for history in found)
        assert all(3 in history[:2] for history in found)  # first, or the one thing that the list offers
        thirds = {history[2] for history in found}
        assert len(thirds) > 10


class TestRandom:
    def test_items_do_not_follow_the_lists(self):
        found = rows(grown(lists=4000, length=20, drawing="random"))
        inside = np.mean([h[end] in after(h[:end]) for h in found for end in range(1, len(h))])
        # Six listed ones of the 40 to 59 items that are left: 0.12 on average.
        assert 0.1 < inside < 0.15

    def test_every_item_is_drawn_alike_often(self):
        found = grown(lists=12_000, length=20, drawing="random").sequences
        assert abs(found.popularity - 200).max() < 60


def test_prefixes_are_users_of_their_own():
    sequences = histories([5, 2, 9], [7], [0, 5])
    found = Synthesised(sequences=sequences, lists=np.zeros((6, 1), dtype=np.int64)).prefixes
    assert [found.history(user).tolist() for user in range(found.n_users)] == [
        [5], [5, 2], [5, 2, 9], [7], [0], [0, 5],
    ]  # fmt: skip
    assert found.n_items == N_ITEMS


def test_a_part_of_them_has_its_own_lists():
    found = grown(lists=50)
    for part, numbers in ((slice(None, 1), [0]), (slice(1, None), [1, 2]), (slice(2, 3), [2])):
        taken = found[part]
        assert rows(taken) == [rows(found)[number] for number in numbers]
        assert taken.lists.tolist() == [after(h[:end]) for h in rows(taken) for end in range(1, len(h) + 1)]


@settings(max_examples=examples(25))
@given(
    lists=st.integers(1, 60), length=st.integers(1, 8), k=st.integers(1, 10),
    drawing=st.sampled_from(["autoregressive", "random"]), seed=st.integers(0, 5),
)  # fmt: skip
def test_whatever_the_sizes_no_item_comes_twice_and_all_lists_are_recorded(lists, length, k, drawing, seed):
    found = grown(oracle(k=k, n_items=8), lists=lists, length=length, drawing=drawing, seed=seed, n_items=8)
    assert found.lists.shape == (lists, k)
    expected = [after(h[:end], k, 8) for h in rows(found) for end in range(1, len(h) + 1)]
    assert found.lists.tolist() == expected
