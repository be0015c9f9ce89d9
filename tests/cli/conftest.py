"""A small audit as a YAML file, and the command line called in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from recaudit.cli import main

SPEC = """
data: {data}
k: 4
known: 0.5
attacks: [PTD]
victim: {{embedding_size: 4, stopping: {{epochs: 2, evaluate_every: 1}}}}
settings:
  PTD: {{stopping: {{epochs: 2, evaluate_every: 1}}}}
"""


@pytest.fixture(scope="session")
def spec(tmp_path_factory) -> Path:
    """Return a spec file of a small audit: 60 users of six of 25 items each."""
    folder = tmp_path_factory.mktemp("spec")
    pairs = [(user, (user * 7 + step * step) % 25) for user in range(60) for step in range(6)]
    lines = sorted({f"{user},{item}" for user, item in pairs})
    (folder / "tiny.csv").write_text("user,item\n" + "\n".join(lines) + "\n", "utf-8")
    (folder / "spec.yaml").write_text(SPEC.format(data=folder / "tiny.csv"), "utf-8")
    return folder / "spec.yaml"


@pytest.fixture
def recaudit(capsys) -> Callable[..., tuple[int, str, str]]:
    """Run the command line and return exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        written = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, written.out, written.err

    return run
