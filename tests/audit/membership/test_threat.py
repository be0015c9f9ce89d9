"""Membership inference in an audit: a leak that was planted is found, none is found where there is none."""

import shutil
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import pytest

from recaudit.audit import AuditResult, AuditSpec, run_audit
from recaudit.audit.membership.threat import Membership
from recaudit.audit.seed import SeedAudit
from recaudit.audit.spec import audit_spec
from recaudit.data.interactions import Interactions
from recaudit.data.sources import load
from recaudit.data.split import SplitSpec
from recaudit.errors import UsageError
from recaudit.models.saving import save_model
from recaudit.models.zoo.baselines import Popularity
from recaudit.models.zoo.lfm import LFM as LFMSpec
from recaudit.pipeline import Store
from recaudit.pipeline.cache import Cache
from recaudit.pipeline.run import Run
from recaudit.victims.saved import write_split
from registered import register

LOGISTIC = {"classifier": "logistic"}
LFM = {"model": "lfm", "embedding_size": 8, "epochs": 8}


@pytest.fixture(scope="module")
def crowd() -> Interactions:
    """120 users of 150 items: each has six popular items and six of the rest, at random."""
    draws = np.random.default_rng(3)
    popular = np.arange(30)
    rows = [
        (user, int(item))
        for user in range(120)
        for item in (
            *draws.choice(popular, 6, replace=False),
            *draws.choice(range(30, 150), 6, replace=False),
        )
    ]
    frame = pl.DataFrame(rows, schema=["user", "item"], orient="row").sort("user", maintain_order=True)
    return Interactions(
        name="crowd",
        offsets=np.arange(0, 12 * 121, 12, dtype=np.int64),
        items=frame["item"].to_numpy().astype(np.int32),
        user_ids=pl.Series(range(120)),
        item_ids=pl.Series(range(150)),
    )


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    return {
        "threats": "membership",
        "victim": LFM,
        "k": 10,
        "seeds": 2,
        "membership": {
            "serving": "popular,everyone-folded",
            "attacks": ["difference", "stack", "stack (stranger)"],
            "shadows": 4,
            "vectors": 8,
            "rich": {"trees": 15},
            "settings": {name: {"classifier": LOGISTIC} for name in ("stack", "stack (stranger)")},
        },
    }


@pytest.fixture(scope="module")
def found(values, crowd) -> AuditResult:
    return run_audit(AuditSpec(**values), data=crowd)


def rows(result: AuditResult) -> dict[tuple[str, str, str, str], dict[str, Any]]:
    table = {
        (row["serving"], row["attack"], row["metric"], row["users"]): row for row in result.content["figures"]
    }
    assert len(table) == len(result.content["figures"]), "a figure is there twice"
    return table


def test_every_figure_is_there(found, values) -> None:
    table = rows(found)
    for serving in ("popular", "everyone-folded"):
        for attack in values["membership"]["attacks"]:
            for metric in ("auc", "accuracy", "tpr@0.01", "tpr@0.001"):
                row = table[serving, attack, metric, "candidates"]
                assert row["low"] <= row["value"] <= row["high"]
                assert (row["threat"], row["victim"], row["clone"], row["seeds"]) == (
                    "membership",
                    "lfm",
                    None,
                    2,
                )
            assert (serving, f"null: {attack}", "auc", "candidates") in table
            assert table[serving, attack, "lists", "candidates"]["value"] == 40
        for users in ("members", "non-members"):
            for metric in ("ndcg@10", "recall@10"):
                assert 0 <= table[serving, "victim", metric, users]["value"] <= 1
        for feature in (
            "popular share",
            "seen item",
            "history length",
            "list constancy",
            "best single feature",
        ):
            assert (serving, f"blind: {feature}", "auc", "candidates") in table
    assert {(one["serving"], one["seed"]) for one in found.content["blind"]} == {
        (serving, seed) for serving in ("popular", "everyone-folded") for seed in (0, 1)
    }


def test_who_is_served_the_popular_list_is_told(found) -> None:
    assert found.figure("stack", "auc", "candidates", serving="popular") > 0.8
    assert found.figure("blind: popular share", "auc", "candidates", serving="popular") > 0.8


@pytest.mark.parametrize("serving", ["popular", "everyone-folded"])
@pytest.mark.parametrize("attack", ["difference", "stack", "stack (stranger)"])
def test_a_victim_of_other_users_gives_nobody_away(found, attack, serving) -> None:
    # 40 scores a seed: the standard error of an AUC of 0.5 is 0.065 over both.
    null = found.figure(f"null: {attack}", "auc", "candidates", serving=serving)
    assert abs(null - 0.5) < 0.2


def test_curves_hold_the_figures(found) -> None:
    for curve in found.content["curves"]:
        assert curve["fpr"][0] == 0
        assert (curve["fpr"][-1], curve["tpr"][-1]) == (1, 1)
        at = curve["fpr"].index(0.01)
        told = found.figure(curve["attack"], "tpr@0.01", "candidates", serving=curve["serving"])
        assert curve["tpr"][at] == pytest.approx(told)


@pytest.mark.slow
def test_stages_are_those_that_a_run_computes(values, crowd, tmp_path) -> None:
    """Doing every planned stage leaves nothing to a run; a second run trains nothing again."""
    store = Store(tmp_path / "store", say=pytest.fail)
    spec = audit_spec(values)

    def audit(cache: Cache) -> SeedAudit:
        return SeedAudit(spec, crowd, Run(seed=0, cache=cache))

    seen: set[str] = set()
    cache = Cache(store)
    for number, node in enumerate(audit(cache).nodes()):
        assert node.kept_needs <= seen
        cache.get(node)
        assert cache.misses == number + 1, node.label
        assert store.read(node.key) is not None
        seen.add(node.key.hash)
    again = Cache(store=store)
    result = audit(again).result()
    assert again.misses == 0
    direct = SeedAudit(spec, crowd, Run(seed=0)).result()
    for serving, one in result.inferred.items():
        for attack, scores in one.scores.items():
            np.testing.assert_array_equal(scores, direct.inferred[serving].scores[attack])


def test_who_trains_what(values, crowd) -> None:
    """No shadow of the stranger and no null control is trained on a candidate; the auditor's halves are."""
    (audit,) = SeedAudit(audit_spec(values), crowd, Run(seed=1)).threats
    assert isinstance(audit, Membership)
    split, models = audit.split, audit.models.planned
    assert set(models["victim"].trained) == set(split.candidates[split.members])
    for name, one in models.items():
        shared = np.isin(one.trained, split.candidates)
        if name == "victim" or name.startswith("auditor"):
            assert shared.all()
        else:
            assert not shared.any(), name
    auditors = [one for name, one in models.items() if name.startswith("auditor")]
    inside = np.stack([np.isin(split.candidates, one.trained) for one in auditors])
    assert len(auditors) == 4
    assert (inside.sum(axis=0) == 2).all()


def test_attacks_take_only_the_models_that_they_need(values, crowd) -> None:
    alone = {
        **values,
        "membership": {**values["membership"], "attacks": ["difference"], "serving": "popular"},
    }
    audit = SeedAudit(audit_spec(alone), crowd, Run(seed=0))
    names = [node.label for node in audit.nodes()]
    assert not [name for name in names if name.startswith("folding")], "nobody is folded in for popular lists"
    assert not [name for name in names if "auditor" in name or "own" in name]


def computed(values, crowd, store, **membership) -> list[str]:
    """Run one seed on the store with other settings; return the labels of the nodes that were computed."""
    spec = audit_spec({**values, "membership": {**values["membership"], **membership}})
    cache, labels = Cache(store), []
    for node in SeedAudit(spec, crowd, Run(seed=0, cache=cache)).nodes():
        before = cache.misses
        cache.get(node)
        labels += [node.label] * (cache.misses - before)
    return labels


@pytest.fixture(scope="module")
def popular(values, crowd, tmp_path_factory):
    """Return a store with one seed of two attacks under the popular list, to be copied."""
    folder = tmp_path_factory.mktemp("popular") / "store"
    computed(
        values, crowd, Store(folder, say=pytest.fail), serving="popular", attacks=["difference", "stack"]
    )
    return folder


def test_one_more_attack_computes_itself_alone(values, crowd, popular, tmp_path) -> None:
    store = Store(shutil.copytree(popular, tmp_path / "store"), say=pytest.fail)
    more = computed(values, crowd, store, serving="popular", attacks=["difference", "stack", "rich"])
    assert more == ["membership, popular: rich"]


def test_more_shadows_keep_the_first_ones(values, crowd, popular, tmp_path) -> None:
    store = Store(shutil.copytree(popular, tmp_path / "store"), say=pytest.fail)
    more = computed(values, crowd, store, serving="popular", attacks=["difference", "stack"], shadows=6)
    new = [f"membership, auditor {number}" for number in (4, 5)]
    assert sorted(more) == sorted(
        [
            *(f"training lfm for {name}" for name in new),
            *(f"lists of {name}, popular" for name in new),
            "membership, popular: stack",
        ]
    )


def test_both_threats_in_one_audit(tiny_data) -> None:
    few = {"epochs": 2, "evaluate_every": 1, "patience": 2}
    spec = audit_spec(
        {
            "data": str(tiny_data),
            "victim": {"embedding_size": 8, "stopping": few},
            "attacks": ["PTD"],
            "settings": {"PTD": {"stopping": few}},
            "k": 5,
            "split": {"known": 0.5},
            "membership": {"serving": "everyone-folded", "attacks": ["difference"], "vectors": 4},
        }
    )
    result = run_audit(spec, data=load(spec.data))
    assert {row["threat"] for row in result.content["figures"]} == {"stealing", "membership"}
    assert result.figure("PTD", "agreement@5") is not None
    assert result.figure("difference", "auc", "candidates", serving="everyone-folded") is not None
    assert result.content["data"]["target_users"] == 40
    assert result.content["data"]["candidate_users"] == 27
    assert result.content["spec"]["threats"] == ["stealing", "membership"]


@pytest.mark.parametrize(
    ("membership", "said"),
    [
        ({"shadows": 5}, "even number"),
        ({"shadows": 2}, "shadows"),
        ({"serving": "popluar"}, "popular"),
        ({"attacks": ["stak"]}, "stack"),
        ({"attacks": ["stack", "stack"]}, "twice"),
        ({"settings": {"stak": {}}}, "stack"),
        ({"settings": {"difference": {"classifier": {"hiden": 3}}}}, "hidden"),
        ({"shadow": {"model": "lmff"}}, "lmf"),
        ({"split": {"target_share": 0.9, "shadow_share": 0.5}}, "target_share"),
        ({"defence": {"random_items": 51}}, "random_items: 51 of the 50 items"),
    ],
)
def test_a_mistake_is_named(membership, said) -> None:
    with pytest.raises(UsageError, match=said):
        audit_spec({"membership": membership})


def test_a_saved_victim_is_not_audited_for_membership(values, crowd, tmp_path) -> None:
    save_model(LFMSpec(epochs=1).fit(crowd, Run(seed=0)), LFMSpec(epochs=1), crowd.fingerprint, tmp_path)
    write_split(SplitSpec(), 0, tmp_path)
    assert audit_spec({"victim": {"saved": str(tmp_path)}}).threats == ("stealing",)
    with pytest.raises(UsageError, match="saved victim cannot be audited for membership"):
        audit_spec({"victim": {"saved": str(tmp_path)}, "threats": "stealing,membership"})


def test_a_defence_of_stealing_is_not_taken_for_one_of_membership() -> None:
    with pytest.raises(UsageError, match="measured against stealing alone"):
        audit_spec({"defence": {"mixed": 5}})
    assert audit_spec({"defence": {"mixed": 5}, "threats": "stealing"}).threats == ("stealing",)


@pytest.mark.parametrize(
    ("membership", "said"),
    [
        (
            {"split": {"target_share": 0.5, "shadow_share": 0.5}},
            "0 users are neither attacked",
        ),
        ({"split": {"target_share": 0.5, "shadow_share": 0.4}}, "the null control needs 30"),
        ({"split": {"target_share": 0.001}}, "^membership.split.target_share=0.001 of 120 users is 0"),
    ],
)
def test_too_few_users_are_told_before_anything_is_trained(values, crowd, membership, said) -> None:
    spec = audit_spec(values | {"membership": values["membership"] | membership})
    with pytest.raises(UsageError, match=said):
        SeedAudit(spec, crowd, Run(seed=0))


class Unfoldable(Popularity):
    """A model that knows its own users alone."""

    model: Literal["unfoldable"] = "unfoldable"
    fold_in: ClassVar[None] = None


def test_a_model_that_cannot_fold_in_is_refused_before_anything_is_trained(
    values, crowd, monkeypatch
) -> None:
    register(monkeypatch, "recaudit.models", unfoldable=Unfoldable)
    spec = audit_spec(values | {"victim": "unfoldable"})
    with pytest.raises(UsageError, match=r"--serving popular.*--threats stealing"):
        SeedAudit(spec, crowd, Run(seed=0))
    popular = values["membership"] | {"serving": "popular"}
    SeedAudit(audit_spec(values | {"victim": "unfoldable", "membership": popular}), crowd, Run(seed=0))


def test_rows_come_in_one_order_from_the_store_too(values, crowd, tmp_path) -> None:
    spec = AuditSpec(**values | {"seeds": 1, "membership": values["membership"] | {"serving": "popular"}})
    store = Store(tmp_path / "store", say=pytest.fail)
    first, again = (run_audit(spec, data=crowd, store=store).content["figures"] for _ in range(2))
    assert first == again
