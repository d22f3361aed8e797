"""Settlement reports in tests: tables written down as columns and rows, and what every PSP's reader of them has to stand."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from payorch.domain.settlement import BadRow, NotAReport, ReportItem, SettlementRow, Tie

Settlement = Callable[[Iterable[bytes]], Iterator[ReportItem]]


def table(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    """The CSV text of these rows, each value in its column."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([row.get(name, "") for name in columns] for row in rows)
    return text.getvalue()


def rows_of(items: Iterable[ReportItem]) -> list[SettlementRow]:
    """The rows, where there is nothing bad among the items."""
    found = list(items)
    assert not [item for item in found if isinstance(item, BadRow)], found
    return [item for item in found if isinstance(item, SettlementRow)]


def bad_of(items: Iterable[ReportItem]) -> list[BadRow]:
    return [item for item in items if isinstance(item, BadRow)]


def ties_of(items: Iterable[ReportItem]) -> list[Tie]:
    return [item for item in items if isinstance(item, Tie)]


def pieces(data: bytes, at: Iterable[int]) -> list[bytes]:
    """The same bytes, cut at these places."""
    places = [0, *sorted(at), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(places)]


def outcome(settlement: Settlement, chunks: Iterable[bytes]) -> list[ReportItem] | str:
    """What comes of a file, of which the only exception can be that it is no report, before there is any item."""
    found: list[ReportItem] = []
    try:
        for item in settlement(chunks):
            found.append(item)  # one by one, so that what was given before an exception is known
    except NotAReport as refused:
        assert not found, "raised after an item"
        return str(refused)
    return found
