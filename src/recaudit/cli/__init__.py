"""The command line: ``recaudit audit`` and ``recaudit data``."""

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError
from rich.console import Console

from recaudit import __version__
from recaudit.cli.audit import audit
from recaudit.cli.data import data_app
from recaudit.errors import UsageError

__all__ = ["main"]

app = App(
    name="recaudit", help="Learn what a recommender leaks before somebody else does.", version=__version__
)
app.command(audit)
app.command(data_app)

DONE, USAGE, INTERRUPTED = 0, 2, 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the arguments name and exit: 0 done, 1 a finding over a limit, 2 wrong usage or input."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        given = sys.argv[1:] if arguments is None else list(arguments)
        code = app(given, exit_on_error=False, print_error=False, result_action="return_value")
    except (UsageError, CycloptsError) as error:
        errors.print("recaudit:", str(error).strip(), markup=False)
        sys.exit(USAGE)
    except KeyboardInterrupt:
        errors.print("recaudit: stopped; the same command goes on from the last finished seed", markup=False)
        sys.exit(INTERRUPTED)
    sys.exit(code if isinstance(code, int) else DONE)
