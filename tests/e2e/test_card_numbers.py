"""Two hundred planted card numbers, in every place where somebody could put one: refused, and nowhere to be found afterwards.

What is searched is every byte below the stack's folder: the database's own files with its write-ahead log, its server's log, the
simulator's books, everything that the platform said; and a dump of every table.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

from payorch.api.card_numbers import find_loose
from tests.e2e.stack import Stack, order
from tests.e2e.test_hostile_http import send, statuses

PREFIXES = ("4", "51", "55", "2221", "2720", "34", "37", "6011", "65", "3528", "62", "36", "5018", "6759")
LENGTHS = {"34": 15, "37": 15, "36": 14, "5018": 16, "6759": 18}


def card_numbers(count: int) -> list[str]:
    """Numbers that pass the check digit, of many issuers; no two alike, the same each time."""
    dice, found = Random(20), dict.fromkeys(["4242424242424242", "4111111111111111", "5555555555554444", "378282246310005"])
    while len(found) < count:
        prefix = dice.choice(PREFIXES)
        body = prefix + "".join(str(dice.randrange(10)) for _ in range(LENGTHS.get(prefix, 16) - len(prefix) - 1))
        doubled = [int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(body))]
        found[body + str(-sum(value - 9 if value > 9 else value for value in doubled) % 10)] = None
    return list(found)


def spelled(number: str, way: int) -> str:
    groups = re.findall(".{1,4}", number)
    return (number, " ".join(groups), "-".join(groups), number.translate({ord("0") + n: 0xFF10 + n for n in range(10)}))[way % 4]


def bodies(number: str) -> Iterator[dict[str, Any]]:
    """The number in every member that takes text, in names, as a number, and in members that are not there."""
    method = {"type": "card", "token": "tok_visa"}
    yield order(number)
    yield order(f"for {number}, thanks")
    yield order("x", payment_method={**method, "token": number})
    yield order("x", payment_method={"type": "card", "tokens": {"stripe": number}})
    yield order("x", payment_method={**method, "fingerprint": number})
    yield order("x", payment_method={**method, "brand": number})
    yield order("x", payment_method={**method, "last4": number})
    yield order("x", payment_method={**method, "number": number})
    yield order("x", payment_method={**method, "card": {"number": number, "cvc": "123"}})
    yield order("x", customer={"reference": number})
    yield order("x", customer={"email": f"{number}@example.com"})
    yield order("x", customer={"reference": "c", "country": number})
    yield {**order("x"), "return_url": f"https://shop.example/back?card={number}"}
    yield {**order("x"), "return_url": f"https://shop.example/{number}/back"}
    yield order("x", metadata={"note": number})
    yield order("x", metadata={number: "note"})
    yield order("x", metadata={"note": f"card={number};"})
    yield order("x", connector=number)
    yield order("x", connector_options={"stripe": {"statement_descriptor_suffix": number}})
    yield order("x", connector_options={number: {}})
    yield order("x", retry_of=number)
    yield order("x", initiator=number)
    yield order("x", capture=number)
    yield {**order("x"), "currency": number}
    yield {**order("x"), number: "surprise"}
    yield {**order("x"), "surprise": [[{"deep": number}]]}


async def plant(stack: Stack, numbers: list[str]) -> int:
    """Puts them everywhere; each place must refuse. How many requests that were."""
    sent = 0
    payment = (await stack.pay("clean", confirm=False)).json()["id"]
    async with stack.client() as client:

        async def refused(number: str, method: str, path: str, expected: tuple[int, ...], body: Any = None, **headers: str) -> None:
            nonlocal sent
            sent += 1
            more = {"idempotency-key": f"plant-{sent}", "content-type": "application/json", **headers}
            answer = await client.request(method, path, content=None if body is None else json.dumps(body), headers=more)
            assert answer.status_code in expected, f"{path} {body}: {answer.status_code} {answer.text}"
            assert number not in re.sub(r"[^0-9]", "", unicodedata.normalize("NFKC", answer.text)), f"the answer repeats it: {answer.text}"

        for place, number in enumerate(numbers):
            written = spelled(number, place)
            many = list(bodies(written))
            for body in many if place < 4 else (many[place % len(many)], many[(place * 7 + 3) % len(many)]):
                await refused(number, "POST", "/v1/payments", (422,), body)
            ascii_only = spelled(number, place % 3)
            key = {"idempotency-key": ascii_only}
            calls: list[tuple[str, str, tuple[int, ...], Any, dict[str, str]]] = [
                ("POST", "/v1/payments", (422,), order("x"), key),
                ("POST", "/v1/payments", (422,), order("x"), {"idempotency-key": f'"order {number}"'}),
                ("POST", f"/v1/payments/{payment}/cancel", (422,), {"reason": written}, {}),
                ("POST", f"/v1/payments/{payment}/confirm", (422,), {"payment_method": {"type": "card", "token": written}}, {}),
                ("GET", f"/v1/payments/{quote(written)}", (404,), None, {}),
                ("GET", f"/v1/payments/{payment}/return?token={number}", (404,), None, {}),
                ("GET", f"/{number}", (404,), None, {}),
                ("GET", f"/v1/payments?reference={quote(written)}", (400, 422), None, {}),
                ("GET", f"/v1/payments?q={quote(ascii_only)}", (400, 422), None, {}),
                ("GET", f"/v1/payments?cursor={number}", (400, 422), None, {}),
                ("GET", f"/v1/payments?{number}=1", (400, 422), None, {}),
                ("GET", "/v1/payments", (401,), None, {"authorization": f"Bearer {number}"}),
                ("POST", "/v1/payments", (415,), order("x"), {"content-type": f"text/{number}"}),
                # Headers that mean nothing here, and an id that is replaced by one of ours: the request is refused for its method.
                ("DELETE", "/v1/payments", (405,), None, {"x-request-id": number, "user-agent": ascii_only, "x-card": ascii_only}),
            ]
            for method, path, expected, body, headers in calls if place < 20 else [calls[(place + n * 5) % len(calls)] for n in range(2)]:
                await refused(number, method, path, expected, body, **headers)
    for number in numbers[:20]:
        line = f"GET /{number} HTTP/1.1\r\nhost: {number}\r\nx: {number}\r\ncontent-length: {number}x\r\nconnection: close\r\n\r\n"
        assert statuses(await send(stack, line.encode())) == [400]
        assert statuses(await send(stack, f"{number}\r\n\r\n".encode())) in ([400], [])
        sent += 2
    # A request id of the caller's is no reason to refuse a payment: that one is made, under another.
    answer = await stack.pay("with-a-request-id")
    async with stack.client() as client:
        headers = {
            "idempotency-key": "request-id",
            "x-request-id": numbers[0],
            "user-agent": numbers[1],
            "referer": f"https://x/{numbers[2]}",
        }
        answer = await client.post("/v1/payments", json=order("request-id"), headers=headers)
        assert answer.status_code == 201
        assert answer.headers["x-request-id"].startswith("req_")
    return sent + 1


def places(stack: Stack) -> Iterator[Path]:
    """Every file that anything of the stack writes."""
    yield from (stack.out, stack.log)
    for top in (stack.folder, (stack.folder / "postgres" / "cluster").resolve()):
        yield from (path for path in top.rglob("*") if path.is_file() and not path.is_symlink())


async def dump(stack: Stack) -> str:
    tables = await stack.rows(
        "SELECT quote_ident(relname) FROM pg_class WHERE relnamespace = 'payorch'::regnamespace AND relkind IN ('r', 'p')"
    )
    lines = [row[0] for (table,) in tables for row in await stack.rows(f"SELECT t::text FROM payorch.{table} AS t")]
    return _HEXADECIMAL.sub(_readable, _UUID.sub("(id)", "\n".join(lines)))


_UUID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")  # of random digits, some look like anything
_HEXADECIMAL = re.compile(r"\\x([0-9a-f]+)")
_HASH_DIGITS = 64


def _readable(found: re.Match[str]) -> str:
    """Bytes as the text that they are; hashes are left out."""
    return "(hash)" if len(found[1]) == _HASH_DIGITS else bytes.fromhex(found[1]).decode("utf-8", "replace")


async def test_planted_card_numbers_are_nowhere(healthy: Stack) -> None:
    numbers = card_numbers(200)
    sent = await plant(healthy, numbers)
    answer = await healthy.pay("find-me-7391553", metadata={"canary": "marker-5582096"})
    assert answer.status_code == 201
    await healthy.rows("CHECKPOINT")

    dumped = await dump(healthy)
    assert "marker-5582096" in dumped, "the search itself must find what is there"
    assert find_loose(dumped) == []
    forms = {form for number in numbers for form in {spelled(number, way) for way in range(4)}}
    pattern = re.compile(b"|".join(re.escape(form.encode()) for form in forms))
    canaries, searched = 0, 0
    for path in places(healthy):
        content = path.read_bytes()
        searched += len(content)
        canaries += b"marker-5582096" in content
        found = pattern.search(content)
        if found is not None:
            raise AssertionError(f"{path} has {found[0]!r}")
    assert canaries >= 2, "the database's files and its log hold the marker"
    print(f"{len(numbers)} numbers planted in {sent} requests; {searched / 2**20:.0f} MiB and {len(dumped)} characters of dump searched")
