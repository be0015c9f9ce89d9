"""What every stealing attack must do: one suite, joined by a subclass that names an attack.

A spy victim proves that attacks see ``Knowledge`` and the oracle, and nothing else.
"""

import dataclasses
import types

import numpy as np
import pytest
import torch

from recaudit.attacks.protocol import Knowledge, StealingAttack
from recaudit.attacks.registry import STEALING_ATTACKS
from recaudit.attacks.stealing.surrogate import Surrogate
from recaudit.data.split import Split, SplitSpec, split
from recaudit.data.synthetic import checkerboard
from recaudit.models import factorization
from recaudit.models.factorization import BPR, LMF
from recaudit.models.protocol import Recommender
from recaudit.models.ranking import top_k
from recaudit.models.training import Optimisation, Stopping
from recaudit.models.zoo.ncf import NCF
from recaudit.oracle.oracle import BudgetExceeded, Ledger, Oracle
from recaudit.pipeline.cache import Cache
from recaudit.pipeline.run import Run
from recaudit.victims.trained import FittedVictim

ATTACKS = {name: one for name, one in STEALING_ATTACKS.items() if isinstance(one, Surrogate)}
K = 5
STOPPING = Stopping(epochs=2, evaluate_every=1)
CLONE = BPR(embedding_size=4, optimisation=Optimisation(learning_rate=0.05, batch_size=64), stopping=STOPPING)


class Spy:
    """A victim that ranks items by a user's own random order, and notes every touch.

    What it serves cannot be guessed from anybody's interactions: an attack that reproduces it looked.
    """

    def __init__(self, n_users, n_items, seed=0):
        object.__setattr__(self, "touched", [])
        random = np.random.default_rng(seed)
        self._scores = torch.from_numpy(random.random((n_users, n_items), dtype=np.float32))
        self.n_users, self.n_items, self.log = n_users, n_items, None
        self.touched.clear()

    def __getattribute__(self, name):
        if name != "touched":
            object.__getattribute__(self, "touched").append(name)
        return object.__getattribute__(self, name)

    def score(self, users):
        self.touched.append(("asked for", tuple(users.tolist())))
        return self._scores[torch.tensor(users)].clone()

    def tensors(self):
        self.touched.append("its weights taken")
        return {"scores": self._scores}

    def asked_for(self):
        return [touch[1] for touch in self.touched if isinstance(touch, tuple)]


@dataclasses.dataclass
class World:
    """One audit's parts, fresh for each test."""

    split: Split
    knowledge: Knowledge
    victim: Spy

    def oracle(self, budget=None):
        victim = FittedVictim(recommender=self.victim, seen=self.split.target)
        may_ask = np.concatenate([self.knowledge.queried, self.knowledge.validation])
        oracle = Oracle(victim, allowed=self.knowledge.accounts[may_ask], k=K, budget=budget)
        self.victim.touched.clear()  # the oracle itself asks what the victim can be asked
        return oracle


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(factorization, "VALIDATION_K", K)
    data = checkerboard(n_users=48, n_items=40, groups=4)
    parts = split(data, SplitSpec(known=0.5, queried=0.5, validation=0.2), seed=0)
    knowledge = Knowledge(
        known=parts.target.of_users(parts.known),
        accounts=parts.known,
        queried=parts.queried,
        validation=parts.validation,
        auxiliary=parts.auxiliary,
        clone=CLONE,
    )
    return World(parts, knowledge, Spy(parts.target.n_users, data.n_items))


def arrays(value):
    """All arrays of interactions or of a dataclass that holds some, as copies."""
    found = []
    for field in dataclasses.fields(value):
        part = getattr(value, field.name)
        if isinstance(part, np.ndarray):
            found.append(part.copy())
        elif dataclasses.is_dataclass(part):
            found += arrays(part)
    return found


def reachable(*roots):
    """Everything that attributes, items, cells and bound objects lead to, but the oracle's own closure."""
    seen, left = {}, list(roots)
    while left:
        value = left.pop()
        plain = isinstance(value, type | types.ModuleType | str | int | float | torch.Tensor | type(None))
        if id(value) in seen or plain:
            continue
        seen[id(value)] = value
        if isinstance(value, np.ndarray):
            left.append(value.base)
            continue
        if isinstance(value, Oracle):
            left += [part for name, part in vars(value).items() if name != "_serve"]
            continue
        left += list(getattr(value, "__dict__", {}).values())
        slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        left += [getattr(value, name) for name in slots if hasattr(value, name)]
        if isinstance(value, dict):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            left += list(value)
        elif isinstance(value, types.MethodType):
            left += [value.__self__, value.__func__]
        elif isinstance(value, types.FunctionType):
            left += [cell.cell_contents for cell in value.__closure__ or ()]
            left += [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
    return list(seen.values())


class StealingAttackContract:
    """Subclass it with ``name``; what an attack asks for follows from ``asks``."""

    name: str
    asks: tuple[str, ...] = ()
    clone = CLONE

    @property
    def attack(self) -> StealingAttack:
        return ATTACKS[self.name].model_copy(update={"stopping": STOPPING, "lists_stopping": STOPPING})

    def knowledge(self, world):
        return dataclasses.replace(world.knowledge, clone=self.clone)

    def asked_users(self, knowledge):
        return [part for role in self.asks for part in getattr(knowledge, role)]

    def steal(self, world, *, seed=0, budget=None, cache=None):
        run = Run(seed=seed, cache=Cache() if cache is None else cache)
        return self.attack.steal(self.knowledge(world), world.oracle(budget), run)

    def test_it_satisfies_the_protocol(self, world):
        assert isinstance(self.attack, StealingAttack)
        clone = self.steal(world)
        assert isinstance(clone, Recommender)
        assert (clone.n_users, clone.n_items) == (world.knowledge.known.n_users, world.knowledge.n_items)
        assert clone.log is not None

    def test_the_victim_is_asked_for_the_lists_it_may_know_and_touched_no_further(self, world):
        self.steal(world)
        expected = world.knowledge.accounts[self.asked_users(world.knowledge)] if self.asks else []
        queries = world.victim.asked_for()
        assert len(queries) == bool(self.asks)
        assert all(set(query) == set(expected.tolist()) for query in queries)
        touches = [touch for touch in world.victim.touched if not isinstance(touch, tuple)]
        # The type checker of these tests looks whether a recommender has all that the protocol names.
        protocol = {"n_users", "n_items", "log", "score", "tensors"}
        assert set(touches) <= ({"asked_for", "_scores", *protocol} if self.asks else {"asked_for"})

    def test_the_ledger_tells_one_list_a_user_asked_for(self, world):
        oracle = world.oracle()
        self.attack.steal(self.knowledge(world), oracle, Run(seed=0))
        asked = self.asked_users(world.knowledge)
        accounts = world.knowledge.accounts[asked]
        expected = top_k(world.victim, accounts, world.split.target, K).items
        items = set(expected[expected >= 0].tolist())
        counts = {"lists": len(asked), "users": len(set(asked)), "items": len(items)}
        assert oracle.ledger == Ledger(**counts, calls=bool(self.asks))

    def test_nothing_in_its_hands_leads_to_the_victim_or_the_split(self, world):
        run, attack, oracle = Run(seed=0), self.attack, world.oracle()
        for moment in ("before", "after"):
            held = reachable(world.knowledge, oracle, run, attack)
            assert len(held) > 10
            split_, target = world.split, world.split.target
            forbidden = [world.victim, split_, target, target.items, target.offsets, split_.heldout_items,
                         split_.heldout_offsets, split_.unqueried]  # fmt: skip
            for value in forbidden:
                assert not any(value is one for one in held), (moment, type(value))
            if moment == "before":
                attack.steal(self.knowledge(world), oracle, run)

    def test_a_budget_that_suffices_just_so_is_enough_and_one_less_serves_nothing(self, world):
        needed = len(self.asked_users(world.knowledge))
        assert self.attack.asks(self.knowledge(world)) == needed
        self.steal(world, budget=needed)
        if not needed:
            return
        oracle = world.oracle(budget=needed - 1)
        with pytest.raises(BudgetExceeded):
            self.attack.steal(self.knowledge(world), oracle, Run(seed=0))
        assert world.victim.asked_for() == []
        assert oracle.ledger == Ledger(lists=0, users=0, items=0)

    def test_a_seed_gives_the_same_clone_again_and_another_seed_another(self, world):
        one, again, other = (self.steal(world, seed=seed).tensors() for seed in (0, 0, 1))
        assert one.keys() == again.keys()
        assert all(torch.equal(one[name], again[name]) for name in one)
        assert not all(torch.equal(one[name], other[name]) for name in one)

    def test_what_others_left_in_the_memo_changes_nothing(self, world):
        cache, alone = Cache(), self.steal(world).tensors()
        for name in ("PTAQ", "PTQ", "PTAQ(Pre)", "QSD", self.name):
            settings = ATTACKS[name]
            quick = settings.model_copy(update={"stopping": STOPPING, "lists_stopping": STOPPING})
            quick.steal(self.knowledge(world), world.oracle(), Run(seed=0, cache=cache))
        shared = self.steal(world, cache=cache).tensors()
        assert cache.saved_seconds > 0 or self.name == "QSD"
        assert all(torch.equal(alone[name], shared[name]) for name in alone)

    def test_the_lists_count_and_only_those_asked_for(self, world):
        before = self.steal(world).tensors()
        asked = set(world.knowledge.accounts[self.asked_users(world.knowledge)].tolist() if self.asks else [])
        others = [user for user in range(world.victim.n_users) if user not in asked]
        world.victim._scores[others] = torch.rand(len(others), world.victim.n_items)
        unmoved = self.steal(world).tensors()
        assert all(torch.equal(before[name], unmoved[name]) for name in before)
        world.victim._scores.copy_(torch.linspace(0, 1, world.victim.n_items))  # the same lists for everybody
        moved = self.steal(world).tensors()
        assert all(torch.equal(before[name], moved[name]) for name in before) != bool(self.asks)

    def test_what_it_knows_stays_as_it_was(self, world):
        before = arrays(world.knowledge)
        self.steal(world)
        assert all((one == other).all() for one, other in zip(before, arrays(world.knowledge), strict=True))


class TestPTD(StealingAttackContract):
    name = "PTD"


class TestPTA(StealingAttackContract):
    name = "PTA"


class TestPTAPre(StealingAttackContract):
    name = "PTA(Pre)"


class TestPTQ(StealingAttackContract):
    name, asks = "PTQ", ("queried", "validation")


class TestPTAQ(StealingAttackContract):
    name, asks = "PTAQ", ("queried", "validation")


class TestPTAQPre(StealingAttackContract):
    name, asks = "PTAQ(Pre)", ("queried", "validation")


class TestQSD(StealingAttackContract):
    name, asks = "QSD", ("queried",)


class TestPTAQWithLMF(StealingAttackContract):
    name, asks = "PTAQ", ("queried", "validation")
    clone = LMF(**CLONE.model_dump(exclude={"model"}), biases=True)


class TestPTAQWithNeuMF(StealingAttackContract):
    name, asks = "PTAQ", ("queried", "validation")
    clone = NCF(**CLONE.model_dump(exclude={"model"}), variant="neumf", hidden=(8,))


def test_every_named_attack_is_under_contract():
    assert {kind.name for kind in StealingAttackContract.__subclasses__()} == set(ATTACKS)


def test_the_walk_finds_what_an_attack_could_reach(world):
    """The search finds a victim in an attribute, a closure, a bound method, and the array behind a view."""
    hidden = {"deep": [lambda: world.victim]}
    assert any(value is world.victim for value in reachable(hidden))
    assert any(value is world.victim for value in reachable(world.victim.score))
    view = world.split.target.items[2:5]
    assert any(value is world.split.target.items for value in reachable([view]))
    assert any(value is world.split for value in reachable(Run(seed=0, progress=world.oracle)))
