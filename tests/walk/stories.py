"""Five things that two people do at night, in the console itself: an unknown payment, a group of dead letters, a day, a breaker, a what-if.

Each is a function of the walk: it makes its incident, goes through it key by key, waits for what has to be on the screen, and takes
pictures on the way. Not here: the stack (`place`), the terminal (`terminal`), what is kept of it (`__main__`).
"""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.walk.place import Place
from tests.walk.terminal import Terminal

UNDEAF_SECONDS: Final = 0.6
"""A dialog that writes hears nothing in its first 400 ms."""
BETWEEN_KEYS_SECONDS: Final = 0.3


@dataclass
class Walk:
    """The stack, the two people's terminals, and what was kept."""

    place: Place
    olga: Terminal
    amir: Terminal
    pages: list[tuple[str, str]] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)

    def keep(self, terminal: Terminal, caption: str, picture: str | None = None) -> None:
        """The screen as it is, for the text of the walk, and as a picture."""
        self.pages.append((caption, terminal.shows()))
        if picture is not None:
            self.pictures[picture] = terminal.picture(caption)

    def arm(self, terminal: Terminal, reason: str) -> None:
        """Writes are allowed for ten minutes, for a reason."""
        press(terminal, "C-e")
        terminal.until("arm this console")
        terminal.write(reason)
        press(terminal, "Enter")
        terminal.until("ARMED")

    def go(self, terminal: Terminal, command: str, *words: str) -> None:
        """To a place by its command, and what has to be there."""
        press(terminal, "Escape", ":")
        terminal.write(command)
        press(terminal, "Enter")
        terminal.until(*words)

    def choose(self, terminal: Terminal, verb: str) -> None:
        """That action of the menu."""
        press(terminal, "a")
        screen = terminal.until(verb)
        offered = [line for line in screen.splitlines() if " person" in line or " people" in line or "reason" in line]
        steps = next(number for number, line in enumerate(offered) if verb in line)
        press(terminal, *["j"] * steps, "Enter")

    def answer(self, terminal: Terminal, question: str, text: str) -> None:
        """One question about an action."""
        terminal.until(question)
        terminal.write(text)
        press(terminal, "Enter")

    def send(self, terminal: Terminal, reason: str | None, confirm: str) -> None:
        """What is on the dialog: the reason, where it wants one, what is to be typed, and ctrl+s."""
        terminal.until("(ctrl+s)")
        time.sleep(UNDEAF_SECONDS)
        press(terminal, "Tab")
        if reason is not None:
            terminal.write(reason)
            press(terminal, "Tab")
        terminal.write(confirm)
        terminal.until("ctrl+s sends it")
        press(terminal, "C-s")
        terminal.until(but="(ctrl+s)")


def press(terminal: Terminal, *keys: str) -> None:
    """One after the other, as a person does."""
    for key in keys:
        terminal.press(key)
        time.sleep(BETWEEN_KEYS_SECONDS)


def an_unknown_payment(walk: Walk) -> None:
    """The answer was lost, and so are all webhooks. Two people look at the PSP's dashboard and say what is true."""
    for fault in ("charge-then-hang", "webhooks-lost"):
        walk.place.run("chaos", "adyen", fault, "--for", "10m")
    walk.place.pay("A-10293", 24900, connector="adyen")
    payment = walk.place.until("A-10293", "OUTCOME_UNKNOWN")
    time.sleep(3)
    walk.go(walk.olga, "payments state:unknown", payment["id"][:10])
    walk.keep(walk.olga, "Payments whose outcome nobody knows", "payments")
    walk.go(walk.olga, f"pay {payment['id']}", "Why unknown", "Timeline")
    walk.keep(walk.olga, "Did money move, what happens next, who says so: one screen", "payment")
    walk.arm(walk.olga, "INC-4412")
    walk.choose(walk.olga, "resolve by people")
    walk.olga.until("what it is to be")
    offered = [
        line for line in walk.olga.shows().splitlines() if any(one in line for one in ("AUTHORIZED", "CAPTURED", "CANCELED", "FAILED"))
    ]
    dialog = [line.split("█")[1].strip() for line in offered if line.count("█") > 1]
    press(walk.olga, *["j"] * dialog.index("CAPTURED"), "Enter")
    walk.answer(walk.olga, "where one sees", "dashboard 8516 1534 2345, INC-4412")
    for question in ("operation", "amount"):
        walk.olga.until(f"people: {question}")
        press(walk.olga, "Enter")
    walk.olga.until("Send proposal")
    walk.keep(walk.olga, "The plan: what would be different, what was checked, who has to agree", "plan")
    walk.send(walk.olga, "INC-4412 the dashboard shows it captured", "249.00")
    walk.go(walk.amir, "approvals", "resolve by people")
    walk.keep(walk.amir, "What waits for a second person", "approvals")
    press(walk.amir, "Enter")
    walk.amir.until("INC-4412")
    walk.keep(walk.amir, "What was asked for, and the plan as it is now")
    walk.arm(walk.amir, "INC-4412")
    walk.choose(walk.amir, "approve")
    walk.send(walk.amir, None, "249.00")
    walk.place.until("A-10293", "CAPTURED")
    walk.olga.until("CAPTURED", but="Why unknown")
    walk.keep(walk.olga, "Resolved by two people, and the record says who")
    walk.place.run("chaos", "adyen", "--clear")


class _Endpoint(http.server.BaseHTTPRequestHandler):
    """A merchant's endpoint that is broken until it is repaired."""

    repaired = False

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(204 if type(self).repaired else 500)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextmanager
def endpoint() -> Iterator[tuple[str, type[_Endpoint]]]:
    """It listens for the length of the block."""
    _Endpoint.repaired = False
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/hook", _Endpoint
    finally:
        server.shutdown()


def dead_letters(walk: Walk) -> None:
    """A merchant's endpoint was down. It is repaired, one letter goes ahead as the canary, and the rest follows."""
    with endpoint() as (url, handler):
        walk.place.api(
            "POST", "/v1/webhook-endpoints", {"url": url, "events": ["payment.succeeded"], "description": "shop"}, key="walk-hook"
        )
        for number in range(4):
            walk.place.pay(f"hook-{number}", 1000 + number)
        walk.go(walk.olga, "dead_letters", "webhook_out")
        walk.keep(walk.olga, "Dead letters by what they have in common", "dead_letters")
        handler.repaired = True
        walk.arm_again(walk.olga) if False else None
        walk.choose(walk.olga, "replay")
        walk.keep(walk.olga, "replay")


def run(walk: Walk, story: Callable[[Walk], None]) -> None:
    """One story, from the overview on."""
    press(walk.olga, "Escape", "1")
    press(walk.amir, "Escape", "1")
    story(walk)


def yesterday() -> str:
    """The day before this one, as PSPs that count days in UTC have it."""
    return (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
