"""The tables of codes: each published one has a class, the strictest meaning counts, and what sounds like a duplicate is looked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.paypal.declines import (
    ADVICE_CODES,
    DECLINES,
    DEPENDS_ON_THE_STATE,
    OPERATION_REFUSALS,
    PROCESSOR_CODES,
    REFUSALS,
    WORDS,
    Codes,
    classify,
    exists_already,
    failure,
)
from payorch.domain.outcome import POLICY, ErrorClass
from tests.connectors.paypal.published import needs_published, published

E = ErrorClass


@pytest.mark.parametrize(
    ("codes", "error_class"),
    [
        (Codes(response_code="0500"), E.SOFT_TRY_OTHER),
        (Codes(response_code="5120"), E.SOFT_RETRY_LATER),
        (Codes(response_code="5400"), E.FIX_DATA),
        (Codes(response_code="9500"), E.FRAUD_BLOCKED),
        (Codes(response_code="9520"), E.HARD_DECLINE),
        (Codes(response_code="00N7"), E.FIX_DATA),
        (Codes(response_code="5650"), E.AUTHENTICATION_REQUIRED),
        (Codes(response_code="5200"), E.DUPLICATE_AT_PSP),
        (Codes(response_code="9999"), E.SOFT_TRY_OTHER),
        (Codes(), E.SOFT_TRY_OTHER),
        (Codes(code="INSTRUMENT_DECLINED"), E.SOFT_TRY_OTHER),
        (Codes(code="TRANSACTION_REFUSED"), E.FRAUD_BLOCKED),
        (Codes(reason="VERIFICATION_REQUIRED"), E.CONFIGURATION),
        # An advice makes nothing milder, and only it can make some things worse.
        (Codes(response_code="9520", advice_code="02"), E.HARD_DECLINE),
        (Codes(response_code="0500", advice_code="03"), E.HARD_DECLINE),
        (Codes(response_code="0500", advice_code="02"), E.SOFT_RETRY_LATER),
        (Codes(response_code="0500", advice_code="21"), E.HARD_DECLINE),
    ],
)
def test_the_strictest_meaning_counts(codes: Codes, error_class: ErrorClass) -> None:
    assert classify(codes) is error_class


@pytest.mark.parametrize(
    ("issue", "exists"),
    [
        ("DUPLICATE_INVOICE_ID", True),
        ("ORDER_ALREADY_CAPTURED", True),
        ("PREVIOUS_REQUEST_IN_PROGRESS", True),
        ("SOMETHING_NEW_ALREADY_DONE", True),
        ("ANOTHER_CONFLICT", True),
        ("AGREEMENT_ALREADY_CANCELLED", False),  # known, and a decline
        ("PREVIOUSLY_VOIDED", False),  # known, and what a void wanted
        ("INSTRUMENT_DECLINED", False),
        ("SOMETHING_NEW", False),
    ],
)
def test_what_sounds_like_done_before_is_looked_for(issue: str, exists: bool) -> None:
    assert exists_already(issue) is exists


def test_every_class_given_has_words_and_a_policy() -> None:
    given = {*PROCESSOR_CODES.values(), *ADVICE_CODES.values(), *DECLINES.values(), *REFUSALS.values(), *OPERATION_REFUSALS.values()}
    assert given <= set(WORDS)
    assert set(WORDS) <= set(POLICY)
    assert set(OPERATION_REFUSALS) >= DEPENDS_ON_THE_STATE


def test_a_failure_has_three_layers() -> None:
    said = failure(E.HARD_DECLINE, Codes(response_code="9520", advice_code="03", scheme="visa"), message="No.", http_status=201)
    assert said.code == "card_refused"
    assert said.network is not None
    assert said.connector is not None
    assert (said.network.scheme, said.network.decline_code, said.network.advice_code) == ("visa", "9520", "03")
    assert (said.connector.code, said.connector.message, said.connector.http_status) == (None, "No.", 201)
    assert failure(E.SOFT_TRY_OTHER, Codes(code="INSTRUMENT_DECLINED"), message=None, http_status=422).network is None


@needs_published
def test_the_tables_have_only_codes_that_paypal_has() -> None:
    schemas: dict[str, Any] = published("payments_payment_v2")["components"]["schemas"]
    codes = set(schemas["processor_response"]["properties"]["response_code"]["enum"])
    assert set(PROCESSOR_CODES) <= codes
    assert set(ADVICE_CODES) == set(schemas["processor_response"]["properties"]["payment_advice_code"]["enum"])
    texts = [json.dumps(published(name)) for name in ("payments_payment_v2", "checkout_orders_v2")]
    strangers = {issue for issue in {*DECLINES, *OPERATION_REFUSALS, *REFUSALS} if not any(f'"{issue}"' in text for text in texts)}
    assert strangers == {"RATE_LIMIT_REACHED"}
