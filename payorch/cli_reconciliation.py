"""The command line for reconciliation: settlement reports of PSPs, read and looked at.

As in `cli`, which registers these commands: one function for each, which reads its options, calls what does the work, and prints. Not here:
the work (`settlements`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from getpass import getuser
from pathlib import Path
from typing import IO, Annotated, Final, TypeAlias

from cyclopts import App, Parameter, validators

from payorch.terminal import CommandFailed, DataDir, Json, hint, progress, show

PAGE: Final = 20
LARGEST_PAGE: Final = 1000
_PIECE_BYTES: Final = 1 << 16

# --- settlement reports -----------------------------------------------------------------------------------------------------------------

settlements = App(name="settlements", help="Settlement reports of PSPs.")


def _is_batch(_: object, value: str | None) -> None:
    from payorch.domain.identifiers import MalformedIdentifier, parse

    try:
        sound = value is None or parse(value)[0] == "bat"
    except MalformedIdentifier:
        sound = False
    if not sound:
        raise ValueError("a report is bat_ and 26 characters; `payorch settlements list` shows them")


BatchId: TypeAlias = Annotated[str, Parameter(validator=_is_batch)]


@settlements.command(name="import")
async def settlements_import(
    connector: Annotated[str, Parameter(help="whose report it is")],
    file: Annotated[str, Parameter(help="the report, - for standard input", allow_leading_hyphen=True)],
    *,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Read a settlement report: match each line with what we know, and keep what does not fit for people.

    A report is known by its content: the same one again changes nothing, and an import that was interrupted goes on where it was. A line
    that cannot be read fails nothing: it becomes a finding and a dead letter. Findings are work to do, so the exit code is 0 all the same.
    """
    from connectors.registry import CONNECTORS
    from payorch import database, local, settlement_words
    from payorch import settlements as importing
    from payorch.settlement_file import Report
    from payorch.system import SystemClock, SystemEntropy

    if connector not in CONNECTORS:
        raise CommandFailed(f"there is no connector {connector}; there are: {', '.join(sorted(CONNECTORS))}")
    clock = SystemClock()
    async with (
        local.reachable(data_dir) as settings,
        database.connected(settings.needed("database_url"), settings.database, application_name="payorch-import") as connection,
    ):
        name = "standard input" if file == "-" else Path(file).name
        try:
            with (
                _opened(file) as source,
                Report.of(name, _pieces(source), limit_bytes=settings.reconciliation.report_limit_bytes) as report,
            ):
                imported = await importing.import_report(
                    lambda: nullcontext(connection),
                    connector,
                    CONNECTORS[connector].settlement,
                    report,
                    importing.rules(settings, connector),
                    actor=f"cli:{getuser()}",
                    cause="payorch settlements import",
                    clock=clock,
                    entropy=SystemEntropy(clock),
                    progress=lambda come: progress(settlement_words.progress_line(name, come)),
                )
        finally:
            progress("")
    show(settlement_words.data(imported), json, lambda: settlement_words.text(imported))
    if imported.broken:
        hint(f"{len(imported.broken)} totals of the report do not hold: something in it is missing or wrong. Ask {connector} for it again")


@settlements.command(name="list")
async def settlements_list(
    *,
    connector: Annotated[str | None, Parameter(help="only reports of this one")] = None,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=LARGEST_PAGE), help="so many at most")] = PAGE,
    after: Annotated[str | None, Parameter(validator=_is_batch, help="those that come after this one in the list")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """List settlement reports, those that came last first."""
    from payorch import local, settlement_words
    from payorch.store import settlement_batches

    async with local.connection_to(data_dir) as connection:
        found = await settlement_batches.find(connection, connector=connector, limit=limit + 1, after=after)
    cursor = found[limit - 1].id if len(found) > limit else None
    found = found[:limit]
    shown = {"data": [settlement_words.batch_data(one) for one in found], "next_cursor": cursor}
    show(shown, json, lambda: settlement_words.table(found) if found else "no settlement report was imported yet")
    if cursor is not None and not json:
        hint(f"there are more: --after {cursor}, or --limit")


@settlements.command(name="show")
async def settlements_show(batch_id: BatchId, *, data_dir: DataDir = None, json: Json = False) -> None:
    """Show what became of a report's lines: sums, totals and findings."""
    from payorch import local, settlement_words
    from payorch.store import settlement_batches

    async with local.connection_to(data_dir) as connection:
        batch = await settlement_batches.load(connection, batch_id)
        if batch is None:
            raise CommandFailed(f"there is no report {batch_id}; `payorch settlements list` shows them")
        sums = await settlement_batches.sums(connection, batch_id)
        findings = await settlement_batches.findings_by_kind(connection, batch_id)
    show(
        settlement_words.report_data(batch, sums, findings),
        json,
        lambda: settlement_words.report_text(batch, sums, findings),
    )


def _opened(file: str) -> IO[bytes]:
    if file == "-":
        return sys.stdin.buffer
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}") from None


def _pieces(source: IO[bytes]) -> Iterator[bytes]:
    while piece := source.read(_PIECE_BYTES):
        yield piece


# --- end of settlement reports ----------------------------------------------------------------------------------------------------------
