"""Further tables and warnings beside an experiment's own, from invented results: they measure nothing."""

from typing import Any

import polars as pl
import pytest

from recaudit.experiments.grid import Grid
from recaudit.experiments.table import COLUMNS
from recaudit.report.paper import further_tables, markdown_of, tables, terminal_of, warnings_of
from recaudit.report.plots import draw
from recaudit.vocabulary import REFERENCES
from shown import printed

FURTHER: list[dict[str, Any]] = [
    {"title": "Elsewhere", "metrics": ["agreement@50"], "users": "unseen"},
    {"title": "Asked", "metrics": ["lists", "calls"], "rows": ["QSD5", "PTD"]},
    {"title": "Served", "metrics": ["recall@50", "diversity@50"], "users": "target", "rows": ["victim"]},
]


def grid(**changes: Any) -> Grid:
    values = {
        "name": "zhu2023/table8",
        "title": "what it asks",
        "source": "A Paper, Table 8",
        "base": {"attacks": ["QSD5", "PTD"]},
        "axes": {"data": ["ml-1m-timed"], "victim": ["sasrec", "gru4rec"]},
        "seeds": 2,
        "metric": "agreement@50",
        "shown": ["auxiliary", "QSD5", "constant", "PTD"],
        "further": FURTHER,
    }
    return Grid(**values | changes)


# attack: on sasrec, on gru4rec
AGREEMENTS = {
    "popularity": (0.2, 0.85),
    "constant": (0.3, 0.9),
    "auxiliary": (0.4, 0.91),
    "QSD5": (0.25, 0.92),
    "PTD": (0.6, 0.95),
    "retrained": (0.7, 0.96),
}


def frame() -> pl.DataFrame:
    rows: list[dict[str, Any]] = []

    def add(victim: str, attack: str, users: str, metric: str, value: float, spread: float) -> None:
        about = {"experiment": "zhu2023/table8", "data": "ml-1m-timed", "victim": victim, "attack": attack}
        ends = {"value": value, "low": value - spread, "high": value + spread, "seeds": 2}
        rows.append(about | {"users": users, "metric": metric} | ends)

    for place, victim in enumerate(("sasrec", "gru4rec")):
        for attack, values in AGREEMENTS.items():
            add(victim, attack, "unqueried", "agreement@50", values[place], 0.005)
            add(victim, attack, "unseen", "agreement@50", values[place] - 0.1, 0.005)
        add(victim, "QSD5", "all", "lists", 1440, 0)
        add(victim, "QSD5", "all", "calls", 50 + place, 0)
        add(victim, "victim", "target", "recall@50", 0.31 + place / 100, 0.005)
        add(victim, "victim", "target", "diversity@50", (0.8, 0.1)[place], 0.005)
    return pl.DataFrame(rows, schema={**COLUMNS, "published": pl.Float64}, orient="row")


def titled(text: str) -> dict[str, list[list[str]]]:
    """Return Markdown's tables by the title before each."""
    blocks = [block for block in text.split("\n\n") if block]
    found = {}
    for title, block in zip(blocks[::2], blocks[1::2], strict=True):
        lines = [line for line in block.splitlines() if line and not line.startswith("|---")]
        found[title.strip("*\n")] = [line.strip("| ").split(" | ") for line in lines]
    return found


def test_what_is_no_attack_stands_beside_the_floor_whatever_its_place() -> None:
    lines = markdown_of(tables(frame(), grid())).splitlines()
    names = [line.split(" | ")[0].strip("| ") for line in lines if line.startswith("| ")]
    expected = ["popular list", "constant list", "auxiliary", "QSD5", "PTD", "retrained"]
    assert names[1:7] == expected
    assert f"Auxiliary – {REFERENCES['auxiliary'].sentence.replace('No', 'no', 1)}" in lines[-1]
    plain = markdown_of(tables(frame(), grid(shown=["QSD5", "PTD"])))
    assert "onstant" not in plain
    assert "uxiliary" not in plain


def test_further_tables_show_the_figures_of_their_users() -> None:
    found = titled(markdown_of(further_tables(frame(), grid())))
    assert list(found) == ["Elsewhere (ml-1m-timed)", "Asked (ml-1m-timed)", "Served (ml-1m-timed)"]
    elsewhere, asked, served = found.values()
    assert elsewhere[0] == ["attack", "sasrec", "gru4rec"]
    assert [row[0] for row in elsewhere[1:]] == [
        *("popular list", "constant list", "auxiliary", "QSD5", "PTD", "retrained")
    ]
    assert elsewhere[5] == ["PTD", "0.500 (0.495–0.505)", "0.850 (0.845–0.855)"]
    assert asked == [
        ["attack", "sasrec: lists", "sasrec: calls", "gru4rec: lists", "gru4rec: calls"],
        ["QSD5", "1,440", "50", "1,440", "51"],
        ["PTD", *["not measured"] * 4],
    ]
    assert served == [
        ["victim", "sasrec", "gru4rec"],
        ["recall@50", "0.310 (0.305–0.315)", "0.320 (0.315–0.325)"],
        ["diversity@50", "0.800 (0.795–0.805)", "0.100 (0.095–0.105)"],
    ]


def test_a_grid_without_further_tables_has_none() -> None:
    assert further_tables(frame(), grid(further=[])) == []


@pytest.mark.parametrize("width", [100, 80])
def test_the_terminal_shows_them_whole(width: int) -> None:
    text = printed(terminal_of([*tables(frame(), grid()), *further_tables(frame(), grid())]), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for shown in ("Asked (ml-1m-timed)", "0.850 (0.845–0.855)", "0.100 (0.095–0.105)", "1,440"):
        assert shown in text
    assert ["QSD5", "1,440", "50", "1,440", "51"] in [line.split() for line in text.splitlines()]


def test_each_target_is_judged_by_itself() -> None:
    assert warnings_of(frame(), grid()) == [
        "ml-1m-timed, sasrec: QSD5 is no better than one constant list for everybody, which is chosen in "
        "hindsight and gets 0.300 (0.295–0.305). QSD5 is no better than the auxiliary model alone, which "
        "gets 0.400 (0.395–0.405), asked nothing of the victim and saw none of its users.",
        "ml-1m-timed, gru4rec: This recommender serves nearly the same list to everybody, but for what each "
        "user has seen: one constant list agrees 0.900 (0.895–0.905) with it, and two users’ lists differ in "
        "0.100 (0.095–0.105) of their items. What the attacks reach says little about the "
        "model: there is little to steal.",
    ]


def test_where_nothing_but_attacks_is_shown_nothing_is_judged() -> None:
    assert warnings_of(frame(), grid(shown=[])) == []
    assert warnings_of(frame().clear(), grid()) == []


def test_what_is_no_attack_is_drawn_above_the_attacks(tmp_path) -> None:
    with_them = draw(frame(), grid(), tmp_path / "with")[0].read_text("utf-8")
    without = draw(frame(), grid(shown=[]), tmp_path / "without")[0].read_text("utf-8")
    assert with_them.index("constant list") < with_them.index("auxiliary") < with_them.index("QSD5")
    assert "constant list" not in without
