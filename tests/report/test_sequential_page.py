"""The report of a recommender that reads histories, from invented results: they are no measurement."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest
from rich.console import Console

from recaudit.report import Result, markdown_table, parse_result, render_html, terminal_table
from recaudit.report.figures import NARROW, WIDE, agreement_picture
from recaudit.report.knowledge import Knowledge, knowledge
from recaudit.report.rows import Grown, arrange, grown
from recaudit.report.words import caution, verdict


def printed(values: dict[str, Any], width: int = 100) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(terminal_table(parse_result(values)))
    return capture.get()


def planted(values: dict[str, Any], **agreements: float) -> dict[str, Any]:
    """Set agreement@50 on unqueried users, with an interval of 0.01 either side."""
    for figure in values["figures"]:
        name = figure["attack"]
        if (figure["metric"], figure["users"]) == ("agreement@50", "unqueried") and name in agreements:
            value = agreements[name]
            figure |= {"value": value, "low": value - 0.01, "high": value + 0.01}
    return values


def notes(values: dict[str, Any]) -> list[str]:
    result = parse_result(values)
    return caution(result, arrange(result))


def test_rows_stand_between_what_needs_no_attack_and_the_ceiling(sequential_values) -> None:
    arranged = arrange(parse_result(sequential_values))
    assert [row.attack for row in arranged.rows] == [
        *("popularity", "constant", "auxiliary"),
        *("QSD5", "QSD5(random)", "QSD30", "PTD", "PTAQ"),
        "retrained",
    ]
    assert [row.attack for row in arranged.rows if row.is_reference] == [
        *("popularity", "constant", "auxiliary", "retrained")
    ]
    assert arranged.strongest is not None
    assert arranged.strongest.attack == "PTAQ"


@pytest.mark.parametrize("attack", ["constant", "auxiliary"])
def test_what_is_no_attack_is_never_the_strongest(sequential_values, attack) -> None:
    arranged = arrange(parse_result(planted(sequential_values, **{attack: 0.99})))
    assert arranged.strongest is not None
    assert arranged.strongest.attack == "PTAQ"


SYNTHETIC = {"times": 30, "length": 50, "drawing": "autoregressive"}


def renamed(values: dict[str, Any], **settings: dict[str, Any]) -> Result:
    """Return a result whose attack QSD30 has this name and these settings."""
    ((name, own),) = settings.items()
    rows = [row | {"attack": name} if row["attack"] == "QSD30" else row for row in values["figures"]]
    spec = values["spec"] | {"settings": values["spec"]["settings"] | {name: own}}
    return parse_result(values | {"figures": rows, "spec": spec})


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("QSD60", SYNTHETIC, Grown(times=30.0, random=False, length=50)),
        ("QSD5", SYNTHETIC | {"times": 2.5, "drawing": "random"}, Grown(times=2.5, random=True, length=50)),
        ("mine", SYNTHETIC | {"length": 6}, Grown(times=30.0, random=False, length=6)),
        ("QSD7", {"interactions": True, "lists": True}, None),
        ("QSD", {"interactions": False, "lists": True}, None),
    ],
)
def test_grown_histories_are_told_by_the_settings(sequential_values, name, settings, expected) -> None:
    result = renamed(sequential_values, **{name: settings})
    assert grown(result, name) == expected
    assert grown(result, "PTD") is None, "no settings"


def test_grown_histories_stand_in_the_order_of_their_lists(sequential_values) -> None:
    few = renamed(sequential_values, QSD60=SYNTHETIC | {"times": 2})
    assert [row.attack for row in arrange(few).attacks] == ["QSD60", "QSD5", "QSD5(random)", "PTD", "PTAQ"]
    plain = renamed(sequential_values, QSD7={"interactions": True})
    assert [row.attack for row in arrange(plain).attacks][-1] == "QSD7", "an attack not described comes last"


def test_the_verdict_tells_unseen_users_and_what_needs_no_attack(sequential_values) -> None:
    result = parse_result(sequential_values)
    text = verdict(result, arrange(result))
    assert "(PTAQ) reproduces 61.3 % (59.3–63.3)" in text
    for sentence in (
        "On users whom the attacker has never seen, it reproduces 60.4 % (59.6–61.2).",
        "One list, the same for everybody and chosen in hindsight, gets 26.2 % (24.2–28.2).",
        "A model of the auxiliary data alone, which asks the victim nothing, gets 48.1 % (46.1–50.1).",
    ):
        assert sentence in text


def test_a_target_that_is_not_degenerate_is_not_called_so(sequential_values) -> None:
    text = " ".join(notes(sequential_values))
    assert "to everybody, but" not in text
    assert "cannot tell a clone" not in text
    result = parse_result(sequential_values)
    assert "says little" not in verdict(result, arrange(result))


def test_attacks_no_better_than_no_attack_are_called_so(sequential_values) -> None:
    assert notes(sequential_values)[1:] == [
        "QSD5, QSD5(random) are no better than one constant list for everybody, which is chosen in hindsight "
        "and gets 26.2 % (24.2–28.2).",
        "QSD5, QSD5(random), QSD30 are no better than the auxiliary model alone, which gets 48.1 % "
        "(46.1–50.1), asked nothing of the victim and saw none of its users; PTD is not clearly better.",
    ]


def test_a_target_with_one_list_for_all_is_called_so_before_all_else(sequential_values) -> None:
    found = notes(planted(sequential_values, constant=0.88, retrained=0.9, PTAQ=0.89))
    assert found[0] == (
        "This recommender serves nearly the same list to everybody, but for what each user has seen: one "
        "constant list agrees 88.0 % (87.0–89.0) with it. What the attacks reach says little about the "
        "model: there is little to steal."
    )
    result = parse_result(sequential_values)
    assert verdict(result, arrange(result)).endswith("says little about this recommender: see below.")
    values = planted(sequential_values, constant=0.7, retrained=0.72)
    assert notes(values)[0].startswith("One constant list, the same for everybody and chosen in hindsight,")


def test_low_diversity_alone_is_called_so(sequential_values) -> None:
    for figure in sequential_values["figures"]:
        if figure["metric"] == "diversity@50":
            figure |= {"value": 0.1, "low": 0.08, "high": 0.12}
    assert "two users’ lists differ in 10.0 % (8.0–12.0) of their items" in notes(sequential_values)[0]


def test_the_narrow_gap_is_not_told_beside_the_one_list(sequential_values) -> None:
    close = planted(sequential_values, popularity=0.87, constant=0.88, retrained=0.9)
    assert not any("lie close together" in note for note in notes(close))
    apart = planted(sequential_values, popularity=0.65, constant=0.3, retrained=0.7)
    assert any("lie close together" in note for note in notes(apart))


def test_an_audit_without_these_rows_says_nothing_of_them(result) -> None:
    text = " ".join([render_html(result), markdown_table(result), *caution(result, arrange(result))])
    for word in ("constant list", "Constant", "auxiliary model alone", "nseen", "Sequences", "Diversity"):
        assert word not in text


@pytest.mark.parametrize("width", [100, 80])
def test_the_terminal_has_room_for_unseen_users_and_what_was_asked(sequential_values, width) -> None:
    text = printed(sequential_values, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for shown in ("0.604", "(0.596–0.612)", "@50 unseen", "QSD5(random)", "sequences", "calls", "8,640"):
        assert shown in text
    rows = [line.split() for line in text.splitlines()]
    assert ["QSD30", "8,640", "432", "20", "–"] in rows
    assert "Unseen: users whom the attacker has never seen." in " ".join(text.split())


def test_markdown_has_both_tables(sequential_values) -> None:
    text = markdown_table(parse_result(sequential_values))
    assert "| QSD30 | 8,640 | 432 | 20 | – |" in text
    assert "| Constant list | 0.262 (0.242–0.282) | 0.272 (0.262–0.282) | 0.255 (0.247–0.263) |" in text


def test_the_page_shows_everything(sequential_values) -> None:
    page = render_html(parse_result(sequential_values))
    for shown in (
        *("Unseen users", "60.4 %", "1,702 users", "Sequences", "Calls", "8,640", "432"),
        *("Diversity", "83.0 %", "Coverage", "61.0 %", "Constant list", "Auxiliary"),
        *("beside them stand users whom he does not know:", "asks the victim nothing"),
    ):
        assert shown in page, shown
    assert "does not describe" not in page, "every attack is described"


@pytest.mark.parametrize(
    ("settings", "method"),
    [
        (
            SYNTHETIC | {"length": 6},
            "Grows histories of 6 items by asking: a random item first, then one drawn from each list that "
            "comes back. Asks for 30 times as many lists as PTQ, and learns from them alone to rank what "
            "they rank.",
        ),
        (
            SYNTHETIC | {"times": 2.5, "drawing": "random"},
            "Shows histories of 50 random items. Asks for 2.5 times as many lists as PTQ, and learns from "
            "them alone to rank what they rank.",
        ),
        (
            SYNTHETIC | {"times": 1, "length": 1, "drawing": "random"},
            "Shows histories of 1 random item. Asks for as many lists as PTQ, and learns from them alone to "
            "rank what they rank.",
        ),
    ],
)
def test_an_attack_that_grows_histories_is_described_by_its_settings(
    sequential_values, settings, method
) -> None:
    result = renamed(sequential_values, QSD60=settings)
    assert knowledge(result, "QSD60") == Knowledge(
        interactions=False, auxiliary=False, lists=True, method=method
    )
    assert method in render_html(result)


def test_a_plain_attack_by_such_a_name_is_not_described(sequential_values) -> None:
    assert knowledge(renamed(sequential_values, QSD7={"interactions": True}), "QSD7") is None


def test_the_lists_of_known_users_say_whose_histories_a_clone_reads(sequential_values, result) -> None:
    own = {"interactions": False, "lists": True}
    values = planted(sequential_values, QSD30=0.7)
    reading = renamed(values, QSD=own)
    known = knowledge(reading, "QSD")
    assert known is not None
    assert known.interactions
    assert "for known users, whose histories the clone reads" in known.method
    assert verdict(reading, arrange(reading)).startswith(
        "With 8,640 of the victim’s lists and the histories of the users to whom they are served, the "
    )
    # A clone that knows users by number reads nothing, whatever the victim does.
    rows = [row for row in values["figures"] if row["attack"] != "auxiliary"]
    number = renamed(values | {"figures": rows}, QSD=own)
    assert knowledge(number, "QSD") == knowledge(result, "QSD")
    assert verdict(number, arrange(number)).startswith("With 8,640 of the victim’s lists, the strongest")


def test_groups_say_whose_lists_are_asked_for(sequential_values, result) -> None:
    page, plain = render_html(parse_result(sequential_values)), render_html(result)
    assert "Attacks that make histories of their own ask for nobody’s lists." in page
    assert "asked for as well, but by attacks that make histories of their own." in page
    assert "histories of their own" not in plain
    assert "their lists are asked for as well.</dd>" in plain
    assert "Attacks that ask for lists get" in plain


def test_the_constant_list_is_told_to_need_all_lists(sequential_values) -> None:
    page = render_html(parse_result(sequential_values))
    assert "The constant list is chosen in hindsight, with all of the victim’s lists at hand." in page
    assert "with all of the victim’s lists at hand, which no attack has." in page
    assert "The auxiliary model alone asks the victim nothing." in page
    assert "anybody gets" not in page


NO_TIMES = "The data have no times: histories stand in the file’s order, and the models"
MIDDLE = "most of them cut out of the middle of histories"


@pytest.mark.parametrize(
    ("times", "by", "found"),
    [
        (True, "time", ()),
        (None, None, ()),
        (None, "time", ()),
        (False, "random", (NO_TIMES, MIDDLE, "With times, split.heldout_by=time would judge")),
        (True, "random", (MIDDLE, "next. split.heldout_by=time judges each user’s last items.")),
        (None, "random", (MIDDLE, "Where the data have times, split.heldout_by=time judges")),
    ],
)
def test_histories_without_a_known_order_are_told(sequential_values, values, times, by, found) -> None:
    for one, reads in ((sequential_values, True), (values, False)):
        if times is not None:
            one["data"]["times"] = times
        if by is not None:
            one["spec"]["split"]["heldout_by"] = by
        text = " ".join(notes(one))
        assert [words in text for words in (NO_TIMES, MIDDLE)] == [
            reads and NO_TIMES in found,
            reads and MIDDLE in found,
        ]
        assert not reads or all(words in text for words in found)


def test_membership_of_a_victim_that_reads_histories_tells_of_their_order(membership_values) -> None:
    membership_values["data"]["times"] = False
    membership_values["spec"]["split"] = {"heldout_by": "random"}
    assert NO_TIMES not in " ".join(notes(membership_values))
    for figure in membership_values["figures"]:
        figure["victim"] = "gru4rec"
    text = " ".join(notes(membership_values))
    assert NO_TIMES in text
    assert MIDDLE not in text, "that split is of stealing"


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_picture_has_a_third_series_that_fits(sequential_values, width) -> None:
    root = ET.fromstring(agreement_picture(parse_result(sequential_values), width, "here"))
    assert "PTAQ: 61.3 % for unqueried, 62.3 % for queried, 60.4 % for unseen;" in (root[1].text or "")
    texts = {"".join(one.itertext()) for one in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"Constant list", "Auxiliary", "QSD5(random)", "unseen: unknown to the attacker"} <= texts
