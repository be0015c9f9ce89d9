"""What an audit measures: each user's values, by row and by seed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64

from recaudit.pipeline import Piece

__all__ = [
    "BLIND",
    "NULL",
    "Inferred",
    "Judged",
    "SeedResult",
    "Values",
    "joined",
    "packed_inferred",
    "packed_values",
    "unpacked_inferred",
    "unpacked_values",
]

BLIND, NULL = "blind: ", "null: "
"""How the names of blind detectors and of null controls begin among the scores."""

Values = dict[str, dict[str, Float64[np.ndarray, "_"]]]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """How one row of the audit came out: floor, ceiling, victim or an attack.

    Args:
        values: by metric and role, one value a user.
        cost: seconds, as if it ran alone, and epochs where it trained a model; empty for the floor.
        ledger: what it asked of the victim; ``None`` where it is no attack.
    """

    values: Values
    cost: dict[str, Any]
    ledger: dict[str, int] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Inferred:
    """What membership inference found under one way of serving, in one seed.

    Args:
        members: which of the C candidates the victim was trained on.
        scores: by attack, one score a candidate, as log-odds; ``blind: …`` and ``null: …`` among them. The
            scores of a null control are those of a victim that was trained on none of the candidates.
        quality: by metric, one value a candidate, nan where nothing of the candidate is held out.
        best: name of the best single feature, as the attacker's own shadow chose it.
        cost: by attack, its seconds with those of the attacker's models; features and classifiers that
            attacks share count for the first of them.
        ledgers: by attack, what it asked of the victim.
    """

    members: Bool[np.ndarray, "C"]
    scores: dict[str, Float64[np.ndarray, "C"]]
    quality: dict[str, Float64[np.ndarray, "C"]]
    best: str
    cost: dict[str, float]
    ledgers: dict[str, dict[str, int]]


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """What one seed measured.

    Args:
        seed: the seed.
        users: by role (``all``, ``queried``, ``unqueried``, ``unseen``, ``target``), how many users have that
            role.
        values: by attack, metric and role, one value a user.
        ledgers: what each attack asked.
        stages: seconds and epochs of each stage; an attack's seconds count the stages that it shares.
        interactions: number of the target's training interactions; 0 where nothing is stolen.
        inferred: by serving, what membership inference found.
    """

    seed: int
    users: dict[str, int] = field(default_factory=dict)
    values: dict[str, Values] = field(default_factory=dict)
    ledgers: list[dict[str, Any]] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)
    interactions: int = 0
    inferred: dict[str, Inferred] = field(default_factory=dict)


def joined(parts: Sequence[SeedResult]) -> SeedResult:
    """Return what the threats of one seed measured, together."""
    return SeedResult(
        seed=parts[0].seed,
        users={role: count for part in parts for role, count in part.users.items()},
        values={row: values for part in parts for row, values in part.values.items()},
        ledgers=[ledger for part in parts for ledger in part.ledgers],
        stages=[stage for part in parts for stage in part.stages],
        interactions=sum(part.interactions for part in parts),
        inferred={serving: found for part in parts for serving, found in part.inferred.items()},
    )


def packed_values(judged: Judged) -> Piece:
    """Return what is kept of a row."""
    tensors = {
        f"{metric} {role}": torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64))
        for metric, roles in judged.values.items()
        for role, values in roles.items()
    }
    # Tensors come back in an order of their own.
    return Piece(
        tensors=tensors, facts={"cost": judged.cost, "ledger": judged.ledger, "order": list(tensors)}
    )


def unpacked_values(piece: Piece) -> Judged:
    """Return the row that ``piece`` was packed from."""
    values: Values = {}
    for name in piece.facts["order"]:
        metric, role = name.split(" ")
        values.setdefault(metric, {})[role] = piece.tensors[name].numpy()
    return Judged(values=values, cost=dict(piece.facts["cost"]), ledger=piece.facts["ledger"])


def packed_inferred(found: Inferred) -> Piece:
    """Return what is kept of membership inference under one way of serving."""
    groups = {"scores": found.scores, "quality": found.quality}
    tensors = {"members": torch.from_numpy(found.members)}
    for group, values in groups.items():
        tensors |= {f"{group}.{name}": torch.from_numpy(array) for name, array in values.items()}
    facts = {
        **{group: list(values) for group, values in groups.items()},
        "best": found.best,
        "cost": found.cost,
        "ledgers": found.ledgers,
    }
    return Piece(tensors=tensors, facts=facts)


def unpacked_inferred(piece: Piece) -> Inferred:
    """Return what ``piece`` was packed from."""

    def group(name: str) -> dict[str, np.ndarray]:
        return {key: piece.tensors[f"{name}.{key}"].numpy() for key in piece.facts[name]}

    return Inferred(
        members=piece.tensors["members"].numpy(),
        scores=group("scores"),
        quality=group("quality"),
        best=piece.facts["best"],
        cost=dict(piece.facts["cost"]),
        ledgers=dict(piece.facts["ledgers"]),
    )
