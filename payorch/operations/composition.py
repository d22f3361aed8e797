"""What operators see and do, put together: every room's edge, the planners of all acts, and the actors that this takes.

Part of the composition root, in a room of its own. Not here: the rest of the tree (`payorch.platform`), what any of the rooms does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from actors.connector import ConnectorActor
from actors.directory import Directory
from actors.mailbox import Ref
from actors.office import Office
from actors.supervisor import ChildSpec
from connectors.contract import Connector
from payorch.api.operations.act_views import action_view
from payorch.api.operations.operators import Operator
from payorch.api.operations.rooms import OperatorSurroundings
from payorch.api.present import View
from payorch.circuits import Circuits
from payorch.domain.attention import Concern, Screen, Severity
from payorch.domain.desk import Desk
from payorch.domain.rules import Plan
from payorch.keys import Secret
from payorch.operations.acts_edge import ActsEdge
from payorch.operations.audit_edge import AuditEdge
from payorch.operations.connector_edge import ConnectorEdge
from payorch.operations.dead_letter_edge import DeadLetterEdge
from payorch.operations.live_edge import LiveEdge
from payorch.operations.payment_views_edge import payment_views
from payorch.operations.payments_edge import payment_planners
from payorch.operations.reconciliation_edge import ReconciliationEdge
from payorch.operations.settlement_edge import settlement_planners
from payorch.operations.vitals import Vitals
from payorch.ports import Clock, Entropy
from payorch.routes import ROUTING, Routes
from payorch.settings import Settings
from payorch.settlements import Lease
from payorch.store.acts import Filter
from payorch.store.items import Delivery, Item, Result

ACTS_ON_A_PAGE: Final = 20
"""Of one payment, as API.md says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How the rooms reach the platform. read, write, lease: its database. tell: an actor by name, where it can be told. ref: its address.

    head: the journal's end as its writer knows it. mailboxes: how many messages wait in all of them. resend: `WebhookStore.resend`. plan:
    the rules of routing in force. wake: tells the reconciler that lines have come. reached: `ports.Process.reached`.
    """

    read: Callable[..., Awaitable[Any]]
    write: Callable[[Item], Awaitable[Result]]
    lease: Lease
    tell: Callable[[str, object], None]
    ref: Callable[[str], Ref[Any]]
    head: Callable[[], int]
    mailboxes: Callable[[], int]
    resend: Callable[..., Awaitable[Result]]
    plan: Callable[[], Plan]
    wake: Callable[[], None]
    reached: Callable[[str], None]


@final
class Operations:
    """known: all connectors there are; connectors: those that are switched on. live: their actors. vitals: fed by the platform."""

    def __init__(
        self,
        settings: Settings,
        *,
        known: Mapping[str, Connector],
        connectors: Mapping[str, Connector],
        live: Mapping[str, ConnectorActor],
        circuits: Circuits,
        routes: Routes,
        office: Office,
        directory: Directory,
        vitals: Vitals,
        master: Secret,
        clock: Clock,
        entropy: Entropy,
        reach: Reach,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._office = office
        self._reach = reach
        read, write = reach.read, reach.write
        self._connectors = ConnectorEdge(
            settings,
            connectors,
            clock=clock,
            vitals=vitals,
            circuits=circuits,
            routes=routes,
            live=live,
            ref=reach.ref,
            read=read,
            reload=lambda wish: reach.tell(ROUTING, wish),
        )
        self._dead_letters = DeadLetterEdge(
            read=read, write=write, clock=clock, patience_seconds=settings.operations.replay_patience_seconds, reached=reach.reached
        )
        self._reconciliation = ReconciliationEdge(
            settings,
            known,
            clock=clock,
            entropy=entropy,
            read=read,
            write=write,
            lease=reach.lease,
            plan=reach.plan,
            wake=reach.wake,
        )
        planners = {
            **payment_planners(
                settings, office=office, directory=directory, admissions=circuits.admissions, read=read, resend=self._resend
            ),
            **self._connectors.planners(),
            **self._dead_letters.planners(),
            **settlement_planners(settings, known, read=read, lease=reach.lease, clock=clock, entropy=entropy),
        }
        self._acts = ActsEdge(
            settings,
            planners,
            clock=clock,
            identifier=office.identifier,
            read=read,
            write=write,
            tell=reach.tell,
            reached=reach.reached,
        )
        self._audit = AuditEdge(settings, master=master, clock=clock, read=read, write=write, tell=reach.tell, written=reach.head)
        self._live = LiveEdge(
            settings,
            clock=clock,
            read=read,
            head=reach.head,
            connectors=connectors,
            mailboxes=reach.mailboxes,
            vitals=vitals,
            desk=self._acts.desk,
            others=self._others,
        )

    # --- what the platform does with it

    def carrier(self) -> ChildSpec:
        """The actor that carries out what was asked for: it needs no listener."""
        return self._acts.child()

    def watchers(self) -> Sequence[ChildSpec]:
        """The actors that only a platform has which is listened to: who reads the journal for all who watch, and who walks its chain."""
        return [self._live.child(), self._audit.child()]

    def surroundings(self) -> OperatorSurroundings:
        """What the operators' API is given."""
        return OperatorSurroundings(
            live=self._live.surroundings(),
            payments=payment_views(self._settings, read=self._reach.read, desk=self._desk, acts=self._acts_upon),
            connectors=self._connectors.connector_surroundings(),
            routing=self._connectors.routing_surroundings(),
            dead_letters=self._dead_letters.surroundings(),
            reconciliation=self._reconciliation.surroundings(),
            audit=self._audit.surroundings(),
            acts=self._acts.surroundings(),
        )

    def written(self) -> None:
        """After each commit."""
        self._live.written()

    def stop_watching(self) -> None:
        """The process ends: listeners go now, so that nobody waits for them."""
        self._live.stop()

    # --- what the rooms ask of each other

    def _desk(self) -> Desk:
        return self._office.desk(actor="system", cause="view")

    async def _resend(self, delivery: Delivery, **why: Any) -> Result:
        return await self._reach.resend(delivery, **why)

    async def _acts_upon(self, subject: str, who: Operator) -> list[View]:
        found, _ = await self._acts.desk.find(Filter(subject=subject), limit=ACTS_ON_A_PAGE)
        return [action_view(act, who, self._clock.now()) for act in found]

    def _others(self) -> list[Concern]:
        """What else needs people: a journal that was tampered with needs them before anything else."""
        verification = self._audit.surroundings().verification()
        if verification.state != "broken":
            return []
        what = f"the journal is not whole from position {verification.position} on: {verification.detail}"
        return [
            Concern(
                severity=Severity.CRITICAL, kind="audit", what=what, count=1, since=verification.checked_at, screen=Screen(screen="audit")
            )
        ]
