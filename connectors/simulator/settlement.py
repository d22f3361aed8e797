"""Settlement reports: what was booked on a day of a simulated PSP's, and the endpoint that tells it in the PSP's own format.

    GET /_settlements/<date>    the report of that day (YYYY-MM-DD) in the PSP's own time zone, as the file that the PSP would hand out

A day's bookings are its captures, refunds, failures of either, and what disputes moved; the fees and exchanges that follow from them; and,
at its end, a payout for each currency of all that is in the balance, where that is above zero. What is below zero stays and is first made
up for on the next day. A day that has not ended is told as far as it has come, without a payout: that is made of the whole day, once. The
same books and date always give the same bytes.

Faults are decided when a booking is first reported, and kept: see `settlement_faults`. A report closes the days before it; what nobody had
asked for until then is in order. Made in memory: a day with more than `MOST_BOOKINGS` is refused, `rehearsed` makes one of any size.

Not here: any PSP's format (its `dialect_settlement`), serving it (`payorch.simulators`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Final

from connectors.contract import HttpRequest, HttpResponse
from connectors.simulator.bookings import Booking, BookingKind, Day, Reporting, Terms
from connectors.simulator.control import json_response
from connectors.simulator.dialect import Dialect
from connectors.simulator.faults import FaultKind, FaultState
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Entry, EntryType, OperationKind, Payment
from connectors.simulator.reported import Mark, Withdrawal
from connectors.simulator.settlement_faults import acted_out, befalls, priced

PATH: Final = "/_settlements"
MOST_BOOKINGS: Final = 250_000
"""Of one day: a quarter of a gigabyte, and seconds in which the simulator does nothing else. Longer reports are for `rehearsed`."""

FIRST_DAY: Final = date(1970, 1, 2)
"""Times are counted from the day before, somewhere."""
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_DAY: Final = timedelta(days=1)
_LAST_MOMENT: Final = timedelta(seconds=1)
_KINDS: Final[Mapping[EntryType, tuple[BookingKind, int]]] = {
    EntryType.CAPTURED: (BookingKind.CAPTURE, 1),
    EntryType.CAPTURE_FAILED: (BookingKind.CAPTURE_FAILED, -1),
    EntryType.REFUNDED: (BookingKind.REFUND, -1),
    EntryType.REFUND_FAILED: (BookingKind.REFUND_FAILED, 1),
}
NO_FAULTS: Final = FaultState()
_ENTRY, _WITHDRAWAL = "e", "w"
"""How a booking's identity begins; the number in the ledger follows."""


def answer(
    ledger: Ledger, dialect: Dialect, reporting: Reporting, state: FaultState, request: HttpRequest, target: str, now: datetime
) -> tuple[HttpResponse, FaultState]:
    """The report that is asked for, and the faults in force after it: the same object where nothing changed."""
    asked = target.partition("?")[0].removeprefix(PATH).strip("/")
    if request.method != "GET":
        return json_response(405, {"error": "a settlement report can only be read: GET"}), state
    try:
        day = date.fromisoformat(asked) if _DATE.fullmatch(asked) else None
    except ValueError:
        day = None
    if day is None:
        return json_response(400, {"error": f"a settlement report is of a day: {PATH}/YYYY-MM-DD"}), state
    dialect.due(ledger, now)  # what happens by itself is booked when it was due
    terms = reporting.terms
    if not FIRST_DAY <= day <= terms.day_of(now):
        why = "is before all books" if day < FIRST_DAY else f"has not begun yet in {terms.zone}"
        return json_response(404, {"error": f"{day} {why}"}), state
    if (many := ledger.reported.count(terms.begins(day), terms.ends(day))) > MOST_BOOKINGS:
        return json_response(413, {"error": f"{day} has {many} bookings; a report holds {MOST_BOOKINGS} at most"}), state
    told, after = reported(ledger, terms, state, day, now)
    headers = (
        ("content-type", "text/csv; charset=utf-8"),
        ("content-disposition", f'attachment; filename="{ledger.psp}-{day}.csv"'),
        ("cache-control", "no-store"),
    )
    return HttpResponse(status=200, headers=headers, body="".join(reporting.write(told)).encode()), after


def reported(ledger: Ledger, terms: Terms, state: FaultState, day: date, now: datetime) -> tuple[Day, FaultState]:
    """That day as it is reported now, and the faults after it. In one transaction: what is told is kept."""
    with ledger.transaction():
        opening = _closed_before(ledger, terms, day)
        booked, after = _decided(ledger, terms, day, state, now)
        left = _left(opening, booked)
        ended = now >= terms.ends(day)
        entries, withdrawals = ledger.reported.numbers()
        ledger.reported.keep(Mark(date=day, entries=entries, withdrawals=withdrawals, left=_owed(left) if ended else None))
    at_the_end = _at_the_end(terms, day, left) if ended else ()
    bookings = [*_carried_in(terms, day, opening), *booked, *at_the_end]
    paid_out = frozenset(currency for currency, amount in left.items() if amount > 0 and ended)
    return Day(date=day, terms=terms, bookings=bookings, opening=opening, paid_out=paid_out), after


# --- what was booked ---------------------------------------------------------------------------------------------------------------------


def _decided(
    ledger: Ledger, terms: Terms, day: date, state: FaultState = NO_FAULTS, now: datetime | None = None
) -> tuple[list[Booking], FaultState]:
    """That day's bookings as they are reported, and the faults after it: those never reported before meet the faults in force `now`."""
    books = ledger.reported
    mark = books.mark(day)
    struck = books.faults(day)
    found = list(_shifted_into(ledger, terms, day))
    for booking in _happened(ledger, terms, day):
        kind = FaultKind(struck[booking.identity]) if booking.identity in struck else None
        if now is not None and not _was_reported(booking, mark):
            kind, state = befalls(state, booking, now)
            if kind is not None:
                books.strike(day, booking.identity, kind)
        for one in acted_out(terms, booking, kind):
            found += _with_followers(terms, one)
    return found, state


def _was_reported(booking: Booking, mark: Mark | None) -> bool:
    if mark is None:
        return False
    return int(booking.identity[1:]) <= (mark.entries if booking.identity.startswith(_ENTRY) else mark.withdrawals)


def _happened(ledger: Ledger, terms: Terms, day: date) -> list[Booking]:
    """What happened on that day, in order, without faults and without what follows from it."""
    first, end = terms.begins(day), terms.ends(day)
    made = [_of_entry(ledger, terms, entry) for entry in ledger.reported.entries(first, end)]
    made += [_of_withdrawal(ledger, terms, one) for one in ledger.reported.withdrawals(first, end)]
    return sorted(made, key=lambda booking: booking.happened_at)


def _shifted_into(ledger: Ledger, terms: Terms, day: date) -> Iterator[Booking]:
    """What happened on the day before and is booked on this one only, at its first moment."""
    struck = ledger.reported.faults(day - _DAY)
    for identity in sorted(identity for identity, kind in struck.items() if kind == FaultKind.SETTLEMENT_SHIFTED):
        number = int(identity[1:])
        if identity.startswith(_ENTRY):
            booking = _of_entry(ledger, terms, ledger.reported.entry(number))
        else:
            booking = _of_withdrawal(ledger, terms, ledger.reported.withdrawal(number))
        yield from _with_followers(terms, replace(booking, booked_at=terms.begins(day)))


def _of_entry(ledger: Ledger, terms: Terms, entry: Entry) -> Booking:
    kind, sign = _KINDS[entry.type]
    refunds = kind in (BookingKind.REFUND, BookingKind.REFUND_FAILED) and entry.operation is not None
    booking = Booking(
        identity=f"{_ENTRY}{entry.number}",
        kind=kind,
        gross=sign * entry.amount,
        currency=entry.currency,
        net=0,
        settled_in=entry.currency,
        happened_at=entry.at,
        booked_at=entry.at,
        payment=ledger.payment(entry.payment),
        operation=ledger.operation(entry.operation or "") if refunds else None,
        operation_id=entry.operation,
        operation_reference=entry.operation_reference,
    )
    return priced(terms, booking)


def _of_withdrawal(ledger: Ledger, terms: Terms, one: Withdrawal) -> Booking:
    payment = ledger.payment(one.payment)
    assert payment is not None, "a dispute is of a payment"
    booking = Booking(
        identity=f"{_WITHDRAWAL}{one.number}",
        kind=BookingKind.CHARGEBACK if one.amount < 0 else BookingKind.CHARGEBACK_REVERSED,
        gross=one.amount,
        currency=payment.currency,
        net=0,
        settled_in=payment.currency,
        happened_at=one.at,
        booked_at=one.at,
        payment=payment,
        operation=ledger.operation(one.dispute, OperationKind.DISPUTE),
        operation_id=one.dispute,
    )
    return priced(terms, booking)


def _with_followers(terms: Terms, booking: Booking) -> Iterator[Booking]:
    """A booking, and those by themselves that it causes: the fee of a dispute, the two sides of an exchange."""
    yield booking
    after = replace(booking, fee=0, rate=None, unreadable=False, operation_reference=None, cause=booking)
    exchange = terms.exchanges.get(booking.currency)
    into = booking.settled_in if exchange is None else exchange.into
    if booking.kind is BookingKind.CHARGEBACK and terms.dispute_fee_apart and (fee := terms.dispute_fees.get(into, 0)):
        yield replace(
            after, identity=f"{booking.identity}:fee", kind=BookingKind.DISPUTE_FEE, gross=-fee, net=-fee, currency=into, settled_in=into
        )
    if terms.exchange_apart and booking.net and exchange is not None:
        bought = exchange.of(booking.net, booking.currency)
        for side, amount, currency in (("from", -booking.net, booking.currency), ("to", bought, into)):
            identity = f"{booking.identity}:{side}"
            sides = replace(after, identity=identity, kind=BookingKind.CONVERSION, rate=exchange.rate, gross=amount, net=amount)
            yield replace(sides, currency=currency, settled_in=currency)


# --- what was left -----------------------------------------------------------------------------------------------------------------------


def _closed_before(ledger: Ledger, terms: Terms, day: date) -> Mapping[str, int]:
    """What was in the balance when that day began. Days before it that nobody asked for are closed now, as they are."""
    books = ledger.reported
    last = books.last_left(day)
    if last is not None and last.left is not None:
        left, one = last.left, last.date + _DAY
    else:
        begun = books.begun()
        left, one = {}, day if begun is None else terms.day_of(begun)
    while one < day:
        booked, _ = _decided(ledger, terms, one)
        left = _owed(_left(left, booked))
        entries, withdrawals = books.numbers()
        books.keep(Mark(date=one, entries=entries, withdrawals=withdrawals, left=left))
        one += _DAY
    return left


def _left(opening: Mapping[str, int], booked: Iterable[Booking]) -> dict[str, int]:
    """What is in the balance before the payout, by currency."""
    left = Counter(opening)
    for booking in booked:
        left[booking.settled_in] += booking.net
    return dict(sorted(left.items()))


def _owed(left: Mapping[str, int]) -> dict[str, int]:
    """What stays in the balance after the payout: only what is below zero."""
    return {currency: amount for currency, amount in left.items() if amount < 0}


def _carried_in(terms: Terms, day: date, opening: Mapping[str, int]) -> Iterator[Booking]:
    for currency, amount in opening.items():
        if terms.carries:
            yield _plain(f"carried:{day}:in:{currency}", BookingKind.CARRIED, amount, currency, terms.begins(day))


def _at_the_end(terms: Terms, day: date, left: Mapping[str, int]) -> Iterator[Booking]:
    """Payouts of what is there; and of what is owed, where the PSP books it, that it is taken over."""
    at = terms.ends(day) - _LAST_MOMENT
    for currency, amount in left.items():
        if amount < 0 and terms.carries:
            yield _plain(f"carried:{day}:out:{currency}", BookingKind.CARRIED, -amount, currency, at)
    for currency, amount in left.items():
        if amount > 0:
            yield _plain(f"payout:{day}:{currency}", BookingKind.PAYOUT, -amount, currency, at)


def _plain(identity: str, kind: BookingKind, amount: int, currency: str, at: datetime) -> Booking:
    return Booking(
        identity=identity, kind=kind, gross=amount, net=amount, currency=currency, settled_in=currency, happened_at=at, booked_at=at
    )


# --- reports of any length ---------------------------------------------------------------------------------------------------------------


def rehearsed(
    terms: Terms,
    day: date,
    *,
    rows: int,
    currency: str,
    amount: int,
    payment: Callable[[int], str],
    operation: Callable[[int], str],
    reference: Callable[[int], str],
    facts: Callable[[int], dict[str, object]] = lambda number: {},
) -> Day:
    """A day of captures that no ledger holds, and their payout, one at a time: for measuring what reads reports.

    payment, operation, reference: by the row's number from 1, the PSP's ids of the payment and of its capture, and our id of it. facts:
    what the dialect would know about the payment; without any its report leaves out what it cannot know. All bookings settle as they are,
    so `currency` is one without an exchange. The bookings can be gone through once.
    """
    first = terms.begins(day)
    step = (terms.ends(day) - first - _LAST_MOMENT) / (rows + 1)

    def bookings() -> Iterator[Booking]:
        total = 0
        for number in range(1, rows + 1):
            at = first + step * number
            made = Payment(
                number=number, id=payment(number), reference=reference(number), currency=currency, amount=amount, created_at=at,
                authorized=amount, captured=amount, facts=facts(number),
            )  # fmt: skip
            plain = _plain(f"{_ENTRY}{number}", BookingKind.CAPTURE, amount, currency, at)
            booking = priced(terms, replace(plain, payment=made, operation_id=operation(number)))
            total += booking.net
            yield booking
        yield from _at_the_end(terms, day, {currency: total})

    return Day(date=day, terms=terms, bookings=bookings(), paid_out=frozenset({currency}))
