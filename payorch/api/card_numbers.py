"""Finds card numbers and security codes, so that they are refused at the edge and never stored, logged or shown.

The platform works with tokens only. What reaches it by accident, as a reference, a note or a field of the wrong
kind, looks like this: an issuer range, a length of that scheme, the Luhn check digit, with or without separators.
Three uses, two forms:

- `find` and `looks_like_card_number`, the bounded form, for the live refusal: the number must not touch a letter or
  digit on either side.
- `find_loose`, for tests over dumps: it may touch letters. More false alarms, fewer misses.
- `redact`, the loose form, as a second line for logs. The first line is that bodies are not logged.

Not found by either form: a number split over two fields or list members, spelled in words, or encoded (base64,
percent signs). It is a net for accidents, not a proof; and about one in twenty-five random 16-digit numbers looks like a
card number, which is why references made of digits should start with a letter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from payorch.api.strict_json import JsonValue, pointer_to

REMOVED: Final = "[card number removed]"

REFUSED_NUMBER: Final = (
    "This looks like a card number (issuer range, length and check digit), which this platform does not take. "
    "Nothing was stored and no money moved. Send a token of your PSP instead; if it is a reference of your own, write "
    "it with a letter in front, such as R4000123412341234."
)
REFUSED_NAME: Final = (
    "A field of this name holds card data (number, security code, PIN or track), which this platform does not take, "
    "whatever its value. Nothing was stored and no money moved. Send a token of your PSP instead; if the field means "
    "something else, give it another name."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerRange:
    """Card numbers of `scheme`: those whose first digits lie from `first` to `last` (equally long), in one of
    `lengths` (digits).
    """

    scheme: str
    first: str
    last: str
    lengths: frozenset[int]


def _issuer(scheme: str, first: str, last: str, *lengths: int) -> IssuerRange:
    return IssuerRange(scheme=scheme, first=first, last=last, lengths=frozenset(lengths))


# After ISO/IEC 7812-1 (structure, 19 digits at most, check digit) and two public lists, the wider one where they
# differ: Wikipedia, "Payment card number", table of issuer identification numbers;
# github.com/braintree/credit-card-type, src/lib/card-types.ts (0bac61c). Ranges may overlap: what counts is whether
# one matches. Schemes inside a wider row (RuPay, Elo, Verve, Hipercard, Dankort 5019, Troy 65, Carte Bancaire, ...)
# need none of their own.
ISSUER_RANGES: Final = (
    _issuer("visa", "4", "4", 13, 16, 18, 19),
    _issuer("mastercard", "51", "55", 16),
    _issuer("mastercard", "2221", "2720", 16),
    _issuer("american express", "34", "34", 15),
    _issuer("american express", "37", "37", 15),
    _issuer("discover", "6011", "6011", 16, 17, 18, 19),
    _issuer("discover", "622126", "622925", 16, 17, 18, 19),
    _issuer("discover", "644", "659", 16, 17, 18, 19),
    _issuer("diners club", "300", "305", 14, 15, 16, 17, 18, 19),
    _issuer("diners club", "3095", "3095", 14, 15, 16, 17, 18, 19),
    _issuer("diners club", "36", "36", 14, 15, 16, 17, 18, 19),
    _issuer("diners club", "38", "39", 14, 15, 16, 17, 18, 19),
    _issuer("jcb", "3528", "3589", 16, 17, 18, 19),
    _issuer("jcb", "1800", "1800", 15),
    _issuer("jcb", "2131", "2131", 15),
    _issuer("unionpay", "62", "62", 14, 15, 16, 17, 18, 19),
    _issuer("unionpay", "81", "81", 16, 17, 18, 19),
    _issuer("maestro", "50", "50", 12, 13, 14, 15, 16, 17, 18, 19),
    _issuer("maestro", "56", "69", 12, 13, 14, 15, 16, 17, 18, 19),
    _issuer("mir", "2200", "2204", 16, 17, 18, 19),
    _issuer("borica", "2205", "2205", 16),
    _issuer("rupay", "353", "353", 16),
    _issuer("rupay", "356", "356", 16),
    _issuer("rupay", "81", "82", 16),
    _issuer("rupay", "508", "508", 16),
    _issuer("troy", "9792", "9792", 16),
    _issuer("napas", "9704", "9704", 16, 19),
    _issuer("humo", "9860", "9860", 16),
    _issuer("uzcard", "8600", "8600", 16),
    _issuer("belkart", "9112", "9112", 16),
    _issuer("uatp", "1", "1", 15),
)
SHORTEST: Final = min(min(issuer.lengths) for issuer in ISSUER_RANGES)
LONGEST: Final = max(max(issuer.lengths) for issuer in ISSUER_RANGES)
_PREFIXES: Final = {
    length: tuple((issuer.first, issuer.last) for issuer in ISSUER_RANGES if length in issuer.lengths)
    for length in range(SHORTEST, LONGEST + 1)
}

# Names of fields that hold sensitive authentication data or the number itself (PCI DSS 3.3.1; the schemes' words
# for their code), squeezed: lower case, nothing but letters and digits. `tracking_number` and `pincode` (an Indian
# postal code) are other things.
_CARD_DATA_NAMES: Final = frozenset(
    {
        "cvv", "cvv2", "cvc", "cvc2", "cid", "csc", "cvn", "cvn2", "cvd", "cvd2", "cve", "cvp2", "cav", "cav2",
        "icvv", "dcvv", "securitycode", "cardsecuritycode", "cardcode", "carddata", "cardverificationcode",
        "cardverificationvalue", "cardverificationnumber", "cardvalidationcode", "cardidentificationnumber",
        "cardnumber", "cardno", "cardnum", "ccnumber", "ccno", "ccnum", "creditcard", "creditcardnumber",
        "creditcardno", "debitcardnumber", "debitcardno", "paymentcardnumber", "bankcardnumber", "pan",
        "primaryaccountnumber", "fullpan", "track", "track1", "track2", "track3", "trackdata", "track1data",
        "track2data", "track3data", "tracktwodata", "track2equivalentdata", "magstripe", "magstripedata",
        "magneticstripe", "magneticstripedata", "pin", "pinblock", "pindata", "encryptedpin", "cardpin",
    }
)  # fmt: skip
# card_cvc, paymentMethodCvv2: no other word ends so.
_CARD_DATA_ENDINGS: Final = ("cvv", "cvv2", "cvc", "cvc2")

# An integer called `amount` within the API's bound is an amount, also where it could be a 12-digit Maestro number.
_LARGEST_AMOUNT: Final = 10**12

_DIGIT: Final = re.compile(r"\d")
_GROUP: Final = re.compile(r"[0-9]+")
# Twelve digits or more with up to five separators between any two; what stands between separators is looked at
# group by group.
_RUN: Final = re.compile(r"[0-9](?:[\s.\-]{0,5}[0-9]){11,}")

# The Unix time and a number, 1795410685-23768: the commonest way to make a key by hand, and to the check digit one in ten of them would be
# a UATP account. Nobody groups one like this.
_TIME_AND_NUMBER: Final = re.compile(r"1[0-9]{9}[^0-9][0-9]{5}")

_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)  # twice the digit, its own digits added
_DOTS: Final = "\u00b7\u2022\u2219\u22c5\u30fb\u3002"


def find(value: JsonValue) -> list[str]:
    """RFC 6901 pointers of everything in a parsed body that is to be refused with 422 `card_data_refused`; [] when it
    is clean.

    Looks at strings, names and integers at every depth, and at fields named like card data whatever they hold. A
    name that looks like a card number does not appear in its pointer. Reads no deeper than `strict_json.parse` lets
    through.
    """
    found: list[str] = []
    _search(value, "", found)
    return found


def looks_like_card_number(text: str) -> bool:
    """Whether a card number stands in `text` with neither letter nor digit touching it: the bounded form, for refusing
    live input.

    "+" and 12 or 13 digits is a telephone number (E.164) and passes.
    """
    if len(text) < SHORTEST:
        return False
    folded = text if text.isascii() else _folded(text)
    if _RUN.search(folded) is None:
        return False
    return any(_TIME_AND_NUMBER.fullmatch(folded[start:end]) is None for start, end in _spans(folded, bounded=True))


def find_loose(text: str) -> list[str]:
    """Every card number in `text`, as digits, in order of its start; letters may touch it. For tests over dumps, not
    for refusing.
    """
    folded = text if text.isascii() else _folded(text)
    return ["".join(_GROUP.findall(folded[start:end])) for start, end in _spans(folded, bounded=False)]


def redact(text: str) -> str:
    """`text` with every card number (loose form) replaced by "[card number removed]".

    Where one is written so that its place cannot be told (full-width digits, unusual separators), the whole text is
    replaced.
    """
    if len(text) < SHORTEST:
        return text
    parts: list[str] = []
    done = 0
    for start, end in _spans(text, bounded=False):
        if end <= done:
            continue
        if start > done:
            parts.append(text[done:start])
        if start >= done:
            parts.append(REMOVED)
        done = end  # one that overlaps the last is swallowed with it
    cleaned = "".join([*parts, text[done:]]) if parts else text
    return REMOVED if not cleaned.isascii() and find_loose(cleaned) else cleaned


def names_card_data(name: str) -> bool:
    """Whether a field of this name holds a card number, security code, PIN or track; case, "_" and "-" make no
    difference.
    """
    squeezed = name.replace("_", "").replace("-", "").lower()
    if not (squeezed.isalnum() and squeezed.isascii()):
        squeezed = "".join(filter(str.isalnum, unicodedata.normalize("NFKC", name).casefold()))
    return squeezed in _CARD_DATA_NAMES or squeezed.endswith(_CARD_DATA_ENDINGS)


def passes_luhn(digits: str) -> bool:
    """Whether the last of these ASCII digits is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    plain = sum(map(int, digits[-1::-2]))
    doubled = sum(_DOUBLED[int(digit)] for digit in digits[-2::-2])
    return (plain + doubled) % 10 == 0


def _search(value: JsonValue, pointer: str, found: list[str]) -> None:
    if isinstance(value, str):
        if looks_like_card_number(value):
            found.append(pointer)
    elif isinstance(value, dict):
        for name, member in value.items():
            _search_member(name, member, pointer, found)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            _search(member, pointer_to(pointer, index), found)
    elif type(value) is int and looks_like_card_number(str(abs(value))):
        found.append(pointer)


def _search_member(name: str, member: JsonValue, parent: str, found: list[str]) -> None:
    if looks_like_card_number(name):
        found.append(pointer_to(parent, REMOVED))
    elif names_card_data(name):
        found.append(pointer_to(parent, redact(name)))
    elif not (member is None or type(member) is bool or _is_amount(name, member)):
        _search(member, pointer_to(parent, redact(name)), found)


def _is_amount(name: str, member: JsonValue) -> bool:
    return name == "amount" and type(member) is int and abs(member) <= _LARGEST_AMOUNT


def _spans(folded: str, *, bounded: bool) -> Iterator[tuple[int, int]]:
    """Start and end of each card number made of whole groups of digits; from one start only the longest."""
    for match in _RUN.finditer(folded):
        run = _Run.of(folded, match.start(), match.end())
        for first, (start, _) in enumerate(run.groups):
            if bounded and start > 0 and folded[start - 1].isalnum():
                continue
            ends = [
                end
                for last, end in run.card_numbers_from(first)
                if not (bounded and _touches_or_is_telephone(folded, start, end, run.count(first, last)))
            ]
            if ends:
                yield start, ends[-1]


def _touches_or_is_telephone(folded: str, start: int, end: int, digits: int) -> bool:
    if end < len(folded) and folded[end].isalnum():
        return True
    return digits <= 13 and start > 0 and folded[start - 1] == "+"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Groups of digits that stand close together, prepared so that a check digit costs two look-ups.

    Without that, a body of single digits with spaces between them would keep the processor busy for seconds.
    """

    groups: list[tuple[int, int]]  # start and end in the text
    digits: str
    before: list[int]  # how many digits stand before each group, and all of them at the end
    sums: tuple[list[int], list[int]]  # Luhn sums up to each digit, if digits at even, or at odd, places count plain

    @classmethod
    def of(cls, folded: str, start: int, end: int) -> _Run:
        groups = [group.span() for group in _GROUP.finditer(folded, start, end)]
        digits = "".join([folded[left:right] for left, right in groups])
        plain = [int(digit) for digit in digits]
        doubled = [_DOUBLED[digit] for digit in plain]
        even = [*plain]
        even[1::2] = doubled[1::2]
        odd = [*plain]
        odd[0::2] = doubled[0::2]
        return cls(
            groups=groups,
            digits=digits,
            before=list(accumulate((right - left for left, right in groups), initial=0)),
            sums=(list(accumulate(even, initial=0)), list(accumulate(odd, initial=0))),
        )

    def count(self, first: int, last: int) -> int:
        """How many digits the groups `first` to `last` have."""
        return self.before[last + 1] - self.before[first]

    def card_numbers_from(self, first: int) -> Iterator[tuple[int, int]]:
        """The last group, and the end in the text, of each card number that starts with group `first`; shortest first."""
        left = self.before[first]
        for last in range(first, len(self.groups)):
            right = self.before[last + 1]
            if right - left > LONGEST:
                return
            if right - left < SHORTEST:
                continue
            sums = self.sums[(right - 1) % 2]  # the last digit counts plain
            if (sums[right] - sums[left]) % 10 == 0 and _in_issuer_range(self.digits[left:right]):
                yield last, self.groups[last][1]


def _in_issuer_range(digits: str) -> bool:
    return any(first <= digits[: len(first)] <= last for first, last in _PREFIXES[len(digits)])


def _folded(text: str) -> str:
    """`text` with every kind of digit, space, dash and dot as its ASCII one, so that one pattern fits all writings."""
    normal = unicodedata.normalize("NFKC", text)
    if len(_DIGIT.findall(normal)) < SHORTEST:
        return ""  # most text that is not ASCII: no need to look at it character by character
    return normal if normal.isascii() else "".join(map(_folded_character, normal))


def _folded_character(character: str) -> str:
    if character.isascii():
        return character
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    category = unicodedata.category(character)
    if category == "Pd" or character == "\u2212":
        return "-"
    if category[0] == "Z" or category in ("Cf", "Cc", "Mn", "Me"):
        return " "  # spaces, and what takes no room between digits: zero-width characters, joiners, keycap marks
    return "." if character in _DOTS else character
