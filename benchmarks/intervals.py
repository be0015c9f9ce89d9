"""How often 95 % intervals hold the truth, and how wide they are: ``python benchmarks/intervals.py PAGE``.

Users, members and seeds are drawn from known shapes, so that the truth is known. ``recaudit.metrics`` stands
beside intervals that were not taken. Writes its tables below the last heading of ``docs/intervals.md``; seeds
are fixed, and the same versions of NumPy and SciPy write the same tables.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from recaudit.files import write_text
from recaudit.metrics.intervals import bootstrap_interval
from recaudit.metrics.membership import membership_intervals

HEADING = "## Tables"
RESAMPLES = 1000
USERS = (2, 3, 4, 5, 7, 10, 24, 50, 100)
SIDES = ((2, 2), (3, 3), (5, 5), (10, 10), (30, 30), (100, 100), (5, 50))

Array = np.ndarray
Ends = tuple[Array, Array]
Random = np.random.Generator
Shape = tuple[float, Callable[[Random, tuple[int, ...]], Array]]

SHAPES: Mapping[str, Shape] = {
    "bell about 0.5, spread 0.15": (0.5, lambda g, size: np.clip(g.normal(0.5, 0.15, size), 0, 1)),
    "tenths about 0.5 (agreement@10)": (0.5, lambda g, size: g.binomial(10, 0.5, size) / 10),
    "near 0: Beta(0.5, 9.5)": (0.05, lambda g, size: g.beta(0.5, 9.5, size)),
    "near 1: Beta(9.5, 0.5)": (0.95, lambda g, size: g.beta(9.5, 0.5, size)),
    "U: Beta(0.4, 0.4)": (0.5, lambda g, size: g.beta(0.4, 0.4, size)),
    "seven in ten are 0, else Beta(2, 3)": (
        0.12,
        lambda g, size: np.where(g.random(size) < 0.7, 0.0, g.beta(2, 3, size)),
    ),
    "0 or 1, one in ten is 1": (0.1, lambda g, size: (g.random(size) < 0.1).astype(float)),
}


def percentile(x: Array, random: Random) -> Ends:
    """The bootstrap's quantiles."""
    return _quantiles(_resampled(x, random))


def bca(x: Array, random: Random) -> Ends:
    """Efron's bias-corrected and accelerated bootstrap (1987); a point where all values are equal."""
    drawn, mean, n = _resampled(x, random), x.mean(1), x.shape[1]
    below = (drawn < mean[:, None]).mean(1) + (drawn == mean[:, None]).mean(1) / 2
    bias = stats.norm.ppf(np.clip(below, 1 / RESAMPLES, 1 - 1 / RESAMPLES))
    left = (x - mean[:, None]) / max(1, n - 1)
    spread = (left**2).sum(1)
    skew = np.divide((left**3).sum(1), 6 * spread**1.5, out=np.zeros(len(x)), where=spread > 0)
    drawn.sort(axis=1)
    ends = []
    for z in (-1.96, 1.96):
        level = stats.norm.cdf(bias + (bias + z) / (1 - skew * (bias + z)))
        place = np.clip((level * RESAMPLES).astype(int), 0, RESAMPLES - 1)
        ends.append(np.take_along_axis(drawn, place[:, None], axis=1)[:, 0])
    return ends[0], ends[1]


def student(x: Array, _: Random) -> Ends:
    """Student's t, cut at 0 and 1."""
    half = _half(x)
    return np.clip(x.mean(1) - half, 0, 1), np.clip(x.mean(1) + half, 0, 1)


def student_logit(x: Array, _: Random) -> Ends:
    """Student's t on the logit of the mean."""
    mean = np.clip(x.mean(1), 1e-9, 1 - 1e-9)
    half = _half(x) / (mean * (1 - mean))
    low, high = expit(logit(mean) - half), expit(logit(mean) + half)
    return np.where(x.mean(1) == 0, 0, low), np.where(x.mean(1) == 1, 1, high)


def bayesian(x: Array, random: Random) -> Ends:
    """The Bayesian bootstrap with nothing at 0 and 1 (Rubin 1981)."""
    weights = random.standard_exponential((RESAMPLES, x.shape[1]))
    return _quantiles(x @ weights.T / weights.sum(1))


def ours(x: Array, _: Random) -> Ends:
    """That of recaudit."""
    found = [bootstrap_interval([row], seed=place, resamples=RESAMPLES) for place, row in enumerate(x)]
    return np.array([one.low for one in found]), np.array([one.high for one in found])


MEANS: Mapping[str, Callable[[Array, Random], Ends]] = {
    "percentile": percentile,
    "BCa": bca,
    "Student’s t": student,
    "t on the logit": student_logit,
    "Bayesian": bayesian,
    "**recaudit**": ours,
}


def _resampled(x: Array, random: Random) -> Array:
    places = random.integers(x.shape[1], size=(RESAMPLES, x.shape[1]))
    return np.stack([row[places].mean(1) for row in x])


def _quantiles(drawn: Array) -> Ends:
    ends: Array = np.quantile(drawn, [0.025, 0.975], axis=1)
    return ends[0], ends[1]


def _half(x: Array) -> Array:
    n = x.shape[1]
    half: Array = float(stats.t.ppf(0.975, n - 1)) * x.std(1, ddof=1) / np.sqrt(n)
    return half


def means(trials: int) -> Iterator[list[str]]:
    """Yield the rows of the table of means over users, one seed."""
    for shape, (truth, draw) in SHAPES.items():
        for n in USERS:
            x = draw(np.random.default_rng(n), (trials, n))
            yield [shape, str(n), *(_told(f(x, np.random.default_rng(1)), truth) for f in MEANS.values())]


def over_seeds(trials: int) -> Iterator[list[str]]:
    """Yield the rows of the table of means over seeds and users, bell-shaped or near 0."""
    for shape, truth, spread in (("bell", 0.5, 0.15), ("near 0", 0.05, 0.066)):
        for seeds in (2, 3, 5, 10):
            for n in (3, 10, 50):
                for ratio in (0, 1, 3):
                    random = np.random.default_rng(n)
                    between = min(ratio * spread / np.sqrt(n), 0.15)
                    if shape == "bell":
                        centres = random.normal(truth, between, (trials, seeds, 1))
                        x = np.clip(random.normal(centres, spread, (trials, seeds, n)), 0, 1)
                    else:
                        centres = _betas(random, truth, between, (trials, seeds, 1))
                        x = random.beta(10 * centres, 10 * (1 - centres), (trials, seeds, n))
                    found = [bootstrap_interval(list(one), seed=0, resamples=RESAMPLES) for one in x]
                    mine = np.array([one.low for one in found]), np.array([one.high for one in found])
                    cells = (_told(_two_level(x, random), truth), _told(mine, truth))
                    yield [shape, str(seeds), str(n), str(ratio), *cells]


def _betas(random: Random, mean: float, spread: float, size: tuple[int, ...]) -> Array:
    """Draw means of seeds in (0, 1) of this mean and standard deviation, or as much of it as fits."""
    variance = max(1e-9, min(spread**2, 0.15 * mean * (1 - mean)))
    both = mean * (1 - mean) / variance - 1
    found: Array = np.clip(random.beta(mean * both, (1 - mean) * both, size), 1e-3, 1 - 1e-3)
    return found


def _two_level(x: Array, random: Random) -> Ends:
    """The percentile bootstrap that resamples seeds and then their users."""
    _, seeds, n = x.shape
    ends = []
    for one in x:
        chosen = random.integers(seeds, size=(RESAMPLES, seeds))
        users = random.integers(n, size=(RESAMPLES, seeds, n))
        ends.append(np.quantile(one[chosen[:, :, None], users].mean((1, 2)), [0.025, 0.975]))
    low, high = np.array(ends).T
    return low, high


def _cases(trials: int, shift: float, sides: tuple[int, int]) -> list[tuple[Array, Array]]:
    """Draw scores and members: members normal about ``shift``, others about 0."""
    random = np.random.default_rng(sides[0])
    members = np.repeat([True, False], sides)
    return [(random.normal(shift * members, 1.0), members) for _ in range(trials)]


def _percentile_auc(scores: Array, members: Array, random: Random) -> Array:
    wins = np.heaviside(scores[members][:, None] - scores[~members], 0.5)
    n_members, n_others = wins.shape
    u = random.multinomial(n_members, np.full(n_members, 1 / n_members), size=RESAMPLES) / n_members
    v = random.multinomial(n_others, np.full(n_others, 1 / n_others), size=RESAMPLES) / n_others
    ends: Array = np.quantile(((u @ wins) * v).sum(1), [0.025, 0.975])
    return ends


def _delong(scores: Array, members: Array) -> Array:
    """DeLong's variance (1988) on the logit, a point where the AUC is 0 or 1."""
    wins = np.heaviside(scores[members][:, None] - scores[~members], 0.5)
    area = wins.mean()
    if area in (0, 1):
        return np.array([area, area])
    variance = sum(wins.mean(axis).var(ddof=1) / len(wins.mean(axis)) for axis in (0, 1))
    half = 1.96 * np.sqrt(variance) / (area * (1 - area))
    return np.array([expit(logit(area) - half), expit(logit(area) + half)])


def aucs(trials: int) -> Iterator[list[str]]:
    """Yield the rows of the table of AUCs, one seed."""
    for truth in (0.5, 0.75, 0.9, 0.98):
        for sides in SIDES:
            cases = _cases(trials, stats.norm.ppf(truth) * np.sqrt(2), sides)
            random = np.random.default_rng(0)
            found = (
                np.array([_percentile_auc(*case, random) for case in cases]).T,
                np.array([_delong(*case) for case in cases]).T,
                np.array([_mine(case, "auc") for case in cases]).T,
            )
            yield [f"{truth:g}", *map(str, sides), *(_told((low, high), truth) for low, high in found)]


def rates(trials: int) -> Iterator[list[str]]:
    """Yield the rows of the table of TPRs, one seed."""
    for shift in (0.0, 2.5):
        for rate in (0.1, 0.01):
            for n in (10, 30, 100, 300, 1000):
                truth = stats.norm.sf(stats.norm.isf(rate) - shift)
                ends = np.array([_mine(case, f"tpr@{rate}") for case in _cases(trials, shift, (n, n))]).T
                above = f"{100 * (ends[0] > rate).mean():.0f} %"
                yield [f"{rate:g}", f"{truth:.3f}", str(n), _told((ends[0], ends[1]), truth), above]


def _mine(case: tuple[Array, Array], name: str) -> tuple[float | None, float | None]:
    scores, members = case
    found = membership_intervals(
        [scores], [members], seed=0, resamples=RESAMPLES, false_positive_rates=(0.1, 0.01)
    )
    return found[name].low, found[name].high


def _told(ends: Ends, truth: float) -> str:
    """Return coverage and mean width; rounding of the last bits counts as covered."""
    low, high = ends
    covered = (low <= truth + 1e-12) & (truth - 1e-12 <= high)
    return f"{100 * covered.mean():.0f} ({(high - low).mean():.2f})"


def _table(title: str, headings: list[str], rows: Iterator[list[str]]) -> list[str]:
    lines = [title, "", "| " + " | ".join(headings) + " |", "|---|" + "---:|" * (len(headings) - 1)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path, help="docs/intervals.md")
    parser.add_argument("--trials", type=int, default=400)
    given = parser.parse_args()
    trials = given.trials
    ours_and = ["percentile", "**recaudit**"]
    parts = [
        [f"Each cell is coverage in per cent of {trials} trials, and the mean width in brackets.", ""],
        _table("### Means over users, one seed", ["users’ values", "n", *MEANS], means(trials)),
        _table(
            "### AUC, one seed",
            ["AUC", "members", "strangers", "percentile", "DeLong on the logit", "**recaudit**"],
            aucs(trials),
        ),
        _table(
            "### Means over seeds and users",
            ["users’ values", "seeds", "users a seed", "seeds differ", *ours_and],
            over_seeds(trials // 2),
        ),
        _table(
            "### TPR at an FPR, one seed",
            ["FPR", "TPR", "members and strangers, each", "**recaudit**", "lower end above the FPR"],
            rates(trials // 2),
        ),
    ]
    prose = given.page.read_text("utf-8").partition(HEADING)[0]
    write_text(given.page, f"{prose}{HEADING}\n\n" + "\n".join(line for part in parts for line in part))


if __name__ == "__main__":
    main()
