"""Standard output and standard error as all commands use them."""

import os
import sys

from rich.console import Console

__all__ = ["Output", "cores", "one_thread"]


class Output(Console):
    """Standard output: who reads only its first lines, as ``head`` does, does not change the exit code."""

    def say(self, text: str) -> None:
        """Print lines as they stand."""
        self.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a line to standard error."""
        Console(stderr=True, soft_wrap=True).print(
            f"recaudit: {text}", markup=False, emoji=False, highlight=False
        )

    def on_broken_pipe(self) -> None:
        """Write nothing more, where rich would exit with the code of a finding."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def one_thread() -> None:
    """Compute on one thread, unless the user asks for more by OMP_NUM_THREADS.

    Batches are too small to share out: on two cores a second thread gains little, and where the cores are
    busy it costs several times the work. Results do not depend on the machine's number of cores, either.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        import torch  # noqa: PLC0415

        torch.set_num_threads(1)
