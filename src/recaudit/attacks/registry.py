"""The attacks by name: entry points, and plain settings into attacks."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from recaudit.attacks.protocol import MembershipAttack, StealingAttack
from recaudit.pipeline.node import key_values
from recaudit.plugins import Registry
from recaudit.validation import laid_over

__all__ = ["MEMBERSHIP_ATTACKS", "STEALING_ATTACKS", "configured", "key_inputs"]

A = TypeVar("A", StealingAttack, MembershipAttack)


def _instance(found: Any) -> Any:
    """Return a class's defaults, and anything else as it is."""
    return found() if isinstance(found, type) else found


def _stealing(found: Any) -> StealingAttack | None:
    one = _instance(found)
    return one if isinstance(one, BaseModel) and isinstance(one, StealingAttack) else None


def _membership(found: Any) -> MembershipAttack | None:
    one = _instance(found)
    return one if isinstance(one, BaseModel) and isinstance(one, MembershipAttack) else None


STEALING_ATTACKS: Registry[StealingAttack] = Registry(
    "recaudit.stealing_attacks",
    kind="attack",
    taken=_stealing,
    expected="a pydantic model that satisfies StealingAttack, or a class of them",
)
"""Stealing attacks by name, with their default settings."""

MEMBERSHIP_ATTACKS: Registry[MembershipAttack] = Registry(
    "recaudit.membership_attacks",
    kind="attack",
    taken=_membership,
    expected="a pydantic model that satisfies MembershipAttack, or a class of them",
)
"""Membership attacks by name, with their default settings."""


def configured(attack: A, given: Mapping[str, Any], *, where: str) -> A:
    """Return ``attack`` with what differs from its own settings.

    Args:
        attack: an attack of a registry.
        given: plain values. Of settings within settings, those that are not given stay the attack's own,
            except where there is a choice of kinds, as of classifiers.
        where: the key to name in errors, such as ``settings.PTQ``.

    Raises:
        UsageError: for an unknown key or a wrong value.
    """
    own: Any = attack  # a registry holds pydantic models alone
    found: A = laid_over(own, given, where=where)
    return found


def key_inputs(attack: StealingAttack | MembershipAttack) -> dict[str, Any]:
    """Return what names an attack in a key: its settings, its kind, and a third party's package and version.

    The kind is an explicit string, the attack's ``kind`` or else its card's name; it is left out for stealing
    attacks of recaudit's own, whose settings tell them apart.
    """
    stealing = isinstance(attack, StealingAttack)
    registry: Registry[Any] = STEALING_ATTACKS if stealing else MEMBERSHIP_ATTACKS
    package = registry.package(attack.card.name)
    kind = getattr(attack, "kind", None if stealing and package is None else attack.card.name)
    named = {"kind": kind, "package": package}
    own: Any = attack  # a registry holds pydantic models alone
    return {key: value for key, value in named.items() if value is not None} | key_values(own)
