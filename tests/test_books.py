"""The books check on a real database, against a ledger of the simulator's that the test holds in its hand."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trio

from connectors.contract import HttpRequest
from connectors.simulator import control
from connectors.simulator.faults import FaultState
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import EntryType
from connectors.simulator.records import Payment as Charge
from payorch import books, books_report, books_tables, cli
from payorch.books import Scope, Verdict
from payorch.domain import events as e
from payorch.domain import identifiers
from payorch.domain.books import Standing
from payorch.domain.books_findings import Kind
from payorch.domain.disputes import DisputeStatus
from payorch.domain.money import Money
from payorch.domain.payment import Name, OperationState
from payorch.domain.postings import postings
from payorch.domain.records import Hold
from payorch.domain.settlement import RowKind, RowState, SettlementRow
from payorch.psp_books import BooksUnreadable, PspBooks, beside
from payorch.store import books as kept_books
from payorch.store.driver import Connection
from payorch.store.journal import Journal
from tests.conftest import Database
from tests.store.stories import MERCHANT, OTHER_MERCHANT, START, Story, connected, journal_on

NOW = START + timedelta(hours=2)
PSP = "psp_one"
NOTHING: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint


# --- both sides -------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def journal(database: Database) -> AsyncIterator[Journal]:
    async with journal_on(database.app) as opened:
        yield opened


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    async with connected(database.app) as opened:
        yield opened


@pytest.fixture
def ledger() -> Any:
    opened = Ledger(psp=PSP)
    yield opened
    opened.close()


@asynccontextmanager
async def served(ledger: Ledger, *, before: Callable[[], Awaitable[None]] = NOTHING, says: bytes | None = None) -> AsyncIterator[str]:
    """The ledger's own page over HTTP, as a simulator serves it. `before` happens before each answer; `says` is said instead of it."""

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            head = b""
            while b"\r\n\r\n" not in head:
                head += await stream.receive_some()
            method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
            await before()
            request = HttpRequest(method=method, path=target, headers=(), body=b"")
            response, _ = control.answer(ledger, FaultState(), request, target, NOW)
            body = response.body if says is None else says
            await stream.send_all(
                b"HTTP/1.1 %d OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (response.status, len(body)) + body
            )

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, answer, [listener])
        yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def checked(
    connection: Connection, ledger: Ledger | None, scope: Scope | None = None, before: Callable[[], Awaitable[None]] = NOTHING
) -> Verdict:
    """One check, without a pause between its readings."""

    async def examine(urls: dict[str, str]) -> Verdict:
        with PspBooks(urls) as psp_books:
            return await books.examine(connection, psp_books, scope or Scope(), now=lambda: NOW, settle_seconds=0)

    if ledger is None:
        return await examine({})
    async with served(ledger, before=before) as url:
        return await examine({PSP: url})


def authorize(ledger: Ledger, story: Story, minor: int | None = None) -> Charge:
    """The PSP reserves what the story's attempt asks for."""
    attempt = story.attempt
    with ledger.transaction():
        charge = ledger.open_payment(
            id=f"pi_{attempt.id}", reference=attempt.id, currency=story.currency, amount=attempt.amount.minor, at=story.at, facts={}
        )
        return ledger.authorize(charge, attempt.amount.minor if minor is None else minor, story.at, operation="ch_1")


def capture(ledger: Ledger, charge: Charge, story: Story) -> Charge:
    """The PSP does the story's last capture."""
    operation = story.now.operations[-1]
    with ledger.transaction():
        return ledger.capture(charge, operation.amount.minor, story.at, operation="ch_1", operation_reference=operation.id)


def refund(ledger: Ledger, charge: Charge, minor: int, reference: str | None) -> Charge:
    with ledger.transaction():
        opened, operation = ledger.open_refund(charge, id=ledger.new_id("re_"), reference=reference, amount=minor, at=START, facts={})
        return ledger.finish_refund(opened, operation, START)[0]


def refund_done(story: Story) -> Any:
    change = e.OperationChange(operation_id=story.now.operations[-1].id, state=OperationState.SUCCEEDED)
    return story.step((Name.REFUND_SUCCEEDED, story.now.state, change))


def born(number: int, **more: Any) -> tuple[Story, Any]:
    """A story with a key of its own, and its first step."""
    story = Story(at=START + timedelta(seconds=number), **more)
    return story, story.sent(claim=story.claim(f"key-{number}"))


async def a_day(journal: Journal, ledger: Ledger) -> dict[str, Story]:
    """Payments of all kinds, on which both sides agree."""
    stories: dict[str, Story] = {}
    kinds: dict[str, dict[str, Any]] = {
        "held": {},
        "captured": {"minor": 2500},
        "refunded": {"minor": 1000, "currency": "JPY"},
        "open": {"minor": 4200},
        "other": {"merchant_id": OTHER_MERCHANT},
    }
    for number, (name, more) in enumerate(kinds.items()):
        stories[name], first = born(number, **more)
        await journal.write([first])
    for name, story in stories.items():
        if name == "open":
            continue
        charge = authorize(ledger, story)
        await journal.write([story.authorized()])
        if name in ("captured", "refunded", "other"):
            await journal.write([story.capture_requested(story.minor)])
            charge = capture(ledger, charge, story)
            await journal.write([story.captured()])
        if name == "refunded":
            await journal.write([story.refund_requested(300)])
            refund(ledger, charge, 300, story.now.operations[-1].id)
            await journal.write([refund_done(story)])
            await journal.write([story.disputed(500, reason="fraudulent", respond_by=START + timedelta(days=7))])
            await journal.write([story.dispute_told(status=DisputeStatus.CHALLENGED)])
    return stories


# --- whole ------------------------------------------------------------------------------------------------------------------------------


async def test_whole_books_are_told_whole_with_every_sum(journal: Journal, connection: Connection, ledger: Ledger) -> None:
    stories = await a_day(journal, ledger)
    verdict = await checked(connection, ledger)
    assert (verdict.whole, verdict.findings, verdict.payments, verdict.of) == (True, [], 5, 5)
    assert dict(verdict.standings) == {Standing.SETTLED: 4, Standing.OPEN: 1}
    euros = verdict.merchants[MERCHANT, "EUR"]
    assert (euros.payments, euros.authorized, euros.captured, euros.refunded, euros.held, euros.open) == (3, 4499, 2500, 0, 1999, 4200)
    yen = verdict.merchants[MERCHANT, "JPY"]
    assert (yen.captured, yen.refunded, yen.net) == (1000, 300, 700)
    assert verdict.merchants[OTHER_MERCHANT, "EUR"].net == 1999
    for currency in ("EUR", "JPY"):
        ours, theirs = verdict.ours[PSP, currency], verdict.theirs[PSP, currency]
        assert (ours.payments, ours.held, ours.captured, ours.refunded) == (theirs.payments, theirs.held, theirs.captured, theirs.refunded)
    [waiting] = verdict.unsettled
    assert (waiting.payment_id, waiting.at_stake, waiting.theirs) == (stories["open"].payment_id, 4200, (0, 0, 0))
    assert verdict.overdue == 1  # its timer was 30 s after START


async def test_the_report_says_it_all(journal: Journal, connection: Connection, ledger: Ledger) -> None:
    stories = await a_day(journal, ledger)
    verdict = await checked(connection, ledger)
    text = books_report.text(verdict)
    assert text.endswith("The books of 5 payments are whole, and agree with those of psp_one. Open: 1 payment with 42.00 EUR at stake.")
    assert re.search(r"^psp_one    EUR       ours +3  19\.99     44\.99      0\.00  44\.99  42\.00 +0\.00$", text, re.MULTILINE), text
    assert re.search(r"^ +difference +0   0\.00      0\.00      0\.00   0\.00$", text, re.MULTILINE), text
    assert re.search(rf"^{stories['open'].payment_id}  AUTHORIZING  psp_one .* 42\.00 EUR +0\.00 +0\.00$", text, re.MULTILINE), text
    table = text.split("\n\n")[0].splitlines()
    assert len({len(line) for line in table}) == 1, "the numbers end alike"
    data = books_report.data(verdict)
    assert json.loads(json.dumps(data)) == data
    assert (data["whole"], data["compared"], data["lines_read"]) == (True, [PSP], {PSP: 8})
    assert {one["currency"]: one["theirs"]["captured"] for one in data["connectors"]} == {"EUR": 4499, "JPY": 1000}


async def test_alone_our_books_are_checked_and_the_others_are_named(journal: Journal, connection: Connection, ledger: Ledger) -> None:
    await a_day(journal, ledger)
    verdict = await checked(connection, None)
    assert verdict.whole
    text = books_report.text(verdict)
    assert "Not checked: the books of psp_one: no simulator of theirs runs here." in text
    assert "as far as they can be judged alone" in text
    assert "not read" in text


async def test_pages_and_nothing_at_all(journal: Journal, connection: Connection, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await checked(connection, ledger)).whole
    assert "There are no payments." in books_report.text(await checked(connection, None))
    monkeypatch.setattr(books, "PAGE_PAYMENTS", 2)
    monkeypatch.setattr(books_tables, "ANSWERS_PAGE", 2)
    monkeypatch.setattr(control, "LEDGER_PAGE", 3)
    await a_day(journal, ledger)
    verdict = await checked(connection, ledger)
    assert (verdict.whole, verdict.payments, verdict.lines) == (True, 5, {PSP: 8})


async def test_held_and_reviewed_payments_are_counted_apart(journal: Journal, connection: Connection, ledger: Ledger) -> None:
    story, first = born(1)
    await journal.write([first])
    hold = Hold(reason="poison", since=START, by="system")
    await journal.write([story.step((Name.HELD, story.now.state, e.HoldSet(hold=hold)))])
    authorize(ledger, story)
    verdict = await checked(connection, ledger)
    assert verdict.whole
    assert dict(verdict.standings) == {Standing.HELD: 1}
    assert verdict.unsettled[0].theirs == (1999, 0, 0)
    assert "With people: not judged" in books_report.text(verdict)


# --- damage in our own books ------------------------------------------------------------------------------------------------------------

NO_TRIGGERS = "SET session_replication_role = replica; ALTER TABLE payorch.journal DISABLE TRIGGER ALL;"
CAPTURED = "(SELECT id FROM payorch.payments WHERE captured = 2500)"
LAST = "(SELECT max(id::text)::uuid FROM payorch.payments)"
OF_SUMS = {Kind.TOTAL_DIFFERS, Kind.ACCOUNT_DIFFERS, Kind.MOVED_DIFFERS, Kind.MOVEMENT_ASTRAY}
DAMAGE: dict[str, dict[Kind, int]] = {
    "UPDATE payorch.payments SET captured = captured - 1 WHERE captured = 2500": {Kind.ROW_DIFFERS: 1, Kind.TOTAL_DIFFERS: 1},
    "UPDATE payorch.payments SET state = 'FAILED' WHERE captured = 2500": {Kind.ROW_DIFFERS: 1},
    "UPDATE payorch.payments SET version = version + 1 WHERE captured = 2500": {Kind.ROW_DIFFERS: 1},
    "UPDATE payorch.payments SET due_at = NULL WHERE due_at IS NOT NULL": {Kind.ROW_DIFFERS: 1},
    "UPDATE payorch.attempts SET next_action_at = NULL WHERE state = 'PREPARED'": {Kind.ROW_DIFFERS: 1},
    "UPDATE payorch.attempts SET exclusive = false WHERE state = 'PREPARED'": {Kind.ROW_DIFFERS: 1},
    "UPDATE payorch.operations SET amount = 1 WHERE kind = 'refund'": {Kind.ROW_DIFFERS: 1},
    "UPDATE payorch.operations SET id = payment_id WHERE kind = 'refund'": {Kind.ROW_ASTRAY: 2},
    "UPDATE payorch.disputes SET status = 'won'": {Kind.ROW_DIFFERS: 1},
    "UPDATE payorch.disputes SET amount = 1": {Kind.ROW_DIFFERS: 1},
    "UPDATE payorch.disputes SET respond_by = NULL": {Kind.ROW_DIFFERS: 1},
    f"UPDATE payorch.disputes SET merchant_id = '{'0' * 32}'": {Kind.ROW_DIFFERS: 1},
    "UPDATE payorch.disputes SET id = payment_id": {Kind.ROW_ASTRAY: 2},
    "DELETE FROM payorch.disputes": {Kind.ROW_ASTRAY: 1},
    f"INSERT INTO payorch.disputes SELECT '{'f' * 32}', id, merchant_id, attempt_id, psp_reference, stage, status, amount, currency,"
    " reason, respond_by, created_at, updated_at FROM payorch.disputes": {Kind.ROW_ASTRAY: 1},
    f"DELETE FROM payorch.attempts WHERE payment_id = {CAPTURED}": {Kind.ROW_ASTRAY: 1},
    "DELETE FROM payorch.payments WHERE captured = 2500": {Kind.ROW_ASTRAY: 4, Kind.CLAIM_ASTRAY: 1},
    f"DELETE FROM payorch.payments WHERE id = {LAST}": {Kind.ROW_ASTRAY: 4, Kind.CLAIM_ASTRAY: 1},
    "DELETE FROM payorch.journal WHERE name = 'CaptureSucceeded'": {
        Kind.ROW_DIFFERS: 4, Kind.ILLEGAL_STORY: 1, Kind.GAP: 1, Kind.NO_TIMER: 2,
    },
    "DELETE FROM payorch.journal WHERE name = 'Routed'": {Kind.GAP: 5, Kind.ROW_DIFFERS: 5},
    f"DELETE FROM payorch.journal WHERE stream_id = {CAPTURED}": {Kind.ROW_ASTRAY: 1},
    f"DELETE FROM payorch.idempotency_keys WHERE payment_id = {CAPTURED}": {Kind.NOBODY_ASKED: 1},
    f"UPDATE payorch.idempotency_keys SET payment_id = {CAPTURED} WHERE key = 'key-0'": {Kind.NOBODY_ASKED: 2},
    f"UPDATE payorch.idempotency_keys SET merchant_id = '{'0' * 32}' WHERE key = 'key-0'": {Kind.CLAIM_ASTRAY: 1},
    "UPDATE payorch.idempotency_keys SET fingerprint = 'short' WHERE key = 'key-3'": {Kind.ANSWER_ASTRAY: 1},
    """UPDATE payorch.idempotency_keys SET answered_at = now(), status = 201, body = '{"id": "pay_1"}' WHERE key = 'key-0'""": {
        Kind.ANSWER_ASTRAY: 1
    },
    "UPDATE payorch.idempotency_keys SET answered_at = now(), status = 201, body = 'x' WHERE key = 'key-0'": {Kind.ANSWER_ASTRAY: 1},
    f"UPDATE payorch.movements SET amount = amount + 1 WHERE payment_id = {CAPTURED}": {Kind.MOVED_DIFFERS: 1, Kind.ACCOUNT_DIFFERS: 1},
    "UPDATE payorch.movements SET kind = 'refund' WHERE amount = 2500": {
        Kind.MOVED_DIFFERS: 2, Kind.MOVEMENT_ASTRAY: 1, Kind.ACCOUNT_DIFFERS: 1,
    },
    "DELETE FROM payorch.movements WHERE kind = 'refund'": {Kind.MOVED_DIFFERS: 1, Kind.ACCOUNT_DIFFERS: 1},
    "UPDATE payorch.movements SET debit = 'suspense:psp_one' WHERE amount = 2500": {Kind.MOVEMENT_ASTRAY: 1, Kind.ACCOUNT_DIFFERS: 1},
    "UPDATE payorch.movements SET subject_id = payment_id WHERE amount = 2500": {Kind.MOVEMENT_ASTRAY: 1, Kind.MOVED_DIFFERS: 1},
    "UPDATE payorch.movements SET merchant_id = payment_id WHERE amount = 2500": {Kind.MOVEMENT_ASTRAY: 1},
    "UPDATE payorch.movements SET sequence = 99 WHERE amount = 2500": {Kind.MOVEMENT_ASTRAY: 1},
    "UPDATE payorch.movements SET currency = 'USD' WHERE amount = 2500": {Kind.MOVED_DIFFERS: 2, Kind.ACCOUNT_DIFFERS: 2},
    "UPDATE payorch.movements SET batch_id = payment_id, line = 1 WHERE amount = 2500": {Kind.MOVEMENT_ASTRAY: 1},
    f"UPDATE payorch.movements SET payment_id = '{'f' * 32}' WHERE amount = 2500": {Kind.ROW_ASTRAY: 1, Kind.MOVED_DIFFERS: 1},
    "INSERT INTO payorch.settlement_postings SELECT id, 1, 1, 'psp_one', 'EUR', 'psp_balance:psp_one', 'psp_receivable:psp_one', 5, now()"
    " FROM payorch.payments WHERE captured = 2500": {Kind.ACCOUNT_DIFFERS: 2},
    f"UPDATE payorch.attempts SET psp_key = (SELECT psp_key FROM payorch.attempts WHERE payment_id = {CAPTURED})"
    " WHERE state = 'PREPARED'": {Kind.KEY_TWICE: 1, Kind.ROW_DIFFERS: 1},
}  # fmt: skip


@pytest.mark.parametrize("statement", DAMAGE)
async def test_each_damage_to_our_books_is_found(
    journal: Journal, connection: Connection, ledger: Ledger, database: Database, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By somebody with every right, who switched the protections off. On whichever page it is."""
    monkeypatch.setattr(books, "PAGE_PAYMENTS", 2)
    monkeypatch.setattr(books_tables, "ANSWERS_PAGE", 2)
    await a_day(journal, ledger)

    def damage() -> None:
        with psycopg.connect(database.superuser, autocommit=True) as superuser:
            for [partition] in superuser.execute(
                "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'payorch.journal'::regclass"
            ).fetchall():
                superuser.execute(f"ALTER TABLE {partition} DISABLE TRIGGER ALL".encode())
            superuser.execute(NO_TRIGGERS.encode())
            superuser.execute(statement.encode())

    await trio.to_thread.run_sync(damage)
    verdict = await checked(connection, None)
    assert not verdict.whole
    # Of a change in sums it is told too; only where the sums are what was changed is that of interest here.
    told = {kind: count for kind, count in verdict.found.items() if kind not in OF_SUMS or kind in DAMAGE[statement]}
    assert told == DAMAGE[statement]
    assert "NOT whole" in books_report.text(verdict)


# --- the ledger -------------------------------------------------------------------------------------------------------------------------

_REPORTED = """
INSERT INTO payorch.settlement_batches
VALUES ($1, 'psp_one', decode(repeat('00', 32), 'hex'), 'report', 'imported', 1, 1, 0, 0, 0, '[]', now(), now(), 'somebody');
"""
_ROW = """
INSERT INTO payorch.settlement_rows (batch_id, line, connector, identity, kind, type, booked_on, gross, currency, fee, net, net_currency,
    psp_operation, psp_payment, our_references, state, key, payment_id, sequence, subject_id)
SELECT %(batch)s, 1, connector, '1', kind, 'x', '2026-03-02', %(gross)s, 'EUR', 70, %(net)s, 'EUR', '', '', '', 'matched', 'psp_operation',
    payment_id, sequence, subject_id FROM payorch.movements WHERE amount = 2500
"""
_POSTING = """
INSERT INTO payorch.settlement_postings
VALUES (%(batch)s, 1, %(leg)s, 'psp_one', %(currency)s, %(debit)s, %(credit)s, %(amount)s, '2026-03-02')
"""


@pytest.mark.parametrize("gross", [2500, 2400])
async def test_what_a_report_has_is_no_longer_due_but_for_what_it_differs_by(
    journal: Journal, connection: Connection, ledger: Ledger, database: Database, gross: int
) -> None:
    await a_day(journal, ledger)
    batch = "0190aabb-ccdd-7000-8000-0000000000bb"
    line = SettlementRow(
        line=1, kind=RowKind.CAPTURE, type="x", identity="1", booked_on=date(2026, 3, 2), gross=Money(gross, "EUR"), fee=Money(70, "EUR"),
        net=Money(gross - 70, "EUR"),
    )  # fmt: skip

    def due(verdict: Verdict) -> dict[str, int]:
        return {one.account: one.amount for one in verdict.accounts if one.currency == "EUR" and "merchant" not in one.account}

    before = due(await checked(connection, None))
    with psycopg.connect(database.owner, autocommit=True) as owner:
        owner.execute(_REPORTED.replace("$1", f"'{batch}'").encode())
        owner.execute(_ROW.encode(), {"batch": batch, "gross": gross, "net": gross - 70})
        assert not (await checked(connection, None)).whole  # the line says so, and the movement does not
        owner.execute(b"UPDATE payorch.movements SET settlement = 'settled', batch_id = %s, line = 1 WHERE amount = 2500", [batch])
        assert not (await checked(connection, None)).whole  # nothing is booked of it
        for one in postings(line, RowState.MATCHED, connector="psp_one"):
            legs = {"batch": batch, "leg": one.leg, "currency": one.amount.currency, "amount": one.amount.minor}
            owner.execute(_POSTING.encode(), {**legs, "debit": one.debit, "credit": one.credit})
    verdict = await checked(connection, None)
    assert verdict.whole, books_report.text(verdict)
    assert due(verdict) == {
        "psp_receivable:psp_one": before["psp_receivable:psp_one"] - gross, "psp_balance:psp_one": gross - 70, "psp_fees:psp_one": 70,
    }  # fmt: skip
    text, data = books_report.text(verdict), books_report.data(verdict)
    assert re.search(r"^psp_fees:psp_one +EUR +0.70$", text, re.MULTILINE)
    assert re.search(r"^owed to merchants +EUR +\S+$", text, re.MULTILINE)
    assert {"account": "psp_fees:psp_one", "currency": "EUR", "balance": 70} in data["ledger"]["accounts"]
    assert data["ledger"]["movements"] == verdict.movements > 0


# --- differences from the PSP -----------------------------------------------------------------------------------------------------------


async def test_a_difference_that_stands_still_counts_and_is_explained(journal: Journal, connection: Connection, ledger: Ledger) -> None:
    stories = await a_day(journal, ledger)
    story = stories["captured"]
    charge = ledger.payment(f"pi_{story.attempt.id}")
    assert charge is not None
    refund(ledger, charge, 700, None)
    verdict = await checked(connection, ledger)
    [finding] = verdict.findings
    assert (finding.kind, finding.payment_id, finding.ours, finding.theirs) == (Kind.OPERATION_NOT_OURS, story.payment_id, 0, 700)
    assert (verdict.reread, verdict.moving) == (1, [])
    text = books_report.text(verdict)
    for words in ("M7  an operation that is not ours: 1", story.payment_id, "7.00 EUR (700)", "means", "next", "NOT whole: 1 finding."):
        assert words in text
    [shown] = books_report.data(verdict)["findings"]
    assert (shown["invariant"], shown["ours"], shown["theirs"], shown["connector"]) == ("M7", 0, 700, PSP)
    assert verdict.theirs[PSP, "EUR"].refunded - verdict.ours[PSP, "EUR"].refunded == 700


async def test_a_charge_without_an_attempt_of_ours(journal: Journal, connection: Connection, ledger: Ledger) -> None:
    await a_day(journal, ledger)
    never_written = Story()
    never_written.sent()
    authorize(ledger, never_written)
    for reference in (None, "order-17"):
        with ledger.transaction():
            charge = ledger.open_payment(id=f"pi_{reference}", reference=reference, currency="EUR", amount=5, at=START, facts={})
            ledger.authorize(charge, 5, START)
    verdict = await checked(connection, ledger)
    assert sorted((one.kind, one.theirs) for one in verdict.findings) == [(Kind.CHARGE_NOT_OURS, minor) for minor in (5, 5, 1999)]


async def test_what_moved_between_the_readings_is_no_finding(journal: Journal, connection: Connection, ledger: Ledger) -> None:
    """First the PSP's side is read, then ours is: in between a capture went through."""
    stories = await a_day(journal, ledger)
    story, asked = stories["held"], []

    async def a_capture() -> None:
        asked.append(True)
        if len(asked) == 2:  # the PSP is asked again: now its side shows what ours showed before
            charge = ledger.payment(f"pi_{story.attempt.id}")
            assert charge is not None
            capture(ledger, charge, story)

    await journal.write([story.capture_requested(1999)])
    await journal.write([story.captured()])
    verdict = await checked(connection, ledger, before=a_capture)
    assert (verdict.whole, verdict.reread, verdict.moving) == (True, 1, [])


async def test_what_we_change_while_the_psp_is_asked_does_not_count(journal: Journal, connection: Connection, ledger: Ledger) -> None:
    """Each time the PSP is asked, our payment has a new version: nobody can say what its version's counterpart is."""
    story, first = born(1)
    await journal.write([first])
    await journal.write([story.authorized()])

    async def something_happens() -> None:
        await journal.write([story.noted()])

    verdict = await checked(connection, ledger, before=something_happens)
    assert (verdict.whole, verdict.moving) == (True, [story.payment_id])
    assert f"Moving: different in each of 5 readings, so not judged: {story.payment_id}" in books_report.text(verdict)
    verdict = await checked(connection, ledger)
    assert (dict(verdict.found), verdict.moving) == ({Kind.HELD_DIFFERS: 1}, [])


async def test_what_the_psp_changes_all_the_time_does_not_count(journal: Journal, connection: Connection, ledger: Ledger) -> None:
    story, first = born(1)
    await journal.write([first])
    charge = authorize(ledger, story)
    await journal.write([story.authorized()])
    await journal.write([story.capture_requested(1999)])
    charge = capture(ledger, charge, story)
    await journal.write([story.captured()])

    async def a_refund() -> None:
        found = ledger.payment(charge.id)
        assert found is not None
        refund(ledger, found, 1, None)

    verdict = await checked(connection, ledger, before=a_refund)
    assert (verdict.whole, verdict.moving) == (True, [story.payment_id])


async def test_more_differences_than_can_be_read_again(
    journal: Journal, connection: Connection, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a ledger of another data folder: told as damage, without an endless list."""
    monkeypatch.setattr(books, "KEPT_SUSPECTS", 2)
    for number in range(5):
        story, first = born(number)
        await journal.write([first])
        await journal.write([story.authorized()])
    verdict = await checked(connection, ledger)
    assert (verdict.whole, verdict.found[Kind.HELD_DIFFERS], verdict.not_reread) == (False, 2, 3)
    assert "3 more payments differ" in books_report.text(verdict)


async def test_what_was_not_read_again_is_no_good_news(
    journal: Journal, connection: Connection, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The PSP was only late. Of those that were read again that is known, of the others it is not."""
    monkeypatch.setattr(books, "KEPT_SUSPECTS", 2)
    stories, asked = [], []
    for number in range(3):
        story, first = born(number)
        await journal.write([first])
        await journal.write([story.authorized()])
        stories.append(story)

    async def late() -> None:
        asked.append(True)
        if len(asked) == 2:
            for story in stories:
                authorize(ledger, story)

    verdict = await checked(connection, ledger, before=late)
    assert (dict(verdict.found), verdict.not_reread, verdict.whole) == ({}, 1, False)


async def test_our_side_is_read_at_one_moment_and_never_written(journal: Journal, connection: Connection) -> None:
    story, first = born(1)
    await journal.write([first])
    ids = [identifiers.uuid_of(story.payment_id)]
    async with kept_books.one_moment(connection):
        before = await kept_books.kept(connection, ids)
        await journal.write([story.authorized()])
        assert await kept_books.kept(connection, ids) == before
    assert await kept_books.kept(connection, ids) != before
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        async with kept_books.one_moment(connection):
            await connection.execute("UPDATE payorch.payments SET held = true")


# --- the scope --------------------------------------------------------------------------------------------------------------------------


async def test_since_leaves_older_payments_out(journal: Journal, connection: Connection, ledger: Ledger) -> None:
    old, first = born(0)
    new, second = born(7200)
    await journal.write([first, second])
    await journal.write([old.authorized(), new.authorized()])
    authorize(ledger, new)
    with ledger.transaction():  # made at the PSP within the scope, for a payment that is not
        charge = ledger.open_payment(id="pi_old", reference=old.attempt.id, currency="EUR", amount=1999, at=new.at, facts={})
        ledger.authorize(charge, 1, new.at)
    verdict = await checked(connection, ledger, Scope(since=START + timedelta(hours=1)))
    assert (verdict.whole, verdict.payments, verdict.of) == (True, 1, 1)
    assert "payments made before 2026-03-01 13:00:00 UTC" in books_report.text(verdict)
    assert not (await checked(connection, ledger)).whole


async def test_a_sample_is_of_that_size_and_says_so(journal: Journal, connection: Connection, ledger: Ledger) -> None:
    written = [born(number) for number in range(40)]
    await journal.write([first for _, first in written])
    half = await checked(connection, ledger, Scope(sample=0.00002))
    assert (half.whole, half.of) == (True, 40)
    # Identifiers of these stories are counted, so the low ones are the sample.
    chosen = [story for story, _ in written if int.from_bytes(identifiers.bytes_of(story.payment_id), "big") % 2**20 < 21]
    assert half.payments == len(chosen) < 40
    assert "outside the sample" in books_report.text(half)


# --- books that cannot be read ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "complaint"),
    [
        (b"<html>", "no JSON"),
        (b"{}", "not what this program knows"),
        (b'{"psp": "psp_two", "entries": [], "payments": [], "next_since": null}', "has the books of psp_two, not of psp_one"),
    ],
)
async def test_nonsense_is_no_evidence(connection: Connection, ledger: Ledger, says: bytes, complaint: str) -> None:
    async with served(ledger, says=says) as url:
        with PspBooks({PSP: url}) as psp_books, pytest.raises(BooksUnreadable, match=complaint):
            await psp_books.read()


async def test_nobody_there_and_nothing_there(ledger: Ledger, tmp_path: Path) -> None:
    async with served(ledger) as url:
        with PspBooks({PSP: f"{url}/elsewhere"}) as psp_books, pytest.raises(BooksUnreadable, match="answers 404"):
            await psp_books.read()
    with PspBooks({PSP: url}) as psp_books, pytest.raises(BooksUnreadable, match="cannot be read"):
        await psp_books.read()
    assert await beside(tmp_path) == {}


# --- the command ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["--ledger x", "--ledger x=ftp://y", "--sample 0", "--sample 2", "--since yesterday", "--what"])
def test_a_wrong_call_is_2(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.run(["books", "check", *wrong.split()])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("payorch: ")


async def test_the_command_prints_and_exits(
    journal: Journal, database: Database, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stories = await a_day(journal, ledger)
    monkeypatch.setenv("PAYORCH_DATABASE_URL", database.app)

    async def run(*more: str) -> tuple[int, str, str]:
        async with served(ledger) as url:
            code = await trio.to_thread.run_sync(cli.run, ["books", "check", "--ledger", f"{PSP}={url}/", *more])
        return code, *capsys.readouterr()

    code, out, err = await run()
    assert (code, err) == (0, "")
    assert "are whole" in out
    code, out, _ = await run("--json", "--since", "2026-03-01")
    assert (code, json.loads(out)["whole"], json.loads(out)["scope"]["since"]) == (0, True, "2026-03-01T00:00:00.000Z")
    charge = ledger.payment(f"pi_{stories['held'].attempt.id}")
    assert charge is not None
    with ledger.transaction():
        ledger.release(charge, 1999, START, why=EntryType.EXPIRED)
    monkeypatch.setattr(books, "SETTLE_SECONDS", 0)
    code, out, err = await run()
    assert code == 1
    assert err.startswith("payorch: The books are NOT whole: 1 finding. Open: 1 payment")
    assert "A hold that our books count on is gone at the PSP" in out
