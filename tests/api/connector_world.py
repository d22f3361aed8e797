"""What the calls about connectors and routing are given in tests: records that a test sets, and a memory of what was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from payorch.api.operations.connector_views import ConnectorNow, ConnectorWhole, Decided
from payorch.api.operations.connectors import ConnectorSurroundings
from payorch.api.operations.routing import RoutingSurroundings
from payorch.api.operations.routing_views import Comparing, RulesInForce, RulesUnusable


class Overseeing:
    """`connectors`, `pages`, `decided`, `rules`: what is answered. `asked`: what was asked for. `faults`: of rules that are to be tried."""

    def __init__(self) -> None:
        self.connectors: Sequence[ConnectorNow] = ()
        self.pages: dict[str, ConnectorWhole] = {}
        self.decided: Sequence[Decided] = ()
        self.rules = RulesInForce(version="v1", since=None, by=None, book={"default": ["a"]}, doubts=())
        self.faults: Sequence[tuple[str, str]] = ()
        self.asked: list[Any] = []

    def connector_surroundings(self) -> ConnectorSurroundings:
        return ConnectorSurroundings(connectors=self._connectors, whole=self._whole)

    def routing_surroundings(self) -> RoutingSurroundings:
        return RoutingSurroundings(in_force=self._in_force, decisions=self._decisions, simulate=self._simulate)

    async def _connectors(self) -> Sequence[ConnectorNow]:
        return self.connectors

    async def _whole(self, name: str) -> ConnectorWhole | None:
        return self.pages.get(name)

    async def _in_force(self) -> RulesInForce:
        return self.rules

    async def _decisions(self, connector: str | None, *, limit: int, after: str | None) -> tuple[Sequence[Decided], str | None]:
        self.asked.append((connector, limit, after))
        return self.decided[:limit], None

    async def _simulate(self, asked: Comparing, *, since: datetime, until: datetime | None) -> Mapping[str, Any]:
        if self.faults:
            raise RulesUnusable(self.faults)
        self.asked.append((asked, since, until))
        side = {"first": {"a": 1}, "rules": {"default": 1}, "success": 9000, "fees_minor": {}, "without_fee": 1}
        counts = dict.fromkeys(("changed", "reordered", "not_replayable", "same_rules", "differing"), 0)
        return {"version": "v2", "payments": 1, **counts, "before": side, "after": side, "examples": []}
