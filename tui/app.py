"""The console: takes in messages, turns its clock four times a second, and knows where one is, whether one may write, and how fresh it is.

It never ends by itself: only ctrl+q, a lost terminal and a crash end it. What a screen shows is the screen's; what happened is the store's.

Not here: text (`tui.paint`), keys (`tui.keys`), writing (`tui.acting`), and starting it (`tui.start`).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final
from weakref import WeakSet

from textual import events
from textual.app import App
from textual.binding import BindingType
from textual.screen import ModalScreen, Screen
from textual.worker import WorkerFailed

from tui import export, keys, paint, places, store
from tui.acting import Acting
from tui.acts import Gate, why_no_writes
from tui.api import CommandLog
from tui.clock import Clock
from tui.freshness import Fresh, judge
from tui.history import History
from tui.messages import Link, Message
from tui.palette import PlacesProvider
from tui.places import NoSuchPlace, Place
from tui.screens import SCREENS
from tui.screens.base import View
from tui.source import Source
from tui.themes import THEMES
from tui.widgets.lock import Lock
from tui.widgets.modal import Question
from tui.windows import copy_menu, help_window, log_window

TURN_SECONDS: Final = 0.25
"""Four times a second: faster than one reads, slower than a thousand events a second."""
ARM_SECONDS: Final = 600
IDLE_LOCK_SECONDS: Final = 900
"""Where the server says nothing else."""
PAGE: Final = 200
WAITING_MOST: Final = 20_000
"""Messages between two turns. More than that is not a stream: what is oldest is dropped, which shows as a gap, and the view asks anew."""


def _root(name: str) -> View:
    return SCREENS[name](Place(name))


class Console(App[None]):
    """See the module."""

    CSS_PATH = "console.tcss"
    TITLE = "payorch console"
    BINDINGS: ClassVar[list[BindingType]] = keys.bindings("everywhere")
    COMMANDS = {PlacesProvider}  # noqa: RUF012 - Textual's own
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (64, "-narrow"), (100, "-two"), (140, "-three")]  # noqa: RUF012 - as Textual declares it
    VERTICAL_BREAKPOINTS = [(0, "-low"), (16, "-tall")]  # noqa: RUF012 - as Textual declares it
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {name: partial(_root, name) for name in places.ROOTS}
    DEFAULT_MODE = "overview"

    def __init__(
        self,
        source: Source,
        clock: Clock,
        *,
        log: CommandLog | None = None,
        theme: str = "dark",
        ascii_only: bool = False,
        folder: Path | None = None,
        at: Place | None = None,
        ticking: bool = True,
    ) -> None:
        """folder: where exports go. at: the first place. ticking: False where somebody else calls `turn` (tests, pictures)."""
        paint.Glyphs.ascii = ascii_only
        self.started_at: Final = at or Place("overview")
        self.DEFAULT_MODE = places.root(self.started_at)  # type: ignore[misc]  # the first screen is the only one that is built
        super().__init__()
        self.set_class(ascii_only, "-ascii")
        for one in THEMES.values():
            self.register_theme(one)
        self.theme = THEMES[theme].name
        self.source: Final = source
        self.clock: Final = clock
        self.calls: Final = log or CommandLog()
        self.folder: Final = folder or Path.cwd()
        self.state = store.State()
        self.acting: Final = Acting(self)
        self.commands: Final[list[str]] = []
        self.history: Final = History()
        self.crashed: BaseException | None = None
        self._ticking: Final = ticking
        self._waiting: list[Message] = []
        self.views: Final[WeakSet[View]] = WeakSet()
        """All that are on some stack, in sight or not."""
        self._heard_at: float | None = None
        self._lost_at: float = 0.0
        self._armed_until: float | None = None
        self._armed_for = ""
        self._input_at = clock.monotonic()
        self._turns = 0
        self._reported: dict[str, str] = {}
        self.next_source: Path | None = None
        self.changes_source = False

    # --- what screens ask -------------------------------------------------------------------------------------------------------------

    @property
    def page(self) -> int:
        """Rows of a page."""
        return self._limit("page", PAGE)

    def fresh(self) -> Fresh:
        """How old what we see is."""
        link, now = self.state.link, self.clock.monotonic()
        state = judge(link.state, self._heard_at, now, newer_schema=self.state.newer_schema)
        left = None if link.retry_seconds is None else link.retry_seconds - (now - self._lost_at)
        age = None if self._heard_at is None or state == "replay" else now - self._heard_at
        return Fresh(state=state, age=age, reason=link.reason, attempt=link.attempt, retry_seconds=left)

    def gate(self) -> Gate:
        """What writing depends on."""
        return Gate(
            fresh=self.fresh(), armed=self.armed_seconds() is not None, writes=self.source.writes, newer_schema=self.state.newer_schema
        )

    def armed_seconds(self) -> float | None:
        """What is left of being armed; None in READ."""
        if self._armed_until is None:
            return None
        left = self._armed_until - self.clock.monotonic()
        return left if left > 0 else None

    def complete(self, text: str) -> list[str]:
        """What a typed command may become."""
        names = (*self.state.connectors, *(str(event.get("subject_id")) for event in reversed(self.state.live[-200:])))
        return places.complete(text, tuple(dict.fromkeys(names)))

    def _limit(self, name: str, otherwise: int) -> int:
        found = (self.state.meta.get("limits") or {}).get(name)
        return found if isinstance(found, int) and found > 0 else otherwise

    # --- messages, and the clock --------------------------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        self.run_worker(self.source.run(self.hear), group="link", exit_on_error=True)
        if self._ticking:
            self.set_interval(TURN_SECONDS, self.turn)
        self.open(self.started_at)

    def hear(self, message: Message) -> None:
        """A message came: it is kept until the next turn."""
        if isinstance(message, Link):
            self._lost_at = self.clock.monotonic()
        if not isinstance(message, Link) or message.state == "live":
            self._heard_at = self.clock.monotonic()
        if isinstance(message, Link) and message.state == "live" and self.state.link.state != "connecting":
            self.refresh_view()
        self._waiting.append(message)
        if len(self._waiting) > WAITING_MOST:
            del self._waiting[: WAITING_MOST // 2]
            self.refresh_view()

    def turn(self) -> None:
        """Takes in what came and lets the screen on top paint what is different. Nothing is painted under a dialog."""
        if not self.is_running:  # it is being taken down: parts of the screens are gone already
            return
        self._turns += 1
        waiting, self._waiting = self._waiting, []
        self.state, dirty = store.apply(self.state, waiting)
        if self._armed_until is not None and self.armed_seconds() is None:
            self._armed_until = None
            paint.toast(self, paint.line("the ten minutes are over: READ again"))
        self._lock_when_idle()
        view = self.view
        if view is not None and view is self.screen and view.is_mounted:
            with self.batch_update():
                view.turn(dirty, second=self._turns % 4 == 0)
        elif view is not None:
            view.missed |= dirty
        for hidden in self.views:
            if hidden is not view:
                hidden.overhear(dirty)

    @property
    def view(self) -> View | None:
        """The screen on top, or the one under a dialog."""
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, View)), None)

    def refresh_view(self) -> None:
        """The screen asks the server again."""
        if self.view is not None:
            self.view.reload()

    def _lock_when_idle(self) -> None:
        idle = self.clock.monotonic() - self._input_at
        if self.source.writes and idle > self._limit("idle_lock_seconds", IDLE_LOCK_SECONDS) and not isinstance(self.screen, Lock):
            self._armed_until = None
            self.push_screen(Lock(str((self.state.meta.get("operator") or {}).get("name") or ""), self._unlock))

    async def _unlock(self, token: str) -> bool:
        good = await self.source.unlock(token)
        if good:
            self._input_at = self.clock.monotonic()
        return good

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key | events.MouseDown | events.Paste) and not isinstance(self._top(), Lock):
            self._input_at = self.clock.monotonic()
        await super().on_event(event)

    def _top(self) -> Screen[Any] | None:
        return self.screen if self.screen_stack else None

    # --- places -------------------------------------------------------------------------------------------------------------------------

    def open(self, place: Place, *, remember: bool = True) -> None:
        """Goes there: a root replaces its mode's stack, a detail opens on top of it."""
        if place.screen not in SCREENS:
            paint.toast(self, paint.line(f"this console has no screen {place.screen}"), "warn")
            return
        if remember:
            self.history.visit(place)
        self.act(self._go(place))

    async def _go(self, place: Place) -> None:
        root = places.root(place)
        if self.current_mode != root:
            await self.switch_mode(root)
        if place.screen == root:
            while len(self.screen_stack) > 1:
                await self.pop_screen()
            if place.filter and isinstance(self.screen, View):
                self.screen.set_filter(place.filter)
        elif not (isinstance(self.screen, View) and self.screen.place == place):
            await self.push_screen(SCREENS[place.screen](place))

    def out(self) -> None:
        """Back to where this screen was opened from. The root of a mode stays."""
        if len(self.screen_stack) > 1:
            self.pop_screen()

    def command(self, text: str) -> None:
        """What was typed behind `:`."""
        word, _, rest = text.partition(" ")
        if word in ("q", "quit"):
            paint.toast(self, paint.line("ctrl+q quits, and nothing else does"))
            return
        if word == "theme":
            self.theme = THEMES.get(rest, THEMES["dark"]).name
            return
        if word in ("replay", "live"):
            self._other_source(Path(rest).expanduser() if rest else None)
            return
        try:
            self.open(places.place(text))
        except NoSuchPlace as nowhere:
            paint.toast(self, paint.line(str(nowhere)), "warn")

    def _other_source(self, path: Path | None) -> None:
        """Ends this console for one on another source (`tui.start` begins it): nothing of one is ever shown beside the other."""
        if path is not None and not path.is_file():
            paint.toast(self, paint.line(f"there is no recording {path}"), "warn")
            return
        self.next_source, self.changes_source = path, True
        self.exit()

    def act(self, work: Coroutine[Any, Any, Any]) -> None:
        """Something that may take a while, or open dialogs."""
        self.run_worker(work, group="acting", exit_on_error=True)

    # --- keys ---------------------------------------------------------------------------------------------------------------------------

    def why_not(self, action: str) -> str | None:
        """Why a key does nothing now."""
        if action == "arm" and self.armed_seconds() is None:
            return why_no_writes(self.gate(), arming=True)
        if action == "back" and not self.history.has_back:
            return "there is nothing before this"
        if action == "forward" and not self.history.has_forward:
            return "there is nothing after this"
        return None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action not in ("quit",) and self.screen_stack and isinstance(self.screen, ModalScreen) and action in _NOT_IN_DIALOGS:
            return False
        return None if self.why_not(action) is not None else True

    def on_key(self, event: events.Key) -> None:
        """A greyed key says why it is grey."""
        if isinstance(self.screen, ModalScreen):
            return
        key = next((one for one in keys.of("everywhere") if event.key in one.keys.split(",")), None)
        why = None if key is None else self.why_not(key.action)
        if key is not None and why is not None:
            paint.toast(self, paint.line((f"{key.shown}: ", "key"), why), "warn")

    def action_mode(self, name: str) -> None:
        """To where one was in that mode."""
        if name == self.current_mode:
            self.open(Place(name))
        else:
            self.switch_mode(name)
            self.history.visit(Place(name))

    def action_command(self) -> None:
        if self.view is not None:
            self.view.call_command()

    def action_help(self) -> None:
        if self.view is not None:
            self.push_screen(help_window(self.view))

    def action_act(self) -> None:
        if self.view is not None:
            self.act(self.acting.menu(self.view.subject()))

    def action_arm(self) -> None:
        if self.armed_seconds() is not None:
            self._armed_until = None
            paint.toast(self, paint.line("READ: nothing is written"))
        else:
            self.act(self._arm())

    async def _arm(self) -> None:
        minutes = self._limit("arm_seconds", ARM_SECONDS)
        about = paint.line((f"Why? Writes are allowed for {paint.span(minutes)}; each still shows its plan first.", "dim"))
        reason = await self.push_screen_wait(Question(paint.line((" arm this console ", "warn")), about))
        if reason and self.why_not("arm") is None:
            self._armed_for = reason
            self._armed_until = self.clock.monotonic() + minutes
            paint.toast(self, paint.line(f"ARMED for {paint.span(minutes)}: {reason}"), "warn")

    def action_copy(self) -> None:
        if self.view is not None:
            self.act(copy_menu(self, self.view))

    def action_log(self) -> None:
        self.push_screen(log_window(self.calls))

    def action_refresh(self) -> None:
        self.source.retry_now()
        self.refresh_view()

    async def action_back(self) -> None:
        self._along(self.history.back())

    def action_forward(self) -> None:
        self._along(self.history.forward())

    def _along(self, place: Place | None) -> None:
        if place is not None:
            self.open(place, remember=False)

    def action_export(self) -> None:
        view = self.view
        if view is None:
            return
        about = {"view": places.command(view.place), "twin": view.twin(), "source": self.source.name, "head": self.state.head}
        name = "-".join(view.crumbs())
        try:
            folder, struck = export.bundle(
                self.folder, name, self.clock.now(), view.export_data(), self.grid() + view.export_text(), self.export_screenshot(), about
            )
        except OSError as error:
            paint.toast(self, paint.line(f"not exported: {type(error).__name__} {error.strerror}"), "bad")
            return
        left_out = f"; struck out: {', '.join(struck)}" if struck else ""
        paint.toast(self, paint.line(f"exported to {folder}{left_out}"), "good", seconds=15)

    def grid(self) -> str:
        """The screen as text: one line for each row of cells."""
        strips = self.screen._compositor.render_strips()  # a private name: Textual is pinned, and a test reads this
        return "\n".join(strip.text.rstrip() for strip in strips) + "\n"

    async def action_quit(self) -> None:
        self.exit()

    def report(self, error: BaseException) -> str:
        """Writes a redacted report of an error of ours, once for each kind; gives where it is."""
        kind = f"{type(error).__name__}: {error}"
        if kind not in self._reported:
            try:
                path = export.crash_report(self.folder, error, self.clock.now(), {"source": self.source.name})
            except OSError as problem:
                path = Path(f"could not be written ({type(problem).__name__})")
            self._reported[kind] = str(path)
        return self._reported[kind]

    def _handle_exception(self, error: Exception) -> None:
        """A crash: a redacted report is written, the terminal is restored, and the path is printed by `tui.start`."""
        self.crashed = self.crashed or (error.error if isinstance(error, WorkerFailed) else error)
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """Textual would print the traceback with the values of variables: ours is in the report."""
        self._close_messages_no_wait()


_NOT_IN_DIALOGS: Final = frozenset(
    {"command_palette", "mode", "command", "help", "act", "arm", "copy", "export", "log", "refresh", "back", "forward"}
)
