"""Recommendation with gated recurrent units (Hidasi et al. 2016; Hidasi and Karatzoglou 2018).

Shapes are named as in :mod:`recaudit.models.sequences`, and H for hidden units.
"""

from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float32
from pydantic import Field
from torch import Tensor, nn

from recaudit.models.networks import Dropout, ItemVectors, glorot
from recaudit.models.sequences import SequenceNetwork
from recaudit.models.sequential import SequentialSpec
from recaudit.models.trained import ItemVectorMaker, plain_items
from recaudit.models.training import Optimisation
from recaudit.vocabulary import Card

__all__ = ["GRU4Rec"]


class GRU4Rec(SequentialSpec):
    """Recommendation with gated recurrent units (Hidasi et al. 2016; Hidasi and Karatzoglou 2018).

    Item vectors go through layers of gated recurrent units; the last layer's states, mapped to
    ``embedding_size`` where it differs from ``hidden``, score what comes next by inner products.

    The first paper has separate item vectors for what goes in and what comes out. The second one shares them
    ("constrained embedding"), with which its authors found the best results and which halves the parameters:
    the default here. The losses of both papers are options of ``loss``: ``top1``, ``top1-max`` and
    ``bpr-max``; ``cross-entropy`` is over all items, not over sampled ones.

    The authors' code adds a bias for each item and an activation of the scores; here they are inner products.
    The sampled losses of both papers take the other targets of a batch as negatives, the second paper's
    beside items drawn for the whole batch; here all negatives are drawn so.

    Sessions are read from their beginning at every step of training, not carried over from batch to batch,
    and Adam takes the place of Adagrad: all models here train alike.

    Args:
        hidden: units of each layer.
        layers: number of layers.
        tables: ``shared`` item vectors, or ``separate`` ones for inputs and outputs.
        dropout: share of the entries that training leaves out, of input vectors and of each layer's states.
        optimisation: Adam's settings; its steps are longer than other models', as the first epochs otherwise
            pass with lists of popular items.
    """

    card: ClassVar[Card] = Card(
        name="gru4rec",
        label="GRU4Rec",
        order=80,
        sentence="A recurrent network over the user’s history (Hidasi et al. 2016).",
    )

    model: Literal["gru4rec"] = "gru4rec"
    hidden: int = Field(default=128, ge=1)
    layers: int = Field(default=1, ge=1)
    tables: Literal["shared", "separate"] = "shared"
    dropout: float = Field(default=0.2, ge=0, le=0.99)
    optimisation: Optimisation = Optimisation(learning_rate=3e-3)

    def network(
        self,
        n_users: int,
        n_items: int,
        generator: torch.Generator,
        make_items: ItemVectorMaker = plain_items,
    ) -> SequenceNetwork:
        """Return vectors from N(0, 1/D), and weights that are Glorot-uniform gate by gate.

        Smaller vectors begin with states near zero, whose lists are the popular items for longer.
        """
        scale = self.embedding_size**-0.5
        names = ("shared",) if self.tables == "shared" else ("inputs", "outputs")
        items = {
            name: make_items(
                name,
                nn.Parameter(torch.randn(n_items, self.embedding_size, generator=generator) * scale),
            )
            for name in names
        }
        sizes = [self.embedding_size, *[self.hidden] * (self.layers - 1)]
        layers = [_Layer(size, self.hidden, generator) for size in sizes]
        output = None
        if self.hidden != self.embedding_size:
            output = glorot(self.hidden, self.embedding_size, generator)
        return _GRU4RecNetwork(items, layers, output, self.dropout)


class _GRU4RecNetwork(SequenceNetwork):
    def __init__(
        self,
        items: dict[str, ItemVectors],
        layers: "list[_Layer]",
        output: nn.Linear | None,
        dropout_share: float,
    ) -> None:
        super().__init__(items)
        self.layers = nn.ModuleList(layers)
        self.output = output
        self.dropout = Dropout(dropout_share)

    def encode(self, vectors: Float32[Tensor, "B L D"]) -> Float32[Tensor, "B L D"]:
        """Return the last layer's states."""
        x: Tensor = self.dropout(vectors).transpose(0, 1)
        for layer in self.layers:
            x = self.dropout(layer(x))
        if self.output is not None:
            x = self.output(x)
        return x.transpose(0, 1)


class _Layer(nn.Module):
    r"""Gated recurrent units (Cho et al. 2014), from the state zero.

    .. math::
        r_t = \sigma(W_r x_t + U_r h_{t-1} + b_r), \quad z_t = \sigma(W_z x_t + U_z h_{t-1} + b_z)

        n_t = \tanh(W_n x_t + b_n + r_t \odot (U_n h_{t-1} + c)), \quad
        h_t = (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    The reset r is applied after the product with U_n, as PyTorch and the authors' PyTorch code have it; Cho
    et al. apply it before.
    """

    def __init__(self, n_in: int, n_hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        gates = [(glorot(n_in, n_hidden, generator), glorot(n_hidden, n_hidden, generator)) for _ in range(3)]
        self.inputs = nn.Parameter(torch.cat([of_input.weight.detach() for of_input, _ in gates]))
        self.states = nn.Parameter(torch.cat([of_state.weight.detach() for _, of_state in gates]))
        self.bias = nn.Parameter(torch.zeros(3 * n_hidden))
        self.reset_bias = nn.Parameter(torch.zeros(n_hidden))

    def forward(self, x: Float32[Tensor, "L B N"]) -> Float32[Tensor, "L B H"]:
        gates = nn.functional.linear(x, self.inputs, self.bias)
        states: Tensor = _Recurrence.apply(gates, self.states, self.reset_bias)  # type: ignore[no-untyped-call]
        return states


class _Recurrence(torch.autograd.Function):
    r"""The states (L, B, H) from W x + b (L, B, 3H), of r, z and n in this order, U (3H, H) and c (H).

    The gradient is in closed form. With g_t that of the state h_t, through later states too, those of
    U h_{t-1} (+ c) are

    .. math::
        \partial n' = g \odot (1 - z)(1 - n^2) r, \quad
        \partial r' = \partial n' \odot (U_n h_{t-1} + c)(1 - r), \quad
        \partial z' = g \odot (h_{t-1} - n) z (1 - z)

    (that of W_n x + b_n lacks the factor r), and g_{t-1} gains z g + U^T (∂r', ∂z', ∂n'). What g is
    multiplied by is computed for all steps at once, so that a step back takes three operations; autograd's
    takes four times as many, forth and back 2 to 3 times as long as here.
    """

    @staticmethod
    def forward(ctx: Any, gates: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        length, rows, width = gates.shape
        size = width // 3
        open_ = gates[..., : 2 * size].contiguous()
        new = gates[..., 2 * size :].contiguous()
        before_reset = bias.expand_as(new).contiguous()
        states = gates.new_zeros(length + 1, rows, size)
        of_gates, of_new = weight[: 2 * size].T.contiguous(), weight[2 * size :].T.contiguous()
        resets, keeps = open_[..., :size].unbind(0), open_[..., size:].unbind(0)
        steps = zip(open_.unbind(0), new.unbind(0), before_reset.unbind(0), resets, keeps, strict=True)
        state, *following = states.unbind(0)
        for (both, n, u, r, z), after in zip(steps, following, strict=True):
            both.addmm_(state, of_gates).sigmoid_()
            n.addcmul_(r, u.addmm_(state, of_new)).tanh_()
            state = torch.lerp(n, state, z, out=after)
        ctx.save_for_backward(open_, new, before_reset, states, weight)
        return states[1:]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        open_, new, before_reset, states, weight = ctx.saved_tensors
        length, rows, size = new.shape
        r, z = open_[..., :size], open_[..., size:]
        rest = 1 - z
        slope = torch.addcmul(rest, rest * new, new, value=-1)  # of n before tanh
        of_gates = new.new_empty(length, rows, 3, size)
        of_r, of_z, of_n = of_gates.unbind(2)
        torch.mul(slope, r, out=of_n)
        torch.mul(of_n, before_reset, out=of_r).mul_(1 - r)
        torch.sub(states[:-1], new, out=of_z).mul_(z).mul_(rest)
        flat = of_gates.view(length, rows, 3 * size)
        g = gradient.clone(memory_format=torch.contiguous_format)
        steps = list(zip(of_gates.unbind(0), flat.unbind(0), g.unbind(0), z.unbind(0), strict=True))
        for t in range(length - 1, -1, -1):
            by_gate, side_by_side, g_t, z_t = steps[t]
            by_gate.mul_(g_t[:, None])
            if t:
                steps[t - 1][2].addcmul_(g_t, z_t).addmm_(side_by_side, weight)
        all_steps = flat.view(length * rows, 3 * size)
        of_weight = all_steps.T @ states[:-1].view(length * rows, size)
        of_bias = all_steps[:, 2 * size :].sum(0)
        # Before the reset's product, n' has U's part; the input's part is not multiplied by r.
        of_inputs = flat.clone()
        torch.mul(slope, g, out=of_inputs[..., 2 * size :])
        return of_inputs, of_weight, of_bias
