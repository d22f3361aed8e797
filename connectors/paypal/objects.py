"""PayPal's JSON as far as we believe it: bytes -> a few frozen views whose every field was checked, or None.

Whatever the bytes are, nothing here raises: a field of the wrong type or shape is as absent, and an object without its identity is no
object. Text for people is shortened and cleaned of what looks like a secret, a card number or an address of a person.

Not here: what the fields mean for a payment (`verdicts`), or what is kept of the whole answer (`redaction`); webhooks (`events`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias, TypeVar

import msgspec

from connectors.paypal.declines import Codes
from connectors.paypal.money import from_wire
from payorch.domain.money import Money
from payorch.domain.outcome import NextAction

Json: TypeAlias = Mapping[str, object]
T = TypeVar("T")

# One plain word that is neither an access token (A21AA...) nor a long run of digits such as a card number.
_WORD: Final = re.compile(r"(?!A21A)(?!\d{12})[A-Za-z0-9_.:\-]{1,127}")
_URL: Final = re.compile(r"https?://[!-~]{1,4000}")
_SECRETS: Final = re.compile(r"A21A[\w.-]+|(?i:bearer|basic) \S+|[\w.+-]+@[\w.-]+|\d(?:[ -]?\d){11,}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LONGEST_MESSAGE: Final = 300
_PARENT: Final = re.compile(r"/v2/payments/(captures|authorizations)/([A-Za-z0-9-]{1,36})$")
_REDIRECTS: Final = ("payer-action", "approve")
"""Relations of the link that a shopper is sent to; the second is that of orders without a payment source."""

TAKEN: Final = frozenset({"COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"})
"""A capture's statuses under which the money was taken, whatever became of it afterwards."""
NOT_TAKEN: Final = frozenset({"DECLINED", "FAILED", "DENIED"})
NOT_GIVEN_BACK: Final = frozenset({"CANCELLED", "FAILED"})
"""A refund's statuses under which the money stayed with the merchant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaypalError:
    """An error answer. `issues`: those of its details, the first one first; where there are none, its name. `action`: where it sends the
    shopper to."""

    name: str
    issues: tuple[str, ...]
    message: str | None
    action: NextAction | None = None

    def codes(self, issue: str | None = None) -> Codes:
        """Its codes, by that issue or by the first."""
        return Codes(code=issue or self.issues[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """A hold, or what was to become one. `order_id` is None within an order, which is known there."""

    id: str
    status: str
    amount: Money | None
    custom_id: str | None
    order_id: str | None
    expires_at: datetime | None
    updated_at: datetime | None
    codes: Codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """Money taken, or to be taken. `final`: nothing more is captured of the same authorization."""

    id: str
    status: str
    amount: Money | None
    final: bool
    custom_id: str | None
    invoice_id: str | None
    order_id: str | None
    authorization_id: str | None
    codes: Codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money given back of one capture."""

    id: str
    status: str
    amount: Money | None
    custom_id: str | None
    invoice_id: str | None
    capture_id: str | None
    codes: Codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order with what was made of it. `units`: of purchase; we make orders of one, and of others nothing but that is believed.

    authorizations, captures, refunds: None where one of them cannot be made out. action: where the shopper can be sent. authenticated:
    whether a card's holder could authenticate; None where he was not asked, or nobody can say.
    """

    id: str
    status: str
    units: int
    amount: Money | None
    custom_id: str | None
    authorizations: tuple[Authorization, ...] | None
    captures: tuple[Capture, ...] | None
    refunds: tuple[Refund, ...] | None
    action: NextAction | None
    authenticated: bool | None

    @property
    def captured(self) -> Money | None:
        """All that was taken; None where it cannot be told, or in which currency."""
        if self.captures is None or self.amount is None:
            return None
        return _total([one.amount for one in self.captures if one.status in TAKEN], self.amount.currency)

    @property
    def refunded(self) -> Money | None:
        """All that was given back or is on its way; None where it cannot be told, or in which currency."""
        if self.refunds is None or self.amount is None:
            return None
        return _total([one.amount for one in self.refunds if one.status not in NOT_GIVEN_BACK], self.amount.currency)


def decode(body: bytes) -> Json | None:
    """The JSON object in these bytes; None for anything else, however malformed, deep or large."""
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def word(value: object) -> str | None:
    """An id, code or enum value; None for anything that is not one short plain word, or could be a secret."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def words_for_people(value: object) -> str | None:
    """A message of PayPal's without what must not be kept (tokens, card numbers, e-mail addresses), shortened."""
    if not isinstance(value, str):
        return None
    printable = "".join(char if char.isprintable() else " " for char in value[: 4 * _LONGEST_MESSAGE])
    return _SECRETS.sub("[removed]", printable)[:_LONGEST_MESSAGE] or None


def child(data: Json, *names: str) -> Json:
    """The object at that path of names, or an empty one."""
    for name in names:
        inner = data.get(name)
        if not isinstance(inner, dict):
            return {}
        data = inner
    return data


def entries(data: Json, name: str) -> list[object]:
    """The list of that name, or an empty one."""
    value = data.get(name)
    return value if isinstance(value, list) else []


def moment(value: object) -> datetime | None:
    """A time as PayPal writes it, in UTC; None for anything else."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def paypal_error(data: Json | None) -> PaypalError | None:
    """An error by its name; None where the body has none."""
    name = word((data or {}).get("name"))
    if data is None or name is None:
        return None
    details = [one for one in entries(data, "details")[:20] if isinstance(one, dict)]
    issues = tuple(issue for issue in (word(one.get("issue")) for one in details) if issue is not None)
    said = next((text for text in (words_for_people(one.get("description")) for one in details) if text), None)
    message = said or words_for_people(data.get("message"))
    return PaypalError(name=name, issues=issues or (name,), message=message, action=_redirect(data))


def order(value: object) -> Order | None:
    """An order by its id and status. What else has an id and a status (an authorization, say) has no purchase units."""
    head = _head(value)
    if head is None or not isinstance(value, dict):
        return None
    identity, status = head
    units = [one for one in entries(value, "purchase_units") if isinstance(one, dict)]
    unit: Json = units[0] if units else {}
    made, card = child(unit, "payments"), child(value, "payment_source", "card")
    scheme = word(card.get("brand"))
    return Order(
        id=identity,
        status=status,
        units=len(entries(value, "purchase_units")),
        amount=from_wire(unit.get("amount")),
        custom_id=word(unit.get("custom_id")),
        authorizations=_all(made, "authorizations", lambda one: authorization(one, scheme=scheme)),
        captures=_all(made, "captures", lambda one: capture(one, scheme=scheme)),
        refunds=_all(made, "refunds", refund),
        action=_redirect(value),
        authenticated=_authenticated(child(card, "authentication_result", "three_d_secure")),
    )


def authorization(value: object, *, scheme: str | None = None) -> Authorization | None:
    """An authorization by its id and status; None for anything else."""
    head = _head(value)
    if head is None or not isinstance(value, dict):
        return None
    return Authorization(
        id=head[0],
        status=head[1],
        amount=from_wire(value.get("amount")),
        custom_id=word(value.get("custom_id")),
        order_id=word(child(value, "supplementary_data", "related_ids").get("order_id")),
        expires_at=moment(value.get("expiration_time")),
        updated_at=moment(value.get("update_time")),
        codes=_codes(value, scheme),
    )


def capture(value: object, *, scheme: str | None = None) -> Capture | None:
    """A capture by its id and status; None for anything else."""
    head = _head(value)
    if head is None or not isinstance(value, dict):
        return None
    related = child(value, "supplementary_data", "related_ids")
    return Capture(
        id=head[0],
        status=head[1],
        amount=from_wire(value.get("amount")),
        final=value.get("final_capture") is True,
        custom_id=word(value.get("custom_id")),
        invoice_id=word(value.get("invoice_id")),
        order_id=word(related.get("order_id")),
        authorization_id=word(related.get("authorization_id")) or _parent(value, "authorizations"),
        codes=_codes(value, scheme),
    )


def refund(value: object) -> Refund | None:
    """A refund by its id and status; None for anything else."""
    head = _head(value)
    if head is None or not isinstance(value, dict):
        return None
    return Refund(
        id=head[0],
        status=head[1],
        amount=from_wire(value.get("amount")),
        custom_id=word(value.get("custom_id")),
        invoice_id=word(value.get("invoice_id")),
        capture_id=_parent(value, "captures"),
        codes=_codes(value, None),
    )


def _head(value: object) -> tuple[str, str] | None:
    if not isinstance(value, dict):
        return None
    identity, status = word(value.get("id")), word(value.get("status"))
    return None if identity is None or status is None else (identity, status)


def _codes(value: Json, scheme: str | None) -> Codes:
    processor = child(value, "processor_response")
    return Codes(
        response_code=word(processor.get("response_code")),
        advice_code=word(processor.get("payment_advice_code")),
        reason=word(child(value, "status_details").get("reason")),
        scheme=scheme.lower() if scheme is not None else None,
    )


def _all(made: Json, name: str, view: Callable[[object], T | None]) -> tuple[T, ...] | None:
    """Every entry of that list; None where one of them cannot be made out, or it is no list. Where it is absent there are none."""
    listed = made.get(name, [])
    if not isinstance(listed, list):
        return None
    shown = [view(entry) for entry in listed]
    whole = [one for one in shown if one is not None]
    return tuple(whole) if len(whole) == len(shown) else None


def _total(amounts: list[Money | None], currency: str) -> Money | None:
    known = [one for one in amounts if one is not None and one.currency == currency]
    return Money(sum(one.minor for one in known), currency) if len(known) == len(amounts) else None


def _links(value: Json) -> list[tuple[object, object]]:
    return [(one.get("rel"), one.get("href")) for one in entries(value, "links") if isinstance(one, dict)]


def _redirect(value: Json) -> NextAction | None:
    found = (href for rel in _REDIRECTS for named, href in _links(value) if named == rel)
    return next((NextAction(url=href) for href in found if isinstance(href, str) and _URL.fullmatch(href)), None)


def _parent(value: Json, kind: str) -> str | None:
    """The id of what it was made of, by its link upwards: a refund names its capture in no other way."""
    for rel, href in _links(value):
        match = _PARENT.search(href) if rel == "up" and isinstance(href, str) else None
        if match is not None and match[1] == kind:
            return match[2]
    return None


def _authenticated(secure: Json) -> bool | None:
    """By the bank's answer: Y and A (attempted) are a yes, N and R (rejected) a no. All others leave it to PayPal and the issuer."""
    return {"Y": True, "A": True, "N": False, "R": False}.get(str(secure.get("authentication_status")))
