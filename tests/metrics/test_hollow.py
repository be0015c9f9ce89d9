"""Ties and forced overlap against lists worked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recaudit.metrics.hollow import forced, short, tied
from recaudit.metrics.ranking import agreement

PAD, NONE = -1, -np.inf


@pytest.mark.parametrize(
    ("items", "scores", "expected"),
    [
        ([4, 2, 7, 1], [0.9, 0.5, 0.4, 0.1], 0.0),
        ([4, 2, 7, 1], [0.9, 0.0, 0.0, 0.0], 0.75),
        ([0, 1, 2, 3], [0.0, 0.0, 0.0, 0.0], 1.0),
        ([0, 1, 2, 3], [0.9, 0.9, 0.4, 0.4], 1.0),
        ([4, 2, PAD, PAD], [0.9, 0.5, NONE, NONE], 0.0),
        ([4, 2, 5, PAD], [0.9, 0.0, 0.0, NONE], 2 / 3),
        ([4, PAD, PAD, PAD], [0.9, NONE, NONE, NONE], 0.0),
        ([PAD] * 4, [NONE] * 4, np.nan),
    ],
)
def test_tied_places_by_hand(items, scores, expected) -> None:
    found = tied(np.array([items]), np.array([scores], dtype=np.float32))
    np.testing.assert_allclose(found, [expected])


def test_short_and_forced_by_hand() -> None:
    unseen = np.array([3, 10, 15, 19, 20, 40, 0])
    assert short(unseen, 10).tolist() == [True, True, True, True, False, False, True]
    np.testing.assert_allclose(forced(unseen, 10), [1.0, 1.0, 0.5, 0.1, 0.0, 0.0, np.nan])


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_no_two_lists_agree_less_than_is_forced_and_some_agree_no_more(n_unseen, k, seed) -> None:
    random, length = np.random.default_rng(seed), min(n_unseen, k)
    bound = forced(np.array([n_unseen]), k)[0]
    first, second = (random.permutation(n_unseen)[None, :length] for _ in range(2))
    assert agreement(first, second)[0] >= bound - 1e-12
    apart = np.arange(n_unseen)[None, :length], np.arange(n_unseen)[None, ::-1][:, :length]
    assert agreement(*apart)[0] == pytest.approx(bound)
