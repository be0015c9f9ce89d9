"""Fold-in: strangers get what members of their kind get, and nothing else moves."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from recaudit.data.interactions import Interactions
from recaudit.data.synthetic import checkerboard, synthetic_interactions
from recaudit.errors import UsageError
from recaudit.models import factorization
from recaudit.models.cold_start import FoldedExamples, FoldsIn, fold_in, fresh_users, shown_part
from recaudit.models.factorization import BPR, LMF
from recaudit.models.fitting import fit_node, fold_node
from recaudit.models.ranking import top_k
from recaudit.models.registry import MODELS
from recaudit.models.saving import load_model, save_model
from recaudit.models.training import GradientDescent, Optimisation, Stopping
from recaudit.models.zoo.baselines import ItemKNN, Popularity
from recaudit.models.zoo.gru4rec import GRU4Rec
from recaudit.models.zoo.lfm import LFM
from recaudit.models.zoo.ncf import NCF
from recaudit.models.zoo.private import PrivateItemKNN, PrivateLFM
from recaudit.models.zoo.sasrec import SASRec
from recaudit.models.zoo.stamp import STAMP
from recaudit.pipeline import Store
from recaudit.pipeline.cache import Cache
from recaudit.pipeline.run import Run
from recaudit.rng import numpy_generator

ADAM = {
    "embedding_size": 8,
    "optimisation": Optimisation(learning_rate=0.03, batch_size=128),
    "stopping": Stopping(epochs=25, evaluate_every=5, patience=25),
}
SGD = GradientDescent(learning_rate=0.05, reg=0.05, batch_size=160)
SPECS = {
    "bpr": BPR(**ADAM),
    "bpr-negatives": BPR(**ADAM, negatives=3),
    "lmf": LMF(**ADAM),
    "lmf-biases": LMF(**ADAM, biases=True),
    "mlp": NCF(**ADAM, hidden=(16, 8)),
    "gmf": NCF(**ADAM, variant="gmf"),
    "neumf": NCF(**ADAM, variant="neumf", hidden=(16,)),
    "lfm": LFM(embedding_size=8, epochs=30, optimisation=SGD),
    "lfm-biases": LFM(embedding_size=8, epochs=30, optimisation=SGD, biases=True, negatives=2),
    "lfm-explicit": LFM(embedding_size=8, epochs=60, optimisation=SGD, feedback="explicit"),
    "item-knn": ItemKNN(),
    "popularity": Popularity(),
    "private-item-knn": PrivateItemKNN(epsilon=30.0, threshold=0),
    "private-lfm": PrivateLFM(embedding_size=4, negatives=1, learning_rate=0.05, epsilon=30.0),
    "sasrec": SASRec(**ADAM),
    "stamp": STAMP(**ADAM),
    "gru4rec": GRU4Rec(**ADAM, hidden=8),
}
CLOSED_FORM = {"item-knn", "popularity", "private-item-knn", "private-lfm", "sasrec", "stamp", "gru4rec"}
"""What folds in without random numbers."""
OWN = ("users", "user_bias", "histories")
"""What names of tensors of a user begin with."""


def board(seed, n_users=40):
    """Return users with four fifths of their own group's items, whose ids are another board's to none."""
    data = checkerboard(n_users=n_users, n_items=40, seed=seed)
    return replace(data, user_ids=pl.Series(range(1000 * seed, 1000 * seed + n_users)))


def rated(data):
    """Add four items of the other group, rated 1, to each user's own, rated 5."""
    items = data.items.reshape(data.n_users, -1)
    others = (items[:, :4] + 1) % data.n_items
    width = items.shape[1] + 4
    ratings = np.full((data.n_users, width), 5, dtype=np.float32)
    ratings[:, -4:] = 1
    return replace(
        data,
        offsets=np.arange(data.n_users + 1, dtype=np.int64) * width,
        items=np.concatenate([items, others], axis=1).ravel(),
        ratings=ratings.ravel(),
        times=None,
    )


def data_for(name, seed, **size):
    return rated(board(seed, **size)) if name == "lfm-explicit" else board(seed, **size)


def tensors_alike(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(autouse=True)
def short_lists(monkeypatch):
    monkeypatch.setattr(factorization, "VALIDATION_K", 5)  # 50 would be the whole catalogue


@pytest.fixture(scope="module")
def fitted():
    """Fit each model once."""
    kept = {}

    def fit(name):
        if name not in kept:
            kept[name] = SPECS[name].fit(data_for(name, 0), Run(seed=0))
        return kept[name]

    return fit


# --- every model ------------------------------------------------------------------------------------------


def test_every_model_of_the_registry_folds_in():
    assert {type(spec) for spec in SPECS.values()} == set(MODELS.values())
    assert all(isinstance(spec, FoldsIn) for spec in SPECS.values())


@pytest.mark.parametrize("name", [name for name in SPECS if name != "popularity"])
def test_strangers_get_the_items_of_their_group(fitted, name):
    strangers = data_for(name, 1, n_users=30)
    folded = fold_in(SPECS[name], fitted(name), strangers, Run(seed=5))
    assert (folded.n_users, folded.n_items) == (30, 40)
    lists = top_k(folded, np.arange(30), strangers, 4).items  # each user misses 4 of the own 20 items
    assert (lists % 2 == np.arange(30)[:, None] % 2).mean() > 0.95


def test_strangers_get_what_was_popular_with_members(fitted):
    folded = fold_in(SPECS["popularity"], fitted("popularity"), board(1, n_users=30), Run(seed=5))
    assert (folded.score(np.arange(30)).numpy() == board(0).popularity).all()


@pytest.mark.parametrize("name", SPECS)
def test_what_is_not_the_users_own_stays_to_the_bit(fitted, name):
    before = {key: tensor.clone() for key, tensor in fitted(name).tensors().items()}
    folded = fold_in(SPECS[name], fitted(name), data_for(name, 1, n_users=30), Run(seed=5)).tensors()
    assert tensors_alike(fitted(name).tensors(), before)
    assert folded.keys() == before.keys()
    shared = [key for key in before if not key.startswith(OWN)]
    assert shared
    assert all(torch.equal(folded[key], before[key]) for key in shared)


@pytest.mark.parametrize("name", SPECS)
def test_a_seed_gives_the_same_strangers_again(fitted, name):
    spec, strangers = SPECS[name], data_for(name, 1, n_users=30)
    one, again, other = (fold_in(spec, fitted(name), strangers, Run(seed=seed)) for seed in (5, 5, 6))
    assert tensors_alike(one.tensors(), again.tensors())
    if name not in CLOSED_FORM:
        assert not tensors_alike(one.tensors(), other.tensors())


@pytest.mark.parametrize("name", SPECS)
def test_who_else_is_folded_in_plays_no_part(fitted, name):
    spec, strangers, n = SPECS[name], data_for(name, 1, n_users=30), 640
    together = fold_in(spec, fitted(name), strangers, Run(seed=5), n_interactions=n)
    chosen = np.array([17, 3, 8])
    alone = fold_in(spec, fitted(name), strangers.of_users(chosen), Run(seed=5), n_interactions=n)
    torch.testing.assert_close(alone.score(np.arange(3)), together.score(chosen), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["bpr", "lmf-biases", "neumf", "lfm", "lfm-biases", "lfm-explicit"])
def test_a_history_that_was_fitted_and_is_folded_in_weighs_alike(fitted, name):
    """Scores are as far apart as after training, and in the same order: as many steps, of the same size.

    Not quite: a vector that grows beside its items from nothing is pulled longer than one that meets them
    grown, as it soon scores well enough for the loss to let go.
    """
    members = data_for(name, 0)
    trained = fitted(name)
    some = np.arange(0, 40, 4)  # not all, so that a count of steps by who is folded in would show
    folded = fold_in(
        SPECS[name], trained, members.of_users(some), Run(seed=5), n_interactions=len(members.items)
    )
    ours, theirs = folded.score(np.arange(len(some))), trained.score(some)
    tolerance = 1.2 if name.startswith("lfm") else 1.5
    assert 1 / tolerance < ours.std(dim=1).mean() / theirs.std(dim=1).mean() < tolerance
    assert torch.corrcoef(torch.stack([ours.flatten(), theirs.flatten()]))[0, 1] > 0.9


def test_the_epochs_are_those_of_the_best_state(fitted):
    told = []
    run = Run(seed=5, progress=lambda *step: told.append(step))
    folded = fold_in(SPECS["bpr"], fitted("bpr"), board(1), run)
    best = fitted("bpr").log.best_epoch
    assert (folded.log.epochs, folded.log.best_epoch, folded.log.scores) == (best, best, ())
    assert told == [("folding into bpr", epoch, best) for epoch in range(1, best + 1)]
    assert fold_in(SPECS["lfm"], fitted("lfm"), board(1), Run(seed=5)).log.epochs == 30


def test_an_untrained_best_state_is_folded_into_for_one_epoch(fitted):
    model = BPR(**ADAM).restore(fitted("bpr").tensors(), n_users=40, n_items=40)
    model.log = replace(fitted("bpr").log, best_epoch=0)
    assert fold_in(BPR(**ADAM), model, board(1), Run(seed=5)).log.epochs == 1


# --- steps ------------------------------------------------------------------------------------------------


def test_a_lone_stranger_of_an_lfm_takes_funks_steps(fitted):
    """By hand: the same draws, the batches of the training, and only the stranger's vector moving."""
    spec, model, stranger = SPECS["lfm"], fitted("lfm"), board(1, n_users=2).of_users(np.array([1]))
    folded = fold_in(spec, model, stranger, Run(seed=5), n_interactions=640)
    q = model.network.items.table.detach().numpy().astype(np.float64)
    p = 0.1 * numpy_generator(5, "fold-in", "initial", 1001).standard_normal(8)
    n_batches = 8  # 640 interactions and as many drawn items, 160 in a batch
    examples = FoldedExamples(
        shown=stranger, seed=5, negatives=1, n_batches=n_batches, targets=np.ones(16, dtype=np.float32)
    )
    for _ in range(30):
        (_, items, targets), batches = examples.epoch()
        assert len(batches) == n_batches
        for start, end in batches:
            chosen = q[items[0, start:end].numpy()]
            errors = targets[start:end].numpy() - chosen @ p
            p = p + 0.05 * (errors @ chosen - 0.05 * (end - start) * p)
    np.testing.assert_allclose(folded.network.users[0].detach().numpy(), p, rtol=1e-4, atol=1e-5)


def test_strangers_of_bpr_take_adams_steps(fitted):
    spec, model, strangers = SPECS["bpr"], fitted("bpr"), board(1)
    n_trained = 3000
    folded = fold_in(spec, model, strangers, Run(seed=5), n_interactions=n_trained)
    shown = shown_part(strangers, 0.1, 5)
    users = fresh_users(model.network, shown, 5, scale=0.01).users.detach().clone().requires_grad_()
    items = model.network.items.table.detach()
    adam = torch.optim.Adam([users], lr=0.03)
    n_batches = 22  # 2,700 interactions train, 128 in a batch
    examples = FoldedExamples(shown=shown, seed=5, negatives=1, n_batches=n_batches)
    for _ in range(model.log.best_epoch):
        (drawn, pairs), batches = examples.epoch()
        for start, end in batches:
            adam.zero_grad(set_to_none=False)
            scores = (users[drawn[start:end]] * items[pairs[:, start:end]]).sum(-1)
            (-torch.nn.functional.logsigmoid(scores[0] - scores[1]).sum() / (2700 / n_batches)).backward()
            adam.step()
    torch.testing.assert_close(folded.network.users, users, rtol=1e-3, atol=1e-4)


# --- what is drawn ----------------------------------------------------------------------------------------


def histories(lengths, n_items, seed=0):
    random = np.random.default_rng(seed)
    return Interactions(
        name="planted",
        offsets=np.cumsum([0, *lengths]).astype(np.int64),
        items=np.concatenate([random.permutation(n_items)[:length] for length in lengths]).astype(np.int32),
        user_ids=pl.Series([f"user {n}" for n in range(len(lengths))]),
        item_ids=pl.Series(range(n_items)),
    )


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=8),
    st.integers(0, 3),
    st.integers(1, 3),
    st.integers(1, 9),
    st.booleans(),
    st.integers(0, 99),
)
def test_an_epoch_holds_each_interaction_once_a_pass_with_unseen_items(
    lengths, negatives, passes, n_batches, paired, seed
):
    data = histories(lengths, 13, seed)  # who has the longest history has one item left
    targets = np.arange(1, len(data.items) + 1, dtype=np.float32) if paired else None
    examples = FoldedExamples(
        shown=data, seed=seed, negatives=negatives, n_batches=n_batches, passes=passes, targets=targets
    )
    drawn, batches = examples.epoch()
    users, items = drawn[:2]
    assert len(batches) == n_batches
    assert (batches[0][0], batches[-1][1]) == (0, len(users))
    assert all(one[1] == other[0] for one, other in pairwise(batches))
    rows = 1 + negatives
    keys = (users * 13 + items).numpy()
    if paired:
        assert items.shape == (1, len(data.items) * passes * rows)
        seen = keys[0, drawn[2].numpy() > 0]
        own = dict(zip(data.keys, targets, strict=True))
        assert [own[key] for key in seen] == drawn[2][drawn[2] > 0].tolist()
        unseen = keys[0, drawn[2].numpy() == 0]
    else:
        assert len(drawn) == 2
        assert items.shape == (rows, len(data.items) * passes)
        seen, unseen = keys[0], keys[1:].ravel()
    assert Counter(seen.tolist()) == dict.fromkeys(data.keys.tolist(), passes)
    assert not np.isin(unseen, data.keys).any()
    assert ((items >= 0) & (items < 13)).all()
    again = FoldedExamples(
        shown=data, seed=seed, negatives=negatives, n_batches=n_batches, passes=passes, targets=targets
    ).epoch()
    assert all(torch.equal(one, other) for one, other in zip(drawn, again[0], strict=True))


def test_drawn_items_and_batches_are_uniform_and_new_each_epoch():
    data = histories([4, 9], 12)
    examples = FoldedExamples(shown=data, seed=1, negatives=2, n_batches=5)
    items, batches = [Counter(), Counter()], Counter()
    for _ in range(1000):
        (users, pairs), edges = examples.epoch()
        for user in (0, 1):
            items[user].update(pairs[1:, users == user].flatten().tolist())
        batches.update({n: end - start for n, (start, end) in enumerate(edges)})
    for user, drawn in enumerate(items):
        free = sorted(set(range(12)) - set(data.history(user).tolist()))
        assert sorted(drawn) == free
        expected = 1000 * 2 * data.lengths[user] / len(free)
        assert all(abs(drawn[item] - expected) < 5 * expected**0.5 for item in free)
    assert all(abs(batches[n] - 1000 * 13 / 5) < 5 * (1000 * 13 / 5) ** 0.5 for n in range(5))


def test_passes_follow_one_another():
    """As in training, where an epoch shows all interactions once before it shows any of them again."""
    examples = FoldedExamples(shown=histories([6, 3], 12), seed=1, negatives=1, n_batches=4, passes=2)
    (users, items), batches = examples.epoch()
    middle = batches[1][1]
    keys = (users * 12 + items[0]).tolist()
    assert sorted(keys[:middle]) == sorted(keys[middle:]) == sorted(examples.shown.keys.tolist())


def test_one_who_has_everything_gets_something():
    data = histories([5, 2], 5)
    (users, items), _ = FoldedExamples(shown=data, seed=0, negatives=3, n_batches=1).epoch()
    assert ((items >= 0) & (items < 5)).all()
    assert not np.isin((users * 5 + items[1:])[:, users == 1].numpy(), data.keys).any()


def test_the_shown_part_has_its_share_and_is_each_users_own():
    data = histories([30] * 100 + [1] * 100, 60)
    shown = shown_part(data, 0.1, seed=3)
    assert (shown.lengths >= 1).all()
    assert 0.87 < shown.lengths[:100].sum() / 3000 < 0.93
    assert np.isin(shown.keys, data.keys).all()
    chosen = np.array([150, 7, 42])
    alone = shown_part(data.of_users(chosen), 0.1, seed=3)
    assert [alone.history(n).tolist() for n in range(3)] == [
        shown.history(u).tolist() for u in chosen.tolist()
    ]
    assert shown_part(data, 0.1, seed=4).fingerprint != shown.fingerprint


# --- what is refused --------------------------------------------------------------------------------------


class Constant(BaseModel):
    model: str = "constant"

    def fit(self, data, run):
        return Popularity().fit(data, run)

    def restore(self, tensors, *, n_users, n_items):
        return Popularity().restore(tensors, n_users=n_users, n_items=n_items)


def test_a_model_that_cannot_fold_in_says_so(fitted):
    with pytest.raises(
        UsageError, match=r"^constant: this model has no fold_in and cannot .*; serve them popu"
    ):
        fold_in(Constant(), fitted("popularity"), board(1), Run(seed=0))


def test_another_catalogue_is_refused(fitted):
    with pytest.raises(UsageError, match=r"^lfm: histories over 20 items .* into a model of 40; take"):
        fold_in(SPECS["lfm"], fitted("lfm"), checkerboard(n_users=10, n_items=20), Run(seed=0))


def test_a_loaded_model_does_not_tell_its_epochs(fitted, tmp_path):
    save_model(fitted("bpr"), SPECS["bpr"], "f", tmp_path / "bpr")
    with pytest.raises(
        UsageError, match=r"^bpr: a model loaded from its file does not tell for how many epochs"
    ):
        fold_in(SPECS["bpr"], load_model(tmp_path / "bpr")[0], board(1), Run(seed=0))
    save_model(fitted("lfm"), SPECS["lfm"], "f", tmp_path / "lfm")
    loaded = fold_in(SPECS["lfm"], load_model(tmp_path / "lfm")[0], board(1), Run(seed=0))
    assert tensors_alike(
        loaded.tensors(), fold_in(SPECS["lfm"], fitted("lfm"), board(1), Run(seed=0)).tensors()
    )


def test_ratings_that_are_not_there_are_asked_for(fitted):
    with pytest.raises(UsageError, match=r"feedback='explicit' needs ratings, and checkerboard has none"):
        fold_in(SPECS["lfm-explicit"], fitted("lfm-explicit"), board(1), Run(seed=0))


def test_a_fold_in_that_diverges_is_told(fitted):
    spec = SPECS["lfm"].model_copy(update={"optimisation": GradientDescent(learning_rate=50.0)})
    with pytest.raises(
        UsageError, match=r"folding into lfm: the fold-in diverged; lower optimisation\.learn"
    ):
        fold_in(spec, fitted("lfm"), board(1), Run(seed=0))


# --- as a stage -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPECS)
def test_folded_users_are_kept_and_made_again_to_the_bit(tmp_path, name):
    spec, members, strangers = SPECS[name], data_for(name, 0), data_for(name, 1, n_users=30)
    if name.startswith("lfm"):
        spec = spec.model_copy(update={"epochs": 2})
    elif name not in CLOSED_FORM:
        spec = spec.model_copy(update={"stopping": Stopping(epochs=2, evaluate_every=1)})
    run = Run(seed=0, cache=Cache(store=Store(tmp_path / "store", say=pytest.fail)))
    fitted = fit_node(spec, members, run)

    def fold(histories=strangers, run=run, fitted=fitted, **given_):
        return run.cache.get(fold_node(spec, fitted, histories, run, **given_))

    first, again = fold(), fold()
    assert run.cache.misses == 2
    assert again is not first
    assert tensors_alike(first.tensors(), again.tensors())
    assert torch.equal(first.score(np.arange(30)), again.score(np.arange(30)))
    assert (again.n_users, again.n_items, again.log) == (30, 40, first.log)
    fold(histories=data_for(name, 2, n_users=30))
    fold(run=run.child("other"))
    fold(n_interactions=1000)
    assert run.cache.misses == 5
    fold(fitted=fit_node(spec, members, run.child("another model")))  # which is fitted first
    assert run.cache.misses == 7


def test_members_and_strangers_are_of_one_kind_after_folding_everyone():
    """Of data without a group, too: nobody's vector tells by its length that its owner was trained on."""
    data = synthetic_interactions(n_users=80, n_items=100)
    spec = LFM(embedding_size=8, epochs=20, optimisation=SGD)
    model = spec.fit(data.of_users(np.arange(40)), Run(seed=0))
    folded = fold_in(spec, model, data, Run(seed=1), n_interactions=int(data.lengths[:40].sum()))
    lengths = folded.network.users.detach().norm(dim=1)
    assert 0.85 < lengths[:40].mean() / lengths[40:].mean() < 1.18
