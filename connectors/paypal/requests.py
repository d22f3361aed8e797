"""From an order to the exact call that is stored before it is sent: method, path, JSON body, its fields in one fixed order.

Everything made carries an id of ours: an order the attempt's, as `custom_id` and as `invoice_id`, which is unique in an account that asks
for it, so that a second order of the same attempt is refused; a capture its operation's as `invoice_id`, since it takes its `custom_id`
from the order; a refund its operation's as both. Everything that ends in a path is checked first, so that no id can change what is asked
for.

Not here: authentication and idempotency headers, which are never stored (`connector`), or what the answers mean (`answers`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from connectors.contract import AuthorizeOrder, CompletionOrder, NotSupported, OperationOrder
from connectors.paypal.manifest import CARD, NAME, WALLET
from connectors.paypal.money import to_wire
from connectors.paypal.options import card_verification, check_options, wallet_context
from payorch.domain.intent import CaptureMode, Initiator, Intent
from payorch.domain.money import Money
from payorch.domain.records import Attempt, Operation, OperationKind, PreparedCall

JSON: Final = "application/json"
ORDERS: Final = "/v2/checkout/orders"
AUTHORIZATIONS: Final = "/v2/payments/authorizations"
CAPTURES: Final = "/v2/payments/captures"
REFUNDS: Final = "/v2/payments/refunds"
GAVE_UP: Final = ("shopper", "gave_up")
"""What stands in the query of the address to which PayPal sends a shopper who does not want to pay."""

_PAYPAL_ID: Final = re.compile(r"[A-Za-z0-9-]{1,36}")
_OUR_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_VAULT_ID: Final = re.compile(r"[0-9a-zA-Z_-]{1,255}")


def authorize(order: AuthorizeOrder) -> PreparedCall:
    """Create one order. With a saved card it is authorised, or captured, at once, unless the shopper has to authenticate; with the wallet
    it waits for the shopper. Raises NotSupported where PayPal cannot be asked this."""
    intent, options = order.intent, _options(order.intent)
    manual = intent.capture is CaptureMode.MANUAL
    unit = {
        "reference_id": _ours(order.payment_id),
        "amount": to_wire(intent.amount),
        "custom_id": _ours(order.attempt_id),
        "invoice_id": _ours(order.attempt_id),
        "soft_descriptor": options.get("soft_descriptor"),
    }
    source = {CARD: _card, WALLET: _wallet}.get(intent.method.type if intent.method is not None else "")
    if source is None:
        raise NotSupported("only saved cards and the wallet are offered")
    return _post(
        ORDERS,
        {
            "intent": "AUTHORIZE" if manual else "CAPTURE",
            "purchase_units": [unit],
            "payment_source": source(order, options),
        },
    )


def complete(order: CompletionOrder) -> PreparedCall | None:
    """Authorise or capture the order that the shopper has approved. None where he gave up, or where PayPal has to be asked first.

    That is so for a card: he comes back from his bank whether he could authenticate or not, and only the order says which.
    """
    returned, attempt = order.returned, order.attempt
    asks_first = order.intent.method is not None and order.intent.method.type == CARD
    if returned and (asks_first or returned.get(GAVE_UP[0]) == GAVE_UP[1]):
        return None
    order_id = usable(attempt.psp_reference)
    if order_id is None:
        return None
    return _post(f"{ORDERS}/{order_id}/{'capture' if is_automatic(attempt.call) else 'authorize'}", {})


def capture(order: OperationOrder) -> PreparedCall:
    """Capture part or all of an authorization; `final` releases the rest. Raises NotSupported."""
    body = {"amount": to_wire(_amount(order)), "invoice_id": _ours(order.operation_id), "final_capture": order.final}
    return _post(f"{AUTHORIZATIONS}/{_authorization_id(order.attempt)}/capture", body)


def void(order: OperationOrder) -> PreparedCall:
    """Release an authorization, or its rest. Raises NotSupported, also for an order that waits for the shopper: it can only lapse."""
    return _post(f"{AUTHORIZATIONS}/{_authorization_id(order.attempt)}/void", {})


def refund(order: OperationOrder) -> PreparedCall:
    """Refund part or all of one capture: of the order's own, or of the capture of ours that is named. Raises NotSupported."""
    if order.capture is not None:
        taken = usable(order.capture.psp_reference)
    else:
        taken = usable(order.attempt.money_reference) if is_automatic(order.attempt.call) else None
    if taken is None:
        raise NotSupported("a refund is of one capture, and the PSP's id of it is not known")
    ours = _ours(order.operation_id)
    return _post(f"{CAPTURES}/{taken}/refund", {"amount": to_wire(_amount(order)), "custom_id": ours, "invoice_id": ours})


def inquire(subject: Attempt | Operation, attempt: Attempt) -> PreparedCall | None:
    """The read-only call for an attempt, capture, void or refund; None where no id that PayPal knows is known to us.

    A capture or refund that has an id of its own is asked by it. All else is read in the order, which lists what was made of it.
    """
    if isinstance(subject, Operation) and (own := usable(subject.psp_reference)) is not None:
        if subject.kind is OperationKind.CAPTURE:
            return _get(f"{CAPTURES}/{own}")
        if subject.kind is OperationKind.REFUND:
            return _get(f"{REFUNDS}/{own}")
    order_id = usable(attempt.psp_reference)
    return None if order_id is None else _get(f"{ORDERS}/{order_id}")


def is_automatic(call: PreparedCall) -> bool:
    """Whether that stored authorisation, or completion of one, asked for the money and not only for a hold."""
    if is_completion(call):
        return call.path.endswith("/capture")
    try:
        body = msgspec.json.decode(call.body)
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and body.get("intent") == "CAPTURE"


def is_completion(call: PreparedCall) -> bool:
    """Whether the call finishes an order that was made before."""
    return call.method == "POST" and call.path.startswith(f"{ORDERS}/")


def target(call: PreparedCall) -> str | None:
    """The id that a stored call names in its path; None for the creation of an order."""
    segments = call.path.partition("?")[0].split("/")
    return usable(segments[4]) if len(segments) > 4 else None


def usable(reference: str | None) -> str | None:
    """An id that can stand in a path: letters, digits, hyphens. Anything else is as good as none."""
    return reference if reference is not None and _PAYPAL_ID.fullmatch(reference) else None


def _card(order: AuthorizeOrder, options: Mapping[str, object]) -> dict[str, object]:
    intent = order.intent
    token = intent.method.token_for(NAME) if intent.method is not None else None
    if not token or not _VAULT_ID.fullmatch(token):
        raise NotSupported("a card is charged by the PSP's id of a saved one: letters, digits, _ and -")
    alone = intent.initiator is Initiator.MERCHANT
    if alone and order.step_up:
        raise NotSupported("nobody is there to authenticate")
    stored = {"payment_initiator": "MERCHANT", "payment_type": options.get("payment_type", "UNSCHEDULED"), "usage": "SUBSEQUENT"}
    method = card_verification(options, step_up=order.step_up)
    card = {
        "vault_id": token,
        "stored_credential": stored if alone else None,
        "attributes": {"verification": {"method": method}} if method is not None else None,
        "experience_context": None if alone else _ways_back(order),
    }
    return {CARD: card}


def _wallet(order: AuthorizeOrder, options: Mapping[str, object]) -> dict[str, object]:
    intent = order.intent
    if intent.initiator is Initiator.MERCHANT or order.step_up:
        raise NotSupported("the wallet is opened by the shopper himself")
    if intent.method is not None and intent.method.token_for(NAME) is not None:
        raise NotSupported("the wallet takes no token: the shopper signs in to it")
    return {WALLET: {"experience_context": {**wallet_context(options), **_ways_back(order)}}}


def _ways_back(order: AuthorizeOrder) -> dict[str, object]:
    parts = urlsplit(order.return_url)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), GAVE_UP])
    return {"return_url": order.return_url, "cancel_url": urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))}


def _post(path: str, body: Mapping[str, object]) -> PreparedCall:
    try:
        text = msgspec.json.encode(_without_nothing(body)).decode()
    except (ValueError, UnicodeEncodeError) as problem:
        raise NotSupported("a value is not valid Unicode text") from problem
    return PreparedCall(method="POST", path=path, content_type=JSON, body=text)


def _without_nothing(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _without_nothing(inner) for name, inner in value.items() if inner is not None}
    return [_without_nothing(inner) for inner in value] if isinstance(value, list) else value


def _get(path: str) -> PreparedCall:
    return PreparedCall(method="GET", path=path)


def _options(intent: Intent) -> Mapping[str, object]:
    options = intent.connector_options.get(NAME, {})
    problems = check_options(options)
    if problems:
        raise NotSupported("; ".join(problems))
    return options


def _amount(order: OperationOrder) -> Money:
    if order.amount is None:
        raise NotSupported("this operation needs an amount")
    return order.amount


def _authorization_id(attempt: Attempt) -> str:
    held = None if is_automatic(attempt.call) else usable(attempt.money_reference)
    if held is None:
        raise NotSupported("nothing is held, or the PSP's id of what is held is not known")
    return held


def _ours(identifier: str) -> str:
    if not _OUR_ID.fullmatch(identifier):
        raise NotSupported("an id of ours holds characters that have no place in the PSP's books")
    return identifier
