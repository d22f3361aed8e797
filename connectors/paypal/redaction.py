"""What is kept of PayPal's answer or event: the fields on the list, and nothing else. Evidence for people and for later versions of the
tables.

An allow-list, because a deny-list forgets what PayPal adds tomorrow. Names, addresses, e-mail, payer ids, card digits, links (they hold
tokens) and every secret are simply not on it. Text is kept only where it is one plain word.

Not here: what the answer means.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec

from connectors.paypal.events import Event
from connectors.paypal.objects import Json, word

MAXIMUM_BYTES: Final = 8 * 1024
"""More than every field on the list can fill but for long lists. An event carries this text, and events are read again and again."""

_Allowed: TypeAlias = Mapping[str, "_Allowed | None"]


def _fields(words: str, **inner: _Allowed) -> _Allowed:
    return MappingProxyType({**dict.fromkeys(words.split()), **inner})


_MONEY: Final = _fields("currency_code value")
_REASON: Final = _fields("reason")
_RELATED: Final = _fields("", related_ids=_fields("order_id authorization_id capture_id"))
_PROCESSOR: Final = _fields("response_code payment_advice_code avs_code cvv_code")
_TIMES: Final = "create_time update_time"
_AUTHORIZATION: Final = _fields(
    f"id status custom_id invoice_id expiration_time {_TIMES}",
    amount=_MONEY,
    status_details=_REASON,
    processor_response=_PROCESSOR,
    supplementary_data=_RELATED,
)
_CAPTURE: Final = _fields(
    f"id status custom_id invoice_id final_capture {_TIMES}",
    amount=_MONEY,
    status_details=_REASON,
    processor_response=_PROCESSOR,
    supplementary_data=_RELATED,
)
_REFUND: Final = _fields(f"id status custom_id invoice_id {_TIMES}", amount=_MONEY, status_details=_REASON)
_CARD: Final = _fields(
    "brand type",
    authentication_result=_fields("liability_shift", three_d_secure=_fields("authentication_status enrollment_status")),
)
_ORDER: Final = _fields(
    f"id status intent {_TIMES}",
    purchase_units=_fields(
        "reference_id custom_id invoice_id",
        amount=_MONEY,
        payments=_fields("", authorizations=_AUTHORIZATION, captures=_CAPTURE, refunds=_REFUND),
    ),
    payment_source=_fields("", card=_CARD),
)
_ERROR: Final = _fields("name debug_id", details=_fields("issue field location"))
_TOP: Final = MappingProxyType({**_AUTHORIZATION, **_CAPTURE, **_REFUND, **_ORDER, **_ERROR, **_fields("error")})
_DISPUTE: Final = _fields(
    f"dispute_id reason status dispute_life_cycle_stage dispute_channel seller_response_due_date {_TIMES}",
    dispute_amount=_MONEY,
    dispute_outcome=_fields("outcome_code", amount_refunded=_MONEY),
    disputed_transactions=_fields("seller_transaction_id custom invoice_number"),
)
_RESOURCE: Final = MappingProxyType({**_AUTHORIZATION, **_CAPTURE, **_REFUND, **_ORDER, **_DISPUTE})


def redacted(status: int, data: Json | None, size: int) -> str:
    """The answer as JSON text: its HTTP status and the listed fields of its body, or its size in bytes where it was no JSON object.

    At most MAXIMUM_BYTES; where even the listed fields are more, the text says so instead.
    """
    body = _keep(data, _TOP) if data is not None else {"undecodable_bytes": size}
    return _short({"http_status": status, "body": body}, "body", size)


def redacted_event(event: Event, size: int) -> str:
    """The event as JSON text: its id, type and time, and the listed fields of the resource that it shows. `size`: of all of it, in bytes.

    At most MAXIMUM_BYTES, as for an answer.
    """
    created = event.created.isoformat() if event.created is not None else None
    shown = _keep(event.resource, _RESOURCE)
    return _short({"event": event.id, "type": event.kind, "created": created, "resource": shown}, "resource", size)


def _short(whole: dict[str, object], large: str, size: int) -> str:
    text = msgspec.json.encode(whole)
    if len(text) > MAXIMUM_BYTES:
        text = msgspec.json.encode(whole | {large: {"too_large_bytes": size}})
    return text.decode()


def _keep(data: Json, allowed: _Allowed) -> dict[str, object]:
    kept: dict[str, object] = {}
    for name, inner in allowed.items():
        value = data.get(name)
        if isinstance(value, list):
            if inner is not None:
                kept[name] = [_keep(entry, inner) for entry in value[:100] if isinstance(entry, dict)]
        elif isinstance(value, dict):
            if inner is not None:
                kept[name] = _keep(value, inner)
        elif isinstance(value, bool) or word(value) is not None:
            kept[name] = value
    return kept
