"""Our books against a PSP's: what must be equal, what may still be open, and what a difference means for the money.

Pure: a payment as its journal makes it, and the PSP's own account of the charges that name its attempts, in; findings out. Everything that
we cause at a PSP is committed before it is sent, so a payment with nothing open in it says exactly what the PSP's books must show. What is
open is not judged, only counted, with the money that depends on it.

Not here: our books against themselves (`books_own`), what may be wrong (`books_findings`), how either side is read, and when a difference
counts as real (`payorch.books`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from payorch.domain.books_findings import Finding, Kind
from payorch.domain.intent import CaptureMode
from payorch.domain.payment import OPEN_ATTEMPT, OPEN_OPERATION, TERMINAL, AttemptState, OperationState, State
from payorch.domain.records import Attempt, Operation, OperationKind, Origin, Payment


class Movement(StrEnum):
    """What a line of a PSP's books says. The last two take an earlier line back."""

    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    RELEASED = "released"
    VOIDED = "voided"
    EXPIRED = "expired"
    REFUNDED = "refunded"
    CAPTURE_FAILED = "capture_failed"
    REFUND_FAILED = "refund_failed"


class Line(Struct, frozen=True, kw_only=True, gc=False):
    """One movement of money at the PSP. `operation` is its own id for it, `operation_reference` ours, where it was told."""

    number: int
    type: Movement
    amount: int
    currency: str
    operation: str | None = None
    operation_reference: str | None = None


class Charge(Struct, frozen=True, kw_only=True, gc=False):
    """One payment in a PSP's books, with its lines. `our_reference` should be an attempt of ours. Amounts in ISO 4217 minor units."""

    psp: str
    payment: str
    our_reference: str | None
    currency: str
    amount: int
    authorized: int
    held: int
    captured: int
    released: int
    refunded: int
    refunding: int
    lines: tuple[Line, ...] = ()

    @property
    def has_money(self) -> int:
        """Minor units that the shopper is without because of it: held, or taken and not given back."""
        return self.held + self.captured - self.refunded


class Standing(StrEnum):
    """Whether a payment can be judged. OPEN: its outcome is not known yet. REVIEW, HELD: people have it; the sums are not judged."""

    SETTLED = "settled"
    OPEN = "open"
    REVIEW = "in_review"
    HELD = "held"


AT_REST: Final = TERMINAL | {State.CREATED, State.AUTHORIZED, State.PARTIALLY_CAPTURED}


def standing(payment: Payment) -> Standing:
    """How the payment as a whole is to be counted. A payment that is open or in review may still have parts that can be judged."""
    if payment.hold is not None:
        return Standing.HELD
    if payment.state is State.MANUAL_REVIEW or any(one.in_review for one in payment.operations):
        return Standing.REVIEW
    if payment.state not in AT_REST or payment.open_attempt is not None or payment.open_operations(*OperationKind):
        return Standing.OPEN
    return Standing.SETTLED


def at_stake(payment: Payment) -> int:
    """Minor units of which nobody can say yet where they are: open attempts, open operations (a void: what it would release)."""
    if payment.state is State.MANUAL_REVIEW:
        return payment.intent.amount.minor
    minor = sum(one.amount.minor for one in payment.attempts if one.state in OPEN_ATTEMPT)
    for one in payment.open_operations(*OperationKind):
        attempt = payment.attempt(one.attempt_id)
        if one.kind is not OperationKind.VOID:
            minor += one.amount.minor
        elif attempt.state not in OPEN_ATTEMPT:
            minor += max(0, attempt.amount.minor - payment.captured_minor)
    return minor


class Position(Struct, frozen=True, kw_only=True, gc=False):
    """Minor units of one attempt, in our books: what the PSP's must show where nothing is open."""

    held: int
    captured: int
    refunded: int


def position(payment: Payment, attempt: Attempt) -> Position:
    """What we believe the PSP to hold, to have taken and to have given back under that attempt."""
    captured = _done(payment, attempt, OperationKind.CAPTURE)
    if attempt.state is AttemptState.CHARGED:
        captured += attempt.amount.minor
    still_held = attempt.state is AttemptState.AUTHORIZED and payment.state not in TERMINAL
    held = max(0, attempt.amount.minor - captured) if still_held else 0
    return Position(held=held, captured=captured, refunded=_done(payment, attempt, OperationKind.REFUND))


def _done(payment: Payment, attempt: Attempt, kind: OperationKind) -> int:
    mine = payment.operations_on(attempt.id, kind)
    return sum(one.amount.minor for one in mine if one.state is OperationState.SUCCEEDED)


def compare(payment: Payment, charges: Sequence[Charge], compared: Collection[str]) -> list[Finding]:
    """What does not agree between the payment and the charges that name its attempts. `compared`: connectors whose books were read."""
    found = [finding for charge in charges for finding in torn(charge, payment.id)]
    found += _charged_twice(payment, charges)
    judged = payment.state is not State.MANUAL_REVIEW and payment.hold is None
    for charge in charges:
        attempt = payment.attempt(charge.our_reference or "")
        if charge.psp != attempt.connector:
            found.append(_about(payment, attempt, Kind.CHARGE_ELSEWHERE, 0, charge.has_money, f"it is in the books of {charge.psp}"))
        elif judged:
            found += _same_money(payment, attempt, charge)
    if judged:
        for attempt in payment.attempts:
            if attempt.connector in compared and attempt.state not in OPEN_ATTEMPT:
                theirs = [one for one in charges if one.our_reference == attempt.id and one.psp == attempt.connector]
                found += _attempt(payment, attempt, theirs)
    return found


def not_ours(charge: Charge) -> Finding:
    """The finding of a charge that names no attempt of ours."""
    names = "names nothing of ours" if charge.our_reference is None else f"names {charge.our_reference[:80]}, which we do not have"
    return Finding(
        kind=Kind.CHARGE_NOT_OURS, subject_id=charge.payment, connector=charge.psp, currency=charge.currency,
        ours=0, theirs=charge.has_money, detail=f"{charge.payment} {names}",
    )  # fmt: skip


def torn(charge: Charge, payment_id: str | None) -> list[Finding]:
    """Where a charge's totals are not the sum of its lines: then its books are no judge of ours."""
    sums = dict.fromkeys(Movement, 0)
    for line in charge.lines:
        sums[line.type] += line.amount
    captured = sums[Movement.CAPTURED] - sums[Movement.CAPTURE_FAILED]
    refunded = sums[Movement.REFUNDED] - sums[Movement.REFUND_FAILED]
    # A capture that failed is not held again: its amount counts as released.
    released = sum(sums[one] for one in (Movement.RELEASED, Movement.VOIDED, Movement.EXPIRED, Movement.CAPTURE_FAILED))
    held = sums[Movement.AUTHORIZED] - captured - released
    pairs = {"held": (held, charge.held), "captured": (captured, charge.captured), "refunded": (refunded, charge.refunded)}
    found = [
        Finding(
            kind=Kind.LEDGER_TORN, payment_id=payment_id, subject_id=charge.payment, connector=charge.psp, currency=charge.currency,
            ours=of_lines, theirs=total, detail=f"the lines of {charge.payment} add up to another amount {name} than its total",
        )
        for name, (of_lines, total) in pairs.items()
        if of_lines != total
    ]  # fmt: skip
    if any(line.currency != charge.currency for line in charge.lines):
        found.append(
            Finding(
                kind=Kind.LEDGER_TORN, payment_id=payment_id, subject_id=charge.payment, connector=charge.psp, currency=charge.currency,
                detail=f"a line of {charge.payment} is in another currency",
            )
        )  # fmt: skip
    return found


def _about(
    payment: Payment, attempt: Attempt, kind: Kind, ours: int, theirs: int, detail: str = "", *, subject_id: str | None = None
) -> Finding:
    return Finding(
        kind=kind, payment_id=payment.id, subject_id=subject_id or attempt.id, connector=attempt.connector,
        currency=payment.intent.amount.currency, ours=ours, theirs=theirs, detail=detail,
    )  # fmt: skip


def _charged_twice(payment: Payment, charges: Sequence[Charge]) -> list[Finding]:
    holding = [one for one in charges if one.has_money > 0]
    if len(holding) < 2:
        return []
    attempt = payment.attempt(holding[0].our_reference or "")
    each = ", ".join(f"{one.payment} at {one.psp} for {one.our_reference}" for one in holding)
    total = sum(one.has_money for one in holding)
    return [_about(payment, attempt, Kind.CHARGED_TWICE, payment.intent.amount.minor, total, f"{len(holding)} charges: {each}")]


def _same_money(payment: Payment, attempt: Attempt, charge: Charge) -> list[Finding]:
    if charge.currency != attempt.amount.currency:
        words = f"ours is in {attempt.amount.currency}, theirs in {charge.currency}"
        return [_about(payment, attempt, Kind.CURRENCY_DIFFERS, attempt.amount.minor, charge.amount, words)]
    if charge.amount != attempt.amount.minor:
        return [_about(payment, attempt, Kind.AMOUNT_DIFFERS, attempt.amount.minor, charge.amount)]
    return []


# --- one attempt that has an end --------------------------------------------------------------------------------------------------------


def _attempt(payment: Payment, attempt: Attempt, charges: Sequence[Charge]) -> list[Finding]:
    """The operations one by one, then the sums, of which what the operations explain is not told again."""
    operations = [one for one in payment.operations if one.attempt_id == attempt.id]
    lines = [line for charge in charges for line in charge.lines]
    found: list[Finding] = []
    ours = position(payment, attempt)
    owed = {OperationKind.CAPTURE: ours.captured, OperationKind.REFUND: ours.refunded}
    theirs = {
        OperationKind.CAPTURE: sum(one.captured for one in charges),
        OperationKind.REFUND: sum(one.refunded for one in charges),
    }
    claimed: set[int] = set()
    for operation in operations:
        if operation.kind is OperationKind.VOID:
            continue  # a PSP's line of a void carries no reference of ours: what is held tells whether it was done
        mine = [line for line in lines if _belongs(line, operation)]
        claimed.update(line.number for line in mine)
        net = _net(mine)
        if operation.state in OPEN_OPERATION:
            theirs[operation.kind] -= net  # whatever it turns out to be, it is not in our sums yet
            continue
        wanted = operation.amount.minor if operation.state is OperationState.SUCCEEDED else 0
        if net != wanted and not _taken_back(operation, mine):
            found.append(_operation(payment, attempt, operation, wanted, mine))
            theirs[operation.kind] -= net - wanted
    strays = [line for line in lines if line.number not in claimed and line.type in (Movement.CAPTURED, Movement.REFUNDED)]
    for line in _unexpected(payment, attempt, operations, strays):
        kind = OperationKind.CAPTURE if line.type is Movement.CAPTURED else OperationKind.REFUND
        back = sum(one.amount for one in lines if one.type is Movement.REFUND_FAILED and one.operation == line.operation)
        net = line.amount - (back if kind is OperationKind.REFUND else 0)
        if net == 0:
            continue  # it came back: no money is anywhere else for it
        detail = f"{line.operation} {kind}, our reference {line.operation_reference or '(none)'}"
        found.append(_about(payment, attempt, Kind.OPERATION_NOT_OURS, 0, net, detail, subject_id=line.operation))
        theirs[kind] -= net
    if theirs[OperationKind.CAPTURE] != owed[OperationKind.CAPTURE]:
        failed = sum(line.amount for line in lines if line.type is Movement.CAPTURE_FAILED)
        closed = attempt.state not in (AttemptState.AUTHORIZED, AttemptState.CHARGED) and owed[OperationKind.CAPTURE] == 0
        kind_ = Kind.CLOSED_BUT_CHARGED if closed else Kind.CAPTURED_DIFFERS
        if failed and owed[OperationKind.CAPTURE] - theirs[OperationKind.CAPTURE] == failed:
            kind_ = Kind.CAPTURE_TAKEN_BACK
        found.append(_about(payment, attempt, kind_, owed[OperationKind.CAPTURE], theirs[OperationKind.CAPTURE], _states(payment, attempt)))
    if theirs[OperationKind.REFUND] != owed[OperationKind.REFUND]:
        found.append(_about(payment, attempt, Kind.REFUNDED_DIFFERS, owed[OperationKind.REFUND], theirs[OperationKind.REFUND]))
    return found + _held(payment, attempt, operations, ours.held, sum(one.held for one in charges))


def _held(payment: Payment, attempt: Attempt, operations: Iterable[Operation], ours: int, theirs: int) -> list[Finding]:
    moving = any(one.kind is not OperationKind.REFUND and one.state in OPEN_OPERATION for one in operations)
    if moving or ours == theirs:
        return []
    if attempt.state is AttemptState.AUTHORIZED and payment.state not in AT_REST:
        return []  # its outcome is open in another way
    closed = attempt.state not in (AttemptState.AUTHORIZED, AttemptState.CHARGED)
    kind = Kind.CLOSED_BUT_CHARGED if closed and ours == 0 else Kind.HELD_DIFFERS
    return [_about(payment, attempt, kind, ours, theirs, _states(payment, attempt))]


def _states(payment: Payment, attempt: Attempt) -> str:
    return f"the payment is {payment.state}, the attempt {attempt.state}"


def _belongs(line: Line, operation: Operation) -> bool:
    if operation.kind is OperationKind.CAPTURE and line.type is not Movement.CAPTURED:
        return False
    if operation.kind is OperationKind.REFUND and line.type not in (Movement.REFUNDED, Movement.REFUND_FAILED):
        return False
    if line.operation_reference == operation.id:
        return True
    # A refund made at the PSP itself has no reference of ours, or somebody else's; adopted, it is known by the PSP's id.
    adopted = operation.origin is Origin.PROVIDER and operation.psp_reference is not None
    return adopted and operation.kind is OperationKind.REFUND and line.operation == operation.psp_reference


def _net(lines: Iterable[Line]) -> int:
    return sum(-line.amount if line.type is Movement.REFUND_FAILED else line.amount for line in lines)


def _taken_back(operation: Operation, lines: Sequence[Line]) -> bool:
    """Where only the sum can tell: a capture that failed late, as the PSP's line of that names none, or what was adopted without an id."""
    adopted = operation.origin is Origin.PROVIDER and not lines  # told apart by amount, among the strays
    if operation.kind is not OperationKind.CAPTURE:
        return adopted and operation.psp_reference is None
    return adopted or (operation.state is OperationState.REVERSED and _net(lines) == operation.amount.minor)


def _operation(payment: Payment, attempt: Attempt, operation: Operation, wanted: int, lines: Sequence[Line]) -> Finding:
    net = _net(lines)
    kind = Kind.OPERATION_DENIED if wanted == 0 else Kind.OPERATION_MISSING if net == 0 else Kind.OPERATION_DIFFERS
    if kind is Kind.OPERATION_MISSING and lines:
        kind = Kind.REFUND_TAKEN_BACK
    detail = f"{operation.kind}, {operation.state} in our books"
    return _about(payment, attempt, kind, wanted, net, detail, subject_id=operation.id)


def _unexpected(payment: Payment, attempt: Attempt, operations: Iterable[Operation], strays: Sequence[Line]) -> list[Line]:
    """Of the lines that name no operation of ours, those that nothing of ours accounts for: an automatic capture and adopted ones do."""
    adopted = [one for one in operations if one.origin is Origin.PROVIDER and one.state is OperationState.SUCCEEDED]
    expected = [one.amount.minor for one in adopted if one.kind is OperationKind.CAPTURE]
    # A refund that only a total told of has no id of the PSP's, and may stand for several.
    told = sum(one.amount.minor for one in adopted if one.kind is OperationKind.REFUND and one.psp_reference is None)
    automatic = attempt.state is AttemptState.CHARGED or payment.intent.capture is CaptureMode.AUTOMATIC
    left: list[Line] = []
    for line in strays:
        # Of what a PSP captures by itself, some of them say no name of ours, and some the attempt's.
        nameless = line.type is Movement.CAPTURED and line.operation_reference in (None, attempt.id)
        if nameless and automatic:
            automatic = False  # whatever its amount: the sum tells whether it is the right one
        elif nameless and line.amount in expected:
            expected.remove(line.amount)
        elif line.type is Movement.REFUNDED and line.amount <= told:
            told -= line.amount
        else:
            left.append(line)
    return left
