"""One seed of an audit: the nodes of all its threats together."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from recaudit.audit.membership.threat import Membership
from recaudit.audit.spec import AuditSpec
from recaudit.audit.stealing.threat import Stealing
from recaudit.audit.values import SeedResult, joined
from recaudit.data.interactions import Interactions
from recaudit.pipeline.node import Node, kept_nodes
from recaudit.pipeline.run import Run

__all__ = ["SeedAudit", "Threat"]


class Threat(Protocol):
    """What one threat measures in one seed."""

    @property
    def rows(self) -> Mapping[str, Node[Any]]:
        """The nodes of what is judged, by row, in order."""

    def result(self) -> SeedResult:
        """Return what all rows measured, from the run's cache."""


class SeedAudit:
    """One seed of a spec on its data. Nodes take what they need from the run's cache, or compute it.

    Args:
        spec: what to measure.
        data: the interactions that the spec names.
        run: seed, device, progress and cache.

    Raises:
        UsageError: where the data cannot be split as the spec says.
    """

    def __init__(self, spec: AuditSpec, data: Interactions, run: Run) -> None:
        self.stealing = Stealing(spec, data, run) if "stealing" in spec.threats else None
        membership = Membership(spec, data, run) if "membership" in spec.threats else None
        self.threats: tuple[Threat, ...] = tuple(
            one for one in (self.stealing, membership) if one is not None
        )

    @property
    def targets(self) -> tuple[Node[Any], ...]:
        """The nodes of all rows."""
        return tuple(node for threat in self.threats for node in threat.rows.values())

    def nodes(self) -> Iterator[Node[Any]]:
        """Yield all nodes that are kept, each after those that it needs."""
        return kept_nodes(self.targets)

    def result(self) -> SeedResult:
        """Return what all rows measured, computing what is not kept."""
        return joined([threat.result() for threat in self.threats])
