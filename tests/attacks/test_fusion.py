"""Attention fusion: the split by signs against the plain form of Eq. 5-8, and what never changes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from profiles import examples
from recaudit.attacks.stealing.fusion import FusedItems
from recaudit.data.synthetic import checkerboard
from recaudit.models import factorization
from recaudit.models.factorization import BPR, LMF
from recaudit.models.training import Optimisation, Stopping
from recaudit.models.zoo.ncf import NCF
from recaudit.pipeline.run import Run


def plain_vectors(p, learned, auxiliary, w, b):
    """Eq. 5-7 as they stand: (B, I, D) fused vectors from user vectors (B, D) and tables (I, D)."""
    users = p[:, None, :]
    alpha = torch.relu(users * learned) @ w + b
    beta = torch.relu(users * auxiliary) @ w + b
    weights = torch.softmax(torch.stack([alpha, beta]), dim=0)
    return weights[0][..., None] * learned + weights[1][..., None] * auxiliary


def fusion(n_items, size, seed, scale=1.0):
    stream = torch.Generator().manual_seed(seed)
    table = torch.nn.Parameter(torch.randn(n_items, size, generator=stream) * scale)
    auxiliary = torch.randn(n_items, size, generator=stream) * scale
    return FusedItems(table, auxiliary, stream), torch.randn(5, size, generator=stream) * scale


@settings(max_examples=examples(60))
@given(
    st.integers(1, 30), st.integers(1, 20), st.integers(0, 10**6), st.sampled_from([0.01, 1.0, 4.0]),
    st.floats(-3, 3, width=32),
)  # fmt: skip
def test_the_split_by_signs_is_the_plain_form(n_items, size, seed, scale, b):
    fused, p = fusion(n_items, size, seed, scale)
    with torch.no_grad():
        plain = plain_vectors(p, fused.table, fused.auxiliary, fused.attention, b)
        tolerance = {"rtol": 1e-4, "atol": 2e-4 * scale**2}
        dots = (p[:, None, :] * plain).sum(-1)  # Eq. 8
        torch.testing.assert_close(fused.all_dots(p), dots, **tolerance)
        items = torch.arange(n_items)[:, None].expand(n_items, 5)
        torch.testing.assert_close(fused.vectors(p, items), plain.transpose(0, 1), **tolerance)
        torch.testing.assert_close(fused.dots(p, torch.arange(5), items), dots.T, **tolerance)
        weight = torch.randn(3, size, generator=torch.Generator().manual_seed(seed))
        torch.testing.assert_close(fused.all_projected(p, weight), plain @ weight.T, **tolerance)


def test_by_hand():
    fused = FusedItems(
        torch.nn.Parameter(torch.tensor([[1.0, -2.0]])), torch.tensor([[-1.0, 4.0]]), torch.Generator()
    )
    with torch.no_grad():
        fused.attention.copy_(torch.tensor([0.5, 0.25]))
        p = torch.tensor([[2.0, 1.0]])
        # alpha = 0.5·2 + 0 = 1; beta = 0 + 0.25·4 = 1: half of each, (0, 1), whose product with p is 1
        assert fused.all_dots(p).item() == pytest.approx(1.0)
        assert fused.vectors(p, torch.tensor([[0]])).flatten().tolist() == pytest.approx([0.0, 1.0])


def test_an_item_that_is_not_common_keeps_its_learned_vector():
    fused, p = fusion(9, 4, 0)
    common = torch.arange(9) % 2 == 0
    masked = FusedItems(fused.table, fused.auxiliary, torch.Generator().manual_seed(1), common)
    fused.attention = masked.attention
    items = torch.arange(9)[:, None].expand(9, 5)
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(2))
    learned = fused.table.detach()
    with torch.no_grad():
        answers = [
            (masked.vectors(p, items), fused.vectors(p, items), learned[items], 0),
            (masked.dots(p, torch.arange(5), items), fused.dots(p, torch.arange(5), items), learned @ p.T, 0),
            (masked.all_dots(p), fused.all_dots(p), p @ learned.T, 1),
            (masked.all_projected(p, weight), fused.all_projected(p, weight), (learned @ weight.T)[None], 1),
        ]
    for got, with_all, without_any, axis in answers:
        ours, every, none = (x.expand_as(got).movedim(axis, 0) for x in (got, with_all, without_any))
        torch.testing.assert_close(ours[common], every[common])
        torch.testing.assert_close(ours[~common], none[~common])
        assert (every[~common] - none[~common]).abs().max() > 0.1


@pytest.mark.parametrize("given_mask", [True, False])
def test_a_restored_network_scores_alike_with_a_mask_or_without(given_mask):
    common = torch.arange(9) < 4
    ours, p = fusion(9, 4, 0)
    ours = FusedItems(ours.table, ours.auxiliary, torch.Generator(), common if given_mask else None)
    other = FusedItems(
        torch.nn.Parameter(torch.zeros(9, 4)),
        torch.zeros(9, 4),
        torch.Generator(),
        None if given_mask else common.clone(),
    )
    other.load_state_dict(ours.state_dict())
    items = torch.arange(9)[:, None].expand(9, 5)
    with torch.no_grad():
        assert torch.equal(other.all_dots(p), ours.all_dots(p))
        assert torch.equal(other.vectors(p, items), ours.vectors(p, items))
        share_matters = ours.all_dots(p) != p @ ours.table.T
    assert share_matters.any(dim=0).tolist() == (common if given_mask else torch.ones(9)).bool().tolist()


def test_equal_tables_are_left_as_they_are():
    fused, p = fusion(12, 6, 0)
    fused.auxiliary.copy_(fused.table.detach())
    with torch.no_grad():
        torch.testing.assert_close(fused.all_dots(p), p @ fused.table.T)


def test_a_user_without_a_vector_attends_equally():
    fused, p = fusion(7, 4, 1)
    with torch.no_grad():
        middle = (fused.table + fused.auxiliary) / 2
        torch.testing.assert_close(fused.vectors(p * 0, torch.arange(7)[:, None].expand(7, 5))[:, 0], middle)


def test_the_attention_begins_as_a_linear_layer_does():
    weights = torch.cat([fusion(1, 64, seed)[0].attention.detach() for seed in range(50)])
    assert weights.abs().max() <= 1 / 8
    assert weights.abs().max() > 0.124
    assert abs(weights.mean().item()) < 0.005


@pytest.mark.parametrize(
    "spec",
    [BPR(embedding_size=4), LMF(embedding_size=4, biases=True), NCF(embedding_size=4, variant="neumf")],
    ids=lambda spec: spec.model,
)
def test_training_changes_all_but_the_auxiliary_vectors(spec, monkeypatch):
    monkeypatch.setattr(factorization, "VALIDATION_K", 5)
    spec = spec.model_copy(
        update={
            "optimisation": Optimisation(learning_rate=0.05, batch_size=64, reg=0.01),
            "stopping": Stopping(epochs=6, evaluate_every=3),
        }
    )
    data = checkerboard(n_users=12, n_items=70)
    given_ = {}

    def make_items(name, table):
        given_[name] = torch.randn(table.shape, generator=torch.Generator().manual_seed(len(name)))
        return FusedItems(table, given_[name], torch.Generator().manual_seed(1))

    network = spec.network(12, 70, torch.Generator().manual_seed(0), make_items)
    auxiliary = {name: tensor.clone() for name, tensor in given_.items()}
    before = {name: tensor.clone() for name, tensor in network.named_parameters()}
    assert not any("auxiliary" in name for name in before)
    fitted = spec.fit_network(network, data, Run(seed=0), stage="fused")
    assert fitted.log.best_epoch > 0
    for name, vectors in network.item_vectors().items():
        assert torch.equal(vectors.auxiliary, auxiliary[name])
        assert torch.equal(given_[name], auxiliary[name])
        assert torch.equal(vectors.learned(), vectors.table)
    for name, parameter in network.named_parameters():
        assert not torch.equal(parameter, before[name]), name
    assert np.isfinite(fitted.score(np.arange(12)).numpy()).all()


@pytest.mark.parametrize("masked", [False, True])
def test_cross_entropy_over_all_items_and_its_gradient_are_those_of_autograd(masked):
    stream = torch.Generator().manual_seed(3)
    n_items, size, n_states = 37, 6, 300
    table, auxiliary = (torch.randn(n_items, size, generator=stream) for _ in range(2))
    common = torch.rand(n_items, generator=stream) < 0.6 if masked else None
    fused = FusedItems(nn.Parameter(table), auxiliary, stream, common)
    states = torch.randn(n_states, size, generator=stream).requires_grad_()
    targets = torch.randint(n_items, (n_states,), generator=stream)
    (3 * fused.cross_entropy(states, targets)).backward()
    found = [part.grad.clone() for part in (states, fused.table, fused.attention)]
    for part in (states, fused.table, fused.attention):
        part.grad = None
    everything = torch.arange(n_items).expand(n_states, n_items)
    vectors = fused.met(states[:, None].expand(-1, n_items, -1), everything)
    plain = 3 * nn.functional.cross_entropy((states[:, None] * vectors).sum(-1), targets)
    plain.backward()
    torch.testing.assert_close(3 * fused.cross_entropy(states, targets), plain)
    for closed, part in zip(found, (states, fused.table, fused.attention), strict=True):
        torch.testing.assert_close(closed, part.grad, rtol=1e-4, atol=1e-6)
