"""Everything at a glance: the figures, what needs attention, the connectors, and what happens.

Figures and lists come with the stream; nothing here is asked for. The live list keeps what the store keeps; while its cursor is on the
first row it follows, `space` holds it, and `f` says which kinds are in it. Enter leads to what a row is about.

Not here: what is said (`tui.views.overview`, `tui.views.live`, `tui.views.connectors`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical

from tui import paint
from tui.acts import Subject
from tui.keys import Key, view_keys
from tui.paint import Words
from tui.places import Place
from tui.screens.base import View
from tui.store import Dirty
from tui.views import connectors, live
from tui.views import overview as seen
from tui.views.overview import Moment, Tile
from tui.views.table import said, table_of, whole
from tui.widgets.modal import Choice
from tui.widgets.vlist import Column, VList

UPPER_LEAST: Final = 9
"""Rows for what needs attention: seven, their header, and the title. With more of them it takes up to half of what the tiles leave."""
TILE_ROWS: Final = 8
WHOLE_FROM: Final = 30
"""Rows of the screen from which there is room for the whole sentence of the row under the cursor."""
_KINDS: Final = (
    Column("key", "kind", 24, lambda row: paint.line((said(row, "key").replace("_", " "), "strong"))),
    Column("count", "", 10, lambda row: paint.line((said(row, "count"), "dim")), align="right"),
)


class Tiles(Words):
    """The strip of tiles; a click on one leads to what it counts."""

    def __init__(self) -> None:
        super().__init__(id="tiles", classes="strip")
        self.made: list[Tile] = []

    def on_click(self, event: events.Click) -> None:
        event.stop()
        screen = self.screen
        if isinstance(screen, OverviewView):
            tile = seen.tile_at(self.made, screen.tile_room, screen.size.height, event.x - 1, event.y)
            if tile is not None:
                screen.console.open(tile.place)


class OverviewView(View):
    """See the module."""

    OWN_KEYS: ClassVar[tuple[Key, ...]] = (
        Key(keys="f", shown="f", action="kinds", short="kinds", about="which kinds of events the live list shows", where="pane"),
    )
    BINDINGS: ClassVar[list[BindingType]] = view_keys(*OWN_KEYS)
    DEFAULT_CSS = """
    OverviewView .upper { height: 9; }
    OverviewView #whole { height: auto; max-height: 2; padding: 0 1; background: $surface; }
    OverviewView #attention-pane { width: 1fr; height: 1fr; }
    OverviewView #connectors-pane { display: none; width: 44; height: 1fr; }
    OverviewView.-three #connectors-pane { width: 70; }
    OverviewView.-two #connectors-pane, OverviewView.-three #connectors-pane { display: block; }
    OverviewView #attention { height: 1fr; }
    OverviewView .title { height: 1; }
    OverviewView .pane { margin-left: 1; }
    """

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.kinds = live.CHANGES

    def body(self) -> ComposeResult:
        yield Tiles()
        with Horizontal(classes="upper"):
            with Vertical(id="attention-pane"):
                yield Words(id="attention-title", classes="title")
                yield VList(seen.ATTENTION, key=lambda row: said(row, "key"), problem=seen.is_urgent, id="attention")
            with Vertical(id="connectors-pane", classes="pane"):
                yield Words(id="connectors-title", classes="title")
                yield VList(connectors.PANE, key=connectors.key, problem=connectors.is_problem, id="connectors")
        yield Words(id="whole", hides=True)
        yield Words(id="live-title", classes="title")
        yield VList(live.COLUMNS, key=live.key, problem=live.is_problem, across=live.across, id="live")

    # --- showing ------------------------------------------------------------------------------------------------------------------------

    @property
    def tile_room(self) -> int:
        """Cells that the tiles have, within the padding of their strip."""
        return max(20, self.size.width - 2)

    def moment(self) -> Moment:
        """Now, and the age of what is shown: since the server's last word, which says that what it said before still holds."""
        fresh = self.console.fresh()
        as_of = f"{paint.moment(self.console.state.server_time)[:8]}Z" if fresh.stale or fresh.state == "replay" else None
        return Moment(now=self.now(), age=fresh.age, as_of=as_of)

    def repaint(self, dirty: Dirty) -> None:
        if dirty & {"overview", "connectors", "all"}:
            self.show_figures()
        if dirty & {"live", "all"}:
            self.show_live()

    def tick(self) -> None:
        """Ages, and the time that breakers stay open."""
        self.show_figures()

    def show_figures(self) -> None:
        """The tiles, what needs attention, and the connectors."""
        state, moment = self.console.state, self.moment()
        overview = state.overview or {}
        strip = self.query_one(Tiles)
        strip.made = seen.tiles(overview, moment) if state.overview else []
        strip.say(*(seen.strip(strip.made, moment, self.tile_room, self.size.height) or [_waiting()]))
        attention = self.query_one("#attention", VList)
        attention.empty = seen.nothing_wrong(state.overview)
        attention.show(seen.attention(overview, moment.now))
        slo = whole(table_of(overview, "tiles", "authorize"), "slo_ms")
        beside = self.query_one("#connectors", VList)
        beside.empty = paint.line(("no connector is switched on", "dim")) if state.overview else seen.connecting()
        beside.show(connectors.rows(state.connectors.values(), moment.now, slo))
        wanted = max(len(attention.rows), len(beside.rows)) + 2
        self.query_one(".upper").styles.height = max(UPPER_LEAST, min(wanted, (self.size.height - TILE_ROWS) // 2))
        self.say_whole()
        self._title("attention", "Needs attention", paint.line(("severity, then money at risk, then age", "dim")))
        self._title("connectors", "Connectors", paint.line((f"as of {moment.as_of}" if moment.as_of else "3 shows all of them", "dim")))

    def say_whole(self) -> None:
        """The sentence of the row under the cursor, where its column cuts it."""
        attention = self.query_one("#attention", VList)
        room = self.size.height >= WHOLE_FROM and attention.current is not None and attention.size.width > 0
        lines = seen.whole_sentence(attention.current, attention.size.width, self.tile_room) if room else []
        self.query_one("#whole", Words).say(*lines)

    def show_live(self) -> None:
        """The live list; it follows while the cursor is on its first row."""
        shown = self.query_one("#live", VList)
        follows = shown.cursor == 0 and not shown.frozen
        kept = self.console.state.live
        shown.empty = live.nothing(self.kinds, kept) if self.console.state.overview else seen.connecting()
        shown.show(live.shown(kept, self.kinds))
        if follows:
            shown.move(0)
        self.say_live()

    def say_live(self) -> None:
        """The line above the live list: what is in it, and how many are held back."""
        shown = self.query_one("#live", VList)
        keys = paint.line((self.kinds.replace("_", " "), "accent"), ("   f kinds   space ", "dim"))
        keys += paint.line(("follows again" if shown.frozen else "freezes", "dim"))
        self._title("live", "Live", keys + paint.line("   ") + shown.counts())

    def _title(self, name: str, title: str, rest: paint.Line) -> None:
        words = self.query_one(f"#{name}-title", Words)
        words.say(paint.fit(paint.rule(paint.line((f"{title}  ", "strong")) + rest, words.size.width), max(0, words.size.width)))

    def on_resize(self, _: events.Resize) -> None:
        if self.query(Tiles):
            self.call_after_refresh(self.repaint, frozenset({"all"}))

    # --- keys ---------------------------------------------------------------------------------------------------------------------------

    def action_kinds(self) -> None:
        self.console.act(self._choose())

    async def _choose(self) -> None:
        rows = live.choices(self.console.state.live)
        note = paint.line((f"{live.CHANGES}: of payments only those; {live.EVERYTHING}: each event that is kept", "dim"))
        chosen = await self.console.push_screen_wait(Choice(paint.line((" live: which kinds ", "info")), rows, _KINDS, note))
        if chosen is not None:
            self.kinds = chosen
            self.show_live()

    def opened(self, row: Mapping[str, Any]) -> None:
        place = self._place(row)
        if place is None:
            paint.toast(self.console, paint.line("this console has no screen for it"), "warn")
        else:
            self.console.open(place)

    def _place(self, row: Mapping[str, Any]) -> Place | None:
        if "view" in row:
            return seen.place_of(row)
        return Place("connector", said(row, "name")) if "circuits" in row else live.place_of(row)

    def moved(self, row: Mapping[str, Any] | None) -> None:
        self.say_whole()
        self.say_live()

    def subject(self) -> Subject | None:
        """What the row under the cursor is about, where that is one payment or one connector."""
        row = self.current()
        place = None if row is None else self._place(row)
        if place is None or place.id is None or place.screen not in ("payment", "connector"):
            return None
        known = self.console.state.connectors.get(place.id, {"name": place.id})
        actions = connectors.actions(known, self.console.state.meta) if place.screen == "connector" else ()
        return Subject(id=place.id, kind=place.screen, title=place.id, actions=actions)

    def copies(self) -> Sequence[tuple[str, str]]:
        row = self.current() or {}
        named = [("what", "what"), ("subject id", "subject_id"), ("text", "text"), ("cause", "cause"), ("connector", "name")]
        return [(label, said(row, name)) for label, name in named if said(row, name)]

    def export_data(self) -> Any:
        state = self.console.state
        return {"overview": state.overview, "connectors": list(state.connectors.values()), "live": list(state.live)}


def _waiting() -> paint.Line:
    return paint.line(("waiting for the figures: they come with the snapshot", "dim"))
