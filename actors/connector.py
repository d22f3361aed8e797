"""The actor in front of one PSP: it owns the connections, sends the calls, and says by the phase of a failure what can have happened.

The bulkhead is the set of its connections: as many calls run at once as there are, a bounded number may wait, and a call that waited
longer than its deadline is not sent at all. Every call ends in one `Evidence` that is handed back; an exception here is a death, and the
payment then finds out by its own timer.

Not here: what evidence means for a payment, or when to look again (`payorch.domain`); what the PSP's words mean (the connector).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import trio
from msgspec.structs import replace

from actors.actor import Actor
from connectors.contract import Connector, HttpRequest, HttpResponse
from payorch.domain.outcome import ErrorClass, Evidence, Failure, Finding, NotExecuted, Source, Unknown
from payorch.domain.records import Attempt, Operation, PreparedCall
from payorch.ports import Channel, Clock, Network, NotSent, OutcomeLost, Process, Timeouts

# --- messages ---------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Execute:
    """Send this call for that attempt or operation of that payment, and hand back what was found."""

    payment_id: str
    subject: Attempt | Operation
    call: PreparedCall
    psp_key: str | None
    source: Source
    cause: str


Deliver = Callable[[str, str, Evidence, str], None]
"""(payment id, subject id, evidence, cause): how an answer goes back to its payment. Must not wait."""


# --- statistics -------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorStatistics:
    """One connector now: calls on the wire, calls waiting, the bulkhead, and how calls ended since the start."""

    name: str
    in_flight: int
    waiting: int
    connections: int
    answered: int
    not_sent: int
    unknown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorLimits:
    """connections: the bulkhead. waiting: calls that may wait for one. timeouts: of each exchange; its total bounds the wait too."""

    connections: int
    waiting: int
    timeouts: Timeouts


@dataclass(slots=True)
class _Job:
    execute: Execute
    arrived: float


_BUSY: Final = "bulkhead_full"


class ConnectorActor(Actor[Execute]):
    """One PSP, `limits.connections` connections. `credentials` are shown to the connector at the moment of sending only."""

    def __init__(
        self,
        *,
        connector: Connector,
        network: Network,
        base_url: str,
        credentials: Mapping[str, str],
        limits: ConnectorLimits,
        clock: Clock,
        process: Process,
        deliver: Deliver,
        observe: Callable[[str, Evidence], None],
    ) -> None:
        self._connector = connector
        self._network = network
        self._base_url = base_url
        self._credentials = credentials
        self._limits = limits
        self._clock = clock
        self._process = process
        self._deliver = deliver
        self._observe = observe
        self._jobs: deque[_Job] = deque()
        self._idle: list[trio.Event] = []
        self._quiet: trio.Event | None = None
        self._in_flight = self._answered = self._not_sent = self._unknown = 0

    async def started(self) -> None:
        for _ in range(self._limits.connections):
            self.spawn(self._work)

    async def receive(self, message: Execute) -> None:
        """Takes all that wait: payments come in groups, one commit wakes many, and a turn of the loop for each would pull them apart."""
        for execute in (message, *self.mailbox.take_waiting(self.mailbox.depth)):
            self._take(execute)

    def _take(self, execute: Execute) -> None:
        if len(self._jobs) >= self._limits.waiting:
            self._hand_back(execute, _not_sent(_BUSY, "All connections to the PSP are busy and too many calls are waiting."), None, 0)
            return
        self._jobs.append(_Job(execute, trio.current_time()))
        if self._idle:
            self._idle.pop().set()

    def statistics(self) -> ConnectorStatistics:
        """A frozen snapshot."""
        return ConnectorStatistics(
            name=self._connector.name,
            in_flight=self._in_flight,
            waiting=len(self._jobs),
            connections=self._limits.connections,
            answered=self._answered,
            not_sent=self._not_sent,
            unknown=self._unknown,
        )

    async def until_quiet(self) -> None:
        """Waits until no call is on the wire and none waits to be."""
        while self._in_flight or self._jobs:
            self._quiet = self._quiet or trio.Event()
            await self._quiet.wait()

    async def _work(self) -> None:
        """One connection: take the oldest call, make it, hand back the answer, for ever."""
        channel = self._network.channel(self._base_url)
        try:
            while True:
                while not self._jobs:
                    turn = trio.Event()
                    self._idle.append(turn)
                    await turn.wait()
                await self._perform(channel, self._jobs.popleft())
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await channel.aclose()

    async def _perform(self, channel: Channel, job: _Job) -> None:
        execute, begun = job.execute, trio.current_time()
        if begun - job.arrived >= self._limits.timeouts.total_seconds:
            self._hand_back(execute, _not_sent("deadline", "The call waited for a connection until its time was over."), None, 0)
            return
        try:
            request = self._connector.request(execute.call, psp_key=execute.psp_key, credentials=self._credentials)
            finding, response = await self._exchange(channel, request)
        except ValueError as fault:
            # A call that cannot be put on the wire is a bug of ours about this one payment; it must not take the others' connections along.
            finding, response = _not_sent("unsendable", f"The call could not be built ({type(fault).__name__})."), None
        self._hand_back(execute, finding, response, round((trio.current_time() - begun) * 1000))

    async def _exchange(self, channel: Channel, request: HttpRequest) -> tuple[Finding | None, HttpResponse | None]:
        self._process.reached("connector.before_send")
        self._in_flight += 1
        try:
            response = await channel.exchange(request, timeouts=self._limits.timeouts)
        except NotSent as failure:
            return _not_sent(failure.reason, f"Not a byte was sent to the PSP ({failure.reason})."), None
        except OutcomeLost as failure:
            lost = Failure(
                error_class=ErrorClass.UNKNOWN_OUTCOME, code=failure.reason, message=f"The PSP's answer was lost ({failure.reason})."
            )
            return Unknown(failure=lost), None
        finally:
            self._in_flight -= 1
            if self._quiet is not None:
                self._quiet.set()
                self._quiet = None
        self._process.reached("connector.after_answer")
        return None, response

    def _hand_back(self, execute: Execute, finding: Finding | None, response: HttpResponse | None, latency_ms: int) -> None:
        at = self._clock.now()
        if response is not None:
            found = self._connector.read(execute.subject, execute.call, response, source=execute.source, at=at)
            evidence = replace(found, latency_ms=latency_ms)
        else:
            assert finding is not None
            evidence = Evidence(source=execute.source, finding=finding, at=at, latency_ms=latency_ms)
        self._count(evidence)
        self._observe(self._connector.name, evidence)
        self._deliver(execute.payment_id, execute.subject.id, evidence, execute.cause)

    def _count(self, evidence: Evidence) -> None:
        match evidence.finding:
            case Unknown():
                self._unknown += 1
            case NotExecuted(sent=False):
                self._not_sent += 1
            case _:
                self._answered += 1


def _not_sent(code: str, message: str) -> NotExecuted:
    return NotExecuted(failure=Failure(error_class=ErrorClass.NOT_SENT, code=code, message=message), sent=False)
