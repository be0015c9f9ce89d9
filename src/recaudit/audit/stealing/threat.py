"""The threat of model stealing, one seed: its nodes, and what they measure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int64

from recaudit.attacks.protocol import Knowledge, SharesNodes, StealingAttack
from recaudit.attacks.registry import key_inputs
from recaudit.audit.digests import digest, split_digest
from recaudit.audit.spec import AUXILIARY, CEILING, CONSTANT, FLOOR, VICTIM, AuditSpec
from recaudit.audit.stealing.budget import afforded
from recaudit.audit.stealing.judging import (
    arithmetic,
    by_role,
    constant_lists,
    hollow,
    quality,
    unseen_users,
    values_of,
    variety,
)
from recaudit.audit.values import JUDGED, Judged, SeedResult, Values
from recaudit.audit.victim import opened_victim, retrained_node, split_for, victim_node
from recaudit.data.interactions import Interactions
from recaudit.data.split import Split
from recaudit.metrics.ranking import agreement
from recaudit.models.fitting import fit_node, spec_inputs
from recaudit.models.protocol import Recommender, TopK, TrainingLog, reading
from recaudit.models.ranking import top_k
from recaudit.models.zoo.baselines import Popularity
from recaudit.oracle.defences import Defence
from recaudit.oracle.oracle import Ledger, Oracle
from recaudit.oracle.registry import defence_inputs
from recaudit.pipeline.node import Node
from recaudit.pipeline.run import Run
from recaudit.rng import child_seed
from recaudit.victims.protocol import Queries, Victim

__all__ = ["Stealing"]

NO_LISTS = Ledger(lists=0, users=0, items=0)


@dataclass(frozen=True, kw_only=True)
class Served:
    """The victim and its lists: as its model makes them, and as they are served after the defence."""

    victim: Victim
    undefended: TopK
    lists: TopK
    log: TrainingLog | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a row serves to the judged users, how its model trained, and what it asked the victim."""

    lists: TopK
    log: TrainingLog | None = None
    ledger: Ledger | None = None


class Stealing:
    """The nodes of one seed that steal the victim.

    Attacks of one seed share the seed, hence their starting point and the auxiliary model, so that their
    differences are theirs alone.

    Where the clone reads histories, it is shown those of users of the target whom the attacker has never
    seen too (the role ``unseen``), and the auxiliary model alone is judged like an attack that asks for
    nothing: it is shown the same histories, also the items in them that ``common_items`` keeps attacks from
    matching. The constant list stands beside all this wherever victim or clone read histories.

    Args:
        spec: what to measure.
        data: the interactions that the spec names.
        run: seed, device, progress and cache.

    Raises:
        UsageError: where the data cannot be split as the spec says.
    """

    def __init__(self, spec: AuditSpec, data: Interactions, run: Run) -> None:
        self.spec = spec
        self.run = run
        self.split: Split = split_for(spec, data, run.seed)
        self._settings = spec.settings
        self._clone_spec = spec.clone
        self.knowledge = self._known()
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

    def _known(self) -> Knowledge:
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
        return afforded(whole, self._settings, budget=self.spec.queries, target=target)

    def _knowledge_of(self, attack: StealingAttack) -> Knowledge:
        """Return what an attack may see: auxiliary data only where its card says that it needs them."""
        if "auxiliary" in attack.card.needs:
            return self.knowledge
        nobody = self.split.auxiliary.of_users(np.zeros(0, dtype=np.int64))
        return replace(self.knowledge, auxiliary=nobody, common=None)

    @cached_property
    def rows(self) -> Mapping[str, Node[Judged]]:
        """The judged rows by name, in the order in which they are computed."""
        first = (VICTIM, FLOOR, CEILING)
        others = (row for row in self._references if row not in first)
        return {row: self._judged(row) for row in (*first, *others, *self._settings)}

    def result(self) -> SeedResult:
        """Return what all rows measured, from the run's cache."""
        judged = {row: self.run.cache.get(node) for row, node in self.rows.items()}
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
    def victim(self) -> Node[Any]:
        """The node of the victim: its model, or what was opened where it is no model of ours."""
        return victim_node(self.spec, self.split, self.run)

    @cached_property
    def _served(self) -> Node[Served]:
        """The node of what the victim serves to the judged users."""
        return self._serving("judged", self._users)

    @cached_property
    def _served_to_all(self) -> Node[Served]:
        """The node of what the victim serves to all of the target's users."""
        return self._serving("target", np.arange(self.split.target.n_users))

    def _serving(self, whom: str, users: Int64[np.ndarray, "U"]) -> Node[Served]:
        def compute() -> Served:
            found = self.run.cache.get(self.victim)
            victim = opened_victim(found, self.split.target)
            queries = _about(victim, users, self.split.target)
            undefended = victim.recommend(queries, self.spec.k)
            lists = undefended if self._defence is None else self._defence.apply(queries, undefended)
            log = found.log if isinstance(found, Recommender) else None
            return Served(victim=victim, undefended=undefended, lists=lists, log=log)

        return Node(
            kind="served",
            inputs={"users": digest([users], ()), "k": self.spec.k, "defence": self._plain_defence},
            needs={VICTIM: self.victim},
            compute=compute,
            codec=None,
            label=f"the victim's lists of {whom} users",
        )

    @cached_property
    def _fitted(self) -> Mapping[str, Node[Any]]:
        """The nodes of the models that stand beside the attacks, by row.

        The auxiliary model is the one that attacks fuse: its node is theirs.
        """
        found = {CEILING: retrained_node(self.spec, self.split, self.run)}
        if AUXILIARY in self._references:
            run = self._attacks.child("auxiliary")
            found[AUXILIARY] = fit_node(self._clone_spec, self.split.auxiliary, run, of="auxiliary users")
        return found

    @cached_property
    def _attacks(self) -> Run:
        return self.run.child("attack")

    @cached_property
    def _defence(self) -> Defence | None:
        if self.spec.defence is None:
            return None
        seed = child_seed(self.run.seed, "defence")
        return self.spec.defence.protect(self.split.target, seed, by_list=self.spec.victim_reads)

    @property
    def _plain_defence(self) -> dict[str, Any] | None:
        return None if self.spec.defence is None else defence_inputs(self.spec.defence)

    @cached_property
    def _users(self) -> Int64[np.ndarray, "J"]:
        """Numbers in the target of the users who are judged: the known ones, then the unseen ones."""
        known = self.split.known
        return known if self._unseen is None else np.concatenate([known, self._unseen])

    def _judged(self, row: str) -> Node[Judged]:
        """Return the node that judges a row: a reference or an attack."""
        uses_auxiliary = True
        inputs: dict[str, Any] = {
            "row": row if row in self._references else "attack",
            "data": self.split.target.name,
            "k": self.spec.k,
            "users": digest([self._users], ()),
            "defence": self._plain_defence,
        }
        needs: dict[str, Node[Any]] = {VICTIM: self._served}
        if row in self._fitted:
            needs["model"] = self._fitted[row]
        if row in (VICTIM, CONSTANT):
            needs["target"] = self._served_to_all
        if row in self._settings:
            attack = self._settings[row]
            uses_auxiliary = "auxiliary" in attack.card.needs
            inputs |= {
                "attack": key_inputs(attack),
                "budget": self.spec.queries,
                "clone": spec_inputs(self._clone_spec),
                "seed": self._attacks.seed,
                "device": self.run.device,
            }
            shared = (
                attack.nodes(self._knowledge_of(attack), self._attacks)
                if isinstance(attack, SharesNodes)
                else ()
            )
            needs |= {f"shared {place}": node for place, node in enumerate(shared)}
        inputs["split"] = split_digest(self.split, self.queried, auxiliary=uses_auxiliary)
        return Node(
            kind="judged",
            inputs=inputs,
            needs=needs,
            compute=lambda: self._judge(row),
            codec=JUDGED,
            label=f"judging {row}" if row in self._references else f"attacking with {row}",
        )

    def _judge(self, row: str) -> Judged:
        """Judge the lists of all judged users against those that the victim serves and the held-out items."""
        cache, k = self.run.cache, self.spec.k
        served = cache.get(self._served)
        with cache.clock() as seconds:
            if row == VICTIM:  # the clock counts what the victim's training took; no other row pays for it
                cache.get(self.victim)
            answer = self._answer(row, served)
            log = None if answer is None else answer.log
            cost = {} if row in (FLOOR, CONSTANT) else _cost(seconds(), log)
        if answer is None:
            return Judged(values=self._not_measurable(served), cost={}, ledger=None)
        values = values_of(served.lists, answer.lists, self.split, self._users, self.roles)
        if self._defence is not None:
            undone = agreement(served.undefended.items, answer.lists.items)
            values[f"agreement_undefended@{k}"] = by_role(undone, self.roles)
        if row in self._settings or row == AUXILIARY:
            values |= hollow(answer.lists, self.roles)
        if row == VICTIM:
            values |= self._hollow_victim()
            self._add_target(values)
        return Judged(values=values, cost=cost, ledger=self._told(answer.ledger))

    def _told(self, ledger: Ledger | None) -> dict[str, int] | None:
        """Return the counts of a ledger; calls and sequences say something only where a model reads histories."""
        if ledger is None:
            return None
        silent = () if CONSTANT in self._references else ("calls", "sequences")
        return {name: count for name, count in asdict(ledger).items() if name not in silent}

    def _not_measurable(self, served: Served) -> Values:
        """Return the values of a ceiling that cannot be measured, each of them nan."""
        like = values_of(served.lists, served.lists, self.split, self._users, self.roles)
        if self._defence is not None:
            like[f"agreement_undefended@{self.spec.k}"] = like[f"agreement@{self.spec.k}"]
        return {
            metric: {role: np.full(len(values), np.nan) for role, values in roles.items()}
            for metric, roles in like.items()
        }

    def _answer(self, row: str, served: Served) -> Answer | None:
        """Return what a row serves to the judged users; ``None`` where it cannot be measured."""
        cache, target, k, users = self.run.cache, self.split.target, self.spec.k, self._users
        if row == VICTIM:
            return Answer(lists=served.lists, log=served.log)
        if row == FLOOR:
            return Answer(lists=top_k(Popularity().fit(target, self.run), users, target, k))
        if row == CONSTANT:
            return Answer(lists=constant_lists(cache.get(self._served_to_all).lists, users, target))
        if row == CEILING:
            found = cache.get(self._fitted[row])
            if found is None:
                return None
            again = opened_victim(found, target)
            lists = again.recommend(_about(again, users, target), k)
            return Answer(lists=lists, log=found.log if isinstance(found, Recommender) else None)
        if row == AUXILIARY:
            clone, ledger = cache.get(self._fitted[row]), NO_LISTS
        else:
            clone, ledger = self._steal(row, served.victim)
        histories = self.knowledge.known if self._unseen is None else target.of_users(users)
        lists = top_k(reading(clone, histories), np.arange(histories.n_users), histories, k)
        return Answer(lists=lists, log=clone.log, ledger=ledger)

    def _steal(self, name: str, victim: Victim) -> tuple[Recommender, Ledger]:
        """Return an attack's clone and what it asked for."""
        split, attack = self.split, self._settings[name]
        oracle = Oracle(
            victim,
            allowed=split.known[np.concatenate([self.queried, split.validation])],
            k=self.spec.k,
            budget=self.spec.queries,
            defence=self._defence,
        )
        clone = attack.steal(self._knowledge_of(attack), oracle, self._attacks)
        return clone, oracle.ledger

    def _hollow_victim(self) -> Values:
        """Return where the victim's lists say nothing of it: by arithmetic, and by ties where its model is ours.

        Its scores are looked at here alone: what it serves has none, and a defence may have changed that.
        """
        k, found = self.spec.k, self.run.cache.get(self.victim)
        values = arithmetic(self.split, self._users, self.roles, k)
        if isinstance(found, Recommender):
            values |= hollow(top_k(found, self._users, self.split.target, k), self.roles)
        return values

    def _add_target(self, values: Values) -> None:
        """Judge what the victim serves over all of the target's users."""
        target, lists = self.split.target, self.run.cache.get(self._served_to_all).lists
        added = quality(lists, self.split, np.arange(target.n_users))
        added |= variety(lists, target.n_items)
        for metric, of_users in added.items():
            values.setdefault(metric, {})["target"] = of_users


def _about(victim: Victim, users: Int64[np.ndarray, "U"], target: Interactions) -> Queries:
    """Return queries about users of the target: by number, or by history where the victim knows no numbers."""
    if victim.abilities.by_user:
        return Queries(users=users)
    return Queries(histories=target.of_users(users))


def _cost(seconds: float, log: TrainingLog | None) -> dict[str, Any]:
    epochs = {} if log is None else {"epochs": log.epochs, "best_epoch": log.best_epoch}
    return {"seconds": round(seconds, 3), **epochs}
