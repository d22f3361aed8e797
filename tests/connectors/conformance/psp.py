"""One PSP as the conformance suite deals with it: its connector on this side, its simulator on the other, real HTTP between them.

    psp.ask(subject, call, key, source)     the call goes over the wire by the product's own channel; what it came to, as evidence
    psp.fault("charge_then_hang")           befalls the next request
    psp.deliveries()                        what the PSP has posted to us since, as it came in
    psp.books()                             what really moved
    psp.later(60)                           time passes at once: the clock is turned by hand, and nothing here sleeps

Knows no PSP: all that differs comes from the manifest, the simulation and `peculiar`. Not here: payments and their operations (`life`),
what has to be true of them (the tests).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from itertools import count
from typing import Any, Final
from unittest import mock
from urllib.parse import parse_qsl, urlencode, urlsplit

import h11
import trio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from connectors.contract import Connector, Delivery, HttpRequest, HttpResponse
from connectors.registry import CONNECTORS
from connectors.simulated import SIMULATED
from connectors.simulator.challenge import Choice
from connectors.simulator.faults import Dice, FaultKind, Malformed
from payorch import simulator_identity
from payorch.domain.outcome import ErrorClass, Evidence, Failure, Finding, NextAction, NotExecuted, Source, Unknown
from payorch.domain.records import Attempt, Operation, PreparedCall
from payorch.network import Channel, Network
from payorch.ports import NotSent, OutcomeLost, Timeouts
from payorch.simulator_identity import SigningIdentity
from payorch.simulators import Bound, serve

START: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
PATIENT: Final = Timeouts(connect_seconds=60, write_seconds=60, read_seconds=60, total_seconds=120)
IMPATIENT: Final = Timeouts(connect_seconds=60, write_seconds=60, read_seconds=0.05, total_seconds=120)
"""For a PSP that surely never answers: the only wait of the suite."""
_mint: Final = simulator_identity.mint
_RANDOM_BYTES: Final = bytes(range(32))
_JSON: Final = (("content-type", "application/json"),)
_NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
_MOST_LOOKS: Final = 5000
"""Of a loop that asks over loopback whether something has happened: it does so after a handful."""


@dataclass(slots=True)
class HandClock:
    """A clock that stands still until a test turns it."""

    at: datetime = START

    def now(self) -> datetime:
        return self.at


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What moved at the PSP, over all of its payments, in minor units; `lines`: how many movements of each kind."""

    held: int
    captured: int
    refunded: int
    refunding: int
    lines: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One call of ours that was answered, from what was stored to what was understood."""

    connector: str
    subject: Attempt | Operation
    call: PreparedCall
    source: Source
    at: datetime
    request: HttpRequest
    response: HttpResponse
    evidence: Evidence

    def read(self, response: HttpResponse) -> Evidence:
        """What another answer to the same call would have come to."""
        return CONNECTORS[self.connector].read(self.subject, self.call, response, source=self.source, at=self.at)


@dataclass
class Endpoint:
    """Where the PSP posts to: takes everything, and answers as the connector says."""

    connector: Connector
    taken: list[Delivery] = field(default_factory=list)

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, for as many deliveries as come over it."""
        http = h11.Connection(h11.SERVER)
        async with stream:
            try:
                while await self._exchange(http, stream) and http.our_state is not h11.MUST_CLOSE:
                    http.start_next_cycle()
            except (trio.BrokenResourceError, h11.RemoteProtocolError):
                return

    async def _exchange(self, http: h11.Connection, stream: trio.SocketStream) -> bool:
        head: h11.Request | None = None
        body = b""
        while not isinstance(event := http.next_event(), (h11.EndOfMessage, h11.ConnectionClosed)):
            if event is h11.NEED_DATA:
                http.receive_data(await stream.receive_some(65536))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
        if head is None:
            return False
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers)
        self.taken.append(Delivery(headers=headers, body=body))
        said = self.connector.acknowledgement
        shown = [*said.headers, ("content-length", str(len(said.body)))]
        data = http.send(h11.Response(status_code=said.status, headers=shown)) or b""
        data += http.send(h11.Data(data=said.body)) or b""
        await stream.send_all(data + (http.send(h11.EndOfMessage()) or b""))
        return True


@dataclass(kw_only=True)
class Psp:
    """A connector with its simulator. `credentials`: as the connector is shown them, with an access token where it signs in for one."""

    name: str
    url: str
    clock: HandClock
    network: Network
    credentials: dict[str, str]
    endpoint: Endpoint
    _control: Channel
    _channel: Channel
    _control_path: str
    exchanges: list[Exchange] = field(default_factory=list)
    _read: int = 0
    _signed_in_until: datetime = _NEVER
    _certificates: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: count(1))

    @property
    def connector(self) -> Connector:
        return CONNECTORS[self.name]

    @property
    def now(self) -> datetime:
        return self.clock.at

    def number(self) -> int:
        """One that no other has had, for ids."""
        return int(next(self._numbers))

    def later(self, seconds: float) -> None:
        """Time passes. What the PSP does by itself meanwhile it has done with the next request or look at its deliveries."""
        self.clock.at += timedelta(seconds=seconds)

    # --- our calls

    async def ask(
        self,
        subject: Attempt | Operation,
        call: PreparedCall,
        source: Source = Source.RESPONSE,
        *,
        key: str | None = None,
        timeouts: Timeouts = PATIENT,
        credentials: Mapping[str, str] | None = None,
    ) -> Evidence:
        """What that call comes to, as the platform would have it: by the phase of a failure, else by the connector's reading."""
        if self.now >= self._signed_in_until:
            assert await self.sign_in()
        request = self.connector.request(call, psp_key=key, credentials=self.credentials if credentials is None else credentials)
        try:
            response = await self._channel.exchange(request, timeouts=timeouts)
        except NotSent as failure:
            return self._without_answer(source, NotExecuted(failure=_failure(ErrorClass.NOT_SENT, failure.reason), sent=False))
        except OutcomeLost as failure:
            return self._without_answer(source, Unknown(failure=_failure(ErrorClass.UNKNOWN_OUTCOME, failure.reason)))
        evidence = self.connector.read(subject, call, response, source=source, at=self.now)
        self.exchanges.append(
            Exchange(
                connector=self.name,
                subject=subject,
                call=call,
                source=source,
                at=self.now,
                request=request,
                response=response,
                evidence=evidence,
            )
        )
        return evidence

    def _without_answer(self, source: Source, finding: Finding) -> Evidence:
        return Evidence(source=source, finding=finding, at=self.now)

    async def sign_in(self, credentials: Mapping[str, str] | None = None) -> bool:
        """Gets an access token where the PSP lends one; whether it did, or there is no need of any."""
        shown = self.credentials if credentials is None else credentials
        request = self.connector.sign_in(shown)
        if request is None:
            return True
        token = self.connector.signed_in(await self._channel.exchange(request, timeouts=PATIENT), at=self.now)
        if token is None:
            return False
        assert token.expires_at > self.now
        self.credentials["access_token"], self._signed_in_until = token.value, token.expires_at
        return True

    # --- the shopper

    async def shopper(self, action: NextAction, choice: Choice) -> Mapping[str, str]:
        """He follows the action, presses that button, and comes back to us: what his browser brings, first value of each name."""
        form = urlencode(action.fields).encode()
        page = await self._browse(action.method, action.url, form if action.method == "POST" else b"")
        assert page.status == 200, page.status
        found = re.search(rb'<form method="post" action="([^"]*)"', page.body)
        assert found is not None, "the page has the form of `challenge_page`"
        pressed = urlencode({"outcome": choice.value}).encode()
        gone = await self._browse("POST", found[1].decode().replace("&amp;", "&"), pressed)
        back = gone.header("location")
        assert gone.status in (302, 303), gone.status
        assert back is not None
        return dict(reversed(parse_qsl(urlsplit(back).query, keep_blank_values=True)))

    async def _browse(self, method: str, url: str, form: bytes) -> HttpResponse:
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}" in (self.url, "://"), "the shopper is sent to the PSP"
        headers = (("content-type", "application/x-www-form-urlencoded"),) if method == "POST" else ()
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        return await self._channel.exchange(HttpRequest(method=method, path=path, headers=headers, body=form), timeouts=PATIENT)

    # --- the PSP's own doors

    async def control(self, method: str, path: str, asked: Mapping[str, object] | None = None) -> tuple[int, dict[str, Any]]:
        """One of the simulator's own endpoints."""
        body = b"" if asked is None else json.dumps(asked).encode()
        request = HttpRequest(method=method, path=f"{self._control_path}{path}", headers=_JSON if body else (), body=body)
        response = await self._control.exchange(request, timeouts=PATIENT)
        return response.status, json.loads(response.body)

    async def fault(self, kind: FaultKind, **more: object) -> None:
        """Befalls the next request, once; a refusal lasts until `heal`, since it is the port that is closed."""
        lasting = {} if kind is FaultKind.REFUSE else {"count": 1}
        status, said = await self.control("POST", "/_faults", {"fault": kind.value, **lasting, **more})
        assert status == 201, said
        if kind is FaultKind.REFUSE:
            await self._until_closed()

    async def heal(self) -> None:
        """No fault is in force any more, and the port is open."""
        await self.control("DELETE", "/_faults")
        for _ in range(_MOST_LOOKS):
            try:
                await self._channel.exchange(HttpRequest(method="GET", path="/_health", headers=(), body=b""), timeouts=PATIENT)
            except (NotSent, OutcomeLost):
                continue
            return
        raise AssertionError("the port stays closed")

    async def _until_closed(self) -> None:
        port = urlsplit(self.url).port or 0
        for _ in range(_MOST_LOOKS):
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", port)
            except OSError:
                return
            await stream.aclose()
        raise AssertionError("the port stays open")

    async def requests(self) -> Counter[str]:
        """How many requests of each kind the PSP has seen."""
        _, shown = await self.control("GET", "/_requests")
        return Counter(shown["requests"])

    async def until_seen(self, seen: Counter[str]) -> None:
        """Waits until one more request has come in than had then."""
        for _ in range(_MOST_LOOKS):
            if (await self.requests()).total() > seen.total():
                return
        raise AssertionError("the request does not come in")

    async def by_hand(self, payment: str, deed: str, **more: object) -> int:
        """Somebody does that in the PSP's dashboard; the status, 409 where it cannot be done."""
        status, _ = await self.control("POST", "/_dashboard", {"payment": payment, "do": deed, **more})
        return status

    async def books(self) -> Books:
        """What really moved, all that was to happen by now included."""
        await self._catch_up()
        _, page = await self.control("GET", "/_ledger")
        assert page["next_since"] is None
        totals = {name: sum(one[name] for one in page["payments"]) for name in ("held", "captured", "refunded", "refunding")}
        return Books(**totals, lines=Counter(line["type"] for line in page["entries"]))

    async def references(self) -> list[tuple[str | None, int, str]]:
        """Of every payment at the PSP: the id of ours that it is under, its amount in minor units and its currency."""
        _, page = await self.control("GET", "/_ledger")
        return [(one["our_reference"], one["amount"], one["currency"]) for one in page["payments"]]

    async def _catch_up(self) -> None:
        """The PSP does what it does by itself up to now, as it does before anybody acts in its dashboard."""
        assert await self.by_hand("nobody's", "refund") == 404

    # --- what it tells us

    async def deliveries(self) -> list[Delivery]:
        """All that has come in since the last time, once nothing is owed any more."""
        await self._catch_up()
        for _ in range(_MOST_LOOKS):
            _, shown = await self.control("GET", "/_webhooks")
            assert shown["problem"] is None, shown["problem"]
            if not shown["counts"]["waiting"]:
                fresh, self._read = self.endpoint.taken[self._read :], len(self.endpoint.taken)
                return fresh
        raise AssertionError("deliveries do not come in")

    @property
    def secret(self) -> str:
        return secret_of(self.name)

    async def certificates(self, delivery: Delivery) -> tuple[bytes, ...]:
        """Those that the delivery's signature is to be checked with, DER, from where the PSP serves them; none where it signs without."""
        address = self.connector.certificate_wanted(delivery)
        if address is None:
            return ()
        if address not in self._certificates:
            parts = urlsplit(address)
            assert f"{parts.scheme}://{parts.netloc}" == self.url, "the simulated PSP serves its certificates itself"
            response = await self._browse("GET", address, b"")
            chain = x509.load_pem_x509_certificates(response.body)
            self._certificates[address] = tuple(one.public_bytes(Encoding.DER) for one in chain)
        return self._certificates[address]


def secret_of(name: str) -> str:
    """What that simulated PSP signs its webhooks with, in this suite."""
    return SIMULATED[name].webhook_secret(_RANDOM_BYTES)


def seed_for(name: str, how: Malformed) -> int:
    """A seed with which the first answer that is to be malformed is so in that way."""
    for seed in count():
        dice = Dice(f"{seed}:{name}")
        dice.random()  # whether the fault hits: its rate is one
        if list(Malformed)[int(dice.random() * len(Malformed))] is how:
            return seed
    raise AssertionError


@asynccontextmanager
async def dealing_with(name: str, *, seed: int = 0) -> AsyncIterator[Psp]:
    """The PSP of that name, fresh: no payments, signed in to where that is needed, its webhooks pointed at us."""
    clock = HandClock()
    endpoint = Endpoint(CONNECTORS[name])
    network = Network()
    problem: BaseException | None = None
    async with trio.open_nursery() as nursery:
        with mock.patch.object(simulator_identity, "mint", return_value=_identity()):
            bound: Bound = await nursery.start(partial(serve, None, ports={}, clock=clock, seed=seed))
        listeners = await nursery.start(partial(trio.serve_tcp, endpoint.serve, 0, host="127.0.0.1"))
        control = network.channel(bound.control)
        channel = network.channel(bound.simulators[name])
        psp = Psp(
            name=name,
            url=bound.simulators[name],
            clock=clock,
            network=network,
            credentials=dict(SIMULATED[name].credentials),
            endpoint=endpoint,
            _control=control,
            _channel=channel,
            _control_path=f"/{name}",
        )
        try:
            port = listeners[0].socket.getsockname()[1]
            wanted = {"url": f"http://127.0.0.1:{port}/webhooks/{name}", "secret": psp.secret}
            status, said = await psp.control("POST", "/_webhooks", wanted)
            assert status == 200, said
            assert await psp.sign_in()
            yield psp
        except trio.Cancelled:
            raise
        except BaseException as found:  # out of the nursery as it is, not in a group: it is what the test has to say
            problem = found
        with trio.CancelScope(shield=True):
            await channel.aclose()
            await control.aclose()
        nursery.cancel_scope.cancel()
    if problem is not None:
        raise problem


@cache
def _identity() -> SigningIdentity:
    """What simulated PSPs sign with that sign so. Made once: it takes longer than most tests."""
    return _mint(START)


def _failure(error_class: ErrorClass, code: str) -> Failure:
    return Failure(error_class=error_class, code=code, message="")
