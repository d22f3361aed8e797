"""PayPal's webhook events, as far as we believe their form: an event, and a dispute inside one. The other resources are `objects`.

Nothing here raises. Not here: whether it is PayPal's (`signatures`), what it is about (`notices`) and what it leads to (`testimony`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from connectors.paypal.money import from_wire
from connectors.paypal.objects import Json, child, entries, moment, word
from payorch.domain.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a webhook holds: a snapshot (`resource`) of some object at the time of the event, and what kind of object it is."""

    id: str
    kind: str
    resource_type: str | None
    created: datetime | None
    resource: Json = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """One dispute. `captures`, `ours`: of the transactions that are disputed, PayPal's ids and what they report back of ours."""

    id: str
    stage: str
    status: str
    outcome: str | None
    amount: Money | None
    reason: str | None
    respond_by: datetime | None
    updated: datetime | None
    captures: tuple[str, ...]
    ours: tuple[str, ...]


def event(data: Json | None) -> Event | None:
    """An event by its id, type and resource; None for anything else."""
    if data is None:
        return None
    identity, kind, resource = word(data.get("id")), word(data.get("event_type")), data.get("resource")
    if identity is None or kind is None or not isinstance(resource, dict):
        return None
    return Event(
        id=identity,
        kind=kind,
        resource_type=word(data.get("resource_type")),
        created=moment(data.get("create_time")),
        resource=resource,
    )


def dispute(value: Json) -> Dispute | None:
    """A dispute by its id, stage and status; None for anything else."""
    identity, status, stage = (word(value.get(name)) for name in ("dispute_id", "status", "dispute_life_cycle_stage"))
    if identity is None or status is None or stage is None:
        return None
    disputed = [one for one in entries(value, "disputed_transactions")[:100] if isinstance(one, dict)]
    captures = [word(one.get("seller_transaction_id")) for one in disputed]
    ours = [word(one.get(name)) for one in disputed for name in ("custom", "invoice_number")]
    return Dispute(
        id=identity,
        stage=stage,
        status=status,
        outcome=word(child(value, "dispute_outcome").get("outcome_code")),
        amount=from_wire(value.get("dispute_amount")),
        reason=word(value.get("reason")),
        respond_by=moment(value.get("seller_response_due_date")),
        updated=moment(value.get("update_time")) or moment(value.get("create_time")),
        captures=tuple(one for one in captures if one is not None),
        ours=tuple(one for one in ours if one is not None),
    )
