"""What an audit is to measure: one frozen value, the same from Python, YAML and the command line."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    field_serializer,
    field_validator,
    model_validator,
)

from recaudit.attacks.protocol import StealingAttack
from recaudit.audit.membership.spec import MembershipSpec
from recaudit.audit.stealing.spec import check_histories_read, stealing_attacks
from recaudit.data.sources import DataSpec
from recaudit.data.split import SplitSpec
from recaudit.errors import UsageError
from recaudit.models.protocol import RecommenderSpec, reads_histories
from recaudit.models.registry import MODELS, model_card, model_of
from recaudit.models.trained import TrainedSpec
from recaudit.oracle.defences import ChecksLength, DefenceSpec
from recaudit.oracle.registry import defence_spec, plain_defence
from recaudit.pipeline.node import key_values
from recaudit.validation import validated
from recaudit.victims.protocol import VictimSpec
from recaudit.victims.registry import VICTIMS, plain_victim, victim_spec
from recaudit.victims.saved import SavedVictim, content_hash, read_split
from recaudit.victims.trained import TrainedVictim
from recaudit.vocabulary import AUXILIARY, CEILING, CONSTANT, FLOOR, VICTIM, Card

__all__ = ["AUXILIARY", "CEILING", "CONSTANT", "FLOOR", "VICTIM", "AuditSpec", "audit_spec"]

TABLE_4 = ("QSD", "PTD", "PTQ", "PTA", "PTAQ")
DEFAULT_MODEL = "bpr"
Threat = Literal["stealing", "membership"]
CHOSE_THE_TARGET = ("target_share", "heldout", "heldout_by")
"""The part of a split that chose a victim's training data; a saved victim keeps its own."""


class AuditSpec(BaseModel):
    """Everything that an audit's figures depend on, and the seeds that they are means over.

    Names, texts and mappings become specs here, and defaults that depend on other keys are filled in: what
    ``model_dump(mode="json")`` gives spells everything out and makes an equal spec again.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, use_attribute_docstrings=True
    )

    data: DataSpec = DataSpec()
    """The interactions: a data set's name (`recaudit data list` names them all) or the path of a file, which
    stand for ``{"source": …}``; the built-in ``synthetic`` data by default."""

    victim: RecommenderSpec | SavedVictim | VictimSpec = Field(default=DEFAULT_MODEL, validate_default=True)
    """The recommender to audit: a model's name, or its hyperparameters with their ``model``, ``bpr`` where
    none is named; a folder that an earlier audit saved its victim in (``{"saved": …}``); or the name of another
    victim that is installed (``{"victim": …}`` with its settings)."""

    clone: SerializeAsAny[TrainedSpec] = Field(default=None, validate_default=True)
    """The model that the attacker trains: a name or hyperparameters likewise, laid over the victim's where no
    ``model`` is named; the victim's where left out, ``bpr`` where the victim is no network."""

    attacks: tuple[str, ...] = Field(default=TABLE_4, min_length=1)
    """The stealing attacks, in the order of the tables, or one text, separated by commas. Those that ask with
    synthetic histories (QSD5 to QSD30) need a victim and a clone that read histories."""

    settings: dict[str, StealingAttack] = Field(default={}, validate_default=True)
    """By stealing attack, what differs from the attack's own settings. A new name makes a new attack, one of
    synthetic histories where a key such as ``times`` or ``drawing`` says so. The spec holds the attacks that
    run, in their order."""

    k: int = Field(default=50, ge=1)
    """Length of the lists."""

    split: SplitSpec = Field(default=SplitSpec(), validate_default=True)
    """Who is on which side. A saved victim keeps ``target_share``, ``heldout`` and ``heldout_by`` of the split
    that it was trained by."""

    queries: int | None = Field(default=None, ge=1)
    """Lists that a stealing attack may ask for in all; without a limit, those of all queried and validation
    users."""

    defence: DefenceSpec | None = None
    """Changes the lists that stealing attacks ask the victim for: a defence's name, or its settings with their
    ``defence``, ``popular-items`` where none is named. Agreement is with the lists that are served, and
    ``agreement_undefended@k`` with those that the victim makes."""

    threats: tuple[Threat, ...] = Field(default=None, min_length=1, validate_default=True)
    """What to measure: ``stealing`` and ``membership``, separated by commas; both by default. A saved victim is
    audited for stealing alone, as is one that is not trained here: membership inference trains its victim on half
    of the users that it attacks."""

    membership: MembershipSpec = Field(default=MembershipSpec(), validate_default=True)
    """How membership is inferred; the victim's hyperparameters are ``victim``, the lists' length ``k``."""

    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0,), min_length=1)
    """One complete audit a seed, from the split on; with a saved victim, whose split is its own, from the
    retrained ceiling on. A number n stands for the seeds 0 to n-1; seeds by name are separated by commas, such
    as 3,4,5 (3, for seed 3 alone)."""

    device: str = "cpu"
    """A torch device: cpu, cuda or mps."""

    if TYPE_CHECKING:  # values may have shorter forms, which the validators below turn into the fields' types

        def __init__(self, **values: Any) -> None: ...

    @field_validator("data", mode="before")
    @classmethod
    def _source_alone(cls, value: object) -> object:
        return {"source": str(value)} if isinstance(value, str | Path) else value

    @field_validator("victim", mode="plain")
    @classmethod
    def _victim(cls, value: object) -> object:
        if isinstance(value, str | Path):
            text = os.fspath(value)
            if text not in MODELS and (os.sep in text or "/" in text or Path(text).is_dir()):
                value = {"saved": text}
        if isinstance(value, Mapping) and "saved" in value:
            other = next((key for key in value if key != "saved"), None)
            if other is not None:
                raise UsageError(f"victim.{other}: a saved victim keeps its hyperparameters; leave it out")
            return validated(SavedVictim, value, where="victim")
        if isinstance(value, VictimSpec):
            return value.model if isinstance(value, TrainedVictim) else value
        if isinstance(value, str) and value in VICTIMS and value not in MODELS:
            value = {"victim": value}
        if isinstance(value, Mapping) and ("victim" in value or value.get("model") in {*VICTIMS} - {*MODELS}):
            return victim_spec(value, where="victim")
        return model_of(value, where="victim", default=DEFAULT_MODEL)

    @field_serializer("victim")
    def _plain_victim(self, victim: Any) -> Any:
        named = isinstance(victim, VictimSpec) and not isinstance(victim, SavedVictim)
        return plain_victim(victim) if named else victim.model_dump(mode="json")

    @field_validator("defence", mode="plain")
    @classmethod
    def _defence(cls, value: object) -> object:
        if value is None or (isinstance(value, BaseModel) and isinstance(value, DefenceSpec)):
            return value
        if isinstance(value, str):
            value = {"defence": value}
        if isinstance(value, Mapping):
            return defence_spec(value, where="defence")
        raise UsageError(
            f"defence: expected a defence's name or a mapping of its settings; found {value!r:.80}"
        )

    @field_serializer("defence")
    def _plain_defence(self, defence: Any) -> Any:
        return None if defence is None else plain_defence(defence)

    @field_validator("clone", mode="plain")
    @classmethod
    def _clone(cls, value: object, info: Any) -> object:
        victim = _model(info)
        own = victim if isinstance(victim, TrainedSpec) else MODELS[DEFAULT_MODEL]()
        spec = model_of({} if value is None else value, where="clone", default=own)
        if isinstance(spec, TrainedSpec):
            return spec
        trained = [name for name, kind in MODELS.items() if issubclass(kind, TrainedSpec)]
        raise UsageError(f"clone: {spec.model!r} cannot learn from lists; use one of {', '.join(trained)}")

    @field_validator("attacks", "threats", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value

    @field_validator("settings", mode="plain")
    @classmethod
    def _attacks(cls, value: object, info: Any) -> object:
        rows = (FLOOR, CEILING, VICTIM, CONSTANT, AUXILIARY)
        return stealing_attacks(info.data.get("attacks", ()), value, reserved=rows)

    @field_validator("split", mode="after")
    @classmethod
    def _victims_own(cls, split: SplitSpec, info: Any) -> SplitSpec:
        victim = info.data.get("victim")
        return _as_trained(split, victim.saved) if isinstance(victim, SavedVictim) else split

    @field_validator("threats", mode="before")
    @classmethod
    def _measurable(cls, value: object, info: Any) -> object:
        if value is not None:
            return value
        victim = info.data.get("victim")
        return ("stealing",) if isinstance(victim, VictimSpec) else ("stealing", "membership")

    @field_validator("membership", mode="after")
    @classmethod
    def _shadow(cls, membership: MembershipSpec, info: Any) -> MembershipSpec:
        victim = _model(info)
        if membership.shadow is not None or victim is None:
            return membership
        return membership.model_copy(update={"shadow": victim})

    @field_validator("k", "queries", "seeds", mode="before")
    @classmethod
    def _no_truth_value(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError(f"{'yes' if value else 'no'} is no number")
        return value

    @field_validator("seeds", mode="before")
    @classmethod
    def _how_many(cls, value: object) -> object:
        if isinstance(value, str):
            value = _seeds_of_text(value)
        if isinstance(value, int) and not isinstance(value, bool):
            if value < 1:
                raise ValueError(f"there must be at least one seed, not {value}")
            return tuple(range(value))
        return value

    @model_validator(mode="after")
    def _holds_together(self) -> "AuditSpec":
        for key, names in (("attacks", self.attacks), ("seeds", self.seeds), ("threats", self.threats)):
            twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
            if twice is not None:
                raise UsageError(f"{key}: {twice!r} is named twice; name it once")
        if "stealing" in self.threats:
            check_histories_read(
                self.settings, victim=self.victim_card.name, reads=self.victim_reads, clone=self.clone
            )
        defence: object = self.defence
        if isinstance(defence, ChecksLength):
            defence.check_length(self.k)
        if "membership" in self.threats:
            self._check_membership()
        return self

    def _check_membership(self) -> None:
        if self.defence is not None:
            raise UsageError(
                "defence: a defence of lists is measured against stealing alone; leave "
                "membership out (--threats stealing), or give membership.defence and --serving instead"
            )
        if self.membership.defence.random_items > self.k:
            raise UsageError(
                f"membership.defence.random_items: {self.membership.defence.random_items} of the {self.k} "
                f"items of a list; at most {self.k}"
            )
        if self.saved_victim is not None:
            raise UsageError(
                "threats: a saved victim cannot be audited for membership, whose victim is trained on half "
                "of the users that are attacked; leave membership out, or name a model to train"
            )

        if isinstance(self.victim, VictimSpec):
            raise UsageError(
                f"threats: membership of {self.victim_card.name!r} is not measurable, as recaudit cannot train "
                "it on half of the users that are attacked; leave membership out, or name a model to train"
            )

    @property
    def saved_victim(self) -> Path | None:
        """Directory of the saved victim to take, where one is to be taken."""
        return self.victim.saved if isinstance(self.victim, SavedVictim) else None

    @property
    def victim_model(self) -> RecommenderSpec | None:
        """The hyperparameters of the victim, saved or to be trained; ``None`` where it is no model of ours."""
        return _model_of(self.victim)

    @property
    def victim_spec(self) -> VictimSpec:
        """What opens the victim."""
        victim = self.victim
        return victim if isinstance(victim, VictimSpec) else TrainedVictim(model=victim)

    @property
    def victim_card(self) -> Card:
        """How tables and texts name the victim."""
        model = self.victim_model
        return self.victim_spec.card if model is None else model_card(model)

    @property
    def victim_reads(self) -> bool:
        """Whether the victim reads histories: its model does, or its spec says so."""
        spec: Any = self.victim if self.victim_model is None else self.victim_model
        return reads_histories(spec)

    @property
    def clone_reads(self) -> bool:
        """Whether the clone reads histories, so that it can be shown those of users it has never seen."""
        return reads_histories(self.clone)

    @property
    def references(self) -> tuple[str, ...]:
        """The rows that stand beside the attacks."""
        rows: tuple[str, ...] = (FLOOR, CEILING, VICTIM)
        if self.clone_reads:
            return (*rows, CONSTANT, AUXILIARY)
        return (*rows, CONSTANT) if self.victim_reads else rows

    @property
    def digest(self) -> str:
        """SHA-256 of all that the figures depend on but seeds and device, with every default spelled out.

        A saved victim counts by what its files hold, not by where they are.
        """
        plain = self.model_dump(mode="json", exclude={"seeds", "device"})
        plain["data"] = key_values(self.data)
        if self.saved_victim is not None:
            plain["victim"] = {"saved": content_hash(self.saved_victim)}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _model(info: Any) -> RecommenderSpec | None:
    """Return the victim's hyperparameters; ``None`` where it has none, or was found wrong."""
    return _model_of(info.data.get("victim"))


def _model_of(victim: Any) -> RecommenderSpec | None:
    if isinstance(victim, SavedVictim):
        return victim.model_spec
    model: RecommenderSpec | None = None if isinstance(victim, VictimSpec) else victim
    return model


def _as_trained(split: SplitSpec, saved: Path) -> SplitSpec:
    """Return ``split`` with what chose the saved victim's training data.

    Raises:
        UsageError: where such a part of the split is given and differs from the saved victim's.
    """
    own = read_split(saved).split.model_dump(include=set(CHOSE_THE_TARGET))
    for name in CHOSE_THE_TARGET:
        given = getattr(split, name)
        if name in split.model_fields_set and given != own[name]:
            raise UsageError(
                f"split.{name}: found {given!r}, but the saved victim was trained with {own[name]!r}; "
                "leave it out"
            )
    return split.model_copy(update=own)


def _seeds_of_text(text: str) -> int | list[int]:
    """Return a number of seeds, or the seeds between commas."""
    try:
        if "," in text:
            return [int(part) for part in text.removesuffix(",").split(",")]
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a number nor seeds separated by commas, such as 3,4") from None


def audit_spec(values: Mapping[str, Any]) -> AuditSpec:
    """Return the spec that plain values, as from YAML, describe.

    Raises:
        UsageError: one line that names the wrong key and what was expected.
    """
    return validated(AuditSpec, values)
