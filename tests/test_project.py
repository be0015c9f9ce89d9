"""The project's own files agree: pins, versions, the README's commands, no traces of a machine."""

import importlib.metadata
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import recaudit

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

# Paths of a working machine, and where packages come from. Written so that this file doesn't match itself.
TRACES = re.compile(
    r"(?<![\w.~])/(?:work|tmp|root|farm)/|(?i:index[-_]url|find[-_]links|pypi[.]org|pythonhosted[.])"
)


def pins() -> dict[str, Version]:
    found = {}
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            (specifier,) = requirement.specifier
            assert specifier.operator == "==", f"{line} is no exact pin"
            assert requirement.name not in found, f"{requirement.name} is pinned twice"
            found[canonicalize_name(requirement.name)] = Version(specifier.version)
    return found


def requirements() -> list[Requirement]:
    project = PROJECT["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    lines = [*PROJECT["build-system"]["requires"], *project["dependencies"], *extras]
    return [Requirement(line) for line in lines]


def installed_names(name: str, extras: frozenset[str], done: set[str]) -> Iterator[str]:
    """Yield the names of all that ``name`` needs and that is installed, however far down."""
    for line in importlib.metadata.requires(name) or []:
        requirement = Requirement(line)
        needed = canonicalize_name(requirement.name)
        marker = requirement.marker
        wanted = marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""})
        if wanted and needed not in done and not needed.startswith(("nvidia-", "cuda-", "triton")):
            done.add(needed)
            try:
                importlib.metadata.version(needed)
            except importlib.metadata.PackageNotFoundError:
                continue
            yield needed
            yield from installed_names(needed, frozenset(requirement.extras), done)


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_dependency_is_pinned_within_its_range(requirement: Requirement) -> None:
    pinned = pins()
    assert canonicalize_name(requirement.name) in pinned, f"{requirement.name} has no pin in constraints.txt"
    assert pinned[canonicalize_name(requirement.name)] in requirement.specifier


def test_every_installed_dependency_is_pinned() -> None:
    # torch's CUDA parts are left out: they come with its CUDA build alone.
    extras = frozenset(PROJECT["project"]["optional-dependencies"])
    needed = set(installed_names("recaudit", extras, set()))
    assert {"torch", "sympy", "pydantic-core"} <= needed, "the walk below recaudit found too little"
    assert needed - set(pins()) == set()


def test_the_versions_agree() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert importlib.metadata.version("recaudit") == recaudit.__version__
    assert citation["version"] == recaudit.__version__
    assert citation["license"] == PROJECT["project"]["license"]


def test_the_changelog_speaks_of_this_version() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert {"Unreleased", recaudit.__version__} & set(headings)


def test_the_readme_and_ci_run_the_same_commands() -> None:
    readme, ci = ((ROOT / name).read_text("utf-8") for name in ("README.md", ".ci/run"))
    (everyday,) = re.findall(r"^pip install .*&& pytest .*$", readme, re.MULTILINE)
    (rest,) = re.findall(r"^pytest .*$", readme, re.MULTILINE)
    steps = re.findall(r"^step ((?:pip|ruff|mypy|pytest).*)$", ci, re.MULTILINE)
    assert [*everyday.split(" && "), rest] == steps


def test_the_two_test_commands_leave_no_test_out() -> None:
    options = PROJECT["tool"]["pytest"]["ini_options"]["addopts"]
    left_out = options[options.index("-m") + 1].removeprefix("not ").split(" and not ")
    (rest,) = re.findall(r"^step pytest .* -m '(.*)'$", (ROOT / ".ci/run").read_text("utf-8"), re.MULTILINE)
    assert set(left_out) <= set(rest.split(" or "))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see /" + "work/main/x", True),
        ("'/" + "tmp/x'", True),
        ("--index" + "-url=x", True),
        ("https://py" + "pi.org/simple", True),
        ("the frame/" + "work/x", False),
        ("~/" + "work/x", False),
        ("net/" + "tmp/", False),
    ],
)
def test_the_search_for_traces_finds_them(text: str, found: bool) -> None:
    assert bool(TRACES.search(text)) is found


def test_no_tracked_file_names_a_path_of_a_machine() -> None:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: which files are tracked is not known")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = listed.stdout.split("\0")
    found = []
    for name in filter(None, names):
        path = ROOT / name
        if path.is_file():
            lines = path.read_text("utf-8", errors="replace").splitlines()
            found += [f"{name}:{n}: {line.strip()}" for n, line in enumerate(lines, 1) if TRACES.search(line)]
    assert len(names) > 20
    assert found == []
