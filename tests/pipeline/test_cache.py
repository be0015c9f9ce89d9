"""The cache: what it keeps, what it counts, and what it leaves alone."""

import threading
from dataclasses import replace

import pytest
import torch

from planted import text_node
from recaudit.pipeline import Artifact, Store
from recaudit.pipeline.cache import HELD, Cache
from recaudit.pipeline.node import Codec, Node


@pytest.fixture(params=["memory", "store"])
def cache(request, tmp_path) -> Cache:
    """Return a cache that keeps its results in memory, and one that keeps them in a store."""
    return Cache(None if request.param == "memory" else Store(tmp_path / "store", say=pytest.fail))


class Watch:
    """A clock that moves when it is told to."""

    def __init__(self, monkeypatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("recaudit.pipeline.cache.time.perf_counter", lambda: self.now)

    def work(self, seconds: float, result: str = "") -> str:
        self.now += seconds
        return result


def again() -> str:
    pytest.fail("computed again")


def test_a_result_is_computed_once_and_its_cost_is_shared(monkeypatch, cache) -> None:
    watch = Watch(monkeypatch)
    with cache.clock() as first:
        assert cache.get(text_node("a", lambda: watch.work(5, "A"))) == "A"
        watch.work(1)
        assert first() == 6
    with cache.clock() as second:
        assert cache.get(text_node("a", again)) == "A"
        watch.work(2)
        assert second() == 7  # as if it had run alone
    assert watch.now == 8
    assert (cache.hits, cache.misses, cache.saved_seconds) == (1, 1, 5)


def test_a_result_within_a_result_counts_once(monkeypatch, cache) -> None:
    watch = Watch(monkeypatch)
    inner = text_node("inner", lambda: watch.work(3, "inner"))

    def compute() -> str:
        cache.get(inner)
        return watch.work(4, "outer")

    outer, seconds = text_node("outer", compute, inner=inner), []
    for node in (inner, outer, outer):
        with cache.clock() as clock:
            cache.get(node)
            seconds.append(clock())
    assert seconds == [3, 7, 7]
    assert watch.now == 7
    assert (cache.hits, cache.misses) == (2, 2)


def test_another_cache_on_the_store_takes_what_is_there_and_counts_its_cost(monkeypatch, tmp_path) -> None:
    watch, store = Watch(monkeypatch), Store(tmp_path)
    first = Cache(store)
    inner = text_node("inner", lambda: watch.work(3, "inner"))
    first.get(inner)

    def compute() -> str:
        first.get(text_node("inner", again))
        return watch.work(4, "outer")

    outer = text_node("outer", compute, inner=inner)
    first.get(outer)
    kept = store.read(outer.key)
    assert kept is not None
    assert (kept.seconds, kept.elapsed) == (7, 4)
    later = Cache(Store(tmp_path))
    with later.clock() as clock:
        assert later.get(text_node("outer", again, inner=inner)) == "outer"
        assert clock() == 7
    assert (later.hits, later.misses) == (1, 0)
    assert (
        Cache().get(text_node("outer", lambda: "computed", inner=inner)) == "computed"
    )  # memory has nothing


class Refused(Exception):
    pass


def test_what_fails_is_not_kept_and_holds_no_lock(cache) -> None:
    def refuse() -> str:
        raise Refused

    node = text_node("a", refuse)
    for _ in range(2):
        with pytest.raises(Refused):
            cache.get(node)
    assert cache.store is None or not (cache.store.busy(node.key) or cache.store.read(node.key))
    assert cache.get(text_node("a", lambda: "A")) == "A"
    assert cache.get(node) == "A"


def test_what_is_taken_shares_nothing_with_what_is_kept(cache) -> None:
    """Not even where packing and unpacking copy nothing."""
    given = Artifact(tensors={"a": torch.zeros(3)}, facts={"list": [1]})
    node = Node(
        kind="artifact",
        inputs={},
        compute=lambda: given,
        codec=Codec(pack=lambda one: one, unpack=lambda one: one),
        label="",
    )
    assert cache.get(node) is given
    for changed in (given, cache.get(node), cache.get(node)):
        changed.tensors["a"] += 1
        changed.facts["list"].append(2)
    found = cache.get(node)
    assert torch.equal(found.tensors["a"], torch.zeros(3))
    assert found.facts == {"list": [1]}


def test_two_that_ask_at_once_compute_once(tmp_path) -> None:
    """Each waits for the lock of the other, then finds what it kept."""
    computed, together = [], threading.Barrier(2)

    def ask() -> None:
        cache = Cache(Store(tmp_path, say=pytest.fail))
        together.wait(60)
        found.append(cache.get(text_node("a", lambda: computed.append(1) or "A")))

    found: list[str] = []
    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (found, computed) == (["A", "A"], [1])


# --- transient nodes --------------------------------------------------------------------------------------


def test_a_transient_result_is_held_and_kept_nowhere(monkeypatch, cache) -> None:
    watch = Watch(monkeypatch)
    node = text_node("a", lambda: watch.work(5, "A"), kept=False)
    first = cache.get(node)
    with cache.clock() as clock:
        assert cache.get(text_node("a", again, kept=False)) is first
        assert clock() == 5  # as if it had run alone
    assert (cache.hits, cache.misses, cache.saved_seconds) == (0, 0, 5)
    assert cache.store is None or list(cache.store.nodes()) == []
    assert Cache(cache.store).get(replace(node, compute=lambda: "computed")) == "computed"


def test_a_kept_result_costs_the_transient_ones_that_it_takes(monkeypatch, cache) -> None:
    watch = Watch(monkeypatch)
    shared = text_node("shared", lambda: watch.work(5), kept=False)

    def compute() -> str:
        cache.get(shared)
        return watch.work(1)

    for name in ("first", "second"):
        with cache.clock() as clock:
            cache.get(text_node(name, compute, shared=shared))
            assert clock() == 6, name
    assert watch.now == 7


def test_the_transient_result_that_was_used_longest_ago_goes_first(cache) -> None:
    computed: list[int] = []

    def ask(number: int) -> None:
        cache.get(text_node(str(number), lambda: computed.append(number) or "", kept=False))

    for number in range(HELD):
        ask(number)
    ask(0)  # used again: 1 is the oldest now
    ask(HELD)
    ask(0)
    assert computed == list(range(HELD + 1))
    ask(1)
    assert computed[-1] == 1
