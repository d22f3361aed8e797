"""The command line for routing: the rules, other rules on yesterday's payments, and new rules for a running platform.

As in `cli`, which registers these commands: one function for each, which reads its options, calls what does the work, and prints. Not here:
the work (`routing_desk`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from getpass import getuser
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter, validators

from payorch.terminal import CommandFailed, DataDir, Json, hint, progress, say, show

PATIENCE_SECONDS: Final = 10.0
MOST_DECISIONS: Final = 100_000

routing = App(name="routing", help="Which connector a payment goes to: the rules.")

RulesFile = Annotated[
    Path | None,
    Parameter(
        name="--rules", validator=validators.Path(exists=True, dir_okay=False), help="as config/routing.toml [default: the configured]"
    ),
]


@routing.command(name="show")
async def routing_show(*, rules: RulesFile = None, data_dir: DataDir = None, json: Json = False) -> None:
    """Show the rules as they are configured, and with a database, which ones a platform has loaded."""
    from connectors.registry import CONNECTORS
    from payorch import local, routing_desk
    from payorch.settings import load, routing_doubts

    settings = load(routing_file=rules)
    book = settings.routing.book()
    record = None
    reachable = data_dir is not None or settings.database_url is not None
    if reachable:
        async with local.connection_to(data_dir) as connection:
            record = await routing_desk.in_force(connection)
    loaded = routing_desk.record_data(record)
    show({"rules": routing_desk.book_data(book), "in_force": loaded}, json, lambda: routing_desk.book_text(book))
    for doubt in routing_doubts(settings, {method for one in CONNECTORS.values() for method in one.manifest.methods}):
        hint(doubt)
    if json or not reachable:
        return
    if loaded is None:
        say("\nno platform has loaded any rules yet")
    else:
        same = "these" if loaded["version"] == book.version else f"others: version {loaded['version']}"
        say(f"\na platform has loaded {same}, since {loaded['since']}, by {loaded['by']}")


@routing.command(name="simulate")
async def routing_simulate(
    *,
    rules: RulesFile = None,
    since: Annotated[datetime | None, Parameter(help="payments made at this time (UTC) or later [default: 24 hours ago]")] = None,
    until: Annotated[datetime | None, Parameter(help="and before this time (UTC)")] = None,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=MOST_DECISIONS), help="so many payments at most")] = 10_000,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Make stored decisions again under other rules: compare connectors' shares, expected approvals and fees. Changes nothing."""
    from connectors.registry import CONNECTORS
    from payorch import local, routing_desk
    from payorch.settings import load
    from payorch.simulator_settings import fee_overrides, simulated_connectors
    from payorch.system import SystemClock

    # Which connectors are switched on, and what they cost, is as with the platform itself: `up` switches on those that it simulates.
    settings = load(routing_file=rules)
    on = {*settings.enabled_connectors()}
    if data_dir is not None and settings.database_url is None:
        on |= {*simulated_connectors(settings)}
        settings = load(routing_file=rules, overrides=fee_overrides(settings, local.simulated_in(data_dir)))
    enabled = [name for name in settings.connectors if name in on and name in CONNECTORS]
    manifests = {name: CONNECTORS[name].manifest for name in enabled}
    begins = _utc(since) or SystemClock().now() - timedelta(days=1)
    try:
        async with local.connection_to(data_dir) as connection:
            comparison = await routing_desk.simulate(
                connection,
                settings.routing.plan(enabled),
                manifests,
                since=begins,
                until=_utc(until),
                limit=limit,
                progress=progress,
            )
    finally:
        progress("")
    show(routing_desk.comparison_data(comparison), json, lambda: routing_desk.comparison_text(comparison))


@routing.command(name="reload")
async def routing_reload(
    *,
    within: Annotated[float, Parameter(validator=validators.Number(gt=0, lte=600), help="seconds to wait for it")] = PATIENCE_SECONDS,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Have the running platform read its rules anew. Fails, and changes nothing, where they are not valid. SIGHUP does the same."""
    from payorch import local, routing_desk
    from payorch.domain import identifiers
    from payorch.system import SystemClock, SystemEntropy

    clock = SystemClock()
    wish = identifiers.text("act", SystemEntropy(clock).identifier())
    async with local.connection_to(data_dir) as connection:
        verdict = await routing_desk.ask_for_reload(connection, clock=clock, actor=f"cli:{getuser()}", wish=wish, patience_seconds=within)
    if not verdict.answered:
        raise CommandFailed(f"no running platform answered within {within:g} s; one that starts later reads its rules anyway")
    if not verdict.loaded:
        raise CommandFailed("\n".join(["nothing has changed: the rules are not valid", *verdict.faults]))
    shown = {"version": verdict.version, "before": verdict.before, "doubts": list(verdict.doubts)}
    show(shown, json, lambda: f"the platform routes by version {verdict.version} now (before: {verdict.before})")
    for doubt in verdict.doubts:
        hint(doubt)


def _utc(at: datetime | None) -> datetime | None:
    return at and (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
