"""Differential privacy in numbers: how much noise a promise takes, and what the promise leaves an attacker.

A mechanism is (ε, δ)-differentially private if, for every set of outputs and every two inputs that differ in
one user, P(output in the set) on the one is at most e^ε times that on the other, plus δ (Dwork
and Roth 2014).
"""

import numpy as np
from jaxtyping import Float, Float64
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr

__all__ = ["SMALLEST_DELTA", "auc_bound", "gaussian_delta", "gaussian_scale", "tpr_bound"]

SMALLEST_DELTA = 1e-12
"""Below this, rounding in double precision would count for more than δ itself."""


def gaussian_delta(scale: float, epsilon: float, sensitivity: float = 1.0) -> float:
    """Return the least δ with which Gaussian noise is (ε, δ)-differentially private.

    ``δ = Φ(Δ / 2σ - εσ / Δ) - e^ε Φ(-Δ / 2σ - εσ / Δ)``: exact (Balle and Wang, ICML 2018, theorem 8).

    Args:
        scale: standard deviation σ of the noise on each number, above 0.
        epsilon: ε, at least 0.
        sensitivity: Δ, how far in L2 norm one user can move what the noise is added to.
    """
    half, shift = sensitivity / (2 * scale), epsilon * scale / sensitivity
    return float(ndtr(half - shift) - np.exp(epsilon + log_ndtr(-half - shift)))


def gaussian_scale(epsilon: float, delta: float, sensitivity: float = 1.0) -> float:
    """Return the least standard deviation of Gaussian noise that is (ε, δ)-differentially private.

    The analytic Gaussian mechanism of Balle and Wang (ICML 2018): the σ at which :func:`gaussian_delta` is δ,
    found by bisection and rounded up.

    Args:
        epsilon: ε, above 0.
        delta: δ, from 1e-12 to below 1.
        sensitivity: Δ, how far in L2 norm one user can move what the noise is added to.

    Raises:
        ValueError: where an argument is out of range.
    """
    if not (epsilon > 0 and SMALLEST_DELTA <= delta < 1 and sensitivity > 0):
        raise ValueError(
            f"epsilon={epsilon}, delta={delta}, sensitivity={sensitivity}: epsilon and sensitivity must be "
            f"above 0 and delta from {SMALLEST_DELTA:g} to below 1"
        )
    low = high = 1.0
    while gaussian_delta(high, epsilon) > delta:
        high *= 2
    while gaussian_delta(low, epsilon) <= delta:
        low /= 2
    scale = float(brentq(lambda x: gaussian_delta(x, epsilon) - delta, low, high, xtol=1e-300, rtol=1e-14))
    while gaussian_delta(scale, epsilon) > delta:
        scale *= 1 + 1e-12
    return scale * sensitivity


def tpr_bound(
    false_positive_rates: Float[np.ndarray, "P"], epsilon: float, delta: float
) -> Float64[np.ndarray, "P"]:
    """Return the highest TPR that any attack on an (ε, δ)-private output reaches at each FPR.

    ``TPR <= min(e^ε FPR + δ, 1 - e^-ε (1 - δ - FPR), 1)`` (Kairouz, Oh and Viswanath, ICML 2015): the
    attack tells a world with a user from the same world without that user. Both rates are probabilities over
    the mechanism's noise, at a threshold chosen beforehand; one run's rates scatter around them.

    Args:
        false_positive_rates: in [0, 1].
        epsilon: ε, at least 0.
        delta: δ, in [0, 1].
    """
    rates = np.asarray(false_positive_rates, dtype=np.float64)
    # e^ε overflows from 709 on, where it bounds nothing.
    steep = np.exp(min(epsilon, 700.0)) * rates + delta
    flat = 1 - np.exp(-epsilon) * (1 - delta - rates)
    bound: np.ndarray = np.minimum(np.minimum(steep, flat), 1.0)
    return bound


def auc_bound(epsilon: float, delta: float) -> float:
    """Return the highest area under the ROC curve of any attack on an (ε, δ)-private output.

    ``AUC <= 1 - (1 - δ)² / (1 + e^ε)``: the area under :func:`tpr_bound`.
    """
    return 1 - (1 - delta) ** 2 * float(np.exp(-np.logaddexp(0.0, epsilon)))
