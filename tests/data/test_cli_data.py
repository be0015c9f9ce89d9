"""``recaudit data``: what the three commands print."""

import pytest

from recaudit.cli.data import data_app
from recaudit.data import sources
from recaudit.data.sources import SOURCES
from recaudit.errors import UsageError

BLOCK = [(user, item) for user in range(5) for item in range(5)]


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("RECAUDIT_DATA", str(tmp_path))
    monkeypatch.setattr(sources.platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def said(capsys):
    """Run a command and return what it printed, blanks made single."""

    def run(*arguments):
        data_app(arguments, result_action="return_value")
        return " ".join(capsys.readouterr().out.split())

    return run


def put(tmp_path, name, file, text):
    path = tmp_path / name / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def test_list_names_all_and_where_they_are(tmp_path, said, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")  # no path is broken, however long it is
    path = put(tmp_path, "steam", "steam-200k.csv", "1,A,play,1,0\n")
    text = said("list")
    for name in (*SOURCES, "synthetic"):
        assert name in text
    assert str(path) in text
    assert "no; recaudit data fetch ml-1m gets it" in text
    assert "no; recaudit data fetch ta-feng says how to get it" in text


def test_list_reads_on_a_narrow_terminal(said, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert "ml-latest-small" in said("list")


def test_describe_a_named_source(tmp_path, said):
    rows = [*BLOCK, (5, 0), (5, 9)]
    put(tmp_path, "steam", "steam-200k.csv", "".join(f"{u},g{i},play,{i}.5,0\n" for u, i in rows))
    text = said("describe", "steam")
    assert "users │ 6 │" in text
    assert "items │ 6 │" in text
    assert "interactions │ 27 │" in text
    assert "density │ 75.0000% │" in text
    assert "history length, shortest │ 2 │" in text
    assert "history length, median │ 5 │" in text
    # One item is the top 1 % of six, and the top 10 % too; g0 has 6 of the 27 interactions.
    assert "interactions with the top 1 % of items │ 22.2% │" in text
    assert "ratings │ 0.5 to 9.5 │" in text
    assert "times │ none │" in text
    assert "│ all │ 6 │ 6 │ 27 │ 0.2500 │" in text
    assert "│ 5-core, one pass (default) │ 5 │ 5 │ 25 │ 0.0000 │" in text
    assert "│ 5-core, iterative │ 5 │ 5 │ 25 │ 0.0000 │" in text
    assert "│ Zhu et al. (2023), Table 6 │ 25,387 │ 4,081 │ 313,856 │ 0.9970 │" in text
    assert "more than the file that the paper cites holds (about 12,400)" in text
    assert "Licence: " in text
    assert "Cite: Tamber" in text


def test_describe_says_which_users_have_no_times(tmp_path, said):
    times = {0: 0, 1: 978_300_000}
    rows = "".join(f"{u}::{i}::3::{times.get(u, 978_300_000 + i)}\n" for u, i in BLOCK)
    put(tmp_path, "ml-1m", "ratings.dat", rows)
    text = said("describe", "ml-1m")
    assert "users whose times are all 0 │ 1 │" in text
    assert "all (default)" in text
    put(tmp_path, "x", "x.csv", "user,item,time\n1,2,0\n1,3,1\n")
    assert "users whose times" not in said("describe", str(tmp_path / "x" / "x.csv"))


def test_describe_a_file_of_ones_own(tmp_path, said):
    path = put(tmp_path, "x", "x.csv", "who,what\n1,2\n2,2\n")
    text = said("describe", str(path), "--columns", "user=who,item=what")
    assert "users │ 2 │" in text
    assert "5-core, one pass │ 0 │ 0 │ 0 │" in text
    assert "Table 6" not in text
    with pytest.raises(UsageError, match=r"did you mean 'user'\?"):
        said("describe", str(path), "--columns", "usr=who,item=what")
    with pytest.raises(UsageError, match=r"did you mean 'csv'\?"):
        said("describe", str(path), "--format", "csw")


def test_describe_the_built_in_data(said):
    text = said("describe", "synthetic")
    assert "users │ 2,000 │" in text
    assert "items │ 1,500 │" in text


def test_unknown_and_absent_names_are_usage_errors(said):
    with pytest.raises(UsageError, match=r"neither a data set nor a file; did you mean 'ml-1m'\?"):
        said("describe", "ml1m")
    with pytest.raises(UsageError, match="the data set ml-1m is not here"):
        said("describe", "ml-1m")
    with pytest.raises(UsageError, match=r"unknown data set 'steem'; did you mean 'steam'\?"):
        said("fetch", "steem")


def test_fetch_says_where_the_file_is_or_what_to_do(tmp_path, said):
    with pytest.raises(UsageError, match="Kaggle asks for a login"):
        said("fetch", "ta-feng")
    with pytest.raises(UsageError, match="generated, not downloaded"):
        said("fetch", "synthetic")
    path = put(tmp_path, "ta-feng", "baskets.csv", "customer_id,product_id,basket\n1,2,0\n")
    assert said("fetch", "ta-feng") == f"ta-feng is at {path}"


def test_describe_on_the_real_data(real_data, said, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("COLUMNS", "200")
    real_data("ta-feng")
    text = said("describe", "ta-feng")
    assert "│ 5-core, one pass (default) │ 13,584 │ 11,941 │ 503,303 │ 0.9969 │" in text


def test_describe_says_what_was_made_of_the_file(tmp_path, said):
    rows = "".join(f"{1000 + u};{u};{i};x\n" for u, i in BLOCK)
    path = put(tmp_path, "x", "[red]x.csv", "at;visitorid;itemid;event\n" + rows)
    text = said("describe", str(path), "--columns", "user=visitorid,item=itemid")
    assert "[red]x.csv" in text
    assert "Read as csv: user=visitorid, item=itemid" in text
    assert "Not read: at, event" in text
    assert "Guessed: The separator is a semicolon." in text
    assert "Guessed: There are no times: the rows are taken to be in the order of time." in text


def test_describe_of_repeated_pairs_goes_on_and_says_so(tmp_path, said):
    path = str(put(tmp_path, "x", "x.csv", "user,item,rating\n1,2,3\n1,2,4\n1,3,1\n"))
    text = said("describe", path)
    assert "interactions │ 2 │" in text
    assert "Merged: 1 of 3 rows repeat a pair of user and item: the first of a history counts." in text
    assert f"Note: An audit refuses this: {path}, line 3, column 'item': user 1 has item 2 again" in text
    for repeats, ratings in (("first", "1 to 3"), ("last", "1 to 4"), ("sum", "1 to 7"), ("count", "1 to 2")):
        text = said("describe", path, "--repeats", repeats)
        assert f"ratings │ {ratings} │" in text
        assert "refuses" not in text


def test_describe_has_options_of_how_a_file_is_read(tmp_path, said):
    path = str(put(tmp_path, "x", "x.csv", ""))
    (tmp_path / "x" / "x.csv").write_bytes("Zoë x 7\nZoë y 8\n".encode("latin-1"))
    options = [
        "--encoding",
        "latin-1",
        "--separator",
        "space",
        "--no-header",
        "--columns",
        "user=1,item=2,time=3",
    ]
    text = said("describe", path, *options)
    assert "users │ 1 │" in text
    assert "interactions │ 2 │" in text
    assert "times │ yes │" in text
    with pytest.raises(
        UsageError, match="repeats: input should be 'error', 'first', 'last', 'sum' or 'count'"
    ):
        said("describe", path, "--repeats", "often")
