"""Which deliveries are believed to be PayPal's: those that it signed for one of our webhooks, and no other, however little was changed."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from zlib import crc32

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import Delivery, Forged, Notice
from connectors.paypal import connector
from connectors.paypal.dialect import PaypalDialect
from connectors.simulator.dialect import Settings
from payorch.simulator_identity import mint
from tests.connectors.paypal import paypal_cases as cases
from tests.connectors.paypal import paypal_webhooks as told
from tests.connectors.paypal.paypal_webhooks import WEBHOOK_ID, certificates, delivery

BODY = told.content("PAYMENT.CAPTURE.COMPLETED", told.told_capture())


def received(
    one: Delivery, *, secrets: tuple[str, ...] = (WEBHOOK_ID,), chain: tuple[bytes, ...] | None = None, at: datetime = cases.NOW
) -> tuple[Notice, ...] | Forged:
    return connector.receive(one, secrets=secrets, at=at, certificates=certificates() if chain is None else chain)


def refused(one: Delivery, **more: object) -> str:
    answer = received(one, **more)  # type: ignore[arg-type]
    assert isinstance(answer, Forged)
    return answer.reason


def test_what_paypal_signed_is_believed() -> None:
    answer = received(delivery(BODY))
    assert isinstance(answer, tuple)
    assert (answer[0].identity, answer[0].kind) == (told.EVENT_ID, "PAYMENT.CAPTURE.COMPLETED")
    assert connector.certificate_wanted(delivery(BODY)) == told.CERTIFICATE_URL


def test_while_one_webhook_replaces_another_both_are_valid() -> None:
    assert isinstance(received(delivery(BODY), secrets=("NEWWEBHOOK", WEBHOOK_ID)), tuple)
    assert "fits none" in refused(delivery(BODY), secrets=("NEWWEBHOOK", "OLDERWEBHOOK"))


@pytest.mark.parametrize("secrets", [(), ("",), (" ", "")])
def test_without_a_webhook_id_nothing_is_believed(secrets: tuple[str, ...]) -> None:
    assert "no webhook id" in refused(delivery(BODY), secrets=secrets)


def test_every_byte_counts() -> None:
    for place in range(0, len(BODY), 7):
        other = BODY[:place] + bytes([BODY[place] ^ 1]) + BODY[place + 1 :]
        assert "fits none" in refused(Delivery(headers=delivery(BODY).headers, body=other))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"paypal_auth_algo": "SHA1withRSA"}, "algorithm"),
        ({"paypal_auth_algo": "none"}, "algorithm"),
        ({"paypal_transmission_id": "another"}, "fits none"),
        ({"paypal_transmission_id": "a|b"}, "cannot be read"),
        ({"paypal_transmission_id": ""}, "cannot be read"),
        ({"paypal_transmission_time": "2026-11-23T12:00:01Z"}, "fits none"),
        ({"paypal_transmission_time": "yesterday"}, "cannot be read"),
        ({"paypal_transmission_sig": "!"}, "cannot be read"),
        ({"paypal_transmission_sig": ""}, "fits none"),
        ({"paypal_transmission_sig": "AAAA"}, "fits none"),
        ({"paypal_transmission_sig": "A" * 2000}, "cannot be read"),
        ({"webhook_id": "ANOTHERWEBHOOK"}, "fits none"),
    ],
)
def test_every_header_counts(changes: dict[str, str], words: str) -> None:
    assert words in refused(delivery(BODY, **changes))


@pytest.mark.parametrize("name", ["paypal-auth-algo", "paypal-transmission-id", "paypal-transmission-time", "paypal-transmission-sig"])
def test_each_header_is_there_once(name: str) -> None:
    named = list(delivery(BODY).headers)
    without = tuple(pair for pair in named if pair[0] != name)
    assert "missing" in refused(Delivery(headers=without, body=BODY))
    twice = (*named, next(pair for pair in named if pair[0] == name))
    assert "two of it" in refused(Delivery(headers=twice, body=BODY))


def test_parts_cannot_be_shifted_between_headers() -> None:
    """`|` parts what is signed, so that no header may hold one."""
    good = told.headers(BODY)
    moved = told.signature_of(f"a|{good['paypal-transmission-time']}|x|{good['paypal-transmission-time']}|{WEBHOOK_ID}|{crc32(BODY)}")
    changes = {"paypal_transmission_id": f"a|{good['paypal-transmission-time']}|x", "paypal_transmission_sig": moved}
    assert "cannot be read" in refused(delivery(BODY, **changes))


@pytest.mark.parametrize(("away", "believed"), [(timedelta(days=3, hours=20), True), (timedelta(days=4, seconds=1), False)])
def test_what_is_older_than_its_repeats_is_played_back(away: timedelta, believed: bool) -> None:
    for at in (cases.NOW + away, cases.NOW - away):
        assert isinstance(received(delivery(BODY), at=at), tuple) is believed


# --- certificates -------------------------------------------------------------------------------------------------------------------------


def _self_signed(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    valid = made.not_valid_before(cases.NOW - timedelta(days=1)).not_valid_after(cases.NOW + timedelta(days=1))
    return valid.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_only_the_key_of_the_first_certificate_counts() -> None:
    own, above = certificates()
    assert isinstance(received(delivery(BODY), chain=(own,)), tuple)
    assert "no certificate" in refused(delivery(BODY), chain=(above, own))  # an authority's key of another kind
    stranger = x509.load_pem_x509_certificates(mint(cases.NOW).certificates)[0].public_bytes(Encoding.DER)
    assert "fits none" in refused(delivery(BODY), chain=(stranger, own))


@pytest.mark.parametrize("chain", [(), (b"",), (b"nonsense",), (b"0" * 5000,)])
def test_without_a_certificate_nothing_is_believed(chain: tuple[bytes, ...]) -> None:
    assert "no certificate" in refused(delivery(BODY), chain=chain)


def test_a_key_that_is_too_short_or_of_another_kind_signs_nothing() -> None:
    for key in (rsa.generate_private_key(public_exponent=65537, key_size=1024), ec.generate_private_key(ec.SECP256R1())):
        assert "no certificate" in refused(delivery(BODY), chain=(_self_signed(key),))


@pytest.mark.parametrize("address", ["", "ftp://x/y", "https://x y", "https://" + "x" * 600, "\x00"])
def test_what_is_no_address_is_not_fetched(address: str) -> None:
    assert connector.certificate_wanted(delivery(BODY, paypal_cert_url=address)) is None


def test_an_address_is_named_once() -> None:
    headers = (("paypal-cert-url", told.CERTIFICATE_URL), ("paypal-cert-url", "https://evil.example/"))
    assert connector.certificate_wanted(Delivery(headers=headers, body=b"")) is None
    assert connector.certificate_wanted(Delivery(headers=(), body=b"")) is None


@settings(max_examples=50)
@given(st.binary(max_size=100), st.dictionaries(st.sampled_from(sorted(told.headers(b""))), st.text(max_size=50)))
def test_nothing_makes_it_raise(body: bytes, changes: dict[str, str]) -> None:
    one = Delivery(headers=tuple((told.headers(BODY) | changes).items()), body=body)
    assert isinstance(received(one), Forged)
    connector.certificate_wanted(one)


# --- the other half -----------------------------------------------------------------------------------------------------------------------


def test_what_the_simulator_signs_is_believed() -> None:
    """Both halves put together what is signed by themselves, over a body whose CRC32 begins with a zero bit or not."""
    made = told.identity()
    dialect = PaypalDialect(Settings(base_url="https://simulator.example", signing_key=made.key, certificates=made.certificates))
    for number in range(20):
        body = BODY + b" " * number
        sent = Delivery(headers=dialect.webhook_headers(body, secret=WEBHOOK_ID, at=cases.NOW), body=body)
        assert isinstance(received(sent), tuple)
        assert "fits none" in refused(sent, secrets=("ANOTHER",))
        wanted = connector.certificate_wanted(sent)
        assert wanted is not None
        assert wanted.startswith("https://simulator.example/v1/notifications/certs/CERT-")


def test_a_simulator_without_a_key_says_so() -> None:
    with pytest.raises(ValueError, match="signing_key"):
        PaypalDialect(Settings(base_url="https://simulator.example")).webhook_headers(BODY, secret=WEBHOOK_ID, at=cases.NOW)


def test_the_signature_is_over_a_crc_and_nothing_better() -> None:
    """Why so little that a webhook says is believed: another body with the same CRC32 has the same signature."""
    forged = _with_crc(b'{"id":"WH-FORGED"', crc32(BODY))
    assert forged != BODY
    assert crc32(forged) == crc32(BODY)
    assert isinstance(received(Delivery(headers=delivery(BODY).headers, body=forged)), tuple)
    assert base64.b64decode(told.headers(BODY)["paypal-transmission-sig"])


def _with_crc(beginning: bytes, wanted: int) -> bytes:
    """That text with four bytes behind it which give it the CRC32: the table is undone from the wanted end."""
    table = [_entry(byte) for byte in range(256)]
    top = {entry >> 24: place for place, entry in enumerate(table)}
    places, state = [], wanted ^ 0xFFFFFFFF
    for _ in range(4):
        place = top[state >> 24]
        places.append(place)
        state = ((state ^ table[place]) << 8) & 0xFFFFFFFF
    register, added = crc32(beginning) ^ 0xFFFFFFFF, bytearray()
    for place in reversed(places):
        added.append((register & 0xFF) ^ place)
        register = (register >> 8) ^ table[place]
    return beginning + bytes(added)


def _entry(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (0xEDB88320 if byte & 1 else 0)
    return byte
