"""A small audit: 80 users of two tastes, models of a few epochs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recaudit.audit import AuditResult, AuditSpec, run_audit

FEW = {"epochs": 2, "evaluate_every": 1, "patience": 2}


def write_data(path: Path, seed: int = 0) -> Path:
    """Write eight purchases each of 80 users over 40 items."""
    generator = np.random.default_rng(seed)
    lines = ["user,item"]
    for user in range(80):
        likes = np.where(np.arange(40) % 2 == user % 2, 6.0, 1.0) / (1 + np.arange(40))
        lines += [f"{user},{item}" for item in generator.choice(40, 8, replace=False, p=likes / likes.sum())]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "tiny.csv")


@pytest.fixture(scope="session")
def values(data) -> dict[str, Any]:
    """Plain values of the small audit, as from YAML."""
    return {
        "data": str(data),
        "victim": {
            "embedding_size": 8,
            "optimisation": {"learning_rate": 0.1},
            "stopping": {"epochs": 6, "evaluate_every": 2, "patience": 4},
        },
        "attacks": ["QSD", "PTD", "PTAQ"],
        "settings": {
            "QSD": {"lists_stopping": FEW},
            "PTD": {"stopping": FEW},
            "PTAQ": {"stopping": FEW, "lists_stopping": FEW},
        },
        "k": 5,
        "split": {"known": 0.5},
        "seeds": 2,
    }


@pytest.fixture(scope="session")
def out(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("audit") / "out"


@pytest.fixture(scope="session")
def found(values, out) -> AuditResult:
    """The small audit's result, whose seeds and victims lie in ``out``."""
    return run_audit(AuditSpec(**values), out=out)
