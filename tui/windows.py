"""The small windows that every screen has: help made from the keys, the command log, and the copy menu.

Not here: how a dialog works (`tui.widgets.modal`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tui import keys, paint, places
from tui.api import CommandLog
from tui.redact import redacted
from tui.widgets.modal import Choice, Reading
from tui.widgets.vlist import Column

if TYPE_CHECKING:
    from tui.app import Console
    from tui.screens.base import View

_COPY: Final = (
    Column("key", "what", 24, lambda row: paint.line((row["key"], "strong"))),
    Column("text", "", 30, lambda row: paint.line((row["text"], "dim")), grow=True),
)


def help_window(view: View) -> Reading:
    """Every key that is bound here, and the view's command for a shell."""
    lines = [paint.line(("This view in a shell: ", "dim"), (view.twin(), "strong")), paint.EMPTY]
    rooms = [(keys.TITLES[where], keys.of(where)) for where in keys.TITLES if keys.of(where)]
    if view.OWN_KEYS:
        rooms.insert(0, ("Only here", list(view.OWN_KEYS)))
    for title, rows in rooms:
        lines.append(paint.line((title, "key")))
        lines.extend(paint.line((f"  {key.shown:<10}", "strong"), key.about) for key in rows)
        lines.append(paint.EMPTY)
    if view.FIELDS:
        lines.append(paint.line(("Filter fields that the server knows: ", "key"), ", ".join(view.FIELDS)))
        lines.append(paint.EMPTY)
    lines.append(paint.line(("Commands", "key")))
    lines.extend(paint.line((f"  :{word:<12}", "strong"), about) for word, (_, about) in places.COMMANDS.items())
    lines.extend(paint.line((f"  :{word:<12}", "strong"), about) for word, about in places.OWN.items())
    lines.append(paint.line(("  mouse", "strong"), ": click moves, double click opens, a header sorts; shift selects text in the terminal"))
    return Reading(paint.line(f" help: {view.crumbs()[0]} "), lines)


def log_window(log: CommandLog) -> Reading:
    """Each call as curl, newest first."""
    lines = []
    for call in reversed(log.calls):
        tone: paint.Tone = "good" if 200 <= call.status < 400 else "bad"
        status = str(call.status) if call.status else "no answer"
        lines.append(
            paint.line((paint.moment(call.at) + "Z ", "dim"), (status, tone), f" {call.milliseconds} ms  ", (call.request_id or "", "dim"))
        )
        lines.append(paint.line(call.curl))
    return Reading(paint.line(" command log "), lines or [paint.line(("no calls yet", "dim"))])


async def copy_menu(console: Console, view: View) -> None:
    """Ids, the row, the command and the curl; what is chosen goes to the terminal's clipboard, made harmless."""
    offers = [*view.copies()]
    row = view.current()
    if row is not None:
        offers.append(("row (tab-separated)", "\t".join(paint.safe(value, 200) for value in row.values() if isinstance(value, str | int))))
    offers += [("command", places.command(view.place)), ("shell command", view.twin())]
    if console.calls.calls:
        offers.append(("last call as curl", console.calls.calls[-1].curl))
        if console.calls.calls[-1].request_id:
            offers.append(("last request id", str(console.calls.calls[-1].request_id)))
    rows = [{"key": name, "text": text} for name, text in dict(offers).items()]
    chosen = await console.push_screen_wait(Choice(paint.line(" copy "), rows, _COPY))
    text = dict(offers).get(chosen or "")
    if text:
        harmless = "\t".join(paint.safe(part) for part in str(redacted(text)).split("\t"))
        console.copy_to_clipboard(harmless)
        paint.toast(console, paint.line(f"copied {chosen}"), "good", seconds=2)
