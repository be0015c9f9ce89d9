"""The black box: top-k lists out, a ledger of what was asked, a hard budget."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from recaudit.data.interactions import Interactions
from recaudit.errors import UsageError
from recaudit.models.protocol import ReadsHistories, Recommender, TopK, reading
from recaudit.models.ranking import top_k
from recaudit.oracle.defences import Defence, DefendsHistories, defending

__all__ = ["BudgetExceeded", "Ledger", "Oracle"]


class BudgetExceeded(RuntimeError):
    """A query would ask for more lists than the budget has left; none was served."""


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What an oracle has given away: lists as they were served, after the defence.

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


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """What answers for a victim, which stays in the closures of these functions.

    Args:
        numbers: serves users by their numbers.
        histories: serves users by their histories, where ``refusal`` gives no reason not to.
        refusal: tells why no history is read, in words that "and reads no histories" may follow.
    """

    numbers: Callable[[Int64[np.ndarray, "Q"]], TopK]
    histories: Callable[[Interactions], TopK] | None
    refusal: Callable[[], str | None]


class Oracle:
    """A victim as an outsider meets it: who asks for lists gets items in order, and nothing else.

    Lists are asked for by user number, or by histories that are shown, where the victim reads any. Victim and
    defence stay in closures: no attribute leads to them. Scores never leave.

    Args:
        victim: the recommender to ask.
        seen: the victim's training histories, excluded from its lists.
        k: length of the lists.
        budget: lists that may be served in all; ``None`` for no limit.
        defence: changes the lists before they are served; ``None`` for the victim's own.
    """

    def __init__(
        self,
        victim: Recommender,
        seen: Interactions,
        *,
        k: int,
        budget: int | None = None,
        defence: Defence | None = None,
    ) -> None:
        by_number = defending(defence, victim, seen)

        def serve(users: Int64[np.ndarray, "Q"]) -> TopK:
            lists = top_k(victim, users, seen, k)
            return lists if by_number is None else by_number.apply(users, lists)

        def serve_shown(histories: Interactions) -> TopK:
            if histories.n_items != victim.n_items:
                raise ValueError(
                    f"histories over {histories.n_items} items were shown; the catalogue has {victim.n_items}"
                )
            users = np.arange(histories.n_users)
            lists = top_k(reading(victim, histories), users, histories, k)
            by_list = defending(defence, victim, histories)
            return lists if by_list is None else by_list.apply(users, lists)

        def refusal() -> str | None:
            if not isinstance(victim, ReadsHistories):
                return f"the victim ({type(victim).__name__}) knows its users by number alone"
            if defence is not None and not isinstance(defence, DefendsHistories):
                return f"the defence ({type(defence).__name__}) knows users by number alone"
            return None

        answers = _Answers(numbers=serve, histories=serve_shown, refusal=refusal)
        self._open(answers, victim.n_users, budget)

    @classmethod
    def serving(
        cls,
        serve: Callable[[Int64[np.ndarray, "Q"]], TopK],
        *,
        n_users: int,
        budget: int | None = None,
    ) -> "Oracle":
        """Return the oracle of a service that decides by itself what each user is served.

        It reads no histories: it serves users by their numbers alone.

        Args:
            serve: returns the lists of users ``0..n_users-1``; it stays in a closure, with all that it knows.
            n_users: number of users who may be asked about.
            budget: lists that may be served in all; ``None`` for no limit.
        """

        def answer(users: Int64[np.ndarray, "Q"]) -> TopK:
            return serve(users)

        def refusal() -> str:
            return "this service knows its users by number alone"

        oracle = cls.__new__(cls)
        oracle._open(_Answers(numbers=answer, histories=None, refusal=refusal), n_users, budget)
        return oracle

    def _open(self, answers: _Answers, n_users: int, budget: int | None) -> None:
        """Begin with an empty ledger."""
        self._budget = budget
        self._serve = answers
        self._n_users = n_users
        self._lists = 0
        self._calls = 0
        self._users: set[int] = set()
        self._items: set[int] = set()
        self._sequences: set[int | str] = set()

    def query(self, users: Int64[np.ndarray, "Q"]) -> TopK:
        """Return the lists of ``users``, without scores.

        Raises:
            BudgetExceeded: before anything is served, where fewer lists are left than ``users`` asks for.
            IndexError: where a user does not exist.
        """
        if len(users) and not (users.min() >= 0 and users.max() < self._n_users):
            raise IndexError(
                f"users must lie in 0..{self._n_users - 1}; asked for {users.min()}..{users.max()}"
            )
        self.check_budget(len(users))
        lists = self._counted(self._serve.numbers(users))
        self._users.update(users.tolist())
        return lists

    def query_histories(self, histories: Interactions) -> TopK:
        """Return the lists of users who are shown by their histories, in order, without scores.

        What a history holds is left out of its list as seen. The same history gets the same list, whoever's
        it is said to be. ``histories.user_ids`` name the sessions that the ledger counts: a session keeps its
        id while its history grows from call to call.

        Args:
            histories: those to be served, over the victim's catalogue.

        Raises:
            BudgetExceeded: before anything is served, where fewer lists are left than there are histories.
            UsageError: before anything is served, where the victim or its defence reads no histories.
            ValueError: where the histories are over a catalogue of another size.
        """
        self.check_reads_histories()
        self.check_budget(histories.n_users)
        assert self._serve.histories is not None
        lists = self._counted(self._serve.histories(histories))
        self._sequences.update(histories.user_ids.to_list())
        return lists

    def check_reads_histories(self) -> None:
        """Ask nothing, and raise what :meth:`query_histories` would where no history is read.

        Raises:
            UsageError: where the victim or its defence reads no histories.
        """
        why = self._serve.refusal()
        if why is not None:
            raise UsageError(
                f"{why} and reads no histories; audit a model that reads them (sasrec, stamp, gru4rec), or "
                "leave out attacks that synthesise histories"
            )

    def check_budget(self, lists: int) -> None:
        """Ask nothing, and raise where so many lists are not left.

        Raises:
            BudgetExceeded: where fewer than ``lists`` are left.
        """
        if self._budget is not None and self._lists + lists > self._budget:
            left = self._budget - self._lists
            raise BudgetExceeded(f"{lists} lists asked for, {left} of the budget of {self._budget} left")

    def _counted(self, served: TopK) -> TopK:
        """Enter lists into the ledger and return them without scores."""
        lists = TopK(items=served.items)
        self._calls += 1
        self._lists += len(lists.items)
        self._items.update(np.unique(lists.items[lists.items >= 0]).tolist())
        return lists

    @property
    def ledger(self) -> Ledger:
        """What has been given away so far."""
        return Ledger(
            lists=self._lists,
            users=len(self._users),
            items=len(self._items),
            calls=self._calls,
            sequences=len(self._sequences),
        )
