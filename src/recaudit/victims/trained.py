"""Models that are fitted here as victims."""

from dataclasses import dataclass

from recaudit.data.interactions import Interactions
from recaudit.models.fitting import fit_node
from recaudit.models.protocol import ReadsHistories, Recommender, RecommenderSpec, TopK, reading
from recaudit.models.ranking import top_k
from recaudit.models.registry import model_card
from recaudit.pipeline.node import Node
from recaudit.pipeline.run import Run
from recaudit.victims.protocol import Abilities, Queries
from recaudit.vocabulary import Card

__all__ = ["FittedVictim", "TrainedVictim"]


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedVictim:
    """A fitted recommender that serves the users it was fitted on.

    Args:
        recommender: the model.
        seen: the histories that it was fitted on: their items are left out of the users' lists.
    """

    recommender: Recommender
    seen: Interactions

    @property
    def abilities(self) -> Abilities:
        """Histories are read where the model reads any; nothing in a list is drawn at random."""
        return Abilities(by_history=isinstance(self.recommender, ReadsHistories))

    def recommend(self, queries: Queries, k: int) -> TopK:
        """Return the best items that a history does not hold; equal scores are ranked by item number.

        Raises:
            IndexError: where a user does not exist.
            ValueError: where the model reads no histories, or those shown are over another catalogue.
        """
        model, seen, users = self.recommender, self.seen, queries.numbers
        if queries.histories is not None:
            seen = queries.histories
            if not self.abilities.by_history:
                raise ValueError(f"{type(model).__name__} knows its users by number alone")
            if seen.n_items != model.n_items:
                raise ValueError(
                    f"histories over {seen.n_items} items were shown; the catalogue has {model.n_items}"
                )
            model = reading(model, seen)
        elif len(users) and not (users.min() >= 0 and users.max() < model.n_users):
            raise IndexError(f"users must lie in 0..{model.n_users - 1}; found {users.min()}..{users.max()}")
        return TopK(items=top_k(model, users, seen, k).items)  # the scores stay here


@dataclass(frozen=True, kw_only=True)
class TrainedVictim:
    """A victim that is trained here: any model, fitted to the target's interactions.

    Args:
        model: the model's hyperparameters.
    """

    model: RecommenderSpec

    @property
    def card(self) -> Card:
        """The model's card."""
        return model_card(self.model)

    def model_dump_json(self) -> str:
        """Return the model's hyperparameters as JSON."""
        return self.model.model_dump_json()

    def fitted(self, data: Interactions, run: Run) -> Node[Recommender]:
        """Return the node of the model that is asked."""
        return fit_node(self.model, data, run.child("victim"), of="the victim")

    def refitted(self, data: Interactions, run: Run) -> Node[Recommender]:
        """Return the node of the same model, trained with another seed."""
        return fit_node(self.model, data, run.child("retrained"), of="the ceiling")

    def open(self, data: Interactions, run: Run) -> FittedVictim:
        """Return the model fitted to ``data``, or what the run's cache has of it."""
        return FittedVictim(recommender=run.cache.get(self.fitted(data, run)), seen=data)

    def retrained(self, data: Interactions, run: Run) -> FittedVictim:
        """Return the model fitted to ``data`` with another seed."""
        return FittedVictim(recommender=run.cache.get(self.refitted(data, run)), seen=data)
