"""Planted nodes for tests, whose result is a text, and short names of tasks."""

import os
from collections.abc import Callable
from typing import Any

from recaudit.errors import UsageError
from recaudit.pipeline.keys import Artifact
from recaudit.pipeline.node import Codec, Node
from recaudit.pipeline.schedule import Done, Task

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


def number_of(task: Task) -> int:
    """Return the number that a planted task has in its key."""
    return int(task.key.inputs["number"])


def refusing(task: Task) -> Done:
    """Return which process does an even number; refuse an odd one."""
    if number_of(task) % 2:
        raise UsageError(f"queries: {number_of(task)} are too few")
    return Done(damaged=(str(os.getpid()),))


def name_of(task: Task) -> str:
    """Return a task's label; of a clone that is trained on interactions also how it uses auxiliary data."""
    if task.key.kind != "clone":
        return task.label
    return f"{task.label}, auxiliary {task.key.inputs['auxiliary']}"


VICTIM, CEILING = "training bpr for the victim", "training bpr for the ceiling"
AUXILIARY = "training bpr for auxiliary users"
PTD, PTA = (f"training a bpr clone on interactions, auxiliary {use}" for use in ("none", "attention"))
"""What attacks share: phase one without auxiliary data, and with them."""
