"""A stage of an audit as a scheduler sees it."""

from dataclasses import dataclass

from recaudit.store import Stage

__all__ = ["Work"]


@dataclass(frozen=True, kw_only=True)
class Work:
    """One stage of a seed.

    Args:
        name: what :meth:`recaudit.audit.seed.SeedAudit.do` is to do: ``fit``, ``share`` or ``judge``, then
            whose or what.
        stage: what names its result.
        needs: hashes of the stages that it takes the results of.
    """

    name: tuple[str, ...]
    stage: Stage
    needs: tuple[str, ...]
