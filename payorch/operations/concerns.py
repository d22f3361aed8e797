"""From what was counted to what needs people: each kind of concern with its severity, its sentence and where one sees it.

Pure. Not here: counting (`payorch.store.overview`), the order (`payorch.domain.attention`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from payorch.domain.attention import Concern, Screen, Severity, sorted_concerns, summed
from payorch.domain.money import Money
from payorch.store.overview import HELD, OPERATION_REVIEW, REVIEW, UNKNOWN, Acts, Facts, Letters, Mismatches, Waiting

UNKNOWN_IS_CRITICAL_AFTER: Final = timedelta(minutes=30)
"""Most unknown outcomes are known within minutes, by a look or a webhook. One that is not is a shopper who asks where his money is."""
LETTER_CONCERNS: Final = 5
"""Groups of dead letters told one by one; the rest is one line."""

View = Mapping[str, Any]
_STOPPED: Final = {"open": "open", "forced_open": "forced open by an operator"}


def concerns(facts: Facts, connectors: Iterable[View], now: datetime, others: Iterable[Concern] = ()) -> list[Concern]:
    """All of them, in the order in which people should look. connectors: as `GET connectors` shows them. others: found elsewhere."""
    found = [
        *_connectors(connectors),
        *_payments(facts.waiting, now),
        *_mismatches(facts.mismatches),
        *_letters(facts.letters, facts.letters_open),
        *_acts(facts.acts, now),
        *others,
    ]
    return sorted_concerns(found)


def _connectors(connectors: Iterable[View]) -> Iterator[Concern]:
    for one in connectors:
        name = one["name"]
        screen = Screen(screen="connector", id=name)
        for operation, circuit in one["circuits"].items():
            if (stands := _STOPPED.get(circuit["mode"])) is not None:
                share = one.get("share_percent")
                traffic = f"; it had {share:g} % of the traffic" if operation == "authorize" and share else ""
                what = f"{name}: calls to {operation} are kept back, the breaker is {stands} ({circuit['reason']}){traffic}"
                severity = Severity.CRITICAL if circuit["mode"] == "open" else Severity.WARNING
                yield Concern(severity=severity, kind="breaker", what=what, count=1, screen=screen, since=_moment(circuit.get("since")))
        if (drain := one.get("draining")) is not None:
            what = f"{name} takes no new payments until {drain['until']}, by {drain['by']}: {drain['reason']}"
            yield Concern(severity=Severity.NOTICE, kind="drain", what=what, count=1, screen=screen)


def _payments(waiting: Sequence[Waiting], now: datetime) -> Iterator[Concern]:
    if unknown := [one for one in waiting if one.what == UNKNOWN]:
        late = now - min(one.since for one in unknown) > UNKNOWN_IS_CRITICAL_AFTER
        at = ", ".join(sorted({one.connector or "no connector" for one in unknown}))
        what = f"payments with an unknown outcome, at {at}: nobody knows yet whether money moved"
        yield _of_payments(unknown, "unknown", what, f"state:{UNKNOWN}", Severity.CRITICAL if late else Severity.WARNING)
    if review := [one for one in waiting if one.what == REVIEW]:
        yield _of_payments(review, "review", "payments in manual review: people decide", f"state:{REVIEW}", Severity.WARNING)
    if operations := [one for one in waiting if one.what == OPERATION_REVIEW]:
        what = "payments with a capture, void or refund for people to look at"
        yield _of_payments(operations, "review", what, "problem:true", Severity.WARNING)
    if held := [one for one in waiting if one.what == HELD]:
        yield _of_payments(held, "held", "payments set aside: nothing happens to them until an operator releases them", "held:true",
                           Severity.WARNING)  # fmt: skip


def _of_payments(some: Sequence[Waiting], kind: str, what: str, filter_: str, severity: Severity) -> Concern:
    return Concern(
        severity=severity,
        kind=kind,
        what=what,
        count=sum(one.count for one in some),
        at_risk=summed(one.amount for one in some),
        since=min(one.since for one in some),
        screen=Screen(screen="payments", filter=filter_),
    )


def _mismatches(mismatches: Sequence[Mismatches]) -> Iterator[Concern]:
    days: dict[tuple[str, str], list[Mismatches]] = {}
    for one in mismatches:
        days.setdefault((one.day.isoformat(), one.connector), []).append(one)
    for (day, connector), some in days.items():
        yield Concern(
            severity=Severity.WARNING,
            kind="mismatch",
            what=f"findings of reconciliation, {connector} {day}",
            count=sum(one.count for one in some),
            at_risk=summed(one.gross for one in some if one.gross is not None),
            since=min(one.since for one in some),
            screen=Screen(screen="reconciliation", filter=f"day:{day} connector:{connector}", id=f"{day}/{connector}"),
        )


def _letters(letters: Sequence[Letters], total: int) -> Iterator[Concern]:
    for one in letters[:LETTER_CONCERNS]:
        yield Concern(
            severity=Severity.WARNING,
            kind="dead_letters",
            what=f"dead letters: {one.kind} of {one.origin}, {one.reason_class}",
            count=one.count,
            since=one.since,
            screen=Screen(screen="dead_letters", filter=f"fingerprint:{one.fingerprint}", id=one.fingerprint),
        )
    rest = total - sum(one.count for one in letters[:LETTER_CONCERNS])
    if rest > 0:
        screen = Screen(screen="dead_letters")
        since = min((one.since for one in letters[LETTER_CONCERNS:]), default=None)
        yield Concern(severity=Severity.WARNING, kind="dead_letters", what="other dead letters", count=rest, since=since, screen=screen)


def _acts(acts: Acts, now: datetime) -> Iterator[Concern]:
    screen = Screen(screen="approvals")
    if waiting := sum(acts.waiting.values()):
        what = "actions wait for a second person"
        yield Concern(severity=Severity.NOTICE, kind="approval", what=what, count=waiting, since=acts.waiting_since, screen=screen)
    if acts.reviews:
        overdue = acts.review_due_at is not None and acts.review_due_at < now
        what = "actions done with the glass broken are to be reviewed by another person" + (", and one is overdue" if overdue else "")
        severity = Severity.CRITICAL if overdue else Severity.WARNING
        yield Concern(severity=severity, kind="glass_review", what=what, count=acts.reviews, screen=screen)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def money_views(amounts: Iterable[Money]) -> list[View]:
    """As the API shows amounts."""
    return [{"amount": one.minor, "currency": one.currency} for one in amounts]
