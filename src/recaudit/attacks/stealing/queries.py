"""QSD as its authors built it: histories synthesised by asking the victim, and a clone of their lists.

Yue, He, Zeng and McAuley: Black-Box Attacks on Sequential Recommenders via Data-Free Model Extraction, RecSys
2021. Zhu et al. (2023, Table 8) compare their attacks with it.
"""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from recaudit.attacks.protocol import Knowledge
from recaudit.attacks.stealing.lists import ListedItems, stealing_loss
from recaudit.attacks.stealing.synthesis import Drawing, Synthesised, synthesised
from recaudit.errors import UsageError
from recaudit.metrics.ranking import agreement
from recaudit.models.protocol import TrainingLog
from recaudit.models.ranking import top_k
from recaudit.models.sequences import Prefixes, PrefixScores, SequenceNetwork
from recaudit.models.sequential import SequentialRecommender, SequentialSpec
from recaudit.models.trained import TrainedSpec
from recaudit.models.training import Stopping, train
from recaudit.oracle.oracle import Oracle
from recaudit.pipeline.run import Run
from recaudit.rng import torch_generator
from recaudit.vocabulary import Card

__all__ = ["QSD5", "QSD10", "QSD15", "QSD20", "QSD25", "QSD30", "QSD30_RANDOM", "SyntheticQueries"]


class SyntheticQueries(BaseModel):
    """QSD: what is asked with synthetic histories, and how a clone learns from the lists (Yue et al. 2021).

    The attack has no data: of what the thief knows it takes the catalogue's size, and how many users' lists
    PTQ asks for. It asks for ``times`` as many lists, one for each prefix of its histories, those that it
    stops by among them. The clone learns each list by two margin-ranking losses, their distillation loss: an
    item scores above the next one of its list, and above an item drawn from outside the list.

    What differs from Yue et al. and their public code:

    - Their histories are as long as the target reads (200 items on MovieLens, 50 on sparser data), and they
      ask with thousands of them. A few thousand lists, as here, would be some twenty histories of 200 items,
      grown from as many first items; 50 is the shorter of their lengths.
    - Histories shorter than what the clone could read leave its further positions untrained, and real
      histories fill them. So the clone reads no more items of a history than it learned from (``cut``).
      SASRec clones of a SASRec that reads 50 items, from 1,800 lists on ml-1m-timed, agreed with it at 0.37
      so, from histories of 20 items and of 50 alike, and without the cut, from histories of 20, at 0.25 (one
      run each).
    - Their target may list what a history holds, so that such items are drawn as negatives too. An oracle
      never lists them, so that their absence says nothing: here they are not drawn.
    - They take the full histories' lists to stop by and train on those of the shorter prefixes; here whole
      histories are kept back, for prefixes of one history are alike.
    - Their histories may hold an item twice; here none does, as no user's does.
    - Their code draws negatives from all items, if less often from those of the list; here, as in the paper,
      they come from outside it. Its lists are of 100 items, here of ``k``.

    Args:
        times: lists to ask for, in multiples of the queried and validation users together: QSDk asks k times.
        length: items of a synthetic history; no longer than the clone reads.
        cut: have the clone read the last ``length`` items of a history, though its model could read more.
        drawing: how a history grows; ``random`` is the authors' baseline.
        validation_share: of the histories, kept for stopping, at least one; their lists are paid for too.
        ranking_margin: between neighbours in a list; 0.5 in the authors' code and in Zhu et al. (A.1.4).
        positive_item_margin: between listed and drawn items; 0.5 likewise.
        negatives: items drawn for each listed one; one in the authors' code.
        stopping: an epoch is a pass over all lists, or as many as fill eight batches; judged by the
            agreement with the kept histories' lists.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    times: float = Field(default=30, gt=0)
    length: int = Field(default=50, ge=1)
    cut: bool = True
    drawing: Drawing = "autoregressive"
    validation_share: float = Field(default=0.1, gt=0, lt=1)
    ranking_margin: float = Field(default=0.5, ge=0)
    positive_item_margin: float = Field(default=0.5, ge=0)
    negatives: int = Field(default=1, ge=1)
    stopping: Stopping = Stopping(epochs=500, evaluate_every=5, patience=30)

    def n_lists(self, n_users: int) -> int:
        """Return how many lists are asked for where PTQ would ask for those of ``n_users``."""
        return round(self.times * n_users)

    @property
    def card(self) -> Card:
        """The card; the paper's name where the settings are the paper's."""
        random = self.drawing == "random"
        items = f"{self.length:,} {'random ' if random else ''}item{'' if self.length == 1 else 's'}"
        histories = (
            f"Shows histories of {items}"
            if random
            else f"Grows histories of {items} by asking: a random item first, then one drawn from each list "
            "that comes back"
        )
        often = "as many lists as PTQ" if self.times == 1 else f"{self.times:g} times as many lists as PTQ"
        name = f"QSD{self.times:g}{'(random)' if random else ''}"
        return Card(
            name=name,
            label=name,
            order=10 + min(round(self.times), 80),  # after QSD, before the attacks with histories
            sentence=f"{histories}. Asks for {often}, and learns from them alone to rank what they rank.",
            needs=("lists", "shown histories"),
        )

    def asks(self, knowledge: Knowledge) -> int:
        """Return the number of lists that the synthetic histories are paid with.

        Raises:
            UsageError: where the clone reads no histories, or histories of that length cannot be read, be
                grown or be divided into those to learn from and to stop by.
        """
        lists = self.n_lists(len(knowledge.queried) + len(knowledge.validation))
        self._checked(knowledge, lists)
        return lists

    def steal(self, knowledge: Knowledge, oracle: Oracle, run: Run) -> SequentialRecommender:
        """Return the clone; asks for the lists of synthetic histories, as many a call as there are histories.

        Raises:
            BudgetExceeded: before any list is served, where the budget does not allow them all.
            UsageError: before any list is served, where victim or clone read no histories, or histories of
                that length cannot be read, be grown or be divided into those to learn from and to stop by.
        """
        lists = self.asks(knowledge)
        clone = self._reader(knowledge.clone)
        oracle.check_reads_histories()
        oracle.check_budget(lists)
        found = synthesised(
            oracle,
            n_items=knowledge.n_items,
            lists=lists,
            length=self.length,
            drawing=self.drawing,
            seed=run.seed,
        )
        generator = torch_generator(run.seed, "clone", "initial")
        network = clone.network(0, knowledge.n_items, generator)
        log = self._train(network.to(run.device), clone, found, run.child("synthetic queries"))
        return clone.recommender(network, knowledge.known, device=run.device, log=log)

    def _reader(self, clone: TrainedSpec) -> SequentialSpec:
        """Return the clone's model, that reads as much as it is meant to."""
        if isinstance(clone, SequentialSpec):
            if not self.cut:
                return clone
            max_length = min(self.length, clone.max_length)
            return clone.model_copy(update={"max_length": max_length})
        raise UsageError(
            f"clone: {clone.model!r} knows users by number alone and cannot learn from synthetic "
            "histories; take a clone that reads histories (sasrec, stamp, gru4rec)"
        )

    def _checked(self, knowledge: Knowledge, lists: int) -> None:
        """Refuse a clone that cannot learn from that many lists.

        Raises:
            UsageError: which says why.
        """
        clone, length, n_items = self._reader(knowledge.clone), self.length, knowledge.n_items
        if length > clone.max_length:
            raise UsageError(
                f"length={length}: the clone reads the last {clone.max_length} items of a history; lower "
                "length or raise the clone's max_length"
            )
        if length > n_items:
            raise UsageError(f"length={length}: the catalogue has {n_items} items; lower length")
        if lists <= length:
            raise UsageError(
                f"times={self.times:g} asks for {lists} lists, of one history of {length} items at "
                "most, and no history is left to stop by; lower length or raise times"
            )

    def _train(
        self, network: SequenceNetwork, clone: SequentialSpec, found: Synthesised, run: Run
    ) -> TrainingLog:
        """Train on the lists of all histories but the first few, which judge.

        Where that would leave the last one alone, which may be shorter than the others, they change places.
        """
        n_sequences = found.sequences.n_users
        n_kept = min(max(1, round(self.validation_share * n_sequences)), n_sequences - 1)
        kept, learned = found[:n_kept], found[n_kept:]
        if learned.sequences.lengths.max() < self.length:
            kept, learned = learned, kept
        judged = kept.prefixes
        judge = clone.recommender(network, judged, device=run.device)
        users, k = np.arange(judged.n_users), kept.lists.shape[1]

        def validate() -> float:
            return float(np.nanmean(agreement(kept.lists, top_k(judge, users, judged, k).items)))

        n_prefixes = len(learned.lists)
        examples = ListedItems(
            users=np.arange(n_prefixes),
            lists=learned.lists,
            excluded=learned.prefixes,
            n_users=n_prefixes,
            n_items=judged.n_items,
            negatives=self.negatives,
            examples=clone.optimisation.epoch_examples,
        )
        objective = PrefixScores(
            network=network,
            prefixes=Prefixes.all_of(learned.sequences, clone.max_length),
            examples=examples,
            of_scores=stealing_loss(
                "hinge", "hinge", self.positive_item_margin, ranking_margin=self.ranking_margin
            ),
        )
        return train(
            network,
            objective,
            validate,
            optimisation=clone.optimisation,
            stopping=self.stopping,
            run=run,
            stage="clone, synthetic queries",
        )


QSD5, QSD10, QSD15, QSD20, QSD25, QSD30 = (SyntheticQueries(times=times) for times in (5, 10, 15, 20, 25, 30))
QSD30_RANDOM = SyntheticQueries(times=30, drawing="random")
