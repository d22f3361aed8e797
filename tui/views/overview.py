"""The overview as data: its tiles, what needs attention, and where each of them leads.

A tile has a title with the age of its figures, a figure that one reads first, a note, and where there is room a chart on a fixed scale. A
figure that nobody knows says why. Not here: the live list (`tui.views.live`), connectors (`tui.views.connectors`), the screen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tui import paint, places
from tui.paint import Line, Piece, Tone
from tui.places import Place
from tui.views.table import Data, number, rows_of, said, table_of, whole, wrapped
from tui.widgets.minichart import PERCENT, Scale, chart
from tui.widgets.rows import Column, widths

RATE_BAD_POINTS: Final = -2.0
"""Against the last hour. Card approval rates wander by a point from one five minutes to the next; two are noticed by merchants."""
RATE_WARN_POINTS: Final = -1.0
UNKNOWN_FULL: Final = 20
"""Payments at which the chart of unknown outcomes is full: more than that is an incident, however many more. The figure says how many."""
GAP: Final = 2
"""Cells between two tiles."""
ROOMY_FROM: Final = 26
"""Rows of the screen from which tiles have charts, and from TALL_FROM ones of two rows."""
TALL_FROM: Final = 34


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When it is, and how old what one sees is. as_of: said instead of the age where the data is stale."""

    now: datetime
    age: float | None = None
    as_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One tile. place: where a click on it leads."""

    name: str
    title: str
    figure: Line
    note: Line
    place: Place
    series: object = None
    scale: Scale | None = None


def tiles(overview: Data, moment: Moment) -> list[Tile]:
    """All six, in their order."""
    found = table_of(overview, "tiles")
    since = said(overview, "since")
    return [
        _rate(table_of(found, "authorization_rate"), since),
        _unknown(table_of(found, "unknown"), moment.now),
        _authorize(table_of(found, "authorize"), since),
        _queues(table_of(found, "queues")),
        _mismatches(table_of(found, "mismatches")),
        _approvals(table_of(found, "approvals")),
    ]


def _rate(tile: Data, since: str) -> Tile:
    percent, change = number(tile, "percent"), number(tile, "change_points")
    tone: Tone = "good" if change is None or change > RATE_WARN_POINTS else "warn" if change > RATE_BAD_POINTS else "bad"
    if percent is None:
        figure, note = paint.line((paint.glyph("none"), "dim")), _not_yet("none in 5 min", since)
    else:
        figure = paint.line((paint.percent(percent), tone), ("  of ", "dim"), paint.count(whole(tile, "count")))
        note = _change(change)
    place = Place("connectors")
    return Tile(name="rate", title="auth rate 5 min", figure=figure, note=note, place=place, series=tile.get("series"), scale=PERCENT)


def _change(points: float | None) -> Line:
    """▼ 3.1 pt against 1 h"""
    if points is None:
        return paint.line(("no hour to compare", "dim"))
    sign = "down" if points < 0 else "up"
    return paint.line((f"{paint.glyph(sign)} {abs(points):.1f} pt", "bad" if points <= RATE_BAD_POINTS else "dim"), (" against 1 h", "dim"))


def _not_yet(text: str, since: str) -> Line:
    """Why there is no figure; memory begins empty with the process."""
    began = f", since {paint.moment(since)[:5]}Z" if since else ""
    return paint.line((text + began, "dim"))


def _unknown(tile: Data, now: datetime) -> Tile:
    count = whole(tile, "count")
    if count is None:
        figure, note = paint.line((paint.glyph("none"), "dim")), paint.line(("not counted", "dim"))
    elif not count:
        figure, note = paint.line(("0", "good")), paint.line(("every outcome is known", "dim"))
    else:
        figure = paint.line((paint.count(count), "unknown"), ("  oldest ", "dim"), paint.age(tile.get("oldest_at"), now))
        note = paint.line(("at risk ", "dim"), paint.amounts(tile.get("at_risk")))
    place = Place("payments", None, "state:OUTCOME_UNKNOWN")
    scale = Scale(low=0, high=UNKNOWN_FULL)
    return Tile(name="unknown", title="unknown outcome", figure=figure, note=note, place=place, series=tile.get("series"), scale=scale)


def _authorize(tile: Data, since: str) -> Tile:
    ours, theirs, p99, slo = (whole(tile, name) for name in ("platform_p95_ms", "psp_p95_ms", "p99_ms", "slo_ms"))
    if p99 is None and theirs is None:
        figure, note = paint.line((paint.glyph("none"), "dim")), _not_yet("no calls in 5 min", since)
    else:
        figure = paint.line(("ours ", "dim"), milliseconds(ours), (" PSP ", "dim"), milliseconds(theirs))
        late = p99 is not None and slo is not None and p99 > slo
        note = paint.line(("p99 ", "dim"), (seconds(p99), "bad" if late else "good"), (" SLO ", "dim"), seconds(slo))
    place = Place("connectors")
    return Tile(
        name="authorize", title="authorize p95", figure=figure, note=note, place=place, series=tile.get("series"), scale=latency_scale(slo)
    )


def latency_scale(slo: int | None) -> Scale:
    """From nothing to twice the SLO, whatever is measured: the line is always in the middle."""
    return Scale(low=0, high=2 * slo, limit=slo) if slo else Scale(low=0, high=5_000)


def _queues(tile: Data) -> Tile:
    dead = whole(tile, "dead_letters")
    figure = paint.line(("mailboxes ", "dim"), paint.count(whole(tile, "mailboxes")), (" inbox ", "dim"), paint.count(whole(tile, "inbox")))
    note = paint.line(("outbox ", "dim"), paint.count(whole(tile, "outbox")), (" dead ", "dim"), (paint.count(dead), "bad" if dead else ""))
    return Tile(name="queues", title="queues", figure=figure, note=note, place=Place("dead_letters"))


def _mismatches(tile: Data) -> Tile:
    count, day = whole(tile, "open"), said(tile, "day")
    open_ = paint.line((f"{paint.count(count)} open", "bad" if count else "good"))
    matched = number(tile, "matched_percent")
    if not day:
        figure, note = open_, paint.line(("no day was matched yet", "dim"))
    else:
        figure = paint.line((paint.percent(matched, 2), "strong" if not count else "warn"), "  ") + open_
        note = paint.line(("gross ", "dim"), paint.amounts(tile.get("gross"))) if count else paint.line(("all explained", "dim"))
    title = f"recon {day}" if day else "mismatches"
    return Tile(name="mismatches", title=title, figure=figure, note=note, place=Place("reconciliation"))


def _approvals(tile: Data) -> Tile:
    waiting, mine, reviews = (whole(tile, name) for name in ("waiting", "mine", "reviews_due"))
    figure = paint.line((paint.count(waiting), "warn" if waiting else "good"), (" wait", "dim"))
    if waiting:
        figure += paint.line((f", {paint.count(mine)} of mine", "dim"))
    note = paint.line((f"{paint.count(reviews)} reviews due", "bad" if reviews else "dim"))
    return Tile(name="approvals", title="approvals", figure=figure, note=note, place=Place("approvals"))


# --- side by side ----------------------------------------------------------------------------------------------------------------------


def across(cells: int) -> int:
    """How many tiles stand side by side."""
    return 6 if cells >= 132 else 3 if cells >= 72 else 2


def tile_cells(cells: int) -> int:
    """How wide one is."""
    beside = across(cells)
    return max(4, (cells - GAP * (beside - 1)) // beside)


def strip(made: Sequence[Tile], moment: Moment, cells: int, height: int) -> list[Line]:
    """The tiles as lines of at most `cells`. height: rows of the whole screen, which say whether there is room for charts."""
    beside, wide = across(cells), tile_cells(cells)
    rows = 0 if height < ROOMY_FROM else 2 if height >= TALL_FROM or beside == 6 else 1
    blocks = [_block(one, moment, wide, rows) for one in made]
    lines: list[Line] = []
    for first in range(0, len(blocks), beside):
        lines += [_beside(parts) for parts in zip(*blocks[first : first + beside], strict=True)]
    return lines


def _block(tile: Tile, moment: Moment, cells: int, rows: int) -> list[Line]:
    """One tile: each line exactly so wide."""
    lines = [_title(tile, moment, cells), paint.fit(tile.figure, cells), paint.fit(tile.note, cells)]
    if rows and tile.scale is not None:
        lines += chart(tile.series, cells, rows, tile.scale)
    return lines + [paint.fit(paint.EMPTY, cells)] * (3 + rows - len(lines))


def _title(tile: Tile, moment: Moment, cells: int) -> Line:
    """The name of the tile, and the age of what is in it on the right."""
    age = moment.as_of or ("" if moment.age is None else paint.span(moment.age))
    room = cells - len(age) - 1
    if room < len(tile.title) and not moment.as_of:  # what is old says so, even where its name is cut
        return paint.fit(paint.line((tile.title, "key")), cells)
    return (*paint.fit(paint.line((tile.title, "key")), room), Piece(" "), Piece(age, "warn" if moment.as_of else "dim"))


def _beside(parts: Iterable[Line]) -> Line:
    pieces: list[Piece] = []
    for part in parts:
        if pieces:
            pieces.append(Piece(" " * GAP))
        pieces += part
    return tuple(pieces)


def tile_at(made: Sequence[Tile], cells: int, height: int, x: int, y: int) -> Tile | None:
    """The tile at that place of the strip."""
    if x < 0 or y < 0 or not made:
        return None
    lines = len(strip(made, Moment(now=datetime.min), cells, height))
    beside = across(cells)
    each = lines // -(-len(made) // beside)
    at = y // each * beside + min(beside - 1, x // (tile_cells(cells) + GAP))
    return made[at] if at < len(made) else None


# --- what needs attention --------------------------------------------------------------------------------------------------------------

_SEVERITIES: Final[dict[str, tuple[str, Tone]]] = {
    "critical": ("bad", "bad"),
    "warning": ("warn", "warn"),
    "notice": ("info", "info"),
}


def attention(overview: Data, now: datetime) -> list[dict[str, Any]]:
    """The server's list in the server's order, each with its age and a key that stays while its figures change."""
    found: list[dict[str, Any]] = []
    seen: dict[str, int] = {}
    for one in rows_of(overview, "attention"):
        name = "/".join((said(one, "kind"), *(said(one, "view", part) for part in ("screen", "id", "filter"))))
        seen[name] = seen.get(name, 0) + 1
        since = one.get("since")
        found.append({**one, "key": f"{name}#{seen[name]}", "age": paint.age(since, now) if since else paint.glyph("none")})
    return found


def severity(row: Data) -> Line:
    """Its sign; one that we do not know is a notice."""
    sign, tone = _SEVERITIES.get(said(row, "severity"), ("info", "info"))
    return paint.line((paint.glyph(sign), tone))


def _what(row: Data) -> Line:
    return paint.line((said(row, "what"), "strong" if said(row, "severity") == "critical" else ""))


def _risk(row: Data) -> Line:
    values = row.get("at_risk")
    return paint.line((paint.amounts(values), "" if values else "dim"))


def _drawn(name: str) -> Callable[[Data], Line]:
    return lambda row: paint.line((said(row, name), "dim"))


ATTENTION: Final = (
    Column("sign", "", 2, severity),
    Column("severity", "severity", 9, _drawn("severity"), least=110),
    Column("what", "what", 12, _what, grow=True),
    Column("count", "count", 6, lambda row: paint.line(paint.count(whole(row, "count"))), align="right"),
    Column("at_risk", "at risk", 16, _risk, align="right"),
    Column("age", "age", 6, _drawn("age"), align="right"),
)


def whole_sentence(row: Data | None, list_cells: int, cells: int) -> list[Line]:
    """What that row says, in lines of at most `cells`; nothing where its column in a list of `list_cells` has room for it."""
    sentence = paint.line((said(row, "what"), "dim"))
    room = next(have for column, have in widths(ATTENTION, list_cells) if column.grow)
    return [] if paint.width(sentence) <= room else wrapped(sentence, max(20, cells), 2)


def is_urgent(row: Data) -> bool:
    """Whether `n` stops at it."""
    return said(row, "severity") == "critical"


def connecting() -> Line:
    """In the place of each list that comes with the first snapshot, until it comes."""
    return paint.line((f"connecting{paint.glyph('ellipsis')}", "dim"))


def nothing_wrong(overview: Data | None) -> Line:
    """Why the list is empty. Only a server that sent its list, an empty one, has said that nothing is wrong."""
    if not isinstance((overview or {}).get("attention"), list):
        return connecting()
    return paint.line(("Nothing needs attention: breakers are closed, outcomes known, days matched, and nobody waits for a yes.", "good"))


def place_of(row: Data) -> Place | None:
    """Where that concern is seen, with the filter that the server names; None where this console has no such screen."""
    screen, identity = said(row, "view", "screen"), said(row, "view", "id")
    known = {"reconciliation": "day", "dead_letters": "dead_letter_group", "approvals": "action", "payments": "payment"}
    if identity and screen in known:
        return Place(known[screen], identity)
    if screen in places.DETAILS:
        return Place(screen, identity or None)
    return Place(screen, None, said(row, "view", "filter")) if screen in places.ROOTS else None


def milliseconds(value: int | None) -> str:
    """9 ms, 1.41s: a length of time in three figures."""
    if value is None:
        return paint.glyph("none")
    return f"{value}{paint.GROUP}ms" if abs(value) < 1_000 else seconds(value)


def seconds(value: int | None) -> str:
    """1.92s"""
    return paint.glyph("none") if value is None else f"{value / 1_000:.2f}s" if abs(value) < 100_000 else f"{paint.count(value // 1_000)}s"
