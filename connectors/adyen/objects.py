"""Adyen's JSON as far as we believe it: bytes -> a few frozen views whose every field was checked, or None.

Whatever the bytes are, nothing here raises: a field of the wrong type or shape is as absent, and an object without its identity is no
object. Text for people is shortened and cleaned of what looks like a secret, a card number or an address of a person.

Not here: what the fields mean for a payment (`verdicts`), or what is kept of the whole answer (`redaction`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias

import msgspec

from connectors.adyen.declines import Codes
from connectors.adyen.money import from_wire
from payorch.domain.money import Money
from payorch.domain.outcome import NextAction

Json: TypeAlias = Mapping[str, object]

# One plain word that is neither an API key nor a long run of digits such as a card number. An id of Adyen's is 16 characters, and may be
# all digits: only where one is expected (`reference`) may so many stand together.
_WORD: Final = re.compile(r"(?!AQE)(?!\d{12})[A-Za-z0-9_.:\-]{1,255}")
_REFERENCE: Final = re.compile(r"[A-Za-z0-9]{1,64}")
_URL: Final = re.compile(r"https?://[!-~]{1,8000}")
_ADVICE: Final = re.compile(r"([0-9]{2})(?![0-9A-Za-z])")
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_RAW: Final = re.compile(r"([0-9A-Z][0-9A-Z])\s*:")
_SECRETS: Final = re.compile(r"\bAQE\S+|[\w.+-]+@[\w.-]+|\d(?:[ -]?\d){11,}")
_LONGEST_MESSAGE: Final = 300
_LONGEST_FIELD: Final = 64 * 1024
_MOST_FIELDS: Final = 50
_SCHEMES: Final = {"mc": "mastercard"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AdyenError:
    """The body of an answer that refuses a message."""

    code: str
    kind: str | None
    message: str | None
    psp_reference: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentResult:
    """The answer to /payments or /payments/details.

    amount: what was authorised; None where Adyen did not say. contradictory: what it says of that is no amount, or two different ones.
    action: what the shopper can be sent to; action_type: what he would have to do, by Adyen's word.
    """

    result_code: str
    psp_reference: str | None
    reference: str | None
    amount: Money | None
    contradictory: bool
    codes: Codes
    message: str | None
    action_type: str | None
    action: NextAction | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Modification:
    """The answer to a capture, cancel or refund: that it was received, under which reference, and for which payment.

    payment: Adyen's reference of it, or ours where it was named by ours.
    """

    psp_reference: str
    payment: str | None
    reference: str | None
    amount: Money | None
    says_amount: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One notification. Signed are the event's code and success, the three references, the account, and the amount: they are believed.

    The others may be anybody's words, and are for people only. original: of what `psp_reference` is a modification, None where of nothing.
    """

    event: str
    success: bool
    psp_reference: str
    original: str | None
    reference: str
    account: str
    amount: Money | None
    date: datetime | None
    extra: Json


def decode(body: bytes) -> Json | None:
    """The JSON object in these bytes; None for anything else, however malformed, deep or large."""
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def word(value: object) -> str | None:
    """A code or enum value; None for anything that is not one short plain word, or could be a secret."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def reference(value: object) -> str | None:
    """An id of Adyen's: letters and digits. None for anything else."""
    return value if isinstance(value, str) and _REFERENCE.fullmatch(value) else None


def words_for_people(value: object) -> str | None:
    """A message of Adyen's without what must not be kept (keys, card numbers, e-mail addresses), shortened."""
    if not isinstance(value, str):
        return None
    printable = "".join(char if char.isprintable() else " " for char in value[: 4 * _LONGEST_MESSAGE])
    return _SECRETS.sub("[removed]", printable)[:_LONGEST_MESSAGE] or None


def child(data: Json, name: str) -> Json:
    """The object of that name, or an empty one."""
    inner = data.get(name)
    return inner if isinstance(inner, dict) else {}


def amount(data: Json) -> Money | None:
    """The `amount` of an answer or item."""
    shown = child(data, "amount")
    return from_wire(shown.get("value"), shown.get("currency"))


def adyen_error(data: Json | None) -> AdyenError | None:
    """What a refusal says, or None where the body is none of Adyen's."""
    if data is None or (code := word(data.get("errorCode"))) is None:
        return None
    return AdyenError(
        code=code,
        kind=word(data.get("errorType")),
        message=words_for_people(data.get("message")),
        psp_reference=reference(data.get("pspReference")),
    )


def payment_result(data: Json | None) -> PaymentResult | None:
    """A payment's result by its `resultCode`; None for anything else."""
    if data is None or (result_code := word(data.get("resultCode"))) is None:
        return None
    action = child(data, "action")
    refusal = word(data.get("refusalReasonCode"))
    authorised, contradictory = _authorised(data)
    return PaymentResult(
        result_code=result_code,
        psp_reference=reference(data.get("pspReference")),
        reference=word(data.get("merchantReference")),
        amount=authorised,
        contradictory=contradictory,
        codes=_codes(child(data, "additionalData"), refusal, child(data, "paymentMethod")),
        message=words_for_people(data.get("refusalReason")),
        action_type=word(action.get("type")),
        action=_redirect(action),
    )


def modification(data: Json | None) -> Modification | None:
    """A modification that was received; None for anything else."""
    if data is None or data.get("status") != "received" or (own := reference(data.get("pspReference"))) is None:
        return None
    return Modification(
        psp_reference=own,
        payment=word(data.get("paymentReference")) or reference(data.get("paymentPspReference")),
        reference=word(data.get("reference")),
        amount=amount(data),
        says_amount="amount" in data,
    )


def items(body: bytes) -> list[tuple[bytes, Json]] | None:
    """The notifications in a delivery, each with its bytes as they came; None where the body is no delivery of Adyen's."""
    try:
        delivery = msgspec.json.decode(body, type=_Delivery)
        found = [(bytes(one.NotificationRequestItem), decode(bytes(one.NotificationRequestItem))) for one in delivery.notificationItems]
    except (ValueError, RecursionError):
        return None
    return [(raw, data) for raw, data in found if data is not None] if all(data is not None for _, data in found) else None


def item(data: Json | None) -> Item | None:
    """One notification whose signed fields are what they have to be; None for anything else. Whether they are signed is not looked at."""
    if data is None:
        return None
    event, success, account = word(data.get("eventCode")), data.get("success"), data.get("merchantAccountCode")
    own, ours = data.get("pspReference"), data.get("merchantReference")
    if event is None or success not in ("true", "false") or not isinstance(account, str):
        return None
    if not isinstance(own, str) or not own or not isinstance(ours, str):
        return None
    original = data.get("originalReference")
    return Item(
        event=event,
        success=success == "true",
        psp_reference=own,
        original=original if isinstance(original, str) and original else None,
        reference=ours,
        account=account,
        amount=amount(data),
        date=moment(data.get("eventDate")),
        extra=child(data, "additionalData"),
    )


def moment(text: object) -> datetime | None:
    """A time as Adyen writes it, with its offset; None for anything else."""
    if not isinstance(text, str) or len(text) > 40:
        return None
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo is not None and 1970 < at.year < 2200 else None
    except (ValueError, OverflowError):
        return None


class _Wrapper(msgspec.Struct):
    NotificationRequestItem: msgspec.Raw


class _Delivery(msgspec.Struct):
    notificationItems: list[_Wrapper]


def _authorised(data: Json) -> tuple[Money | None, bool]:
    """What was authorised, and whether that is no amount, or told in two ways that differ.

    Of a part that was authorised the answer's own amount may be what was asked for.
    """
    extra, part = child(data, "additionalData"), data.get("resultCode") == "PartiallyAuthorised"
    stated, value = amount(data), extra.get("authorisedAmountValue")
    if value is None:
        return stated, "amount" in data and stated is None
    number = int(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else None
    authorised = from_wire(number, extra.get("authorisedAmountCurrency"))
    return authorised, authorised is None or ("amount" in data and stated != authorised and not part)


def _codes(extra: Json, refusal: str | None, method: Json) -> Codes:
    scheme = word(extra.get("cardPaymentMethod")) or word(extra.get("paymentMethod")) or word(method.get("brand"))
    return Codes(
        refusal_code=refusal,
        network_code=_beginning(_RAW, extra.get("refusalReasonRaw")),
        advice_code=_beginning(_ADVICE, extra.get("merchantAdviceCode")),
        scheme=_SCHEMES.get(scheme or "", scheme),
    )


def _beginning(pattern: re.Pattern[str], value: object) -> str | None:
    found = pattern.match(value) if isinstance(value, str) else None
    return found[1] if found is not None else None


def _redirect(action: Json) -> NextAction | None:
    """Where the shopper can be sent, with the form to be posted there, if it is one."""
    url, method, data = action.get("url"), action.get("method", "GET"), action.get("data")
    if action.get("type") != "redirect" or not isinstance(url, str) or not _URL.fullmatch(url) or method not in ("GET", "POST"):
        return None
    fields = _fields(data) if method == "POST" and data is not None else ()
    return NextAction(url=url, method=str(method), fields=fields) if fields is not None else None


def _fields(data: object) -> tuple[tuple[str, str], ...] | None:
    if not isinstance(data, dict) or len(data) > _MOST_FIELDS:
        return None
    pairs = [(name, value) for name, value in data.items() if isinstance(value, str) and len(value) <= _LONGEST_FIELD]
    return tuple(pairs) if len(pairs) == len(data) else None
