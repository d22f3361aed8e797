"""`payorch listen`: a developer sees the merchant's events as they happen, and has each of them posted to a machine of his own.

What is posted is what an endpoint would be sent, byte for byte as JSON, signed by Standard Webhooks with a secret of this session. A
forward is tried once: what failed is said, and the event stays in `GET /v1/events`. Events go out one after the other, in their order.

Not here: deliveries to merchants (`actors.notifier`), following the events (`payorch.merchant_client`), printing.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final, final

import httpx2
import msgspec
import trio

from payorch import signing
from payorch.domain.announcements import EVENT_TYPES
from payorch.domain.money import Money, MoneyError
from payorch.merchant_client import Event, Events, MerchantClient, Platform, PlatformAway, merchant_client
from payorch.ports import Clock, Entropy
from payorch.wording import aligned, printable

_SHOWN_TYPE: Final = max(map(len, EVENT_TYPES))
_SHOWN_STATUS: Final = len("requires_confirmation")
_ABOUT: Final = ("capture", "refund", "dispute")
_LISTED_ONLY: Final = frozenset({"object", "deliveries"})
"""Members that the list adds to what is delivered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """look_seconds: between looks for events; a person calls that at once. away_seconds: between tries while the platform does not answer.

    forward_seconds: for the developer's machine to answer, all in all; it may stand at a breakpoint, and the others wait meanwhile.
    """

    look_seconds: float = 0.3
    away_seconds: float = 1.0
    forward_seconds: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a person needs to know at the start. secret: what forwards are signed with."""

    platform: str
    types: tuple[str, ...]
    forward_to: str | None = None
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    """What came of a forward: the answer's status, or why there was none."""

    milliseconds: int
    status: int | None = None
    error: str | None = None

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An event, and what came of its forward (None: there was none to be made)."""

    event: Event
    forwarded: Forwarded | None


def types_of(text: str | None) -> tuple[str, ...]:
    """The event types of `a,b`; none stands for all."""
    return tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))


@final
class Listener:
    """platform: where it is, read anew after each trouble. began, seen: told of the start and of each event. hint: told of trouble."""

    def __init__(
        self,
        *,
        platform: Callable[[], Platform],
        types: Sequence[str],
        forward_to: str | None,
        clock: Clock,
        entropy: Entropy,
        began: Callable[[Start], None],
        seen: Callable[[Seen], None],
        hint: Callable[[str], None],
        pace: Pace = Pace(),
    ) -> None:
        self._platform = platform
        self._types = tuple(types)
        self._forward_to = forward_to
        self._secret = signing.new_secret(entropy.secret(signing.SECRET_BYTES)) if forward_to is not None else None
        self._clock = clock
        self._began = began
        self._seen = seen
        self.hint = hint
        self._pace = pace
        self._client: MerchantClient | None = None
        self.events = self.taken = self.not_taken = 0

    async def run(self) -> None:
        """Until cancelled. Raises PlatformAway where it does not answer at the start, and PlatformRefused."""
        async with AsyncExitStack() as stack:
            place = self._platform()
            await self._connect(stack, place)
            line = await stack.enter_async_context(httpx2.AsyncClient(timeout=self._pace.forward_seconds, trust_env=False))
            following = Events(lambda cursor: self._asked().events(cursor))
            await following.begin()
            self._began(Start(platform=place.base_url, types=self._types, forward_to=self._forward_to, secret=self._secret))
            away = False
            while True:
                try:
                    fresh = await following.new(thorough=away)
                except PlatformAway as trouble:
                    if not away:
                        self.hint(f"{trouble}; waiting for it")
                    away = True
                    await trio.sleep(self._pace.away_seconds)
                    if (found := self._platform()) != place:  # it came back elsewhere, or with another key
                        place = found
                        await self._connect(stack, place)
                    continue
                if away:
                    self.hint("the platform answers again; nothing was missed")
                    away = False
                for event in fresh:
                    await self._take(line, event)
                await trio.sleep(self._pace.look_seconds)

    async def _connect(self, stack: AsyncExitStack, platform: Platform) -> None:
        self._client = await stack.enter_async_context(merchant_client(platform))

    def _asked(self) -> MerchantClient:
        assert self._client is not None, "connected before anything is asked"
        return self._client

    async def _take(self, line: httpx2.AsyncClient, event: Event) -> None:
        if self._types and event["type"] not in self._types:
            return
        self.events += 1
        forwarded = None if self._forward_to is None else await self._forward(line, self._forward_to, event)
        if forwarded is not None:
            self.taken += forwarded.taken
            self.not_taken += not forwarded.taken
        self._seen(Seen(event=event, forwarded=forwarded))

    async def _forward(self, line: httpx2.AsyncClient, url: str, event: Event) -> Forwarded:
        assert self._secret is not None, "made where something is forwarded"
        body = delivered(event)
        headers = {
            "content-type": "application/json",
            "user-agent": "payorch",
            **signing.sign([self._secret], message_id=str(event["id"]), at=self._clock.now(), body=body),
        }
        began = trio.current_time()
        status: int | None = None
        error: str | None = None
        try:
            with trio.fail_after(self._pace.forward_seconds):
                # The answer's body is nobody's business here, and might never end: only the status is read.
                async with line.stream("POST", url, content=body, headers=headers) as answer:
                    status = answer.status_code
        except trio.TooSlowError:
            error = f"no answer within {self._pace.forward_seconds:g} s"
        except httpx2.ConnectError:
            error = "nobody takes connections there"
        except (httpx2.HTTPError, httpx2.InvalidURL) as problem:
            error = type(problem).__name__
        return Forwarded(status=status, error=error if status is None else None, milliseconds=round((trio.current_time() - began) * 1000))


async def until_stopped(listener: Listener) -> None:
    """Runs it until SIGINT or SIGTERM, and says what it did. Raises what it raises, not in a group."""
    failed: Exception | None = None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_at, signals, nursery.cancel_scope)
            try:
                await listener.run()
            except Exception as problem:
                failed = problem
            nursery.cancel_scope.cancel()
    if failed is not None:
        raise failed
    told = f", {listener.taken} forwarded, {listener.not_taken} not taken" if listener.taken + listener.not_taken else ""
    listener.hint(f"stopped; {listener.events} event{'' if listener.events == 1 else 's'} seen{told}")


async def _stop_at(signals: AsyncIterator[int], everything: trio.CancelScope) -> None:
    await anext(signals)
    everything.cancel()


# --- as people and programs read them ---------------------------------------------------------------------------------------------------


def delivered(event: Event) -> bytes:
    """The body that an endpoint is sent: the event as it is listed, without what the list adds."""
    return msgspec.json.encode({name: value for name, value in event.items() if name not in _LISTED_ONLY})


def start_text(start: Start) -> str:
    """Where it listens, and the secret with which the developer's program verifies."""
    rows = [("listening to", printable(start.platform)), ("events", ", ".join(start.types) or "all")]
    if start.forward_to is not None:
        rows += [("forwarding to", printable(start.forward_to)), ("secret", f"{start.secret}  (of this session: verify with it)")]
    return f"{aligned(rows)}\n"


def start_data(start: Start) -> dict[str, Any]:
    """The first line for programs."""
    return {"listening_to": start.platform, "events": list(start.types), "forward_to": start.forward_to, "secret": start.secret}


def line(seen: Seen) -> str:
    """One event in one line: when, what, of which payment, how that stands, how much, and what the forward was answered."""
    event = seen.event
    members = event.get("data")
    of: Mapping[str, Any] = members if isinstance(members, dict) else {}
    payment = _member(of, "payment")
    subject = next((found for name in _ABOUT if (found := _member(of, name))), payment)
    parts = [
        printable(str(event.get("created_at", ""))).partition("T")[2] or printable(str(event.get("created_at", ""))),
        printable(str(event["type"])).ljust(_SHOWN_TYPE),
        printable(str(payment.get("id", "?"))),
        printable(str(subject.get("status", "?"))).ljust(_SHOWN_STATUS),
        _amount(subject, payment).rjust(14),
    ]
    if seen.forwarded is not None:
        parts.append(f"-> {_outcome(seen.forwarded)}")
    return "  ".join(parts).rstrip()


def data(seen: Seen) -> dict[str, Any]:
    """One event in one line for programs."""
    return {"event": dict(seen.event), "forward": None if seen.forwarded is None else _forward_data(seen.forwarded)}


def _forward_data(forwarded: Forwarded) -> dict[str, Any]:
    return {"status": forwarded.status, "error": forwarded.error, "milliseconds": forwarded.milliseconds}


def _member(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = of.get(name)
    return found if isinstance(found, dict) else {}


def _amount(subject: Mapping[str, Any], payment: Mapping[str, Any]) -> str:
    minor: Any = subject.get("amount")  # Money says itself what is none
    currency: Any = subject.get("currency", payment.get("currency"))
    try:
        return f"{Money(minor, currency).major():,} {currency}"
    except (MoneyError, TypeError):
        return ""


def _outcome(forwarded: Forwarded) -> str:
    said = str(forwarded.status) if forwarded.status is not None else f"failed: {forwarded.error}"
    return f"{said} in {forwarded.milliseconds} ms"
