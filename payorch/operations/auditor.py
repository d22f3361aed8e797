"""The auditor: vouches for the journal while the platform runs, outside the database, and writes down when tokens were last used.

    anchors      at an interval, or after so many records, the journal's last hash goes into a file (`anchors`) and into the log
    the chain    it is walked from its first record at a pace that nobody feels, and then on from there; from the first again now and then,
                 each time together with all anchors. At the start the last anchor is looked at before anything else
    tokens       when one was used, to the hour: not on the way of a request

What it finds is told once in the log, as loud as can be, and stays to be read until a walk from the first record finds nothing. It stops
nothing: whether a platform whose journal was tampered with goes on is for people. Not here: the chain itself (`payorch.store.audit`), who
may see it (`payorch.api.operations.audit`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol, final

import structlog
import trio

from actors.actor import Actor
from actors.mailbox import ActorStopped, MailboxFull
from payorch.api.operations.audit import Anchored, Verification
from payorch.operations import anchors
from payorch.operations.anchors import AgainstJournal, Anchor, AnchorFile, Anchors, AnchorsUnusable
from payorch.ports import Clock
from payorch.store.audit import Fault, Head, Mark, Step
from payorch.store.items import OperatorTokenUsed, Result
from payorch.store.journal import JournalUnavailable
from payorch.store.pool import DatabaseUnavailable, PoolExhausted

PAGE_ROWS: Final = 500
"""Records of one step, some 3 ms of hashing: nobody who waits for an answer feels that."""
PACE_SECONDS: Final = 0.1
"""Between two steps of a long walk: 5,000 records a second, at some 3 % of a core."""
LOOK_SECONDS: Final = 1.0
"""How often it is looked whether enough was written for an anchor before its time."""
_AWAY: Final = (DatabaseUnavailable, JournalUnavailable, PoolExhausted, ActorStopped, MailboxFull, trio.TooSlowError)

log = structlog.get_logger("payorch.auditor")


class Journal(Protocol):
    """What the auditor reads. All of it raises DatabaseUnavailable and PoolExhausted when away."""

    async def identity(self) -> str: ...

    async def head(self) -> Head | None: ...

    async def advance(self, mark: Mark, *, page_rows: int) -> Step: ...

    async def hashes_at(self, positions: Sequence[int]) -> dict[int, bytes]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditorLimits:
    """As in [audit] of the settings."""

    anchor_seconds: float
    anchor_records: int
    verify_seconds: float
    verify_whole_seconds: float


@final
class Findings:
    """What is known, for whoever asks; it outlives the auditor's restarts. Written by the auditor alone."""

    def __init__(self) -> None:
        self.verification = Verification(state="unknown")
        self.anchored = Anchored(where=None)


@final
class Auditor(Actor[OperatorTokenUsed]):
    """file: makes the file of anchors of that journal; None where none are kept. written: the journal's position as the writer knows it,
    cheap. write: through the journal's writer.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        file: Callable[[str], AnchorFile] | None,
        key: bytes,
        findings: Findings,
        written: Callable[[], int],
        write: Callable[[OperatorTokenUsed], Awaitable[Result]],
        clock: Clock,
        limits: AuditorLimits,
    ) -> None:
        self._journal = journal
        self._make_file = file
        self._key = key
        self._findings = findings
        self._written = written
        self._write = write
        self._clock = clock
        self._limits = limits
        self._file: AnchorFile | None = None
        self._anchored_at: tuple[int, float] = (0, float("-inf"))

    async def started(self) -> None:
        if self._limits.verify_seconds > 0:
            self.spawn(self._walk_for_ever)
        if self._make_file is not None:
            self.spawn(self._anchor_for_ever)

    async def receive(self, message: OperatorTokenUsed) -> None:
        """A token was used. Where it cannot be written now, its next use will be."""
        await _unless_away(lambda: self._write(message))

    # --- anchors

    async def _anchor_for_ever(self) -> None:
        while True:
            if self._is_due():
                await _unless_away(self._anchor)
            await trio.sleep(LOOK_SECONDS)

    def _is_due(self) -> bool:
        position, at = self._anchored_at
        waited = trio.current_time() - at
        return waited >= self._limits.anchor_seconds or self._written() - position >= self._limits.anchor_records

    async def _anchor(self) -> None:
        """One anchor, if anything was written since the last one."""
        try:
            file = await self._opened()
            head = await self._journal.head()
            if head is None:
                return
            now = self._clock.now()
            last = await trio.to_thread.run_sync(file.last)
            if head.position and (last is None or (last.position, last.hash) != (head.position, head.hash.hex())):
                last = Anchor(position=head.position, hash=head.hash.hex(), epoch=head.epoch, at=now)
                await trio.to_thread.run_sync(file.append, last)
                log.info("audit.anchored", position=last.position, hash=last.hash, epoch=last.epoch, file=str(file.file))
        except AnchorsUnusable as unusable:
            log.error("audit.not_anchored", detail=str(unusable))
            self._anchored_at = (self._written(), trio.current_time())
            return
        self._anchored_at = (head.position, trio.current_time())
        self._findings.anchored = Anchored(
            where=str(file.file.parent),
            count=file.count,
            last_position=None if last is None else last.position,
            last_at=None if last is None else last.at,
            next_at=now + timedelta(seconds=self._limits.anchor_seconds),
        )

    async def _opened(self) -> AnchorFile:
        """The file of this journal. Its last anchor is looked at before another one is written behind it."""
        assert self._make_file is not None, "without a folder nothing is anchored"
        if self._file is None:
            file = self._make_file(await self._journal.identity())
            last = await trio.to_thread.run_sync(file.last)
            if last is not None:
                head = await self._journal.head()
                some = Anchors(anchors=(last,))
                self._judge_anchors(await anchors.against_journal(some, head.position if head else 0, self._journal.hashes_at))
            self._file = file
        return self._file

    # --- the chain

    async def _walk_for_ever(self) -> None:
        mark, began = Mark(), trio.current_time()
        while True:
            step = await _unless_away(lambda: self._journal.advance(mark, page_rows=PAGE_ROWS))  # noqa: B023  (called before it changes)
            if step is None or not step.ended:
                mark = mark if step is None else step.mark
                await trio.sleep(self._limits.verify_seconds if step is None else PACE_SECONDS)
                continue
            from_the_first = await self._judge(step, mark)
            mark = step.mark
            await trio.sleep(self._limits.verify_seconds)
            if from_the_first or trio.current_time() - began >= self._limits.verify_whole_seconds:
                mark, began = Mark(), trio.current_time()

    async def _judge(self, step: Step, mark: Mark) -> bool:
        """Takes down what the walk has found. Returns whether the next one begins with the first record: only that undoes a fault."""
        verdict = step.verdict
        if verdict.fault is not None:
            self._broken(verdict.fault, verdict.position, verdict.detail, records=verdict.records)
            return True
        compared = await _unless_away(self._all_anchors)
        if compared is not None and compared.fault is not None:
            self._judge_anchors(compared)
            return True
        self._findings.verification = Verification(
            state="whole",
            checked_at=self._clock.now(),
            records=verdict.records,
            head_position=verdict.head_position,
            head_hash=verdict.head_hash.hex(),
        )
        return False

    async def _all_anchors(self) -> AgainstJournal:
        if self._file is None:
            return AgainstJournal(compared=0)
        file, key = self._file.file, self._key
        try:
            said = await trio.to_thread.run_sync(anchors.read, file, key)
        except OSError:
            said = Anchors(anchors=())  # gone: the next anchor says so
        head = await self._journal.head()
        return await anchors.against_journal(said, head.position if head else 0, self._journal.hashes_at)

    def _judge_anchors(self, compared: AgainstJournal) -> None:
        if compared.fault is not None:
            self._broken(compared.fault, compared.position, compared.detail, records=0)

    def _broken(self, fault: Fault, position: int | None, detail: str, *, records: int) -> None:
        before = self._findings.verification
        if (before.fault, before.position) != (fault.value, position):
            log.critical("audit.broken", fault=fault.value, position=position, detail=detail)
        self._findings.verification = Verification(
            state="broken", checked_at=self._clock.now(), records=records, fault=fault.value, position=position, detail=detail,
        )  # fmt: skip


async def _unless_away(look: Callable[[], Awaitable[Any]]) -> Any:
    """What it gives; None where the database or the journal is away: the next time finds what there is."""
    try:
        return await look()
    except _AWAY:
        return None
