"""Short-term attention and memory priority (Liu et al. 2018)."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from recaudit.models.closed_form import Workspace
from recaudit.models.networks import ItemVectors
from recaudit.models.sequences import SequenceNetwork
from recaudit.models.sequential import SequentialSpec
from recaudit.models.trained import ItemVectorMaker, plain_items
from recaudit.vocabulary import Card

__all__ = ["STAMP"]

VECTOR_SCALE, WEIGHT_SCALE = 0.002, 0.05

QUERIES = 8
"""Positions whose attention is computed at once, over the positions up to the last of them."""

BLOCK = 1 << 19
"""Sigmoids held at a time: 2 MiB of float32 stay in cache through all that is done with them."""

FEWEST_SEQUENCES = 8
"""Sequences are taken in multiples of so many; how many at a time depends on lengths and sizes alone."""

LARGEST = 43.0
"""e to the sum of two such numbers is still a float32."""


class STAMP(SequentialSpec):
    r"""Short-term attention and memory priority (Liu et al. 2018).

    A session is judged by what it attends to, and by its last item. With item vectors x_1 ... x_t, their
    mean m_s and the last one x_t,

    .. math::
        a_i = w_0 \cdot \sigma(W_1 x_i + W_2 x_t + W_3 m_s + b_a) \qquad (7)

        m_a = \sum_i a_i x_i, \quad h_s = \tanh(W_s m_a + b_s), \quad h_t = \tanh(W_t x_t + b_t)

    and item i has the score <h_s, h_t, x_i>: the state is h_s ∘ h_t. The weights a_i are not normalised.

    The paper squashes the score by a sigmoid before the softmax of its loss, as its authors' own code and
    RecBole's do not: scores within (0, 1) leave the softmax over a catalogue all but uniform, whatever is
    learned. Here, too, the softmax is taken over the scores themselves; ranks are the same either way. That
    code also adds m_s to m_a, which is not in the paper, nor here. Of the paper's loss, -Σ y log ŷ + (1 - y)
    log(1 - ŷ), the first part is taken, which is the cross-entropy of all models here.

    Weights begin as the paper has them, from N(0, 0.05²), and item vectors from N(0, 0.002²); biases at zero.
    The default length is a session's, not a lifetime's: attention takes D sigmoids for each pair of items.
    """

    card: ClassVar[Card] = Card(
        name="stamp",
        label="STAMP",
        order=90,
        sentence="Attention over the user’s history with its last item in front (Liu et al. 2018).",
    )

    model: Literal["stamp"] = "stamp"
    max_length: int = Field(default=50, ge=1)

    def network(
        self,
        n_users: int,
        n_items: int,
        generator: torch.Generator,
        make_items: ItemVectorMaker = plain_items,
    ) -> SequenceNetwork:
        """Return vectors from N(0, 0.002²) and weights from N(0, 0.05²)."""
        items = torch.randn(n_items, self.embedding_size, generator=generator) * VECTOR_SCALE
        return _STAMPNetwork(make_items("shared", nn.Parameter(items)), self.embedding_size, generator)


class _STAMPNetwork(SequenceNetwork):
    def __init__(self, items: ItemVectors, size: int, generator: torch.Generator) -> None:
        super().__init__({"shared": items})
        self.attention = nn.Parameter(torch.randn(size, generator=generator) * WEIGHT_SCALE)
        # The sum of W_1, W_2 and W_3 needs one bias, b_a: it is that of W_2.
        self.of_item, self.of_mean = (_layer(size, generator, bias=False) for _ in range(2))
        self.of_last, self.memory, self.last = (_layer(size, generator, bias=True) for _ in range(3))
        self._work = Workspace()

    def encode(self, vectors: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Return h_s ∘ h_t of each prefix."""
        counts = torch.arange(1, vectors.shape[1] + 1, device=vectors.device, dtype=vectors.dtype)
        means = vectors.cumsum(dim=1) / counts[:, None]
        keys = self.of_item(vectors).clamp(-LARGEST, LARGEST)
        queries = (self.of_last(vectors) + self.of_mean(means)).clamp(-LARGEST, LARGEST)
        weights: Tensor = _Attention.apply(keys, queries, self.attention, self._work)  # type: ignore[no-untyped-call]
        return torch.tanh(self.memory(weights @ vectors)) * torch.tanh(self.last(vectors))


def _layer(size: int, generator: torch.Generator, *, bias: bool) -> nn.Linear:
    layer = nn.Linear(size, size, bias=bias, device="meta").to_empty(device="cpu")
    nn.init.normal_(layer.weight, std=WEIGHT_SCALE, generator=generator)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class _Attention(torch.autograd.Function):
    """The weights a_ti = w·σ(u_i + v_t) of items i up to each position t, zero after it: (B, L, L).

    With E_i = exp(-u_i) and F_t = exp(-v_t), once an item, σ(u_i + v_t) = 1 / (1 + E_i ∘ F_t): a pair costs a
    product and a reciprocal. With s_ti these sigmoids, the gradient is ∂w = Σ ∂a_ti s_ti and, where
    g_ti = ∂a_ti w∘s_ti∘(1 - s_ti), ∂u_i = Σ_t g_ti and ∂v_t = Σ_i g_ti. The sigmoids are computed again for
    it, in cache, rather than kept: that is cheaper than fetching them from memory.

    Positions come first in the blocks, (q, k, n D), so that products run along n sequences at once.
    """

    @staticmethod
    def forward(ctx: Any, keys: Tensor, queries: Tensor, weight: Tensor, work: Workspace) -> Tensor:
        ctx.save_for_backward(keys, queries, weight)
        ctx.work = work
        n, length, size = keys.shape
        found = keys.new_zeros(n, length, length)
        spare = work.buffer("sigmoids", keys, _held(length, size))
        for rows, e, f in _chunks(keys, queries):
            for block in _blocks(length):
                sigmoids = _sigmoids(e[: block.stop], f[block], spare)
                weighted = sigmoids.view(-1, size) @ weight
                found[rows, block, : block.stop] = weighted.view(*sigmoids.shape[:2], -1).permute(2, 0, 1)
        return found.tril_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        keys, queries, weight = ctx.saved_tensors
        _, length, size = keys.shape
        gradient = gradient.tril()
        spare = ctx.work.buffer("sigmoids", keys, _held(length, size))
        of_keys, of_queries = torch.empty_like(keys), torch.empty_like(queries)
        of_weight = torch.zeros_like(weight)
        for rows, e, f in _chunks(keys, queries):
            of_e, of_f = torch.zeros_like(e), torch.empty_like(f)
            for block in _blocks(length):
                s = _sigmoids(e[: block.stop], f[block], spare)
                flat = s.view(-1, size)
                pairs = gradient[rows, block, : block.stop].permute(1, 2, 0).reshape(-1)
                of_weight += pairs @ flat
                flat.addcmul_(flat, flat, value=-1).mul_(pairs[:, None])  # they are ∂a s (1 - s) now
                torch.sum(s, dim=1, out=of_f[block])
                of_e[: block.stop] += s.sum(dim=0)
            of_keys[rows] = of_e.view(length, -1, size).transpose(0, 1)
            of_queries[rows] = of_f.view(length, -1, size).transpose(0, 1)
        return of_keys.mul_(weight), of_queries.mul_(weight), of_weight, None


def _chunk(length: int, size: int) -> int:
    """Return how many sequences are taken at a time: it depends on nothing else, nor do their sums."""
    return max(1, BLOCK // (QUERIES * length * size * FEWEST_SEQUENCES)) * FEWEST_SEQUENCES


def _held(length: int, size: int) -> int:
    """Return how many numbers a buffer holds: the same for all lengths that a block has room for."""
    return max(BLOCK, FEWEST_SEQUENCES * QUERIES * length * size)


def _chunks(keys: Tensor, queries: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield which sequences, and their exp(-u) and exp(-v) side by side: (L, n D)."""
    n, length, size = keys.shape
    step = _chunk(length, size)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        e, f = (part[rows].transpose(0, 1).reshape(length, -1).neg().exp_() for part in (keys, queries))
        yield rows, e, f


def _blocks(length: int) -> Iterator[slice]:
    for start in range(0, length, QUERIES):
        yield slice(start, min(start + QUERIES, length))


def _sigmoids(e: Tensor, f: Tensor, spare: Tensor) -> Tensor:
    """Return 1 / (1 + e_i f_t), of shape (q, k, n D), in ``spare``."""
    shape = (len(f), *e.shape)
    out = spare[: shape[0] * e.numel()].view(shape)
    return torch.addcmul(e.new_ones(()), f[:, None], e, out=out).reciprocal_()
