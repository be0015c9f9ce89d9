"""Zhu et al.'s Table 4, MovieLens-1M and BPR, in plain PyTorch: ``python benchmarks/plain.py RATINGS_DAT``.

One seed of what ``recaudit reproduce zhu2023/table4 --only data=ml-1m,victim=bpr`` measures, as one would
write it for oneself: embeddings, autograd and Adam, negatives drawn once an epoch, users ranked in batches,
nothing trained twice. Nothing of recaudit is used. What is computed is what docs/stealing.md describes: the
same split, models, losses, batches and rules of stopping; only the random numbers differ.
``benchmarks/grid.py`` takes its time.

Batches are slices of a shuffled epoch, which is quicker than what many such scripts do: ``--loader`` takes
them from torch's ``DataLoader`` instead, which collects them row by row in Python.

Prints epochs, seconds and agreement@50 on unqueried users stage by stage, as Markdown.
"""

import argparse
import copy
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from torch.utils.data import DataLoader, TensorDataset

K, SIZE, BATCH, EPOCH_BATCHES, MARGIN = 50, 64, 2048, 8, 0.5
USERS_AT_ONCE = 64
VICTIM = {"epochs": 300, "every": 5, "patience": 20}
CLONE = {"epochs": 2000, "every": 10, "patience": 40}
LISTS = {"epochs": 2000, "every": 10, "patience": 100}

Pairwise = Callable[[Tensor, Tensor], Tensor]
Batches = Callable[[Sequence[Tensor]], Iterable[Sequence[Tensor]]]


class MF(nn.Module):
    """Matrix factorisation."""

    def __init__(self, n_users: int, n_items: int) -> None:
        super().__init__()
        self.users = nn.Embedding(n_users, SIZE)
        self.items = nn.Embedding(n_items, SIZE)
        nn.init.normal_(self.users.weight, std=0.01)
        nn.init.normal_(self.items.weight, std=0.01)

    def forward(self, users: Tensor, *items: Tensor) -> list[Tensor]:
        """Return the (B,) scores of each of the given (B,) items for the (B,) users."""
        p = self.users(users)
        return [(p * self.items(each)).sum(-1) for each in items]

    def all_scores(self, users: Tensor) -> Tensor:
        """Return the (B, I) scores of all items."""
        scores: Tensor = self.users(users) @ self.items.weight.T
        return scores


class FusedMF(MF):
    """Matrix factorisation with attention over learned and auxiliary item vectors (Eq. 5-8)."""

    auxiliary: Tensor

    def __init__(self, n_users: int, n_items: int, auxiliary: Tensor) -> None:
        super().__init__(n_users, n_items)
        self.register_buffer("auxiliary", auxiliary)
        self.attention = nn.Linear(SIZE, 1)

    def score(self, p: Tensor, own: Tensor, auxiliary: Tensor) -> Tensor:
        weights = torch.cat(
            [self.attention(torch.relu(p * own)), self.attention(torch.relu(p * auxiliary))], -1
        )
        weights = torch.softmax(weights, -1)
        fused = weights[..., :1] * own + weights[..., 1:] * auxiliary
        return (p * fused).sum(-1)

    def forward(self, users: Tensor, *items: Tensor) -> list[Tensor]:
        p = self.users(users)
        return [self.score(p, self.items(each), self.auxiliary[each]) for each in items]

    def all_scores(self, users: Tensor) -> Tensor:
        return self.score(self.users(users)[:, None], self.items.weight, self.auxiliary)


def bpr(preferred: Tensor, other: Tensor) -> Tensor:
    return -logsigmoid(preferred - other).mean()


def hinge(preferred: Tensor, other: Tensor) -> Tensor:
    return torch.relu(MARGIN - (preferred - other)).mean()


def shuffled(n: int) -> Tensor:
    """Return 0..n-1 shuffled, again and again until there are enough for an epoch."""
    passes = max(1, -(-EPOCH_BATCHES * BATCH // n))
    return torch.cat([torch.randperm(n) for _ in range(passes)])


def draw_negatives(users: Tensor, taken: Tensor) -> Tensor:
    """Draw for each user an item that ``taken`` (U, I) does not mark."""
    n_items = taken.shape[1]
    items = torch.randint(n_items, users.shape)
    again = taken[users, items].nonzero().flatten()
    while len(again):
        items[again] = torch.randint(n_items, again.shape)
        again = again[taken[users[again], items[again]]]
    return items


class Pairs:
    """Interactions to train on: users, their items, and a negative each."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix
        self.users, self.items = matrix.nonzero(as_tuple=True)

    def epoch(self) -> Sequence[Tensor]:
        order = shuffled(len(self.users))
        users = self.users[order]
        return users, self.items[order], draw_negatives(users, self.matrix)


class Listed:
    """Served lists to train on: users, listed items, the next of the list, and a negative each."""

    def __init__(self, users: Tensor, lists: Tensor, taken: Tensor) -> None:
        self.taken = taken.clone()
        self.taken[users[:, None], lists] = True
        self.users = users.repeat_interleave(K)
        self.items = lists.flatten()
        self.nexts = torch.cat([lists[:, 1:], lists[:, -1:]], dim=1).flatten()

    def epoch(self) -> Sequence[Tensor]:
        order = shuffled(len(self.users))
        users = self.users[order]
        return users, self.items[order], self.nexts[order], draw_negatives(users, self.taken)


def slices(parts: Sequence[Tensor]) -> Iterable[Sequence[Tensor]]:
    """Cut an epoch into batches of about equal size: a last batch of a few rows would be noise."""
    n_batches = -(-len(parts[0]) // BATCH)
    return zip(*(torch.chunk(part, n_batches) for part in parts), strict=True)


def loader(parts: Sequence[Tensor]) -> Iterable[Sequence[Tensor]]:
    """Let torch collect the same batches, as its tutorials do."""
    n_batches = -(-len(parts[0]) // BATCH)
    return DataLoader(TensorDataset(*parts), batch_size=-(-len(parts[0]) // n_batches))


def interaction_loss(model: MF, users: Tensor, items: Tensor, negatives: Tensor) -> Tensor:
    return bpr(*model(users, items, negatives))


def list_loss(ranking: Pairwise) -> Callable[..., Tensor]:
    def loss(model: MF, users: Tensor, items: Tensor, nexts: Tensor, negatives: Tensor) -> Tensor:
        listed, following, other = model(users, items, nexts, negatives)
        return ranking(listed, following) + hinge(listed, other)

    return loss


def train(
    model: MF,
    data: Pairs | Listed,
    loss_of: Callable[..., Tensor],
    validate: Callable[[], float],
    batches: Batches,
    epochs: int,
    every: int,
    patience: int,
) -> int:
    """Train until the validation score has not risen for ``patience`` epochs; return the epochs run."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    best, best_epoch, best_state = validate(), 0, copy.deepcopy(model.state_dict())
    for epoch in range(1, epochs + 1):
        for batch in batches(data.epoch()):
            optimizer.zero_grad()
            loss = loss_of(model, *batch)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        if epoch % every == 0 or epoch == epochs:
            score = validate()
            if score > best:
                best, best_epoch, best_state = score, epoch, copy.deepcopy(model.state_dict())
        if epoch - best_epoch >= patience:
            break
    model.load_state_dict(best_state)
    return epoch


@torch.no_grad()
def top_k(model: MF, users: Tensor, seen: Tensor) -> Tensor:
    """Return the (U, 50) best items of ``users`` among those that ``seen`` does not mark."""
    lists = []
    for batch in torch.split(users, USERS_AT_ONCE):
        scores = model.all_scores(batch).masked_fill(seen[batch], -torch.inf)
        lists.append(torch.topk(scores, K).indices)
    return torch.cat(lists)


def recall(lists: Tensor, relevant: Tensor) -> float:
    """Return the mean over users with relevant items of the share of them in the list."""
    counts = relevant.sum(1)
    hits = relevant.gather(1, lists).sum(1)
    return float((hits[counts > 0] / counts[counts > 0]).mean())


def agreement(lists: Tensor, reference: Tensor) -> float:
    return float((lists[:, :, None] == reference[:, None, :]).any(1).float().mean())


def fit(model: MF, matrix: Tensor, stopping: dict[str, int], batches: Batches) -> int:
    """Train on (U, I) interactions, a tenth of them kept apart to stop by; return the epochs run."""
    # The same tenth for every model of the same interactions.
    apart = matrix & (torch.rand(matrix.shape, generator=torch.Generator().manual_seed(0)) < 0.1)
    kept = matrix & ~apart
    everyone = torch.arange(len(matrix))

    def validate() -> float:
        return recall(top_k(model, everyone, kept), apart)

    return train(model, Pairs(kept), interaction_loss, validate, batches, **stopping)


class Stages:
    """Prints the table row by row, and keeps it."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        print("| stage | epochs | seconds | processor's | agreement@50 |\n|---|--:|--:|--:|--:|", flush=True)

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, Any]]:
        row: dict[str, Any] = {"stage": name, "epochs": None, "agreement": None}
        wall, processor = time.perf_counter(), time.process_time()
        yield row
        row |= {"seconds": time.perf_counter() - wall, "processor": time.process_time() - processor}
        self.rows.append(row)
        agreed = "" if row["agreement"] is None else f"{row['agreement']:.3f}"
        numbers = f"{row['epochs'] or ''} | {row['seconds']:.1f} | {row['processor']:.1f}"
        print(f"| {name} | {numbers} | {agreed} |", flush=True)

    def sums(self) -> None:
        epochs, seconds, processor = (
            sum(row[key] or 0 for row in self.rows) for key in ("epochs", "seconds", "processor")
        )
        print(f"| all | {epochs} | {seconds:.1f} | {processor:.1f} | |")


def load(path: Path) -> Tensor:
    """Return who rated what as a (U, I) matrix of truth values."""
    numbers = np.fromstring(path.read_text(encoding="latin-1").replace("::", " "), dtype=np.int64, sep=" ")
    columns = numbers.reshape(-1, 4)
    users = torch.from_numpy(np.unique(columns[:, 0], return_inverse=True)[1])
    items = torch.from_numpy(np.unique(columns[:, 1], return_inverse=True)[1])
    matrix = torch.zeros(int(users.max()) + 1, int(items.max()) + 1, dtype=torch.bool)
    matrix[users, items] = True
    return matrix


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Who has which interactions, as (U, I) matrices, and the roles of the known users, as row numbers."""

    target: Tensor
    heldout: Tensor
    auxiliary: Tensor
    known: Tensor
    queried: Tensor
    validation: Tensor
    unqueried: Tensor


def split(matrix: Tensor) -> Sides:
    """Split at random; the known users are the target's first rows."""
    users = torch.randperm(len(matrix))
    target, auxiliary = matrix[users[: len(users) // 2]], matrix[users[len(users) // 2 :]]
    heldout = target & (torch.rand(target.shape) < 0.1)
    target = target & ~heldout
    n_known = round(0.1 * len(target))
    n_queried, n_validation = round(0.8 * n_known), round(0.1 * n_known)
    sizes = [n_queried, n_validation, n_known - n_queried - n_validation]
    queried, validation, unqueried = torch.split(torch.arange(n_known), sizes)
    return Sides(
        target=target,
        heldout=heldout,
        auxiliary=auxiliary,
        known=target[:n_known],
        queried=queried,
        validation=validation,
        unqueried=unqueried,
    )


def learn_lists(
    clone: MF,
    sides: Sides,
    served: Tensor,
    ranking: Pairwise,
    judges: Tensor,
    taken: Tensor,
    batches: Batches,
) -> int:
    """Train on the queried users' lists, stopped by those of ``judges``; return the epochs run."""
    data = Listed(sides.queried, served[sides.queried], taken)

    def validate() -> float:
        return agreement(top_k(clone, judges, sides.known), served[judges])

    return train(clone, data, list_loss(ranking), validate, batches, **LISTS)


def column(path: Path, stages: Stages, batches: Batches) -> float:
    """Run all stages, and return the victim's Recall@50 on the interactions held out."""
    with stages.stage("data"):
        sides = split(load(path))
        known, queried, validation = sides.known, sides.queried, sides.validation

    with stages.stage("victim") as row:
        victim = MF(*sides.target.shape)
        row["epochs"] = fit(victim, sides.target, VICTIM, batches)
        served = top_k(victim, torch.arange(len(sides.target)), sides.target)

    def judge(model: MF) -> float:
        return agreement(top_k(model, sides.unqueried, known), served[sides.unqueried])

    with stages.stage("retrained") as row:
        retrained = MF(*sides.target.shape)
        row["epochs"], row["agreement"] = fit(retrained, sides.target, VICTIM, batches), judge(retrained)

    with stages.stage("auxiliary") as row:
        auxiliary = MF(*sides.auxiliary.shape)
        row["epochs"] = fit(auxiliary, sides.auxiliary, VICTIM, batches)

    with stages.stage("QSD") as row:
        clone = MF(*known.shape)
        # It knows lists alone, no histories that its negatives should not come from.
        nothing = torch.zeros_like(known)
        row["epochs"] = learn_lists(clone, sides, served, hinge, queried, nothing, batches)
        row["agreement"] = judge(clone)

    fused = FusedMF(len(known), known.shape[1], auxiliary.items.weight.detach().clone())
    for start, interactions_alone, with_lists in ((MF(*known.shape), "PTD", "PTQ"), (fused, "PTA", "PTAQ")):
        with stages.stage(interactions_alone) as row:
            row["epochs"], row["agreement"] = fit(start, known, CLONE, batches), judge(start)
        # Nobody needs the clone of the first phase any more, so it goes on from here itself.
        with stages.stage(with_lists) as row:
            row["epochs"] = learn_lists(start, sides, served, bpr, validation, known, batches)
            row["agreement"] = judge(start)
    return recall(served, sides.heldout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ratings", type=Path, metavar="RATINGS_DAT", help="MovieLens-1M's ratings.dat")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--loader", action="store_true", help="take batches from torch's DataLoader")
    parser.add_argument("--json", type=Path, help="write the table to this file too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    print(f"load average {os.getloadavg()[0]:.1f}\n")
    stages = Stages()
    quality = column(options.ratings, stages, loader if options.loader else slices)
    stages.sums()
    print(f"\nthe victim's Recall@50 on what was held out: {quality:.3f}")
    if options.json:
        options.json.write_text(json.dumps({"stages": stages.rows, "recall": quality}))


if __name__ == "__main__":
    main()
