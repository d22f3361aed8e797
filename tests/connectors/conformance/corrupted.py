"""JSON with one thing wrong in it, or with things in it that nobody should keep: what tests make of what a PSP really said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any, Final

SO_MANY_AT_A_PLACE: Final = 3
WRONG: Final = (None, True, -1, 2**80, "x", "ä" * 300, [None], {"x": 1})
"""What may stand where something else should: of each type, and too much of it."""

HOSTILE: Final = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b'"x"',
    b"\xff\xfe\x00",
    b"{" * 50_000,
    b"[" * 50_000,
    b'{"a":' * 20_000,
    b'{"id":"\\ud800"}',
    b'{"amount":1e999}',
    b'{"amount":%s}' % (b"9" * 5_000),
    b'{"id":"a","id":"b"}',
    b"<html>502 Bad Gateway</html>",
    b"\x00" * 10_000,
)
"""Bodies that have broken programs."""

SECRETS: Final = (
    "Jane Q. Shopper",
    "jane@shopper.example",
    "4242 4242 4242 4242",
    "4242424242424242",
    "s3cr3t-0f-somebody",
    "Elm Street 7",
)
_UNASKED: Final = {
    "name": SECRETS[0],
    "holderName": SECRETS[0],
    "full_name": SECRETS[0],
    "email": SECRETS[1],
    "shopperEmail": SECRETS[1],
    "email_address": SECRETS[1],
    "number": SECRETS[3],
    "cardNumber": SECRETS[2],
    "client_secret": SECRETS[4],
    "access_token": SECRETS[4],
    "address": {"line1": SECRETS[5], "postal_code": "10115", "email": SECRETS[1]},
    "billing_details": {"name": SECRETS[0], "email": SECRETS[1]},
    "payer": {"name": {"given_name": SECRETS[0]}, "email_address": SECRETS[1], "address": {"address_line_1": SECRETS[5]}},
    "list": [SECRETS[3], {"name": SECRETS[0]}],
}
_TOLD_BY_FORM: Final = f"of {SECRETS[1]} with {SECRETS[2]} or {SECRETS[3]}"


def with_one_wrong(body: bytes) -> Iterator[bytes]:
    """The same object with one of its values, at any depth, left out, or replaced by some of WRONG: others at each place, in turn."""
    whole = json.loads(body)
    turn = cycle(WRONG)
    for path in list(_paths(whole)):
        for value in islice(turn, SO_MANY_AT_A_PLACE):
            yield json.dumps(_changed(whole, path, value)).encode()
        yield json.dumps(_without(whole, path)).encode()


def with_unasked(body: bytes) -> bytes:
    """With names, addresses, card numbers and secrets as further fields of every object in it."""
    return json.dumps(_more(json.loads(body))).encode()


def with_secrets_for_words(body: bytes) -> bytes:
    """With those of them that can be told by their form in the place of every text in it."""
    return json.dumps(_told(json.loads(body))).encode()


def _paths(it: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    inner = it.items() if isinstance(it, dict) else enumerate(it) if isinstance(it, list) else ()
    for key, value in inner:
        yield (*path, key)
        yield from _paths(value, (*path, key))


def _changed(it: Any, path: tuple[str | int, ...], value: Any) -> Any:
    if not path:
        return value
    copy: Any = dict(it) if isinstance(it, dict) else list(it)
    copy[path[0]] = _changed(copy[path[0]], path[1:], value)
    return copy


def _without(it: Any, path: tuple[str | int, ...]) -> Any:
    copy: Any = dict(it) if isinstance(it, dict) else list(it)
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = _without(copy[path[0]], path[1:])
    return copy


def _more(it: Any) -> Any:
    if isinstance(it, dict):
        return {**{key: _more(value) for key, value in it.items()}, **{key: value for key, value in _UNASKED.items() if key not in it}}
    return [_more(value) for value in it] if isinstance(it, list) else it


def _told(it: Any) -> Any:
    if isinstance(it, dict):
        return {key: _told(value) for key, value in it.items()}
    if isinstance(it, list):
        return [_told(value) for value in it]
    return _TOLD_BY_FORM if isinstance(it, str) else it
