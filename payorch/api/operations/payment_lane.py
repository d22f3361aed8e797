"""One payment's whole story in one lane, by time: its events, what PSPs told, what its merchant was sent, money, reports, people's acts.

Each row says who speaks (api, router, psp, webhook, poller, ledger, recon, people, system). A row stands at the time at which it happened
where its source says so, and has the time at which it came here beside it. Pure. Not here: gaps between rows (the console), sentences of
events (`payorch.api.timeline`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

from payorch.api.operations.event_words import Tone, tone_of
from payorch.api.present import View, money_view, rfc3339
from payorch.api.timeline import entries_of
from payorch.domain import events as e
from payorch.domain.identifiers import text
from payorch.domain.money import Money
from payorch.domain.outcome import Evidence, Source
from payorch.domain.payment import Name
from payorch.domain.settlement import RowState
from payorch.store.inbox_reads import StoredNotice
from payorch.store.items import Delivery, DeliveryState, NoticeState
from payorch.store.payment_page import LedgerEntry, ReportLine
from payorch.store.reads import Recorded

PROBLEMS: Final = frozenset({"bad", "unknown", "warn"})
"""Tones of rows at which people stop."""
LATE: Final = timedelta(seconds=2)
"""By so much a notice must be late to stand at the PSP's time: PSPs tell theirs in whole seconds, which would put it before its cause."""
ROWS_AT_MOST: Final = 2_000
"""Rows of one answer. A payment has some dozens; one whose search went on for a week has hundreds."""

_ROUTER: Final = frozenset({Name.ROUTED, Name.NO_ROUTE, Name.ROUTER_DECLINED, Name.ATTEMPTS_EXHAUSTED})
_SOURCES: Final[Mapping[Source, str]] = {
    Source.RESPONSE: "psp",
    Source.REPLAY: "poller",
    Source.INQUIRY: "poller",
    Source.FENCE: "poller",
    Source.WEBHOOK: "webhook",
    Source.SETTLEMENT: "recon",
    Source.RESTART: "system",
    Source.PERSON: "people",
}
_ACTORS: Final = {"merchant": "api", "psp": "psp", "operator": "people", "cli": "people"}
_DELIVERY_TONES: Final[Mapping[DeliveryState, Tone]] = {
    DeliveryState.DELIVERED: "good", DeliveryState.DEAD: "bad", DeliveryState.PENDING: "info", DeliveryState.CANCELED: "info",
}  # fmt: skip
_NOTICE_TONES: Final[Mapping[NoticeState, Tone]] = {NoticeState.DEAD: "bad", NoticeState.PARKED: "warn"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that is known of one payment. acts: as `action_view` shows them."""

    recorded: Sequence[Recorded]
    notices: Sequence[StoredNotice] = ()
    deliveries: Sequence[Delivery] = ()
    ledger: Sequence[LedgerEntry] = ()
    lines: Sequence[ReportLine] = ()
    acts: Sequence[Mapping[str, Any]] = ()


def lane(parts: Parts) -> list[View]:
    """The rows, oldest first; of more than ROWS_AT_MOST the newest."""
    rows = [
        *_events(parts.recorded),
        *map(_notice, parts.notices),
        *map(_delivery, parts.deliveries),
        *map(_entry, parts.ledger),
        *map(_line, parts.lines),
        *map(_act, parts.acts),
    ]
    rows.sort(key=lambda row: (str(row["at"]), row["position"] or 0, row["sequence"] or 0))
    return rows[-ROWS_AT_MOST:]


def _row(source: str, who: str, event: str, text: str, tone: Tone, at: datetime, **more: Any) -> View:
    base: View = {
        "at": rfc3339(at), "received_at": None, "source": source, "who": who, "event": event, "text": text, "tone": tone,
        "latency_ms": None, "subject_id": None, "attempt_id": None, "cause": None, "problem": tone in PROBLEMS,
        "sequence": None, "position": None, "evidence": None, "details": None,
    }  # fmt: skip
    return base | more


# --- events -----------------------------------------------------------------------------------------------------------------------------


def _events(recorded: Sequence[Recorded]) -> list[View]:
    attempts: dict[str, str] = {}
    rows = []
    for one, entry in zip(recorded, entries_of([each.event for each in recorded]), strict=True):
        _meet(one.event.data, attempts)
        rows.append(_event(one, entry, attempts))
    return rows


def _event(recorded: Recorded, entry: View, attempts: Mapping[str, str]) -> View:
    event = recorded.event
    subject: Any = entry["subject"]
    subject_id = subject["id"] if subject is not None else None
    evidence: Any = entry["evidence"]
    said = _evidence_of(event.data)
    told_late = said is not None and said.at < event.at and _lane_of(event) == "webhook"
    details: View = {"from": entry["from"], "to": entry["to"], "reason": entry["reason"], "failure": entry["failure"],
                     "routing": entry["routing"], "next_action_at": entry["next_action_at"], "actor": event.actor}  # fmt: skip
    return _row(
        _lane_of(event), _who(event, subject), event.name, str(entry["sentence"]), tone_of(event.name, event.to),
        said.at if told_late and said is not None else event.at,
        received_at=rfc3339(event.at) if told_late else None,
        latency_ms=evidence["latency_ms"] if evidence is not None else None,
        subject_id=subject_id,
        attempt_id=attempts.get(subject_id or ""),
        cause=event.cause,
        sequence=recorded.sequence,
        position=recorded.position,
        evidence=evidence,
        details=details,
    )  # fmt: skip


def _meet(data: e.Data, attempts: dict[str, str]) -> None:
    """Remembers which attempt a subject belongs to."""
    match data:
        case e.AttemptOpened(attempt=attempt):
            attempts[attempt.id] = attempt.id
        case e.OperationOpened(operation=operation):
            attempts[operation.id] = operation.attempt_id
        case e.DisputeOpened(dispute=dispute):
            attempts[dispute.id] = dispute.attempt_id
        case _:
            pass


def _lane_of(event: e.Event) -> str:
    """Who speaks: the router, whoever the evidence is from, else whoever wrote it."""
    if event.name in _ROUTER:
        return "router"
    if isinstance(event.data, e.AttemptOpened):
        return "system"  # whoever wanted the payment, the call is ours
    evidence = _evidence_of(event.data)
    if evidence is not None:
        return _SOURCES[evidence.source]
    if isinstance(event.data, e.DisputeOpened | e.DisputeChange):
        return _SOURCES[event.data.source]
    return _ACTORS.get(event.actor.partition(":")[0], "system")


def _who(event: e.Event, subject: Any) -> str:
    kind, _, name = event.actor.partition(":")
    if kind == "merchant":
        return "merchant"
    return name or (subject["connector"] if subject is not None and _evidence_of(event.data) is not None else kind)


def _evidence_of(data: e.Data) -> Evidence | None:
    return data.evidence if isinstance(data, e.AttemptChange | e.OperationChange | e.Discrepancy) else None


# --- the others -------------------------------------------------------------------------------------------------------------------------


def _notice(notice: StoredNotice) -> View:
    tone: Tone = _NOTICE_TONES.get(notice.state, "info")
    told = notice.occurred_at
    late = told is not None and notice.received_at - told >= LATE
    at = told if late and told is not None else notice.received_at
    what = f"Signed notice {notice.kind} ({notice.identity}): {notice.state.value}{f', {notice.outcome}' if notice.outcome else ''}."
    details: View = {"event": notice.identity, "kind": notice.kind, "state": notice.state.value, "outcome": notice.outcome,
                     "signature": "valid", "tries": notice.tries}  # fmt: skip
    more: dict[str, Any] = {"received_at": rfc3339(notice.received_at) if late else None, "cause": notice.id, "details": details}
    return _row("webhook", notice.connector, "NoticeReceived", what, tone, at, **more)


def _delivery(delivery: Delivery) -> View:
    state = delivery.state
    said = (
        f" with {delivery.last_status}" if delivery.last_status is not None else f" ({delivery.last_error})" if delivery.last_error else ""
    )
    what = f"{delivery.type} to the merchant's endpoint {delivery.endpoint_id}: {state.value} after {delivery.attempts} tries{said}."
    details: View = {"event_id": delivery.event_id, "endpoint_id": delivery.endpoint_id, "attempts": delivery.attempts,
                     "last_status": delivery.last_status, "last_error": delivery.last_error}  # fmt: skip
    at = delivery.delivered_at or delivery.last_attempt_at or delivery.created_at
    more: dict[str, Any] = {"cause": delivery.event_id, "details": details}
    return _row("webhook", "merchant", "Delivery", what, _DELIVERY_TONES[state], at, **more)


def _entry(entry: LedgerEntry) -> View:
    words = entry.kind.value.replace("_", " ")
    what = f"Ledger: {words} {_major(entry.amount)}, {entry.credit} to {entry.debit} ({entry.settlement.value})."
    details: View = {"debit": entry.debit, "credit": entry.credit, "settlement": entry.settlement.value}
    subject = text("sub", entry.subject_id).partition("_")[2]
    more: dict[str, Any] = {"sequence": entry.sequence, "details": details | {"subject": subject}}
    return _row("ledger", "ledger", "Posted", what, "info", entry.at, **more)


def _line(line: ReportLine) -> View:
    matched = line.state is RowState.MATCHED
    words = line.kind.value.replace("_", " ")
    what = f"Report {line.report}, line {line.line}: {words} {_major(line.gross)}, fee {_major(line.fee)}, {line.state.value}."
    details: View = {"report": line.batch_id, "line": line.line, "day": line.day.isoformat(), "net": money_view(line.net)}
    at = datetime.combine(line.day, time(), UTC)
    tone: Tone = "good" if matched else "warn"
    return _row("recon", line.report, "ReportLine", what, tone, at, received_at=rfc3339(line.received_at), details=details)


def _act(act: Mapping[str, Any]) -> View:
    """A person's act. What it did to the payment stands in events of its own."""
    who = act["requested_by"]["name"]
    decided = act.get("decided_by")
    second = f"; {act['decision']} by {decided['name']}" if decided is not None else ""
    what = f"{who} asked to {act['verb']}: {act['reason']} ({act['state']}{second})."
    bad: Tone = "bad" if act["state"] in ("failed", "halted", "refused") else "info"
    details: View = {"state": act["state"], "people": act["people"], "break_glass": act["break_glass"]}
    row = _row("people", who, act["action"], what, bad, datetime.fromisoformat(act["requested_at"]))
    return row | {"cause": act["id"], "details": details}


def _major(money: Money) -> str:
    return f"{money.major()} {money.currency}"
