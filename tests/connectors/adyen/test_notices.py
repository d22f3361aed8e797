"""Which notices are in a delivery, and under which identity and references each is stored."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.adyen import connector
from connectors.contract import Forged
from tests.connectors.adyen import adyen_cases as cases


def test_an_authorisation() -> None:
    notice = cases.noticed(cases.item("AUTHORISATION"))
    assert notice.kind == "AUTHORISATION"
    assert notice.identity == f"{cases.ACCOUNT}:AUTHORISATION:{cases.PSP_REFERENCE}:true"
    assert notice.psp_references == (cases.PSP_REFERENCE,)
    assert notice.our_references == (cases.ATTEMPT_ID,)
    assert notice.occurred_at == datetime(2026, 11, 29, 12, 0, 1, tzinfo=UTC)
    assert (notice.relevant, notice.problem) == (True, None)


def test_a_modification_is_found_by_its_payment_first() -> None:
    notice = cases.noticed(cases.modified("CAPTURE", cases.CAPTURE_ID, success=False))
    assert notice.identity == f"{cases.ACCOUNT}:CAPTURE:{cases.MODIFICATION}:false:{cases.PSP_REFERENCE}"
    assert notice.psp_references == (cases.PSP_REFERENCE, cases.MODIFICATION)
    assert notice.our_references == (cases.CAPTURE_ID,)


def test_a_success_and_its_opposite_are_two_events() -> None:
    both = [cases.noticed(cases.item("AUTHORISATION", success=success)).identity for success in (True, False)]
    assert len(set(both)) == 2
    again = cases.item("AUTHORISATION", eventDate="2027-01-01T00:00:00Z", reason="other", additionalData={})
    assert cases.noticed(again).identity == both[0]


def test_each_item_of_a_delivery_is_a_notice_with_its_own_bytes() -> None:
    first, second = cases.signed(cases.item("AUTHORISATION")), cases.signed(cases.modified("REFUND", cases.REFUND_ID))
    found = cases.receive(cases.wrapped(first, second))
    assert not isinstance(found, Forged)
    assert [notice.kind for notice in found] == ["AUTHORISATION", "REFUND"]
    assert [json.loads(notice.content) for notice in found] == [first, second]


@pytest.mark.parametrize("reference", ["order-1", "pay_01kavq7c1zf90b3n7d5pchmsj8", "att_1", "", "att_01kavq7c1zf90b3n7d5pchmsj9x"])
def test_references_that_cannot_be_ours_are_not_looked_for(reference: str) -> None:
    assert cases.noticed(cases.item("AUTHORISATION", merchantReference=reference)).our_references == ()


@pytest.mark.parametrize("event", ["REPORT_AVAILABLE", "RECURRING_CONTRACT", "PAYOUT_EXPIRE", "MANUAL_REVIEW_REJECT", "ORDER_CLOSED"])
def test_what_no_payment_keeps(event: str) -> None:
    notice = cases.noticed(cases.item(event, pspReference="settlement_detail_report_batch_3.csv", merchantReference="report"))
    assert (notice.relevant, notice.problem, notice.psp_references) == (False, None, ())


@pytest.mark.parametrize(
    ("event", "changes"),
    [
        ("AUTHORISATION_ADJUSTMENT", {}),
        ("REFUND_WITH_DATA", {}),
        ("VOID_PENDING_REFUND", {}),
        ("NEWER_THAN_US", {}),
        ("CAPTURE", {"amount": {"currency": "MGA", "value": 5}}),
        ("CHARGEBACK", {"amount": {"currency": "EUR", "value": -5}}),
    ],
)
def test_what_may_be_about_money_and_is_not_understood_is_for_people(event: str, changes: dict[str, Any]) -> None:
    notice = cases.noticed(cases.item(event, **changes))
    assert notice.relevant
    assert notice.problem


def test_people_see_what_is_listed() -> None:
    extra = {"chargebackReasonCode": "10.4", "cardHolderName": "PLANTED", "shopperEmail": "PLANTED@example.com", "hmacSignature": "PLANTED"}
    content = cases.noticed(cases.item("CHARGEBACK", additionalData=extra, reason="PLANTED")).content
    shown = connector.shown(content)
    assert "PLANTED" not in shown
    assert json.loads(shown)["item"]["additionalData"] == {"chargebackReasonCode": "10.4"}
    assert json.loads(shown)["item"]["amount"] == {"currency": "EUR", "value": 1999}
    assert json.loads(connector.shown(b"\xff"))["item"] == {"undecodable_bytes": 1}
