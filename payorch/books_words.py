"""What each finding of the books check means for the money, and what to do next, in words.

Not here: finding anything (`payorch.books`), the report as a whole (`books_report`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from payorch.domain.books_findings import Finding, Kind
from payorch.domain.money import Money, MoneyError


class About(NamedTuple):
    """A kind of finding in words. `fewer`: what it means where the PSP has less than we say; `more`: where it has more, or in general."""

    title: str
    more: str
    next: str
    fewer: str = ""


_LOOK: Final = "Read the payment's timeline (GET /v1/payments/{id}/timeline) beside the PSP's own page of it"
_TAMPERED: Final = "Run `payorch audit verify`: if the chain is whole, the row was changed behind it. Rebuild the row from the journal"
_MOVED: Final = "Run `payorch audit verify`: if the chain is whole, entries were changed behind it. Make them anew from the journal"

ABOUT: Final[Mapping[Kind, About]] = {
    Kind.CHARGED_TWICE: About(
        "charged more than once",
        "The shopper is without the money of several charges for one payment.",
        "Give the surplus charge back at the PSP today. Then find out from the timeline how the second one came about.",
    ),
    Kind.CAPTURED_DIFFERS: About(
        "captured amounts differ",
        "The PSP took more than our books say: the merchant is owed money that nobody shows to him.",
        f"{_LOOK}. Ask for a resync of the payment, or have two people correct it.",
        "We report money as taken that the PSP does not have: the merchant may have shipped without being paid.",
    ),
    Kind.REFUNDED_DIFFERS: About(
        "refunded amounts differ",
        "The PSP gave back more than our books say: the merchant is short of it, and could refund it a second time.",
        f"{_LOOK}. A refund made at the PSP itself is to be adopted; one that we lost is to be resolved.",
        "We told of a refund that the PSP has not made: the shopper waits for money that is not coming.",
    ),
    Kind.HELD_DIFFERS: About(
        "held amounts differ",
        "The PSP blocks money on the shopper's card that our books do not hold.",
        f"{_LOOK}. A hold that nobody needs is to be voided; one that is gone has expired or was voided at the PSP.",
        "A hold that our books count on is gone at the PSP: a capture of it will fail.",
    ),
    Kind.CLOSED_BUT_CHARGED: About(
        "ended for us, charged at the PSP",
        "Our books say that nothing came of this attempt, and the PSP has the shopper's money: he pays for an order that counts as unpaid.",
        "Void or refund it at the PSP, or have two people correct the payment. Until then do not let the shopper pay again.",
    ),
    Kind.CAPTURE_TAKEN_BACK: About(
        "a capture that the PSP took back",
        "The PSP confirmed the money and failed the capture later, which our books have not heard of: the merchant may ship unpaid.",
        "Stop the delivery where that is possible. Tell payorch by a resync, or wait for the PSP's notification; people then decide.",
    ),
    Kind.REFUND_TAKEN_BACK: About(
        "a refund that came back",
        "The PSP confirmed the refund and failed it later, which our books have not heard of: the shopper does not get his money.",
        "Tell payorch by a resync of the refund. Then refund again, or pay the shopper in another way.",
    ),
    Kind.OPERATION_MISSING: About(
        "an operation that the PSP does not know",
        "",
        f"{_LOOK}. If the PSP truly never did it, have two people correct the operation and do it anew.",
        "We told the merchant that it is done, and the PSP never did it.",
    ),
    Kind.OPERATION_DIFFERS: About(
        "an operation of another amount",
        "The PSP did it with another amount than we asked for.",
        f"{_LOOK}. Our amount stays as it was asked; the difference is to be settled with the PSP.",
    ),
    Kind.OPERATION_DENIED: About(
        "an operation that failed for us and was done at the PSP",
        "We told the merchant that it failed; the PSP did it. Done again, it happens twice.",
        f"{_LOOK}. Have two people correct the operation before anybody repeats it.",
    ),
    Kind.OPERATION_NOT_OURS: About(
        "an operation that is not ours",
        "Somebody moved this payment's money at the PSP without us (its dashboard, another program).",
        "Ask who did it. Then adopt it into our books, so that it is not done a second time.",
    ),
    Kind.CHARGE_NOT_OURS: About(
        "a charge that is not ours",
        "The PSP has money of a charge that no committed attempt of ours stands for.",
        "Find out who uses the PSP's account beside us. If its reference is one of ours, a database was restored or cut: do not reopen it.",
    ),
    Kind.CHARGE_ELSEWHERE: About(
        "charged at another PSP than ours",
        "The charge is in the books of another PSP than the one that the attempt was sent to.",
        "Check the PSPs' addresses in the settings; then treat it as a charge that is not ours.",
    ),
    Kind.AMOUNT_DIFFERS: About(
        "the PSP has another amount",
        "The PSP authorised another amount than the payment asks for. Ours is not changed by it.",
        f"{_LOOK}. Capture nothing of it before it is settled with the PSP.",
    ),
    Kind.CURRENCY_DIFFERS: About(
        "the PSP has another currency",
        "The shopper is charged in another currency: the amounts cannot be compared.",
        f"{_LOOK}. Capture nothing of it; void or refund it at the PSP.",
    ),
    Kind.LEDGER_TORN: About(
        "the PSP's books contradict themselves",
        "The PSP's totals are not the sum of its lines: until they are, they prove nothing.",
        "Ask the PSP. With a simulator: its file was changed by hand or damaged.",
    ),
    Kind.OUT_OF_BOUNDS: About(
        "more than there is",
        "Our own books took or gave back more than there was to take.",
        "Hold the payment, and report this as a fault of the program.",
    ),
    Kind.FOREIGN_CURRENCY: About(
        "two currencies in one payment",
        "Amounts of two currencies stand in one payment: its sums mean nothing.",
        "Hold the payment, and report this as a fault of the program.",
    ),
    Kind.TOTAL_DIFFERS: About(
        "a total is not the sum of its payments",
        "What merchants and reports are shown is not what happened.",
        f"{_TAMPERED}.",
    ),
    Kind.CLAIM_ASTRAY: About(
        "an idempotency key without its payment",
        "A merchant who sends this key again is told of a payment that is not there.",
        "A payment was removed: run `payorch audit verify`, and restore it from the last good copy.",
    ),
    Kind.NOBODY_ASKED: About(
        "a payment without its one request",
        "Nobody asked for this payment, or a second request was given the same payment.",
        "Run `payorch audit verify`. A missing key was removed by hand: with it gone, a repeat of the request would charge again.",
    ),
    Kind.ANSWER_ASTRAY: About(
        "a stored answer that is about something else",
        "A merchant who repeats the request is told about another payment than his own.",
        "Run `payorch audit verify`, and compare the answer with the payment.",
    ),
    Kind.KEY_TWICE: About(
        "one PSP key for two calls",
        "The PSP would answer the second call with the first one's result, or refuse it: one of them was never made.",
        "Hold these payments, and report this as a fault of the program.",
    ),
    Kind.TWO_UNRESOLVED: About(
        "two attempts without an end",
        "Both may charge the shopper.",
        "Hold the payment, look both up at the PSP, and report this as a fault of the program.",
    ),
    Kind.NO_TIMER: About(
        "unresolved, and nobody will look",
        "Its outcome is open and will stay so: the payment is forgotten.",
        "Ask for a resync of the payment, and report this as a fault of the program.",
    ),
    Kind.ILLEGAL_STORY: About(
        "a journal that makes no payment",
        "What happened to this payment cannot be told from its events, so neither can where its money is.",
        "Run `payorch audit verify`: it finds a change by position. If the chain is whole, an older program reads a newer journal.",
    ),
    Kind.GAP: About(
        "an event is missing or out of place",
        "Part of the payment's story is gone: its sums may be wrong.",
        "Run `payorch audit verify`: it names the position. Restore the event from the last good copy.",
    ),
    Kind.ROW_DIFFERS: About(
        "a row is not what its journal makes it",
        "Lists, searches and timers show something else than what happened.",
        f"{_TAMPERED}.",
    ),
    Kind.ROW_ASTRAY: About(
        "a row without its payment, or the reverse",
        "Part of a payment was removed or put in.",
        f"{_TAMPERED}, or restore what was removed.",
    ),
    Kind.MOVED_DIFFERS: About(
        "double entries that do not say what happened",
        "The ledger has less or more of this payment than was captured, refunded or charged back: what merchants are owed is wrong.",
        f"{_MOVED}.",
    ),
    Kind.MOVEMENT_ASTRAY: About(
        "a double entry that does not belong",
        "Money of this payment stands on an account, or under a name, that is not the one it moved on.",
        f"{_MOVED}.",
    ),
    Kind.UNBALANCED: About(
        "a double entry that does not balance",
        "What one account has got no other account has given: the ledger as a whole means nothing.",
        "Run `payorch audit verify`, and report this as a fault of the program.",
    ),
    Kind.ACCOUNT_DIFFERS: About(
        "an account is not the sum of what is booked on it",
        "What merchants are owed, or what is due from a PSP, is not what payments and reports make of it.",
        "Where payments have findings, mend those first. Otherwise entries were put in or removed that no payment and no report made.",
    ),
}
"""Total over Kind; a test holds it."""

SIDES: Final[Mapping[Kind, tuple[str, str]]] = {
    Kind.LEDGER_TORN: ("lines", "total"),
    Kind.OUT_OF_BOUNDS: ("amount", "bound"),
    Kind.TOTAL_DIFFERS: ("journal", "rows"),
    Kind.ROW_DIFFERS: ("journal", "row"),
    Kind.MOVED_DIFFERS: ("journal", "ledger"),
    Kind.UNBALANCED: ("balance", "left"),
    Kind.ACCOUNT_DIFFERS: ("booked", "account"),
}
"""What the two amounts of a finding are, where they are not ours and theirs."""


def meaning(finding: Finding) -> str:
    """What it means for the money, by the direction of the difference."""
    about = ABOUT[finding.kind]
    fewer = finding.ours is not None and finding.theirs is not None and finding.theirs < finding.ours
    return about.fewer if (about.fewer and fewer) or not about.more else about.more


def amount(minor: int, currency: str | None) -> str:
    """1999, "EUR" as `19.99 EUR (1999)`: with its minor units, which is what every other place shows."""
    try:
        major = Money(minor, currency or "").major()
    except MoneyError:
        return f"{minor} minor units of {currency or 'an unknown currency'}"
    return f"{major:,} {currency} ({minor})"
