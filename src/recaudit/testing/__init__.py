"""Contract suites for plug-ins: a one-line subclass in a package's tests joins one.

``class TestMine(StealingAttackTests): attack = MyAttack()`` is all that it takes. The suites need pytest.
"""

import pytest

pytest.register_assert_rewrite(
    *(
        f"recaudit.testing.{name}"
        for name in ("alike", "defences", "membership", "readers", "recommenders", "stealing", "victims")
    )
)

from recaudit.testing.defences import DefenceTests  # noqa: E402
from recaudit.testing.membership import MembershipAttackTests  # noqa: E402
from recaudit.testing.readers import ReaderTests  # noqa: E402
from recaudit.testing.recommenders import RecommenderTests  # noqa: E402
from recaudit.testing.stealing import StealingAttackTests  # noqa: E402
from recaudit.testing.victims import VictimTests  # noqa: E402

__all__ = [
    "DefenceTests",
    "MembershipAttackTests",
    "ReaderTests",
    "RecommenderTests",
    "StealingAttackTests",
    "VictimTests",
]
