"""Finished stages are kept and taken again, and nothing else is."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from recaudit.attacks.stealing import surrogate
from recaudit.audit import AuditSpec, run_audit
from recaudit.audit.seed import SeedAudit
from recaudit.audit.spec import audit_spec
from recaudit.data.sources import load
from recaudit.errors import UsageError
from recaudit.models import factorization
from recaudit.pipeline import Store
from recaudit.pipeline.cache import Cache
from recaudit.pipeline.run import Run
from recaudit.pipeline.schedule import State


def timeless(result) -> list[tuple]:
    return [tuple(row.items()) for row in result.content["figures"] if row["metric"] != "seconds"]


def contents(store) -> dict[str, tuple[bytes, int]]:
    """Return content and time of each file of the finished stages."""
    files = [path for path in store.glob("*/*/*") if path.is_file()]
    return {str(path.relative_to(store)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture(scope="module")
def small(values) -> dict:
    return values | {"attacks": ["PTD"]}


@pytest.fixture(scope="module")
def kept(small, tmp_path_factory):
    """Return the first seed's result and the folder that holds it, which is copied and not changed."""
    folder = tmp_path_factory.mktemp("kept")
    return run_audit(AuditSpec(**small | {"seeds": 1}), out=folder), folder


@pytest.fixture
def copied(kept, tmp_path) -> Path:
    """Return a copy of the first seed's folder, to be changed at will."""
    return shutil.copytree(kept[1], tmp_path / "copied")


class Stopped(Exception):
    pass


def test_an_audit_goes_on_where_it_was_stopped(small, tmp_path) -> None:
    def stop_in_seed_1(state: State) -> None:
        if any((task.label, task.seed) == ("attacking with PTD", 1) for task in state.running):
            raise Stopped

    with pytest.raises(Stopped):
        run_audit(AuditSpec(**small), out=tmp_path, tell=stop_in_seed_1)
    finished = contents(tmp_path / "store")
    result = run_audit(AuditSpec(**small), out=tmp_path)
    assert result.reused == (0,)
    assert timeless(result) == timeless(run_audit(AuditSpec(**small)))
    whole = contents(tmp_path / "store")
    assert finished.items() <= whole.items()
    assert len(whole) == len(finished) + 2  # the figures of PTD in seed 1
    more = run_audit(AuditSpec(**small | {"seeds": [1, 2, 0]}), out=str(tmp_path))
    assert more.reused == (1, 0)
    again = run_audit(AuditSpec(**small), out=tmp_path)
    assert again.reused == (0, 1)
    assert timeless(again) == timeless(result)
    assert whole.items() <= contents(tmp_path / "store").items()


def begun(steps) -> int:
    """Return how many trainings began."""
    return sum(done == 1 for _, done, _ in steps)


def learnt_from_lists(store: Path) -> int:
    """Return how many figures are stored of attacks that learn from lists: their clones are not kept."""
    described = (json.loads(path.read_bytes()) for path in store.glob("judged/*/node.json"))
    return sum(one["inputs"].get("attack", {}).get("lists", False) for one in described)


@pytest.mark.slow
def test_a_training_that_was_stopped_begins_again_after_the_last_finished_stage(values, tmp_path) -> None:
    """Wherever the audit is stopped, even in the middle of a training."""
    heard: list[tuple[str, int, int]] = []
    spec = AuditSpec(**values | {"seeds": 1})
    undisturbed = run_audit(spec, progress=lambda *step: heard.append(step))

    for moment in range(0, len(heard), 5):
        left = [moment]

        def stop(*step: object, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Stopped

        out = tmp_path / str(moment)
        with pytest.raises(Stopped):
            run_audit(spec, out=out, progress=stop)
        finished, learnt, told = contents(out / "store"), learnt_from_lists(out / "store"), []
        result = run_audit(spec, out=out, progress=lambda *step, told=told: told.append(step))
        assert timeless(result) == timeless(undisturbed)
        assert finished.items() <= contents(out / "store").items()
        stages = {name.rpartition("/")[0] for name in finished}
        kept = sum(name.startswith(("model/", "clone/")) for name in stages)
        assert begun(told) == begun(heard) - kept - learnt


def test_another_audit_takes_what_both_need(small, copied) -> None:
    store = Store(copied / "store", say=pytest.fail)
    kinds = [stage.kind for stage in store.nodes()]
    assert {kind: kinds.count(kind) for kind in kinds} == {"model": 2, "clone": 1, "judged": 4}
    trained = []
    settings = {"PTD": small["settings"]["PTD"], "PTQ": small["settings"]["PTAQ"]}
    wider = AuditSpec(**small | {"attacks": ["PTD", "PTQ"], "settings": settings, "seeds": 1})
    result = run_audit(wider, store=store, progress=lambda *step: trained.append(step[0]))
    assert set(trained) == {"clone, lists"}
    kinds = [stage.kind for stage in store.nodes()]
    assert {kind: kinds.count(kind) for kind in kinds} == {"model": 2, "clone": 1, "judged": 5}
    assert timeless(result) == timeless(run_audit(wider))


@pytest.mark.parametrize("other", [{"k": 4}, {"split": {"known": 0.6}}, {"defence": {"mixed": 2, "top": 5}}])
def test_a_setting_of_the_attacker_or_the_judge_leaves_the_victim(small, copied, other) -> None:
    store = Store(copied / "store", say=pytest.fail)
    before = {stage.hash for stage in store.nodes() if stage.kind == "model"}
    spec = AuditSpec(**small | other | {"seeds": 1})
    result = run_audit(spec, store=store)
    assert {stage.hash for stage in store.nodes() if stage.kind == "model"} == before
    assert len([stage for stage in store.nodes() if stage.kind == "judged"]) == 8
    assert timeless(result) == timeless(run_audit(spec))


DAMAGES = {
    "emptied": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "a list": lambda content: b"[]",
    "an object": lambda content: b"{}",
    "deep": lambda content: b"[" * 100_000,
    "no text": lambda content: b"\x00\xff",
    "other figures": lambda content: content.replace(b'"epochs"', b'"epochz"').replace(b"1", b"2", 1),
    "one byte": lambda content: content[:-2] + bytes([content[-2] ^ 1]) + content[-1:],
}


EVERY_KIND = ("judged", "clone", "model")


@pytest.mark.parametrize(
    ("damage", "kinds"), [(name, ("judged",)) for name in DAMAGES] + [("one byte", EVERY_KIND)]
)
@pytest.mark.parametrize("file", ["node.json", "tensors.safetensors"])
def test_damaged_stages_are_computed_again(small, kept, copied, damage, file, kinds) -> None:
    spec, told, first = AuditSpec(**small | {"seeds": 1}), [], kept[0]
    whole = contents(copied / "store")
    damaged = [path for kind in kinds for path in (copied / "store" / kind).glob(f"*/{file}")]
    assert len(damaged) >= len(kinds)
    for path in damaged:
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    second = run_audit(spec, store=Store(copied / "store", say=told.append))
    assert second.reused == ()
    assert timeless(second) == timeless(first)
    assert sorted(told) == sorted(
        f"{path.parent}: {file} is damaged; it is computed again" for path in damaged
    )
    healed = contents(copied / "store")
    assert healed.keys() == whole.keys()
    for name in whole:
        if name.endswith(".safetensors"):
            assert healed[name][0] == whole[name][0], name
    assert run_audit(spec, out=copied).reused == (0,)


def test_other_data_under_the_same_name_are_audited_afresh(small, tmp_path, data) -> None:
    file = tmp_path / "data.csv"
    file.write_text(data.read_text("utf-8"), "utf-8")
    spec = AuditSpec(**small | {"data": str(file), "seeds": 1})
    first = run_audit(spec, out=tmp_path / "out")
    file.write_text(data.read_text("utf-8").replace("\n7,", "\n700,"), "utf-8")
    second = run_audit(spec, out=tmp_path / "out")
    assert second.reused == ()
    assert second.content["data"]["fingerprint"] != first.content["data"]["fingerprint"]
    assert timeless(second) == timeless(run_audit(spec))


def test_another_audit_s_folder_is_left_alone(small, kept, copied) -> None:
    from recaudit import write_report

    spec, other = AuditSpec(**small | {"seeds": 1}), AuditSpec(**small | {"seeds": 1, "k": 4})
    write_report(kept[0], copied)
    before = contents(copied / "store")
    with pytest.raises(UsageError, match=r"^out: .* holds the result of another spec; name another folder"):
        run_audit(other, out=copied)
    assert contents(copied / "store") == before
    for damaged in ("{", "[]", "{}", "\xff"):
        (copied / "result.json").write_text(damaged, "latin-1")
        with pytest.raises(UsageError, match=r"^out: .*result.json is damaged or not an audit's"):
            run_audit(spec, out=copied)


def test_a_folder_that_cannot_hold_the_result(small, tmp_path) -> None:
    def nothing(stage: str, done: int, total: int) -> None:
        raise AssertionError(f"{stage} began")

    file = tmp_path / "file"
    file.write_text("", "utf-8")
    with pytest.raises(UsageError, match=r"^out: .* is a file; name a folder$"):
        run_audit(AuditSpec(**small), out=file, progress=nothing)
    with pytest.raises(
        UsageError, match=r"^store: .*/below/store cannot hold results: Not a directory; name"
    ):
        run_audit(AuditSpec(**small), out=file / "below", progress=nothing)


# --- an audit as stages -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seed_audit(values):
    def open_seed(changed=None, seed=0, cache=None, **run):
        spec = audit_spec({**values, **(changed or {})})
        cache = Cache() if cache is None else cache
        return SeedAudit(spec, load(spec.data), Run(seed=seed, cache=cache, **run))

    return open_seed


MODELS = {
    "training bpr for the victim",
    "training bpr for the ceiling",
    "training bpr for auxiliary users",
    "training a bpr clone on interactions",  # PTD's and PTAQ's
}
ROWS = ("judging victim", "judging popularity", "judging retrained")
ATTACKS = ("attacking with QSD", "attacking with PTD", "attacking with PTAQ")


def test_nodes_come_once_each_after_its_needs(seed_audit) -> None:
    nodes = tuple(seed_audit().nodes())
    assert {node.label for node in nodes} == MODELS | {*ROWS, *ATTACKS}
    there: set[str] = set()
    for node in nodes:
        assert node.kept_needs <= there, node.label
        there.add(node.key.hash)
    assert len(there) == len(nodes) == 5 + 6


def test_a_node_computes_itself_and_nothing_that_is_there(seed_audit, found, tmp_path) -> None:
    """What needs names is enough: with it there, only the node itself is new."""
    store = Store(tmp_path, say=pytest.fail)
    for place, node in enumerate(seed_audit().nodes()):
        cache = Cache(store)
        mine = tuple(seed_audit(cache=cache).nodes())[place]  # as another process has it
        assert mine.key.hash == node.key.hash
        cache.get(mine)
        assert cache.misses == 1, node.label
    cache = Cache(store)
    result = seed_audit(cache=cache).result()
    assert cache.misses == 0
    content = found.content
    assert result.ledgers == [one for one in content["ledgers"] if one["seed"] == 0]
    assert result.users["target"] == content["data"]["target_users"]


def test_stored_figures_read_no_model(seed_audit, tmp_path) -> None:
    """Where the models are gone, figures that are stored are still told, and nothing is trained again."""
    store = Store(tmp_path, say=pytest.fail)
    first = seed_audit(cache=Cache(store)).result()
    for kind in ("model", "clone"):
        shutil.rmtree(store.folder / kind)
    cache = Cache(store)
    again = seed_audit(cache=cache).result()
    assert (cache.misses, cache.hits) == (0, 6)
    assert again.stages == first.stages


def test_a_row_s_seconds_are_those_of_running_alone(seed_audit, monkeypatch) -> None:
    """Each training takes one second of a clock that nothing else moves; no attack pays for the victim."""
    now = [0.0]
    monkeypatch.setattr("recaudit.pipeline.cache.time.perf_counter", lambda: now[0])
    for place in (factorization, surrogate):

        def counted(*given, train=place.train, **options):
            now[0] += 1
            return train(*given, **options)

        monkeypatch.setattr(place, "train", counted)
    seconds = {stage["stage"]: stage["seconds"] for stage in seed_audit().result().stages}
    assert seconds == {"victim": 1, "retrained": 1, "QSD": 1, "PTD": 1, "PTAQ": 3}
    audit = seed_audit()
    for node in audit.nodes():  # one by one, as the scheduler does
        audit.stealing.run.cache.get(node)
    assert {stage["stage"]: stage["seconds"] for stage in audit.result().stages} == seconds


FEW = {"epochs": 3, "evaluate_every": 1, "patience": 2}
EVERY = {"victim", "popularity", "retrained", "QSD", "PTD", "PTAQ"}


@pytest.mark.parametrize(
    ("changed", "rows"),
    [
        ({"k": 4}, EVERY),
        ({"defence": {"mixed": 2, "top": 5}}, EVERY),
        ({"split": {"known": 0.6}}, EVERY),
        ({"victim": {"embedding_size": 4}, "clone": {"embedding_size": 8}}, EVERY),
        ({"clone": {"negatives": 2}}, {"QSD", "PTD", "PTAQ"}),
        ({"clone": {"stopping": FEW}}, {"QSD", "PTD", "PTAQ"}),
        ({"settings": {"PTD": {"stopping": FEW}}}, {"PTD", "QSD", "PTAQ"}),
        ({"queries": 12}, EVERY),
        ({"split": {"known": 0.5, "common_items": 0.5}}, EVERY - {"QSD", "PTD"}),
        ({"split": {"known": 0.5, "auxiliary_share": 0.5}}, EVERY - {"QSD", "PTD"}),
        ({"seeds": 3}, set()),
        ({"attacks": ["PTAQ", "PTD", "QSD"]}, set()),
    ],
)
def test_figures_are_told_apart_by_what_they_depend_on(seed_audit, values, changed, rows) -> None:
    def figures(audit):
        return {row: node.key.hash for row, node in audit.stealing.rows.items()}

    before, after = figures(seed_audit()), figures(seed_audit(changed))
    assert {row for row in before if before[row] != after[row]} == rows


def test_figures_of_other_seeds_and_devices_are_others(seed_audit) -> None:
    def hashes(**run):
        return {node.key.hash for node in seed_audit(**run).nodes()}

    for other in (hashes(seed=1), hashes(device="cuda")):
        assert not hashes() & other


def test_a_judgement_that_was_kept_is_as_it_was(seed_audit, tmp_path) -> None:
    cache = Cache(store=Store(tmp_path, say=pytest.fail))
    for row in ("victim", "popularity", "PTAQ"):
        first, again = (cache.get(seed_audit(cache=cache).stealing.rows[row]) for _ in range(2))
        assert list(first.values) == list(again.values)
        for metric, roles in first.values.items():
            assert list(roles) == list(again.values[metric])
            for role, numbers in roles.items():
                np.testing.assert_array_equal(again.values[metric][role], numbers)
        left = [
            {field: value for field, value in dataclasses.asdict(one).items() if field != "values"}
            for one in (first, again)
        ]
        assert left[0] == left[1]


@pytest.mark.process
def test_several_workers_find_the_bits_that_one_finds(small, kept, tmp_path) -> None:
    """In a store that goes when the audit ends, as none is named."""
    spec = AuditSpec(**small | {"seeds": 1})
    assert timeless(run_audit(spec, workers=2)) == timeless(kept[0])


def test_several_workers_load_the_data_themselves(small) -> None:
    spec = audit_spec(small)
    with pytest.raises(ValueError, match=r"several workers load spec.data themselves"):
        run_audit(spec, data=load(spec.data), workers=2)
