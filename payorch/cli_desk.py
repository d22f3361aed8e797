"""What the commands of reconciliation share: where they work, and in whose name.

Explaining a finding is done by somebody: an operator, known by a token, which is checked against the database as over HTTP. Not here: the
commands (`cli_days`, `cli_findings`), the work (`reconciliation_desk`).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

from cyclopts import Parameter

from payorch.terminal import CalledWrongly, CommandFailed, show

if TYPE_CHECKING:
    from payorch.reconciliation_desk import Desk, Done
    from payorch.settings import Settings
    from payorch.store.driver import Connection

TOKEN: Final = "PAYORCH_OPERATOR_TOKEN"

Connector: TypeAlias = Annotated[str | None, Parameter(help="only of this one")]
Token: TypeAlias = Annotated[str | None, Parameter(help=f"the operator's token [default: {TOKEN}]")]
As: TypeAlias = Annotated[str | None, Parameter(name="--as", help="as this operator of the local stack, with --data-dir")]
Reason: TypeAlias = Annotated[str, Parameter(help="why; stands in the record")]


def day_of(text: str) -> date:
    """The day that somebody wrote. Raises CalledWrongly."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CalledWrongly(f"{text} is no day; a day is written as in 2026-01-31") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the command works: the settings, a connection, and the time zone of each connector."""

    settings: Settings
    connection: Connection
    zones: dict[str, str]

    def of(self, connector: str | None) -> dict[str, str]:
        """The zones of that connector alone, or of all."""
        if connector is None:
            return self.zones
        if connector not in self.zones:
            raise CommandFailed(f"there is no connector {connector}; there are: {', '.join(self.zones)}")
        return {connector: self.zones[connector]}


@asynccontextmanager
async def place(data_dir: Path | None) -> AsyncIterator[Place]:
    """There, with a connection of the application role."""
    from connectors.registry import CONNECTORS
    from payorch import database, local
    from payorch.operations.reconciliation_edge import zones

    async with (
        local.reachable(data_dir) as settings,
        database.connected(settings.needed("database_url"), settings.database, application_name="payorch-cli") as connection,
    ):
        yield Place(settings=settings, connection=connection, zones=zones(settings, CONNECTORS))


@asynccontextmanager
async def at_desk(
    command: str,
    least: str,
    token: str | None,
    as_: str | None,
    data_dir: Path | None,
    *,
    connector: str | None = None,
    anybody: bool = False,
) -> AsyncIterator[tuple[Desk, Place]]:
    """anybody: the system user may do it who can reach the database, where no operator is named."""
    from getpass import getuser

    from payorch import access
    from payorch.domain.roles import Role
    from payorch.reconciliation_desk import Desk, Worker
    from payorch.system import SystemClock, SystemEntropy

    text = token_of(token, as_, data_dir)
    if text is None and not anybody:
        raise CalledWrongly(f"this is done in somebody's name: --token, {TOKEN}, or --as NAME with the --data-dir of a local stack")
    clock, cause = SystemClock(), f"payorch reconciliation {command}"
    entropy = SystemEntropy(clock)
    async with place(data_dir) as here:
        worker = Worker(actor=f"cli:{getuser()}", person=f"cli:{getuser()}")
        if text is not None:
            registrar = access.Registrar(
                here.connection,
                master=here.settings.needed("secret_key"),
                clock=clock,
                entropy=entropy,
                actor=worker.actor,
                cause=cause,
            )
            found = await registrar.admitted(text, Role(least))
            worker = Worker(actor=f"operator:{found.operator_name}", person=found.person)
        desk = Desk(
            here.connection,
            clock=clock,
            entropy=entropy,
            who=worker,
            cause=cause,
            policy=here.settings.reconciliation.policy(),
            zones=here.of(connector),
        )
        yield desk, here


def token_of(token: str | None, as_: str | None, data_dir: Path | None) -> str | None:
    from payorch import local

    if as_ is None:
        return token or os.environ.get(TOKEN)
    if token is not None or data_dir is None:
        raise CalledWrongly("--as NAME goes with the --data-dir of a local stack, and not with --token")
    known = local.read_credentials(data_dir).get("operators") or {}
    found = known.get(as_, {}).get("token")
    if not isinstance(found, str):
        raise CommandFailed(f"{data_dir} knows no operator {as_}; it knows: {', '.join(known) or 'none'}")
    return found


async def work(
    command: str, least: str, token: str | None, as_: str | None, data_dir: Path | None, json: bool, act: Callable[[Desk], Awaitable[Done]]
) -> None:
    """One act of somebody's, told. Raises CommandFailed where it was refused."""
    from payorch.api.operations import reconciliation_views as views

    async with at_desk(command, least, token, as_, data_dir) as (desk, _):
        done = await act(desk)
    if not done.changed:
        raise CommandFailed(f"nothing was changed: {done.text}")
    shown = {"code": done.code, "told": done.text, "finding": done.finding and views.finding_view(done.finding)}
    show(shown, json, lambda: done.text)
