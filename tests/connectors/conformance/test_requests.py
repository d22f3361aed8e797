"""What goes to a PSP: calls of its published API, the same bytes every time, under a key that it takes, and no secret but in the header.

Over every call of whole lives, as it was stored and as it went over the wire.
"""

from __future__ import annotations

from typing import Final

import pytest
from msgspec.structs import replace

from connectors.contract import AccessToken, AuthorizeOrder, HttpRequest, HttpResponse, NotSupported, OperationOrder
from connectors.registry import CONNECTORS
from payorch.domain.capability import Lookup
from payorch.domain.decide import psp_key
from payorch.domain.identifiers import of_name
from payorch.domain.intent import PaymentMethod
from payorch.domain.outcome import Source
from payorch.domain.records import Attempt
from tests.connectors.conformance.life import wish
from tests.connectors.conformance.peculiar import peculiar
from tests.connectors.conformance.psp import START, Exchange, secret_of
from tests.connectors.conformance.recorded import WRONG, recorded

SECRET: Final = "planted-0123456789-secret"
LONGEST_ID: Final = of_name("void", "any")


def calls(name: str) -> list[Exchange]:
    """Every call that was answered."""
    return list(recorded(name).exchanges)


def with_key(exchange: Exchange, key: str, credentials: dict[str, str]) -> HttpRequest:
    return CONNECTORS[exchange.connector].request(exchange.call, psp_key=key, credentials=credentials)


# --- the PSP's own word -----------------------------------------------------------------------------------------------------------------


def test_every_request_is_one_of_the_published_api(name: str) -> None:
    its = peculiar(name)
    if its.violations is None:
        pytest.skip(f"{name}: has no published API that this suite knows of")
    if absent := [path.name for path in its.specification if not path.exists()]:
        pytest.skip(f"{name}: its documents are not here ({', '.join(absent)})")
    found = {
        (one.request.method, one.request.path.partition("?")[0], problem) for one in calls(name) for problem in its.violations(one.request)
    }
    assert not found


def test_every_kind_of_call_was_made(name: str) -> None:
    """So that the tests of this module are about all of them."""
    made = {(type(one.subject).__name__, getattr(one.subject, "kind", None), one.source) for one in calls(name)}
    kinds = {("Attempt", None), ("Operation", "capture"), ("Operation", "void"), ("Operation", "refund")}
    assert {(what, kind) for what, kind, source in made if source is Source.RESPONSE} == kinds
    if CONNECTORS[name].manifest.lookup is not Lookup.NONE:
        assert {(what, kind) for what, kind, source in made if source is Source.INQUIRY} == kinds


# --- bytes ------------------------------------------------------------------------------------------------------------------------------


def test_what_goes_over_the_wire_is_what_was_stored(name: str) -> None:
    """Method and path as they are. Of the body too, but for a name of our account that a PSP may want in it."""
    for one in calls(name):
        assert (one.request.method, one.request.path) == (one.call.method, one.call.path)
        assert one.call.body.removeprefix("{").encode() in one.request.body
        headers = dict(one.request.headers)
        assert len(headers) == len(one.request.headers)
        assert all(header == header.lower() for header in headers)
        assert headers.get("content-type") == one.call.content_type
        assert "accept-encoding" not in headers


def test_the_same_call_is_the_same_request_again(name: str) -> None:
    credentials = recorded(name).credentials
    for one in calls(name):
        key = None if one.source is Source.INQUIRY else one.subject.psp_key
        again = [CONNECTORS[name].request(one.call, psp_key=key, credentials=credentials) for _ in range(2)]
        assert again[0] == again[1]
        assert again[0].body == one.request.body


def test_a_replay_is_equal_to_what_it_repeats(name: str) -> None:
    first = {one.subject.id: one.request for one in calls(name) if one.source is Source.RESPONSE and one.call == one.subject.call}
    replayed = [one for one in calls(name) if one.source is Source.REPLAY and one.call == one.subject.call]
    assert replayed
    for one in replayed:
        assert one.request == first[one.subject.id]


def test_an_inquiry_changes_nothing(name: str) -> None:
    for one in calls(name):
        if one.source is Source.INQUIRY:
            assert one.request.method == "GET"
            assert not one.request.body


# --- keys -------------------------------------------------------------------------------------------------------------------------------


def test_every_call_that_moves_something_carries_its_key_once(name: str) -> None:
    credentials = recorded(name).credentials
    for one in calls(name):
        if one.source is not Source.INQUIRY:
            request = with_key(one, "the-key-of-this", credentials)
            assert [value for _, value in request.headers].count("the-key-of-this") == 1
            assert b"the-key-of-this" not in request.body


def test_keys_made_of_our_ids_are_keys_of_this_psp(name: str) -> None:
    manifest = CONNECTORS[name].manifest
    for prefix in ("att", "cap", "void", "ref"):
        key = psp_key(of_name(prefix, "any"), manifest)
        assert set(key) <= set(manifest.key_charset)
        assert len(key) <= manifest.key_max_length
        assert key[-26:] == of_name(prefix, "any")[-26:], "all of an id that tells it from others"


def test_the_longest_key_with_every_character_goes_out_and_a_longer_one_does_not(name: str) -> None:
    manifest, credentials = CONNECTORS[name].manifest, recorded(name).credentials
    longest = (manifest.key_charset * manifest.key_max_length)[: manifest.key_max_length]
    moving = next(one for one in calls(name) if one.source is Source.RESPONSE)
    assert longest in [value for _, value in with_key(moving, longest, credentials).headers]
    for bad in (longest + "x", "a\r\nx-evil: 1", "a b", "", "ä", "\x00"):
        with pytest.raises(NotSupported) as refused:
            with_key(moving, bad, credentials)
        assert not bad or bad not in str(refused.value)


# --- secrets ----------------------------------------------------------------------------------------------------------------------------


def test_no_credential_is_stored_or_shown(name: str) -> None:
    """Not in the call, which is stored; not in the request's repr; not in the evidence, also where the PSP refused them."""
    secrets = [value for key, value in recorded(name).credentials.items() if key != "account"]
    assert secrets
    for one in (*calls(name), *recorded(name).refused):
        for secret in (*secrets, secret_of(name), WRONG):
            for shown in (repr(one.call), repr(one.request), repr(one.response), repr(one.evidence), one.evidence.raw or ""):
                assert secret not in shown


def test_credentials_that_cannot_be_sent_are_refused_without_being_named(name: str) -> None:
    known = recorded(name).credentials
    moving = next(one for one in calls(name) if one.source is Source.RESPONSE)
    for bad in (f"{SECRET}\r\nx-evil: 1", f"{SECRET} ", "", f"{SECRET}\x00", f"ä{SECRET}", f"{SECRET}\ud800"):
        given = {key: value if key == "account" else bad for key, value in known.items()}
        with pytest.raises(NotSupported) as refused:
            with_key(moving, "k", given)
        assert SECRET not in str(refused.value)
        if CONNECTORS[name].sign_in(known) is not None:
            with pytest.raises(NotSupported) as refused:
                CONNECTORS[name].sign_in(given)
            assert SECRET not in str(refused.value)
    with pytest.raises(NotSupported):
        with_key(moving, "k", {})


def test_an_access_token_is_never_shown() -> None:
    assert SECRET not in repr(AccessToken(value=SECRET, expires_at=START))


def test_signing_in_shows_no_secret_and_its_answer_none_either(name: str) -> None:
    connector, credentials = CONNECTORS[name], recorded(name).credentials
    request = connector.sign_in(credentials)
    if request is None:
        pytest.skip(f"{name}: calls are authenticated by the credentials themselves")
    assert all(value not in repr(request) for key, value in credentials.items() if key != "account")
    assert SECRET not in repr(HttpResponse(status=200, headers=(), body=SECRET.encode()))
    assert all(value not in request.path for value in credentials.values())


# --- orders that cannot be -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["../../v1/x", "a b", "a?b=c", "a#b", "ä", "", "a\r\nb", 'x","y":"z', "%2e%2e"])
def test_no_id_of_theirs_changes_what_is_asked_for(name: str, bad: str) -> None:
    """Whatever a PSP once called a payment: it is an id of the usual kind, or it is not sent."""
    connector = CONNECTORS[name]
    held = next(one.subject for one in calls(name) if isinstance(one.subject, Attempt) and one.subject.psp_reference is not None)
    attempt = replace(held, psp_reference=bad, money_reference=bad)
    order = OperationOrder(operation_id=LONGEST_ID, payment_id="pay_1", attempt=attempt, amount=attempt.amount)
    for build in (connector.capture, connector.void, connector.refund):
        with pytest.raises(NotSupported):
            build(order)
    asked = connector.inquire(attempt, attempt)
    assert asked is None or not bad or bad not in asked.path


@pytest.mark.parametrize(
    "method", [None, PaymentMethod(type="card"), PaymentMethod(type="smoke"), PaymentMethod(type="card", token="\ud800")]
)
def test_what_cannot_be_asked_is_not_supported_and_nothing_else(name: str, method: PaymentMethod | None) -> None:
    order = AuthorizeOrder(attempt_id=LONGEST_ID, payment_id="pay_1", intent=wish(method), return_url="https://pay.example/back")
    with pytest.raises(NotSupported):
        CONNECTORS[name].authorize(order)
