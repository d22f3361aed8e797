"""What people watch, put together: the tail of the journal, the overview and its messages, and the actor that keeps both going.

Part of the composition, in a room of its own. Not here: any of them (`tail`, `overview`, `vital`), the calls (`payorch.api.operations`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from importlib.metadata import version
from typing import Any, Final, final

import structlog
import trio

from actors.actor import Actor
from actors.supervisor import ChildSpec
from payorch.api.operations.act_views import action_view
from payorch.api.operations.connector_views import connector_view, traffic_view
from payorch.api.operations.events import Narrator
from payorch.api.operations.live import LiveSurroundings, View
from payorch.api.operations.operators import Operator
from payorch.domain.acts import ActState
from payorch.domain.attention import Concern
from payorch.operations.desk import ActDesk
from payorch.operations.overview import Overview
from payorch.operations.tail import Tail
from payorch.operations.vital import Vital
from payorch.operations.vitals import Vitals
from payorch.ports import Clock
from payorch.settings import Settings
from payorch.store import identities
from payorch.store.acts import Filter

log = structlog.get_logger("payorch.watch")

WATCH: Final = "watch"
IDLE_LOCK_SECONDS: Final = 900
"""A console at which nobody has touched a key for a quarter of an hour asks who sits there before it writes anything."""
ARM_SECONDS: Final = 600
"""A console stays ready to write for ten minutes: long enough for what was seen, short enough not to be forgotten."""
APPROVALS: Final = 200
"""Acts that wait for a second person, in a snapshot. More than anybody reads; the list of acts has all of them."""

Read = Callable[..., Awaitable[Any]]


class _Signs:
    """The vital signs as the overview and the snapshot show them."""

    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals

    def overview(self) -> View:
        """As `overview.Traffic.overview`."""
        return traffic_view(self._vitals.overview())

    async def connectors(self) -> Sequence[View]:
        """As `overview.Traffic.connectors`."""
        return [connector_view(one) for one in await self._vitals.connectors()]


@final
class LiveEdge:
    """Gives the calls what they need, and the tree its actor. read: the platform's. head: the journal's end, as its writer knows it.

    connectors: those that are known. mailboxes: how many messages wait in all of them. desk: where acts are asked for and wait. others:
    what else needs people.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        read: Read,
        head: Callable[[], int],
        connectors: Iterable[str],
        mailboxes: Callable[[], int],
        vitals: Vitals,
        desk: ActDesk,
        others: Callable[[], Iterable[Concern]] = tuple,
    ) -> None:
        self._settings = settings
        self._read = read
        self._head = head
        self._connectors = tuple(connectors)
        self._clock = clock
        self._desk = desk
        self._overview = Overview(read=read, clock=clock, traffic=_Signs(vitals), mailboxes=mailboxes, others=others)
        self._vital = Vital(self._overview, is_watched=lambda: self.tail.is_watched, changed=lambda: self.tail.vital_changed())
        self.tail = Tail(read=read, narrator=lambda: Narrator(self._connectors), vital=self._vital, limits=settings.stream)

    def surroundings(self) -> LiveSurroundings:
        """What the edge is given."""
        environment = self._settings.environment
        return LiveSurroundings(
            environment=environment.name,
            kind=environment.kind,
            version=version("payorch"),
            connectors=self._connectors,
            limits={
                "plan_expires_seconds": round(self._settings.operations.plan_expires_seconds),
                "heartbeat_seconds": round(self._settings.stream.heartbeat_seconds),
                "page": self._settings.operations.page_limit,
                "idle_lock_seconds": IDLE_LOCK_SECONDS,
                "arm_seconds": ARM_SECONDS,
            },
            planned=lambda: self._desk.offered,
            find_token=lambda lookup_id: self._read(identities.operator_token, lookup_id),
            overviews=self._overview.now,
            approvals=self._approvals,
            feed=self.tail,
            head=lambda: max(self.tail.head, self._head()),
            stream=self._settings.stream,
        )

    async def _approvals(self, who: Operator) -> Sequence[View]:
        found, _ = await self._desk.find(Filter(states=(ActState.PROPOSED,)), limit=APPROVALS)
        now = self._clock.now()
        return [action_view(one, who, now) for one in found]

    def child(self) -> ChildSpec:
        """The actor that reads for all who watch."""
        limits = self._settings.stream
        return ChildSpec(
            name=WATCH,
            start=lambda: _WatchActor(self.tail, self._vital, retry_seconds=limits.retry_seconds),
            mailbox_capacity=1,
            shutdown_seconds=limits.shutdown_seconds,
        )

    def written(self) -> None:
        """After each commit."""
        self.tail.written()

    def stop(self) -> None:
        """The process ends: listeners go now, so that nobody waits for them."""
        self.tail.stop()


class _WatchActor(Actor[None]):
    """Keeps the tail and the overview going. It does not die of a fault in them: the API stands after it in the tree."""

    def __init__(self, tail: Tail, vital: Vital, *, retry_seconds: float) -> None:
        self._tail = tail
        self._vital = vital
        self._retry_seconds = retry_seconds

    async def started(self) -> None:
        self.spawn(self._keep_going, self._tail.run)
        self.spawn(self._keep_going, self._vital.run)

    async def receive(self, message: None) -> None:
        raise AssertionError("nobody tells the watch anything: it is woken")

    async def _keep_going(self, run: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await run()
            except Exception:
                log.exception("watch.failed")
                await trio.sleep(self._retry_seconds)
