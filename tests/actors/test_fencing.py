"""The fence on its way: committed before it is sent, under a key of its own, again by the schedule, and ended by a notice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio.testing

from actors.admission import CallKind, kind_of
from actors.connector import Execute
from actors.messages import AnswersAgain, Notified, Outcome, Settled
from payorch.domain.capability import Lookup
from payorch.domain.outcome import Approved, Finding, Pending, Released, Source
from payorch.domain.payment import State
from payorch.domain.records import CancellationReason, Payment
from tests.actors.test_payment_lives import LOST, ask, later, pay
from tests.api.actor_world import Platform, Shared, platforms
from tests.api.unfinished import told, unfinished

GONE = Released(expired=False)


class Scene:
    """A payment of unknown outcome at a PSP that cannot be asked. `says`: what the PSP says to calls and fences."""

    def __init__(self, shared: Shared, platform: Platform, payment_id: str) -> None:
        self.shared = shared
        self.platform = platform
        self.payment_id = payment_id
        self.heard: list[Outcome] = []

    @property
    def payment(self) -> Payment:
        return self.shared.store.lives[self.payment_id].payment

    @property
    def fences(self) -> list[Execute]:
        return [one for one in self.shared.calls if one.call.path == "/fences"]

    async def pass_by(self, seconds: float) -> None:
        await later(self.platform, self.payment_id, seconds)

    async def notice(self, finding: Finding) -> None:
        content = told(self.payment.attempts[0].id, finding, "pi_1")
        message = Notified(notice_id=f"ntc_{len(self.heard)}", connector="stripe", kind="told", content=content, told=self.heard.append)
        self.platform.directory.tell(self.payment_id, message)
        await trio.sleep(1)


@asynccontextmanager
async def unknown(**promises: Any) -> AsyncIterator[Scene]:
    connector = unfinished(lookup=Lookup.NONE, cancel_by_reference=True, **promises)
    async with platforms(1, connector=connector, psp_seconds=0.2) as (shared, (platform,)):
        shared.psp = lambda execute: Pending() if execute.source is Source.FENCE else LOST
        payment_id = await pay(shared)
        scene = Scene(shared, platform, payment_id)
        assert scene.payment.state is State.OUTCOME_UNKNOWN
        yield scene


async def test_nothing_is_fenced_while_the_same_bytes_may_go_out(autojump_clock: trio.testing.MockClock) -> None:
    async with unknown() as scene:
        await scene.pass_by(3)
        assert [one.source for one in scene.shared.calls] == [Source.RESPONSE, Source.REPLAY]
        assert not scene.fences


async def test_it_is_committed_before_it_is_sent_and_repeated_the_same(autojump_clock: trio.testing.MockClock) -> None:
    async with unknown() as scene:
        committed: list[Payment] = []

        def psp(execute: Execute) -> Finding:
            committed.append(scene.shared.stored[-1])
            return Approved(captured=True)  # whatever it says

        scene.shared.psp = psp
        assert await ask(scene.shared, scene.payment_id, "cancel") == 202
        await scene.pass_by(3)
        await scene.pass_by(6)
        first, second = scene.fences
        fence = committed[0].attempts[0].fence
        assert fence is not None
        assert (fence.call, fence.psp_key) == (first.call, first.psp_key)
        assert first.psp_key == f"{scene.payment.attempts[0].id}_fence"
        assert (second.call, second.psp_key) == (first.call, first.psp_key)
        assert [first.repeat, second.repeat] == [False, True]
        assert kind_of(first.subject, first.source) is CallKind.VOID
        assert scene.payment.state is State.OUTCOME_UNKNOWN


async def test_a_notice_of_the_release_ends_it_and_a_late_success_is_for_people(autojump_clock: trio.testing.MockClock) -> None:
    async with unknown() as scene:
        await ask(scene.shared, scene.payment_id, "cancel")
        await scene.pass_by(3)
        await scene.notice(GONE)
        assert (scene.payment.state, scene.payment.cancellation_reason) == (State.CANCELED, CancellationReason.FENCED)
        assert scene.heard == [Settled(outcome="applied")]
        await scene.notice(Approved(captured=True))
        assert str(scene.payment.state) == "MANUAL_REVIEW"


async def test_a_lost_fence_is_looked_at_again(autojump_clock: trio.testing.MockClock) -> None:
    async with unknown() as scene:
        scene.shared.psp = lambda execute: None
        await ask(scene.shared, scene.payment_id, "cancel")
        await scene.pass_by(3)
        assert len(scene.fences) == 1
        await trio.sleep(100)  # nobody comes back from it
        await scene.pass_by(100)
        await scene.pass_by(100)
        assert len({one.psp_key for one in scene.fences}) == 1
        assert len(scene.fences) >= 2


async def test_a_psp_that_answers_again_gets_it_before_its_time(autojump_clock: trio.testing.MockClock) -> None:
    async with unknown() as scene:
        await ask(scene.shared, scene.payment_id, "cancel")
        await scene.pass_by(3)
        scene.platform.directory.tell(scene.payment_id, AnswersAgain(connector="stripe", sendable=frozenset()))
        await trio.sleep(1)
        assert len(scene.fences) == 2
