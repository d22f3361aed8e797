"""The composition root: from settings to a running supervision tree. It may import everything, and nothing but the command line imports it.

    root (rest_for_one: what fails takes down what was started after it, in reverse order)
    ├── journal          the one writer
    ├── connectors       one actor for each PSP (one_for_one)
    ├── routing          its memory out of the journal, and new rules when asked for
    ├── payments         one actor for each payment that is not at rest (dynamic)
    ├── recovery         timers, what a restart left, payments to set aside
    ├── inbox            what PSPs told, on its way to payments
    ├── endpoints        one actor for each merchant's endpoint that something is due to (dynamic)
    ├── notifier         finds those endpoints
    ├── reconciler       has payments weigh what settlement reports book, takes reports from a folder, ends the day
    ├── watch            reads the journal's end for all who watch
    ├── operations       carries out what operators have asked for
    ├── auditor          walks the journal's chain, anchors it outside the database, notes when tokens were used
    └── api              the HTTP application; the listening socket belongs to the root and outlives it

Not here: any decision, any SQL, any HTTP.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Concatenate, Final, ParamSpec, TypeVar

import psycopg
import structlog
import trio
from quart_trio import QuartTrio

from actors.actor import Actor
from actors.admission import CallKind
from actors.connector import ConnectorActor, Execute
from actors.directory import Directory
from actors.journal import JournalWriter, Write
from actors.loading import Loading
from actors.mailbox import ActorStopped, MailboxFull, Ref
from actors.office import Office
from actors.recovery import Poisoned, RecoveryActor, WellAgain
from actors.steps import moved
from actors.supervisor import ChildSpec, DynamicSupervisor, Report, ReportKind, Strategy, Supervisor
from actors.surroundings import Surroundings
from connectors import registry
from connectors.contract import Connector
from payorch import keys
from payorch.access import PEPPER_PURPOSE
from payorch.api.app import ApiSurroundings, DisputeSurroundings, make_app
from payorch.api.contracts import connectors_of
from payorch.api.present import announcement_json, answer_json
from payorch.api.shopper import PURPOSE, return_url
from payorch.circuits import Circuits, connector_limits
from payorch.domain.desk import Story
from payorch.domain.outcome import Evidence
from payorch.domain.payment import State
from payorch.domain.records import Payment
from payorch.door import Door, LeanHTTPConnection
from payorch.operations.acts_edge import OPERATIONS
from payorch.operations.audit_edge import AUDITOR
from payorch.operations.composition import Operations, Reach
from payorch.operations.vitals import Vitals
from payorch.ports import Clock, Entropy, Process
from payorch.ports import Network as NetworkPort
from payorch.reconciling import RECONCILER, Reconciliation
from payorch.routes import ROUTING, Reload, Routes
from payorch.sections import ConnectorSettings
from payorch.settings import Settings
from payorch.store import connector_reads, dispute_reads, identities, inbox_reads, ledger, reads
from payorch.store.driver import Connection
from payorch.store.items import Append, Item, Result
from payorch.store.journal import Fenced, Journal
from payorch.store.pool import DatabaseUnavailable, Pool, PoolExhausted, is_unavailable
from payorch.telemetry import Metrics
from payorch.webhooks import INBOX, NOTIFIER, Webhooks

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger("payorch.platform")

_APPEND_WITHIN_SECONDS: Final = 60.0  # a batch under way while the database is away is held; nobody's patience is longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The world as this process sees it: real in `serve`, simulated in tests."""

    clock: Clock
    entropy: Entropy
    network: NetworkPort
    process: Process


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAccess:
    """pool: for reads. connect: opens the journal writer's own connection."""

    pool: Pool
    connect: Callable[[], Awaitable[Connection]]


class _ApiActor(Actor[None]):
    """Runs the HTTP application behind the door for as long as it lives."""

    def __init__(self, run: Callable[..., Awaitable[None]]) -> None:
        self._run = run

    async def started(self) -> None:
        up = trio.Event()
        self.spawn(self._serve, up)
        await up.wait()

    async def receive(self, message: None) -> None:
        raise AssertionError("nobody tells the API anything")

    async def _serve(self, up: trio.Event) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self._run)
            up.set()


class Platform:
    """All actors of one process and how they reach each other. Nothing runs before `run`.

    door: where HTTP comes in; None in simulations, which call `self.asgi` themselves. reread: as of `Routes`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        ports: Ports,
        store: StoreAccess,
        metrics: Metrics,
        connectors: Mapping[str, Connector] | None = None,
        door: Door | None = None,
        reread: Callable[[], Settings] | None = None,
    ) -> None:
        self._settings = settings
        self._ports = ports
        self._store = store
        self._metrics = metrics
        self._door = door
        enabled = settings.enabled_connectors()
        known = registry.CONNECTORS if connectors is None else connectors
        self._connectors = {name: known[name] for name in enabled}
        self._live: dict[str, ConnectorActor] = {}
        self._ended = trio.Event()
        self._writer_id = ports.entropy.identifier()
        self._journal = Journal(store.connect, writer=self._writer_id)
        self._fenced: Fenced | None = None
        self._life = trio.CancelScope()
        master = keys.Secret(settings.needed("secret_key").reveal())
        self._return_key = keys.derived_key(master, PURPOSE)
        self._pepper = keys.derived_key(master, PEPPER_PURPOSE)
        self._circuits = Circuits(
            enabled,
            self._connectors,
            actors=settings.actors,
            clock=ports.clock,
            metrics=metrics,
            read=self.read,
            write=self.write,
            well_again=self._tell_recovery,
        )
        self._routes = Routes(
            *(settings, self._connectors), clock=ports.clock, unavailable=self._circuits.unavailable,
            read=self.read, write=self.write, reread=reread,
        )  # fmt: skip
        self._vitals = Vitals(tuple(self._connectors), clock=ports.clock, slo_ms=settings.traffic.authorize_slo_ms)
        self._office = self._make_office()
        self._payments = DynamicSupervisor(
            name="payments",
            max_children=settings.actors.payments_limit,
            intensity=settings.actors.restart_intensity,
            period_seconds=settings.actors.restart_period_seconds,
            report=self._report,
            gave_up=self._set_aside,
        )
        self._webhooks = Webhooks(
            settings,
            self._connectors,
            clock=ports.clock,
            entropy=ports.entropy,
            network=ports.network,
            metrics=metrics,
            master=master,
            identifier=self._office.identifier,
            read=self.read,
            write=self.write,
            tell=self._tell,
            report=self._report,
        )
        self._reconciliation = Reconciliation(
            *(settings, self._connectors), clock=ports.clock, entropy=ports.entropy, metrics=metrics, identifier=self._office.identifier,
            read=self.read, lease=store.pool.lease, write=self.write, tell=self._tell, seal=self._webhooks.seal_notice,
            plan=lambda: self._routes.router.plan,
        )  # fmt: skip
        self.directory = Directory(
            self._payments,
            self._surroundings(),
            mailbox_capacity=settings.actors.payment_mailbox_capacity,
            shutdown_seconds=settings.actors.shutdown_seconds,
        )
        self.operations = self._make_operations(master)
        self.asgi = self._make_api()
        self.root = self._make_tree()
        self._writer: Ref[Write] = self.root.ref("journal")
        self._show_gauges()

    @property
    def connectors(self) -> Mapping[str, ConnectorActor]:
        """The connector actors alive now, for their statistics."""
        return self._live

    def reload_routing(self, *, actor: str, cause: str) -> None:
        """Has the rules of routing read anew, soon. What comes of it stands in the journal and in the log."""
        self._tell(ROUTING, Reload(actor=actor, cause=cause))

    async def stop(self) -> None:
        """Stops the tree in reverse order and waits for its end."""
        self.root.stop()
        await self._ended.wait()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Runs the whole tree until `root.stop()` or a fault that restarts do not cure, which it raises."""
        try:
            with self._life:
                await self.root.run(task_status=task_status)
            if self._fenced is not None:
                raise self._fenced
        finally:
            self._ended.set()

    # --- the tree

    def _make_tree(self) -> Supervisor:
        """The architecture, as the list of what is started, in order."""
        actors = self._settings.actors
        journal = ChildSpec(
            name="journal",
            start=self._start_journal,
            mailbox_capacity=self._settings.journal.mailbox_capacity,
            shutdown_seconds=actors.shutdown_seconds,
        )
        recovery = ChildSpec(
            name="recovery",
            start=self._start_recovery,
            mailbox_capacity=actors.recovery_mailbox_capacity,
            shutdown_seconds=actors.shutdown_seconds,
        )
        api = ChildSpec(name="api", start=self._start_api, mailbox_capacity=1, shutdown_seconds=actors.shutdown_seconds)
        return Supervisor(
            name="root",
            strategy=Strategy.REST_FOR_ONE,
            children=[
                *(journal, self._make_connectors(), self._routes.child(), self._payments, recovery),
                *(*self._webhooks.children(self.directory), self._reconciliation.child(), self.operations.carrier()),
                *([*self.operations.watchers(), api] if self._door is not None else []),
            ],
            intensity=actors.restart_intensity,
            period_seconds=actors.restart_period_seconds,
            report=self._report,
        )

    def _make_connectors(self) -> Supervisor:
        settings = self._settings.enabled_connectors()
        return Supervisor(
            name="connectors",
            strategy=Strategy.ONE_FOR_ONE,
            children=[
                ChildSpec(
                    name=name,
                    start=lambda name=name: self._start_connector(name, settings[name]),  # type: ignore[misc]
                    mailbox_capacity=settings[name].mailbox_capacity,
                    shutdown_seconds=self._settings.actors.shutdown_seconds,
                )
                for name in self._connectors
            ],
            intensity=self._settings.actors.restart_intensity,
            period_seconds=self._settings.actors.restart_period_seconds,
            report=self._report,
        )

    def _start_journal(self) -> JournalWriter:
        settings = self._settings.journal
        return JournalWriter(
            journal=self._journal,
            process=self._ports.process,
            batch_limit=settings.batch_limit,
            pause_answer_after_seconds=settings.pause_answer_after_seconds,
            committed=self._metrics.committed,
        )

    def _start_connector(self, name: str, settings: ConnectorSettings) -> ConnectorActor:
        actor = ConnectorActor(
            connector=self._connectors[name],
            network=self._ports.network,
            base_url=settings.base_url,
            credentials=settings.credentials(),
            limits=connector_limits(settings),
            admission=self._circuits.admissions[name],
            remember=self._circuits.remember,
            write_circuits=self._circuits.write_of(name),
            clock=self._ports.clock,
            process=self._ports.process,
            token_margin_seconds=self._settings.actors.token_margin_seconds,
            deliver=self.directory.answered,
            observe=self._observe,
            refused=self._circuits.refused,
        )
        self._live[name] = actor
        return actor

    def _start_recovery(self) -> RecoveryActor:
        return RecoveryActor(
            directory=self.directory,
            due=lambda at, limit: self.read(reads.due, at, limit=limit),
            unanswered=lambda after, limit: self.read(reads.unanswered, after, limit=limit),
            load=lambda payment_id: self.read(reads.load_payment, payment_id),
            commit=self._commit_story,
            desk=lambda: self._office.desk(actor="system", cause="recovery"),
            clock=self._ports.clock,
            sweep_seconds=self._settings.actors.sweep_seconds,
            sweep_limit=self._settings.actors.sweep_limit,
            census=self._take_census,
            check_ours=self._check_ours,
            admissions=self._circuits.admissions,
            unresolved=lambda connector, kinds, **which: self.read(connector_reads.unresolved_at, connector, kinds, **which),
            pull_forward_limit=self._settings.actors.pull_forward_limit,
            lend_operations_rarer=self._settings.actors.lend_operations_rarer,
            pulled=self._metrics.pulled_forward,
        )

    def _start_api(self) -> _ApiActor:
        assert self._door is not None, "without a door nobody can reach an API"
        door = self._door

        async def run(*, task_status: trio.TaskStatus[None]) -> None:
            await door.run_app(self.asgi, task_status=task_status)

        return _ApiActor(run)

    # --- what payments are given

    def _make_office(self) -> Office:
        settings = self._settings
        return Office(
            clock=self._ports.clock,
            entropy=self._ports.entropy,
            limits=settings.limits(),
            connectors=self._connectors,
            manifests={name: connector.manifest for name, connector in self._connectors.items()},
            router=self._routes.router,
            return_url=self._return_url,
        )

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            office=self._office,
            write=self.write,
            load=Loading(lambda payment_id: self.read(reads.load_payment, payment_id), lambda ids: self.read(reads.load_many, ids)).load,
            postbox=self,
            process=self._ports.process,
            present=answer_json,
            announce=announcement_json,
            undelivered=self._undelivered,
            authorized=self._authorized,
            retry_seconds=self._settings.actors.payment_retry_seconds,
        )

    def send(self, connector: str, execute: Execute) -> None:
        """The postbox of payments: tells that connector's actor. Raises MailboxFull or ActorStopped."""
        self.root.ref(connector).tell(execute)

    async def write(self, item: Item) -> Result:
        """Appends through the one writer and returns once it is durable. Raises JournalUnavailable where surely nothing was written."""
        result: Result = await self._writer.ask(lambda reply: Write(item=item, reply_to=reply), within_seconds=_APPEND_WITHIN_SECONDS)
        self._routes.written(item, result)
        self._webhooks.written(item, result)
        self.operations.written()
        return result

    async def read(self, query: Callable[Concatenate[Connection, P], Awaitable[T]], *arguments: P.args, **named: P.kwargs) -> T:
        """Runs one of the store's read functions on a connection of the pool. Raises DatabaseUnavailable and PoolExhausted."""
        try:
            async with self._store.pool.lease() as connection:
                return await query(connection, *arguments, **named)
        except psycopg.Error as error:
            if is_unavailable(error):
                raise DatabaseUnavailable(str(error)) from error
            raise

    async def _commit_story(self, before: Payment, story: Story) -> Result:
        return await self.write(
            Append(payment=story.payment, expected_version=before.version, events=tuple(story.events), movements=moved(before, story))
        )

    def _make_api(self) -> QuartTrio:
        return make_app(
            ApiSurroundings(
                http=self._settings.http,
                clock=self._ports.clock,
                identifier=self._office.identifier,
                directory=self.directory,
                find_key=lambda lookup_id: self.read(identities.merchant_key, lookup_id),
                stored_claim=lambda merchant_id, key: self.read(reads.stored_answer, merchant_id, key),
                load_payment=lambda payment_id: self.read(reads.load_payment, payment_id),
                load_payments=lambda payment_ids: self.read(reads.load_many, payment_ids),
                load_events=lambda payment_id: self.read(reads.load_events, payment_id),
                load_settlements=lambda payment_ids: self.read(ledger.settlement_states, payment_ids),
                load_notices=lambda payment_id, limit: self.read(inbox_reads.notices_of, payment_id, limit=limit),
                find_operation=lambda operation_id: self.read(reads.find_operation, operation_id),
                search=lambda what, *, limit, after: self.read(reads.search, what, limit=limit, after=after),
                write_answer=self.write,
                connectors=connectors_of(self._connectors, known=registry.CONNECTORS.values()),
                parts=self._parts,
                metrics=self._metrics,
                pepper=self._pepper,
                return_key=self._return_key,
                log=structlog.get_logger("payorch.api"),
            ),
            self._webhooks.notice_surroundings(),
            self._webhooks.delivery_surroundings(),
            DisputeSurroundings(
                find_dispute=lambda dispute_id: self.read(dispute_reads.find_dispute, dispute_id),
                list_disputes=lambda merchant_id, **which: self.read(dispute_reads.list_disputes, merchant_id, **which),
            ),
            self.operations.surroundings(),
            http_class=LeanHTTPConnection,
        )  # fmt: skip

    def _make_operations(self, master: keys.Secret) -> Operations:
        return Operations(
            self._settings,
            known=registry.CONNECTORS,
            connectors=self._connectors,
            live=self._live,
            circuits=self._circuits,
            routes=self._routes,
            office=self._office,
            directory=self.directory,
            vitals=self._vitals,
            master=master,
            clock=self._ports.clock,
            entropy=self._ports.entropy,
            reach=Reach(
                read=self.read,
                write=self.write,
                lease=self._store.pool.lease,
                tell=self._tell,
                ref=lambda name: self.root.ref(name),
                head=lambda: self._journal.statistics().position,
                mailboxes=self._waiting_messages,
                resend=self._webhooks.store.resend,
                plan=lambda: self._routes.router.plan,
                wake=self._reconciliation.wake,
                reached=self._ports.process.reached,
            ),
        )

    def _return_url(self, payment_id: str, attempt_id: str) -> str:
        return return_url(self._settings.http.public_url, payment_id, attempt_id, self._return_key)

    # --- what is seen from outside

    async def _parts(self) -> dict[str, tuple[bool, str]]:
        """Each part that readiness depends on: whether it answers, and a word about it."""
        journal = self._journal.statistics()
        ours = True
        try:
            ours = await self.read(reads.writer_now) in (self._writer_id, None)
            database = (True, "answers")
        except (DatabaseUnavailable, PoolExhausted) as problem:
            database = (False, str(problem))
        written = f"at position {journal.position}" if journal.available else journal.last_trouble or "not open yet"
        if not ours:
            written = "another process has taken the journal over; this one is ending"
        return {"database": database, "journal": (journal.available and not journal.fenced and ours, written)}

    async def finish_calls(self, within_seconds: float) -> None:
        """Waits until no PSP call is under way, at most that long: an answer that is still caught need not be asked for later."""
        with trio.move_on_after(within_seconds):
            for actor in list(self._live.values()):
                await actor.until_quiet()

    def _show_gauges(self) -> None:
        """What is read at the moment somebody looks at the metrics, from the parts' own statistics."""
        metrics = self._metrics
        metrics.payments_live.set_function(lambda: self._payments.statistics().children)
        metrics.journal_position.set_function(lambda: self._journal.statistics().position)
        metrics.database_available.set_function(lambda: float(self._journal.statistics().available))
        for name in ("journal", INBOX, NOTIFIER, RECONCILER, OPERATIONS, *self._connectors):
            metrics.mailbox_depth.labels(name).set_function(partial(self._depth_of, name))

    def _waiting_messages(self) -> int:
        names = ("journal", INBOX, NOTIFIER, RECONCILER, OPERATIONS, *self._connectors)
        return sum(self.root.ref(name).statistics().depth for name in names)

    def _depth_of(self, name: str) -> float:
        return self.root.ref(name).statistics().depth

    async def _check_ours(self) -> None:
        """Raises Fenced where another process writes the journal by now."""
        if await self.read(reads.writer_now) not in (self._writer_id, None):
            raise Fenced("another process has taken the journal over")

    async def _take_census(self) -> None:
        unknown = await self.read(reads.count_in, State.OUTCOME_UNKNOWN)
        self._metrics.payments_unknown.set(unknown)
        self._vitals.unknown(unknown)
        await self._webhooks.take_census()

    def _authorized(self, payment: Payment, seconds: float, psp_seconds: float) -> None:
        connector = payment.attempts[-1].connector if payment.attempts else "none"
        platform_seconds = max(0.0, seconds - psp_seconds)
        self._metrics.authorized(connector, payment.state.value.lower(), platform_seconds=platform_seconds, psp_seconds=psp_seconds)
        self._vitals.authorized(payment, platform_seconds, psp_seconds)

    def _observe(self, connector: str, kind: CallKind, payment_id: str, evidence: Evidence) -> None:
        self._metrics.psp_call(connector, evidence)
        self._vitals.called(connector, kind, payment_id, evidence)

    def _tell(self, name: str, message: object) -> None:
        """Tells that actor, where it can be told. What it was for stands in rows, or is looked for when it is up again."""
        if name == AUDITOR and self._door is None:
            return  # without a door nobody watches (`_make_tree`)
        with contextlib.suppress(MailboxFull, ActorStopped):
            self.root.ref(name).tell(message)

    def _tell_recovery(self, message: WellAgain) -> None:
        self._tell("recovery", message)

    def _undelivered(self, payment_id: str, obstacle: Exception) -> None:
        log.warning("payment.answer_undelivered", payment_id=payment_id, obstacle=type(obstacle).__name__)

    def _set_aside(self, payment_id: str, error: Exception) -> None:
        log.error("payment.actor_given_up", payment_id=payment_id, error=type(error).__name__)
        self.directory.given_up(payment_id)
        try:
            self.root.ref("recovery").tell(Poisoned(payment_id=payment_id, reason=f"its actor kept failing: {type(error).__name__}"))
        except (MailboxFull, ActorStopped):
            log.error("payment.not_set_aside", payment_id=payment_id)  # its timers bring it back here

    def _report(self, report: Report) -> None:
        fenced = _fenced_in(report.error)
        if fenced is not None and self._fenced is None:
            # No restart brings the journal back: end at once, and say so once.
            self._fenced = fenced
            log.warning("platform.fenced", detail=str(fenced))
            self._life.cancel()
        if report.kind in (ReportKind.STARTED, ReportKind.ENDED, ReportKind.STOPPED):
            return  # one each per payment: the normal case is not news
        log.warning("actor." + report.kind.name.lower(), supervisor=report.supervisor, child=report.child, error=_words(report.error))


def _fenced_in(error: BaseException | None) -> Fenced | None:
    """The Fenced among what an actor died of."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_fenced_in, error.exceptions)), None)
    return error if isinstance(error, Fenced) else None


def _words(error: BaseException | None) -> str | None:
    """An exception in one line; of a group, each of its members."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(filter(None, map(_words, error.exceptions)))
    return None if error is None else f"{type(error).__name__}: {error}"
