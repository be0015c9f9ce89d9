"""A planted world: members' lists lean towards their history's kind of items, strangers' lists do not."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from recaudit.attacks.membership.knowledge import ItemSpace, Listed, MembershipKnowledge
from recaudit.data.interactions import Interactions

N_ITEMS, N_KINDS, K, SCALE = 120, 4, 12, 4.0


def histories_of(kinds: np.ndarray) -> Interactions:
    """Each user has six items of his kind, the items whose number is his kind modulo ``N_KINDS``."""
    generator = np.random.default_rng(5)
    places = [generator.choice(N_ITEMS // N_KINDS, 6, replace=False) for _ in kinds]
    return Interactions(
        name="planted",
        offsets=np.arange(len(kinds) + 1) * 6,
        items=(np.array(places) * N_KINDS + kinds[:, None]).astype(np.int32).ravel(),
        user_ids=pl.Series(range(len(kinds))),
        item_ids=pl.Series(range(N_ITEMS)),
    )


@dataclass(frozen=True, kw_only=True)
class Users:
    """Users with their histories and, hidden from attacks, the items that any model likes for them."""

    histories: Interactions
    liked: np.ndarray
    kinds: np.ndarray

    def served(self, inside: np.ndarray, signature: float, generator: np.random.Generator) -> np.ndarray:
        """Return lists by noisy scores; ``signature`` is added to a member's items of his kind."""
        alike = np.arange(N_ITEMS)[None] % N_KINDS == self.kinds[:, None]
        scores = self.liked + signature * alike * inside[:, None]
        return np.argsort(-scores - generator.gumbel(size=scores.shape), axis=1)[:, :K]


def users(n: int, generator: np.random.Generator) -> Users:
    kinds = generator.integers(N_KINDS, size=n)
    liked = generator.normal(size=(n, N_ITEMS)) * SCALE
    return Users(histories=histories_of(kinds), liked=liked, kinds=kinds)


def halves(n_users: int, n_models: int, generator: np.random.Generator) -> np.ndarray:
    """Return a random half of the users for each model; each user is inside half of the models."""
    halved = [generator.permutation(n_users) < n_users // 2 for _ in range(n_models // 2)]
    return np.concatenate([np.stack(halved), ~np.stack(halved)])[generator.permutation(n_models)]


@dataclass(frozen=True, kw_only=True)
class World:
    """What an attacker sees, and what he does not: who is a member, and the candidates' tastes."""

    knowledge: MembershipKnowledge
    lists: np.ndarray
    members: np.ndarray
    candidates: Users

    def unrelated(self, seed: int) -> np.ndarray:
        """Return the candidates' lists from a model that knows none of them."""
        nobody = np.zeros_like(self.members)
        return self.candidates.served(nobody, 0.0, np.random.default_rng(seed))


@pytest.fixture(scope="session")
def planted() -> Callable[..., World]:
    """Return a maker of worlds: ``planted(signature=..., n_users=..., n_models=..., seed=...)``."""

    def make(signature: float = 6.0, n_users: int = 120, n_models: int = 6, seed: int = 0) -> World:
        generator = np.random.default_rng(seed)
        candidates, own, shadow = (users(n_users, generator) for _ in range(3))
        nobody = np.zeros(n_users, dtype=bool)

        def listed(of: Users, inside: np.ndarray) -> Listed:
            lists = np.stack([of.served(each, signature, generator) for each in inside])
            return Listed(histories=of.histories, lists=lists, inside=inside)

        vectors = np.eye(N_KINDS)[np.arange(N_ITEMS) % N_KINDS]
        vectors += 0.1 * generator.normal(size=vectors.shape)
        knowledge = MembershipKnowledge(
            space=ItemSpace(vectors=vectors.astype(np.float32), popularity=np.arange(N_ITEMS)[::-1].copy()),
            candidates=candidates.histories,
            shadow=listed(shadow, halves(n_users, 2, generator)[:1]),
            auditor=listed(candidates, halves(n_users, n_models, generator)),
            own=listed(own, halves(n_users, n_models, generator)),
            own_lists=np.stack([candidates.served(nobody, signature, generator) for _ in range(n_models)]),
        )
        members = halves(n_users, 2, generator)[0]
        lists = candidates.served(members, signature, generator)
        return World(knowledge=knowledge, lists=lists, members=members, candidates=candidates)

    return make
