"""Losses: values worked by hand, and scores that would overflow a careless form."""

import math

import pytest
import torch

from recaudit.attacks.stealing.lists import stealing_loss
from recaudit.models import losses
from recaudit.models.factorization import BPR, LMF
from recaudit.models.ncf import NCF

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
