"""The page Adyen sends a shopper to, and what pressing its buttons does: he is sent back with a result that the merchant has to submit.

Reached by browsers, without a key: all it knows is the session's address. Nothing is authorised here. Not here: the page's looks
(`connectors.simulator.challenge`), what the result leads to (`dialect_payments`).
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from connectors.adyen import dialect_money, dialect_payments
from connectors.adyen.dialect_call import Call
from connectors.adyen.dialect_cards import card_of
from connectors.contract import HttpRequest, HttpResponse
from connectors.simulator.challenge import PAGE_HEADERS, Choice, challenge_page, notice_page
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Payment

SHOPPER_PATH: Final = "/_redirect/"


def show_challenge(ledger: Ledger, path: str) -> HttpResponse:
    """`GET /_redirect/{session}`: the question, or that it is no longer open."""
    payment = _open_session(ledger, path)
    if payment is None:
        return _over()
    card = card_of(payment.facts["card"])
    amount = dialect_money.shown(payment.amount, payment.currency)
    body = challenge_page(action=path, amount=amount, payment=payment.facts["session"], card=f"{card.brand} •••• {card.last4}")
    return HttpResponse(status=200, headers=PAGE_HEADERS, body=body)


def answer_shopper(call: Call, request: HttpRequest, path: str) -> HttpResponse:
    """`POST /_redirect/{session}` with `outcome`: sends the shopper back with the result. Pressing twice changes nothing."""
    payment = _open_session(call.ledger, path)
    if payment is None:
        return _over()
    if payment.facts["result_token"] is not None:
        return _send_back(payment, payment.facts["result_token"])
    try:
        choice = Choice(parse_qs(request.body.decode("ascii"))["outcome"][0])
    except (KeyError, ValueError):
        body = notice_page(title="Nothing chosen", text="The outcome is approve, fail or cancel.")
        return HttpResponse(status=400, headers=PAGE_HEADERS, body=body)
    return _send_back(payment, dialect_payments.return_shopper(call, payment, choice.value))


def _open_session(ledger: Ledger, path: str) -> Payment | None:
    session = path.removeprefix(SHOPPER_PATH)
    payment = ledger.payment(session)
    return payment if payment is not None and payment.facts["session"] == session and payment.facts["status"] == "redirect" else None


def _send_back(payment: Payment, token: str) -> HttpResponse:
    parts = urlsplit(payment.facts["return_url"])
    added = urlencode({"redirectResult": token})
    query = f"{parts.query}&{added}" if parts.query else added
    location = urlunsplit((parts.scheme, parts.netloc, parts.path, query, parts.fragment))
    return HttpResponse(status=303, headers=(("location", location), ("cache-control", "no-store")), body=b"")


def _over() -> HttpResponse:
    body = notice_page(title="Nothing to confirm", text="This confirmation is over, or was never asked for.")
    return HttpResponse(status=404, headers=PAGE_HEADERS, body=body)
