"""How fast a settlement report is read, and in how much memory: a report of so many lines against as many movements.

Two imports by the command that people use, each into a database of its own: one of a tenth of the lines, one of all. Memory that does not
grow with the file is the same for both; their ratio says so. The payments are made by SQL, as they would be after a month of trade, and the
report is one in a real format, with a line for each of them and a payout for each thousand. The books: every line is stored and matched,
every movement is settled, and nothing is found wrong.

Not here: what an import does (`payorch.settlements`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Final
from uuid import UUID

import trio

from bench.processes import ROOT, BenchmarkFailed, output_of
from bench.services import count, plain_environment, rows
from payorch.domain import identifiers
from payorch.store import embedded
from payorch.store.driver import Connection, Session
from payorch.store.embedded import Cluster

NAME: Final = "settlements"
FOLDER: Final = ROOT / "build" / "bench"
_COMMAND_SECONDS: Final = 120.0
_TRADE_SECONDS: Final = 600.0
_LINES_PER_PAYOUT: Final = 1_000
_FEE_MINOR: Final = 59
_AMOUNT_MINOR: Final = 1_999
_FIRST: Final = datetime(2026, 3, 1, tzinfo=UTC)
_EACH: Final = timedelta(seconds=2)
_HEADER: Final = (
    "automatic_payout_id,automatic_payout_effective_at,balance_transaction_id,created,created_utc,currency,gross,fee,net,reporting_category,"
    "source_id,description,charge_id,payment_intent_id,customer_email,payment_metadata[payorch_attempt]\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One import. peak_bytes: the largest resident memory of its process. wrong: what the books do not show as they should."""

    rows: int
    report_bytes: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    wrong: tuple[str, ...]

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds


async def measure(cluster: Cluster, lines: int) -> dict[str, Any]:
    """Both imports. Raises BenchmarkFailed."""
    small, large = [await _run(cluster, some) for some in (max(1, lines // 10), lines)]
    return {
        "measured": NAME,
        "runs": [_data(one) for one in (small, large)],
        "memory_ratio": large.peak_bytes / small.peak_bytes,
        "wrong": [f"{one.rows} lines: {text}" for one in (small, large) for text in one.wrong],
    }


def text(result: Mapping[str, Any]) -> str:
    """The whole result for a terminal."""
    told = [
        f"{one['rows']:>9,} lines ({one['report_bytes'] / 1e6:,.0f} MB): {one['rows_per_second']:>7,.0f} lines/s,"
        f" {one['seconds']:.1f} s, {one['cpu_seconds']:.1f} s of CPU here, peak memory {one['peak_bytes'] / 1e6:,.0f} MB"
        for one in result["runs"]
    ]
    wrong = [f"WRONG: {one}" for one in result["wrong"]] or ["The books agree: every line is matched and every movement settled."]
    large = result["runs"][-1]
    row = f"| {large['rows']:,} | {large['rows_per_second']:,.0f} | {large['peak_bytes'] / 1e6:,.0f} MB | {result['memory_ratio']:.2f} |"
    return "\n".join(
        [
            "settlement reports imported:",
            *told,
            f"peak memory of ten times the lines: {result['memory_ratio']:.2f} of that of the tenth",
            *wrong,
            "",
            "For docs/performance.md:",
            "| lines | lines/s | peak memory | of a tenth's |",
            "|---|---|---|---|",
            row,
        ]
    )


async def _run(cluster: Cluster, lines: int) -> Run:
    name, file = f"bench_settlements_{lines}", FOLDER / f"settlements_{lines}.csv"
    async with _traded(cluster, name, lines):
        size = _write(file, lines)
        environment = {**plain_environment(), "PAYORCH_DATABASE_URL": cluster.conninfo(role=embedded.APP_ROLE, database=name)}
        command = [sys.executable, "-m", "payorch", "settlements", "import", "stripe", str(file), "--json"]
        try:
            seconds, usage, said = await trio.to_thread.run_sync(partial(_timed, command, environment))
        finally:
            file.unlink()
        wrong = await _wrong_books(cluster, name, lines, json.loads(said))
        return Run(
            rows=lines,
            report_bytes=size,
            seconds=seconds,
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            peak_bytes=usage.ru_maxrss * 1024,
            wrong=tuple(wrong),
        )


def _timed(command: list[str], environment: Mapping[str, str]) -> tuple[float, Any, str]:
    """Runs it to its end: how long it took, what it used of the machine, what it said."""
    began = perf_counter()
    with (FOLDER / "import.json").open("w+") as said, (FOLDER / "import.log").open("w") as log:
        process = subprocess.Popen(command, env=dict(environment), cwd=ROOT, stdout=said, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # it was waited for here, and its own object must know
        seconds = perf_counter() - began
        said.seek(0)
        output = said.read()
    if process.returncode:
        tail = (FOLDER / "import.log").read_text()[-2_000:]
        raise BenchmarkFailed(f"{' '.join(command)} failed with {process.returncode}:\n{tail}")
    return seconds, usage, output


async def _wrong_books(cluster: Cluster, database: str, lines: int, told: Mapping[str, Any]) -> list[str]:
    payouts = -(-lines // _LINES_PER_PAYOUT)
    settled = await count(cluster, database, "SELECT count(*) FROM payorch.movements WHERE settlement = 'settled'")
    matched = await count(cluster, database, "SELECT count(*) FROM payorch.settlement_rows WHERE state = 'matched'")
    apart = await rows(
        cluster, database, "SELECT currency, sum(amount) FROM payorch.ledger_lines GROUP BY currency HAVING sum(amount) <> 0"
    )
    due = await rows(
        cluster,
        database,
        "SELECT account FROM payorch.ledger_lines WHERE account LIKE 'psp_receivable%' GROUP BY account HAVING sum(amount) <> 0",
    )
    checks = {
        f"{told['rows']} of {lines + payouts} lines are stored": told["rows"] == lines + payouts,
        f"{told['bad_rows']} cannot be read, {told['findings']} findings": told["bad_rows"] == told["findings"] == 0,
        f"{matched} of {lines} lines are matched": matched == lines,
        f"{settled} of {lines} movements are settled": settled == lines,
        "the ledger does not balance": not apart,
        "the PSP still owes something": not due,
        "the report's totals do not hold": bool(told["totals_hold"]) and len(told["ties"]) > 0,
    }
    return [what for what, holds in checks.items() if not holds]


# --- what has happened before -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _traded(cluster: Cluster, name: str, payments: int) -> AsyncIterator[None]:
    """A database with so many captured payments; gone afterwards."""
    await embedded.create_database(cluster, name)
    try:
        environment = {
            **plain_environment(),
            "PAYORCH_DATABASE_URL": cluster.conninfo(role=embedded.APP_ROLE, database=name),
            "PAYORCH_MIGRATION_DATABASE_URL": cluster.conninfo(role=embedded.OWNER_ROLE, database=name),
        }
        await output_of([sys.executable, "-m", "payorch", "migrate"], environment=environment, within_seconds=_COMMAND_SECONDS)
        session = Session(application_name="payorch-bench", statement_timeout_seconds=_TRADE_SECONDS)
        connection = await Connection.connect(
            cluster.conninfo(role=embedded.OWNER_ROLE, database=name), session=session, answer_within_seconds=_TRADE_SECONDS + 1
        )
        try:
            await connection.execute("SELECT payorch.ensure_partitions(%s, 2)", [_FIRST.date()])
            for statement in _TRADE:
                await connection.execute(statement, {"payments": payments, "first": _FIRST, "each": _EACH, "minor": _AMOUNT_MINOR})
        finally:
            await connection.close()
        yield
    finally:
        await embedded.drop_database(cluster, name)


# The ids are UUIDv7: the time of birth, and the payment's number. `_identifier` makes the same.
_TRADE: Final = (
    """
    CREATE TEMPORARY TABLE trade AS
    SELECT n, at, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid AS id,
           (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70018000' || lpad(to_hex(n), 12, '0'))::uuid AS attempt_id
    FROM generate_series(1, %(payments)s) AS n, LATERAL (SELECT %(first)s::timestamptz + n * %(each)s::interval) AS born (at)
    """,
    """
    INSERT INTO payorch.payments (id, merchant_id, state, version, previous_version, amount, currency, capture, connector, psp_reference,
        authorized, captured, capture_reserved, refunded, refund_reserved, unfinished, held, created_at, updated_at)
    SELECT id, '00000000-0000-7000-8000-000000000001', 'CAPTURED', 5, 0, %(minor)s, 'EUR', 'automatic', 'stripe', 'pi_' || n,
        %(minor)s, %(minor)s, 0, 0, 0, false, false, at, at FROM trade
    """,
    """
    INSERT INTO payorch.attempts (payment_id, id, connector, state, exclusive, amount, currency, psp_key, psp_key_safe_until, call_method,
        call_path, call_body, psp_reference, money_reference, created_at, updated_at)
    SELECT id, attempt_id, 'stripe', 'CHARGED', true, %(minor)s, 'EUR', attempt_id::text, at, 'POST', '/v1/payment_intents', '',
        'pi_' || n, 'ch_' || n, at, at FROM trade
    """,
    """
    INSERT INTO payorch.movements (payment_id, sequence, subject_id, merchant_id, attempt_id, connector, kind, amount, currency, debit,
        credit, at)
    SELECT id, 5, attempt_id, '00000000-0000-7000-8000-000000000001', attempt_id, 'stripe', 'capture', %(minor)s, 'EUR',
        'psp_receivable:stripe', 'merchant_payable:bench', at FROM trade
    """,
)


def _write(file: Path, lines: int) -> int:
    """The report of all that trade; its size in bytes."""
    with file.open("w") as report:
        report.write(_HEADER)
        for line in _report(lines):
            report.write(line)
        return report.tell()


def _report(lines: int) -> Iterator[str]:
    gross, fee, net = (f"{minor / 100:.2f}" for minor in (_AMOUNT_MINOR, _FEE_MINOR, _AMOUNT_MINOR - _FEE_MINOR))
    for n in range(1, lines + 1):
        at = _FIRST + n * _EACH
        payout, day = f"po_{(n - 1) // _LINES_PER_PAYOUT}", f"{at:%Y-%m-%d %H:%M:%S}"
        attempt = identifiers.text("att", _identifier(at, n))
        ids = f"ch_{n},Order {n},ch_{n},pi_{n},shopper{n}@example.com,{attempt}"
        yield f"{payout},{day},txn_{n},{day},{day},eur,{gross},{fee},{net},charge,{ids}\n"
        if n % _LINES_PER_PAYOUT == 0 or n == lines:
            paid_out = ((n - 1) % _LINES_PER_PAYOUT + 1) * (_AMOUNT_MINOR - _FEE_MINOR)
            out = f"-{paid_out // 100}.{paid_out % 100:02}"
            yield f"{payout},{day},txn_{payout},{day},{day},eur,{out},0.00,{out},payout,{payout},STRIPE PAYOUT,,,,\n"


def _identifier(at: datetime, n: int) -> UUID:
    return UUID(hex=f"{identifiers.earliest(at).int >> 80:012x}70018000{n:012x}")


def _data(run: Run) -> dict[str, Any]:
    return {**asdict(run), "rows_per_second": run.rows_per_second}
