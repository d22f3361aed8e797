"""What operators do to connectors: force a circuit open or closed for a while, reset it, keep a connector from new payments, take it back.

A subject is `connector/operation`, one circuit, or `connector`, all five; drains are of a connector. Whatever keeps traffic away ends by
itself. What is carried out stands in the connector's stream with the act as its cause, which is how a second carrying-out finds the first.

A circuit that moves by itself may do so while people agree on what to do, so a plan does not stand or fall with that: only with what
people did to it. Where it stands just now, and how much traffic that is, are forecasts.

Not here: what a circuit does (`actors.breaker`), drains (`draining`), rules of routing (`routing`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias, final

import msgspec
import trio

from actors.admission import IN_WORDS, Admission, CallKind
from actors.breaker import CircuitView, Mode, Reason
from actors.circuit_log import NAMES
from actors.connector import ForceCircuit, ResetCircuit
from actors.mailbox import Reply
from actors.moments import Moments
from payorch.api.operations.connector_views import Offer
from payorch.domain.acts import KINDS, Act, ActName, ActState, Check, Draft, Effect, Nonsense, Objection, Performed, Wish
from payorch.domain.rerouting import NOBODY, Detour
from payorch.operations.draining import DRAINED, RESUMED, Drains, in_words
from payorch.operations.planner import Progress
from payorch.operations.vitals import Vitals
from payorch.ports import Clock
from payorch.sections import TrafficSettings
from payorch.store import connector_reads
from payorch.store.journal import JournalUnavailable
from payorch.store.reads import JournalRow

Make: TypeAlias = Callable[[Reply[CircuitView]], ForceCircuit | ResetCircuit]

PEOPLE: Final[Mapping[ActName, tuple[int, str]]] = {
    ActName.BREAKER_FORCE_OPEN: (2, "It turns traffic away from a PSP."),
    ActName.BREAKER_FORCE_CLOSED: (2, "It lets traffic through to a PSP whatever becomes of it."),
    ActName.BREAKER_RESET: (1, "The circuit goes on by itself, as at the start of a day."),
    ActName.CONNECTOR_DRAIN: (2, "It turns traffic away from a PSP."),
    ActName.CONNECTOR_RESUME: (1, "It ends what keeps traffic away; the circuits still do their part."),
}
_BREAKERS: Final = (ActName.BREAKER_FORCE_OPEN, ActName.BREAKER_FORCE_CLOSED, ActName.BREAKER_RESET)
_MODES: Final = {ActName.BREAKER_FORCE_OPEN: Mode.FORCED_OPEN, ActName.BREAKER_FORCE_CLOSED: Mode.FORCED_CLOSED}
_WRITTEN_WITHIN_SECONDS: Final = 30.0
"""How long a circuit's record is waited for. The circuit itself has changed by then; the act is looked at again."""
_LOOK_SECONDS: Final = 0.1
_IN_PROGRESS: Final = 256
"""Acts of which it is remembered that the circuit was told, until its record is found. There are one or two at a time."""
_OF_ITSELF: Final = "by itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """What a subject means. kinds: the circuits; none for acts about a connector as a whole."""

    connector: str
    kinds: tuple[CallKind, ...]

    @property
    def takes_new_payments(self) -> bool:
        return not self.kinds or CallKind.AUTHORIZE in self.kinds


class _CircuitBody(msgspec.Struct, frozen=True):
    operation: str
    until: datetime | None = None


class _DrainBody(msgspec.Struct, frozen=True):
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitSurroundings:
    """What this room is given. ask: puts a message to a connector's actor and returns its answer. detour: `Decisions.detour`."""

    admissions: Mapping[str, Admission]
    drains: Drains
    vitals: Vitals
    clock: Clock
    limits: TrafficSettings
    ask: Callable[[str, Make], Awaitable[CircuitView]]
    detour: Callable[..., Awaitable[Detour]]
    read: Callable[..., Awaitable[Any]]


@final
class CircuitPlanner:
    """A `Planner` of the acts in PEOPLE."""

    def __init__(self, around: CircuitSurroundings) -> None:
        self._around = around
        self._moments = Moments(around.clock)
        self._told: dict[tuple[str, CallKind], None] = {}
        self._until: dict[tuple[str, CallKind], tuple[float, datetime]] = {}

    # --- planning

    async def plan(self, wish: Wish) -> Draft:
        """A dry run."""
        target = self._target(wish.name, wish.subject)
        if wish.name in _BREAKERS:
            return await self._breaker(wish, target)
        return await (self._drain(wish, target) if wish.name is ActName.CONNECTOR_DRAIN else self._resume(target))

    def offers(self, connector: str) -> list[Offer]:
        """What there is to do about that connector: what may surely not be done now says why."""
        subjects = [f"{connector}/{kind}" for kind in CallKind]
        found = [self._offer(name, subject) for subject in subjects for name in _BREAKERS]
        found.append(self._offer(ActName.CONNECTOR_DRAIN, connector))
        draining = self._around.drains.now(connector) is not None
        return [*found, self._offer(ActName.CONNECTOR_RESUME, connector, None if draining else _not_draining(connector).why)]

    def _offer(self, name: ActName, subject: str, why_not: str | None = None) -> Offer:
        return Offer(action=name, verb=KINDS[name].verb, subject=subject, allowed=why_not is None, why_not=why_not, people=PEOPLE[name][0])

    async def _breaker(self, wish: Wish, target: _Target) -> Draft:
        connector, reset = target.connector, wish.name is ActName.BREAKER_RESET
        seconds = None if reset else self._seconds(wish.parameters, self._around.limits.forced_longest_seconds)
        views = {kind: self._view(connector, kind) for kind in target.kinds}
        effects = [
            Effect(
                what="state", before=f"{IN_WORDS[kind]}: {self._standing(connector, kind, view)}", after=_after(kind, wish.name, seconds)
            )
            for kind, view in views.items()
        ]
        now = [
            Effect(what="state", before=f"{IN_WORDS[kind]}: {view.mode} just now", after=_after(kind, wish.name, seconds), forecast=True)
            for kind, view in views.items()
            if view.reason is not Reason.OPERATOR
        ]
        checks: list[Check] = []
        if wish.name is ActName.BREAKER_FORCE_OPEN and target.takes_new_payments:
            now += await self._traffic(connector)
            checks.append(self._somebody_else(connector))
        elif not reset and wish.name is ActName.BREAKER_FORCE_CLOSED:
            now += self._pace(connector, "goes on, also where the PSP does not answer")
        return Draft(
            effects=(*effects, *now),
            people=PEOPLE[wish.name][0],
            why_people=PEOPLE[wish.name][1],
            version=", ".join(f"{kind} {self._standing(connector, kind, view)}" for kind, view in views.items()),
            confirm=connector,
            undo="There is nothing to undo." if reset else "Reset the breaker; or wait: it ends by itself.",
            checks=tuple(checks),
        )

    async def _drain(self, wish: Wish, target: _Target) -> Draft:
        connector, longest = target.connector, self._around.limits.drain_longest_seconds
        seconds = self._seconds(wish.parameters, longest)
        drain = self._around.drains.now(connector)
        before = "takes new payments" if drain is None else in_words(drain)
        after = f"takes no new payments for {_span(seconds)}; captures, voids, refunds and look-ups go on"
        return Draft(
            effects=(Effect(what="traffic", before=before, after=after), *await self._traffic(connector)),
            people=PEOPLE[wish.name][0],
            why_people=PEOPLE[wish.name][1],
            version=self._drain_version(connector),
            confirm=connector,
            undo="Resume the connector; or wait: it ends by itself.",
            checks=(self._somebody_else(connector),),
        )

    async def _resume(self, target: _Target) -> Draft:
        connector, drain = target.connector, self._around.drains.now(target.connector)
        people, why = PEOPLE[ActName.CONNECTOR_RESUME]
        return Draft(
            effects=(
                *([] if drain is None else [Effect(what="traffic", before=in_words(drain), after="takes new payments")]),
                *self._pace(connector, "as routing finds it best"),
            ),
            people=people,
            why_people=why,
            version=self._drain_version(connector),
            confirm=connector,
            undo="Drain the connector again.",
            objections=() if drain is not None else (_not_draining(connector),),
        )

    # --- what plans are made of

    def _target(self, name: ActName, subject: str) -> _Target:
        connector, slash, operation = subject.partition("/")
        if connector not in self._around.admissions:
            known = ", ".join(self._around.admissions)
            raise Nonsense("/subject", f"There is no connector {connector!r} that is switched on; there are: {known}.", missing=True)
        if name not in _BREAKERS:
            if slash:
                raise Nonsense("/subject", "This is done to a connector as a whole: its name alone.")
            return _Target(connector=connector, kinds=())
        if not slash:
            return _Target(connector=connector, kinds=tuple(CallKind))
        if operation not in tuple(CallKind):
            raise Nonsense("/subject", f"There is no such circuit; there are: {', '.join(CallKind)}.", missing=True)
        return _Target(connector=connector, kinds=(CallKind(operation),))

    def _seconds(self, parameters: Mapping[str, Any], longest: int) -> int:
        seconds, least = parameters.get("for_seconds"), self._around.limits.forced_least_seconds
        if not isinstance(seconds, int) or isinstance(seconds, bool) or not least <= seconds <= longest:
            raise Nonsense(
                "/parameters/for_seconds", f"For how long, in seconds: a whole number from {least} to {longest}. It ends by itself."
            )
        return seconds

    def _view(self, connector: str, kind: CallKind) -> CircuitView:
        return self._around.admissions[connector].view(kind, trio.current_time())

    def _standing(self, connector: str, kind: CallKind, view: CircuitView) -> str:
        """Where a circuit stands, as far as people put it there: the same words for as long as nobody does anything."""
        if view.reason is not Reason.OPERATOR or view.until is None:
            return _OF_ITSELF
        # One moment told by two clocks comes out a millisecond more or less each time, so the first answer is kept.
        seconds, until = self._until.get((connector, kind), (None, None))
        if until is None or seconds != view.until:
            until = self._moments.wall(view.until) + timedelta(milliseconds=500)
            self._until[connector, kind] = (view.until, until)
        by = (view.by or "an operator").removeprefix("operator:")
        return f"{view.mode.replace('_', ' ')} by {by} until {until:%Y-%m-%d %H:%M:%S}Z"

    def _drain_version(self, connector: str) -> str:
        drain = self._around.drains.now(connector)
        return "takes new payments" if drain is None else f"drained by {drain.cause}"

    def _somebody_else(self, connector: str) -> Check:
        """Whether anybody is left, as far as people's words go: who is ill just now is a forecast."""
        left = [name for name in self._around.admissions if name != connector and not self._kept_away(name)]
        detail = ", ".join(left) if left else "Every payment fails for want of a connector until this ends."
        return Check(what="another connector takes new payments", holds=bool(left), detail=detail)

    def _kept_away(self, connector: str) -> bool:
        forced = self._view(connector, CallKind.AUTHORIZE).mode is Mode.FORCED_OPEN
        return forced or self._around.drains.now(connector) is not None

    async def _traffic(self, connector: str) -> list[Effect]:
        """How much traffic it has, and where that would go, by what routing decided last."""
        detour = await self._around.detour(connector, limit=self._around.limits.forecast_decisions)
        if not detour.first:
            goes = f"none of the last {detour.decisions} payments would have gone elsewhere"
        else:
            shares = ", ".join(f"{count} to {_somebody(name)}" for name, count in detour.to.items())
            goes = f"of the last {detour.decisions} payments, the {detour.first} that began there would have gone: {shares}"
        return self._pace(connector, goes)

    def _pace(self, connector: str, goes: str) -> list[Effect]:
        a_second, share = self._around.vitals.pace(connector, CallKind.AUTHORIZE)
        part = "" if share is None else f", {share:g} % of all"
        return [Effect(what="traffic", before=f"{a_second:g} authorisations a second{part}", after=goes, forecast=True)]

    # --- carrying out

    async def perform(self, act: Act, progress: Progress) -> Performed:
        """Carries it out, once: what it did stands in the connector's stream with the act as its cause."""
        try:
            target = self._target(act.name, act.subject)
            seconds = self._given_seconds(act)
        except Nonsense as nonsense:
            return Performed(state=ActState.REFUSED, text=f"Nothing was done: {nonsense.why}")
        if act.name in _BREAKERS:
            return await self._turn(act, target, seconds)
        return await self._drain_now(act, target, seconds) if act.name is ActName.CONNECTOR_DRAIN else await self._resume_now(act, target)

    def _given_seconds(self, act: Act) -> int:
        if act.name in (ActName.BREAKER_RESET, ActName.CONNECTOR_RESUME):
            return 0
        limits = self._around.limits
        longest = limits.drain_longest_seconds if act.name is ActName.CONNECTOR_DRAIN else limits.forced_longest_seconds
        return self._seconds(act.parameters, longest)

    async def _turn(self, act: Act, target: _Target, seconds: int) -> Performed:
        """Tells the connector's actor, circuit by circuit, and waits until all of it is written down."""
        done = await self._turned(act, target)
        for kind in target.kinds:
            if kind not in done and (act.id, kind) not in self._told:
                await self._around.ask(target.connector, _message(act, kind, seconds))
                self._told[act.id, kind] = None
                if len(self._told) > _IN_PROGRESS:
                    del self._told[next(iter(self._told))]
        with trio.move_on_after(_WRITTEN_WITHIN_SECONDS):
            while not done.keys() >= set(target.kinds):
                await trio.sleep(_LOOK_SECONDS)
                done = await self._turned(act, target)
        if not done.keys() >= set(target.kinds):
            raise JournalUnavailable("the circuits were told, and their records are not written yet")
        what = ", ".join(IN_WORDS[kind] for kind in target.kinds)
        until = next((body.until for body in done.values() if body.until is not None), None)
        how = "reset" if until is None else f"{_MODES[act.name].replace('_', ' ')} until {until:%Y-%m-%d %H:%M}Z"
        return Performed(
            state=ActState.DONE,
            text=f"{target.connector}, {what}: {how}.",
            data={"connector": target.connector, "operations": list(target.kinds), "until": _rfc3339(until)},
        )

    async def _turned(self, act: Act, target: _Target) -> dict[CallKind, _CircuitBody]:
        """The circuits that this act has turned, as the journal knows."""
        name = NAMES[_MODES.get(act.name, Mode.CLOSED)]
        found: dict[CallKind, _CircuitBody] = {}
        for record in await self._records(act, target.connector, (name,)):
            body = msgspec.json.decode(record.body, type=_CircuitBody)
            found[CallKind(body.operation)] = body
        return found

    async def _drain_now(self, act: Act, target: _Target, seconds: int) -> Performed:
        connector, drains = target.connector, self._around.drains
        records = await self._records(act, connector, (DRAINED,))
        if records:
            await drains.learn(connector)
            until = msgspec.json.decode(records[0].body, type=_DrainBody).until
        else:
            until = self._around.clock.now() + timedelta(seconds=seconds)
            await drains.drain(connector, until=until, reason=act.reason, by=act.requested_by.actor, cause=act.id)
        text = f"{connector} takes no new payments until {until:%Y-%m-%d %H:%M}Z."
        return Performed(state=ActState.DONE, text=text, data={"connector": connector, "until": _rfc3339(until)})

    async def _resume_now(self, act: Act, target: _Target) -> Performed:
        connector, drains = target.connector, self._around.drains
        if await self._records(act, connector, (RESUMED,)):
            await drains.learn(connector)
        elif drains.now(connector) is None:
            return Performed(state=ActState.REFUSED, text=f"Nothing was done: {_not_draining(connector).why}")
        else:
            await drains.resume(connector, reason=act.reason, by=act.requested_by.actor, cause=act.id)
        return Performed(state=ActState.DONE, text=f"{connector} takes new payments again.", data={"connector": connector})

    async def _records(self, act: Act, connector: str, names: Iterable[str]) -> Sequence[JournalRow]:
        wanted = tuple(names)
        return [one for one in await self._around.read(connector_reads.caused_by, connector, act.id) if one.name in wanted]


def _message(act: Act, kind: CallKind, seconds: int) -> Make:
    by = act.requested_by.actor
    if act.name is ActName.BREAKER_RESET:
        return lambda reply: ResetCircuit(kind=kind, by=by, cause=act.id, reply_to=reply)
    is_open = act.name is ActName.BREAKER_FORCE_OPEN
    return lambda reply: ForceCircuit(kind=kind, open=is_open, for_seconds=seconds, by=by, cause=act.id, reply_to=reply)


def _after(kind: CallKind, name: ActName, seconds: int | None) -> str:
    if seconds is None:
        return f"{IN_WORDS[kind]}: closed, and what was counted is forgotten"
    then = "no call passes; then it is tried" if name is ActName.BREAKER_FORCE_OPEN else "every call passes; then it goes on by itself"
    return f"{IN_WORDS[kind]}: {_MODES[name].replace('_', ' ')} for {_span(seconds)}: {then}"


def _not_draining(connector: str) -> Objection:
    return Objection(code="not_draining", why=f"{connector} is not drained: it takes new payments unless its breaker is open.")


def _somebody(name: str) -> str:
    return "nobody" if name == NOBODY else name


def _span(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [f"{count} {word}" for count, word in ((hours, "h"), (minutes, "min"), (rest, "s")) if count]
    return " ".join(parts)


def _rfc3339(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
