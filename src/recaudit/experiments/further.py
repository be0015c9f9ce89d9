"""The tables of an experiment beside its own. Loads no torch."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from recaudit.vocabulary import BLIND, NULL, REFERENCES, VICTIM

__all__ = ["Further", "Users", "check_rows"]

Users = Literal["all", "queried", "unqueried", "unseen", "target", "candidates"]

Metric = Annotated[
    str,
    Field(
        pattern=r"^((agreement|agreement_undefended|rbo|place|recall|ndcg|diversity|coverage|tied|short|forced)@[1-9]\d*"
        r"|lists|users|items|calls|sequences|seconds|auc|accuracy|tpr@0\.\d+)$"
    ),
]
"""A metric of ``figures.csv``."""


class Further(BaseModel):
    """A table of an experiment beside its own: the same audits, other figures.

    Args:
        title: what it shows.
        metrics: its figures, such as ``agreement@50`` or ``lists``.
        users: whose figures they are.
        rows: by attack; where empty, the rows of the experiment's own table.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    metrics: tuple[Metric, ...] = Field(min_length=1)
    users: Users = "all"
    rows: tuple[str, ...] = ()


def check_rows(tables: Sequence[Further], attacks: Sequence[str], *, membership: bool) -> None:
    """Refuse a table with a row that no audit of the experiment has.

    Args:
        tables: the further tables.
        attacks: those of every audit.
        membership: whether they infer membership, which has null controls and blind features, too.

    Raises:
        ValueError: which names the table, the row and the rows that there are.
    """
    known = (*attacks, VICTIM) if membership else (*attacks, *REFERENCES)
    for table in tables:
        for row in table.rows:
            if row not in known and not (membership and row.startswith((NULL, BLIND))):
                raise ValueError(
                    f"further: {table.title!r} has the row {row!r}; there are {', '.join(known)}"
                )
