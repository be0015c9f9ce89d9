"""Exact top-k lists, against a plain stable sort."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recaudit.data.interactions import Interactions
from recaudit.errors import UsageError
from recaudit.models import ranking
from recaudit.models.factorization import BPR, LMF, NetworkRecommender
from recaudit.models.protocol import TopK
from recaudit.models.ranking import best_items, top_k
from recaudit.models.zoo.ncf import NCF
from recaudit.testing.alike import same_lists


def plain(scores, k):
    """Items of each row by (-score, item), the first k."""
    return np.argsort(-scores.astype(np.float64), axis=1, kind="stable")[:, :k]


@st.composite
def tables(draw):
    """Scores with heavy ties: few distinct values, some rows constant, some all -inf."""
    n_items = draw(st.integers(1, 400))
    seed = draw(st.integers(0, 2**32 - 1))
    levels = draw(st.sampled_from([1, 2, 3, 5, 50, 10**6]))
    random = np.random.default_rng(seed)
    table = random.integers(-levels, levels, size=(4, n_items)).astype(np.float32)
    table[random.random(table.shape) < draw(st.sampled_from([0.0, 0.1, 0.9]))] = -np.inf
    table[3] = draw(st.sampled_from([0.0, -np.inf, 7.0]))
    return table


@given(tables(), st.integers(1, 60))
def test_best_items_are_those_of_a_stable_sort(table, k):
    k = min(k, table.shape[1])
    values, items = best_items(torch.from_numpy(table.copy()), k)
    expected = plain(table, k)
    np.testing.assert_array_equal(items.numpy(), expected)
    np.testing.assert_array_equal(values.numpy(), np.take_along_axis(table, expected, axis=1))


@pytest.mark.parametrize("k", [1, 2, 7, 50])
@pytest.mark.parametrize("n_items", [997, 1024, 3706])
@pytest.mark.parametrize("levels", [1, 3, 40, 3000])
def test_large_catalogues_take_the_way_over_groups(k, n_items, levels, monkeypatch):
    narrowed, calls = ranking._narrowed, []
    monkeypatch.setattr(ranking, "_narrowed", lambda *given: calls.append(1) or narrowed(*given))
    table = np.random.default_rng(k + n_items).integers(0, levels, size=(20, n_items)).astype(np.float32)
    np.testing.assert_array_equal(best_items(torch.from_numpy(table), k)[1].numpy(), plain(table, k))
    assert calls == [1]


def test_ties_across_the_edge_of_groups_go_to_the_lowest_items():
    table = torch.zeros(1, 4096)
    table[0, [4095, 2048, 17]] = 1.0
    assert best_items(table, 5)[1].tolist() == [[17, 2048, 4095, 0, 1]]


def test_zeros_of_both_signs_are_equal():
    table = torch.zeros(2, 300)
    table[0, ::2] = -0.0
    table[1, 1::2] = -0.0
    assert best_items(table, 4)[1].tolist() == [[0, 1, 2, 3]] * 2


def test_scores_in_another_memory_order_are_ranked_alike():
    table = np.random.default_rng(0).integers(0, 30, size=(6, 2000)).astype(np.float32)
    columns = torch.from_numpy(table.T.copy()).T
    assert not columns.is_contiguous()
    np.testing.assert_array_equal(best_items(columns, 10)[1].numpy(), plain(table, 10))


class Table:
    """A recommender of given scores."""

    log = None

    def __init__(self, scores):
        self.scores = torch.from_numpy(scores)
        self.n_users, self.n_items = scores.shape

    def score(self, users):
        return self.scores[torch.tensor(users)].clone()

    def tensors(self):
        return {"scores": self.scores}


def histories(rows, n_items):
    return Interactions(
        name="seen",
        offsets=np.cumsum([0, *map(len, rows)]).astype(np.int64),
        items=np.concatenate([np.array(row) for row in rows]).astype(np.int32),
        user_ids=pl.Series(range(len(rows))),
        item_ids=pl.Series(range(n_items)),
    )


@st.composite
def worlds(draw):
    """Scores with ties, and histories of any length up to all items."""
    n_users, n_items = draw(st.integers(1, 8)), draw(st.integers(1, 90))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = random.integers(0, draw(st.sampled_from([1, 4, 1000])), (n_users, n_items)).astype(np.float32)
    rows = [random.permutation(n_items)[: draw(st.integers(1, n_items))] for _ in range(n_users)]
    return scores, rows


def by_hand(scores, rows, users, k):
    """The lists, one user at a time in plain Python."""
    lists = []
    for user in users:
        unseen = sorted(set(range(scores.shape[1])) - set(rows[user].tolist()))
        best = sorted(unseen, key=lambda item, user=user: (-scores[user, item], item))[:k]
        lists.append(best + [-1] * (k - len(best)))
    return lists


@given(worlds(), st.integers(1, 100), st.integers(0, 2**32 - 1))
def test_lists_hold_the_best_unseen_items_and_end_in_padding(world, k, seed):
    scores, rows = world
    users = np.random.default_rng(seed).integers(0, len(rows), 5)
    lists = top_k(Table(scores), users, histories(rows, scores.shape[1]), k)
    assert lists.items.tolist() == by_hand(scores, rows, users, k)
    held = lists.items >= 0
    np.testing.assert_array_equal(
        lists.scores[held], np.take_along_axis(scores[users], lists.items.clip(0), axis=1)[held]
    )
    assert (lists.scores[~held] == -np.inf).all()


@pytest.mark.parametrize("at_a_time", [1, 150, 701, 10**6])
def test_chunks_change_nothing(at_a_time, monkeypatch):
    random = np.random.default_rng(5)
    scores = random.integers(0, 20, (37, 150)).astype(np.float32)
    rows = [random.permutation(150)[:20] for _ in range(37)]
    users = random.permutation(37)
    monkeypatch.setattr(ranking, "CHUNK_SCORES", at_a_time)
    lists = top_k(Table(scores), users, histories(rows, 150), 10)
    assert lists.items.tolist() == by_hand(scores, rows, users, 10)


def test_nobody_gets_no_lists():
    lists = top_k(Table(np.zeros((2, 3), np.float32)), np.array([], np.int64), histories([[0], [1]], 3), 2)
    assert lists.items.shape == lists.scores.shape == (0, 2)


def test_a_score_of_minus_infinity_recommends_nothing():
    scores = np.array([[-np.inf, 1.0, -np.inf, 0.0]], np.float32)
    assert top_k(Table(scores), np.array([0]), histories([[3]], 4), 3).items.tolist() == [[1, -1, -1]]


@pytest.mark.parametrize("n_items", [5, 4000])
@pytest.mark.parametrize("spoilt", [1, 4])
def test_scores_that_are_not_numbers_are_refused(n_items, spoilt):
    scores = np.zeros((3, n_items), np.float32)
    scores[1, -spoilt:] = np.nan
    with pytest.raises(UsageError, match=r"nan.*lower the learning rate"):
        top_k(Table(scores), np.arange(3), histories([[0]] * 3, n_items), 3)


def test_a_seen_item_may_have_any_score():
    scores = np.array([[np.nan, 1.0, np.inf, 0.0]], np.float32)
    assert top_k(Table(scores), np.array([0]), histories([[0]], 4), 2).items.tolist() == [[2, 1]]


@pytest.mark.parametrize(
    "spec",
    [
        BPR(embedding_size=64),
        LMF(embedding_size=24, biases=True),
        NCF(embedding_size=16, variant="neumf", hidden=(24, 8)),
    ],
    ids=lambda spec: spec.model,
)
def test_a_list_does_not_depend_on_who_is_asked_about_with_it(spec):
    network = spec.network(300, 700, torch.Generator().manual_seed(0))
    model = NetworkRecommender(network, n_users=300, n_items=700, device="cpu", log=None)
    seen = histories([[user] for user in range(300)], 700)
    together = top_k(model, np.arange(300), seen, 20)
    random = np.random.default_rng(0)
    for size in [1, 2, 3, 7, 8, 9, 13, 64, 129]:
        users = random.permutation(300)[:size]
        alone = top_k(model, users, seen, 20)
        same_lists(alone, TopK(items=together.items[users], scores=together.scores[users]))
