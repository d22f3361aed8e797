"""The calls of operators, under /ops/v1, as data: as in `calls`, which has those of merchants and health.

Not here: the document made of them (`openapi`).
"""

from __future__ import annotations

from typing import Final

from payorch.api.calls import ANY_OPERATOR, Call
from payorch.api.operations import reconciliation
from payorch.api.operations.acts_calls import ACT_CALLS
from payorch.api.operations.audit_calls import AUDIT_CALLS
from payorch.api.operations.connector_calls import CONNECTOR_CALLS
from payorch.api.operations.dead_letter_calls import DEAD_LETTER_CALLS
from payorch.api.operations.live_calls import LIVE_CALLS
from payorch.api.operations.payment_calls import PAYMENT_CALLS
from payorch.api.operations.reconciliation_shapes import DayList, ItemList, OneDay, ReportShape
from payorch.api.problems import Code

OPERATIONS_CALLS: Final = (
    *PAYMENT_CALLS,
    *AUDIT_CALLS,
    *LIVE_CALLS,
    *ACT_CALLS,
    *CONNECTOR_CALLS,
    *DEAD_LETTER_CALLS,
    Call(
        method="post",
        path="/ops/v1/settlements/{connector}",
        name="importSettlementReport",
        summary="Read a settlement report of a PSP",
        tells="The body is the file as the PSP makes it. The same bytes again change nothing. Takes the role operator.",
        parameters=reconciliation.REPORT_PARAMETERS,
        answers={
            201: ("It was read. What does not fit in it are findings.", ReportShape),
            200: ("These very bytes were known.", ReportShape),
        },
        codes=(*ANY_OPERATOR, Code.NOT_FOUND, Code.PAYLOAD_TOO_LARGE, Code.REQUEST_TIMEOUT),
        of_operators=True,
        takes_file=True,
    ),
    Call(
        method="get",
        path="/ops/v1/reconciliation/days",
        name="listReconciliationDays",
        summary="Days of reconciliation, newest first",
        tells="From and to are days; the last seven where nothing is said. Takes the role viewer, as do the next two.",
        parameters=reconciliation.DAYS_PARAMETERS,
        answers={200: ("The days that have anything.", DayList)},
        codes=ANY_OPERATOR,
        of_operators=True,
    ),
    Call(
        method="get",
        path="/ops/v1/reconciliation/days/{day}",
        name="getReconciliationDay",
        summary="One day, by connector and currency",
        parameters=reconciliation.DAY_PARAMETERS,
        answers={200: ("What it comes to.", OneDay)},
        codes=(*ANY_OPERATOR, Code.NOT_FOUND),
        of_operators=True,
    ),
    Call(
        method="get",
        path="/ops/v1/reconciliation/days/{day}/items",
        name="listReconciliationItems",
        summary="What a day consists of",
        parameters=reconciliation.ITEM_PARAMETERS,
        answers={200: ("A page.", ItemList)},
        codes=(*ANY_OPERATOR, Code.NOT_FOUND),
        of_operators=True,
    ),
)
