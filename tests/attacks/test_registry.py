"""Attacks by name: settings of one's own, and what stands for an attack in a key."""

from typing import ClassVar

import pytest
from pydantic import BaseModel

from recaudit.attacks.membership.classifiers import Logistic, NeuralNetwork
from recaudit.attacks.protocol import MembershipAttack, StealingAttack, named
from recaudit.attacks.registry import MEMBERSHIP_ATTACKS, STEALING_ATTACKS, configured, key_inputs
from recaudit.errors import UsageError
from recaudit.models.training import Stopping
from recaudit.vocabulary import Card
from registered import register


class Copycat(BaseModel):
    """Steals nothing."""

    card: ClassVar[Card] = Card(name="copycat", label="Copycat", order=7, sentence="Steals nothing.")
    needs: ClassVar[tuple[str, ...]] = ()

    depth: int = 1

    def asks(self, knowledge):
        return 0

    def steal(self, knowledge, oracle, run):
        raise NotImplementedError

    def learn(self, evidence, seed):
        raise NotImplementedError


def test_what_is_not_given_stays_as_the_attack_has_it():
    own = STEALING_ATTACKS["PTQ"]
    found = configured(own, {"stopping": {"epochs": 3}, "margin": 0.25}, where="settings.PTQ")
    assert found == own.model_copy(
        update={"margin": 0.25, "stopping": Stopping(epochs=3, evaluate_every=10, patience=40)}
    )
    assert configured(own, {}, where="settings.PTQ") == own


def test_another_kind_of_classifier_takes_the_place_of_the_first():
    found = configured(MEMBERSHIP_ATTACKS["stack"], {"classifier": {"classifier": "logistic"}}, where="")
    assert found.classifier == Logistic()
    found = configured(MEMBERSHIP_ATTACKS["difference"], {"classifier": {"epochs": 5}}, where="")
    assert found.classifier == NeuralNetwork(epochs=5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"margn": 1}, r"^unknown key 'settings.PTQ.margn'; did you mean 'margin'\?$"),
        ({"stopping": {"epoch": 1}}, r"^unknown key 'settings.PTQ.stopping.epoch'; did you mean 'epochs'\?$"),
        ({"margin": -1}, r"^settings.PTQ.margin: .*found -1$"),
    ],
)
def test_a_wrong_setting_is_told_by_its_path(given, said):
    with pytest.raises(UsageError, match=said):
        configured(STEALING_ATTACKS["PTQ"], given, where="settings.PTQ")


def test_a_card_has_the_row_s_name():
    own = STEALING_ATTACKS["PTQ"]
    assert named(own, "PTQ") == own.card
    mine = named(own, "wide")
    assert (mine.name, mine.label) == ("wide", "wide")
    assert (mine.order, mine.sentence, mine.needs) == (
        own.card.order,
        own.card.sentence,
        ("histories", "lists"),
    )


def test_tables_have_the_papers_order():
    names = sorted(STEALING_ATTACKS, key=lambda name: (STEALING_ATTACKS[name].card.order, name))
    assert names == [
        *("QSD", "QSD5", "QSD10", "QSD15", "QSD20", "QSD25", "QSD30", "QSD30(random)"),
        *("PTD", "PTQ", "PTA", "PTA(Pre)", "PTAQ", "PTAQ(Pre)"),
    ]
    names = sorted(MEMBERSHIP_ATTACKS, key=lambda name: MEMBERSHIP_ATTACKS[name].card.order)
    rungs = ("rich", "lira-items", "lira-lists", "stack")
    assert names == ["difference", *(f"{name} (stranger)" for name in rungs), *rungs]


@pytest.mark.parametrize("group", ["recaudit.stealing_attacks", "recaudit.membership_attacks"])
def test_a_package_s_attack_counts_in_keys_by_name_package_and_settings(monkeypatch, group):
    package = register(monkeypatch, group, copycat=Copycat)
    registry = STEALING_ATTACKS if "stealing" in group else MEMBERSHIP_ATTACKS
    attack = registry["copycat"]
    assert isinstance(attack, StealingAttack)
    assert isinstance(attack, MembershipAttack)
    deeper = configured(attack, {"depth": 2}, where="settings.copycat")
    assert registry.package("copycat") == "models-of-mine 1.0"
    package.version = "2.0"
    assert registry.package("copycat") == "models-of-mine 2.0"
    if "stealing" in group:
        assert key_inputs(deeper) == {"kind": "copycat", "package": "models-of-mine 2.0", "depth": 2}


def test_ours_count_by_kind_and_settings():
    assert key_inputs(STEALING_ATTACKS["PTQ"]) == STEALING_ATTACKS["PTQ"].model_dump(mode="json")
    assert key_inputs(MEMBERSHIP_ATTACKS["rich (stranger)"]) == {"kind": "Rich", "source": "own"}
