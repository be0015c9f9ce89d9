"""Models as nodes: told apart by what they depend on, and made again to the bit from what was kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import BaseModel, ConfigDict

from recaudit.data.synthetic import checkerboard
from recaudit.models import factorization
from recaudit.models.factorization import BPR, LMF
from recaudit.models.fitting import fit_node, packed
from recaudit.models.training import Optimisation, Stopping
from recaudit.models.zoo.baselines import ItemKNN, Popularity
from recaudit.models.zoo.ncf import NCF
from recaudit.pipeline import Store
from recaudit.pipeline.cache import Cache
from recaudit.pipeline.run import Run

SHORT = {"embedding_size": 4, "stopping": Stopping(epochs=3, evaluate_every=1)}


@pytest.fixture(params=["memory", "store"])
def new_cache(request, tmp_path):
    """Make caches that keep their results in memory, or in a store."""
    store = None if request.param == "memory" else Store(tmp_path / "store", say=pytest.fail)
    return lambda: Cache(store=store)


def fitted(spec, data, run):
    return run.cache.get(fit_node(spec, data, run))


def equal(one, other):
    ours, theirs = one.tensors(), other.tensors()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_nodes_tell_specs_data_seeds_and_devices_apart(new_cache, monkeypatch):
    monkeypatch.setattr(factorization, "VALIDATION_K", 5)  # 50 would be the whole catalogue
    data, run = checkerboard(), Run(seed=0, cache=new_cache())
    spec = BPR(**{**SHORT, "optimisation": Optimisation(learning_rate=0.05)})
    first = fitted(spec, data, run)
    again = fitted(spec, checkerboard(), Run(seed=0, cache=run.cache))
    assert run.cache.misses == 1
    assert equal(first, again)
    others = [
        fitted(spec.model_copy(update={"embedding_size": 5}), data, run),
        fitted(spec, checkerboard(seed=1), run),
        fitted(spec, data, run.child("other")),
    ]
    assert run.cache.misses == 4
    assert not any(equal(first, other) for other in others)
    here, there = fit_node(spec, data, run), fit_node(spec, data, replace(run, device="cuda"))
    assert here.key.hash != there.key.hash
    alone = Cache()
    assert equal(fitted(spec, data, Run(seed=0, cache=alone)), first)
    assert alone.misses == 1


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
    first, kept = fitted(spec, data, run), fitted(spec, data, Run(seed=0, cache=run.cache))
    assert run.cache.misses == 1
    assert kept is not first
    assert equal(kept, first)
    assert torch.equal(kept.score(users), first.score(users))
    assert kept.log == first.log  # scores of the epochs and all
    assert (kept.n_users, kept.n_items) == (first.n_users, first.n_items)


def test_fine_tuning_a_model_changes_no_other(new_cache):
    data, run = checkerboard(), Run(seed=0, cache=new_cache())
    models = [fitted(BPR(**SHORT), data, run) for _ in range(3)]
    before = packed(models[0]).tensors["users"].clone()
    for model in models:
        assert torch.equal(model.network.users, before)
        assert not model.network.training
        with torch.no_grad():
            model.network.users += 1
    assert torch.equal(fitted(BPR(**SHORT), data, run).network.users, before)


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
    first, again = (fitted(Constant(), data, run) for _ in range(2))
    assert run.cache.misses == 1
    assert first is not again
    assert equal(first, again)
