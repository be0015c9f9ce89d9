"""The black box: top-k lists out, a log of what was asked and answered, a hard budget."""

import numpy as np
from jaxtyping import Int64

from recaudit.errors import UsageError
from recaudit.models.protocol import TopK
from recaudit.oracle.defences import Defence
from recaudit.oracle.log import Exchange, Ledger, QueryLog
from recaudit.victims.protocol import Abilities, Queries, Victim

__all__ = ["BudgetExceeded", "Ledger", "NotAllowed", "Oracle"]


class BudgetExceeded(RuntimeError):
    """A query would ask for more lists than the budget has left; none was served."""


class NotAllowed(RuntimeError):
    """A query asks about users whom the attacker may not ask about; nothing was served."""


class Oracle:
    """A victim as an outsider meets it: who asks for lists gets items in order, and nothing else.

    Lists are asked for by user number, or by histories that are shown, where the victim answers for
    histories: any history may be shown. Victim and defence stay in a closure: no attribute leads to them.
    Scores never leave.

    Args:
        victim: what is asked.
        allowed: numbers of the users who may be asked about; repeated ones count once.
        k: length of the lists.
        budget: lists that may be served in all; ``None`` for no limit.
        defence: changes the lists before they are served; ``None`` for the victim's own.

    Raises:
        UsageError: where the victim serves no list of ``k`` items.
    """

    def __init__(
        self,
        victim: Victim,
        *,
        allowed: Int64[np.ndarray, "A"],
        k: int,
        budget: int | None = None,
        defence: Defence | None = None,
    ) -> None:
        abilities = victim.abilities
        if abilities.longest is not None and k > abilities.longest:
            raise UsageError(
                f"k: lists of {k} items, but the victim's lists have at most {abilities.longest}; lower k"
            )

        def serve(queries: Queries) -> np.ndarray:
            lists = victim.recommend(queries, k)
            served = lists.items if defence is None else defence.apply(queries, lists).items
            if served.shape != (len(queries), k):
                raise ValueError(f"lists {served.shape} were served for {len(queries)} queries of {k} items")
            return served.astype(np.int64)

        self._serve = serve
        self._abilities = abilities
        self._allowed = np.unique(allowed)
        self._budget = budget
        self._exchanges: list[Exchange] = []

    def query(self, queries: Queries) -> TopK:
        """Return the list of each query, in order, without scores.

        What a shown history holds is left out of its list as seen. The same history gets the same list,
        whoever's it is said to be.

        Raises:
            BudgetExceeded: before anything is served, where fewer lists are left than are asked for.
            NotAllowed: before anything is served, where a user may not be asked about.
            UsageError: before anything is served, where the victim does not answer such queries.
            ValueError: where shown histories are over a catalogue of another size.
        """
        if queries.users is None:
            self.check_reads_histories()
        else:
            self._check_users(queries.users)
            # A caller may write to an array later: the log keeps what was asked.
            queries = Queries(users=queries.users.copy())
        self.check_budget(len(queries))
        items = self._serve(queries)
        kept = items.astype(np.int32)
        kept.flags.writeable = False
        self._exchanges.append(Exchange(queries=queries, items=kept))
        return TopK(items=items)

    @property
    def abilities(self) -> Abilities:
        """What the victim can be asked, and what its lists are like."""
        return self._abilities

    @property
    def log(self) -> QueryLog:
        """What was asked and answered so far."""
        return QueryLog(exchanges=tuple(self._exchanges))

    @property
    def ledger(self) -> Ledger:
        """The counts of the log."""
        return self.log.ledger

    def check_reads_histories(self) -> None:
        """Ask nothing, and raise what :meth:`query` would where histories are shown to who reads none.

        Raises:
            UsageError: where the victim answers for users by number alone.
        """
        if not self._abilities.by_history:
            raise UsageError(
                "the victim knows its users by number alone and reads no histories; audit a model that reads "
                "them (such as sasrec, stamp or gru4rec), or leave out attacks that synthesise histories"
            )

    def check_budget(self, lists: int) -> None:
        """Ask nothing, and raise where so many lists are not left.

        Raises:
            BudgetExceeded: where fewer than ``lists`` are left.
        """
        served = sum(len(one.items) for one in self._exchanges)
        if self._budget is not None and served + lists > self._budget:
            left = self._budget - served
            raise BudgetExceeded(f"{lists} lists asked for, {left} of the budget of {self._budget} left")

    def _check_users(self, users: Int64[np.ndarray, "Q"]) -> None:
        """Refuse users who may not be asked about."""
        if not self._abilities.by_user:
            raise UsageError("users were asked about by number; the victim answers for shown histories alone")
        others = np.setdiff1d(users, self._allowed)
        if len(others):
            some = ", ".join(map(str, others[:5].tolist())) + (", …" if len(others) > 5 else "")
            raise NotAllowed(
                f"the attacker may ask about {len(self._allowed)} users, and not about {some}; no list was "
                "served"
            )
