"""Gradients written by hand, for what training spends its time on: each agrees with autograd's.

Autograd allocates and fills dense temporaries at every step. These functions work in buffers that live as
long as the network, and add a table's gradient straight to its ``grad``. So a batch must be differentiated
before the next one is scored; else they raise ``RuntimeError``.

Shapes are named B for users of a batch, M for items a user, D for factors and H for hidden units.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

__all__ = [
    "CHUNK",
    "PairDots",
    "Workspace",
    "full_cross_entropy",
    "perceptron",
    "rows",
    "softmax_less_target_",
    "through_relu",
]

CHUNK = 512
"""States whose scores of all items are held at once: few enough for a processor's cache."""

MOST_SHAPES = 64
"""Shapes of batches whose views are kept."""

NO_BAGS = torch.zeros(1, dtype=torch.int32)
"""Tells a kernel of embedding bags that each pair names its own row."""


@dataclass(eq=False)
class Workspace:
    """Buffers of closed-form gradients, kept between batches: fresh ones would fault in each page anew."""

    buffers: dict[tuple[Any, ...], Tensor] = field(default_factory=dict)
    gradients: dict[int, Tensor] = field(default_factory=dict)
    forwards: int = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> "Workspace":
        """Return empty buffers: those of a copied network are its own, found by its own tables."""
        return Workspace()

    def current(self) -> "Workspace":
        """Return these buffers, or without gradients fresh ones: looking must not disturb a batch."""
        return self if torch.is_grad_enabled() else Workspace()

    def begin(self) -> int:
        """Return the turn of a batch that is about to be scored."""
        self.forwards += 1
        return self.forwards

    def check(self, turn: int) -> None:
        """Raise RuntimeError where the buffers no longer hold the batch of that ``turn``."""
        if turn != self.forwards:
            raise RuntimeError("a batch's loss must be differentiated once, before the next batch is scored")

    def buffer(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """Return the buffer of this name and shape, on the device of ``like``, as it was last written."""
        key = (name, like.device, *shape)
        if key not in self.buffers:
            self.buffers[key] = like.new_empty(shape)
        return self.buffers[key]

    def add(self, table: Tensor, rows: Tensor, values: Tensor) -> None:
        """Add ``values`` to the gradient of ``table`` at ``rows``, if it wants one."""
        if not table.requires_grad:
            return
        if table.grad is None:
            if id(table) not in self.gradients:
                self.gradients[id(table)] = torch.empty_like(table)
            table.grad = self.gradients[id(table)].zero_()
        table.grad.index_add_(0, rows, values)


class PairDots:
    """Scores p·q + b_u + b_i of pairs of rows of two tables, and a loss's gradients, in closed form.

    With slopes ∂x_m of the scores of a user's M items, ∂p = Σ_m (∂x_m) q_m, ∂q_m = (∂x_m) p, and a bias gets
    the slopes themselves. On a processor both tables' gradients are products of one sparse matrix, which
    holds a batch's slopes, and the other table: nothing is gathered, and rows are read where they lie.

    Args:
        users: rows p (U, D).
        items: rows q (I, D).
        user_bias: b_u (U,), where there are biases.
        item_bias: b_i (I,).
        in_place: read rows where they lie; by default on a processor alone.
    """

    def __init__(
        self,
        users: Tensor,
        items: Tensor,
        user_bias: Tensor | None = None,
        item_bias: Tensor | None = None,
        *,
        in_place: bool | None = None,
    ) -> None:
        self._tables = users, items
        self._in_place = users.device.type == "cpu" if in_place is None else in_place
        self._biases = None if user_bias is None or item_bias is None else (user_bias, item_bias)
        self._slopes = self._transposed = sparse.coo_array((len(users), len(items)), dtype=np.float32)
        self._room: tuple[Tensor, Tensor, Tensor] = (torch.empty(0), torch.empty(0), torch.empty(0))
        self._views: dict[torch.Size, tuple[Tensor, ...]] = {}
        self._batch = torch.empty(0), torch.empty(0)

    def _viewed(self, shape: torch.Size) -> tuple[Tensor, ...]:
        """Return users, items and slopes of the sparse matrices' first entries, in the shape of a batch.

        The matrices have room for the largest batch so far and more; what a batch does not fill are zeros.
        """
        n_pairs = shape.numel()
        if len(self._room[0]) < n_pairs:
            users, items = self._tables
            room = n_pairs + n_pairs // 64
            shape_of_all, zeros = (len(users), len(items)), np.zeros(room, dtype=np.int32)
            slopes = np.zeros(room, dtype=users.detach().numpy().dtype)
            self._slopes = sparse.coo_array((slopes, (zeros, zeros.copy())), shape=shape_of_all)
            rows, columns = self._slopes.coords
            self._transposed = sparse.coo_array(
                (self._slopes.data, (columns, rows)), shape=shape_of_all[::-1]
            )
            self._room = (
                torch.from_numpy(rows),
                torch.from_numpy(columns),
                torch.from_numpy(self._slopes.data),
            )
            self._views = {}
        if shape not in self._views:
            if len(self._views) == MOST_SHAPES:
                self._views.clear()
            self._views[shape] = tuple(one[:n_pairs].view(shape) for one in self._room)
        return self._views[shape]

    def scores(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the scores (M, B) of the items (M, B) of users (B), without a gradient."""
        self._batch = users, items
        with torch.no_grad():
            if self._in_place:
                found = self._read_in_place(users, items)
            else:
                p, q = (table.detach() for table in self._tables)
                found = torch.linalg.vecdot(p[users], q[items])
            if self._biases is not None:
                found += self._biases[0][users]
                found += self._biases[1][items]
        return found

    def _read_in_place(self, users: Tensor, items: Tensor) -> Tensor:
        """Return inner products by a kernel of torch's embedding bags; copies of the rows take longer."""
        of_users, of_items, _ = self._viewed(items.shape)
        of_users.copy_(users)
        of_items.copy_(items)
        p, q = (table.detach() for table in self._tables)
        found: Tensor = torch.ops.aten._embedding_bag_per_sample_weights_backward(
            p, q, of_items.view(-1), NO_BAGS, of_users.view(-1), 0
        )
        return found.view(items.shape)

    @torch.no_grad()
    def differentiate(self, slopes: Tensor) -> None:
        """Write the gradients of what wants one, from the slopes (M, B) of the pairs scored last."""
        p, q = self._tables
        users, items = self._batch
        if self._in_place:
            self._viewed(items.shape)[2].copy_(slopes)
            self._room[2][items.numel() :] = 0
            for table, matrix, other in ((p, self._slopes, q), (q, self._transposed, p)):
                if table.requires_grad:
                    table.grad = torch.from_numpy(matrix @ other.detach().numpy())
        else:
            chosen, weights = (users.expand_as(items).flatten(), items.flatten()), slopes.flatten()
            for table, other, own, others in ((p, q, *chosen), (q, p, *chosen[::-1])):
                if table.requires_grad:
                    table.grad = torch.zeros_like(table).index_add_(0, own, other[others] * weights[:, None])
        if self._biases is not None:
            for bias, own in zip(self._biases, (users.expand_as(items), items), strict=True):
                if bias.requires_grad:
                    bias.grad = torch.zeros_like(bias).index_add_(0, own.flatten(), slopes.flatten())


def rows(table: Tensor, chosen: Tensor, work: Workspace, turn: int, name: str) -> Tensor:
    """Return rows of a table, of shape (*chosen.shape, D); their gradient is added to ``table.grad``."""
    found: Tensor = _Rows.apply(table, chosen, work, turn, name)  # type: ignore[no-untyped-call]
    return found


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes by position
        ctx: Any, table: Tensor, chosen: Tensor, work: Workspace, turn: int, name: str
    ) -> Tensor:
        ctx.given = table, chosen, work, turn
        found = work.buffer(f"rows {name}", table, chosen.numel(), table.shape[1])
        torch.index_select(table.detach(), 0, chosen.flatten(), out=found)
        return found.view(*chosen.shape, -1).detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, ...]:
        table, chosen, work, turn = ctx.given
        work.check(turn)
        work.add(table, chosen.flatten(), gradient.reshape(chosen.numel(), -1))
        return None, None, None, None, None


def perceptron(
    p: Tensor, q: Tensor, layers: Sequence[torch.nn.Linear], output: Tensor, *, work: Workspace, turn: int
) -> Tensor:
    """Return w·h_L of a multi-layer perceptron over user vectors (B, D) and item vectors (M, B, D): (M, B).

    h_1 = ReLU(W_p p + W_q q + b_1), in which W_p p is computed once for all M items of a user, and
    h_l = ReLU(W_l h_(l-1) + b_l). With g_l the gradient before the l-th ReLU, g_L = ∂x w ∘ 1[h_L > 0] and
    g_(l-1) = W_l^T g_l ∘ 1[h_(l-1) > 0]; then ∂W_l = Σ g_l h_(l-1)^T, ∂b_l = Σ g_l, ∂q = W_q^T g_1 and
    ∂p = W_p^T Σ_m g_1.

    Args:
        p: the users' vectors.
        q: the vectors of their items.
        layers: the first takes user and item vectors side by side.
        output: the weights w (H_L).
        work: holds the hidden units and their gradients.
        turn: what ``work.begin()`` returned for this batch.
    """
    parameters = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
    scores: Tensor = _Perceptron.apply(work, turn, p, q, output, *parameters)  # type: ignore[no-untyped-call]
    return scores


class _Perceptron(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes by position
        ctx: Any, work: Workspace, turn: int, p: Tensor, q: Tensor, output: Tensor, *parameters: Tensor
    ) -> Tensor:
        weights, biases = parameters[::2], parameters[1::2]
        n_pairs = q.shape[0] * q.shape[1]
        hidden = [work.buffer(f"hidden {n}", q, n_pairs, len(w)) for n, w in enumerate(weights)]
        of_users, of_items = torch.split(weights[0], p.shape[1], dim=1)
        x = torch.mm(q.reshape(n_pairs, -1), of_items.T, out=hidden[0])
        x.view(*q.shape[:2], -1).add_(torch.addmm(biases[0], p, of_users.T))
        x.relu_()
        for weight, bias, out in zip(weights[1:], biases[1:], hidden[1:], strict=True):
            x = torch.addmm(bias, x, weight.T, out=out).relu_()
        ctx.given = work, turn, p, q, output, weights, hidden
        return (x @ output).view(q.shape[:2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        work, turn, p, q, output, weights, hidden = ctx.given
        work.check(turn)
        gradient = gradient.reshape(-1)
        found: list[Tensor] = []  # of the layers, last one first: ∂b, ∂W
        g = torch.mul(gradient[:, None], output, out=_beside(work, hidden, -1))
        for n in reversed(range(1, len(weights))):
            through_relu(g, hidden[n], out=g)
            found += [g.sum(0), g.T @ hidden[n - 1]]
            g = torch.mm(g, weights[n], out=_beside(work, hidden, n - 1))
        through_relu(g, hidden[0], out=g)
        of_users, of_items = torch.split(weights[0], p.shape[1], dim=1)
        by_item = g.view(*q.shape[:2], -1)
        of_user = work.buffer("hidden of users", g, *by_item.shape[1:]).copy_(by_item[0])
        for one in by_item[1:]:
            of_user += one
        q = q.reshape(len(g), -1)
        found += [of_user.sum(0), torch.cat([of_user.T @ p, g.T @ q], dim=1)]
        of_p = torch.mm(of_user, of_users, out=work.buffer("gradient of users", p, *p.shape))
        of_q = torch.mm(g, of_items, out=work.buffer("gradient of items", q, *q.shape))
        return None, None, of_p, of_q.view(*by_item.shape[:2], -1), gradient @ hidden[-1], *reversed(found)


def _beside(work: Workspace, hidden: Sequence[Tensor], n: int) -> Tensor:
    """Return the buffer for the gradient of the n-th layer's hidden units."""
    return work.buffer(f"gradient {n % len(hidden)}", hidden[n], *hidden[n].shape)


def through_relu(gradient: Tensor, rectified: Tensor, *, out: Tensor) -> None:
    """Write ``gradient`` to ``out``, and zero where ReLU left zero; ``out`` may be either of the others."""
    torch.ops.aten.threshold_backward.grad_input(gradient, rectified, 0, grad_input=out)


def full_cross_entropy(states: Tensor, table: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of -log softmax(table · state)[target] over states (P, D), for a table (I, D).

    The gradient, softmax minus target, is taken while a few states' scores are at hand, in place: half the
    time of autograd's, which keeps them all.
    """
    loss: Tensor = _FullCrossEntropy.apply(states, table, targets)  # type: ignore[no-untyped-call]
    return loss


def softmax_less_target_(scores: Tensor, targets: Tensor, n: int) -> Tensor:
    """Return -log softmax (P,) of the rows of ``scores`` (P, I) at their targets (P, 1).

    In place of the scores stays the gradient of their sum over ``n``.
    """
    scores -= scores.amax(dim=1, keepdim=True)
    of_target = scores.gather(1, targets)
    total = scores.exp_().sum(dim=1, keepdim=True)
    losses: Tensor = (total.log() - of_target)[:, 0]
    scores /= total * n
    scores.scatter_add_(1, targets, torch.full_like(total, -1 / n))
    return losses


class _FullCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        n = len(states)
        of_states, of_table = torch.empty_like(states), torch.zeros_like(table)
        losses, scores = states.new_empty(n), states.new_empty(min(CHUNK, n), len(table))
        for start in range(0, n, CHUNK):
            chunk = states[start : start + CHUNK]
            target = targets[start : start + CHUNK, None]
            x = torch.mm(chunk, table.T, out=scores[: len(chunk)])
            losses[start : start + CHUNK] = softmax_less_target_(x, target, n)
            torch.mm(x, table, out=of_states[start : start + CHUNK])
            of_table.addmm_(x.T, chunk)
        ctx.save_for_backward(of_states, of_table)
        return losses.mean()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        of_states, of_table = ctx.saved_tensors
        return gradient * of_states, gradient * of_table, None
