"""What every stealing attack must do: one suite, joined by a subclass that names an attack.

A spy victim proves that attacks see ``Knowledge`` and the oracle, and nothing else.
"""

import dataclasses
import types
from typing import Any

import numpy as np
import pytest
import torch

from recaudit.attacks.protocol import Knowledge, StealingAttack
from recaudit.data.split import Split, SplitSpec, split
from recaudit.data.synthetic import checkerboard
from recaudit.models import factorization
from recaudit.models.factorization import BPR
from recaudit.models.protocol import Recommender
from recaudit.models.trained import TrainedSpec
from recaudit.models.training import Optimisation, Stopping
from recaudit.oracle.oracle import BudgetExceeded, Ledger, Oracle
from recaudit.pipeline.cache import Cache
from recaudit.pipeline.run import Run
from recaudit.victims.trained import FittedVictim

__all__ = ["CLONE", "STOPPING", "K", "StealingAttackTests", "World", "new_world", "reachable"]

K = 5
STOPPING = Stopping(epochs=2, evaluate_every=1)
CLONE = BPR(embedding_size=4, optimisation=Optimisation(learning_rate=0.05, batch_size=64), stopping=STOPPING)


class Spy:
    """A victim that ranks items by a user's own random order, and notes every touch.

    What it serves cannot be guessed from anybody's interactions: an attack that reproduces it looked.
    """

    touched: list[Any]
    log = None

    def __init__(self, n_users: int, n_items: int, seed: int = 0) -> None:
        object.__setattr__(self, "touched", [])
        random = np.random.default_rng(seed)
        self._scores = torch.from_numpy(random.random((n_users, n_items), dtype=np.float32))
        self.n_users, self.n_items = n_users, n_items
        self.touched.clear()

    def __getattribute__(self, name: str) -> Any:
        if name != "touched":
            object.__getattribute__(self, "touched").append(name)
        return object.__getattribute__(self, name)

    def score(self, users: np.ndarray) -> torch.Tensor:
        """Return each user's own random scores."""
        self.touched.append(("asked for", tuple(users.tolist())))
        return self._scores[torch.tensor(users)].clone()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the scores, and note that they were taken."""
        self.touched.append("its weights taken")
        return {"scores": self._scores}

    def asked_for(self) -> list[tuple[int, ...]]:
        """Return the users of each question."""
        return [touch[1] for touch in self.touched if isinstance(touch, tuple)]


@dataclasses.dataclass
class World:
    """One audit's parts, fresh for each test."""

    split: Split
    knowledge: Knowledge
    victim: Spy

    def oracle(self, budget: int | None = None) -> Oracle:
        """Return a new oracle over the spy."""
        victim = FittedVictim(recommender=self.victim, seen=self.split.target)
        may_ask = np.concatenate([self.knowledge.queried, self.knowledge.validation])
        oracle = Oracle(victim, allowed=self.knowledge.accounts[may_ask], k=K, budget=budget)
        self.victim.touched.clear()  # the oracle itself asks what the victim can be asked
        return oracle


def new_world() -> World:
    """Return the parts of one audit, the same each time."""
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


def arrays(value: Any) -> list[np.ndarray]:
    """Return all arrays of interactions or of a dataclass that holds some, as copies."""
    found: list[np.ndarray] = []
    for field in dataclasses.fields(value):
        part = getattr(value, field.name)
        if isinstance(part, np.ndarray):
            found.append(part.copy())
        elif dataclasses.is_dataclass(part):
            found += arrays(part)
    return found


def reachable(*roots: Any) -> list[Any]:
    """Return everything that attributes, items, cells and bound objects lead to, but the oracle's own closure."""
    seen: dict[int, Any] = {}
    left = list(roots)
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


class StealingAttackTests:
    """Subclass it with ``attack``, and ``clone`` where it cannot train the default model.

    ``trained`` is false where no random numbers play a part.
    """

    attack: StealingAttack
    clone: TrainedSpec = CLONE
    trained: bool = True

    @pytest.fixture
    def world(self, monkeypatch: pytest.MonkeyPatch) -> World:
        """Return the parts of one audit, new for each test."""
        monkeypatch.setattr(factorization, "VALIDATION_K", K)
        return new_world()

    def knowledge(self, world: World) -> Knowledge:
        """Return what the attack may see."""
        return dataclasses.replace(world.knowledge, clone=self.clone)

    def steal(
        self, world: World, *, seed: int = 0, budget: int | None = None, cache: Cache | None = None
    ) -> Recommender:
        """Return the clone."""
        run = Run(seed=seed, cache=Cache() if cache is None else cache)
        return self.attack.steal(self.knowledge(world), world.oracle(budget), run)

    def test_it_satisfies_the_protocol(self, world: World) -> None:
        assert isinstance(self.attack, StealingAttack)
        assert self.attack.card.sentence
        clone = self.steal(world)
        assert isinstance(clone, Recommender)
        assert (clone.n_users, clone.n_items) == (world.knowledge.known.n_users, world.knowledge.n_items)

    def test_scores_are_float32_rows_of_the_users_asked_for(self, world: World) -> None:
        scores = self.steal(world).score(np.array([2, 0]))
        assert scores.shape == (2, world.knowledge.n_items)
        assert scores.dtype == torch.float32
        assert scores.isfinite().all()

    def test_it_asks_for_as_many_lists_as_it_says(self, world: World) -> None:
        oracle = world.oracle()
        self.attack.steal(self.knowledge(world), oracle, Run(seed=0))
        assert oracle.ledger.lists == self.attack.asks(self.knowledge(world))

    def test_the_victim_is_touched_through_the_oracle_alone(self, world: World) -> None:
        self.steal(world)
        touches = {touch for touch in world.victim.touched if not isinstance(touch, tuple)}
        # The type checker of the tests looks whether a recommender has all that the protocol names.
        assert touches <= {"asked_for", "_scores", "n_users", "n_items", "log", "score", "tensors"}
        may_ask = np.concatenate([world.knowledge.queried, world.knowledge.validation])
        allowed = set(world.knowledge.accounts[may_ask].tolist())
        assert all(set(query) <= allowed for query in world.victim.asked_for())

    def test_nothing_in_its_hands_leads_to_the_victim_or_the_split(self, world: World) -> None:
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

    def test_a_budget_that_suffices_just_so_is_enough_and_one_less_serves_nothing(self, world: World) -> None:
        needed = self.attack.asks(self.knowledge(world))
        self.steal(world, budget=needed)
        if not needed:
            return
        oracle = world.oracle(budget=needed - 1)
        with pytest.raises(BudgetExceeded):
            self.attack.steal(self.knowledge(world), oracle, Run(seed=0))
        assert world.victim.asked_for() == []
        assert oracle.ledger == Ledger(lists=0, users=0, items=0)

    def test_a_seed_gives_the_same_clone_again_and_another_seed_another(self, world: World) -> None:
        one, again, other = (self.steal(world, seed=seed).tensors() for seed in (0, 0, 1))
        assert one.keys() == again.keys()
        assert all(torch.equal(one[name], again[name]) for name in one)
        assert all(torch.equal(one[name], other[name]) for name in one) != self.trained

    def test_the_lists_count_and_only_those_asked_for(self, world: World) -> None:
        before = self.steal(world).tensors()
        asked = {user for query in world.victim.asked_for() for user in query}
        others = [user for user in range(world.victim.n_users) if user not in asked]
        world.victim._scores[others] = torch.rand(len(others), world.victim.n_items)
        unmoved = self.steal(world).tensors()
        assert all(torch.equal(before[name], unmoved[name]) for name in before)
        world.victim._scores.copy_(torch.linspace(0, 1, world.victim.n_items))  # the same lists for everybody
        moved = self.steal(world).tensors()
        assert all(torch.equal(before[name], moved[name]) for name in before) != bool(asked)

    def test_what_it_knows_stays_as_it_was(self, world: World) -> None:
        before = arrays(world.knowledge)
        self.steal(world)
        assert all((one == other).all() for one, other in zip(before, arrays(world.knowledge), strict=True))
