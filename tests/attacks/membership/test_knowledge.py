"""What a membership attacker may see: parts that do not fit together are refused."""

import numpy as np
import polars as pl
import pytest

from recaudit.attacks.membership.knowledge import ItemSpace, Listed, MembershipKnowledge
from recaudit.data.interactions import Interactions

N_ITEMS = 6


def histories(n_users, n_items=N_ITEMS):
    return Interactions(
        name="test",
        offsets=np.arange(n_users + 1),
        items=np.zeros(n_users, dtype=np.int32),
        user_ids=pl.Series(np.arange(n_users)),
        item_ids=pl.Series(np.arange(n_items)),
    )


def listed(n_models, n_users, n_items=N_ITEMS):
    return Listed(
        histories=histories(n_users, n_items),
        lists=np.zeros((n_models, n_users, 3), dtype=np.int64),
        inside=np.zeros((n_models, n_users), dtype=bool),
    )


def space(n_items=N_ITEMS):
    return ItemSpace(
        vectors=np.ones((n_items, 2), dtype=np.float32), popularity=np.ones(n_items, dtype=np.int64)
    )


def knowledge(**parts):
    whole = {"space": space(), "candidates": histories(4), "shadow": listed(1, 5)} | parts
    return MembershipKnowledge(**whole)


def test_what_fits_together_is_taken():
    whole = knowledge(auditor=listed(2, 4), own=listed(3, 9), own_lists=np.zeros((3, 4, 3), dtype=np.int64))
    assert (whole.space.n_items, whole.own.n_models) == (N_ITEMS, 3)
    assert knowledge().auditor is None


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (lambda: {"shadow": listed(2, 5)}, "shadow holds 2 models"),
        (lambda: {"space": space(5)}, "for vectors of 5"),
        (lambda: {"auditor": listed(2, 4, n_items=7)}, r"\[6, 6, 7\]"),
        (lambda: {"auditor": listed(2, 5)}, "of 5 users, not of the 4 candidates"),
        (lambda: {"own": listed(2, 5)}, "go together"),
        (lambda: {"own_lists": np.zeros((2, 4, 3), dtype=np.int64)}, "go together"),
        (
            lambda: {"own": listed(2, 5), "own_lists": np.zeros((2, 5, 3), dtype=np.int64)},
            "2 models and 4 candidates",
        ),
        (
            lambda: {"own": listed(2, 5), "own_lists": np.full((2, 4, 3), N_ITEMS)},
            r"0\.\.5",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        knowledge(**parts())


def test_lists_of_other_users_or_items_are_refused():
    whole = listed(2, 4)
    with pytest.raises(ValueError, match="for 3 users"):
        Listed(histories=histories(3), lists=whole.lists, inside=whole.inside)
    with pytest.raises(ValueError, match=r"0\.\.5, or be -1"):
        Listed(histories=whole.histories, lists=np.full((2, 4, 3), -2), inside=whole.inside)


def test_items_without_number_are_refused():
    good = space()
    with pytest.raises(ValueError, match="not all finite"):
        ItemSpace(vectors=np.full((6, 2), np.nan, dtype=np.float32), popularity=good.popularity)
    with pytest.raises(ValueError, match="below 0"):
        ItemSpace(vectors=good.vectors, popularity=good.popularity - 2)
