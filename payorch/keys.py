"""API keys and operator tokens: how one is made, read, stored as a digest and compared; and `Secret`, which does not
show itself.

A key reads `<kind>_<mode>_<public id>_<secret><checksum>`, for example `mk_test_` + 16 characters + `_` + 43 + 6:

- kind and mode: what it opens, and whether real money moves, visible to a human and to a secret scanner;
- public id: 80 random bits (Crockford base32). With kind and mode it is the *lookup id*: what a database row is found by, and what logs and
the console may show;
- secret: 256 random bits (base62: no separators, so a double click selects it). At that size a fast keyed hash is enough; a slow one would
only cost capacity;
- checksum: CRC-32 of all before it, so that a mistyped or cut key is told apart from a revoked one without asking the database. It protects
against slips and nothing else.

Only the HMAC of a key is stored. Whether it is revoked, expired or allowed to do something is not known here. There
is no encryption here either: the standard library has none.
"""

from __future__ import annotations

import hmac
import re
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NoReturn, Self, final

SHORTEST_PEPPER_BYTES: Final = 32
_PUBLIC_ID_BYTES: Final = 10
_SECRET_BYTES: Final = 32
ENTROPY_BYTES: Final = _PUBLIC_ID_BYTES + _SECRET_BYTES  # what `mint` takes

_BASE32: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PUBLIC_ID_LENGTH: Final = 16  # 80 bits of 5
_SECRET_LENGTH: Final = 43  # 62^43 > 2^256
_CHECKSUM_LENGTH: Final = 6  # 62^6 > 2^32

_KEY: Final = re.compile(
    rf"(?P<lookup_id>(?P<kind>[a-z]+)_(?P<mode>test|live)_[{_BASE32}]{{{_PUBLIC_ID_LENGTH}}})"
    rf"_[0-9A-Za-z]{{{_SECRET_LENGTH}}}(?P<checksum>[0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})"
)


class KeyKind(StrEnum):
    """What a key opens; the value is its prefix."""

    MERCHANT = "mk"
    OPERATOR = "op"


class KeyMode(StrEnum):
    """Whether real money moves. A test key opens nothing that is live, and the reverse."""

    TEST = "test"
    LIVE = "live"


class KeyMalformed(Exception):
    """Not a key of ours, or one with a slip in it: the caller's fault. Says why, and never repeats the text."""


@final
class Secret:
    """A text that does not show itself: not in a log line, a traceback, a format string, a pickle or a debugger's
    repr.

    `reveal` is the only way to it, so that every place that does can be found by searching for that word. Equality
    takes the same time wherever two of equal length differ.
    """

    __slots__ = ("_text",)
    _text: str

    def __init__(self, text: str) -> None:
        object.__setattr__(self, "_text", text)

    def reveal(self) -> str:
        """The text itself: for sending or hashing it, never for showing it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(removed)"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(_bytes(self._text), _bytes(other._text))

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a Secret is not pickled")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Secret has no state to hand out")

    def __setattr__(self, _name: str, _value: object) -> NoReturn:
        raise AttributeError("a Secret does not change")

    def __delattr__(self, _name: str) -> NoReturn:
        raise AttributeError("a Secret does not change")


@dataclass(frozen=True, slots=True, kw_only=True)
class MintedKey:
    """A new key. `text` is shown to its owner once and then forgotten; `lookup_id` and `digest(text, ...)` are what is
    kept.
    """

    kind: KeyKind
    mode: KeyMode
    lookup_id: str
    text: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedKey:
    """A key as it was presented: well-formed and without slips, which says nothing about whether it exists."""

    kind: KeyKind
    mode: KeyMode
    lookup_id: str
    text: Secret


def mint(kind: KeyKind, mode: KeyMode, entropy: bytes) -> MintedKey:
    """A key made of `entropy`: exactly `ENTROPY_BYTES` unpredictable bytes, used for nothing else. Equal bytes make
    equal keys.
    """
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"a key takes {ENTROPY_BYTES} bytes of entropy, not {len(entropy)}")
    public_id = _spelled(int.from_bytes(entropy[:_PUBLIC_ID_BYTES], "big"), _BASE32, _PUBLIC_ID_LENGTH)
    secret = _spelled(int.from_bytes(entropy[_PUBLIC_ID_BYTES:], "big"), _BASE62, _SECRET_LENGTH)
    lookup_id = f"{kind}_{mode}_{public_id}"
    unchecked = f"{lookup_id}_{secret}"
    return MintedKey(kind=kind, mode=mode, lookup_id=lookup_id, text=Secret(unchecked + _checksum(unchecked)))


def parse(text: str) -> ParsedKey:
    """The parts of a presented key. Raises `KeyMalformed` for anything that `mint` cannot have made; takes any text,
    however long.
    """
    match = _KEY.fullmatch(text)
    if match is None:
        raise KeyMalformed("This is not a key of this platform, or a part of it is missing.")
    if match["kind"] not in set(KeyKind):
        raise KeyMalformed("This is not a kind of key that this platform has.")
    if _checksum(text[:-_CHECKSUM_LENGTH]) != match["checksum"]:
        raise KeyMalformed("A character of the key is wrong: its checksum does not fit. Copy it again.")
    return ParsedKey(kind=KeyKind(match["kind"]), mode=KeyMode(match["mode"]), lookup_id=match["lookup_id"], text=Secret(text))


def digest(text: Secret, pepper: bytes) -> bytes:
    """What is stored of a key: 32 bytes, HMAC-SHA-256 of its whole text under the server's pepper (32 bytes or more).

    Without the pepper, which is not in the database, a copy of the database does not even allow to test a guess.
    """
    if len(pepper) < SHORTEST_PEPPER_BYTES:
        raise ValueError(f"a pepper has at least {SHORTEST_PEPPER_BYTES} bytes")
    return hmac.digest(pepper, _bytes(text.reveal()), "sha256")


def matches(key: ParsedKey, stored: bytes, pepper: bytes) -> bool:
    """Whether `stored` is the digest of `key`, in a time that does not depend on where they differ."""
    return hmac.compare_digest(digest(key.text, pepper), stored)


def derived_key(master: Secret, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose out of `PAYORCH_SECRET_KEY`, so that no two purposes share one (HKDF, RFC
    5869, one block).

    The master must itself be unpredictable, at least 32 bytes of text; another purpose gives an unrelated key.
    """
    material = _bytes(master.reveal())
    if len(material) < SHORTEST_PEPPER_BYTES:
        raise ValueError(f"the master key has at least {SHORTEST_PEPPER_BYTES} bytes")
    extracted = hmac.digest(b"payorch", material, "sha256")
    return hmac.digest(extracted, _bytes(purpose) + b"\x01", "sha256")


def _spelled(number: int, alphabet: str, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(alphabet))
        digits.append(alphabet[digit])
    return "".join(reversed(digits))


def _checksum(text: str) -> str:
    return _spelled(zlib.crc32(text.encode("ascii")), _BASE62, _CHECKSUM_LENGTH)


def _bytes(text: str) -> bytes:
    # Text from outside can hold half surrogate pairs, and compare_digest refuses str that is not ASCII: neither may
    # raise here.
    return text.encode("utf-8", "surrogatepass")
