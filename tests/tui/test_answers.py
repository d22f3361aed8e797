"""The made-up answers that the console is tested with are what their makers write, and can be found by call."""

from __future__ import annotations

from tests.tui import answers


def test_the_files_are_what_is_written() -> None:
    there = {path.name: path.read_text() for path in answers.FOLDER.glob("*.json*")}
    assert there == answers.written(), "renew them: python -m tests.tui.answers"


def test_each_call_finds_its_answer() -> None:
    identity = answers.payment_id("unknown")
    assert answers.answer(f"/ops/v1/payments/{identity}")["state"] == "OUTCOME_UNKNOWN"
    assert answers.answer("/ops/v1/dead-letters?group=fingerprint")["data"][0]["object"] == "dead_letter_group"
    assert answers.answer("/ops/v1/payments?state=FAILED")["total"] == len(answers.answer("/ops/v1/payments")["data"])


def test_the_stream_follows_the_snapshot() -> None:
    cursor = answers.answer("/ops/v1/snapshot")["cursor"]
    assert [one["position"] for one in answers.stream()] == [cursor + 1 + number for number in range(60)]
