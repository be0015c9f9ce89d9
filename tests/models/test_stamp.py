"""STAMP: states and gradients against its formulas, one prefix and one number at a time."""

import math

import numpy as np
import polars as pl
import pytest
import torch

from recaudit.attacks.stealing.fusion import FusedItems
from recaudit.data.interactions import Interactions
from recaudit.models.closed_form import Workspace
from recaudit.models.losses import SAMPLED_LOSSES
from recaudit.models.sequences import NextItems
from recaudit.models.training import Optimisation, stepper
from recaudit.models.zoo import stamp
from recaudit.models.zoo.stamp import STAMP

N_ITEMS, SIZE = 12, 5


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def network(size=SIZE, scale=0.7):
    made = STAMP(embedding_size=size).network(1, N_ITEMS, generator())
    stream = generator(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream) * scale)
    return made


def vectors(rows, length, size=SIZE, seed=2):
    return torch.randn(rows, length, size, generator=generator(seed), dtype=torch.float64)


def on_a_circle(n_users=60):
    """Histories of four to nine items, each one past the item before it."""
    stream = np.random.default_rng(0)
    starts, lengths = stream.integers(N_ITEMS, size=n_users), stream.integers(4, 10, size=n_users)
    runs = [np.arange(start, start + n) % N_ITEMS for start, n in zip(starts, lengths, strict=True)]
    return Interactions(
        name="circle",
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        items=np.concatenate(runs).astype(np.int32),
        user_ids=pl.Series(np.arange(n_users)),
        item_ids=pl.Series(np.arange(N_ITEMS)),
    )


def restated(made, session):
    """The state after a whole session (t, D), as the paper has it."""
    last, mean = session[-1], sum(session) / len(session)
    memory = torch.zeros_like(last)
    for item in session:
        inner = made.of_item.weight @ item + made.of_last.weight @ last + made.of_mean.weight @ mean
        weight = made.attention @ torch.sigmoid(inner + made.of_last.bias)
        memory = memory + weight * item
    of_session = torch.tanh(made.memory.weight @ memory + made.memory.bias)
    return of_session * torch.tanh(made.last.weight @ last + made.last.bias)


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (3, 2), (2, 8), (2, 9), (10, 19)])
def test_states_and_gradients_are_those_of_the_formulas(rows, length):
    made = network().double()
    given = vectors(rows, length).requires_grad_()
    wanted = [*made.parameters(), given]
    states = made.encode(given)
    plain = torch.stack([torch.stack([restated(made, row[: t + 1]) for t in range(length)]) for row in given])
    torch.testing.assert_close(states, plain, rtol=1e-12, atol=1e-12)
    weights = vectors(rows, length, seed=3)
    found = torch.autograd.grad((states * weights).sum(), wanted, allow_unused=True)
    expected = torch.autograd.grad((plain * weights).sum(), wanted, allow_unused=True)
    names = [name for name, _ in made.named_parameters()]
    assert [n for n, g in zip(names, found, strict=False) if g is None] == ["tables.shared.table"]
    for one, other in zip(found[1:], expected[1:], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_a_session_of_two_worked_by_hand():
    """One dimension: x = (1, 2), all weights one, no bias but b_t = 1."""
    made = network(size=1).double()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.fill_(0.0 if "bias" in name else 1.0)
        made.last.bias.fill_(1.0)
        states = made.encode(torch.tensor([[[1.0], [2.0]]], dtype=torch.float64))[0, :, 0]

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    first = math.tanh(sigmoid(3)) * math.tanh(2)
    second = math.tanh(sigmoid(1 + 2 + 1.5) + 2 * sigmoid(2 + 2 + 1.5)) * math.tanh(3)
    assert states.tolist() == pytest.approx([first, second], rel=1e-14)


@pytest.mark.parametrize(("rows", "length", "size"), [(1, 1, 1), (2, 9, 3), (3, 17, 1)])
def test_the_attentions_gradient_is_that_of_differences(rows, length, size):
    keys, queries = (vectors(rows, length, size, seed).requires_grad_() for seed in (4, 5))
    weight = vectors(1, 1, size, 6)[0, 0].requires_grad_()
    work = Workspace()
    assert torch.autograd.gradcheck(
        lambda *args: stamp._Attention.apply(*args, work), (keys, queries, weight)
    )


def test_many_chunks_and_one_give_the_same(monkeypatch):
    """Nine sequences of 19 items, all at once and eight at a time: the last chunk holds one."""
    made, given = network(), vectors(9, 19).float()
    states = {}
    for block in (1, 1 << 30):
        monkeypatch.setattr(stamp, "BLOCK", block)
        made.zero_grad()
        at = given.clone().requires_grad_()
        states[block] = [made.encode(at)]
        states[block][0].sin().sum().backward()
        states[block] += [at.grad, *(p.grad for p in made.parameters() if p.grad is not None)]
    assert len(states[1]) == 11
    torch.testing.assert_close(states[1], states[1 << 30])


def test_two_passes_before_one_gradient():
    """Fused item vectors encode twice: what the second writes must not spoil the first one's gradient."""
    made = network()
    one, other = (vectors(3, 9, seed=seed).float().requires_grad_() for seed in (7, 8))
    alone = [torch.autograd.grad(made.encode(x).sin().sum(), x)[0] for x in (one, other)]
    together = torch.autograd.grad(
        made.encode(one).sin().sum() + made.encode(other).sin().sum(), (one, other)
    )
    torch.testing.assert_close(alone, list(together))


@pytest.mark.parametrize("factor", [1e2, 1e4, 1e30])
def test_large_numbers_leave_finite_states_and_gradients(factor):
    made, given = network(), (vectors(3, 9).float() * factor).requires_grad_()
    states = made.encode(given)
    assert torch.isfinite(states).all()
    assert (states.abs() <= 1).all()
    states.sum().backward()
    assert torch.isfinite(given.grad).all()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in made.parameters())


def test_it_begins_as_the_paper_has_it():
    made = STAMP().network(5, 3000, generator())
    weights = torch.cat([p.flatten() for name, p in made.named_parameters() if name.endswith("weight")])
    assert made.item_vectors()["shared"].table.std().item() == pytest.approx(0.002, rel=0.02)
    assert len(weights) == 5 * 64 * 64
    assert weights.std().item() == pytest.approx(0.05, rel=0.02)
    assert made.attention.std().item() == pytest.approx(0.05, rel=0.3)
    biases = [p for name, p in made.named_parameters() if name.endswith("bias")]
    assert len(biases) == 3
    assert not torch.cat(biases).any()


def test_its_sessions_are_of_fifty_items():
    assert STAMP().max_length == 50
    assert STAMP().loss == "cross-entropy"


@pytest.mark.parametrize(
    ("loss", "fused"),
    [("cross-entropy", True), *((loss, False) for loss in ["cross-entropy", *SAMPLED_LOSSES])],
)
def test_it_learns_by_every_loss(loss, fused):
    """A hundred steps lower the loss on the histories that they are made on."""

    def make_items(name, table):
        del name
        return FusedItems(table, torch.randn(table.shape, generator=generator()), generator())

    made = STAMP(embedding_size=8).network(1, N_ITEMS, generator(), *([make_items] if fused else []))
    objective = NextItems(network=made, histories=on_a_circle(), max_length=50, loss_name=loss, negatives=2)
    step, draws = stepper(made.parameters(), Optimisation(learning_rate=0.03)), generator()
    losses = []
    while len(losses) < 100:
        for batch in objective.batches(draws, 64, "cpu"):
            value = objective.loss(*batch)
            value.backward()
            step()
            losses.append(value.item())
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
