"""The command line for days of reconciliation: what a day comes to, closing it and opening it again.

As in `cli`, which registers these commands: one function for each, which reads its options, calls what does the work, and prints. Not here:
the work (`reconciliation_desk`), findings (`cli_findings`), reports (`cli_reconciliation`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

from cyclopts import App, Parameter

from payorch import cli_findings
from payorch.cli_desk import As, Connector, Reason, Token, at_desk, day_of, place, work
from payorch.terminal import CalledWrongly, CommandFailed, DataDir, Json, hint, show

if TYPE_CHECKING:
    from payorch.store.driver import Connection
    from payorch.store.reconciliation_items import FindingRow

SHOWN_FINDINGS: Final = 20
"""Of one day and currency in its summary: enough to begin with; `findings` has them all."""
EXPORTED_AT_ONCE: Final = 1000
WEEK: Final = timedelta(days=6)

reconciliation = App(name="reconciliation", help="Days of reconciliation: what fits, what does not, and closing them.")

Csv: TypeAlias = Annotated[
    Path | None,
    Parameter(allow_leading_hyphen=True, help="write all lines, movements and findings of it to this file, - for standard output"),
]

for _name, _command in cli_findings.COMMANDS.items():
    reconciliation.command(_command, name=_name)


# --- looking ----------------------------------------------------------------------------------------------------------------------------


@reconciliation.command(name="day")
async def reconciliation_day(
    day: Annotated[str, Parameter(name="DATE", help="the PSP's booking date, as in 2026-01-31")],
    *,
    connector: Connector = None,
    csv: Csv = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show what a day comes to, by connector and currency: the gross difference first, and what to do about each open finding."""
    from payorch import reconciliation_words as words
    from payorch.api.operations import reconciliation_views as views
    from payorch.store import reconciliation_sums

    if csv is not None and json:
        raise CalledWrongly("--csv and --json are two answers: choose one")
    on = day_of(day)
    async with place(data_dir) as here:
        zones = here.of(connector)
        if csv is not None:
            return await _export(here.connection, on, zones, csv)
        found = await reconciliation_sums.days(here.connection, on, on, zones)
        texts = [
            words.day_text(one, await _unexplained(here.connection, on, one.figures.connector, one.figures.currency)) for one in found.days
        ]
    texts += [words.stray_text(one) for one in found.strays]
    nothing = f"nothing is known of {on}: no report, no movement of ours"
    show({"day": on.isoformat(), **views.days_view(found)}, json, lambda: "\n\n".join(texts) or nothing)
    return None


@reconciliation.command(name="days")
async def reconciliation_days(
    *,
    since: Annotated[str | None, Parameter(name="--from", help="the first day [default: a week ago]")] = None,
    until: Annotated[str | None, Parameter(name="--to", help="the last day [default: today]")] = None,
    connector: Connector = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """List days, newest first, with what nobody has explained."""
    from payorch import reconciliation_words as words
    from payorch.api.operations import reconciliation_views as views
    from payorch.store import reconciliation_sums
    from payorch.system import SystemClock

    last = SystemClock().now().date() if until is None else day_of(until)
    first = last - WEEK if since is None else day_of(since)
    async with place(data_dir) as here:
        found = await reconciliation_sums.days(here.connection, first, last, here.of(connector))
    nothing = f"nothing is known of {first} to {last}"
    show(views.days_view(found), json, lambda: words.days_text(found) if found.days or found.strays else nothing)


# --- closing ----------------------------------------------------------------------------------------------------------------------------


@reconciliation.command(name="run")
async def reconciliation_run(
    *,
    day: Annotated[str | None, Parameter(help="only this day, also one of which no report has come")] = None,
    connector: Connector = None,
    token: Token = None,
    as_: As = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Close what can be closed now, and say of every other day what is left. Without a token it is done in the system user's name."""
    from payorch import reconciliation_words as words
    from payorch.store import reconciliation_sums

    async with at_desk("run", "operator", token, as_, data_dir, connector=connector, anybody=True) as (desk, here):
        if day is None:
            closings = await desk.close_due(window_days=here.settings.reconciliation.window_days)
        else:
            on = day_of(day)
            found = await reconciliation_sums.days(here.connection, on, on, here.of(connector))
            closings = [await desk.close(on, one.figures.connector, one.figures.currency) for one in found.days]
    shown = [
        {"day": one.day.isoformat(), "connector": one.connector, "currency": one.currency, "closed": one.closed, "changed": one.changed,
         "why": one.why}
        for one in closings
    ]  # fmt: skip
    show(shown, json, lambda: words.closings_text(closings) if closings else "there is no open day that could be closed")
    if any(not one.closed for one in closings):
        raise CommandFailed("some days are left open: explain what is on them, then run it again")


@reconciliation.command(name="reopen")
async def reconciliation_reopen(
    day: Annotated[str, Parameter(name="DATE")],
    connector: str,
    currency: str,
    *,
    reason: Reason,
    token: Token = None,
    as_: As = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Open a closed day again, for a reason."""
    on = day_of(day)
    await work("reopen", "operator", token, as_, data_dir, json, lambda desk: desk.reopen(on, connector, currency, reason=reason))


# --- what they share --------------------------------------------------------------------------------------------------------------------


async def _unexplained(connection: Connection, on: date, connector: str, currency: str) -> list[FindingRow]:
    from payorch.store import reconciliation_findings as stored

    what = stored.Filter(states=stored.UNEXPLAINED, connector=connector, currency=currency, since=on, until=on)
    found, _ = await stored.find(connection, what, limit=SHOWN_FINDINGS)
    unknown = stored.Filter(states=stored.UNEXPLAINED, connector=connector, currency="XXX", since=on, until=on)
    more, _ = await stored.find(connection, unknown, limit=SHOWN_FINDINGS)
    return [*found, *more]


@contextmanager
def _written(file: Path) -> Iterator[Callable[[str], object]]:
    """Something to write the file with; - is standard output."""
    if str(file) == "-":
        yield sys.stdout.write
        return
    try:
        with file.open("w", encoding="utf-8", newline="") as opened:
            yield opened.write
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {error.strerror}") from None


async def _export(connection: Connection, on: date, zones: dict[str, str], file: Path) -> None:
    from payorch import reconciliation_words as words
    from payorch.store import reconciliation as stored

    of, after, pieces = stored.Of(day=on, zones=zones), None, 0
    with _written(file) as write:
        write(words.csv_header())
        while True:
            page, after = await stored.pieces(connection, of, limit=EXPORTED_AT_ONCE, after=after)
            write(words.csv_rows(on.isoformat(), page))
            pieces += len(page)
            if after is None:
                break
    hint(f"{pieces} lines, movements and findings of {on}")
