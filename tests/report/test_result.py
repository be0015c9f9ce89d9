import json
import math
from pathlib import Path
from typing import Any

import pytest

from recaudit.errors import UsageError
from recaudit.report import Result, parse_result, read_result
from recaudit.report.views import Stealing


def test_a_result_survives_its_json(result: Result, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.write_text(result.to_json(), encoding="utf-8")
    assert read_result(file) == result
    assert read_result(tmp_path) == result


def test_json_holds_what_was_given(values: dict[str, Any], result: Result) -> None:
    stored = json.loads(result.to_json())
    assert stored["spec"] == values["spec"]
    assert stored["created"] == "2026-11-21T22:00:00Z"
    assert stored["figures"] == values["figures"]
    assert stored["ledgers"] == values["ledgers"]


def test_keys_of_a_later_version_are_kept(values: dict[str, Any]) -> None:
    values["gate"] = {"agreement@50": 0.6}
    values["figures"][0]["test"] = "paired"
    stored = json.loads(parse_result(values).to_json())
    assert stored["gate"] == {"agreement@50": 0.6}
    assert stored["figures"][0]["test"] == "paired"


def test_numbers_that_are_not_finite_are_not_available(values: dict[str, Any]) -> None:
    values["figures"][0] |= {"value": math.nan, "low": -math.inf, "high": math.inf}
    figure = parse_result(values).figures[0]
    assert (figure.value, figure.low, figure.high) == (None, None, None)


def test_a_name_that_utf8_cannot_hold_is_mended(values: dict[str, Any], tmp_path: Path) -> None:
    values["data"]["name"] = "caf\udce9.csv"
    assert parse_result(values).data.name == "caf?.csv"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"recaudit": "0.1.0",\n "figures": [', "line 2, column 14"),
        (b"", "line 1, column 1"),
        (b"\xff\xfe", "UTF-8"),
        (b"[" * 200_000, "damaged"),
        (b"[1]", "found a JSON list"),
        (b"{}", "no version"),
        (b'{"recaudit": "0.1.0"}', "'created': field required (and 7 more)"),
        (b'{"recaudit": "0.7.2"}', "written by recaudit 0.7.2"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "result.json"
    file.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        read_result(file)
    message = str(raised.value)
    assert message.startswith(str(file))
    assert words in message
    assert "\n" not in message


def test_a_wrong_value_is_named(values: dict[str, Any]) -> None:
    values["figures"][3]["value"] = "much"
    with pytest.raises(UsageError, match=r"^here: damaged at 'figures\.3\.value': .*found 'much'; run"):
        parse_result(values, where="here")


@pytest.mark.parametrize("name", ["absent.json", "absent/result.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"no such file; expected a result\.json"):
        read_result(tmp_path / name)


def test_a_directory_without_a_result_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"result\.json: no such file"):
        read_result(tmp_path)


def test_a_curve_that_is_not_even_is_refused(membership_values: dict[str, Any]) -> None:
    membership_values["curves"][2]["tpr"].pop()
    with pytest.raises(UsageError, match=r"damaged at 'curves\.2'.*equally long"):
        parse_result(membership_values)


def test_an_older_result_has_no_cards_and_is_of_stealing(values: dict[str, Any]) -> None:
    del values["cards"]
    result = parse_result(values)
    assert {(figure.threat, figure.serving) for figure in result.figures} == {("stealing", None)}
    assert result.card("PTA").label == "PTA"
    assert result.card("retrained").label == "Retrained"
    assert Stealing(result).attacks == ("QSD", "PTD", "PTQ", "PTA", "PTAQ"), "in order of appearance"
    assert "cards" not in json.loads(result.to_json())


def test_cards_give_labels_and_order(values: dict[str, Any]) -> None:
    values["cards"]["attacks"][0] |= {"label": "Lists alone", "order": 1000}
    stealing = Stealing(parse_result(values))
    assert stealing.attacks == ("PTD", "PTQ", "PTA", "PTAQ", "QSD")
    assert stealing.label("QSD") == "Lists alone"
