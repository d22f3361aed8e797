"""A settlement report on its way in: its bytes, kept aside while their digest is computed, and its lines, a chunk at a time.

Bytes may come from anywhere, in any pieces. Not here: what a PSP's columns mean (each connector), what becomes of a line (`settlements`).
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from types import TracebackType
from typing import Final, Self, final

import trio

from payorch.domain.settlement import BadRow, ReportItem, SettlementRow, Tie
from payorch.store.settlement_batches import Batch
from payorch.store.settlement_rows import canonical
from payorch.store.settlements import UnreadableLine
from payorch.wording import printable, shortened

_IN_MEMORY_BYTES: Final = 1 << 20
"""Of a report: a day's of most merchants. What is larger goes to a temporary file."""
_PIECE_BYTES: Final = 1 << 16
_ITEMS_BETWEEN_CHECKPOINTS: Final = 100
"""Lines are read in one or two milliseconds, after which whoever else runs in this process has a turn."""
_LONGEST_NAME: Final = 200
MOST_TIES: Final = 1_000
"""Totals of a report that are kept, and as many broken ones more: a month has some thirty payouts and a handful of currencies."""


class ReportRefused(Exception):
    """The report is not imported, and the text says why. What an earlier import of it has stored stays."""


@final
class Report:
    """A report's bytes as they come in. Whoever made it closes it: then they are gone."""

    def __init__(self, name: str, *, limit_bytes: int) -> None:
        self.name = shortened(printable(name), _LONGEST_NAME) or "report"
        self.size_bytes = 0
        self._limit_bytes = limit_bytes
        self._digest = hashlib.sha256()
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115  (it is a context manager itself)
        self.bytes_read = 0

    @classmethod
    def of(cls, name: str, source: Iterable[bytes], *, limit_bytes: int) -> Self:
        """All of that source. Raises ReportRefused where it is too large."""
        report = cls(name, limit_bytes=limit_bytes)
        try:
            for piece in source:
                report.write(piece)
        except BaseException:
            report.close()
            raise
        return report

    def write(self, piece: bytes) -> None:
        """The next bytes. Raises ReportRefused where there are too many."""
        self.size_bytes += len(piece)
        if self.size_bytes > self._limit_bytes:
            raise ReportRefused(
                f"{self.name} is larger than {self._limit_bytes:,} bytes (reconciliation.report_limit_bytes). Nothing was stored"
            )
        self._digest.update(piece)
        self._file.write(piece)

    @property
    def digest(self) -> bytes:
        """Of what has come so far: the whole of it, once all has."""
        return self._digest.digest()

    def pieces(self) -> Iterator[bytes]:
        """All bytes from the first on, in pieces; `bytes_read` goes along."""
        self._file.seek(0)
        self.bytes_read = 0
        while piece := self._file.read(_PIECE_BYTES):
            self.bytes_read += len(piece)
            yield piece

    def close(self) -> None:
        """Forgets the bytes."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """A chunk of the file as it was read."""

    to: int
    rows: Sequence[SettlementRow]
    unreadable: Sequence[UnreadableLine]


class Reading:
    """Walks through a report from its first line (None: it has none, as on a day without business), and hands out what is not stored yet.

    The totals are those of the whole file, so lines that are stored are read all the same. A line that cannot be read is put down to the
    day of the line before it that can: a report has its lines in their order in time, or nearly.
    """

    def __init__(self, first: ReportItem | None, items: Iterator[ReportItem], batch: Batch, chunk_rows: int) -> None:
        self._items = items if first is None else _with_first(first, items)
        self._done = batch.lines_done
        self._received_on = batch.received_at.date()
        self._chunk_rows = chunk_rows
        self._day: date | None = None
        self.last_day: date | None = None
        self._holding: list[Tie] = []
        self._broken: list[Tie] = []

    @property
    def ties(self) -> tuple[Tie, ...]:
        """The totals that the report states, as far as it is read; those that do not hold first."""
        return (*self._broken, *self._holding)

    async def chunk(self) -> Lines | None:
        """The next lines; None at the end of the file."""
        rows: list[SettlementRow] = []
        bad: list[tuple[BadRow, date | None]] = []
        last = 0
        seen = 0
        for item in self._items:
            seen += 1
            if seen % _ITEMS_BETWEEN_CHECKPOINTS == 0:
                await trio.lowlevel.checkpoint()
            if isinstance(item, Tie):
                self._keep(item)
                continue
            if isinstance(item, SettlementRow):
                self._day = item.booked_on
                self.last_day = item.booked_on if self.last_day is None else max(self.last_day, item.booked_on)
            if item.line <= self._done:
                continue
            if isinstance(item, SettlementRow):
                rows.append(canonical(item))
            else:
                bad.append((item, self._day))
            last = item.line
            if len(rows) + len(bad) >= self._chunk_rows:
                break
        if not last:
            return None
        # Before the first line that can be read there is no day: that of the one that follows is the nearest.
        otherwise = rows[0].booked_on if rows else self._received_on
        return Lines(to=last, rows=rows, unreadable=[UnreadableLine(bad=one, day=day or otherwise) for one, day in bad])

    def _keep(self, tie: Tie) -> None:
        kept = self._holding if tie.holds else self._broken
        if len(kept) < MOST_TIES:
            kept.append(tie)


def _with_first(first: ReportItem, rest: Iterator[ReportItem]) -> Iterator[ReportItem]:
    yield first
    yield from rest
