"""What is common to all requests and their answers, whether the framework (`app`) or the short way (`hot`) reads them.

Every answer carries an X-Request-Id and the same few headers; every refusal is a problem; a fault of ours is logged with its traceback and
answered without. Not here: what any route does.
"""

from __future__ import annotations

from typing import Final, final

import trio

from payorch.api.answering import OUT_OF_REACH, refusal_of
from payorch.api.headers import Headers, request_id
from payorch.api.problems import Code
from payorch.api.refusal import Refusal
from payorch.api.surroundings import ApiSurroundings

# Bodies here name payments and customers, so nobody on the way keeps them; browsers take them for what they are called and run nothing.
HEADERS: Final = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"),
)
_READS: Final = frozenset({"GET", "HEAD"})


@final
class Frame:
    """What happens around every request."""

    def __init__(self, around: ApiSurroundings) -> None:
        self._around = around

    def request_id(self, headers: Headers) -> str:
        """The caller's, or a new one."""
        return request_id(headers) or self._around.identifier("req")

    def refusal(self, error: Exception, *, method: str, route: str, request_id: str) -> Refusal:
        """What to answer where the request ended in that error. A fault of ours is logged."""
        if isinstance(error, Refusal):
            return error
        refusal = refusal_of(error, surely_nothing=True) if isinstance(error, OUT_OF_REACH) else None
        if refusal is None:
            self._around.log.error("http.failed", method=method, route=route, request_id=request_id, exc_info=error)
            refusal = fault(method)
        return refusal

    def answered(self, route: str, status: int, began_at: float) -> None:
        """Counts the answer; `began_at` by trio's clock."""
        self._around.metrics.http_answered(route, status, trio.current_time() - began_at)


def fault(method: str) -> Refusal:
    """A fault of ours."""
    if method in _READS:
        detail = "A fault of ours stopped the request. It only reads: it moved no money. Name the request_id when you ask us."
        return Refusal(Code.INTERNAL_ERROR, detail=detail, money_moved="no")
    return Refusal(Code.INTERNAL_ERROR)
