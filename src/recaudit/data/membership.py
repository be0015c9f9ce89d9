"""Split users for membership inference: who trained the target, who the shadow, and what is held out."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32, Int64
from pydantic import BaseModel, ConfigDict, Field, model_validator

from recaudit.data.interactions import Interactions
from recaudit.data.split import cut_out, marked_at_random
from recaudit.errors import UsageError
from recaudit.rng import numpy_generator

__all__ = ["MembershipSplit", "MembershipSplitSpec", "membership_split"]


class MembershipSplitSpec(BaseModel):
    """Shares of users and interactions in a membership audit.

    Args:
        target_share: share of all users who are attacked: half of them train the target, half do not.
        shadow_share: share of all users whose data are the attacker's shadow: half train the shadow model,
            half do not. Users of neither share are the attacker's further users.
        heldout: share of all interactions held out, whoever's they are, to judge recommendation quality.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    target_share: float = Field(default=1 / 3, gt=0, lt=1)
    shadow_share: float = Field(default=1 / 3, gt=0, lt=1)
    heldout: float = Field(default=0.1, gt=0, lt=1)

    @model_validator(mode="after")
    def _shares_fit(self) -> "MembershipSplitSpec":
        if self.target_share + self.shadow_share > 1:
            raise ValueError(
                f"target_share + shadow_share is {self.target_share:g} + {self.shadow_share:g}; it must be "
                "at most 1, because nobody is of both"
            )
        return self


@dataclass(frozen=True, kw_only=True, eq=False)
class MembershipSplit:
    """Who is a member of what. Users are numbered as in the data; all user numbers ascend.

    Candidates, shadow users and the others are disjoint and cover the data's U users.

    Args:
        histories: every user's history without what is held out; each user keeps at least one interaction.
        heldout_offsets: where each user's held-out items begin and end; a user may have none.
        heldout_items: the held-out items, none of which stands in the same user's history.
        candidates: the C users that are attacked.
        members: which candidates train the target, C // 2 of them. No attack may see it.
        shadow_users: the attacker's S shadow users.
        shadow_members: which of them train the shadow model, S // 2 of them.
        others: the attacker's V further users; there may be none.
    """

    histories: Interactions
    heldout_offsets: Int64[np.ndarray, "U1"]
    heldout_items: Int32[np.ndarray, "H"]
    candidates: Int64[np.ndarray, "C"]
    members: Bool[np.ndarray, "C"]
    shadow_users: Int64[np.ndarray, "S"]
    shadow_members: Bool[np.ndarray, "S"]
    others: Int64[np.ndarray, "V"]

    def __post_init__(self) -> None:
        for part in (self.heldout_offsets, self.heldout_items, self.candidates, self.members):
            part.flags.writeable = False
        for part in (self.shadow_users, self.shadow_members, self.others):
            part.flags.writeable = False


def membership_split(interactions: Interactions, spec: MembershipSplitSpec, seed: int) -> MembershipSplit:
    """Split ``interactions`` as ``spec`` says; the same seed gives the same split.

    The users are shuffled once. Candidates come from the front and shadow users from the back; every second
    one of them is a member. So a greater ``target_share`` keeps the candidates of a smaller one and who of
    them is a member, and changes no shadow user, as a greater ``shadow_share`` changes no candidate. What is
    held out depends on ``heldout`` and the seed alone.

    Raises:
        UsageError: where the candidates or the shadow users are fewer than two, so that one side has nobody,
            or where nothing could be held out.
    """
    n_users = interactions.n_users
    n_target = round(spec.target_share * n_users)
    # Two shares of half of an odd number of users may both round up.
    n_shadow = min(round(spec.shadow_share * n_users), n_users - n_target)
    for option, share, count in (
        ("target_share", spec.target_share, n_target),
        ("shadow_share", spec.shadow_share, n_shadow),
    ):
        if count < 2:
            raise UsageError(
                f"{option}={share:g} of {n_users} users is {count}; it takes two, a member and a non-member: "
                f"raise {option} or take more users"
            )
    random = numpy_generator(seed, "membership split", "heldout")
    held = marked_at_random(interactions, spec.heldout, random)
    if not held.any():
        raise UsageError(
            f"heldout={spec.heldout:g} holds out none of the data's {len(interactions.items)} interactions, "
            f"of which each of the {n_users} users keeps one; raise heldout or take longer histories"
        )
    shuffled = numpy_generator(seed, "membership split", "users").permutation(n_users)
    candidates, members = _every_second(shuffled[:n_target])
    shadow_users, shadow_members = _every_second(shuffled[::-1][:n_shadow])
    histories, heldout_offsets, heldout_items = cut_out(interactions, held)
    return MembershipSplit(
        histories=histories,
        heldout_offsets=heldout_offsets,
        heldout_items=heldout_items,
        candidates=candidates,
        members=members,
        shadow_users=shadow_users,
        shadow_members=shadow_members,
        others=np.sort(shuffled[n_target : n_users - n_shadow]),
    )


def _every_second(
    drawn: Int64[np.ndarray, "U"],
) -> tuple[Int64[np.ndarray, "U"], Bool[np.ndarray, "U"]]:
    """Return ``drawn`` ascending, and a mark at those drawn second, fourth, and so on."""
    order = np.argsort(drawn)
    return drawn[order], order % 2 == 1
