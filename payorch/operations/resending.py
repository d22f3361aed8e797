"""Plans and carries out that a merchant is told of an event again: by an operator's word, as the merchant could have it himself.

It moves no money and may be repeated, since merchants know an event by its id: carried out again, it is sent once more at most.

Not here: which deliveries are due (`payorch.api.resending`), sending them (`actors.notifier`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, final

from payorch.api.resending import due_again
from payorch.domain.acts import Act, ActState, Check, Draft, Effect, Nonsense, Objection, Performed, Wish
from payorch.domain.identifiers import MalformedIdentifier, parse
from payorch.operations.planner import Progress
from payorch.store.delivery_reads import EventRow
from payorch.store.items import Appended, Delivery, Endpoint, EndpointState, Result

_UNDO: Final = "Nothing to undo: merchants know an event by its id, and tell a repeated one by it."


@dataclass(frozen=True, slots=True, kw_only=True)
class ResendRoom:
    """event: of any merchant. endpoints: of a merchant. deliveries: of an event. write: one delivery, by that actor and for that cause."""

    event: Callable[[str], Awaitable[EventRow | None]]
    endpoints: Callable[[str], Awaitable[Sequence[Endpoint]]]
    deliveries: Callable[[str], Awaitable[Sequence[Delivery]]]
    write: Callable[[Delivery, str, str], Awaitable[Result]]
    now: Callable[[], datetime]


@final
class ResendPlanner:
    """A `planner.Planner` for `webhook.resend`."""

    def __init__(self, room: ResendRoom) -> None:
        self._room = room

    async def plan(self, wish: Wish) -> Draft:
        event, due, objections = await self._due(wish.subject, wish.parameters)
        states = {one.endpoint_id: one for one in await self._room.deliveries(event.event_id)}
        effects = []
        for one in due:
            before = states.get(one.endpoint_id)
            stood = "never sent" if before is None else f"{before.state} after {before.attempts} tries"
            effects.append(Effect(what="webhook", before=f"{one.endpoint_id}: {stood}", after="due now, as if never tried"))
        return Draft(
            effects=tuple(effects),
            people=1,
            why_people="It moves no money.",
            version=event.event_id,
            confirm=event.event_id[-4:],
            undo=_UNDO,
            checks=(Check(what="event", holds=True, detail=f"{event.type}, of {event.payment_id}"),),
            objections=objections,
        )

    async def perform(self, act: Act, progress: Progress) -> Performed:
        try:
            event, due, objections = await self._due(act.subject, act.parameters)
        except Nonsense as problem:
            return Performed(state=ActState.REFUSED, text=problem.why)
        if objections:
            return Performed(state=ActState.REFUSED, text=objections[0].why)
        for one in due:
            result = await self._room.write(one, act.requested_by.actor, act.id)
            if not isinstance(result, Appended):
                return Performed(state=ActState.FAILED, text=f"The journal refused to schedule it: {result}.")
        where = [one.endpoint_id for one in due]
        return Performed(state=ActState.DONE, text=f"{event.type} is sent again to {len(due)} endpoints.", data={"endpoints": where})

    async def _due(self, event_id: str, parameters: Mapping[str, Any]) -> tuple[EventRow, list[Delivery], tuple[Objection, ...]]:
        """The event, what is due, and what stands against it. Raises Nonsense."""
        try:
            known = parse(event_id)[0] == "evt"
        except MalformedIdentifier:
            known = False
        event = await self._room.event(event_id) if known else None
        if event is None:
            raise Nonsense("/subject", "There is no such event.", missing=True)
        only = parameters.get("endpoint")
        endpoints = await self._room.endpoints(event.merchant_id)
        if only is not None and only not in [one.id for one in endpoints]:
            raise Nonsense("/parameters/endpoint", "Its merchant has no endpoint with this id.")
        enabled = [one for one in endpoints if one.state is EndpointState.ENABLED and only in (None, one.id)]
        before = await self._room.deliveries(event.event_id)
        due = due_again([event], enabled, {event.event_id: before}, self._room.now())
        if due:
            return event, due, ()
        why = "No enabled endpoint of its merchant wants events of this type: its merchant can enable one."
        return event, [], (Objection(code="operation_not_allowed", why=why),)
