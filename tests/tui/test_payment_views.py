"""The page and the list of payments as data: what they say of made-up payments, and that nothing breaks them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tui import answers
from tests.tui.answers_basics import HOSTILE
from tui import paint
from tui.filters import Unclear
from tui.paint import Line
from tui.views import payment_list as listed
from tui.views import payment_page
from tui.views.payment_books import balances
from tui.views.payment_head import head
from tui.views.payment_page import TABS, Page, as_lines, table
from tui.views.payment_timeline import GAP_SECONDS, length, timeline
from tui.views.table import Row, Table, wrapped

NOW = datetime(2026, 10, 16, 14, 32, 55, tzinfo=UTC)
NAMES = ("unknown", "review", "partly", "settled", "hostile", "failed", "authorized", "canceled", "captured", "capturing")


@cache
def page(name: str) -> Page:
    root = f"/ops/v1/payments/{answers.payment_id(name)}"
    events, decisions = answers.answer(f"{root}/timeline"), answers.answer(f"{root}/routing")
    return Page(payment=answers.answer(root), events=events["data"], decisions=decisions["data"])


def words(lines: tuple[Line, ...] | list[Line]) -> str:
    return "\n".join(paint.plain(one) for one in lines)


def said(row: Row) -> str:
    return " ".join(paint.plain(one) for one in row.cells)


# --- the head ----------------------------------------------------------------------------------------------------------------------------


def test_the_head_of_an_unknown_payment_answers_what_an_operator_asks() -> None:
    text = words(head(page("unknown").payment, NOW, 138))
    for answer in (
        "? OUTCOME_UNKNOWN",
        "249.00 EUR",
        "ours unknown: 249.00 EUR may be captured",
        "psp no such payment yet (inquiry)",
        "stripe → adyen",
        "look #4 at adyen in 00:38",
        "gives up 14:52:00Z in 19:05",
        "then people decide",
        "Why unknown:",
        "12 like it in 15 min",
    ):
        assert answer in text
    assert "MONEY DISAGREES" not in text


def test_opinions_that_contradict_each_other_are_the_headline() -> None:
    lines = head(page("review").payment, NOW, 138)
    assert "MONEY DISAGREES" in paint.plain(lines[1])
    assert lines[1][0].tone == "bad"
    assert "adyen says it captured 1\u2009250.00 EUR" in paint.plain(lines[1])


def test_a_step_that_is_overdue_says_so() -> None:
    text = words(head(page("unknown").payment, NOW + timedelta(minutes=2), 138))
    assert "due 01:22 ago" in text


def test_a_payment_that_is_held_says_by_whom() -> None:
    assert "HELD the live auditor: a posting is missing  since 2026-10-16 14:10:00.000Z by system:auditor" in words(
        head(page("authorized").payment, NOW, 138)
    )


def test_each_currency_has_its_own_exponent() -> None:
    assert "12\u2009800 JPY" in words(head(page("captured").payment, NOW, 138))
    assert "4\u2009500.125 KWD" in words(head(page("capturing").payment, NOW, 138))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cells", [30, 58, 78, 98, 138])
def test_the_head_stays_within_its_width_and_is_short(name: str, cells: int) -> None:
    lines = head(page(name).payment, NOW, cells)
    assert all(paint.width(one) <= cells for one in lines)
    assert len(lines) <= 20


# --- the timeline ------------------------------------------------------------------------------------------------------------------------


def test_silence_is_a_row() -> None:
    made = table("timeline", page("unknown"), NOW)
    gaps = [said(row).strip() for row in made.rows if row.key.startswith("gap")]
    assert gaps == ["┊ 1m 39s  no events", "┊ 4m 11s  no events", "┊ 5m 13s  nothing since"]


def test_an_event_that_came_late_stands_where_it_happened_and_says_when_it_came() -> None:
    made = table("timeline", page("unknown"), NOW)
    late = next(row for row in made.rows if "⇡" in said(row))
    assert said(late).startswith("14:21:11.000 webhook")
    assert "⇡ received 14:25:02" in said(late)


def test_problems_are_marked_and_what_is_beside_them_tells_all_of_the_attempt() -> None:
    made = table("timeline", page("unknown"), NOW)
    problems = [row for row in made.rows if row.problem]
    assert len(problems) == 4
    lost = next(row for row in problems if "OUTCOME UNKNOWN" in said(row))
    beside = words(lost.beside)
    for fact in (
        "8516153423456789",
        "psp key",
        "req_29f2c41d7",
        "read_timeout",
        "ReadTimeout: [type=x, v={'a[0]'}] [/",
        '"payment_method":"[redacted]"',
    ):
        assert fact in beside


def test_nothing_since_is_not_said_of_a_payment_that_is_over() -> None:
    assert not [row for row in table("timeline", page("settled"), NOW).rows if row.key == "gap:now"]


def test_another_day_is_a_row() -> None:
    events = [{"at": "2026-10-15T23:59:59.000Z", "text": "a"}, {"at": "2026-10-16T00:00:01.000Z", "text": "b"}]
    made = timeline({"state": "CAPTURED"}, events, NOW)
    assert [said(row).strip() for row in made.rows if row.across] == ["2026-10-16"]


@given(st.lists(st.integers(0, 200_000), min_size=1, max_size=30))
def test_there_is_a_gap_exactly_where_nothing_was_heard_for_long(milliseconds: list[int]) -> None:
    moments = [NOW + timedelta(milliseconds=sum(milliseconds[:number])) for number in range(len(milliseconds) + 1)]
    made = timeline({"state": "CAPTURED"}, [{"at": one.isoformat(), "text": "x"} for one in moments], NOW)
    gaps = [row for row in made.rows if row.key.startswith("gap")]
    assert len(gaps) == sum(one >= GAP_SECONDS * 1000 for one in milliseconds)
    assert len({row.key for row in made.rows}) == len(made.rows)


@pytest.mark.parametrize(("seconds", "text"), [(31, "31s"), (100, "1m 40s"), (7_500, "2h 05m"), (273_600, "3d 4h")])
def test_a_length_is_said_in_words(seconds: float, text: str) -> None:
    assert length(seconds) == text


# --- the other tabs ----------------------------------------------------------------------------------------------------------------------


def test_routing_says_who_was_chosen_with_which_score_and_who_was_left_out_why() -> None:
    text = "\n".join(said(row) for row in table("routing", page("unknown"), NOW).rows)
    for fact in (
        "rule eu-cards@v14",
        "success 9\u2009140",
        "✓ #1",
        "breaker half-open: takes probes only",
        "declined this payment already",
        "a soft decline lets",
    ):
        assert fact in text


def test_attempts_show_operations_and_disputes_too() -> None:
    text = "\n".join(said(row) for row in table("attempts", page("partly"), NOW).rows)
    for fact in ("attempt 1", "capture", "refund", "? UNKNOWN", "needs_response", "dp_1Q77"):
        assert fact in text


def test_balances_are_shown_and_cancel_out() -> None:
    one = page("settled")
    found = balances(list(one.payment["postings"]))
    assert sum(found.values()) == 0
    assert found["psp:stripe", "EUR"] == 0
    assert "+58.77 EUR" in "\n".join(said(row) for row in table("ledger", one, NOW).rows)


def test_a_capture_without_a_posting_is_alarming() -> None:
    made = table("ledger", Page(payment={"amount_captured": 100}), NOW)
    assert "run the books check" in paint.plain(made.empty)


def test_what_may_not_be_done_says_why() -> None:
    text = "\n".join(said(row) for row in table("actions", page("unknown"), NOW).rows)
    assert "✓ allowed" in text
    assert "is open: approve or reject it" in text
    assert "INC-4412: shopper confirms the debit" in text


def test_the_page_as_text_has_every_tab() -> None:
    text = payment_page.text(page("unknown"), NOW)
    for _, title, _columns in TABS:
        assert f"\n{title}\n" in text
    assert max(len(line) for line in text.splitlines()) <= payment_page.TEXT_CELLS + 1


def test_what_is_copied_is_what_is_asked_for_in_an_incident() -> None:
    found = dict(payment_page.copies(page("unknown").payment))
    assert found["psp reference"] == "8516153423456789"
    assert found["request id"] == "req_29f2c41d7"
    assert found["command that opens it"].startswith(":pay pay_")


# --- whatever comes ----------------------------------------------------------------------------------------------------------------------

TAB_NAMES = [name for name, _, _ in TABS]


def printable(text: str) -> bool:
    """Nothing but characters of the visible kind; the thin space between groups of digits is ours."""
    return text.replace(paint.GROUP, " ").isprintable()


def harmless(made: Table) -> None:
    for row in made.rows:
        for one in (*row.cells, *row.beside):
            for piece in one:
                assert printable(piece.text), piece
    assert len({row.key for row in made.rows}) == len(made.rows)


@pytest.mark.parametrize("tab", TAB_NAMES)
@pytest.mark.parametrize("name", NAMES)
def test_no_field_reaches_the_screen_raw(tab: str, name: str) -> None:
    made = table(tab, page(name), NOW)
    harmless(made)
    assert all(len(row.cells) == len(made.columns) for row in made.rows if not row.across)
    assert all(paint.width(one) <= 132 for one in as_lines(made, 132) if one)


def anything(depth: int = 2) -> st.SearchStrategy[Any]:
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-(10**15), 10**15)
        | st.floats(allow_nan=True)
        | st.sampled_from(HOSTILE)
        | st.text(max_size=12)
    )
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=4 * depth
    )


MEMBERS = sorted({name for one in NAMES for name in page(one).payment})


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.sampled_from(MEMBERS), anything(), max_size=6), st.sampled_from(NAMES))
def test_a_page_of_any_shape_is_shown(members: dict[str, Any], name: str) -> None:
    one = page(name)
    odd = Page(payment={**one.payment, **members}, events=one.events, decisions=one.decisions)
    for tab in TAB_NAMES:
        for row in table(tab, odd, NOW).rows:
            assert all(printable(piece.text) for cell in (*row.cells, *row.beside) for piece in cell)
    assert all(paint.width(line) <= 78 for line in head(odd.payment, NOW, 78))
    assert payment_page.copies(odd.payment) is not None


@settings(deadline=None)
@given(st.lists(st.sampled_from(HOSTILE) | st.text(max_size=60), max_size=6), st.integers(4, 140), st.integers(1, 4))
def test_a_wrapped_line_keeps_its_width_and_loses_no_word_without_a_sign(texts: list[str], cells: int, most: int) -> None:
    whole = paint.line(*texts)
    lines = wrapped(whole, cells, most)
    assert len(lines) <= most
    assert all(paint.width(one) <= cells for one in lines)
    kept = "".join(paint.plain(one) for one in lines).replace(" ", "")
    assert kept == paint.plain(whole).replace(" ", "") or "…" in kept


# --- the list ----------------------------------------------------------------------------------------------------------------------------


def asked(text: str) -> dict[str, str]:
    return dict(listed.question(text, NOW).query)


def test_a_filter_goes_to_the_server_as_far_as_it_understands_it() -> None:
    assert asked("state:unknown psp:adyen") == {"state": "OUTCOME_UNKNOWN", "connector": "adyen"}
    assert asked("state:unknown,review state:failed") == {"state": "OUTCOME_UNKNOWN,MANUAL_REVIEW,FAILED"}
    assert asked("since:2h blue shoes") == {"created_from": "2026-10-16T12:32:55Z", "q": "blue shoes"}


def test_amounts_go_there_only_beside_a_currency() -> None:
    assert asked("cur:eur >100 <200.505") == {"currency": "EUR", "amount_min": "10001", "amount_max": "20050"}
    assert asked("cur:JPY >100") == {"currency": "JPY", "amount_min": "101"}
    rest = listed.question(">100", NOW)
    assert not rest.query
    assert rest.words == ">100"
    assert rest.keeps({"amount": 100_01, "currency": "EUR"})
    assert not rest.keeps({"amount": 100_00, "currency": "EUR"})


def test_what_is_judged_here_is_said() -> None:
    rest = listed.question("psp:adyen !state:failed ~^A-1 psp:stripe", NOW)
    assert rest.query == {}
    text = paint.plain(listed.above(rest, "..."))
    assert "judged here, among what is loaded" in text
    assert "!state:FAILED" in text
    row = {"state": "CAPTURED", "reference": "A-1", "connector": "adyen"}
    assert not rest.keeps({**row, "state": "FAILED"})
    assert not rest.keeps({**row, "connector": "paypal"})


@pytest.mark.parametrize("text", ["colour:red", "since:yesterday", "!since:2h", "amount_min:1 amount_min:2", '"open'])
def test_a_filter_that_means_nothing_says_what_can_be_typed(text: str) -> None:
    with pytest.raises(Unclear):
        listed.question(text, NOW)


@settings(deadline=None)
@given(st.text(max_size=40) | st.sampled_from(HOSTILE).map(lambda one: one[:300]))
def test_any_typing_is_understood_or_refused(text: str) -> None:
    try:
        listed.question(text, NOW)
    except Unclear:
        return


def test_a_live_event_changes_the_row_that_it_is_about() -> None:
    row = answers.answer("/ops/v1/payments")["data"][0]
    about = {
        "id": row["id"],
        "state": "CAPTURED",
        "amount": {"amount": 1, "currency": "EUR"},
        "connector": "paypal",
        "merchant_id": "m",
        "held": True,
    }
    event = {"at": "2026-10-16T14:33:00.000Z", "payment": about}
    new = listed.patched(row, event)
    assert new is not None
    assert (new["state"], new["connector"], new["held"], new["updated_at"]) == ("CAPTURED", "paypal", True, event["at"])
    assert listed.is_problem(new)
    assert listed.patched(row, {**event, "payment": {**about, "id": "pay_other"}}) is None
    assert listed.patched(row, {"payment": None}) is None


def test_a_row_as_text_has_no_escape_in_it() -> None:
    rows = [one for one in answers.answer("/ops/v1/payments")["data"] if one["id"] == answers.payment_id("hostile")]
    assert "\x1b" not in listed.as_row_text(rows[0])
