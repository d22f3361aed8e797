"""The notice that is stored of an event: whose it is, once, and what people may see of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import Notice
from connectors.paypal import connector, notices
from payorch.domain.identifiers import of_name
from payorch.domain.records import OperationKind
from tests.connectors.paypal import paypal_cases as cases
from tests.connectors.paypal import paypal_webhooks as told
from tests.connectors.paypal.paypal_webhooks import content

CAPTURE_OP, REFUND_OP = cases.operation(OperationKind.CAPTURE).id, cases.operation(OperationKind.REFUND).id


def notice(body: bytes) -> Notice:
    answer = connector.receive(told.delivery(body), secrets=(told.WEBHOOK_ID,), at=cases.NOW, certificates=told.certificates())
    assert isinstance(answer, tuple)
    [one] = answer
    return one


@pytest.mark.parametrize(
    ("kind", "resource", "theirs", "ours"),
    [
        ("CHECKOUT.ORDER.APPROVED", cases.shown_order("APPROVED"), (cases.ORDER_ID,), (cases.ATTEMPT_ID,)),
        ("CHECKOUT.ORDER.COMPLETED", cases.shown_order("COMPLETED"), (cases.ORDER_ID,), (cases.ATTEMPT_ID,)),
        ("CHECKOUT.PAYMENT-APPROVAL.REVERSED", {"order_id": cases.ORDER_ID}, (cases.ORDER_ID,), ()),
        (
            "PAYMENT.AUTHORIZATION.CREATED", told.told_authorization(), (cases.ORDER_ID, cases.AUTHORIZATION_ID), (cases.ATTEMPT_ID,),
        ),
        ("PAYMENT.AUTHORIZATION.VOIDED", cases.authorization("VOIDED"), (cases.AUTHORIZATION_ID,), (cases.ATTEMPT_ID,)),
        (
            "PAYMENT.CAPTURE.COMPLETED", told.told_capture(), (cases.CAPTURE_ID, cases.AUTHORIZATION_ID, cases.ORDER_ID),
            (cases.ATTEMPT_ID, CAPTURE_OP),
        ),
        ("PAYMENT.CAPTURE.REFUNDED", cases.refund(), (cases.REFUND_ID, cases.CAPTURE_ID), (REFUND_OP,)),
        ("PAYMENT.REFUND.FAILED", cases.refund("FAILED"), (cases.REFUND_ID, cases.CAPTURE_ID), (REFUND_OP,)),
        ("CUSTOMER.DISPUTE.CREATED", told.dispute(), (cases.CAPTURE_ID, "PP-R-NMW-10106"), (cases.ATTEMPT_ID,)),
    ],
)  # fmt: skip
def test_whose_it_is(kind: str, resource: dict[str, Any], theirs: tuple[str, ...], ours: tuple[str, ...]) -> None:
    one = notice(content(kind, resource))
    assert (one.kind, one.identity, one.relevant, one.problem) == (kind, told.EVENT_ID, True, None)
    assert (one.psp_references, one.our_references) == (theirs, ours)
    assert one.occurred_at == cases.NOW
    assert one.content == content(kind, resource)


@pytest.mark.parametrize("kind", ["BILLING.SUBSCRIPTION.CREATED", "INVOICING.INVOICE.PAID", "VAULT.PAYMENT-TOKEN.CREATED"])
def test_what_no_payment_keeps_is_marked(kind: str) -> None:
    assert not notice(content(kind, {"id": "x"})).relevant


@pytest.mark.parametrize(
    ("kind", "resource"),
    [
        ("CHECKOUT.ORDER.APPROVED", {}),
        ("PAYMENT.CAPTURE.COMPLETED", {"id": cases.CAPTURE_ID}),
        ("PAYMENT.AUTHORIZATION.CREATED", {"status": "CREATED"}),
        ("PAYMENT.REFUND.FAILED", {}),
        ("CUSTOMER.DISPUTE.CREATED", told.dispute(dispute_amount=None)),
        ("CUSTOMER.DISPUTE.CREATED", told.dispute(status="SOMETHING_NEW")),
        ("CUSTOMER.DISPUTE.CREATED", told.dispute(dispute_life_cycle_stage="SOMETHING_NEW")),
        ("CUSTOMER.DISPUTE.RESOLVED", told.dispute(status="RESOLVED")),
    ],
)
def test_what_cannot_be_understood_is_for_people(kind: str, resource: dict[str, Any]) -> None:
    one = notice(content(kind, resource))
    assert one.relevant
    assert one.problem is not None
    assert (one.psp_references, one.our_references) == ((), ())


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"id":"WH-1"}', b'{"event_type":"PAYMENT.CAPTURE.COMPLETED","id":"WH-1"}'])
def test_what_is_no_event_is_kept_with_its_problem(body: bytes) -> None:
    one = notice(body)
    assert one.problem is not None
    assert one.identity == ("WH-1" if b"WH-1" in body else None)
    json.loads(connector.shown(body))


@pytest.mark.parametrize("reference", [f"ord_{cases.ATTEMPT_ID[4:]}", "order-5", "att_short", 5, None, of_name("mer", "x")])
def test_only_what_can_be_an_id_of_ours_is_looked_for(reference: object) -> None:
    body = content("PAYMENT.CAPTURE.COMPLETED", told.told_capture(custom_id=reference, invoice_id=reference))
    assert notice(body).our_references == ()


def test_what_people_see_is_on_the_list() -> None:
    for kind, resource in (
        ("CUSTOMER.DISPUTE.CREATED", told.dispute()),
        ("CHECKOUT.ORDER.COMPLETED", cases.shown_order(captures=[cases.capture()])),
        ("PAYMENT.CAPTURE.COMPLETED", told.told_capture(payee={"email_address": "planted@shop.example"})),
    ):
        seen = connector.shown(content(kind, resource))
        assert not [word for word in ("PLANTED", "planted", "@", "4242") if word in seen]
        shown = json.loads(seen)
        assert (shown["event"], shown["type"]) == (told.EVENT_ID, kind)
    assert (
        json.loads(connector.shown(content("CUSTOMER.DISPUTE.CREATED", told.dispute())))["resource"]["dispute_amount"]["value"] == "19.99"
    )


@given(
    st.one_of(
        st.binary(max_size=60),
        st.dictionaries(
            st.sampled_from(["id", "event_type", "resource"]),
            st.one_of(st.text(), st.dictionaries(st.sampled_from(["id", "status"]), st.text())),
        ).map(lambda one: json.dumps(one).encode()),
    )
)
def test_no_bytes_make_it_raise(body: bytes) -> None:
    assert notices.notice(body).content == body
    json.loads(connector.shown(body))
