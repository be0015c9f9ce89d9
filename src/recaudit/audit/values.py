"""What an audit measures: each user's values, by row and by seed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from recaudit.store import Piece

__all__ = ["Judged", "SeedResult", "Values", "packed_values", "unpacked_values"]

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


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """What one seed measured.

    Args:
        seed: the seed.
        users: by role (``all``, ``queried``, ``unqueried``, ``target``), how many users have that role.
        values: by attack, metric and role, one value a user.
        ledgers: what each attack asked.
        stages: seconds and epochs of each stage; an attack's seconds count the stages that it shares.
        interactions: number of the target's training interactions.
    """

    seed: int
    users: dict[str, int]
    values: dict[str, Values]
    ledgers: list[dict[str, Any]]
    stages: list[dict[str, Any]]
    interactions: int


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
