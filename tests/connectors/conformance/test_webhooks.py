"""What a PSP posts: taken where it is surely the PSP's, led to the payment that it is about, and believed in nothing that is not signed.

Over the deliveries of whole lives, as they came in over HTTP. `decisive` is what of a testimony can decide something; how a PSP words the
rest is not signed at all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace as replaced
from typing import Final

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from connectors.contract import Delivery, Forged, Notice
from connectors.registry import CONNECTORS
from connectors.simulator.faults import FaultKind
from payorch.domain.disputes import DisputeStatus
from payorch.domain.outcome import Absent, NotExecuted, Source
from payorch.domain.records import Payment
from payorch.domain.testimony import Testimony
from tests.connectors.conformance.life import SHOPPER, born
from tests.connectors.conformance.psp import Psp, secret_of
from tests.connectors.conformance.recorded import Telling, recorded
from tests.connectors.conformance.steps import charged

PLAIN_HEADERS: Final = frozenset({"host", "content-type", "content-length", "user-agent", "accept", "connection"})
EVERY_SO_MANY: Final = 3
"""Of most deliveries only every so many bytes are changed; of the shortest every single one."""


# --- what it is about -------------------------------------------------------------------------------------------------------------------


def test_every_delivery_is_taken_and_leads_to_its_payment(name: str) -> None:
    for telling in recorded(name).tellings:
        for notice in telling.notices():
            assert notice.kind
            assert notice.problem is None, (notice.kind, notice.problem)
            if notice.relevant:
                references = {*notice.psp_references, *notice.our_references}
                assert references & known_as(telling.payment), notice.kind
                assert set(notice.our_references) <= ours(telling.payment)


def known_as(payment: Payment) -> set[str | None]:
    """Every id under which the payment, or a part of it, can be found."""
    attempts = {reference for one in payment.attempts for reference in (one.psp_reference, one.money_reference)}
    return {*attempts, *(one.psp_reference for one in payment.operations), *ours(payment)}


def ours(payment: Payment) -> set[str]:
    return {payment.id, *(one.id for one in payment.attempts), *(one.id for one in payment.operations)}


def test_each_event_has_an_identity_of_its_own_and_always_the_same(name: str) -> None:
    identities = [notice.identity for telling in recorded(name).tellings for notice in telling.notices()]
    again = [notice.identity for telling in recorded(name).tellings for notice in telling.notices()]
    assert identities == again
    told = [identity for identity in identities if identity is not None]
    assert len(set(told)) == len(told)


def test_a_testimony_is_about_that_payment_and_says_no_absence(name: str) -> None:
    said = 0
    for telling in recorded(name).tellings:
        for notice in telling.notices():
            testimony = telling.testify(notice)
            for statement in testimony.statements:
                assert statement.subject_id in ours(telling.payment)
                assert statement.evidence.source is Source.WEBHOOK
                assert statement.evidence.at == telling.told.at
                assert not isinstance(statement.evidence.finding, (Absent, NotExecuted))
            assert set(testimony.look_at) <= ours(telling.payment)
            assert {one.attempt_id for one in testimony.disputes} <= ours(telling.payment)
            said += testimony != Testimony()
    assert said, "a PSP's notices say something"


def test_a_notice_says_nothing_about_another_payment(name: str) -> None:
    tellings = recorded(name).tellings
    stranger = tellings[0].payment
    for telling in tellings:
        if telling.payment.id != stranger.id:
            for notice in telling.notices():
                assert CONNECTORS[name].testify(notice.content, stranger, at=telling.told.at) == Testimony(), notice.kind


async def test_a_dispute_is_reported_from_its_beginning_to_its_end(psp: Psp) -> None:
    for end, status in (("win_dispute", DisputeStatus.WON), ("lose_dispute", DisputeStatus.LOST)):
        life = await charged(psp)
        assert await psp.by_hand(life.attempt.psp_reference or "", "dispute") == 200
        await life.listen()
        assert [(one.status, one.amount) for one in life.disputes][-1:] == [(DisputeStatus.OPENED, life.intent.amount)]
        assert await psp.by_hand(life.attempt.psp_reference or "", end) == 200
        await life.listen()
        assert life.disputes[-1].status is status
        assert len({one.psp_reference for one in life.disputes}) == 1


def test_the_acknowledgement_is_a_success(name: str) -> None:
    assert 200 <= CONNECTORS[name].acknowledgement.status < 300


# --- whose it is ------------------------------------------------------------------------------------------------------------------------


def test_no_changed_byte_of_the_body_decides_anything(name: str) -> None:
    for place, telling in enumerate(one_of_each_kind(name)):
        body = telling.told.delivery.body
        for index in range(0, len(body), 1 if place == 0 else EVERY_SO_MANY):
            changed = body[:index] + bytes([body[index] ^ 1]) + body[index + 1 :]
            assert_harmless(telling, replaced(telling.told.delivery, body=changed))
        for changed in (b"", body[:-1], body + b" ", body + body, body.upper(), body.replace(b"1", b"2")):
            assert_harmless(telling, replaced(telling.told.delivery, body=changed))


def test_no_changed_byte_of_a_header_decides_anything(name: str) -> None:
    telling = one_of_each_kind(name)[0]
    headers = telling.told.delivery.headers
    for place, (header, value) in enumerate(headers):
        if header in PLAIN_HEADERS:
            continue
        others = (*headers[:place], *headers[place + 1 :])
        assert_harmless(telling, replaced(telling.told.delivery, headers=others))
        for index in range(len(value)):
            changed = (header, value[:index] + chr(ord(value[index]) ^ 1) + value[index + 1 :])
            assert_harmless(telling, replaced(telling.told.delivery, headers=(*others, changed)))
        assert_harmless(telling, replaced(telling.told.delivery, headers=(*headers, (header, "x"))))
        assert_harmless(telling, replaced(telling.told.delivery, headers=(*others, (header, "\ud800\x00é"))))


def test_without_the_right_secret_nothing_is_believed(name: str) -> None:
    other = secret_of(name)[::-1]
    for telling in one_of_each_kind(name):
        for secrets in ((), ("",), (" ",), (other,), (other, ""), ("é" * 40,)):
            assert isinstance(telling.receive(secrets=secrets), Forged), secrets
        while_it_is_replaced = telling.receive(secrets=(other, secret_of(name)))
        assert while_it_is_replaced == telling.receive()


def test_without_the_right_certificate_nothing_is_believed(name: str) -> None:
    connector = CONNECTORS[name]
    telling = one_of_each_kind(name)[0]
    if connector.certificate_wanted(telling.told.delivery) is None:
        pytest.skip(f"{name}: signs without certificates")
    assert connector.certificate_wanted(Delivery(headers=(), body=b"")) is None
    stranger = trustme.CA(key_type=trustme.KeyType.RSA)
    theirs = x509.load_pem_x509_certificate(stranger.cert_pem.bytes()).public_bytes(Encoding.DER)
    for certificates in ((), (b"",), (b"\x30\x82",), (theirs,), (theirs, *telling.told.certificates)):
        assert isinstance(telling.receive(certificates=certificates), Forged)


def test_the_signature_of_one_delivery_is_no_other_ones(name: str) -> None:
    first, *others = one_of_each_kind(name)
    for other in others:
        assert_harmless(other, replaced(other.told.delivery, headers=first.told.delivery.headers))


async def test_forged_copies_are_told_from_the_true_ones(psp: Psp) -> None:
    await psp.fault(FaultKind.WEBHOOKS_FORGED, count=100)
    for _ in range(10):
        await born(psp).authorize()
    deliveries = await psp.deliveries()
    _, shown = await psp.control("GET", "/_webhooks")
    true, refused = set[str | None](), 0
    for delivery in deliveries:
        certificates = await psp.certificates(delivery)
        received = psp.connector.receive(delivery, secrets=(psp.secret,), at=psp.now, certificates=certificates)
        refused += isinstance(received, Forged)
        true |= {notice.identity for notice in received} if not isinstance(received, Forged) else set()
    assert (len(true), shown["counts"]["forged"]) == (shown["counts"]["owed"], shown["counts"]["owed"])
    assert refused == shown["counts"]["owed"]


def assert_harmless(telling: Telling, delivery: Delivery) -> None:
    assert is_harmless(telling, delivery), "what was changed is believed"


def is_harmless(telling: Telling, delivery: Delivery) -> bool:
    """Whether a changed delivery is refused, or says nothing that the true one does not say: what was changed is not signed, and decides
    nothing."""
    received = telling.receive(delivery)
    if isinstance(received, Forged):
        assert received.reason
        return True
    said = {decisive(telling.testify(notice)) for notice in telling.notices()}
    return all(decisive(telling.testify(notice)) in {*said, decisive(Testimony())} for notice in received)


def decisive(testimony: Testimony) -> tuple[object, ...]:
    """What of it can decide anything."""
    statements = tuple(
        (
            one.subject_id,
            type(one.evidence.finding),
            one.evidence.psp_reference,
            one.evidence.our_reference,
            one.evidence.amount,
            one.evidence.captured,
            one.evidence.refunded,
        )
        for one in testimony.statements
    )
    disputes = tuple((one.attempt_id, one.psp_reference, one.stage, one.status, one.amount) for one in testimony.disputes)
    return statements, disputes, testimony.look_at


def one_of_each_kind(name: str) -> list[Telling]:
    """A delivery with each kind of event, the shortest first."""
    found: dict[tuple[str, ...], Telling] = {}
    for telling in recorded(name).tellings:
        found.setdefault(tuple(kinds(telling.notices())), telling)
    return sorted(found.values(), key=lambda telling: len(telling.told.delivery.body))


def kinds(notices: tuple[Notice, ...]) -> Iterator[str]:
    return (notice.kind for notice in notices)


# --- how it is shown --------------------------------------------------------------------------------------------------------------------


def test_what_people_are_shown_is_json_and_none_of_the_shoppers_business(name: str) -> None:
    for telling in recorded(name).tellings:
        for notice in telling.notices():
            shown = CONNECTORS[name].shown(notice.content)
            assert isinstance(json.loads(shown), dict)
            assert SHOPPER not in shown
