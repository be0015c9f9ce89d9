"""What judges a training is kept out of it, what is read of a history, and whose dropout is drawn."""

import math

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from recaudit.data.interactions import Interactions
from recaudit.errors import UsageError
from recaudit.models import sequential
from recaudit.models.networks import Dropout
from recaudit.models.sequences import BUCKET
from recaudit.models.sequential import last_items
from recaudit.models.training import Optimisation, Stopping, train
from recaudit.models.zoo.gru4rec import GRU4Rec
from recaudit.models.zoo.sasrec import SASRec
from recaudit.models.zoo.stamp import STAMP
from recaudit.pipeline.run import Run

N_ITEMS = 70


def histories(lists, n_items=N_ITEMS, name="planted"):
    return Interactions(
        name=name,
        offsets=np.cumsum([0, *map(len, lists)]).astype(np.int64),
        items=np.concatenate(lists).astype(np.int32),
        user_ids=pl.Series(np.arange(len(lists)) + 100),
        item_ids=pl.Series(np.arange(n_items)),
    )


def drawn(lengths, seed=0, n_items=N_ITEMS):
    stream = np.random.default_rng(seed)
    return [stream.permutation(n_items)[:length].tolist() for length in lengths]


def small(kind=SASRec, **options):
    settings = {
        "embedding_size": 8,
        "max_length": 6,
        "shared_negatives": 16,
        "stopping": Stopping(epochs=2, evaluate_every=1, patience=2),
        "optimisation": Optimisation(learning_rate=0.01, batch_size=32),
    }
    return kind(**{**settings, **options})


def with_weights(network):
    """Set weights so large that every input shows in the scores."""
    stream = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream) * 0.5)
    return network.eval()


def bits(fitted):
    return {name: tensor.numpy().tobytes() for name, tensor in fitted.tensors().items()}


def judged(data):
    """The training part, the prefixes and the items that come next, as lists of Python."""
    known, prefixes, following = last_items(data)
    read = [] if prefixes is None else [prefixes.history(n).tolist() for n in range(prefixes.n_users)]
    return [known.history(n).tolist() for n in range(known.n_users)], read, following.tolist()


def check_cut(data, counts):
    """What is cut off is exactly what is judged, each item after all that came before it."""
    whole = [data.history(user).tolist() for user in range(data.n_users)]
    known, read, following = judged(data)
    assert known == [items[: len(items) - n] for items, n in zip(whole, counts, strict=True)]
    expected = [
        (items[:place], items[place])
        for items, n in zip(whole, counts, strict=True)
        for place in range(len(items) - n, len(items))
    ]
    assert list(zip(read, following, strict=True)) == expected


def test_many_users_are_judged_by_one_item_each():
    data = histories(drawn([2, 3, 1, 40, 65, 4] * 250))
    check_cut(data, [0, 1, 0, 1, 1, 1] * 250)
    known, _, _ = last_items(data)
    assert known.user_ids.to_list() == data.user_ids.to_list()


def test_few_users_are_judged_by_a_tenth_of_their_histories():
    check_cut(histories(drawn([2, 3, 1, 9, 19, 20, 49, 50, 70])), [0, 1, 0, 1, 1, 2, 4, 5, 7])


@pytest.mark.parametrize(
    ("wanted", "counts"), [(3, [0, 1, 1, 1]), (4, [0, 1, 2, 2]), (9, [0, 1, 2, 3]), (99, [0, 1, 2, 6])]
)
def test_no_more_is_cut_off_than_is_wanted(wanted, counts, monkeypatch):
    """Three users: wanted / 3, rounded up, of each at most."""
    monkeypatch.setattr(sequential, "VALIDATION_PREDICTIONS", wanted)
    check_cut(histories(drawn([2, 12, 29, 60])), counts)


def test_histories_of_one_and_two_items_are_kept_whole():
    data = histories(drawn([1, 2, 2, 1]))
    known, prefixes, following = last_items(data)
    assert known is data
    assert prefixes is None
    assert len(following) == 0


def test_a_named_stream_picks_users_where_there_are_too_many(monkeypatch):
    monkeypatch.setattr(sequential, "VALIDATION_USERS", 5)
    monkeypatch.setattr(sequential, "VALIDATION_PREDICTIONS", 5)
    asked, original = [], sequential.numpy_generator

    def told(*path):
        asked.append(path)
        return original(*path)

    monkeypatch.setattr(sequential, "numpy_generator", told)
    data, other = (histories(drawn([2, 30] * 12, seed)) for seed in (0, 1))
    picked = []
    for one in (data, data, other):
        known, _, _ = last_items(one)
        counts = one.lengths - known.lengths
        check_cut(one, counts.tolist())
        assert set(counts[1::2].tolist()) == {0, 1}
        assert counts.sum() == 5
        picked.append(np.flatnonzero(counts).tolist())
    assert picked[0] == picked[1] != picked[2]
    assert set(asked) == {(0, "validation users", one.fingerprint) for one in (data, other)}


def captured(monkeypatch, judge=True):
    """Let fits call a training that keeps the last state; return what they train with."""
    calls = []

    def told(network, objective, validate, **options):
        calls.append((objective, validate))
        return train(network, objective, validate if judge else None, **options)

    monkeypatch.setattr(sequential, "train", told)
    return calls


@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        (SASRec, "cross-entropy"),
        (SASRec, "logistic"),
        (SASRec, "bpr-max"),
        (GRU4Rec, "top1"),
        (STAMP, "cross-entropy"),
    ],
)
def test_what_judges_a_training_does_not_train(kind, loss, monkeypatch):
    """Without a look at the score, the last state is kept: no other item there changes a bit of it."""
    captured(monkeypatch, judge=False)
    lists = drawn([2, 3, 12, 25, 40, 7], n_items=N_ITEMS - 10)
    counts, spec = [0, 1, 1, 2, 4, 1], small(kind, loss=loss)
    new = range(N_ITEMS - 10, N_ITEMS)
    others = [
        items[: len(items) - n] + list(new)[user : user + n]
        for user, (items, n) in enumerate(zip(lists, counts, strict=True))
    ]
    fitted = bits(spec.fit(histories(lists), Run(seed=0)))
    assert bits(spec.fit(histories(others), Run(seed=0))) == fitted
    lists[3][-3] = N_ITEMS - 1  # the last item that is not judged
    assert bits(spec.fit(histories(lists), Run(seed=0))) != fitted


def test_the_training_knows_the_shortened_histories_alone(monkeypatch):
    calls, data = captured(monkeypatch), histories(drawn([2, 3, 12, 25, 40, 7]))
    fitted = small().fit(data, Run(seed=0))
    ((objective, _),) = calls
    assert objective.histories.fingerprint == last_items(data)[0].fingerprint
    assert fitted.histories is data  # who is asked for has the whole history


def test_the_score_is_the_ndcg_of_the_next_items_worked_out_one_at_a_time(monkeypatch):
    calls = captured(monkeypatch)
    lists = drawn([2, 3, 12, 25, 40, 7])
    spec = small(stopping=Stopping(epochs=1))
    fitted = spec.fit(histories(lists), Run(seed=0))
    with_weights(fitted.network)
    fitted.network.requires_grad_(False)
    ((_, validate),) = calls
    k, gains = N_ITEMS // 8, []
    for items, n in zip(lists, [0, 1, 1, 2, 4, 1], strict=True):
        for place in range(len(items) - n, len(items)):
            read = torch.tensor([items[:place][-6:]])
            scores = fitted.network.all_scores(fitted.network.states(read)[:, -1])[0]
            rank = sum(
                scores[item] > scores[items[place]] for item in range(N_ITEMS) if item not in items[:place]
            )
            gains.append(1 / math.log2(rank + 2) if rank < k else 0.0)
    assert 0 < sum(map(bool, gains)) < len(gains)
    assert validate() == pytest.approx(np.mean(gains))


@pytest.mark.parametrize("lengths", [[2, 1, 2], [1, 1]])
def test_histories_that_are_too_short_are_refused_in_one_line(lengths):
    data = histories(drawn(lengths), name="tiny")
    with pytest.raises(UsageError) as error:
        small().fit(data, Run(seed=0))
    assert str(error.value) == (
        f"training sasrec: no history of tiny has three items or more (the longest has {max(lengths)}): two "
        "to learn from and one to be judged by; take longer histories"
    )


def test_one_history_of_three_items_is_enough():
    log = small().fit(histories([[1], [4, 2, 3]]), Run(seed=0)).log
    assert log.epochs >= 1


def asked(spec, lists):
    made = with_weights(spec.network(1, N_ITEMS, torch.Generator().manual_seed(0)))
    return spec.recommender(made, histories(lists))


@pytest.mark.parametrize("at_a_time", [3, 64])
@pytest.mark.parametrize("max_length", [1, 6, BUCKET, 2 * BUCKET + 1])
@torch.no_grad()
def test_scores_are_those_after_the_last_items_alone(max_length, at_a_time, monkeypatch):
    monkeypatch.setattr(sequential, "READ_AT_A_TIME", at_a_time)
    lists = drawn([1, 2, 5, 6, 7, BUCKET - 1, BUCKET, BUCKET + 1, 31, 32, 33, 34, 60])
    recommender = asked(small(max_length=max_length), lists)
    users = np.random.default_rng(0).integers(len(lists), size=40)
    network = recommender.network
    for user, scores in zip(users, recommender.score(users), strict=True):
        state = network.states(torch.tensor([lists[user][-max_length:]]))[:, -1]
        torch.testing.assert_close(scores, network.all_scores(state)[0], rtol=1e-4, atol=1e-4)


def test_a_model_that_was_shown_nothing_is_refused():
    spec = small()
    fitted = asked(spec, drawn([4, 9]))
    restored = spec.restore(fitted.tensors(), n_users=2, n_items=N_ITEMS)
    assert restored.n_users == 0
    with pytest.raises(UsageError, match="was asked for users whose histories it has not seen"):
        restored.score(np.arange(2))
    shown = restored.shown(fitted.histories)
    assert shown.n_users == 2
    assert torch.equal(shown.score(np.arange(2)), fitted.score(np.arange(2)))
    assert restored.histories is None


@pytest.mark.parametrize("n_items", [N_ITEMS - 1, N_ITEMS + 1])
def test_histories_over_another_catalogue_are_refused(n_items):
    recommender = asked(small(), drawn([4, 9]))
    with pytest.raises(UsageError, match=f"over {n_items} items cannot be read by a model of {N_ITEMS}"):
        recommender.shown(histories([[1, 2]], n_items))


def test_strangers_are_served_without_training():
    spec, strangers = small(), histories(drawn([4, 9], seed=5))
    fitted = asked(spec, drawn([12, 3, 7]))
    folded = spec.fold_in(fitted, strangers, Run(seed=0), n_interactions=99)
    assert folded.network is fitted.network
    assert folded.histories is strangers
    assert (fitted.n_users, folded.n_users) == (3, 2)


class Halves(nn.Module):
    """Two dropouts over weights: nothing but them is random in what it trains to."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(40))
        self.dropouts = nn.ModuleList([Dropout(0.5), Dropout(0.5)])

    def batches(self, generator, batch_size, device):
        return [()] * 3

    def differentiate(self):
        left = [dropout(self.weight) for dropout in self.dropouts]
        (left[0] * left[1] * torch.arange(1, 41)).mean().backward()


def trained(seed, network=None):
    network = Halves() if network is None else network
    train(
        network, network, None, optimisation=Optimisation(), stopping=Stopping(epochs=2), run=Run(seed=seed),
        stage="halves",
    )  # fmt: skip
    return network.weight.detach().clone()


def seed_alone_decides_dropout():
    used = Halves()
    first = trained(0, used)
    with torch.no_grad():
        used.weight.fill_(1.0)
    used.train()
    assert torch.equal(trained(0, used), first)  # the second training in the same modules
    assert torch.equal(trained(0), first)
    assert not torch.equal(trained(1), first)


def test_a_training_draws_dropout_by_its_seed_alone():
    state = torch.random.get_rng_state()
    seed_alone_decides_dropout()
    assert torch.equal(torch.random.get_rng_state(), state)


def test_without_named_streams_dropout_would_go_on_where_it_was(monkeypatch):
    """The test above can fail."""
    monkeypatch.setattr(Dropout, "draw_from", staticmethod(lambda source, network: None))
    with pytest.raises(AssertionError):
        seed_alone_decides_dropout()


def test_two_fits_of_a_seed_leave_the_same_entries_out():
    data, spec = histories(drawn([2, 3, 12, 25, 40, 7])), small(dropout=0.5)
    first = bits(spec.fit(data, Run(seed=0)))
    assert bits(spec.fit(data, Run(seed=0))) == first
    assert bits(small(dropout=0.0).fit(data, Run(seed=0))) != first
