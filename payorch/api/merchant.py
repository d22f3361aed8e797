"""The merchant's calls: each reads its request, asks what it has to ask, and answers.

The order of looks at a command is one for all: who asks, how often, under which key, what. Not here: how a key is answered (`answering`),
what a body may hold (`contracts`), problems and headers common to all answers (`frame`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias, final

from quart import Response, g, request

from actors.child import TooManyChildren
from actors.mailbox import ActorStopped, AskTimeout, MailboxFull, Reply
from actors.messages import Message, ShopperReturned
from payorch.api.answering import CREATE, Answering, Asked, Said
from payorch.api.auth import Doorman, Pace
from payorch.api.contracts import capture_from, check_cancel, confirm_from, create_from, refund_from, void_from
from payorch.api.headers import HeaderRefused, Headers, idempotency_key
from payorch.api.present import Settled, may_have_moved, operation_json, page_json, payment_json
from payorch.api.reading import Body, identifier, json_response, object_of, whole_body
from payorch.api.refusal import Refusal, not_found
from payorch.api.searching import page_of
from payorch.api.shopper import brought_back, farewell_page, onward_url, returned_attempt
from payorch.api.strict_json import JsonObject, fingerprint
from payorch.api.surroundings import ApiSurroundings
from payorch.api.timeline import timeline_json
from payorch.domain.decide import OPERATION_PREFIX
from payorch.domain.events import Created
from payorch.domain.records import OperationKind, Payment

Handler: TypeAlias = Callable[..., Awaitable[Response]]

NOTICES_SHOWN: Final = 200
"""Webhooks about one payment that its timeline lists. A PSP sends some four to ten; more is a fault of its own."""
SHOPPER_WAITS_SECONDS: Final = 4.0
"""How long a shopper's browser waits for the PSP to be asked, before it is sent on with what is known."""


@final
class MerchantApi:
    """The handlers, and what they share."""

    def __init__(self, around: ApiSurroundings) -> None:
        self._around = around
        http = around.http
        self._doorman = Doorman(find=around.find_key, pepper=around.pepper, clock=around.clock)
        self._pace = Pace(per_second=http.requests_per_second_per_merchant, burst=http.requests_burst_per_merchant)
        self._answering = Answering(
            clock=around.clock,
            identifier=around.identifier,
            directory=around.directory,
            stored_claim=around.stored_claim,
            load_payment=around.load_payment,
            write_answer=around.write_answer,
            answer_within_seconds=http.answer_within_seconds,
        )

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """(method, path) -> handler."""
        return {
            ("POST", "/v1/payments"): self.create,
            ("GET", "/v1/payments"): self.search,
            ("GET", "/v1/payments/<payment_id>"): self.show,
            ("GET", "/v1/payments/<payment_id>/timeline"): self.timeline,
            ("POST", "/v1/payments/<payment_id>/confirm"): self.confirm,
            ("POST", "/v1/payments/<payment_id>/cancel"): self.cancel,
            ("POST", "/v1/payments/<payment_id>/captures"): self.capture,
            ("POST", "/v1/payments/<payment_id>/voids"): self.void,
            ("POST", "/v1/payments/<payment_id>/refunds"): self.refund,
            ("GET", "/v1/captures/<capture_id>"): self.show_capture,
            ("GET", "/v1/voids/<void_id>"): self.show_void,
            ("GET", "/v1/refunds/<refund_id>"): self.show_refund,
            ("GET", "/v1/payments/<payment_id>/return"): self.shopper_returned,
            ("POST", "/v1/payments/<payment_id>/return"): self.shopper_returned,
        }

    # --- commands

    async def create(self) -> Response:
        """Create a payment and, unless told otherwise, confirm it. `hot` is in front of this route and answers in its place."""
        return said(await self.created("", request.scope["headers"], whole_body, g.request_id))

    async def created(self, _: str, headers: Headers, body: Body, request_id: str) -> Said:
        """The same without the framework (`hot.Run`). Raises Refusal."""
        asked, value = await self._asked(CREATE, "/v1/payments", headers, body, request_id, empty=False)
        intent, confirm = create_from(value, self._around.connectors)
        return await self._answering.create(asked, intent, confirm=confirm)

    async def confirm(self, payment_id: str) -> Response:
        """Confirm a payment that was created without."""
        asked, value = await self._command(payment_id, "confirm")
        method, return_url = confirm_from(value, self._around.connectors)
        return said(await self._answering.confirm(asked, identifier(payment_id, "pay"), method, return_url))

    async def cancel(self, payment_id: str) -> Response:
        """End a payment, now or as soon as its outcome is known."""
        asked, value = await self._command(payment_id, "cancel")
        check_cancel(value)
        return said(await self._answering.cancel(asked, identifier(payment_id, "pay")))

    async def capture(self, payment_id: str) -> Response:
        """Take what is held, or part of it."""
        asked, value = await self._command(payment_id, "captures")
        body = capture_from(value)
        return said(await self._answering.capture(asked, identifier(payment_id, "pay"), body))

    async def void(self, payment_id: str) -> Response:
        """Release what is held, or what captures left of it."""
        asked, value = await self._command(payment_id, "voids")
        body = void_from(value)
        return said(await self._answering.void(asked, identifier(payment_id, "pay"), body))

    async def refund(self, payment_id: str) -> Response:
        """Give back what was captured, or part of it."""
        asked, value = await self._command(payment_id, "refunds")
        body = refund_from(value)
        return said(await self._answering.refund(asked, identifier(payment_id, "pay"), body))

    async def _command(self, payment_id: str, what: str) -> tuple[Asked, JsonObject]:
        path = f"/v1/payments/{payment_id}/{what}"
        return await self._asked(f"POST /v1/payments/{{id}}/{what}", path, request.scope["headers"], whole_body, g.request_id, empty=True)

    async def _asked(
        self, method_path: str, path: str, headers: Headers, body: Body, request_id: str, *, empty: bool
    ) -> tuple[Asked, JsonObject]:
        """Who asks for what under which key. `empty`: no body is as good as an empty object."""
        merchant_id = await self.merchant(headers)
        try:
            key = idempotency_key(headers)
        except HeaderRefused as refused:
            raise Refusal(refused.code, detail=refused.detail) from None
        value = await object_of(headers, body, self._around.http, empty=empty)
        asked = Asked(
            merchant_id=merchant_id,
            key=key,
            fingerprint=fingerprint("POST", path, value),
            method_path=method_path,
            request_id=request_id,
        )
        return asked, value

    # --- reads

    async def show(self, payment_id: str) -> Response:
        """The payment as it stands."""
        merchant_id = await self.merchant(request.scope["headers"])
        payment = await self._around.load_payment(identifier(payment_id, "pay"))
        if payment is None or payment.merchant_id != merchant_id:
            raise not_found()
        return json_response(payment_json(payment, await self._settled(payment)))

    async def show_capture(self, capture_id: str) -> Response:
        """A capture as it stands, with its payment inside."""
        return await self._show_operation(capture_id, OperationKind.CAPTURE)

    async def show_void(self, void_id: str) -> Response:
        """A void as it stands."""
        return await self._show_operation(void_id, OperationKind.VOID)

    async def show_refund(self, refund_id: str) -> Response:
        """A refund as it stands."""
        return await self._show_operation(refund_id, OperationKind.REFUND)

    async def _show_operation(self, operation_id: str, kind: OperationKind) -> Response:
        merchant_id = await self.merchant(request.scope["headers"])
        payment_id = await self._around.find_operation(identifier(operation_id, OPERATION_PREFIX[kind]))
        payment = await self._around.load_payment(payment_id) if payment_id is not None else None
        if payment is None or payment.merchant_id != merchant_id:
            raise not_found()
        return json_response(operation_json(payment, operation_id, await self._settled(payment)))

    async def _settled(self, payment: Payment) -> Settled:
        found = await self._around.load_settlements([payment.id]) if may_have_moved(payment) else {}
        return found.get(payment.id, ())

    async def timeline(self, payment_id: str) -> Response:
        """Every event of the payment's life."""
        merchant_id = await self.merchant(request.scope["headers"])
        events = [recorded.event for recorded in await self._around.load_events(identifier(payment_id, "pay"))]
        birth = events[0].data if events else None
        if not isinstance(birth, Created) or birth.merchant_id != merchant_id:
            raise not_found()
        notices = await self._around.load_notices(payment_id, NOTICES_SHOWN)
        return json_response(timeline_json(payment_id, events, notices))

    async def search(self) -> Response:
        """A page of the merchant's payments, newest first."""
        merchant_id = await self.merchant(request.scope["headers"])
        http = self._around.http
        page = page_of(request.query_string, merchant_id, default=http.page_default, largest=http.page_limit)
        if page.search is None:
            return json_response(page_json([], None))
        rows, cursor = await self._around.search(page.search, limit=page.limit, after=page.after)
        payments = await self._around.load_payments([row.id for row in rows]) if rows else {}
        moved = [one.id for one in payments.values() if may_have_moved(one)]
        settled = await self._around.load_settlements(moved) if moved else {}
        return json_response(page_json([payments[row.id] for row in rows], cursor, settled))

    async def merchant(self, headers: Headers) -> str:
        """Who asks, within the pace that is theirs: the one way in for all of a merchant's calls. Raises Refusal."""
        merchant_id = await self._doorman.merchant(headers)
        self._pace.take(merchant_id)
        return merchant_id

    # --- the shopper

    async def shopper_returned(self, payment_id: str) -> Response:
        """A browser comes back from a PSP: look once, then send it on to the merchant."""
        attempt_id = returned_attempt(payment_id, request.args.getlist("token"), self._around.return_key)
        if attempt_id is None:
            raise not_found()
        payment = await self._looked_at(identifier(payment_id, "pay"), attempt_id, await _brought())
        if payment is None:
            raise not_found()
        onward = onward_url(payment)
        if onward is None:
            return Response(farewell_page(payment), 200, content_type="text/html; charset=utf-8")
        # The token must not travel on to the merchant's site in a Referer header.
        return Response("", 303, headers={"Location": onward, "Referrer-Policy": "no-referrer"}, content_type="text/plain")

    async def _looked_at(self, payment_id: str, attempt_id: str, returned: Mapping[str, str]) -> Payment | None:
        def make(reply: Reply[Payment | None]) -> Message:
            return ShopperReturned(attempt_id=attempt_id, returned=returned, cause=g.request_id, reply_to=reply)

        try:
            return await self._around.directory.ask(payment_id, make, within_seconds=SHOPPER_WAITS_SECONDS)
        except (AskTimeout, ActorStopped, MailboxFull, TooManyChildren):
            # The payment's own timer looks later. The shopper goes on with what is known now.
            return await self._around.load_payment(payment_id)


async def _brought() -> Mapping[str, str]:
    """What the browser that came back has in its query and, where it was sent by a form, in that."""
    posted = (await request.form).items(multi=True) if request.method == "POST" else ()
    return brought_back([*request.args.items(multi=True), *posted])


def said(answer: Said) -> Response:
    """That answer as the framework's."""
    response = Response(answer.body, answer.status, content_type=answer.content_type)
    if answer.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response
