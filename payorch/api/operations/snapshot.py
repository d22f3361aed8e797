"""GET /ops/v1/snapshot: the views of a console that starts, and the place in the journal from which the stream goes on.

The place is taken first and the views are made after it: what happens between is in the views already, and is told once more. So nothing is
ever lost, and an event that is known is told again at most. Not here: the stream (`stream`), making any of the views.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, final

import msgspec
from quart import Response, request

from payorch.api.merchant import Handler
from payorch.api.operations.live import LiveSurroundings
from payorch.api.operations.meta import SCHEMA, MetaApi
from payorch.api.operations.operators import OperatorDoor
from payorch.api.present import rfc3339
from payorch.api.reading import Reader, json_response, query_of
from payorch.domain.roles import Role
from payorch.ports import Clock

VIEWS: Final = ("overview", "connectors", "approvals")
LIVE_EVENTS: Final = 100
"""The last events that come with it: more than a screen has lines."""


def _views(text: str) -> frozenset[str]:
    asked = frozenset(text.split(","))
    if not asked <= frozenset(VIEWS):
        raise ValueError(f"These are some of: {', '.join(VIEWS)}; parted by commas.")
    return asked


_READERS: Final[Mapping[str, Reader]] = {"views": _views}
SNAPSHOT_PARAMETERS: Final = tuple(_READERS)


@final
class SnapshotApi:
    """The handler."""

    def __init__(self, around: LiveSurroundings, door: OperatorDoor, meta: MetaApi, *, clock: Clock) -> None:
        self._around = around
        self._door = door
        self._meta = meta
        self._clock = clock

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """(method, path) -> handler."""
        return {("GET", "/ops/v1/snapshot"): self.snapshot}

    async def snapshot(self) -> Response:
        """Everything that a console begins with."""
        who = await self._door.asked(Role.VIEWER)
        views: frozenset[str] = query_of(request.query_string, _READERS, default=1, largest=1).values.get("views", frozenset(VIEWS))
        around = self._around
        cursor = await around.feed.position()
        live = await around.feed.last(cursor, LIVE_EVENTS)
        seen = await around.overviews() if views & {"overview", "connectors"} else None
        view = {
            "object": "snapshot",
            "cursor": cursor,
            "server_time": rfc3339(self._clock.now()),
            "schema": SCHEMA,
            "meta": await self._meta.view(who),
            "overview": seen.overview_of(who.person) if seen is not None and "overview" in views else None,
            "connectors": seen.connectors if seen is not None and "connectors" in views else None,
            "approvals": await around.approvals(who) if "approvals" in views else None,
            "live": [msgspec.Raw(one.data) for one in live],
        }
        return json_response(msgspec.json.encode(view))
