"""The one training loop: Adam over what an epoch draws, stopped early on a validation score."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float32
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from recaudit.models.base import Run, TrainingLog
from recaudit.models.networks import Network
from recaudit.models.sampling import Examples, equal_batches
from recaudit.rng import torch_generator

__all__ = ["Optimisation", "Stopping", "train"]

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


@contextmanager
def _no_denormals() -> Iterator[None]:
    """Let the processor take numbers below 1e-38 for zero.

    Adam's means of a vector that gets no gradient decay into that range, where arithmetic is many times
    slower; they move no weight there.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@_no_denormals()
def train(
    network: Network,
    examples: Examples,
    loss: Callable[[Float32[Tensor, "M B"]], Float32[Tensor, ""]],
    validate: Callable[[], float],
    *,
    optimisation: Optimisation,
    stopping: Stopping,
    run: Run,
    stage: str,
) -> TrainingLog:
    """Train ``network`` in place and leave it in the state with the best validation score.

    The untrained state is a candidate too, so that fine-tuning never ends below where it began.

    Args:
        network: what to train; its parameters are on ``run.device``.
        examples: draws what an epoch trains on, always from CPU streams, so that devices see the same draws.
        loss: the mean loss of the (M, B) scores of a batch's items.
        validate: the score to maximise; called without gradients, in evaluation mode.
        optimisation: Adam's settings.
        stopping: when to end.
        run: seed, device and progress.
        stage: what to call this training where progress is shown.
    """
    began = time.perf_counter()
    generator = torch_generator(run.seed, "train", "epochs")
    step = _adam(network, optimisation)
    best_epoch, best_score = 0, _score(network, validate)
    best_state = _copy(network)
    scores = [(0, best_score)]
    epoch = 0
    while epoch < stopping.epochs and epoch - best_epoch < stopping.patience:
        epoch += 1
        users, items = (drawn.to(run.device) for drawn in examples.epoch(generator))
        for start, end in equal_batches(len(users), optimisation.batch_size):
            loss(network.pair_scores(users[start:end], items[:, start:end])).backward()  # type: ignore[no-untyped-call]
            step()
        if epoch % stopping.evaluate_every == 0 or epoch == stopping.epochs:
            score = _score(network, validate)
            scores.append((epoch, score))
            if score > best_score:
                best_epoch, best_score, best_state = epoch, score, _copy(network)
        run.progress(stage, epoch, stopping.epochs)
    network.load_state_dict(best_state)
    network.eval()
    seconds = time.perf_counter() - began
    return TrainingLog(
        epochs=epoch, best_epoch=best_epoch, best_score=best_score, scores=tuple(scores), seconds=seconds
    )


def _adam(network: Network, optimisation: Optimisation) -> Callable[[], None]:
    """Return what makes one step of Adam (Kingma and Ba 2015) on all parameters and clears their gradients.

    This calls the kernel of ``torch.optim.Adam(fused=True)`` itself, with the same result to the bit: the
    class's bookkeeping takes as long a step as a tenth of a batch of matrix factorisation.
    """
    parameters: list[Tensor] = list(network.parameters())
    means = [torch.zeros_like(parameter) for parameter in parameters]
    squares = [torch.zeros_like(parameter) for parameter in parameters]
    steps = [torch.zeros((), device=parameter.device) for parameter in parameters]

    @torch.no_grad()
    def step() -> None:
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        torch._foreach_add_(steps, 1)
        torch._fused_adam_(
            parameters,
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


def _score(network: Network, validate: Callable[[], float]) -> float:
    network.eval()
    with torch.no_grad():
        score = validate()
    network.train()
    return score


def _copy(network: Network) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
