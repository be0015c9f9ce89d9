"""The surrogate attack: one clone, whose settings are Zhu et al.'s attacks (2023, section 4, Algorithm 1)."""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from recaudit.attacks.protocol import Knowledge
from recaudit.attacks.stealing.fusion import FusedItems
from recaudit.attacks.stealing.lists import ListedItems, PairLoss, stealing_loss
from recaudit.metrics.ranking import agreement
from recaudit.models.fitting import fit_node, packed, spec_inputs, unpacked
from recaudit.models.networks import ItemTable, ItemVectors
from recaudit.models.protocol import Recommender, TopK, of_type
from recaudit.models.ranking import top_k
from recaudit.models.trained import FittedNetwork, ItemVectorMaker, plain_items
from recaudit.models.training import Stopping, train
from recaudit.oracle.oracle import Oracle
from recaudit.pipeline.keys import Artifact
from recaudit.pipeline.node import Codec, Node
from recaudit.pipeline.run import Run
from recaudit.rng import torch_generator
from recaudit.victims.protocol import Queries
from recaudit.vocabulary import Card

__all__ = ["PTA", "PTAQ", "PTAQ_PRE", "PTA_PRE", "PTD", "PTQ", "QSD", "Surrogate"]

_START = "Starts from the items’ vectors of a model trained on the auxiliary data"
_WEIGHS_IN = "and weighs in items’ vectors learned from the auxiliary data."

PAPER: Mapping[tuple[bool, str, bool], tuple[str, int, str]] = {
    (False, "none", True): ("QSD", 0, "Learns from the victim’s lists alone to rank what they rank."),
    (False, "attention", True): ("QSDA", 1, f"Learns from the victim’s lists {_WEIGHS_IN}"),
    (False, "initial", True): ("QSDA(Pre)", 2, f"{_START}, then learns from the victim’s lists."),
    (True, "none", False): (
        "PTD",
        100,
        "Trains the same kind of model on the known histories and asks for nothing.",
    ),
    (True, "none", True): (
        "PTQ",
        110,
        "Trains on the known histories, then learns to rank as the victim’s lists do.",
    ),
    (True, "attention", False): ("PTA", 120, f"Trains on the known histories {_WEIGHS_IN}"),
    (True, "initial", False): ("PTA(Pre)", 130, f"{_START}, then trains on the known histories."),
    (True, "attention", True): (
        "PTAQ",
        140,
        "Uses all three: known histories, auxiliary data, and the victim’s lists.",
    ),
    (True, "initial", True): (
        "PTAQ(Pre)",
        150,
        f"{_START}, trains on the known histories, then learns from the victim’s lists.",
    ),
}
"""Name, order and sentence by what is used: interactions, auxiliary data, lists. QSDA is no paper's."""


class Surrogate(BaseModel):
    """What a stealing attack uses, and how its clone learns.

    Phase one trains the clone on the known users' interactions as the clone's own model trains, stopped on
    a validation slice of them. Phase two fine-tunes it on the queried users' lists, stopped on the agreement
    with the lists of the attacker's validation users; without phase one (QSD), users outside the queries have
    no trained vector, and it stops on the agreement with the queried lists themselves. A clone that reads
    histories has no users' vectors: it learns the lists as answers to the known users' histories, in QSD too.

    Args:
        interactions: train on the known users' interactions (phase one).
        auxiliary: leave auxiliary data alone, fuse the auxiliary model's item vectors by attention, or begin
            from them ("initial": PTA(Pre) and PTAQ(Pre) of Table 5).
        lists: learn from the victim's lists (phase two).
        ranking_loss: compares neighbours in a list (L_r, Eq. 11).
        positive_item_loss: compares listed with drawn items (L_p, Eq. 12).
        margin: of the hinge loss.
        negatives: items drawn for each listed one; the paper leaves their number open.
        stopping: of phase one.
        lists_stopping: of phase two. Its patience is longer: a clone that learns from lists alone sits on a
            popularity plateau for some 500 steps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    interactions: bool = True
    auxiliary: Literal["none", "attention", "initial"] = "none"
    lists: bool = False
    ranking_loss: PairLoss = "bpr"
    positive_item_loss: PairLoss = "hinge"
    margin: float = Field(default=0.5, ge=0)
    negatives: int = Field(default=1, ge=1)
    stopping: Stopping = Stopping(epochs=2000, evaluate_every=10, patience=40)
    lists_stopping: Stopping = Stopping(epochs=2000, evaluate_every=10, patience=100)

    @model_validator(mode="after")
    def _learns_from_something(self) -> "Surrogate":
        if not (self.interactions or self.lists):
            raise ValueError("an attack must learn from interactions, from lists or from both")
        return self

    @property
    def card(self) -> Card:
        """The card of the paper's attack that uses the same."""
        name, order, sentence = PAPER[self.interactions, self.auxiliary, self.lists]
        used = {"histories": self.interactions, "auxiliary": self.auxiliary != "none", "lists": self.lists}
        needs = tuple(need for need, uses in used.items() if uses)
        return Card(name=name, label=name, order=order, sentence=sentence, needs=needs)

    def asks(self, knowledge: Knowledge) -> int:
        """Return the number of queried users and, where these judge, of validation users."""
        judges = len(knowledge.validation) if self.interactions else 0
        return len(knowledge.queried) + judges if self.lists else 0

    def steal(self, knowledge: Knowledge, oracle: Oracle, run: Run) -> Recommender:
        """Return the clone; asks the oracle once for the lists of all queried and validation users.

        Raises:
            BudgetExceeded: before any list is served, where the budget does not allow that.
            ValueError: where there are no lists to learn from or to stop by.
        """
        if not self.lists:
            return self._phase_one(knowledge, run)
        asked = knowledge.queried
        if not len(asked) or (self.interactions and not len(knowledge.validation)):
            raise ValueError("learning from lists needs queried users, and validation users to stop by")
        if self.interactions:
            asked = np.concatenate([asked, knowledge.validation])
        lists = oracle.query(Queries(users=knowledge.accounts[asked]))
        clone = self._phase_one(knowledge, run) if self.interactions else self._untrained(knowledge, run)
        return self._phase_two(clone, lists, asked, knowledge, run)

    def nodes(self, knowledge: Knowledge, run: Run) -> tuple[Node[Any], ...]:
        """Return the nodes whose results the attack takes and other attacks may share."""
        auxiliary = () if self.auxiliary == "none" else (self._auxiliary_node(knowledge, run),)
        return (*auxiliary, *((self._phase_one_node(knowledge, run),) if self.interactions else ()))

    def _restored(self, artifact: Artifact, knowledge: Knowledge, run: Run) -> FittedNetwork:
        """Return the clone that ``artifact`` was packed from."""
        known = knowledge.known

        def make_items(name: str, table: nn.Parameter) -> ItemVectors:
            if self.auxiliary != "attention":
                return plain_items(name, table)
            # What the artifact holds takes the place of all these values.
            return FusedItems(table, table.detach().clone(), torch_generator(0))

        network = knowledge.clone.network(known.n_users, known.n_items, torch_generator(0), make_items)
        network.load_state_dict(dict(artifact.tensors))
        network.eval()
        clone = knowledge.clone.recommender(network, known)
        unpacked(clone, artifact, run)
        return clone

    def _untrained(self, knowledge: Knowledge, run: Run) -> FittedNetwork:
        known, generator = knowledge.known, torch_generator(run.seed, "clone", "initial")
        make_items = self._item_maker(knowledge, run)
        network = knowledge.clone.network(known.n_users, known.n_items, generator, make_items)
        return knowledge.clone.recommender(network.to(run.device), known, device=run.device)

    def _item_maker(self, knowledge: Knowledge, run: Run) -> ItemVectorMaker:
        """Return what makes the clone's item vectors, training the auxiliary model where it is needed."""
        if self.auxiliary == "none":
            return plain_items
        tables = self._auxiliary_tables(knowledge, run)
        common = None if knowledge.common is None else torch.tensor(knowledge.common)

        def make_items(name: str, table: nn.Parameter) -> ItemVectors:
            if self.auxiliary == "initial":
                begin = tables[name].clone() if common is None else tables[name].where(common[:, None], table)
                return ItemTable(nn.Parameter(begin.detach()))
            generator = torch_generator(run.seed, "clone", "attention", name)
            return FusedItems(table, tables[name], generator, common)

        return make_items

    def _auxiliary_node(self, knowledge: Knowledge, run: Run) -> Node[Recommender]:
        return fit_node(knowledge.clone, knowledge.auxiliary, run.child("auxiliary"), of="auxiliary users")

    def _auxiliary_tables(self, knowledge: Knowledge, run: Run) -> Mapping[str, Tensor]:
        """Return the item vectors of a model of the clone's kind, trained on the auxiliary data."""
        model = of_type(FittedNetwork, run.cache.get(self._auxiliary_node(knowledge, run)))
        return {name: vectors.learned().cpu() for name, vectors in model.network.item_vectors().items()}

    def _phase_one_node(self, knowledge: Knowledge, run: Run) -> Node[FittedNetwork]:
        """Return the node that trains on interactions; attacks that share this phase share its result."""
        spec = knowledge.clone.model_copy(update={"stopping": self.stopping})
        known, auxiliary = knowledge.known, self.auxiliary
        inputs = {
            "spec": spec_inputs(spec),
            "auxiliary": auxiliary,
            "data": known.name,
            "known": known.fingerprint,
            "seed": run.seed,
            "device": run.device,
        }
        if auxiliary != "none":
            common = b"" if knowledge.common is None else knowledge.common.tobytes()
            inputs["common"] = hashlib.sha256(common).hexdigest()

        def compute() -> FittedNetwork:
            network = self._untrained(knowledge, run).network
            return spec.fit_network(network, known, run.child("phase one"), stage="clone, interactions")

        return Node(
            kind="clone",
            inputs=inputs,
            needs={} if auxiliary == "none" else {"auxiliary": self._auxiliary_node(knowledge, run)},
            compute=compute,
            codec=Codec(pack=packed, unpack=lambda artifact: self._restored(artifact, knowledge, run)),
            label=f"training a {spec.model} clone on interactions",
        )

    def _phase_one(self, knowledge: Knowledge, run: Run) -> FittedNetwork:
        """Return a copy of its own of the clone that is trained on interactions."""
        return run.cache.get(self._phase_one_node(knowledge, run))

    def _phase_two(
        self, clone: FittedNetwork, lists: TopK, asked: np.ndarray, knowledge: Knowledge, run: Run
    ) -> FittedNetwork:
        """Fine-tune on the queried users' lists; ``lists`` are the ``asked`` users', queried ones first."""
        known = knowledge.known
        n_queried = len(knowledge.queried)
        judges = slice(n_queried, None) if self.interactions else slice(None)
        judged_users, judged_lists = asked[judges], lists.items[judges]

        def validate() -> float:
            mine = top_k(clone, judged_users, known, judged_lists.shape[1])
            return float(np.nanmean(agreement(judged_lists, mine.items)))

        examples = ListedItems(
            users=knowledge.queried,
            lists=lists.items[:n_queried],
            excluded=known if self.interactions else None,
            n_users=known.n_users,
            n_items=known.n_items,
            negatives=self.negatives,
            examples=knowledge.clone.optimisation.epoch_examples,
        )
        loss = stealing_loss(self.ranking_loss, self.positive_item_loss, self.margin)
        clone.log = train(
            clone.network,
            knowledge.clone.pair_objective(clone.network, known, examples, loss),
            validate,
            optimisation=knowledge.clone.optimisation,
            stopping=self.lists_stopping,
            run=run.child("phase two"),
            stage="clone, lists",
        )
        return clone


QSD = Surrogate(interactions=False, lists=True, ranking_loss="hinge")
PTD = Surrogate()
PTQ = Surrogate(lists=True)
PTA = Surrogate(auxiliary="attention")
PTAQ = Surrogate(auxiliary="attention", lists=True)
PTA_PRE = Surrogate(auxiliary="initial")
PTAQ_PRE = Surrogate(auxiliary="initial", lists=True)
