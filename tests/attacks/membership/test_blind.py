"""The blind panel: features point as the shadow says, the best one is named."""

from dataclasses import replace

import numpy as np
import pytest

from recaudit.attacks.membership.blind import blind_panel, oriented
from recaudit.attacks.membership.features import BLIND_NAMES, RICH_NAMES
from recaudit.attacks.membership.knowledge import Listed
from recaudit.metrics.membership import accuracy, auc
from recaudit.vocabulary import BEST_FEATURE


@pytest.fixture(scope="module")
def world(planted):
    return planted()


def popular_to_strangers(lists, inside):
    """Strangers get the most popular items, which are the first of the catalogue; members what they got."""
    return np.where(inside[:, None], lists, np.arange(lists.shape[1]))


def test_a_popular_list_for_strangers_is_found_with_members_below(world):
    shadow = world.knowledge.shadow
    lists = popular_to_strangers(shadow.lists[0], shadow.inside[0])
    knowledge = replace(
        world.knowledge,
        shadow=Listed(histories=shadow.histories, lists=lists[None], inside=shadow.inside),
    )
    served = popular_to_strangers(world.lists, world.members)
    result = blind_panel(knowledge, served)
    assert set(result.scores) == {*BLIND_NAMES, BEST_FEATURE}
    assert auc(result.scores["popular share"], world.members) > 0.99  # though members' shares are lower
    assert auc(result.scores[BEST_FEATURE], world.members) > 0.99
    assert accuracy(result.scores["popular share"], world.members, 0.0) > 0.95


def test_a_length_that_tells_nothing_scores_all_alike(world):
    # Everybody has six items.
    scores = blind_panel(world.knowledge, world.lists).scores["history length"]
    assert len(set(scores.tolist())) == 1


def test_the_best_feature_is_chosen_on_the_shadow_and_named(world):
    result = blind_panel(world.knowledge, world.lists)
    assert result.best.removeprefix("rich: ") in {*BLIND_NAMES, *RICH_NAMES}
    assert (
        auc(result.scores[BEST_FEATURE], world.members) > 0.95
    )  # members' lists are of their history's kind
    assert "cosine" in result.best or "distance" in result.best
    # Nothing of the choice comes from the target.
    assert blind_panel(world.knowledge, world.unrelated(0)).best == result.best


@pytest.mark.parametrize("sign", [1, -1])
def test_scores_are_oriented_and_keep_the_order(sign):
    labels = np.array([False] * 50 + [True] * 50)
    known = sign * (np.arange(100.0) + 1000)
    asked = np.array([5.0, -3.0, 1e6, 1050.0])
    scores = oriented(known, labels, sign * asked)
    assert np.array_equal(np.argsort(scores), np.argsort(asked))
    assert np.isfinite(scores).all()
    assert oriented(known, labels, known[[0, 99]]) @ [-1, 1] > 0
    assert abs(oriented(known, labels, sign * np.array([1049.5]))[0]) < 0.01  # halfway is undecided


def test_where_slope_and_auc_disagree_the_auc_decides():
    labels = np.array([True] * 5 + [False] * 5)
    known = np.array([2.0, 2, 2, 2, 2, 1, 1, 1, 1, 1000])  # members are higher but for one outlier
    assert auc(known, labels) == 0.8
    low, high = oriented(known, labels, np.array([1.0, 2.0]))
    assert high > low


def test_a_feature_that_tells_nothing_gives_the_base_rate():
    labels = np.array([True, False, False, False])
    scores = oriented(np.ones(4), labels, np.array([1.0, 7.0]))
    assert scores == pytest.approx(np.log([1 / 3, 1 / 3]), abs=1e-3)
