"""Named data sets, specs, and fetching from a publisher (a server on this machine stands in for it)."""

import hashlib
import io
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import ValidationError

from recaudit.data import sources
from recaudit.data.fetching import download, fetch
from recaudit.data.sources import SOURCES, Archive, DataSpec, find_source, load
from recaudit.data.summary import summarise
from recaudit.errors import UsageError

RATINGS = "userId,movieId,rating,timestamp\n" + "".join(
    f"{user},{item},{1 + (user + item) % 5},{item}\n" for user in range(1, 7) for item in range(1, 7)
)


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Set RECAUDIT_DATA and the cache to empty folders, and let no proxy come before our own server."""
    monkeypatch.setenv("RECAUDIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sources.platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "data").mkdir()


def put(tmp_path, name, file, text, root="data"):
    path = tmp_path / root / name / file
    path.parent.mkdir(parents=True)
    path.write_text(text, "utf-8")
    return path


def test_recaudit_data_comes_before_the_cache(tmp_path):
    cached = put(tmp_path / "cache", "ml-latest-small", "ratings.csv", RATINGS, root="recaudit")
    assert find_source("ml-latest-small")[1] == cached
    named = put(tmp_path, "ml-latest-small", "ratings.csv", RATINGS)
    assert find_source("ml-latest-small")[1] == named
    data = load("ml-latest-small")
    assert (data.name, data.n_users, data.n_items, len(data.items)) == ("ml-latest-small", 6, 6, 36)


def test_without_recaudit_data_the_cache_serves(tmp_path, monkeypatch):
    monkeypatch.delenv("RECAUDIT_DATA")
    put(tmp_path / "cache", "ml-latest-small", "ratings.csv", RATINGS, root="recaudit")
    assert load("ml-latest-small").n_users == 6


def test_the_kaggle_file_comes_before_the_reduced_one(tmp_path):
    put(tmp_path, "ta-feng", "baskets.csv", "customer_id,product_id,basket\n1,2,0\n")
    kaggle = tmp_path / "data" / "ta-feng" / "ta_feng_all_months_merged.csv"
    assert find_source("ta-feng")[1].name == "baskets.csv"
    kaggle.write_text("TRANSACTION_DT,CUSTOMER_ID,PRODUCT_ID\n11/1/2000,1,2\n", "utf-8")
    assert find_source("ta-feng")[1] == kaggle


@pytest.mark.parametrize("name", SOURCES)
def test_an_absent_source_says_where_it_was_looked_for_and_what_to_do(tmp_path, name):
    with pytest.raises(UsageError) as caught:
        load(name)
    message = str(caught.value)
    file = SOURCES[name].files[0]
    for folder in (tmp_path / "data", tmp_path / "cache" / "recaudit"):
        assert str(folder / name / file) in message
    if SOURCES[name].archive:
        assert f"recaudit data fetch {name}" in message
    else:
        assert str(tmp_path / "data" / name) in SOURCES[name].instructions.format(
            folder=tmp_path / "data" / name
        )
    assert "\n" not in message


def test_unknown_names_suggest(tmp_path):
    with pytest.raises(UsageError, match=r"'ml1m' is neither a data set nor a file; did you mean 'ml-1m'\?"):
        load("ml1m")
    with pytest.raises(
        UsageError, match=r"'syntetic' is neither a data set nor a file; did you mean 'synthetic'"
    ):
        load("syntetic")
    with pytest.raises(UsageError, match=r"ratings.csv: no such file"):
        load(str(tmp_path / "ratings.csv"))


def test_a_recaudit_data_that_is_no_folder_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("RECAUDIT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match=r"RECAUDIT_DATA: .*nowhere is no directory"):
        load("ml-1m")


# Specs.


def test_the_sources_core_is_the_default(tmp_path):
    rows = [(user, item) for user in range(6) for item in range(5)] + [(7, 0), (0, 9)]
    put(tmp_path, "steam", "steam-200k.csv", "".join(f"{u},game {i},play,{i}.5,0\n" for u, i in rows))
    assert (load("steam").n_users, load("steam").n_items) == (6, 5)
    raw = load(DataSpec(source="steam", user_core=0, item_core=0))
    assert (raw.n_users, raw.n_items) == (7, 6)
    assert load(DataSpec(source="steam", user_core=0)).n_users == 7
    assert load(DataSpec(source="steam", minimum_rating=3.0, user_core=0, item_core=0)).n_items == 3


def test_a_path_has_no_core_by_default(tmp_path):
    path = put(tmp_path, "x", "x.csv", "who;what\n1;2\n2;2\n2;3\n")
    spec = DataSpec(source=str(path), columns="user=who,item=what")
    assert spec.columns == {"user": "who", "item": "what"}
    assert load(spec).n_users == 2
    assert load(spec.model_copy(update={"item_core": 2})).item_ids.to_list() == [2]


def test_iterative_is_an_option(tmp_path):
    # User 2 has too few, and without user 2 so has item 3.
    path = str(put(tmp_path, "x", "x.csv", "user,item\n0,1\n0,2\n0,3\n1,1\n1,2\n2,3\n"))
    assert load(DataSpec(source=path, user_core=2, item_core=2)).n_items == 3
    assert load(DataSpec(source=path, user_core=2, item_core=2, iterative=True)).n_items == 2


@pytest.mark.parametrize("field", ["user_core", "item_core"])
def test_a_negative_core_is_said_before_any_reading(field):
    with pytest.raises(UsageError, match=f"{field}: found -1, expected a whole number"):
        load(DataSpec(source="ml-1m", **{field: -1}))


def test_specs_are_strict_and_frozen():
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        DataSpec(source="ml-1m", core=5)
    with pytest.raises(ValidationError, match="frozen"):
        DataSpec().source = "ml-1m"
    assert (
        DataSpec.model_validate(DataSpec(columns={"user": "a", "item": "b"}).model_dump()).source
        == "synthetic"
    )


def test_the_built_in_data_come_from_their_seed():
    assert load(DataSpec(seed=3)).fingerprint == load(DataSpec(seed=3)).fingerprint
    assert load(DataSpec(seed=3)).fingerprint != load("synthetic").fingerprint
    with pytest.raises(UsageError, match="columns: the synthetic data are read from no file"):
        load(DataSpec(columns={"user": "a", "item": "b"}))


def test_every_source_is_described_in_full():
    for name, source in SOURCES.items():
        assert source.name == name
        assert source.files
        assert source.licence
        assert source.citation
        assert bool(source.archive) != ("{folder}" in source.instructions)
        if source.archive:
            assert len(bytes.fromhex(source.archive.sha256)) == 32
            assert source.archive.url.startswith("https://files.grouplens.org/")
        if source.published:
            density = source.published.interactions / (source.published.users * source.published.items)
            assert round(1 - density, 4) == source.published.sparsity


@pytest.mark.parametrize("name", SOURCES)
def test_the_published_figures_that_fit_the_real_data(real_data, name, monkeypatch, request):
    monkeypatch.undo()
    data = real_data(name)
    summary = summarise(data)
    if name == "ml-1m":
        stated = SOURCES[name].published
        assert (stated.users, stated.items, stated.interactions) == (
            summary.users,
            summary.items,
            summary.interactions,
        )
    assert summary.untimed == (2032 if name == "ml-1m" else 0)
    assert 0 < summary.top_percent < summary.top_tenth < 1


# Fetching.


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in members.items():
            file.writestr(name.replace("__", "/"), text)
    return buffer.getvalue()


class Publisher(BaseHTTPRequestHandler):
    """Serves one answer, as the test has it; it can stop halfway, cut the line, or hold it."""

    body = b""
    status = 200
    sent: int | None = None
    hold: threading.Event | None = None

    def do_GET(self):
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body[: self.sent])
        self.wfile.flush()
        if self.hold:
            self.hold.wait(60)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def publisher():
    """Serve on a free port; the handler class is the test's to set up."""

    class Handler(Publisher):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Handler.url = f"http://127.0.0.1:{server.server_port}/ml-latest-small.zip"
    yield Handler
    if Handler.hold:
        Handler.hold.set()
    server.shutdown()
    thread.join()
    server.server_close()


def archive(publisher, body, **changes):
    publisher.body = body
    parts = {
        "url": publisher.url,
        "sha256": hashlib.sha256(body).hexdigest(),
        "member": "ml-latest-small/ratings.csv",
        "largest": 10_000,
    }
    return Archive(**{**parts, **changes})


def fetched(archive):
    return download(SOURCES["ml-latest-small"], archive, progress=False)


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


GOOD = zipped(**{"ml-latest-small__ratings.csv": RATINGS, "ml-latest-small__README.txt": "x"})


def test_fetch_unpacks_the_one_member_into_the_cache(tmp_path, publisher, capsys):
    path = fetched(archive(publisher, GOOD))
    assert path == tmp_path / "cache" / "recaudit" / "ml-latest-small" / "ratings.csv"
    assert files(tmp_path) == ["cache/recaudit/ml-latest-small/ratings.csv"]
    assert path.read_text("utf-8") == RATINGS
    assert load("ml-latest-small").n_users == 6
    assert fetch("ml-latest-small") == path
    assert capsys.readouterr().out == ""


def test_progress_goes_to_standard_error(publisher, capsys):
    download(SOURCES["ml-latest-small"], archive(publisher, GOOD), progress=True)
    said = capsys.readouterr()
    assert "100%" in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    ("body", "changes", "message"),
    [
        (
            GOOD,
            {"sha256": "0" * 64},
            "does not match the known hash.*put ml-latest-small/ratings.csv at .*cache",
        ),
        (GOOD[:-30], {}, "the archive is damaged"),
        (
            GOOD[: len(GOOD) // 2],
            {"sha256": hashlib.sha256(GOOD).hexdigest()},
            "does not match the known hash",
        ),
        (GOOD, {"largest": len(RATINGS) - 1}, "has more than .* bytes, so it is not what was published"),
        (zipped(a="b"), {}, "there is no ml-latest-small/ratings.csv in the archive"),
        (b"", {}, "the archive is damaged"),
    ],
    ids=["checksum", "truncated", "half", "too large", "no member", "empty"],
)
def test_what_was_not_published_leaves_nothing(tmp_path, publisher, body, changes, message):
    with pytest.raises(UsageError, match=message) as caught:
        fetched(archive(publisher, body, **changes))
    assert "\n" not in str(caught.value)
    assert files(tmp_path) == []


def test_a_damaged_member_leaves_nothing(tmp_path, publisher):
    body = bytearray(zipped(**{"ml-latest-small__ratings.csv": RATINGS}))
    body[80] ^= 0xFF
    with pytest.raises(UsageError, match="the archive is damaged"):
        fetched(archive(publisher, bytes(body)))
    assert files(tmp_path) == []


def test_names_that_lead_outside_are_not_followed(tmp_path, publisher):
    evil = {"..__..__evil.txt": "x", "__absolute.txt": "x", "ml-latest-small__ratings.csv": RATINGS}
    fetched(archive(publisher, zipped(**evil)))
    assert files(tmp_path) == ["cache/recaudit/ml-latest-small/ratings.csv"]


def test_a_fetch_that_fails_leaves_the_file_that_was_there(tmp_path, publisher):
    path = put(tmp_path / "cache", "ml-latest-small", "ratings.csv", "mine", root="recaudit")
    with pytest.raises(UsageError):
        fetched(archive(publisher, GOOD[:-30]))
    assert path.read_text("utf-8") == "mine"
    assert len(files(tmp_path)) == 1


def test_a_server_that_refuses_or_stops_halfway_is_said(tmp_path, publisher):
    given = archive(publisher, GOOD)
    publisher.status = 404
    with pytest.raises(UsageError, match=r"the download failed \(404 Client Error"):
        fetched(given)
    publisher.status, publisher.sent = 200, 50
    with pytest.raises(UsageError, match="the download failed"):
        fetched(given)
    assert files(tmp_path) == []


def test_nobody_listening_is_said(tmp_path, publisher):
    with pytest.raises(UsageError, match="the download failed"):
        fetched(archive(publisher, GOOD, url="http://127.0.0.1:9/ml.zip"))


KILLED = """
import sys, pathlib
from recaudit.data import fetching, sources
fetching.platformdirs.user_cache_path = lambda name: pathlib.Path(sys.argv[1]) / name
member = "ml-latest-small/ratings.csv"
archive = sources.Archive(url=sys.argv[2], sha256=sys.argv[3], member=member, largest=10_000)
print("begin", flush=True)
fetching.download(sources.SOURCES["ml-latest-small"], archive, progress=False)
"""


@pytest.mark.process
def test_a_fetch_that_is_killed_halfway_leaves_nothing_and_can_be_repeated(tmp_path, publisher, monkeypatch):
    given = archive(publisher, GOOD)
    publisher.sent, publisher.hold = 100, threading.Event()
    arguments = [sys.executable, "-c", KILLED, str(tmp_path / "cache"), given.url, given.sha256]
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"begin\n"
        while not files(tmp_path / "scratch"):
            assert process.poll() is None
        process.kill()
    assert not (tmp_path / "cache").exists()
    publisher.sent, publisher.hold = None, None
    assert fetched(given).read_text("utf-8") == RATINGS


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "ta-feng",
            "download chiranjivdas09/ta-feng-grocery-dataset .* put ta_feng_all_months.* into .*data/ta-feng",
        ),
        ("steam", "download tamber/steam-video-games .* put steam-200k.csv into .*data/steam"),
        ("ml-1m-timed", "run recaudit data fetch ml-1m and use ml-1m; .*data/ml-1m-timed/ratings.dat"),
    ],
)
def test_where_a_login_is_needed_fetch_says_what_to_put_where(name, says):
    with pytest.raises(UsageError, match=says) as caught:
        fetch(name)
    assert "\n" not in str(caught.value)


def test_what_is_here_is_not_fetched_again(tmp_path):
    path = put(tmp_path, "steam", "steam-200k.csv", "1,A,play,1,0\n")
    assert fetch("steam") == path
