"""How histories are batched: every next item once a pass, prefixes like the network on each of them alone."""

from collections import Counter
from itertools import chain

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from profiles import examples
from recaudit.data.interactions import Interactions
from recaudit.models.losses import SAMPLED_LOSSES, SHARED_LOSSES
from recaudit.models.sequences import BUCKET, NextItems, Prefixes, PrefixScores, padded
from recaudit.models.zoo.sasrec import SASRec

STRANGERS = 5
"""Items that nobody has: someone with every other item can still be given a negative."""


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def histories(lists, n_items):
    return Interactions(
        name="planted",
        offsets=np.cumsum([0, *map(len, lists)]).astype(np.int64),
        items=np.concatenate(lists).astype(np.int32),
        user_ids=pl.Series(np.arange(len(lists))),
        item_ids=pl.Series(np.arange(n_items)),
    )


def told_apart(lengths, seed=0):
    """Histories no two of whose items are the same, so that an item tells which interaction it is of."""
    items = np.random.default_rng(seed).permutation(sum(lengths))
    return histories(np.split(items, np.cumsum(lengths)[:-1]), sum(lengths) + STRANGERS)


def network(n_items, max_length, seed=0):
    """An untrained network in evaluation mode, of weights so large that every input shows in its states."""
    spec = SASRec(embedding_size=4, max_length=max_length, blocks=1)
    made = spec.network(1, n_items, generator())
    stream = generator(seed + 1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream))
    return made.eval()


def next_items(data, max_length, **options):
    made = network(data.n_items, max_length) if options.pop("with_network", False) else network(1, 1)
    options = {"loss_name": "cross-entropy", **options}
    return NextItems(network=made, histories=data, max_length=max_length, **options)


def read_and_targets(batch):
    """What is read before each target of a batch, item by item, and the target."""
    items, places, targets, *_ = batch
    width = items.shape[1]
    for place, target in zip(places.tolist(), targets[0].tolist(), strict=True):
        yield tuple(items[place // width, : place % width + 1].tolist()), target


def wanted(data, max_length):
    """What is read before each target: pieces of ``max_length`` targets, counted from a history's end."""
    found = []
    for user in range(data.n_users):
        items = data.history(user).tolist()
        for target in range(1, len(items)):
            after = len(items) - 1 - target
            last_target = len(items) - 1 - after // max_length * max_length
            begin = max(0, last_target - max_length)
            found.append((tuple(items[begin:target]), items[target]))
    return found


some_lengths = st.lists(st.integers(1, 23), min_size=1, max_size=7)
max_lengths = st.sampled_from([1, 2, 5, BUCKET, 30])


@pytest.mark.parametrize(
    ("max_length", "expected"),
    [
        (1, [((3,), 1), ((1,), 4), ((4,), 0), ((0,), 5)]),
        (2, [((3,), 1), ((3, 1), 4), ((4,), 0), ((4, 0), 5)]),
        (3, [((3,), 1), ((1,), 4), ((1, 4), 0), ((1, 4, 0), 5)]),
        (4, [((3,), 1), ((3, 1), 4), ((3, 1, 4), 0), ((3, 1, 4, 0), 5)]),
        (9, [((3,), 1), ((3, 1), 4), ((3, 1, 4), 0), ((3, 1, 4, 0), 5)]),
    ],
)
def test_a_history_worked_by_hand(max_length, expected):
    data = histories([[3, 1, 4, 0, 5], [2]], 6)
    assert sorted(wanted(data, max_length)) == sorted(expected)
    objective = next_items(data, max_length)
    assert objective.n_targets == 4
    drawn = [pair for batch in objective.batches(generator(), 100, "cpu") for pair in read_and_targets(batch)]
    assert sorted(drawn) == sorted(expected)


@settings(max_examples=examples(20))
@given(some_lengths, max_lengths, st.integers(1, 60), st.integers(1, 200), st.integers(0, 10**6))
def test_every_next_item_is_a_target_once_a_pass(lengths, max_length, batch_size, examples, seed):
    assume(max(lengths) > 1)
    data = told_apart(lengths, seed)
    objective = next_items(data, max_length, examples=examples)
    drawn, sizes = Counter(), []
    for batch in objective.batches(generator(seed), batch_size, "cpu"):
        items, places, targets = batch
        assert items.shape[1] <= max_length
        assert len(set(places.tolist())) == len(places) == targets.shape[1]
        assert targets.shape[0] == 1
        drawn.update(read_and_targets(batch))
        sizes.append(len(places))
    n_targets = sum(lengths) - len(lengths)
    assert objective.n_targets == n_targets
    passes = -(-examples // n_targets)
    assert drawn == Counter(dict.fromkeys(wanted(data, max_length), passes))
    # Batches are equal to within a sequence, which is never torn.
    n_batches = -(-passes * n_targets // batch_size)
    assert len(sizes) <= n_batches
    longest = min(max_length, max(lengths) - 1)
    assert max(sizes) <= passes * n_targets / n_batches + longest
    if len(sizes) == n_batches:
        assert min(sizes) >= passes * n_targets / n_batches - longest


def test_many_sequences_make_batches_of_about_a_batchs_targets():
    data = told_apart(np.random.default_rng(0).integers(1, 24, 200).tolist())
    objective = next_items(data, 5, examples=3 * 2000)
    sizes = [len(batch[1]) for batch in objective.batches(generator(), 128, "cpu")]
    assert len(sizes) == -(-sum(sizes) // 128)
    assert max(sizes) - min(sizes) <= 10
    assert abs(np.mean(sizes) - 128) < 3


def test_sequences_of_like_length_share_a_batch():
    """Of two lengths, no more than the one batch where they meet is padded."""
    batches = list(next_items(told_apart([4, 41] * 50), 60).batches(generator(), 80, "cpu"))
    assert {items.shape[1] for items, *_ in batches} == {3, 40}
    assert sum(len(places) < items.numel() for items, places, _ in batches) <= 1


def test_another_epoch_has_another_order_and_a_seed_repeats_it():
    data = told_apart([7, 12, 3, 19, 2, 8])
    objective = next_items(data, 5, loss_name="bpr", negatives=2)

    def epoch(stream):
        return [[part.tolist() for part in batch] for batch in objective.batches(stream, 8, "cpu")]

    stream = generator(1)
    first, second = epoch(stream), epoch(stream)
    assert len(first) > 3
    assert epoch(generator(1)) == first
    assert sorted(first) != sorted(second)
    targets = [[batch[2][0] for batch in one] for one in (first, second, epoch(generator(2)))]
    assert targets[0] != targets[1]
    assert targets[0] != targets[2]
    assert sorted(chain(*targets[0])) == sorted(chain(*targets[1]))


def test_batches_come_in_random_order_whatever_their_length():
    objective = next_items(told_apart([3, 30] * 20), 40)
    orders = {
        tuple(batch[0].shape[1] for batch in objective.batches(generator(seed), 10, "cpu"))
        for seed in range(6)
    }
    assert len(orders) > 2


@settings(max_examples=examples(20))
@given(some_lengths, max_lengths, st.sampled_from(["logistic", "bpr"]), st.integers(1, 3), st.integers(0, 99))
def test_negatives_are_never_of_the_history(lengths, max_length, loss, negatives, seed):
    assume(max(lengths) > 1)
    data = told_apart(lengths, seed)
    owner = np.full(data.n_items, -1)
    owner[data.items] = data.users
    objective = next_items(data, max_length, loss_name=loss, negatives=negatives, examples=300)
    drawn = [batch[2] for batch in objective.batches(generator(seed), 50, "cpu")]
    rows = torch.cat(drawn, dim=1).numpy()
    assert len(rows) == 1 + negatives
    assert (owner[rows[1:]] != owner[rows[0]]).all()
    assert (owner[rows[1:]] == -1).any()  # they are of the whole catalogue


@pytest.mark.parametrize("loss", sorted(SHARED_LOSSES))
def test_a_batchs_targets_share_their_negatives(loss):
    data = told_apart([7, 12, 3, 19])
    objective = next_items(data, 5, loss_name=loss, shared_negatives=300)
    batches = list(objective.batches(generator(), 10, "cpu"))
    assert [len(batch) for batch in batches] == [4] * len(batches)
    assert {tuple(batch[2].shape) for batch in batches} == {(1, len(batch[1])) for batch in batches}
    shared = [batch[3] for batch in batches]
    assert {tuple(one.shape) for one in shared} == {(300,)}
    assert not torch.equal(shared[0], shared[1])
    assert set(torch.cat(shared).tolist()) == set(range(data.n_items))


def alone(made, items):
    """The state after the last of some items, read by themselves."""
    return made.states(torch.tensor([[int(item) for item in items]]))[0, -1]


@pytest.mark.parametrize("loss", ["cross-entropy", *SAMPLED_LOSSES])
@pytest.mark.parametrize("max_length", [3, 20])
@torch.no_grad()
def test_the_loss_is_the_mean_over_targets_read_one_at_a_time(loss, max_length):
    data = told_apart([7, 12, 3, 19, 1, 2])
    objective = next_items(
        data, max_length, loss_name=loss, negatives=2, shared_negatives=9, with_network=True
    )
    catalogue, met = objective.network.item_vectors()["shared"].table, 0
    for batch in objective.batches(generator(), 11, "cpu"):
        losses = []
        for number, (read, target) in enumerate(read_and_targets(batch)):
            scores = catalogue @ alone(objective.network, read)
            if loss == "cross-entropy":
                losses.append(torch.logsumexp(scores, 0) - scores[target])
                continue
            others = batch[2][1:, number] if loss not in SHARED_LOSSES else batch[3][batch[3] != target]
            met += loss in SHARED_LOSSES and len(others) < 9
            losses.append(SAMPLED_LOSSES[loss](torch.cat([scores[target][None], scores[others]])[:, None])[0])
        torch.testing.assert_close(objective.loss(*batch), torch.stack(losses).mean(), rtol=1e-4, atol=1e-4)
    assert met or loss not in SHARED_LOSSES  # a target was among the items drawn for all


def test_sequences_are_padded_at_the_end():
    data = histories([[3, 1, 4, 0, 5], [2]], 6)
    found = padded(data, np.array([3, 5, 6, 2]), np.array([3, 1, 1, 2]))
    assert found.tolist() == [[3, 1, 4], [5, 0, 0], [2, 0, 0], [3, 1, 0]]
    assert found.dtype == torch.int64


class Drawn:
    """Examples that are the same in each epoch, numbered, some passes over them."""

    def __init__(self, users, items, passes=1):
        self.users, self.items, self.passes = torch.tensor(users), torch.tensor(items), passes

    def epoch(self, generator):
        order = torch.cat([torch.randperm(len(self.users), generator=generator) for _ in range(self.passes)])
        return self.users[order], self.items[:, order], order


def told_scores(prefixes, users, items, *, passes, batch_size, seed=0):
    """The scores (M,) of every example, as often as it comes; and the sequences that were read."""
    made, told = network(prefixes.histories.n_items, prefixes.max_length), {}

    def of_scores(scores, numbers):
        for column, number in zip(scores.T, numbers.tolist(), strict=True):
            told.setdefault(number, []).append(column)
        return scores.mean()

    objective = PrefixScores(
        network=made, prefixes=prefixes, examples=Drawn(users, items, passes), of_scores=of_scores
    )
    read = []
    for batch in objective.batches(generator(seed), batch_size, "cpu"):
        objective.loss(*batch)
        read.append(batch[0])
    return made, told, read


def after_each_prefix_alone(made, prefixes, users, items):
    """The scores of the examples, of the network's states after each prefix read by itself."""
    table, found = made.item_vectors()["shared"].table, []
    for user, chosen in zip(users, np.transpose(items), strict=True):
        history = prefixes.histories.history(int(prefixes.rows[user]))[: prefixes.lengths[user]]
        found.append(table[torch.tensor(chosen)] @ alone(made, history[-prefixes.max_length :]))
    return found


@st.composite
def prefixes_and_examples(draw):
    """Whole histories above the greatest length, any prefixes of the others; examples of some of them."""
    lengths, max_length = draw(some_lengths), draw(max_lengths)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    data = told_apart(lengths, draw(st.integers(0, 99)))
    rows = random.integers(len(lengths), size=draw(st.integers(1, 12)))
    whole = data.lengths[rows]
    cut = np.where(whole > max_length, whole, random.integers(1, whole + 1))
    prefixes = Prefixes(histories=data, rows=rows, lengths=cut, max_length=max_length)
    users = random.integers(len(rows), size=draw(st.integers(1, 20)))
    items = random.integers(data.n_items, size=(draw(st.integers(1, 3)), len(users)))
    return prefixes, users, items


@settings(max_examples=examples(20))
@given(prefixes_and_examples(), st.integers(1, 3), st.integers(1, 25), st.integers(0, 10**6))
@torch.no_grad()
def test_scores_after_prefixes_are_those_of_each_prefix_alone(drawn, passes, batch_size, seed):
    prefixes, users, items = drawn
    made, told, _ = told_scores(prefixes, users, items, passes=passes, batch_size=batch_size, seed=seed)
    assert {number: len(scores) for number, scores in told.items()} == dict.fromkeys(
        range(len(users)), passes
    )
    for number, expected in enumerate(after_each_prefix_alone(made, prefixes, users, items)):
        for found in told[number]:
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_several_prefixes_of_one_history_are_read_at_once():
    data = told_apart([5, 9, 30, 4])
    lengths = [1, 3, 5, 9, 2, 30, 4]
    prefixes = Prefixes(
        histories=data, rows=np.array([0, 0, 0, 1, 1, 2, 3]), lengths=np.array(lengths), max_length=10
    )
    users, items = [2, 0, 0, 6, 1, 4, 5, 3, 5], [[1, 2, 3, 4, 5, 6, 7, 8, 9]]
    made, told, read = told_scores(prefixes, users, items, passes=2, batch_size=100)
    assert len(read) == 1
    assert sorted(map(tuple, read[0].tolist())) == sorted(
        (*data.history(user)[-10:].tolist(), *[0] * (10 - min(10, data.lengths[user]))) for user in range(4)
    )
    for number, expected in enumerate(after_each_prefix_alone(made, prefixes, users, items)):
        assert len(told[number]) == 2
        torch.testing.assert_close(told[number][0], expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_history_is_read_once_for_all_its_examples_but_for_where_a_batch_ends():
    data = told_apart([6] * 30)
    prefixes = Prefixes.all_of(data, 6)
    users = np.arange(180)
    _, _, read = told_scores(prefixes, users, users[None], passes=1, batch_size=20)
    assert len(read) == 9
    assert sum(map(len, read)) <= 30 + 8


@torch.no_grad()
def test_the_loss_is_the_plain_mean_over_examples():
    data = told_apart([5, 9, 30, 4])
    prefixes, users = Prefixes.whole(data, 8), [2, 0, 0, 3, 1]
    items = np.arange(10).reshape(2, 5)
    made = network(data.n_items, 8)

    def pairwise(scores, numbers):
        return (torch.nn.functional.softplus(scores[1] - scores[0]) * (1 + numbers)).mean()

    objective = PrefixScores(
        network=made, prefixes=prefixes, examples=Drawn(users, items), of_scores=pairwise
    )
    (batch,) = objective.batches(generator(), 100, "cpu")
    expected = [
        torch.nn.functional.softplus(after[1] - after[0]) * (1 + number)
        for number, after in enumerate(after_each_prefix_alone(made, prefixes, users, items))
    ]
    torch.testing.assert_close(objective.loss(*batch), torch.stack(expected).mean(), rtol=1e-4, atol=1e-4)


def test_prefix_batches_are_drawn_anew_and_repeated_by_a_seed():
    data = told_apart([5, 9, 30, 4, 7, 2, 17])
    users = np.arange(7).repeat(4)
    objective = PrefixScores(
        network=network(1, 1),
        prefixes=Prefixes.whole(data, 20),
        examples=Drawn(users, np.arange(28)[None]),
        of_scores=torch.mean,
    )

    def epoch(stream):
        return [[part.tolist() for part in batch] for batch in objective.batches(stream, 9, "cpu")]

    stream = generator(3)
    first, second = epoch(stream), epoch(stream)
    assert epoch(generator(3)) == first
    assert [batch[4] for batch in first] != [batch[4] for batch in second]
    assert {len(batch[4]) for batch in first} == {7}


def test_prefixes_of_every_kind():
    data = histories([[3, 1, 4], [2], [0, 5]], 6)
    whole, every = Prefixes.whole(data, 3), Prefixes.all_of(data, 3)
    assert (whole.rows.tolist(), whole.lengths.tolist()) == ([0, 1, 2], [3, 1, 2])
    assert (every.rows.tolist(), every.lengths.tolist()) == ([0, 0, 0, 1, 2, 2], [1, 2, 3, 1, 1, 2])
    assert (whole.max_length, every.max_length) == (3, 3)


@pytest.mark.parametrize("rows_and_lengths", [([0], [3]), ([0], [1]), ([1, 0], [2, 2])])
def test_parts_of_a_history_that_is_truncated_are_refused(rows_and_lengths):
    data = histories([[3, 1, 4, 0], [2, 5]], 6)
    rows, lengths = map(np.array, rows_and_lengths)
    with pytest.raises(ValueError, match="prefixes need histories of at most max_length=3 items"):
        Prefixes(histories=data, rows=rows, lengths=lengths, max_length=3)
    Prefixes(histories=data, rows=rows, lengths=lengths, max_length=4)
    with pytest.raises(ValueError, match="max_length=3"):
        Prefixes.all_of(data, 3)
    assert Prefixes.whole(data, 3).lengths.tolist() == [4, 2]


@pytest.mark.parametrize("length", [0, 3])
def test_a_prefix_that_is_no_part_of_its_history_is_refused(length):
    with pytest.raises(ValueError, match="at least one item, and at most all of its history"):
        Prefixes(
            histories=histories([[3, 1], [2]], 6),
            rows=np.array([0]),
            lengths=np.array([length]),
            max_length=9,
        )
