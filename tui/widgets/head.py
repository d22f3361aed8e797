"""The head row, which never scrolls away: environment, where one is, who, mode, how fresh the data is, and what waits.

And the banner below it, which appears where data is stale, the server cannot be reached, or a recording is shown.

Not here: the judgement (`tui.freshness`), and the words of a screen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from textual.app import ComposeResult
from textual.containers import Horizontal

from tui import paint
from tui.freshness import Fresh
from tui.paint import Line, Tone, Words

BANDS: Final[dict[str, str]] = {"sim": "SIM", "test": "TEST", "live": "LIVE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the head row is told, four times a second; it paints only what is different."""

    environment: Mapping[str, Any]
    crumbs: Sequence[str]
    operator: str
    armed_seconds: float | None
    writes: bool
    fresh: Fresh
    tiles: Mapping[str, Any]
    width: int


class Head(Horizontal):
    """One row: the band, the crumbs, and everything else on the right."""

    def compose(self) -> ComposeResult:
        yield Words(id="band")
        yield Words(id="crumbs")
        yield Words(id="state")

    def say(self, said: Said) -> None:
        """Shows this."""
        if not self.children:  # the screen is there before what is in this row, on a busy machine; the next turn says it
            return
        kind = "replay" if said.fresh.state == "replay" else str(said.environment.get("kind") or "")
        for name in ("sim", "test", "live", "replay"):
            self.set_class(kind == name, f"-{name}")
        word = "REPLAY" if kind == "replay" else BANDS.get(kind, kind.upper() or "?")
        self.query_one("#band", Words).say(
            paint.line(paint.Piece(f" {word} {said.environment.get('name') or ''}".rstrip()[:40] + " ", "strong"))
        )
        state = state_line(said)
        room = max(8, said.width - len(word) - 12 - paint.width(state))
        self.query_one("#crumbs", Words).say(paint.line((" " + crumbs(said.crumbs, room), "strong")))
        self.query_one("#state", Words).say(state)


def crumbs(parts: Sequence[str], room: int) -> str:
    """Payments › pay_01…D4 › Timeline, its middle cut where there is no room."""
    between = f" {paint.glyph('crumb')} "
    text = between.join(parts)
    if len(text) <= room or len(parts) < 2:
        return paint.middle(text, room)
    last = paint.middle(parts[-1], max(6, room - len(parts[0]) - len(between)))
    return between.join((parts[0], last))


def state_line(said: Said) -> Line:
    """Operator, mode, link and badges; shorter where there is less room."""
    roomy, some = said.width >= 100, said.width >= 64
    parts: list[Line] = []
    if roomy and said.operator:
        parts.append(paint.line(("on-call ", "dim"), (paint.safe(said.operator, 24), "accent")))
    if some:
        parts.append(mode(said))
    parts.append(link(said.fresh, short=not some))
    parts.append(badges(said.tiles, short=not roomy))
    return paint.join([part for part in parts if part]) + paint.line(" ")


def mode(said: Said) -> Line:
    """READ, or ARMED with what is left of it."""
    if not said.writes:
        return paint.line(("no writes", "dim"))
    if said.armed_seconds is None:
        return paint.line(("mode ", "dim"), ("READ", "good"))
    return paint.line(("mode ", "dim"), (f"ARMED {paint.span(max(0, said.armed_seconds))}", "unknown"))


_LINKS: Final[dict[str, tuple[str, Tone]]] = {
    "connecting": ("retry", "warn"),
    "live": ("live", "good"),
    "slow": ("warn", "warn"),
    "stale": ("stale", "bad"),
    "lost": ("stale", "bad"),
    "denied": ("bad", "bad"),
    "incompatible": ("warn", "warn"),
    "replay": ("info", "info"),
}


def link(fresh: Fresh, *, short: bool = False) -> Line:
    """● LIVE 0.4s"""
    sign, tone = _LINKS[fresh.state]
    parts = paint.line((f"{paint.glyph(sign)} {fresh.state.upper()}", tone))
    if fresh.age is not None:
        parts += paint.line((f" {fresh.age:.1f}s" if fresh.age < 10 else f" {paint.span(fresh.age)}", "dim"))
    if fresh.state == "lost" and fresh.retry_seconds is not None and not short:
        parts += paint.line((f"  retry {fresh.attempt} in {max(0, fresh.retry_seconds):.0f}s", "bad"))
    return parts


def badges(tiles: Mapping[str, Any], *, short: bool) -> Line:
    """What waits: approvals, dead letters, mismatches. Nothing where there is none."""
    waiting = _figure(tiles, "approvals", "waiting")
    dead = _figure(tiles, "queues", "dead_letters")
    mismatches = _figure(tiles, "mismatches", "open")
    parts = []
    if waiting:
        parts.append(paint.line((f"{paint.glyph('approval')}{waiting}", "warn")))
    if dead:
        parts.append(paint.line((f"{'D' if short else 'DLQ '}{dead}", "bad")))
    if mismatches:
        parts.append(paint.line((f"{paint.glyph('differs')}{mismatches}", "bad")))
    return paint.join(parts, " ")


def _figure(tiles: Mapping[str, Any], tile: str, name: str) -> int:
    found = (tiles.get(tile) or {}).get(name)
    return found if isinstance(found, int) else 0


def banner(fresh: Fresh, as_of: str | None, newer_schema: bool) -> Line:
    """The sentence below the head, or nothing where all is well."""
    when = paint.moment(as_of) + "Z" if as_of else "nothing yet"
    match fresh.state:
        case "connecting":
            return paint.line(("Waiting for the first snapshot of the operations API. ", "warn"), (fresh.reason, "dim"))
        case "lost" | "stale":
            why = f" ({fresh.reason})" if fresh.reason else ""
            return paint.line(
                (f"Stream {fresh.state}{why}. Showing data as of {when}. Writes are off until it is back.  r retries now", "bad")
            )
        case "denied":
            return paint.line((f"Not allowed: {fresh.reason}. Showing data as of {when}. Writes are off.", "bad"))
        case "replay":
            return paint.line((f"REPLAY of {fresh.reason}, as of {when}. Nothing can be written.", "info"))
        case _:
            if newer_schema:
                return paint.line(("The server is newer than this console: it reads what it understands, and writes nothing.", "warn"))
            return paint.EMPTY
