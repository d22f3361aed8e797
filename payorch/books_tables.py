"""What the books check asks of all rows at once: keys and stored answers, and the accounts of the ledger against what they are made of.

Everything is read at the one moment of the check. Of what is wrong in one respect the first thousand are enough. Not here: single payments
(`payorch.domain.books_own`, `books_ledger`), the PSPs' own books (`payorch.books`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

import msgspec

from payorch.domain import identifiers
from payorch.domain.accounts import Account
from payorch.domain.books_findings import Finding, Kind
from payorch.store import books as kept_books
from payorch.store import ledger
from payorch.store.books import FIRST, SHOWN_LIMIT, StoredAnswer
from payorch.store.driver import Connection
from payorch.store.ledger import AccountTotal

ANSWERS_PAGE: Final = 2_000
CREATION: Final = "POST /v1/payments"
FINGERPRINT_BYTES: Final = 32


# --- keys -------------------------------------------------------------------------------------------------------------------------------


async def keys(connection: Connection, first: UUID) -> list[Finding]:
    """M5, M6, M7: whose each key is, and what it was answered."""
    found: list[Finding] = []
    for key, payments in await kept_books.doubled_keys(connection, first):
        detail = f"the PSP key {key[:80]} is that of more than one call: {', '.join(payments)}"
        found.append(Finding(kind=Kind.KEY_TWICE, payment_id=payments[0], detail=detail))
    for merchant, key, payment_id in await kept_books.claims_astray(connection, first):
        detail = f"the key {key[:80]!r} of {merchant} leads to no payment of that merchant"
        found.append(Finding(kind=Kind.CLAIM_ASTRAY, payment_id=payment_id, subject_id=key, detail=detail))
    for payment_id, many in await kept_books.creations(connection, first, CREATION):
        found.append(Finding(kind=Kind.NOBODY_ASKED, payment_id=payment_id, detail=f"it was made under {many} keys, not 1"))
    return found + await _answers(connection, first)


async def _answers(connection: Connection, first: UUID) -> list[Finding]:
    found: list[Finding] = []
    after: tuple[UUID, str] = (FIRST, "")
    while page := await kept_books.stored_answers(connection, first, after, limit=ANSWERS_PAGE):
        for answer in page:
            if (problem := _answer_problem(answer)) and len(found) < SHOWN_LIMIT:
                found.append(Finding(kind=Kind.ANSWER_ASTRAY, payment_id=answer.payment_id, subject_id=answer.key[:80], detail=problem))
        after = (page[-1].merchant_id, page[-1].key)
    return found


class _Named(msgspec.Struct):
    id: str | None = None
    payment: dict[str, Any] | None = None


_named: Final = msgspec.json.Decoder(_Named)


def _answer_problem(answer: StoredAnswer) -> str:
    """M6: a key has a fingerprint, and what it was answered is about the payment (or operation) that the key made."""
    if len(answer.fingerprint) != FINGERPRINT_BYTES:
        return f"its fingerprint has {len(answer.fingerprint)} bytes, not {FINGERPRINT_BYTES}"
    if answer.body is None or answer.status is None or answer.status >= 300:
        return ""
    try:
        named = _named.decode(answer.body)
    except msgspec.MsgspecError:
        return "its stored answer is no JSON"
    payment_id = named.id if named.payment is None else named.payment.get("id")
    if payment_id != answer.payment_id:
        return f"its stored answer is about {str(payment_id)[:80]}"
    return ""


# --- the ledger -------------------------------------------------------------------------------------------------------------------------


async def entries(connection: Connection) -> list[Finding]:
    """Each double entry sums to zero, in each currency, and movements and lines of reports name each other."""
    found = []
    for payment_id, detail in await ledger.unlinked(connection, limit=SHOWN_LIMIT):
        found.append(Finding(kind=Kind.MOVEMENT_ASTRAY, payment_id=payment_id, detail=detail))
    for source, stream_id, number, currency, left in await ledger.unbalanced(connection, limit=SHOWN_LIMIT):
        of_payment = source == "payment"
        detail = f"event {number} of it" if of_payment else f"line {number} of {identifiers.text('bat', stream_id)}"
        whose = identifiers.text("pay", stream_id) if of_payment else None
        found.append(Finding(kind=Kind.UNBALANCED, payment_id=whose, currency=currency, ours=0, theirs=left, detail=detail))
    return found


def payables(owed: Mapping[tuple[str, str], int], accounts: Iterable[AccountTotal]) -> list[Finding]:
    """What merchants are owed by their accounts is what their payments have brought. owed: (merchant, currency) -> by the payments."""
    expected = {(Account.MERCHANT_PAYABLE.of(merchant), currency): -minor for (merchant, currency), minor in owed.items()}
    return _compared(Account.MERCHANT_PAYABLE, expected, accounts, "captured, less refunded and charged back, by the payments")


async def psps(connection: Connection, accounts: Iterable[AccountTotal]) -> list[Finding]:
    """What is due from each PSP is what no report has (and by what the reports differ), and its balance is what its reports say."""
    due: dict[tuple[str, str], int] = {}
    reported: dict[tuple[str, str], int] = {}
    for one in await ledger.receivables(connection):
        due[Account.PSP_RECEIVABLE.of(one.connector), one.currency] = one.pending + one.apart
        reported[Account.PSP_BALANCE.of(one.connector), one.currency] = one.reported
    totals = list(accounts)
    return [
        *_compared(Account.PSP_RECEIVABLE, due, totals, "movements that no report has, and by what matched lines differ from theirs"),
        *_compared(Account.PSP_BALANCE, reported, totals, "the net amounts of the reports' lines"),
    ]


def _compared(kind: Account, expected: Mapping[tuple[str, str], int], accounts: Iterable[AccountTotal], what: str) -> list[Finding]:
    there = {(one.account, one.currency): one.amount for one in accounts if one.account.startswith(kind.of(""))}
    found = []
    for account, currency in sorted({*expected, *there}):
        ours, theirs = expected.get((account, currency), 0), there.get((account, currency), 0)
        if ours != theirs:
            detail = f"the account {account} against {what}"
            found.append(Finding(kind=Kind.ACCOUNT_DIFFERS, currency=currency, ours=ours, theirs=theirs, detail=detail))
    return found
