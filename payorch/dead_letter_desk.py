"""What people do about dead letters from the command line: find them, read one, give them another life, or discard them for a reason.

It works on a connection of its own, beside the running platform or without one. The platform finds what was replayed by its row: nobody has
to tell it. Not here: the statements (`payorch.store.dead_letters`), who may do this (whoever can reach the database), printing.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, final

from payorch.ports import Clock
from payorch.store import dead_letters, delivery_reads, entries
from payorch.store.dead_letters import Filter, Group, NoOtherLife
from payorch.store.driver import Connection
from payorch.store.entries import Change, ChangeRefused
from payorch.store.items import DeadLetter, DeadLetterKind, DeadLetterState, EndpointState, Entry, Result
from payorch.wording import aligned, printable, shortened, span

_REASON_COLUMNS: Final = 90

# Whoever changes a letter holds the journal's head while he looks whether it is still open: then nobody else is half-way through the same.
# In this order always, as the writer does it, so that two never wait for each other.
_ONE_AT_A_TIME: Final = "SELECT 1 FROM payorch.journal_head FOR UPDATE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one letter, in words; `changed`: whether anything did."""

    id: str
    changed: bool
    text: str


@final
class Desk:
    """Changes letters on one connection. `actor` and `cause` stand in the audit record of each change."""

    def __init__(self, connection: Connection, *, clock: Clock, actor: str, cause: str) -> None:
        self._connection = connection
        self._clock = clock
        self._actor = actor
        self._cause = cause

    async def open_ones(self, fingerprint: str, *, limit: int) -> tuple[list[str], bool]:
        """The open letters of that fingerprint, newest first, and whether there are more than `limit`."""
        what = Filter(state=DeadLetterState.OPEN, fingerprint=fingerprint)
        found, cursor = await dead_letters.find(self._connection, what, limit=limit)
        return [one.id for one in found], cursor is not None

    async def replay(self, ids: Sequence[str], *, reason: str | None = None) -> list[Verdict]:
        """Gives each of them another life, now. One that is not open is left as it is."""
        return [await self._decide(one, lambda letter: self._replay(letter, reason)) for one in ids]

    async def discard(self, ids: Sequence[str], *, reason: str) -> list[Verdict]:
        """Notes of each of them that it needs no answer, and why. One that is not open is left as it is."""
        return [await self._decide(one, lambda letter: self._discard(letter, reason)) for one in ids]

    async def _decide(self, letter_id: str, decide: Callable[[DeadLetter], Awaitable[Verdict]]) -> Verdict:
        async with self._connection.transaction():
            await self._connection.execute(_ONE_AT_A_TIME)
            letter = await dead_letters.load(self._connection, letter_id)
            if letter is None:
                return Verdict(id=letter_id, changed=False, text="there is no such dead letter")
            if letter.state is not DeadLetterState.OPEN:
                return Verdict(id=letter_id, changed=False, text=f"is {letter.state.value} already")
            try:
                return await decide(letter)
            except ChangeRefused as refusal:
                return Verdict(id=letter_id, changed=False, text=f"is left as it is: {refusal}")

    async def _replay(self, letter: DeadLetter, reason: str | None) -> Verdict:
        text = "replayed"
        try:
            change = dead_letters.replayed(letter, at=self._clock.now(), by=self._actor, reason=reason)
        except NoOtherLife as refusal:
            return Verdict(id=letter.id, changed=False, text=f"is left as it is: {refusal}")
        if letter.kind is DeadLetterKind.WEBHOOK_OUT:
            endpoint = await delivery_reads.endpoint(self._connection, letter.origin)
            if endpoint is None or endpoint.state is EndpointState.DELETED:
                return Verdict(id=letter.id, changed=False, text="its endpoint is deleted: nobody would take it. Discard it")
            if endpoint.state is EndpointState.DISABLED:
                text = "replayed; it waits until its endpoint is enabled again"
        await self._write(change)
        return Verdict(id=letter.id, changed=True, text=text)

    async def _discard(self, letter: DeadLetter, reason: str) -> Verdict:
        await self._write(dead_letters.discarded(letter, at=self._clock.now(), by=self._actor, reason=reason))
        return Verdict(id=letter.id, changed=True, text="discarded")

    async def _write(self, change: Change) -> None:
        await entries.changed(self._connection, self._visit, change, at=self._clock.now(), actor=self._actor, cause=self._cause)

    async def _visit(self, entry: Entry) -> Result:
        return await entries.visit(self._connection, entry)


# --- as people and programs read them ---------------------------------------------------------------------------------------------------


def data(letter: DeadLetter) -> dict[str, Any]:
    """A letter for programs, without its contents."""
    return {
        "id": letter.id,
        "kind": letter.kind.value,
        "origin": letter.origin,
        "state": letter.state.value,
        "reason_class": letter.reason_class,
        "reason": letter.reason,
        "fingerprint": letter.fingerprint,
        "attempts": letter.attempts,
        "first_failed_at": _moment(letter.first_failed_at),
        "last_failed_at": _moment(letter.last_failed_at),
        "merchant_id": letter.merchant_id,
        "payment_id": letter.payment_id,
        "resolved_at": letter.resolved_at and _moment(letter.resolved_at),
        "resolved_by": letter.resolved_by,
        "resolution": letter.resolution,
    }


def whole_data(letter: DeadLetter) -> dict[str, Any]:
    """A letter for programs, with what died and its redacted contents."""
    return {**data(letter), "subject": json.loads(letter.subject), "payload": letter.payload}


def group_data(group: Group) -> dict[str, Any]:
    """A group for programs."""
    return {
        "fingerprint": group.fingerprint,
        "kind": group.kind.value,
        "origin": group.origin,
        "reason_class": group.reason_class,
        "letters": group.letters,
        "first_failed_at": _moment(group.first_failed_at),
        "last_failed_at": _moment(group.last_failed_at),
        "example": group.example,
    }


def table(letters: Sequence[DeadLetter], now: datetime) -> str:
    """One line a letter: since when, how often it was tried, and why it died."""
    head = ("id", "age", "tries", "kind", "origin", "why", "")
    return aligned([head, *(_row(letter, now) for letter in letters)])


def _row(letter: DeadLetter, now: datetime) -> tuple[str, ...]:
    age = span((now - letter.first_failed_at).total_seconds())
    words = shortened(printable(letter.reason), _REASON_COLUMNS)
    return letter.id, age, str(letter.attempts), letter.kind.value, printable(letter.origin), printable(letter.reason_class), words


def group_table(groups: Sequence[Group], now: datetime) -> str:
    """One line for all that failed alike."""
    head = ("letters", "oldest", "newest", "fingerprint", "for instance")
    rows = [
        (
            str(group.letters),
            span((now - group.first_failed_at).total_seconds()),
            span((now - group.last_failed_at).total_seconds()),
            printable(group.fingerprint),
            group.example,
        )
        for group in groups
    ]
    return aligned([head, *rows])


def whole(letter: DeadLetter) -> str:
    """Everything of one letter. What came from outside is made printable, line by line."""
    rows = [(name.replace("_", " "), printable(str(value))) for name, value in data(letter).items() if value is not None]
    return "\n".join([aligned(rows), "", *(f"  {printable(line)}" for line in _laid_out(letter.payload))])


def verdicts(some: Sequence[Verdict]) -> str:
    """One line a letter."""
    return aligned((one.id, printable(one.text)) for one in some)


def _laid_out(payload: str) -> list[str]:
    if not payload:
        return ["(its contents are not kept any more)"]
    try:
        return json.dumps(json.loads(payload), indent=2, ensure_ascii=False).splitlines()
    except (ValueError, RecursionError):
        return payload.splitlines()


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
