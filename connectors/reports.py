"""What every PSP's settlement report has in common: bytes -> records of comma-separated values, each with its place in the file; columns by
their names; amounts and times as they are written there, exactly or not at all.

A file is read as it comes: no more of it is held than one record. Whatever cannot be read is a record with the reason, and the next one
is read as if nothing had been: a stray quotation mark spoils its own line and not the rest of the file. Of such a line people see only the
columns that are on a list, and only where a value is a plain word: a report also has the names and addresses of shoppers.

Not here: which columns a PSP has and what they mean (each connector's `settlement`), or what becomes of the lines (the import).
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Context, Decimal
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from connectors.payout_totals import PayoutTotals
from payorch.domain.identifiers import MalformedIdentifier, bytes_of
from payorch.domain.money import EXPONENTS, LARGEST_MINOR
from payorch.domain.settlement import BadRow, NotAReport, ReportItem, SettlementRow

LONGEST_RECORD: Final = 64 * 1024
"""Bytes of one record. The longest that is known, with all the metadata that a PSP allows, has half of it; it is all of a file that is
ever in memory."""
MOST_LINES: Final = 20
"""Of one record with line breaks inside of quotation marks. A mark that is never closed costs reading that many lines twice, no more."""
LONGEST_RAW: Final = 2000
LARGEST_AMOUNT: Final = 100 * LARGEST_MINOR
"""Of a line, in minor units: a payout is the sum of many payments. Keeps what is stored inside a database bigint."""

_REFERENCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:\-]{0,99}")
_TYPE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_ .()\-]{0,63}")
# As in a redacted answer: one plain word, and no row of digits as long as a card's number unless a letter stands in it; what begins as an
# amount does; or a time.
_PLAIN: Final = re.compile(
    r"(?!\d{12})[A-Za-z0-9_.:+\-/]{1,100}|-?\d{1,11}[.,][\dA-Za-z.,]{0,12}|\d{4}[-/]\d\d[-/]\d\d \d\d:\d\d:\d\d(?: [+-]\d{4})?", re.ASCII
)
_TIME: Final = re.compile(r"2\d{3}-\d\d-\d\d(?:[ T]\d\d:\d\d:\d\d)?", re.ASCII)
_OURS: Final = ("att_", "cap_", "ref_", "void_")
_NUMBER: Final = re.compile(r"(-?)(\d{1,18})(?:\.(\d{1,18}))?", re.ASCII)
_RATE: Final = Context(prec=20)
"""Twenty digits: the rate times any amount that we take, rounded to whole minor units, is the other amount exactly."""


class Misread(ValueError):
    """A line that cannot be understood. `column`: the name of the column that is wrong; the text says what is wrong with it."""

    def __init__(self, column: str, what: str) -> None:
        super().__init__(f"{column}: {what}")


class Record(NamedTuple):
    """One record of a file, or a line of which nothing can be read.

    line, last: its first and last line, from 1. fields: as they are written, without quotation marks. problem: why there are none. size:
    of it, in bytes. ended: whether a line break follows; where none does, the file may have been cut off in its last field.
    """

    line: int
    last: int
    fields: list[str]
    problem: str | None
    size: int
    ended: bool

    @property
    def where(self) -> str:
        """Nothing for one line; for several a note that they were read as one."""
        return "" if self.last == self.line else f" (lines {self.line} to {self.last}, read as one record)"


class _Line(NamedTuple):
    number: int
    text: str
    problem: str | None
    size: int
    ended: bool


# --- bytes -> records -------------------------------------------------------------------------------------------------------------------


class _OneRecord:
    """The lines that a csv reader is given: those of one record and then no more, until there is a next one."""

    def __init__(self) -> None:
        self.text: str | None = None

    def __iter__(self) -> _OneRecord:
        return self

    def __next__(self) -> str:
        text, self.text = self.text, None
        if text is None:
            raise StopIteration
        return text


def records(chunks: Iterable[bytes]) -> Iterator[Record]:
    """The records of a file, however its bytes are cut. Never raises on any bytes; lines that are empty are passed over."""
    source = _lines(chunks)
    again: deque[_Line] = deque()  # lines that were read in search of a closing quotation mark, and have to be read by themselves
    given = _OneRecord()
    reader = csv.reader(given, strict=True)
    while True:
        line = again.popleft() if again else next(source, None)
        if line is None:
            return
        number, text, problem, size, ended = line
        last = number
        if problem is None and text.count('"') % 2:
            whole = _with_the_next(line, source, again)
            if whole is None:
                problem = "a quotation mark is opened and not closed"
            else:
                last, text, _, size, ended = whole
        if problem is None:
            given.text = text
            try:
                fields = next(reader)
            except csv.Error:
                problem = "the line is not well-formed CSV"
            else:
                if len(fields) > 1 or (fields and fields[0].strip()):
                    yield Record(number, last, fields, None, size, ended)
                continue
        yield Record(number, last, [], problem, size, ended)


def _with_the_next(first: _Line, source: Iterator[_Line], again: deque[_Line]) -> _Line | None:
    """All lines of the record that begins with a line in which a quotation mark stays open: as one, with the number of the last of them.

    None where the mark is not closed: what was read in search of it is then to be read again.
    """
    taken: list[_Line] = []
    text, size = first.text, first.size
    while len(taken) < MOST_LINES - 1:
        line = again.popleft() if again else next(source, None)
        if line is None:
            break
        taken.append(line)
        size += line.size + 1
        if line.problem is not None or size > LONGEST_RECORD:
            break
        text += "\n" + line.text
        if line.text.count('"') % 2:
            return _Line(line.number, text, None, size, line.ended)
    again.extendleft(reversed(taken))
    return None


def _lines(chunks: Iterable[bytes]) -> Iterator[_Line]:
    """The lines of a file without their line breaks, decoded."""
    number = 0
    rest = bytearray()
    dropped = 0  # of a line that is too long already: how much of it is not even held
    for chunk in chunks:
        pieces = chunk.split(b"\n")
        unfinished = pieces.pop()
        for piece in pieces:
            number += 1
            if rest or dropped:
                rest += piece
                yield _line(number, bytes(rest), dropped, ended=True)
                rest.clear()
                dropped = 0
            else:
                yield _line(number, piece, 0, ended=True)
        rest += unfinished
        if len(rest) > LONGEST_RECORD + 1:
            dropped += len(rest) - (LONGEST_RECORD + 1)
            del rest[LONGEST_RECORD + 1 :]
    if rest:
        yield _line(number + 1, bytes(rest), dropped, ended=False)


def _line(number: int, raw: bytes, dropped: int, *, ended: bool) -> _Line:
    if number == 1:
        raw = raw.removeprefix(b"\xef\xbb\xbf")
    raw = raw.removesuffix(b"\r")
    size = len(raw) + dropped
    if size > LONGEST_RECORD or dropped:
        return _Line(number, "", f"the line is longer than {LONGEST_RECORD} bytes", size, ended)
    if b"\0" in raw:
        return _Line(number, "", "the line has a NUL character", size, ended)
    try:
        return _Line(number, raw.decode(), None, size, ended)
    except UnicodeDecodeError:
        return _Line(number, "", "the line is not UTF-8", size, ended)


# --- columns ----------------------------------------------------------------------------------------------------------------------------


class Columns:
    """Where the columns of a report stand, by their names: capitals and the number of blanks do not matter."""

    def __init__(self, names: Sequence[str], *, allowed: frozenset[str]) -> None:
        """allowed: the columns that people may see. Raises NotAReport where two columns have one name."""
        self.width = len(names)
        self._at: dict[str, int] = {}
        for index, name in enumerate(names):
            key = _key(name)
            if key and key in self._at:
                raise NotAReport("two columns of the header have the same name")
            self._at[key] = index
        seen = {_key(name): name for name in allowed}
        self._shown = tuple((seen[key], index) for key, index in self._at.items() if key in seen)
        self._last = -1

    def at(self, name: str) -> int:
        """The index of that column in a record to which an empty field was added: that one, -1, where there is no such column."""
        index = self._at.get(_key(name), -1)
        self._last = max(self._last, index)
        return index

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of these columns that are not there."""
        return [name for name in names if _key(name) not in self._at]

    def check(self, record: Record) -> None:
        """That a record has a field for each column, and is whole. Raises Misread."""
        found = len(record.fields)
        if found != self.width:
            raise Misread("the line", f"it has {found} fields where the header has {self.width}{record.where}")
        if not record.ended and self._last == self.width - 1:
            raise Misread("the line", "the file ends in it, without a line break: it may be cut off")

    def raw(self, record: Record) -> str:
        """A record as people may see it: of what does not stand in its column, only how much there is."""
        if record.problem is not None or len(record.fields) != self.width:
            return sized(record)
        fields = record.fields
        plain = (f"{name}={fields[at] if _PLAIN.fullmatch(fields[at]) else '[not shown]'}" for name, at in self._shown if fields[at])
        return "; ".join(plain)[:LONGEST_RAW]


def sized(record: Record) -> str:
    """Of a line that nobody should see, how much there is of it."""
    return f"[{record.size} bytes, {len(record.fields)} fields]" if record.fields else f"[{record.size} bytes]"


def _key(name: str) -> str:
    return " ".join(name.split()).casefold()


# --- values -----------------------------------------------------------------------------------------------------------------------------


def minor_units(text: str, currency: str, column: str) -> int:
    """A decimal number of major units as whole minor units of the currency. Raises Misread where it is none, or not a whole number."""
    number = _NUMBER.fullmatch(text)
    if number is None:
        raise Misread(column, "it is not a decimal number" if text else "it is empty")
    sign, whole, part = number.groups("")
    places = EXPONENTS[currency]
    if len(part) == places:
        minor = int(whole + part)
    elif part[places:].strip("0"):
        raise Misread(column, f"it is no whole number of minor units of {currency}")
    else:
        minor = int(whole + part[:places].ljust(places, "0"))
    if minor > LARGEST_AMOUNT:
        raise Misread(column, f"it is larger than {LARGEST_AMOUNT} minor units")
    return -minor if sign else minor


def currency_of(text: str, column: str) -> str:
    """An ISO 4217 code, in capitals or not. Raises Misread."""
    code = text if text in EXPONENTS else text.upper()
    if code not in EXPONENTS:
        raise Misread(column, "it is not the code of a currency" if text else "it is empty")
    return code


def rate_of(net_minor: int, net_currency: str, gross_minor: int, gross_currency: str) -> str:
    """How many major units of one are one major unit of the other, as a decimal number of at most twenty digits. `gross_minor`: not 0."""
    net = Decimal(net_minor).scaleb(-EXPONENTS[net_currency])
    gross = Decimal(gross_minor).scaleb(-EXPONENTS[gross_currency])
    return plain_decimal(_RATE.divide(net, gross))


def plain_decimal(number: Decimal) -> str:
    """Without an exponent and without zeros at the end."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def local_time(text: str, column: str) -> datetime:
    """A time as it is written, `YYYY-MM-DD HH:MM:SS` or the day alone: of no zone. Raises Misread."""
    if _TIME.fullmatch(text) is not None:
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    raise Misread(column, "it is not a date and time" if text else "it is empty")


def is_reference(text: str) -> bool:
    """Whether it can be an id of a PSP's: a word of at most a hundred characters, without blanks."""
    return _REFERENCE.fullmatch(text) is not None


def references(first: str, second: str = "") -> tuple[str, ...]:
    """Those of these that can be ids of a PSP's, each once, in order."""
    one = (first,) if first and _REFERENCE.fullmatch(first) else ()
    return (*one, second) if second and second != first and _REFERENCE.fullmatch(second) else one


def our_references(first: str, second: str) -> tuple[str, ...]:
    """Those of these that are well-formed ids of attempts and operations of ours, each once, in order."""
    one = (first,) if first and first.startswith(_OURS) and _is_ours(first) else ()
    return (*one, second) if second and second != first and second.startswith(_OURS) and _is_ours(second) else one


def _is_ours(text: str) -> bool:
    try:
        bytes_of(text)
    except MalformedIdentifier:
        return False
    return True


@lru_cache(maxsize=256)
def type_of(text: str, column: str) -> str:
    """The PSP's word for what a line is. Raises Misread where it is no word that can be shown."""
    if not _TYPE.fullmatch(text):
        raise Misread(column, "it is not a word" if text else "it is empty")
    return text


# --- a report that is one table ---------------------------------------------------------------------------------------------------------


class Layout(Protocol):
    """How a PSP's table is read, made for the columns of one file."""

    @property
    def columns(self) -> Columns: ...

    def row(self, line: int, fields: list[str]) -> SettlementRow:
        """`fields`: of a record, and an empty one. Raises Misread."""
        ...

    def pays_out(self, row: SettlementRow) -> bool:
        """Whether that row is the payout itself, to which the others of its payout add up."""
        ...

    def payout_of(self, fields: list[str]) -> str | None:
        """The payout of a record that cannot be understood; None where that cannot be told either."""
        ...


def table(chunks: Iterable[bytes], layout: Callable[[list[str]], Layout]) -> Iterator[ReportItem]:
    """The lines of a report whose first line is the header and every other one a row; then its payouts, beside the sums of their rows.

    `layout` is given the names in the header. Raises NotAReport before the first item.
    """
    source = records(chunks)
    first = next(source, None)
    if first is None:
        raise NotAReport("the file is empty")
    if first.problem is not None:
        raise NotAReport(f"the header cannot be read: {first.problem}")
    lines = layout(first.fields)
    columns, totals = lines.columns, PayoutTotals()
    for record in source:
        try:
            if record.problem is not None:
                raise Misread("the line", record.problem)
            columns.check(record)
            row = lines.row(record.line, [*record.fields, ""])
        except Misread as problem:
            aligned = record.problem is None and len(record.fields) == columns.width
            totals.spoil(lines.payout_of([*record.fields, ""]) if aligned else None)
            yield BadRow(line=record.line, reason=str(problem), raw=columns.raw(record))
        else:
            totals.add(row, is_payout=lines.pays_out(row))
            yield row
    yield from totals.ties()
