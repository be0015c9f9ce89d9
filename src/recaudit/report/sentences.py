"""What a result says in plain words: what leaked, how sure that is, and what to read with care."""

from collections.abc import Iterator
from dataclasses import dataclass

from recaudit.figures import Figure
from recaudit.report.comparison import one_list_for_all, without_attack
from recaudit.report.result import Result
from recaudit.report.views import Served, Stealing, non_members, served
from recaudit.vocabulary import (
    AUXILIARY,
    BLIND,
    CEILING,
    CONSTANT,
    FLOOR,
    HEADLINE,
    NOT_AVAILABLE,
    NULL,
    TAIL,
    VICTIM,
    metric_of,
    number,
    printable,
    several,
)

__all__ = [
    "Note",
    "best_feature",
    "estimate",
    "generated",
    "leak",
    "membership_verdict",
    "notes",
    "null_control",
    "setting",
    "stealing_headline",
    "stealing_verdict",
]

NARROW = 0.1
"""A ceiling less than this above the floor tells no clone from the popular list."""


MATTERS = 0.05
"""The share of places filled by ties, or of agreement forced by arithmetic, from which it is said."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """What the reader must bear in mind: the matter in one short sentence, and what it means."""

    short: str
    more: str = ""

    def __str__(self) -> str:
        return f"{self.short} {self.more}".strip()


def estimate(figure: Figure | None) -> str:
    """Return a figure with its interval and the number of users behind it, ``64.7 % (62.1–67.0; n 300)``."""
    if figure is None or figure.value is None:
        return NOT_AVAILABLE
    text, between = metric_of(figure.metric).form.text(figure.value), figure.between()
    return f"{text} ({between})" if between else text


def setting(result: Result) -> str:
    """Return data, victim, clone, defence and the number of seeds in a line."""
    names = {
        part: card.label
        if card
        else next((getattr(f, part) for f in result.figures if getattr(f, part)), None)
        for part, card in (("victim", result.cards.victim), ("clone", result.cards.clone))
    }
    clone = f", {names['clone']} clone" if names["clone"] else ""
    defence = "" if result.cards.defence is None else f", defence: {result.cards.defence.label}"
    return printable(
        f"{result.data.name}: {names['victim'] or 'unknown'} victim{clone}{defence}, {several(result.seeds, 'seed')}"
    )


def generated(result: Result) -> bool:
    """Return whether the data of ``result`` are recaudit’s generated ones."""
    data = result.spec.get("data")
    source = data.get("source") if isinstance(data, dict) else data
    return result.data.reading is None and "synthetic" in (source, result.data.name)


_WITHOUT_ATTACK = {
    FLOOR: "The most popular unseen items, with no attack at all, get",
    CONSTANT: "One list, the same for everybody and chosen in hindsight, gets",
    AUXILIARY: "A model of the auxiliary data alone, which asks the victim nothing, gets",
    CEILING: "The victim trained again with another seed gets",
}


def stealing_verdict(stealing: Stealing) -> list[str]:
    """Return the sentences on model stealing: the strongest attack, then floor and ceiling."""
    first, *way = stealing_headline(stealing)
    unseen = stealing.find(stealing.strongest or "", "agreement", "unseen")
    found = [first]
    if unseen is not None and unseen.value is not None:
        found.append(f"On users whom the attacker has never seen, it reproduces {estimate(unseen)}.")
    found += [
        f"{opening} {estimate(stealing.find(row, 'agreement', 'unqueried'))}."
        for row, opening in _WITHOUT_ATTACK.items()
        if row in stealing.rows
    ]
    found += way
    if _one_list(stealing):
        found.append("Yet agreement says little about this recommender: see below.")
    return found


def stealing_headline(stealing: Stealing) -> list[str]:
    """Return what the strongest attack reproduces, and where that lies between floor and ceiling."""
    best = stealing.strongest
    if best is None:
        return [
            "No attack in this audit has an agreement on unqueried users, so there is no headline to give."
        ]
    whose = "the strongest attack" if len(stealing.attacks) > 1 else "the one attack of this audit"
    share = estimate(stealing.find(best, "agreement", "unqueried"))
    found = [
        f"{_given(stealing, best)}, {whose} ({stealing.label(best)}) reproduces {share} of the items that the "
        "victim recommends to users whose lists nobody asked for."
    ]
    place = stealing.value(best, "place", "unqueried", "all")
    floor, own = (stealing.value(row, "agreement", "unqueried") for row in (FLOOR, best))
    if floor is not None and own is not None and own <= floor:
        found.append("That is no more than the popular list gets without any attack.")
    elif place is not None and place >= 0 and {FLOOR, CEILING} <= set(stealing.rows):
        way = number(100 * place)
        found.append(
            f"{stealing.label(best)} goes {way} % of the way from the popular list to the retrained victim."
        )
    return found


def _given(stealing: Stealing, row: str) -> str:
    """Return what an attack had, as the opening of a sentence."""
    data, needs = stealing.result.data, stealing.card(row).needs
    lists = stealing.asked(row, "lists")
    parts = (
        [f"{number(lists)} of the victim’s lists" if lists else "the victim’s lists"]
        if ("lists" in needs or (lists and not needs))
        else []
    )
    if "histories" in needs:
        known, target = data.known_users, data.target_users
        share = f" ({number(100 * known / target)} %)" if known and target else ""
        of_all = f" of {number(target)}" if share else ""
        parts.append(
            f"the histories of {number(known)}{of_all} users{share}" if known else "users’ histories"
        )
    if "auxiliary" in needs:
        others = f"{number(data.auxiliary_users)} " if data.auxiliary_users else ""
        parts.append(f"auxiliary data of {others}other users")
    if not parts:
        return "With what it was given"
    return f"With {', '.join(parts[:-1])}{' and ' if len(parts) > 1 else ''}{parts[-1]}"


def membership_verdict(result: Result) -> list[str]:
    """Return a paragraph for the first way of serving, and one where popular lists were measured beside it."""
    blocks = served(result)
    if not blocks:
        return ["No membership attack in this audit has a figure, so there is no headline to give."]
    block, first = blocks[0], leak(blocks[0])
    strongest, own = block.strongest, block.strongest_without_retraining
    if strongest and own and own != strongest and block.leaks(strongest):
        first.append(
            f"{block.label(strongest)} retrains on the candidates’ data, as an auditor can; with data of the "
            f"attacker’s own, {block.label(own)} has an AUC of {_auc(block, own)}."
        )
    beside = [leak(one) for one in blocks[1:] if one.serving == "popular"]
    return [" ".join(sentences) for sentences in (first, *beside)]


def leak(block: Served) -> list[str]:
    """Return what one way of serving gave away, in sentences, the strongest attack first."""
    place = f"{block.title}: "
    strongest = block.strongest
    if strongest is None:
        return [f"{place}no attack has an AUC."]
    whose = f"the strongest of {len(block.attacks)} attacks" if len(block.attacks) > 1 else "the one attack"
    who = f"{place}{whose}, {block.label(strongest)},"
    if block.leaks(strongest):
        auc = _auc(block, strongest)
        found = [
            f"{who} tells members from strangers with an AUC of {auc}, where 0.5 is chance{_finds(block)}."
        ]
        found += _explained(block, strongest)
    else:
        found = _no_leak(block, strongest, who)
    if block.misses_chance(strongest):
        found.append("Its null control misses 0.5: distrust this measurement.")
    return found


def _no_leak(block: Served, strongest: str, who: str) -> list[str]:
    """Return the sentences of a way of serving whose strongest attack is not above chance."""
    auc = block.find(strongest, "auc")
    if auc is None or auc.low is None or auc.high is None:
        why = "and there is no interval"
    else:
        why = f"its interval {'contains' if auc.high >= 0.5 else 'is below'} 0.5, which is chance"
    found = [f"{who} has an AUC of {_auc(block, strongest)}: {why}."]
    others = [block.label(row) for row in block.attacks if block.leaks(row)]
    tails = [row for row in block.attacks if block.leaks(row, TAIL)]
    blind = block.best_blind
    if others:
        found.append(f"Yet the AUC of {', '.join(others)} is above chance.")
    elif tails:
        told = ", ".join(f"{block.label(row)} ({estimate(block.find(row, TAIL))})" for row in tails)
        found.append(
            f"Yet where 1 % of strangers are wrongly named, more than 1 % of members are found: {told}."
        )
    elif blind is not None and block.leaks(blind):
        found.append(f"Yet the detector “{block.label(blind)}” has an AUC of {_auc(block, blind)}.")
    elif block.unsure(strongest):
        found.append("Too few candidates to tell: a leak that is plain with more of them is not ruled out.")
    else:
        found.append("No leak was found by these attacks.")
    return found


def _explained(block: Served, strongest: str) -> list[str]:
    """Return where a blind detector does as well as the strongest attack, or else as the simplest one."""
    for row in dict.fromkeys((strongest, block.attacks[0])):
        blind = block.explained(row)
        if blind is None:
            continue
        # Folded users are served as members are, or nearly so: there, serving need not be the reason.
        apart = (block.serving or "").startswith("popular")
        why = (
            "how strangers are served explains this" if apart else "one plain feature does as well or better"
        )
        alone = f"the detector “{block.label(blind)}” alone reaches {_auc(block, blind)}"
        if row == strongest:
            return [f"{why[0].upper()}{why[1:]}: {alone}."]
        return [f"{block.label(row)} has an AUC of {_auc(block, row)}; {why}: {alone}."]
    return []


def _auc(block: Served, row: str) -> str:
    return estimate(block.find(row, "auc"))


def _finds(block: Served) -> str:
    """Return how many members the strongest attack finds at 1 % false positives, as the end of a sentence."""
    figure = block.find(block.strongest or "", TAIL)
    if figure is None or figure.value is None:
        return ""
    strangers = non_members(block.result)
    if strangers is not None and strangers < 100:
        cost = f"without wrongly naming one of the {number(strangers)} strangers"
    else:
        cost = "while wrongly naming 1 % of strangers"
    return f", and finds {estimate(figure)} of members {cost}"


def best_feature(block: Served) -> str:
    """Return which blind features were the best single ones; empty where the result does not say."""
    choices = [choice.best for choice in block.result.blind if choice.serving == block.serving]
    if not choices:
        return ""
    names = sorted(dict.fromkeys(choices), key=choices.count, reverse=True)
    told = ", ".join(f"“{printable(name)}” in {choices.count(name)}" for name in names)
    return f"The best single feature was {told} of {several(len(choices), 'seed')}."


def null_control(block: Served) -> str:
    """Return what the null control gave, in a sentence; empty where there is none."""
    rows = [row for row in block.null if block.value(f"{NULL}{row}", "auc") is not None]
    if not rows:
        return ""
    opening = "Null control: against a victim trained on none of the candidates"
    missing = [
        f"{block.label(row)} {_auc(block, f'{NULL}{row}')}" for row in rows if block.misses_chance(row)
    ]
    if missing:
        # One in twenty does by chance, and the attacks of an audit share shadow models: they miss together.
        why = (
            "distrust this measurement"
            if block.misses_chance(block.strongest)
            else "one interval in twenty does by chance, and that of the strongest attack does not"
        )
        return f"{opening} an AUC must be 0.5, and the interval misses it for {', '.join(missing)}: {why}."
    values = [block.value(f"{NULL}{row}", "auc") or 0.0 for row in rows]
    ends = dict.fromkeys(number(value, 3) for value in (min(values), max(values)))
    return f"{opening} the AUC is {' to '.join(ends)}; every interval contains 0.5, as it must."


def notes(result: Result) -> list[Note]:
    """Return what the reader must bear in mind, the gravest first."""
    found = []
    if generated(result):
        found.append(
            Note(
                short="The data are generated by recaudit.",
                more="The figures show that the audit works; never read them as the leak of a real recommender.",
            )
        )
    if result.data.reading is not None:
        found += [Note(short=printable(text)) for text in result.data.reading.doubts]
    stealing = Stealing(result)
    found += [
        *_of_untrainable(result, stealing),
        *_of_membership(result),
        *_of_stealing(stealing),
        *_of_hollow_lists(stealing),
        *_of_histories(result, stealing),
    ]
    if result.seeds == 1:
        found.append(
            Note(
                short="One seed: the intervals cover the choice of users only.",
                more="They leave out how much the figures change when the models are trained again. Use more seeds "
                "before relying on a difference.",
            )
        )
    reading = result.data.reading
    if reading is not None:
        unread = [f"Columns that were not read: {', '.join(reading.unused)}."] if reading.unused else []
        found += [Note(short=printable(text)) for text in (*reading.merged, *reading.guessed, *unread)]
    # A blind feature has no threshold from which a user is called a member, and so no accuracy.
    missing = [f for f in result.figures if f.value is None]
    if any(not (figure.attack.startswith(BLIND) and figure.metric == "accuracy") for figure in missing):
        found.append(Note(short="Some figures are not available: their part of the audit gave no number."))
    return found


def _of_untrainable(result: Result, stealing: Stealing) -> Iterator[Note]:
    """Yield what cannot be measured where the victim cannot be trained."""
    ceiling = stealing.find(CEILING, "agreement", "unqueried")
    if (
        ceiling is not None
        and ceiling.value is None
        and stealing.value(FLOOR, "agreement", "unqueried") is not None
    ):
        yield Note(
            short="The victim cannot be trained again: the ceiling is not measurable.",
            more="No figure says where an attack lies between the popular list and a retrained victim.",
        )
    victim = result.spec.get("victim")
    if isinstance(victim, dict) and "victim" in victim:
        yield Note(
            short="Membership is not measurable: recaudit cannot train this victim on half of the attacked users."
        )


def _of_stealing(stealing: Stealing) -> Iterator[Note]:
    floor, ceiling = (stealing.value(row, "agreement", "unqueried") for row in (FLOOR, CEILING))
    own, popular = (stealing.value(row, "recall", "all") for row in (VICTIM, FLOOR))
    if own is not None and popular is not None and own <= popular:
        yield Note(
            short="The victim recommends no better than the popular list: it may be undertrained.",
            more="Read nothing about a deployed recommender from these figures; train the victim longer.",
        )
    if alike := _one_list(stealing):
        yield Note(short=alike)
    elif floor is not None and ceiling is not None and ceiling - floor < NARROW:
        yield Note(
            short="The popular list and the retrained victim lie close together.",
            more="The victim shows much the same items to everybody, or a retrained one differs from it as much as "
            "the popular list does. Agreement cannot tell a clone from the popular list here.",
        )
    values = {row: stealing.value(row, "agreement", "unqueried") for row in stealing.attacks}
    below = [row for row, value in values.items() if None not in (value, floor) and value <= floor]  # type: ignore[operator]
    if below:
        names = ", ".join(map(stealing.label, below))
        yield Note(
            short=f"{names} {'is' if len(below) == 1 else 'are'} beaten by the popular list on unqueried users.",
            more="Somebody who knows only which items are popular would do better there.",
        )
    own_figures = {
        stealing.label(row): stealing.find(row, "agreement", "unqueried") for row in stealing.attacks
    }
    constant, auxiliary = (stealing.find(row, "agreement", "unqueried") for row in (CONSTANT, AUXILIARY))
    yield from (Note(short=text) for text in without_attack(own_figures, constant, auxiliary, estimate))


def _of_hollow_lists(stealing: Stealing) -> Iterator[Note]:
    """Yield what agreement says nothing of: overlap that arithmetic forces, places that ties fill."""
    found = {name: stealing.find(VICTIM, name, "unqueried") for name in ("forced", "short")}
    if found["forced"] is not None and (found["forced"].value or 0.0) >= MATTERS:
        yield Note(
            short=f"{estimate(found['short'])} of unqueried users have fewer than {2 * stealing.k} unseen items. By "
            f"arithmetic alone, two lists of {stealing.k} agree {estimate(found['forced'])}, the mean over all "
            "unqueried users.",
            more="Take shorter lists (k), or data in which users have seen a smaller part of the items.",
        )
    for row in (VICTIM, *stealing.attacks):
        tied = stealing.find(row, "tied", "unqueried")
        if tied is not None and (tied.value or 0.0) >= MATTERS:
            whose = "the victim’s lists" if row == VICTIM else f"the lists of {stealing.label(row)}’s clone"
            yield Note(
                short=f"{estimate(tied)} of places in {whose} hold items of equal scores, by item number.",
                more="Two recommenders that rank nothing there agree because of the numbering.",
            )


def _one_list(stealing: Stealing) -> str | None:
    """Return what to say where the victim's lists hardly depend on the user."""
    constant, ceiling = (stealing.find(row, "agreement", "unqueried") for row in (CONSTANT, CEILING))
    return one_list_for_all(constant, ceiling, stealing.find(VICTIM, "diversity", "target", "all"), estimate)


def _of_histories(result: Result, stealing: Stealing) -> Iterator[Note]:
    """Yield what to say of the order of histories, where a model reads them in it."""
    cards = [card for card in (result.cards.victim, result.cards.clone) if card is not None]
    if CONSTANT not in stealing.rows and not any("histories" in card.needs for card in cards):
        return
    if result.data.times is False:
        yield Note(
            short="The data have no times: models that read histories take the file’s order for the order of events.",
            more="Where it is another one, the figures say little about a recommender that knows the order.",
        )
    division = result.spec.get("split")
    if isinstance(division, dict) and division.get("heldout_by") == "random" and stealing.rows:
        how = {
            True: "split.heldout_by=time judges",
            False: "With times, split.heldout_by=time would judge",
            None: "Where the data have times, split.heldout_by=time judges",
        }[result.data.times]
        yield Note(
            short="Recall and NDCG are judged on items held out at random.",
            more="Most of them are cut out of the middle of histories, while models that read histories tell what "
            f"comes next. {how} each user’s last items.",
        )


def _of_membership(result: Result) -> Iterator[Note]:
    blocks = served(result)
    for block in blocks:
        strongest = block.strongest
        if block.misses_chance(strongest):
            yield Note(
                short=f"{block.title}: the null control of the strongest attack misses 0.5. Distrust this measurement.",
                more="The victim there was trained on none of the candidates. One in twenty such intervals misses by "
                "chance alone.",
            )
        auc = block.find(strongest or "", "auc")
        if auc is not None and auc.high is not None and auc.high < 0.5:
            yield Note(
                short=f"{block.title}: the AUC of the strongest attack is below 0.5.",
                more="Scores that point the wrong way still tell members from strangers to an attacker who turns "
                "them round.",
            )
    if blocks and blocks[0].serving != HEADLINE:
        yield Note(
            short=f"Serving everyone folded in was not measured: the headline is “{blocks[0].title}”.",
            more="It mixes what the model holds of its members with how strangers are served.",
        )
    strangers = non_members(result)
    measured = {figure.metric for figure in result.figures}
    rough = [
        rate for rate in (0.01, 0.001) if strangers and strangers * rate < 1 and f"tpr@{rate}" in measured
    ]
    if rough:
        rates = " and at ".join(f"{100 * rate:g} %" for rate in rough)
        yield Note(
            short=f"TPR at {rates} means here: no false positive among {number(strangers)} strangers.",
            more="It depends on the few who look likeliest.",
        )
