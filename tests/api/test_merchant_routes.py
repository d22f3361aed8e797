"""Who may call, how often, and what the reading calls answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import trio
from werkzeug.datastructures import Headers

from payorch.api.auth import REMEMBERED_SECONDS
from payorch.api.problems import CATALOGUE, Code
from payorch.api.searching import page_of
from payorch.api.shapes import TimelineShape
from payorch.domain.identifiers import uuid_of
from payorch.domain.payment import State
from payorch.domain.settlement import SettlementState
from payorch.keys import KeyKind
from payorch.store.inbox_reads import Refers, StoredNotice
from payorch.store.items import NoticeState
from payorch.store.pool import DatabaseUnavailable, PoolExhausted
from tests.api.merchant_world import KEY, MERCHANT, OTHER_KEY, START, Life, World, charge, new_id, new_key

CALLS = [
    ("GET", "/v1/payments"),
    ("POST", "/v1/payments"),
    ("GET", "/v1/payments/{id}"),
    ("GET", "/v1/payments/{id}/timeline"),
    ("POST", "/v1/payments/{id}/confirm"),
    ("POST", "/v1/payments/{id}/cancel"),
]


def refused(answer: Any, code: Code) -> dict[str, Any]:
    found: dict[str, Any] = answer.seen
    assert (answer.status_code, found["code"]) == (CATALOGUE[code].status, code), answer.raw
    assert answer.content_type == "application/problem+json"
    assert found["request_id"] == answer.headers["X-Request-Id"]
    return found


async def call(world: World, method: str, path: str, **how: Any) -> Any:
    """Any call with a body that it takes."""
    if method == "GET":
        return await world.call(method, path, **how)
    return await world.post(path, body=charge() if path == "/v1/payments" else {}, idempotency=new_id("act"), **how)


# --- who asks


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_nobody_calls_without_a_key(method: str, path: str) -> None:
    world = World()
    path = path.replace("{id}", world.has(Life().created()).payment_id)
    text = KEY.text.reveal()
    answer = await call(world, method, path, key=None)
    refused(answer, Code.UNAUTHENTICATED)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    for value in ("", "Bearer", "Bearer x", f"Basic {text}", text, f"Bearer {text[:-1]}0", f"Bearer {text} {text}", "Bearer caf\u00e9"):
        refused(await call(world, method, path, key=None, headers={"Authorization": value}), Code.UNAUTHENTICATED)
    refused(await call(world, method, f"{path}?key={text}&api_key={text}&access_token={text}", key=None), Code.UNAUTHENTICATED)
    refused(await call(world, method, path, key=new_key()), Code.UNAUTHENTICATED)
    refused(await call(world, method, path, key=new_key(KeyKind.OPERATOR)), Code.FORBIDDEN)
    assert not world.messages


async def test_the_right_lookup_id_with_another_secret_opens_nothing() -> None:
    world = World()
    forged = new_key()
    world.keys[forged.lookup_id] = world.keys[KEY.lookup_id]
    refused(await world.call("GET", "/v1/payments", key=forged), Code.UNAUTHENTICATED)


async def test_two_authorization_headers_open_nothing() -> None:
    world = World()
    value = f"Bearer {KEY.text.reveal()}"
    answer = await world.client.get("/v1/payments", headers=Headers([("Authorization", value), ("Authorization", value)]))
    assert answer.status_code == 401


async def test_a_key_ends_when_it_expires() -> None:
    world = World()
    key = new_key()
    world.add_key(key, MERCHANT, expires_at=START + timedelta(hours=1))
    assert (await world.call("GET", "/v1/payments", key=key)).status_code == 200
    world.clock.at += timedelta(hours=1)
    refused(await world.call("GET", "/v1/payments", key=key), Code.UNAUTHENTICATED)


async def test_a_revocation_takes_effect_soon(autojump_clock: trio.testing.MockClock) -> None:
    world = World()
    assert (await world.call("GET", "/v1/payments")).status_code == 200
    world.add_key(KEY, MERCHANT, revoked_at=START)
    assert (await world.call("GET", "/v1/payments")).status_code == 200
    await trio.sleep(REMEMBERED_SECONDS)
    refused(await world.call("GET", "/v1/payments"), Code.UNAUTHENTICATED)


async def test_a_database_that_is_away_is_503_and_no_verdict_about_the_key() -> None:
    world = World()
    world.fail["find_key"] = DatabaseUnavailable("password=hunter2")
    for method, path in CALLS:
        answer = await call(world, method, path.replace("{id}", new_id("pay")))
        found = refused(answer, Code.UNAVAILABLE)
        assert (found["money_moved"], answer.headers["Retry-After"]) == ("no", "1")
        assert b"hunter2" not in answer.raw


# --- how often


async def test_more_than_the_share_is_429_until_there_is_some_again(autojump_clock: trio.testing.MockClock) -> None:
    world = World(requests_per_second_per_merchant=0.5, requests_burst_per_merchant=2)
    assert [(await world.call("GET", "/v1/payments")).status_code for _ in range(3)] == [200, 200, 429]
    answer = await world.post()
    refused(answer, Code.RATE_LIMITED)
    assert answer.headers["Retry-After"] == "2"
    assert (await world.call("GET", "/v1/payments", key=OTHER_KEY)).status_code == 200
    await trio.sleep(2)
    assert (await world.post()).status_code == 201
    assert (await world.post()).status_code == 429


# --- what is theirs


@pytest.mark.parametrize(("method", "path"), [one for one in CALLS if "{id}" in one[1]])
async def test_another_merchants_payment_is_not_there(method: str, path: str) -> None:
    world = World()
    life = world.has(Life().created())
    for named in (
        life.payment_id,
        new_id("pay"),
        new_id("att"),
        "pay_",
        "pay_" + "z" * 26,
        life.payment_id.upper(),
        "%00",
        "%2e%2e",
        "\u212a",
    ):
        refused(await call(world, method, path.replace("{id}", named), key=OTHER_KEY), Code.NOT_FOUND)
    assert not world.messages


async def test_a_payment_and_its_timeline_are_read() -> None:
    world = World()
    life = world.has(Life().created().sent().charged())
    assert (await world.call("GET", f"/v1/payments/{life.payment_id}")).seen["status"] == "succeeded"
    found = (await world.call("GET", f"/v1/payments/{life.payment_id}/timeline")).seen
    assert [entry["name"] for entry in found["data"]] == [event.name for event in life.events]
    assert found["notices"] == []


async def test_how_money_settled_is_read_where_money_may_have_moved() -> None:
    world = World()
    still, moved = world.has(Life().created()), world.has(Life().created().sent().charged())
    world.settled[moved.payment_id] = [(uuid_of(moved.attempt.id), SettlementState.SETTLED)]
    answers = [await world.call("GET", f"/v1/payments/{life.payment_id}") for life in (still, moved)]
    assert [one.seen["settlement"]["status"] for one in answers] == ["not_due", "settled"]
    assert world.settlement_reads == 1
    listed = (await world.call("GET", "/v1/payments")).seen["data"]
    assert [one["settlement"]["status"] for one in listed] == ["settled", "not_due"]


async def test_a_timeline_lists_what_the_psp_told_news_or_not() -> None:
    world = World()
    life = world.has(Life().created().sent().charged())
    world.notices.append(
        StoredNotice(
            id=new_id("ntc"), connector="stripe", identity="evt_1", kind="payment_intent.succeeded", content=b"sealed", refers=Refers(),
            occurred_at=START, received_at=START, state=NoticeState.APPLIED, tries=0, next_try_at=None, payment_id=life.payment_id,
            outcome="implied", settled_at=START,
        )
    )  # fmt: skip
    answer = await world.call("GET", f"/v1/payments/{life.payment_id}/timeline")
    TimelineShape.model_validate(answer.seen)
    [told] = answer.seen["notices"]
    assert (told["event"], told["kind"], told["state"], told["outcome"]) == (*("evt_1", "payment_intent.succeeded", "applied", "implied"),)
    assert "sealed" not in str(told)


# --- search


async def test_search_shows_ones_own_newest_first() -> None:
    world = World()
    lives = [world.has(Life().created()) for _ in range(3)]
    world.has(Life(merchant_id=new_id("mer")).created())
    found = (await world.call("GET", "/v1/payments")).seen
    assert [one["id"] for one in found["data"]] == [life.payment_id for life in reversed(lives)]
    assert found["next_cursor"] is None
    assert world.searched[0][0].merchant_id == MERCHANT
    assert world.searched[0][1:] == (20, None)


async def test_every_filter_reaches_the_search() -> None:
    world = World()
    world.next_cursor = cursor = new_id("pay")
    query = (
        "state=CAPTURED&connector=stripe&reference=order%201&psp_reference=pi_1&currency=EUR&amount_min=1&amount_max=1000"
        "&created_from=2026-03-01T12:00:00Z&created_to=2026-03-02T12:00:00.5%2B02:00&q=ord%C3%A9&limit=100&cursor=" + cursor
    )
    assert (await world.call("GET", f"/v1/payments?{query}")).status_code == 200
    what, limit, after = world.searched[0]
    assert (limit, after) == (100, cursor)
    assert what.states == (State.CAPTURED,)
    assert (what.connector, what.reference, what.psp_reference, what.currency) == ("stripe", "order 1", "pi_1", "EUR")
    assert (what.amount_min, what.amount_max, what.q) == (1, 1000, "ord\u00e9")
    assert what.created_from == START
    assert what.created_to == START + timedelta(hours=22, milliseconds=500)


async def test_a_public_status_is_all_its_states() -> None:
    page = page_of(b"status=processing", MERCHANT, default=20, largest=100)
    assert page.search is not None
    assert State.OUTCOME_UNKNOWN in page.search.states
    assert page_of(b"status=succeeded&state=FAILED", MERCHANT, default=20, largest=100).search is None
    world = World()
    assert (await world.call("GET", "/v1/payments?status=succeeded&state=FAILED")).seen == {"data": [], "next_cursor": None}


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=101", "limit=-1", "limit=1.5", "limit=%EF%BC%91", "limit=1_0", "limit=", "limit=" + "9" * 5000, "cursor=x",
        "cursor=evt_1", "unknown=1", "state=captured", "status=CAPTURED", "currency=eur", "currency=XXX", "amount_min=1e3", "amount_max=+1",
        "created_from=2026-03-01", "created_from=2026-02-30T00:00:00Z", "created_from=0001-01-01T00:00:00Z",
        "created_to=9999-12-31T23:59:59Z",
        "created_from=2026-03-01T12:00:00", "q=", "q=%00", "q=%ff", "q=a%0ab", "q=" + "x" * 256, "state=FAILED&state=FAILED", "&", "=", "q",
        "&".join(f"p{n}=1" for n in range(1000)), "merchant_id=mer_1", "held=true", "created_from=2026-03-01T12:00:00%2B99:00",
    ],
)  # fmt: skip
async def test_what_cannot_be_searched_for_is_told(query: str) -> None:
    world = World()
    found = refused(await world.call("GET", f"/v1/payments?{query}"), Code.VALIDATION_FAILED)
    assert found["errors"] or "query string" in found["detail"] or "more than once" in found["detail"]
    assert not world.searched


async def test_a_card_number_is_not_searched_for() -> None:
    world = World()
    answer = await world.call("GET", "/v1/payments?q=4111+1111+1111+1111")
    refused(answer, Code.CARD_DATA_REFUSED)
    assert b"4111" not in answer.raw


# --- the frame


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("DELETE", "/v1/payments", "GET, HEAD, POST"), ("OPTIONS", "/v1/payments", "GET, HEAD, POST"), ("TRACE", "/livez", "GET, HEAD")],
)
async def test_another_method_is_a_problem(method: str, path: str, allowed: str) -> None:
    answer = await World().call(method, path)
    refused(answer, Code.METHOD_NOT_ALLOWED)
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/payments/", "//v1/payments", "/v1//payments", "/v2/payments", "/static/x", "/%00", "/" + "a" * 8000]
)
async def test_an_unknown_path_is_a_problem(path: str) -> None:
    world = World()
    # The test client would read the host out of two slashes: what an ASGI server hands over is the path as it was sent.
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"x"), (b"authorization", f"Bearer {KEY.text.reveal()}".encode())]
    scope = {
        "type": "http", "asgi": {}, "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "http_version": "1.1",
        "scheme": "http", "root_path": "", "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    await world.app(scope, receive, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 404
    assert (b"content-type", b"application/problem+json") in sent[0]["headers"]


async def test_a_request_id_is_taken_or_made_and_always_returned() -> None:
    world = World()
    for answer in (
        await world.post(headers={"X-Request-Id": "a.b:c_d-1"}),
        await world.call("GET", "/no", headers={"X-Request-Id": "a.b:c_d-1"}),
    ):
        assert answer.headers["X-Request-Id"] == "a.b:c_d-1"
    for bad in ("a b", "", "x" * 129, "4111111111111111", "caf\u00e9", "a\tb"):
        made = (await world.call("GET", "/livez", headers={"X-Request-Id": bad})).headers["X-Request-Id"]
        assert made.startswith("req_")
        assert made != bad


async def test_answers_are_not_kept_and_set_no_cookie() -> None:
    world = World()
    for answer in (await world.post(), await world.call("GET", "/v1/payments"), await world.call("GET", "/nope")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("part", ["load_payment", "load_events", "search"])
async def test_a_fault_of_a_read_is_told_and_logged_without_a_trace(part: str) -> None:
    world = World()
    path = {
        "load_payment": f"/v1/payments/{new_id('pay')}",
        "load_events": f"/v1/payments/{new_id('pay')}/timeline",
        "search": "/v1/payments",
    }[part]
    world.fail[part] = RuntimeError("a secret")
    answer = await world.call("GET", path)
    found = refused(answer, Code.INTERNAL_ERROR)
    assert found["money_moved"] == "no"
    assert b"secret" not in answer.raw
    assert b"Traceback" not in answer.raw
    assert len(world.log.lines) == 1
    world.fail[part] = DatabaseUnavailable("x")
    assert refused(await world.call("GET", path), Code.UNAVAILABLE)["money_moved"] == "no"
    world.fail[part] = PoolExhausted(size=1, waited_seconds=1)
    refused(await world.call("GET", path), Code.OVERLOADED)


async def test_requests_are_counted_by_route_and_never_by_path() -> None:
    world = World()
    await world.post()
    await world.call("GET", f"/v1/payments/{new_id('pay')}")
    await world.call("GET", "/some/where")
    figures = world.metrics.exposition().decode()
    assert 'route="/v1/payments",status="201"} 1.0' in figures
    assert 'route="/v1/payments/<payment_id>",status="404"} 1.0' in figures
    assert 'route="(none)",status="404"} 1.0' in figures
    assert "pay_" not in figures
