"""The calls of a console that watches, as data: as in `calls`.

Not here: the document made of them (`openapi`).
"""

from __future__ import annotations

from typing import Final

from payorch.api.calls import ANY_OPERATOR, Call
from payorch.api.operations.live_shapes import LiveEventShape, MetaShape, SnapshotShape
from payorch.api.operations.snapshot import SNAPSHOT_PARAMETERS
from payorch.api.operations.stream import EVENT_STREAM, STREAM_PARAMETERS
from payorch.api.problems import Code

LIVE_CALLS: Final = (
    Call(
        method="get",
        path="/ops/v1/meta",
        name="getMeta",
        summary="Which platform this is, who asks, and what may be done",
        tells="Takes the role viewer.",
        answers={200: ("All of it.", MetaShape)},
        codes=ANY_OPERATOR,
        of_operators=True,
    ),
    Call(
        method="get",
        path="/ops/v1/snapshot",
        name="getSnapshot",
        summary="The views of a console that starts, and where the stream goes on from",
        tells="Views: some of overview, connectors and approvals; all where nothing is said. Takes the role viewer.",
        parameters=SNAPSHOT_PARAMETERS,
        answers={200: ("The views that were asked for.", SnapshotShape)},
        codes=ANY_OPERATOR,
        of_operators=True,
    ),
    Call(
        method="get",
        path="/ops/v1/stream",
        name="getStream",
        summary="What happens, as it happens",
        tells=(
            "Server-sent events: events of the journal with their position as id, heartbeats (hb), the overview (vital), and reset as the "
            "last word. Last-Event-ID or after takes it up behind that position; without either it begins now. Takes the role viewer."
        ),
        parameters=STREAM_PARAMETERS,
        answers={200: ("An endless answer; data of events of the journal is of this form.", LiveEventShape)},
        codes=(*ANY_OPERATOR, Code.STREAM_GAP),
        of_operators=True,
        media_type=EVENT_STREAM,
    ),
)
