"""`payorch settlements`: a report from a file or from standard input, what is told of it, and lines of reports among the dead letters."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
import trio

from payorch.domain.money import Money
from payorch.domain.settlement import RowKind, Tie
from payorch.settlement_words import progress_line
from payorch.settlements import Progress
from tests.command_line import Run, runner
from tests.conftest import Database
from tests.settlement_world import CONNECTOR, DAY, World, booking, capture_of, parse, report_of, world_on
from tests.store.stories import Story

T = TypeVar("T")


@pytest.fixture
def payorch(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, database: Database) -> Run:
    monkeypatch.setattr("connectors.registry.CONNECTORS", {CONNECTOR: SimpleNamespace(settlement=parse)})
    return runner(monkeypatch, capfd, tmp_path, PAYORCH_DATABASE_URL=database.app)


def in_the_world(database: Database, story: Callable[[World], Awaitable[T]]) -> T:
    async def play() -> T:
        async with world_on(database) as world:
            return await story(world)

    return trio.run(play)


def captured(database: Database, count: int = 1, **changes: Any) -> list[Story]:
    return in_the_world(database, lambda world: world.captured(count, **changes))


def test_a_report_is_imported_and_told_of(payorch: Run, database: Database, tmp_path: Path) -> None:
    first, second = captured(database, 2)
    tie = Tie(line=1, what="payout po_1", declared=Money(1999, "EUR"), computed=Money(1999, "EUR"))
    content = report_of(capture_of(first, fee=59), capture_of(second, 1998), "12,3 what", booking(RowKind.PAYOUT, -123456, "po_1"), tie)
    (tmp_path / "march.csv").write_bytes(content)
    ran = payorch("settlements", "import", CONNECTOR, "march.csv")
    assert (ran.code, ran.err) == (0, "")
    head, counted, _, *rest = ran.out.splitlines()
    batch = head.split()[-1]
    assert head == f"march.csv of psp_one is imported: {batch}"
    assert counted == "3 lines stored, 1 cannot be read, 0 were in another report before"
    assert [line.split() for line in rest[:4]] == [
        ["kind", "state", "lines", "gross", "fee", "net"],
        ["capture", "evidence", "1", "19.98", "EUR", "0.00", "EUR", "19.98", "EUR"],
        ["capture", "matched", "1", "19.99", "EUR", "0.59", "EUR", "19.40", "EUR"],
        ["payout", "beside", "1", "-1,234.56", "EUR", "0.00", "EUR", "-1,234.56", "EUR"],
    ]
    assert rest[4:] == [
        "", "all 1 totals that the report states hold", "", "findings: 1 unparseable (1 unexplained)",
        "lines that cannot be read are dead letters: payorch dead-letters list --kind settlement_row",
    ]  # fmt: skip
    again = payorch("settlements", "import", CONNECTOR, "march.csv")
    assert again.code == 0
    assert again.out.startswith("psp_one has this report already, on ")
    assert "Nothing has changed" in again.out
    shown = payorch("settlements", "show", batch)
    assert shown.out.startswith(f"{batch}: march.csv of psp_one is read to its end\nreceived ")
    data = payorch("settlements", "show", batch, "--json").data
    assert (data["id"], data["rows"], data["bad_rows"], data["totals_hold"]) == (batch, 3, 1, True)
    assert data["findings_by_kind"] == {"unparseable": {"found": 1, "unexplained": 1}}
    assert data["sums"][1]["fee"] == {"amount": 59, "currency": "EUR"}


def test_totals_that_do_not_hold_are_said_loudly_and_the_report_is_imported_all_the_same(payorch: Run, tmp_path: Path) -> None:
    tie = Tie(line=1, what="payout po_1", declared=Money(2000, "EUR"), computed=Money(1999, "EUR"), declared_rows=3, computed_rows=2)
    (tmp_path / "r").write_bytes(report_of(booking(RowKind.FEE, -5, "fee"), tie))
    ran = payorch("settlements", "import", CONNECTOR, "r")
    assert ran.code == 0
    assert "THE REPORT DOES NOT ADD UP TO WHAT IT SAYS ITSELF:\n  line 3, payout po_1: it says 20.00 EUR and 3 lines," in ran.out
    assert ran.err == "payorch: 1 totals of the report do not hold: something in it is missing or wrong. Ask psp_one for it again\n"
    assert payorch("settlements", "list").out.splitlines()[1].endswith("imported, totals do not hold  r")


def test_a_report_comes_from_standard_input_as_well(payorch: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    content = report_of(booking(RowKind.FEE, -5, "fee"))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    imported = payorch("settlements", "import", CONNECTOR, "-", "--json").data
    assert (imported["new"], imported["name"], imported["rows"], imported["reopened"]) == (True, "standard input", 1, [])


def test_reports_are_listed_page_by_page(payorch: Run, tmp_path: Path) -> None:
    assert payorch("settlements", "list").out == "no settlement report was imported yet\n"
    for n in range(3):
        (tmp_path / f"{n}.csv").write_bytes(report_of(booking(RowKind.FEE, -5, f"fee {n}")))
        assert payorch("settlements", "import", CONNECTOR, f"{n}.csv").code == 0
    page = payorch("settlements", "list", "--limit", "2", "--json").data
    assert [one["name"] for one in page["data"]] == ["2.csv", "1.csv"]
    rest = payorch("settlements", "list", "--after", page["next_cursor"], "--json").data
    assert ([one["name"] for one in rest["data"]], rest["next_cursor"]) == (["0.csv"], None)
    assert payorch("settlements", "list", "--connector", "nobody").out == "no settlement report was imported yet\n"


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["import", "nobody", "r"], 1, "there is no connector nobody; there are: psp_one"),
        (["import", CONNECTOR, "nowhere.csv"], 1, "nowhere.csv cannot be read: No such file or directory"),
        (
            ["import", CONNECTOR, "page.html"],
            1,
            "page.html is no settlement report of psp_one: its first line is another. Nothing was stored",
        ),
        (["show", "bat_00000000000000000000000000"], 2, "`payorch settlements list` shows them"),
        (["show", "bat_01jnn6mtg0fkr80000000zzzzz"], 1, "there is no report bat_01jnn6mtg0fkr80000000zzzzz"),
    ],
)
def test_what_cannot_be_done_is_said(payorch: Run, tmp_path: Path, words: list[str], code: int, why: str) -> None:
    (tmp_path / "page.html").write_text("<html>")
    ran = payorch("settlements", *words)
    assert (ran.code, ran.out) == (code, "")
    assert why in ran.err


def test_progress_is_one_line() -> None:
    assert progress_line("r.csv", Progress(lines=1500, bytes_read=50, bytes_total=100)) == (
        "r.csv  [############............]  50%  1,500 lines"
    )


# --- among the dead letters -------------------------------------------------------------------------------------------------------------


def test_a_line_that_cannot_be_read_waits_among_the_dead_letters_and_has_no_other_life(payorch: Run, tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(report_of("12,3 what", "45,6 that", booking(RowKind.FEE, -5, "fee", day=DAY + timedelta(days=1))))
    assert payorch("settlements", "import", CONNECTOR, "r").code == 0
    (group,) = payorch("dead-letters", "list", "--group", "--kind", "settlement_row", "--json").data
    assert (group["letters"], group["origin"], group["fingerprint"]) == (2, CONNECTOR, "settlement_row/psp_one/gross_is_no_amount")
    first, second = (one["id"] for one in payorch("dead-letters", "list", "--kind", "settlement_row", "--json").data["data"])
    whole = payorch("dead-letters", "show", first, "--json").data
    assert whole["payload"] in ("12,3 what", "45,6 that")
    assert set(whole["subject"]) == {"batch", "line"}
    replayed = payorch("dead-letters", "replay", first)
    assert replayed.code == 1
    assert "correct the report and import it" in replayed.out
    assert payorch("dead-letters", "discard", first, "--reason", "a comment line").code == 0
    assert [one["id"] for one in payorch("dead-letters", "list", "--json").data["data"]] == [second]
