"""Private recommenders: what one user can move, what noise is added, and what is left to learn."""

import builtins
from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import torch

from recaudit.data.interactions import Interactions
from recaudit.data.synthetic import checkerboard
from recaudit.errors import UsageError
from recaudit.metrics.membership import auc
from recaudit.metrics.privacy import auc_bound, gaussian_scale, tpr_bound
from recaudit.models import accounting
from recaudit.models.accounting import noise_multiplier
from recaudit.models.ranking import top_k
from recaudit.models.zoo import private
from recaudit.models.zoo.baselines import ItemKNN
from recaudit.models.zoo.private import PrivateItemKNN, PrivateLFM
from recaudit.pipeline.run import Run
from recaudit.rng import numpy_generator
from recaudit.testing.alike import same_scores


def of_sets(sets, n_items, first_id=0):
    offsets = np.cumsum([0, *map(len, sets)]).astype(np.int64)
    return Interactions(
        name="sets",
        offsets=offsets,
        items=np.concatenate(sets).astype(np.int32),
        user_ids=pl.Series(range(first_id, first_id + len(sets))),
        item_ids=pl.Series(range(n_items)),
    )


def random_users(n_users, n_items, length, seed=0):
    random = np.random.default_rng(seed)
    return of_sets([random.permutation(n_items)[:length] for _ in range(n_users)], n_items)


def hits(recommender, data):
    """Share of listed items that are of the user's own half of a checkerboard."""
    users = np.arange(data.n_users)
    return (top_k(recommender, users, data, 4).items % 2 == users[:, None] % 2).mean()


# --- private-item-knn -------------------------------------------------------------------------------------


def test_without_noise_and_with_whole_histories_it_is_item_knn():
    data = random_users(40, 30, 8)
    plain = ItemKNN(neighbours=7, shrinkage=2.5).fit(data, Run(seed=0))
    spec = PrivateItemKNN(neighbours=7, shrinkage=2.5, epsilon=None, items_per_user=8)
    found = spec.fit(data, Run(seed=0))
    np.testing.assert_allclose(found.similarity.toarray(), plain.similarity.toarray(), rtol=1e-6)
    same_scores(found.score(np.arange(40)), plain.score(np.arange(40)))


@pytest.mark.parametrize("m", [1, 3, 10])
def test_a_user_moves_the_counts_by_the_sensitivity_at_most(m):
    """The upper triangle with its diagonal, of truncated histories, with one more user and without."""
    data = random_users(20, 40, 10)
    spec = PrivateItemKNN(items_per_user=m)

    def upper(users):
        matrix = spec._truncated(data.of_users(np.arange(users)), 5).matrix()
        return np.triu((matrix.T @ matrix).toarray())

    moved = float(np.linalg.norm(upper(20) - upper(19)))
    assert moved == pytest.approx(np.sqrt(m * (m + 1) / 2))
    assert spec.noise_scale == pytest.approx(gaussian_scale(spec.epsilon, spec.delta, moved))


def test_a_truncated_history_is_a_random_part_that_hangs_on_nobody_else():
    data = random_users(200, 40, 10)
    spec = PrivateItemKNN(items_per_user=4)
    whole = spec._truncated(data, 0)
    assert (whole.lengths == 4).all()
    last = spec._truncated(data.of_users(np.arange(150, 200)), 0)
    assert last.items.tolist() == whole.items[600:].tolist()
    assert spec._truncated(data, 1).items.tolist() != whole.items.tolist()
    places = np.concatenate([np.flatnonzero(np.isin(data.history(u), whole.history(u))) for u in range(200)])
    assert np.bincount(places, minlength=10).min() > 50  # 80 are expected of each


@pytest.mark.parametrize("tile", [7, 1024])
def test_the_noise_is_symmetric_independent_and_of_the_promised_size(monkeypatch, tile):
    monkeypatch.setattr(private, "TILE", tile)
    data = random_users(5, 90, 6)
    spec = PrivateItemKNN(epsilon=2.0, items_per_user=6)
    histories = data.matrix()
    blocks = list(spec._noisy_counts(histories, data.fingerprint, 3))
    assert np.concatenate([rows for rows, _ in blocks]).tolist() == list(range(90))
    noise = np.vstack([counts for _, counts in blocks]) - (histories.T @ histories).toarray()
    np.fill_diagonal(noise, 0)
    np.testing.assert_allclose(noise, noise.T, atol=1e-9)
    upper = noise[np.triu_indices(90, 1)] / spec.noise_scale
    assert len(np.unique(upper)) == len(upper)
    assert abs(upper.mean()) < 0.06  # 4005 draws: 4 standard errors are 0.063
    assert upper.std() == pytest.approx(1, abs=0.05)
    again = list(spec._noisy_counts(histories, data.fingerprint, 3))
    assert all((a == b).all() for (_, a), (_, b) in zip(blocks, again, strict=True))


def test_other_data_get_other_noise_of_the_same_seed():
    data = random_users(5, 30, 6)
    spec = PrivateItemKNN(items_per_user=6)
    noise = [
        next(spec._noisy_counts(part.matrix(), part.fingerprint, 3))[1]
        - (part.matrix().T @ part.matrix()).toarray()
        for part in (data, data.of_users(np.arange(4)))
    ]
    assert np.abs(noise[0] - noise[1])[~np.eye(30, dtype=bool)].min() > 0


def test_with_many_users_a_checkerboard_is_learned_through_the_noise():
    data = checkerboard(n_users=2000, n_items=40)
    assert hits(PrivateItemKNN(epsilon=3.0).fit(data, Run(seed=0)), data) > 0.97
    few = data.of_users(np.arange(20))
    assert hits(PrivateItemKNN(epsilon=0.1, threshold=0).fit(few, Run(seed=0)), few) < 0.8


def test_rare_items_stay_out_and_all_may():
    data = of_sets([[0, 1, 2]] * 300 + [[3, 4]] * 2, 6)
    found = PrivateItemKNN(epsilon=5.0, items_per_user=3).fit(data, Run(seed=0)).similarity.toarray()
    assert (found[:3, :3] > 0).sum() == 6
    assert (found[3:] == 0).all()
    assert (found[:, 3:] == 0).all()
    nothing = PrivateItemKNN(epsilon=0.01).fit(data, Run(seed=0))
    assert nothing.similarity.nnz == 0
    assert (nothing.score(np.arange(2)) == 0).all()


def test_strangers_are_served_as_members_are():
    data = random_users(40, 30, 8)
    for spec in (PrivateItemKNN(threshold=0), PrivateLFM(epochs=2, epsilon=None)):
        model = spec.fit(data, Run(seed=0))
        strangers = replace(data, user_ids=pl.Series(range(100, 140)))
        folded = spec.fold_in(model, strangers, Run(seed=9), n_interactions=1)
        assert torch.equal(folded.score(np.arange(40)), model.score(np.arange(40)))  # to the last bit


def test_an_attack_that_knows_all_but_the_user_and_the_noise_stays_below_the_bound():
    """One item, one user more or less: the popularity itself is the best that can be asked."""
    epsilon, delta = 1.0, 0.05
    spec = PrivateItemKNN(epsilon=epsilon, delta=delta, items_per_user=1, shrinkage=0.0, threshold=0)
    with_her, without = of_sets([[0]] * 50, 1), of_sets([[0]] * 49, 1)
    scores = np.array(
        [
            len(data.items) + spec.noise_scale * numpy_generator(
                seed, spec.model, data.fingerprint, "popularity"
            ).standard_normal()
            for seed in range(2000)
            for data in (with_her, without)
        ]
    )  # fmt: skip
    members = np.arange(len(scores)) % 2 == 0
    assert 0.55 < auc(scores, members) < auc_bound(epsilon, delta)
    fpr = np.array([np.mean(scores[~members] > threshold) for threshold in range(46, 54)])
    tpr = np.array([np.mean(scores[members] > threshold) for threshold in range(46, 54)])
    assert (tpr <= tpr_bound(fpr, epsilon, delta) + 0.03).all()


# --- private-lfm ------------------------------------------------------------------------------------------


def by_hand(spec, history, items):
    """A user's gradient, item by item, at the vector that a general solver finds best."""
    n_items, size = items.shape
    seen = np.isin(np.arange(n_items), history)
    weights = np.where(seen, 1.0, spec.negatives * len(history) / max(1, n_items - len(history)))
    ridge = spec.reg * len(history) * (1 + spec.negatives)
    roots = np.sqrt(weights)
    left = np.vstack([roots[:, None] * items, np.sqrt(ridge) * np.eye(size)])
    p = np.linalg.lstsq(left, np.concatenate([roots * seen, np.zeros(size)]), rcond=None)[0]
    return p, np.array([w * (t - p @ q) * p for w, t, q in zip(weights, seen, items, strict=True)])


@pytest.mark.parametrize("negatives", [1, 5])
def test_a_users_part_is_her_gradient_cut_to_length(negatives):
    data = of_sets([[0, 3, 5], [1], list(range(12))], 12)  # the last one has seen everything
    items = np.random.default_rng(0).standard_normal((12, 4))
    for clip in (0.05, 100.0):
        spec = PrivateLFM(negatives=negatives, clip=clip, reg=0.1)
        for user in range(3):
            p, gradient = by_hand(spec, data.history(user), items)
            one = data.of_users(np.array([user])).matrix().astype(np.float64)
            np.testing.assert_allclose(spec._own_vectors(one, items)[0], p, rtol=1e-9)
            norm = np.linalg.norm(gradient)
            found = spec.clipped_sum(one, items)
            np.testing.assert_allclose(found, gradient * min(1, clip / norm), rtol=1e-9, atol=1e-12)
            assert np.linalg.norm(found) <= clip * (1 + 1e-12)
            assert clip == 100.0 or norm > clip  # both sides of the cut are looked at


def test_one_more_user_moves_a_sum_by_the_clip_at_most(monkeypatch):
    monkeypatch.setattr(private, "USERS_AT_A_TIME", 3)
    data = random_users(10, 30, 8)
    histories = data.matrix().astype(np.float64)
    items = np.random.default_rng(1).standard_normal((30, 5))
    spec = PrivateLFM(clip=0.1)
    parts = [spec.clipped_sum(histories[[user]], items) for user in range(10)]
    np.testing.assert_allclose(spec.clipped_sum(histories, items), np.sum(parts, axis=0), atol=1e-12)
    for less, more in pairwise(range(1, 11)):
        moved = spec.clipped_sum(histories[:more], items) - spec.clipped_sum(histories[:less], items)
        assert np.linalg.norm(moved) == pytest.approx(0.1)
    assert (spec.clipped_sum(histories[:0], items) == 0).all()


@pytest.mark.slow
def test_steps_add_the_promised_noise_to_the_users_drawn(monkeypatch):
    """With nothing to learn from, what moves the items is the noise, step by step."""
    data = random_users(30, 50, 5)
    spec = PrivateLFM(epochs=10, sample_rate=0.5, clip=0.7, epsilon=2.0)
    drawn = []

    def nothing(self, histories, items):
        drawn.append(histories.shape[0])
        return np.zeros_like(items)

    monkeypatch.setattr(PrivateLFM, "clipped_sum", nothing)
    items = spec.fit(data, Run(seed=0)).network.items.learned().numpy()
    initial = numpy_generator(0, spec.model, "initial").standard_normal((50, 8)) * spec.initial_scale
    expected = spec.learning_rate * spec.noise_scale * np.sqrt(spec.steps)
    assert (items - initial).std() == pytest.approx(expected, rel=0.15)
    assert spec.steps == len(drawn) == 20
    assert 11 < np.mean(drawn) < 19
    assert len(set(drawn)) > 3  # Poisson sampling, not lots of one size
    assert spec.noise_scale == 0.7 * noise_multiplier(2.0, 1e-5, 0.5, 20)


@pytest.mark.parametrize(("epsilon", "steps"), [(0.3, 1), (1.0, 20), (10.0, 100), (100.0, 50)])
def test_the_accountant_agrees_with_the_exact_noise_where_everybody_takes_part(epsilon, steps):
    """T steps of full batches are one Gaussian mechanism with √T times the sensitivity."""
    exact = gaussian_scale(epsilon, 1e-5, float(np.sqrt(steps)))
    assert exact <= noise_multiplier(epsilon, 1e-5, 1.0, steps) < 1.15 * exact


def test_sampling_saves_noise():
    assert noise_multiplier(1.0, 1e-5, 0.1, 50) < 0.5 * noise_multiplier(1.0, 1e-5, 1.0, 50)


def test_a_promise_that_no_noise_keeps_is_told():
    with pytest.raises(UsageError, match=r"private-lfm: no noise gives epsilon=1e-07 .*; raise epsilon"):
        noise_multiplier(1e-7, 1e-12, 1.0, 10_000)


def test_without_opacus_it_says_how_to_get_it(monkeypatch):
    real = builtins.__import__

    def absent(name, *arguments, **named):
        if name.startswith("opacus"):
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    accounting.noise_multiplier.cache_clear()
    with pytest.raises(UsageError, match=r"pip install 'recaudit\[dp\]', or set epsilon to null"):
        PrivateLFM(epochs=1).fit(random_users(5, 10, 3), Run(seed=0))
    PrivateLFM(epochs=1, epsilon=None).fit(random_users(5, 10, 3), Run(seed=0))


def test_a_checkerboard_is_learned_without_noise_and_drowns_in_much():
    data = checkerboard(n_users=60, n_items=40)
    settings = {"embedding_size": 4, "epochs": 20, "learning_rate": 0.05}
    assert hits(PrivateLFM(**settings, epsilon=None).fit(data, Run(seed=0)), data) > 0.97
    assert hits(PrivateLFM(**settings, epsilon=50.0).fit(data, Run(seed=0)), data) > 0.8
    assert hits(PrivateLFM(**settings, epsilon=0.1).fit(data, Run(seed=0)), data) < 0.7


@pytest.mark.parametrize("spec", [PrivateItemKNN(epsilon=None), PrivateLFM(epsilon=None, epochs=1)])
def test_no_epsilon_goes_through_json(spec):
    assert type(spec).model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize("kind", [PrivateItemKNN, PrivateLFM])
@pytest.mark.parametrize(
    "values", [{"epsilon": 0}, {"delta": 1e-13}, {"delta": 1}, {"epsilon": float("inf")}]
)
def test_promises_out_of_range_are_refused(kind, values):
    with pytest.raises(ValueError, match=next(iter(values))):
        kind(**values)
