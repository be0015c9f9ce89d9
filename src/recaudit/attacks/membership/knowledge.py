"""What a membership attacker may see.

Members are the users in the victim's training data; candidates are the attacked users, members and not.
Nothing here says who is a member of the victim: labels (``Listed.inside``) are those of shadow models, which
the attacker trained.

Shapes are named U for users, C for candidates, J for shadow models, k for places of a list, I for items and
D for dimensions of the items' vectors. A list holds no item twice; ``-1`` pads lists at their end.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64

from recaudit.data.interactions import Interactions

__all__ = ["ItemSpace", "Listed", "MembershipKnowledge"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemSpace:
    """Items as the attacker knows them, from their own data only, never from the victim's.

    Args:
        vectors: one an item, of a matrix factorisation of their data; an item without vector is all zeros.
        popularity: number of interactions of each item in their data; 0 marks an item that they do not know.

    Raises:
        ValueError: where the two do not fit together, a vector is not finite or a count is below 0.
    """

    vectors: Float32[np.ndarray, "I D"]
    popularity: Int64[np.ndarray, "I"]

    def __post_init__(self) -> None:
        if len(self.vectors) != len(self.popularity):
            raise ValueError(f"{len(self.vectors)} vectors for {len(self.popularity)} items")
        if not np.isfinite(self.vectors).all():
            raise ValueError("the items' vectors are not all finite")
        if (self.popularity < 0).any():
            raise ValueError("an item's popularity is below 0")

    @property
    def n_items(self) -> int:
        """Number of items in the common catalogue."""
        return len(self.popularity)


@dataclass(frozen=True, kw_only=True, eq=False)
class Listed:
    """What the same users are served by J shadow models, and whom of them each was trained on.

    Args:
        histories: the users' histories.
        lists: each model's list for each user, best item first.
        inside: whether each model was trained on each user's history.

    Raises:
        ValueError: where the parts do not fit together or a list holds an item that is not in the catalogue.
    """

    histories: Interactions
    lists: Int64[np.ndarray, "J U k"]
    inside: Bool[np.ndarray, "J U"]

    def __post_init__(self) -> None:
        expected = (len(self.lists), self.histories.n_users)
        if self.lists.shape[:2] != expected or self.inside.shape != expected:
            raise ValueError(
                f"lists {self.lists.shape} and labels {self.inside.shape} for {expected[1]} users"
            )
        _check_items(self.lists, self.histories.n_items)

    @property
    def n_models(self) -> int:
        """Number of shadow models, J."""
        return len(self.lists)


@dataclass(frozen=True, kw_only=True, eq=False)
class MembershipKnowledge:
    """All that a membership attacker may see beside the oracle.

    A stranger uses ``shadow``, and ``own`` with ``own_lists``: no model of theirs was trained on a candidate.
    An auditor may train on the candidates' histories too, and has ``auditor``.

    Args:
        space: the items as the attacker's own data show them.
        candidates: the attacked users' histories, numbered as the scores that an attack returns.
        shadow: one shadow model (J = 1) over users of the attacker, half of them inside; none is a candidate.
        auditor: J shadow models, each trained on a random half of the candidates; the candidates' lists.
        own: J shadow models, each trained on a random half of the attacker's own users; those users' lists.
        own_lists: the candidates' lists under the models of ``own``, none of which was trained on them.

    Raises:
        ValueError: where the parts do not fit together.
    """

    space: ItemSpace
    candidates: Interactions
    shadow: Listed
    auditor: Listed | None = None
    own: Listed | None = None
    own_lists: Int64[np.ndarray, "J C k"] | None = None

    def __post_init__(self) -> None:
        if self.shadow.n_models != 1:
            raise ValueError(f"shadow holds {self.shadow.n_models} models, not one")
        catalogues = [self.candidates.n_items, self.shadow.histories.n_items]
        catalogues += [part.histories.n_items for part in (self.auditor, self.own) if part is not None]
        if set(catalogues) != {self.space.n_items}:
            raise ValueError(f"catalogues of {catalogues} items for vectors of {self.space.n_items}")
        if self.auditor is not None and self.auditor.histories.n_users != self.candidates.n_users:
            raise ValueError(
                f"the auditor's lists are of {self.auditor.histories.n_users} users, "
                f"not of the {self.candidates.n_users} candidates"
            )
        if (self.own is None) != (self.own_lists is None):
            raise ValueError("own and own_lists go together")
        if self.own is not None and self.own_lists is not None:
            expected = (self.own.n_models, self.candidates.n_users)
            if self.own_lists.shape[:2] != expected:
                raise ValueError(
                    f"own_lists {self.own_lists.shape} for {expected[0]} models and {expected[1]} candidates"
                )
            _check_items(self.own_lists, self.space.n_items)


def _check_items(lists: np.ndarray, n_items: int) -> None:
    """Raise ValueError where a list holds what is neither an item nor -1."""
    if lists.size and not (lists.min() >= -1 and lists.max() < n_items):
        raise ValueError(f"listed items must lie in 0..{n_items - 1}, or be -1 for none")
