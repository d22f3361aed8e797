"""A merchant's disputes: what a shopper's bank takes back, stage by stage, with the time until which an answer is possible.

A dispute is a child of its payment and is shown from it, as everywhere else. Not here: answering a dispute, which is done at the PSP; what
a PSP's notice makes of one (`payorch.domain.disputes`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, final

import msgspec
from quart import Response, request

from payorch.api.deliveries import FindMerchant
from payorch.api.merchant import Handler
from payorch.api.present import dispute_view
from payorch.api.reading import Reader, identifier, json_response, paging, query_of
from payorch.api.refusal import not_found
from payorch.api.surroundings import ApiSurroundings
from payorch.domain.disputes import DisputeStatus


class ListDisputes(Protocol):
    """A page of a merchant's disputes, newest first, each as (payment id, dispute id), and the next page's cursor:
    `dispute_reads.list_disputes` over a lent connection.
    """

    def __call__(
        self, merchant_id: str, *, limit: int, after: str | None, status: str | None
    ) -> Awaitable[tuple[Sequence[tuple[str, str]], str | None]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeSurroundings:
    """What these calls are given, beside what the API has. Both lend a connection from the pool and may raise what it and psycopg raise.

    find_dispute: `dispute_reads.find_dispute`, the payment of a dispute's id. list_disputes: `dispute_reads.list_disputes`.
    """

    find_dispute: Callable[[str], Awaitable[str | None]]
    list_disputes: ListDisputes


def _status(text: str) -> str:
    if text not in set(DisputeStatus):
        raise ValueError(f"This is one of: {', '.join(DisputeStatus)}.")
    return text


_READERS: Final[Mapping[str, Reader]] = {"status": _status, **paging("dsp")}
PARAMETERS: Final = tuple(_READERS)
"""The names of the list's parameters."""


@final
class DisputeApi:
    """The handlers."""

    def __init__(self, around: ApiSurroundings, disputes: DisputeSurroundings, merchant: FindMerchant) -> None:
        self._around = around
        self._disputes = disputes
        self._merchant = merchant

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """(method, path) -> handler."""
        return {("GET", "/v1/disputes"): self.page, ("GET", "/v1/disputes/<dispute_id>"): self.show}

    async def page(self) -> Response:
        """A page of the merchant's disputes, newest first."""
        merchant_id = await self._merchant(request.scope["headers"])
        http = self._around.http
        asked = query_of(request.query_string, _READERS, default=http.page_default, largest=http.page_limit)
        found, cursor = await self._disputes.list_disputes(
            merchant_id, limit=asked.limit, after=asked.after, status=asked.values.get("status")
        )
        payments = await self._around.load_payments(list({payment_id for payment_id, _ in found})) if found else {}
        data = [dispute_view(payments[payment_id].dispute(dispute_id), payment_id) for payment_id, dispute_id in found]
        return json_response(msgspec.json.encode({"data": data, "next_cursor": cursor}))

    async def show(self, dispute_id: str) -> Response:
        """A stage of a dispute as it stands."""
        merchant_id = await self._merchant(request.scope["headers"])
        payment_id = await self._disputes.find_dispute(identifier(dispute_id, "dsp"))
        payment = await self._around.load_payment(payment_id) if payment_id is not None else None
        if payment is None or payment.merchant_id != merchant_id:
            raise not_found()
        return json_response(msgspec.json.encode(dispute_view(payment.dispute(dispute_id), payment.id)))
