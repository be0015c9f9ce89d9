"""Finished stages on disk: whole or not at all, found by what they depend on, checked when they are read."""

import errno
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profiles import examples
from recaudit.errors import UsageError
from recaudit.pipeline import Artifact, Key, Store
from recaudit.pipeline import keys as module

KEY = Key(kind="model", inputs={"spec": {"model": "bpr", "reg": 0.0}, "seed": 3, "none": None})
ARTIFACT = Artifact(
    tensors={
        "users": torch.tensor([[1.5, -0.0], [float("nan"), float("-inf")]]),
        "numbers": torch.arange(6).reshape(2, 3),
        "nothing": torch.empty(0, 4),
        "yes": torch.tensor([True, False]),
        "exact": torch.tensor([1 / 3], dtype=torch.float64),
    },
    facts={"log": {"epochs": 3, "scores": [[0, 0.1], [1, 1 / 3]]}, "ö": None, "tiny": 1e-300},
    seconds=1.1,
    elapsed=0.7,
)
SMALL = Artifact(tensors={"a": torch.arange(3.0)}, facts={"b": 0.00001, "c": "ö"})


def fail(line: str) -> None:
    raise AssertionError(line)


def key(number: int) -> Key:
    return Key(kind="model", inputs={"number": number})


def same(one: Artifact, other: Artifact) -> bool:
    """Whether two pieces are the same to the bit."""
    alike = one.tensors.keys() == other.tensors.keys() and all(
        (a.dtype, a.shape, a.numpy().tobytes()) == (b.dtype, b.shape, b.numpy().tobytes())
        for a, b in ((one.tensors[name], other.tensors[name]) for name in one.tensors)
    )
    return alike and (one.facts, one.seconds, one.elapsed) == (other.facts, other.seconds, other.elapsed)


def place(store: Store, of: Key = KEY) -> Path:
    return store.folder / of.kind / of.hash


def leftovers(store: Store) -> list[Path]:
    return [path for path in store.folder.iterdir() if path.name.startswith(".partial-")]


# --- writing and reading ----------------------------------------------------------------------------------


def test_what_is_written_is_read_back_to_the_bit(tmp_path) -> None:
    store = Store(tmp_path / "deep" / "store", say=fail)
    assert store.read(KEY) is None
    assert store.read(KEY) is None
    store.write(KEY, ARTIFACT)
    assert store.read(KEY) is not None
    for again in (store, Store(store.folder, say=fail)):
        assert same(again.read(KEY), ARTIFACT)
    assert leftovers(store) == []


@given(
    tensors=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=9).filter(
            lambda name: name != "__metadata__"
        ),
        st.lists(st.floats(width=32), max_size=5),
        max_size=3,
    ),
    facts=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=6,
        ),
        max_size=4,
    ),
)
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_plain_facts_and_any_tensors_are_read_back(tmp_path, tensors, facts) -> None:
    piece = Artifact(tensors={name: torch.tensor(values) for name, values in tensors.items()}, facts=facts)
    name = Key(
        kind="model", inputs={"facts": facts, "tensors": {k: list(map(str, v)) for k, v in tensors.items()}}
    )
    store = Store(tmp_path, say=fail)
    store.write(name, piece)
    assert same(store.read(name), piece)


def test_what_another_process_is_writing_is_not_looked_into(tmp_path) -> None:
    """Its folder may be gone at any moment."""
    store = Store(tmp_path, say=fail)
    store.write(KEY, ARTIFACT)
    partial = tmp_path / f".partial-{KEY.hash}-x"
    partial.mkdir()
    place(store).rename(partial / KEY.hash)
    assert list(store.nodes()) == []


def test_what_is_there_stays_when_it_is_written_again(tmp_path) -> None:
    store = Store(tmp_path, say=fail)
    store.write(KEY, ARTIFACT)
    before = {path: path.stat() for path in place(store).iterdir()}
    store.write(KEY, Artifact(facts={"other": 1}))
    assert {path: path.stat() for path in place(store).iterdir()} == before
    assert same(store.read(KEY), ARTIFACT)
    assert leftovers(store) == []


def test_the_files_of_a_stage_may_be_read_by_whoever_may_read_the_store(tmp_path) -> None:
    (tmp_path / "store").mkdir(mode=0o755)
    store = Store(tmp_path / "store")
    store.write(KEY, ARTIFACT)
    assert place(store).stat().st_mode & 0o777 == 0o755
    umask = os.umask(0)
    os.umask(umask)
    assert {path.stat().st_mode & 0o777 for path in place(store).iterdir()} == {0o666 & ~umask}


def test_stages_lists_what_is_there(tmp_path) -> None:
    told: list[str] = []
    store = Store(tmp_path, say=told.append)
    names = [KEY, Key(kind="judged", inputs={"model": KEY.hash}), key(1)]
    for name in names:
        store.write(name, ARTIFACT)
    listed = list(store.nodes())
    assert [(one.kind, one.hash) for one in listed] == sorted((one.kind, one.hash) for one in names)
    one = next(one for one in listed if one.hash == KEY.hash)
    assert (one.inputs, one.facts, one.seconds, one.elapsed) == (KEY.inputs, ARTIFACT.facts, 1.1, 0.7)
    assert one.size == sum(path.stat().st_size for path in one.folder.iterdir())
    assert one.folder == place(store)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", one.created)
    assert one.versions["torch"] == torch.__version__
    assert told == []
    (place(store) / "node.json").write_text("{}")
    assert len(list(store.nodes())) == 2
    assert told == [f"{place(store)}: node.json is damaged; recaudit runs gc removes it"]


def test_a_line_is_told_once(tmp_path) -> None:
    told: list[str] = []
    store = Store(tmp_path, say=told.append)
    store.write(KEY, ARTIFACT)
    (place(store) / "tensors.safetensors").unlink()
    assert [store.read(KEY) for _ in range(3)] == [None] * 3
    assert told == [f"{place(store)}: tensors.safetensors is missing; it is computed again"]
    Store(tmp_path).read(KEY)  # who gives no `say` hears nothing


# --- names ------------------------------------------------------------------------------------------------

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-1, 1) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)
inputs = st.dictionaries(st.text("abc", max_size=2), plain, max_size=4)


@given(inputs, inputs, st.sampled_from(["model", "clone"]), st.sampled_from(["model", "clone"]))
def test_the_same_inputs_and_no_others_have_the_same_hash(one, other, kind, other_kind) -> None:
    first, second = Key(kind=kind, inputs=one), Key(kind=other_kind, inputs=other)
    texts = [json.dumps([each.kind, each.inputs], sort_keys=True) for each in (first, second)]
    assert (first.hash == second.hash) == (texts[0] == texts[1])
    turned = dict(reversed(one.items()))
    assert Key(kind=kind, inputs=json.loads(json.dumps(turned))).hash == first.hash
    assert re.fullmatch("[0-9a-f]{64}", first.hash)


@given(inputs, st.text("xyz", min_size=1, max_size=2), plain)
def test_any_input_more_is_another_hash(one, name, value) -> None:
    assert Key(kind="model", inputs={**one, name: value}).hash != Key(kind="model", inputs=one).hash


@pytest.mark.parametrize("name", ["recaudit", "torch", "numpy", "scipy", "polars"])
def test_another_version_is_another_hash(monkeypatch, tmp_path, name) -> None:
    before = KEY.hash
    versions = dict(module.versions())
    monkeypatch.setattr(module, "versions", lambda: {**versions, name: "0.0.1"})
    other = Key(kind=KEY.kind, inputs=KEY.inputs)
    assert other.hash != before
    assert KEY.hash == before  # a key keeps its name


@pytest.mark.process
def test_the_hash_is_the_same_in_another_process() -> None:
    script = f"from recaudit.pipeline import Key; print(Key(kind='model', inputs={KEY.inputs!r}).hash)"
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONHASHSEED": "5"},
    )  # fmt: skip
    assert ran.stdout.strip() == KEY.hash


def test_inputs_that_are_no_plain_values_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        _ = Key(kind="model", inputs={"reg": float("nan")}).hash


# --- damage -----------------------------------------------------------------------------------------------


def damaged_then_healed(folder: Path, damage: Callable[[Path], None], *, ours: bool = True) -> None:
    """Damage a key: it must be told in one line, never returned, and written again.

    Only where what is left is a folder with our files alone may clearing up take it.
    """
    told: list[str] = []
    store = Store(folder, say=told.append)
    store.write(KEY, SMALL)
    assert same(store.read(KEY), SMALL)
    damage(place(store))
    assert store.read(KEY) is None
    (line,) = told
    assert str(place(store)) in line
    assert "\n" not in line
    assert "computed again" in line
    assert [path for path, _ in store.garbage()] == [place(store)] * ours
    store.write(KEY, SMALL)
    assert same(Store(folder, say=fail).read(KEY), SMALL)
    assert leftovers(store) == []
    assert list(store.garbage()) == []


FILES = st.sampled_from(["node.json", "tensors.safetensors"])


@given(FILES, st.floats(0, 1, exclude_max=True), st.integers(1, 255))
@settings(max_examples=examples(250), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_byte_anywhere_is_detected(tmp_path, name, where, mask) -> None:
    def change(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[int(where * len(content))] ^= mask
        (folder / name).write_bytes(content)

    damaged_then_healed(tmp_path, change)


@given(FILES, st.floats(0, 1, exclude_max=True))
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_cut_file_is_detected(tmp_path, name, where) -> None:
    damaged_then_healed(
        tmp_path, lambda folder: os.truncate(folder / name, int(where * (folder / name).stat().st_size))
    )


@given(FILES, st.binary(min_size=1, max_size=20))
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_longer_file_is_detected(tmp_path, name, more) -> None:
    def lengthen(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content + more)

    damaged_then_healed(tmp_path, lengthen)


def _other_stage_s(folder: Path) -> None:
    store = Store(folder.parent.parent)
    other = key(7)
    store.write(other, SMALL)
    for name in ("node.json", "tensors.safetensors"):
        (place(store, other) / name).replace(folder / name)
    place(store, other).rmdir()


def _a_file(folder: Path) -> None:
    _emptied(folder)
    folder.rmdir()
    folder.write_text("not a folder")


def _replace(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


def _emptied(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "node.json").unlink(),
        lambda folder: (folder / "tensors.safetensors").unlink(),
        lambda folder: (folder / "node.json").write_text("[" * 100_000),
        lambda folder: (folder / "node.json").write_text("null"),
        # The same values, otherwise written: a file is what was written or it is damaged.
        lambda folder: _replace(folder / "node.json", b"\n", b"\t"),
        lambda folder: _replace(folder / "node.json", b"1e-05", b"1E-05"),
        _emptied,
        _other_stage_s,
    ],
)
def test_other_damage_is_detected(tmp_path, damage) -> None:
    damaged_then_healed(tmp_path, damage)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: [(folder / "tensors.safetensors").unlink(), (folder / "tensors.safetensors").mkdir()],
        lambda folder: [(folder / "node.json").unlink(), (folder / "node.json").mkdir()],
        lambda folder: [(folder / "node.json").unlink(), (folder / "notes.txt").write_text("mine")],
        _a_file,
    ],
)
def test_damage_that_clearing_up_leaves_alone(tmp_path, damage) -> None:
    damaged_then_healed(tmp_path, damage, ours=False)


# --- a disk that does not hold ----------------------------------------------------------------------------


def test_a_folder_that_cannot_be_a_store(tmp_path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for folder in (file, file / "below"):
        with pytest.raises(
            UsageError, match=rf"^store: {folder} cannot hold results: .*; name another folder$"
        ):
            Store(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match=r"cannot hold results: Permission denied; name another folder$"):
        Store(tmp_path)


@pytest.mark.parametrize("call", ["tempfile.mkdtemp", "Path.write_bytes", "Path.rename"])
def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(tmp_path, monkeypatch, call) -> None:
    store = Store(tmp_path, say=fail)

    def full(*given: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")

    with monkeypatch.context() as patch:
        patch.setattr(f"recaudit.pipeline.store.{call}", full)
        with pytest.raises(UsageError) as caught:
            store.write(KEY, ARTIFACT)
    reason = "No space left on device; make room there or name another folder"
    told = f"store: {tmp_path} cannot hold results: {reason}"
    assert str(caught.value) == told
    assert leftovers(store) == []
    assert store.read(KEY) is None
    store.write(KEY, ARTIFACT)
    assert same(store.read(KEY), ARTIFACT)


@pytest.mark.process
def test_a_file_system_that_is_full_indeed(tmp_path) -> None:
    """A write that is longer than the process may write, in a process of its own."""
    script = f"""
import resource, signal, sys, torch
from pathlib import Path
from recaudit.pipeline import Artifact, Key, Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store(Path({str(tmp_path)!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    store.write(Key(kind="model", inputs={{}}), Artifact(tensors={{"a": torch.zeros(10_000)}}))
except Exception as error:
    print(type(error).__name__, error)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == (
        f"UsageError store: {tmp_path} cannot hold results: File too large; name another folder\n"
    )
    assert {path.name for path in tmp_path.rglob("*")} == {"locks", "recaudit-store.json"}


def test_a_lock_that_cannot_be_made(tmp_path) -> None:
    store = Store(tmp_path)
    (tmp_path / "locks").rmdir()
    (tmp_path / "locks").write_text("")
    says = r"cannot hold results: .*; name another folder"
    assert not store.busy(KEY)
    with pytest.raises(UsageError, match=says), store.lock(KEY):
        pass


# --- several processes ------------------------------------------------------------------------------------

WRITER = """
import sys, torch
from pathlib import Path
from recaudit.pipeline import Artifact, Key, Store
store = Store(Path(sys.argv[1]), say=lambda line: print(line, file=sys.stderr))
first, step = int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
for number in range(first, 4000, step):
    key = Key(kind="model", inputs={"number": number})
    tensors = {"a": torch.full((300,), float(number)), "b": torch.arange(number % 7)}
    with store.lock(key):
        store.write(key, Artifact(tensors=tensors, facts={"number": number}))
print("end", flush=True)
"""


class Process:
    """A Python process whose lines are read one by one; it is killed when the block ends."""

    def __init__(self, script: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        self.process.stdout.close()
        self.process.stdin.close()

    def line(self) -> str:
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@pytest.mark.process
def test_a_killed_writer_leaves_whole_stages_and_nothing_that_passes_for_one(tmp_path) -> None:
    """Two at a time, killed over and over, at moments that no one chose."""
    store, number = Store(tmp_path, say=fail), 0
    for seconds in (0.05, 0.2):
        with Process(WRITER, tmp_path, number, 1) as one, Process(WRITER, tmp_path, number + 1, 2) as other:
            assert (one.line(), other.line()) == ("ready", "ready")
            while len(list((tmp_path / "model").glob("*"))) <= number:
                time.sleep(0.01)
            time.sleep(seconds)
            one.kill()
            other.kill()
        there = [key(number) for number in range(4000) if store.read(key(number)) is not None]
        assert len(there) > number
        number = len(there)
        for written in there:
            piece = store.read(written)
            assert piece.facts == {"number": written.inputs["number"]}
            assert piece.tensors["a"].tolist() == [written.inputs["number"]] * 300
        assert len(list(store.nodes())) == number
        assert {path for path, _ in store.garbage()} == set(leftovers(store))
        for path, why in list(store.garbage()):
            assert why == "left by a process that was stopped"
            store.remove(path)
        assert leftovers(store) == []
    assert len(list(store.nodes())) == number


TWINS = """
import sys, torch
from pathlib import Path
from recaudit.pipeline import Artifact, Key, Store
store = Store(Path(sys.argv[1]), say=lambda line: print(line, flush=True))
print("ready", flush=True)
sys.stdin.readline()
for number in range(100):
    key = Key(kind="model", inputs={"number": number})
    store.write(key, Artifact(tensors={"a": torch.full((50,), float(number))}, facts={"by": sys.argv[2]}))
    piece = store.read(key)
    assert piece.tensors["a"].tolist() == [number] * 50
print("end", flush=True)
"""


@pytest.mark.process
def test_two_processes_that_write_the_same_stages(tmp_path) -> None:
    with Process(TWINS, tmp_path, "one") as one, Process(TWINS, tmp_path, "two") as two:
        for each in (one, two):
            assert each.line() == "ready"
        for each in (one, two):
            each.process.stdin.write("go\n")
            each.process.stdin.flush()
        assert [each.line() for each in (one, two)] == ["end", "end"]
    store = Store(tmp_path, say=fail)
    assert len(list(store.nodes())) == 100
    assert list(store.garbage()) == []
    assert leftovers(store) == []


HOLDER = """
import sys
from pathlib import Path
from recaudit.pipeline import Key, Store
store, key = Store(Path(sys.argv[1])), Key(kind="model", inputs={"number": 1})
for _ in range(2):
    with store.lock(key):
        print("held", flush=True)
        sys.stdin.readline()
    print("free", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.process
def test_a_stage_is_busy_while_another_process_computes_it(tmp_path) -> None:
    """Whether that comes to its end, or is killed the next time."""
    store = Store(tmp_path)
    assert not store.busy(key(1))
    with Process(HOLDER, tmp_path) as holder:

        def go_on() -> None:
            holder.process.stdin.write("\n")
            holder.process.stdin.flush()

        for end in (go_on, holder.kill):
            assert holder.line() == "held"
            assert store.busy(key(1))
            assert not store.busy(key(2))
            end()
            if end is go_on:
                assert holder.line() == "free"
            assert not store.busy(key(1))
            with store.lock(key(1)):
                assert store.busy(key(1))  # within a process too
            assert not store.busy(key(1))
            if end is go_on:
                go_on()


def test_the_lock_is_waited_for_between_threads_too(tmp_path) -> None:
    store, seen, inside = Store(tmp_path), [], []

    def enter() -> None:
        with store.lock(KEY):
            inside.append(1)
            seen.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 4


def test_a_lock_is_free_after_an_error(tmp_path) -> None:
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt), store.lock(KEY):
        raise KeyboardInterrupt
    assert not store.busy(KEY)


# --- what can go ------------------------------------------------------------------------------------------


def test_garbage_is_what_no_run_can_use_and_nothing_else(tmp_path, monkeypatch) -> None:
    store = Store(tmp_path, say=fail)
    good, damaged, incomplete, outdated, writing = (key(number) for number in range(5))
    for one in (good, damaged, incomplete):
        store.write(one, ARTIFACT)
    versions = dict(module.versions())
    with monkeypatch.context() as patch:
        patch.setattr(module, "versions", lambda: {**versions, "torch": "1.0", "numpy": "1.1"})
        outdated = Key(kind="clone", inputs={"number": 3})
        store.write(outdated, ARTIFACT)
    (place(store, damaged) / "tensors.safetensors").write_bytes(b"")
    (place(store, incomplete) / "node.json").unlink()
    left = tmp_path / f".partial-{key(5).hash}-abc"
    (left / "doomed").mkdir(parents=True)
    (left / "doomed" / "node.json").write_text("{}")
    at_work = tmp_path / f".partial-{writing.hash}-abc"
    at_work.mkdir()
    for foreign in ("notes/plan", "model/readme", "victims/seed-0"):  # somebody's own
        (tmp_path / foreign).mkdir(parents=True)
        (tmp_path / foreign / "node.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("")
    assert {one.folder for one in Store(tmp_path).nodes()} == {
        place(store, one) for one in (good, damaged, outdated)
    }
    with store.lock(writing):
        found = dict(store.garbage())
        assert found == {
            left: "left by a process that was stopped",
            place(store, damaged): "tensors.safetensors is damaged",
            place(store, incomplete): "node.json is missing",
            place(store, outdated): "by numpy 1.1, torch 1.0",
        }
        for path in found:
            store.remove(path)
            assert not path.exists()
        assert at_work.is_dir()
    assert same(store.read(good), ARTIFACT)
    assert dict(store.garbage()) == {at_work: "left by a process that was stopped"}
    assert (tmp_path / "notes" / "plan" / "node.json").is_file()
    assert (tmp_path / "victims" / "seed-0" / "node.json").is_file()


def test_what_was_mended_meanwhile_is_not_removed(tmp_path) -> None:
    store = Store(tmp_path)
    store.write(KEY, ARTIFACT)
    (place(store) / "node.json").write_text("{}")
    ((path, _),) = store.garbage()
    store.write(KEY, ARTIFACT)
    store.remove(path)
    assert same(store.read(KEY), ARTIFACT)
    (place(store) / "node.json").write_text("{}")
    store.remove(path)
    assert not path.exists()
    store.remove(path)  # by two processes at once
    assert leftovers(store) == []


# --- what is not ours -------------------------------------------------------------------------------------

HEX = "ab" * 32
FOREIGN = (  # content-addressed files of others, and what looks like ours but is not
    f"blobs/{HEX}",
    f"hub/{HEX}/model.safetensors",
    f"hub/{HEX}/node.json",
    f"model/{HEX}/config.json",
    f"clone/{HEX}",
    f"judged/{HEX[:-1]}/node.json",
    f"judged/{HEX.upper()}/node.json",
    ".partial-download/part",
    f".partial-{HEX}",
    f".partial-{HEX}-abc/notes.txt",
    f".partial-{'cd' * 32}-abc/doomed/notes.txt",
    "locks/notes.lock",
    f"locks/{HEX}.txt",
)


def tree(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    """Return all that lies in a folder: a folder's time tells whether anything came or went meanwhile."""
    paths = [folder, *folder.rglob("*")]
    return {
        str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else None) for path in paths
    }


def scatter(folder: Path) -> None:
    for name in FOREIGN:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("somebody's own")


def unmarked(folder: Path) -> Path:
    """Return a store with a node, whose marker was lost."""
    Store(folder).write(KEY, SMALL)
    (folder / "recaudit-store.json").unlink()
    return folder


def rewrite(folder: Path, change: Callable[[dict], None]) -> None:
    """Write a description as another version might, with its checksum."""
    stored = json.loads((folder / "node.json").read_bytes())
    del stored["sha256"]
    change(stored)
    (folder / "node.json").write_bytes(module.rendered(stored))


@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize("name", ["Documents/letter.txt", "letter.txt", "model/weights.pt", *FOREIGN])
def test_a_folder_of_somebody_else_s_is_refused_and_left_as_it_is(tmp_path, name, writes) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("{}")
    before = tree(tmp_path)
    with pytest.raises(UsageError) as caught:
        Store(tmp_path, writes=writes)
    assert str(caught.value) == (
        f"store: {tmp_path} is no store of recaudit: it holds other files and no finished node; "
        "name a store or a new folder"
    )
    assert tree(tmp_path) == before


def test_clearing_up_takes_nothing_of_somebody_else_s(tmp_path) -> None:
    store = Store(tmp_path / "store", say=fail)
    store.write(KEY, SMALL)
    scatter(store.folder)
    elsewhere = tmp_path / "elsewhere"
    for name in (HEX, "inner"):
        (elsewhere / name).mkdir(parents=True)
        (elsewhere / name / "node.json").write_text("{}")
    (store.folder / "model" / ("12" * 32)).symlink_to(elsewhere / "inner")
    (store.folder / f".partial-{'34' * 32}-abc").symlink_to(elsewhere / "inner")
    (store.folder / "judged").rename(tmp_path / "judged")
    (store.folder / "judged").symlink_to(elsewhere)
    before = tree(tmp_path)
    assert list(store.garbage()) == []
    assert store.clear_locks() == 0
    for path in tmp_path.rglob("*"):
        store.remove(path)  # nor where it is named
    assert tree(tmp_path) == before


def test_a_store_is_marked_when_it_is_made(tmp_path) -> None:
    Store(tmp_path / "store")
    assert json.loads((tmp_path / "store" / "recaudit-store.json").read_bytes()) == {"format": 2}
    before = tree(tmp_path)
    Store(tmp_path / "store")
    assert tree(tmp_path) == before
    (tmp_path / "store" / "notes.txt").write_text("beside the stages, a user's own may lie")
    Store(tmp_path / "store")


def test_a_store_that_was_made_before_there_was_a_marker_gets_one(tmp_path) -> None:
    folder = unmarked(tmp_path / "store")
    (folder / "notes.txt").write_text("")
    (folder / "clone" / HEX).mkdir(parents=True)  # damaged ones do not hide the whole one
    before = tree(folder)
    for reader in (Store(folder, writes=False), Store(folder, say=fail)):
        assert same(reader.read(KEY), SMALL)
    marker = str(folder / "recaudit-store.json")
    assert {path: held for path, held in tree(folder).items() if path not in (marker, str(folder))} == {
        path: held for path, held in before.items() if path != str(folder)
    }
    assert Path(marker).is_file()


@pytest.mark.parametrize("left", ["locks", "leftover", "damaged", "nothing"])
def test_an_unmarked_store_without_a_whole_stage(tmp_path, left) -> None:
    """A run was killed before its first node was whole."""
    folder = unmarked(tmp_path / "store")
    if left == "damaged":
        (folder / "model" / KEY.hash / "tensors.safetensors").unlink()
        (folder / "model" / KEY.hash / "node.json").write_text("half")
    else:
        _emptied(folder / "model" / KEY.hash)
        (folder / "model" / KEY.hash).rmdir()
        (folder / "model").rmdir()
    if left == "locks":
        (folder / "locks" / f"{HEX}.lock").write_text("")
    elif left == "leftover":
        (folder / f".partial-{HEX}-abc").mkdir()
    elif left == "nothing":
        (folder / "locks").rmdir()
    Store(folder).write(key(2), SMALL)
    assert (folder / "recaudit-store.json").is_file()


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: stored.pop("files"),
        lambda stored: stored.pop("versions"),
        lambda stored: stored.update(kind="clone"),
        lambda stored: stored.update(hash=HEX),
    ],
)
def test_what_is_not_described_as_a_stage_makes_no_store(tmp_path, change) -> None:
    folder = unmarked(tmp_path / "store")
    (folder / "notes.txt").write_text("")
    rewrite(folder / "model" / KEY.hash, change)
    with pytest.raises(UsageError, match="is no store of recaudit"):
        Store(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 2, "more": 2}'])
def test_a_marker_that_is_being_written_or_says_more(tmp_path, content) -> None:
    (tmp_path / "recaudit-store.json").write_text(content)
    (tmp_path / "notes.txt").write_text("")
    Store(tmp_path).write(KEY, SMALL)
    assert (tmp_path / "recaudit-store.json").read_text() == content


@pytest.mark.parametrize("writes", [True, False])
def test_a_store_of_another_format_is_refused(tmp_path, writes) -> None:
    (tmp_path / "recaudit-store.json").write_text('{"format": 1}')
    before = tree(tmp_path)
    with pytest.raises(UsageError, match=r"is of format 1, of another .* format 2; name another folder, or"):
        Store(tmp_path, writes=writes)
    assert tree(tmp_path) == before


# --- other versions ---------------------------------------------------------------------------------------


def test_a_description_with_a_field_more_is_read(tmp_path) -> None:
    store = Store(tmp_path, say=fail)
    store.write(KEY, SMALL)
    rewrite(place(store), lambda stored: stored.update(machine="somewhere"))
    (one,) = store.nodes()
    assert (one.hash, one.facts) == (KEY.hash, SMALL.facts)
    assert one.size == sum(path.stat().st_size for path in one.folder.iterdir())
    assert same(store.read(KEY), SMALL)
    assert list(store.garbage()) == []


FIELDS = ["hash", "kind", "inputs", "facts", "seconds", "elapsed", "created", "versions", "files"]


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", ["missing", None, [1]])
def test_a_description_that_does_not_fit_is_told_as_another_version_s(tmp_path, name, value) -> None:
    told: list[str] = []
    store = Store(tmp_path, say=told.append)
    store.write(KEY, SMALL)
    store.write(key(2), SMALL)

    def change(stored: dict) -> None:
        stored["versions"] = {**stored["versions"], "recaudit": "9.8.7"}
        stored.update({name: value})
        if value == "missing":
            del stored[name]

    rewrite(place(store), change)
    assert [one.hash for one in store.nodes()] == [key(2).hash]
    by = "" if name == "versions" else ": recaudit 9.8.7"
    says = f"written by another version of recaudit{by}"
    assert told == [f"{place(store)}: {says}; recaudit runs gc removes it"]
    assert store.read(KEY) is None
    assert told[1:] == [f"{place(store)}: {says}; it is computed again"]
    assert dict(store.garbage()) == {place(store): says}
    store.write(KEY, SMALL)
    assert same(store.read(KEY), SMALL)


@pytest.mark.parametrize("files", [{}, {"tensors.safetensors": {}}, {"tensors.safetensors": {"bytes": 1}}])
def test_files_that_are_described_otherwise(tmp_path, files) -> None:
    store = Store(tmp_path)
    store.write(KEY, SMALL)
    rewrite(place(store), lambda stored: stored.update(files=files))
    assert list(store.nodes()) == []
    assert dict(store.garbage()) == {place(store): "written by another version of recaudit"}


def test_a_version_that_was_not_told_is_another(tmp_path) -> None:
    store = Store(tmp_path)
    store.write(KEY, SMALL)
    rewrite(place(store), lambda stored: stored["versions"].pop("scipy"))
    assert dict(store.garbage()) == {place(store): "by scipy unknown"}


# --- reading only -----------------------------------------------------------------------------------------


def read_all(folder: Path) -> list[str]:
    """Do all that a reader does; return the hashes of the stages."""
    store = Store(folder, writes=False)
    assert not store.busy(KEY)
    store.read(KEY)
    assert not list(store.garbage())
    assert store.clear_locks(dry_run=True) == 0
    return [one.hash for one in store.nodes()]


def test_to_read_makes_nothing(tmp_path) -> None:
    made, old, empty = tmp_path / "made", unmarked(tmp_path / "old"), tmp_path / "empty"
    Store(made).write(KEY, SMALL)
    empty.mkdir()
    before = tree(tmp_path)
    assert [read_all(folder) for folder in (made, old)] == [[KEY.hash]] * 2
    assert [read_all(folder) for folder in (empty, tmp_path / "nowhere")] == [[], []]
    assert tree(tmp_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("make", [unmarked, lambda folder: Store(folder).write(KEY, SMALL)])
def test_a_colleague_s_store_is_read(tmp_path, make) -> None:
    folder = tmp_path / "store"
    make(folder)
    left = folder / f".partial-{HEX}-abc"
    left.mkdir()
    (folder / "locks" / f"{HEX}.lock").touch(0o444)
    for path in (*folder.rglob("*"), folder):
        if path.is_dir():
            path.chmod(0o555)
    try:
        assert read_all(folder) == [KEY.hash]
        with pytest.raises(UsageError, match=r"cannot hold results: Permission denied; name another folder$"):
            Store(folder)
        (folder / "locks" / f"{HEX}.lock").chmod(0o644)
        store = Store(folder, writes=False)
        assert [path for path, _ in store.garbage()] == [left]
        assert store.clear_locks() == 0
        place(store).chmod(0o755)
        (place(store) / "node.json").write_text("{}")
        with pytest.raises(UsageError, match=r"cannot be cleared up: Permission denied"):
            store.remove(place(store))
        folder.chmod(0o311)
        with pytest.raises(UsageError, match=r"cannot be read: Permission denied"):
            Store(folder, writes=False)
    finally:
        folder.chmod(0o755)
        for path in folder.rglob("*"):
            path.chmod(0o755)


def test_who_came_to_read_may_write_after_all(tmp_path) -> None:
    store = Store(tmp_path / "store", writes=False)
    with store.lock(KEY):
        store.write(KEY, SMALL)
    assert same(Store(store.folder).read(KEY), SMALL)
    assert (store.folder / "recaudit-store.json").is_file()


# --- lock files -------------------------------------------------------------------------------------------


def lock_files(folder: Path) -> list[str]:
    return sorted(path.stem for path in (folder / "locks").iterdir())


def test_the_files_of_locks_that_nobody_holds_are_removed(tmp_path) -> None:
    store = Store(tmp_path)
    for number in range(3):  # some versions of filelock leave none behind
        (tmp_path / "locks" / f"{key(number).hash}.lock").touch()
    names = sorted(key(number).hash for number in range(3))
    assert lock_files(tmp_path) == names
    with Process(HOLDER, tmp_path) as holder:
        assert holder.line() == "held"
        assert store.clear_locks(dry_run=True) == 2
        assert lock_files(tmp_path) == names
        assert store.clear_locks() == 2
        assert lock_files(tmp_path) == [key(1).hash]
        assert store.busy(key(1))
        holder.kill()
    assert not store.busy(key(1))
    assert store.clear_locks() == 1
    assert (lock_files(tmp_path), store.clear_locks()) == ([], 0)
    with store.lock(key(1)):
        assert store.busy(key(1))


COUNTER = """
import sys
from pathlib import Path
from recaudit.pipeline import Key, Store
store, key = Store(Path(sys.argv[1])), Key(kind="model", inputs={"number": 1})
inside, count = Path(sys.argv[2]), 0
print("ready", flush=True)
sys.stdin.readline()
for _ in range(15):
    with store.lock(key):
        inside.mkdir()  # fails where another is inside
        inside.rmdir()
print("end", flush=True)
"""


def test_a_lock_whose_file_is_removed_before_it_is_taken_is_made_anew(tmp_path, monkeypatch) -> None:
    """The moment between opening the file and locking it, in which clearing up may come."""
    store, real, removed = Store(tmp_path), fcntl.flock, []

    def late(handle: int, how: int) -> None:
        if not removed:
            removed.append(next((tmp_path / "locks").iterdir()))
            removed[0].unlink()
        real(handle, how)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", late)
        with store.lock(KEY):
            assert [path.stem for path in removed] == lock_files(tmp_path) == [KEY.hash]
            assert store.busy(KEY)


@pytest.mark.process
def test_clearing_up_beside_runs_lets_no_two_hold_one_lock(tmp_path) -> None:
    """A lock whose file was removed while others waited for it keeps nobody out: they must not take it."""
    folder, inside = tmp_path / "store", tmp_path / "inside"
    store = Store(folder)
    with Process(COUNTER, folder, inside) as one, Process(COUNTER, folder, inside) as two:
        for each in (one, two):
            assert each.line() == "ready"
        for each in (one, two):
            each.process.stdin.write("go\n")
            each.process.stdin.flush()
        removed = 0
        while None in (one.process.poll(), two.process.poll()):
            removed += store.clear_locks()
        assert [each.line() for each in (one, two)] == ["end", "end"]
    assert removed > 0
