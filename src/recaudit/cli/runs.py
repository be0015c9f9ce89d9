"""``recaudit runs``: the finished stages of a store."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cyclopts import App
from rich.table import Table

from recaudit.cli.console import Output
from recaudit.cli.stores import open_store
from recaudit.errors import UsageError, nearest

__all__ = ["runs_app"]

runs_app = App(name="runs", help="List, show and clear up the finished stages of a store.")


@runs_app.command(name="list")
def list_stages(*, store: Path | None = None, kind: str | None = None) -> None:
    """List finished stages: their hash, what they are, and what they cost.

    Args:
        store: Folder of the store; $RECAUDIT_STORE or recaudit-store by default.
        kind: Only stages of this kind: model, lists, clone, judged or inferred.
    """
    from recaudit.pipeline.keys import KINDS  # noqa: PLC0415 - loads torch

    output = Output()
    opened = open_store(store, output)
    table = Table("hash", "kind", "what", "data", "finished", "seconds", "size", title=str(opened.folder))
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    for column in table.columns[5:]:
        column.justify = "right"
    if kind not in (None, *KINDS):
        raise UsageError(f"--kind: unknown kind {kind!r}{nearest(str(kind), tuple(KINDS))}")
    number = size = 0
    for stage in opened.stages():
        if kind in (None, stage.kind):
            number, size = number + 1, size + stage.size
            about = (stage.hash[:12], stage.kind, _what(stage.inputs), str(stage.inputs.get("data", "")))
            finished = stage.created.replace("T", " ")
            table.add_row(*about, finished, f"{stage.elapsed:.1f}", _size(stage.size))
    output.print(table)
    output.say(f"{number} stage{'' if number == 1 else 's'}, {_size(size)}")


@runs_app.command
def show(hash: str, /, *, store: Path | None = None) -> None:
    """Show all that is known of one stage, its inputs and facts, as JSON.

    Args:
        hash: The stage's hash, or its beginning.
        store: Folder of the store; $RECAUDIT_STORE or recaudit-store by default.
    """
    output = Output()
    opened = open_store(store, output)
    found = [stage for stage in opened.stages() if stage.hash.startswith(hash)]
    if len(found) != 1:
        if not found:
            raise UsageError(
                f"no stage in {opened.folder} has a hash that begins with {hash!r}; recaudit runs list "
                "names them all"
            )
        some = ", ".join(stage.hash[:12] for stage in found[:3])
        raise UsageError(
            f"{len(found)} stages in {opened.folder} have a hash that begins with {hash!r}, such as {some}; "
            "give more of it"
        )
    stage = found[0]
    told = {
        name: getattr(stage, name)
        for name in ("hash", "kind", "inputs", "facts", "seconds", "elapsed", "created", "versions")
    }
    output.say(json.dumps({**told, "folder": str(stage.folder)}, indent=2, default=dict))


@runs_app.command
def gc(*, store: Path | None = None, dry_run: bool = False) -> None:
    """Remove what no run can use: leftovers of killed runs, damaged stages, stages by other versions, locks.

    What is no stage of recaudit's is left alone.

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


def _what(inputs: Mapping[str, Any]) -> str:
    """Return in a few words what a stage is."""
    # Another version's stages may have other inputs under these names.
    spec, settings = inputs.get("spec"), inputs.get("settings")
    named = spec.get("model") if isinstance(spec, dict) else None
    model = str(named or str(inputs.get("model", ""))[:12])
    how = settings if settings and isinstance(settings, dict) else inputs
    if "auxiliary" in how:
        parts = [part for part in ("interactions", "lists") if how.get(part, part == "interactions")]
        parts += [] if how["auxiliary"] == "none" else [f"auxiliary by {how['auxiliary']}"]
        return f"{model}: {', '.join(parts)}"
    return model if "spec" in inputs else f"of {model}"


def _size(size: int) -> str:
    return f"{size / 1e3:.0f} kB" if size < 1e6 else f"{size / 1e6:.1f} MB"
