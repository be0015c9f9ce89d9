"""Membership inference, one seed: its stages, what each needs, and what it measures."""

import time
from collections.abc import Callable
from functools import cached_property, lru_cache
from importlib.metadata import version

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64

from recaudit.attacks.membership.blind import blind_panel
from recaudit.attacks.membership.knowledge import ItemSpace, Listed, MembershipKnowledge
from recaudit.attacks.membership.shadows import Evidence
from recaudit.attacks.registry import key_inputs
from recaudit.audit import values
from recaudit.audit.membership_models import NULL, SHADOW, VECTORS, MembershipModels
from recaudit.audit.spec import VICTIM, AuditSpec
from recaudit.audit.values import Inferred, SeedResult, packed_inferred, unpacked_inferred
from recaudit.audit.work import Work, digest
from recaudit.data.interactions import Interactions
from recaudit.data.membership import MembershipSplit, MembershipSplitSpec, membership_split
from recaudit.data.rows import picked_rows
from recaudit.errors import UsageError
from recaudit.metrics.ranking import ndcg, recall
from recaudit.models.cold_start import FoldsIn
from recaudit.models.factorization import NetworkRecommender
from recaudit.models.protocol import Recommender
from recaudit.oracle.oracle import Oracle
from recaudit.oracle.serving import FOLDING, Serving
from recaudit.pipeline import Stage
from recaudit.pipeline.run import Run
from recaudit.rng import child_seed
from recaudit.victims.lists import FixedLists
from recaudit.victims.protocol import Queries

__all__ = ["Membership"]


class Membership:
    """The stages of one seed that tell members from strangers.

    A victim is trained on the members among the candidates. The null control is a victim that was trained on
    none of them.

    Args:
        spec: what to measure.
        data: the interactions that the spec names.
        run: seed, device, progress and memo.

    Raises:
        UsageError: where the data cannot be split as the spec says.
    """

    def __init__(self, spec: AuditSpec, data: Interactions, run: Run) -> None:
        self.spec = spec.membership
        self.k = spec.k
        self.run = run.child("membership")
        self.seed = run.seed
        self.split = _split(data, self.spec.split, run.seed)
        self._data = data
        self._rungs = self.spec.rungs()
        self.models = MembershipModels(self.spec, spec.victim_spec(), self.split, k=spec.k, run=self.run)
        self._check()

    def _check(self) -> None:
        """Refuse what would fail after hours of training."""
        models = (self.models.victim, self.spec.shadow_spec(self.models.victim))
        alone = next((model for model in models if not isinstance(model, FoldsIn)), None)
        if self.models.folds and alone is not None:
            raise UsageError(
                f"membership.serving: {alone.model!r} cannot estimate users that it was not trained on (its "
                "spec has no fold_in); serve strangers the popular list (--serving popular), or leave "
                "membership out (--threats stealing)"
            )
        n_members, n_others = int(self.split.members.sum()), len(self.split.others)
        needed = max(n_members if self.spec.null else 0, 2 if self.spec.vectors_of == "others" else 0)
        if n_others < needed:
            raise UsageError(
                f"membership.split: {n_others} users are neither attacked nor the shadow's; the null control "
                f"needs {n_members}, and item vectors of theirs need some: lower target_share or "
                "shadow_share, or set membership.null=no and membership.vectors_of=shadow"
            )

    @property
    def rows(self) -> tuple[str, ...]:
        """What is judged, in order."""
        return tuple(f"membership, {serving}" for serving in self.spec.serving)

    def works(self) -> tuple[Work, ...]:
        """Return all stages, in an order in which each comes after those that it needs."""
        return self._works

    @cached_property
    def _works(self) -> tuple[Work, ...]:
        works = []
        for one in self.models.planned.values():
            works.append(Work(name=("fit", _told(one.name)), stage=self.models.fit_stage(one), needs=()))
            if self.models.folds and one.name != VECTORS:
                needs = (self.models.fit_stage(one).hash,)
                works.append(
                    Work(name=("share", _told(one.name)), stage=self.models.fold_stage(one), needs=needs)
                )
        judge = tuple(work.stage.hash for work in works)
        works += [
            Work(name=("judge", row), stage=self._judged_stage(serving), needs=judge)
            for row, serving in zip(self.rows, self.spec.serving, strict=True)
        ]
        return tuple(works)

    def do(self, name: tuple[str, ...]) -> None:
        """Do the stage of this name and keep its result."""
        kind, whose = name
        if kind == "judge":
            self.inferred(self.spec.serving[self.rows.index(whose)])
            return
        one = next(one for one in self.models.planned.values() if _told(one.name) == whose)
        if kind == "fit":
            self.models.fitted(one)
        else:
            self.models.folded(one)

    def inferred(self, serving: Serving) -> Inferred:
        """Return what all attacks found under one way of serving."""
        return self.run.memo.once(
            self._judged_stage(serving), lambda: self._infer(serving), packed_inferred, unpacked_inferred
        )

    def result(self, tell: Callable[[str], None]) -> SeedResult:
        """Return what was measured, computing what is not kept; ``tell`` hears each row that begins."""
        found: dict[str, Inferred] = {}
        for row, serving in zip(self.rows, self.spec.serving, strict=True):
            tell(row)
            found[serving] = self.inferred(serving)
        split = self.split
        users = {
            "candidates": len(split.candidates),
            "members": int(split.members.sum()),
            "shadow": len(split.shadow_users),
            "others": len(split.others),
        }
        return SeedResult(seed=self.seed, users=users, inferred=found)

    def _judged_stage(self, serving: Serving) -> Stage:
        models = {}
        for name, one in self.models.planned.items():
            folds = serving in FOLDING and name != VECTORS
            models[name] = (self.models.fold_stage(one) if folds else self.models.fit_stage(one)).hash
        inputs = {
            "threat": "membership",
            "serving": serving,
            "models": models,
            "attacks": {name: key_inputs(rung) for name, rung in self._rungs.items()},
            "packages": {"scikit-learn": version("scikit-learn")},
            "rich": self.spec.rich.model_dump(mode="json"),
            "defence": self.spec.defence.model_dump(mode="json"),
            "k": self.k,
            "data": self._data.name,
            "split": self._split_digest,
            "seed": self.run.seed,
            "device": self.run.device,
        }
        return Stage(kind="figures", inputs=inputs)

    @cached_property
    def _split_digest(self) -> str:
        split = self.split
        parts = (split.candidates, split.members, split.shadow_users, split.shadow_members, split.others)
        return digest((*parts, split.heldout_offsets, split.heldout_items), (split.histories.fingerprint,))

    def _oracle(self, name: str, serving: Serving) -> Oracle:
        """Return the victim as an outsider meets it: who asks for candidates' lists gets them."""
        lists = self.models.lists(name, serving)
        return Oracle(FixedLists(lists=lists), allowed=np.arange(len(lists)), k=self.k)

    def _knowledge(self, serving: Serving) -> MembershipKnowledge:
        split, of = self.split, self.models.planned[VECTORS].trained
        auditor, own = self._listed("auditor", serving), self._listed("own", serving)
        vectors = _item_vectors(self.models.fitted(self.models.planned[VECTORS]))
        return MembershipKnowledge(
            space=ItemSpace(vectors=vectors, popularity=self.models.histories(of).popularity),
            candidates=self.models.histories(split.candidates),
            shadow=Listed(
                histories=self.models.histories(split.shadow_users),
                lists=self.models.lists(SHADOW, serving)[None],
                inside=split.shadow_members[None],
            ),
            auditor=None if auditor is None else auditor[0],
            own=None if own is None else own[0],
            own_lists=None if own is None else own[1],
        )

    def _listed(self, kind: str, serving: Serving) -> tuple[Listed, Int64[np.ndarray, "J C k"]] | None:
        """Return lists of the models of a kind for the users that they were drawn from, and for the rest."""
        models = [one for one in self.models.planned.values() if one.name.startswith(f"{kind} ")]
        if not models:
            return None
        users = self.split.candidates if kind == "auditor" else self.split.shadow_users
        lists = np.stack([self.models.lists(one.name, serving) for one in models])
        inside = np.stack([np.isin(users, one.trained) for one in models])
        first, rest = np.split(lists, [len(users)], axis=1)
        return Listed(histories=self.models.histories(users), lists=first, inside=inside), rest

    def _infer(self, serving: Serving) -> Inferred:
        """Let every attack score the candidates, and beside them the blind panel and the null control."""
        knowledge = self._knowledge(serving)
        seed = child_seed(self.run.seed, "attack")
        evidence = Evidence(knowledge, seed, self.spec.rich)
        everybody = Queries(users=np.arange(len(self.split.candidates)))
        scores: dict[str, Float64[np.ndarray, "C"]] = {}
        null, cost, ledgers = {}, {}, {}
        for name, rung in self._rungs.items():
            oracle, began = self._oracle(VICTIM, serving), time.perf_counter()
            scorer = rung.learn(evidence, seed)
            scores[name] = scorer(oracle.query(everybody).items)
            cost[name] = round(time.perf_counter() - began + sum(map(self.models.cost, rung.needs)), 3)
            asked = oracle.ledger
            ledgers[name] = {"lists": asked.lists, "users": asked.users, "items": asked.items}
            if self.spec.null:
                null[f"{values.NULL}{name}"] = scorer(self.models.lists(NULL, serving))
        lists = self.models.lists(VICTIM, serving)
        panel = blind_panel(knowledge, lists)
        return Inferred(
            members=self.split.members.copy(),
            scores=scores | {f"{values.BLIND}{name}": one for name, one in panel.scores.items()} | null,
            quality=self._quality(lists),
            best=panel.best,
            cost=cost,
            ledgers=ledgers,
        )

    def _quality(self, lists: Int64[np.ndarray, "C k"]) -> dict[str, Float64[np.ndarray, "C"]]:
        offsets, places = picked_rows(self.split.heldout_offsets, self.split.candidates)
        heldout = (offsets, self.split.heldout_items[places])
        short = min(10, self.k)
        return {
            f"ndcg@{short}": ndcg(lists[:, :short], *heldout),
            f"recall@{self.k}": recall(lists, *heldout),
        }


@lru_cache(maxsize=16)  # a process that works at a grid meets the same split again and again
def _split(data: Interactions, spec: MembershipSplitSpec, seed: int) -> MembershipSplit:
    try:
        return membership_split(data, spec, seed)
    except UsageError as error:
        raise UsageError(f"membership.split.{error}") from None  # the stealing split has keys of these names


def _told(name: str) -> str:
    return f"membership {name}"


def _item_vectors(recommender: Recommender) -> Float32[np.ndarray, "I D"]:
    """Return the item vectors of a fitted latent factor model."""
    assert isinstance(recommender, NetworkRecommender)
    vectors: Float32[torch.Tensor, "I D"] = recommender.network.item_vectors()["items"].learned()
    return vectors.cpu().numpy().astype(np.float32)
