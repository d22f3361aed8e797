"""What the PSP tells by itself: its outbox, posted to whatever platform lives, with everything that befalls notices on their way.

The outbox, its schedule and its faults are the simulator's own; only the sockets are not. Every answer is judged as it comes: a receipt
without a stored row (W3), a forgery that is believed, a true one that is refused. Not here: what becomes of the rows (`tellings`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec
import trio

from connectors.contract import HttpRequest
from connectors.simulator import webhooks
from connectors.simulator.faults import Fault, FaultState
from connectors.simulator.records import Due
from connectors.simulator.webhook_faults import PROMPT, WebhookVerdict, decide_webhook
from connectors.simulator.webhooks import Answer, Post
from tests.simulation.psp import NOTICE_SECRET, OLD_SECRET

if TYPE_CHECKING:
    from tests.simulation.runtime import Heard
    from tests.simulation.world import World

AT_ONCE: Final = 16
PATIENCE_SECONDS: Final = 10.0
"""As the real deliverer has them."""
MANY: Final = 100_000

Tell: TypeAlias = "Callable[[HttpRequest], Awaitable[Heard | None]]"
"""Posts that to a platform that lives; None where it died before it answered, or none lives."""


class Postman:
    """posted: true notices that were sent at all, by id. taken: those that were acknowledged, by which life; unsure: those about whose
    storing at least one answer told nothing. forged: ids of events that never were. parked: those that were seen to wait for a payment.
    """

    def __init__(self, world: World) -> None:
        fate = world.fate
        self._world = world
        self._psp = world.psp
        self._dice = world.dice("postman")
        self._busy: set[int] = set()
        self.posted: set[str] = set()
        self.taken: dict[str, int] = {}
        self.unsure: set[str] = set()
        self.forged: set[str] = set()
        self.parked: set[str] = set()
        self._state = FaultState(
            faults=tuple(
                Fault(id=number, kind=kind, rate=rate, seconds=fate.late_seconds)
                for number, (kind, rate) in enumerate(fate.notice.items(), start=1)
                if rate
            )
        )

    async def run(self, tell: Tell) -> None:
        """Posts what is owed when it is due, until cancelled. Nothing at all where fate has no notices."""
        if not self._world.fate.notices:
            return
        psp = self._psp
        psp.tell(OLD_SECRET)
        async with trio.open_nursery() as posting:

            async def send(request: HttpRequest) -> Heard | None:
                """Gives up where it takes too long. The request does not: it has arrived, and the platform is at it."""
                answers: list[Heard | None] = []
                answered = trio.Event()

                async def ask() -> None:
                    answers.append(await tell(request))
                    answered.set()

                posting.start_soon(ask)
                with trio.move_on_after(PATIENCE_SECONDS):
                    await answered.wait()
                return answers[0] if answers else None

            while True:
                moved, now = psp.moved, psp.catch_up()
                for due in self._take(now):
                    self._busy.add(due.notification.number)
                    posting.start_soon(self._deliver, due, send)
                with trio.move_on_after(self._pause_seconds(now)):
                    await moved.wait()

    def exchange_secrets(self) -> None:
        """The PSP signs with the newer secret from now on."""
        if self._world.fate.notices:
            self._psp.tell(NOTICE_SECRET)

    def told_all(self, payments: set[str]) -> bool:
        """Whether everything that the PSP had to tell about these payments of its own was acknowledged."""
        owed = self._psp.ledger.notifications(limit=MANY).items
        return self._world.fate.notices and all(one.id in self.taken for one in owed if one.payment in payments)

    # --- when

    def _take(self, now: datetime) -> list[Due]:
        ledger = self._psp.ledger
        if ledger.outbox.unjudged:
            with ledger.transaction():
                ledger.outbox.judge(self._befalls, now)
        return ledger.outbox.due(now, limit=AT_ONCE - len(self._busy), busy=self._busy)

    def _befalls(self) -> WebhookVerdict:
        world = self._world
        if world.healed:
            return PROMPT
        verdict, self._state = decide_webhook(self._state, self._dice, world.now())
        for fault in verdict.faults:
            world.fault(f"notice {fault.removeprefix('webhooks_')}")
        return verdict

    def _pause_seconds(self, now: datetime) -> float:
        next_due = None if len(self._busy) >= AT_ONCE else self._psp.ledger.outbox.next_due(now)
        moments = [one for one in (next_due, self._psp.moves_at()) if one is not None]
        return max(0.0, (min(moments) - now).total_seconds()) if moments else float("inf")

    # --- one notice

    async def _deliver(self, due: Due, tell: Tell) -> None:
        target, ledger = self._psp.ledger.outbox.target, self._psp.ledger
        assert target is not None
        answers: list[tuple[Post, Answer]] = []

        async def send(post: Post) -> None:
            await trio.sleep(self._dice.choice((0.005, 0.02, 0.1)))
            answers.append((post, await self._post(post, due, tell)))

        async with trio.open_nursery() as copies:
            for post in webhooks.posts(self._psp.dialect, target, due, self._world.now()):
                copies.start_soon(send, post)
        webhooks.settle(ledger, due, answers, self._world.now())
        self._busy.discard(due.notification.number)
        self._psp.wake()

    async def _post(self, post: Post, due: Due, tell: Tell) -> Answer:
        world, id = self._world, due.notification.id
        if post.forged:
            self.forged |= {str(msgspec.json.decode(post.request.body)["id"])} - {id}  # what is played back was true once
        else:
            self.posted.add(id)
        heard = await tell(post.request)
        if heard is None:
            self.unsure.add(id)
            return "no answer came"
        self.parked.update(world.watch.parked())
        world.note("notice", f"{'forged' if post.forged else 'told'} {heard.status}")
        if post.forged:
            self._judge_forged(heard, due)
        else:
            self._judge_true(heard, due)
        return heard.status

    def _judge_forged(self, heard: Heard, due: Due) -> None:
        if heard.status not in (400, 503):
            self._world.accuse(f"W3: a forgery beside {due.notification.id} was answered {heard.status}")

    def _judge_true(self, heard: Heard, due: Due) -> None:
        world, id = self._world, due.notification.id
        if heard.status == 503:
            self.unsure.add(id)  # also where the commit's reply was lost
        elif not 200 <= heard.status < 300:
            world.accuse(f"W3: {id}, which is the PSP's, was answered {heard.status}: {heard.body!r}")
        else:
            if id in self.taken:
                world.note("notice", "taken again")
            self.taken.setdefault(id, heard.generation)
            if not world.watch.keeps("stripe", id, hashlib.sha256(due.notification.body).digest()):
                world.accuse(f"W3: {id} was acknowledged and is not stored")
