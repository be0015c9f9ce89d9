"""The training loop, and models that learn a planted answer."""

import itertools

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recaudit.data.interactions import Interactions
from recaudit.data.synthetic import checkerboard
from recaudit.errors import UsageError
from recaudit.models import factorization
from recaudit.models.factorization import BPR, LMF, validation_slice
from recaudit.models.networks import DotProduct, ItemTable, factors
from recaudit.models.ranking import top_k
from recaudit.models.sampling import ObservedItems, equal_batches
from recaudit.models.training import Optimisation, PairScores, Stopping, train
from recaudit.models.zoo.ncf import NCF
from recaudit.pipeline.run import Run
from recaudit.rng import torch_generator

# --- when training stops, and what it keeps ---------------------------------------------------------------


def small_network(data):
    stream = torch.Generator().manual_seed(0)
    users, items = factors(data.n_users, 4, stream), factors(data.n_items, 4, stream)
    return DotProduct(users, ItemTable(items), data.n_items)


def scripted(scores, *, stopping, batch_size=64):
    """Train against validation scores given in advance; return the log, the states, and what was told."""
    data = checkerboard(n_users=10, n_items=10)
    network = small_network(data)
    states, told, left = [], [], list(scores)

    def validate():
        assert not torch.is_grad_enabled()
        assert not network.training
        states.append(network.users.detach().clone())
        return left.pop(0)

    log = train(
        network,
        PairScores(network=network, examples=ObservedItems(train=data), of_scores=BPR().loss),
        validate,
        optimisation=Optimisation(batch_size=batch_size, learning_rate=0.01),
        stopping=stopping,
        run=Run(seed=0, progress=lambda *step: told.append(step)),
        stage="scripted",
    )
    assert not network.training
    return log, states, told, network.users.detach()


def test_the_best_state_is_kept_and_patience_counts_epochs_from_it():
    stopping = Stopping(epochs=50, evaluate_every=2, patience=6)
    log, states, told, kept = scripted([0.1, 0.3, 0.2, 0.5, 0.5, 0.4, 0.1], stopping=stopping)
    # Looks at epochs 0, 2, …, 12; the best at 6 (an equal score later is no better), so 12 is the end.
    assert log.scores == ((0, 0.1), (2, 0.3), (4, 0.2), (6, 0.5), (8, 0.5), (10, 0.4), (12, 0.1))
    assert (log.epochs, log.best_epoch, log.best_score) == (12, 6, 0.5)
    assert torch.equal(kept, states[3])
    assert not torch.equal(states[3], states[4])
    assert told == [("scripted", epoch, 50) for epoch in range(1, 13)]


def test_the_untrained_state_is_a_candidate():
    stopping = Stopping(epochs=50, evaluate_every=1, patience=2)
    log, states, _, kept = scripted([0.9, 0.5, 0.8], stopping=stopping)
    assert (log.epochs, log.best_epoch, log.best_score) == (2, 0, 0.9)
    assert torch.equal(kept, states[0])
    assert not torch.equal(kept, states[1])


def test_the_last_epoch_is_judged_whatever_the_rhythm():
    log, states, told, kept = scripted([0.0, 0.1, 0.2], stopping=Stopping(epochs=7, evaluate_every=5))
    assert log.scores == ((0, 0.0), (5, 0.1), (7, 0.2))
    assert torch.equal(kept, states[2])
    assert len(told) == 7


def test_patience_that_ends_before_the_first_look_is_refused():
    with pytest.raises(ValueError, match=r"patience=4 .* after 5 epochs"):
        Stopping(epochs=10, evaluate_every=5, patience=4)
    assert Stopping(epochs=3, evaluate_every=5, patience=3).epochs == 3


def test_training_that_diverges_is_told():
    spec = BPR(
        embedding_size=4, optimisation=Optimisation(learning_rate=1e25), stopping=Stopping(evaluate_every=1)
    )
    with pytest.raises(UsageError, match="lower the learning rate"):
        spec.fit(checkerboard(), Run(seed=0))


def test_steps_are_those_of_torchs_adam():
    data = checkerboard(n_users=10, n_items=10)
    settings = Optimisation(batch_size=7, learning_rate=0.02, reg=0.1)
    network, plain = small_network(data), small_network(data)
    train(
        network,
        PairScores(network=network, examples=ObservedItems(train=data), of_scores=BPR().loss),
        itertools.count(0.0).__next__,
        optimisation=settings,
        stopping=Stopping(epochs=4, evaluate_every=1),
        run=Run(seed=3),
        stage="ours",
    )
    stream = torch_generator(3, "train", "epochs")
    adam = torch.optim.Adam(plain.parameters(), lr=0.02, weight_decay=0.1)
    for _ in range(4):
        users, items = ObservedItems(train=data).epoch(stream)
        for start, end in equal_batches(len(users), 7):
            adam.zero_grad()
            p, q = plain.users[users[start:end]], plain.items.table[items[:, start:end]]
            BPR().loss((p * q).sum(-1)).backward()
            adam.step()
    torch.testing.assert_close(network.users, plain.users)
    torch.testing.assert_close(network.items.table, plain.items.table)


# --- models that learn ------------------------------------------------------------------------------------

LEARNS = {
    "embedding_size": 8,
    "optimisation": Optimisation(learning_rate=0.03, batch_size=128),
    "stopping": Stopping(epochs=25, evaluate_every=5, patience=25),
}


@pytest.mark.parametrize(
    "spec",
    [
        BPR(**LEARNS),
        LMF(**LEARNS),
        LMF(**LEARNS, biases=True),
        NCF(**LEARNS, hidden=(16, 8)),
        NCF(**LEARNS, variant="gmf"),
        NCF(**LEARNS, variant="neumf", hidden=(16,)),
    ],
    ids=["bpr", "lmf", "lmf-biases", "mlp", "gmf", "neumf"],
)
def test_a_checkerboard_is_learned(spec, monkeypatch):
    monkeypatch.setattr(factorization, "VALIDATION_K", 5)  # 50 would be the whole catalogue
    data = checkerboard(n_users=40, n_items=40)
    fitted = spec.fit(data, Run(seed=0))
    lists = top_k(fitted, np.arange(40), data, 4).items  # each user misses 4 of the own 20 items
    own = lists % 2 == np.arange(40)[:, None] % 2
    assert own.mean() > 0.97
    assert fitted.log.best_score > 0.9 > 0.5 > fitted.log.scores[0][1]


# --- the validation slice ---------------------------------------------------------------------------------


def histories(lengths, n_items=40, seed=0):
    random = np.random.default_rng(seed)
    return Interactions(
        name="planted",
        offsets=np.cumsum([0, *lengths]).astype(np.int64),
        items=np.concatenate([random.permutation(n_items)[:length] for length in lengths]).astype(np.int32),
        user_ids=pl.Series(range(len(lengths))),
        item_ids=pl.Series(range(n_items)),
    )


@given(st.lists(st.integers(1, 12), min_size=1, max_size=40), st.floats(0.01, 0.99), st.integers(0, 99))
def test_the_slice_is_disjoint_from_the_rest_and_leaves_everyone_one(lengths, share, seed):
    data = histories(lengths, seed=seed)
    rest, offsets, items = validation_slice(data, share)
    assert rest.n_users == data.n_users
    assert len(offsets) == data.n_users + 1
    for user in range(data.n_users):
        kept, cut = rest.history(user).tolist(), items[offsets[user] : offsets[user + 1]].tolist()
        assert len(kept) >= 1
        assert not set(kept) & set(cut)
        assert sorted(kept + cut) == sorted(data.history(user).tolist())


def test_the_slice_has_its_share_and_depends_on_the_data_alone():
    data = histories([30] * 200)
    rest, offsets, items = validation_slice(data, 0.1)
    assert 0.08 < len(items) / 6000 < 0.12
    again = validation_slice(histories([30] * 200), 0.1)
    assert again[0].fingerprint == rest.fingerprint
    assert again[2].tolist() == items.tolist()
    other = validation_slice(histories([30] * 200, seed=1), 0.1)
    assert other[1].tolist() != offsets.tolist()


def test_a_slice_without_interactions_is_refused():
    with pytest.raises(UsageError, match=r"validation_share=0\.1 of 2 interactions leaves nothing"):
        BPR().fit(histories([1, 1]), Run(seed=0))


def test_validation_items_are_never_trained_on(monkeypatch):
    data, given_ = checkerboard(), []
    monkeypatch.setattr(
        factorization, "ObservedItems", lambda **options: given_.append(options) or ObservedItems(**options)
    )
    BPR(embedding_size=4, stopping=Stopping(epochs=1)).fit(data, Run(seed=0))
    assert given_[0]["train"].fingerprint == validation_slice(data, 0.1)[0].fingerprint


def test_at_most_so_many_users_validate(monkeypatch):
    asked = []
    monkeypatch.setattr(factorization, "VALIDATION_USERS", 7)
    monkeypatch.setattr(
        factorization, "top_k", lambda model, users, *rest: asked.append(users) or top_k(model, users, *rest)
    )
    BPR(embedding_size=4, stopping=Stopping(epochs=1)).fit(checkerboard(), Run(seed=0))
    assert [len(users) for users in asked] == [7, 7]
    assert (np.diff(asked[0]) > 0).all()
    assert (asked[0] == asked[1]).all()
