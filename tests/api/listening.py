"""The app with a tail over a journal in memory, and somebody who listens to it without a socket."""

from __future__ import annotations

import json
from typing import Any

import trio

from payorch.domain.roles import Role
from payorch.keys import MintedKey
from payorch.operations.tail import Tail
from tests.api.live_world import Limits as StreamLimits
from tests.api.merchant_world import World
from tests.operations.watching import Limits, NoVital, Written, a_tail

STREAM = "/ops/v1/stream"


class Watched:
    """The app with a tail over a journal in memory."""

    def __init__(self, nursery: trio.Nursery, limits: Limits | None = None, stream: StreamLimits | None = None) -> None:
        self.written = Written()
        self.vital = NoVital()
        self.tail: Tail = a_tail(self.written, limits, self.vital)
        self.world = World(live_limits=stream or StreamLimits())
        self.world.live.feed = self.tail
        self.nursery = nursery
        nursery.start_soon(self.tail.run)

    def happens(self, count: int = 1, **changes: Any) -> None:
        self.written.more(count, **changes)
        self.tail.written()

    def token(self, role: Role = Role.VIEWER) -> MintedKey:
        return self.world.reconciling.operator(role)

    async def listens(self, query: str = "", key: MintedKey | None = None, headers: dict[str, str] | None = None) -> Listening:
        """Somebody who listens, once he is heard."""
        listening = Listening(key or self.token(), query, headers)
        self.nursery.start_soon(listening.run, self.world.app)
        await listening.until(b"event: hb")
        return listening


class Listening:
    """One request to the app, without a socket: what it sends, and when it is taken."""

    def __init__(self, key: MintedKey, query: str = "", headers: dict[str, str] | None = None) -> None:
        self._headers = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        self._headers.append((b"authorization", f"Bearer {key.text.reveal()}".encode()))
        self._query = query.encode()
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.is_over = False
        self.reads = True
        self._changed = trio.Event()
        self._gone = trio.Event()

    async def run(self, app: Any) -> None:
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http", "path": STREAM,
            "raw_path": STREAM.encode(), "query_string": self._query, "headers": self._headers, "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80), "root_path": "", "extensions": {},
        }  # fmt: skip
        asked = False

        async def receive() -> Any:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self._gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            while not self.reads:
                await self._change()
            if message["type"] == "http.response.start":
                self.status, self.headers = message["status"], dict(message["headers"])
            else:
                self.body += message.get("body", b"")
            self._tell()
            await trio.lowlevel.checkpoint()

        await app(scope, receive, send)
        self.is_over = True
        self._tell()

    def hangs_up(self) -> None:
        self._gone.set()

    def reads_again(self) -> None:
        self.reads = True
        self._tell()

    async def until(self, text: bytes, times: int = 1) -> None:
        with trio.fail_after(300):
            while self.body.count(text) < times:
                assert not self.is_over, self.body
                await self._change()

    async def end(self) -> None:
        with trio.fail_after(300):
            while not self.is_over:
                await self._change()

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The events of the journal so far; or the data of all messages of that kind."""
        return [
            json.loads(one["data"]) for one in messages(self.body) if (one.get("event") == kind if kind else "id" in one and "data" in one)
        ]

    @property
    def positions(self) -> list[int]:
        return [one["position"] for one in self.events()]

    async def _change(self) -> None:
        await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def messages(body: bytes) -> list[dict[str, str]]:
    """What a listener makes of it, by the rules of server-sent events; comments are left out."""
    found = []
    for block in body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if fields:
            found.append(fields)
    return found
