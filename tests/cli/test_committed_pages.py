"""The committed pages are those that their committed tables of results give, without store, data or torch."""

import shutil
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAPERS = {"zhu2023": "reproduction", "hu2023": "membership-reproduction"}


@pytest.mark.skipif(not DOCS.is_dir(), reason="the documents are not here")
@pytest.mark.parametrize("paper", PAPERS)
def test_a_committed_page_is_drawn_again_from_its_table(recaudit, monkeypatch, tmp_path, paper) -> None:
    drawn = []

    def draw(frame, grid, folder, *, formats):
        assert formats == ("svg",)
        drawn.append(folder / f"{grid.name.replace('/', '-')}.svg")
        return drawn[-1:]

    # Its plots are drawn in tests of their own.
    monkeypatch.setattr("recaudit.report.plots.draw", draw)
    monkeypatch.setenv("RECAUDIT_DATA", str(tmp_path / "nowhere"))
    monkeypatch.chdir(tmp_path)
    name = PAPERS[paper]
    (tmp_path / "docs" / name).mkdir(parents=True)
    table = Path(shutil.copy(DOCS / name / "results.parquet", tmp_path / "docs" / name))
    written = table.stat().st_mtime_ns
    assert recaudit("reproduce", "page", "--paper", paper) == (0, f"Page: docs/{name}.md\n", "")
    assert (tmp_path / "docs" / f"{name}.md").read_bytes() == (DOCS / f"{name}.md").read_bytes()
    assert table.stat().st_mtime_ns == written, "nothing was measured again"
    assert {path.name for path in drawn} == {path.name for path in (DOCS / name).glob("*.svg")}
