"""What every recommender must do: one suite, joined by a subclass that names a spec."""

import pytest

from recaudit.errors import UsageError
from recaudit.models.factorization import BPR, LMF
from recaudit.models.registry import MODELS, model_spec
from recaudit.models.training import GradientDescent, Optimisation, Stopping
from recaudit.models.zoo.baselines import ItemKNN, Popularity
from recaudit.models.zoo.gru4rec import GRU4Rec
from recaudit.models.zoo.lfm import LFM
from recaudit.models.zoo.ncf import NCF
from recaudit.models.zoo.private import PrivateItemKNN, PrivateLFM
from recaudit.models.zoo.sasrec import SASRec
from recaudit.models.zoo.stamp import STAMP
from recaudit.testing import RecommenderTests

NAMES = "bpr, gru4rec, item-knn, lfm, lmf, ncf, popularity, private-item-knn, private-lfm, sasrec, stamp"
QUICK = {
    "embedding_size": 8,
    "optimisation": Optimisation(learning_rate=0.03, batch_size=256),
    "stopping": Stopping(epochs=3, evaluate_every=1, patience=3),
}


class RecommenderSpecContract(RecommenderTests):
    """Our own: they log their training; ``judged`` tells whether a validation score decides how long it is."""

    judged = True

    def test_only_a_trained_one_has_a_log(self, fitted):
        assert (fitted.log is not None) == self.trained
        if fitted.log is not None and not self.judged:
            assert (fitted.log.scores, fitted.log.best_score) == ((), 0.0)
            assert fitted.log.best_epoch == fitted.log.epochs == 3
        elif fitted.log is not None:
            assert [epoch for epoch, _ in fitted.log.scores] == [0, 1, 2, 3]
            assert fitted.log.best_score == dict(fitted.log.scores)[fitted.log.best_epoch]


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
    assert under == {kind for name, kind in MODELS.items() if MODELS.package(name) is None}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, f"victim: no model is named; name one of {NAMES}"),
        ({"model": 3}, f"victim: unknown model '3'; expected one of: {NAMES}"),
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
