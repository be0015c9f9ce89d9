"""Learning from the victim's lists: what is drawn from them, and the loss (Zhu et al. 2023, section 4.3)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from recaudit.data.interactions import Interactions
from recaudit.models import losses
from recaudit.models.sampling import Membership, shuffled_passes

__all__ = ["ListedItems", "PairLoss", "stealing_loss"]

PairLoss = Literal["bpr", "hinge"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ListedItems:
    """Every listed item once a pass, with the next item of its list and items drawn from outside the list.

    An epoch makes as many passes as give it ``examples`` examples or more, as in
    :class:`~recaudit.models.sampling.ObservedItems`.

    The last item of a list has no next one and stands there itself: its ranking loss is constant.

    Args:
        users: the clone's numbers of the users whose lists these are.
        lists: their lists, padded with -1.
        excluded: histories whose items are never drawn as negatives, over all the clone's users; ``None``
            where the attack does not use histories.
        n_users: number of the clone's users.
        n_items: number of items.
        negatives: items drawn for each listed one.
        examples: the fewest examples of an epoch.
    """

    users: Int64[np.ndarray, "Q"]
    lists: Int64[np.ndarray, "Q k"]
    excluded: Interactions | None
    n_users: int
    n_items: int
    negatives: int = 1
    examples: int = 1

    @cached_property
    def _triples(self) -> tuple[Tensor, Tensor, Tensor]:
        following = np.concatenate([self.lists[:, 1:], np.full((len(self.lists), 1), -1)], axis=1)
        following = np.where(following >= 0, following, self.lists)
        rows, places = np.nonzero(self.lists >= 0)
        drawn = (self.users[rows], self.lists[rows, places], following[rows, places])
        users, items, nexts = (torch.from_numpy(part) for part in drawn)
        return users, items, nexts

    @cached_property
    def _membership(self) -> Membership:
        users, items, _ = self._triples
        keys = (users * self.n_items + items).numpy()
        if self.excluded is not None:
            keys = np.concatenate([keys, self.excluded.keys])
        return Membership(keys=keys, n_users=self.n_users, n_items=self.n_items)

    def epoch(self, generator: torch.Generator) -> tuple[Int64[Tensor, "N"], Int64[Tensor, "M N"]]:
        """Return shuffled users above rows of listed items, their next ones, and drawn ones."""
        users, items, nexts = self._triples
        order = shuffled_passes(len(users), self.examples, generator)
        users = users[order]
        drawn = [self._membership.draw_free(users, generator) for _ in range(self.negatives)]
        return users, torch.stack([items[order], nexts[order], *drawn])


def stealing_loss(
    ranking: PairLoss, positive_item: PairLoss, margin: float, *, ranking_margin: float | None = None
) -> Callable[[Float32[Tensor, "M B"]], Float32[Tensor, ""]]:
    """Return L_S = L_r + L_p (Eq. 10) of scores as :class:`ListedItems` draws them, a mean over listed items.

    L_r (Eq. 11) compares an item with the next of its list, L_p (Eq. 12) with items drawn from outside it.
    Zhu et al. use BPR for L_r and the hinge for L_p, and for QSD the hinge for both (their Table 7), which is
    the distillation loss of Yue et al. (2021). The last item of a list has no next one: its L_r is constant.

    Args:
        ranking: L_r.
        positive_item: L_p.
        margin: of the hinge.
        ranking_margin: of L_r's hinge, where it is another.
    """

    def pair(kind: PairLoss, margin: float) -> Callable[[Tensor, Tensor], Tensor]:
        return losses.bpr if kind == "bpr" else partial(losses.hinge, margin=margin)

    rank = pair(ranking, margin if ranking_margin is None else ranking_margin)
    recommend = pair(positive_item, margin)

    def loss(scores: Float32[Tensor, "M B"]) -> Float32[Tensor, ""]:
        listed, following, drawn = scores[0], scores[1], scores[2:]
        ranked = rank(listed, following)
        recommended = recommend(listed.expand_as(drawn), drawn).sum(dim=0)
        return (ranked + recommended).mean()

    return loss
