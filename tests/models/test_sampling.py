"""What an epoch trains on: negatives, batches, shuffled passes."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recaudit.data.interactions import Interactions
from recaudit.models import sampling
from recaudit.models.sampling import Membership, ObservedItems, equal_batches, shuffled_passes


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def histories(rows, n_items):
    return Interactions(
        name="planted",
        offsets=np.cumsum([0, *map(len, rows)]).astype(np.int64),
        items=np.concatenate([np.array(row) for row in rows]).astype(np.int32),
        user_ids=pl.Series(range(len(rows))),
        item_ids=pl.Series(range(n_items)),
    )


@given(st.integers(1, 5000), st.integers(1, 600))
def test_equal_batches_cover_everything_in_the_fewest_batches(n, batch_size):
    batches = equal_batches(n, batch_size)
    assert [row for start, end in batches for row in range(start, end)] == list(range(n))
    sizes = [end - start for start, end in batches]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= batch_size
    assert len(batches) == -(-n // batch_size)


@given(st.integers(1, 50), st.integers(0, 300))
def test_shuffled_passes_hold_every_number_equally_often(n, at_least):
    order = shuffled_passes(n, at_least, generator())
    passes = len(order) // n
    assert torch.bincount(order, minlength=n).tolist() == [passes] * n
    assert len(order) >= at_least
    assert passes == 1 or len(order) - n < at_least
    for part in order.split(n):  # each pass is complete
        assert part.sort().values.tolist() == list(range(n))


@st.composite
def memberships(draw):
    n_users, n_items = draw(st.integers(1, 6)), draw(st.integers(1, 30))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    keys = random.permutation(n_users * n_items)[: draw(st.integers(1, n_users * n_items))]
    return keys, n_users, n_items


@given(memberships())
def test_both_ways_of_looking_up_agree_with_a_set(drawn):
    keys, n_users, n_items = drawn
    users = torch.arange(n_users).repeat_interleave(n_items)
    items = torch.arange(n_items).repeat(n_users)
    expected = [key in set(keys.tolist()) for key in (users * n_items + items).tolist()]
    bitmap = Membership(keys=keys, n_users=n_users, n_items=n_items)
    assert bitmap._table is not None
    assert bitmap.taken(users, items).tolist() == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "BITMAP_PAIRS", 0)
        sorted_keys = Membership(keys=keys, n_users=n_users, n_items=n_items)
        assert sorted_keys._table is None
        assert sorted_keys.taken(users, items).tolist() == expected
        drawn = [m.draw_free(users, generator(7)).tolist() for m in (bitmap, sorted_keys)]
    assert drawn[0] == drawn[1]


@given(memberships(), st.integers(0, 2**32 - 1))
def test_a_drawn_item_is_free_wherever_one_is(drawn, seed):
    keys, n_users, n_items = drawn
    membership = Membership(keys=keys, n_users=n_users, n_items=n_items)
    users = torch.arange(n_users).repeat(20)
    items = membership.draw_free(users, generator(seed))
    assert ((items >= 0) & (items < n_items)).all()
    full = torch.from_numpy(np.bincount(keys // n_items, minlength=n_users) == n_items)
    assert not (membership.taken(users, items) & ~full[users]).any()


@pytest.mark.parametrize("n_items", [10, 20_000])
def test_the_few_free_items_of_one_who_has_nearly_all_are_found(n_items):
    free = [1, n_items // 2, n_items - 1]
    keys = np.setdiff1d(np.arange(n_items), free)
    items = Membership(keys=keys, n_users=1, n_items=n_items).draw_free(
        torch.zeros(3000, dtype=torch.int64), generator()
    )
    counts = torch.bincount(items, minlength=n_items)
    assert counts.nonzero().flatten().tolist() == free
    assert counts[free].min() > 850  # 1,000 expected, standard deviation 26


def test_free_items_are_drawn_uniformly():
    n_items, taken = 40, np.arange(0, 40, 2)
    items = Membership(keys=taken, n_users=1, n_items=n_items).draw_free(
        torch.zeros(40_000, dtype=torch.int64), generator()
    )
    counts = torch.bincount(items, minlength=n_items)[1::2]
    assert counts.sum() == 40_000
    assert counts.min() > 1750  # 2,000 expected, standard deviation 44
    assert counts.max() < 2250


def test_one_who_has_everything_gets_something():
    membership = Membership(keys=np.arange(7), n_users=2, n_items=7)
    items = membership.draw_free(torch.tensor([0, 1, 0]), generator())
    assert ((items >= 0) & (items < 7)).all()


@pytest.mark.parametrize("negatives", [1, 3])
@pytest.mark.parametrize(("examples", "passes"), [(1, 1), (7, 1), (8, 2), (50, 8)])
def test_observed_items_cover_each_interaction_once_a_pass(negatives, examples, passes):
    data = histories([[4, 0, 2], [1], [9, 3, 5]], 12)
    users, items = ObservedItems(train=data, negatives=negatives, examples=examples).epoch(generator())
    assert items.shape == (1 + negatives, 7 * passes)
    pairs = sorted(zip(users.tolist(), items[0].tolist(), strict=True))
    assert pairs == sorted(list(zip(data.users.tolist(), data.items.tolist(), strict=True)) * passes)
    held = {(user, item) for user in range(3) for item in data.history(user).tolist()}
    for row in items[1:]:
        assert not held & set(zip(users.tolist(), row.tolist(), strict=True))


def test_epochs_differ_and_a_seed_repeats_them():
    examples = ObservedItems(train=histories([list(range(30)), list(range(20, 40))], 60))
    stream = generator(1)
    first, second = examples.epoch(stream), examples.epoch(stream)
    assert not torch.equal(first[1], second[1])
    again = examples.epoch(generator(1))
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
