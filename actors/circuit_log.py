"""The durable story of a connector's circuits: each change of mode as a record in the connector's own stream of the journal, and back.

Writing never holds a call up: a change is put into a bounded queue, and one task writes the queue in order, as patient as the database is
slow. What does not fit is dropped, oldest first, and the next record says how many were. Reading is for the start of a process: the mode in
which each circuit was left, and the calls of the last minutes.

Not here: what a circuit does (`breaker`), which calls count (`admission`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, final

import msgspec
import trio
from msgspec import Struct

from actors.admission import Admission, CallKind, Changed, judge, was_tried
from actors.breaker import CircuitView, Mode, Reason
from actors.mailbox import ActorStopped, AskTimeout, MailboxFull
from actors.moments import Moments
from payorch.domain import identifiers
from payorch.domain.outcome import Source
from payorch.store.connector_reads import RecentCall
from payorch.store.items import CONNECTOR_STREAM, Appended, Conflict, Entry, Result
from payorch.store.journal import JournalUnavailable
from payorch.store.pool import DatabaseUnavailable, PoolExhausted
from payorch.store.reads import JournalRow

NAMES: Final = {
    Mode.CLOSED: "CircuitClosed",
    Mode.OPEN: "CircuitOpened",
    Mode.HALF_OPEN: "CircuitProbing",
    Mode.FORCED_OPEN: "CircuitForcedOpen",
    Mode.FORCED_CLOSED: "CircuitForcedClosed",
}
"""What a change to that mode is called in the journal."""
_MODES: Final = {name: mode for mode, name in NAMES.items()}
_KINDS: Final = {
    "att": CallKind.AUTHORIZE,
    "cap": CallKind.CAPTURE,
    "void": CallKind.VOID,
    "ref": CallKind.REFUND,
}
_PROBES_TOLD: Final = 8
_LONGEST_QUEUE: Final = 256  # the changes of half an hour of one circuit that opens and closes as fast as it can


class CircuitRecord(Struct, frozen=True, kw_only=True):
    """The body of a record. `operation`: the kind of call; the counts are those of the window that decided. `lost`: records not written."""

    operation: CallKind
    reason: Reason
    until: datetime | None = None
    calls: int = 0
    failures: int = 0
    slow: int = 0
    failures_in_a_row: int = 0
    openings: int = 0
    code: str | None = None
    by: str | None = None
    lost: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    name: str
    at: datetime
    actor: str
    cause: str
    record: CircuitRecord


def worth_telling(view: CircuitView, told: Mode | None = None) -> bool:
    """Whether a change belongs into the story; `told`: the mode of the last one of that circuit that did. Of the probes of a long outage
    only the first, and then ever rarer ones: that one has failed like all the others is no news, and a day of them would be ten thousand
    records. Just so with the openings of a PSP that asks again and again to be left alone; and that
    it closed is news where the opening was.
    """
    if view.mode is Mode.CLOSED and view.reason is Reason.PROBES_SUCCEEDED:
        return told is not Mode.CLOSED
    if view.reason not in (Reason.PROBE_FAILED, Reason.PROBING, Reason.RETRY_AFTER):
        return True
    probes = view.openings + (view.mode is Mode.HALF_OPEN)
    return probes <= _PROBES_TOLD or probes & (probes - 1) == 0


def stream_id(connector: str) -> str:
    """The identifier of that connector's stream: the same for ever, made from its name."""
    return identifiers.of_name("con", connector)


@final
class CircuitLog:
    """The writer for one connector. It outlives the connector's actor, so that nothing is lost or overtaken when that dies.

    write: as of the platform. last: the newest record of the connector's stream, None where it has none.
    """

    def __init__(
        self,
        connector: str,
        *,
        write: Callable[[Entry], Awaitable[Result]],
        last: Callable[[], Awaitable[JournalRow | None]],
        moments: Moments,
        retry_seconds: float,
    ) -> None:
        self._stream_id = stream_id(connector)
        self._write = write
        self._last = last
        self._moments = moments
        self._retry_seconds = retry_seconds
        self._queue: deque[_Pending] = deque()
        self._current: _Pending | None = None
        self._more = trio.Event()
        self._sequence: int | None = None  # of the last record, where it is surely known
        self._lost = 0

    def put(self, changed: Changed) -> None:
        """Keeps the change for writing. Never waits."""
        if len(self._queue) >= _LONGEST_QUEUE:
            self._queue.popleft()
            self._lost += 1
        view = changed.view
        record = CircuitRecord(
            operation=changed.kind,
            reason=view.reason,
            until=None if view.until is None else self._moments.wall(view.until),
            calls=view.calls,
            failures=view.failures,
            slow=view.slow,
            failures_in_a_row=view.failures_in_a_row,
            openings=view.openings,
            code=view.code,
            by=view.by,
        )
        pending = _Pending(
            name=NAMES[view.mode], at=self._moments.wall(view.since), actor=view.by or "system", cause=changed.cause, record=record
        )
        self._queue.append(pending)
        self._more.set()

    async def write_for_ever(self) -> None:
        """Writes what was put in, in order. One task at a time."""
        while True:
            if self._current is None:
                while not self._queue:
                    self._more = trio.Event()
                    await self._more.wait()
                self._current, self._lost = _with_lost(self._queue.popleft(), self._lost), 0
            await self._write_patiently(self._current)
            self._current = None

    async def _write_patiently(self, pending: _Pending) -> None:
        """Tries until it is surely written. Where that was in doubt, the journal is read before it is tried again."""
        body = _encode(pending.record)
        while True:
            try:
                if self._sequence is None:
                    last = await self._last()
                    self._sequence = last.sequence if last is not None else 0
                    if last is not None and (last.name, last.at, last.body.encode()) == (pending.name, pending.at, body):
                        return
                result = await self._write(
                    Entry(
                        stream=CONNECTOR_STREAM,
                        stream_id=self._stream_id,
                        sequence=self._sequence + 1,
                        name=pending.name,
                        at=pending.at,
                        actor=pending.actor,
                        cause=pending.cause,
                        body=body,
                    )
                )
            except (JournalUnavailable, DatabaseUnavailable, PoolExhausted, MailboxFull, ActorStopped, AskTimeout):
                self._sequence = None
                await trio.sleep(self._retry_seconds)
                continue
            if isinstance(result, Appended):
                self._sequence += 1
                return
            self._sequence = None
            if not isinstance(result, Conflict):
                self._lost += 1  # a record that the database refuses must not keep the connector, or those behind it, from working
                return


def _with_lost(pending: _Pending, lost: int) -> _Pending:
    return pending if not lost else replace(pending, record=msgspec.structs.replace(pending.record, lost=lost))


def remember(
    admission: Admission, records: Sequence[JournalRow], calls: Sequence[RecentCall], moments: Moments, *, replays_errors: bool
) -> None:
    """Fills the admission with what the journal has of the time before: `records` newest first, `calls` oldest first."""
    known: set[CallKind] = set()
    for row in records:
        if row.name not in _MODES:
            continue
        try:
            record = _decode(row.body)
        except msgspec.DecodeError:
            continue  # a newer program's: what is not understood is not remembered
        if record.operation not in known:
            known.add(record.operation)
            admission.remember_circuit(record.operation, _as_left(record, row, moments))
    for call in calls:
        verdict, code = judge(call.evidence, replays_errors=replays_errors, slow_seconds=admission.limits.slow_seconds)
        if not was_tried(call.evidence, verdict):
            continue  # it was kept back, and neither cost nor earned a token
        inquiry = call.evidence.source is Source.INQUIRY
        kind = CallKind.LOOKUP if inquiry else _KINDS[call.subject_id.partition("_")[0]]
        repeat = call.evidence.source is Source.REPLAY
        at, stored = moments.monotonic(call.evidence.at), call.evidence.repeats_error
        admission.remember_call(kind, at, verdict, code, repeat=repeat, stored=stored)
    admission.remembered = True


def _as_left(record: CircuitRecord, row: JournalRow, moments: Moments) -> CircuitView:
    return CircuitView(
        mode=_MODES[row.name],
        reason=record.reason,
        since=moments.monotonic(row.at),
        until=None if record.until is None else moments.monotonic(record.until),
        calls=record.calls,
        failures=record.failures,
        slow=record.slow,
        failures_in_a_row=record.failures_in_a_row,
        openings=record.openings,
        probing=0,
        code=record.code,
        by=record.by,
    )


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(CircuitRecord).decode
