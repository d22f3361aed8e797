"""Connectors, a connector's page, and a comparison of routing rules as data: what they say, and that nothing breaks them."""

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
from tui.views import connector_tables as tables
from tui.views import connectors as listed
from tui.views import routing
from tui.widgets.rows import Column

NOW = datetime(2026, 10, 16, 14, 32, 55, tzinfo=UTC)
ADYEN = answers.answer("/ops/v1/connectors/adyen")
STRIPE = answers.answer("/ops/v1/connectors/stripe")
META = answers.answer("/ops/v1/meta")
COMPARED = answers.answer("/ops/v1/routing/simulations")


def said(lines: Any) -> str:
    return "\n".join(paint.plain(one).rstrip() for one in lines).replace(paint.GROUP, " ")


def drawn(columns: tuple[Column, ...], row: Any) -> str:
    return " ".join(paint.plain(column.draw(row)).strip() for column in columns).replace(paint.GROUP, " ")


# --- lists and the head ----------------------------------------------------------------------------------------------------------------


def test_a_row_says_how_it_stands_and_what_waits() -> None:
    rows = listed.rows([STRIPE, ADYEN], NOW, 2_500)
    assert drawn(listed.LIST, rows[0]) == "stripe ● closed 97.2% 180 510 920 41 7 0 2 ██████   71%"
    assert drawn(listed.LIST, rows[1]) == "adyen ✕ open 18s 61.0% 410 4 400 9 800 0.4 0 12 31 0%"
    p99 = next(column for column in listed.LIST if column.key == "p99")
    assert [p99.draw(row)[0].tone for row in rows] == ["", "bad"]
    assert [listed.is_problem(row) for row in rows] == [False, True]


def test_another_breaker_than_that_of_authorisations_is_counted() -> None:
    refunds = {**STRIPE, "circuits": {**STRIPE["circuits"], "refund": {**STRIPE["circuits"]["refund"], "mode": "forced_open"}}}
    assert paint.plain(listed.state_of(refunds, NOW)) == "● closed +1"


def test_a_breaker_that_is_forced_is_never_coloured_as_well() -> None:
    forced = listed.mode("forced_closed", "2026-10-16T14:47:55.000Z", NOW)
    assert paint.plain(forced) == "◐ forced closed 15:00"
    assert forced[0].tone == "warn"


def test_a_drained_connector_says_until_when_by_whom_and_why() -> None:
    drained = {
        **STRIPE,
        "state": "draining",
        "draining": {"until": "2026-10-16T15:02:55.000Z", "reason": "their maintenance", "by": "ana"},
    }
    text = said(listed.head(drained, NOW, 138))
    assert "◐ draining 30:00" in text
    assert "takes no new payments until 15:02:55Z in 30:00, by ana: their maintenance" in text


def test_the_head_answers_what_an_operator_asks() -> None:
    text = said(listed.head(ADYEN, NOW, 138))
    for fact in (
        "adyen  ✕ open 18s   why 8 of 20 failed",
        "p50 410 ms  p90 4.40s  p99 9.80s  SLO 2.50s",
        "in flight 0 over 16 connections, 0 wait for one",
        "mailbox 1 of 1 000",
        "retry budget 11.5 of 100",
        "dead letters 31",
        "unknown outcomes 12",
        "webhook lag —",
    ):
        assert fact in text


def test_what_is_beside_the_list_has_every_breaker() -> None:
    text = said(listed.beside(ADYEN, NOW))
    assert "authorize  ✕ open 18s" in text
    assert "8 of 20 failed, read_timeout" in text
    assert [name for name in listed.OPERATIONS if f"\n{name} " in text] == list(listed.OPERATIONS)


@pytest.mark.parametrize("cells", [38, 58, 78, 98, 138, 198])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_the_page_stays_within_its_width(cells: int, rows: int) -> None:
    lines = [*listed.head(ADYEN, NOW, cells), *listed.charts(ADYEN, cells, rows)]
    assert all(paint.width(one) <= cells for one in lines)
    assert len(listed.charts(ADYEN, cells, rows, 2)) == 1 + rows


def test_the_slo_is_a_line_and_what_was_not_measured_a_gap() -> None:
    lines = listed.charts(ADYEN, 138, 3)
    assert "─ SLO 2.50s" in paint.plain(lines[0])
    assert "─" * 50 in paint.plain(lines[2])
    assert [piece.tone for piece in lines[1] if "█" in piece.text] == ["bad"]
    assert "█ █" in paint.plain(lines[3])
    unmeasured = {**ADYEN, "series": {}}
    assert said(listed.charts(unmeasured, 138, 3)).count("nothing measured in the last hour") == 4


@pytest.mark.parametrize(("most", "full"), [(0, 10), (10, 10), (11, 20), (49, 50), (101, 200), (7_000, 10_000)])
def test_the_scale_of_calls_changes_seldom(most: int, full: int) -> None:
    assert listed.round_up(most) == full


# --- tables ----------------------------------------------------------------------------------------------------------------------------


def test_the_breakers_say_their_window_and_when_they_are_tried() -> None:
    rows = tables.rows("breakers", ADYEN, NOW)
    assert drawn(tables.COLUMNS["breakers"], rows[0]) == (
        "authorize ✕ open 18s 8 of 20 1 7 14:30:45 probe 14:33:13 read_timeout 8 of 20 failed system"
    )
    assert [row["operation"] for row in rows] == list(listed.OPERATIONS)


def test_errors_have_a_class_a_code_a_share_and_a_payment() -> None:
    rows = tables.rows("errors", ADYEN, NOW)
    assert drawn(tables.COLUMNS["errors"], rows[0]).startswith("UNKNOWN_OUTCOME read_timeout 7 ███████  88% pay_01m5")
    assert "No call of the last hour went wrong" in paint.plain(tables.nothing("errors", STRIPE))
    assert paint.plain(tables.nothing("errors", {})) == "asking the server"


def test_transitions_and_decisions_are_bounded_and_say_why() -> None:
    many = {**ADYEN, "transitions": ADYEN["transitions"] * 30, "decisions": ADYEN["decisions"] * 30}
    changes = tables.rows("transitions", many, NOW)
    assert len(changes) == tables.TRANSITIONS_MOST
    assert drawn(tables.COLUMNS["transitions"], changes[0]).startswith("10-16 14:30:45 authorize closed → open 8 of 20 failed (read")
    decisions = tables.rows("decisions", many, NOW)
    assert len(decisions) == tables.DECISIONS_MOST
    assert len({row["key"] for row in decisions}) == len(decisions)
    assert dict(tables.titles(many))["decisions"] == "Decisions 50"


@pytest.mark.parametrize(
    ("decision", "verdict"),
    [
        ({"chosen": "adyen", "position": 1, "excluded": None}, "● for: first went to adyen"),
        ({"chosen": "stripe", "position": 2, "excluded": None}, "◇ for: place 2 went to stripe"),
        ({"chosen": "stripe", "position": None, "excluded": "breaker open"}, "✕ against breaker open"),
        ({"chosen": "stripe", "position": None, "excluded": None}, "· not asked went to stripe"),
        ({"chosen": None, "position": None, "excluded": None}, "· not asked nobody could take it"),
    ],
)
def test_a_decision_is_for_or_against(decision: dict[str, Any], verdict: str) -> None:
    row = tables.rows("decisions", {"name": "adyen", "decisions": [decision]}, NOW)[0]
    assert drawn(tables.COLUMNS["decisions"][2:], row) == verdict


def test_an_export_has_all_tables() -> None:
    text = tables.text(ADYEN, NOW)
    for part in ("Breakers", "Errors", "read_timeout", "Transitions", "closed → open", "Decisions", "against"):
        assert part in text


# --- actions ---------------------------------------------------------------------------------------------------------------------------


def test_actions_of_one_breaker_and_of_the_connector() -> None:
    some = listed.actions(ADYEN, META, "refund")
    assert {one["subject"] for one in some} == {"adyen", "adyen/refund"}
    assert len(listed.actions(ADYEN, META)) == len(ADYEN["actions"])


def test_without_the_servers_list_there_are_the_actions_that_it_knows() -> None:
    row = {name: value for name, value in ADYEN.items() if name != "actions"}
    offered = {(one["action"], one["subject"]) for one in listed.actions(row, META)}
    assert ("breaker.force_open", "adyen/refund") in offered
    assert ("connector.drain", "adyen") in offered
    assert not [subject for _, subject in offered if not subject.startswith("adyen")]


# --- other rules -----------------------------------------------------------------------------------------------------------------------


def test_without_a_connector_means_out_of_the_default_order() -> None:
    book = {"default": ["stripe", "adyen"], "rules": [{"name": "eu", "prefer": ["adyen"]}, {"name": "half", "split": {"adyen": 50}}]}
    assert routing.changes_without("adyen", book) == {"changes": {"default": ["stripe"]}}
    assert routing.naming("adyen", book) == ["eu", "half"]
    assert routing.naming("stripe", book) == []
    assert routing.changes_without("stripe", {"default": ["stripe"]}) is None


def test_the_comparison_says_what_would_have_been() -> None:
    text = " ".join(said(routing.comparison(COMPARED, "without adyen", ["eu-cards"])).split())
    for fact in (
        "tried without adyen decisions of 2026-10-15 14:32Z to 2026-10-16 14:32Z; nothing is changed by this",
        "these rules name it themselves and stay as they are: eu-cards",
        "first at adyen 1 160 28.2% 0 0.0%",
        "first at stripe 2 925 71.0% 4 085 99.2%",
        "nobody could take it 35 0.8% 35 0.8%",
        "expected approvals 93.12% 92.40%",
        "expected fees, EUR 1 204.50 EUR 1 310.25 EUR",
        "1 160 of 4 120 payments would begin at somebody else; 310 more differ behind the first",
        "adyen → stripe",
    ):
        assert fact in text


def test_nothing_to_compare_says_why() -> None:
    nothing = {**COMPARED, "payments": 0, "not_replayable": 7}
    assert "cannot be made again" not in said(routing.comparison(COMPARED, "x"))
    assert "No decision of that time can be made again: 7 do not say what they were made from" in said(routing.comparison(nothing, "x"))


def test_the_only_connector_cannot_be_left_out() -> None:
    rows = routing.choices(["stripe"])
    assert rows[0]["why_not"] == "it is the only connector"
    assert [row["key"] for row in routing.choices(["a", "b"])] == ["without a", "without b", "a rules file"]


# --- whatever comes --------------------------------------------------------------------------------------------------------------------


@given(changed_somewhere(ADYEN), st.sampled_from([38, 78, 138]))
@settings(max_examples=150)
def test_no_answer_breaks_the_page(page: Any, cells: int) -> None:
    lines = [*listed.head(page, NOW, cells), *listed.charts(page, cells, 2), *listed.beside(page, NOW)]
    assert all(paint.width(one) <= cells for one in lines[: -len(listed.beside(page, NOW)) or None])
    drawn(listed.LIST, listed.rows([page], NOW, 2_500)[0])
    listed.actions(page, META)
    tables.titles(page)
    for name, _ in tables.TABS:
        for row in tables.rows(name, page, NOW):
            drawn(tables.COLUMNS[name], row)
            tables.detail(row)


@given(changed_somewhere(COMPARED))
@settings(max_examples=150)
def test_no_comparison_breaks_the_window(found: Any) -> None:
    routing.comparison(found, "x")


@pytest.mark.parametrize("text", HOSTILE)
def test_harmful_text_is_harmless_in_every_cell(text: str) -> None:
    circuit = {**ADYEN["circuits"]["authorize"], **dict.fromkeys(("mode", "reason", "code", "by"), text)}
    page = {
        **ADYEN,
        "name": text,
        "state": text,
        "circuits": {"authorize": circuit, text: circuit},
        "draining": {"until": text, "reason": text, "by": text},
        "errors": [{**ADYEN["errors"][0], "class": text, "code": text, "payment_id": text}],
        "transitions": [{**ADYEN["transitions"][0], **dict.fromkeys(("operation", "from", "to", "reason", "by", "cause"), text)}],
        "decisions": [{"at": text, "payment_id": text, "chosen": text, "position": 1, "excluded": text}],
    }
    lines = [*listed.head(page, NOW, 138), *listed.beside(page, NOW)]
    for name, _ in tables.TABS:
        lines += [column.draw(row) for row in tables.rows(name, page, NOW) for column in tables.COLUMNS[name]]
    found = {**COMPARED, "examples": [{"payment": text, "before": text, "after": text}], "before": {"first": {text: 1}}}
    lines += routing.comparison(found, text, [text])
    assert all(paint.plain(one).replace(paint.GROUP, " ").isprintable() for one in lines)
