"""Acts as data: the inbox in its parts, one act with its plan as proposed beside the plan as it is now, and what may be said of it.

Differences between the two plans are marked: what an approver agrees with is the plan of now, and the server refuses it where they differ.
Not here: where it stands on the screen (`tui.screens.approvals`), and who may approve (the server).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any, Final

from tui import paint
from tui.acts import Subject
from tui.paint import Line, Piece, Tone
from tui.views.asking import Words
from tui.views.dead_letters import progress
from tui.views.table import Data, member, rows_of, said, table_of, whole, words_of, wrapped

ACT_WORDS: Final = Words(
    names={
        **{name: name for name in ("state", "subject", "action", "who")},
        "act": "action",
        "by": "who",
    },
    several=frozenset({"state"}),
)
PARTS: Final = (
    ("mine", "mine to approve", "a approves or rejects"),
    ("reviews", "glass was broken, to be reviewed", "by another person than whoever broke it"),
    ("under_way", "being carried out", ""),
    ("waiting", "waiting for others", "asked by you, or beyond your role"),
    ("done", "done", "the newest"),
)
"""The parts of the inbox, in their order: name, title, what about them."""
WAITS: Final = "proposed"
UNDER_WAY: Final = frozenset({"approved", "running"})
SOON_SECONDS: Final = 300.0
SIDE_BY_SIDE: Final = 96
"""Cells from which the two plans stand beside each other."""
LABEL: Final = 10


# --- the inbox ---------------------------------------------------------------------------------------------------------------------------


def part_of(act: Data) -> str:
    """In which part of the inbox it stands."""
    state = said(act, "state")
    if state == WAITS:
        return "mine" if act.get("may_approve") is True else "waiting"
    if state in UNDER_WAY:
        return "under_way"
    review = table_of(act, "review")
    return "reviews" if review and review.get("by") is None else "done"


def inbox(acts: Iterable[Data], changed: Mapping[str, bool | None]) -> list[dict[str, Any]]:
    """Rows of the inbox: each part that has any behind its heading, each act once. changed: of those that were looked at anew."""
    unique = {said(act, "id"): act for act in acts if said(act, "id")}
    found: list[dict[str, Any]] = []
    for name, title, about in PARTS:
        some = [act for act in unique.values() if part_of(act) == name]
        if name == "done":
            some.sort(key=lambda act: said(act, "finished_at") or said(act, "decided_at") or said(act, "requested_at"), reverse=True)
        if some or name in ("mine", "waiting"):
            found.append({"id": f"part:{name}", "heading": title, "count": len(some), "about": about, "part": name})
        found += [{**act, "part": name, "plan_changed": changed.get(said(act, "id"))} for act in some]
    return found


def heading_of(row: Data) -> Line | None:
    """A heading over all columns; None for an act."""
    if "heading" not in row:
        return None
    count = whole(row, "count") or 0
    tone: Tone = "dim" if not count else "warn" if said(row, "part") in ("mine", "reviews") else "strong"
    return paint.line((f"{said(row, 'heading')} {count}", tone), (f"   {said(row, 'about')}" if count else "   none", "dim"))


def waiting(rows: Iterable[Data]) -> Line:
    """How many wait for whoever looks, and how many reviews are due."""
    counts = {said(row, "part"): whole(row, "count") or 0 for row in rows if "heading" in row}
    mine, reviews = counts.get("mine", 0), counts.get("reviews", 0)
    first = (f"{paint.glyph('approval')} {mine} for you", "warn") if mine else (f"{paint.glyph('good')} none for you", "good")
    return paint.line(first, (f"   {reviews} to review", "warn") if reviews else "")


def is_problem(row: Data) -> bool:
    """Whether it waits for whoever looks, or did not end well."""
    return "heading" not in row and (said(row, "part") in ("mine", "reviews") or said(row, "state") in ("failed", "halted"))


def verb(row: Data) -> Line:
    """What is to be done, as on a button; with the glass broken it says so."""
    glass = row.get("break_glass") is True
    return paint.line((said(row, "verb") or said(row, "action"), "strong"), (" GLASS" if glass else "", "bad"))


def amount(row: Data) -> Line:
    """How much money it is about."""
    value = member(row, "plan", "amount")
    text = paint.amount(dict(value)) if isinstance(value, Mapping) else paint.glyph("none")
    return paint.line((text, "" if isinstance(value, Mapping) else "dim"))


def who(row: Data, name: str = "requested_by") -> Line:
    """Who asked for it."""
    return paint.line((said(row, name, "name"), "accent"))


def state(act: Data) -> Line:
    """Where it stands; while it is carried out, how far it is."""
    told = table_of(act, "progress")
    if said(act, "state") == "running" and whole(told, "total"):
        return paint.line((f"{paint.glyph('warn')} {paint.count(told.get('done'))}/{paint.count(told.get('total'))}", "warn"))
    tone: Tone | None = "bad" if said(act, "state") in ("refused", "failed") else None
    return paint.state(act.get("state"), tone)


def age(row: Data, now: datetime) -> Line:
    """How long ago it was asked for."""
    return paint.line((paint.age(row.get("requested_at"), now), "dim"))


def expires(row: Data, now: datetime) -> Line:
    """What is left of its time: of a proposal until it expires, of a review until it is due."""
    due = row.get("expires_at") if said(row, "state") == WAITS else member(row, "review", "due_at") if part_of(row) == "reviews" else None
    at = paint.instant(due)
    if at is None:
        return paint.line((paint.glyph("none"), "dim"))
    left = (at - now).total_seconds()
    if left <= 0:
        return paint.line(("overdue" if part_of(row) == "reviews" else "expired", "bad"))
    return paint.line((paint.span(left), "bad" if left < SOON_SECONDS else "warn"))


def changed(row: Data) -> Line:
    """Whether the plan is another than was proposed."""
    match row.get("plan_changed"):
        case True:
            return paint.line((f"{paint.glyph('differs')} changed", "bad"))
        case False:
            return paint.line((f"{paint.glyph('check')} same", "good"))
        case _:
            return paint.line((paint.glyph("none"), "dim"))


def short(row: Data) -> list[Line]:
    """What the pane beside the inbox says of an act."""
    if not row or "heading" in row:
        return [paint.line(("put the cursor on an act", "dim"))]
    lines = [
        (*verb(row), Piece("  "), *state(row)),
        paint.line((said(row, "subject"), "accent")),
        paint.EMPTY,
        paint.line(("reason    ", "dim"), said(row, "reason")),
        paint.line(("asked by  ", "dim"), (said(row, "requested_by", "name"), "accent"), f"  {paint.moment(row.get('requested_at'))}Z"),
    ]
    if said(row, "why_not_approve"):
        lines.append(paint.line(("you       ", "dim"), (said(row, "why_not_approve"), "warn")))
    lines += [paint.EMPTY, *(paint.join([left], "") for left, _ in effects(table_of(row, "plan"), {}))]
    return [*lines, *outcome(row)]


# --- one act -----------------------------------------------------------------------------------------------------------------------------


def head(act: Data, now: datetime, cells: int) -> list[Line]:
    """What, to what, how much, who, why, until when, and how far it is."""
    first = [verb(act), paint.line((said(act, "subject"), "accent")), state(act), amount(act)]
    by = f"{said(act, 'requested_by', 'name')} ({said(act, 'requested_by', 'person')})"
    times = [paint.line(("asked by ", "dim"), (by, "accent"), (f" {paint.age(act.get('requested_at'), now)} ago", "dim"))]
    if said(act, "state") == WAITS:
        times.append(paint.join([paint.line(("expires in", "dim")), expires(act, now)], " "))
    times.append(paint.line((f"{paint.count(whole(act, 'people'))} people: ", "dim"), said(act, "plan", "why_people")))
    lines = [paint.join(first, "   "), paint.join(times, "   "), paint.line(("reason    ", "dim"), (said(act, "reason"), "strong"))]
    parameters = member(act, "parameters")
    if isinstance(parameters, Mapping) and parameters:
        lines.append(paint.line(("with      ", "dim"), ", ".join(f"{name} {value}" for name, value in parameters.items())))
    if table_of(act, "progress"):
        lines.append(paint.join([paint.line(("progress", "dim")), progress(act, cells)], "  "))
    if said(act, "state") == WAITS and act.get("may_approve") is not True:
        lines.append(paint.line(("you       ", "dim"), (said(act, "why_not_approve") or "you may not approve it", "warn")))
    return lines


def effects(plan: Data, other: Data) -> list[tuple[Line, bool]]:
    """A line for each thing that would be different, and whether the other plan says the same of it. Without another, all are the same."""
    theirs = {(said(one, "what"), said(one, "before"), said(one, "after")) for one in rows_of(other, "effects")}
    found = []
    for one in rows_of(plan, "effects"):
        this = (said(one, "what"), said(one, "before"), said(one, "after"))
        same = not other or this in theirs
        sign = "" if not other else f"{' ' if same else paint.glyph('differs')} "
        text = paint.line(
            (sign, "" if same else "bad"),
            (f"{this[0]:<{LABEL}}", "dim"),
            (this[1], "" if same else "bad"),
            (f" {paint.glyph('arrow')} ", "dim"),
            (this[2], "good" if same else "bad"),
        )
        found.append((text, not same))
    return found


def facts(plan: Data, other: Data) -> list[tuple[Line, bool]]:
    """The rest of a plan: amount, version, undo, checks, evidence, objections; each with whether the other plan differs in it."""
    found = []
    for name, text, theirs in (
        ("amount", _amount(plan), _amount(other)),
        ("version", said(plan, "version"), said(other, "version")),
        ("undo", said(plan, "undo"), said(other, "undo")),
        ("people", said(plan, "people"), said(other, "people")),
    ):
        if not text and not theirs:
            continue
        differs = bool(other) and text != theirs and bool(text and theirs)
        found.append((_fact(name, text or paint.glyph("none"), differs, bool(other)), differs))
    for label, name, told in (("check", "checks", _check), ("evidence", "proofs", _proof), ("refused", "objections", _objection)):
        known = [told(one)[0] for one in rows_of(other, name)]
        for one in rows_of(plan, name):
            text, tone = told(one)
            differs = bool(other) and text not in known
            found.append((_fact(label, text, differs, bool(other), tone), differs))
    return found


def _amount(plan: Data) -> str:
    value = member(plan, "amount")
    return paint.amount(dict(value)) if isinstance(value, Mapping) else ""


def _fact(name: str, text: str, differs: bool, compared: bool, tone: Tone = "") -> Line:
    sign = "" if not compared else f"{paint.glyph('differs') if differs else ' '} "
    return paint.line((sign, "bad" if differs else ""), (f"{name:<{LABEL}}", "dim"), (text, "bad" if differs else tone))


def _check(one: Data) -> tuple[str, Tone]:
    holds = one.get("holds") is True
    detail = f": {said(one, 'detail')}" if said(one, "detail") else ""
    return f"{paint.glyph('check' if holds else 'cross')} {said(one, 'what')}{detail}", "good" if holds else "bad" if one.get(
        "binds"
    ) else "warn"


def _proof(one: Data) -> tuple[str, Tone]:
    return f"{paint.moment(one.get('at'))} {said(one, 'text')} {said(one, 'reference')}", ""


def _objection(one: Data) -> tuple[str, Tone]:
    return f"{said(one, 'why')} ({said(one, 'code')})", "bad"


def verdict(act: Data) -> Line:
    """Whether the plan of now is the one that was proposed."""
    match act.get("changed"):
        case True if table_of(act, "plan_now"):
            return paint.line((f"{paint.glyph('differs')} CHANGED since it was proposed: it will be refused; propose it again", "bad"))
        case True:
            return paint.line((f"{paint.glyph('differs')} no plan can be made of it any more: it will be refused", "bad"))
        case False:
            return paint.line((f"{paint.glyph('check')} the plan of now is the one that was proposed", "good"))
        case _:
            return paint.line(("the plan as it was proposed", "dim"))


def plans(act: Data, cells: int) -> list[Line]:
    """The plan as proposed and the plan as it is now, beside each other where there is room; differences are marked."""
    before, now = table_of(act, "plan"), table_of(act, "plan_now")
    left = [*effects(before, now), *facts(before, now)]
    if not now:
        return [verdict(act), paint.EMPTY, *(part for one, _ in left for part in _within(one, cells))]
    right = [*effects(now, before), *facts(now, before)]
    if cells < SIDE_BY_SIDE:
        as_now = paint.line(("as it is now", "strong"))
        return [
            verdict(act),
            paint.EMPTY,
            paint.line(("as it was proposed", "strong")),
            *(part for one, _ in left for part in _within(one, cells)),
            paint.EMPTY,
            as_now,
            *(part for one, _ in right for part in _within(one, cells)),
        ]
    half = cells // 2 - 2
    gap = Piece(f" {paint.glyph('gap')} ", "dim")
    lines = [verdict(act), paint.EMPTY]
    titles = (paint.fit(paint.line(("as it was proposed", "strong")), half), paint.line(("as it is now", "strong")))
    lines.append((*titles[0], gap, *titles[1]))
    for mine, other in zip_longest(left, right, fillvalue=(paint.EMPTY, False)):
        for one, two in zip_longest(_within(mine[0], half), _within(other[0], half), fillvalue=paint.EMPTY):
            lines.append((*paint.fit(one, half), gap, *two))
    return lines


def _within(one: Line, cells: int) -> list[Line]:
    return wrapped(one, max(20, cells), 4) or [paint.EMPTY]


def outcome(act: Data) -> list[Line]:
    """Who decided what and why, what came of it, and the review of what was done with the glass broken."""
    lines: list[Line] = []
    if said(act, "decision"):
        tone: Tone = "good" if said(act, "decision") == "approved" else "bad"
        by = f"{said(act, 'decision')} by {said(act, 'decided_by', 'name')} {paint.moment(act.get('decided_at'), day=True)}"
        lines.append(paint.line(("decided   ", "dim"), (by, tone), f"  {said(act, 'decision_reason')}"))
    halt = table_of(act, "halt")
    if halt:
        lines.append(paint.line(("halted    ", "dim"), (f"{said(halt, 'by', 'name')}: ", "warn"), said(halt, "reason")))
    result = table_of(act, "result")
    if result:
        good = said(act, "state") == "done"
        lines.append(paint.line(("result    ", "dim"), (said(result, "text"), "good" if good else "bad")))
    review = table_of(act, "review")
    if review and review.get("by") is None:
        lines.append(paint.line(("review    ", "dim"), (f"due {paint.moment(review.get('due_at'), day=True)} by another person", "warn")))
    elif review:
        when = paint.moment(review.get("at"), day=True)
        lines.append(paint.line(("review    ", "dim"), (f"{said(review, 'by', 'name')} {when}: ", "good"), said(review, "note")))
    return [paint.EMPTY, *lines] if lines else []


def page(act: Data, now: datetime, cells: int) -> list[Line]:
    """One act, whole."""
    top = [part for one in head(act, now, cells) for part in _within(one, cells)]
    return [*top, paint.EMPTY, *plans(act, cells), *outcome(act)]


# --- what may be said of it -------------------------------------------------------------------------------------------------------------

_VERBS: Final = {
    "approve": "approve: yes, as another person",
    "reject": "reject, or take back what I asked for",
    "halt": "halt it after the step it is in",
    "review": "review: I have looked at what was done",
}


def possible(act: Data) -> list[str]:
    """What may be said to it now by somebody: as the server lists it, else by its state."""
    if isinstance(member(act, "possible"), list):
        return words_of(act, "possible")
    state_ = said(act, "state")
    if state_ == WAITS:
        return ["approve", "reject"]
    return ["halt"] if state_ == "running" else ["review"] if part_of(act) == "reviews" else []


def of_act(act: Data) -> Subject | None:
    """An act, as `a` is about it: what may be said, and why not the rest."""
    identity = said(act, "id")
    if not identity or "heading" in act:
        return None
    can = possible(act)
    rows = []
    for name, title in _VERBS.items():
        why = None if name in can else f"it is {said(act, 'state')}" if name != "review" else "there is nothing to review"
        if name == "approve" and why is None and act.get("may_approve") is not True:
            why = said(act, "why_not_approve") or "you may not approve it"
        rows.append({"action": name, "verb": title, "allowed": why is None, "why_not": why, "people": None, "subject": identity})
    return Subject(id=identity, kind="act", title=f"{said(act, 'verb')} {said(act, 'subject')}", actions=tuple(rows))


def waits(acts: Sequence[Data]) -> list[str]:
    """Ids of what waits for whoever looks, those that expire first in front."""
    mine = [act for act in acts if part_of(act) == "mine"]
    return [said(act, "id") for act in sorted(mine, key=lambda act: said(act, "expires_at"))]


def place_of(action: str, subject: str) -> tuple[str, str] | None:
    """The screen about what an act is about, and its id there."""
    room = action.partition(".")[0]
    if room == "payment":
        return ("payment", subject)
    if room in ("breaker", "connector"):
        return ("connector", subject.partition("/")[0])
    if room == "dead_letter":
        return ("dead_letter", subject) if subject.startswith("dlq_") else None if subject == "marked" else ("dead_letter_group", subject)
    return ("day", subject) if action.endswith("_day") else None
