"""Whatever goes wrong at the PSP or on the way to it, at whatever call: the evidence never says no where money may have moved, never yes to
another amount without showing it, the same call again moves nothing twice, and what is true can be found out.

The table says of every fault what it may look like from here. What it did is read in the PSP's books, which faults do not touch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pytest
import trio

from connectors.contract import HttpResponse
from connectors.simulator.faults import REQUEST_FAULTS, FaultKind, Malformed
from payorch.domain.outcome import (
    POLICY,
    Absent,
    Approved,
    Declined,
    ErrorClass,
    Evidence,
    Kind,
    NotExecuted,
    Pending,
    Released,
    Source,
    Unknown,
)
from tests.connectors.conformance.life import born
from tests.connectors.conformance.psp import IMPATIENT, PATIENT, Books, Psp, dealing_with, seed_for
from tests.connectors.conformance.steps import STEPS, Ready, Step

K: Final = FaultKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault. looks: what its evidence may say of a call that moves something. done: whether the call was executed all the same."""

    fault: FaultKind
    looks: str
    done: bool
    how: Malformed | None = None
    seconds: float | None = None

    def __str__(self) -> str:
        return self.fault.value if self.how is None else f"{self.fault.value}-{self.how.value}"


ROWS: Final = (
    Row(fault=K.REFUSE, looks="not sent", done=False),
    Row(fault=K.HANG_BEFORE, looks="unknown", done=False),
    Row(fault=K.CHARGE_THEN_HANG, looks="unknown", done=True),
    Row(fault=K.ERROR_500, looks="unknown", done=False),
    Row(fault=K.CHARGE_THEN_500, looks="unknown", done=True),
    Row(fault=K.RESET_BEFORE, looks="unknown", done=False),
    Row(fault=K.RESET_AFTER, looks="unknown", done=True),
    Row(fault=K.RATE_LIMIT_429, looks="turned away", done=False),
    Row(fault=K.RATE_LIMIT_429_RETRY_AFTER, looks="turned away", done=False),
    *(Row(fault=K.MALFORMED, how=how, looks="unknown", done=True) for how in Malformed),
    Row(fault=K.WRONG_AMOUNT, looks="shown", done=True),
    Row(fault=K.SLOW, looks="fine", done=True, seconds=0.001),
    Row(fault=K.DRIP, looks="fine", done=True, seconds=0.001),
)
KINDS: Final = [step for step in STEPS if not step.variant]
HANGING: Final = frozenset({K.HANG_BEFORE, K.CHARGE_THEN_HANG})


def test_every_fault_of_requests_has_a_row() -> None:
    assert {row.fault for row in ROWS} == set(REQUEST_FAULTS)


@pytest.mark.parametrize("row", ROWS, ids=str)
@pytest.mark.parametrize("step", KINDS, ids=str)
async def test_a_fault(name: str, step: Step, row: Row) -> None:
    async with dealing_with(name, seed=0 if row.how is None else seed_for(name, row.how)) as psp:
        ready = await step.reached(psp)
        before, effect = await psp.books(), step.moves(psp.connector.manifest)
        first = await befallen(psp, ready, row)
        assert_not_misread(first, row, ready, psp)
        assert not row.done or moved(before, await settled_books(psp)) == effect
        again = await ready.send(Source.REPLAY)
        assert_not_denied(again, ready)
        if row.looks == "shown":
            assert_shows(first, again, [one.response for one in psp.exchanges[-2:]])
        found = await ready.life.found_out(ready.subject_id)
        done = moved(before, await settled_books(psp))
        assert done in (effect, {}), "the same call under the same key is executed once"
        assert_known(found, ready, executed=done == effect)


async def befallen(psp: Psp, ready: Ready, row: Row) -> Evidence:
    """The call, with that fault, which is over then; the PSP has seen whatever was sent."""
    more = {} if row.seconds is None else {"seconds": row.seconds}
    await psp.fault(row.fault, **more)
    if row.fault in HANGING:
        seen = await psp.requests()
        evidence = await ready.send(timeouts=IMPATIENT)
        await psp.until_seen(seen)
        return evidence
    evidence = await ready.send()
    if row.fault is K.REFUSE:
        await psp.heal()
    return evidence


async def settled_books(psp: Psp) -> Books:
    """The PSP's books, once it has had the time to do what it had only taken."""
    psp.later(60)
    return await psp.books()


def moved(before: Books, after: Books) -> Mapping[str, int]:
    """The lines that were added meanwhile, by type."""
    grown = {kind: count - before.lines.get(kind, 0) for kind, count in after.lines.items()}
    return {kind: count for kind, count in grown.items() if count}


# --- what evidence may say ----------------------------------------------------------------------------------------------------------------


def assert_not_misread(evidence: Evidence, row: Row, ready: Ready, psp: Psp) -> None:
    """The first answer, or the lack of one, by the table."""
    finding, manifest = evidence.finding, psp.connector.manifest
    match row.looks:
        case "not sent":
            assert finding == NotExecuted(failure=finding.failure, sent=False)  # type: ignore[union-attr]
        case "unknown" if ready.inquiry and row.fault is K.CHARGE_THEN_500 and not isinstance(finding, Unknown):
            assert_not_denied(evidence, ready)  # nothing is charged by reading: a simulated PSP may answer as if nothing were wrong
        case "unknown":
            assert_unknown(evidence)
        case "turned away" if manifest.http_429_means_not_executed and not ready.inquiry and not ready.fence:
            assert isinstance(finding, NotExecuted)
            assert finding.sent
            assert finding.failure.error_class is ErrorClass.RATE_LIMITED
        case "turned away":
            assert_unknown(evidence)
        case _:
            assert_not_denied(evidence, ready)


def assert_unknown(evidence: Evidence) -> None:
    """Nobody can say yet, and the class of error says so as well."""
    assert isinstance(evidence.finding, Unknown), evidence.finding
    assert POLICY[evidence.finding.failure.error_class].kind is Kind.UNKNOWN


def assert_not_denied(evidence: Evidence, ready: Ready) -> None:
    """No definitive no: it was executed, or may have been."""
    assert not isinstance(evidence.finding, (Declined, NotExecuted, Absent, Released)), evidence.finding


def assert_shows(wrong: Evidence, right: Evidence, answers: list[HttpResponse]) -> None:
    """An answer about another amount is not understood, or what it said stands in the evidence, where the domain compares it."""
    if amounts(answers[0]) == amounts(answers[1]):
        return  # the PSP says no amount in this answer, so none was wrong
    assert isinstance(wrong.finding, Unknown) or told(wrong) != told(right)


def told(evidence: Evidence) -> tuple[object, ...]:
    """Every amount in it."""
    return evidence.amount, evidence.captured, evidence.refunded, evidence.refunds


def amounts(response: HttpResponse) -> list[str]:
    """Every amount in an answer, as it is written."""
    found: list[str] = []

    def collect(it: Any, *, inside: bool) -> None:
        if isinstance(it, Mapping):
            for key, value in it.items():
                collect(value, inside=inside or "amount" in key)
        elif isinstance(it, list):
            for value in it:
                collect(value, inside=inside)
        elif inside:
            found.append(repr(it))

    collect(json.loads(response.body or b"null"), inside=False)
    return sorted(found)


def assert_known(evidence: Evidence, ready: Ready, *, executed: bool) -> None:
    """The truth has been found out: by the replay, an inquiry or a notice, whatever the PSP has."""
    finding = evidence.finding
    if ready.fence and executed:
        assert isinstance(finding, Released), finding
    elif executed or ready.inquiry:
        assert isinstance(finding, Approved), finding
    else:
        assert isinstance(finding, Absent), finding


# --- the means of proof, each by itself ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("means", ["replay", "inquiry", "notice"])
@pytest.mark.parametrize("step", [step for step in STEPS if step.name not in ("inquire", "fence")], ids=str)
async def test_a_lost_answer_is_found_out_by_each_means_alone(psp: Psp, step: Step, means: str) -> None:
    """Notices may be lost, keys run out, look-ups be down: none of them is only there to be backed by another."""
    ready = await step.reached(psp)
    life = ready.life
    await psp.fault(K.RESET_AFTER)
    assert_unknown(await ready.send())
    match means:
        case "replay":
            again = await ready.send(Source.REPLAY)
            assert isinstance(again.finding, (Approved, Pending)), again.finding
        case "inquiry":
            psp.later(psp.connector.manifest.lookup_lag_seconds)
            found = await life.inquire(ready.subject_id)
            if found is None:
                pytest.skip(f"{psp.name}: cannot be asked about this by a reference of ours")
            assert isinstance(found.finding, Approved), found.finding
        case _:
            psp.later(60)
            await life.listen()
            told = life.last(ready.subject_id).finding
            if step.name == "void" and isinstance(told, Unknown):
                told = life.last(life.attempt.id).finding  # a PSP may leave nothing of a void behind, and tell of the attempt
            assert isinstance(told, (Approved, Released) if step.name == "void" else Approved), told


# --- two at once --------------------------------------------------------------------------------------------------------------------------

MOVING: Final = [step for step in STEPS if step.name not in ("inquire", "fence")]


@pytest.mark.parametrize("step", MOVING, ids=str)
async def test_a_call_whose_twin_is_still_being_processed_is_unknown(psp: Psp, step: Step) -> None:
    ready = await step.reached(psp)
    before = await psp.books()
    await psp.fault(K.SLOW, seconds=3600)  # of real time: nobody waits for its end
    seen = await psp.requests()
    twin = psp.network.channel(psp.url)
    request = psp.connector.request(ready.call, psp_key=ready.key, credentials=psp.credentials)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(twin.exchange, request, timeouts=PATIENT))
        await psp.until_seen(seen)
        evidence = await ready.send(Source.REPLAY)
        nursery.cancel_scope.cancel()
    await twin.aclose()
    assert_unknown(evidence)
    assert moved(before, await settled_books(psp)) == {}


async def test_the_same_key_for_another_call_is_not_taken_for_its_answer(psp: Psp) -> None:
    """The PSP refuses it or answers the first call again: neither is said of the second."""
    first, second = born(psp), born(psp)
    await first.authorize()
    evidence = await second.send(second.attempt.id, second.attempt.call, key=first.attempt.psp_key)
    ours = isinstance(evidence.finding, Approved) and evidence.our_reference == second.attempt.id
    assert not ours
    assert (await psp.books()).lines == {"authorized": 1}
