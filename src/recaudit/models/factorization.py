"""BPR-MF and logistic matrix factorisation, and what all trained networks have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64
from pydantic import Field
from torch import Tensor

from recaudit.data.interactions import Interactions
from recaudit.data.rows import picked_rows
from recaudit.errors import UsageError
from recaudit.metrics.ranking import recall
from recaudit.models import losses
from recaudit.models.cold_start import FoldedExamples, fold_users, fresh_users, shown_part
from recaudit.models.networks import INITIAL_SCALE, DotProduct, Network, factors
from recaudit.models.protocol import Recommender, TrainingLog, of_type
from recaudit.models.ranking import top_k
from recaudit.models.sampling import Examples, ObservedItems
from recaudit.models.trained import FittedNetwork, ItemVectorMaker, TrainedSpec, plain_items
from recaudit.models.training import PairScores, train
from recaudit.pipeline.run import Run
from recaudit.rng import numpy_generator
from recaudit.vocabulary import Card

__all__ = ["BPR", "LMF", "NetworkRecommender", "NetworkSpec", "validation_slice"]

VALIDATION_K = 50
VALIDATION_USERS = 4000


class NetworkRecommender(FittedNetwork):
    """A fitted network that knows its users by number."""

    network: Network

    def __init__(
        self, network: Network, *, n_users: int, n_items: int, device: str, log: TrainingLog | None
    ) -> None:
        super().__init__(network, n_items=n_items, device=device, log=log)
        self._n_users = n_users

    @property
    def n_users(self) -> int:
        """Number of users that it was fitted on."""
        return self._n_users

    def score(self, users: Int64[np.ndarray, "B"]) -> Float32[Tensor, "B I"]:
        """Return the scores of all items for ``users``, on the network's device."""
        with torch.no_grad():
            return self.network.all_scores(torch.tensor(users).to(self.device))


class NetworkSpec(TrainedSpec[Network], ABC):
    """Hyperparameters of networks that know their users by number.

    Args:
        embedding_size: length of user and item vectors.
        negatives: unseen items drawn for each interaction, uniformly.
        validation_share: share of the training interactions kept out of it to decide when to stop.
        optimisation: Adam's settings.
        stopping: when training ends, judged by Recall@50 on the validation slice, of 4,000 users at most; by
            the recall of lists of an eighth of the catalogue, where that is shorter.
    """

    validation_share: float = Field(default=0.1, gt=0, lt=1)

    @abstractmethod
    def network(
        self,
        n_users: int,
        n_items: int,
        generator: torch.Generator,
        make_items: ItemVectorMaker = plain_items,
    ) -> Network:
        """Return an untrained network on the CPU."""

    @abstractmethod
    def loss(self, scores: Float32[Tensor, "M B"]) -> Float32[Tensor, ""]:
        """Return the mean loss of interactions (row 0) and items drawn for them (the other rows)."""

    def slopes(self, scores: Float32[Tensor, "M B"]) -> Float32[Tensor, "M B"]:
        """Return the gradient of :meth:`loss` with respect to the scores."""
        return losses.slopes(self.loss, scores)

    def recommender(
        self,
        network: Network,
        histories: Interactions,
        *,
        device: str = "cpu",
        log: TrainingLog | None = None,
    ) -> NetworkRecommender:
        """Return ``network`` as the recommender of its users, who are those of ``histories``."""
        return NetworkRecommender(
            network, n_users=histories.n_users, n_items=histories.n_items, device=device, log=log
        )

    def pair_objective(
        self,
        network: Network,
        histories: Interactions,
        examples: Examples,
        of_scores: Callable[..., Float32[Tensor, ""]],
    ) -> PairScores:
        """Return the objective of the scores of pairs; histories have no part in it."""
        return PairScores(network=network, examples=examples, of_scores=of_scores)

    def fit_network(
        self, network: Network, data: Interactions, run: Run, *, stage: str
    ) -> NetworkRecommender:
        """Train ``network`` in place on ``data``, short of a validation slice; return it as a recommender.

        Raises:
            UsageError: where the validation slice is empty, or the training diverges.
        """
        network.to(run.device)
        train_part, offsets, items = validation_slice(data, self.validation_share)
        watched = self.recommender(network, data, device=run.device)
        users = np.flatnonzero(np.diff(offsets)).astype(np.int64)
        if len(users) == 0:
            raise UsageError(
                f"{stage}: validation_share={self.validation_share:g} of {len(data.items)} interactions "
                "leaves nothing to judge the training by; raise it or take more data"
            )
        if len(users) > VALIDATION_USERS:
            chosen = numpy_generator(0, "validation users", data.fingerprint).permutation(len(users))
            users = users[np.sort(chosen[:VALIDATION_USERS])]
        relevant_offsets, places = picked_rows(offsets, users)
        relevant = items[places]
        # Lists of nearly the whole catalogue would tell no state of a small one from another.
        k = min(VALIDATION_K, max(1, data.n_items // 8))

        def validate() -> float:
            lists = top_k(watched, users, train_part, k)
            return float(recall(lists.items, relevant_offsets, relevant).mean())

        examples = ObservedItems(
            train=train_part, negatives=self.negatives, examples=self.optimisation.epoch_examples
        )
        watched.log = train(
            network,
            PairScores(network=network, examples=examples, of_scores=self.loss, slopes=self.slopes),
            validate,
            optimisation=self.optimisation,
            stopping=self.stopping,
            run=run,
            stage=stage,
        )
        return watched

    def fold_in(
        self, fitted: Recommender, histories: Interactions, run: Run, *, n_interactions: int
    ) -> NetworkRecommender:
        """Estimate the vectors of users whom ``fitted`` has never seen, for as many epochs as its best state.

        As in training, ``validation_share`` of their interactions is left out; nothing is judged by it.

        Raises:
            UsageError: where the model has no training log to tell the epochs, or the fold-in diverges.
        """
        fitted = of_type(NetworkRecommender, fitted)
        if fitted.log is None:
            raise UsageError(
                f"{self.model}: a model loaded from its file does not tell for how many epochs it was "
                "trained, which fold-in needs; fit it in this run or take it from the store"
            )
        shown = shown_part(histories, self.validation_share, run.seed)
        n_shown = max(1, round(n_interactions * (1 - self.validation_share)))
        passes = max(1, -(-self.optimisation.epoch_examples // n_shown))
        n_batches = -(-n_shown * passes // self.optimisation.batch_size)
        network = fresh_users(fitted.network, shown, run.seed, scale=INITIAL_SCALE)
        in_batch = n_shown * passes / n_batches
        log = fold_users(
            network,
            FoldedExamples(
                shown=shown, seed=run.seed, negatives=self.negatives, n_batches=n_batches, passes=passes
            ),
            lambda scores: self.loss(scores) * (scores.shape[1] / in_batch),
            slopes=lambda scores: self.slopes(scores) * (scores.shape[1] / in_batch),
            epochs=max(1, fitted.log.best_epoch),
            optimisation=self.optimisation,
            run=run,
            stage=f"folding into {self.model}",
        )
        return NetworkRecommender(
            network, n_users=histories.n_users, n_items=histories.n_items, device=run.device, log=log
        )

    def restore(self, tensors: Mapping[str, Tensor], *, n_users: int, n_items: int) -> NetworkRecommender:
        """Return the network with these weights, on the CPU."""
        network = self.network(n_users, n_items, torch.Generator())
        network.load_state_dict(dict(tensors))
        network.eval()
        return NetworkRecommender(network, n_users=n_users, n_items=n_items, device="cpu", log=None)


def validation_slice(
    data: Interactions, share: float
) -> tuple[Interactions, Int64[np.ndarray, "U1"], np.ndarray]:
    """Cut a random share of the interactions out of ``data``, leaving every user at least one.

    Returns:
        The rest, and the cut items as (offsets, items) rows over the same users.
    """
    generator = numpy_generator(0, "validation slice", data.fingerprint)
    draws = generator.random(len(data.items))
    cut = draws < share
    # A user all of whose interactions were drawn keeps the one drawn highest.
    left = np.bincount(data.users[~cut], minlength=data.n_users)
    for user in np.flatnonzero(left == 0):
        begin, end = data.offsets[user], data.offsets[user + 1]
        cut[begin + int(np.argmax(draws[begin:end]))] = False
    counts = np.bincount(data.users[cut], minlength=data.n_users)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return data.where(~cut), offsets, data.items[cut]


class _Factorization(NetworkSpec, ABC):
    def _dot_product(
        self,
        n_users: int,
        n_items: int,
        generator: torch.Generator,
        make_items: ItemVectorMaker,
        *,
        biases: bool,
    ) -> Network:
        users = factors(n_users, self.embedding_size, generator)
        items = make_items("items", factors(n_items, self.embedding_size, generator))
        return DotProduct(users, items, n_items, biases=biases)


class BPR(_Factorization):
    """Matrix factorisation trained by Bayesian personalised ranking (Rendle et al. 2009)."""

    card: ClassVar[Card] = Card(
        name="bpr",
        label="BPR",
        order=30,
        sentence="Matrix factorization trained to rank a user’s items above others (Rendle et al. 2009).",
    )

    model: Literal["bpr"] = "bpr"

    def network(
        self,
        n_users: int,
        n_items: int,
        generator: torch.Generator,
        make_items: ItemVectorMaker = plain_items,
    ) -> Network:
        """Return factors from N(0, 0.01²)."""
        return self._dot_product(n_users, n_items, generator, make_items, biases=False)

    def loss(self, scores: Float32[Tensor, "M B"]) -> Float32[Tensor, ""]:
        """Return the mean BPR loss."""
        preferred, others = torch.split_with_sizes(scores, [1, len(scores) - 1])
        return losses.bpr(preferred.expand_as(others), others).mean()

    def slopes(self, scores: Float32[Tensor, "M B"]) -> Float32[Tensor, "M B"]:
        """Return the loss's gradient in closed form."""
        return losses.bpr_slopes(scores)


class LMF(_Factorization):
    """Logistic matrix factorisation (Johnson 2014), on sampled negatives.

    Args:
        biases: add a bias a user and an item, as Johnson does; off by default.
    """

    card: ClassVar[Card] = Card(
        name="lmf",
        label="LMF",
        order=40,
        sentence="Matrix factorization trained to tell a user’s items from others by logistic loss.",
    )

    model: Literal["lmf"] = "lmf"
    biases: bool = False

    def network(
        self,
        n_users: int,
        n_items: int,
        generator: torch.Generator,
        make_items: ItemVectorMaker = plain_items,
    ) -> Network:
        """Return factors from N(0, 0.01²) and, where asked for, zero biases."""
        return self._dot_product(n_users, n_items, generator, make_items, biases=self.biases)

    def loss(self, scores: Float32[Tensor, "M B"]) -> Float32[Tensor, ""]:
        """Return the mean binary cross-entropy."""
        return losses.logistic(scores).mean()

    def slopes(self, scores: Float32[Tensor, "M B"]) -> Float32[Tensor, "M B"]:
        """Return the loss's gradient in closed form."""
        return losses.logistic_slopes(scores)
