"""A connector's actor by itself: a made-up PSP whose every answer the test decides, trio's mock clock, and nobody else.

    async with connector() as world:
        world.wire.answers = [BROKEN] * 5 + [FINE]        # or a function of the request; the last answer is repeated
        await world.call()                                 # an authorisation; what came back of it
        world.clock_time                                   # moves with trio's clock

The connector understands four answers: 200 is approved, 402 declined, 404 absent, 429 turned away; whatever else is unknown.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import trio

from actors.actor import Life
from actors.admission import Admission, AdmissionLimits, CallKind, Changed, Refused
from actors.breaker import CircuitLimits
from actors.budget import BudgetLimits
from actors.bulkhead import ConnectorLimits
from actors.connector import ConnectorActor, Execute, Message
from actors.mailbox import Mailbox, Ref
from connectors.contract import AccessToken, Connector, HttpRequest, HttpResponse
from payorch.domain import identifiers
from payorch.domain.capability import Lookup, Manifest
from payorch.domain.money import Money
from payorch.domain.outcome import (
    Absent,
    Approved,
    ConnectorDetail,
    Declined,
    ErrorClass,
    Evidence,
    Failure,
    Finding,
    NotExecuted,
    Source,
    Unknown,
)
from payorch.domain.payment import AttemptState, OperationState
from payorch.domain.records import Attempt, Operation, OperationKind, Origin, PreparedCall
from payorch.ports import NotSent, OutcomeLost, Timeouts

START = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)
EUR = Money(2000, "EUR")
CALL = PreparedCall(method="POST", path="/pay")
ASK = PreparedCall(method="GET", path="/look")
TOKEN_PATH = "/token"
TOKEN_MARGIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the PSP does with one call: after so many seconds it answers, or the call ends as `error`."""

    status: int = 200
    after_seconds: float = 0.1
    headers: tuple[tuple[str, str], ...] = ()
    error: NotSent | OutcomeLost | None = None


FINE = Answer()
DECLINE = Answer(status=402)
BROKEN = Answer(status=500)
KEPT = Answer(status=500, headers=(("idempotent-replayed", "true"),))
ABSENT = Answer(status=404)
BUSY = Answer(status=429)
REFUSED = Answer(error=NotSent("connect", "psp"))
HANGING = Answer(after_seconds=1e9)

LIMITS = AdmissionLimits(
    circuit=CircuitLimits(
        window_calls=20, window_seconds=60, minimum_calls=10, failure_rate=0.5, slow_rate=0.8, failures_in_a_row=5, open_seconds=5,
        longest_open_seconds=30, probes=2, successes_to_close=2,
    ),
    lookup_circuit=CircuitLimits(
        window_calls=20, window_seconds=60, minimum_calls=10, failure_rate=0.5, slow_rate=0.8, failures_in_a_row=5, open_seconds=2,
        longest_open_seconds=10, probes=2, successes_to_close=2,
    ),
    budget=BudgetLimits(initial=5, most=100, earned_per_call=0.1, earned_per_minute=1),
    slow_seconds=10,
)  # fmt: skip
CONNECTOR_LIMITS = ConnectorLimits(
    connections=4,
    lookup_connections=2,
    waiting=50,
    timeouts=Timeouts(connect_seconds=3, write_seconds=5, read_seconds=25, total_seconds=30),
    least_call_seconds=5,
    longest_retry_after_seconds=60,
    token_patience_seconds=2,
)
MANIFEST = Manifest(
    key_max_length=64, key_charset="a", key_safe_window_seconds=3600, replays_errors=True, lookup=Lookup.EVENTUAL, lookup_lag_seconds=60,
    cancel_by_reference=False, http_429_means_not_executed=True, methods={}, currencies=frozenset({"EUR"}),
)  # fmt: skip


def failure(error_class: ErrorClass, status: int) -> Failure:
    return Failure(error_class=error_class, code=f"http_{status}", message="no", connector=ConnectorDetail(http_status=status))


class MadeUp:
    """Enough of `connectors.contract.Connector` for calls that are prepared already. `lends`: it lends access tokens, at TOKEN_PATH."""

    name = "psp"
    manifest = MANIFEST

    def __init__(self, *, lends: bool = False) -> None:
        self.lends = lends

    def sign_in(self, credentials: Mapping[str, str]) -> HttpRequest | None:
        headers = (("authorization", f"Basic {credentials.get('api_key')}"),)
        return HttpRequest(method="POST", path=TOKEN_PATH, headers=headers, body=b"") if self.lends else None

    def signed_in(self, response: HttpResponse, *, at: datetime) -> AccessToken | None:
        token = response.header("token")
        if response.status != 200 or token is None:
            return None
        return AccessToken(value=token, expires_at=at + timedelta(seconds=float(response.header("lent") or "0")))

    def request(self, call: PreparedCall, *, psp_key: str | None, credentials: Mapping[str, str]) -> HttpRequest:
        headers = (("idempotency-key", psp_key or ""), ("authorization", f"Bearer {credentials.get('access_token')}"))
        return HttpRequest(method=call.method, path=call.path, headers=headers, body=b"")

    def read(self, subject: object, call: PreparedCall, response: HttpResponse, *, source: Source, at: datetime) -> Evidence:
        unknown = Unknown(failure=failure(ErrorClass.UNKNOWN_OUTCOME, response.status))
        turned_away = NotExecuted(failure=failure(ErrorClass.RATE_LIMITED, 429), sent=True)
        if response.status == 599:
            raise RuntimeError("a connector has a bug")
        found: dict[int, Finding] = {
            200: Approved(captured=True),
            402: Declined(failure=failure(ErrorClass.HARD_DECLINE, 402)),
            404: Absent(),
            429: turned_away if source is Source.RESPONSE else unknown,
        }
        stored = response.header("idempotent-replayed") is not None
        return Evidence(source=source, finding=found.get(response.status, unknown), at=at, stored=stored)


@dataclass(kw_only=True)
class Wire:
    """The PSP: what it was asked, when and with how much patience, and what it does."""

    answers: list[Answer] | Callable[[HttpRequest], Answer] = field(default_factory=lambda: [FINE])
    asked: list[tuple[float, HttpRequest]] = field(default_factory=list)
    patience: list[float] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    def channel(self, base_url: str) -> Wire:
        return self

    def merchant_channel(self, url: str, *, local: bool) -> Wire:
        raise AssertionError("a connector has nothing to tell merchants")

    def paths(self) -> list[str]:
        return [request.path for _, request in self.asked]

    async def exchange(self, request: HttpRequest, *, timeouts: Timeouts) -> HttpResponse:
        answer = self._next(request)
        self.asked.append((trio.current_time(), request))
        self.patience.append(timeouts.total_seconds)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            with trio.move_on_after(min(timeouts.total_seconds, timeouts.read_seconds)) as scope:
                await trio.sleep(answer.after_seconds)
            if scope.cancelled_caught:
                raise OutcomeLost("read_timeout", "psp")
        finally:
            self.at_once -= 1
        if answer.error is not None:
            raise answer.error
        return HttpResponse(status=answer.status, headers=answer.headers, body=b"{}")

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()

    def _next(self, request: HttpRequest) -> Answer:
        if callable(self.answers):
            return self.answers(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class WorldClock:
    """Wall time that goes with trio's clock."""

    def now(self) -> datetime:
        return START + timedelta(milliseconds=round(trio.current_time() * 1000))


class NoCrash:
    def reached(self, point: str) -> None:
        """Nobody dies here."""


class Owner:
    """Lets one life of one actor run; nothing is restarted."""

    def __init__(self) -> None:
        self.deaths: list[Exception] = []

    def life_started(self, life: Life) -> None: ...

    def life_ended(self, life: Life) -> None:
        if life.error is not None:
            self.deaths.append(life.error)

    def abandon_tree(self) -> None: ...


class ConnectorWorld:
    """The actor and what became of its calls. `limits`, `admission_limits`: to be changed before it begins."""

    def __init__(self, limits: ConnectorLimits, admission_limits: AdmissionLimits, *, remembered: bool = True) -> None:
        self.wire = Wire()
        self.lends = False
        self.key_seconds = 3600.0
        self.limits = limits
        self.changes: list[Changed] = []
        self.well: list[tuple[CallKind, float]] = []
        self.refused: list[Refused] = []
        self.admission = Admission(
            "psp", admission_limits, trio.current_time(), changed=self.changes.append, well_again=lambda *what: self.well.append(what)
        )
        self.admission.remembered = remembered
        self.mailbox: Mailbox[Message] = Mailbox(capacity=1000, name="psp")
        self.ref = Ref(self.mailbox)
        self.owner = Owner()
        self.actor: ConnectorActor | None = None
        self._answers: dict[str, list[Evidence]] = {}
        self._heard = trio.Event()
        self._numbers = itertools.count(1)

    def start(self) -> ConnectorActor:
        async def write_circuits() -> None:
            await trio.sleep_forever()

        async def remember(admission: Admission) -> None:
            admission.remembered = True

        self.actor = ConnectorActor(
            connector=cast(Connector, MadeUp(lends=self.lends)),
            network=self.wire,
            base_url="https://psp.example",
            credentials={"api_key": "the_secret"},
            limits=self.limits,
            admission=self.admission,
            remember=remember,
            write_circuits=write_circuits,
            clock=WorldClock(),
            process=NoCrash(),
            token_margin_seconds=TOKEN_MARGIN_SECONDS,
            deliver=self._deliver,
            observe=lambda name, kind, payment_id, evidence: None,
            refused=lambda name, refused: self.refused.append(refused),
        )
        return self.actor

    def begin(self, nursery: trio.Nursery) -> Life:
        life = Life(ref=self.ref, start=self.start, owner=self.owner, nursery=nursery)
        life.begin()
        return life

    def _deliver(self, payment_id: str, subject_id: str, evidence: Evidence, cause: str) -> None:
        self._answers.setdefault(subject_id, []).append(evidence)
        self._heard.set()
        self._heard = trio.Event()

    # --- calls

    def send(self, kind: CallKind = CallKind.AUTHORIZE, **how: Any) -> str:
        """Hands a call over; the id of what it is about."""
        subject = self.subject(kind)
        source = Source.INQUIRY if kind is CallKind.LOOKUP else Source.RESPONSE
        given: dict[str, Any] = {"call": ASK if kind is CallKind.LOOKUP else CALL, "source": source, **how}
        self.ref.tell(Execute(payment_id="pay_1", subject=subject, psp_key=f"key_{subject.id}", cause="test", **given))
        return subject.id

    def replay(self, **how: Any) -> str:
        """Hands over a replay with an inquiry to make instead."""
        return self.send(source=Source.REPLAY, repeat=True, **{"instead": ASK, **how})

    async def answer(self, subject_id: str) -> Evidence:
        """What came back of it."""
        while not self._answers.get(subject_id):
            await self._heard.wait()
        return self._answers[subject_id].pop(0)

    def heard_nothing(self) -> bool:
        """Whether nothing came back of any call."""
        return not self._answers

    async def call(self, kind: CallKind = CallKind.AUTHORIZE, **how: Any) -> Evidence:
        """One call from its beginning to its end."""
        return await self.answer(self.send(kind, **how))

    async def calls(self, count: int, kind: CallKind = CallKind.AUTHORIZE, **how: Any) -> list[Evidence]:
        """One after the other."""
        return [await self.call(kind, **how) for _ in range(count)]

    def subject(self, kind: CallKind) -> Attempt | Operation:
        number = next(self._numbers)
        at = WorldClock().now()
        safe = at + timedelta(seconds=self.key_seconds)
        attempt_id = identifiers.of_name("att", str(number))
        if kind in (CallKind.AUTHORIZE, CallKind.LOOKUP):
            return Attempt(
                id=attempt_id, connector="psp", state=AttemptState.PREPARED, amount=EUR, call=CALL, psp_key="k", psp_key_safe_until=safe,
                created_at=at, updated_at=at,
            )  # fmt: skip
        prefix = {CallKind.CAPTURE: "cap", CallKind.VOID: "void", CallKind.REFUND: "ref"}[kind]
        return Operation(
            id=identifiers.of_name(prefix, str(number)), kind=OperationKind(kind.value), state=OperationState.REQUESTED,
            origin=Origin.MERCHANT, attempt_id=attempt_id, amount=EUR, created_at=at, updated_at=at, call=CALL, psp_key="k",
            psp_key_safe_until=safe,
        )  # fmt: skip


@asynccontextmanager
async def connector(
    *, limits: ConnectorLimits = CONNECTOR_LIMITS, admission: AdmissionLimits = LIMITS, lends: bool = False, **budget: float
) -> AsyncIterator[ConnectorWorld]:
    """A running connector; further arguments change its retry budget. Raises what it died of."""
    world = ConnectorWorld(limits, replaced(admission, budget=replaced(admission.budget, **budget)))
    world.lends = lends
    async with trio.open_nursery() as nursery:
        life = world.begin(nursery)
        yield world
        life.stop(within_seconds=0)
        await life.wait_ended()
    assert not world.owner.deaths
