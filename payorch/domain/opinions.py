"""Did money move? Four opinions of one payment, side by side: ours, the ledger's, the PSP's, and its reports'; and do they agree? Pure.

    ours         the sums over the payment's children, by its events
    the ledger   the double entries that were written with those events
    the PSP      its last definite word: what answers, lookups, webhooks and reports said, each kept with the event that it led to
    settlement   the lines of its settlement reports that were matched with our entries

They come from four places and are compared as they are, so that one that is wrong, by a bug, by a hand in the database or at the PSP, is
found and named. What nobody knows yet is no disagreement: then nobody can say whether they agree.

Not here: finding out an outcome (`proof`), explaining differences between reports and our books (`differences`), SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from msgspec import Struct

from payorch.domain import events as e
from payorch.domain.disputes import taking
from payorch.domain.money import Money
from payorch.domain.movements import REVERSAL, TO_THE_MERCHANT, MovementKind
from payorch.domain.outcome import Approved, Declined, Evidence, NotExecuted, Released, Source
from payorch.domain.payment import State
from payorch.domain.records import Operation, OperationKind, Origin, Payment
from payorch.domain.settlement import INWARD, OF_PAYMENTS, RowKind, SettlementState, worst

_NOT_THE_PSP: Final = frozenset({Source.PERSON, Source.RESTART, Source.FENCE})


class Moved(Struct, frozen=True, kw_only=True, gc=False):
    """A double entry of the ledger, and where it stands with the reports."""

    kind: MovementKind
    amount: Money
    settlement: SettlementState


class Booked(Struct, frozen=True, kw_only=True, gc=False):
    """A line of a report about the payment, as it was read. matched: with an entry of ours."""

    kind: RowKind
    gross: Money
    fee: Money
    net: Money
    day: date
    matched: bool


class Sums(Struct, frozen=True, kw_only=True, gc=False):
    """Minor units in the payment's currency. None: that side has not said."""

    captured: int | None
    refunded: int | None
    charged_back: int | None = None


class Word(Struct, frozen=True, kw_only=True, gc=False):
    """The PSP's last definite word. source, at: of the newest part of it."""

    sums: Sums
    source: Source
    at: datetime


class Opinions(Struct, frozen=True, kw_only=True):
    """The four, and what comes of them. psp: None where it has said nothing definite. gross, fee, net: of the matched lines; None where
    there is none. agree: None where nobody can say yet. disagreements: sentences, each of which names whose word is against whose.
    """

    ours: Sums
    ledger: Sums
    postings: int
    psp: Word | None
    settlement: SettlementState
    day: date | None
    gross: int | None
    fee: Money | None
    net: Money | None
    agree: bool | None
    disagreements: tuple[str, ...]


def opinions(
    payment: Payment, events: Iterable[e.Event], ledger: Sequence[Moved], lines: Sequence[Booked], *, let_pass_minor: int = 0
) -> Opinions:
    """All four of the payment whose events these are, all of them and in order. let_pass_minor: by how much a line may differ."""
    currency = payment.intent.amount.currency
    ours, kept, said = _ours(payment, currency), _ledger(ledger, currency), psp_word(events, currency)
    matched = [one for one in lines if one.matched]
    status = worst([one.settlement for one in ledger])
    against = _differences("our state", ours, "the ledger", kept, currency)
    if said is not None:
        against += _differences("our state", ours, "the PSP", said.sums, currency)
    against += _unsettled(ledger, matched, status, currency, let_pass_minor)
    return Opinions(
        ours=ours,
        ledger=kept,
        postings=len(ledger),
        psp=said,
        settlement=status,
        day=max((one.day for one in matched), default=None),
        gross=sum(one.gross.minor for one in matched if one.gross.currency == currency) if matched else None,
        fee=_total([one.fee for one in matched]),
        net=_total([one.net for one in matched]),
        agree=False if against else None if _is_open(payment) else True,
        disagreements=tuple(against),
    )


def net_minor(sums: Sums) -> int:
    """What the merchant is owed by it."""
    return (sums.captured or 0) - (sums.refunded or 0) - (sums.charged_back or 0)


def _is_open(payment: Payment) -> bool:
    return payment.unconfirmed or payment.open_attempt is not None or bool(payment.open_operations(*OperationKind))


def _ours(payment: Payment, currency: str) -> Sums:
    taken = sum(one.amount.minor for one in taking(payment.disputes) if one.amount.currency == currency)
    return Sums(captured=payment.captured_minor, refunded=payment.refunded_minor, charged_back=taken)


def _ledger(ledger: Sequence[Moved], currency: str) -> Sums:
    def moved(kind: MovementKind) -> int:
        there = sum(one.amount.minor for one in ledger if one.kind is kind and one.amount.currency == currency)
        back = sum(one.amount.minor for one in ledger if one.kind is REVERSAL[kind] and one.amount.currency == currency)
        return there - back

    return Sums(
        captured=moved(MovementKind.CAPTURE), refunded=moved(MovementKind.REFUND), charged_back=moved(MovementKind.CHARGEBACK)
    )  # fmt: skip


def _differences(whose: str, one: Sums, others: str, other: Sums, currency: str) -> list[str]:
    named = (
        ("captured", one.captured, other.captured),
        ("refunded", one.refunded, other.refunded),
        ("lost in disputes", one.charged_back, other.charged_back),
    )
    return [
        f"{whose} says {major(mine, currency)} {what}, {others} says {major(theirs, currency)}"
        for what, mine, theirs in named
        if mine is not None and theirs is not None and mine != theirs
    ]


def _unsettled(
    ledger: Sequence[Moved], matched: Sequence[Booked], status: SettlementState, currency: str, let_pass_minor: int
) -> list[str]:
    """What of the reports is against the ledger. What people have reviewed they have seen."""
    if status is SettlementState.MISMATCHED:
        return ["the settlement report does not fit the ledger: a finding about it is open"]
    if any(one.settlement is SettlementState.MANUALLY_REVIEWED for one in ledger):
        return []
    settled = [one for one in ledger if one.settlement is SettlementState.SETTLED and one.amount.currency == currency]
    expected = sum(one.amount.minor if one.kind in TO_THE_MERCHANT else -one.amount.minor for one in settled)
    gross = sum(_signed(one) for one in matched if one.kind in OF_PAYMENTS and one.gross.currency == currency)
    if abs(expected - gross) <= let_pass_minor * max(len(matched), 1):
        return []
    return [f"the settlement report books {major(gross, currency)}, the ledger has {major(expected, currency)} as settled"]


def _signed(line: Booked) -> int:
    """As the merchant's balance sees it, whatever sign the line has: a capture that is booked below zero is no capture."""
    return line.gross.minor if line.kind in INWARD else -abs(line.gross.minor)


def _total(amounts: Sequence[Money]) -> Money | None:
    """Their sum, where they are in one currency."""
    if not amounts or len({one.currency for one in amounts}) > 1:
        return None
    return Money(sum(one.minor for one in amounts), amounts[0].currency)


def major(minor: int, currency: str) -> str:
    """249.00 EUR."""
    return f"{Money(minor, currency).major()} {currency}"


# --- in words ---------------------------------------------------------------------------------------------------------------------------


def in_words(sums: Sums, currency: str) -> str:
    """`captured 249.00 EUR, refunded 5.00 EUR`."""
    told = ((sums.captured, "captured"), (sums.refunded, "refunded"), (sums.charged_back, "lost in disputes"))
    parts = [f"{word} {major(minor, currency)}" for minor, word in told if minor]
    return ", ".join(parts) or ("captured nothing" if sums.captured == 0 else "nothing said")


def ours_in_words(payment: Payment) -> str:
    """Our own opinion, which also knows of holds and of what nobody knows."""
    currency = payment.intent.amount.currency
    sums = _ours(payment, currency)
    holding = payment.holding_attempt
    if payment.unconfirmed:
        known = f"; for sure {in_words(sums, currency)}" if sums.captured or sums.refunded else ""
        return f"not known{known}"
    if not sums.captured and holding is not None:
        return f"holds {major(payment.authorized_minor, currency)}"
    if not sums.captured and payment.state in (State.CANCELED, State.FAILED):
        return "no money moved"
    return in_words(sums, currency)


# --- what the PSP has said --------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Side:
    """What was said of one way of the money under one attempt. said: by subject. total: the last total; base: what a lower total left."""

    total: int = 0
    base: int = 0
    said: dict[str, int] = field(default_factory=dict)
    spoken: bool = False

    def of_subject(self, subject_id: str, minor: int) -> None:
        if minor == 0 and self.said.get(subject_id):
            self.total = 0  # it was taken back, so that an earlier total is history
        self.said[subject_id] = minor
        self.spoken = True

    def in_total(self, minor: int) -> None:
        if minor < self.base + sum(self.said.values()):
            self.said.clear()
            self.base = minor
        self.total = minor
        self.spoken = True

    @property
    def minor(self) -> int:
        return max(self.total, self.base + sum(self.said.values()))


@dataclass(slots=True)
class _Hearing:
    """Goes through the events and keeps the PSP's words of each attempt."""

    currency: str
    attempts: dict[str, Money] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    captured: dict[str, _Side] = field(default_factory=dict)
    refunded: dict[str, _Side] = field(default_factory=dict)
    last: tuple[Source, datetime] | None = None

    def hear(self, event: e.Event) -> None:
        match event.data:
            case e.AttemptOpened(attempt=attempt):
                self.attempts[attempt.id] = attempt.amount
            case e.OperationOpened(operation=operation):
                self.operations[operation.id] = operation
                if operation.origin is Origin.PROVIDER:  # what somebody did at the PSP: its word, and nobody else's
                    self._of_operation(operation, operation.amount, event.at, Source.INQUIRY)
            case e.AttemptChange(attempt_id=attempt_id, evidence=Evidence() as evidence):
                self._of_attempt(attempt_id, evidence)
            case e.OperationChange(operation_id=operation_id, evidence=Evidence() as evidence):
                self._about_operation(operation_id, evidence)
            case e.Discrepancy(subject_id=str() as subject_id, evidence=Evidence() as evidence) if subject_id in self.attempts:
                self._of_attempt(subject_id, evidence)
            case _:
                pass

    def _of_attempt(self, attempt_id: str, evidence: Evidence) -> None:
        if _silent(evidence) or attempt_id not in self.attempts:
            return
        side = self.captured.setdefault(attempt_id, _Side())
        match evidence.finding:
            case Approved(captured=True) if evidence.captured is None:
                if not self._captures_of(attempt_id):
                    side.of_subject(attempt_id, self._minor(_either(evidence.amount, self.attempts[attempt_id])))
                    self._heard(evidence)
            case Declined():
                side.of_subject(attempt_id, 0)
                self._heard(evidence)
            case Approved(captured=False) | NotExecuted() | Released():  # may be old, and then it takes nothing back
                side.of_subject(attempt_id, side.said.get(attempt_id, 0))
                self._heard(evidence)
            case _:
                pass
        self._totals(attempt_id, evidence)

    def _about_operation(self, operation_id: str, evidence: Evidence) -> None:
        operation = self.operations.get(operation_id)
        if operation is None or _silent(evidence):
            return
        match evidence.finding:
            case Approved():
                self._of_operation(operation, _either(evidence.amount, operation.amount), evidence.at, evidence.source)
            case Declined() | NotExecuted():
                self._of_operation(operation, Money(0, self.currency), evidence.at, evidence.source)
            case _:
                pass
        self._totals(operation.attempt_id, evidence)

    def _of_operation(self, operation: Operation, amount: Money, at: datetime, source: Source) -> None:
        if operation.kind is OperationKind.VOID:
            return
        sides = self.captured if operation.kind is OperationKind.CAPTURE else self.refunded
        sides.setdefault(operation.attempt_id, _Side()).of_subject(operation.id, self._minor(amount))
        self.last = (source, at)

    def _totals(self, attempt_id: str, evidence: Evidence) -> None:
        if evidence.captured is not None and evidence.captured.currency == self.currency:
            self.captured.setdefault(attempt_id, _Side()).in_total(evidence.captured.minor)
            self._heard(evidence)
        if evidence.refunded is not None and evidence.refunded.currency == self.currency:
            self.refunded.setdefault(attempt_id, _Side()).in_total(evidence.refunded.minor)
            self._heard(evidence)

    def _captures_of(self, attempt_id: str) -> bool:
        return any(one.attempt_id == attempt_id and one.kind is OperationKind.CAPTURE for one in self.operations.values())

    def _minor(self, amount: Money) -> int:
        return amount.minor if amount.currency == self.currency else 0

    def _heard(self, evidence: Evidence) -> None:
        self.last = (evidence.source, evidence.at)


def psp_word(events: Iterable[e.Event], currency: str) -> Word | None:
    """What the PSPs of these events have definitely said last, of all attempts together; None where they have said nothing."""
    hearing = _Hearing(currency)
    for event in events:
        hearing.hear(event)
    if hearing.last is None:
        return None
    source, at = hearing.last
    sums = Sums(captured=_spoken(hearing.captured.values()), refunded=_spoken(hearing.refunded.values()))
    return Word(sums=sums, source=source, at=at)


def _silent(evidence: Evidence) -> bool:
    """Whether the PSP has not spoken of the payment: it is somebody else's word, or a look or a repeat that never reached it or that it
    turned away. Only of the first call itself does "not executed" say anything about the money.
    """
    turned_away = isinstance(evidence.finding, NotExecuted) and (not evidence.finding.sent or evidence.source is not Source.RESPONSE)
    return evidence.source in _NOT_THE_PSP or turned_away


def _either(said: Money | None, asked: Money) -> Money:
    """What was said, or where no amount was said what was asked for."""
    return asked if said is None else said


def _spoken(sides: Iterable[_Side]) -> int | None:
    heard = [one.minor for one in sides if one.spoken]
    return sum(heard) if heard else None
