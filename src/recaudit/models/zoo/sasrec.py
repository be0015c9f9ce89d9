"""Self-attentive sequential recommendation (Kang and McAuley 2018)."""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float32
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from recaudit.models.networks import Dropout, ItemVectors, glorot
from recaudit.models.sequences import SequenceNetwork
from recaudit.models.sequential import SequentialSpec
from recaudit.models.trained import ItemVectorMaker, plain_items
from recaudit.vocabulary import Card

__all__ = ["SASRec"]

INITIAL_SCALE = 0.02


class SASRec(SequentialSpec):
    """Self-attentive sequential recommendation (Kang and McAuley 2018).

    Item vectors plus learned positions go through blocks of causal self-attention and a point-wise network
    D -> D -> D, each as x + dropout(g(LayerNorm(x))) (their section III-B), and a last normalisation; the
    same item vectors score what comes next.

    Beyond the paper, a projection follows the attention's heads, as in Vaswani et al. (2017). The authors'
    code differs from their paper and from this: it adds to the normalised queries, not to what came in,
    scales item vectors by the root of D, drops attention weights too, and pads histories at their beginning,
    so that positions count from the end. Here they count from the first item that is read. A history that
    is longer than ``max_length`` trains in pieces, where the paper leaves its beginning out.

    Kang and McAuley train with binary cross-entropy on one sampled negative (``loss: logistic``); the
    default is the cross-entropy over all items, with which the same network ranks far better (Klenitskiy and
    Vasilev 2023). The defaults of lengths, blocks, heads and dropout are theirs for MovieLens-1M.

    Args:
        blocks: number of blocks.
        heads: of the attention; they divide ``embedding_size``.
        dropout: share of the entries that training leaves out, of input vectors, of what is added to them and
            of the point-wise network's hidden units.
    """

    card: ClassVar[Card] = Card(
        name="sasrec",
        label="SASRec",
        order=70,
        sentence="Self-attention over the user’s history (Kang and McAuley 2018).",
    )

    model: Literal["sasrec"] = "sasrec"
    blocks: int = Field(default=2, ge=1)
    heads: int = Field(default=1, ge=1)
    dropout: float = Field(default=0.2, ge=0, le=0.99)

    @model_validator(mode="after")
    def _heads_divide(self) -> "SASRec":
        if self.embedding_size % self.heads:
            raise ValueError(f"heads={self.heads} must divide embedding_size={self.embedding_size}")
        return self

    def network(
        self,
        n_users: int,
        n_items: int,
        generator: torch.Generator,
        make_items: ItemVectorMaker = plain_items,
    ) -> SequenceNetwork:
        """Return vectors from N(0, 0.02²) and Glorot-uniform layers."""
        items, positions = (
            nn.Parameter(torch.randn(n, self.embedding_size, generator=generator) * INITIAL_SCALE)
            for n in (n_items, self.max_length)
        )
        blocks = [
            _Block(self.embedding_size, self.heads, self.dropout, generator) for _ in range(self.blocks)
        ]
        return _SASRecNetwork(make_items("shared", items), positions, blocks, self.dropout)


class _SASRecNetwork(SequenceNetwork):
    def __init__(
        self, items: ItemVectors, positions: nn.Parameter, blocks: "list[_Block]", dropout_share: float
    ) -> None:
        super().__init__({"shared": items})
        self.positions = positions
        self.blocks = nn.ModuleList(blocks)
        self.normalised = nn.LayerNorm(positions.shape[1])
        self.dropout = Dropout(dropout_share)

    def encode(self, vectors: Float32[Tensor, "B L D"]) -> Float32[Tensor, "B L D"]:
        """Return what the blocks make of vectors and positions."""
        x: Tensor = self.dropout(vectors + self.positions[: vectors.shape[1]])
        for block in self.blocks:
            x = block(x)
        normalised: Tensor = self.normalised(x)
        return normalised


class _Block(nn.Module):
    def __init__(self, size: int, heads: int, dropout_share: float, generator: torch.Generator) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = Dropout(dropout_share)
        self.before_attention, self.before_layers = nn.LayerNorm(size), nn.LayerNorm(size)
        self.queries_keys_values = glorot(size, 3 * size, generator)
        self.mixed = glorot(size, size, generator)
        self.first, self.second = (glorot(size, size, generator) for _ in range(2))

    def forward(self, x: Float32[Tensor, "B L D"]) -> Float32[Tensor, "B L D"]:
        n, length, size = x.shape
        heads = self.queries_keys_values(self.before_attention(x))
        q, k, v = heads.view(n, length, 3, self.heads, size // self.heads).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(q, k, v, is_causal=True)
        attended = attended.transpose(1, 2).reshape(n, length, size)
        x = x + self.dropout(self.mixed(attended))
        hidden = self.dropout(torch.relu(self.first(self.before_layers(x))))
        inner: Tensor = x + self.dropout(self.second(hidden))
        return inner
