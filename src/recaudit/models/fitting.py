"""Models as stages: fitted once, kept, and made again from what was kept."""

import json
from dataclasses import asdict
from typing import Any

from recaudit.data.interactions import Interactions
from recaudit.models.cold_start import fold_in
from recaudit.models.protocol import Recommender, RecommenderSpec, TrainingLog, reading
from recaudit.models.registry import distribution
from recaudit.models.trained import FittedNetwork
from recaudit.pipeline import Piece, Stage
from recaudit.pipeline.run import Run

__all__ = ["fit_once", "fit_stage", "fold_once", "fold_stage", "packed", "spec_inputs", "unpacked"]


def spec_inputs(spec: RecommenderSpec) -> dict[str, Any]:
    """Return a spec as inputs of a stage; a third party's model counts with its package's version."""
    plain: dict[str, Any] = json.loads(spec.model_dump_json())
    package = distribution(spec.model)
    return plain if package is None else {**plain, "package": package}


def fit_stage(spec: RecommenderSpec, data: Interactions, run: Run) -> Stage:
    """Return what names the model that :func:`fit_once` fits."""
    inputs = {
        "spec": spec_inputs(spec),
        "data": data.name,
        "fingerprint": data.fingerprint,
        "seed": run.seed,
        "device": run.device,
    }
    return Stage(kind="model", inputs=inputs)


def fit_once(spec: RecommenderSpec, data: Interactions, run: Run) -> Recommender:
    """Fit ``spec``, or return what this run's memo keeps for the same spec, data, seed and device."""

    def restored(piece: Piece) -> Recommender:
        model = spec.restore(piece.tensors, n_users=data.n_users, n_items=data.n_items)
        return reading(unpacked(model, piece, run), data)

    return run.memo.once(fit_stage(spec, data, run), lambda: spec.fit(data, run), packed, restored)


def fold_stage(
    fitted_hash: str, histories: Interactions, run: Run, *, n_interactions: int | None = None
) -> Stage:
    """Return what names the model that :func:`fold_once` folds; ``fitted_hash`` is the fitted one's stage."""
    inputs: dict[str, Any] = {
        "folded": fitted_hash,
        "data": histories.name,
        "fingerprint": histories.fingerprint,
        "seed": run.seed,
        "device": run.device,
    }
    if n_interactions is not None:
        inputs["interactions"] = n_interactions
    return Stage(kind="model", inputs=inputs)


def fold_once(
    spec: RecommenderSpec,
    fitted: Recommender,
    fitted_hash: str,
    histories: Interactions,
    run: Run,
    *,
    n_interactions: int | None = None,
) -> Recommender:
    """Fold ``histories`` into ``fitted``, or return what this run's memo keeps of it; see :func:`fold_in`.

    Args:
        spec: what ``fitted`` was fitted from.
        fitted: the model of the users it was trained on.
        fitted_hash: hash of the stage that ``fitted`` is the result of.
        histories: of the new users.
        run: seed, device, progress and memo.
        n_interactions: how many ``fitted`` was trained on.
    """

    def compute() -> Recommender:
        return fold_in(spec, fitted, histories, run, n_interactions=n_interactions)

    def restored(piece: Piece) -> Recommender:
        model = spec.restore(piece.tensors, n_users=histories.n_users, n_items=histories.n_items)
        return reading(unpacked(model, piece, run), histories)

    stage = fold_stage(fitted_hash, histories, run, n_interactions=n_interactions)
    return run.memo.once(stage, compute, packed, restored)


def packed(recommender: Recommender) -> Piece:
    """Return what is kept of a fitted model: its tensors and how its training went."""
    log = recommender.log
    return Piece(tensors=recommender.tensors(), facts={"log": None if log is None else asdict(log)})


def unpacked(recommender: Recommender, piece: Piece, run: Run) -> Recommender:
    """Return a network made again from ``piece`` on the run's device, its training log with it."""
    if isinstance(recommender, FittedNetwork):
        recommender.network.to(run.device)
        recommender.device = run.device
        log = piece.facts["log"]
        scores = () if log is None else tuple((epoch, score) for epoch, score in log["scores"])
        recommender.log = None if log is None else TrainingLog(**{**log, "scores": scores})
    return recommender
