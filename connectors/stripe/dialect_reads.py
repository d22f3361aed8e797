"""The endpoints that only look: retrieve, list and search PaymentIntents, refunds, charges, disputes and events.

Searching sees what the index has: a payment appears in it some time after it was made, so absence there proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgspec.json import decode

from connectors.simulator.records import Operation, OperationKind, Payment
from connectors.stripe import dialect_disputes
from connectors.stripe.dialect_call import Call
from connectors.stripe.dialect_errors import Invalid, Refused, no_such
from connectors.stripe.dialect_forms import Form
from connectors.stripe.dialect_objects import charge, listing, payment_intent, refund

_CURSORS: Final = frozenset({"ending_before", "expand", "limit", "starting_after"})
ONE: Final = frozenset({"client_secret", "expand"})
INTENTS: Final = _CURSORS | {"created", "customer", "customer_account"}
REFUNDS: Final = _CURSORS | {"charge", "created", "payment_intent"}
DISPUTES: Final = REFUNDS
CHARGES: Final = _CURSORS | {"created", "customer", "payment_intent", "transfer_group"}
EVENTS: Final = _CURSORS | {"created", "delivery_success", "type", "types"}
SEARCH: Final = frozenset({"expand", "limit", "page", "query"})

_DEFAULT_LIMIT: Final = 10
_LARGEST_LIMIT: Final = 100
_LATEST_REFUNDS: Final = "latest_charge.refunds"
# What stands behind a name that is null here is null when it is expanded.
_EXPANDABLE: Final = ("latest_charge", _LATEST_REFUNDS, "payment_method", "customer", "review", "application", "on_behalf_of", "invoice")
_REFUNDS_IN_A_CHARGE: Final = 10
"""How many of a charge's refunds, the newest, stand in it when they are expanded."""
_CLAUSE: Final = re.compile(r"""(metadata\[(?:'([^']*)'|"([^"]*)")\]|status|currency|amount)\s*:\s*(?:'([^']*)'|"([^"]*)"|([0-9]+))""")
_AND: Final = re.compile(r"\s+(?:AND\s+)?", re.IGNORECASE)


def expansions(form: Form, *, prefix: str = "") -> tuple[str, ...]:
    """What a PaymentIntent is asked to show in full; `prefix` is `data.` in lists."""
    asked = form.texts("expand")
    for name in asked:
        if not name.startswith(prefix) or name.removeprefix(prefix) not in _EXPANDABLE:
            raise Invalid(f"This property cannot be expanded ({name}).", param="expand")
    return tuple(name.removeprefix(prefix) for name in asked)


def shown(call: Call, payment: Payment, expand: Collection[str]) -> dict[str, Any]:
    """The PaymentIntent with what `expand` names in full, the refunds of its charge among it."""
    intent = payment_intent(payment, expand)
    if _LATEST_REFUNDS in expand and intent["latest_charge"] is not None:
        intent["latest_charge"]["refunds"] = _refunds_of(call, payment, payment.facts["charges"][-1]["id"])
    return intent


def _refunds_of(call: Call, payment: Payment, charge_id: str) -> dict[str, Any]:
    page = call.ledger.operations(limit=_LARGEST_LIMIT, payment=payment.id)
    made = [refund(it, payment.currency.lower()) for it in page.items if it.facts["charge"] == charge_id]
    more = page.more or len(made) > _REFUNDS_IN_A_CHARGE
    return listing(f"/v1/charges/{charge_id}/refunds", made[:_REFUNDS_IN_A_CHARGE], more)


def shown_refund(call: Call, id: str) -> dict[str, Any]:
    """The refund with that id, as it now stands."""
    operation, payment = find_refund(call, id)
    return refund(operation, payment.currency.lower())


def find_intent(call: Call, id: str) -> Payment:
    """The payment with exactly that PaymentIntent id; 404 otherwise."""
    payment = call.ledger.payment(id)
    if payment is None or payment.id != id:
        raise no_such("payment_intent", id, "intent")
    return payment


def find_refund(call: Call, id: str) -> tuple[Operation, Payment]:
    """The refund with that id and its payment; 404 otherwise."""
    operation = call.ledger.operation(id)
    payment = None if operation is None else call.ledger.payment(operation.payment)
    if operation is None or payment is None:
        raise no_such("refund", id)
    return operation, payment


def shown_dispute(call: Call, id: str) -> dict[str, Any]:
    """The dispute with that id, as it now stands."""
    return dialect_disputes.shown(*find_dispute(call, id))


def find_dispute(call: Call, id: str) -> tuple[Operation, Payment]:
    """The dispute with that id and its payment; 404 otherwise."""
    dispute = call.ledger.operation(id, OperationKind.DISPUTE)
    payment = None if dispute is None else call.ledger.payment(dispute.payment)
    if dispute is None or payment is None:
        raise no_such("dispute", id)
    return dispute, payment


def one_intent(call: Call, form: Form, id: str) -> dict[str, Any]:
    """`GET /v1/payment_intents/{id}`."""
    expand = expansions(form)
    return shown(call, find_intent(call, id), expand)


def one_refund(call: Call, form: Form, id: str) -> dict[str, Any]:
    """`GET /v1/refunds/{id}`."""
    return shown_refund(call, id)


def one_dispute(call: Call, form: Form, id: str) -> dict[str, Any]:
    """`GET /v1/disputes/{id}`."""
    return shown_dispute(call, id)


def one_charge(call: Call, form: Form, id: str) -> dict[str, Any]:
    """`GET /v1/charges/{id}`."""
    asked = form.texts("expand")
    if any(name != "refunds" for name in asked):
        raise Invalid(f"This property cannot be expanded ({', '.join(asked)}).", param="expand")
    payment = call.ledger.payment(id)
    found = [] if payment is None else [it for it in payment.facts["charges"] if it["id"] == id]
    if payment is None or not found:
        raise no_such("charge", id)
    return charge(payment, found[0]) | ({"refunds": _refunds_of(call, payment, id)} if asked else {})


def list_charges(call: Call, form: Form) -> dict[str, Any]:
    """`GET /v1/charges` of one PaymentIntent: declined tries and all, newest first."""
    _refuse_any(form, ("created", "customer", "transfer_group", "expand", "starting_after", "ending_before"))
    payment = find_intent(call, form.text("payment_intent", required=True) or "")
    made, limit = [charge(payment, it) for it in reversed(payment.facts["charges"])], _limit(form)
    return listing("/v1/charges", made[:limit], len(made) > limit)


def one_event(call: Call, form: Form, id: str) -> dict[str, Any]:
    """`GET /v1/events/{id}`."""
    found = call.ledger.outbox.notification(id)
    if found is None:
        raise no_such("event", id)
    shown: dict[str, Any] = decode(found.body)
    return shown


def list_intents(call: Call, form: Form) -> dict[str, Any]:
    """`GET /v1/payment_intents`."""
    expand = expansions(form, prefix="data.")
    before = _cursor(form, "starting_after", lambda id: find_intent(call, id).number)
    after = _cursor(form, "ending_before", lambda id: find_intent(call, id).number)
    page = call.ledger.payments(limit=_limit(form), before=before, after=after, created=_created(form))
    return listing("/v1/payment_intents", [shown(call, it, expand) for it in page.items], page.more)


def list_refunds(call: Call, form: Form) -> dict[str, Any]:
    """`GET /v1/refunds`, of one payment or charge, or all."""
    _only_forward(form)
    payment = _payment_asked_for(call, form)
    before = _cursor(form, "starting_after", lambda id: find_refund(call, id)[0].number)
    page = call.ledger.operations(limit=_limit(form), payment=payment, before=before)
    items = [refund(it, find_refund(call, it.id)[1].currency.lower()) for it in page.items]
    return listing("/v1/refunds", items, page.more)


def list_disputes(call: Call, form: Form) -> dict[str, Any]:
    """`GET /v1/disputes`, of one payment or charge, or all."""
    _only_forward(form)
    payment = _payment_asked_for(call, form)
    before = _cursor(form, "starting_after", lambda id: find_dispute(call, id)[0].number)
    page = call.ledger.operations(limit=_limit(form), payment=payment, before=before, kind=OperationKind.DISPUTE)
    return listing("/v1/disputes", [shown_dispute(call, it.id) for it in page.items], page.more)


def _payment_asked_for(call: Call, form: Form) -> str | None:
    """The id of the payment to which a list is limited; None for all."""
    subject = form.text("payment_intent") or form.text("charge")
    payment = None if subject is None else call.ledger.payment(subject)
    if subject is not None and payment is None:
        raise no_such("payment_intent" if "payment_intent" in form else "charge", subject, status=400)
    return None if payment is None else payment.id


def list_events(call: Call, form: Form) -> dict[str, Any]:
    """`GET /v1/events`: what was owed, delivered or not. The way to catch up after lost webhooks."""
    _only_forward(form)
    one = form.text("type")
    types = form.texts("types") or (() if one is None else (one,))

    def number(id: str) -> int:
        found = call.ledger.outbox.notification(id)
        if found is None:
            raise no_such("event", id, status=400)
        return found.number

    page = call.ledger.notifications(limit=_limit(form), before=_cursor(form, "starting_after", number), types=types)
    return listing("/v1/events", [decode(it.body) for it in page.items], page.more)


def search(call: Call, form: Form) -> dict[str, Any]:
    """`GET /v1/payment_intents/search`: equality on metadata, status, currency and amount, joined by AND."""
    query = form.text("query", required=True) or ""
    expand = expansions(form, prefix="data.")
    limit = _limit(form)
    labels, others = _clauses(query)
    indexed = call.now - timedelta(seconds=call.settings.search_lag_seconds)
    before: int | None = _page_number(form)
    found: list[Payment] = []
    more = True
    while more and len(found) <= limit:
        page = call.ledger.payments(limit=_LARGEST_LIMIT, before=before, created=(None, indexed), labels=labels)
        found += [it for it in page.items if _matches(it, labels, others)]
        more = page.more
        before = page.items[-1].number if page.items else before
    kept = found[:limit]
    left = len(found) > limit
    return {
        "object": "search_result",
        "data": [shown(call, it, expand) for it in kept],
        "has_more": left,
        "next_page": str(kept[-1].number) if left else None,
        "url": "/v1/payment_intents/search",
    }


def _clauses(query: str) -> tuple[dict[str, str], dict[str, str]]:
    labels: dict[str, str] = {}
    others: dict[str, str] = {}
    at = 0
    while at < len(query):
        match = _CLAUSE.match(query, at)
        if match is None:
            raise Refused(f"We were unable to parse your search query: {query[:200]}", param="query")
        field, single, double, *values = match.groups()
        value = next(part for part in values if part is not None)
        if field.startswith("metadata"):
            labels[single if single is not None else double] = value
        else:
            others[field] = value
        gap = _AND.match(query, match.end())
        at = match.end() if gap is None else gap.end()
        if gap is None and at < len(query):
            raise Refused(f"We were unable to parse your search query: {query[:200]}", param="query")
    return labels, others


def _matches(payment: Payment, labels: dict[str, str], others: dict[str, str]) -> bool:
    # Labels are never taken back, metadata can be: the index knows where to look, the object what is true.
    metadata = payment.facts["metadata"]
    if any(metadata.get(name) != value for name, value in labels.items()):
        return False
    intent = payment_intent(payment) if others else {}
    return all(str(intent[name]) == value for name, value in others.items())


def _limit(form: Form) -> int:
    limit = form.positive("limit")
    if limit is not None and limit > _LARGEST_LIMIT:
        message = f"This value must be less than or equal to {_LARGEST_LIMIT}."
        raise Invalid(message, code="parameter_invalid_integer", param="limit")
    return limit or _DEFAULT_LIMIT


def _cursor(form: Form, name: str, number: Callable[[str], int]) -> int | None:
    id = form.text(name)
    return None if id is None else number(id)


def _only_forward(form: Form) -> None:
    # A simulator that ignored a parameter would lie; these two lists are only ever read forward.
    _refuse_any(form, ("ending_before", "created", "delivery_success"))


def _refuse_any(form: Form, names: Collection[str]) -> None:
    for name in names:
        if name in form:
            raise Invalid(f"This simulator does not support {name} here.", param=name)


def _page_number(form: Form) -> int | None:
    page = form.text("page")
    if page is None:
        return None
    if not page.isascii() or not page.isdigit():
        raise Invalid("Invalid page", param="page")
    return int(page)


def _created(form: Form) -> tuple[datetime | None, datetime | None]:
    bounds: dict[str, datetime | None] = {"from": None, "to": None}
    for name, text in form.table("created").items():
        if name not in ("gt", "gte", "lt", "lte") or not isinstance(text, str) or not text.isascii() or not text.isdigit():
            raise Invalid("Invalid created filter", param=f"created[{name}]")
        if len(text) > 11:
            raise Invalid("Invalid timestamp", param=f"created[{name}]")
        # Stripe's times are whole seconds, the ledger's are milliseconds: a second lasts until just before the next.
        second = int(text) + {"gt": 1, "lt": -1}.get(name, 0)
        edge = "from" if name.startswith("g") else "to"
        spare = timedelta() if edge == "from" else timedelta(milliseconds=999)
        bounds[edge] = datetime.fromtimestamp(second, UTC) + spare
    return bounds["from"], bounds["to"]
