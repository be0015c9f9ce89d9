"""One seed of an audit: the stages of all its threats together."""

from collections.abc import Callable

from recaudit.audit.membership import Membership
from recaudit.audit.spec import AuditSpec
from recaudit.audit.stealing import Stealing
from recaudit.audit.values import SeedResult, joined
from recaudit.audit.victim import Victim
from recaudit.audit.work import Work
from recaudit.data.interactions import Interactions
from recaudit.pipeline.run import Run

__all__ = ["SeedAudit"]


class SeedAudit:
    """One seed of a spec on its data. Stages take what they need from the run's memo, or compute it.

    Args:
        spec: what to measure.
        data: the interactions that the spec names.
        run: seed, device, progress and memo.

    Raises:
        UsageError: where the data cannot be split as the spec says.
    """

    def __init__(self, spec: AuditSpec, data: Interactions, run: Run) -> None:
        self._stealing = Stealing(spec, data, run) if "stealing" in spec.measured else None
        self._membership = Membership(spec, data, run) if "membership" in spec.measured else None
        self._parts = [part for part in (self._stealing, self._membership) if part is not None]

    @property
    def rows(self) -> tuple[str, ...]:
        """What is judged, in the order in which :meth:`result` tells of it."""
        return tuple(row for part in self._parts for row in part.rows)

    def victim(self) -> Victim | None:
        """Return the victim that is stolen, where any is; trained where it is not kept."""
        return None if self._stealing is None else self._stealing.victim()

    def works(self) -> tuple[Work, ...]:
        """Return all stages, in an order in which each comes after those that it needs."""
        return tuple(work for part in self._parts for work in part.works())

    def do(self, name: tuple[str, ...]) -> None:
        """Do the stage of this name and keep its result."""
        for part in self._parts:
            if any(work.name == name for work in part.works()):
                part.do(name)
                return
        raise ValueError(f"no stage is named {name!r}")

    def result(self, tell: Callable[[str], None]) -> SeedResult:
        """Return what all rows measured, computing what is not kept; ``tell`` hears each row that begins."""
        return joined([part.result(tell) for part in self._parts])
