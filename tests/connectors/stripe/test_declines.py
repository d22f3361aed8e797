"""The mapping tables: every code that Stripe publishes is classified on purpose, and the strictest word wins."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from connectors.stripe import declines
from connectors.stripe.declines import Codes, classify
from payorch.domain.outcome import POLICY, ErrorClass, Kind

E = ErrorClass


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (Codes(), E.SOFT_TRY_OTHER),
        (Codes(code="card_declined", decline_code="a_code_of_tomorrow"), E.SOFT_TRY_OTHER),
        (Codes(code="card_declined", decline_code="generic_decline"), E.SOFT_TRY_OTHER),
        (Codes(code="card_declined", decline_code="insufficient_funds"), E.SOFT_RETRY_LATER),
        (Codes(code="card_declined", decline_code="stolen_card"), E.HARD_DECLINE),
        (Codes(code="card_declined", decline_code="fraudulent"), E.FRAUD_BLOCKED),
        (Codes(code="expired_card", decline_code="expired_card"), E.FIX_DATA),
        (Codes(code="incorrect_cvc"), E.FIX_DATA),
        (Codes(code="authentication_required", decline_code="authentication_required"), E.AUTHENTICATION_REQUIRED),
        (Codes(code="processing_error"), E.SOFT_TRY_OTHER),
        # The advice sharpens a generic decline and never softens a hard one.
        (Codes(decline_code="generic_decline", advice_code="try_again_later"), E.SOFT_RETRY_LATER),
        (Codes(decline_code="generic_decline", advice_code="do_not_try_again"), E.HARD_DECLINE),
        (Codes(decline_code="generic_decline", advice_code="confirm_card_data"), E.FIX_DATA),
        (Codes(decline_code="stolen_card", advice_code="try_again_later"), E.HARD_DECLINE),
        (Codes(decline_code="generic_decline", network_advice_code="03"), E.HARD_DECLINE),
        (Codes(decline_code="do_not_honor", network_advice_code="24"), E.SOFT_RETRY_LATER),
        (Codes(decline_code="generic_decline", network_decline_code="43"), E.HARD_DECLINE),
        (Codes(decline_code="generic_decline", network_decline_code="59"), E.FRAUD_BLOCKED),
        # 65 means one thing at Visa, another at Mastercard, and nothing without the network.
        (Codes(network_decline_code="65", scheme="visa"), E.SOFT_RETRY_LATER),
        (Codes(network_decline_code="65", scheme="mastercard"), E.AUTHENTICATION_REQUIRED),
        (Codes(network_decline_code="65"), E.SOFT_TRY_OTHER),
        (Codes(network_decline_code="1A", scheme="visa"), E.AUTHENTICATION_REQUIRED),
        # Stopped by Stripe itself.
        (Codes(code="card_declined", network_status="not_sent_to_network", outcome_type="blocked"), E.FRAUD_BLOCKED),
        (Codes(code="card_declined", network_status="reversed_after_approval", outcome_type="blocked"), E.FRAUD_BLOCKED),
        (Codes(code="card_declined", network_status="not_sent_to_network", outcome_type="invalid"), E.CONFIGURATION),
        (Codes(network_status="declined_by_network", outcome_type="issuer_declined"), E.SOFT_TRY_OTHER),
        (Codes(decline_code="duplicate_transaction"), E.DUPLICATE_AT_PSP),
    ],
)
def test_what_codes_mean(codes: Codes, expected: ErrorClass) -> None:
    assert classify(codes) is expected


words = st.none() | st.sampled_from(
    sorted({*declines.DECLINE_CODES, *declines.ADVICE_CODES, *declines.MERCHANT_ADVICE_CODES, *declines.NETWORK_DECLINE_CODES, "x"})
)


@given(st.builds(Codes, code=words, decline_code=words, advice_code=words, network_decline_code=words, network_advice_code=words))
def test_a_code_more_never_opens_a_door_that_another_has_shut(codes: Codes) -> None:
    for field in ("decline_code", "advice_code", "network_decline_code", "network_advice_code"):
        alone = classify(Codes(**{field: getattr(codes, field)}))
        if alone in (E.HARD_DECLINE, E.FRAUD_BLOCKED):
            assert not POLICY[classify(codes)].try_other
            assert classify(replace(codes, code="card_declined")) in (E.HARD_DECLINE, E.FRAUD_BLOCKED, E.DUPLICATE_AT_PSP)


def test_the_tables_name_only_classes_with_words() -> None:
    tables = (declines.DECLINE_CODES, declines.ERROR_CODES, declines.REFUSALS, declines.OPERATION_REFUSALS, declines.REFUND_FAILURES)
    used = {one for table in tables for one in table.values()} | {E.UNKNOWN_OUTCOME, E.RATE_LIMITED, E.INVALID_REQUEST, E.HARD_DECLINE}
    assert used <= set(declines.WORDS)
    assert all(POLICY[one].kind is not Kind.UNKNOWN or one is E.DUPLICATE_AT_PSP for one in declines.DECLINE_CODES.values())


def test_every_error_code_of_ours_is_one_of_stripes() -> None:
    source = (Path(stripe.__file__).parent / "_payment_intent.py").read_text()
    published = set(re.findall(r'^ {20}"([a-z_]+)",$', source, re.MULTILINE))
    assert "card_declined" in published
    ours = {*declines.ERROR_CODES, *declines.REFUSALS, *declines.OPERATION_REFUSALS}
    assert ours <= published
