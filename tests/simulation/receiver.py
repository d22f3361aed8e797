"""The merchant's receiver: what stands at the other end of the endpoints, verifies, keeps what it takes, and has bad days.

It keeps the ids that it has seen, as merchants are told to. What it is sent is judged as it comes: signed with a secret that is valid, and
the same body each time (W2). Not here: opening the endpoints (`endpoints`), whether everything arrived in the end (`tellings`).
"""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

import msgspec
import pytest
import standardwebhooks
import trio
from standardwebhooks import Webhook

from connectors.contract import HttpRequest, HttpResponse
from payorch import signing
from tests.simulation.fates import Mishap

if TYPE_CHECKING:
    from tests.simulation.world import World

FIRST, SECOND = "https://shop.example/hooks", "https://ledger.shop.example/events?from=payorch"
URLS: Final = (FIRST, SECOND)
NEVER_TAKEN: Final = "payment.authorized"
"""What a picky second endpoint answers 400 to, however often."""
OFFICIAL: Final = 16
"""Each so manieth message is verified with the official library as well."""
_ANSWERS: Final = {Mishap.FAILS: 500, Mishap.LATER: 429}


class Receiver:
    """kept: what was taken, by URL and id: the body. secrets: by URL, the newest first; without one nothing is taken. exchanging:
    URLs of which a newer secret may be in force already, whose answer has not come. unseen: by URL, until when a secret was in force whose
    answer never came: what was signed by then and is still on its way cannot be verified by anybody.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._dice = world.dice("receiver")
        self.kept: dict[str, dict[str, bytes]] = {url: {} for url in URLS}
        self.secrets: dict[str, tuple[str, ...]] = {}
        self.exchanging: set[str] = set()
        self.unseen: dict[str, datetime] = {}
        self._by: dict[tuple[str, str], int] = {}
        self._verified = 0
        self._was_gone = False

    def befalls(self, url: str) -> Mishap | None:
        """What happens to the post that is coming."""
        world = self._world
        if world.healed:
            return None
        if url == FIRST and any(outage.covers(trio.current_time()) for outage in world.fate.deaf):
            world.fault("receiver fails")
            return Mishap.FAILS
        for mishap, rate in world.fate.post.items():
            if rate and self._dice.random() < rate:
                world.fault(f"receiver {mishap}")
                return mishap
        return None

    def take(self, url: str, request: HttpRequest, mishap: Mishap | None, generation: int) -> HttpResponse:
        """Answers an event that has arrived, and keeps it where the answer is a receipt."""
        headers = dict(request.headers)
        if url not in self.secrets:
            return _answer(503)  # the endpoint was made, and the answer with its secret has not come
        if not self._is_verified(url, headers, request.body):
            return _answer(401)
        if mishap in _ANSWERS:
            return _answer(_ANSWERS[mishap], (("retry-after", "20"),) if mishap is Mishap.LATER else ())
        if self._is_gone(url):
            return _answer(410)
        event = msgspec.json.decode(request.body)
        if url == SECOND and self._world.fate.picky and event["type"] == NEVER_TAKEN:
            return _answer(400)
        self._keep(url, headers[signing.ID], request.body, generation)
        return _answer(204)

    def _is_gone(self, url: str) -> bool:
        """Once, because of a mistake of somebody's."""
        world = self._world
        at, gone = world.fate.gone_at, url == FIRST and not world.healed and not self._was_gone
        if not gone or at is None or trio.current_time() < at:
            return False
        self._was_gone = True
        world.fault("receiver gone")
        return True

    def _keep(self, url: str, id: str, body: bytes, generation: int) -> None:
        world, kept = self._world, self.kept[url]
        if id not in kept:
            kept[id], self._by[url, id] = body, generation
            return
        world.note("told", "again" if self._by[url, id] == generation else "again after a crash")
        if kept[id] != body:
            world.accuse(f"W2: {id} was sent to {url} with another body")

    def _is_verified(self, url: str, headers: dict[str, str], body: bytes) -> bool:
        world, secrets = self._world, self.secrets[url]
        try:
            signing.verify(secrets, headers=headers, body=body, at=world.now())
        except signing.SignatureRefused as refused:
            unseen = self.unseen.get(url)
            if url not in self.exchanging and (unseen is None or int(headers[signing.TIMESTAMP]) > unseen.timestamp()):
                world.accuse(f"W2: a message to {url} is not to be believed: {refused}")
            return False
        if msgspec.json.decode(body)["id"] != headers[signing.ID]:
            world.accuse(f"W2: {headers[signing.ID]} calls itself otherwise in its body")
        self._verified += 1
        if self._verified % OFFICIAL == 0:
            self._verify_officially(secrets, headers, body)
        return True

    def _verify_officially(self, secrets: tuple[str, ...], headers: dict[str, str], body: bytes) -> None:
        """By the library that merchants use, which reads the machine's clock: here that is the world's."""
        clock = SimpleNamespace(now=lambda tz: self._world.now(), fromtimestamp=datetime.fromtimestamp)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(standardwebhooks.webhooks, "datetime", clock)
            if any(_is_official(secret, headers, body) for secret in secrets):
                return self._world.note("told", "verified by the official library")
        return self._world.accuse("W2: the official library refuses a message that is genuine")


def _is_official(secret: str, headers: dict[str, str], body: bytes) -> bool:
    try:
        Webhook(secret).verify(body, headers)
    except standardwebhooks.WebhookVerificationError:
        return False
    return True


def _answer(status: int, headers: tuple[tuple[str, str], ...] = ()) -> HttpResponse:
    return HttpResponse(status=status, headers=headers, body=b"")
