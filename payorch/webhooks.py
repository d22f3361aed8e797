"""What the two halves of webhooks are given: their ways to the store, secrets in clear for the moment of use, connections, metrics.

Part of the composition root, in a room of its own. Not here: what the inbox, the notifier and the edge do (`actors.inbox`,
`actors.notifier`, `payorch.api.notices`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, final
from urllib.parse import urlsplit

import structlog

from actors.directory import Directory
from actors.inbox import Appeared, InboxActor, InboxLimits, ParkedIndex
from actors.notifier import Answer, DeliveryLimits, EndpointSurroundings, NotifierActor, NotTold, Told, Wake, dead_letter_of
from actors.retry_after import come_back_at
from actors.supervisor import ChildSpec, DynamicSupervisor, Report
from connectors.contract import Connector, HttpRequest
from payorch import signing
from payorch.api.app import DeliverySurroundings, NoticeSurroundings
from payorch.certificates import Certificates
from payorch.circuits import Read
from payorch.domain.settled import SETTLEMENT_ROW
from payorch.keys import Secret
from payorch.ports import Channel, Clock, Entropy, Network, NotSent, NotSentReason, OutcomeLost, Timeouts
from payorch.sealing import NONCE_BYTES, Sealer
from payorch.settings import Settings
from payorch.store import dead_letters, delivery_reads, endpoints, entries, inbox_reads
from payorch.store.delivery_reads import Due
from payorch.store.entries import Change
from payorch.store.inbox_reads import Reference, StoredNotice
from payorch.store.items import (
    Append,
    Appended,
    Conflict,
    DeadLetterKind,
    DeadLetterState,
    Delivery,
    Endpoint,
    EndpointState,
    Entry,
    Erasure,
    Item,
    NoticeMark,
    NoticeState,
    Result,
)
from payorch.telemetry import Metrics

NOTICE_PURPOSE: Final = "contents of notices"
ENDPOINT_PURPOSE: Final = "secrets of webhook endpoints"
"""What `PAYORCH_SECRET_KEY` encrypts."""

# What a merchant reads in his events; nothing of our own network.
_NOT_SENT: Final[Mapping[NotSentReason, str]] = {
    "dns": "the name of the endpoint could not be resolved",
    "connect": "the endpoint did not accept a connection",
    "tls": "the endpoint's certificate or TLS was not accepted",
    "pool": "the connection was busy",
    "deadline": "the endpoint did not accept a connection in time",
    "unsendable": "the request could not be written",
    "blocked": "the endpoint's address is not one that events are sent to",
}

_TRIES: Final = 5
"""A merchant who changes an endpoint at the moment at which it answers 410 is rare; five times in a row is something else."""
INBOX: Final = "inbox"
NOTIFIER: Final = "notifier"

log = structlog.get_logger("payorch.webhooks")


@final
class Webhooks:
    """Both halves. tell: tells the actor of that name (INBOX, NOTIFIER) where it can be told; must not wait or raise. What it is told
    stands in rows as well, so that what it does not hear the next sweep finds.
    """

    def __init__(
        self,
        settings: Settings,
        connectors: Mapping[str, Connector],
        *,
        clock: Clock,
        entropy: Entropy,
        network: Network,
        metrics: Metrics,
        master: Secret,
        identifier: Callable[[str], str],
        read: Read,
        write: Callable[[Item], Awaitable[Result]],
        tell: Callable[[str, object], None],
        report: Callable[[Report], None],
    ) -> None:
        self._settings = settings
        self._connectors = connectors
        self._clock = clock
        self._entropy = entropy
        self._network = network
        self._metrics = metrics
        self._identifier = identifier
        self._read = read
        self._write = write
        self._tell = tell
        self._endpoints = DynamicSupervisor(
            name="endpoints",
            max_children=settings.deliveries.endpoints_limit,
            intensity=settings.actors.restart_intensity,
            period_seconds=settings.actors.restart_period_seconds,
            report=report,
            gave_up=lambda endpoint_id, error: log.error("endpoint.given_up", endpoint_id=endpoint_id, error=type(error).__name__),
        )
        self._notices = Sealer(master, NOTICE_PURPOSE)
        self._secrets = Sealer(master, ENDPOINT_PURPOSE)
        self._parked = ParkedIndex(settings.inbox.parked_remembered)
        self.store = WebhookStore(read, write, clock)

    def delivery_surroundings(self) -> DeliverySurroundings:
        """What the edge is given for merchants' endpoints and events."""
        settings = self._settings.deliveries
        read = self._read
        return DeliverySurroundings(
            write=self.store.resend,
            next_sequence=lambda stream_id: read(entries.next_sequence, stream_id),
            endpoint=lambda endpoint_id: read(delivery_reads.endpoint, endpoint_id),
            endpoints=lambda merchant_id: read(delivery_reads.endpoints, merchant_id),
            events=lambda merchant_id, **which: read(delivery_reads.events, merchant_id, **which),
            event=lambda merchant_id, event_id: read(delivery_reads.event, merchant_id, event_id),
            events_between=lambda merchant_id, since, until, *, limit: read(
                delivery_reads.events_between, merchant_id, since, until, limit=limit
            ),
            deliveries_of=lambda event_ids: read(delivery_reads.deliveries_of, event_ids),
            new_secret=self.new_secret,
            seal=self.seal_secret,
            local=settings.local,
            endpoints_per_merchant=settings.endpoints_per_merchant,
            rotation_seconds=settings.rotation_seconds,
            resend_limit=settings.resend_limit,
        )

    # --- in

    def notice_surroundings(self) -> NoticeSurroundings:
        """What the edge is given for what PSPs post."""
        enabled = self._settings.enabled_connectors()
        certificates = {name: Certificates.of(enabled[name], self._network, self._clock) for name in self._connectors}
        return NoticeSurroundings(
            connectors=self._connectors,
            secrets={name: enabled[name].webhook_secrets() for name in self._connectors},
            certificates=lambda name, address: certificates[name].at(address),
            clock=self._clock,
            identifier=self._identifier,
            write=self._write,
            stored_digest=lambda connector, identity: self._read(inbox_reads.stored_digest, connector, identity),
            seal=self.seal_notice,
            hand_on=lambda pending: self._tell(INBOX, pending),
            body_limit_bytes=self._settings.inbox.body_limit_bytes,
            body_deadline_seconds=self._settings.inbox.body_deadline_seconds,
            metrics=self._metrics,
            log=log,
        )

    def children(self, directory: Directory) -> list[ChildSpec | DynamicSupervisor]:
        """What runs of both halves, in the order in which it is started."""
        seconds = self._settings.actors.shutdown_seconds
        inbox, notifier = self._settings.inbox.mailbox_capacity, self._settings.deliveries.mailbox_capacity
        return [
            ChildSpec(name=INBOX, start=lambda: self._inbox(directory), mailbox_capacity=inbox, shutdown_seconds=seconds),
            self._endpoints,
            ChildSpec(name=NOTIFIER, start=self._notifier, mailbox_capacity=notifier, shutdown_seconds=seconds),
        ]

    def _inbox(self, directory: Directory) -> InboxActor:
        settings = self._settings.inbox
        return InboxActor(
            store=self.store,
            directory=directory,
            clock=self._clock,
            limits=InboxLimits(
                sweep_seconds=settings.sweep_seconds,
                sweep_limit=settings.sweep_limit,
                in_flight=settings.in_flight_limit,
                lost_seconds=settings.lost_seconds,
                parked_tries_seconds=settings.parked_tries_seconds,
                lost_tries=settings.lost_tries,
                keep_notices_days=settings.keep_notices_days,
                keep_dead_letters_days=settings.keep_dead_letters_days,
                housekeeping_seconds=settings.housekeeping_seconds,
            ),
            index=self._parked,
            reveal=self._reveal_notice,
            redact=lambda connector, kind, content: content.decode() if kind == SETTLEMENT_ROW else self._shown(connector, content),
            settled=lambda connector, outcome: self._metrics.notices_settled.labels(connector, outcome).inc(),
        )

    def _shown(self, connector: str, content: bytes) -> str:
        known = self._connectors.get(connector)
        return known.shown(content) if known is not None else f"{len(content)} bytes of a connector that is not switched on"

    def seal_notice(self, content: bytes, notice_id: str) -> bytes:
        """A notice's content, as it is stored."""
        return self._notices.seal(content, nonce=self._entropy.secret(NONCE_BYTES), context=notice_id.encode())

    def _reveal_notice(self, notice: StoredNotice) -> bytes:
        return self._notices.open(notice.content, context=notice.id.encode())

    # --- out

    def _notifier(self) -> NotifierActor:
        return NotifierActor(
            endpoints=self._endpoints, around=self._endpoint_surroundings(), shutdown_seconds=self._settings.actors.shutdown_seconds
        )

    def _endpoint_surroundings(self) -> EndpointSurroundings:
        settings = self._settings.deliveries
        return EndpointSurroundings(
            store=self.store,
            clock=self._clock,
            limits=DeliveryLimits(
                tries_seconds=settings.tries_seconds,
                connections=settings.connections_per_endpoint,
                gather_seconds=settings.gather_seconds,
                sweep_seconds=settings.sweep_seconds,
                endpoints=settings.endpoints_limit,
            ),
            line=self._line,
            headers=self._signed,
            fraction=self._entropy.fraction,
            tried=self._tried,
        )

    def _line(self, url: str) -> EndpointLine:
        settings = self._settings.deliveries
        timeouts = Timeouts(
            connect_seconds=settings.connect_timeout_seconds,
            write_seconds=settings.total_timeout_seconds,
            read_seconds=settings.total_timeout_seconds,
            total_seconds=settings.total_timeout_seconds,
        )
        return EndpointLine(
            url,
            self._network.merchant_channel(url, local=settings.local),
            timeouts,
            self._clock,
            longest_retry_after_seconds=settings.longest_retry_after_seconds,
        )

    def _signed(self, endpoint: Endpoint, event_id: str, at: datetime, body: bytes) -> Mapping[str, str]:
        """Signed anew for each try, with both secrets while one replaces the other."""
        sealed = [endpoint.secret]
        if endpoint.previous_secret is not None and endpoint.previous_until is not None and at < endpoint.previous_until:
            sealed.append(endpoint.previous_secret)
        secrets = [self._secrets.open(one, context=endpoint.id.encode()).decode() for one in sealed]
        return {
            "content-type": "application/json",
            "user-agent": "payorch",
            **signing.sign(secrets, message_id=event_id, at=at, body=body),
        }

    def seal_secret(self, text: str, endpoint_id: str) -> bytes:
        """An endpoint's secret, as it is stored."""
        return self._secrets.seal(text.encode(), nonce=self._entropy.secret(NONCE_BYTES), context=endpoint_id.encode())

    def new_secret(self) -> str:
        """A secret for an endpoint, made of the process's entropy."""
        return signing.new_secret(self._entropy.secret(signing.SECRET_BYTES))

    def _tried(self, outcome: str, seconds: float) -> None:
        self._metrics.deliveries.labels(outcome).inc()
        self._metrics.delivery_seconds.observe(seconds)

    async def take_census(self) -> None:
        """Counts what waits, for the metrics."""
        metrics = self._metrics
        waiting = await self._read(inbox_reads.count_waiting)
        for state in (NoticeState.RECEIVED, NoticeState.PARKED):
            metrics.notices_waiting.labels(state).set(waiting.get(state, 0))
        metrics.deliveries_waiting.set(await self._read(delivery_reads.count_due, self._clock.now()))
        letters = await self._read(dead_letters.count_open)
        for kind in DeadLetterKind:
            metrics.dead_letters_open.labels(kind).set(letters.get(kind, 0))

    # --- what is written wakes both

    def written(self, item: Item, result: Result) -> None:
        """Called after each commit: parked notices whose payment is there by now are tried, and merchants are told."""
        due = (one for one in (item, *(item.rows if isinstance(item, Entry) else ())) if isinstance(one, Delivery))
        for delivery in due:
            if delivery.next_attempt_at is not None and delivery.next_attempt_at <= self._clock.now():
                self._tell(NOTIFIER, Wake(merchant_id=delivery.merchant_id))
        if not isinstance(item, Append) or not isinstance(result, Appended):
            return
        if item.outbox:
            self._tell(NOTIFIER, Wake(merchant_id=item.payment.merchant_id))
        if len(self._parked):
            self._wake_parked(item)

    def _wake_parked(self, item: Append) -> None:
        found: dict[str, None] = {}
        for attempt in item.attempts:
            for reference in (attempt.psp_reference, attempt.id):
                found.update(dict.fromkeys(self._parked.of(attempt.connector, reference)))
        for operation in item.operations:
            connector = item.payment.attempt(operation.attempt_id).connector
            for reference in (operation.psp_reference, operation.id):
                found.update(dict.fromkeys(self._parked.of(connector, reference)))
        if found:
            self._tell(INBOX, Appeared(notice_ids=tuple(found)))


@final
class WebhookStore:
    """The reads and writes of the inbox and the notifier, over the platform's own."""

    def __init__(self, read: Read, write: Callable[[Item], Awaitable[Result]], clock: Clock) -> None:
        self._read = read
        self._write = write
        self._clock = clock

    async def due(self, now: datetime, *, limit: int) -> list[StoredNotice]:
        """As `inbox_reads.due_notices`."""
        return await self._read(inbox_reads.due_notices, now, limit=limit)

    async def load(self, notice_ids: Sequence[str]) -> list[StoredNotice]:
        """As `inbox_reads.load_notices`."""
        return await self._read(inbox_reads.load_notices, notice_ids)

    async def parked(self, *, limit: int) -> list[StoredNotice]:
        """As `inbox_reads.parked_notices`."""
        return await self._read(inbox_reads.parked_notices, limit=limit)

    async def find(self, references: Sequence[Reference]) -> list[str | None]:
        """As `inbox_reads.find_payments`."""
        return await self._read(inbox_reads.find_payments, references)

    async def endpoints_due(self, now: datetime, *, merchants: Sequence[str] | None, limit: int) -> list[str]:
        """As `delivery_reads.endpoints_due`."""
        return await self._read(delivery_reads.endpoints_due, now, merchants=merchants, limit=limit)

    async def endpoint(self, endpoint_id: str) -> Endpoint | None:
        """As `delivery_reads.endpoint`."""
        return await self._read(delivery_reads.endpoint, endpoint_id)

    async def due_deliveries(self, endpoint_id: str, now: datetime, *, limit: int) -> list[Due]:
        """As `delivery_reads.due_deliveries`."""
        return await self._read(delivery_reads.due_deliveries, endpoint_id, now, limit=limit)

    async def write(self, item: NoticeMark | Erasure | Delivery) -> Result:
        """Through the journal writer."""
        return await self._write(item)

    async def enter(self, change: Change, *, actor: str, cause: str) -> int:
        """An entry with its rows, through the journal writer. Raises ChangeRefused."""
        return await self._read(entries.changed, self._write_entry, change, at=self._clock.now(), actor=actor, cause=cause)

    async def switch_off(self, waits: Delivery) -> None:
        """Disables the delivery's endpoint as it is by then: what its merchant changed meanwhile stays changed."""
        for _ in range(_TRIES):
            sequence = await self._read(entries.next_sequence, waits.endpoint_id)
            endpoint = await self.endpoint(waits.endpoint_id)
            if endpoint is None or endpoint.state is not EndpointState.ENABLED:
                await self._write(waits)
                return
            now = self._clock.now()
            change = endpoints.gone(endpoint, waits, at=now)
            entry = entries.entry_of(change, sequence=sequence, at=now, actor="system", cause=waits.event_id)
            if not isinstance(await self._write(entry), Conflict):
                return

    async def resend(self, item: Entry | Delivery, *, by: str | None = None, cause: str | None = None) -> Result:
        """Writes what the edge, or an operator, says about endpoints and deliveries. One that had died lives again; its letter says so."""
        if isinstance(item, Entry):
            return await self._write(item)
        letter = await self._read(dead_letters.load, dead_letter_of(item))
        if letter is None or letter.state is not DeadLetterState.OPEN:
            return await self._write(item)
        sequence, at = await self._read(entries.next_sequence, letter.id), self._clock.now()
        actor, whose = by or f"merchant:{item.merchant_id}", "its merchant" if by is None else "an operator"
        change = dead_letters.replayed(letter, at=at, by=actor, reason=f"sent again by {whose}")
        return await self._write(entries.entry_of(change, sequence=sequence, at=at, actor=actor, cause=cause or item.event_id))

    async def _write_entry(self, entry: Entry) -> Result:
        return await self._write(entry)


@final
class EndpointLine:
    """A merchant's endpoint at the end of a guarded channel: the url was checked when it was given, its addresses are when it connects."""

    def __init__(self, url: str, channel: Channel, timeouts: Timeouts, clock: Clock, *, longest_retry_after_seconds: float) -> None:
        parts = urlsplit(url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._channel = channel
        self._timeouts = timeouts
        self._clock = clock
        self._longest_retry_after_seconds = longest_retry_after_seconds

    async def post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Posts that and says what came of it. Never raises but Cancelled."""
        request = HttpRequest(method="POST", path=self._path, headers=tuple(headers.items()), body=body)
        try:
            response = await self._channel.exchange(request, timeouts=self._timeouts)
        except NotSent as obstacle:
            return NotTold(reason_class=f"not_sent_{obstacle.reason}", reason=_NOT_SENT[obstacle.reason])
        except OutcomeLost as obstacle:
            return NotTold(reason_class=f"no_answer_{obstacle.reason}", reason="the endpoint gave no whole answer in time")
        after = come_back_at(
            response.status,
            response.header("retry-after"),
            self._clock.now(),
            longest_seconds=self._longest_retry_after_seconds,
        )
        return Told(status=response.status, retry_after=after)

    async def aclose(self) -> None:
        """Closes the connection."""
        await self._channel.aclose()
