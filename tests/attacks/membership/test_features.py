"""Features of lists: against a plain loop over users, and by hand."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiles import examples
from recaudit.attacks.membership import features
from recaudit.attacks.membership.features import (
    BLIND_NAMES,
    RICH_NAMES,
    blind_features,
    difference_vectors,
    rich_features,
)
from recaudit.attacks.membership.knowledge import ItemSpace
from recaudit.data.interactions import Interactions

QUANTILES = {"10 %": 0.1, "25 %": 0.25, "50 %": 0.5, "75 %": 0.75, "90 %": 0.9}


def interactions(histories, n_items):
    return Interactions(
        name="test",
        offsets=np.concatenate([[0], np.cumsum([len(h) for h in histories])]).astype(np.int64),
        items=np.concatenate(histories).astype(np.int32),
        user_ids=pl.Series(np.arange(len(histories))),
        item_ids=pl.Series(np.arange(n_items)),
    )


def random_case(seed, n_users=23, n_items=31, k=7, size=13):
    """Lists of all lengths up to k, histories up to most items, items without vector, unknown items."""
    draw = np.random.default_rng(seed)
    vectors = draw.normal(size=(n_items, size)).astype(np.float32)
    vectors[draw.permutation(n_items)[:3]] = 0
    space = ItemSpace(vectors=vectors, popularity=draw.integers(0, 5, size=n_items))
    histories = [draw.permutation(n_items)[: 1 + draw.integers(n_items - 1)] for _ in range(n_users)]
    lists = np.full((n_users, k), -1, dtype=np.int64)
    for user in range(n_users):
        length = user % (k + 1)
        lists[user, :length] = draw.permutation(n_items)[:length]
    return space, interactions(histories, n_items), lists


def cosine(a, b):
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norms) if norms else 0.0


def centre(vectors, weights):
    return sum((w * v for w, v in zip(weights, vectors, strict=True)), np.zeros(vectors.shape[1])) / (
        sum(weights) or 1
    )


def mean(values, weights=None):
    return float(np.average(values, weights=weights)) if len(values) else 0.0


def plain_rich(space, data, lists, user):
    """The features of one user by their names, as the docstring tells them."""
    vectors, popularity = space.vectors.astype(np.float64), space.popularity
    history, listed = data.history(user), [int(item) for item in lists[user] if item >= 0]
    by_rank = [1 / math.log2(r + 1) for r in range(1, len(listed) + 1)]
    table = [[cosine(vectors[i], vectors[j]) for j in history] for i in listed]
    cosines = {"max": [max(row) for row in table], "mean": [mean(row) for row in table]}
    order = sorted(range(len(popularity)), key=lambda item: (-popularity[item], item))
    logs = [math.log(1 + popularity[i]) for i in listed]
    found = {}
    for name, values in (
        ("max cosine", cosines["max"]),
        ("mean cosine", cosines["mean"]),
        ("log popularity", logs),
    ):
        for title, q in QUANTILES.items():
            found[f"{name}, {title}"] = float(np.quantile(values, q)) if values else 0.0
    for name, values in cosines.items():
        found[f"{name} cosine, rank-weighted mean"] = mean(values, by_rank)
    found["log popularity, mean"] = mean(logs)
    for name, times in (("top k", 1), ("top 2k", 2), ("top 10k", 10)):
        top = {item for item in order[: times * lists.shape[1]] if popularity[item]}
        found[f"share in {name}"] = mean([item in top for item in listed])
    found["share unknown"] = mean([popularity[item] == 0 for item in listed])
    found["seen items"] = len(set(listed) & set(history.tolist()))
    found["list constancy"] = mean([mean([item in other for other in lists]) for item in listed])
    found["history: log length"] = math.log(len(history))
    found["history: log popularity, mean"] = mean([math.log(1 + popularity[i]) for i in history])
    mine = centre(vectors[history], [1] * len(history))
    for ending, weights in (("", [1] * len(listed)), (", rank-weighted", by_rank)):
        theirs = centre(vectors[listed], weights)
        found[f"distance{ending}"] = float(np.linalg.norm(mine - theirs))
        found[f"cosine{ending}"] = cosine(mine, theirs)
    leading = [*(mine - theirs), *[0] * 10][:10]
    return found | {f"difference {d}": x for d, x in enumerate(leading, start=1)}


@settings(max_examples=examples(20), deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 5, 40]), st.sampled_from([1, 7, 12]))
def test_rich_features_are_those_of_a_loop_over_users(seed, k, size):
    space, data, lists = random_case(seed, k=min(k, 31), size=size)
    found = rich_features(space, data, lists)
    assert found.shape == (data.n_users, len(RICH_NAMES))
    for user in range(data.n_users):
        plain = plain_rich(space, data, lists, user)
        assert set(plain) == set(RICH_NAMES)
        np.testing.assert_allclose(found[user], [plain[name] for name in RICH_NAMES], atol=2e-6, rtol=2e-6)


@settings(max_examples=examples(20), deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["uniform", "rank"]))
def test_difference_vectors_are_those_of_a_loop_over_users(seed, weights):
    space, data, lists = random_case(seed)
    found = difference_vectors(space, data, lists, weights=weights)
    for user in range(data.n_users):
        listed = lists[user][lists[user] >= 0]
        w = [1.0 if weights == "uniform" else 1 / math.log2(r + 2) for r in range(len(listed))]
        history = data.history(user)
        plain = centre(space.vectors[history], [1] * len(history)) - centre(space.vectors[listed], w)
        np.testing.assert_allclose(found[user], plain, atol=2e-6)


@pytest.fixture
def by_hand():
    """Two users over four items; item 3 is unknown, and item 2 has no vector."""
    space = ItemSpace(
        vectors=np.array([[1, 0], [0, 2], [0, 0], [3, 3]], dtype=np.float32),
        popularity=np.array([7, 1, 3, 0]),
    )
    return space, interactions([[0, 1], [1]], 4), np.array([[0, 3], [2, -1]])


def test_differences_by_hand(by_hand):
    uniform = difference_vectors(*by_hand)
    # the first user: (1/2, 1) - (2, 3/2); the second: (0, 2) - (0, 0)
    np.testing.assert_allclose(uniform, [[-1.5, -0.5], [0, 2]])
    second = 1 / math.log2(3)
    ranked = difference_vectors(*by_hand, weights="rank")
    expected = [0.5 - (1 + 3 * second) / (1 + second), 1 - 3 * second / (1 + second)]
    np.testing.assert_allclose(ranked, [expected, [0, 2]], rtol=1e-6)


def test_rich_features_by_hand(by_hand):
    first, second = (dict(zip(RICH_NAMES, row, strict=True)) for row in rich_features(*by_hand))
    half = math.sqrt(0.5)
    expected = {
        "max cosine, 50 %": (1 + half) / 2,  # item 0 is in the history; item 3 lies between 0 and 1
        "max cosine, 10 %": half + 0.1 * (1 - half),
        "mean cosine, 50 %": (0.5 + half) / 2,
        "mean cosine, rank-weighted mean": (0.5 + half / math.log2(3)) / (1 + 1 / math.log2(3)),
        "log popularity, mean": math.log(8) / 2,
        "share in top k": 0.5,
        "share in top 10k": 0.5,  # item 3 is in no top
        "share unknown": 0.5,
        "seen items": 1,
        "list constancy": 0.5,
        "history: log length": math.log(2),
        "history: log popularity, mean": (math.log(8) + math.log(2)) / 2,
        "distance": math.sqrt(1.5**2 + 0.5**2),
        "cosine": (0.5 * 2 + 1 * 1.5) / (math.sqrt(1.25) * 2.5),
        "difference 3": 0,
    }
    assert {name: first[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    assert second["max cosine, 50 %"] == second["cosine"] == second["share unknown"] == 0  # no vector
    assert second["share in top k"] == 1  # the padding counts nowhere
    assert second["log popularity, 10 %"] == second["log popularity, 90 %"] == pytest.approx(math.log(4))
    assert second["list constancy"] == 0.5


def test_blind_features_by_hand(by_hand):
    found = blind_features(*by_hand)
    assert tuple(found) == BLIND_NAMES
    expected = {
        "popular share": [0.5, 1],
        "seen item": [1, 0],
        "history length": [2, 1],
        "list constancy": [0.5, 0.5],
    }
    assert {name: values.tolist() for name, values in found.items()} == expected


def test_blind_features_are_those_among_the_rich():
    space, data, lists = random_case(3)
    blind = blind_features(space, data, lists)
    rich = dict(zip(RICH_NAMES, rich_features(space, data, lists).T, strict=True))
    np.testing.assert_array_equal(blind["popular share"], rich["share in top k"])
    np.testing.assert_array_equal(blind["seen item"], rich["seen items"])
    np.testing.assert_array_equal(blind["list constancy"], rich["list constancy"])
    np.testing.assert_allclose(np.log(blind["history length"]), rich["history: log length"])


def test_lists_that_are_all_alike_have_constancy_one_and_lists_apart_the_least():
    space, data, _ = random_case(1, n_users=4)
    alike, apart = np.tile(np.arange(5), (4, 1)), np.arange(20).reshape(4, 5)
    assert blind_features(space, data, alike)["list constancy"].tolist() == [1] * 4
    assert blind_features(space, data, apart)["list constancy"].tolist() == [0.25] * 4


@pytest.mark.parametrize("k", [0, 4])
def test_empty_lists_give_neutral_numbers(k):
    space, data, _ = random_case(5)
    lists = np.full((data.n_users, k), -1, dtype=np.int64)
    rich = dict(zip(RICH_NAMES, rich_features(space, data, lists).T, strict=True))
    of_history = {n for n in RICH_NAMES if n.startswith(("history", "distance", "difference"))}
    assert all((rich[name] == 0).all() for name in set(RICH_NAMES) - of_history)
    centres = difference_vectors(space, data, lists)
    np.testing.assert_allclose(centres[4], space.vectors[data.history(4)].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(rich["distance"], np.linalg.norm(centres, axis=1), rtol=1e-6)


def test_no_vectors_at_all_give_finite_numbers():
    space, data, lists = random_case(6)
    none = ItemSpace(vectors=np.zeros_like(space.vectors), popularity=np.zeros_like(space.popularity))
    assert np.isfinite(rich_features(none, data, lists)).all()


def test_the_order_of_users_changes_nothing():
    space, data, lists = random_case(7)
    order = np.random.default_rng(0).permutation(data.n_users)
    turned = rich_features(space, data.of_users(order), lists[order])
    np.testing.assert_allclose(turned, rich_features(space, data, lists)[order], atol=1e-6)


def test_other_users_change_list_constancy_alone():
    space, data, lists = random_case(8)
    some = np.array([3, 5, 12])
    alone, among = rich_features(space, data.of_users(some), lists[some]), rich_features(space, data, lists)
    changed = ~np.isclose(alone, among[some], atol=1e-6).all(axis=0)
    assert [name for name, differs in zip(RICH_NAMES, changed, strict=True) if differs] == ["list constancy"]


@pytest.mark.parametrize("cells", [1, 300, 1 << 30])
def test_the_size_of_a_block_changes_nothing(monkeypatch, cells):
    case = random_case(9)
    expected = rich_features(*case)
    monkeypatch.setattr(features, "CELLS", cells)
    np.testing.assert_allclose(rich_features(*case), expected, atol=1e-6)


def test_padding_within_a_list_keeps_the_ranks_of_the_items_after_it(by_hand):
    space, data, _ = by_hand
    found = difference_vectors(space, data, np.array([[-1, 0, 3], [-1, -1, -1]]), weights="rank")
    w = np.array([1 / math.log2(3), 1 / 2])
    np.testing.assert_allclose(found[0], [0.5 - w @ [1, 3] / w.sum(), 1 - w @ [0, 3] / w.sum()], rtol=1e-6)


@pytest.mark.parametrize("function", [difference_vectors, rich_features, blind_features])
def test_parts_that_do_not_fit_together_are_refused(by_hand, function):
    space, data, lists = by_hand
    with pytest.raises(ValueError, match="1 lists for 2 users"):
        function(space, data, lists[:1])
    with pytest.raises(ValueError, match=r"must lie in 0\.\.3"):
        function(space, data, lists + 2)
    with pytest.raises(ValueError, match="over 4 items for vectors of 3"):
        function(ItemSpace(vectors=space.vectors[:3], popularity=space.popularity[:3]), data, lists)
