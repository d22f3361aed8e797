"""The overview and the live list as data: what they say of made-up figures, where their rows lead, and that nothing breaks them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tui import answers
from tests.tui.answers_basics import HOSTILE
from tests.tui.mutations import changed_somewhere
from tui import paint
from tui.places import Place
from tui.views import live
from tui.views import overview as seen
from tui.views.overview import Moment
from tui.widgets.rows import Column

NOW = datetime(2026, 10, 16, 14, 32, 55, tzinfo=UTC)
MOMENT = Moment(now=NOW, age=0.4)
SNAPSHOT = answers.answer("/ops/v1/snapshot")
OVERVIEW = SNAPSHOT["overview"]
WIDTHS = (20, 58, 62, 78, 98, 118, 138, 198)


def words(overview: Any, name: str, moment: Moment = MOMENT) -> str:
    tile = next(one for one in seen.tiles(overview, moment) if one.name == name)
    return f"{paint.plain(tile.figure)} | {paint.plain(tile.note)}".replace(paint.GROUP, " ")


def with_tile(name: str, **figures: Any) -> dict[str, Any]:
    return {**OVERVIEW, "tiles": {**OVERVIEW["tiles"], name: {**OVERVIEW["tiles"][name], **figures}}}


def drawn(columns: tuple[Column, ...], row: Any) -> str:
    return " ".join(paint.plain(column.draw(row)).strip() for column in columns).replace(paint.GROUP, " ")


# --- tiles ---------------------------------------------------------------------------------------------------------------------------


def test_the_tiles_say_what_an_operator_asks_first() -> None:
    assert words(OVERVIEW, "rate") == "91.4%  of 4 120 | ▼ 3.1 pt against 1 h"
    assert words(OVERVIEW, "unknown") == "12  oldest 07:41 | at risk 3 911.20 EUR"
    assert words(OVERVIEW, "authorize") == "ours 9 ms PSP 1.41s | p99 1.92s SLO 2.50s"
    assert words(OVERVIEW, "queues") == "mailboxes 3 inbox 0 | outbox 14 dead 37"
    assert words(OVERVIEW, "mismatches") == "99.93%  4 open | gross 1 404.50 EUR"
    assert words(OVERVIEW, "approvals") == "2 wait, 1 of mine | 1 reviews due"


def test_a_figure_that_nobody_knows_says_why() -> None:
    nothing = with_tile("authorization_rate", percent=None, change_points=None, count=0)
    assert words(nothing, "rate") == "— | none in 5 min, since 06:00Z"
    quiet = with_tile("authorize", p99_ms=None, platform_p95_ms=None, psp_p95_ms=None)
    assert words(quiet, "authorize") == "— | no calls in 5 min, since 06:00Z"
    assert words(with_tile("mismatches", day=None, open=0), "mismatches") == "0 open | no day was matched yet"
    assert words(with_tile("unknown", count=0), "unknown") == "0 | every outcome is known"
    assert words(with_tile("unknown", count=None), "unknown") == "— | not counted"


def test_what_is_wrong_is_coloured_and_what_is_well_is_not() -> None:
    def tone(name: str, overview: Any) -> str:
        return next(one for one in seen.tiles(overview, MOMENT) if one.name == name).figure[0].tone

    assert [tone("rate", with_tile("authorization_rate", change_points=one)) for one in (-2.0, -1.0, 0.5)] == ["bad", "warn", "good"]
    late = seen.tiles(with_tile("authorize", p99_ms=2_501), MOMENT)[2].note
    assert [piece.tone for piece in late if "2.50s" in piece.text] == ["bad", ""]


def test_each_tile_has_an_age_and_stale_ones_the_time_instead() -> None:
    title = paint.plain(seen.strip(seen.tiles(OVERVIEW, MOMENT), MOMENT, 138, 40)[0])
    assert title.count("00s") == 6
    stale = Moment(now=NOW, age=47, as_of="14:31:07Z")
    titles = [paint.plain(one) for one in seen.strip(seen.tiles(OVERVIEW, stale), stale, 78, 24)]
    assert sum(one.count("14:31:07Z") for one in titles) == 6


@pytest.mark.parametrize("cells", WIDTHS)
@pytest.mark.parametrize("height", [18, 24, 30, 40])
def test_the_strip_is_as_wide_as_it_may_be(cells: int, height: int) -> None:
    lines = seen.strip(seen.tiles(OVERVIEW, MOMENT), MOMENT, cells, height)
    assert all(paint.width(one) <= cells for one in lines)
    assert len({paint.width(one) for one in lines}) == 1


@given(changed_somewhere(OVERVIEW), st.sampled_from(WIDTHS), st.sampled_from([18, 24, 40]))
@settings(max_examples=150)
def test_no_answer_breaks_the_tiles(overview: Any, cells: int, height: int) -> None:
    if isinstance(overview, dict):
        lines = seen.strip(seen.tiles(overview, MOMENT), MOMENT, cells, height)
        assert all(paint.width(one) <= cells for one in lines)


@pytest.mark.parametrize(("cells", "height"), [(138, 40), (98, 30), (78, 24)])
def test_a_click_finds_its_tile(cells: int, height: int) -> None:
    made = seen.tiles(OVERVIEW, MOMENT)
    lines = seen.strip(made, MOMENT, cells, height)
    for tile in made:
        y = next(number for number, one in enumerate(lines) if tile.title in paint.plain(one))
        x = paint.plain(lines[y]).index(tile.title)
        assert seen.tile_at(made, cells, height, x, y) is tile
        assert seen.tile_at(made, cells, height, x + 3, y + 2) is tile
    assert seen.tile_at(made, cells, height, 0, len(lines)) is None


# --- what needs attention ----------------------------------------------------------------------------------------------------------------


def test_attention_keeps_the_servers_order_and_says_the_age() -> None:
    rows = seen.attention(OVERVIEW, NOW)
    assert [row["what"] for row in rows] == [one["what"] for one in OVERVIEW["attention"]]
    assert drawn(seen.ATTENTION, rows[0]) == "✕ critical breaker open: adyen authorize 1 18 400.00 EUR 02:10"
    assert drawn(seen.ATTENTION, rows[5]) == "◐ warning open dead letters 37 — 5h18"


def test_a_row_keeps_its_key_while_its_figures_change() -> None:
    def keys(attention: list[Any]) -> list[str]:
        return [row["key"] for row in seen.attention({"attention": attention}, NOW)]

    before = OVERVIEW["attention"]
    after = [{**one, "count": 99, "what": one["what"] + ", and more"} for one in before]
    assert keys(before) == keys(after)
    twice = keys([*before, before[0]])
    assert len(set(twice)) == len(twice)


@pytest.mark.parametrize(
    ("view", "place"),
    [
        ({"screen": "payments", "filter": "state:OUTCOME_UNKNOWN", "id": None}, Place("payments", None, "state:OUTCOME_UNKNOWN")),
        ({"screen": "connector", "filter": None, "id": "adyen"}, Place("connector", "adyen")),
        ({"screen": "connectors", "filter": None, "id": None}, Place("connectors")),
        ({"screen": "reconciliation", "filter": "day:2026-10-16", "id": "2026-10-16/stripe"}, Place("day", "2026-10-16/stripe")),
        ({"screen": "dead_letters", "filter": "fingerprint:a/b", "id": "a/b"}, Place("dead_letter_group", "a/b")),
        ({"screen": "dead_letters", "filter": None, "id": None}, Place("dead_letters")),
        ({"screen": "approvals", "filter": None, "id": None}, Place("approvals")),
        ({"screen": "audit", "filter": None, "id": None}, Place("audit")),
        ({"screen": "weather", "filter": None, "id": None}, None),
        (None, None),
    ],
)
def test_a_concern_leads_to_where_it_is_seen(view: Any, place: Place | None) -> None:
    assert seen.place_of({"view": view}) == place


def test_a_sentence_that_is_cut_is_said_in_whole() -> None:
    row = {"what": "adyen: calls to authorize are kept back, the breaker is open (8 of 20 failed); it had 28 % of the traffic"}
    assert seen.whole_sentence(row, 200, 198) == []
    assert paint.plain(seen.whole_sentence(row, 72, 138)[0]) == row["what"]
    assert all(paint.width(one) <= 58 for one in seen.whole_sentence(row, 60, 58))


def test_nothing_wrong_and_nothing_known_are_two_things() -> None:
    assert "Nothing needs attention" in paint.plain(seen.nothing_wrong(OVERVIEW))
    befores: list[dict[str, Any] | None] = [None, {}, {"tiles": {}}, {"attention": None}]
    for before in befores:
        assert paint.plain(seen.nothing_wrong(before)) == "connecting\u2026", "nobody has said yet that nothing is wrong"


# --- live ------------------------------------------------------------------------------------------------------------------------------


def events() -> list[dict[str, Any]]:
    return answers.stream()


def test_of_payments_only_changes_are_shown_unless_one_asks() -> None:
    shown = live.shown(events(), live.CHANGES)
    assert {row["event"] for row in shown if row["kind"] == "payment"} == {"ProviderCharged", "OutcomeLost"}
    assert not [row for row in shown if row["kind"] == "routing"]
    assert len(live.shown(events(), live.EVERYTHING)) == 60
    assert {row["kind"] for row in live.shown(events(), "dead_letter")} == {"dead_letter"}


def test_the_newest_is_first_and_a_gap_is_never_left_out() -> None:
    gap = {"kind": "gap", "position": 88_214, "at": "2026-10-16T14:32:00.000Z", "text": "the stream had a gap here"}
    for choice in (live.CHANGES, "audit"):
        assert live.shown([gap, *events()], choice)[-1] is gap
    positions = [row["position"] for row in live.shown(events(), live.EVERYTHING)]
    assert positions == sorted(positions, reverse=True)
    assert "the stream had a gap here" in paint.plain(live.across(gap) or ())
    assert live.key(gap) != live.key(events()[0])


def test_a_change_says_from_what_to_what_and_how_much() -> None:
    assert paint.plain(live.what(events()[3])).replace(paint.GROUP, " ").startswith("AUTHORIZING → OUTCOME_UNKNOWN   ")
    assert "EUR" in paint.plain(live.what(events()[3]))
    assert paint.plain(live.what(events()[4])) == "closed → open   adyen authorize: 8 of 20 failed"
    assert paint.plain(live.what(events()[5])) == "a webhook of adyen was laid aside: signature_invalid"


def test_kinds_can_be_chosen_with_how_many_there_are_of_each() -> None:
    counts = {row["key"]: row["count"] for row in live.choices([*events(), {"kind": "weather"}])}
    assert counts[live.EVERYTHING] == "61"
    assert counts["connector"] == "5"
    assert counts["weather"] == "1"


@pytest.mark.parametrize(
    ("event", "place"),
    [
        ({"kind": "payment", "subject_id": "pay_1"}, Place("payment", "pay_1")),
        ({"kind": "routing", "subject_id": "pay_1"}, Place("payment", "pay_1")),
        ({"kind": "routing", "subject_id": "rou_1"}, Place("routing")),
        ({"kind": "connector", "subject_id": "adyen/authorize", "connector": None}, Place("connector", "adyen")),
        ({"kind": "connector", "subject_id": "con_1", "connector": "adyen"}, Place("connector", "adyen")),
        ({"kind": "action", "subject_id": "act_1"}, Place("action", "act_1")),
        ({"kind": "dead_letter", "subject_id": "dlq_1"}, Place("dead_letter", "dlq_1")),
        ({"kind": "reconciliation", "subject_id": "fnd_1"}, Place("reconciliation")),
        ({"kind": "identity", "subject_id": "opr_1"}, Place("audit", None, "subject:opr_1")),
        ({"kind": "payment", "subject_id": "dsp_1"}, Place("audit", None, "subject:dsp_1")),
        ({"kind": "gap", "position": 4}, None),
    ],
)
def test_an_event_leads_to_its_subject(event: dict[str, Any], place: Place | None) -> None:
    assert live.place_of(event) == place


def test_an_empty_live_list_says_why() -> None:
    assert "nothing has happened since this console connected" in paint.plain(live.nothing(live.CHANGES, ()))
    assert "None of the last 60 events is about this: endpoint" in paint.plain(live.nothing("endpoint", events()))


@given(changed_somewhere(answers.stream()[3]))
@settings(max_examples=150)
def test_no_event_breaks_the_list(event: Any) -> None:
    if isinstance(event, dict):
        for row in live.shown([event], live.EVERYTHING):
            drawn(live.COLUMNS, row)
            live.place_of(row)
        live.choices([event])


@pytest.mark.parametrize("text", HOSTILE)
def test_harmful_text_is_harmless_in_every_cell(text: str) -> None:
    event = {**events()[3], **dict.fromkeys(("kind", "subject_id", "actor", "text", "change"), text), "connector": text}
    trouble = {"severity": text, "what": text, "count": 1, "at_risk": [{"amount": 1, "currency": text}], "since": text, "view": {}}
    for said in (drawn(live.COLUMNS, event), drawn(seen.ATTENTION, seen.attention({"attention": [trouble]}, NOW)[0])):
        assert said.isprintable()
