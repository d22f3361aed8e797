"""The Quart application: routes put together, and what is common to all requests and answers.

Every answer carries an X-Request-Id; every refusal, also of the framework's own, is a problem; a fault of ours is logged with its
traceback and answered without. There are no cookies and no sessions. Not here: what any route does.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import trio
from quart import Response, g, request
from quart.typing import ResponseTypes
from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGIHTTPConnection
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from payorch.api.answering import OUT_OF_REACH, refusal_of
from payorch.api.headers import request_id
from payorch.api.health import HealthApi
from payorch.api.merchant import Handler, MerchantApi
from payorch.api.problems import Code, Problem
from payorch.api.refusal import Refusal, not_found
from payorch.api.surroundings import ApiSurroundings

__all__ = ["ApiSurroundings", "make_app"]

# Bodies here name payments and customers, so nobody on the way keeps them; browsers take them for what they are called and run nothing.
_HEADERS: Final = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"),
)
_CODES: Final[Mapping[int, Code]] = {
    HTTPStatus.NOT_FOUND: Code.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT: Code.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Code.PAYLOAD_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: Code.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: Code.HEADERS_TOO_LARGE,
}
_READS: Final = frozenset({"GET", "HEAD"})
_NO_ROUTE: Final = "(none)"


def make_app(around: ApiSurroundings, *, http_class: type[TrioASGIHTTPConnection] = TrioASGIHTTPConnection) -> QuartTrio:
    """The API as an ASGI app. Nothing is started and nothing is read before the first request.

    http_class: how a request meets the app. The composition root gives `payorch.door.LeanHTTPConnection`, which lets a command run to its
    end where the client hangs up; this module may not know the door.
    """
    app = QuartTrio("payorch", static_folder=None)
    app.asgi_http_class = http_class
    app.url_map.merge_slashes = False  # no redirects: a path is one of ours, or not
    app.config.update(
        MAX_CONTENT_LENGTH=around.http.body_limit_bytes,
        BODY_TIMEOUT=around.http.body_deadline_seconds,
        PROVIDE_AUTOMATIC_OPTIONS=False,
        PROPAGATE_EXCEPTIONS=False,
    )
    for routes in (MerchantApi(around).routes(), HealthApi(around).routes()):
        _add(app, routes)
    _frame(app, around)
    return app


def _add(app: QuartTrio, routes: Mapping[tuple[str, str], Handler]) -> None:
    for (method, path), handler in routes.items():
        app.add_url_rule(path, f"{method} {path}", handler, methods=[method], provide_automatic_options=False)


def _frame(app: QuartTrio, around: ApiSurroundings) -> None:
    """What happens around every request."""

    @app.before_request
    async def begin() -> None:
        g.started_at = trio.current_time()
        g.request_id = request_id(request.scope["headers"]) or around.identifier("req")
        if request.scope["path"].startswith("//"):
            raise not_found()  # the router would take it for the path with one slash, a proxy's rules would not

    @app.after_request
    async def finish(response: ResponseTypes) -> ResponseTypes:
        headers = response.headers
        headers["X-Request-Id"] = g.request_id
        for name, value in _HEADERS:
            headers[name] = value
        route = request.url_rule.rule if request.url_rule is not None else _NO_ROUTE
        around.metrics.http_answered(route, response.status_code, trio.current_time() - g.started_at)
        return response

    @app.errorhandler(Refusal)
    async def refused(refusal: Refusal) -> Response:
        return _problem_answer(refusal.problem(g.request_id))

    @app.errorhandler(HTTPException)
    async def refused_by_framework(error: HTTPException) -> Response:
        return _problem_answer(_of_framework(error).problem(g.request_id))

    @app.errorhandler(Exception)
    async def failed(error: Exception) -> Response:
        refusal = refusal_of(error, surely_nothing=True) if isinstance(error, OUT_OF_REACH) else None
        if refusal is None:
            around.log.error("http.failed", method=request.method, route=_route(), request_id=g.request_id, exc_info=error)
            refusal = _fault()
        return _problem_answer(refusal.problem(g.request_id))


def _of_framework(error: HTTPException) -> Refusal:
    if isinstance(error, MethodNotAllowed):
        return Refusal(Code.METHOD_NOT_ALLOWED, allowed=sorted(error.valid_methods or ()))
    code = _CODES.get(error.code or 0)
    if code is not None:
        return Refusal(code)
    is_callers = error.code is not None and 400 <= error.code < 500
    return (
        Refusal(Code.VALIDATION_FAILED, detail="The request cannot be read. Nothing was executed and no money moved.")
        if is_callers
        else _fault()
    )


def _fault() -> Refusal:
    if request.method in _READS:
        detail = "A fault of ours stopped the request. It only reads: it moved no money. Name the request_id when you ask us."
        return Refusal(Code.INTERNAL_ERROR, detail=detail, money_moved="no")
    return Refusal(Code.INTERNAL_ERROR)


def _route() -> str:
    return request.url_rule.rule if request.url_rule is not None else _NO_ROUTE


def _problem_answer(problem: Problem) -> Response:
    return Response(problem.as_json(), problem.status, headers=dict(problem.headers))
