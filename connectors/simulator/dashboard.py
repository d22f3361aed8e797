"""The PSP's dashboard: what a person does there to a payment behind the platform's back, so that the platform has to find it out.

    POST /_dashboard    {"payment", "do": one of Deed, "amount"?}

`payment` is the PSP's own id; `amount` in ISO 4217 minor units, where the deed has one, and all of it where absent. Answers with the
payment's totals. Not here: what the deed means at a PSP (its dialect's `by_hand`), the other doors (`control`).
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from connectors.contract import HttpRequest, HttpResponse
from connectors.simulator.control import json_response
from connectors.simulator.dialect import Deed, Dialect, NotPossible
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Payment, summary

PATH: Final = "/_dashboard"
_FIELDS: Final = frozenset({"payment", "do", "amount"})
_WITH_AMOUNT: Final = frozenset({Deed.CAPTURE, Deed.REFUND, Deed.DISPUTE, Deed.INQUIRY})


class _Wrong(ValueError):
    """The request is not one; the text says why."""


def answer(ledger: Ledger, dialect: Dialect, request: HttpRequest, now: datetime) -> HttpResponse:
    """Does what is asked, or says why not: 400 for a request that is none, 404 for no such payment, 409 for what the PSP does not allow."""
    try:
        payment_id, deed, amount = _asked(request)
    except (ValueError, RecursionError) as problem:
        return json_response(400, {"error": str(problem), "known": [known.value for known in Deed]})
    dialect.due(ledger, now)  # nobody acts on a payment as it was before
    payment = ledger.payment(payment_id)
    if payment is None:
        return json_response(404, {"error": f"there is no payment {payment_id!r} here"})
    try:
        webhooks = dialect.by_hand(ledger, payment, deed, now, amount=amount)
    except NotPossible as refusal:
        return json_response(409, {"error": str(refusal)})
    after = ledger.payment(payment.id)
    assert after is not None, "a payment does not go away"
    return json_response(200, {"payment": _shown(ledger, after), "webhooks": [one.type for one in webhooks]})


def _shown(ledger: Ledger, payment: Payment) -> dict[str, Any]:
    return dict(summary(ledger.psp, payment))


def _asked(request: HttpRequest) -> tuple[str, Deed, int | None]:
    if request.method != "POST":
        raise _Wrong("the dashboard takes POST")
    # Only JSON by name: a web page can make a browser post a form here, but not this.
    if not next((value for name, value in request.headers if name == "content-type"), "").startswith("application/json"):
        raise _Wrong("a deed is application/json")
    asked = json.loads(request.body)
    if not isinstance(asked, dict):
        raise _Wrong("a deed is an object")
    if unknown := sorted(set(asked) - _FIELDS):
        raise _Wrong(f"unknown field {unknown[0]!r}")
    payment_id, what, amount = asked.get("payment"), asked.get("do"), asked.get("amount")
    if not isinstance(payment_id, str):
        raise _Wrong("payment is the PSP's id of a payment")
    if what not in list(Deed):
        raise _Wrong(f"unknown deed {what!r}; the deeds are: {', '.join(Deed)}")
    deed = Deed(str(what))
    # `type is`, because True is an int.
    if amount is not None and (type(amount) is not int or amount < 1 or deed not in _WITH_AMOUNT):
        raise _Wrong(f"amount is a whole number of minor units from 1, and only for: {', '.join(sorted(_WITH_AMOUNT))}")
    return payment_id, deed, amount
