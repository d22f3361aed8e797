"""A webhook of PayPal's, once it is known to be PayPal's, as the notice that is stored: which event, about which of whose objects.

One delivery is one event, and the whole body is the notice's content. Kinds that are about nothing we keep are taken and marked, since a
webhook may be subscribed to more than it needs. What is genuine and cannot be understood is a notice too, with the reason in words: it must
not be lost because a newer PayPal says something new.

Not here: whether it is PayPal's (`signatures`), what it means for a payment (`testimony`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from connectors.contract import Notice
from connectors.paypal import events, objects, verdicts
from connectors.paypal.events import Event
from connectors.paypal.objects import Json, decode, word
from connectors.paypal.redaction import redacted, redacted_event
from payorch.domain.identifiers import MalformedIdentifier, parse

_UNREADABLE: Final = "unreadable"
_OURS: Final = frozenset({"att", "cap", "ref"})


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Whose it is: PayPal's ids, the most telling first, and what it reports back of ours. `order_id`: where the event names it."""

    theirs: tuple[str | None, ...]
    ours: tuple[str | None, ...] = ()
    order_id: str | None = None


def notice(body: bytes) -> Notice:
    """The notice in the body of a delivery that is surely PayPal's. Never raises on any bytes."""
    data = decode(body)
    event = events.event(data)
    if event is None:
        return _unreadable(data or {}, body)
    if not is_relevant(event):
        return Notice(identity=event.id, kind=event.kind, content=body, occurred_at=event.created, relevant=False)
    subject = about(event)
    return Notice(
        identity=event.id,
        kind=event.kind,
        content=body,
        psp_references=tuple(one for one in subject.theirs if one is not None) if subject is not None else (),
        our_references=tuple(_well_formed(subject.ours)) if subject is not None else (),
        occurred_at=event.created,
        problem=None if subject is not None else "the resource that the event is about is not one that is understood",
    )


def shown(content: bytes) -> str:
    """A notice's content without what people must not see. Never raises on any bytes."""
    event = events.event(decode(content))
    return redacted_event(event, len(content)) if event is not None else redacted(0, decode(content), len(content))


def is_relevant(event: Event) -> bool:
    """Whether the event is about something that a payment keeps."""
    return _look(event) is not None


def about(event: Event) -> About | None:
    """Whose the event is; None where its resource cannot be understood, or is nothing that a payment keeps."""
    look = _look(event)
    return look(event.resource) if look is not None else None


def _unreadable(data: Json, body: bytes) -> Notice:
    """Signed by PayPal, and no event that we know the form of. Its own words are kept where they are words."""
    problem = "not an event with an id, a type and a resource" if data else "not a JSON object"
    return Notice(identity=word(data.get("id")), kind=word(data.get("event_type")) or _UNREADABLE, content=body, problem=problem)


# --- whose ------------------------------------------------------------------------------------------------------------------------------


def _order(resource: Json) -> About | None:
    shown = objects.order(resource)
    return None if shown is None else About(theirs=(shown.id,), ours=(shown.custom_id,), order_id=shown.id)


def _approval(resource: Json) -> About | None:
    """An approval that was taken back names the order, and shows nothing of it."""
    order_id = word(resource.get("order_id"))
    return None if order_id is None else About(theirs=(order_id,), order_id=order_id)


def _authorization(resource: Json) -> About | None:
    shown = objects.authorization(resource)
    return None if shown is None else About(theirs=(shown.order_id, shown.id), ours=(shown.custom_id,), order_id=shown.order_id)


def _capture_or_refund(resource: Json) -> About | None:
    """PAYMENT.CAPTURE.REFUNDED and REVERSED show what was made of a capture, which they name by its link alone."""
    refund = objects.refund(resource)
    if refund is not None and refund.capture_id is not None:
        return About(theirs=(refund.id, refund.capture_id), ours=(refund.custom_id, refund.invoice_id))
    shown = objects.capture(resource)
    if shown is None:
        return None
    theirs = (shown.id, shown.authorization_id, shown.order_id)
    return About(theirs=theirs, ours=(shown.custom_id, shown.invoice_id), order_id=shown.order_id)


def _refund(resource: Json) -> About | None:
    shown = objects.refund(resource)
    return None if shown is None else About(theirs=(shown.id, shown.capture_id), ours=(shown.custom_id, shown.invoice_id))


def _dispute(resource: Json) -> About | None:
    """One of which stage, status or amount cannot be told would be lost in silence: it is for people."""
    shown = events.dispute(resource)
    if shown is None or shown.amount is None or verdicts.of_dispute(shown.stage, shown.status, shown.outcome) is None:
        return None
    return About(theirs=(*shown.captures, shown.id), ours=shown.ours)


_Look: TypeAlias = Callable[[Json], About | None]
_KINDS: Final[tuple[tuple[str, _Look], ...]] = (
    ("CHECKOUT.ORDER.", _order),
    ("CHECKOUT.PAYMENT-APPROVAL.", _approval),
    ("PAYMENT.AUTHORIZATION.", _authorization),
    ("PAYMENT.CAPTURE.", _capture_or_refund),
    ("PAYMENT.REFUND.", _refund),
    ("CUSTOMER.DISPUTE.", _dispute),
)


def _look(event: Event) -> _Look | None:
    return next((look for beginning, look in _KINDS if event.kind.startswith(beginning)), None)


def _well_formed(values: Iterable[str | None]) -> Iterable[str]:
    """These fields can be written by whoever has an account's credentials, so only what can be an id of ours is looked for, each once."""
    for value in dict.fromkeys(values):
        if value is None:
            continue
        try:
            prefix, _ = parse(value)
        except MalformedIdentifier:
            continue
        if prefix in _OURS:
            yield value
