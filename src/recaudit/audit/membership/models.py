"""The models of a membership audit: whom each is trained on, whom it serves, and what it serves them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int64

from recaudit.audit.digests import digest
from recaudit.audit.membership.spec import MembershipSpec
from recaudit.audit.spec import VICTIM
from recaudit.data.interactions import Interactions
from recaudit.data.membership import MembershipSplit
from recaudit.models.fitting import fit_node, fold_node
from recaudit.models.protocol import Recommender, RecommenderSpec
from recaudit.models.zoo.lfm import LFM
from recaudit.oracle.serving import FOLDING, Service, Serving, served
from recaudit.pipeline.keys import Artifact
from recaudit.pipeline.node import Codec, Node, key_values
from recaudit.pipeline.run import Run
from recaudit.rng import child_seed, numpy_generator

__all__ = ["NULL", "SHADOW", "VECTORS", "MembershipModels", "Population", "ServedLists"]

ServedLists = Int64[np.ndarray, "S k"]

NULL, SHADOW, VECTORS = "null", "shadow", "vectors"


@dataclass(frozen=True, kw_only=True, eq=False)
class Population:
    """A model to fit.

    Args:
        name: its name in labels and random streams.
        spec: its hyperparameters.
        trained: numbers of the users that it is trained on, ascending.
        served: numbers of the users who are served by it.
    """

    name: str
    spec: RecommenderSpec
    trained: Int64[np.ndarray, "T"]
    served: Int64[np.ndarray, "S"]


LISTS: Codec[ServedLists] = Codec(
    pack=lambda lists: Artifact(tensors={"items": torch.from_numpy(lists)}),
    unpack=lambda artifact: artifact.tensors["items"].numpy(),
)
"""How served lists are kept."""


class MembershipModels:
    """All models of one seed: the victim, the null control's, and the attacker's.

    The attacker's are of three kinds: the seed's shadow (Hu; Zhang et al. 2021) over users of their own, half
    of them inside; the auditor's, each trained on a random half of the candidates; and the stranger's, each
    trained on a random half of the attacker's own users.

    Args:
        spec: how membership is inferred.
        victim: the victim's hyperparameters.
        split: who is a member of what.
        k: length of the lists.
        run: seed, device, progress and cache.
    """

    def __init__(
        self, spec: MembershipSpec, victim: RecommenderSpec, split: MembershipSplit, *, k: int, run: Run
    ) -> None:
        self.spec, self.victim, self.split, self.k, self.run = spec, victim, split, k, run
        self._fitted: dict[str, Node[Recommender]] = {}
        self._folded: dict[str, Node[Recommender]] = {}
        self._lists: dict[tuple[str, Serving], Node[ServedLists]] = {}

    @cached_property
    def planned(self) -> Mapping[str, Population]:
        """All models to fit, by name."""
        return {one.name: one for one in self._drawn_up()}

    def _drawn_up(self) -> Iterator[Population]:
        split = self.split
        shadow = self.spec.shadow or self.victim
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
        needed = {source for rung in self.spec.settings.values() for source in rung.needs}
        for kind, users in (("auditor", split.candidates), ("own", split.shadow_users)):
            if kind in needed:
                also = () if kind == "auditor" else split.candidates
                served_ = np.concatenate([users, np.asarray(also, dtype=np.int64)])
                for number, half in enumerate(self._halves(kind, users)):
                    name = f"{kind} {number}"
                    yield Population(name=name, spec=shadow, trained=half, served=served_)
        vectors = LFM(embedding_size=self.spec.vectors)
        of = split.others if self.spec.vectors_of == "others" else split.shadow_users
        yield Population(name=VECTORS, spec=vectors, trained=of, served=of)

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

    def fitted(self, name: str) -> Node[Recommender]:
        """Return the node of a model; its users' histories are hashed once."""
        if name not in self._fitted:
            one = self.planned[name]
            run = self.run.child(name)
            self._fitted[name] = fit_node(
                one.spec, self.histories(one.trained), run, of=f"membership, {name}"
            )
        return self._fitted[name]

    def folded(self, name: str) -> Node[Recommender]:
        """Return the node of a model with its served users folded in."""
        if name not in self._folded:
            one = self.planned[name]
            self._folded[name] = fold_node(
                one.spec,
                self.fitted(name),
                self.histories(one.served),
                self.run.child(name, "folded"),
                n_interactions=len(self.histories(one.trained).items),
                of=f"membership, {name}",
            )
        return self._folded[name]

    def lists(self, name: str, serving: Serving) -> Node[ServedLists]:
        """Return the node of the lists that a model serves to its served users."""
        if (name, serving) not in self._lists:
            one = self.planned[name]
            needs = {"fitted": self.fitted(name)}
            if serving in FOLDING:
                needs["folded"] = self.folded(name)
            self._lists[name, serving] = Node(
                kind="lists",
                inputs={
                    "serving": serving,
                    "data": self.split.histories.name,
                    "users": digest([one.trained, one.served], (self.split.histories.fingerprint,)),
                    "k": self.k,
                    "defence": key_values(self.spec.defence),
                    "seed": self._served_seed(name),
                },
                needs=needs,
                compute=lambda: self._serve(one, serving),
                codec=LISTS,
                label=f"lists of membership, {name}, {serving}",
            )
        return self._lists[name, serving]

    def _serve(self, one: Population, serving: Serving) -> ServedLists:
        places = np.searchsorted(one.trained, one.served).clip(max=len(one.trained) - 1)
        known = one.trained[places] == one.served
        service = Service(
            recommender=self.run.cache.get(self.fitted(one.name)),
            trained=self.histories(one.trained),
            accounts=np.where(known, places, -1),
            folded=self.run.cache.get(self.folded(one.name)) if serving in FOLDING else None,
        )
        return served(
            serving,
            service,
            self.histories(one.served),
            self.k,
            seed=self._served_seed(one.name),
            defence=self.spec.defence,
        )

    def _served_seed(self, name: str) -> int:
        return child_seed(self.run.seed, "serving", name)
