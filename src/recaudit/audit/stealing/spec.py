"""The stealing attacks of an audit by name: which there are, and what each is set to."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from recaudit.attacks.protocol import StealingAttack
from recaudit.attacks.registry import STEALING_ATTACKS, configured
from recaudit.attacks.stealing.queries import SyntheticQueries
from recaudit.attacks.stealing.surrogate import Surrogate
from recaudit.errors import UsageError, nearest
from recaudit.models.protocol import RecommenderSpec, reads_histories
from recaudit.models.sequential import SequentialSpec
from recaudit.models.trained import TrainedSpec
from recaudit.validation import validated

__all__ = ["check_histories_read", "merged", "stealing_attacks"]

NAMED = STEALING_ATTACKS

SYNTHETIC = frozenset(SyntheticQueries.model_fields) - frozenset(Surrogate.model_fields)
"""Keys by which the settings of a new name are told to be of synthetic queries."""


def stealing_attacks(
    names: Sequence[str], settings: Mapping[str, Mapping[str, Any]], *, reserved: Iterable[str]
) -> dict[str, StealingAttack]:
    """Return the attacks by name, in order.

    A new name makes a new attack of the settings that it has: of synthetic queries where one of the keys is
    theirs alone (``times``, ``drawing``, …), else of a surrogate.

    Args:
        names: the attacks to run.
        settings: by attack, what differs from its own.
        reserved: names of rows that no attack may have.

    Raises:
        UsageError: where a name or a key is unknown, or a name is reserved.
    """
    found: dict[str, StealingAttack] = {}
    for name in names:
        if name in reserved:
            raise UsageError(f"attacks: {name!r} names a row of every audit; choose another name")
        if name not in NAMED and name not in settings:
            raise UsageError(f"attacks: unknown attack {name!r}{nearest(name, NAMED)}")
        given = settings.get(name, {})
        if name in NAMED:
            found[name] = configured(NAMED[name], given, where=f"settings.{name}")
        else:
            kind: type[Surrogate | SyntheticQueries] = (
                SyntheticQueries if SYNTHETIC & set(given) else Surrogate
            )
            found[name] = validated(kind, given, where=f"settings.{name}")
    for name in settings:
        # Settings of a named attack that is not run now are left for when it is.
        if name not in names and name not in NAMED:
            raise UsageError(
                f"settings: attack {name!r} is not among attacks{nearest(name, {*names, *NAMED})}"
            )
    return found


def check_histories_read(
    attacks: Mapping[str, StealingAttack], *, victim: RecommenderSpec, clone: TrainedSpec
) -> None:
    """Refuse attacks that synthesise histories where the victim or the clone cannot read them.

    Raises:
        UsageError: which names the attack, and the model that reads none or not as many items.
    """
    for name, settings in attacks.items():
        if not isinstance(settings, SyntheticQueries):
            continue
        able = isinstance(clone, SequentialSpec)
        for key, model, reads in (("victim", victim, reads_histories(victim)), ("clone", clone, able)):
            if not reads:
                raise UsageError(
                    f"attacks: {name} shows synthetic histories, and the {key} {model.model!r} reads none; "
                    f"leave {name} out, or name a {key} that reads histories (sasrec, stamp, gru4rec)"
                )
        assert isinstance(clone, SequentialSpec)
        if settings.length > clone.max_length:
            raise UsageError(
                f"settings.{name}.length: {settings.length} items, but the clone reads a history's last "
                f"{clone.max_length}; lower length or raise clone.max_length"
            )


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``over``'s values in place, mapping within mapping."""
    found = dict(base)
    for key, value in over.items():
        nested = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if nested else value
    return found
