"""The Quart application: routes put together, what is common to all requests and answers (`frame`) around them, the short way in front.

Every refusal, also of the framework's own, is a problem. There are no cookies and no sessions. Not here: what any route does.
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

from payorch.api.answering import CREATE
from payorch.api.deliveries import DeliverySurroundings, Turns
from payorch.api.disputes import DisputeApi, DisputeSurroundings
from payorch.api.endpoints import EndpointApi
from payorch.api.events import EventApi
from payorch.api.frame import HEADERS, Frame, fault
from payorch.api.health import HealthApi
from payorch.api.hot import HotRoute, Short
from payorch.api.merchant import Handler, MerchantApi
from payorch.api.notices import PATH, ROUTE, NoticeApi, NoticeSurroundings
from payorch.api.operations.rooms import OperatorSurroundings, operator_rooms
from payorch.api.operations.uploads import UploadRoute
from payorch.api.problems import Code, Problem
from payorch.api.refusal import Refusal, not_found
from payorch.api.surroundings import ApiSurroundings

__all__ = ["ApiSurroundings", "DeliverySurroundings", "DisputeSurroundings", "NoticeSurroundings", "OperatorSurroundings", "make_app"]

_CODES: Final[Mapping[int, Code]] = {
    HTTPStatus.NOT_FOUND: Code.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT: Code.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Code.PAYLOAD_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: Code.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: Code.HEADERS_TOO_LARGE,
}
_NO_ROUTE: Final = "(none)"


def make_app(
    around: ApiSurroundings,
    notices: NoticeSurroundings,
    deliveries: DeliverySurroundings,
    disputes: DisputeSurroundings,
    operators: OperatorSurroundings,
    *,
    http_class: type[TrioASGIHTTPConnection] = TrioASGIHTTPConnection,
) -> QuartTrio:
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
    merchants, psps, frame = MerchantApi(around), NoticeApi(notices), Frame(around)
    turns = Turns()
    rooms = operator_rooms(around, operators)
    for part in (
        *(merchants, psps, HealthApi(around), DisputeApi(around, disputes, merchants.merchant)),
        EndpointApi(around, deliveries, merchants.merchant, turns),
        EventApi(around, deliveries, merchants.merchant, turns),
    ):
        _add(app, part.routes())
    _add(app, rooms.routes)
    _put_into(frame, app)
    path = CREATE.partition(" ")[2]
    create = Short(
        path=path,
        route=path,
        run=merchants.created,
        most_bytes=around.http.body_limit_bytes,
        within_seconds=around.http.body_deadline_seconds,
    )
    receive = Short(
        path=PATH,
        route=ROUTE,
        run=psps.received,
        most_bytes=notices.body_limit_bytes,
        within_seconds=notices.body_deadline_seconds,
    )
    app.asgi_app = HotRoute(UploadRoute(app.asgi_app, rooms.report, frame), (create, receive), frame)  # type: ignore[method-assign, assignment]  # Quart's way
    return app


def _add(app: QuartTrio, routes: Mapping[tuple[str, str], Handler]) -> None:
    for (method, path), handler in routes.items():
        app.add_url_rule(path, f"{method} {path}", handler, methods=[method], provide_automatic_options=False)


def _put_into(frame: Frame, app: QuartTrio) -> None:
    """What happens around every request."""

    @app.before_request
    async def begin() -> None:
        g.began_at = trio.current_time()
        g.request_id = frame.request_id(request.scope["headers"])
        if request.scope["path"].startswith("//"):
            raise not_found()  # the router would take it for the path with one slash, a proxy's rules would not

    @app.after_request
    async def finish(response: ResponseTypes) -> ResponseTypes:
        headers = response.headers
        headers["X-Request-Id"] = g.request_id
        for name, value in HEADERS:
            headers[name] = value
        frame.answered(_route(), response.status_code, g.began_at)
        return response

    @app.errorhandler(HTTPException)
    async def refused_by_framework(error: HTTPException) -> Response:
        return _problem_answer(_of_framework(error).problem(g.request_id))

    @app.errorhandler(Exception)
    async def refused_or_failed(error: Exception) -> Response:
        refusal = frame.refusal(error, method=request.method, route=_route(), request_id=g.request_id)
        return _problem_answer(refusal.problem(g.request_id))


def _of_framework(error: HTTPException) -> Refusal:
    if isinstance(error, MethodNotAllowed):
        return Refusal(Code.METHOD_NOT_ALLOWED, allowed=sorted(error.valid_methods or ()))
    code = _CODES.get(error.code or 0)
    if code is not None:
        return Refusal(code)
    is_callers = error.code is not None and 400 <= error.code < 500
    if is_callers:
        return Refusal(Code.VALIDATION_FAILED, detail="The request cannot be read. Nothing was executed and no money moved.")
    return fault(request.method)


def _route() -> str:
    return request.url_rule.rule if request.url_rule is not None else _NO_ROUTE


def _problem_answer(problem: Problem) -> Response:
    return Response(problem.as_json(), problem.status, headers=dict(problem.headers))
