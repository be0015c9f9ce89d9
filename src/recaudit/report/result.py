"""The stored result of an audit, as the report reads it from ``result.json``."""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from recaudit import __version__
from recaudit.data.reading import Reading
from recaudit.errors import UsageError
from recaudit.figures import Figure, Figures
from recaudit.vocabulary import Card, row_card

__all__ = [
    "BlindChoice",
    "Cards",
    "Curve",
    "DataDescription",
    "Figure",
    "Ledger",
    "Result",
    "Stage",
    "parse_result",
    "read_result",
]


class _Stored(BaseModel):
    # Keys that a later version of the same series adds are kept and written again, never refused.
    model_config = ConfigDict(frozen=True, extra="allow")


class Curve(_Stored):
    """The mean ROC curve of one membership attack under one way of serving, with a 95 % band.

    Args:
        serving: what non-members were served.
        attack: the attack, as ``figures`` name it.
        fpr: shares of non-members taken for members, P of them.
        tpr: the share of members found at each of them; ``None`` where it is not available.
        low: the lower end of the band there, P values or none at all.
        high: its upper end, likewise.
    """

    serving: str
    attack: str
    fpr: tuple[float, ...]
    tpr: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()

    @model_validator(mode="after")
    def _even(self) -> "Curve":
        points = len(self.fpr)
        if len(self.tpr) != points or {len(self.low), len(self.high)} - {0, points}:
            raise ValueError("fpr, tpr, low and high must be equally long")
        return self


class BlindChoice(_Stored):
    """Which blind feature was taken as the best single one in one seed under one way of serving."""

    serving: str
    seed: int
    best: str


class Ledger(_Stored):
    """What one attack asked of the victim in one seed: lists served, distinct users, distinct items shown.

    ``calls`` counts requests, and ``sequences`` the distinct histories that were shown; 0 where lists were
    asked for by user number alone, or where an earlier version counted neither.
    """

    attack: str
    seed: int
    lists: int
    users: int
    items: int
    budget: int | None = None
    calls: int = 0
    sequences: int = 0


class Stage(_Stored):
    """How long one stage of one seed took, in seconds, and its epochs where it trained a model."""

    seed: int
    stage: str
    seconds: float | None
    epochs: int | None = None


class DataDescription(_Stored):
    """Size of the data and of the audit's parts of it; ``None`` where there is no such part.

    ``times`` says whether the data have times, which histories are then ordered by; ``None`` where an earlier
    version did not say. ``reading`` says what was made of the file; ``None`` where the data come from none.
    """

    name: str
    n_users: int | None = None
    n_items: int | None = None
    n_interactions: int | None = None
    density: float | None = None
    times: bool | None = None
    reading: Reading | None = None
    target_users: int | None = None
    auxiliary_users: int | None = None
    target_interactions: int | None = None
    known_users: int | None = None
    queried_users: int | None = None
    validation_users: int | None = None
    unqueried_users: int | None = None
    unseen_users: int | None = None
    candidate_users: int | None = None
    member_users: int | None = None
    shadow_users: int | None = None
    attacker_users: int | None = None


class Cards(_Stored):
    """The visiting cards of what an audit ran; an earlier version wrote none."""

    attacks: tuple[Card, ...] = ()
    membership_attacks: tuple[Card, ...] = ()
    victim: Card | None = None
    clone: Card | None = None
    defence: Card | None = None


class Result(_Stored):
    """One audit: what was asked for, with which versions, on what data, and what came out."""

    recaudit: str
    created: datetime
    spec: dict[str, Any]
    spec_hash: str
    versions: dict[str, str]
    data: DataDescription
    ledgers: tuple[Ledger, ...]
    stages: tuple[Stage, ...]
    figures: tuple[Figure, ...]
    curves: tuple[Curve, ...] = ()
    blind: tuple[BlindChoice, ...] = ()
    cards: Cards = Cards()

    @cached_property
    def index(self) -> Figures:
        """The figures, to be found by attack, metric, users and serving."""
        return Figures.of(self.figures)

    def card(self, row: str, threat: str = "stealing") -> Card:
        """Return the card of a row of ``figures``; without one, the name is the label."""
        cards = self.cards.membership_attacks if threat == "membership" else self.cards.attacks
        return row_card(row, {card.name: card for card in cards})

    @property
    def seeds(self) -> int:
        """The greatest number of seeds behind a figure."""
        return max((figure.seeds for figure in self.figures), default=0)

    def to_json(self) -> str:
        """Return the text of ``result.json``, figures in full precision; keys not given stay out."""
        values = self.model_dump(mode="json", exclude_unset=True)
        return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def parse_result(values: Mapping[str, Any], where: str = "result") -> Result:
    """Return the result that plain values hold; a number that is not finite counts as not available.

    Raises:
        UsageError: where a key is missing or holds something else than expected, or where another series of
            recaudit wrote it; the message begins with ``where``.
    """
    version = values.get("recaudit")
    if not isinstance(version, str):
        raise UsageError(
            f"{where}: no version under the key 'recaudit'; expected what `recaudit audit` wrote"
        )
    if _series(version) != _series(__version__):
        raise UsageError(
            f"{where}: written by recaudit {version}, this is {__version__}; "
            f"run the audit again or install recaudit {version}"
        )
    try:
        return Result.model_validate(_plain(values))
    except ValidationError as error:
        first, *others = error.errors(include_url=False)
        place = ".".join(map(str, first["loc"]))
        found = "" if first["type"] == "missing" else f", found {_short(first['input'])}"
        more = f" (and {len(others)} more)" if others else ""
        message = first["msg"][0].lower() + first["msg"][1:]
        raise UsageError(
            f"{where}: damaged at {place!r}: {message}{found}{more}; run the audit again"
        ) from None


def read_result(path: Path) -> Result:
    """Return the result stored at ``path``, a ``result.json`` or the output directory that holds one.

    Raises:
        UsageError: where there is no such file, it cannot be read as an audit's result, or another series of
            recaudit wrote it; the message names the file.
    """
    file = path / "result.json" if path.is_dir() else path
    try:
        values = json.loads(file.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{file}: no such file; expected a result.json that `recaudit audit` wrote"
        ) from None
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{file}, line {error.lineno}, column {error.colno}: not JSON ({error.msg}); "
            "the file is damaged, run the audit again"
        ) from None
    except (UnicodeDecodeError, RecursionError):
        raise UsageError(
            f"{file}: not a JSON text in UTF-8; the file is damaged, run the audit again"
        ) from None
    if not isinstance(values, dict):
        raise UsageError(
            f"{file}: found a JSON {type(values).__name__}, expected the object that an audit writes"
        )
    return parse_result(values, where=str(file))


def _series(version: str) -> list[str]:
    # Below 1.0 the second number marks what does not fit together, above it the first one does.
    numbers = version.split(".")
    return numbers[:2] if numbers[0] == "0" else numbers[:1]


def _plain(value: Any) -> Any:
    """Return ``value`` without numbers that JSON cannot hold and characters that UTF-8 cannot hold."""
    if isinstance(value, Mapping):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
