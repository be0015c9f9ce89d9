"""GRU4Rec: its units against a plain restatement, its losses on a planted order, its options."""

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError

from recaudit.attacks.stealing.fusion import FusedItems
from recaudit.data.interactions import Interactions
from recaudit.models.losses import SAMPLED_LOSSES, SHARED_LOSSES
from recaudit.models.ranking import top_k
from recaudit.models.sequences import NextItems
from recaudit.models.training import Optimisation, Stopping
from recaudit.models.zoo.gru4rec import GRU4Rec
from recaudit.pipeline.run import Run

N_ITEMS = 30
OPTIONS = [
    {},
    {"hidden": 8},
    {"hidden": 5, "layers": 2},
    {"tables": "separate"},
    {"hidden": 8, "layers": 3, "tables": "separate"},
]


def small(**options):
    return GRU4Rec(**{"embedding_size": 8, "hidden": 12, "dropout": 0.0, **options})


def network(spec, seed=0):
    """An untrained network whose vectors are large enough for states that matter."""
    made = spec.network(1, N_ITEMS, torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return made.eval()


def sequences(rows=5, length=9):
    return torch.randint(N_ITEMS, (rows, length), generator=torch.Generator().manual_seed(3))


def restated(made, items):
    """One sequence and one step at a time, as the docstring has it."""
    table = made.item_vectors()
    table = table["inputs" if "inputs" in table else "shared"].table
    states = []
    for sequence in items:
        x = table[sequence]
        for layer in made.layers:
            (w_r, w_z, w_n), (u_r, u_z, u_n) = layer.inputs.chunk(3), layer.states.chunk(3)
            b_r, b_z, b_n = layer.bias.chunk(3)
            h, out = torch.zeros(len(u_r)), []
            for x_t in x:
                r = torch.sigmoid(w_r @ x_t + u_r @ h + b_r)
                z = torch.sigmoid(w_z @ x_t + u_z @ h + b_z)
                n = torch.tanh(w_n @ x_t + b_n + r * (u_n @ h + layer.reset_bias))
                h = (1 - z) * n + z * h
                out.append(h)
            x = torch.stack(out)
        states.append(x if made.output is None else x @ made.output.weight.T + made.output.bias)
    return torch.stack(states)


@pytest.mark.parametrize("options", OPTIONS)
def test_states_and_gradients_agree_with_a_plain_restatement(options):
    made, items = network(small(**options)), sequences()
    found, expected = made.states(items), restated(made, items)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(5))
    parameters = [p for name, p in made.named_parameters() if "outputs" not in name]
    assert len(parameters) >= 5
    ours, theirs = (torch.autograd.grad((states * weights).sum(), parameters) for states in (found, expected))
    for gradient, wanted in zip(ours, theirs, strict=True):
        assert wanted.abs().max() > 1e-3
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-4)


def test_units_agree_with_those_of_torch():
    made, items = network(small()), sequences()
    theirs = torch.nn.GRU(8, 12, batch_first=True)
    layer = made.layers[0]
    bias = torch.cat([torch.zeros(24), layer.reset_bias.detach()])
    theirs.load_state_dict(
        {"weight_ih_l0": layer.inputs, "weight_hh_l0": layer.states, "bias_ih_l0": layer.bias,
         "bias_hh_l0": bias}
    )  # fmt: skip
    states = theirs(made.item_vectors()["shared"].table[items])[0]
    torch.testing.assert_close(made.states(items), made.output(states), rtol=1e-5, atol=1e-5)


def test_a_network_in_training_leaves_entries_out():
    made, items = network(small(dropout=0.5)), sequences()
    fixed = made.states(items)
    assert torch.equal(fixed, made.states(items))
    made.train()
    assert not torch.equal(made.states(items), made.states(items))


@pytest.mark.parametrize("layers", [1, 2])
def test_dropout_meets_inputs_and_states(layers):
    """The last layer's states are dropped too."""
    made = network(small(dropout=0.5, layers=layers, hidden=8))
    made.train()
    states = made.encode(torch.ones(4, 6, 8))
    assert 0.3 < (states == 0).float().mean() < 0.7


def test_initial_weights_come_from_the_generator_alone():
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        made.append(small().network(1, N_ITEMS, torch.Generator().manual_seed(0)).state_dict())
    other = small().network(1, N_ITEMS, torch.Generator().manual_seed(1)).state_dict()
    assert all(torch.equal(made[0][name], made[1][name]) for name in other)
    assert not torch.equal(made[0]["layers.0.states"], other["layers.0.states"])
    # Glorot gate by gate: uniform up to sqrt(6 / (12 + 12)).
    assert 0.4 < made[0]["layers.0.states"].abs().max() <= 0.5


@pytest.mark.parametrize(("tables", "names"), [("shared", ["shared"]), ("separate", ["inputs", "outputs"])])
def test_item_vectors_are_made_by_name(tables, names):
    asked = []

    def fused(name, table):
        asked.append(name)
        auxiliary = torch.randn(N_ITEMS, 8, generator=torch.Generator().manual_seed(9))
        return FusedItems(table, auxiliary, torch.Generator().manual_seed(8))

    made = small(tables=tables).network(1, N_ITEMS, torch.Generator().manual_seed(0), fused)
    assert asked == names
    assert sorted(made.item_vectors()) == names
    items = sequences()
    states = made.states(items).flatten(0, 1)
    drawn = torch.tensor([4, 0, 29])
    scores = made.shared_scores(states, drawn)
    torch.testing.assert_close(scores, made.all_scores(states)[:, drawn].T)
    torch.testing.assert_close(scores, made.item_scores(states, drawn[:, None].expand(-1, len(states))))
    scores.square().sum().backward()
    for name in names:
        vectors = made.item_vectors()[name]
        assert vectors.table.grad.abs().sum() > 0
        assert vectors.attention.grad.abs().sum() > 0


def cycle(n_users=240, n_items=N_ITEMS):
    """Histories of 4 to 12 items, each of which follows the one before it in a circle of all items."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(4, 13, n_users)
    starts = generator.integers(0, n_items, n_users)
    items = np.concatenate(
        [(start + np.arange(n)) % n_items for start, n in zip(starts, lengths, strict=True)]
    )
    return Interactions(
        name="cycle",
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        items=items.astype(np.int32),
        user_ids=pl.Series(np.arange(n_users)),
        item_ids=pl.Series(np.arange(n_items)),
    )


def quick(**options):
    return GRU4Rec(
        **{
            "embedding_size": 32,
            "hidden": 48,
            "dropout": 0.0,
            "max_length": 10,
            "negatives": 4,
            "shared_negatives": 16,
            "optimisation": Optimisation(learning_rate=0.02, batch_size=128),
            "stopping": Stopping(epochs=12, evaluate_every=4, patience=8),
            **options,
        }
    )


LOSSES = ["cross-entropy", *SAMPLED_LOSSES]


@pytest.mark.parametrize(
    "options",
    [*({"loss": loss} for loss in LOSSES), {"tables": "separate"}, {"layers": 2}, {"hidden": 32}],
    ids=str,
)
def test_it_learns_which_item_follows_which(options):
    data = cycle()
    fitted = quick(**options).fit(data, Run(seed=0))
    first = top_k(fitted, np.arange(data.n_users), data, 1).items[:, 0]
    following = (data.items[data.offsets[1:] - 1] + 1) % N_ITEMS
    assert (first == following).mean() > 0.95
    assert fitted.log.scores[0][1] < 0.5 < fitted.log.best_score


def test_losses_of_many_items_share_them_and_leave_out_the_target():
    data = cycle(n_users=3)
    made = network(small())
    for loss in SHARED_LOSSES:
        objective = NextItems(
            network=made, histories=data, max_length=10, loss_name=loss, shared_negatives=40
        )
        (batch,) = objective.batches(torch.Generator().manual_seed(0), 10_000, "cpu")
        items, places, targets, drawn = batch
        assert targets.shape == (1, len(places))
        assert drawn.shape == (40,)
        assert np.isin(drawn, targets).any()
        states = made.states(items).flatten(0, 1)[places]
        scores = made.all_scores(states)
        each = []
        for row, target in zip(scores, targets[0], strict=True):
            others = drawn[drawn != target]
            each.append(SAMPLED_LOSSES[loss](torch.cat([row[target][None], row[others]])[:, None]))
        torch.testing.assert_close(objective.loss(*batch), torch.cat(each).mean())


def test_more_shared_items_than_there_are_in_the_catalogue_will_do():
    fitted = quick(loss="bpr-max", shared_negatives=100).fit(cycle(), Run(seed=0))
    assert fitted.log.best_score > 0.5


@pytest.mark.parametrize(
    "options",
    [
        {"hidden": 0},
        {"layers": 0},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"tables": "both"},
        {"loss": "top2"},
        {"shared_negatives": 0},
        {"units": 3},
    ],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        GRU4Rec(**options)
