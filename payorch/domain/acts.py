"""What operators may do, as one table: every action with whom it takes, what it is done to, and how many people; and the records of a plan.

An action is asked for twice. First as a *plan*: a dry run that says exactly what would happen, whether the tables allow it, how many people
it takes and until when that holds. Then as an *act*: that plan, with a reason. Where it takes two people, another person looks at the plan
made anew; if it comes out differently, nothing is done.

    PROPOSED   asked for; waits for a second person
    APPROVED   may be carried out, and will be, also after a crash
    RUNNING    is being carried out, in more than one step
    DONE       carried out
    REFUSED    was to be carried out, and what it is about does not allow it any more; nothing was done
    FAILED     could not be carried out; `result` says what was done and what was not
    HALTED     stopped by its own guard or by a person, with part of it done
    REJECTED   a second person (or whoever asked) said no
    EXPIRED    nobody decided in time

Pure. Not here: what a plan of an action finds (`payorch.operations`), keeping plans and acts (`payorch.store.acts`), HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from payorch.domain.money import Money
from payorch.domain.roles import Role


class ActName(StrEnum):
    """Everything that an operator may have done. These names are the API's."""

    PAYMENT_RESYNC = "payment.resync"
    PAYMENT_RESOLVE = "payment.resolve"
    PAYMENT_CAPTURE = "payment.capture"
    PAYMENT_VOID = "payment.void"
    PAYMENT_REFUND = "payment.refund"
    PAYMENT_RELEASE = "payment.release"
    DEAD_LETTER_REPLAY = "dead_letter.replay"
    DEAD_LETTER_DISCARD = "dead_letter.discard"
    BREAKER_FORCE_OPEN = "breaker.force_open"
    BREAKER_FORCE_CLOSED = "breaker.force_closed"
    BREAKER_RESET = "breaker.reset"
    CONNECTOR_DRAIN = "connector.drain"
    CONNECTOR_RESUME = "connector.resume"
    ROUTING_RELOAD = "routing.reload"
    WEBHOOK_RESEND = "webhook.resend"
    SETTLEMENT_REVIEW = "settlement.review"
    SETTLEMENT_LINK = "settlement.link"
    SETTLEMENT_ACCEPT = "settlement.accept"
    SETTLEMENT_PSP_ERROR = "settlement.psp_error"
    SETTLEMENT_CLOSE_DAY = "settlement.close_day"
    SETTLEMENT_REOPEN_DAY = "settlement.reopen_day"


class ActState(StrEnum):
    """Where an act stands; see above."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    HALTED = "halted"
    REJECTED = "rejected"
    EXPIRED = "expired"


UNDECIDED: Final = frozenset({ActState.PROPOSED})
UNFINISHED: Final = frozenset({ActState.APPROVED, ActState.RUNNING})
"""To be carried out still: a restart goes on with these."""
OPEN: Final = UNDECIDED | UNFINISHED

EDGES: Final[Mapping[ActState, frozenset[ActState]]] = {
    ActState.PROPOSED: frozenset({ActState.APPROVED, ActState.REJECTED, ActState.EXPIRED, ActState.REFUSED}),
    ActState.APPROVED: frozenset({ActState.RUNNING, ActState.DONE, ActState.REFUSED, ActState.FAILED}),
    ActState.RUNNING: frozenset({ActState.RUNNING, ActState.DONE, ActState.REFUSED, ActState.FAILED, ActState.HALTED}),
    ActState.DONE: frozenset(),
    ActState.REFUSED: frozenset(),
    ActState.FAILED: frozenset(),
    ActState.HALTED: frozenset(),
    ActState.REJECTED: frozenset(),
    ActState.EXPIRED: frozenset(),
}


class Kind(Struct, frozen=True, kw_only=True):
    """One row of the table. verb: for people, as on a button. subject: what kind of thing it is done to. least: whose role may ask for it.
    parameters: the names of what else it takes; those with `?` may be left out.
    """

    verb: str
    subject: str
    least: Role = Role.OPERATOR
    parameters: tuple[str, ...] = ()


KINDS: Final[Mapping[ActName, Kind]] = {
    ActName.PAYMENT_RESYNC: Kind(verb="ask the PSP again", subject="payment"),
    ActName.PAYMENT_RESOLVE: Kind(verb="resolve by people", subject="payment", parameters=("to", "evidence", "operation?", "amount?")),
    ActName.PAYMENT_CAPTURE: Kind(verb="capture", subject="payment", parameters=("amount?", "final?")),
    ActName.PAYMENT_VOID: Kind(verb="void", subject="payment"),
    ActName.PAYMENT_REFUND: Kind(verb="refund", subject="payment", parameters=("amount?",)),
    ActName.PAYMENT_RELEASE: Kind(verb="release a held payment", subject="payment"),
    ActName.DEAD_LETTER_REPLAY: Kind(
        verb="replay", subject="dead_letters", parameters=("ids?", "fingerprint?", "canary?", "per_second?", "halt_percent?")
    ),
    ActName.DEAD_LETTER_DISCARD: Kind(verb="discard", subject="dead_letters", parameters=("ids?", "fingerprint?")),
    ActName.BREAKER_FORCE_OPEN: Kind(verb="force the breaker open", subject="circuit", parameters=("for_seconds",)),
    ActName.BREAKER_FORCE_CLOSED: Kind(verb="force the breaker closed", subject="circuit", parameters=("for_seconds",)),
    ActName.BREAKER_RESET: Kind(verb="reset the breaker", subject="circuit"),
    ActName.CONNECTOR_DRAIN: Kind(verb="drain the connector", subject="connector", parameters=("for_seconds",)),
    ActName.CONNECTOR_RESUME: Kind(verb="resume the connector", subject="connector"),
    ActName.ROUTING_RELOAD: Kind(verb="reload the routing rules", subject="routing"),
    ActName.WEBHOOK_RESEND: Kind(verb="send an event again", subject="event", parameters=("endpoint?",)),
    ActName.SETTLEMENT_REVIEW: Kind(verb="mark as reviewed", subject="finding"),
    ActName.SETTLEMENT_LINK: Kind(verb="link to a movement", subject="finding", parameters=("to",)),
    ActName.SETTLEMENT_ACCEPT: Kind(verb="accept the difference", subject="finding"),
    ActName.SETTLEMENT_PSP_ERROR: Kind(verb="mark as the PSP's error", subject="finding"),
    ActName.SETTLEMENT_CLOSE_DAY: Kind(verb="close the day", subject="day"),
    ActName.SETTLEMENT_REOPEN_DAY: Kind(verb="reopen the day", subject="day", least=Role.APPROVER),
}
"""Total over ActName. A subject is written as: pay_..., a circuit as `connector/operation`, a day as `2026-01-31/connector/EUR`, a finding
fnd_..., an event evt_..., dead letters as `dlq_...` for one, the fingerprint for a group, or `marked` with `ids`; routing as `routing`."""

APPROVES: Final = Role.APPROVER
"""The least role of a second person, and of whoever reviews what was done with the glass broken."""
BREAKS_GLASS: Final = Role.APPROVER
"""The least role of whoever does alone what takes two."""


class Person(Struct, frozen=True, kw_only=True):
    """Somebody who acts. `operator`: the account's id; `name`: what records call it; `person`: whose it is. Eyes belong to persons."""

    operator: str
    name: str
    person: str

    @property
    def actor(self) -> str:
        """As records name him."""
        return f"operator:{self.name}"


class Wish(Struct, frozen=True, kw_only=True):
    """What somebody wants done, as he said it. Nothing of it is believed yet but who he is."""

    name: ActName
    subject: str
    parameters: Mapping[str, Any]
    who: Person
    break_glass: bool = False


class Effect(Struct, frozen=True, kw_only=True):
    """One thing that would be different. what: one word (state, money, ledger, call, traffic, webhook, routing, day, finding).

    forecast: made of figures of the moment (calls a second, shares), which are others when the plan is made again. People are shown it and
    no plan stands or falls with it.
    """

    what: str
    before: str
    after: str
    forecast: bool = False


class Check(Struct, frozen=True, kw_only=True):
    """Something that was looked at, and whether it is as it should be. One that does not hold and does not `bind` is a warning.

    forecast: of the moment, like a circuit that opens and closes: as with effects, no plan stands or falls with it.
    """

    what: str
    holds: bool
    detail: str | None = None
    binds: bool = False
    forecast: bool = False


class Proof(Struct, frozen=True, kw_only=True):
    """Evidence that people may lean on: where it stands, and what it says."""

    reference: str
    at: datetime | None
    text: str


class Objection(Struct, frozen=True, kw_only=True):
    """Why it may not be done: a code for programs, a sentence for people that says what to do instead."""

    code: str
    why: str


class Draft(Struct, frozen=True, kw_only=True):
    """What a dry run found. Made again from the same circumstances it is equal, and so is its hash.

    objections: empty where it may be done. people: 1 or 2, and why. confirm: what a person types to show that he has read it. version: of
    what it is done to, as it is now: any change of it makes another draft. basis: whatever else must be the same for the plan to stand.
    """

    effects: tuple[Effect, ...]
    people: int
    why_people: str
    version: str
    confirm: str
    undo: str
    checks: tuple[Check, ...] = ()
    proofs: tuple[Proof, ...] = ()
    objections: tuple[Objection, ...] = ()
    amount: Money | None = None
    basis: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether it may be done."""
        return not self.objections

    @property
    def binding(self) -> Draft:
        """What is hashed, and what has to come out the same when it is made again: the draft without forecasts, and without proofs, since
        whatever a proof changes is another version.
        """
        effects, checks = (tuple(one for one in some if not one.forecast) for some in (self.effects, self.checks))
        return replace(self, effects=effects, checks=checks, proofs=())


class Act(Struct, frozen=True, kw_only=True):
    """An act that is to be carried out now. `approved_by`: the second person; None where it takes one, or the glass is broken.

    progress: what `perform` left with its last word, where it did not finish (`Performed.progress`). shown: what its people had before
    them when they said so. It was true when the act was begun; after a crash that may be long ago, so whatever is not said in the
    parameters (all that is left, all of a group) has to be what was shown still. None: nobody was shown anything.
    """

    id: str
    name: ActName
    subject: str
    parameters: Mapping[str, Any]
    reason: str
    requested_by: Person
    approved_by: Person | None
    break_glass: bool
    progress: Mapping[str, Any] | None = None
    shown: Draft | None = None

    @property
    def second(self) -> bool:
        """Whether it may be done although it takes two: another agreed, or the glass is broken."""
        return self.approved_by is not None or self.break_glass


class Performed(Struct, frozen=True, kw_only=True):
    """What came of it. state: DONE, REFUSED (nothing was done), FAILED, HALTED. text: for people. data: for programs."""

    state: ActState
    text: str
    data: Mapping[str, Any] = {}


class Nonsense(Exception):
    """A wish that cannot be planned: no such subject, a parameter that is not one. `field`: JSON pointer to what is wrong."""

    def __init__(self, field: str, why: str, *, missing: bool = False) -> None:
        super().__init__(why)
        self.field = field
        self.why = why
        self.missing = missing
