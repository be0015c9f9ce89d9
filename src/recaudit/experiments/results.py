"""The tidy table of an experiment: one row a figure, the same columns for all."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from recaudit.audit import run_audit
from recaudit.audit.spec import AuditSpec
from recaudit.audit.tasks import finished_seeds, open_data
from recaudit.experiments.grid import Grid
from recaudit.experiments.plan import cell_spec
from recaudit.experiments.table import columns_of
from recaudit.oracle.defences import PopularItems
from recaudit.pipeline import Store, versions

__all__ = ["results"]


def results(grid: Grid, store: Store, *, device: str = "cpu") -> pl.DataFrame:
    """Return the figures of all cells over the seeds that are finished; it computes no node.

    A cell's rows have its values on the axes; an axis that is none of ``COLUMNS`` gets a column behind them.
    A cell without a finished seed has no row. ``clone`` is the attacker's model also in rows of the floor,
    the ceiling and the victim, as it tells cells apart; ``queries`` is null where there is no budget. A grid
    whose plot is ROC curves has their points too, as rows with the metric ``roc`` and the false positive
    rate ``fpr``, which is null elsewhere. Each row says which versions made it: the store has no others.
    """
    rows: list[dict[str, Any]] = []
    for cell in grid.cells():
        spec = cell_spec(cell, device=device)
        seeds = finished_seeds(spec, store)
        if seeds:
            found = _rows(grid, spec.model_copy(update={"seeds": seeds}), store)
            rows += [row | dict(cell.labels) for row in found]
    return pl.DataFrame(rows, schema=columns_of(grid), orient="row")


def _rows(grid: Grid, spec: AuditSpec, store: Store) -> list[dict[str, Any]]:
    found = run_audit(spec, data=open_data(spec), store=store)
    cell = {
        "experiment": grid.name,
        "clone": None if grid.infers else spec.clone.model,
        "k": spec.k,
        "known": spec.split.known,
        "auxiliary_share": spec.split.auxiliary_share,
        "common_items": spec.split.common_items,
        "mixed": spec.defence.mixed if isinstance(spec.defence, PopularItems) else 0,
        "queries": spec.queries,
        **versions(),
    }
    figures = found.content["figures"]
    points = _points(found.content["curves"], figures[0]) if grid.plot == "roc" else []
    return [{**figure, **cell} for figure in (*figures, *points)]


def _points(curves: list[dict[str, Any]], like: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the points of ROC curves as rows."""
    common = {name: like[name] for name in ("data", "victim", "seeds", "threat")}
    common |= {"users": "candidates", "metric": "roc"}
    return [
        {
            **common,
            "serving": curve["serving"],
            "attack": curve["attack"],
            "fpr": fpr,
            "value": value,
            "low": low,
            "high": high,
        }
        for curve in curves
        for fpr, value, low, high in zip(curve["fpr"], curve["tpr"], curve["low"], curve["high"], strict=True)
    ]
