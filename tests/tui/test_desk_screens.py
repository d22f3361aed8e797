"""Dead letters, reconciliation, approvals and the audit as people use them: their looks at four sizes, what keys and the stream do."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.tui import answers
from tests.tui.pictures import NOW, Then, check, press, settle
from tests.tui.test_hostile import hostile, raw
from tests.tui.world import FakeSource
from tui import places
from tui.api import Problem
from tui.app import Console
from tui.clock import StandingClock
from tui.messages import Happened, Link, Message, Snapshot
from tui.screens.approvals import ActView
from tui.screens.recon_day import DayView
from tui.widgets.bars import Typed
from tui.widgets.modal import Choice, Reading
from tui.widgets.plan_modal import PlanDialog
from tui.widgets.tabs import TabLine
from tui.widgets.vlist import VList

MESSAGES: Sequence[Message] = (Link(state="live"), Snapshot(data=answers.answer("/ops/v1/snapshot")))
PAGES = answers.pages()
ACTS: list[dict[str, Any]] = answers.answer("/ops/v1/actions")["data"]
GROUP: str = answers.answer("/ops/v1/dead-letters?group=fingerprint")["data"][0]["fingerprint"]
LETTER: str = answers.answer("/ops/v1/dead-letters?group=fingerprint")["data"][0]["example"]
REPLAY = next(one for one in ACTS if one["action"] == "dead_letter.replay")
CHANGED = next(one for one in ACTS if one["subject"] == "adyen/authorize")
SAME = ACTS[0]
DAY = "recon 2026-10-15 stripe EUR"


def used(
    at: str | places.Place,
    then: Then,
    *,
    pages: dict[tuple[str, str], Any] | None = None,
    posts: dict[str, Any] | None = None,
    size: tuple[int, int] = (140, 40),
    **options: Any,
) -> FakeSource:
    """A console on the made-up platform, opened there, in the hands of `then`."""
    source = FakeSource(pages or PAGES, MESSAGES, answers=posts)

    async def scenario() -> None:
        place = places.place(at) if isinstance(at, str) else at
        console = Console(source, StandingClock(NOW), at=place, ticking=False, **options)
        async with console.run_test(size=size, notifications=False) as pilot:
            await settle(console, pilot)
            await then(console, pilot)
            if console.is_running:
                console.grid()  # whatever is shown in the end can be drawn

    asyncio.run(scenario())
    return source


def forward(console: Console, seconds: float) -> None:
    console.clock.forward(seconds)  # type: ignore[attr-defined]


async def again(console: Console, pilot: Pilot[None]) -> None:
    """So much later that a list may be asked for again."""
    forward(console, 2)
    await settle(console, pilot)


async def send(console: Console, pilot: Pilot[None], reason: str | None) -> None:
    """The plan's dialog, filled in and sent."""
    dialog = console.screen
    assert isinstance(dialog, PlanDialog), console.grid()
    if reason is not None:
        dialog.query_one("#reason", Typed).value = reason
    if dialog.confirm:
        dialog.query_one("#confirm", Typed).value = dialog.confirm
    forward(console, 1)
    await press(console, pilot, "ctrl+s")


ARM = ("ctrl+e", *"INC", "enter")


# --- how they look ---


@pytest.mark.parametrize(
    ("name", "at", "keys"),
    [
        ("dead-letters", "dlq", ("j",)),
        ("reconciliation-days", "recon", ("j", "j")),
        ("recon-day", DAY, ()),
        ("approvals-inbox", "approvals", ("j",)),
        ("act-changed", f"act {CHANGED['id']}", ()),
        ("audit-records", "audit", ("n",)),
    ],
)
def test_it_looks_like_this(name: str, at: str, keys: Sequence[str]) -> None:
    check(name, at=at, pages=PAGES, messages=MESSAGES, keys=keys)


def test_letters_of_a_group_and_one_letter_look_like_this() -> None:
    check("letters", at="dlq", pages=PAGES, messages=MESSAGES, keys=("enter", "x", "x"), sizes=((140, 40), (80, 24)))
    check("letter", at=f"dead {LETTER}", pages=PAGES, messages=MESSAGES, sizes=((100, 30), (60, 18)))


def test_hostile_text_does_nothing_on_any_of_them() -> None:
    pages = {key: hostile(copy.deepcopy(page)) for key, page in PAGES.items()}
    pages["dead-letters/x", ""] = hostile(answers.answer(f"/ops/v1/dead-letters/{LETTER}"))
    pages["actions/x", ""] = hostile(answers.answer(f"/ops/v1/actions/{CHANGED['id']}"))
    items = answers.answer("/ops/v1/reconciliation/days/2026-10-15/items")
    kept = [{**hostile(piece), "status": piece["status"]} for piece in items["data"]]
    pages["reconciliation/days/2026-10-15/items", ""] = {"data": kept, "next_cursor": None}

    async def then(console: Console, pilot: Pilot[None]) -> None:
        for keys in (("j", "enter"), ("escape", "a")):
            await press(console, pilot, *keys)
            assert raw(console.grid()) == []
        assert console.is_running
        assert not console.clipboard

    for screen, identity in (
        ("dead_letters", None),
        ("dead_letter_group", "[@click=app.quit]x[/]"),
        ("dead_letter", "x"),
        ("reconciliation", None),
        ("day", "2026-10-15/stripe/EUR"),
        ("approvals", None),
        ("action", "x"),
        ("audit", None),
    ):
        used(places.Place(screen, identity), then, pages=pages, size=(100, 30))


# --- dead letters ---


def test_marked_letters_are_replayed_with_a_canary() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, *ARM, "x", "x", "a")
        assert "the 2 marked letters" in console.grid()
        assert f"all 31 open letters of {GROUP}" in console.grid()
        await press(console, pilot, "enter", "enter")
        assert "(left out)" in console.grid()
        await press(console, pilot, "j", "j", "j", "enter", *"5", "enter")
        assert "enter alone leaves it out" in console.grid()
        await press(console, pilot, "enter")
        await send(console, pilot, "they fixed their key")

    source = used("dlq", lambda console, pilot: _entered(console, pilot, then), posts={"plans": PAGES["plans", ""]})
    plan = source.written[0]
    assert plan[0] == "plans"
    assert (plan[1]["action"], plan[1]["subject"]) == ("dead_letter.replay", "marked")
    assert len(plan[1]["parameters"].pop("ids")) == 2
    assert plan[1]["parameters"] == {"canary": 3, "per_second": 5}
    act = source.written[1]
    assert (act[0], act[1]["reason"]) == ("actions", "they fixed their key")


async def _entered(console: Console, pilot: Pilot[None], then: Then) -> None:
    await press(console, pilot, "enter")
    await then(console, pilot)


def test_a_whole_group_is_meant_by_its_fingerprint_alone() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, *ARM, "a", "j", "enter")
        assert isinstance(console.screen, PlanDialog)

    source = used("dlq", then, posts={"plans": PAGES["plans", ""]})
    wish = source.written[0][1]
    assert (wish["action"], wish["subject"], wish["parameters"]) == ("dead_letter.discard", GROUP, {})


def test_a_running_replay_is_followed_and_halted() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        assert "12/31" in console.grid()
        source = console.source
        assert isinstance(source, FakeSource)
        further = {**REPLAY, "progress": {**REPLAY["progress"], "done": 20, "ok": 19, "failed": 1}}
        source.pages["actions", "action=dead_letter.replay&open=true"] = {"data": [further], "next_cursor": None}
        happened = {**answers.stream()[6], "kind": "action", "subject_id": REPLAY["id"], "position": 90_000}
        console.hear(Happened(event=happened))
        await again(console, pilot)
        assert "20/31" in console.grid()
        assert "19 ok 1 failed" in console.grid()
        await press(console, pilot, *ARM, "a", "G", "enter", *"wrong key", "enter")

    source = used("dlq", then)
    assert source.written[-1][:2] == (f"actions/{REPLAY['id']}/halt", {"reason": "wrong key"})


# --- days ---


def test_another_bucket_is_a_click_away_and_says_who_reviewed() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await pilot.click(TabLine, offset=(18, 0))
        await again(console, pilot)
        assert isinstance(console.screen, DayView)
        assert console.screen.status == "manually_reviewed"
        assert "reviewed by operator:ben" in console.grid()
        await press(console, pilot, "comma")
        await again(console, pilot)
        assert "missing_at_psp" in console.grid()

    source = used(DAY, then)
    asked = [query for path, query in source.asked if path.endswith("/items")]
    assert asked[0] == {"connector": "stripe", "currency": "EUR", "status": "mismatched", "limit": "100"}
    assert asked[-2]["status"] == "manually_reviewed"


def test_the_finding_or_the_day_is_meant() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, *ARM, "a")
        assert "finding amount \u22124.50 EUR" in console.grid()
        await press(console, pilot, "j", "enter")
        assert isinstance(console.screen, Choice)
        assert "close the day" in console.grid()
        assert "4 findings are open" in console.grid()
        await press(console, pilot, "enter")
        assert isinstance(console.screen, Choice), "what is refused says why, and nothing is planned"

    assert used(DAY, then).written == []


def test_days_are_filtered_by_the_server_and_here() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "slash", *"psp:stripe cur:JPY since:2d", "enter")
        await again(console, pilot)
        assert [row["currency"] for row in console.screen.query_one(VList).rows] == ["JPY"]

    source = used("recon", then)
    assert ("reconciliation/days", {"connector": "stripe", "from": "2026-10-14"}) in source.asked


def test_a_row_at_a_low_terminal_is_read_by_enter() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "enter")
        assert isinstance(console.screen, Reading)
        assert "ours (books)" in console.grid()

    used(DAY, then, size=(80, 20))


# --- acts ---


def test_the_second_person_approves_the_plan_of_now() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, *ARM, "enter")
        assert isinstance(console.screen, ActView)
        await press(console, pilot, "a", "enter")
        assert "INC-4412: shopper confirms the debit" in console.grid()
        await send(console, pilot, None)

    page = answers.answer(f"/ops/v1/actions/{SAME['id']}")
    source = used("approvals", then, posts={f"actions/{SAME['id']}/approve": {**page, "state": "done"}})
    assert [(path, body) for path, body, _, _ in source.written] == [
        (f"actions/{SAME['id']}/approve", {"hash": page["plan_now"]["hash"]}),
    ]


def test_a_changed_plan_cannot_be_approved_and_can_be_rejected() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, *ARM, "a", "enter")
        await send(console, pilot, None)
        assert "the plan is not allowed" in console.grid()
        await press(console, pilot, "escape", "a", "j", "enter", *"too late", "enter")

    source = used(f"act {CHANGED['id']}", then)
    assert [(path, body) for path, body, _, _ in source.written] == [(f"actions/{CHANGED['id']}/reject", {"reason": "too late"})]


def test_nothing_is_approved_in_read() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "a", "enter")
        assert "this console is in READ" in console.grid()

    assert used(f"act {SAME['id']}", then).written == []


def test_the_inbox_says_what_changed_since_it_was_proposed() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        rows = {row["id"]: row.get("plan_changed") for row in console.screen.query_one(VList).rows}
        assert rows[CHANGED["id"]] is True
        assert rows[SAME["id"]] is False

    source = used("approvals", then)
    assert len([path for path, _ in source.asked if path.startswith("actions/act_")]) == 2


def test_a_part_of_the_inbox_that_cannot_be_had_leaves_the_rest() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        assert "mine to approve 2" in console.grid()
        assert "req_a1" in console.grid()

    refused = Problem(503, {"title": "busy", "request_id": "req_a1"})
    used("approvals", then, pages={**PAGES, ("actions", "review=due"): refused})


# --- audit ---


def test_a_search_is_asked_of_the_server() -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "slash", *'who:ana since:2d psp:adyen "INC-4412"', "enter")
        await again(console, pilot)
        assert "filter who:ana" in console.grid()

    source = used("audit", then)
    wanted = {"who": "ana", "from": "2026-10-14T14:33:10Z", "connector": "adyen", "q": "INC-4412", "limit": "200"}
    assert ("audit", wanted) in source.asked


def test_a_record_is_read_whole_and_all_are_exported(tmp_path: Path) -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "enter")
        assert "record #88273" in console.grid()
        await press(console, pilot, "escape", "e")

    used("audit", then, size=(80, 24), folder=tmp_path)
    text = next(tmp_path.rglob("screen.txt")).read_text()
    assert "ActProposed" in text
    assert text.count("operator:ana") > 5


@pytest.mark.parametrize("at", ["dlq", "recon", DAY, "approvals", f"act {SAME['id']}", "audit"])
def test_each_names_its_command(at: str) -> None:
    async def then(console: Console, pilot: Pilot[None]) -> None:
        await press(console, pilot, "question_mark")
        assert "payorch ops " in console.grid()
        assert "--json" in console.grid()

    used(at, then)


def test_a_list_out_of_sight_is_asked_for_again_when_it_comes_back() -> None:
    """Somebody approves an act on its own page and is back in the list a moment later."""

    async def back_and_forth(console: Console, pilot: Pilot[None]) -> None:
        source = console.source
        assert isinstance(source, FakeSource)

        def asked() -> int:
            return sum(path == "actions" for path, _ in source.asked)

        async def there() -> None:
            await press(console, pilot, "enter")
            assert isinstance(console.screen, ActView)

        async def back() -> None:
            await press(console, pilot, "escape")
            await again(console, pilot)

        await there()
        await back()
        before = asked()
        await there()
        await back()
        assert asked() == before, "it was asked for a moment ago"
        await there()
        event = {"position": 9_000_000, "kind": "action", "event": "Approved", "stream": "act", "subject_id": SAME["id"]}
        console.hear(Happened(event=event))
        await again(console, pilot)
        await back()
        assert asked() > before

    used("approvals", back_and_forth)
