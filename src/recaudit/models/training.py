"""The one training loop: Adam or plain gradient descent over what an epoch draws, stopped early or not."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float32
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from recaudit.models import losses
from recaudit.models.networks import Dropout, Network, ScoresByTables
from recaudit.models.protocol import TrainingLog
from recaudit.models.sampling import Examples, equal_batches
from recaudit.pipeline.run import Run
from recaudit.rng import numpy_generator, torch_generator

__all__ = [
    "Batch",
    "Descends",
    "GradientDescent",
    "Objective",
    "Optimisation",
    "PairScores",
    "Slopes",
    "Stopping",
    "differentiator",
    "no_denormals",
    "stepper",
    "train",
]

Batch = tuple[Tensor, ...]

EPOCH_BATCHES = 8


class Stopping(BaseModel):
    """When a training ends.

    Args:
        epochs: at most this many.
        evaluate_every: epochs between two looks at the validation score.
        patience: epochs without a better score after which training stops; the best state is kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(default=300, ge=1)
    evaluate_every: int = Field(default=5, ge=1)
    patience: int = Field(default=20, ge=1)

    @model_validator(mode="after")
    def _is_judged_in_time(self) -> "Stopping":
        if self.patience < min(self.evaluate_every, self.epochs):
            raise ValueError(
                f"patience={self.patience} ends the training before its first look at the validation score, "
                f"after {min(self.evaluate_every, self.epochs)} epochs; raise it or lower evaluate_every"
            )
        return self


class Optimisation(BaseModel):
    """Adam's settings: learning rate, batch size and L2 regularisation (``reg``, Adam's ``weight_decay``)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    learning_rate: float = Field(default=1e-3, gt=0)
    batch_size: int = Field(default=2048, ge=1)
    reg: float = Field(default=0.0, ge=0)

    @property
    def epoch_examples(self) -> int:
        """The fewest examples of an epoch: eight batches of them."""
        return EPOCH_BATCHES * self.batch_size


class GradientDescent(BaseModel):
    """Settings of plain stochastic gradient descent, as Funk (2006) and Koren et al. (2009) train factors.

    A step takes every parameter row that an example touches down the example's gradient,
    θ ← θ - learning_rate · (∂l/∂θ + reg · θ), for all examples of a batch at once: gradients are summed, not
    averaged, and a row is regularised once for each example that touches it. So a batch only computes side
    by side what single examples would one after the other; with ``batch_size`` 1 nothing differs.

    Args:
        learning_rate: of each example.
        reg: L2 regularisation of what an example touches.
        batch_size: examples whose gradients are taken at the same parameters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    learning_rate: float = Field(default=0.01, gt=0)
    reg: float = Field(default=0.01, ge=0)
    batch_size: int = Field(default=256, ge=1)


@contextmanager
def no_denormals() -> Iterator[None]:
    """Let the processor take numbers below 1e-38 for zero.

    Adam's means of a vector that gets no gradient decay into that range, where arithmetic is many times
    slower; they move no weight there.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@runtime_checkable
class Objective(Protocol):
    """What an epoch trains on, batch by batch, and the gradient of a batch's loss."""

    def batches(self, generator: torch.Generator, batch_size: int, device: str) -> Iterable[Batch]:
        """Draw an epoch, always from CPU streams, so that devices see the same draws.

        Args:
            generator: the stream to draw from.
            batch_size: examples of a batch, as near as whole sequences allow where they are sequences.
            device: where the batches' tensors are wanted.
        """

    def differentiate(self, *batch: Tensor) -> None:
        """Give each parameter that wants one the gradient of a batch's loss, its mean over examples, for Adam."""


@runtime_checkable
class Descends(Protocol):
    """A network that makes steps of gradient descent itself, with its loss's gradient in closed form."""

    def descend(self, settings: GradientDescent, users: Tensor, items: Tensor, targets: Tensor) -> None:
        """Make one step on a batch, in the parameters that want gradients."""


Slopes = Callable[..., Float32[Tensor, "M B"]]
"""Gives the gradient of a loss of scores with respect to these."""


def differentiator(
    network: Network, of_scores: Callable[..., Tensor], slopes: Slopes | None = None
) -> Callable[..., None]:
    """Return what writes the gradients of the loss of a batch's users (B,), items (M, B) and what else there is.

    Args:
        network: gives the scores of a batch's items.
        of_scores: their loss.
        slopes: the loss's gradient in closed form; by default autograd takes it.
    """
    tables = network.tables() if isinstance(network, ScoresByTables) else None
    of_loss = partial(losses.slopes, of_scores) if slopes is None else slopes

    def differentiate(users: Tensor, items: Tensor, *others: Tensor) -> None:
        if tables is None:
            of_scores(network.pair_scores(users, items), *others).backward()  # type: ignore[no-untyped-call]
        else:
            tables.differentiate(of_loss(tables.scores(users, items), *others))

    return differentiate


@dataclass(frozen=True, kw_only=True, eq=False)
class PairScores:
    """The objective of a network that scores users and items by their numbers.

    Args:
        network: gives the (M, B) scores of a batch's items.
        examples: draws what an epoch trains on.
        of_scores: the loss of a batch's scores, and of its part of whatever else ``examples`` draw.
        slopes: its gradient, where there is a closed form.
    """

    network: Network
    examples: Examples
    of_scores: Callable[..., Float32[Tensor, ""]]
    slopes: Slopes | None = None

    def batches(self, generator: torch.Generator, batch_size: int, device: str) -> Iterator[Batch]:
        """Yield users (B,), items (M, B) and whatever else there is, in batches of equal size."""
        users, items, *others = (drawn.to(device) for drawn in self.examples.epoch(generator))
        for start, end in equal_batches(len(users), batch_size):
            yield users[start:end], items[:, start:end], *(other[start:end] for other in others)

    @cached_property
    def differentiate(self) -> Callable[..., None]:
        """Write the gradients of the loss of a batch."""
        return differentiator(self.network, self.of_scores, self.slopes)


@no_denormals()
def train(
    network: nn.Module,
    objective: Objective,
    validate: Callable[[], float] | None,
    *,
    optimisation: Optimisation | GradientDescent,
    stopping: Stopping,
    run: Run,
    stage: str,
) -> TrainingLog:
    """Train ``network`` in place and leave it in the state with the best validation score.

    The untrained state is a candidate too, so that fine-tuning never ends below where it began. Without a
    validation score every epoch is run and the last state kept; the log then has no scores, and a best score
    of 0.

    Args:
        network: what to train; its parameters are on ``run.device``.
        objective: what an epoch trains on, and the loss.
        validate: the score to maximise; called without gradients, in evaluation mode.
        optimisation: settings of Adam or of gradient descent.
        stopping: when to end.
        run: seed, device and progress.
        stage: what to call this training where progress is shown.
    """
    began = time.perf_counter()
    generator = torch_generator(run.seed, "train", "epochs")
    Dropout.draw_from(numpy_generator(run.seed, "train", "dropout"), network)
    advance = _advance(network, objective, optimisation)
    best_epoch, best_score, scores = 0, 0.0, []
    best_state: dict[str, Tensor] | None = None
    if validate is not None:
        best_score, best_state = _score(network, validate), _copy(network)
        scores.append((0, best_score))
    epoch = 0
    while epoch < stopping.epochs and (validate is None or epoch - best_epoch < stopping.patience):
        epoch += 1
        for batch in objective.batches(generator, optimisation.batch_size, run.device):
            advance(*batch)
        if validate is not None and (epoch % stopping.evaluate_every == 0 or epoch == stopping.epochs):
            score = _score(network, validate)
            scores.append((epoch, score))
            if score > best_score:
                best_epoch, best_score, best_state = epoch, score, _copy(network)
        run.progress(stage, epoch, stopping.epochs)
    if best_state is None:
        best_epoch = epoch
    else:
        network.load_state_dict(best_state)
    network.eval()
    seconds = time.perf_counter() - began
    return TrainingLog(
        epochs=epoch, best_epoch=best_epoch, best_score=best_score, scores=tuple(scores), seconds=seconds
    )


def _advance(
    network: nn.Module, objective: Objective, optimisation: Optimisation | GradientDescent
) -> Callable[..., None]:
    """Return what makes one step on a batch.

    Raises:
        TypeError: where the network makes no step of gradient descent.
    """
    if isinstance(optimisation, GradientDescent):
        if not isinstance(network, Descends):
            raise TypeError(f"{type(network).__name__} makes no step of gradient descent; train it by Adam")
        return partial(network.descend, optimisation)
    step = stepper(network.parameters(), optimisation)

    def advance(*batch: Tensor) -> None:
        objective.differentiate(*batch)
        step()

    return advance


def stepper(parameters: Iterable[nn.Parameter], optimisation: Optimisation) -> Callable[[], None]:
    """Return what makes one step of Adam (Kingma and Ba 2015) on ``parameters`` and clears their gradients.

    This calls the kernel of ``torch.optim.Adam(fused=True)`` itself, with the same result to the bit: the
    class's bookkeeping takes as long a step as a tenth of a batch of matrix factorisation.
    """
    parameters = list(parameters)
    means = [torch.zeros_like(parameter) for parameter in parameters]
    squares = [torch.zeros_like(parameter) for parameter in parameters]
    steps = [torch.zeros((), device=parameter.device) for parameter in parameters]

    @torch.no_grad()
    def step() -> None:
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        torch._foreach_add_(steps, 1)
        torch._fused_adam_(
            list[Tensor](parameters),
            gradients,
            means,
            squares,
            [],
            steps,
            lr=optimisation.learning_rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=optimisation.reg,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )
        for parameter in parameters:
            parameter.grad = None

    return step


def _score(network: nn.Module, validate: Callable[[], float]) -> float:
    network.eval()
    with torch.no_grad():
        score = validate()
    network.train()
    return score


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
