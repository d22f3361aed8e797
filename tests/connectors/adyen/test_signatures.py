"""That a delivery is Adyen's: its published vector, its own libraries, and every way of changing what is signed."""

from __future__ import annotations

import json
from typing import Any

import Adyen.util  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.adyen import connector
from connectors.adyen.signatures import signature, signed_text
from connectors.contract import Delivery, Forged
from tests.connectors.adyen import adyen_cases as cases

VECTOR = {
    "pspReference": "7914073381342284",
    "merchantAccountCode": "TestMerchant",
    "merchantReference": "TestPayment-1407325143704",
    "amount": {"value": 1130, "currency": "EUR"},
    "eventCode": "AUTHORISATION",
    "success": "true",
    "eventDate": "2014-08-06T17:15:34.121+02:00",
    "additionalData": {"hmacSignature": "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="},
}
"""Published by Adyen; see PSP.md 2.6."""


def believed(*items: dict[str, Any], secrets: tuple[str, ...] = (cases.KEY,)) -> bool:
    return not isinstance(cases.receive(cases.wrapped(*items), secrets=secrets), Forged)


def test_the_published_vector() -> None:
    assert signed_text(VECTOR) == "7914073381342284::TestMerchant:TestPayment-1407325143704:1130:EUR:AUTHORISATION:true"
    assert signature(signed_text(VECTOR) or "", bytes.fromhex(cases.KEY)) == "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="
    assert believed(VECTOR)
    # And Adyen's own library says the same of it.
    assert Adyen.util.is_valid_hmac_notification({"notificationItems": [{"NotificationRequestItem": VECTOR}]}, cases.KEY)


@pytest.mark.parametrize("one", [cases.item("AUTHORISATION"), cases.modified("CAPTURE", cases.CAPTURE_ID, success=False)])
def test_what_adyens_library_signs_is_believed(one: dict[str, Any]) -> None:
    assert believed(cases.signed(one))
    assert believed(cases.signed(one, cases.OLD_KEY), secrets=(cases.KEY, cases.OLD_KEY))
    assert not believed(cases.signed(one, cases.OLD_KEY))
    assert believed(cases.signed(one), secrets=(cases.KEY.lower(),))


MUTATIONS: list[dict[str, Any]] = [
    {"pspReference": "JLCMPCQ8HXSKGK83"},
    {"originalReference": "JLCMPCQ8HXSKGK82"},
    {"merchantAccountCode": "OtherECOM"},
    {"merchantReference": "att_01kavq7c1zf90b3n7d5pchmsjx"},
    {"amount": {"currency": "EUR", "value": 2000}},
    {"amount": {"currency": "USD", "value": 1999}},
    {"amount": {"currency": "EUR", "value": 1999.0}},
    {"amount": {"currency": "EUR", "value": "1999"}},
    {"amount": {"currency": "EUR"}},
    {"amount": None},
    {"eventCode": "CAPTURE"},
    {"eventCode": None},
    {"success": "false"},
    {"success": True},
    {"success": "True"},
    {"success": None},
    {"pspReference": None},
    {"pspReference": 7914073381342284},
    {"merchantReference": None},
    {"additionalData": {}},
    {"additionalData": None},
    {"additionalData": {"hmacSignature": ""}},
    {"additionalData": {"hmacSignature": 5}},
    {"additionalData": {"hmacSignature": "ä"}},
    {"additionalData": {"hmacSignature": ["x"]}},
    {"additionalData": "x"},
]


@pytest.mark.parametrize("change", MUTATIONS)
def test_nothing_that_is_signed_can_be_changed(change: dict[str, Any]) -> None:
    one = {name: value for name, value in (cases.signed(cases.item("AUTHORISATION")) | change).items() if value is not None}
    assert not believed(one)


def test_a_bit_of_the_signature() -> None:
    one = cases.signed(cases.item("AUTHORISATION"))
    good = one["additionalData"]["hmacSignature"]
    for place in range(0, len(good) - 1, 5):
        other = good[:place] + ("A" if good[place] != "A" else "B") + good[place + 1 :]
        assert not believed({**one, "additionalData": {"hmacSignature": other}})


def test_what_is_not_signed_may_be_anything() -> None:
    one = cases.signed(cases.item("AUTHORISATION"))
    changed = {**one, "reason": "x", "eventDate": "never", "operations": [], "live": "true", "unknown": {}}
    assert believed(changed)


def test_one_bad_item_spoils_the_delivery() -> None:
    good = cases.signed(cases.item("AUTHORISATION"))
    other = cases.signed(cases.modified("CAPTURE", cases.CAPTURE_ID))
    assert believed(good, other)
    unsigned = cases.modified("CAPTURE", cases.CAPTURE_ID)
    for bad in (unsigned, {**other, "success": "false"}, {**other, "additionalData": good["additionalData"]}):
        assert not believed(good, bad)
        assert not believed(bad, good)


def test_fields_cannot_be_shifted_across_a_colon() -> None:
    """Adyen escapes nothing: two items with different fields can have one signed text, and only one of them may be read."""
    one = cases.signed(cases.item("AUTHORISATION", merchantReference="a:b"))
    assert believed(one)
    shifted = {**one, "merchantAccountCode": f"{cases.ACCOUNT}:a", "merchantReference": "b"}
    text = ":".join([cases.PSP_REFERENCE, "", f"{cases.ACCOUNT}:a", "b", "1999", "EUR", "AUTHORISATION", "true"])
    assert text == signed_text(one)
    assert not believed(shifted)
    for name in ("pspReference", "originalReference", "eventCode"):
        assert not believed(cases.signed({**cases.item("CAPTURE"), name: "A:B"}))


@pytest.mark.parametrize("secrets", [(), ("",), (" ",), ("zz" * 32,), ("00",), (cases.KEY[:-1],), ("whsec_abc",)])
def test_without_a_key_that_is_one_nothing_is_believed(secrets: tuple[str, ...]) -> None:
    assert not believed(cases.signed(cases.item("AUTHORISATION")), secrets=secrets)
    empty = cases.item("AUTHORISATION")
    text = signed_text(empty) or ""
    assert not believed({**empty, "additionalData": {"hmacSignature": signature(text, b"")}}, secrets=secrets)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b'{"notificationItems":[]}', b'{"notificationItems":{}}', b'{"notificationItems":[{}]}', b"\xff\x00",
        b'{"notificationItems":[{"NotificationRequestItem":[]}]}', b'{"notificationItems":[{"NotificationRequestItem":5}]}',
        b'{"a":' * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_delivery_is_forged(body: bytes) -> None:
    assert isinstance(cases.receive(body), Forged)


def test_reasons_repeat_nothing_that_was_sent() -> None:
    for change in MUTATIONS:
        one = cases.signed(cases.item("AUTHORISATION")) | dict(change) | {"merchantReference": "PLANTED"}
        forged = cases.receive(cases.wrapped(one))
        assert isinstance(forged, Forged)
        assert "PLANTED" not in forged.reason
        assert cases.KEY not in forged.reason


@given(body=st.binary(max_size=300))
def test_no_bytes_raise(body: bytes) -> None:
    assert isinstance(cases.receive(body), Forged)
    assert isinstance(cases.receive(b'{"notificationItems":[{"NotificationRequestItem":' + body + b"}]}"), Forged)


@given(
    reference=st.text(max_size=30),
    value=st.integers(-(10**12), 10**12),
    event=st.sampled_from(["AUTHORISATION", "CAPTURE", "REPORT_AVAILABLE"]),
    success=st.booleans(),
)
def test_any_item_of_adyens_is_believed(reference: str, value: int, event: str, success: bool) -> None:
    """The simulator signs, the connector checks, Adyen's library agrees with both: they were written apart."""
    from connectors.adyen.dialect_signing import signed

    one = cases.item(event, success=success, merchantReference=reference, amount={"currency": "EUR", "value": value})
    try:
        body = signed(cases.wrapped(one), cases.KEY)
    except UnicodeEncodeError:
        return  # no Unicode: nothing that JSON can hold
    assert not isinstance(cases.receive(body), Forged)
    assert Adyen.util.is_valid_hmac_notification(json.loads(body), cases.KEY)


def test_headers_do_not_matter() -> None:
    body = cases.wrapped(cases.signed(cases.item("AUTHORISATION")))
    delivery = Delivery(headers=(("hmacsignature", "x"), ("authorization", "Basic x")), body=body)
    assert not isinstance(connector.receive(delivery, secrets=(cases.KEY,), at=cases.NOW), Forged)
    assert connector.acknowledgement.body == b"[accepted]"
    assert connector.certificate_wanted(delivery) is None
