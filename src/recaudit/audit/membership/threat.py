"""The threat of membership inference, one seed: its nodes, and what they measure."""

from collections.abc import Callable, Mapping, Set
from functools import cached_property, lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64

from recaudit.attacks.membership.blind import blind_panel
from recaudit.attacks.membership.knowledge import ItemSpace, Listed, MembershipKnowledge
from recaudit.attacks.membership.shadows import Evidence
from recaudit.attacks.registry import key_inputs
from recaudit.audit import values
from recaudit.audit.digests import digest
from recaudit.audit.membership.models import NULL, SHADOW, VECTORS, MembershipModels
from recaudit.audit.spec import VICTIM, AuditSpec
from recaudit.audit.values import INFERRED, Inferred, SeedResult, ServedCandidates
from recaudit.data.interactions import Interactions
from recaudit.data.membership import MembershipSplit, MembershipSplitSpec, membership_split
from recaudit.data.rows import picked_rows
from recaudit.errors import UsageError
from recaudit.metrics.ranking import ndcg, recall
from recaudit.models.cold_start import FoldsIn
from recaudit.models.factorization import NetworkRecommender
from recaudit.models.protocol import Recommender, of_type
from recaudit.oracle.oracle import Oracle
from recaudit.oracle.serving import Serving
from recaudit.pipeline.node import Node, key_values
from recaudit.pipeline.run import Run
from recaudit.rng import child_seed
from recaudit.victims.lists import FixedLists
from recaudit.victims.protocol import Queries

__all__ = ["Membership"]


class Membership:
    """The nodes of one seed that tell members from strangers.

    A victim is trained on the members among the candidates. The null control is a victim that was trained on
    none of them.

    Args:
        spec: what to measure.
        data: the interactions that the spec names.
        run: seed, device, progress and cache.

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
        self._cache = run.cache
        self._rungs = self.spec.settings
        victim = spec.victim_model
        assert victim is not None  # the spec refuses membership of others
        self.models = MembershipModels(self.spec, victim, self.split, k=spec.k, run=self.run)
        self._check()

    def _check(self) -> None:
        """Refuse what would fail after hours of training."""
        models = (self.models.victim, self.spec.shadow or self.models.victim)
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

    @cached_property
    def rows(self) -> Mapping[str, Node[Inferred]]:
        """The judged rows by name: under each way of serving the blind panel, then each attack."""
        found: dict[str, Node[Inferred]] = {}
        for serving in self.spec.serving:
            found[f"{serving}, blind"] = self._blind(serving)
            found |= {f"{serving}, {name}": self._attack(serving, name) for name in self._rungs}
        return found

    def result(self) -> SeedResult:
        """Return what was measured, from the run's cache."""
        found: dict[str, ServedCandidates] = {
            serving: ServedCandidates(
                members=self.split.members.copy(),
                blind=self._cache.get(self.rows[f"{serving}, blind"]),
                attacks={name: self._cache.get(self.rows[f"{serving}, {name}"]) for name in self._rungs},
            )
            for serving in self.spec.serving
        }
        split = self.split
        users = {
            "candidates": len(split.candidates),
            "members": int(split.members.sum()),
            "shadow": len(split.shadow_users),
            "others": len(split.others),
        }
        return SeedResult(seed=self.seed, users=users, inferred=found)

    def _judged(
        self,
        serving: Serving,
        label: str,
        inputs: Mapping[str, Any],
        needs: Mapping[str, Node[Any]],
        compute: Callable[[], Inferred],
    ) -> Node[Inferred]:
        """Return a node that scores the candidates under one way of serving."""
        common: dict[str, Any] = {
            "serving": serving,
            "data": self._data.name,
            "split": self._split_digest,
            "packages": {"scikit-learn": version("scikit-learn")},
        }
        return Node(
            kind="inferred",
            inputs={**common, **inputs},
            needs=needs,
            compute=compute,
            codec=INFERRED,
            label=f"membership, {serving}: {label}",
        )

    def _blind(self, serving: Serving) -> Node[Inferred]:
        """Return the node of the blind panel, and of the quality of the victim's lists."""
        evidence = self._evidence(serving, ())
        victim = self.models.lists(VICTIM, serving)

        def compute() -> Inferred:
            lists = self._cache.get(victim)
            panel = blind_panel(self._cache.get(evidence).knowledge, lists)
            scores = {f"{values.BLIND}{name}": one for name, one in panel.scores.items()}
            return Inferred(scores=scores, quality=self._quality(lists), best=panel.best)

        needs: dict[str, Node[Any]] = {"evidence": evidence, VICTIM: victim}
        return self._judged(serving, "blind panel", {"row": "blind"}, needs, compute)

    def _attack(self, serving: Serving, name: str) -> Node[Inferred]:
        """Return the node of one attack, with its null control."""
        rung = self._rungs[name]
        evidence = self._evidence(serving, rung.needs)
        lists = {
            row: self.models.lists(row, serving) for row in (VICTIM, *((NULL,) if self.spec.null else ()))
        }
        seed = child_seed(self.run.seed, "attack")
        everybody = Queries(users=np.arange(len(self.split.candidates)))

        def compute() -> Inferred:
            oracle = self._oracle(serving)  # before the clock: the attack does not pay for the victim
            with self._cache.clock() as seconds:
                scorer = rung.learn(self._cache.get(evidence), seed)
                scores = {name: scorer(oracle.query(everybody).items)}
                cost = round(seconds(), 3)
            if self.spec.null:
                scores[f"{values.NULL}{name}"] = scorer(self._cache.get(lists[NULL]))
            asked = oracle.ledger
            ledger = {"lists": asked.lists, "users": asked.users, "items": asked.items}
            return Inferred(scores=scores, seconds=cost, ledger=ledger)

        inputs = {
            "row": "attack",
            "attack": key_inputs(rung),
            "seed": seed,
        }
        return self._judged(serving, name, inputs, {"evidence": evidence, **lists}, compute)

    def _evidence(self, serving: Serving, sources: tuple[str, ...]) -> Node[Evidence]:
        """Return the node of the evidence that attacks with the same sources share in a process."""
        kinds = {"auditor", "own"} & set(sources)
        models = [name for name in self.models.planned if name.partition(" ")[0] in kinds]
        lists = {name: self.models.lists(name, serving) for name in (SHADOW, *models)}
        seed = child_seed(self.run.seed, "attack")
        return Node(
            kind="evidence",
            inputs={"rich": key_values(self.spec.rich), "seed": seed, "split": self._split_digest},
            needs={VECTORS: self.models.fitted(VECTORS), **lists},
            compute=lambda: Evidence(self._knowledge(serving, kinds), seed, self.spec.rich),
            codec=None,
            label=f"evidence of membership, {serving}",
        )

    @cached_property
    def _split_digest(self) -> str:
        split = self.split
        parts = (split.candidates, split.members, split.shadow_users, split.shadow_members, split.others)
        return digest((*parts, split.heldout_offsets, split.heldout_items), (split.histories.fingerprint,))

    def _oracle(self, serving: Serving) -> Oracle:
        """Return the victim as an outsider meets it: who asks for candidates' lists gets them."""
        lists = self._cache.get(self.models.lists(VICTIM, serving))
        return Oracle(FixedLists(lists=lists), allowed=np.arange(len(lists)), k=self.k)

    def _knowledge(self, serving: Serving, kinds: Set[str]) -> MembershipKnowledge:
        split, of = self.split, self.models.planned[VECTORS].trained
        auditor = self._listed("auditor", serving) if "auditor" in kinds else None
        own = self._listed("own", serving) if "own" in kinds else None
        vectors = _item_vectors(self._cache.get(self.models.fitted(VECTORS)))
        return MembershipKnowledge(
            space=ItemSpace(vectors=vectors, popularity=self.models.histories(of).popularity),
            candidates=self.models.histories(split.candidates),
            shadow=Listed(
                histories=self.models.histories(split.shadow_users),
                lists=self._cache.get(self.models.lists(SHADOW, serving))[None],
                inside=split.shadow_members[None],
            ),
            auditor=None if auditor is None else auditor[0],
            own=None if own is None else own[0],
            own_lists=None if own is None else own[1],
        )

    def _listed(self, kind: str, serving: Serving) -> tuple[Listed, Int64[np.ndarray, "J C k"]]:
        """Return lists of the models of a kind for the users that they were drawn from, and for the rest."""
        models = [one for one in self.models.planned.values() if one.name.startswith(f"{kind} ")]
        users = self.split.candidates if kind == "auditor" else self.split.shadow_users
        lists = np.stack([self._cache.get(self.models.lists(one.name, serving)) for one in models])
        inside = np.stack([np.isin(users, one.trained) for one in models])
        first, rest = np.split(lists, [len(users)], axis=1)
        return Listed(histories=self.models.histories(users), lists=first, inside=inside), rest

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


def _item_vectors(recommender: Recommender) -> Float32[np.ndarray, "I D"]:
    """Return the item vectors of a fitted latent factor model."""
    network = of_type(NetworkRecommender, recommender).network
    vectors: Float32[torch.Tensor, "I D"] = network.item_vectors()["items"].learned()
    return vectors.cpu().numpy().astype(np.float32)
