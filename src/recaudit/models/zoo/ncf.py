"""Neural collaborative filtering (He et al. 2017)."""

from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float32
from pydantic import Field
from torch import Tensor

from recaudit.models import losses
from recaudit.models.factorization import NetworkSpec
from recaudit.models.networks import NCFNetwork, Network, factors
from recaudit.models.trained import ItemVectorMaker, plain_items
from recaudit.vocabulary import Card

__all__ = ["NCF"]


class NCF(NetworkSpec):
    """Neural collaborative filtering, trained by binary cross-entropy on sampled negatives.

    He et al. draw four negatives an interaction and pre-train NeuMF's parts; here ``negatives`` is one by
    default, as for the other models, and nothing is pre-trained.

    Args:
        variant: the multi-layer perceptron (``mlp``), the generalised factorisation (``gmf``) or both
            (``neumf``).
        hidden: widths of the perceptron's layers.
    """

    card: ClassVar[Card] = Card(
        name="ncf",
        label="NCF",
        order=50,
        sentence="Neural collaborative filtering (He et al. 2017).",
    )

    model: Literal["ncf"] = "ncf"
    variant: Literal["mlp", "gmf", "neumf"] = "mlp"
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(64, 32, 16), min_length=1)

    def network(
        self,
        n_users: int,
        n_items: int,
        generator: torch.Generator,
        make_items: ItemVectorMaker = plain_items,
    ) -> Network:
        """Return vectors from N(0, 0.01²) and Glorot-uniform layers."""
        parts: tuple[str, ...] = ("mlp", "gmf") if self.variant == "neumf" else (self.variant,)
        users = {part: factors(n_users, self.embedding_size, generator) for part in parts}
        items = {part: make_items(part, factors(n_items, self.embedding_size, generator)) for part in parts}
        return NCFNetwork(users, items, self.hidden, generator)

    def loss(self, scores: Float32[Tensor, "M B"]) -> Float32[Tensor, ""]:
        """Return the mean binary cross-entropy; each negative weighs as much as the interaction."""
        return losses.logistic(scores).mean()
