"""Audits of small data: figures, ledgers, saved victims, and who may be a victim."""

import csv
import math
import shutil
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from pydantic import BaseModel, ConfigDict

from recaudit.audit import AuditSpec, run_audit
from recaudit.audit.run import check_device
from recaudit.audit.seed import SeedAudit
from recaudit.audit.spec import audit_spec
from recaudit.audit.stealing.budget import afforded
from recaudit.data.sources import load
from recaudit.data.split import split
from recaudit.errors import UsageError
from recaudit.pipeline import Store
from recaudit.pipeline.cache import Cache
from recaudit.pipeline.run import Run
from recaudit.report import read_result, render_html
from recaudit.report.tables import COLUMNS
from registered import register

ROLES = ("all", "queried", "unqueried")


def timeless(result) -> list[tuple]:
    """Return all figures but the seconds, which no two runs share."""
    return [tuple(row.items()) for row in result.content["figures"] if row["metric"] != "seconds"]


def rows(result) -> dict[tuple[str, str, str], dict]:
    found = {(row["attack"], row["metric"], row["users"]): row for row in result.content["figures"]}
    assert len(found) == len(result.content["figures"]), "a figure is there twice"
    return found


def test_every_figure_is_there(found, values) -> None:
    table = rows(found)
    for attack in ("popularity", "retrained", "victim", *values["attacks"]):
        for metric in ("agreement@5", "rbo@5", "recall@5", "ndcg@5"):
            for role in ROLES:
                row = table[attack, metric, role]
                if row["n"] < 2:
                    assert row["low"] is row["high"] is None, (attack, metric, role)
                else:
                    assert row["low"] <= row["value"] <= row["high"], (attack, metric, role)
                assert (row["data"], row["victim"], row["seeds"]) == ("tiny", "bpr", 2)
                assert row["clone"] == ("bpr" if attack in values["attacks"] else None)
    for attack in values["attacks"]:
        assert {(attack, metric, "all") for metric in ("lists", "users", "items", "seconds")} <= set(table)
    assert table["victim", "agreement@5", "all"]["value"] == 1
    assert table["victim", "agreement@5", "all"]["n"] == 2 * found.content["data"]["known_users"]
    assert table["PTAQ", "lists", "all"]["n"] is None


def stored_values(values, seed, out) -> dict[str, dict]:
    """Return one seed's values of all rows, by metric and role, from the finished stages in ``out``."""
    spec = audit_spec(values)
    cache = Cache(store=Store(out / "store", say=pytest.fail))
    result = SeedAudit(spec, load(spec.data), Run(seed=seed, cache=cache)).result()
    assert cache.misses == 0
    return result.values


def same(one, other) -> bool:
    """Whether two rows have the same values."""
    assert one.keys() == other.keys()
    return all(
        np.array_equal(one[metric][role], other[metric][role], equal_nan=True)
        for metric in one
        for role in one[metric]
    )


def test_means_are_over_users_then_seeds(found, values, out) -> None:
    stored = [stored_values(values, seed, out) for seed in (0, 1)]
    for role in ROLES:
        by_seed = [np.mean(one["PTAQ"]["agreement@5"][role]) for one in stored]
        assert found.figure("PTAQ", "agreement@5", role) == pytest.approx(np.mean(by_seed))
    # Users without held-out interactions have no recall.
    by_seed = [np.nanmean(np.array(one["PTAQ"]["recall@5"]["all"])) for one in stored]
    assert found.figure("PTAQ", "recall@5", "all") == pytest.approx(np.mean(by_seed))


@pytest.mark.parametrize("narrowest", [1e-9, 0.05, 1.0])
def test_place_lies_between_floor_and_ceiling(found, values, out, monkeypatch, narrowest) -> None:
    monkeypatch.setattr("recaudit.audit.stealing.figures.NARROWEST", narrowest)
    table = rows(run_audit(audit_spec(values), out=out))
    placed = 0
    for role in ROLES:
        floor, ceiling = (table[name, "agreement@5", role]["value"] for name in ("popularity", "retrained"))
        for attack in values["attacks"]:
            place, own = table[attack, "place@5", role], table[attack, "agreement@5", role]
            for end in ("value", "low", "high"):
                if ceiling - floor >= narrowest:
                    assert place[end] == pytest.approx((own[end] - floor) / (ceiling - floor))
                    placed += 1
                else:
                    assert place[end] is None
    assert placed or narrowest > 1e-9


def test_ledgers_are_told_as_they_are(found, values) -> None:
    content, table = found.content, rows(found)
    known = content["data"]["queried_users"] + content["data"]["validation_users"]
    assert known + content["data"]["unqueried_users"] == content["data"]["known_users"] == 20
    asked = {"QSD": content["data"]["queried_users"], "PTD": 0, "PTAQ": known}
    assert [(one["attack"], one["seed"]) for one in content["ledgers"]] == [
        (attack, seed) for seed in (0, 1) for attack in values["attacks"]
    ]
    for one in content["ledgers"]:
        assert one["lists"] == one["users"] == asked[one["attack"]]
        assert one["budget"] is None
    for attack in values["attacks"]:
        for column in ("lists", "users", "items"):
            counts = [one[column] for one in content["ledgers"] if one["attack"] == attack]
            row = table[attack, column, "all"]
            assert (row["value"], row["low"], row["high"]) == (np.mean(counts), min(counts), max(counts))


def test_a_budget_is_kept(values) -> None:
    result = run_audit(AuditSpec(**{**values, "queries": 7, "seeds": 1}))
    content = result.content
    left = 7 - content["data"]["validation_users"]
    assert content["data"]["queried_users"] == left
    assert [one["lists"] for one in content["ledgers"]] == [left, 0, 7]
    assert {one["budget"] for one in content["ledgers"]} == {7}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"queries": 2},
            "queries=2 leaves no list to learn from beside those of the attacker's 2 validation",
        ),
        ({"k": 40}, "k: lists of 40 items need more than the 40 of 'tiny'"),
        ({"split": {"known": 0.1}}, "4 known users .* are too few"),
        ({"device": "cuda:99"}, "device: 'cuda:99' is not there; this machine has cpu"),
        ({"data": "absent.csv"}, "absent.csv: no such file"),
    ],
)
def test_what_cannot_be_carried_out_is_told_before_any_training(values, change, says) -> None:
    def nothing(stage: str, done: int, total: int) -> None:
        raise AssertionError(f"{stage} began")

    with pytest.raises(UsageError, match=says):
        run_audit(AuditSpec(**values | change), progress=nothing)


@pytest.mark.parametrize("device", ["", "gpu", "meta", "cuda:99", "xla"])
def test_a_device_that_is_not_there(device) -> None:
    with pytest.raises(UsageError, match="is not there; this machine has cpu"):
        check_device(device)


def test_nodes_and_epochs_are_told(values) -> None:
    heard, told = [], []
    run_audit(AuditSpec(**values), progress=lambda *step: heard.append(step), tell=told.append)
    assert heard[0] == ("training bpr", 1, 6)
    nodes = [(task.label, task.seed) for state in told for task in state.running]
    finished = [state.finished for state in told if state.finished is not None]
    assert len(nodes) == len(set(nodes)) + 2  # PTD's clone and PTAQ's have one label, in both seeds
    assert len(finished) == len(set(finished)) == 2 * 11
    assert told[-1].left == frozenset()
    for seed in (0, 1):
        for row in (
            "judging victim",
            "judging retrained",
            *(f"attacking with {name}" for name in values["attacks"]),
        ):
            assert (row, seed) in nodes


def test_a_popular_list_is_its_own_floor_and_ceiling(values) -> None:
    result = run_audit(AuditSpec(**values | {"victim": "popularity", "clone": values["victim"], "seeds": 1}))
    assert result.figure("retrained", "agreement@5") == 1
    assert result.figure("popularity", "agreement@5") == 1
    assert result.figure("PTAQ", "place@5") is None


def test_item_knn_is_cloned_by_bpr(values, tmp_path) -> None:
    spec = AuditSpec(
        **values | {"victim": "item-knn", "clone": values["victim"] | {"model": "bpr"}, "seeds": 1}
    )
    result = run_audit(spec, out=tmp_path)
    row = rows(result)["PTAQ", "agreement@5", "unqueried"]
    assert (row["victim"], row["clone"]) == ("item-knn", "bpr")
    assert result.figure("retrained", "agreement@5") == 1
    saved = {"saved": str(tmp_path / "victims" / "seed-0")}
    again = run_audit(AuditSpec.model_validate(spec.model_dump(mode="json") | {"victim": saved}))
    assert timeless(again) == timeless(result)


def test_a_figure_that_is_not_there(found) -> None:
    with pytest.raises(
        KeyError, match=r"no 'agreement@50' of 'PTD' on 'unqueried' users; there are agreement@5 \(all"
    ):
        found.figure("PTD", "agreement@50")
    with pytest.raises(KeyError, match="there are PTAQ, PTD, QSD, popularity, retrained, victim"):
        found.figure("PTX", "agreement@5")


def test_the_report_is_read_back_as_it_was(found, tmp_path) -> None:
    from recaudit import write_report

    write_report(found, str(tmp_path))
    page = (tmp_path / "report.html").read_text("utf-8")
    assert render_html(read_result(tmp_path)) == page
    with (tmp_path / "figures.csv").open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    assert tuple(header) == COLUMNS
    assert len(lines) == len(found.content["figures"])
    for line, row in zip(lines, found.content["figures"], strict=True):
        assert line[:6] == [row[name] or "" for name in COLUMNS[:6]]
        assert float(line[6] or "nan") == pytest.approx(
            row["value"] if row["value"] is not None else math.nan, nan_ok=True
        )


def test_a_saved_victim_gives_the_figures_of_the_audit_that_saved_it(found, values, out) -> None:
    fresh = run_audit(AuditSpec(**values | {"seeds": "1,"}), out=out)
    assert fresh.reused == (1,)
    saved = AuditSpec(**values | {"victim": out / "victims" / "seed-1", "seeds": "1,"})
    assert timeless(run_audit(saved)) == timeless(fresh)


def test_a_saved_victim_keeps_its_split_over_all_seeds(found, values, out, tmp_path) -> None:
    spec = values | {"victim": out / "victims" / "seed-1", "seeds": [0, 1, 2]}
    result = run_audit(AuditSpec(**spec), out=tmp_path)
    trained = stored_values(values, 1, out)
    again = [stored_values(spec, seed, tmp_path) for seed in (0, 1, 2)]
    # The victim and its split stay; what the seeds change is the retrained victim and the attacks.
    assert all(same(one[row], trained[row]) for one in again for row in ("victim", "popularity"))
    assert all(same(again[1][row], trained[row]) for row in trained)
    assert not same(again[0]["retrained"], trained["retrained"])
    assert not same(again[0]["PTAQ"], trained["PTAQ"])
    assert not (tmp_path / "victims").exists()
    assert result.content["spec"]["split"]["known"] == 0.5


def test_a_saved_victim_on_other_data_or_damaged(found, values, out, tmp_path, data) -> None:
    other = tmp_path / "other.csv"
    other.write_text(data.read_text("utf-8").replace("\n7,", "\n700,"), "utf-8")
    victim = shutil.copytree(out / "victims" / "seed-0", tmp_path / "victim")
    with pytest.raises(
        UsageError, match="was trained on other interactions than 'other' gives; name the same"
    ):
        run_audit(AuditSpec(**values | {"victim": victim, "data": str(other)}))
    weights = victim / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(UsageError, match=r"model.safetensors: damaged"):
        run_audit(AuditSpec(**values | {"victim": victim}))


def test_a_saved_victim_s_defence_draws_anew_in_each_seed(found, values, out, tmp_path) -> None:
    plain = values | {"victim": out / "victims" / "seed-1", "attacks": ["PTD"]}
    spec = AuditSpec(**plain | {"defence": {"mixed": 3, "top": 10}, "seeds": 2})
    kept, fresh = run_audit(spec, out=tmp_path), run_audit(spec)
    assert timeless(kept) == timeless(fresh)
    row = rows(kept)["victim", "recall@5", "target"]
    each = [run_audit(spec.model_copy(update={"seeds": (seed,)})) for seed in (0, 1)]
    values_of_seeds = [one.figure("victim", "recall@5", "target") for one in each]
    assert values_of_seeds[0] != values_of_seeds[1]
    assert row["value"] == pytest.approx(np.mean(values_of_seeds))


class Alphabet(BaseModel):
    """Somebody's own recommender: the lower an item's number, the better, but for a shift by the user."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Literal["alphabet"] = "alphabet"
    shift: int = 1

    def fit(self, data, run):
        return self.restore({}, n_users=data.n_users, n_items=data.n_items)

    def restore(self, tensors, *, n_users, n_items):
        return Alphabetical(self.shift, n_users, n_items)


class Alphabetical:
    log = None

    def __init__(self, shift, n_users, n_items):
        self.shift, self.n_users, self.n_items = shift, n_users, n_items

    def score(self, users):
        start = torch.tensor(users)[:, None] * self.shift
        return -((torch.arange(self.n_items) + start) % self.n_items).float()

    def tensors(self):
        return {}


def test_somebody_s_own_recommender_is_a_victim(values, monkeypatch, tmp_path) -> None:
    package = register(monkeypatch, "recaudit.models", alphabet=Alphabet)
    spec = AuditSpec(**values | {"victim": {"model": "alphabet", "shift": 3}, "seeds": 1})
    result = run_audit(spec, out=tmp_path)
    assert rows(result)["QSD", "agreement@5", "queried"]["victim"] == "alphabet"
    assert result.figure("retrained", "agreement@5") == 1
    assert result.content["spec"]["victim"] == {"model": "alphabet", "shift": 3}
    with pytest.raises(UsageError, match=r"unknown model 'alphabe'; did you mean 'alphabet'\?"):
        audit_spec({"victim": "alphabe"})
    # Another version of the package may compute something else: what the first one stored does not count.
    assert run_audit(spec, out=tmp_path).reused == (0,)
    package.version = "2.0"
    assert run_audit(spec, out=tmp_path).reused == ()


class Successor(Alphabet):
    reads_histories: ClassVar[bool] = True

    model: Literal["successor"] = "successor"

    def fit(self, data, run):
        return Following(data.n_users, data.n_items, data)

    def restore(self, tensors, *, n_users, n_items):
        return Following(n_users, n_items, None)


class Following:
    """Ranks the items that come after the last one by number."""

    log = None

    def __init__(self, n_users, n_items, histories):
        self.n_users, self.n_items, self.histories = n_users, n_items, histories

    def shown(self, histories):
        return Following(histories.n_users, self.n_items, histories)

    def score(self, users):
        last = torch.from_numpy(self.histories.items[self.histories.offsets[1:][users] - 1].astype(np.int64))
        return -((torch.arange(self.n_items) - last[:, None] - 1) % self.n_items).float()

    def tensors(self):
        return {}


def test_somebody_s_own_recommender_that_reads_histories_is_asked_with_histories(values, monkeypatch) -> None:
    register(monkeypatch, "recaudit.models", successor=Successor, alphabet=Alphabet)
    chosen = {"attacks": ["QSD5"], "settings": {"QSD5": {"length": 5, "stopping": {"epochs": 10}}}}
    changed = values | chosen | {"victim": {"model": "successor", "shift": 1}, "seeds": 1}
    clone = {"model": "stamp", "stopping": {"epochs": 2, "evaluate_every": 1}}
    result = run_audit(audit_spec(changed | {"clone": clone}))
    assert result.figure("QSD5", "sequences", "all") > 0
    assert result.figure("constant", "agreement@5") < 1
    with pytest.raises(UsageError, match="the victim 'alphabet' reads none"):
        audit_spec(changed | {"clone": clone, "victim": {"model": "alphabet"}})


def test_interactions_at_hand_are_not_loaded_again(values, found) -> None:
    at_hand = load(values["data"])
    result = run_audit(
        AuditSpec(**values | {"data": "synthetic", "attacks": ["PTD"], "seeds": 1}), data=at_hand
    )
    assert result.content["data"]["fingerprint"] == found.content["data"]["fingerprint"]


def test_a_budget_draws_queried_users_and_a_greater_one_keeps_them(values) -> None:
    data = load(values["data"])
    parts = split(data, audit_spec(values).split, 0)
    whole = SeedAudit(audit_spec(values), data, Run(seed=0)).stealing.knowledge
    drawn = []
    for learned_from in range(1, len(parts.queried) + 1):
        budget = len(parts.validation) + learned_from
        spec = audit_spec(values | {"queries": budget, "attacks": ["PTQ"], "settings": {}})
        found = afforded(whole, spec.settings, budget=budget, target=parts.target.fingerprint)
        drawn.append(set(found.queried.tolist()))
        assert len(drawn[-1]) == learned_from
    assert all(less <= more for less, more in pairwise(drawn))
    assert any(chosen != set(parts.queried[: len(chosen)].tolist()) for chosen in drawn)


def test_a_budget_does_not_bind_attacks_that_ask_for_nothing(values) -> None:
    settings = {"PTD": values["settings"]["PTD"]}
    changed = values | {"attacks": ["PTD"], "settings": settings, "queries": 1, "seeds": 1}
    assert run_audit(audit_spec(changed)).figure("PTD", "lists", "all") == 0
