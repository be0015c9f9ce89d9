"""Diversity and coverage of lists, worked by hand and against counting pair by pair."""

import numpy as np
import pytest

from recaudit.metrics.diversity import coverage, diversity, times_listed


def test_worked_by_hand() -> None:
    lists = np.array([[0, 1], [1, 2], [1, 0], [3, -1]])
    # The first list shares 1 item of 2 with the second, 2 of 2 with the third and none with the fourth.
    assert diversity(lists, 6) == pytest.approx([1 - 3 / 6, 1 - 2 / 6, 1 - 3 / 6, 1.0])
    assert times_listed(lists, 6).tolist() == [2, 3, 1, 1, 0, 0]
    assert coverage(lists, 6) == pytest.approx(4 / 6)


def test_one_list_for_all_and_lists_apart() -> None:
    assert diversity(np.tile([4, 2, 0], (5, 1)), 5).tolist() == [0.0] * 5
    assert diversity(np.arange(12).reshape(4, 3), 12).tolist() == [1.0] * 4


def test_nobody_to_compare_with() -> None:
    assert np.isnan(diversity(np.array([[1, 2]]), 3)).all()
    assert np.isnan(diversity(np.array([[-1, -1], [0, 1]]), 3)).tolist() == [True, False]
    assert coverage(np.full((2, 3), -1), 4) == 0


def test_it_is_the_mean_over_all_pairs() -> None:
    generator = np.random.default_rng(0)
    lists = np.stack([generator.permutation(15)[:6] for _ in range(20)])
    lists[3, 4:] = -1
    for user, mine in enumerate(lists):
        own = set(mine[mine >= 0].tolist())
        shared = [len(own & set(other.tolist())) / len(own) for row, other in enumerate(lists) if row != user]
        assert diversity(lists, 15)[user] == pytest.approx(1 - np.mean(shared))
