"""Our defences and membership attacks under contract."""

import pytest

from recaudit.attacks.registry import MEMBERSHIP_ATTACKS
from recaudit.oracle.defences import PopularItems, RandomItems
from recaudit.oracle.registry import DEFENCES
from recaudit.testing import DefenceTests, MembershipAttackTests


class TestPopularItems(DefenceTests):
    defence = PopularItems(mixed=3, top=20)


class TestRandomItems(DefenceTests):
    defence = RandomItems(changed=3)


OURS = [name for name in MEMBERSHIP_ATTACKS if MEMBERSHIP_ATTACKS.package(name) is None]


# The perceptron needs more users; a stranger's table of items sees only what models that do not know a user serve.
OTHER_TRACES = ("difference", "lira-items (stranger)")


@pytest.mark.parametrize("name", OURS)
class TestMembership(MembershipAttackTests):
    @pytest.fixture(autouse=True)
    def named(self, name):
        self.attack = MEMBERSHIP_ATTACKS[name]
        if name in OTHER_TRACES:
            self.better = None


def test_every_defence_of_ours_is_under_contract():
    under = {type(kind.defence) for kind in DefenceTests.__subclasses__()}
    assert under >= {DEFENCES[name] for name in DEFENCES if DEFENCES.package(name) is None}
