"""The words of audits, said once: rows, groups, metrics, servings, and visiting cards. Loads no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

__all__ = [
    "AUXILIARY",
    "AXES",
    "BEST_FEATURE",
    "BLIND",
    "CANDIDATES",
    "CEILING",
    "CONSTANT",
    "COUNT",
    "DECIMALS",
    "FEATURES",
    "FLOOR",
    "GROUPS",
    "HEADLINE",
    "JUDGED",
    "LEAKS",
    "METRICS",
    "NEEDS",
    "NOT_AVAILABLE",
    "NOT_MEASURED",
    "NULL",
    "PERCENT",
    "REFERENCES",
    "SECONDS",
    "SERVINGS",
    "TAIL",
    "VICTIM",
    "Card",
    "Form",
    "Metric",
    "metric_of",
    "number",
    "printable",
    "row_card",
    "serving_card",
    "several",
]

NEEDS = ("histories", "auxiliary", "lists", "shadows", "shown histories")
"""What an attack can need: known users' histories, auxiliary users' histories, the victim's lists, shadow
models, and a victim and a clone that read histories which they are shown. A membership attack that needs
histories trains shadow models on the candidates' histories."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """The visiting card of an attack, a defence, a model or a victim. It travels in ``result.json``.

    Args:
        name: the name in specs, on the command line and in ``figures.csv``.
        label: the name in tables and plots.
        order: the place in tables; rows with a lower number come first, equal ones by name.
        sentence: what it does, in one sentence.
        needs: what it needs, of :data:`NEEDS`.
    """

    name: str
    label: str
    order: int
    sentence: str
    needs: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the card as plain values, as ``result.json`` has it."""
        return {
            "name": self.name,
            "label": self.label,
            "order": self.order,
            "sentence": self.sentence,
            "needs": list(self.needs),
        }


def _cards(*rows: tuple[str, str, str]) -> Mapping[str, Card]:
    """Return cards by name, in order, of names, labels and sentences."""
    return MappingProxyType(
        {
            name: Card(name=name, label=label, order=order, sentence=sentence)
            for order, (name, label, sentence) in enumerate(rows)
        }
    )


FLOOR, CONSTANT, AUXILIARY, CEILING, VICTIM = "popularity", "constant", "auxiliary", "retrained", "victim"
"""Rows that are no attack: no attack may have these names."""

REFERENCES = _cards(
    (
        FLOOR,
        "Popular list",
        "Floor: the most popular items that the user has not seen yet; no clone at all.",
    ),
    (
        CONSTANT,
        "Constant list",
        "No attack: one list for everybody, of the items served to most of those who have not seen them. It is "
        "chosen in hindsight, with all of the victim’s lists, and says how much of the lists depends on no user.",
    ),
    (
        AUXILIARY,
        "Auxiliary",
        "No attack: a model of the clone’s kind, trained on the auxiliary data alone. It asks the victim nothing "
        "and has none of its users’ histories.",
    ),
    (
        CEILING,
        "Retrained",
        "Ceiling: the victim trained once more on the same data with another seed.",
    ),
    (VICTIM, "Victim", "The victim itself."),
)
"""The rows that attacks are compared with: before the attacks those up to the auxiliary model."""

BLIND, NULL = "blind: ", "null: "
"""What the names of rows begin with: a detector that looks at one plain feature; an attack's null control, the
attack against a victim trained on none of the candidates."""

BEST_FEATURE = "best single feature"
"""The blind detector that is chosen, on a shadow model."""

FEATURES = _cards(
    ("popular share", "popular share", "Share of popular items in the list."),
    ("seen item", "seen item", "Whether the list holds an item of the user’s history."),
    ("history length", "history length", "Number of items in the user’s history."),
    ("list constancy", "list constancy", "How much the list is one that others get too."),
    (
        BEST_FEATURE,
        BEST_FEATURE,
        "The best of these and of the features that the attacks read, chosen on one shadow model.",
    ),
)
"""What each blind detector looks at."""

CANDIDATES = "candidates"
"""The users whose membership is judged."""

JUDGED = ("members", "non-members")
"""The two groups among them."""

TAIL = "tpr@0.01"
LEAKS = ("auc", TAIL, "tpr@0.001", "accuracy")
"""The metrics of membership inference; ``TAIL`` is the share of members found at few false positives."""

GROUPS = _cards(
    (
        "unqueried",
        "Unqueried users",
        "Known users whose lists nobody asked for. Agreement here says what the clone has learned beyond what it "
        "was shown: it is the headline.",
    ),
    (
        "unseen",
        "Unseen users",
        "Users of the victim whom the attacker does not know: neither their histories nor their lists. A clone "
        "that reads histories can serve them; it is shown theirs for this measurement alone.",
    ),
    (
        "queried",
        "Queried users",
        "Known users whose lists an attacker may ask for and learn from. High agreement here may be nothing but "
        "repeating what was shown.",
    ),
    (
        "validation",
        "Validation users",
        "The attacker’s own check of when to stop training; attacks that ask for users’ lists ask for theirs too.",
    ),
    ("all", "All known users", "All users whose histories the attacker knows."),
    ("target", "The victim’s users", "All users that the victim serves."),
    (CANDIDATES, "Candidates", "Users whose membership is judged; half of them are members."),
    ("members", "Members", "Candidates on whose histories the victim was trained."),
    ("non-members", "Strangers", "Candidates on whose histories the victim was not trained."),
)
"""The groups of users that figures are about."""

HEADLINE = "everyone-folded"
"""The way of serving in which only item parameters can leak."""

SERVINGS = _cards(
    (
        HEADLINE,
        "Everyone folded in",
        "Members and strangers are served alike: each list is made from the history shown, and no stored vector "
        "of a user is looked up. So only what the items’ parameters hold can leak.",
    ),
    (
        "popular",
        "Popular list for strangers",
        "Members get their own lists. Strangers, whom the model has never seen, get the most popular items that "
        "they have not had.",
    ),
    (
        "popular-unmasked",
        "Popular list for strangers, seen items too",
        "Members get their own lists. Strangers get the most popular items, among them those that they have had.",
    ),
    (
        "popular-random",
        "Randomised popular lists for strangers",
        "Members get their own lists. Strangers get items drawn at random from ten times as many popular ones "
        "that they have not had, the defence of Zhang et al. (2021).",
    ),
    (
        "fold-in",
        "Strangers folded in",
        "Members get the lists of their stored vectors. Strangers get lists too: the model’s own estimator folds "
        "their histories in.",
    ),
)
"""The ways of serving strangers."""


AXES: Mapping[str, str] = {
    "k": "list length",
    "known": "users known",
    "auxiliary_share": "auxiliary data",
    "mixed": "items mixed in",
    "queries": "lists asked",
    "serving": "strangers served",
    "shadows": "shadow models",
    "vectors": "vector length",
    "variant": "defence",
}
"""The labels of those axes of grids that are not called by their names."""


def row_card(name: str, cards: Mapping[str, Card]) -> Card:
    """Return the card of the row ``name``; where no card has this name, the name is the label.

    Args:
        name: an attack, a reference, ``blind: FEATURE`` or ``null: ATTACK``.
        cards: of the attacks, by name.
    """
    if name in REFERENCES:
        return REFERENCES[name]
    if name.startswith(BLIND):
        feature = name.removeprefix(BLIND)
        known = FEATURES.get(feature) or _unknown(feature, len(FEATURES), "")
        return replace(known, name=name, label=f"{BLIND}{known.label}")
    if name.startswith(NULL):
        attack = row_card(name.removeprefix(NULL), cards)
        return replace(attack, name=name, label=f"{NULL}{attack.label}")
    return cards.get(name) or _unknown(name, 10_000, "This attack came without a description.")


def serving_card(name: str) -> Card:
    """Return the card of a way of serving."""
    sentence = "This way of serving came without a description."
    return SERVINGS.get(name) or _unknown(name or "Serving not named", len(SERVINGS), sentence)


def _unknown(name: str, order: int, sentence: str) -> Card:
    return Card(name=name, label=printable(name), order=order, sentence=sentence)


NOT_MEASURED, NOT_AVAILABLE = "–", "not available"
"""What stands in a table's cell: without a figure; with a figure that has no value."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a number is written.

    Args:
        digits: decimals.
        scale: what the number is multiplied by first.
        unit: what follows it.
        short: decimals where the number has two digits or more before the point; ``None`` for ``digits``.
    """

    digits: int
    scale: int = 1
    unit: str = ""
    short: int | None = None

    def text(self, value: int | float | None) -> str:
        """Return ``value`` with its unit."""
        if value is None:
            return NOT_AVAILABLE
        return number(self.scale * value, self._digits(value)) + self.unit

    def interval(self, low: int | float | None, high: int | float | None) -> str:
        """Return an interval as ``62.1–67.0``, or ``−3.0 to 1.2`` where a sign would be misread.

        The text is empty where there is no interval, or where nothing lies between the ends of a count.
        """
        if low is None or high is None:
            return ""
        ends = [number(self.scale * end, self._digits(high)) for end in (low, high)]
        return (" to " if min(low, high) < 0 else "–").join(ends)

    def _digits(self, value: int | float) -> int:
        return self.digits if self.short is None or abs(value) < 10 else self.short


PERCENT = Form(digits=1, scale=100, unit="\N{NO-BREAK SPACE}%")
DECIMALS = Form(digits=3)
COUNT = Form(digits=0)
SECONDS = Form(digits=1, short=0)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric of ``figures.csv``.

    Args:
        name: its name there.
        label: what tables and plots call it.
        order: its place in tables.
        sentence: what it measures.
        form: how its values are written.
        better: what whoever runs the recommender prefers: ``lower`` where the metric measures a leak.
        chance: the value of an attack that knows nothing, where the metric itself says it.
        spread: whether the ends beside the value are the least and the greatest of the seeds.
    """

    name: str
    label: str
    order: int
    sentence: str
    form: Form
    better: Literal["higher", "lower", ""] = ""
    chance: float | None = None
    spread: bool = False


def _metrics(*rows: tuple[str, str, Form, Literal["higher", "lower", ""], str]) -> Mapping[str, Metric]:
    return MappingProxyType(
        {
            name: Metric(
                name=name,
                label=label,
                order=order,
                sentence=sentence,
                form=form,
                better=better,
                chance=0.5 if name in ("auc", "accuracy") else None,
                spread=form in (COUNT, SECONDS) or name == "coverage",
            )
            for order, (name, label, form, better, sentence) in enumerate(rows)
        }
    )


METRICS = _metrics(
    (
        "agreement",
        "Agreement",
        PERCENT,
        "lower",
        "The share of the victim’s top items that the clone lists too, the mean over users.",
    ),
    (
        "agreement_undefended",
        "Agreement, undefended",
        PERCENT,
        "lower",
        "The agreement with the lists that the victim makes before the defence changes them.",
    ),
    (
        "place",
        "Place",
        PERCENT,
        "lower",
        "Where the agreement lies: 0 % is the popular list, 100 % the retrained victim; below 0 % the popular "
        "list does better.",
    ),
    (
        "rbo",
        "RBO",
        DECIMALS,
        "lower",
        "Rank-biased overlap, from 0 to 1: also asks whether the items stand in the same order.",
    ),
    (
        "auc",
        "AUC",
        DECIMALS,
        "lower",
        "How often a member outscores a stranger; 0.5 is chance.",
    ),
    (
        "tpr",
        "TPR",
        PERCENT,
        "lower",
        "The share of members found where this share of strangers is taken for members (FPR).",
    ),
    (
        "accuracy",
        "Accuracy",
        PERCENT,
        "lower",
        "The mean of the shares of members and of strangers that are called rightly; 50 % is chance.",
    ),
    ("ndcg", "NDCG", DECIMALS, "higher", "Ranking quality on held-out interactions, from 0 to 1."),
    ("recall", "Recall", PERCENT, "higher", "The share of held-out interactions in the list."),
    (
        "diversity",
        "Diversity",
        PERCENT,
        "higher",
        "The share of a user’s list that another user’s leaves out, the mean over pairs of users.",
    ),
    (
        "coverage",
        "Coverage",
        PERCENT,
        "higher",
        "The share of the catalogue that stands in anybody’s list.",
    ),
    (
        "tied",
        "Tied",
        PERCENT,
        "",
        "The share of a list’s places whose item has the score of another place: their order is that of item "
        "numbers, not the model’s.",
    ),
    (
        "short",
        "Short of items",
        PERCENT,
        "",
        "The share of users with fewer unseen items than two lists hold: their lists share items, whatever the "
        "model.",
    ),
    (
        "forced",
        "Forced",
        PERCENT,
        "",
        "The agreement that any two lists of unseen items reach by arithmetic alone, the mean over users.",
    ),
    ("lists", "Lists", COUNT, "", "Lists that the victim served."),
    ("sequences", "Sequences", COUNT, "", "Histories of its own that the attack showed."),
    ("calls", "Calls", COUNT, "", "Requests to the victim."),
    ("users", "Users", COUNT, "", "Distinct users whose lists were served."),
    ("items", "Items", COUNT, "", "Distinct items in the lists."),
    ("seconds", "Seconds", SECONDS, "", "Time of the attack and of the models that it trained."),
)
"""Metrics by name, without the list's length or the rate after ``@``."""


def metric_of(name: str) -> Metric:
    """Return the metric that ``figures.csv`` calls ``name``, such as ``agreement@50`` or ``tpr@0.01``.

    A metric that is not known here has its name as label and three decimals.
    """
    base, _, at = name.partition("@")
    known = METRICS.get(base)
    if known is None:
        label = printable(name)
        return Metric(name=name, label=label, order=len(METRICS), sentence="", form=DECIMALS)
    if not at:
        return known
    if base == "tpr":
        rate = float(at)
        label = f"TPR@{100 * rate:g}%"
        return replace(known, name=name, label=label, chance=rate)
    return replace(known, name=name, label=f"{known.label}@{at}")


def number(value: int | float | None, digits: int = 0) -> str:
    """Return ``value`` with ``digits`` decimals, commas between thousands and a true minus sign.

    What rounds to zero has no sign; ``None`` reads ``not available``.
    """
    if value is None:
        return NOT_AVAILABLE
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def several(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 seed``, ``5 seeds``."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def printable(text: str) -> str:
    """Return ``text`` with a replacement character for each control character, so that names stay names."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
