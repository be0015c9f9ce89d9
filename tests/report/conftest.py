"""A sample result for the report's tests. Its values are invented; they are no measurement of anything."""

import copy
from typing import Any

import pytest

from recaudit.report import Result, parse_result

# attack: unqueried, queried, rbo, recall, ndcg, lists, seconds
_INVENTED: dict[str, tuple[float, float, float, float, float, int, float]] = {
    "popularity": (0.28, 0.276, 0.19, 0.251, 0.141, 0, 0.4),
    "QSD": (0.057, 0.731, 0.04, 0.09, 0.05, 272, 41.25),
    "PTD": (0.486, 0.49, 0.39, 0.352, 0.201, 0, 22.5),
    "PTQ": (0.534, 0.668, 0.43, 0.371, 0.215, 272, 64.0),
    "PTA": (0.627, 0.631, 0.52, 0.402, 0.236, 0, 118.75),
    "PTAQ": (0.647, 0.729, 0.55, 0.405, 0.238, 272, 164.5),
    "retrained": (0.71, 0.712, 0.63, 0.418, 0.247, 0, 61.2),
}


def _row(
    attack: str, users: str, metric: str, value: float | None, spread: float | None = None
) -> dict[str, Any]:
    low, high = (None, None) if value is None or spread is None else (value - spread, value + spread)
    names = {
        "data": "ml-1m",
        "victim": "bpr",
        "clone": "bpr",
        "attack": attack,
        "users": users,
        "metric": metric,
    }
    return names | {"value": value, "low": low, "high": high, "seeds": 5}


def _figures() -> list[dict[str, Any]]:
    rows = []
    floor, ceiling = _INVENTED["popularity"][0], _INVENTED["retrained"][0]
    for attack, (unqueried, queried, rbo, recall, ndcg, lists, seconds) in _INVENTED.items():
        rows += [
            _row(attack, "unqueried", "agreement@50", unqueried, 0.024),
            _row(attack, "queried", "agreement@50", queried, 0.011),
            _row(attack, "all", "agreement@50", (unqueried + 8 * queried) / 9, 0.01),
            _row(attack, "unqueried", "place@50", (unqueried - floor) / (ceiling - floor), 0.05),
            _row(attack, "unqueried", "rbo@50", rbo, 0.02),
            _row(attack, "all", "recall@50", recall, 0.006),
            _row(attack, "all", "ndcg@50", ndcg, 0.005),
        ]
        if attack not in {"popularity", "retrained"}:
            counts = {"lists": lists, "users": lists, "items": 2310 if lists else 0}
            rows += [_row(attack, "all", metric, count) for metric, count in counts.items()]
        rows.append(_row(attack, "all", "seconds", seconds, seconds / 20))
    return [
        *rows,
        _row("victim", "all", "recall@50", 0.43605, 0.006),
        _row("victim", "all", "ndcg@50", 0.259, 0.005),
    ]


_SPEC = {
    "data": {"source": "ml-1m", "binarise": True},
    "victim": {"model": "bpr", "embedding_size": 64, "learning_rate": 0.001, "batch_size": 2048},
    "clone": {"model": "bpr", "embedding_size": 64, "ranking_loss": "bpr", "positive_loss": "hinge"},
    "attacks": ["QSD", "PTD", "PTQ", "PTA", "PTAQ"],
    "k": 50,
    "split": {"known": 0.1, "queried": 0.8, "validation": 0.1, "heldout": 0.1, "order": "random"},
    "queries": None,
    "seeds": [0, 1, 2, 3, 4],
    "device": "cpu",
}
_DATA = {
    "name": "ml-1m",
    "n_users": 6040,
    "n_items": 3706,
    "n_interactions": 1000209,
    "density": 0.0446838,
    "target_users": 3020,
    "auxiliary_users": 3020,
    "target_interactions": 450061,
    "known_users": 302,
    "queried_users": 242,
    "validation_users": 30,
    "unqueried_users": 30,
}


@pytest.fixture
def values() -> dict[str, Any]:
    """The plain values of an invented result, as ``result.json`` holds them; free to change in a test."""
    stages: list[dict[str, Any]] = []
    for seed in range(5):
        stages.append({"seed": seed, "stage": "victim", "seconds": 61.2 + seed, "epochs": 95})
        stages.append({"seed": seed, "stage": "auxiliary", "seconds": 58.0, "epochs": 90})
        stages += [
            {"seed": seed, "stage": name, "seconds": row[-1], "epochs": None}
            for name, row in _INVENTED.items()
        ]
    ledgers = [
        {"attack": name, "seed": seed, "lists": 272, "users": 272, "items": 2310 + seed, "budget": None}
        for name in ("QSD", "PTQ", "PTAQ")
        for seed in range(5)
    ]
    return copy.deepcopy(
        {
            "recaudit": "0.1.0",
            "created": "2026-11-21T22:00:00Z",
            "spec": _SPEC,
            "spec_hash": "9f2c" * 16,
            "versions": {"python": "3.11.7", "torch": "2.13.0", "numpy": "2.3.1", "polars": "2.1.0"},
            "data": _DATA,
            "ledgers": ledgers,
            "stages": stages,
            "figures": _figures(),
        }
    )


@pytest.fixture
def result(values: dict[str, Any]) -> Result:
    """The invented result."""
    return parse_result(values)
