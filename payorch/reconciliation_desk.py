"""People's work in reconciliation: explain a finding, alone or in twos, close a day, open one again. Acts and refusals are on record.

It works on a connection of its own, beside the running platform or without one, and under the lock of reconciliation. Four eyes are two
persons, not two accounts; the database holds that as well. Not here: what may be done to what (`payorch.domain.explanations`), who somebody
is (`payorch.access`), the statements (`payorch.store`), words and tables (`reconciliation_words`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, TypeAlias, final

import msgspec
from msgspec.structs import replace

from payorch.domain import identifiers
from payorch.domain.explanations import Action, Case, Decision, approve, propose, reject, together
from payorch.domain.matching import Policy
from payorch.domain.reconciliation import UNEXPLAINED, Refusal, movement_status
from payorch.domain.settlement import FindingKind, FindingState, SettlementState
from payorch.ports import Clock, Entropy
from payorch.reconciliation_linking import chosen_for, fitting
from payorch.store import (
    entries,
    reconciliation_closing,
    reconciliation_days,
    reconciliation_findings,
    reconciliation_links,
    reconciliation_lock,
)
from payorch.store.driver import Connection
from payorch.store.entries import Change
from payorch.store.items import Entry, Result
from payorch.store.reconciliation_closing import BY_ITSELF, By, Closing
from payorch.store.reconciliation_items import DayState, FindingRow
from payorch.store.reconciliation_links import StoredMovement

_NAMES: Final = {
    FindingState.REVIEWED: "FindingReviewed",
    FindingState.LINKED: "FindingLinked",
    FindingState.ACCEPTED: "FindingAccepted",
    FindingState.PSP_ERROR: "FindingIsPspError",
    FindingState.PROPOSED: "ExplanationProposed",
    FindingState.OPEN: "ExplanationRejected",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Who works. actor: how records name the account; person: whose account it is."""

    actor: str
    person: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of an act. finding: as it stands now, where there is such a one. changed: whether anything did. text: in words."""

    changed: bool
    text: str
    code: str = "done"
    finding: FindingRow | None = None


class Target(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked for, with what a second person needs to carry it out: for a link, the movement."""

    reason: str
    payment: str | None = None
    subject: str | None = None
    sequence: int | None = None


_Judge: TypeAlias = Callable[[FindingRow, Case], Awaitable[tuple[Decision | Refusal, Target]]]


@final
class Desk:
    """Works on one connection on behalf of one person. zones: connector -> time zone. cause: the command or request behind it."""

    def __init__(
        self,
        connection: Connection,
        *,
        clock: Clock,
        entropy: Entropy,
        who: Worker,
        cause: str,
        policy: Policy,
        zones: Mapping[str, str],
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._entropy = entropy
        self._who = who
        self._cause = cause
        self._policy = policy
        self._zones = zones

    # --- findings

    async def explain(self, action: Action, finding_id: str, *, reason: str, version: int | None = None) -> Done:
        """Review it, accept its difference, or say that the PSP is to put it right. version: the one that was looked at."""

        async def judge(finding: FindingRow, case: Case) -> tuple[Decision | Refusal, Target]:
            tolerance = self._policy.tolerance(finding.connector, finding.amount_currency)
            decision = propose(action, case, person=self._who.person, reason=reason, version=version, tolerance=tolerance)
            return decision, Target(reason=reason.strip())

        return await self._decide(finding_id, action.value, judge)

    async def link(self, finding_id: str, to: str, *, reason: str, version: int | None = None) -> Done:
        """Say that the finding's line is a movement of ours: `to` is its payment, where that has one that fits, or its attempt,
        operation or dispute.
        """

        async def judge(finding: FindingRow, case: Case) -> tuple[Decision | Refusal, Target]:
            target = Target(reason=reason.strip())
            decision = propose(Action.LINK, case, person=self._who.person, reason=reason, version=version)
            if isinstance(decision, Refusal):
                return decision, target
            return await self._aimed(finding, decision, target, to)

        return await self._decide(finding_id, Action.LINK.value, judge)

    async def _aimed(self, finding: FindingRow, decision: Decision, target: Target, to: str) -> tuple[Decision | Refusal, Target]:
        """With the movement that is meant."""
        chosen = await chosen_for(self._connection, finding, to)
        if isinstance(chosen, Refusal):
            return chosen, target
        _, movement = chosen
        return decision, replace(target, payment=movement.payment_id, subject=movement.subject_id, sequence=movement.sequence)

    async def together(
        self,
        action: Action,
        finding_id: str,
        *,
        agreed_by: Worker | None,
        alone: bool,
        reason: str,
        to: str | None = None,
        version: int | None = None,
    ) -> Done:
        """What this worker has asked for and `agreed_by` agreed with, in one go: both stand in the finding. alone: with the glass broken.

        to: for a link, as of `link`.
        """
        second = None if agreed_by is None else agreed_by.person

        async def judge(finding: FindingRow, case: Case) -> tuple[Decision | Refusal, Target]:
            tolerance = self._policy.tolerance(finding.connector, finding.amount_currency)
            decision = together(
                *(action, case), asked_by=self._who.person, agreed_by=second, alone=alone, reason=reason, version=version,
                tolerance=tolerance,
            )  # fmt: skip
            target = Target(reason=reason.strip())
            if to is None or isinstance(decision, Refusal):
                return decision, target
            return await self._aimed(finding, decision, target, to)

        return await self._decide(finding_id, action.value, judge, agreed_by=agreed_by)

    async def approve(self, finding_id: str, *, version: int | None = None) -> Done:
        """Agree with what another person has asked for."""

        async def judge(finding: FindingRow, case: Case) -> tuple[Decision | Refusal, Target]:
            return approve(case, person=self._who.person, version=version), _asked(finding)

        return await self._decide(finding_id, "approve", judge)

    async def reject(self, finding_id: str, *, reason: str, version: int | None = None) -> Done:
        """Do not agree, or take back what one has asked for oneself: the finding is open again."""

        async def judge(finding: FindingRow, case: Case) -> tuple[Decision | Refusal, Target]:
            return reject(case, person=self._who.person, reason=reason, version=version), Target(reason=reason.strip())

        return await self._decide(finding_id, "reject", judge)

    async def _decide(self, finding_id: str, asked: str, judge: _Judge, *, agreed_by: Worker | None = None) -> Done:
        async with self._connection.transaction():
            await reconciliation_lock.take(self._connection)
            finding = await reconciliation_findings.load(self._connection, finding_id)
            if finding is None:
                refusal = Refusal(code="not_found", why="there is no such finding; `payorch reconciliation findings` shows them")
                return await self._refused(refusal, asked, {"finding": finding_id})
            decision, target = await judge(finding, reconciliation_findings.case_of(finding))
            if isinstance(decision, Decision) and decision.state is FindingState.LINKED:
                decision = await self._linked(finding, target) or decision
            if isinstance(decision, Refusal):
                return await self._refused(decision, asked, {"finding": finding_id}, finding)
            now = self._clock.now()
            after = _after(finding, decision, target, now)
            detail = {"action": decision.action.value, "person": decision.person, "reason": target.reason}
            if agreed_by is not None and decision.person == agreed_by.person:
                after = _asked_for(after, decision.action, target, self._who.person, now)
                detail |= {"asked_by": self._who.person, "approved_by": agreed_by.actor}
            await self._stand(after)
            more = {"payment": target.payment, "subject": target.subject} if target.payment is not None else {}
            await self._write(reconciliation_findings.changed(after, _NAMES[decision.state], {**detail, **more}))
            return Done(changed=True, text=_told(decision), finding=after, code=after.state.value)

    async def _stand(self, finding: FindingRow) -> None:
        """The movement that the finding is about, itself or through its line, stands as its findings leave it."""
        if finding.payment_id is None and finding.batch_id is None:
            return
        for movement in await self._concerned(finding):
            about = {one.id: one for one in await self._about(movement)}
            about[finding.id] = finding
            status = movement_status((one.state for one in about.values()), in_report=movement.batch_id is not None)
            if status is not movement.settlement:
                await reconciliation_links.stand(self._connection, movement, status)

    async def _concerned(self, finding: FindingRow) -> list[StoredMovement]:
        line = (finding.batch_id, finding.line)
        payment_id = finding.payment_id
        if payment_id is None and finding.batch_id is not None and finding.line is not None:
            payment_id = await reconciliation_links.payment_of_line(self._connection, finding.batch_id, finding.line)
        if payment_id is None:
            return []
        movements = await reconciliation_links.movements_of(self._connection, payment_id)
        own = [
            one
            for one in movements
            if finding.batch_id is None and (one.sequence, one.subject_id) == (finding.sequence, finding.subject_id)
        ]
        return own or [one for one in movements if finding.batch_id is not None and (one.batch_id, one.line) == line]

    async def _about(self, movement: StoredMovement) -> list[FindingRow]:
        """The findings about a movement, or about the line that it was matched with."""
        of_payment = await reconciliation_findings.of_payments(self._connection, [movement.payment_id])
        key = (movement.sequence, movement.subject_id)
        own = [one for one in of_payment if one.batch_id is None and (one.sequence, one.subject_id) == key]
        if movement.batch_id is None or movement.line is None:
            return own
        line = (movement.batch_id, movement.line)
        return [*own, *(await reconciliation_findings.of_lines(self._connection, [line])).get(line, ())]

    # --- links

    async def _linked(self, finding: FindingRow, target: Target) -> Refusal | None:
        """Carries a link out. What has changed since it was asked for may forbid it by now."""
        assert target.payment is not None, "a link was asked for with its movement"
        movements = await reconciliation_links.movements_of(self._connection, target.payment)
        movement = next(one for one in movements if (one.sequence, one.subject_id) == (target.sequence, target.subject))
        line = await fitting(self._connection, finding, movement)
        if isinstance(line, Refusal):
            return line
        await reconciliation_links.linked(self._connection, line, movement, SettlementState.MANUALLY_REVIEWED)
        for missing in await self._about(movement):
            if missing.kind is FindingKind.MISSING_AT_PSP and missing.state in UNEXPLAINED:
                await self._found_after_all(missing, finding)
        return None

    async def _found_after_all(self, missing: FindingRow, by: FindingRow) -> None:
        resolution = f"line {by.line} of report {by.batch_id} was linked to it"
        after = replace(
            missing,
            state=FindingState.RESOLVED,
            version=missing.version + 1,
            resolved_by="system",
            resolved_at=self._clock.now(),
            resolution=resolution,
        )
        await self._write(reconciliation_findings.changed(after, "FindingResolved", {"resolution": resolution}))

    # --- days

    async def close_due(self, *, window_days: int) -> list[Closing]:
        """Closes what can be closed now, and says of the rest what is left."""
        return await reconciliation_closing.close_due_days(self._connection, self._zones, self._by(), window_days=window_days)

    async def close(self, on: date, connector: str, currency: str, *, reason: str = BY_ITSELF) -> Closing:
        """Closes that day, or says why not; what was refused is on record."""
        closing = await reconciliation_closing.close(self._connection, on, connector, currency, self._zones, self._by(), reason=reason)
        if not closing.closed:
            subject = {"day": on.isoformat(), "connector": connector, "currency": currency}
            await self._refused(Refusal(code="not_closed", why=closing.why), Action.CLOSE_DAY.value, subject)
        return closing

    async def reopen(self, on: date, connector: str, currency: str, *, reason: str) -> Done:
        """Opens a closed day again, for a reason."""
        subject = {"day": on.isoformat(), "connector": connector, "currency": currency}
        async with self._connection.transaction():
            await reconciliation_lock.take(self._connection)
            left = await reconciliation_days.load(self._connection, on, connector, currency)
            refusal = None
            if left is None or left.state is not DayState.CLOSED:
                refusal = Refusal(code="not_closed", why=f"{connector} {currency} {on} is not closed")
            elif not reason.strip():
                refusal = Refusal(code="reason_missing", why="a day is opened again for a reason: say which")
            if refusal is not None:
                return await self._refused(refusal, Action.REOPEN_DAY.value, subject)
            assert left is not None, "or it was refused"
            now = self._clock.now()
            await self._write(reconciliation_days.reopened(left, at=now, by=self._who.actor, reason=reason.strip()))
            return Done(changed=True, text=f"{connector} {currency} {on} is open again", code="reopened")

    # --- records

    def _by(self) -> By:
        return By(actor=self._who.actor, cause=self._cause, at=self._clock.now())

    async def _refused(self, refusal: Refusal, asked: str, subject: Mapping[str, str], finding: FindingRow | None = None) -> Done:
        """The act was not done, and that it was asked for stands in the journal."""
        detail = {"asked": asked, **subject, "person": self._who.person, "code": refusal.code, "why": refusal.why}
        act = identifiers.text("act", self._entropy.identifier())
        await self._write(Change(stream="act", stream_id=act, name="Refused", rows=(), detail=detail))
        return Done(changed=False, text=refusal.why, code=refusal.code, finding=finding)

    async def _write(self, change: Change) -> None:
        await entries.changed(self._connection, self._visit, change, at=self._clock.now(), actor=self._who.actor, cause=self._cause)

    async def _visit(self, entry: Entry) -> Result:
        return await entries.visit(self._connection, entry)


def _asked(finding: FindingRow) -> Target:
    """What the first person asked for."""
    return Target(reason="") if finding.proposed_detail is None else msgspec.json.decode(finding.proposed_detail, type=Target)


def _after(finding: FindingRow, decision: Decision, target: Target, at: datetime) -> FindingRow:
    """The finding as the decision leaves it. Of one that two persons explained it keeps who asked."""
    version = decision.from_version + 1
    if decision.state is FindingState.PROPOSED:
        return replace(
            finding,
            state=decision.state,
            version=version,
            proposed_action=decision.action.value,
            proposed_detail=msgspec.json.encode(target),
            proposed_by=decision.person,
            proposed_at=at,
        )
    if decision.state is FindingState.OPEN:
        return replace(
            finding, state=decision.state, version=version, proposed_action=None, proposed_detail=None, proposed_by=None, proposed_at=None
        )
    return replace(
        finding,
        state=decision.state,
        version=version,
        resolved_by=decision.person,
        resolved_at=at,
        resolution=target.reason,
        **_link(decision, target),
    )


def _asked_for(finding: FindingRow, action: Action, target: Target, person: str, at: datetime) -> FindingRow:
    """With who asked for it: the database holds that it was another than who agreed."""
    return replace(finding, proposed_action=action.value, proposed_detail=msgspec.json.encode(target), proposed_by=person, proposed_at=at)


def _link(decision: Decision, target: Target) -> dict[str, str | int | None]:
    if decision.state is not FindingState.LINKED:
        return {}
    return {"payment_id": target.payment, "subject_id": target.subject, "sequence": target.sequence}


def _told(decision: Decision) -> str:
    if decision.needs_second:
        return f"{decision.action.value} takes two persons: it waits for another than {decision.person}"
    if decision.state is FindingState.OPEN:
        return f"{decision.action.value} is rejected; the finding is open again"
    return decision.state.value.replace("_", " ")
