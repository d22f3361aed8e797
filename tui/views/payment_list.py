"""The list of payments, as data: what a filter asks the server and what is left to judge here, the columns, and the lines about the list.

    state:unknown psp:NAME cur:EUR >100 since:2h !ref:A-1 ~^ord

`state:` takes a state or a short name for one; `since:` and `until:` take a time or an age (15m, 2h, 3d); `>` and `<` go to the server only
beside one currency, because it counts in minor units. Whatever the server does not know is judged among the rows that are loaded, and the
line above the list says so. Not here: reading the words (`tui.filters`), the list itself (`tui.screens.payments`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace as changed
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, Final

from payorch.domain.money import EXPONENTS
from tui import paint
from tui.filters import Filter, Term, Unclear, parse
from tui.paint import Line, Piece, Tone
from tui.views.table import Data, said, whole

NAMES: Final[Mapping[str, str]] = {
    **{name: name for name in ("state", "status", "connector", "merchant", "reference", "psp_reference", "currency", "held", "problem")},
    **{name: name for name in ("created_from", "created_to", "amount_min", "amount_max")},
    "psp": "connector",
    "ref": "reference",
    "order": "reference",
    "psp_ref": "psp_reference",
    "cur": "currency",
    "since": "created_from",
    "from": "created_from",
    "until": "created_to",
    "to": "created_to",
}
"""What is typed -> what the server calls it."""
STATES: Final[Mapping[str, str]] = {
    "unknown": "OUTCOME_UNKNOWN",
    "review": "MANUAL_REVIEW",
    "partial": "PARTIALLY_CAPTURED",
    "pending": "PROVIDER_PENDING",
    "action": "REQUIRES_ACTION",
}
SEVERAL: Final = frozenset({"state"})
"""Fields of which the server takes several values; of the others, several are judged here."""
SERVER_ONLY: Final = frozenset({"created_from", "created_to", "amount_min", "amount_max", "problem"})
"""Fields that no row has: only the server can judge them, so they cannot be turned round."""
PROBLEMS: Final = frozenset({"OUTCOME_UNKNOWN", "MANUAL_REVIEW"})
_AGE: Final = re.compile(r"(\d{1,4})([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A filter, divided: what the server is asked, and what is judged here."""

    query: Mapping[str, str]
    here: Filter
    words: str = ""

    def keeps(self, row: Mapping[str, Any]) -> bool:
        """Whether a row that the server gave is shown."""
        return self.here.matches(row)


def question(text: str, now: datetime) -> Question:
    """What that filter asks. Raises Unclear where it cannot be understood, with what can be typed instead."""
    terms = [_named(term, now) for term in parse(text).terms]
    asked: dict[str, str] = {}
    here: list[Term] = []
    for name in dict.fromkeys(term.field for term in terms if term.kind == "field"):
        _field(name, [term for term in terms if term.kind == "field" and term.field == name], asked, here)
    for term in terms:
        if term.kind in ("more", "less"):
            _amount(term, asked, here)
        elif term.kind == "pattern" or (term.kind == "word" and term.negated):
            here.append(term)
    if words := [term.value for term in terms if term.kind == "word" and not term.negated]:
        asked["q"] = " ".join(words)
    return Question(query=asked, here=Filter(tuple(here)), words=" ".join(term.typed for term in here))


def _named(term: Term, now: datetime) -> Term:
    if term.kind != "field":
        return term
    name = NAMES.get(term.field)
    if name is None:
        raise Unclear(f"{term.field}: is no field of a payment; there are {', '.join(sorted(NAMES))}")
    if term.negated and name in SERVER_ONLY:
        raise Unclear(f"!{term.field}: cannot be turned round")
    value = term.value
    if name == "state":
        value = ",".join(STATES.get(one.casefold(), one.upper()) for one in value.split(","))
    elif name == "currency":
        value = value.upper()
    elif name in ("created_from", "created_to"):
        value = _moment(term, now)
    return changed(term, field=name, value=value)


def _moment(term: Term, now: datetime) -> str:
    """A time, or an age before now, as the server takes it."""
    if found := _AGE.fullmatch(term.value):
        return f"{now - timedelta(**{_UNITS[found[2]]: int(found[1])}):%Y-%m-%dT%H:%M:%SZ}"
    at = paint.instant(term.value)
    if at is None:
        raise Unclear(f"{term.field}: takes a time (2026-10-16T14:00Z) or an age (15m, 2h, 3d)")
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _field(name: str, terms: list[Term], asked: dict[str, str], here: list[Term]) -> None:
    wanted = [term for term in terms if not term.negated]
    here += [term for term in terms if term.negated]
    if len(wanted) == 1 and ("," not in wanted[0].value or name in SEVERAL):
        asked[name] = wanted[0].value
    elif wanted and name in SEVERAL:
        asked[name] = ",".join(term.value for term in wanted)
    elif name in SERVER_ONLY and wanted:
        raise Unclear(f"{name} takes one value")
    else:
        here += wanted


def _amount(term: Term, asked: dict[str, str], here: list[Term]) -> None:
    exponent = EXPONENTS.get(asked.get("currency", ""))
    name = "amount_min" if term.kind == "more" else "amount_max"
    if term.negated or exponent is None or name in asked:
        here.append(term)
        return
    minor = Decimal(term.value).scaleb(exponent)
    if term.kind == "more":
        asked[name] = str(int(minor.to_integral_value(ROUND_FLOOR)) + 1)
    else:
        asked[name] = str(int(minor.to_integral_value(ROUND_CEILING)) - 1)


# --- the rows ----------------------------------------------------------------------------------------------------------------------------


def is_problem(row: Data) -> bool:
    """Whether a person should look at it: the outcome is unknown, evidence contradicts itself, or it is held."""
    return said(row, "state") in PROBLEMS or row.get("held") is True


def patched(row: Data, event: Data) -> dict[str, Any] | None:
    """The row after an event of the stream about its payment; None where the event changes nothing that a row shows."""
    about = event.get("payment")
    if not isinstance(about, Mapping) or about.get("id") != row.get("id"):
        return None
    new = {name: about[name] for name in ("state", "connector", "held") if about.get(name) is not None}
    new["updated_at"] = event.get("at")
    return {**row, **new}


def held(row: Data) -> Line:
    """That nothing happens to it by itself."""
    return paint.line((f"{paint.glyph('warn')}held", "warn")) if row.get("held") is True else paint.EMPTY


def words(row: Data, name: str, tone: Tone = "") -> Line:
    """A member of free text."""
    return (Piece(said(row, name), tone, 200),)


def amount(row: Data) -> Line:
    """How much it is about."""
    return paint.line(paint.money(whole(row, "amount"), said(row, "currency")))


def amount_rank(row: Data) -> tuple[str, int]:
    """The order by amount: within each currency, because nothing can be said of two."""
    return said(row, "currency"), whole(row, "amount") or 0


def created(row: Data) -> Line:
    """When it was created, with the day where that is not today's clock alone: 10-16 14:21."""
    at = paint.instant(row.get("created_at"))
    return paint.line((paint.glyph("none") if at is None else f"{at.astimezone(UTC):%m-%d %H:%M}", "dim"))


def updated(row: Data) -> Line:
    """When it changed last, to the second."""
    return paint.line((paint.moment(row.get("updated_at"))[:8], "dim"))


def moved(row: Data) -> Line:
    """What has moved of it: captured, less refunded."""
    captured, refunded = row.get("amount_captured"), row.get("amount_refunded")
    if not captured and not refunded:
        return paint.line((paint.glyph("none"), "dim"))
    currency = said(row, "currency")
    back = f" -{paint.money(refunded, currency, code=False)}" if isinstance(refunded, int) and refunded else ""
    return paint.line(paint.money(captured if isinstance(captured, int) else None, currency, code=False), (back, "warn"))


def above(asked: Question, typed: str) -> Line:
    """What is filtered by, and which part of it is judged here."""
    if not typed:
        return paint.line(("all payments, newest first   / filters", "dim"))
    parts = [paint.line(("filter ", "dim"), Piece(typed, "key", 200))]
    if asked.here:
        parts.append(paint.line(("judged here, among what is loaded: ", "warn"), Piece(asked.words, "warn", 120)))
    return paint.join(parts, "   ")


def nothing(typed: str) -> Line:
    """Why the list is empty, and what to do."""
    if typed:
        return paint.line("No payments match ", Piece(typed, "key", 120), ". Clear: esc")
    return paint.line("No payments yet: none has been created on this platform.")


def as_row_text(row: Data) -> str:
    """The row as tab-separated values, for a spreadsheet."""
    names = ("id", "state", "amount", "currency", "merchant", "reference", "connector", "psp_reference", "created_at", "updated_at")
    return "\t".join(paint.safe(said(row, name)) for name in names)
