"""Defences by name."""

import pytest

from recaudit.errors import UsageError
from recaudit.oracle.defences import DefenceSpec, PopularItems, RandomItems
from recaudit.oracle.registry import DEFENCES, defence_spec


def test_values_name_a_defence_and_popular_items_where_they_name_none():
    assert defence_spec({"mixed": 2}, where="defence") == PopularItems(mixed=2)
    assert defence_spec({"defence": "random-items", "changed": 3}, where="defence") == RandomItems(changed=3)


def test_each_has_a_card_of_its_name():
    for name, kind in DEFENCES.items():
        assert isinstance(kind(), DefenceSpec)
        assert kind().card.name == name


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"defence": "random-item"},
            r"^defence: unknown defence 'random-item'; did you mean 'random-items'\?$",
        ),
        ({"defence": "random-items", "mixed": 1}, r"^unknown key 'defence.mixed'"),
        ({"mixed": -1}, r"^defence.mixed: .*found -1$"),
    ],
)
def test_what_is_wrong_is_told(values, said):
    with pytest.raises(UsageError, match=said):
        defence_spec(values, where="defence")
