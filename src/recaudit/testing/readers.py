"""What every reader must do."""

from pathlib import Path

import pytest

from recaudit.data.readers.files import opened
from recaudit.data.readers.protocol import Options, Reader
from recaudit.errors import UsageError

__all__ = ["ReaderTests"]


class ReaderTests:
    """Subclass it with ``reader``, ``suffix``, ``text`` (a file) and ``histories`` (what it holds).

    ``broken`` is a text that is no such file; ``mark`` is what the message about it must name.
    """

    reader: Reader
    suffix: str
    text: str
    histories: dict[str, list[str]]
    broken: str
    mark: str = "line"

    def file(self, folder: Path, text: str) -> Path:
        """Return a file that holds the text."""
        path = folder / f"file{self.suffix}"
        path.write_text(text, encoding="utf-8")
        return path

    def test_it_satisfies_the_protocol(self) -> None:
        assert isinstance(self.reader, Reader)
        assert self.reader.holds

    def test_it_knows_its_own_files_and_no_others(self, tmp_path: Path) -> None:
        other = tmp_path / "file.other"
        other.write_text("nothing that anybody reads\n", encoding="utf-8")
        with opened(self.file(tmp_path, self.text)) as file:
            assert self.reader.likeness(file, Options()) > 0
        with opened(other) as file:
            assert self.reader.likeness(file, Options()) == 0

    def test_it_reads_histories_in_order(self, tmp_path: Path) -> None:
        with opened(self.file(tmp_path, self.text)) as file:
            found = self.reader.read(file, Options(), "mine")
        assert found.name == "mine"
        histories = {
            str(user): [str(found.item_ids[int(item)]) for item in found.history(number)]
            for number, user in enumerate(found.user_ids)
        }
        assert histories == self.histories

    def test_a_broken_file_is_refused_in_one_line(self, tmp_path: Path) -> None:
        path = self.file(tmp_path, self.broken)
        with opened(path) as file, pytest.raises(UsageError) as told:
            self.reader.read(file, Options(), "mine")
        assert str(path) in str(told.value)
        assert self.mark in str(told.value)
        assert "\n" not in str(told.value)
