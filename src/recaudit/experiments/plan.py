"""From a grid to the nodes of all its cells and seeds."""

from recaudit.audit.spec import AuditSpec, audit_spec
from recaudit.audit.tasks import plan_audits
from recaudit.experiments.grid import Cell, Grid
from recaudit.pipeline.schedule import Planned
from recaudit.pipeline.store import Store

__all__ = ["cell_spec", "plan"]


def cell_spec(cell: Cell, *, device: str = "cpu") -> AuditSpec:
    """Return the audit that a cell stands for."""
    return audit_spec({**cell.values, "device": device})


def plan(grid: Grid, store: Store, *, device: str = "cpu") -> dict[str, Planned]:
    """Return all kept nodes of a grid's cells and seeds as tasks, by hash, finished ones too.

    Cells come seed by seed, so that a grid that is stopped has all its cells over some seeds.

    Raises:
        UsageError: where a cell's data are missing or cannot be split as it says.
    """
    specs = [(cell, cell_spec(cell, device=device)) for cell in grid.cells()]
    most = max(cell.seeds for cell, _ in specs)
    return plan_audits(
        [(spec, seed) for seed in range(most) for cell, spec in specs if seed < cell.seeds], store
    )
