"""Importing settlement reports: what becomes of each line, that it happens once, and that an import goes on where another was ended."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

import psycopg
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payorch.domain import identifiers
from payorch.domain.matching import Policy, Tolerance
from payorch.domain.money import Money
from payorch.domain.rules import Fee, Plan, RuleBook, Weights, When
from payorch.domain.settlement import RowKind, RowState, SettlementRow, Tie
from payorch.settlement_file import MOST_TIES, Report, ReportRefused
from payorch.settlements import Progress
from payorch.store import audit, settlement_batches, settlement_rows
from payorch.store.settlement_batches import BatchState
from tests.conftest import Database
from tests.settlement_world import CONNECTOR, DAY, World, booking, capture_of, report_of, world_on
from tests.store.stories import START, Story, new_id

T = TypeVar("T")


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with world_on(database) as made:
        yield made


def in_a_world(database: Database, story: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """Plays it on that database, in a loop of its own: for tests that need several."""

    async def play() -> T:
        async with world_on(database) as world:
            return await story(world, *arguments)

    return trio.run(play)


# --- one report -------------------------------------------------------------------------------------------------------------------------


async def test_a_line_settles_its_movement_and_books_its_double_entries(world: World) -> None:
    (story,) = await world.captured(minor=1999)
    imported = await world.take(report_of(capture_of(story, fee=59, payout="po_1")))
    assert imported.new
    assert imported.batch.state is BatchState.IMPORTED
    assert (imported.batch.rows, imported.batch.bad_rows, imported.batch.findings, imported.findings) == (1, 0, 0, {})
    assert [(one.kind, one.state, one.rows, one.gross, one.fee, one.net) for one in imported.sums] == [
        (RowKind.CAPTURE, RowState.MATCHED, 1, Money(1999, "EUR"), Money(59, "EUR"), Money(1940, "EUR"))
    ]
    assert [(row[3], row[4], row[5]) for row in await world.movements()] == [(1999, "settled", DAY)]
    assert await world.all("SELECT debit, credit, amount FROM payorch.settlement_postings ORDER BY leg") == [
        (f"psp_balance:{CONNECTOR}", f"psp_receivable:{CONNECTOR}", 1999),
        (f"psp_fees:{CONNECTOR}", f"psp_balance:{CONNECTOR}", 59),
    ]
    assert await world.all("SELECT currency, sum(amount) FROM payorch.ledger_lines GROUP BY currency") == [("EUR", 0)]


async def test_each_chunk_is_told_of_in_the_journal_and_can_be_checked_against_the_stored_lines(world: World) -> None:
    stories = await world.captured(5)
    imported = await world.take(report_of(*(capture_of(one) for one in stories)), chunk_rows=2)
    told = await world.all(
        "SELECT sequence, name, actor, body FROM payorch.journal WHERE stream = 'batch' ORDER BY sequence",
    )
    names = ["SettlementBatchOpened", *["SettlementRowsImported"] * 3, "SettlementBatchImported"]
    assert [(row[0], row[1], row[2]) for row in told] == [(n, name, "cli:olga") for n, name in enumerate(names, start=1)]
    assert [row[3].get("lines") for row in told] == [None, "1-3", "4-5", "6-6", None]
    stored = [one.row for one in await settlement_batches.lines(world.connection, imported.batch.id, limit=100)]
    assert [row.line for row in stored] == [2, 3, 4, 5, 6]
    assert [row[3]["sha256"] for row in told[1:4]] == [settlement_rows.digest_of(stored[n : n + 2]) for n in (0, 2, 4)]
    verdict = await audit.verify(world.connection)
    assert verdict.whole, verdict
    await world.journal.write([Story().created()])  # and the platform's writer goes on


async def test_what_a_line_says_is_read_back_as_it_was(world: World) -> None:
    row = booking(
        RowKind.REFUND, -500, "txn_1", currency="JPY", psp_operation=("re_1", "ch_1"), psp_payment=("pi_1",), rate="1.0923",
        payout="po_1", booked_at=START,
    )  # fmt: skip
    imported = await world.take(report_of(row))
    (stored,) = await settlement_batches.lines(world.connection, imported.batch.id, limit=10)
    assert stored.row == SettlementRow(**{name: getattr(row, name) for name in row.__struct_fields__} | {"line": 2})
    assert stored.state is RowState.UNMATCHED


async def test_lines_that_do_not_fit_are_findings(world: World) -> None:
    wrong, twice, jpy = await world.captured(2) + await world.captured(currency="JPY", minor=300)
    unknown = await world.unknown()
    imported = await world.take(
        report_of(
            capture_of(wrong, 2000, psp_operation=(wrong.now.operations[0].psp_reference,)),
            capture_of(twice, identity="a"),
            capture_of(twice, identity="b"),
            capture_of(jpy, 300, identity="c"),
            capture_of(jpy, 300, identity="c"),
            capture_of(unknown),
            booking(RowKind.CAPTURE, 777, "nobody's", psp_payment=("pi_nobody",)),
            booking(RowKind.FEE, -30, "fee"),
        )
    )
    assert imported.findings == {"amount": (1, 1), "duplicate": (2, 2), "missing_here": (1, 1)}
    assert imported.batch.findings == 4
    states = {(row[0], row[1]) for row in await world.states()}
    assert states == {
        (f"txn_{wrong.payment_id}", "matched"), ("a", "matched"), ("b", "duplicate"), ("c", "matched"), ("c", "duplicate"),
        (f"txn_{unknown.payment_id}", "evidence"), ("nobody's", "unmatched"), ("fee", "beside"),
    }  # fmt: skip
    assert [(row[3], row[4]) for row in await world.movements()] == [(1999, "mismatched"), (1999, "settled"), (300, "settled")]
    (due,) = await world.all("SELECT payment_id IS NOT NULL, next_try_at <= now() FROM payorch.settlement_rows WHERE state = 'evidence'")
    assert due == (True, True)


async def test_what_has_the_amount_and_about_the_date_is_suggested(world: World) -> None:
    near, far = await world.captured(2, minor=4321)
    (older,) = await world.captured(minor=4321, at=START - timedelta(days=9))
    await world.take(report_of(booking(RowKind.CAPTURE, 4321, "nobody's", day=DAY + timedelta(days=2))))
    ((suggestions,),) = await world.all("SELECT suggestions FROM payorch.reconciliation_findings")
    assert {one["payment"] for one in suggestions} == {near.payment_id, far.payment_id}
    assert older.payment_id not in {one["payment"] for one in suggestions}
    assert suggestions[0]["sequence"] == near.now.version


async def test_a_tolerated_difference_is_no_finding(world: World) -> None:
    (story,) = await world.captured()
    policy = Policy(tolerances={(CONNECTOR, "EUR"): Tolerance(amount_minor=1)})
    line = capture_of(story, 1998, psp_operation=(story.now.operations[0].psp_reference,))
    imported = await world.take(report_of(line), policy=policy)
    assert imported.findings == {}
    assert [row[4] for row in await world.movements()] == ["settled"]


async def test_a_fee_is_compared_with_the_cost_model(world: World) -> None:
    right, wrong, tolerated = await world.captured(3, minor=1999)
    nothing = Weights(success=0, cost=0, latency=0, preference=1, exploration=0)
    fee = Fee(connector=CONNECTOR, when=When(methods=("card",)), fixed_minor=25, basis_points=150)  # 55 of 1999
    plan = Plan(RuleBook(default=(CONNECTOR,), weights=nothing, fees=(fee,)), zones={}, connectors=[CONNECTOR])
    policy = Policy(tolerances={(CONNECTOR, "EUR"): Tolerance(fee_minor=1)})
    lines = [capture_of(right, fee=55), capture_of(wrong, fee=59), capture_of(tolerated, fee=54)]
    imported = await world.take(report_of(*lines), policy=policy, plan=plan)
    assert imported.findings == {"fee": (1, 1)}
    assert [row[:5] for row in await world.findings()] == [("fee", "open", 55, 59, 4)]
    assert [row[4] for row in await world.movements()] == ["settled", "mismatched", "settled"]


# --- lines that cannot be read ----------------------------------------------------------------------------------------------------------


async def test_a_line_that_cannot_be_read_fails_nothing_and_waits_for_people(world: World) -> None:
    first, second = await world.captured(2)
    later = DAY + timedelta(days=1)
    imported = await world.take(report_of("oops 12,3", capture_of(first), "rubbish!!", "{}", "nonsense!", capture_of(second, day=later)))
    assert (imported.batch.rows, imported.batch.bad_rows, imported.findings) == (2, 3, {"unparseable": (3, 3)})
    letters = await world.all(
        "SELECT kind, origin, state, reason_class, fingerprint, payload, subject FROM payorch.dead_letters ORDER BY payload"
    )
    assert [row[5] for row in letters] == ["nonsense!", "oops 12,3", "rubbish!!"]
    assert {row[:5] for row in letters} == {
        ("settlement_row", CONNECTOR, "open", "gross_is_no_amount", f"settlement_row/{CONNECTOR}/gross_is_no_amount")
    }
    assert letters[1][6] == {"batch": imported.batch.id, "line": 2}
    found = await world.all(
        "SELECT line, day, currency, difference, dead_letter_id IN (SELECT id FROM payorch.dead_letters), detail"
        " FROM payorch.reconciliation_findings ORDER BY line"
    )
    assert [row[:5] for row in found] == [(line, DAY, "XXX", None, True) for line in (2, 4, 6)]
    assert found[0][5] == "line 2 cannot be read: gross: 'oops 12,3' is no amount"


async def test_a_report_of_nothing_but_such_lines_is_imported_all_the_same(world: World) -> None:
    imported = await world.take(report_of(*(f"line {n}" for n in range(7))), chunk_rows=3)
    assert (imported.batch.rows, imported.batch.bad_rows, imported.batch.state) == (0, 7, BatchState.IMPORTED)


# --- totals -----------------------------------------------------------------------------------------------------------------------------


async def test_totals_that_do_not_hold_are_findings_on_the_last_day(world: World) -> None:
    (story,) = await world.captured()
    last = DAY + timedelta(days=2)
    good = Tie(line=1, what="lines of section 1", declared_rows=2, computed_rows=2)
    bad = Tie(line=1, what="payout po_1", declared=Money(1990, "EUR"), computed=Money(1999, "EUR"))
    worse = Tie(line=1, what="lines of the file", declared_rows=3, computed_rows=2)
    imported = await world.take(report_of(capture_of(story, day=last), good, bad, booking(RowKind.FEE, -1, "fee"), worse))
    assert imported.broken == tuple(tie for tie in imported.batch.ties if not tie.holds)
    assert [(tie.line, tie.what) for tie in imported.batch.ties] == [(4, bad.what), (6, worse.what), (3, good.what)]
    found = await world.all(
        "SELECT day, currency, expected, actual, difference, line, detail FROM payorch.reconciliation_findings ORDER BY line"
    )
    assert found == [
        (last, "EUR", 1999, 1990, -9, 4, "payout po_1: the report says 19.90 EUR, its lines come to 19.99 EUR"),
        (last, "XXX", None, None, None, 6, "lines of the file: the report says 3 lines, its lines come to 2 lines"),
    ]
    assert imported.batch.findings == 2


async def test_a_report_of_endless_totals_is_bounded(world: World) -> None:
    ties = [Tie(line=1, what=f"total {n}", declared_rows=n, computed_rows=n + n % 2) for n in range(2 * MOST_TIES + 100)]
    imported = await world.take(report_of(booking(RowKind.FEE, -1, "fee"), *ties))
    assert len(imported.batch.ties) == 2 * MOST_TIES
    assert imported.findings == {"totals": (MOST_TIES, MOST_TIES)}


# --- again ------------------------------------------------------------------------------------------------------------------------------


async def test_the_same_report_again_changes_nothing_and_says_so(world: World) -> None:
    stories = await world.captured(3)
    content = report_of(*(capture_of(one) for one in stories), "bad one", booking(RowKind.CAPTURE, 5, "nobody's"))
    first = await world.take(content, chunk_rows=2)
    before = await world.contents()
    again = await world.take(content, name="another name.csv", chunk_rows=3)
    assert await world.contents() == before
    assert not again.new
    assert not again.changed
    assert (again.batch, again.sums, again.findings) == (first.batch, first.sums, first.findings)


async def test_bookings_that_another_report_had_are_counted_and_not_stored_again(world: World) -> None:
    stories = await world.captured(3)
    lines = [capture_of(one) for one in stories]
    await world.take(report_of(*lines[:2]))
    before = await world.states()
    imported = await world.take(report_of(lines[1], lines[0], lines[2]))
    assert (imported.batch.rows, imported.batch.repeated, imported.findings) == (1, 2, {})
    assert len(await world.states()) == len(before) + 1
    assert {row[4] for row in await world.movements()} == {"settled"}


async def test_a_booking_that_comes_back_with_other_amounts_is_a_finding(world: World) -> None:
    (story,) = await world.captured()
    first = await world.take(report_of(capture_of(story)))
    imported = await world.take(report_of(capture_of(story, fee=5)))
    assert imported.findings == {"duplicate": (1, 1)}
    ((detail,),) = await world.all("SELECT detail FROM payorch.reconciliation_findings")
    assert (
        detail == f"the booking txn_{story.payment_id} was in report {first.batch.id} (line 2) before, with other amounts or another date"
    )


async def test_the_same_identity_twice_in_one_report_is_a_duplicate_in_whichever_chunk_it_stands(world: World) -> None:
    stories = await world.captured(4)
    lines = [capture_of(one) for one in stories]
    imported = await world.take(report_of(*lines, lines[0]), chunk_rows=2)
    assert imported.findings == {"duplicate": (1, 1)}
    assert sorted(row[1] for row in await world.states()) == ["duplicate", *["matched"] * 4]


# --- ended in the middle ----------------------------------------------------------------------------------------------------------------


class Killed(Exception):
    """The process ends here."""


def killed_after(chunks: int) -> Callable[[Progress], None]:
    seen: list[Progress] = []

    def see(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == chunks:
            raise Killed

    return see


async def imported_in_one_go_or_two(world: World, ended_after: int | None) -> list[Any]:
    """What is there after an import of seven lines in chunks of two."""
    stories = await world.captured(6)
    tie = Tie(line=1, what="lines", declared_rows=6, computed_rows=5)
    lines = [capture_of(one, identity=f"{n}") for n, one in enumerate(stories)]
    content = report_of(lines[0], tie, *lines[1:4], "bad line!", lines[4], lines[5], lines[0])
    if ended_after is not None:
        with pytest.raises(Killed):
            await world.take(content, chunk_rows=2, progress=killed_after(ended_after))
        (half,) = await settlement_batches.find(world.connection, limit=2)
        assert half.state is BatchState.IMPORTING
    imported = await world.take(content, chunk_rows=2)
    assert imported.new is (ended_after is None)
    assert (imported.resumed_after > 0) is (ended_after is not None)
    batch = imported.batch
    states = [(row[0], row[1], row[2], row[4], row[5]) for row in await world.states()]
    told = await world.all("SELECT sequence, name, body->>'lines' FROM payorch.journal WHERE stream = 'batch' ORDER BY sequence")
    counted = [batch.state, batch.rows, batch.bad_rows, batch.findings, batch.ties]
    return [*counted, states, [row[:6] for row in await world.findings()], [row[4] for row in await world.movements()], told]


@pytest.mark.parametrize("chunks", [1, 2, 3, 4])
def test_an_import_that_was_ended_goes_on_where_it_was(make_database: Callable[[], Database], chunks: int) -> None:
    outcomes = [in_a_world(make_database(), imported_in_one_go_or_two, ended_after) for ended_after in (None, chunks)]
    assert outcomes[0] == outcomes[1]


async def test_a_transaction_that_fails_leaves_nothing_of_its_chunk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stories = await world.captured(4)
    content = report_of(*(capture_of(one) for one in stories))
    calls: list[int] = []
    real = settlement_rows.copy_items

    async def broken(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 3:  # of the second chunk, after its lines were written
            raise psycopg.OperationalError("the server is gone")
        await real(*arguments)

    monkeypatch.setattr(settlement_rows, "copy_items", broken)
    with pytest.raises(psycopg.OperationalError):
        await world.take(content, chunk_rows=2)
    assert len(await world.states()) == 2
    assert sorted(row[4] for row in await world.movements()) == ["pending", "pending", "settled", "settled"]
    imported = await world.take(content, chunk_rows=2)
    assert (imported.resumed_after, imported.batch.rows) == (3, 4)
    assert {row[4] for row in await world.movements()} == {"settled"}


async def test_two_imports_of_the_same_report_do_not_mix(world: World) -> None:
    stories = await world.captured(4)
    content = report_of(*(capture_of(one) for one in stories))
    refused: list[str] = []

    async def both() -> None:
        async with world_on(world.database) as other, trio.open_nursery() as nursery:

            async def one(place: World) -> None:
                try:
                    await place.take(content, chunk_rows=1)
                except ReportRefused as refusal:
                    refused.append(str(refusal))

            nursery.start_soon(one, world)
            nursery.start_soon(one, other)

    await both()
    await world.take(content, chunk_rows=1)
    assert all("somebody else" in text for text in refused)
    assert len(await world.states()) == 4
    assert await world.findings() == []


# --- order ------------------------------------------------------------------------------------------------------------------------------


async def imported_in_that_order(world: World, seed: int | None, chunk_rows: int) -> list[Any]:
    """What is there after an import of lines of every kind, shuffled."""
    stories = await world.captured(5)
    number = {one.payment_id: n for n, one in enumerate(stories)}
    lines: list[SettlementRow | str] = [capture_of(one, identity=f"{n}") for n, one in enumerate(stories[:4])]
    lines += [
        capture_of(stories[4], 1, identity="wrong", psp_operation=(str(stories[4].now.operations[0].psp_reference),)),
        booking(RowKind.CAPTURE, 1999, "nobody's"),
        booking(RowKind.PAYOUT, -5000, "payout"),
        "unreadable",
    ]
    if seed is not None:
        random.Random(seed).shuffle(lines)
    imported = await world.take(report_of(*lines), chunk_rows=chunk_rows)
    return [
        [(row[0], row[1], row[2], row[5]) for row in await world.states()],
        [row[:6] for row in await world.findings()],
        [(number[identifiers.text("pay", row[0])], row[3], row[4]) for row in await world.movements()],
        [(one.kind, one.state, one.rows, one.gross) for one in imported.sums],
    ]


def test_any_order_of_lines_in_any_chunks_comes_to_the_same(make_database: Callable[[], Database]) -> None:
    orders = ((None, 1000), (1, 1000), (2, 1), (3, 3))
    outcomes = [in_a_world(make_database(), imported_in_that_order, seed, chunk_rows) for seed, chunk_rows in orders]
    assert all(one == outcomes[0] for one in outcomes[1:])


async def sums_of(world: World, amounts: list[tuple[int, int, str]]) -> None:
    lines = [booking(RowKind.CAPTURE, minor, f"{n}", currency=code, fee=fee) for n, (minor, fee, code) in enumerate(amounts)]
    imported = await world.take(report_of(*lines), chunk_rows=7)
    for code in {code for _, _, code in amounts}:
        sums = [one for one in imported.sums if one.gross.currency == code]
        assert sum(one.gross.minor for one in sums) == sum(minor for minor, _, other in amounts if other == code)
        assert sum(one.net.minor for one in sums) == sum(minor - fee for minor, fee, other in amounts if other == code)
    booked = await world.all("SELECT currency, sum(amount) FROM payorch.ledger_lines GROUP BY currency")
    assert {amount for _, amount in booked} == {0}


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**6), st.sampled_from(["EUR", "JPY", "KWD"])), min_size=1, max_size=30))
def test_the_sums_of_the_lines_are_the_sums_of_the_report(
    make_database: Callable[[], Database], amounts: list[tuple[int, int, str]]
) -> None:
    in_a_world(make_database(), sums_of, amounts)


# --- days -------------------------------------------------------------------------------------------------------------------------------


async def test_a_late_line_opens_its_closed_day_again(world: World) -> None:
    first, second = await world.captured(2)
    await world.take(report_of(capture_of(first)))
    other = DAY + timedelta(days=1)
    for day, currency in ((DAY, "EUR"), (DAY, "USD"), (other, "EUR")):
        await world.connection.execute(
            "INSERT INTO payorch.reconciliation_days (day, connector, currency, state, version, figures, changed_at, changed_by, reason)"
            " VALUES (%s, %s, %s, 'closed', 1, '{}', now(), 'olga', 'all is explained')",
            [day, CONNECTOR, currency],
        )
    imported = await world.take(report_of(capture_of(second)))
    assert imported.reopened == ((DAY, "EUR"),)
    assert await world.all("SELECT day, currency, state, version, changed_by FROM payorch.reconciliation_days ORDER BY day, currency") == [
        (DAY, "EUR", "reopened", 2, "cli:olga"),
        (DAY, "USD", "closed", 1, "olga"),
        (other, "EUR", "closed", 1, "olga"),
    ]
    ((name, actor, reason),) = await world.all("SELECT name, actor, body->>'reason' FROM payorch.journal WHERE stream = 'reconciliation'")
    assert (name, actor) == ("DayReopened", "cli:olga")
    assert reason == f"report {imported.batch.id} books something on it that came after it was closed"
    assert (await audit.verify(world.connection)).whole


async def test_what_was_missing_at_the_psp_is_explained_by_the_line_that_comes(world: World) -> None:
    (story,) = await world.captured()
    await world.connection.execute(
        "INSERT INTO payorch.reconciliation_findings (id, connector, currency, day, kind, state, detail, amount_currency, suggestions,"
        " found_at, version, payment_id, sequence, subject_id) SELECT %s, connector, currency, %s, 'missing_at_psp', 'open',"
        " 'x', currency, '[]', now(), 1, payment_id, sequence, subject_id FROM payorch.movements",
        [identifiers.uuid_of(new_id("fnd")), DAY],
    )
    await world.connection.execute("UPDATE payorch.movements SET settlement = 'mismatched'")
    imported = await world.take(report_of(capture_of(story)))
    assert [row[4] for row in await world.movements()] == ["settled"]
    assert await world.all("SELECT state, version, resolved_by, resolution FROM payorch.reconciliation_findings") == [
        ("resolved", 2, "system", f"line 2 of report {imported.batch.id} books it")
    ]
    assert await world.all("SELECT name FROM payorch.journal WHERE stream = 'finding'") == [("FindingResolved",)]


# --- refused ----------------------------------------------------------------------------------------------------------------------------


async def test_what_is_no_report_is_refused_and_nothing_is_stored(world: World) -> None:
    with pytest.raises(ReportRefused, match="no settlement report of psp_one: its first line is another"):
        await world.take(b"<html>")
    assert await world.all("SELECT * FROM payorch.settlement_batches") == []


async def test_the_report_of_a_day_without_business_is_a_report(world: World) -> None:
    imported = await world.take(b"a report")
    assert (imported.new, imported.batch.state, imported.batch.rows, imported.broken) == (True, BatchState.IMPORTED, 0, ())
    again = await world.take(b"a report")
    assert (again.new, again.changed) == (False, False)


def test_a_report_that_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(ReportRefused, match=r"r\.csv is larger than 10 bytes"):
        Report.of("r.csv", [b"x" * 6, b"x" * 6], limit_bytes=10)
    with Report.of("\x1b[2J" + "r" * 500, [b"1", b"23"], limit_bytes=10) as report:
        assert (report.size_bytes, b"".join(report.pieces()), b"".join(report.pieces())) == (3, b"123", b"123")
        assert report.name.startswith("\\x1b[2Jrrr")
        assert len(report.name) == 200
