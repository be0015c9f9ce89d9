"""The log of an oracle: every query and every answer, in a plain format that can be replayed."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int32

from recaudit.data.interactions import Interactions
from recaudit.victims.protocol import Queries

__all__ = ["Exchange", "Ledger", "QueryLog", "queries_of"]

SCHEMA: dict[str, Any] = {
    "call": pl.Int64,
    "user": pl.Int64,
    "session": pl.String,
    "history": pl.List(pl.Int32),
    "items": pl.List(pl.Int32),
}


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """How much an oracle has given away: lists as they were served, after the defence.

    Args:
        lists: lists served, by user number or by history, repeated ones counted again.
        users: distinct users whose list was served by their number.
        items: distinct items that the lists revealed.
        calls: requests answered, whatever the number of lists in each.
        sequences: distinct sessions whose histories were shown; one that grows stays one.
    """

    lists: int
    users: int
    items: int
    calls: int = 0  # these two came later than the first stored ledgers
    sequences: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Exchange:
    """One call: what was asked and what was answered.

    Args:
        queries: who was asked about.
        items: the served list of each, best item first, padded with ``-1``; cannot be written to.
    """

    queries: Queries
    items: Int32[np.ndarray, "Q k"]


@dataclass(frozen=True, kw_only=True)
class QueryLog:
    """All that one attacker asked and was answered, in order.

    Args:
        exchanges: the calls.
    """

    exchanges: tuple[Exchange, ...] = ()

    @cached_property
    def ledger(self) -> Ledger:
        """The counts."""
        users = [one.queries.users for one in self.exchanges if one.queries.users is not None]
        shown = [one.queries.histories for one in self.exchanges if one.queries.histories is not None]
        items = [np.unique(one.items) for one in self.exchanges]
        return Ledger(
            lists=sum(len(one.items) for one in self.exchanges),
            users=len(np.unique(np.concatenate(users))) if users else 0,
            items=int((np.unique(np.concatenate(items)) >= 0).sum()) if items else 0,
            calls=len(self.exchanges),
            sequences=len({session for histories in shown for session in histories.user_ids.to_list()}),
        )

    def frame(self) -> pl.DataFrame:
        """Return one row a served list, in order; Parquet files of it are the format that others may read.

        The columns are ``call``, the number of the call from 0; ``user``, the number of the user asked about,
        or ``session`` and ``history``, the id of the session that was shown and its item numbers in order;
        and ``items``, the item numbers of the list, best first, without padding. A call for nobody has no
        row.
        """
        parts = [self._rows(call, one) for call, one in enumerate(self.exchanges)]
        return pl.concat(parts) if parts else pl.DataFrame(schema=SCHEMA)

    @staticmethod
    def _rows(call: int, one: Exchange) -> pl.DataFrame:
        n, shown = len(one.items), one.queries.histories
        histories = None if shown is None else [shown.history(user) for user in range(n)]
        columns = {
            "call": [call] * n,
            "user": [None] * n if one.queries.users is None else one.queries.users,
            "session": [None] * n if shown is None else shown.user_ids.cast(pl.String),
            "history": [None] * n if histories is None else histories,
            "items": [row[row >= 0] for row in one.items],
        }
        return pl.DataFrame(columns, schema=SCHEMA)


def queries_of(frame: pl.DataFrame, *, n_items: int) -> Iterator[Queries]:
    """Yield the queries of a log's :meth:`QueryLog.frame`, call by call: asking them again replays the log.

    Args:
        frame: the log.
        n_items: size of the catalogue.
    """
    for _, rows in frame.group_by("call", maintain_order=True):
        if rows["user"].null_count() == 0:
            yield Queries(users=rows["user"].to_numpy().copy())
            continue
        yield Queries(
            histories=Interactions(
                name="replayed",
                offsets=np.concatenate([[0], np.cumsum(rows["history"].list.len().to_numpy())]).astype(
                    np.int64
                ),
                items=rows["history"].explode().to_numpy().copy(),
                user_ids=rows["session"],
                item_ids=pl.Series(np.arange(n_items)),
            )
        )
