"""The calls about payments of all merchants, as data (`calls`). Not here: the document made of them (`payorch.api.openapi`)."""

from __future__ import annotations

from typing import Final

from payorch.api.calls import ANY_OPERATOR, Call
from payorch.api.operations import payments
from payorch.api.operations.payment_shapes import OperatorPaymentList, OperatorPaymentShape, PaymentLane, PaymentRouting
from payorch.api.problems import Code

PAYMENT_CALLS: Final = (
    Call(
        method="get",
        path="/ops/v1/payments",
        name="listAllPayments",
        summary="Payments of all merchants, newest first",
        tells=(
            "State and status may be given several times, or with commas. Merchant is an id or a name. Problem: only what people"
            " should look at. Takes the role viewer, as do the next three."
        ),
        parameters=payments.LIST_PARAMETERS,
        answers={200: ("A page.", OperatorPaymentList)},
        codes=ANY_OPERATOR,
        of_operators=True,
    ),
    Call(
        method="get",
        path="/ops/v1/payments/{payment_id}",
        name="getAnyPayment",
        summary="One payment, with whose word says what, why, and what may be done",
        answers={200: ("Its page.", OperatorPaymentShape)},
        codes=(*ANY_OPERATOR, Code.NOT_FOUND),
        of_operators=True,
    ),
    Call(
        method="get",
        path="/ops/v1/payments/{payment_id}/timeline",
        name="getPaymentLane",
        summary="Everything that happened to a payment, in one lane",
        answers={200: ("Rows, oldest first.", PaymentLane)},
        codes=(*ANY_OPERATOR, Code.NOT_FOUND),
        of_operators=True,
    ),
    Call(
        method="get",
        path="/ops/v1/payments/{payment_id}/routing",
        name="getPaymentRouting",
        summary="How a payment's connectors were chosen",
        answers={200: ("Choices, the first one first.", PaymentRouting)},
        codes=(*ANY_OPERATOR, Code.NOT_FOUND),
        of_operators=True,
    ),
)
