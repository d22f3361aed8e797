"""What is kept of Stripe's answer or event: the fields on the list, and nothing else. Evidence for people and for later versions of the
tables.

An allow-list, because a deny-list forgets what Stripe adds tomorrow. Names, addresses, e-mail, card digits and every secret (the client
secret above all, which lets its holder finish a payment) are simply not on it. Text is kept only where it is one plain word.

Not here: what the answer means.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec

from connectors.stripe.objects import Event, Json, word
from connectors.stripe.requests import ATTEMPT_KEY, OPERATION_KEY, PAYMENT_KEY

MAXIMUM_BYTES: Final = 8 * 1024
"""More than every field on the list can fill but for long lists. An event carries this text, and events are read again and again."""

_Allowed: TypeAlias = Mapping[str, "_Allowed | None"]


def _fields(words: str, **inner: _Allowed) -> _Allowed:
    return MappingProxyType({**dict.fromkeys(words.split()), **inner})


_METADATA: Final = _fields(f"{ATTEMPT_KEY} {PAYMENT_KEY} {OPERATION_KEY}")
_CODES: Final = "type code decline_code advice_code network_decline_code network_advice_code charge param"
_OUTCOME: Final = _fields("type reason network_status network_decline_code network_advice_code advice_code risk_level")
_CARD: Final = _fields("network capture_before", multicapture=_fields("status"))
_REFUND: Final = _fields(
    "id object status amount currency payment_intent charge reason failure_reason pending_reason created", metadata=_METADATA
)
_CHARGE: Final = _fields(
    "id object status amount amount_captured amount_refunded currency captured paid refunded disputed failure_code",
    outcome=_OUTCOME,
    refunds=_fields("has_more", data=_REFUND),
    payment_method_details=_fields("type", card=_CARD),
)
_INTENT_WORDS: Final = (
    "id object status amount amount_capturable amount_received currency capture_method cancellation_reason canceled_at created livemode"
)
_INTENT: Final = _fields(
    _INTENT_WORDS,
    metadata=_METADATA,
    next_action=_fields("type"),
    last_payment_error=_fields(_CODES),
    latest_charge=_CHARGE,
)
_ANSWER: Final = MappingProxyType({**_REFUND, **_INTENT})
_TOP: Final = MappingProxyType(
    {
        **_ANSWER,
        **_fields("has_more", error=MappingProxyType({**_fields(_CODES), "payment_intent": _INTENT})),
        "data": _ANSWER,
    }
)
_DISPUTE: Final = _fields(
    "id object status amount currency charge payment_intent reason created is_charge_refundable",
    evidence_details=_fields("due_by has_evidence past_due submission_count"),
    payment_method_details=_fields("type", card=_fields("network case_type network_reason_code")),
)
_SNAPSHOTS: Final[Mapping[str, _Allowed]] = MappingProxyType(
    {
        "payment_intent": _INTENT,
        "refund": _REFUND,
        "charge": MappingProxyType({**_CHARGE, **_fields("payment_intent", metadata=_METADATA)}),
        "dispute": _DISPUTE,
    }
)
_NOTHING: Final = _fields("object")


def redacted(status: int, data: Json | None, size: int) -> str:
    """The answer as JSON text: its HTTP status and the listed fields of its body, or its size in bytes where it was no JSON object.

    At most MAXIMUM_BYTES; where even the listed fields are more, the text says so instead.
    """
    body = _keep(data, _TOP) if data is not None else {"undecodable_bytes": size}
    return _short({"http_status": status, "body": body}, "body", size)


def redacted_event(event: Event, size: int) -> str:
    """The event as JSON text: its id, type and time, and the listed fields of the object that it shows. `size`: of all of it, in bytes.

    At most MAXIMUM_BYTES, as for an answer.
    """
    created = int(event.created.timestamp()) if event.created is not None else None
    shown = _keep(event.subject, _SNAPSHOTS.get(word(event.subject.get("object")) or "", _NOTHING))
    return _short({"event": event.id, "type": event.kind, "created": created, "object": shown}, "object", size)


def _short(whole: dict[str, object], large: str, size: int) -> str:
    text = msgspec.json.encode(whole)
    if len(text) > MAXIMUM_BYTES:
        text = msgspec.json.encode(whole | {large: {"too_large_bytes": size}})
    return text.decode()


def _keep(data: Json, allowed: _Allowed) -> dict[str, object]:
    kept: dict[str, object] = {}
    for name, inner in allowed.items():
        value = data.get(name)
        if isinstance(value, list) and inner is not None:
            kept[name] = [_keep(entry, inner) for entry in value[:100] if isinstance(entry, dict)]
        elif isinstance(value, dict):
            if inner is not None:
                kept[name] = _keep(value, inner)
        elif _is_plain(value):
            kept[name] = value
    return kept


def _is_plain(value: object) -> bool:
    """A Boolean, a whole number that fits a database bigint, or one plain word."""
    if isinstance(value, bool):
        return True
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return word(value) is not None
