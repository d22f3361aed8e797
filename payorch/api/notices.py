"""What PSPs post: verified on the raw bytes, stored, and only then acknowledged, in the PSP's own way.

Nothing of a delivery that is not surely the PSP's is stored or shown. What is, is stored once under the PSP's own identity of it, sealed,
and handed to the inbox. The same again is acknowledged and has no effect; the same identity with other bytes is an alarm, kept for people.

Not here: signatures and events (each connector), what a notice makes happen (`actors.inbox` and the payment).
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, final

import msgspec
from quart import Response, g, request

from actors.inbox import Pending
from connectors.contract import Connector, Delivery, Forged, Notice
from payorch.api.answering import Said
from payorch.api.headers import Headers
from payorch.api.merchant import Handler, said
from payorch.api.problems import Code
from payorch.api.reading import Body, whole_body
from payorch.api.refusal import Refusal, not_found
from payorch.api.surroundings import Log
from payorch.ports import Clock
from payorch.store.inbox_reads import Refers
from payorch.store.items import Appended, Arrival, NoticeState, Result
from payorch.telemetry import Metrics

PATH: Final = "/webhooks/"
ROUTE: Final = "/webhooks/<connector>"

CERTIFICATES_AGAIN_SECONDS: Final = 5
"""After which a delivery whose certificates could not be had is worth another try."""

_SECOND_BODY: Final = "the PSP sent another body under an identity that it had used before"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeSurroundings:
    """What this part of the edge is given by the composition root.

    connectors: those that are switched on. secrets: of each, all that are valid now. certificates: those of a connector that are at an
    address, verified; Forged where they cannot be believed, None where they could not be had just now. identifier: a new id with that
    prefix. write: through the journal writer; it returns when it is durable and raises JournalUnavailable where surely nothing was written.
    stored_digest: of what stands under (connector, identity). seal: a content, encrypted, for the notice of that id. hand_on: tells the
    inbox; must not wait or raise. body_limit_bytes, body_deadline_seconds: of a delivery.
    """

    connectors: Mapping[str, Connector]
    secrets: Mapping[str, tuple[str, ...]]
    certificates: Callable[[str, str], Awaitable[tuple[bytes, ...] | Forged | None]]
    clock: Clock
    identifier: Callable[[str], str]
    write: Callable[[Arrival], Awaitable[Result]]
    stored_digest: Callable[[str, str], Awaitable[bytes | None]]
    seal: Callable[[bytes, str], bytes]
    hand_on: Callable[[Pending], None]
    body_limit_bytes: int
    body_deadline_seconds: float
    metrics: Metrics
    log: Log


@final
class NoticeApi:
    """`POST /webhooks/{connector}`."""

    def __init__(self, around: NoticeSurroundings) -> None:
        self._around = around

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """(method, path) -> handler."""
        return {("POST", ROUTE): self.receive}

    async def receive(self, connector: str) -> Response:
        """A PSP's delivery. `hot` is in front of this route and answers in its place."""
        return said(await self.received(connector, request.scope["headers"], whole_body, g.request_id))

    async def received(self, name: str, headers: Headers, body: Body, request_id: str) -> Said:
        """The same without the framework (`hot.Run`). Raises Refusal: 404, 400 where it is not the PSP's, 503 where it cannot be stored."""
        around = self._around
        connector = around.connectors.get(name)
        if connector is None:
            raise not_found()
        content = await body()
        read = tuple([(key.decode("latin-1").lower(), value.decode("latin-1")) for key, value in headers])
        at = around.clock.now()
        told = await self._read(name, connector, Delivery(headers=read, body=content), at)
        if isinstance(told, Forged):
            around.metrics.notices_refused.labels(name).inc()
            around.log.warning("webhook.refused", connector=name, reason=told.reason, request_id=request_id)
            raise Refusal(Code.SIGNATURE_REFUSED)
        for notice in told:
            await self._keep(name, notice, request_id)
        answer = connector.acknowledgement
        return Said(status=answer.status, body=answer.body, content_type=answer.header("content-type") or "text/plain")

    async def _read(self, name: str, connector: Connector, delivery: Delivery, at: datetime) -> tuple[Notice, ...] | Forged:
        """What the delivery holds. Raises Refusal (503, so that the PSP delivers again) where its certificates could not be had."""
        certificates: tuple[bytes, ...] | Forged | None = ()
        wanted = connector.certificate_wanted(delivery)
        if wanted is not None:
            certificates = await self._around.certificates(name, wanted)
        if certificates is None:
            raise Refusal(Code.UNAVAILABLE, retry_after_seconds=CERTIFICATES_AGAIN_SECONDS)
        if isinstance(certificates, Forged):
            return certificates
        return connector.receive(delivery, secrets=self._around.secrets.get(name, ()), at=at, certificates=certificates)

    async def _keep(self, connector: str, notice: Notice, request_id: str) -> None:
        """Durable when this returns."""
        around = self._around
        digest = hashlib.sha256(notice.content).digest()
        arrival = self._arrival(connector, notice, digest, request_id)
        if await self._stored(arrival):
            if arrival.state is NoticeState.RECEIVED:
                around.hand_on(_pending(arrival, notice))
            around.metrics.notices.labels(connector, "new").inc()
            return
        around.metrics.notices.labels(connector, "repeated").inc()
        if notice.identity is None or await around.stored_digest(connector, arrival.identity) in (digest, None):
            return
        # Signed by the PSP, and yet not what it said before: which of the two is true is for people, and neither is lost.
        around.log.error("webhook.identity_used_twice", connector=connector, notice_kind=notice.kind, request_id=request_id)
        twin = msgspec.structs.replace(
            arrival,
            id=around.identifier("ntc"),
            identity=f"{arrival.identity}#{digest.hex()}",
            refers=msgspec.json.encode(Refers(psp=notice.psp_references, ours=notice.our_references, problem=_SECOND_BODY)),
        )
        twin = msgspec.structs.replace(twin, sealed=around.seal(notice.content, twin.id))
        if await self._stored(twin):
            around.hand_on(_pending(twin, notice))

    async def _stored(self, arrival: Arrival) -> bool:
        """Whether it is new. Raises where it is not durable; what the database does not take is a bug of ours."""
        result = await self._around.write(arrival)
        if not isinstance(result, Appended):
            raise AssertionError(f"a notice was not stored: {result}")
        return result.arrived

    def _arrival(self, connector: str, notice: Notice, digest: bytes, request_id: str) -> Arrival:
        around, now = self._around, self._around.clock.now()
        id, to_be_tried = around.identifier("ntc"), notice.relevant or notice.problem is not None
        refers = Refers(psp=notice.psp_references, ours=notice.our_references, problem=notice.problem)
        return Arrival(
            id=id,
            connector=connector,
            identity=notice.identity or f"sha256:{digest.hex()}",
            digest=digest,
            kind=notice.kind,
            sealed=around.seal(notice.content, id),
            refers=msgspec.json.encode(refers),
            occurred_at=notice.occurred_at,
            received_at=now,
            request_id=request_id,
            state=NoticeState.RECEIVED if to_be_tried else NoticeState.IGNORED,
            # The inbox has it in hand at once; the row's own time is for what is lost on the way.
            next_try_at=now + timedelta(seconds=1) if to_be_tried else None,
            outcome=None if to_be_tried else "not_relevant",
        )


def _pending(arrival: Arrival, notice: Notice) -> Pending:
    return Pending(
        id=arrival.id,
        connector=arrival.connector,
        kind=arrival.kind,
        identity=arrival.identity,
        content=notice.content,
        refers=msgspec.json.decode(arrival.refers, type=Refers),
        received_at=arrival.received_at,
    )
