"""Finished stages are kept and taken again, and nothing else is."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from recaudit.audit import AuditSpec, run_audit
from recaudit.audit.seed import SeedAudit
from recaudit.audit.spec import audit_spec
from recaudit.data.sources import load
from recaudit.errors import UsageError
from recaudit.pipeline import Store
from recaudit.pipeline.cache import Cache
from recaudit.pipeline.run import Run


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
    def stop_in_seed_1(stage: str, done: int, total: int) -> None:
        if stage == "audit: seed 1, PTD":
            raise Stopped

    with pytest.raises(Stopped):
        run_audit(AuditSpec(**small), out=tmp_path, progress=stop_in_seed_1)
    finished = contents(tmp_path / "store")
    result = run_audit(AuditSpec(**small), out=tmp_path)
    assert result.reused == (0,)
    assert timeless(result) == timeless(run_audit(AuditSpec(**small)))
    whole = contents(tmp_path / "store")
    assert finished.items() <= whole.items()
    assert len(whole) == len(finished) + 4  # clone and figures of seed 1, two files each
    more = run_audit(AuditSpec(**small | {"seeds": [1, 2, 0]}), out=str(tmp_path))
    assert more.reused == (1, 0)
    again = run_audit(AuditSpec(**small), out=tmp_path)
    assert again.reused == (0, 1)
    assert timeless(again) == timeless(result)
    assert whole.items() <= contents(tmp_path / "store").items()


def begun(steps) -> int:
    """Return how many trainings began."""
    return sum(done == 1 for name, done, _ in steps if not name.startswith("audit: "))


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
        finished, told = contents(out / "store"), []
        result = run_audit(spec, out=out, progress=lambda *step, told=told: told.append(step))
        assert timeless(result) == timeless(undisturbed)
        assert finished.items() <= contents(out / "store").items()
        stages = {name.rpartition("/")[0] for name in finished}
        kept = sum(name.startswith(("model/", "clone/")) for name in stages)
        assert begun(told) == begun(heard) - kept


def test_another_audit_takes_what_both_need(small, copied) -> None:
    store = Store(copied / "store", say=pytest.fail)
    kinds = [stage.kind for stage in store.stages()]
    assert {kind: kinds.count(kind) for kind in kinds} == {"model": 2, "clone": 1, "figures": 4}
    trained = []
    wider = AuditSpec(**small | {"attacks": ["PTD", "PTQ"], "seeds": 1})
    wider_settings = wider.model_copy(
        update={"settings": {"PTD": small["settings"]["PTD"], "PTQ": small["settings"]["PTAQ"]}}
    )
    result = run_audit(wider_settings, store=store, progress=lambda *step: trained.append(step[0]))
    assert {name for name in trained if not name.startswith("audit: ")} == {"clone, lists"}
    kinds = [stage.kind for stage in store.stages()]
    assert {kind: kinds.count(kind) for kind in kinds} == {"model": 2, "clone": 2, "figures": 5}
    assert timeless(result) == timeless(run_audit(wider_settings))


@pytest.mark.parametrize("other", [{"k": 4}, {"split": {"known": 0.6}}, {"defence": {"mixed": 2, "top": 5}}])
def test_a_setting_of_the_attacker_or_the_judge_leaves_the_victim(small, copied, other) -> None:
    store = Store(copied / "store", say=pytest.fail)
    before = {stage.hash for stage in store.stages() if stage.kind == "model"}
    spec = AuditSpec(**small | other | {"seeds": 1})
    result = run_audit(spec, store=store)
    assert {stage.hash for stage in store.stages() if stage.kind == "model"} == before
    assert len([stage for stage in store.stages() if stage.kind == "figures"]) == 8
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


EVERY_KIND = ("figures", "clone", "model")


@pytest.mark.parametrize(
    ("damage", "kinds"), [(name, ("figures",)) for name in DAMAGES] + [("one byte", EVERY_KIND)]
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


def test_works_are_all_stages_each_after_what_it_needs(seed_audit) -> None:
    works = seed_audit().works()
    assert {work.name for work in works} == {
        ("fit", "victim"),
        ("fit", "retrained"),
        ("share", "PTD", "0"),
        ("share", "PTAQ", "0"),
        ("share", "PTAQ", "1"),
        *(("judge", row) for row in ("victim", "popularity", "retrained", "QSD", "PTD", "PTAQ")),
    }
    there: set[str] = set()
    for work in works:
        assert set(work.needs) <= there, work.name
        there.add(work.stage.hash)
    assert len(there) == len(works)


def test_a_work_computes_its_own_stage_and_nothing_that_is_there(seed_audit, found) -> None:
    """What needs names is enough: with it there, only the stage itself and an attack's own clone are new."""
    cache = Cache()
    one = seed_audit(cache=cache)
    for work in one.works():
        before = set(cache.pieces)
        assert set(work.needs) <= before
        seed_audit(cache=cache).do(work.name)
        new = set(cache.pieces) - before
        assert work.stage.hash in new
        lists = work.name in {("judge", "QSD"), ("judge", "PTAQ")}
        assert len(new) == 1 + lists, work.name
    computed = cache.computed
    result = seed_audit(cache=cache).result(lambda row: None)
    assert cache.computed == computed == len(cache.pieces)
    content = found.content
    assert result.ledgers == [one for one in content["ledgers"] if one["seed"] == 0]
    assert result.users["target"] == content["data"]["target_users"]


def test_a_stage_that_no_audit_has(seed_audit) -> None:
    with pytest.raises(ValueError, match=r"no stage is named \('train', 'victim'\)"):
        seed_audit().do(("train", "victim"))


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
        # PTD's clone learns as the attack's settings say; the auxiliary model learns as the clone's own do.
        ({"clone": {"stopping": FEW}}, {"QSD", "PTAQ"}),
        ({"settings": {"PTD": {"stopping": FEW}}}, {"PTD", "QSD", "PTAQ"}),
        ({"queries": 12}, EVERY),
        ({"split": {"known": 0.5, "common_items": 0.5}}, EVERY),
        ({"seeds": 3}, set()),
        ({"attacks": ["PTAQ", "PTD", "QSD"]}, set()),
    ],
)
def test_figures_are_told_apart_by_what_they_depend_on(seed_audit, values, changed, rows) -> None:
    def figures(audit):
        return {work.name[1]: work.stage.hash for work in audit.works() if work.name[0] == "judge"}

    before, after = figures(seed_audit()), figures(seed_audit(changed))
    assert {row for row in before if before[row] != after[row]} == rows


def test_figures_of_other_seeds_and_devices_are_others(seed_audit) -> None:
    def stages(**run):
        return {work.name: work.stage.hash for work in seed_audit(**run).works()}

    before = stages()
    for other in (stages(seed=1), stages(device="cuda")):
        assert not set(before.values()) & set(other.values())


def test_a_judgement_that_was_kept_is_as_it_was(seed_audit, tmp_path) -> None:
    cache = Cache(store=Store(tmp_path, say=pytest.fail))
    for row in ("victim", "popularity", "PTAQ"):
        first, again = (seed_audit(cache=cache)._stealing.judged(row) for _ in range(2))
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
