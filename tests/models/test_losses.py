"""Losses: values worked by hand, and scores that would overflow a careless form."""

import math

import pytest
import torch

from recaudit.attacks.stealing.lists import stealing_loss
from recaudit.models import losses
from recaudit.models.factorization import BPR, LMF
from recaudit.models.zoo.ncf import NCF

LN2 = math.log(2)


def close(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_bpr_by_hand():
    # -ln σ(ln 3) = ln(4/3); -ln σ(-ln 3) = ln 4
    difference = torch.tensor([0.0, math.log(3), -math.log(3)])
    close(losses.bpr(difference + 5, torch.full((3,), 5.0)), [LN2, math.log(4 / 3), math.log(4)])


def test_hinge_by_hand():
    preferred, other = torch.tensor([2.0, 1.0, 0.0, 0.3]), torch.tensor([1.0, 1.0, 1.0, 0.0])
    close(losses.hinge(preferred, other, 0.5), [0.0, 0.5, 1.5, 0.2])


def test_logistic_by_hand():
    # σ(ln 3) = 3/4, σ(0) = 1/2, σ(-ln 3) = 1/4: -ln 3/4 - ln(1 - 1/2) - ln(1 - 1/4)
    ln3 = math.log(3)
    scores = torch.tensor([[ln3, 0.0], [0.0, ln3], [-ln3, 0.0]])
    close(losses.logistic(scores), [math.log(4 / 3) + LN2 + math.log(4 / 3), LN2 + math.log(4) + LN2])


def test_extreme_scores_stay_finite_and_so_do_gradients():
    table = torch.tensor([[1e4, -1e4, 1e30, -1e30], [-1e4, 1e4, -1e30, 1e30]], requires_grad=True)
    for loss in (
        losses.bpr(table[0], table[1]),
        losses.hinge(table[0], table[1], 0.5),
        losses.logistic(table),
    ):
        assert torch.isfinite(loss).all()
        table.grad = None
        loss.sum().backward()
        assert torch.isfinite(table.grad).all()
        assert table.grad.abs().max() <= 1


def test_a_better_placed_item_costs_less():
    rising = torch.linspace(-20, 20, 81)
    zeros = torch.zeros(81)
    for loss in (
        losses.bpr(rising, zeros),
        losses.hinge(rising, zeros, 0.5),
        losses.logistic(torch.stack([rising, zeros])),
    ):
        assert (loss.diff() <= 0).all()
        assert loss[0] > loss[-1] + 1


def test_models_take_the_mean_over_interactions():
    scores = torch.tensor([[0.0, math.log(3)], [0.0, 0.0], [0.0, math.log(3)]])
    # BPR is a mean over the drawn items too; the cross-entropy sums over them.
    close(BPR().loss(scores), (LN2 + LN2 + math.log(4 / 3) + LN2) / 4)
    entropy = (3 * LN2 + math.log(4 / 3) + LN2 + math.log(4)) / 2
    close(LMF().loss(scores), entropy)
    close(NCF().loss(scores), entropy)


@pytest.mark.parametrize("spec", [BPR(), LMF(), NCF()])
@pytest.mark.parametrize("n_items", [2, 4])
def test_closed_gradients_of_models_are_autograds(spec, n_items):
    scores = torch.randn(n_items, 9, generator=torch.Generator().manual_seed(n_items)) * 5
    kept = scores.clone()
    torch.testing.assert_close(spec.slopes(scores), losses.slopes(spec.loss, scores))
    assert torch.equal(scores, kept)


@pytest.mark.parametrize(
    ("ranking", "positive", "expected"),
    [
        ("bpr", "hinge", (LN2 + 0.0 + 1.5 + math.log(4) + 0.5 + 0.0) / 2),
        ("hinge", "hinge", (0.5 + 0.0 + 1.5 + 0.5 + math.log(3) + 0.5 + 0.0) / 2),
        ("bpr", "bpr", (LN2 + math.log1p(math.exp(-2)) + math.log1p(math.e) + math.log(4) + LN2
                        + math.log1p(math.exp(-1))) / 2),
        ("hinge", "bpr", (0.5 + math.log1p(math.exp(-2)) + math.log1p(math.e) + 0.5 + math.log(3) + LN2
                          + math.log1p(math.exp(-1))) / 2),
    ],
)  # fmt: skip
def test_the_stealing_loss_by_hand(ranking, positive, expected):
    """Two listed items, their next ones, and two drawn ones each."""
    ln3 = math.log(3)
    scores = torch.tensor([[1.0, 0.0], [1.0, ln3], [-1.0, 0.0], [2.0, -1.0]])
    close(stealing_loss(ranking, positive, 0.5)(scores), expected)


def test_the_last_item_of_a_list_learns_nothing_from_standing_for_its_next():
    scores = torch.tensor([[3.0], [3.0], [-9.0]], requires_grad=True)
    for ranking in ("bpr", "hinge"):
        item = torch.tensor([3.0], requires_grad=True)
        stealing_loss(ranking, "hinge", 0.5)(torch.stack([item, item, scores[2].detach()])).backward()
        assert item.grad.tolist() == [0.0]


HALF, THREE_QUARTERS = 0.5, 0.75  # σ(0) and σ(ln 3)
LEFT_OUT = -math.inf
MANY = ("top1", "top1-max", "bpr-max")


def test_top1_by_hand():
    # σ(r_j - r_i) + σ(r_j²); the root of ln 3 has the square ln 3
    ln3, root = math.log(3), math.sqrt(math.log(3))
    scores = torch.tensor([[0.0, ln3, root, ln3], [0.0, 0.0, root, 0.0], [0.0, 0.0, root, LEFT_OUT]])
    quarter = 1 - THREE_QUARTERS
    close(losses.top1(scores), [HALF + HALF, quarter + HALF, HALF + THREE_QUARTERS, quarter + HALF])
    two = torch.tensor([[root], [root], [0.0]])
    close(losses.top1(two), [(HALF + THREE_QUARTERS + 1 / (1 + math.exp(root)) + HALF) / 2])


def test_top1_max_by_hand():
    # The softmax of (0, ln 3) is (1/4, 3/4).
    ln3 = math.log(3)
    scores = torch.tensor([[ln3, ln3], [0.0, 0.0], [ln3, LEFT_OUT]])
    squared = 1 / (1 + math.exp(-(ln3**2)))
    first = 0.25 * (1 - THREE_QUARTERS + HALF) + 0.75 * (HALF + squared)
    close(losses.top1_max(scores), [first, 1 - THREE_QUARTERS + HALF])


def test_bpr_max_by_hand():
    # Σ s_j σ(r_i - r_j) = 1/4 · 3/4 + 3/4 · 1/2 = 9/16
    ln3 = math.log(3)
    scores = torch.tensor([[ln3, ln3], [0.0, 0.0], [ln3, LEFT_OUT]])
    ranking = [math.log(16 / 9), math.log(4 / 3)]
    close(losses.bpr_max(scores, regularisation=0.0), ranking)
    close(losses.bpr_max(scores, regularisation=2.0), [ranking[0] + 2 * 0.75 * ln3**2, ranking[1]])
    assert torch.equal(losses.bpr_max(scores), losses.bpr_max(scores, losses.SCORE_REGULARISATION))


def as_published(name, scores):
    """The formulas as they are printed, with no care for large numbers."""
    target, others = scores[0], scores[1:]
    shares = others.exp() / others.exp().sum(0)
    rank, square = torch.sigmoid(others - target), torch.sigmoid(others**2)
    if name == "top1":
        return (rank + square).mean(0)
    if name == "top1-max":
        return (shares * (rank + square)).sum(0)
    ranking = -torch.log((shares * torch.sigmoid(target - others)).sum(0))
    return ranking + losses.SCORE_REGULARISATION * (shares * others**2).sum(0)


@pytest.mark.parametrize("name", MANY)
def test_losses_of_many_items_agree_with_the_printed_formulas(name):
    scores = torch.randn(7, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3
    ours, theirs = (scores.clone().requires_grad_() for _ in range(2))
    found, expected = losses.SAMPLED_LOSSES[name](ours), as_published(name, theirs)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(loss.sum(), x)[0] for loss, x in
                                 ((found, ours), (expected, theirs))))  # fmt: skip


@pytest.mark.parametrize("name", MANY)
def test_an_item_left_out_changes_nothing_and_learns_nothing(name):
    loss = losses.SAMPLED_LOSSES[name]
    kept = torch.tensor([[0.3, -1.0], [2.0, 0.5], [-0.7, 0.1]])
    scores = torch.cat([kept[:2], torch.full((1, 2), LEFT_OUT), kept[2:]]).requires_grad_()
    torch.testing.assert_close(loss(scores), loss(kept))
    loss(scores).sum().backward()
    assert scores.grad[2].tolist() == [0.0, 0.0]
    assert (scores.grad[[0, 1, 3]] != 0).all()


@pytest.mark.parametrize("name", MANY)
def test_nothing_is_learned_where_every_item_is_left_out(name):
    scores = torch.tensor([[0.3, -1.0], [LEFT_OUT, LEFT_OUT]], requires_grad=True)
    loss = losses.SAMPLED_LOSSES[name](scores)
    loss.sum().backward()
    assert loss.tolist() == [0.0, 0.0]
    assert scores.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize("name", MANY)
def test_large_scores_of_many_items_stay_finite_and_so_do_gradients(name):
    column = torch.tensor([1e15, -1e15, 1e4, 0.0, -1e4])
    scores = torch.stack([column, column.flip(0), column.roll(1), column.roll(2)]).requires_grad_()
    loss = losses.SAMPLED_LOSSES[name](scores)
    assert torch.isfinite(loss).all()
    loss.sum().backward()
    assert torch.isfinite(scores.grad).all()


def test_bpr_max_still_teaches_a_target_that_is_far_behind():
    """-ln of a product that underflows would be infinite, and its gradient lost."""
    scores = torch.tensor([[-300.0], [0.0], [1.0]], requires_grad=True)
    loss = losses.bpr_max(scores, regularisation=0.0)
    loss.sum().backward()
    assert 300 < loss.item() < 302
    assert scores.grad[0].item() == pytest.approx(-1, abs=1e-4)


@pytest.mark.parametrize("name", losses.SAMPLED_LOSSES)
def test_every_loss_falls_as_the_target_rises(name):
    target = torch.linspace(-20, 20, 81)
    others = torch.tensor([0.5, -0.25])[:, None].expand(2, 81)
    loss = losses.SAMPLED_LOSSES[name](torch.cat([target[None], others]))
    assert (loss.diff() <= 0).all()
    assert loss[0] > loss[-1] + 0.9
