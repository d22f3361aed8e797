"""The calls about plans and acts, as data: as in `payorch.api.calls`.

Not here: the document made of them (`openapi`).
"""

from __future__ import annotations

from typing import Final

from payorch.api.calls import ANY_OPERATOR, Call
from payorch.api.operations import act_bodies, acts
from payorch.api.operations.act_shapes import ActionList, ActionShape, OneActionShape, PlanShape
from payorch.api.problems import Code

_BODY: Final = (
    *(*ANY_OPERATOR, Code.NOT_FOUND, Code.INVALID_JSON),
    *(Code.PAYLOAD_TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE, Code.REQUEST_TIMEOUT),
)
_ACTION: Final = "/ops/v1/actions/{act_id}"
_REASON: Final = {"reason": {"summary": "With a reason", "value": {"reason": "INC-4412: found in the PSP's dashboard"}}}
_LATER: Final = "It is being carried out. GET tells what becomes of it."

ACT_CALLS: Final = (
    Call(
        method="post",
        path="/ops/v1/plans",
        name="makePlan",
        summary="A dry run of an action",
        tells="Changes nothing. What may not be done now is a plan as well, with `allowed: false` and what is against it. Takes the role "
        "operator, or what the action itself takes; to break the glass, approver.",
        body=act_bodies.MakePlanBody,
        body_required=True,
        examples={
            "resync": {
                "summary": "Ask the PSP again",
                "value": {"action": "payment.resync", "subject": "pay_01j9zq7w3k9zd4m5n6p7q8r9st", "parameters": {}},
            }
        },
        answers={201: ("What would happen.", PlanShape)},
        codes=_BODY,
        of_operators=True,
    ),
    Call(
        method="post",
        path="/ops/v1/actions",
        name="askForAction",
        summary="Have a plan carried out, or propose it to a second person",
        tells="The plan is made anew first; if it comes out differently, 412 with the new one. The same key or the same plan again is "
        "answered with the first act. `If-Match` may name the hash of the plan that was seen.",
        body=act_bodies.AskForActionBody,
        body_required=True,
        examples={
            "plan": {
                "summary": "A plan, and why",
                "value": {"plan": "pln_01j9zq7w3k9zd4m5n6p7q8r9st", "reason": "INC-4412: asked for by the merchant"},
            }
        },
        answers={201: ("It is done, or waits for a second person.", ActionShape), 202: (_LATER, ActionShape)},
        codes=(
            *(*_BODY, Code.IDEMPOTENCY_KEY_MISSING, Code.IDEMPOTENCY_KEY_INVALID, Code.IDEMPOTENCY_KEY_REUSED),
            *(Code.PLAN_CHANGED, Code.PLAN_EXPIRED, Code.OPERATION_NOT_ALLOWED, Code.ACTION_OPEN),
        ),
        of_operators=True,
        moves_money=True,
    ),
    Call(
        method="get",
        path="/ops/v1/actions",
        name="listActions",
        summary="Acts of operators, newest first",
        tells="`state`: one or several, parted by commas. `open=true`: what can still come to something. `review=due`: done with the glass "
        "broken, and not reviewed. Takes the role viewer, as does the next.",
        parameters=acts.PARAMETERS,
        answers={200: ("A page.", ActionList)},
        codes=ANY_OPERATOR,
        of_operators=True,
    ),
    Call(
        method="get",
        path=_ACTION,
        name="getAction",
        summary="One act, with its plan made anew while it waits",
        answers={200: ("As it stands.", OneActionShape)},
        codes=(*ANY_OPERATOR, Code.NOT_FOUND),
        of_operators=True,
    ),
    Call(
        method="post",
        path=f"{_ACTION}/approve",
        name="approveAction",
        summary="Agree with what another person asked for",
        tells="Takes the role approver, and another person than the one who asked. The plan is made anew; if it comes out differently, "
        "the act is refused for good.",
        body=act_bodies.ApproveActionBody,
        body_required=True,
        examples={"seen": {"summary": "The plan that was seen", "value": {"hash": "0a" * 32}}},
        answers={200: ("It was carried out, or was not (`state`).", ActionShape), 202: (_LATER, ActionShape)},
        codes=(*_BODY, Code.SAME_PERSON, Code.PLAN_CHANGED, Code.PLAN_EXPIRED, Code.OPERATION_NOT_ALLOWED),
        of_operators=True,
    ),
    Call(
        method="post",
        path=f"{_ACTION}/reject",
        name="rejectAction",
        summary="Say no to it, or take back what one asked for",
        tells="Takes the role approver, or to be whoever asked.",
        body=act_bodies.RejectActionBody,
        body_required=True,
        examples=_REASON,
        answers={200: ("It will not be done.", ActionShape)},
        codes=(*_BODY, Code.PLAN_EXPIRED, Code.OPERATION_NOT_ALLOWED),
        of_operators=True,
    ),
    Call(
        method="post",
        path=f"{_ACTION}/halt",
        name="haltAction",
        summary="Stop a running act after the step that it is in",
        tells="Takes the role that the action takes. What was done stays done.",
        body=act_bodies.HaltActionBody,
        body_required=True,
        examples=_REASON,
        answers={200: ("It is over.", ActionShape), 202: ("It stops after the step that it is in.", ActionShape)},
        codes=(*_BODY, Code.OPERATION_NOT_ALLOWED),
        of_operators=True,
    ),
    Call(
        method="post",
        path=f"{_ACTION}/review",
        name="reviewAction",
        summary="Say that one has looked at what another did with the glass broken",
        tells="Takes the role approver, and another person than the one who broke it.",
        body=act_bodies.ReviewActionBody,
        body_required=True,
        examples={"note": {"summary": "A note", "value": {"note": "checked against the PSP's dashboard"}}},
        answers={200: ("It is reviewed.", ActionShape)},
        codes=(*_BODY, Code.SAME_PERSON, Code.OPERATION_NOT_ALLOWED),
        of_operators=True,
    ),
)
