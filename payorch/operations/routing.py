"""Routing for operators: the rules in force, the rules as they are written, others on past decisions, and having the written ones loaded.

The act is carried out by the routing actor, which answers with a record whose cause is the act. Not here: loading (`payorch.routes`), what
rules mean (`payorch.domain.rules`), reading text (`payorch.routing_text`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Final, final

import msgspec
import trio

from payorch.api.operations.routing_views import Comparing, RulesInForce, RulesUnusable
from payorch.domain.acts import Act, ActState, Check, Draft, Effect, Nonsense, Objection, Performed, Wish
from payorch.domain.rerouting import NOBODY, Comparison
from payorch.domain.rules import Plan
from payorch.operations.decisions import Decisions
from payorch.operations.planner import Progress
from payorch.routes import LOADED, REFUSED, Reload, Routes
from payorch.routing_desk import book_data, comparison_data
from payorch.routing_text import RulesFaulty, changed, checked, rules_from_text
from payorch.sections import TrafficSettings
from payorch.settings import SettingsInvalid, routing_as_written
from payorch.store import routing_reads
from payorch.store.journal import JournalUnavailable
from payorch.store.reads import JournalRow

SUBJECT: Final = "routing"
_LOADED_WITHIN_SECONDS: Final = 30.0
"""How long the routing actor's answer is waited for; the act is looked at again after that."""
_LOOK_SECONDS: Final = 0.1


class _Body(msgspec.Struct, frozen=True):
    version: str
    before: str | None = None
    doubts: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


@final
class RoutingDesk:
    """What the calls about routing are answered from; and the `Planner` of `routing.reload`.

    connectors: those that are switched on; known: all that are configured. reload: has the routing actor read its rules, by and by.
    """

    def __init__(
        self,
        routes: Routes,
        decisions: Decisions,
        *,
        connectors: Collection[str],
        limits: TrafficSettings,
        read: Callable[..., Awaitable[Any]],
        reload: Callable[[Reload], None],
    ) -> None:
        self._routes = routes
        self._decisions = decisions
        self._connectors = connectors
        self._limits = limits
        self._read = read
        self._reload = reload

    # --- looking

    async def in_force(self) -> RulesInForce:
        """The rules that decide now."""
        plan = self._routes.router.plan
        record: JournalRow | None = await self._read(routing_reads.last_rules, (LOADED,))
        known = record is not None and _body(record).version == plan.version
        return RulesInForce(
            version=plan.version,
            since=record.at if record is not None and known else None,
            by=record.actor if record is not None and known else None,
            book=book_data(plan.book),
            doubts=self._routes.doubts(self._routes.in_force),
        )

    async def simulate(self, asked: Comparing, *, since: datetime, until: datetime | None) -> Mapping[str, Any]:
        """Past decisions under other rules. Raises RulesUnusable."""
        plan = self._plan_of(asked)
        limit = min(asked.limit or self._limits.simulation_limit, self._limits.simulation_limit)
        return comparison_data(await self._decisions.simulated(plan, since=since, until=until, limit=limit))

    def _plan_of(self, asked: Comparing) -> Plan:
        settings = self._routes.in_force
        try:
            tables = routing_as_written(settings) if asked.routing is None else rules_from_text(asked.routing)
            return checked(changed(tables, asked.changes or {}), settings.connectors).plan(self._connectors)
        except RulesFaulty as faulty:
            below = "/routing" if asked.routing is not None else "/changes"
            raise RulesUnusable([("".join([below, *(f"/{part}" for part in place)]), why) for place, why in faulty.faults]) from None

    # --- planning and carrying out

    async def plan(self, wish: Wish) -> Draft:
        """What loading the rules as they are written would change."""
        if wish.subject != SUBJECT:
            raise Nonsense("/subject", f"There is one set of rules, and it is called {SUBJECT}.", missing=True)
        before = self._routes.router.plan
        try:
            settings = self._routes.written_now()
            after = settings.routing.plan(self._connectors)
        except SettingsInvalid as invalid:
            return _draft(before.version, before.version, objections=[Objection(code="rules_invalid", why="; ".join(invalid.faults))])
        if after.version == before.version:
            why = "The rules as they are written are those in force. Change them first."
            return _draft(before.version, after.version, objections=[Objection(code="nothing_to_load", why=why)])
        doubts = self._routes.doubts(settings)
        checks = [Check(what="the rules can all be meant", holds=not doubts, detail="; ".join(doubts) or None)]
        compared = await self._decisions.compared(after, limit=self._limits.forecast_decisions)
        return _draft(before.version, after.version, checks=checks, forecast=_forecast(compared))

    async def perform(self, act: Act, progress: Progress) -> Performed:
        """Has the actor read them, once, and waits for its record."""
        record = await self._answer(act)
        if record is None:
            self._reload(Reload(actor=act.requested_by.actor, cause=act.id, version=None if act.shown is None else act.shown.confirm))
            with trio.move_on_after(_LOADED_WITHIN_SECONDS):
                while record is None:
                    await trio.sleep(_LOOK_SECONDS)
                    record = await self._answer(act)
        if record is None:
            raise JournalUnavailable("routing has not answered yet")
        body = _body(record)
        if record.name == REFUSED:
            return Performed(state=ActState.REFUSED, text=f"Nothing has changed: {'; '.join(body.faults)}", data={"version": body.version})
        text = f"Routing goes by version {body.version} now (before: {body.before})."
        return Performed(state=ActState.DONE, text=text, data={"version": body.version, "before": body.before, "doubts": list(body.doubts)})

    async def _answer(self, act: Act) -> JournalRow | None:
        records: list[JournalRow] = await self._read(routing_reads.rule_records)
        return next((one for one in reversed(records) if one.cause == act.id and one.name in (LOADED, REFUSED)), None)


def _draft(
    before: str,
    after: str,
    *,
    objections: list[Objection] | None = None,
    checks: list[Check] | None = None,
    forecast: list[Effect] | None = None,
) -> Draft:
    return Draft(
        effects=(Effect(what="routing", before=f"version {before}", after=f"version {after}"), *(forecast or ())),
        people=2,
        why_people="It decides where all payments go.",
        version=before,
        confirm=after,
        undo="Write the old rules back and load them again.",
        checks=tuple(checks or ()),
        objections=tuple(objections or ()),
    )


def _forecast(compared: Comparison) -> list[Effect]:
    """What the latest traffic would have done."""
    if not compared.payments:
        return []
    total, names = compared.payments, sorted({*compared.before.first, *compared.after.first}, key=lambda name: (name == NOBODY, name))

    def shares(first: Mapping[str, int]) -> str:
        return ", ".join(f"{'nobody' if name == NOBODY else name} {100 * first.get(name, 0) / total:.1f} %" for name in names)

    moved = f"{compared.changed} of the last {total} payments would begin elsewhere"
    return [
        Effect(what="traffic", before=shares(compared.before.first), after=shares(compared.after.first), forecast=True),
        Effect(
            what="traffic",
            before=f"expected approvals {compared.before.success / 100:.2f} %",
            after=f"{compared.after.success / 100:.2f} %; {moved}",
            forecast=True,
        ),
    ]


def _body(record: JournalRow) -> _Body:
    return msgspec.json.decode(record.body, type=_Body)
