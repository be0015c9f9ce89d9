"""``recaudit audit``: one setting, from a spec and flags to tables, plots and an exit code."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from recaudit.cli.console import Output, cores, one_thread
from recaudit.cli.flags import Whole, flags_of_spec
from recaudit.cli.gate import OVER, UNSURE, judged, parse_limits
from recaudit.cli.progress import GridProgress
from recaudit.cli.spec_file import ALIASES, apply_setting, read_yaml, with_flags
from recaudit.errors import UsageError, nearest
from recaudit.files import write_text

if TYPE_CHECKING:
    from recaudit.report.summary import Summary

__all__ = ["audit"]

Several = Parameter(negative="", show_default=False)
Switch = Parameter(negative="", show_default=False)

if TYPE_CHECKING:

    class Flags:
        """Flags of an audit's spec."""

else:
    Flags = flags_of_spec()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class HowToRun:
    """How an audit is run, and what is shown of it: no figure depends on it."""

    workers: Whole = None
    """Processes of this machine that compute, one thread each; as many as there are cores by default."""
    out: str | None = None
    """Folder for the result; named after data, victim and spec by default."""
    store: str | None = None
    """Folder that keeps finished nodes, which several audits may share; `store` in --out by default."""
    fail_over: Annotated[tuple[str, ...], Several] = ()
    """Exit with 1 where an attack's figure is over a limit, with 3 where too few users tell: on unqueried
    users, such as agreement@50=0.6; on members and strangers under the first way of serving, such as
    tpr@0.01=0.1 or auc=0.6."""
    fail_over_if_unsure: Annotated[bool, Switch] = False
    """Exit with 1, not with 3, where too few users tell whether a figure is over its limit."""
    verbose: Annotated[bool, Parameter(name=("--verbose", "-v")), Switch] = False
    """Print the tables too, below the summary."""
    quiet: Annotated[bool, Switch] = False
    """Print nothing but errors; the exit code tells what `--fail-over` found."""
    json: Annotated[bool, Switch] = False
    """Print the summary as JSON, and nothing else on standard output."""
    markdown: str | None = None
    """File for the summary in Markdown, for the page of a CI job."""


NONE, USUAL = Flags(), HowToRun()
HOW_TO_RUN = tuple(field.name for field in fields(HowToRun))
"""Keys of a spec file that no figure depends on."""


def audit(  # noqa: D417 - cyclopts reads the fields of flags and how
    spec: Path | None = None,
    /,
    *,
    flags: Flags = NONE,
    how: HowToRun = USUAL,
    set: Annotated[tuple[str, ...], Several] = (),
) -> int:
    """Audit a recommender for model stealing and membership inference.

    Trains a victim (or takes one), attacks it as a black box, and writes figures.csv, result.json and
    report.html. A killed audit goes on from its last finished node when it is started again.

    Args:
        spec: YAML file with the audit's settings; flags go over it, and --set over both.
        set: Any other key of the spec, such as victim.embedding_size=32 or settings.PTQ.margin=1.0.
    """
    values = _values(spec, vars(flags), vars(how), set)
    # torch takes seconds to import: a wrong option should not.
    from recaudit.audit import run_audit  # noqa: PLC0415
    from recaudit.audit.run import STORE, check_out  # noqa: PLC0415
    from recaudit.audit.spec import AuditSpec, audit_spec  # noqa: PLC0415
    from recaudit.experiments.costs import Costs  # noqa: PLC0415
    from recaudit.pipeline import Store  # noqa: PLC0415
    from recaudit.report import parse_result, terminal_table, write_result  # noqa: PLC0415
    from recaudit.report.output import check_folder  # noqa: PLC0415
    from recaudit.report.summary import markdown, summary  # noqa: PLC0415

    _check_keys(values, tuple(AuditSpec.model_fields))
    settings = audit_spec({key: value for key, value in values.items() if key not in HOW_TO_RUN})
    limits = parse_limits(values.get("fail_over", ()), settings.k, settings.threats)
    workers = _workers(values.get("workers", cores()))
    name = f"audit-{Path(settings.data.source).stem}-{settings.victim_card.name}-{settings.digest[:8]}"
    directory = _directory("out", values.get("out", name))
    check_out(directory, settings)
    check_folder(directory)
    output, quiet = Output(), bool(values.get("quiet"))
    store = Store(
        _directory("store", values.get("store", str(directory / STORE))), say=output.warn, writes=False
    )
    one_thread()
    with GridProgress("audit", Costs(store), quiet=quiet) as progress:
        found = run_audit(
            settings, out=directory, store=store, workers=workers, progress=progress, tell=progress.tell
        )
    result = parse_result(found.content)
    write_result(result, directory)
    if found.reused and not quiet:
        output.warn(f"Seeds taken from an earlier run: {', '.join(map(str, found.reused))}.")
    told = summary(result, str(directory / "report.html"))
    if values.get("markdown"):
        write_text(_directory("markdown", values["markdown"]), markdown(told))
    _show(told, values, output)
    if values.get("verbose"):
        output.print(terminal_table(result))
    say = output.warn if values.get("json") or quiet else output.say
    code = judged(limits, found.content["figures"], settings.attacks, settings.membership.serving[0], say)
    return OVER if code == UNSURE and values.get("fail_over_if_unsure") else code


def _show(told: "Summary", values: Mapping[str, Any], output: Output) -> None:
    """Print the summary, as a text or as JSON, unless nothing is to be printed."""
    from recaudit.report.summary import terminal, to_dict  # noqa: PLC0415

    if values.get("json"):
        output.say(json.dumps(to_dict(told), indent=1, ensure_ascii=False))
    elif not values.get("quiet"):
        output.print(terminal(told, output.width), crop=False)  # a path stays whole


def _values(
    spec: Path | None, flags: Mapping[str, Any], how: Mapping[str, Any], settings: Sequence[str]
) -> dict[str, Any]:
    """Return the plain values that file, flags and settings make together."""
    given = {name: value for name, value in how.items() if value is not False and value != ()}
    values = with_flags({} if spec is None else read_yaml(spec), {**flags, **given})
    for setting in settings:
        apply_setting(values, setting)
    return values


def _check_keys(values: dict[str, Any], of_spec: tuple[str, ...]) -> None:
    """Refuse a key that neither the spec nor the command knows."""
    known = (*of_spec, *ALIASES, *HOW_TO_RUN)
    for key in values:
        if key not in known:
            raise UsageError(f"unknown key {key!r}{nearest(key, known)}")


def _directory(key: str, name: object) -> Path:
    if not isinstance(name, str) or not name:
        raise UsageError(f"{key}: expected the name of a folder, found {name!r}")
    return Path(name).expanduser()


def _workers(given: object) -> int:
    """Return how many processes are to work."""
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise UsageError(f"workers: expected a whole number of at least 1, found {given!r}")
    return given
