"""The bare composition of our own parts, without any logic: what the platform's speed is compared with. Its own process.

    python -m bench.bare --port 8080 --psp http://127.0.0.1:9101 --database "host=... dbname=..."

hypercorn + quart-trio as they come (one nursery per request), one httpx2.AsyncClient, and one group-commit writer over psycopg on trio.
Each `POST /v1/payments` makes two durable commits: the claim of its key with three events before the PSP is called, and one more event with
the stored answer after it. Each `POST /webhooks/stripe` makes one, of the event's id, unique, and its body, and answers 200: the signature
is not verified, nothing is encrypted, and nothing comes of it. No pydantic, no audit chain, no routing, no actors, no metrics, no
authentication: a payment service that nobody should run, and the least that these libraries cost when they are put together in the obvious
way.

It is deliberately naive about HTTP and not about the database: its batches are one statement each, on a connection with the planner
settings of the real writer, so that PostgreSQL is no reason for it to be slow.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

import httpx2
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart import ResponseReturnValue, request
from quart_trio import QuartTrio

from payorch.store.driver import Connection, Session

_TABLES: Final = """
CREATE TABLE webhooks (id text PRIMARY KEY, body text NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE TABLE claims (
    key text PRIMARY KEY, payment_id uuid NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), status integer, answer text
);
CREATE TABLE events (
    payment_id uuid, sequence integer, name text NOT NULL, body json NOT NULL, at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (payment_id, sequence)
)
"""
# Parts of one statement, which is one transaction and one round trip; each stands in it only where the batch has rows for it.
_CLAIM: Final = "INSERT INTO claims (key, payment_id) SELECT * FROM unnest(%b::text[], %b::uuid[])"
_ANSWER: Final = (
    "UPDATE claims SET status = new.status, answer = new.answer"
    " FROM unnest(%b::text[], %b::integer[], %b::text[]) AS new (key, status, answer) WHERE claims.key = new.key"
)
_WEBHOOK: Final = "INSERT INTO webhooks (id, body) SELECT * FROM unnest(%b::text[], %b::text[]) ON CONFLICT DO NOTHING"
_EVENTS: Final = (
    "INSERT INTO events (payment_id, sequence, name, body) SELECT id, sequence, name, body::json"
    " FROM unnest(%b::uuid[], %b::integer[], %b::text[], %b::text[]) AS new (id, sequence, name, body)"
)
_PLANNER: Final = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
_WAITING: Final = 10_000
"""Jobs that may wait for the writer: far more than any load has connections."""


@dataclass(slots=True, kw_only=True)
class Job:
    """What one commit of one request writes. `done` is set when it is durable, with `error` where it is not."""

    claims: tuple[tuple[str, UUID], ...] = ()
    answers: tuple[tuple[str, int, str], ...] = ()
    events: tuple[tuple[UUID, int, str, str], ...] = ()
    webhooks: tuple[tuple[str, str], ...] = ()
    done: trio.Event = field(default_factory=trio.Event)
    error: Exception | None = None


class Writer:
    """Drains what is there into one statement, again and again."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._send, self._receive = trio.open_memory_channel[Job](_WAITING)

    async def commit(self, job: Job) -> None:
        """Returns when the job is durable; raises what prevented it."""
        await self._send.send(job)
        await job.done.wait()
        if job.error is not None:
            raise job.error

    async def run(self) -> None:
        """Writes batches until cancelled."""
        while True:
            jobs = [await self._receive.receive()]
            try:
                while True:
                    jobs.append(self._receive.receive_nowait())
            except trio.WouldBlock:
                pass
            error: Exception | None = None
            try:
                await self._connection.execute(*statement(jobs), prepare=True)
            except Exception as failure:
                error = failure
            for job in jobs:
                job.error = error
                job.done.set()


def statement(jobs: Sequence[Job]) -> tuple[str, list[Any]]:
    """One SQL statement for all jobs, and its parameters."""
    rows: list[tuple[str, list[tuple[Any, ...]]]] = [
        (_CLAIM, [row for job in jobs for row in job.claims]),
        (_ANSWER, [row for job in jobs for row in job.answers]),
        (_WEBHOOK, [row for job in jobs for row in job.webhooks]),
        (_EVENTS, [row for job in jobs for row in job.events]),
    ]
    parts = [(sql, some) for sql, some in rows if some]
    parameters = [list(column) for _, some in parts for column in zip(*some, strict=True)]
    *before, (last, _) = parts
    ahead = ", ".join(f"part_{n} AS ({sql})" for n, (sql, _) in enumerate(before))
    return f"WITH {ahead} {last}" if before else last, parameters


def make_app(writer: Writer, client: httpx2.AsyncClient) -> QuartTrio:
    """The service: two routes that do something, one that says it is there."""
    app = QuartTrio(__name__)

    @app.get("/readyz")
    async def ready() -> ResponseReturnValue:
        return {"ready": True}

    @app.post("/v1/payments")
    async def create() -> ResponseReturnValue:
        key, asked = request.headers["Idempotency-Key"], await request.get_json()
        payment_id, attempt_id = uuid4(), uuid4()
        await writer.commit(Job(claims=((key, payment_id),), events=intended(payment_id, attempt_id, asked)))
        response = await client.post("/v1/payment_intents", data=psp_form(payment_id, attempt_id, asked), headers={"Idempotency-Key": key})
        intent = response.json()
        answer = present(payment_id, attempt_id, asked, intent)
        seen = {"attempt": str(attempt_id), "psp_reference": intent["id"], "status": intent["status"], "amount": intent["amount"]}
        events = ((payment_id, 4, "AttemptFinished", json.dumps(seen)),)
        await writer.commit(Job(answers=((key, 201, json.dumps(answer)),), events=events))
        return answer, 201

    @app.post("/webhooks/stripe")
    async def receive() -> ResponseReturnValue:
        body = str(await request.get_data(as_text=True))
        await writer.commit(Job(webhooks=((json.loads(body)["id"], body),)))
        return "", 200

    return app


def intended(payment_id: UUID, attempt_id: UUID, asked: dict[str, Any]) -> tuple[tuple[UUID, int, str, str], ...]:
    """The three events of the first commit."""
    created = {"amount": asked["amount"], "currency": asked["currency"], "reference": asked["reference"], "method": asked["payment_method"]}
    routed = {"connector": "stripe", "candidates": ["stripe"], "rule": "default", "version": "1"}
    prepared = {"attempt": str(attempt_id), "connector": "stripe", "method": "POST", "path": "/v1/payment_intents"}
    named = (("PaymentCreated", created), ("Routed", routed), ("AttemptPrepared", prepared))
    return tuple((payment_id, number, name, json.dumps(body)) for number, (name, body) in enumerate(named, start=1))


def psp_form(payment_id: UUID, attempt_id: UUID, asked: dict[str, Any]) -> dict[str, str]:
    """The form that the PSP gets, with the fields that the platform's connector sends."""
    return {
        "amount": str(asked["amount"]),
        "currency": asked["currency"].lower(),
        "capture_method": asked["capture"],
        "confirm": "true",
        "payment_method": asked["payment_method"]["token"],
        "payment_method_types[0]": "card",
        "return_url": asked["return_url"],
        "metadata[payorch_attempt]": str(attempt_id),
        "metadata[payorch_payment]": str(payment_id),
        "expand[0]": "latest_charge",
    }


def present(payment_id: UUID, attempt_id: UUID, asked: dict[str, Any], intent: dict[str, Any]) -> dict[str, Any]:
    """The answer to the merchant: the larger part of the payment in API.md."""
    authorized, captured = intent["amount"], intent["amount_received"]
    state = "CHARGED" if captured else "AUTHORIZED"
    return {
        "id": f"pay_{payment_id.hex}",
        "object": "payment",
        "status": "succeeded" if captured else "requires_capture",
        "amount": asked["amount"],
        "currency": asked["currency"],
        "amount_authorized": authorized,
        "amount_captured": captured,
        "amount_capturable": authorized - captured,
        "amount_refunded": 0,
        "capture": asked["capture"],
        "reference": asked["reference"],
        "connector": "stripe",
        "psp_reference": intent["id"],
        "next_action": None,
        "failure": None,
        "attempts": [{"id": f"att_{attempt_id.hex}", "connector": "stripe", "state": state, "psp_reference": intent["id"]}],
        "captures": [],
        "refunds": [],
        "metadata": asked["metadata"],
    }


async def _main(port: int, psp: str, database: str, lifetime_seconds: float) -> None:
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    connection = await Connection.connect(database, session=Session(search_path="public", settings=_PLANNER))
    headers = {"Authorization": "Bearer sk_test_bench", "Stripe-Version": "2026-10-28.endive"}
    with trio.move_on_after(lifetime_seconds):
        async with httpx2.AsyncClient(base_url=psp, headers=headers, trust_env=False) as client, trio.open_nursery() as nursery:
            await connection.execute(_TABLES)
            writer = Writer(connection)
            nursery.start_soon(writer.run)
            nursery.start_soon(partial(serve, make_app(writer, client), config))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.bare", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--psp", required=True, help="base URL of the stub")
    parser.add_argument("--database", required=True, help="connection string of an empty database, as its owner")
    parser.add_argument("--lifetime-seconds", type=float, default=3600.0, help="it ends by itself after that, should its starter be gone")
    arguments = parser.parse_args()
    trio.run(_main, arguments.port, arguments.psp, arguments.database, arguments.lifetime_seconds)
