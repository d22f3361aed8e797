"""The overview, connectors and a connector's page as people use them: how they look at four sizes, and what keys, clicks and news do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from tests.tui import answers
from tests.tui.answers_basics import HOSTILE
from tests.tui.pictures import NOW, Then, check, press, settle
from tests.tui.world import FakeSource
from tui import paint, places
from tui.api import Problem
from tui.app import Console
from tui.clock import StandingClock
from tui.messages import Happened, Heartbeat, Link, Message, Snapshot, Vital
from tui.places import Place
from tui.screens.base import View
from tui.screens.connector import ConnectorView
from tui.screens.connectors import ConnectorsView
from tui.screens.overview import OverviewView, Tiles
from tui.screens.payment import PaymentView
from tui.screens.payments import PaymentsView
from tui.widgets.modal import Choice, Reading
from tui.widgets.tabs import TabLine
from tui.widgets.vlist import VList

SNAPSHOT = answers.answer("/ops/v1/snapshot")
MESSAGES: Sequence[Message] = (Link(state="live"), Snapshot(data=SNAPSHOT))
PAGES = answers.pages()
SIMULATION = answers.answer("/ops/v1/routing/simulations")


def used(
    at: str,
    then: Then,
    *,
    messages: Sequence[Message] = MESSAGES,
    pages: dict[tuple[str, str], Any] | None = None,
    size: tuple[int, int] = (140, 40),
    **options: Any,
) -> FakeSource:
    """A console on the made-up platform, opened there, in the hands of `then`."""
    source = FakeSource(pages or PAGES, messages, answers={"routing/simulations": SIMULATION})

    async def scenario() -> None:
        console = Console(source, StandingClock(NOW), at=places.place(at), ticking=False, **options)
        async with console.run_test(size=size, notifications=False) as pilot:
            await settle(console, pilot)
            await then(console, pilot)
            if console.is_running:
                console.grid()  # whatever is shown in the end can be drawn

    asyncio.run(scenario())
    return source


def view(console: Console) -> View:
    assert console.view is not None
    return console.view


def shows(console: Console, screen: type[Screen[Any]]) -> bool:
    """Asked anew each time: a key may have led to another screen."""
    return isinstance(console.screen, screen)


async def forward(console: Console, pilot: Pilot[None], seconds: float) -> None:
    """That much time passes, and the server says that it lives."""
    assert isinstance(console.clock, StandingClock)
    console.clock.forward(seconds)
    console.hear(Heartbeat(server_time=None, head=0))
    for _ in range(4):
        console.turn()
    await settle(console, pilot)


def happened(number: int, **more: Any) -> Happened:
    event = answers.stream()[number % 60]
    return Happened(event={**event, "position": 90_000 + number, **more})


def texts(console: Console, name: str) -> list[Any]:
    return list(view(console).query_one(f"#{name}", VList).rows)


# --- how they look -----------------------------------------------------------------------------------------------------------------------


def test_the_overview_looks_like_this() -> None:
    check("overview", at="overview", pages=PAGES, messages=MESSAGES)


def test_old_figures_say_so() -> None:
    lost = (*MESSAGES, Link(state="lost", reason="ConnectError", attempt=6, retry_seconds=8))
    check("overview-lost", at="overview", pages=PAGES, messages=lost, sizes=((100, 30),))


def test_the_connectors_look_like_this() -> None:
    check("connectors", at="connectors", pages=PAGES, messages=MESSAGES, keys=("j",))


def test_a_connector_looks_like_this() -> None:
    check("connector", at="conn adyen", pages=PAGES, messages=MESSAGES)


@pytest.mark.parametrize(("tab", "presses"), [("errors", 1), ("transitions", 2), ("decisions", 3)])
def test_the_tables_of_a_connector_look_like_this(tab: str, presses: int) -> None:
    check(f"connector-{tab}", at="conn adyen", pages=PAGES, messages=MESSAGES, keys=("tab",) * presses, sizes=((80, 24),))


def test_a_connector_looks_like_this_in_ascii() -> None:
    check("connector-ascii", at="conn adyen", pages=PAGES, messages=MESSAGES, sizes=((100, 30),), ascii_only=True)


# --- the overview ------------------------------------------------------------------------------------------------------------------------


def test_a_concern_leads_to_its_view_with_its_filter() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "enter")
        assert isinstance(console.screen, ConnectorView)
        await press(console, pilot, "1", "j", "enter")
        assert isinstance(console.screen, PaymentsView)
        assert console.screen.place == Place("payments", None, "state:OUTCOME_UNKNOWN")

    used("overview", then)


def test_a_click_on_a_tile_leads_to_what_it_counts() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        tiles = console.screen.query_one(Tiles)
        at = paint.plain(tiles.lines[0]).index("unknown outcome")
        await pilot.click(Tiles, offset=(at + 2, 2))
        await settle(console, pilot)
        assert console.screen.place == Place("payments", None, "state:OUTCOME_UNKNOWN")  # type: ignore[attr-defined]

    used("overview", then)


def test_the_live_list_follows_freezes_and_says_how_many_it_holds() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        live = console.screen.query_one("#live", VList)
        console.hear(happened(3))
        await settle(console, pilot)
        assert live.cursor == 0
        assert live.current is not None
        assert live.current["position"] == 90_003
        live.focus()
        await press(console, pilot, "space")
        for number in range(4, 18):
            console.hear(happened(number, kind="audit"))
        await settle(console, pilot)
        assert "frozen +14 held" in console.grid()
        assert live.current["position"] == 90_003
        await press(console, pilot, "space", "g")
        assert live.current["position"] == 90_017

    used("overview", then)


def test_a_row_that_one_looks_at_stays_under_the_cursor() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        live = console.screen.query_one("#live", VList)
        live.focus()
        await press(console, pilot, "j", "j")
        assert live.current is not None
        looked_at = live.current["position"]
        console.hear(happened(4))
        await settle(console, pilot)
        assert live.current["position"] == looked_at
        assert live.cursor == 3

    used("overview", then)


def test_kinds_are_chosen_and_an_event_leads_to_its_subject() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "f")
        assert isinstance(console.screen, Choice)
        await press(console, pilot, "j", "j", "enter")
        assert {row["kind"] for row in texts(console, "live")} == {"payment"}
        assert "Live  payment" in console.grid()
        console.screen.query_one("#live", VList).focus()
        await press(console, pilot, "enter")
        assert isinstance(console.screen, PaymentView)

    used("overview", then)


def test_the_live_list_has_an_end() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        for number in range(2_500):
            console.hear(happened(number, kind="audit"))
        await settle(console, pilot)
        assert len(texts(console, "live")) == 2_000
        console.screen.query_one("#live", VList).focus()
        await press(console, pilot, "space")
        for number in range(2_500, 2_514):
            console.hear(happened(number, kind="audit"))
        await settle(console, pilot)
        assert "frozen +14 held" in console.grid()

    used("overview", then, size=(100, 30))


def test_figures_change_with_the_stream_and_the_time_of_day() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        assert "oldest 07:56" in console.grid()
        console.hear(Vital(data={"overview": {"tiles": {"unknown": {"count": 13, "series": None}}}, "connectors": []}))
        await forward(console, pilot, 10)
        grid = console.grid()
        assert "13  oldest 08:06" in grid
        before = SNAPSHOT["overview"]["tiles"]["unknown"]["series"]
        assert (console.state.overview or {})["tiles"]["unknown"]["series"] == before

    used("overview", then)


def test_without_a_snapshot_it_says_what_it_waits_for() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        grid = console.grid()
        assert "waiting for the figures" in grid
        assert grid.count("connecting\u2026") == 3, "what needs attention, the connectors, and the live list"
        assert not [one for one in ("Nothing needs attention", "no connector is switched on", "nothing has happened") if one in grid]

    used("overview", then, messages=())


def test_nothing_to_do_says_so() -> None:
    quiet = {**SNAPSHOT, "overview": {**SNAPSHOT["overview"], "attention": []}}

    async def then(console: Console, pilot: Pilot[None]) -> None:
        assert "Nothing needs attention" in console.grid()

    used("overview", then, messages=(Link(state="live"), Snapshot(data=quiet)))


# --- connectors --------------------------------------------------------------------------------------------------------------------------


def test_the_list_of_connectors_leads_to_one_and_says_its_rules() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        assert "routing v14  default stripe → adyen → paypal  1 rule" in console.grid()
        await press(console, pilot, "n")
        assert "read_timeout" in console.grid()
        await press(console, pilot, "enter")
        assert isinstance(console.screen, ConnectorView)
        assert console.screen.place.id == "adyen"
        assert console.screen.twin() == "payorch ops connector adyen --json"

    used("connectors", then)


def test_rules_that_cannot_be_had_are_said_in_their_line_and_the_rest_works() -> None:
    refused = Problem(503, {"title": "busy", "detail": "try again", "request_id": "req_a1"})

    async def then(console: Console, pilot: Pilot[None]) -> None:
        assert "routing: 503 busy" in console.grid()
        assert "req_a1" in console.grid()
        assert len(texts(console, "rows")) == 3

    used("connectors", then, pages={**PAGES, ("routing", ""): refused})


def test_a_connectors_page_follows_its_breaker() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        assert "✕ open 03s" in console.grid()
        await forward(console, pilot, 2)
        assert "✕ open 01s" in console.grid()
        row = console.state.connectors["adyen"]
        shut = {**row, "state": "closed", "circuits": {**row["circuits"], "authorize": {**row["circuits"]["authorize"], "mode": "closed"}}}
        console.hear(Vital(data={"connectors": [shut]}))
        await forward(console, pilot, 2)
        assert "✕ open" not in console.grid()

    source = used("conn adyen", then)
    assert len([path for path, _ in source.asked if path == "connectors/adyen"]) == 2


def test_a_connectors_page_renews_itself_but_not_without_a_link() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await forward(console, pilot, 11)
        console.hear(Link(state="lost", reason="ConnectError"))
        assert isinstance(console.clock, StandingClock)
        console.clock.forward(30)
        for _ in range(4):
            console.turn()
        await settle(console, pilot)

    source = used("conn stripe", then)
    assert len([path for path, _ in source.asked if path == "connectors/stripe"]) == 2


def test_tables_are_chosen_by_key_and_mouse_and_a_sample_payment_opens() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        line = console.screen.query_one(TabLine)
        await pilot.click(TabLine, offset=(paint.plain(line.lines[0]).index("Errors") + 2, 0))
        await settle(console, pilot)
        connector = view(console)
        assert isinstance(connector, ConnectorView)
        assert connector.tab == "errors"
        await press(console, pilot, "shift+tab", "enter")
        assert shows(console, Reading)
        assert "last code" in console.grid()
        await press(console, pilot, "escape", "tab", "enter")
        assert shows(console, PaymentView)
        assert view(console).place.id == answers.payment_id("unknown")

    used("conn adyen", then)


def test_actions_are_those_of_the_breaker_under_the_cursor() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "j", "a")
        assert isinstance(console.screen, Choice)
        grid = console.grid()
        assert "force the breaker open: adyen/capture" in grid
        assert "adyen/authorize" not in grid
        assert "drain the connector" in grid
        assert "it is not drained" in grid

    used("conn adyen", then)


def test_the_breaker_that_was_chosen_is_the_one_that_is_meant_and_it_asks_for_how_long() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "ctrl+e", *"INC", "enter")
        await press(console, pilot, "a")
        console.screen.query_one(VList).go_to("breaker.force_closed stripe/refund")
        await press(console, pilot, "enter")
        assert "for_seconds" in console.grid()
        assert "as 15m or 2h" in console.grid()
        await press(console, pilot, *"15m", "enter")

    source = used("connectors", then)
    wish = next(body for path, body, _, _ in source.written if path == "plans")
    assert (wish["action"], wish["subject"], wish["parameters"]) == ("breaker.force_closed", "stripe/refund", {"for_seconds": 900})


def test_a_connector_that_is_not_there_is_said() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        assert "nothing is known of nobody" in console.grid()
        assert "req_none" in console.grid()

    used("conn nobody", then)


def test_everything_is_in_the_export(tmp_path: Path) -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "e")

    used("conn adyen", then, folder=tmp_path)
    written = next(tmp_path.rglob("screen.txt")).read_text()
    assert all(part in written for part in ("Breakers", "Errors", "read_timeout", "Transitions", "Decisions"))
    assert '"series"' in next(tmp_path.rglob("data.json")).read_text()


# --- other rules -------------------------------------------------------------------------------------------------------------------------


def test_what_if_is_free_in_read_and_shows_the_comparison() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "j", "t")
        grid = console.grid()
        assert grid.index("without adyen") < grid.index("without stripe")
        await press(console, pilot, "enter")
        assert isinstance(console.screen, Reading)
        assert "would begin at somebody else" in console.grid()
        assert "these rules name it themselves and stay as they are: eu-cards" in console.grid()

    source = used("connectors", then)
    assert [(path, body) for path, body, _, _ in source.written] == [
        ("routing/simulations", {"changes": {"default": ["stripe", "paypal"]}})
    ]


def test_what_if_takes_a_file_and_says_why_it_cannot_be_read(tmp_path: Path) -> None:
    rules = tmp_path / "r"
    rules.write_text('default = ["stripe"]\n')

    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "t", "G", "enter", *str(rules), "enter")
        assert isinstance(console.screen, Reading)
        await press(console, pilot, "escape", "t", "G", "enter", *"/nowhere", "enter")
        assert "/nowhere cannot be read: it is no file" in console.grid()

    source = used("conn adyen", then)
    assert [(path, body) for path, body, _, _ in source.written] == [("routing/simulations", {"routing": 'default = ["stripe"]\n'})]


def test_rules_that_the_server_refuses_are_said_place_by_place() -> None:
    errors = [{"pointer": "/changes/default", "detail": "nobody is called that"}]
    refused = Problem(422, {"title": "not valid", "detail": "See errors.", "request_id": "req_9", "errors": errors})

    async def then(console: Console, pilot: Pilot[None]) -> None:
        assert isinstance(console.source, FakeSource)
        console.source.answers["routing/simulations"] = refused
        await press(console, pilot, "t", "enter")
        assert "/changes/default: nobody is called that" in console.grid()
        assert "req_9" in console.grid()

    used("connectors", then)


# --- harmful text ------------------------------------------------------------------------------------------------------------------------


def harmful(data: Any, text: str) -> Any:
    """Every text of it is that text, but for what tells things apart."""
    if isinstance(data, dict):
        return {name: value if name in ("position", "screen") else harmful(value, text) for name, value in data.items()}
    if isinstance(data, list):
        return [harmful(one, text) for one in data]
    return text if isinstance(data, str) else data


def test_harmful_text_is_shown_and_does_nothing() -> None:
    """Every text of the overview, of the live list and of a connector's page is harmful."""
    whole = "".join(one for one in HOSTILE if len(one) < 100)
    snapshot = {**SNAPSHOT, **{name: harmful(SNAPSHOT[name], whole) for name in ("overview", "connectors", "live")}}
    pages = {**PAGES, ("connectors/x", ""): harmful(answers.answer("/ops/v1/connectors/adyen"), whole), ("routing", ""): {"book": whole}}

    async def then(console: Console, pilot: Pilot[None]) -> None:
        for where in ("overview", "connectors", "conn x"):
            console.command(where)
            await settle(console, pilot)
            for keys in (("j",), ("tab", "j"), ("tab",), ("tab",)):
                grid = console.grid().replace(paint.GROUP, " ").replace("\n", " ")
                assert not [one for one in grid if not one.isprintable()], where
                await press(console, pilot, *keys)
        assert console.is_running
        assert not console.clipboard
        assert isinstance(console.screen, ConnectorView | ConnectorsView | OverviewView)

    for size in ((140, 40), (80, 24)):
        used("overview", then, messages=(Link(state="live"), Snapshot(data=snapshot)), pages=pages, size=size)
