"""The load: N keep-alive connections that authorise payments, or post a PSP's webhooks, in a process of its own, on loopback only.

    python -m bench.load --port 8080 --connections 16 --seconds 5          closed loop: each connection sends when it has its answer
    python -m bench.load --port 8080 --connections 64 --rate 100           open loop: request n is due at n/100 s, and its latency counts
                                                                           from then, however late it could be sent
    python -m bench.load --port 9101 --dialect stripe                      straight at the stub: how much load and stub can do by themselves
    python -m bench.load --port 8080 --dialect webhooks --about FILE       webhooks about the payments in that file (`events`)

The merchant's key is read from BENCH_MERCHANT_KEY, the secret that webhooks are signed with from BENCH_WEBHOOK_SECRET. Prints one JSON
object. Requests are bytes made beforehand but for their number and signature, answers are read for status and length only, so that this
process takes a small part of one core. Latencies and the rate are of a window after the
warm-up; `answers` and `lost` are of everything that was sent, since the books are checked against them.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import trio

from bench import events, figures
from bench.processes import cpu_seconds
from bench.wire import Peer, Unframed

MERCHANT_KEY: Final = "BENCH_MERCHANT_KEY"
WEBHOOK_SECRET: Final = "BENCH_WEBHOOK_SECRET"

_NUMBER: Final = "@@number@@"
_SHOWN_BYTES: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do. `request`: the bytes of the request with that number. `rate`: requests a second, or None for a closed loop.

    watched: processes whose CPU time is read at both ends of the window, by a name of the caller's; a negative id stands for that process
    with its children. `grace_seconds`: what the last answers may take after the window, before they are counted as lost.
    """

    port: int
    request: Callable[[int], bytes]
    connections: int
    seconds: float
    warm_up_seconds: float
    rate: float | None
    limit: int
    watched: Mapping[str, int]
    grace_seconds: float = 15.0


@dataclass(slots=True)
class Tally:
    """What has happened so far. `refusals`: the beginning of the first answer of each status that is not 2xx."""

    sent: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    latencies: array[float] = field(default_factory=lambda: array("d"))
    refusals: dict[str, str] = field(default_factory=dict)
    disturbances: list[str] = field(default_factory=list)
    cpu_begin: dict[str, float | None] = field(default_factory=dict)
    cpu_end: dict[str, float | None] = field(default_factory=dict)


class Load:
    """One run of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tally = Tally()
        self._start = self._window_start = self._window_end = 0.0

    async def run(self) -> dict[str, Any]:
        """All of it, within the plan's bounds; the result as `authorize` reads it."""
        plan = self._plan
        self._start = trio.current_time()
        self._window_start = self._start + plan.warm_up_seconds
        self._window_end = self._window_start + plan.seconds
        with trio.move_on_at(self._window_end + plan.grace_seconds):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch)
                async with trio.open_nursery() as clients:
                    for _ in range(plan.connections):
                        clients.start_soon(self._client)
                if self._tally.sent >= plan.limit:
                    nursery.cancel_scope.cancel()  # done before its time, and nothing to watch any more
        return self._result(trio.current_time() - self._start)

    async def _watch(self) -> None:
        await trio.sleep_until(self._window_start)
        self._tally.cpu_begin = self._cpu()
        await trio.sleep_until(self._window_end)
        self._tally.cpu_end = self._cpu()

    def _cpu(self) -> dict[str, float | None]:
        return {name: cpu_seconds(abs(pid), with_children=pid < 0) for name, pid in self._plan.watched.items()}

    async def _client(self) -> None:
        """One connection after the other, for servers close them now and then. What breaks in the middle is a request lost."""
        while self._goes_on():
            with trio.socket.socket() as socket:
                try:
                    await socket.connect(("127.0.0.1", self._plan.port))
                    await self._converse(Peer(socket))
                except (OSError, Unframed) as error:
                    self._tally.disturbances.append(repr(error)[:_SHOWN_BYTES])
                    # A service that refuses connections must not be hammered, and nothing here may spin.
                    await trio.sleep(0.05)

    def _goes_on(self) -> bool:
        return trio.current_time() < self._window_end and self._tally.sent < self._plan.limit

    async def _converse(self, peer: Peer) -> None:
        """Requests on one connection until the plan or the server ends it."""
        tally, rate = self._tally, self._plan.rate
        while self._goes_on():
            number = tally.sent
            tally.sent += 1
            due = trio.current_time()
            if rate is not None:
                due = self._start + number / rate
                if due >= self._window_end:
                    tally.sent -= 1  # nobody was asked
                    return
                await trio.sleep_until(due)
            await peer.send(self._plan.request(number))
            answer = await peer.receive()
            if answer is None:
                raise Unframed("the server closed instead of answering")
            self._count(answer, due)
            if b"\r\nconnection: close" in answer[0]:
                return

    def _count(self, answer: tuple[bytes, bytes], due: float) -> None:
        head, body = answer
        now = trio.current_time()
        status = head[9:12].decode()
        self._tally.answers[status] += 1
        if not status.startswith("2") and status not in self._tally.refusals:
            self._tally.refusals[status] = body[:_SHOWN_BYTES].decode(errors="replace")
        if self._window_start <= now < self._window_end:
            self._tally.latencies.append(now - due)

    def _result(self, seconds: float) -> dict[str, Any]:
        tally, begin, end = self._tally, self._tally.cpu_begin, self._tally.cpu_end
        summary = figures.latencies(tally.latencies)
        return {
            "rate": len(tally.latencies) / self._plan.seconds,
            "latencies": asdict(summary),
            "answers": dict(tally.answers),
            "lost": tally.sent - tally.answers.total(),
            "refusals": tally.refusals,
            "disturbances": tally.disturbances[:10],
            "seconds": seconds,
            "cpu_us": {name: _difference_us(begin.get(name), end.get(name), summary.count) for name in self._plan.watched},
        }


def _difference_us(begin: float | None, end: float | None, requests: int) -> float | None:
    return None if begin is None or end is None else figures.per_request_us(end - begin, requests)


def payment_request(port: int, merchant_key: str, capture: str) -> Callable[[int], bytes]:
    """Payments as API.md shows one, each with an Idempotency-Key and a reference of its own number."""
    payment = {
        "amount": events.AMOUNT,
        "currency": "EUR",
        "reference": f"order-{_NUMBER}",
        "capture": capture,
        "payment_method": {"type": "card", "token": "tok_visa", "brand": "visa", "last4": "4242", "country": "DE"},
        "customer": {"reference": "c-77", "country": "DE", "email": "a@example.com"},
        "return_url": "https://shop.example/return",
        "metadata": {"cart": "9"},
    }
    headers = {"Authorization": f"Bearer {merchant_key}", "Content-Type": "application/json", "Idempotency-Key": f"bench-{_NUMBER}"}
    return _request("/v1/payments", port, headers, json.dumps(payment))


def stripe_request(port: int) -> Callable[[int], bytes]:
    """What a connector sends, for the measurement of load and stub without a service between them."""
    form = {
        "amount": str(events.AMOUNT),
        "currency": "eur",
        "capture_method": "automatic",
        "confirm": "true",
        "payment_method": "tok_visa",
        "metadata[payorch_attempt]": "att_018f0000000000000000000000",
        "expand[0]": "latest_charge",
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Idempotency-Key": f"bench-{_NUMBER}", "X-Number": _NUMBER}
    return _request("/v1/payment_intents", port, headers, urlencode(form))


def _request(path: str, port: int, headers: Mapping[str, str], body: str) -> Callable[[int], bytes]:
    """_NUMBER stands twice in them."""
    sized = {"Host": f"127.0.0.1:{port}", **headers, "Content-Length": str(len(body.replace(_NUMBER, "0" * 10)))}
    head = "".join(f"{name}: {value}\r\n" for name, value in sized.items())
    message = f"POST {path} HTTP/1.1\r\n{head}\r\n{body}"
    template = message.replace("%", "%%").replace(_NUMBER, "%010d").encode()
    return lambda number: template % (number, number)


def _watched(text: str) -> tuple[str, int]:
    name, _, pid = text.partition("=")
    return name, int(pid)


def _plan() -> Plan:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dialect", choices=["payorch", "stripe", "webhooks"], default="payorch")
    parser.add_argument("--about", type=Path, metavar="FILE", help="with --dialect webhooks: the payments that they tell of")
    parser.add_argument("--capture", choices=["automatic", "manual"], default="automatic")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--warm-up-seconds", type=float, default=1.0)
    parser.add_argument("--rate", type=float, help="open loop: requests a second")
    parser.add_argument("--limit", type=int, default=1_000_000, help="at most so many requests")
    parser.add_argument("--watch", type=_watched, action="append", default=[], metavar="NAME=PID")
    given = parser.parse_args()
    if (given.about is not None) != (given.dialect == "webhooks"):
        parser.error("--dialect webhooks needs --about, and nothing else does")
    return Plan(
        port=given.port,
        request=_requests(given),
        connections=given.connections,
        seconds=given.seconds,
        warm_up_seconds=given.warm_up_seconds,
        rate=given.rate,
        limit=given.limit,
        watched=dict(given.watch),
    )


def _requests(given: argparse.Namespace) -> Callable[[int], bytes]:
    if given.dialect == "stripe":
        return stripe_request(given.port)
    if given.dialect == "payorch":
        return payment_request(given.port, os.environ.get(MERCHANT_KEY, "none"), given.capture)
    paid, secret = events.read(given.about.read_text()), os.environ.get(WEBHOOK_SECRET, "none")
    return events.Events(paid, capture=given.capture, port=given.port, secret=secret, now=time.time).request


if __name__ == "__main__":
    print(json.dumps(trio.run(Load(_plan()).run)))
