"""The surrogate attack: settings, phases, what stages share, and a world with a planted order of attacks."""

import time

import numpy as np
import polars as pl
import pytest
import torch

from recaudit.attacks.base import Knowledge
from recaudit.attacks.stealing import surrogate as module
from recaudit.attacks.stealing.fusion import FusedItems
from recaudit.attacks.stealing.surrogate import ATTACKS, Surrogate
from recaudit.data.interactions import Interactions
from recaudit.metrics.ranking import agreement
from recaudit.models import factorization
from recaudit.models.factorization import BPR, LMF, NetworkRecommender
from recaudit.models.fitting import fit_once, packed
from recaudit.models.networks import ItemTable
from recaudit.models.ranking import top_k
from recaudit.models.training import Optimisation, Stopping
from recaudit.models.zoo.ncf import NCF
from recaudit.oracle.oracle import Oracle
from recaudit.pipeline.cache import Cache
from recaudit.pipeline.run import Run

K = 10
OPTIMISATION = Optimisation(learning_rate=0.05, batch_size=256)


def taste_world(n_items=120, size=3, seed=1):
    """A victim with users' and items' normally distributed tastes, and data after the same tastes.

    Few known users and few interactions each, many auxiliary ones: what the attacks are for.
    """
    random = np.random.default_rng(seed)
    tastes = random.standard_normal((n_items, size))

    def histories(n_users, length):
        users = random.standard_normal((n_users, size))
        noisy = users @ tastes.T + random.gumbel(size=(n_users, n_items)) * 0.7
        items = np.argsort(-noisy, axis=1)[:, :length]
        return users, Interactions(
            name="tastes",
            offsets=np.arange(n_users + 1) * length,
            items=items.ravel().astype(np.int32),
            user_ids=pl.Series(range(n_users)),
            item_ids=pl.Series(range(n_items)),
        )

    users, target = histories(60, 12)
    _, auxiliary = histories(200, 20)
    scores = torch.from_numpy((users @ tastes.T).astype(np.float32))
    return Planted(scores), target, auxiliary


class Planted:
    """A victim of given scores."""

    log = None

    def __init__(self, scores):
        self.scores = scores
        self.n_users, self.n_items = scores.shape

    def score(self, users):
        return self.scores[torch.tensor(users)].clone()

    def tensors(self):
        return {"scores": self.scores}


@pytest.fixture(scope="module")
def world():
    victim, target, auxiliary = taste_world()
    roles = np.random.default_rng(1).permutation(60)
    knowledge = Knowledge(
        known=target,
        accounts=np.arange(60),
        queried=np.sort(roles[:24]),
        validation=np.sort(roles[24:36]),
        auxiliary=auxiliary,
    )
    return victim, target, knowledge, np.sort(roles[36:])


@pytest.fixture(autouse=True)
def short_validation_lists(monkeypatch):
    monkeypatch.setattr(factorization, "VALIDATION_K", K)


def quick(settings, epochs=4):
    stopping = Stopping(epochs=epochs, evaluate_every=2)
    return settings.model_copy(update={"stopping": stopping, "lists_stopping": stopping})


def clone_spec(epochs=4, **options):
    stopping = Stopping(epochs=epochs, evaluate_every=2)
    return BPR(embedding_size=8, optimisation=OPTIMISATION, stopping=stopping, **options)


def steal(world, settings, clone, run):
    victim, target, knowledge, _ = world
    return settings.attack(clone).steal(knowledge, Oracle(victim, target, k=K), run)


def agreement_with_victim(world, clone, users):
    victim, target, knowledge, _ = world
    theirs = top_k(victim, users, target, K).items
    return float(agreement(theirs, top_k(clone, users, knowledge.known, K).items).mean())


# --- settings ---------------------------------------------------------------------------------------------


def test_names_and_settings_are_the_papers():
    """Tables 4, 5 and 7 of Zhu et al. (2023): interactions, auxiliary data, lists, L_r, L_p."""
    table = {
        name: (s.interactions, s.auxiliary, s.lists, s.ranking_loss if s.lists else None,
               s.positive_item_loss if s.lists else None)
        for name, s in ATTACKS.items()
    }  # fmt: skip
    assert table == {
        "QSD": (False, "none", True, "hinge", "hinge"),
        "PTD": (True, "none", False, None, None),
        "PTQ": (True, "none", True, "bpr", "hinge"),
        "PTA": (True, "attention", False, None, None),
        "PTAQ": (True, "attention", True, "bpr", "hinge"),
        "PTA(Pre)": (True, "initial", False, None, None),
        "PTAQ(Pre)": (True, "initial", True, "bpr", "hinge"),
    }
    assert {s.margin for s in ATTACKS.values()} == {0.5}
    assert len({(s.stopping, s.lists_stopping) for s in ATTACKS.values()}) == 1


def test_settings_go_through_json_unchanged():
    for settings in ATTACKS.values():
        assert Surrogate.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"interactions": False}, "must learn from interactions, from lists or from both"),
        ({"margin": -0.1}, "greater than or equal to 0"),
        ({"margin": float("inf")}, "finite"),
        ({"auxiliary": "fused"}, "'none', 'attention' or 'initial'"),
        ({"negatives": 0}, "greater than or equal to 1"),
        ({"loss": "bpr"}, "Extra inputs"),
    ],
)
def test_wrong_settings_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Surrogate.model_validate(values)


@pytest.mark.parametrize("missing", ["queried", "validation"])
def test_lists_to_learn_from_and_to_stop_by_are_needed(world, missing):
    victim, target, knowledge, _ = world
    empty = np.array([], dtype=np.int64)
    parts = {"queried": knowledge.queried, "validation": knowledge.validation} | {missing: empty}
    less = Knowledge(
        known=knowledge.known, accounts=knowledge.accounts, auxiliary=knowledge.auxiliary, **parts
    )
    oracle = Oracle(victim, target, k=K)
    with pytest.raises(ValueError, match="needs queried users, and validation users"):
        quick(ATTACKS["PTQ"]).attack(clone_spec()).steal(less, oracle, Run(seed=0))
    assert oracle.ledger.lists == 0


# --- the auxiliary model's part ---------------------------------------------------------------------------


@pytest.fixture
def beginnings(monkeypatch):
    """Networks as phase one begins with them."""
    began = []
    fit_network = factorization.NetworkSpec.fit_network

    def noted(self, network, *rest, **options):
        if options["stage"].startswith("clone"):
            began.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return fit_network(self, network, *rest, **options)

    monkeypatch.setattr(factorization.NetworkSpec, "fit_network", noted)
    return began


@pytest.mark.parametrize(
    ("clone", "tables"),
    [
        (clone_spec(), {"items": "items"}),
        (LMF(embedding_size=8, biases=True, optimisation=OPTIMISATION, stopping=Stopping(epochs=2)),
         {"items": "items"}),
        (NCF(embedding_size=8, variant="neumf", hidden=(8,), optimisation=OPTIMISATION,
             stopping=Stopping(epochs=2)), {"mlp": "items.mlp", "gmf": "items.gmf"}),
    ],
    ids=["bpr", "lmf", "neumf"],
)  # fmt: skip
def test_auxiliary_factors_are_where_the_attack_begins_or_what_it_mixes_in(world, beginnings, clone, tables):
    knowledge, run = world[2], Run(seed=4)
    model = fit_once(clone, knowledge.auxiliary, run.child("auxiliary"))
    assert isinstance(model, NetworkRecommender)
    auxiliary = {name: part.learned().clone() for name, part in model.network.item_vectors().items()}
    assert set(auxiliary) == set(tables)

    begun = steal(world, quick(ATTACKS["PTA(Pre)"]), clone, run).network.item_vectors()
    fused = steal(world, quick(ATTACKS["PTAQ"]), clone, run).network.item_vectors()
    plain = steal(world, quick(ATTACKS["PTD"]), clone, run).network.item_vectors()
    for name, place in tables.items():
        assert torch.equal(beginnings[0][f"{place}.table"], auxiliary[name])
        assert torch.equal(beginnings[1][f"{place}.auxiliary"], auxiliary[name])
        # PTA and PTD begin at the same learned vectors, so that the fusion alone makes their difference
        assert torch.equal(beginnings[1][f"{place}.table"], beginnings[2][f"{place}.table"])
        assert isinstance(begun[name], ItemTable)
        assert isinstance(fused[name], FusedItems)
        assert isinstance(plain[name], ItemTable)
        assert torch.equal(fused[name].auxiliary, auxiliary[name])
        assert torch.equal(model.network.item_vectors()[name].learned(), auxiliary[name])


# --- what stages share ------------------------------------------------------------------------------------


def trainings(monkeypatch):
    """Count the trainings by stage."""
    stages = []
    for place in (factorization, module):
        monkeypatch.setattr(
            place,
            "train",
            lambda *given, train=place.train, **options: (
                stages.append(options["stage"]) or train(*given, **options)
            ),
        )
    return stages


def test_phase_one_is_shared_and_each_attack_gets_what_it_would_get_alone(world, monkeypatch):
    stages, cache = trainings(monkeypatch), Cache()
    shared = {}
    for name in ("PTD", "PTQ", "PTA", "PTAQ"):
        shared[name] = steal(world, quick(ATTACKS[name]), clone_spec(), Run(seed=0, cache=cache))
    assert sorted(stages) == ["clone, interactions"] * 2 + ["clone, lists"] * 2 + ["training bpr"]
    for name, clone in shared.items():
        alone = steal(world, quick(ATTACKS[name]), clone_spec(), Run(seed=0)).tensors()
        for tensor in alone:
            assert torch.equal(alone[tensor], clone.tensors()[tensor]), name


@pytest.mark.parametrize("name", list(ATTACKS))
def test_shared_nodes_tell_what_an_attack_computes_and_shares(world, monkeypatch, name):
    """Whoever computes them one by one leaves the attack nothing but its lists to learn from."""
    stages, cache = trainings(monkeypatch), Cache()
    knowledge, run = world[2], Run(seed=0, cache=cache)
    attack = quick(ATTACKS[name]).attack(clone_spec())
    shared = attack.nodes(knowledge, run)
    assert [node.kind for node in shared] == {
        "QSD": [], "PTD": ["clone"], "PTQ": ["clone"],
    }.get(name, ["model", "clone"])  # fmt: skip
    for position, node in enumerate(shared):
        cache.get(node)
        assert cache.misses == position + 1
    expected = [{"model": "training bpr", "clone": "clone, interactions"}[node.kind] for node in shared]
    assert stages == expected
    stages.clear()
    stolen = steal(world, attack.settings, clone_spec(), run)
    assert stages == ["clone, lists"] * attack.settings.lists
    assert cache.misses == len(shared)
    alone = steal(world, attack.settings, clone_spec(), Run(seed=0)).tensors()
    assert all(torch.equal(alone[tensor], stolen.tensors()[tensor]) for tensor in alone)


@pytest.mark.parametrize(
    "clone",
    [
        clone_spec(),
        NCF(
            embedding_size=8,
            variant="neumf",
            hidden=(8,),
            optimisation=OPTIMISATION,
            stopping=Stopping(epochs=2),
        ),
    ],
    ids=["bpr", "neumf"],
)
@pytest.mark.parametrize("name", list(ATTACKS))
def test_a_clone_that_was_kept_is_as_it_was_to_the_bit(world, name, clone):
    knowledge, run = world[2], Run(seed=0)
    attack = quick(ATTACKS[name]).attack(clone)
    stolen = steal(world, attack.settings, clone, run)
    piece = packed(stolen)
    known = knowledge.known
    again = attack._restored(piece, known, run)
    users = np.arange(known.n_users)
    assert torch.equal(again.score(users), stolen.score(users))
    assert again.log == stolen.log
    assert again.tensors().keys() == stolen.tensors().keys()
    for tensor, values in again.tensors().items():
        assert torch.equal(values, stolen.tensors()[tensor])
        assert values.data_ptr() != stolen.tensors()[tensor].data_ptr()


@pytest.mark.parametrize(
    ("changed", "others"),
    [
        ({"run": Run(seed=1)}, {"PTD", "PTA", "PTA(Pre)"}),
        ({"run": Run(seed=0, device="cuda")}, {"PTD", "PTA", "PTA(Pre)"}),
        ({"clone": clone_spec(epochs=6)}, {"PTA", "PTA(Pre)"}),  # PTD's epochs are the attack's own
        ({"clone": clone_spec(negatives=2)}, {"PTD", "PTA", "PTA(Pre)"}),
        ({"settings": {"stopping": Stopping(epochs=9)}}, {"PTD", "PTA", "PTA(Pre)"}),
        ({"knowledge": {"known": "fewer"}}, {"PTD", "PTA", "PTA(Pre)"}),
        ({"knowledge": {"auxiliary": "fewer"}}, {"PTA", "PTA(Pre)"}),
        ({"knowledge": {"common": np.arange(120) < 60}}, {"PTA", "PTA(Pre)"}),
        ({"knowledge": {"queried": np.arange(3)}}, set()),
        ({"settings": {"lists_stopping": Stopping(epochs=9)}}, set()),
        ({"settings": {"margin": 0.25}}, set()),
        ({"settings": {"lists": True}}, set()),
    ],
)
def test_phase_one_is_told_apart_by_what_it_depends_on_and_by_nothing_else(world, changed, others):
    knowledge = world[2]
    parts = {"known": knowledge.known, "auxiliary": knowledge.auxiliary, "queried": knowledge.queried}
    for name, value in changed.get("knowledge", {}).items():
        whole = parts.get(name)
        parts[name] = whole.of_users(np.arange(whole.n_users - 1)) if isinstance(value, str) else value
    other = Knowledge(accounts=knowledge.accounts, validation=knowledge.validation, **parts)
    found = set()
    for name in ("PTD", "PTA", "PTA(Pre)"):
        settings = quick(ATTACKS[name])
        before = settings.attack(clone_spec()).nodes(knowledge, Run(seed=0))
        after = (
            settings.model_copy(update=changed.get("settings", {}))
            .attack(changed.get("clone", clone_spec()))
            .nodes(other, changed.get("run", Run(seed=0)))
        )
        if before[-1].key.hash != after[-1].key.hash:
            found.add(name)
    assert found == others


def test_an_attacks_cost_is_that_of_running_alone(world, monkeypatch):
    """Every training takes one second of a clock that nothing else moves."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    for place in (factorization, module):

        def counted(*given, train=place.train, **options):
            now[0] += 1
            return train(*given, **options)

        monkeypatch.setattr(place, "train", counted)
    run, seconds = Run(seed=0), {}
    for name in ("PTD", "PTQ", "PTA", "PTAQ", "PTA(Pre)", "QSD"):
        with run.cache.clock() as clock:
            steal(world, quick(ATTACKS[name]), clone_spec(), run)
            seconds[name] = clock()
    # interactions; and lists; auxiliary and interactions; and lists; auxiliary and interactions; lists alone
    assert seconds == {"PTD": 1, "PTQ": 2, "PTA": 2, "PTAQ": 3, "PTA(Pre)": 2, "QSD": 1}


def test_phase_two_leaves_the_clone_of_phase_one_as_it_was(world):
    run = Run(seed=0)
    first = steal(world, quick(ATTACKS["PTD"]), clone_spec(), run)
    before = {name: tensor.clone() for name, tensor in first.tensors().items()}
    second = steal(world, quick(ATTACKS["PTQ"], epochs=8), clone_spec(), run)
    assert second.log.best_epoch > 0
    assert not all(torch.equal(before[name], tensor) for name, tensor in second.tensors().items())
    for kept in (first, steal(world, quick(ATTACKS["PTD"]), clone_spec(), run)):
        assert all(torch.equal(before[name], tensor) for name, tensor in kept.tensors().items())


# --- phase two --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learning_rate", [0.02, 1.0])
@pytest.mark.parametrize("name", ["PTQ", "PTAQ"])
def test_phase_two_never_ends_below_phase_one_on_validation_lists(world, name, learning_rate):
    """Not even where it learns so fast that it does harm."""
    fast = clone_spec().model_copy(update={"optimisation": Optimisation(learning_rate=learning_rate)})
    settings = quick(ATTACKS[name])
    two = steal(world, settings, fast, Run(seed=0))
    one = steal(world, settings.model_copy(update={"lists": False}), fast, Run(seed=0))
    before, after = (agreement_with_victim(world, clone, world[2].validation) for clone in (one, two))
    assert after >= before
    assert two.log.scores[0] == (0, pytest.approx(before))
    assert two.log.best_score == pytest.approx(after)


@pytest.mark.parametrize("clone", [clone_spec(), LMF(embedding_size=8, stopping=Stopping(epochs=2))])
def test_qsd_leaves_users_without_lists_untrained(world, clone):
    knowledge, run = world[2], Run(seed=0)
    attack = quick(ATTACKS["QSD"]).attack(clone)
    begun = attack._untrained(knowledge, run).network.users.detach()
    trained = steal(world, attack.settings, clone, run)
    assert trained.log.best_epoch > 0
    moved = (trained.network.users.detach() != begun).any(dim=1)
    assert moved.nonzero().flatten().tolist() == knowledge.queried.tolist()


def test_qsd_stops_by_the_queried_lists(world):
    clone = steal(world, quick(ATTACKS["QSD"], epochs=20), clone_spec(), Run(seed=0))
    queried = agreement_with_victim(world, clone, world[2].queried)
    assert clone.log.best_score == pytest.approx(queried)
    assert queried > 0.5


# --- the planted order ------------------------------------------------------------------------------------


def test_what_an_attack_learns_from_shows_in_its_agreement(world):
    """Auxiliary data and lists each help on users whose lists nobody asked for; QSD knows nothing of them."""
    unqueried, queried = world[3], world[2].queried
    run, clones = Run(seed=0), {}
    for name in ("PTD", "PTQ", "PTA", "PTAQ", "QSD"):
        clones[name] = steal(world, quick(ATTACKS[name], epochs=12), clone_spec(epochs=12), run)
    found = {name: agreement_with_victim(world, clone, unqueried) for name, clone in clones.items()}
    # Seen: PTD 0.31, PTQ 0.47, PTA 0.44, PTAQ 0.56, QSD 0.15
    assert found["PTA"] > found["PTD"] + 0.05, found
    assert found["PTQ"] > found["PTD"] + 0.05, found
    assert found["PTAQ"] > max(found["PTA"], found["PTQ"]) + 0.03, found
    assert found["QSD"] < found["PTD"] - 0.1, found
    assert agreement_with_victim(world, clones["QSD"], queried) > found["QSD"] + 0.3
