"""`payorch listen`: a merchant's events are seen as they happen, each once, and posted to a developer's machine as a webhook would be."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from standardwebhooks import Webhook

from payorch import listen, signing
from payorch.folders import write_private
from payorch.keys import Secret
from payorch.listen import Forwarded, Listener, Pace, Seen
from payorch.merchant_client import Platform, PlatformAway, PlatformRefused
from payorch.settings import ignored_variables, load
from payorch.system import SystemClock, SystemEntropy
from tests.command_line import Run, runner
from tests.fake_platform import KEY, Answer, FakePlatform, Request, an_event, serving

QUICK = Pace(look_seconds=0.005, away_seconds=0.005, forward_seconds=0.3)


@pytest.fixture
def payorch(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return runner(monkeypatch, capfd, tmp_path)


def credentials(folder: Path, url: str, key: str = KEY) -> Path:
    """A data folder as `payorch up` leaves it."""
    data = folder / "data"
    data.mkdir(exist_ok=True)
    write_private(data / "credentials.json", json.dumps({"base_url": url, "merchant_key": key, "simulators": {}}))
    return data


def stop() -> None:
    """Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


# --- as a person runs it ----------------------------------------------------------------------------------------------------------------


def test_events_are_printed_and_forwarded_signed_until_ctrl_c(payorch: Run, tmp_path: Path) -> None:
    platform = FakePlatform(events=[an_event("payment.failed")])
    received: list[Request] = []
    new = [
        an_event("payment.succeeded"),
        an_event("refund.failed", {"status": "succeeded"}, refund={"status": "failed", "amount": 500, "currency": "EUR"}),
    ]

    def hook(request: Request) -> Answer:
        received.append(request)
        if len(received) == len(new):
            stop()
        return 202 if len(received) == 1 else 500, {}

    platform.follows["GET", "events"] = lambda platform: platform.events.extend(new) if len(platform.requests) == 1 else None
    with serving(platform.handle) as url, serving(hook) as hooks:
        ran = payorch("listen", "--forward-to", f"{hooks}/webhooks?shop=1", "--data-dir", str(credentials(tmp_path, url)))

    assert (ran.code, ran.err) == (0, "payorch: stopped; 2 events seen, 1 forwarded, 1 not taken\n")
    lines = ran.out.splitlines()
    assert lines[:3] == [f"listening to   {url}", "events         all", f"forwarding to  {hooks}/webhooks?shop=1"]
    secret = re.fullmatch(r"secret         (whsec_\S+)  \(of this session: verify with it\)", lines[3])
    assert secret is not None
    first, second = lines[5:]
    paid, refunded = (one["data"]["payment"]["id"] for one in new)
    assert re.fullmatch(rf"12:34:56.789Z  payment.succeeded +{paid}  succeeded +19\.99 EUR  -> 202 in \d+ ms", first)
    assert re.fullmatch(rf"12:34:56.789Z  refund.failed +{refunded}  failed +5\.00 EUR  -> 500 in \d+ ms", second)

    for request, event in zip(received, new, strict=True):
        assert (request.method, request.path, request.query) == ("POST", "/webhooks", {"shop": "1"})
        assert request.said == {name: event[name] for name in ("id", "type", "created_at", "sequence", "data")}
        assert request.headers["webhook-id"] == event["id"]
        assert request.headers["content-type"] == "application/json"
        Webhook(secret[1]).verify(request.body, dict(request.headers))  # as a merchant's own program does
        signing.verify([secret[1]], headers=request.headers, body=request.body, at=SystemClock().now())
    assert KEY not in ran.out + ran.err


def test_programs_read_one_object_a_line(payorch: Run) -> None:
    platform = FakePlatform()
    event = an_event("payment.succeeded", {"reference": "\x1b[2J\u202e"})

    def follow(platform: FakePlatform) -> None:
        if len(platform.requests) == 2:
            platform.events += [an_event("capture.failed"), event]
        if len(platform.requests) == 4:
            stop()

    platform.follows["GET", "events"] = follow
    with serving(platform.handle) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAYORCH_MERCHANT_KEY", KEY)
        ran = payorch("listen", "--url", f"{url}/", "--events", "payment.succeeded, refund.failed", "--json")
    assert ran.code == 0
    start, seen = (json.loads(line) for line in ran.out.splitlines())
    assert start == {"listening_to": url, "events": ["payment.succeeded", "refund.failed"], "forward_to": None, "secret": None}
    assert seen == {"event": event, "forward": None}
    assert all(one.isprintable() or one == "\n" for one in ran.out)


def test_without_a_platform_it_says_what_to_do(payorch: Run, tmp_path: Path) -> None:
    ran = payorch("listen")
    assert (ran.code, ran.out) == (1, "")
    assert "`payorch up --data-dir .payorch` makes one, or name a --url" in ran.err
    away = payorch("listen", "--data-dir", str(credentials(tmp_path, "http://127.0.0.1:1")))
    assert (away.code, away.err) == (1, "payorch: http://127.0.0.1:1 does not answer (ConnectError)\n")
    keyless = payorch("listen", "--url", "http://127.0.0.1:1")
    assert (keyless.code, "PAYORCH_MERCHANT_KEY" in keyless.err) == (2, True)


def test_a_key_that_opens_nothing(payorch: Run, tmp_path: Path) -> None:
    with serving(FakePlatform(key="another").handle) as url:
        ran = payorch("listen", "--data-dir", str(credentials(tmp_path, url)))
    assert (ran.code, ran.err) == (1, "payorch: GET /v1/events was answered 401: There is no such key.\n")


@pytest.mark.parametrize(
    "words",
    [
        ["--events", "payment.suceeded"],
        ["--forward-to", "localhost:3000"],
        ["--forward-to", "ftp://localhost/x"],
        ["--forward-to", "http://localhost:99999/"],
        ["--url", "somewhere"],
    ],
)
def test_a_wrong_call_is_2(payorch: Run, words: list[str]) -> None:
    ran = payorch("listen", *words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("payorch: ")


# --- trouble ----------------------------------------------------------------------------------------------------------------------------


class Session:
    """A listener whose telling can be waited for."""

    def __init__(self, platform: Callable[[], Platform], *, forward_to: str | None = None, types: tuple[str, ...] = ()) -> None:
        self._tell, self.told = trio.open_memory_channel[Any](100)
        clock = SystemClock()
        self.listener = Listener(
            platform=platform,
            types=types,
            forward_to=forward_to,
            clock=clock,
            entropy=SystemEntropy(clock),
            began=self._tell.send_nowait,
            seen=self._tell.send_nowait,
            hint=self._tell.send_nowait,
            pace=QUICK,
        )

    async def next(self) -> Any:
        with trio.fail_after(10):
            return await self.told.receive()


async def test_it_survives_a_restart_and_misses_nothing(nursery: trio.Nursery) -> None:
    platform = FakePlatform(events=[an_event("payment.failed")])
    with serving(platform.handle) as url:
        session = Session(lambda: Platform(base_url=url, key=Secret(KEY)))
        nursery.start_soon(session.listener.run)
        await session.next()
        for status, words in ((0, "does not answer (RemoteProtocolError)"), (503, "answers 503: it answers 503"), (429, "answers 429")):
            platform.answers = status
            told = await session.next()
            assert words in told
            assert told.endswith("; waiting for it")
            event = an_event("payment.succeeded")
            platform.events.append(event)
            platform.answers = None
            assert await session.next() == "the platform answers again; nothing was missed"
            assert await session.next() == Seen(event=event, forwarded=None)
        nursery.cancel_scope.cancel()
    assert session.told.statistics().current_buffer_used == 0


async def test_it_follows_the_platform_to_another_place(nursery: trio.Nursery) -> None:
    before, after = FakePlatform(), FakePlatform(key="the new one")
    places: list[Platform] = []
    with serving(before.handle) as first, serving(after.handle) as second:
        places.append(Platform(base_url=first, key=Secret(KEY)))
        session = Session(lambda: places[-1])
        nursery.start_soon(session.listener.run)
        await session.next()
        places.append(Platform(base_url=second, key=Secret("the new one")))
        before.answers = 0
        assert "waiting for it" in await session.next()
        after.events.append(an_event("payment.succeeded"))
        assert "answers again" in await session.next()
        assert (await session.next()).event == after.events[0]
        nursery.cancel_scope.cancel()


async def test_a_forward_that_fails_is_told_and_stops_nothing(nursery: trio.Nursery) -> None:
    platform = FakePlatform()
    behaviours: list[Answer] = [None, (302, {}), (200, {})]
    with serving(platform.handle) as url, serving(lambda request: behaviours.pop(0)) as hooks:
        session = Session(lambda: Platform(base_url=url, key=Secret(KEY)), forward_to=f"{hooks}/")
        nursery.start_soon(session.listener.run)
        await session.next()
        platform.events += [an_event("payment.succeeded") for _ in range(3)]
        forwarded = [(await session.next()).forwarded for _ in range(3)]
        nursery.cancel_scope.cancel()
    assert [(one.status, one.error, one.taken) for one in forwarded] == [
        (None, "RemoteProtocolError", False),
        (302, None, False),
        (200, None, True),
    ]
    assert (session.listener.taken, session.listener.not_taken) == (1, 2)


async def test_a_machine_that_hangs_or_is_not_there(nursery: trio.Nursery) -> None:
    platform = FakePlatform()
    hanging = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = hanging[0].socket.getsockname()[1]
    with serving(platform.handle) as url:
        for forward_to, why in (
            (f"http://127.0.0.1:{port}/", "no answer within 0.3 s"),
            ("http://127.0.0.1:1/", "nobody takes connections there"),
        ):
            session = Session(lambda: Platform(base_url=url, key=Secret(KEY)), forward_to=forward_to)
            async with trio.open_nursery() as running:
                running.start_soon(session.listener.run)
                await session.next()
                platform.events.append(an_event("payment.succeeded"))
                assert (await session.next()).forwarded.error == why
                running.cancel_scope.cancel()
    await hanging[0].aclose()


async def test_what_is_no_payorch_is_told() -> None:
    answers: list[tuple[Answer, type[Exception], str]] = [
        ((200, {"data": [{"id": "evt_1"}], "next_cursor": None}), PlatformRefused, "does not list events as payorch does"),
        ((200, [1]), PlatformRefused, "GET /v1/events was answered 200"),
        ((502, "x"), PlatformAway, "answers 502"),
    ]
    with serving(lambda request: answers[0][0]) as url:
        while answers:
            with pytest.raises(answers[0][1], match=answers[0][2]):
                await Session(lambda: Platform(base_url=url, key=Secret(KEY))).listener.run()
            del answers[0]


def test_the_key_in_the_environment_is_no_misspelt_setting() -> None:
    assert ignored_variables(load({"PAYORCH_MERCHANT_KEY": KEY, "PAYORCH_MERCHANT_KEI": KEY})) == ("PAYORCH_MERCHANT_KEI",)


# --- words ------------------------------------------------------------------------------------------------------------------------------


def test_a_line_stands_whatever_the_event_is() -> None:
    odd = {
        "id": "evt_x",
        "type": "new.kind\x1b",
        "created_at": "soon",
        "sequence": 1,
        "data": {"payment": {"amount": "1", "currency": "EUR"}},
    }
    assert re.fullmatch(r"soon  new\.kind\\x1b +\?  \?", listen.line(Seen(event=odd, forwarded=None)))
    assert re.fullmatch(r"  new +\?  \?", listen.line(Seen(event={"id": "evt_x", "type": "new", "data": None}, forwarded=None)))
    yen = an_event("payment.succeeded", {"amount": 1999, "currency": "JPY"})
    failed = Forwarded(milliseconds=3, error="nobody takes connections there")
    assert listen.line(Seen(event=yen, forwarded=failed)).endswith("1,999 JPY  -> failed: nobody takes connections there in 3 ms")


def test_types_of_a_list() -> None:
    assert listen.types_of(None) == listen.types_of("") == listen.types_of(" , ") == ()
    assert listen.types_of("a, b,a") == ("a", "b")
