"""The helpers by which tests compare what is promised within rounding alone: what they let through or not."""

import numpy as np
import pytest
import torch

from recaudit.models.protocol import TopK
from recaudit.testing.alike import same_lists, same_scores


def lists(items, scores):
    return TopK(items=np.array([items]), scores=np.array([scores], dtype=np.float32))


def test_scores_agree_within_rounding_of_the_largest():
    one = torch.tensor([100.0, 1.0, -torch.inf])
    same_scores(one, one + 1e-4)
    with pytest.raises(AssertionError):
        same_scores(one, one + 1e-2)
    with pytest.raises(AssertionError):
        same_scores(torch.tensor([0.5]), torch.tensor([0.5001]))
    same_scores(torch.tensor([-torch.inf]), torch.tensor([-torch.inf]))


LIST = lists([4, 2, 7], [3.0, 2.0, 1.0])


@pytest.mark.parametrize(
    "other",
    [
        lists([4, 2, 7], [3.0, 2.000001, 1.0]),
        lists([4, 2, 9], [3.0, 2.0, 1.000001]),  # 7 and 9 are a near-tie at the list's end
    ],
)
def test_near_ties_agree(other):
    same_lists(LIST, other)
    same_lists(other, LIST)


def test_near_ties_may_change_places():
    same_lists(lists([4, 2, 7], [3.0, 2.000001, 2.0]), lists([4, 7, 2], [3.0, 2.0, 2.0]))


@pytest.mark.parametrize(
    "other",
    [
        lists([2, 4, 7], [3.0, 2.0, 1.0]),  # not a tie
        lists([4, 9, 7], [3.0, 2.0, 1.0]),  # 2 is missing and was no near-tie of the last
        lists([4, 2, 7], [3.0, 2.0, 0.9]),
        lists([4, 2, -1], [3.0, 2.0, -np.inf]),
    ],
)
def test_other_lists_do_not(other):
    for pair in ((LIST, other), (other, LIST)):
        with pytest.raises(AssertionError):
            same_lists(*pair)
