"""Saved models: every way in which a file can be wrong ends in one line that names it."""

import json

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from recaudit.data.synthetic import checkerboard
from recaudit.errors import UsageError
from recaudit.models.factorization import BPR
from recaudit.models.saving import load_model, save_model
from recaudit.models.training import Stopping
from recaudit.models.zoo.baselines import ItemKNN, Popularity
from recaudit.pipeline.run import Run

DATA = checkerboard(n_users=12, n_items=10)
SPECS = {
    "bpr": BPR(embedding_size=4, stopping=Stopping(epochs=1)),
    "item-knn": ItemKNN(),
    "popularity": Popularity(),
}


@pytest.fixture(params=SPECS.values(), ids=SPECS)
def saved(request, tmp_path):
    save_model(request.param.fit(DATA, Run(seed=0)), request.param, DATA.fingerprint, tmp_path)
    return tmp_path


def refused(directory, named):
    with pytest.raises(UsageError) as caught:
        load_model(directory)
    message = str(caught.value)
    assert str(directory / named) in message
    assert "\n" not in message
    return message


def described(directory, **changes):
    path = directory / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    assert "no such file; a saved model is a folder with" in refused(saved, name)


def test_a_missing_folder_is_named(tmp_path):
    refused(tmp_path / "nowhere", "model.json")


@pytest.mark.parametrize("keep", [0, 5, 60, -1, -40])
def test_weights_that_end_early_are_refused(saved, keep):
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert "damaged, or not the weights that" in refused(saved, "model.safetensors")


def test_a_weight_that_changed_is_noticed(saved):
    path = saved / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    refused(saved, "model.safetensors")


def test_weights_saved_before_there_were_checksums_are_taken(saved):
    described(saved, sha256=None)
    load_model(saved)


def test_weights_that_are_something_else_are_refused(saved):
    (saved / "model.safetensors").write_bytes(b"PK\x03\x04" + bytes(500))
    refused(saved, "model.safetensors")


def test_weights_of_other_shapes_are_refused(saved):
    described(saved, n_items=11)
    refused(saved, "model.safetensors")


def test_weights_of_other_users_are_refused(tmp_path):
    for name in ("bpr", "item-knn"):
        save_model(SPECS[name].fit(DATA, Run(seed=0)), SPECS[name], DATA.fingerprint, tmp_path / name)
        described(tmp_path / name, n_users=13)
        refused(tmp_path / name, "model.safetensors")


def test_a_missing_tensor_is_named(saved):
    path = saved / "model.safetensors"
    tensors = load_file(path)
    first = next(iter(tensors))
    save_file({name: tensor for name, tensor in tensors.items() if name != first}, path)
    assert first in refused(saved, "model.safetensors")


def test_neighbours_beyond_the_catalogue_are_refused(tmp_path):
    save_model(ItemKNN().fit(DATA, Run(seed=0)), ItemKNN(), DATA.fingerprint, tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    tensors["similarity.indices"] = tensors["similarity.indices"].clone()
    tensors["similarity.indices"][3] = 1_000_000
    save_file(tensors, path)
    refused(tmp_path, "model.safetensors")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"model"', "\udcff"])
def test_a_description_that_is_no_json_object_is_refused(saved, text):
    (saved / "model.json").write_bytes(text.encode(errors="surrogateescape"))
    assert "not a saved model's description" in refused(saved, "model.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_users": "many"}, "n_users"),
        ({"n_items": 0}, "n_items"),
        ({"n_users": -3}, "n_users"),
        ({"weight": 1}, "unknown key"),
        ({"spec": {"model": "bprr"}}, "did you mean 'bpr'"),
        ({"spec": {}}, "no model is named"),
        ({"spec": {"model": "bpr", "embedding_sise": 4}}, "did you mean 'embedding_size'"),
    ],
)
def test_a_description_with_a_wrong_value_is_refused(saved, changes, message):
    described(saved, **changes)
    assert message in refused(saved, "model.json")


def test_a_missing_key_is_named(saved):
    path = saved / "model.json"
    values = json.loads(path.read_text())
    del values["fingerprint"]
    path.write_text(json.dumps(values))
    assert "missing key" in refused(saved, "model.json")


def test_a_model_saved_over_another_takes_its_place(saved):
    spec = BPR(embedding_size=3, stopping=Stopping(epochs=1))
    fitted = spec.fit(DATA, Run(seed=5))
    save_model(fitted, spec, DATA.fingerprint, saved)
    loaded, found, _ = load_model(saved)
    assert found == spec
    assert (loaded.score(np.arange(12)) == fitted.score(np.arange(12))).all()
    assert sorted(path.name for path in saved.iterdir()) == ["model.json", "model.safetensors"]


def test_weights_that_cannot_be_written_are_an_os_error(saved, monkeypatch):
    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: File too large")

    monkeypatch.setattr("recaudit.models.saving.save_file", full)
    before = (saved / "model.safetensors").read_bytes()
    with pytest.raises(OSError, match="File too large"):
        save_model(SPECS["bpr"].fit(DATA, Run(seed=1)), SPECS["bpr"], DATA.fingerprint, saved)
    assert (saved / "model.safetensors").read_bytes() == before
