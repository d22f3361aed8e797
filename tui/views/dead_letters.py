"""Dead letters as data: those that failed alike, the letters of one group, one letter with its redacted contents, and a replay under way.

Not here: where it stands on the screen (`tui.screens.dead_letters`), and what may be done (the server).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from tui import paint
from tui.acts import Subject
from tui.paint import Line, Piece
from tui.views.asking import Words
from tui.views.table import Data, body, heading, labelled, member, rows_of, said, table_of, whole

LETTER_WORDS: Final = Words(
    names={
        **{name: name for name in ("state", "kind", "origin", "reason_class", "payment_id")},
        "psp": "origin",
        "connector": "origin",
        "class": "reason_class",
        "payment": "payment_id",
    }
)
GROUP_WORDS: Final = Words(names={**LETTER_WORDS.names, "fingerprint": "fingerprint"})
MARKED: Final = "marked"
MARKED_MOST: Final = 1_000
"""The server takes no more in one act."""
CANARIES: Final = ("1", "2", "3", "4", "5")
BAR_CELLS: Final = 24
NARROW: Final = 100
"""Cells below which a replay is told without its own words, and with a short bar."""
COPIED: Final = (("letter id", "id"), ("payment id", "payment_id"), ("merchant id", "merchant_id"), ("fingerprint", "fingerprint"))


# --- groups ------------------------------------------------------------------------------------------------------------------------------


def last_replay(row: Data, now: datetime) -> Line:
    """How the group's last replay went: `2/2 ok 11:30`, `0/1 failed`, `halted`, never."""
    last = table_of(row, "last_replay")
    if not last:
        return paint.line(("never", "dim"))
    ok, failed = whole(last, "ok") or 0, whole(last, "failed") or 0
    word = "halted" if last.get("halted") is True else "failed" if failed else "ok"
    return paint.line((f"{ok}/{ok + failed} {word}", "good" if word == "ok" else "bad"), (f" {paint.age(last.get('at'), now)}", "dim"))


def open_count(row: Data) -> Line:
    """How many of the group wait for somebody."""
    number = whole(row, "open")
    return paint.line((paint.count(number), "bad" if number else "dim"))


def aged(row: Data, name: str, now: datetime) -> Line:
    """How long ago that was."""
    return paint.line((paint.age(row.get(name), now), "dim"))


def clock(row: Data, name: str) -> Line:
    """The time of day of that, to the second."""
    return paint.line((paint.moment(row.get(name))[:8], "dim"))


def words(row: Data, name: str, tone: paint.Tone = "") -> Line:
    """A member of free text, a dash where there is none."""
    text = said(row, name)
    return (Piece(text, tone, 300),) if text else paint.line((paint.glyph("none"), "dim"))


def in_all(groups: Sequence[Data], now: datetime) -> Line:
    """How many letters wait in how many groups, and since when."""
    waiting = sum(whole(one, "open") or 0 for one in groups)
    if not waiting:
        return paint.line((f"{paint.glyph('good')} no letter waits for anybody", "good"))
    firsts = [at for one in groups if whole(one, "open") and (at := paint.instant(one.get("first_failed_at"))) is not None]
    since = f", the oldest {paint.age(min(firsts), now)}" if firsts else ""
    return paint.line((f"{paint.glyph('bad')} {paint.count(waiting)} open", "bad"), f" in {paint.count(len(groups))} groups{since}")


def group_detail(row: Data, now: datetime) -> list[Line]:
    """What the pane beside the groups says of one."""
    if not row:
        return []
    last = table_of(row, "last_replay")
    lines = [
        heading(row.get("fingerprint")),
        labelled("kind", row.get("kind")),
        labelled("origin", row.get("origin")),
        labelled("class", row.get("reason_class")),
        labelled("letters", f"{paint.count(row.get('letters'))}, {paint.count(row.get('open'))} open"),
        labelled("first", f"{paint.moment(row.get('first_failed_at'), day=True)}  {paint.age(row.get('first_failed_at'), now)}"),
        labelled("last", f"{paint.moment(row.get('last_failed_at'), day=True)}  {paint.age(row.get('last_failed_at'), now)}"),
        labelled("instance", row.get("example"), "accent"),
        paint.EMPTY,
        (*labelled("last replay", None)[:1], *last_replay(row, now)),
    ]
    if last:
        lines.append(labelled("its act", last.get("act_id"), "accent"))
    return [*lines, paint.EMPTY, paint.line(("enter: its letters   a: replay or discard all of them", "dim"))]


# --- letters -----------------------------------------------------------------------------------------------------------------------------


def is_open(row: Data) -> bool:
    """Whether it waits for somebody."""
    return said(row, "state") == "open"


def letter_detail(row: Data, now: datetime) -> list[Line]:
    """One letter: what is known of it, and where it was loaded whole, its contents."""
    if not row:
        return []
    lines = [
        (*labelled("state", None)[:1], *paint.state(row.get("state"))),
        labelled("id", row.get("id"), "accent"),
        labelled("kind", row.get("kind")),
        labelled("origin", row.get("origin")),
        labelled("class", row.get("reason_class")),
        labelled("why", row.get("reason")),
        labelled("tries", paint.count(row.get("attempts"))),
        labelled("first", f"{paint.moment(row.get('first_failed_at'), day=True)}  {paint.age(row.get('first_failed_at'), now)}"),
        labelled("last", f"{paint.moment(row.get('last_failed_at'), day=True)}  {paint.age(row.get('last_failed_at'), now)}"),
    ]
    lines += [
        labelled(label, row[name], "accent") for label, name in (("payment", "payment_id"), ("merchant", "merchant_id")) if row.get(name)
    ]
    if row.get("resolved_at"):
        lines.append(labelled("resolved", f"{paint.moment(row.get('resolved_at'), day=True)} by {said(row, 'resolved_by')}"))
        lines.append(labelled("resolution", row.get("resolution")))
    return lines


def contents(letter: Data) -> list[Line]:
    """What died, and its redacted contents."""
    lines = [paint.EMPTY, heading("what it was")]
    lines += body(letter["subject"]) if letter.get("subject") else [paint.line(("nothing is kept of it", "dim"))]
    lines += [paint.EMPTY, heading("contents, redacted")]
    payload = _laid_out(letter.get("payload"))
    return [*lines, *(body(payload) if payload else [paint.line(("its contents are not kept any more", "dim"))])]


def _laid_out(payload: object) -> object:
    """JSON as JSON; anything else as it is."""
    if not isinstance(payload, str):
        return payload
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return payload
    return found if isinstance(found, dict | list) else payload


def allowed(letter: Data) -> list[Line]:
    """What may be done about it, or why not."""
    lines = []
    for one in rows_of(letter, "actions"):
        may = one.get("allowed") is not False
        people = f"  {one.get('people')} people" if whole(one, "people") == 2 else ""
        sign = (f"{paint.glyph('check' if may else 'cross')} {said(one, 'verb')}", "good" if may else "dim")
        lines.append(paint.line(sign, (people, "warn"), (f"  {said(one, 'why_not')}" if not may else "", "dim")))
    return [paint.EMPTY, heading("what may be done (a)"), *lines] if lines else []


# --- replays -----------------------------------------------------------------------------------------------------------------------------


def replay_of(acts: Iterable[Data], fingerprint: str) -> Data:
    """The open replay of that group; nothing where there is none."""
    return next((one for one in acts if said(one, "subject") == fingerprint and said(one, "action").endswith(".replay")), {})


def progress(act: Data, width: int) -> Line:
    """How far it is: a bar over all of it, what went well and what failed, and in its own words."""
    told = table_of(act, "progress")
    total, done = whole(told, "total"), whole(told, "done")
    state = paint.state(act.get("state"))
    if not told or not total:
        return paint.join([state, paint.line((said(told, "text"), "dim"))])
    failed = whole(told, "failed") or 0
    figures = [
        paint.bar(100.0 * (done or 0) / total, BAR_CELLS if width >= NARROW else BAR_CELLS // 2),
        paint.line(f"{paint.count(done)}/{paint.count(total)}"),
        paint.line(
            (f"{paint.count(whole(told, 'ok') or 0)} ok", "good"), " ", (f"{paint.count(failed)} failed", "bad" if failed else "dim")
        ),
    ]
    if whole(told, "canary"):
        figures.append(paint.line((f"canary {paint.count(told.get('canary'))}", "info")))
    words_ = [paint.line((said(told, "text"), "dim"))] if width >= NARROW else []
    return paint.join([state, *figures, *words_])


def running(acts: Sequence[Data], width: int) -> list[Line]:
    """A line for each replay under way."""
    return [
        paint.join([paint.line(("replay ", "dim"), Piece(said(one, "subject"), "strong", max(12, width // 3))), progress(one, width)])
        for one in acts
        if said(one, "action").endswith(".replay") and said(one, "state") in ("running", "approved", "proposed")
    ]


# --- what `a` is about -------------------------------------------------------------------------------------------------------------------

_SAID_ALREADY: Final = {"ids": None, "fingerprint": None}
"""The subject says which letters are meant: nobody is asked for them."""
_CHOICES: Final = {"canary": CANARIES}


def halting(act: Data) -> tuple[Data, ...]:
    """Stopping a replay that is under way, as one of the things that may be done."""
    identity = said(act, "id")
    if said(act, "state") != "running" or not identity:
        return ()
    return ({"action": "halt", "verb": "halt the running replay", "allowed": True, "why_not": None, "people": 1, "subject": identity},)


def of_group(row: Data, acts: Iterable[Data]) -> Subject | None:
    """All letters of a group."""
    name = said(row, "fingerprint")
    if not name:
        return None
    title = f"all {paint.count(row.get('open'))} open letters of {name}"
    extra = halting(replay_of(acts, name))
    return Subject(id=name, kind="dead_letters", title=title, parameters=_SAID_ALREADY, choices=_CHOICES, also=extra)


def of_letters(row: Data, marked: Sequence[Data], group: Subject | None) -> Subject | None:
    """The letter under the cursor; and where some are marked, or all of the group may be meant, those to choose from."""
    identity = said(row, "id")
    scopes = []
    if marked:
        ids = [said(one, "id") for one in marked]
        title = f"the {len(ids)} marked letters" + (f" (at most {MARKED_MOST} in one act)" if len(ids) > MARKED_MOST else "")
        parameters = {"ids": ids, "fingerprint": None}
        scopes.append(Subject(id=MARKED, kind="dead_letters", title=title, parameters=parameters, choices=_CHOICES))
    if identity:
        actions = tuple(rows_of(row, "actions"))
        title = f"this letter {identity}"
        one = Subject(id=identity, kind="dead_letters", title=title, actions=actions, parameters=_SAID_ALREADY, choices=_CHOICES)
        scopes.append(one)
    if group is not None:
        scopes.append(group)
    return None if not scopes else scopes[0] if len(scopes) == 1 else scopes[0].among(tuple(scopes))


def payments_of(letters: Iterable[Data]) -> list[str]:
    """The payments that they are about."""
    return list(dict.fromkeys(text for one in letters if isinstance(text := member(one, "payment_id"), str)))
