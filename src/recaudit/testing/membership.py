"""What every membership attack must do."""

from functools import lru_cache
from typing import get_args

import numpy as np

from recaudit.attacks.membership.knowledge import ItemSpace, Listed, MembershipKnowledge
from recaudit.attacks.membership.shadows import Evidence
from recaudit.attacks.protocol import MembershipAttack, Source
from recaudit.data.interactions import Interactions
from recaudit.data.synthetic import checkerboard

__all__ = ["MembershipAttackTests"]

N_USERS, N_MODELS, N_ITEMS, K = 48, 4, 40, 8


@lru_cache
def planted() -> tuple[MembershipKnowledge, np.ndarray, np.ndarray]:
    """Return knowledge, candidates' lists and who are members: a member's list looks like the history."""
    data = checkerboard(n_users=2 * N_USERS, n_items=N_ITEMS, groups=4)
    random = np.random.default_rng(0)
    candidates, own = data.of_users(np.arange(N_USERS)), data.of_users(np.arange(N_USERS, 2 * N_USERS))
    vectors = np.linalg.svd(np.asarray(data.matrix().todense(), dtype=np.float64))[2][:6].T
    group = vectors @ vectors.T

    def list_of(history: np.ndarray, inside: bool) -> np.ndarray:
        scores = (group[history].sum(0) if inside else 0) + random.normal(0, 0.2, N_ITEMS)
        scores[history] = -np.inf
        return np.argsort(-scores)[:K]

    def lists(histories: Interactions, inside: np.ndarray) -> np.ndarray:
        return np.stack([list_of(histories.history(user), bool(one)) for user, one in enumerate(inside)])

    halves = np.stack([random.permutation(N_USERS) < N_USERS // 2 for _ in range(N_MODELS // 2)])
    inside = np.concatenate([halves, ~halves])
    shadow = Listed(histories=own, lists=lists(own, inside[0])[None], inside=inside[:1])
    of_own = Listed(histories=own, lists=np.stack([lists(own, one) for one in inside]), inside=inside)
    auditor = Listed(
        histories=candidates, lists=np.stack([lists(candidates, one) for one in inside]), inside=inside
    )
    nobody = np.zeros(N_USERS, dtype=np.bool_)
    own_lists = np.stack([lists(candidates, nobody) for _ in inside])
    members = random.permutation(N_USERS) < N_USERS // 2
    knowledge = MembershipKnowledge(
        space=ItemSpace(vectors=vectors.astype(np.float32), popularity=data.popularity),
        candidates=candidates,
        shadow=shadow,
        auditor=auditor,
        own=of_own,
        own_lists=own_lists,
    )
    return knowledge, lists(candidates, members), members


class MembershipAttackTests:
    """Subclass it with ``attack``.

    The planted members' lists hold the items that are most like their histories. ``better`` is the AUC that the
    attack must reach there; ``None`` where it looks for another trace, or needs more users to learn from.
    """

    attack: MembershipAttack
    better: float | None = 0.6

    def scores(self, lists: np.ndarray, *, seed: int = 0) -> np.ndarray:
        """Return what the attack scores the lists, having learned anew."""
        return self.attack.learn(Evidence(planted()[0], 3), seed)(lists)

    def test_it_satisfies_the_protocol(self) -> None:
        assert isinstance(self.attack, MembershipAttack)
        assert self.attack.card.sentence
        assert set(self.attack.needs) <= set(get_args(Source))

    def test_each_candidate_gets_one_finite_score(self) -> None:
        scores = self.scores(planted()[1])
        assert scores.shape == (N_USERS,)
        assert scores.dtype == np.float64
        assert np.isfinite(scores).all()

    def test_planted_members_are_told_from_others(self) -> None:
        _, lists, members = planted()
        scores = self.scores(lists)
        above = scores[members][:, None] - scores[~members]
        assert self.better is None or ((above > 0) + (above == 0) / 2).mean() > self.better

    def test_the_same_seed_gives_the_same_scores(self) -> None:
        lists = planted()[1]
        assert (self.scores(lists) == self.scores(lists)).all()

    def test_it_learns_before_it_sees_a_list(self) -> None:
        knowledge, lists, _ = planted()
        scorer = self.attack.learn(Evidence(knowledge, 3), 0)
        first = scorer(lists).copy()
        scorer(lists[:, ::-1].copy())
        assert (scorer(lists) == first).all()

    def test_what_it_knows_stays_as_it_was(self) -> None:
        knowledge, lists, _ = planted()
        parts = (knowledge.shadow.lists, knowledge.shadow.inside, knowledge.space.vectors, lists)
        before = [part.copy() for part in parts]
        self.scores(lists)
        assert all((one == other).all() for one, other in zip(before, parts, strict=True))
