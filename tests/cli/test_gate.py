"""The gate of ``--fail-over`` on planted figures: over, not over, too few users to tell."""

import pytest

from recaudit.cli.gate import DONE, OVER, UNSURE, Limit, judged, outcome
from recaudit.errors import UsageError


def row(value, low, high, n, metric="agreement@50", **others):
    membership = metric in ("auc", "tpr@0.01")
    place = (
        {"users": "candidates", "serving": "popular"}
        if membership
        else {"users": "unqueried", "serving": None}
    )
    return {
        "attack": "PTD",
        "metric": metric,
        "value": value,
        "low": low,
        "high": high,
        "n": n,
        **place,
        **others,
    }


@pytest.mark.parametrize(
    ("figure", "found"),
    [
        (row(0.9, 0.7, 0.95, 3), "over"),
        (row(0.3, 0.1, 0.59, 3), "not over"),
        (row(0.3, 0.1, 0.6, 3), "not over"),
        (row(0.9, 0.6, 0.95, 3), "unsure"),
        (row(0.3, 0.1, 0.61, 29), "unsure"),
        (row(0.9, 0.5, 0.95, 29), "unsure"),
        (row(0.61, 0.55, 0.65, 30), "over"),
        (row(0.6, 0.55, 0.65, 30), "not over"),
        (row(0.9, None, None, 1), "unsure"),
        (row(0.1, None, None, 0), "unsure"),
        (row(1.0, 0.9, 1.0, 4, "place@50"), "over"),
        (row(1.0, None, None, 1, "place@50"), "unsure"),
    ],
)
def test_the_interval_decides_and_where_it_holds_the_limit_the_estimate_of_thirty_users(
    figure, found
) -> None:
    assert outcome(figure, Limit(metric="agreement@50", most=0.6)) == found


@pytest.mark.parametrize(("n", "found"), [(58, "unsure"), (60, "over"), (600, "over")])
def test_members_and_strangers_are_thirty_each(n, found) -> None:
    assert outcome(row(0.62, 0.5, 0.7, n, "auc"), Limit(metric="auc", most=0.6)) == found


@pytest.mark.parametrize(("n", "found"), [(60, "unsure"), (198, "unsure"), (200, "over")])
def test_a_tpr_takes_a_stranger_within_its_rate(n, found) -> None:
    assert outcome(row(0.3, 0.0, 0.5, n, "tpr@0.01"), Limit(metric="tpr@0.01", most=0.1)) == found


@pytest.mark.parametrize(("most", "found"), [(1.0, "not over"), (-0.1, "over"), (0.0, "unsure")])
def test_a_share_without_interval_lies_from_0_to_1(most, found) -> None:
    assert outcome(row(0.5, None, None, 1), Limit(metric="agreement@50", most=most)) == found
    assert outcome(row(0.5, None, None, 1, "place@50"), Limit(metric="place@50", most=most)) == "unsure"


LIMIT = [Limit(metric="agreement@50", most=0.6)]
SURELY, HARDLY, FEW = row(0.9, 0.8, 1.0, 5), row(0.3, 0.2, 0.4, 5), row(0.7, 0.2, 0.9, 3, attack="PTQ")


@pytest.mark.parametrize(
    ("figures", "code", "said"),
    [
        ([SURELY], OVER, ["PTD: agreement@50 on unqueried users 0.900 is over the limit of 0.6"]),
        ([HARDLY], DONE, []),
        (
            [HARDLY, FEW, {**FEW, "attack": "PTA", "low": None, "n": 1}],
            UNSURE,
            [
                "Too few users to tell: PTQ: agreement@50 on unqueried users 0.700 (0.200 to 0.900, n 3) against "
                "the limit of 0.6; PTA: agreement@50 on unqueried users 0.700 (n 1) against the limit of 0.6"
            ],
        ),
        ([SURELY, FEW], OVER, None),
        ([{**SURELY, "attack": "popularity"}, {**SURELY, "users": "all"}], DONE, []),
    ],
)
def test_exit_codes_and_lines(figures, code, said) -> None:
    lines: list[str] = []
    assert judged(LIMIT, figures, ("PTD", "PTA", "PTQ"), "popular", lines.append) == code
    assert said is None or lines == said


def test_a_blind_detector_is_a_leak_and_a_null_control_is_none() -> None:
    limits = [Limit(metric="auc", most=0.6)]
    rows = [row(0.9, 0.8, 1.0, 90, "auc", attack=f"{kind}: x") for kind in ("null", "blind")]
    lines: list[str] = []
    assert judged(limits, rows[:1], (), "popular", lines.append) == DONE
    assert judged(limits, rows, (), "everyone-folded", lines.append) == DONE
    assert lines == []
    assert judged(limits, rows, (), "popular", lines.append) == OVER
    assert lines == ["blind: x: auc on members and strangers (popular) 0.900 is over the limit of 0.6"]


def test_what_is_not_available_is_an_error() -> None:
    with pytest.raises(UsageError, match="agreement@50 of PTD is not available here"):
        judged(LIMIT, [row(None, None, None, 0)], ("PTD",), "popular", print)
