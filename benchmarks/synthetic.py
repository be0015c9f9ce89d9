"""How near the generated data come to MovieLens-1M: ``python benchmarks/synthetic.py [shape|learning]``.

``shape`` compares popularity, activity and density; ``learning`` trains BPR-MF on the target half of each and
compares it with the most popular unseen items and with itself trained anew. Without an argument both are
done. MovieLens-1M is looked for as everywhere: below ``RECAUDIT_DATA``, then in the cache, where
``recaudit data fetch ml-1m`` puts it. The tables come out as Markdown.
"""

import sys

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from recaudit.data.interactions import Interactions
from recaudit.data.sources import load
from recaudit.data.split import Split, SplitSpec, split
from recaudit.data.synthetic import synthetic_interactions
from recaudit.errors import UsageError
from recaudit.metrics.ranking import agreement, recall
from recaudit.models.factorization import BPR
from recaudit.models.protocol import RecommenderSpec
from recaudit.models.ranking import top_k
from recaudit.models.zoo.baselines import Popularity
from recaudit.pipeline.run import Run

SEEDS = range(5)
LEARNING_SEEDS = range(3)
K = 50


def gini(counts: np.ndarray) -> float:
    """Return the Gini coefficient: 0 where all counts are equal, towards 1 where one has everything."""
    ordered = np.sort(counts)
    ranks = 2 * np.arange(1, len(ordered) + 1) - len(ordered) - 1
    return float(ranks @ ordered / (len(ordered) * ordered.sum()))


def shape_of(data: Interactions) -> dict[str, float]:
    """Return the figures of popularity, activity and density by name."""
    counts = np.sort(data.popularity)[::-1]
    running = np.cumsum(counts) / counts.sum()
    figures: dict[str, float] = {
        "users": data.n_users,
        "items": data.n_items,
        "items without interactions": int(np.count_nonzero(counts == 0)),
        "interactions": len(data.items),
        "density": data.density,
    }
    for percent in (1, 5, 10, 20, 50):
        figures[f"share of the top {percent} % of items"] = running[round(percent / 100 * len(counts)) - 1]
    figures["Gini coefficient of popularity"] = gini(counts)
    for name, rank in (("the top item", 0), ("the median item", len(counts) // 2)):
        figures[f"share of users who have {name}"] = counts[rank] / data.n_users
    figures["shortest history"] = data.lengths.min()
    for percent in (10, 25, 50, 75, 90, 99):
        figures[f"history length, {percent} % quantile"] = np.quantile(data.lengths, percent / 100)
    figures["longest history"] = data.lengths.max()
    beyond = data.lengths - data.lengths.min()
    for percent in (25, 50, 75, 90, 99):
        figures[f"length beyond the shortest / its mean, {percent} %"] = (
            np.quantile(beyond, percent / 100) / beyond.mean()
        )
    return {name: float(value) for name, value in figures.items()}


def lists_of(spec: RecommenderSpec, parts: Split, seed: int) -> np.ndarray:
    """Fit ``spec`` to the target's training part and return all its users' lists."""
    users = np.arange(parts.target.n_users)
    return top_k(spec.fit(parts.target, Run(seed=seed)), users, parts.target, K).items


def learning_of(data: Interactions, seed: int) -> dict[str, float]:
    """Return the target model's recall and agreements on the target half that the seed splits off."""
    parts = split(data, SplitSpec(), seed)
    popular, target, retrained = (
        lists_of(spec, parts, number)
        for spec, number in ((Popularity(), 0), (BPR(), 2 * seed), (BPR(), 2 * seed + 1))
    )
    heldout = (parts.heldout_offsets, parts.heldout_items)
    by_popularity, by_target = (float(np.nanmean(recall(lists, *heldout))) for lists in (popular, target))
    return {
        f"recall@{K}, most popular": by_popularity,
        f"recall@{K}, BPR-MF": by_target,
        "BPR-MF / most popular": by_target / by_popularity,
        f"agreement@{K} with most popular": float(np.mean(agreement(target, popular))),
        f"agreement@{K} with BPR-MF retrained": float(np.mean(agreement(target, retrained))),
    }


def cell(values: list[float]) -> str:
    """Write the mean of the values, and their range where they differ."""
    mean = sum(values) / len(values)
    decimals = 3 if 0 < mean < 20 else 0
    texts = [f"{value:,.{decimals}f}" for value in (mean, min(values), max(values))]
    return texts[0] if texts[1] == texts[2] else f"{texts[0]} ({texts[1]}–{texts[2]})"


def show(title: str, generated: list[dict[str, float]], real: list[dict[str, float]]) -> None:
    """Print one row a figure."""
    print(f"\n{title}\n")
    table = Table(box=box.MARKDOWN)
    table.add_column("figure")
    for column in ("generated", "MovieLens-1M"):
        table.add_column(column, justify="right")
    for name in real[0]:
        table.add_row(name, *(cell([each[name] for each in figures]) for figures in (generated, real)))
    Console(width=110).print(table)


def main(arguments: list[str]) -> None:
    """Print the named tables, or both."""
    if len(arguments) > 1 or not set(arguments) <= {"shape", "learning"}:
        raise SystemExit(f"{' '.join(arguments)!r} is no part of this benchmark; {__doc__}")
    try:
        real = load("ml-1m")
    except UsageError as error:
        raise SystemExit(f"synthetic.py: {error}") from None
    if "learning" not in arguments:
        shapes = [shape_of(synthetic_interactions(seed=seed)) for seed in SEEDS]
        show(f"Shape: mean (range) of {len(SEEDS)} generator seeds", shapes, [shape_of(real)])
    if "shape" not in arguments:
        learned = [learning_of(synthetic_interactions(), seed) for seed in LEARNING_SEEDS]
        show(
            f"Learning: mean (range) of {len(LEARNING_SEEDS)} splits, generator seed 0",
            learned,
            [learning_of(real, seed) for seed in LEARNING_SEEDS],
        )


if __name__ == "__main__":
    main(sys.argv[1:])
