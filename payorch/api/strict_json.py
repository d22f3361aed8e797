"""Reads a request body as JSON, or refuses it; and writes the one form of it that requests are compared by.

What Python's `json` lets through and this module refuses: bytes that are not plain UTF-8, a byte order mark, a key
given twice, NaN and Infinity, numbers with a fraction or an exponent (no field of the API takes one, and binary
floats do not hold money), integers of any length, nesting of any depth, half surrogate pairs and NUL (PostgreSQL
stores neither). So what `parse` returns can be stored, hashed and sent on as it is.

It knows nothing of the API's fields: which are required, and what they may hold, is validated after it. Nothing of
a body appears in an error, except the names that make up a JSON pointer.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

JsonValue: TypeAlias = "bool | int | str | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = "dict[str, JsonValue]"

# Longer than any amount (13 digits) and just long enough for the longest card number: one sent as an integer is to
# be refused as what it is, by `card_numbers`, and not as a large number. Checked on the digits, because converting
# them is what takes time.
MAX_INTEGER_DIGITS: Final = 19

# Stored fingerprints outlive a release: another form needs another name.
_FINGERPRINT_FORM: Final = b"payorch request fingerprint 1"

# A whole string (also one that is never closed), or a bracket outside strings. Possessive, so that no input makes
# it look twice.
_STRING_OR_BRACKET: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_UNSTORABLE: Final = re.compile("[\\x00\ud800-\udfff]")


class JsonRefused(Exception):
    """The body is not JSON as this API takes it: the caller's fault, a 400.

    `pointer` is the RFC 6901 pointer of the offending place ("" is the whole body); `detail` says what is wrong and
    how to write it.
    """

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(f"{pointer or 'body'}: {detail}")
        self.pointer = pointer
        self.detail = detail


class BodyTooLarge(JsonRefused):
    """The body has more bytes than allowed: a 413, not a 400."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flaw:
    """Stands in the parsed tree where something is to be refused: the scanner's hooks do not know where they are, the
    walk does.
    """

    detail: str
    key: str | None = None


def parse(body: bytes, *, max_depth: int, max_bytes: int) -> JsonObject:
    """The JSON object in `body`: strings, integers, booleans, null, lists and objects only, all of it storable.

    `max_depth` counts objects and lists inside each other, the outermost included. It is checked before anything
    recurses, and must itself be far below Python's recursion limit. Raises `BodyTooLarge` or `JsonRefused`, which
    name one flaw, not all of them.
    """
    if len(body) > max_bytes:
        raise BodyTooLarge("", f"The body has {len(body)} bytes; the limit is {max_bytes}.")
    text = _decoded(body)
    _refuse_depth(text, max_depth)
    try:
        value: JsonValue | _Flaw = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        # `from None`: the error carries the body, and a traceback must not.
        raise JsonRefused("", f"Not JSON: {error.msg} (line {error.lineno}, column {error.colno}).") from None
    _refuse_flaws(value, "")
    if not isinstance(value, dict):
        raise JsonRefused("", 'The body must be a JSON object: {"name": value, ...}.')
    return value


def canonical(value: JsonValue) -> bytes:
    """The one spelling of `value`: ASCII, keys in code point order, no white space. Equal values, and only those, give
    equal bytes.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def fingerprint(method: str, path: str, value: JsonValue) -> bytes:
    """32 bytes that are equal for equal requests: SHA-256 over method, path and canonical body, each with its length
    in front.

    Order of keys, white space and escapes in the body make no difference; method and path count as they are given.
    The lengths keep a border from moving: ("POST", "/a") and ("POS", "T/a") differ.
    """
    digest = hashlib.sha256(_FINGERPRINT_FORM)
    for part in (method.encode("utf-8", "surrogatepass"), path.encode("utf-8", "surrogatepass"), canonical(value)):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def pointer_to(parent: str, key: str | int) -> str:
    """The RFC 6901 pointer of the member `key` (a name, or an index in a list) of what `parent` points to."""
    if isinstance(key, int):
        return f"{parent}/{key}"
    return f"{parent}/{key.replace('~', '~0').replace('/', '~1')}"


def _decoded(body: bytes) -> str:
    # json.loads(bytes) would guess UTF-16 and UTF-32 and skip a byte order mark; bytes.decode is strict about
    # everything but the mark.
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonRefused("", f"The body is not UTF-8 (byte {error.start}).") from None
    if text.startswith("\ufeff"):
        raise JsonRefused("", "The body starts with a byte order mark; send UTF-8 without one.")
    if not text or text.isspace():
        raise JsonRefused("", "The body is empty; send a JSON object.")
    return text


def _refuse_depth(text: str, max_depth: int) -> None:
    if text.count("{") + text.count("[") <= max_depth:
        return  # nearly every body: too few brackets to be too deep, wherever they stand
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        token = match[0]
        if token in "{[":
            depth += 1
            if depth > max_depth:
                raise JsonRefused("", f"Objects and lists are nested more than {max_depth} deep.")
        elif token in "}]":
            depth -= 1


def _refuse_flaws(value: JsonValue | _Flaw, pointer: str) -> None:
    if isinstance(value, str):
        # isascii is one flag; a NUL is ASCII, so it needs its own look.
        if "\x00" in value or not value.isascii():
            _refuse_unstorable(value, pointer)
    elif isinstance(value, dict):
        for key, member in value.items():
            _refuse_unstorable(key, pointer)
            if type(member) is not int and member is not None and type(member) is not bool:
                _refuse_flaws(member, pointer_to(pointer, key))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            _refuse_flaws(member, pointer_to(pointer, index))
    elif isinstance(value, _Flaw):
        _raise_flaw(value, pointer)


def _refuse_unstorable(text: str, pointer: str) -> None:
    if _UNSTORABLE.search(text) is not None:
        # For a key, `pointer` is that of its object: the key itself could not be written into an answer.
        raise JsonRefused(pointer, "Text (a name or a value) holds \\u0000 or half of a surrogate pair; neither can be stored.")


def _raise_flaw(flaw: _Flaw, pointer: str) -> NoReturn:
    if flaw.key is None:
        raise JsonRefused(pointer, flaw.detail)
    _refuse_unstorable(flaw.key, pointer)
    raise JsonRefused(pointer_to(pointer, flaw.key), flaw.detail)


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue] | _Flaw:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return _Flaw(detail="The same name is given twice in one object; which one is meant cannot be told.", key=key)
        seen.add(key)
    raise AssertionError("a shorter dict has a key twice")


def _integer(digits: str) -> int | _Flaw:
    if len(digits) <= MAX_INTEGER_DIGITS or len(digits.removeprefix("-")) <= MAX_INTEGER_DIGITS:
        return int(digits)
    return _Flaw(detail=f"An integer has more than {MAX_INTEGER_DIGITS} digits.")


def _fraction(_: str) -> _Flaw:
    return _Flaw(detail="A number has a fraction or an exponent; amounts are integers in minor units (19.99 EUR is 1999).")


def _constant(_: str) -> _Flaw:
    return _Flaw(detail="NaN and Infinity are not JSON.")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_fraction, parse_constant=_constant, strict=True
)
