"""Model stealing beside the published values: ``python benchmarks/stealing.py run|table FOLDER | epochs``.

``run`` audits every pair of data and model (hours; a run that is stopped goes on where it was), as
``recaudit audit --data DATA --victim MODEL --clone MODEL --seeds N --out FOLDER/DATA-MODEL`` would; ``table``
prints what stands in the folder as Markdown, beside Table 4 of Zhu et al. (2023). Pairs without a result are
named. ``epochs`` shows how agreement falls with the epochs that the victim is trained for.
"""

import subprocess
import sys
from pathlib import Path

from recaudit.report import Figure, Result, read_result

DATA = ("ml-1m", "ml-latest-small", "ta-feng", "steam")
MODELS = ("bpr", "lmf", "ncf")
ATTACKS = ("QSD", "PTD", "PTQ", "PTA", "PTAQ")
VICTIM_EPOCHS = (20, 40, 60, 80, 120)
SEEDS = {("ml-1m", "bpr"): 5}

# Zhu et al. (2023), Table 4, in the order of ATTACKS.
PUBLISHED = {
    ("ml-1m", "bpr"): (0.0533, 0.4987, 0.5107, 0.6280, 0.6506),
    ("ml-1m", "ncf"): (0.2727, 0.3633, 0.3633, 0.4400, 0.4407),
    ("ml-1m", "lmf"): (0.0487, 0.2747, 0.2873, 0.5266, 0.5627),
    ("ta-feng", "bpr"): (0.0598, 0.4718, 0.4845, 0.5135, 0.5141),
    ("ta-feng", "ncf"): (0.4398, 0.6526, 0.7518, 0.6545, 0.7692),
    ("ta-feng", "lmf"): (0.2371, 0.4537, 0.7986, 0.5488, 0.8038),
    ("steam", "bpr"): (0.3561, 0.7773, 0.9276, 0.8957, 0.9476),
    ("steam", "ncf"): (0.8710, 0.8512, 0.9813, 0.8899, 0.9833),
    ("steam", "lmf"): (0.3721, 0.0181, 0.2496, 0.6817, 0.9553),
}


def run(folder: Path) -> None:
    """Audit every pair that has no result of its seeds yet."""
    for data in DATA:
        for model in MODELS:
            seeds = SEEDS.get((data, model), 2)
            options = ["--data", data, "--victim", model, "--clone", model, "--seeds", str(seeds)]
            command = ["recaudit", "audit", *options, "--out", str(folder / f"{data}-{model}")]
            print(" ".join(command), flush=True)
            if subprocess.run(command, check=False).returncode:
                print(f"{data} {model}: no result", flush=True)


def table(folder: Path) -> None:
    """Print agreement@50 for unqueried and queried users."""
    found: dict[tuple[str, str], Result] = {}
    for data in DATA:
        for model in MODELS:
            path = folder / f"{data}-{model}" / "result.json"
            if path.is_file():
                found[data, model] = read_result(path)
            else:
                print(f"not measured here: {data}, {model}", file=sys.stderr)
    columns = ("popularity", *ATTACKS, "retrained")
    heads = ("data", "model", "seeds", "floor", *ATTACKS, "ceiling")
    for users in ("unqueried", "queried"):
        print(f"\nagreement@50, {users} users\n")
        print("| " + " | ".join(heads) + " |")
        print("|" + "---|" * len(heads))
        for (data, model), result in found.items():
            cells = [_cell(result, attack, users) for attack in columns]
            seeds = next(figure.seeds for figure in result.figures)
            print(f"| {data} | {model} | {seeds} | " + " | ".join(cells) + " |")
            if users == "unqueried" and (data, model) in PUBLISHED:
                published = " | ".join(f"*{value:.3f}*" for value in PUBLISHED[data, model])
                print(f"| | *published* | *5* | | {published} | |")
    print("\n| data | model | users | items | interactions | target's Recall@50 | unqueried users a seed |")
    print("|---|---|---|---|---|---|---|")
    for (data, model), result in found.items():
        recall = _text(_figure(result, "victim", "target", "recall@50"))
        about = result.data
        size = f"{about.n_users:,} | {about.n_items:,} | {about.n_interactions:,}"
        print(f"| {data} | {model} | {size} | {recall} | {about.unqueried_users} |")


def epochs() -> None:
    """Print floor, PTD and ceiling on MovieLens-1M for BPR victims trained for given numbers of epochs."""
    # Only this part needs them, and torch takes seconds to import.
    from recaudit.audit import AuditSpec, run_audit  # noqa: PLC0415

    print("| victim's epochs | target's Recall@50 | floor | PTD | ceiling |")
    print("|---|---|---|---|---|")
    for length in VICTIM_EPOCHS:
        stopping = {"epochs": length, "evaluate_every": length, "patience": length}
        spec = AuditSpec.model_validate(
            {
                "data": "ml-1m",
                "victim": {"model": "bpr", "stopping": stopping},
                "clone": "bpr",
                "attacks": ["PTD"],
            }
        )
        found = run_audit(spec)
        recall = found.figure("victim", "recall@50", "target")
        agreements = [
            found.figure(name, "agreement@50", "all") for name in ("popularity", "PTD", "retrained")
        ]
        print(
            f"| {length} | " + " | ".join(f"{value:.3f}" for value in (recall, *agreements)) + " |",
            flush=True,
        )


def _cell(result: Result, attack: str, users: str) -> str:
    return _text(_figure(result, attack, users, "agreement@50"))


def _figure(result: Result, attack: str, users: str, metric: str) -> Figure:
    wanted = (attack, users, metric)
    return next(each for each in result.figures if (each.attack, each.users, each.metric) == wanted)


def _text(figure: Figure) -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return "–"
    return f"{figure.value:.3f} ({figure.low:.3f}–{figure.high:.3f})"


def main(arguments: list[str]) -> None:
    """Run or print."""
    match arguments:
        case ["run", folder]:
            run(Path(folder))
        case ["table", folder]:
            table(Path(folder))
        case ["epochs"]:
            epochs()
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
