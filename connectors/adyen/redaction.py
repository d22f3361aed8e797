"""What is kept of Adyen's answer or notification: the fields on the list, and nothing else. Evidence for people and for later versions of
the tables.

An allow-list, because a deny-list forgets what Adyen adds tomorrow. Names, addresses, e-mail, card digits and every secret (tokens, the
data of a redirect, the signature) are simply not on it. Text is kept only where it is one plain word.

Not here: what the answer means.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec

from connectors.adyen.objects import Json, reference, word, words_for_people

MAXIMUM_BYTES: Final = 8 * 1024
"""More than every field on the list can fill."""

_Allowed: TypeAlias = Mapping[str, "_Allowed | None"]


def _fields(words: str, **inner: _Allowed) -> _Allowed:
    return MappingProxyType({**dict.fromkeys(words.split()), **inner})


_AMOUNT: Final = _fields("currency value")
_EXTRA: Final = _fields(
    "acquirerCode authorisedAmountCurrency authorisedAmountValue avsResultRaw cardIssuingCountry cardPaymentMethod cvcResultRaw eci "
    "fraudResultType fundingSource inferredRefusalReason liabilityShift merchantAdviceCode networkProcessingMode paymentMethod "
    "paymentMethodVariant refusalReasonRaw retry.rescueReference threeDAuthenticated threeDOffered threeDSVersion "
    "chargebackReasonCode chargebackSchemeCode defendable autoDefended defensePeriodEndsAt disputeStatus nofReasonCode nofSchemeCode "
    "modification.action captureMerchantReference"
)
_TOP: Final = _fields(
    "status errorCode errorType pspReference paymentPspReference paymentReference resultCode refusalReasonCode merchantReference reference "
    "capturePspReference merchantRefundReason",
    amount=_AMOUNT,
    additionalData=_EXTRA,
    action=_fields("type method paymentMethodType"),
    paymentMethod=_fields("brand type"),
)
_ITEM: Final = _fields(
    "eventCode success eventDate merchantAccountCode merchantReference originalReference pspReference paymentMethod",
    amount=_AMOUNT,
    additionalData=_EXTRA,
)
_REFERENCES: Final = frozenset({"pspReference", "paymentPspReference", "originalReference", "capturePspReference"})
_SENTENCES: Final = frozenset({"refusalReasonRaw", "inferredRefusalReason", "merchantAdviceCode", "eventDate", "defensePeriodEndsAt"})
"""Fields in which more than one word may stand, cleaned as a message is."""


def redacted(status: int, data: Json | None, size: int) -> str:
    """The answer as JSON text: its HTTP status and the listed fields of its body, or its size in bytes where it was no JSON object.

    At most MAXIMUM_BYTES; where even the listed fields are more, the text says so instead.
    """
    body = _keep(data, _TOP) if data is not None else {"undecodable_bytes": size}
    return _short({"http_status": status, "body": body}, "body", size)


def redacted_item(data: Json | None, size: int) -> str:
    """A notification as JSON text: its listed fields. `size`: of all of it, in bytes. At most MAXIMUM_BYTES, as for an answer."""
    shown = _keep(data, _ITEM) if data is not None else {"undecodable_bytes": size}
    return _short({"item": shown}, "item", size)


def _short(whole: dict[str, object], large: str, size: int) -> str:
    text = msgspec.json.encode(whole)
    if len(text) > MAXIMUM_BYTES:
        text = msgspec.json.encode(whole | {large: {"too_large_bytes": size}})
    return text.decode()


def _keep(data: Json, allowed: _Allowed) -> dict[str, object]:
    kept: dict[str, object] = {}
    for name, inner in allowed.items():
        value = data.get(name)
        if isinstance(value, dict):
            if inner is not None:
                kept[name] = _keep(value, inner)
        elif (plain := _plain(name, value)) is not None:
            kept[name] = plain
    return kept


def _plain(name: str, value: object) -> object:
    """A Boolean, a whole number that fits a database bigint, or one plain word; None for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else None
    if name in _REFERENCES:
        return reference(value)
    return words_for_people(value) if name in _SENTENCES else word(value)
