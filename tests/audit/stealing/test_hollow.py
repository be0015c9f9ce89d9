"""Agreement by arithmetic and by ties is counted: users who have seen nearly all items, models without scores."""

import numpy as np
import pytest

from recaudit.audit import AuditResult, run_audit
from recaudit.audit.spec import audit_spec
from recaudit.audit.stealing.threat import Stealing
from recaudit.data.sources import load
from recaudit.pipeline.run import Run
from recaudit.report import parse_result
from recaudit.report.sentences import notes

FEW = {"epochs": 2, "evaluate_every": 1, "patience": 2}
N_ITEMS, K = 40, 10


def audit(path, victim) -> tuple[AuditResult, Stealing]:
    spec = audit_spec(
        {
            "data": {"source": str(path), "user_core": 0, "item_core": 0},
            "victim": victim,
            "clone": {"model": "bpr", "embedding_size": 4},
            "threats": "stealing",
            "attacks": ["PTD"],
            "settings": {"PTD": {"stopping": FEW}},
            "k": K,
            "split": {"known": 0.5},
        }
    )
    return run_audit(spec), Stealing(spec, load(spec.data), Run(seed=0))


def write(path, sizes) -> None:
    random = np.random.default_rng(3)
    lines = [
        f"u{user},i{item}" for user, size in enumerate(sizes) for item in random.permutation(N_ITEMS)[:size]
    ]
    path.write_text("\n".join(["user,item", *lines]) + "\n", "utf-8")


def test_users_with_few_unseen_items_and_what_they_force_are_counted_and_said(tmp_path) -> None:
    write(tmp_path / "heavy.csv", [37, 6] * 80)
    result, stealing = audit(tmp_path / "heavy.csv", {"embedding_size": 4, "stopping": FEW})
    users = stealing.split.known[stealing.split.unqueried]
    unseen = N_ITEMS - np.diff(stealing.split.target.offsets)[users]
    assert result.figure("victim", f"short@{K}") == pytest.approx((unseen < 2 * K).mean())
    shares = [max(0, 2 * min(K, n) - n) / min(K, n) for n in unseen]
    assert result.figure("victim", f"forced@{K}") == pytest.approx(np.mean(shares))
    assert 0.1 < np.mean(shares) < 0.9
    found = parse_result(result.content)
    assert any("have fewer than 20 unseen items" in note.short for note in notes(found))
    # Whoever attacks: each list agrees as much as arithmetic forces, at least.
    for row in ("popularity", "PTD", "retrained"):
        assert result.figure(row, f"agreement@{K}") >= np.mean(shares) - 1e-12


def test_light_users_force_nothing_and_a_model_with_scores_ties_nothing(tmp_path) -> None:
    write(tmp_path / "light.csv", [6] * 160)
    result, _ = audit(tmp_path / "light.csv", {"embedding_size": 4, "stopping": FEW})
    for metric in ("short", "forced", "tied"):
        assert result.figure("victim", f"{metric}@{K}") == 0
    assert not any(
        "unseen items" in note.short or "equal scores" in note.short
        for note in notes(parse_result(result.content))
    )


def test_places_without_any_score_are_counted_and_said(tmp_path) -> None:
    """Items in twenty pairs that are taken together: item-kNN scores nothing else, and fills lists by number."""
    pairs = np.random.default_rng(0).integers(20, size=160)
    lines = [f"u{user},i{item}" for user, pair in enumerate(pairs) for item in (2 * pair, 2 * pair + 1)]
    (tmp_path / "pairs.csv").write_text("\n".join(["user,item", *lines]) + "\n", "utf-8")
    result, _ = audit(tmp_path / "pairs.csv", "item-knn")
    assert result.figure("victim", f"tied@{K}") > 0.8
    assert result.figure("PTD", f"tied@{K}") == 0
    said = [note.short for note in notes(parse_result(result.content))]
    assert any("places in the victim’s lists hold items of equal scores" in text for text in said)
