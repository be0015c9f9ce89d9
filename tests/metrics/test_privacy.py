"""Differential privacy's calibration and bounds, against the paper's algorithm, integrals and attacks."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from recaudit.metrics.membership import auc, tpr_at_fpr
from recaudit.metrics.privacy import auc_bound, gaussian_delta, gaussian_scale, tpr_bound

PROMISES = [(0.1, 1e-6), (1.0, 1e-5), (3.0, 1e-5), (10.0, 1e-5), (100.0, 1e-5), (0.5, 0.2), (1e-3, 0.5)]


def algorithm_1(epsilon, delta):
    """The paper's own parametrisation (Balle and Wang 2018, algorithm 1), solved by plain bisection."""

    def phi(t):
        return 0.5 * math.erfc(-t / math.sqrt(2))

    def b_plus(v):
        return phi(math.sqrt(epsilon * v)) - math.exp(epsilon) * phi(-math.sqrt(epsilon * (v + 2)))

    def b_minus(v):
        return phi(-math.sqrt(epsilon * v)) - math.exp(epsilon) * phi(-math.sqrt(epsilon * (v + 2)))

    rising = delta >= b_plus(0.0)
    wanted = (lambda v: b_plus(v) <= delta) if rising else (lambda v: b_minus(v) > delta)
    low, high = 0.0, 1.0
    while wanted(high):
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if wanted(middle) else (low, middle)
    sign = -1 if rising else 1
    alpha = math.sqrt(1 + low / 2) + sign * math.sqrt(low / 2)
    return alpha / math.sqrt(2 * epsilon)


@pytest.mark.parametrize(("epsilon", "delta"), PROMISES)
def test_the_noise_is_that_of_the_papers_algorithm(epsilon, delta):
    assert gaussian_scale(epsilon, delta) == pytest.approx(algorithm_1(epsilon, delta), rel=1e-6)
    assert gaussian_scale(epsilon, delta, 7.5) == pytest.approx(7.5 * gaussian_scale(epsilon, delta))


def test_a_published_value_and_less_than_the_classical_noise():
    """3.7306 is what the authors' own code gives; the classical proof asks for sqrt(2 ln(1.25 / δ)) / ε."""
    assert gaussian_scale(1.0, 1e-5) == pytest.approx(3.730632, abs=1e-6)
    assert gaussian_scale(1.0, 1e-5) < 0.8 * math.sqrt(2 * math.log(1.25e5))


@pytest.mark.parametrize(("epsilon", "delta"), PROMISES)
def test_the_profile_is_the_integral_of_the_two_densities(epsilon, delta):
    """δ(ε) = ∫ max(0, p - e^ε p'): no more than promised, and a hair less noise breaks the promise."""
    scale = gaussian_scale(epsilon, delta)
    assert gaussian_delta(scale, epsilon) <= delta < gaussian_delta(scale * (1 - 1e-6), epsilon)
    if epsilon <= 10:
        crossing = 0.5 - epsilon * scale**2  # p = e^ε p' there, p around 0, p' around 1

        def difference(x):
            return norm.pdf(x, 0, scale) - math.exp(epsilon) * norm.pdf(x, 1, scale)

        total, _ = quad(difference, crossing - 30 * scale, crossing, epsabs=1e-13, limit=500, points=[-scale])
        assert total == pytest.approx(delta, rel=1e-4)


@pytest.mark.parametrize(
    ("epsilon", "delta", "sensitivity"),
    [(0.0, 1e-5, 1.0), (1.0, 1e-13, 1.0), (1.0, 1.0, 1.0), (1.0, 1e-5, 0.0), (-1.0, 0.1, 1.0)],
)
def test_promises_that_noise_cannot_keep_are_refused(epsilon, delta, sensitivity):
    with pytest.raises(ValueError, match="must be above 0 and delta from 1e-12 to below 1"):
        gaussian_scale(epsilon, delta, sensitivity)


def test_bounds_by_hand():
    np.testing.assert_allclose(tpr_bound(np.array([0.0, 0.1, 1.0]), math.log(3), 0.05), [0.05, 0.35, 1.0])
    assert tpr_bound(np.array([0.5]), math.log(3), 0.05)[0] == pytest.approx(1 - 0.45 / 3)
    assert auc_bound(0.0, 0.0) == 0.5
    assert auc_bound(math.log(3), 0.0) == 0.75
    assert auc_bound(0.0, 1.0) == 1.0
    assert auc_bound(2000.0, 0.0) == 1.0
    assert tpr_bound(np.array([0.01]), 2000.0, 0.0)[0] == 1.0


@given(st.floats(0, 20), st.floats(0, 0.5))
def test_the_area_is_that_under_the_bound_on_the_curve(epsilon, delta):
    # A trapezoid at every bend of the curve is exact.
    bend = (1 - delta) / (1 + math.exp(epsilon))
    x = np.array([0.0, bend, 1 - delta, 1.0])
    assert auc_bound(epsilon, delta) == pytest.approx(np.trapezoid(tpr_bound(x, epsilon, delta), x), abs=1e-9)
    fine = np.linspace(0, 1, 101)
    curve = tpr_bound(fine, epsilon, delta)
    assert (np.diff(curve) >= -1e-12).all()
    assert (curve >= fine - 1e-12).all()


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_the_best_attack_on_gaussian_noise_touches_the_bound_and_does_not_cross_it(epsilon):
    """The worst case: one number that is Δ with the user and 0 without; the likelihood is its own order."""
    delta = 0.05
    scale = gaussian_scale(epsilon, delta)
    touching = norm.cdf(-(epsilon * scale + 0.5 / scale))  # the FPR of the likelihood ratio e^ε
    fpr = np.append(np.linspace(0, 1, 501), touching)
    tpr = norm.cdf(norm.ppf(fpr) + 1 / scale)
    assert (tpr <= tpr_bound(fpr, epsilon, delta) + 1e-12).all()
    assert tpr[-1] == pytest.approx(math.exp(epsilon) * touching + delta, rel=1e-9)
    random = np.random.default_rng(0)
    members = np.arange(40_000) % 2 == 0
    scores = members + scale * random.standard_normal(len(members))
    assert auc(scores, members) < auc_bound(epsilon, delta) + 0.01
    assert tpr_at_fpr(scores, members, 0.01) < tpr_bound(np.array([0.01]), epsilon, delta)[0] + 0.01
