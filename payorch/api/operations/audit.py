"""The audit over HTTP: searching the journal, and whether its chain is whole.

Records are shown with their bodies as far as people may see them (`redaction`), in one sentence each, and with their hash, by which a copy
can be compared. Not here: who asks (`operators`), searching (`payorch.store.audit_search`), verifying and anchoring
(`payorch.operations.auditor`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, final

import msgspec
from quart import Response, request

from payorch.api.merchant import Handler
from payorch.api.operations.events import words_of
from payorch.api.operations.operators import OperatorDoor
from payorch.api.operations.redaction import shown_record
from payorch.api.present import View, moment_view, rfc3339
from payorch.api.reading import Reader, moment, query_of, text, view_response, whole
from payorch.api.timeline import Teller
from payorch.domain.events import UnreadableEvent, decode
from payorch.domain.roles import Role
from payorch.store.audit_search import Asked, Found, Record
from payorch.store.items import PAYMENT_STREAM, STREAMS

PAGE_DEFAULT: Final = 50
PAGE_LIMIT: Final = 200


class SearchJournal(Protocol):
    """`audit_search.search` over a lent connection."""

    def __call__(self, what: Asked, *, limit: int, before: int | None) -> Awaitable[Found]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchored:
    """What is kept of the journal outside the database. where: the folder; None: nowhere. next_at: by then, if anything is written."""

    where: str | None
    count: int = 0
    last_position: int | None = None
    last_at: datetime | None = None
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What is known of the chain. state: whole, broken, or unknown where it was not walked to its end yet. records: found good."""

    state: str
    checked_at: datetime | None = None
    records: int = 0
    head_position: int = 0
    head_hash: str | None = None
    fault: str | None = None
    position: int | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSurroundings:
    """What these calls are given, and the door of all operators: what is known of tokens' use.

    verification, anchored: of now, as the auditor has them. token_used: hears of a use; waits for nothing. token_idle: for so
    long a token may rest before it is locked.
    """

    search: SearchJournal
    verification: Callable[[], Verification]
    anchored: Callable[[], Anchored]
    token_used: Callable[[str], None]
    token_idle: timedelta


def _scope(text: str) -> bool:
    if text not in ("people", "all"):
        raise ValueError("This is people or all.")
    return text == "people"


def _stream(text: str) -> str:
    if text not in STREAMS:
        raise ValueError(f"This is one of: {', '.join(STREAMS)}.")
    return text


def _cursor(text: str) -> int:
    try:
        return whole(text)
    except ValueError:
        raise ValueError("This is the next_cursor of the page before.") from None


_READERS: Final[Mapping[str, Reader]] = {
    "who": text, "act": text, "subject": text, "stream": _stream, "connector": text, "from": moment, "to": moment, "q": text,
    "scope": _scope, "limit": whole, "cursor": _cursor,
}  # fmt: skip
PARAMETERS: Final = tuple(_READERS)


@final
class AuditApi:
    """The handlers."""

    def __init__(self, around: AuditSurroundings, door: OperatorDoor) -> None:
        self._around = around
        self._door = door

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """(method, path) -> handler."""
        return {("GET", "/ops/v1/audit"): self.records, ("GET", "/ops/v1/audit/verification"): self.verification}

    async def records(self) -> Response:
        """A page of records, newest first."""
        await self._door.asked(Role.VIEWER)
        asked = query_of(request.query_string, _READERS, default=PAGE_DEFAULT, largest=PAGE_LIMIT)
        found = await self._around.search(_asked(asked.values), limit=asked.limit, before=asked.after)  # type: ignore[arg-type]
        return view_response(
            {
                "data": [record_view(one) for one in found.records],
                "next_cursor": None if found.after is None else str(found.after),
                "searched_to": None if found.searched_to is None else rfc3339(found.searched_to),
            }
        )

    async def verification(self) -> Response:
        """Whether the chain is whole, and what is kept of it elsewhere."""
        await self._door.asked(Role.VIEWER)
        return view_response(verification_view(self._around.verification(), self._around.anchored()))


def _asked(values: Mapping[str, Any]) -> Asked:
    """Where nothing is said: what people did. A stream or connector of its own is looked for everywhere."""
    everywhere = "stream" in values or "connector" in values
    return Asked(
        people=values.get("scope", not everywhere),
        who=values.get("who"),
        act=values.get("act"),
        subject=values.get("subject"),
        stream=values.get("stream"),
        connector=values.get("connector"),
        since=values.get("from"),
        until=values.get("to"),
        q=values.get("q"),
    )


def record_view(record: Record) -> View:
    """A record as people see it."""
    body = _body(record.body)
    return {
        "position": record.position,
        "at": rfc3339(record.at),
        "stream": record.stream,
        "subject_id": record.stream_id,
        "sequence": record.sequence,
        "event": record.name,
        "actor": record.actor,
        "cause": record.cause,
        "text": _sentence(record, body),
        "body": shown_record(body),
        "hash": record.hash.hex(),
    }


def _sentence(record: Record, body: Mapping[str, Any]) -> str:
    if record.stream != PAYMENT_STREAM:
        return words_of(record.stream, record.name, body)
    try:
        event = decode(name=record.name, at=record.at, actor=record.actor, cause=record.cause, body=record.body)
    except UnreadableEvent:
        return record.name
    return Teller().sentence(event)


def _body(body: str) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def verification_view(verification: Verification, anchored: Anchored) -> View:
    """Both, as the API shows them."""
    return {
        "object": "audit_verification",
        "state": verification.state,
        "checked_at": moment_view(verification.checked_at),
        "records": verification.records,
        "head_position": verification.head_position,
        "head_hash": verification.head_hash,
        "fault": verification.fault,
        "position": verification.position,
        "detail": verification.detail,
        "anchors": {
            "where": anchored.where,
            "count": anchored.count,
            "last_position": anchored.last_position,
            "last_at": moment_view(anchored.last_at),
            "next_at": moment_view(anchored.next_at),
        },
    }
