"""Networks: the gradient written by hand, and scores of all items against scores of pairs."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from profiles import examples
from recaudit.attacks.stealing.fusion import FusedItems
from recaudit.attacks.stealing.lists import stealing_loss
from recaudit.models.closed_form import PairDots
from recaudit.models.factorization import BPR, LMF, plain_items
from recaudit.models.losses import slopes
from recaudit.models.networks import DotProduct, ItemTable, NCFNetwork, factors
from recaudit.models.zoo.ncf import NCF

U, N, D = 6, 9, 4

LOSSES = {
    "bpr": BPR().loss,
    "logistic": LMF().loss,
    "stealing, bpr and hinge": stealing_loss("bpr", "hinge", 0.5),
    "stealing, hinge and hinge": stealing_loss("hinge", "hinge", 0.5),
    "uneven": lambda scores: (scores.sin() * torch.arange(scores.numel()).view_as(scores)).mean(),
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def double_tables(seed=0):
    stream = generator(seed)
    return [torch.randn(n, D, generator=stream, dtype=torch.float64).requires_grad_() for n in (U, N)]


def batch(n_items, n_pairs, seed=0):
    """Users and items, of which many come twice: there are few of each."""
    stream = generator(seed)
    users = torch.randint(U, (n_pairs,), generator=stream)
    return users, torch.randint(N, (n_items, n_pairs), generator=stream)


def plain_gradients(tables, users, items, loss):
    """Autograd's gradients."""
    users_table, items_table = (table.detach().clone().requires_grad_() for table in tables)
    loss((users_table[users] * items_table[items]).sum(-1)).backward()
    return [users_table.grad, items_table.grad]


def smooth(scores):
    """A loss of which every score has another weight."""
    return (scores.sin() * torch.arange(1, scores.numel() + 1).view_as(scores)).sum()


def differentiated(dots, tables, users, items, loss):
    """Return the scores of a batch, and the gradients of both tables that its loss gives."""
    scores = dots.scores(users, items)
    dots.differentiate(slopes(loss, scores))
    return scores, [table.grad for table in tables]


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("n_items", [2, 3, 5])
@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_by_hand_is_autograds(name, n_items, in_place):
    if "stealing" in name and n_items == 2:
        n_items = 4  # such a loss needs drawn items
    tables = [table.detach().float().requires_grad_() for table in double_tables()]
    users, items = batch(n_items, 40)
    scores, found = differentiated(PairDots(*tables, in_place=in_place), tables, users, items, LOSSES[name])
    torch.testing.assert_close(scores, (tables[0][users] * tables[1][items]).sum(-1))
    torch.testing.assert_close(found, plain_gradients(tables, users, items, LOSSES[name]))


@settings(max_examples=examples(40))
@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 30)), min_size=1, max_size=5),
    st.integers(0, 10**6),
    st.booleans(),
)
def test_batches_of_any_shape_one_after_the_other_in_double_precision(shapes, seed, in_place):
    tables = double_tables(seed)
    dots = PairDots(*tables, in_place=in_place)
    for n, shape in enumerate(shapes):
        one = batch(*shape, seed + n)
        _, found = differentiated(dots, tables, *one, smooth)
        torch.testing.assert_close(found, plain_gradients(tables, *one, smooth), rtol=1e-12, atol=1e-12)


def test_the_gradient_is_that_of_finite_differences():
    users, items = batch(3, 12)
    tables, step = double_tables(), 1e-6
    differentiated(PairDots(*tables), tables, users, items, smooth)
    for which, table in enumerate(tables):
        for row, column in ((0, 0), (3, 2), (5, 3)):
            moved = []
            for sign in (1, -1):
                copies = [one.detach().clone() for one in tables]
                copies[which][row, column] += sign * step
                moved.append(smooth((copies[0][users] * copies[1][items]).sum(-1)))
            slope = (moved[0] - moved[1]) / (2 * step)
            torch.testing.assert_close(table.grad[row, column], slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("in_place", [True, False])
def test_what_wants_no_gradient_gets_none(in_place):
    tables = double_tables()
    tables[1].requires_grad_(False)
    _, found = differentiated(PairDots(*tables, in_place=in_place), tables, *batch(2, 8), smooth)
    assert found[0] is not None
    assert found[1] is None


def network():
    """A network whose gradient by hand lies in buffers until the next batch is scored."""
    return NCF(embedding_size=D, hidden=(7, 5)).network(U, N, generator())


def test_a_batch_scored_before_the_last_was_differentiated_is_refused():
    ours = network()
    first = ours.pair_scores(*batch(2, 8)).sum()
    second = ours.pair_scores(*batch(2, 8, seed=1)).sum()
    with pytest.raises(RuntimeError, match="before the next batch is scored"):
        first.backward()
    assert ours.users["mlp"].grad is None
    second.backward()
    assert ours.users["mlp"].grad is not None


def test_scores_looked_at_without_gradients_do_not_disturb():
    ours = network()
    one, other = batch(2, 8), batch(2, 8, seed=1)
    smooth(ours.pair_scores(*one)).backward()
    expected = ours.users["mlp"].grad.clone()
    ours.zero_grad()
    scores = ours.pair_scores(*one)
    with torch.no_grad():
        ours.pair_scores(*other)
        ours.all_scores(torch.arange(U))
    smooth(scores).backward()
    torch.testing.assert_close(ours.users["mlp"].grad, expected)


def test_a_copied_network_has_gradients_of_its_own():
    ours = network()
    smooth(ours.pair_scores(*batch(2, 8))).backward()
    before = ours.users["mlp"].grad.clone()
    other = copy.deepcopy(ours)
    other.zero_grad()
    still_open = smooth(ours.pair_scores(*batch(2, 8)))
    smooth(other.pair_scores(*batch(2, 8, seed=1))).backward()
    assert torch.equal(ours.users["mlp"].grad, before)
    still_open.backward()  # the copy's batch did not come between
    torch.testing.assert_close(ours.users["mlp"].grad, 2 * before)


def test_biases_are_added_and_learn():
    stream = generator()
    ours = DotProduct(factors(U, D, stream), ItemTable(factors(N, D, stream)), N, biases=True)
    torch.nn.init.normal_(ours.user_bias, generator=stream)
    torch.nn.init.normal_(ours.item_bias, generator=stream)
    users, items = batch(3, 10)
    dots = ours.tables()
    scores = dots.scores(users, items)
    torch.testing.assert_close(scores, ours.pair_scores(users, items))
    plain = (ours.users[users] * ours.items.table[items]).sum(-1)
    torch.testing.assert_close(scores, plain + ours.user_bias[users] + ours.item_bias[items])
    dots.differentiate(torch.ones_like(scores))
    assert ours.item_bias.grad.tolist() == torch.bincount(items.flatten(), minlength=N).tolist()
    assert ours.user_bias.grad.tolist() == (3 * torch.bincount(users, minlength=U)).tolist()


def fused_items(name, table):
    stream = generator(len(name))
    return FusedItems(table, torch.randn(table.shape, generator=stream), stream)


SPECS = {
    "bpr": BPR(embedding_size=D),
    "lmf with biases": LMF(embedding_size=D, biases=True),
    "mlp": NCF(embedding_size=D, hidden=(7, 5)),
    "mlp of one layer": NCF(embedding_size=D, hidden=(3,)),
    "gmf": NCF(embedding_size=D, variant="gmf"),
    "neumf": NCF(embedding_size=D, variant="neumf", hidden=(7, 5)),
}


def masked_items(name, table):
    stream = generator(len(name))
    return FusedItems(
        table, torch.randn(table.shape, generator=stream), stream, torch.arange(len(table)) % 3 > 0
    )


MAKERS = [plain_items, fused_items, masked_items]


def moved(spec, make_items, n_users=U):
    """A network away from the tiny initial values and the zero biases."""
    ours = spec.network(n_users, N, generator(), make_items)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator(1)))
    return ours


def plain_vectors(state, part, p, items):
    """Zhu et al.'s Eq. 5-7 as they stand, or rows of the table."""
    learned = state[f"{part}.table"][items]
    if f"{part}.auxiliary" not in state:
        return learned
    auxiliary, w = state[f"{part}.auxiliary"][items], state[f"{part}.attention"]
    alpha, beta = torch.relu(p * learned) @ w, torch.relu(p * auxiliary) @ w
    beta = torch.where(state[f"{part}.common"].bool()[items], beta, -torch.inf)
    weights = torch.softmax(torch.stack([alpha, beta]), dim=0)
    return weights[0][..., None] * learned + weights[1][..., None] * auxiliary


def plain_scores(state, users, items):
    """The scores as the papers write them, from a network's parameters and buffers."""
    if "users" in state:
        p = state["users"][users]
        scores = (p * plain_vectors(state, "items", p, items)).sum(-1)
        if "user_bias" in state:
            scores = scores + state["user_bias"][users] + state["item_bias"][items]
        return scores
    parts = []
    if "users.mlp" in state:
        p = state["users.mlp"][users]
        q = plain_vectors(state, "items.mlp", p, items)
        x, layer = torch.cat([p.expand_as(q), q], dim=-1), 0
        while f"layers.{layer}.weight" in state:
            x = torch.relu(x @ state[f"layers.{layer}.weight"].T + state[f"layers.{layer}.bias"])
            layer += 1
        parts.append(x)
    if "users.gmf" in state:
        p = state["users.gmf"][users]
        parts.append(p * plain_vectors(state, "items.gmf", p, items))
    return (torch.cat(parts, dim=-1) @ state["output.weight"].T + state["output.bias"])[..., 0]


@pytest.mark.parametrize("make_items", MAKERS)
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_scores_and_gradients_are_those_of_the_plain_form_batch_after_batch(spec, make_items):
    ours = moved(spec, make_items)
    for seed, shape in enumerate([(2, 40), (4, 25), (2, 40), (1, 3)]):
        users, items = batch(*shape, seed)
        state = {name: tensor.detach().double() for name, tensor in ours.state_dict().items()}
        for name, _ in ours.named_parameters():
            state[name].requires_grad_()
        expected, scores = plain_scores(state, users, items), ours.pair_scores(users, items)
        torch.testing.assert_close(scores.double(), expected, rtol=1e-4, atol=1e-4)
        smooth(expected).backward()
        # The loss's own slope at the same scores: rounding of large scores is not what is tested.
        scores.backward(
            torch.autograd.grad(smooth(one := expected.detach().requires_grad_()), one)[0].float()
        )
        for name, parameter in ours.named_parameters():
            torch.testing.assert_close(
                parameter.grad.double(), state[name].grad, rtol=1e-4, atol=1e-5 * shape[0] * shape[1] ** 2
            )
            parameter.grad = None


@pytest.mark.parametrize("make_items", MAKERS)
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_gradients_add_up_over_batches_and_copies_have_their_own(spec, make_items):
    ours = moved(spec, make_items)
    one, other = batch(2, 30), batch(3, 20, seed=1)
    smooth(ours.pair_scores(*one)).backward()
    before = {name: parameter.grad.clone() for name, parameter in ours.named_parameters()}
    copied = copy.deepcopy(ours)
    copied.zero_grad()
    smooth(copied.pair_scores(*other)).backward()
    still_open = smooth(ours.pair_scores(*other))
    with torch.no_grad():
        ours.pair_scores(*one)
        ours.all_scores(torch.arange(U))
    smooth(copied.pair_scores(*one)).backward()
    for name, parameter in ours.named_parameters():
        assert torch.equal(parameter.grad, before[name])
    still_open.backward()
    both = dict(copied.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, both[name].grad, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("make_items", MAKERS)
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_no_network_differentiates_what_the_next_batch_overwrote(spec, make_items):
    ours = moved(spec, make_items)
    first = ours.pair_scores(*batch(2, 8)).sum()
    ours.pair_scores(*batch(2, 8, seed=1))
    if isinstance(ours, DotProduct) and ours.tables() is not None:  # autograd alone, which keeps every batch
        first.backward()
        ones = [(ours.users, batch(2, 8)[0].repeat(2)), (ours.items.table, batch(2, 8)[1].flatten())]
        for (table, own), (other, others) in zip(ones, reversed(ones), strict=True):
            expected = torch.zeros_like(table).index_add_(0, own, other.detach()[others])
            torch.testing.assert_close(table.grad, expected)
        return
    with pytest.raises(RuntimeError, match=r"before the next batch is scored|modified by an inplace"):
        first.backward()
    assert all(parameter.grad is None for name, parameter in ours.named_parameters() if "table" in name)


@pytest.mark.parametrize("make_items", MAKERS)
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("n_users", [1, 8, 19])
def test_all_scores_are_those_of_all_pairs(spec, make_items, n_users, monkeypatch):
    monkeypatch.setattr(NCFNetwork, "ITEMS_AT_A_TIME", 4)  # the last group of items is smaller
    ours = moved(spec, make_items, n_users=20)
    with torch.no_grad():
        users = torch.randperm(20, generator=generator(2))[:n_users]
        pairs = ours.pair_scores(users, torch.arange(N)[:, None].expand(N, n_users))
        scores = ours.all_scores(users)
        assert scores.shape == (n_users, N)
        assert scores.std() > 0.1
        torch.testing.assert_close(scores, pairs.T, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(ours.all_scores(users.flip(0)), scores.flip(0))
    assert set(ours.item_vectors()) <= {"items", "mlp", "gmf"}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_parameter_gets_a_gradient(spec):
    ours = spec.network(U, N, generator(), fused_items)
    smooth(ours.pair_scores(*batch(3, 60))).backward()
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_factors_have_their_spread():
    table = factors(2000, 50, generator())
    assert abs(table.mean().item()) < 1e-4
    assert table.std().item() == pytest.approx(0.01, rel=0.02)
