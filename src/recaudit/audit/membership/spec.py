"""What the membership part of an audit is to measure."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from recaudit.attacks.membership.attacks import DEFAULT_ATTACKS
from recaudit.attacks.membership.classifiers import Boosting
from recaudit.attacks.protocol import MembershipAttack
from recaudit.attacks.registry import MEMBERSHIP_ATTACKS, configured
from recaudit.data.membership import MembershipSplitSpec
from recaudit.errors import UsageError
from recaudit.models.protocol import RecommenderSpec
from recaudit.models.registry import model_of
from recaudit.oracle.defences import MembershipDefence
from recaudit.oracle.serving import Serving

__all__ = ["MembershipSpec"]


class MembershipSpec(BaseModel):
    """Membership inference: who is attacked, with what, and how users are served."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        arbitrary_types_allowed=True,
        use_attribute_docstrings=True,
    )

    serving: tuple[Serving, ...] = Field(default=("everyone-folded", "popular", "fold-in"), min_length=1)
    """Ways to serve users, separated by commas, each measured by itself; the first one is the headline, and the
    one that limits are held against. A model that reads histories is shown those of members and strangers
    alike: nothing is estimated, and ``fold-in`` and ``everyone-folded`` are the same service."""

    attacks: tuple[str, ...] = Field(default=DEFAULT_ATTACKS, min_length=1)
    """Names of membership attacks, or one text, separated by commas. The blind panel comes with every audit."""

    settings: dict[str, MembershipAttack] = Field(default={}, validate_default=True)
    """By membership attack, what differs from the attack's own settings. The spec holds the attacks that run,
    in their order."""

    rich: Boosting = Boosting()
    """The classifier of rich list features, which several attacks share."""

    shadows: int = Field(default=8, ge=4)
    """Shadow models of the attacks that compare several, an even number: each attacked user is in the training
    data of half of them."""

    shadow: RecommenderSpec | None = Field(default=None, validate_default=True)
    """The model of the attacker's shadow models: a model's name, or its hyperparameters with their ``model``;
    the victim's where left out."""

    vectors: int = Field(default=50, ge=1)
    """Length of the item vectors, of an implicit latent factor model of the attacker's own data."""

    vectors_of: Literal["others", "shadow"] = "others"
    """Whose histories those data are: ``others``, users who are neither attacked nor in a shadow model, as in
    Zhang et al. (2021); ``shadow``, the users of the shadow models."""

    split: MembershipSplitSpec = MembershipSplitSpec()
    """Who is attacked, and who are the attacker's own users."""

    defence: MembershipDefence = MembershipDefence()
    """Blurs the lists that models serve, those of the attacker's models too: the attacker knows the defence."""

    null: bool = True
    """Measure the null control too."""

    @field_validator("serving", "attacks", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value

    @field_validator("serving", "attacks")
    @classmethod
    def _named_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
        if twice is not None:
            raise ValueError(f"{twice!r} is named twice; name it once")
        return names

    @field_validator("settings", mode="plain")
    @classmethod
    def _attacks(cls, value: object, info: Any) -> object:
        return _attacks(info.data.get("attacks", ()), value)

    @field_validator("shadows")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError(
                f"found {value}; an even number puts each attacked user into the training data of half of them"
            )
        return value

    @field_validator("shadow", mode="plain")
    @classmethod
    def _shadow(cls, value: object) -> object:
        return None if value is None else model_of(value, where="membership.shadow")


def _attacks(names: Sequence[str], settings: object) -> dict[str, MembershipAttack]:
    """Return the attacks by name, in order; settings of an attack that does not run are left out.

    Raises:
        UsageError: where a name or a key is unknown.
    """
    where = "membership.settings"
    if not isinstance(settings, Mapping):
        raise UsageError(f"{where}: expected settings by attack; found {settings!r:.80}")
    found: dict[str, MembershipAttack] = {}
    for name in (*names, *settings):
        own = MEMBERSHIP_ATTACKS.find(name, where="membership.attacks" if name in names else where)
        given = settings.get(name, {})
        if isinstance(given, BaseModel) and isinstance(given, MembershipAttack):
            found[name] = given
        elif isinstance(given, Mapping):
            found[name] = configured(own, given, where=f"{where}.{name}")
        else:
            raise UsageError(f"{where}.{name}: expected a mapping of settings; found {given!r:.80}")
    return {name: found[name] for name in names}
