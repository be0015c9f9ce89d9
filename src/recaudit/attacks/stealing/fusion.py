"""Attention fusion of learned and auxiliary item vectors (Zhu et al. 2023, section 4.2, Eq. 5-8)."""

from typing import Any

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor, nn
from torch.nn.functional import embedding

from recaudit.models.closed_form import CHUNK, Workspace, softmax_less_target_, through_relu
from recaudit.models.networks import ItemVectors, Projection

__all__ = ["FusedItems"]


class FusedItems(ItemVectors):
    r"""Item vectors that mix learned ones with frozen auxiliary ones, as each user's vector attends to them.

    With user vector p, learned item vector q^c and auxiliary item vector q^a:

    .. math::
        \alpha = w^T ReLU(p \odot q^c) + b, \quad \beta = w^T ReLU(p \odot q^a) + b \qquad (5)

        (\alpha', \beta') = softmax(\alpha, \beta) \qquad (6)

        q^f = \alpha' q^c + \beta' q^a \qquad (7)

    The softmax of two is :math:`\beta' = \sigma(\beta - \alpha)`, in which b cancels: it is left out, and
    :math:`p \cdot q^f = p \cdot q^c + \beta' (p \cdot q^a - p \cdot q^c)`.

    For all items at once, w·ReLU(p∘q) is split by signs: a product p_d q_d is positive where both factors are
    positive or both negative, so w·ReLU(p∘q) = (w∘p⁺)·q⁺ + (w∘p⁻)·q⁻ with p⁺ = max(p, 0), p⁻ = min(p, 0).
    That is exact and needs matrix products alone.

    Items whose auxiliary vectors the attacker may not use (section 5.3.3, Figure 5) have β' = 0.

    The gradient is in closed form, in buffers kept between batches. With γ = ∂β' β' (1 - β'), the gradient
    before the sigmoid, e^a = γ w∘1[p∘q^a > 0] and e^c = γ w∘1[p∘q^c > 0]:

    .. math::
        \partial\beta' = \partial q^f \cdot (q^a - q^c), \quad
        \partial w = \sum \gamma (ReLU(p \odot q^a) - ReLU(p \odot q^c))

        \partial q^c = (1 - \beta') \partial q^f - e^c \odot p, \quad
        \partial p = \sum_m e^a \odot q^a - e^c \odot q^c

    and for the inner product x = p·q^f, where ∂q^f = ∂x p, besides ∂x q^f to ∂p.

    Args:
        table: the learned item vectors (I, D), from their initial values on.
        auxiliary: the auxiliary model's item vectors (I, D), never trained.
        generator: draws the attention's weights, uniform in ±1/√D as a linear layer's are.
        common: the items (I) whose auxiliary vectors are used; all where left out.
    """

    auxiliary: Tensor
    common: Tensor
    _masked: bool

    def __init__(
        self,
        table: nn.Parameter,
        auxiliary: Float32[Tensor, "I D"],
        generator: torch.Generator,
        common: Bool[Tensor, "I"] | None = None,
    ) -> None:
        super().__init__()
        n_items, size = table.shape
        self.table = table
        self.register_buffer("auxiliary", auxiliary)
        self.register_buffer("common", torch.ones(n_items, dtype=torch.bool) if common is None else common)
        self.attention = nn.Parameter((torch.rand(size, generator=generator) * 2 - 1) / size**0.5)
        self._work = Workspace()
        _note_mask(self)
        self.register_load_state_dict_post_hook(_note_mask)  # type: ignore[no-untyped-call]

    def vectors(self, users: Float32[Tensor, "B D"], items: Int64[Tensor, "M B"]) -> Float32[Tensor, "M B D"]:
        """Return the fused vectors of Eq. 7; with gradients, in a buffer that the next call overwrites."""
        fused: Tensor = _Vectors.apply(users, self.attention, self, items, self._work.current())  # type: ignore[no-untyped-call]
        return fused

    def dots(
        self, table: Float32[Tensor, "U D"], users: Int64[Tensor, "B"], items: Int64[Tensor, "M B"]
    ) -> Float32[Tensor, "M B"]:
        """Return Eq. 8 for pairs."""
        dots: Tensor = _Dots.apply(self.attention, table, users, self, items, self._work.current())  # type: ignore[no-untyped-call]
        return dots

    def _signs(self) -> tuple[Tensor, Tensor]:
        """Return (q^a)⁺ - (q^c)⁺ and (q^a)⁻ - (q^c)⁻ of all items: (I, D)."""
        return (
            self.auxiliary.clamp_min(0) - self.table.clamp_min(0),
            self.auxiliary.clamp_max(0) - self.table.clamp_max(0),
        )

    def _auxiliary_shares(self, p: Tensor, signs: tuple[Tensor, Tensor], items: slice) -> Tensor:
        """Return β' of Eq. 6 for user vectors (B, D) and a range of items, by the split into signs."""
        positive, negative = (table[items] for table in signs)
        logits = (self.attention * p.clamp_min(0)) @ positive.T
        logits += (self.attention * p.clamp_max(0)) @ negative.T
        share = torch.sigmoid_(logits)
        if not self._masked:
            return share
        # In place only where autograd does not need what the sigmoid left.
        common = self.common[items]
        return share * common if share.requires_grad else share.mul_(common)

    def all_dots(self, users: Float32[Tensor, "B D"]) -> Float32[Tensor, "B I"]:
        """Return Eq. 8 for all items, with matrix products alone."""
        share = self._auxiliary_shares(users, self._signs(), slice(None))
        return torch.addcmul(users @ self.table.T, share, users @ (self.auxiliary - self.table).T)

    def projection(self, weight: Float32[Tensor, "H D"]) -> Projection:
        """Return what mixes the two tables, both projected once."""
        signs = self._signs()
        plain, more = self.table @ weight.T, (self.auxiliary - self.table) @ weight.T

        def project(users: Tensor, items: slice) -> Tensor:
            share = self._auxiliary_shares(users, signs, items)
            return torch.addcmul(plain[items], share[..., None], more[items])

        return project

    def met(
        self, users: Float32[Tensor, "*P D"] | None, items: Int64[Tensor, "*P"]
    ) -> Float32[Tensor, "*P D"]:
        """Return the fused vectors of Eq. 7, one item a user vector, or without users the learned ones."""
        learned = embedding(items, self.table)
        if users is None:
            return learned
        auxiliary = embedding(items, self.auxiliary)
        logits = (torch.relu(users * auxiliary) - torch.relu(users * learned)) @ self.attention
        share = torch.sigmoid(logits) * self.common[items] if self._masked else torch.sigmoid(logits)
        return torch.lerp(learned, auxiliary, share[..., None])

    def cross_entropy(self, users: Float32[Tensor, "P D"], items: Int64[Tensor, "P"]) -> Float32[Tensor, ""]:
        """Return the loss of Eq. 8 for all items; its gradient is in closed form."""
        loss: Tensor = _CrossEntropy.apply(users, self.table, self.attention, self, items)  # type: ignore[no-untyped-call]
        return loss

    @property
    def personal(self) -> bool:
        """They depend on the user."""
        return True

    def learned(self) -> Float32[Tensor, "I D"]:
        """Return the learned part, without the auxiliary vectors."""
        return self.table.detach()


def _note_mask(fused: FusedItems, *_: object) -> None:
    """Note whether any item's auxiliary vector is not used: without such items a mask costs nothing."""
    fused._masked = not bool(fused.common.all())


class _Attended:
    """User vectors p (B, D) that met M items each: their vectors, products after ReLU, and shares β' (M, B).

    ``more`` (M, B) is p·q^a - p·q^c and ``plain`` (M, B) is p·q^c, where ``dots`` asks for them.
    """

    def __init__(self, p: Tensor, fused: FusedItems, items: Tensor, work: Workspace, *, dots: bool) -> None:
        self.p, self.fused, self.items, self.work = p, fused, items, work
        self.turn = work.begin()
        self.spare = work.buffer("spare", p, *p.shape)
        self.learned, self.of_learned, self.auxiliary, self.of_auxiliary = (
            [work.buffer(f"{name} {m}", p, *p.shape) for m in range(len(items))]
            for name in ("learned", "of learned", "auxiliary", "of auxiliary")
        )
        logits, self.plain, self.more = (p.new_empty(items.shape) for _ in range(3))
        for m, chosen in enumerate(items):
            plain, alpha = self._met(fused.table, chosen, self.learned[m], self.of_learned[m], dots)
            more, beta = self._met(fused.auxiliary, chosen, self.auxiliary[m], self.of_auxiliary[m], dots)
            torch.sub(beta, alpha, out=logits[m])
            if plain is not None and more is not None:
                self.plain[m] = plain
                torch.sub(more, plain, out=self.more[m])
        self.share = torch.sigmoid_(logits)
        if fused._masked:
            self.share *= fused.common[items]

    def _met(
        self, table: Tensor, chosen: Tensor, vectors: Tensor, products: Tensor, dots: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Fill q and ReLU(p∘q) of one item a user; return p·q if asked for, and w·ReLU(p∘q)."""
        torch.index_select(table, 0, chosen, out=vectors)
        torch.mul(self.p, vectors, out=products)
        sums = products.sum(-1) if dots else None
        return sums, products.relu_() @ self.fused.attention

    def attention_gradient(self, m: int, slope: Tensor) -> Tensor:
        """Return ∂w, and turn the products into e^c and e^a; ``slope`` is γ (B) of the m-th items."""
        gradient = slope @ self.of_auxiliary[m] - slope @ self.of_learned[m]
        outer = torch.mul(slope[:, None], self.fused.attention, out=self.spare)
        through_relu(outer, self.of_learned[m], out=self.of_learned[m])
        through_relu(outer, self.of_auxiliary[m], out=self.of_auxiliary[m])
        return gradient


class _Vectors(torch.autograd.Function):
    """Eq. 7, as a function of p and w; the gradient of the learned vectors is added to their table's."""

    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes by position
        ctx: Any, p: Tensor, attention: Tensor, fused: FusedItems, items: Tensor, work: Workspace
    ) -> Tensor:
        del attention  # it is fused.attention, named for autograd
        ctx.met = met = _Attended(p, fused, items, work, dots=False)
        vectors = work.buffer("fused", p, len(items), *p.shape)
        for m, share in enumerate(met.share[..., None]):
            torch.lerp(met.learned[m], met.auxiliary[m], share, out=vectors[m])
        return vectors.detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        met: _Attended = ctx.met
        met.work.check(met.turn)
        met.work.begin()  # what the buffers hold is overwritten below
        of_p, of_w = torch.zeros_like(met.p), torch.zeros_like(met.fused.attention)
        for m, (share, of_q) in enumerate(zip(met.share, gradient, strict=True)):
            learned, e_c, e_a = met.learned[m], met.of_learned[m], met.of_auxiliary[m]
            of_share = torch.sub(met.auxiliary[m], learned, out=met.spare).mul_(of_q).sum(-1)
            of_w += met.attention_gradient(m, of_share * share * (1 - share))
            of_p.addcmul_(e_a, met.auxiliary[m]).addcmul_(e_c, learned, value=-1)
            of_learned = torch.mul(of_q, (1 - share)[:, None], out=met.spare).addcmul_(e_c, met.p, value=-1)
            met.work.add(met.fused.table, met.items[m], of_learned)
        return of_p, of_w, None, None, None


class _Dots(torch.autograd.Function):
    """Eq. 8, as a function of w; the gradients of user and of learned vectors are added to their tables'."""

    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes by position
        ctx: Any,
        attention: Tensor,
        table: Tensor,
        users: Tensor,
        fused: FusedItems,
        items: Tensor,
        work: Workspace,
    ) -> Tensor:
        del attention  # it is fused.attention, named for autograd
        p = work.buffer("users", table, len(users), table.shape[1])
        torch.index_select(table, 0, users, out=p)
        ctx.met = met = _Attended(p, fused, items, work, dots=True)
        ctx.given = table, users
        return torch.addcmul(met.plain, met.share, met.more)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        met: _Attended = ctx.met
        table, users = ctx.given
        met.work.check(met.turn)
        met.work.begin()  # what the buffers hold is overwritten below
        of_auxiliary = gradient * met.share
        of_learned = gradient - of_auxiliary
        slopes = of_learned * met.share * met.more
        of_p = met.work.buffer("gradient of users", met.p, *met.p.shape).zero_()
        of_w = torch.zeros_like(met.fused.attention)
        for m, slope in enumerate(slopes):
            of_w += met.attention_gradient(m, slope)
            # p·q^c and p·q^a have the gradients (1 - β') ∂x and β' ∂x, besides those through β'.
            by_learned = torch.sub(of_learned[m][:, None], met.of_learned[m], out=met.of_learned[m])
            by_auxiliary = met.of_auxiliary[m].add_(of_auxiliary[m][:, None])
            of_p.addcmul_(by_learned, met.learned[m]).addcmul_(by_auxiliary, met.auxiliary[m])
            met.work.add(met.fused.table, met.items[m], by_learned.mul_(met.p))
        met.work.add(table, users, of_p)
        return of_w, None, None, None, None, None


class _CrossEntropy(torch.autograd.Function):
    r"""The mean of -log softmax of Eq. 8 over all items, as a function of p (P, D), q^c (I, D) and w.

    With x = p·q^c, y = p·(q^a - q^c), the split by signs u = (w∘p⁺, w∘p⁻) and S = (q^a⁺ - q^c⁺, q^a⁻ - q^c⁻),
    the score is x + σ(u·S) y. With its gradient g (softmax minus target), h = g β' and l = h y (1 - β'),

    .. math::
        \partial p = (g - h) q^c + h q^a + w \circ 1_{\pm p} \circ (l S), \quad
        \partial q^c = (g - h)^T p - 1_{\pm q^c} \circ (l^T u), \quad
        \partial w = \sum p^{\pm} \circ (l S)

    where ± takes the half of S or u whose sign p or q^c has. A few states' scores are at hand at a time.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes by position
        ctx: Any, users: Tensor, table: Tensor, attention: Tensor, fused: FusedItems, items: Tensor
    ) -> Tensor:
        n, size = users.shape
        signs = torch.cat(fused._signs(), dim=1)
        more = fused.auxiliary - table
        of_users, of_table, of_halves = (
            users.new_empty(n, size),
            torch.zeros_like(table),
            signs.new_zeros(2 * size),
        )
        of_signs = torch.zeros_like(signs)
        losses = users.new_empty(n)
        for start in range(0, n, CHUNK // 4):
            p, target = users[start : start + CHUNK // 4], items[start : start + CHUNK // 4, None]
            halves = torch.cat([p.clamp_min(0), p.clamp_max(0)], dim=1)
            u = halves * attention.repeat(2)
            share, y = torch.sigmoid_(u @ signs.T), p @ more.T
            if fused._masked:
                share *= fused.common
            scores = torch.addcmul(p @ table.T, share, y)
            losses[start : start + CHUNK // 4] = softmax_less_target_(scores, target, n)
            through = scores * share
            scores -= through
            slope = y.mul_(through).mul_(share.neg_().add_(1))
            by_signs = slope @ signs
            of_halves += (halves * by_signs).sum(dim=0)
            by_signs *= attention.repeat(2)
            of_users[start : start + CHUNK // 4] = (
                scores @ table
                + through @ fused.auxiliary
                + by_signs[:, :size] * (p > 0)
                + by_signs[:, size:] * (p < 0)
            )
            of_table.addmm_(scores.T, p)
            of_signs.addmm_(slope.T, u)
        of_table -= of_signs[:, :size] * (table > 0) + of_signs[:, size:] * (table < 0)
        ctx.save_for_backward(of_users, of_table, of_halves[:size] + of_halves[size:])
        return losses.mean()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return *(gradient * found for found in ctx.saved_tensors), None, None
