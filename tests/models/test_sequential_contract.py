"""What every network that reads histories must do: no look ahead, no company, and a planted order learned."""

from functools import partial

import numpy as np
import polars as pl
import pytest
import torch

from recaudit.attacks.stealing.fusion import FusedItems
from recaudit.data.interactions import Interactions
from recaudit.errors import UsageError
from recaudit.models.ranking import top_k
from recaudit.models.registry import MODELS, model_spec
from recaudit.models.saving import load_model, save_model
from recaudit.models.sequences import BUCKET, SequenceNetwork
from recaudit.models.sequential import SequentialSpec
from recaudit.models.trained import plain_items
from recaudit.models.training import Optimisation, Stopping
from recaudit.models.zoo.gru4rec import GRU4Rec
from recaudit.models.zoo.sasrec import SASRec
from recaudit.models.zoo.stamp import STAMP
from recaudit.pipeline.run import Run
from recaudit.testing.alike import same_scores

N_ITEMS, SIZE, LENGTH = 24, 16, 21
KINDS = [SASRec, GRU4Rec, STAMP]
SMALL = {"embedding_size": SIZE, "max_length": LENGTH}
VARIANTS = {
    "sasrec": SASRec(**SMALL),
    "sasrec, two heads": SASRec(**SMALL, heads=2),
    "gru4rec": GRU4Rec(**SMALL),
    "gru4rec, layers and tables": GRU4Rec(**SMALL, hidden=10, layers=2, tables="separate"),
    "stamp": STAMP(**SMALL),
}
parametrize_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
parametrize_spec = pytest.mark.parametrize("spec", VARIANTS.values(), ids=VARIANTS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def fused_items(name, table):
    stream = generator(len(name))
    return FusedItems(table, torch.randn(table.shape, generator=stream), stream)


parametrize_items = pytest.mark.parametrize("make_items", [plain_items, fused_items])


def network(spec, make_items=plain_items) -> SequenceNetwork:
    """An untrained network in evaluation mode, of weights so large that every input shows in its states."""
    made = spec.network(1, N_ITEMS, generator(), make_items)
    stream = generator(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream) * 0.4)
    return made.eval()


def sequences(rows=9, length=LENGTH, seed=2):
    return torch.randint(N_ITEMS, (rows, length), generator=generator(seed))


def histories_of(lists, n_items=N_ITEMS):
    return Interactions(
        name="planted",
        offsets=np.cumsum([0, *map(len, lists)]).astype(np.int64),
        items=np.concatenate(lists).astype(np.int32),
        user_ids=pl.Series(np.arange(len(lists))),
        item_ids=pl.Series(np.arange(n_items)),
    )


def on_a_circle(n_users, seed=0):
    """Histories of four to ten items, each one past the item before it."""
    stream = np.random.default_rng(seed)
    starts, lengths = stream.integers(N_ITEMS, size=n_users), stream.integers(4, 11, size=n_users)
    return histories_of(
        [np.arange(start, start + n) % N_ITEMS for start, n in zip(starts, lengths, strict=True)]
    )


def shuffled_histories(seed=0):
    """Histories of one item up to the whole catalogue: below, at and above bucket and greatest length."""
    stream = np.random.default_rng(seed)
    lengths = [1, 2, 3, BUCKET - 1, BUCKET, BUCKET + 1, LENGTH - 1, LENGTH, LENGTH + 1, N_ITEMS, 5, 7, 1]
    return histories_of([stream.permutation(N_ITEMS)[:length] for length in lengths])


def bits(tensor):
    return tensor.detach().numpy().tobytes()


def test_every_network_of_the_registry_that_reads_histories_is_under_contract():
    assert set(KINDS) == {kind for kind in MODELS.values() if issubclass(kind, SequentialSpec)}
    assert {type(spec) for spec in VARIANTS.values()} == set(KINDS)


@parametrize_items
@parametrize_spec
@pytest.mark.parametrize("changed", [1, 7, 8, 9, 16, LENGTH - 1])
@torch.no_grad()
def test_no_state_sees_its_future(spec, make_items, changed):
    made, items = network(spec, make_items), sequences()
    other = items.clone()
    other[:, changed:] = (items[:, changed:] + 1) % N_ITEMS
    states, others = made.states(items), made.states(other)
    same_scores(states[:, :changed], others[:, :changed])
    # ... and every state sees what came before: this holds of no constant.
    assert ((states[:, changed:] - others[:, changed:]).abs().amax(-1) > 1e-6).all()


@parametrize_items
@parametrize_spec
def test_no_gradient_comes_from_the_future(spec, make_items):
    made = network(spec, make_items)
    vectors = torch.randn(4, LENGTH, SIZE, generator=generator()).requires_grad_()
    for place in (0, 3, 8, LENGTH - 1):
        (gradient,) = torch.autograd.grad(made.encode(vectors)[:, place].sin().sum(), vectors)
        assert not gradient[:, place + 1 :].any()
        assert (gradient[:, : place + 1].abs().amax(-1) > 0).all()


@parametrize_items
@parametrize_spec
def test_scores_depend_on_no_padding_and_no_company(spec, make_items):
    histories = shuffled_histories()
    asked = spec.recommender(network(spec, make_items), histories)
    everybody = np.arange(histories.n_users)
    together = asked.score(everybody)
    for user in range(histories.n_users):
        same_scores(asked.score(np.array([user]))[0], together[user])
        shown = asked.shown(histories_of([histories.history(user)]))
        same_scores(shown.score(np.zeros(1, dtype=np.int64))[0], together[user])
    mixed = np.random.default_rng(0).permutation(np.tile(everybody, 12))
    same_scores(asked.score(mixed), together[torch.from_numpy(mixed)])


@parametrize_items
@parametrize_spec
def test_a_state_depends_on_no_company(spec, make_items):
    made, items = network(spec, make_items), sequences(rows=40, length=BUCKET)
    with torch.no_grad():
        states = made.states(items)
        for rows in (1, 7, 8, 16, 24, 32):
            same_scores(made.states(items[:rows]), states[:rows])
            same_scores(made.states(items[-rows:]), states[-rows:])


@parametrize_spec
def test_what_pads_a_sequence_plays_no_part(spec):
    made, items = network(spec), sequences()
    padded = torch.cat([items[:, :-5], sequences(rows=9, length=5, seed=8)], dim=1)
    with torch.no_grad():
        same_scores(made.states(items)[:, :-5], made.states(padded)[:, :-5])


@parametrize_spec
def test_only_the_last_items_are_read(spec):
    stream = np.random.default_rng(0)
    long = [stream.permutation(N_ITEMS) for _ in range(8)]
    asked, users = spec.recommender(network(spec), histories_of(long)), np.arange(8)
    short = asked.shown(histories_of([items[-LENGTH:] for items in long]))
    shorter = asked.shown(histories_of([items[1 - LENGTH :] for items in long]))
    assert bits(asked.score(users)) == bits(short.score(users))
    assert not torch.equal(asked.score(users), shorter.score(users))


def quick(kind, **settings):
    return kind(
        embedding_size=SIZE,
        max_length=LENGTH,
        optimisation=Optimisation(learning_rate=0.03, batch_size=128),
        **{"stopping": Stopping(epochs=8, evaluate_every=2, patience=8), **settings},
    )


def hit_rate(recommender, histories):
    """Share of histories whose first item in a list of one is the next one of the circle."""
    users = np.arange(histories.n_users)
    lists = top_k(recommender, users, histories, 1).items[:, 0]
    following = (histories.items[histories.offsets[1:] - 1] + 1) % N_ITEMS
    return (lists == following).mean()


@parametrize_kind
def test_an_order_is_learned_and_told_to_strangers(kind):
    data, strangers = on_a_circle(500), on_a_circle(100, seed=1)
    spec = quick(kind)
    fitted = spec.fit(data, Run(seed=0))
    assert hit_rate(spec.recommender(network(spec), data), data) < 0.3
    assert hit_rate(fitted, data) > 0.95
    assert hit_rate(fitted.shown(strangers), strangers) > 0.95


@parametrize_kind
def test_the_seed_alone_decides(kind):
    data, users = on_a_circle(40), np.arange(40)
    spec = quick(kind, stopping=Stopping(epochs=2, evaluate_every=1, patience=2))
    fit = partial(spec.fit, data)
    state = torch.random.get_rng_state()
    one = fit(Run(seed=0)).score(users)
    torch.rand(3)
    before = torch.random.get_rng_state()
    assert bits(fit(Run(seed=0)).score(users)) == bits(one)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(fit(Run(seed=1)).score(users), one)
    torch.random.set_rng_state(state)


@parametrize_spec
def test_saved_and_loaded_it_scores_the_same(spec, tmp_path):
    histories = shuffled_histories()
    asked, users = spec.recommender(network(spec), histories), np.arange(histories.n_users)
    save_model(asked, spec, histories.fingerprint, tmp_path)
    loaded, again, saved = load_model(tmp_path)
    assert again == spec
    assert saved.n_items == N_ITEMS
    assert bits(loaded.shown(histories).score(users)) == bits(asked.score(users))


@parametrize_kind
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_length": 0}, r"victim\.max_length: .*greater than or equal to 1; found 0"),
        ({"embedding_size": 0}, r"victim\.embedding_size: .*greater than or equal to 1; found 0"),
        ({"negatives": 0}, r"victim\.negatives: .*greater than or equal to 1; found 0"),
        ({"loss": "hinges"}, r"victim\.loss.*found 'hinges'"),
        ({"max_lenght": 5}, r"unknown key 'victim\.max_lenght'; did you mean 'max_length'"),
    ],
)  # fmt: skip
def test_bad_hyperparameters_are_refused(kind, values, message):
    name = kind.model_fields["model"].default
    with pytest.raises(UsageError, match=message):
        model_spec({"model": name, **values}, where="victim")
