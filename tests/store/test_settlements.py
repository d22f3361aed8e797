"""What a report's lines may be about, as it is found in the database; and how its rows are written and read back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payorch.domain.movements import MovementKind
from payorch.domain.settlement import BadRow, RowKind, SettlementRow, SettlementState
from payorch.store import settlement_candidates, settlement_rows, settlements
from payorch.store.dead_letters import settlement_letter
from tests.conftest import Database
from tests.settlement_world import CONNECTOR, DAY, World, booking, capture_of, world_on
from tests.store.stories import START, Story, new_id


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with world_on(database) as made:
        yield made


async def found(world: World, row: SettlementRow) -> str | None:
    async with world.connection.transaction():
        await settlements.planning(world.connection)
        (payment,) = await settlement_candidates.payments_of(world.connection, CONNECTOR, [row])
    return payment


async def test_a_line_finds_its_payment_by_any_id_of_it_at_its_own_connector(world: World) -> None:
    (story,) = await world.captured()
    await world.journal.write([story.refund_requested(500)])
    await world.journal.write([story.disputed(500, psp_reference="dp_9")])
    capture, refund = story.now.operations
    psp = story.attempt.psp_reference
    assert psp is not None

    def line(**ids: Any) -> SettlementRow:
        return booking(RowKind.REFUND, -500, "t", **ids)

    for named in (
        line(psp_payment=("nobody", psp)), line(psp_operation=(psp,)), line(psp_operation=("dp_9",)), line(our_references=(refund.id,)),
        line(our_references=(capture.id,)), line(our_references=(story.attempt.id,)), line(our_references=(story.payment_id,)),
    ):  # fmt: skip
        assert await found(world, named) == story.payment_id, named
    assert await found(world, line(psp_operation=("nobody",), our_references=(new_id("ref"), new_id("pay")))) is None
    assert await found(world, line()) is None
    assert await found(world, booking(RowKind.FEE, -5, "fee", psp_payment=(psp,))) is None
    elsewhere = Story(connector="psp_two")
    await world.journal.write([elsewhere.sent()])
    assert await found(world, line(our_references=(elsewhere.attempt.id,))) is None
    assert await found(world, line(our_references=(elsewhere.payment_id,))) is None


async def test_everything_of_a_payment_that_has_moved_or_may_have_is_a_candidate(world: World) -> None:
    (story,) = await world.captured(minor=1999)
    await world.journal.write([story.refund_requested(500)])
    await world.journal.write([story.disputed(700, psp_reference="dp_9")])
    capture, refund = story.now.operations
    (dispute,) = story.now.disputes
    sent = await world.unknown()
    candidates = await settlement_candidates.candidates(world.connection, CONNECTOR, [story.payment_id, sent.payment_id, new_id("pay")])
    by_subject = {one.subject_id: one for one in candidates[story.payment_id]}
    assert set(by_subject) == {capture.id, refund.id, dispute.id}  # the attempt's money was taken by the capture
    moved = by_subject[capture.id]
    assert (moved.kind, moved.amount, moved.sequence, moved.settlement) == (
        MovementKind.CAPTURE, capture.amount, 7, SettlementState.PENDING,
    )  # fmt: skip
    assert moved.psp_payment == (story.attempt.psp_reference,)
    assert moved.our_references == (capture.id, story.attempt.id, story.payment_id)
    asked = by_subject[refund.id]
    assert (asked.kind, asked.sequence, asked.unresolved, asked.state) == (MovementKind.REFUND, None, True, "REQUESTED")
    taken = by_subject[dispute.id]
    assert (taken.kind, taken.psp_operation, taken.sequence is not None) == (MovementKind.CHARGEBACK, ("dp_9",), True)
    (unknown,) = candidates[sent.payment_id]
    assert (unknown.subject_id, unknown.kind, unknown.unresolved) == (sent.attempt.id, MovementKind.CAPTURE, True)
    assert len(candidates) == 3
    assert [] in candidates.values()


async def test_the_day_of_a_movement_is_by_the_psps_clock(world: World) -> None:
    (story,) = await world.captured(at=datetime(2026, 3, 1, 23, 30, tzinfo=UTC))
    for zone, day in ((UTC, DAY), (ZoneInfo("Europe/Amsterdam"), DAY + timedelta(days=1))):
        candidates = await settlement_candidates.candidates(world.connection, CONNECTOR, [story.payment_id], zone=zone)
        assert [one.day for one in candidates[story.payment_id]] == [day]


async def test_what_is_alike_is_pending_or_was_found_missing(world: World) -> None:
    pending, missing, settled = await world.captured(3, minor=777)
    await world.take_lines(capture_of(settled))
    await world.connection.execute(
        "UPDATE payorch.movements SET settlement = 'mismatched' WHERE payment_id = %s", [world.uuid(missing.payment_id)]
    )
    await world.connection.execute(
        "INSERT INTO payorch.reconciliation_findings (id, connector, currency, day, kind, state, detail, amount_currency, suggestions,"
        " found_at, version, payment_id, sequence, subject_id) SELECT %s, connector, currency, %s, 'missing_at_psp', 'open', 'x', currency,"
        " '[]', now(), 1, payment_id, sequence, subject_id FROM payorch.movements WHERE settlement = 'mismatched'",
        [world.uuid(new_id("fnd")), DAY],
    )
    alike = await settlement_candidates.alike(world.connection, CONNECTOR, [booking(RowKind.CAPTURE, 777, "x")], days=2)
    assert {one.payment_id for one in alike[777, "EUR"]} == {pending.payment_id, missing.payment_id}
    assert await settlement_candidates.alike(world.connection, CONNECTOR, [], days=2) == {}
    far = booking(RowKind.CAPTURE, 777, "x", day=DAY + timedelta(days=3))
    assert await settlement_candidates.alike(world.connection, CONNECTOR, [far], days=2) == {}


async def test_no_table_is_read_as_a_whole_for_a_line(world: World) -> None:
    """As on a fresh database, without statistics, where a planner likes to."""
    (story,) = await world.captured()
    async with world.connection.transaction():
        await settlements.planning(world.connection)
        for query, parameters in (
            (settlement_candidates._MOVEMENTS, [[world.uuid(story.payment_id)], CONNECTOR]),
            (settlement_candidates._ATTEMPTS, [[world.uuid(story.payment_id)], CONNECTOR]),
            (settlement_candidates._BY_ATTEMPT, [["pi_1"], CONNECTOR]),
            (settlement_candidates._BY_DISPUTE, [["dp_1"], CONNECTOR]),
            (settlements._KNOWN, [CONNECTOR, ["a"]]),
        ):
            async with psycopg.AsyncRawCursor(world.connection) as cursor:
                await cursor.execute("EXPLAIN (COSTS OFF) " + query, parameters)
                plan = "\n".join(row[0] for row in await cursor.fetchall())
            assert "Seq Scan" not in plan, plan
            assert "Materialize" not in plan, plan
            assert "Index Cond" in plan, plan


ids = st.lists(st.text("abc_19", min_size=1, max_size=8), max_size=3).map(tuple)


@given(ids, ids, st.text(max_size=8), st.text(min_size=1, max_size=8), st.none() | st.datetimes(timezones=st.just(UTC)))
def test_a_line_that_cannot_be_kept_as_it_is_is_made_so_once(
    operation: tuple[str, ...], payment: tuple[str, ...], type_: str, odd: str, at: datetime | None
) -> None:
    row = booking(RowKind.REFUND, -5, "i", psp_operation=(*operation, odd), psp_payment=payment, booked_at=at)
    row = settlement_rows.canonical(SettlementRow(**{name: getattr(row, name) for name in row.__struct_fields__} | {"type": type_}))
    assert settlement_rows.canonical(row) == row
    assert row.psp_payment == payment
    assert row.psp_operation[: len(operation)] == operation
    assert " ".join(row.psp_operation).split(" ") == list(row.psp_operation) or not row.psp_operation


def test_letters_of_lines_that_failed_alike_have_one_fingerprint() -> None:
    def letter(reason: str) -> tuple[str, str]:
        bad = BadRow(line=7, reason=reason, raw="x")
        made = settlement_letter(letter_id=new_id("dlq"), connector="psp_one", batch_id=new_id("bat"), bad=bad, at=START)
        return made.reason_class, made.fingerprint

    assert letter("gross: '12,3' is no amount") == letter('gross: "€ 4" is no amount') == (
        "gross_is_no_amount", "settlement_row/psp_one/gross_is_no_amount",
    )  # fmt: skip
    assert letter("net: '12,3' is no amount") != letter("gross: '12,3' is no amount")
    assert letter("123 !!")[0] == "unreadable"
