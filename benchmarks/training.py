"""Speed of BPR-MF on MovieLens-1M: ``python benchmarks/training.py [epoch|recall|lists]``.

``epoch`` measures an epoch of recaudit's loop, of a plain PyTorch loop (autograd, fused Adam, sampling per
batch) and of ``implicit``; ``recall`` the time until each reaches Recall@50 of 0.40 on held-out interactions;
``lists`` top-50 lists for all users as a share of an epoch. One thread, one run, peers in turns; seconds are
the processor's, so that other work on the machine disturbs them less. The tables come out as Markdown.

Needs the extra ``benchmark`` and MovieLens-1M (``recaudit data fetch ml-1m``).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import implicit.bpr
import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix
from torch import nn

from recaudit.data.sources import load
from recaudit.data.split import Split, SplitSpec, split
from recaudit.errors import UsageError
from recaudit.metrics.ranking import recall
from recaudit.models.factorization import BPR, NetworkRecommender
from recaudit.models.protocol import TopK
from recaudit.models.ranking import top_k
from recaudit.models.sampling import ObservedItems
from recaudit.models.training import Optimisation, PairScores, Stopping, train
from recaudit.pipeline.run import Run
from recaudit.rng import torch_generator

K, GOAL = 50, 0.40
SIZE, BATCH = 64, 2048
ROUNDS, EPOCHS_A_ROUND = 11, 3
MOST_EPOCHS = 150

Watch = Callable[[Callable[[], TopK]], bool]
"""Told after each epoch how to get the lists of all users; says whether to stop."""


class Enough(Exception):
    """The loop has been watched long enough."""


def ours(parts: Split, epochs: int, watch: Watch) -> None:
    """Train by recaudit's loop."""
    data = parts.target
    spec = BPR(embedding_size=SIZE, optimisation=Optimisation(batch_size=BATCH))
    network = spec.network(data.n_users, data.n_items, torch_generator(0, "initial"))
    model = NetworkRecommender(network, n_users=data.n_users, n_items=data.n_items, device="cpu", log=None)
    everyone = np.arange(data.n_users)
    looks = 0

    def validate() -> float:
        nonlocal looks
        looks += 1
        if looks > 1 and watch(lambda: top_k(model, everyone, data, K)):
            raise Enough
        return 0.0

    stopping = Stopping(epochs=epochs, evaluate_every=1, patience=epochs)
    with suppress(Enough):
        train(
            network,
            PairScores(
                network=network, examples=ObservedItems(train=data), of_scores=spec.loss, slopes=spec.slopes
            ),
            validate,
            optimisation=spec.optimisation,
            stopping=stopping,
            run=Run(seed=0),
            stage="",
        )


def plain(parts: Split, epochs: int, watch: Watch) -> None:
    """Train by the loop that one would write: embeddings, autograd, fused Adam, negatives drawn per batch."""
    data = parts.target
    torch.manual_seed(0)
    users_table, items_table = nn.Embedding(data.n_users, SIZE), nn.Embedding(data.n_items, SIZE)
    for table in (users_table, items_table):
        nn.init.normal_(table.weight, std=0.01)
    adam = torch.optim.Adam([users_table.weight, items_table.weight], lr=1e-3, fused=True)
    seen = torch.zeros(data.n_users, data.n_items, dtype=torch.bool)
    users, items = torch.tensor(data.users, dtype=torch.long), torch.tensor(data.items, dtype=torch.long)
    seen[users, items] = True

    def lists() -> TopK:
        with torch.no_grad():
            scores = users_table.weight @ items_table.weight.T
            return TopK(items=torch.topk(scores.masked_fill(seen, -torch.inf), K).indices.numpy())

    for _ in range(epochs):
        order = torch.randperm(len(users))
        for rows in torch.split(order, BATCH):
            u, i = users[rows], items[rows]
            j = torch.randint(data.n_items, i.shape)
            while (taken := seen[u, j]).any():
                j[taken] = torch.randint(data.n_items, (int(taken.sum()),))
            p = users_table(u)
            loss = -nn.functional.logsigmoid(
                (p * items_table(i)).sum(-1) - (p * items_table(j)).sum(-1)
            ).mean()
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
        if watch(lists):
            return


def of_implicit(parts: Split, epochs: int, watch: Watch) -> None:
    """Train by ``implicit``'s BPR: stochastic gradient descent in Cython, with its own defaults."""
    matrix = csr_matrix(parts.target.matrix(), copy=True)  # implicit wants to write
    model = implicit.bpr.BayesianPersonalizedRanking(
        factors=SIZE, iterations=epochs, num_threads=1, random_state=0
    )

    def after(iteration: int, elapsed: float, *rest: float) -> None:
        del iteration, elapsed, rest
        if watch(
            lambda: TopK(
                items=model.recommend(np.arange(parts.target.n_users), matrix, N=K)[0].astype(np.int64)
            )
        ):
            raise Enough

    with suppress(Enough):
        model.fit(matrix, show_progress=False, callback=after)


PEERS: dict[str, Callable[[Split, int, Watch], None]] = {
    "recaudit": ours,
    "plain PyTorch loop": plain,
    "implicit": of_implicit,
}


def epoch_seconds(train_by: Callable[[Split, int, Watch], None], parts: Split) -> float:
    """Return the mean seconds of an epoch after a first one that warms up."""
    times: list[float] = []

    def watch(lists: Callable[[], TopK]) -> bool:
        del lists
        times.append(time.process_time())
        return False

    train_by(parts, EPOCHS_A_ROUND + 1, watch)
    return (times[-1] - times[0]) / EPOCHS_A_ROUND


def epoch(parts: Split) -> None:
    """Print the seconds of an epoch and the ratio to the plain loop, over rounds in which all take turns.

    Noise only ever adds time, so the best round tells most about the code, and the spread about the machine.
    """
    rounds = [{name: epoch_seconds(peer, parts) for name, peer in PEERS.items()} for _ in range(ROUNDS)]
    heads = ("an epoch", "seconds, best", "ratio of the bests", "ratio by round, median (least to greatest)")
    table = Table(*heads, box=box.MARKDOWN)
    bests = {name: min(one[name] for one in rounds) for name in PEERS}
    for name, best in bests.items():
        ratios = [one[name] / one["plain PyTorch loop"] for one in rounds]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        table.add_row(name, f"{best:.3f}", f"{best / bests['plain PyTorch loop']:.2f}", spread)
    Console(width=110).print(table)


def goal(parts: Split) -> None:
    """Print the seconds of training until Recall@50 on the held-out interactions reaches the goal."""
    table = Table("until Recall@50 is 0.40", "seconds", "epochs", "best Recall@50", box=box.MARKDOWN)
    for name, peer in PEERS.items():
        reached, spent, best = _until_goal(peer, parts)
        seconds = f"{spent[reached - 1]:.1f}" if reached else f"not reached in {spent[-1]:.0f}"
        table.add_row(name, seconds, str(reached or len(spent)), f"{best:.3f}")
    Console(width=110).print(table)


def _until_goal(peer: Callable[[Split, int, Watch], None], parts: Split) -> tuple[int, list[float], float]:
    """Return the epoch that reached the goal (0: none), the seconds after each epoch, and the best recall."""
    spent: list[float] = []
    recalls: list[float] = []
    began = time.process_time()
    looking = 0.0

    def watch(lists: Callable[[], TopK]) -> bool:
        nonlocal looking
        look = time.process_time()
        spent.append(look - began - looking)
        per_user = recall(lists().items, parts.heldout_offsets, parts.heldout_items)
        recalls.append(float(np.nanmean(per_user)))
        looking += time.process_time() - look
        return recalls[-1] >= GOAL

    peer(parts, MOST_EPOCHS, watch)
    return len(recalls) if recalls[-1] >= GOAL else 0, spent, max(recalls)


def lists(parts: Split) -> None:
    """Print the seconds of top-50 lists for all users and their ratio to an epoch."""
    data = parts.target
    model = BPR().restore(
        BPR().network(data.n_users, data.n_items, torch_generator(0, "initial")).state_dict(),
        n_users=data.n_users,
        n_items=data.n_items,
    )
    everyone = np.arange(data.n_users)
    ratios, seconds = [], []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(3):
            top_k(model, everyone, data, K)
        seconds.append((time.process_time() - began) / 3)
        ratios.append(seconds[-1] / epoch_seconds(ours, parts))
    table = Table(
        "top-50 lists", "seconds, median", "ratio to our epoch, median (least to greatest)", box=box.MARKDOWN
    )
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    table.add_row(
        f"{data.n_users:,} users by {data.n_items:,} items", f"{statistics.median(seconds):.3f}", spread
    )
    Console(width=110).print(table)


def main(arguments: list[str]) -> None:
    """Run the named parts, or all."""
    parts = {"epoch": epoch, "recall": goal, "lists": lists}
    unknown = [name for name in arguments if name not in parts]
    if unknown:
        raise SystemExit(f"{unknown[0]!r} is no part of this benchmark; choose from {', '.join(parts)}")
    torch.set_num_threads(1)
    try:
        data = split(load("ml-1m"), SplitSpec(), seed=0)
    except UsageError as error:
        raise SystemExit(str(error)) from None
    for name in arguments or parts:
        parts[name](data)


if __name__ == "__main__":
    main(sys.argv[1:])
