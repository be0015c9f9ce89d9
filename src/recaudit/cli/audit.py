"""``recaudit audit``: one setting, from a spec and flags to tables, pictures and an exit code."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from recaudit.cli.progress import AuditProgress
from recaudit.cli.spec_file import apply_setting, read_yaml, with_flags
from recaudit.errors import UsageError, nearest

__all__ = ["audit"]

OVER_LIMIT = 1
METRICS = ("agreement", "place", "rbo", "recall", "ndcg")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """Flags of ``recaudit audit``; each means what the spec's key of its name means."""

    data: str | None = None
    """Name of a data set (see `recaudit data list`) or path of a file; built-in `synthetic` data by default."""
    columns: str | None = None
    """The file's columns, such as user=customer,item=sku,time=bought_at,rating=stars."""
    format: str | None = None
    """The file's format, where it is not guessed from its name and header."""
    victim: str | None = None
    """Model to audit: popularity, item-knn, bpr (default), lmf or ncf; or a folder with a saved victim."""
    clone: str | None = None
    """The attacker's model: bpr, lmf or ncf; the victim's by default."""
    attacks: str | None = None
    """Attacks, separated by commas; QSD,PTD,PTQ,PTA,PTAQ by default; PTA(Pre) and PTAQ(Pre) too."""
    k: int | None = None
    """Length of the lists; 50 by default."""
    known: float | None = None
    """Share of the target's users whose histories the attacker knows; 0.1 by default."""
    queries: int | None = None
    """Lists that an attack may ask for in all; no limit by default."""
    seeds: str | None = None
    """How many seeds to average over, or the seeds themselves, such as 3,4,5; 1 by default."""
    device: str | None = None
    """cpu (default), cuda or mps."""
    out: Path | None = None
    """Folder for the result; named after data, victim and spec by default."""
    fail_over: Annotated[tuple[str, ...], Parameter(name="--fail-over")] = ()
    """Exit with 1 where an attack's figure on unqueried users is over a limit, such as agreement@50=0.6."""
    settings: Annotated[tuple[str, ...], Parameter(name="--set")] = ()
    """Any other key of the spec, such as victim.embedding_size=32 or settings.PTQ.margin=1.0."""


def audit(spec: Path | None = None, /, *, options: AuditOptions = AuditOptions()) -> int:  # noqa: B008
    """Audit a recommender for model stealing.

    Trains a victim (or takes one), attacks it as a black box, and writes figures.csv, result.json and report.html. A
    killed audit goes on from its last finished seed when it is started again.

    Args:
        spec: YAML file with the audit's settings; flags go over it, and --set over both.
    """
    values = _values(spec, options)
    out, limits = values.pop("out", None), values.pop("fail_over", ())
    # torch takes seconds to import: a wrong option should not.
    from recaudit.audit import run_audit  # noqa: PLC0415
    from recaudit.audit.run import check_device  # noqa: PLC0415
    from recaudit.audit.spec import audit_spec  # noqa: PLC0415
    from recaudit.report import parse_result, terminal_table, write_result  # noqa: PLC0415

    settings = audit_spec(values)
    parsed = [_limit(text, settings.k) for text in ([limits] if isinstance(limits, str) else limits)]
    check_device(settings.device)
    _one_thread()
    name = f"audit-{Path(settings.data.source).stem}-{settings.victim_spec().model}-{settings.digest[:8]}"
    directory = Path(out) if out is not None else Path(name)
    _check_directory(directory, settings.digest)

    console = Console()
    with AuditProgress() as progress:
        found = run_audit(settings, out=directory, progress=progress)
    result = parse_result(found.content)
    write_result(result, directory)
    if found.reused:
        console.print(
            f"Seeds taken from an earlier run: {', '.join(map(str, found.reused))}.", highlight=False
        )
    console.print(terminal_table(result))
    console.print(f"Report: {directory / 'report.html'}", highlight=False, soft_wrap=True)
    return _judge(parsed, found.content["figures"], settings.attacks, console)


def _one_thread() -> None:
    """Compute on one thread, unless the user asks for more by OMP_NUM_THREADS.

    Batches are too small to share out: on two cores a second thread gains little, and where the cores are busy
    it costs several times the work. Results do not depend on the machine's number of cores, either.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        import torch  # noqa: PLC0415

        torch.set_num_threads(1)


def _values(spec: Path | None, options: AuditOptions) -> dict[str, Any]:
    """Return the plain values that file, flags and settings make together."""
    values = {} if spec is None else read_yaml(spec)
    flags = {
        name: getattr(options, name)
        for name in (
            "data",
            "columns",
            "format",
            "victim",
            "clone",
            "attacks",
            "k",
            "known",
            "queries",
            "device",
            "out",
        )
    }
    values = with_flags(
        values, flags | {"seeds": _seeds(options.seeds), "fail_over": options.fail_over or None}
    )
    for setting in options.settings:
        apply_setting(values, setting)
    return values


def _seeds(text: str | None) -> int | list[int] | None:
    """Return a number of seeds, or the seeds."""
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")] if "," in text else int(text)
    except ValueError:
        raise UsageError(f"--seeds: {text!r} is neither a number nor seeds separated by commas") from None


def _limit(text: str, k: int) -> tuple[str, float]:
    """Return metric and limit of one ``--fail-over``."""
    metric, _, number = str(text).partition("=")
    known = [f"{name}@{k}" for name in METRICS]
    if metric not in known:
        raise UsageError(f"--fail-over: unknown metric {metric!r}{nearest(metric, known)}")
    try:
        limit = float(number)
    except ValueError:
        limit = float("nan")
    if limit != limit:
        raise UsageError(f"--fail-over: {text!r} has no limit; expected something like {metric}=0.6")
    return metric, limit


def _check_directory(directory: Path, digest: str) -> None:
    """Refuse to write over another audit's result."""
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"--out: {directory} is a file; name a folder")
    stored = directory / "result.json"
    try:
        other = json.loads(stored.read_bytes())["spec_hash"] if stored.is_file() else digest
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"--out: {stored} is damaged or not an audit's; remove it or name another folder"
        ) from None
    if other != digest:
        raise UsageError(
            f"--out: {directory} holds the result of another spec; name another folder or remove it"
        )


def _judge(
    limits: list[tuple[str, float]], figures: list[dict[str, Any]], attacks: tuple[str, ...], console: Console
) -> int:
    """Say which attacks are over which limit, and return the exit code."""
    over = 0
    for metric, limit in limits:
        for row in figures:
            if (row["metric"], row["users"]) != (metric, "unqueried") or row["attack"] not in attacks:
                continue
            if row["value"] is None:
                raise UsageError(
                    f"--fail-over: {metric} of {row['attack']} is not defined here; choose another metric"
                )
            if row["value"] > limit:
                over = OVER_LIMIT
                found = f"{row['value']:.3f} is over the limit of {limit:g}"
                console.print(f"{row['attack']}: {metric} on unqueried users {found}", highlight=False)
    return over
