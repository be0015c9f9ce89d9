"""Audits in which victim or clone reads histories: unseen users, one list for all, the auxiliary model."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest

from recaudit.audit import AuditResult, AuditSpec, run_audit
from recaudit.audit.seed import SeedAudit
from recaudit.audit.spec import audit_spec
from recaudit.audit.stealing import judging
from recaudit.audit.stealing.judging import constant_lists, unseen_users
from recaudit.data.interactions import Interactions
from recaudit.data.sources import load
from recaudit.data.split import split
from recaudit.errors import UsageError
from recaudit.metrics.ranking import agreement
from recaudit.models.protocol import TopK, reading
from recaudit.models.ranking import top_k
from recaudit.oracle.oracle import Ledger, Oracle
from recaudit.pipeline import Store
from recaudit.pipeline.cache import Cache
from recaudit.pipeline.run import Run
from recaudit.victims.protocol import Queries
from recaudit.victims.trained import FittedVictim

FEW = {"epochs": 2, "evaluate_every": 1, "patience": 2}
SASREC = {
    "model": "sasrec",
    "embedding_size": 8,
    "max_length": 6,
    "blocks": 1,
    "optimisation": {"learning_rate": 0.01, "batch_size": 32},
    "stopping": {"epochs": 4, "evaluate_every": 2, "patience": 4},
}
BOTH = {"lists_stopping": FEW, "stopping": FEW}
NEW_ROWS = {"constant", "auxiliary"}


@pytest.fixture(scope="module")
def sequential(values) -> dict[str, Any]:
    """Plain values of an audit whose victim and clone read histories."""
    return values | {
        "victim": SASREC,
        "attacks": ["QSD", "PTD", "PTAQ", "QSD5"],
        "settings": {"QSD": BOTH, "PTD": BOTH, "PTAQ": BOTH, "QSD5": {"length": 5, "stopping": FEW}},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sequential")


@pytest.fixture(scope="module")
def result(sequential, folder) -> AuditResult:
    return run_audit(AuditSpec(**sequential), out=folder)


def table(result: AuditResult) -> dict[tuple[str, str, str], dict[str, Any]]:
    found = {(row["attack"], row["metric"], row["users"]): row for row in result.content["figures"]}
    assert len(found) == len(result.content["figures"]), "a figure is there twice"
    return found


def timeless(result: AuditResult) -> list[tuple]:
    return [tuple(row.items()) for row in result.content["figures"] if row["metric"] != "seconds"]


def opened(values, seed=0, cache=None) -> SeedAudit:
    spec = audit_spec(values)
    return SeedAudit(spec, load(spec.data), Run(seed=seed, cache=Cache() if cache is None else cache))


def test_every_figure_is_there(result, sequential) -> None:
    rows = table(result)
    beside = ("popularity", "retrained", "victim", "constant", "auxiliary")
    for attack in (*beside, *sequential["attacks"]):
        for metric in ("agreement@5", "rbo@5", "recall@5", "ndcg@5"):
            for role in ("all", "queried", "unqueried", "unseen"):
                row = rows[attack, metric, role]
                if row["n"] < 2:
                    assert row["low"] is row["high"] is None, (attack, metric, role)
                else:
                    assert row["low"] <= row["value"] <= row["high"], (attack, metric, role)
                cloned = attack == "auxiliary" or attack in sequential["attacks"]
                assert (row["victim"], row["clone"]) == ("sasrec", "sasrec" if cloned else None)
    for attack in ("auxiliary", *sequential["attacks"]):
        for counted in ("lists", "users", "items", "calls", "sequences", "seconds"):
            assert (attack, counted, "all") in rows
    for attack in ("constant", "auxiliary", *sequential["attacks"]):
        assert (attack, "place@5", "unseen") in rows
    assert rows["victim", "agreement@5", "unseen"]["value"] == 1
    assert 0 < rows["victim", "diversity@5", "target"]["value"] < 1
    assert result.content["data"]["unseen_users"] == 20
    assert result.content["data"]["times"] is False
    # One list for all, counted on what is served, is nearer to that than what is popular in the data.
    assert rows["constant", "agreement@5", "all"]["value"] > rows["popularity", "agreement@5", "all"]["value"]


def test_the_result_says_that_the_data_have_times(values) -> None:
    data = load(values["data"])
    timed = replace(data, times=np.arange(len(data.items)))
    attack = {"attacks": ["PTD"], "settings": {"PTD": {"stopping": FEW}}}
    spec = values | attack | {"victim": "item-knn", "split": {"known": 0.5, "heldout_by": "time"}, "seeds": 1}
    assert run_audit(AuditSpec(**spec), data=timed).content["data"]["times"] is True


def test_coverage_is_one_number_a_seed(result, sequential) -> None:
    each = []
    for seed in (0, 1):
        stealing = opened(sequential, seed).stealing
        target = stealing.split.target
        victim = stealing.run.cache.get(stealing.victim)
        lists = top_k(victim, np.arange(target.n_users), target, 5).items
        each.append(len(np.unique(lists)) / 40)
    row = table(result)["victim", "coverage@5", "target"]
    assert (row["value"], row["low"], row["high"]) == (np.mean(each), min(each), max(each))


def test_what_attacks_asked_is_told(result) -> None:
    asked = {one["attack"]: one for one in result.content["ledgers"] if one["seed"] == 0}
    assert {name: one["lists"] for name, one in asked.items()} == {
        "auxiliary": 0,
        "QSD": 16,
        "PTD": 0,
        "PTAQ": 18,
        "QSD5": 90,
    }
    assert (asked["PTAQ"]["calls"], asked["PTAQ"]["sequences"], asked["PTAQ"]["users"]) == (1, 0, 18)
    # 18 histories of 5 items grow side by side.
    assert (asked["QSD5"]["calls"], asked["QSD5"]["sequences"], asked["QSD5"]["users"]) == (5, 18, 0)
    assert table(result)["QSD5", "calls", "all"]["value"] == 5


def test_all_comes_back_from_the_store(result, sequential, folder) -> None:
    again = run_audit(AuditSpec(**sequential), out=folder)
    assert again.reused == (0, 1)
    assert again.content["figures"] == result.content["figures"]
    assert again.content["ledgers"] == result.content["ledgers"]


def test_a_saved_victim_is_shown_the_target_s_histories(result, sequential, folder) -> None:
    saved = AuditSpec(**sequential | {"victim": folder / "victims" / "seed-1", "seeds": "1,"})
    fresh = run_audit(AuditSpec(**sequential | {"seeds": "1,"}), out=folder)
    assert timeless(run_audit(saved)) == timeless(fresh)


def test_a_saved_victim_s_seeds_judge_the_same_unseen_users(sequential, folder, result) -> None:
    spec = sequential | {"victim": folder / "victims" / "seed-1", "attacks": ["PTD"], "seeds": 2}
    seeds = [opened(spec, seed).stealing for seed in (0, 1)]
    np.testing.assert_array_equal(seeds[0]._users, seeds[1]._users)
    found = run_audit(AuditSpec(**spec)).figure("PTD", "agreement@5", "unseen")
    assert found is not None
    assert 0 <= found <= 1


@pytest.mark.slow
def test_every_stage_by_itself_leaves_nothing_to_the_audit(sequential, tmp_path) -> None:
    store = Store(tmp_path, say=pytest.fail)
    nodes = tuple(opened(sequential).nodes())
    models = [node.label for node in nodes if node.key.kind == "model"]
    assert len(models) == len(set(models)) == 3  # what PTAQ shares with the auxiliary model alone is one
    there: set[str] = set()
    for place, node in enumerate(nodes):
        assert node.kept_needs <= there, node.label
        cache = Cache(store)
        cache.get(tuple(opened(sequential, cache=cache).nodes())[place])
        assert cache.misses == 1, node.label
        there.add(node.key.hash)
        assert {stored.hash for stored in store.nodes()} == there
    again = Cache(store=store)
    whole = opened(sequential, cache=again).result()
    assert again.misses == 0
    direct = opened(sequential).result()
    assert whole.ledgers == direct.ledgers
    for row, metrics in direct.values.items():
        for metric, roles in metrics.items():
            for role, numbers in roles.items():
                np.testing.assert_array_equal(whole.values[row][metric][role], numbers)


def test_unseen_users_are_the_others_and_no_clone_learns_from_them(sequential) -> None:
    stealing = opened(sequential).stealing
    parts = stealing.split
    unseen = stealing._users[stealing.roles["unseen"]]
    np.testing.assert_array_equal(np.sort([*parts.known, *unseen]), np.arange(parts.target.n_users))
    ids = set(stealing.knowledge.known.user_ids) | set(stealing.knowledge.auxiliary.user_ids)
    assert not ids & set(parts.target.user_ids.gather(unseen))
    # The unseen users' lists are those of the clone, shown what the victim was trained on.
    cache = stealing.run.cache
    victim = cache.get(stealing.victim)
    clone, _ = stealing._steal("PTD", FittedVictim(recommender=victim, seen=parts.target))
    histories = parts.target.of_users(unseen)
    lists = top_k(reading(clone, histories), np.arange(len(unseen)), histories, 5)
    expected = agreement(top_k(victim, unseen, parts.target, 5).items, lists.items)
    judged = cache.get(stealing.rows["PTD"])
    np.testing.assert_array_equal(judged.values["agreement@5"]["unseen"], expected)


def test_at_most_so_many_are_unseen_and_a_greater_share_known_keeps_the_rest(monkeypatch, values) -> None:
    data = load(values["data"])
    few, many = (split(data, audit_spec({"split": {"known": share}}).split, 0) for share in (0.4, 0.7))
    assert len(unseen_users(few)) == 24
    assert set(unseen_users(many)) < set(unseen_users(few))
    monkeypatch.setattr(judging, "MOST_UNSEEN", 7)
    assert len(unseen_users(few)) == 7
    assert not set(unseen_users(few)) & set(few.known)


def test_where_all_are_known_nobody_is_unseen(sequential) -> None:
    changed = sequential | {"split": {"known": 1.0}, "attacks": ["PTD"], "seeds": 1}
    found = run_audit(AuditSpec(**changed))
    assert {row["users"] for row in found.content["figures"]} == {"all", "queried", "unqueried", "target"}
    assert "unseen_users" not in found.content["data"]


def test_the_auxiliary_model_alone_is_shown_histories(sequential) -> None:
    stealing = opened(sequential).stealing
    cache, target = stealing.run.cache, stealing.split.target
    fitted = stealing.spec.clone.fit(stealing.split.auxiliary, stealing._attacks.child("auxiliary"))
    histories = target.of_users(stealing._users)
    lists = top_k(reading(fitted, histories), np.arange(histories.n_users), histories, 5)
    reference = top_k(cache.get(stealing.victim), stealing._users, target, 5)
    judged = cache.get(stealing.rows["auxiliary"]).values["agreement@5"]
    expected = agreement(reference.items, lists.items)
    np.testing.assert_array_equal(np.concatenate([judged["all"], judged["unseen"]]), expected)


def test_the_constant_list_by_hand(values) -> None:
    target = load(values["data"])
    served = np.full((target.n_users, 2), -1)
    served[:3] = [[7, 5], [5, 9], [9, 30]]
    listed = {5: 2, 9: 2, 7: 1, 30: 1}
    unseen = target.n_users - target.popularity
    # Of items that nobody lists, and of equals, the lowest number comes first.
    ranking = sorted(range(40), key=lambda item: (-Fraction(listed.get(item, 0), int(unseen[item])), item))
    assert set(ranking[:4]) == set(listed)
    found = constant_lists(TopK(items=served), np.array([4, 0]), target).items
    for user, mine in zip((4, 0), found, strict=True):
        assert mine.tolist() == [item for item in ranking if item not in target.history(user)][:2]


def test_the_constant_list_finds_the_one_ranking_that_counts_miss() -> None:
    """All lists are the first two unseen items of 0, 1, 2, 3; nine of ten users have seen 0, 1 or both."""
    seen = [[0, 1], [0, 1], [0, 1], [0, 1], [0], [0], [1], [1], [1], [4]]
    target = Interactions(
        name="planted",
        offsets=np.cumsum([0, *map(len, seen)]),
        items=np.array([item for history in seen for item in history], dtype=np.int32),
        user_ids=pl.Series(range(10)),
        item_ids=pl.Series(range(5)),
    )
    everybody = np.arange(10)
    served = np.array([[item for item in range(4) if item not in history][:2] for history in seen])
    # Listed 4, 3, 9 and 4 times, by 4, 3, 10 and 10 users who have not seen the item.
    assert np.bincount(served.ravel()).tolist() == [4, 3, 9, 4]
    np.testing.assert_array_equal(constant_lists(TopK(items=served), everybody, target).items, served)
    by_count = [[item for item in (2, 0, 3, 1) if item not in history][:2] for history in seen]
    assert agreement(served, np.array(by_count)).mean() == 0.85


def test_an_item_that_everybody_has_seen_is_listed_to_nobody() -> None:
    target = Interactions(
        name="planted",
        offsets=np.array([0, 1, 2]),
        items=np.array([2, 2], dtype=np.int32),
        user_ids=pl.Series(["a", "b"]),
        item_ids=pl.Series(range(4)),
    )
    lists = constant_lists(TopK(items=np.array([[3], [3]])), np.array([1]), target).items
    assert lists.tolist() == [[3]]


def test_a_constant_victim_is_found_out(sequential) -> None:
    """A victim that lists the same items for all: the constant list has them, and lists do not differ."""
    spec = sequential | {"victim": "popularity", "clone": SASREC, "attacks": ["PTD"], "seeds": 1}
    found = run_audit(AuditSpec(**spec))
    assert found.figure("constant", "agreement@5", "all") > 0.9
    assert found.figure("constant", "agreement@5", "unseen") > 0.9
    assert found.figure("victim", "diversity@5", "target") < 0.5


@pytest.mark.parametrize(
    ("victim", "clone", "rows", "unseen"),
    [
        (SASREC, None, NEW_ROWS, True),
        (SASREC, "bpr", {"constant"}, False),
        ("bpr", SASREC, NEW_ROWS, True),
        ("item-knn", SASREC, NEW_ROWS, True),
    ],
)
def test_which_rows_there_are(sequential, victim, clone, rows, unseen) -> None:
    few = {"PTD": {"stopping": FEW}, "PTQ": BOTH}
    bpr = {"model": "bpr", "embedding_size": 8, "stopping": FEW}
    plain = sequential | {"settings": few, "attacks": ["PTD", "PTQ"], "seeds": 1}
    models = {"victim": victim, "clone": clone}
    spec = AuditSpec(**plain | {key: bpr if model == "bpr" else model for key, model in models.items()})
    found = run_audit(spec)
    content = found.content
    assert {row["attack"] for row in content["figures"]} - {"popularity", "retrained", "victim"} == {
        "PTD",
        "PTQ",
        *rows,
    }
    assert ("unseen" in {row["users"] for row in content["figures"]}) == unseen
    assert found.figure("victim", "coverage@5", "target") is not None
    assert found.figure("PTQ", "calls", "all") == 1


# --- audits of models that know users by number ------------------------------------------------------------

JUDGED = {"row", "data", "k", "users", "defence", "split", "needs"}
ATTACKED = JUDGED | {"attack", "budget", "clone", "seed", "device"}
CLONED = {"spec", "auxiliary", "data", "known", "seed", "device"}


def test_nothing_changes_where_no_model_reads_histories(values, tmp_path) -> None:
    """Nodes have the inputs, and results the rows, that they have always had: stored ones stay good."""
    store = Store(tmp_path, say=pytest.fail)
    audit = opened(values)
    inputs = {row: set(node.key.inputs) for row, node in audit.stealing.rows.items()}
    assert inputs == {
        **dict.fromkeys(("victim", "popularity", "retrained"), JUDGED),
        **dict.fromkeys(values["attacks"], ATTACKED),
    }
    nodes = tuple(audit.nodes())
    clones = [set(node.key.inputs) for node in nodes if node.key.kind == "clone"]
    assert sorted(clones, key=len) == [CLONED, CLONED | {"common", "needs"}]  # PTD's and PTAQ's
    assert {node.label for node in nodes if node.key.kind == "model"} == {
        "training bpr for the victim",
        "training bpr for the ceiling",
        "training bpr for auxiliary users",
    }
    found = run_audit(AuditSpec(**values | {"seeds": 1}), store=store)
    for stage in store.nodes():
        ledger = stage.facts.get("ledger")
        assert ledger is None or set(ledger) == {"lists", "users", "items"}
    for one in found.content["ledgers"]:
        assert set(one) == {"attack", "seed", "lists", "users", "items", "budget"}
    assert {row["users"] for row in found.content["figures"]} == {"all", "queried", "unqueried", "target"}
    assert not {"calls", "sequences"} & {row["metric"] for row in found.content["figures"]}
    assert found.figure("victim", "diversity@5", "target") > 0
    assert "unseen_users" not in found.content["data"]


def test_ledgers_stored_before_calls_were_counted_are_read() -> None:
    assert Ledger(lists=3, users=2, items=5) == Ledger(lists=3, users=2, items=5, calls=0, sequences=0)


def test_the_floor_is_another_one_where_unseen_users_are_judged(values, sequential) -> None:
    def floor(spec: dict[str, Any]) -> str:
        return opened(spec).stealing.rows["popularity"].key.hash

    attacks = {"attacks": ["PTD"], "settings": {"PTD": BOTH}}
    by_number = floor(values | attacks)
    assert floor(values | attacks | {"clone": SASREC}) != by_number
    assert floor(values | attacks | {"clone": {"embedding_size": 4}}) == by_number


# --- synthetic queries -------------------------------------------------------------------------------------


def test_settings_of_a_new_name_tell_what_it_is() -> None:
    own = {
        "QSD5": {"length": 20},
        "mine": {"times": 2.5, "length": 9},
        "theirs": {"drawing": "random"},
        "PTZ": {},
    }
    spec = AuditSpec(victim="sasrec", attacks=("QSD5", "mine", "theirs", "PTZ"), settings=own)
    found = spec.settings
    kinds = {name: type(one).__name__ for name, one in found.items()}
    assert kinds == {
        "QSD5": "SyntheticQueries",
        "mine": "SyntheticQueries",
        "theirs": "SyntheticQueries",
        "PTZ": "Surrogate",
    }
    assert (found["QSD5"].times, found["QSD5"].length) == (5, 20)
    assert found["theirs"].times == 30
    assert audit_spec(spec.model_dump(mode="json")).settings == found
    assert audit_spec(spec.model_dump(mode="json")).digest == spec.digest


READER = {"victim": {**SASREC, "max_length": 50}}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"victim": "bpr"},
            r"^attacks: QSD30 shows synthetic histories, and the victim 'bpr' reads none; leave",
        ),
        ({"victim": "item-knn", "clone": "sasrec"}, "the victim 'item-knn' reads none"),
        ({"victim": "sasrec", "clone": "bpr"}, "the clone 'bpr' reads none"),
        (
            READER | {"settings": {"QSD30": {"tims": 3}}},
            r"^unknown key 'settings.QSD30.tims'; did you mean 'times'",
        ),
        (READER | {"settings": {"QSD30": {"times": 0}}}, r"^settings.QSD30.times: .*found 0$"),
        (READER | {"attacks": ["QSD31"]}, r"^attacks: unknown attack 'QSD31'; did you mean 'QSD30'\?$"),
        (READER | {"attacks": ["auxiliary"], "settings": {"auxiliary": {}}}, "names a row of every audit"),
        (READER | {"attacks": ["constant"], "settings": {"constant": {}}}, "names a row of every audit"),
    ],
)
def test_what_is_wrong_is_told_when_the_spec_is_made(given, says) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        audit_spec({"attacks": ["QSD30"], **given})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"queries": 80},
            r"^queries=80 is less than the 90 lists that QSD5 asks for; raise queries to 90, or leave "
            r"QSD5 out$",
        ),
        # A budget that cuts PTQ's lists short, too.
        (
            {"queries": 10, "attacks": ["QSD5", "PTAQ"]},
            r"^queries=10 is less than the 50 lists that QSD5 asks for; raise queries to 90",
        ),
        (
            {"settings": {"QSD5": {"length": 45}}, "victim": {**SASREC, "max_length": 50}},
            r"^settings.QSD5: length=45: the catalogue has 40 items; lower length$",
        ),
        (
            {"settings": {"QSD5": {"length": 50}}},
            r"^settings.QSD5: length=50: the clone reads the last \d+ items of a history; lower length or raise",
        ),
        (
            {"settings": {"QSD5": {"length": 6, "times": 0.3}}},
            r"^settings.QSD5: times=0.3 asks for 5 lists, of one history of 6 items at most, and no history is "
            r"left to stop by; lower length or raise times$",
        ),
    ],
)
def test_what_a_budget_does_not_allow_is_told_before_any_training(sequential, change, says) -> None:
    def nothing(stage: str, done: int, total: int) -> None:
        raise AssertionError(f"{stage} began")

    with pytest.raises(UsageError, match=says) as caught:
        run_audit(AuditSpec(**sequential | {"attacks": ["QSD5"]} | change), progress=nothing)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("times", "budget"), [(5, 90), (0.5, 9), (0.5, 10), (0.5, 19)])
def test_a_budget_that_is_enough_is_kept(sequential, times, budget) -> None:
    # Of 16 queried and 2 validation users; where nobody's own list is asked for, the budget leaves them all.
    settings = {"QSD5": {"times": times, "length": 5, "stopping": FEW}}
    chosen = {"attacks": ["QSD5"], "settings": settings, "queries": budget, "seeds": 1}
    found = run_audit(AuditSpec(**sequential | chosen))
    assert found.figure("QSD5", "lists", "all") == 18 * times


@pytest.mark.parametrize(
    ("change", "other"),
    [
        ({"split": {"known": 0.5, "auxiliary_share": 0.5}}, False),
        ({"split": {"known": 0.5, "common_items": 0.5}}, False),
        ({"attacks": ["QSD5", "PTD"]}, False),
        ({"split": {"known": 0.6}}, True),  # as many more lists
        ({"k": 4}, True),
        ({"defence": {"mixed": 2, "top": 5}}, True),
        ({"settings": {"QSD5": {"length": 4, "stopping": FEW}}}, True),
        ({"clone": {**SASREC, "embedding_size": 4}}, True),
        ({"victim": {**SASREC, "embedding_size": 4}, "clone": SASREC}, True),
    ],
)
def test_a_clone_of_synthetic_queries_is_named_by_what_it_learns_from(sequential, change, other) -> None:
    def clone(spec: dict[str, Any]) -> str:
        return opened(spec).stealing.rows["QSD5"].key.hash

    assert (clone(sequential | change) != clone(sequential)) == other


def test_a_defended_victim_is_asked_with_histories(sequential) -> None:
    defended = sequential | {"attacks": ["QSD5"], "defence": {"mixed": 2, "top": 10}, "seeds": 1}
    found = run_audit(AuditSpec(**defended))
    assert found.figure("QSD5", "agreement_undefended@5", "unseen") is not None
    assert found.figure("QSD5", "sequences", "all") == 18


def test_what_is_judged_is_what_a_defended_victim_serves(sequential) -> None:
    stealing = opened(sequential | {"defence": {"mixed": 2, "top": 10}}).stealing
    cache, target, users = stealing.run.cache, stealing.split.target, stealing._users
    asked = FittedVictim(recommender=cache.get(stealing.victim), seen=target)
    oracle = Oracle(asked, allowed=users, k=5, defence=stealing._defence)
    judged = cache.get(stealing._served).lists.items
    assert judged.tolist() == oracle.query(Queries(users=users)).items.tolist()
    shown = Queries(histories=target.of_users(users))
    assert judged.tolist() == oracle.query(shown).items.tolist()
    undefended = asked.recommend(Queries(users=users), 5).items
    assert (judged != undefended).sum(axis=1).max() == 2


# --- membership --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_membership_of_a_victim_that_reads_histories(values) -> None:
    """Members and strangers are shown to the same model: folding a stranger in trains nothing."""
    spec = AuditSpec(
        data=values["data"],
        victim=SASREC,
        threats="membership",
        k=5,
        membership={
            "serving": "everyone-folded,fold-in",
            "attacks": ["difference", "stack"],
            "shadows": 4,
            "vectors": 4,
            "rich": {"trees": 5},
        },
    )
    found = run_audit(spec)
    both = [
        [row for row in found.content["figures"] if row["serving"] == serving and row["metric"] != "seconds"]
        for serving in ("everyone-folded", "fold-in")
    ]
    for row, other in zip(*both, strict=True):
        assert {**row, "serving": None} == {**other, "serving": None}
    assert found.figure("stack", "auc", "candidates", serving="fold-in") is not None
