"""The layers: each folder imports only the folders to its left, and no attack can reach the split."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import recaudit

PACKAGE = Path(recaudit.__file__).parent
BASE = (
    "errors",
    "files",
    "metrics",
    "rng",
    "vocabulary",
)  # these import nothing else of ours; everybody may import them
LAYERS = (  # from left to right
    "figures",
    "validation",
    "plugins",
    "pipeline",
    "data",
    "models",
    "victims",
    "oracle",
    "attacks",
    "audit",
    "testing",
    "experiments",
    "report",
    "cli",
)
OUTSIDE = ("__init__", "__main__")  # the package's face and `python -m recaudit` stand right of everything

SOURCES = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}


def layer(path: str) -> str:
    """Return the folder or module right under the package that a file belongs to."""
    return path.partition("/")[0].removesuffix(".py")


def imports(path: str, source: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, dotted target (names included) and local name of each import of ours in a file."""
    parts = ["recaudit", *path.removesuffix(".py").split("/")]
    for node in ast.walk(ast.parse(source, path)):
        if isinstance(node, ast.Import):
            found = [(alias.name, alias.asname or alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # One dot is the folder that holds the file: its own package, for an __init__.py.
            start = [*parts[: -node.level], node.module or ""] if node.level else [node.module or ""]
            prefix = ".".join(part for part in start if part)
            found = [(f"{prefix}.{alias.name}", alias.asname or alias.name) for alias in node.names]
        else:
            continue
        yield from (
            (node.lineno, target, name) for target, name in found if target.split(".")[0] == "recaudit"
        )


def origin(target: str, sources: Mapping[str, str]) -> str:
    """Follow ``target`` through the modules that pass it on, to the one that defines it."""
    owner, _, name = target.rpartition(".")
    place = "/".join(owner.split(".")[1:])
    for path in {f"{place}.py", f"{place}/__init__.py"} & set(sources):
        for _, further, local in imports(path, sources[path]):
            if local == name and further != target:
                return origin(further, sources)
    return target


def violations(sources: Mapping[str, str]) -> list[str]:
    """Return one line for each import that the layers forbid."""
    wrong = []
    for path, source in sorted(sources.items()):
        own = layer(path)
        if own in OUTSIDE:
            continue
        if own not in BASE + LAYERS:
            wrong.append(f"{path}: {own!r} stands in no layer; name its place in tests/test_layers.py")
            continue
        left = BASE + LAYERS[: LAYERS.index(own)] if own in LAYERS else ()
        for line, target, _ in imports(path, source):
            asked = target.split(".")[1] if "." in target else "__init__"
            if asked not in (*left, own, "__version__"):
                wrong.append(f"{path}:{line}: {own} imports {target}, which is not to its left")
            if own == "attacks" and reaches_split(origin(target, sources)):
                wrong.append(f"{path}:{line}: an attack imports {target}, and with it the truth of a split")
    return wrong


def reaches_split(target: str) -> bool:
    """Whether ``target`` is a module of splits, a part of one, or all of ``data``, whose attribute it is."""
    splits = ("recaudit.data.split.", "recaudit.data.membership.")
    return target == "recaudit.data" or f"{target}.".startswith(splits)


def test_each_layer_imports_only_to_its_left() -> None:
    assert violations(SOURCES) == []


def test_the_check_reads_the_whole_package() -> None:
    read = {layer(path) for path in SOURCES}
    assert read >= {"errors", "files", "metrics", "rng", "data", "models", "oracle", "attacks", "report"}


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("models/protocol.py", "from recaudit.oracle import Oracle"),
        ("models/protocol.py", "import recaudit.audit"),
        ("models/protocol.py", "import recaudit.audit as a"),
        ("models/protocol.py", "from recaudit import report"),
        ("models/protocol.py", "from recaudit import audit_it"),
        ("models/protocol.py", "import recaudit"),
        ("models/protocol.py", "from .. import cli"),
        ("models/protocol.py", "from ..attacks.protocol import Knowledge"),
        ("models/__init__.py", "from ..attacks.protocol import Knowledge"),
        ("models/protocol.py", "def late():\n    from recaudit.cli import main"),
        (
            "models/protocol.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from recaudit.audit import Audit",
        ),
        ("rng.py", "from recaudit.errors import UsageError"),
        ("metrics/ranking.py", "from recaudit.data.interactions import Interactions"),
        ("attacks/stealing/surrogate.py", "from ...audit import run"),
        ("utils.py", ""),
    ],
)
def test_the_check_catches_an_import_to_the_right(path: str, source: str) -> None:
    assert [line.split(":")[0] for line in violations({path: source})] == [path]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "models/protocol.py",
            "from recaudit.data.interactions import Interactions\nfrom recaudit.errors import UsageError",
        ),
        (
            "models/protocol.py",
            "from . import losses\nfrom .losses import bpr\nfrom ..data import interactions",
        ),
        ("models/__init__.py", "from .protocol import TopK"),
        ("report/html.py", "from recaudit import __version__"),
        ("metrics/__init__.py", "from recaudit.metrics.ranking import recall"),
        ("attacks/protocol.py", "from recaudit.data.interactions import Interactions"),
        ("cli.py", "from recaudit.report import tables\nimport recaudit.data.split"),
        ("__init__.py", "from recaudit.audit import audit"),
    ],
)
def test_the_check_lets_an_import_to_the_left_pass(path: str, source: str) -> None:
    assert violations({path: source}) == []


@pytest.mark.parametrize(
    "source",
    [
        "from recaudit.data.split import Split",
        "from recaudit.data import split",
        "import recaudit.data.split",
        "from ..data.split import Split",
        "from recaudit.data import Split",
        "from recaudit.data import Halves",
        "from recaudit.models.protocol import Split",
        "from recaudit import data",
        "import recaudit.data as d",
    ],
)
def test_the_check_catches_an_attack_that_reaches_the_truth(source: str) -> None:
    data = "from recaudit.data.interactions import Interactions\nfrom .split import Split, halves as Halves"
    models = "from recaudit.data.split import Split"
    planted = {
        "data/__init__.py": data,
        "data/split.py": "",
        "models/protocol.py": models,
        "attacks/protocol.py": source,
    }
    assert [line.split(":")[:2] for line in violations(planted)] == [["attacks/protocol.py", "1"]]


def test_an_attack_may_take_what_data_passes_on_from_elsewhere() -> None:
    data = "from recaudit.data.interactions import Interactions\nfrom .split import Split"
    taken = "from recaudit.data import Interactions"
    assert violations({"data/__init__.py": data, "data/split.py": "", "attacks/protocol.py": taken}) == []


@pytest.mark.parametrize("path", sorted(SOURCES))
def test_every_module_says_what_it_is(path: str) -> None:
    assert ast.get_docstring(ast.parse(SOURCES[path], path)), f"{path} has no docstring"


KINDS = ("models", "stealing_attacks", "membership_attacks", "defences", "victims")
NAMES = {name for kind in KINDS for name in entry_points(group=f"recaudit.{kind}").names}


def named(source: str) -> list[str]:
    """Return the texts in a source that are names of plug-ins, or hold one that is no plain word."""
    telling = [name for name in NAMES if not (name.isalpha() and name.islower())]
    texts = [
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return [
        text
        for text in texts
        if text in NAMES or any(name in re.split(r"[\s,='\"]+", text) for name in telling)
    ]


@pytest.mark.parametrize("path", sorted(path for path in SOURCES if layer(path) == "report"))
def test_the_report_knows_no_plug_in_by_name(path: str) -> None:
    assert named(SOURCES[path]) == []


def test_names_of_plug_ins_are_seen() -> None:
    source = """LOOKS = {'PTAQ': 1, 'difference': 2}; text = 'attack="QSD5"'; word = 'a difference'"""
    assert set(named(source)) == {"PTAQ", "difference", 'attack="QSD5"'}


LOADED = """
import importlib, pkgutil, sys
for name in sys.argv[1].split():
    module = importlib.import_module(name)
    if name != "recaudit":
        for below in pkgutil.walk_packages(getattr(module, "__path__", []), f"{name}."):
            importlib.import_module(below.name)
if "recaudit.experiments.papers" in sys.modules:
    from recaudit.experiments.papers import grid_names, load_grid
    from recaudit.experiments.papers.published import published
    for name in grid_names():
        load_grid(name), published(name)
print(*sys.modules)
"""


def loaded(modules: str) -> set[str]:
    """Return what a new interpreter has after ``modules`` and all below them (not below ``recaudit``)."""
    ran = subprocess.run([sys.executable, "-c", LOADED, modules], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.split())


@pytest.mark.parametrize(
    ("modules", "large"),
    [
        ("recaudit", {"torch", "numpy", "polars", "pydantic"}),
        (
            "recaudit.vocabulary recaudit.report recaudit.experiments.grid recaudit.experiments.table "
            "recaudit.experiments.papers",
            {"torch", "matplotlib.pyplot"},
        ),
        ("recaudit.cli.runs recaudit.cli.stores recaudit.pipeline.keys recaudit.pipeline.store", {"torch"}),
        ("recaudit.pipeline.pools.ray", {"ray"}),
    ],
)
def test_what_is_quick_to_import_loads_none_of_the_large_libraries(modules: str, large: set[str]) -> None:
    assert not loaded(modules) & large


def test_the_look_at_libraries_sees_torch() -> None:
    assert {"torch", "numpy"} <= loaded("recaudit.rng")
