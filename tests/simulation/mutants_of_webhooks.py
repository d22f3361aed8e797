"""Well-known mistakes about webhooks, planted as those in `mutants` are: in what PSPs tell, and in what merchants are told.

Not here: running with them (`runner`), the list by name (`mutants`).
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, Final

import pytest
import trio
from msgspec.structs import replace

from actors import transaction
from actors.journal import JournalWriter, Write
from actors.notifier import EndpointActor, NotifierActor
from connectors.contract import Notice
from connectors.stripe import signatures
from payorch.api.notices import NoticeApi
from payorch.store.items import Appended, Arrival, DeliveryState
from payorch.webhooks import WebhookStore

Patch = pytest.MonkeyPatch


# --- what PSPs tell ---------------------------------------------------------------------------------------------------------------------


def notices_are_acknowledged_before_they_are_stored(patch: Patch) -> None:
    honest = JournalWriter.receive

    async def receive(self: JournalWriter, message: Write) -> None:
        if isinstance(message.item, Arrival):
            message.reply_to.answer(Appended(0, arrived=True))
            await trio.sleep(0.05)
        await honest(self, message)

    patch.setattr(JournalWriter, "receive", receive)


def forgeries_are_believed(patch: Patch) -> None:
    patch.setattr(signatures, "forged", lambda *_, **__: None)


def a_notices_mark_is_not_written_with_its_step(patch: Patch) -> None:
    honest: Any = vars(transaction)["append_of"]
    patch.setattr(transaction, "append_of", lambda *given, notice=None, **named: honest(*given, **named))


def a_repeated_notice_is_another_one(patch: Patch) -> None:
    honest, counter = NoticeApi._keep, itertools.count()

    async def keep(self: NoticeApi, connector: str, notice: Notice, request_id: str) -> None:
        known = await self._around.stored_digest(connector, notice.identity or "")
        fresh = notice if known is None else dataclasses.replace(notice, identity=f"{notice.identity}+{next(counter)}")
        await honest(self, connector, fresh, request_id)

    patch.setattr(NoticeApi, "_keep", keep)


# --- what merchants are told ------------------------------------------------------------------------------------------------------------


def deliveries_are_marked_before_they_are_sent(patch: Patch) -> None:
    honest = EndpointActor._send

    async def send(self: EndpointActor, line: Any, endpoint: Any, due: Any) -> None:
        now = self._around.clock.now()
        sent = replace(due.delivery, state=DeliveryState.DELIVERED, delivered_at=now, next_attempt_at=None, attempts=1)
        await self._around.store.write(sent)
        await honest(self, line, endpoint, due)

    patch.setattr(EndpointActor, "_send", send)


def deliveries_that_a_restart_left_are_forgotten(patch: Patch) -> None:
    born, honest = WebhookStore.__init__, WebhookStore.due_deliveries
    since: dict[int, Any] = {}

    def begin(self: WebhookStore, read: Any, write: Any, clock: Any) -> None:
        born(self, read, write, clock)
        since[id(self)] = clock.now()

    async def due(self: WebhookStore, endpoint_id: str, now: Any, *, limit: int) -> Any:
        found = await honest(self, endpoint_id, now, limit=limit)
        return [one for one in found if one.delivery.created_at >= since[id(self)]]

    patch.setattr(WebhookStore, "__init__", begin)
    patch.setattr(WebhookStore, "due_deliveries", due)


def nobody_tries_a_delivery_again(patch: Patch) -> None:
    honest = NotifierActor._look

    async def look(self: NotifierActor, merchants: Any) -> None:
        if merchants is not None:
            await honest(self, merchants)

    patch.setattr(NotifierActor, "_look", look)


ALL: Final = (
    notices_are_acknowledged_before_they_are_stored,
    forgeries_are_believed,
    a_notices_mark_is_not_written_with_its_step,
    a_repeated_notice_is_another_one,
    deliveries_are_marked_before_they_are_sent,
    deliveries_that_a_restart_left_are_forgotten,
    nobody_tries_a_delivery_again,
)
