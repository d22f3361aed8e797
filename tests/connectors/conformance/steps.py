"""Every kind of call that a connector makes, as a row: what has to be there first, the call, and what it moves at the PSP once.

A row's `missing` says, by the manifest alone, why a PSP has no such call; the tests skip it with those words.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest

from connectors.contract import CompletionOrder
from connectors.simulator.challenge import Choice
from payorch.domain.capability import Lookup, Manifest
from payorch.domain.decide import psp_key
from payorch.domain.outcome import Approved, Evidence, Pending, Source
from payorch.domain.records import OperationKind, PreparedCall
from tests.connectors.conformance.life import Life, born
from tests.connectors.conformance.psp import Psp


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A payment that has come to a step, and the call that is next, about `subject_id`, under `key`.

    inquiry: it only reads. fence: it keeps an attempt from holding money, and its own answer proves nothing about the attempt.
    """

    life: Life
    subject_id: str
    call: PreparedCall
    key: str | None
    inquiry: bool = False
    fence: bool = False

    async def send(self, source: Source = Source.RESPONSE, **more: Any) -> Evidence:
        """Makes the call."""
        return await self.life.send(self.subject_id, self.call, Source.INQUIRY if self.inquiry else source, key=self.key, **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One kind of call. moves: lines in the PSP's books, by type, that it makes when it is executed. missing: why there is no such call.
    variant: another row is about the same kind of call, and only the amount is another.
    """

    name: str
    prepare: Callable[[Psp], Awaitable[Ready]]
    moves: Callable[[Manifest], Mapping[str, int]]
    missing: Callable[[Manifest], str | None] = lambda manifest: None
    variant: bool = False

    def __str__(self) -> str:
        return self.name

    async def reached(self, psp: Psp) -> Ready:
        """The step, with a new payment. Skips the test where the PSP has none such."""
        why = self.missing(psp.connector.manifest)
        if why is not None:
            pytest.skip(f"{psp.name}: {why}")
        return await self.prepare(psp)


async def _authorization(psp: Psp, *, manual: bool) -> Ready:
    life = born(psp, manual=manual)
    return Ready(life=life, subject_id=life.attempt.id, call=life.attempt.call, key=life.attempt.psp_key)


async def manual_authorization(psp: Psp) -> Ready:
    return await _authorization(psp, manual=True)


async def automatic_authorization(psp: Psp) -> Ready:
    return await _authorization(psp, manual=False)


async def held(psp: Psp, **more: Any) -> Life:
    """A payment that holds its money."""
    life = born(psp, manual=True, **more)
    found = (await life.authorize()).finding
    assert found == Approved(captured=False), found
    await life.listen()
    return life


async def charged(psp: Psp, **more: Any) -> Life:
    """A payment that has been taken."""
    life = born(psp, manual=False, **more)
    await life.pay()
    await life.listen()
    return life


def several_captures(psp: Psp) -> Mapping[str, object]:
    """The connector options of a payment that is to be captured in parts."""
    return psp.connector.manifest.several_captures_options


def _operation(life: Life, kind: OperationKind, minor: int | None = None, *, final: bool = True) -> Ready:
    made = life.operation(kind, minor, final=final)
    assert made.call is not None
    return Ready(life=life, subject_id=made.id, call=made.call, key=made.psp_key)


async def capture(psp: Psp) -> Ready:
    return _operation(await held(psp), OperationKind.CAPTURE)


async def partial_capture(psp: Psp) -> Ready:
    return _operation(await held(psp), OperationKind.CAPTURE, 700)


async def first_of_several_captures(psp: Psp) -> Ready:
    return _operation(await held(psp, options=several_captures(psp)), OperationKind.CAPTURE, 700, final=False)


async def void(psp: Psp) -> Ready:
    return _operation(await held(psp), OperationKind.VOID)


async def refund(psp: Psp) -> Ready:
    return _operation(await charged(psp), OperationKind.REFUND)


async def partial_refund(psp: Psp) -> Ready:
    return _operation(await charged(psp), OperationKind.REFUND, 500)


async def completion(psp: Psp) -> Ready:
    """What finishes an attempt after the shopper has authenticated; skipped where that takes no call of ours."""
    life = born(psp, token="tok_3ds")
    pending = (await life.authorize()).finding
    assert isinstance(pending, Pending)
    assert pending.action is not None
    returned = await psp.shopper(pending.action, Choice.APPROVE)
    call = psp.connector.complete(
        CompletionOrder(payment_id=life.payment.id, attempt=life.attempt, intent=life.intent, returned=returned)
    ) or psp.connector.complete(CompletionOrder(payment_id=life.payment.id, attempt=life.attempt, intent=life.intent))
    assert call is not None, "a method that does not complete without us is completed by a call"
    key = psp_key(f"{life.attempt.id}c", psp.connector.manifest)
    return Ready(life=life, subject_id=life.attempt.id, call=call, key=key)


async def inquiry(psp: Psp) -> Ready:
    life = await held(psp)
    call = psp.connector.inquire(life.attempt, life.attempt)
    assert call is not None
    return Ready(life=life, subject_id=life.attempt.id, call=call, key=None, inquiry=True)


async def fence(psp: Psp) -> Ready:
    life = await held(psp)
    call = psp.connector.fence(life.attempt)
    assert call is not None
    assert psp.connector.fence(life.attempt) == call
    key = psp_key(f"{life.attempt.id}f", psp.connector.manifest)
    return Ready(life=life, subject_id=life.attempt.id, call=call, key=key, fence=True)


def _completes_alone(manifest: Manifest) -> str | None:
    return "what the shopper does is completed without a call of ours" if manifest.methods["card"].completes_without_us else None


def _charge(manifest: Manifest) -> Mapping[str, int]:
    return {"authorized": 1, "captured": 1} if manifest.capture_reportable else {"authorized": 1}


STEPS: Final = (
    Step(name="authorize-manual", prepare=manual_authorization, moves=lambda manifest: {"authorized": 1}),
    Step(name="authorize-automatic", prepare=automatic_authorization, moves=_charge),
    Step(
        name="complete",
        prepare=completion,
        moves=lambda manifest: {"authorized": 1},
        missing=_completes_alone,
    ),
    Step(name="capture", prepare=capture, moves=lambda manifest: {"captured": 1}),
    Step(
        name="capture-partial",
        prepare=partial_capture,
        moves=lambda manifest: {"captured": 1, "released": 1},
        missing=lambda manifest: None if manifest.partial_capture else "no partial captures",
        variant=True,
    ),
    Step(
        name="capture-first-of-several",
        prepare=first_of_several_captures,
        moves=lambda manifest: {"captured": 1},
        missing=lambda manifest: None if manifest.multiple_captures else "one capture only",
    ),
    Step(name="void", prepare=void, moves=lambda manifest: {"voided": 1}),
    Step(name="refund", prepare=refund, moves=lambda manifest: {"refunded": 1}),
    Step(
        name="refund-partial",
        prepare=partial_refund,
        moves=lambda manifest: {"refunded": 1},
        missing=lambda manifest: None if manifest.partial_refund else "no partial refunds",
        variant=True,
    ),
    Step(
        name="inquire",
        prepare=inquiry,
        moves=lambda manifest: {},
        missing=lambda manifest: "cannot be asked about a payment" if manifest.lookup is Lookup.NONE else None,
    ),
    Step(
        name="fence",
        prepare=fence,
        moves=lambda manifest: {"voided": 1},
        missing=lambda manifest: None if manifest.cancel_by_reference else "cancels nothing by a reference of ours",
    ),
)
