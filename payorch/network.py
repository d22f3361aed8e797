"""The network: a request goes out, an answer comes back, or an error says whether money can have moved.

A `Channel` is one connection to one PSP; a bulkhead is as many channels. Each owns its socket, an h11 state machine and nothing else.
The PHASE of a failure decides what it means, never its kind:

    NotSent      not one byte of the request was handed to the socket: it has definitely not been executed
    OutcomeLost  bytes went out and no whole answer came back: it may have been executed; ask, do not repeat

Nothing is retried, redirected, decompressed or cached here, no proxy or .netrc of the environment is looked at, and no header or body gets
into the text of an error. Built on h11 and trio directly: httpcore2, the engine under httpx2, keeps what a PSP sent beyond an answer and
reads it as the answer to the next request, and gives no public way to see it.

A channel to a merchant is one to a URL that is not believed: it connects only to addresses that were judged, while the certificate is
checked for the name. Of an answer its head is enough: a receiver that said 200 has the message, and sending it again because of a body that
nobody works with would only give it twice.

Not here: retry, circuit breaking, how many channels (the connector actor, the notifier); which URLs are allowed
(`payorch.domain.merchant_urls`) and which addresses of theirs are connected to (`payorch.merchant_reach`).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias, final
from urllib.parse import urlsplit

import h11
import httpcore2
import trio

from connectors.contract import HttpRequest, HttpResponse
from payorch.domain.merchant_urls import MerchantUrl, MerchantUrlRefused, checked
from payorch.merchant_reach import GuardedReach, LookUp, SystemNames
from payorch.ports import NotSent, OutcomeLost, OutcomeLostReason, Timeouts

_READ_BYTES: Final = 2**16
_OURS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "expect", "upgrade"})
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

Reach: TypeAlias = Callable[[str, int], Awaitable[trio.SocketStream]]
"""Opens a connection to a host and port. Raises OSError, socket.gaierror or UnicodeError, or NotSent itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkLimits:
    """Bounds on what a PSP or a merchant can make us hold."""

    response_bytes: int = 1024 * 1024
    """body of one answer; a settlement report is not fetched through a channel"""
    merchant_response_bytes: int = 64 * 1024
    """of the body of a merchant's answer, which nobody works with; what is longer is cut"""
    response_header_bytes: int = 64 * 1024
    keepalive_seconds: float = 15.0
    """idle time after which a connection is not used again; well under the 60 to 75 s of common servers, so that none of them closes it
    just while we write"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelStatistics:
    """One channel at one moment; the counts are since it was made."""

    connected: bool
    busy: bool
    connections: int
    """opened, TLS included"""
    answers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Address:
    """Where a base URL leads."""

    secure: bool
    host: str
    port: int
    authority: str
    """host and, where it is not the scheme's own, port: the Host header"""
    prefix: str
    """put before each path"""

    @classmethod
    def of(cls, base_url: str) -> _Address:
        parts = urlsplit(base_url)
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("a base URL is http(s)://host[:port][/prefix], without user, query or fragment")
        default = _DEFAULT_PORTS[parts.scheme]
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        port = parts.port or default
        authority = host if port == default else f"{host}:{port}"
        return cls(secure=parts.scheme == "https", host=parts.hostname, port=port, authority=authority, prefix=parts.path.rstrip("/"))

    @classmethod
    def of_merchant(cls, url: MerchantUrl) -> _Address:
        return cls(secure=url.secure, host=url.host, port=url.port, authority=url.authority, prefix="")


@final
class Network:
    """Makes channels. One per process; its TLS context verifies the peer's certificate and name.

    `merchant_names` looks up the names of merchants; by default the system's resolver does, in threads of their own.
    """

    def __init__(
        self,
        limits: NetworkLimits | None = None,
        *,
        ssl_context: ssl.SSLContext | None = None,
        merchant_names: LookUp | None = None,
    ) -> None:
        self._limits = limits or NetworkLimits()
        self._ssl_context = ssl_context
        self._merchant_names = merchant_names or SystemNames()

    def channel(self, base_url: str) -> Channel:
        """A new channel; it connects with its first exchange. Raises ValueError if that is no base URL."""
        address = _Address.of(base_url)
        return Channel(address, self._limits, self._context(address))

    def merchant_channel(self, url: str, *, local: bool) -> Channel | BlockedChannel:
        """A new channel to the host of a merchant's URL, to which it connects with its first exchange, if that may be."""
        try:
            parts = checked(url, local=local)
        except MerchantUrlRefused:
            return BlockedChannel()
        address = _Address.of_merchant(parts)
        limits = replace(self._limits, response_bytes=self._limits.merchant_response_bytes)
        reach = GuardedReach(self._merchant_names, local=local)
        return Channel(address, limits, self._context(address), reach=reach, head_is_enough=True)

    def _context(self, address: _Address) -> ssl.SSLContext | None:
        if address.secure and self._ssl_context is None:
            self._ssl_context = httpcore2.default_ssl_context()
            self._ssl_context.set_alpn_protocols(["http/1.1"])
        return self._ssl_context if address.secure else None


class _Leg:
    """Which part of an exchange is under way and until when. One cancel scope serves all its deadlines."""

    __slots__ = ("_ends_at", "phase", "scope")

    def __init__(self, total_seconds: float) -> None:
        self._ends_at = trio.current_time() + total_seconds
        self.scope = trio.CancelScope(deadline=self._ends_at)
        self.phase: Literal["connect", "tls", "write", "read_timeout"] = "connect"

    def allow(self, seconds: float) -> None:
        self.scope.deadline = min(self._ends_at, trio.current_time() + seconds)

    @property
    def over(self) -> bool:
        return trio.current_time() >= self._ends_at

    def timeout(self, origin: str) -> NotSent | OutcomeLost:
        if self.phase == "connect" or self.phase == "tls":
            return NotSent("deadline" if self.over else self.phase, origin)
        return OutcomeLost("deadline" if self.over else self.phase, origin)


@dataclass(slots=True)
class _Answer:
    """What of an answer has come by now."""

    head: h11.Response | None = None
    body: bytearray = field(default_factory=bytearray)

    def response(self) -> HttpResponse:
        assert self.head is not None
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in self.head.headers)
        return HttpResponse(status=self.head.status_code, headers=headers, body=bytes(self.body))


@final
class Channel:
    """One owned connection: one request at a time, kept alive between them, opened anew when it is stale. Made by `Network`.

    Whatever ends an exchange other than a whole answer, cancellation included, closes the connection: what a PSP still says to an
    abandoned request can never be taken for the answer to a later one.
    """

    def __init__(
        self,
        address: _Address,
        limits: NetworkLimits,
        ssl_context: ssl.SSLContext | None,
        *,
        reach: Reach = trio.open_tcp_stream,
        head_is_enough: bool = False,
    ) -> None:
        self._address = address
        self._limits = limits
        self._ssl_context = ssl_context
        self._reach = reach
        self._head_is_enough = head_is_enough
        self._transport: trio.SocketStream | None = None
        self._stream: trio.SocketStream | trio.SSLStream[trio.SocketStream] | None = None
        self._http = self._new_http()
        self._idle_since = 0.0
        self._busy = False
        self._connections = self._answers = 0

    async def exchange(self, request: HttpRequest, *, timeouts: Timeouts) -> HttpResponse:
        """The whole answer, whatever its status; from a merchant its body may be cut. Raises `NotSent` or `OutcomeLost`.

        NotSent("unsendable"): the request cannot be written as HTTP, or sets a header that belongs to the channel. NotSent("pool"): another
        exchange is under way on this channel.
        """
        if self._busy:
            raise NotSent("pool", self._address.authority)
        self._busy = True
        kept = False
        try:
            response, kept = await self._exchange(request, timeouts)
            self._answers += 1
            return response
        finally:
            self._busy = False
            if not kept:
                self._drop()

    async def aclose(self) -> None:
        """Closes the connection, also under an exchange that has one, which then fails. A later exchange would open a new one."""
        self._drop()
        await trio.lowlevel.checkpoint()

    def statistics(self) -> ChannelStatistics:
        """The channel as it is now."""
        return ChannelStatistics(connected=self._stream is not None, busy=self._busy, connections=self._connections, answers=self._answers)

    async def _exchange(self, request: HttpRequest, timeouts: Timeouts) -> tuple[HttpResponse, bool]:
        if self._stale():
            self._drop()
        message = self._encode(request)
        leg = _Leg(timeouts.total_seconds)
        answer = _Answer()
        with leg.scope:
            stream = self._stream or await self._connect(leg, timeouts)
            if leg.over:
                raise NotSent("deadline", self._address.authority)
            leg.phase = "write"
            leg.allow(timeouts.write_seconds)
            written = await self._write(stream, message)
            leg.phase = "read_timeout"
            lost = await self._read(stream, leg, timeouts, answer)
            if lost is None:
                return answer.response(), written and self._ready_again()
            if not self._enough(answer):
                raise OutcomeLost(lost if written else "write", self._address.authority)
        if self._enough(answer):
            return answer.response(), False
        raise leg.timeout(self._address.authority)

    def _enough(self, answer: _Answer) -> bool:
        return self._head_is_enough and answer.head is not None

    def _stale(self) -> bool:
        """Idle for too long, or the server has closed it or sent something unasked, which is readable by now."""
        if self._transport is None:
            return False
        too_old = trio.current_time() - self._idle_since >= self._limits.keepalive_seconds
        return too_old or self._transport.socket.is_readable()

    def _encode(self, request: HttpRequest) -> bytes:
        if any(name.lower() in _OURS for name, _ in request.headers):
            raise NotSent("unsendable", self._address.authority)
        ours = [("host", self._address.authority), ("accept-encoding", "identity")]
        if request.body or request.method in _WITH_BODY:
            ours.append(("content-length", str(len(request.body))))
        try:
            head = h11.Request(method=request.method, target=self._address.prefix + request.path, headers=[*ours, *request.headers])
            events = (head, h11.Data(data=request.body), h11.EndOfMessage())
            return b"".join(self._http.send(event) or b"" for event in events)  # one write for head and body
        except (h11.LocalProtocolError, UnicodeEncodeError):
            pass  # their texts quote the header, and it may be the API key
        raise NotSent("unsendable", self._address.authority)

    async def _connect(self, leg: _Leg, timeouts: Timeouts) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
        host, origin = self._address.host, self._address.authority
        leg.allow(timeouts.connect_seconds)
        try:
            self._transport = await self._reach(host, self._address.port)
        except (socket.gaierror, UnicodeError) as error:
            raise NotSent("dns", origin) from error
        except OSError as error:
            raise NotSent("connect", origin) from error
        self._stream = self._transport
        if self._ssl_context is not None:
            leg.phase = "tls"
            self._stream = trio.SSLStream(self._transport, self._ssl_context, server_hostname=host, https_compatible=True)
            try:
                await self._stream.do_handshake()
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise NotSent("tls", origin) from error
        self._connections += 1
        return self._stream

    async def _write(self, stream: trio.abc.SendStream, message: bytes) -> bool:
        """False if the server stopped listening. It may have answered before that: a 413 or a 503 is an answer."""
        try:
            await stream.send_all(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        return True

    async def _read(self, stream: trio.abc.ReceiveStream, leg: _Leg, timeouts: Timeouts, answer: _Answer) -> OutcomeLostReason | None:
        """Reads into `answer`, as far as it comes. None when all of it has."""
        http = self._http  # aclose() from another task puts a new one in its place
        try:
            while True:
                event = http.next_event()
                if event is h11.NEED_DATA:
                    leg.allow(timeouts.read_seconds)
                    http.receive_data(bytes(await stream.receive_some(_READ_BYTES)))
                elif isinstance(event, h11.Response):
                    answer.head = event
                elif isinstance(event, h11.Data):
                    room = self._limits.response_bytes - len(answer.body)
                    answer.body += event.data[:room]
                    if len(event.data) > room:
                        return "response_too_large"
                elif isinstance(event, h11.EndOfMessage) and answer.head is not None:
                    return None
                elif not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                    return "malformed_http"
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            return "reset" if isinstance(error, trio.BrokenResourceError) else "closed"
        except h11.RemoteProtocolError as error:  # its text may quote what the PSP sent, so it is not chained
            ended, too_large = http.trailing_data[1], error.error_status_hint == 431
            return "response_too_large" if too_large else "closed" if ended else "malformed_http"
        except ValueError:  # h11 makes a number of whatever has digits only, and Python refuses one of some thousand digits
            return "malformed_http"

    def _ready_again(self) -> bool:
        """True if the connection may carry another request: both sides want to, and nothing lies behind this answer."""
        both_done = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        if not both_done or self._http.trailing_data != (b"", False):
            return False
        if isinstance(self._stream, trio.SSLStream) and (self._stream.pending() or self._stream._incoming.pending):
            return False  # decrypted or still encrypted, something came behind the answer
        self._http.start_next_cycle()
        self._idle_since = trio.current_time()
        return True

    def _drop(self) -> None:
        """Closes without waiting: TLS says goodbye to nobody here, HTTP has its own framing."""
        if self._transport is not None:
            self._transport.socket.close()
        self._transport = self._stream = None
        self._http = self._new_http()

    def _new_http(self) -> h11.Connection:
        return h11.Connection(h11.CLIENT, max_incomplete_event_size=self._limits.response_header_bytes)


@final
class BlockedChannel:
    """A channel to where nothing is ever sent, because the merchant's URL is not one of those that may be."""

    async def exchange(self, request: HttpRequest, *, timeouts: Timeouts) -> HttpResponse:
        """Raises NotSent("blocked")."""
        await trio.lowlevel.checkpoint()
        raise NotSent("blocked", "a merchant's URL")

    async def aclose(self) -> None:
        """Nothing is held open."""
