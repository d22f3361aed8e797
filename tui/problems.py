"""How a problem is told: what happened, what it means for the money, what to do, and the request id to hand on.

Not here: problems themselves (`tui.api`).
"""

from __future__ import annotations

from typing import Final

from tui import paint
from tui.api import Problem
from tui.paint import Line

_MONEY: Final = {
    "no": "No money moved.",
    "yes": "Money did move.",
    "unknown": "It is not known whether money moved.",
}


def told(what: str, problem: Problem) -> list[Line]:
    """A pane's lines: `routing decisions: 503 ..., request req_a1`."""
    status = f"{problem.status} " if problem.status else ""
    request = f"  request {problem.request_id}" if problem.request_id else ""
    lines = [paint.line((f"{paint.glyph('bad')} {what}: {status}{problem.title}", "bad"), (request, "dim"))]
    if problem.detail:
        lines.append(paint.line(problem.detail))
    for error in problem.body.get("errors") or ():
        if isinstance(error, dict):
            lines.append(paint.line((f"{error.get('pointer')}: ", "dim"), str(error.get("detail") or error.get("message"))))
    for objection in problem.body.get("objections") or ():
        if isinstance(objection, dict):
            lines.append(paint.line((f"{objection.get('code')}: ", "warn"), str(objection.get("why"))))
    money = _MONEY.get(problem.money_moved)
    if money and (problem.money_moved != "no" or problem.status >= 500):
        lines.append(paint.line((money, "warn")))
    return lines
