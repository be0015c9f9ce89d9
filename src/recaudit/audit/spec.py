"""What an audit is to measure: one frozen value, the same from Python, YAML and the command line."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from recaudit.attacks.stealing.surrogate import ATTACKS, Surrogate
from recaudit.data.sources import DataSpec
from recaudit.data.split import SplitSpec
from recaudit.errors import UsageError, nearest
from recaudit.models.base import RecommenderSpec
from recaudit.models.factorization import NetworkSpec
from recaudit.models.registry import MODELS, model_spec
from recaudit.models.saving import DESCRIPTION
from recaudit.validation import validated

__all__ = ["AuditSpec", "audit_spec"]

TABLE_4 = ("QSD", "PTD", "PTQ", "PTA", "PTAQ")


class AuditSpec(BaseModel):
    """Everything that an audit's figures depend on, and the seeds that they are means over.

    Args:
        data: the interactions; a name or a path stands for ``{"source": …}``.
        victim: the recommender to audit: hyperparameters with their ``model``, whose name alone stands for its
            defaults, or ``{"saved": DIRECTORY}`` for a victim that an earlier audit trained and saved.
        clone: the attacker's model, likewise; the victim's where it is left out.
        attacks: names of attacks, in the order of the tables.
        settings: by attack, what differs from the attack's own settings; a new name makes a new attack.
        k: length of the lists.
        split: who is on which side.
        queries: lists that an attack may ask for in all; ``None`` lets it ask for those of all queried and
            validation users.
        seeds: one complete audit a seed, from the split on; a number n stands for seeds 0..n-1.
        device: a torch device.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: DataSpec = DataSpec()
    victim: dict[str, Any] = Field(default={"model": "bpr"}, validate_default=True)
    clone: dict[str, Any] | None = None
    attacks: tuple[str, ...] = Field(default=TABLE_4, min_length=1)
    settings: dict[str, dict[str, Any]] = {}
    k: int = Field(default=50, ge=1)
    split: SplitSpec = SplitSpec()
    queries: int | None = Field(default=None, ge=1)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    device: str = "cpu"

    @field_validator("data", mode="before")
    @classmethod
    def _source_alone(cls, value: object) -> object:
        return {"source": value} if isinstance(value, str | Path) else value

    @field_validator("victim", "clone", mode="before")
    @classmethod
    def _model_alone(cls, value: object) -> object:
        if isinstance(value, str):
            return {"model": value}
        return value.model_dump(mode="json") if isinstance(value, BaseModel) else value

    @field_validator("attacks", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value

    @field_validator("seeds", mode="before")
    @classmethod
    def _how_many(cls, value: object) -> object:
        if isinstance(value, int) and not isinstance(value, bool):
            if value < 1:
                raise ValueError(f"there must be at least one seed, not {value}")
            return tuple(range(value))
        return value

    @model_validator(mode="after")
    def _all_known(self) -> "AuditSpec":
        self.surrogates()
        self.clone_spec()
        if len(set(self.attacks)) < len(self.attacks) or len(set(self.seeds)) < len(self.seeds):
            raise ValueError("no attack and no seed may be named twice")
        return self

    @property
    def saved_victim(self) -> Path | None:
        """Directory of the saved victim to take, where one is to be taken."""
        return Path(self.victim["saved"]) if set(self.victim) == {"saved"} else None

    def victim_spec(self) -> RecommenderSpec:
        """Return the victim's hyperparameters."""
        if self.saved_victim is None:
            return model_spec(self.victim, where="victim")
        path = self.saved_victim / DESCRIPTION
        try:
            return model_spec(json.loads(path.read_bytes())["spec"], where=f"{path}: spec")
        except (OSError, ValueError, TypeError, KeyError):
            raise UsageError(
                f"victim: {str(self.saved_victim)!r} holds no saved model ({DESCRIPTION}); name a model "
                f"({', '.join(sorted(MODELS))}) or a folder that an audit saved its victim in"
            ) from None

    def clone_spec(self) -> NetworkSpec:
        """Return the clone's hyperparameters: the victim's where none are given and it is a trained network."""
        spec = self.victim_spec() if self.clone is None else model_spec(self.clone, where="clone")
        if isinstance(spec, NetworkSpec):
            return spec
        if self.clone is None:
            return validated(MODELS["bpr"], {"model": "bpr"}, where="clone")  # type: ignore[no-any-return]
        trained = [name for name, kind in MODELS.items() if issubclass(kind, NetworkSpec)]
        raise UsageError(
            f"clone: {spec.model!r} is not trained by gradients; use one of {', '.join(trained)}"
        )

    def surrogates(self) -> dict[str, Surrogate]:
        """Return the attacks by name, in order."""
        unused = sorted(set(self.settings) - set(self.attacks))
        if unused:
            raise UsageError(
                f"settings: attack {unused[0]!r} is not among attacks{nearest(unused[0], self.attacks)}"
            )
        found = {}
        for name in self.attacks:
            if name not in ATTACKS and name not in self.settings:
                raise UsageError(f"attacks: unknown attack {name!r}{nearest(name, ATTACKS)}")
            own = ATTACKS[name].model_dump() if name in ATTACKS else {}
            merged = _merged(own, self.settings.get(name, {}))
            found[name] = validated(Surrogate, merged, where=f"settings.{name}")
        return found

    @property
    def digest(self) -> str:
        """SHA-256 of all that the figures depend on but the seeds and the device, with every default spelled out."""
        plain = self.resolved()
        for left_out in ("seeds", "device"):
            del plain[left_out]
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

    def resolved(self) -> dict[str, Any]:
        """Return plain values with every default spelled out, enough to run the same audit again."""
        plain = self.model_dump(mode="json")
        if self.saved_victim is None:
            plain["victim"] = json.loads(self.victim_spec().model_dump_json())
        plain["clone"] = json.loads(self.clone_spec().model_dump_json())
        plain["settings"] = {name: one.model_dump(mode="json") for name, one in self.surrogates().items()}
        return plain


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``over``'s values in place, mapping within mapping."""
    merged = dict(base)
    for key, value in over.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if nested else value
    return merged


def audit_spec(values: Mapping[str, Any]) -> AuditSpec:
    """Return the spec that plain values, as from YAML, describe.

    Raises:
        UsageError: one line that names the wrong key and what was expected.
    """
    return validated(AuditSpec, values)
