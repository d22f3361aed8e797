"""Whoever looks after the merchant's endpoints: opens them, switches on again what was switched off, exchanges their secrets.

All of it through the API, and again where no answer came. Not here: receiving (`receiver`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import trio

from payorch.domain.announcements import EVENT_TYPES
from tests.simulation.receiver import NEVER_TAKEN, URLS
from tests.simulation.runtime import ConnectionLost, Heard, Runtime
from tests.simulation.world import World

PATIENCE: Final = 200
PATH: Final = "/v1/webhook-endpoints"


class Endpoints:
    """`open` on the first day, `look_after` on each later one."""

    def __init__(self, world: World, runtime: Runtime) -> None:
        self._world = world
        self._runtime = runtime
        self._dice = world.dice("endpoints")

    async def open(self) -> None:
        """As many as fate has, the second one for some types only."""
        for number, url in enumerate(URLS[: self._world.fate.endpoints]):
            await trio.sleep(self._dice.random() * 5)
            some = sorted({NEVER_TAKEN, *self._dice.sample(EVENT_TYPES, 8)})
            await self._open(url, some if number else ["*"])

    async def _open(self, url: str, events: list[str]) -> None:
        """Where no answer came it may be there all the same, with a secret that nobody has seen: then it gets another."""
        for _ in range(PATIENCE):
            try:
                heard = await self._runtime.post(PATH, {"url": url, "events": events}, f"endpoint {url}")
            except ConnectionLost:
                heard = None
            if heard is not None and heard.status == 201:
                self._world.receiver.secrets[url] = (heard.json["secret"],)
                return None
            assert heard is None or heard.status == 503, f"{PATH} was answered {heard.status}: {heard.body!r}"
            await trio.sleep(0.5 + self._dice.random())
            there = [one for one in await self._list() if one["url"] == url]
            if there:
                self._world.note("endpoint", "found after no answer")
                return await self._exchange(there[0])
        raise AssertionError(f"L1: the endpoint {url} could not be opened")

    async def look_after(self) -> None:
        """Another day: what is off is switched on again, and now and then a secret is exchanged."""
        for one in await self._list():
            if not one["enabled"]:
                self._world.note("endpoint", "switched on again")
                await self._until_done(partial(self._runtime.patch, f"{PATH}/{one['id']}", {"enabled": True}))
            if self._dice.random() < 0.5:
                await self._exchange(one)

    async def _exchange(self, endpoint: dict[str, Any]) -> None:
        path, receiver = f"{PATH}/{endpoint['id']}/rotate-secret", self._world.receiver
        receiver.exchanging.add(endpoint["url"])
        heard = await self._until_done(partial(self._runtime.post, path, {}, "rotation"))
        receiver.exchanging.discard(endpoint["url"])
        if endpoint["url"] not in receiver.secrets:
            receiver.unseen[endpoint["url"]] = self._world.now()
        receiver.secrets[endpoint["url"]] = (heard.json["secret"], *receiver.secrets.get(endpoint["url"], ()))
        self._world.note("endpoint", "secret exchanged")

    async def _list(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self._until_done(partial(self._runtime.get, PATH))).json["data"]
        return found

    async def _until_done(self, ask: Callable[[], Awaitable[Heard]]) -> Heard:
        for _ in range(PATIENCE):
            try:
                heard = await ask()
            except ConnectionLost:
                await trio.sleep(0.2 + self._dice.random())
                continue
            if heard.status == 200:
                return heard
            assert heard.status == 503, f"an endpoint's change was answered {heard.status}: {heard.body!r}"
            await trio.sleep(float(heard.headers["retry-after"]))
        raise AssertionError("L1: an endpoint's change was never answered")
