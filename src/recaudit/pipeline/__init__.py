"""The pipeline: nodes, the cache of their results, the store that keeps them, and the scheduler."""

from recaudit.pipeline.keys import Artifact, Key, StoredNode, versions
from recaudit.pipeline.store import Store

__all__ = ["Artifact", "Key", "Store", "StoredNode", "versions"]
