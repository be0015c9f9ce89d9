"""The plug-ins under recaudit's contracts."""

from recaudit.testing import (
    DefenceTests,
    MembershipAttackTests,
    ReaderTests,
    StealingAttackTests,
    VictimTests,
)
from recaudit_example.defence import SwapNeighbours
from recaudit_example.membership import NeighbourOverlap
from recaudit_example.reader import Lines
from recaudit_example.stealing import CoOccurrence
from recaudit_example.victim import RecentPopular


class TestCoOccurrence(StealingAttackTests):
    attack = CoOccurrence()
    trained = False


class TestNeighbourOverlap(MembershipAttackTests):
    attack = NeighbourOverlap(neighbours=5)


class TestSwapNeighbours(DefenceTests):
    defence = SwapNeighbours()


class TestRecentPopular(VictimTests):
    spec = RecentPopular()


class TestLines(ReaderTests):
    reader = Lines()
    suffix = ".lines"
    text = "ann: tea milk\nbob: milk\n"
    histories = {"ann": ["tea", "milk"], "bob": ["milk"]}
    broken = "ann: tea\nbob\n"
    mark = "line 2"
