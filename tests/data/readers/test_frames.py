"""Interactions that are in memory already."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from recaudit import AuditSpec, interactions_of, run_audit
from recaudit.errors import UsageError

ROWS = {"user_id": ["b", "a", "a"], "item_id": [3, 2, 1], "stars": [1.5, 2.5, 3.5], "ts": [1, 3, 2]}


def histories(data):
    return {
        user: data.item_ids[data.history(number)].to_list()
        for number, user in enumerate(data.user_ids.to_list())
    }


@pytest.mark.parametrize("made", [pl.DataFrame, pl.LazyFrame, pd.DataFrame])
def test_frames(made):
    data = interactions_of(made(ROWS))
    assert histories(data) == {"a": [1, 2], "b": [3]}
    assert data.ratings.tolist() == [3.5, 2.5, 1.5]
    assert data.times.tolist() == [2, 3, 1]
    assert data.reading.columns == {"user": "user_id", "item": "item_id", "rating": "stars", "time": "ts"}
    assert interactions_of(made(ROWS), columns="user=user_id,item=item_id").reading.unused == ("stars", "ts")


def test_rows():
    assert histories(interactions_of([(1, "x"), (1, "y"), (2, "x")])) == {1: ["x", "y"], 2: ["x"]}
    data = interactions_of([("a", 7, 5.0, 20), ["a", 8, 1, 10]], name="mine")
    assert (data.name, histories(data), data.ratings.tolist()) == ("mine", {"a": [8, 7]}, [1, 5])
    assert histories(interactions_of(zip([1, 1], [2, 3], strict=True))) == {1: [2, 3]}
    assert histories(interactions_of([("a", 7), ("b", "007")])) == {"a": ["7"], "b": ["007"]}


def test_types_of_pandas():
    frame = pd.DataFrame(
        {
            "user": pd.array([1, 2], dtype="Int64"),
            "item": pd.Categorical(["x", "y"]),
            "time": pd.to_datetime(["2020-01-01", "2020-01-02"], utc=True),
        }
    )
    data = interactions_of(frame)
    assert histories(data) == {1: ["x"], 2: ["y"]}
    assert data.times.tolist() == [1_577_836_800, 1_577_923_200]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([(1, 2), (1, 2)], "frame, row 2, column 'item': user 1 has item 2 again"),
        ([(1, 2), (1,)], "found rows of 1, 2 values, expected 2"),
        ([], "found rows of no values"),
        ([1, 2], "found rows of 0 values"),
        (["ab", "cd"], "found rows of 0 values"),  # two texts, not two users with an item each
        ("data.csv", "found str, expected a frame or rows"),
        (7, "found int, expected a frame or rows"),
        ([(1, None)], "frame, row 1, column 'item': found None, expected an id"),
        (pd.DataFrame({"user": [1, np.nan], "item": [1, 2]}), "frame, row 2, column 'user': found nan"),
        (pl.DataFrame({"who": [1], "item": [1]}), "there is no column 'user' for 'user'"),
    ],
)
def test_what_is_no_frame_of_interactions(rows, says):
    with pytest.raises(UsageError, match=says):
        interactions_of(rows)


def test_an_audit_takes_a_frame():
    pairs = [(user, (user * 7 + step * step) % 25) for user in range(60) for step in range(6)]
    frame = pl.DataFrame(sorted({*pairs}), schema=["user", "item"], orient="row")
    spec = AuditSpec(
        k=4,
        split={"known": 0.5},
        threats=("stealing",),
        attacks=("PTD",),
        seeds=(0,),
        victim={"embedding_size": 4, "stopping": {"epochs": 2, "evaluate_every": 1}},
        settings={"PTD": {"stopping": {"epochs": 2, "evaluate_every": 1}}},
    )
    found = run_audit(spec, data=frame)
    assert found.content["data"]["reading"]["format"] == "frame"
    assert found.figure("PTD", "agreement@4") == run_audit(spec, data=interactions_of(frame)).figure(
        "PTD", "agreement@4"
    )
