"""The latent factor model: its steps by hand, and what it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from recaudit.data.synthetic import checkerboard
from recaudit.errors import UsageError
from recaudit.models.ranking import top_k
from recaudit.models.sampling import LabelledPairs, RatedPairs, equal_batches
from recaudit.models.training import GradientDescent
from recaudit.models.zoo.lfm import LFM
from recaudit.pipeline.run import Run
from recaudit.rng import torch_generator


def rated(n_users=10, n_items=10):
    data = checkerboard(n_users=n_users, n_items=n_items)
    ratings = np.random.default_rng(0).integers(1, 6, len(data.items)).astype(np.float32)
    return replace(data, ratings=ratings)


def by_hand(spec, data, examples, seed):
    """Funk's loop over the same draws, example by example; a batch looks at the factors it began with."""
    start = spec.network(data.n_users, data.n_items, torch_generator(seed, "initial"))
    p, q = (table.detach().numpy().astype(np.float64) for table in (start.users, start.items.table))
    of_users, of_items = np.zeros(len(p)), np.zeros(len(q))
    mean = data.ratings.mean(dtype=np.float64) if spec.feedback == "explicit" else 0.0
    rate, reg = spec.optimisation.learning_rate, spec.optimisation.reg
    biased = start.user_bias is not None
    draws = torch_generator(seed, "train", "epochs")
    for _ in range(spec.epochs):
        users, items, targets = (drawn.numpy() for drawn in examples.epoch(draws))
        for begin, end in equal_batches(len(users), spec.optimisation.batch_size):
            old = p.copy(), q.copy(), of_users.copy(), of_items.copy()
            for u, i, target in zip(users[begin:end], items[0, begin:end], targets[begin:end], strict=True):
                error = target - (mean + old[2][u] + old[3][i] + old[0][u] @ old[1][i])
                p[u] += rate * (error * old[1][i] - reg * old[0][u])
                q[i] += rate * (error * old[0][u] - reg * old[1][i])
                if biased:
                    of_users[u] += rate * (error - reg * old[2][u])
                    of_items[i] += rate * (error - reg * old[3][i])
    return {"users": p, "items.table": q, "user_bias": of_users, "item_bias": of_items, "mean": mean}


@pytest.mark.parametrize("batch_size", [1, 16])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"negatives": 3},
        {"biases": True},
        {"feedback": "explicit"},
        {"feedback": "explicit", "biases": False},
    ],
    ids=["implicit", "negatives", "implicit-biases", "explicit", "explicit-without-biases"],
)
def test_steps_are_funks(settings, batch_size):
    optimisation = GradientDescent(learning_rate=0.05, reg=0.1, batch_size=batch_size)
    spec = LFM(embedding_size=4, epochs=3, optimisation=optimisation, **settings)
    data = rated()
    implicit = spec.feedback == "implicit"
    examples = LabelledPairs(train=data, negatives=spec.negatives) if implicit else RatedPairs(train=data)
    expected = by_hand(spec, data, examples, seed=3)
    found = spec.fit(data, Run(seed=3)).tensors()
    assert ("user_bias" in found) == (settings.get("biases", not implicit))
    for name, tensor in found.items():
        np.testing.assert_allclose(tensor.numpy(), expected[name], rtol=1e-4, atol=1e-6)


def test_the_examples_of_implicit_feedback_are_interactions_and_as_many_unseen_items_as_asked():
    data = checkerboard(n_users=10, n_items=20)
    users, items, targets = LabelledPairs(train=data, negatives=3).epoch(torch.Generator().manual_seed(0))
    keys = (users * data.n_items + items[0]).numpy()
    seen = targets.numpy() == 1
    assert sorted(keys[seen]) == sorted(data.keys)
    assert not np.isin(keys[~seen], data.keys).any()
    assert (targets[~seen] == 0).all()
    lengths = np.bincount(users.numpy()[~seen], minlength=10)
    assert lengths.tolist() == (3 * data.lengths).tolist()
    assert 0 < seen[:20].sum() < 20  # shuffled together


def test_the_examples_of_explicit_feedback_are_the_ratings():
    data = rated()
    users, items, ratings = RatedPairs(train=data).epoch(torch.Generator().manual_seed(0))
    drawn = dict(zip((users * data.n_items + items[0]).tolist(), ratings.tolist(), strict=True))
    assert drawn == dict(zip(data.keys.tolist(), data.ratings.tolist(), strict=True))
    assert users.tolist() != sorted(users.tolist())


def test_a_checkerboard_is_learned():
    data = checkerboard(n_users=40, n_items=40)
    optimisation = GradientDescent(learning_rate=0.05, reg=0.1, batch_size=64)
    spec = LFM(embedding_size=8, epochs=30, optimisation=optimisation)
    fitted = spec.fit(data, Run(seed=0))
    lists = top_k(fitted, np.arange(40), data, 4).items
    assert (lists % 2 == np.arange(40)[:, None] % 2).mean() > 0.97


def test_ratings_are_learned():
    """Those who go with an item rate it 5, the others 1: a fifth of the ratings held out are foretold."""
    data = checkerboard(n_users=40, n_items=40, groups=1)
    ratings = np.where(data.users % 2 == data.items % 2, 5, 1).astype(np.float32)
    spec = LFM(embedding_size=8, feedback="explicit", epochs=80, optimisation=GradientDescent(batch_size=32))
    fitted = spec.fit(replace(data, ratings=ratings), Run(seed=0))
    truth = np.where(np.arange(40)[:, None] % 2 == np.arange(40) % 2, 5.0, 1.0)
    held_out = ~data.matrix().toarray().astype(bool)
    assert held_out.sum() == 320
    assert np.abs(fitted.score(np.arange(40)).numpy() - truth)[held_out].mean() < 0.5


def test_ratings_that_are_not_there_are_asked_for():
    with pytest.raises(
        UsageError, match=r"feedback='explicit' needs ratings, and checkerboard has none; take"
    ):
        LFM(feedback="explicit").fit(checkerboard(), Run(seed=0))


def test_training_that_diverges_is_told():
    spec = LFM(optimisation=GradientDescent(learning_rate=50.0))
    with pytest.raises(UsageError, match=r"lfm: the training diverged; lower .*found 50"):
        spec.fit(checkerboard(), Run(seed=0))
