"""Membership metrics against cases worked by hand, brute force, scikit-learn and planted answers."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from recaudit.metrics.membership import accuracy, auc, mean_roc, membership_intervals, roc, tpr_at_fpr

NORMAL = NormalDist()
FPRS = (0.01, 0.001)


def users(members, others):
    """Return scores and labels: the members' scores, then the others'."""
    labels = np.repeat([True, False], [len(members), len(others)])
    return np.array([*members, *others], dtype=np.float64), labels


@st.composite
def scored(draw):
    """Draw scores of few values, so many tie, and labels of both classes in any order."""
    labels = draw(st.lists(st.booleans(), min_size=2, max_size=30).filter(lambda each: len(set(each)) == 2))
    score = st.integers(-3, 3).map(float)
    scores = draw(st.lists(score, min_size=len(labels), max_size=len(labels)))
    return np.array(scores), np.array(labels)


def planted(generator, shift=1.0, n_members=100, n_others=100):
    return users(generator.normal(shift, 1, n_members), generator.normal(0, 1, n_others))


def planted_seeds(n_seeds, start=0, **options):
    each = [planted(np.random.default_rng(start + n), **options) for n in range(n_seeds)]
    return [scores for scores, _ in each], [members for _, members in each]


class TestAuc:
    @pytest.mark.parametrize(
        ("members", "others", "expected"),
        [
            ([3, 1], [2, 0], 0.75),
            ([2, 3], [0, 1], 1.0),
            ([0, 1], [2, 3], 0.0),
            ([5, 5, 5], [5, 5], 0.5),
            ([2, 1], [1, 0], 0.875),
            ([1], [1, 0, 2], 0.5),
            ([np.inf, 0], [-np.inf, 0], 0.875),
            ([0.0], [-0.0], 0.5),
        ],
    )
    def test_by_hand(self, members, others, expected):
        assert auc(*users(members, others)) == expected

    @given(scored())
    def test_is_the_share_of_pairs_won(self, case):
        scores, members = case
        pairs = np.sign(scores[members][:, None] - scores[~members])
        assert auc(scores, members) == pytest.approx((pairs.mean() + 1) / 2, abs=1e-12)

    @given(scored())
    def test_agrees_with_scikit_learn(self, case):
        scores, members = case
        assert auc(scores, members) == pytest.approx(roc_auc_score(members, scores), abs=1e-12)

    @given(scored())
    def test_turned_scores_turn_the_area(self, case):
        scores, members = case
        assert auc(-scores, members) == pytest.approx(1 - auc(scores, members), abs=1e-12)


class TestRoc:
    def test_by_hand(self):
        curve = roc(*users([3, 1, 1], [1, 0, 0, 0]))
        assert curve.false_positive_rates.tolist() == [0, 0, 0.25, 1]
        assert curve.true_positive_rates.tolist() == [0, 1 / 3, 1, 1]

    def test_one_score_for_all_is_one_step(self):
        curve = roc(*users([5, 5], [5, 5, 5]))
        assert curve.false_positive_rates.tolist() == curve.true_positive_rates.tolist() == [0, 1]

    @given(scored())
    def test_agrees_with_scikit_learn(self, case):
        scores, members = case
        curve = roc(scores, members)
        false, true, _ = roc_curve(members, scores, drop_intermediate=False)
        np.testing.assert_allclose(curve.false_positive_rates, false, atol=1e-15)
        np.testing.assert_allclose(curve.true_positive_rates, true, atol=1e-15)

    @given(scored())
    def test_the_trapezoids_below_it_are_the_auc(self, case):
        curve = roc(*case)
        area = np.trapezoid(curve.true_positive_rates, curve.false_positive_rates)
        assert auc(*case) == pytest.approx(area, abs=1e-12)


class TestTprAtFpr:
    # One of the four others scores 5, above three of the five members and together with a fourth.
    CASE = users([9, 5, 4, 3, 0], [5, 2, 1, 1])

    @pytest.mark.parametrize(
        ("fpr", "expected"),
        [(0.0, 0.2), (0.001, 0.2), (0.2499, 0.2), (0.25, 0.8), (0.5, 0.8), (0.99, 0.8), (1.0, 1.0)],
    )
    def test_by_hand(self, fpr, expected):
        assert tpr_at_fpr(*self.CASE, fpr) == expected

    def test_all_who_tie_come_in_together(self):
        assert tpr_at_fpr(*users([1, 1, 1], [1, 0, 0]), 0.3) == 0
        assert tpr_at_fpr(*users([1, 1, 1], [1, 0, 0]), 0.34) == 1

    def test_perfect_reversed_and_constant_scores(self):
        assert tpr_at_fpr(*users([2, 3], [0, 1]), 0.0) == 1
        assert tpr_at_fpr(*users([0, 1], [2, 3]), 0.99) == 0
        assert tpr_at_fpr(*users([7, 7], [7, 7]), 0.99) == 0

    @pytest.mark.parametrize("n_others", [7, 100])
    def test_a_rate_that_is_a_count_over_n_allows_that_count(self, n_others):
        """29 of 100 are 0.29, though 0.29 * 100 is a little below 29."""
        case = users(np.arange(n_others) + 0.5, np.arange(n_others))
        for count in range(n_others + 1):
            # With ``count`` others let in, so are the members above the highest other who stays out.
            assert tpr_at_fpr(*case, count / n_others) == min(count + 1, n_others) / n_others
        assert tpr_at_fpr(*users(np.arange(100) + 0.5, np.arange(100)), 0.29) == 0.30

    @given(scored(), st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.2, 0.25, 1 / 3, 0.5, 1.0])))
    def test_is_the_best_of_all_thresholds(self, case, fpr):
        scores, members = case
        best = 0.0
        for threshold in np.unique(scores):
            let_in = scores >= threshold
            if let_in[~members].mean() <= fpr:
                best = max(best, let_in[members].mean())
        assert tpr_at_fpr(scores, members, fpr) == best

    @pytest.mark.parametrize("fpr", [-0.1, 1.5, np.nan])
    def test_a_rate_out_of_range_is_an_error(self, fpr):
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            tpr_at_fpr(*self.CASE, fpr)


class TestAccuracy:
    def test_by_hand_at_a_given_threshold(self):
        """At 0.5 two of four members and one of two others are called members, at 0.7 two and none."""
        case = users([0.9, 0.8, 0.4, 0.3], [0.5, 0.2])
        assert accuracy(*case, 0.5) == 0.5
        assert accuracy(*case, 0.7) == 0.75

    def test_is_balanced(self):
        """Calling nobody a member is right for nine users in ten, yet no better than chance."""
        assert accuracy(*users([0.1], [0.2] * 9), 0.5) == 0.5
        assert accuracy(*users([0.6], [0.7] * 9), 0.5) == 0.5

    def test_the_threshold_itself_is_called_a_member(self):
        assert accuracy(*users([0.5], [0.4]), 0.5) == 1

    @pytest.mark.parametrize(
        ("members", "others", "expected"),
        [
            ([3, 1], [2, 0], 0.5),
            ([2, 3], [0, 1], 1.0),
            ([0, 1], [2, 3], 0.0),
            ([4, 4], [4, 4], 0.5),
            ([3, 2], [1], 1.0),
            ([3, 1], [1, 0], 0.75),
        ],
    )
    def test_without_one_the_higher_half_by_hand(self, members, others, expected):
        assert accuracy(*users(members, others)) == expected

    @given(scored(), st.integers(-4, 4).map(float))
    def test_is_the_mean_of_both_classes_accuracies(self, case, threshold):
        scores, members = case
        right = (scores >= threshold) == members
        expected = (right[members].mean() + right[~members].mean()) / 2
        assert accuracy(scores, members, threshold) == pytest.approx(expected, abs=1e-12)

    @given(scored())
    def test_without_one_the_last_of_the_half_is_the_threshold(self, case):
        scores, members = case
        last = np.sort(scores)[::-1][(len(scores) + 1) // 2 - 1]
        assert accuracy(scores, members) == accuracy(scores, members, last)

    def test_a_threshold_that_is_nan_is_an_error(self):
        with pytest.raises(ValueError, match="threshold is nan"):
            accuracy(*users([1], [0]), np.nan)


class TestAnyMetric:
    METRICS = (auc, accuracy, lambda *case: tpr_at_fpr(*case, 0.2))

    @given(scored())
    def test_only_the_order_of_scores_counts(self, case):
        scores, members = case
        for metric in self.METRICS:
            assert metric(np.exp(scores) - 7, members) == metric(scores, members)
            assert metric((scores**3).astype(np.float32), members) == metric(scores, members)

    @given(scored(), st.randoms(use_true_random=False))
    def test_the_order_of_users_does_not(self, case, random):
        scores, members = case
        order = np.array(random.sample(range(len(scores)), len(scores)))
        for metric in self.METRICS:
            assert metric(scores[order], members[order]) == metric(scores, members)

    @pytest.mark.parametrize("metric", [auc, roc, accuracy, lambda *case: tpr_at_fpr(*case, 0.1)])
    def test_users_that_cannot_be_judged_are_errors(self, metric):
        scores = np.array([0.1, np.nan, 0.3])
        with pytest.raises(ValueError, match=r"0 members among 3 users.*needs both"):
            metric(np.zeros(3), np.zeros(3, dtype=bool))
        with pytest.raises(ValueError, match=r"3 members among 3 users.*needs both"):
            metric(np.zeros(3), np.ones(3, dtype=bool))
        with pytest.raises(ValueError, match="0 members among 0 users"):
            metric(np.zeros(0), np.zeros(0, dtype=bool))
        with pytest.raises(ValueError, match="1 of 3 scores are nan"):
            metric(scores, np.array([True, False, True]))


def naive_figures(members, others, of_members, of_others):
    """Return AUC, accuracy at 0.5 and TPRs of weighted users by comparing every pair."""
    of_members, of_others = of_members / of_members.sum(), of_others / of_others.sum()
    pairs = np.where(members[:, None] == others, 0.5, members[:, None] > others)
    tprs = []
    for fpr in FPRS:
        allowed = [t for t in [*members, *others] if of_others[others >= t].sum() <= fpr]
        tprs.append(of_members[members >= min(allowed, default=np.inf)].sum() if allowed else 0.0)
    right = of_members[members >= 0.5].sum() + of_others[others < 0.5].sum()
    return of_members @ pairs @ of_others, right / 2, *tprs


def naive_intervals(scores, members, resamples, seed):
    """Return the ends of every figure, by a loop over resamples and seeds."""
    generator, n_seeds = np.random.default_rng(seed), len(scores)
    both = [[each[who == one] for one in (True, False)] for each, who in zip(scores, members, strict=True)]
    own = np.array([naive_figures(*classes, *(np.ones(len(each)) for each in classes)) for classes in both])
    drawn, shares = [], []
    for _ in range(resamples):
        row, share = [], []
        for classes in both:
            placed = [np.array([-np.inf, *each, np.inf]) for each in classes]
            weights = [
                generator.gamma([0.25 / n_seeds, *np.ones(len(each)), 0.25 / n_seeds]) for each in classes
            ]
            row.append(naive_figures(*placed, *weights))
            share.append(sum(w.sum() / len(each) for w, each in zip(weights, classes, strict=True)))
        drawn.append(row)
        shares.append(share)
    drawn = np.array(drawn)
    means = [np.average(row, axis=0, weights=share) for row, share in zip(drawn, shares, strict=True)]
    noise = np.mean([(row - own).var(axis=0, ddof=1) for row in drawn], axis=0)
    between = np.maximum(own.var(axis=0, ddof=1) - noise, 0) ** 0.5 / n_seeds**0.5
    moved = means + generator.standard_t(n_seeds - 1, size=(resamples, 1)) * between
    return np.quantile(moved.clip(0, 1), [0.025, 0.975], axis=0).T


class TestIntervals:
    def test_values_are_the_means_over_seeds_of_the_metrics(self):
        scores, members = planted_seeds(3, n_others=150)
        found = membership_intervals(scores, members, seed=0, resamples=50, thresholds=[0.5, 0.1, 0.9])
        assert list(found) == ["auc", "accuracy", "tpr@0.01", "tpr@0.001"]
        both = list(zip(scores, members, strict=True))
        expected = {
            "auc": np.mean([auc(*each) for each in both]),
            "accuracy": np.mean([accuracy(*each, t) for each, t in zip(both, [0.5, 0.1, 0.9], strict=True)]),
            **{f"tpr@{fpr}": np.mean([tpr_at_fpr(*each, fpr) for each in both]) for fpr in FPRS},
        }
        assert {name: each.value for name, each in found.items()} == pytest.approx(expected, abs=1e-12)
        assert all(each.low <= each.value <= each.high for each in found.values())

    def test_the_rates_asked_for_name_the_figures(self):
        scores, members = planted_seeds(1)
        found = membership_intervals(scores, members, seed=0, resamples=10, false_positive_rates=[0.1, 1e-4])
        assert list(found) == ["auc", "accuracy", "tpr@0.1", "tpr@0.0001"]

    def test_ends_are_those_of_a_loop_over_resampled_users(self):
        scores, members = planted_seeds(3, n_members=30, n_others=40)
        found = membership_intervals(scores, members, seed=1, resamples=4000, thresholds=[0.5] * 3)
        expected = naive_intervals(scores, members, resamples=2000, seed=2)
        np.testing.assert_allclose([(each.low, each.high) for each in found.values()], expected, atol=0.03)
        assert {each.n for each in found.values()} == {210}

    @pytest.mark.slow
    def test_one_seed_users_alone_are_covered_at_the_level(self):
        """Members normal about 1, others about 0: AUC is Φ(1 / √2), TPR at 0.1 is Φ(1 - z)."""
        truth = {
            "auc": NORMAL.cdf(0.5**0.5),
            "accuracy": NORMAL.cdf(0.5),
            "tpr@0.1": NORMAL.cdf(1 - NORMAL.inv_cdf(0.9)),
        }
        generator, covered = np.random.default_rng(3), dict.fromkeys(truth, 0)
        for trial in range(300):
            scores, members = planted(generator)
            found = membership_intervals(
                [scores],
                [members],
                seed=trial,
                resamples=300,
                thresholds=[0.5],
                false_positive_rates=[0.1],
            )
            for name, true in truth.items():
                covered[name] += found[name].low <= true <= found[name].high
        assert all(0.90 < count / 300 < 0.99 for count in covered.values()), covered

    @pytest.mark.slow
    @pytest.mark.parametrize("sides", [(2, 2), (3, 3), (5, 5), (5, 50)])
    @pytest.mark.parametrize("area", [0.75, 0.95])
    def test_few_users_are_covered_at_the_level(self, area, sides):
        """The percentile bootstrap covers an AUC of 0.95 one time in eight with two on each side."""
        generator, covered = np.random.default_rng(5), 0
        for trial in range(200):
            scores, members = planted(generator, NORMAL.inv_cdf(area) * 2**0.5, *sides)
            found = membership_intervals([scores], [members], seed=trial, resamples=200)["auc"]
            covered += found.low <= area <= found.high
        assert covered / 200 >= 0.9

    def test_a_tpr_at_one_in_a_hundred_is_not_claimed_from_thirty_strangers(self):
        """Whatever the scores: none of thirty does not show one of a hundred."""
        perfect = users(np.ones(30), np.zeros(30))
        found = membership_intervals([perfect[0]], [perfect[1]], seed=0, resamples=400)
        assert (found["tpr@0.01"].low, found["tpr@0.01"].value) == (0.0, 1.0)
        perfect = users(np.ones(600), np.zeros(600))
        found = membership_intervals([perfect[0]], [perfect[1]], seed=0, resamples=400)
        assert found["tpr@0.01"].low > 0.98

    @pytest.mark.parametrize("sides", [(1, 9), (9, 1), (1, 1)])
    def test_one_member_or_one_stranger_has_no_interval(self, sides):
        scores, members = planted(np.random.default_rng(0), 1.0, *sides)
        found = membership_intervals([scores], [members], seed=0)
        assert {(each.low, each.high, each.n) for each in found.values()} == {(None, None, sum(sides))}
        curve = mean_roc([scores], [members], np.array([0.0, 0.5, 1.0]), seed=0)
        assert np.isnan(curve.low).all()
        assert np.isnan(curve.high).all()
        assert curve.true_positive_rates[-1] == 1
        two = membership_intervals([scores] * 2, [members] * 2, seed=0)["auc"]
        assert two.low < two.high

    @pytest.mark.slow
    def test_seeds_that_differ_are_covered_at_the_level(self):
        """Over shifts normal about 1 with variance 0.25 the mean AUC is Φ(1 / √2.25)."""
        true, generator = NORMAL.cdf(1 / 2.25**0.5), np.random.default_rng(4)
        covered = 0
        for trial in range(100):
            each = [planted(generator, shift, 40, 40) for shift in generator.normal(1, 0.5, size=12)]
            scores, members = [case[0] for case in each], [case[1] for case in each]
            found = membership_intervals(scores, members, seed=trial, resamples=200)["auc"]
            covered += found.low <= true <= found.high
        assert covered > 90

    def test_one_seed_resamples_users_and_alike_seeds_leave_the_rest(self):
        scores, members = planted_seeds(1)
        one = membership_intervals(scores, members, seed=0)["auc"]
        five = membership_intervals(scores * 5, members * 5, seed=0)["auc"]
        assert one.low < one.value < one.high
        # Five times the users, as they are weighed apart for each seed.
        assert five.high - five.low == pytest.approx((one.high - one.low) / 5**0.5, rel=0.1)

    def test_six_perfect_users_leave_doubt_and_seeds_that_differ_leave_more(self):
        perfect, useless = users([2, 3], [0, 1]), users([1, 1], [1, 1])
        found = membership_intervals([perfect[0]] * 3, [perfect[1]] * 3, seed=0, resamples=100)
        assert {(each.value, each.high) for each in found.values()} == {(1.0, 1.0)}
        assert 0.4 < found["auc"].low < 0.95
        found = membership_intervals([perfect[0], useless[0]], [perfect[1]] * 2, seed=0, resamples=100)
        assert (found["auc"].value, found["auc"].high) == (0.75, 1.0)
        assert found["auc"].low < 0.3

    def test_every_attack_is_judged_on_the_same_resamples(self):
        """Scores that rank alike, in another seed's company even, get equal ends, figure by figure."""
        scores, members = planted_seeds(3)
        found = membership_intervals(scores, members, seed=5, resamples=100)
        assert (
            membership_intervals([np.exp(each) for each in scores], members, seed=5, resamples=100) == found
        )
        assert membership_intervals(scores, members, seed=6, resamples=100) != found
        more = membership_intervals(
            scores, members, seed=5, resamples=100, false_positive_rates=(0.5, *FPRS), thresholds=[0.5] * 3
        )
        assert {name: more[name] for name in found if name != "accuracy"} == {
            name: each for name, each in found.items() if name != "accuracy"
        }

    def test_two_attacks_differ_by_less_than_apart_where_resamples_are_shared(self):
        """An attack that misjudges one user more stays below the other at both ends, whatever the seed."""
        scores, members = planted_seeds(2)
        worse = [each.copy() for each in scores]
        for each in worse:
            each[np.argmax(each[:100])] = -9
        for seed in range(20):
            better, other = (
                membership_intervals(each, members, seed=seed, resamples=60)["auc"]
                for each in (scores, worse)
            )
            assert other.low < better.low
            assert other.high < better.high

    def test_the_size_of_a_chunk_does_not_change_the_draws(self, monkeypatch):
        scores, members = planted_seeds(3)
        found = membership_intervals(scores, members, seed=0, resamples=100)
        monkeypatch.setattr("recaudit.metrics.membership._CHUNK", 1500)
        assert membership_intervals(scores, members, seed=0, resamples=100) == found

    def test_fewer_resamples_than_seeds_are_enough(self):
        scores, members = planted_seeds(9)
        found = membership_intervals(scores, members, seed=0, resamples=1)
        assert found["auc"].low <= found["auc"].value <= found["auc"].high

    @pytest.mark.parametrize("metric", ["intervals", "roc"])
    def test_what_makes_no_interval_is_an_error(self, metric):
        def ask(scores, members, **options):
            if metric == "intervals":
                membership_intervals(scores, members, seed=0, **options)
            else:
                mean_roc(scores, members, np.array([0.5]), seed=0, **options)

        scores, members = planted_seeds(2)
        with pytest.raises(ValueError, match="0 members among 200 users \\(seed 2 of 2\\)"):
            ask(scores, [members[0], np.zeros(200, dtype=bool)])
        with pytest.raises(ValueError, match="200 scores for 3 users \\(seed 1 of 2\\)"):
            ask(scores, [members[0][:3], members[1]])
        with pytest.raises(ValueError, match="scores of 2 seeds and members of 1"):
            ask(scores, members[:1])
        with pytest.raises(ValueError, match="scores of 0 seeds"):
            ask([], [])
        with pytest.raises(ValueError, match="resamples must be"):
            ask(scores, members, resamples=0)
        with pytest.raises(ValueError, match="resamples must be"):
            ask(scores, members, level=1.0)

    def test_thresholds_are_one_a_seed(self):
        scores, members = planted_seeds(2)
        with pytest.raises(ValueError, match="1 thresholds for 2 seeds"):
            membership_intervals(scores, members, seed=0, thresholds=[0.5])


class TestMeanRoc:
    GRID = np.array([0.0, 0.001, 0.01, 0.1, 0.5, 1.0])

    def test_is_the_mean_of_the_steps_and_holds_the_tpr_figures(self):
        scores, members = planted_seeds(3)
        curve = mean_roc(scores, members, self.GRID, seed=4, resamples=200)
        both = list(zip(scores, members, strict=True))
        expected = [np.mean([tpr_at_fpr(*each, fpr) for each in both]) for fpr in self.GRID]
        np.testing.assert_allclose(curve.true_positive_rates, expected, atol=1e-12)
        np.testing.assert_array_equal(curve.false_positive_rates, self.GRID)
        figures = membership_intervals(scores, members, seed=4, resamples=200)
        for name, place in (("tpr@0.001", 1), ("tpr@0.01", 2)):
            assert figures[name].low == curve.low[place]
            assert figures[name].high == curve.high[place]

    def test_by_hand(self):
        """One seed's curve steps to 0.5 at once and to 1 at 0.5, the other's to 0 and to 1."""
        (half, labels), (none, _) = users([3, 1], [2, 0]), users([1, 1], [2, 0])
        curve = mean_roc([half, none], [labels] * 2, np.array([0.0, 0.49, 0.5, 1.0]), seed=0, resamples=10)
        assert curve.true_positive_rates.tolist() == [0.25, 0.25, 1.0, 1.0]

    def test_it_never_falls_and_ends_where_all_are_let_in(self):
        curve = mean_roc(*planted_seeds(4), np.linspace(0, 1, 31), seed=0, resamples=300)
        for line in (curve.low, curve.true_positive_rates, curve.high):
            assert (np.diff(line) >= 0).all()
            assert line[-1] == 1
        assert (curve.low <= curve.true_positive_rates).all()
        assert (curve.true_positive_rates <= curve.high).all()

    def test_a_grid_out_of_range_is_an_error(self):
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            mean_roc(*planted_seeds(1), np.array([0.5, 1.1]), seed=0)
