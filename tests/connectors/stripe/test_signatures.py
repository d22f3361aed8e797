"""A webhook is Stripe's or it is refused: held against what Stripe's own library signs, against tables of bad headers, and against tens of
thousands of mutations of good ones. Set PROVE=1 for a hundred thousand.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import random
from collections.abc import Callable
from datetime import timedelta

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import Delivery, Forged, Notice
from connectors.stripe import connector
from connectors.stripe.signatures import TOLERANCE_SECONDS
from tests.connectors.stripe import stripe_cases as cases
from tests.connectors.stripe import stripe_webhooks as webhooks
from tests.connectors.stripe.stripe_webhooks import OLD_SECRET, SECRET, receive, signature

BODY = webhooks.encoded("payment_intent.succeeded", cases.payment_intent("succeeded"))
T = str(int(cases.NOW.timestamp()))
V1 = signature(BODY).partition("v1=")[2]
GOOD = f"t={T},v1={V1}"
MUTATIONS = 100_000 if os.environ.get("PROVE") == "1" else 20_000


def accepted(received: tuple[Notice, ...] | Forged) -> bool:
    """Whether it was taken; if not, that the reason is ours and repeats nothing that was sent."""
    if isinstance(received, Forged):
        assert 0 < len(received.reason) < 120
        assert V1 not in received.reason
        return False
    return len(received) == 1


# --- genuine ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [BODY, b"", b"{}", '{"n": "\u00e9\u4e2d\U0001f600"}'.encode(), b" " * 70_000, b"\x00"])
def test_what_stripes_own_library_signs_is_taken(body: bytes) -> None:
    assert accepted(receive(body))


def test_while_a_secret_is_rolled_either_is_enough() -> None:
    both = (SECRET, OLD_SECRET)
    assert accepted(receive(BODY, signature(BODY, OLD_SECRET), secrets=both))  # we know the new one already
    assert accepted(receive(BODY, signature(BODY, OLD_SECRET, SECRET)))  # Stripe signs with the old one still
    assert accepted(receive(BODY, signature(BODY, OLD_SECRET, "whsec_another", SECRET), secrets=both))
    assert not accepted(receive(BODY, signature(BODY, OLD_SECRET)))  # and once it is gone, it is


def test_other_schemes_are_passed_over() -> None:
    assert accepted(receive(BODY, f"t={T},v0={'0' * 64},v1={V1},v2=new=="))
    for scheme in ("v0", "v2", "V1", "v11", "none", "hmac"):
        assert not accepted(receive(BODY, f"t={T},{scheme}={V1}"))


@pytest.mark.parametrize("seconds", [-TOLERANCE_SECONDS, -1, 0, 1, TOLERANCE_SECONDS])
def test_a_clock_may_be_a_little_wrong_either_way(seconds: int) -> None:
    assert accepted(receive(BODY, GOOD, at=cases.NOW + timedelta(seconds=seconds)))


@pytest.mark.parametrize("seconds", [-TOLERANCE_SECONDS - 1, TOLERANCE_SECONDS + 1, -86_400, 86_400, 10**9, -(10**9)])
def test_neither_an_old_nor_a_future_time_is_taken(seconds: int) -> None:
    """Stripe's library takes a future one, and with it a delivery that leaked."""
    refused = receive(BODY, GOOD, at=cases.NOW + timedelta(seconds=seconds))
    assert isinstance(refused, Forged)
    assert "300 seconds" in refused.reason


# --- not genuine ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secrets", [(), ("",), ("", " ", "\t\n")])
def test_without_a_secret_nothing_is_genuine(secrets: tuple[str, ...]) -> None:
    """Also not what is signed with the empty key, as everybody can."""
    for key in {"", *secrets}:
        mine = hmac.new(key.encode(), f"{T}.".encode() + BODY, hashlib.sha256).hexdigest()
        assert receive(BODY, f"t={T},v1={mine}", secrets=secrets) == Forged(reason="no signing secret is configured")
    assert accepted(receive(BODY, secrets=(*secrets, SECRET)))


def test_one_signature_header_and_no_other() -> None:
    assert receive(BODY, GOOD, GOOD) == receive(BODY, GOOD, "t=1,v1=ab") == Forged(reason="more than one signature header")
    assert connector.receive(webhooks.delivery(BODY), secrets=(SECRET,), at=cases.NOW) == Forged(reason="no signature")


@pytest.mark.parametrize(
    "header",
    [
        "", " ", ",", "=", "t", "v1", "garbage", f"v1={V1}", f"t={T}", f"t={T},v1=", f"t={T},v1", f"t=,v1={V1}", f"t={T};v1={V1}",
        f" t={T},v1={V1}", f"t={T}, v1={V1}", f"t={T},v1={V1} ", f"t={T},v1={V1},", f"t={T},,v1={V1}", f"t={T},v1={V1}\n",
        f"T={T},v1={V1}", f"t={T},t={T},v1={V1}", f"t=1,t={T},v1={V1}", f"t={T},v1={V1},t=1",
        f"t=+{T},v1={V1}", f"t=-{T},v1={V1}", f"t=0{T},v1={V1}", f"t={T}.0,v1={V1}", f"t={T}e0,v1={V1}", f"t={T[:1]}_{T[1:]},v1={V1}",
        f"t=0x{int(T):x},v1={V1}", f"t=0,v1={V1}", f"t=1e300,v1={V1}", f"t=nan,v1={V1}", f"t=inf,v1={V1}", f"t={'9' * 11},v1={V1}",
        f"t={'9' * 400},v1={V1}", f"t={T.translate({ord(c): 0x660 + int(c) for c in '0123456789'})},v1={V1}", f"t={T}\u00b2,v1={V1}",
        f"t={T},v1={V1.upper()}", f"t={T},v1={V1[:-1]}", f"t={T},v1={V1}0", f"t={T},v1=" + "\u0661" * 64, f"t={T},v1=\u00e9", "\ud800",
        f"t={T},v1={V1}\x00", f"t={T},v1={'v1=' + V1}", f"t={T},v1={V1}," + "v0=" + "0" * 2000, ",".join([GOOD] + ["v1=" + "0" * 64] * 99),
        f"{GOOD},x=a\u00e9", f"t={T},v1=a\ud800", f"{GOOD},v1=a\ud800",
        "\x00" * 1000, "t=" * 500, "," * 1000, "," * 1_000_000,
    ],
)  # fmt: skip
def test_a_header_that_is_not_stripes_is_refused(header: str) -> None:
    assert not accepted(receive(BODY, header))


def _signed_as(written: str) -> str:
    """A header whose time is written like that, and whose signature is right for it."""
    mac = hmac.new(SECRET.encode(), written.encode("utf-8", "surrogatepass") + b"." + BODY, hashlib.sha256).hexdigest()
    return f"t={written},v1={mac}"


@pytest.mark.parametrize(
    "written",
    [
        "", " ", f" {T}", f"{T} ", f"+{T}", f"-{T}", f"0{T}", f"{T}.0", f"{T}e0", f"{T[:1]}_{T[1:]}", hex(int(T)), "0", "-1", "1e300",
        "nan", "inf", "9" * 11, "9" * 400, "9" * 900, "1" + "0" * 300, "\u0661" * 10, f"{T}\u00b2", "\ud800", "\x00", f"{T}.{T}",
    ],
)  # fmt: skip
def test_only_a_plain_number_is_a_time_whoever_signed_it(written: str) -> None:
    assert accepted(receive(BODY, _signed_as(T)))
    assert not accepted(receive(BODY, _signed_as(written)))


def test_the_body_counts_byte_for_byte() -> None:
    for body in (BODY + b" ", b" " + BODY, BODY[:-1], b"", BODY.replace(b"1999", b"9999"), BODY.replace(b", ", b",")):
        assert not accepted(receive(body, GOOD))
    # The dot parts the time from the body: neither can borrow from the other.
    assert not accepted(receive(T[-1:].encode() + b"." + BODY, f"t={T[:-1]},v1={V1}"))


def test_another_endpoints_secret_is_not_ours() -> None:
    assert not accepted(receive(BODY, signature(BODY, "whsec_another")))
    assert not accepted(receive(BODY, signature(BODY, SECRET.lower())))
    assert not accepted(receive(BODY, signature(BODY, SECRET.removeprefix("whsec_"))))


# --- mutations --------------------------------------------------------------------------------------------------------------------------


def _flip(data: bytearray, dice: random.Random) -> None:
    if data:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _insert(data: bytearray, dice: random.Random) -> None:
    data.insert(dice.randint(0, len(data)), dice.choice(b',=t0 9v1.\x00\xff\n{}"') if dice.random() < 0.5 else dice.randrange(256))


def _delete(data: bytearray, dice: random.Random) -> None:
    if data:
        del data[dice.randrange(len(data))]


def _copy(data: bytearray, dice: random.Random) -> None:
    start = dice.randint(0, len(data))
    data[dice.randint(0, len(data)) : 0] = data[start : start + dice.randint(0, 80)]


def _cut(data: bytearray, dice: random.Random) -> None:
    del data[dice.randint(0, len(data)) :]


_CHANGES: tuple[Callable[[bytearray, random.Random], None], ...] = (_flip, _insert, _delete, _cut, _copy)


def _mutated(dice: random.Random, body: bytes, header: str) -> tuple[bytes, str]:
    """The pair with one to three changes in the body, in the header, or in its time alone."""
    where = dice.choice(("body", "header", "time"))
    start, end = (2, 2 + len(T)) if where == "time" else (0, len(header))
    changed = bytearray(body if where == "body" else header[start:end].encode())
    # A piece of the header put in twice may be the whole signature beside another: that one is still good.
    changes = _CHANGES if where == "body" else _CHANGES[:-1]
    for _ in range(dice.choice((1, 1, 2, 3))):
        dice.choice(changes)(changed, dice)
    if where == "body":
        return bytes(changed), header
    return body, header[:start] + changed.decode("latin-1") + header[end:]


def test_no_mutation_of_a_signed_delivery_is_taken_and_none_raises() -> None:
    dice = random.Random(1999)
    small = webhooks.encoded("refund.created", {"object": "refund", "id": "re_1", "status": "pending"})
    originals = [(body, signature(body)) for body in (BODY, small, b"")]
    tried = 0
    while tried < MUTATIONS:
        original = dice.choice(originals)
        body, header = _mutated(dice, *original)
        if (body, header) == original:
            continue
        tried += 1
        assert not accepted(receive(body, header)), (body, header)


def test_what_is_taken_stripes_own_library_takes_too() -> None:
    """Never wider than the reference: good deliveries with schemes added, copied and swapped, some of which are still good."""
    dice, taken = random.Random(7), 0
    parts = [f"t={T}", f"v1={V1}", f"v1={'0' * 64}", "v0=abc", f"v1={V1[:-1]}", f"t={int(T) + 1}", "x=1", "v1", ""]
    for _ in range(3000):
        header = ",".join(dice.choices(parts, weights=[9, 9, 3, 3, 1, 1, 1, 1, 1], k=dice.randint(1, 5)))
        if accepted(receive(BODY, header)):
            taken += 1
            assert stripe.WebhookSignature.verify_header(BODY, header, SECRET)
    assert taken > 100


@given(
    body=st.binary(max_size=200), headers=st.lists(st.tuples(st.sampled_from(["stripe-signature", "x"]), st.text(max_size=120)), max_size=3)
)
def test_whatever_is_sent_is_refused_and_nothing_raises(body: bytes, headers: list[tuple[str, str]]) -> None:
    received = connector.receive(Delivery(headers=tuple(headers), body=body), secrets=(SECRET, OLD_SECRET), at=cases.NOW)
    assert not accepted(received)
