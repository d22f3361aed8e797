"""Routing over HTTP, for operators: the rules in force, the latest decisions, and past decisions made again under other rules.

Not here: who asks (`operators`), deciding (`payorch.domain.routing`), having rules loaded, which takes a plan.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Protocol, final

from pydantic import Field
from quart import Response, request

from payorch.api.contracts import StrictBody, validated
from payorch.api.merchant import Handler
from payorch.api.operations.connector_views import Decided, decided_view
from payorch.api.operations.operators import OperatorDoor
from payorch.api.operations.routing_views import Comparing, RulesInForce, RulesUnusable, rules_view
from payorch.api.present import rfc3339
from payorch.api.problems import FieldError
from payorch.api.reading import Reader, object_of, paging, query_of, text, view_response, whole_body
from payorch.api.refusal import InvalidBody
from payorch.api.surroundings import HttpLimits
from payorch.api.webhook_bodies import Moment
from payorch.domain.roles import Role
from payorch.ports import Clock

PAGE_DEFAULT: Final = 50
PAGE_LIMIT: Final = 200
"""Of lists under /ops/v1: a screen's worth, and enough to scroll."""
LONGEST_SPAN: Final = timedelta(days=31)
"""A simulation reads at most so much time: with more, its limit of decisions would show the beginning of it only."""

_READERS: Final[Mapping[str, Reader]] = {"connector": text, **paging("pay")}
DECISION_PARAMETERS: Final = tuple(_READERS)


class SimulateRoutingBody(StrictBody):
    """Other rules: the text of a routing.toml, or changes to the rules in force, or both. Nothing of it is kept.

    Decisions of the last 24 hours, where no time is given: `from` is included, `to` is not.
    """

    routing: (
        Annotated[str, Field(max_length=60_000, description="TOML, as in config/routing.toml; what is left out is as shipped.")] | None
    ) = None
    changes: Annotated[dict[str, Any], Field(description='As in {"default": ["a", "b"]}: laid over the rules.')] | None = None
    since: Annotated[Moment | None, Field(alias="from")] = None
    until: Annotated[Moment | None, Field(alias="to")] = None
    limit: Annotated[int, Field(ge=1, le=100_000)] | None = None


class Page(Protocol):
    """Decisions, the latest first, of those that say anything of that connector; then where the next page goes on."""

    def __call__(self, connector: str | None, *, limit: int, after: str | None) -> Awaitable[tuple[Sequence[Decided], str | None]]: ...


class Simulate(Protocol):
    """The comparison for programs. Raises RulesUnusable."""

    def __call__(self, asked: Comparing, *, since: datetime, until: datetime | None) -> Awaitable[Mapping[str, Any]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingSurroundings:
    """What these calls are given."""

    in_force: Callable[[], Awaitable[RulesInForce]]
    decisions: Page
    simulate: Simulate


@final
class RoutingApi:
    """The handlers."""

    def __init__(self, around: RoutingSurroundings, door: OperatorDoor, *, http: HttpLimits, clock: Clock) -> None:
        self._around = around
        self._door = door
        self._http = http
        self._clock = clock

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """(method, path) -> handler."""
        return {
            ("GET", "/ops/v1/routing"): self.rules,
            ("GET", "/ops/v1/routing/decisions"): self.decisions,
            ("POST", "/ops/v1/routing/simulations"): self.simulate,
        }

    async def rules(self) -> Response:
        """The rules in force."""
        await self._door.asked(Role.VIEWER)
        query_of(request.query_string, {}, default=1, largest=1)
        return view_response(rules_view(await self._around.in_force()))

    async def decisions(self) -> Response:
        """A page of decisions, those of payments made later first."""
        await self._door.asked(Role.VIEWER)
        asked = query_of(request.query_string, _READERS, default=PAGE_DEFAULT, largest=PAGE_LIMIT)
        found, cursor = await self._around.decisions(asked.values.get("connector"), limit=asked.limit, after=asked.after)
        return view_response({"data": [decided_view(one) for one in found], "next_cursor": cursor})

    async def simulate(self) -> Response:
        """Past decisions under other rules. It changes nothing, so whoever may look may try."""
        await self._door.asked(Role.VIEWER)
        value = await object_of(request.scope["headers"], whole_body, self._http, empty=True, lines=frozenset({"routing"}))
        body = validated(SimulateRoutingBody, value)
        since, until = self._span(body)
        try:
            asked = Comparing(routing=body.routing, changes=body.changes, limit=body.limit)
            compared = await self._around.simulate(asked, since=since, until=body.until)
        except RulesUnusable as unusable:
            raise InvalidBody([FieldError(pointer=place, detail=why) for place, why in unusable.faults]) from None
        return view_response({"object": "routing_simulation", "from": rfc3339(since), "to": rfc3339(until), **compared})

    def _span(self, body: SimulateRoutingBody) -> tuple[datetime, datetime]:
        until = body.until or self._clock.now()
        since = body.since or until - timedelta(days=1)
        if not timedelta() < until - since <= LONGEST_SPAN:
            wrong = f"From is before to, and at most {LONGEST_SPAN.days} days."
            raise InvalidBody([FieldError(pointer="/from", detail=wrong)])
        return since, until
