"""A PSP that answers at once and always yes: Stripe's `POST /v1/payment_intents`, in its own process, as lean as possible.

    python -m bench.stub --port 9101 [--lifetime-seconds 3600]

Answers `requires_capture` for `capture_method=manual` and `succeeded` otherwise, echoes amount, currency and metadata, and gives every
PaymentIntent ids of its own. `GET /paid` lists those that name a payment of ours, as `bench.events` reads them; `GET` of any other path
tells how many charges were made: what a benchmark compares its books with. **Every POST is a charge**: there is no idempotency here, so
that a call sent twice shows as one charge too many. The simulators do everything else.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl

import trio

from bench.wire import Peer, Unframed

_INTENTS: Final = b"post /v1/payment_intents http/1.1"
_ANSWER: Final = (
    "HTTP/1.1 %d %s\r\nServer: stub\r\nContent-Type: application/json\r\nContent-Length: %d\r\nRequest-Id: req_%s\r\n"
    "Stripe-Version: 2026-10-28.endive\r\nCache-Control: no-cache, no-store\r\n\r\n"
)
# About 1.1 kB. A real one has three times as many fields, nearly all of them null.
_CHARGE: Final = (
    '{"id":"ch_%(id)s","object":"charge","amount":%(amount)s,"amount_captured":%(received)s,"amount_refunded":0,'
    '"balance_transaction":null,"captured":%(captured)s,"created":1764000000,"currency":"%(currency)s","failure_code":null,'
    '"outcome":{"network_status":"approved_by_network","reason":null,"risk_level":"normal","type":"authorized"},"paid":true,'
    '"payment_intent":"pi_%(id)s","payment_method_details":{"card":{"brand":"visa","country":"DE","exp_month":12,"exp_year":2034,'
    '"funding":"credit","last4":"4242","network":"visa"},"type":"card"},"refunded":false,"status":"succeeded"}'
)
_INTENT: Final = (
    '{"id":"pi_%(id)s","object":"payment_intent","amount":%(amount)s,"amount_capturable":%(capturable)s,"amount_received":%(received)s,'
    '"canceled_at":null,"cancellation_reason":null,"capture_method":"%(capture_method)s","client_secret":null,'
    '"confirmation_method":"automatic","created":1764000000,"currency":"%(currency)s","customer":null,"last_payment_error":null,'
    '"latest_charge":%(charge)s,"livemode":false,"metadata":%(metadata)s,"next_action":null,"payment_method":"pm_%(id)s",'
    '"payment_method_types":["card"],"status":"%(status)s"}'
)


class Stub:
    """Counts charges and answers; one for the whole process."""

    def __init__(self) -> None:
        self.charges = 0
        self._paid: list[str] = []
        self._run = os.urandom(6).hex()

    def answer(self, head: bytes, body: bytes) -> bytes:
        """The whole answer to one request."""
        if head.startswith(_INTENTS):
            self.charges += 1
            identity, form = f"{self._run}{self.charges:010d}", dict(parse_qsl(body.decode()))
            if "metadata[payorch_payment]" in form:
                self._paid.append(f"pi_{identity} {form['metadata[payorch_attempt]']} {form['metadata[payorch_payment]']}\n")
            return _response(200, "OK", payment_intent(identity, form), identity)
        if head.startswith(b"get /paid "):
            return _response(200, "OK", "".join(self._paid), "paid")
        if head.startswith(b"get "):
            return _response(200, "OK", json.dumps({"charges": self.charges}), "count")
        return _response(404, "Not Found", '{"error":{"type":"invalid_request_error","message":"only payment intents here"}}', "none")


def payment_intent(identity: str, form: dict[str, str]) -> str:
    """The PaymentIntent that such a form makes, as JSON. The charge is an object where `expand` asks for it, and an id otherwise."""
    manual, amount = form.get("capture_method") == "manual", int(form["amount"])
    values = {
        "id": identity,
        "amount": amount,
        "received": 0 if manual else amount,
        "capturable": amount if manual else 0,
        "captured": "false" if manual else "true",
        "currency": form["currency"],
        "capture_method": "manual" if manual else "automatic",
        "status": "requires_capture" if manual else "succeeded",
        "metadata": json.dumps({name[9:-1]: value for name, value in form.items() if name.startswith("metadata[")}),
    }
    expanded = form.get("expand[0]") == "latest_charge" or form.get("expand[]") == "latest_charge"
    return _INTENT % {**values, "charge": _CHARGE % values if expanded else f'"ch_{identity}"'}


def _response(status: int, reason: str, body: str, request_id: str) -> bytes:
    return (_ANSWER % (status, reason, len(body), request_id) + body).encode("ascii")


async def serve(port: int, answer: Callable[[bytes, bytes], bytes]) -> None:
    """Accepts on loopback for ever; each connection has a task of its own."""
    with trio.socket.socket() as listener:
        listener.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEADDR, 1)
        await listener.bind(("127.0.0.1", port))
        listener.listen(512)
        async with trio.open_nursery() as nursery:
            while True:
                connection, _ = await listener.accept()
                nursery.start_soon(_converse, connection, answer)


async def _converse(connection: trio.socket.SocketType, answer: Callable[[bytes, bytes], bytes]) -> None:
    with connection:
        peer = Peer(connection)
        try:
            while (request := await peer.receive()) is not None:
                await peer.send(answer(*request))
        except (OSError, Unframed):
            return  # a client that leaves in the middle is no concern of a stub's


async def _main(port: int, lifetime_seconds: float) -> None:
    with trio.move_on_after(lifetime_seconds):
        await serve(port, Stub().answer)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.stub", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--lifetime-seconds", type=float, default=3600.0, help="it ends by itself after that, should its starter be gone")
    arguments = parser.parse_args()
    trio.run(_main, arguments.port, arguments.lifetime_seconds)
