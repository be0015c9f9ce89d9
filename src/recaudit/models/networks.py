"""Networks that score items: inner products and neural collaborative filtering, over any item vectors.

Shapes are named B for users of a batch, M for items a user, I for all items, D for factors and H for hidden
units.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn
from torch.nn.functional import embedding

from recaudit.models.closed_form import PairDots, Workspace, full_cross_entropy, perceptron, rows
from recaudit.models.protocol import of_type

__all__ = [
    "INITIAL_SCALE",
    "DotProduct",
    "Dropout",
    "ItemTable",
    "ItemVectors",
    "NCFNetwork",
    "Network",
    "Projection",
    "ScoresByTables",
    "TrainedNetwork",
    "factors",
    "glorot",
]


Projection = Callable[[Tensor, slice], Tensor]
"""Gives the projected vectors (#B, i, H) of a range of i items as users (B, D) meet them."""


class TrainedNetwork(nn.Module, ABC):
    """A network with item vectors."""

    @abstractmethod
    def item_vectors(self) -> dict[str, "ItemVectors"]:
        """Return the modules that hold the item vectors, by name."""


class Network(TrainedNetwork, ABC):
    """Scores pairs to train on and all items to rank, of users whom it knows by number."""

    @abstractmethod
    def pair_scores(self, users: Int64[Tensor, "B"], items: Int64[Tensor, "M B"]) -> Float32[Tensor, "M B"]:
        """Return the score of ``items[m, b]`` for ``users[b]``."""

    @abstractmethod
    def all_scores(self, users: Int64[Tensor, "B"]) -> Float32[Tensor, "B I"]:
        """Return a fresh tensor with the scores of all items for ``users``."""

    @abstractmethod
    def user_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that are the users' own: one row, or one number, a user."""


@runtime_checkable
class ScoresByTables(Protocol):
    """A network that may score pairs by inner products of two tables alone."""

    def tables(self) -> PairDots | None:
        """Return the scores of pairs with their gradients, where items have one vector for everybody."""


class ItemVectors(nn.Module, ABC):
    """The items' vectors, which may depend on the user they are scored for."""

    @abstractmethod
    def vectors(self, users: Float32[Tensor, "B D"], items: Int64[Tensor, "M B"]) -> Float32[Tensor, "M B D"]:
        """Return the vectors of ``items[m, b]`` as user vector ``users[b]`` meets them.

        They may lie in buffers that the next call overwrites: differentiate a batch before the next one.
        """

    @abstractmethod
    def dots(
        self, table: Float32[Tensor, "U D"], users: Int64[Tensor, "B"], items: Int64[Tensor, "M B"]
    ) -> Float32[Tensor, "M B"]:
        """Return the inner products of ``table[users[b]]`` with the vectors of ``items[m, b]``."""

    @abstractmethod
    def all_dots(self, users: Float32[Tensor, "B D"]) -> Float32[Tensor, "B I"]:
        """Return the inner products of user vectors with the vectors of all items."""

    @abstractmethod
    def projection(self, weight: Float32[Tensor, "H D"]) -> Projection:
        """Return what gives the vectors of a range of items, as users meet them, times ``weight`` transposed.

        What does not depend on the users is computed here, once.
        """

    def all_projected(
        self, users: Float32[Tensor, "B D"], weight: Float32[Tensor, "H D"]
    ) -> Float32[Tensor, "#B I H"]:
        """Return the vectors of all items, as the users meet them, times ``weight`` transposed."""
        return self.projection(weight)(users, slice(None))

    @abstractmethod
    def learned(self) -> Float32[Tensor, "I D"]:
        """Return the item vectors that do not depend on the user, as learned."""

    @abstractmethod
    def met(
        self, users: Float32[Tensor, "*P D"] | None, items: Int64[Tensor, "*P"]
    ) -> Float32[Tensor, "*P D"]:
        """Return the vectors of ``items[p]`` as user vector ``users[p]`` meets them; autograd sees it all.

        Without users, the learned vectors.
        """

    @abstractmethod
    def cross_entropy(self, users: Float32[Tensor, "P D"], items: Int64[Tensor, "P"]) -> Float32[Tensor, ""]:
        """Return the mean of -log softmax of the inner products with all items' vectors, at ``items[p]``."""

    @property
    @abstractmethod
    def personal(self) -> bool:
        """Whether the vectors depend on the user."""


class Dropout(nn.Module):
    """Leaves out a share of the entries in training, by a stream that :meth:`draw_from` names.

    torch's own draws come from its global source, at eight times the time on a processor: here an entry has a
    byte, so the share is rounded to 1/256.

    Args:
        share: at most 0.99.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.left_out = round(share * 256)
        self._source = np.random.default_rng(0)

    @staticmethod
    def draw_from(source: np.random.Generator, network: nn.Module) -> None:
        """Let all dropout in ``network`` draw from ``source``."""
        for module in network.modules():
            if isinstance(module, Dropout):
                module._source = source

    def forward(self, x: Float32[Tensor, "*S"]) -> Float32[Tensor, "*S"]:
        """Return ``x`` with entries left out, the others scaled up; outside training, ``x``."""
        if not (self.training and self.left_out):
            return x
        drawn = np.frombuffer(self._source.bytes(x.numel()), dtype=np.uint8)
        kept = torch.from_numpy(drawn >= self.left_out).view(x.shape).to(x)
        return x * kept.mul_(256 / (256 - self.left_out))


INITIAL_SCALE = 0.01
"""Standard deviation of the initial vectors of what Adam trains."""


def factors(n: int, size: int, generator: torch.Generator) -> nn.Parameter:
    """Return ``n`` vectors of ``size`` drawn from N(0, 0.01²)."""
    return nn.Parameter(torch.randn(n, size, generator=generator) * INITIAL_SCALE)


class ItemTable(ItemVectors):
    """One learned vector an item, the same for all users."""

    def __init__(self, table: nn.Parameter) -> None:
        super().__init__()
        self.table = table
        self._work = Workspace()

    def vectors(self, users: Float32[Tensor, "B D"], items: Int64[Tensor, "M B"]) -> Float32[Tensor, "M B D"]:
        """Return rows of the table."""
        work = self._work.current()
        return rows(self.table, items, work, work.begin(), "items")

    def dots(
        self, table: Float32[Tensor, "U D"], users: Int64[Tensor, "B"], items: Int64[Tensor, "M B"]
    ) -> Float32[Tensor, "M B"]:
        """Return inner products of rows of both tables."""
        return (table[users] * self.table[items]).sum(-1)

    def all_dots(self, users: Float32[Tensor, "B D"]) -> Float32[Tensor, "B I"]:
        """Return one matrix product."""
        return users @ self.table.T

    def projection(self, weight: Float32[Tensor, "H D"]) -> Projection:
        """Return what cuts ranges from the projected table, the same for all users."""
        projected = (self.table @ weight.T)[None]
        return lambda _, items: projected[:, items]

    def learned(self) -> Float32[Tensor, "I D"]:
        """Return the table."""
        return self.table.detach()

    def met(
        self, users: Float32[Tensor, "*P D"] | None, items: Int64[Tensor, "*P"]
    ) -> Float32[Tensor, "*P D"]:
        """Return rows of the table."""
        return embedding(items, self.table)

    def cross_entropy(self, users: Float32[Tensor, "P D"], items: Int64[Tensor, "P"]) -> Float32[Tensor, ""]:
        """Return the loss; its gradient is in closed form."""
        return full_cross_entropy(users, self.table, items)

    @property
    def personal(self) -> bool:
        """They are the same for all."""
        return False


class DotProduct(Network):
    """Inner products of user and item vectors, with bias terms or without.

    r_ij = p_i · q_j (Zhu et al. 2023, Eq. 1), plus b_i + b_j where ``biases`` is set (Johnson 2014).
    """

    def __init__(
        self, users: nn.Parameter, items: ItemVectors, n_items: int, *, biases: bool = False
    ) -> None:
        super().__init__()
        self.users = users
        self.items = items
        self.user_bias = nn.Parameter(torch.zeros(len(users))) if biases else None
        self.item_bias = nn.Parameter(torch.zeros(n_items)) if biases else None

    def pair_scores(self, users: Int64[Tensor, "B"], items: Int64[Tensor, "M B"]) -> Float32[Tensor, "M B"]:
        """Return inner products."""
        scores = self.items.dots(self.users, users, items)
        if self.user_bias is not None and self.item_bias is not None:
            scores = scores + self.user_bias[users] + self.item_bias[items]
        return scores

    def all_scores(self, users: Int64[Tensor, "B"]) -> Float32[Tensor, "B I"]:
        """Return inner products with all items."""
        scores = self.items.all_dots(self.users[users])
        if self.user_bias is not None and self.item_bias is not None:
            scores = scores + self.user_bias[users][:, None] + self.item_bias
        return scores

    def item_vectors(self) -> dict[str, ItemVectors]:
        """Return the one set of item vectors."""
        return {"items": self.items}

    def user_parameters(self) -> list[nn.Parameter]:
        """Return the users' vectors and, where there are any, their biases."""
        return [self.users] if self.user_bias is None else [self.users, self.user_bias]

    def tables(self) -> PairDots | None:
        """Return the tables' inner products, with biases where there are any."""
        if not isinstance(self.items, ItemTable):
            return None
        return PairDots(self.users, self.items.table, self.user_bias, self.item_bias)


class NCFNetwork(Network):
    """Neural collaborative filtering (He et al. 2017): MLP (Eq. 10), GMF (Eq. 9) or both, NeuMF (Eq. 12).

    The perceptron's first layer takes user and item vectors side by side, W [p; q] = W_p p + W_q q, so all
    items' part of it is one matrix product.
    """

    USERS_AT_A_TIME = 8
    ITEMS_AT_A_TIME = 512

    def __init__(
        self,
        users: Mapping[str, nn.Parameter],
        items: Mapping[str, ItemVectors],
        hidden: tuple[int, ...],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.users = nn.ParameterDict(dict(users))
        self.items = nn.ModuleDict(dict(items))
        size = next(iter(users.values())).shape[1]
        self.layers = nn.ModuleList()
        width = 0
        if "mlp" in users:
            widths = (2 * size, *hidden)
            self.layers.extend(glorot(n_in, n_out, generator) for n_in, n_out in pairwise(widths))
            width += hidden[-1]
        if "gmf" in users:
            width += size
        self.output = glorot(width, 1, generator)
        self._work = Workspace()

    def pair_scores(self, users: Int64[Tensor, "B"], items: Int64[Tensor, "M B"]) -> Float32[Tensor, "M B"]:
        """Return the scores of pairs; the perceptron's gradient is in closed form."""
        work = self._work.current()
        turn = work.begin()
        weight: Tensor = self.output.weight[0]
        scores: Tensor = self.output.bias
        if "mlp" in self.users:
            p = rows(self.users["mlp"], users, work, turn, "mlp")
            q = self._vectors("mlp").vectors(p, items)
            layers = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
            width = layers[-1].out_features
            scores = scores + perceptron(p, q, layers, weight[:width], work=work, turn=turn)
            weight = weight[width:]
        if "gmf" in self.users:
            p = rows(self.users["gmf"], users, work, turn, "gmf")
            scores = scores + (p * self._vectors("gmf").vectors(p, items)) @ weight
        return scores

    def all_scores(self, users: Int64[Tensor, "B"]) -> Float32[Tensor, "B I"]:
        """Return the scores of all items, few users and items at a time: hidden units stay in cache."""
        # Groups of one size: products of fewer rows may round differently; no score may depend on company.
        padding = users[-1:].expand(-len(users) % self.USERS_AT_A_TIME)
        groups = torch.cat([users, padding]).view(-1, self.USERS_AT_A_TIME)
        scores: Tensor = self.output.bias
        weight: Tensor = self.output.weight[0]
        if "mlp" in self.users:
            width = len(weight) - (self.users["gmf"].shape[1] if "gmf" in self.users else 0)
            scores = scores + self._all_perceptrons(groups, weight[:width])
            weight = weight[width:]
        if "gmf" in self.users:
            table = self.users["gmf"]
            scores = scores + torch.cat([self._weighted_gmf(table[group], weight) for group in groups])
        return scores[: len(users)]

    def _all_perceptrons(self, groups: Tensor, output: Tensor) -> Tensor:
        """Return the perceptron's part of the scores of all items for groups of users."""
        vectors = self._vectors("mlp")
        table: Tensor = self.users["mlp"]
        first = of_type(nn.Linear, self.layers[0])
        of_users, of_items = torch.split(first.weight, table.shape[1], dim=1)
        project = vectors.projection(of_items)
        n_items = len(vectors.learned())
        scores: Tensor = table.new_empty(groups.numel(), n_items)
        for users, of_group in zip(groups, torch.split(scores, self.USERS_AT_A_TIME), strict=True):
            p = table[users]
            of_user = (p @ of_users.T + first.bias)[:, None]
            for start in range(0, n_items, self.ITEMS_AT_A_TIME):
                items = slice(start, start + self.ITEMS_AT_A_TIME)
                x = torch.relu_(project(p, items) + of_user)
                for layer in self.layers[1:]:
                    x = torch.relu_(layer(x))
                of_group[:, items] = x @ output
        return scores

    def _weighted_gmf(self, p: Tensor, weight: Tensor) -> Tensor:
        """Return Σ_d w_d p_d q_d for all items: the projection of the item vectors on w∘p, user by user."""
        vectors = self._vectors("gmf")
        return torch.cat([vectors.all_projected(row[None], (weight * row)[None])[..., 0] for row in p])

    def _vectors(self, part: str) -> ItemVectors:
        return of_type(ItemVectors, self.items[part])

    def item_vectors(self) -> dict[str, ItemVectors]:
        """Return the item vectors of the perceptron and of the product."""
        return {part: self._vectors(part) for part in self.items}

    def user_parameters(self) -> list[nn.Parameter]:
        """Return the users' vectors of the perceptron and of the product."""
        return list(self.users.parameters())


def glorot(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    """Return a layer with Glorot-uniform weights from ``generator`` and zero biases."""
    layer = nn.Linear(n_in, n_out, device="meta").to_empty(device="cpu")
    nn.init.xavier_uniform_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
