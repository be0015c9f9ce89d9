"""Attention fusion of learned and auxiliary item vectors (Zhu et al. 2023, section 4.2, Eq. 5-8)."""

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from recaudit.models.networks import ItemVectors

__all__ = ["FusedItems"]


class FusedItems(ItemVectors):
    r"""Item vectors that mix learned ones with frozen auxiliary ones, as each user's vector attends to them.

    With user vector p, learned item vector q^c and auxiliary item vector q^a:

    .. math::
        \alpha = w^T ReLU(p \odot q^c) + b, \quad \beta = w^T ReLU(p \odot q^a) + b \qquad (5)

        (\alpha', \beta') = softmax(\alpha, \beta) \qquad (6)

        q^f = \alpha' q^c + \beta' q^a \qquad (7)

    The softmax of two is :math:`\beta' = \sigma(\beta - \alpha)`, in which b cancels: it is left out, and
    :math:`p \cdot q^f = p \cdot q^c + \beta' (p \cdot q^a - p \cdot q^c)`.

    For all items at once, w·ReLU(p∘q) is split by signs: a product p_d q_d is positive where both factors are
    positive or both negative, so w·ReLU(p∘q) = (w∘p⁺)·q⁺ + (w∘p⁻)·q⁻ with p⁺ = max(p, 0), p⁻ = min(p, 0).
    That is exact and needs matrix products alone.

    Args:
        table: the learned item vectors (I, D), from their initial values on.
        auxiliary: the auxiliary model's item vectors (I, D), never trained.
        generator: draws the attention's weights, uniform in ±1/√D as a linear layer's are.
    """

    auxiliary: Tensor

    def __init__(
        self, table: nn.Parameter, auxiliary: Float32[Tensor, "I D"], generator: torch.Generator
    ) -> None:
        super().__init__()
        size = table.shape[1]
        self.table = table
        self.register_buffer("auxiliary", auxiliary)
        self.attention = nn.Parameter((torch.rand(size, generator=generator) * 2 - 1) / size**0.5)

    def _auxiliary_share(self, p: Tensor, learned: Tensor, auxiliary: Tensor) -> Tensor:
        """Return β' of Eq. 6 for user vectors (B, D) and item vectors (M, B, D)."""
        difference = torch.relu(p * auxiliary) - torch.relu(p * learned)
        return torch.sigmoid(difference @ self.attention)

    def vectors(self, users: Float32[Tensor, "B D"], items: Int64[Tensor, "M B"]) -> Float32[Tensor, "M B D"]:
        """Return the fused vectors of Eq. 7."""
        learned = nn.functional.embedding(items, self.table)
        auxiliary = nn.functional.embedding(items, self.auxiliary)
        share = self._auxiliary_share(users, learned, auxiliary)
        return learned + share[..., None] * (auxiliary - learned)

    def dots(
        self, table: Float32[Tensor, "U D"], users: Int64[Tensor, "B"], items: Int64[Tensor, "M B"]
    ) -> Float32[Tensor, "M B"]:
        """Return Eq. 8 for pairs."""
        p = nn.functional.embedding(users, table)
        return (p * self.vectors(p, items)).sum(-1)

    def _auxiliary_share_of_all(self, p: Tensor) -> Tensor:
        """Return β' of Eq. 6 for user vectors (B, D) and all items, by the split into signs: (B, I)."""
        positive, negative = self.attention * p.clamp_min(0), self.attention * p.clamp_max(0)
        logits = positive @ (self.auxiliary.clamp_min(0) - self.table.clamp_min(0)).T
        logits += negative @ (self.auxiliary.clamp_max(0) - self.table.clamp_max(0)).T
        return torch.sigmoid_(logits)

    def all_dots(self, users: Float32[Tensor, "B D"]) -> Float32[Tensor, "B I"]:
        """Return Eq. 8 for all items, with matrix products alone."""
        share = self._auxiliary_share_of_all(users)
        return torch.addcmul(users @ self.table.T, share, users @ (self.auxiliary - self.table).T)

    def all_projected(
        self, users: Float32[Tensor, "B D"], weight: Float32[Tensor, "H D"]
    ) -> Float32[Tensor, "B I H"]:
        """Return the fused vectors times ``weight`` transposed: both tables projected once, then mixed."""
        share = self._auxiliary_share_of_all(users)
        return torch.addcmul(
            (self.table @ weight.T)[None], share[..., None], (self.auxiliary - self.table) @ weight.T
        )

    def learned(self) -> Float32[Tensor, "I D"]:
        """Return the learned part, without the auxiliary vectors."""
        return self.table.detach()
