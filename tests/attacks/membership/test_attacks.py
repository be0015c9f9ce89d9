"""Membership attacks: every one finds what is planted, and nothing where there is nothing."""

from dataclasses import replace

import numpy as np
import pytest

from recaudit.attacks.membership.attacks import DEFAULT_ATTACKS, Difference, Rich, Stack
from recaudit.attacks.membership.classifiers import NeuralNetwork
from recaudit.attacks.membership.knowledge import Listed, MembershipKnowledge
from recaudit.attacks.membership.shadows import Evidence
from recaudit.attacks.protocol import MembershipAttack
from recaudit.attacks.registry import MEMBERSHIP_ATTACKS
from recaudit.metrics.membership import accuracy, auc

ATTACKS = {name: MEMBERSHIP_ATTACKS[name] for name in DEFAULT_ATTACKS}

# Standard error of the AUC of 60 members and 60 others by lot: sqrt((M + N + 1) / (12 M N)).
LOT = 0.053


@pytest.fixture(scope="module")
def world(planted):
    return planted()


@pytest.fixture(scope="module")
def evidence(world):
    return Evidence(world.knowledge, 0)


@pytest.fixture(scope="module")
def scorers(evidence):
    return {name: attack.learn(evidence, 0) for name, attack in ATTACKS.items()}


@pytest.mark.parametrize("name", ATTACKS)
def test_each_attack_finds_what_is_planted(name, world, scorers):
    scores = scorers[name](world.lists)
    assert auc(scores, world.members) > 0.9
    assert accuracy(scores, world.members, 0.0) > 0.85  # log-odds: 0 is where to cut


@pytest.mark.parametrize("name", ATTACKS)
def test_each_attack_is_near_chance_on_a_target_that_knows_nobody(name, world, scorers):
    scores = [scorers[name](world.unrelated(seed)) for seed in range(3)]
    assert abs(np.mean([auc(each, world.members) for each in scores]) - 0.5) < 4 * LOT / np.sqrt(3)
    assert np.mean([each > 0 for each in scores]) < 0.2  # nobody looks like a member


@pytest.fixture(scope="module")
def areas_of_nothing(planted):
    """AUC of each attack in three worlds in which membership changes no list."""
    areas = {name: [] for name in ATTACKS}
    for seed in range(3):
        world = planted(signature=0.0, n_models=4, seed=seed)
        evidence = Evidence(world.knowledge, 0)
        for name, attack in ATTACKS.items():
            areas[name].append(auc(attack.learn(evidence, 0)(world.lists), world.members))
    return areas


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.slow
def test_each_attack_is_near_chance_where_membership_changes_no_list(name, areas_of_nothing):
    assert abs(np.mean(areas_of_nothing[name]) - 0.5) < 4 * LOT / np.sqrt(3)


def test_the_order_of_the_candidates_does_not_matter(world, scorers):
    order = np.random.default_rng(1).permutation(len(world.members))
    known = world.knowledge
    moved = known.candidates.of_users(order)
    auditor = Listed(
        histories=moved, lists=known.auditor.lists[:, order], inside=known.auditor.inside[:, order]
    )
    permuted = replace(known, candidates=moved, auditor=auditor, own_lists=known.own_lists[:, order])
    evidence = Evidence(permuted, 0)
    for name, attack in ATTACKS.items():
        found = attack.learn(evidence, 0)(world.lists[order])
        # Sums are rounded in another order, which may put a feature on the other side of a tree's cut.
        assert np.corrcoef(found, scorers[name](world.lists)[order])[0, 1] > 0.999, name


@pytest.mark.parametrize("name", ["difference", "lira-items"])
def test_an_attack_scores_each_candidate_and_repeats_itself(name, world):
    def scored():
        return ATTACKS[name].learn(Evidence(world.knowledge, 3), 3)(world.lists)

    scores = scored()
    assert scores.dtype == np.float64
    assert scores.shape == world.members.shape
    assert np.array_equal(scores, scored())


def test_what_an_attack_needs_is_told_by_its_source_and_missed_aloud(world):
    known = world.knowledge
    bare = Evidence(
        MembershipKnowledge(space=known.space, candidates=known.candidates, shadow=known.shadow), 0
    )
    for name, attack in ATTACKS.items():
        assert isinstance(attack, MembershipAttack)
        [source] = attack.needs
        assert source == ("shadow" if name == "difference" else "own" if "stranger" in name else "auditor")
        assert attack.card.name == name
        if source == "shadow":
            assert len(attack.learn(bare, 0)(world.lists)) == len(world.members)
        else:
            with pytest.raises(ValueError, match=f"knowledge.{source}"):
                attack.learn(bare, 0)


def test_the_evidence_is_computed_once_for_all_attacks(world):
    evidence = Evidence(world.knowledge, 0)
    table = evidence.auditor
    classifier = table.classifier
    Rich().learn(evidence, 0)
    Stack().learn(evidence, 0)
    assert evidence.auditor is table
    assert table.classifier is classifier


def test_the_seed_s_settings_are_fields(world, evidence):
    base = Difference().learn(evidence, 0)(world.lists)
    for other in (
        Difference(weights="rank"),
        Difference(classifier=NeuralNetwork(hidden=(16, 4))),
        Difference(classifier=NeuralNetwork(learning_rate=1e-2)),
        Difference(classifier=NeuralNetwork(epochs=5)),
    ):
        scores = other.learn(evidence, 0)(world.lists)
        assert not np.allclose(scores, base)
