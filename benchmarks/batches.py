"""What a short last batch does to a clone: ``python benchmarks/batches.py [DATA [SEEDS]]``.

recaudit's batches are equal in size to within one, and an epoch has at least eight. The usual loop takes
full batches and what is left over as a last one; Adam's step is as long for a few rows as for two thousand.
This audits PTQ on a BPR target (Steam by default) with both, and with epochs of a single pass.
"""

import sys
from unittest.mock import patch

from recaudit.audit import AuditSpec, run_audit
from recaudit.models import training
from recaudit.models.sampling import equal_batches

METRIC = "agreement@50"


def with_rest(total: int, size: int) -> list[tuple[int, int]]:
    """Return full batches and the rest."""
    return [(start, min(start + size, total)) for start in range(0, total, size)]


def main(data: str = "steam", seeds: str = "2") -> None:
    """Print agreement on queried and unqueried users."""
    print(f"PTQ against BPR on {data}, {seeds} seeds: {METRIC}\n")
    print("| an epoch | batches | queried | unqueried | epochs of the lists |\n|---|---|---|---|---|")
    for epoch, least in (("eight batches or more", training.EPOCH_BATCHES), ("one pass", 1)):
        for batches, cut in (("equal", equal_batches), ("full ones and the rest", with_rest)):
            with patch.object(training, "EPOCH_BATCHES", least), patch.object(training, "equal_batches", cut):
                found = run_audit(AuditSpec(data=data, victim="bpr", attacks=("PTQ",), seeds=seeds))
            figures = [found.figure("PTQ", METRIC, users) for users in ("queried", "unqueried")]
            epochs = [stage["epochs"] for stage in found.content["stages"] if stage["stage"] == "PTQ"]
            told = " | ".join(f"{figure:.3f}" for figure in figures)
            print(f"| {epoch} | {batches} | {told} | {', '.join(map(str, epochs))} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
