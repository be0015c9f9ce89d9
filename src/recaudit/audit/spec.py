"""What an audit is to measure: one frozen value, the same from Python, YAML and the command line."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from recaudit.attacks.protocol import StealingAttack
from recaudit.audit.membership.spec import MembershipSpec
from recaudit.audit.saved import content_hash, read_split, saved_model_spec
from recaudit.audit.stealing.spec import check_histories_read, merged, stealing_attacks
from recaudit.data.sources import DataSpec
from recaudit.data.split import SplitSpec
from recaudit.errors import UsageError
from recaudit.models.protocol import RecommenderSpec, reads_histories
from recaudit.models.registry import MODELS, model_spec
from recaudit.models.trained import TrainedSpec
from recaudit.oracle.defences import PopularItems
from recaudit.validation import validated

__all__ = ["AUXILIARY", "CEILING", "CONSTANT", "FLOOR", "VICTIM", "AuditSpec", "audit_spec"]

FLOOR, CEILING, VICTIM = "popularity", "retrained", "victim"
"""What stands beside the attacks in figures and stages: no attack may have these names."""

CONSTANT, AUXILIARY = "constant", "auxiliary"
"""Likewise, where a model reads histories: one list for everybody, and the auxiliary model alone."""

TABLE_4 = ("QSD", "PTD", "PTQ", "PTA", "PTAQ")
DEFAULT_VICTIM = {"model": "bpr"}
Threat = Literal["stealing", "membership"]
CHOSE_THE_TARGET = ("target_share", "heldout", "heldout_by")
"""The part of a split that chose a victim's training data; a saved victim keeps its own."""


class AuditSpec(BaseModel):
    """Everything that an audit's figures depend on, and the seeds that they are means over.

    Args:
        data: the interactions; a name or a path stands for ``{"source": …}``.
        victim: the recommender to audit, one that knows its users by number or one that reads histories:
            hyperparameters with their ``model`` (BPR where none is named), whose name alone stands for its
            defaults; or ``{"saved": DIRECTORY}`` for a victim that an earlier audit trained and saved, which
            a directory alone stands for.
        clone: the thief's model, likewise, but never a saved one; a network victim's where it is left out,
            BPR where the victim is none, and where it names no ``model``, that one but for what it says.
        attacks: names of attacks, in the order of the tables; or one text, separated by commas. Those that
            ask with synthetic histories (QSD5 to QSD30) need a victim and a clone that read histories.
        settings: by attack, what differs from the attack's own settings; a new name makes a new attack, one
            of synthetic histories where a key such as ``times`` or ``drawing`` says so.
        k: length of the lists.
        split: who is on which side. A saved victim keeps ``target_share``, ``heldout`` and ``heldout_by`` of
            the split that it was trained by.
        queries: lists that a stealing attack may ask for in all; ``None`` lets it ask for those of all
            queried and validation users.
        defence: what changes the lists that thieves ask the victim for: popular items mixed in. Agreement is
            with the lists that are served, and ``agreement_undefended@k`` with those that the model makes.
        threats: ``stealing`` and ``membership``, or one text, separated by commas; both where nothing is
            said. A saved victim is audited for stealing alone: membership inference trains its victim on
            half of the users that it attacks.
        membership: how membership is inferred; the victim's hyperparameters are ``victim``, the lists'
            length ``k``.
        seeds: one complete audit a seed, from the split on; with a saved victim, whose split is its own, from
            the retrained ceiling on. A number n stands for seeds 0..n-1, and a text is either a number or
            seeds separated by commas (``"3,"`` is seed 3 alone).
        device: a torch device.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: DataSpec = DataSpec()
    victim: dict[str, Any] = Field(default=DEFAULT_VICTIM, validate_default=True)
    clone: dict[str, Any] | None = None
    attacks: tuple[str, ...] = Field(default=TABLE_4, min_length=1)
    settings: dict[str, dict[str, Any]] = {}
    k: int = Field(default=50, ge=1)
    split: SplitSpec = SplitSpec()
    queries: int | None = Field(default=None, ge=1)
    defence: PopularItems | None = None
    threats: tuple[Threat, ...] | None = Field(default=None, min_length=1)
    membership: MembershipSpec = MembershipSpec()
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0,), min_length=1)
    device: str = "cpu"

    if TYPE_CHECKING:  # what the validators below make of shorter forms, told to type checkers

        def __init__(
            self,
            *,
            data: DataSpec | Mapping[str, Any] | str | Path = ...,
            victim: RecommenderSpec | Mapping[str, Any] | str | Path = ...,
            clone: TrainedSpec | Mapping[str, Any] | str | None = ...,
            attacks: Sequence[str] = ...,
            settings: Mapping[str, Mapping[str, Any]] = ...,
            k: int = ...,
            split: SplitSpec | Mapping[str, Any] = ...,
            queries: int | None = ...,
            defence: PopularItems | Mapping[str, Any] | None = ...,
            threats: Sequence[Threat] | str | None = ...,
            membership: MembershipSpec | Mapping[str, Any] = ...,
            seeds: int | str | Sequence[int] = ...,
            device: str = ...,
        ) -> None: ...

    @field_validator("data", mode="before")
    @classmethod
    def _source_alone(cls, value: object) -> object:
        return {"source": str(value)} if isinstance(value, str | Path) else value

    @field_validator("victim", mode="before")
    @classmethod
    def _victim_alone(cls, value: object) -> object:
        if isinstance(value, str | Path):
            text = os.fspath(value)
            folder = text not in MODELS and (os.sep in text or "/" in text or Path(text).is_dir())
            return {"saved" if folder else "model": text}
        if isinstance(value, Mapping) and not isinstance(value.get("saved", ""), str):
            raise ValueError(f"saved: expected the name of a folder, found {value['saved']!r}")
        if isinstance(value, Mapping) and not {"model", "saved"} & set(value):
            return {**DEFAULT_VICTIM, **value}
        return _plain_model(value)

    @field_validator("clone", mode="before")
    @classmethod
    def _clone_alone(cls, value: object) -> object:
        return _plain_model(value)

    @field_validator("attacks", "threats", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value

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
    def _all_known(self) -> "AuditSpec":
        attacks, victim, clone = self.surrogates(), self.victim_spec(), self.clone_spec()
        if "stealing" in self.measured:
            check_histories_read(attacks, victim=victim, clone=clone)
        self.split_spec()
        if self.defence is not None and self.defence.mixed > self.k:
            raise UsageError(
                f"defence.mixed: {self.defence.mixed} of the {self.k} items of a list; at most {self.k}"
            )
        if "membership" in self.measured:
            self._check_membership()
        if self.saved_victim is not None and "membership" in (self.threats or ()):
            raise UsageError(
                "threats: a saved victim cannot be audited for membership, whose victim is trained on half "
                "of the users that are attacked; leave membership out, or name a model to train"
            )
        lists = (("attacks", self.attacks), ("seeds", self.seeds), ("threats", self.measured))
        for key, names in lists:
            twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
            if twice is not None:
                raise UsageError(f"{key}: {twice!r} is named twice; name it once")
        return self

    def _check_membership(self) -> None:
        if self.defence is not None:
            raise UsageError(
                "defence: popular items mixed into lists are measured against stealing alone; leave "
                "membership out (--threats stealing), or give membership.defence and --serving instead"
            )
        if self.membership.defence.random_items > self.k:
            raise UsageError(
                f"membership.defence.random_items: {self.membership.defence.random_items} of the {self.k} "
                f"items of a list; at most {self.k}"
            )

    @property
    def measured(self) -> tuple[Threat, ...]:
        """The threats to measure."""
        if self.threats is not None:
            return self.threats
        return ("stealing", "membership") if self.saved_victim is None else ("stealing",)

    @property
    def saved_victim(self) -> Path | None:
        """Directory of the saved victim to take, where one is to be taken."""
        return Path(self.victim["saved"]) if set(self.victim) == {"saved"} else None

    def victim_spec(self) -> RecommenderSpec:
        """Return the victim's hyperparameters."""
        if self.saved_victim is not None:
            return saved_model_spec(self.saved_victim)
        if "saved" in self.victim:
            other = next(key for key in self.victim if key != "saved")
            raise UsageError(f"victim.{other}: a saved victim keeps its hyperparameters; leave it out")
        return model_spec(self.victim, where="victim")

    def clone_spec(self) -> TrainedSpec:
        """Return the clone's hyperparameters; where none are given, a network victim's, or else BPR's."""
        given = self.clone or {}
        if "model" not in given:
            victim = self.victim_spec()
            own = victim.model_dump(mode="json") if isinstance(victim, TrainedSpec) else DEFAULT_VICTIM
            given = merged(own, given)
        spec = model_spec(given, where="clone")
        if isinstance(spec, TrainedSpec):
            return spec
        trained = [name for name, kind in MODELS.items() if issubclass(kind, TrainedSpec)]
        raise UsageError(f"clone: {spec.model!r} cannot learn from lists; use one of {', '.join(trained)}")

    @property
    def clone_reads(self) -> bool:
        """Whether the clone reads histories, so that it can be shown those of users it has never seen."""
        return reads_histories(self.clone_spec())

    @property
    def references(self) -> tuple[str, ...]:
        """The rows that stand beside the attacks."""
        rows: tuple[str, ...] = (FLOOR, CEILING, VICTIM)
        if self.clone_reads:
            return (*rows, CONSTANT, AUXILIARY)
        return (*rows, CONSTANT) if reads_histories(self.victim_spec()) else rows

    def split_spec(self) -> SplitSpec:
        """Return who is on which side: the saved victim's own split where it chose the training data.

        Raises:
            UsageError: where such a part of the split is given and differs from the saved victim's.
        """
        if self.saved_victim is None:
            return self.split
        own = read_split(self.saved_victim).split.model_dump(include=set(CHOSE_THE_TARGET))
        for name in CHOSE_THE_TARGET:
            given = getattr(self.split, name)
            if name in self.split.model_fields_set and given != own[name]:
                raise UsageError(
                    f"split.{name}: found {given!r}, but the saved victim was trained with {own[name]!r}; "
                    "leave it out"
                )
        return self.split.model_copy(update=own)

    def surrogates(self) -> dict[str, StealingAttack]:
        """Return the attacks by name, in order."""
        rows = (FLOOR, CEILING, VICTIM, CONSTANT, AUXILIARY)
        return stealing_attacks(self.attacks, self.settings, reserved=rows)

    @property
    def digest(self) -> str:
        """SHA-256 of all that the figures depend on but seeds and device, with every default spelled out.

        A saved victim counts by what its files hold, not by where they are.
        """
        plain = self.resolved()
        for left_out in ("seeds", "device"):
            del plain[left_out]
        if self.saved_victim is not None:
            plain["victim"] = {"saved": content_hash(self.saved_victim)}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

    def resolved(self) -> dict[str, Any]:
        """Return plain values with every default spelled out, enough to run the same audit again."""
        plain = self.model_dump(mode="json")
        if self.saved_victim is None:
            plain["victim"] = json.loads(self.victim_spec().model_dump_json())
        plain["clone"] = json.loads(self.clone_spec().model_dump_json())
        plain["settings"] = {
            name: json.loads(one.model_dump_json()) for name, one in self.surrogates().items()
        }
        plain["split"] = self.split_spec().model_dump(mode="json")
        plain["threats"] = list(self.measured)
        rungs = {name: json.loads(one.model_dump_json()) for name, one in self.membership.rungs().items()}
        plain["membership"]["settings"] = rungs
        plain["membership"]["shadow"] = json.loads(
            self.membership.shadow_spec(self.victim_spec()).model_dump_json()
        )
        return plain


def _plain_model(value: object) -> object:
    """Return a model's spec or its name as the mapping that they mean."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return {"model": value} if isinstance(value, str) else value


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
