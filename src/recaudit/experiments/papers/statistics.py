"""Table 6 of Zhu et al. (2023): what the data sets hold, as printed and as found here. No audit is run."""

import polars as pl

from recaudit.data.filters import k_core
from recaudit.data.interactions import Interactions
from recaudit.data.sources import SOURCES, DataSpec, find_source, load
from recaudit.errors import UsageError
from recaudit.experiments.papers.catalogue import STATISTICS

__all__ = ["statistics"]

CORE = 5
COLUMNS = {
    "experiment": pl.String,
    "data": pl.String,
    "kept": pl.String,
    "users": pl.Int64,
    "items": pl.Int64,
    "interactions": pl.Int64,
    "sparsity": pl.Float64,
}
Row = tuple[str, str, str, int, int, int, float | None]


def statistics() -> pl.DataFrame:
    """Return users, items, interactions and sparsity (one minus the density) of the paper's data sets.

    Column ``kept`` says of what: ``published`` is the paper's row; ``all``, ``5-core, one pass`` and
    ``5-core, iterative`` are counted in the file that is here. A data set that is not here has its published
    row alone; a core of nobody has zeros and no sparsity.

    Raises:
        UsageError: where a file that is here cannot be read.
    """
    rows: list[Row] = []
    for name, source in SOURCES.items():
        stated = source.published
        if stated is None:
            continue
        rows.append(
            (STATISTICS, name, "published", stated.users, stated.items, stated.interactions, stated.sparsity)
        )
        if find_source(name)[1] is not None:
            whole = load(DataSpec(source=name, user_core=0, item_core=0))
            rows.append(_row(name, "all", whole))
            rows.append(_row(name, f"{CORE}-core, one pass", _core(whole, iterative=False)))
            rows.append(_row(name, f"{CORE}-core, iterative", _core(whole, iterative=True)))
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def _core(whole: Interactions, *, iterative: bool) -> Interactions | None:
    try:
        return k_core(whole, users=CORE, items=CORE, iterative=iterative)
    except UsageError:  # nothing is left
        return None


def _row(name: str, kept: str, data: Interactions | None) -> Row:
    if data is None:
        return STATISTICS, name, kept, 0, 0, 0, None
    return STATISTICS, name, kept, data.n_users, data.n_items, len(data.items), 1 - data.density
