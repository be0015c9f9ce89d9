import pytest

from recaudit.attacks.membership.features import BLIND_NAMES
from recaudit.vocabulary import (
    CEILING,
    COUNT,
    DECIMALS,
    FEATURES,
    FLOOR,
    PERCENT,
    SECONDS,
    SERVINGS,
    Card,
    Form,
    metric_of,
    number,
    row_card,
    serving_card,
)

_CARDS = {"mine": Card(name="mine", label="My attack", order=3, sentence="It attacks.", needs=("lists",))}


@pytest.mark.parametrize(
    ("row", "label"),
    [
        (FLOOR, "Popular list"),
        (CEILING, "Retrained"),
        ("mine", "My attack"),
        ("null: mine", "null: My attack"),
        ("blind: seen item", "blind: seen item"),
        ("blind: a new one", "blind: a new one"),
        ("null: other", "null: other"),
        ("other\x1b[2J", "other\N{REPLACEMENT CHARACTER}[2J"),
    ],
)
def test_every_row_has_a_card(row: str, label: str) -> None:
    card = row_card(row, _CARDS)
    assert (card.name, card.label) == (row, label)


def test_attacks_without_a_card_come_last_and_say_so() -> None:
    assert row_card("other", _CARDS).order > row_card("mine", _CARDS).order
    assert "without a description" in row_card("other", _CARDS).sentence
    assert "without a description" in serving_card("by post").sentence
    assert serving_card("popular") == SERVINGS["popular"]


def test_every_feature_of_the_blind_panel_has_words() -> None:
    assert {*BLIND_NAMES, "best single feature"} == set(FEATURES)


@pytest.mark.parametrize(
    ("name", "label", "form", "better", "chance"),
    [
        ("agreement@50", "Agreement@50", PERCENT, "lower", None),
        ("auc", "AUC", DECIMALS, "lower", 0.5),
        ("tpr@0.01", "TPR@1%", PERCENT, "lower", 0.01),
        ("tpr@0.001", "TPR@0.1%", PERCENT, "lower", 0.001),
        ("ndcg@10", "NDCG@10", DECIMALS, "higher", None),
        ("lists", "Lists", COUNT, "", None),
        ("seconds", "Seconds", SECONDS, "", None),
        ("novelty@5", "novelty@5", DECIMALS, "", None),
    ],
)
def test_metrics_are_known_by_their_names(
    name: str, label: str, form: Form, better: str, chance: float | None
) -> None:
    found = metric_of(name)
    assert (found.label, found.form, found.better, found.chance) == (label, form, better, chance)


@pytest.mark.parametrize(
    ("form", "value", "ends", "text", "interval"),
    [
        (PERCENT, 0.6471, (0.6231, 0.6712), "64.7\N{NO-BREAK SPACE}%", "62.3–67.1"),
        (PERCENT, -0.519, (-0.569, 0.01), "−51.9\N{NO-BREAK SPACE}%", "−56.9 to 1.0"),
        (DECIMALS, 0.5, (None, 0.6), "0.500", ""),
        (COUNT, 1234567, (1, 2), "1,234,567", "1–2"),
        (SECONDS, 9.94, (9.5, 12.0), "9.9", "10–12"),
        (PERCENT, None, (None, None), "not available", ""),
    ],
)
def test_numbers_are_written_by_their_form(
    form: Form, value: float | None, ends: tuple[float | None, float | None], text: str, interval: str
) -> None:
    assert (form.text(value), form.interval(*ends)) == (text, interval)


def test_what_rounds_to_zero_has_no_sign() -> None:
    assert (number(-0.0004, 3), number(-0.0006, 3)) == ("0.000", "−0.001")
