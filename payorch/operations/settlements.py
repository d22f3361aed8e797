"""Explaining findings and closing days as acts. They go over the desk that the command line uses, which keeps the rules and the records.

The desk works on a lent connection, under the lock of reconciliation and the journal's head, as an import does: what an act changes beside
its entry (a movement, a line, the accounts) is written in one transaction with it. Where two agreed, both stand in the finding.

Not here: what a plan shows (`settlement_drafts`), what may be done (`payorch.domain.explanations`, `payorch.domain.reconciliation`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, TypeAlias, final
from zoneinfo import ZoneInfo

import psycopg

from payorch.domain.acts import Act, ActName, ActState, Draft, Nonsense, Performed, Person, Wish
from payorch.domain.explanations import Action
from payorch.domain.identifiers import MalformedIdentifier, parse
from payorch.domain.matching import Policy
from payorch.domain.reconciliation import Refusal
from payorch.operations.planner import Planner, Progress
from payorch.operations.settlement_drafts import Linking, close_draft, finding_draft, reopen_draft
from payorch.ports import Clock, Entropy
from payorch.reconciliation_desk import Desk, Worker
from payorch.reconciliation_linking import chosen_for
from payorch.settlements import Lease
from payorch.store import act_reads, reconciliation_days, reconciliation_findings, reconciliation_sums
from payorch.store.pool import DatabaseUnavailable, Trouble, is_unavailable, trouble_of
from payorch.store.reconciliation_items import FindingRow
from payorch.store.reconciliation_sums import NO_CURRENCY, Day

Read: TypeAlias = Callable[..., Awaitable[Any]]
_EXPLAINED: Final = ("FindingReviewed", "FindingLinked", "FindingAccepted", "FindingIsPspError")
_OF_DAYS: Final = ("DayClosed", "DayReopened")
_MOVED: Final = frozenset({"pay", "att", "cap", "ref", "dsp"})
_ANOTHER_TIME: Final = frozenset({Trouble.CONTENTION, Trouble.TIMED_OUT})
"""An import holds the lock of reconciliation for a chunk: the act is carried out at the next try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """read: the platform's. lease: lends a connection of the pool. zones: connector -> the time zone in which its PSP counts days."""

    read: Read
    lease: Lease
    clock: Clock
    entropy: Entropy
    policy: Policy
    zones: Mapping[str, str]

    @asynccontextmanager
    async def desk(self, act: Act) -> AsyncIterator[Desk]:
        """The desk, for whoever asked for the act. Raises DatabaseUnavailable where it is away, or somebody else works there too long."""
        try:
            async with self.lease() as connection:
                yield Desk(
                    *(connection,), clock=self.clock, entropy=self.entropy, who=worker(act.requested_by), cause=act.id,
                    policy=self.policy, zones=self.zones,
                )  # fmt: skip
        except psycopg.Error as error:
            if is_unavailable(error) or trouble_of(error) in _ANOTHER_TIME:
                raise DatabaseUnavailable(type(error).__name__) from error
            raise

    async def done_before(self, act: Act, prefix: str, id: str, names: Sequence[str]) -> bool:
        """Whether this act had its effect before the process died."""
        return id in await self.read(act_reads.changed_by, act.id, prefix, [id], names)


def worker(person: Person) -> Worker:
    """As the desk knows him."""
    return Worker(actor=person.actor, person=person.person)


def planners(around: Around) -> dict[ActName, Planner]:
    """Who plans and carries out which act."""
    findings, days = Findings(around), Days(around)
    return {
        ActName.SETTLEMENT_REVIEW: findings,
        ActName.SETTLEMENT_LINK: findings,
        ActName.SETTLEMENT_ACCEPT: findings,
        ActName.SETTLEMENT_PSP_ERROR: findings,
        ActName.SETTLEMENT_CLOSE_DAY: days,
        ActName.SETTLEMENT_REOPEN_DAY: days,
    }


@final
class Findings:
    """Reviewing, linking and accepting them, and leaving them to the PSP."""

    def __init__(self, around: Around) -> None:
        self._around = around

    async def plan(self, wish: Wish) -> Draft:
        around, action = self._around, Action(wish.name.value)
        finding = await self._load(wish.subject)
        link: Linking | Refusal | None = None
        if action is Action.LINK:
            link = await self._link(finding, _to(wish.parameters))
        day = await self._day_of(finding)
        tolerance = around.policy.tolerance(finding.connector, finding.amount_currency)
        return finding_draft(action, finding, person=wish.who.person, tolerance=tolerance, day=day, link=link)

    async def perform(self, act: Act, progress: Progress) -> Performed:
        around, action = self._around, Action(act.name.value)
        if await around.done_before(act, "fnd", act.subject, _EXPLAINED):
            finding = await self._load(act.subject)
            return Performed(state=ActState.DONE, text=_words(finding.state.value), data=_data(finding))
        async with around.desk(act) as desk:
            done = await desk.together(
                action,
                act.subject,
                agreed_by=None if act.approved_by is None else worker(act.approved_by),
                alone=act.break_glass,
                reason=act.reason,
                to=_to(act.parameters) if action is Action.LINK else None,
            )
        state = ActState.DONE if done.changed else ActState.REFUSED
        data = {"code": done.code, **({} if done.finding is None else _data(done.finding))}
        return Performed(state=state, text=_words(done.text), data=data)

    async def _load(self, finding_id: str) -> FindingRow:
        found: FindingRow | None = None
        if _prefix(finding_id) == "fnd":
            found = await self._around.read(reconciliation_findings.load, finding_id)
        if found is None:
            raise Nonsense("/subject", "There is no such finding.", missing=True)
        return found

    async def _day_of(self, finding: FindingRow) -> Day | None:
        """What its day comes to. None where it has none: a line that nobody can read may be of any currency."""
        zone = self._around.zones.get(finding.connector)
        if zone is None or finding.currency == NO_CURRENCY:
            return None
        day: Day = await self._around.read(reconciliation_sums.day, finding.day, finding.connector, finding.currency, zone)
        return day

    async def _link(self, finding: FindingRow, to: str) -> Linking | Refusal:
        chosen = await self._around.read(chosen_for, finding, to)
        if isinstance(chosen, Refusal):
            return chosen
        line, movement = chosen
        return Linking(line=line, movement=movement)


@final
class Days:
    """Closing days and opening them again."""

    def __init__(self, around: Around) -> None:
        self._around = around

    async def plan(self, wish: Wish) -> Draft:
        on, connector, currency = self._key(wish.subject)
        zone = self._around.zones[connector]
        found: reconciliation_sums.Days = await self._around.read(reconciliation_sums.days, on, on, {connector: zone})
        day = next((one for one in found.days if one.figures.currency == currency), None)
        if day is None:
            raise Nonsense("/subject", "Nothing is known of that day in that currency.", missing=True)
        if wish.name is ActName.SETTLEMENT_REOPEN_DAY:
            return reopen_draft(day)
        return close_draft(day, today=self._around.clock.now().astimezone(ZoneInfo(zone)).date())

    async def perform(self, act: Act, progress: Progress) -> Performed:
        on, connector, currency = self._key(act.subject)
        data = {"day": on.isoformat(), "connector": connector, "currency": currency}
        if await self._around.done_before(act, "rcd", reconciliation_days.day_id(connector, currency, on), _OF_DAYS):
            return Performed(state=ActState.DONE, text=f"{connector} {currency} {on}: done", data=data)
        async with self._around.desk(act) as desk:
            if act.name is ActName.SETTLEMENT_REOPEN_DAY:
                done = await desk.reopen(on, connector, currency, reason=act.reason)
                changed, text = done.changed, done.text
            else:
                closing = await desk.close(on, connector, currency, reason=act.reason)
                changed = closing.changed
                text = f"{connector} {currency} {on} is closed" if changed else closing.why
        return Performed(state=ActState.DONE if changed else ActState.REFUSED, text=text, data=data)

    def _key(self, subject: str) -> tuple[date, str, str]:
        """As in 2026-01-31/connector/EUR."""
        parts = subject.split("/")
        try:
            on = date.fromisoformat(parts[0])
        except ValueError:
            on = None
        if len(parts) != 3 or on is None or parts[0] != on.isoformat() or parts[1] not in self._around.zones:
            raise Nonsense("/subject", "There is no such day: it is written as 2026-01-31/connector/EUR.", missing=True)
        return on, parts[1], parts[2]


def _to(parameters: Mapping[str, Any]) -> str:
    to = parameters.get("to")
    if not isinstance(to, str) or _prefix(to) not in _MOVED:
        raise Nonsense("/parameters/to", "This is the payment, or its attempt, capture, refund or dispute: pay_, att_, cap_, ref_ or dsp_.")
    return to


def _prefix(text: str) -> str | None:
    try:
        return parse(text)[0]
    except MalformedIdentifier:
        return None


def _data(finding: FindingRow) -> Mapping[str, Any]:
    return {"finding": finding.id, "state": finding.state.value, "version": finding.version}


def _words(text: str) -> str:
    return text.replace("_", " ")
