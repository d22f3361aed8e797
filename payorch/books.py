"""`payorch books check`: are our books whole, and do they agree with the PSPs' own?

It runs beside the platform and changes nothing. The order of reading is what makes its word worth something:

1. The PSPs' books, to their last line.
2. Ours, all of it at one moment: every payment is replayed from its journal and held against its rows. What does not fit together there
   never did, so it counts at once.
3. What seems to differ between the two may only have moved in between. It is read again: ours, then what the PSPs have written since, then
   our versions once more. Whatever we cause at a PSP is committed before it is sent, so where a payment's version is the same before and
   after, nothing of it moved meanwhile. A difference counts only when two readings, some time apart, found the same version of ours and
   the same lines of theirs. What keeps moving is told as moving, and is no finding.

Memory is bounded: payments come in pages, the PSPs' books lie in a scratch database, and of findings a fixed number is kept and the rest
counted. Not here: what must be equal (`payorch.domain.books`, `books_own`, `books_ledger`), what is asked of all rows at
once (`books_tables`), the report (`books_report`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, final
from uuid import UUID

import trio

from payorch import books_tables, database
from payorch.domain import books_ledger, identifiers
from payorch.domain.books import Charge, Standing, at_stake, compare, not_ours, position, standing
from payorch.domain.books_findings import Finding, Kind
from payorch.domain.books_own import Kept, check
from payorch.domain.identifiers import MalformedIdentifier
from payorch.domain.records import Payment
from payorch.psp_books import PspBooks
from payorch.settings import Settings
from payorch.store import books as kept_books
from payorch.store import ledger
from payorch.store.books import FIRST
from payorch.store.driver import Connection
from payorch.store.ledger import AccountTotal

PAGE_PAYMENTS: Final = 500
"""Payments in memory at a time: some 10 MB, and one round trip for a page is nothing beside its replay."""
KEPT_FINDINGS: Final = 1_000
"""Findings that are kept; the rest is counted. Nobody reads more, and a database in ruins must not fill the memory."""
KEPT_SUSPECTS: Final = 5_000
"""Payments that are read again. Reading without pause under 1,000 payments a second leaves some hundreds in between."""
KEPT_OPEN: Final = 1_000
SETTLE_SECONDS: Final = 2.0
"""Between two readings of what seems to differ: a PSP call with its answer and its commit takes less, and a slow one shows as open."""
READINGS: Final = 5
"""After so many a payment that is different each time is told as moving."""
STATEMENT_SECONDS: Final = 600.0
"""For a question over all rows: seconds per million on a good disk, minutes on a bad one. It reads only, and keeps nobody waiting."""
CLOCK_MARGIN: Final = timedelta(minutes=1)
"""With --since: identifiers and the PSPs' times come from other clocks than the one it is meant by."""

_ANYTHING: Final = 1 << 20
"""Fractions of payments are told apart this finely, by the random end of their identifiers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What to look at: payments made at `since` or later (None: all), and of those this fraction (1.0: all)."""

    since: datetime | None = None
    sample: float = 1.0


@dataclass(slots=True, kw_only=True)
class Sums:
    """Minor units of one currency. `open`: of which nobody can say yet where they are; `review`: which people are looking into."""

    payments: int = 0
    authorized: int = 0
    held: int = 0
    captured: int = 0
    refunded: int = 0
    open: int = 0
    review: int = 0

    @property
    def net(self) -> int:
        return self.captured - self.refunded


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """A payment that cannot be judged yet, or that people have. theirs: held, captured, refunded at the PSP; None where nobody can see."""

    payment_id: str
    standing: Standing
    state: str
    connector: str | None
    currency: str
    at_stake: int
    theirs: tuple[int, int, int] | None
    since: datetime
    due_at: datetime | None


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What the check found. `merchants`: (merchant, currency) -> sums; `ours`, `theirs`: (connector, currency) -> sums.

    movements: double entries of the payments that were read. owed: (merchant, currency) -> captured, less refunded and charged back, by the
    payments. accounts: what the ledger has. findings: those kept; found: how many of each kind there are. moving: payments that changed
    with every reading.
    """

    read_at: datetime
    scope: Scope
    compared: list[str]
    payments: int = 0
    of: int = 0
    standings: Counter[Standing] = field(default_factory=Counter)
    merchants: dict[tuple[str, str], Sums] = field(default_factory=lambda: defaultdict(Sums))
    names: dict[str, str] = field(default_factory=dict)
    ours: dict[tuple[str, str], Sums] = field(default_factory=lambda: defaultdict(Sums))
    theirs: dict[tuple[str, str], Sums] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    movements: int = 0
    owed: Counter[tuple[str, str]] = field(default_factory=Counter)
    accounts: list[AccountTotal] = field(default_factory=list)
    unsettled: list[Unsettled] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    found: Counter[Kind] = field(default_factory=Counter)
    reread: int = 0
    moving: list[str] = field(default_factory=list)
    not_reread: int = 0
    overdue: int = 0

    @property
    def whole(self) -> bool:
        """True if nothing is wrong. Differences too many to be read again count as wrong."""
        return not self.found and not self.not_reread


async def run(
    settings: Settings, urls: Mapping[str, str], scope: Scope, *, now: Callable[[], datetime], progress: Callable[[str], None]
) -> Verdict:
    """`examine` on the database of these settings, against the books at these addresses. Raises as it does, and SettingsInvalid."""
    patient = settings.database.model_copy(
        update={
            "statement_timeout_seconds": STATEMENT_SECONDS,
            "answer_within_seconds": STATEMENT_SECONDS + settings.database.answer_within_seconds,
            "idle_in_transaction_timeout_seconds": STATEMENT_SECONDS,
        }
    )
    url = settings.needed("database_url")
    async with database.connected(url, patient, application_name="payorch-books") as connection:
        with PspBooks(urls) as psp_books:
            return await examine(connection, psp_books, scope, now=now, progress=progress)


async def examine(
    connection: Connection,
    psp_books: PspBooks,
    scope: Scope,
    *,
    now: Callable[[], datetime],
    progress: Callable[[str], None] = lambda text: None,
    settle_seconds: float | None = None,
) -> Verdict:
    """Checks everything in that scope. settle_seconds: SETTLE_SECONDS, unless given.

    Raises BooksUnreadable, DatabaseUnavailable, psycopg errors; nothing is known then.
    """
    verdict = Verdict(read_at=now(), scope=scope, compared=sorted(psp_books.urls))
    await psp_books.read(progress)
    for psp, currency, charges, held, captured, refunded in psp_books.totals():
        verdict.theirs[psp, currency] = Sums(payments=charges, held=held, captured=captured, refunded=refunded)
    reading = _Reading(connection, psp_books, verdict, progress)
    async with kept_books.one_moment(connection):
        await reading.everything()
    await reading.again(SETTLE_SECONDS if settle_seconds is None else settle_seconds)
    verdict.lines = dict(psp_books.lines)
    return verdict


@final
class _Reading:
    """One run of the check: what it has seen so far, and what it has to look at again."""

    def __init__(self, connection: Connection, psp_books: PspBooks, verdict: Verdict, progress: Callable[[str], None]) -> None:
        self._connection = connection
        self._psp_books = psp_books
        self._verdict = verdict
        self._progress = progress
        self._suspects: dict[str, object] = {}
        """payment -> how it looked when it last seemed to differ."""
        since = verdict.scope.since
        self._first = FIRST if since is None else identifiers.earliest(since - CLOCK_MARGIN)
        self._chosen = round(verdict.scope.sample * _ANYTHING)

    # --- ours, at one moment

    async def everything(self) -> None:
        """Every payment of the scope, then what can only be asked of all rows at once."""
        verdict, connection = self._verdict, self._connection
        verdict.names = await kept_books.merchant_names(connection)
        verdict.of = await kept_books.count(connection, self._first)
        after = UUID(int=max(0, self._first.int - 1))
        while page := await kept_books.next_ids(connection, after, limit=PAGE_PAYMENTS):
            listed = await kept_books.kept(connection, [id_ for id_ in page if self._is_chosen(id_)])
            charges = self._charges([one.payment for one in listed if one.payment is not None])
            for one in listed:
                self._one(one, charges.get(one.id, []))
            await self._between(after, page[-1], page)
            after = page[-1]
            self._progress(f"our books: {verdict.payments:,} payments of {verdict.of:,}")
            await trio.lowlevel.checkpoint()
        await self._between(after, None, [])
        if self._chosen == _ANYTHING:
            await self._totals()
        await self._ledger()
        self._progress("our books: keys")
        for finding in await books_tables.keys(connection, self._first):
            self._keep(finding)

    def _is_chosen(self, id_: UUID) -> bool:
        return id_.int % _ANYTHING < self._chosen

    async def _between(self, after: UUID, last: UUID | None, page: Sequence[UUID]) -> None:
        for table, payment_id in await kept_books.strays(self._connection, after, last, page):
            self._keep(Finding(kind=Kind.ROW_ASTRAY, payment_id=payment_id, detail=f"rows of {table}, and no row of payments"))

    def _one(self, kept: Kept, charges: Sequence[Charge]) -> None:
        self._verdict.payments += 1
        for finding in check(kept):
            self._keep(finding)
        if kept.payment is not None:
            for finding in books_ledger.check(kept.payment, kept.movements):
                self._keep(finding)
            self._verdict.movements += len(kept.movements)
            self._count(kept.payment, charges)
            if compare(kept.payment, charges, self._psp_books.urls):
                self._suspect(kept.payment, charges)

    def _charges(self, payments: Iterable[Payment]) -> dict[str, list[Charge]]:
        """payment -> the charges that name one of its attempts."""
        owners = {attempt.id: payment.id for payment in payments for attempt in payment.attempts}
        found: dict[str, list[Charge]] = {}
        for reference, charges in self._psp_books.charges(list(owners)).items():
            found.setdefault(owners[reference], []).extend(charges)
        return found

    def _suspect(self, payment: Payment, charges: Sequence[Charge]) -> None:
        if len(self._suspects) < KEPT_SUSPECTS:
            self._suspects[payment.id] = _look(payment, charges)
        else:
            self._verdict.not_reread += 1

    def _count(self, payment: Payment, charges: Sequence[Charge]) -> None:
        verdict, currency = self._verdict, payment.intent.amount.currency
        stands, stake = standing(payment), at_stake(payment)
        verdict.standings[stands] += 1
        sums = verdict.merchants[payment.merchant_id, currency]
        sums.payments += 1
        sums.authorized += payment.authorized_minor
        sums.captured += payment.captured_minor
        sums.refunded += payment.refunded_minor
        for its_currency, minor in books_ledger.owed(payment).items():
            verdict.owed[payment.merchant_id, its_currency] += minor
        for attempt in payment.attempts:
            at = position(payment, attempt)
            sums.held += at.held
            its = verdict.ours[attempt.connector, currency]
            its.payments += bool(at.held or at.captured)
            its.held += at.held
            its.captured += at.captured
            its.refunded += at.refunded
        last = payment.open_attempt or payment.holding_attempt or (payment.attempts[-1] if payment.attempts else None)
        if stands is Standing.SETTLED:
            return
        for each in (sums, *([verdict.ours[last.connector, currency]] if last is not None else [])):
            each.open += stake if stands is Standing.OPEN else 0
            each.review += stake if stands is not Standing.OPEN else 0
        verdict.overdue += payment.due_at is not None and payment.due_at < verdict.read_at - CLOCK_MARGIN
        if len(verdict.unsettled) < KEPT_OPEN:
            seen = last is not None and last.connector in self._psp_books.urls
            verdict.unsettled.append(
                Unsettled(
                    payment_id=payment.id, standing=stands, state=payment.state, connector=last.connector if last else None,
                    currency=currency, at_stake=stake, theirs=_theirs(charges) if seen else None, since=payment.updated_at,
                    due_at=payment.due_at,
                )
            )  # fmt: skip

    async def _ledger(self) -> None:
        """M4: every double entry balances, and the accounts say what payments and reports say."""
        verdict, since = self._verdict, self._verdict.scope.since
        self._progress("our books: the ledger")
        verdict.accounts = await ledger.accounts(self._connection, None if since is None else self._first)
        found = await books_tables.entries(self._connection)
        if self._chosen == _ANYTHING:
            found += books_tables.payables(verdict.owed, verdict.accounts)
        if since is None:
            found += await books_tables.psps(self._connection, verdict.accounts)
        for finding in found:
            self._keep(finding)

    async def _totals(self) -> None:
        """M4: the database's own sums over the rows are those over the payments as they were replayed."""
        for row in await kept_books.totals(self._connection, self._first):
            sums = self._verdict.merchants.get((row.merchant_id, row.currency), Sums())
            pairs = {
                "authorised": (sums.authorized, row.authorized),
                "captured": (sums.captured, row.captured),
                "refunded": (sums.refunded, row.refunded),
            }
            for what, (ours, theirs) in pairs.items():
                if ours != theirs:
                    detail = f"{what} by {row.merchant_id}: the journal's payments against the sum of their rows"
                    self._keep(Finding(kind=Kind.TOTAL_DIFFERS, currency=row.currency, ours=ours, theirs=theirs, detail=detail))

    def _keep(self, finding: Finding) -> None:
        self._verdict.found[finding.kind] += 1
        if len(self._verdict.findings) < KEPT_FINDINGS:
            self._verdict.findings.append(finding)

    # --- both, again and again, until they stand still

    async def again(self, settle_seconds: float) -> None:
        """Reads what seems to differ until each difference is gone, stands still, or has been different each time."""
        await self._strangers()
        self._verdict.reread = len(self._suspects)
        for reading in range(READINGS):
            if not self._suspects:
                return
            self._progress(f"looking again at {len(self._suspects):,} payments, {reading + 1} of {READINGS}")
            await trio.sleep(settle_seconds)
            await self._once_more()
        self._verdict.moving = sorted(self._suspects)

    async def _once_more(self) -> None:
        before: dict[str, Payment] = {}
        for some in _pages(sorted(self._suspects)):
            async with kept_books.one_moment(self._connection):
                found = await kept_books.kept(self._connection, [identifiers.uuid_of(one) for one in some])
            before |= {one.id: one.payment for one in found if one.payment is not None}
        await self._psp_books.read()
        after: dict[str, int] = {}
        for some in _pages(sorted(before)):
            after |= await kept_books.versions(self._connection, some)
        found_charges = self._charges(before.values())
        for payment_id, payment in before.items():
            charges = found_charges.get(payment_id, [])
            findings = compare(payment, charges, self._psp_books.urls)
            looks = _look(payment, charges)
            if after.get(payment_id) != payment.version:
                self._suspects[payment_id] = None  # it moved while the PSPs were asked
            elif not findings:
                del self._suspects[payment_id]
            elif self._suspects[payment_id] == looks:
                del self._suspects[payment_id]
                for finding in findings:
                    self._keep(finding)
            else:
                self._suspects[payment_id] = looks

    async def _strangers(self) -> None:
        """Charges that no attempt we have read leads to. The PSPs' books were read first, so an attempt of ours would have been seen,
        unless its payment is older than the scope."""
        for psp, payment in self._psp_books.without_charge(limit=KEPT_FINDINGS):
            detail = f"there are lines of {payment}, and no such payment"
            self._keep(Finding(kind=Kind.LEDGER_TORN, subject_id=payment, connector=psp, detail=detail))
        if self._chosen != _ANYTHING:
            return
        since = self._verdict.scope.since
        strangers = self._psp_books.unknown(limit=KEPT_SUSPECTS, created_from="" if since is None else since.strftime("%Y-%m-%dT%H:%M:%S"))
        ours = await kept_books.owners(self._connection, [ref for one in strangers if _is_attempt(ref := one.our_reference or "")])
        for charge in strangers:
            if charge.our_reference not in ours:
                self._keep(not_ours(charge))
            elif since is None:
                self._suspects.setdefault(ours[charge.our_reference or ""], None)


def _pages(items: Sequence[str]) -> Iterable[Sequence[str]]:
    return (items[start : start + PAGE_PAYMENTS] for start in range(0, len(items), PAGE_PAYMENTS))


def _look(payment: Payment, charges: Iterable[Charge]) -> object:
    """What must be the same in two readings for a difference to count."""
    return payment.version, tuple(charges)


def _theirs(charges: Iterable[Charge]) -> tuple[int, int, int]:
    listed = list(charges)
    return sum(one.held for one in listed), sum(one.captured for one in listed), sum(one.refunded for one in listed)


def _is_attempt(reference: str) -> bool:
    try:
        return identifiers.parse(reference)[0] == "att"
    except MalformedIdentifier:
        return False
