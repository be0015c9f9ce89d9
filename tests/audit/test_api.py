"""The Python API as a user writes it."""

import pytest

import recaudit


@pytest.mark.slow
def test_six_lines(data, tmp_path) -> None:
    from recaudit import BPR, AuditSpec, run_audit, write_report

    spec = AuditSpec(
        data=str(data),
        victim=BPR(embedding_size=8, stopping={"epochs": 2, "evaluate_every": 1}),
        attacks=("PTD", "PTAQ"),
        settings={
            "PTD": {"stopping": {"epochs": 2, "evaluate_every": 1}},
            "PTAQ": {
                "stopping": {"epochs": 2, "evaluate_every": 1},
                "lists_stopping": {"epochs": 1, "evaluate_every": 1},
            },
        },
        k=5,
        split={"known": 0.5},
        membership={"shadows": 4, "vectors": 4, "attacks": "difference", "serving": "popular"},
        seeds=1,
    )
    result = run_audit(spec, out=tmp_path / "leaks")
    assert 0 <= result.figure("PTAQ", "agreement@5") <= 1
    write_report(result, tmp_path / "leaks")
    files = {path.name for path in (tmp_path / "leaks").iterdir()}
    assert files == {"figures.csv", "result.json", "report.html", "store", "victims"}


def test_all_names_are_there() -> None:
    for name in recaudit.__all__:
        assert getattr(recaudit, name) is not None
    assert set(recaudit.__all__) <= set(dir(recaudit))
    with pytest.raises(AttributeError, match="module 'recaudit' has no attribute 'AuditSpek'"):
        recaudit.AuditSpek  # noqa: B018
