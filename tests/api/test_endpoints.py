"""Webhook endpoints over HTTP: what may be asked for, whose they are, secrets that are shown once, and changes that meet each other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
import schemathesis
import trio
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from actors.mailbox import ActorStopped, AskTimeout, MailboxFull
from payorch.api.problems import CATALOGUE, Code
from payorch.domain.announcements import EVENT_TYPES
from payorch.store.items import ENDPOINT_STREAM, Delivery, DeliveryState, EndpointState, Entry
from payorch.store.journal import JournalUnavailable
from payorch.store.pool import DatabaseUnavailable
from tests.api.merchant_world import KEY, MERCHANT, OTHER_KEY, START, World, new_id
from tests.api.webhook_calls import DOCUMENT, check, refused, send
from tests.api.webhook_world import Told

PATH = "/v1/webhook-endpoints"
URL = "https://hooks.shop.example/in?token=hush"


async def created(world: World, body: Any = None, **how: Any) -> dict[str, Any]:
    answer = await send(world, "POST", PATH, {"url": URL} if body is None else body, **how)
    assert answer.status_code == 201, answer.raw
    found: dict[str, Any] = answer.seen
    return found


# --- the life of one


async def test_an_endpoint_is_made_shown_changed_and_deleted() -> None:
    world = World()
    made = await created(world, {"url": URL, "events": ["refund.failed", "payment.succeeded"], "description": "the till"})
    check(made, "EndpointWithSecretShape")
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert made == {
        "id": made["id"], "object": "webhook_endpoint", "url": URL, "events": ["refund.failed", "payment.succeeded"],
        "description": "the till", "enabled": True, "disabled_reason": None, "secret_rotates_until": None,
        "created_at": "2026-03-01T12:00:00.000Z", "updated_at": "2026-03-01T12:00:00.000Z",
    }  # fmt: skip
    one = f"{PATH}/{made['id']}"
    assert (await send(world, "GET", one)).seen == made
    world.clock.at += timedelta(seconds=1)
    changed = (await send(world, "PATCH", one, {"url": "https://other.example", "events": ["*"], "description": None})).seen
    check(changed, "EndpointShape")
    later = {"updated_at": "2026-03-01T12:00:01.000Z"}
    assert changed == made | {"url": "https://other.example", "events": ["*"], "description": None} | later
    gone = await send(world, "DELETE", one)
    assert (gone.status_code, gone.seen) == (200, {"id": made["id"], "object": "webhook_endpoint", "deleted": True})
    check(gone.seen, "DeletedEndpointShape")
    for method, path, body in (("GET", one, None), ("DELETE", one, None), ("PATCH", one, {}), ("POST", f"{one}/rotate-secret", None)):
        refused(await send(world, method, path, body), 404, Code.NOT_FOUND)
    assert (await send(world, "GET", PATH)).seen == {"data": [], "next_cursor": None}
    left = world.told.rows[made["id"]]
    assert (left.state, left.secret, left.previous_secret) == (EndpointState.DELETED, b"", None)


async def test_every_type_unless_told_otherwise() -> None:
    assert (await created(World()))["events"] == ["*"]
    assert (await created(World(), {"url": URL, "events": list(EVENT_TYPES)}))["events"] == list(EVENT_TYPES)


async def test_each_change_is_an_entry_that_tells_no_secret() -> None:
    world = World()
    made = await created(world, headers={"X-Request-Id": "req-17"})
    one, first = f"{PATH}/{made['id']}", made["secret"]
    second = (await send(world, "POST", f"{one}/rotate-secret")).seen["secret"]
    await send(world, "PATCH", one, {"url": "https://other.example/path/hush", "enabled": False})
    await send(world, "DELETE", one)
    entries = world.told.entries
    assert [(one.stream, one.stream_id, one.sequence, one.name) for one in entries] == [
        (ENDPOINT_STREAM, made["id"], 1, "WebhookEndpointCreated"),
        (ENDPOINT_STREAM, made["id"], 2, "WebhookEndpointSecretRotated"),
        (ENDPOINT_STREAM, made["id"], 3, "WebhookEndpointChanged"),
        (ENDPOINT_STREAM, made["id"], 4, "WebhookEndpointDeleted"),
    ]
    assert {one.actor for one in entries} == {f"merchant:{MERCHANT}"}
    assert entries[0].cause == "req-17"
    assert msgspec.json.decode(entries[2].body) == {"merchant_id": MERCHANT, "url": "https://other.example", "state": "disabled"}
    said = b"".join(one.body for one in entries)
    stored = b"".join(row.secret + (row.previous_secret or b"") for one in entries for row in one.rows)  # type: ignore[union-attr]
    for secret in (first, second, "hush"):
        assert secret.encode() not in said + stored


async def test_what_changes_nothing_leaves_no_record() -> None:
    world = World()
    made = await created(world)
    for body in ({}, {"enabled": True}, {"url": URL, "events": ["*"]}, {"url": None, "events": None, "enabled": None}):
        answer = await send(world, "PATCH", f"{PATH}/{made['id']}", body)
        assert (answer.status_code, answer.seen["updated_at"]) == (200, made["updated_at"])
    assert len(world.told.entries) == 1


async def test_switched_off_and_on_again() -> None:
    world = World()
    one = f"{PATH}/{(await created(world))['id']}"
    off = (await send(world, "PATCH", one, {"enabled": False})).seen
    assert (off["enabled"], off["disabled_reason"]) == (False, "its merchant switched it off")
    on = (await send(world, "PATCH", one, {"enabled": True})).seen
    assert (on["enabled"], on["disabled_reason"]) == (True, None)


async def test_one_that_answered_410_is_enabled_by_its_merchant() -> None:
    world = World()
    made = await created(world)
    row = world.told.rows[made["id"]]
    world.told.rows[row.id] = replace(row, state=EndpointState.DISABLED, disabled_reason="it answered 410 Gone", version=2)
    # Another change, or switching off what is off, does not make it the merchant's doing.
    for body in ({"description": "old"}, {"enabled": False}):
        assert (await send(world, "PATCH", f"{PATH}/{row.id}", body)).seen["disabled_reason"] == "it answered 410 Gone"
    assert (await send(world, "PATCH", f"{PATH}/{row.id}", {"enabled": True})).seen["disabled_reason"] is None


# --- secrets


async def test_secrets_are_shown_by_the_call_that_made_them_and_never_again() -> None:
    world = World()
    made = await created(world)
    one = f"{PATH}/{made['id']}"
    rotated = (await send(world, "POST", f"{one}/rotate-secret", {})).seen
    check(rotated, "EndpointWithSecretShape")
    assert rotated["secret"] not in (None, made["secret"])
    answers = [
        await send(world, "GET", PATH),
        await send(world, "GET", one),
        await send(world, "PATCH", one, {"description": "d"}),
        await send(world, "DELETE", one),
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert not any(secret.encode() in answer.raw for secret in (made["secret"], rotated["secret"], "sealed"))
    assert not any(secret in str(world.log.lines) for secret in (made["secret"], rotated["secret"]))


async def test_both_secrets_are_valid_for_a_while() -> None:
    world = World(told=Told(rotation_seconds=60))
    made = await created(world)
    one = f"{PATH}/{made['id']}"
    first = world.told.rows[made["id"]]
    rotated = (await send(world, "POST", f"{one}/rotate-secret")).seen
    assert rotated["secret_rotates_until"] == "2026-03-01T12:01:00.000Z"
    second = world.told.rows[made["id"]]
    assert (second.previous_secret, second.previous_until) == (first.secret, START + timedelta(seconds=60))
    assert second.secret == f"sealed for {first.id}: {rotated['secret'][::-1]}".encode()
    world.clock.at += timedelta(seconds=59)
    assert (await send(world, "GET", one)).seen["secret_rotates_until"] == rotated["secret_rotates_until"]
    world.clock.at += timedelta(seconds=1)
    assert (await send(world, "GET", one)).seen["secret_rotates_until"] is None
    await send(world, "POST", f"{one}/rotate-secret")
    assert world.told.rows[first.id].previous_secret == second.secret


# --- whose they are


async def test_another_merchants_endpoint_is_not_there() -> None:
    world = World()
    made = await created(world)
    for named in (made["id"], new_id("whe"), new_id("pay"), "whe_", made["id"].upper(), "%00", "\u212a"):
        one = f"{PATH}/{named}"
        for method, path, body in (("GET", one, None), ("DELETE", one, None), ("PATCH", one, {}), ("POST", f"{one}/rotate-secret", None)):
            refused(await send(world, method, path, body, key=OTHER_KEY), 404, Code.NOT_FOUND)
    assert (await send(world, "GET", PATH, key=OTHER_KEY)).seen["data"] == []
    assert len(world.told.entries) == 1


async def test_nobody_comes_in_without_a_key_or_faster_than_the_pace() -> None:
    world = World(requests_per_second_per_merchant=0.001, requests_burst_per_merchant=1)
    one = f"{PATH}/{new_id('whe')}"
    calls = [("POST", PATH), ("GET", PATH), ("GET", one), ("PATCH", one), ("DELETE", one), ("POST", f"{one}/rotate-secret")]
    for method, path in calls:
        refused(await send(world, method, path, b"", key=None), 401, Code.UNAUTHENTICATED)
    assert (await send(world, "GET", PATH)).status_code == 200
    for method, path in calls:
        refused(await send(world, method, path, b""), 429, Code.RATE_LIMITED)


async def test_a_list_has_pages_newest_first() -> None:
    world = World()
    ids = [(await created(world))["id"] for _ in range(3)]
    await created(world, key=OTHER_KEY)
    first = (await send(world, "GET", f"{PATH}?limit=2")).seen
    check(first, "EndpointList")
    assert [one["id"] for one in first["data"]] == [ids[2], ids[1]]
    rest = (await send(world, "GET", f"{PATH}?limit=2&cursor={first['next_cursor']}")).seen
    assert ([one["id"] for one in rest["data"]], rest["next_cursor"]) == ([ids[0]], None)
    assert [one["id"] for one in (await send(world, "GET", PATH)).seen["data"]] == ids[::-1]
    refused(await send(world, "GET", f"{PATH}?limit=0"), 400, Code.VALIDATION_FAILED, "/limit")
    refused(await send(world, "GET", f"{PATH}?cursor={new_id('pay')}"), 400, Code.VALIDATION_FAILED, "/cursor")
    refused(await send(world, "GET", f"{PATH}?state=enabled"), 400, Code.VALIDATION_FAILED, "/state")


# --- how many


async def test_no_more_than_the_limit_and_one_less_makes_room() -> None:
    world = World(told=Told(endpoints_per_merchant=2))
    first = await created(world)
    await created(world)
    problem = refused(await send(world, "POST", PATH, {"url": URL}), 409, Code.ENDPOINT_LIMIT_REACHED)
    assert problem["retryable"] is False
    await created(world, key=OTHER_KEY)
    await send(world, "DELETE", f"{PATH}/{first['id']}")
    await created(world)


async def test_many_at_once_are_no_more_than_the_limit() -> None:
    world = World(told=Told(endpoints_per_merchant=2))
    written = world.told.write

    async def slowly(item: Any) -> Any:
        await trio.testing.wait_all_tasks_blocked()
        return await written(item)

    world.told.write = slowly  # type: ignore[method-assign]
    world = World(told=world.told)
    statuses: list[int] = []

    async def create() -> None:
        statuses.append((await send(world, "POST", PATH, {"url": URL})).status_code)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(create)
    assert sorted(statuses) == [201, 201, 409, 409, 409]


# --- what a body may hold

BAD_URLS = {
    "http": "http://shop.example/in", "loopback": "https://127.0.0.1/in", "metadata": "https://169.254.169.254/latest",
    "decimal": "https://2130706433/", "user": "https://a:b@shop.example/", "fragment": "https://shop.example/#x",
    "port": "https://shop.example:22/", "no host": "https:///in", "short": "https://localhost/", "text": "shop.example", "empty": "",
    "blank": "https://shop.example/a b", "long": "https://shop.example/" + "x" * 2048, "other": "file:///etc/passwd",
    "letters": "https://sh\u00f6p.example/", "mapped": "https://[::ffff:10.0.0.1]/",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_URLS)
async def test_a_url_that_nothing_is_sent_to_is_refused_with_a_reason(name: str) -> None:
    world = World()
    problem = refused(await send(world, "POST", PATH, {"url": BAD_URLS[name]}), 422, Code.VALIDATION_FAILED, "/url")
    assert problem["errors"][0]["detail"].endswith(".")
    made = await created(world)
    refused(await send(world, "PATCH", f"{PATH}/{made['id']}", {"url": BAD_URLS[name]}), 422, Code.VALIDATION_FAILED, "/url")
    assert world.told.rows[made["id"]].url == URL


async def test_a_developers_machine_may_be_told_over_http() -> None:
    world = World(told=Told(local=True))
    assert (await created(world, {"url": "http://127.0.0.1:4242/in"}))["url"] == "http://127.0.0.1:4242/in"
    refused(await send(world, "POST", PATH, {"url": "https://10.0.0.1/"}), 422, Code.VALIDATION_FAILED, "/url")


BAD_BODIES: dict[str, tuple[Any, int, Code, tuple[str, ...]]] = {
    "no url": ({}, 422, Code.VALIDATION_FAILED, ("/url",)),
    "unknown type": ({"url": URL, "events": ["payment.succeeded", "payment.lost"]}, 422, Code.VALIDATION_FAILED, ("/events/1",)),
    "no types": ({"url": URL, "events": []}, 422, Code.VALIDATION_FAILED, ("/events",)),
    "twice": ({"url": URL, "events": ["refund.failed"] * 2}, 422, Code.VALIDATION_FAILED, ("/events",)),
    "all and one": ({"url": URL, "events": ["*", "refund.failed"]}, 422, Code.VALIDATION_FAILED, ("/events",)),
    "blanks": ({"url": URL, "events": ["refund.failed *"]}, 422, Code.VALIDATION_FAILED, ("/events/0",)),
    "many": ({"url": URL, "events": ["refund.failed"] * 1000}, 422, Code.VALIDATION_FAILED, ("/events",)),
    "text for types": ({"url": URL, "events": "*"}, 422, Code.VALIDATION_FAILED, ("/events",)),
    "all at once": ({"url": 1, "events": [2], "more": 3}, 422, Code.VALIDATION_FAILED, ("/url", "/events/0", "/more")),
    "a secret": ({"url": URL, "secret": "whsec_x"}, 422, Code.VALIDATION_FAILED, ("/secret",)),
    "a card": ({"url": URL, "description": "4111 1111 1111 1111"}, 422, Code.CARD_DATA_REFUSED, ("/description",)),
    "a card in a url": ({"url": "https://a.example/4111111111111111"}, 422, Code.CARD_DATA_REFUSED, ("/url",)),
    "a line break": ({"url": URL, "description": "a\nb"}, 422, Code.VALIDATION_FAILED, ("/description",)),
    "an essay": ({"url": URL, "description": "x" * 256}, 422, Code.VALIDATION_FAILED, ("/description",)),
    "no body": (b"", 400, Code.INVALID_JSON, ("",)),
    "a list": (b"[1]", 400, Code.INVALID_JSON, ("",)),
    "a name twice": (b'{"url":"https://a.example","url":"https://b.example"}', 400, Code.INVALID_JSON, ("/url",)),
    "nested": (b'{"url":' + b"[" * 60_000, 400, Code.INVALID_JSON, ("",)),
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_a_body_that_is_not_one_makes_no_endpoint(name: str) -> None:
    body, status, code, pointers = BAD_BODIES[name]
    world = World()
    refused(await send(world, "POST", PATH, body), status, code, *pointers)
    assert not world.told.entries


async def test_a_change_and_a_rotation_are_as_strict() -> None:
    world = World()
    made = await created(world)
    one = f"{PATH}/{made['id']}"
    refused(await send(world, "PATCH", one, {"enabled": "yes", "id": "x"}), 422, Code.VALIDATION_FAILED, "/enabled", "/id")
    refused(await send(world, "PATCH", one, b""), 400, Code.INVALID_JSON, "")
    refused(await send(world, "POST", f"{one}/rotate-secret", {"secret": "mine"}), 422, Code.VALIDATION_FAILED, "/secret")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    refused(await send(world, "PATCH", one, b"{}", headers=form), 415, Code.UNSUPPORTED_MEDIA_TYPE)
    assert len(world.told.entries) == 1


BODIES = schemathesis.openapi.from_dict(DOCUMENT)[PATH]["POST"].as_strategy()


@given(case=BODIES)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
async def test_whatever_the_document_allows_is_no_5xx(case: Any) -> None:
    body = msgspec.json.encode(case.body) if isinstance(case.body, dict) else b"{}"
    assert (await send(World(), "POST", PATH, body)).status_code in (201, 400, 422)


# --- who changes at the same moment


@pytest.mark.parametrize("moment", ["while it is read", "before it is written"])
async def test_a_change_that_another_was_faster_with_is_made_of_what_that_one_left(moment: str) -> None:
    world = World()
    made = await created(world)
    row = world.told.rows[made["id"]]

    def faster(_: Any = None) -> None:
        """The endpoint answered 410 just now, in the notifier."""
        world.told.before_write, world.told.after_read = lambda item: None, lambda: None
        off = replace(row, state=EndpointState.DISABLED, disabled_reason="it answered 410 Gone", version=2)
        world.told.enter(Entry(
            stream=ENDPOINT_STREAM, stream_id=row.id, sequence=2, name="WebhookEndpointDisabled", at=START, actor="system", cause="evt",
            rows=(off,),
        ))  # fmt: skip

    if moment == "while it is read":
        world.told.after_read = faster
    else:
        world.told.before_write = faster
    changed = (await send(world, "PATCH", f"{PATH}/{row.id}", {"description": "new"})).seen
    assert (changed["description"], changed["enabled"], changed["disabled_reason"]) == ("new", False, "it answered 410 Gone")
    assert [one.sequence for one in world.told.entries] == [1, 2, 3]
    assert world.told.rows[row.id].version == 3


async def test_one_that_is_never_fast_enough_is_told_so() -> None:
    world = World()
    row = world.told.rows[(await created(world))["id"]]

    def faster(item: Any) -> None:
        world.told.enter(replace(item, rows=(row,)))

    world.told.before_write = faster
    answer = await send(world, "PATCH", f"{PATH}/{row.id}", {"description": "new"})
    refused(answer, 503, Code.OVERLOADED)
    assert answer.headers["Retry-After"] == "1"
    assert world.told.rows[row.id] == row


async def test_what_waits_for_a_deleted_endpoint_is_canceled() -> None:
    world = World()
    made = await created(world)
    waits = Delivery(
        payment_id=new_id("pay"), event_id=new_id("evt"), endpoint_id=made["id"], merchant_id=MERCHANT, type="payment.failed",
        state=DeliveryState.PENDING, created_at=START, next_attempt_at=START,
    )  # fmt: skip
    await world.told.write(waits)
    await send(world, "DELETE", f"{PATH}/{made['id']}")
    assert world.told.deliveries[waits.event_id, made["id"]].state is DeliveryState.CANCELED


# --- while the database is away


@pytest.mark.parametrize("error", [DatabaseUnavailable("password=hunter2"), JournalUnavailable("hunter2"), MailboxFull("hunter2")])
async def test_what_surely_was_not_done_says_so(error: Exception) -> None:
    world = World()
    made = await created(world)
    part = "endpoints" if isinstance(error, DatabaseUnavailable) else "write"
    world.told.fail[part] = error
    answer = await send(world, "POST", PATH, {"url": URL})
    problem = refused(answer, 503, Code.OVERLOADED if isinstance(error, MailboxFull) else Code.UNAVAILABLE)
    assert ("not accepted" in problem["detail"], answer.headers["Retry-After"]) == (True, "1")
    assert b"hunter2" not in answer.raw
    assert list(world.told.rows) == [made["id"]]


@pytest.mark.parametrize("error", [AskTimeout(), ActorStopped()])
async def test_what_may_have_been_done_is_called_not_certain(error: Exception) -> None:
    world = World()
    one = f"{PATH}/{(await created(world))['id']}"
    world.told.fail["write"] = error
    for method, path, body in (("POST", PATH, {"url": URL}), ("DELETE", one, None), ("POST", f"{one}/rotate-secret", None)):
        problem = refused(await send(world, method, path, body), 503, Code.UNAVAILABLE)
        assert "not certain" in problem["detail"]
        assert "whsec_" not in str(problem)


async def test_a_row_that_the_database_forbids_is_a_fault_of_ours() -> None:
    world = World()
    world.told.fail["write"] = AssertionError("secret details")
    answer = await send(world, "POST", PATH, {"url": URL})
    assert (answer.status_code, answer.seen["code"]) == (CATALOGUE[Code.INTERNAL_ERROR].status, Code.INTERNAL_ERROR)
    assert b"secret details" not in answer.raw
    assert [name for name, _ in world.log.lines] == ["http.failed"]
    assert KEY.text.reveal() not in str(world.log.lines)
