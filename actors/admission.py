"""What one connector lets through: a circuit for each kind of call, one retry budget for all of them, and what their ends have shown.

One object per connector. It outlives the connector's actor, which alone changes it; routing and recovery read it. After a restart it is
filled from what the journal remembers (`circuit_log`). Time is trio's clock, brought by the caller; `moment` turns it into wall time.

Not here: sending, waiting, or what a refusal means for a payment (`connector`, the domain).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, final

from actors.breaker import Circuit, CircuitLimits, CircuitView, Mode, Permit, Reason, Verdict
from actors.budget import BudgetLimits, RetryBudget
from actors.tokens import SIGN_IN
from payorch.domain.outcome import POLICY, ErrorClass, Evidence, Failure, NotExecuted, Source, Unknown
from payorch.domain.records import Attempt, Operation, OperationKind


class CallKind(StrEnum):
    """What a call does. Looking up has a circuit of its own: an ill payments API must not keep us from asking, nor the other way round."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    LOOKUP = "lookup"


_OPERATION_KINDS: Final = {
    OperationKind.CAPTURE: CallKind.CAPTURE,
    OperationKind.VOID: CallKind.VOID,
    OperationKind.REFUND: CallKind.REFUND,
}
IN_WORDS: Final = {
    CallKind.AUTHORIZE: "authorisations",
    CallKind.CAPTURE: "captures",
    CallKind.VOID: "voids",
    CallKind.REFUND: "refunds",
    CallKind.LOOKUP: "look-ups",
}
CIRCUIT_OPEN: Final = "circuit_open"
BUDGET_SPENT: Final = "retry_budget_spent"
_UNREACHED: Final = frozenset({"dns", "connect", "tls", SIGN_IN})
"""Why a call was not sent that is about the PSP or the way to it, and not about ourselves."""
_ANSWERED: Final = (Verdict.GOOD, Verdict.SLOW)
_SHUT: Final = (Mode.OPEN, Mode.FORCED_OPEN)


def kind_of(subject: Attempt | Operation, source: Source) -> CallKind:
    """What a call about that subject does."""
    if source is Source.INQUIRY:
        return CallKind.LOOKUP
    if source is Source.FENCE:
        return CallKind.VOID
    return CallKind.AUTHORIZE if isinstance(subject, Attempt) else _OPERATION_KINDS[subject.kind]


def judge(evidence: Evidence, *, replays_errors: bool, slow_seconds: float) -> tuple[Verdict, str | None]:
    """What the end of a call shows about its PSP, and what went wrong, in one word. A decline is a good answer.

    replays_errors: the PSP answers a repeated call with the error that it stored for the first one, so that such an answer is no news,
    also where the PSP does not say that it is one (`Evidence.stored`).
    """
    finding = evidence.finding
    if isinstance(finding, NotExecuted):
        return _refused(finding)
    if isinstance(finding, Unknown) and POLICY[finding.failure.error_class].counts_for_breaker:
        status, asked = _status(finding.failure), evidence.source in (Source.INQUIRY, Source.FENCE)
        stored = evidence.repeats_error or (replays_errors and evidence.source is Source.REPLAY and status >= 500)
        # What a PSP refuses to tell us is a fault of our configuration or of our question, and it is there to say so. And a look-up that it
        # answers says that it is well, even if the answer does not settle this one payment: nobody else is to suffer for that.
        refused = status in (401, 403) or (asked and 400 <= status < 500 and status not in (408, 409, 429))
        if stored or refused or (asked and 200 <= status < 300 and evidence.psp_reference is None):
            return Verdict.NOTHING, None
        if not (200 <= status < 300 and evidence.psp_reference is not None):
            return Verdict.BAD, finding.failure.code
    slow = evidence.latency_ms is not None and evidence.latency_ms >= slow_seconds * 1000
    return (Verdict.SLOW if slow else Verdict.GOOD), None


def was_tried(evidence: Evidence, verdict: Verdict) -> bool:
    """Whether the call cost anything. One that could not be built, was kept back or had no time left did not; one that the PSP could not be
    reached for did.
    """
    return not (isinstance(evidence.finding, NotExecuted) and not evidence.finding.sent and verdict is Verdict.NOTHING)


def _refused(finding: NotExecuted) -> tuple[Verdict, str | None]:
    code, error_class = finding.failure.code, finding.failure.error_class
    if not finding.sent:
        return (Verdict.BAD, code) if code in _UNREACHED else (Verdict.NOTHING, None)
    if error_class is ErrorClass.CONFIGURATION:
        return Verdict.NOTHING, None
    return (Verdict.BAD, code) if POLICY[error_class].counts_for_breaker else (Verdict.GOOD, None)


def _status(failure: Failure) -> int:
    return (failure.connector.http_status or 0) if failure.connector is not None else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionLimits:
    """circuit: of calls that move money; lookup_circuit: of look-ups. slow_seconds: a good answer that took this long is a slow one."""

    circuit: CircuitLimits
    lookup_circuit: CircuitLimits
    budget: BudgetLimits
    slow_seconds: float

    def of(self, kind: CallKind) -> CircuitLimits:
        """The limits of that kind's circuit."""
        return self.lookup_circuit if kind is CallKind.LOOKUP else self.circuit


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A call that may not be sent now. `code`: circuit_open or retry_budget_spent; `view`: of the circuit."""

    code: str
    kind: CallKind
    view: CircuitView


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A circuit's mode has changed: the circuit as it is now, and the id of what the deciding call was about, or who did it."""

    kind: CallKind
    view: CircuitView
    cause: str


@final
class Admission:
    """All circuits of one connector, and its budget.

    changed: told of each change of a circuit's mode, in order. well_again: told that calls of a kind are answered again, and since when (by
    trio's clock) they had not been. Neither may wait or raise.
    """

    def __init__(
        self,
        connector: str,
        limits: AdmissionLimits,
        now: float,
        *,
        changed: Callable[[Changed], None],
        well_again: Callable[[CallKind, float], None],
    ) -> None:
        self.connector = connector
        self.limits = limits
        self.budget = RetryBudget(limits.budget, now)
        self.remembered = False
        """whether the journal has been asked about the time before this process"""
        self._circuits = {kind: Circuit(limits.of(kind), now) for kind in CallKind}
        self._ill_since: dict[CallKind, float] = {}
        self._last_end: dict[CallKind, float] = {}
        self._changed = changed
        self._well_again = well_again

    # --- asking

    def refusal(self, kind: CallKind, now: float, *, repeat: bool) -> Refused | None:
        """Why a call of that kind may not be sent now; None where it may. repeat: of a call that was or may have been sent before."""
        circuit = self._circuits[kind]
        code = CIRCUIT_OPEN if circuit.refuses(now) else BUDGET_SPENT if repeat and not self.budget.may_take(now) else None
        self._tell(kind, "timer")
        return None if code is None else Refused(code=code, kind=kind, view=circuit.view(now))

    def view(self, kind: CallKind, now: float) -> CircuitView:
        """That circuit now."""
        view = self._circuits[kind].view(now)
        self._tell(kind, "timer")
        return view

    def is_well(self, kind: CallKind, now: float) -> bool:
        """Whether calls of that kind pass freely, and the last of them was answered."""
        return kind not in self._ill_since and self.view(kind, now).mode in (Mode.CLOSED, Mode.FORCED_CLOSED)

    def wants_probe(self, kind: CallKind, now: float) -> bool:
        """Whether nobody knows if the PSP answers such calls again, a call would pass to find out, and none has come by itself."""
        if kind not in self._ill_since or self.refusal(kind, now, repeat=False) is not None:
            return False
        view = self._circuits[kind].view(now)
        if view.mode in (Mode.CLOSED, Mode.FORCED_CLOSED):
            return now - self._last_end.get(kind, self._ill_since[kind]) >= self.limits.of(kind).open_seconds
        return view.probing == 0

    # --- being told

    def enter(self, kind: CallKind, now: float, cause: str, *, repeat: bool) -> Permit | Refused:
        """A permit for one call, counted against the budget where it is a repeat; or why not. To be given back with `ended`."""
        refused = self.refusal(kind, now, repeat=repeat)
        if refused is not None:
            return refused
        permit = self._circuits[kind].enter(now)
        assert permit is not None, "it has just said that a call may pass"
        if repeat:
            self.budget.take(now)
        elif kind is not CallKind.LOOKUP:
            self.budget.earn()
        self._tell(kind, cause)
        return permit

    def ended(
        self,
        kind: CallKind,
        permit: Permit,
        verdict: Verdict,
        now: float,
        cause: str,
        *,
        repeat: bool,
        sent: bool,
        stored: bool = False,
        code: str | None = None,
    ) -> None:
        """The call of that permit is over. sent: it was tried, so that a repeat has cost its token unless the PSP answered it. stored: it
        did, with what it says it keeps under the key: no news for the circuit, and no more work for the PSP than any answer.
        """
        circuit = self._circuits[kind]
        circuit.ended(permit, verdict, now, code)
        if repeat and (not sent or stored or verdict in _ANSWERED):
            self.budget.give_back()
        if verdict is not Verdict.NOTHING:
            self._last_end[kind] = now
        if verdict is Verdict.BAD:
            self._ill_since.setdefault(kind, now)
        self._tell(kind, cause)
        if verdict is Verdict.GOOD and circuit.view(now).mode in (Mode.CLOSED, Mode.FORCED_CLOSED):
            self._recovered(kind, now)

    def hold_off(self, kind: CallKind, until: float, now: float, cause: str) -> None:
        """The PSP named a time before which it does not want such calls. To be told before the end of the call that it said so to."""
        self._circuits[kind].hold_off(until, now)
        self._tell(kind, cause)

    def force(self, kind: CallKind, mode: Mode, until: float, now: float, by: str, cause: str) -> CircuitView:
        """An operator opens or closes that circuit until then."""
        self._circuits[kind].force(mode, until, now, by)
        self._tell(kind, cause)
        return self.view(kind, now)

    def reset(self, kind: CallKind, now: float, by: str, cause: str) -> CircuitView:
        """An operator closes that circuit and lets it forget."""
        self._circuits[kind].reset(now, by)
        self._tell(kind, cause)
        self._recovered(kind, now)
        return self.view(kind, now)

    def forget_calls(self) -> None:
        """The actor that made the calls under way is gone."""
        for circuit in self._circuits.values():
            circuit.forget_calls()

    # --- remembering, before the first call of this process

    def remember_call(self, kind: CallKind, at: float, verdict: Verdict, code: str | None, *, repeat: bool, stored: bool = False) -> None:
        """A call of the time before, in order of time. stored: as of `ended`."""
        self._circuits[kind].remember_call(at, verdict, code)
        if repeat:
            self.budget.take(at)
            if stored or verdict in _ANSWERED:
                self.budget.give_back()
        elif kind is not CallKind.LOOKUP:
            self.budget.earn()
        if verdict is Verdict.BAD:
            self._ill_since.setdefault(kind, at)
            self._last_end[kind] = at
        elif verdict is Verdict.GOOD and self._circuits[kind].view(at).mode is Mode.CLOSED:
            self._ill_since.pop(kind, None)

    def remember_circuit(self, kind: CallKind, view: CircuitView) -> None:
        """The mode in which a circuit was left."""
        self._circuits[kind].remember_mode(view.mode, view.reason, view.since, view.until, view.openings, view.code, view.by)
        if view.mode in (*_SHUT, Mode.HALF_OPEN):
            self._ill_since.setdefault(kind, view.since)

    # --- inside

    def _recovered(self, kind: CallKind, now: float) -> None:
        since = self._ill_since.pop(kind, None)
        if since is None:
            return
        if kind is CallKind.LOOKUP:
            for other, circuit in self._circuits.items():
                if other is not kind:
                    circuit.hasten(now)
        self._well_again(kind, since)

    def _tell(self, kind: CallKind, cause: str) -> None:
        for view in self._circuits[kind].take_transitions():
            if view.mode in _SHUT:
                self._ill_since.setdefault(kind, view.since)
            if view.reason is Reason.PROBES_SUCCEEDED:
                # Only the end of a real outage. A good answer after a bad one is no such thing: where one call in ten fails, it would give
                # repeats all the tokens they want.
                self.budget.refresh()
            self._changed(Changed(kind=kind, view=view, cause=cause))


def in_words(connector: str, refused: Refused, moment: Callable[[float], datetime]) -> str:
    """Why a call is not sent, since when, and when it will be tried again: for a payment's timeline."""
    what, view = IN_WORDS[refused.kind], refused.view
    if refused.code == BUDGET_SPENT:
        return f"repeating calls to {connector} is suspended: too many repeats in a row were not answered"
    until = f", until {_clock(moment(view.until))}" if view.until is not None else ""
    since = f"since {_clock(moment(view.since))}"
    match view.mode:
        case Mode.FORCED_OPEN:
            return f"the circuit of {connector} for {what} was opened by {view.by or 'an operator'} {since}{until}"
        case Mode.HALF_OPEN:
            return f"the circuit of {connector} for {what} is being tried {since}, and as many calls as may be are under way"
        case _:
            return f"the circuit of {connector} for {what} is open {since}{until}: {_why(view)}"


def _why(view: CircuitView) -> str:
    last = f", the last one {view.code}" if view.code else ""
    match view.reason:
        case Reason.FAILURES_IN_A_ROW:
            return f"{view.failures_in_a_row} calls in a row failed{last}"
        case Reason.FAILURE_RATE:
            return f"{view.failures} of the last {view.calls} calls failed{last}"
        case Reason.SLOW_RATE:
            return f"{view.slow} of the last {view.calls} answers were slow" if view.calls else "its answer was slow again"
        case Reason.PROBE_FAILED:
            return f"it was tried and failed again{last}"
        case Reason.RETRY_AFTER:
            return "it asked to be left alone until then"
        case _:
            return str(view.reason)


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def unavailable(admissions: Mapping[str, Admission], now: float, moment: Callable[[float], datetime]) -> dict[str, str]:
    """The connectors that take no new authorisation now, each with the reason, as routing wants them."""
    found: dict[str, str] = {}
    for name, admission in admissions.items():
        refused = admission.refusal(CallKind.AUTHORIZE, now, repeat=False)
        if refused is not None:
            found[name] = in_words(name, refused, moment)
    return found
