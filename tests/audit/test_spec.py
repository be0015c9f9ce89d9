"""What an audit is to measure: one meaning for every way to say it, and one clear line for what is wrong."""

import json
import shutil

import pytest
import yaml

from recaudit.audit.spec import AuditSpec, audit_spec
from recaudit.data.sources import DataSpec
from recaudit.data.split import SplitSpec
from recaudit.errors import UsageError
from recaudit.models.factorization import BPR, LMF
from recaudit.models.zoo.baselines import ItemKNN


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ({"data": "x.csv"}, {"data": {"source": "x.csv"}}),
        ({"data": DataSpec(source="x.csv")}, {"data": {"source": "x.csv"}}),
        ({"victim": "lmf"}, {"victim": {"model": "lmf"}}),
        ({"victim": {"embedding_size": 8}}, {"victim": {"model": "bpr", "embedding_size": 8}}),
        ({"victim": BPR(embedding_size=32)}, {"victim": {"model": "bpr", "embedding_size": 32}}),
        ({"victim": "lmf"}, {"victim": "lmf", "clone": LMF()}),
        ({"victim": ItemKNN()}, {"victim": "item-knn", "clone": "bpr"}),
        ({"attacks": "PTD, PTAQ"}, {"attacks": ["PTD", "PTAQ"]}),
        ({"split": {"known": 0.2}}, {"split": SplitSpec(known=0.2)}),
        ({}, {"k": 50, "queries": None, "clone": None, "settings": {}, "device": "cpu", "seeds": 1}),
        ({}, {"settings": {"PTA(Pre)": {"margin": 3}}}),  # of an attack that is not run
        ({}, {"seeds": 5, "device": "cuda"}),
        (
            {"victim": {"embedding_size": 8}, "clone": {"negatives": 2}},
            {"victim": BPR(embedding_size=8), "clone": BPR(embedding_size=8, negatives=2)},
        ),
    ],
)
def test_two_ways_to_say_the_same(short, long) -> None:
    assert audit_spec(short).digest == audit_spec(long).digest


@pytest.mark.parametrize(
    "other",
    [
        {"data": "ml-1m"},
        {"victim": "lmf"},
        {"victim": {"embedding_size": 8}},
        {"clone": "lmf"},
        {"attacks": ["PTD"]},
        {"attacks": ["PTD", "QSD", "PTQ", "PTA", "PTAQ"]},
        {"settings": {"PTD": {"stopping": {"epochs": 3}}}},
        {"k": 49},
        {"split": {"known": 0.2}},
        {"queries": 100},
    ],
)
def test_the_digest_tells_specs_apart(other) -> None:
    assert audit_spec(other).digest != AuditSpec().digest


@pytest.mark.parametrize(
    ("given", "seeds"),
    [(3, (0, 1, 2)), ("3", (0, 1, 2)), ("3,", (3,)), ("5,2", (5, 2)), ([4], (4,)), ((7, 8), (7, 8))],
)
def test_seeds(given, seeds) -> None:
    assert AuditSpec(seeds=given).seeds == seeds


def test_a_dumped_spec_is_the_same_spec(values) -> None:
    spec = audit_spec(values)
    dumped = spec.model_dump(mode="json")
    assert audit_spec(yaml.safe_load(yaml.safe_dump(dumped))) == spec
    assert AuditSpec.model_validate(dumped) == spec
    assert AuditSpec.model_validate_json(spec.model_dump_json()).digest == spec.digest


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"victim": "item-knn", "membership": {"shadow": "ncf", "attacks": "stack,difference"}},
        {
            "victim": {"model": "sasrec", "max_length": 60},
            "attacks": ["QSD5", "mine", "other"],
            "settings": {"mine": {"times": 2}, "other": {"lists": True}},
            "threats": "stealing",
            "defence": {"mixed": 3},
        },
    ],
)
def test_a_dump_spells_everything_out(values) -> None:
    spec = audit_spec(values)
    dumped = spec.model_dump(mode="json")
    assert AuditSpec.model_validate(dumped) == spec
    assert tuple(dumped["settings"]) == spec.attacks
    assert tuple(dumped["membership"]["settings"]) == spec.membership.attacks
    assert None not in (dumped["victim"], dumped["clone"], dumped["membership"]["shadow"], dumped["threats"])


def test_settings_reach_the_attacks_and_keep_the_rest() -> None:
    spec = AuditSpec(attacks=("PTQ", "mine"), settings={"PTQ": {"stopping": {"epochs": 77}}, "mine": {}})
    assert spec.settings["PTQ"].lists
    assert spec.settings["PTQ"].stopping.epochs == 77
    assert spec.settings["PTQ"].stopping.patience == 40
    assert not spec.settings["mine"].lists


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"victm": "bpr"}, r"^unknown key 'victm'; did you mean 'victim'\?$"),
        ({"data": {"sorce": "x"}}, r"^unknown key 'data.sorce'; did you mean 'source'\?$"),
        (
            {"victim": {"embeding_size": 3}},
            r"^unknown key 'victim.embeding_size'; did you mean 'embedding_size'",
        ),
        ({"victim": "itemknn"}, r"^victim: unknown model 'itemknn'; did you mean 'item-knn'\?$"),
        ({"victim": 3}, r"^victim: .*found 3$"),
        ({"victim": {"saved": 3}}, r"^victim.saved: .*found 3$"),
        ({"victim": {"saved": "x", "reg": 1}}, r"^victim.reg: a saved victim keeps its hyperparameters"),
        ({"victim": "no/such/folder"}, r"^victim: 'no/such/folder' holds no saved model"),
        (
            {"clone": "item-knn"},
            r"^clone: 'item-knn' cannot learn from lists; use one of bpr, gru4rec, lmf, ncf, sasrec, ",
        ),
        ({"clone": "no/such/folder"}, r"^clone: unknown model 'no/such/folder'"),
        ({"attacks": ["PTX"]}, r"^attacks: unknown attack 'PTX'; did you mean"),
        ({"attacks": "ptd"}, r"^attacks: unknown attack 'ptd'; did you mean 'PTD'\?$"),
        ({"attacks": ""}, r"^attacks: unknown attack ''; expected one of: PTA,"),
        ({"attacks": []}, r"^attacks: .*at least 1 item"),
        ({"attacks": ["PTD", "QSD", "PTD"]}, r"^attacks: 'PTD' is named twice"),
        (
            {"attacks": ["victim"], "settings": {"victim": {}}},
            r"^attacks: 'victim' names a row of every audit",
        ),
        ({"settings": {"PTX": {}}}, r"^settings: attack 'PTX' is not among attacks; did you mean"),
        (
            {"settings": {"PTQ": {"marginn": 1}}},
            r"^unknown key 'settings.PTQ.marginn'; did you mean 'margin'\?$",
        ),
        ({"settings": {"PTQ": 3}}, r"^settings.PTQ: .*found 3$"),
        ({"settings": {"PTQ": {"stopping": {"epochs": 0}}}}, r"^settings.PTQ.stopping.epochs: .*found 0$"),
        ({"settings": {"PTD": {"interactions": False}}}, r"^settings.PTD: an attack must learn from"),
        ({"k": 0}, r"^k: .*greater than or equal to 1; found 0$"),
        ({"k": "many"}, r"^k: .*found 'many'$"),
        ({"k": True}, r"^k: yes is no number$"),
        ({"queries": 0}, r"^queries: .*found 0$"),
        ({"split": {"known": 1.5}}, r"^split.known: .*found 1.5$"),
        ({"split": {"knwn": 0.5}}, r"^unknown key 'split.knwn'; did you mean 'known'\?$"),
        ({"seeds": 0}, r"^seeds: there must be at least one seed, not 0$"),
        ({"seeds": -2}, r"^seeds: there must be at least one seed, not -2$"),
        ({"seeds": []}, r"^seeds: .*at least 1 item"),
        ({"seeds": [-1]}, r"^seeds.0: .*found -1$"),
        ({"seeds": [1, 1]}, r"^seeds: 1 is named twice"),
        ({"seeds": "1,x"}, r"^seeds: '1,x' is neither a number nor seeds separated by commas"),
        ({"seeds": True}, r"^seeds: yes is no number$"),
        ({"device": 3}, r"^device: .*found 3$"),
    ],
)
def test_what_is_wrong_in_one_line(values, says) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        audit_spec(values)
    assert "\n" not in str(caught.value)


def test_a_model_s_name_wins_over_a_folder_of_that_name(tmp_path, monkeypatch) -> None:
    (tmp_path / "bpr").mkdir()
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    assert AuditSpec(victim="bpr").saved_victim is None
    with pytest.raises(UsageError, match="'other' holds no saved model"):
        audit_spec({"victim": "other"})


def test_a_saved_victim_counts_by_what_it_is(found, out, values, tmp_path) -> None:
    first, second = out / "victims" / "seed-0", out / "victims" / "seed-1"
    elsewhere = shutil.copytree(first, tmp_path / "victim")
    plain = {key: value for key, value in values.items() if key != "victim"}
    digest = audit_spec({**plain, "victim": str(first)}).digest
    assert audit_spec({**plain, "victim": {"saved": str(elsewhere)}}).digest == digest
    assert audit_spec({**plain, "victim": elsewhere}).digest == digest
    assert audit_spec({**plain, "victim": second}).digest != digest
    shutil.copytree(second, elsewhere, dirs_exist_ok=True)
    assert audit_spec({**plain, "victim": elsewhere}).digest != digest


def test_a_saved_victim_keeps_the_split_that_it_was_trained_by(found, out, tmp_path) -> None:
    victim = shutil.copytree(out / "victims" / "seed-0", tmp_path / "victim")
    file = victim / "split.json"
    stored = json.loads(file.read_text("utf-8"))
    stored["split"]["heldout"] = 0.25
    file.write_text(json.dumps(stored), "utf-8")
    spec = audit_spec({"victim": victim, "split": {"known": 0.3}})
    assert (spec.split.heldout, spec.split.known) == (0.25, 0.3)
    assert spec.model_dump(mode="json")["split"]["heldout"] == 0.25
    assert audit_spec(spec.model_dump(mode="json")).digest == spec.digest
    with pytest.raises(
        UsageError, match=r"^split.heldout: found 0.1, but the saved victim was trained with 0.25"
    ):
        audit_spec({"victim": victim, "split": {"heldout": 0.1}})
    file.write_text("{}", "utf-8")
    with pytest.raises(UsageError, match=r"split.json: missing or damaged"):
        audit_spec({"victim": victim})
