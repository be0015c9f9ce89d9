"""Likelihood ratios against shadow models: hand-worked counts, Gaussians, and what no label may leak."""

import numpy as np
import polars as pl
import pytest

from recaudit.attacks.membership.classifiers import Boosting
from recaudit.attacks.membership.knowledge import ItemSpace, Listed
from recaudit.attacks.membership.lira import PARTS, ItemLikelihood, ListLikelihood, places
from recaudit.attacks.membership.shadows import Lists, ShadowTable, Trial, labels_of, sides
from recaudit.data.interactions import Interactions


def lists(items, logits=None):
    items = np.array(items)
    shape = items.shape[:-1]
    logits = np.zeros(shape) if logits is None else np.array(logits, dtype=np.float64).reshape(shape)
    return Lists(items=items, features=np.zeros((*shape, 1)), logits=logits)


def test_places_by_hand():
    # One side outside, one inside, a list each; two users.
    reference = lists([[[[0, 1, 2], [5, 6, -1]]], [[[2, 3, 4], [6, 7, 8]]]])
    trial = Trial(played=lists([[2, 9, 0], [6, -1, -1]]), reference=reference)
    found = places(trial, 10)
    rows = zip(found.users, found.cells, found.outcomes, strict=True)
    # Cell 1: listed outside; 2: inside; 3: in both. The fourth column would be the item.
    assert sorted(rows) == sorted(
        [
            (0, 1, 2),  # item 0, in the last third
            (0, 1, PARTS),  # item 1
            (0, 3, 0),  # item 2
            (0, 2, PARTS),  # items 3 and 4
            (0, 2, PARTS),
            (0, 0, 1),  # item 9, listed nowhere else
            (1, 1, PARTS),  # item 5
            (1, 3, 0),  # item 6
            (1, 2, PARTS),  # items 7 and 8
            (1, 2, PARTS),
        ]
    )
    assert found.elsewhere.tolist() == [4, 6]


def test_the_item_ratio_is_that_of_the_shares():
    # An item that the outside model lists stands in one of 100 members' lists and in 81 of 100 others'.
    n = 100
    reference = lists(np.zeros((1, 1, n, 1), dtype=int))
    inside = lists(np.where(np.arange(n) < 1, 0, 1)[:, None])
    outside = lists(np.where(np.arange(n) < 81, 0, 1)[:, None])
    trials = [
        Trial(played=outside, reference=reference, inside=False),
        Trial(played=inside, reference=reference, inside=True),
    ]
    ratios = ItemLikelihood(trials, 1000).log_ratios
    assert ratios[1, 0] == pytest.approx(np.log(1 / 81), abs=0.5)  # smoothed towards the other label
    assert ratios[1, PARTS] == pytest.approx(np.log(99 / 19), abs=0.05)
    assert ratios[0, 0] == pytest.approx(np.log(99 / 19), abs=0.05)  # an item that no reference has
    assert ItemLikelihood(trials, 1000)(trials[0])[0, 0] == ratios[1, 0]


def test_an_outcome_that_never_happened_says_nothing():
    reference = lists(np.zeros((1, 1, 4, 1), dtype=int))
    trials = [Trial(played=lists(np.full((4, 1), 0)), reference=reference, inside=i) for i in (False, True)]
    assert np.isfinite(ItemLikelihood(trials, 9).log_ratios).all()
    assert np.abs(ItemLikelihood(trials, 9).log_ratios).max() < 1e-9


def gaussian_trials(n, generator, effect=2.0, own=3.0, models=1):
    """Log-odds: the user's own level, an effect of being inside, and unit noise."""
    level = own * generator.normal(size=n)
    empty = np.zeros((n, 0), dtype=int)

    def logits(inside, *shape):
        return level + effect * inside + generator.normal(size=(*shape, n))

    sides_logits = np.stack([logits(0, models), logits(1, models)])
    reference = lists(np.zeros((2, models, n, 0), dtype=int), sides_logits)
    return [
        Trial(played=lists(empty, logits(inside)), reference=reference, inside=bool(inside))
        for inside in (0, 1)
    ]


def test_with_many_models_the_list_ratio_is_the_gaussians_own():
    generator = np.random.default_rng(0)
    trials = gaussian_trials(20_000, generator, models=200)
    ratios = ListLikelihood(trials)(trials[1])
    level = trials[1].reference.logits.mean(axis=(0, 1)) - 1
    x = trials[1].played.logits - level
    exact = 0.5 * (x**2 - (x - 2) ** 2)  # Eq. 4 with means 0 and 2 and unit variance
    assert np.abs(ratios - exact).mean() < 0.1


def test_with_one_model_a_side_the_list_ratio_is_calibrated():
    generator = np.random.default_rng(1)
    trials = gaussian_trials(20_000, generator)
    fitted = ListLikelihood(trials)
    fresh = gaussian_trials(20_000, generator)
    ratios = np.concatenate([fitted(trial) for trial in fresh])
    labels = labels_of(fresh)
    for low, high in ((-3, -1), (-1, 0), (0, 1), (1, 3)):
        chosen = (ratios > low) & (ratios < high)
        told = 1 / (1 + np.exp(-ratios[chosen]))
        assert labels[chosen].mean() == pytest.approx(told.mean(), abs=0.02)


def test_sides_sort_by_membership_and_refuse_unequal_halves():
    inside = np.array([[True, False], [False, True], [False, False], [True, True]])
    values = np.arange(8).reshape(4, 2, 1)
    ordered = sides(values, inside)[..., 0]
    assert ordered[0].tolist() == [[2, 1], [4, 5]]  # models 1 and 2 lack user 0; 0 and 2 lack user 1
    assert ordered[1].tolist() == [[0, 3], [6, 7]]
    with pytest.raises(ValueError, match="found 1 to 3 of 4"):
        sides(values, np.array([[True, True], [False, True], [False, True], [False, False]]))


def tiny_listed(n_models):
    histories = Interactions(
        name="tiny",
        offsets=np.arange(41),
        items=(np.arange(40) % 8).astype(np.int32),
        user_ids=pl.Series(range(40)),
        item_ids=pl.Series(range(8)),
    )
    inside = np.zeros((n_models, 40), dtype=bool)
    inside[::2, ::2] = inside[1::2, 1::2] = True
    generator = np.random.default_rng(0)
    items = np.stack([[generator.permutation(8)[:3] for _ in range(40)] for _ in range(n_models)])
    space = ItemSpace(vectors=np.eye(8, dtype=np.float32), popularity=np.ones(8, dtype=np.int64))
    return space, Listed(histories=histories, lists=items, inside=inside)


def test_no_trial_holds_its_own_list_and_all_have_the_same_number_of_models():
    space, listed = tiny_listed(8)
    table = ShadowTable(space=space, listed=listed, rich=Boosting(trees=2), seed=0)
    assert len(table.trials) == 8
    for number, trial in enumerate(table.trials):
        assert trial.reference.items.shape == (2, 3, 40, 3)
        pair, side = divmod(number, 2)
        assert np.array_equal(trial.played.items, table.items[side, pair])
        assert np.array_equal(trial.reference.items, np.delete(table.items, pair, axis=1))
    for trial in table.asked(listed.lists[0]):
        assert trial.inside is None
        assert trial.reference.items.shape == (2, 3, 40, 3)


def test_two_models_are_too_few_to_compare():
    space, listed = tiny_listed(2)
    table = ShadowTable(space=space, listed=listed, rich=Boosting(trees=2), seed=0)
    with pytest.raises(ValueError, match="four of them at least; found 2"):
        assert table.trials


def test_a_list_that_every_model_serves_has_a_ratio():
    # Nothing is listed by one model and left out by another, as where a victim serves everybody one list.
    same = lists([[0, 1, 2], [3, 4, 5]])
    reference = lists([[[[0, 1, 2], [3, 4, 5]]], [[[0, 1, 2], [3, 4, 5]]]])
    trials = [Trial(played=same, reference=reference, inside=inside) for inside in (False, True)]
    ratios = ItemLikelihood(trials, 100)(trials[0])
    np.testing.assert_allclose(ratios, 0, atol=1e-9)
