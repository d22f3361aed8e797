"""`payorch trigger`: each event's recipe asks the right things of the API and of the simulated PSP, and the event is waited for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.registry import CONNECTORS
from connectors.simulator.cards import SHARED
from connectors.simulator.dialect import Deed as DashboardDeed
from connectors.simulator.faults import FaultKind
from payorch.domain.announcements import EVENT_TYPES
from payorch.folders import write_private
from payorch.trigger import RECIPES, Await, Call, Deed, _in_parts
from tests.command_line import Ran, Run, runner
from tests.fake_platform import KEY, Answer, FakePlatform, Handle, Request, serving

Trigger = Callable[..., Ran]


@pytest.fixture
def payorch(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return runner(monkeypatch, capfd, tmp_path)


@pytest.fixture
def trigger(payorch: Run, tmp_path: Path) -> Trigger:
    """Runs `payorch trigger` against that platform, which is its own simulated PSPs as well."""

    def run(platform: FakePlatform, *words: str, handle: Handle | None = None) -> Ran:
        with serving(handle or platform.handle) as url:
            told = {"base_url": url, "merchant_key": KEY, "simulators": {"psp_one": url, "psp_two": url}}
            write_private(tmp_path / "credentials.json", json.dumps(told))
            return payorch("trigger", *words, "--data-dir", str(tmp_path))

    return run


def happens(*types: str) -> Callable[[FakePlatform], None]:
    """The payment's events of these types."""

    def follow(platform: FakePlatform) -> None:
        for type in types:
            platform.happens(type)

    return follow


def did(platform: FakePlatform) -> list[tuple[str, str, Any]]:
    """What the command asked for, without its looks for the event."""
    paid = platform.payment.get("id", "no payment")
    asked = [one for one in platform.requests if one.method != "GET"]
    return [(one.method, one.path.replace(paid, "PAY"), one.said if one.body else None) for one in asked]


def test_every_event_that_merchants_hear_of_has_a_recipe(payorch: Run) -> None:
    assert set(RECIPES) == set(EVENT_TYPES)
    listed = payorch("trigger")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()] == list(RECIPES)
    assert [one["event"] for one in payorch("trigger", "--json").data] == list(RECIPES)


@pytest.mark.parametrize("connector", CONNECTORS)
def test_captures_in_parts_are_asked_for_as_each_psp_wants_it(connector: str) -> None:
    options = _in_parts(connector)
    assert options == dict(CONNECTORS[connector].manifest.several_captures_options)
    assert CONNECTORS[connector].check_options(options) == []
    assert _in_parts("psp_one") == {}


@pytest.mark.parametrize("event", RECIPES)
def test_recipes_are_made_of_what_simulators_understand(event: str) -> None:
    recipe = RECIPES[event]
    assert recipe.token in SHARED
    assert recipe.fault is None or recipe.fault in set(FaultKind)
    for step in recipe.steps:
        match step:
            case Call(what=what):
                assert what in ("captures", "voids", "refunds")
            case Deed(do=do):
                assert do in set(DashboardDeed)
            case Await(event=awaited):
                assert awaited in RECIPES


def test_a_payment_is_made_and_its_event_told(trigger: Trigger) -> None:
    platform = FakePlatform(follows={("POST", "payments"): happens("payment.succeeded")}, payment={"status": "succeeded"})
    ran = trigger(platform, "payment.succeeded")
    assert (ran.code, ran.err) == (0, "")
    [event], paid = platform.events, platform.payment["id"]
    assert ran.out.splitlines() == [
        f"payment {paid} of 19.99 EUR with tok_visa at psp_one: succeeded",
        f"payment.succeeded: {event['id']}",
        "",
        f"payment.succeeded is {event['id']}, of {paid}: sequence 12",
    ]
    assert did(platform) == [
        (
            "POST",
            "/v1/payments",
            {
                "amount": 1999, "currency": "EUR", "reference": "trigger-payment.succeeded", "capture": "automatic", "connector": "psp_one",
                "payment_method": {"type": "card", "token": "tok_visa"}, "return_url": "https://shop.example/return",
            },
        )
    ]  # fmt: skip
    assert re.fullmatch(r"trigger-[0-9a-f-]{36}", platform.requests[0].headers["idempotency-key"])
    assert KEY not in ran.out


def test_it_waits_until_the_event_is_there(trigger: Trigger) -> None:
    platform = FakePlatform()
    looks: list[str] = []

    def handle(request: Request) -> Answer:
        if request.path == "/v1/events":
            looks.append(request.query["type"])
            platform.answers = 503 if len(looks) == 2 else None  # away for a look
            if len(looks) == 3:
                platform.happens("capture.failed")
        return platform.handle(request)

    ran = trigger(platform, "capture.failed", "--connector", "psp_two", "--json", handle=handle)
    assert ran.code == 0
    assert (ran.data["payment"], ran.data["event"]) == (platform.payment["id"], platform.events[0])
    assert len(ran.data["steps"]) == 3
    [(_, _, paid), captured] = did(platform)
    assert (paid["payment_method"]["token"], paid["capture"], paid["connector"]) == ("tok_capture_fails_late", "manual", "psp_two")
    assert captured == ("POST", "/v1/payments/PAY/captures", {})


def test_the_dashboard_comes_after_what_it_is_about(trigger: Trigger) -> None:
    platform = FakePlatform(
        follows={("POST", "dispute"): happens("dispute.opened"), ("POST", "win_dispute"): happens("dispute.updated")},
    )
    ran = trigger(platform, "dispute.updated")
    assert ran.code == 0
    assert did(platform)[1:] == [
        ("POST", "/_dashboard", {"payment": "ref_1", "do": "dispute"}),
        ("POST", "/_dashboard", {"payment": "ref_1", "do": "win_dispute"}),
    ]
    asked = [(one.path, one.query.get("type")) for one in platform.requests]
    assert asked.index(("/v1/events", "dispute.opened")) < [path for path, _ in asked].index("/_dashboard") + 2
    assert "at psp_one itself, to ref_1: win dispute" in ran.out


def test_a_fault_befalls_the_payment_and_nobody_else(trigger: Trigger) -> None:
    platform = FakePlatform(follows={("POST", "payments"): happens("payment.unconfirmed")})
    assert trigger(platform, "payment.unconfirmed").code == 0
    first, _, last = did(platform)
    assert first == ("POST", "/_faults", {"fault": "reset_after", "count": 1, "scope": "authorize", "for_seconds": 60.0})
    assert last == ("DELETE", "/_faults/7", None)
    refused = FakePlatform(key="another")
    ran = trigger(refused, "payment.unconfirmed")
    assert (ran.code, "401: There is no such key." in ran.err) == (1, True)
    assert did(refused)[-1] == ("DELETE", "/_faults/7", None)


def test_what_the_shopper_would_see_is_told(trigger: Trigger) -> None:
    action = {"type": "redirect", "url": "http://127.0.0.1:1/_3ds/1\x1b"}
    platform = FakePlatform(
        follows={("POST", "payments"): happens("payment.requires_action")}, payment={"status": "requires_action", "next_action": action}
    )
    assert "the shopper would go to http://127.0.0.1:1/_3ds/1\\x1b\n" in trigger(platform, "payment.requires_action").out


def test_a_token_of_the_psps_own(trigger: Trigger) -> None:
    platform = FakePlatform(follows={("POST", "refunds"): happens("refund.pending")})
    assert trigger(platform, "refund.pending", "--token", "card_of_theirs").code == 0
    assert did(platform)[0][2]["payment_method"]["token"] == "card_of_theirs"


def test_several_captures_are_asked_for_with_the_payment(trigger: Trigger) -> None:
    platform = FakePlatform(follows={("POST", "captures"): happens("payment.partially_captured")})
    assert trigger(platform, "payment.partially_captured").code == 0
    paid, captured = did(platform)
    assert list(paid[2]["connector_options"]) == ["psp_one"]
    assert captured[2] == {"amount": 500, "final": False}


def test_an_event_that_does_not_come_is_told_with_where_to_look(trigger: Trigger) -> None:
    platform = FakePlatform()
    ran = trigger(platform, "payment.succeeded", "--wait", "0.1s")
    assert ran.code == 1
    assert ran.err == (
        f"payorch: no payment.succeeded came within 0.1 s. What became of the payment: GET /v1/payments/{platform.payment['id']}/timeline\n"
    )


def test_what_cannot_be_is_told(trigger: Trigger, payorch: Run, tmp_path: Path) -> None:
    elsewhere = trigger(FakePlatform(), "payment.succeeded", "--connector", "psp_nine")
    assert (elsewhere.code, elsewhere.err) == (1, "payorch: psp_nine is not simulated here; the simulators are: psp_one, psp_two\n")
    unknown = payorch("trigger", "payment.exploded")
    assert (unknown.code, unknown.out) == (2, "")
    assert unknown.err.startswith("payorch: there is no event payment.exploded; `payorch trigger` lists them\n")
    assert payorch("trigger", "payment.succeeded", "--wait", "soon").code == 2
    nowhere = payorch("trigger", "payment.succeeded")
    assert (nowhere.code, "`payorch up --data-dir .payorch` makes one" in nowhere.err) == (1, True)
    write_private(tmp_path / "credentials.json", json.dumps({"base_url": "http://127.0.0.1:1", "merchant_key": KEY}))
    real = payorch("trigger", "payment.succeeded", "--data-dir", str(tmp_path))
    assert (real.code, "no PSP is simulated here" in real.err) == (1, True)
    told = {"base_url": "http://127.0.0.1:1", "merchant_key": KEY, "simulators": {"psp_one": "http://127.0.0.1:1"}}
    write_private(tmp_path / "credentials.json", json.dumps(told))
    away = payorch("trigger", "payment.succeeded", "--data-dir", str(tmp_path))
    assert (away.code, away.err) == (1, "payorch: http://127.0.0.1:1 does not answer (ConnectError)\n")
    broken = payorch("trigger", "payment.unconfirmed", "--data-dir", str(tmp_path))
    assert (broken.code, broken.err) == (1, "payorch: the simulated psp_one does not answer (ConnectError)\n")


def test_what_the_psp_does_not_allow_is_told_in_its_words(trigger: Trigger) -> None:
    platform = FakePlatform()

    def handle(request: Request) -> Answer:
        return (409, {"error": "Nothing is held."}) if request.path == "/_dashboard" else platform.handle(request)

    ran = trigger(platform, "payment.review", handle=handle)
    assert (ran.code, ran.err) == (1, "payorch: psp_one: Nothing is held.\n")
