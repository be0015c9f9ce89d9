"""RecBole's SASRec and GRU4Rec on ordered ratings, in an environment of RecBole's own.

``PYTHON benchmarks/recbole_peer.py time|train SASRec|GRU4Rec RATINGS``, with the interpreter of that
environment (RecBole 1.2.1 needs NumPy below 2): ``benchmarks/sequential.py`` runs this file so. Nothing of
recaudit is used.

RATINGS has a line ``user::item::rating::time`` for each interaction, users together and each in the order of
its history. The last item of a history is the test item, the one before it the validation item, the rest
trains: RecBole's ``valid_and_test``, with an interaction's place in the history as its time, so that equal
times keep the order of the file. RecBole makes every prefix of a history an example of its own.

``time`` prints the processor's seconds of an epoch, in proportion to the batches that it times. ``train``
ranks the whole catalogue but the items that the user has seen, which RecBole itself leaves in for sequential
models, and writes HR@10 and NDCG@10 of the validation and the test items to a CSV file after each epoch.
Everything runs on one thread.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import csv
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from recbole.config import Config  # type: ignore[import-not-found]
from recbole.data import create_dataset, data_preparation  # type: ignore[import-not-found]
from recbole.utils import get_model, get_trainer, init_seed  # type: ignore[import-not-found]

K = 10
WARM_UP = 3
"""Batches that are not timed."""
HEADS = (
    "seconds",
    "clock_seconds",
    "epoch",
    "loss",
    "hr@10",
    "ndcg@10",
    "hr@10_seen_left_in",
    "test_hr@10",
    "test_ndcg@10",
    "test_hr@10_seen_left_in",
)


@dataclass(frozen=True, kw_only=True)
class Peer:
    """RecBole's model with all that trains and ranks it."""

    dataset: Any
    train_data: Any
    model: Any
    trainer: Any
    histories: dict[str, list[str]]


def read(ratings: Path) -> dict[str, list[str]]:
    """Return the items of each user in the order of the file."""
    histories: dict[str, list[str]] = {}
    for line in ratings.read_text(encoding="latin-1").splitlines():
        user, item, _ = line.split("::", 2)
        histories.setdefault(user, []).append(item)
    return histories


def prepare(options: argparse.Namespace) -> Peer:
    """Give RecBole the histories and let it make its data, model and trainer."""
    histories = read(options.ratings)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "ratings"
        place.mkdir()
        with (place / "ratings.inter").open("w", encoding="utf-8") as out:
            out.write("user_id:token\titem_id:token\ttimestamp:float\n")
            for user, items in histories.items():
                out.writelines(f"{user}\t{item}\t{at}\n" for at, item in enumerate(items))
        config = Config(model=options.model, dataset="ratings", config_dict=_settings(options, folder))
        init_seed(config["seed"], config["reproducibility"])
        dataset = create_dataset(config)
    train_data, *_ = data_preparation(config, dataset)
    torch.manual_seed(options.seed)
    model = get_model(options.model)(config, train_data.dataset)
    trainer = get_trainer(config["MODEL_TYPE"], options.model)(config, model)
    return Peer(dataset=dataset, train_data=train_data, model=model, trainer=trainer, histories=histories)


def _settings(options: argparse.Namespace, folder: str) -> dict[str, object]:
    """Return RecBole's settings: its defaults but for sizes, length, batch, dropout and the split."""
    shared = {
        "data_path": folder,
        "checkpoint_dir": folder,
        "use_gpu": False,
        "show_progress": False,
        "state": "ERROR",
        "seed": options.seed,
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "MAX_ITEM_LIST_LENGTH": options.length,
        "eval_args": {"split": {"LS": "valid_and_test"}, "group_by": "user", "order": "TO", "mode": "full"},
        "train_neg_sample_args": None,
        "train_batch_size": options.batch,
        "loss_type": "CE",
        "hidden_size": options.hidden,
        "learning_rate": options.rate,
    }
    if options.model == "SASRec":
        dropout = {"hidden_dropout_prob": options.dropout, "attn_dropout_prob": options.dropout}
        return {**shared, **dropout, "n_layers": 2, "n_heads": 2, "inner_size": options.inner}
    return {**shared, "embedding_size": 64, "num_layers": 1, "dropout_prob": options.dropout}


def time_epoch(peer: Peer, batches: int) -> dict[str, float]:
    """Time some batches of an epoch, forward, backward and step, with RecBole's own loop."""
    whole = len(peer.train_data)
    few = _Few(peer.train_data, WARM_UP)
    peer.trainer._train_epoch(few, 0)
    few = _Few(peer.train_data, batches)
    began, clock = time.process_time(), time.perf_counter()
    peer.trainer._train_epoch(few, 1)
    share = whole / min(batches, whole)
    return {
        "epoch_seconds": (time.process_time() - began) * share,
        "epoch_clock_seconds": (time.perf_counter() - clock) * share,
        "batches": whole,
        "batches_timed": min(batches, whole),
        "examples": len(peer.train_data.dataset),
    }


class _Few:
    """The first batches of an epoch."""

    def __init__(self, loader: Any, batches: int) -> None:
        self.loader, self.batches = loader, batches
        self.shuffle, self.sampler = loader.shuffle, loader.sampler

    def __iter__(self) -> Any:
        for _, batch in zip(range(self.batches), self.loader, strict=False):
            yield batch


@torch.no_grad()
def quality(peer: Peer, last: int, length: int) -> tuple[float, float, float]:
    """Return HR@10 and NDCG@10 of the item ``last`` from the end, and HR@10 with the seen items left in."""
    peer.model.eval()
    tokens = peer.dataset.field2token_id["item_id"]
    hits, gains, lax = 0, 0.0, 0
    everyone = [[tokens[item] for item in items] for items in peer.histories.values()]
    for start in range(0, len(everyone), 256):
        users = everyone[start : start + 256]
        seen = [items[:-last] for items in users]
        wanted = torch.tensor([items[-last] for items in users])
        rows = torch.zeros(len(users), length, dtype=torch.long)
        for row, items in enumerate(seen):
            rows[row, : min(len(items), length)] = torch.tensor(items[-length:])
        lengths = torch.tensor([min(len(items), length) for items in seen])
        scores = peer.model.full_sort_predict({"item_id_list": rows, "item_length": lengths})
        scores[:, 0] = -torch.inf
        target = scores.gather(1, wanted[:, None])
        lax += int(((scores > target).sum(1) < K).sum())
        for row, items in enumerate(seen):
            scores[row, items] = -torch.inf
        ranks = (scores > target).sum(1)
        hits += int((ranks < K).sum())
        gains += sum(1 / math.log2(rank + 2) for rank in ranks.tolist() if rank < K)
    count = len(everyone)
    return hits / count, gains / count, lax / count


def train(peer: Peer, options: argparse.Namespace) -> dict[str, float]:
    """Train until the minutes or epochs are over or validation has not risen for some epochs."""
    spent, began = 0.0, time.perf_counter()
    rows: list[dict[str, float]] = []
    best: dict[str, float] = {}
    with options.log.open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow(HEADS)
        for epoch in range(1, options.epochs + 1):
            at = time.process_time()
            loss = peer.trainer._train_epoch(peer.train_data, epoch) / len(peer.train_data)
            spent += time.process_time() - at
            judged = (*quality(peer, 2, options.length), *quality(peer, 1, options.length))
            clock = time.perf_counter() - began
            rows.append(dict(zip(HEADS, (spent, clock, epoch, loss, *judged), strict=True)))
            table.writerow([f"{value:.5g}" for value in rows[-1].values()])
            out.flush()
            if not best or rows[-1]["ndcg@10"] > best["ndcg@10"]:
                best = rows[-1]
                torch.save(peer.model.state_dict(), options.log.with_suffix(".pt"))
            if clock + clock / epoch > options.minutes * 60 or epoch - best["epoch"] >= options.patience:
                break
    return {"epochs": len(rows), **{f"best_{name}": value for name, value in best.items()}}


def main() -> None:
    """Read the command line and print what was measured as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("part", choices=("time", "train"))
    parser.add_argument("model", choices=("SASRec", "GRU4Rec"))
    parser.add_argument("ratings", type=Path)
    parser.add_argument(
        "--length", type=int, default=50, help="most items of a history that are seen at once"
    )
    parser.add_argument("--batch", type=int, default=2048, help="examples in a batch")
    parser.add_argument("--inner", type=int, default=256, help="width of SASRec's feed-forward layer")
    parser.add_argument("--dropout", type=float, default=0.5, help="RecBole's own is 0.5, of GRU4Rec 0.3")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--hidden", type=int, default=64, help="width of the state; GRU4Rec's own is 128")
    parser.add_argument(
        "--anomalies", action="store_true", help="look for NaN in every step, as RecBole does"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batches", type=int, default=20, help="of `time`: batches timed")
    parser.add_argument("--epochs", type=int, default=200, help="of `train`: most epochs")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="of `train`: most minutes of the clock"
    )
    parser.add_argument("--patience", type=int, default=10, help="of `train`: epochs without a rise")
    parser.add_argument("--log", type=Path, default=Path("recbole.csv"), help="of `train`: the CSV file")
    options = parser.parse_args()
    sys.argv = sys.argv[:1]  # RecBole reads the command line too
    torch.set_num_threads(1)
    peer = prepare(options)
    torch.autograd.set_detect_anomaly(
        options.anomalies
    )  # RecBole's module of SINE turns it on for all models
    parts: dict[str, Callable[[], dict[str, float]]] = {
        "time": lambda: time_epoch(peer, options.batches),
        "train": lambda: train(peer, options),
    }
    print(json.dumps(parts[options.part]()))


if __name__ == "__main__":
    main()
