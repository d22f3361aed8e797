"""What people do about dead letters from the command line: find them, read one, give them another life, or discard them for a reason.

It works on a connection of its own, beside the running platform or without one. The platform finds what was replayed by its row: nobody has
to tell it. Not here: what is decided (`dead_letter_outlook`), the statements (`payorch.store.dead_letters`), who may do this (whoever can
reach the database), printing.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, final

from payorch import dead_letter_outlook as outlook
from payorch.api.operations.dead_letter_views import data
from payorch.dead_letter_outlook import Decided, Verdict
from payorch.ports import Clock
from payorch.store import dead_letters, entries
from payorch.store.dead_letters import Filter, Group
from payorch.store.driver import Connection
from payorch.store.entries import Change, ChangeRefused
from payorch.store.items import DeadLetter, DeadLetterState, Entry, Result
from payorch.wording import aligned, printable, shortened, span

_REASON_COLUMNS: Final = 90

# Whoever changes a letter holds the journal's head while he looks whether it is still open: then nobody else is half-way through the same.
# In this order always, as the writer does it, so that two never wait for each other.
_ONE_AT_A_TIME: Final = "SELECT 1 FROM payorch.journal_head FOR UPDATE"


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
        at, by = self._clock.now(), self._actor
        return [await self._decide(one, lambda id: outlook.replay_of(self._connection, id, at=at, by=by, reason=reason)) for one in ids]

    async def discard(self, ids: Sequence[str], *, reason: str) -> list[Verdict]:
        """Notes of each of them that it needs no answer, and why. One that is not open is left as it is."""
        at, by = self._clock.now(), self._actor
        return [await self._decide(one, lambda id: outlook.discard_of(self._connection, id, at=at, by=by, reason=reason)) for one in ids]

    async def _decide(self, letter_id: str, decide: Callable[[str], Awaitable[Decided | Verdict]]) -> Verdict:
        async with self._connection.transaction():
            await self._connection.execute(_ONE_AT_A_TIME)
            decided = await decide(letter_id)
            if isinstance(decided, Verdict):
                return decided
            try:
                await self._write(decided.change)
            except ChangeRefused as refusal:
                return Verdict(id=letter_id, changed=False, text=f"is left as it is: {refusal}")
            return decided.verdict

    async def _write(self, change: Change) -> None:
        await entries.changed(self._connection, self._visit, change, at=self._clock.now(), actor=self._actor, cause=self._cause)

    async def _visit(self, entry: Entry) -> Result:
        return await entries.visit(self._connection, entry)


# --- as people read them ---------------------------------------------------------------------------------------------------------------


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
