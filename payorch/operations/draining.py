"""Connectors that take no new payments for a while, by an operator's word: in memory for routing, in a row and in the journal for ever.

A drain ends by itself, at the moment it was given, whether or not anybody looks; that it has ended is written down when it has. What is
under way goes on: captures, voids, refunds and look-ups are none of routing's business. After a restart the rows are read before the first
payment is routed.

Not here: who may drain (`circuits`), what routing makes of it (`payorch.domain.routing`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, final

import msgspec
import structlog
import trio

from actors.circuit_log import stream_id
from actors.mailbox import ActorStopped, AskTimeout, MailboxFull
from payorch.ports import Clock
from payorch.store import connector_reads, entries
from payorch.store.items import CONNECTOR_STREAM, Appended, Conflict, DrainRow, Entry, Result
from payorch.store.journal import JournalUnavailable
from payorch.store.pool import DatabaseUnavailable, PoolExhausted

DRAINED: Final = "ConnectorDrained"
RESUMED: Final = "ConnectorResumed"
ENDED: Final = "ConnectorDrainEnded"
LONGEST_REASON: Final = 120
"""Of an operator's words in a decision: each payment keeps them for ever."""
_TRIES: Final = 20
"""The circuits of the same connector write into the same stream; in an outage, several times a second."""
_AWAY: Final = (JournalUnavailable, DatabaseUnavailable, PoolExhausted, MailboxFull, ActorStopped, AskTimeout)

log = structlog.get_logger("payorch.draining")


@final
class Drains:
    """The drains of one process. read, write: as of the platform."""

    def __init__(
        self,
        connectors: Iterable[str],
        *,
        clock: Clock,
        read: Callable[..., Awaitable[Any]],
        write: Callable[[Entry], Awaitable[Result]],
        retry_seconds: float,
    ) -> None:
        self._clock = clock
        self._read = read
        self._write = write
        self._retry_seconds = retry_seconds
        self._drains: dict[str, DrainRow] = {}  # also those that are over, until that is written down
        self._changed = {name: trio.Event() for name in connectors}
        self._remembered = False
        self._remembering = trio.Lock()

    def now(self, connector: str) -> DrainRow | None:
        """The drain of that connector that is in force."""
        drain = self._drains.get(connector)
        return drain if drain is not None and self._clock.now() < drain.until else None

    def unavailable(self) -> Mapping[str, str]:
        """The connectors that routing is to leave out, each with the reason in words. It runs for each payment."""
        if not self._drains:
            return {}
        return {name: in_words(drain) for name in self._drains if (drain := self.now(name)) is not None}

    async def remember(self) -> None:
        """Reads what the processes before this one left. Waits for the database; once in a process."""
        async with self._remembering:
            while not self._remembered:
                try:
                    for drain in await self._read(connector_reads.drains):
                        if drain.connector in self._changed:
                            self._put(drain)
                except _AWAY:
                    await trio.sleep(self._retry_seconds)
                    continue
                self._remembered = True

    async def learn(self, connector: str) -> None:
        """Reads that connector's row anew: what was written is there, although whoever wrote it did not hear so."""
        for drain in await self._read(connector_reads.drains):
            if drain.connector == connector:
                self._put(drain)

    async def drain(self, connector: str, *, until: datetime, reason: str, by: str, cause: str) -> DrainRow:
        """From now on that connector takes no new payments, until then. Durable when it returns; raises where that is in doubt."""
        row = DrainRow(connector=connector, until=until, reason=reason, by=by, cause=cause, changed_at=self._clock.now())
        await self._tell(DRAINED, row, {"until": until, "reason": reason})
        self._put(row)
        return row

    async def resume(self, connector: str, *, reason: str, by: str, cause: str) -> None:
        """It takes new payments again, from now on. Durable when it returns; raises where that is in doubt."""
        now = self._clock.now()
        row = DrainRow(connector=connector, until=now, reason=reason, by=by, cause=cause, changed_at=now)
        await self._tell(RESUMED, row, {"reason": reason})
        self._put(None, connector)

    async def watch(self, connector: str) -> None:
        """For ever: writes down when a drain of that connector has ended by itself."""
        while True:
            drain = self._drains.get(connector)
            left = None if drain is None else (drain.until - self._clock.now()).total_seconds()
            if drain is not None and left is not None and left <= 0:
                await self._end(drain)
                continue
            with trio.CancelScope(deadline=trio.current_time() + left if left is not None else float("inf")):
                await self._changed[connector].wait()

    # --- inside

    def _put(self, drain: DrainRow | None, connector: str = "") -> None:
        name = connector if drain is None else drain.connector
        if drain is None:
            self._drains.pop(name, None)
        else:
            self._drains[name] = drain
        self._changed[name].set()
        self._changed[name] = trio.Event()

    async def _is_open(self, drain: DrainRow) -> bool:
        """Whether its end has not been written down yet."""
        last = await self._read(connector_reads.last_record, drain.connector, (DRAINED, RESUMED, ENDED))
        return last is not None and last.name == DRAINED and last.cause == drain.cause

    async def _end(self, drain: DrainRow) -> None:
        """Written once, whatever comes between: it is looked for before each try."""
        while self._drains.get(drain.connector) is drain:
            try:
                if await self._is_open(drain):
                    await self._tell(ENDED, None, {"until": drain.until}, connector=drain.connector, cause=drain.cause)
                    log.info("connector.drain_ended", connector=drain.connector)
            except _AWAY:
                await trio.sleep(self._retry_seconds)
                continue
            if self._drains.get(drain.connector) is drain:
                self._put(None, drain.connector)

    async def _tell(self, name: str, row: DrainRow | None, detail: Mapping[str, object], *, connector: str = "", cause: str = "") -> None:
        stream = stream_id(connector if row is None else row.connector)
        for _ in range(_TRIES):
            entry = Entry(
                stream=CONNECTOR_STREAM,
                stream_id=stream,
                sequence=await self._read(entries.next_sequence, stream),
                name=name,
                at=self._clock.now(),
                actor="system" if row is None else row.by,
                cause=cause if row is None else row.cause,
                body=msgspec.json.encode(detail),
                rows=() if row is None else (row,),
            )
            result = await self._write(entry)
            if isinstance(result, Appended):
                return
            if not isinstance(result, Conflict):
                raise AssertionError(f"a record of a drain is like any other, and yet: {result}")
        raise JournalUnavailable("the connector's circuits keep writing into the same stream")


def in_words(drain: DrainRow) -> str:
    """Why a connector gets no payments, for decisions and for people."""
    reason = drain.reason if len(drain.reason) <= LONGEST_REASON else f"{drain.reason[: LONGEST_REASON - 1]}…"
    return f"draining until {drain.until:%Y-%m-%d %H:%M}Z by {drain.by.removeprefix('operator:')}: {reason}"
