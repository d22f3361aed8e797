"""Whatever a PSP answers or posts, and whoever does in its place: reading never raises, says yes or no only where that is said, and keeps
nothing that is nobody's business.

Over the answers of whole lives, whole, corrupted in one place each, and over bytes that are none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace as replaced
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import AccessToken, Delivery, Forged, HttpResponse
from connectors.registry import CONNECTORS
from payorch.domain.outcome import Absent, Approved, Declined, Evidence, NextAction, NotExecuted, Pending, Released, Source, Unknown
from payorch.domain.testimony import Testimony
from tests.connectors.conformance.corrupted import HOSTILE, SECRETS, with_one_wrong, with_secrets_for_words, with_unasked
from tests.connectors.conformance.life import SHOPPER
from tests.connectors.conformance.psp import START, Exchange, secret_of
from tests.connectors.conformance.recorded import recorded
from tests.connectors.conformance.test_webhooks import one_of_each_kind

EVERY_PSP: Final = pytest.mark.parametrize("name", sorted(CONNECTORS))
FEW: Final = settings(max_examples=30, deadline=None, derandomize=True)
LARGEST_RAW: Final = 64 * 1024
NO: Final = (Declined, NotExecuted, Absent, Released)


def as_bytes(it: object) -> bytes:
    """As JSON."""
    return json.dumps(it).encode()


any_json: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
any_body: Final = st.binary(max_size=300) | any_json.map(as_bytes)
any_headers: Final = st.lists(
    st.tuples(st.sampled_from(["content-type", "retry-after", "request-id", "x"]), st.text(max_size=40)), max_size=4
).map(tuple)


def one_of_each(name: str) -> list[Exchange]:
    """An exchange for each kind of call with each kind of answer that there was to it."""
    found: dict[tuple[object, ...], Exchange] = {}
    for one in recorded(name).exchanges:
        kind = (getattr(one.subject, "kind", None), one.source, one.response.status, type(one.evidence.finding))
        found.setdefault(kind, one)
    return list(found.values())


def answered(one: Exchange, body: bytes, status: int | None = None) -> Evidence:
    """What that other body, with that other status, would have come to."""
    return one.read(replaced(one.response, body=body, status=one.response.status if status is None else status))


# --- never raising ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [100, 200, 204, 302, 400, 401, 402, 404, 409, 422, 429, 500, 599])
def test_a_body_that_is_none_is_no_answer(name: str, status: int) -> None:
    """Unknown, unless the status alone says that nothing was executed."""
    for one in one_of_each(name):
        for body in HOSTILE:
            evidence = answered(one, body, status)
            assert_well_formed(evidence)
            # Some PSPs say by 204, which has no body, that they have done it.
            assert isinstance(evidence.finding, (Unknown, NotExecuted)) or (status == 204 and evidence.finding == Approved())
            if status not in (401, 403, 429):
                assert not isinstance(evidence.finding, NotExecuted), (status, body[:20])
            if one.source is not Source.RESPONSE:
                assert not isinstance(evidence.finding, NotExecuted), "what is said of this sending is not said of the first"


@EVERY_PSP
@FEW
@given(data=st.data(), status=st.integers(100, 599), headers=any_headers, body=any_body)
def test_any_bytes_are_read(name: str, data: st.DataObject, status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
    one = data.draw(st.sampled_from(one_of_each(name)))
    evidence = one.read(HttpResponse(status=status, headers=headers, body=body))
    assert_well_formed(evidence)
    assert not isinstance(evidence.finding, (Absent, Released, Declined))


@EVERY_PSP
@FEW
@given(status=st.sampled_from([200, 201, 400, 401, 500]), body=any_body)
def test_any_bytes_may_answer_a_sign_in(name: str, status: int, body: bytes) -> None:
    token = CONNECTORS[name].signed_in(HttpResponse(status=status, headers=(), body=body), at=START)
    assert token is None or isinstance(token, AccessToken)


def test_hostile_bytes_are_no_access_token(name: str) -> None:
    for body in HOSTILE:
        assert CONNECTORS[name].signed_in(HttpResponse(status=200, headers=(), body=body), at=START) is None
    for odd in (0, -1, True, "3600", None, 1e400, 10**30):
        said = json.dumps({"access_token": "t", "token_type": "Bearer", "expires_in": odd}).encode()
        token = CONNECTORS[name].signed_in(HttpResponse(status=200, headers=(), body=said), at=START)
        assert token is None or START < token.expires_at <= START + timedelta(days=400)


@EVERY_PSP
@FEW
@given(data=st.data(), body=any_body, values=st.lists(st.text(max_size=60), max_size=8))
def test_any_bytes_may_be_posted(name: str, data: st.DataObject, body: bytes, values: list[str]) -> None:
    telling = data.draw(st.sampled_from(one_of_each_kind(name)))
    names = [header for header, _ in telling.told.delivery.headers]
    delivery = Delivery(headers=tuple(zip(names, values, strict=False)), body=body)
    CONNECTORS[name].certificate_wanted(delivery)
    assert isinstance(telling.receive(delivery), Forged)
    assert CONNECTORS[name].testify(body, telling.payment, at=START) == Testimony()
    assert isinstance(json.loads(CONNECTORS[name].shown(body)), dict)


def test_hostile_bytes_are_posted_and_kept_in_vain(name: str) -> None:
    connector, telling = CONNECTORS[name], one_of_each_kind(name)[0]
    for body in HOSTILE:
        assert isinstance(telling.receive(replaced(telling.told.delivery, body=body)), Forged)
        assert connector.testify(body, telling.payment, at=START) == Testimony()
        assert len(connector.shown(body)) <= LARGEST_RAW


def assert_well_formed(evidence: Evidence) -> None:
    """What every reader of evidence relies on."""
    assert evidence.raw is not None
    assert len(evidence.raw) <= LARGEST_RAW
    assert isinstance(json.loads(evidence.raw), dict)
    evidence.raw.encode()
    for amount in (evidence.amount, evidence.captured, evidence.refunded):
        assert amount is None or 0 <= amount.minor < 2**63
    for reference in (evidence.psp_reference, evidence.our_reference, evidence.money_reference, evidence.psp_request_id):
        assert reference is None or (reference.isprintable() and 1 <= len(reference) <= 255)
    match evidence.finding:
        case Declined(failure=failure) | NotExecuted(failure=failure) | Unknown(failure=failure):
            assert failure.code
            assert failure.message
        case Pending(action=NextAction() as action):
            assert action.url.startswith(("http://", "https://"))


# --- one thing wrong --------------------------------------------------------------------------------------------------------------------


def test_one_wrong_value_never_turns_a_yes_into_a_no_or_a_no_into_a_yes(name: str) -> None:
    """Of answers to calls of ours. What an inquiry leaves out may really be absent."""
    for one in one_of_each(name):
        finding = one.evidence.finding
        for body in corruptions(one.response.body):
            evidence = answered(one, body)
            assert_well_formed(evidence)
            if isinstance(finding, Approved) and one.source is not Source.INQUIRY:
                assert not isinstance(evidence.finding, NO), (body, evidence.finding)
            if isinstance(finding, (Declined, NotExecuted, Unknown)) and one.response.status >= 400:
                assert not isinstance(evidence.finding, Approved), (body, evidence.finding)


def test_the_same_body_with_a_status_that_says_nothing_is_unknown(name: str) -> None:
    for one in one_of_each(name):
        for status in (302, 408, 409, 500, 502, 503):
            if status < 500 or CONNECTORS[name].manifest.http_5xx_means_unknown:
                assert isinstance(answered(one, one.response.body, status).finding, Unknown), status


def test_another_objects_answer_is_not_believed(name: str) -> None:
    """The answer about one payment, to a call about another, decides nothing: it is unknown, or says whose it is."""
    exchanges = [one for one in recorded(name).exchanges if isinstance(one.evidence.finding, Approved)]
    for one in exchanges[:20]:
        for other in exchanges:
            same = (other.call.method, other.subject.id == one.subject.id) == (one.call.method, True)
            kinds = (getattr(one.subject, "kind", None), getattr(other.subject, "kind", None))
            if same or kinds[0] is not kinds[1] or other.source is not one.source:
                continue
            evidence = one.read(other.response)
            about_ours = evidence.our_reference in (None, one.subject.id)
            if isinstance(evidence.finding, Approved) and about_ours:
                known = (one.evidence.psp_reference, one.evidence.money_reference)
                assert (evidence.psp_reference, evidence.money_reference) == known, (one.request.path, other.request.path)


def test_a_notice_with_one_wrong_value_raises_nothing(name: str) -> None:
    """It may not be understood any more; then it is for people, or it says nothing."""
    connector = CONNECTORS[name]
    for telling in one_of_each_kind(name):
        for notice in telling.notices():
            for body in corruptions(notice.content):
                testimony = connector.testify(body, telling.payment, at=START)
                assert all(one.evidence.raw is None or json.loads(one.evidence.raw) for one in testimony.statements)
                assert isinstance(json.loads(connector.shown(body)), dict)


def corruptions(body: bytes) -> Iterator[bytes]:
    """Those of a JSON body; of another there are none."""
    try:
        json.loads(body)
    except ValueError:
        return
    yield from with_one_wrong(body)


# --- keeping nothing --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plant", [with_unasked, with_secrets_for_words], ids=["further fields", "every text"])
def test_nothing_of_the_shoppers_is_kept_of_an_answer(name: str, plant: Any) -> None:
    for one in recorded(name).exchanges:
        if not one.response.body.startswith((b"{", b"[")):
            continue
        body = plant(one.response.body)
        raw = answered(one, body).raw
        assert raw is not None
        assert_keeps_nothing(raw)


@pytest.mark.parametrize("plant", [with_unasked, with_secrets_for_words], ids=["further fields", "every text"])
def test_nothing_of_the_shoppers_is_kept_or_shown_of_a_notice(name: str, plant: Any) -> None:
    connector = CONNECTORS[name]
    for telling in recorded(name).tellings:
        for notice in telling.notices():
            content = plant(notice.content)
            assert_keeps_nothing(connector.shown(content))
            testimony = connector.testify(content, telling.payment, at=START)
            for raw in (*(one.evidence.raw for one in testimony.statements), *(one.raw for one in testimony.disputes)):
                assert_keeps_nothing(raw or "")


def test_what_is_kept_of_an_answer_tells_what_happened(name: str) -> None:
    """Redacted to nothing would be as good as nothing: the status stands there, and the PSP's own id where it had one."""
    for one in recorded(name).exchanges:
        assert one.evidence.raw is not None
        assert str(one.response.status) in one.evidence.raw
        if one.evidence.psp_reference is not None and one.evidence.psp_reference.encode() in one.response.body:
            assert one.evidence.psp_reference in one.evidence.raw


def assert_keeps_nothing(text: str) -> None:
    for secret in (*SECRETS, SHOPPER):
        assert secret not in text, secret


def test_a_planted_secret_of_ours_is_not_kept(name: str) -> None:
    """A PSP that repeats our key in its answer, as some do in error messages."""
    secrets = [value for key, value in recorded(name).credentials.items() if key != "account"]
    for one in one_of_each(name):
        for secret in (*secrets, secret_of(name)):
            said = json.dumps({"error": {"message": f"Invalid key: {secret}"}, "message": f"Invalid key: {secret}", "x": secret})
            for status in (400, 401, 403, 422, 500):
                assert secret not in (answered(one, said.encode(), status).raw or "")


# --- options ----------------------------------------------------------------------------------------------------------------------------


@EVERY_PSP
@FEW
@given(given_options=st.dictionaries(st.text(min_size=1, max_size=12), any_json, min_size=1, max_size=4))
def test_options_that_no_connector_has_are_refused_in_words(name: str, given_options: dict[str, Any]) -> None:
    problems = CONNECTORS[name].check_options(given_options)
    assert problems
    assert all(problem.isprintable() for problem in problems)


def test_no_options_are_fine_and_those_of_the_manifest_too(name: str) -> None:
    assert CONNECTORS[name].check_options({}) == []
    assert CONNECTORS[name].check_options(CONNECTORS[name].manifest.several_captures_options) == []


def test_a_problem_with_an_option_never_repeats_what_was_sent(name: str) -> None:
    for key in ("x", *CONNECTORS[name].manifest.several_captures_options):
        for value in (SECRETS[4], [SECRETS[4]], {"x": SECRETS[4]}):
            assert not any(SECRETS[4] in problem for problem in CONNECTORS[name].check_options({key: value}))
    assert not any(SECRETS[4] in problem for problem in CONNECTORS[name].check_options({SECRETS[4]: 1}))
