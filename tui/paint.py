"""The only module that makes text for the screen: whatever comes from data becomes harmless here, once.

A webhook's body, a merchant's reference or a PSP's error text may hold markup, escape sequences, or characters that turn the line round.
`Piece` is the only way from a string to the screen, and its constructor calls `safe`: there is no piece of text that has not been through
it. A `Line` is a tuple of pieces; `Words` is the only widget that shows lines; the virtual list takes lines as cells. What a piece means is
said by its tone (glyph + word + colour: colour is never alone).

Not here: what is said (the screens), and where on the screen it stands (the widgets).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal

from rich.cells import cell_len
from textual.app import App
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from payorch.domain.money import EXPONENTS

Tone = Literal["", "good", "bad", "unknown", "warn", "info", "dim", "strong", "key", "accent"]

LONGEST: Final = 2_000
"""Characters of one piece. A screen has fewer cells than that in a row; raw bodies are cut into lines before they come here."""
ELLIPSIS: Final = "…"
MINUS: Final = "\u2212"
GROUP: Final = "\u2009"
"""The thin space between groups of digits (ISO 80000)."""

_ESCAPED: Final = frozenset({"Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
"""Formatting (bidirectional overrides, joiners), private, surrogates, unassigned, and the separators that some terminals break lines at."""

GLYPHS: Final[dict[str, tuple[str, str]]] = {
    "good": ("●", "*"),
    "bad": ("✕", "x"),
    "unknown": ("?", "?"),
    "warn": ("◐", "!"),
    "info": ("◇", "-"),
    "dim": ("·", "."),
    "strong": (" ", " "),
    "": (" ", " "),
    "gap": ("┊", ":"),
    "differs": ("≠", "#"),
    "approval": ("◆", "A"),
    "late": ("⇡", "^"),
    "arrow": ("→", "->"),
    "crumb": ("\u203a", ">"),
    "mark": ("■", "#"),
    "cursor": ("▌", ">"),
    "check": ("✓", "+"),
    "cross": ("✕", "x"),
    "down": ("▼", "v"),
    "up": ("▲", "^"),
    "stale": ("▲", "!"),
    "live": ("●", "*"),
    "retry": ("↻", "o"),
    "rule": ("─", "-"),
    "full": ("█", "#"),
    "ellipsis": ("…", "..."),
    "none": ("—", "-"),
}
"""What a sign looks like, and its ASCII twin for terminals and fonts that have nothing else. None is of ambiguous width."""


class Glyphs:
    """Which of the two sets is in use: set once at the start, by `--ascii`."""

    ascii: bool = False


def glyph(name: str) -> str:
    """A sign of the set in use."""
    return GLYPHS[name][1 if Glyphs.ascii else 0]


def safe(text: object, longest: int = LONGEST) -> str:
    """Text that no terminal obeys: control characters as \\xNN, invisible and directional ones as ⟨XXXX⟩, cut at `longest`."""
    plain = text if isinstance(text, str) else str(text)
    cut = len(plain) > longest
    if cut:
        plain = plain[: max(0, longest - 1)]
    if not plain.isprintable():
        plain = "".join(_harmless(character) for character in plain)
    if Glyphs.ascii:
        plain = _ascii(plain)
    return plain + (glyph("ellipsis") if cut else "")


def _harmless(character: str) -> str:
    code = ord(character)
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    if 0x80 <= code < 0xA0 or unicodedata.category(character) in _ESCAPED:
        return f"⟨{code:04X}⟩"
    return character


_TO_ASCII: Final = str.maketrans(
    {
        GROUP: " ",
        MINUS: "-",
        "\u2026": "...",
        "\u2192": "->",
        "\u203a": ">",
        "\u2014": "-",
        "\u2260": "#",
        "\u27e8": "<",
        "\u27e9": ">",
        "\u00b7": ".",
        "\u2191": "up",
        "\u2193": "down",
        "\u2190": "left",
    }
)


def _ascii(text: str) -> str:
    """The signs that the console itself uses, in ASCII. A name in another script stays what it is: it is data, not decoration."""
    return text if text.isascii() else text.translate(_TO_ASCII)


class Piece:
    """Some words in one tone. Constructing it makes the text safe; there is no other way to the screen."""

    __slots__ = ("cells", "text", "tone")

    def __init__(self, text: object, tone: Tone = "", longest: int = LONGEST) -> None:
        self.text: Final = safe(text, longest)
        self.tone: Final[Tone] = tone
        self.cells: Final = len(self.text) if self.text.isascii() else cell_len(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Piece) and (self.text, self.tone) == (other.text, other.tone)

    def __hash__(self) -> int:
        return hash((self.text, self.tone))

    def __repr__(self) -> str:
        return f"Piece({self.text!r}, {self.tone!r})"


Line = tuple[Piece, ...]
EMPTY: Final[Line] = ()


def line(*parts: object | Piece | tuple[object, Tone]) -> Line:
    """A line of pieces: `line("captured ", ("249.00", "good"))`. A bare string has no tone."""
    made: list[Piece] = []
    for part in parts:
        if isinstance(part, Piece):
            made.append(part)
        elif isinstance(part, tuple) and len(part) == 2:
            made.append(Piece(part[0], part[1]))
        else:
            made.append(Piece(part))
    return tuple(made)


def join(lines: Iterable[Line], between: str = "  ") -> Line:
    """Several lines as one."""
    result: list[Piece] = []
    for one in lines:
        if one and result:
            result.append(Piece(between))
        result.extend(one)
    return tuple(result)


def plain(pieces: Line) -> str:
    """What the line says, without tones."""
    return "".join(piece.text for piece in pieces)


def width(pieces: Line) -> int:
    """Cells that the line takes: a wide character takes two."""
    return sum(piece.cells for piece in pieces)


@lru_cache(maxsize=512)
def blank(cells: int) -> Piece:
    """So much of nothing. A screen of a list has a thousand of them, of few widths."""
    return Piece(" " * cells)


def fit(pieces: Line, cells: int, align: Literal["left", "right"] = "left") -> Line:
    """Exactly that many cells: padded, or cut at its end with an ellipsis."""
    have = width(pieces)
    if have == cells:
        return pieces
    if have < cells:
        pad = blank(cells - have)
        return (pad, *pieces) if align == "right" else (*pieces, pad)
    return _cut(pieces, cells)


def _cut(pieces: Line, cells: int) -> Line:
    sign = glyph("ellipsis")
    room = cells - len(sign)
    if room < 0:
        return (Piece(sign[:cells]),)
    kept: list[Piece] = []
    for piece in pieces:
        if piece.cells <= room:
            kept.append(piece)
            room -= piece.cells
            continue
        text = ""
        for character in piece.text:
            size = cell_len(character)
            if size > room:
                break
            text += character
            room -= size
        kept.append(Piece(text + sign, piece.tone))
        break
    missing = cells - width(tuple(kept))
    return (*kept, blank(missing)) if missing > 0 else tuple(kept)


def middle(text: object, cells: int) -> str:
    """An id, cut in its middle, because its end tells it from its neighbours: pay_01JAYQ…ZD4."""
    plain_text = safe(text)
    sign = glyph("ellipsis")
    if len(plain_text) <= cells or cells <= len(sign) + 2:
        return plain_text[:cells]
    tail = min(5, (cells - len(sign)) // 2)
    return plain_text[: cells - len(sign) - tail] + sign + plain_text[-tail:]


# --- figures ------------------------------------------------------------------------------------------------------------------------


def money(minor: int | None, currency: str | None, *, sign: bool = False, code: bool = True) -> str:
    """An amount for people: 1 404.50 EUR. By the currency's own exponent; a currency we do not know is shown in minor units and says so."""
    if minor is None:
        return glyph("none")
    exponent = EXPONENTS.get(currency or "")
    minus = "-" if Glyphs.ascii else MINUS
    lead = minus if minor < 0 else ("+" if sign else "")
    digits = str(abs(minor))
    if exponent is None:
        return f"{lead}{_grouped(digits)} minor units of {safe(currency, 12)}"
    digits = digits.rjust(exponent + 1, "0")
    whole, part = (digits, "") if exponent == 0 else (digits[:-exponent], "." + digits[-exponent:])
    return f"{lead}{_grouped(whole)}{part}" + (f" {safe(currency, 12)}" if code else "")


def amount(value: Any, *, sign: bool = False) -> str:
    """The contract's `{"amount": n, "currency": "EUR"}`, or nothing."""
    if not isinstance(value, dict) or not isinstance(value.get("amount"), int):
        return glyph("none")
    currency = value.get("currency")
    return money(value["amount"], currency if isinstance(currency, str) else None, sign=sign)


def amounts(values: Any, *, sign: bool = False) -> str:
    """A list of amounts, one for each currency."""
    return ", ".join(amount(value, sign=sign) for value in values) if isinstance(values, list) and values else glyph("none")


def count(number: object) -> str:
    """A whole number with groups: 88 213."""
    return _grouped(str(number)) if isinstance(number, int) else glyph("none")


def percent(value: object, places: int = 1) -> str:
    """99.93%, or a dash where nobody knows."""
    return f"{value:.{places}f}%" if isinstance(value, (int, float)) else glyph("none")


def _grouped(digits: str) -> str:
    gap = " " if Glyphs.ascii else GROUP
    if len(digits) <= 3:
        return digits
    head = len(digits) % 3
    return gap.join(([digits[:head]] if head else []) + [digits[at : at + 3] for at in range(head, len(digits), 3)])


def instant(text: object) -> datetime | None:
    """An RFC 3339 text as a time, or nothing."""
    if not isinstance(text, str):
        return None
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def moment(text: object, *, day: bool = False) -> str:
    """The time of day in UTC, with milliseconds: 14:21:07.918; with `day`, 2026-10-16 14:21:07.918Z."""
    at = instant(text)
    if at is None:
        return glyph("none")
    at = at.astimezone(UTC)
    clock = f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}"
    return f"{at:%Y-%m-%d} {clock}Z" if day else clock


def local(text: object) -> str:
    """The same time where the operator sits, for tooltips."""
    at = instant(text)
    return glyph("none") if at is None else f"{at.astimezone():%Y-%m-%d %H:%M:%S %Z}"


def age(text: object, now: datetime) -> str:
    """How long ago, as short as it can be said: 04s, 07:41, 3h12, 9d. What is to come has a plus."""
    at = instant(text) if not isinstance(text, datetime) else text
    return glyph("none") if at is None else span((now - at).total_seconds())


def span(seconds: float) -> str:
    """A length of time: 04s, 07:41, 3h12, 9d."""
    lead = "+" if seconds <= -1 else ""
    whole = int(abs(seconds))
    if whole < 60:
        return f"{lead}{whole:02d}s"
    if whole < 3600:
        return f"{lead}{whole // 60:02d}:{whole % 60:02d}"
    if whole < 86_400:
        return f"{lead}{whole // 3600}h{whole % 3600 // 60:02d}"
    return f"{lead}{whole // 86_400}d"


# --- states ---------------------------------------------------------------------------------------------------------------------------

_STATE_TONES: Final[dict[str, Tone]] = {
    **dict.fromkeys(("CAPTURED", "SETTLED", "APPROVED", "DONE", "closed", "live", "done", "approved", "matched", "forced_closed"), "good"),
    **dict.fromkeys(("CHARGED", "SUCCEEDED", "delivered", "settled"), "good"),
    **dict.fromkeys(("MANUAL_REVIEW", "REJECTED", "REVERSED", "refused", "dead"), "bad"),
    **dict.fromkeys(("OUTCOME_UNKNOWN", "CAPTURE_UNKNOWN", "REFUND_UNKNOWN", "UNKNOWN", "unknown", "IN_REVIEW"), "unknown"),
    **dict.fromkeys(("FAILED", "DECLINED", "open", "forced_open", "failed", "rejected", "broken", "mismatched", "lost", "critical"), "bad"),
    **dict.fromkeys(("half_open", "draining", "warning", "slow", "stale", "pending", "proposed", "review", "halted", "expired"), "warn"),
}


def state_tone(state: object) -> Tone:
    """How a state of anything is coloured. States are open sets: one we have never heard of is information."""
    return _STATE_TONES.get(str(state), "unknown" if "UNKNOWN" in str(state) else "info")


def state(value: object, tone: Tone | None = None) -> Line:
    """A state as sign + word + colour."""
    if value is None:
        return line((glyph("none"), "dim"))
    meant = tone or state_tone(value)
    return line((f"{glyph(meant)} {value}", meant))


def told(tone: object) -> Tone:
    """A tone that the server sent, or plain information where it is a word we do not know."""
    known: tuple[Tone, ...] = ("good", "bad", "unknown", "warn", "info")
    return next((one for one in known if one == tone), "info")


def bar(share: float | None, cells: int) -> Line:
    """A bar on the fixed scale 0 to 100 %, with its figure beside it."""
    if share is None:
        return line((glyph("none"), "dim"))
    full = round(min(100.0, max(0.0, share)) / 100 * cells)
    return line((glyph("full") * full, "accent"), (" " * (cells - full), ""), f" {percent(share, 0)}")


# --- to the screen --------------------------------------------------------------------------------------------------------------------

STYLES: Final[dict[Tone, str]] = {
    "good": "$tone-good",
    "bad": "bold $tone-bad",
    "unknown": "bold $tone-unknown",
    "warn": "$tone-warn",
    "info": "$tone-info",
    "dim": "$tone-dim",
    "strong": "bold",
    "key": "bold $tone-key",
    "accent": "$tone-accent",
}


def content(*lines: Line) -> Content:
    """Lines as Textual's own text, built piece by piece and never parsed for markup."""
    parts: list[str | Content | tuple[str, str]] = []
    for number, one in enumerate(lines):
        if number:
            parts.append("\n")
        parts.extend((piece.text, STYLES[piece.tone]) if piece.tone else Content(piece.text) for piece in one)
    return Content.assemble(*parts)


class Words(Static):
    """The only widget for text: shows lines, and nothing that is not one."""

    def __init__(self, *lines: Line, id: str | None = None, classes: str | None = None, hides: bool = False) -> None:
        """hides: it takes no row of the screen while it has nothing to say."""
        super().__init__(content(*lines), id=id, classes=classes, markup=False)
        self.lines: tuple[Line, ...] = lines
        self._hides: Final = hides
        if hides:  # where it does not, the style sheet alone says whether it is shown
            self.display = bool(lines)

    def say(self, *lines: Line) -> None:
        """Shows these lines instead. The same again paints nothing; what takes the same room does not arrange the screen anew."""
        if lines != self.lines:
            cells = [width(one) for one in lines]
            same_room = cells == [width(one) for one in self.lines] and max(cells, default=0) <= self.content_size.width
            self.lines = lines
            if self._hides:
                self.display = bool(lines)
            self.update(content(*lines), layout=not same_room)


def title(widget: Widget, pieces: Line, below: Line = EMPTY) -> None:
    """The title in a widget's border, and what its lower edge says."""
    widget.border_title = content(pieces)
    widget.border_subtitle = content(below)


def toast(app: App[Any], pieces: Line, tone: Tone = "info", seconds: float = 6.0) -> None:
    """A short message in the corner, without markup."""
    severity: Literal["error", "warning", "information"] = (
        "error" if tone == "bad" else "warning" if tone in ("warn", "unknown") else "information"
    )
    app.notify(plain(pieces), severity=severity, timeout=seconds, markup=False)


def rule(label: Line, cells: int) -> Line:
    """A thin line across the pane with its name in it."""
    sign = glyph("rule")
    rest = max(0, cells - width(label) - 1)
    return (Piece(sign, "dim"), *label, Piece(sign * rest, "dim"))


def paragraphs(text: object, longest: int = 400, most: int = 200) -> Sequence[Line]:
    """A long text as lines: its own line breaks are kept, everything else is made safe; at most `most` lines."""
    pieces = str(text).splitlines() or [""]
    shown = [line(Piece(one, longest=longest)) for one in pieces[:most]]
    return [*shown, line((f"{len(pieces) - most} more lines", "dim"))] if len(pieces) > most else shown
