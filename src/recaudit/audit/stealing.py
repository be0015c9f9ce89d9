"""Model stealing, one seed: its stages, what each needs, and what it measures."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int64

from recaudit.attacks.protocol import Knowledge
from recaudit.attacks.stealing.queries import SyntheticQueries
from recaudit.audit.budget import afforded
from recaudit.audit.judging import by_role, constant_lists, quality, unseen_users, values_of, variety
from recaudit.audit.spec import AUXILIARY, CEILING, CONSTANT, FLOOR, VICTIM, AuditSpec
from recaudit.audit.values import Judged, SeedResult, Values, packed_values, unpacked_values
from recaudit.audit.victim import Victim, fit_victim, split_for, victim_stage
from recaudit.audit.work import Work, digest, split_digest
from recaudit.data.interactions import Interactions
from recaudit.data.split import Split
from recaudit.metrics.ranking import agreement
from recaudit.models.fitting import fit_once, fit_stage, packed, spec_inputs
from recaudit.models.protocol import Recommender, RecommenderSpec, TopK, TrainingLog, reading, reads_histories
from recaudit.models.ranking import top_k
from recaudit.models.zoo.baselines import Popularity
from recaudit.oracle.defences import Defence
from recaudit.oracle.oracle import Ledger, Oracle
from recaudit.pipeline import Piece, Stage
from recaudit.pipeline.run import Run
from recaudit.rng import child_seed
from recaudit.victims.protocol import Queries
from recaudit.victims.trained import FittedVictim

__all__ = ["Stealing"]


class Stealing:
    """The stages of one seed that steal the victim; they take what they need from the memo, or compute it.

    Attacks of one seed share the seed, hence their starting point and the auxiliary model, so that their
    differences are theirs alone.

    Where the clone reads histories, it is shown those of users of the target whom the attacker has never
    seen too (the role ``unseen``), and the auxiliary model alone is judged like an attack that asks for
    nothing: it is shown the same histories, also the items in them that ``common_items`` keeps attacks from
    matching. The constant list stands beside all this wherever victim or clone read histories.

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
        self._surrogates = spec.surrogates()
        self._victim_spec = spec.victim_spec()
        self._clone_spec = spec.clone_spec()
        self.knowledge = self._knowledge()
        self.queried = self.knowledge.queried
        self.roles = {
            "all": np.arange(len(self.split.known)),
            "queried": self.queried,
            "unqueried": self.split.unqueried,
        }
        self._references = spec.references
        self._unseen: Int64[np.ndarray, "N"] | None = None
        if spec.clone_reads:
            self._unseen = unseen_users(self.split)
            if len(self._unseen):
                self.roles["unseen"] = len(self.split.known) + np.arange(len(self._unseen))

    def _knowledge(self) -> Knowledge:
        """Return what every attack may see."""
        split = self.split
        whole = Knowledge(
            known=split.target.of_users(split.known),
            accounts=split.known,
            queried=split.queried,
            validation=split.validation,
            auxiliary=split.auxiliary,
            clone=self._clone_spec,
            common=None if split.common.all() else split.common,
        )
        target = split.target.fingerprint
        return afforded(whole, self._surrogates, budget=self.spec.queries, target=target)

    def victim(self) -> Victim:
        """Return the victim, trained where it is not kept."""
        return fit_victim(self.spec, self.split, self.run)

    def works(self) -> tuple[Work, ...]:
        """Return all stages, in an order in which each comes after those that it needs."""
        victim, works = self._victim_stage, []
        if self.spec.saved_victim is None:
            works.append(Work(name=("fit", VICTIM), stage=victim, needs=()))
        beside = {row: fit_stage(*fitted) for row, fitted in self._fitted.items()}
        works += [Work(name=("fit", row), stage=stage, needs=()) for row, stage in beside.items()]
        for name in self._surrogates:
            needs: tuple[str, ...] = ()
            for position, stage in enumerate(self._attack(name).shared_stages(self.knowledge, self._attacks)):
                works.append(Work(name=("share", name, str(position)), stage=stage, needs=needs))
                needs += (stage.hash,)
            works.append(self._judgement(name, (victim.hash, *needs)))
        for row in self._references:
            own = (beside[row].hash,) if row in beside else ()
            works.append(self._judgement(row, (victim.hash, *own)))
        return tuple(works)

    def do(self, name: tuple[str, ...]) -> None:
        """Do the stage of this name and keep its result."""
        match name:
            case ("fit", "victim"):
                self.victim()
            case ("fit", row):
                fit_once(*self._fitted[row])
            case ("share", attack, position):
                self._attack(attack).share(self.knowledge, self._attacks, int(position))
            case ("judge", row):
                self.judged(row)
            case _:
                raise ValueError(f"no stage is named {name!r}")

    def judged(self, row: str) -> Judged:
        """Return how a row came out: one of :attr:`AuditSpec.references` or an attack."""
        return self.run.memo.once(
            self._judged_stage(row), lambda: self._judge(row), packed_values, unpacked_values
        )

    @property
    def rows(self) -> tuple[str, ...]:
        """What is judged, in order."""
        first = (VICTIM, FLOOR, CEILING)
        return (*first, *(row for row in self._references if row not in first), *self._surrogates)

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
    def _fitted(self) -> Mapping[str, tuple[RecommenderSpec, Interactions, Run]]:
        """What is fitted to what, by the row that stands beside the attacks.

        The auxiliary model is the one that attacks fuse: its stage is theirs.
        """
        found: dict[str, tuple[RecommenderSpec, Interactions, Run]] = {
            CEILING: (self._victim_spec, self.split.target, self.run.child("retrained"))
        }
        if AUXILIARY in self._references:
            found[AUXILIARY] = (self._clone_spec, self.split.auxiliary, self._attacks.child("auxiliary"))
        return found

    @cached_property
    def _defence(self) -> Defence | None:
        if self.spec.defence is None:
            return None
        by_list = reads_histories(self._victim_spec)
        return self.spec.defence.protect(
            self.split.target, child_seed(self.run.seed, "defence"), by_list=by_list
        )

    def _attack(self, name: str) -> Attack:
        return self._surrogates[name].attack(self._clone_spec)

    def _judgement(self, row: str, needs: tuple[str, ...]) -> Work:
        return Work(name=("judge", row), stage=self._judged_stage(row), needs=needs)

    def _judged_stage(self, row: str) -> Stage:
        """Return what names a row's values: the model behind it, whom it is judged by and on whom."""
        behind: Mapping[str, Any] = {"model": row}
        if row == CONSTANT:  # what was stored before ranked items by counts
            behind = {"model": row, "ranked_by": "share of the users who have not seen the item"}
        if row in self._fitted:
            behind = {"model": fit_stage(*self._fitted[row]).hash}
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
        if self._unseen is not None:
            inputs["unseen"] = digest([self._unseen], ())
        return Stage(kind="figures", inputs=inputs)

    @cached_property
    def _split_digest(self) -> str:
        return split_digest(self.split, self.queried)

    @cached_property
    def _digest_without_auxiliary(self) -> str:
        """The digest for attacks that use no auxiliary data: the same, however much of them there is."""
        whole = self.spec.split.model_copy(update={"auxiliary_share": 1.0, "common_items": 1.0})
        return split_digest(
            split_for(self.spec.model_copy(update={"split": whole}), self._data, self.run.seed), self.queried
        )

    @property
    def _plain_defence(self) -> dict[str, Any] | None:
        if self.spec.defence is None:
            return None
        plain = self.spec.defence.model_dump(mode="json")
        # Key salt: in older results a user's number or history fixed what a defence draws.
        return plain | {"drawn_by": "list"} if reads_histories(self._victim_spec) else plain

    def _clone_stage(self, name: str) -> Stage:
        """Return what names an attack's clone. One that asks for no list depends on no victim."""
        settings = self._surrogates[name]
        if not settings.lists:
            return self._attack(name).shared_stages(self.knowledge, self._attacks)[-1]
        inputs = {
            "settings": settings.model_dump(mode="json"),
            "spec": spec_inputs(self._clone_spec),
            "victim": self._victim_stage.hash,
            "data": self.split.target.name,
            "k": self.spec.k,
            "defence": self._plain_defence,
            "seed": self._attacks.seed,
            "device": self.run.device,
        }
        if isinstance(settings, SyntheticQueries):  # it sees no user, and counts them for its lists
            inputs["lists"] = settings.n_lists(len(self.queried) + len(self.split.validation))
        else:
            alone = settings.auxiliary == "none"
            inputs["split"] = self._digest_without_auxiliary if alone else self._split_digest
        return Stage(kind="clone", inputs=inputs)

    def _clone(self, name: str, victim: Victim) -> tuple[Recommender, Ledger]:
        """Return an attack's clone and what it asked for."""
        attack, known, run = self._attack(name), self.knowledge.known, self._attacks

        def steal() -> tuple[Recommender, Ledger]:
            split = self.split
            oracle = Oracle(
                FittedVictim(recommender=victim.recommender, seen=split.target),
                allowed=split.known[np.concatenate([self.queried, split.validation])],
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
            return Piece(tensors=piece.tensors, facts={**piece.facts, "ledger": self._told(found[1])})

        def unpack(piece: Piece) -> tuple[Recommender, Ledger]:
            clone = attack.restore(piece, known, run)
            return clone, Ledger(**piece.facts["ledger"])

        return run.memo.once(self._clone_stage(name), steal, pack, unpack)

    @cached_property
    def _users(self) -> Int64[np.ndarray, "J"]:
        """Numbers in the target of the users who are judged: the known ones, then the unseen ones."""
        known = self.split.known
        return known if self._unseen is None else np.concatenate([known, self._unseen])

    def _judge(self, row: str) -> Judged:
        """Judge the lists of all judged users against those that the victim serves and the held-out items."""
        victim, k = self.victim(), self.spec.k
        undefended = victim.lists(self._users, k)
        reference = self._served(undefended, self._users)
        with self.run.memo.clock() as seconds:
            if row == VICTIM:
                self.victim()  # kept by now: the clock counts what that had cost
                lists, log, ledger = reference, victim.recommender.log, None
            else:
                lists, log, ledger = self._lists(row, victim)
            cost = {} if row in (FLOOR, CONSTANT) else _cost(seconds(), log)
        values = values_of(reference, lists, self.split, self._users, self.roles)
        if self._defence is not None:
            undone = agreement(undefended.items, lists.items)
            values[f"agreement_undefended@{k}"] = by_role(undone, self.roles)
        if row == VICTIM:
            self._add_target(victim, values)
        return Judged(values=values, cost=cost, ledger=None if ledger is None else self._told(ledger))

    def _lists(self, row: str, victim: Victim) -> tuple[TopK, TrainingLog | None, Ledger | None]:
        """Return what judged users get from a row but the victim, how it trained, and what it asked."""
        target, k, users = self.split.target, self.spec.k, self._users
        if row == FLOOR:
            return top_k(Popularity().fit(target, self.run), users, target, k), None, None
        if row == CONSTANT:
            return constant_lists(self._served_to_all(victim), users, target), None, None
        if row == CEILING:
            ceiling = fit_once(*self._fitted[row])
            return top_k(ceiling, users, target, k), ceiling.log, None
        if row == AUXILIARY:
            clone, ledger = fit_once(*self._fitted[row]), Ledger(lists=0, users=0, items=0)
        else:
            clone, ledger = self._clone(row, victim)
        histories = self.knowledge.known if self._unseen is None else target.of_users(users)
        lists = top_k(reading(clone, histories), np.arange(histories.n_users), histories, k)
        return lists, clone.log, ledger

    def _served(self, lists: TopK, users: np.ndarray) -> TopK:
        """Return the victim's lists as it serves them."""
        return lists if self._defence is None else self._defence.apply(Queries(users=users), lists)

    def _served_to_all(self, victim: Victim) -> TopK:
        """Return the lists that the victim serves to all of the target's users."""
        everybody = np.arange(self.split.target.n_users)
        return self._served(victim.lists(everybody, self.spec.k), everybody)

    def _told(self, ledger: Ledger) -> dict[str, int]:
        """Return what is kept of a ledger: calls and sequences only where a model reads histories.

        Elsewhere they say nothing, and audits that were stored before they were counted lack them.
        """
        told = asdict(ledger)
        if CONSTANT not in self._references:
            del told["calls"], told["sequences"]
        return told

    def _add_target(self, victim: Victim, values: Values) -> None:
        """Judge what the victim serves over all of the target's users."""
        target = self.split.target
        lists = self._served_to_all(victim)
        added = quality(lists, self.split, np.arange(target.n_users))
        if CONSTANT in self._references:
            added |= variety(lists, target.n_items)
        for metric, of_users in added.items():
            values.setdefault(metric, {})["target"] = of_users


def _cost(seconds: float, log: TrainingLog | None) -> dict[str, Any]:
    epochs = {} if log is None else {"epochs": log.epochs, "best_epoch": log.best_epoch}
    return {"seconds": round(seconds, 3), **epochs}
