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


# serving: attack or blind feature: auc, tpr@0.01, tpr@0.001, accuracy
_LEAKS: dict[str, dict[str, tuple[float, float, float, float | None]]] = {
    "everyone-folded": {
        "difference": (0.514, 0.012, 0.002, 0.508),
        "rich": (0.563, 0.021, 0.003, 0.544),
        "rich (stranger)": (0.549, 0.018, 0.003, 0.531),
        "lira-items": (0.597, 0.041, 0.007, 0.566),
        "lira-items (stranger)": (0.531, 0.014, 0.001, 0.521),
        "lira-lists": (0.581, 0.029, 0.004, 0.557),
        "lira-lists (stranger)": (0.542, 0.017, 0.002, 0.528),
        "stack": (0.634, 0.063, 0.012, 0.592),
        "stack (stranger)": (0.556, 0.024, 0.003, 0.539),
        "blind: popular share": (0.506, 0.011, 0.001, None),
        "blind: seen item": (0.5, 0.01, 0.001, None),
        "blind: history length": (0.497, 0.009, 0.0, None),
        "blind: list constancy": (0.511, 0.013, 0.002, None),
        "blind: best single feature": (0.509, 0.012, 0.001, 0.504),
    },
    "popular": {
        "difference": (0.852, 0.183, 0.041, 0.781),
        "rich": (0.946, 0.512, 0.214, 0.872),
        "rich (stranger)": (0.943, 0.503, 0.207, 0.868),
        "lira-items": (0.931, 0.447, 0.165, 0.859),
        "lira-items (stranger)": (0.904, 0.351, 0.109, 0.827),
        "lira-lists": (0.938, 0.471, 0.187, 0.864),
        "lira-lists (stranger)": (0.921, 0.402, 0.141, 0.846),
        "stack": (0.957, 0.563, 0.262, 0.887),
        "stack (stranger)": (0.947, 0.521, 0.223, 0.874),
        "blind: popular share": (0.951, 0.531, 0.237, None),
        "blind: seen item": (0.5, 0.01, 0.001, None),
        "blind: history length": (0.497, 0.009, 0.0, None),
        "blind: list constancy": (0.927, 0.412, 0.152, None),
        "blind: best single feature": (0.951, 0.531, 0.237, 0.879),
    },
}
_RATES = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def _leak(serving: str | None, attack: str, users: str, metric: str, value: float | None) -> dict[str, Any]:
    row = _row(attack, users, metric, value, 0.018 if metric == "auc" else 0.008)
    names = {"data": "ml-latest-small", "victim": "lfm", "clone": None}
    row |= names | {"threat": "membership", "serving": serving}
    if value is not None and metric != "seconds":
        row |= {"low": max(0.0, row["low"]), "high": min(1.0, row["high"])}
    return row


def _leaks() -> list[dict[str, Any]]:
    rows = []
    for serving, attacks in _LEAKS.items():
        for attack, found in attacks.items():
            metrics = ("auc", "tpr@0.01", "tpr@0.001", "accuracy")
            rows += [
                _leak(serving, attack, "candidates", metric, value)
                for metric, value in zip(metrics, found, strict=True)
                if value is not None
            ]
            if not attack.startswith("blind"):
                null = 0.5 + (len(attack) % 5 - 2) / 250
                rows.append(_leak(serving, f"null: {attack}", "candidates", "auc", null))
        for users, ndcg, recall in (("members", 0.231, 0.402), ("non-members", 0.172, 0.321)):
            rows.append(_leak(serving, "victim", users, "ndcg@10", ndcg))
            rows.append(_leak(serving, "victim", users, "recall@50", recall))
    seconds = {"victim": 4.31, "shadow": 2.15, "stack": 7.85}
    return [*rows, *(_leak(None, stage, "all", "seconds", value) for stage, value in seconds.items())]


def _curves() -> list[dict[str, Any]]:
    curves = []
    for serving, attacks in _LEAKS.items():
        for attack, (auc, *_) in attacks.items():
            # A curve of that area: tpr = fpr ** (1 / auc - 1).
            tpr = [0.0 if rate == 0 else rate ** (1 / auc - 1) for rate in _RATES]
            spread = [0.12 * (one - one**2) for one in tpr]
            curves.append(
                {
                    "serving": serving,
                    "attack": attack,
                    "fpr": list(_RATES),
                    "tpr": tpr,
                    "low": [a - b for a, b in zip(tpr, spread, strict=True)],
                    "high": [a + b for a, b in zip(tpr, spread, strict=True)],
                }
            )
    return curves


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


def card(name: str, order: int, *needs: str) -> dict[str, Any]:
    """Return an invented visiting card as ``result.json`` has it."""
    sentence = f"What {name} does."
    return {"name": name, "label": name, "order": order, "sentence": sentence, "needs": list(needs)}


_CARDS: dict[str, Any] = {
    "attacks": [
        card("QSD", 0, "lists"),
        card("PTD", 100, "histories"),
        card("PTQ", 110, "histories", "lists"),
        card("PTA", 120, "histories", "auxiliary"),
        card("PTAQ", 130, "histories", "auxiliary", "lists"),
    ],
    "membership_attacks": [],
    "victim": card("bpr", 0),
    "clone": card("bpr", 0),
    "defence": None,
}
_MEMBERSHIP_CARDS = [
    card("difference", 0, "auxiliary", "lists", "shadows"),
    *(
        card(f"{name} (stranger)", order, "auxiliary", "lists", "shadows")
        for order, name in enumerate(("rich", "lira-items", "lira-lists", "stack"), 1)
    ),
    *(
        card(name, order, "histories", "lists", "shadows")
        for order, name in enumerate(("rich", "lira-items", "lira-lists", "stack"), 10)
    ),
]


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
            "cards": _CARDS,
        }
    )


@pytest.fixture
def result(values: dict[str, Any]) -> Result:
    """The invented result."""
    return parse_result(values)


# attack: unqueried, unseen, lists, sequences, calls
_SEQUENTIAL: dict[str, tuple[float, float, int, int, int]] = {
    "popularity": (0.19, 0.18, 0, 0, 0),
    "constant": (0.262, 0.255, 0, 0, 0),
    "auxiliary": (0.481, 0.474, 0, 0, 0),
    "PTAQ": (0.613, 0.604, 288, 0, 2),
    "QSD30": (0.457, 0.45, 8640, 432, 20),
    "QSD5": (0.16, 0.155, 1440, 72, 20),
    "QSD5(random)": (0.15, 0.142, 1440, 72, 20),
    "PTD": (0.49, 0.481, 0, 0, 0),
    "retrained": (0.72, 0.715, 0, 0, 0),
}


@pytest.fixture
def sequential_values(values: dict[str, Any]) -> dict[str, Any]:
    """The plain values of an invented result of a recommender that reads histories; free to change."""
    rows: list[dict[str, Any]] = []
    for attack, (unqueried, unseen, lists, sequences, calls) in _SEQUENTIAL.items():
        rows += [
            _row(attack, "unqueried", "agreement@50", unqueried, 0.02),
            _row(attack, "queried", "agreement@50", unqueried + 0.01, 0.01),
            _row(attack, "unseen", "agreement@50", unseen, 0.008),
            _row(attack, "all", "recall@50", unqueried / 2, 0.006),
        ]
        if attack not in {"popularity", "constant", "auxiliary", "retrained"}:
            counts = {"lists": lists, "users": lists - sequences, "sequences": sequences, "calls": calls}
            rows += [_row(attack, "all", metric, count) for metric, count in counts.items()]
    synthetic = {
        "QSD5": {"times": 5.0, "length": 20, "drawing": "autoregressive"},
        "QSD30": {"times": 30, "length": 20, "drawing": "autoregressive"},
        "QSD5(random)": {"times": 5, "length": 20, "drawing": "random"},
    }
    served = {"recall@50": 0.31, "ndcg@50": 0.12, "diversity@50": 0.83, "coverage@50": 0.61}
    rows += [_row("victim", "target", metric, value, 0.01) for metric, value in served.items()]
    rows += [_row("victim", "all", "recall@50", 0.32, 0.01)]
    return values | {
        "figures": [row | {"victim": "sasrec", "clone": "sasrec"} for row in rows],
        "spec": values["spec"] | {"settings": synthetic, "attacks": [*synthetic, "PTD", "PTAQ"]},
        "data": values["data"] | {"unseen_users": 1702},
        "ledgers": [],
        "stages": [],
        "cards": values["cards"]
        | {
            "attacks": [
                *(card(name, order, "lists") for order, name in enumerate(synthetic, 15)),
                *values["cards"]["attacks"],
            ],
            "victim": card("sasrec", 0, "histories"),
            "clone": card("sasrec", 0, "histories"),
        },
    }


@pytest.fixture
def membership_values(values: dict[str, Any]) -> dict[str, Any]:
    """The plain values of an invented result of membership inference alone; free to change in a test."""
    sizes = {
        "name": "ml-latest-small",
        "n_users": 610,
        "n_items": 9724,
        "n_interactions": 100836,
        "density": 0.017,
        "candidate_users": 204,
        "member_users": 102,
        "shadow_users": 204,
        "attacker_users": 202,
    }
    best = {"everyone-folded": ["list constancy", "popular share"], "popular": ["popular share"]}
    return values | {
        "spec": {
            "data": {"source": "ml-latest-small"},
            "victim": {"model": "lfm"},
            "k": 50,
            "threats": ["membership"],
            "membership": {"serving": ["everyone-folded", "popular"], "shadows": 8},
            "seeds": [0, 1, 2, 3, 4],
        },
        "data": sizes,
        "ledgers": [],
        "stages": [{"seed": 0, "stage": "membership, popular", "seconds": 12.5, "epochs": None}],
        "figures": _leaks(),
        "curves": _curves(),
        "blind": [
            {"serving": serving, "seed": seed, "best": names[seed % len(names)]}
            for serving, names in best.items()
            for seed in range(5)
        ],
        "cards": values["cards"]
        | {
            "attacks": [],
            "membership_attacks": _MEMBERSHIP_CARDS,
            "victim": card("lfm", 0),
            "clone": None,
        },
    }


@pytest.fixture
def both_values(values: dict[str, Any], membership_values: dict[str, Any]) -> dict[str, Any]:
    """The plain values of an invented result of both threats; free to change in a test."""
    figures = [row | {"data": "ml-1m", "victim": "bpr"} for row in membership_values["figures"]]
    return membership_values | {
        "spec": values["spec"] | {"threats": ["stealing", "membership"]},
        "data": membership_values["data"] | values["data"],
        "ledgers": values["ledgers"],
        "stages": values["stages"],
        "figures": [*values["figures"], *figures],
        "cards": values["cards"] | {"membership_attacks": _MEMBERSHIP_CARDS},
    }


@pytest.fixture
def membership_result(membership_values: dict[str, Any]) -> Result:
    """The invented result of membership inference alone."""
    return parse_result(membership_values)


@pytest.fixture
def both_result(both_values: dict[str, Any]) -> Result:
    """The invented result of both threats."""
    return parse_result(both_values)
