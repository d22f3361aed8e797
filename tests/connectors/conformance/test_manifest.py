"""What a manifest promises is possible, fits together, and is what the connector then does; and the connector has its table of settings.

Whether a promise is kept at the PSP is for the lives and the faults.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from connectors.contract import AuthorizeOrder, NotSupported, OperationOrder
from connectors.registry import CONNECTORS, needs
from connectors.simulated import SIMULATED
from payorch.domain.capability import Lookup, Manifest, MethodSupport
from payorch.domain.decide import psp_key
from payorch.domain.identifiers import of_name
from payorch.domain.intent import PaymentMethod
from payorch.domain.money import EXPONENTS, LARGEST_MINOR, Money
from payorch.domain.outcome import NextAction
from payorch.domain.payment import AttemptState, OperationState
from payorch.domain.records import Attempt, Operation, OperationKind, Origin
from payorch.sections import ConnectorSettings
from payorch.settings import load
from tests.connectors.conformance.life import EURO, wish
from tests.connectors.conformance.psp import START

HOUR, DAY = 3600, 86_400
ATTEMPT_ID = of_name("att", "any")
CARD = PaymentMethod(type="card", token="tok_visa")


def manifest_of(name: str) -> Manifest:
    return CONNECTORS[name].manifest


def methods(name: str) -> list[tuple[str, MethodSupport]]:
    return list(manifest_of(name).methods.items())


def order(method: PaymentMethod = CARD, amount: Money = EURO) -> AuthorizeOrder:
    return AuthorizeOrder(
        attempt_id=ATTEMPT_ID, payment_id=of_name("pay", "any"), intent=wish(method, amount=amount), return_url="https://pay.example/back"
    )


def attempt(name: str, **changes: object) -> Attempt:
    fresh = Attempt(
        id=ATTEMPT_ID,
        connector=name,
        state=AttemptState.SENT,
        amount=EURO,
        call=CONNECTORS[name].authorize(order()),
        psp_key=psp_key(ATTEMPT_ID, manifest_of(name)),
        psp_key_safe_until=START,
        created_at=START,
        updated_at=START,
    )
    return replace(fresh, **changes)


# --- its place in the product -----------------------------------------------------------------------------------------------------------


def test_it_has_the_name_that_it_is_registered_by_and_a_simulator(name: str) -> None:
    assert CONNECTORS[name].name == name
    assert name in SIMULATED


def test_it_has_a_table_in_the_configuration_and_settings_for_all_that_it_is_told(name: str) -> None:
    assert name in load({}).connectors
    wanted = needs(CONNECTORS)[name]
    assert set(wanted) <= set(ConnectorSettings.model_fields)
    assert "webhook_secret" in wanted
    given = {"webhook_secret": "any", **SIMULATED[name].credentials}
    assert set(wanted) <= set(given)


# --- keys and proof ---------------------------------------------------------------------------------------------------------------------


def test_its_windows_leave_time_for_proof(name: str) -> None:
    manifest = manifest_of(name)
    assert manifest.key_safe_window_seconds == 0 or HOUR <= manifest.key_safe_window_seconds <= 60 * DAY
    if manifest.lookup is Lookup.NONE:
        assert manifest.key_safe_window_seconds, "one that can neither be asked nor be sent the same again is never sure of anything"
    else:
        assert 0 <= manifest.lookup_lag_seconds <= HOUR
        # An absence counts after the window, by two looks that are this far apart.
        assert manifest.lookup_lag_seconds < max(manifest.key_safe_window_seconds, HOUR)


def test_its_keys_can_hold_what_tells_our_ids_from_each_other(name: str) -> None:
    manifest = manifest_of(name)
    assert manifest.key_max_length >= 26
    assert len(set(manifest.key_charset)) == len(manifest.key_charset)
    assert manifest.key_charset.isascii()
    assert manifest.key_charset.isprintable()
    assert not set(manifest.key_charset) & set(" ,;:\"'\\/")


def test_it_can_be_asked_exactly_where_it_says_so(name: str) -> None:
    connector, known = CONNECTORS[name], attempt(name, psp_reference="ABC123", money_reference="ABC123")
    asked = [connector.inquire(known, known), *(connector.inquire(operation(kind), known) for kind in OperationKind)]
    assert [call is not None for call in asked] == [manifest_of(name).lookup is not Lookup.NONE] * 4
    if manifest_of(name).lookup is Lookup.STRONG:
        assert connector.inquire(attempt(name), attempt(name)) is not None, "one with strong look-ups is asked by our own reference"


def operation(kind: OperationKind) -> Operation:
    return Operation(
        id=of_name("ref", kind.value),
        kind=kind,
        state=OperationState.SENT,
        origin=Origin.MERCHANT,
        attempt_id=ATTEMPT_ID,
        amount=EURO,
        created_at=START,
        updated_at=START,
    )


def test_it_has_a_fence_exactly_where_it_says_so(name: str) -> None:
    assert (CONNECTORS[name].fence(attempt(name)) is not None) == manifest_of(name).cancel_by_reference


def test_an_open_session_can_be_closed_exactly_where_it_says_so(name: str) -> None:
    action = NextAction(url="https://psp.example/challenge")
    waiting = attempt(name, state=AttemptState.ACTION_REQUIRED, action=action, psp_reference="ABC123")
    void = OperationOrder(operation_id=of_name("void", "any"), payment_id="pay_1", attempt=waiting, amount=None)
    if manifest_of(name).session_cancel:
        assert CONNECTORS[name].void(void).method == "POST"


def test_what_is_not_known_by_an_id_of_theirs_is_neither_captured_nor_voided_nor_refunded(name: str) -> None:
    connector = CONNECTORS[name]
    unknown = OperationOrder(operation_id=of_name("cap", "any"), payment_id="pay_1", attempt=attempt(name), amount=EURO)
    for build in (connector.capture, connector.void, connector.refund):
        with pytest.raises(NotSupported):
            build(unknown)


def test_its_capabilities_fit_together(name: str) -> None:
    manifest = manifest_of(name)
    assert manifest.partial_capture or not manifest.multiple_captures
    assert manifest.partial_refund or not manifest.multiple_refunds
    assert manifest.multiple_captures or not manifest.several_captures_options


# --- money ------------------------------------------------------------------------------------------------------------------------------


def test_its_methods_are_ones_that_the_merchant_can_name(name: str) -> None:
    assert set(manifest_of(name).methods) <= {"card", "paypal"}
    assert "card" in manifest_of(name).methods, "the suite pays with cards"


def test_its_currencies_and_countries_are_codes_and_its_limits_are_limits(name: str) -> None:
    manifest = manifest_of(name)
    assert "EUR" in manifest.currencies, "the suite pays in euro"
    assert manifest.currencies <= set(EXPONENTS)
    for _, support in methods(name):
        currencies = manifest.currencies if support.currencies is None else support.currencies
        assert currencies <= manifest.currencies
        assert all(len(code) == 2 and code.isupper() for code in support.countries or ())
        assert {*support.minimum_minor, *support.maximum_minor} <= currencies
        for currency in currencies:
            least, most = support.minimum_minor.get(currency, 1), support.maximum_minor.get(currency, LARGEST_MINOR)
            assert 1 <= least <= most <= LARGEST_MINOR


def test_every_amount_within_its_limits_can_be_asked_for_in_whole_units(name: str) -> None:
    """Its steps may be coarser than ours, but never coarser than a hundred of our minor units or one whole unit of the currency."""
    for method, support in methods(name):
        paid_with = PaymentMethod(type=method, token="tok_visa" if support.needs_token else None)
        for currency in support.currencies or manifest_of(name).currencies:
            step = max(100, 10 ** EXPONENTS[currency])
            least, most = support.minimum_minor.get(currency, 1), support.maximum_minor.get(currency, LARGEST_MINOR)
            for minor in (-(-least // step) * step, most // step * step):
                assert currency.lower() in CONNECTORS[name].authorize(order(paid_with, Money(minor, currency))).body.lower()


def test_no_other_amount_of_money_can_be_asked_for(name: str) -> None:
    strangers = sorted(set(EXPONENTS) - manifest_of(name).currencies)
    for amount in (Money(0, "EUR"), Money(-1, "EUR"), *(Money(10_000, currency) for currency in strangers)):
        try:
            call = CONNECTORS[name].authorize(order(amount=amount))
        except NotSupported:
            continue
        # One that it has a scale for and does not offer, say because the PSP contradicts itself about it: routing never asks.
        assert amount.minor > 0, call.path


def test_a_capture_or_refund_is_of_an_amount_above_zero(name: str) -> None:
    connector, held = CONNECTORS[name], attempt(name, psp_reference="ABC123", money_reference="ABC123")
    for amount in (None, Money(0, "EUR"), Money(-5, "EUR")):
        wrong = OperationOrder(operation_id=of_name("cap", "any"), payment_id="pay_1", attempt=held, amount=amount)
        for build in (connector.capture, connector.refund):
            with pytest.raises(NotSupported):
                build(wrong)
