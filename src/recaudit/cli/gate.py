"""``--fail-over``: which attacks are over a limit, which are not, and where too few users tell neither."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from recaudit.errors import UsageError, nearest
from recaudit.vocabulary import CANDIDATES, LEAKS, NULL

__all__ = ["DONE", "ENOUGH", "OVER", "UNSURE", "Limit", "judged", "outcome", "parse_limits"]

DONE, OVER, UNSURE = 0, 1, 3
"""Exit codes: no figure is over its limit, one is, or too few users tell."""

ENOUGH = 30
"""Users from whom on an estimate decides where its interval holds the limit; members, and strangers, each."""

STEALING = ("agreement", "place", "rbo", "recall", "ndcg")

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A limit on a figure of attacks.

    Args:
        metric: such as ``agreement@50`` or ``auc``.
        most: the greatest value that is not over it.
    """

    metric: str
    most: float

    @property
    def of_membership(self) -> bool:
        """Whether members and strangers are told apart by it."""
        return self.metric in LEAKS


def parse_limits(given: object, k: int, threats: Sequence[str]) -> list[Limit]:
    """Return the limit of each ``--fail-over``, from one text or several.

    Raises:
        UsageError: where a text names no figure of the audit, or no limit.
    """
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise UsageError(f"fail_over: expected something like agreement@{k}=0.6, found {given!r}")
    return [_limit(text, k, threats) for text in texts]


def _limit(text: str, k: int, threats: Sequence[str]) -> Limit:
    metric, _, number = text.partition("=")
    known = [f"{name}@{k}" for name in STEALING] if "stealing" in threats else []
    known += LEAKS if "membership" in threats else ()
    if metric not in known:
        raise UsageError(f"fail_over: unknown metric {metric!r}{nearest(metric, known)}")
    try:
        most = float(number)
    except ValueError:
        most = math.nan
    if math.isnan(most):
        raise UsageError(f"fail_over: {text!r} has no limit; expected something like {metric}=0.6")
    return Limit(metric=metric, most=most)


def outcome(row: Row, limit: Limit) -> Literal["over", "not over", "unsure"]:
    """Return whether a figure is over its limit.

    It is where its whole interval is, and it is not where its whole interval is not; a share without interval
    lies from 0 to 1. Where the interval holds the limit, the estimate decides if it comes from enough users:
    ``ENOUGH`` of them, or for membership ``ENOUGH`` members and as many strangers, and for a TPR so many
    strangers that one of them is within its FPR. Else too few users tell.
    """
    value, low, high = row["value"], row["low"], row["high"]
    if low is None and not limit.metric.startswith("place@"):
        low, high = 0, 1  # nothing is known but that it is a share
    if low is not None and low > limit.most:
        return "over"
    if high is not None and high <= limit.most:
        return "not over"
    n = row["n"] // 2 if limit.of_membership else row["n"]  # every second candidate is a member
    rate = float(limit.metric.partition("@")[2]) if limit.metric.startswith("tpr@") else 1.0
    if n < ENOUGH or n * rate < 1:
        return "unsure"
    return "over" if value > limit.most else "not over"


def judged(
    limits: Sequence[Limit],
    figures: Sequence[Row],
    attacks: Sequence[str],
    serving: str,
    say: Callable[[str], None],
) -> int:
    """Say which attacks are over which limit, and in one line which have too few users; return the exit code.

    A figure over its limit outweighs others of which too few users tell.

    Args:
        limits: the limits.
        figures: the rows of ``figures.csv``.
        attacks: the stealing attacks.
        serving: the way of serving in which membership counts.
        say: takes each line.

    Raises:
        UsageError: where a figure is not available.
    """
    over, unsure = False, []
    for limit in limits:
        whom = f"members and strangers ({serving})" if limit.of_membership else "unqueried users"
        for row in _rows(limit, figures, attacks, serving):
            if row["value"] is None:
                raise UsageError(
                    f"fail_over: {limit.metric} of {row['attack']} is not available here; choose another metric"
                )
            found, what = outcome(row, limit), f"{row['attack']}: {limit.metric} on {whom} {row['value']:.3f}"
            if found == "over":
                over = True
                say(f"{what} is over the limit of {limit.most:g}")
            elif found == "unsure":
                ends = "" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}, "
                unsure.append(f"{what} ({ends}n {row['n']}) against the limit of {limit.most:g}")
    if unsure:
        say(f"Too few users to tell: {'; '.join(unsure)}")
    return OVER if over else UNSURE if unsure else DONE


def _rows(limit: Limit, figures: Sequence[Row], attacks: Sequence[str], serving: str) -> list[Row]:
    """Return the figures that a limit is on.

    The blind panel counts: a leak that takes no attack is one too. A null control is none.
    """
    place = (limit.metric, serving, CANDIDATES) if limit.of_membership else (limit.metric, None, "unqueried")
    rows = [row for row in figures if (row["metric"], row["serving"], row["users"]) == place]
    if limit.of_membership:
        return [row for row in rows if not row["attack"].startswith(NULL)]
    return [row for row in rows if row["attack"] in attacks]
