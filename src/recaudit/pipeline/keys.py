"""A node's key, the artifact that it leaves, and the two files that keep the artifact."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recaudit import __version__

if TYPE_CHECKING:
    import torch

__all__ = [
    "DESCRIPTION",
    "FIELDS",
    "HASH",
    "KINDS",
    "TENSORS",
    "Artifact",
    "Damaged",
    "Key",
    "StoredNode",
    "checked",
    "description",
    "fits",
    "other_versions",
    "rendered",
    "versions",
    "write_files",
]

DESCRIPTION, TENSORS = "node.json", "tensors.safetensors"
KINDS: Mapping[str, int] = {
    "model": 2,
    "models": 1,
    "lists": 1,
    "clone": 2,
    "judged": 2,
    "inferred": 1,
}
"""The kinds of nodes that a store keeps, with their revisions. A change of what nodes of a kind compute
raises its revision, so that older artifacts are not taken for new ones."""
HASH = re.compile("[0-9a-f]{64}")
FIELDS: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("hash", "kind", "created"), str),
    **dict.fromkeys(("inputs", "facts", "versions", "files"), dict),
    **dict.fromkeys(("seconds", "elapsed"), (int, float)),
}
"""What ``node.json`` says, beside its own checksum."""


@cache
def versions() -> Mapping[str, str]:
    """Return the versions of what computes a result: others may give other bits."""
    return {"recaudit": __version__} | {name: version(name) for name in ("torch", "numpy", "scipy", "polars")}


@dataclass(frozen=True, kw_only=True)
class Key:
    """The name of a result: its kind and everything that it depends on, as plain JSON values.

    Args:
        kind: an explicit name such as ``model`` or ``clone``, never a class's: the folder that the
            result lies in.
        inputs: specs, fingerprints of data, hashes of other keys, seed and device.
    """

    kind: str
    inputs: Mapping[str, Any]

    @cached_property
    def hash(self) -> str:
        """SHA-256 over kind, the kind's revision, inputs and :func:`versions`."""
        return _digest([self.kind, KINDS.get(self.kind, 1), self.inputs, versions()])


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """The result of a node as tensors and plain values.

    Args:
        tensors: weights, or values of users.
        facts: plain values beside them.
        label: what the node did, in a few words.
        seconds: the node's cost as if it ran alone, with all results that it takes from other nodes.
        elapsed: seconds that the node itself took.
    """

    tensors: Mapping[str, "torch.Tensor"] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    seconds: float = 0.0
    elapsed: float = 0.0


@dataclass(frozen=True, kw_only=True)
class StoredNode:
    """A finished node as ``runs list`` shows it; its tensors stay on disk."""

    hash: str
    kind: str
    label: str
    inputs: Mapping[str, Any]
    facts: Mapping[str, Any]
    seconds: float
    elapsed: float
    created: str
    versions: Mapping[str, str]
    size: int
    folder: Path


class Damaged(Exception):
    """A stored node is not what was written; the message says how."""


def _digest(plain: Any) -> str:
    text = json.dumps(plain, sort_keys=True, default=dict, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_files(key: Key, artifact: Artifact, folder: Path) -> None:
    """Write the two files of a node into ``folder``."""
    from safetensors.torch import save  # noqa: PLC0415 - loads torch, which a look at a store need not

    content = save(dict(artifact.tensors))
    (folder / TENSORS).write_bytes(content)
    described = {
        "hash": key.hash,
        "kind": key.kind,
        "label": artifact.label,
        "inputs": key.inputs,
        "facts": artifact.facts,
        "seconds": artifact.seconds,
        "elapsed": artifact.elapsed,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "versions": versions(),
        "files": {TENSORS: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}},
    }
    (folder / DESCRIPTION).write_bytes(rendered(described))


def rendered(described: Mapping[str, Any]) -> bytes:
    """Return the content of ``node.json`` with its own checksum."""
    text = json.dumps({**described, "sha256": _digest(described)}, indent=1, sort_keys=True, default=dict)
    return f"{text}\n".encode()


def description(folder: Path) -> dict[str, Any]:
    """Return ``node.json``, whose own checksum holds.

    Raises:
        FileNotFoundError: where there is no such node.
        Damaged: where the file is not as it was written.
    """
    path = folder / DESCRIPTION
    if folder.is_dir() and not path.is_file():
        raise Damaged(f"{DESCRIPTION} is missing")
    try:
        content = path.read_bytes()
        stored = json.loads(content)
        whole = content == rendered({key: value for key, value in stored.items() if key != "sha256"})
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        whole = False
    if whole and not fits(stored):
        others = other_versions(stored.get("versions"))
        raise Damaged(f"written by another version of recaudit{': ' if others else ''}{others}")
    if not whole or stored["hash"] != folder.name:
        raise Damaged(f"{DESCRIPTION} is damaged")
    return stored  # type: ignore[no-any-return]


def fits(stored: Mapping[str, Any]) -> bool:
    """Whether a description has all that is read of it; it may have more."""
    if not all(isinstance(stored.get(name), kind) for name, kind in FIELDS.items()):
        return False
    file = stored["files"].get(TENSORS)
    return (
        isinstance(file, dict) and isinstance(file.get("sha256"), str) and isinstance(file.get("bytes"), int)
    )


def other_versions(found: Any) -> str:
    """Name the versions that are not those that run; nothing where they are."""
    if not isinstance(found, dict):
        return ""
    both = {**dict.fromkeys(versions(), "unknown"), **found}
    return ", ".join(f"{name} {old}" for name, old in sorted(both.items()) if versions().get(name) != old)


def checked(folder: Path) -> tuple[dict[str, Any], bytes]:
    """Return description and tensors of a stored node whose checksums hold.

    Raises:
        FileNotFoundError: where there is no such node.
        Damaged: where a file is not as it was written.
    """
    stored = description(folder)
    try:
        content = (folder / TENSORS).read_bytes()
    except OSError:
        raise Damaged(f"{TENSORS} is missing") from None
    if hashlib.sha256(content).hexdigest() != stored["files"][TENSORS]["sha256"]:
        raise Damaged(f"{TENSORS} is damaged")
    return stored, content
