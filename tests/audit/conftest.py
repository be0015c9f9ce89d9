"""A small audit: 80 users of two tastes, models of a few epochs."""

from pathlib import Path
from typing import Any

import pytest

from recaudit.audit import AuditResult, AuditSpec, run_audit

FEW = {"epochs": 2, "evaluate_every": 1, "patience": 2}


@pytest.fixture(scope="session")
def data(tiny_data) -> Path:
    return tiny_data


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
        "threats": "stealing",
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
