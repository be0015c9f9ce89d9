"""What stages cost: medians of like stages, and guesses that are counted as such."""

import json

import pytest

from recaudit.experiments.costs import GUESSES, SLOWER, Costs
from recaudit.pipeline import Artifact, Key, Store
from recaudit.pipeline.schedule import Planned, Task

SETTINGS = {"auxiliary": "none", "interactions": True}
SPEC = {"clone": {"model": "bpr"}, "settings": {"PTQ": SETTINGS}}


def model(name: str, seed: int, data: str = "ml-1m") -> Key:
    return Key(kind="model", inputs={"spec": {"model": name}, "data": data, "seed": seed})


def figures(row: str, *, asks: bool | None = None, seed: int = 0) -> Key:
    inputs = {"model": row, "data": "ml-1m", "seed": seed}
    return Key(kind="figures", inputs=inputs if asks is None else {**inputs, "asks": asks})


def lists(seed: int) -> Key:
    inputs = {"spec": {"model": "bpr"}, "settings": SETTINGS, "data": "ml-1m", "seed": seed}
    return Key(kind="clone", inputs=inputs)


def planned(stage: Key, *name: str) -> Planned:
    task = Task(store="", spec=json.dumps(SPEC), seed=0, name=name, stage=stage, device="cpu")
    return Planned(task=task, needs=frozenset(), place=0)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path)


def keep(store: Store, stage: Key, elapsed: float) -> None:
    # What a stage would cost alone is another thing: it counts what others of the run cost already.
    store.write(stage, Artifact(seconds=1000.0, elapsed=elapsed))


def test_like_stages_cost_their_median(store) -> None:
    for seed, elapsed in enumerate((10.0, 100.0, 20.0)):
        keep(store, model("bpr", seed), elapsed)
    keep(store, model("bpr", 0, "steam"), 7.0)
    costs = Costs(store)
    two = [planned(model("bpr", seed), "fit", "victim") for seed in (8, 9)]
    estimate = costs.of(two)
    assert (estimate.seconds, estimate.measured) == (40.0, 1.0)
    assert costs.of([planned(model("bpr", 9, "steam"), "fit", "victim")]).seconds == 7.0


def test_what_has_nothing_like_it_is_guessed(store) -> None:
    keep(store, model("bpr", 0), 20.0)
    costs = Costs(store)
    ncf = planned(model("ncf", 9), "fit", "victim")
    guess = GUESSES["model"] * SLOWER["ncf"]
    assert (costs.of([ncf]).seconds, costs.of([ncf]).measured) == (guess, 0.0)
    both = costs.of([ncf, planned(model("bpr", 9), "fit", "victim")])
    assert both.seconds == guess + 20.0
    assert both.measured == pytest.approx(20.0 / (guess + 20.0))


def test_nothing_costs_nothing(store) -> None:
    assert (Costs(store).of([]).seconds, Costs(store).of([]).measured) == (0.0, 1.0)


def test_figures_of_an_attack_with_lists_cost_its_clone_too(store) -> None:
    asking = planned(figures("clone 9", asks=True), "judge", "PTQ")
    quick = planned(figures("clone 8", asks=False), "judge", "PTD")
    guessed = Costs(store)
    assert guessed.of([asking]).seconds == GUESSES["figures"] + GUESSES["lists"]
    assert guessed.of([quick]).seconds == GUESSES["figures"]
    keep(store, figures("popularity"), 0.25)
    # While they were judged, their clones were made.
    for seed, elapsed in enumerate((30.0, 40.0, 50.0)):
        keep(store, lists(seed), elapsed)
        keep(store, figures("clone", asks=True, seed=seed), elapsed + 0.25)
    costs = Costs(store)
    assert costs.of([asking]).seconds == 40.25
    assert costs.of([asking]).measured == 1.0
    assert costs.of([quick]).seconds == 0.25


def test_stages_of_another_version_are_like_none(store) -> None:
    keep(store, Key(kind="clone", inputs={"settings": {}, "data": "ml-1m"}), 500.0)
    keep(store, Key(kind="clone", inputs={}), 500.0)
    keep(store, Key(kind="shadow", inputs={"data": "ml-1m"}), 500.0)
    estimate = Costs(store).of([planned(figures("clone", asks=True), "judge", "PTQ")])
    assert estimate.seconds == GUESSES["figures"] + GUESSES["lists"]
