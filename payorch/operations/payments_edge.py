"""What acts on payments are given: from the platform's parts to a planner for each of them.

Part of the composition root, in a room of its own. Not here: what any act does (`payments`, `resending`), who may (`desk`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import trio

from actors.admission import Admission, CallKind
from actors.breaker import Mode
from actors.directory import Directory
from actors.looks import inquiry_about
from actors.office import Office
from payorch.domain.acts import ActName
from payorch.operations.payments import PAYMENT_ACTS, Answer, PaymentPlanner, PaymentRoom
from payorch.operations.planner import Planner
from payorch.operations.resending import ResendPlanner, ResendRoom
from payorch.settings import Settings
from payorch.store import delivery_reads, inbox_reads, reads
from payorch.store.items import Delivery, Result

Read = Callable[..., Awaitable[Any]]
ACT_WITHIN_SECONDS: Final = 60.0
"""How long a payment's actor may take to an act. It answers once the act is written, so longer means that the database is away: the act is
asked for again then, and not done twice."""
NOTICES_LOOKED_AT: Final = 200
"""Of one payment's notices, as evidence. Most have fewer than ten."""
_SHUT: Final = (Mode.OPEN, Mode.FORCED_OPEN)


def payment_planners(
    settings: Settings,
    *,
    office: Office,
    directory: Directory,
    admissions: Mapping[str, Admission],
    read: Read,
    resend: Callable[..., Awaitable[Result]],
) -> dict[ActName, Planner]:
    """Who plans and carries out which act. read: the platform's. resend: `WebhookStore.resend`."""

    async def ask(payment_id: str, make: Any) -> Answer:
        answer: Answer = await directory.ask(payment_id, make, within_seconds=ACT_WITHIN_SECONDS)
        return answer

    def shut(connector: str, kind: CallKind) -> str | None:
        admission = admissions.get(connector)
        if admission is None:
            return "it is switched off"
        mode = admission.view(kind, trio.current_time()).mode
        return f"its circuit is {mode}" if mode in _SHUT else None

    payments = PaymentPlanner(
        PaymentRoom(
            load=lambda payment_id: read(reads.load_payment, payment_id),
            events=lambda payment_id: read(reads.load_events, payment_id),
            notices=lambda payment_id: read(inbox_reads.notices_of, payment_id, limit=NOTICES_LOOKED_AT),
            desk=lambda actor, cause: office.desk(actor=actor, cause=cause),
            ask=ask,
            caused=lambda payment_id, cause: read(reads.caused, payment_id, cause),
            inquiry=lambda payment, subject_id: inquiry_about(office, payment, subject_id),
            shut=shut,
            alone_up_to=settings.approvals.alone_up_to,
        )
    )

    async def deliveries(event_id: str) -> list[Delivery]:
        known: dict[str, list[Delivery]] = await read(delivery_reads.deliveries_of, [event_id])
        return known.get(event_id, [])

    resending = ResendPlanner(
        ResendRoom(
            event=lambda event_id: read(delivery_reads.event_of_anybody, event_id),
            endpoints=lambda merchant_id: read(delivery_reads.endpoints, merchant_id),
            deliveries=deliveries,
            write=lambda delivery, by, cause: resend(delivery, by=by, cause=cause),
            now=office.clock.now,
        )
    )
    return {**dict.fromkeys(PAYMENT_ACTS, payments), ActName.WEBHOOK_RESEND: resending}
