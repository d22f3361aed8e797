"""What machines and developers ask of the process itself: alive, ready, figures, and the description of its API.

No key is needed for any of it, so none of it tells of payments or merchants. Not here: measuring, or what a part is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias, final

import msgspec
import trio
from quart import Response

from payorch.api.openapi import docs_page, openapi_json
from payorch.api.surroundings import ApiSurroundings
from payorch.telemetry import METRICS_CONTENT_TYPE

Handler: TypeAlias = Callable[..., Awaitable[Response]]

PARTS_ANSWER_WITHIN_SECONDS: Final = 2.0
"""A part that takes longer is as good as away; orchestrators ask every few seconds."""

_JSON: Final = "application/json"


@final
class HealthApi:
    """The handlers."""

    def __init__(self, around: ApiSurroundings) -> None:
        self._around = around

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """(method, path) -> handler."""
        return {
            ("GET", "/livez"): self.alive,
            ("GET", "/readyz"): self.ready,
            ("GET", "/metrics"): self.figures,
            ("GET", "/openapi.json"): self.openapi,
            ("GET", "/docs"): self.docs,
        }

    async def alive(self) -> Response:
        """The process answers."""
        return Response(b'{"alive":true}', 200, content_type=_JSON)

    async def ready(self) -> Response:
        """200 only when every part answers."""
        parts: Mapping[str, tuple[bool, str]] = {}
        with trio.move_on_after(PARTS_ANSWER_WITHIN_SECONDS) as scope:
            try:
                parts = await self._around.parts()
            except Exception as error:
                self._around.log.error("readiness.failed", exc_info=error)
                parts = {"readiness": (False, "the parts could not be asked")}
        if scope.cancelled_caught:
            parts = {"readiness": (False, f"no answer within {PARTS_ANSWER_WITHIN_SECONDS} s")}
        is_ready = bool(parts) and all(ok for ok, _ in parts.values())
        view = {"ready": is_ready, "parts": {name: {"ok": ok, "detail": detail} for name, (ok, detail) in parts.items()}}
        return Response(msgspec.json.encode(view), 200 if is_ready else 503, content_type=_JSON)

    async def figures(self) -> Response:
        """Prometheus' text."""
        return Response(self._around.metrics.exposition(), 200, content_type=METRICS_CONTENT_TYPE)

    async def openapi(self) -> Response:
        """The OpenAPI document."""
        # Made when first asked for, beside the loop: it takes some tenths of a second, which no start and no payment should wait for.
        document = await trio.to_thread.run_sync(openapi_json)
        return Response(document, 200, content_type=_JSON)

    async def docs(self) -> Response:
        """The same for people."""
        page = await trio.to_thread.run_sync(docs_page)
        return Response(page, 200, content_type="text/html; charset=utf-8")
