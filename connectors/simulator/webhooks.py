"""A simulated PSP's webhooks: where they go, which are due, what exactly is posted, and what an answer means.

    POST /_webhooks    {"url", "secret"}: the one endpoint, on this machine; {"url": null} takes it away
    GET /_webhooks     the url (never the secret), what became of what is owed, and what went wrong last with what still waits

A turn is `take`, `posts`, sending them, `settle`: the server sends them over sockets, the deterministic simulation in memory. Every post is
signed anew, at the time it is sent. Any 2xx is taken for a receipt, anything else is a failure, and so is no answer.

Not here: the schedule and what is kept (`outbox`), the signature (each dialect), sockets (`payorch.simulator_webhooks`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from msgspec.json import encode

from connectors.contract import HttpRequest, HttpResponse
from connectors.simulator.control import json_response
from connectors.simulator.dialect import Dialect
from connectors.simulator.faults import WEBHOOK_FAULTS, FaultState, Rng
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Due, Target
from connectors.simulator.webhook_faults import Forgery, WebhookVerdict, decide_webhook

PATH: Final = "/_webhooks"
_FIELDS: Final = frozenset({"url", "secret"})
_PRINTABLE: Final = re.compile(r"[!-~]+")
_LONGEST_URL: Final = 2000
_LONGEST_SECRET: Final = 200
_STALE: Final = timedelta(days=5)
"""How old a delivery is that is played back: older than any PSP's libraries take it."""
_PLAIN_HEADERS: Final = frozenset({"content-type", "user-agent"})
"""What a webhook without any signature has as well."""

Answer: TypeAlias = int | str
"""The status that was answered, or in words why there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One request to the endpoint. `forged`: it is not the PSP's own, and must not be believed."""

    request: HttpRequest
    forged: bool = False


def take(
    ledger: Ledger, state: FaultState, rng: Rng, now: datetime, *, limit: int, busy: Collection[int] = ()
) -> tuple[list[Due], FaultState]:
    """Up to `limit` webhooks to be sent now, except the numbers that are `busy`, and the faults in force after those that hit new ones."""
    outbox = ledger.outbox
    if outbox.unjudged and any(fault.kind in WEBHOOK_FAULTS for fault in state.faults):

        def verdict() -> WebhookVerdict:
            nonlocal state
            befallen, state = decide_webhook(state, rng, now)
            return befallen

        with ledger.transaction():
            outbox.judge(verdict, now)
    outbox.skip()
    return outbox.due(now, limit=limit, busy=busy), state


def posts(dialect: Dialect, target: Target, due: Due, now: datetime) -> list[Post]:
    """All that is posted at once for one webhook: itself, as often as a fault will have it, and a forged copy where one befell it."""
    true = _signed(dialect, target, due.notification.body, target.secret, now)
    made = [Post(request=true)] * due.copies
    if due.forgery is not None:
        made.insert(0, _forged(dialect, target, Forgery(due.forgery), due.notification.body, true, now))
    return made


def settle(ledger: Ledger, due: Due, answers: Iterable[tuple[Post, Answer]], now: datetime) -> None:
    """Keeps what came of those posts: one receipt is enough."""
    answered = list(answers)
    believed = sum(post.forged and _taken(answer) for post, answer in answered)
    true = [answer for post, answer in answered if not post.forged]
    problem = None if any(_taken(answer) for answer in true) else _words(true[-1])
    with ledger.transaction():
        ledger.outbox.settle(due, problem=problem, believed=believed, now=now)


def fail(ledger: Ledger, due: Due, problem: str, now: datetime) -> None:
    """Nothing could be posted at all."""
    with ledger.transaction():
        ledger.outbox.settle(due, problem=problem, believed=0, now=now)


def _taken(answer: Answer) -> bool:
    return isinstance(answer, int) and 200 <= answer < 300


def _words(answer: Answer) -> str:
    return f"the endpoint answered {answer}" if isinstance(answer, int) else answer


def _signed(dialect: Dialect, target: Target, body: bytes, secret: str, at: datetime) -> HttpRequest:
    signed = dialect.webhook_body(body, secret=secret, at=at)
    return _request(target, dialect.webhook_headers(signed, secret=secret, at=at), signed)


def _request(target: Target, headers: tuple[tuple[str, str], ...], body: bytes) -> HttpRequest:
    parts = urlsplit(target.url)
    path = parts.path or "/"
    return HttpRequest(method="POST", path=f"{path}?{parts.query}" if parts.query else path, headers=headers, body=body)


def _forged(dialect: Dialect, target: Target, how: Forgery, body: bytes, true: HttpRequest, now: datetime) -> Post:
    if how is Forgery.STALE:
        stale = _signed(dialect, target, body, target.secret, now - _STALE)
        if stale != true:
            return Post(request=stale, forged=True)
        how = Forgery.ALTERED  # this PSP's signatures know no time: what it signed long ago is as good as new
    match how:
        case Forgery.WRONG_KEY:
            # Twice the secret is another one, and still of the form that this PSP's secrets have.
            forged = _signed(dialect, target, _falsified(body), target.secret * 2, now)
        case Forgery.UNSIGNED:
            headers = tuple((name, value) for name, value in true.headers if name in _PLAIN_HEADERS)
            forged = _request(target, headers, _falsified(body))
        case _:
            forged = _request(target, true.headers, _falsified(true.body))
    return Post(request=forged, forged=True)


def _falsified(body: bytes) -> bytes:
    """An event that never was, with other amounts: were it believed, the books would show it."""
    event = json.loads(body)
    return encode(_raised(event) | {"id": f"{event.get('id')}_forged"})


def _raised(it: Any, *, amount: bool = False) -> Any:
    """The same with every amount one higher: the whole numbers that are called one, or stand in an object that is."""
    if isinstance(it, list):
        return [_raised(value, amount=amount) for value in it]
    if isinstance(it, dict):
        return {name: _raised(value, amount=amount or name.startswith("amount")) for name, value in it.items()}
    return it + 1 if amount and type(it) is int else it


# --- where they go ------------------------------------------------------------------------------------------------------------------------


class _Wrong(ValueError):
    """The request is not one; the text says why."""


def answer(ledger: Ledger, request: HttpRequest, now: datetime) -> HttpResponse:
    """Shows or sets the endpoint; 400 for a request that is none."""
    if request.method == "POST":
        try:
            target = _asked(request)
        except (ValueError, RecursionError) as problem:
            return json_response(400, {"error": str(problem)})
        with ledger.transaction():
            ledger.outbox.point(target, now)
    elif request.method != "GET":
        return json_response(400, {"error": "the endpoint is set with POST and shown with GET"})
    outbox = ledger.outbox
    url = None if outbox.target is None else outbox.target.url
    return json_response(200, {"psp": ledger.psp, "url": url, "counts": outbox.counts(), "problem": outbox.problem()})


def _asked(request: HttpRequest) -> Target | None:
    # Only JSON by name: a web page can make a browser post a form here, but not this.
    if not next((value for name, value in request.headers if name == "content-type"), "").startswith("application/json"):
        raise _Wrong("an endpoint is application/json")
    asked = json.loads(request.body)
    if not isinstance(asked, dict) or "url" not in asked:
        raise _Wrong("an endpoint is an object with a url, which may be null, and a secret")
    if unknown := sorted(set(asked) - _FIELDS):
        raise _Wrong(f"unknown field {unknown[0]!r}")
    url, secret = asked["url"], asked.get("secret")
    if url is None:
        return None
    if not isinstance(url, str) or not _is_here(url):
        raise _Wrong("url is one of this machine, such as http://127.0.0.1:8080/webhooks/name: a simulated PSP talks to nobody else")
    if not isinstance(secret, str) or len(secret) > _LONGEST_SECRET or _PRINTABLE.fullmatch(secret) is None:
        raise _Wrong(f"secret is what webhooks are signed with: 1 to {_LONGEST_SECRET} printable ASCII characters without spaces")
    return Target(url=url, secret=secret)


def _is_here(url: str) -> bool:
    """Whether it is plain HTTP to a loopback address, written so that nobody can read it otherwise."""
    if len(url) > _LONGEST_URL or _PRINTABLE.fullmatch(url) is None:
        return False
    try:
        parts = urlsplit(url)
        plain = parts.scheme == "http" and parts.port != 0 and "@" not in parts.netloc and not parts.fragment
        return plain and (parts.hostname == "localhost" or ip_address(parts.hostname or "").is_loopback)
    except ValueError:
        return False
