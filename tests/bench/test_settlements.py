"""The report that is measured is one that the connector reads, about the payments that are made for it; and how the result is told."""

from __future__ import annotations

from pathlib import Path

from bench.settlements import Run, _data, _write, text
from connectors.registry import CONNECTORS
from payorch.domain.settlement import RowKind, SettlementRow, Tie


def test_the_report_is_read_line_by_line_and_adds_up(tmp_path: Path) -> None:
    file = tmp_path / "report.csv"
    assert _write(file, 1001) == file.stat().st_size
    items = list(CONNECTORS["stripe"].settlement([file.read_bytes()]))
    rows = [one for one in items if isinstance(one, SettlementRow)]
    assert [one.kind for one in rows].count(RowKind.CAPTURE) == 1001
    assert [one.kind for one in rows].count(RowKind.PAYOUT) == 2
    ties = [one for one in items if isinstance(one, Tie)]
    assert ties
    assert all(tie.holds for tie in ties)
    assert len(items) == len(rows) + len(ties)
    assert len({one.identity for one in rows}) == len(rows)


def test_what_is_wrong_is_told_with_the_figures() -> None:
    runs = [Run(rows=n, report_bytes=n * 200, seconds=n / 5000, cpu_seconds=1.0, peak_bytes=90_000_000, wrong=()) for n in (100, 1000)]
    result = {"measured": "settlements", "runs": [_data(one) for one in runs], "memory_ratio": 1.0, "wrong": []}
    told = text(result)
    assert "1,000 lines (0 MB):   5,000 lines/s" in told
    assert "| 1,000 | 5,000 | 90 MB | 1.00 |" in told
    assert "The books agree" in told
    assert "WRONG: 1000 lines: 3 of 4" in text({**result, "wrong": ["1000 lines: 3 of 4"]})
