"""Losses over the scores of a preferred and of other items: pure functions, one value a pair or a target.

Those of a target and of the items drawn for it take the target's scores in row 0 and the others' below.
TOP1 and the losses that end in max leave an item out whose score is minus infinity.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

__all__ = [
    "SAMPLED_LOSSES",
    "SCORE_REGULARISATION",
    "SHARED_LOSSES",
    "SampledLoss",
    "bpr",
    "bpr_max",
    "bpr_slopes",
    "hinge",
    "logistic",
    "logistic_slopes",
    "slopes",
    "top1",
    "top1_max",
]

SCORE_REGULARISATION = 1.0
r"""The weight :math:`\lambda` of the scores' squares in BPR-max; the authors' code begins with 1 too."""

FLOOR = -1e18
"""Stands for minus infinity: its square is finite, and a softmax gives it nothing."""


def bpr(preferred: Float[Tensor, "*B"], other: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:
    r"""Bayesian personalised ranking, :math:`-\ln\sigma(r_p - r_n)` (Rendle et al. 2009; Zhu, Eq. 4)."""
    return -logsigmoid(preferred - other)


def hinge(preferred: Float[Tensor, "*B"], other: Float[Tensor, "*B"], margin: float) -> Float[Tensor, "*B"]:
    r"""Margin hinge, :math:`\max(0, m - (r_p - r_n))` (Zhu et al. 2023, Eq. 9)."""
    return (margin - (preferred - other)).clamp_min(0.0)


def logistic(scores: Float[Tensor, "M *B"]) -> Float[Tensor, "*B"]:
    r"""Binary cross-entropy of an interaction (row 0) and of items drawn for it (the other rows).

    :math:`-\ln\sigma(r_p) - \sum_n \ln(1 - \sigma(r_n))`. Johnson (2014) weighs all unobserved pairs; He et
    al. (2017, Eq. 7) sample them, as here.
    """
    return softplus(-scores[0]) + softplus(scores[1:]).sum(dim=0)


def slopes(of_scores: Callable[..., Tensor], scores: Tensor, *others: Tensor) -> Tensor:
    """Return the gradient of a loss with respect to the scores, by autograd."""
    scores = scores.detach().requires_grad_()
    (found,) = torch.autograd.grad(of_scores(scores, *others), scores)
    return found


def bpr_slopes(scores: Float[Tensor, "M B"]) -> Float[Tensor, "M B"]:
    r"""Return the gradient of the mean of :func:`bpr`, of the scores of an interaction and of items drawn.

    With N pairs, :math:`\partial r_n = \sigma(r_n - r_p) / N` and :math:`\partial r_p = -\sum_n \partial r_n`.
    """
    found = scores - scores[0]
    others = found[1:].sigmoid_().div_(found[1:].numel())
    torch.sum(others, dim=0, out=found[0]).neg_()
    return found


def logistic_slopes(scores: Float[Tensor, "M B"]) -> Float[Tensor, "M B"]:
    r"""Return the gradient of the mean of :func:`logistic`.

    Over B interactions, :math:`\partial r = (\sigma(r) - t) / B`, where t is 1 for the interaction, else 0.
    """
    found = scores.sigmoid()
    found[0] -= 1
    return found.div_(scores.shape[1])


def top1(scores: Float[Tensor, "M *B"]) -> Float[Tensor, "*B"]:
    r"""TOP1, :math:`\frac{1}{N} \sum_j \sigma(r_j - r_i) + \sigma(r_j^2)`.

    Hidasi et al. (2016, section 3.1.3). It approximates the target's relative rank, and draws the
    others' scores towards zero.
    """
    others = scores[1:].clamp_min(FLOOR)
    total = torch.sigmoid(others - scores[0]).sum(dim=0) + torch.sigmoid(others.square()).sum(dim=0)
    left_out = scores[1:].isneginf().sum(dim=0)  # each adds 0 and 1 to the sums
    return (total - left_out) / (len(others) - left_out).clamp_min(1)


def top1_max(scores: Float[Tensor, "M *B"]) -> Float[Tensor, "*B"]:
    r"""TOP1-max, :math:`\sum_j s_j (\sigma(r_j - r_i) + \sigma(r_j^2))`.

    Hidasi and Karatzoglou (2018). :math:`s_j` is the softmax of the scores of the drawn items, the target's
    left out; it has a gradient too.
    """
    others = scores[1:].clamp_min(FLOOR)
    terms = torch.sigmoid(others - scores[0]) + torch.sigmoid(others.square())
    return _where_any((torch.softmax(others, dim=0) * terms).sum(dim=0), others)


def bpr_max(
    scores: Float[Tensor, "M *B"], regularisation: float = SCORE_REGULARISATION
) -> Float[Tensor, "*B"]:
    r"""BPR-max, :math:`-\ln \sum_j s_j \sigma(r_i - r_j) + \lambda \sum_j s_j r_j^2`.

    Hidasi and Karatzoglou (2018). :math:`s_j` is the softmax of the scores of the drawn items, the target's
    left out; it has a gradient too. The sum is taken of logarithms: no product of small numbers vanishes.

    Args:
        scores: of the target, above those of the others.
        regularisation: :math:`\lambda`.
    """
    others = scores[1:].clamp_min(FLOOR)
    logarithms = torch.log_softmax(others, dim=0)
    ranking = -torch.logsumexp(logarithms + logsigmoid(scores[0] - others), dim=0)
    squares = (logarithms.exp() * others.square()).sum(dim=0)
    return _where_any(ranking + regularisation * squares, others)


def _where_any(loss: Float[Tensor, "*B"], others: Float[Tensor, "N *B"]) -> Float[Tensor, "*B"]:
    """Return the loss where any item is not left out, and zero elsewhere."""
    return loss.masked_fill(others.detach().amax(dim=0) <= FLOOR, 0)


SampledLoss = Literal["logistic", "bpr", "top1", "top1-max", "bpr-max"]

SAMPLED_LOSSES: Mapping[SampledLoss, Callable[[Float[Tensor, "M *B"]], Float[Tensor, "*B"]]] = {
    "logistic": logistic,
    "bpr": lambda scores: bpr(scores[:1].expand_as(scores[1:]), scores[1:]).mean(dim=0),
    "top1": top1,
    "top1-max": top1_max,
    "bpr-max": bpr_max,
}
"""Losses of the scores of a target (row 0) and of the items drawn for it (the other rows), by name."""

SHARED_LOSSES: frozenset[str] = frozenset({"top1", "top1-max", "bpr-max"})
"""The losses whose many drawn items all targets of a batch share, as their authors have it."""
