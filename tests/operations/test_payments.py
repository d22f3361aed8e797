"""Acts on payments: what a plan says is what then happens, once, and the database has the last word on four eyes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from actors.admission import CallKind
from actors.messages import Due
from payorch.domain.acts import ActName, ActState, Effect, Nonsense
from payorch.domain.money import Money
from payorch.domain.outcome import Approved, Evidence, Source
from payorch.domain.payment import OperationState, State
from payorch.domain.records import Attempt
from payorch.operations.payment_effects import said
from payorch.store import reads
from tests.api.merchant_world import START, new_id
from tests.conftest import Database
from tests.operations.payment_world import LIMIT, LOST, PaymentWorld, is_at, world_on

of = ActName


@pytest.fixture
async def world(database: Database) -> AsyncIterator[PaymentWorld]:
    async with world_on(database) as made:
        yield made


def texts(effects: tuple[Effect, ...], what: str) -> list[tuple[str, str]]:
    return [(one.before, one.after) for one in effects if one.what == what]


# --- plans


async def test_a_plan_to_refund_says_what_happens_and_how_many_it_takes(world: PaymentWorld) -> None:
    payment_id = await world.pay()
    draft = await world.plan(of.PAYMENT_REFUND, payment_id, amount=500)
    payment = world.shared.stored[-1]
    assert draft.allowed
    assert (draft.people, draft.confirm, draft.version) == (1, "5.00", str(payment.version))
    assert texts(draft.effects, "money") == [
        ("authorised 19.99 EUR, captured 19.99 EUR", "authorised 19.99 EUR, captured 19.99 EUR, being refunded 5.00 EUR")
    ]
    assert texts(draft.effects, "call") == [("not sent", "stripe: POST, refund of 5.00 EUR")]
    assert (await world.plan(of.PAYMENT_REFUND, payment_id)).people == 2
    assert [one.what for one in draft.checks] == ["version", "connector"]


async def test_a_plan_changes_nothing_and_comes_out_the_same(world: PaymentWorld) -> None:
    payment_id = await world.pay(lost=True)
    written = len(world.shared.stored)
    resolving: dict[str, Any] = {"to": "CAPTURED", "evidence": "INC-7"}
    for name, more in ((of.PAYMENT_RESOLVE, resolving), (of.PAYMENT_RESYNC, {}), (of.PAYMENT_VOID, {})):
        first = await world.plan(name, payment_id, **more)
        world.shared.store.clock.at = world.platform.clock.at
        assert await world.plan(name, payment_id, **more) == first
    assert len(world.shared.stored) == written


async def test_a_plan_to_resolve_shows_the_books_and_the_evidence(world: PaymentWorld) -> None:
    payment_id = await world.pay(lost=True)
    reference = f"{payment_id}#{world.shared.stored[-1].version}"
    draft = await world.plan(of.PAYMENT_RESOLVE, payment_id, to="CAPTURED", evidence=f"line 12 of march.csv, {reference}")
    assert (draft.people, draft.allowed, draft.confirm) == (2, True, "19.99")
    assert texts(draft.effects, "state") == [("OUTCOME_UNKNOWN", "CAPTURED")]
    ((_, entry),) = texts(draft.effects, "ledger")
    assert entry.startswith("capture of 19.99 EUR: debit psp_receivable:stripe, credit merchant_payable:")
    assert [one.reference for one in draft.proofs] == [reference]
    assert draft.proofs[0].text == "psp:stripe, by response: unknown (read_timeout), as pi_1"
    checks = {one.what: one for one in draft.checks}
    assert not checks["last word"].holds
    assert checks["evidence"].holds
    other = await world.plan(of.PAYMENT_RESOLVE, payment_id, to="FAILED", evidence="INC-7")
    assert not {one.what: one for one in other.checks}["evidence"].holds


def test_evidence_that_tells_totals_is_told_with_them() -> None:
    captured, refunded = Money(1999, "EUR"), Money(0, "EUR")
    evidence = Evidence(source=Source.WEBHOOK, finding=Approved(captured=True), at=START, captured=captured, refunded=refunded)
    assert said(evidence) == "captured, captured 19.99 EUR, refunded 0.00 EUR"


async def test_a_plan_to_ask_again_names_the_call_and_a_circuit_that_is_open(world: PaymentWorld) -> None:
    payment_id = await world.pay(lost=True)
    world.shut["stripe", CallKind.LOOKUP] = "its circuit is open"
    draft = await world.plan(of.PAYMENT_RESYNC, payment_id)
    ((_, call),) = texts(draft.effects, "call")
    assert call.startswith("stripe, about att_")
    assert "GET /v1/payment_intents/" in call
    assert (draft.people, draft.amount, draft.confirm) == (1, None, payment_id[-4:])
    (circuit,) = [one for one in draft.checks if one.what == "connector"]
    assert (circuit.holds, circuit.binds) == (False, False)


async def test_what_may_not_be_done_is_a_plan_that_says_so(world: PaymentWorld) -> None:
    payment_id = await world.pay()
    draft = await world.plan(of.PAYMENT_CAPTURE, payment_id)
    assert [(one.code, one.why) for one in draft.objections] == [
        ("operation_not_allowed", "A payment in CAPTURED does not take capture; it takes refund.")
    ]
    assert draft.effects == ()
    too_much = await world.plan(of.PAYMENT_REFUND, payment_id, amount=2000)
    assert [one.code for one in too_much.objections] == ["amount_exceeds_refundable"]


NONSENSE: tuple[tuple[ActName, dict[str, Any], str], ...] = (
    (of.PAYMENT_REFUND, {"amount": 0}, "/parameters/amount"),
    (of.PAYMENT_REFUND, {"amount": True}, "/parameters/amount"),
    (of.PAYMENT_REFUND, {"amount": "5.00"}, "/parameters/amount"),
    (of.PAYMENT_CAPTURE, {"final": "yes"}, "/parameters/final"),
    (of.PAYMENT_RESOLVE, {"to": "ROUTING", "evidence": "x"}, "/parameters/to"),
    (of.PAYMENT_RESOLVE, {"to": "FAILED", "evidence": " "}, "/parameters/evidence"),
    (of.PAYMENT_RESOLVE, {"to": "PARTIALLY_CAPTURED", "evidence": "x"}, "/parameters/amount"),
    (of.PAYMENT_RESOLVE, {"to": "FAILED", "evidence": "x", "operation": "att_other"}, "/parameters/operation"),
)


async def test_nonsense_is_pointed_at(world: PaymentWorld) -> None:
    payment_id = await world.pay(lost=True)
    for name, parameters, field in NONSENSE:
        with pytest.raises(Nonsense) as caught:
            await world.plan(name, payment_id, **parameters)
        assert (caught.value.field, caught.value.missing) == (field, False)
    for subject in ("pay_1", "", "att_00000000000000000000000001", "payments", new_id("pay")):
        with pytest.raises(Nonsense) as caught:
            await world.plan(of.PAYMENT_RELEASE, subject)
        assert caught.value.missing


# --- acts


async def test_what_two_people_found_is_written_and_stands_in_the_ledger(world: PaymentWorld) -> None:
    payment_id = await world.pay(lost=True)
    act = await world.approved(of.PAYMENT_RESOLVE, payment_id, to="CAPTURED", evidence="INC-7")
    done = await world.perform(act)
    assert (done.state, done.data["state"]) == (ActState.DONE, State.CAPTURED)
    events = await world.shared.read(reads.load_events, payment_id)
    assert [(one.event.name, one.event.actor, one.event.cause) for one in events[-2:]] == [
        ("ReviewRequested", "operator:ana", act.id),
        ("CorrectionApproved", "operator:ana", act.id),
    ]


async def test_an_act_is_carried_out_once(world: PaymentWorld) -> None:
    payment_id = await world.pay()
    act = await world.approved(of.PAYMENT_REFUND, payment_id, amount=500)
    first, again = await world.perform(act), await world.perform(act)
    assert (first.state, first.data["before"]) == (ActState.DONE, False)
    assert (again.state, again.data["before"], again.data["operation"]) == (ActState.DONE, True, first.data["operation"])
    payment = await world.until(lambda payment: payment.refunded_minor > 0)
    assert (payment.refunded_minor, len(payment.operations)) == (500, 1)


async def test_what_is_left_is_what_was_shown_as_left(world: PaymentWorld) -> None:
    """An act that was begun may be carried out long after it, if the process ended in between."""
    payment_id = await world.pay()
    shown = await world.plan(of.PAYMENT_REFUND, payment_id)
    act = await world.approved(of.PAYMENT_REFUND, payment_id)
    assert (await world.perform(replace(act, id=new_id("act"), parameters={"amount": 500}))).state is ActState.DONE
    await world.until(lambda payment: payment.refunded_minor == 500)
    done = await world.perform(replace(act, shown=shown))
    assert (done.state, done.data["code"]) == (ActState.REFUSED, "plan_changed")
    shown = await world.plan(of.PAYMENT_REFUND, payment_id)
    assert (await world.perform(replace(act, shown=shown))).state is ActState.DONE
    await world.until(lambda payment: payment.refunded_minor == 1999)
    assert (await world.perform(replace(act, shown=shown))).data["before"], "it is not asked again what it is now"


async def test_one_person_does_not_move_what_takes_two_by_now(world: PaymentWorld) -> None:
    payment_id = await world.pay()
    act = await world.approved(of.PAYMENT_REFUND, payment_id, agreed=False)
    done = await world.perform(act)
    assert (done.state, done.data["code"]) == (ActState.REFUSED, "second_person_missing")
    small = replace(act, parameters={"amount": LIMIT["EUR"]})
    assert (await world.perform(small)).state is ActState.DONE
    glass = replace(act, id=new_id("act"), break_glass=True)
    assert (await world.perform(glass)).state is ActState.DONE


def test_a_proof_tells_what_the_psp_has_in_all() -> None:
    charged = Approved(captured=True)
    evidence = Evidence(
        source=Source.INQUIRY, finding=charged, at=START, captured=Money(1999, "EUR"), refunded=Money(0, "EUR")
    )  # fmt: skip
    assert said(evidence) == "captured, captured 19.99 EUR, refunded 0.00 EUR"


async def test_the_database_refuses_what_one_person_found_alone(world: PaymentWorld) -> None:
    """Whatever the program believes: the act has no second person."""
    payment_id = await world.pay(lost=True)
    act = await world.approved(of.PAYMENT_RESOLVE, payment_id, agreed=False, to="CAPTURED", evidence="INC-7")
    done = await world.perform(act)
    assert done.state is ActState.FAILED
    assert "two people" in done.text
    payment = await world.shared.load(payment_id)
    assert payment is not None
    assert payment.state is State.OUTCOME_UNKNOWN


async def test_what_became_of_a_refund_takes_two_as_well(world: PaymentWorld) -> None:
    payment_id = await world.pay()
    world.says(lambda execute: LOST)
    sent = await world.perform(await world.approved(of.PAYMENT_REFUND, payment_id, amount=500))
    refund = sent.data["operation"]
    await world.until(lambda payment: payment.operations[0].state is OperationState.UNKNOWN)
    said: dict[str, Any] = {"to": "SUCCEEDED", "evidence": "INC-7", "operation": refund}
    draft = await world.plan(of.PAYMENT_RESOLVE, payment_id, **said)
    assert texts(draft.effects, "operation") == [(f"{refund}, refund of 5.00 EUR: UNKNOWN", "SUCCEEDED")]
    assert (await world.perform(await world.approved(of.PAYMENT_RESOLVE, payment_id, agreed=False, **said))).state is ActState.FAILED
    await world.execute(
        "UPDATE payorch.acts SET state = 'rejected', version = 2 WHERE state = 'proposed' AND name = $1", ["payment.resolve"]
    )
    done = await world.perform(await world.approved(of.PAYMENT_RESOLVE, payment_id, **said))
    assert done.state is ActState.DONE
    assert world.shared.stored[-1].refunded_minor == 500


async def test_with_the_glass_broken_one_person_is_enough_and_it_says_so(world: PaymentWorld) -> None:
    payment_id = await world.pay(lost=True)
    act = await world.approved(of.PAYMENT_RESOLVE, payment_id, agreed=False, alone=True, to="FAILED", evidence="INC-7")
    assert (await world.perform(act)).state is ActState.DONE
    events = await world.shared.read(reads.load_events, payment_id)
    assert events[-1].event.data.alone


async def test_what_has_changed_meanwhile_is_refused_and_nothing_is_done(world: PaymentWorld) -> None:
    payment_id = await world.pay(lost=True)
    act = await world.approved(of.PAYMENT_RESOLVE, payment_id, to="FAILED", evidence="INC-7")
    world.says(lambda execute: Approved(captured=True) if execute.source is Source.INQUIRY else LOST)
    asked = await world.approved(of.PAYMENT_RESYNC, payment_id)
    assert (await world.perform(asked)).state is ActState.DONE
    await world.until(is_at(State.CAPTURED))
    done = await world.perform(act)
    assert (done.state, done.data["code"]) == (ActState.REFUSED, "operation_not_allowed")
    assert done.text.endswith("Nothing was done.")


async def test_a_void_by_two_people_goes_out_and_ends_the_payment(world: PaymentWorld) -> None:
    payment_id = await world.pay(lost=True, capture="manual")
    world.says(lambda execute: LOST if isinstance(execute.subject, Attempt) else Approved(captured=False))
    draft = await world.plan(of.PAYMENT_RESOLVE, payment_id, to="VOIDING", evidence="INC-7")
    assert texts(draft.effects, "call") == [("not sent", "stripe: POST, void")]
    act = await world.approved(of.PAYMENT_RESOLVE, payment_id, to="VOIDING", evidence="INC-7")
    assert (await world.perform(act)).state is ActState.DONE
    payment = await world.until(is_at(State.CANCELED))
    assert payment.holding_attempt is None


async def test_a_plan_survives_looks_that_brought_no_answer_and_none_that_did(world: PaymentWorld) -> None:
    """While a PSP is away a search writes by the minute, and two people need longer than that."""
    payment_id = await world.pay(lost=True)
    resolving: dict[str, Any] = {"to": "FAILED", "evidence": "INC-7"}
    shown = await world.plan(of.PAYMENT_RESOLVE, payment_id, **resolving)
    payment = world.shared.stored[-1]
    world.platform.clock.at = payment.attempts[-1].next_action_at or world.platform.clock.at
    world.platform.directory.tell(payment_id, Due())
    await world.until(lambda later: later.version > payment.version)
    again = await world.plan(of.PAYMENT_RESOLVE, payment_id, **resolving)
    assert (again.binding, len(again.proofs)) == (shown.binding, len(shown.proofs) + 1)
    world.shut["stripe", CallKind.LOOKUP] = "its circuit is open"
    assert (await world.plan(of.PAYMENT_RESOLVE, payment_id, **resolving)).binding == shown.binding
    world.says(lambda _: Approved(captured=True))
    await world.perform(await world.approved(of.PAYMENT_RESYNC, payment_id))
    await world.until(is_at(State.CAPTURED))
    assert (await world.plan(of.PAYMENT_RESOLVE, payment_id, **resolving)).binding != shown.binding
