"""How much noise user-level DP-SGD takes, by Opacus' accountant."""

import warnings
from functools import cache

from recaudit.errors import UsageError

__all__ = ["noise_multiplier"]


@cache
def noise_multiplier(epsilon: float, delta: float, sample_rate: float, steps: int) -> float:
    """Return how many times the clipping norm the noise of DP-SGD must be, by Opacus' accountant.

    Rényi differential privacy of the sampled Gaussian mechanism, for adding or removing one sample (Mironov,
    Talwar and Zhang 2019): an upper bound, some 5 % above the least noise, found in a second.

    Args:
        epsilon: ε of all steps together.
        delta: δ of all steps together.
        sample_rate: probability of a sample to take part in a step.
        steps: how many there are.

    Raises:
        UsageError: where Opacus is not installed or no noise keeps the promise.
    """
    # Opacus warns where another order would bound more tightly, and importing it may warn too.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from opacus.accountants import RDPAccountant  # noqa: PLC0415 - an extra
            from opacus.accountants.utils import get_noise_multiplier  # noqa: PLC0415
        except ImportError:
            raise UsageError(
                "private-lfm: its accountant comes with Opacus, which is not installed; run "
                "pip install 'recaudit[dp]', or set epsilon to null to clip without noise"
            ) from None
        try:
            found = get_noise_multiplier(
                target_epsilon=epsilon,
                target_delta=delta,
                sample_rate=sample_rate,
                steps=steps,
                accountant="rdp",
                epsilon_tolerance=epsilon / 1000,
                alphas=[*RDPAccountant.DEFAULT_ALPHAS, 96, 128, 192, 256, 512, 1024],
            )
        except ValueError as error:
            raise UsageError(
                f"private-lfm: no noise gives epsilon={epsilon:g} at delta={delta:g} over {steps} steps "
                f"({' '.join(str(error).split())}); raise epsilon, or lower epochs or sample_rate"
            ) from None
    return float(found)
