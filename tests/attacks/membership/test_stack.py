"""The stack: what its features are, and that its log-odds mean what they say."""

import numpy as np
import pytest

from recaudit.attacks.membership.classifiers import Boosting, Logistic, NeuralNetwork, Together
from recaudit.attacks.membership.features import RICH_NAMES
from recaudit.attacks.membership.lira import ItemLikelihood, ListLikelihood
from recaudit.attacks.membership.shadows import Evidence, labels_of
from recaudit.attacks.membership.stack import learn_stack, stack_features
from recaudit.metrics.membership import auc


@pytest.fixture(scope="module")
def world(planted):
    return planted(signature=1.5, n_users=200)


@pytest.fixture(scope="module")
def evidence(world):
    return Evidence(world.knowledge, 0)


def test_the_stack_is_at_least_as_good_as_its_parts(world, evidence):
    scores = learn_stack(evidence.auditor, Together(), 0)(world.lists)
    table = evidence.auditor
    items, lists = ItemLikelihood(table.trials, table.space.n_items), ListLikelihood(table.trials)
    parts = [
        np.mean([statistic(trial) for trial in table.asked(world.lists)], axis=0)
        for statistic in (lambda trial: items(trial).sum(axis=1), lists)
    ]
    found = auc(scores, world.members)
    assert 0.6 < found < 0.999  # neither nothing nor everything is to be found
    assert found > max(auc(part, world.members) for part in parts) - 0.03


@pytest.mark.slow
def test_log_odds_mean_frequencies(planted):
    # Shares of members among those to whom a like chance was given, in four worlds.
    chances, members = [], []
    for seed in range(4):
        other = planted(signature=1.5, n_users=200, seed=seed)
        chances.append(
            1 / (1 + np.exp(-learn_stack(Evidence(other.knowledge, 0).auditor, Together(), 0)(other.lists)))
        )
        members.append(other.members)
    chances, members = np.concatenate(chances), np.concatenate(members)
    for low, high in ((0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)):
        chosen = (chances >= low) & (chances < high)
        error = np.sqrt(0.25 / chosen.sum())
        assert members[chosen].mean() == pytest.approx(chances[chosen].mean(), abs=3 * error)


@pytest.mark.parametrize("source", ["auditor", "own"])
def test_features_are_as_many_for_shadows_as_for_the_target(source, evidence, world):
    table = getattr(evidence, source)
    items, lists = ItemLikelihood(table.trials, table.space.n_items), ListLikelihood(table.trials)
    n_sides = {"auditor": 2, "own": 1}[source]
    width = 4 + n_sides + (n_sides == 2) + 2 + 2 * len(RICH_NAMES)
    for trial in (*table.trials, *table.asked(world.lists)):
        features = stack_features(trial, items, lists)
        assert features.shape == (200, width)
        assert np.isfinite(features).all()


def test_overlap_is_the_mean_share_of_common_items(evidence, world):
    table = evidence.auditor
    items, lists = ItemLikelihood(table.trials, table.space.n_items), ListLikelihood(table.trials)
    trial = table.asked(world.lists)[0]
    found = stack_features(trial, items, lists)[:, 4:7]
    for user in (0, 7):
        mine = set(trial.played.items[user].tolist())
        outside, inside = (
            np.mean([len(mine & set(each.tolist())) / len(mine) for each in side[:, user]])
            for side in trial.reference.items
        )
        assert found[user] == pytest.approx([outside, inside, inside - outside])


def test_played_shadows_do_not_leak_their_labels_through_who_else_knew_the_user(evidence):
    # Both sides of a pair meet the same reference: no statistic of the reference alone may tell the label.
    table = evidence.auditor
    labels = labels_of(table.trials)
    for value in (
        lambda reference: reference.logits.mean(axis=(0, 1)),
        lambda reference: reference.logits[1].mean(axis=0) - reference.logits[0].mean(axis=0),
    ):
        values = np.concatenate([value(trial.reference) for trial in table.trials])
        assert auc(values, labels) == 0.5


@pytest.mark.parametrize("settings", [Boosting(trees=20), Logistic(), NeuralNetwork(), Together()])
def test_classifiers_repeat_themselves_and_tell_log_odds(settings):
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(400, 3))
    labels = rows[:, 0] + 0.5 * generator.normal(size=400) > 0
    scores = settings.fit(rows, labels, 2**40)(rows)
    assert np.array_equal(scores, settings.fit(rows, labels, 2**40)(rows))
    assert ((scores > 0) == labels).mean() > 0.8
    with pytest.raises(ValueError, match="0 members among 400 rows"):
        settings.fit(rows, np.zeros(400, dtype=bool), 0)


def test_certainty_is_finite():
    rows = np.repeat([[-1e6], [1e6]], 50, axis=0)
    scores = NeuralNetwork(epochs=50, learning_rate=0.1).fit(rows, rows[:, 0] > 0, 0)(rows * 1e6)
    assert np.isfinite(scores).all()
