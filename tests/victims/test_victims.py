"""Victims: what they answer, what they refuse, and which values open which."""

import numpy as np
import pytest

from recaudit.data.split import SplitSpec
from recaudit.data.synthetic import checkerboard
from recaudit.errors import UsageError
from recaudit.models.factorization import BPR
from recaudit.models.ranking import top_k
from recaudit.models.saving import save_model
from recaudit.models.training import Stopping
from recaudit.models.zoo.baselines import ItemKNN
from recaudit.models.zoo.stamp import STAMP
from recaudit.pipeline.run import Run
from recaudit.rng import child_seed
from recaudit.testing import VictimTests
from recaudit.victims.lists import FixedLists
from recaudit.victims.protocol import Abilities, FitsModel, Queries, Victim
from recaudit.victims.registry import victim_spec
from recaudit.victims.saved import SavedVictim, write_split
from recaudit.victims.trained import FittedVictim, TrainedVictim
from registered import register

QUICK = BPR(embedding_size=4, stopping=Stopping(epochs=2, evaluate_every=1))


@pytest.fixture(scope="module")
def data():
    return checkerboard(n_users=30, n_items=80, groups=4)


@pytest.fixture
def saved(data, tmp_path):
    """Return the folder of a saved victim."""
    model = ItemKNN().fit(data, Run(seed=0))
    write_split(SplitSpec(), 3, tmp_path)
    save_model(model, ItemKNN(), data.fingerprint, tmp_path)
    return tmp_path


class VictimContract(VictimTests):
    """Our own, which are models: subclass it with ``spec``, a fixture of a victim's spec."""

    def test_its_lists_leave_out_what_was_seen_and_are_the_same_again(self, spec, data):
        abilities = spec.open(data, Run(seed=0)).abilities
        assert abilities.by_user
        assert abilities.leaves_out_seen
        assert abilities.repeatable

    def test_trained_again_it_has_the_other_seed(self, spec, data):
        run = Run(seed=5)
        assert isinstance(spec, FitsModel)
        assert spec.refitted(data, run).key.inputs["seed"] == child_seed(5, "retrained")
        assert isinstance(spec.retrained(data, run), Victim)


class TestTrained(VictimContract):
    @pytest.fixture
    def spec(self):
        return TrainedVictim(model=QUICK)

    def test_its_lists_are_those_of_the_model(self, spec, data):
        model = QUICK.fit(data, Run(seed=child_seed(0, "victim")))
        served = spec.open(data, Run(seed=0)).recommend(Queries(users=np.arange(30)), 7)
        assert (served.items == top_k(model, np.arange(30), data, 7).items).all()

    def test_opened_twice_it_is_trained_once(self, spec, data):
        run = Run(seed=0)
        for _ in range(2):
            spec.open(data, run)
        assert run.cache.misses == 1
        assert run.cache.hits == 1


class TestTrainedThatReadsHistories(VictimContract):
    @pytest.fixture
    def spec(self):
        stopping = Stopping(epochs=1, evaluate_every=1)
        return TrainedVictim(model=STAMP(embedding_size=4, max_length=5, stopping=stopping))


class TestSaved(VictimContract):
    @pytest.fixture
    def spec(self, saved):
        return SavedVictim(saved=saved)

    def test_it_serves_what_was_saved_and_is_retrained_as_its_model(self, spec, data):
        model = ItemKNN().fit(data, Run(seed=0))
        served = spec.open(data, Run(seed=9)).recommend(Queries(users=np.arange(30)), 7)
        assert (served.items == top_k(model, np.arange(30), data, 7).items).all()
        assert spec.model_spec == ItemKNN()
        assert spec.card.label == "ItemKNN"

    def test_other_data_are_refused(self, spec):
        other = checkerboard(n_users=31, n_items=80, groups=4)
        with pytest.raises(UsageError, match="was trained on other interactions than"):
            spec.open(other, Run(seed=0))


class TestFixedLists:
    def test_they_are_served_from_the_front(self):
        victim = FixedLists(lists=np.array([[4, 2, 7], [1, -1, -1]]))
        assert isinstance(victim, Victim)
        assert victim.abilities == Abilities(longest=3, leaves_out_seen=False)
        served = victim.recommend(Queries(users=np.array([1, 0])), 2).items
        assert served.tolist() == [[1, -1], [4, 2]]
        served[:] = 9
        assert victim.recommend(Queries(users=np.array([0])), 1).items.tolist() == [[4]]

    def test_what_it_has_not_is_refused(self, data):
        victim = FixedLists(lists=np.zeros((2, 3), dtype=np.int64))
        for asked, k, error, why in (
            (Queries(users=np.array([2])), 3, IndexError, r"0\.\.1; found 2\.\.2"),
            (Queries(users=np.array([0])), 4, ValueError, "lists of 4 items"),
            (Queries(histories=data), 3, ValueError, "no history can be shown"),
        ):
            with pytest.raises(error, match=why):
                victim.recommend(asked, k)


class TestValues:
    def test_a_model_s_values_are_a_victim_to_train(self):
        found = victim_spec({"model": "bpr", "embedding_size": 8}, where="victim")
        assert found == TrainedVictim(model=BPR(embedding_size=8))
        assert found.card.name == "bpr"
        assert isinstance(
            found.open(checkerboard(n_users=9, n_items=60, groups=3), Run(seed=0)), FittedVictim
        )

    def test_a_folder_is_a_saved_one(self, saved):
        for values in ({"saved": str(saved)}, {"victim": "saved", "saved": str(saved)}):
            assert victim_spec(values, where="victim") == SavedVictim(saved=saved)

    def test_a_package_s_victim_is_named(self, monkeypatch, saved):
        register(monkeypatch, "recaudit.victims", shelf=SavedVictim)
        assert victim_spec({"victim": "shelf", "saved": str(saved)}, where="victim").saved == saved
        with pytest.raises(UsageError, match=r"^victim: unknown victim 'shelv'; did you mean 'shelf'\?"):
            victim_spec({"victim": "shelv"}, where="victim")
        with pytest.raises(UsageError, match=r"^unknown key 'victim.sved'; did you mean 'saved'"):
            victim_spec({"victim": "shelf", "saved": str(saved), "sved": "here"}, where="victim")
