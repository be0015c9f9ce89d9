"""One seed of an audit, from the split to each user's values."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from recaudit.attacks.base import Knowledge
from recaudit.audit.spec import CEILING, FLOOR, VICTIM, AuditSpec
from recaudit.audit.victim import Victim, fit_victim, split_for
from recaudit.data.interactions import Interactions
from recaudit.data.rows import picked_rows
from recaudit.data.split import Split
from recaudit.errors import UsageError
from recaudit.metrics.ranking import agreement, ndcg, rank_biased_overlap, recall
from recaudit.models.base import Progress, Recommender, Run, TopK, TrainingLog
from recaudit.models.baselines import Popularity
from recaudit.models.ranking import top_k
from recaudit.oracle.oracle import Oracle
from recaudit.rng import numpy_generator

__all__ = ["SeedResult", "audit_seed"]


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """What one seed measured.

    Args:
        seed: the seed.
        users: by role (``all``, ``queried``, ``unqueried``, ``target``), how many users have that role.
        values: by attack, metric and role, one value a user.
        ledgers: what each attack asked.
        stages: seconds and epochs of each stage; an attack's seconds count the stages that it shares.
        interactions: number of the target's training interactions.
    """

    seed: int
    users: dict[str, int]
    values: dict[str, dict[str, dict[str, Float64[np.ndarray, "_"]]]]
    ledgers: list[dict[str, Any]]
    stages: list[dict[str, Any]]
    interactions: int


class _Audited:
    """Collects one seed's values against one victim."""

    def __init__(self, spec: AuditSpec, split: Split, queried: np.ndarray, victim: Victim, seed: int) -> None:
        self.spec = spec
        self.split = split
        self.victim = victim
        self.seed = seed
        self.known = split.target.of_users(split.known)
        self.queried = queried
        self.roles = {
            "all": np.arange(len(split.known)),
            "queried": queried,
            "unqueried": split.unqueried,
        }
        self.reference = victim.lists(split.known, spec.k)
        self.values: dict[str, dict[str, dict[str, np.ndarray]]] = {}
        self.ledgers: list[dict[str, Any]] = []
        self.stages: list[dict[str, Any]] = []

    def knowledge(self) -> Knowledge:
        split = self.split
        return Knowledge(
            known=self.known,
            accounts=split.known,
            queried=self.queried,
            validation=split.validation,
            auxiliary=split.auxiliary,
        )

    def record(self, attack: str, lists: TopK) -> None:
        """Judge the lists of all known users against the victim's and against the held-out interactions."""
        k = self.spec.k
        offsets, places = picked_rows(self.split.heldout_offsets, self.split.known)
        heldout = (offsets, self.split.heldout_items[places])
        by_metric = {
            f"agreement@{k}": agreement(self.reference.items, lists.items),
            f"rbo@{k}": rank_biased_overlap(self.reference.items, lists.items),
            f"recall@{k}": recall(lists.items, *heldout),
            f"ndcg@{k}": ndcg(lists.items, *heldout),
        }
        self.values[attack] = {
            metric: {role: values[rows] for role, rows in self.roles.items()}
            for metric, values in by_metric.items()
        }

    def stage(self, name: str, seconds: float, log: TrainingLog | None) -> None:
        """Note what a stage cost."""
        epochs = {} if log is None else {"epochs": log.epochs, "best_epoch": log.best_epoch}
        self.stages.append({"seed": self.seed, "stage": name, "seconds": round(seconds, 3), **epochs})

    def result(self) -> SeedResult:
        """Return all that was recorded."""
        counts = {role: len(rows) for role, rows in self.roles.items()}
        counts |= {"validation": len(self.split.validation), "target": self.split.target.n_users}
        return SeedResult(
            seed=self.seed,
            users=counts | {"auxiliary": self.split.auxiliary.n_users},
            values=self.values,
            ledgers=self.ledgers,
            stages=self.stages,
            interactions=len(self.split.target.items),
        )


def audit_seed(
    spec: AuditSpec, data: Interactions, seed: int, progress: Progress
) -> tuple[SeedResult, Victim]:
    """Run one seed: split, victim, floor, ceiling and each attack.

    Attacks of one seed share the seed, hence their starting point and the auxiliary model, so that their
    differences are theirs alone.
    """
    began = time.perf_counter()
    split = split_for(spec, data, seed)
    queried = _affordable(spec, split)
    run = Run(seed=seed, device=spec.device, progress=progress)
    _begin(VICTIM, spec, seed, progress)
    victim = fit_victim(spec, split, run)
    audited = _Audited(spec, split, queried, victim, seed)
    audited.stage(VICTIM, time.perf_counter() - began, victim.recommender.log)
    audited.record(VICTIM, audited.reference)
    _record_target(audited)

    target = split.target
    floor = Popularity().fit(target, run)
    audited.record(FLOOR, top_k(floor, split.known, target, spec.k))
    _begin(CEILING, spec, seed, progress)
    with run.memo.clock() as seconds:
        ceiling = spec.victim_spec().fit(target, run.child("retrained"))
        audited.record(CEILING, top_k(ceiling, split.known, target, spec.k))
        audited.stage(CEILING, seconds(), ceiling.log)
    for name, surrogate in spec.surrogates().items():
        _begin(name, spec, seed, progress)
        oracle = Oracle(victim.recommender, target, k=spec.k, budget=spec.queries)
        with run.memo.clock() as seconds:
            attack = surrogate.attack(spec.clone_spec())
            clone = attack.steal(audited.knowledge(), oracle, run.child("attack"))
            lists = _lists_of_known(clone, audited)
            audited.stage(name, seconds(), clone.log)
        audited.record(name, lists)
        audited.ledgers.append(
            {"attack": name, "seed": seed, **asdict(oracle.ledger), "budget": spec.queries}
        )
    return audited.result(), victim


def _begin(stage: str, spec: AuditSpec, seed: int, progress: Progress) -> None:
    """Tell progress that a stage of the audit begins."""
    stages = (VICTIM, CEILING, *spec.attacks)
    done = spec.seeds.index(seed) * len(stages) + stages.index(stage)
    progress(f"audit: seed {seed}, {stage}", done, len(spec.seeds) * len(stages))


def _affordable(spec: AuditSpec, split: Split) -> np.ndarray:
    """Return the queried users that the budget allows beside the validation users' lists.

    They are drawn at random, and a greater budget keeps those of a smaller one: user numbers follow the
    ids of the file, which may tell early users from late ones.
    """
    if spec.queries is None or not any(surrogate.lists for surrogate in spec.surrogates().values()):
        return split.queried
    left = spec.queries - len(split.validation)
    if left < 1:
        raise UsageError(
            f"queries={spec.queries} leaves no list to learn from beside those of the attacker's "
            f"{len(split.validation)} validation users; raise queries or lower split.validation"
        )
    generator = numpy_generator(0, "budget", split.target.fingerprint)
    return np.sort(generator.permutation(split.queried)[:left])


def _lists_of_known(clone: Recommender, audited: _Audited) -> TopK:
    return top_k(clone, np.arange(audited.known.n_users), audited.known, audited.spec.k)


def _record_target(audited: _Audited) -> None:
    """Judge the victim's quality over all of the target's users."""
    split, k = audited.split, audited.spec.k
    lists = audited.victim.lists(np.arange(split.target.n_users), k)
    heldout = (split.heldout_offsets, split.heldout_items)
    metrics: dict[str, Callable[..., np.ndarray]] = {f"recall@{k}": recall, f"ndcg@{k}": ndcg}
    for metric, of in metrics.items():
        audited.values[VICTIM][metric]["target"] = of(lists.items, *heldout)
