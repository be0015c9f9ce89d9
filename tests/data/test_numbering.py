"""Numbering and ordering: the same result whatever the blocks, the chunks and the threads."""

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recaudit.data import blocks, numbering
from recaudit.data.blocks import in_threads, row_blocks, user_blocks
from recaudit.data.interactions import RepeatedPair
from recaudit.data.numbering import assemble, dense


def test_user_blocks_hold_whole_users():
    offsets = np.array([0, 2, 3, 9, 10, 11])
    assert user_blocks(offsets, 3).tolist() == [[0, 2], [2, 3], [3, 5]]
    assert user_blocks(offsets, 1).tolist() == [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]]
    assert user_blocks(offsets, 99).tolist() == [[0, 5]]
    assert user_blocks(np.array([0]), 3).tolist() == []


def test_row_blocks_end_with_the_rows():
    assert row_blocks(7, 3).tolist() == [[0, 3], [3, 6], [6, 7]]
    assert row_blocks(6, 3).tolist() == [[0, 3], [3, 6]]
    assert row_blocks(0, 3).tolist() == []


@pytest.mark.parametrize("threads", [1, 4])
def test_in_threads_keeps_the_order_and_passes_errors_on(monkeypatch, threads):
    monkeypatch.setattr(blocks.pl, "thread_pool_size", lambda: threads)
    assert in_threads(lambda begin, end: begin * 10 + end, row_blocks(5, 2)) == [2, 24, 45]
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda begin, _: 1 // begin, row_blocks(5, 2))


@pytest.mark.parametrize(
    ("ids", "distinct"),
    [
        ([5, 3, 5, 4], [3, 4, 5]),
        ([2**63 - 1, -(2**63), 0], [-(2**63), 0, 2**63 - 1]),
        ([10**9, 1, 10**9], [1, 10**9]),
        (["b", "a", "ä", "B", "b"], ["B", "a", "b", "ä"]),
        (["x" * 30, "x" * 29], ["x" * 29, "x" * 30]),
    ],
)
def test_dense_numbers_follow_the_ids_order(ids, distinct):
    series = pl.Series("id", ids)
    for cut in (series, pl.concat([series[:1], series[1:]], rechunk=False)):
        numbers, table = dense(cut)
        assert table.to_list() == distinct
        assert [distinct[number] for number in numbers] == ids


ROWS = st.lists(
    st.tuples(
        st.integers(0, 6), st.integers(0, 6), st.integers(-3, 3) | st.sampled_from([-(2**63), 2**63 - 1])
    ),
    min_size=1,
    max_size=40,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=ROWS,
    block=st.integers(1, 9),
    threads=st.sampled_from([1, 3]),
    repeats=st.sampled_from(["first", "last", "error"]),
    timed=st.booleans(),
    text=st.booleans(),
)
def test_assembled_histories_agree_with_plain_sorting(
    monkeypatch, rows, block, threads, repeats, timed, text
):
    monkeypatch.setattr(numbering, "BLOCK", block)
    monkeypatch.setattr(blocks.pl, "thread_pool_size", lambda: threads)
    named = str if text else (10**9).__mul__
    columns = {
        "user": pl.Series([f"u{user}" for user, _, _ in rows]),
        "item": pl.Series([named(item) for _, item, _ in rows]),
        "rating": pl.Series(range(len(rows)), dtype=pl.Float32),
    }
    if timed:
        columns["time"] = pl.Series([time for _, _, time in rows])
    expected = {}
    for place, (user, item, _) in sorted(enumerate(rows), key=lambda r: (r[1][2] if timed else 0, r[0])):
        history = expected.setdefault(f"u{user}", {})
        if repeats == "last":
            history.pop(named(item), None)
        history.setdefault(named(item), place)
    if repeats == "error" and len({row[:2] for row in rows}) < len(rows):
        with pytest.raises(RepeatedPair):
            assemble("made", columns, repeats=repeats)
        return
    data = assemble("made", columns, repeats=repeats)
    assert not columns
    for number, user in enumerate(data.user_ids.to_list()):
        span = slice(data.offsets[number], data.offsets[number + 1])
        found = zip(data.item_ids[data.items[span]].to_list(), data.ratings[span].tolist(), strict=True)
        assert list(found) == list(expected[user].items())
    assert data.user_ids.to_list() == sorted(expected)


def test_a_finer_order_than_the_time_counts():
    columns = {
        "user": pl.Series([1, 1, 1]),
        "item": pl.Series([7, 8, 9]),
        "time": pl.Series([0, 0, 0]),
        "order": pl.Series([2, 3, 1]),
    }
    data = assemble("made", columns)
    assert data.item_ids[data.items].to_list() == [9, 7, 8]
    assert data.times.tolist() == [0, 0, 0]


def test_text_items_are_sorted_by_time_where_users_stand_in_order():
    columns = {
        "user": pl.Series(["u", "u"]),
        "item": pl.Series(["a", "b"]),
        "time": pl.Series([2, 1]),
    }
    data = assemble("made", columns)
    assert data.item_ids[data.items].to_list() == ["b", "a"]
