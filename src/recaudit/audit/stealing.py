"""Model stealing, one seed: its stages, what each needs, and what it measures."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float64

from recaudit.attacks.base import Knowledge
from recaudit.attacks.stealing.surrogate import SurrogateAttack
from recaudit.audit.spec import CEILING, FLOOR, VICTIM, AuditSpec
from recaudit.audit.values import Judged, SeedResult, Values, packed_values, unpacked_values
from recaudit.audit.victim import Victim, fit_victim, split_for, victim_stage
from recaudit.audit.work import Work, digest
from recaudit.data.interactions import Interactions
from recaudit.data.rows import picked_rows
from recaudit.data.split import Split
from recaudit.errors import UsageError
from recaudit.metrics.ranking import agreement, ndcg, rank_biased_overlap, recall
from recaudit.models.base import Recommender, Run, TopK, TrainingLog
from recaudit.models.baselines import Popularity
from recaudit.models.fitting import fit_once, fit_stage, packed, spec_inputs
from recaudit.models.ranking import top_k
from recaudit.oracle.defences import Defence
from recaudit.oracle.oracle import Ledger, Oracle
from recaudit.rng import child_seed, numpy_generator
from recaudit.store import Piece, Stage

__all__ = ["Stealing"]


class Stealing:
    """The stages of one seed that steal the victim; they take what they need from the memo, or compute it.

    Attacks of one seed share the seed, hence their starting point and the auxiliary model, so that their
    differences are theirs alone.

    Args:
        spec: what to measure.
        data: the interactions that the spec names.
        run: seed, device, progress and memo.

    Raises:
        UsageError: where the data cannot be split as the spec says.
    """

    def __init__(self, spec: AuditSpec, data: Interactions, run: Run) -> None:
        self.spec = spec
        self.run = run
        self._data = data
        self.split: Split = split_for(spec, data, run.seed)
        self.queried = _affordable(spec, self.split)
        self.roles = {
            "all": np.arange(len(self.split.known)),
            "queried": self.queried,
            "unqueried": self.split.unqueried,
        }
        self._surrogates = spec.surrogates()
        self._victim_spec = spec.victim_spec()
        self._clone_spec = spec.clone_spec()

    @cached_property
    def knowledge(self) -> Knowledge:
        """What every attack may see."""
        split = self.split
        return Knowledge(
            known=split.target.of_users(split.known),
            accounts=split.known,
            queried=self.queried,
            validation=split.validation,
            auxiliary=split.auxiliary,
            common=None if split.common.all() else split.common,
        )

    def victim(self) -> Victim:
        """Return the victim, trained where it is not kept."""
        return fit_victim(self.spec, self.split, self.run)

    def works(self) -> tuple[Work, ...]:
        """Return all stages, in an order in which each comes after those that it needs."""
        victim, ceiling = self._victim_stage, self._ceiling_stage
        works = [Work(name=("fit", CEILING), stage=ceiling, needs=())]
        if self.spec.saved_victim is None:
            works.insert(0, Work(name=("fit", VICTIM), stage=victim, needs=()))
        for name in self._surrogates:
            needs: tuple[str, ...] = ()
            for position, stage in enumerate(self._attack(name).shared_stages(self.knowledge, self._attacks)):
                works.append(Work(name=("share", name, str(position)), stage=stage, needs=needs))
                needs += (stage.hash,)
            works.append(self._judgement(name, (victim.hash, *needs)))
        works.append(self._judgement(CEILING, (victim.hash, ceiling.hash)))
        return (*works, *(self._judgement(name, (victim.hash,)) for name in (VICTIM, FLOOR)))

    def do(self, name: tuple[str, ...]) -> None:
        """Do the stage of this name and keep its result."""
        match name:
            case ("fit", "victim"):
                self.victim()
            case ("fit", _):
                self._ceiling()
            case ("share", attack, position):
                self._attack(attack).share(self.knowledge, self._attacks, int(position))
            case ("judge", row):
                self.judged(row)
            case _:
                raise ValueError(f"no stage is named {name!r}")

    def judged(self, row: str) -> Judged:
        """Return how a row came out: ``popularity``, ``retrained``, ``victim`` or an attack."""
        return self.run.memo.once(
            self._judged_stage(row), lambda: self._judge(row), packed_values, unpacked_values
        )

    @property
    def rows(self) -> tuple[str, ...]:
        """What is judged, in order."""
        return (VICTIM, FLOOR, CEILING, *self._surrogates)

    def result(self, tell: Callable[[str], None]) -> SeedResult:
        """Return what all rows measured, computing what is not kept; ``tell`` hears each row that begins."""
        judged = {}
        for row in self.rows:
            tell(row)
            judged[row] = self.judged(row)
        counts = {role: len(users) for role, users in self.roles.items()}
        counts |= {"validation": len(self.split.validation), "target": self.split.target.n_users}
        seed = self.run.seed
        return SeedResult(
            seed=seed,
            users=counts | {"auxiliary": self.split.auxiliary.n_users},
            values={row: one.values for row, one in judged.items()},
            ledgers=[
                {"attack": row, "seed": seed, **one.ledger, "budget": self.spec.queries}
                for row, one in judged.items()
                if one.ledger is not None
            ],
            stages=[{"seed": seed, "stage": row, **one.cost} for row, one in judged.items() if one.cost],
            interactions=len(self.split.target.items),
        )

    @cached_property
    def _attacks(self) -> Run:
        return self.run.child("attack")

    @cached_property
    def _victim_stage(self) -> Stage:
        return victim_stage(self.spec, self.split.target, self.run)

    @cached_property
    def _ceiling_stage(self) -> Stage:
        return fit_stage(self._victim_spec, self.split.target, self.run.child("retrained"))

    @cached_property
    def _defence(self) -> Defence | None:
        if self.spec.defence is None:
            return None
        return self.spec.defence.protect(self.split.target, child_seed(self.run.seed, "defence"))

    def _ceiling(self) -> Recommender:
        return fit_once(self._victim_spec, self.split.target, self.run.child("retrained"))

    def _attack(self, name: str) -> SurrogateAttack:
        return self._surrogates[name].attack(self._clone_spec)

    def _judgement(self, row: str, needs: tuple[str, ...]) -> Work:
        return Work(name=("judge", row), stage=self._judged_stage(row), needs=needs)

    def _judged_stage(self, row: str) -> Stage:
        """Return what names a row's values: the model behind it, whom it is judged by and on whom."""
        behind: Mapping[str, Any] = {"model": row}
        if row == CEILING:
            behind = {"model": self._ceiling_stage.hash}
        elif row in self._surrogates:
            behind = {"model": self._clone_stage(row).hash, "asks": self._surrogates[row].lists}
        inputs = {
            **behind,
            "victim": self._victim_stage.hash,
            "data": self.split.target.name,
            "split": self._split_digest,
            "k": self.spec.k,
            "defence": self._plain_defence,
        }
        return Stage(kind="figures", inputs=inputs)

    @cached_property
    def _split_digest(self) -> str:
        return _digest(self.split, self.queried)

    @cached_property
    def _digest_without_auxiliary(self) -> str:
        """The digest for attacks that use no auxiliary data: the same, however much of them there is."""
        whole = self.spec.split.model_copy(update={"auxiliary_share": 1.0, "common_items": 1.0})
        return _digest(
            split_for(self.spec.model_copy(update={"split": whole}), self._data, self.run.seed), self.queried
        )

    @property
    def _plain_defence(self) -> dict[str, Any] | None:
        return None if self.spec.defence is None else self.spec.defence.model_dump(mode="json")

    def _clone_stage(self, name: str) -> Stage:
        """Return what names an attack's clone. One that asks for no list depends on no victim."""
        if not self._surrogates[name].lists:
            return self._attack(name).shared_stages(self.knowledge, self._attacks)[-1]
        alone = self._surrogates[name].auxiliary == "none"
        inputs = {
            "settings": self._surrogates[name].model_dump(mode="json"),
            "spec": spec_inputs(self._clone_spec),
            "victim": self._victim_stage.hash,
            "data": self.split.target.name,
            "split": self._digest_without_auxiliary if alone else self._split_digest,
            "k": self.spec.k,
            "defence": self._plain_defence,
            "seed": self._attacks.seed,
            "device": self.run.device,
        }
        return Stage(kind="clone", inputs=inputs)

    def _clone(self, name: str, victim: Victim) -> tuple[Recommender, Ledger]:
        """Return an attack's clone and what it asked for."""
        attack, known, run = self._attack(name), self.knowledge.known, self._attacks

        def steal() -> tuple[Recommender, Ledger]:
            oracle = Oracle(
                victim.recommender,
                self.split.target,
                k=self.spec.k,
                budget=self.spec.queries,
                defence=self._defence,
            )
            clone = attack.steal(self.knowledge, oracle, run)
            return clone, oracle.ledger

        if not self._surrogates[name].lists:  # what it leaves is kept as a shared stage already
            return steal()

        def pack(found: tuple[Recommender, Ledger]) -> Piece:
            piece = packed(found[0])
            return Piece(tensors=piece.tensors, facts={**piece.facts, "ledger": asdict(found[1])})

        def unpack(piece: Piece) -> tuple[Recommender, Ledger]:
            clone = attack.restore(piece, known, run)
            return clone, Ledger(**piece.facts["ledger"])

        return run.memo.once(self._clone_stage(name), steal, pack, unpack)

    def _judge(self, row: str) -> Judged:
        """Judge the lists of all known users against those that the victim serves and the held-out items."""
        victim, target, k = self.victim(), self.split.target, self.spec.k
        known, ledger, cost = self.split.known, None, {}
        undefended = victim.lists(known, k)
        reference = self._served(undefended, known)
        with self.run.memo.clock() as seconds:
            if row == VICTIM:
                self.victim()  # kept by now: the clock counts what that had cost
                lists, log = reference, victim.recommender.log
            elif row == FLOOR:
                lists, log = top_k(Popularity().fit(target, self.run), known, target, k), None
            elif row == CEILING:
                ceiling = self._ceiling()
                lists, log = top_k(ceiling, known, target, k), ceiling.log
            else:
                clone, asked = self._clone(row, victim)
                everybody = np.arange(self.knowledge.known.n_users)
                lists, log = top_k(clone, everybody, self.knowledge.known, k), clone.log
                ledger = asdict(asked)
            if row != FLOOR:
                cost = _cost(seconds(), log)
        values = self._values(reference, lists)
        if self._defence is not None:
            values[f"agreement_undefended@{k}"] = self._by_role(agreement(undefended.items, lists.items))
        if row == VICTIM:
            self._add_target(victim, values)
        return Judged(values=values, cost=cost, ledger=ledger)

    def _served(self, lists: TopK, users: np.ndarray) -> TopK:
        """Return the victim's lists as it serves them."""
        return lists if self._defence is None else self._defence.apply(users, lists)

    def _values(self, reference: TopK, lists: TopK) -> Values:
        k = self.spec.k
        offsets, places = picked_rows(self.split.heldout_offsets, self.split.known)
        heldout = (offsets, self.split.heldout_items[places])
        by_metric = {
            f"agreement@{k}": agreement(reference.items, lists.items),
            f"rbo@{k}": rank_biased_overlap(reference.items, lists.items),
            f"recall@{k}": recall(lists.items, *heldout),
            f"ndcg@{k}": ndcg(lists.items, *heldout),
        }
        return {metric: self._by_role(values) for metric, values in by_metric.items()}

    def _by_role(self, values: Float64[np.ndarray, "K"]) -> dict[str, Float64[np.ndarray, "_"]]:
        return {role: values[rows] for role, rows in self.roles.items()}

    def _add_target(self, victim: Victim, values: Values) -> None:
        """Judge the quality of what the victim serves over all of the target's users."""
        split, k = self.split, self.spec.k
        users = np.arange(split.target.n_users)
        lists = self._served(victim.lists(users, k), users)
        heldout = (split.heldout_offsets, split.heldout_items)
        metrics: dict[str, Callable[..., np.ndarray]] = {f"recall@{k}": recall, f"ndcg@{k}": ndcg}
        for metric, of in metrics.items():
            values[metric]["target"] = of(lists.items, *heldout)


def _digest(split: Split, queried: np.ndarray) -> str:
    """Return the SHA-256 over who is on which side, as far as attacks and figures depend on it."""
    heldout = (split.heldout_offsets, split.heldout_items)
    parts = (split.known, queried, split.validation, split.unqueried, split.common, *heldout)
    return digest(parts, (split.target.fingerprint, split.auxiliary.fingerprint))


def _cost(seconds: float, log: TrainingLog | None) -> dict[str, Any]:
    epochs = {} if log is None else {"epochs": log.epochs, "best_epoch": log.best_epoch}
    return {"seconds": round(seconds, 3), **epochs}


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
