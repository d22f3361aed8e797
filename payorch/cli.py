"""The command line: one function for each command, which reads its options, calls what does the work, and prints.

    0   it worked      1   it failed, one or two lines on stderr say why      2   it was called wrongly

PAYORCH_DEBUG=1 shows the traceback of a failure. What is heavy to import is imported by the command that needs it. Not here: the work.
"""

from __future__ import annotations

import gc
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from cyclopts import App, CycloptsError, Parameter, validators

from connectors.simulator.faults import FaultKind
from payorch import cli_acts, cli_audit, cli_console, cli_days, cli_operators, cli_reconciliation, cli_routing, cli_webhooks
from payorch.cli_operators import Mode, show_granted
from payorch.settings import Settings, SettingsInvalid, load, origins
from payorch.terminal import (
    DEFAULT_DATA_DIR,
    CalledWrongly,
    CommandFailed,
    DataDir,
    Json,
    complain,
    progress,
    say,
    show,
    stop_printing,
    tell,
)
from payorch.wording import aligned, in_words, plain, shortened

SIMULATORS_PORT_BASE: Final = 8090
_HELP: Final = "See payorch --help, or --help behind a command."

PortBase: TypeAlias = Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65500))]
Operation: TypeAlias = Literal["authorize", "capture", "void", "refund", "inquire"]


def _is_duration(_: object, value: str | None) -> None:
    from payorch.chaos import duration

    if value is not None:
        duration(value)


def _is_ledger(_: object, value: list[str]) -> None:
    for one in value:
        name, _, url = one.partition("=")
        if not name or not url.startswith(("http://", "https://")):
            raise ValueError("a ledger is NAME=URL, as in psp=http://127.0.0.1:8091")


def _version() -> str:
    from importlib.metadata import version

    return f"payorch {version('payorch')}"


def _usage_error(error: CycloptsError) -> str:
    return f"payorch: {error}\n{_HELP}"


app = App(
    name="payorch",
    help="A payment orchestration platform.",
    version=_version,
    help_format="plaintext",
    error_formatter=_usage_error,
    suppress_keyboard_interrupt=False,
    backend="trio",
    result_action="return_value",
)
config = App(name="config", help="The settings, and where each came from.")
merchants = App(name="merchants", help="Merchants and their API keys.")
merchant_keys = App(name="keys", help="A merchant's API keys.")
books = App(name="books", help="The money: whether the books are whole.")
merchants.command(merchant_keys)
for _part in (
    *(config, merchants, cli_operators.operators, cli_audit.audit, books, cli_webhooks.dead_letters, cli_routing.routing),
    *(cli_reconciliation.settlements, cli_days.reconciliation, cli_acts.ops),
):
    app.command(_part)
for _command in (cli_webhooks.listen, cli_webhooks.trigger, cli_console.console):
    app.command(_command)


def main(arguments: list[str] | None = None) -> None:
    """The entry point: runs one command and exits with 0, 1 or 2."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """One command; its exit code. Nothing is raised but SystemExit, by cyclopts, for a wrong call."""
    debugging = os.environ.get("PAYORCH_DEBUG", "") not in ("", "0")
    gc.set_threshold(50_000, 20, 50)  # modules and models are no garbage: looking through them was a tenth of a start
    try:
        app(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        stop_printing()
        return 1
    except KeyboardInterrupt:
        return complain("interrupted")
    except CalledWrongly as wrong:
        complain(f"{wrong}\n{_HELP}")
        return 2
    except Exception as error:
        if debugging:
            raise
        return complain(*in_words(error))
    return 0


# --- the platform -----------------------------------------------------------------------------------------------------------------------


@app.command
async def up(
    *,
    port: Annotated[int | None, Parameter(validator=validators.Number(gte=0, lte=65535))] = None,
    data_dir: Path = DEFAULT_DATA_DIR,
    console: Annotated[bool, Parameter(negative="")] = False,
    traffic: Annotated[float | None, Parameter(validator=validators.Number(gt=0, lte=1000))] = None,
    seed: int = 0,
) -> None:
    """Run the whole platform on this machine: database, PSP simulators, API, a demo merchant and two operators.

    Ctrl-C stops everything, twice stops it now.

    Parameters
    ----------
    port
        Where the API listens; 0 takes a free port. [default: http.port, 8080]
    data_dir
        Where everything is kept.
    console
        Open the operators' console on it, in this terminal. Its end is the end of everything; the log goes to the data folder meanwhile.
    traffic
        Make this many demo payments a second.
    seed
        Of the demo payments, and of the simulators' ids and faults.
    """
    from payorch import local, telemetry
    from payorch.system import SystemClock

    wishes = local.Wishes(data_dir=data_dir, port=port, console=console, traffic=traffic, seed=seed)
    if console:
        with cli_console.screen_kept_clean(data_dir) as (descriptor, say_later):
            telemetry.configure(SystemClock(), descriptor=descriptor)
            await local.up(wishes, say=say_later)
    else:
        telemetry.configure(SystemClock())
        await local.up(wishes, say=tell)


@app.command
async def serve() -> None:
    """Run the platform alone, against PAYORCH_DATABASE_URL and the PSPs as configured."""
    from connectors.registry import CONNECTORS, needs
    from payorch import app as composition
    from payorch import telemetry
    from payorch.system import SystemClock

    settings = load()
    settings.needed_to_serve(needs(CONNECTORS))
    telemetry.configure(SystemClock())
    await composition.serve(settings, on_ready=lambda url: tell(f"payorch is ready: {url}"), reread=load)


@app.command
async def simulators(*, port_base: PortBase = SIMULATORS_PORT_BASE, data_dir: Path = DEFAULT_DATA_DIR, seed: int = 0) -> None:
    """Run the simulated PSPs alone. Their books and key tables are kept in the data folder.

    Parameters
    ----------
    port_base
        The port that controls them; the PSPs' own follow. 0 takes free ports.
    data_dir
        Where their books are kept.
    seed
        Of a new ledger's ids, and of faults.
    """
    from payorch import folders, psp_process, telemetry
    from payorch import simulators as psps
    from payorch.system import SystemClock

    clock = SystemClock()
    telemetry.configure(clock)
    folders.make_private_folder(data_dir)
    with folders.only_one(data_dir / psp_process.LOCK, f"the simulators of {data_dir} are running already"):
        await psps.main(
            port_base,
            data_dir,
            clock=clock,
            seed=seed,
            ready=lambda bound: tell(aligned([*bound.simulators.items(), ("control", bound.control)])),
        )


@app.command
async def chaos(
    connector: str | None = None,
    fault: FaultKind | None = None,
    *,
    rate: Annotated[float, Parameter(validator=validators.Number(gt=0, lte=1), help="on which share of requests")] = 1.0,
    for_: Annotated[str | None, Parameter(name="--for", validator=_is_duration, help="how long: 90s, 5m, 1h")] = None,
    count: Annotated[int | None, Parameter(validator=validators.Number(gte=1), help="how often at most")] = None,
    operation: Annotated[Operation | None, Parameter(help="of which requests; all where not given")] = None,
    seconds: Annotated[float | None, Parameter(validator=validators.Number(gte=0), help="of delay, or to wait (Retry-After)")] = None,
    clear: Annotated[bool, Parameter(negative="", help="lift the faults, all or those named")] = False,
    data_dir: Annotated[Path, Parameter(help="whose simulators")] = DEFAULT_DATA_DIR,
    json: Json = False,
) -> None:
    """Break a simulated PSP for a while. Without a FAULT: show what is broken."""
    from payorch import chaos as breaking

    lasting = None if for_ is None else breaking.duration(for_)
    if clear:
        mended = await breaking.mend(data_dir, connector, fault and fault.value)
        return show({"lifted": mended}, json, lambda: breaking.lifted(mended))
    if connector is None or fault is None:
        in_force = await breaking.show(data_dir, connector)
        return show({"faults": in_force}, json, lambda: breaking.table(in_force))
    wish = breaking.Wish(fault=fault.value, rate=rate, for_seconds=lasting, count=count, operation=operation, seconds=seconds)
    made = await breaking.break_it(data_dir, connector, wish)
    return show({"connector": connector, **made}, json, lambda: breaking.sentence(connector, made))


@app.command
async def migrate(*, json: Json = False) -> None:
    """Bring the database's schema up to date, and make partitions ahead, as PAYORCH_MIGRATION_DATABASE_URL (the owner)."""
    from payorch import database
    from payorch.system import SystemClock

    settings = load()
    applied = await database.prepare(settings.needed("migration_database_url"), settings.database, now=SystemClock().now())
    names = [str(migration) for migration in applied]
    show({"applied": names}, json, lambda: f"applied {', '.join(names)}" if names else "nothing to do: the schema is up to date")


@app.command
def states(*, json: Json = False) -> None:
    """Print the payment's state diagram and tables, from the table that runs."""
    from payorch.domain import diagram

    drawing, tables = diagram.mermaid(), diagram.tables()
    show({"mermaid": drawing, "tables": tables}, json, lambda: f"{drawing}\n\n{tables}")


# --- settings ---------------------------------------------------------------------------------------------------------------------------


@config.command(name="check")
def config_check(*, json: Json = False) -> None:
    """Check the settings, and show each with its origin. Fails where something is wrong."""
    from connectors.registry import CONNECTORS
    from payorch import doctor

    settings = load()
    findings = [finding for finding in doctor.configured(settings, CONNECTORS) if finding.level is not doctor.Level.OK]
    shown = {"settings": _settings_json(settings), "findings": [asdict(finding) for finding in findings]}
    show(shown, json, lambda: _settings_table(settings))
    complain(*[f"{finding.text}: {finding.remedy}" for finding in findings])
    if any(finding.level is doctor.Level.FAIL for finding in findings):
        raise CommandFailed("the settings cannot be meant so")
    if not json:
        say("\nthe settings are valid")


@config.command(name="show")
def config_show(*, json: Json = False) -> None:
    """Show each setting with its origin; of secrets only whether they are set."""
    settings = load()
    show(_settings_json(settings), json, lambda: _settings_table(settings))


def _settings_json(settings: Settings) -> dict[str, Any]:
    return {key: {"value": origin.value, "source": origin.source} for key, origin in origins(settings).items()}


def _settings_table(settings: Settings) -> str:
    return aligned((key, shortened(plain(origin.value), 100), origin.source) for key, origin in origins(settings).items())


@app.command
async def doctor(*, data_dir: Path = DEFAULT_DATA_DIR, json: Json = False) -> None:
    """Look for what is wrong here. Fails where the platform would not run, or not run right.

    Parameters
    ----------
    data_dir
        Where `payorch up` keeps its data. Without PAYORCH_DATABASE_URL it is this local stack that is looked at.
    """
    from connectors.registry import CONNECTORS
    from payorch import doctor as examination
    from payorch import local
    from payorch.system import SystemClock

    simulated = local.is_there(data_dir) and not os.environ.get("PAYORCH_DATABASE_URL")
    clock = SystemClock()
    try:
        async with local.reachable(data_dir if simulated else None) as settings:
            findings = await examination.examine(settings, known=CONNECTORS, clock=clock, data_dir=data_dir, simulated=simulated)
    except SettingsInvalid as invalid:
        findings = await examination.examine(invalid, known=CONNECTORS, clock=clock, data_dir=data_dir)
    rows = [(one.level.value.ljust(4), one.subject, f"{one.text}{f'. {one.remedy}' if one.remedy else ''}") for one in findings]
    show([asdict(one) for one in findings], json, lambda: aligned(rows))
    if failed := sum(one.level is examination.Level.FAIL for one in findings):
        raise CommandFailed(f"{failed} of {len(findings)} checks failed")


# --- identities -------------------------------------------------------------------------------------------------------------------------


@merchants.command(name="add")
async def merchants_add(name: str, *, mode: Mode = "test", data_dir: DataDir = None, json: Json = False) -> None:
    """Add a merchant. Its key is shown once, now."""
    from payorch import local
    from payorch.keys import KeyMode

    async with local.registrar(data_dir, command="merchants add") as registrar:
        granted = await registrar.add_merchant(name, KeyMode(mode))
    show_granted(granted, "merchant", "key", {}, json)


@merchants.command(name="list")
async def merchants_list(*, data_dir: DataDir = None, json: Json = False) -> None:
    """List all merchants, oldest first."""
    from payorch import local
    from payorch.store import identities

    async with local.connection_to(data_dir) as connection:
        found = await identities.merchants(connection)
    show(
        [{"id": one.id, "name": one.name, "created_at": one.created_at.isoformat()} for one in found],
        json,
        lambda: aligned((one.id, one.created_at.date().isoformat(), one.name) for one in found),
    )


@merchant_keys.command(name="add")
async def merchant_keys_add(merchant_id: str, *, mode: Mode = "test", data_dir: DataDir = None, json: Json = False) -> None:
    """Add a key to a merchant; two of a mode may be live, so that one can be replaced. It is shown once, now."""
    from payorch import local
    from payorch.keys import KeyMode

    async with local.registrar(data_dir, command="merchants keys add") as registrar:
        granted = await registrar.add_merchant_key(merchant_id, KeyMode(mode))
    show_granted(granted, "merchant", "key", {}, json)


@merchant_keys.command(name="list")
async def merchant_keys_list(merchant_id: str, *, data_dir: DataDir = None, json: Json = False) -> None:
    """List a merchant's keys, without the keys: by lookup id, oldest first."""
    from payorch import local
    from payorch.store import identities
    from payorch.system import SystemClock

    now = SystemClock().now()
    async with local.connection_to(data_dir) as connection:
        found = await identities.merchant_keys(connection, merchant_id)
    rows = [(one.lookup_id, one.mode, one.created_at.isoformat(), "live" if one.is_live(now) else "ended") for one in found]
    names = ("lookup_id", "mode", "created_at", "status")
    show([dict(zip(names, row, strict=True)) for row in rows], json, lambda: aligned(rows))


@merchant_keys.command(name="revoke")
async def merchant_keys_revoke(lookup_id: str, *, data_dir: DataDir = None, json: Json = False) -> None:
    """End a key for ever, by its lookup id (all before the last underscore). A running platform follows within seconds."""
    from payorch import local

    async with local.registrar(data_dir, command="merchants keys revoke") as registrar:
        key = await registrar.revoke_merchant_key(lookup_id)
    show({"merchant": key.merchant_id, "revoked": lookup_id}, json, lambda: f"{lookup_id} of {key.merchant_id} is revoked")


# --- money --------------------------------------------------------------------------------------------------------------------------------


@books.command(name="check")
async def books_check(
    *,
    data_dir: DataDir = None,
    ledger: Annotated[list[str], Parameter(negative="", validator=_is_ledger)] = [],  # noqa: B006  (cyclopts never changes it)
    since: datetime | None = None,
    sample: Annotated[float, Parameter(validator=validators.Number(gt=0, lte=1))] = 1.0,
    json: Json = False,
) -> None:
    """Check the money invariants of every payment, also against the PSPs' own books where simulators run. Fails where anything is wrong.

    Parameters
    ----------
    ledger
        NAME=URL of a simulator whose books are to be compared, beside those that run with the data folder. May be repeated.
    since
        Only payments made at this time (UTC) or later.
    sample
        Only this fraction of the payments, 0.01 for one in a hundred.
    """
    from payorch import books as check
    from payorch import books_report, local, psp_books
    from payorch.system import SystemClock

    urls = {} if data_dir is None else await psp_books.beside(data_dir)
    urls |= {name: url.rstrip("/") for name, _, url in (one.partition("=") for one in ledger)}
    scope = check.Scope(since=since and (since if since.tzinfo else since.replace(tzinfo=UTC)).astimezone(UTC), sample=sample)
    try:
        async with local.reachable(data_dir) as settings:
            verdict = await check.run(settings, urls, scope, now=SystemClock().now, progress=progress)
    finally:
        progress("")
    show(books_report.data(verdict), json, lambda: books_report.text(verdict))
    if not verdict.whole:
        raise CommandFailed(books_report.summary(verdict))
