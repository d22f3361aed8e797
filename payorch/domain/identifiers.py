"""Identifiers: what they look like to people and programs outside, and what they are inside.

Outside, an identifier is `<prefix>_<26 characters>`: the prefix says what it names, the characters are a UUIDv7 in lower-case Crockford
base32 (no i, l, o, u). Inside the database it is that UUID. A UUIDv7 begins with its time of birth in milliseconds, so identifiers sort by
age, and the month in which a payment was created can be read off its identifier.

Not here: making new ones (`payorch.ports.Entropy.identifier`).
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

PREFIXES: Final = frozenset(
    {"pay", "att", "cap", "ref", "void", "evt", "act", "whe", "dlq", "dsp", "bat", "mer", "opr", "con", "ntc", "rtg", "fnd", "rcd", "pln"}
)
"""payment, attempt, capture, refund, void, event for merchants, operator act, webhook endpoint, dead letter, dispute, settlement batch,
merchant, operator, connector, notice of a PSP, routing's rules, finding of reconciliation, reconciled day, plan of an act."""

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH: Final = 26
# Ten bits at a time: thirteen look-ups instead of twenty-six, and a table that stays in the processor's cache.
_PAIRS: Final = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
# Crockford's digits as Python's own digits of base 32, and everything else as something `int` refuses: without this it would take
# underscores, signs and blanks for digits.
_PYTHON_DIGITS: Final = b"0123456789abcdefghijklmnopqrstuv"
_TO_PYTHON: Final = bytes(_PYTHON_DIGITS[_ALPHABET.index(chr(code))] if chr(code) in _ALPHABET else ord("!") for code in range(256))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Where a UUIDv7 keeps its version and variant, and what stands there.
_MARKS: Final = 0xF << 76 | 0x3 << 62
_MARKS_OF_V7: Final = 0x7 << 76 | 0x2 << 62


class MalformedIdentifier(ValueError):
    """Not an identifier of ours. What it was is not repeated: it came from outside."""


def text(prefix: str, uuid: UUID) -> str:
    """The identifier of that kind. `uuid` must be a UUIDv7 (not checked: `parse` refuses all others)."""
    n = uuid.int
    p = _PAIRS
    return (
        f"{prefix}_{p[n >> 120]}{p[n >> 110 & 1023]}{p[n >> 100 & 1023]}{p[n >> 90 & 1023]}{p[n >> 80 & 1023]}{p[n >> 70 & 1023]}"
        f"{p[n >> 60 & 1023]}{p[n >> 50 & 1023]}{p[n >> 40 & 1023]}{p[n >> 30 & 1023]}{p[n >> 20 & 1023]}{p[n >> 10 & 1023]}{p[n & 1023]}"
    )


def parse(text: str) -> tuple[str, UUID]:
    """The prefix and the UUID. Exactly one text stands for each; raises MalformedIdentifier for any other."""
    prefix, _, digits = text.partition("_")
    return prefix, UUID(int=_number(prefix, digits))


def uuid_of(text: str) -> UUID:
    """The UUID inside. Raises MalformedIdentifier."""
    prefix, _, digits = text.partition("_")
    return UUID(int=_number(prefix, digits))


def bytes_of(text: str) -> bytes:
    """The sixteen bytes of the UUID inside, without the cost of a UUID object. Raises MalformedIdentifier."""
    prefix, _, digits = text.partition("_")
    return _number(prefix, digits).to_bytes(16, "big")


def of_name(prefix: str, name: str) -> str:
    """The identifier of something that is known by a name and never made: the same for ever, and older than all others."""
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:10], "big")
    return text(prefix, UUID(int=digest & ~_MARKS | _MARKS_OF_V7))


def child_of(parent: UUID, name: str) -> UUID:
    """The UUIDv7 of something that belongs to `parent` and is told from its like by `name`: as old as it, and always the same."""
    digest = int.from_bytes(hashlib.sha256(parent.bytes + name.encode()).digest()[:10], "big")
    return UUID(int=(parent.int >> 80 << 80 | digest) & ~_MARKS | _MARKS_OF_V7)


def created_at(uuid: UUID) -> datetime:
    """When a UUIDv7 was made: aware, UTC, whole milliseconds."""
    return _EPOCH + timedelta(milliseconds=uuid.int >> 80)


def earliest(at: datetime) -> UUID:
    """The lower bound of all UUIDv7 made at `at` or later. A bound for comparisons, not an identifier."""
    return UUID(int=((at - _EPOCH) // timedelta(milliseconds=1)) << 80)


def _number(prefix: str, digits: str) -> int:
    if prefix not in PREFIXES or len(digits) != _LENGTH:
        raise MalformedIdentifier("not an identifier")
    try:
        number = int(digits.encode("ascii").translate(_TO_PYTHON), 32)
    except ValueError:
        raise MalformedIdentifier("not an identifier") from None
    if number >> 128 or number & _MARKS != _MARKS_OF_V7:
        raise MalformedIdentifier("not an identifier")
    return number
