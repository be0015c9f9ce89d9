"""What the membership part of an audit is to measure."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from recaudit.attacks.membership.attacks import DEFAULT_ATTACKS
from recaudit.attacks.membership.classifiers import Boosting
from recaudit.attacks.protocol import MembershipAttack
from recaudit.attacks.registry import MEMBERSHIP_ATTACKS, configured
from recaudit.data.membership import MembershipSplitSpec
from recaudit.models.protocol import RecommenderSpec
from recaudit.models.registry import model_spec
from recaudit.models.zoo.lfm import LFM
from recaudit.oracle.defences import MembershipDefence
from recaudit.oracle.serving import Serving

__all__ = ["MembershipSpec"]


class MembershipSpec(BaseModel):
    """Membership inference: who is attacked, with what, and how strangers are served.

    Args:
        serving: ways to serve users, each measured by itself; the first one is the headline, and the one that
            limits are held against. Or one text, separated by commas. A model that reads histories is shown a
            stranger's as it is shown a member's: nothing is estimated, and ``fold-in`` and
            ``everyone-folded`` are the same service.
        attacks: names of membership attacks, likewise. The blind panel comes with every audit.
        settings: by attack, what differs from the attack's own settings.
        rich: the classifier of rich list features, which several attacks share.
        shadows: shadow models of those attacks that compare several, an even number: each attacked user is
            in the training data of half of them.
        shadow: the attacker's model, with its ``model``, whose name alone stands for its defaults; the
            victim's where it is left out.
        vectors: length of the item vectors, of an implicit latent factor model of the attacker's own data.
        vectors_of: whose histories those are: ``others``, users who are neither attacked nor in a shadow
            model, as in Zhang et al. (2021); ``shadow``, the users of the shadow models.
        split: who is attacked, and who are the attacker's own users.
        defence: what blurs the lists that models serve, the attacker's own alike: he knows the defence.
        null: measure the null control too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    serving: tuple[Serving, ...] = Field(default=("everyone-folded", "popular", "fold-in"), min_length=1)
    attacks: tuple[str, ...] = Field(default=DEFAULT_ATTACKS, min_length=1)
    settings: dict[str, dict[str, Any]] = {}
    rich: Boosting = Boosting()
    shadows: int = Field(default=8, ge=4)
    shadow: dict[str, Any] | None = None
    vectors: int = Field(default=50, ge=1)
    vectors_of: Literal["others", "shadow"] = "others"
    split: MembershipSplitSpec = MembershipSplitSpec()
    defence: MembershipDefence = MembershipDefence()
    null: bool = True

    @field_validator("serving", "attacks", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value

    @field_validator("shadow", mode="before")
    @classmethod
    def _shadow_alone(cls, value: object) -> object:
        if isinstance(value, BaseModel):
            return value.model_dump(mode="json")
        return {"model": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _all_known(self) -> "MembershipSpec":
        if self.shadows % 2:
            raise ValueError(
                f"shadows: found {self.shadows}; an even number puts each attacked user into the training "
                "data of half of them"
            )
        for key, names in (("serving", self.serving), ("attacks", self.attacks)):
            twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
            if twice is not None:
                raise ValueError(f"{key}: {twice!r} is named twice; name it once")
        self.rungs()
        return self

    def rungs(self) -> Mapping[str, MembershipAttack]:
        """Return the attacks by name, in order."""
        found: dict[str, MembershipAttack] = {}
        for key, names in (("attacks", self.attacks), ("settings", self.settings)):
            for name in names:
                MEMBERSHIP_ATTACKS.find(name, where=key)
        for name in self.attacks:
            given = self.settings.get(name, {})
            found[name] = configured(MEMBERSHIP_ATTACKS[name], given, where=f"settings.{name}")
        return found

    def shadow_spec(self, victim: RecommenderSpec) -> RecommenderSpec:
        """Return the hyperparameters of the attacker's models: the victim's where none are given."""
        return victim if self.shadow is None else model_spec(self.shadow, where="membership.shadow")

    def vectors_spec(self) -> LFM:
        """Return the model whose item vectors the attacks see items by."""
        return LFM(embedding_size=self.vectors)
