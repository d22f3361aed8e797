"""Our books against the PSP's own ledger: sums for each payment, and every operation one by one, by our reference.

What was done at the PSP without us, and what failed there late, is allowed for where the PSP could not tell us; nothing else is. Not here:
anything about the tables alone (`checks`, `watch`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from connectors.simulator import records
from connectors.simulator.faults import RequestKind
from connectors.simulator.records import EntryType, OperationStatus
from payorch.domain.payment import OperationState, State
from payorch.domain.records import Operation, OperationKind, Origin, Payment
from tests.simulation import tellings
from tests.simulation.psp import Foreign
from tests.simulation.world import World

CAPTURE_FAILS: Final = "tok_capture_fails_late"
REFUND_FAILS: Final = "tok_refund_fails_late"
WAITING: Final = frozenset({State.AUTHORIZED, State.PARTIALLY_CAPTURED})
MANY: Final = 100_000
SEARCH_SECONDS: Final = 7 * 24 * 3600.0
"""How long an outcome is searched for before people are asked (payments.unknown_budget_seconds)."""


@dataclass(frozen=True, slots=True)
class _Case:
    """One payment of ours, the PSP's payments for its attempts, what was done to them without us, and its test card.

    told: the PSP told us everything about them, and we took it.
    """

    payment: Payment
    theirs: tuple[records.Payment, ...]
    foreign: tuple[Foreign, ...]
    token: str
    lied: bool
    told: bool

    @property
    def where(self) -> str:
        return f"{self.payment.id} {self.payment.state}"

    def by_others(self, kind: RequestKind) -> int:
        """Minor units that somebody moved at the PSP."""
        return sum(one.amount for one in self.foreign if one.kind is kind)

    def ours(self, kind: OperationKind) -> list[Operation]:
        """Operations of that kind that we asked for."""
        return [one for one in self.payment.operations if one.kind is kind and one.origin is not Origin.PROVIDER]


def one_payment(world: World, payment: Payment, token: str) -> None:
    """M1, M3 and each operation's end, for one payment. `token`: its test card, by which the PSP may have changed its mind later."""
    psp, ours = world.psp, {attempt.id for attempt in payment.attempts}
    theirs = tuple(one for one in psp.ledger.payments(limit=MANY).items if one.reference in ours)
    case = _Case(
        payment=payment,
        theirs=theirs,
        foreign=tuple(one for attempt in payment.attempts for one in psp.foreign.get(attempt.id, [])),
        token=token,
        lied=not psp.lied.isdisjoint(ours | {one.id for one in payment.operations}),
        told=world.postman.told_all({one.id for one in theirs}),
    )
    charged = [one.id for one in case.theirs if one.held or one.captured]
    assert len(charged) <= 1, f"M1: {payment.id} is charged {len(charged)} times: {charged}"
    for one in case.theirs:
        same = (one.currency, one.amount) == (payment.intent.amount.currency, payment.intent.amount.minor)
        assert same, f"M9: {payment.id} is for {payment.intent.amount}, the PSP has {one.amount} {one.currency}"
    tellings.disputes(world, payment, [one.id for one in theirs], told=case.told)
    if for_people_soon(world, payment, token):
        return
    if payment.state is State.MANUAL_REVIEW:
        world.seen[f"review: {payment.review_reason} by {_explained(case, payment.review_reason or '')}"] += 1
        return
    for operation in payment.operations:
        if operation.in_review:
            world.seen[f"review: {operation.kind} by {_explained(case, operation.id)}"] += 1
    _sums(case)
    _captures(world, case)
    _refunds(world, case)


def for_people_soon(world: World, payment: Payment, token: str) -> bool:
    """Whether it may still be searched for: what somebody, a late failure or a lie made of it is for people, once the search is spent."""
    attempts = {attempt.id for attempt in payment.attempts}
    captures = [one for attempt in attempts for one in world.psp.foreign.get(attempt, []) if one.kind is RequestKind.CAPTURE]
    lied = not world.psp.lied.isdisjoint(attempts | {one.id for one in payment.operations})
    confusing = bool(captures) or lied or token == CAPTURE_FAILS
    return payment.state is State.OUTCOME_UNKNOWN and confusing and world.fate.healing_seconds < SEARCH_SECONDS


def _explained(case: _Case, what: str) -> str:
    """People are only called where something really happened that no program may decide."""
    reasons = {
        "a wrong amount": case.lied,
        "somebody at the PSP": bool(case.foreign),
        "a capture that failed late": case.token == CAPTURE_FAILS,
    }
    found = next((reason for reason, holds in reasons.items() if holds), None)
    assert found is not None, f"L1: {case.where} went to people for nothing: {what}"
    return found


def _sums(case: _Case) -> None:
    payment = case.payment
    captured, refunded, held = (sum(getattr(one, name) for one in case.theirs) for name in ("captured", "refunded", "held"))
    if case.token == CAPTURE_FAILS and not case.told:
        return  # taken back later, and nobody has told us
    unseen = not case.told and payment.state in WAITING and any(one.kind is not RequestKind.REFUND for one in case.foreign)
    if not unseen:  # nobody asks about a hold before it should have expired
        assert captured == payment.captured_minor, f"M3: {case.where}: the PSP captured {captured}, we {payment.captured_minor}"
        ours_held = payment.authorized_minor - payment.captured_minor if payment.state in WAITING else 0
        assert held == ours_held, f"M3: {case.where}: the PSP holds {held}, we say {ours_held}"
    adopted = sum(one.amount.minor for one in payment.operations if one.kind is OperationKind.REFUND and one.origin is Origin.PROVIDER)
    without_us = case.by_others(RequestKind.REFUND)
    assert adopted <= without_us, f"M3: {case.where}: adopted {adopted} of {without_us} refunded at the PSP"
    unsure = sum(one.amount.minor for one in payment.operations if one.kind is OperationKind.REFUND and one.in_review)
    expected = payment.refunded_minor + (0 if case.told else without_us - adopted)
    if case.told or case.token != REFUND_FAILS:
        assert expected <= refunded <= expected + unsure, f"M3: {case.where}: the PSP refunded {refunded}, we {expected}"


def _captures(world: World, case: _Case) -> None:
    """Each capture that succeeded was taken once, each that failed was not."""
    ids = {one.id for one in case.theirs}
    taken = [entry for entry in world.psp.ledger.entries() if entry.payment in ids and entry.type is EntryType.CAPTURED]
    # The same capture made there and asked for by us is one capture, and the PSP says only that it is done.
    alike = [entry.amount for entry in taken if entry.operation_reference is None] if case.by_others(RequestKind.CAPTURE) else []
    for operation in case.ours(OperationKind.CAPTURE):
        if alike == [operation.amount.minor]:
            continue
        lines = [entry.amount for entry in taken if entry.operation_reference == operation.id]
        _agrees(operation, lines, reversible=case.token == CAPTURE_FAILS)
    _no_strangers(case, "captures", {entry.operation_reference for entry in taken})


def _refunds(world: World, case: _Case) -> None:
    """Each refund that succeeded was given once, each that failed was not."""
    given = [one for theirs in case.theirs for one in world.psp.ledger.operations(limit=MANY, payment=theirs.id).items]
    for operation in case.ours(OperationKind.REFUND):
        mine = [one for one in given if one.reference == operation.id]
        failed = [one for one in mine if one.status is OperationStatus.FAILED]
        assert not failed or case.token == REFUND_FAILS, f"M3: {operation.id} failed at the PSP for no reason"
        unheard = not case.told and operation.state is OperationState.SUCCEEDED
        lines = [one.amount for one in mine if one.status is not OperationStatus.FAILED or unheard]
        _agrees(operation, lines, reversible=False)
    _no_strangers(case, "refunds", {one.reference for one in given})


def _agrees(operation: Operation, lines: list[int], *, reversible: bool) -> None:
    if operation.in_review or (reversible and operation.state is OperationState.REVERSED):
        return
    expected = [operation.amount.minor] if operation.state is OperationState.SUCCEEDED else []
    assert lines == expected, f"M3: {operation.id} is {operation.state} over {operation.amount.minor}; the PSP has {lines}"


def _no_strangers(case: _Case, what: str, references: set[str | None]) -> None:
    strangers = references - {operation.id for operation in case.payment.operations} - {None}
    assert not strangers, f"M7: the PSP knows {what} {strangers}, which {case.payment.id} has not"


def nothing_unknown_to_us(world: World, payments: Iterable[Payment]) -> None:
    """M7: every payment at the PSP is an attempt of ours."""
    known = {attempt.id for payment in payments for attempt in payment.attempts}
    for theirs in world.psp.ledger.payments(limit=MANY).items:
        assert theirs.reference in known or theirs.id in world.psp.strangers, (
            f"M7: the PSP knows {theirs.reference}, of which we have no attempt"
        )
