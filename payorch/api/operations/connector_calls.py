"""The calls about connectors and routing, as data; `calls` has them all.

Not here: the document made of them (`payorch.api.openapi`).
"""

from __future__ import annotations

from typing import Final

from payorch.api.calls import Call
from payorch.api.operations import routing
from payorch.api.operations.connector_shapes import ConnectorList, ConnectorPageShape, DecisionList, RulesShape, SimulationShape
from payorch.api.problems import Code

_ANYONE: Final = (
    *(Code.UNAUTHENTICATED, Code.FORBIDDEN, Code.RATE_LIMITED, Code.OVERLOADED, Code.UNAVAILABLE, Code.INTERNAL_ERROR),
    *(Code.VALIDATION_FAILED, Code.CARD_DATA_REFUSED),
)

CONNECTOR_CALLS: Final = (
    Call(
        method="get",
        path="/ops/v1/connectors",
        name="listConnectors",
        summary="Connectors as they are now",
        tells="Takes the role viewer, as do the next four.",
        answers={200: ("All that are switched on.", ConnectorList)},
        codes=_ANYONE,
        of_operators=True,
    ),
    Call(
        method="get",
        path="/ops/v1/connectors/{name}",
        name="getConnector",
        summary="A connector with its last hour",
        answers={200: ("The connector.", ConnectorPageShape)},
        codes=(*_ANYONE, Code.NOT_FOUND),
        of_operators=True,
    ),
    Call(
        method="get",
        path="/ops/v1/routing",
        name="getRouting",
        summary="The rules of routing in force",
        answers={200: ("The rules.", RulesShape)},
        codes=_ANYONE,
        of_operators=True,
    ),
    Call(
        method="get",
        path="/ops/v1/routing/decisions",
        name="listRoutingDecisions",
        summary="Decisions of routing, the latest first",
        tells="With a connector, those that say anything of it. A page may then be short: next_cursor says whether there is more.",
        parameters=routing.DECISION_PARAMETERS,
        answers={200: ("A page.", DecisionList)},
        codes=_ANYONE,
        of_operators=True,
    ),
    Call(
        method="post",
        path="/ops/v1/routing/simulations",
        name="simulateRouting",
        summary="Past decisions under other rules",
        tells="Changes nothing and keeps nothing. There is a limit to how many decisions are made again.",
        body=routing.SimulateRoutingBody,
        examples={"other": {"summary": "Another order", "value": {"changes": {"default": ["a", "b"]}}}},
        answers={200: ("The comparison.", SimulationShape)},
        codes=(*_ANYONE, Code.INVALID_JSON, Code.PAYLOAD_TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE, Code.REQUEST_TIMEOUT),
        of_operators=True,
    ),
)
