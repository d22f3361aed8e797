"""How what an event rests on looks in a timeline: evidence, a PSP's notice, a decision of routing. Pure.

Not here: sentences and the order of events (`timeline`).
"""

from __future__ import annotations

from typing import Final

import msgspec

from payorch.api.present import View, moment_view, money_view, rfc3339
from payorch.domain import events as e
from payorch.domain.outcome import Absent, Evidence
from payorch.domain.routing import Decision
from payorch.store.inbox_reads import StoredNotice

_decode: Final = msgspec.json.Decoder().decode


def notice_view(notice: StoredNotice) -> View:
    """A notice of a PSP."""
    return {
        "id": notice.id,
        "connector": notice.connector,
        "event": notice.identity,
        "kind": notice.kind,
        "occurred_at": moment_view(notice.occurred_at),
        "received_at": rfc3339(notice.received_at),
        "state": notice.state,
        "outcome": notice.outcome,
        "settled_at": moment_view(notice.settled_at),
    }


def evidence_view(evidence: Evidence) -> View:
    """What was found, who says so, and what else was said."""
    return {
        "source": evidence.source,
        "finding": type(evidence.finding).__name__,
        "at": rfc3339(evidence.at),
        "psp_reference": evidence.psp_reference,
        "our_reference": evidence.our_reference,
        "psp_request_id": evidence.psp_request_id,
        "latency_ms": evidence.latency_ms,
        "amount": money_view(evidence.amount),
        "captured": money_view(evidence.captured),
        "refunded": money_view(evidence.refunded),
        "expires_at": moment_view(evidence.expires_at),
        "raw": _readable(evidence.raw),
    }


def word_of_a_dispute(event: e.Event) -> View | None:
    """What the PSP said of a dispute, in the form of evidence."""
    data = event.data
    if not isinstance(data, (e.DisputeOpened, e.DisputeChange)):
        return None
    dispute = data.dispute
    said = Evidence(
        source=data.source, finding=Absent(), at=dispute.told_at or event.at, psp_reference=dispute.psp_reference, amount=dispute.amount,
        raw=data.raw,
    )  # fmt: skip
    return {**evidence_view(said), "finding": "Dispute"}


def _readable(raw: str | None) -> object:
    """The PSP's answer as JSON where it is JSON, as text where it is not."""
    if raw is None:
        return None
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return raw


def decision_view(decision: Decision) -> View:
    """A choice of connectors."""
    return {
        "order": decision.order,
        "excluded": [{"connector": one.connector, "reason": _public(one.reason)} for one in decision.excluded],
        "rule": decision.rule,
        "version": decision.version,
    }


def _public(reason: str) -> str:
    """Why a connector was left out, without an operator's name and words, which are for our own people."""
    return "it takes no new payments for a while" if reason.startswith("draining ") else reason
