"""What a screen is: the interface that every screen of the console follows.

    class Payments(View):
        OWN_KEYS = (Key(keys="f", shown="f", action="cohort", about="more like it", where="pane"),)   # and BINDINGS = view_keys(*OWN_KEYS)

        def body(self):                    # the widgets below the head row; one VList, or panes
            yield VList(COLUMNS, key=lambda row: row["id"], id="rows", empty=...)

        async def load(self):              # asks the server; called when shown, by `r`, by a new filter, and by `self.reload()`
            await self.rows_of("#rows", "payments", self.filter.query(self.FIELDS))

        def repaint(self, dirty):          # at most four times a second, only while shown: `dirty` are keys of tui.store,
                                           # and "all" when it comes into sight
            if any(key.startswith("payment:") for key in dirty): self.reload()

        def subject(self): ...             # what `a` is about: Subject(id=..., kind="payment", title=..., actions=server's list)
        def opened(self, row): ...         # enter on a row: self.console.open(Place("payment", row["id"]))
        def copies(self): ...              # what `y` offers: (label, text)

Everything else is here: the head, the banner, both bars, the footer, dimming of stale data, errors in their pane with the request id, the
filter, export, history. A screen never calls the source itself: `self.ask(pane, path, query)` and `self.rows_of(list, path, query)` do,
and put a problem into the pane it belongs to, while the rest of the screen works on. All text is made by `paint`. `self.console` is the
application: `.state` (tui.store.State), `.clock`, `.open(Place)`, `.acting` (plans and approvals).

Register the class in `tui/screens/__init__.py`.

Not here: what any screen shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, cast

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import Footer

from tui import filters, keys, paint, places, twins
from tui.acts import Subject
from tui.api import Problem, Query
from tui.filters import Filter, Unclear
from tui.keys import Key
from tui.paint import Line, Words
from tui.places import Place
from tui.problems import told
from tui.store import Dirty
from tui.widgets.bars import Bar
from tui.widgets.head import Head, Said, banner
from tui.widgets.vlist import Part, VList

if TYPE_CHECKING:
    from tui.app import Console

STILL_GOOD_SECONDS: Final = 15.0
"""A screen that comes into sight again after longer than this asks again."""
RELOAD_SECONDS: Final = 1.0
"""The stream may say that a list changed a thousand times a second; it is asked for again at most so often."""


UNREADABLE: Final = (KeyError, TypeError, ValueError, AttributeError, IndexError)
"""What code raises on data of an unexpected shape: a newer server, or a bug of ours. Neither takes the console down at 3 a.m."""


class View(Screen[None]):
    """See the module."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings("view")
    OWN_KEYS: ClassVar[tuple[Key, ...]] = ()
    FIELDS: ClassVar[tuple[str, ...]] = ()
    """Filter fields that the server understands, for this screen's list."""
    WATCHES: ClassVar[tuple[str, ...]] = ()
    """Prefixes of dirty keys after which `load` is called again by itself, at most once a second."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.filter: Filter = Filter()
        self._due = False
        self._loaded_at: float | None = None
        self._filters: list[str] = []
        self.missed: frozenset[str] = frozenset()
        """What became dirty while a dialog lay over the screen."""
        self._built = False

    # --- for the author of a screen -------------------------------------------------------------------------------------------------

    def body(self) -> ComposeResult:
        """The widgets between head and footer."""
        yield Words(paint.line(("nothing here yet", "dim")))

    async def load(self) -> None:
        """Asks the server for what is shown."""

    def repaint(self, dirty: Dirty) -> None:
        """Shows what the stream changed. Called while this screen is on top, at most four times a second."""

    def tick(self) -> None:
        """Once a second: ages and countdowns that change without any news."""

    def subject(self) -> Subject | None:
        """What `a` acts on."""
        return None

    def opened(self, row: Mapping[str, Any]) -> None:
        """Enter on a row of a list."""

    def moved(self, row: Mapping[str, Any] | None) -> None:
        """The cursor is on another row."""

    def copies(self) -> Sequence[tuple[str, str]]:
        """What can be copied, besides what every screen offers."""
        row = self.current()
        return [(name, value) for name, value in (row or {}).items() if name.endswith(("id", "reference")) and isinstance(value, str)]

    def export_data(self) -> Any:
        """What `e` writes as JSON."""
        return {vlist.id or "rows": list(vlist.rows) for vlist in self.query(VList)}

    def export_text(self) -> str:
        """What `e` writes behind the screen's text: everything, where the screen shows only some of it."""
        return ""

    def card(self) -> Sequence[Line]:
        """What is left of the screen where the terminal is too small for it."""
        return summary(self.console.state.overview, self.console.fresh().state)

    def crumbs(self) -> tuple[str, ...]:
        """Where this is, as the head row says it."""
        root = places.DETAILS.get(self.place.screen, self.place.screen)
        title = places.TITLES.get(root, root)
        return (title, self.place.id) if self.place.id else (title,)

    def twin(self) -> str:
        """The command that shows the same in a shell."""
        return twins.twin(self.place, self.filter.query(self.FIELDS))

    # --- what a screen calls ----------------------------------------------------------------------------------------------------------

    @property
    def console(self) -> Console:
        """The application."""
        return cast("Console", self.app)

    def now(self) -> datetime:
        """The time to count from. In a recording it is the recording's: what was to come then has long happened."""
        told = paint.instant(self.console.state.server_time)
        return told if told is not None and not self.console.source.writes else self.console.clock.now()

    async def ask(self, pane: Words | None, path: str, query: Query | None = None) -> dict[str, Any] | None:
        """A page, or None where it could not be had: then the pane says why, with the request id."""
        try:
            return await self.console.source.get(path, query)
        except Problem as problem:
            lines = told(path, problem)
            (pane or self.query_one("#notice", Words)).say(*lines)
            return None

    async def rows_of(self, selector: str, path: str, query: Query | None = None) -> bool:
        """Fills that list page by page. Where the first cannot be had, the notice says why and what was there stays."""
        vlist = self.query_one(selector, VList)
        asked = dict(query or {})

        async def fetch(cursor: str | None) -> Part:
            return Part.of(await self.console.source.get(path, {**asked, "limit": self.console.page, "cursor": cursor}))

        try:
            await vlist.feed(fetch)
        except Problem as problem:
            self.notice(*told(path, problem))
            return False
        self.notice()
        return True

    def notice(self, *lines: Line) -> None:
        """Says something in the line below the banner; nothing takes it away."""
        self.query_one("#notice", Words).say(*lines)

    def current(self) -> Mapping[str, Any] | None:
        """The row under the cursor of the list that has the focus, or of the first."""
        focused = self.focused
        vlist = focused if isinstance(focused, VList) else next(iter(self.query(VList)), None)
        return vlist.current if vlist is not None else None

    def reload(self) -> None:
        """Calls `load` again: at once where the last time is a second ago, else as soon as it is."""
        self._due = True

    # --- what the console calls -------------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        console = self.console
        yield Head()
        yield Words(id="banner", hides=True)
        yield Words(id="notice", hides=True)
        with Container(id="body"):
            yield from self.body()
        yield Words(id="summary")
        yield Bar("/", self._complete_filter, self._filters)
        yield Bar(":", console.complete, console.commands)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self._built = True
        self.console.views.add(self)
        if self.place.filter:
            self._set_filter(self.place.filter)
        first = next(iter(self.query(VList)), None)
        if first is not None:
            first.focus()
        self._due = True
        self._turn_all()

    def overhear(self, dirty: Dirty) -> None:
        """What became dirty while it is out of sight: what it shows is asked for again when it comes back, if it is about that."""
        if not self._due:
            self._due = any(key.startswith(self.WATCHES) for key in dirty)

    def on_screen_resume(self) -> None:
        """In sight again. What it asked for a moment ago is not asked again only because a dialog was closed over it."""
        now = self.console.clock.monotonic()
        self._due = self._due or self._loaded_at is None or now - self._loaded_at > STILL_GOOD_SECONDS
        self._turn_all()

    def _turn_all(self) -> None:
        self.turn(frozenset({"all"}), second=True)

    def turn(self, dirty: Dirty, *, second: bool) -> None:
        """One turn of the console's clock."""
        if not self._built:  # it is on the stack, and its widgets are not there yet
            self.missed |= dirty
            return
        now = self.console.clock.monotonic()
        dirty, self.missed = dirty | self.missed, frozenset()
        if any(key.startswith(prefix) for key in dirty for prefix in self.WATCHES):
            self._due = True
        if self._due and (self._loaded_at is None or now - self._loaded_at >= RELOAD_SECONDS):
            self._due, self._loaded_at = False, now
            self.run_worker(self._load(), group="load", exclusive=True)
        self.say_head()
        try:
            if dirty:
                self.repaint(dirty)
            if second:
                self.tick()
        except UNREADABLE as error:
            self._failed(error)

    async def _load(self) -> None:
        try:
            await self.load()
        except UNREADABLE as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        """What the server sent is not what this screen understands: it says so, and the console goes on."""
        place = self.console.report(error)
        self.notice(
            paint.line(
                (f"{paint.glyph('bad')} this screen cannot read what the server sent ({type(error).__name__}); report: {place}", "bad")
            )
        )

    def say_head(self) -> None:
        """The head row, the banner and the dimming, as they are now."""
        console = self.console
        fresh, state = console.fresh(), console.state
        overview = state.overview or {}
        self.query_one(Head).say(
            Said(
                environment=state.meta.get("environment") or {},
                crumbs=self.crumbs(),
                operator=str((state.meta.get("operator") or {}).get("name") or ""),
                armed_seconds=console.armed_seconds(),
                writes=console.source.writes,
                fresh=fresh,
                tiles=overview.get("tiles") or {},
                width=self.size.width,
            )
        )
        self.query_one("#banner", Words).say(*(one for one in (banner(fresh, state.server_time, state.newer_schema),) if one))
        self.set_class(fresh.stale and fresh.state != "replay", "-stale")
        for vlist in self.query(VList):
            if vlist.dimmed != fresh.stale:
                vlist.dimmed = fresh.stale
                vlist.refresh()
        if self.has_class("-tiny") or self.has_class("-low"):
            self.query_one("#summary", Words).say(*self.card())

    # --- keys -------------------------------------------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        self._bar("/").call(self.place.filter)

    def action_out(self) -> None:
        if self.place.filter:
            self.set_filter("")
        else:
            self.console.out()

    def call_command(self, text: str = "") -> None:
        """Opens the command bar."""
        self._bar(":").call(text)

    def _bar(self, where: Literal[":", "/"]) -> Bar:
        return next(bar for bar in self.query(Bar) if bar.where == where)

    def on_bar_said(self, event: Bar.Said) -> None:
        event.stop()
        self._focus_list()
        if event.where == "/":
            self.set_filter(event.text)
        elif event.text:
            self.console.command(event.text)

    def on_bar_closed(self, event: Bar.Closed) -> None:
        event.stop()
        self._focus_list()

    def _focus_list(self) -> None:
        first = next(iter(self.query(VList)), None)
        if first is not None:
            first.focus()
        else:
            self.set_focus(None)

    def set_filter(self, text: str) -> None:
        """Shows what matches; what cannot be read as a filter is said and changes nothing."""
        if self._set_filter(text):
            self._loaded_at = None
            self.reload()

    def _set_filter(self, text: str) -> bool:
        try:
            self.filter = filters.parse(text)
        except Unclear as unclear:
            self.notice(paint.line((f"/{text}: {unclear}", "warn")))
            return False
        self.place = Place(self.place.screen, self.place.id, text)
        asked = tuple(self.filter.query(self.FIELDS))
        test: Callable[[Mapping[str, Any]], bool] | None = (lambda row: self.filter.matches(row, asked=asked)) if self.filter else None
        for vlist in self.query(VList):
            vlist.keep(test)
        return True

    def _complete_filter(self, text: str) -> list[str]:
        before, blank, word = text.rpartition(" ")
        return [f"{before}{blank}{field}:" for field in self.FIELDS if word and field.startswith(word) and field != word]

    def on_vlist_opened(self, event: VList.Opened) -> None:
        event.stop()
        self.opened(event.row)

    def on_vlist_moved(self, event: VList.Moved) -> None:
        event.stop()
        self.moved(event.row)

    def on_vlist_failed(self, event: VList.Failed) -> None:
        event.stop()
        self.notice(*told("the next page", event.problem))


def summary(overview: Mapping[str, Any] | None, link: str) -> list[Line]:
    """What is left where the terminal is too small for anything else: the three worst problems."""
    lines = [paint.line(("terminal too small for the screen", "dim"))]
    attention = (overview or {}).get("attention")
    known: Iterable[Any] = attention if isinstance(attention, list) else ()
    for one in list(known)[:3]:
        lines.append(paint.line((f"{paint.glyph('bad')} {one.get('what')}", "bad" if one.get("severity") == "critical" else "warn")))
        lines.append(paint.line((f"  {paint.count(one.get('count'))}  {paint.amounts(one.get('at_risk'))}", "dim")))
    if len(lines) == 1:
        lines.append(paint.line(("nothing needs attention" if isinstance(attention, list) else f"no data yet: {link}", "dim")))
    return lines
