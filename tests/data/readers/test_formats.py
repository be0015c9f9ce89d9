"""Reading: every format by hand and round, every fault by file, line and column."""

import gzip
import re
from pathlib import Path

import jaxtyping
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profiles import examples
from recaudit.data.readers.columns import parse_columns
from recaudit.data.readers.files import opened
from recaudit.data.readers.protocol import Options
from recaudit.data.readers.registry import FORMATS, guess_format, read_interactions
from recaudit.data.readers.values import MISSING
from recaudit.errors import UsageError

# Hypothesis runs many examples in one test's folder; each writes its own file anew.
FILES = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=examples(60)
)
KAGGLE = (
    "TRANSACTION_DT,CUSTOMER_ID,AGE_GROUP,PIN_CODE,PRODUCT_SUBCLASS,PRODUCT_ID,AMOUNT,ASSET,SALES_PRICE\n"
)


ARROW = pl.DataFrame({"user": [1, 1], "item": ["x", "y"], "ts": [6, 5]}).write_ipc(None).getvalue()


def histories(data):
    """Return the external item ids by external user id, in order."""
    return {
        user: data.item_ids[data.history(number)].to_list()
        for number, user in enumerate(data.user_ids.to_list())
    }


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# Each format by hand: name of the file, content, format it is guessed to be, histories, ratings, times.
EXAMPLES = {
    "dat": (
        "ratings.dat",
        "2::10::5::30\n1::20::3::11\n1::10::4::10\n",
        "movielens-dat",
        {1: [10, 20], 2: [10]},
        [4, 3, 5],
        [10, 11, 30],
    ),
    "movielens csv": (
        "ratings.csv",
        "userId,movieId,rating,timestamp\n2,10,4.5,30\n1,20,0.5,11\n1,10,4.0,10\n",
        "movielens-csv",
        {1: [10, 20], 2: [10]},
        [4, 0.5, 4.5],
        [10, 11, 30],
    ),
    "recbole": (
        "ml.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\nb\tx\t2\t9\na\ty\t3\t8.0\na\tx\t1\t7.5\n",
        "recbole",
        {"a": ["x", "y"], "b": ["x"]},
        [1, 3, 2],
        [7, 8, 9],
    ),
    "recbole without ratings": (
        "x.inter",
        "user_id:token\titem_id:token\n1\t2\n1\t1\n",
        "recbole",
        {1: [2, 1]},
        None,
        None,
    ),
    "kaggle ta-feng": (
        "ta_feng_all_months_merged.csv",
        KAGGLE
        + '12/1/2000,00000007,A,B,1,4710,1,2,3\n"11/2/2000","00000007",A,B,1,4711,1,2,3\n'
        + "11/11/2000,00000007,A,B,1,4710,1,2,3\n1/31/2001,8,A,B,1,4711,1,2,3\n",
        "ta-feng",
        {7: [4711, 4710], 8: [4711]},
        None,
        [973_123_200, 973_900_800, 980_899_200],
    ),
    "ta-feng baskets": (
        "baskets.csv",
        "customer_id,product_id,basket\n1,0,1\n1,5,0\n1,0,2\n",
        "ta-feng-baskets",
        {1: [5, 0]},
        None,
        [0, 1],
    ),
    "steam": (
        "steam-200k.csv",
        '5,B,purchase,1.0,0\n5,B,play,7.5,0\n5,"A, the ""first""",play,2,0\n'
        "5,B,play,1,0\n6,A,purchase,1.0,0\n",
        "steam",
        {5: ["B", 'A, the "first"']},
        [7.5, 2],
        None,
    ),
    "json lines": (
        "reviews.jsonl",
        '{"user_id": "b", "parent_asin": "y", "rating": 3}\n\n'
        '{"user_id": "a", "parent_asin": "x", "rating": 4.0, "more": {"n": 1}}\n',
        "json-lines",
        {"a": ["x"], "b": ["y"]},
        [4, 3],
        None,
    ),
    "arrow": ("x.bin", ARROW, "arrow", {1: ["y", "x"]}, None, [5, 6]),
    "semicolons": ("any.csv", "item;user\n4;2\n3;2\n", "csv", {2: [4, 3]}, None, None),
    "tabs": ("any.tsv", "user\titem\trating\n7\tx\t1e1\n", "csv", {7: ["x"]}, [10], None),
    "bars": ("any.txt", "user|item|time\na|1|2000-11-02\na|2|2000-11-01\n", "csv", {"a": [2, 1]}, None, None),
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_formats_by_hand(tmp_path, example):
    name, content, format, expected, ratings, times = EXAMPLES[example]
    path = written(tmp_path, name, content)
    with opened(path) as file:
        assert guess_format(file, Options()) == format
    for given_format in (None, format):
        data = read_interactions(path, format=given_format)
        assert histories(data) == expected
        assert (None if data.ratings is None else data.ratings.tolist()) == ratings
        if times is not None:
            assert data.times.tolist() == times
    assert data.name == path.stem


def test_every_format_has_an_example():
    assert {format for _, _, format, *_ in EXAMPLES.values()} == FORMATS.keys() - {
        "parquet",
        "steam-purchases",
    }


def test_steam_purchases_are_a_format_of_their_own(tmp_path):
    path = written(tmp_path, "steam-200k.csv", EXAMPLES["steam"][1])
    data = read_interactions(path, format="steam-purchases")
    assert histories(data) == {5: ["B"], 6: ["A"]}
    assert data.ratings is None


def test_a_steam_file_that_begins_with_many_purchases_is_read_as_the_same(tmp_path):
    lines = [f"{user},G,purchase,1.0,0\n" for user in range(300)] + ["7,H,play,2.5,0\n", "x7,H,play,2.5,0\n"]
    data = read_interactions(written(tmp_path, "steam-200k.csv", "".join(lines)))
    assert histories(data) == {"7": ["H"], "x7": ["H"]}


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("tail", ["", "\n", "\n\n\n"])
@pytest.mark.parametrize("blank", ["", "\n", "  \n"])
def test_line_ends_byte_order_marks_and_blank_lines_change_nothing(tmp_path, ending, mark, tail, blank):
    text = f"user,item,rating,time\n1,5,3,2\n{blank}1,4,3,1\n2,4,1,1{tail}"
    data = read_interactions(written(tmp_path, "x.csv", (mark + text).replace("\n", ending)))
    assert histories(data) == {1: [4, 5], 2: [4]}


def test_the_files_order_breaks_ties_of_time(tmp_path):
    rows = "".join(f"{u},{i},5\n" for u, i in [(1, 9), (2, 1), (1, 3), (2, 7), (1, 5), (2, 0)])
    data = read_interactions(written(tmp_path, "x.csv", "user,item,time\n" + rows))
    assert histories(data) == {1: [9, 3, 5], 2: [1, 7, 0]}


@pytest.mark.parametrize(
    ("times", "order", "kept"),
    [
        (["0.75", "0.25", "0.5"], [2, 3, 1], [0, 0, 0]),
        (["3", "1.0", "2e0"], [2, 3, 1], [1, 2, 3]),
        (["9223372036854775807", "-9223372036854775808", "0"], [2, 3, 1], [-(2**63), 0, 2**63 - 1]),
        (["1970-01-03", "1970-01-01", "1970-01-02"], [2, 3, 1], [0, 86_400, 172_800]),
        (
            ["1970-01-01 00:00:01.5", "1970-01-01T00:00:01Z", "1970-01-01T00:00:01.25"],
            [2, 3, 1],
            [1, 1, 1],
        ),
    ],
)
def test_ways_to_write_times(tmp_path, times, order, kept):
    rows = "".join(f"u,{item},{time}\n" for item, time in enumerate(times, 1))
    data = read_interactions(written(tmp_path, "x.csv", "user,item,time\n" + rows))
    assert histories(data) == {"u": order}
    assert data.times.tolist() == kept


def test_ids_are_integers_only_where_all_are(tmp_path):
    data = read_interactions(written(tmp_path, "x.csv", "user,item\n7, 12\n-3,5 \n"))
    assert histories(data) == {-3: [5], 7: [12]}
    for odd in ("007", "+7", "-0"):  # as a number it would not come out as it went in
        data = read_interactions(written(tmp_path, "x.csv", f"user,item\n8,1\n{odd},12\n7,5\n"))
        assert histories(data) == {"8": [1], odd: [12], "7": [5]}
    late = "user,item\n" + "".join(f"{i},{i}\n" for i in range(500)) + "u,500\n"
    data = read_interactions(written(tmp_path, "x.csv", late))
    assert (data.user_ids.dtype, data.item_ids.dtype) == (pl.String, pl.Int64)
    assert data.user_ids.to_list() == sorted(map(str, [*range(500), "u"]))
    wide = read_interactions(written(tmp_path, "x.csv", f"user,item\n{2**64},1\n{-(2**62)},{2**62}\n"))
    assert histories(wide) == {str(-(2**62)): [2**62], str(2**64): [1]}


def test_numbers_follow_the_ids_whatever_the_rows_order(tmp_path):
    rows = [f"{user},{item}\n" for user in "cab" for item in (30, 10**15, 20)]
    a = read_interactions(written(tmp_path, "a.csv", "user,item\n" + "".join(rows)))
    b = read_interactions(written(tmp_path, "b.csv", "user,item\n" + "".join(reversed(rows))))
    assert a.user_ids.to_list() == b.user_ids.to_list() == ["a", "b", "c"]
    assert a.item_ids.to_list() == b.item_ids.to_list() == [20, 30, 10**15]


@pytest.mark.parametrize(
    ("repeats", "items", "ratings"),
    [("first", [8, 9], [2, 3]), ("last", [9, 8], [3, 1]), ("error", None, None)],
)
def test_repeated_pairs(tmp_path, repeats, items, ratings):
    path = written(tmp_path, "x.csv", "user,item,rating,time\n5,8,1,30\n5,8,2,10\n5,9,3,20\n")
    if repeats == "error":
        with pytest.raises(
            UsageError, match=r"x.csv, line 3, column 'item': user 5 has item 8 again \(first on line 2\)"
        ):
            read_interactions(path, repeats=repeats)
    else:
        data = read_interactions(path, repeats=repeats)
        assert (histories(data), data.ratings.tolist()) == ({5: items}, ratings)


def test_a_repeat_among_text_ids_and_blank_lines_is_named(tmp_path):
    path = written(tmp_path, "x.csv", 'user,item\n\n"a",x\nb,y\n\na,"x"\n')
    with pytest.raises(
        UsageError, match=r"line 6, column 'item': user 'a' has item 'x' again \(first on line 3\)"
    ):
        read_interactions(path)


def test_columns_choose_and_ignore(tmp_path):
    path = written(tmp_path, "ratings.csv", "userId,movieId,rating,timestamp,who\n1,2,bad,never,7\n1,3,,,8\n")
    assert histories(read_interactions(path, columns="user=who, item=movieId")) == {7: [2], 8: [3]}
    assert histories(read_interactions(path, columns={"user": "userId", "item": "movieId"})) == {1: [2, 3]}


def test_an_empty_last_field_that_nobody_reads_is_no_fault(tmp_path):
    path = written(tmp_path, "x.csv", "user,item,remark\n1,2,\n1,3,x\n")
    assert histories(read_interactions(path)) == {1: [2, 3]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user=u", "no column is given for 'item'; add item=NAME"),
        ("item=i", "no column is given for 'user'"),
        ("user=u,item=i,user=x", "'user' is given twice"),
        ("user=u,item", "found 'item', expected role=column"),
        ("user=u,item=", "found 'item=', expected role=column"),
        ("usr=u,item=i", "unknown key 'usr'; did you mean 'user'?"),
        ("", "found '', expected role=column"),
    ],
)
def test_parse_columns_faults(text, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        parse_columns(text)


def test_parse_columns():
    assert parse_columns("user=a, item = b=c,time=d,rating=e") == {
        "user": "a",
        "item": "b=c",
        "time": "d",
        "rating": "e",
    }


GOOD = "user,item,rating,time\n1,2,3,4\n1,3,3,5\n"

# What is wrong, the file's name, its content, and how the one line must begin after the path.
FAULTS = [
    ("empty", "x.csv", "", ": the file is empty"),
    ("blank", "x.csv", "\n \n", ": the file is empty"),
    ("only a mark", "x.csv", "\ufeff", ": the file is empty"),
    ("first line blank", "x.csv", "\n" + GOOD, ", line 1: the line is empty"),
    ("header only", "x.csv", "user,item\n", ": there is a header and no row"),
    (
        "header only, no line end",
        "ratings.csv",
        "userId,movieId,rating,timestamp",
        ": there is a header and no row",
    ),
    ("missing column", "x.csv", "user,thing\n1,2\n", ", line 1: there is no column 'item' for 'item'"),
    ("header twice", "x.csv", "user,item,item\n1,2,3\n", ", line 1: the header names column 'item' twice"),
    ("few", "x.csv", GOOD + "1,7\n", ", line 4, column 'rating': the row has 2 of 4 fields"),
    ("few, last", "x.csv", GOOD + "1,7,3\n", ", line 4, column 'time': the row has 3 of 4 fields"),
    ("few, unread", "x.csv", "user,item,z\n1,2,\n1,3\n", ", line 3, column 'z': the row has 2 of 3 fields"),
    ("few, dat", "x.dat", "1::2::3::4\n1::3::3\n", ", line 2, column 4 (time): the row has 3 of 4 fields"),
    ("few at first, dat", "x.dat", "1::2::3\n1::3::3::4\n", ", line 1, column 4 (time): the row has 3 of 4"),
    ("one colon", "x.dat", "1::2::3::4\n1::3:3::5\n", ", line 2, column 4 (time): the row has 3 of 4 fields"),
    ("three colons", "x.dat", "1::2::3::4\n1:::3::3::5\n", ", line 2, column 2 (item): found ':3'"),
    ("many", "x.csv", GOOD + "1,7,3,6,9\n", ", line 4, column 5: the row has 5 fields, expected 4"),
    ("many, dat", "x.dat", "1::2::3::4\n1::3::3::5::6\n", ", line 2, column 5: the row has 5 fields"),
    ("many, tabs", "x.inter", "user_id:token\titem_id:token\n1\t2\t3\n", ", line 2, column 3: the row has 3"),
    ("null user", "x.csv", GOOD + ",7,3,6\n", ", line 4, column 'user': found '', expected the id of a user"),
    (
        "null item",
        "x.csv",
        GOOD + "9,,3,6\n",
        ", line 4, column 'item': found '', expected the id of an item",
    ),
    ("all null", "x.csv", GOOD + ",,,\n", ", line 4, column 'user': found ''"),
    ("NaN user", "x.csv", GOOD + "NaN,7,3,6\n", ", line 4, column 'user': found 'NaN'"),
    ("blank id", "x.csv", GOOD + '"  ",7,3,6\n', ", line 4, column 'user': found '  '"),
    ("null text item", "x.csv", "user,item\na,b\nc,null\n", ", line 3, column 'item': found 'null'"),
    ("rating", "x.csv", GOOD + "1,7,good,6\n", ", line 4, column 'rating': found 'good', expected a number"),
    ("NaN rating", "x.csv", GOOD + "1,7,nan,6\n", ", line 4, column 'rating': found 'nan'"),
    ("infinite rating", "x.csv", GOOD + "1,7,1e99,6\n", ", line 4, column 'rating': found '1e99'"),
    ("no rating", "x.csv", GOOD + "1,7,,6\n", ", line 4, column 'rating': found ''"),
    (
        "time",
        "x.csv",
        GOOD + "1,7,3,late\n",
        ", line 4, column 'time': found 'late', expected a time written as",
    ),
    (
        "first time",
        "x.csv",
        "user,item,time\n1,2,late\n",
        ", line 2, column 'time': found 'late', expected a time",
    ),
    ("no time", "x.csv", GOOD + "1,7,3,\n", ", line 4, column 'time': found ''"),
    ("mixed time", "x.csv", GOOD + "1,7,3,2000-01-01\n", ", line 4, column 'time': found '2000-01-01'"),
    (
        "date",
        "t.csv",
        KAGGLE + "31/1/2001,1,A,B,1,2,1,2,3\n",
        ", line 2, column 'TRANSACTION_DT': found '31/1/2001'",
    ),
    ("behaviour", "s.csv", "1,A,play,2,0\n1,B,plya,2,0\n", ", line 2, column 3 (behaviour): found 'plya'"),
    ("no play", "s.csv", "1,A,purchase,2,0\n", ": no row has 'play' in column 3 (behaviour)"),
    ("hours", "s.csv", "1,A,play,2,0\n1,B,play,long,0\n", ", line 2, column 4 (hours): found 'long'"),
    (
        "steam cut",
        "s.csv",
        "1,A,play,2,0\n1,B,play,3\n",
        ", line 2, column 5 (zero): the row has 4 of 5 fields",
    ),
    (
        "repeat",
        "x.csv",
        GOOD + "1,2,3,9\n",
        ", line 4, column 'item': user 1 has item 2 again (first on line 2)",
    ),
    (
        "repeat, dat",
        "x.dat",
        "1::2::3::4\n1::2::3::5\n",
        ", line 2, column 2 (item): user 1 has item 2 again",
    ),
    (
        "Latin-1",
        "x.csv",
        "user,item\n1,a\n1,caf\xe9\n".encode("latin1"),
        ", line 3, byte 6: found 0xe9, expected UTF-8",
    ),
    (
        "Latin-1 header",
        "x.csv",
        "us\xe9r,item\n1,2\n".encode("latin1"),
        ", line 1, byte 3: found 0xe9, expected UTF-8",
    ),
    (
        "Latin-1 integers",
        "x.dat",
        b"1::2::3::4\n1::\xe9::3::5\n",
        ", line 2, byte 4: found 0xe9, expected UTF-8",
    ),
    ("UTF-16", "x.csv", GOOD.encode("utf-16"), ", line 1: this is UTF-16 text; convert it to UTF-8"),
    ("gzip, cut", "x.csv", gzip.compress(GOOD.encode())[:-9], ": the packed file is damaged"),
    ("Zstandard", "x.csv", b"\x28\xb5\x2f\xfd...", ", line 1: this is a Zstandard file; unpack it first"),
    (
        "open quote",
        "x.csv",
        'user,item\n1,"2\n1,3\n',
        ", line 2: a quotation mark or a line end is out of place",
    ),
    ("quote inside", "x.csv", 'user,item\n1,a"2\n1,3\n', ": line 2: an unpaired quotation mark"),
    (
        "text after quote",
        "x.csv",
        'user,item\n1,"2"x\n1,3\n',
        ", line 2: a quotation mark or a line end is out of place",
    ),
    (
        "id over lines",
        "x.csv",
        'user,item\n1,"2\n3"\n1,3\n',
        ", line 2, column 'item': the id runs over the end",
    ),
    ("not Parquet", "x.parquet", b"PAR1" + GOOD.encode(), ": is no Parquet file"),
    ("not Arrow", "x.feather", b"ARROW1" + GOOD.encode(), ": is no Arrow file"),
    ("not JSON", "x.jsonl", '{"user": 1, "item": 2}\n{"user": 1, "item": 3\n', ", line 2: is no JSON"),
    ("JSON without ids", "x.jsonl", '{"user": 1, "item": null}\n', ", line 1, column 'item': found None"),
    ("endless line", "x.csv", "a" * 200_000, ", line 1: a quotation mark or a line end is out of place"),
]


@pytest.mark.parametrize(("name", "content", "message"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_faults_are_one_line_that_names_file_line_and_column(tmp_path, name, content, message):
    path = written(tmp_path, name, content)
    with pytest.raises(UsageError) as caught:
        read_interactions(path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert "\n" not in str(caught.value)


def test_faults_of_place(tmp_path):
    with pytest.raises(UsageError, match="is a directory, expected a file"):
        read_interactions(tmp_path)
    written(tmp_path, "ratings.csv", GOOD)
    with pytest.raises(UsageError, match=r"rating.csv: no such file; did you mean 'ratings.csv'\?"):
        read_interactions(tmp_path / "rating.csv")
    with pytest.raises(UsageError, match=r"no such file$"):
        read_interactions(tmp_path / "nowhere" / "x.csv")
    with pytest.raises(UsageError, match="cannot be opened"):
        read_interactions(tmp_path / ("x" * 300))


def test_faults_of_options(tmp_path, monkeypatch):
    path = written(tmp_path, "x.csv", GOOD)
    with pytest.raises(UsageError, match=r"unknown format 'csb'; did you mean 'csv'\?"):
        read_interactions(path, format="csb")
    with pytest.raises(UsageError, match=r"no column 'itm' for 'item'; did you mean 'item'\?$"):
        read_interactions(path, columns="user=user,item=itm")
    with pytest.raises(UsageError, match=r"no column 'when' for 'time'"):
        read_interactions(path, columns="user=user,item=item,time=when")
    with pytest.raises(UsageError, match=r"unknown key 'tiem'; did you mean"):
        read_interactions(path, columns={"user": "user", "item": "item", "tiem": "time"})
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(UsageError, match="repeats: found 'add', expected one of: error, first"):
        read_interactions(path, repeats="add")


def test_a_format_that_does_not_fit_is_a_fault(tmp_path):
    path = written(tmp_path, "x.csv", GOOD)
    for name in FORMATS.keys() - {"csv", "movielens-csv"}:
        with pytest.raises(UsageError, match=re.escape(str(path))):
            read_interactions(path, format=name)


# Parquet.


def test_parquet_keeps_types(tmp_path):
    path = tmp_path / "x.parquet"
    frame = pl.DataFrame(
        {"user": ["b", "a", "a"], "item": [3, 2, 1], "rating": [1.5, 2.5, 3.5], "time": [1, 3, 2]}
    )
    frame.with_columns(pl.col("time").cast(pl.Datetime("ms"))).write_parquet(path)
    data = read_interactions(path)
    assert histories(data) == {"a": [1, 2], "b": [3]}
    assert data.ratings.tolist() == [3.5, 2.5, 1.5]
    assert data.times.tolist() == [0, 0, 0]


def test_parquet_categories_and_whole_floats_are_ids(tmp_path):
    path = tmp_path / "x.parquet"
    pl.DataFrame({"u": pl.Series(["b", "a"], dtype=pl.Categorical), "i": [1.0, 2.0]}).write_parquet(path)
    assert histories(read_interactions(path, columns="user=u,item=i")) == {"a": [2], "b": [1]}


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("user", [1, None], ", row 2, column 'user': found None, expected an id"),
        ("user", [1.0, float("nan")], ", row 2, column 'user': found nan, expected an id"),
        ("user", [1.0, 2.5], ", row 2, column 'user': found 2.5, expected an id"),
        ("item", ["a", " "], ", row 2, column 'item': found ' ', expected an id"),
        ("item", [True, False], ", column 'item': found Boolean, expected integers or text"),
        ("item", [2**63, 1], ", row 1, column 'item': found 9223372036854775808, expected an id"),
        ("rating", [1.0, float("inf")], ", row 2, column 'rating': found inf, expected a number"),
        ("rating", ["1", "x"], ", row 2, column 'rating': found 'x', expected a number"),
        ("time", [None, 1], ", row 1, column 'time': found None, expected a"),
        ("time", ["1", "x"], ", row 2, column 'time': found 'x', expected a time"),
        ("time", [True, False], ", column 'time': found Boolean, expected numbers, dates or text"),
        ("time", [1.0, float("nan")], ", row 2, column 'time': found nan, expected a time"),
        ("item", [5, 5], ", row 2, column 'item': user 1 has item 5 again (first on row 1)"),
        ("user", [], ": there is no row"),
    ],
)
def test_parquet_faults(tmp_path, column, values, message):
    path = tmp_path / "x.parquet"
    n = len(values)
    columns = {"user": [1] * n, "item": list(range(n)), "rating": [1.0] * n, "time": [1] * n, column: values}
    dtype = {"item": pl.UInt64} if 2**63 in values else None
    pl.DataFrame(columns, schema_overrides=dtype).write_parquet(path)
    with pytest.raises(UsageError) as caught:
        read_interactions(path)
    assert str(caught.value).startswith(f"{path}{message}")


# Round trips: any interactions, written in a format by hand, come back as they were.

INTEGERS = st.integers(-(2**63), 2**63 - 1)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"), min_size=1, max_size=8)
TEXT = NAMES.filter(lambda t: t.strip(" \t").lower() not in MISSING)


@st.composite
def tables(draw, users, items):
    """Draw rows of user, item, rating and time with no repeated pair, and whether ids are text."""
    pairs = draw(st.lists(st.tuples(users, items), min_size=1, max_size=30, unique=True))
    ratings = draw(st.lists(st.floats(-1e6, 1e6, width=32), min_size=len(pairs), max_size=len(pairs)))
    times = draw(st.lists(st.integers(-5, 5) | INTEGERS, min_size=len(pairs), max_size=len(pairs)))
    return [(u, i, r, t) for (u, i), r, t in zip(pairs, ratings, times, strict=True)]


def typed(ids, exact=False):
    """Return ids as a file's reader must: integers where all are written as such, text without blanks otherwise.

    Steam's games keep the blanks around their names (``exact``).
    """
    texts = [str(i) if exact else str(i).strip(" \t\r\n") for i in ids]
    numbers = [int(text) for text in texts if re.fullmatch("0|-?[1-9][0-9]*", text)]
    numbers = [number for number in numbers if -(2**63) <= number < 2**63]
    return numbers if len(numbers) == len(ids) else texts


def check(data, rows, exact=False):
    """Check that data hold the rows, ordered by user, then time, then the file."""
    users, items = typed([r[0] for r in rows]), typed([r[1] for r in rows], exact)
    expected = [
        (user, item, np.float32(rating), time)
        for user, item, (_, _, rating, time) in zip(users, items, rows, strict=True)
    ]
    expected.sort(key=lambda r: (r[0], r[3]))
    found = zip(
        data.user_ids[data.users].to_list(),
        data.item_ids[data.items].to_list(),
        data.ratings if data.ratings is not None else [r[2] for r in expected],
        data.times if data.times is not None else [r[3] for r in expected],
        strict=True,
    )
    assert list(found) == expected
    assert data.user_ids.to_list() == sorted(set(users))
    assert data.item_ids.to_list() == sorted(set(items))


def quoted(text):
    return '"' + str(text).replace('"', '""') + '"'


@FILES
@given(rows=tables(INTEGERS, INTEGERS))
def test_round_trip_dat(tmp_path, rows):
    check(
        read_interactions(
            written(tmp_path, "x.dat", "".join(f"{u}::{i}::{r!r}::{t}\n" for u, i, r, t in rows))
        ),
        rows,
    )


@FILES
@given(rows=tables(INTEGERS, TEXT | st.integers(0, 99).map(str)))
def test_round_trip_csv(tmp_path, rows):
    text = "userId,movieId,rating,timestamp\n" + "".join(
        f"{u},{quoted(i)},{r!r},{t}\n" for u, i, r, t in rows
    )
    pairs = set(zip(typed([r[0] for r in rows]), typed([r[1] for r in rows]), strict=True))
    data = read_interactions(written(tmp_path, "x.csv", text), repeats="first")
    if len(pairs) == len(rows):
        check(data, rows)
    else:
        assert len(data.items) == len(pairs)


@FILES
@given(rows=tables(TEXT.filter(lambda t: "\t" not in t and "#" not in t), INTEGERS))
def test_round_trip_recbole(tmp_path, rows):
    header = "rating:float\tuser_id:token\titem_id:token\ttimestamp:float\n"
    text = header + "".join(f"{r!r}\t{u}\t{i}\t{t}\n" for u, i, r, t in rows)
    pairs = set(zip(typed([r[0] for r in rows]), [r[1] for r in rows], strict=True))
    if len(pairs) == len(rows):
        check(read_interactions(written(tmp_path, "x.inter", text)), rows)


@FILES
@given(rows=tables(INTEGERS, INTEGERS), days=st.integers(0, 120))
def test_round_trip_ta_feng(tmp_path, rows, days):
    start = np.datetime64("2000-11-01")
    rows = [
        (u, i, r, int((start + (t % (days + 1))).astype("datetime64[s]").astype(int))) for u, i, r, t in rows
    ]
    text = KAGGLE
    for u, i, _, t in rows:
        day = np.datetime64(t, "s").astype(object)
        text += f"{day.month}/{day.day}/{day.year},{u},A,B,1,{i},1,2,3\n"
    check(read_interactions(written(tmp_path, "x.csv", text)), rows)


@FILES
@given(rows=tables(st.integers(0, 2**40), TEXT.map(lambda t: "g" + t)))
def test_round_trip_steam(tmp_path, rows):
    text = "".join(f"{u},{quoted(i)},{b},{h!r},0\n" for u, i, h, _ in rows for b in ("purchase", "play"))
    # Without times the file's order counts.
    check(
        read_interactions(written(tmp_path, "x.csv", text)),
        [(u, i, h, n) for n, (u, i, h, _) in enumerate(rows)],
        exact=True,
    )


@FILES
@given(rows=tables(TEXT.map(lambda t: ("u" + t).strip(" \t")), INTEGERS))
def test_round_trip_parquet(tmp_path, rows):
    columns = {name: [row[n] for row in rows] for n, name in enumerate(("user", "item", "rating", "time"))}
    pl.DataFrame(columns).write_parquet(tmp_path / "x.parquet")
    check(read_interactions(tmp_path / "x.parquet"), rows)


# Damage: whatever is done to a good file, it is read, or one line names the file (and the line in it).

GOOD_FILES = {
    "x.dat": "1::2::3::4\n1::3::3::5\n2::2::1::6\n30::4::5::7\n",
    "ratings.csv": "userId,movieId,rating,timestamp\n1,2,3,4\n1,3,3.5,5\n2,2,1,6\n30,4,5,7\n",
    "x.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\na\tb\t1\t2\nc\td\t1\t2\n",
    "ta_feng.csv": KAGGLE + "11/1/2000,1,A,B,1,2,1,2,3\n11/2/2000,1,A,B,1,3,1,2,3\n",
    "steam.csv": '5,B,purchase,1.0,0\n5,B,play,7.5,0\n5,"A, ""x""",play,2,0\n',
    "dates.csv": "user,item,time\na,b,2000-11-01 10:00:00\na,c,2000-11-01T10:00:00.5Z\n",
}
MARKS = [",", '"', "\n", "\r", "\t", "::", ":", ";", " ", "", "-", "é", "\x00", "\x1c", "\ufeff"]
PIECES = st.sampled_from([*MARKS, "nan", "1e999", "9" * 20]).map(str.encode) | st.binary(max_size=3)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), PIECES), max_size=4)


@settings(FILES, max_examples=examples(400))
@given(name=st.sampled_from(sorted(GOOD_FILES)), edits=EDITS)
def test_damaged_files_raise_nothing_but_a_usage_error(tmp_path, name, edits):
    content = GOOD_FILES[name].encode()
    for where, cut, piece in edits:
        at = round(where * len(content))
        content = content[:at] + piece + content[at + cut :]
    path = written(tmp_path, name, content)
    try:
        data = read_interactions(path)
    except UsageError as error:
        message = str(error)
        assert message.startswith(str(path))
        assert "\n" not in message
        # Only a file without rows has no line to name.
        assert re.search(r"\bline \d+", message) or re.search(r"the file is empty|no row", message), message
    else:
        assert 0 < len(data.items) <= content.count(b"\n") + 1


@settings(FILES, max_examples=examples(300))
@given(
    field=st.text("0123456789+-.eE _naifx\t", max_size=8),
    column=st.sampled_from(["rating", "time", "user", "item"]),
)
def test_a_field_is_read_or_its_line_and_column_are_named(tmp_path, field, column):
    row = {"user": "1", "item": "2", "rating": "3", "time": "4", column: field}
    path = written(tmp_path, "x.csv", "user,item,rating,time\n" + ",".join(row.values()) + "\n")
    try:
        read_interactions(path, format="csv", columns="user=user,item=item,rating=rating,time=time")
    except UsageError as error:
        message = f"{path}, line 2, column {column!r}: found {field!r}"
        assert str(error).startswith(message)  # noqa: PT017 - a field that is read raises nothing


@settings(FILES, max_examples=examples(50))
@given(content=st.binary(max_size=300), name=st.sampled_from(["x.csv", "x.dat", "x.inter", "x.parquet", "x"]))
def test_arbitrary_bytes_raise_nothing_but_a_usage_error(tmp_path, content, name):
    path = written(tmp_path, name, content)
    with pytest.raises(UsageError, match=re.escape(str(path))):
        read_interactions(path, columns="user=user_of_a_thing,item=item_of_a_thing")


# The real files.


@pytest.mark.parametrize(
    ("name", "users", "items", "interactions"),
    [
        ("ml-latest-small", 610, 9724, 100_836),
        ("ml-1m", 6040, 3706, 1_000_209),
        ("ml-1m-timed", 4008, 3413, 669_756),
        ("ta-feng", 13_858, 11_997, 504_437),
        ("steam", 9418, 3600, 69_891),
    ],
)
def test_real_files(real_data, name, users, items, interactions):
    data = real_data(name)
    assert (data.n_users, data.n_items, len(data.items)) == (users, items, interactions)
    if data.times is not None:
        within = np.ones(len(data.items), dtype=bool)
        within[data.offsets[:-1]] = False
        assert (np.diff(data.times)[within[1:]] >= 0).all()
