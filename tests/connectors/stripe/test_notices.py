"""A genuine event as a notice: who it is, whose it is, and what is said where it cannot be understood. Nothing raises."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import HttpResponse, Notice
from connectors.stripe import connector
from tests.connectors.stripe import stripe_cases as cases
from tests.connectors.stripe import stripe_webhooks as webhooks
from tests.connectors.stripe.stripe_webhooks import ATTEMPT_ID, CAPTURE_ID, CREATED, REFUND_ID, encoded, noticed

FIXTURES = Path(__file__).parents[4] / "shared/psp-specs/stripe/fixtures3.json"
OURS = {"payorch_attempt": ATTEMPT_ID, "payorch_payment": "pay_01kavq7c1zf90b3n7d5pchmsj8"}
CHARGE = {"object": "charge", "id": "ch_1", "payment_intent": "pi_1", "metadata": OURS}
REFUND = {"object": "refund", "id": "re_1", "status": "pending", "payment_intent": "pi_1", "metadata": {"payorch_operation": REFUND_ID}}
DISPUTE = {
    "object": "dispute", "id": "du_1", "status": "needs_response", "charge": "ch_1",
    "payment_intent": "pi_1", "amount": 1999, "currency": "eur",
}  # fmt: skip
INTENT = cases.payment_intent("requires_capture", metadata={**OURS, "payorch_operation": CAPTURE_ID})


@pytest.mark.parametrize(
    ("kind", "subject", "theirs", "ours"),
    [
        ("payment_intent.amount_capturable_updated", INTENT, (cases.INTENT_ID,), (ATTEMPT_ID, CAPTURE_ID)),
        ("payment_intent.partially_funded", INTENT, (cases.INTENT_ID,), (ATTEMPT_ID, CAPTURE_ID)),
        ("refund.created", REFUND, ("re_1", "pi_1"), (REFUND_ID,)),
        ("charge.refund.updated", REFUND, ("re_1", "pi_1"), (REFUND_ID,)),
        ("refund.failed", REFUND | {"payment_intent": None, "metadata": {}}, ("re_1",), ()),
        ("charge.refunded", CHARGE, ("pi_1", "ch_1"), (ATTEMPT_ID,)),
        ("charge.succeeded", CHARGE | {"payment_intent": {"object": "payment_intent", "id": "pi_2"}}, ("pi_2", "ch_1"), (ATTEMPT_ID,)),
        ("charge.expired", CHARGE | {"payment_intent": None}, ("ch_1",), (ATTEMPT_ID,)),
        ("charge.dispute.created", DISPUTE, ("pi_1", "ch_1", "du_1"), ()),
        ("charge.dispute.funds_withdrawn", DISPUTE | {"payment_intent": None}, ("ch_1", "du_1"), ()),
    ],
)
def test_whose_it_is(kind: str, subject: dict[str, Any], theirs: tuple[str, ...], ours: tuple[str, ...]) -> None:
    body = encoded(kind, subject)
    assert noticed(body) == Notice(
        identity="evt_1PgafyB7WZ01zgkW", kind=kind, content=body, psp_references=theirs, our_references=ours, occurred_at=cases.NOW
    )


def test_an_event_of_an_account_beside_ours_is_another_event() -> None:
    mine, theirs = noticed(encoded("refund.created", REFUND)), noticed(encoded("refund.created", REFUND, account="acct_1"))
    assert (mine.identity, theirs.identity) == ("evt_1PgafyB7WZ01zgkW", "acct_1/evt_1PgafyB7WZ01zgkW")
    assert noticed(encoded("refund.created", REFUND, account=None)).identity == mine.identity


@pytest.mark.parametrize(
    "kind",
    ["payout.paid", "customer.created", "setup_intent.succeeded", "radar.early_fraud_warning.created", "review.opened", "payment_link.x"],
)
def test_what_is_about_nothing_we_keep_is_taken_and_marked(kind: str) -> None:
    notice = noticed(encoded(kind, {"object": kind.split(".")[0], "id": "x_1", "metadata": OURS}))
    assert (notice.relevant, notice.problem, notice.identity) == (False, None, "evt_1PgafyB7WZ01zgkW")
    assert notice.psp_references == notice.our_references == ()


@pytest.mark.parametrize(
    "label",
    [
        None, 7, True, [], {}, "", "att_", "att_1", "payorch", ATTEMPT_ID.upper(), ATTEMPT_ID + "0", ATTEMPT_ID[:-1] + "u",
        " " + ATTEMPT_ID, CAPTURE_ID, OURS["payorch_payment"],
        "att_" + "0" * 26, "att_" + "z" * 26, "att_" + "\u0661" * 26, "att_\ud800", "x" * 1_000_000,
    ],
)  # fmt: skip
def test_only_what_can_be_an_id_of_ours_is_one(label: object) -> None:
    """Whoever has a key of the account can write metadata."""
    body = json.dumps(webhooks.event("charge.updated", CHARGE | {"metadata": {"payorch_attempt": label}})).encode()
    assert noticed(body).our_references == ()


@pytest.mark.parametrize("created", [None, "1795435200", 0, -1, 1.5, True, 2**33, 10**400, [], {}])
def test_a_time_that_is_none_is_left_out(created: object) -> None:
    notice = noticed(encoded("refund.created", REFUND, created=created))
    assert (notice.occurred_at, notice.problem) == (None, None)
    assert noticed(encoded("refund.created", REFUND, created=CREATED)).occurred_at == datetime(2026, 11, 23, 12, tzinfo=UTC)


# --- genuine, and not understood --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"7", b'"evt_1"', b"{", b"{}", b"<html>", b"\x00", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 100_000,
        b'{"id":' + b"9" * 100_000 + b"}", b'{"object":"event"}', b'{"object":"event","id":"evt_1","type":"x","data":[]}',
    ],
)  # fmt: skip
def test_what_is_no_event_is_kept_with_the_reason(body: bytes) -> None:
    notice = noticed(body)
    assert notice.problem is not None
    assert notice.relevant
    assert notice.psp_references == notice.our_references == ()


def test_its_own_words_are_kept_where_they_are_words() -> None:
    thin = noticed(b'{"id":"evt_test_65","object":"v2.core.event","type":"v1.billing.meter.error_report_triggered"}')
    assert (thin.identity, thin.kind) == ("evt_test_65", "v1.billing.meter.error_report_triggered")
    assert noticed(b'{"id":"evt_1","account":"acct_1","object":"event"}').identity == "acct_1/evt_1"
    assert (noticed(b"nonsense").identity, noticed(b"nonsense").kind) == (None, "unreadable")
    # What looks like a secret, a card number or markup is not repeated.
    for hostile in ("sk_live_1", "4242424242424242", "<script>", "evt 1", "x" * 300, None, 7, {"id": "evt_1"}):
        notice = noticed(encoded("refund.created", REFUND, id=hostile))
        assert (notice.identity, notice.problem is not None) == (None, True)
    assert noticed(encoded("refund.created", REFUND, account="acct 1")).problem is not None


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("payment_intent.succeeded", {"object": "payment_intent", "id": "pi_1"}),
        ("payment_intent.succeeded", {"object": "payment_intent", "status": "succeeded"}),
        ("payment_intent.succeeded", CHARGE),
        ("refund.created", {"object": "refund", "status": "pending"}),
        ("charge.refund.updated", CHARGE),
        ("charge.updated", {"object": "charge"}),
        ("charge.dispute.created", DISPUTE | {"status": "a_word_of_tomorrow"}),
        ("charge.dispute.created", DISPUTE | {"amount": -1}),
        ("charge.dispute.created", DISPUTE | {"currency": "xxx"}),
        ("charge.dispute.created", CHARGE),
    ],
)
def test_an_object_that_is_not_understood_is_kept_with_the_reason(kind: str, subject: dict[str, Any]) -> None:
    notice = noticed(encoded(kind, subject))
    assert (notice.identity, notice.relevant, notice.psp_references) == ("evt_1PgafyB7WZ01zgkW", True, ())
    assert notice.problem is not None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.sampled_from(["event", "charge", "evt_1"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "object", "type", "data", "status"]), inner),
    max_leaves=12,
)


@given(subject=json_values, kind=st.sampled_from(["payment_intent.x", "refund.x", "charge.x", "charge.dispute.x", "x", ""]))
def test_nothing_that_is_signed_raises(subject: Any, kind: str) -> None:
    for body in (json.dumps(subject).encode(), json.dumps(webhooks.event(kind, {"object": kind} | {"x": subject})).encode()):
        notice = noticed(body)
        connector.testify(notice.content, webhooks.payment(), at=cases.NOW)
    noticed(json.dumps(webhooks.event(kind, subject)).encode())


@pytest.mark.parametrize("depth", [10, 300, 900, 1000, 1100, 100_000])
def test_nothing_that_is_deep_raises(depth: int) -> None:
    """Some depths can be decoded and are too deep for whatever goes down into them again."""
    deep = b"[" * depth + b"]" * depth
    for name in (b"object", b"id", b"metadata", b"currency"):
        body = encoded("charge.refunded", {"PLACE": 1}).replace(b'"PLACE": 1', b'"object": "charge", "' + name + b'": ' + deep)
        connector.testify(noticed(body).content, webhooks.payment(), at=cases.NOW)
        assert len(connector.shown(body)) < 1000


@given(content=st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_whatever_is_stored_can_be_shown(content: bytes) -> None:
    assert isinstance(json.loads(connector.shown(content)), dict)


def test_what_people_see_of_an_event_is_on_the_list() -> None:
    planted = INTENT | {"client_secret": "pi_1_secret_PLANTED", "receipt_email": "PLANTED@example.com"}
    told = json.loads(connector.shown(encoded("payment_intent.succeeded", planted)))
    assert (told["event"], told["type"], told["object"]["id"]) == ("evt_1PgafyB7WZ01zgkW", "payment_intent.succeeded", cases.INTENT_ID)
    assert "PLANTED" not in json.dumps(told)
    assert "PLANTED" not in connector.shown(b'{"secret":"PLANTED","object":"another"}')


def test_the_acknowledgement_is_short_and_says_yes() -> None:
    assert connector.acknowledgement == HttpResponse(status=200, headers=(("content-type", "application/json"),), body=b'{"received":true}')


@pytest.mark.skipif(not FIXTURES.exists(), reason="Stripe's recorded fixtures are not part of the repository")
@pytest.mark.parametrize(
    ("kind", "name"), [("payment_intent.created", "payment_intent"), ("refund.created", "refund"), ("charge.succeeded", "charge"),
                       ("charge.dispute.created", "dispute")]
)  # fmt: skip
def test_stripes_own_fixtures_are_understood(kind: str, name: str) -> None:
    subject = json.loads(FIXTURES.read_text())["resources"][name]
    notice = noticed(encoded(kind, subject))
    assert notice.problem is None
    assert subject["id"] in notice.psp_references
