"""What every recommender must do: one suite, joined by a subclass that names a spec."""

import json

import numpy as np
import pytest
import torch

from alike import same_scores
from recaudit.data.synthetic import checkerboard
from recaudit.errors import UsageError
from recaudit.models.factorization import BPR, LMF
from recaudit.models.protocol import Recommender, RecommenderSpec, reading
from recaudit.models.ranking import top_k
from recaudit.models.registry import MODELS, model_spec
from recaudit.models.saving import load_model, save_model
from recaudit.models.training import GradientDescent, Optimisation, Stopping
from recaudit.models.zoo.baselines import ItemKNN, Popularity
from recaudit.models.zoo.gru4rec import GRU4Rec
from recaudit.models.zoo.lfm import LFM
from recaudit.models.zoo.ncf import NCF
from recaudit.models.zoo.private import PrivateItemKNN, PrivateLFM
from recaudit.models.zoo.sasrec import SASRec
from recaudit.models.zoo.stamp import STAMP
from recaudit.pipeline.run import Run

NAMES = "bpr, gru4rec, item-knn, lfm, lmf, ncf, popularity, private-item-knn, private-lfm, sasrec, stamp"
QUICK = {
    "embedding_size": 8,
    "optimisation": Optimisation(learning_rate=0.03, batch_size=256),
    "stopping": Stopping(epochs=3, evaluate_every=1, patience=3),
}


@pytest.fixture(scope="module")
def data():
    return checkerboard(n_users=30, n_items=24, groups=3)


@pytest.fixture(scope="class")
def fitted(request, data) -> Recommender:
    return request.cls.spec.fit(data, Run(seed=1))


class RecommenderSpecContract:
    """Subclass it with ``spec``, and ``trained`` where random numbers play a part.

    ``judged`` tells whether a validation score decides how long it trains.
    """

    spec: RecommenderSpec
    trained = True
    judged = True

    def scores(self, recommender):
        return recommender.score(np.arange(recommender.n_users))

    def test_it_satisfies_the_protocols(self, fitted):
        assert isinstance(self.spec, RecommenderSpec)
        assert isinstance(fitted, Recommender)

    def test_it_knows_its_users_and_items(self, fitted, data):
        assert (fitted.n_users, fitted.n_items) == (data.n_users, data.n_items)

    def test_only_a_trained_one_has_a_log(self, fitted):
        assert (fitted.log is not None) == self.trained
        if fitted.log is not None and not self.judged:
            assert (fitted.log.scores, fitted.log.best_score) == ((), 0.0)
            assert fitted.log.best_epoch == fitted.log.epochs == 3
        elif fitted.log is not None:
            assert [epoch for epoch, _ in fitted.log.scores] == [0, 1, 2, 3]
            assert fitted.log.best_score == dict(fitted.log.scores)[fitted.log.best_epoch]

    def test_a_seed_gives_the_same_recommender_again(self, fitted, data):
        again = self.spec.fit(data, Run(seed=1))
        assert torch.equal(self.scores(again), self.scores(fitted))
        assert {name: t.tolist() for name, t in again.tensors().items()} == {
            name: t.tolist() for name, t in fitted.tensors().items()
        }

    def test_another_seed_gives_another_where_it_is_trained(self, fitted, data):
        other = self.spec.fit(data, Run(seed=2))
        assert torch.equal(self.scores(other), self.scores(fitted)) != self.trained

    def test_global_random_state_plays_no_part(self, fitted, data):
        state, np_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        again = self.spec.fit(data, Run(seed=1))
        assert torch.equal(self.scores(again), self.scores(fitted))
        assert torch.equal(torch.random.get_rng_state(), state)
        assert (np.random.get_state()[1] == np_state).all()  # noqa: NPY002

    def test_scores_are_float32_rows_of_the_users_asked_for(self, fitted):
        some = fitted.score(np.array([5, 0, 5], dtype=np.int64))
        assert some.shape == (3, fitted.n_items)
        assert some.dtype == torch.float32
        assert not some.requires_grad
        same_scores(some, self.scores(fitted)[[5, 0, 5]])
        same_scores(some[0], some[2])

    def test_scores_are_fresh(self, fitted):
        users = np.arange(2)
        before = fitted.score(users).clone()
        fitted.score(users).fill_(-torch.inf)
        assert torch.equal(fitted.score(users), before)
        first, second = fitted.score(users), fitted.score(users)
        first[0] = 7  # no row may stand for another
        assert torch.equal(first[1], second[1])

    def test_lists_leave_out_what_was_seen(self, fitted, data):
        lists = top_k(fitted, np.arange(data.n_users), data, 10).items
        for user, row in enumerate(lists):
            assert not np.isin(row, data.history(user)).any()

    def test_saved_and_loaded_it_is_the_same_to_the_bit(self, fitted, data, tmp_path):
        save_model(fitted, self.spec, data.fingerprint, tmp_path)
        loaded, spec, saved = load_model(tmp_path)
        loaded = reading(loaded, data)
        assert spec == self.spec
        assert (saved.n_users, saved.n_items, saved.fingerprint) == (30, 24, data.fingerprint)
        assert torch.equal(self.scores(loaded), self.scores(fitted))
        users = np.arange(data.n_users)
        one, other = top_k(fitted, users, data, 10), top_k(loaded, users, data, 10)
        assert one.items.tobytes() == other.items.tobytes()
        assert one.scores.tobytes() == other.scores.tobytes()
        save_model(loaded, spec, saved.fingerprint, tmp_path / "again")
        for name in ("model.safetensors", "model.json"):
            assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()

    def test_loaded_weights_outlive_their_file(self, fitted, data, tmp_path):
        save_model(fitted, self.spec, data.fingerprint, tmp_path)
        loaded, _, _ = load_model(tmp_path)
        (tmp_path / "model.safetensors").unlink()
        assert torch.equal(self.scores(reading(loaded, data)), self.scores(fitted))

    def test_the_spec_goes_through_json_unchanged(self):
        assert model_spec(json.loads(self.spec.model_dump_json()), where="victim") == self.spec

    def test_the_name_alone_stands_for_the_defaults(self):
        assert model_spec({"model": self.spec.model}, where="victim") == type(self.spec)()

    def test_the_spec_is_frozen(self):
        with pytest.raises(ValueError, match="frozen"):
            self.spec.model = "another"

    def test_a_mistyped_name_or_key_is_told_with_the_nearest(self):
        name = self.spec.model
        with pytest.raises(UsageError, match=rf"^victim: unknown model '{name}x'; did you mean '{name}'\?$"):
            model_spec({"model": name + "x"}, where="victim")
        key = list(json.loads(self.spec.model_dump_json()))[-1]
        wrong = key[:-1] + "z"
        with pytest.raises(UsageError, match=rf"unknown key 'victim.{wrong}'; did you mean '{key}'"):
            model_spec({"model": name, wrong: 1}, where="victim")


class TestPopularity(RecommenderSpecContract):
    spec = Popularity()
    trained = False


class TestItemKNN(RecommenderSpecContract):
    spec = ItemKNN(neighbours=7, shrinkage=2.5)
    trained = False


class TestBPR(RecommenderSpecContract):
    spec = BPR(**QUICK)


class TestBPRWithSeveralNegatives(RecommenderSpecContract):
    spec = BPR(**QUICK, negatives=3, validation_share=0.2)


class TestLMF(RecommenderSpecContract):
    spec = LMF(**QUICK)


class TestLMFWithBiases(RecommenderSpecContract):
    spec = LMF(**QUICK, biases=True)


class TestMLP(RecommenderSpecContract):
    spec = NCF(**QUICK, hidden=(12, 6))


class TestGMF(RecommenderSpecContract):
    spec = NCF(**QUICK, variant="gmf")


class TestNeuMF(RecommenderSpecContract):
    spec = NCF(**QUICK, variant="neumf", hidden=(12,))


class TestLFM(RecommenderSpecContract):
    spec = LFM(embedding_size=8, epochs=3, optimisation=GradientDescent(batch_size=32))
    judged = False


class TestLFMWithBiasesAndSeveralNegatives(RecommenderSpecContract):
    spec = LFM(embedding_size=8, epochs=3, biases=True, negatives=3, optimisation=GradientDescent(reg=0.0))
    judged = False


class TestPrivateItemKNN(RecommenderSpecContract):
    spec = PrivateItemKNN(neighbours=7, threshold=0)

    def test_only_a_trained_one_has_a_log(self, fitted):
        assert fitted.log is None  # nothing is trained: its random numbers are noise


class TestPrivateLFM(RecommenderSpecContract):
    spec = PrivateLFM(embedding_size=8, epochs=3, sample_rate=0.5)
    judged = False


class TestSASRec(RecommenderSpecContract):
    spec = SASRec(**QUICK, heads=2, max_length=9)


class TestSTAMP(RecommenderSpecContract):
    spec = STAMP(**QUICK, loss="bpr", negatives=2)


class TestGRU4Rec(RecommenderSpecContract):
    spec = GRU4Rec(**QUICK, hidden=12, tables="separate")


def test_every_model_of_the_registry_is_under_contract():
    under = {type(kind.spec) for kind in RecommenderSpecContract.__subclasses__()}
    assert under == set(MODELS.values())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, f"victim: no model is named; name one of {NAMES}"),
        ({"model": 3}, f"victim: unknown model 3; expected one of: {NAMES}"),
        ({"model": "bpr", "embedding_size": 0}, r"victim\.embedding_size: .*than or equal to 1; found 0"),
        ({"model": "bpr", "optimisation": {"learning_rat": 1}}, r"'victim\.optimisation\.learning_rat'; did"),
        ({"model": "bpr", "optimisation": {"learning_rate": float("inf")}}, "finite number; found inf"),
        ({"model": "ncf", "hidden": [8, 0]}, r"victim\.hidden\.1: .*found 0"),
        ({"model": "ncf", "variant": "mpl"}, r"victim\.variant: .*'mlp', 'gmf' or 'neumf'; found 'mpl'"),
        ({"model": "lmf", "stopping": {"patience": 5, "evaluate_every": 10}}, "patience=5 ends the training"),
        ({"model": "item-knn", "shrinkage": float("nan")}, r"victim\.shrinkage: .*found nan"),
    ],
)  # fmt: skip
def test_a_wrong_spec_says_what_is_wrong(values, message):
    with pytest.raises(UsageError, match=message):
        model_spec(values, where="victim")
