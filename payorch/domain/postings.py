"""Postings: the double entries that follow from a line of a settlement report. Pure.

Whatever a line says, the PSP's balance changes by exactly its net amount, and where that comes from is booked against it: what was due from
the PSP (or, where no movement of ours is known for it, the suspense account), the bank, fees. Where gross and net are in two currencies,
each currency is balanced by itself through the exchange account. What a line does not explain itself (net is not gross less fee) is an
adjustment: nothing is lost, and the difference can be seen.

Not here: our own movements (`movements`), which line is matched with which of them (`matching`), storing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from msgspec import Struct

from payorch.domain.accounts import Account
from payorch.domain.money import Money
from payorch.domain.settlement import OF_PAYMENTS, RowKind, RowState, SettlementRow


class Posting(Struct, frozen=True, kw_only=True, gc=False):
    """One double entry of a line: `amount` (above zero) from the account `credit` to the account `debit`. leg: its number, from 1."""

    leg: int
    debit: str
    credit: str
    amount: Money


_Change: TypeAlias = tuple[str, str, int, str]
"""To this account, from that one, so many minor units (below zero: the other way round) of that currency."""

_EXCHANGE: Final = Account.EXCHANGE.value


def postings(row: SettlementRow, state: RowState, *, connector: str) -> tuple[Posting, ...]:
    """What a line of that connector's report books, as it stands. Zeros are left out, so there may be none."""
    balance, other = Account.PSP_BALANCE.of(connector), counter_account(row.kind, state, connector=connector)
    gross, fee, net = row.gross, row.fee, row.net
    if gross.currency == net.currency:
        moved: tuple[_Change, ...] = (
            (balance, other, gross.minor, net.currency),
            (balance, Account.ADJUSTMENTS.of(connector), net.minor - (gross.minor - fee.minor), net.currency),
        )
    else:
        # What the gross amount came to in the balance's currency: the rate is the PSP's, and so is how it was rounded.
        moved = ((_EXCHANGE, other, gross.minor, gross.currency), (balance, _EXCHANGE, net.minor + fee.minor, net.currency))
    return _numbered((*moved, (Account.PSP_FEES.of(connector), balance, fee.minor, net.currency)), first_leg=1)


def relinked(row: SettlementRow, was: RowState, now: RowState, *, connector: str, first_leg: int) -> tuple[Posting, ...]:
    """What corrects the postings of a line that stood at `was` and now stands at `now`; none where that changes no account.

    first_leg: the number after the last of the line's postings: what was booked stays.
    """
    before, after = (counter_account(row.kind, state, connector=connector) for state in (was, now))
    return _numbered([(before, after, row.gross.minor, row.gross.currency)], first_leg=first_leg)


def counter_account(kind: RowKind, state: RowState, *, connector: str) -> str:
    """Where the gross amount of such a line comes from, or goes to."""
    if kind in OF_PAYMENTS:
        return (Account.PSP_RECEIVABLE if state is RowState.MATCHED else Account.SUSPENSE).of(connector)
    match kind:
        case RowKind.FEE:
            return Account.PSP_FEES.of(connector)
        case RowKind.PAYOUT:
            return Account.BANK.of(connector)
        case RowKind.CONVERSION:
            return _EXCHANGE
        case RowKind.ADJUSTMENT:
            return Account.ADJUSTMENTS.of(connector)
        case _:
            raise AssertionError(f"no account for {kind}")


def _numbered(changes: Iterable[_Change], *, first_leg: int) -> tuple[Posting, ...]:
    made: list[Posting] = []
    for to, from_, minor, currency in changes:
        if minor == 0 or to == from_:
            continue
        debit, credit = (to, from_) if minor > 0 else (from_, to)
        made.append(Posting(leg=first_leg + len(made), debit=debit, credit=credit, amount=Money(abs(minor), currency)))
    return tuple(made)
