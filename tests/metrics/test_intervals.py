"""Bootstrap intervals on planted data."""

import numpy as np
import pytest

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


def test_users_alone_are_covered_at_the_level():
    """One seed, 60 normal users: the interval covers the planted mean about 95 times in 100."""
    generator = np.random.default_rng(11)
    covered = 0
    for trial in range(400):
        interval = bootstrap_interval([generator.normal(3, 2, size=60)], seed=trial, resamples=400)
        covered += interval.low <= 3 <= interval.high
    assert 0.91 < covered / 400 < 0.98


def test_seeds_and_users_are_covered_at_the_level():
    """30 seeds that differ: resampling their users alone would cover far too seldom."""
    generator = np.random.default_rng(12)
    covered = users_alone = 0
    for trial in range(300):
        values = list(generator.normal(0, 0.5, size=(30, 1)) + generator.normal(0, 1, size=(30, 20)))
        interval = bootstrap_interval(values, seed=trial, resamples=300)
        covered += interval.low <= 0 <= interval.high
        interval = bootstrap_interval([np.concatenate(values)], seed=trial, resamples=300)
        users_alone += interval.low <= 0 <= interval.high
    assert 0.91 < covered / 300 < 0.99
    assert users_alone / 300 < 0.75


def test_width_is_that_of_the_normal_interval():
    values = np.random.default_rng(5).normal(size=2000)
    interval = bootstrap_interval([values], seed=0, resamples=4000)
    half = 1.96 * values.std() / np.sqrt(2000)
    np.testing.assert_allclose(
        [interval.low, interval.high], [values.mean() - half, values.mean() + half], atol=2e-3
    )


def test_a_higher_level_is_wider():
    values = [np.random.default_rng(0).random(80)]
    narrow, wide = (bootstrap_interval(values, seed=0, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_nan_users_and_seeds_without_users_are_left_out():
    values = [np.array([0.2, NAN, 0.4]), np.array([NAN]), np.array([0.6]), np.array([])]
    without = [np.array([0.2, 0.4]), np.array([0.6])]
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(without, seed=3)


def test_one_user_of_one_seed_gives_a_point():
    assert bootstrap_interval([np.array([0.3])], seed=0) == Interval(value=0.3, low=0.3, high=0.3)


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
    assert (found.low, found.value, found.high) == pytest.approx((0.1, 0.5, 0.9))
