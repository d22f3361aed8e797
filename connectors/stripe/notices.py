"""A webhook of Stripe's, once it is known to be Stripe's, as the notice that is stored: which event, about which of whose objects.

One delivery is one event, and the whole body is the notice's content. Kinds that are about nothing we keep are taken and marked, since an
endpoint may be subscribed to more than it needs. What is genuine and cannot be understood is a notice too, with the reason in words: it
must not be lost because a newer Stripe says something new.

Not here: whether it is Stripe's (`signatures`), what it means for a payment (`testimony`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from connectors.contract import Notice
from connectors.stripe import objects, verdicts
from connectors.stripe.objects import Event, Json, child, decode, word
from connectors.stripe.redaction import redacted, redacted_event
from connectors.stripe.requests import ATTEMPT_KEY, OPERATION_KEY
from payorch.domain.identifiers import MalformedIdentifier, parse

_UNREADABLE: Final = "unreadable"
_ATTEMPTS: Final = frozenset({"att"})
_OPERATIONS: Final = frozenset({"cap", "void", "ref"})

References: TypeAlias = tuple[str | None, ...]


def notice(body: bytes) -> Notice:
    """The notice in the body of a delivery that is surely Stripe's. Never raises on any bytes."""
    data = decode(body)
    event = objects.event(data)
    if event is None:
        return _unreadable(data or {}, body)
    look = _about(event)
    if look is None:
        return Notice(identity=_identity(event), kind=event.kind, content=body, occurred_at=event.created, relevant=False)
    theirs = look(event.subject)
    return Notice(
        identity=_identity(event),
        kind=event.kind,
        content=body,
        psp_references=tuple(one for one in theirs or () if one is not None),
        our_references=_ours(event.subject),
        occurred_at=event.created,
        problem=None if theirs is not None else "the object that the event is about is not one that is understood",
    )


def shown(content: bytes) -> str:
    """A notice's content without what people must not see. Never raises on any bytes."""
    event = objects.event(decode(content))
    return redacted_event(event, len(content)) if event is not None else redacted(0, decode(content), len(content))


def _identity(event: Event) -> str:
    return event.id if event.account is None else f"{event.account}/{event.id}"


def _unreadable(data: Json, body: bytes) -> Notice:
    """Signed by Stripe, and no event that we know the form of. Its own words are kept where they are words."""
    identity, account = word(data.get("id")), word(data.get("account"))
    if identity is not None and account is not None:
        identity = f"{account}/{identity}"
    problem = "not an event with an id, a type and an object" if data else "not a JSON object"
    return Notice(identity=identity, kind=word(data.get("type")) or _UNREADABLE, content=body, problem=problem)


# --- whose ------------------------------------------------------------------------------------------------------------------------------


def _intent(subject: Json) -> References | None:
    known = objects.identified(subject, "payment_intent")
    return (known[0],) if known is not None else None


def _refund(subject: Json) -> References | None:
    shown = objects.refund(subject)
    return (shown.id, shown.intent_id) if shown is not None else None


def _charge(subject: Json) -> References | None:
    shown = objects.charge(subject)
    return (shown.intent_id, shown.id) if shown is not None else None


def _dispute(subject: Json) -> References | None:
    """One of which stage, status or amount cannot be told would be lost in silence: it is for people."""
    shown = objects.dispute(subject)
    if shown is None or shown.amount is None or verdicts.of_dispute(shown) is None:
        return None
    return (shown.intent_id, shown.charge_id, shown.id)


_Look: TypeAlias = Callable[[Json], References | None]
_KINDS: Final[tuple[tuple[str, _Look], ...]] = (
    ("payment_intent.", _intent),
    ("refund.", _refund),
    ("charge.dispute.", _dispute),
    ("charge.refund.", _refund),
    ("charge.", _charge),  # after those two
)


def _about(event: Event) -> _Look | None:
    return next((look for beginning, look in _KINDS if event.kind.startswith(beginning)), None)


def _ours(subject: Json) -> tuple[str, ...]:
    labels = child(subject, "metadata")
    return tuple(_well_formed((labels.get(ATTEMPT_KEY), _ATTEMPTS), (labels.get(OPERATION_KEY), _OPERATIONS)))


def _well_formed(*labels: tuple[object, frozenset[str]]) -> Iterable[str]:
    """Metadata can be written by whoever has a key of the account, so only what can be an id of ours is looked for."""
    for value, prefixes in labels:
        if not isinstance(value, str):
            continue
        try:
            prefix, _ = parse(value)
        except MalformedIdentifier:
            continue
        if prefix in prefixes:
            yield value
