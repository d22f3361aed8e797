"""From an order to the exact call that is stored before it is sent: method, path, form-encoded body, in one fixed order.

The body is written as Stripe's own libraries write it: nested `a[b]=`, arrays with their index, `true`/`false`, brackets percent-encoded.
Everything that ends in a path or a search query is checked first, so that no id can change what is asked for.

Not here: authentication and idempotency headers, which are never stored (`connector`), or what the answers mean (`answers`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, quote_plus, urlsplit

from connectors.contract import AuthorizeOrder, NotSupported, OperationOrder
from connectors.stripe.manifest import NAME
from connectors.stripe.money import to_wire
from connectors.stripe.options import card_parameters, check_options
from payorch.domain.intent import CaptureMode, Initiator, Intent
from payorch.domain.money import Money
from payorch.domain.records import Attempt, Operation, OperationKind, PreparedCall

FORM: Final = "application/x-www-form-urlencoded"
ATTEMPT_KEY: Final = "payorch_attempt"
PAYMENT_KEY: Final = "payorch_payment"
OPERATION_KEY: Final = "payorch_operation"

_INTENTS: Final = "/v1/payment_intents"
_REFUNDS: Final = "/v1/refunds"
_ALL_OF_IT: Final = "latest_charge.refunds"
"""The charge behind a PaymentIntent with its totals, and in it the refunds, also those that were made in Stripe's dashboard."""
_STRIPE_ID: Final = re.compile(r"[A-Za-z0-9_]{1,255}")
_OUR_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_ASKED_FOR_MULTICAPTURE: Final = ("payment_method_options[card][request_multicapture]", "if_available")

_quoted_name: Final = lru_cache(maxsize=256)(quote_plus)  # the same few names in every call

REFUND_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "duplicate": "duplicate",
        "fraud": "fraudulent",
        "fraudulent": "fraudulent",
        "customer_request": "requested_by_customer",
        "requested_by_customer": "requested_by_customer",
        "return": "requested_by_customer",
    }
)
"""A merchant's word for why (lower case, underscores) -> Stripe's. Any other reason stays with us: Stripe has only these three."""


def authorize(order: AuthorizeOrder) -> PreparedCall:
    """Create and confirm one PaymentIntent, in one call. Raises NotSupported where Stripe cannot be asked this."""
    intent, token, options = order.intent, _token(order.intent), _options(order.intent)
    manual = intent.capture is CaptureMode.MANUAL
    parameters: dict[str, object] = {
        "amount": to_wire(intent.amount),
        "currency": intent.amount.currency.lower(),
        # `automatic` by name: newer API versions default to automatic_async, which answers before the capture is done.
        "capture_method": "manual" if manual else "automatic",
        "confirm": True,
        "payment_method": token,
        "payment_method_types": ["card"],
        "customer": options.get("customer"),
        "return_url": order.return_url,
        "off_session": True if intent.initiator is Initiator.MERCHANT else None,
        "setup_future_usage": options.get("setup_future_usage"),
        "statement_descriptor_suffix": options.get("statement_descriptor_suffix"),
        "metadata": {ATTEMPT_KEY: _ours(order.attempt_id), PAYMENT_KEY: _ours(order.payment_id)},
        "payment_method_options": {"card": card_parameters(options, step_up=order.step_up)},
        "expand": ["latest_charge"],
    }
    return _post(_INTENTS, parameters)


def capture(order: OperationOrder) -> PreparedCall:
    """Capture part or all of a held PaymentIntent. Raises NotSupported, also for a rest to stay open that was not asked for in time."""
    if not order.final and not asked_for_multicapture(order.attempt.call):
        raise NotSupported(
            'this payment was not authorised for several captures (connector option request_multicapture): send "final": true to '
            "capture this and release the rest"
        )
    parameters: dict[str, object] = {
        "amount_to_capture": to_wire(_amount(order)),
        "final_capture": None if order.final else False,
        # Captures have no object of their own: this is how the PaymentIntent tells whose capture was the last to take effect.
        "metadata": {OPERATION_KEY: _ours(order.operation_id)},
    }
    return _post(f"{_INTENTS}/{_intent_id(order.attempt)}/capture", parameters)


def void(order: OperationOrder) -> PreparedCall:
    """Cancel a PaymentIntent: release a hold or its rest, or close an open shopper action. Raises NotSupported."""
    return _post(f"{_INTENTS}/{_intent_id(order.attempt)}/cancel", {})


def refund(order: OperationOrder) -> PreparedCall:
    """Refund part or all of what was captured. Raises NotSupported."""
    reason = (order.reason or "").strip().lower().replace(" ", "_")
    parameters: dict[str, object] = {
        "payment_intent": _intent_id(order.attempt),
        "amount": to_wire(_amount(order)),
        "reason": REFUND_REASONS.get(reason),
        "metadata": {OPERATION_KEY: _ours(order.operation_id)},
    }
    return _post(_REFUNDS, parameters)


def inquire(subject: Attempt | Operation, attempt: Attempt) -> PreparedCall | None:
    """The read-only call for an attempt, capture, void or refund; None where no id that Stripe knows is known to us."""
    intent_id = _usable(attempt.psp_reference)
    if isinstance(subject, Attempt):
        if intent_id is not None:
            return _get(f"{_INTENTS}/{intent_id}", {"expand": [_ALL_OF_IT]})
        query = f"metadata['{ATTEMPT_KEY}']:'{_ours(subject.id)}'"
        return _get(f"{_INTENTS}/search", {"query": query, "expand": [f"data.{_ALL_OF_IT}"]})
    if subject.kind is not OperationKind.REFUND:
        return None if intent_id is None else _get(f"{_INTENTS}/{intent_id}", {"expand": [_ALL_OF_IT]})
    refund_id = _usable(subject.psp_reference)
    if refund_id is not None:
        return _get(f"{_REFUNDS}/{refund_id}", {})
    return None if intent_id is None else _get(_REFUNDS, {"payment_intent": intent_id, "limit": 100})


def asked_for_multicapture(call: PreparedCall) -> bool:
    """Whether that stored authorisation asked Stripe to allow several captures."""
    return _ASKED_FOR_MULTICAPTURE in parse_qsl(call.body)


def target(call: PreparedCall) -> str | None:
    """The id of the object that a stored call is about (a PaymentIntent's or, for one refund, the refund's); None for create and search."""
    parts = urlsplit(call.path)
    if parts.path == _REFUNDS:
        pairs = dict(parse_qsl(call.body if call.method == "POST" else parts.query))
        return pairs.get("payment_intent")
    segments = parts.path.split("/")
    named = segments[3] if len(segments) > 3 else ""
    return _usable(named) if named != "search" else None


def form(parameters: Mapping[str, object]) -> str:
    """Parameters as Stripe's form encoding, in the order given; None is left out. Raises NotSupported for text that is no Unicode."""
    try:
        return "&".join(f"{_quoted_name(name)}={quote_plus(value)}" for name, value in _flat("", parameters))
    except UnicodeEncodeError as problem:
        raise NotSupported("a value is not valid Unicode text") from problem


def _flat(prefix: str, value: object) -> Iterator[tuple[str, str]]:
    match value:
        case None:
            return
        case bool():
            yield prefix, "true" if value else "false"
        case str() | int():
            yield prefix, str(value)
        case Mapping():
            for key, inner in value.items():
                yield from _flat(f"{prefix}[{key}]" if prefix else str(key), inner)
        case list():
            for index, inner in enumerate(value):
                yield from _flat(f"{prefix}[{index}]", inner)
        case _:
            raise TypeError(f"{type(value).__name__} has no form encoding")


def _post(path: str, parameters: Mapping[str, object]) -> PreparedCall:
    return PreparedCall(method="POST", path=path, content_type=FORM, body=form(parameters))


def _get(path: str, parameters: Mapping[str, object]) -> PreparedCall:
    query = form(parameters)
    return PreparedCall(method="GET", path=f"{path}?{query}" if query else path)


def _token(intent: Intent) -> str:
    method = intent.method
    token = method.token_for(NAME) if method is not None and method.type == "card" else None
    if not token:
        raise NotSupported("only cards are offered, by a token of the PSP's")
    return token


def _options(intent: Intent) -> Mapping[str, object]:
    options = intent.connector_options.get(NAME, {})
    problems = check_options(options)
    if options.get("request_multicapture") == "if_available" and intent.capture is not CaptureMode.MANUAL:
        problems.append('request_multicapture needs "capture": "manual"')
    if problems:
        raise NotSupported("; ".join(problems))
    return options


def _amount(order: OperationOrder) -> Money:
    if order.amount is None or order.amount.currency != order.attempt.amount.currency:
        raise NotSupported("a capture or refund has an amount in the payment's own currency")
    return order.amount


def _intent_id(attempt: Attempt) -> str:
    reference = _usable(attempt.psp_reference)
    if reference is None:
        raise NotSupported("the PSP's id of this payment is not known")
    return reference


def _usable(reference: str | None) -> str | None:
    """An id that can stand in a path: letters, digits, underscores. Anything else is as good as none."""
    return reference if reference is not None and _STRIPE_ID.fullmatch(reference) else None


def _ours(identifier: str) -> str:
    if not _OUR_ID.fullmatch(identifier):
        raise NotSupported("an id of ours holds characters that have no place in a query")
    return identifier
