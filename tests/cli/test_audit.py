"""``recaudit audit``: file and flags mean the same, exit codes, and one line for every mistake."""

import json
import os
import re
import shutil
from dataclasses import fields
from pathlib import Path

import pytest

import recaudit.audit
from recaudit.cli import main
from recaudit.cli.audit import Flags, HowToRun
from recaudit.report import read_result


class Taken(BaseException):
    """Ends a run before it begins."""


@pytest.fixture
def taken(monkeypatch, tmp_path):
    """Return the spec and the folder that a command line ends up with."""
    monkeypatch.chdir(tmp_path)

    def end(spec, **rest):
        raise Taken(spec, rest["out"])

    monkeypatch.setattr(recaudit.audit, "run_audit", end)

    def run(*arguments: str):
        with pytest.raises(Taken) as caught:
            main(["audit", *arguments])
        return caught.value.args

    return run


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--data", "x.csv"], "data: x.csv"),
        (["--data", "x.csv"], "data: {source: x.csv}"),
        (["--data", "x.csv", "--columns", "user=a,item=b"], "data: x.csv\ncolumns: user=a,item=b"),
        (
            ["--data", "x.csv", "--columns", "user=a,item=b"],
            "data: {source: x.csv, columns: {user: a, item: b}}",
        ),
        (["--format", "csv", "--data", "x.txt"], "format: csv\ndata: x.txt"),
        (["--data", "x.csv", "--no-header"], "data: {source: x.csv, header: false}"),
        (["--data", "x.csv", "--header"], "data: x.csv\nheader: true"),
        (["--data", "x.csv", "--columns", "user=1,item=2"], "data: x.csv\ncolumns: {user: 1, item: 2}"),
        (
            ["--data", "x", "--separator", "tab", "--encoding", "latin-1", "--repeats", "sum"],
            "data: {source: x, separator: tab, encoding: latin-1, repeats: sum}",
        ),
        (["--victim", "ncf"], "victim: ncf"),
        (["--victim", "ncf", "--clone", "lmf"], "victim: {model: ncf}\nclone: lmf"),
        (["--attacks", "PTD,PTA(Pre)"], "attacks: [PTD, PTA(Pre)]"),
        (["--attacks", "PTD, PTAQ"], "attacks: PTD,PTAQ"),
        (["--k", "7"], "k: 7"),
        (["--known", "0.3"], "known: 0.3"),
        (["--known", "0.3"], "split: {known: 0.3}"),
        (["--threats", "membership"], "threats: [membership]"),
        (["--threats", "membership,stealing"], "threats: membership, stealing"),
        (["--serving", "fold-in,popular"], "serving: [fold-in, popular]"),
        (["--serving", "fold-in"], "membership: {serving: fold-in}"),
        (["--shadows", "4"], "membership: {shadows: 4}"),
        (["--fail-over", "tpr@0.01=0.1", "--fail-over", "auc=1"], "fail_over: [tpr@0.01=0.1, auc=1]"),
        (["--set", "membership.shadow=item-knn"], "membership: {shadow: {model: item-knn}}"),
        (["--queries", "99"], "queries: 99"),
        (["--seeds", "3"], "seeds: 3"),
        (["--seeds", "3"], "seeds: [0, 1, 2]"),
        (["--seeds", "4,2"], "seeds: [4, 2]"),
        (["--seeds", "4,"], "seeds: [4]"),
        (["--device", "cuda"], "device: cuda"),
        (["--out", "x"], "out: x"),
        (["--fail-over", "rbo@50=1", "--fail-over", "recall@50=1"], "fail_over: [rbo@50=1, recall@50=1]"),
        (["--fail-over", "rbo@50=1"], "fail_over: rbo@50=1"),
        (["--set", "victim.embedding_size=32"], "victim: {embedding_size: 32}"),
        (
            ["--set", "victim.optimisation.reg=0.1", "--victim", "lmf"],
            "victim: {model: lmf, optimisation: {reg: 0.1}}",
        ),
        (["--set", "clone.negatives=2"], "clone: {negatives: 2}"),
        (["--set", "settings.PTA.margin=1.5"], "settings: {PTA: {margin: 1.5}}"),
        (["--set", "known=0.3", "--set", "k=9", "--set", "out=y"], "known: 0.3\nk: 9\nout: y"),
        (["--set", "data.minimum_rating=4", "--data", "ml-1m"], "data: {source: ml-1m, minimum_rating: 4}"),
    ],
)
def test_a_file_and_flags_mean_the_same(taken, flags, text) -> None:
    Path("spec.yaml").write_text(text + "\n", "utf-8")
    spec, out = taken("spec.yaml")
    assert (spec, out) == taken(*flags)
    assert spec != taken()[0] or out != taken()[1] or "fail_over" in text


def test_flags_go_over_the_file_and_set_over_both(taken) -> None:
    Path("spec.yaml").write_text("k: 7\nknown: 0.2\nqueries: 50\nvictim: {embedding_size: 8}\n", "utf-8")
    spec, _ = taken("spec.yaml", "--k", "8", "--known", "0.3", "--set", "k=9", "--set", "victim.negatives=3")
    assert (spec.k, spec.split.known, spec.queries) == (9, 0.3, 50)
    assert spec.victim_model.embedding_size == 8
    assert spec.victim_model.negatives == 3


def test_a_key_left_empty_is_not_given(taken) -> None:
    Path("spec.yaml").write_text("k:\nvictim:\nknown: null\n", "utf-8")
    assert taken("spec.yaml") == taken()


def test_the_folder_is_named_after_data_victim_and_spec(taken) -> None:
    spec, out = taken("--data", "some/place/sales.csv", "--victim", "lmf")
    assert out == Path(f"audit-sales-lmf-{spec.digest[:8]}")


WRONG_FILES = {
    "": "the file is empty",
    "# nothing\n": "the file is empty",
    "- a\n- b\n": r"a spec is a mapping of keys .* found \['a', 'b'\]",
    "1: 2\n": "a spec is a mapping of keys",
    "data: x\nk: [1, 2\nfoo: }\n": "line 3, column 4: not YAML",
    "data:\n\t- x\n": "line 2, column 1: not YAML",
    "data: 2001-99-99\n": "not YAML: month must be in 1..12",
    "data: a\0b\n": "not YAML: special characters are not allowed",
    "k: 1\ndata: x\nk: 2\n": "line 3, column 1: not YAML: the key 'k' is there twice",
    "[" * 5000: "not YAML",
    "victm: bpr\n": r"unknown key 'victm'; did you mean 'victim'\?",
    "knwn: 0.2\n": r"unknown key 'knwn'; did you mean 'known'\?",
    "failover: x\n": r"unknown key 'failover'; did you mean 'fail_over'\?",
    "data: {sorce: x}\n": r"unknown key 'data.sorce'; did you mean 'source'\?",
    "victim: {model: bpr, embeding_size: 3}\n": "unknown key 'victim.embeding_size'",
    "settings: {PTQ: {marginn: 1}}\n": r"unknown key 'settings.PTQ.marginn'; did you mean 'margin'\?",
    "k: many\n": "k: .*found 'many'",
    "k: yes\n": "k: yes is no number",
    "k: 2.5\n": "k: .*found 2.5",
    "out: 3\n": "out: expected the name of a folder, found 3",
    "fail_over: 3\n": "fail_over: expected something like agreement@50=0.6, found 3",
    "fail_over: [3]\n": "fail_over: expected something like",
    "columns: [a]\ndata: 3\n": "columns: 'data' is 3, which has no keys inside",
}


@pytest.mark.parametrize(("text", "says"), WRONG_FILES.items(), ids=range(len(WRONG_FILES)))
def test_a_wrong_file_in_one_line(recaudit, tmp_path, text, says) -> None:
    (tmp_path / "wrong.yaml").write_text(text, "utf-8")
    code, out, err = recaudit("audit", tmp_path / "wrong.yaml")
    assert (code, out) == (2, "")
    assert _one_line(err, says)


def _one_line(err: str, says: str) -> bool:
    assert err.startswith("recaudit: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    assert re.search(says, err), err
    return True


def test_a_file_that_cannot_be_read(recaudit, tmp_path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"data: caf\xe9\n")
    for path, says in (
        (tmp_path, "cannot read the spec: Is a directory"),
        (tmp_path / "absent.yaml", "cannot read the spec: No such file"),
        (tmp_path / "latin.yaml", "not UTF-8 at byte 9"),
    ):
        code, _, err = recaudit("audit", path)
        assert code == 2
        assert _one_line(err, says)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--quries", "3"], r"Unknown option: --quries\. Did you mean --queries\?"),
        (["--k"], "--k requires an argument"),
        (["--k", "x"], "--k: expected a whole number, found 'x'"),
        (["--k", "2.5"], "--k: expected a whole number, found '2.5'"),
        (["--k", "0"], "k: .*found 0"),
        (["--k", "26"], "k: lists of 26 items need more than the 25 of 'tiny'"),
        (["--known", "x"], '--known: unable to convert "x" into float'),
        (["--known", "0"], "split.known: .*found 0.0"),
        (["--known", "1.5"], "split.known: .*found 1.5"),
        (["--known", "nan"], "split.known: .*found nan"),
        (["--known", "0.05"], "known users .* are too few|is nobody"),
        (["--queries", "1", "--attacks", "PTQ"], "queries=1 leaves no list to learn from"),
        (["--seeds", "0"], "seeds: there must be at least one seed, not 0"),
        (["--seeds", "-2"], "seeds: there must be at least one seed, not -2"),
        (["--seeds", "1,1"], "seeds: 1 is named twice"),
        (["--seeds", "two"], "seeds: 'two' is neither a number nor seeds separated by commas"),
        (["--device", "cuda:99"], "device: 'cuda:99' is not there"),
        (["--attacks", "PTD,PTX"], "attacks: unknown attack 'PTX'"),
        (["--attacks", "PTD,PTD"], "attacks: 'PTD' is named twice"),
        (["--clone", "item-knn"], "clone: 'item-knn' cannot learn from lists"),
        (["--victim", "itemknn"], r"victim: unknown model 'itemknn'; did you mean 'item-knn'\?"),
        (["--victim", "no/folder"], "victim: 'no/folder' holds no saved model"),
        (["--data", "absent.csv"], "absent.csv: no such file"),
        (["--data", "empty.csv"], "empty.csv: the file is empty"),
        (["--data", "few.csv", "--k", "1"], "is nobody; raise known|are too few"),
        (["--columns", "usr=a,item=b"], r"unknown key 'usr'; did you mean 'user'\?"),
        (["--out", "empty.csv"], "out: empty.csv is a file"),
        (["--out", "empty.csv/below"], "out: empty.csv/below cannot hold the result"),
        (
            ["--fail-over", "agreemnt@4=0.3"],
            r"fail_over: unknown metric 'agreemnt@4'; did you mean 'agreement@4'\?",
        ),
        (["--fail-over", "agreement@50=0.3"], r"did you mean 'agreement@4'\?"),
        (["--fail-over", "agreement@4"], "fail_over: 'agreement@4' has no limit"),
        (["--fail-over", "agreement@4=high"], "has no limit; expected something like agreement@4=0.6"),
        (["--fail-over", "agreement@4=nan"], "has no limit"),
        (["--set", "k"], "--set 'k': expected key=value"),
        (["--set", "=3"], "--set '=3': expected key=value"),
        (["--set", "a..b=1"], "expected key=value"),
        (["--set", "k=[1"], r"--set 'k=\[1': the value is not YAML"),
        (["--set", "k.x=3"], "--set k.x=3: 'k' is 4, which has no keys inside"),
        (["--set", "foo=3"], "unknown key 'foo'"),
        (["--set", "victim.size=3"], "unknown key 'victim.size'"),
        (["second.yaml"], "too many arguments: 'second.yaml'"),
        (["--threats", "stealth"], "threats.0: input should be 'stealing' or 'membership'"),
        (["--threats", "stealing,stealing"], "threats: 'stealing' is named twice"),
        (["--serving", "foldin"], "'fold-in'"),
        (["--serving", ""], "''"),
        (["--shadows", "5"], "shadows: found 5; an even number"),
        (["--shadows", "2"], "greater than or equal to 4"),
        (["--workers", "0"], "workers: expected a whole number of at least 1, found 0"),
        (["--fail-over", "auc=0.6"], "unknown metric 'auc'"),
        (["--threats", "membership", "--fail-over", "agreement@4=1"], "unknown metric 'agreement@4'"),
        (["--threats", "membership", "--set", "membership.atacks=x"], "did you mean 'attacks'"),
    ],
)
def test_a_wrong_flag_in_one_line(recaudit, spec, tmp_path, monkeypatch, flags, says) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.csv").write_text("", "utf-8")
    Path("few.csv").write_text("user,item\n1,2\n2,3\n", "utf-8")
    code, out, err = recaudit("audit", spec, *flags)
    assert (code, out) == (2, "")
    assert _one_line(err, says)


@pytest.mark.parametrize(
    ("word", "says"), [("audti", 'Did you mean "audit"'), ("--verbose", "Unknown command")]
)
def test_a_wrong_command_in_one_line(recaudit, word, says) -> None:
    code, _, err = recaudit(word)
    assert code == 2
    assert _one_line(err, says)


def test_exit_codes_and_where_things_are_written(recaudit, spec, tmp_path) -> None:
    folder = tmp_path / "odd [/b] :smile: name"
    code, out, err = recaudit("audit", spec, "--out", folder)
    assert code == 0
    told = [line for line in err.splitlines() if line.startswith("audit: ")]
    assert [line.partition(" nodes, about ")[0] for line in told] == [f"audit: {n}/7" for n in range(1, 8)]
    assert {line.rpartition(" left: ")[2] for line in told} >= {
        "training bpr for the victim, tiny, seed 0",
        "judging popularity, tiny, seed 0",
        "attacking with PTD, tiny, seed 0",
    }
    assert "PTD" in out
    assert out.splitlines()[-1] == f"Report: {folder / 'report.html'}"
    assert {path.name for path in folder.iterdir()} == {
        "figures.csv",
        "result.json",
        "report.html",
        "store",
        "victims",
    }
    found = next(
        figure
        for figure in read_result(folder).figures
        if (figure.attack, figure.metric, figure.users) == ("PTD", "agreement@4", "unqueried")
    )
    code, out, err = recaudit("audit", spec, "--out", folder, "--fail-over", "agreement@4=1")
    assert code == 0
    assert err == "recaudit: Seeds taken from an earlier run: 0.\n", "nothing is trained"
    assert recaudit("audit", spec, "--out", folder, "--quiet") == (0, "", "")
    code, out, _ = recaudit("audit", spec, "--out", folder, "--json", "--markdown", folder / "summary.md")
    assert (code, json.loads(out)["report"]) == (0, str(folder / "report.html"))
    assert "PTD" in (folder / "summary.md").read_text("utf-8")
    code, out, _ = recaudit("audit", spec, "--out", folder, "--fail-over", "agreement@4=-1")
    assert code == 1
    assert (
        out.splitlines()[-1]
        == f"PTD: agreement@4 on unqueried users {found.value:.3f} is over the limit of -1"
    )
    assert found.n is not None
    assert found.n < 30
    limit = ["--fail-over", f"agreement@4={found.value:.6f}"]
    code, out, _ = recaudit("audit", spec, "--out", folder, *limit)
    assert code == 3
    assert out.splitlines()[-1].startswith(
        f"Too few users to tell: PTD: agreement@4 on unqueried users {found.value:.3f}"
    )
    assert f"n {found.n}) against the limit of " in out.splitlines()[-1]
    code, out, err = recaudit("audit", spec, "--out", folder, *limit, "--fail-over-if-unsure", "--quiet")
    assert (code, out) == (1, "")
    assert _one_line(err, "Too few users to tell: ")
    code, _, err = recaudit("audit", spec, "--out", folder, "--k", "3")
    assert code == 2
    assert _one_line(err, "holds the result of another spec")
    (folder / "result.json").write_text("{", "utf-8")
    code, _, err = recaudit("audit", spec, "--out", folder)
    assert code == 2
    assert _one_line(err, "result.json is damaged or not an audit's")


def test_a_saved_victim_by_its_folder(recaudit, spec, tmp_path) -> None:
    assert recaudit("audit", spec, "--out", tmp_path / "first")[0] == 0
    victim = tmp_path / "first" / "victims" / "seed-0"
    assert recaudit("audit", spec, "--victim", victim, "--out", tmp_path / "second")[0] == 0
    first, second = (
        [figure for figure in read_result(tmp_path / name).figures if figure.metric != "seconds"]
        for name in ("first", "second")
    )
    assert first == second
    code, _, err = recaudit("audit", spec, "--victim", victim, "--set", "victim.reg=1")
    assert code == 2
    assert _one_line(err, "victim")


def test_a_limit_on_what_is_not_available(recaudit, spec, tmp_path) -> None:
    # A popular list is its own floor and ceiling: nothing lies between them.
    flags = ["--victim", "popularity", "--set", "clone.stopping.epochs=5", "--out", tmp_path]
    code, _, err = recaudit("audit", spec, *flags, "--fail-over", "place@4=0.5")
    assert code == 2
    assert "fail_over: place@4 of PTD is not available here" in err


def test_help_and_version(recaudit, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    code, out, _ = recaudit("--help")
    assert code == 0
    assert "audit" in out
    assert "data" in out
    code, out, _ = recaudit("audit", "--help")
    assert code == 0
    for field in (*fields(Flags), *fields(HowToRun)):
        assert f"--{field.name.replace('_', '-')} " in out
    assert "--set " in out
    assert " ".join(out.replace("│", " ").split()).count("Length of the lists. Default: 50.") == 1
    assert "--empty" not in out
    assert "[default" not in out
    import recaudit as package

    assert recaudit("--version")[:2] == (0, f"{package.__version__}\n")


@pytest.mark.slow
def test_audits_share_a_store(recaudit, spec, tmp_path) -> None:
    shared = tmp_path / "shared"
    code, _, _ = recaudit("audit", spec, "--store", shared, "--out", tmp_path / "first")
    assert code == 0
    assert not (tmp_path / "first" / "store").exists()
    kept = {path: path.read_bytes() for path in shared.glob("*/*/node.json")}
    assert kept
    for path in kept:
        assert json.loads(path.read_text("utf-8"))["hash"] == path.parent.name
    code, _, err = recaudit("audit", spec, "--store", shared, "--out", tmp_path / "second")
    assert code == 0
    assert "recaudit: Seeds taken from an earlier run: 0.\n" in err
    # Another attack takes the victim and the model trained again; a file's key is the same as the flag.
    flags = ["--attacks", "QSD", "--set", f"store={shared}", "--out", tmp_path / "third"]
    assert recaudit("audit", spec, *flags)[0] == 0
    assert set(shared.glob("model/*/node.json")) == {path for path in kept if path.parts[-3] == "model"}
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_store_that_cannot_be_used(recaudit, spec, tmp_path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    code, out, err = recaudit("audit", spec, "--store", tmp_path / "file", "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert _one_line(err, "store: .*/file cannot hold results: .*; name another folder")


MEMBERSHIP = """
data: {data}
k: 4
threats: membership
serving: popular
victim: {{model: lfm, embedding_size: 4, epochs: 2}}
membership: {{attacks: [difference], vectors: 4}}
"""


@pytest.mark.process
def test_workers_find_what_one_process_finds_and_a_limit_is_a_finding(recaudit, spec, tmp_path) -> None:
    path = tmp_path / "membership.yaml"
    path.write_text(MEMBERSHIP.format(data=spec.parent / "tiny.csv"), "utf-8")
    assert recaudit("audit", path, "--out", tmp_path / "one")[0] == 0
    code, out, _ = recaudit("audit", path, "--workers", 2, "--out", tmp_path / "two", "--fail-over", "auc=0")
    assert code == 1
    assert "difference: auc on members and strangers (popular)" in out
    assert out.splitlines()[-1].endswith("is over the limit of 0")
    one, two = (read_result(tmp_path / name) for name in ("one", "two"))
    kept = [[figure for figure in result.figures if figure.metric != "seconds"] for result in (one, two)]
    assert kept[0] == kept[1]
    assert one.curves == two.curves


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "the file is empty"),
        ("user,item\n1,2\n1,3\n", "k: lists of 4 items need more than the 2"),
        ("user,item\n" + "".join(f"1,{item}\n" for item in range(9)), "target_share=0.5 of 1 users"),
        (None, "no such file"),
    ],
)
def test_a_mistake_leaves_no_folder_behind(recaudit, spec, tmp_path, content, says) -> None:
    path = tmp_path / "x.csv"
    if content is not None:
        path.write_text(content, "utf-8")
    there = {*tmp_path.iterdir()}
    out, store = tmp_path / "deep" / "out", tmp_path / "store"
    for more in ((), ("--store", store), ("--workers", "2")):
        code, _, err = recaudit("audit", spec, "--data", path, "--out", out, *more)
        assert code == 2
        assert says in err
        assert {*tmp_path.iterdir()} == there


def test_what_was_made_of_the_file_is_told(recaudit, spec, tmp_path) -> None:
    text = (spec.parent / "tiny.csv").read_text("utf-8").replace("user,item", "visitorid;itemid;event")
    path = tmp_path / "[red]x.txt"
    path.write_text(text.replace(",", ";").replace("\n", ";view\n").replace("event;view", "event"), "utf-8")
    code, out, _ = recaudit("audit", spec, "--data", path, "--out", tmp_path / "out", "-v")
    assert code == 0
    assert out.startswith("[red]x: ")
    content = json.loads((tmp_path / "out" / "result.json").read_text("utf-8"))
    reading = content["data"]["reading"]
    assert (reading["format"], reading["unused"]) == ("csv", ["event"])
    assert reading["columns"] == {"user": "visitorid", "item": "itemid"}
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    for told in ("The separator is a semicolon.", "Columns that were not read: event."):
        assert told in reading["guessed"] or "event" in told
        assert told in page
        assert told in " ".join(out.split())


def test_a_name_that_is_not_utf_8(recaudit, spec, tmp_path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv")
    shutil.copy(spec.parent / "tiny.csv", name)
    assert recaudit("data", "describe", name)[0] == 0
    out = os.fsdecode(os.fsencode(tmp_path) + b"/out\xe9")
    code, _, err = recaudit("audit", spec, "--data", name, "--out", out)
    assert code == 0, err
    assert read_result(Path(out)).spec["data"]["source"] == f"{tmp_path}/caf\\xe9.csv"
