"""Recordings: what is written is redacted, and what is read back is the same console."""

from __future__ import annotations

import asyncio
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.world import FakeSource, event, snapshot
from tui import export
from tui.api import Problem
from tui.clock import StandingClock
from tui.messages import Happened, Link, Message, Page, Snapshot
from tui.recording import Recorded, RecordingSource, ReplaySource, read, starts_at, written
from tui.redact import STRUCK, redacted

NOW = datetime(2026, 10, 16, 14, 33, tzinfo=UTC)
CARD = "4111 1111 1111 1111"


def test_what_is_recorded_replays() -> None:
    async def scenario() -> list[str]:
        file, clock = io.StringIO(), StandingClock(NOW)
        pages: dict[tuple[str, str], Any] = {("payments", ""): {"data": []}, ("audit", ""): Problem(503, {"title": "later"})}
        source = RecordingSource(FakeSource(pages, [Snapshot(data=snapshot()), Happened(event=event(121))]), file, clock)
        work = asyncio.create_task(source.run(lambda message: clock.forward(0.5)))
        await asyncio.sleep(0)
        await source.get("payments", {"limit": 200})
        with pytest.raises(Problem):
            await source.get("audit")
        work.cancel()
        return file.getvalue().splitlines()

    recorded = read(asyncio.run(scenario()))
    assert [type(one.message) for one in recorded] == [Snapshot, Happened, Page, Page]
    assert [one.t for one in recorded] == [0.0, 0.5, 1.0, 1.0]

    async def replayed() -> list[Message]:
        source = ReplaySource(recorded, speed=0)
        messages: list[Message] = []
        work = asyncio.create_task(source.run(messages.append))
        await asyncio.sleep(0)
        work.cancel()
        assert await source.get("payments", {"limit": 200}) == {"data": []}
        for path, status in (("audit", 503), ("connectors", 404)):
            with pytest.raises(Problem) as problem:
                await source.get(path)
            assert problem.value.status == status
        with pytest.raises(Problem, match="cannot be changed"):
            await source.post("actions", {})
        return messages

    messages = asyncio.run(replayed())
    assert [type(message) for message in messages] == [Link, Snapshot, Happened]


def test_a_recording_begins_at_a_time_of_day() -> None:
    recorded = [Recorded(t=float(at), message=Happened(event=event(1, at=f"2026-10-16T14:3{at}:00.000Z"))) for at in range(5)]
    assert starts_at(recorded, "14:32") == 2.0
    assert starts_at(recorded, None) == 0.0
    assert starts_at(recorded, "23:00") == 4.0


@given(st.lists(st.text(max_size=30), max_size=5))
def test_a_broken_file_is_read_as_far_as_it_goes(lines: list[str]) -> None:
    whole = written(1.0, Happened(event=event(5)))
    assert Happened(event=event(5)) in [one.message for one in read([*lines, whole, whole[:40], "[1]", "{}", '{"what": 1}'])]


def test_cards_and_secrets_do_not_leave() -> None:
    struck: set[str] = set()
    data = {
        "token": "tok",
        "card": {"number": CARD},
        "text": f"card {CARD} of Bearer abc.def",
        "reference": "8516153423456789",
        "n": [{"email": "a@b"}],
    }
    clean = redacted(data, struck)
    assert clean["token"] == STRUCK
    assert clean["n"] == [{"email": STRUCK}]
    assert CARD not in str(clean)
    assert "abc.def" not in str(clean)
    assert clean["reference"] == "8516153423456789", "a reference without the check digit of a card stays"
    assert struck == {"token", "number", "email", "(in a text)"}
    assert CARD not in written(0, Happened(event=event(1, text=f"paid by {CARD}")))


def test_an_export_is_for_its_owner_and_says_what_was_struck_out(tmp_path: Path) -> None:
    folder, struck = export.bundle(tmp_path, "Payments/../x", NOW, {"secret": "s", "id": "pay_1"}, "grid", "<svg/>", {"view": "payments"})
    assert struck == ["secret"]
    assert folder.parent == tmp_path / export.FOLDER
    assert sorted(path.name for path in folder.iterdir()) == ["data.json", "screen.svg", "screen.txt"]
    assert (folder / "data.json").stat().st_mode & 0o777 == 0o600
    assert '"struck_out": [\n    "secret"\n  ]' in (folder / "data.json").read_text()


def test_a_crash_report_has_places_and_no_values(tmp_path: Path) -> None:
    secret = "tok_very_secret"
    try:
        raise ValueError(f"Bearer {secret} was not read")
    except ValueError as error:
        text = export.crash_report(tmp_path, error, NOW, {}).read_text()
    assert "ValueError" in text
    assert "test_recording.py" in text
    assert f"Bearer {secret}" not in text.split("\n\n")[1].split("\n")[0]
