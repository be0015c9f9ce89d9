"""recaudit: learn what a recommender leaks before somebody else does.

The names below load what they need when they are first asked for, so that ``import recaudit`` is quick and
loads no torch.
"""

from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recaudit.audit import AuditResult, AuditSpec, run_audit
    from recaudit.data.readers.frames import interactions_of
    from recaudit.data.sources import DataSpec
    from recaudit.data.split import SplitSpec
    from recaudit.errors import UsageError
    from recaudit.models.factorization import BPR, LMF
    from recaudit.models.zoo.baselines import ItemKNN, Popularity
    from recaudit.models.zoo.gru4rec import GRU4Rec
    from recaudit.models.zoo.ncf import NCF
    from recaudit.models.zoo.sasrec import SASRec
    from recaudit.models.zoo.stamp import STAMP

__version__ = "0.1.0"

__all__ = [
    "BPR",
    "LMF",
    "NCF",
    "STAMP",
    "AuditResult",
    "AuditSpec",
    "DataSpec",
    "GRU4Rec",
    "ItemKNN",
    "Popularity",
    "SASRec",
    "SplitSpec",
    "UsageError",
    "__version__",
    "interactions_of",
    "run_audit",
    "write_report",
]

_HOMES = {
    "BPR": "recaudit.models.factorization",
    "LMF": "recaudit.models.factorization",
    "NCF": "recaudit.models.zoo.ncf",
    "AuditResult": "recaudit.audit",
    "AuditSpec": "recaudit.audit",
    "DataSpec": "recaudit.data.sources",
    "GRU4Rec": "recaudit.models.zoo.gru4rec",
    "ItemKNN": "recaudit.models.zoo.baselines",
    "Popularity": "recaudit.models.zoo.baselines",
    "SASRec": "recaudit.models.zoo.sasrec",
    "STAMP": "recaudit.models.zoo.stamp",
    "SplitSpec": "recaudit.data.split",
    "UsageError": "recaudit.errors",
    "interactions_of": "recaudit.data.readers.frames",
    "run_audit": "recaudit.audit",
}


def write_report(result: "AuditResult", directory: str | PathLike[str]) -> None:
    """Write ``figures.csv``, ``result.json`` and ``report.html`` into ``directory``, made where needed.

    Raises:
        UsageError: where the directory cannot hold files.
    """
    from pathlib import Path  # noqa: PLC0415

    from recaudit.report import parse_result, write_result  # noqa: PLC0415

    write_result(parse_result(result.content), Path(directory))


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
