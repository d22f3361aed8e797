"""The head of a payment's page: what it is, the four opinions about its money, why it stands as it does, and what happens next by itself.

    pay_01jayq7…  ? OUTCOME_UNKNOWN  249.00 EUR  merchant acme-eu  order A-10293
    ≠ MONEY       second says it captured 249.00 EUR; we booked nothing               only where the opinions contradict each other
    money         ours unknown · ledger net +0.00 EUR · psp captured 249.00 EUR (inquiry) · settlement not due
    route         first → second
    next          look #4 at second in 00:38; gives up 14:52:00Z, then people decide
    Why unknown:  ...

Not here: what is below it (`payment_timeline`, `payment_parts`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tui import paint
from tui.paint import Line, Piece, Tone
from tui.views.table import Data, member, rows_of, said, table_of, whole, words_of, wrapped

LABEL: Final = 7
NARROW: Final = 100
_GROUPS: Final = re.compile(r"(?<=\d) (?=\d{3}(?!\d))")
OPINIONS: Final = (("ours", "ours"), ("ledger", "ledger"), ("psp", "psp"), ("settlement", "settlement"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many lines each part may take at most."""

    title: int = 2
    money: int = 3
    route: int = 2
    upcoming: int = 2
    why: int = 4


ROOMY: Final = Room()
LOW: Final = Room(route=1, upcoming=1, why=3, money=2)
LOWEST: Final = Room(route=1, upcoming=1, why=1, money=3)


def room(rows: int) -> Room:
    """What a terminal of so many rows has room for: what happened needs some of it, and no amount is left out."""
    return ROOMY if rows >= 30 else LOW if rows >= 20 else LOWEST


def head(payment: Data, now: datetime, cells: int, within: Room = ROOMY) -> tuple[Line, ...]:
    """All of it, in lines of so many cells."""
    lines = [*wrapped(title(payment, cells), cells, within.title), *held(payment, cells)]
    lines += [*money(payment, cells, within.money), *route(payment, cells, within.route)]
    return (*lines, *upcoming(payment, now, cells, within.upcoming), *why(payment, cells, within.why))


def title(payment: Data, cells: int) -> Line:
    """Which payment, in which state, how much, whose."""
    identity, state = payment.get("id"), payment.get("state")
    parts: list[Line] = [
        paint.line((paint.middle(identity, 20 if cells < NARROW else 30), "strong")),
        paint.state(state),
        paint.line((paint.money(whole(payment, "amount"), said(payment, "currency")), "strong")),
        _named("merchant", payment, "merchant", "name"),
        _named("order", payment, "reference"),
    ]
    if payment.get("outcome"):
        parts.insert(2, paint.line((said(payment, "outcome"), "unknown")))
    if payment.get("cancel_requested"):
        parts.append(paint.line(("cancel requested", "warn")))
    if cells >= NARROW and member(payment, "payment_method", "type"):
        parts.append(_method(table_of(payment, "payment_method")))
    return paint.join(parts)


def _named(name: str, payment: Data, *path: str) -> Line:
    text = said(payment, *path)
    return paint.line(f"{name} ", Piece(text, "accent", 40)) if text else paint.EMPTY


def _method(method: Data) -> Line:
    words = [said(method, "brand") or said(method, "type")]
    if method.get("last4"):
        words.append(f"****{said(method, 'last4')}")
    return (Piece(" ".join(words), "dim", 30),)


def held(payment: Data, cells: int) -> list[Line]:
    """That it is held: then nothing else happens to it."""
    data = table_of(payment, "held")
    if not data:
        return []
    since, by = paint.moment(data.get("since"), day=True), Piece(said(data, "by"), "accent", 60)
    text = paint.line((f"{paint.glyph('warn')} HELD", "warn"), " ", Piece(said(data, "reason"), longest=300), f"  since {since} by ", by)
    return wrapped(text, cells, 2)


# --- money -------------------------------------------------------------------------------------------------------------------------------


def money(payment: Data, cells: int, most: int) -> list[Line]:
    """The four opinions; what they disagree about stands before them."""
    opinions = table_of(payment, "money")
    agree = opinions.get("agree")
    lines: list[Line] = []
    if agree is False:
        headline = paint.line(
            (f"{paint.glyph('differs')} MONEY DISAGREES", "bad"),
            "  ",
            Piece(together(said(opinions, "disagreement")) or "see below", "bad", 300),
        )
        lines += wrapped(headline, cells, 2)
    parts = [_opinion(label, opinions.get(name)) for name, label in OPINIONS]
    verdict: Line = paint.EMPTY
    if agree is True:
        verdict = paint.line((f"{paint.glyph('check')} agree", "good"))
    elif agree is None and opinions:
        verdict = paint.line((f"{paint.glyph('unknown')} not comparable yet", "unknown"))
    # The verdict first: where there is no room for all of it, what is cut is what the least depends on.
    sentence = paint.join([verdict, *parts], f" {paint.glyph('dim')} ")
    return [*lines, *_labelled("money", sentence, cells, most)]


def _opinion(label: str, opinion: object) -> Line:
    text = said(opinion, "text")
    if not text:
        return paint.line((f"{label} ", "dim"), (paint.glyph("none"), "dim"))
    return paint.line((f"{label} ", "dim"), Piece(together(text), longest=80))


def together(text: str) -> str:
    """Groups of digits held together, so that no amount is broken between two lines."""
    return _GROUPS.sub(paint.GROUP, text)


def opinions(payment: Data) -> tuple[Line, ...]:
    """The four of them one below the other with their times, for the pane beside the table."""
    found = []
    for name, label in OPINIONS:
        opinion = table_of(payment, "money", name)
        at = f"  {paint.moment(opinion['at'], day=True)}" if opinion.get("at") else ""
        found.append(paint.line((label.ljust(12), "dim"), Piece(said(opinion, "text") or paint.glyph("none")), (at, "dim")))
    return tuple(found)


# --- where it went and goes --------------------------------------------------------------------------------------------------------------


def route(payment: Data, cells: int, most: int) -> list[Line]:
    """The connectors that were tried, in order, and how it stands with settlement."""
    names = words_of(payment, "route")
    arrow = f" {paint.glyph('arrow')} "
    parts: list[Piece] = []
    for place, name in enumerate(names):
        parts += [Piece(arrow if place else "", "dim"), Piece(name, "accent" if place == len(names) - 1 else "", 40)]
    way: Line = tuple(parts) if names else paint.line(("nobody was asked yet", "dim"))
    others = [way]
    if reference := said(payment, "psp_reference"):
        others.append(paint.line(("psp ref ", "dim"), Piece(reference, longest=40)))
    if disputes := rows_of(payment, "disputes"):
        status = Piece(said(disputes[0], "status"), "warn", 40)
        others.append(paint.line((f"{paint.glyph('bad')} {len(disputes)} dispute", "bad"), " ", status))
    if payment.get("retry_of"):
        others.append(paint.line(("retry of ", "dim"), Piece(paint.middle(payment["retry_of"], 20), "accent")))
    return _labelled("route", paint.join(others, "   "), cells, most)


def upcoming(payment: Data, now: datetime, cells: int, most: int) -> list[Line]:
    """The next automatic step and when, when it gives up, and what comes then."""
    step = table_of(payment, "next")
    if not step:
        return _labelled("next", paint.line(("nothing happens by itself", "dim")), cells, 1)
    words: list[Line] = [(Piece(said(step, "text"), longest=120), *_countdown(step.get("at"), now))]
    if step.get("gives_up_at"):
        words.append(paint.line(("gives up ", "dim"), paint.moment(step["gives_up_at"])[:8] + "Z", *_countdown(step["gives_up_at"], now)))
    if step.get("then"):
        words.append(paint.line(("then ", "dim"), Piece(said(step, "then"), longest=80)))
    return _labelled("next", paint.join(words, "; "), cells, most)


def _countdown(at: object, now: datetime) -> Line:
    moment = paint.instant(at)
    if moment is None:
        return paint.EMPTY
    seconds = (moment - now).total_seconds()
    if seconds >= 0:
        return paint.line(" in ", (_clock(seconds), "strong"))
    return paint.line(" ", (f"due {_clock(-seconds)} ago", "warn"))


def _clock(seconds: float) -> str:
    """00:38, 12:05, 3h12, 9d."""
    return f"00:{int(seconds):02d}" if seconds < 60 else paint.span(seconds)


def why(payment: Data, cells: int, most: int) -> list[Line]:
    """Why it stands as it does, and how many more like it there are."""
    reason = table_of(payment, "why")
    lines: list[Line] = []
    if reason:
        tone: Tone = paint.state_tone(payment.get("state"))
        text = paint.line(
            Piece((said(reason, "headline") or "Why") + ":", tone if tone != "info" else "warn", 60),
            " ",
            Piece(said(reason, "text"), longest=800),
        )
        lines += wrapped(text, cells, most)
    alike = table_of(payment, "like_it")
    if number := whole(alike, "count"):
        more = paint.line(
            (f"{number} like it", "warn"),
            f" in {said(alike, 'window_minutes')} min, {paint.amounts(alike.get('amount'))}  ",
            ("c", "key"),
            (" shows them", "dim"),
        )
        lines += wrapped(more, cells, 1)
    return lines


def _labelled(label: str, sentence: Line, cells: int, most: int) -> list[Line]:
    """A line behind its label; the further ones below it, indented."""
    lines = wrapped(sentence, max(10, cells - LABEL), most) or [paint.EMPTY]
    pad = Piece(" " * LABEL)
    return [(Piece(label.ljust(LABEL), "strong") if not place else pad, *one) for place, one in enumerate(lines)]
