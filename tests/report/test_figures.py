import math
from typing import Any

import polars as pl

from recaudit.figures import COLUMNS, Figures
from recaudit.report import Result


def test_every_figure_is_found_by_its_place(both_result: Result) -> None:
    for threat in ("stealing", "membership"):
        own = [figure for figure in both_result.figures if figure.threat == threat]
        index = Figures.of(own)
        assert tuple(index.frame.columns) == COLUMNS
        for figure in own:
            assert index.find(figure.attack, figure.metric, figure.users, figure.serving) == figure
        assert index.find("stack", "auc", "nobody") is None
        assert not index.doubled


def test_the_first_group_that_has_a_figure_is_taken(result: Result) -> None:
    index = result.index
    assert index.first("PTA", "rbo@50", "all", "unqueried") == index.find("PTA", "rbo@50", "unqueried")
    assert index.first("PTA", "rbo@50", "all") is None


def test_what_stands_twice_is_kept_and_left_over(values: dict[str, Any], result: Result) -> None:
    twice = result.figures[0].model_copy(update={"value": 0.9191})
    index = Figures.of([*result.figures, twice])
    assert index.find(twice.attack, twice.metric, twice.users) == result.figures[0]
    assert index.doubled == (twice,)
    assert index.leftover(result.figures) == (twice,)
    assert index.leftover([None]) == (*result.figures, twice)


def test_a_frame_may_have_other_columns_and_no_numbers() -> None:
    row = {"data": "d", "victim": "v", "attack": "PTA", "users": "all", "metric": "auc", "seeds": 2}
    frame = pl.DataFrame(
        [
            row | {"value": math.nan, "published": 0.5, "known": 0.1},
            row | {"value": 0.7, "known": 0.2, "users": "x"},
        ]
    )
    index = Figures(frame)
    found = index.find("PTA", "auc", "all")
    assert found is not None
    assert (found.value, found.published) == (None, 0.5)
    assert index.find("PTA", "auc", "x") == list(index)[1]
    assert (index.attacks, index.metrics, index.users) == (("PTA",), ("auc",), ("all", "x"))
