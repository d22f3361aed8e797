"""The PSP of a world: its real dialect and ledger, its faults and bad days, what happens to requests on their way, people who act there.

It is also where every call is judged as it is made: no mutating call without its committed row (M7), with other bytes than that row's (M7),
or when its key may have expired (M8). Not here: waiting (`ports`), whether the books agree in the end (`books`).
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
import trio

from connectors.contract import HttpRequest, HttpResponse
from connectors.simulator import faults
from connectors.simulator.dialect import Deed, NotPossible, Reply
from connectors.simulator.dialect import Settings as DialectSettings
from connectors.simulator.faults import After, Before, Fault, FaultKind, FaultState, RequestKind, Verdict
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Payment, Target
from connectors.stripe.dialect import StripeDialect

if TYPE_CHECKING:
    from tests.simulation.world import World

BASE_URL: Final = "https://psp.simulated"
API_KEY: Final = "sk_test_simulated"
KEY_LIVES: Final = timedelta(hours=24)
"""After this the PSP executes a request under an old key as a new one."""
LONGEST_BELATED_SECONDS: Final = 120.0
"""Inside the lookup lag that the connector's manifest promises: later than this nothing of ours arrives any more."""
_FORM: Final = "application/x-www-form-urlencoded"
NOTICES_TO: Final = "http://127.0.0.1:8080/webhooks/stripe"
OLD_SECRET: Final = "whsec_simulated_and_old"
NOTICE_SECRET: Final = "whsec_simulated"
"""What notices are signed with, before and after the platform's operator has exchanged it. The platform takes both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """What somebody did to a payment at the PSP itself, without us."""

    kind: RequestKind
    amount: int


@dataclass(order=True, slots=True)
class _Belated:
    at: datetime
    number: int
    request: HttpRequest = field(compare=False)


class Psp:
    """`foreign`: by the attempt it was done to. `lied`: attempts about which an answer told a wrong amount. `strangers`: payments that
    another system made. `moved` is set whenever something has happened, and is another one then.
    """

    def __init__(self, world: World) -> None:
        fate = world.fate
        self._world = world
        self.ledger = Ledger(psp="stripe", seed=world.seed)
        self.dialect = StripeDialect(
            DialectSettings(
                base_url=BASE_URL,
                key_window_seconds=KEY_LIVES.total_seconds(),
                search_lag_seconds=fate.search_lag_seconds,
                pending_seconds=fate.pending_seconds,
                late_failure_seconds=fate.late_failure_seconds,
            )
        )
        self.foreign: dict[str, list[Foreign]] = defaultdict(list)
        self.lied: set[str] = set()
        self.strangers: set[str] = set()
        self.moved = trio.Event()
        self._belated: list[_Belated] = []
        self._visits = 0
        self._state = FaultState(
            faults=tuple(
                Fault(id=number, kind=kind, rate=rate, scope=RequestKind.CONNECT if kind is FaultKind.REFUSE else None)
                for number, (kind, rate) in enumerate(fate.psp.items(), start=1)
                if rate
            )
        )

    def tell(self, secret: str) -> None:
        """From now on notices are sent, signed with that."""
        with self.ledger.transaction():
            self.ledger.outbox.point(Target(url=NOTICES_TO, secret=secret), self._world.now())

    # --- what befalls a call

    def misfortune(self, kind: RequestKind) -> Verdict:
        """What happens to a call of that kind now (CONNECT: to the connection it wants). Counted where it is not nothing."""
        world = self._world
        if world.healed:
            return faults.HEALTHY
        verdict, _ = faults.decide(self._state_now(), kind, world.wire, world.now())
        if verdict.fault is not None:
            for name in self._names(verdict):
                world.fault(f"psp {name}")
        return verdict

    def _state_now(self) -> FaultState:
        moment = trio.current_time()
        outage = next((one for one in self._world.fate.outages if one.covers(moment)), None)
        if outage is None or outage.kind is None:
            return self._state
        scope = RequestKind.CONNECT if outage.kind is FaultKind.REFUSE else None
        self._world.seen["outage"] += 1
        return FaultState(faults=(Fault(id=1, kind=outage.kind, scope=scope, seconds=2.0),))

    @staticmethod
    def _names(verdict: Verdict) -> list[str]:
        names = [] if verdict.before is Before.PROCESS else [f"before: {verdict.before}"]
        if verdict.retry_after_seconds is not None:
            names = [f"{names[0]} with Retry-After"]
        if verdict.after is not After.ANSWER:
            names.append(f"after: {verdict.after}")
        if verdict.delay_seconds:
            names.append("slow")
        if verdict.drip_seconds:
            names.append("drip")
        return names

    # --- executing

    def handle(self, request: HttpRequest, verdict: Verdict = faults.HEALTHY) -> Reply:
        """Executes a request now, after everything that was still on its way."""
        now = self.catch_up()
        if verdict.after is After.WRONG_AMOUNT:
            self._remember_the_lie(request)
        reply = self.dialect.handle(self.ledger, request, now, verdict=verdict)
        self.wake()
        return reply

    def wake(self) -> None:
        """Something has happened here: who waits for it looks again."""
        self.moved.set()
        self.moved = trio.Event()

    def belated(self, request: HttpRequest) -> None:
        """That request has been given up by its sender, and arrives all the same, later."""
        self._visits += 1
        at = self._world.now() + timedelta(seconds=1 + self._world.wire.random() * (LONGEST_BELATED_SECONDS - 1))
        heapq.heappush(self._belated, _Belated(at, self._visits, request))
        self.wake()

    def catch_up(self) -> datetime:
        """Lets everything happen at the PSP that was to happen up to now, in its order. Returns now."""
        now = self._world.now()
        while self._belated and self._belated[0].at <= now:
            late = heapq.heappop(self._belated)
            response = self.dialect.handle(self.ledger, late.request, late.at).response
            self._world.note("belated", f"{self.dialect.kind(late.request)} {response.status}")
        self.dialect.due(self.ledger, now)
        return now

    def moves_at(self) -> datetime | None:
        """When something happens there next that nobody asks for at that moment; None if nothing will."""
        moments = [one for one in (self.ledger.next_due(), self._belated[0].at if self._belated else None) if one is not None]
        return min(moments, default=None)

    # --- what is allowed to be sent at all

    def witness(self, request: HttpRequest) -> None:
        """M7 and M8, for a call that is about to leave."""
        key = self.dialect.idempotency_key(request)
        if request.method != "POST":
            return None
        if key is None:
            return self._world.accuse(f"M7: a mutating call without a key: {request.path}")
        row = self._world.watch.prepared(key)
        if row is None:
            return self._world.accuse(f"M7: a mutating call without a committed row: {request.path} under {key}")
        if self.dialect.kind(request) in (RequestKind.CAPTURE, RequestKind.REFUND):
            self._world.watch.tables_are_sound()
        now, path, body = self._world.now(), row.call_path, row.call_body
        if (request.path, request.body.decode()) != (path, body):
            return self._world.accuse(f"M7: {key} is sent with other bytes than were committed")
        if now > row.safe_until or now >= row.created_at + KEY_LIVES:
            return self._world.accuse(f"M8: {request.path} is sent under {key}, whose time was over at {row.safe_until}, at {now}")
        return None

    def _remember_the_lie(self, request: HttpRequest) -> None:
        """An answer about this request's payment will tell a wrong amount: people may have to look at it, rightly."""
        text = f"{request.path}?{request.body.decode()}"
        for theirs in self.ledger.payments(limit=1000).items:
            if theirs.id in text or (theirs.reference or "-") in text:
                self.lied.add(theirs.reference or "")
        refund = self.ledger.operation(request.path.partition("?")[0].rsplit("/", 1)[-1])
        if refund is not None:
            owner = self.ledger.payment(refund.payment)
            self.lied.add((owner.reference if owner is not None else None) or "")
        key = self.dialect.idempotency_key(request)
        if key is not None:
            self.lied.add(key)

    # --- people at the PSP

    def shopper_answers(self, url: str, outcome: str) -> HttpResponse:
        """The shopper presses a button on the PSP's page."""
        request = HttpRequest(
            method="POST", path=url.removeprefix(BASE_URL), headers=(("content-type", _FORM),), body=f"outcome={outcome}".encode()
        )
        return self.handle(request).response

    def meddle(self, payment: dict[str, Any], kind: RequestKind, amount: int) -> bool:
        """Somebody refunds, captures or cancels at the PSP itself. False where the PSP refuses it."""
        found = self._found(payment)
        if found is None:
            return False
        intent = found.id
        path, body = {
            RequestKind.REFUND: ("/v1/refunds", f"payment_intent={intent}&amount={amount}"),
            RequestKind.CAPTURE: (f"/v1/payment_intents/{intent}/capture", ""),
            RequestKind.VOID: (f"/v1/payment_intents/{intent}/cancel", ""),
        }[kind]
        response = self._post(path, body)
        if response.status != 200:
            return False
        theirs = self.ledger.payment(intent) or found
        shown = msgspec.json.decode(response.body)
        moved = {RequestKind.REFUND: shown.get("amount"), RequestKind.CAPTURE: theirs.captured, RequestKind.VOID: theirs.released}[kind]
        self.foreign[theirs.reference or ""].append(Foreign(kind=kind, amount=int(moved or 0)))
        return True

    def _found(self, payment: dict[str, Any]) -> Payment | None:
        """What the PSP has of a payment, whether anybody here knows of it or not: people there see it by its shopper."""
        ours = {one["id"] for one in payment["attempts"]}
        return next((one for one in self.ledger.payments(limit=1000).items if one.reference in ours), None)

    def bank(self, payment: dict[str, Any], deeds: Sequence[Deed]) -> Deed | None:
        """The shopper's bank does the first of these that is possible: asks, takes the money back, decides. None where none is."""
        now = self.catch_up()
        for deed in deeds:
            found = self._found(payment)
            if found is None:
                return None
            try:
                self.dialect.by_hand(self.ledger, found, deed, now)
            except NotPossible:
                continue
            self.wake()
            return deed
        return None

    def stranger(self, amount: int) -> None:
        """Another system of the merchant's charges somebody over the same account. Its notices come to us as well."""
        form = f"amount={amount}&currency=eur&payment_method=pm_card_visa&payment_method_types[0]=card&confirm=true"
        response = self._post("/v1/payment_intents", form)
        self.strangers.add(str(msgspec.json.decode(response.body)["id"]))

    def _post(self, path: str, form: str) -> HttpResponse:
        self._visits += 1
        headers = (("content-type", _FORM), ("authorization", f"Bearer {API_KEY}"), ("idempotency-key", f"dashboard-{self._visits}"))
        return self.handle(HttpRequest(method="POST", path=path, headers=headers, body=form.encode())).response
