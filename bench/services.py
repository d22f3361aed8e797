"""The two services under test: the bare composition and the platform, each with a fresh database for every round.

The platform is started by its documented interface only (`payorch migrate`, `payorch merchants add`, `payorch serve`, PAYORCH_ variables):
nothing of it is imported but the embedded PostgreSQL, so what is measured is what people run.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from bench.processes import ROOT, BenchmarkFailed, output_of
from payorch.store import embedded
from payorch.store.driver import Connection, Session
from payorch.store.embedded import Cluster

# Keys of a benchmark's own; the database they open is gone when it ends.
_SECRET_KEY: Final = "a-secret-of-the-benchmark-only-0123456789abcdef"
# Of the round's whole life, start and stop included: a few dozen beside thousands. A database's figures begin with it.
COMMITTED: Final = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
WEBHOOK_SECRET: Final = "whsec_bench"
_MERCHANT_KEY: Final = re.compile(r"\bmk_(?:test|live)_[0-9a-z]{16}_[0-9A-Za-z]{49}\b")
_COMMAND_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """How one round's service is started, and the queries that tell what is in its database afterwards.

    count: of what was taken in. settled: of it, what ended as it should. waiting: of it, what is still to be worked on; None where
    everything is done when it is answered.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    merchant_key: str
    database: str
    count: str
    settled: str
    waiting: str | None = None


def plain_environment() -> dict[str, str]:
    """This process's environment without anything that would configure a platform."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PAYORCH_")}


class Bare:
    """`bench.bare`. webhooks: whether it is these that are counted, and not payments."""

    name = "bare"

    def __init__(self, cluster: Cluster, *, webhooks: bool = False) -> None:
        self._cluster = cluster
        self._count = f"SELECT count(*) FROM public.{'webhooks' if webhooks else 'claims'}"
        self._settled = self._count if webhooks else f"{self._count} WHERE status = 201"

    @asynccontextmanager
    async def prepared(self, *, number: int, port: int, stub_port: int) -> AsyncIterator[Service]:
        """A service for one round, with an empty database that is dropped afterwards."""
        async with _database(self._cluster, f"bench_bare_{number}", template="template1") as name:
            database = self._cluster.conninfo(role=embedded.OWNER_ROLE, database=name)
            command = ["-m", "bench.bare", "--port", str(port), "--psp", f"http://127.0.0.1:{stub_port}", "--database", database]
            yield Service(
                command=[sys.executable, *command],
                environment=plain_environment(),
                merchant_key="none",
                database=name,
                count=self._count,
                settled=self._settled,
            )


class Platform:
    """`payorch serve` as it is shipped, except for the rate limit per merchant: one merchant sends everything here."""

    name = "platform"

    def __init__(self, cluster: Cluster, *, template: str, capture: str, webhooks: bool = False) -> None:
        """template: the name of the database that every round's is a copy of."""
        self._cluster = cluster
        self._template = template
        self._state = "AUTHORIZED" if capture == "manual" else "CAPTURED"
        self._webhooks = webhooks
        self._merchant_key = ""

    async def prepare(self) -> None:
        """Makes the template: migrated, with one merchant in it."""
        await embedded.create_database(self._cluster, self._template)
        environment = self._environment(self._template, port=0, stub_port=9)
        payorch = [sys.executable, "-m", "payorch"]
        await output_of([*payorch, "migrate"], environment=environment, within_seconds=_COMMAND_SECONDS)
        said = await output_of([*payorch, "merchants", "add", "bench", "--json"], environment=environment, within_seconds=_COMMAND_SECONDS)
        key = _MERCHANT_KEY.search(said)
        if key is None:
            raise BenchmarkFailed("`payorch merchants add bench --json` printed no merchant key")
        self._merchant_key = key[0]

    @asynccontextmanager
    async def prepared(self, *, number: int, port: int, stub_port: int) -> AsyncIterator[Service]:
        """A service for one round, with a copy of the template that is dropped afterwards."""
        async with _database(self._cluster, f"bench_platform_{number}", template=self._template) as name:
            yield self._webhook_service(name, port, stub_port) if self._webhooks else self.payment_service(name, port, stub_port)

    def payment_service(self, database: str | None, port: int, stub_port: int) -> Service:
        """One that is to be paid with, on that database or (None) on the template itself."""
        name = database or self._template
        return Service(
            command=[sys.executable, "-m", "payorch", "serve"],
            environment=self._environment(name, port=port, stub_port=stub_port),
            merchant_key=self._merchant_key,
            database=name,
            count="SELECT count(*) FROM payorch.payments",
            settled=f"SELECT count(*) FROM payorch.payments WHERE state = '{self._state}'",
        )

    def _webhook_service(self, database: str, port: int, stub_port: int) -> Service:
        # What the load tells is known already: it is applied to a payment, and the payment stays as it was.
        return replace(
            self.payment_service(database, port, stub_port),
            count="SELECT count(*) FROM payorch.inbox",
            settled=f"""
                SELECT count(*) FROM payorch.inbox AS i JOIN payorch.payments AS p ON p.id = i.payment_id
                WHERE i.state = 'applied' AND i.outcome = 'implied' AND p.state = '{self._state}'
            """,
            waiting="SELECT count(*) FROM payorch.inbox WHERE next_try_at IS NOT NULL",
        )

    def _environment(self, database: str, *, port: int, stub_port: int) -> dict[str, str]:
        others = {f"PAYORCH_CONNECTORS__{name.upper()}__ENABLED": "false" for name in _connectors() if name != "stripe"}
        return {
            **plain_environment(),
            **others,
            "PAYORCH_DATABASE_URL": self._cluster.conninfo(role=embedded.APP_ROLE, database=database),
            "PAYORCH_MIGRATION_DATABASE_URL": self._cluster.conninfo(role=embedded.OWNER_ROLE, database=database),
            "PAYORCH_SECRET_KEY": _SECRET_KEY,
            "PAYORCH_CONNECTORS__STRIPE__BASE_URL": f"http://127.0.0.1:{stub_port}",
            "PAYORCH_CONNECTORS__STRIPE__API_KEY": "sk_test_bench",
            "PAYORCH_CONNECTORS__STRIPE__WEBHOOK_SECRET": WEBHOOK_SECRET,
            "PAYORCH_HTTP__PORT": str(port),
            "PAYORCH_HTTP__REQUESTS_PER_SECOND_PER_MERCHANT": "1000000",
            "PAYORCH_HTTP__REQUESTS_BURST_PER_MERCHANT": "1000000",
        }


def _connectors() -> list[str]:
    with (ROOT / "config" / "connectors.toml").open("rb") as file:
        return list(tomllib.load(file))


@asynccontextmanager
async def _database(cluster: Cluster, name: str, *, template: str) -> AsyncIterator[str]:
    await embedded.create_database(cluster, name, template=template)
    try:
        yield name
    finally:
        await embedded.drop_database(cluster, name)


async def rows(cluster: Cluster, database: str, query: str) -> list[tuple[Any, ...]]:
    """What a query gives."""
    conninfo = cluster.conninfo(role=embedded.SUPERUSER, database=database)
    connection = await Connection.connect(conninfo, session=Session(application_name="payorch-bench"))
    try:
        return await (await connection.execute(query.encode())).fetchall()
    finally:
        await connection.close()


async def count(cluster: Cluster, database: str, query: str) -> int:
    """The one number that a query gives."""
    found = await rows(cluster, database, query)
    if not found:
        raise BenchmarkFailed(f"no answer to {query}")
    return int(found[0][0])
