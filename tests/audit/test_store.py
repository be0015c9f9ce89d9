"""Finished seeds are kept and taken again, and nothing else is."""

import json

import pytest

from recaudit.audit import AuditSpec, run_audit
from recaudit.errors import UsageError


def timeless(result) -> list[tuple]:
    return [tuple(row.items()) for row in result.content["figures"] if row["metric"] != "seconds"]


@pytest.fixture
def small(values) -> dict:
    return values | {"attacks": ["PTD"]}


class Stopped(Exception):
    pass


def test_an_audit_goes_on_where_it_was_stopped(small, tmp_path) -> None:
    def stop_in_seed_1(stage: str, done: int, total: int) -> None:
        if stage == "audit: seed 1, PTD":
            raise Stopped

    with pytest.raises(Stopped):
        run_audit(AuditSpec(**small), out=tmp_path, progress=stop_in_seed_1)
    finished = (tmp_path / "seeds" / "seed-0.json").read_bytes()
    assert not (tmp_path / "seeds" / "seed-1.json").exists()
    result = run_audit(AuditSpec(**small), out=tmp_path)
    assert result.reused == (0,)
    assert timeless(result) == timeless(run_audit(AuditSpec(**small)))
    assert (tmp_path / "seeds" / "seed-0.json").read_bytes() == finished
    more = run_audit(AuditSpec(**small | {"seeds": [1, 2, 0]}), out=str(tmp_path))
    assert more.reused == (1, 0)
    again = run_audit(AuditSpec(**small), out=tmp_path)
    assert again.reused == (0, 1)
    assert timeless(again) == timeless(result)


def _emptied(text: str) -> str:
    plain = json.loads(text)
    plain["result"]["values"] = {}
    return json.dumps(plain)


def _without_users(text: str) -> str:
    plain = json.loads(text)
    del plain["result"]["users"]
    return json.dumps(plain)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "{}",
        lambda text: "[" * 100_000,
        lambda text: "\x00\xff",
        _emptied,
        _without_users,
    ],
)
def test_a_damaged_seed_is_computed_again(small, tmp_path, damage) -> None:
    spec = AuditSpec(**small | {"seeds": 1})
    first = run_audit(spec, out=tmp_path)
    file = tmp_path / "seeds" / "seed-0.json"
    file.write_text(damage(file.read_text("utf-8")), "latin-1")
    second = run_audit(spec, out=tmp_path)
    assert second.reused == ()
    assert timeless(second) == timeless(first)
    assert run_audit(spec, out=tmp_path).reused == (0,)


def test_a_seed_without_its_spec_s_hash_is_taken_too(small, tmp_path) -> None:
    spec = AuditSpec(**small | {"seeds": 1})
    run_audit(spec, out=tmp_path)
    file = tmp_path / "seeds" / "seed-0.json"
    plain = json.loads(file.read_text("utf-8"))
    del plain["spec_hash"]
    file.write_text(json.dumps(plain), "utf-8")
    assert run_audit(spec, out=tmp_path).reused == (0,)


def test_other_data_under_the_same_name_are_audited_afresh(small, tmp_path, data) -> None:
    file = tmp_path / "data.csv"
    file.write_text(data.read_text("utf-8"), "utf-8")
    spec = AuditSpec(**small | {"data": str(file), "seeds": 1})
    first = run_audit(spec, out=tmp_path / "out")
    file.write_text(data.read_text("utf-8").replace("\n7,", "\n700,"), "utf-8")
    second = run_audit(spec, out=tmp_path / "out")
    assert second.reused == ()
    assert second.content["data"]["fingerprint"] != first.content["data"]["fingerprint"]


def test_another_audit_s_folder_is_left_alone(small, tmp_path) -> None:
    from recaudit import write_report

    spec, other = AuditSpec(**small | {"seeds": 1}), AuditSpec(**small | {"seeds": 1, "k": 4})
    result = run_audit(spec, out=tmp_path)
    kept = (tmp_path / "seeds" / "seed-0.json").read_bytes()
    with pytest.raises(
        UsageError, match=r"^out: .* holds finished seeds of another spec; name another folder"
    ):
        run_audit(other, out=tmp_path)
    write_report(result, tmp_path)
    with pytest.raises(UsageError, match=r"^out: .* holds the result of another spec; name another folder"):
        run_audit(other, out=tmp_path)
    assert (tmp_path / "seeds" / "seed-0.json").read_bytes() == kept
    for damaged in ("{", "[]", "{}", "\xff"):
        (tmp_path / "result.json").write_text(damaged, "latin-1")
        with pytest.raises(UsageError, match=r"^out: .*result.json is damaged or not an audit's"):
            run_audit(spec, out=tmp_path)


def test_a_folder_that_cannot_hold_the_result(small, tmp_path) -> None:
    def nothing(stage: str, done: int, total: int) -> None:
        raise AssertionError(f"{stage} began")

    file = tmp_path / "file"
    file.write_text("", "utf-8")
    with pytest.raises(UsageError, match=r"^out: .* is a file; name a folder$"):
        run_audit(AuditSpec(**small), out=file, progress=nothing)
    with pytest.raises(UsageError, match=r"^out: .* cannot hold the result: Not a directory"):
        run_audit(AuditSpec(**small), out=file / "below", progress=nothing)
