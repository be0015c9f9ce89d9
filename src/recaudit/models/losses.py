"""Losses over the scores of a preferred and of another item: pure functions, one value a pair."""

from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

__all__ = ["bpr", "hinge", "logistic", "mean_bpr"]


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


def mean_bpr(scores: Float32[Tensor, "M B"]) -> Float32[Tensor, ""]:
    """Return the mean of :func:`bpr` between the first row and each other one, its gradient in closed form.

    Value and gradient are those of ``bpr(...).mean()`` to the bit; autograd's bookkeeping over six operations
    would take as long as the factors' gradient does.
    """
    loss: Tensor = _MeanBPR.apply(scores)  # type: ignore[no-untyped-call]
    return loss


class _MeanBPR(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:  # type: ignore[override]
        difference = scores[:1] - scores[1:]
        values, buffer = torch.ops.aten.log_sigmoid_forward(difference)
        share = difference.new_full((), -1.0 / difference.numel()).expand_as(difference)
        slope = torch.ops.aten.log_sigmoid_backward(share, difference, buffer)
        ctx.save_for_backward(
            torch.cat([slope.sum(dim=0, keepdim=True) if len(slope) > 1 else slope, -slope])
        )
        loss: Tensor = -values.mean()
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (slopes,) = ctx.saved_tensors
        gradient: Tensor = slopes * gradients[0]
        return gradient
