"""The models of a membership audit: whom each is trained on, whom it serves, and what it serves them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64

from recaudit.audit.membership_spec import MembershipSpec
from recaudit.audit.spec import VICTIM
from recaudit.data.interactions import Interactions
from recaudit.data.membership import MembershipSplit
from recaudit.models.fitting import fit_once, fit_stage, fold_once, fold_stage
from recaudit.models.protocol import Recommender, RecommenderSpec
from recaudit.oracle.serving import FOLDING, Service, Serving, served
from recaudit.pipeline import Stage
from recaudit.pipeline.run import Run
from recaudit.rng import child_seed, numpy_generator

__all__ = ["NULL", "SHADOW", "VECTORS", "MembershipModels", "Population"]

NULL, SHADOW, VECTORS = "null", "shadow", "vectors"


@dataclass(frozen=True, kw_only=True, eq=False)
class Population:
    """A model to fit.

    Args:
        name: what it is called in stages.
        spec: its hyperparameters.
        trained: numbers of the users that it is trained on, ascending.
        served: numbers of the users who are served by it.
    """

    name: str
    spec: RecommenderSpec
    trained: Int64[np.ndarray, "T"]
    served: Int64[np.ndarray, "S"]


class MembershipModels:
    """All models of one seed: the victim, the null control's, and the attacker's.

    The attacker's are of three kinds: the seed's shadow (Hu; Zhang et al. 2021) over users of his own, half
    of them inside; the auditor's, each trained on a random half of the candidates; and the stranger's, each
    trained on a random half of his own users.

    Args:
        spec: how membership is inferred.
        victim: the victim's hyperparameters.
        split: who is a member of what.
        k: length of the lists.
        run: seed, device, progress and memo.
    """

    def __init__(
        self, spec: MembershipSpec, victim: RecommenderSpec, split: MembershipSplit, *, k: int, run: Run
    ) -> None:
        self.spec, self.victim, self.split, self.k, self.run = spec, victim, split, k, run
        self._stages: dict[str, Stage] = {}
        self._seconds: dict[str, float] = {}
        self._lists_of: dict[tuple[str, Serving], Int64[np.ndarray, "S k"]] = {}

    @cached_property
    def planned(self) -> Mapping[str, Population]:
        """All models to fit, by name."""
        return {one.name: one for one in self._drawn_up()}

    def _drawn_up(self) -> Iterator[Population]:
        split = self.split
        shadow = self.spec.shadow_spec(self.victim)
        yield Population(
            name=VICTIM,
            spec=self.victim,
            trained=split.candidates[split.members],
            served=split.candidates,
        )
        if self.spec.null:
            strangers = self._drawn("null", split.others)[: int(split.members.sum())]
            yield Population(name=NULL, spec=self.victim, trained=np.sort(strangers), served=split.candidates)
        yield Population(
            name=SHADOW,
            spec=shadow,
            trained=split.shadow_users[split.shadow_members],
            served=split.shadow_users,
        )
        needed = {source for rung in self.spec.rungs().values() for source in rung.needs}
        for kind, users in (("auditor", split.candidates), ("own", split.shadow_users)):
            if kind in needed:
                also = () if kind == "auditor" else split.candidates
                served_ = np.concatenate([users, np.asarray(also, dtype=np.int64)])
                for number, half in enumerate(self._halves(kind, users)):
                    name = f"{kind} {number}"
                    yield Population(name=name, spec=shadow, trained=half, served=served_)
        of = split.others if self.spec.vectors_of == "others" else split.shadow_users
        yield Population(name=VECTORS, spec=self.spec.vectors_spec(), trained=of, served=of)

    def _halves(self, kind: str, users: Int64[np.ndarray, "U"]) -> Iterator[Int64[np.ndarray, "_"]]:
        """Yield random halves of ``users``: each user is in one of every two."""
        for pair in range(self.spec.shadows // 2):
            drawn = self._drawn(f"{kind} {pair}", users)
            half = len(users) // 2
            yield np.sort(drawn[:half])
            yield np.sort(drawn[half:])

    def _drawn(self, what: str, users: Int64[np.ndarray, "U"]) -> Int64[np.ndarray, "U"]:
        drawn: np.ndarray = numpy_generator(self.run.seed, "halves", what).permutation(users)
        return drawn

    @property
    def folds(self) -> bool:
        """Whether any way of serving folds users in."""
        return any(serving in FOLDING for serving in self.spec.serving)

    def histories(self, users: Int64[np.ndarray, "U"]) -> Interactions:
        """Return the histories of users by their numbers, without what is held out."""
        return self.split.histories.of_users(users)

    def fit_stage(self, one: Population) -> Stage:
        """Return what names a model; its users' histories are hashed once."""
        if one.name not in self._stages:
            stage = fit_stage(one.spec, self.histories(one.trained), self.run.child(one.name))
            self._stages[one.name] = stage
        return self._stages[one.name]

    def fold_stage(self, one: Population) -> Stage:
        """Return what names a model with its served users folded in."""
        run, trained = self.run.child(one.name, "folded"), self.histories(one.trained)
        fitted = self.fit_stage(one).hash
        return fold_stage(fitted, self.histories(one.served), run, n_interactions=len(trained.items))

    def fitted(self, one: Population) -> Recommender:
        """Return a model, fitted where it is not kept."""
        return fit_once(one.spec, self.histories(one.trained), self.run.child(one.name))

    def folded(self, one: Population) -> Recommender:
        """Return a model with its served users folded in, where that is not kept."""
        trained = self.histories(one.trained)
        return fold_once(
            one.spec,
            self.fitted(one),
            self.fit_stage(one).hash,
            self.histories(one.served),
            self.run.child(one.name, "folded"),
            n_interactions=len(trained.items),
        )

    def lists(self, name: str, serving: Serving) -> Int64[np.ndarray, "S k"]:
        """Return the lists that a model serves to its served users."""
        if (name, serving) not in self._lists_of:
            one = self.planned[name]
            trained = self.histories(one.trained)
            places = np.searchsorted(one.trained, one.served).clip(max=len(one.trained) - 1)
            known = one.trained[places] == one.served
            with self.run.memo.clock() as seconds:
                service = Service(
                    recommender=self.fitted(one),
                    trained=trained,
                    accounts=np.where(known, places, -1),
                    folded=self.folded(one) if serving in FOLDING else None,
                )
                self._lists_of[name, serving] = served(
                    serving,
                    service,
                    self.histories(one.served),
                    self.k,
                    seed=child_seed(self.run.seed, "serving", name),
                    defence=self.spec.defence,
                )
                self._seconds[name] = seconds()
        return self._lists_of[name, serving]

    def cost(self, source: str) -> float:
        """Return the seconds of the attacker's models that a rung learns from, as if it ran alone."""
        return sum(seconds for name, seconds in self._seconds.items() if name.partition(" ")[0] == source)
