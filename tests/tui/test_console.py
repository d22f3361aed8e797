"""The console as an operator meets it: keys, arming, staleness, the lock, places. On a fake source and a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.binding import Binding
from textual.pilot import Pilot
from textual.widgets import Button

from tests.tui.pictures import NOW, press, settle
from tests.tui.test_screens import PAGES
from tests.tui.world import FakeSource, event, snapshot
from tui import keys, paint
from tui.api import Problem
from tui.app import Console
from tui.clock import StandingClock
from tui.messages import Happened, Heartbeat, Link, Message, Snapshot
from tui.places import Place
from tui.screens import SCREENS
from tui.screens.audit import AuditView
from tui.screens.base import View
from tui.widgets.bars import Typed
from tui.widgets.lock import Lock
from tui.widgets.modal import Choice, Dialog
from tui.widgets.plan_modal import PlanDialog
from tui.widgets.vlist import VList

PLAN = {
    "id": "pln_1",
    "object": "plan",
    "action": "payment.resync",
    "verb": "ask the PSP again",
    "subject": "pay_01JAYQ7W3K9ZD4AAAAAA",
    "parameters": {},
    "break_glass": False,
    "allowed": True,
    "objections": [],
    "people": 2,
    "why_people": "above the limit of one person",
    "effects": [{"what": "state", "before": "OUTCOME_UNKNOWN", "after": "CAPTURED"}],
    "undo": "a refund",
    "checks": [{"what": "version 17 is current", "holds": True, "detail": None, "binds": True}],
    "proofs": [],
    "confirm": "249.00",
    "version": "17",
    "hash": "abcd",
    "expires_at": "2026-10-16T15:03:00.000Z",
}
LIVE: tuple[Message, ...] = (Link(state="live"), Snapshot(data=snapshot()))
Scenario = Callable[[Console, Pilot[None]], Awaitable[None]]


def on(
    scenario: Scenario,
    source: FakeSource | None = None,
    *,
    at: str = "overview",
    folder: Path | None = None,
    size: tuple[int, int] = (120, 34),
) -> None:
    """Runs the scenario on a console."""

    async def whole() -> None:
        console = Console(source or FakeSource(PAGES, LIVE), StandingClock(NOW), at=Place(at), folder=folder, ticking=False)
        async with console.run_test(size=size) as pilot:
            await settle(console, pilot)
            await scenario(console, pilot)
            if console.is_running:
                console.grid()  # whatever is shown in the end can be drawn

    asyncio.run(whole())


async def arm(console: Console, pilot: Pilot[None]) -> None:
    await press(console, pilot, "ctrl+e", *"INC", "enter")
    assert console.armed_seconds() is not None


def forward(console: Console, seconds: float) -> None:
    assert isinstance(console.clock, StandingClock)
    console.clock.forward(seconds)


# --- keys ----------------------------------------------------------------------------------------------------------------------------


def test_every_bound_key_is_in_the_table_and_every_row_is_bound() -> None:
    """The help and docs/keys.md are made from the table: what is not in it cannot be known, and what is only in it does nothing."""

    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        view = console.view
        assert view is not None
        bound = {(key, active.binding.action) for key, active in view.active_bindings.items()}
        table = {(key, row.action) for row in keys.KEYS if row.where in ("everywhere", "view", "list") for key in row.keys.split(",")}
        table |= {(key, row.action) for row in view.OWN_KEYS for key in row.keys.split(",")}
        texts = {("ctrl+c", "screen.copy_text"), ("super+c", "screen.copy_text"), ("ctrl+c", "help_quit")}
        assert bound - texts - {("escape", "out")} == table - {("escape", "out")}

    on(scenario)


def test_every_action_of_the_table_exists() -> None:
    rooms: dict[str, tuple[type, ...]] = {"everywhere": (Console,), "view": (View,), "list": (VList,), "plan": (PlanDialog,), "pane": ()}
    for key in keys.KEYS:
        name = key.action.split("(")[0]
        named = (Console,) if name.startswith("app.") else rooms[key.where]  # from within a dialog, too, an action of the whole console
        assert any(hasattr(room, f"action_{name.removeprefix('app.')}") for room in named), key
    for screen in SCREENS.values():
        own = {one.action for one in screen.BINDINGS if isinstance(one, Binding)}
        assert {key.action for key in screen.OWN_KEYS} <= own | {key.action for key in keys.KEYS}, screen
        assert all(hasattr(screen, f"action_{key.action.split('(')[0]}") for key in screen.OWN_KEYS), screen


def test_the_key_document_is_new() -> None:
    written = (Path(__file__).parent.parent.parent / "docs" / "keys.md").read_text()
    assert written == keys.document(keys.own_keys(SCREENS)), "python -m tui.keys > docs/keys.md"


def test_only_one_key_quits() -> None:
    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "q", "escape", "escape", "ctrl+c")
        assert console.is_running
        await press(console, pilot, "ctrl+q")
        assert not console.is_running

    on(scenario)


def test_a_grey_key_says_why() -> None:
    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "left_square_bracket")
        assert [note.message for note in console._notifications] == ["[: there is nothing before this"]

    on(scenario)


def test_modes_and_history() -> None:
    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "2", "enter")
        assert console.view is not None
        assert console.view.place == Place("payment", "pay_01JAYQ7W3K9ZD4AAAAAA")
        await press(console, pilot, "7", "2")
        assert console.view.place.screen == "payment", "a mode is left and found as it was"
        await press(console, pilot, "escape")
        assert console.view.place == Place("payments")
        await press(console, pilot, "left_square_bracket")
        assert console.view.place.screen == "audit"

    on(scenario)


def test_the_command_bar_goes_places_and_says_what_is_wrong() -> None:
    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "colon", *"conn adyen", "enter")
        assert console.view is not None
        assert console.view.place == Place("connector", "adyen")
        await press(console, pilot, "colon", *"nix", "enter")
        assert any("no command :nix" in note.message for note in console._notifications)

    on(scenario)


def test_a_filter_is_asked_of_the_server_and_cleared_by_escape() -> None:
    source = FakeSource(PAGES, LIVE)

    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "slash")
        console.screen.query(Typed).first().value = "state:CAPTURED"
        await press(console, pilot, "enter")
        assert ("payments", {"state": "CAPTURED", "limit": "200"}) in source.asked
        await press(console, pilot, "escape")
        assert source.asked[-1] == ("payments", {"limit": "200"})

    on(scenario, source, at="payments")


# --- freshness and arming --------------------------------------------------------------------------------------------------------------


def test_data_grows_old_is_dimmed_and_locks_writing() -> None:
    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        assert console.fresh().state == "live"
        forward(console, 8)
        assert console.fresh().state == "slow"
        forward(console, 3)
        assert console.fresh().state == "stale"
        await settle(console, pilot)
        assert "Stream stale" in console.grid()
        assert console.view is not None
        assert all(vlist.dimmed for vlist in console.view.query(VList))
        await press(console, pilot, "ctrl+e")
        assert not isinstance(console.screen, Dialog), "it cannot be armed on old data"
        console.hear(Heartbeat(server_time=None, head=1))
        await settle(console, pilot)
        assert console.fresh().state == "live"
        assert "Stream stale" not in console.grid()

    on(scenario)


@pytest.mark.parametrize(
    ("messages", "state", "said"),
    [
        ((), "connecting", "Waiting for the first snapshot"),
        ((*LIVE, Link(state="lost", reason="ConnectError", attempt=3, retry_seconds=8.0)), "lost", "retry 3 in 8s"),
        ((*LIVE, Link(state="denied", reason="not allowed: takes a viewer")), "denied", "takes a viewer"),
        ((Link(state="live"), Snapshot(data=snapshot(meta={"schema": 2}))), "incompatible", "server is newer"),
    ],
)
def test_the_head_says_how_the_connection_is(messages: tuple[Message, ...], state: str, said: str) -> None:
    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        assert console.fresh().state == state
        assert said in console.grid()
        await press(console, pilot, "ctrl+e")
        assert console.armed_seconds() is None
        await press(console, pilot, "r")
        assert isinstance(console.source, FakeSource)
        assert console.source.retries == 1

    on(scenario, FakeSource(PAGES, messages))


def test_arming_takes_a_reason_and_ends_by_itself() -> None:
    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "ctrl+e", "escape")
        assert "mode READ" in console.grid()
        await arm(console, pilot)
        assert "ARMED 10:00" in console.grid()
        forward(console, 601)
        await settle(console, pilot)
        assert "ARMED" not in console.grid()

    on(scenario)


def test_a_console_nobody_uses_locks_itself() -> None:
    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        await arm(console, pilot)
        forward(console, 901)
        console.hear(Heartbeat(server_time=None, head=1))
        await settle(console, pilot)
        assert isinstance(console.screen, Lock)
        assert "pay_01" not in console.grid()
        await press(console, pilot, "escape", "2", "question_mark", "colon", "enter")
        assert "Locked" in console.grid()
        console.screen.query_one(Typed).value = "ops_token"
        await press(console, pilot, "enter")
        assert "Locked" not in console.grid()
        assert "mode READ" in console.grid()

    on(scenario)


# --- acting ----------------------------------------------------------------------------------------------------------------------------


async def to_plan(console: Console, pilot: Pilot[None]) -> PlanDialog:
    await press(console, pilot, "a")
    assert isinstance(console.screen, Choice)
    await press(console, pilot, "enter")
    dialog = console.screen
    assert isinstance(dialog, PlanDialog)
    return dialog


def acting(plan: dict[str, Any] | None = None, act: Any = None) -> FakeSource:
    return FakeSource(PAGES, LIVE, answers={"plans": plan or PLAN, "actions": act or {"id": "act_1", "state": "proposed"}})


def test_in_read_actions_are_listed_with_the_reason_and_none_is_chosen() -> None:
    source = acting()

    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "a")
        assert "ctrl+e arms" in console.grid()
        assert "takes an operator" in console.grid(), "what the server refuses keeps the server's reason"
        await press(console, pilot, "enter")
        assert isinstance(console.screen, Choice)
        assert source.written == []

    on(scenario, source, at="payments")


def test_a_plan_is_sent_once_with_reason_key_and_hash() -> None:
    source = acting()

    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        await arm(console, pilot)
        dialog = await to_plan(console, pilot)
        assert isinstance(console.focused, Button)
        assert console.focused.id == "cancel"
        await press(console, pilot, "ctrl+s")
        assert source.written[1:] == [], "it hears nothing in its first 400 ms"
        forward(console, 1)
        await press(console, pilot, "ctrl+s")
        assert source.written[1:] == [], "it needs a reason"
        dialog.query_one("#reason", Typed).value = "INC-4412"
        dialog.query_one("#confirm", Typed).value = "249"
        forward(console, 1)
        await press(console, pilot, "ctrl+s")
        assert source.written[1:] == [], "the amount is not what is typed"
        dialog.query_one("#confirm", Typed).value = "249.00"
        dialog.query_one("#confirm", Typed).focus()
        await press(console, pilot, "enter")
        assert source.written[1:] == [], "enter never sends"
        forward(console, 1)
        await press(console, pilot, "ctrl+s")
        path, body, key, match = source.written[1]
        assert (path, body, match) == ("actions", {"plan": "pln_1", "reason": "INC-4412"}, "abcd")
        assert key is not None
        assert key.startswith("console-")
        assert not isinstance(console.screen, PlanDialog)

    on(scenario, source, at="payments")


def test_dialogs_say_which_keys_end_them() -> None:
    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "ctrl+e")
        assert "enter: go on   esc: cancel" in console.grid()
        await press(console, pilot, "enter")
        assert isinstance(console.screen, Dialog), "it needs a reason"
        await press(console, pilot, *"INC", "enter", "a")
        assert "enter: choose   esc: cancel" in console.grid()

    on(scenario, acting(), at="payments")


def test_what_becomes_stale_under_the_dialog_is_not_sent() -> None:
    source = acting()

    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        await arm(console, pilot)
        dialog = await to_plan(console, pilot)
        dialog.query_one("#reason", Typed).value = "INC-4412"
        dialog.query_one("#confirm", Typed).value = "249.00"
        forward(console, 11)
        dialog.judge()
        await press(console, pilot, "ctrl+s")
        assert dialog.query_one("#send", Button).disabled
        assert "the data is stale" in console.grid()
        assert source.written[1:] == []
        await press(console, pilot, "escape")
        assert source.written[1:] == []

    on(scenario, source, at="payments")


def test_a_refused_plan_cannot_be_sent_and_a_refusal_is_told() -> None:
    refused = {**PLAN, "allowed": False, "objections": [{"code": "not_unknown", "why": "the payment is captured"}], "confirm": None}
    source = acting(refused)

    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        await arm(console, pilot)
        dialog = await to_plan(console, pilot)
        dialog.query_one("#reason", Typed).value = "INC"
        forward(console, 1)
        await press(console, pilot, "ctrl+s")
        assert "the payment is captured" in console.grid()
        assert source.written[1:] == []

    on(scenario, source, at="payments")


def test_no_answer_to_the_act_keeps_the_key_for_another_try() -> None:
    source = acting({**PLAN, "confirm": None}, Problem(0, {"title": "no answer", "money_moved": "unknown"}))

    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        await arm(console, pilot)
        dialog = await to_plan(console, pilot)
        dialog.query_one("#reason", Typed).value = "INC"
        for _ in range(2):
            forward(console, 1)
            await press(console, pilot, "ctrl+s")
        assert "not known whether money moved" in console.grid()
        assert source.written[1][2] == source.written[2][2]

    on(scenario, source, at="payments")


# --- not falling over ------------------------------------------------------------------------------------------------------------------


def test_a_screen_that_cannot_read_an_answer_says_so_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The views read whatever comes, so that one which does not is made up: it takes a record for a list."""

    async def load(self: AuditView) -> None:
        found: Any = await self.console.source.get("audit/verification")
        found[0]

    monkeypatch.setattr(AuditView, "load", load)

    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        assert "cannot read what the server sent (KeyError)" in console.grid()
        assert len(list((tmp_path / "payorch-exports").iterdir())) == 1

    on(scenario, at="audit", folder=tmp_path)


def test_a_problem_stays_in_its_pane_with_the_request(tmp_path: Path) -> None:
    broken = Problem(503, {"title": "not now", "request_id": "req_a1", "code": "unavailable"})

    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        assert "audit/verification: 503 not now" in console.grid()
        assert "request req_a1" in console.grid()
        assert "Proposed" in console.grid(), "the list is there"

    on(scenario, FakeSource({**PAGES, ("audit/verification", ""): broken}, LIVE), at="audit", folder=tmp_path)


def test_a_thousand_events_cost_one_paint(tmp_path: Path) -> None:
    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        for position in range(200, 1200):
            console.hear(Happened(event=event(position)))
        await settle(console, pilot)
        assert len(console.state.live) == 1003
        assert paint.count(1003) in console.grid()

    on(scenario)


def test_export_and_copy(tmp_path: Path) -> None:
    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "e")
        folder = next((tmp_path / "payorch-exports").iterdir())
        assert '"twin": "payorch ops payments --json"' in (folder / "data.json").read_text()
        await press(console, pilot, "y", "enter")
        assert console.clipboard == "pay_01JAYQ7W3K9ZD4AAAAAA"

    on(scenario, at="payments", folder=tmp_path)


def test_a_crash_leaves_a_report_and_no_values(tmp_path: Path) -> None:
    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        console.act(_crash())
        await pilot.pause()

    with pytest.raises(Exception, match="boom"):
        on(scenario, folder=tmp_path)


async def _crash() -> None:
    raise RuntimeError("boom")


# --- looks -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "high-contrast", "ansi-16"])
def test_every_theme_draws_every_tone(theme: str) -> None:
    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "colon", *f"theme {theme}", "enter")
        assert console.theme == f"payorch-{theme}"
        assert "breaker OPEN" in console.grid()

    on(scenario)


def test_the_palette_offers_commands_keys_and_connectors() -> None:
    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "ctrl+p", *"conn pay")
        for _ in range(5):
            await pilot.pause()
        assert "conn paypal" in console.grid()

    on(scenario)


def test_without_colour_everything_is_still_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        assert console.no_color
        assert "✕  breaker OPEN" in console.grid()

    on(scenario)


def test_a_small_terminal_shows_the_worst_of_it() -> None:
    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        assert "breaker OPEN adyen.authorize" in console.grid()
        assert "SIM local" in console.grid()

    on(scenario, size=(100, 12))
