"""Speed and quality of sequential recommenders: ``python benchmarks/sequential.py epoch|quality [options]``.

On ``ml-1m-timed``: the last item of a history is the test item, the one before it the validation item, the
rest trains; the whole catalogue is ranked but what the user has seen. One thread, one run; seconds are the
processor's, so that other work on the machine disturbs them less. The tables come out as Markdown.

``epoch`` measures an epoch of SASRec by recaudit, by a plain PyTorch loop and by RecBole, which take turns:
the same interactions, each but a history's first once for a target; items and states of 64, two blocks, two
heads, a feed-forward layer of 64, dropout 0.2, cross-entropy over all items, batches of 2,048 targets. The
plain loop restates the public PyTorch SASRec: sequences padded on the left to the full length, attention
with an explicit mask, all positions at once. It drops attention weights too, and so does RecBole; recaudit
drops none, so that a second plain loop does without. RecBole makes an example of every prefix of a
history; its epoch is told from some of its 322 batches. RecBole runs in an environment of its own, whose
interpreter ``--recbole`` names; its check for NaN in every backward step, which it leaves on for all
sequential models since one of them turns it on at import, is off here.

``quality`` trains recaudit's models until validation NDCG@10 has not risen for ten epochs and prints the
figures on the test items; beside them, those of a RecBole training that ``recbole_peer.py train`` has
logged, and the seconds until recaudit reaches that training's best validation HR@10. The copy's files have
films of the same second by ascending id; ``--shuffle-ties`` tells what that order is worth.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import csv
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from recaudit.data.interactions import Interactions
from recaudit.data.sources import load
from recaudit.errors import UsageError
from recaudit.metrics.ranking import ndcg, recall
from recaudit.models.protocol import TrainingLog
from recaudit.models.ranking import top_k
from recaudit.models.sequences import NextItems, SequenceNetwork
from recaudit.models.sequential import SequentialRecommender, SequentialSpec
from recaudit.models.training import Optimisation, Stopping, train
from recaudit.models.zoo.gru4rec import GRU4Rec
from recaudit.models.zoo.sasrec import SASRec
from recaudit.models.zoo.stamp import STAMP
from recaudit.pipeline.run import Run
from recaudit.rng import torch_generator

SIZE, BATCH, HEADS, BLOCKS, DROPOUT = 64, 2048, 2, 2, 0.2
K = 10
PATIENCE = 10
PEER = Path(__file__).resolve().with_name("recbole_peer.py")
MODELS: dict[str, Callable[[argparse.Namespace], SequentialSpec]] = {
    "sasrec": lambda options: SASRec(max_length=options.length),
    "gru4rec": lambda options: GRU4Rec(max_length=options.length, hidden=options.hidden),
    "stamp": lambda options: STAMP(max_length=options.length),
}


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What trains, what is known when the test items are asked for, and each user's two held-out items."""

    whole: Interactions
    train: Interactions
    known: Interactions
    validation: np.ndarray
    test: np.ndarray


def ties_shuffled(data: Interactions, seed: int) -> Interactions:
    """Return the histories with what has the same time in random order."""
    assert data.times is not None
    drawn = np.random.default_rng(seed).random(len(data.items))
    order = np.lexsort((drawn, data.times, data.users))
    return replace(data, items=data.items[order], ratings=None)


def leave_last_out(data: Interactions) -> Parts:
    """Split off the last item of each history and the one before it."""
    from_end = data.offsets[1:][data.users] - np.arange(len(data.items))
    return Parts(
        whole=data,
        train=data.where(from_end > 2),
        known=data.where(from_end > 1),
        validation=data.items[from_end == 2],
        test=data.items[from_end == 1],
    )


def objective(spec: SequentialSpec, network: SequenceNetwork, data: Interactions) -> NextItems:
    """Return what ``spec`` trains ``network`` on."""
    return NextItems(
        network=network,
        histories=data,
        max_length=spec.max_length,
        loss_name=spec.loss,
        negatives=spec.negatives,
        shared_negatives=spec.shared_negatives,
    )


def untrained(spec: SequentialSpec, data: Interactions, seed: int) -> SequenceNetwork:
    """Return a network on the CPU."""
    network = spec.network(data.n_users, data.n_items, torch_generator(seed, "initial"))
    assert isinstance(network, SequenceNetwork)
    return network.train()


def ours(parts: Parts, length: int) -> float:
    """Return the seconds of an epoch of recaudit's loop."""
    optimisation = Optimisation(batch_size=BATCH)
    spec = SASRec(max_length=length, heads=HEADS, blocks=BLOCKS, dropout=DROPOUT, optimisation=optimisation)
    network = untrained(spec, parts.train, seed=0)
    began = time.process_time()
    train(
        network,
        objective(spec, network, parts.train),
        None,
        optimisation=optimisation,
        stopping=Stopping(epochs=1, evaluate_every=1, patience=1),
        run=Run(seed=0),
        stage="",
    )
    return time.process_time() - began


class PlainSASRec(nn.Module):
    """SASRec as the public PyTorch implementation has it; item 0 is the padding."""

    def __init__(self, n_items: int, length: int, attention_dropout: float) -> None:
        super().__init__()
        self.items = nn.Embedding(n_items + 1, SIZE, padding_idx=0)
        self.positions = nn.Embedding(length + 1, SIZE, padding_idx=0)
        self.dropout = nn.Dropout(DROPOUT)
        self.attention_norms = nn.ModuleList(nn.LayerNorm(SIZE) for _ in range(BLOCKS))
        self.attentions = nn.ModuleList(
            nn.MultiheadAttention(SIZE, HEADS, attention_dropout, batch_first=True) for _ in range(BLOCKS)
        )
        self.layer_norms = nn.ModuleList(nn.LayerNorm(SIZE) for _ in range(BLOCKS))
        self.layers = nn.ModuleList(self._layers() for _ in range(BLOCKS))
        self.last_norm = nn.LayerNorm(SIZE)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_normal_(parameter)

    @staticmethod
    def _layers() -> nn.Sequential:
        first, second = nn.Linear(SIZE, SIZE), nn.Linear(SIZE, SIZE)
        return nn.Sequential(first, nn.Dropout(DROPOUT), nn.ReLU(), second, nn.Dropout(DROPOUT))

    def forward(self, sequences: Tensor) -> Tensor:
        """Return the (B, L, D) states of sequences (B, L) that are padded on the left."""
        length = sequences.shape[1]
        places = torch.arange(1, length + 1) * (sequences != 0)
        x = self.dropout(self.items(sequences) * SIZE**0.5 + self.positions(places))
        future = ~torch.ones(length, length, dtype=torch.bool).tril()
        parts = zip(self.attention_norms, self.attentions, self.layer_norms, self.layers, strict=True)
        for attention_norm, attention, layer_norm, layers in parts:
            queries = attention_norm(x)
            x = queries + attention(queries, x, x, attn_mask=future, need_weights=False)[0]
            x = layer_norm(x)
            x = x + layers(x)
        states: Tensor = self.last_norm(x)
        return states


def left_padded(data: Interactions, length: int) -> tuple[Tensor, Tensor]:
    """Return sequences and their next items (B, L), cut from the histories' ends, 0 for padding."""
    inputs, targets = [], []
    for user in range(data.n_users):
        history = data.history(user).astype(np.int64) + 1
        for end in range(len(history) - 1, 0, -length):
            piece = history[max(0, end - length) : end + 1]
            padding = np.zeros(length - len(piece) + 1, dtype=np.int64)
            inputs.append(np.concatenate([padding, piece[:-1]]))
            targets.append(np.concatenate([padding, piece[1:]]))
    return torch.from_numpy(np.stack(inputs)), torch.from_numpy(np.stack(targets))


def plain(parts: Parts, length: int, *, attention_dropout: float = DROPOUT) -> float:
    """Return the seconds of an epoch of the loop that one would write."""
    torch.manual_seed(0)
    data = parts.train
    inputs, targets = left_padded(data, length)
    network = PlainSASRec(data.n_items, length, attention_dropout)
    adam = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.9, 0.98), fused=True)
    # As many sequences as have a batch's targets on average, so that all take the same number of steps.
    n_batches = -(-int((targets != 0).sum()) // BATCH)
    began = time.process_time()
    for rows in torch.randperm(len(inputs)).chunk(n_batches):
        counts = targets[rows] != 0
        logits = network(inputs[rows])[counts] @ network.items.weight.T
        loss = nn.functional.cross_entropy(logits, targets[rows][counts])
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    return time.process_time() - began


def of_recbole(parts: Parts, length: int, *, python: Path, batches: int) -> float:
    """Return the seconds of an epoch of RecBole's loop, from those of some batches."""
    data = parts.whole
    with tempfile.TemporaryDirectory() as folder:
        ratings = Path(folder) / "ratings.dat"
        pairs = zip(data.users.tolist(), data.items.tolist(), strict=True)
        ratings.write_text("".join(f"{user}::{item}::0::0\n" for user, item in pairs), encoding="utf-8")
        options = {"length": length, "batch": BATCH, "inner": SIZE, "dropout": DROPOUT, "batches": batches}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        done = subprocess.run(
            [python, "-W", "ignore", PEER, "time", "SASRec", ratings, *words],
            cwd=folder,  # RecBole leaves logs where it runs
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"RecBole failed in {python}:\n{done.stderr[-2000:]}")
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told["epoch_seconds"]


def epoch(options: argparse.Namespace, parts: Parts) -> None:
    """Print the seconds of an epoch and the ratio of ours to it, over rounds in which all take turns.

    Noise only ever adds time, so the best round tells most about the code, and the spread about the machine.
    """
    peers: dict[str, Callable[[Parts, int], float]] = {
        "recaudit": ours,
        "plain PyTorch loop": plain,
        "the same, no attention weight dropped": partial(plain, attention_dropout=0.0),
    }
    if options.recbole is None:
        print("RecBole is left out: --recbole names no interpreter of an environment that has it.\n")
    else:
        python = options.recbole.absolute()  # resolved, it would leave its environment
        peers["RecBole"] = partial(of_recbole, python=python, batches=options.batches)
    rounds = [
        {name: peer(parts, options.length) for name, peer in peers.items()} for _ in range(options.rounds)
    ]
    heads = (f"an epoch, length {options.length}", "seconds, best", "recaudit / it, of the bests")
    table = Table(*heads, "by round, median (least to greatest)", box=box.MARKDOWN)
    bests = {name: min(one[name] for one in rounds) for name in peers}
    for name, best in bests.items():
        ratios = [one["recaudit"] / one[name] for one in rounds]
        spread = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        table.add_row(name, f"{best:.1f}", f"{bests['recaudit'] / best:.3f}", spread)
    Console(width=160).print(table)


Trained = tuple[SequentialRecommender, list[tuple[float, float, float]], TrainingLog]
"""A model, and after each epoch, from none on: seconds of training, validation HR@10 and NDCG@10."""


def judged(model: SequentialRecommender, known: Interactions, following: np.ndarray) -> tuple[float, float]:
    """Return HR@10 and NDCG@10 of the items that follow the histories ``known``."""
    lists = top_k(model.shown(known), np.arange(known.n_users), known, K).items
    offsets = np.arange(known.n_users + 1)
    return float(recall(lists, offsets, following).mean()), float(ndcg(lists, offsets, following).mean())


def trained(spec: SequentialSpec, options: argparse.Namespace, parts: Parts) -> Trained:
    """Train and look at the validation items after each epoch, which does not count."""
    network = untrained(spec, parts.train, options.seed)
    model = spec.recommender(network, parts.train)
    looks: list[tuple[float, float, float]] = []
    began, looking = time.process_time(), 0.0

    def validate() -> float:
        nonlocal looking
        at = time.process_time()
        hits, gain = judged(model, parts.train, parts.validation)
        looks.append((at - began - looking, hits, gain))
        looking += time.process_time() - at
        return gain

    log = train(
        network,
        objective(spec, network, parts.train),
        validate,
        optimisation=spec.optimisation,
        stopping=Stopping(epochs=options.epochs, evaluate_every=1, patience=PATIENCE),
        run=Run(seed=options.seed),
        stage=spec.model,
    )
    return model, looks, log


def read_log(path: Path) -> list[dict[str, float]]:
    """Return the lines of a training that ``recbole_peer.py train`` has logged."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def quality(options: argparse.Namespace, parts: Parts) -> None:
    """Print HR@10 and NDCG@10 on the test items, with the epochs and seconds that they took."""
    heads = ("model", "test HR@10", "NDCG@10", "validation HR@10", "NDCG@10", "best epoch", "seconds to it")
    table = Table(*heads, "seconds to RecBole's best validation HR@10", box=box.MARKDOWN)
    for name in options.models:
        path: Path | None = getattr(options, f"{name}_log", None)
        lines = [] if path is None else read_log(path)
        best = max(lines, key=lambda line: line["ndcg@10"], default=None)
        model, looks, log = trained(MODELS[name](options), options, parts)
        goal = float("inf") if best is None else best["hr@10"]
        seconds, *valid = looks[log.best_epoch]
        figures = (*judged(model, parts.known, parts.test), *valid)
        cells = [f"{value:.4f}" for value in figures]
        reached = next((f"{spent:.0f}" for spent, hits, _ in looks if hits >= goal), "-")
        table.add_row(
            f"{name}, recaudit", *cells, f"{log.best_epoch} of {log.epochs}", f"{seconds:.0f}", reached
        )
        if best is not None:
            names = ("test_hr@10", "test_ndcg@10", "hr@10", "ndcg@10")
            cells = [f"{best[column]:.4f}" for column in names]
            spent = f"{best['seconds']:.0f}"
            table.add_row(f"{name}, RecBole", *cells, f"{best['epoch']:.0f} of {len(lines)}", spent, spent)
    Console(width=160).print(table)


def arguments() -> argparse.Namespace:
    """Return the command line's parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("epoch", "quality"))
    parser.add_argument("--length", type=int, default=50, help="most items of a history that are read")
    parser.add_argument("--recbole", type=Path, help="`epoch`: interpreter of an environment with RecBole")
    parser.add_argument("--rounds", type=int, default=5, help="`epoch`: how often all take their turn")
    parser.add_argument("--batches", type=int, default=8, help="`epoch`: batches of RecBole's that are timed")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="`quality`: which")
    parser.add_argument("--hidden", type=int, default=128, help="`quality`: GRU4Rec's units")
    parser.add_argument("--epochs", type=int, default=100, help="`quality`: most epochs")
    parser.add_argument("--seed", type=int, default=0, help="`quality`: of our trainings")
    parser.add_argument("--shuffle-ties", action="store_true", help="put items of equal time in random order")
    for name in ("sasrec", "gru4rec"):
        parser.add_argument(f"--{name}-log", type=Path, help=f"`quality`: CSV file of RecBole's {name}")
    return parser.parse_args()


def main() -> None:
    """Run the named part."""
    options = arguments()
    torch.set_num_threads(1)
    try:
        data = load("ml-1m-timed")
    except UsageError as error:
        raise SystemExit(str(error)) from None
    parts = leave_last_out(ties_shuffled(data, options.seed) if options.shuffle_ties else data)
    {"epoch": epoch, "quality": quality}[options.part](options, parts)


if __name__ == "__main__":
    main()
