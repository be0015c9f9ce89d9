"""What a result says in plain words: the verdict, and what to read with care."""

from recaudit.report.comparison import one_list_for_all, without_attack
from recaudit.report.knowledge import knowledge, reads_histories
from recaudit.report.membership_rows import BLIND, arrange_membership
from recaudit.report.membership_words import membership_caution
from recaudit.report.result import Figure, Result
from recaudit.report.rows import Arranged, Row, ends, number, printable, share

__all__ = ["caution", "estimate", "is_generated", "setting", "verdict"]

# A victim that shows nearly the same list to everybody is matched by that list.
_NARROW = 0.1


def is_generated(result: Result) -> bool:
    """Return whether the data of ``result`` are recaudit’s generated ones."""
    data = result.spec.get("data")
    source = data.get("source") if isinstance(data, dict) else data
    return "synthetic" in (source, result.data.name)


def estimate(row: Row, metric: str, users: str) -> str:
    """Return a share with its interval, ``64.7 % (62.1–67.0)``."""
    figure = row.find(metric, users)
    if figure is None or figure.value is None:
        return "not available"
    return _said(figure)


def _said(figure: Figure) -> str:
    interval = ends(figure, 1, 100)
    return f"{share(figure.value)} ({interval})" if interval else share(figure.value)


_FLOOR_GETS = "Listing the most popular items that a user has not seen, with no attack at all, gets"
_CONSTANT_GETS = "One list, the same for everybody and chosen in hindsight, gets"
_AUXILIARY_GETS = "A model of the auxiliary data alone, which asks the victim nothing, gets"
_CEILING_GETS = "The victim trained once more with another seed agrees with itself at"


def verdict(result: Result, arranged: Arranged) -> str:
    """Return the paragraph that the report opens with: the strongest attack, the floor and the ceiling."""
    agreement = arranged.metric("agreement")
    best = arranged.strongest
    if best is None:
        sentences = [
            "No attack in this audit has an agreement on unqueried users, so there is no headline to give."
        ]
    else:
        whose = "the strongest attack" if len(arranged.attacks) > 1 else "the one attack of this audit"
        sentences = [
            f"{_given(result, best)}, {whose} ({best.label}) reproduces "
            f"{estimate(best, agreement, 'unqueried')} of the items that the victim recommends to users "
            "whose lists nobody asked for."
        ]
        if best.value(agreement, "unseen") is not None:
            unseen = estimate(best, agreement, "unseen")
            sentences.append(f"On users whom the attacker has never seen, it reproduces {unseen}.")
    references = (
        (arranged.floor, _FLOOR_GETS),
        (arranged.constant, _CONSTANT_GETS),
        (arranged.auxiliary, _AUXILIARY_GETS),
        (arranged.ceiling, _CEILING_GETS),
    )
    for row, opening in references:
        if row is not None and row.value(agreement, "unqueried") is not None:
            sentences.append(f"{opening} {estimate(row, agreement, 'unqueried')}.")
        elif row is not None:
            sentences.append(f"The figure of the row “{row.label}” to compare with is not available.")
    place = best.value(arranged.metric("place"), "unqueried", "all") if best else None
    if best is not None and place is not None and place >= 0 and arranged.floor and arranged.ceiling:
        sentences.append(
            f"{best.label} goes {number(100 * place)} % of the way from the popular list to that ceiling."
        )
    if _one_list(arranged):
        sentences.append("Yet agreement says little about this recommender: see below.")
    return " ".join(sentences)


def _given(result: Result, row: Row) -> str:
    """Return what the attack had, as the opening of a sentence."""
    data, known = result.data, knowledge(result, row.attack)
    parts = []
    lists = row.value("lists", "all", "queried", "unqueried")
    if known is None or known.lists:
        parts += [f"{number(lists, 0)} of the victim’s lists" if lists else "the victim’s lists"]
    if known is None:
        parts = parts if lists else []
    elif known.served_alone:
        parts.append("the histories of the users to whom they are served")
    elif known.interactions:
        of_all = f" of {number(data.target_users)}" if data.target_users and data.known_users else ""
        who = f"{number(data.known_users)}{of_all} users" if data.known_users else "some of the users"
        parts.append(f"the histories of {who}{_percent(data.known_users, data.target_users)}")
    if known and known.auxiliary:
        others = f"{number(data.auxiliary_users)} " if data.auxiliary_users else ""
        parts.append(f"auxiliary data of {others}other users")
    if not parts:
        return "With what it was given"
    return f"With {', '.join(parts[:-1])}{' and ' if len(parts) > 1 else ''}{parts[-1]}"


def _percent(part: int | None, whole: int | None) -> str:
    return f" ({number(100 * part / whole)} %)" if part and whole else ""


def caution(result: Result, arranged: Arranged) -> list[str]:
    """Return what the reader must bear in mind, one text a matter, the gravest first."""
    notes = []
    if is_generated(result):
        notes.append(
            "The data are generated by recaudit. The figures show that the audit works; "
            "never read them as the leak of a real recommender."
        )
    membership = arrange_membership(result)
    if membership is not None:
        notes += membership_caution(membership)
    notes += _against_references(arranged)
    if reads_histories(result):
        notes += _of_histories(result, arranged)
    if max((figure.seeds for figure in result.figures), default=0) == 1:
        notes.append(
            "One seed: the intervals cover the choice of users only and leave out how much the figures "
            "change when the models are trained again. Use more seeds before relying on a difference."
        )
    if any(_missing(figure) for figure in result.figures):
        notes.append("Some figures are not available: their part of the audit gave no number to compare.")
    return notes


def _of_histories(result: Result, arranged: Arranged) -> list[str]:
    """Return what to say of the order of histories, where a model reads them in it."""
    notes = []
    if result.data.times is False:
        notes.append(
            "The data have no times: histories stand in the file’s order, and the models that read histories "
            "take it for the order in which things happened. Where it is another one, the figures say little "
            "about a recommender that knows the order."
        )
    division = result.spec.get("split")
    by = division.get("heldout_by") if isinstance(division, dict) else None
    if by == "random" and arranged.rows:
        how = {
            True: "split.heldout_by=time judges",
            False: "With times, split.heldout_by=time would judge",
            None: "Where the data have times, split.heldout_by=time judges",
        }[result.data.times]
        notes.append(
            "Recall and NDCG are judged on items held out at random, most of them cut out of the middle of "
            "histories, while models that read histories are made to tell what comes next. "
            f"{how} each user’s last items."
        )
    return notes


def _missing(figure: Figure) -> bool:
    # A blind feature has no threshold from which a user is called a member, and so no accuracy.
    return figure.value is None and not (figure.attack.startswith(BLIND) and figure.metric == "accuracy")


def _against_references(arranged: Arranged) -> list[str]:
    agreement = arranged.metric("agreement")
    floor = arranged.floor.value(agreement, "unqueried") if arranged.floor else None
    ceiling = arranged.ceiling.value(agreement, "unqueried") if arranged.ceiling else None
    notes = _one_list(arranged)
    if not notes and floor is not None and ceiling is not None and ceiling - floor < _NARROW:
        notes.append(
            "The popular list and the retrained victim lie close together: the victim shows much the same "
            "items to everybody, or a retrained one differs from it as much as the popular list does. "
            "Agreement cannot tell a clone from the popular list here."
        )
    below = [
        row.label
        for row in arranged.attacks
        if floor is not None and (value := row.value(agreement, "unqueried")) is not None and value <= floor
    ]
    if below:
        verb = "is" if len(below) == 1 else "are"
        notes.append(
            f"{', '.join(below)} {verb} beaten by the popular list on unqueried users: "
            "somebody who knows only which items are popular would do better there."
        )
    return [*notes, *_without_attack(arranged)]


def _one_list(arranged: Arranged) -> list[str]:
    """Return what to say where the victim's lists hardly depend on the user."""
    agreement = arranged.metric("agreement")
    constant, ceiling, diversity = (
        row.find(metric, *users) if row else None
        for row, metric, users in (
            (arranged.constant, agreement, ("unqueried",)),
            (arranged.ceiling, agreement, ("unqueried",)),
            (arranged.victim, arranged.metric("diversity"), ("target", "all")),
        )
    )
    said = one_list_for_all(constant, ceiling, diversity, _said)
    return [] if said is None else [said]


def _without_attack(arranged: Arranged) -> list[str]:
    """Return which attacks are no better than what needs none."""
    agreement = arranged.metric("agreement")
    attacks = {row.label: row.find(agreement, "unqueried") for row in arranged.attacks}
    constant, auxiliary = (
        row.find(agreement, "unqueried") if row else None for row in (arranged.constant, arranged.auxiliary)
    )
    return without_attack(attacks, constant, auxiliary, _said)


def setting(result: Result) -> str:
    """Return data, victim, clone and the number of seeds in a line."""
    attack = next((f for f in result.figures if f.clone), None)
    victim = next((f.victim for f in result.figures), "unknown")
    clone = f", {attack.clone} clone" if attack else ""
    seeds = max((figure.seeds for figure in result.figures), default=0)
    return printable(f"{result.data.name}: {victim} victim{clone}, {seeds} seed{'' if seeds == 1 else 's'}")
