"""`payorch ops`: each command asks for the right thing in the right name, shows it harmlessly, and says no as the platform does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from payorch.folders import write_private
from tests.command_line import Ran, Run, runner
from tests.fake_platform import Answer, Request, serving

PLAN: dict[str, Any] = {
    "id": "pln_1", "verb": "refund", "subject": "pay_1", "allowed": True, "objections": [], "people": 2, "why_people": "money leaves",
    "effects": [{"what": "money", "before": "refunded 0.00 EUR", "after": "refunded 5.00 EUR"}], "undo": "none", "confirm": "5.00",
    "checks": [{"what": "version 7 is the present one", "holds": True, "detail": None, "binds": True}], "proofs": [],
    "hash": "ab" * 32, "expires_at": "2026-11-29T10:00:00.000Z",
}  # fmt: skip
ACT: dict[str, Any] = {
    "id": "act_1", "action": "payment.refund", "subject": "pay_1", "state": "proposed", "verb": "refund", "result": None, "progress": None,
}  # fmt: skip


class Platform:
    """Answers each (method, path) with what it was given, and keeps what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[tuple[str, str], tuple[int, Any]] = {}
        self.requests: list[Request] = []

    def says(self, method: str, path: str, body: Any, status: int = 200) -> None:
        self.answers[method, f"/ops/v1/{path}"] = (status, body)

    def handle(self, request: Request) -> Answer:
        self.requests.append(request)
        if not request.headers["authorization"].startswith("Bearer op_"):
            return 401, {"detail": "That is no token."}
        return self.answers.get((request.method, request.path), (404, {"detail": "nothing here", "request_id": "req_9"}))


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def payorch(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return runner(monkeypatch, capfd, tmp_path)


@pytest.fixture
def ops(platform: Platform, payorch: Run, tmp_path: Path) -> Any:
    """Runs `payorch ops` against that platform, as the operators of a local stack."""

    def run(*words: str) -> Ran:
        with serving(platform.handle) as url:
            told = {"base_url": url, "operators": {"ana": {"token": "op_ana"}, "ben": {"token": "op_ben"}}}
            write_private(tmp_path / "credentials.json", json.dumps(told))
            return payorch("ops", *words, "--data-dir", str(tmp_path))

    return run


def a_payment(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"pay_{number}", "state": "CAPTURED", "amount": 1999, "currency": "EUR", "amount_captured": 1999, "amount_refunded": 0,
        "merchant": "demo", "connector": "psp", "reference": f"order-{number}", "created_at": "2026-11-29T09:00:00.000Z", **more,
    }  # fmt: skip


def a_page(**more: Any) -> dict[str, Any]:
    """A payment as its page has it."""
    money = {
        "ours": {"text": "not known"}, "ledger": {"text": "net 0.00 EUR"}, "psp": None, "settlement": {"text": "not due"}, "agree": None,
        "disagreement": None,
    }  # fmt: skip
    page = a_payment(1, merchant={"id": "mer_1", "name": "Demo"}, state="OUTCOME_UNKNOWN", money=money, route=["psp"], held=None)
    page |= {
        "why": {"headline": "Why unknown", "text": "The answer was lost."},
        "attempts": [],
        "operations": [],
        "actions": [],
        "acts": [],
    }
    coming = {"text": "look #1", "at": "2026-11-29T09:00:05.000Z", "then": "people decide", "gives_up_at": None}
    return {**page, "acts": [], "next": coming, **more}


def test_a_payment_is_explained(ops: Any, platform: Platform) -> None:
    said = "the PSP took it, we booked nothing"
    refused = {"action": "payment.refund", "people": 1, "allowed": False, "why_not": "Nothing was captured."}
    page = a_page(actions=[refused])
    page["money"]["disagreement"] = said
    platform.says("GET", "payments/pay_1", page)
    lines = ops("payment", "pay_1").out
    for words in (
        "OUTCOME_UNKNOWN  19.99 EUR  Demo  order-1",
        "we not known; our ledger net 0.00 EUR; the PSP nothing",
        f"DISAGREE: {said}",
    ):
        assert words in lines
    for words in ("Why unknown: The answer was lost.", "look #1 2026-11-29T09:00:05.000Z", "people decide", "Nothing was captured."):
        assert words in lines


def test_a_payment_with_which_all_is_well_has_no_why_and_nothing_to_come(ops: Any, platform: Platform) -> None:
    platform.says("GET", "payments/pay_1", a_page(why=None, next=None))
    ran = ops("payment", "pay_1")
    assert (ran.code, ran.err) == (0, "")
    assert "we not known" in ran.out


def test_a_list_is_asked_for_page_by_page_and_shown_in_columns(ops: Any, platform: Platform) -> None:
    platform.says("GET", "payments", {"data": [a_payment(1), a_payment(2)], "next_cursor": None, "total": 2, "total_is_exact": True})
    ran = ops("payments", "--state", "CAPTURED", "--problem", "--limit", "7")
    assert ran.code == 0
    assert "pay_1  CAPTURED  19.99 EUR  19.99 EUR  0.00 EUR" in ran.out, "every amount in the units of its currency"
    assert "2 of 2" in ran.out
    [asked] = platform.requests
    assert asked.query == {"state": "CAPTURED", "problem": "true", "limit": "7"}
    assert asked.headers["authorization"] == "Bearer op_ana"


def test_a_terminal_is_never_told_what_a_merchant_wrote(ops: Any, platform: Platform) -> None:
    hostile = "\x1b]52;c;aGFjaw==\x1b\\\u202e"
    platform.says("GET", "payments", {"data": [a_payment(1, reference=hostile)], "next_cursor": None})
    platform.says("GET", "payments/pay_1", a_page(reference=hostile, attempts=[{"id": "att_1", "failure": {"message": hostile}}]))
    platform.says("GET", "dead-letters/dlq_1", {"id": "dlq_1", "payload": {"x": [hostile], hostile: 1}})
    asked = (("payments",), ("payment", "pay_1"), ("dead-letter", "dlq_1"))
    for words in (*asked, *((*words, "--json") for words in asked)):
        ran = ops(*words)
        assert ran.code == 0
        assert all(one.isprintable() or one == "\n" for one in ran.out), ran.out
        assert "52;c;" in ran.out


def test_json_is_what_the_platform_said(ops: Any, platform: Platform) -> None:
    said = {"data": [a_payment(1)], "next_cursor": "abc", "total": None, "total_is_exact": False}
    platform.says("GET", "payments", said)
    ran = ops("payments", "--limit", "1", "--json")
    assert ran.data == said


def test_another_operator_of_the_local_stack_may_be_named(ops: Any, platform: Platform) -> None:
    platform.says("GET", "meta", {"object": "meta"})
    assert ops("meta", "--as", "ben").code == 0
    assert platform.requests[-1].headers["authorization"] == "Bearer op_ben"
    assert "knows no operator zoe; it knows: ana, ben" in ops("meta", "--as", "zoe").err


def test_without_a_place_or_a_token_it_says_what_is_missing(payorch: Run) -> None:
    assert payorch("ops", "meta", "--url", "http://127.0.0.1:1").code == 2
    ran = payorch("ops", "meta", "--token", "op_x")
    assert (ran.code, "which platform?" in ran.err) == (2, True)


def test_a_problem_is_told_in_its_own_words_with_its_request(ops: Any) -> None:
    ran = ops("payment", "pay_404")
    assert (ran.code, ran.out) == (1, "")
    assert "404: nothing here (request req_9)" in ran.err


@pytest.mark.parametrize("name", ["a/b", "..", ""])
def test_an_id_is_one_part_of_a_path(ops: Any, platform: Platform, name: str) -> None:
    assert ops("payment", name).code == 2
    assert platform.requests == []


def test_an_act_is_planned_shown_and_only_asked_for_when_it_is_confirmed(ops: Any, platform: Platform) -> None:
    platform.says("POST", "plans", PLAN, 201)
    platform.says("POST", "actions", ACT, 201)
    wish = ("do", "payment.refund", "pay_1", "--reason", "the goods came back", "--set.amount", "500")
    ran = ops(*wish)
    assert ran.code == 2
    assert "refunded 0.00 EUR  ->  refunded 5.00 EUR" in ran.out
    assert "two people: money leaves" in ran.out
    assert "--confirm 5.00" in ran.err
    assert [one.path for one in platform.requests] == ["/ops/v1/plans"]
    done = ops(*wish, "--confirm", "5.00")
    assert (done.code, "waits for another person" in done.out) == (0, True)
    asked, act = platform.requests[-2:]
    assert asked.said == {"action": "payment.refund", "subject": "pay_1", "parameters": {"amount": 500}, "break_glass": False}
    assert act.said == {"plan": "pln_1", "reason": "the goods came back"}
    assert act.headers["idempotency-key"] == "pln_1"
    assert act.headers["if-match"] == f'"{PLAN["hash"]}"'


def test_what_is_not_allowed_is_not_asked_for(ops: Any, platform: Platform) -> None:
    refused = {**PLAN, "allowed": False, "objections": [{"code": "operation_not_allowed", "why": "It is FAILED."}]}
    platform.says("POST", "plans", refused, 201)
    ran = ops("do", "payment.refund", "pay_1", "--reason", "x", "--confirm", "5.00")
    assert ran.code == 1
    assert "NOT ALLOWED (operation_not_allowed): It is FAILED." in ran.err
    assert [one.path for one in platform.requests] == ["/ops/v1/plans"]


def test_who_agrees_agrees_to_the_plan_as_it_is_now(ops: Any, platform: Platform) -> None:
    now = {**PLAN, "hash": "cd" * 32}
    platform.says("GET", "actions/act_1", {**ACT, "plan": PLAN, "plan_now": now, "changed": True})
    platform.says("POST", "actions/act_1/approve", {**ACT, "state": "done", "result": {"text": "refunded"}})
    ran = ops("approve", "act_1", "--as", "ben")
    assert (ran.code, "done" in ran.out) == (0, True)
    assert platform.requests[-1].said == {"hash": "cd" * 32}


@pytest.mark.parametrize("state", ["refused", "failed", "halted"])
def test_what_came_to_nothing_is_a_failure_of_the_command(ops: Any, platform: Platform, state: str) -> None:
    platform.says("POST", "actions/act_1/approve", {**ACT, "state": state, "result": {"text": "it was captured meanwhile"}})
    ran = ops("approve", "act_1", "--hash", "ab" * 32)
    assert ran.code == 1
    assert "captured meanwhile" in ran.out


@pytest.mark.parametrize(
    ("words", "path", "body"),
    [
        (("reject", "act_1", "--reason", "no"), "actions/act_1/reject", {"reason": "no"}),
        (("halt", "act_1", "--reason", "enough"), "actions/act_1/halt", {"reason": "enough"}),
        (("review", "act_1", "--note", "was right"), "actions/act_1/review", {"note": "was right"}),
        (("propose", "pln_1", "--reason", "so"), "actions", {"plan": "pln_1", "reason": "so"}),
    ],
)
def test_what_else_is_said_of_an_act(ops: Any, platform: Platform, words: tuple[str, ...], path: str, body: Mapping[str, Any]) -> None:
    platform.says("POST", path, ACT)
    assert ops(*words).code == 0
    assert platform.requests[-1].said == body


def test_a_journal_that_is_not_whole_fails_the_command(ops: Any, platform: Platform) -> None:
    platform.says("GET", "audit/verification", {"state": "broken", "position": 41, "detail": "a record was changed"})
    ran = ops("audit-state")
    assert (ran.code, "from position 41 on: a record was changed" in ran.err) == (1, True)


def test_the_stream_is_followed_line_by_line(monkeypatch: pytest.MonkeyPatch, payorch: Run) -> None:
    event = {
        "position": 7, "at": "2026-11-29T09:00:00.000Z", "subject_id": "pay_1", "change": "ROUTING -> AUTHORIZING", "text": "It was sent.",
        "actor": "system",
    }  # fmt: skip
    messages = [("hb", {"head": 6}), ("vital", {}), ("payment", event), ("reset", {"reason": "slow"})]

    async def stream(self: Any, *, topics: str | None, after: str | None) -> Any:
        assert (topics, after) == ("payment", "5")
        for one in messages:
            yield one

    monkeypatch.setattr("payorch.operator_client.OperatorClient.stream", stream)
    ran = payorch("ops", "watch", "--topics", "payment", "--after", "5", "--url", "http://127.0.0.1:1", "--token", "op_x")
    lines = ran.out.splitlines()
    assert len(lines) == 2
    assert "ROUTING -> AUTHORIZING  It was sent.  (system)" in lines[0]


def test_the_console_needs_a_terminal(payorch: Run) -> None:
    ran = payorch("console", "--url", "http://127.0.0.1:1", "--token", "op_x")
    assert (ran.code, "needs a terminal" in ran.err) == (2, True)
