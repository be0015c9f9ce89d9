"""A stealing attack: co-occurrence of items in known histories and in queried lists."""

from typing import ClassVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from recaudit.attacks.protocol import Knowledge
from recaudit.models.protocol import Recommender
from recaudit.oracle.oracle import Oracle
from recaudit.pipeline.run import Run
from recaudit.victims.protocol import Queries
from recaudit.vocabulary import Card


class ScoreTable:
    """A clone whose scores are at hand: one row a user."""

    log = None

    def __init__(self, scores: torch.Tensor) -> None:
        self.scores = scores
        self.n_users, self.n_items = scores.shape

    def score(self, users: np.ndarray) -> torch.Tensor:
        """Return the rows of the users, as a new tensor."""
        return self.scores[torch.from_numpy(users)]

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return all that was learned."""
        return {"scores": self.scores}


class CoOccurrence(BaseModel):
    """Scores an item by how often it stands beside the items of a user.

    Two items stand beside each other where one user has both, in the history or in the queried list.

    Args:
        list_weight: how much an item of a list counts beside an item of a history.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    card: ClassVar[Card] = Card(
        name="co-occurrence",
        label="Co-occurrence",
        order=500,
        sentence="Scores an item by how often it stands beside the user's items in histories and queried lists.",
        needs=("histories", "lists"),
    )

    list_weight: float = Field(default=1.0, ge=0)

    def asks(self, knowledge: Knowledge) -> int:
        """Return the number of lists that the attack asks for: one a queried user."""
        return len(knowledge.queried)

    def steal(self, knowledge: Knowledge, oracle: Oracle, run: Run) -> Recommender:
        """Return the clone; nothing is drawn at random."""
        matrix = np.asarray(knowledge.known.matrix().todense(), dtype=np.float32)
        queried = knowledge.queried
        lists = oracle.query(Queries(users=knowledge.accounts[queried])).items
        for user, items in zip(queried.tolist(), lists, strict=True):
            matrix[user, items[items >= 0]] += self.list_weight  # no list holds an item of the history
        beside = matrix.T @ matrix
        counts = np.sqrt(np.diag(beside)) + 1
        return ScoreTable(torch.from_numpy(matrix @ (beside / np.outer(counts, counts))))
