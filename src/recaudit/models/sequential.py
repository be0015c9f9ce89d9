"""Recommenders that read histories: how they are trained, and asked."""

from abc import ABC
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float32, Int64
from pydantic import Field
from torch import Tensor, nn

from recaudit.data.interactions import Interactions
from recaudit.errors import UsageError
from recaudit.metrics.ranking import ndcg
from recaudit.models.protocol import Recommender, TrainingLog, of_type
from recaudit.models.ranking import FEWEST_ROWS, top_k
from recaudit.models.sampling import Examples
from recaudit.models.sequences import (
    BUCKET,
    NextItems,
    Prefixes,
    PrefixScores,
    SequenceLoss,
    SequenceNetwork,
    padded,
)
from recaudit.models.trained import FittedNetwork, TrainedSpec
from recaudit.models.training import Stopping, train
from recaudit.pipeline.run import Run
from recaudit.rng import numpy_generator

__all__ = ["SequentialRecommender", "SequentialSpec"]

READ_AT_A_TIME = 64
"""Histories that are encoded at once when a model is asked: their activations stay in cache."""

VALIDATION_K = 50
VALIDATION_USERS = 2000
VALIDATION_PREDICTIONS = 1000


class SequentialRecommender(FittedNetwork):
    """A fitted network that reads histories.

    Args:
        network: in evaluation mode when it is asked.
        n_items: number of items in its catalogue.
        max_length: how many of a history's last items it reads.
        histories: of the users whom it is asked for, ``None`` where it has been shown none yet.
        device: where the network is.
        log: how its training went.
    """

    network: SequenceNetwork

    def __init__(
        self,
        network: SequenceNetwork,
        *,
        n_items: int,
        max_length: int,
        histories: Interactions | None,
        device: str,
        log: TrainingLog | None,
    ) -> None:
        super().__init__(network, n_items=n_items, device=device, log=log)
        self.max_length = max_length
        self.histories = histories

    @property
    def n_users(self) -> int:
        """Number of users whose histories it has been shown."""
        return 0 if self.histories is None else self.histories.n_users

    def shown(self, histories: Interactions) -> "SequentialRecommender":
        """Return the same model for the users of ``histories``; the network is shared.

        Raises:
            UsageError: where the histories are over another catalogue.
        """
        if histories.n_items != self.n_items:
            raise UsageError(
                f"histories over {histories.n_items} items cannot be read by a model of {self.n_items}; "
                "take histories over the model's own catalogue"
            )
        return SequentialRecommender(
            self.network,
            n_items=self.n_items,
            max_length=self.max_length,
            histories=histories,
            device=self.device,
            log=self.log,
        )

    def score(self, users: Int64[np.ndarray, "B"]) -> Float32[Tensor, "B I"]:
        """Return the scores of all items after the users' histories, on the network's device.

        A user's state does not depend on who else is asked for, nor does a list of :func:`top_k`; scores of
        fewer than eight users at once, and those of fused item vectors, may differ in the last bit.

        Raises:
            UsageError: where it has been shown no histories.
        """
        if self.histories is None:
            raise UsageError(
                "a model that reads histories was asked for users whose histories it has not seen"
            )
        lengths = np.minimum(self.histories.lengths[users], self.max_length)
        ends = self.histories.offsets[1:][users]
        # Every user is padded to a length that depends on nobody else.
        padded_to = np.minimum(-(-lengths // BUCKET) * BUCKET, self.max_length)
        states: Tensor | None = None
        with torch.no_grad():
            for length in np.unique(padded_to):
                alike = np.flatnonzero(padded_to == length)
                for start in range(0, len(alike), READ_AT_A_TIME):
                    rows = alike[start : start + READ_AT_A_TIME]
                    found = self._read(ends[rows], lengths[rows], int(length))
                    if states is None:
                        states = found.new_empty(len(users), found.shape[1])
                    states[torch.from_numpy(rows).to(self.device)] = found
            assert states is not None, "nobody was asked for"
            return self.network.all_scores(states)

    def _read(self, ends: np.ndarray, lengths: np.ndarray, width: int) -> Float32[Tensor, "B D"]:
        """Return the last states of histories, padded to ``width`` items and to a multiple of eight rows."""
        assert self.histories is not None
        items = padded(self.histories, ends, lengths)
        rows = -len(items) % FEWEST_ROWS  # whose products round alike, whatever the vectors' length
        items = nn.functional.pad(items, (0, width - items.shape[1], 0, rows)).to(self.device)
        chosen = torch.arange(len(ends), device=self.device)
        return self.network.states(items)[chosen, torch.from_numpy(lengths - 1).to(self.device)]


class SequentialSpec(TrainedSpec[SequenceNetwork], ABC):
    """Hyperparameters of networks that read histories.

    Args:
        embedding_size: length of item vectors and of states.
        negatives: items drawn for each target, where the loss takes few.
        shared_negatives: items drawn for all targets of a batch, where the loss takes many: TOP1 (Hidasi et
            al. 2016), TOP1-max and BPR-max (Hidasi and Karatzoglou 2018, who draw 2,048 of far more items,
            weighed by their popularity; here they are drawn uniformly).
        max_length: how many of a history's last items are read.
        loss: ``cross-entropy`` over all items, or a loss of sampled negatives.
        optimisation: Adam's settings; a batch's examples are its targets.
        stopping: when training ends, judged by NDCG@50 of the next item among all those that the history does
            not hold. The next items are the last one of each of at most 2,000 users, or several last ones of
            fewer than 1,000 users, which are left out of the training.
    """

    reads_histories: ClassVar[bool] = True

    max_length: int = Field(default=200, ge=1)
    loss: SequenceLoss = "cross-entropy"
    shared_negatives: int = Field(default=512, ge=1)
    stopping: Stopping = Stopping(epochs=200, evaluate_every=2, patience=10)

    def recommender(
        self,
        network: SequenceNetwork,
        histories: Interactions,
        *,
        device: str = "cpu",
        log: TrainingLog | None = None,
    ) -> SequentialRecommender:
        """Return ``network`` as a recommender that is shown ``histories``."""
        return SequentialRecommender(
            network,
            n_items=histories.n_items,
            max_length=self.max_length,
            histories=histories,
            device=device,
            log=log,
        )

    def pair_objective(
        self,
        network: SequenceNetwork,
        histories: Interactions,
        examples: Examples,
        of_scores: Callable[..., Float32[Tensor, ""]],
    ) -> PrefixScores:
        """Return the objective of the scores of items after whole histories."""
        prefixes = Prefixes.whole(histories, self.max_length)
        return PrefixScores(network=network, prefixes=prefixes, examples=examples, of_scores=of_scores)

    def fit_network(
        self, network: SequenceNetwork, data: Interactions, run: Run, *, stage: str
    ) -> SequentialRecommender:
        """Train ``network`` in place on ``data``, short of the last items; return it as a recommender.

        Raises:
            UsageError: where no history has items to learn from and an item to be judged by.
        """
        network.to(run.device)
        watched = self.recommender(network, data, device=run.device)
        known, prefixes, following = last_items(data)
        objective = NextItems(
            network=network,
            histories=known,
            max_length=self.max_length,
            loss_name=self.loss,
            negatives=self.negatives,
            shared_negatives=self.shared_negatives,
            examples=self.optimisation.epoch_examples,
        )
        if objective.n_targets == 0 or prefixes is None:
            raise UsageError(
                f"{stage}: no history of {data.name} has three items or more (the longest has "
                f"{data.lengths.max()}): two to learn from and one to be judged by; take longer histories"
            )
        k = min(VALIDATION_K, max(1, data.n_items // 8))
        reader, users = watched.shown(prefixes), np.arange(prefixes.n_users)
        offsets = np.arange(prefixes.n_users + 1)

        def validate() -> float:
            return float(ndcg(top_k(reader, users, prefixes, k).items, offsets, following).mean())

        watched.log = train(
            network,
            objective,
            validate,
            optimisation=self.optimisation,
            stopping=self.stopping,
            run=run,
            stage=stage,
        )
        return watched

    def fold_in(
        self, fitted: Recommender, histories: Interactions, run: Run, *, n_interactions: int
    ) -> SequentialRecommender:
        """Return ``fitted`` shown ``histories``: such a model serves strangers as it serves its own users."""
        return of_type(SequentialRecommender, fitted).shown(histories)

    def restore(self, tensors: Mapping[str, Tensor], *, n_users: int, n_items: int) -> SequentialRecommender:
        """Return the network with these weights, on the CPU; it has yet to be shown histories."""
        network = self.network(n_users, n_items, torch.Generator())
        network.load_state_dict(dict(tensors))
        network.eval()
        return SequentialRecommender(
            network, n_items=n_items, max_length=self.max_length, histories=None, device="cpu", log=None
        )


def last_items(data: Interactions) -> tuple[Interactions, Interactions | None, np.ndarray]:
    """Cut the last items off the histories that have three or more, to judge a training by.

    Returns:
        The histories without them; prefixes of the histories, one a user, each up to one of these items
        (``None`` where there are none); and the items that come next.
    """
    users = np.flatnonzero(data.lengths > 2)
    if len(users) > VALIDATION_USERS:
        chosen = numpy_generator(0, "validation users", data.fingerprint).permutation(len(users))
        users = users[np.sort(chosen[:VALIDATION_USERS])]
    if not len(users):
        return data, None, np.zeros(0, dtype=np.int32)
    wanted = -(-VALIDATION_PREDICTIONS // len(users))
    # A tenth of a history at most, and one item of a short one.
    counts = np.minimum(wanted, np.maximum(1, data.lengths[users] // 10))
    cut_at = data.offsets[1:].copy()
    cut_at[users] -= counts
    keep = np.arange(len(data.items)) < cut_at[data.users]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    following = np.repeat(cut_at[users], counts) + within
    return data.where(keep), data.up_to(following), data.items[following]
