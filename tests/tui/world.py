"""A small world for the console's tests: a source that says what it is told, and data as the contract writes it.

Not here: anything of the platform; the console knows it only by this data.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tui.api import Answer, Problem, Query
from tui.messages import Message
from tui.recording import query_text
from tui.source import Sink

Pages = Mapping[tuple[str, str], Any]
"""(path, query as `name=value&...` without limit and cursor) -> the answer, or a Problem. A path with an empty query is the fallback."""


class FakeSource:
    """Says its messages at once, answers from its pages, and keeps what was written to it."""

    def __init__(self, pages: Pages, messages: Sequence[Message], *, writes: bool = True, answers: Mapping[str, Any] | None = None) -> None:
        self.pages: Final = dict(pages)
        self.messages: Final = list(messages)
        self.asked: Final[list[tuple[str, dict[str, str]]]] = []
        self.written: Final[list[tuple[str, dict[str, Any], str | None, str | None]]] = []
        self.answers: Final = dict(answers or {})
        self.retries = 0
        self.token = "ops_token"
        self._writes: Final = writes

    @property
    def writes(self) -> bool:
        return self._writes

    @property
    def name(self) -> str:
        return "fake"

    async def run(self, sink: Sink) -> None:
        for message in self.messages:
            sink(message)
        await asyncio.Event().wait()

    async def get(self, path: str, query: Query | None = None) -> dict[str, Any]:
        asked = {name: value for name, value in query_text(query).items() if name not in ("limit", "cursor")}
        self.asked.append((path, query_text(query)))
        text = "&".join(f"{name}={value}" for name, value in asked.items())
        found = self.pages.get((path, text), self.pages.get((path, "")))
        if isinstance(found, Problem):
            raise found
        if found is None:
            raise Problem(404, {"title": "there is no such page in this test", "detail": path, "request_id": "req_none"})
        assert isinstance(found, dict)
        return found

    async def post(self, path: str, body: Mapping[str, Any], *, key: str | None = None, match: str | None = None) -> Answer:
        self.written.append((path, dict(body), key, match))
        found = self.answers.get(path)
        if isinstance(found, Problem):
            raise found
        return Answer(status=201, data=found or {})

    def retry_now(self) -> None:
        self.retries += 1

    async def unlock(self, token: str) -> bool:
        return token == self.token


META: Final[dict[str, Any]] = {
    "object": "meta",
    "environment": {"name": "local", "kind": "sim"},
    "version": "0.1.0",
    "schema": 1,
    "server_time": "2026-10-16T14:33:09.800Z",
    "head": 120,
    "operator": {"id": "op_1", "name": "ana", "person": "ana", "role": "approver", "token_expires_at": None},
    "limits": {"plan_expires_seconds": 1800, "heartbeat_seconds": 5, "page": 200, "idle_lock_seconds": 900, "arm_seconds": 600},
    "connectors": ["stripe", "adyen", "paypal"],
    "currencies": {"EUR": 2, "JPY": 0},
    "actions": [
        {
            "name": "payment.resync",
            "verb": "ask the PSP again",
            "subject": "payment",
            "least": "operator",
            "parameters": [],
            "may": True,
            "why_not": None,
        },
        {
            "name": "payment.resolve",
            "verb": "resolve by people",
            "subject": "payment",
            "least": "operator",
            "parameters": [{"name": "to", "required": True, "choices": ["CAPTURED", "FAILED"], "about": "the state it is in at the PSP"}],
            "may": True,
            "why_not": None,
        },
        {
            "name": "payment.void",
            "verb": "void",
            "subject": "payment",
            "least": "operator",
            "parameters": [],
            "may": False,
            "why_not": "takes an operator",
        },
    ],
}


def money(amount: int, currency: str = "EUR") -> dict[str, Any]:
    """As the contract writes it."""
    return {"amount": amount, "currency": currency}


def attention() -> list[dict[str, Any]]:
    """The list of the pictures."""
    return [
        {
            "severity": "critical",
            "kind": "breaker",
            "what": "breaker OPEN adyen.authorize",
            "count": 1,
            "at_risk": [money(1840000)],
            "since": "2026-10-16T14:31:00.000Z",
            "view": {"screen": "connector", "filter": None, "id": "adyen"},
        },
        {
            "severity": "critical",
            "kind": "unknown",
            "what": "payments with unknown outcome",
            "count": 12,
            "at_risk": [money(391120)],
            "since": "2026-10-16T14:25:29.000Z",
            "view": {"screen": "payments", "filter": "state:OUTCOME_UNKNOWN", "id": None},
        },
        {
            "severity": "warning",
            "kind": "mismatch",
            "what": "reconciliation mismatches 2026-10-16 stripe",
            "count": 4,
            "at_risk": [money(140450)],
            "since": "2026-10-16T05:33:00.000Z",
            "view": {"screen": "reconciliation", "filter": None, "id": None},
        },
    ]


def overview() -> dict[str, Any]:
    """Figures as in the pictures."""
    return {
        "at": "2026-10-16T14:33:09.800Z",
        "since": "2026-10-16T13:00:00.000Z",
        "tiles": {
            "authorization_rate": {
                "percent": 91.4,
                "change_points": -3.1,
                "count": 812,
                "series": [95.0, 94.0, 95.0, 97.0, 94.0, 94.0, 94.0, 93.5, 93.0, 92.0, 91.5, 91.4],
            },
            "unknown": {
                "count": 12,
                "oldest_at": "2026-10-16T14:25:29.000Z",
                "at_risk": [money(391120)],
                "series": [0, 0, 1, 0, 1, 1, 2, 3, 5, 8, 10, 12],
            },
            "authorize": {
                "p50_ms": 180,
                "p95_ms": 1240,
                "p99_ms": 1920,
                "platform_p95_ms": 14,
                "psp_p95_ms": 1226,
                "slo_ms": 2500,
                "series": [400, 410, 600, 420, 420, 600, 610, 900, 900, 1300, 1240, 1240],
            },
            "queues": {"mailboxes": 3, "outbox": 11, "inbox": 0, "dead_letters": 37},
            "mismatches": {"open": 4, "gross": [money(140450)], "day": "2026-10-16", "matched_percent": 99.93},
            "approvals": {"waiting": 2, "mine": 1, "reviews_due": 0},
        },
        "attention": attention(),
    }


def connector(name: str, state: str, ok: float | None, p50: int, p99: int, share: float) -> dict[str, Any]:
    """A row of the connectors' list."""
    circuit = {
        "mode": state,
        "reason": None,
        "since": "2026-10-16T14:31:00.000Z",
        "until": None,
        "calls": 20,
        "failures": 8,
        "slow": 0,
        "failures_in_a_row": 2,
        "code": None,
        "by": None,
    }
    return {
        "object": "connector",
        "name": name,
        "state": state,
        "enabled": True,
        "circuits": dict.fromkeys(("authorize", "capture", "void", "refund", "lookup"), circuit),
        "draining": None,
        "ok_percent": ok,
        "calls_per_second": 41.0,
        "share_percent": share,
        "latency": {"p50_ms": p50, "p90_ms": p50 * 2, "p99_ms": p99},
        "in_flight": 3,
        "connections": 4,
        "waiting": 0,
        "mailbox": {"depth": 1, "capacity": 64},
        "retry_budget": {"tokens": 9.5, "most": 10},
        "dead_letters": 31 if state == "open" else 0,
        "unknown": 12 if state == "open" else 0,
        "webhook_lag_seconds": 0.4,
    }


def connectors() -> list[dict[str, Any]]:
    """Three, in three states."""
    return [
        connector("stripe", "closed", 97.2, 180, 920, 71.0),
        connector("adyen", "open", 61.0, 410, 9800, 0.0),
        connector("paypal", "half_open", 93.8, 210, 1400, 29.0),
    ]


def event(position: int, subject_id: str = "pay_01JAYQ9", kind: str = "payment", **more: Any) -> dict[str, Any]:
    """An event of the stream."""
    return {
        "position": position,
        "at": f"2026-10-16T14:{position // 60 % 60:02d}:{position % 60:02d}.120Z",
        "kind": kind,
        "event": "OutcomeLost",
        "stream": kind,
        "subject_id": subject_id,
        "sequence": 4,
        "actor": "psp:adyen",
        "cause": "req_9f2c",
        "text": "the outcome of the authorization is not known",
        "tone": "unknown",
        "change": "AUTHORIZING -> OUTCOME_UNKNOWN",
        "payment": None,
        "connector": "adyen",
        **more,
    }


def snapshot(**more: Any) -> dict[str, Any]:
    """Everything at position 120."""
    return {
        "object": "snapshot",
        "cursor": 120,
        "server_time": "2026-10-16T14:33:09.800Z",
        "schema": 1,
        "meta": META,
        "overview": overview(),
        "connectors": connectors(),
        "approvals": [],
        "live": [
            event(
                118,
                "adyen/authorize",
                "connector",
                event="CircuitOpened",
                tone="bad",
                change="closed -> open",
                text="8 of 20 failed",
                actor="system",
            ),
            event(119, "routing", "routing", event="SharesChanged", tone="info", change=None, text="adyen 28% -> 0%", actor="system"),
            event(120),
        ],
        **more,
    }
