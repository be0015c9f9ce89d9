"""Intervals on planted data."""

import numpy as np
import pytest
from scipy import stats

from recaudit.metrics.intervals import Interval, bootstrap_interval

NAN = float("nan")


def test_value_is_the_mean_of_the_seeds_means():
    interval = bootstrap_interval([np.array([0.0, 1.0]), np.array([1.0, 1.0, 1.0, 1.0])], seed=0)
    assert interval.value == 0.75
    assert interval.low < 0.75 <= interval.high


def test_same_seed_same_interval_and_another_seed_another():
    values = [np.random.default_rng(0).random(50)]
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1).low != bootstrap_interval(values, seed=2).low


@pytest.mark.parametrize("n", [2, 3, 5, 24, 60])
@pytest.mark.parametrize(
    ("truth", "draw"),
    [
        (0.5, lambda g, n: np.clip(g.normal(0.5, 0.15, n), 0, 1)),
        (0.05, lambda g, n: g.beta(0.5, 9.5, n)),
        (0.95, lambda g, n: g.beta(9.5, 0.5, n)),
        (0.5, lambda g, n: g.beta(0.4, 0.4, n)),
        (0.12, lambda g, n: np.where(g.random(n) < 0.7, 0.0, g.beta(2, 3, n))),
    ],
    ids=["bell", "near 0", "near 1", "U", "mass at 0"],
)
def test_users_are_covered_at_the_level_from_two_on(truth, draw, n):
    """The percentile bootstrap covers half of the time with two users, and 81 % with four."""
    generator, covered = np.random.default_rng(n), 0
    for trial in range(300):
        interval = bootstrap_interval([draw(generator, n)], seed=trial, resamples=300)
        covered += interval.low <= truth <= interval.high
    assert covered / 300 > 0.9


@pytest.mark.parametrize(
    ("n_seeds", "n_users", "least"), [(20, 20, 0.9), (3, 3, 0.9), (5, 20, 0.9), (2, 20, 0.8)]
)
def test_seeds_and_users_are_covered_at_the_level(n_seeds, n_users, least):
    """Seeds that differ by half of what users do: resampling users alone covers far too seldom.

    Two seeds that came out alike by chance hide how seeds differ.
    """
    generator = np.random.default_rng(12)
    covered = users_alone = 0
    for trial in range(200):
        seeds = generator.normal(0.5, 0.05, size=(n_seeds, 1))
        values = list(np.clip(seeds + generator.normal(0, 0.1, size=(n_seeds, n_users)), 0, 1))
        interval = bootstrap_interval(values, seed=trial, resamples=300)
        covered += interval.low <= 0.5 <= interval.high
        interval = bootstrap_interval([np.concatenate(values)], seed=trial, resamples=300)
        users_alone += interval.low <= 0.5 <= interval.high
    assert covered / 200 > least
    assert n_users == 3 or users_alone / 200 < 0.75


@pytest.mark.parametrize(("hits", "n"), [(0, 2), (0, 20), (1, 2), (3, 10), (40, 40)])
def test_shares_of_hits_have_the_interval_of_jeffreys(hits, n):
    interval = bootstrap_interval([np.repeat([1.0, 0.0], [hits, n - hits])], seed=0, resamples=40_000)
    low, high = stats.beta.ppf([0.025, 0.975], hits + 0.5, n - hits + 0.5)
    assert interval.low == (0 if hits == 0 else pytest.approx(low, abs=0.01))
    assert interval.high == (1 if hits == n else pytest.approx(high, abs=0.01))


def test_seeds_that_are_alike_count_as_more_users():
    """Where seeds do not differ, three of them with ten users are as sure as one with thirty, or nearly so."""
    generator = np.random.default_rng(3)
    widths = []
    for trial in range(60):
        values = generator.normal(0.5, 0.15, size=(3, 10)).clip(0, 1)
        ends = [bootstrap_interval(part, seed=trial) for part in (list(values), [values.ravel()])]
        widths.append([end.high - end.low for end in ends])
    apart, together = np.median(widths, axis=0)
    assert together <= apart < 1.3 * together


def test_width_is_that_of_the_normal_interval():
    values = np.random.default_rng(5).random(2000)
    interval = bootstrap_interval([values], seed=0, resamples=4000)
    half = 1.96 * values.std() / np.sqrt(2000)
    np.testing.assert_allclose(
        [interval.low, interval.high], [values.mean() - half, values.mean() + half], atol=1e-3
    )


def test_a_higher_level_is_wider():
    values = [np.random.default_rng(0).random(80)]
    narrow, wide = (bootstrap_interval(values, seed=0, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_nan_users_and_seeds_without_users_are_left_out():
    values = [np.array([0.2, NAN, 0.4]), np.array([NAN]), np.array([0.6]), np.array([])]
    without = [np.array([0.2, 0.4]), np.array([0.6])]
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(without, seed=3)


def test_one_user_has_no_interval_and_one_user_of_each_of_two_seeds_has():
    assert bootstrap_interval([np.array([0.3])], seed=0) == Interval(value=0.3, low=None, high=None, n=1)
    alone = bootstrap_interval([np.array([0.3]), np.array([0.4])], seed=0, same_users=True)
    assert (alone.value, alone.low, alone.high, alone.n) == (pytest.approx(0.35), None, None, 1)
    both = bootstrap_interval([np.array([0.3]), np.array([0.4])], seed=0)
    assert 0 <= both.low < 0.2
    assert 0.5 < both.high <= 1
    assert both.n == 2


def test_n_counts_users_with_a_value_and_shared_users_once():
    values = [np.array([0.2, NAN, 0.4]), np.array([0.1, 0.2, 0.3])]
    assert bootstrap_interval(values, seed=0).n == 5
    assert bootstrap_interval(values, seed=0, same_users=True).n == 2


@pytest.mark.parametrize("wrong", [-0.1, 1.1])
def test_values_out_of_range_are_errors(wrong):
    with pytest.raises(ValueError, match=r"needs values in \[0, 1\]"):
        bootstrap_interval([np.array([0.5, wrong])], seed=0)


@pytest.mark.parametrize("values", [[], [np.array([])], [np.array([NAN, NAN])]])
def test_no_user_left_is_an_error(values):
    with pytest.raises(ValueError, match="no user has a value"):
        bootstrap_interval(values, seed=0)


@pytest.mark.parametrize("wrong", [{"resamples": 0}, {"level": 0.0}, {"level": 1.0}, {"level": NAN}])
def test_options_out_of_range_are_errors(wrong):
    with pytest.raises(ValueError, match="resamples must be"):
        bootstrap_interval([np.array([1.0])], seed=0, **wrong)


def test_chunks_do_not_change_the_draws(monkeypatch):
    """The chunk only bounds memory: the interval must not depend on it."""
    values = [np.random.default_rng(n).random(40) for n in range(3)]
    whole = bootstrap_interval(values, seed=0, resamples=200)
    monkeypatch.setattr("recaudit.metrics.intervals._CHUNK", 90)
    assert bootstrap_interval(values, seed=0, resamples=200) == whole


def test_the_same_users_in_every_seed_do_not_count_as_more_users():
    users = np.random.default_rng(0).random(30)
    alone = bootstrap_interval([users], seed=1)
    together = bootstrap_interval([users] * 10, seed=1, same_users=True)
    apart = bootstrap_interval([users] * 10, seed=1)
    assert together.value == pytest.approx(alone.value)
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.1)
    assert apart.high - apart.low < 0.5 * (alone.high - alone.low)


def test_the_same_users_still_vary_over_seeds_and_leave_out_nan():
    seeds = [np.full(20, value) for value in (0.1, 0.5, 0.9)]
    seeds[0][3] = np.nan
    found = bootstrap_interval(seeds, seed=1, same_users=True)
    assert found.value == pytest.approx(0.5)
    # Three seeds 0.4 apart say little of the mean over seeds: t with two degrees of freedom.
    assert (found.low, found.high) == (0.0, 1.0)
    assert found.n == 19
