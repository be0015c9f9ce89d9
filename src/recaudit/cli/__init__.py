"""The command line: ``recaudit audit``, ``reproduce``, ``runs`` and ``data``."""

import io
import sys
import traceback
from collections.abc import Sequence

from cyclopts import App, CycloptsError, UnusedCliTokensError

from recaudit import __version__
from recaudit.errors import UsageError

__all__ = ["main"]

app = App(
    name="recaudit",
    help="Learn what a recommender leaks before somebody else does.",
    version=__version__,
    suppress_keyboard_interrupt=False,
)
# A command's module is imported when the command runs, so that --help and a wrong command are quick.
for name, target, text in (
    ("audit", "audit:audit", "Audit a recommender for model stealing and membership inference."),
    (
        "reproduce",
        "reproduce:reproduce_app",
        "Run a paper's experiments and set ours beside the published values.",
    ),
    ("runs", "runs:runs_app", "List, show and clear up the finished nodes of a store."),
    ("data", "data:data_app", "List, describe and fetch data sets."),
):
    app.command(f"recaudit.cli.{target}", name=name, help=text)

DONE, USAGE, FAULT, INTERRUPTED = 0, 2, 70, 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the arguments name and exit.

    The code is 0 when it is done, 1 for a finding over a limit, 2 for wrong usage or input, 3 where too few
    users tell whether a finding is over a limit, 70 for a fault of recaudit itself (``EX_SOFTWARE``), whose
    traceback is printed, and 130 when stopped.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that lacks a character of a table shows another one, instead of nothing at all.
        sys.stdout.reconfigure(errors="replace")
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = app(given, exit_on_error=False, print_error=False, result_action="return_value")
    except UsageError as error:
        _say(str(error))
        sys.exit(USAGE)
    except CycloptsError as error:
        _say(_wrong_arguments(error))
        sys.exit(USAGE)
    except OSError as error:
        # A full disk, a file system that went away: nothing that a traceback helps with.
        _say(f"{error.filename or 'cannot read or write'}: {error.strerror or error}")
        sys.exit(USAGE)
    except KeyboardInterrupt:
        resumes = given[:1] in (["audit"], ["reproduce"])
        goes_on = "; the same command goes on from the last finished node" if resumes else ""
        _say(f"stopped{goes_on}")
        sys.exit(INTERRUPTED)
    except Exception as error:
        # Python's own code for this is 1, which is that of a finding.
        traceback.print_exception(error)
        _say("this is a fault of recaudit: please report it with the traceback above")
        sys.exit(FAULT)
    sys.exit(code if isinstance(code, int) else DONE)


def _say(message: str) -> None:
    """Write one line to standard error."""
    from rich.console import Console  # noqa: PLC0415

    line = " ".join(message.split())
    Console(stderr=True, soft_wrap=True).print(
        f"recaudit: {line}", markup=False, emoji=False, highlight=False
    )


def _wrong_arguments(error: CycloptsError) -> str:
    if isinstance(error, UnusedCliTokensError):
        unused = " ".join(repr(token) for token in error.unused_tokens or ())
        return f"too many arguments: {unused}; --help lists what there is"
    return str(error)
