"""Stages that are computed once: what the cache keeps and what it costs, and models made again from it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import BaseModel, ConfigDict

from recaudit.data.synthetic import checkerboard
from recaudit.models import factorization
from recaudit.models.factorization import BPR, LMF
from recaudit.models.fitting import fit_once, fit_stage, packed
from recaudit.models.training import Optimisation, Stopping
from recaudit.models.zoo.baselines import ItemKNN, Popularity
from recaudit.models.zoo.ncf import NCF
from recaudit.pipeline import Artifact, Key, Store
from recaudit.pipeline.cache import Cache
from recaudit.pipeline.run import Run

SHORT = {"embedding_size": 4, "stopping": Stopping(epochs=3, evaluate_every=1)}


@pytest.fixture(params=["memory", "store"])
def new_cache(request, tmp_path):
    """Make memos that keep their results in memory, or in a store."""
    store = None if request.param == "memory" else Store(tmp_path / "store", say=pytest.fail)
    return lambda: Cache(store=store)


@pytest.fixture
def cache(new_cache):
    return new_cache()


# --- the cache ---------------------------------------------------------------------------------------------


class Watch:
    """A clock that moves when it is told to."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr("recaudit.pipeline.cache.time.perf_counter", lambda: self.now)

    def work(self, seconds, result=None):
        self.now += seconds
        return result


def once(cache, name, compute):
    """Keep a text as a fact."""
    stage = Key(kind="text", inputs={"name": name})
    return cache.once(
        stage, compute, lambda text: Artifact(facts={"text": text}), lambda piece: piece.facts["text"]
    )


def test_the_memo_computes_once_and_counts_shared_cost(monkeypatch, cache):
    watch = Watch(monkeypatch)
    with cache.clock() as first:
        assert once(cache, "a", lambda: watch.work(5, "A")) == "A"
        watch.work(1)
        assert first() == 6
    with cache.clock() as second:
        assert once(cache, "a", lambda: pytest.fail("computed again")) == "A"
        watch.work(2)
        assert second() == 7  # as if it had run alone
    assert watch.now == 8
    assert (cache.computed, cache.saved_seconds) == (1, 5)


def test_a_shared_result_within_a_shared_result_counts_once(monkeypatch, cache):
    watch = Watch(monkeypatch)

    def inner():
        return once(cache, "inner", lambda: watch.work(3, "inner"))

    def outer():
        inner()
        return watch.work(4, "outer")

    seconds = []
    for stage in (inner, lambda: once(cache, "outer", outer), lambda: once(cache, "outer", outer)):
        with cache.clock() as clock:
            stage()
            seconds.append(clock())
    assert seconds == [3, 7, 7]
    assert watch.now == 7


def test_another_memo_on_the_store_takes_what_is_there_and_counts_its_cost(monkeypatch, tmp_path):
    watch, store = Watch(monkeypatch), Store(tmp_path)
    stage = Key(kind="text", inputs={"name": "outer"})
    first = Cache(store=store)
    once(first, "inner", lambda: watch.work(3, "inner"))

    def outer():
        once(first, "inner", lambda: pytest.fail("computed again"))
        return watch.work(4, "outer")

    once(first, "outer", outer)
    assert (store.read(stage).seconds, store.read(stage).elapsed) == (7, 4)
    later = Cache(store=Store(tmp_path))
    with later.clock() as clock:
        assert once(later, "outer", lambda: pytest.fail("computed again")) == "outer"
        assert clock() == 7
    assert later.computed == 0
    assert once(Cache(), "outer", lambda: "computed") == "computed"  # another cache in memory has nothing


class Refused(Exception):
    pass


def test_what_fails_is_not_kept_and_holds_no_lock(cache):
    def refuse():
        raise Refused

    for _ in range(2):
        with pytest.raises(Refused):
            once(cache, "a", refuse)
    stage = Key(kind="text", inputs={"name": "a"})
    assert cache.store is None or not (cache.store.busy(stage) or cache.store.read(stage) is not None)
    assert once(cache, "a", lambda: "A") == "A"
    assert once(cache, "a", refuse) == "A"


def test_what_is_taken_shares_nothing_with_what_is_kept(cache):
    """Not even where packing and unpacking copy nothing."""
    given = Artifact(tensors={"a": torch.zeros(3)}, facts={"list": [1]})
    stage = Key(kind="piece", inputs={})

    def take():
        return cache.once(stage, lambda: given, lambda piece: piece, lambda piece: piece)

    assert take() is given
    for changed in (given, take(), take()):
        changed.tensors["a"] += 1
        changed.facts["list"].append(2)
    again = take()
    assert torch.equal(again.tensors["a"], torch.zeros(3))
    assert again.facts == {"list": [1]}


# --- models as stages -------------------------------------------------------------------------------------


def equal(one, other):
    ours, theirs = one.tensors(), other.tensors()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_fit_once_tells_specs_data_seeds_and_devices_apart(new_cache, monkeypatch):
    monkeypatch.setattr(factorization, "VALIDATION_K", 5)  # 50 would be the whole catalogue
    data, run = checkerboard(), Run(seed=0, cache=new_cache())
    spec = BPR(**{**SHORT, "optimisation": Optimisation(learning_rate=0.05)})
    first = fit_once(spec, data, run)
    again = fit_once(spec, checkerboard(), Run(seed=0, cache=run.cache))
    assert run.cache.computed == 1
    assert equal(first, again)
    others = [
        fit_once(spec.model_copy(update={"embedding_size": 5}), data, run),
        fit_once(spec, checkerboard(seed=1), run),
        fit_once(spec, data, run.child("other")),
    ]
    assert run.cache.computed == 4
    assert not any(equal(first, other) for other in others)
    here, there = fit_stage(spec, data, run), fit_stage(spec, data, replace(run, device="cuda"))
    assert here.hash != there.hash
    alone = Cache()
    assert equal(fit_once(spec, data, Run(seed=0, cache=alone)), first)
    assert alone.computed == 1


@pytest.mark.parametrize(
    "spec",
    [
        BPR(**SHORT),
        LMF(**SHORT, biases=True),
        NCF(**SHORT, variant="neumf", hidden=(8,)),
        ItemKNN(),
        Popularity(),
    ],
    ids=lambda spec: spec.model,
)
def test_a_model_that_was_kept_is_as_it_was_to_the_bit(new_cache, spec):
    data, run = checkerboard(), Run(seed=0, cache=new_cache())
    users = np.arange(data.n_users)
    fitted, kept = fit_once(spec, data, run), fit_once(spec, data, Run(seed=0, cache=run.cache))
    assert run.cache.computed == 1
    assert kept is not fitted
    assert equal(kept, fitted)
    assert torch.equal(kept.score(users), fitted.score(users))
    assert kept.log == fitted.log  # scores of the epochs and all
    assert (kept.n_users, kept.n_items) == (fitted.n_users, fitted.n_items)


def test_fine_tuning_a_model_changes_no_other(new_cache):
    data, run = checkerboard(), Run(seed=0, cache=new_cache())
    models = [fit_once(BPR(**SHORT), data, run) for _ in range(3)]
    before = packed(models[0]).tensors["users"].clone()
    for model in models:
        assert torch.equal(model.network.users, before)
        assert not model.network.training
        with torch.no_grad():
            model.network.users += 1
    assert torch.equal(fit_once(BPR(**SHORT), data, run).network.users, before)


class Constant(BaseModel):
    """Somebody's own recommender, whose weights want gradients and are handed out as they are."""

    model_config = ConfigDict(frozen=True)
    model: str = "constant"

    def fit(self, data, run):
        weights = torch.zeros(data.n_items, requires_grad=True)
        return self.restore({"weights": weights * 2}, n_users=data.n_users, n_items=data.n_items)

    def restore(self, tensors, *, n_users, n_items):
        return Weighted(dict(tensors), n_users, n_items)


class Weighted:
    log = None

    def __init__(self, weights, n_users, n_items):
        self.weights, self.n_users, self.n_items = weights, n_users, n_items

    def score(self, users):
        return self.weights["weights"].detach().repeat(len(users), 1)

    def tensors(self):
        return self.weights


def test_somebody_s_own_recommender_is_kept_too(new_cache):
    data, run = checkerboard(), Run(seed=0, cache=new_cache())
    first, again = (fit_once(Constant(), data, run) for _ in range(2))
    assert run.cache.computed == 1
    assert first is not again
    assert equal(first, again)
