"""What an audit measures: each user's values, by row and by seed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64

from recaudit.pipeline.keys import Artifact
from recaudit.pipeline.node import Codec
from recaudit.vocabulary import BLIND, NULL

__all__ = [
    "BLIND",
    "INFERRED",
    "JUDGED",
    "NULL",
    "Inferred",
    "Judged",
    "SeedResult",
    "ServedCandidates",
    "Values",
    "joined",
]

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
    """The scores of one membership attack, or of the blind panel, under one way of serving, in one seed.

    Args:
        scores: by name, one score a candidate, as log-odds; ``blind: …`` and ``null: …`` among them. The
            scores of a null control are those of a victim that was trained on none of the candidates.
        quality: by metric, one value a candidate, nan where nothing of the candidate is held out; the blind
            panel's node has it.
        seconds: the attack's seconds with those of the attacker's models that it learns from.
        ledger: what the attack asked of the victim.
        best: name of the best single feature, as the attacker's own shadow chose it; of the blind panel.
    """

    scores: dict[str, Float64[np.ndarray, "C"]]
    quality: dict[str, Float64[np.ndarray, "C"]] = field(default_factory=dict)
    seconds: float = 0.0
    ledger: dict[str, int] = field(default_factory=dict)
    best: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class ServedCandidates:
    """All that membership inference found under one way of serving, in one seed.

    Args:
        members: which of the C candidates the victim was trained on.
        attacks: by attack, what it found.
        blind: what the blind panel found, and the quality of the victim's lists.
    """

    members: Bool[np.ndarray, "C"]
    attacks: dict[str, Inferred]
    blind: Inferred

    @property
    def scores(self) -> dict[str, Float64[np.ndarray, "C"]]:
        """One score a candidate, by attack, then by blind feature, then by null control."""
        own = {name: one.scores[name] for name, one in self.attacks.items()}
        null = {key: one.scores[key] for one in self.attacks.values() for key in one.scores if key not in own}
        return own | self.blind.scores | null


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """What one seed measured.

    Args:
        seed: the seed.
        users: by role (``all``, ``queried``, ``unqueried``, ``unseen``, ``target``), how many users have that
            role.
        values: by attack, metric and role, one value a user.
        ledgers: what each attack asked.
        stages: seconds and epochs of each row; an attack's seconds count the results that it shares.
        interactions: number of the target's training interactions; 0 where nothing is stolen.
        inferred: by serving, what membership inference found.
    """

    seed: int
    users: dict[str, int] = field(default_factory=dict)
    values: dict[str, Values] = field(default_factory=dict)
    ledgers: list[dict[str, Any]] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)
    interactions: int = 0
    inferred: dict[str, ServedCandidates] = field(default_factory=dict)


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


def _packed_judged(judged: Judged) -> Artifact:
    tensors = {
        f"{metric} {role}": torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64))
        for metric, roles in judged.values.items()
        for role, values in roles.items()
    }
    # Tensors come back in an order of their own.
    return Artifact(
        tensors=tensors, facts={"cost": judged.cost, "ledger": judged.ledger, "order": list(tensors)}
    )


def _unpacked_judged(artifact: Artifact) -> Judged:
    values: Values = {}
    for name in artifact.facts["order"]:
        metric, role = name.split(" ")
        values.setdefault(metric, {})[role] = artifact.tensors[name].numpy()
    return Judged(values=values, cost=dict(artifact.facts["cost"]), ledger=artifact.facts["ledger"])


JUDGED: Codec[Judged] = Codec(pack=_packed_judged, unpack=_unpacked_judged)
"""How a judged row is kept."""


def _packed_inferred(found: Inferred) -> Artifact:
    groups = {"scores": found.scores, "quality": found.quality}
    tensors = {
        f"{group}.{name}": torch.from_numpy(array)
        for group, values in groups.items()
        for name, array in values.items()
    }
    facts = {
        **{group: list(values) for group, values in groups.items()},
        "seconds": found.seconds,
        "ledger": found.ledger,
        "best": found.best,
    }
    return Artifact(tensors=tensors, facts=facts)


def _unpacked_inferred(artifact: Artifact) -> Inferred:
    def group(name: str) -> dict[str, np.ndarray]:
        return {key: artifact.tensors[f"{name}.{key}"].numpy() for key in artifact.facts[name]}

    facts = artifact.facts
    return Inferred(
        scores=group("scores"),
        quality=group("quality"),
        seconds=facts["seconds"],
        ledger=dict(facts["ledger"]),
        best=facts["best"],
    )


INFERRED: Codec[Inferred] = Codec(pack=_packed_inferred, unpack=_unpacked_inferred)
"""How the scores of a membership attack are kept."""
