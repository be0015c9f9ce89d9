"""Finished stages on disk, each under the hash of all that its result depends on."""

from recaudit.pipeline.stages import Piece, Stage, StoredStage, versions
from recaudit.pipeline.store import Store

__all__ = ["Piece", "Stage", "Store", "StoredStage", "versions"]
