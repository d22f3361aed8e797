"""The PSP does what it is asked for and its answer gets lost, or is another one: for authorisations, captures, voids and refunds.

The merchant hears 202 and that it is unconfirmed, nothing happens a second time at the PSP, and the truth is found by itself soon after the
PSP answers again. An answer about another amount is never a success: people decide. No webhook tells anything: `test_webhooks`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest
import trio

from tests.e2e import books
from tests.e2e.dealings import LISTS, PATHS
from tests.e2e.stack import QUICK, QUICK_LOOKS_SECONDS, Stack

LOST: Final = ("charge_then_hang", "reset_after", "malformed")
STORED: Final = "charge_then_500"
"""The PSP repeats this answer for as long as the key lives. Only asking finds out; of a charge whose name we never heard, only a search."""
WRONG: Final = "wrong_amount"
ENTRY: Final = {"authorize": "authorized", "capture": "captured", "void": "voided", "refund": "refunded"}
ENDS: Final = {"authorize": "CAPTURED", "capture": "CAPTURED", "void": "CANCELED", "refund": "CAPTURED"}
PATIENT: Final = {"PAYORCH_HTTP__ANSWER_WITHIN_SECONDS": "4"}
"""Longer than a hanging call, so that the merchant hears what came of it."""
AS_SHIPPED: Final = {**PATIENT, "PAYORCH_PAYMENTS__UNKNOWN_LOOKS_SECONDS": "2,5,15,60,300,900,3600,21600,86400"}
FOUND_OUT_WITHIN_SECONDS: Final = 300.0
"""Longer than a search at the PSP may need, shorter than the schedule's next look where there is none soon."""
SECONDS_FOR_A_SECOND_THOUGHT: Final = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One operation that meets one fault, on a payment of its own."""

    operation: str
    fault: str

    @property
    def key(self) -> str:
        return f"{self.fault}-{self.operation}"

    def unconfirmed(self, answered: Mapping[str, Any]) -> bool:
        """Whether that answer tells the merchant not to count on it."""
        if self.operation == "authorize":
            return (answered["status"], answered["outcome"]) == ("processing", "unconfirmed")
        payment = answered["payment"]
        told = (answered["status"], answered["outcome"]) == ("pending", "unconfirmed")
        if self.operation == "refund":
            # It concerns the refund alone. Its amount is reserved until it is known.
            return told and (payment["status"], payment["outcome"], payment["amount_refundable"]) == ("succeeded", None, 0)
        return told and (payment["status"], payment["outcome"]) == ("processing", "unconfirmed")


class Bench:
    """The cases of one stack: what was heard, and how many looks the truth took."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.looks: dict[Case, int] = {}
        self._prepared: dict[Case, str] = {}

    async def run(self, cases: list[Case]) -> None:
        """Prepares all payments while the PSP is healthy; then one task for each operation, since a fault is bound to one."""
        for case in cases:
            if case.operation != "authorize":
                capture = "automatic" if case.operation == "refund" else "manual"
                made = await self.stack.pay(f"{case.key}-payment", capture=capture)
                assert made.status_code == 201
                self._prepared[case] = made.json()["id"]
        async with trio.open_nursery() as nursery:
            for operation in ENTRY:
                nursery.start_soon(self._in_turn, [case for case in cases if case.operation == operation])
        for fault in dict.fromkeys(case.fault for case in cases):
            figures = ", ".join(f"{case.operation} {self.looks[case]}" for case in cases if case.fault == fault and case in self.looks)
            print(f"looks until known, {fault}: {figures or 'left to people'}")

    async def _in_turn(self, cases: list[Case]) -> None:
        for case in cases:
            await (self._to_people(case) if case.fault == WRONG else self._found_out(case))

    async def _ask(self, case: Case) -> tuple[str, bytes]:
        """Asks with the fault in force; the payment's id, and the 202 that was heard."""
        await self.stack.fault(case.fault, scope=case.operation, count=1)
        if case.operation == "authorize":
            answer = await self.stack.pay(case.key)
            payment_id = answer.json()["id"]
        else:
            payment_id = self._prepared[case]
            answer = await self.stack.post(f"/v1/payments/{payment_id}/{PATHS[case.operation]}", case.key)
        assert answer.status_code == 202, f"{case}: {answer.status_code} {answer.text}"
        assert case.unconfirmed(answer.json()), f"{case}: {answer.text}"
        return payment_id, answer.content

    async def _found_out(self, case: Case) -> None:
        payment_id, heard = await self._ask(case)
        payment = await self.stack.until(payment_id, ENDS[case.operation], within_seconds=FOUND_OUT_WITHIN_SECONDS)
        with trio.fail_after(FOUND_OUT_WITHIN_SECONDS):
            while case.operation == "refund" and payment["amount_refunded"] == 0:
                await trio.sleep(0.05)
                payment = (await self.stack.get(f"/v1/payments/{payment_id}")).json()
        self.looks[case] = await self._looks(payment_id)
        assert payment["outcome"] is None
        assert await self._deeds(case, payment) == [payment["amount"]], case
        if case.operation != "authorize":
            (operation,) = payment[LISTS[case.operation]]
            assert (operation["status"], operation["outcome"], operation["failure"]) == ("succeeded", None, None)
        await self._heard_for_ever(case, payment_id, heard)

    async def _looks(self, payment_id: str) -> int:
        """How many looks the timeline tells of, from the loss of the answer to the truth."""
        told = [event["name"] for event in (await self.stack.get(f"/v1/payments/{payment_id}/timeline")).json()["data"]]
        return 1 + told.count("EvidenceRecorded")

    async def _to_people(self, case: Case) -> None:
        payment_id, heard = await self._ask(case)
        await trio.sleep(SECONDS_FOR_A_SECOND_THOUGHT)  # no look of the schedule makes a success of it
        payment = (await self.stack.get(f"/v1/payments/{payment_id}")).json()
        shown = payment if case.operation == "authorize" else {**payment[LISTS[case.operation]][0], "payment": payment}
        assert case.unconfirmed(shown), f"{case}: {shown}"
        assert payment["state"] == ("CAPTURED" if case.operation == "refund" else "MANUAL_REVIEW"), f"{case}: {payment}"
        assert await self._deeds(case, payment) == [payment["amount"]], case
        await self._heard_for_ever(case, payment_id, heard)

    async def _deeds(self, case: Case, payment: Mapping[str, Any]) -> list[int]:
        """What the PSP's books say was done of that kind, for this payment."""
        ours = {attempt["id"] for attempt in payment["attempts"]}
        _, entries = await self.stack.ledger()
        return [one["amount"] for one in entries if one["our_reference"] in ours and one["type"] == ENTRY[case.operation]]

    async def _heard_for_ever(self, case: Case, payment_id: str, heard: bytes) -> None:
        path = f"/v1/payments/{payment_id}/{PATHS[case.operation]}" if case.operation != "authorize" else None
        again = await (self.stack.post(path, case.key) if path else self.stack.pay(case.key))
        assert (again.status_code, again.content, again.headers["idempotency-replayed"]) == (202, heard, "true"), case


def cases(*faults: str) -> list[Case]:
    return [Case(operation=operation, fault=fault) for operation in ENTRY for fault in faults]


async def test_a_lost_answer_is_found_out(rough: Stack) -> None:
    rough.hears = False
    await rough.start(**PATIENT)
    bench = Bench(rough)
    lost = cases(*LOST, STORED)
    await bench.run([case for case in lost if (case.operation, case.fault) != ("authorize", STORED)])
    # By the first looks, also where a busy machine loses the answers of some: nobody waited for the one after an hour.
    assert max(bench.looks.values()) < len(QUICK_LOOKS_SECONDS)
    await books.check(rough)


async def test_another_amount_is_for_people(rough: Stack) -> None:
    rough.hears = False
    await rough.start(**PATIENT)
    await Bench(rough).run(cases(WRONG))
    await books.check(rough)


@pytest.mark.prove
async def test_a_lost_answer_is_found_out_at_the_shipped_pace(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack(**{**QUICK, **AS_SHIPPED})
    stack.hears = False
    await stack.start()
    bench = Bench(stack)
    await bench.run(cases(*LOST, STORED))
    await books.check(stack)
