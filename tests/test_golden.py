"""The golden gate: the keys of all planned nodes and the figures of small audits, as they were committed.

A moved line of code must not change a key or a figure. With `RECAUDIT_GOLDEN=write` the test writes the files
anew, where a change is meant. `RECAUDIT_GOLDEN=exact` compares figures to the bit, which holds on the machine
that wrote them. Elsewhere figures are compared within `TOLERANCE`: bits are promised on one machine only.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recaudit.audit import run_audit
from recaudit.audit.spec import audit_spec
from recaudit.audit.tasks import plan_audits
from recaudit.pipeline import Store, keys

FOLDER = Path(__file__).parent / "golden"
MODE = os.environ.get("RECAUDIT_GOLDEN", "")
TOLERANCE = 0.05

FEW = {"epochs": 4, "evaluate_every": 2, "patience": 2}
FAST = {"embedding_size": 8, "optimisation": {"learning_rate": 0.05, "batch_size": 256}, "stopping": FEW}
SURROGATE = {"stopping": FEW, "lists_stopping": FEW}
SEQUENTIAL = {"model": "gru4rec", "embedding_size": 8, "max_length": 6, "stopping": FEW}

SPECS: dict[str, dict[str, Any]] = {
    "both-threats": {
        "victim": {"model": "bpr", **FAST},
        "attacks": ["QSD", "PTD", "PTQ", "PTA", "PTAQ"],
        "settings": dict.fromkeys(("QSD", "PTQ", "PTAQ"), SURROGATE)
        | {name: {"stopping": FEW} for name in ("PTD", "PTA")},
        "k": 5,
        "split": {"known": 0.5, "common_items": 0.8},
        "membership": {"shadows": 4, "vectors": 4},
        "seeds": 2,
    },
    "sequential": {
        "victim": SEQUENTIAL,
        "threats": "stealing",
        "attacks": ["QSD5", "PTD", "PTAQ"],
        "settings": {
            "QSD5": {"length": 5, "stopping": FEW},
            "PTD": {"stopping": FEW},
            "PTAQ": SURROGATE,
        },
        "k": 5,
        "split": {"known": 0.5},
        "queries": 200,
        "defence": {"mixed": 1},
    },
}

KEYS_ALONE: dict[str, dict[str, Any]] = {
    "defended-lmf": {
        "victim": "lmf",
        "clone": {"model": "ncf", "embedding_size": 8},
        "threats": "stealing",
        "attacks": "PTQ,PTAQ(Pre)",
        "k": 5,
        "queries": 40,
        "split": {"known": 0.5},
        "defence": {"mixed": 2},
    },
    "membership-lfm": {
        "victim": "lfm",
        "threats": "membership",
        "k": 5,
        "membership": {
            "serving": "popular",
            "attacks": "difference,stack",
            "shadows": 6,
            "shadow": "item-knn",
            "null": False,
        },
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Write eight purchases in order of each of 90 users over 36 items: integers alone, alike everywhere."""
    path, generator = tmp_path_factory.mktemp("golden") / "golden.csv", np.random.default_rng(7)
    lines = ["user,item,time"]
    for user in range(90):
        taste = user % 3
        near = generator.permutation(12)[:6] * 3 + taste
        far = generator.permutation(36)
        chosen = [*near, *(item for item in far if item not in near)][:8]
        lines += [f"u{user},i{item},{place}" for place, item in enumerate(chosen)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def stored(name: str, found: Any) -> Any:
    """Return the committed content of a file, which `RECAUDIT_GOLDEN=write` replaces first."""
    path = FOLDER / name
    if MODE == "write":
        path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize("name", [*SPECS, *KEYS_ALONE])
def test_keys_of_all_planned_nodes(name, data, tmp_path, monkeypatch) -> None:
    # Keys hold the versions of what computes; the committed ones are those of no version in particular.
    monkeypatch.setattr(keys, "versions", lambda: {"recaudit": "golden"})
    spec = audit_spec({"data": str(data), **{**SPECS, **KEYS_ALONE}[name]})
    planned = plan_audits([(spec, seed) for seed in spec.seeds], Store(tmp_path))
    found = [[one.task.label, key] for key, one in planned.items()]
    assert found == stored(f"{name}.keys.json", found)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.slow
def test_figures(name, data) -> None:
    result = run_audit(audit_spec({"data": str(data), **SPECS[name]}))
    rows = [
        {key: row[key] for key in ("attack", "users", "metric", "serving", "value", "low", "high")}
        for row in result.content["figures"]
        if row["metric"] != "seconds"
    ]
    golden = stored(f"{name}.figures.json", rows)
    if MODE == "exact":
        assert rows == golden
        return
    assert len(rows) == len(golden)
    for row, before in zip(rows, golden, strict=True):
        for key, value in before.items():
            if isinstance(value, float):
                assert row[key] == pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE), (row, before)
            else:
                assert row[key] == value
