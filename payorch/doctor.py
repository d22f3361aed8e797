"""What is wrong here: one look at everything that the platform needs, each with what to do about it.

It only looks and changes nothing. Not here: printing (the command line), or watching a running platform (metrics and `/readyz`).
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

import psycopg

from connectors.contract import Connector
from connectors.registry import needs
from payorch import configuration, database
from payorch.ports import Clock
from payorch.settings import Settings, SettingsInvalid, ignored_variables, origins, routing_doubts
from payorch.store import migrate
from payorch.store.driver import Connection
from payorch.store.migrate import MigrationFailed, SchemaMismatch
from payorch.store.pool import DatabaseUnavailable

LARGEST_CLOCK_OFFSET: Final = timedelta(seconds=1)
"""Between this machine and the database's. PSP keys and deadlines are reckoned by our clock, evidence is compared with others'."""
_OLDEST_PYTHON: Final = (3, 11)
_OLDEST_POSTGRESQL: Final = 140000
_FEWEST_MONTHS: Final = 2


class Level(StrEnum):
    """How bad it is. FAIL: the platform will not start, or not be right."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. `remedy` is empty where nothing is to be done."""

    subject: str
    level: Level
    text: str
    remedy: str = ""


def _ok(subject: str, text: str) -> Finding:
    return Finding(subject=subject, level=Level.OK, text=text)


def _warn(subject: str, text: str, remedy: str) -> Finding:
    return Finding(subject=subject, level=Level.WARN, text=text, remedy=remedy)


def _fail(subject: str, text: str, remedy: str) -> Finding:
    return Finding(subject=subject, level=Level.FAIL, text=text, remedy=remedy)


async def examine(
    settings: Settings | SettingsInvalid, *, known: Mapping[str, Connector], clock: Clock, data_dir: Path, simulated: bool = False
) -> list[Finding]:
    """Looks at everything. `known`: the connectors that this program has; `data_dir`: where `payorch up`
    keeps its data, if anywhere; `simulated`: it is the local stack that is looked at, whose connectors need no credentials."""
    findings = [python_version(), *data_folder(data_dir)]
    if isinstance(settings, SettingsInvalid):
        return [
            *findings,
            *[_fail("configuration", fault, "correct it; `payorch config check` shows every value") for fault in settings.faults],
        ]
    findings += [*configured(settings, known), secret_key(settings), port(settings)]
    if not simulated:
        findings += credentials(settings, needs(known))
    return [*findings, *[finding async for finding in database_state(settings, clock)]]


def python_version(version: tuple[int, int] = (sys.version_info.major, sys.version_info.minor)) -> Finding:
    """The interpreter."""
    text = ".".join(map(str, version))
    if version < _OLDEST_PYTHON:
        return _fail("python", f"{text} is too old", "use Python 3.11 or newer")
    return _ok("python", text)


def configured(settings: Settings, known: Mapping[str, Connector]) -> Iterator[Finding]:
    """Settings that are valid and yet cannot be meant."""
    shown = origins(settings).values()
    files = str(configuration.shipped_folder())
    changed = [origin for origin in shown if origin.source != "not set" and not origin.source.startswith((files, "http.host"))]
    yield _ok("configuration", f"{len(shown)} settings, {len(changed)} of them not as shipped")
    for variable in ignored_variables(settings):
        yield _warn("configuration", f"{variable} means nothing to this program", "correct or remove it, if it was meant for payorch")
    for name in settings.connectors:
        if name not in known:
            yield _fail(
                "configuration", f"there is no connector {name}", f"remove its table; the connectors are {', '.join(sorted(known))}"
            )
    if not settings.enabled_connectors():
        yield _fail("configuration", "no connector is enabled", "set connectors.<name>.enabled")
    methods = {method for connector in known.values() for method in connector.manifest.methods}
    for doubt in routing_doubts(settings, methods):
        yield _warn("routing", doubt, "correct the rule, move it up, or remove it")


def secret_key(settings: Settings) -> Finding:
    """The master key."""
    if settings.secret_key is None:
        return _fail("secret key", "PAYORCH_SECRET_KEY is not set", "make one (openssl rand -base64 48), keep it safe, and set it")
    return _ok("secret key", "set")


def credentials(settings: Settings, known: Mapping[str, Collection[str]]) -> Iterator[Finding]:
    """Connectors' credentials that are not there, or travel in the open. `known`: which each needs."""
    for name, connector in settings.enabled_connectors().items():
        if name not in known:
            continue
        missing = [key for key in known[name] if key not in connector.credentials()]
        if missing:
            variables = " and ".join(configuration.variable(("connectors", name, key)) for key in missing)
            yield _warn(f"connector {name}", f"no {' and no '.join(missing)}", f"set {variables}, or disable it")
        else:
            yield _ok(f"connector {name}", f"credentials are set, {connector.base_url}")
        if connector.base_url.startswith("http://") and not _is_loopback(connector.base_url):
            yield _warn(f"connector {name}", "its API key travels without TLS", "use https in its base_url")


def port(settings: Settings) -> Finding:
    """Whether the platform could listen where it is to."""
    host, number = settings.http.host, settings.http.port
    if (why := cannot_listen(host, number)) is None:
        return _ok("port", f"{host}:{number} is free")
    if why == errno.EADDRINUSE:
        return _warn("port", f"{host}:{number} is taken", "fine, if that is this platform running; else choose another http.port")
    return _fail("port", f"{host}:{number} cannot be listened on: {errno.errorcode.get(why, why)}", "choose another http.host or http.port")


def cannot_listen(host: str, number: int) -> int | None:
    """None where that address can be listened on; else the error number."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As the door does: a port whose last connections still linger can be taken again.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, number))
            probe.listen(1)  # two may bind one port this way, but only one may listen
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    except OSError as error:
        return error.errno
    return None


def data_folder(data_dir: Path) -> Iterator[Finding]:
    """The rights of what `payorch up` has written; nothing where it never ran."""
    if not data_dir.exists():
        return
    for path, allowed in ((data_dir, 0o700), (data_dir / "secret.key", 0o600), (data_dir / "credentials.json", 0o600)):
        if path.exists() and (mode := path.stat().st_mode & 0o777) & ~allowed:
            yield _warn("data folder", f"{path} has mode {mode:04o}: others may read it", f"chmod {allowed:o} {path}")
            return
    yield _ok("data folder", f"{data_dir} is private")


async def database_state(settings: Settings, clock: Clock) -> AsyncIterator[Finding]:
    """The database: reachable, whose, with which schema, with partitions ahead, and with the right time."""
    if settings.database_url is None:
        yield _fail(
            "database", "PAYORCH_DATABASE_URL is not set", "set it to the application role's URL; `payorch up` has a database of its own"
        )
        return
    try:
        async with database.connected(settings.needed("database_url"), settings.database, application_name="payorch-doctor") as connection:
            for look in (_server, _role, _schema, _durability):
                yield await look(connection)
            yield await _partitions(connection, clock)
            yield await _clock_offset(connection, clock)
    except DatabaseUnavailable as error:
        yield _fail("database", error.reason, "check that it runs, and PAYORCH_DATABASE_URL")
    except psycopg.Error as error:
        yield _fail("database", f"a question to it failed: {error}", "check the rights of its role")


async def _row(connection: Connection, query: str) -> tuple[object, ...]:
    row = await (await connection.execute(query.encode())).fetchone()
    return row or ()


async def _server(connection: Connection) -> Finding:
    version = connection.info.server_version
    if version < _OLDEST_POSTGRESQL:
        return _fail("database", f"PostgreSQL {version // 10000} is too old", "use PostgreSQL 14 or newer")
    return _ok("database", f"PostgreSQL {version // 10000} answers")


async def _role(connection: Connection) -> Finding:
    query = "SELECT rolname, rolsuper, (SELECT pg_has_role(current_user, nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'payorch')"
    name, is_superuser, owns = await _row(connection, f"{query} FROM pg_roles WHERE rolname = current_user")
    if is_superuser or owns:
        what = "a superuser" if is_superuser else "the owner of the schema"
        return _fail(
            "role", f"{name} is {what}: nothing would keep the journal append-only", "connect as payorch_app; migrate as payorch_owner"
        )
    return _ok("role", f"{name}, neither superuser nor owner")


async def _schema(connection: Connection) -> Finding:
    try:
        await migrate.check(connection)
    except (SchemaMismatch, MigrationFailed) as error:
        return _fail("schema", str(error), "run `payorch migrate`, or start the version that fits")
    return _ok("schema", f"at {migrate.load()[-1]}")


async def _durability(connection: Connection) -> Finding:
    settings = await _row(connection, "SELECT current_setting('synchronous_commit'), current_setting('fsync')")
    if "off" in settings or "local" in settings:
        return _fail(
            "durability", "commits are answered before they are safe", "turn fsync and synchronous_commit on: answers rest on them"
        )
    return _ok("durability", "commits are on disk when they are answered")


async def _partitions(connection: Connection, clock: Clock) -> Finding:
    months = await database.months_ahead(connection, now=clock.now())
    if months < _FEWEST_MONTHS:
        return _warn("partitions", f"made for {months} more months", "run `payorch migrate`; nothing is lost meanwhile, only slower")
    return _ok("partitions", f"made for {months} more months")


async def _clock_offset(connection: Connection, clock: Clock) -> Finding:
    before = clock.now()
    [theirs] = await _row(connection, "SELECT round(extract(epoch FROM clock_timestamp()) * 1000)::bigint")
    middle = before + (clock.now() - before) / 2
    offset = timedelta(milliseconds=int(str(theirs)) - round(middle.timestamp() * 1000))
    seconds = f"{offset.total_seconds():+.3f} s"
    if abs(offset) > LARGEST_CLOCK_OFFSET:
        return _fail("clock", f"the database's is {seconds} from ours", "synchronise both machines (NTP)")
    return _ok("clock", f"the database's is {seconds} from ours")


def _is_loopback(url: str) -> bool:
    return url.startswith(("http://127.", "http://localhost", "http://[::1]"))
