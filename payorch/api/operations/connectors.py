"""Connectors over HTTP, for operators: all of them as they are now, and one with its last hour.

Not here: who asks (`operators`), figures (`payorch.operations.vitals`), what is done to connectors (plans and actions).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from quart import Response, request

from payorch.api.merchant import Handler
from payorch.api.operations.connector_views import ConnectorNow, ConnectorWhole, connector_view, whole_view
from payorch.api.operations.operators import OperatorDoor
from payorch.api.reading import query_of, view_response
from payorch.api.refusal import not_found
from payorch.domain.roles import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorSurroundings:
    """What these calls are given. connectors: in their order. whole: None where there is no connector of that name."""

    connectors: Callable[[], Awaitable[Sequence[ConnectorNow]]]
    whole: Callable[[str], Awaitable[ConnectorWhole | None]]


@final
class ConnectorApi:
    """The handlers."""

    def __init__(self, around: ConnectorSurroundings, door: OperatorDoor) -> None:
        self._around = around
        self._door = door

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """(method, path) -> handler."""
        return {
            ("GET", "/ops/v1/connectors"): self.every,
            ("GET", "/ops/v1/connectors/<name>"): self.one,
        }

    async def every(self) -> Response:
        """All that are switched on."""
        await self._asked()
        return view_response({"data": [connector_view(one) for one in await self._around.connectors()]})

    async def one(self, name: str) -> Response:
        """One, with its last hour, its errors, its circuits' changes and the latest decisions about it."""
        await self._asked()
        found = await self._around.whole(name)
        if found is None:
            raise not_found()
        return view_response(whole_view(found))

    async def _asked(self) -> None:
        await self._door.asked(Role.VIEWER)
        query_of(request.query_string, {}, default=1, largest=1)
