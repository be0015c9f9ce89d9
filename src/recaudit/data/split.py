"""Split users into the target's and the rest, and hold out some of the target's interactions."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int32, Int64
from pydantic import BaseModel, ConfigDict, Field, model_validator

from recaudit.data.interactions import Interactions
from recaudit.errors import UsageError
from recaudit.rng import numpy_generator

__all__ = ["Split", "SplitSpec", "cut_out", "marked_at_random", "split"]


class SplitSpec(BaseModel):
    """Shares of users and interactions that each side of an audit gets."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    target_share: float = Field(default=0.5, gt=0, lt=1)
    """Share of all users whose data trains the target model; the rest are auxiliary users."""

    known: float = Field(default=0.1, gt=0, le=1)
    """Share of the target's users whose training interactions the attacker knows."""

    queried: float = Field(default=0.8, gt=0, lt=1)
    """Share of the known users whose lists the attacker asks for."""

    validation: float = Field(default=0.1, gt=0, lt=1)
    """Share of the known users whom the attacker keeps for validation. Known users who are neither
    queried nor for validation are the unqueried test users."""

    heldout: float = Field(default=0.1, gt=0, lt=1)
    """Share of the target's interactions held out to judge recommendation quality."""

    heldout_by: Literal["random", "time"] = "random"
    """``random``: drawn from all of the target's interactions; ``time``: each user's last ones."""

    auxiliary_share: float = Field(default=1.0, gt=0, le=1)
    """Share of the auxiliary users whose interactions the attacker has."""

    common_items: float = Field(default=1.0, gt=0, le=1)
    """Share of the catalogue's items whose auxiliary vectors the attacker can match to the target's (the
    overlap ratio of Zhu et al. 2023, section 5.3.3). It takes no interaction away."""

    @model_validator(mode="after")
    def _some_users_stay_unqueried(self) -> "SplitSpec":
        if self.queried + self.validation >= 1:
            raise ValueError(
                f"queried + validation is {self.queried:g} + {self.validation:g}; it must be below 1, "
                "so that some known users stay unqueried to test on"
            )
        return self


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Who is on which side. The attacker's part of the target is ``target.of_users(known)``.

    Args:
        target: training interactions of the target's T users; its catalogue is the whole data's.
        auxiliary: interactions of the auxiliary users that the attacker has, over the same catalogue.
        heldout_offsets: where each target user's held-out items begin and end; a user may have none.
        heldout_items: the held-out items, none of which stands in the same user's training interactions.
        known: numbers in ``target`` of the K users whom the attacker knows, ascending.
        queried: positions in ``known`` of the users whose lists the attacker asks for, ascending.
        validation: positions in ``known`` of the attacker's own validation users, ascending.
        unqueried: positions in ``known`` of the test users whose lists nobody asks for, ascending.
            These three are disjoint and cover ``known``.
        common: the items whose auxiliary vectors the attacker can match to the target's.
    """

    target: Interactions
    auxiliary: Interactions
    heldout_offsets: Int64[np.ndarray, "T1"]
    heldout_items: Int32[np.ndarray, "H"]
    known: Int64[np.ndarray, "K"]
    queried: Int64[np.ndarray, "Q"]
    validation: Int64[np.ndarray, "V"]
    unqueried: Int64[np.ndarray, "W"]
    common: Bool[np.ndarray, "I"]

    def __post_init__(self) -> None:
        for part in (self.heldout_offsets, self.heldout_items, self.known):
            part.flags.writeable = False
        for part in (self.queried, self.validation, self.unqueried, self.common):
            part.flags.writeable = False


def split(interactions: Interactions, spec: SplitSpec, seed: int) -> Split:
    """Split ``interactions`` as ``spec`` says; the same seed gives the same split.

    Every choice has its own stream, so that changing one share leaves the others' choices as they were: with
    another ``known`` the halves and the held-out interactions stay, and a greater ``known``,
    ``auxiliary_share`` or ``target_share`` keeps the users that a smaller one chose, as a greater
    ``common_items`` keeps the items.

    Raises:
        UsageError: where a side would be left without users, where nothing could be held out, where no item
            would be common, or where ``heldout_by`` is "time" and the data have no times.
    """
    n_users = interactions.n_users
    shuffled = numpy_generator(seed, "split", "halves").permutation(n_users)
    n_target = round(spec.target_share * n_users)
    if not 0 < n_target < n_users:
        raise UsageError(
            f"target_share={spec.target_share:g} of {n_users} users gives the target {n_target} and the "
            f"auxiliary data {n_users - n_target}; both need one: "
            f"{'raise' if n_target == 0 else 'lower'} target_share or take more users"
        )
    target = interactions.of_users(np.sort(shuffled[:n_target]))

    others = numpy_generator(seed, "split", "auxiliary").permutation(shuffled[n_target:])
    n_auxiliary = _some("auxiliary_share", spec.auxiliary_share, len(others), "auxiliary", n_users)
    auxiliary = interactions.of_users(np.sort(others[:n_auxiliary]))

    n_known = _some("known", spec.known, n_target, "target", n_users)
    known = np.sort(numpy_generator(seed, "split", "known").permutation(n_target)[:n_known])
    queried, validation, unqueried = _roles(spec, n_known, n_users, seed)

    rest, heldout_offsets, heldout_items = cut_out(target, _held_out(target, spec, seed))
    return Split(
        target=rest,
        auxiliary=auxiliary,
        heldout_offsets=heldout_offsets,
        heldout_items=heldout_items,
        known=known,
        queried=queried,
        validation=validation,
        unqueried=unqueried,
        common=_common(interactions.n_items, spec.common_items, seed),
    )


def _some(option: str, share: float, total: int, whose: str, n_users: int) -> int:
    """Return ``share`` of ``total`` users, rounded, or say that it is nobody."""
    count = round(share * total)
    if count == 0:
        raise UsageError(
            f"{option}={share:g} of {total} {whose} users ({n_users} in all) is nobody; raise {option}"
        )
    return count


def _roles(spec: SplitSpec, n_known: int, n_users: int, seed: int) -> list[np.ndarray]:
    """Return positions 0..n_known-1 of the queried, validation and unqueried users, each ascending."""
    n_queried, n_validation = round(spec.queried * n_known), round(spec.validation * n_known)
    n_unqueried = n_known - n_queried - n_validation
    if min(n_queried, n_validation, n_unqueried) < 1:
        raise UsageError(
            f"{n_known} known users (of {n_users} in all) are too few for queried={spec.queried:g} "
            f"({n_queried}), validation={spec.validation:g} ({n_validation}) and the rest unqueried "
            f"({max(n_unqueried, 0)}); each needs at least one: raise known or take more users"
        )
    # Validation first: more queried users then take from the unqueried alone.
    shuffled = numpy_generator(seed, "split", "roles").permutation(n_known)
    validation, queried, unqueried = np.split(shuffled, [n_validation, n_validation + n_queried])
    return [np.sort(part) for part in (queried, validation, unqueried)]


def _common(n_items: int, share: float, seed: int) -> np.ndarray:
    """Mark (I,) the common items."""
    count = round(share * n_items)
    if count == 0:
        raise UsageError(f"common_items={share:g} of {n_items} items is none; raise common_items")
    common = np.zeros(n_items, dtype=np.bool_)
    common[numpy_generator(seed, "split", "common items").permutation(n_items)[:count]] = True
    return common


def _held_out(target: Interactions, spec: SplitSpec, seed: int) -> np.ndarray:
    """Mark (N,) the held-out interactions: each user keeps at least one."""
    if spec.heldout_by == "time":
        held = _last_in_time(target, spec.heldout)
    else:
        held = marked_at_random(target, spec.heldout, numpy_generator(seed, "split", "heldout"))
    if not held.any():
        raise UsageError(
            f"heldout={spec.heldout:g} holds out none of the target's {len(target.items)} interactions, "
            f"of which each of its {target.n_users} users keeps one; raise heldout or take longer histories"
        )
    return held


def marked_at_random(
    interactions: Interactions, share: float, random: np.random.Generator
) -> Bool[np.ndarray, "N"]:
    """Mark a ``share`` of all interactions, drawn from all of them at once, but never all of a user's.

    Where the share asks for more than users can spare, each keeps exactly one.
    """
    order = random.permutation(len(interactions.items))
    # The interaction of each user that would be marked last stays unmarked.
    last = np.maximum.reduceat(order, interactions.offsets[:-1])
    free = np.flatnonzero(order != last[interactions.users])
    count = round(share * len(interactions.items))
    marked = np.zeros(len(interactions.items), dtype=np.bool_)
    marked[free[np.argsort(order[free])[:count]]] = True
    return marked


def cut_out(
    interactions: Interactions, marked: Bool[np.ndarray, "N"]
) -> tuple[Interactions, Int64[np.ndarray, "U1"], Int32[np.ndarray, "H"]]:
    """Return the unmarked interactions, and where each user's marked items begin and end, and those items.

    Each user must keep an unmarked interaction: the users' numbers then stay as they are.
    """
    lengths = np.bincount(interactions.users[marked], minlength=interactions.n_users)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return interactions.where(~marked), offsets, interactions.items[marked]


def _last_in_time(target: Interactions, share: float) -> np.ndarray:
    """Mark each user's last interactions; a user whose times are all equal goes by the file's order."""
    if target.times is None:
        raise UsageError(f"heldout_by is 'time', but the data {target.name!r} have no times; use 'random'")
    counts = np.minimum(np.rint(share * target.lengths).astype(np.int64), target.lengths - 1)
    # Histories stand oldest first.
    from_the_end = target.offsets[1:][target.users] - np.arange(len(target.items))
    marked: np.ndarray = from_the_end <= counts[target.users]
    return marked
