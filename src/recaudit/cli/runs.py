"""``recaudit runs``: the finished nodes of a store."""

import json
from pathlib import Path

from cyclopts import App
from rich.table import Table

from recaudit.cli.console import Output
from recaudit.cli.stores import open_store
from recaudit.errors import UsageError, nearest
from recaudit.vocabulary import printable, several

__all__ = ["runs_app"]

runs_app = App(name="runs", help="List, show and clear up the finished nodes of a store.")


@runs_app.command(name="list")
def list_nodes(*, store: Path | None = None, kind: str | None = None) -> None:
    """List finished nodes: their hash, what they did, and what they cost.

    Args:
        store: Folder of the store; $RECAUDIT_STORE or recaudit-store by default.
        kind: Only nodes of this kind: model, lists, clone, judged or inferred.
    """
    from recaudit.pipeline.keys import KINDS  # noqa: PLC0415

    output = Output()
    opened = open_store(store, output)
    table = Table("hash", "kind", "what", "data", "finished", "seconds", "size", title=str(opened.folder))
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    for column in table.columns[5:]:
        column.justify = "right"
    if kind not in (None, *KINDS):
        raise UsageError(f"--kind: unknown kind {kind!r}{nearest(str(kind), tuple(KINDS))}")
    number = size = 0
    for node in opened.nodes():
        if kind in (None, node.kind):
            number, size = number + 1, size + node.size
            about = (node.hash[:12], node.kind, node.label, str(node.inputs.get("data", "")))
            finished = node.created.replace("T", " ")
            table.add_row(*map(printable, about), finished, f"{node.elapsed:.1f}", _size(node.size))
    output.print(table)
    output.say(f"{several(number, 'node')}, {_size(size)}")


@runs_app.command
def show(hash: str, /, *, store: Path | None = None) -> None:
    """Show all that is known of one node, its inputs and facts, as JSON.

    Args:
        hash: The node's hash, or its beginning.
        store: Folder of the store; $RECAUDIT_STORE or recaudit-store by default.
    """
    output = Output()
    opened = open_store(store, output)
    found = [node for node in opened.nodes() if node.hash.startswith(hash)]
    if len(found) != 1:
        if not found:
            raise UsageError(
                f"no node in {opened.folder} has a hash that begins with {hash!r}; recaudit runs list "
                "names them all"
            )
        some = ", ".join(node.hash[:12] for node in found[:3])
        raise UsageError(
            f"{len(found)} nodes in {opened.folder} have a hash that begins with {hash!r}, such as {some}; "
            "give more of it"
        )
    node = found[0]
    told = {
        name: getattr(node, name)
        for name in ("hash", "kind", "label", "inputs", "facts", "seconds", "elapsed", "created", "versions")
    }
    output.say(json.dumps({**told, "folder": str(node.folder)}, indent=2, default=dict))


@runs_app.command
def gc(*, store: Path | None = None, dry_run: bool = False) -> None:
    """Remove what no run can use: leftovers of killed runs, damaged nodes, nodes by other versions, locks.

    What is no node of recaudit's is left alone.

    Args:
        store: Folder of the store; $RECAUDIT_STORE or recaudit-store by default.
        dry_run: Only say what would go.
    """
    output = Output()
    opened = open_store(store, output)
    number = 0
    for path, why in opened.garbage():
        number += 1
        output.say(f"{path.relative_to(opened.folder)}: {why}")
        if not dry_run:
            opened.remove(path)
    locks = opened.clear_locks(dry_run=dry_run)
    if locks:
        output.say(f"locks: {locks} that nobody holds")
    output.say(f"{number + locks} {'would be ' if dry_run else ''}removed")


def _size(size: int) -> str:
    return f"{size / 1e3:.0f} kB" if size < 1e6 else f"{size / 1e6:.1f} MB"
