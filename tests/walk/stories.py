"""Five things that two people do at night, in the console itself: an unknown payment, a group of dead letters, a day, a breaker, a what-if.

Each is a function of the walk: it makes its incident, goes through it key by key, waits for what has to be on the screen, and takes
pictures on the way. Not here: the stack (`place`), the terminal (`terminal`), what is kept of it (`__main__`).
"""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from payorch.domain.acts import KINDS
from tests.walk.place import Place
from tests.walk.terminal import NotThere, Terminal

UNDEAF_SECONDS: Final = 0.6
"""A dialog that writes hears nothing in its first 400 ms."""
BETWEEN_KEYS_SECONDS: Final = 0.3
VERBS: Final = (*(kind.verb for kind in KINDS.values()), "approve", "reject", "halt", "review")
"""What a row of the action menu begins with."""


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
        """Writes are allowed for ten minutes, for a reason; nothing is done where they still are."""
        if "ARMED" in terminal.shows():
            return
        press(terminal, "C-e")
        terminal.until("arm this console")
        terminal.write(reason)
        press(terminal, "Enter")
        terminal.until("ARMED")

    def go(self, terminal: Terminal, command: str, *words: str, but: str | None = None) -> None:
        """To a place by its command, and what has to be there."""
        if in_dialog(terminal.shows()):
            press(terminal, "Escape")
            time.sleep(UNDEAF_SECONDS)
        press(terminal, ":")
        time.sleep(UNDEAF_SECONDS)
        terminal.write(command)
        terminal.until(command[:40])
        press(terminal, "Enter")
        terminal.until(*words, but=but)

    def choose(self, terminal: Terminal, verb: str, *, of: str | None = None) -> None:
        """That action of the menu; of: where first it is asked which of several things is meant, the one that begins so."""
        press(terminal, "a")
        if of is not None:
            scopes = [line for line in in_dialog(terminal.until("which of them?")) if line and line[0].isalpha() and ": " not in line]
            pick(terminal, scopes, of)
        screen = terminal.until(verb)
        pick(terminal, [line for line in in_dialog(screen) if line.startswith(VERBS)], verb)

    def approved(self, terminal: Terminal, verb: str, confirm: str) -> None:
        """Another person agrees with the newest act that waits."""
        self.go(terminal, "approvals", verb[:15], "mine to approve")  # the column is narrow
        press(terminal, "g", "j", "Enter")  # below the heading of the first part
        terminal.until("as it is now", verb)
        self.arm(terminal, verb)
        self.choose(terminal, "approve")
        self.send(terminal, None, confirm)

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


def in_dialog(screen: str) -> list[str]:
    """The lines of the dialog that is open."""
    return [line.split("█")[1].strip() for line in screen.splitlines() if line.count("█") > 1]


def pick(terminal: Terminal, offered: Sequence[str], wanted: str) -> None:
    """That row of a list whose cursor is on the first."""
    steps = next((number for number, line in enumerate(offered) if line.startswith(wanted)), None)
    if steps is None:
        raise NotThere(f"{wanted!r} is not among {offered}")
    press(terminal, *["j"] * steps, "Enter")


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
    walk.go(walk.olga, "overview", "Needs attention", "unknown outcome, at adyen")
    walk.keep(walk.olga, "What needs somebody, how every PSP does, and what happens", "overview")
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
    walk.keep(walk.amir, "What was asked for, and the plan as it is now", "approval")
    walk.approved(walk.amir, "resolve by people", "249.00")
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
        shop = walk.place.merchant("Shop of the walk")
        shop.api("POST", "/v1/webhook-endpoints", {"url": url, "events": ["payment.succeeded"]}, key="walk-hook")
        for number in range(4):
            shop.pay(f"hook-{number}", 1000 + number)
        walk.go(walk.olga, "dead_letters", "webhook_out", " 4 ")
        walk.keep(walk.olga, "Dead letters by what they have in common", "dead_letters")
        handler.repaired = True
        walk.arm(walk.olga, "the shop's endpoint is repaired")
        walk.choose(walk.olga, "replay")
        walk.olga.until("replay: canary")
        pick(walk.olga, [line for line in in_dialog(walk.olga.shows()) if line.isdigit() or line == "(left out)"], "1")
        for question in ("per_second", "halt_percent"):
            walk.olga.until(f"replay: {question}")
            press(walk.olga, "Enter")
        screen = walk.olga.until("Send proposal")
        walk.keep(walk.olga, "A dry run of the replay: one letter goes ahead, and the rest waits for how it fares")
        confirm = word_after(screen, "Type ")
        walk.send(walk.olga, "the shop has repaired its endpoint", confirm)
        walk.approved(walk.amir, "replay", confirm)
        walk.go(walk.olga, "dead_letters", "no letter waits for anybody", "4/4 ok")
        walk.keep(walk.olga, "Replayed, the canary first")


def a_day(walk: Walk) -> None:
    """A report of yesterday has a line that is nobody's. It is looked at, and the day is closed."""
    day = yesterday()
    report = walk.place.folder.with_name("report.csv")
    report.write_text(strange_report(day), encoding="utf-8")
    walk.place.run("settlements", "import", "stripe", str(report))
    walk.go(walk.olga, "reconciliation", day, "stripe")
    walk.keep(walk.olga, "Days, with what nobody has explained yet", "days")
    walk.go(walk.olga, f"recon {day} stripe EUR", "missing_here")
    walk.keep(walk.olga, "A line of the report that is nobody's, beside what we know", "reconciliation")
    walk.arm(walk.olga, "yesterday's report")
    walk.choose(walk.olga, "mark as reviewed", of="finding")
    screen = walk.olga.until("(ctrl+s)")
    walk.send(walk.olga, "a charge of another account: asked the PSP, ticket 881", word_after(screen, "Type "))
    walk.olga.until("reviewed")
    walk.keep(walk.olga, "Reviewed, by whom and why")
    walk.choose(walk.olga, "close the day")
    screen = walk.olga.until("(ctrl+s)")
    walk.keep(walk.olga, "A plan to close the day")
    walk.send(walk.olga, "nothing is unexplained", word_after(screen, "Type "))
    walk.olga.until("closed")
    walk.keep(walk.olga, "The day is closed")


def a_breaker(walk: Walk) -> None:
    """A PSP has announced maintenance: its breaker is forced open for a minute, by two people, and comes back by itself."""
    walk.go(walk.olga, "connector adyen", "authorize")
    walk.arm(walk.olga, "maintenance at adyen")
    walk.choose(walk.olga, "force the breaker open: adyen/authorize")
    walk.answer(walk.olga, "for_seconds", "60")
    screen = walk.olga.until("Send proposal")
    walk.keep(walk.olga, "What forcing a breaker open does to the traffic")
    confirm = word_after(screen, "Type ")
    walk.send(walk.olga, "adyen announced maintenance", confirm)
    walk.approved(walk.amir, "force the breaker open", confirm)
    walk.olga.until("forced open")
    walk.keep(walk.olga, "Forced open, until when, and by whom", "connector")
    walk.olga.until(but="forced open", patience_seconds=120)
    walk.keep(walk.olga, "It ends by itself")


def a_what_if(walk: Walk) -> None:
    """What would the last payments have done without a PSP?"""
    walk.go(walk.olga, "connectors", "routing")
    press(walk.olga, "t")
    walk.olga.until("without stripe")
    press(walk.olga, "Enter")
    walk.olga.until("as it was")
    walk.keep(walk.olga, "The last payments, decided again without one PSP", "what_if")
    press(walk.olga, "Escape")


def word_after(screen: str, words: str) -> str:
    """The word that comes next on the screen."""
    return screen.partition(words)[2].split()[0]


def strange_report(day: str) -> str:
    """A report of one line, in the PSP's own format, that is about nothing of ours."""
    head = "balance_transaction_id,created_utc,currency,gross,fee,net,reporting_category,source_id,charge_id,payment_intent_id"
    return f"{head}\ntxn_strange,{day} 12:00:00,eur,300.00,4.60,295.40,charge,ch_3Q99,ch_3Q99,pi_3Q99\n"


def run(walk: Walk, story: Callable[[Walk], None]) -> None:
    """One story, from the overview on."""
    story(walk)


def yesterday() -> str:
    """The day before this one, as PSPs that count days in UTC have it."""
    return (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
