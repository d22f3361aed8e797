"""What the made-up answers of the operations API are made of: a moment, identifiers, money, acts, and text that means harm.

The shapes follow the contract between server and console to the letter. Not here: payments (`answers_payments`), everything else
(`answers_rest`), the files (`answers`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from payorch.domain.acts import KINDS, ActName
from payorch.domain.identifiers import text

View = dict[str, Any]

NOW: Final = datetime(2026, 10, 16, 14, 32, 55, tzinfo=UTC)
"""When all of it was asked for."""
HEAD: Final = 88_213
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
CONNECTORS: Final = ("stripe", "adyen", "paypal")

HOSTILE: Final = (
    "[/]",
    "[/bold]",
    "[@click=app.quit]press me[/]",
    "[type=x, v={'a[0]'}]",
    "\x1b]52;c;cHduZWQ=\x1b\\",
    "\x1b[2J\x1b[31mred",
    "\x9b31m C1",
    "\u202egnp.exe\u2066",
    "zero\u200bwidth\u200d\ufeff",
    "e\u0301\u0327\u0334 combining",
    "日本語の注文",
    "🏴\U000e0067\U000e0062🧑\u200d🚀",
    "tab\tnew\nline\r\x00\x07\x7f",
    "x" * 3000,
)
"""Each of them breaks some terminal or some renderer of markup."""


def at(hours: int, minutes: int, seconds: float = 0.0, *, day: int = 16) -> str:
    """That moment of the day, as the API writes it."""
    return stamp(datetime(2026, 10, day, hours, minutes, tzinfo=UTC) + timedelta(seconds=seconds))


def stamp(moment: datetime) -> str:
    """RFC 3339 with milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ident(prefix: str, moment: str, number: int = 0) -> str:
    """An identifier as it would have been made then; the same for the same arguments."""
    millis = int((datetime.fromisoformat(moment) - _EPOCH) / timedelta(milliseconds=1))
    return text(prefix, UUID(int=millis << 80 | 0x7 << 76 | 0xABC << 64 | 0x2 << 62 | (number * 0x9E3779B97F4A7C15) % (1 << 62)))


def money(amount: int, currency: str = "EUR") -> View:
    """An amount in minor units."""
    return {"amount": amount, "currency": currency}


def person(name: str) -> View:
    """Somebody who acts."""
    return {"name": name, "person": f"{name}@example.com"}


def may(name: str, subject: str, why_not: str | None = None, *, people: int = 1) -> View:
    """One row of what may be done to a subject."""
    verb = KINDS[ActName(name)].verb
    return {"action": name, "verb": verb, "allowed": why_not is None, "why_not": why_not, "people": people, "subject": subject}


def act(number: int, name: str, subject: str, state: str, **other: Any) -> View:
    """An act, as the API shows it."""
    requested_at = other.pop("requested_at", at(14, 20 + number % 10))
    plan = {
        "effects": [
            {"what": "state", "before": "OUTCOME_UNKNOWN", "after": "CAPTURED"},
            {"what": "ledger", "before": "0.00 EUR", "after": "+249.00 EUR"},
        ],
        "checks": [{"what": "evidence", "holds": True, "detail": "an inquiry of 14:22:59Z", "binds": True}],
        "proofs": [{"reference": "inq_7", "at": at(14, 22, 59.02), "text": "adyen: captured 249.00 EUR"}],
        "objections": [],
        "undo": "a refund; the state itself is not taken back",
        "amount": money(249_00),
        "version": "17",
        "why_people": "it changes what is taken for true about money",
        "confirm": "249.00",
    }
    whole = {
        "id": ident("act", requested_at, number),
        "object": "action",
        "action": name,
        "verb": KINDS[ActName(name)].verb,
        "subject": subject,
        "parameters": {},
        "state": state,
        "people": 2,
        "break_glass": False,
        "reason": "INC-4412: shopper confirms the debit",
        "plan": plan,
        "hash": f"{number:064x}",
        "requested_by": person("ana"),
        "requested_at": requested_at,
        "expires_at": at(14, 50 + number % 10),
        "decided_by": None,
        "decided_at": None,
        "decision": None,
        "decision_reason": None,
        "progress": None,
        "result": None,
        "finished_at": None,
        "review": None,
        "version": 1,
        "mine": False,
        "may_approve": state == "proposed",
        "why_not_approve": None if state == "proposed" else f"it is {state} already",
    }
    return {**whole, **other}


def page(rows: list[View], cursor: str | None = None, **more: Any) -> View:
    """One page of a list."""
    return {"data": rows, "next_cursor": cursor, **more}
