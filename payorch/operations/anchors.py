"""Anchors: the journal's last hash, kept outside the database at an interval, so that whoever has every right in the database is found out.

    <folder>/journal-<database>.anchors       one line of JSON each: {"n", "position", "hash", "epoch", "at", "previous", "mac"}

A line says that at that moment the journal's record at `position` had that hash, and so had all before it. `mac` signs it with a key that
the database does not have, and with it the line before (`previous`): a line cannot be made, changed, taken out or moved without the key. A
chain of records that was cut at its end, or computed anew, is whole by itself and is against its anchors. What the file cannot show is its
own end cut off together with the journal's; each anchor is a line of the log as well, and a folder on another machine is better still.

The file is named after the server and the database, so that another data folder begins a file of its own. Blocking, short, for a thread.
Not here: when (`auditor`), reading the journal (`payorch.store.audit`).
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, final

import msgspec
from msgspec import Struct

from payorch.store.audit import Fault

PURPOSE: Final = "audit-anchors"
"""What the key that signs is derived for."""
SUFFIX: Final = ".anchors"
_NONE: Final = "0" * 64
_TAIL_BYTES: Final = 4096
"""Of the file's end, in which its last line is. A line has some 330."""
_ASKED_AT_ONCE: Final = 500
"""Positions that are compared by one statement."""


class Anchor(Struct, frozen=True, kw_only=True):
    """What the journal's end was at that moment. hash: in hex."""

    position: int
    hash: str
    epoch: int
    at: datetime


class _Line(Struct, frozen=True, kw_only=True):
    n: int
    position: int
    hash: str
    epoch: int
    at: str
    previous: str
    mac: str = ""


class AnchorsUnusable(Exception):
    """Anchors cannot be written there. The text says where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """What a file says. damaged_at: the first line that is not one of ours in its place, from 1; None where all are. position: its word."""

    anchors: Sequence[Anchor]
    damaged_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstJournal:
    """What comparing anchors with the journal found. compared: how many were good."""

    compared: int
    fault: Fault | None = None
    position: int | None = None
    detail: str = ""


def path_of(folder: Path, identity: str) -> Path:
    """The file of that database's anchors (`audit.identity`)."""
    return folder / f"journal-{identity}{SUFFIX}"


def files_in(folder: Path) -> list[Path]:
    """The files of anchors there, of whatever databases; none where there is no such folder."""
    return sorted(folder.glob(f"journal-*{SUFFIX}"))


@final
class AnchorFile:
    """The file that is written to. Opened by its first anchor, which makes the folder where there is none."""

    def __init__(self, file: Path, key: bytes) -> None:
        self.file = file
        self._key = key
        self._last: _Line | None = None
        self._opened = False

    def last(self) -> Anchor | None:
        """The newest anchor; None where there is none. Raises AnchorsUnusable."""
        self._open()
        return None if self._last is None else _anchor(self._last)

    @property
    def count(self) -> int:
        """How many there are."""
        return 0 if self._last is None else self._last.n

    def append(self, anchor: Anchor) -> None:
        """One more, durable when this returns. Raises AnchorsUnusable."""
        self._open()
        previous = self._last
        line = _Line(
            n=self.count + 1,
            position=anchor.position,
            hash=anchor.hash,
            epoch=anchor.epoch,
            at=anchor.at.astimezone(UTC).isoformat(timespec="milliseconds"),
            previous=_NONE if previous is None else previous.mac,
        )
        line = msgspec.structs.replace(line, mac=_mac(line, self._key))
        try:
            descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, msgspec.json.encode(line) + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise AnchorsUnusable(f"{self.file} cannot be written: {error.strerror}") from error
        self._last = line

    def _open(self) -> None:
        if self._opened:
            return
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._last = _last_line(self.file)
        except OSError as error:
            raise AnchorsUnusable(f"{self.file} cannot be used: {error.strerror}") from error
        self._opened = True


def read(file: Path, key: bytes) -> Anchors:
    """Every anchor of that file, in order, as far as they are ours. A last line that a crash cut short does not count. Raises OSError."""
    found: list[Anchor] = []
    before = _NONE
    for number, text in enumerate(_lines(file), start=1):
        line = _parsed(text)
        if line is None or line.n != number or line.previous != before or not hmac.compare_digest(line.mac, _mac(line, key)):
            return Anchors(anchors=found, damaged_at=number)
        found.append(_anchor(line))
        before = line.mac
    return Anchors(anchors=found)


async def against_journal(
    anchors: Anchors, head_position: int, hashes_at: Callable[[Sequence[int]], Awaitable[dict[int, bytes]]]
) -> AgainstJournal:
    """Whether the journal has at each anchor's position what it had then. head_position: read before the hashes are."""
    for start in range(0, len(anchors.anchors), _ASKED_AT_ONCE):
        some = anchors.anchors[start : start + _ASKED_AT_ONCE]
        there = await hashes_at([one.position for one in some])
        for number, one in enumerate(some, start=start):
            wrong = _differs(one, there, head_position)
            if wrong is not None:
                return AgainstJournal(compared=number, fault=wrong[0], position=one.position, detail=wrong[1])
    if anchors.damaged_at is not None:
        detail = f"line {anchors.damaged_at} of the anchors is not the one that was written there, or they are signed with another key"
        return AgainstJournal(compared=len(anchors.anchors), fault=Fault.ANCHORS_DAMAGED, detail=detail)
    return AgainstJournal(compared=len(anchors.anchors))


def _differs(anchor: Anchor, there: dict[int, bytes], head_position: int) -> tuple[Fault, str] | None:
    at = f"{anchor.at:%Y-%m-%d %H:%M:%S}Z"
    found = there.get(anchor.position)
    if anchor.position == 0:
        return None
    if found is None:
        ends = f"the journal ends at {head_position}" if head_position < anchor.position else "there is no such record"
        return Fault.CUT, f"at {at} the journal had a record at {anchor.position}, and now {ends}"
    if found.hex() != anchor.hash:
        return Fault.REWRITTEN, f"at {at} the record at {anchor.position} had another hash: it, or one before it, was changed since"
    return None


def _mac(line: _Line, key: bytes) -> str:
    return hmac.digest(key, msgspec.json.encode(msgspec.structs.replace(line, mac="")), "sha256").hex()


def _anchor(line: _Line) -> Anchor:
    return Anchor(position=line.position, hash=line.hash, epoch=line.epoch, at=datetime.fromisoformat(line.at))


def _parsed(text: bytes) -> _Line | None:
    try:
        line = msgspec.json.decode(text, type=_Line)
        datetime.fromisoformat(line.at)
    except (msgspec.DecodeError, ValueError):
        return None
    return line


def _lines(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        for line in stream:
            if line.endswith(b"\n"):
                yield line


def _last_line(file: Path) -> _Line | None:
    """The last whole line. What a crash left of another is cut away, so that the next one begins where a line begins."""
    if not file.exists():
        return None
    with file.open("r+b") as stream:
        size = stream.seek(0, os.SEEK_END)
        start = max(0, size - _TAIL_BYTES)
        stream.seek(start)
        tail = stream.read()
        whole, _, torn = tail.rpartition(b"\n")
        if torn:
            stream.truncate(size - len(torn))
    last: _Line | None = _parsed(whole.rpartition(b"\n")[2]) if whole else None
    if last is None and whole:
        raise OSError(0, "its last line is not an anchor; move it away, keep it, and a new one is begun")
    return last
