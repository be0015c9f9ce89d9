"""Our stealing attacks under contract, and what those of surrogates promise beside it."""

import pytest
import torch

from recaudit.attacks.registry import STEALING_ATTACKS
from recaudit.attacks.stealing.surrogate import Surrogate
from recaudit.models import factorization
from recaudit.models.factorization import LMF
from recaudit.models.ranking import top_k
from recaudit.models.zoo.ncf import NCF
from recaudit.oracle.oracle import Ledger
from recaudit.pipeline.cache import Cache
from recaudit.pipeline.run import Run
from recaudit.testing.stealing import CLONE, STOPPING, K, StealingAttackTests, new_world, reachable

ATTACKS = {name: one for name, one in STEALING_ATTACKS.items() if isinstance(one, Surrogate)}


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(factorization, "VALIDATION_K", K)
    return new_world()


class StealingAttackContract(StealingAttackTests):
    """Subclass it with ``name``; what an attack asks for follows from ``asks``."""

    name: str
    asks: tuple[str, ...] = ()

    @property
    def attack(self):
        return ATTACKS[self.name].model_copy(update={"stopping": STOPPING, "lists_stopping": STOPPING})

    def asked_users(self, knowledge):
        return [part for role in self.asks for part in getattr(knowledge, role)]

    def test_its_training_is_logged(self, world):
        assert self.steal(world).log is not None

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

    def test_what_others_left_in_the_memo_changes_nothing(self, world):
        cache, alone = Cache(), self.steal(world).tensors()
        for name in ("PTAQ", "PTQ", "PTAQ(Pre)", "QSD", self.name):
            settings = ATTACKS[name]
            quick = settings.model_copy(update={"stopping": STOPPING, "lists_stopping": STOPPING})
            quick.steal(self.knowledge(world), world.oracle(), Run(seed=0, cache=cache))
        shared = self.steal(world, cache=cache).tensors()
        assert cache.saved_seconds > 0 or self.name == "QSD"
        assert all(torch.equal(alone[name], shared[name]) for name in alone)

    def test_it_says_how_many_lists_it_asks_for(self, world):
        assert self.attack.asks(self.knowledge(world)) == len(self.asked_users(world.knowledge))


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
