from pathlib import Path
from typing import Any

import pytest

from recaudit.errors import UsageError
from recaudit.report import Result, output, parse_result, read_result, write_result


def test_all_three_files_are_written(result: Result, tmp_path: Path) -> None:
    write_result(result, tmp_path / "new" / "audit")
    assert sorted(file.name for file in (tmp_path / "new" / "audit").iterdir()) == [
        "figures.csv",
        "report.html",
        "result.json",
    ]
    assert read_result(tmp_path / "new" / "audit") == result


def test_the_same_result_makes_the_same_files(result: Result, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_result(result, tmp_path / name)
    for file in ("figures.csv", "report.html", "result.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_failure_on_the_way_leaves_the_earlier_result(
    values: dict[str, Any], result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_result(result, tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def fail(result: Result, path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(output, "write_figures_csv", fail)
    values["data"]["name"] = "another"
    with pytest.raises(UsageError, match="cannot write the result there: No space left on device"):
        write_result(parse_result(values), tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_file_in_the_way_is_named(result: Result, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UsageError, match="out: cannot write the result there"):
        write_result(result, tmp_path / "out")
