"""The latent factor model: matrix factorisation by squared error and plain stochastic gradient descent."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from recaudit.data.interactions import Interactions
from recaudit.errors import UsageError
from recaudit.models.cold_start import FoldedExamples, fold_users, fresh_users
from recaudit.models.factorization import NetworkRecommender
from recaudit.models.networks import ItemTable, ItemVectors, Network
from recaudit.models.protocol import Recommender, of_type
from recaudit.models.sampling import Examples, LabelledPairs, RatedPairs
from recaudit.models.training import GradientDescent, PairScores, Stopping, train
from recaudit.pipeline.run import Run
from recaudit.rng import torch_generator
from recaudit.vocabulary import Card

__all__ = ["LFM", "LFMNetwork"]


class LFMNetwork(Network):
    """r_ui = μ + b_u + b_i + p_u·q_i, with biases or without; it makes steps of gradient descent itself."""

    def __init__(self, users: nn.Parameter, items: nn.Parameter, *, biases: bool) -> None:
        super().__init__()
        self.users = users
        self.items = ItemTable(items)
        self.user_bias = nn.Parameter(torch.zeros(len(users))) if biases else None
        self.item_bias = nn.Parameter(torch.zeros(len(items))) if biases else None
        self.mean: Tensor
        self.register_buffer("mean", torch.zeros(()))

    def pair_scores(self, users: Int64[Tensor, "B"], items: Int64[Tensor, "M B"]) -> Float32[Tensor, "M B"]:
        """Return the scores of pairs, without gradients: :meth:`descend` writes those of the squared error."""
        with torch.no_grad():
            chosen, flat = users.expand_as(items).flatten(), items.flatten()
            p, q = self.users.index_select(0, chosen), self.items.table.index_select(0, flat)
            return self._scores(p, q, chosen, flat).view_as(items)

    def descend(
        self,
        settings: GradientDescent,
        users: Int64[Tensor, "B"],
        items: Int64[Tensor, "1 B"],
        targets: Float32[Tensor, "B"],
    ) -> None:
        """Make one step down the squared error, see :class:`LFM`, in what wants gradients.

        With e = r - t, ∂p = e q, ∂q = e p and ∂b = e. Each pair adds its own row, though its user or item come
        again; nothing is written to rows that no pair touches.
        """
        with torch.no_grad():
            chosen, table = items[0], self.items.table
            p, q = self.users.index_select(0, users), table.index_select(0, chosen)
            errors = self._scores(p, q, users, chosen).sub_(targets)
            column = errors[:, None]
            steps: list[tuple[Tensor, ...]] = [
                (self.users, users, column * q, p),
                (table, chosen, column * p, q),
            ]
            biases = self._biases()
            if biases is not None:
                for bias, rows in zip(biases, (users, chosen), strict=True):
                    steps.append((bias, rows, errors.clone(), bias.index_select(0, rows)))
            for parameter, rows, gradient, own in steps:
                if parameter.requires_grad:
                    gradient.add_(own, alpha=settings.reg).mul_(-settings.learning_rate)
                    parameter.index_add_(
                        0, rows, gradient
                    )  # its own factor, alpha, would double what it takes

    def _scores(self, p: Tensor, q: Tensor, users: Tensor, items: Tensor) -> Tensor:
        scores: Tensor = torch.linalg.vecdot(p, q).add_(self.mean)
        biases = self._biases()
        if biases is not None:
            scores += biases[0].index_select(0, users)
            scores += biases[1].index_select(0, items)
        return scores

    def all_scores(self, users: Int64[Tensor, "B"]) -> Float32[Tensor, "B I"]:
        """Return the scores of all items."""
        scores = self.items.all_dots(self.users[users])
        biases = self._biases()
        if biases is not None:
            scores += biases[0][users][:, None]
            scores += biases[1]
        return scores.add_(self.mean)

    def item_vectors(self) -> dict[str, ItemVectors]:
        """Return the one set of item vectors."""
        return {"items": self.items}

    def user_parameters(self) -> list[nn.Parameter]:
        """Return the users' vectors and, where there are any, their biases."""
        return [self.users] if self.user_bias is None else [self.users, self.user_bias]

    def _biases(self) -> tuple[Tensor, Tensor] | None:
        if self.user_bias is None or self.item_bias is None:
            return None
        return self.user_bias, self.item_bias


class LFM(BaseModel):
    """Latent factor model trained by plain gradient descent (Funk 2006; Koren, Bell and Volinsky 2009).

    Each example (u, i) with its target t asks for less of ½ (t - r_ui)² + ½ reg (|p_u|² + |q_i|²), and biases
    are regularised likewise: with e = t - r_ui, p_u ← p_u + learning_rate · (e q_i - reg p_u), and so on.
    Examples of implicit feedback are the interactions with the target 1 and ``negatives`` unseen items for
    each, drawn anew each epoch, with the target 0; those of explicit feedback are the ratings. Factors begin
    at N(0, initial_scale²), biases at zero. All of the data train, for a fixed number of epochs.

    Hu et al. name learning rate and regularisation (0.01 each) and leave size, epochs, initial factors and
    the kind of feedback unsaid.

    Args:
        embedding_size: length of user and item vectors.
        feedback: ``implicit`` learns who interacted with what, ``explicit`` the ratings.
        negatives: unseen items drawn for each interaction, uniformly; explicit feedback takes none.
        biases: add b_u + b_i; ``None`` means with explicit feedback and not with implicit. With explicit
            feedback the mean rating μ is added, too, which is not trained.
        epochs: passes over the data.
        initial_scale: standard deviation of the initial factors. Items that few users have stay near where
            they began, which large initial factors make a list of noise; at 0.1, as Funk began, implicit
            feedback of a few hundred users ends with worse lists than at 0.01.
        optimisation: settings of gradient descent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    card: ClassVar[Card] = Card(
        name="lfm",
        label="LFM",
        order=60,
        sentence="Latent factor model trained by plain gradient descent on squared error (Koren et al. "
        "2009).",
    )

    model: Literal["lfm"] = "lfm"
    embedding_size: int = Field(default=50, ge=1)
    feedback: Literal["implicit", "explicit"] = "implicit"
    negatives: int = Field(default=1, ge=1)
    biases: bool | None = None
    epochs: int = Field(default=60, ge=1)
    initial_scale: float = Field(default=0.1, gt=0)
    optimisation: GradientDescent = GradientDescent()

    def network(self, n_users: int, n_items: int, generator: torch.Generator) -> LFMNetwork:
        """Return an untrained network on the CPU."""
        users, items = (
            nn.Parameter(torch.randn(n, self.embedding_size, generator=generator) * self.initial_scale)
            for n in (n_users, n_items)
        )
        biases = self.feedback == "explicit" if self.biases is None else self.biases
        return LFMNetwork(users, items, biases=biases)

    def loss(self, scores: Float32[Tensor, "1 B"], targets: Float32[Tensor, "B"]) -> Float32[Tensor, ""]:
        """Return half the sum of squared errors."""
        return mse_loss(scores[0], targets, reduction="sum") / 2

    def fit(self, data: Interactions, run: Run) -> NetworkRecommender:
        """Train a network on all of ``data``.

        Raises:
            UsageError: where explicit feedback is asked for and there are no ratings, or where the training
                diverges.
        """
        network = self.network(data.n_users, data.n_items, torch_generator(run.seed, "initial"))
        examples: Examples = LabelledPairs(train=data, negatives=self.negatives)
        if self.feedback == "explicit":
            ratings = self._ratings(data)
            network.mean.fill_(float(ratings.mean(dtype=np.float64)))
            examples = RatedPairs(train=data)
        network.to(run.device)
        log = train(
            network,
            PairScores(network=network, examples=examples, of_scores=self.loss),
            None,
            optimisation=self.optimisation,
            stopping=Stopping(epochs=self.epochs, evaluate_every=self.epochs, patience=self.epochs),
            run=run,
            stage=f"training {self.model}",
        )
        if not all(parameter.isfinite().all() for parameter in network.parameters()):
            raise UsageError(
                "lfm: the training diverged; lower optimisation.learning_rate "
                f"(found {self.optimisation.learning_rate:g}) or optimisation.batch_size"
            )
        return NetworkRecommender(
            network, n_users=data.n_users, n_items=data.n_items, device=run.device, log=log
        )

    def fold_in(
        self, fitted: Recommender, histories: Interactions, run: Run, *, n_interactions: int
    ) -> NetworkRecommender:
        """Estimate vectors and biases of users whom ``fitted`` has never seen, for ``epochs`` epochs.

        Raises:
            UsageError: where explicit feedback lacks ratings, or the fold-in diverges.
        """
        fitted = of_type(NetworkRecommender, fitted)
        explicit = self.feedback == "explicit"
        negatives = 0 if explicit else self.negatives
        targets = self._ratings(histories) if explicit else np.ones(len(histories.items), dtype=np.float32)
        network = fresh_users(fitted.network, histories, run.seed, scale=self.initial_scale)
        n_batches = -(-max(1, n_interactions) * (1 + negatives) // self.optimisation.batch_size)
        log = fold_users(
            network,
            FoldedExamples(
                shown=histories, seed=run.seed, negatives=negatives, n_batches=n_batches, targets=targets
            ),
            self.loss,
            epochs=self.epochs,
            optimisation=self.optimisation,
            run=run,
            stage=f"folding into {self.model}",
        )
        return NetworkRecommender(
            network, n_users=histories.n_users, n_items=histories.n_items, device=run.device, log=log
        )

    def _ratings(self, data: Interactions) -> Float32[np.ndarray, "N"]:
        if data.ratings is None:
            raise UsageError(
                f"lfm: feedback='explicit' needs ratings, and {data.name} has none; "
                "take data with ratings, or feedback='implicit'"
            )
        return data.ratings

    def restore(self, tensors: Mapping[str, Tensor], *, n_users: int, n_items: int) -> NetworkRecommender:
        """Return the network with these weights, on the CPU."""
        network = self.network(n_users, n_items, torch.Generator())
        network.load_state_dict(dict(tensors))
        network.eval()
        return NetworkRecommender(network, n_users=n_users, n_items=n_items, device="cpu", log=None)
