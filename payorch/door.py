"""The front door: the listening socket, the connections it lets in, and the app that answers them.

The socket belongs to the root of the process (`open`, `serve`, `drain`); the app below it comes and goes (`run_app`), and while there is
none a client hears 503 instead of "connection refused". Parsing HTTP and talking ASGI is hypercorn's: its `H11Protocol` and `HTTPStream`,
with a short way for what is common (`payorch.http11`), sit behind a connection of our own, because hypercorn's `TCPServer` has no cap on
connections, spawns an idle timer per request, hangs on a client that does not read, and can be led to HTTP/2 by an `Upgrade: h2c`.

Who is at fault when a connection ends early, and what is done about it:
    the client   (slow, malformed, gone, not reading)  answered where HTTP has an answer, else cut; one counter, no traceback
    the app      (raises)                              500, and the traceback is logged
    the process  (no more file descriptors)            accepting pauses and goes on

Not here: routes, bodies and their limits (Quart's MAX_CONTENT_LENGTH and BODY_TIMEOUT), TLS (a proxy's), rate limits.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast, final

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import (
    AppWrapper,
    ASGIFramework,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    ConnectionState,
    LifespanState,
    Scope,
)
from hypercorn.utils import LifespanTimeoutError
from quart.wrappers import Request, Response
from quart.wrappers.response import DataBody
from quart_trio.asgi import TrioASGIHTTPConnection
from werkzeug.wrappers import Response as WerkzeugResponse

from payorch.http11 import ARRIVED, Http11, Inbox

_LOG = logging.getLogger(__name__)
_READ_BYTES = 2**16
_DISCARD_BYTES = 2**20  # read and thrown away after our last word, so that the client gets to read it
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


class CannotListen(Exception):
    """The address cannot be listened on; the text says which and why."""


class DoorState(Enum):
    """What a client meets."""

    CLOSED = "closed"
    """not opened yet, or drained"""
    UNAVAILABLE = "unavailable"
    """listening, without an app: 503"""
    SERVING = "serving"
    DRAINING = "draining"
    """not listening any more; requests in flight end"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorLimits:
    """Every bound of the edge. The defaults suit a service behind a proxy."""

    max_connections: int = 1_024
    """served at once, idle ones included; the next one gets a 503"""
    max_refusals: int = 64
    """connections being told 503 at once; the next one is closed without a word"""
    header_bytes: int = 16 * 1024
    """request target and headers together; more is a 431"""
    header_seconds: float = 10.0
    """from the first byte of a request (or from connecting) to the end of its headers"""
    keep_alive_seconds: float = 75.0
    """between two requests; longer than the 60 s of common load balancers, so that they close first and never send into a closed socket"""
    write_seconds: float = 20.0
    """for one piece of an answer to be taken by the client"""
    linger_seconds: float = 1.0
    """for the client to read our last word before the socket is closed"""
    accept_pause_seconds: float = 0.1
    """after the process ran out of file descriptors"""
    retry_after_seconds: int = 1
    """told with every 503"""
    startup_seconds: float = 60.0
    """for the app's lifespan startup"""
    shutdown_seconds: float = 10.0
    """for the app's lifespan shutdown"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorStatistics:
    """The door at one moment; the counts are since it was made."""

    state: DoorState
    open_connections: int
    """being served now, idle ones included"""
    busy_connections: int
    """of these, those with a request in flight"""
    accepted: int
    refused: int
    """answered 503 by the door, or closed without a word"""
    accept_failures: int
    """accepts that failed for want of file descriptors or memory"""
    timed_out: int
    """connections that were too slow, or idle for too long"""
    cut: int
    """connections that were still busy when a drain ended"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _RunningApp:
    """An app between its lifespan startup and shutdown, with the nursery its connections live in."""

    asgi: ASGIFramework
    connections: trio.Nursery
    config: Config
    context: WorkerContext
    state: LifespanState


@final
class Door:
    """Let the root `open` it, `serve` it in a task and `drain` it at the end; run each app in `run_app`."""

    def __init__(self, limits: DoorLimits) -> None:
        self.limits = limits
        self._busy_answer = _plain_503("too_many_connections", "Too many connections are open.", limits)
        self._no_app_answer = _plain_503("service_unavailable", "The service is starting or restarting.", limits)
        self._listeners: list[trio.SocketListener] = []
        self._app: _RunningApp | None = None
        self._connections: dict[_Connection, None] = {}  # a set that keeps its order
        self._drained = trio.Event()
        self._draining = False
        self._refusals = 0
        self._accepted = self._refused = self._accept_failures = self._timed_out = self._cut = 0

    async def open(self, host: str, port: int) -> list[tuple[str, int]]:
        """Listens, and returns the addresses bound. Port 0 takes a free one. Raises `CannotListen`."""
        try:
            self._listeners = await trio.open_tcp_listeners(port, host=host)
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            reason = "the port is in use by another program" if in_use else error.strerror or str(error)
            raise CannotListen(f"cannot listen on {host}:{port}: {reason}") from error
        return [listener.socket.getsockname()[:2] for listener in self._listeners]

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Accepts connections until `drain`; the root runs this. Stops listening when it ends, however it ends."""
        if not self._listeners:
            raise RuntimeError("open() the door before serve()")
        try:
            async with trio.open_nursery() as nursery:
                for listener in self._listeners:
                    nursery.start_soon(self._accept_from, listener, nursery)
                task_status.started()
        finally:
            self._stop_listening()

    async def run_app(self, app: ASGIFramework, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Runs `app` from its lifespan startup to its shutdown and hands it every connection; ends only by being cancelled.

        Cancelling cuts the requests in flight (drain first for a soft end) and still runs the lifespan shutdown, within `shutdown_seconds`.
        A failing startup raises hypercorn's LifespanFailureError in an exception group. One app at a time.
        """
        config, state = self._hypercorn_config(), LifespanState()
        lifespan = Lifespan(cast(AppWrapper, ASGIWrapper(app)), config, state)
        async with trio.open_nursery() as nursery:
            alive: trio.CancelScope = await nursery.start(_live, lifespan)
            try:
                with suppress(*_GONE):  # an app that returned from its lifespan at once does without
                    await lifespan.wait_for_startup()
                await self._serve_app(app, config, state, task_status)
            finally:
                await _end(lifespan)
                alive.cancel()

    async def drain(self, within_seconds: float) -> int:
        """Stops listening, lets requests in flight end, cuts the rest. Returns within that time, with the number of connections cut."""
        self._draining = True
        self._stop_listening()
        if self._app is not None:
            self._app.config.keep_alive_max_requests = 0  # from now on every answer says "connection: close"
        for connection in list(self._connections):
            if connection.idle:
                connection.cut()
        try:
            if self._connections:
                with trio.move_on_after(within_seconds):
                    await self._drained.wait()
        finally:
            left = list(self._connections)
            self._cut += len(left)
            for connection in left:
                connection.cut()
        return len(left)

    def statistics(self) -> DoorStatistics:
        """The door as it is now."""
        return DoorStatistics(
            state=self._state(),
            open_connections=len(self._connections),
            busy_connections=sum(connection.busy for connection in self._connections),
            accepted=self._accepted,
            refused=self._refused,
            accept_failures=self._accept_failures,
            timed_out=self._timed_out,
            cut=self._cut,
        )

    @property
    def draining(self) -> bool:
        """True from the call of `drain`: connections are not kept alive any more."""
        return self._draining

    def left(self, connection: _Connection, *, timed_out: bool) -> None:
        """A connection is over, and its socket closed. Called by the connection, once."""
        del self._connections[connection]
        self._timed_out += timed_out
        if self._draining and not self._connections:
            self._drained.set()

    def _state(self) -> DoorState:
        if self._draining and self._connections:
            return DoorState.DRAINING
        if self._draining or not self._listeners:
            return DoorState.CLOSED
        return DoorState.UNAVAILABLE if self._app is None else DoorState.SERVING

    async def _accept_from(self, listener: trio.SocketListener, refusals: trio.Nursery) -> None:
        while True:
            try:
                stream = await listener.accept()
            except trio.ClosedResourceError:
                return  # drained
            except OSError as error:
                if error.errno not in _OUT_OF_RESOURCES:
                    raise
                self._accept_failures += 1
                _LOG.warning("cannot accept connections for the moment: %s", error.strerror)
                await trio.sleep(self.limits.accept_pause_seconds)
            else:
                self._admit(stream, refusals)

    def _admit(self, stream: trio.SocketStream, refusals: trio.Nursery) -> None:
        self._accepted += 1
        if self._draining:
            stream.socket.close()
            return
        if self._app is not None and len(self._connections) < self.limits.max_connections:
            connection = _Connection(self, self._app, stream)
            self._connections[connection] = None
            self._app.connections.start_soon(connection.run)
            return
        self._refused += 1
        if self._refusals >= self.limits.max_refusals:
            stream.socket.close()
            return
        self._refusals += 1
        refusals.start_soon(self._refuse, stream, self._no_app_answer if self._app is None else self._busy_answer)

    async def _refuse(self, stream: trio.SocketStream, answer: bytes) -> None:
        """Waits for the request before answering: some clients take an answer that comes before it for garbage."""
        try:
            with trio.move_on_after(self.limits.linger_seconds), suppress(*_GONE):
                request = await stream.receive_some(_READ_BYTES)
                head, blank, _ = answer.partition(b"\r\n\r\n")
                await stream.send_all(head + blank if request.startswith(b"HEAD ") else answer)
                await stream.send_eof()
                discarded = 0
                while discarded < _DISCARD_BYTES and (data := await stream.receive_some(_READ_BYTES)):
                    discarded += len(data)
        finally:
            self._refusals -= 1
            stream.socket.close()

    async def _serve_app(self, app: ASGIFramework, config: Config, state: LifespanState, task_status: trio.TaskStatus[None]) -> None:
        if self._app is not None:
            raise RuntimeError("the door serves another app already")
        async with trio.open_nursery() as nursery:
            self._app = _RunningApp(asgi=app, connections=nursery, config=config, context=WorkerContext(None), state=state)
            try:
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._app = None

    def _hypercorn_config(self) -> Config:
        config = Config()
        config.accesslog = None
        config.errorlog = _LOG
        config.include_server_header = False
        config.startup_timeout = self.limits.startup_seconds
        config.shutdown_timeout = self.limits.shutdown_seconds
        return config

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.socket.close()
        self._listeners = []


async def _live(lifespan: Lifespan, *, task_status: trio.TaskStatus[trio.CancelScope] = trio.TASK_STATUS_IGNORED) -> None:
    """The app's lifespan outlives a cancelled `run_app` until its shutdown has run."""
    with trio.CancelScope(shield=True) as scope:
        task_status.started(scope)
        await lifespan.handle_lifespan()


async def _end(lifespan: Lifespan) -> None:
    with trio.CancelScope(shield=True), suppress(*_GONE):
        try:
            await lifespan.wait_for_shutdown()
        except LifespanTimeoutError:
            _LOG.warning("the app did not finish its shutdown in time")


def _problem(status: int, code: str, title: str, *, retryable: bool) -> bytes:
    """The door's few own errors, in the shape of the API's. Nothing has been asked of anybody yet, so no money has moved."""
    fields = {"type": "about:blank", "title": title, "status": status, "code": code}
    return json.dumps({**fields, "retryable": retryable, "money_moved": "no"}).encode()


def _plain_503(code: str, title: str, limits: DoorLimits) -> bytes:
    body = _problem(503, code, title, retryable=True)
    return (
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n"
        b"retry-after: %d\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
    ) % (limits.retry_after_seconds, len(body), body)


_PROBLEMS = {
    status: _problem(status, code, title, retryable=False)
    for status, code, title in (
        (400, "ambiguous_length", "Content-Length and Transfer-Encoding together."),
        (431, "headers_too_large", "The request line and headers are too large."),
        (505, "http_version_not_supported", "This server speaks HTTP/1.1."),
    )
}


def _fault_in(scope: dict[str, Any], header_bytes: int) -> int | None:
    """The status to refuse a request with before any app sees it, or None."""
    size = len(scope["raw_path"]) + len(scope["query_string"])
    lengths = 0
    for name, value in scope["headers"]:
        size += len(name) + len(value) + 4  # ": " and the line's end
        if name in (b"content-length", b"transfer-encoding"):
            lengths |= 1 if name == b"content-length" else 2
    if lengths == 3:
        return 400  # two proxies may read two different lengths out of it: request smuggling
    if size > header_bytes:
        return 431  # hypercorn's own limit sees only what has not arrived in one piece
    return 505 if scope["http_version"] not in ("1.1", "1.0") else None


@final
class _Connection:
    """One client: bytes between its socket and the protocol, and the `TaskGroup` that hypercorn asks to run the app.

    One cancel scope stands for all time limits: its deadline is moved as the connection goes from waiting to reading headers to
    answering. A timer task per request, hypercorn's way, costs a tenth of the throughput.
    """

    def __init__(self, door: Door, app: _RunningApp, stream: trio.SocketStream) -> None:
        self._door = door
        self._app = app
        self._stream = stream
        self._scope = trio.CancelScope()
        self._deadline = math.inf
        self._writing = trio.Lock()
        self._between_requests = False
        self._closing = False
        self._requests: trio.Nursery
        self._protocol: Http11
        self.busy = False

    @property
    def idle(self) -> bool:
        """Nothing is asked of us, and nothing of ours is still to be read."""
        return not self.busy and not self._closing

    def cut(self) -> None:
        """Ends the connection now, whatever it is doing."""
        self._scope.cancel()
        self._stream.socket.close()

    async def run(self) -> None:
        """Serves the connection to its end. Raises nothing but cancellation: no client can hurt another."""
        try:
            with self._scope:
                self._allow(self._door.limits.header_seconds)
                await self._converse()
        except Exception:
            _LOG.exception("a connection failed")
        finally:
            self._stream.socket.close()
            self._door.left(
                self, timed_out=self._scope.cancelled_caught and not self._closing and self._scope.deadline <= trio.current_time()
            )

    async def _converse(self) -> None:
        sock = self._stream.socket
        try:
            client, server = sock.getpeername()[:2], sock.getsockname()[:2]
        except OSError:
            return  # gone already
        async with trio.open_nursery() as self._requests:
            self._protocol = Http11(
                cast(AppWrapper, self._app.asgi),
                self._app.config,
                self._app.context,
                cast(Any, self),
                ConnectionState(self._app.state),
                client,
                server,
                self._send,
                write_now=self._write_now,
                header_bytes=self._door.limits.header_bytes,
            )
            await self._read()

    async def _read(self) -> None:
        discarded = 0
        while discarded < _DISCARD_BYTES:
            try:
                data = await self._stream.receive_some(_READ_BYTES)
            except _GONE:
                break
            if not data:
                break
            if self._closing:
                discarded += len(data)
                continue
            if self._between_requests:
                self._between_requests = False
                self._allow(self._door.limits.header_seconds)
            await self._protocol.handle(RawData(data))
        await self._protocol.handle(Closed())

    async def _send(self, event: Event) -> None:
        """What the protocol wants: bytes on the wire, the end of the connection, or to say that a request began or ended."""
        if isinstance(event, RawData):
            if event.data and not self._closing:
                await self._write(event.data)
        elif isinstance(event, Closed) or self._closing or (self._door.draining and cast(Updated, event).idle):
            self.busy = False
            await self._hang_up()
        else:
            idle = cast(Updated, event).idle
            self.busy = not idle
            self._between_requests = idle
            self._allow(self._door.limits.keep_alive_seconds if idle else math.inf)

    async def _write_now(self, data: bytes) -> None:
        """As `_write`, of an answer's beginning. The kernel nearly always takes it at once: no time limit is set and nobody waits."""
        if self._closing:
            return
        written = 0
        if not self._writing.locked():
            with suppress(OSError):  # full, or gone: `_write` finds out which
                written = os.write(self._stream.socket.fileno(), data)
        if written < len(data):
            await self._write(data[written:])

    async def _write(self, data: bytes) -> None:
        try:
            self._writing.acquire_nowait()
        except trio.WouldBlock:
            await self._writing.acquire()
        try:
            self._scope.deadline = min(self._deadline, trio.current_time() + self._door.limits.write_seconds)
            await self._stream.send_all(data)
            self._scope.deadline = self._deadline
            return
        except _GONE:
            self._end_soon()
        finally:
            self._writing.release()
        await self._protocol.handle(Closed())

    async def _hang_up(self) -> None:
        """Says that nothing more comes and lets `_read` discard the rest: to close over unread bytes would take our answer back."""
        if not self._closing:
            self._end_soon()
            with suppress(trio.BusyResourceError, *_GONE):
                await self._stream.send_eof()
        await self._protocol.handle(Closed())

    def _end_soon(self) -> None:
        self._closing = True
        self._allow(self._door.limits.linger_seconds)

    def _allow(self, seconds: float) -> None:
        self._scope.deadline = self._deadline = trio.current_time() + seconds

    async def spawn_app(
        self,
        app: AppWrapper,
        config: Config,
        scope: Scope,
        send: Callable[[ASGISendEvent | None], Awaitable[None]],
    ) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        """Called by hypercorn for each request: starts the app on it, returns where to put what the client sends."""
        kind = "http.disconnect" if scope["type"] == "http" else "websocket.disconnect"
        inbox = Inbox(cast(ASGIReceiveEvent, {"type": kind}))
        cast(dict[str, Any], scope)["extensions"][ARRIVED] = inbox.arrived
        if not self._closing:  # a pipelined request behind our last word is not acted upon: nobody could hear the answer
            self._requests.start_soon(self._answer, scope, inbox, send)
        return inbox.put

    async def _answer(self, scope: Scope, inbox: Inbox, send: Callable[[ASGISendEvent | None], Awaitable[None]]) -> None:
        try:
            if scope["type"] != "http":
                await send(cast(ASGISendEvent, {"type": "websocket.close"}))  # becomes a 403
            elif (status := _fault_in(cast(dict[str, Any], scope), self._door.limits.header_bytes)) is not None:
                await _send_problem(send, status)
            else:
                await self._app.asgi(scope, inbox.receive, send)
        except Exception:
            _LOG.exception("the app failed on a request")
        inbox.close()
        await send(None)


async def _send_problem(send: Callable[[ASGISendEvent | None], Awaitable[None]], status: int) -> None:
    body = _PROBLEMS[status]
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


class LeanHTTPConnection(TrioASGIHTTPConnection):
    """Quart-trio without a nursery and two tasks per request: `app.asgi_http_class = LeanHTTPConnection`.

    The body is read whole, then the request is handled in the same task. Nobody watches for a client that hangs up while a request is
    handled: it runs to its end, which is right for payments. A streamed answer is watched, so that an endless one ends with its reader.
    MAX_CONTENT_LENGTH and BODY_TIMEOUT hold, the latter from the end of the headers.
    RESPONSE_TIMEOUT (or `response.timeout`) holds for streamed answers; the others end with the door's `write_seconds`.
    """

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        request = self._create_request_from_scope(send)
        if not await self._read_body(request, receive):
            return
        response = await self.app.handle_request(request)
        if isinstance(response, WerkzeugResponse) or isinstance(response.response, DataBody):
            await self._send_response(send, response)
        else:
            await self._send_watched(receive, send, response)

    async def _read_body(self, request: Request, receive: ASGIReceiveCallable) -> bool:
        """False if the client hung up before the request was whole. A body too large or too slow is for the route to stumble over."""
        limit = self.app.config["MAX_CONTENT_LENGTH"] or math.inf
        if (request.content_length or 0) > limit:
            return True
        size = 0
        with trio.move_on_after(request.body_timeout or math.inf):
            while size <= limit:
                message = cast(dict[str, Any], await receive())
                if message["type"] == "http.disconnect":
                    return False
                size += len(message.get("body", b""))
                request.body.append(message.get("body", b""))
                if not message.get("more_body", False):
                    request.body.set_complete()
                    return True
            return True
        request.body_timeout = 0  # its time is up: the route's first look at the body raises Quart's 408
        return True

    async def _send_watched(self, receive: ASGIReceiveCallable, send: ASGISendCallable, response: Response) -> None:
        timeout = self.app.config["RESPONSE_TIMEOUT"] if response.timeout is Ellipsis else response.timeout
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_on_disconnect, nursery.cancel_scope, receive)
            with trio.move_on_after(math.inf if timeout is None else timeout):
                await self._send_response(send, response)
            nursery.cancel_scope.cancel()

    async def _cancel_on_disconnect(self, scope: trio.CancelScope, receive: ASGIReceiveCallable) -> None:
        while cast(dict[str, Any], await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()
