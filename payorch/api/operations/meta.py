"""GET /ops/v1/meta: which platform this is, who asks, what may be done here and by him, and the limits that a console goes by.

Not here: whether a single act is possible now, which its plan says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, final

import msgspec
from quart import Response, request

from payorch.api.headers import bearer_token
from payorch.api.merchant import Handler
from payorch.api.operations.live import LiveSurroundings, View
from payorch.api.operations.operators import Operator, OperatorDoor
from payorch.api.present import rfc3339
from payorch.api.reading import json_response, query_of
from payorch.domain.acts import KINDS, ActName, Kind
from payorch.domain.money import EXPONENTS
from payorch.domain.roles import Role
from payorch.keys import parse
from payorch.ports import Clock

SCHEMA: Final = 1
"""Of everything under /ops/v1. A console that knows an older one reads what it can, and writes nothing."""

_ABOUT: Final[Mapping[str, str]] = {
    "to": "what it is to be from now on",
    "evidence": "where one sees that it is so: a PSP's reference, a line of a report, a ticket",
    "operation": "the capture, void or refund that is meant, where it is not the payment's attempt",
    "amount": "in minor units; all that is left where nothing is said",
    "final": "whether the rest of the hold is released",
    "ids": "the dead letters that are meant, parted by commas",
    "fingerprint": "all dead letters that failed alike",
    "canary": "how many are tried first",
    "per_second": "how many a second after that",
    "halt_percent": "from which share of failures on it stops by itself",
    "for_seconds": "for how long; then it ends by itself",
    "endpoint": "the webhook endpoint; all of the merchant's where nothing is said",
}
"""What a parameter of an act means, by its name, which means the same in every act; `to` of a link is the movement."""


@final
class MetaApi:
    """The handler."""

    def __init__(self, around: LiveSurroundings, door: OperatorDoor, *, clock: Clock) -> None:
        self._around = around
        self._door = door
        self._clock = clock

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """(method, path) -> handler."""
        return {("GET", "/ops/v1/meta"): self.meta}

    async def meta(self) -> Response:
        """Who and where one is."""
        who = await self._door.asked(Role.VIEWER)
        query_of(request.query_string, {}, default=1, largest=1)
        return json_response(msgspec.json.encode(await self.view(who)))

    async def view(self, who: Operator) -> View:
        """As that operator sees it, who sends the framework's present request."""
        around = self._around
        token = await around.find_token(parse(bearer_token(request.scope["headers"]).reveal()).lookup_id)
        expires_at = token.expires_at if token is not None else None
        planned = around.planned()
        return {
            "object": "meta",
            "environment": {"name": around.environment, "kind": around.kind},
            "version": around.version,
            "schema": SCHEMA,
            "server_time": rfc3339(self._clock.now()),
            "head": around.head(),
            "operator": {
                "id": who.id,
                "name": who.name,
                "person": who.person,
                "role": who.role,
                "token_expires_at": None if expires_at is None else rfc3339(expires_at),
            },
            "limits": around.limits,
            "connectors": list(around.connectors),
            "currencies": dict(EXPONENTS),
            "actions": [_action(name, kind, who.role, planned) for name, kind in KINDS.items()],
        }


def _action(name: ActName, kind: Kind, role: Role, planned: frozenset[ActName]) -> View:
    why_not = None
    if not role.may(kind.least):
        why_not = f"This takes the role {kind.least}, and your token has the role {role}."
    elif name not in planned:
        why_not = "This platform cannot do it: no part of it that runs plans this act."
    return {
        "name": name,
        "verb": kind.verb,
        "subject": kind.subject,
        "least": kind.least,
        "parameters": [_parameter(one) for one in kind.parameters],
        "may": why_not is None,
        "why_not": why_not,
    }


def _parameter(written: str) -> View:
    name = written.removesuffix("?")
    return {"name": name, "required": name == written, "choices": None, "about": _ABOUT.get(name, "")}
