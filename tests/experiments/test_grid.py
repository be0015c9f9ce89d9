"""Grids: their cells, what they refuse, and what narrowing leaves."""

from typing import Any

import pytest

from recaudit.errors import UsageError
from recaudit.experiments.grid import Grid, narrowed, parse_only
from recaudit.validation import validated

PLAIN: dict[str, Any] = {
    "name": "paper/table1",
    "title": "A planted grid",
    "source": "Nobody (2000), Table 1",
    "base": {
        "attacks": ["PTD", "X a+b", "X a+c"],
        "settings": {"X a+b": {"margin": 0.1}, "X a+c": {"margin": 0.2}},
        "victim": {"embedding_size": 8},
        "split": {"heldout": 0.2},
    },
    "axes": {"data": ["ml-1m", "steam"], "victim": ["bpr", "lmf"], "split.known": [0.1, 0.2]},
    "seeds": 3,
    "seeds_of": [
        {"where": {"data": ["steam"], "victim": ["lmf"]}, "seeds": 1},
        {"where": {"victim": ["lmf"], "known": [0.2]}, "seeds": 2},
    ],
    "metric": "agreement@50",
}


def grid(**changes: object) -> Grid:
    return validated(Grid, {**PLAIN, **changes})


def test_cells_are_the_product_of_the_axes_the_last_one_fastest() -> None:
    assert [tuple(cell.labels.values()) for cell in grid().cells()] == [
        ("ml-1m", "bpr", 0.1),
        ("ml-1m", "bpr", 0.2),
        ("ml-1m", "lmf", 0.1),
        ("ml-1m", "lmf", 0.2),
        ("steam", "bpr", 0.1),
        ("steam", "bpr", 0.2),
        ("steam", "lmf", 0.1),
        ("steam", "lmf", 0.2),
    ]


def test_a_cell_has_short_labels_and_the_axes_laid_into_the_base() -> None:
    cell = grid().cells()[3]
    assert cell.labels == {"data": "ml-1m", "victim": "lmf", "known": 0.2}
    assert cell.values == {
        **PLAIN["base"],
        "data": {"source": "ml-1m"},
        "victim": {"embedding_size": 8, "model": "lmf"},
        "split": {"heldout": 0.2, "known": 0.2},
        "threats": ["stealing"],
        "seeds": 2,
    }
    assert cell.metric == "agreement@50"


def test_further_tables_have_rows_and_metrics_that_audits_have() -> None:
    rows = ["constant", "PTD", "victim"]
    metrics = ["agreement_undefended@5", "recall@50", "calls", "seconds"]
    (table,) = grid(further=[{"title": "T", "metrics": metrics, "rows": rows}]).further
    assert (table.rows, table.metrics) == (tuple(rows), tuple(metrics))
    leaks = {"metrics": ["auc", "tpr@0.001"], "users": "candidates", "rows": ["null: stack", "stack"]}
    assert infers(further=[{"title": "T", **leaks}]).further[0].rows == ("null: stack", "stack")


def test_a_value_that_stands_alone_in_the_base_takes_settings_from_an_axis() -> None:
    base = {"attacks": ["PTD"], "data": "ml-1m", "victim": "bpr"}
    only = grid(base=base, axes={"victim.embedding_size": [8], "data.user_core": [5]}, seeds_of=[]).cells()[0]
    assert only.values["victim"] == {"model": "bpr", "embedding_size": 8}
    assert only.values["data"] == {"source": "ml-1m", "user_core": 5}


def test_the_first_exception_that_matches_says_how_many_seeds() -> None:
    assert [cell.seeds for cell in grid().cells()] == [3, 3, 3, 2, 3, 3, 1, 1]
    assert [cell.values["seeds"] for cell in grid().cells()] == [3, 3, 3, 2, 3, 3, 1, 1]


def test_changing_a_cell_changes_no_other() -> None:
    planted = grid()
    planted.cells()[0].values["split"]["heldout"] = 0.9
    assert planted.cells()[1].values["split"]["heldout"] == 0.2


def test_the_metric_follows_an_axis_of_lengths() -> None:
    lengths = grid(axes={"k": [5, 10]}, seeds_of=[], metric="recall@k")
    assert [cell.metric for cell in lengths.cells()] == ["recall@5", "recall@10"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"axis": {}}, "unknown key 'axis'; did you mean 'axes'"),
        ({"name": "table1"}, "name: "),
        ({"axes": {}}, "axes: "),
        ({"axes": {"victim": []}}, "axes.victim: "),
        ({"axes": {"victim": [True]}}, "axes.victim.0"),
        ({"axes": {"victim": [float("nan")]}}, "axes.victim.0"),
        ({"axes": {"victim": ["bpr", "bpr"]}, "seeds_of": []}, "axes.victim: a value is there twice"),
        ({"axes": {"a.k": [1], "b.k": [2]}, "seeds_of": []}, "axes: found a.k, b.k; no two may end alike"),
        ({"axes": {"attack": ["PTD"]}, "seeds_of": []}, "axes: found attack"),
        ({"axes": {"split": ["even"]}, "seeds_of": []}, "axes.split: would take the place of the base's"),
        ({"axes": {"attacks.n": [1]}, "seeds_of": []}, "axes.attacks.n: 'attacks' is"),
        ({"base": {"attacks": ["PTD"], "seeds": 3}}, "base.seeds: the grid's own seeds"),
        ({"base": {"attacks": "PTD,PTQ"}}, "base.attacks: expected a list of names, found 'PTD,PTQ'"),
        ({"base": {}}, "base.attacks: expected a list of names, found None"),
        ({"metric": "agreement@k"}, "metric: found 'agreement@k'"),
        ({"axes": {"k": [5]}, "seeds_of": []}, "metric: found 'agreement@50'"),
        ({"metric": "agreement"}, "metric: "),
        ({"metric": "auc"}, "metric: found 'auc', which base.threats [stealing] does not have"),
        ({"metric": "tpr@0.01"}, "metric: found 'tpr@0.01', which base.threats [stealing] does not have"),
        ({"users": "candidates"}, "users: found 'candidates', which base.threats [stealing] does not have"),
        ({"plot": "roc"}, "plot: found 'roc', which base.threats [stealing] does not have"),
        ({"variants": {"none": {}}}, "variants: found none; no axis 'variant'"),
        ({"further": [{"title": "T", "metrics": ["list"]}]}, "further.0.metrics.0: "),
        ({"further": [{"title": "T", "metrics": ["agreement@k"]}]}, "further.0.metrics.0: "),
        (
            {"further": [{"title": "T", "metrics": ["lists"], "rows": ["victim", "QSD50"]}]},
            "further: 'T' has the row 'QSD50'; there are PTD, X a+b, X a+c, popularity, constant, "
            "auxiliary, retrained, victim",
        ),
        ({"seeds": 0}, "seeds: "),
        ({"users": "everybody"}, "users: "),
        ({"seeds_of": [{"where": {"data": ["stem"]}, "seeds": 1}]}, "seeds_of: no cell has data stem"),
        ({"seeds_of": [{"where": {"clone": ["bpr"]}, "seeds": 1}]}, "seeds_of: no cell has clone bpr"),
    ],
)
def test_a_grid_that_does_not_hold_together_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        grid(**changes)
    assert str(caught.value).startswith(said)


INFERS: dict[str, Any] = {
    "name": "paper/fig1",
    "title": "A planted grid of membership inference",
    "source": "Nobody (2000), Figure 1",
    "base": {
        "threats": ["membership"],
        "k": 50,
        "victim": {"model": "lfm"},
        "membership": {"attacks": ["stack"], "settings": {"stack": {"rounds": 3}}},
    },
    "axes": {"membership.serving": ["popular", "fold-in"], "variant": ["none", "short", "strong"]},
    "variants": {
        "none": {},
        "short": {"k": 10},
        "strong": {"victim.optimisation.reg": 0.05, "membership.serving": "popular-random"},
    },
    "seeds": 2,
    "metric": "auc",
    "users": "candidates",
    "shown": ["stack", "blind: popular share"],
    "plot": "frontier",
}


def infers(**changes: object) -> Grid:
    return validated(Grid, {**INFERS, **changes})


def test_a_variant_lays_its_values_over_the_base_together() -> None:
    none, short, strong = infers().cells()[:3]
    assert [cell.labels["variant"] for cell in (none, short, strong)] == ["none", "short", "strong"]
    assert (none.values["k"], short.values["k"]) == (50, 10)
    assert none.values["victim"] == {"model": "lfm"}
    assert strong.values["victim"] == {"model": "lfm", "optimisation": {"reg": 0.05}}
    assert none.values["membership"]["serving"] == "popular"
    assert strong.values["membership"]["serving"] == "popular-random"
    assert "variant" not in none.values


def test_a_grid_of_membership_inference_shows_attacks_that_it_does_not_run() -> None:
    grid = infers()
    assert grid.infers
    assert grid.attacks == ("stack", "blind: popular share")
    assert {cell.metric for cell in grid.cells()} == {"auc"}
    assert {tuple(cell.values["threats"]) for cell in grid.cells()} == {("membership",)}
    assert "attacks" not in grid.cells()[0].values


@pytest.mark.parametrize("metric", ["auc", "accuracy", "tpr@0.01", "tpr@0.001"])
def test_metrics_of_membership_inference(metric: str) -> None:
    axes = {**INFERS["axes"], "k": [10, 20]}  # the metric does not follow the lists' length
    assert {cell.metric for cell in infers(metric=metric, axes=axes).cells()} == {metric}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metric": "auc@5"}, "metric: found 'auc@5', which base.threats [membership] does not have"),
        ({"metric": "tpr@1"}, "metric: found 'tpr@1', which base.threats [membership] does not have"),
        ({"metric": "tpr@0.x"}, "metric: "),
        ({"metric": "agreement@50"}, "metric: found 'agreement@50', which base.threats [membership]"),
        ({"users": "unqueried"}, "users: found 'unqueried', which base.threats [membership] does not have"),
        ({"shown": []}, "shown: expected a list of names, found ()"),
        (
            {"further": [{"title": "T", "metrics": ["auc"], "rows": ["null: stack", "constant"]}]},
            "further: 'T' has the row 'constant'; there are stack, blind: popular share, victim",
        ),
        (
            {"base": {**INFERS["base"], "threats": ["membership", "stealing"]}},
            "base.threats: found ['membership', 'stealing'], expected [stealing] or [membership]",
        ),
        ({"base": {**INFERS["base"], "threats": "membership"}}, "base.threats: found 'membership', expected"),
        ({"variants": {"none": {}}}, "variants: found none; the axis 'variant' names none, short, strong"),
        ({"variants": {}}, "variants: found nothing; the axis 'variant' names none, short, strong"),
        (
            {"variants": {**INFERS["variants"], "strong": {"victim": "bpr", "victim.model.x": 1}}},
            "variants.strong.victim.model.x: 'model' is 'bpr', which has no keys inside",
        ),
        (
            {"variants": {**INFERS["variants"], "short": {"membership": "x"}}},
            "variants.short.membership: would take the place of the base's",
        ),
        ({"variants": {**INFERS["variants"], "short": {"k": [1]}}}, "variants.short.k"),
        (
            {"variants": {}, "axes": {"membership.serving": ["popular"]}},
            "plot: frontier has a point a variant; there is no axis 'variant'",
        ),
    ],
)
def test_a_grid_of_membership_inference_that_does_not_hold_together_is_refused(
    changes: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        infers(**changes)
    assert str(caught.value).startswith(said)


def test_narrowing_to_an_attack_changes_what_is_shown_and_nothing_that_is_run() -> None:
    part = narrowed(infers(), parse_only("attack=blind: popular share"), None)
    assert part.shown == part.attacks == ("blind: popular share",)
    assert [cell.values for cell in part.cells()] == [cell.values for cell in infers().cells()]


def test_narrowing_to_a_variant_leaves_the_others_out() -> None:
    part = narrowed(infers(), parse_only("variant=short,serving=popular"), None)
    assert part.variants == {"short": {"k": 10}}
    assert [cell.values["k"] for cell in part.cells()] == [10]
    assert validated(Grid, part.model_dump(mode="json")) == part


def test_only_is_read_from_one_text() -> None:
    assert parse_only("data=ml-1m+steam, victim=bpr") == {"data": ("ml-1m", "steam"), "victim": ("bpr",)}


@pytest.mark.parametrize("text", ["", "data", "=bpr", "data=", "data=a+", "data=a,,victim=b", "data=a,"])
def test_only_that_is_no_axis_and_value_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected axis=value"):
        parse_only(text)


def test_only_that_names_an_axis_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="data is there twice; join its values by"):
        parse_only("data=a,data=b")


def test_narrowing_keeps_the_named_values_in_the_grids_order() -> None:
    part = narrowed(grid(), parse_only("victim=lmf+bpr,data=steam,known=0.20"), None)
    assert part.axes == {"data": ("steam",), "victim": ("bpr", "lmf"), "split.known": (0.2,)}
    assert part.attacks == grid().attacks
    assert part.name == grid().name


def test_narrowing_by_nothing_leaves_the_grid_as_it_is() -> None:
    assert narrowed(grid(), {}, None) == grid()


def test_a_narrowed_grid_is_one_that_could_have_been_written() -> None:
    part = narrowed(grid(), parse_only("data=ml-1m,known=.2"), None)
    assert [(cell.labels["victim"], cell.seeds) for cell in part.cells()] == [("bpr", 3), ("lmf", 2)]
    assert validated(Grid, part.model_dump(mode="json")) == part


def test_narrowed_cells_are_the_whole_grids_own() -> None:
    whole = {tuple(cell.labels.values()): cell for cell in grid().cells()}
    part = narrowed(grid(), parse_only("victim=lmf"), None).cells()
    assert len(part) == 4
    assert all(cell == whole[tuple(cell.labels.values())] for cell in part)


def test_narrowing_the_attacks_takes_their_settings_along() -> None:
    part = narrowed(grid(), parse_only("attack=X a+b"), None)
    assert part.attacks == ("X a+b",)
    assert part.base["settings"] == {"X a+b": {"margin": 0.1}}
    assert grid().base["settings"].keys() == {"X a+b", "X a+c"}


def test_a_plus_in_a_name_is_told_from_one_between_names() -> None:
    assert narrowed(grid(), parse_only("attack=X a+c+PTD"), None).attacks == ("PTD", "X a+c")


def test_the_longest_name_counts_where_its_parts_are_names_too() -> None:
    planted = grid(base={"attacks": ["a", "b", "a+b", "c"]})
    assert narrowed(planted, parse_only("attack=c+a+b"), None).attacks == ("a+b", "c")
    assert narrowed(planted, parse_only("attack=b+a"), None).attacks == ("a", "b")


def test_what_is_kept_stands_in_the_grids_order_however_it_is_named() -> None:
    lengths = grid(axes={"data": list("hgfedcba")}, seeds_of=[])
    assert narrowed(lengths, parse_only("data=b+a+c+d+e+f+g"), None).axes["data"] == tuple("gfedcba")


def test_seeds_stand_above_all_exceptions() -> None:
    assert {cell.seeds for cell in narrowed(grid(), {}, 4).cells()} == {4}


@pytest.mark.parametrize("wrong", [0, -1])
def test_no_seeds_are_refused(wrong: int) -> None:
    with pytest.raises(UsageError, match="at least one seed"):
        narrowed(grid(), {}, wrong)


@pytest.mark.parametrize(
    ("only", "said"),
    [
        ("clone=bpr", "paper/table1 has no axis 'clone'; it has data, victim, known, attack"),
        ("split.known=0.1", "paper/table1 has no axis 'split.known'; it has data, victim, known, attack"),
        ("data=ml-1m+ta-feng", "paper/table1 has no data ta-feng; it has ml-1m, steam"),
        ("known=0.3", "paper/table1 has no known 0.3; it has 0.1, 0.2"),
        ("known=much", "paper/table1 has no known much; it has 0.1, 0.2"),
        ("attack=X a", "paper/table1 has no attack 'X a'; it has PTD, 'X a+b', 'X a+c'"),
    ],
)
def test_what_the_grid_does_not_have_is_refused_with_what_it_has(only: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        narrowed(grid(), parse_only(only), None)
    assert str(caught.value) == f"--only: {said}"
