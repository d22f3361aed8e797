"""What operators see of what was sent and recorded: the fields on a list, and nothing else.

Calls to PSPs hold tokens of cards, shoppers' names and addresses; a payment's first record holds what the merchant gave us. Both are shown
in their own form, so that a person can compare them with what a PSP's support says, and every value that is not on the list is replaced.
An allow-list, because a deny-list forgets what a PSP's next field is called. Pure. Not here: what connectors keep of answers (each one's
`redaction`), which is redacted before it is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from payorch.domain.records import PreparedCall

REMOVED: Final = "(removed)"
SHOWN_AT_MOST: Final = 4096
"""Characters of a call's body. They are shown one beside the other in a terminal, and most have some hundreds."""

# In the last part of a field's name, in lower case: amounts, codes, and ids that we have made or the PSP has.
_FIELDS: Final = frozenset(
    {
        *("amount", "amount_to_capture", "value", "currency", "currency_code", "currencycode", "breakdown", "item_total", "quantity"),
        *("reference", "merchantreference", "reference_id", "invoice_id", "custom_id", "originalreference", "paymentpspreference"),
        *("capture", "capture_method", "capturedelayhours", "final_capture", "confirm", "off_session", "intent", "manualcapture"),
        *("reason", "cancellation_reason", "payment_intent", "charge", "id", "type", "brand", "recurringprocessingmodel"),
        *("shopperinteraction", "channel", "authenticationonly", "attempt_id", "payment_id", "operation_id", "payorch_attempt"),
        *("payorch_payment", "payorch_operation", "expand[]", "request_multicapture", "executethreed", "nativethreeds"),
        *("request_three_d_secure", "usage", "processing_instruction", "payee_pays", "merchantorderreference"),
    }
)
# Ways into a body under which nothing is shown, whatever it is called: there it is the shopper's.
_CLOSED: Final = frozenset(
    {
        *("paymentmethod", "payment_method", "payment_method_data", "payment_source", "card", "token", "shopper", "shoppername", "billing"),
        *("billing_details", "billingaddress", "deliveryaddress", "shipping", "payer", "customer", "source", "browserinfo", "details"),
    }
)
_OPEN_WITHIN: Final = frozenset({"type", "brand"})

# Of what is recorded of a payment, what comes from outside: member -> what of it is shown.
_OF_RECORDS: Final[Mapping[str, frozenset[str]]] = {
    "method": frozenset({"type", "brand", "last4", "country"}),
    "customer": frozenset({"reference", "country"}),
    "action": frozenset({"method"}),
}
_HIDDEN: Final = frozenset({"connector_options", "return_url", "token", "tokens", "fingerprint", "email", "payload", "content", "secret"})


def shown_call(call: PreparedCall) -> dict[str, object]:
    """A call as it was stored before it was sent, for people."""
    body = _form(call.body) if "form" in (call.content_type or "") else _json(call.body)
    return {
        "method": call.method,
        "path": _path(call.path),
        "content_type": call.content_type,
        "body": body if len(body) <= SHOWN_AT_MOST else f"{body[:SHOWN_AT_MOST]}…",
    }


def shown_record(value: Any) -> Any:
    """What stands in the body of a journal's record, for people."""
    match value:
        case dict():
            return {name: _member(name, inner) for name, inner in value.items()}
        case list():
            return [shown_record(one) for one in value]
        case _:
            return value


def _member(name: str, value: Any) -> Any:
    allowed = _OF_RECORDS.get(name)
    if name in _HIDDEN and value is not None:
        return REMOVED
    if name in ("call", "fence_call") and isinstance(value, dict):
        return shown_call(PreparedCall(**{key: value[key] for key in PreparedCall.__struct_fields__ if key in value}))
    if allowed is None or not isinstance(value, dict):
        return shown_record(value)
    return {key: inner if key in allowed or inner is None else REMOVED for key, inner in value.items()}


def _path(path: str) -> str:
    parts = urlsplit(path)
    return parts.path + (f"?{_form(parts.query)}" if parts.query else "")


def _form(body: str) -> str:
    pairs = parse_qsl(body, keep_blank_values=True)
    return "&".join(f"{name}={value if _allows(name.replace(']', '').split('[')) else REMOVED}" for name, value in pairs)


def _json(body: str) -> str:
    if not body:
        return ""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return REMOVED
    return msgspec.json.encode(_walk(value, [])).decode()


def _walk(value: Any, way: list[str]) -> Any:
    match value:
        case dict():
            return {name: _walk(inner, [*way, name]) for name, inner in value.items()}
        case list():
            return [_walk(one, way) for one in value]
        case bool() | None:
            return value
        case _:
            return value if way and _allows(way) else REMOVED


def _allows(way: list[str]) -> bool:
    names = [one.lower() for one in way if one and not one.isdigit()]
    if not names:
        return False
    closed = any(one in _CLOSED for one in names)
    return names[-1] in (_OPEN_WITHIN if closed else _FIELDS)
