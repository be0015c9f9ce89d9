"""SASRec: its blocks against a plain restatement of their formulas, and dropout, entry by entry."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from recaudit.models.networks import Dropout
from recaudit.models.zoo.sasrec import SASRec
from recaudit.testing.alike import same_scores

N_ITEMS, SIZE, LENGTH = 20, 12, 7
OPTIONS = [
    {"blocks": 1},
    {"blocks": 1, "heads": 3},
    {"blocks": 2, "heads": 2},
    {"blocks": 3, "heads": 4},
]
parametrize_options = pytest.mark.parametrize("options", OPTIONS, ids=str)


def small(**options):
    return SASRec(**{"embedding_size": SIZE, "max_length": LENGTH, **options})


def network(spec, scale=0.5):
    made = spec.network(1, N_ITEMS, torch.Generator().manual_seed(0))
    stream = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream) * scale)
    return made.eval()


def sequences(rows=5, length=LENGTH):
    return torch.randint(N_ITEMS, (rows, length), generator=torch.Generator().manual_seed(3))


def normalised(x, layer):
    weight, bias = (parameter.double() for parameter in (layer.weight, layer.bias))
    centred = x - x.mean()
    return centred / torch.sqrt((centred**2).mean() + 1e-5) * weight + bias


def affine(x, layer):
    return layer.weight.double() @ x + layer.bias.double()


def attended(block, rows, heads):
    """What each row takes from itself and the rows before it: softmax(Q K' / sqrt(d)) V, head by head."""
    size = len(rows[0]) // heads
    queries, keys, values = zip(
        *(affine(row, block.queries_keys_values).chunk(3) for row in rows), strict=True
    )
    mixed = []
    for now in range(len(rows)):
        parts = []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            weights = [torch.exp(queries[now][part] @ keys[t][part] / size**0.5) for t in range(now + 1)]
            total = sum(weights)
            parts.append(sum(w / total * values[t][part] for t, w in enumerate(weights)))
        mixed.append(affine(torch.cat(parts), block.mixed))
    return mixed


def restated(made, items, heads, kept=lambda name, x: x):
    """One sequence, one position and one head at a time, in double precision (Kang and McAuley, III-B)."""
    rows = [made.tables["shared"].table[item].double() for item in items]
    rows = kept("input", [row + made.positions[t].double() for t, row in enumerate(rows)])
    for number, block in enumerate(made.blocks):
        taken = attended(block, [normalised(x, block.before_attention) for x in rows], heads)
        rows = [x + more for x, more in zip(rows, kept((number, "attention"), taken), strict=True)]
        hidden = [affine(normalised(x, block.before_layers), block.first).clamp_min(0) for x in rows]
        layers = [affine(x, block.second) for x in kept((number, "hidden"), hidden)]
        rows = [x + more for x, more in zip(rows, kept((number, "layers"), layers), strict=True)]
    return torch.stack([normalised(x, made.normalised) for x in rows])


@parametrize_options
def test_states_and_gradients_agree_with_a_plain_restatement(options):
    made, items = network(small(**options)), sequences(rows=2)
    found = made.states(items)
    expected = torch.stack([restated(made, row.tolist(), options.get("heads", 1)) for row in items])
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(5))
    parameters = list(made.parameters())
    assert len(parameters) == 4 + 12 * options["blocks"]
    ours, theirs = (torch.autograd.grad((states * weights).sum(), parameters) for states in (found, expected))
    for gradient, wanted in zip(ours, theirs, strict=True):
        assert wanted.abs().max() > 1e-3
        torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-3)


def test_heads_attend_apart():
    one, three = (network(small(heads=heads)).states(sequences()) for heads in (1, 3))
    torch.testing.assert_close(one[:, 0], three[:, 0])  # the first item attends to itself alone
    assert (one[:, 1:] - three[:, 1:]).abs().amax(-1).min() > 1e-3


@torch.no_grad()
def test_positions_count_from_the_first_item_read():
    made, items = network(small()), sequences(length=6)
    before = made.states(items)
    made.positions[3] += torch.linspace(-1, 1, SIZE)
    after = made.states(items)
    same_scores(before[:, :3], after[:, :3])
    assert (before[:, 3:] - after[:, 3:]).abs().amax(-1).min() > 1e-4
    made.positions[6:] = 99.0  # nobody is that far
    assert torch.equal(made.states(items), after)


def test_dropout_meets_input_vectors_and_what_is_added_to_them(monkeypatch):
    """Every call leaves out entries of its own; the restatement leaves out the same."""
    masks = []

    def forward(self, x):
        stream = torch.Generator().manual_seed(len(masks))
        masks.append((torch.rand(x.shape, generator=stream) < 0.7).to(x) / 0.7)
        return x * masks[-1]

    monkeypatch.setattr(Dropout, "forward", forward)
    made, items = network(small(blocks=2, heads=2)), sequences(rows=2)
    with torch.no_grad():
        found = made.states(items)
    assert len(masks) == 1 + 2 * 3
    names = ["input", *((b, part) for b in range(2) for part in ("attention", "hidden", "layers"))]
    for number, row in enumerate(items):
        of_row = {name: mask[number] for name, mask in zip(names, masks, strict=True)}

        def kept(name, rows, of_row=of_row):
            return [x * mask for x, mask in zip(rows, of_row[name], strict=True)]

        expected = restated(made, row.tolist(), 2, kept)
        torch.testing.assert_close(found[number].double(), expected, rtol=1e-4, atol=1e-4)


def test_the_share_reaches_every_dropout():
    made = small(blocks=2, dropout=0.5).network(1, N_ITEMS, torch.Generator().manual_seed(0))
    shares = [module.left_out for module in made.modules() if isinstance(module, Dropout)]
    assert shares == [128] * 3


def test_weights_begin_as_documented():
    made = SASRec(embedding_size=64, max_length=50).network(1, 300, torch.Generator().manual_seed(0))
    assert made.tables["shared"].table.shape == (300, 64)
    assert made.positions.shape == (50, 64)
    for parameter in (made.tables["shared"].table, made.positions):
        assert 0.0185 < parameter.std() < 0.0215
    assert len(made.blocks) == 2
    assert 0.15 < made.blocks[0].queries_keys_values.weight.abs().max() <= (6 / 256) ** 0.5
    assert not made.blocks[0].queries_keys_values.bias.any()


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(ValidationError, match="heads=5 must divide embedding_size=12"):
        small(heads=5)


@pytest.mark.parametrize("dropout", [-0.1, 0.995])
def test_a_share_that_leaves_nothing_is_refused(dropout):
    with pytest.raises(ValidationError, match="dropout"):
        small(dropout=dropout)


def dropout(share, seed=0):
    made = Dropout(share)
    Dropout.draw_from(np.random.default_rng(seed), made)
    return made


def test_no_share_and_no_training_leave_all():
    x = torch.randn(50, 20, generator=torch.Generator().manual_seed(0))
    assert dropout(0.0)(x) is x
    assert dropout(0.5).eval()(x) is x
    assert not torch.equal(dropout(0.5)(x), x)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_the_share_is_left_out_and_the_mean_kept(share):
    left = dropout(share)(torch.full((200, 500), 3.0))
    assert (left == 0).float().mean() == pytest.approx(round(share * 256) / 256, abs=0.01)
    scaled = 3 * 256 / (256 - round(share * 256))
    assert left.unique().tolist() == [0.0, pytest.approx(scaled)]
    assert left.mean() == pytest.approx(3.0, rel=0.05)


def test_entries_are_left_out_independently():
    left = (dropout(0.5)(torch.ones(300, 300)) == 0).float() - 0.5
    for shifted in (left.roll(1, 0), left.roll(1, 1), left.T):
        assert abs((left * shifted).mean()) < 0.005  # standard deviation 0.0008


def test_the_gradient_passes_where_entries_are_kept_only():
    x = torch.randn(40, 30, generator=torch.Generator().manual_seed(0)).requires_grad_()
    left = dropout(0.25)(x)
    left.sum().backward()
    kept = left.detach() != 0
    assert 0.5 < kept.float().mean() < 0.9
    torch.testing.assert_close(x.grad, kept.float() * 256 / 192)


def test_all_dropout_of_a_network_draws_from_one_stream():
    x = torch.ones(30, 30)
    one, other = modules = torch.nn.ModuleList([Dropout(0.5), torch.nn.Sequential(Dropout(0.5))])
    Dropout.draw_from(np.random.default_rng(3), modules)
    found = [one(x), other(x), one(x)]
    single = dropout(0.5, seed=3)
    for left in found:
        assert torch.equal(left, single(x))
    assert not torch.equal(found[0], found[1])
    Dropout.draw_from(np.random.default_rng(4), modules)
    assert not torch.equal(one(x), found[0])
