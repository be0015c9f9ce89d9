"""What tests of several areas share."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import jaxtyping
import numpy as np
import pytest
import torch

import profiles  # noqa: F401 (registers the profiles of Hypothesis)
from recaudit.data.interactions import Interactions
from recaudit.models.cold_start import FoldedExamples
from recaudit.models.sequences import NextItems, PrefixScores
from recaudit.models.training import PairScores

BY_FIXTURE = {"head": "cluster", "browser": "browser", "real_data": "real"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes a cluster, a browser or real data by the fixture that it takes."""
    for item in items:
        for name in BY_FIXTURE.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(BY_FIXTURE[name])


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small tensors are the quicker for it, and parallel test runs do not fight for cores."""
    torch.set_num_threads(1)


CHECKED_EPOCHS = 2
"""Epochs of a training whose calls are checked for the shapes of arrays; later ones have the same shapes."""


@pytest.fixture(scope="session", autouse=True)
def shapes_checked_in_first_epochs() -> Iterator[None]:
    """Check shapes and types everywhere but in a training's later epochs: half of the tests' time went there."""
    seen: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    def unchecked(owner: Any, batches: Iterable[Any]) -> Iterator[Any]:
        seen[owner] = seen.get(owner, 0) + 1
        before = jaxtyping.config.jaxtyping_disable
        jaxtyping.config.update("jaxtyping_disable", before or seen[owner] > CHECKED_EPOCHS)
        try:
            yield from batches
        finally:
            jaxtyping.config.update("jaxtyping_disable", before)

    with pytest.MonkeyPatch.context() as patch:
        for objective in (PairScores, NextItems, PrefixScores):
            drawn = objective.batches
            patch.setattr(
                objective, "batches", lambda self, *given, drawn=drawn: unchecked(self, drawn(self, *given))
            )
        epoch = FoldedExamples.epoch

        class Batches(list[Any]):
            owner: FoldedExamples

            def __iter__(self) -> Iterator[Any]:
                return unchecked(self.owner, super().__iter__())

        def folded(self: FoldedExamples) -> tuple[Any, Batches]:
            columns, batches = epoch(self)
            found = Batches(batches)
            found.owner = self
            return columns, found

        patch.setattr(FoldedExamples, "epoch", folded)
        yield


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Interactions]:
    """Load a named data set as its file has it, or skip the test and say loudly what is missing."""

    def load(name: str) -> Interactions:
        from recaudit.data.sources import DataSpec, find_source, load

        root = os.environ.get("RECAUDIT_DATA")
        if root and not Path(root).is_dir():
            pytest.skip(f"NOT TESTED ON REAL DATA: RECAUDIT_DATA is {root}, which is no directory")
        if find_source(name)[1] is None:
            pytest.skip(f"NOT TESTED ON REAL DATA: no {name}; point RECAUDIT_DATA at a folder with {name}/")
        return load(DataSpec(source=name, user_core=0, item_core=0))

    return load


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> Path:
    """Write eight purchases each of 80 users over 40 items, of two tastes."""
    path, generator = tmp_path_factory.mktemp("data") / "tiny.csv", np.random.default_rng(0)
    lines = ["user,item"]
    for user in range(80):
        likes = np.where(np.arange(40) % 2 == user % 2, 6.0, 1.0) / (1 + np.arange(40))
        lines += [f"{user},{item}" for item in generator.choice(40, 8, replace=False, p=likes / likes.sum())]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path
