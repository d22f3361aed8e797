"""Stripe's JSON as far as we believe it: bytes -> a few frozen views whose every field was checked, or None.

Whatever the bytes are, nothing here raises: a field of the wrong type or shape is as absent, and an object without its identity is no
object. Text for people is shortened and cleaned of what looks like a secret, a card number or an address of a person.

Not here: what the fields mean for a payment (`verdicts`), or what is kept of the whole answer (`redaction`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, TypeAlias

import msgspec

from connectors.stripe.declines import Codes
from connectors.stripe.money import from_wire
from connectors.stripe.requests import ATTEMPT_KEY, OPERATION_KEY
from payorch.domain.money import Money
from payorch.domain.outcome import NextAction

Json: TypeAlias = Mapping[str, object]

# One plain word that is neither a key nor a long run of digits such as a card number.
_WORD: Final = re.compile(r"(?!(?:sk|rk|pk|whsec)_)(?!\d{12})[A-Za-z0-9_.:\-]{1,255}")
_IN_CLIENT_SECRETS: Final = "_secret_"  # pi_..._secret_...; looked for by itself, which takes a fraction of what it takes in the pattern
_URL: Final = re.compile(r"https?://[!-~]{1,4000}")
_SECRETS: Final = re.compile(r"\b(?:sk|rk|pk|whsec)_\w+|\w+_secret_\w+|[\w.+-]+@[\w.-]+|\d(?:[ -]?\d){11,}")
_LONGEST_MESSAGE: Final = 300
NOT_GIVEN_BACK: Final = frozenset({"failed", "canceled"})
"""A refund's statuses under which the money stayed with the merchant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeError:
    """An `error` object or a `last_payment_error`. `payment_intent` is the one that Stripe put inside it."""

    kind: str
    codes: Codes
    message: str | None
    payment_intent: PaymentIntent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentIntent:
    """One PaymentIntent. Amounts are totals; None where Stripe did not say, or not in a way that is an amount.

    action_type: `next_action.type`. action: what the shopper can be sent to. attempt_id, operation_id: our ids out of its metadata.
    capturable: what is held and not yet taken. capturable_until: when an uncaptured hold ends. refunds: all there are of its charge; None
    where they are not all shown.
    """

    id: str
    status: str
    amount: Money | None
    received: Money | None
    capturable: Money | None
    refunded: Money | None
    attempt_id: str | None
    operation_id: str | None
    cancellation_reason: str | None
    action_type: str | None
    action: NextAction | None
    error: StripeError | None
    codes: Codes
    capturable_until: datetime | None
    refunds: tuple[Refund, ...] | None

    @property
    def approved(self) -> Money | None:
        """What the issuer agreed to, which may be less than `amount`: what is still held, and what captures took out of it."""
        if self.capturable is None or self.received is None:
            return None
        return Money(self.capturable.minor + self.received.minor, self.capturable.currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """One refund; `intent_id` is the PaymentIntent that it belongs to, `operation_id` our id out of its metadata."""

    id: str
    status: str
    amount: Money | None
    intent_id: str | None
    operation_id: str | None
    failure_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One charge. `returned` counts the release of a hold, or of its rest, as well as refunds; None where Stripe did not say."""

    id: str
    intent_id: str | None
    attempt_id: str | None
    amount: Money | None
    captured: Money | None
    returned: Money | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """One dispute; `respond_by` is None where nobody can answer it (any more)."""

    id: str
    status: str
    intent_id: str | None
    charge_id: str | None
    amount: Money | None
    reason: str | None
    respond_by: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a webhook holds: a snapshot (`subject`) of some object at the time of the event. `account`: whose, where there are several."""

    id: str
    kind: str
    account: str | None
    created: datetime | None
    subject: Json = field(repr=False)


def decode(body: bytes) -> Json | None:
    """The JSON object in these bytes; None for anything else, however malformed, deep or large."""
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def word(value: object) -> str | None:
    """An id, code or enum value; None for anything that is not one short plain word, or could be a secret."""
    return value if isinstance(value, str) and _IN_CLIENT_SECRETS not in value and _WORD.fullmatch(value) else None


def words_for_people(value: object) -> str | None:
    """A message of Stripe's without what must not be kept (keys, client secrets, card numbers, e-mail addresses), shortened."""
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


def stripe_error(data: Json | None) -> StripeError | None:
    """The `error` of an error answer, or None where the body has none."""
    error = child(data or {}, "error")
    kind = word(error.get("type"))
    if kind is None:
        return None
    embedded = payment_intent(error.get("payment_intent"))
    return _error(error, kind, embedded.codes if embedded is not None else Codes(), embedded)


def identified(value: Json, kind: str) -> tuple[str, str] | None:
    """The id and the status of an object that is of that kind by its own word (`object`); None for anything else."""
    if value.get("object") != kind:
        return None
    identity, status = word(value.get("id")), word(value.get("status"))
    return None if identity is None or status is None else (identity, status)


def payment_intent(value: object) -> PaymentIntent | None:
    """A PaymentIntent by its own word (`object`) with an id and a status; None for anything else."""
    if not isinstance(value, dict) or (known := identified(value, "payment_intent")) is None:
        return None
    identity, status = known
    currency, charge = value.get("currency"), child(value, "latest_charge")
    refunded = _refunded(charge, is_open=status == "requires_capture")
    problem, codes = child(value, "last_payment_error"), _charge_codes(charge)
    return PaymentIntent(
        id=identity,
        status=status,
        amount=from_wire(value.get("amount"), currency),
        received=from_wire(value.get("amount_received"), currency),
        capturable=from_wire(value.get("amount_capturable"), currency),
        refunded=refunded,
        attempt_id=word(child(value, "metadata").get(ATTEMPT_KEY)),
        operation_id=word(child(value, "metadata").get(OPERATION_KEY)),
        cancellation_reason=word(value.get("cancellation_reason")),
        action_type=word(child(value, "next_action").get("type")),
        action=_redirect(value),
        error=_error(problem, word(problem.get("type")) or "", codes) if problem else None,
        codes=codes,
        capturable_until=_capturable_until(charge) if status == "requires_capture" else None,
        refunds=_given_back(all_refunds(listed(child(charge, "refunds")), identity), refunded),
    )


def refund(value: object) -> Refund | None:
    """A refund by its own word (`object`) with an id and a status; None for anything else."""
    if not isinstance(value, dict) or (known := identified(value, "refund")) is None:
        return None
    identity, status = known
    return Refund(
        id=identity,
        status=status,
        amount=from_wire(value.get("amount"), value.get("currency")),
        intent_id=_id_of(value.get("payment_intent")),
        operation_id=word(child(value, "metadata").get(OPERATION_KEY)),
        failure_reason=word(value.get("failure_reason")),
    )


def charge(value: object) -> Charge | None:
    """A charge by its own word (`object`) with an id; None for anything else."""
    if not isinstance(value, dict) or value.get("object") != "charge":
        return None
    identity, currency = word(value.get("id")), value.get("currency")
    if identity is None:
        return None
    return Charge(
        id=identity,
        intent_id=_id_of(value.get("payment_intent")),
        attempt_id=word(child(value, "metadata").get(ATTEMPT_KEY)),
        amount=from_wire(value.get("amount"), currency),
        captured=from_wire(value.get("amount_captured"), currency),
        returned=from_wire(value.get("amount_refunded"), currency),
    )


def dispute(value: object) -> Dispute | None:
    """A dispute by its own word (`object`) with an id and a status; None for anything else."""
    if not isinstance(value, dict) or (known := identified(value, "dispute")) is None:
        return None
    identity, status = known
    return Dispute(
        id=identity,
        status=status,
        intent_id=_id_of(value.get("payment_intent")),
        charge_id=_id_of(value.get("charge")),
        amount=from_wire(value.get("amount"), value.get("currency")),
        reason=word(value.get("reason")),
        respond_by=_moment(child(value, "evidence_details").get("due_by")),
    )


def event(data: Json | None) -> Event | None:
    """An event by its own word (`object`) with an id, a type and an object; None for anything else."""
    if data is None or data.get("object") != "event":
        return None
    identity, kind, account = word(data.get("id")), word(data.get("type")), data.get("account")
    subject = child(data, "data").get("object")
    if identity is None or kind is None or not isinstance(subject, dict) or (account is not None and word(account) is None):
        return None
    return Event(id=identity, kind=kind, account=word(account), created=_moment(data.get("created")), subject=subject)


def listed(data: Json | None) -> tuple[list[object], bool] | None:
    """The entries of a list or search result and whether there are more; None for anything else."""
    if data is None or data.get("object") not in ("list", "search_result"):
        return None
    entries, more = data.get("data"), data.get("has_more", False)
    return (entries, more) if isinstance(entries, list) and isinstance(more, bool) else None


def all_refunds(page: tuple[list[object], bool] | None, intent_id: str | None) -> tuple[Refund, ...] | None:
    """The refunds of that PaymentIntent on a page that holds all of them; None where there are more, or where one cannot be made out."""
    if page is None or page[1]:
        return None
    shown = [refund(entry) for entry in page[0]]
    whole = [one for one in shown if one is not None and one.amount is not None and one.intent_id in (None, intent_id)]
    return tuple(whole) if len(whole) == len(shown) else None


def _error(error: Json, kind: str, charge: Codes, embedded: PaymentIntent | None = None) -> StripeError:
    codes = Codes(
        code=word(error.get("code")),
        decline_code=word(error.get("decline_code")),
        advice_code=word(error.get("advice_code")),
        network_decline_code=word(error.get("network_decline_code")),
        network_advice_code=word(error.get("network_advice_code")),
        network_status=charge.network_status,
        outcome_type=charge.outcome_type,
        scheme=charge.scheme or word(child(error, "payment_method", "card").get("brand")),
    )
    return StripeError(kind=kind, codes=codes, message=words_for_people(error.get("message")), payment_intent=embedded)


def _charge_codes(charge: Json) -> Codes:
    outcome, card = child(charge, "outcome"), child(charge, "payment_method_details", "card")
    return Codes(
        network_status=word(outcome.get("network_status")),
        outcome_type=word(outcome.get("type")),
        scheme=word(card.get("network")) or word(card.get("brand")),
    )


def _refunded(charge: Json, *, is_open: bool) -> Money | None:
    """What was given back of what was captured; None where the charge is not there or does not say.

    Once the capture side is closed Stripe counts the rest that was released as refunded too, so that part is taken off again.
    """
    currency = charge.get("currency")
    amount, captured, refunded = (from_wire(charge.get(name), currency) for name in ("amount", "amount_captured", "amount_refunded"))
    if amount is None or captured is None or refunded is None or captured > amount:
        return None
    if is_open:
        return refunded
    released = amount - captured
    return refunded - released if released <= refunded else None


def _given_back(shown: tuple[Refund, ...] | None, refunded: Money | None) -> tuple[Refund, ...] | None:
    """The refunds that make up that total; None where they do not. The release of a hold's rest may stand among them: it is left out."""
    if shown is None or refunded is None:
        return None
    made = [one for one in shown if one.status not in NOT_GIVEN_BACK and one.amount is not None]
    surplus = sum(one.amount.minor for one in made if one.amount is not None) - refunded.minor
    if not surplus:
        return shown
    release = next((one for one in made if one.amount == Money(surplus, refunded.currency) and one.operation_id is None), None)
    return None if release is None else tuple(one for one in shown if one is not release)


def _redirect(intent: Json) -> NextAction | None:
    url = child(intent, "next_action", "redirect_to_url").get("url")
    return NextAction(url=url) if isinstance(url, str) and _URL.fullmatch(url) else None


def _capturable_until(charge: Json) -> datetime | None:
    return _moment(child(charge, "payment_method_details", "card").get("capture_before"))


def _id_of(value: object) -> str | None:
    """The id of another object, which stands there by itself or, where it was expanded, inside the object."""
    return word(value.get("id") if isinstance(value, dict) else value)


def _moment(seconds: object) -> datetime | None:
    # The bounds keep a nonsense number from becoming a date that nothing can store.
    return datetime.fromtimestamp(seconds, UTC) if type(seconds) is int and 0 < seconds < 2**33 else None
