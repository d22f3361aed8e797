"""The connector and the simulated Adyen, which were written apart from each other, understand one another: what the lives leave out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from msgspec.structs import replace

from connectors.adyen import connector
from connectors.adyen.dialect import AdyenDialect
from connectors.contract import CompletionOrder, Delivery, Forged, HttpRequest
from connectors.simulator import webhooks
from connectors.simulator.cards import SHARED
from connectors.simulator.dialect import Settings
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Due, Target
from connectors.simulator.webhook_faults import Forgery
from payorch.domain.intent import Initiator, PaymentMethod
from payorch.domain.money import Money
from payorch.domain.outcome import Approved, Declined, ErrorClass, Evidence, NotExecuted, Pending, Source
from payorch.domain.payment import AttemptState
from payorch.domain.records import Attempt, PreparedCall
from tests.connectors.adyen import adyen_cases as cases

CREDENTIALS = {"account": "RoundECOM", "api_key": "test_roundtrip"}


class Psp:
    """The simulated Adyen, and one attempt at a time."""

    def __init__(self) -> None:
        self.ledger = Ledger(psp="adyen")
        self.dialect = AdyenDialect(Settings(base_url="https://simulator.example"))

    def ask(
        self, attempt: Attempt, call: PreparedCall | None, source: Source = Source.RESPONSE, *, key: str = "", at: datetime = cases.NOW
    ) -> Evidence:
        assert call is not None
        sent = connector.request(call, psp_key=key or attempt.id, credentials=CREDENTIALS)
        answer = self.dialect.handle(self.ledger, sent, at).response
        return connector.read(attempt, call, answer, source=source, at=at)

    def attempt(self, token: str, **changes: Any) -> Attempt:
        order = cases.order(method=PaymentMethod(type="card", token=token), **changes)
        return cases.attempt(reference=None, state=AttemptState.PREPARED, call=connector.authorize(order))

    def shop(self, url: str, outcome: str) -> dict[str, str]:
        """What the shopper's browser brings back."""
        path = urlsplit(url).path
        assert (
            self.dialect.handle(self.ledger, HttpRequest(method="GET", path=path, headers=(), body=b""), cases.NOW).response.status == 200
        )
        pressed = HttpRequest(method="POST", path=path, headers=(), body=urlencode({"outcome": outcome}).encode())
        answer = self.dialect.handle(self.ledger, pressed, cases.NOW).response
        assert answer.status == 303
        again = self.dialect.handle(self.ledger, pressed, cases.NOW).response
        assert again.headers == answer.headers  # pressing twice changes nothing
        location = answer.header("location") or ""
        assert location.startswith(cases.RETURN_URL)
        return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


@pytest.fixture
def psp() -> Iterator[Psp]:
    made = Psp()
    yield made
    made.ledger.close()


@pytest.mark.parametrize(
    ("token", "outcome", "error_class"),
    [
        ("tok_3ds", "approve", None),
        ("tok_3ds", "fail", ErrorClass.FIX_DATA),
        ("tok_3ds", "cancel", ErrorClass.CUSTOMER_CANCELED),
        ("tok_3ds_fail", "approve", ErrorClass.FIX_DATA),
    ],
)
def test_a_shopper_who_comes_back(psp: Psp, token: str, outcome: str, error_class: ErrorClass | None) -> None:
    attempt = psp.attempt(token)
    first = psp.ask(attempt, attempt.call)
    assert isinstance(first.finding, Pending)
    assert first.finding.action is not None
    returned = psp.shop(first.finding.action.url, outcome)
    assert psp.ledger.entries() == []  # the shopper alone moves no money
    order = CompletionOrder(payment_id=cases.PAYMENT_ID, attempt=attempt, intent=cases.intent(), returned=returned)
    call = connector.complete(order)
    for source, key in ((Source.RESPONSE, "second-call"), (Source.REPLAY, "second-call"), (Source.RESPONSE, "third-call")):
        done = psp.ask(attempt, call, source, key=key)
        if error_class is None:
            assert done.finding == Approved(captured=False)
            assert done.amount == Money(1999, "EUR")
        else:
            assert isinstance(done.finding, Declined)
            assert done.finding.failure.error_class is error_class
        assert done.our_reference == attempt.id
    assert [entry.type.value for entry in psp.ledger.entries()] == ([] if error_class else ["authorized"])
    # The answer to the first call, replayed, is still the redirect: it says nothing about the second.
    assert isinstance(psp.ask(attempt, attempt.call, Source.REPLAY).finding, Pending)
    wrong = connector.complete(
        CompletionOrder(payment_id="p", attempt=attempt, intent=cases.intent(), returned={"redirectResult": "made-up"})
    )
    assert isinstance(psp.ask(attempt, wrong, key="fourth-call").finding, NotExecuted)


def test_a_step_up_asks_the_shopper(psp: Psp) -> None:
    order = cases.order(method=PaymentMethod(type="card", token="tok_visa"), step_up=True)
    attempt = cases.attempt(reference=None, state=AttemptState.PREPARED, call=connector.authorize(order))
    assert isinstance(psp.ask(attempt, attempt.call).finding, Pending)


def test_a_shopper_who_is_not_there_is_not_asked(psp: Psp) -> None:
    attempt = psp.attempt("tok_3ds", initiator=Initiator.MERCHANT)
    finding = psp.ask(attempt, attempt.call).finding
    assert isinstance(finding, Declined)
    assert finding.failure.error_class is ErrorClass.AUTHENTICATION_REQUIRED


@pytest.mark.parametrize("token", SHARED)
def test_every_shared_token_is_answered_definitively(psp: Psp, token: str) -> None:
    attempt = psp.attempt(token)
    evidence = psp.ask(attempt, attempt.call)
    assert isinstance(evidence.finding, (Approved, Pending, Declined))
    assert psp.ask(attempt, attempt.call, Source.REPLAY).finding == evidence.finding


@pytest.mark.parametrize(
    "money",
    [Money(5, "ISK"), Money(700, "IDR"), Money(7, "CLP"), Money(1234, "KWD"), Money(500, "JPY"), Money(300, "CVE"), Money(9, "UGX")],
)
def test_the_books_are_in_iso_units(psp: Psp, money: Money) -> None:
    attempt = replace(psp.attempt("tok_visa", amount=money), amount=money)
    evidence = psp.ask(attempt, attempt.call)
    assert (evidence.finding, evidence.amount) == (Approved(captured=False), money)
    [entry] = psp.ledger.entries()
    assert (entry.amount, entry.currency) == (money.minor, money.currency)


def test_a_key_replays_for_seven_days_and_the_manifest_knows(psp: Psp) -> None:
    attempt = psp.attempt("tok_visa")
    psp.ask(attempt, attempt.call)
    window = timedelta(seconds=connector.manifest.key_safe_window_seconds)
    psp.ask(attempt, attempt.call, Source.REPLAY, at=cases.NOW + window)
    assert psp.ledger.count_payments() == 1
    psp.ask(attempt, attempt.call, Source.REPLAY, at=cases.NOW + timedelta(days=7, seconds=1))
    assert psp.ledger.count_payments() == 2
    assert window < timedelta(days=7)


@pytest.mark.parametrize("how", list(Forgery))
def test_what_somebody_posts_beside_the_true_one_is_not_believed(psp: Psp, how: Forgery) -> None:
    attempt = psp.attempt("tok_visa")
    psp.ask(attempt, attempt.call)
    [notification] = psp.ledger.notifications(limit=5).items
    target = Target(url="http://127.0.0.1:1/webhooks/x", secret=cases.KEY)
    due = Due(notification=notification, attempts=0, copies=2, forgery=how)
    forged, *true = webhooks.posts(psp.dialect, target, due, cases.NOW)
    assert forged.forged
    assert forged.request not in [post.request for post in true]

    def received(request: HttpRequest) -> object:
        return connector.receive(Delivery(headers=request.headers, body=request.body), secrets=(cases.KEY,), at=cases.NOW)

    assert isinstance(received(forged.request), Forged)
    assert [isinstance(received(post.request), Forged) for post in true] == [False, False]
