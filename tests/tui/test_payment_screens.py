"""The list of payments and a payment's page as people use them: how they look at four sizes, and what keys, clicks and the stream do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.tui import answers
from tests.tui.answers_basics import HOSTILE
from tests.tui.pictures import FOLDER, NOW, RENEW, Then, check, press, settle
from tests.tui.world import FakeSource
from tui import paint, places
from tui.api import Problem
from tui.app import Console
from tui.clock import StandingClock
from tui.messages import Happened, Link, Message, Snapshot
from tui.places import Place
from tui.screens.base import View
from tui.screens.payment import PaymentView
from tui.screens.payments import PaymentsView
from tui.views.payment_page import TABS
from tui.widgets.modal import Reading
from tui.widgets.tabs import TabLine
from tui.widgets.vlist import VList

MESSAGES: Sequence[Message] = (Link(state="live"), Snapshot(data=answers.answer("/ops/v1/snapshot")))
PAGES = answers.pages()
UNKNOWN = answers.payment_id("unknown")


def used(
    at: str,
    then: Then,
    *,
    pages: dict[tuple[str, str], Any] | None = None,
    size: tuple[int, int] = (140, 40),
    writes: bool = True,
    **options: Any,
) -> FakeSource:
    """A console on the made-up platform, opened there, in the hands of `then`."""
    source = FakeSource(pages or PAGES, MESSAGES, writes=writes)

    async def scenario() -> None:
        console = Console(source, StandingClock(NOW), at=places.place(at), ticking=False, **options)
        async with console.run_test(size=size, notifications=False) as pilot:
            await settle(console, pilot)
            await then(console, pilot)
            if console.is_running:
                console.grid()  # whatever is shown in the end can be drawn

    asyncio.run(scenario())
    return source


def event(about: dict[str, Any], position: int = 90_000, **more: Any) -> Happened:
    """Something happened to that payment."""
    told = {**about, "amount": {"amount": about["amount"], "currency": about["currency"]}, "held": False}
    base = {"position": position, "at": "2026-10-16T14:33:09.000Z", "kind": "payment", "event": "ResolvedCharged", "stream": "payment"}
    return Happened(event={**base, "subject_id": about["id"], "sequence": 9, "text": "resolved", "tone": "good", "payment": told, **more})


def list_row(identity: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = answers.answer("/ops/v1/payments")["data"]
    return next(row for row in rows if row["id"] == identity)


# --- how they look -----------------------------------------------------------------------------------------------------------------------


def test_the_list_looks_like_this() -> None:
    check("payment-list", at="payments", pages=PAGES, messages=MESSAGES)


def test_an_unknown_payment_looks_like_this() -> None:
    check("payment-unknown", at=f"pay {UNKNOWN}", pages=PAGES, messages=MESSAGES, keys=("n", "n"))


def test_contradicting_opinions_look_like_this() -> None:
    check("payment-review", at=f"pay {answers.payment_id('review')}", pages=PAGES, messages=MESSAGES, sizes=((140, 40), (80, 24)))


@pytest.mark.parametrize("size", [(140, 40), (80, 24)])
@pytest.mark.parametrize("name", ["unknown", "partly"])
def test_the_tables_look_like_this(name: str, size: tuple[int, int]) -> None:
    grids: dict[str, str] = {}

    async def then(console: Console, pilot: Pilot[None]) -> None:
        for tab, _, _ in TABS[1:]:
            await press(console, pilot, "full_stop")
            grids[f"payment-{name}-{tab}-{size[0]}x{size[1]}.txt"] = console.grid()

    used(f"pay {answers.payment_id(name)}", then, size=size)
    compared(grids)


def compared(grids: dict[str, str]) -> None:
    """As `check` does, for screens of one run."""
    if os.environ.get(RENEW):
        for file, grid in grids.items():
            (FOLDER / file).write_text(grid)
    wrong = [f"{file} is different; this is shown now:\n{grid}" for file, grid in grids.items() if (FOLDER / file).read_text() != grid]
    assert not wrong, "\n".join(wrong) + f"\nrenew with {RENEW}=1 and read the diff"


def test_it_looks_like_this_in_ascii() -> None:
    check("payment-ascii", at=f"pay {UNKNOWN}", pages=PAGES, messages=MESSAGES, sizes=((100, 30),), ascii_only=True)


@pytest.mark.parametrize(("size", "ascii_only"), [((140, 40), False), ((80, 24), True)])
def test_harmful_text_is_shown_and_does_nothing(size: tuple[int, int], ascii_only: bool) -> None:
    """Every field of free text of one payment is markup, an escape sequence, or an invisible character."""

    async def then(console: Console, pilot: Pilot[None]) -> None:
        for tab, _, _ in TABS:
            assert not [one for one in console.grid().replace(paint.GROUP, " ").replace("\n", " ") if not one.isprintable()], tab
            await pilot.click(f"#{tab}", offset=(28, 3))
            await press(console, pilot, "enter")
            if isinstance(console.screen, Reading):
                await press(console, pilot, "escape")
            await press(console, pilot, "full_stop")
        assert console.is_running
        assert not console.clipboard

    used(f"pay {answers.payment_id('hostile')}", then, size=size, ascii_only=ascii_only)


def test_harmful_text_in_the_list_and_in_its_filter_does_nothing() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        for bad in HOSTILE[:8]:
            assert isinstance(console.screen, PaymentsView)
            console.screen.set_filter(bad)
            await settle(console, pilot, 1)
            assert not [one for one in console.grid().replace(paint.GROUP, " ").replace("\n", " ") if not one.isprintable()], bad
        assert console.is_running

    used("payments", then)


# --- the list ----------------------------------------------------------------------------------------------------------------------------


def test_a_filter_is_asked_of_the_server_and_the_rest_is_judged_here() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "slash", *"psp:adyen >100", "enter")
        console.clock.forward(2)  # type: ignore[attr-defined]
        await settle(console, pilot)
        grid = console.grid()
        assert "judged here, among what is loaded: >100" in grid
        assert "42.00 EUR" not in grid
        assert "249.00 EUR" in grid

    source = used("payments", then)
    assert ("payments", {"connector": "adyen", "limit": "200"}) in source.asked


def test_a_filter_that_means_nothing_says_so_and_changes_nothing() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "slash", *"colour:red", "enter")
        assert "colour: is no field of a payment" in console.grid()
        assert len(console.screen.query_one(VList).rows) == 13

    used("payments", then)


def test_an_empty_list_says_why() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        assert "No payments match state:failed. Clear: esc" in console.grid()

    used(
        "payments state:failed",
        then,
        pages={**PAGES, ("payments", "state=FAILED"): {"data": [], "next_cursor": None, "total": 0, "total_is_exact": True}},
    )


def test_counts_are_honest() -> None:
    many = {**answers.answer("/ops/v1/payments"), "next_cursor": "more", "total": 10_000, "total_is_exact": False}

    async def then(console: Console, pilot: Pilot[None]) -> None:
        assert "13 of >10\u2009000" in console.grid()

    used("payments", then, pages={**PAGES, ("payments", ""): many})


def test_a_row_changes_where_it_stands() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "j", "j", "j")
        console.hear(event({**list_row(UNKNOWN), "state": "CAPTURED"}))
        await settle(console, pilot)
        vlist = console.screen.query_one(VList)
        assert [row["id"] for row in vlist.rows] == [row["id"] for row in answers.answer("/ops/v1/payments")["data"]]
        assert next(row for row in vlist.rows if row["id"] == UNKNOWN)["state"] == "CAPTURED"
        assert vlist.cursor == 3

    source = used("payments", then)
    assert len([path for path, _ in source.asked if path == "payments"]) == 1


def test_a_frozen_list_holds_changes_back_and_says_how_many() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "space")
        console.hear(event({**list_row(UNKNOWN), "state": "CAPTURED"}))
        await settle(console, pilot)
        assert "1 changes held" in console.grid()
        assert "OUTCOME_UNKNOWN" in console.grid()
        await press(console, pilot, "space")
        assert "OUTCOME_UNKNOWN" not in console.grid()

    used("payments", then)


def test_new_payments_are_counted_and_come_when_somebody_asks() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "j")
        console.hear(event({**list_row(UNKNOWN), "id": "pay_new"}, event="PaymentCreated", sequence=1))
        await settle(console, pilot)
        assert "+1 new: r shows them" in console.grid()
        console.clock.forward(2)  # type: ignore[attr-defined]
        await press(console, pilot, "r")
        assert "new: r" not in console.grid()

    source = used("payments", then)
    assert len([path for path, _ in source.asked if path == "payments"]) == 2


def test_keys_find_the_rows_that_need_a_person() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        vlist = console.screen.query_one(VList)
        await press(console, pilot, "n")
        assert vlist.current is not None
        assert vlist.current["id"] == UNKNOWN
        await press(console, pilot, "z")
        assert [row["state"] for row in vlist.rows] == ["FAILED", "OUTCOME_UNKNOWN", "AUTHORIZED", "MANUAL_REVIEW"]
        await press(console, pilot, "enter")
        assert isinstance(console.screen, PaymentView)
        assert console.screen.place.id == UNKNOWN

    used("payments", then)


# --- the page ----------------------------------------------------------------------------------------------------------------------------


def test_a_name_of_a_table_is_clicked() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        line = console.screen.query_one(TabLine)
        at = paint.plain(line.lines[0]).index("Ledger")
        await pilot.click(TabLine, offset=(at + 2, 0))
        await settle(console, pilot)
        assert isinstance(console.screen, PaymentView)
        assert console.screen.tab == "ledger"
        assert "No posting: our ledger says that no money moved." in console.grid()
        await press(console, pilot, "comma")
        assert console.screen.tab == "webhooks"

    used(f"pay {UNKNOWN}", then)


def test_more_like_it_is_the_list_with_its_filter() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "c")
        console.clock.forward(2)  # type: ignore[attr-defined]
        await settle(console, pilot)
        assert isinstance(console.screen, PaymentsView)
        assert "filter connector:adyen state:OUTCOME_UNKNOWN" in console.grid()

    source = used(f"pay {UNKNOWN}", then)
    wanted = {"connector": "adyen", "state": "OUTCOME_UNKNOWN", "created_from": "2026-10-16T14:06:00Z", "limit": "200"}
    assert ("payments", wanted) in source.asked


def test_it_follows_the_payment() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        assert "? OUTCOME_UNKNOWN" in console.grid()
        source = console.source
        assert isinstance(source, FakeSource)
        whole = dict(source.pages[f"payments/{UNKNOWN}", ""])
        source.pages[f"payments/{UNKNOWN}", ""] = {**whole, "state": "CAPTURED", "outcome": None}
        console.clock.forward(2)  # type: ignore[attr-defined]
        console.hear(event({**list_row(UNKNOWN), "state": "CAPTURED"}))
        await settle(console, pilot)
        assert "● CAPTURED" in console.grid()

    used(f"pay {UNKNOWN}", then)


def test_countdowns_run_without_news() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        assert "in 00:23" in console.grid()
        console.clock.forward(20)  # type: ignore[attr-defined]
        for _ in range(4):
            console.turn()
        await settle(console, pilot)
        assert "in 00:03" in console.grid()
        assert "5m 48s  nothing since" in console.grid()

    used(f"pay {UNKNOWN}", then)


def test_a_recording_counts_from_its_own_time() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        assert console.state.server_time == "2026-10-16T14:32:55.000Z"
        assert "look #4 at adyen in 00:38" in console.grid()

    used(f"pay {UNKNOWN}", then, writes=False)


def test_an_act_of_the_payment_is_opened() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "comma")
        await press(console, pilot, "n", "enter")
        assert isinstance(console.screen, View)
        assert console.screen.place == Place("action", answers.answer(f"/ops/v1/payments/{UNKNOWN}")["acts"][0]["id"])

    used(f"pay {UNKNOWN}", then)


def test_a_part_that_cannot_be_had_is_said_in_its_place_and_the_rest_works() -> None:
    refused = Problem(503, {"title": "busy", "detail": "try again", "request_id": "req_a1"})

    async def then(console: Console, pilot: Pilot[None]) -> None:
        grid = console.grid()
        assert "? OUTCOME_UNKNOWN" in grid
        assert "req_a1" not in grid
        await press(console, pilot, "full_stop", "full_stop")
        assert "503 busy" in console.grid()
        assert "req_a1" in console.grid()

    used(f"pay {UNKNOWN}", then, pages={**PAGES, (f"payments/{UNKNOWN}/routing", ""): refused})


def test_a_payment_that_is_not_there_is_said() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        assert "nothing is known of pay_nobody" in console.grid()
        assert "req_none" in console.grid()

    used("pay pay_nobody", then)


def test_what_is_copied_and_exported_tells_the_whole_story(tmp_path: Path) -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        assert isinstance(console.screen, PaymentView)
        assert ("psp reference", "8516153423456789") in console.screen.copies()
        await press(console, pilot, "e")

    used(f"pay {UNKNOWN}", then, folder=tmp_path)
    written = next(tmp_path.rglob("screen.txt")).read_text()
    for part in ("Timeline", "attempt 2 OUTCOME UNKNOWN", "Routing", "declined this payment already", "Ledger"):
        assert part in written
    assert '"timeline"' in next(tmp_path.rglob("data.json")).read_text()


def test_enter_shows_what_is_known_of_a_row_where_there_is_no_pane() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "n", "enter")
        assert isinstance(console.screen, Reading)
        assert "card_declined" in console.grid()

    used(f"pay {UNKNOWN}", then, size=(80, 24))


def test_the_action_menu_has_every_action_with_its_reason() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "a")
        grid = console.grid()
        for verb in ("ask the PSP again", "resolve by people", "capture", "void", "refund", "release a held payment"):
            assert verb in grid
        assert "is open: approve" in grid

    used(f"pay {UNKNOWN}", then)
