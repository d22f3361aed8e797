"""What becomes of a line of a report that its payment is to weigh, or that was about nothing of ours when it was read. Pure.

The payment is told once. Whatever follows from that, the line is then matched anew, at the times of a schedule: with the movement that the
payment made of it, or of what it found out because of it. Where people have the payment the schedule is over at once: what the line
contradicts is theirs to explain, and a movement that it made all the same has its line, and a finding.

Not here: what the payment makes of a line (`settled`), matching (`matching`), telling and waiting (the reconciler), writing any of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from msgspec import Struct

from payorch.domain.differences import named, said, unexpected
from payorch.domain.matching import Verdict
from payorch.domain.payment import State
from payorch.domain.settlement import Finding, FindingKind, RowState, SettlementRow

AWAITED: Final = frozenset({FindingKind.MISSING_HERE, FindingKind.STATUS_CONFLICT})
"""What a movement that appears explains: that there was none for the line, or that our books said otherwise."""


class Telling(StrEnum):
    """How far the payment has been told."""

    NOT_YET = "not_yet"
    ON_ITS_WAY = "on_its_way"
    WEIGHED = "weighed"
    NEVER = "never"  # it could not be weighed or delivered, and people have that


class Standing(Struct, frozen=True, kw_only=True, gc=False):
    """How things stand with a line. payment: the state of its payment, None where there is none. set_aside: nothing happens to that by
    itself. tries: how often the line was matched anew.
    """

    telling: Telling
    payment: State | None
    set_aside: bool
    tries: int


class Step(StrEnum):
    """What is to be done with the line now."""

    TELL = "tell"
    WAIT = "wait"
    SETTLE = "settle"  # the verdict stands
    GIVE_UP = "give_up"  # it stays without a movement, and people are told


class Next(Struct, frozen=True, kw_only=True, gc=False):
    """The step, and for GIVE_UP and a SETTLE that people are to look at all the same, what they are told (`conflict`)."""

    step: Step
    conflict: Finding | None = None


def next_step(row: SettlementRow, verdict: Verdict, standing: Standing, tries_seconds: Sequence[int]) -> Next:
    """What to do with a line about a payment of ours, by what it comes to now (`match`)."""
    if verdict.state is RowState.UNMATCHED:
        return Next(step=Step.GIVE_UP, conflict=next(iter(verdict.findings), None))
    if verdict.state is not RowState.EVIDENCE:
        review = standing.payment is State.MANUAL_REVIEW and verdict.state is RowState.MATCHED
        return Next(step=Step.SETTLE, conflict=_conflict(row, "the payment is in review") if review else None)
    match standing.telling:
        case Telling.NOT_YET if not standing.set_aside and standing.payment is not None:
            return Next(step=Step.TELL)
        case Telling.NEVER:
            return Next(step=Step.GIVE_UP, conflict=_conflict(row, "the payment could not weigh it; it is a dead letter"))
    if standing.payment is State.MANUAL_REVIEW and standing.telling is Telling.WEIGHED:
        return Next(step=Step.GIVE_UP, conflict=_conflict(row, "it contradicts what is known of the payment, which is in review"))
    if standing.set_aside or standing.tries < len(tries_seconds):
        return Next(step=Step.WAIT)
    return Next(step=Step.GIVE_UP, conflict=_conflict(row, f"the payment is {standing.payment or 'not there'} and has not taken it over"))


def next_try(at: datetime, tries: int, tries_seconds: Sequence[int]) -> datetime:
    """When the line is looked at again after so many looks."""
    return at + timedelta(seconds=tries_seconds[min(tries, len(tries_seconds) - 1)])


def _conflict(row: SettlementRow, why: str) -> Finding:
    return unexpected(FindingKind.STATUS_CONFLICT, row, f"the PSP books a {named(row.kind)} of {said(row.gross)}; {why}")
