"""A small world for the tests of the merchant API: the app, and everything below it made of dictionaries that a test can bend."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec

from actors.mailbox import Reply
from actors.messages import Cancel, Confirm, Create, Given, KeyTaken, Message, NoSuchPayment, ShopperReturned, Verdict
from payorch.api.answering import Asker
from payorch.api.app import ApiSurroundings, DisputeSurroundings, NoticeSurroundings, OperatorSurroundings, make_app
from payorch.api.contracts import Connectors
from payorch.api.present import payment_json
from payorch.domain import events as e
from payorch.domain import identifiers
from payorch.domain.evolve import evolve, replay
from payorch.domain.intent import CaptureMode, Intent, PaymentMethod
from payorch.domain.money import Money
from payorch.domain.movements import movements
from payorch.domain.outcome import Approved, Declined, ErrorClass, Evidence, Failure, NextAction, Pending, Source, Unknown
from payorch.domain.payment import AttemptState, Name, State
from payorch.domain.records import Attempt, Payment, PreparedCall
from payorch.domain.routing import Decision, Exclusion
from payorch.domain.settlement import SettlementState
from payorch.door import LeanHTTPConnection
from payorch.keys import ENTROPY_BYTES, KeyKind, KeyMode, MintedKey, digest, mint
from payorch.sections import HttpSettings
from payorch.store.identities import MerchantKey
from payorch.store.inbox_reads import StoredNotice
from payorch.store.items import Answer, Appended, Claim, Result
from payorch.store.reads import PaymentRow, Recorded, Search, StoredClaim
from payorch.telemetry import Metrics
from tests.api.act_world import Acting
from tests.api.audit_world import Auditing
from tests.api.connector_world import Overseeing
from tests.api.dead_letter_world import Letters
from tests.api.live_world import Limits as LiveLimits
from tests.api.live_world import Live
from tests.api.operator_payments_world import AllPayments
from tests.api.reconciliation_world import Reconciling
from tests.api.webhook_world import Told

T = TypeVar("T")
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PEPPER = b"p" * 32
RETURN_KEY = b"r" * 32
ANSWER_WITHIN_SECONDS = 5.0
Behave = Callable[[Any], Awaitable[Any]]

_numbers = count(1)


def new_id(prefix: str) -> str:
    """An identifier, never the same twice in one run."""
    return identifiers.text(prefix, UUID(int=identifiers.earliest(START).int | 0x7 << 76 | 0x2 << 62 | next(_numbers)))


def new_key(kind: KeyKind = KeyKind.MERCHANT) -> MintedKey:
    """A key of its own entropy."""
    return mint(kind, KeyMode.TEST, hashlib.sha512(b"%d" % next(_numbers)).digest()[:ENTROPY_BYTES])


MERCHANT = new_id("mer")
OTHER_MERCHANT = new_id("mer")
KEY = new_key()
OTHER_KEY = new_key()


def http_settings(**changes: Any) -> HttpSettings:
    """Generous, so that only what a test changes can bite."""
    values = {
        "host": "127.0.0.1", "port": 8080, "public_url": "http://pay.test", "answer_within_seconds": ANSWER_WITHIN_SECONDS,
        "body_limit_bytes": 65536, "body_deadline_seconds": 10.0, "header_limit_bytes": 16384, "header_deadline_seconds": 10.0,
        "connections_limit": 1000, "keep_alive_seconds": 75.0, "json_depth_limit": 16, "drain_seconds": 20.0,
        "requests_per_second_per_merchant": 1e6, "requests_burst_per_merchant": 1_000_000, "page_limit": 100, "page_default": 20,
    }  # fmt: skip
    return HttpSettings.model_validate(values | changes)


class FakeClock:
    """Wall time that a test moves."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at


class FakeLog:
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **details: Any) -> None:
        self.lines.append((event, details))

    def error(self, event: str, **details: Any) -> None:
        self.lines.append((event, details))


def a_method(**changes: Any) -> PaymentMethod:
    return msgspec.structs.replace(PaymentMethod(type="card", token="tok_visa_secret", brand="visa", last4="4242"), **changes)


def an_intent(**changes: Any) -> Intent:
    intent = Intent(amount=Money(1999, "EUR"), capture=CaptureMode.AUTOMATIC, method=a_method(), reference="order-1001")
    return msgspec.structs.replace(intent, **changes)


def funds_failure() -> Failure:
    return Failure(error_class=ErrorClass.SOFT_RETRY_LATER, code="insufficient_funds", message="Insufficient funds.")


@dataclass(kw_only=True)
class Life:
    """A payment's events, made one after the other through the real state machine."""

    intent: Intent = field(default_factory=an_intent)
    merchant_id: str = MERCHANT
    payment_id: str = field(default_factory=lambda: new_id("pay"))
    at: datetime = START
    events: list[e.Event] = field(default_factory=list)

    @property
    def payment(self) -> Payment:
        return replay(self.events)

    @property
    def attempt(self) -> Attempt:
        return self.payment.attempts[-1]

    def moved(self) -> list[tuple[UUID, SettlementState]]:
        """The subjects of its movements, of which no report has any."""
        found: list[tuple[UUID, SettlementState]] = []
        payment: Payment | None = None
        for event in self.events:
            before, payment = payment, evolve(payment, event)
            found += [(identifiers.uuid_of(one.subject_id), SettlementState.PENDING) for one in movements(before, payment, event)]
        return found

    def tell(self, name: Name, to: State, data: e.Data, actor: str = "system") -> Life:
        event = e.Event(name=name, to=to, at=self.at, actor=actor, cause="req_1", data=data)
        evolve(self.payment if self.events else None, event)
        self.events.append(event)
        self.at += timedelta(milliseconds=7)
        return self

    def created(self) -> Life:
        until = self.at + timedelta(days=1)
        born = e.Created(payment_id=self.payment_id, merchant_id=self.merchant_id, intent=self.intent, expires_at=until)
        return self.tell(Name.PAYMENT_CREATED, State.CREATED, born, f"merchant:{self.merchant_id}")

    def sent(self, connector: str = "stripe") -> Life:
        until = self.at + timedelta(minutes=15)
        confirmation = e.Confirmation(method=self.intent.method or a_method(), return_url=self.intent.return_url, authorize_until=until)
        decision = Decision(order=(connector, "adyen"), excluded=(Exclusion(connector="paypal", reason="no token"),), version="1")
        self.tell(Name.CONFIRMED, State.ROUTING, confirmation, f"merchant:{self.merchant_id}")
        self.tell(Name.ROUTED, State.ROUTING, e.Choice(decision=decision))
        return self.tell(Name.ATTEMPT_PREPARED, State.AUTHORIZING, e.AttemptOpened(attempt=self.new_attempt(connector)))

    def new_attempt(self, connector: str) -> Attempt:
        attempt_id = new_id("att")
        return Attempt(
            id=attempt_id,
            connector=connector,
            state=AttemptState.PREPARED,
            amount=self.intent.amount,
            call=PreparedCall(method="POST", path="/v1/secret_path", body="secret_body"),
            psp_key=attempt_id,
            psp_key_safe_until=self.at + timedelta(days=1),
            created_at=self.at,
            updated_at=self.at,
            next_action_at=self.at + timedelta(seconds=90),
        )

    def heard(self, name: Name, to: State, state: AttemptState, finding: Any, raw: str | None = '{"ok":[1,null]}') -> Life:
        evidence = Evidence(
            source=Source.RESPONSE, finding=finding, at=self.at, psp_reference="pi_1", psp_request_id="req_psp", latency_ms=31,
            amount=self.intent.amount, raw=raw,
        )  # fmt: skip
        change = e.AttemptChange(attempt_id=self.attempt.id, state=state, evidence=evidence)
        return self.tell(name, to, change, f"psp:{self.attempt.connector}")

    def charged(self) -> Life:
        return self.heard(Name.PROVIDER_CHARGED, State.CAPTURED, AttemptState.CHARGED, Approved(captured=True))

    def authorized(self) -> Life:
        return self.heard(Name.PROVIDER_AUTHORIZED, State.AUTHORIZED, AttemptState.AUTHORIZED, Approved())

    def declined(self) -> Life:
        return self.heard(Name.DECLINED_TERMINAL, State.FAILED, AttemptState.DECLINED, Declined(failure=funds_failure()))

    def lost(self) -> Life:
        return self.heard(Name.OUTCOME_LOST, State.OUTCOME_UNKNOWN, AttemptState.UNKNOWN, Unknown(failure=funds_failure()), raw="<html>")

    def wants_action(self) -> Life:
        action = NextAction(url="https://bank.test/3ds")
        return self.heard(Name.PROVIDER_ACTION_REQUIRED, State.REQUIRES_ACTION, AttemptState.ACTION_REQUIRED, Pending(action=action))


class World:
    """The app and what is below it. `behave` is what the payment's actor does with a message; `fail` makes parts of the store raise.

    directory: real actors in the place of `behave`. told: endpoints, events and deliveries.
    """

    def __init__(
        self, *, connectors: Connectors | None = None, told: Told | None = None, live_limits: LiveLimits | None = None, **http: Any
    ) -> None:
        self.clock = FakeClock()
        self.log = FakeLog()
        self.metrics = Metrics.create()
        self.keys: dict[str, MerchantKey] = {}
        self.claims: dict[tuple[str, str], StoredClaim] = {}
        self.lives: dict[str, Life] = {}
        self.messages: list[Message] = []
        self.searched: list[tuple[Search, int, str | None]] = []
        self.next_cursor: str | None = None
        self.key_reads = 0
        self.settlement_reads = 0
        self.settled: dict[str, list[tuple[UUID, SettlementState]]] = {}
        self.claim_reads = 0
        self.notices: list[StoredNotice] = []
        self.fail: dict[str, Exception] = {}
        self.behave: Behave = self.obey
        self.directory: Asker | None = None
        self.ready: Mapping[str, tuple[bool, str]] = {"database": (True, "answers"), "journal": (True, "answers")}
        self.add_key(KEY, MERCHANT)
        self.add_key(OTHER_KEY, OTHER_MERCHANT)
        self.told = told if told is not None else Told()
        around = self._surroundings(http_settings(**http), connectors)
        disputes = DisputeSurroundings(find_dispute=self.find_dispute, list_disputes=self.list_disputes)
        self.reconciling = Reconciling(pepper=PEPPER, mint=new_key, new_id=new_id, at=START)
        self.live = Live(self.reconciling.find_token, limits=live_limits or LiveLimits())
        self.overseeing = Overseeing()
        self.letters = Letters()
        self.acting = Acting(clock=self.clock, new_id=new_id)
        self.all_payments, self.auditing = AllPayments(self), Auditing()
        operators = OperatorSurroundings(
            live=self.live.surroundings(),
            payments=self.all_payments.surroundings(),
            connectors=self.overseeing.connector_surroundings(),
            routing=self.overseeing.routing_surroundings(),
            dead_letters=self.letters.surroundings(),
            reconciliation=self.reconciling.surroundings(),
            audit=self.auditing.surroundings(),
            acts=self.acting.surroundings(),
        )
        self.app = make_app(
            *(around, self._notices(), self.told.surroundings(), disputes, operators),
            http_class=LeanHTTPConnection,
        )
        self.client: Any = self.app.test_client(use_cookies=False)

    def _surroundings(self, http: HttpSettings, connectors: Connectors | None) -> ApiSurroundings:
        return ApiSurroundings(
            http=http,
            clock=self.clock,
            identifier=new_id,
            directory=self,
            find_key=self.find_key,
            stored_claim=self.stored_claim,
            load_payment=self.load_payment,
            load_payments=self.load_payments,
            load_events=self.load_events,
            load_settlements=self.load_settlements,
            load_notices=self.load_notices,
            find_operation=self.find_operation,
            search=self.search,
            write_answer=lambda answer: self.write_answer(answer),  # a test may put another in its place
            connectors=connectors or Connectors(options={"stripe": check_options, "adyen": None}, methods={"card": True, "paypal": False}),
            parts=lambda: self.parts(),
            metrics=self.metrics,
            pepper=PEPPER,
            return_key=RETURN_KEY,
            log=self.log,
        )

    def _notices(self) -> NoticeSurroundings:
        """What PSPs post finds no connector here: tests/api/test_notices.py has a world of its own."""

        async def nothing(*_: object) -> Any:
            raise AssertionError("nobody is here to hear it")

        return NoticeSurroundings(
            connectors={}, secrets={}, certificates=nothing, clock=self.clock, identifier=new_id, write=nothing, stored_digest=nothing,
            seal=lambda content, _: content, hand_on=lambda _: None, body_limit_bytes=4096, body_deadline_seconds=5.0,
            metrics=self.metrics, log=self.log,
        )  # fmt: skip

    # --- the store

    def add_key(self, key: MintedKey, merchant_id: str, **changes: Any) -> None:
        stored = MerchantKey(
            lookup_id=key.lookup_id, merchant_id=merchant_id, digest=digest(key.text, PEPPER), mode="test", created_at=START,
            expires_at=changes.get("expires_at"), revoked_at=changes.get("revoked_at"),
        )  # fmt: skip
        self.keys[key.lookup_id] = stored

    def has(self, life: Life) -> Life:
        self.lives[life.payment_id] = life
        return life

    def _may_fail(self, part: str) -> None:
        if part in self.fail:
            raise self.fail[part]

    async def find_key(self, lookup_id: str) -> MerchantKey | None:
        self._may_fail("find_key")
        self.key_reads += 1
        return self.keys.get(lookup_id)

    async def stored_claim(self, merchant_id: str, key: str) -> StoredClaim | None:
        self._may_fail("stored_claim")
        self.claim_reads += 1
        return self.claims.get((merchant_id, key))

    async def load_payment(self, payment_id: str) -> Payment | None:
        self._may_fail("load_payment")
        life = self.lives.get(payment_id)
        return life.payment if life is not None else None

    async def load_payments(self, payment_ids: Sequence[str]) -> dict[str, Payment]:
        return {one: self.lives[one].payment for one in payment_ids}

    async def load_settlements(self, payment_ids: Sequence[str]) -> dict[str, list[tuple[UUID, SettlementState]]]:
        self.settlement_reads += 1
        return {one: self.settled.get(one) or self.lives[one].moved() for one in payment_ids}

    async def load_notices(self, payment_id: str, limit: int) -> list[StoredNotice]:
        return [one for one in self.notices if one.payment_id == payment_id][:limit]

    async def load_events(self, payment_id: str) -> list[Recorded]:
        self._may_fail("load_events")
        life = self.lives.get(payment_id)
        events = life.events if life is not None else []
        return [Recorded(sequence=n, position=n, event=event) for n, event in enumerate(events, start=1)]

    async def find_operation(self, operation_id: str) -> str | None:
        self._may_fail("find_operation")
        found = (life.payment_id for life in self.lives.values() if any(one.id == operation_id for one in life.payment.operations))
        return next(found, None)

    async def find_dispute(self, dispute_id: str) -> str | None:
        self._may_fail("find_dispute")
        found = (life.payment_id for life in self.lives.values() if any(one.id == dispute_id for one in life.payment.disputes))
        return next(found, None)

    async def list_disputes(
        self, merchant_id: str, *, limit: int, after: str | None, status: str | None
    ) -> tuple[list[tuple[str, str]], str | None]:
        self._may_fail("list_disputes")
        mine = [life.payment for life in self.lives.values() if life.merchant_id == merchant_id]
        found = [(one.id, payment.id) for payment in mine for one in payment.disputes if status in (None, one.status)]
        left = [(payment_id, id) for id, payment_id in sorted(found, reverse=True) if after is None or id < after]
        return left[:limit], left[limit - 1][1] if len(left) > limit else None

    async def search(self, what: Search, *, limit: int, after: str | None) -> tuple[list[PaymentRow], str | None]:
        self._may_fail("search")
        self.searched.append((what, limit, after))
        mine = [life.payment for life in self.lives.values() if life.merchant_id == what.merchant_id]
        return [_row(payment) for payment in reversed(mine)][:limit], self.next_cursor

    async def write_answer(self, answer: Answer) -> Result:
        self._may_fail("write_answer")
        return Appended(1, self.store(answer))

    def take(self, claim: Claim) -> bool:
        place = (claim.merchant_id, claim.key)
        if place in self.claims:
            return False
        fields = {name: getattr(claim, name) for name in Claim.__struct_fields__}
        self.claims[place] = StoredClaim(**fields, answered_at=None, status=None, body=None)
        return True

    def forget_answer(self, place: tuple[str, str]) -> None:
        """As if the process had ended after the claim was committed and before it was answered."""
        fields = {name: getattr(self.claims[place], name) for name in StoredClaim.__dataclass_fields__}
        self.claims[place] = StoredClaim(**fields | {"answered_at": None, "status": None, "body": None})

    def store(self, answer: Answer) -> bool:
        """Only where none is stored yet."""
        place = (answer.merchant_id, answer.key)
        stored = self.claims.get(place)
        if stored is None or stored.status is not None:
            return False
        fields = {name: getattr(stored, name) for name in StoredClaim.__dataclass_fields__}
        self.claims[place] = StoredClaim(**fields | {"answered_at": answer.at, "status": answer.status, "body": answer.body})
        return True

    # --- the directory

    async def create(self, payment_id: str, make: Callable[[Reply[T]], Message], *, within_seconds: float) -> T:
        if self.directory is not None:
            return await self.directory.create(payment_id, make, within_seconds=within_seconds)
        return await self.ask(payment_id, make, within_seconds=within_seconds)

    async def ask(self, payment_id: str, make: Callable[[Reply[T]], Message], *, within_seconds: float) -> T:
        self._may_fail("directory")
        if self.directory is not None:
            return await self.directory.ask(payment_id, make, within_seconds=within_seconds)
        message = make(Reply())
        self.messages.append(message)
        return cast(T, await self.behave(message))

    async def obey(self, message: Message) -> Any:
        """As a payment's actor with a PSP that approves everything at once."""
        if isinstance(message, ShopperReturned):
            return next((life.payment for life in self.lives.values() if life.events and _has(life, message.attempt_id)), None)
        assert isinstance(message, Create | Confirm | Cancel)
        verdict = self.accept(message)
        return verdict or self.answer(message, 201 if isinstance(message, Create) else 200)

    def accept(self, message: Create | Confirm | Cancel) -> Verdict | None:
        """The first commit: events and claim. A verdict where it comes to none."""
        payment_id = message.claim.payment_id
        if not isinstance(message, Create) and payment_id not in self.lives:
            return NoSuchPayment()
        if not self.take(message.claim):
            return KeyTaken()
        match message:
            case Create(intent=intent, confirm=confirm, merchant_id=merchant_id):
                life = self.has(Life(intent=intent, merchant_id=merchant_id, payment_id=payment_id).created())
                if confirm:
                    life.sent()
            case Confirm():
                self.lives[payment_id].sent()
            case Cancel():
                self.lives[payment_id].tell(Name.MERCHANT_CANCELED, State.CANCELED, e.Ending())
        return None

    def answer(self, message: Create | Confirm | Cancel, status: int) -> Verdict:
        """The second commit: the outcome and the answer."""
        claim = message.claim
        life = self.lives[claim.payment_id]
        if life.payment.state is State.AUTHORIZING:
            life.charged()
        body = payment_json(life.payment)
        stored = self.store(Answer(merchant_id=claim.merchant_id, key=claim.key, status=status, body=body, at=self.clock.now()))
        return Given(status=status, body=body) if stored else KeyTaken()

    async def parts(self) -> Mapping[str, tuple[bool, str]]:
        self._may_fail("parts")
        return self.ready

    # --- the client

    async def call(self, method: str, path: str, **how: Any) -> Any:
        """One request as the merchant; `key`: another API key or None; `headers` are added. The answer has `.status_code` and `.json`."""
        key: MintedKey | None = how.pop("key", KEY)
        headers = {"Authorization": f"Bearer {key.text.reveal()}"} if key is not None else {}
        response = await self.client.open(path, method=method, headers=headers | how.pop("headers", {}), **how)
        response.raw = await response.get_data(as_text=False)
        response.seen = msgspec.json.decode(response.raw) if "json" in (response.content_type or "") and response.raw else None
        return response

    async def post(self, path: str = "/v1/payments", body: Any = None, *, idempotency: str | None = "key-1", **how: Any) -> Any:
        """A command. `body`: bytes as they are, anything else as JSON; None for a plain charge."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(charge() if body is None else body)
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": idempotency} if idempotency is not None else {})
        return await self.call("POST", path, data=data, headers=headers | how.pop("headers", {}), **how)


def charge(**changes: Any) -> dict[str, Any]:
    """The body of a plain charge."""
    body = {"amount": 1999, "currency": "EUR", "payment_method": {"type": "card", "token": "tok_visa"}}
    return {name: value for name, value in (body | changes).items() if value is not ...}


def check_options(options: Mapping[str, object]) -> list[str]:
    """A connector's check that takes one option."""
    return [] if set(options) <= {"three_d_secure"} else ["There is only three_d_secure."]


def _has(life: Life, attempt_id: str) -> bool:
    return any(one.id == attempt_id for one in life.payment.attempts)


def _row(payment: Payment) -> PaymentRow:
    return PaymentRow(
        id=payment.id, merchant_id=payment.merchant_id, state=payment.state, version=payment.version, amount_minor=1, currency="EUR",
        reference=None, connector=None, psp_reference=None, captured_minor=0, refunded_minor=0, held=False,
        created_at=payment.created_at, updated_at=payment.updated_at,
    )  # fmt: skip
