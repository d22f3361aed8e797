"""A command about a payment with an unknown outcome: the PSP is asked first, and the command is decided on what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import trio

from actors.connector import Execute
from actors.mailbox import ActorStopped, MailboxFull
from actors.messages import Due
from payorch.api.answering import Asked, Said
from payorch.api.contracts import VoidPaymentBody
from payorch.domain.outcome import Absent, Approved, ErrorClass, Failure, Finding, Source, Unknown
from payorch.domain.records import Attempt
from tests.api.actor_world import Platform, Shared, platforms
from tests.api.merchant_world import ANSWER_WITHIN_SECONDS, MERCHANT, charge, new_id

INQUIRE_FIRST_SECONDS = 3.0
LOST = Unknown(failure=Failure(error_class=ErrorClass.UNKNOWN_OUTCOME, code="read_timeout", message="Lost."))


@asynccontextmanager
async def shop(**how: Any) -> AsyncIterator[Shared]:
    async with platforms(1, psp_seconds=0.05, **how) as (shared, _):
        yield shared


class Psp:
    """Loses its answer to the calls named in `loses`, and to an inquiry says `found` after `seconds` (None: it never answers)."""

    def __init__(self, shared: Shared, *loses: str, found: Finding | None = None) -> None:
        self.shared = shared
        self.loses = loses
        self.found = found
        shared.psp = self

    def __call__(self, execute: Execute) -> Finding | None:
        if execute.source is Source.INQUIRY:
            return self.found
        what = "authorize" if isinstance(execute.subject, Attempt) else execute.subject.kind.value
        return LOST if what in self.loses else Approved()

    @property
    def heard(self) -> list[tuple[str, str]]:
        """(what about, how) for each call, in order."""
        kinds = ["authorize" if isinstance(one.subject, Attempt) else one.subject.kind.value for one in self.shared.calls]
        return list(zip(kinds, (str(one.source) for one in self.shared.calls), strict=True))


async def pay(shared: Shared, **body: Any) -> str:
    answer = await shared.store.post(body=charge(capture="manual", **body), idempotency=new_id("evt"))
    return f"/v1/payments/{answer.seen['id']}"


async def ask(shared: Shared, path: str, key: str | None = None, **body: Any) -> Any:
    return await shared.store.post(path, body=body, idempotency=key or new_id("evt"))


async def test_a_refund_of_an_unknown_capture_asks_and_is_decided_on_the_answer(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        psp = Psp(shared, "capture", found=Approved())
        path = await pay(shared)
        assert (await ask(shared, f"{path}/captures")).seen["outcome"] == "unconfirmed"
        began = trio.current_time()
        answer = await ask(shared, f"{path}/refunds", amount=500)
        assert (answer.status_code, answer.seen["status"], answer.seen["payment"]["state"]) == (201, "succeeded", "CAPTURED")
        assert trio.current_time() - began < 0.5, "it is decided when the PSP has answered"
        assert psp.heard == [("authorize", "response"), ("capture", "response"), ("capture", "inquiry"), ("refund", "response")]


@pytest.mark.parametrize(
    ("what", "status", "state"),
    [("captures", 201, "CAPTURED"), ("voids", 201, "CANCELED"), ("refunds", 409, "AUTHORIZED"), ("cancel", 409, "AUTHORIZED")],
)
async def test_every_command_asks_about_an_unknown_authorisation(
    what: str, status: int, state: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with shop() as shared:
        psp = Psp(shared, "authorize", found=Approved())
        path = await pay(shared)
        answer = await ask(shared, f"{path}/{what}")
        assert answer.status_code == status, answer.raw
        assert (await shared.store.call("GET", path)).seen["state"] == state
        assert psp.heard[:2] == [("authorize", "response"), ("authorize", "inquiry")]
        assert Counter(how for _, how in psp.heard)["replay"] == 0


async def test_an_unknown_refund_is_asked_about_before_the_next_one(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        psp = Psp(shared, "refund", found=Approved())
        path = await pay(shared)
        await ask(shared, f"{path}/captures")
        assert (await ask(shared, f"{path}/refunds", amount=1500)).seen["outcome"] == "unconfirmed"
        answer = await ask(shared, f"{path}/refunds", amount=500)
        assert (answer.status_code, answer.seen["code"]) == (422, "amount_exceeds_refundable")
        assert psp.heard[-1] == ("refund", "inquiry")
        assert (await shared.store.call("GET", path)).seen["amount_refunded"] == 1500


async def test_an_inquiry_that_finds_nothing_new_leaves_the_command_to_what_is_known(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        psp = Psp(shared, "authorize", found=Absent())
        path = await pay(shared)
        answer = await ask(shared, f"{path}/voids")
        assert (answer.status_code, answer.seen["id"], answer.seen["payment"]["cancel_requested"]) == (202, None, True)
        refused = await ask(shared, f"{path}/captures")
        assert (refused.status_code, refused.seen["code"]) == (409, "operation_not_allowed")
        assert psp.heard == [("authorize", "response"), ("authorize", "inquiry"), ("authorize", "inquiry")]


async def test_a_psp_that_does_not_answer_is_not_waited_for_longer_than_the_setting(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        Psp(shared, "authorize", found=None)
        path = await pay(shared)
        began = trio.current_time()
        answer = await ask(shared, f"{path}/voids")
        assert trio.current_time() - began == pytest.approx(INQUIRE_FIRST_SECONDS, abs=0.1)
        assert INQUIRE_FIRST_SECONDS < ANSWER_WITHIN_SECONDS
        assert (answer.status_code, answer.seen["id"]) == (202, None)


@pytest.mark.parametrize("obstacle", [MailboxFull(), ActorStopped()])
async def test_a_connector_that_cannot_be_told_is_not_waited_for(obstacle: Exception, autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        Psp(shared, "authorize", found=Approved())
        path = await pay(shared)
        shared.busy = obstacle
        began = trio.current_time()
        answer = await ask(shared, f"{path}/voids")
        assert (answer.status_code, answer.seen["id"]) == (202, None)
        assert trio.current_time() - began < 0.5


async def test_several_commands_wait_for_one_inquiry_and_are_decided_in_their_order(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        psp = Psp(shared, "authorize", found=Approved())
        path = await pay(shared, connector_options={"stripe": {"request_multicapture": "if_available"}})
        found: dict[int, Any] = {}

        async def client(number: int) -> None:
            await trio.sleep(number * 0.005)
            found[number] = await ask(shared, f"{path}/captures", amount=500, final=False)

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(client, number)
        assert [found[number].status_code for number in range(5)] == [201, 201, 201, 422, 422]
        assert Counter(psp.heard) == {("authorize", "response"): 1, ("authorize", "inquiry"): 1, ("capture", "response"): 3}
        assert (await shared.store.call("GET", path)).seen["amount_captured"] == 1500


async def test_nothing_is_accepted_while_the_psp_is_asked(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        Psp(shared, "authorize", found=None)
        path = await pay(shared)
        answers: list[Any] = []

        async def first() -> None:
            answers.append(await ask(shared, f"{path}/voids", "k"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(first)
            await trio.sleep(1)
            assert all(key != "k" for _, key in shared.store.claims)
            twin = await ask(shared, f"{path}/voids", "k")
            assert (twin.status_code, twin.seen["code"]) == (409, "idempotency_in_progress")
        assert answers[0].status_code == 202
        assert (await ask(shared, f"{path}/voids", "k")).raw == answers[0].raw


async def test_two_processes_that_ask_for_one_key_accept_it_once(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(2, psp_seconds=0.05) as (shared, running):
        Psp(shared, "authorize", found=None)
        payment_id = (await pay(shared)).rpartition("/")[2]
        said: list[Said] = []

        async def through(platform: Platform, request: str) -> None:
            how = Asked(merchant_id=MERCHANT, key="k", fingerprint=b"f" * 32, method_path="POST voids", request_id=request)
            said.append(await platform.answering.void(how, payment_id, VoidPaymentBody()))

        async with trio.open_nursery() as nursery:
            for number, platform in enumerate(running):
                nursery.start_soon(through, platform, f"r{number}")
        assert [one.status for one in said] == [202, 202]
        assert said[0].body == said[1].body
        assert sorted(one.replayed for one in said) == [False, True]


async def test_a_call_that_is_under_way_already_is_the_inquiry(autojump_clock: trio.testing.MockClock) -> None:
    """A look that a timer has just sent will tell as much: no second call goes out."""
    async with platforms(1, psp_seconds=0.05) as (shared, (platform,)):
        psp = Psp(shared, "authorize", found=Approved())
        path = await pay(shared)
        platform.clock.at += timedelta(seconds=10)
        platform.directory.tell(path.rpartition("/")[2], Due())
        await trio.sleep(0.03)
        assert psp.heard[1:] == [("authorize", "inquiry")]
        assert (await ask(shared, f"{path}/captures")).status_code == 201
        assert psp.heard[1:] == [("authorize", "inquiry"), ("capture", "response")]


async def test_a_crowd_that_waits_for_an_inquiry_is_bounded(autojump_clock: trio.testing.MockClock) -> None:
    async with shop(mailbox_capacity=4, commit_seconds=0.001) as shared:
        Psp(shared, "authorize", found=None)
        path = await pay(shared)
        found: list[Any] = []

        async def client(number: int) -> None:
            await trio.sleep(number * 0.01)  # each is taken from the mailbox before the next one comes
            found.append(await ask(shared, f"{path}/voids"))

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(client, number)
        counted = Counter(one.status_code for one in found)
        assert counted == {202: 8, 503: 12}
        assert {one.seen["code"] for one in found if one.status_code == 503} == {"overloaded"}


async def test_whoever_has_gone_meanwhile_starts_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        Psp(shared, "authorize", found=None)
        path = await pay(shared)
        before = len(shared.calls)
        with trio.move_on_after(1):
            await ask(shared, f"{path}/voids")
        await trio.sleep(10)
        assert (await shared.store.call("GET", path)).seen["cancel_requested"] is False
        assert len(shared.calls) == before + 1
