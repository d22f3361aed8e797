"""What a simulated PSP owes to the merchant's endpoint: the schedule, what survives, and that nothing is forgotten or sent for ever."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import HttpRequest
from connectors.simulator import faults, webhooks
from connectors.simulator.faults import Dice, FaultState
from connectors.simulator.ledger import Ledger
from connectors.simulator.outbox import GIVES_UP_AFTER, LONGEST_PAUSE_SECONDS, pause_seconds
from connectors.simulator.records import Target
from connectors.simulator.webhooks import Answer, Post
from tests.simulator.test_faults import state
from tests.simulator.world import START, World

HERE = Target(url="http://127.0.0.1:8080/webhooks/stripe?a=1", secret="whsec_of_a_test")


def point(world: World, target: Target | None = HERE) -> None:
    with world.ledger.transaction():
        world.ledger.outbox.point(target, world.now)


@dataclass(slots=True)
class Sender:
    """Sends what is due in memory, as the server does over sockets, and keeps what was posted."""

    world: World
    faults: FaultState = field(default_factory=FaultState)
    answer: Callable[[Post], Answer] = field(default=lambda post: 400 if post.forged else 200)
    posted: list[tuple[datetime, str, Post]] = field(default_factory=list)
    dice: Dice = field(default_factory=lambda: Dice("sender"))

    def turn(self, limit: int = 1000) -> list[str]:
        """One turn; the types of what was sent, without copies."""
        world, outbox = self.world, self.world.ledger.outbox
        due, self.faults = webhooks.take(world.ledger, self.faults, self.dice, world.now, limit=limit)
        for one in due:
            assert outbox.target is not None
            made = webhooks.posts(world.dialect, outbox.target, one, world.now)
            self.posted += [(world.now, one.notification.type, post) for post in made]
            webhooks.settle(world.ledger, one, [(post, self.answer(post)) for post in made], world.now)
        return [one.notification.type for one in due]

    def counts(self) -> dict[str, int]:
        return {name: count for name, count in self.world.ledger.outbox.counts().items() if count}


PAID = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


def test_what_is_owed_is_sent_once_in_the_order_in_which_it_happened(world: World) -> None:
    point(world)
    sender = Sender(world)
    world.pay()
    assert sender.turn() == PAID
    assert sender.turn() == []
    assert sender.counts() == {"owed": 3, "delivered": 3}
    [request] = [post.request for _, kind, post in sender.posted if kind == "payment_intent.created"]
    assert (request.method, request.path) == ("POST", "/webhooks/stripe?a=1")
    header = dict(request.headers)["stripe-signature"]
    assert stripe.WebhookSignature.verify_header(request.body.decode(), header, HERE.secret)
    assert f"t={int(START.timestamp())}," in header


def test_what_happens_while_there_is_no_endpoint_is_owed_to_nobody(world: World) -> None:
    sender = Sender(world)
    world.pay()
    assert sender.turn() == []
    point(world)
    assert sender.turn() == []
    assert sender.counts() == {}
    assert [it["type"] for it in reversed(world.get("/v1/events").json["data"])] == PAID


def test_taking_the_endpoint_away_ends_what_waits(world: World) -> None:
    point(world)
    sender = Sender(world, answer=lambda post: 500)
    world.pay()
    sender.turn()
    point(world, None)
    world.pay()
    world.now += timedelta(days=1)
    assert sender.turn() == []
    assert sender.counts() == {"owed": 3, "given_up": 3}


def test_tries_are_ever_farther_apart_and_end_after_three_days(world: World) -> None:
    point(world)
    sender = Sender(world, answer=lambda post: "nobody listens")
    world.post("/v1/payment_intents", {"amount": 100, "currency": "eur"})
    while (next_due := world.ledger.outbox.next_due(world.now - timedelta(milliseconds=1))) is not None:
        world.now = next_due
        sender.turn()
        assert world.ledger.outbox.problem() in ("nobody listens", None)
    times = [(at - START).total_seconds() for at, _, _ in sender.posted]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[:6] == [1, 2, 4, 8, 16, 32]
    assert gaps[12:] == [LONGEST_PAUSE_SECONDS] * len(gaps[12:])
    assert GIVES_UP_AFTER.total_seconds() - LONGEST_PAUSE_SECONDS < times[-1] <= GIVES_UP_AFTER.total_seconds()
    assert sender.counts() == {"owed": 1, "given_up": 1}
    signed = {dict(post.request.headers)["stripe-signature"].partition(",")[0] for _, _, post in sender.posted}
    assert len(signed) == len(times)  # each try anew


def test_pauses_never_overflow() -> None:
    assert [pause_seconds(attempts) for attempts in (1, 2, 12, 13, 10_000)] == [1, 2, 2048, 3600, 3600]


def test_an_endpoint_that_is_set_again_hears_at_once_what_waited_for_it(world: World) -> None:
    point(world)
    sender = Sender(world, answer=lambda post: 503)
    world.pay()
    for _ in range(10):
        world.now += timedelta(hours=1)
        sender.turn()
    sender.faults = state({"fault": "webhooks_late", "seconds": 60})
    world.post("/v1/payment_intents", {"amount": 100, "currency": "eur"})
    sender.turn()
    sender.answer = lambda post: 204
    world.now += timedelta(seconds=1)
    assert sender.turn() == []
    point(world, Target(url="http://localhost:9/", secret="whsec_new"))
    assert sender.turn() == PAID
    assert {post.request.path for _, _, post in sender.posted[-3:]} == {"/"}
    world.now += timedelta(seconds=60)
    assert sender.turn() == ["payment_intent.created"]  # what is late stays late


def test_a_deal_of_webhooks_goes_out_in_portions(world: World) -> None:
    point(world)
    for _ in range(5):
        world.pay()
    due, _ = webhooks.take(world.ledger, FaultState(), Dice("x"), world.now, limit=4)
    busy = {one.notification.number for one in due}
    more, _ = webhooks.take(world.ledger, FaultState(), Dice("x"), world.now, limit=4, busy=busy)
    assert [one.notification.number for one in (*due, *more)] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert webhooks.take(world.ledger, FaultState(), Dice("x"), world.now, limit=0)[0] == []


# --- what survives


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "l")
    point(world)
    sender = Sender(world, answer=lambda post: 200 if b"charge.succeeded" in post.request.body else 500)
    world.pay()
    sender.turn()
    sender.faults = state({"fault": "webhooks_lost", "count": 1}, {"fault": "webhooks_late", "seconds": 60})
    world.pay()
    sender.turn()
    world.pay()  # nobody has looked at these when it ends
    world.ledger.close()
    again = World(tmp_path / "l", now=world.now)
    sender = Sender(again, faults=state({"fault": "webhooks_lost"}))  # which are for what happens from now on
    assert again.ledger.outbox.target == HERE
    assert sender.turn() == PAID
    again.now += timedelta(seconds=1)
    assert sender.turn() == ["payment_intent.created", "payment_intent.succeeded"]
    again.now += timedelta(seconds=60)
    assert sender.turn() == PAID[1:]
    assert sender.counts() == {"owed": 9, "delivered": 8, "lost": 1, "late": 2}
    again.ledger.close()


def test_what_is_rolled_back_is_neither_owed_nor_set(world: World) -> None:
    def fails(target: Target) -> None:
        with world.ledger.transaction():
            world.ledger.outbox.point(target, world.now)
            world.ledger.notify(id="e", type="t", payment="p", at=START, body=b"{}")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails(HERE)
    assert ask(world, "GET")[1]["url"] is None
    point(world)
    with pytest.raises(ZeroDivisionError):
        fails(Target(url="http://127.0.0.1:1/", secret="x"))
    assert world.ledger.outbox.target == HERE
    assert Sender(world).turn() == []
    world.pay()
    assert Sender(world).turn() == PAID


def test_books_from_before_there_were_deliveries_are_read_on(tmp_path: Path) -> None:
    world = World(tmp_path / "l")
    id = world.pay().json["id"]
    world.ledger.close()
    with sqlite3.connect(tmp_path / "l") as database:
        lacking = "TABLE delivery", "TABLE withdrawal", "TABLE settlement_day", "TABLE settlement_fault", "INDEX entry_at"
        database.executescript("".join(f"DROP {one};" for one in lacking) + "PRAGMA user_version=1;")
    database.close()
    again = World(tmp_path / "l")
    assert again.intent(id)["status"] == "succeeded"
    point(again)
    again.pay()
    assert Sender(again).turn() == PAID
    again.ledger.close()
    assert Ledger(psp="stripe", path=tmp_path / "l").outbox.target == HERE


# --- faults, as they go out


def test_a_receipt_for_one_copy_is_enough(world: World) -> None:
    point(world)
    answers: Iterator[Answer] = iter([500, "hung up", 200, 500, 500])
    sender = Sender(world, faults=state({"fault": "webhooks_duplicated"}), dice=Dice("e"), answer=lambda post: next(answers, 200))
    world.post("/v1/payment_intents", {"amount": 100, "currency": "eur"})
    assert sender.turn() == ["payment_intent.created"]
    assert len({post.request.body for _, _, post in sender.posted}) == 1
    assert sender.counts() == {"owed": 1, "delivered": 1, "duplicated": 1}


def test_what_is_overtaken_comes_later(world: World) -> None:
    point(world)
    sender = Sender(world, faults=state({"fault": "webhooks_reordered", "count": 1, "seconds": 2}))
    world.pay()
    assert sender.turn() == PAID[1:]
    world.now += timedelta(seconds=2)
    assert sender.turn() == PAID[:1]
    assert sender.counts() == {"owed": 3, "delivered": 3, "reordered": 1}


def genuine(request: HttpRequest, now: datetime) -> bool:
    """What the official library says, with the time of the test."""
    header = dict(request.headers).get("stripe-signature", "")
    signed_at = header.partition(",")[0].removeprefix("t=")
    try:
        stripe.WebhookSignature.verify_header(request.body.decode(), header, HERE.secret)
    except stripe.SignatureVerificationError:
        return False
    return abs(now.timestamp() - int(signed_at)) <= stripe.Webhook.DEFAULT_TOLERANCE


def test_forged_copies_go_out_once_beside_the_true_one_and_no_library_believes_them(world: World) -> None:
    point(world)
    sender = Sender(world, faults=state({"fault": "webhooks_forged"}), answer=lambda post: 500)
    for _ in range(20):
        world.pay()
    sender.turn()
    forged = [post for _, _, post in sender.posted if post.forged]
    true = [post for _, _, post in sender.posted if not post.forged]
    assert (len(forged), len(true)) == (60, 60)
    assert not any(genuine(post.request, world.now) for post in forged)
    assert all(genuine(post.request, world.now) for post in true)
    kinds = {(post.request.body == original.request.body, len(post.request.headers)) for post, original in zip(forged, true, strict=True)}
    assert kinds == {(True, 3), (False, 3), (False, 2)}
    altered = next(post for post, original in zip(forged, true, strict=True) if post.request.body != original.request.body)
    event = json.loads(altered.request.body)
    assert event["id"].endswith("_forged")
    assert event["data"]["object"]["amount"] == 2000
    sender.answer = lambda post: 200
    world.now += timedelta(seconds=2)
    sender.turn()
    assert len([post for _, _, post in sender.posted if post.forged]) == 60
    assert sender.counts() == {"owed": 60, "delivered": 60, "forged": 60}


def test_an_endpoint_that_believes_a_forgery_is_found_out(world: World) -> None:
    point(world)
    sender = Sender(world, faults=state({"fault": "webhooks_forged"}), answer=lambda post: 202)
    world.pay()
    sender.turn()
    assert sender.counts()["forged_believed"] == 3


_STEP = st.one_of(
    st.just(("pay", None)),
    st.tuples(st.just("wait"), st.sampled_from([0, 1, 5, 60, 7200])),
    st.tuples(st.just("fault"), st.sampled_from(sorted(faults.WEBHOOK_FAULTS))),
    st.tuples(st.just("answers"), st.sampled_from([200, 400, 500, "hung up"])),
    st.just(("heal", None)),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(_STEP, max_size=25), rate=st.sampled_from([0.3, 1.0]))
def test_whatever_befalls_them_all_come_in_the_end_except_those_that_are_lost(steps: list[tuple[str, Any]], rate: float) -> None:
    world = World()
    point(world)
    sender = Sender(world)
    for what, value in steps:
        if what == "pay":
            world.pay()
        elif what == "wait":
            world.now += timedelta(seconds=value)
        elif what == "fault":
            sender.faults = state({"fault": value, "rate": rate})
        elif what == "answers":
            sender.answer = lambda post, value=value: 400 if post.forged else value  # type: ignore[misc]
        else:
            sender.faults = FaultState()
        sender.turn()
        counts = world.ledger.outbox.counts()
        assert counts["owed"] == counts["delivered"] + counts["waiting"] + counts["given_up"] + counts["lost"]
    sender.answer = lambda post: 400 if post.forged else 200
    world.now += timedelta(hours=3)
    sender.turn()
    events = world.ledger.notifications(limit=1000).items
    taken = {json.loads(post.request.body)["id"] for _, _, post in sender.posted if not post.forged}
    counts = world.ledger.outbox.counts()
    assert (counts["waiting"], counts["given_up"], counts["forged_believed"]) == (0, 0, 0)
    assert counts["owed"] == len(events) == len(taken) + counts["lost"]
    world.ledger.close()


# --- where they go


def ask(world: World, method: str, body: object = None, kind: str = "application/json") -> tuple[int, dict[str, Any]]:
    sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    request = HttpRequest(method=method, path=webhooks.PATH, headers=(("content-type", kind),), body=sent)
    answer = webhooks.answer(world.ledger, request, world.now)
    return answer.status, json.loads(answer.body)


def test_the_endpoint_is_shown_without_its_secret(world: World) -> None:
    assert ask(world, "GET")[1]["url"] is None
    status, shown = ask(world, "POST", {"url": HERE.url, "secret": HERE.secret})
    assert (status, shown["url"], shown["counts"]["owed"], shown["problem"]) == (200, HERE.url, 0, None)
    assert world.ledger.outbox.target == HERE
    for told in (json.dumps(shown), json.dumps(ask(world, "GET")[1]), repr(world.ledger.outbox.target)):
        assert HERE.secret not in told
    world.pay()
    Sender(world, answer=lambda post: 404).turn()
    assert ask(world, "GET")[1]["problem"] == "the endpoint answered 404"
    assert ask(world, "POST", {"url": None})[1]["url"] is None


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest",
        "http://example.com/",
        "http://127.0.0.1.example.com/",
        "http://127.0.0.1@example.com/",
        "http://user:pw@127.0.0.1/",
        "http://example.com#@127.0.0.1/",
        "http://localhost.example.com/",
        "https://127.0.0.1/",
        "ftp://127.0.0.1/",
        "//127.0.0.1/",
        "127.0.0.1:80",
        "http://",
        "http://[::1/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nx: y",
        "http://127.0.0.1/\u00e4",
        "http://0x7f000001/",
        "http://127.0.0.1/" + "a" * 2000,
        "",
        7,
    ],
)
def test_it_talks_to_this_machine_only(world: World, url: object) -> None:
    status, told = ask(world, "POST", {"url": url, "secret": "whsec_1"})
    assert (status, "of this machine" in told["error"]) == (400, True)
    assert world.ledger.outbox.target is None


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://127.0.0.2:65535", "http://localhost:8080/x?y=z", "http://[::1]:80/"])
def test_ways_of_writing_this_machine(world: World, url: str) -> None:
    assert ask(world, "POST", {"url": url, "secret": "whsec_1"})[0] == 200


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"url": HERE.url}, "application/json"),
        ({"url": HERE.url, "secret": ""}, "application/json"),
        ({"url": HERE.url, "secret": "a b"}, "application/json"),
        ({"url": HERE.url, "secret": "x" * 201}, "application/json"),
        ({"url": HERE.url, "secret": 1}, "application/json"),
        ({"url": HERE.url, "secret": "x", "also": 1}, "application/json"),
        ({"secret": "x"}, "application/json"),
        ([], "application/json"),
        (b"", "application/json"),
        (b"[" * 100_000, "application/json"),
        ({"url": HERE.url, "secret": "x"}, "text/plain"),
    ],
)
def test_what_is_no_endpoint_is_refused(world: World, body: object, kind: str) -> None:
    assert ask(world, "POST", body, kind)[0] == 400
    assert world.ledger.outbox.target is None
    assert ask(world, "DELETE")[0] == 400
