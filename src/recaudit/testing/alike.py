"""Whether scores or lists agree where bits are not promised (docs/guarantees.md).

Another processor, another version of a library, another batch or other users beside those asked about may
round the last bits otherwise. Two items whose scores lie within that rounding may then change places.
"""

import numpy as np
import torch

from recaudit.models.protocol import TopK

ROUNDING = 1e-5
"""Of a score, or of the table's largest where that exceeds one: some eighty times float32's resolution."""


def same_scores(one: torch.Tensor, other: torch.Tensor) -> None:
    """Assert that two tables of scores, or of states, agree within rounding."""
    finite = one[one.isfinite()].abs()
    scale = max(1.0, float(finite.max())) if len(finite) else 1.0  # sums of large terms may cancel
    torch.testing.assert_close(one, other, rtol=ROUNDING, atol=ROUNDING * scale)


def same_lists(one: TopK, other: TopK) -> None:
    """Assert that lists agree: place by place in their scores, and in their items but for near-ties.

    An item that stands elsewhere must have the score there that it has here. One that is missing must have
    the score of the last place.
    """
    assert one.scores is not None
    assert other.scores is not None
    same_scores(torch.from_numpy(one.scores), torch.from_numpy(other.scores))
    np.testing.assert_array_equal(one.items < 0, other.items < 0)
    for left, right in ((one, other), (other, one)):
        assert left.scores is not None
        assert right.scores is not None
        for row, place in np.argwhere(left.items != right.items):
            found = np.flatnonzero(right.items[row] == left.items[row, place])
            there = right.scores[row, found[0] if len(found) else -1]
            same_scores(torch.tensor(left.scores[row, place]), torch.tensor(there))
