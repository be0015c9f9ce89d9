"""The generated data: their shape, their planted tastes, and that a seed means the same on all processors."""

import hashlib

import numpy as np
import pytest
from scipy.sparse.linalg import svds

from recaudit.data import synthetic
from recaudit.data.split import SplitSpec, split
from recaudit.data.synthetic import checkerboard, synthetic_interactions
from recaudit.errors import UsageError
from recaudit.metrics.ranking import recall


@pytest.fixture(scope="module")
def data():
    return synthetic_interactions()


def svd_over_popularity(data):
    """Recall@50 of a rank-16 SVD as a multiple of that of the most popular unseen items."""
    parts = split(data, SplitSpec(), 0)
    train = parts.target.matrix().astype(np.float64)
    left, values, right = svds(train, k=16, v0=np.ones(min(train.shape)))
    seen = train.toarray() > 0
    recalls = []
    for scores in (left * values @ right, np.broadcast_to(parts.target.popularity, seen.shape)):
        lists = np.argsort(np.where(seen, np.inf, -scores), axis=1)[:, :50]
        recalls.append(np.nanmean(recall(lists, parts.heldout_offsets, parts.heldout_items)))
    return recalls[0] / recalls[1]


class TestSynthetic:
    def test_counts_and_ids(self, data):
        assert (data.name, data.n_users, data.n_items) == ("synthetic", 2000, 1500)
        assert data.user_ids.to_list() == list(range(1, 2001))
        assert data.item_ids.to_list() == list(range(1, 1501))
        assert data.ratings is None

    def test_times_rise_within_a_user(self, data):
        inside = np.diff(data.users) == 0
        assert (np.diff(data.times)[inside] > 0).all()
        assert data.times.min() >= 0

    def test_is_as_dense_and_long_tailed_as_ml_1m(self, data):
        # ML-1M: density 0.0447; the most popular 1, 10 and 50 % of items have 0.087, 0.444 and 0.924.
        assert data.density == pytest.approx(0.0447, abs=0.003)
        counts = np.sort(data.popularity)[::-1]
        shares = np.cumsum(counts)[[14, 149, 749]] / counts.sum()
        np.testing.assert_allclose(shares, [0.087, 0.444, 0.924], atol=0.02)
        # Its history lengths, less the shortest and scaled to the same mean, at 10, 50, 90 and 99 %.
        assert data.lengths.min() == 20
        np.testing.assert_allclose(
            np.quantile(data.lengths, [0.1, 0.5, 0.9, 0.99]), [22, 45, 143, 306], rtol=0.15
        )

    def test_tastes_can_be_learned(self, data, monkeypatch):
        assert svd_over_popularity(data) > 1.5
        monkeypatch.setattr(synthetic, "TASTE_STRENGTH", 0.0)
        assert svd_over_popularity(synthetic_interactions()) < 1.05

    def test_a_seed_means_the_same_on_every_processor(self, data):
        """With the pinned NumPy's random streams; the next test says why no rounding changes the data."""
        digest = hashlib.sha256()
        for part, kind in ((data.offsets, "<i8"), (data.items, "<i4"), (data.times, "<i8")):
            digest.update(part.astype(kind).tobytes())
        assert digest.hexdigest() == "91da7d646530717acd16850134505ac766e33d0d63472829e5a949dd86a1d64f"

    @pytest.mark.parametrize("drawn", ["_gumbel", "_weibull"])
    def test_another_processors_last_bits_change_nothing(self, data, drawn, monkeypatch):
        exact = getattr(synthetic, drawn)
        off = np.random.default_rng(0)

        def inexact(*arguments):
            value = exact(*arguments)
            return value + off.choice([-1e-12, 1e-12], size=value.shape)

        monkeypatch.setattr(synthetic, drawn, inexact)
        assert synthetic_interactions().fingerprint == data.fingerprint

    def test_blocks_of_users_change_no_draw(self, data, monkeypatch):
        monkeypatch.setattr(synthetic, "_BLOCK", 333)
        assert synthetic_interactions().fingerprint == data.fingerprint

    def test_seeds_and_sizes(self):
        small = synthetic_interactions(n_users=10, n_items=100, seed=1)
        assert (small.n_users, small.n_items) == (10, 100)
        assert 20 <= small.lengths.min() <= small.lengths.max() <= 50
        assert small.fingerprint != synthetic_interactions(n_users=10, n_items=100, seed=2).fingerprint

    @pytest.mark.parametrize("size", [{"n_users": 9}, {"n_items": 99}])
    def test_too_small(self, size):
        with pytest.raises(UsageError, match="at least 10 users and 100 items, not"):
            synthetic_interactions(**size)


class TestCheckerboard:
    @pytest.mark.parametrize(
        ("n_users", "n_items", "groups"), [(50, 50, 2), (7, 11, 3), (2, 4, 2), (5, 2, 1)]
    )
    def test_users_have_four_fifths_of_their_own_group_and_nothing_else(self, n_users, n_items, groups):
        data = checkerboard(n_users=n_users, n_items=n_items, groups=groups)
        assert (data.users % groups == data.items % groups).all()
        own = np.bincount(np.arange(n_items) % groups)[np.arange(n_users) % groups]
        np.testing.assert_array_equal(own - data.lengths, np.maximum(1, own // 5))

    def test_which_items_are_missing_is_random(self):
        assert len(np.unique(checkerboard().popularity)) > 1
        assert checkerboard().fingerprint == checkerboard().fingerprint
        assert checkerboard().fingerprint != checkerboard(seed=1).fingerprint

    @pytest.mark.parametrize("wrong", [{"groups": 0}, {"n_users": 1}, {"n_items": 3}])
    def test_too_small(self, wrong):
        with pytest.raises(UsageError, match="groups need at least as many users"):
            checkerboard(**wrong)
