"""Ranking metrics against cases worked by hand, their own laws and ir-measures."""

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import Qrel, R, ScoredDoc, nDCG

from recaudit.metrics.ranking import agreement, ndcg, rank_biased_overlap, recall

NAN = float("nan")


def rows(*lists):
    return np.array(lists, dtype=np.int64)


def relevant(*sets):
    offsets = np.cumsum([0, *map(len, sets)]).astype(np.int64)
    return offsets, np.array([item for items in sets for item in items], dtype=np.int32)


@st.composite
def padded_lists(draw, count=2, n_items=12, shortest=0):
    """``count`` arrays of lists of the same users: distinct items, padded with -1 at the end."""
    n_users, k = draw(st.integers(1, 4)), draw(st.integers(1, 8))
    one = st.lists(st.integers(0, n_items - 1), unique=True, min_size=min(shortest, k), max_size=k)
    return [
        np.array([(r + [-1] * k)[:k] for r in (draw(one) for _ in range(n_users))], dtype=np.int64)
        for _ in range(count)
    ]


class TestAgreement:
    def test_by_hand(self):
        reference = rows([0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3])
        lists = rows([3, 2, 9, 8], [7, 6, 5, 4], [9, 8, 7, 6])
        assert agreement(reference, lists).tolist() == [0.5, 1.0, 0.0]

    def test_padding_shortens_the_reference_and_never_matches(self):
        reference = rows([5, 9, -1, -1], [0, 1, 2, -1])
        lists = rows([9, 0, -1, -1], [9, 2, 1, -1])
        assert agreement(reference, lists).tolist() == [0.5, 2 / 3]

    def test_an_empty_reference_is_undefined_and_an_empty_list_shares_nothing(self):
        np.testing.assert_array_equal(agreement(rows([-1, -1], [1, 2]), rows([1, 2], [-1, -1])), [NAN, 0.0])

    def test_no_users(self):
        empty = np.empty((0, 3), dtype=np.int32)
        assert agreement(empty, empty).shape == (0,)

    def test_int32_and_int64_mix(self):
        assert agreement(rows([1, 2]), rows([2, 1]).astype(np.int32)).tolist() == [1.0]

    @given(padded_lists())
    def test_is_the_set_definition(self, both):
        expected = [
            len(set(r[r >= 0]) & set(c[c >= 0])) / len(r[r >= 0]) if (r >= 0).any() else NAN
            for r, c in zip(*both, strict=True)
        ]
        np.testing.assert_array_equal(agreement(*both), expected)

    @given(padded_lists(count=1, shortest=1))
    def test_order_does_not_matter(self, only):
        (lists,) = only
        turned = np.array([[*r[r >= 0][::-1], *r[r < 0]] for r in lists])
        assert (agreement(lists, turned) == 1).all()


class TestRecallAndNdcg:
    def test_recall_by_hand(self):
        lists = rows([0, 1, 2], [0, 1, 2], [3, 4, -1])
        offsets, items = relevant([2, 7], [0, 1, 2, 3], [4])
        assert recall(lists, offsets, items).tolist() == [0.5, 0.75, 1.0]

    def test_ndcg_by_hand(self):
        lists = rows([0, 1, 2], [0, 1, 2], [3, 4, -1])
        offsets, items = relevant([2, 7], [0, 1, 2, 3], [4])
        second, third = 1 / np.log2(3), 1 / np.log2(4)
        np.testing.assert_allclose(ndcg(lists, offsets, items), [third / (1 + second), 1.0, second])

    def test_users_without_relevant_items_are_undefined(self):
        lists = rows([0, 1], [0, 1])
        offsets, items = relevant([], [1])
        np.testing.assert_array_equal(recall(lists, offsets, items), [NAN, 1.0])
        assert np.isnan(ndcg(lists, offsets, items)).tolist() == [True, False]

    def test_nobody_has_relevant_items(self):
        offsets, items = relevant([], [])
        assert np.isnan(recall(rows([0, 1], [1, 0]), offsets, items)).all()

    def test_padding_does_not_match_the_row_above(self):
        # The padding's key of row 1 would be the key of row 0's greatest item.
        offsets, items = relevant([5], [5])
        assert recall(rows([5, 1], [-1, -1]), offsets, items).tolist() == [1.0, 0.0]

    @given(padded_lists(), st.permutations(range(12)))
    def test_renaming_the_items_changes_nothing(self, both, names):
        lists, others = both
        sets = [r[r >= 0].tolist() for r in others]
        new = np.array([*names, -1])
        renamed = [new[each].tolist() for each in sets]
        for metric in (recall, ndcg):
            value = metric(lists, *relevant(*sets))
            np.testing.assert_array_equal(value, metric(new[lists], *relevant(*renamed)))
            defined = value[~np.isnan(value)]
            assert ((defined >= 0) & (defined <= 1 + 1e-12)).all()

    @pytest.mark.parametrize("k", [1, 5, 20])
    def test_same_as_ir_measures(self, k):
        generator = np.random.default_rng(3)
        lists = np.array([generator.permutation(60)[:20] for _ in range(40)])
        sets = [generator.permutation(60)[: generator.integers(1, 30)].tolist() for _ in range(40)]
        qrels = [Qrel(str(u), str(i), 1) for u, items in enumerate(sets) for i in items]
        # Distinct falling scores: ir-measures orders equal scores its own way.
        run = [ScoredDoc(str(u), str(i), 100.0 - r) for u, row in enumerate(lists) for r, i in enumerate(row)]
        theirs = {"R": np.full(40, NAN), "nDCG": np.full(40, NAN)}
        for each in ir_measures.iter_calc([R @ k, nDCG @ k], qrels, run):
            theirs[each.measure.NAME][int(each.query_id)] = each.value
        np.testing.assert_allclose(recall(lists[:, :k], *relevant(*sets)), theirs["R"], rtol=1e-12)
        np.testing.assert_allclose(ndcg(lists[:, :k], *relevant(*sets)), theirs["nDCG"], rtol=1e-12)


def webber_eq_32(first, second, p):
    """Webber et al. (2010), Eq. 32, with Python's sets."""
    short, long = sorted([first, second], key=len)
    x = [len(set(short[:d]) & set(long[:d])) for d in range(len(long) + 1)]
    total = sum(x[d] / d * p**d for d in range(1, len(long) + 1))
    total += sum(
        x[len(short)] * (d - len(short)) / (len(short) * d) * p**d
        for d in range(len(short) + 1, len(long) + 1)
    )
    return (1 - p) / p * total + (
        (x[-1] - x[len(short)]) / len(long) + x[len(short)] / len(short)
    ) * p ** len(long)


class TestRankBiasedOverlap:
    def test_by_hand(self):
        # X = 0, 2, 2 at depths 1, 2, 3: (1-p)/p (2/2 p² + 2/3 p³) + 2/3 p³ with p = 1/2.
        value = rank_biased_overlap(rows([0, 1, 2]), rows([1, 0, 9]), 0.5)
        np.testing.assert_allclose(value, [1 / 4 + 2 / 3 / 8 + 2 / 3 / 8])

    def test_lists_of_unequal_length_by_hand(self):
        # X = 1, 1, 2 and s = 1, l = 3: Eq. 32 with p = 1/2.
        value = rank_biased_overlap(rows([0, -1, -1]), rows([0, 1, 2]), 0.5)
        seen = 1 / 2 + 1 / 2 / 4 + 1 / 3 / 8
        beyond = 1 / 2 / 4 + 2 / 3 / 8
        np.testing.assert_allclose(value, [seen + beyond + 1 / 8])

    @pytest.mark.parametrize("p", [0.1, 0.9, 0.99])
    def test_identical_lists_give_1_and_disjoint_ones_0(self, p):
        lists = rows([3, 1, 2, 0], [5, 4, -1, -1])
        np.testing.assert_allclose(rank_biased_overlap(lists, lists, p), [1.0, 1.0])
        others = rows([8, 9, 10, 11], [0, 1, 2, 3])
        assert rank_biased_overlap(lists, others, p).tolist() == [0.0, 0.0]

    def test_the_top_weighs_most(self):
        reference = np.arange(10)[None]
        swaps = [reference[:, [1, 0, *range(2, 10)]], reference[:, [*range(8), 9, 8]]]
        top, bottom = (rank_biased_overlap(reference, s)[0] for s in swaps)
        assert top < bottom < 1

    def test_empty_lists(self):
        first, second = rows([-1, -1], [-1, -1], [0, 1]), rows([-1, -1], [0, 1], [-1, -1])
        np.testing.assert_array_equal(rank_biased_overlap(first, second), [NAN, 0.0, 0.0])

    @pytest.mark.parametrize("p", [0.0, 1.0, -0.5, NAN])
    def test_persistence_must_lie_between_0_and_1(self, p):
        with pytest.raises(ValueError, match="persistence"):
            rank_biased_overlap(rows([0]), rows([0]), p)

    @given(padded_lists(shortest=1), st.floats(0.05, 0.99))
    def test_is_webbers_equation_32_and_symmetric_and_bounded(self, both, p):
        value = rank_biased_overlap(*both, p)
        expected = [
            webber_eq_32(f[f >= 0].tolist(), s[s >= 0].tolist(), p) for f, s in zip(*both, strict=True)
        ]
        np.testing.assert_allclose(value, expected, atol=1e-12)
        np.testing.assert_allclose(rank_biased_overlap(*both[::-1], p), value, atol=1e-12)
        assert ((value >= 0) & (value <= 1 + 1e-9)).all()
