"""The actor in front of one PSP: it owns the connections, sends the calls, and says by the phase of a failure what can have happened.

Before a call goes out it is asked whether it may (`admission`: a circuit for each kind of call, one budget for repeats). One that may not
ends at once as surely not sent, with the reason; a replay that may not becomes the inquiry that came with it. There are two bulkheads,
each a set of connections with a bounded queue in front: one for calls that move money, one for look-ups, so that a PSP which hangs on
payments can still be asked. All of a call, from its arrival to the last byte of its answer, has one deadline.

Every call ends in one `Evidence` that is handed back; an exception here is a death, and the payment then finds out by its own timer.

Not here: what evidence means for a payment, or when to look again (`payorch.domain`); what the PSP's words mean (the connector); repeating
anything by itself.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from dataclasses import replace as replaced
from typing import Final, TypeAlias, assert_never

import trio
from msgspec.structs import replace

from actors.actor import Actor
from actors.admission import BUDGET_SPENT, Admission, CallKind, Refused, in_words, judge, kind_of, was_tried
from actors.breaker import CircuitView, Mode, Permit, Verdict
from actors.bulkhead import Bulkhead, ConnectorLimits
from actors.exchange import Exchange, not_sent
from actors.mailbox import Reply
from actors.moments import Moments
from actors.retry_after import come_back_at
from actors.tokens import Tokens
from connectors.contract import Connector, HttpResponse
from payorch.domain.outcome import Evidence, Finding, NotExecuted, Source, Unknown
from payorch.domain.records import Attempt, Operation, PreparedCall
from payorch.ports import Channel, Clock, Network, Process

# --- messages ---------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Execute:
    """Send this call for that attempt or operation of that payment, and hand back what was found.

    repeat: it was or may have been sent before, so it costs a token of the retry budget. instead: an inquiry to make where the call may not
    be sent now.
    """

    payment_id: str
    subject: Attempt | Operation
    call: PreparedCall
    psp_key: str | None
    source: Source
    cause: str
    repeat: bool = False
    instead: PreparedCall | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForceCircuit:
    """An operator (`by`) opens or closes a circuit for that long; `cause` is the id of the act. The circuit as it then is, is replied."""

    kind: CallKind
    open: bool
    for_seconds: float
    by: str
    cause: str
    reply_to: Reply[CircuitView]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetCircuit:
    """An operator closes a circuit and lets it forget. The circuit as it then is, is replied."""

    kind: CallKind
    by: str
    cause: str
    reply_to: Reply[CircuitView]


Message: TypeAlias = Execute | ForceCircuit | ResetCircuit

Deliver = Callable[[str, str, Evidence, str], None]
"""(payment id, subject id, evidence, cause): how an answer goes back to its payment. Must not wait."""


# --- statistics -------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorStatistics:
    """One connector now: calls on the wire, calls waiting, the bulkheads together, how calls ended since the start, circuits and tokens."""

    name: str
    in_flight: int
    waiting: int
    connections: int
    answered: int
    not_sent: int
    unknown: int
    refused: int
    circuits: Mapping[CallKind, CircuitView]
    retry_tokens: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """A call on its way: `execute` as it came, and what is really sent of it, which may be the inquiry instead. patient_until: of a repeat
    that has waited for a token, the end of all its waiting; no end for one that has not.
    """

    execute: Execute
    arrived: float
    call: PreparedCall
    source: Source
    kind: CallKind
    repeat: bool
    patient_until: float = math.inf

    @classmethod
    def of(cls, execute: Execute, arrived: float) -> _Job:
        kind = kind_of(execute.subject, execute.source)
        return cls(execute=execute, arrived=arrived, call=execute.call, source=execute.source, kind=kind, repeat=execute.repeat)

    def as_inquiry(self) -> _Job | None:
        """The inquiry that came with it; None where there is none, or it is one already."""
        instead = self.execute.instead
        if instead is None or self.kind is CallKind.LOOKUP:
            return None
        return replaced(self, call=instead, source=Source.INQUIRY, kind=CallKind.LOOKUP, repeat=False)


_BUSY: Final = "bulkhead_full"


class ConnectorActor(Actor[Message]):
    """One PSP. `credentials` are shown to the connector at the moment of sending only, with an access token where it lends us one.

    admission: outlives this actor. remember: fills it from the journal, once in the life of the process, as patiently as it takes.
    write_circuits: runs beside, and writes down what the circuits do. observe: told how each call ended, of which kind it was and for which
    payment. refused: told of each call that its circuit or the budget kept back.
    """

    def __init__(
        self,
        *,
        connector: Connector,
        network: Network,
        base_url: str,
        credentials: Mapping[str, str],
        limits: ConnectorLimits,
        admission: Admission,
        remember: Callable[[Admission], Awaitable[None]],
        write_circuits: Callable[[], Awaitable[None]],
        clock: Clock,
        process: Process,
        token_margin_seconds: float,
        deliver: Deliver,
        observe: Callable[[str, CallKind, str, Evidence], None],
        refused: Callable[[str, Refused], None] = lambda name, refused: None,
    ) -> None:
        self._connector = connector
        self._network = network
        self._base_url = base_url
        self._tokens = Tokens(
            connector=connector,
            network=network,
            base_url=base_url,
            credentials=credentials,
            clock=clock,
            margin_seconds=token_margin_seconds,
        )
        self._exchange = Exchange(
            connector=connector, tokens=self._tokens, least_call_seconds=limits.least_call_seconds, process=process, over=self._look_quiet
        )
        self._limits = limits
        self._admission = admission
        self._remember = remember
        self._write_circuits = write_circuits
        self._clock = clock
        self._moments = Moments(clock)
        self._deliver = deliver
        self._observe = observe
        self._report_refused = refused
        self._payments, self._lookups = Bulkhead[_Job](), Bulkhead[_Job]()
        self._for_tokens: deque[_Job] = deque()  # repeats that wait for a token
        self._one_more_waits = trio.Event()
        self._repeats_under_way = 0
        self._sharing_out = False
        self._quiet: trio.Event | None = None
        self._answered = self._not_sent = self._unknown = self._refused = 0

    async def started(self) -> None:
        self._admission.forget_calls()
        self.spawn(self._write_circuits)
        self.spawn(self._lose_patience)
        self.spawn(self._tokens.keep)
        if not self._admission.remembered:
            await self._remember(self._admission)
        for _ in range(self._limits.connections):
            self.spawn(self._work, self._payments)
        for _ in range(self._limits.lookup_connections):
            self.spawn(self._work, self._lookups)

    async def receive(self, message: Message) -> None:
        """Takes all that wait: payments come in groups, one commit wakes many, and a turn of the loop for each would pull them apart."""
        for one in (message, *self.mailbox.take_waiting(self.mailbox.depth)):
            match one:
                case Execute():
                    self._take(_Job.of(one, trio.current_time()))
                case ForceCircuit():
                    now, mode = trio.current_time(), Mode.FORCED_OPEN if one.open else Mode.FORCED_CLOSED
                    one.reply_to.answer(self._admission.force(one.kind, mode, now + one.for_seconds, now, one.by, one.cause))
                    self._sort_out()
                case ResetCircuit():
                    one.reply_to.answer(self._admission.reset(one.kind, trio.current_time(), one.by, one.cause))
                case _ as never:
                    assert_never(never)

    def statistics(self) -> ConnectorStatistics:
        """A frozen snapshot."""
        now = trio.current_time()
        return ConnectorStatistics(
            name=self._connector.name,
            in_flight=self._exchange.in_flight,
            waiting=len(self._payments.jobs) + len(self._lookups.jobs) + len(self._for_tokens),
            connections=self._limits.connections + self._limits.lookup_connections,
            answered=self._answered,
            not_sent=self._not_sent,
            unknown=self._unknown,
            refused=self._refused,
            circuits={kind: self._admission.view(kind, now) for kind in CallKind},
            retry_tokens=self._admission.budget.tokens(now),
        )

    async def until_quiet(self) -> None:
        """Waits until no call is on the wire and none waits to be."""
        while self._exchange.in_flight or self._payments.jobs or self._lookups.jobs or self._for_tokens:
            self._quiet = self._quiet or trio.Event()
            await self._quiet.wait()

    # --- in front of the connections

    def _take(self, job: _Job) -> None:
        refused = self._admission.refusal(job.kind, trio.current_time(), repeat=job.repeat)
        if refused is not None:
            return self._turn_away(job, refused)
        bulkhead = self._lookups if job.kind is CallKind.LOOKUP else self._payments
        if len(bulkhead.jobs) >= self._limits.waiting:
            why = "All connections to the PSP are busy and too many calls are waiting."
            return self._hand_back(job, not_sent(_BUSY, why), None, 0)
        return bulkhead.put(job)

    def _turn_away(self, job: _Job, refused: Refused) -> None:
        """It may not be sent: the inquiry that came with it is made instead; without one, it surely was not executed.

        A repeat for which there is no token just now waits a while for one of those under way. After a restart there may be many at once,
        and a PSP that answers them is not to be spared.
        """
        now = trio.current_time()
        until = min(job.patient_until, now + self._limits.token_patience_seconds)
        if refused.code == BUDGET_SPENT and self._repeats_under_way and now < until and len(self._for_tokens) < self._limits.waiting:
            self._for_tokens.append(replaced(job, patient_until=until))
            self._one_more_waits.set()
            return
        self._refuse(job, refused)

    def _refuse(self, job: _Job, refused: Refused) -> None:
        self._refused += 1
        self._report_refused(self._connector.name, refused)
        inquiry = job.as_inquiry()
        if inquiry is not None:
            return self._take(inquiry)
        why = in_words(self._connector.name, refused, self._moments.wall)
        return self._hand_back(job, not_sent(refused.code, f"Not sent: {why}."), None, 0)

    def _share_tokens(self) -> None:
        """A call is over, and a token may have come back: the oldest repeats that wait for one go on, or are told that none will come."""
        if self._sharing_out:
            return
        self._sharing_out = True
        now, tokens = trio.current_time(), int(self._admission.budget.tokens(trio.current_time()))
        kept: deque[_Job] = deque()
        while self._for_tokens:
            job = self._for_tokens.popleft()
            refused = self._admission.refusal(job.kind, now, repeat=True)
            if refused is None and tokens > 0:
                tokens -= 1
                self._take(job)
            elif now < job.patient_until and (refused is None or (refused.code == BUDGET_SPENT and self._repeats_under_way)):
                kept.append(job)
            else:
                # Where there were tokens, others who had waited for longer were given them all.
                self._refuse(job, refused or Refused(code=BUDGET_SPENT, kind=job.kind, view=self._admission.view(job.kind, now)))
        self._for_tokens.extendleft(reversed(kept))
        self._sharing_out = False

    async def _lose_patience(self) -> None:
        """Beside the message loop, for ever: tells repeats that have waited for a token as long as they may."""
        while True:
            self._one_more_waits = trio.Event()
            with trio.CancelScope(deadline=min((job.patient_until for job in self._for_tokens), default=math.inf)) as patience:
                await self._one_more_waits.wait()
            if patience.cancelled_caught:
                self._share_tokens()

    def _sort_out(self) -> None:
        """A circuit was opened by hand: whoever waits behind it is told now.

        One that opens by itself has just freed a connection, which goes through those who wait.
        """
        for bulkhead in (self._payments, self._lookups):
            waiting, bulkhead.jobs = bulkhead.jobs, deque()
            for job in waiting:
                refused = self._admission.refusal(job.kind, trio.current_time(), repeat=job.repeat)
                if refused is None:
                    bulkhead.jobs.append(job)
                else:
                    self._turn_away(job, refused)

    # --- on a connection

    async def _work(self, bulkhead: Bulkhead[_Job]) -> None:
        """One connection: take the oldest call, make it, hand back the answer, for ever."""
        channel = self._network.channel(self._base_url)
        try:
            while True:
                await self._perform(channel, await bulkhead.take())
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await channel.aclose()

    async def _perform(self, channel: Channel, job: _Job) -> None:
        begun = trio.current_time()
        left = job.arrived + self._limits.timeouts.total_seconds - begun
        if left < self._limits.least_call_seconds:
            why = "The call waited for a connection until too little of its time was left."
            return self._hand_back(job, not_sent("deadline", why), None, 0)
        safe_until = job.execute.subject.psp_key_safe_until
        keyed = job.repeat and job.source is not Source.FENCE  # a fence that is executed twice is one
        if keyed and safe_until is not None and self._clock.now() >= safe_until:
            why = "The PSP's idempotency key ended while the call waited for a connection."
            return self._hand_back(job, not_sent("psp_key_over", why), None, 0)
        permit = self._admission.enter(job.kind, begun, job.execute.subject.id, repeat=job.repeat)
        if isinstance(permit, Refused):
            return self._turn_away(job, permit)
        self._repeats_under_way += job.repeat
        try:
            timeouts = replaced(self._limits.timeouts, total_seconds=left)
            finding, response = await self._exchange.make(channel, job.call, job.execute.psp_key, timeouts)
        except BaseException:
            # Nobody will know how it ended, so it shows nothing: a stop or a bug of ours must not cost the circuit its place for a probe.
            self._give_back(job, permit, Verdict.NOTHING, None, sent=True)
            raise
        return self._hand_back(job, finding, response, round((trio.current_time() - begun) * 1000), permit)

    # --- afterwards

    def _hand_back(
        self, job: _Job, finding: Finding | None, response: HttpResponse | None, latency_ms: int, permit: Permit | None = None
    ) -> None:
        at, execute = self._clock.now(), job.execute
        if response is not None:
            found = self._connector.read(execute.subject, job.call, response, source=job.source, at=at)
            longest = self._limits.longest_retry_after_seconds
            come_back = come_back_at(response.status, response.header("retry-after"), at, longest_seconds=longest)
            evidence = replace(found, latency_ms=latency_ms, retry_after=come_back)
        else:
            assert finding is not None
            evidence = Evidence(source=job.source, finding=finding, at=at, latency_ms=latency_ms)
        self._count(evidence)
        self._observe(self._connector.name, job.kind, execute.payment_id, evidence)
        if permit is not None:
            self._learn(job, permit, evidence)
        self._deliver(execute.payment_id, execute.subject.id, evidence, execute.cause)
        self._share_tokens()
        self._look_quiet()

    def _look_quiet(self) -> None:
        if self._quiet is not None:
            self._quiet.set()
            self._quiet = None

    def _learn(self, job: _Job, permit: Permit, evidence: Evidence) -> None:
        """What the end of the call says about the PSP."""
        limits = self._admission.limits
        verdict, code = judge(evidence, replays_errors=self._connector.manifest.replays_errors, slow_seconds=limits.slow_seconds)
        if evidence.retry_after is not None and verdict is Verdict.BAD:
            now = trio.current_time()
            self._admission.hold_off(job.kind, self._moments.monotonic(evidence.retry_after), now, job.execute.subject.id)
        self._give_back(job, permit, verdict, code, sent=was_tried(evidence, verdict), stored=evidence.repeats_error)

    def _give_back(self, job: _Job, permit: Permit, verdict: Verdict, code: str | None, *, sent: bool, stored: bool = False) -> None:
        now, cause = trio.current_time(), job.execute.subject.id
        self._repeats_under_way -= job.repeat
        self._admission.ended(job.kind, permit, verdict, now, cause, repeat=job.repeat, sent=sent, stored=stored, code=code)

    def _count(self, evidence: Evidence) -> None:
        match evidence.finding:
            case Unknown():
                self._unknown += 1
            case NotExecuted(sent=False):
                self._not_sent += 1
            case _:
                self._answered += 1
