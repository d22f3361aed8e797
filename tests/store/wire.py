"""A wire between the journal and PostgreSQL that loses what a test wants lost: the request, the answer, or neither but for a while."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory

import trio
import trio.testing
from psycopg.conninfo import conninfo_to_dict, make_conninfo

_CHUNK_BYTES = 1 << 20


class Loss(Enum):
    """What happens to the next request (everything the client sends at once), after which the client's connection is closed."""

    REQUEST = "the server never sees it"
    ANSWER = "the server carries it out, and its answer is lost"
    LATE = "the server sees it only after `Wire.deliver`"


class Wire:
    """Passes bytes on between clients and one server socket. `conninfo`: how to connect through it."""

    def __init__(self, server: Path, folder: Path, conninfo: str) -> None:
        self._server = server
        self._folder = folder
        self.conninfo = conninfo
        self._next: Loss | None = None
        self._skip = 0
        self._late = trio.Event()
        self.delivered = trio.Event()
        self.losses = 0

    def lose(self, loss: Loss, *, after_requests: int = 0) -> None:
        """Arms the wire: the request after that many others is the one."""
        self._next, self._skip = loss, after_requests

    def deliver(self) -> None:
        """Lets the late request through; `delivered` is set when the server has dealt with it."""
        self._late.set()

    async def serve(self) -> None:
        socket = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
        await socket.bind(os.fspath(self._folder / ".s.PGSQL.5432"))
        socket.listen()
        await trio.serve_listeners(self._carry, [trio.SocketListener(socket)])

    async def _carry(self, client: trio.SocketStream) -> None:
        try:
            server = await trio.open_unix_socket(self._server)
        except OSError:
            await client.aclose()
            return
        async with client, server:
            await _Carried(self, client, server).run()

    async def until_delivery(self) -> None:
        await self._late.wait()

    def lost_now(self) -> Loss | None:
        if self._next is None:
            return None
        if self._skip:
            self._skip -= 1
            return None
        loss, self._next = self._next, None
        return loss


class _Carried:
    """One connection on the wire."""

    def __init__(self, wire: Wire, client: trio.SocketStream, server: trio.SocketStream) -> None:
        self._wire = wire
        self._client = client
        self._server = server
        self._muted = False
        self._answered = trio.Event()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._answers, nursery.cancel_scope)
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._requests()
            nursery.cancel_scope.cancel()

    async def _answers(self, scope: trio.CancelScope) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await self._server.receive_some(_CHUNK_BYTES):
                if self._muted:
                    self._answered.set()
                else:
                    await self._client.send_all(data)
        scope.cancel()

    async def _requests(self) -> None:
        while data := await self._client.receive_some(_CHUNK_BYTES):
            loss = self._wire.lost_now()
            if loss is None:
                await self._server.send_all(data)
                continue
            self._wire.losses += 1
            self._muted = True
            await self._client.aclose()
            if loss is Loss.REQUEST:
                return
            if loss is Loss.LATE:
                await self._wire.until_delivery()
            await self._server.send_all(data)
            await self._answered.wait()
            self._wire.delivered.set()
            return


@contextmanager
def _short_folder() -> Iterator[Path]:
    # A socket's path has to be short.
    with TemporaryDirectory(prefix="wire-", dir="/tmp") as folder:
        yield Path(folder)


@asynccontextmanager
async def wire_to(conninfo: str) -> AsyncIterator[Wire]:
    """A wire to the server of that connection string."""
    parameters = conninfo_to_dict(conninfo)
    server = Path(str(parameters["host"])) / f".s.PGSQL.{parameters['port']}"
    with _short_folder() as folder:
        wire = Wire(server, folder, make_conninfo(conninfo, host=os.fspath(folder), port=5432))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.serve)
            await trio.testing.wait_all_tasks_blocked()
            yield wire
            nursery.cancel_scope.cancel()
