"""What the tests of the edge share: a door on loopback with an app behind it, a client that sends any bytes, and servers to send to."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import h11
import pytest
import trio

from payorch.door import Door, DoorLimits, DoorStatistics
from payorch.network import Channel
from tests.edge.loopback import Server


@dataclass(slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Client:
    """A raw connection, with h11 to read what comes back."""

    stream: trio.SocketStream
    parser: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def answer(self, method: str = "GET") -> Answer:
        """The next whole answer; the parser is told that a request went out."""
        self.parser.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
        self.parser.send(h11.EndOfMessage())
        got: Answer | None = None
        with trio.fail_after(60):
            while True:
                event = self.parser.next_event()
                if event is h11.NEED_DATA:
                    self.parser.receive_data(await self.stream.receive_some(65536))
                elif isinstance(event, h11.Response):
                    headers = {name.decode(): value.decode() for name, value in event.headers}
                    got = Answer(event.status_code, headers)
                elif isinstance(event, h11.Data):
                    assert got is not None
                    got.body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    assert got is not None
                    if self.parser.their_state is h11.DONE:
                        self.parser.start_next_cycle()
                    return got

    async def everything(self) -> bytes:
        """All that comes until the other side closes or resets."""
        received = b""
        with trio.fail_after(60):
            try:
                while data := await self.stream.receive_some(65536):
                    received += data
            except trio.BrokenResourceError:
                pass
        return received


@dataclass
class OpenDoor:
    """A door that serves, and the clients of the test."""

    door: Door
    port: int
    nursery: trio.Nursery
    app_scope: trio.CancelScope | None = None
    streams: list[trio.SocketStream] = field(default_factory=list)

    async def connect(self) -> Client:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        self.streams.append(stream)
        return Client(stream)

    async def ask(self, request: bytes, method: str = "GET") -> Answer:
        client = await self.connect()
        await client.send(request)
        return await client.answer(method)

    async def until(self, condition: Callable[[DoorStatistics], bool]) -> DoorStatistics:
        """Waits, without a fixed time, until the statistics say so."""
        with trio.fail_after(60):
            while not condition(statistics := self.door.statistics()):
                await trio.lowlevel.checkpoint()
        return statistics

    async def run_app(self, app: Any) -> None:
        async def run(*, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    await nursery.start(self.door.run_app, app)
                    task_status.started(scope)

        self.app_scope = await self.nursery.start(run)


OpenTheDoor = Callable[..., Any]


@pytest.fixture
async def open_door(nursery: trio.Nursery) -> AsyncIterator[OpenTheDoor]:
    """`await open_door(app, **limits)`: an `OpenDoor`; without an app it answers 503."""
    opened: list[OpenDoor] = []

    async def start(app: Any = None, **limits: Any) -> OpenDoor:
        door = Door(DoorLimits(**{"linger_seconds": 0.2, **limits}))
        [(_, port)] = await door.open("127.0.0.1", 0)
        await nursery.start(door.serve)
        running = OpenDoor(door, port, nursery)
        opened.append(running)
        if app is not None:
            await running.run_app(app)
        return running

    yield start
    for running in opened:
        for stream in running.streams:
            await trio.aclose_forcefully(stream)


@pytest.fixture
async def channels(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Closes every channel that the test made."""
    made: list[Channel] = []
    make = Channel.__init__

    def remember(channel: Channel, *args: Any, **kwargs: Any) -> None:
        make(channel, *args, **kwargs)
        made.append(channel)

    monkeypatch.setattr(Channel, "__init__", remember)
    yield
    for channel in made:
        await channel.aclose()


@pytest.fixture
async def start(nursery: trio.Nursery, channels: None) -> Any:
    """`await start(serve)`: a `Server` whose connections `serve(server, stream)` handles, over TLS where a context is given."""

    async def start(serve: Callable[[Server, Any], Awaitable[None]], ssl_context: ssl.SSLContext | None = None) -> Server:
        server = Server()

        async def handle(stream: trio.SocketStream) -> None:
            server.connections += 1
            wrapped: Any = stream
            if ssl_context is not None:
                wrapped = trio.SSLStream(stream, ssl_context, server_side=True, https_compatible=True)
            try:
                await serve(server, wrapped)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            finally:
                await trio.aclose_forcefully(stream)

        [listener] = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), handle, 0)
        server.port = listener.socket.getsockname()[1]
        return server

    return start
