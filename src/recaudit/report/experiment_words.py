"""What the tables and pictures of experiments call axes, their values and measures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recaudit.report.rows import number, printable

__all__ = ["Axis", "axis_words", "chance", "family", "measure_words"]

_NAMES = ("data", "victim", "clone", "serving", "feedback", "variant")
_SHARES = ("known", "auxiliary_share", "common_items")
_HEADINGS = {
    "data": "data",
    "victim": "target",
    "clone": "clone",
    "k": "list length",
    "known": "users known",
    "auxiliary_share": "auxiliary data",
    "common_items": "common items",
    "mixed": "items mixed in",
    "queries": "lists asked",
    "serving": "strangers served",
    "shadow": "shadow",
    "shadows": "shadow models",
    "vectors": "vector length",
    "variant": "defence",
}
_WORDS = {
    **_HEADINGS,
    "k": "length k of the lists",
    "known": "share of the target’s users known",
    "auxiliary_share": "share of the auxiliary data available",
    "common_items": "share of items common to target and auxiliary data",
    "mixed": "popular items mixed into each list",
    "queries": "lists that the attacker may ask for",
    "serving": "what strangers are served",
    "shadow": "the shadow’s algorithm",
    "shadows": "number of shadow models",
    "vectors": "length of the item vectors",
}
_SERVINGS = {
    "popular": "strangers get the popular list",
    "popular-unmasked": "strangers get the popular list, seen items too",
    "popular-random": "strangers get random popular items",
    "fold-in": "strangers folded in",
    "everyone-folded": "everyone folded in",
}
_VALUES: Mapping[str, Mapping[str, str]] = {
    "serving": _SERVINGS,
    "feedback": {"implicit": "implicit feedback", "explicit": "explicit feedback"},
}
_FAMILIES = {
    "k": "shorter lists",
    "random_items": "random items",
    "score_noise": "score noise",
    "reg": "regularisation",
    "epochs": "fewer epochs",
    "embedding_size": "fewer factors",
    "serving": "way of serving",
}
_MEASURES = {"auc": ("AUC", 0.5), "accuracy": ("accuracy", 0.5)}


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of a grid.

    Args:
        name: its short name in the grid, which is its column in the table of results.
        words: what it is called under a picture.
    """

    name: str
    words: str

    @property
    def heading(self) -> str:
        """What it is called at the head of a column."""
        return _HEADINGS.get(self.name, self.name.replace("_", " "))

    def label(self, value: Any) -> str:
        """Return ``value`` as tables and ticks show it; shares are in per cent."""
        if isinstance(value, str):
            return _VALUES.get(self.name, {}).get(value) or printable(value)
        if self.name in _SHARES:
            return f"{100 * value:.6g} %"
        return number(value) if float(value).is_integer() else f"{value:.6g}"

    def said(self, value: Any) -> str:
        """Return ``value`` with what it is, where the value alone does not tell."""
        return self.label(value) if self.name in _NAMES else f"{self.heading}: {self.label(value)}"


def axis_words(name: str) -> str:
    """Return what the axis of that short name is called under a picture."""
    return _WORDS.get(name, name.replace("_", " "))


def measure_words(metric: str) -> str:
    """Return what a measure of membership inference is called; others by their own names."""
    if metric.startswith("tpr@"):
        return f"TPR at {100 * float(metric.partition('@')[2]):g} % FPR"
    return _MEASURES.get(metric, (metric, 0.0))[0]


def chance(metric: str) -> float | None:
    """Return what an attack gets that knows nothing, ``None`` where that is not the metric's to say."""
    if metric.startswith("tpr@"):
        return float(metric.partition("@")[2])
    return _MEASURES[metric][1] if metric in _MEASURES else None


def family(variant: Mapping[str, Any]) -> str:
    """Return what sort of defence the values of a grid's variant are, by the first of them.

    Another victim is a sort of its own.
    """
    first = next(iter(variant), "")
    if first == "victim":
        return str(variant[first])
    last = first.rpartition(".")[2]
    return _FAMILIES.get(last, last.replace("_", " ")) if last else "no defence"
