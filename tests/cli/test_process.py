"""The command line as its own process: killed, interrupted, cut off, and two at once."""

import os
import signal
import subprocess
import sys
import time
from glob import glob
from pathlib import Path

import pytest

from recaudit.audit import run_audit
from recaudit.audit.spec import audit_spec
from recaudit.cli.spec_file import read_yaml
from recaudit.report import read_result

COMMAND = [sys.executable, "-c", "from recaudit.cli import main; main()", "audit"]
pytestmark = pytest.mark.process
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}


def start(*arguments: object, **pipes: object) -> subprocess.Popen:
    given = [str(argument) for argument in arguments]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE} | pipes
    # Workers that are stopped with their parent have tests of their own.
    return subprocess.Popen([*COMMAND, *given, "--workers", "1"], env=ENVIRONMENT, text=True, **pipes)


def wait_for(number: int, out: Path, process: subprocess.Popen) -> None:
    """Wait until so many stages are finished or the process has ended."""
    for _ in range(12_000):
        if len(stored(out)) >= number or process.poll() is not None:
            return
        time.sleep(0.005)
    raise AssertionError(f"there never were {number} stages")


def stored(out: Path) -> dict[Path, bytes]:
    """Return the finished stages of an audit, which may be running: unfinished ones come and go."""
    finished = glob(str(out / "store" / "*" / "*" / "node.json"))  # unlike pathlib's, at ease with that
    return {Path(path): Path(path).read_bytes() for path in finished}


def figures(rows) -> list[tuple]:
    return [
        (row.attack, row.users, row.metric, row.value, row.low, row.high, row.seeds)
        for row in rows
        if row.metric != "seconds"
    ]


def test_a_killed_audit_loses_no_finished_stage(recaudit, spec, tmp_path) -> None:
    arguments = ["audit", spec, "--seeds", "6", "--out", tmp_path]
    process = start(*arguments[1:])
    wait_for(9, tmp_path, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"
    kept = stored(tmp_path)
    assert len(kept) >= 9
    assert not (tmp_path / "result.json").exists()
    code, _, err = recaudit(*arguments)
    assert (code, err.count("Traceback")) == (0, 0)
    # Seconds are stored too: a stage that was computed again would differ in them.
    assert {path: path.read_bytes() for path in kept} == kept
    values = read_yaml(spec) | {"seeds": 6}
    uninterrupted = tmp_path / "uninterrupted"
    from recaudit import write_report

    write_report(run_audit(audit_spec(values)), uninterrupted)
    assert figures(read_result(tmp_path).figures) == figures(read_result(uninterrupted).figures)


def test_an_interrupted_audit_says_so_in_one_line(spec, tmp_path) -> None:
    process = start(spec, "--seeds", "50", "--out", tmp_path)
    wait_for(1, tmp_path, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err.splitlines()[-1] == "recaudit: stopped; the same command goes on from the last finished node"
    assert "Traceback" not in err


def test_a_reader_that_goes_away_changes_no_exit_code(spec, tmp_path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start(spec, "--out", tmp_path, "--fail-over", "agreement@4=-1", stdout=writer)
    os.close(writer)
    _, err = process.communicate()
    assert "Traceback" not in err
    assert "BrokenPipe" not in err
    assert process.returncode == 1, "a finding over the limit"
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize("command", [["data", "list"], ["data", "describe", "synthetic"]])
def test_a_reader_of_the_first_lines_changes_no_exit_code(command) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(
        [*COMMAND[:-1], *command], env=ENVIRONMENT, stdout=writer, stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(writer)
        _, err = process.communicate()
    assert (process.returncode, err) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full to write to")
def test_a_full_disk_is_one_line(spec, tmp_path) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        process = start(spec, "--out", tmp_path, stdout=full)
        _, err = process.communicate()
    assert process.returncode == 2
    assert err.splitlines()[-1] == "recaudit: cannot read or write: No space left on device"


def test_two_processes_share_a_folder(spec, tmp_path) -> None:
    both = [start(spec, "--seeds", seeds, "--out", tmp_path) for seeds in ("0,1", "2,3")]
    for process in both:
        _, err = process.communicate()
        assert process.returncode == 0, err
    values = read_yaml(spec) | {"seeds": 4}
    assert run_audit(audit_spec(values), out=tmp_path).reused == (0, 1, 2, 3)
