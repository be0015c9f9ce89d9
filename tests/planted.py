"""Planted nodes for tests: their result is a text."""

from collections.abc import Callable
from typing import Any

from recaudit.pipeline.keys import Artifact
from recaudit.pipeline.node import Codec, Node

TEXTS: Codec[str] = Codec(
    pack=lambda text: Artifact(facts={"text": text}), unpack=lambda artifact: artifact.facts["text"]
)


def text_node(
    name: str, compute: Callable[[], str] = str, *, kept: bool = True, **needs: Node[Any]
) -> Node[str]:
    """Return a node of a text, kept as a fact, or held in memory alone."""
    return Node(
        kind="text",
        inputs={"name": name},
        needs=needs,
        compute=compute,
        codec=TEXTS if kept else None,
        label=f"writing {name}",
    )
