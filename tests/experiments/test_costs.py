"""What nodes cost: medians of like nodes, and guesses that are counted as such."""

import pytest

from recaudit.experiments.costs import ATTACK, GUESSES, SLOWER, Costs
from recaudit.pipeline import Artifact, Key, Store
from recaudit.pipeline.schedule import Planned, Task

SETTINGS = {"auxiliary": "none", "interactions": True}


def model(name: str, seed: int, data: str = "ml-1m") -> Key:
    return Key(kind="model", inputs={"spec": {"model": name}, "data": data, "seed": seed})


def judged(row: str, *, lists: bool | None = None, seed: int = 0) -> Key:
    """Return the key of a reference's row, or of an attack's."""
    inputs = {"row": row, "data": "ml-1m", "seed": seed}
    if lists is not None:
        inputs |= {"clone": {"model": "bpr"}, "attack": {**SETTINGS, "lists": lists}}
    return Key(kind="judged", inputs=inputs)


def planned(key: Key) -> Planned:
    task = Task(store="", spec="{}", seed=0, key=key, label="", device="cpu")
    return Planned(task=task, needs=frozenset(), place=0, wanted=True)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path)


def keep(store: Store, node: Key, elapsed: float) -> None:
    # What a node would cost alone is another thing: it counts what others of the run cost already.
    store.write(node, Artifact(seconds=1000.0, elapsed=elapsed))


def test_like_nodes_cost_their_median(store) -> None:
    for seed, elapsed in enumerate((10.0, 100.0, 20.0)):
        keep(store, model("bpr", seed), elapsed)
    keep(store, model("bpr", 0, "steam"), 7.0)
    costs = Costs(store)
    two = [planned(model("bpr", seed)) for seed in (8, 9)]
    estimate = costs.of(two)
    assert (estimate.seconds, estimate.measured) == (40.0, 1.0)
    assert costs.of([planned(model("bpr", 9, "steam"))]).seconds == 7.0


def test_what_has_nothing_like_it_is_guessed(store) -> None:
    keep(store, model("bpr", 0), 20.0)
    costs = Costs(store)
    ncf = planned(model("ncf", 9))
    guess = GUESSES["model"] * SLOWER["ncf"]
    assert (costs.of([ncf]).seconds, costs.of([ncf]).measured) == (guess, 0.0)
    both = costs.of([ncf, planned(model("bpr", 9))])
    assert both.seconds == guess + 20.0
    assert both.measured == pytest.approx(20.0 / (guess + 20.0))


def test_nothing_costs_nothing(store) -> None:
    assert (Costs(store).of([]).seconds, Costs(store).of([]).measured) == (0.0, 1.0)


def test_judging_an_attack_costs_its_clone_too(store) -> None:
    asking, other = planned(judged("attack", lists=True)), planned(judged("attack", lists=False))
    quick = planned(judged("popularity", seed=9))
    guessed = Costs(store)
    assert guessed.of([asking]).seconds == GUESSES["judged"] * ATTACK
    assert guessed.of([quick]).seconds == GUESSES["judged"]
    keep(store, judged("popularity"), 0.25)
    for seed, elapsed in enumerate((30.0, 40.0, 50.0)):
        keep(store, judged("attack", lists=True, seed=seed), elapsed)
    costs = Costs(store)
    assert costs.of([asking]).seconds == 40.0
    assert costs.of([asking]).measured == 1.0
    assert costs.of([quick]).seconds == 0.25
    assert costs.of([other]).measured == 0.0


def test_nodes_of_another_version_are_like_none(store) -> None:
    keep(store, Key(kind="clone", inputs={"attack": {}, "data": "ml-1m"}), 500.0)
    keep(store, Key(kind="clone", inputs={}), 500.0)
    keep(store, Key(kind="shadow", inputs={"data": "ml-1m"}), 500.0)
    estimate = Costs(store).of([planned(judged("attack", lists=True))])
    assert estimate.seconds == GUESSES["judged"] * ATTACK
