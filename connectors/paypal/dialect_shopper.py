"""The page PayPal sends a shopper to, to approve a payment from his wallet or to authenticate at his bank, and what its buttons do.

Reached by browsers, without a token: all it knows is the order's id. Whatever is pressed, no money moves: the merchant's own call does
that.
Not here: the page's looks (`connectors.simulator.challenge`).
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from connectors.contract import HttpRequest, HttpResponse
from connectors.paypal import dialect_money
from connectors.paypal.dialect_call import Call
from connectors.paypal.dialect_cards import card_of
from connectors.paypal.dialect_objects import PAYER
from connectors.simulator.cards import Challenge
from connectors.simulator.challenge import PAGE_HEADERS, Choice, challenge_page, notice_page
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Payment

SHOPPER_PATH: Final = "/checkoutnow"
_OPEN: Final = ("CREATED", "PAYER_ACTION_REQUIRED")


def show_challenge(ledger: Ledger, query: str) -> HttpResponse:
    """`GET /checkoutnow?token={id}`: the question, or that it is no longer open."""
    payment = _open_order(ledger, query)
    if payment is None:
        return _over()
    card = card_of(payment.facts["token"])
    paid_by = f"{card.brand} •••• {card.last4}" if payment.facts["source"] == "card" else "PayPal wallet of a test shopper"
    body = challenge_page(
        action=f"{SHOPPER_PATH}?{urlencode({'token': payment.id})}", amount=_words(payment), payment=payment.id, card=paid_by
    )
    return HttpResponse(status=200, headers=PAGE_HEADERS, body=body)


def answer_shopper(call: Call, request: HttpRequest, query: str) -> HttpResponse:
    """`POST /checkoutnow?token={id}` with `outcome`: keeps what was chosen and sends the shopper back. Pressing twice changes nothing."""
    payment = _open_order(call.ledger, query)
    if payment is None:
        return _over()
    try:
        choice = Choice(parse_qs(request.body.decode("ascii"))["outcome"][0])
    except (KeyError, ValueError):
        body = notice_page(title="Nothing chosen", text="The outcome is approve, fail or cancel.")
        return HttpResponse(status=400, headers=PAGE_HEADERS, body=body)
    if choice is Choice.CANCEL:
        return _send(payment.facts["cancel_url"], {"token": payment.id})
    if payment.facts["source"] == "card":
        _authenticate(call, payment, passed=choice is Choice.APPROVE and card_of(payment.facts["token"]).challenge is not Challenge.FAILS)
        return _send(payment.facts["return_url"], {"token": payment.id})
    _approve(call, payment, declines=choice is Choice.FAIL)
    return _send(payment.facts["return_url"], {"token": payment.id, "PayerID": PAYER})


def _authenticate(call: Call, payment: Payment, *, passed: bool) -> None:
    payment.facts["authentication"] = "Y" if passed else "N"
    if passed:
        payment.facts["status"] = "APPROVED"
    call.save(payment)
    if passed:
        call.tell_of_order("APPROVED", payment)


def _approve(call: Call, payment: Payment, *, declines: bool) -> None:
    """The wallet. A shopper who "fails" approves with something that will be declined."""
    facts = payment.facts
    facts |= {"source": "paypal", "status": "APPROVED", "instrument_declines": declines}
    call.save(payment)
    call.tell_of_order("APPROVED", payment)


def _open_order(ledger: Ledger, query: str) -> Payment | None:
    ids = parse_qs(query, max_num_fields=20).get("token", [""])
    payment = ledger.payment(ids[0])
    return payment if payment is not None and payment.id == ids[0] and payment.facts["status"] in _OPEN else None


def _words(payment: Payment) -> str:
    shown = dialect_money.shown(payment.amount, payment.currency)
    return f"{shown['value']} {shown['currency_code']}"


def _send(where: str | None, more: dict[str, str]) -> HttpResponse:
    if where is None:
        body = notice_page(title="Done", text="You can close this page.")
        return HttpResponse(status=200, headers=PAGE_HEADERS, body=body)
    parts, added = urlsplit(where), urlencode(more)
    query = f"{parts.query}&{added}" if parts.query else added
    location = urlunsplit((parts.scheme, parts.netloc, parts.path, query, parts.fragment))
    return HttpResponse(status=303, headers=(("location", location), ("cache-control", "no-store")), body=b"")


def _over() -> HttpResponse:
    body = notice_page(title="Nothing to confirm", text="This confirmation is over, or was never asked for.")
    return HttpResponse(status=404, headers=PAGE_HEADERS, body=body)
