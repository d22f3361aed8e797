"""The simulated PSPs' own books, read over HTTP and laid out so that any charge is found by our reference: `GET {simulator}/_ledger`.

They are kept in a scratch database of SQLite, which spills to a file that nobody else sees and that is gone at the end: a million charges
cost disk, not memory. Reading again fetches only what was written since. Not here: what the books mean (`payorch.domain.books`), real PSPs,
which have no such page (their reports come by reconciliation).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, final

import httpx2
import msgspec
import trio

from payorch import psp_process
from payorch.domain.books import Charge, Line, Movement

_ANSWER_SECONDS: Final = 30.0  # a page is a thousand lines, made in milliseconds; a busy machine needs more
_SCRATCH_PAGES: Final = -65_536  # SQLite's cache, in KiB: 64 MiB hold the index of a million charges
_ASKED_AT_ONCE: Final = 10_000  # SQLite takes 32,766 parameters in one statement


class BooksUnreadable(Exception):
    """A PSP's books could not be read: nothing is known about them. The text says whose, and why."""


class _Entry(msgspec.Struct, frozen=True, gc=False):
    number: int
    payment: str
    type: Movement
    amount: int
    currency: str
    operation: str | None
    operation_reference: str | None


class _Summary(msgspec.Struct, frozen=True, gc=False):
    payment: str
    our_reference: str | None
    currency: str
    amount: int
    authorized: int
    held: int
    captured: int
    released: int
    refunded: int
    refunding: int
    created_at: str


class _Page(msgspec.Struct, frozen=True):
    psp: str
    entries: list[_Entry]
    payments: list[_Summary]
    next_since: int | None


_decoder: Final = msgspec.json.Decoder(_Page)

_TABLES: Final = """
CREATE TABLE charge (
    psp TEXT NOT NULL, id TEXT NOT NULL, reference TEXT, currency TEXT NOT NULL, amount INTEGER NOT NULL, authorized INTEGER NOT NULL,
    held INTEGER NOT NULL, captured INTEGER NOT NULL, released INTEGER NOT NULL, refunded INTEGER NOT NULL, refunding INTEGER NOT NULL,
    created_at TEXT NOT NULL, known INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (psp, id)
) WITHOUT ROWID;
CREATE INDEX charge_reference ON charge (reference);
CREATE INDEX charge_unknown ON charge (psp, id) WHERE NOT known;
CREATE TABLE line (
    psp TEXT NOT NULL, charge TEXT NOT NULL, number INTEGER NOT NULL, type TEXT NOT NULL, amount INTEGER NOT NULL, currency TEXT NOT NULL,
    operation TEXT, reference TEXT, PRIMARY KEY (psp, charge, number)
) WITHOUT ROWID;
"""
_PUT_CHARGE: Final = """
INSERT INTO charge VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO UPDATE SET reference = excluded.reference,
    currency = excluded.currency, amount = excluded.amount, authorized = excluded.authorized, held = excluded.held,
    captured = excluded.captured, released = excluded.released, refunded = excluded.refunded, refunding = excluded.refunding
"""
_COLUMNS: Final = "psp, id, reference, currency, amount, authorized, held, captured, released, refunded, refunding"


@final
class PspBooks:
    """The books of all simulated PSPs that can be asked. `urls`: connector -> where its `_ledger` is. Use it as a context manager."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self.urls = dict(urls)
        self.lines = dict.fromkeys(self.urls, 0)
        """connector -> how many lines were read."""
        self._reached = dict.fromkeys(self.urls, 0)
        self._scratch = sqlite3.connect("", isolation_level=None)
        self._run = self._scratch.execute
        for setting in ("journal_mode=OFF", "synchronous=OFF", f"cache_size={_SCRATCH_PAGES}", "temp_store=FILE"):
            self._run(f"PRAGMA {setting}").close()
        self._scratch.executescript(_TABLES)

    def __enter__(self) -> PspBooks:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.close()

    async def read(self, progress: Callable[[str], None] = lambda text: None) -> None:
        """Fetches every line that is not here yet. Raises BooksUnreadable."""
        async with httpx2.AsyncClient(timeout=_ANSWER_SECONDS, trust_env=False) as client:
            for name, url in self.urls.items():
                more: int | None = self._reached[name]
                while more is not None:
                    page = await self._page(client, name, url, more)
                    self._put(name, page)
                    progress(f"the books of {name}: {self.lines[name]:,} lines")
                    more = page.next_since

    async def _page(self, client: httpx2.AsyncClient, name: str, url: str, since: int) -> _Page:
        where = f"{url}/_ledger"
        try:
            answer = await client.get(where, params={"since": since})
            if answer.status_code != 200:
                raise BooksUnreadable(f"the books of {name} cannot be read: {where} answers {answer.status_code}")
            page = _decoder.decode(answer.content)
        except httpx2.HTTPError as error:
            raise BooksUnreadable(f"the books of {name} cannot be read: {where}: {type(error).__name__} {error}".strip()) from None
        except msgspec.ValidationError as error:
            raise BooksUnreadable(f"the books of {name} are not what this program knows: {error}") from None
        except msgspec.DecodeError:
            raise BooksUnreadable(f"the books of {name} cannot be read: {where} answers something that is no JSON") from None
        if page.psp != name:
            raise BooksUnreadable(f"{where} has the books of {page.psp[:40]}, not of {name}")
        return page

    def _put(self, name: str, page: _Page) -> None:
        charges = [
            (
                name, one.payment, one.our_reference, one.currency, one.amount, one.authorized, one.held, one.captured, one.released,
                one.refunded, one.refunding, one.created_at,
            )
            for one in page.payments
        ]  # fmt: skip
        lines = [
            (name, one.payment, one.number, one.type.value, one.amount, one.currency, one.operation, one.operation_reference)
            for one in page.entries
        ]
        self._run("BEGIN")
        self._scratch.executemany(_PUT_CHARGE, charges)
        self._scratch.executemany("INSERT OR REPLACE INTO line VALUES (?, ?, ?, ?, ?, ?, ?, ?)", lines)
        self._run("COMMIT")
        self.lines[name] += len(lines)
        if page.entries:
            self._reached[name] = page.entries[-1].number

    def charges(self, references: Sequence[str]) -> dict[str, list[Charge]]:
        """reference -> the charges that name it, of those that any charge names. They count as known from here on."""
        found: dict[str, list[Charge]] = {}
        for start in range(0, len(references), _ASKED_AT_ONCE):
            some = references[start : start + _ASKED_AT_ONCE]
            places = f"({','.join('?' * len(some))})"
            for charge in self._with_lines(f"charge.reference IN {places}", some):
                found.setdefault(charge.our_reference or "", []).append(charge)
            self._run(f"UPDATE charge SET known = 1 WHERE reference IN {places} AND NOT known", some)
        return found

    def unknown(self, *, limit: int, created_from: str = "") -> list[Charge]:
        """Charges, made at that moment or later, that no reference asked for so far has led to."""
        some = self._run(
            "SELECT psp, id FROM charge WHERE NOT known AND created_at >= ? ORDER BY psp, id LIMIT ?", (created_from, limit)
        ).fetchall()
        return [charge for psp, id_ in some for charge in self._with_lines("charge.psp = ? AND charge.id = ?", (psp, id_))]

    def without_charge(self, *, limit: int) -> list[tuple[str, str]]:
        """(connector, PSP's payment) of lines whose payment the PSP's books do not have."""
        return self._run(
            "SELECT DISTINCT line.psp, line.charge FROM line LEFT JOIN charge ON charge.psp = line.psp AND charge.id = line.charge"
            " WHERE charge.id IS NULL ORDER BY line.psp, line.charge LIMIT ?",
            (limit,),
        ).fetchall()

    def totals(self) -> Iterator[tuple[str, str, int, int, int, int]]:
        """(connector, currency, charges, held, captured, refunded) over all charges, minor units."""
        return iter(
            self._run(
                "SELECT psp, currency, count(*), sum(held), sum(captured), sum(refunded) FROM charge GROUP BY psp, currency"
                " ORDER BY psp, currency"
            ).fetchall()
        )

    def _with_lines(self, condition: str, values: Sequence[Any]) -> list[Charge]:
        rows = self._run(f"SELECT {_COLUMNS} FROM charge WHERE {condition} ORDER BY psp, id", values).fetchall()
        lines: dict[tuple[str, str], list[Line]] = {}
        for psp, id_, number, type_, amount, currency, operation, reference in self._run(
            "SELECT line.psp, line.charge, number, type, line.amount, line.currency, operation, line.reference FROM charge JOIN line"
            f" ON line.psp = charge.psp AND line.charge = charge.id WHERE {condition}"
            " ORDER BY line.psp, line.charge, number",
            values,
        ):
            line = Line(
                number=number, type=Movement(type_), amount=amount, currency=currency, operation=operation, operation_reference=reference
            )  # fmt: skip
            lines.setdefault((psp, id_), []).append(line)
        return [
            Charge(
                psp=row[0], payment=row[1], our_reference=row[2], currency=row[3], amount=row[4], authorized=row[5], held=row[6],
                captured=row[7], released=row[8], refunded=row[9], refunding=row[10], lines=tuple(lines.get((row[0], row[1]), ())),
            )
            for row in rows
        ]  # fmt: skip


async def beside(data_dir: Path) -> dict[str, str]:
    """connector -> where its books are, of the simulators that run with that data folder; {} where none do.

    Of `payorch up` only those that it leads payments to. They are asked at the control port, which also answers while a simulator refuses
    connections.
    """
    if not (data_dir / psp_process.BOUND).exists() or not psp_process.is_running(data_dir):
        return {}
    try:
        bound = json.loads(await trio.Path(data_dir / psp_process.BOUND).read_text(encoding="utf-8"))
        urls = {str(name): f"{bound['control']}/{name}" for name in bound["simulators"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BooksUnreadable(f"{data_dir / psp_process.BOUND} cannot be read: {error}") from None
    used = _used(data_dir)
    return urls if used is None else {name: url for name, url in urls.items() if name in used}


def _used(data_dir: Path) -> frozenset[str] | None:
    try:
        known = json.loads((data_dir / "credentials.json").read_text(encoding="utf-8"))
        return frozenset(known["simulators"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
