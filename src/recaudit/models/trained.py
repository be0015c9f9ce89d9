"""What all trained networks have in common, whether they know users by number or read histories."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int64
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from typing_extensions import TypeVar

from recaudit.data.interactions import Interactions
from recaudit.models.networks import ItemTable, ItemVectors, TrainedNetwork
from recaudit.models.protocol import TrainingLog
from recaudit.models.sampling import Examples
from recaudit.models.training import Objective, Optimisation, Stopping
from recaudit.pipeline.run import Run
from recaudit.rng import torch_generator

__all__ = ["FittedNetwork", "ItemVectorMaker", "TrainedSpec", "plain_items"]

N = TypeVar("N", bound=TrainedNetwork, default=Any)


@runtime_checkable
class ItemVectorMaker(Protocol):
    """Makes the item vectors that a network scores with; ``name`` tells a network's sets of them apart."""

    def __call__(self, name: str, table: nn.Parameter) -> ItemVectors:
        """Return item vectors that begin at ``table``."""


def plain_items(
    name: str,  # noqa: ARG001 - as every maker
    table: nn.Parameter,
) -> ItemVectors:
    """Return the table itself as the item vectors."""
    return ItemTable(table)


class FittedNetwork(ABC):
    """A recommender that is a network.

    Args:
        network: in evaluation mode when it is asked.
        n_items: number of items in its catalogue.
        device: where the network is.
        log: how its training went.
    """

    def __init__(
        self, network: TrainedNetwork, *, n_items: int, device: str, log: TrainingLog | None
    ) -> None:
        self.network = network
        self.n_items = n_items
        self.device = device
        self.log = log

    @property
    @abstractmethod
    def n_users(self) -> int:
        """Number of users it knows."""

    @abstractmethod
    def score(self, users: Int64[np.ndarray, "B"]) -> Float32[Tensor, "B I"]:
        """Return the scores of all items for ``users``, on the network's device."""

    def tensors(self) -> dict[str, Tensor]:
        """Return the network's weights."""
        return {
            name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()
        }


class TrainedSpec(BaseModel, ABC, Generic[N]):
    """Hyperparameters that all trained networks share, and what a thief's clone needs of its model.

    Args:
        embedding_size: length of user and item vectors.
        negatives: items drawn for each interaction, uniformly, where the loss takes any.
        optimisation: Adam's settings.
        stopping: when training ends, judged on a part of the interactions that is kept out of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str
    embedding_size: int = Field(default=64, ge=1)
    negatives: int = Field(default=1, ge=1)
    optimisation: Optimisation = Optimisation()
    stopping: Stopping = Stopping()

    @abstractmethod
    def network(
        self,
        n_users: int,
        n_items: int,
        generator: torch.Generator,
        make_items: ItemVectorMaker = plain_items,
    ) -> N:
        """Return an untrained network on the CPU."""

    @abstractmethod
    def recommender(
        self,
        network: N,
        histories: Interactions,
        *,
        device: str = "cpu",
        log: TrainingLog | None = None,
    ) -> FittedNetwork:
        """Return ``network``, which is on ``device``, as the recommender of the users of ``histories``."""

    @abstractmethod
    def fit_network(self, network: N, data: Interactions, run: Run, *, stage: str) -> FittedNetwork:
        """Train ``network`` in place on ``data``, short of what judges it; return it as a recommender.

        Raises:
            UsageError: where nothing is left to judge by, or the training diverges.
        """

    @abstractmethod
    def pair_objective(
        self,
        network: N,
        histories: Interactions,
        examples: Examples,
        of_scores: Callable[..., Float32[Tensor, ""]],
    ) -> Objective:
        """Return the objective of examples that name users of ``histories`` and items.

        Args:
            network: gives the scores of a batch's items.
            histories: of the users whom the examples name.
            examples: draws what an epoch trains on.
            of_scores: the loss of the (M, B) scores of a batch, its mean over the examples.
        """

    def fit(self, data: Interactions, run: Run) -> FittedNetwork:
        """Train a network on ``data``, short of what judges it."""
        network = self.network(data.n_users, data.n_items, torch_generator(run.seed, "initial"))
        return self.fit_network(network, data, run, stage=f"training {self.model}")

    @abstractmethod
    def restore(self, tensors: Mapping[str, Tensor], *, n_users: int, n_items: int) -> FittedNetwork:
        """Return the network with these weights, on the CPU."""
