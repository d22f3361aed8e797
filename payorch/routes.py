"""What routing is given in a running platform: the rules in force, its memory out of the journal, and new rules when somebody asks for it.

New rules are asked for by a signal (SIGHUP) or by a record in the journal (`payorch routing reload`). They are read and checked as a whole;
then what was loaded is written into the journal, and only then the rules are replaced, between two decisions. Rules that are not valid
change nothing: that too is written, with the reason. Each version of the rules that ever decided stands in the journal.

Part of the composition root, in a room of its own. Not here: deciding (`payorch.domain.routing`), how rules are written
(`routing_settings`), the command (`routing_desk`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar, final

import msgspec
import structlog
import trio

from actors.actor import Actor
from actors.mailbox import ActorStopped, AskTimeout, MailboxFull
from actors.router import WORTH_LEARNING, Router
from actors.supervisor import ChildSpec
from connectors.contract import Connector
from payorch.domain.card_budget import DECLINES, CardBudget, decline_in
from payorch.domain.card_limits import LONGEST_SECONDS
from payorch.domain.events import AttemptChange, Confirmation, Created
from payorch.domain.intent import Intent
from payorch.domain.success import TELLING, Success, observed
from payorch.ports import Clock
from payorch.routing_settings import RoutingSettings
from payorch.settings import Settings, SettingsInvalid, routing_doubts
from payorch.store import entries, routing_reads
from payorch.store.driver import Connection
from payorch.store.items import ROUTING_STREAM, Append, Appended, Conflict, Entry, Item, Result
from payorch.store.journal import JournalUnavailable
from payorch.store.pool import DatabaseUnavailable, PoolExhausted
from payorch.store.routing_reads import STREAM_ID, Told

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger("payorch.routing")

ROUTING: Final = "routing"
"""The name of the actor."""
LOADED: Final = "RoutingRulesLoaded"
REFUSED: Final = "RoutingReloadRefused"
REQUESTED: Final = "RoutingReloadRequested"
_MAILBOX_CAPACITY: Final = 8  # of people who ask for the same; one that does not fit asks again
_DECLINED_PAGE: Final = 1_000
_TRIES: Final = 5
_AWAY: Final = (JournalUnavailable, DatabaseUnavailable, PoolExhausted, MailboxFull, ActorStopped, AskTimeout)


class LoadedRules(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a record of rules that came into force. before: the version that they replaced, None at the start of a process."""

    version: str
    before: str | None
    rules: int
    doubts: tuple[str, ...]
    book: msgspec.Raw


class RefusedRules(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a record of rules that were not valid, with everything that is wrong with them. version: of those that stay."""

    version: str
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """Read the rules anew. `actor` wants it; `cause` is the id of his wish. version: of the rules that were agreed to, where people had
    to agree: others that are written there by now are not loaded.
    """

    actor: str
    cause: str
    version: str | None = None


class Read(Protocol):
    """`Platform.read`."""

    def __call__(
        self, query: Callable[Concatenate[Connection, P], Awaitable[T]], *arguments: P.args, **named: P.kwargs
    ) -> Awaitable[T]: ...


@final
class Routes:
    """Routing in one process. in_force: the settings whose rules it goes by. reread: the settings as they are written now; raises
    SettingsInvalid. None where nothing can be read anew.
    """

    def __init__(
        self,
        settings: Settings,
        connectors: Mapping[str, Connector],
        *,
        clock: Clock,
        unavailable: Callable[[], Mapping[str, str]],
        read: Read,
        write: Callable[[Entry], Awaitable[Result]],
        reread: Callable[[], Settings] | None,
    ) -> None:
        self._settings = self.in_force = settings
        self._connectors = connectors
        self._clock = clock
        self._read = read
        self._write = write
        self._reread = reread
        self._remembered = False
        routing = settings.routing
        self.router = Router(
            routing.plan(connectors),
            {name: connector.manifest for name, connector in connectors.items()},
            success=Success(routing.history.success_limits()),
            cards=CardBudget(cards=routing.history.cards_limit),
            unavailable=unavailable,
        )

    def child(self) -> ChildSpec:
        """The actor that fills the memory and waits for wishes."""
        seconds = self._settings.actors.shutdown_seconds
        return ChildSpec(name=ROUTING, start=self._start, mailbox_capacity=_MAILBOX_CAPACITY, shutdown_seconds=seconds)

    def _start(self) -> RoutingActor:
        return RoutingActor(self, sweep_seconds=self._settings.routing.reload_seconds)

    # --- memory

    def written(self, item: Item, result: Result) -> None:
        """Called after each commit: what it tells about connectors and cards is learned."""
        if not isinstance(item, Append) or not isinstance(result, Appended):
            return
        for event in item.events:
            if event.name in WORTH_LEARNING:
                self.router.learn(item.payment, event)

    async def remember(self) -> None:
        """Fills the memory with what the journal has of the time before this process. Waits for the database; once in a process."""
        if self._remembered:
            return
        history, now = self._settings.routing.history, self._clock.now()
        told = await self._patiently(lambda: self._read(routing_reads.latest, TELLING, now - timedelta(days=1), limit=history.journal_back))
        await self._recall(told, self._recall_outcome)
        since, before, left = now - timedelta(seconds=LONGEST_SECONDS), None, history.declines_back
        pages: list[list[Told]] = []
        seen: set[str] = set()  # a payment that was declined twice may be on two pages, each time with all that happened to it
        while left > 0:
            page, before = await self._patiently(
                lambda before=before, left=left: self._read(  # type: ignore[misc]
                    routing_reads.of_declined, DECLINES, since, limit=left, page=_DECLINED_PAGE, before=before
                )
            )
            pages.append([one for one in page if one.payment_id not in seen])
            seen.update(one.payment_id for one in page)
            left -= _DECLINED_PAGE
            if before is None:
                break
        for told in reversed(pages):  # the oldest first, as they happened
            await self._recall(told, self._recall_decline)
        self._remembered = True

    async def _recall(self, told: Iterable[Told], learn: Callable[[Told, str, Intent], None]) -> None:
        known: dict[str, tuple[str, Intent]] = {}
        for number, one in enumerate(told):
            data, payment = one.event.data, known.get(one.payment_id)
            if isinstance(data, Created):
                known[one.payment_id] = (data.merchant_id, data.intent)
            elif payment is None:
                continue  # it was made before the part of the journal that is read
            elif isinstance(data, Confirmation):
                known[one.payment_id] = (payment[0], msgspec.structs.replace(payment[1], method=data.method))
            elif isinstance(data, AttemptChange):
                learn(one, *payment)
            if number % 1000 == 0:
                await trio.lowlevel.checkpoint()

    def _recall_outcome(self, told: Told, merchant_id: str, intent: Intent) -> None:
        observation = observed(told.event)
        connector = told.event.actor.partition(":")[2]
        if observation is not None and connector in self._connectors:
            self.router.success.tell(connector, intent, observation, told.event.at)

    def _recall_decline(self, told: Told, merchant_id: str, intent: Intent) -> None:
        decline = decline_in(told.event)
        if decline is not None:
            self.router.cards.tell(merchant_id, intent, decline)

    # --- rules

    async def note_rules(self) -> None:
        """Writes down which rules are in force, where the journal does not know already."""
        last = await self._patiently(lambda: self._read(routing_reads.last_rules, (LOADED,)))
        if last is None or msgspec.json.decode(last.body)["version"] != self.router.plan.version:
            await self._tell(LOADED, _encode(self._loaded(self._settings, before=None)), actor="system", cause="start")

    def written_now(self) -> Settings:
        """The settings as they are written now. Raises SettingsInvalid."""
        return self._settings if self._reread is None else self._reread()

    def doubts(self, settings: Settings) -> tuple[str, ...]:
        """What its rules say and cannot mean."""
        methods = {method for connector in self._connectors.values() for method in connector.manifest.methods}
        return tuple(routing_doubts(settings, methods))

    async def reload(self, wish: Reload) -> None:
        """New rules, if those that are written are valid; a record of the journal in either case."""
        try:
            settings = self.written_now()
            plan = settings.routing.plan(self._connectors)
        except SettingsInvalid as invalid:
            return await self._refuse(wish, invalid.faults)
        if wish.version not in (None, plan.version):
            why = f"version {plan.version} is written there by now, and {wish.version} was agreed to: plan it anew"
            return await self._refuse(wish, (why,))
        loaded = self._loaded(settings, before=self.router.plan.version)
        await self._tell(LOADED, _encode(loaded), actor=wish.actor, cause=wish.cause)
        self.router.plan, self.in_force = plan, settings
        self.router.success.limits = settings.routing.history.success_limits()
        log.info("routing.reloaded", actor=wish.actor, before=loaded.before, version=loaded.version, doubts=loaded.doubts)
        return None

    async def _refuse(self, wish: Reload, faults: tuple[str, ...]) -> None:
        log.warning("routing.reload_refused", actor=wish.actor, faults=faults, version=self.router.plan.version)
        refused = RefusedRules(version=self.router.plan.version, faults=faults)
        await self._tell(REFUSED, _encode(refused), actor=wish.actor, cause=wish.cause)

    def _loaded(self, settings: Settings, *, before: str | None) -> LoadedRules:
        routing: RoutingSettings = settings.routing
        book = routing.book()
        return LoadedRules(
            version=book.version,
            before=before,
            rules=len(book.rules),
            doubts=self.doubts(settings),
            book=msgspec.Raw(_encode(book)),
        )

    async def last_record(self) -> int:
        """The sequence of the last record of the rules: wishes after it are not answered yet."""
        return await self._patiently(lambda: self._read(entries.next_sequence, STREAM_ID)) - 1

    async def wishes(self, after: int) -> tuple[list[Reload], int]:
        """The wishes in the journal after that record, and the last record."""
        records = await self._read(routing_reads.rule_records, after=after)
        found = [Reload(actor=one.actor, cause=one.cause) for one in records if one.name == REQUESTED]
        return found, records[-1].sequence if records else after

    async def _tell(self, name: str, body: bytes, *, actor: str, cause: str) -> None:
        for _ in range(_TRIES):
            sequence = await self._patiently(lambda: self._read(entries.next_sequence, STREAM_ID))
            entry = Entry(
                stream=ROUTING_STREAM,
                stream_id=STREAM_ID,
                sequence=sequence,
                name=name,
                at=self._clock.now(),
                actor=actor,
                cause=cause,
                body=body,
            )
            result = await self._patiently(lambda entry=entry: self._write(entry))  # type: ignore[misc]
            if isinstance(result, Appended):
                return
            if not isinstance(result, Conflict):
                raise AssertionError(f"a record of the rules is like any other, and yet: {result}")

    async def _patiently(self, step: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await step()
            except _AWAY:
                await trio.sleep(self._settings.actors.circuit_retry_seconds)


class RoutingActor(Actor[Reload]):
    """Fills routing's memory before the first payment, and reads the rules anew when asked to."""

    def __init__(self, routes: Routes, *, sweep_seconds: float) -> None:
        self._routes = routes
        self._sweep_seconds = sweep_seconds

    async def started(self) -> None:
        await self._routes.remember()
        await self._routes.note_rules()
        self.spawn(self._look_for_wishes, await self._routes.last_record())

    async def receive(self, message: Reload) -> None:
        await self._routes.reload(message)

    async def _look_for_wishes(self, last: int) -> None:
        while True:
            await trio.sleep(self._sweep_seconds)
            try:
                found, last = await self._routes.wishes(last)
                for wish in found:
                    self.ref.tell(wish)
            except _AWAY:
                continue  # the record is still there


_encode: Final = msgspec.json.Encoder().encode
