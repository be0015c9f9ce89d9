"""The stealing attacks of an audit by name: which there are, and what each is set to."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from recaudit.attacks.protocol import StealingAttack
from recaudit.attacks.registry import STEALING_ATTACKS, configured
from recaudit.attacks.stealing.queries import SyntheticQueries
from recaudit.attacks.stealing.surrogate import Surrogate
from recaudit.errors import UsageError, nearest
from recaudit.models.protocol import RecommenderSpec, reads_histories
from recaudit.validation import validated

__all__ = ["check_histories_read", "stealing_attacks"]

SYNTHETIC = frozenset(SyntheticQueries.model_fields) - frozenset(Surrogate.model_fields)
"""Keys by which the settings of a new name are told to be of synthetic queries."""


def stealing_attacks(
    names: Sequence[str], settings: object, *, reserved: Sequence[str]
) -> dict[str, StealingAttack]:
    """Return the attacks by name, in order.

    A new name makes a new attack of the settings that it has: of synthetic queries where one of the keys is
    theirs alone (``times``, ``drawing``, …), else of a surrogate.

    Args:
        names: the attacks to run.
        settings: by attack, an attack, or what differs from the attack's own settings. Settings of a known
            attack that does not run are left out.
        reserved: names of rows that no attack may have.

    Raises:
        UsageError: where a name or a key is unknown, or a name is reserved.
    """
    if not isinstance(settings, Mapping):
        raise UsageError(f"settings: expected settings by attack; found {settings!r:.80}")
    for name in names:
        if name in reserved:
            raise UsageError(f"attacks: {name!r} names a row of every audit; choose another name")
        if name not in settings:
            STEALING_ATTACKS.find(name, where="attacks")
    for name in settings:
        if name not in names and name not in STEALING_ATTACKS:
            known = {*names, *STEALING_ATTACKS}
            raise UsageError(f"settings: attack {name!r} is not among attacks{nearest(str(name), known)}")
    found = {name: _attack(name, settings.get(name, {})) for name in (*names, *settings)}
    return {name: found[name] for name in names}


def _attack(name: str, given: object) -> StealingAttack:
    where = f"settings.{name}"
    if isinstance(given, BaseModel) and isinstance(given, StealingAttack):
        return given
    if not isinstance(given, Mapping):
        raise UsageError(f"{where}: expected a mapping of settings; found {given!r:.80}")
    if name in STEALING_ATTACKS:
        return configured(STEALING_ATTACKS[name], given, where=where)
    kind: type[Surrogate | SyntheticQueries] = SyntheticQueries if SYNTHETIC & set(given) else Surrogate
    return validated(kind, given, where=where)


def check_histories_read(
    attacks: Mapping[str, StealingAttack], *, victim: str, reads: bool, clone: RecommenderSpec
) -> None:
    """Refuse attacks that show histories where the victim or the clone cannot read them.

    Raises:
        UsageError: which names the attack, and the model that reads none.
    """
    for name, attack in attacks.items():
        for key, model, able in (("victim", victim, reads), ("clone", clone.model, reads_histories(clone))):
            if "shown histories" in attack.card.needs and not able:
                raise UsageError(
                    f"attacks: {name} shows synthetic histories, and the {key} {model!r} reads none; "
                    f"leave {name} out, or name a {key} that reads histories (sasrec, stamp, gru4rec)"
                )
