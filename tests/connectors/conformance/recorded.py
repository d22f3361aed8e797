"""Whole lives at a simulated PSP, led once and kept: every call that was answered, and everything that the PSP posted.

For tests that look at bytes from all sides and need no PSP while they do: what was sent, what else could have been answered, who else could
have posted that. Not here: what has to be true of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import trio

from connectors.contract import Delivery, Forged, Notice
from connectors.registry import CONNECTORS
from connectors.simulator.cards import SHARED
from connectors.simulator.challenge import Choice
from connectors.simulator.faults import FaultKind
from payorch.domain.intent import Initiator
from payorch.domain.money import Money
from payorch.domain.outcome import Pending, Source
from payorch.domain.records import Payment
from payorch.domain.testimony import Testimony
from tests.connectors.conformance.life import Life, Told, born
from tests.connectors.conformance.psp import Exchange, Psp, dealing_with, secret_of
from tests.connectors.conformance.steps import STEPS, charged, held, several_captures


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """One delivery, and the payment that was being led when it came, as it was known in the end."""

    connector: str
    told: Told
    payment: Payment

    def receive(
        self,
        delivery: Delivery | None = None,
        *,
        secrets: tuple[str, ...] | None = None,
        certificates: tuple[bytes, ...] | None = None,
    ) -> tuple[Notice, ...] | Forged:
        """What the connector makes of it, or of another delivery in its place, then and with the secret and certificates that are right."""
        return CONNECTORS[self.connector].receive(
            self.told.delivery if delivery is None else delivery,
            secrets=(secret_of(self.connector),) if secrets is None else secrets,
            at=self.told.at,
            certificates=self.told.certificates if certificates is None else certificates,
        )

    def notices(self) -> tuple[Notice, ...]:
        """Those in it."""
        received = self.receive()
        assert not isinstance(received, Forged), received
        return received

    def testify(self, notice: Notice) -> Testimony:
        """What a notice says about the payment."""
        return CONNECTORS[self.connector].testify(notice.content, self.payment, at=self.told.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A PSP's. credentials: those that were shown with the calls. refused: calls that were made with others."""

    exchanges: tuple[Exchange, ...]
    refused: tuple[Exchange, ...]
    tellings: tuple[Telling, ...]
    credentials: dict[str, str]


@cache
def recorded(name: str) -> Recording:
    """That PSP's, led the first time it is asked for. Not from within trio."""
    return trio.run(_record, name)


async def _record(name: str) -> Recording:
    async with dealing_with(name) as psp:
        lives: list[Life] = []
        for lead in (_every_step, _every_card, _amounts, _shoppers, _captures, _refunds, _ends, _disputes, _turned_away):
            lives += await lead(psp)
        tellings = [Telling(connector=name, told=told, payment=life.payment) for life in lives for told in life.told]
        exchanges = tuple(psp.exchanges)
        await _with_wrong_credentials(psp)
        return Recording(
            exchanges=exchanges,
            refused=tuple(psp.exchanges[len(exchanges) :]),
            tellings=tuple(tellings),
            credentials=dict(psp.credentials),
        )


async def _every_step(psp: Psp) -> list[Life]:
    lives = []
    for step in STEPS:
        if step.missing(psp.connector.manifest) is None:
            ready = await step.prepare(psp)
            await ready.send()
            await ready.send(Source.REPLAY)
            await ready.life.found_out(ready.subject_id)
            await ready.life.inquire(ready.subject_id)
            await ready.life.listen()
            lives.append(ready.life)
    return lives


async def _every_card(psp: Psp) -> list[Life]:
    lives = []
    for token in (*SHARED, "tok_nobody_knows"):
        for manual in (True, False):
            life = born(psp, token=token, manual=manual)
            evidence = await life.authorize()
            if not isinstance(evidence.finding, Pending) or evidence.finding.action is None:
                await life.found_out(life.attempt.id)
            psp.later(3600)
            await life.listen()  # also to what comes back late
            lives.append(life)
    return lives


async def _amounts(psp: Psp) -> list[Life]:
    known = sorted(psp.connector.manifest.currencies & {"JPY", "KWD", "USD"})
    lives = [born(psp, amount=Money(5000, currency)) for currency in known]
    lives += [born(psp, initiator=Initiator.MERCHANT), born(psp, step_up=True), born(psp, options=several_captures(psp))]
    for life in lives:
        await life.authorize()
        await life.listen()
    return lives


async def _shoppers(psp: Psp) -> list[Life]:
    methods = [(method, None if not support.needs_token else "tok_3ds") for method, support in psp.connector.manifest.methods.items()]
    lives = []
    for method, token in methods:
        for choice in Choice:
            for manual in (True, False):
                life = born(psp, method=method, token=token, manual=manual)
                await life.authorize()
                await life.finish(choice)
                await life.listen()
                lives.append(life)
    return lives


async def _captures(psp: Psp) -> list[Life]:
    life = await held(psp, options=several_captures(psp))
    if psp.connector.manifest.multiple_captures:
        await life.capture(300, final=False, settled=True)
        await life.void(settled=True)
    late = await held(psp, token="tok_capture_fails_late")
    await late.capture(settled=True)
    psp.later(3600)
    await late.listen()
    refused = await held(psp)
    await refused.void(settled=True)
    await refused.found_out(await refused.capture())
    await refused.listen()
    return [life, late, refused]


async def _refunds(psp: Psp) -> list[Life]:
    lives = []
    for token in ("tok_refund_pending", "tok_refund_fails_late"):
        life = await charged(psp, token=token)
        await life.found_out(await life.refund(500, reason="duplicate"))
        psp.later(3600)
        await life.listen()
        lives.append(life)
    return lives


async def _ends(psp: Psp) -> list[Life]:
    """Of what people do in the dashboard, and of a hold's time."""
    lives = []
    for deed in ("capture", "cancel", "expire", "refund"):
        life = await (charged(psp) if deed == "refund" else held(psp))
        assert await psp.by_hand(life.attempt.psp_reference or "", deed) == 200
        await life.listen()
        await life.inquire(life.attempt.id)
        lives.append(life)
    return lives


WRONG: Final = "wrong-0123456789"
DISPUTES: Final = (("dispute", "win_dispute"), ("dispute", "lose_dispute"), ("inquiry", "win_dispute"))


async def _disputes(psp: Psp) -> list[Life]:
    lives = []
    for deeds in DISPUTES:
        life = await charged(psp)
        for deed in deeds:
            assert await psp.by_hand(life.attempt.psp_reference or "", deed) == 200
            await life.listen()
        lives.append(life)
    return lives


async def _turned_away(psp: Psp) -> list[Life]:
    """What a PSP says that does nothing for us at present."""
    lives = []
    for kind in (FaultKind.RATE_LIMIT_429_RETRY_AFTER, FaultKind.ERROR_500):
        for step in STEPS:
            if step.missing(psp.connector.manifest) is None:
                ready = await step.prepare(psp)
                await psp.fault(kind)
                await ready.send()
                await ready.life.listen()
                lives.append(ready.life)
    return lives


async def _with_wrong_credentials(psp: Psp) -> None:
    life = born(psp)
    for source in (Source.RESPONSE, Source.REPLAY):
        await life.send(life.attempt.id, life.attempt.call, source, credentials=dict.fromkeys(psp.credentials, WRONG))
