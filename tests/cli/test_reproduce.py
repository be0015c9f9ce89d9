"""The command line runs an experiment, lists what there is, and writes the page."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import duckdb
import polars as pl
import pytest

from recaudit.audit import tasks
from recaudit.cli.reproduce import ReproduceOptions
from recaudit.errors import UsageError
from recaudit.experiments.grid import Grid
from recaudit.experiments.papers import STATISTICS, grid_names
from recaudit.experiments.table import COLUMNS, VERSIONS
from recaudit.pipeline import versions
from recaudit.validation import validated

TABLE = "zhu2023/table4"
COMMAND = """
import sys
from pathlib import Path
from recaudit.experiments import papers
from recaudit.cli import main
from recaudit.experiments.grid import Grid
grid = Grid.model_validate_json(Path(sys.argv[1]).read_bytes())
papers.load_grid = {grid.name: grid}.get
main(sys.argv[2:])
"""


def figures(folder: Path) -> pl.DataFrame:
    """Return an experiment's figures without the seconds, which no two runs have in common."""
    return pl.read_parquet(folder / "results.parquet").filter(pl.col("metric") != "seconds")


def stored(store: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(store.glob("*/*/node.json"))}


def one_line(err: str) -> str:
    assert err.startswith("recaudit: ")
    assert err.count("\n") == 1, err
    return err.removeprefix("recaudit: ").rstrip("\n")


def test_a_second_run_computes_nothing_and_shows_the_same(recaudit, paper, grid) -> None:
    code, first, err = recaudit("reproduce", TABLE)
    assert code == 0
    told = [line for line in err.splitlines() if line.startswith(f"{TABLE}: ")]
    number = len(told)
    assert told[0].startswith(f"{TABLE}: 1/{number} nodes, about ")
    assert told[-1].startswith(f"{TABLE}: {number}/{number} nodes, about 0:00:00 left: ")
    kept = stored(paper / "recaudit-store")
    code, second, err = recaudit("reproduce", TABLE)
    assert (code, second, err) == (0, first, "")
    assert stored(paper / "recaudit-store") == kept
    for name in ("bpr", "lmf", *grid.attacks, "popular list", "retrained"):
        assert name in first


def test_the_results_are_one_tidy_table(recaudit, paper, grid, finished) -> None:
    assert recaudit("reproduce", TABLE, "--store", finished, "--out", "here")[0] == 0
    frame = pl.read_parquet("here/results.parquet")
    assert dict(frame.schema) == {**COLUMNS, "epochs": pl.Int64, "published": pl.Float64}
    of_one = frame.filter(metric="agreement@5", users="unqueried", attack="PTD")
    assert sorted(of_one.select("victim", "epochs").rows()) == [
        ("bpr", 4),
        ("bpr", 20),
        ("lmf", 4),
        ("lmf", 20),
    ]
    assert len(set(frame.filter(metric="ndcg@5", users="target")["value"])) > 1, "cells differ"
    assert set(frame["attack"]) == {*grid.attacks, "popularity", "retrained", "victim"}
    assert frame.select(VERSIONS).unique().row(0, named=True) == versions()
    csv = pl.read_csv("here/results.csv", schema=frame.schema)
    assert csv.equals(frame)


def test_the_results_in_duckdb(recaudit, paper, finished) -> None:
    assert recaudit("reproduce", TABLE, "--store", finished, "--out", paper)[0] == 0
    rows = duckdb.sql("SELECT value FROM 'results.parquet' WHERE attack = 'PTD' AND users = 'unqueried'")
    assert len(rows.fetchall()) > 0


@pytest.mark.process
def test_two_workers_find_the_same_and_take_what_is_stored(recaudit, paper, finished) -> None:
    assert recaudit("reproduce", TABLE, "--only", "victim=bpr,epochs=4", "--out", "part")[0] == 0
    kept = stored(paper / "recaudit-store")
    assert recaudit("reproduce", TABLE, "--workers", "2", "--out", "both")[0] == 0
    assert stored(paper / "recaudit-store").items() >= kept.items()
    assert recaudit("reproduce", TABLE, "--store", finished, "--out", "one")[0] == 0
    assert figures(paper / "both").equals(figures(paper / "one"))
    part = figures(paper / "one").filter(victim="bpr", epochs=4)
    assert figures(paper / "part").equals(part)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "reproduce: name an experiment, such as zhu2023/table4; recaudit reproduce list names them all"),
        (["zhu2023/tabel4"], "unknown experiment 'zhu2023/tabel4'; did you mean 'zhu2023/table4'?"),
        (["zhu2023/tabel6"], "unknown experiment 'zhu2023/tabel6'; did you mean 'zhu2023/table6'?"),
        ([TABLE, "more"], "too many arguments: 'more'; --help lists what there is"),
        (
            [TABLE, "--only", "k=5"],
            f"--only: {TABLE} has no axis 'k'; it has victim, epochs, attack",
        ),
        ([TABLE, "--only", "victim=ncf"], f"--only: {TABLE} has no victim ncf; it has bpr, lmf"),
        ([TABLE, "--only", "attack=PTA"], f"--only: {TABLE} has no attack PTA; it has QSD, PTD"),
        (
            [TABLE, "--only", ""],
            "--only '': found '', expected axis=value, such as data=ml-1m+steam,victim=bpr",
        ),
        ([TABLE, "--store="], "expected the name of a folder, found nothing; the current folder is ."),
        ([TABLE, "--out", ""], "expected the name of a folder, found nothing; the current folder is ."),
        (["page", "--out="], "expected the name of a folder, found nothing; the current folder is ."),
        (["list", "--store="], "expected the name of a folder, found nothing; the current folder is ."),
        ([TABLE, "--only", "victim"], "found 'victim', expected axis=value"),
        ([TABLE, "--only", "victim="], "found 'victim=', expected axis=value"),
        ([TABLE, "--only", "=bpr"], "found '=bpr', expected axis=value"),
        ([TABLE, "--only", "victim=bpr,"], "found '', expected axis=value"),
        ([TABLE, "--seeds", "0"], "--seeds: there must be at least one seed, not 0"),
        ([TABLE, "--seeds", "-1"], "--seeds: there must be at least one seed, not -1"),
        ([TABLE, "--seeds", "1.5"], "--seeds: expected a whole number, found '1.5'"),
        ([TABLE, "--workers", "0"], "--workers: there must be at least one, not 0"),
        ([TABLE, "--workers", "2.5"], "--workers: expected a whole number, found '2.5'"),
        ([TABLE, "--workers", "1", "--cluster", "auto"], "--workers: a cluster has its own workers; leave"),
        ([TABLE, "--device", "cuda:99"], "device: 'cuda:99' is not there; this machine has cpu"),
        ([TABLE, "--store", "file"], "/file cannot hold results: "),
        ([TABLE, "--out", "file"], "out: file is a file; name a folder"),
        ([TABLE, "--out", "file/below"], "out: file/below cannot hold the results: Not a directory"),
        (
            [STATISTICS, "--only", "data=steam"],
            "--only: Table 6 counts what the data sets hold; leave it out",
        ),
        ([STATISTICS, "--seeds", "2"], "--seeds: Table 6 counts what the data sets hold; leave it out"),
        (["page", "--paper", "nope"], "--paper: unknown paper 'nope'; expected one of: zhu2023"),
        (["page", "--out", "file"], "out: file/reproduction cannot hold the results"),
    ],
)
def test_a_wrong_option_in_one_line_before_any_work(recaudit, paper, arguments, says) -> None:
    Path("file").write_text("", "utf-8")
    code, out, err = recaudit("reproduce", *arguments)
    assert (code, out) == (2, "")
    assert says in one_line(err)
    assert not stored(paper / "recaudit-store")


def test_without_the_data_one_line_says_how_to_get_them(recaudit, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("RECAUDIT_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for workers in ("1", "2"):
        code, out, err = recaudit("reproduce", "zhu2023/figure8", "--workers", workers)
        assert (code, out) == (2, "")
        assert re.search("the data set ml-1m is not here .*; run: recaudit data fetch ml-1m", one_line(err))


def test_the_list_names_all_and_loads_no_data_and_no_torch(tmp_path) -> None:
    script = (
        "import sys; from recaudit.cli import main\n"
        "try: main(['reproduce', 'list'])\n"
        "finally: print('loaded:', *({'torch', 'matplotlib'} & set(sys.modules)))"
    )
    env = {**os.environ, "RECAUDIT_DATA": str(tmp_path), "COLUMNS": "80"}
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, env=env, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    rows = [line for line in ran.stdout.splitlines() if "zhu2023/" in line or "hu2023/" in line]
    names = [row.split()[1] for row in rows]
    membership = [name for name in grid_names() if name.startswith("hu2023/")]
    assert names == [*membership, STATISTICS, *(name for name in grid_names() if name not in membership)]
    assert len(membership) == 10
    assert all(re.search(r" (s|min|h|seconds) +│$", row) for row in rows), "each says what it took"
    assert ran.stdout.splitlines()[-1] == "loaded:"
    assert not list(tmp_path.iterdir())


def test_what_is_left_without_data_is_told_once(recaudit, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("RECAUDIT_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    code, out, err = recaudit("reproduce", "list", "--left")
    assert code == 0
    assert out.count("no data") == len(grid_names())
    lines = err.splitlines()
    assert len(lines) == 3, "what several lack is said once"
    found = sorted(re.search(r"the data set ([\w-]+) is not here", line)[1] for line in lines)
    assert found == ["ml-1m", "ml-1m-timed", "ml-latest-small"]
    assert "run: recaudit data fetch ml-1m" in err
    assert not list(tmp_path.iterdir())


def test_the_list_tells_guesses_from_what_was_measured(recaudit, paper, finished) -> None:
    def row() -> list[str]:
        code, out, _ = recaudit("reproduce", "list", "--left")
        assert code == 0
        line = next(line for line in out.splitlines() if TABLE in line)
        return [cell.strip() for cell in line.strip("│").split("│")]

    name, title, cells, seeds, cost, left = row()
    assert (name, title, cells, seeds, cost) == (TABLE, "A small experiment", "4", "1", "")
    assert left.endswith(" (guess)")
    assert recaudit("reproduce", TABLE, "--only", "epochs=4")[0] == 0
    assert re.fullmatch(r"\d+ s", row()[-1])
    shutil.copytree(finished, "recaudit-store", dirs_exist_ok=True)
    assert row()[-1] == "done"


def test_the_page_shows_what_was_measured_and_needs_no_store_again(recaudit, paper, finished) -> None:
    assert recaudit("reproduce", "page") == (0, "Page: docs/reproduction.md\n", "")
    empty = Path("docs/reproduction.md").read_text("utf-8")
    assert empty.count("not measured") > 10
    assert "Nothing is measured." in empty
    assert not (paper / "recaudit-store").exists(), "it computes nothing"
    assert len(figures(paper / "docs" / "reproduction")) == 0
    shutil.copytree(finished, "finished")
    assert recaudit("reproduce", TABLE, "--store", "finished")[2] == ""
    assert recaudit("reproduce", "page")[0] == 0
    full = Path("docs/reproduction.md").read_text("utf-8")
    assert full.count("not measured") == 1, "where the page says what that means"
    found, shown = figures(paper / "results" / TABLE), figures(paper / "docs" / "reproduction")
    assert found.equals(shown.drop("kept")), "the page's table counts data sets, too"
    ours = found.filter(pl.col("attack") != "victim", metric="agreement@5", users="unqueried")
    assert len(ours) == 16, "four rows of four cells"
    for row in ours.iter_rows(named=True):
        assert f"{row['value']:.3f}" in full
    assert all(f"{name} {version}" in full for name, version in versions().items())
    table = Path("docs/reproduction/results.parquet")
    before = table.stat().st_mtime_ns
    shutil.rmtree("finished")
    shutil.rmtree("results")
    assert recaudit("reproduce", "page")[0] == 0
    assert Path("docs/reproduction.md").read_text("utf-8") == full
    assert table.stat().st_mtime_ns == before, "a table that does not change is not written"


@pytest.fixture
def lacking(paper, grid, monkeypatch) -> Grid:
    """Let the small experiment ask for a data set that is not here, too, and another for that alone."""
    shutil.copy(grid.base["data"], "small")
    base = {key: value for key, value in grid.base.items() if key != "data"}
    lacks = grid.model_copy(update={"base": base, "axes": {"data": ("small", "ml-1m"), **grid.axes}})
    alone = grid.model_copy(update={"name": "zhu2023/epochs", "base": {**grid.base, "data": "steam"}})
    both = {one.name: one for one in (lacks, alone)}
    for module in ("recaudit.experiments.papers", "recaudit.experiments.papers.catalogue"):
        monkeypatch.setattr(f"{module}.load_grid", both.__getitem__)
        monkeypatch.setattr(f"{module}.grid_names", lambda: tuple(both))
    return lacks


def test_the_page_shows_cells_without_data_as_not_measured(recaudit, paper, lacking, finished) -> None:
    assert recaudit("reproduce", TABLE, "--only", "data=small", "--store", finished)[0] == 0
    assert recaudit("reproduce", "page") == (0, "Page: docs/reproduction.md\n", "")
    text = Path("docs/reproduction.md").read_text("utf-8")
    tables, _, alone = text.partition("## What explains the differences")
    here, absent = tables.partition("<details>")[0].split("**ml-1m**")
    assert "not measured" not in here.partition("**small**")[2]
    assert absent.count("not measured") == 5 * 4, "floor, two attacks, ceiling and recall of four cells"
    assert alone.count("not measured") == 5 * 4
    shown = figures(paper / "docs" / "reproduction").filter(pl.col("value").is_not_null())
    assert set(shown["data"]) == {"small"}
    assert set(shown["epochs"]) == {4, 20}


@pytest.fixture
def membership(grid, monkeypatch, paper) -> Grid:
    """Let a small experiment of membership inference be all that there is."""
    few = validated(
        Grid,
        {
            "name": "hu2023/fig1",
            "title": "A small experiment of membership inference",
            "source": "Nobody, Figure 1",
            "base": {
                "data": grid.base["data"],
                "threats": ["membership"],
                "k": 10,
                "victim": {"model": "lfm", "embedding_size": 4, "epochs": 2},
                "membership": {"attacks": ["difference"], "vectors": 4},
            },
            "axes": {"membership.serving": ["popular", "everyone-folded"]},
            "seeds": 2,
            "metric": "auc",
            "users": "candidates",
            "shown": ["difference", "blind: popular share"],
            "plot": "roc",
        },
    )
    for module in ("recaudit.experiments.papers", "recaudit.experiments.papers.catalogue"):
        monkeypatch.setattr(f"{module}.load_grid", {few.name: few}.__getitem__)
        monkeypatch.setattr(f"{module}.grid_names", lambda: (few.name,))
    return few


@pytest.mark.slow
def test_membership_inference_has_its_table_and_a_page_of_its_own(recaudit, membership, paper) -> None:
    code, out, _ = recaudit("reproduce", membership.name, "--out", "out")
    assert code == 0
    for words in ("popular list for strangers", "everyone folded in", "difference", "NDCG@10", "TPR"):
        assert words in out
    frame = pl.read_parquet("out/results.parquet")
    ours = frame.filter(metric="auc", users="candidates")
    assert {"difference", "null: difference", "blind: popular share"} <= set(ours["attack"])
    assert set(ours["serving"]) == {"popular", "everyone-folded"}
    assert set(frame["threat"]) == {"membership"}
    assert frame["clone"].null_count() == len(frame)
    curve = frame.filter(metric="roc", attack="difference", serving="popular").sort("fpr")
    assert curve["fpr"].is_between(0, 1).all()
    assert curve["value"].diff().drop_nulls().min() >= 0, "a ROC curve never falls"
    assert frame.filter(pl.col("metric") != "roc")["fpr"].null_count() == len(
        frame.filter(pl.col("metric") != "roc")
    )
    narrow = recaudit("reproduce", membership.name, "--only", "attack=difference", "--out", "part")
    assert (narrow[0], narrow[2]) == (0, ""), "what is shown changes, nothing is computed"
    assert "popular share" not in narrow[1]
    assert recaudit("reproduce", membership.name)[0] == 0
    code, out, _ = recaudit("reproduce", "page", "--paper", "hu2023")
    assert (code, out) == (0, "Page: docs/membership-reproduction.md\n")
    text = Path("docs/membership-reproduction.md").read_text("utf-8")
    assert "A small experiment of membership inference" in text
    assert "membership-reproduction/drawn.svg" in text
    assert figures(paper / "docs" / "membership-reproduction").equals(figures(paper / "out"))
    assert not Path("docs/reproduction.md").exists()


def test_an_experiment_without_some_data_names_the_part_that_can_run(recaudit, lacking, finished) -> None:
    code, out, err = recaudit("reproduce", TABLE)
    assert (code, out) == (2, "")
    assert "the data set ml-1m is not here" in one_line(err)
    assert one_line(err).endswith("; or leave it out: --only data=small")
    err = recaudit("reproduce", TABLE, "--only", "victim=bpr,data=ml-1m+small")[2]
    assert one_line(err).endswith("; or leave it out: --only victim=bpr,data=small")
    assert recaudit("reproduce", TABLE, "--only", "data=small", "--store", finished)[0] == 0
    for command in ((TABLE, "--only", "data=ml-1m"), ("zhu2023/epochs",)):
        code, _, err = recaudit("reproduce", *command)
        assert code == 2
        assert "is not here" in one_line(err)
        assert "--only" not in err, "there is no part to run"


def test_table_6_is_counted_without_a_grid(recaudit, paper) -> None:
    code, out, err = recaudit("reproduce", STATISTICS)
    assert (code, err) == (0, "")
    assert "1,000,209" in out
    assert "ml-1m is not here: recaudit data list says how to get it." in out
    frame = pl.read_parquet(paper / "results" / STATISTICS / "results.parquet")
    assert set(frame["kept"]) == {"published"}
    assert not (paper / "recaudit-store").exists()


@pytest.mark.process
def test_a_workers_wrong_input_is_one_line(recaudit, paper, grid, monkeypatch) -> None:
    data = Path(grid.base["data"])
    moved = data.with_suffix(".moved")
    missing = tasks.missing

    def missing_data(planned, store):
        data.rename(moved)
        return missing(planned, store)

    monkeypatch.setattr(tasks, "missing", missing_data)
    try:
        code, out, err = recaudit("reproduce", TABLE, "--workers", "2")
    finally:
        moved.rename(data)
    assert (code, out) == (2, "")
    assert one_line(err).startswith(f"{data}: no such file")


@pytest.mark.parametrize(
    "error", [RuntimeError("too large"), OSError(errno.EIO, "went away"), UsageError("no")]
)
def test_an_error_on_the_way_names_its_stage_and_keeps_what_is_finished(
    recaudit, paper, monkeypatch, error
) -> None:
    perform, command = tasks.perform, ("reproduce", TABLE, "--only", "victim=bpr,epochs=4")

    failed = []

    def failing(task, progress):
        if stored(paper / "recaudit-store"):
            failed.append(task.label)
            raise error
        return perform(task, progress)

    with monkeypatch.context() as patched:
        patched.setattr(tasks, "perform", failing)
        code, out, err = recaudit(*command)
        assert out == ""
        lines = err.splitlines()
        if isinstance(error, RuntimeError):
            assert code == 70, "1 is the code of a finding"
            assert "Traceback (most recent call last):" in lines
            assert lines[-3:] == [
                "RuntimeError: too large",
                f"This happened at the node {failed[0]} of small, seed 0; finished nodes are kept.",
                "recaudit: this is a fault of recaudit: please report it with the traceback above",
            ]
        else:
            assert code == 2
            assert lines[-1].startswith("recaudit: ")
            assert "Traceback" not in err
    kept = stored(paper / "recaudit-store")
    assert kept
    assert recaudit(*command)[0] == 0
    assert stored(paper / "recaudit-store").items() > kept.items()


def start(grid, folder: Path, *arguments: str, **pipes: object) -> subprocess.Popen:
    """Begin ``recaudit reproduce`` on the small experiment as a session of its own."""
    (folder / "grid.json").write_text(grid.model_dump_json(), "utf-8")
    command = [sys.executable, "-c", COMMAND, str(folder / "grid.json"), "reproduce", TABLE, *arguments]
    return subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
        cwd=folder,
        start_new_session=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | pipes,
    )


def of_session(session: int) -> list[str]:
    """Return the processes of a session that are alive."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = stat.read_text("utf-8").rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if int(its_session) == session and state != "Z":
            found.append(stat.parent.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc to find processes in")
@pytest.mark.process
def test_a_stopped_run_leaves_no_process_and_goes_on(recaudit, paper, grid, finished) -> None:
    process = start(grid, paper, "--workers", "2")
    store = paper / "recaudit-store"
    while not stored(store) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, err = process.communicate()
    assert process.returncode == 130, "it ended before it could be stopped"
    said = "recaudit: stopped; the same command goes on from the last finished node"
    assert said in err.splitlines()
    assert "Traceback" not in err
    for _ in range(1000):
        if not of_session(process.pid):
            break
        time.sleep(0.01)
    assert not of_session(process.pid)
    kept = stored(store)
    assert kept
    assert recaudit("reproduce", TABLE)[0] == 0
    assert stored(store).items() > kept.items()
    code, removed, _ = recaudit("runs", "gc")
    assert code == 0
    assert [line for line in removed.splitlines() if not line.startswith("locks: ")][:-1] == []
    assert recaudit("reproduce", TABLE, "--store", finished, "--out", "whole")[0] == 0
    assert figures(paper / "whole").equals(figures(paper / "results" / TABLE))


@pytest.mark.process
def test_a_reader_that_goes_away_changes_nothing(recaudit, paper, grid, finished) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start(grid, paper, "--store", str(finished), "--out", "out", stdout=writer)
    os.close(writer)
    _, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert recaudit("reproduce", TABLE, "--store", finished)[0] == 0
    assert figures(paper / "out").equals(figures(paper / "results" / TABLE))
    assert {path.suffix for path in (paper / "out").glob("zhu2023-table4.*")} == {".svg", ".png", ".pdf"}


def test_help_names_every_flag_and_command(recaudit, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    code, out, _ = recaudit("reproduce", "--help")
    assert code == 0
    for field in fields(ReproduceOptions):
        assert f"--{field.name} " in out
    for command in ("list", "page"):
        assert f" {command} " in out
