"""Payments of all merchants over HTTP: lists with an honest count, the page that explains one payment, its lane, its routing."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import msgspec
import pytest

from payorch.api.operations.payment_page import ActionOption
from payorch.api.operations.payments import merged
from payorch.api.operations.redaction import REMOVED, shown_call, shown_record
from payorch.api.operations.why import _WHY
from payorch.api.problems import Code
from payorch.domain import events as e
from payorch.domain.acts import KINDS, ActName
from payorch.domain.identifiers import uuid_of
from payorch.domain.intent import Customer
from payorch.domain.money import Money
from payorch.domain.movements import MovementKind
from payorch.domain.outcome import Approved, Evidence, Source
from payorch.domain.payment import AttemptState, Name, State
from payorch.domain.records import Hold, PreparedCall
from payorch.domain.roles import Role
from payorch.domain.settlement import RowKind, RowState, SettlementState
from payorch.store.inbox_reads import Refers, StoredNotice
from payorch.store.items import Delivery, DeliveryState, NoticeState
from payorch.store.payment_page import LedgerEntry, Likes, LinePosting, ReportLine
from payorch.store.reads import PaymentRow, Search
from tests.api.merchant_world import KEY, MERCHANT, START, Life, World, a_method, an_intent, new_id
from tests.api.webhook_calls import check, refused

LIST = "/ops/v1/payments"


async def look(world: World, path: str, role: Role = Role.VIEWER) -> Any:
    return await world.call("GET", path, key=world.reconciling.operator(role))


async def page(world: World, life: Life, more: str = "") -> Any:
    answer = await look(world, f"{LIST}/{life.payment_id}{more}")
    assert answer.status_code == 200, answer.raw
    return answer.seen


def row(**changes: Any) -> PaymentRow:
    values: dict[str, Any] = {
        "id": new_id("pay"), "merchant_id": MERCHANT, "state": State.CAPTURED, "version": 5, "amount_minor": 1999, "currency": "EUR",
        "reference": "order-1", "connector": "stripe", "psp_reference": "pi_1", "captured_minor": 1999, "refunded_minor": 0, "held": False,
        "created_at": START, "updated_at": START,
    }  # fmt: skip
    return PaymentRow(**values | changes)


def captured_in_books(world: World, life: Life, minor: int = 1999, settlement: SettlementState = SettlementState.SETTLED) -> None:
    """The ledger and the report have what was captured."""
    subject = uuid_of(life.attempt.id)
    world.all_payments.ledger = [
        LedgerEntry(
            sequence=5, subject_id=subject, kind=MovementKind.CAPTURE, amount=Money(minor, "EUR"), debit="psp_receivable:stripe",
            credit=f"merchant_payable:{MERCHANT}", at=START, settlement=settlement,
        )
    ]  # fmt: skip
    world.all_payments.lines = [
        ReportLine(
            batch_id=new_id("bat"), report="march.csv", line=7, kind=RowKind.CAPTURE, gross=Money(1999, "EUR"), fee=Money(59, "EUR"),
            net=Money(1940, "EUR"), day=date(2026, 3, 2), state=RowState.MATCHED, received_at=START + timedelta(days=2),
            postings=(LinePosting(debit="psp_balance:stripe", credit="psp_receivable:stripe", amount=Money(1999, "EUR")),),
        )
    ]  # fmt: skip


# --- the list ---------------------------------------------------------------------------------------------------------------------------


async def test_payments_of_all_merchants_with_their_names() -> None:
    world = World()
    world.all_payments.rows = [row(), row(state=State.OUTCOME_UNKNOWN, held=True)]
    world.all_payments.names = {MERCHANT: "Demo shop"}
    answer = await look(world, LIST)
    check(answer.seen, "OperatorPaymentList")
    assert [(one["merchant"], one["status"], one["outcome"], one["held"]) for one in answer.seen["data"]] == [
        ("Demo shop", "succeeded", None, False),
        ("Demo shop", "processing", "unconfirmed", True),
    ]
    assert (answer.seen["total"], answer.seen["total_is_exact"]) == (2, True)


async def test_more_than_a_page_is_counted_honestly_and_once() -> None:
    world = World()
    world.all_payments.rows = [row() for _ in range(3)]
    first = (await look(world, f"{LIST}?limit=2")).seen
    assert (len(first["data"]), first["total"], first["total_is_exact"]) == (2, 10_000, False)
    rest = (await look(world, f"{LIST}?limit=2&cursor={first['next_cursor']}")).seen
    assert (rest["total"], rest["total_is_exact"]) == (None, False)
    assert world.all_payments.asked[1][2] == first["next_cursor"]


async def test_what_is_searched_for() -> None:
    world = World()
    world.all_payments.names = {MERCHANT: "Demo shop"}
    asked = "state=CAPTURED&merchant=Demo%20shop&state=FAILED,CANCELED&connector=stripe&held=true&problem=true&amount_min=5&limit=200"
    assert (await look(world, f"{LIST}?{asked}")).status_code == 200
    await look(world, f"{LIST}?status=succeeded&merchant={MERCHANT}")
    await look(world, LIST)
    assert world.all_payments.asked == [
        (Search(merchant_id=None, states=(State.CAPTURED, State.CANCELED, State.FAILED), connector="stripe", held=True, problem=True,
                amount_min=5, merchants=(MERCHANT,)), 200, None),
        (Search(merchant_id=None, states=(State.CAPTURED,), merchants=(MERCHANT,)), 50, None),
        (Search(merchant_id=None), 50, None),
    ]  # fmt: skip


async def test_what_cannot_match_is_not_looked_for() -> None:
    world = World()
    for nothing in ("merchant=Nobody", "state=CAPTURED&status=failed"):
        assert (await look(world, f"{LIST}?{nothing}")).seen == {"data": [], "next_cursor": None, "total": 0, "total_is_exact": True}
    assert world.all_payments.asked == []


@pytest.mark.parametrize(
    ("query", "pointer"),
    [("state=BROKEN", "/state"), ("state=,", "/state"), ("status=odd", "/status"), ("held=yes", "/held"), ("limit=201", "/limit"),
     ("currency=euro", "/currency"), ("cursor=x", "/cursor"), ("sort=amount", "/sort")],
)  # fmt: skip
async def test_what_is_wrong_is_named(query: str, pointer: str) -> None:
    refused(await look(World(), f"{LIST}?{query}"), 400, Code.VALIDATION_FAILED, pointer)


@pytest.mark.parametrize(
    ("query", "once"),
    [(b"", b""), (b"state=A", b"state=A"), (b"state=A&q=x&state=B", b"q=x&state=A%2CB"), (b"estate=A&state=B", b"estate=A&state=B")],
)
def test_a_parameter_given_several_times(query: bytes, once: bytes) -> None:
    assert merged(query, b"state") == once


@pytest.mark.parametrize("path", ["", "/{id}", "/{id}/timeline", "/{id}/routing"])
async def test_it_takes_an_operator(path: str) -> None:
    world = World()
    life = world.has(Life().created())
    at = f"{LIST}{path.format(id=life.payment_id)}"
    refused(await world.call("GET", at, key=KEY), 403, Code.FORBIDDEN)
    refused(await world.call("GET", at, key=None), 401, Code.UNAUTHENTICATED)
    for role in Role:
        assert (await look(world, at, role)).status_code == 200
    if path:
        refused(await look(world, f"{LIST}{path.format(id=new_id('pay'))}"), 404, Code.NOT_FOUND)
        refused(await look(world, f"{LIST}{path.format(id='nonsense')}"), 404, Code.NOT_FOUND)


# --- the page ---------------------------------------------------------------------------------------------------------------------------


async def test_a_settled_payment_all_agree_upon() -> None:
    world = World()
    life = world.has(Life().created().sent().charged())
    captured_in_books(world, life)
    world.all_payments.names = {MERCHANT: "Demo shop"}
    seen = await page(world, life)
    check(seen, "OperatorPaymentShape")
    money = seen["money"]
    assert (money["agree"], money["disagreement"]) == (True, None)
    assert (money["ours"]["text"], money["ledger"]["text"], money["psp"]["text"], money["settlement"]["text"]) == (
        "captured 19.99 EUR", "net +19.99 EUR", "captured 19.99 EUR (response)", "settled 19.99 EUR on 2026-03-02",
    )  # fmt: skip
    assert (seen["merchant"], seen["why"], seen["next"], seen["like_it"]) == ({"id": MERCHANT, "name": "Demo shop"}, None, None, None)
    assert [one["source"] for one in seen["postings"]] == ["payment", "settlement"]
    assert seen["postings"][0]["event"] == "ProviderCharged"
    assert (seen["settlement_lines"][0]["fee"], seen["settlement"]) == ({"amount": 59, "currency": "EUR"}, {"status": "settled"})
    assert world.all_payments.likes_asked == []


async def test_a_lie_in_the_books_is_the_headline() -> None:
    world = World()
    life = world.has(Life().created().sent().charged())
    captured_in_books(world, life, minor=1950)
    money = (await page(world, life))["money"]
    assert money["agree"] is False
    assert "our state says 19.99 EUR captured, the ledger says 19.50 EUR" in money["disagreement"]
    assert "the settlement report books 19.99 EUR, the ledger has 19.50 EUR as settled" in money["disagreement"]


async def test_an_unknown_payment_is_explained() -> None:
    world = World()
    life = world.has(Life().created().sent().lost())
    world.all_payments.likes = Likes(count=12, amounts=(Money(391120, "EUR"),))
    seen = await page(world, life)
    check(seen, "OperatorPaymentShape")
    assert seen["why"]["headline"] == "Why unknown"
    assert (
        "The authorisation went to stripe at 2026-03-01 12:00:00Z; the answer was lost at 2026-03-01 12:00:00Z after 31 ms"
        in seen["why"]["text"]
    )
    assert "charge the shopper twice" in seen["why"]["text"]
    assert (seen["money"]["agree"], seen["money"]["ours"]["text"], seen["money"]["psp"]) == (None, "not known", None)
    assert seen["route"] == ["stripe"]
    assert (seen["like_it"]["count"], seen["like_it"]["amount"]) == (12, [{"amount": 391120, "currency": "EUR"}])
    assert seen["like_it"]["filter"].startswith("connector:stripe state:OUTCOME_UNKNOWN created_from:2026-03-01T11:45:00.000Z")
    assert world.all_payments.likes_asked[0]["attempt_state"] is AttemptState.UNKNOWN
    (attempt,) = seen["attempts"]
    assert (attempt["psp_key"], attempt["request_id"], attempt["raw"], attempt["looks"]) == (life.attempt.psp_key, "req_1", "<html>", 0)


async def test_the_next_step_of_what_is_on_the_wire() -> None:
    world = World()
    seen = await page(world, world.has(Life().created().sent()))
    assert seen["next"]["text"] == "stripe's answer to the authorisation is given up"
    assert seen["why"]["headline"] == "Why pending"


async def test_a_held_payment_says_by_whom_and_why() -> None:
    world = World()
    hold = Hold(reason="its actor kept failing", since=START, by="system")
    life = world.has(Life().created().sent().lost().tell(Name.HELD, State.OUTCOME_UNKNOWN, e.HoldSet(hold=hold)))
    seen = await page(world, life)
    assert seen["held"] == {"reason": "its actor kept failing", "since": "2026-03-01T12:00:00.000Z", "by": "system"}
    assert seen["why"]["headline"] == "Why held"
    assert "Nothing happens to it until it is released" in seen["why"]["text"]
    assert seen["next"]["at"] is None


async def test_every_act_on_payments_is_shown_with_its_reason() -> None:
    world = World()
    life = world.has(Life().created().sent().lost())
    world.all_payments.options = [
        ActionOption(action=ActName.PAYMENT_RESYNC, why_not=None, people=1),
        ActionOption(action=ActName.PAYMENT_RESOLVE, why_not="The search is still going on.", people=2, targets=("CAPTURED",)),
    ]
    world.all_payments.acts = [an_act("act_1", ActName.PAYMENT_RESYNC, "running")]
    shown = {one["action"]: one for one in (await page(world, life))["actions"]}
    assert set(shown) == {name.value for name in ActName if KINDS[name].subject == "payment"}
    assert (shown["payment.resync"]["allowed"], shown["payment.resync"]["open_action"]) == (True, "act_1")
    assert (shown["payment.resolve"]["why_not"], shown["payment.resolve"]["people"]) == ("The search is still going on.", 2)
    assert shown["payment.refund"]["allowed"] is False


def an_act(act_id: str, name: ActName, state: str) -> dict[str, Any]:
    who = {"name": "ana", "person": "Ana"}
    return {
        "id": act_id, "action": name.value, "verb": KINDS[name].verb, "state": state, "people": 1, "break_glass": False,
        "reason": "INC-1", "requested_by": who, "requested_at": "2026-03-01T12:05:00.000Z", "decided_by": None, "decision": None,
    }  # fmt: skip


def test_why_is_total_over_the_states() -> None:
    assert set(_WHY) == set(State)


@pytest.mark.parametrize(
    ("life", "headline"),
    [
        (Life().created(), "Why waiting"),
        (Life().created().sent().wants_action(), "Why waiting"),
        (Life().created().sent().declined(), "Why failed"),
        (Life().created().tell(Name.MERCHANT_CANCELED, State.CANCELED, e.Ending()), "Why canceled"),
        (Life().created().sent().authorized(), None),
        (Life().created().sent().charged(), None),
    ],
)
async def test_each_state_has_its_reason(life: Life, headline: str | None) -> None:
    world = World()
    why = (await page(world, world.has(life)))["why"]
    assert (None if why is None else why["headline"]) == headline


async def test_a_review_says_what_led_to_it() -> None:
    world = World()
    life = Life().created().sent().lost()
    change = e.AttemptChange(attempt_id=life.attempt.id, state=AttemptState.UNKNOWN, reason="the time that the search has is over")
    world.has(life.tell(Name.SYNC_BUDGET_EXHAUSTED, State.MANUAL_REVIEW, change))
    why = (await page(world, life))["why"]
    assert why["headline"] == "Why in review"
    assert "the time that the search has is over" in why["text"]


# --- what is not shown --------------------------------------------------------------------------------------------------------------------


async def test_no_token_and_nothing_of_the_shopper_is_on_any_page() -> None:
    world = World()
    intent = an_intent(
        method=a_method(fingerprint="fp_secret", tokens={"stripe": "tok_visa_secret"}),
        customer=Customer(reference="c-77", country="DE", email="shopper@secret.example"),
        return_url="https://shop.example/secret-return",
        connector_options={"stripe": {"statement": "secret-option"}},
    )
    life = world.has(Life(intent=intent).created().sent().charged())
    for more in ("", "/timeline", "/routing"):
        text = msgspec.json.encode(await page(world, life, more)).decode()
        for secret in ("tok_visa_secret", "fp_secret", "shopper@secret", "secret-option"):
            assert secret not in text


def test_a_call_shows_amounts_and_our_references_and_nothing_else() -> None:
    form = PreparedCall(
        method="POST",
        path="/v1/payment_intents?expand=latest",
        content_type="application/x-www-form-urlencoded",
        body="amount=1999&currency=eur&payment_method=pm_secret&metadata[payorch_attempt]=att_1&receipt_email=a%40b.example&card[number]=42",
    )
    assert shown_call(form) == {
        "method": "POST", "path": f"/v1/payment_intents?expand={REMOVED}", "content_type": "application/x-www-form-urlencoded",
        "body": f"amount=1999&currency=eur&payment_method={REMOVED}&metadata[payorch_attempt]=att_1&receipt_email={REMOVED}"
                f"&card[number]={REMOVED}",
    }  # fmt: skip
    told = {"amount": {"value": 1999, "currency": "EUR"}, "reference": "att_1", "paymentMethod": {"type": "scheme", "id": "secret"},
            "shopperEmail": "secret", "list": [{"value": 1}, "secret"], "manualCapture": True}  # fmt: skip
    body = shown_call(
        PreparedCall(method="POST", path="/payments", content_type="application/json", body=msgspec.json.encode(told).decode())
    )
    shown = msgspec.json.decode(str(body["body"]))
    assert shown["amount"] == {"value": 1999, "currency": "EUR"}
    assert (shown["reference"], shown["paymentMethod"]) == ("att_1", {"type": "scheme", "id": REMOVED})
    assert (shown["shopperEmail"], shown["list"], shown["manualCapture"]) == (REMOVED, [{"value": 1}, REMOVED], True)
    assert shown_call(PreparedCall(method="POST", path="/x", body="not json: secret"))["body"] == REMOVED
    assert shown_call(PreparedCall(method="POST", path="/x", body=""))["body"] == ""


def test_a_record_shows_its_decision_and_no_card() -> None:
    life = Life(intent=an_intent(customer=Customer(reference="c-1", email="secret@x.example"))).created().sent()
    for event in life.events:
        text = msgspec.json.encode(shown_record(msgspec.json.decode(e.encode(event)))).decode()
        assert "tok_visa_secret" not in text
        assert "secret@x" not in text
    first = shown_record(msgspec.json.decode(e.encode(life.events[0])))["data"]["intent"]
    assert (first["method"]["last4"], first["customer"]["reference"], first["method"]["token"]) == ("4242", "c-1", REMOVED)


# --- the lane ---------------------------------------------------------------------------------------------------------------------------


async def test_one_lane_of_everything_by_time() -> None:
    world = World()
    life = world.has(Life().created().sent().charged())
    captured_in_books(world, life)
    world.notices = [
        StoredNotice(
            id=new_id("ntc"), connector="stripe", identity="evt_9", kind="charge.succeeded", content=b"", refers=Refers(),
            occurred_at=START + timedelta(seconds=1), received_at=START + timedelta(seconds=90), state=NoticeState.APPLIED, tries=1,
            next_try_at=None, payment_id=life.payment_id, outcome="no_news", settled_at=START,
        )
    ]  # fmt: skip
    world.all_payments.deliveries = [
        Delivery(
            payment_id=life.payment_id, event_id=new_id("evt"), endpoint_id=new_id("whe"), merchant_id=MERCHANT, type="payment.succeeded",
            state=DeliveryState.DEAD, created_at=START, attempts=10, last_attempt_at=START + timedelta(days=3), last_status=500,
        )
    ]  # fmt: skip
    world.all_payments.acts = [an_act("act_1", ActName.PAYMENT_REFUND, "proposed")]
    seen = await page(world, life, "/timeline")
    check(seen, "PaymentLane")
    rows = seen["data"]
    assert [one["at"] for one in rows] == sorted(one["at"] for one in rows)
    by_event = {one["event"]: one for one in rows}
    assert {one["source"] for one in rows} == {"api", "router", "psp", "webhook", "ledger", "recon", "people", "system"}
    notice = by_event["NoticeReceived"]
    assert (notice["at"], notice["received_at"]) == ("2026-03-01T12:00:01.000Z", "2026-03-01T12:01:30.000Z")
    assert notice["details"]["signature"] == "valid"
    assert (by_event["Delivery"]["tone"], by_event["Delivery"]["problem"]) == ("bad", True)
    assert (by_event["payment.refund"]["who"], by_event["payment.refund"]["source"]) == ("ana", "people")
    charged = by_event["ProviderCharged"]
    assert (charged["source"], charged["who"], charged["latency_ms"], charged["attempt_id"]) == ("psp", "stripe", 31, life.attempt.id)
    assert (charged["sequence"], charged["details"]["to"], by_event["Routed"]["source"]) == (5, "CAPTURED", "router")


async def test_a_notice_of_the_same_second_stands_where_it_came_in() -> None:
    world = World()
    life = world.has(Life().created().sent().charged())
    world.notices = [
        StoredNotice(
            id=new_id("ntc"), connector="stripe", identity="evt_9", kind="charge.succeeded", content=b"", refers=Refers(),
            occurred_at=START, received_at=START + timedelta(seconds=1), state=NoticeState.APPLIED, tries=1, next_try_at=None,
            payment_id=life.payment_id, outcome="implied", settled_at=START,
        )
    ]  # fmt: skip
    (*_, last) = (await page(world, life, "/timeline"))["data"]
    assert (last["event"], last["at"], last["received_at"]) == ("NoticeReceived", "2026-03-01T12:00:01.000Z", None)


async def test_a_lookup_is_the_pollers_and_a_late_webhook_is_marked() -> None:
    world = World()
    life = Life().created().sent().lost()
    life.at += timedelta(minutes=5)
    for source in (Source.INQUIRY, Source.WEBHOOK):
        evidence = Evidence(source=source, finding=Approved(), at=START, psp_reference="pi_1")
        change = e.AttemptChange(attempt_id=life.attempt.id, state=AttemptState.UNKNOWN, evidence=evidence)
        life.tell(Name.EVIDENCE_RECORDED, State.OUTCOME_UNKNOWN, change, "psp:stripe")
    rows = (await page(world, world.has(life), "/timeline"))["data"]
    told = [(one["source"], one["at"], one["received_at"]) for one in rows if one["event"] == "EvidenceRecorded"]
    assert ("poller", "2026-03-01T12:05:00.035Z", None) in told
    assert [one for one in told if one[0] == "webhook"] == [("webhook", "2026-03-01T12:00:00.000Z", "2026-03-01T12:05:00.042Z")]


async def test_how_it_was_routed() -> None:
    world = World()
    seen = await page(world, world.has(Life().created().sent("adyen")), "/routing")
    check(seen, "PaymentRouting")
    (choice,) = seen["data"]
    assert choice["chosen"] in choice["order"]
    assert any("is left out" in one for one in choice["reasons"]) == bool(choice["excluded"])
