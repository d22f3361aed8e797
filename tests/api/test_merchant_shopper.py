"""The shopper's way back: a signed URL that asks the payment once and goes on to the merchant."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.child import TooManyChildren
from actors.mailbox import ActorStopped, AskTimeout, MailboxFull
from actors.messages import Message, ShopperReturned
from payorch.api.shopper import RETURNED_CHARACTERS, RETURNED_PARAMETERS, brought_back, return_url, returned_attempt
from payorch.store.pool import DatabaseUnavailable
from tests.api.merchant_world import RETURN_KEY, Life, World, an_intent, new_id


def path_of(life: Life, key: bytes = RETURN_KEY) -> str:
    url = return_url("http://pay.test", life.payment_id, life.attempt.id, key)
    assert url.startswith(f"http://pay.test/v1/payments/{life.payment_id}/return?token=")
    return url.removeprefix("http://pay.test")


def waiting(world: World, to: str | None = "https://shop.test/back?cart=9&x=%C3%A9#top") -> Life:
    return world.has(Life(intent=an_intent(return_url=to)).created().sent().wants_action())


async def test_a_shopper_comes_back_and_goes_on() -> None:
    world = World()
    life = waiting(world)
    answer = await world.call("GET", path_of(life), key=None)
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"https://shop.test/back?cart=9&x=%C3%A9&payment_id={life.payment_id}&status=requires_action#top"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    (message,) = world.messages
    assert isinstance(message, ShopperReturned)
    assert (message.attempt_id, message.cause) == (life.attempt.id, answer.headers["X-Request-Id"])


async def test_it_may_be_opened_again_and_by_a_form() -> None:
    world = World()
    life = waiting(world, "https://shop.test")
    first = await world.call("GET", path_of(life), key=None)
    assert first.headers["Location"].startswith("https://shop.test/?payment_id=")
    life.charged()
    second = await world.call("POST", path_of(life), key=None, form={"MD": "x", "PaRes": "succeeded"})
    assert (second.status_code, second.headers["Location"].rpartition("=")[2]) == (303, "succeeded")


async def test_what_a_psp_adds_is_never_believed() -> None:
    world = World()
    life = waiting(world)
    added = "&redirect_status=succeeded&status=succeeded&token=EC-123&payment_intent=pi_other"
    answer = await world.call("GET", path_of(life) + added, key=None)
    assert urlsplit(answer.headers["Location"]).query.endswith("status=requires_action")


async def test_what_the_browser_brings_is_handed_on_without_our_own_mark() -> None:
    world = World()
    life = waiting(world)
    await world.call("GET", path_of(life) + "&redirectResult=X6%2B%2Fa&token=EC-123&redirectResult=second&token=third", key=None)
    await world.call("POST", path_of(life) + "&a=1", key=None, form={"MD": "x", "PaRes": "long+value", "a": "2"})
    first, second = world.messages
    assert isinstance(first, ShopperReturned)
    assert isinstance(second, ShopperReturned)
    assert first.returned == {"redirectResult": "X6+/a", "token": "EC-123"}
    assert second.returned == {"a": "1", "MD": "x", "PaRes": "long+value"}
    assert "X6" not in repr(first)


async def test_what_is_beyond_all_bounds_is_left_behind() -> None:
    world = World()
    life = waiting(world)
    many = {f"name{number}": "v" for number in range(RETURNED_PARAMETERS + 5)}
    long = "x" * RETURNED_CHARACTERS
    for form in (many, {"long": long, "short": "y"}, {"almost": long[:-10], "short": "yy", "more": "z" * 10}):
        answer = await world.call("POST", path_of(life), key=None, form=form)
        assert answer.status_code == 303
    kept = [one.returned for one in world.messages if isinstance(one, ShopperReturned)]
    assert kept == [dict(list(many.items())[:RETURNED_PARAMETERS]), {"short": "y"}, {"almost": long[:-10]}]


@given(st.lists(st.tuples(st.text(max_size=300), st.text(max_size=20_000))))
def test_what_is_kept_of_anything_is_within_bounds_and_the_first_of_its_name(parameters: list[tuple[str, str]]) -> None:
    kept = brought_back(parameters)
    assert len(kept) <= RETURNED_PARAMETERS
    assert sum(len(name) + len(value) for name, value in kept.items()) <= RETURNED_CHARACTERS
    assert all((name, value) in parameters for name, value in kept.items())


@pytest.mark.parametrize("make", ["none", "empty", "other key", "other payment", "other attempt", "cut", "longer", "unicode"])
async def test_a_token_of_somebody_else_opens_nothing(make: str) -> None:
    world = World()
    life, other = waiting(world), waiting(world)
    path = path_of(life)
    wrong = {
        "none": path.partition("?")[0],
        "empty": path.partition("=")[0] + "=",
        "other key": path_of(life, b"x" * 32),
        "other payment": path.replace(life.payment_id, other.payment_id),
        "other attempt": path.replace(life.attempt.id, other.attempt.id),
        "cut": path[:-1],
        "longer": path + "A",
        "unicode": path + "%ff%C3%A9",
    }
    answer = await world.call("GET", wrong[make], key=None)
    assert (answer.status_code, answer.seen["code"]) == (404, "not_found")
    assert not world.messages


def test_a_token_is_bound_to_its_payment_and_attempt() -> None:
    payment_id, attempt_id = new_id("pay"), new_id("att")
    token = return_url("x", payment_id, attempt_id, RETURN_KEY).partition("token=")[2]
    assert returned_attempt(payment_id, ["EC-1", token], RETURN_KEY) == attempt_id
    assert returned_attempt(new_id("pay"), [token], RETURN_KEY) is None
    assert returned_attempt(payment_id, [], RETURN_KEY) is None
    assert returned_attempt(payment_id, ["\ud800", "att_.x"], RETURN_KEY) is None


async def test_without_a_return_url_there_is_a_page() -> None:
    world = World()
    answer = await world.call("GET", path_of(waiting(world, None)), key=None)
    assert (answer.status_code, answer.content_type) == (200, "text/html; charset=utf-8")
    assert b"requires action" in answer.raw
    assert b"<script" not in answer.raw


@pytest.mark.parametrize("error", [AskTimeout(), ActorStopped(), MailboxFull(), TooManyChildren()])
async def test_a_shopper_does_not_wait_for_what_cannot_answer(error: Exception) -> None:
    world = World()
    life = waiting(world)

    async def busy(_: Message) -> Any:
        raise error

    world.behave = busy
    answer = await world.call("GET", path_of(life), key=None)
    assert answer.headers["Location"].endswith("status=requires_action#top")
    world.fail["load_payment"] = DatabaseUnavailable("x")
    answer = await world.call("GET", path_of(life), key=None)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


async def test_a_payment_that_is_gone_is_404() -> None:
    world = World()
    life = waiting(world)
    path = path_of(life)
    world.lives.clear()
    assert (await world.call("GET", path, key=None)).status_code == 404
