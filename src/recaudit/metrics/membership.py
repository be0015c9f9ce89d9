"""How well an attack's scores tell members from non-members: AUC, ROC, TPR at a low FPR, accuracy.

Scores (U,) are higher for likelier members; ``members`` (U,) says who is one. Nobody can tell users apart who
share a score, so each threshold lets all of them in or none. Everything depends on the scores' order alone,
but for an accuracy at a given threshold. FPR and TPR are the false and true positive rates.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Real

from recaudit.metrics.intervals import BESIDE, FEWEST, Interval, check_resampling, ends, user_weights

__all__ = ["MeanRoc", "RocCurve", "accuracy", "auc", "mean_roc", "membership_intervals", "roc", "tpr_at_fpr"]

# Users drawn at once: 8 MB of their places and about three times as much of counts.
_CHUNK = 1_000_000


@dataclass(frozen=True, kw_only=True)
class RocCurve:
    """What each threshold that the scores offer lets in.

    Args:
        false_positive_rates: the share of non-members let in, from 0 to 1, never falling.
        true_positive_rates: the share of members let in, from 0 to 1, never falling.
    """

    false_positive_rates: Float64[np.ndarray, "P"]
    true_positive_rates: Float64[np.ndarray, "P"]


@dataclass(frozen=True, kw_only=True)
class MeanRoc:
    """The mean ROC curve of several seeds, with a band.

    Args:
        false_positive_rates: where the curves were read.
        true_positive_rates: the mean over seeds there.
        low: the lower end of the interval there, nan where there are too few users for one.
        high: the upper end of the interval there, likewise.
    """

    false_positive_rates: Float64[np.ndarray, "P"]
    true_positive_rates: Float64[np.ndarray, "P"]
    low: Float64[np.ndarray, "P"]
    high: Float64[np.ndarray, "P"]


def auc(scores: Float[np.ndarray, "U"], members: Bool[np.ndarray, "U"]) -> float:
    """Return the area under the ROC curve: how often a member outscores a non-member.

    ``AUC = Σ_{i member} Σ_{j non-member} ([s_i > s_j] + [s_i = s_j] / 2) / (M N)``: the Mann-Whitney
    statistic as a share of the ``M N`` pairs (Hanley and McNeil 1982), counted in whole numbers. Chance gives
    0.5, and so does one score for all.

    Raises:
        ValueError: where there is no member, no non-member or a score that is nan.
    """
    return float(_areas(_whole(_ranked(scores, members)))[0])


def roc(scores: Float[np.ndarray, "U"], members: Bool[np.ndarray, "U"]) -> RocCurve:
    """Return the ROC curve: (0, 0), then one point a distinct score, from the highest score to (1, 1).

    Raises:
        ValueError: where there is no member, no non-member or a score that is nan.
    """
    counts = _whole(_ranked(scores, members))
    return RocCurve(
        false_positive_rates=counts.false_positives[0] / counts.false_positives[0, -1],
        true_positive_rates=counts.true_positives[0] / counts.true_positives[0, -1],
    )


def tpr_at_fpr(scores: Float[np.ndarray, "U"], members: Bool[np.ndarray, "U"], fpr: float) -> float:
    """Return the greatest share of members that can be let in with at most ``fpr`` of the non-members.

    ``max {TPR(t) : FPR(t) <= fpr}`` over the thresholds t that these scores offer (Carlini et al. 2022,
    "Membership Inference Attacks From First Principles"), never interpolated. With N non-members the smallest
    FPR beside 0 is 1/N: at 0.001 with 100 non-members the figure is the share of members who outscore every
    non-member.

    Args:
        scores: one a user.
        members: who is a member.
        fpr: the greatest share of non-members, in [0, 1].

    Raises:
        ValueError: where there is no member, no non-member, a score that is nan, or ``fpr`` is out of range.
    """
    return float(_true_positive_rates(_whole(_ranked(scores, members)), _rates([fpr]))[0, 0])


def accuracy(
    scores: Float[np.ndarray, "U"], members: Bool[np.ndarray, "U"], threshold: float | None = None
) -> float:
    """Return the balanced accuracy, ``(TPR + 1 - FPR) / 2``, of calling scores from ``threshold`` up members.

    The threshold must come from elsewhere, such as 0.5 for probabilities or the best one on the attacker's
    shadow models: the best one on these users would be chosen by their labels and flatter the attack.

    Args:
        scores: one a user.
        members: who is a member.
        threshold: ``None`` calls the highest scoring half members, with all who tie with the last of them:
            it looks at no label, and suits scores without a scale where half of the users are members.

    Raises:
        ValueError: where there is no member, no non-member, or a score or the threshold is nan.
    """
    ranked = _ranked(scores, members)
    return float(_accuracies(_whole(ranked), ranked.let_in(threshold))[0])


def membership_intervals(
    scores: Sequence[Float[np.ndarray, "_"]],
    members: Sequence[Bool[np.ndarray, "_"]],
    *,
    seed: int,
    false_positive_rates: Sequence[float] = (0.01, 0.001),
    thresholds: Sequence[float] | None = None,
    resamples: int = 2000,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Return ``auc``, ``accuracy`` and each ``tpr@<fpr>``: means over seeds with their intervals.

    The intervals are those of ``bootstrap_interval`` and have its two levels. Each resample weighs a seed's
    members, and apart from them its non-members, by the Bayesian bootstrap. A quarter of a member and of a
    non-member is weighed above all scores and as much below them, half a user at each end in all: where
    every member outscores every non-member, a few users still do not prove an AUC of 1. Users whom several
    seeds share are weighed for each of them apart. All figures come from the same resamples, and so do those
    of every attack on the same members: the draws depend on ``seed``, ``resamples`` and the seeds' numbers of
    members and non-members alone. There is no interval from fewer than ``FEWEST`` members or non-members.

    The interval of a TPR is about the FPR in the population: few non-members cannot show that a threshold
    lets in one of a hundred only. From fewer than some ``2 / fpr`` non-members its lower end is 0 or close
    to it, whatever the TPR.

    Args:
        scores: one array a seed, one score a user.
        members: one array a seed: which users are members.
        seed: names the random draws; the same values and seed give the same intervals.
        false_positive_rates: the FPRs at which the TPR is told, each in [0, 1]; see ``tpr_at_fpr``.
        thresholds: one a seed, chosen elsewhere, for ``accuracy``; ``None`` calls the higher half members.
        resamples: how many resamples to draw.
        level: the intervals' level, in (0, 1).

    Raises:
        ValueError: where there are no seeds or not as many of everything, a seed has no member, no non-member
            or a score that is nan, or an option is out of range.
    """
    rates = _rates(false_positive_rates)
    ranked = _seeds(scores, members)
    chosen = [None] * len(ranked) if thresholds is None else thresholds
    if len(chosen) != len(ranked):
        raise ValueError(f"{len(chosen)} thresholds for {len(ranked)} seeds; there must be one a seed")
    let_in = [each.let_in(threshold) for each, threshold in zip(ranked, chosen, strict=True)]

    def figures(number: int, counts: _Counts) -> Float64[np.ndarray, "R F"]:
        told = (_areas(counts), _accuracies(counts, let_in[number]), _true_positive_rates(counts, rates))
        return np.column_stack(told)

    names = ["auc", "accuracy", *(f"tpr@{fpr}" for fpr in false_positive_rates)]
    found = _means_and_ends(ranked, figures, seed=seed, resamples=resamples, level=level)
    n, sure = sum(map(len, scores)), not np.isnan(found).any()
    return {
        name: Interval(
            value=float(value), low=float(low) if sure else None, high=float(high) if sure else None, n=n
        )
        for name, value, low, high in zip(names, *found, strict=True)
    }


def mean_roc(
    scores: Sequence[Float[np.ndarray, "_"]],
    members: Sequence[Bool[np.ndarray, "_"]],
    false_positive_rates: Float64[np.ndarray, "P"],
    *,
    seed: int,
    resamples: int = 2000,
    level: float = 0.95,
) -> MeanRoc:
    """Return the seeds' mean TPR at each given FPR, with a pointwise interval.

    Vertical averaging (Fawcett 2006) of the curves as steps: each is read by ``tpr_at_fpr``, not
    interpolated, so the plot holds the very values of ``tpr@<fpr>``. The band is made of the resamples of
    ``membership_intervals``; it holds at each FPR by itself, not for the whole curve at once. As no curve
    falls, its ends do not either.

    Args:
        scores: one array a seed, one score a user.
        members: one array a seed: which users are members.
        false_positive_rates: where to read the curves, each in [0, 1].
        seed: names the random draws.
        resamples: how many resamples to draw.
        level: the band's level at each FPR, in (0, 1).

    Raises:
        ValueError: as ``membership_intervals`` does.
    """
    rates = _rates(false_positive_rates)
    value, *band = _means_and_ends(
        _seeds(scores, members),
        lambda _, counts: _true_positive_rates(counts, rates),
        seed=seed,
        resamples=resamples,
        level=level,
    )
    low, high = (np.maximum.accumulate(end) for end in band)
    return MeanRoc(false_positive_rates=rates, true_positive_rates=value, low=low, high=high)


@dataclass(frozen=True, kw_only=True)
class _Ranked:
    """One seed's users by the place of their score among the S distinct ones, from 0 for the highest."""

    distinct: Float[np.ndarray, "S"]
    member_places: Int64[np.ndarray, "M"]
    other_places: Int64[np.ndarray, "N"]

    def let_in(self, threshold: float | None) -> int | None:
        """Count the distinct scores of ``threshold`` or more; ``None`` stays ``None``."""
        if threshold is None:
            return None
        if np.isnan(threshold):
            raise ValueError("the threshold is nan; it must be a score from which users are called members")
        return int(np.count_nonzero(self.distinct >= threshold))


@dataclass(frozen=True, kw_only=True)
class _Counts:
    """How many the 0, 1, .. S highest distinct scores let in of each class, a row a resample.

    A resample counts weights. Its first and last score are those above and below all scores of users, so that
    ``above`` is 1.
    """

    false_positives: Real[np.ndarray, "R S1"]
    true_positives: Real[np.ndarray, "R S1"]
    above: int = 0


def _ranked(scores: Float[np.ndarray, "_"], members: Bool[np.ndarray, "_"], where: str = "") -> _Ranked:
    """Rank the users, having checked them; ``where`` is put behind the error's words."""
    if scores.shape != members.shape:
        raise ValueError(f"{len(scores)} scores for {len(members)} users{where}; there must be one a user")
    n_members = np.count_nonzero(members)
    if n_members in (0, len(members)):
        raise ValueError(
            f"{n_members} members among {len(members)} users{where}: telling them from non-members needs both"
        )
    if np.isnan(scores).any():
        raise ValueError(f"{np.count_nonzero(np.isnan(scores))} of {len(scores)} scores are nan{where}")
    negated, places = np.unique(-scores, return_inverse=True)
    return _Ranked(distinct=-negated, member_places=places[members], other_places=places[~members])


def _seeds(
    scores: Sequence[Float[np.ndarray, "_"]], members: Sequence[Bool[np.ndarray, "_"]]
) -> list[_Ranked]:
    """Rank each seed's users."""
    if not len(scores) or len(scores) != len(members):
        raise ValueError(f"scores of {len(scores)} seeds and members of {len(members)}: one of each a seed")
    both = zip(scores, members, strict=True)
    return [_ranked(*each, f" (seed {n + 1} of {len(scores)})") for n, each in enumerate(both)]


def _rates(false_positive_rates: Sequence[float] | Float64[np.ndarray, "P"]) -> Float64[np.ndarray, "P"]:
    """Return the FPRs as an array, having checked their range."""
    rates = np.array(false_positive_rates, dtype=np.float64)
    if not ((rates >= 0) & (rates <= 1)).all():
        raise ValueError(f"a false positive rate must lie in [0, 1], not {rates.tolist()}")
    return rates


def _whole(ranked: _Ranked) -> _Counts:
    """Count each user once."""

    def at_most(places: Int64[np.ndarray, "n"]) -> Int64[np.ndarray, "1 S1"]:
        # A place is counted one further on: nobody is let in by no score.
        return np.bincount(places + 1, minlength=len(ranked.distinct) + 1).cumsum()[None]

    return _Counts(false_positives=at_most(ranked.other_places), true_positives=at_most(ranked.member_places))


def _weighed(
    ranked: _Ranked, of_members: Float64[np.ndarray, "R M2"], of_others: Float64[np.ndarray, "R N2"]
) -> _Counts:
    """Weigh the users whom each number of distinct scores lets in, one row a resample."""
    n_rows, width = len(of_members), len(ranked.distinct) + 3

    def at_most(
        places: Int64[np.ndarray, "n"], weights: Float64[np.ndarray, "R n2"]
    ) -> Float64[np.ndarray, "R S3"]:
        # The first weight stands below all scores, the last one above them.
        columns = np.concatenate([[width - 1], places + 2, [1]])
        cells = columns + width * np.arange(n_rows)[:, None]
        found = np.bincount(cells.ravel(), weights=weights.ravel(), minlength=n_rows * width)
        return found.reshape(n_rows, width).cumsum(axis=1)

    return _Counts(
        false_positives=at_most(ranked.other_places, of_others),
        true_positives=at_most(ranked.member_places, of_members),
        above=1,
    )


def _areas(counts: _Counts) -> Float64[np.ndarray, "R"]:
    """Return the area under each row's curve, ties as straight lines: twice the area is a whole number."""
    let_in = counts.true_positives
    twice = np.einsum("rs,rs->r", np.diff(counts.false_positives), let_in[:, 1:] + let_in[:, :-1])
    areas: np.ndarray = twice / (2 * let_in[:, -1] * counts.false_positives[:, -1])
    return areas


def _true_positive_rates(counts: _Counts, rates: Float64[np.ndarray, "P"]) -> Float64[np.ndarray, "R P"]:
    """Return each row's greatest TPR at FPRs of at most ``rates``."""
    true, false = counts.true_positives, counts.false_positives
    # Rows one behind the other, each lifted above the one before, are one sorted array to search.
    lift = 2.0 * np.arange(len(true))[:, None]
    lifted = (false / false[:, -1:] + lift).ravel()
    last = np.searchsorted(lifted, (rates + lift).ravel(), side="right") - 1
    found: np.ndarray = true.ravel()[last].reshape(len(true), len(rates)) / true[:, -1:]
    return found


def _accuracies(counts: _Counts, let_in: int | None) -> Float64[np.ndarray, "R"]:
    """Return each row's accuracy with ``let_in`` distinct scores called members, or the higher half."""
    true, false = counts.true_positives, counts.false_positives
    if let_in is None:
        both = true + false
        column = np.argmax(2 * both >= both[:, -1:], axis=1)[:, None]
    else:
        column = np.full((len(true), 1), let_in + counts.above)
    let_in_true, let_in_false = (np.take_along_axis(each, column, axis=1)[:, 0] for each in (true, false))
    accuracies: np.ndarray = (let_in_true / true[:, -1] + 1 - let_in_false / false[:, -1]) / 2
    return accuracies


def _means_and_ends(
    seeds: Sequence[_Ranked],
    figures: Callable[[int, _Counts], Float64[np.ndarray, "R F"]],
    *,
    seed: int,
    resamples: int,
    level: float,
) -> Float64[np.ndarray, "3 F"]:
    """Return the means over seeds of the figures, and the ends of their intervals, nan where there are none."""
    check_resampling(resamples, level)
    own = np.concatenate([figures(number, _whole(each)) for number, each in enumerate(seeds)])
    value = np.mean(own, axis=0)
    if (
        min(sum(len(each.member_places) for each in seeds), sum(len(each.other_places) for each in seeds))
        < FEWEST
    ):
        return np.stack([value, *np.full((2, len(value)), np.nan)])
    # Each seed's users have streams of their own, so that no draw depends on another seed's numbers.
    of_seeds, *rest = np.random.default_rng(seed).spawn(1 + 2 * len(seeds))
    drawn, weights = np.empty((resamples, *own.shape)), np.empty((resamples, len(seeds)))
    for number, each in enumerate(seeds):
        done = 0
        for counts in _resamples(
            each, resamples, BESIDE / 2 / len(seeds), *rest[2 * number : 2 * number + 2]
        ):
            part = slice(done, done + len(counts.true_positives))
            drawn[part, number] = figures(number, counts)
            weights[part, number] = counts.true_positives[:, -1] / len(each.member_places)
            weights[part, number] += counts.false_positives[:, -1] / len(each.other_places)
            done = part.stop
    return np.concatenate([value[None], ends(own, drawn, weights, of_seeds, level)])


def _resamples(
    ranked: _Ranked,
    count: int,
    beside: float,
    of_members: np.random.Generator,
    of_others: np.random.Generator,
) -> Iterator[_Counts]:
    """Weigh the members and the non-members ``count`` times, as many at a time as memory allows."""
    n_members, n_others = len(ranked.member_places), len(ranked.other_places)
    rows = max(1, _CHUNK // (n_members + n_others))
    for start in range(0, count, rows):
        n_rows = min(rows, count - start)
        yield _weighed(
            ranked,
            user_weights(n_rows, n_members, beside, of_members),
            user_weights(n_rows, n_others, beside, of_others),
        )
