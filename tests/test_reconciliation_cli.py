"""`payorch reconciliation`: a day's summary and its export, and people's work on findings in their own names."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio

from payorch.domain.settlement import RowKind
from payorch.keys import derived_key, mint
from tests.command_line import Run, runner
from tests.conftest import Database
from tests.settlement_world import CONNECTOR, DAY, World, booking, capture_of, report_of, world_on

T = TypeVar("T")
SECRET_KEY = "a key of at least thirty-two bytes"


@pytest.fixture
def payorch(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, database: Database) -> Run:
    monkeypatch.setattr("payorch.operations.reconciliation_edge.zones", lambda *_: {CONNECTOR: "UTC"})
    return runner(monkeypatch, capfd, tmp_path, PAYORCH_DATABASE_URL=database.app, PAYORCH_SECRET_KEY=SECRET_KEY)


def in_the_world(database: Database, story: Callable[[World], Awaitable[T]]) -> T:
    async def play() -> T:
        async with world_on(database) as world:
            return await story(world)

    return trio.run(play)


async def a_day(world: World) -> None:
    """A capture in a report, one in none, a line that is nobody's and says an evil thing of itself, and one that cannot be read."""
    settled, _ = await world.captured(2, minor=1999)
    evil = booking(RowKind.CAPTURE, 777, '=HYPERLINK("http://evil.example")', fee=7, psp_payment=("pi_nobody",))
    await world.take(report_of(capture_of(settled, fee=59), evil, "{nonsense"))


def token_of(payorch: Run, name: str, role: str, person: str | None = None) -> str:
    added = payorch("operators", "add", name, "--role", role, "--person", person or name, "--json")
    return str(added.data["token"])


def refusals(database: Database) -> list[Any]:
    async def look(world: World) -> list[Any]:
        return await world.all("SELECT actor, body FROM payorch.journal WHERE name = 'Refused' ORDER BY position")

    return in_the_world(database, look)


def the_finding(payorch: Run) -> str:
    found = payorch("reconciliation", "findings", "--json").data["data"]
    return next(str(one["id"]) for one in found if one["kind"] == "missing_here")


# --- looking ----------------------------------------------------------------------------------------------------------------------------


def test_a_day_at_the_terminal_as_a_table_and_for_programs(payorch: Run, database: Database, tmp_path: Path) -> None:
    assert payorch("reconciliation", "day", "2026-01-31").out == "nothing is known of 2026-01-31: no report, no movement of ours\n"
    in_the_world(database, a_day)
    text = payorch("reconciliation", "day", str(DAY)).out
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == f"{CONNECTOR} EUR, {DAY}: open"
    assert lines[1] == "gross difference 7.77 EUR 2 findings unexplained, 1 of them of unknown amount"
    assert "settled 19.99 EUR 1, balance 19.99 EUR" in lines
    assert "pending 19.99 EUR 1, balance 19.99 EUR" in lines
    assert "fees 0.66 EUR" in lines
    assert any(
        line.startswith("fnd_") and "missing here 7.77 EUR" in line and "-> review, link, accept, psp-error" in line for line in lines
    )
    assert lines[-1].startswith("left to do: ")
    data = payorch("reconciliation", "day", str(DAY), "--json").data
    assert (data["day"], data["data"][0]["gross_difference"]) == (str(DAY), {"amount": 777, "currency": "EUR"})
    ran = payorch("reconciliation", "day", str(DAY), "--csv", "day.csv")
    assert (ran.code, ran.out, ran.err) == (0, "", f"payorch: 4 lines, movements and findings of {DAY}\n")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "day.csv").read_bytes().decode())))
    assert [(row["object"], row["status"], row["gross"], row["fee"]) for row in rows] == [
        ("line", "settled", "19.99", "0.59"),
        ("line", "mismatched", "7.77", "0.07"),
        ("movement", "pending", "19.99", ""),
        ("finding", "mismatched", "", ""),
    ]
    assert rows[1]["psp_identity"] == '\'=HYPERLINK("http://evil.example")'
    assert (rows[1]["difference"], rows[1]["difference_currency"]) == ("7.77", "EUR")
    assert payorch("reconciliation", "day", str(DAY), "--csv", "-").out == (tmp_path / "day.csv").read_bytes().decode()
    assert "19.99 EUR" in payorch("reconciliation", "days", "--from", str(DAY), "--to", str(DAY)).out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("day", "yesterday"), "is no day"),
        (("day", "2026-01-31", "--csv", "x", "--json"), "choose one"),
        (("finding", "pay_1"), "fnd_"),
        (("review", "fnd_00000000000000000000000000", "--reason", "x"), "fnd_ and 26"),
    ],
)
def test_wrong_calls(payorch: Run, words: tuple[str, ...], said: str) -> None:
    ran = payorch("reconciliation", *words)
    assert (ran.code, said in ran.err) == (2, True), ran


# --- working ----------------------------------------------------------------------------------------------------------------------------


def test_a_finding_is_explained_in_somebodys_name_and_the_day_is_closed(
    payorch: Run, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_world(database, a_day)
    olga, amir, vera = token_of(payorch, "olga", "operator"), token_of(payorch, "amir", "approver"), token_of(payorch, "vera", "viewer")
    twin = token_of(payorch, "olga-admin", "admin", "olga")
    finding = the_finding(payorch)
    assert payorch("reconciliation", "run").out == "there is no open day that could be closed\n", "days of a quarter ago close by date"
    left = payorch("reconciliation", "run", "--day", str(DAY))
    assert (left.code, "left open" in left.out, "7.77 EUR" in left.out) == (1, True, True)
    nobody = payorch("reconciliation", "accept", finding, "--reason", "x")
    assert (nobody.code, "in somebody's name" in nobody.err) == (2, True)
    viewer = payorch("reconciliation", "accept", finding, "--reason", "x", "--token", vera)
    assert (viewer.code, "takes the role operator" in viewer.err) == (1, True)
    made_up = mint("op", "test", derived_key_bytes()).text.reveal()  # type: ignore[arg-type]
    assert payorch("reconciliation", "accept", finding, "--reason", "x", "--token", made_up).code == 1
    monkeypatch.setenv("PAYORCH_OPERATOR_TOKEN", olga)
    asked = payorch("reconciliation", "accept", finding, "--reason", "their test account")
    assert (asked.code, asked.out) == (0, "settlement.accept takes two persons: it waits for another than olga\n")
    assert "approve or reject" in payorch("reconciliation", "findings").out
    small = payorch("reconciliation", "approve", finding)
    assert (small.code, "takes the role approver" in small.err) == (1, True)
    same = payorch("reconciliation", "approve", finding, "--token", twin)
    assert (same.code, same.err) == (1, "payorch: nothing was changed: olga asked for it, so that another person has to agree\n")
    assert payorch("reconciliation", "approve", finding, "--token", amir).out == "accepted\n"
    shown = payorch("reconciliation", "finding", finding).out
    assert "settlement.accept by olga" in shown
    unreadable = payorch("reconciliation", "findings", "--json").data["data"][0]["id"]
    assert payorch("reconciliation", "review", unreadable, "--reason", "asked them").code == 0
    assert payorch("reconciliation", "findings").out == "there is no finding that is unexplained\n"
    closed = payorch("reconciliation", "run", "--day", str(DAY))
    assert (closed.code, closed.out.split()[:4]) == (0, [str(DAY), CONNECTOR, "EUR", "closed"])
    assert "closed by operator:olga" in payorch("reconciliation", "day", str(DAY)).out
    assert payorch("reconciliation", "run", "--day", str(DAY)).out.split()[3:5] == ["closed", "already"]
    opened = payorch("reconciliation", "reopen", str(DAY), CONNECTOR, "EUR", "--reason", "the bank asks")
    assert opened.out == f"{CONNECTOR} EUR {DAY} is open again\n"
    assert payorch("reconciliation", "reopen", str(DAY), CONNECTOR, "EUR", "--reason", "again").code == 1
    told = refusals(database)
    assert [body.get("reason") or body["code"] for _, body in told] == [
        "not_closed", "viewer is not operator", "not a live token", "operator is not approver", "same_person", "not_closed",
    ]  # fmt: skip
    assert not any(secret[-49:] in json.dumps(told) for secret in (olga, amir, vera, twin, made_up))


def derived_key_bytes() -> bytes:
    from payorch.keys import ENTROPY_BYTES, Secret

    return (derived_key(Secret(SECRET_KEY), "a made-up token") * 2)[:ENTROPY_BYTES]


def test_an_operator_of_the_local_stack_is_named(payorch: Run, database: Database, tmp_path: Path) -> None:
    in_the_world(database, a_day)
    stack = tmp_path / "stack"
    stack.mkdir()
    known = {"operators": {"olga": {"token": token_of(payorch, "olga", "operator"), "role": "operator"}}}
    (stack / "credentials.json").write_text(json.dumps(known))
    finding = the_finding(payorch)
    done = payorch("reconciliation", "psp-error", finding, "--reason", "theirs", "--as", "olga", "--data-dir", str(stack), "--json")
    assert (done.data["code"], done.data["finding"]["resolved_by"]) == ("psp_error", "olga")
    other = payorch("reconciliation", "psp-error", finding, "--reason", "theirs", "--as", "eve", "--data-dir", str(stack))
    assert (other.code, "knows no operator eve; it knows: olga" in other.err) == (1, True)
    assert payorch("reconciliation", "psp-error", finding, "--reason", "theirs", "--as", "olga").code == 2
