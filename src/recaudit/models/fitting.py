"""Models as nodes: fitted once, kept, and made again from what was kept."""

import json
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel

from recaudit.data.interactions import Interactions
from recaudit.models.cold_start import fold_in
from recaudit.models.protocol import Recommender, RecommenderSpec, TrainingLog, reading
from recaudit.models.registry import distribution
from recaudit.models.trained import FittedNetwork
from recaudit.pipeline.keys import Artifact
from recaudit.pipeline.node import Codec, Node, key_values
from recaudit.pipeline.run import Run

__all__ = ["fit_node", "fold_node", "model_codec", "packed", "spec_inputs", "unpacked"]


def spec_inputs(spec: RecommenderSpec) -> dict[str, Any]:
    """Return a spec as inputs of a key; a third party's model counts with its package's version."""
    plain = key_values(spec) if isinstance(spec, BaseModel) else json.loads(spec.model_dump_json())
    package = distribution(spec.model)
    return plain if package is None else {**plain, "package": package}


def fit_node(spec: RecommenderSpec, data: Interactions, run: Run, *, of: str = "") -> Node[Recommender]:
    """Return the node that fits ``spec`` to ``data``.

    Args:
        spec: the hyperparameters.
        data: what to train on.
        run: seed, device, progress and cache.
        of: whose model it is, for people who watch.
    """
    inputs = {
        "spec": spec_inputs(spec),
        "data": data.name,
        "fingerprint": data.fingerprint,
        "seed": run.seed,
        "device": run.device,
    }
    return Node(
        kind="model",
        inputs=inputs,
        compute=lambda: spec.fit(data, run),
        codec=model_codec(spec, data, run),
        label=f"training {spec.model} for {of}" if of else f"training {spec.model}",
    )


def fold_node(
    spec: RecommenderSpec,
    fitted: Node[Recommender],
    histories: Interactions,
    run: Run,
    *,
    n_interactions: int | None = None,
    of: str = "",
) -> Node[Recommender]:
    """Return the node that folds ``histories`` into the model of ``fitted``; see :func:`fold_in`.

    Args:
        spec: what the model of ``fitted`` is fitted from.
        fitted: the node of the model.
        histories: of the new users.
        run: seed, device, progress and cache.
        n_interactions: how many interactions the model was trained on.
        of: whose model it is, for people who watch.
    """
    inputs: dict[str, Any] = {
        "data": histories.name,
        "fingerprint": histories.fingerprint,
        "seed": run.seed,
        "device": run.device,
    }
    if n_interactions is not None:
        inputs["interactions"] = n_interactions

    def compute() -> Recommender:
        return fold_in(spec, run.cache.get(fitted), histories, run, n_interactions=n_interactions)

    return Node(
        kind="model",
        inputs=inputs,
        needs={"folded": fitted},
        compute=compute,
        codec=model_codec(spec, histories, run),
        label=f"folding users into {of or spec.model}",
    )


def model_codec(spec: RecommenderSpec, histories: Interactions, run: Run) -> Codec[Recommender]:
    """Return the codec of models of ``spec`` that know the users of ``histories``."""

    def unpack(artifact: Artifact) -> Recommender:
        model = spec.restore(artifact.tensors, n_users=histories.n_users, n_items=histories.n_items)
        return reading(unpacked(model, artifact, run), histories)

    return Codec(pack=packed, unpack=unpack)


def packed(recommender: Recommender) -> Artifact:
    """Return the artifact of a fitted model: its tensors and how its training went."""
    log = recommender.log
    return Artifact(tensors=recommender.tensors(), facts={"log": None if log is None else asdict(log)})


def unpacked(recommender: Recommender, artifact: Artifact, run: Run) -> Recommender:
    """Return a network made again from ``artifact`` on the run's device, its training log with it."""
    if isinstance(recommender, FittedNetwork):
        recommender.network.to(run.device)
        recommender.device = run.device
        log = artifact.facts["log"]
        scores = () if log is None else tuple((epoch, score) for epoch, score in log["scores"])
        recommender.log = None if log is None else TrainingLog(**{**log, "scores": scores})
    return recommender
