"""How a host that a merchant named is connected to: only at an address that was judged just before, so that a name which leads elsewhere a
moment later (DNS rebinding) leads nowhere.

The name is looked up once for each connection. Every address it has must be allowed, not only the one that is used: a name with a private
address among others is nobody's honest webhook. A name that leads nowhere is connected to nowhere.

Not here: which addresses are allowed (`payorch.domain.merchant_urls`); TLS, HTTP and deadlines (`payorch.network`).
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Final, TypeAlias, final

import trio

from payorch.domain.merchant_urls import Address, allowed_address
from payorch.ports import NotSent

# Names at once. Each takes a thread until the system's resolver gives up, also where nobody waits for it any more; PSPs' names are looked
# up in trio's own threads, so that no merchant's name server can stand in their way.
_LOOKUPS: Final = 64
# Of one name's addresses, so many are tried, with an equal share of the time: enough for IPv6 that leads nowhere, and no scan.
_TRIED: Final = 4

LookUp: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host and port, as text, the best first. Raises socket.gaierror."""


@final
class SystemNames:
    """Looks up by the system's resolver, in threads that nobody else needs."""

    def __init__(self) -> None:
        self._threads = trio.CapacityLimiter(_LOOKUPS)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Waits for a thread, too, for as long as the caller's deadline allows."""
        look_up = partial(socket.getaddrinfo, host.encode("ascii"), port, type=socket.SOCK_STREAM)
        found = await trio.to_thread.run_sync(look_up, limiter=self._threads, abandon_on_cancel=True)
        return [str(entry[4][0]) for entry in found]


@final
class GuardedReach:
    """Opens connections to what merchants named."""

    def __init__(self, look_up: LookUp, *, local: bool) -> None:
        self._look_up = look_up
        self._local = local

    async def __call__(self, host: str, port: int) -> trio.SocketStream:
        """A connection to one of the host's addresses. Raises NotSent("blocked"), socket.gaierror or OSError."""
        addresses = self._judged(host, await self._look_up(host, port))
        failure = OSError("no address answered in its share of the time")
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            share_seconds = max(0.0, trio.current_effective_deadline() - trio.current_time()) / left
            with trio.move_on_after(share_seconds):
                try:
                    return await trio.open_tcp_stream(str(address), port)
                except OSError as error:
                    failure = error
        raise failure

    def _judged(self, host: str, found: Sequence[str]) -> list[Address]:
        try:
            addresses = list(dict.fromkeys(ip_address(text) for text in found))
        except ValueError:
            addresses = []
        if not addresses or not all(allowed_address(address, local=self._local) for address in addresses):
            raise NotSent("blocked", host)
        return addresses[:_TRIED]
