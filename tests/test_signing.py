"""Signatures of what merchants are sent, held against the official library; and a verifier that has one answer to everything hostile."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from payorch.signing import ID, SECRET_BYTES, SIGNATURE, TIMESTAMP, TOLERANCE_SECONDS, SignatureRefused, new_secret, sign, verify

AT = datetime(2026, 11, 23, 12, 0, 0, 987_000, tzinfo=UTC)
OLD, NEW, OTHER = (new_secret(bytes([byte]) * SECRET_BYTES) for byte in (1, 2, 3))
BODY = b'{"type":"payment.succeeded","note":"caf\xc3\xa9"}'
HEADERS = sign([NEW], message_id="evt_1", at=AT, body=BODY)


@pytest.fixture(autouse=True)
def library_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The official library reads the machine's clock; here it is a second after the signing."""

    class Now(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return AT + timedelta(seconds=1)

    monkeypatch.setattr(standardwebhooks.webhooks, "datetime", Now)


def refused(headers: dict[str, str], body: bytes = BODY, *, secrets: tuple[str, ...] = (NEW,), at: datetime = AT) -> str:
    with pytest.raises(SignatureRefused) as caught:
        verify(secrets, headers=headers, body=body, at=at)
    assert caught.value.__cause__ is None
    return str(caught.value)


@given(
    entropy=st.binary(min_size=24, max_size=64),
    message_id=st.text("abcXYZ019_-", min_size=1, max_size=40),
    body=st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), st.text(st.characters(codec="utf-8"), max_size=20)),
)
def test_the_official_library_accepts_ours_and_so_do_we(entropy: bytes, message_id: str, body: dict[str, str]) -> None:
    secret, content = new_secret(entropy), json.dumps(body, ensure_ascii=False).encode()
    headers = sign([secret], message_id=message_id, at=AT, body=content)
    assert Webhook(secret).verify(content, headers) == body
    verify([secret], headers=headers, body=content, at=AT)


def test_while_secrets_are_exchanged_either_verifies() -> None:
    headers = sign([NEW, OLD], message_id="evt_1", at=AT, body=BODY)
    assert headers[SIGNATURE].count("v1,") == 2
    for secret in (NEW, OLD):
        assert Webhook(secret).verify(BODY, headers)
        verify([secret], headers=headers, body=BODY, at=AT)
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(BODY, headers)
    refused(headers, secrets=(OTHER,))
    verify([OTHER, OLD], headers=headers, body=BODY, at=AT)


def test_a_signature_known_by_heart() -> None:
    """From the specification's own examples, so that we do not only agree with ourselves."""
    headers = sign(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        at=datetime.fromtimestamp(1614265330, UTC),
        body=b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_the_zone_of_the_time_does_not_matter() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=9)))
    assert sign([NEW], message_id="evt_1", at=elsewhere, body=BODY) == HEADERS


@pytest.mark.parametrize("away_seconds", [-TOLERANCE_SECONDS, 0, TOLERANCE_SECONDS])
def test_within_the_tolerance_it_is_believed(away_seconds: int) -> None:
    verify([NEW], headers=HEADERS, body=BODY, at=AT.replace(microsecond=0) + timedelta(seconds=away_seconds))


@pytest.mark.parametrize("away_seconds", [-TOLERANCE_SECONDS - 1, TOLERANCE_SECONDS + 1, 86400])
def test_outside_it_is_played_back(away_seconds: int) -> None:
    assert "played back" in refused(HEADERS, at=AT.replace(microsecond=0) + timedelta(seconds=away_seconds))


@pytest.mark.parametrize(
    "hostile",
    [
        {SIGNATURE: "garbage"},
        {SIGNATURE: "v1,a,b"},
        {SIGNATURE: "v1"},
        {SIGNATURE: "v1,"},
        {SIGNATURE: "v1,é"},
        {SIGNATURE: "v1,\ud800"},
        {SIGNATURE: "v2," + HEADERS[SIGNATURE][3:]},
        {SIGNATURE: HEADERS[SIGNATURE].replace("v1,", "v1a,")},
        {SIGNATURE: HEADERS[SIGNATURE] + "="},
        {SIGNATURE: ""},
        {SIGNATURE: HEADERS[SIGNATURE] + " v1,x" * 10_000},
        {TIMESTAMP: "0"},
        {TIMESTAMP: "-1"},
        {TIMESTAMP: "nan"},
        {TIMESTAMP: "1e300"},
        {TIMESTAMP: HEADERS[TIMESTAMP] + ".0"},
        {TIMESTAMP: " " + HEADERS[TIMESTAMP]},
        {TIMESTAMP: "\uff11\uff17\uff19\uff15"},
        {TIMESTAMP: "9" * 5000},
        {TIMESTAMP: "99999999999"},
        {ID: ""},
        {ID: "evt_2"},
        {ID: "evt.1"},
        {ID: "evt_1\n"},
        {ID: "x" * 201},
    ],
)
def test_hostile_headers_have_one_answer(hostile: dict[str, str]) -> None:
    refused({**HEADERS, **hostile})


def test_a_good_signature_among_strange_ones_is_enough() -> None:
    strange = {**HEADERS, SIGNATURE: f"garbage  v1,a,b v1a,x {HEADERS[SIGNATURE]} é"}
    verify([NEW], headers=strange, body=BODY, at=AT)


@pytest.mark.parametrize("missing", [ID, TIMESTAMP, SIGNATURE])
def test_a_missing_header_is_refused(missing: str) -> None:
    assert "missing" in refused({name: value for name, value in HEADERS.items() if name != missing})


def test_no_secret_believes_nobody() -> None:
    refused(HEADERS, secrets=())


def test_a_body_of_other_bytes_is_refused() -> None:
    refused(HEADERS, b"\xff\xfe")
    refused(HEADERS, BODY + b" ")
    refused(HEADERS, b"")


@given(st.sampled_from([ID, TIMESTAMP, SIGNATURE, "body"]), st.integers(0, 60), st.characters(codec="utf-8"), st.booleans())
def test_nothing_changed_is_believed(what: str, place: int, character: str, inserts: bool) -> None:
    def changed(text: str) -> str:
        at = place % (len(text) + inserts)
        return text[:at] + character + text[at + (not inserts) :]

    headers = HEADERS if what == "body" else {**HEADERS, what: changed(HEADERS[what])}
    body = changed(BODY.decode()).encode() if what == "body" else BODY
    if (headers, body) == (HEADERS, BODY):
        return
    if what == SIGNATURE and HEADERS[SIGNATURE] in headers[SIGNATURE].split(" "):
        return  # a space before or behind it
    refused(headers, body)


# What we must not sign with, or for


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_c2hvcnQ=",
        NEW.removeprefix("whsec_"),
        NEW + "!",
        NEW.rstrip("="),
        "whsec_é" + NEW[7:],
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_" + base64.b64encode(bytes(23)).decode(),
    ],
)
def test_what_is_no_secret_signs_nothing_and_is_not_repeated(secret: str) -> None:
    for attempt in (
        lambda: sign([NEW, secret], message_id="evt_1", at=AT, body=BODY),
        lambda: verify([NEW, secret], headers=HEADERS, body=BODY, at=AT),
    ):
        with pytest.raises(ValueError, match="a webhook secret is") as caught:
            attempt()
        assert len(secret) < 8 or secret not in str(caught.value)


@pytest.mark.parametrize("size", [0, 23, 65])
def test_a_secret_takes_entropy_of_its_size(size: int) -> None:
    with pytest.raises(ValueError, match="24 to 64"):
        new_secret(bytes(size))


def test_what_cannot_be_signed_is_refused() -> None:
    with pytest.raises(ValueError, match="without a secret"):
        sign([], message_id="evt_1", at=AT, body=BODY)
    with pytest.raises(ValueError, match="message id"):
        sign([NEW], message_id="evt.1", at=AT, body=BODY)
    with pytest.raises(ValueError, match="no zone"):
        sign([NEW], message_id="evt_1", at=AT.replace(tzinfo=None), body=BODY)
    with pytest.raises(UnicodeDecodeError):
        sign([NEW], message_id="evt_1", at=AT, body=b"\xff")
