"""The live stream through the door, over real sockets: idle, left, not read, and ended by us."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from payorch.keys import MintedKey
from tests.api.listening import STREAM, Watched


@pytest.fixture
async def behind_a_door(nursery: trio.Nursery, open_door: Any) -> tuple[Watched, Any]:
    watched = Watched(nursery)
    return watched, await open_door(watched.world.app, write_seconds=0.2)


def request_of(key: MintedKey, query: str = "") -> bytes:
    return f"GET {STREAM}?{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key.text.reveal()}\r\n\r\n".encode()


async def read_until(client: Any, text: bytes) -> bytes:
    got = b""
    with trio.fail_after(30):
        while text not in got:
            data = await client.stream.receive_some(65536)
            assert data, got[-500:]
            got += data
    return got


async def test_a_stream_at_rest_outlives_the_time_for_writing(behind_a_door: tuple[Watched, Any]) -> None:
    watched, door = behind_a_door
    client = await door.connect()
    await client.send(request_of(watched.token()))
    await read_until(client, b"event: hb")
    watched.happens()
    await read_until(client, b"id: 1\n")
    await trio.sleep(0.4)  # twice the door's write_seconds
    watched.happens()
    await read_until(client, b"id: 2\n")


async def test_whoever_leaves_is_forgotten(behind_a_door: tuple[Watched, Any]) -> None:
    watched, door = behind_a_door
    client = await door.connect()
    await client.send(request_of(watched.token()))
    await read_until(client, b"event: hb")
    assert watched.tail.statistics().listeners == 1
    await client.stream.aclose()
    await door.until(lambda statistics: statistics.open_connections == 0)
    assert watched.tail.statistics().listeners == 0


async def test_a_socket_that_nobody_reads_is_cut(behind_a_door: tuple[Watched, Any]) -> None:
    watched, door = behind_a_door
    client = await door.connect()
    await client.send(request_of(watched.token()))
    await read_until(client, b"event: hb")
    with trio.fail_after(30):
        while watched.tail.statistics().listeners:  # until neither side's buffers take any more
            watched.happens(500, body='{"name":"%s"}' % ("x" * 150))
            await trio.sleep(0.01)
    await door.until(lambda statistics: statistics.open_connections == 0)


async def test_a_drain_does_not_wait_for_listeners(behind_a_door: tuple[Watched, Any]) -> None:
    watched, door = behind_a_door
    client = await door.connect()
    await client.send(request_of(watched.token()))
    await read_until(client, b"event: hb")
    watched.tail.stop()
    with trio.fail_after(5):
        assert await door.door.drain(10) == 0
    assert b'{"reason":"stopping"}' in await client.everything()
