"""The page Stripe sends a shopper to, and what pressing its buttons does to the PaymentIntent.

Reached by browsers, without a key: all it knows is the challenge's address. Not here: the page's looks (`connectors.simulator.challenge`).
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from connectors.contract import HttpRequest, HttpResponse
from connectors.simulator.cards import Challenge
from connectors.simulator.challenge import PAGE_HEADERS, Choice, challenge_page, notice_page
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Payment
from connectors.stripe.dialect_call import Call
from connectors.stripe.dialect_errors import Refused
from connectors.stripe.dialect_money import shown, to_wire
from connectors.stripe.dialect_objects import card_of
from connectors.stripe.dialect_payments import attempt, fail_authentication

SHOPPER_PATH: Final = "/_3ds/"


def show_challenge(ledger: Ledger, path: str) -> HttpResponse:
    """`GET /_3ds/{id}`: the question, or that it is no longer open."""
    payment = _open_challenge(ledger, path)
    if payment is None:
        return _over()
    currency = payment.currency.lower()
    card = card_of(payment.facts["method"])
    body = challenge_page(
        action=path,
        amount=shown(to_wire(payment.amount, currency), currency),
        payment=payment.id,
        card=f"{card.brand} •••• {card.last4}",
    )
    return HttpResponse(status=200, headers=PAGE_HEADERS, body=body)


def answer_shopper(call: Call, request: HttpRequest, path: str) -> HttpResponse:
    """`POST /_3ds/{id}` with `outcome`: goes on with the payment and sends the shopper back. Pressing twice changes nothing."""
    payment = _open_challenge(call.ledger, path)
    if payment is None:
        return _over()
    try:
        choice = Choice(parse_qs(request.body.decode("ascii"))["outcome"][0])
    except (KeyError, ValueError):
        body = notice_page(title="Nothing chosen", text="The outcome is approve, fail or cancel.")
        return HttpResponse(status=400, headers=PAGE_HEADERS, body=body)
    succeeded = _go_on(call, payment, choice)
    return _send_back(payment, succeeded=succeeded)


def _go_on(call: Call, payment: Payment, choice: Choice) -> bool:
    facts = payment.facts
    if choice is not Choice.APPROVE or card_of(facts["method"]).challenge is Challenge.FAILS:
        fail_authentication(call, payment, canceled=choice is Choice.CANCEL)
        return False
    facts["authenticated"] = True
    if facts["confirmation_method"] == "manual":
        # The merchant's server has the last word: it confirms again, and is not asked for authentication twice.
        facts |= {"status": "requires_confirmation", "next_action": None}
        call.ledger.save(payment)
        return True
    try:
        attempt(call, payment, off_session=False, error_on_action=False)
    except Refused:
        return False
    return True


def _open_challenge(ledger: Ledger, path: str) -> Payment | None:
    id, _, number = path.removeprefix(SHOPPER_PATH).rpartition("-")
    payment = ledger.payment(id)
    if payment is None or payment.id != id or payment.facts["status"] != "requires_action":
        return None
    return payment if number == str(payment.facts["challenge"]) else None


def _send_back(payment: Payment, *, succeeded: bool) -> HttpResponse:
    facts = payment.facts
    if facts["return_url"] is None:
        body = notice_page(title="Done", text="You can close this page.")
        return HttpResponse(status=200, headers=PAGE_HEADERS, body=body)
    added = urlencode(
        {
            "payment_intent": payment.id,
            "payment_intent_client_secret": facts["client_secret"],
            "redirect_status": "succeeded" if succeeded else "failed",
        }
    )
    parts = urlsplit(facts["return_url"])
    query = f"{parts.query}&{added}" if parts.query else added
    location = urlunsplit((parts.scheme, parts.netloc, parts.path, query, parts.fragment))
    return HttpResponse(status=303, headers=(("location", location), ("cache-control", "no-store")), body=b"")


def _over() -> HttpResponse:
    body = notice_page(title="Nothing to confirm", text="This confirmation is over, or was never asked for.")
    return HttpResponse(status=404, headers=PAGE_HEADERS, body=body)
