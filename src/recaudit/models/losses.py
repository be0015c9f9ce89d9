"""Losses over the scores of a preferred and of another item: pure functions, one value a pair."""

from collections.abc import Callable, Mapping
from typing import Literal

from jaxtyping import Float32
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

__all__ = ["SAMPLED_LOSSES", "SampledLoss", "bpr", "hinge", "logistic"]


def bpr(preferred: Float32[Tensor, "*B"], other: Float32[Tensor, "*B"]) -> Float32[Tensor, "*B"]:
    r"""Bayesian personalised ranking, :math:`-\ln\sigma(r_p - r_n)` (Rendle et al. 2009; Zhu, Eq. 4)."""
    return -logsigmoid(preferred - other)


def hinge(
    preferred: Float32[Tensor, "*B"], other: Float32[Tensor, "*B"], margin: float
) -> Float32[Tensor, "*B"]:
    r"""Margin hinge, :math:`\max(0, m - (r_p - r_n))` (Zhu et al. 2023, Eq. 9)."""
    return (margin - (preferred - other)).clamp_min(0.0)


def logistic(scores: Float32[Tensor, "M *B"]) -> Float32[Tensor, "*B"]:
    r"""Binary cross-entropy of an interaction (row 0) and of items drawn for it (the other rows).

    :math:`-\ln\sigma(r_p) - \sum_n \ln(1 - \sigma(r_n))`. Johnson (2014) weighs all unobserved pairs; He et
    al. (2017, Eq. 7) sample them, as here.
    """
    return softplus(-scores[0]) + softplus(scores[1:]).sum(dim=0)


SampledLoss = Literal["logistic", "bpr"]

SAMPLED_LOSSES: Mapping[SampledLoss, Callable[[Float32[Tensor, "M *B"]], Float32[Tensor, "*B"]]] = {
    "logistic": logistic,
    "bpr": lambda scores: bpr(scores[:1].expand_as(scores[1:]), scores[1:]).mean(dim=0),
}
"""Losses of the scores of a target (row 0) and of the items drawn for it (the other rows), by name."""
