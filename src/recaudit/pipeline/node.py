"""A node: one step of an audit, described once."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from recaudit.pipeline.keys import Artifact, Key
from recaudit.validation import LATER

__all__ = ["LATER", "Codec", "Node", "kept_nodes", "key_values"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Codec(Generic[T]):
    """How a result becomes an artifact and is made again.

    Args:
        pack: returns the artifact of a result; the cache fills in the seconds.
        unpack: returns the result of an artifact, each time a new one: changing it changes no artifact.
    """

    pack: Callable[[T], Artifact]
    unpack: Callable[[Artifact], T]


@dataclass(frozen=True, kw_only=True, eq=False)
class Node(Generic[T]):
    """One step of an audit: its key, the nodes that it needs, and how it is computed.

    Args:
        kind: the key's kind, one of :data:`recaudit.pipeline.keys.KINDS` where the node is kept.
        inputs: what the result depends on beside the needed nodes, as plain JSON values.
        needs: the nodes whose results it takes, by the names that the key gives them.
        compute: computes the result; takes the needed results from the run's cache.
        codec: packs and unpacks the result. Without one the node is transient: every process computes it for
            itself and holds it in memory, and nobody may change it.
        label: what the node does, in a few words, for people who watch.
    """

    kind: str
    inputs: Mapping[str, Any]
    compute: Callable[[], T]
    codec: Codec[T] | None
    label: str
    needs: Mapping[str, "Node[Any]"] = field(default_factory=dict)

    @cached_property
    def key(self) -> Key:
        """The key: kind, inputs, and the keys of the needed nodes."""
        needs = {name: node.key.hash for name, node in self.needs.items()}
        return Key(kind=self.kind, inputs={**self.inputs, **({"needs": needs} if needs else {})})

    @property
    def kept_needs(self) -> frozenset[str]:
        """Hashes of the kept nodes that must be there first, through transient ones."""
        found: set[str] = set()
        for node in self.needs.values():
            found |= node.kept_needs if node.codec is None else {node.key.hash}
        return frozenset(found)

    @property
    def shared_needs(self) -> frozenset[str]:
        """Hashes of the nodes that it needs and that are kept in a process's memory alone."""
        return frozenset(node.key.hash for node in self.needs.values() if node.codec is None)


def kept_nodes(targets: Iterable[Node[Any]]) -> Iterator[Node[Any]]:
    """Yield ``targets`` and all that they need, each kept node once, after those that it needs."""
    seen: set[str] = set()

    def walk(node: Node[Any]) -> Iterator[Node[Any]]:
        if node.key.hash in seen:
            return
        seen.add(node.key.hash)
        for need in node.needs.values():
            yield from walk(need)
        if node.codec is not None:
            yield node

    for target in targets:
        yield from walk(target)


def key_values(spec: BaseModel) -> dict[str, Any]:
    """Return a spec's values for a key: fields that came later are left out while they hold their default."""
    plain = spec.model_dump(mode="json")
    for name, described in type(spec).model_fields.items():
        value, extra = getattr(spec, name), described.json_schema_extra
        if (
            isinstance(extra, dict)
            and extra.get("later")
            and value == described.get_default(call_default_factory=True)
        ):
            del plain[name]
        elif isinstance(value, BaseModel):
            plain[name] = key_values(value)
    return plain
