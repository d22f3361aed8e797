"""Adyen's refusal reasons and the networks' advice, by class."""

from __future__ import annotations

import re

import pytest

from connectors.adyen.declines import (
    MERCHANT_ADVICE_CODES,
    NETWORK_DECLINE_CODES,
    REFUSAL_REASON_CODES,
    TABLE_VERSION,
    WORDS,
    Codes,
    classify,
    failure,
)
from payorch.domain.outcome import ErrorClass

E = ErrorClass


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("2", E.SOFT_TRY_OTHER), ("10", E.SOFT_TRY_OTHER), ("4", E.SOFT_TRY_OTHER), ("9", E.SOFT_TRY_OTHER), ("5", E.HARD_DECLINE),
        ("6", E.FIX_DATA), ("8", E.FIX_DATA), ("17", E.FIX_DATA), ("24", E.FIX_DATA), ("7", E.INVALID_REQUEST), ("11", E.FIX_DATA),
        ("12", E.SOFT_RETRY_LATER), ("14", E.FRAUD_BLOCKED), ("20", E.FRAUD_BLOCKED), ("22", E.FRAUD_BLOCKED), ("16", E.CUSTOMER_CANCELED),
        ("31", E.FRAUD_BLOCKED), ("38", E.AUTHENTICATION_REQUIRED), ("46", E.HARD_DECLINE), ("50", E.HARD_DECLINE),
        ("9999", E.SOFT_TRY_OTHER), (None, E.SOFT_TRY_OTHER),
    ],
)  # fmt: skip
def test_refusal_reasons(code: str | None, expected: ErrorClass) -> None:
    assert classify(Codes(refusal_code=code)) is expected


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (Codes(refusal_code="2", advice_code="03"), E.HARD_DECLINE),
        (Codes(refusal_code="2", advice_code="01"), E.FIX_DATA),
        (Codes(refusal_code="27", advice_code="24"), E.SOFT_RETRY_LATER),
        (Codes(refusal_code="5", advice_code="02"), E.HARD_DECLINE),  # an advice makes nothing softer
        (Codes(refusal_code="2", network_code="43"), E.HARD_DECLINE),
        (Codes(refusal_code="2", network_code="59"), E.FRAUD_BLOCKED),
        (Codes(refusal_code="20", network_code="05"), E.FRAUD_BLOCKED),
    ],
)
def test_a_schemes_word_beats_a_generic_one(codes: Codes, expected: ErrorClass) -> None:
    assert classify(codes) is expected


def test_every_class_has_words_and_every_table_a_date() -> None:
    given = {*REFUSAL_REASON_CODES.values(), *MERCHANT_ADVICE_CODES.values(), *NETWORK_DECLINE_CODES.values()}
    assert given <= set(WORDS)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", TABLE_VERSION)


def test_the_three_layers() -> None:
    codes = Codes(refusal_code="5", network_code="43", advice_code="03", scheme="mastercard")
    told = failure(classify(codes), codes, message="Blocked Card", http_status=200)
    assert (told.error_class, told.code) == (E.HARD_DECLINE, "card_refused")
    assert told.connector is not None
    assert (told.connector.code, told.connector.message, told.connector.http_status) == ("5", "Blocked Card", 200)
    assert told.network is not None
    assert (told.network.scheme, told.network.decline_code, told.network.advice_code) == ("mastercard", "43", "03")
    assert failure(E.SOFT_TRY_OTHER, Codes(refusal_code="2"), message=None, http_status=200).network is None
