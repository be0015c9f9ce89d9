"""``recaudit runs``: what a store holds, one node in full, and clearing up."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from recaudit.pipeline import Artifact, Key, Store
from recaudit.pipeline import keys as store_module

SPEC = {"model": "bpr", "embedding_size": 8}
NODES = {
    "model": Key(kind="model", inputs={"spec": SPEC, "data": "ml-1m", "seed": 1}),
    "clone": Key(kind="clone", inputs={"spec": SPEC, "data": "ml-1m", "auxiliary": "none"}),
    "lists": Key(kind="judged", inputs={"clone": SPEC, "data": "ml-1m", "attack": {"lists": True}}),
    "figures": Key(kind="judged", inputs={"row": "popularity", "data": "ml-1m", "k": 50}),
}
LABELS = ("training bpr for victim", "training a bpr clone", "attacking with PTQ", "judging popularity")


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    """Return a store of four nodes, which is the one that is used where none is named."""
    monkeypatch.setenv("RECAUDIT_STORE", str(tmp_path / "kept"))
    monkeypatch.setenv("COLUMNS", "200")
    store = Store(tmp_path / "kept")
    for number, (node, label) in enumerate(zip(NODES.values(), LABELS, strict=True)):
        artifact = Artifact(
            tensors={"weights": torch.full((3, 2), float(number))},
            facts={"log": {"epochs": 20}},
            label=label,
            seconds=1.5 + number,
            elapsed=0.5 + number,
        )
        store.write(node, artifact)
    return store


def place(store: Store, name: str) -> Path:
    return store.folder / NODES[name].kind / NODES[name].hash


def content(store: Store) -> dict[Path, bytes]:
    """Return all files but locks, which are empty."""
    files = (path for path in store.folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path: path.read_bytes() for path in files}


def cells(out: str) -> list[list[str]]:
    lines = [line for line in out.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def test_the_list_names_each_node_and_what_it_did(recaudit, store) -> None:
    code, out, err = recaudit("runs", "list")
    assert (code, err) == (0, "")
    rows = {row[0]: row[1:4] + row[5:6] for row in cells(out)}
    assert rows == {
        key.hash[:12]: [key.kind, label, "ml-1m", f"{number}.5"]
        for number, (key, label) in enumerate(zip(NODES.values(), LABELS, strict=True))
    }
    assert out.splitlines()[-1].startswith("4 nodes, ")
    of_kind = recaudit("runs", "list", "--kind", "clone", "--store", store.folder)[1]
    assert [row[1] for row in cells(of_kind)] == ["clone"]
    code, out, err = recaudit("runs", "list", "--kind", "modle")
    assert (code, out) == (2, "")
    assert err == "recaudit: --kind: unknown kind 'modle'; did you mean 'model'?\n"


@pytest.mark.parametrize("columns", ["80", "60"])
def test_no_hash_is_cut_on_a_narrow_terminal(recaudit, store, monkeypatch, columns) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    out = recaudit("runs", "list")[1]
    named = [row[0] for row in cells(out) if row[0]]
    assert sorted(named) == sorted(node.hash[:12] for node in NODES.values())
    assert max(map(len, out.splitlines()[1:])) <= int(columns)


def test_an_empty_store(recaudit, tmp_path) -> None:
    code, out, err = recaudit("runs", "list", "--store", tmp_path)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "0 nodes, 0 kB"
    assert recaudit("runs", "gc", "--store", tmp_path) == (0, "0 removed\n", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [("list",), ("show", "0"), ("gc",), ("gc", "--dry-run")])
def test_a_folder_that_is_no_store(recaudit, tmp_path, command) -> None:
    blob = tmp_path / "blobs" / ("ab" * 32)
    blob.parent.mkdir()
    blob.write_text("somebody's own", "utf-8")
    code, out, err = recaudit("runs", *command, "--store", tmp_path)
    assert (code, out) == (2, "")
    assert err == (
        f"recaudit: store: {tmp_path} is no store of recaudit: it holds other files and no finished node; "
        "name a store or a new folder\n"
    )
    assert list(tmp_path.rglob("*")) == [blob.parent, blob]


@pytest.mark.parametrize("command", [("list",), ("show", "0"), ("gc",)])
@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_store_that_is_not_there(recaudit, tmp_path, monkeypatch, command, name) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("", "utf-8")
    code, out, err = recaudit("runs", *command, "--store", name)
    assert (code, out) == (2, "")
    assert err == f"recaudit: store: {name} is not there; name a store with --store or RECAUDIT_STORE\n"
    assert not Path("nowhere").exists()


@pytest.mark.parametrize("length", [12, 64])
def test_one_node_as_json(recaudit, store, length) -> None:
    node = NODES["lists"]
    code, out, err = recaudit("runs", "show", node.hash[:length])
    assert (code, err) == (0, "")
    shown = json.loads(out)
    assert shown["hash"] == node.hash
    assert (shown["kind"], shown["label"]) == ("judged", "attacking with PTQ")
    assert shown["inputs"] == node.inputs
    assert shown["facts"] == {"log": {"epochs": 20}}
    assert (shown["seconds"], shown["elapsed"]) == (3.5, 2.5)
    assert shown["folder"] == str(place(store, "lists"))
    assert shown["versions"] == dict(store_module.versions())


def test_a_hash_that_names_none_or_several(recaudit, store) -> None:
    code, out, err = recaudit("runs", "show", "xyz")
    assert (code, out) == (2, "")
    assert err == (
        f"recaudit: no node in {store.folder} has a hash that begins with 'xyz'; recaudit runs list names "
        "them all\n"
    )
    code, out, err = recaudit("runs", "show", "")
    assert (code, out) == (2, "")
    assert err.startswith(f"recaudit: 4 nodes in {store.folder} have a hash that begins with '', such as ")
    assert err.endswith("; give more of it\n")
    assert sum(node.hash[:12] in err for node in NODES.values()) == 3


def leftover(store: Store) -> Path:
    """Leave what a killed process leaves behind."""
    path = store.folder / f".partial-{NODES['model'].hash}-x1"
    path.mkdir()
    (path / "tensors.safetensors").write_bytes(b"half")
    return path


def damaged(store: Store) -> Path:
    path = place(store, "model")
    (path / "tensors.safetensors").write_bytes(b"other")
    return path


@pytest.mark.parametrize(
    ("harm", "why"),
    [(leftover, "left by a process that was stopped"), (damaged, "tensors.safetensors is damaged")],
)
def test_clearing_up_takes_what_is_of_no_use_alone(
    recaudit, store, harm: Callable[[Store], Path], why
) -> None:
    useless = harm(store)
    before = content(store)
    relative = useless.relative_to(store.folder)
    code, out, err = recaudit("runs", "gc", "--dry-run")
    assert (code, out, err) == (0, f"{relative}: {why}\n1 would be removed\n", "")
    assert content(store) == before
    assert recaudit("runs", "gc") == (0, f"{relative}: {why}\n1 removed\n", "")
    assert content(store) == {path: kept for path, kept in before.items() if useless not in path.parents}
    assert recaudit("runs", "gc") == (0, "0 removed\n", "")


def test_clearing_up_takes_nodes_of_other_versions(recaudit, store, monkeypatch) -> None:
    others = {**store_module.versions(), "torch": "99.0"}
    old = store_module.versions()["torch"]
    monkeypatch.setattr(store_module, "versions", lambda: others)
    code, out, _ = recaudit("runs", "gc")
    assert code == 0
    assert out.splitlines()[-1] == "4 removed"
    assert all(line.endswith(f": by torch {old}") for line in out.splitlines()[:-1])
    assert list(content(store)) == [store.folder / "recaudit-store.json"]


def test_looking_changes_nothing(recaudit, store) -> None:
    (store.folder / "recaudit-store.json").unlink()  # somebody lost it
    (store.folder / "locks").rmdir()
    times = {path: path.stat().st_mtime_ns for path in (store.folder, *store.folder.rglob("*"))}
    commands = (("list",), ("show", NODES["model"].hash), ("gc", "--dry-run"))
    assert [recaudit("runs", *command)[0] for command in commands] == [0] * 3
    assert {path: path.stat().st_mtime_ns for path in (store.folder, *store.folder.rglob("*"))} == times


def test_a_node_of_an_earlier_version_has_no_label(recaudit, store) -> None:
    path = place(store, "model")
    stored = json.loads((path / "node.json").read_bytes())
    del stored["sha256"], stored["label"]
    (path / "node.json").write_bytes(store_module.rendered(stored))
    code, out, err = recaudit("runs", "list")
    assert (code, err) == (0, "")
    assert [row[2] for row in cells(out) if row[0] == NODES["model"].hash[:12]] == [""]


def test_another_version_s_node_stops_nothing(recaudit, store) -> None:
    path = place(store, "model")
    stored = json.loads((path / "node.json").read_bytes())
    del stored["sha256"], stored["facts"]
    stored["versions"]["recaudit"] = "9.8.7"
    (path / "node.json").write_bytes(store_module.rendered(stored))
    says = "written by another version of recaudit: recaudit 9.8.7"
    code, out, err = recaudit("runs", "list")
    assert (code, out.splitlines()[-1][:8]) == (0, "3 nodes,")
    assert " ".join(err.split()).endswith(f"{path}: {says}; recaudit runs gc removes it")
    removed = f"{path.relative_to(store.folder)}: {says}\n1 removed\n"
    assert recaudit("runs", "gc") == (0, removed, "")
    assert not path.exists()


def test_clearing_up_takes_locks_that_nobody_holds(recaudit, store) -> None:
    for name in ("lists", "figures"):
        (store.folder / "locks" / f"{NODES[name].hash}.lock").touch()
    with store.lock(NODES["model"]):
        told = "locks: 2 that nobody holds\n2"
        assert recaudit("runs", "gc", "--dry-run") == (0, f"{told} would be removed\n", "")
        assert recaudit("runs", "gc") == (0, f"{told} removed\n", "")
        left = [path.stem for path in (store.folder / "locks").iterdir()]
    assert left == [NODES["model"].hash]


def test_clearing_up_beside_a_run_takes_nothing_of_it(recaudit, store) -> None:
    node = NODES["model"]
    with store.lock(node):
        leftover(store)
        before = content(store)
        assert recaudit("runs", "gc") == (0, "0 removed\n", "")
        assert content(store) == before
