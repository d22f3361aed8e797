"""What an operator sees of one payment: what its merchant sees, and beside it whose word says what, why, what next, and what may be done.

Pure: from records to JSON's own values. What the merchant's view leaves out is here as far as people need it: the calls to PSPs (by a list
of fields, `redaction`), the PSPs' redacted answers, their keys. Tokens, shoppers' data and secrets are not. Not here: reading any of it
(`payments`), the timeline (`payment_lane`), models of these shapes for the OpenAPI document (`payment_shapes`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import msgspec

from payorch.api.operations.payment_lane import Parts
from payorch.api.operations.redaction import shown_call
from payorch.api.operations.why import why
from payorch.api.present import View, failure_view, moment_view, money_view, payment_view, rfc3339
from payorch.domain import events as e
from payorch.domain.acts import KINDS, ActName
from payorch.domain.desk import Desk
from payorch.domain.next_step import NextStep, looks, next_step
from payorch.domain.opinions import Booked, Moved, Opinions, in_words, major, net_minor, opinions, ours_in_words
from payorch.domain.outcome import Evidence
from payorch.domain.payment import PUBLIC_STATUS, TERMINAL, State
from payorch.domain.records import Attempt, Operation, Payment
from payorch.domain.settlement import RowState, SettlementState
from payorch.store.payment_page import LedgerEntry, Likes, ReportLine
from payorch.store.reads import PaymentRow

LIKE_WITHIN: Final = timedelta(minutes=15)
"""Payments that stand alike and were made that close to each other have, as a rule, one cause."""
ACTS_AT_MOST: Final = 20
_PENDING_IN_WORDS: Final = {
    SettlementState.NOT_DUE: "not due",
    SettlementState.PENDING: "in no report yet",
    SettlementState.SETTLED: "settled",
    SettlementState.MISMATCHED: "does not fit",
    SettlementState.MANUALLY_REVIEWED: "reviewed by people",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionOption:
    """One act on a payment, as of now. why_not: None where it may be done. people: 1 or 2. targets: what it may be resolved to."""

    action: ActName
    why_not: str | None
    people: int
    targets: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A payment with what was read beside it. merchant: its name. likes: None where nobody asked. let_pass_minor: of a report's line."""

    payment: Payment
    parts: Parts
    merchant: str | None
    desk: Desk
    options: Sequence[ActionOption] = ()
    likes: Likes | None = None
    let_pass_minor: int = 0


# --- lists ------------------------------------------------------------------------------------------------------------------------------


def row_view(row: PaymentRow, names: Mapping[str, str]) -> View:
    """A payment in a list."""
    unconfirmed = row.state in (State.OUTCOME_UNKNOWN, State.MANUAL_REVIEW)
    return {
        "id": row.id,
        "object": "payment",
        "merchant_id": row.merchant_id,
        "merchant": names.get(row.merchant_id),
        "state": row.state,
        "status": PUBLIC_STATUS[row.state],
        "outcome": "unconfirmed" if unconfirmed else None,
        "version": row.version,
        "amount": row.amount_minor,
        "currency": row.currency,
        "amount_captured": row.captured_minor,
        "amount_refunded": row.refunded_minor,
        "reference": row.reference,
        "connector": row.connector,
        "psp_reference": row.psp_reference,
        "held": row.held,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }


# --- the page ---------------------------------------------------------------------------------------------------------------------------


def page_view(seen: Seen) -> View:
    """The page of a payment."""
    payment, parts = seen.payment, seen.parts
    events = [one.event for one in parts.recorded]
    ledger = [Moved(kind=one.kind, amount=one.amount, settlement=one.settlement) for one in parts.ledger]
    found = opinions(payment, events, ledger, _booked(parts.lines), let_pass_minor=seen.let_pass_minor)
    reason = why(payment, events)
    evidence = _last_evidence(events)
    step = next_step(payment, seen.desk)
    hold = payment.hold
    view = payment_view(payment, [(one.subject_id, one.settlement) for one in parts.ledger])
    return {
        **view,
        "merchant": {"id": payment.merchant_id, "name": seen.merchant},
        "held": None if hold is None else {"reason": hold.reason, "since": rfc3339(hold.since), "by": hold.by},
        "money": _money_view(payment, found),
        "why": None if reason is None else {"headline": reason.headline, "text": reason.text},
        "next": None if step is None else _next_view(step),
        "route": list(dict.fromkeys(one.connector for one in payment.attempts)),
        "attempts": [_attempt(one, evidence.get(one.id), events) for one in payment.attempts],
        "operations": [_operation(one) for one in payment.operations],
        "actions": _actions(seen),
        "acts": list(parts.acts[:ACTS_AT_MOST]),
        "like_it": _likes(seen),
        "settlement_lines": [_line(one) for one in parts.lines],
        "postings": _postings(parts),
        "deliveries": [
            {
                "event_id": one.event_id, "type": one.type, "endpoint_id": one.endpoint_id, "state": one.state.value,
                "attempts": one.attempts, "last_status": one.last_status, "last_error": one.last_error,
                "next_attempt_at": moment_view(one.next_attempt_at),
            }
            for one in parts.deliveries
        ],
        "notices": [
            {
                "id": one.id, "connector": one.connector, "event": one.identity, "kind": one.kind, "state": one.state.value,
                "outcome": one.outcome, "received_at": rfc3339(one.received_at), "occurred_at": moment_view(one.occurred_at),
            }
            for one in parts.notices
        ],
    }  # fmt: skip


def _booked(lines: Sequence[ReportLine]) -> list[Booked]:
    return [
        Booked(kind=one.kind, gross=one.gross, fee=one.fee, net=one.net, day=one.day, matched=one.state is RowState.MATCHED)
        for one in lines
    ]


def _money_view(payment: Payment, found: Opinions) -> View:
    currency, ours, kept, said = payment.intent.amount.currency, found.ours, found.ledger, found.psp
    net = net_minor(kept)
    settled = _PENDING_IN_WORDS[found.settlement]
    if found.gross is not None:
        settled += f" {major(found.gross, currency)}{f' on {found.day}' if found.day else ''}"
    return {
        "ours": {
            "text": ours_in_words(payment), "authorized": payment.authorized_minor, "captured": ours.captured, "refunded": ours.refunded,
            "at": rfc3339(payment.updated_at),
        },
        "ledger": {
            "text": f"net {'+' if net > 0 else ''}{major(net, currency)}", "net": net, "captured": kept.captured,
            "refunded": kept.refunded, "postings": found.postings,
        },
        "psp": None if said is None else {
            "text": f"{in_words(said.sums, currency)} ({said.source})", "captured": said.sums.captured, "refunded": said.sums.refunded,
            "source": said.source, "at": rfc3339(said.at),
        },
        "settlement": {
            "text": settled, "status": found.settlement, "day": found.day.isoformat() if found.day else None, "gross": found.gross,
            "fee": found.fee.minor if found.fee is not None else None,
            "net": found.net.minor if found.net is not None else None,
        },
        "agree": found.agree,
        "disagreement": "; ".join(found.disagreements) or None,
    }  # fmt: skip


def _next_view(step: NextStep) -> View:
    return {"text": step.text, "at": moment_view(step.at), "then": step.then, "gives_up_at": moment_view(step.gives_up_at)}


# --- attempts and operations --------------------------------------------------------------------------------------------------------------


def _last_evidence(events: Sequence[e.Event]) -> dict[str, Evidence]:
    """What was said last of each subject, of what has an answer to show."""
    found: dict[str, Evidence] = {}
    for event in events:
        match event.data:
            case e.AttemptChange(attempt_id=id, evidence=Evidence() as evidence) if evidence.raw is not None or id not in found:
                found[id] = evidence
            case e.OperationChange(operation_id=id, evidence=Evidence() as evidence) if evidence.raw is not None or id not in found:
                found[id] = evidence
            case _:
                pass
    return found


def _cause_of(events: Sequence[e.Event], attempt_id: str) -> str | None:
    """The request that had the attempt made."""
    return next((one.cause for one in events if isinstance(one.data, e.AttemptOpened) and one.data.attempt.id == attempt_id), None)


def _attempt(attempt: Attempt, evidence: Evidence | None, events: Sequence[e.Event]) -> View:
    return {
        "id": attempt.id,
        "connector": attempt.connector,
        "state": attempt.state,
        "amount": money_view(attempt.amount),
        "psp_reference": attempt.psp_reference,
        "psp_key": attempt.psp_key,
        "request_id": _cause_of(events, attempt.id),
        "psp_request_id": evidence.psp_request_id if evidence is not None else None,
        "trace_id": None,
        "sent": shown_call(attempt.call),
        "failure": failure_view(attempt.failure),
        "raw": _readable(evidence.raw) if evidence is not None else None,
        "looks": looks(attempt),
        "next_action_at": moment_view(attempt.next_action_at),
        "created_at": rfc3339(attempt.created_at),
        "updated_at": rfc3339(attempt.updated_at),
    }


def _operation(operation: Operation) -> View:
    return {
        "id": operation.id,
        "object": operation.kind,
        "state": operation.state,
        "origin": operation.origin,
        "attempt_id": operation.attempt_id,
        "amount": money_view(operation.amount),
        "psp_reference": operation.psp_reference,
        "psp_key": operation.psp_key,
        "sent": None if operation.call is None else shown_call(operation.call),
        "failure": failure_view(operation.failure),
        "reason": operation.reason,
        "reference": operation.reference,
        "looks": looks(operation),
        "in_review": operation.in_review,
        "next_action_at": moment_view(operation.next_action_at),
        "created_at": rfc3339(operation.created_at),
        "updated_at": rfc3339(operation.updated_at),
    }


# --- what may be done -------------------------------------------------------------------------------------------------------------------


def _actions(seen: Seen) -> list[View]:
    """Every act on payments, in the order of the table, whether or not it may be done."""
    options = {one.action: one for one in seen.options}
    unfinished = {one["action"]: one["id"] for one in reversed(seen.parts.acts) if one["state"] in ("proposed", "approved", "running")}
    return [_action(name, options.get(name), unfinished.get(name.value)) for name in ActName if KINDS[name].subject == "payment"]


def _action(name: ActName, option: ActionOption | None, open_action: str | None) -> View:
    why_not = "This platform does not offer it." if option is None else option.why_not
    return {
        "action": name.value,
        "verb": KINDS[name].verb,
        "allowed": why_not is None,
        "why_not": why_not,
        "people": option.people if option is not None else 2,
        "targets": list(option.targets) if option is not None else [],
        "open_action": open_action,
    }


# --- the likes of it --------------------------------------------------------------------------------------------------------------------


def asks_for_likes(payment: Payment) -> bool:
    """Whether others of its kind are worth a look: not of what is as it should be."""
    return bool(payment.attempts) and (payment.state not in TERMINAL or payment.state is State.FAILED)


def _likes(seen: Seen) -> View | None:
    if seen.likes is None or not seen.payment.attempts:
        return None
    payment = seen.payment
    since, until = payment.created_at - LIKE_WITHIN, payment.created_at + LIKE_WITHIN
    connector = payment.attempts[-1].connector
    return {
        "count": seen.likes.count,
        "amount": [money_view(one) for one in seen.likes.amounts],
        "window_minutes": int(LIKE_WITHIN.total_seconds() // 60),
        "filter": f"connector:{connector} state:{payment.state} created_from:{rfc3339(since)} created_to:{rfc3339(until)}",
    }


# --- money ------------------------------------------------------------------------------------------------------------------------------


def _line(line: ReportLine) -> View:
    return {
        "report": line.batch_id,
        "name": line.report,
        "line": line.line,
        "day": line.day.isoformat(),
        "kind": line.kind,
        "gross": money_view(line.gross),
        "fee": money_view(line.fee),
        "net": money_view(line.net),
        "state": line.state,
    }


def _postings(parts: Parts) -> list[View]:
    """Double entries of the payment's own, and of the lines about it."""
    own: list[View] = [
        {
            "at": rfc3339(one.at), "debit": one.debit, "credit": one.credit, "amount": money_view(one.amount),
            "event": _event_of(one, parts), "source": "payment",
        }
        for one in parts.ledger
    ]  # fmt: skip
    reported: list[View] = [
        {
            "at": rfc3339(line.received_at), "debit": one.debit, "credit": one.credit, "amount": money_view(one.amount),
            "event": f"{line.kind}, line {line.line}", "source": "settlement",
        }
        for line in parts.lines
        for one in line.postings
    ]  # fmt: skip
    return [*own, *reported]


def _event_of(entry: LedgerEntry, parts: Parts) -> str:
    return next((one.event.name.value for one in parts.recorded if one.sequence == entry.sequence), entry.kind.value)


def _readable(raw: str | None) -> Any:
    """A PSP's redacted answer as JSON where it is JSON, as text where it is not."""
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return raw


# --- routing ----------------------------------------------------------------------------------------------------------------------------


def routing_view(payment_id: str, events: Sequence[e.Event]) -> View:
    """Every choice of connectors that was made for a payment, the first one first, with its reasons."""
    opened = [one.data.attempt.connector for one in events if isinstance(one.data, e.AttemptOpened)]
    choices = [one for one in events if isinstance(one.data, e.Choice)]
    return {"payment_id": payment_id, "data": [_choice(one, opened) for one in choices]}


def _choice(event: e.Event, opened: Sequence[str]) -> View:
    assert isinstance(event.data, e.Choice), "only choices are asked"
    decision = event.data.decision
    parts = ("success", "cost", "latency", "preference", "fee_minor", "share")
    reasons = [f"rule {decision.rule}"]
    if decision.explored:
        reasons.append("chance put the first one there, to learn how it does now")
    reasons += [f"{one.connector} is left out: {one.reason}" for one in decision.excluded]
    return {
        "at": rfc3339(event.at),
        "rule": decision.rule,
        "version": decision.version,
        "order": list(decision.order),
        "scores": [
            {"connector": one.connector, "score": one.score, "parts": {name: getattr(one, name) for name in parts}}
            for one in decision.candidates
        ],
        "excluded": [{"connector": one.connector, "reason": one.reason} for one in decision.excluded],
        "chosen": next((one for one in opened if one in decision.order), None),
        "reasons": reasons,
    }
