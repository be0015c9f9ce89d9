"""The example package: installed, under contract, and audited with from the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "examples" / "recaudit-example"
SMALL = (
    "--set data.user_core=0", "--set data.item_core=0", "--known 0.5", "--k 5", "--workers 1",
    "--set clone.embedding_size=4", "--set clone.stopping.epochs=2", "--set clone.stopping.evaluate_every=1",
)  # fmt: skip


def ran(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Return a finished process of this interpreter."""
    given = [sys.executable, *map(str, command)]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(given, env=variables, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> str:
    """Return the folder that the package is installed in, apart from all others."""
    folder = tmp_path_factory.mktemp("installed")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target")
    done = ran("-m", "pip", "install", *options, folder, PACKAGE)
    assert done.returncode == 0, done.stderr
    return str(folder)


@pytest.fixture(scope="module")
def lines(tmp_path_factory) -> Path:
    """Return a file in the example's format: eight purchases each of 120 users of two tastes."""
    path, generator = tmp_path_factory.mktemp("data") / "tiny.lines", np.random.default_rng(0)
    text = ""
    for user in range(120):
        likes = np.where(np.arange(40) % 2 == user % 2, 6.0, 1.0) / (1 + np.arange(40))
        bought = generator.choice(40, 8, replace=False, p=likes / likes.sum())
        text += f"u{user}: {' '.join(f'i{item}' for item in bought)}\n"
    path.write_text(text, "utf-8")
    return path


def audit(installed, lines, out, *options):
    given = " ".join((f"audit --data {lines} --out {out}", *options, *SMALL)).split()
    return ran("-c", "from recaudit.cli import main; main()", *given, PYTHONPATH=installed)


def test_its_own_tests_pass(installed):
    done = ran("-m", "pytest", "-q", "-p", "no:cacheprovider", PACKAGE / "tests",
               PYTHONPATH=installed, PYTEST_ADDOPTS="")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_victim_attack_defence_and_reader_run_in_one_audit(installed, lines, tmp_path):
    done = audit(installed, lines, tmp_path / "out", "--victim recent-popular --clone bpr",
                 "--attacks co-occurrence,PTD --set defence.defence=swap-neighbours --set defence.pairs=1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "result.json").read_text("utf-8"))
    values = {(row["attack"], row["users"], row["metric"]): row["value"] for row in result["figures"]}
    floor, own = (values[row, "unqueried", "agreement@5"] for row in ("popularity", "co-occurrence"))
    assert 0 < floor <= 1
    assert 0 < own <= 1
    assert values["victim", "all", "agreement@5"] == 1
    assert values["victim", "all", "agreement_undefended@5"] == 1  # swapped items stay in the list
    assert values["victim", "all", "rbo@5"] == 1
    assert values["retrained", "unqueried", "agreement@5"] is None
    assert values["co-occurrence", "unqueried", "place@5"] is None
    assert values["PTD", "all", "lists"] == 0
    assert values["co-occurrence", "all", "lists"] > 0
    cards = result["cards"]
    assert [card["label"] for card in cards["attacks"]] == ["Co-occurrence", "PTD"]
    assert cards["victim"]["name"] == "recent-popular"
    assert cards["defence"]["label"] == "Swapped neighbours"
    assert result["spec"]["victim"]["victim"] == "recent-popular"
    assert result["spec"]["defence"] == {"defence": "swap-neighbours", "pairs": 1}
    assert result["spec"]["threats"] == ["stealing"]
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    for told in ("Co-occurrence", "Recently popular", "Swapped neighbours", "Membership is not measurable",
                 "the ceiling is not measurable"):  # fmt: skip
        assert told in page, told
    stored = [json.loads(path.read_text("utf-8")) for path in (tmp_path / "out" / "store").rglob("node.json")]
    packages = {one["inputs"].get("attack", {}).get("package") for one in stored if "inputs" in one}
    assert "recaudit-example 0.1.0" in packages


def test_its_membership_attack_runs_beside_both_threats(installed, lines, tmp_path):
    done = audit(installed, lines, tmp_path / "out", "--victim lfm --set victim.epochs=3 --clone bpr",
                 "--attacks co-occurrence --serving popular --shadows 4 --set membership.null=no",
                 "--set membership.attacks=neighbour-overlap,difference")  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "result.json").read_text("utf-8"))
    auc = [row for row in result["figures"] if (row["attack"], row["metric"]) == ("neighbour-overlap", "auc")]
    assert [row["serving"] for row in auc] == ["popular"]
    assert 0 <= auc[0]["low"] <= auc[0]["value"] <= auc[0]["high"] <= 1
    assert "Neighbour overlap" in [card["label"] for card in result["cards"]["membership_attacks"]]
    assert "Neighbour overlap" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_membership_of_its_victim_is_refused_in_one_line(installed, lines, tmp_path):
    done = audit(installed, lines, tmp_path / "out", "--victim recent-popular --threats membership")
    assert done.returncode == 2
    assert "membership of 'recent-popular' is not measurable" in " ".join(done.stderr.split())
