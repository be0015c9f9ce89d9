"""From a grid to its nodes: each once, with what it needs; and what is still to be computed."""

import pickle
import shutil
from collections import Counter

import pytest

from planted import AUXILIARY, CEILING, PTA, PTD, VICTIM, name_of
from recaudit.audit.tasks import finished_seeds, missing
from recaudit.errors import UsageError
from recaudit.experiments.plan import cell_spec, plan
from recaudit.pipeline import Key, Store


@pytest.fixture
def empty(tmp_path) -> Store:
    return Store(tmp_path / "empty", say=pytest.fail)


@pytest.fixture
def copied(finished, tmp_path) -> Store:
    """The finished grid, to be changed at will."""
    return Store(shutil.copytree(finished, tmp_path / "copied"), say=pytest.fail)


def names(planned) -> list[str]:
    return sorted(name_of(one.task) for one in planned.values())


def test_every_stage_of_every_seed_is_planned_once_after_what_it_needs(make_grid, empty) -> None:
    planned = plan(make_grid(), empty)
    of_seed = [
        VICTIM,
        CEILING,
        PTD,  # which PTQ shares
        AUXILIARY,  # and those of PTA PTAQ
        PTA,
        *(f"attacking with {attack}" for attack in ("QSD", "PTD", "PTQ", "PTA", "PTAQ")),
        *(f"judging {row}" for row in ("retrained", "victim", "popularity")),
    ]
    assert names(planned) == sorted(2 * of_seed)
    there: set[str] = set()
    for key, one in planned.items():
        assert key == one.task.key.hash
        assert one.needs <= there
        there.add(key)
    assert [one.place for one in planned.values()] == [0] * 13 + [1] * 13
    assert {one.task.seed for one in planned.values()} == {0, 1}
    hashes = {name_of(one.task): key for key, one in planned.items() if one.place == 0}
    needs = {name_of(one.task): one.needs for one in planned.values() if one.place == 0}
    assert needs["attacking with PTAQ"] == {hashes[name] for name in (VICTIM, AUXILIARY, PTA)}
    assert needs["attacking with PTD"] == {hashes[name] for name in (VICTIM, PTD)}
    assert needs["judging popularity"] == {hashes[VICTIM]}
    assert needs[PTA] == {hashes[AUXILIARY]}
    assert needs[PTD] == needs[VICTIM] == set()
    wanted = {name_of(one.task) for one in planned.values() if one.wanted}
    assert wanted == set(of_seed) - {VICTIM, CEILING, AUXILIARY, PTD, PTA}


def test_cells_share_what_both_need_and_come_seed_by_seed(make_grid, empty) -> None:
    grid = make_grid(axes={"k": [5, 6], "split.known": [0.5, 0.6]}, metric="agreement@k", seeds=2)
    planned = plan(grid, empty)
    counts = Counter(names(planned))
    # The victims and the auxiliary model are the seed's; the known users' clones are a known share's.
    assert counts[VICTIM] == counts[CEILING] == counts[AUXILIARY] == 2
    assert counts[PTD] == counts[PTA] == 4
    assert counts["attacking with PTAQ"] == counts["judging popularity"] == 8
    assert [one.task.seed for one in planned.values()] == sorted(one.task.seed for one in planned.values())


def test_a_cell_with_fewer_seeds_has_fewer(make_grid, empty) -> None:
    grid = make_grid(
        axes={"split.known": [0.5, 0.6]}, seeds=3, seeds_of=[{"where": {"known": [0.6]}, "seeds": 1}]
    )
    judged = [one.task for one in plan(grid, empty).values() if one.task.label == "attacking with PTD"]
    assert [task.seed for task in judged] == [0, 0, 1, 2]


def test_a_task_goes_to_another_process_and_names_the_same_node(make_grid, empty) -> None:
    for key, one in plan(make_grid(), empty).items():
        again = pickle.loads(pickle.dumps(one.task))
        assert again == one.task
        assert again.key.hash == key
        assert Key(kind=again.key.kind, inputs=again.key.inputs).hash == key


def test_a_device_is_part_of_every_stage(make_grid, empty) -> None:
    here, there = plan(make_grid(), empty), plan(make_grid(), empty, device="cuda")
    assert len(here) == len(there)
    assert not here.keys() & there.keys()
    assert {one.task.device for one in there.values()} == {"cuda"}
    assert cell_spec(make_grid().cells()[0], device="cuda").device == "cuda"


def test_data_that_are_missing_or_cannot_be_split_are_told(make_grid, empty) -> None:
    with pytest.raises(UsageError, match=r"absent\.csv: no such file"):
        plan(make_grid(base={"data": "absent.csv"}), empty)
    with pytest.raises(UsageError, match=r"known users .* are too few"):
        plan(make_grid(axes={"split.known": [0.05]}), empty)


# --- what is missing --------------------------------------------------------------------------------------


def test_nothing_is_missing_of_a_finished_grid(make_grid, copied) -> None:
    planned = plan(make_grid(), copied)
    assert missing(planned, copied) == {}
    assert {one.hash for one in copied.nodes()} >= planned.keys()
    assert finished_seeds(cell_spec(make_grid().cells()[0]), copied) == (0, 1)
    for kind in ("model", "clone"):  # figures are all that is wanted
        shutil.rmtree(copied.folder / kind)
    assert missing(planned, copied) == {}


def test_all_is_missing_of_an_empty_store(make_grid, empty) -> None:
    planned = plan(make_grid(), empty)
    assert missing(planned, empty) == planned
    assert list(missing(planned, empty)) == list(planned)
    assert finished_seeds(cell_spec(make_grid().cells()[0]), empty) == ()


def test_missing_figures_need_what_is_not_there_and_no_more(make_grid, copied) -> None:
    planned = plan(make_grid(), copied)
    by_name = {name_of(one.task): one.task.key for one in planned.values() if one.place == 1}

    def lose(name: str) -> None:
        shutil.rmtree(copied.folder / by_name[name].kind / by_name[name].hash)

    lose("attacking with PTAQ")
    assert names(missing(planned, copied)) == ["attacking with PTAQ"]
    assert finished_seeds(cell_spec(make_grid().cells()[0]), copied) == (0,)
    lose(CEILING)  # which nothing missing needs
    assert names(missing(planned, copied)) == ["attacking with PTAQ"]
    lose(AUXILIARY)
    assert names(missing(planned, copied)) == ["attacking with PTAQ", AUXILIARY]
    lose(PTA)
    lose(VICTIM)
    assert names(missing(planned, copied)) == sorted(["attacking with PTAQ", VICTIM, AUXILIARY, PTA])


def test_what_is_damaged_is_told_and_missing(make_grid, copied) -> None:
    told: list[str] = []
    store = Store(copied.folder, say=told.append)
    planned = plan(make_grid(), store)
    damaged = [one for one in planned.values() if one.task.label in {"attacking with PTD", VICTIM}]
    assert len(damaged) == 4
    for one in damaged:
        file = store.folder / one.task.key.kind / one.task.key.hash / "tensors.safetensors"
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert names(missing(planned, store)) == ["attacking with PTD"] * 2 + [VICTIM] * 2
    assert len(told) == 4
    assert all(line.endswith("tensors.safetensors is damaged; it is computed again") for line in told)
