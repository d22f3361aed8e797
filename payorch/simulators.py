"""The simulated PSPs as servers: each dialect over HTTP on its own port, with faults acted out on the sockets themselves.

h11 on trio without a framework, because a fault is a matter of bytes and connections: a refused port is a closed one, a reset is a real
RST, a hang never answers. Each PSP's books live in one SQLite file in the data folder and survive a kill at any moment.

    every simulator's port      the PSP's API; /_health, /_faults, /_ledger, /_dashboard, /_webhooks, /_settlements, and /_requests: how
                                many came since the start
    the control port            the same seven for all: /<name>/_faults and so on; it still answers while a simulator refuses connections

Loopback only; not for production. Not here: what a PSP answers (its dialect), which fault hits (`connectors.simulator.faults`), sending
webhooks (`payorch.simulator_webhooks`).
"""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias, final

import h11
import trio

from connectors.contract import HttpRequest, HttpResponse
from connectors.simulated import SIMULATED
from connectors.simulator import control, dashboard, faults, settlement, webhooks
from connectors.simulator.dialect import Dialect, Settings
from connectors.simulator.faults import DRIP_PIECES, HEALTHY, After, Before, FaultKind, FaultState, RequestKind, Verdict
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Due
from payorch import simulator_identity
from payorch.ports import Clock
from payorch.simulator_webhooks import Deliverer

CONTROL: Final = "control"
HOST: Final = "127.0.0.1"
_IDLE_SECONDS: Final = 300.0  # a request must arrive, and a kept connection be used, within this
_HANG_SECONDS: Final = 900.0  # far beyond any client's patience, so that nothing hangs for ever
_GRACE_SECONDS: Final = 2.0  # for answers under way when told to stop
_TICK_SECONDS: Final = 0.1  # how late things may happen that a PSP does by itself
_LARGEST_HEAD_BYTES: Final = 64 * 1024
_LARGEST_BODY_BYTES: Final = 1024 * 1024
_RECEIVE_BYTES: Final = 64 * 1024
_RESET: Final = struct.pack("ii", 1, 0)  # linger on, for no time: closing sends RST

_log = logging.getLogger(__name__)

Exchange: TypeAlias = Callable[["Conversation", HttpRequest], Awaitable[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Where everything listens: `simulators` is name -> base URL. Written to `simulators.json` in the data folder as it stands.

    anchor: the certificate, PEM, of the authority that vouches for those simulators which sign their webhooks with a certificate.
    """

    simulators: Mapping[str, str]
    control: str
    pid: int
    anchor: str | None = None


@final
class Simulator:
    """One PSP: its books, its dialect, its faults, who is talking to it, and whom it tells. Two series of chance, so that how many webhooks
    there were does not change what befalls requests."""

    def __init__(self, name: str, ledger: Ledger, dialect: Dialect, *, clock: Clock, rng: faults.Rng, webhook_rng: faults.Rng) -> None:
        self.name = name
        self.ledger = ledger
        self.dialect = dialect
        self._clock = clock
        self._rng = rng
        self._webhook_rng = webhook_rng
        self.deliverer = Deliverer(ledger, dialect, clock=clock, take=self._take)
        self.faults = FaultState()
        self.requests: Counter[RequestKind] = Counter()
        self.busy: set[str] = set()
        self.idle: set[trio.CancelScope] = set()
        self.listening: trio.CancelScope | None = None
        self._changed = trio.Event()

    def decide(self, kind: RequestKind) -> Verdict:
        """What happens to a request of that kind, or to a new connection."""
        if not self.faults.faults:
            return HEALTHY
        verdict, self.faults = faults.decide(self.faults, kind, self._rng, self._clock.now())
        return verdict

    def answer(self, request: HttpRequest, verdict: Verdict, *, busy: bool) -> HttpResponse:
        """The PSP's answer. The webhooks it owes are in its books, and on their way."""
        reply = self.dialect.handle(self.ledger, request, self._clock.now(), verdict=verdict, busy=busy)
        if reply.webhooks:
            self.deliverer.wake()
        return reply.response

    def _take(self, limit: int, busy: Collection[int]) -> list[Due]:
        due, self.faults = webhooks.take(self.ledger, self.faults, self._webhook_rng, self._clock.now(), limit=limit, busy=busy)
        return due

    def refuses_some(self) -> bool:
        """Whether new connections are being turned away at present, all or some."""
        return any(fault.kind is FaultKind.REFUSE for fault in faults.live(self.faults, self._clock.now()).faults)

    def set_faults(self, state: FaultState) -> None:
        """Puts faults in force. Where connections are refused, those that are open and unused end as well."""
        self.faults = state
        self._changed.set()
        self._changed = trio.Event()
        if self.refuses_some():
            self.hang_up()
        if self.listening is not None and faults.refuses_all(state, self._clock.now()):
            self.listening.cancel()

    def hang_up(self) -> None:
        """Ends every connection that waits for its next request."""
        for scope in tuple(self.idle):
            scope.cancel()

    async def until_open(self) -> None:
        """Waits as long as every connection is to be refused."""
        while (fault := faults.refuses_all(self.faults, self._clock.now())) is not None:
            changed = self._changed
            left = float("inf") if fault.until is None else (fault.until - self._clock.now()).total_seconds()
            with trio.move_on_after(max(0.0, left)):
                await changed.wait()

    async def keep_time(self) -> None:
        """Lets the PSP do what it does by itself, without anybody asking."""
        while True:
            if self.dialect.due(self.ledger, self._clock.now()):
                self.deliverer.wake()
            await trio.sleep(_TICK_SECONDS)

    async def exchange(self, conversation: Conversation, request: HttpRequest) -> bool:
        """Answers one request, or not, as the faults will have it. False: the connection is over."""
        if request.path.startswith(control.PATHS):
            return await conversation.send(request, self.control(request, request.path))
        kind = self.dialect.kind(request)
        self.requests[kind] += 1
        verdict = self.decide(kind)
        if verdict.before is Before.RESET:
            return conversation.reset()
        if verdict.before is Before.HANG:
            return await conversation.hang()
        key = self.dialect.idempotency_key(request)
        busy = key is not None and key in self.busy
        if verdict.delay_seconds and not busy:
            with self._processing(key):
                await trio.sleep(verdict.delay_seconds)
        response = self.answer(request, verdict, busy=busy)
        if verdict.after is After.RESET:
            return conversation.reset()
        if verdict.after is After.HANG:
            return await conversation.hang()
        last = bool(self.faults.faults) and self.refuses_some()
        return await conversation.send(request, response, drip_seconds=verdict.drip_seconds, last=last)

    @contextmanager
    def _processing(self, key: str | None) -> Iterator[None]:
        """While a request is delayed, another one under its key finds it in progress."""
        if key is None:
            yield
            return
        self.busy.add(key)
        try:
            yield
        finally:
            self.busy.discard(key)

    def control(self, request: HttpRequest, target: str) -> HttpResponse:
        """Answers what is asked at one of `control.PATHS`; `target` is the path and query without any simulator's name."""
        if (request.method, target) == ("GET", "/_requests"):
            return control.json_response(200, {"requests": {kind.value: count for kind, count in sorted(self.requests.items())}})
        if target in (dashboard.PATH, webhooks.PATH):
            self.deliverer.wake()  # it looks once this is done
            if target == webhooks.PATH:
                return webhooks.answer(self.ledger, request, self._clock.now())
            return dashboard.answer(self.ledger, self.dialect, request, self._clock.now())
        if target.startswith(settlement.PATH):
            self.deliverer.wake()
            reporting, now = SIMULATED[self.name].settlement, self._clock.now()
            response, state = settlement.answer(self.ledger, self.dialect, reporting, self.faults, request, target, now)
        else:
            response, state = control.answer(self.ledger, self.faults, request, target, self._clock.now())
        if state is not self.faults:
            self.set_faults(state)
        return response


@final
class Conversation:
    """One client connection: requests in, answers out, or none at all."""

    def __init__(self, stream: trio.SocketStream, idle: set[trio.CancelScope]) -> None:
        self._stream = stream
        self._idle = idle
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_LARGEST_HEAD_BYTES)

    async def run(self, exchange: Exchange) -> None:
        """Until either side has had enough."""
        async with self._stream:
            try:
                while (request := await self._receive()) is not None:
                    if not await exchange(self, request) or self._http.our_state is h11.MUST_CLOSE:
                        return
                    self._http.start_next_cycle()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            except h11.RemoteProtocolError as problem:
                await self._turn_away(problem.error_status_hint, str(problem))

    async def _receive(self) -> HttpRequest | None:
        """The next whole request; None at the end of the connection."""
        with trio.move_on_after(_IDLE_SECONDS) as scope:
            self._idle.add(scope)
            try:
                return await self._read()
            finally:
                self._idle.discard(scope)
        return None

    async def _read(self) -> HttpRequest | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    await self._stream.send_all(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
                self._http.receive_data(await self._stream.receive_some(_RECEIVE_BYTES))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > _LARGEST_BODY_BYTES:
                    raise h11.RemoteProtocolError("the body is too large", error_status_hint=413)
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _request(head, bytes(body))
            else:
                return None

    async def send(self, request: HttpRequest, response: HttpResponse, *, drip_seconds: float = 0.0, last: bool = False) -> bool:
        """Answers. `last` says that the connection ends with it; `drip_seconds` spreads the body over that time."""
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
        headers.append((b"content-length", b"%d" % len(response.body)))
        if last:
            headers.append((b"connection", b"close"))
        data = self._http.send(h11.Response(status_code=response.status, headers=headers)) or b""
        body = b"" if request.method == "HEAD" else response.body
        if drip_seconds and body:
            await self._stream.send_all(data)
            size = -(-len(body) // DRIP_PIECES)
            for start in range(0, len(body), size):
                await trio.sleep(drip_seconds / DRIP_PIECES)
                await self._stream.send_all(self._http.send(h11.Data(data=body[start : start + size])) or b"")
            data = b""
        elif body:
            data += self._http.send(h11.Data(data=body)) or b""
        data += self._http.send(h11.EndOfMessage()) or b""
        if data:
            await self._stream.send_all(data)
        return not last

    async def hang(self) -> bool:
        """Never answers: holds the connection until the client leaves."""
        with trio.move_on_after(_HANG_SECONDS):
            while await self._stream.receive_some(_RECEIVE_BYTES):
                pass
        return False

    def reset(self) -> bool:
        """Breaks the connection off with RST, as a crashed host or a firewall would."""
        self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._stream.socket.close()
        return False

    async def _turn_away(self, status: int, why: str) -> None:
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        refused = HttpRequest(method="GET", path="/", headers=(), body=b"")
        with trio.move_on_after(_GRACE_SECONDS):
            try:
                await self.send(refused, control.json_response(status, {"error": why}), last=True)
            except (trio.BrokenResourceError, h11.LocalProtocolError):
                return


def _request(head: h11.Request, body: bytes) -> HttpRequest:
    headers = tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers])
    return HttpRequest(method=head.method.decode("ascii"), path=head.target.decode("ascii"), headers=headers, body=body)


async def _careful(exchange: Exchange, conversation: Conversation, request: HttpRequest) -> bool:
    """A bug in a dialect costs one answer, not the server. Its transaction has been rolled back."""
    try:
        return await exchange(conversation, request)
    except (trio.BrokenResourceError, trio.ClosedResourceError, h11.ProtocolError):
        return False
    except Exception:
        _log.exception("simulator failed on %s %s", request.method, request.path.partition("?")[0])
        return await conversation.send(request, control.json_response(500, {"error": "a bug in the simulator"}), last=True)


async def _talk(simulator: Simulator, stream: trio.SocketStream) -> None:
    conversation = Conversation(stream, simulator.idle)
    if simulator.decide(RequestKind.CONNECT).before is Before.REFUSE:
        conversation.reset()
        return
    await conversation.run(partial(_careful, simulator.exchange))


async def _listen(simulator: Simulator, listeners: list[trio.SocketListener], port: int, connections: trio.Nursery) -> None:
    """Accepts connections, except while all of them are to be refused: then the port is closed for real."""
    while True:
        with trio.CancelScope() as simulator.listening:
            await trio.serve_listeners(partial(_talk, simulator), listeners, handler_nursery=connections)
        simulator.listening = None
        await simulator.until_open()
        listeners = await trio.open_tcp_listeners(port, host=HOST)


async def _control(simulators: Mapping[str, Simulator], conversation: Conversation, request: HttpRequest) -> bool:
    name, _, rest = request.path.removeprefix("/").partition("/")
    if request.path == "/_health":
        return await conversation.send(request, control.json_response(200, {"status": "ok", "simulators": list(simulators)}))
    if name not in simulators:
        return await conversation.send(request, control.json_response(404, {"error": f"the simulators are: {', '.join(simulators)}"}))
    return await conversation.send(request, simulators[name].control(request, f"/{rest}"))


@asynccontextmanager
async def _opened(
    data_dir: Path | None, urls: Mapping[str, str], seed: int, clock: Clock, settings: Mapping[str, Any], signing: Mapping[str, Any]
) -> AsyncIterator[Mapping[str, Simulator]]:
    """The simulators with their books open; closed again at the end, whatever happens."""
    simulators: dict[str, Simulator] = {}
    try:
        for name, url in urls.items():
            ledger = Ledger(psp=name, seed=seed, path=None if data_dir is None else data_dir / f"{name}.ledger.sqlite3")
            certified = signing if SIMULATED[name].certified else {}
            dialect = SIMULATED[name].dialect(Settings(base_url=url, **certified, **settings))
            dice = [faults.Dice(f"{seed}:{name}{more}") for more in ("", ":webhooks")]
            simulators[name] = Simulator(name, ledger, dialect, clock=clock, rng=dice[0], webhook_rng=dice[1])
        yield simulators
    finally:
        for simulator in simulators.values():
            simulator.deliverer.close()
            simulator.ledger.close()


async def _bind(stack: AsyncExitStack, port: int) -> list[trio.SocketListener]:
    """Listens on that port, or a free one; closed with the stack, also if the next port cannot be had."""
    listeners = await trio.open_tcp_listeners(port, host=HOST)
    for listener in listeners:
        await stack.enter_async_context(listener)
    return listeners


async def serve(
    data_dir: Path | None,
    *,
    ports: Mapping[str, int],
    clock: Clock,
    seed: int = 0,
    stop: trio.Event | None = None,
    settings: Mapping[str, Any] | None = None,
    task_status: trio.TaskStatus[Bound] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serves every dialect, until `stop` is set (answers under way are finished) or it is cancelled.

    data_dir: where the books are kept, an existing folder; None keeps them in memory. ports: by simulator's name and `control`; what is
    missing, or 0, gets a free one. seed: of ids and faults. settings: fields of `connectors.simulator.dialect.Settings`, for all alike.
    Reports where it listens, also in `simulators.json`, once it does. Raises OSError where a port is taken.
    """
    async with AsyncExitStack() as stack:
        opened = {name: await _bind(stack, ports.get(name, 0)) for name in (CONTROL, *SIMULATED)}
        numbers = {name: listeners[0].socket.getsockname()[1] for name, listeners in opened.items()}
        urls = {name: f"http://{HOST}:{number}" for name, number in numbers.items()}
        identity = simulator_identity.kept(data_dir, clock.now())
        signing = {"signing_key": identity.key, "certificates": identity.certificates}
        bound = Bound(simulators={name: urls[name] for name in SIMULATED}, control=urls[CONTROL], pid=os.getpid(), anchor=identity.anchor)
        simulators = await stack.enter_async_context(_opened(data_dir, bound.simulators, seed, clock, settings or {}, signing))
        connections = await stack.enter_async_context(trio.open_nursery())
        controls: set[trio.CancelScope] = set()

        async def operate(stream: trio.SocketStream) -> None:
            await Conversation(stream, controls).run(partial(_careful, partial(_control, simulators)))

        async with trio.open_nursery() as listening:
            listening.start_soon(partial(trio.serve_listeners, operate, opened[CONTROL], handler_nursery=connections))
            for name, simulator in simulators.items():
                listening.start_soon(_listen, simulator, opened[name], numbers[name], connections)
                listening.start_soon(simulator.keep_time)
                listening.start_soon(simulator.deliverer.run, connections)
            _write_bound(data_dir, bound)
            task_status.started(bound)
            await (trio.Event() if stop is None else stop).wait()
            listening.cancel_scope.cancel()
        for scope in (*controls, *(scope for simulator in simulators.values() for scope in simulator.idle)):
            scope.cancel()
        connections.cancel_scope.deadline = trio.current_time() + _GRACE_SECONDS


def _write_bound(data_dir: Path | None, bound: Bound) -> None:
    if data_dir is None:
        return
    # Renamed into place: whoever waits for the file never sees half of it.
    draft = data_dir / "simulators.json.draft"
    draft.write_text(json.dumps(asdict(bound)))
    draft.replace(data_dir / "simulators.json")


async def main(
    port_base: int,
    data_dir: Path | None,
    *,
    clock: Clock,
    seed: int = 0,
    ready: Callable[[Bound], None] = lambda bound: None,
) -> None:
    """`payorch simulators`: serves until SIGTERM or SIGINT. The control port is `port_base`, the PSPs follow; 0 takes free ports.

    Makes the data folder if need be. Calls `ready` once everything listens; prints nothing.
    """
    if data_dir is not None:
        await trio.Path(data_dir).mkdir(parents=True, exist_ok=True)
    names = (CONTROL, *SIMULATED)
    ports = {name: port_base + place if port_base else 0 for place, name in enumerate(names)}
    stop = trio.Event()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            bound: Bound = await nursery.start(partial(serve, data_dir, ports=ports, clock=clock, seed=seed, stop=stop))
            # Nothing made so far is garbage, and what a request leaves is not worth looking for this often: 6 to 10 % of the time.
            gc.freeze()
            gc.set_threshold(50_000, 20, 50)
            ready(bound)
            async for _ in signals:
                stop.set()
                break
