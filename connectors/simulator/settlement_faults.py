"""What goes wrong with a booking in a settlement report: left out, doubled, moved to the next day, with another amount or fee, unreadable,
or with a stranger's beside it.

Which booking is hit follows from the booking and the fault, not from how often somebody looked: the ledger keeps what was decided
(`Reported.strike`). A report under a fault agrees with itself all the same, payout and totals included; only of a line that cannot be read
its money is in them. Here and nowhere else it says what each fault does to a booking. The faults are those of `faults`: set, counted and
ended there.

Not here: which bookings there are and when it is decided (`settlement`).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from connectors.simulator.bookings import Booking, BookingKind, Terms
from connectors.simulator.faults import SETTLEMENT_FAULTS, Fault, FaultKind, FaultState, counted, live

_WRONG_BY: Final = 10
"""A wrong amount is wrong by the tenth part of it, and by one unit at least."""


def befalls(state: FaultState, booking: Booking, now: datetime) -> tuple[FaultKind | None, FaultState]:
    """What happens to a booking that is reported for the first time, and the state after it (counted faults have one hit less).

    Faults are tried in the order they were set; the first that hits decides. Only what has a fee can have a wrong one.
    """
    if not any(fault.kind in SETTLEMENT_FAULTS for fault in state.faults):
        return None, state
    for fault in live(state, now).faults:
        if fault.kind not in SETTLEMENT_FAULTS or (fault.kind is FaultKind.SETTLEMENT_WRONG_FEE and not booking.fee):
            continue
        if _chance(fault, booking) < fault.rate:
            return fault.kind, counted(state, {fault.id})
    return None, state


def _chance(fault: Fault, booking: Booking) -> float:
    """A number in [0, 1) that belongs to that booking and that fault."""
    return int(booking.made_up("01", 40, salt=f"{fault.kind}:{fault.id}"), 2) / 2**40


def acted_out(terms: Terms, booking: Booking, kind: FaultKind | None) -> tuple[Booking, ...]:
    """What stands in the report in place of that booking. One that is shifted stands in the next day's: here it is only gone."""
    match kind:
        case None:
            return (booking,)
        case FaultKind.SETTLEMENT_MISSING | FaultKind.SETTLEMENT_SHIFTED:
            return ()
        case FaultKind.SETTLEMENT_DOUBLED:
            return booking, replace(booking, identity=f"{booking.identity}:again", again=True)
        case FaultKind.SETTLEMENT_EXTRA:
            return booking, _stranger(terms, booking)
        case FaultKind.SETTLEMENT_WRONG_AMOUNT:
            return (_wrong_amount(terms, booking),)
        case FaultKind.SETTLEMENT_WRONG_FEE:
            more = max(1, abs(booking.fee) // 2)
            return (replace(booking, fee=booking.fee + more, net=booking.net - more),)
        case FaultKind.SETTLEMENT_BAD_ROW:
            return (replace(booking, unreadable=True),)
        case _:
            raise AssertionError(f"{kind} is no fault of settlement reports")


def priced(terms: Terms, booking: Booking) -> Booking:
    """A booking of a payment as these terms settle it: its gross amount is taken from it, everything else that is money is worked out."""
    exchange = None if terms.exchange_apart else terms.exchanges.get(booking.currency)
    taken = terms.fee(booking.payment, booking.gross, booking.currency) if booking.kind is BookingKind.CAPTURE else 0
    gross, into = booking.gross, booking.currency
    if exchange is not None:
        gross, taken, into = exchange.of(gross, booking.currency), exchange.of(taken, booking.currency), exchange.into
    if booking.kind is BookingKind.CHARGEBACK and not terms.dispute_fee_apart:
        taken = terms.dispute_fees.get(into, 0)
    return replace(booking, fee=taken, net=gross - taken, settled_in=into, rate=None if exchange is None else exchange.rate)


def _wrong_amount(terms: Terms, booking: Booking) -> Booking:
    more = max(1, abs(booking.gross) // _WRONG_BY)
    wrong = priced(terms, replace(booking, gross=booking.gross + (more if booking.gross > 0 else -more)))
    # The fee is the true one: exactly one thing is wrong.
    return replace(wrong, fee=booking.fee, net=wrong.net + wrong.fee - booking.fee)


def _stranger(terms: Terms, booking: Booking) -> Booking:
    """A capture of a payment that nobody here has made, as large as what it stands beside."""
    return priced(
        terms,
        Booking(
            identity=f"{booking.identity}:stranger", kind=BookingKind.CAPTURE, gross=abs(booking.gross), net=0, currency=booking.currency,
            settled_in=booking.currency, happened_at=booking.happened_at, booked_at=booking.booked_at,
        ),
    )  # fmt: skip
