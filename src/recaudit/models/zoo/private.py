"""Recommenders with differential privacy at the level of users: a defence whose price an audit can measure.

Whose output is protected. What is learned of all users together (item similarities here, item vectors
there) is (ε, δ)-differentially private with respect to adding or removing one user's whole history: a promise
about all that may be computed from it, for as long as anybody likes. Not protected: the catalogue, taken for
public; hyperparameters, if they were tuned on the same data; and what is a user's own. A fitted recommender
holds histories or user vectors, by which it serves; its files are not for publication.

What users see. A user's list is made of the protected part and of that user's own history (the billboard
lemma: Hsu et al. 2014; joint differential privacy: Kearns et al. 2014; for matrix completion Jain, Thakkar
and Thakurta 2018). So what is protected of a user is all that *others* see, even if they all collude. That
user's own list shows her own history, which she knows.

What this does to membership inference. Where everybody is served from the protected part and a history sent
along ("everyone-folded", and also "fold-in", as both models estimate a member just as they do a stranger), a
user's own list tells of her membership no more than the protected part does: any attack on it, whatever it
knows of all others, has TPR <= e^ε FPR + δ and AUC <= 1 - (1 - δ)² / (1 + e^ε)
(:mod:`recaudit.metrics.privacy`; Kairouz et al. 2015). These rates are probabilities over the noise at a
threshold chosen beforehand, for users who are members independently of each other; where one user's
membership takes another one's place, as in a split that makes exactly half of the candidates members, two
users differ: put 2ε for ε and (1 + e^ε) δ for δ. Where strangers get popular items, the list tells by its
kind, and nothing is promised.

Whose noise. Random numbers come from the run's seed, so that an audit can be repeated, and from the data's
fingerprint, so that models of other data, which an attacker may train with the same seed, share none.
Whoever knows both can subtract the noise: a deployed system must draw it from a secure source and forget it,
and from a discrete distribution at that (Mironov 2012 reads data off the last bits of floating-point noise).
"""

import time
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float64, Int64
from pydantic import BaseModel, ConfigDict, Field
from scipy import sparse
from torch import Tensor, nn

from recaudit.data.interactions import Interactions
from recaudit.metrics.privacy import SMALLEST_DELTA, gaussian_scale
from recaudit.models.accounting import noise_multiplier
from recaudit.models.factorization import NetworkRecommender
from recaudit.models.protocol import Recommender, TrainingLog, of_type
from recaudit.models.zoo.baselines import ItemKNN, ItemKNNRecommender
from recaudit.models.zoo.lfm import LFMNetwork
from recaudit.pipeline.run import Run
from recaudit.rng import numpy_generator
from recaudit.vocabulary import Card

__all__ = ["PrivateItemKNN", "PrivateLFM"]

TILE = 1024
"""Item pairs are counted, and their noise is drawn, in squares of this many items."""

USERS_AT_A_TIME = 1024


class PrivateItemKNN(BaseModel):
    """Nearest neighbours among items by noisy counts (after McSherry and Mironov, KDD 2009).

    Of each user at most m = ``items_per_user`` items count, chosen at random by a stream of the user's own.
    The matrix of how many users have both items, its diagonal being popularity, gets Gaussian noise once for
    each pair. One user adds at most 1 to m (m + 1) / 2 of its cells, so that the L2 sensitivity is
    √(m (m + 1) / 2), and :func:`recaudit.metrics.privacy.gaussian_scale` gives the noise. All else only
    reads the noisy counts, cut off at 0: similarities and neighbours as :class:`ItemKNN` has them. What is
    fitted is served by whole histories, which are the users' own.

    Args:
        neighbours: how many each item keeps.
        shrinkage: added to the denominator of the cosine.
        noise_shrinkage: so many standard deviations of the noise are added to it, too: a pair of rare items
            is the more in doubt the more noise there is.
        epsilon: ε of the similarities; ``None`` adds no noise and promises nothing: the truncation alone.
        delta: δ of the similarities; well below one over the number of users.
        items_per_user: m. More of them say more and need more noise.
        threshold: an item whose noisy popularity is not above so many standard deviations of the noise has
            no neighbours and is nobody's: among thousands of rare items, noise alone would make the best
            pairs. 0 keeps all that are above 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    card: ClassVar[Card] = Card(
        name="private-item-knn",
        label="Private ItemKNN",
        order=100,
        sentence="ItemKNN whose similarities come from noisy counts (McSherry and Mironov 2009).",
    )

    model: Literal["private-item-knn"] = "private-item-knn"
    neighbours: int = Field(default=100, ge=1)
    shrinkage: float = Field(default=10.0, ge=0)
    noise_shrinkage: float = Field(default=10.0, ge=0)
    epsilon: float | None = Field(default=10.0, gt=0)
    delta: float = Field(default=1e-5, ge=SMALLEST_DELTA, lt=1)
    items_per_user: int = Field(default=30, ge=1)
    threshold: float = Field(default=4.0, ge=0)

    @property
    def noise_scale(self) -> float:
        """Standard deviation of the noise on each count."""
        if self.epsilon is None:
            return 0.0
        m = self.items_per_user
        return gaussian_scale(self.epsilon, self.delta, float(np.sqrt(m * (m + 1) / 2)))

    def fit(self, data: Interactions, run: Run) -> ItemKNNRecommender:
        """Compute similarities from noisy counts; the noise depends on the run's seed and on ``data``."""
        scale = self.noise_scale
        counted = self._truncated(data, run.seed)
        # Popularity over the whole catalogue: items that nobody has are not to be told from rare ones.
        popularity = np.bincount(counted.items, minlength=data.n_items).astype(np.float64)
        stream = numpy_generator(run.seed, self.model, data.fingerprint, "popularity")
        popularity += scale * stream.standard_normal(data.n_items)
        kept = np.flatnonzero(popularity > self.threshold * scale)
        norms = np.sqrt(popularity[kept])
        similarities = []
        for rows, counts in self._noisy_counts(counted.matrix()[:, kept], data.fingerprint, run.seed):
            denominator = norms[rows, None] * norms + self.shrinkage + self.noise_shrinkage * scale
            found = np.maximum(counts, 0) / denominator
            found[np.arange(len(rows)), rows] = 0.0
            similarities.append(self._plain()._nearest(found))
        among = (sparse.vstack(similarities) if similarities else sparse.csr_array((0, 0))).tocoo()
        similarity = sparse.csr_array(
            (among.data.astype(np.float32), (kept[among.col], kept[among.row])), shape=(data.n_items,) * 2
        )
        return ItemKNNRecommender(similarity, data.matrix())

    def _truncated(self, data: Interactions, seed: int) -> Interactions:
        """Return histories of at most ``items_per_user`` items; nobody's choice hangs on anybody else."""
        keep = np.ones(len(data.items), dtype=np.bool_)
        for user in np.flatnonzero(data.lengths > self.items_per_user):
            begin, end = data.offsets[user], data.offsets[user + 1]
            stream = numpy_generator(seed, self.model, "truncation", data.user_ids[int(user)])
            keep[begin + stream.permutation(end - begin)[self.items_per_user :]] = False
        return data.where(keep)

    def _noisy_counts(
        self, histories: sparse.csr_array, fingerprint: str, seed: int
    ) -> Iterator[tuple[Int64[np.ndarray, "R"], Float64[np.ndarray, "R K"]]]:
        """Yield ranges of the K items and, for each, with how many users they share each of the items.

        Cells (i, j) and (j, i) have one noise; a tile below the diagonal is drawn again as its mirror image.
        On the diagonal stands nothing that may be used.
        """
        n_items, scale = histories.shape[1], self.noise_scale
        by_item = histories.T.tocsr()
        edges = [*range(0, n_items, TILE), n_items]
        for row, (first, last) in enumerate(pairwise(edges)):
            counts = (by_item[first:last] @ histories).toarray().astype(np.float64)
            for column, (left, right) in enumerate(pairwise(edges) if scale else ()):
                place = min(row, column), max(row, column)
                stream = numpy_generator(seed, self.model, fingerprint, "pairs", *place)
                shape = (last - first, right - left)
                noise = stream.standard_normal(shape if row <= column else shape[::-1])
                if row == column:
                    noise = np.triu(noise, 1)
                    noise += noise.T
                counts[:, left:right] += scale * (noise if row <= column else noise.T)
            yield np.arange(first, last), counts

    def _plain(self) -> ItemKNN:
        return ItemKNN(neighbours=self.neighbours, shrinkage=self.shrinkage)

    def restore(self, tensors: Mapping[str, Tensor], *, n_users: int, n_items: int) -> ItemKNNRecommender:
        """Return the recommender with these similarities and histories."""
        return self._plain().restore(tensors, n_users=n_users, n_items=n_items)

    def fold_in(
        self, fitted: Recommender, histories: Interactions, run: Run, *, n_interactions: int
    ) -> ItemKNNRecommender:
        """Return what scores by ``histories`` and the fitted similarities, as it does for any user."""
        return self._plain().fold_in(fitted, histories, run, n_interactions=n_interactions)


class PrivateLFM(BaseModel):
    """A latent factor model whose item vectors are trained by user-level DP-SGD.

    (Abadi et al. 2016, with a user for a sample, as McMahan et al. 2018; the users' vectors are solved for
    locally and never released, as in private alternating least squares, Chien et al. 2021.) The error is
    that of :class:`LFM` with implicit feedback, short of the items' own regularisation: a user's
    ½ Σ_i w_i (t_i - p·q_i)² + ½ λ |p|², with t = w = 1 for her n items. The other I - n have t = 0 and
    w = ``negatives`` n / (I - n): the mean over all draws of n · ``negatives`` unseen items, in place of one
    draw and its variance. λ = ``reg`` n (1 + ``negatives``).

    In each step every user takes part with the probability ``sample_rate``, independently. She takes the p
    that is best for her whole history and the items as they stand, and gives the gradient at it, which is
    the outer product of w ∘ (t - Q p) and p, scaled down to an L2 norm of ``clip`` at most. The sum of these
    and of Gaussian noise with the standard deviation ``clip`` · :func:`noise_multiplier` moves the items. It
    is the sum, not the mean: the number of users is not for publication either.

    Opacus gives the accountant alone. Its ``PrivacyEngine`` would need a user's whole history as one sample
    of a data loader with random numbers of its own, and would hold an items' gradient for each user, (B, I,
    d); an outer product's norm is the product of two norms.

    Args:
        embedding_size: length of user and item vectors.
        negatives: unseen items that weigh as much as an item of the history.
        epochs: there are ``epochs`` / ``sample_rate`` steps.
        sample_rate: probability of a user to take part in a step.
        clip: greatest L2 norm of what a user gives in a step.
        learning_rate: of the sum over a step's users; for more of them take a smaller one.
        reg: L2 regularisation of users' vectors, for each example.
        initial_scale: standard deviation of the items' initial factors.
        epsilon: ε of the item vectors; ``None`` adds no noise and promises nothing: clipping alone.
        delta: δ of the item vectors; well below one over the number of users.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    card: ClassVar[Card] = Card(
        name="private-lfm",
        label="Private LFM",
        order=110,
        sentence="Latent factor model whose item vectors are trained by user-level DP-SGD.",
    )

    model: Literal["private-lfm"] = "private-lfm"
    embedding_size: int = Field(default=8, ge=1)
    negatives: int = Field(default=16, ge=1)
    epochs: int = Field(default=50, ge=1)
    sample_rate: float = Field(default=0.2, gt=0, le=1)
    clip: float = Field(default=1.0, gt=0)
    learning_rate: float = Field(default=0.02, gt=0)
    reg: float = Field(default=0.01, gt=0)
    initial_scale: float = Field(default=0.1, gt=0)
    epsilon: float | None = Field(default=10.0, gt=0)
    delta: float = Field(default=1e-5, ge=SMALLEST_DELTA, lt=1)

    @property
    def steps(self) -> int:
        """Number of steps of the training."""
        return max(1, round(self.epochs / self.sample_rate))

    @property
    def noise_scale(self) -> float:
        """Standard deviation of the noise on each number of a step's sum.

        Raises:
            UsageError: where Opacus is not installed or no noise keeps the promise.
        """
        if self.epsilon is None:
            return 0.0
        return self.clip * noise_multiplier(self.epsilon, self.delta, self.sample_rate, self.steps)

    def fit(self, data: Interactions, run: Run) -> NetworkRecommender:
        """Train item vectors on the CPU; then estimate the users' as :meth:`fold_in` does.

        Raises:
            UsageError: where Opacus is not installed or no noise keeps the promise.
        """
        began = time.perf_counter()
        scale, histories = self.noise_scale, data.matrix().astype(np.float64)
        initial = numpy_generator(run.seed, self.model, "initial")
        items = initial.standard_normal((data.n_items, self.embedding_size)) * self.initial_scale
        lots = numpy_generator(run.seed, self.model, data.fingerprint, "lots")
        noise = numpy_generator(run.seed, self.model, data.fingerprint, "noise")
        for step in range(1, self.steps + 1):
            users = np.flatnonzero(lots.random(data.n_users) < self.sample_rate)
            total = self.clipped_sum(histories[users], items)
            if scale:
                total += scale * noise.standard_normal(total.shape)
            items += self.learning_rate * total
            run.progress(f"training {self.model}", step, self.steps)
        # Rounded as fold-in finds them: nobody's vector may tell by its last bits who was trained on.
        items = items.astype(np.float32).astype(np.float64)
        return self._served(items, data, run.device, seconds=time.perf_counter() - began)

    def clipped_sum(
        self, histories: sparse.csr_array, items: Float64[np.ndarray, "I d"]
    ) -> Float64[np.ndarray, "I d"]:
        """Return what the users of ``histories`` give in one step; one more moves it by ``clip`` at most.

        Args:
            histories: binary, users by items, with at least one item a user.
            items: item vectors as they stand.
        """
        total = np.zeros_like(items)
        for start in range(0, histories.shape[0], USERS_AT_A_TIME):
            part = histories[start : start + USERS_AT_A_TIME]
            users = self._own_vectors(part, items)
            residuals = users @ items.T
            at = np.repeat(np.arange(len(users)), np.diff(part.indptr)), part.indices
            of_seen = 1 - residuals[at]
            residuals *= -self._weights(part)[:, None]
            residuals[at] = of_seen
            norms = np.linalg.norm(residuals, axis=1) * np.linalg.norm(users, axis=1)
            total += residuals.T @ (users * (self.clip / np.maximum(norms, self.clip))[:, None])
        return total

    def _weights(self, histories: sparse.csr_array) -> Float64[np.ndarray, "B"]:
        """Return the weight of each of a user's unseen items, 0 where there are none."""
        seen = np.diff(histories.indptr)
        weights: np.ndarray = self.negatives * seen / np.maximum(histories.shape[1] - seen, 1)
        return weights

    def _own_vectors(
        self, histories: sparse.csr_array, items: Float64[np.ndarray, "I d"]
    ) -> Float64[np.ndarray, "B d"]:
        """Return each user's best vector, by ridge regression on her own history and the items alone."""
        weights, everything = self._weights(histories), items.T @ items
        ridge = self.reg * (1 + self.negatives) * np.diff(histories.indptr)
        left = weights[:, None, None] * everything + ridge[:, None, None] * np.eye(items.shape[1])
        right = np.empty((len(left), items.shape[1]))
        for user, (begin, end) in enumerate(pairwise(histories.indptr)):
            seen = items[histories.indices[begin:end]]
            left[user] += (1 - weights[user]) * (seen.T @ seen)
            right[user] = seen.sum(axis=0)
        return np.linalg.solve(left, right[..., None])[..., 0]

    def _served(
        self, items: Float64[np.ndarray, "I d"], users: Interactions, device: str, *, seconds: float
    ) -> NetworkRecommender:
        """Return what serves ``users`` by these items."""
        histories = users.matrix()
        starts = range(0, users.n_users, USERS_AT_A_TIME)
        vectors = [self._own_vectors(histories[start : start + USERS_AT_A_TIME], items) for start in starts]
        p, q = (
            nn.Parameter(torch.from_numpy(table.astype(np.float32)))
            for table in (np.concatenate(vectors), items)
        )
        network = LFMNetwork(p, q, biases=False).to(device)
        network.eval()
        log = TrainingLog(
            epochs=self.epochs, best_epoch=self.epochs, best_score=0.0, scores=(), seconds=seconds
        )
        return NetworkRecommender(
            network, n_users=users.n_users, n_items=users.n_items, device=device, log=log
        )

    def fold_in(
        self, fitted: Recommender, histories: Interactions, run: Run, *, n_interactions: int
    ) -> NetworkRecommender:
        """Estimate users whom ``fitted`` has never seen as it estimated its own; nothing here is random."""
        network = of_type(LFMNetwork, of_type(NetworkRecommender, fitted).network)
        items = network.items.learned().cpu().numpy().astype(np.float64)
        return self._served(items, histories, run.device, seconds=0.0)

    def restore(self, tensors: Mapping[str, Tensor], *, n_users: int, n_items: int) -> NetworkRecommender:
        """Return the network with these weights, on the CPU."""
        p, q = (nn.Parameter(torch.zeros(n, self.embedding_size)) for n in (n_users, n_items))
        network = LFMNetwork(p, q, biases=False)
        network.load_state_dict(dict(tensors))
        network.eval()
        return NetworkRecommender(network, n_users=n_users, n_items=n_items, device="cpu", log=None)
