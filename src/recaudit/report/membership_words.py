"""What the membership figures of a result say in plain words: verdict, servings, rungs, what to distrust."""

from recaudit.report.membership_rows import (
    HEADLINE,
    STRANGER,
    Block,
    Membership,
    decidedly_above,
    retrains,
)
from recaudit.report.result import Figure
from recaudit.report.rows import Row, decimals, ends, number, printable

__all__ = [
    "BLIND_WORDS",
    "best_single",
    "conclusion",
    "membership_caution",
    "membership_verdict",
    "method",
    "needs",
    "null_words",
    "serving_title",
    "serving_words",
]

NO_LEAK = "no leak found by these attacks"
EXPLAINED = "this AUC is explained by how strangers are served"
_AUC, _TPR, _USERS = "auc", "tpr@0.01", "candidates"

_TITLES = {
    HEADLINE: "Everyone folded in",
    "popular": "Popular list for strangers",
    "popular-unmasked": "Popular list for strangers, seen items too",
    "popular-random": "Randomised popular lists for strangers",
    "fold-in": "Strangers folded in",
}
_OPENINGS = {
    HEADLINE: "With everyone folded in",
    "popular": "With the popular list for strangers",
    "popular-unmasked": "With the popular list for strangers, seen items too",
    "popular-random": "With randomised popular lists for strangers",
    "fold-in": "With only strangers folded in",
}
_SERVED = {
    HEADLINE: "Members and strangers are served alike: each list is made from the history shown, and no "
    "stored vector of a user is looked up. So only what the items’ parameters hold can leak.",
    "popular": "Members get their own lists. Strangers, whom the model has never seen, get the most popular "
    "items that they have not had.",
    "popular-unmasked": "Members get their own lists. Strangers get the most popular items, those that they "
    "have had already among them.",
    "popular-random": "Members get their own lists. Strangers get items drawn at random from ten times as "
    "many popular ones that they have not had, the defence of Zhang et al. (2021).",
    "fold-in": "Members get the lists of their stored vectors. Strangers get lists too: the model’s own "
    "estimator folds their histories in.",
}
_METHODS = {
    "difference": "The published attack (Hu et al. 2023): the centre of the user’s items minus the centre of "
    "the listed ones, judged by a small network that learned on one shadow model.",
    "rich": "Many features of list and history (similarities, weighted centres, popular items), judged by "
    "boosted trees that learned on shadow models.",
    "lira-items": "Asks of each listed item whether shadow models list it more often for this user when they "
    "were trained on this history than when not (likelihood ratio, Carlini et al. 2022).",
    "lira-lists": "Asks whether the list as a whole, by the score of “rich”, looks more like those of shadow "
    "models trained on this history or like those of the others (likelihood ratio).",
    "stack": "Weighs all of these together, each set against what is usual for this user; learned by letting "
    "each shadow model play the victim.",
}
BLIND_WORDS = {
    "popular share": "share of popular items in the list",
    "seen item": "whether the list holds an item of the user’s history",
    "history length": "number of items in the user’s history",
    "list constancy": "how much the list is one that others get too",
    "best single feature": "the best of these and of those of “rich”, chosen on one shadow model",
}
"""What each detector of the blind panel looks at."""


def serving_title(serving: str) -> str:
    """Return a heading for a way of serving."""
    return _TITLES.get(serving) or printable(serving) or "Serving not named"


def serving_words(serving: str) -> str:
    """Return in words what members and strangers are served."""
    return _SERVED.get(serving, "A way of serving that this version of the report does not describe.")


def needs(attack: str) -> str:
    """Return what an attack needs beside the candidates’ histories and lists, in two or three words."""
    found = retrains(attack)
    if found is None:
        return "not known"
    return "retrains on candidates’ data" if found else "own data"


def method(attack: str) -> str:
    """Return what an attack does, in a sentence."""
    rung = attack.removesuffix(STRANGER)
    if rung not in _METHODS:
        return "An attack that this version of the report does not describe; its figures stand as measured."
    if rung == attack:
        return _METHODS[rung]
    return f"As “{rung}”, with shadow models of the attacker’s own users; none was trained on a candidate."


def membership_verdict(membership: Membership) -> tuple[str, ...]:
    """Return the paragraphs on membership that the report opens with: the headline, then ``popular``."""
    block = membership.headline
    if block is None:
        return ("No membership attack in this audit has a figure, so there is no headline to give.",)
    sentences = conclusion(block, membership.non_members)
    strongest, own = block.strongest, block.strongest_without_retraining
    if strongest and own and own is not strongest and decidedly_above(strongest.find(_AUC, _USERS), 0.5):
        sentences.append(
            f"{strongest.label} retrains on the candidates’ data, as an auditor can; with data of the "
            f"attacker’s own, the highest rung, {own.label}, has an AUC of {_auc(own)}."
        )
    beside = next((one for one in membership.blocks[1:] if one.serving == "popular"), None)
    besides = [] if beside is None else [" ".join(conclusion(beside, membership.non_members))]
    return (" ".join(sentences), *besides)


def conclusion(block: Block, non_members: int | None) -> list[str]:
    """Return what one way of serving gave away, in sentences, the strongest attack first."""
    opening = _OPENINGS.get(block.serving, f"Under {serving_title(block.serving)}")
    strongest = block.strongest
    if strongest is None:
        return [f"{opening}, no attack has an AUC."]
    count = len(block.ladder)
    whose = f"the highest of {count} rungs" if count > 1 else "the one attack"
    if decidedly_above(strongest.find(_AUC, _USERS), 0.5):
        sentences = [
            f"{opening}, {whose}, {strongest.label}, tells members from strangers with an AUC of "
            f"{_auc(strongest)}, where 0.5 is chance{_finds(strongest, non_members)}."
        ]
        sentences += _explained(block, strongest)
    else:
        sentences = [_not_above(block, strongest, opening, whose)]
    if _headline_misses(block):
        sentences.append("Its null control misses 0.5: this measurement is to be distrusted.")
    return sentences


def _not_above(block: Block, strongest: Row, opening: str, whose: str) -> str:
    """Return the sentence of a block whose highest rung is not decidedly above chance."""
    auc = strongest.find(_AUC, _USERS)
    assert auc is not None
    if auc.low is None or auc.high is None:
        why = "and there is no interval"
    else:
        why = f"its interval {'contains' if auc.high >= 0.5 else 'is below'} 0.5, which is chance"
    others = [row.label for row in block.ladder if decidedly_above(row.find(_AUC, _USERS), 0.5)]
    tails = [row for row in block.ladder if decidedly_above(row.find(_TPR, _USERS), 0.01)]
    told = f"{strongest.label}, has an AUC of {_auc(strongest)}: {why}"
    if others:
        return f"{opening}, {whose}, {told}; those of {', '.join(others)} lie above it."
    if tails:
        found = ", ".join(f"{row.label} ({_percent(row.find(_TPR, _USERS))})" for row in tails)
        return (
            f"{opening}, {whose}, {told}. Yet at a threshold that lets 1 % of strangers in, more than 1 % of "
            f"members are found: {found}."
        )
    blind = block.best_blind
    if blind is not None and decidedly_above(blind.find(_AUC, _USERS), 0.5):
        return (
            f"{opening}, {whose}, {told}. Yet the blind detector “{blind.label}” tells members from "
            f"strangers with an AUC of {_auc(blind)}."
        )
    return f"{opening}, {NO_LEAK}: {whose}, {told}."


def _explained(block: Block, strongest: Row) -> list[str]:
    """Return where a blind detector does as well as the strongest attack, or else as the published one."""
    for row in (strongest, block.attack("difference")):
        blind = block.explaining(row)
        if row is None or blind is None:
            continue
        alone = f"the blind detector “{blind.label}” alone reaches {_auc(blind)}"
        # Folded users are served in the way of members, or nearly so: that need not be the reason.
        served_apart = block.serving.startswith("popular")
        why = EXPLAINED if served_apart else "a single feature does as well or better"
        if row is strongest:
            return [f"{why[0].upper()}{why[1:]}: {alone}."]
        return [f"The published attack ({row.label}) has an AUC of {_auc(row)}; {why}: {alone}."]
    return []


def _auc(row: Row) -> str:
    return decimals(row.find(_AUC, _USERS), interval=True)


def _percent(figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return "not available"
    between = ends(figure, 1, 100)
    return f"{number(100 * figure.value, 1)} %{f', {between}' if between else ''}"


def _finds(row: Row, non_members: int | None) -> str:
    """Return how many members the attack finds at 1 % false positives, as the end of a sentence."""
    figure = row.find(_TPR, _USERS)
    if figure is None or figure.value is None:
        return ""
    members = 100 * figure.value
    if members == 0:
        found = "no member"
    elif members < 0.5:
        found = "fewer than 1 of 100 members"
    else:
        between = ends(figure, 0, 100)
        found = f"{number(members)} of 100 members{f' ({between})' if between else ''}"
    if non_members is not None and non_members < 100:
        return f", and finds {found} without wrongly naming one of the {number(non_members)} strangers"
    return f", and finds {found} while wrongly naming 1 of 100 strangers"


def best_single(block: Block) -> str:
    """Return which blind features were the best single ones, in a sentence; empty where it is not told."""
    if not block.best:
        return ""
    seeds = sum(block.best.values())
    chosen = ", ".join(f"“{printable(name)}” in {number(count)}" for name, count in block.best.items())
    return f"The best single feature was {chosen} of {number(seeds)} seed{'' if seeds == 1 else 's'}."


def null_words(block: Block) -> str:
    """Return what the null control gave, in a sentence; empty where there is none."""
    measured = [null for null in block.null if null.value(_AUC, _USERS) is not None]
    if not measured:
        return ""
    opening = "Null control: against a victim trained on none of the candidates"
    missing = [f"{null.label} {_auc(null)}" for null in measured if _misses_chance(null)]
    if missing:
        # One in twenty does by chance, and the attacks of an audit share shadow models: they miss together.
        why = (
            "this measurement is to be distrusted"
            if _headline_misses(block)
            else "one interval in twenty does by chance, and that of the highest rung does not"
        )
        return f"{opening} an AUC must be 0.5, and the interval misses it for {', '.join(missing)}: {why}."
    values = [null.value(_AUC, _USERS) or 0.0 for null in measured]
    least, most = number(min(values), 3), number(max(values), 3)
    aucs = f"the AUC is {least}" if len(measured) == 1 else f"the AUCs are {least} to {most}"
    return f"{opening} {aucs}; {'its' if len(measured) == 1 else 'every'} interval contains 0.5, as it must."


def _headline_misses(block: Block) -> bool:
    """Whether the null control of the highest rung misses 0.5."""
    null = None if block.strongest is None else block.null_of(block.strongest)
    return null is not None and _misses_chance(null)


def _misses_chance(null: Row) -> bool:
    auc = null.find(_AUC, _USERS)
    return auc is not None and auc.low is not None and auc.high is not None and not auc.low <= 0.5 <= auc.high


def membership_caution(membership: Membership) -> list[str]:
    """Return what the reader of the membership figures must bear in mind, the gravest first."""
    notes = []
    for block in membership.blocks:
        if _headline_misses(block):
            notes.append(
                f"{serving_title(block.serving)}: the null control of the highest rung misses 0.5, against a "
                "victim trained on none of the candidates. This measurement is to be distrusted; one in "
                "twenty such intervals misses by chance alone."
            )
        auc = block.strongest and block.strongest.find(_AUC, _USERS)
        if auc and auc.high is not None and auc.high < 0.5:
            notes.append(
                f"{serving_title(block.serving)}: the AUC of the highest rung is decidedly below 0.5. Scores "
                "that point the wrong way still tell members from strangers to somebody who turns them round."
            )
    if membership.headline is not None and membership.headline.serving != HEADLINE:
        notes.append(
            f"Serving everyone folded in was not measured, so the headline is “"
            f"{serving_title(membership.headline.serving)}”: it mixes what the model holds of its members "
            "with how strangers are served."
        )
    return notes + _rough(membership)


def _rough(membership: Membership) -> list[str]:
    """Return at which rates there are too few non-members to name even one."""
    count = membership.non_members
    rows = [row for block in membership.blocks for row in (*block.ladder, *block.blind)]
    told = {metric for row in rows for metric, _ in row.figures if metric.startswith("tpr@")}
    rough = [
        rate for rate in (0.01, 0.001) if count is not None and count * rate < 1 and f"tpr@{rate}" in told
    ]
    if count is None or not rough:
        return []
    rates = " and at ".join(f"{number(100 * rate, 0 if rate == 0.01 else 1)} %" for rate in rough)
    return [
        f"TPR at {rates} false positives means here: no false positive at all among {number(count)} "
        "non-members. It hangs on the few who look likeliest."
    ]
