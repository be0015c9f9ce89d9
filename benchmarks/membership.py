"""Speed of the membership attacks' features: ``python benchmarks/membership.py [synthetic]``.

For 3,000 users of MovieLens-1M (or, where it is not there or ``synthetic`` is given, of generated data with
as many users and items), lists of 100 and item vectors of 50, one thread: the difference vectors by recaudit,
by the per-user loop of the public implementations and by a loop with NumPy inside; and recaudit's rich and
blind features. All take turns; seconds are the processor's, so that other work on the machine disturbs them
less. The table comes out as Markdown.

The public implementations (those of Zhang et al. 2021 and of Wang et al. 2022, "Debiasing learning for
membership inference attacks against recommender systems") keep one PyTorch vector an item and go through the
users one by one: the vectors of a user's items are added one at a time, the sum is divided by their number,
the same for his list, and the two are subtracted. The loop below is our own writing of that.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from recaudit.attacks.membership.features import blind_features, difference_vectors, rich_features
from recaudit.attacks.membership.knowledge import ItemSpace
from recaudit.data.interactions import Interactions
from recaudit.data.sources import load
from recaudit.data.synthetic import synthetic_interactions
from recaudit.errors import UsageError
from recaudit.rng import numpy_generator

N_USERS, K, SIZE = 3000, 100, 50
ROUNDS = 7

Case = tuple[ItemSpace, Interactions, np.ndarray]


def item_by_item(space: ItemSpace, histories: Interactions, lists: np.ndarray) -> np.ndarray:
    """Return the difference vectors by the loop of the public implementations, from lists of numbers."""
    vectors = dict(enumerate(torch.from_numpy(space.vectors).unbind()))
    items, offsets, listed = histories.items.tolist(), histories.offsets.tolist(), lists.tolist()
    differences = []
    for user in range(histories.n_users):
        centres = []
        for chosen in (items[offsets[user] : offsets[user + 1]], listed[user]):
            total = torch.zeros(SIZE)
            for item in chosen:
                total = total + vectors[item]
            centres.append(total / len(chosen))
        differences.append(centres[0] - centres[1])
    return torch.stack(differences).numpy()


def user_by_user(space: ItemSpace, histories: Interactions, lists: np.ndarray) -> np.ndarray:
    """Return the difference vectors by a loop over users with NumPy's gather and mean inside."""
    vectors = space.vectors
    return np.stack(
        [
            vectors[histories.history(user)].mean(axis=0) - vectors[lists[user]].mean(axis=0)
            for user in range(histories.n_users)
        ]
    )


def ranked(space: ItemSpace, histories: Interactions, lists: np.ndarray) -> np.ndarray:
    """Return recaudit's difference vectors with weights by rank."""
    return difference_vectors(space, histories, lists, weights="rank")


LOOP = "difference: item by item, as the public code"
WORK: dict[str, Callable[[ItemSpace, Interactions, np.ndarray], object]] = {
    "difference: recaudit": difference_vectors,
    "difference: recaudit, weights by rank": ranked,
    "difference: user by user with NumPy": user_by_user,
    LOOP: item_by_item,
    "rich features: recaudit": rich_features,
    "blind features: recaudit": blind_features,
}
"""What is timed on the same case, by its name in the table."""


def case(data: Interactions) -> Case:
    """Return random vectors, users' histories, and for each a list of unseen items, popular ones likelier."""
    draw = numpy_generator(0, "benchmark")
    histories = data.of_users(np.sort(draw.permutation(data.n_users)[:N_USERS]))
    popularity = data.popularity
    vectors = draw.standard_normal((data.n_items, SIZE), dtype=np.float32)
    scores = np.log1p(popularity) + draw.gumbel(size=(N_USERS, data.n_items))
    scores[histories.users, histories.items] = -np.inf
    lists = np.argsort(-scores, axis=1)[:, :K].astype(np.int64)
    return ItemSpace(vectors=vectors, popularity=popularity), histories, lists


def measured(given: Case) -> dict[str, list[float]]:
    """Return the processor seconds of each work in each round; the loops' vectors must be recaudit's."""
    seconds: dict[str, list[float]] = {name: [] for name in WORK}
    ours = difference_vectors(*given)
    rich_features(*given)  # warms up
    for loop in (item_by_item, user_by_user):
        np.testing.assert_allclose(loop(*given), ours, atol=1e-5)
    for _ in range(ROUNDS):
        for name, work in WORK.items():
            began = time.process_time()
            work(*given)
            seconds[name].append(time.process_time() - began)
    return seconds


def show(given: Case, seconds: dict[str, list[float]]) -> None:
    """Print the medians with their ranges, and the loop's seconds as multiples of each, round by round."""
    histories = given[1]
    print(
        f"{histories.name}: {histories.n_users:,} users with {histories.lengths.mean():.0f} items each, "
        f"lists of {K}, vectors of {SIZE}; {ROUNDS} rounds\n"
    )
    heads = ("features", "seconds, median (least to greatest)", "the public code's loop takes")
    table = Table(*heads, box=box.MARKDOWN)
    for name, spent in seconds.items():
        ratios = [loop / own for loop, own in zip(seconds[LOOP], spent, strict=True)]
        ratio = f"{statistics.median(ratios):.0f} times as long ({min(ratios):.0f} to {max(ratios):.0f})"
        table.add_row(
            name,
            f"{statistics.median(spent):.4f} ({min(spent):.4f} to {max(spent):.4f})",
            ratio if name.startswith("difference") and name != LOOP else "",
        )
    Console(width=120).print(table)


def main(arguments: list[str]) -> None:
    """Measure on MovieLens-1M, or on generated data."""
    if arguments not in ([], ["synthetic"]):
        raise SystemExit(f"{' '.join(arguments)!r} is no part of this benchmark; give 'synthetic' or nothing")
    torch.set_num_threads(1)
    try:
        data = None if arguments else load("ml-1m")
    except UsageError as error:
        print(f"generated data instead: {error}\n", file=sys.stderr)
        data = None
    given = case(data or synthetic_interactions(n_users=6040, n_items=3706))
    show(given, measured(given))


if __name__ == "__main__":
    main(sys.argv[1:])
