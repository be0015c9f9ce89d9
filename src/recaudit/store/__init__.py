"""Finished stages on disk, each under the hash of all that its result depends on."""

from recaudit.store.stages import Piece, Stage, StoredStage, versions
from recaudit.store.store import Store

__all__ = ["Piece", "Stage", "Store", "StoredStage", "versions"]
