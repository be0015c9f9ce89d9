"""What every recommender must do: one suite, joined by a subclass that names a spec."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from recaudit.data.interactions import Interactions
from recaudit.data.synthetic import checkerboard
from recaudit.errors import UsageError
from recaudit.models.protocol import Recommender, RecommenderSpec, reading
from recaudit.models.ranking import top_k
from recaudit.models.registry import model_spec
from recaudit.models.saving import load_model, save_model
from recaudit.pipeline.run import Run
from recaudit.testing.alike import same_scores

__all__ = ["RecommenderTests"]


class RecommenderTests:
    """Subclass it with ``spec``; ``trained`` is false where no random numbers play a part."""

    spec: RecommenderSpec
    trained: bool = True

    @pytest.fixture(scope="class")
    @classmethod
    def data(cls) -> Interactions:
        """Return what models are fitted to."""
        return checkerboard(n_users=30, n_items=24, groups=3)

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, request: pytest.FixtureRequest, data: Interactions) -> Recommender:
        """Return the fitted recommender, which the tests of a class share."""
        found: Recommender = request.cls.spec.fit(data, Run(seed=1))
        return found

    def scores(self, recommender: Recommender) -> torch.Tensor:
        """Return the scores of all items for all users."""
        return recommender.score(np.arange(recommender.n_users))

    def test_it_satisfies_the_protocols(self, fitted: Recommender) -> None:
        assert isinstance(self.spec, RecommenderSpec)
        assert isinstance(fitted, Recommender)

    def test_it_knows_its_users_and_items(self, fitted: Recommender, data: Interactions) -> None:
        assert (fitted.n_users, fitted.n_items) == (data.n_users, data.n_items)

    def test_a_seed_gives_the_same_recommender_again(self, fitted: Recommender, data: Interactions) -> None:
        again = self.spec.fit(data, Run(seed=1))
        assert torch.equal(self.scores(again), self.scores(fitted))
        assert {name: t.tolist() for name, t in again.tensors().items()} == {
            name: t.tolist() for name, t in fitted.tensors().items()
        }

    def test_another_seed_gives_another_where_it_is_trained(
        self, fitted: Recommender, data: Interactions
    ) -> None:
        other = self.spec.fit(data, Run(seed=2))
        assert torch.equal(self.scores(other), self.scores(fitted)) != self.trained

    def test_global_random_state_plays_no_part(self, fitted: Recommender, data: Interactions) -> None:
        state, np_state = (
            torch.random.get_rng_state(),
            np.random.get_state(legacy=False)["state"]["key"].copy(),  # noqa: NPY002 - that nobody touches it is what is tested
        )
        again = self.spec.fit(data, Run(seed=1))
        assert torch.equal(self.scores(again), self.scores(fitted))
        assert torch.equal(torch.random.get_rng_state(), state)
        assert (np.random.get_state(legacy=False)["state"]["key"] == np_state).all()  # noqa: NPY002

    def test_scores_are_float32_rows_of_the_users_asked_for(self, fitted: Recommender) -> None:
        some = fitted.score(np.array([5, 0, 5], dtype=np.int64))
        assert some.shape == (3, fitted.n_items)
        assert some.dtype == torch.float32
        assert not some.requires_grad
        same_scores(some, self.scores(fitted)[[5, 0, 5]])
        same_scores(some[0], some[2])

    def test_scores_are_fresh(self, fitted: Recommender) -> None:
        users = np.arange(2)
        before = fitted.score(users).clone()
        fitted.score(users).fill_(-torch.inf)
        assert torch.equal(fitted.score(users), before)
        first, second = fitted.score(users), fitted.score(users)
        first[0] = 7  # no row may stand for another
        assert torch.equal(first[1], second[1])

    def test_lists_leave_out_what_was_seen(self, fitted: Recommender, data: Interactions) -> None:
        lists = top_k(fitted, np.arange(data.n_users), data, 10).items
        for user, row in enumerate(lists):
            assert not np.isin(row, data.history(user)).any()

    def test_saved_and_loaded_it_is_the_same_to_the_bit(
        self, fitted: Recommender, data: Interactions, tmp_path: Path
    ) -> None:
        save_model(fitted, self.spec, data.fingerprint, tmp_path)
        loaded, spec, saved = load_model(tmp_path)
        loaded = reading(loaded, data)
        assert spec == self.spec
        assert (saved.n_users, saved.n_items, saved.fingerprint) == (30, 24, data.fingerprint)
        assert torch.equal(self.scores(loaded), self.scores(fitted))
        users = np.arange(data.n_users)
        one, other = top_k(fitted, users, data, 10), top_k(loaded, users, data, 10)
        assert one.items.tobytes() == other.items.tobytes()
        assert one.scores is not None
        assert other.scores is not None
        assert one.scores.tobytes() == other.scores.tobytes()
        save_model(loaded, spec, saved.fingerprint, tmp_path / "again")
        for name in ("model.safetensors", "model.json"):
            assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()

    def test_loaded_weights_outlive_their_file(
        self, fitted: Recommender, data: Interactions, tmp_path: Path
    ) -> None:
        save_model(fitted, self.spec, data.fingerprint, tmp_path)
        loaded, _, _ = load_model(tmp_path)
        (tmp_path / "model.safetensors").unlink()
        assert torch.equal(self.scores(reading(loaded, data)), self.scores(fitted))

    def test_the_spec_goes_through_json_unchanged(self) -> None:
        assert model_spec(json.loads(self.spec.model_dump_json()), where="victim") == self.spec

    def test_the_name_alone_stands_for_the_defaults(self) -> None:
        assert model_spec({"model": self.spec.model}, where="victim") == type(self.spec)()

    def test_the_spec_is_frozen(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            setattr(self.spec, "model", "another")  # noqa: B010

    def test_a_mistyped_name_or_key_is_told_with_the_nearest(self) -> None:
        name = self.spec.model
        with pytest.raises(UsageError, match=rf"^victim: unknown model '{name}x'; did you mean '{name}'\?$"):
            model_spec({"model": name + "x"}, where="victim")
        key = list(json.loads(self.spec.model_dump_json()))[-1]
        wrong = key[:-1] + "z"
        with pytest.raises(UsageError, match=rf"unknown key 'victim.{wrong}'; did you mean '{key}'"):
            model_spec({"model": name, wrong: 1}, where="victim")
