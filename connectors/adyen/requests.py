"""From an order to the exact call that is stored before it is sent: method, path, JSON body, in one fixed order.

The merchant account, which nearly every message names, is not stored: it belongs to the API key like a user to a password, and `connector`
puts it in front when the call is sent. Everything that ends in a path is checked first, so that no id can change what is asked for.

Not here: authentication and idempotency headers, which are never stored (`connector`), or what the answers mean (`answers`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from connectors.adyen.manifest import API_VERSION, NAME
from connectors.adyen.money import to_wire
from connectors.adyen.options import authentication, check_options
from connectors.contract import AuthorizeOrder, CompletionOrder, NotSupported, OperationOrder
from payorch.domain.intent import Initiator, Intent
from payorch.domain.money import Money
from payorch.domain.records import Attempt, PreparedCall

JSON: Final = "application/json"
PAYMENT_KEY: Final = "payorch_payment"
CAPTURES_KEY: Final = "payorch_captures"
_SEVERAL: Final = "several"

PAYMENTS: Final = f"/{API_VERSION}/payments"
DETAILS: Final = f"{PAYMENTS}/details"
CANCELS: Final = f"/{API_VERSION}/cancels"
LONGEST_RESULT: Final = 20_000
"""Of a `redirectResult`. Source: Checkout v71, PaymentCompletionDetails."""
_RESULT: Final = re.compile(rf"[!-~]{{1,{LONGEST_RESULT}}}")
_PSP_REFERENCE: Final = re.compile(r"[A-Za-z0-9]{1,64}")
_OUR_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")

REFUND_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "duplicate": "DUPLICATE",
        "fraud": "FRAUD",
        "fraudulent": "FRAUD",
        "customer_request": "CUSTOMER REQUEST",
        "requested_by_customer": "CUSTOMER REQUEST",
        "return": "RETURN",
    }
)
"""A merchant's word for why (lower case, underscores) -> Adyen's. Any other reason is OTHER there, and stays with us in its own words."""


def authorize(order: AuthorizeOrder) -> PreparedCall:
    """Authorise a stored card, for capture by a call of ours. Raises NotSupported where Adyen cannot be asked this."""
    intent, options = order.intent, _options(order.intent)
    customer = intent.initiator is Initiator.CUSTOMER
    several = {CAPTURES_KEY: _SEVERAL} if options.get("multiple_partial_captures") else {}
    body: dict[str, object] = {
        "amount": _wire(intent.amount),
        "reference": _ours(order.attempt_id),
        "paymentMethod": {"type": "scheme", "storedPaymentMethodId": _token(intent)},
        "returnUrl": order.return_url,
        "channel": "Web",
        # A card that the merchant has stored, by Adyen's own guide for tokens: with the shopper there, or without.
        "shopperInteraction": "ContAuth",
        "recurringProcessingModel": options.get("recurring_processing_model") or ("CardOnFile" if customer else "UnscheduledCardOnFile"),
        "shopperReference": _shopper(intent, options),
        "shopperStatement": options.get("shopper_statement"),
        "authenticationData": authentication(options, step_up=order.step_up) if customer else None,
        # Whatever the account's capture delay: what we did not capture must not be taken.
        "additionalData": {"manualCapture": "true"},
        "metadata": {PAYMENT_KEY: _ours(order.payment_id), **several},
    }
    return _post(PAYMENTS, body)


def complete(order: CompletionOrder) -> PreparedCall | None:
    """Hand Adyen back what its redirect gave the shopper; None where that is not there, or cannot be it."""
    result = order.returned.get("redirectResult", "")
    return _post(DETAILS, {"details": {"redirectResult": result}}) if _RESULT.fullmatch(result) else None


def fence(attempt: Attempt) -> PreparedCall:
    """Cancel whatever was authorised under our reference. Raises NotSupported.

    Its own reference is the attempt's too: by whichever of the two Adyen tells of the outcome, it is about this attempt.
    """
    reference = _ours(attempt.id)
    return _post(CANCELS, {"paymentReference": reference, "reference": reference})


def capture(order: OperationOrder) -> PreparedCall:
    """Capture part or all of what is held. Raises NotSupported, also for a rest to stay open that the account is not said to keep, and for
    one to go that it keeps: there that takes a cancel of its own."""
    # By the label where only the first call is at hand: a call that completes it takes its place.
    several = bool(order.options.get("multiple_partial_captures")) or keeps_the_rest(order.attempt.call)
    if several and order.final and order.leaves_minor > 0:
        raise NotSupported(
            "this payment's merchant account keeps the rest open after a capture (connector option multiple_partial_captures): "
            'send "final": false, and void the rest'
        )
    if not order.final and not several:
        raise NotSupported(
            "this payment was not authorised for several captures (connector option multiple_partial_captures, where the merchant account "
            'has that feature): send "final": true to capture this and release the rest'
        )
    body = {"amount": _wire(_amount(order)), "reference": _ours(order.operation_id)}
    return _post(f"{PAYMENTS}/{_psp_reference(order.attempt)}/captures", body)


def void(order: OperationOrder) -> PreparedCall:
    """Cancel what is held, or the rest of it. Raises NotSupported."""
    return _post(f"{PAYMENTS}/{_psp_reference(order.attempt)}/cancels", {"reference": _ours(order.operation_id)})


def refund(order: OperationOrder) -> PreparedCall:
    """Refund part or all of what was captured. Raises NotSupported."""
    reason = (order.reason or "").strip().lower().replace(" ", "_")
    body = {
        "amount": _wire(_amount(order)),
        "merchantRefundReason": REFUND_REASONS.get(reason, "OTHER") if reason else None,
        "reference": _ours(order.operation_id),
    }
    return _post(f"{PAYMENTS}/{_psp_reference(order.attempt)}/refunds", body)


def keeps_the_rest(call: PreparedCall) -> bool:
    """Whether that stored authorisation was said to be on an account that keeps the rest open after a partial capture."""
    try:
        body = msgspec.json.decode(call.body)
    except (ValueError, RecursionError):
        return False
    metadata = body.get("metadata") if isinstance(body, dict) else None
    return isinstance(metadata, dict) and metadata.get(CAPTURES_KEY) == _SEVERAL


def target(call: PreparedCall) -> str | None:
    """Adyen's id of the payment that a stored modification is about; None for the calls that name none."""
    segments = call.path.split("/")
    return segments[3] if call.path.startswith(f"{PAYMENTS}/") and len(segments) == 5 else None


def with_account(call: PreparedCall, account: str) -> bytes:
    """The body as it goes on the wire: with the merchant account in front, except where Adyen takes none."""
    if call.path == DETAILS:
        return call.body.encode()
    return b'{"merchantAccount":%s,%s' % (msgspec.json.encode(account), call.body[1:].encode())


def _post(path: str, body: Mapping[str, object]) -> PreparedCall:
    try:
        text = msgspec.json.encode({name: value for name, value in body.items() if value is not None}).decode()
    except UnicodeEncodeError as problem:
        raise NotSupported("a value is not valid Unicode text") from problem
    return PreparedCall(method="POST", path=path, content_type=JSON, body=text)


def _wire(money: Money) -> dict[str, object]:
    return {"currency": money.currency, "value": to_wire(money)}


def _token(intent: Intent) -> str:
    method = intent.method
    token = method.token_for(NAME) if method is not None and method.type == "card" else None
    if not token:
        raise NotSupported("only cards are offered, by a token of the PSP's")
    return token


def _shopper(intent: Intent, options: Mapping[str, object]) -> object:
    given = options.get("shopper_reference")
    if given is not None:
        return given
    reference = intent.customer.reference if intent.customer is not None else None
    return reference if reference is not None and 3 <= len(reference) <= 256 else None


def _options(intent: Intent) -> Mapping[str, object]:
    options = intent.connector_options.get(NAME, {})
    if problems := check_options(options):
        raise NotSupported("; ".join(problems))
    return options


def _amount(order: OperationOrder) -> Money:
    if order.amount is None or order.amount.currency != order.attempt.amount.currency:
        raise NotSupported("a capture or refund has an amount in the payment's own currency")
    return order.amount


def _psp_reference(attempt: Attempt) -> str:
    reference = attempt.psp_reference
    if reference is None or not _PSP_REFERENCE.fullmatch(reference):
        raise NotSupported("the PSP's id of this payment is not known")
    return reference


def _ours(identifier: str) -> str:
    if not _OUR_ID.fullmatch(identifier):
        raise NotSupported("an id of ours holds characters that have no place in a reference")
    return identifier
