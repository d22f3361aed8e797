"""Days of settlement as data: gross before net, the four buckets on a fixed scale, what nobody has explained and for how long.

Net hides errors that cancel each other out, so gross is the headline everywhere. Shares and bars are rounded down: nothing looks whole that
is not. Not here: what one day consists of (`tui.views.recon_day`), where it stands on the screen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

from tui import paint
from tui.acts import Subject
from tui.paint import Line, Tone
from tui.views.asking import Words
from tui.views.table import Data, member, rows_of, said, table_of, whole, wrapped

DAY_WORDS: Final = Words(
    names={
        **{name: name for name in ("from", "to", "connector", "currency", "state")},
        "psp": "connector",
        "since": "from",
        "until": "to",
        "cur": "currency",
    },
    days=frozenset({"from", "to"}),
)
BUCKETS: Final[tuple[tuple[str, str, Tone], ...]] = (
    ("settled", "settled", "good"),
    ("pending", "pending", "info"),
    ("mismatched", "mismatched", "bad"),
    ("manually_reviewed", "reviewed", "warn"),
)
"""What a day is divided into: the API's names, those on the screen, and how they are coloured."""
BAR_CELLS: Final = 15


def key(row: Data) -> str:
    """As the server writes days: 2026-01-31/connector/EUR."""
    return f"{said(row, 'day')}/{said(row, 'connector')}/{said(row, 'currency')}"


def count_of(row: Data, bucket: str) -> int:
    """How many lines and movements of that bucket."""
    return whole(row, bucket, "count") or 0


def lines_of(row: Data) -> int:
    """All that is divided among the buckets."""
    return sum(count_of(row, name) for name, _, _ in BUCKETS)


def is_problem(row: Data) -> bool:
    """Whether somebody has to look at it: something in it is not explained."""
    return bool(count_of(row, "mismatched") or whole(row, "open_findings") or whole(row, "gross_difference", "amount"))


def state(row: Data) -> Line:
    """open, to review, no report yet, closed: one word, with its sign."""
    if said(row, "state") == "closed":
        return paint.line((f"{paint.glyph('good')} closed", "good"))
    if is_problem(row):
        return paint.line((f"{paint.glyph('differs')} {said(row, 'state') or 'open'}", "bad"))
    if row.get("reported") is False:
        return paint.line((f"{paint.glyph('gap')} no report", "dim"))
    if row.get("left_to_do"):
        return paint.line((f"{paint.glyph('warn')} {said(row, 'state')}", "warn"))
    return paint.line((f"{paint.glyph('approval')} closable", "warn"))


def amount(value: Any, *, sign: bool = False, tone: Tone = "") -> Line:
    """An amount of the API, a dash where there is none."""
    text = paint.amount(dict(value), sign=sign) if isinstance(value, Mapping) else paint.glyph("none")
    return paint.line((text, tone if text != paint.glyph("none") else "dim"))


def gross(row: Data) -> Line:
    """What is not explained, without anything being netted."""
    value = table_of(row, "gross_difference")
    return amount(value, tone="bad" if whole(value, "amount") else "dim")


def gross_rank(row: Data) -> tuple[str, int]:
    """The order by what is unexplained: within each currency, because nothing can be said of two."""
    return said(row, "gross_difference", "currency"), whole(row, "gross_difference", "amount") or 0


def figure(row: Data, bucket: str, tone: Tone) -> Line:
    """How many, in the bucket's colour where there are any."""
    number = whole(row, bucket, "count")
    return paint.line((paint.count(number), tone if number else "dim"))


def share(row: Data) -> float | None:
    """Which part of the day is as it should be: settled, or pending inside its time."""
    total = lines_of(row)
    return None if not total else 100.0 * (count_of(row, "settled") + count_of(row, "pending")) / total


def floored(value: float, places: int = 2) -> float:
    """Rounded down: 99.999 is not 100."""
    scale: int = 10**places
    return math.floor(value * scale + 1e-9) / scale


def full_cells(part: float, cells: int) -> int:
    """Cells of a bar on the fixed scale 0 to 100: full only where it is whole, empty only where it is nothing."""
    full = int(part * cells / 100)
    return max(full, 1) if part > 0 else 0


def bar(row: Data, cells: int = BAR_CELLS) -> Line:
    """That part as a bar with its figure."""
    part = share(row)
    if part is None:
        return paint.line((paint.glyph("none"), "dim"))
    done = min(full_cells(part, cells), cells if part >= 100 else cells - 1)
    tone: Tone = "good" if part >= 100 else "bad" if count_of(row, "mismatched") else "warn"
    text = "100%" if part >= 100 else paint.percent(floored(part), 2)
    return paint.line((paint.glyph("full") * done, tone), (paint.glyph("dim") * (cells - done), "dim"), (f" {text}", tone))


def age(row: Data, now: datetime) -> Line:
    """How long something of that day has been unexplained, in days; nothing where all is."""
    at = paint.instant(f"{said(row, 'day')}T00:00:00+00:00")
    if not is_problem(row) or at is None:
        return paint.line((paint.glyph("none"), "dim"))
    days = (now.astimezone(UTC) - at).days
    return paint.line((f"{days}d", "bad" if days > 2 else "warn"))


def in_all(rows: Sequence[Data], now: datetime) -> list[Line]:
    """What is unexplained in all of them, per currency, gross before net; and what to look at first."""
    if not rows:
        return []
    troubled = [row for row in rows if is_problem(row)]
    closed = sum(said(row, "state") == "closed" for row in rows)
    figures = paint.line((f"{len(rows)} days, {closed} closed, {len(troubled)} with something unexplained", "dim"))
    if not troubled:
        return [paint.join([paint.line((f"{paint.glyph('good')} nothing is unexplained", "good")), figures], "   ")]
    oldest = min(troubled, key=lambda row: said(row, "day"))
    return [
        paint.join(
            [
                paint.line((f"{paint.glyph('differs')} unexplained gross ", "bad"), (_sums(troubled), "bad")),
                paint.join([paint.line(("oldest", "dim")), age(oldest, now)], " "),
                figures,
            ],
            "   ",
        )
    ]


def _sums(rows: Iterable[Data]) -> str:
    sums: dict[str, int] = {}
    for row in rows:
        currency = said(row, "gross_difference", "currency")
        sums[currency] = sums.get(currency, 0) + (whole(row, "gross_difference", "amount") or 0)
    return ", ".join(paint.money(minor, currency) for currency, minor in sums.items())


# --- one day, beside the list and above its findings ------------------------------------------------------------------------------------


def buckets(row: Data, cells: int = BAR_CELLS) -> list[Line]:
    """The four buckets, each on the scale of the whole day: count, gross, balance."""
    total = lines_of(row)
    found = []
    for name, title, tone in BUCKETS:
        number = count_of(row, name)
        part = 100.0 * number / total if total else 0.0
        done = min(full_cells(part, cells), cells if part >= 100 else cells - 1)
        found.append(
            paint.line(
                (f"{title:<11}", "dim"),
                (f"{paint.count(number):>7} ", tone if number else "dim"),
                (paint.glyph("full") * done, tone),
                (paint.glyph("dim") * (cells - done), "dim"),
                f" gross {_amount(row, name, 'gross')}",
                (f"  balance {_amount(row, name, 'balance')}", "dim"),
            )
        )
    return found


def _amount(row: Data, *path: str) -> str:
    return paint.amount(dict(table_of(row, *path)))


def sums(row: Data, name: str) -> str:
    """A list of amounts, each in its currency."""
    found = [paint.amount(dict(one)) for one in rows_of(row, name)]
    return ", ".join(found) if found else paint.glyph("none")


def left(row: Data) -> Line:
    """What stands between this day and its being closed."""
    if said(row, "state") == "closed":
        by = f"closed by {said(row, 'changed_by')} {paint.moment(row.get('changed_at'), day=True)}"
        return paint.line((f"{paint.glyph('good')} {by}", "good"), (f"  {said(row, 'reason')}", "dim"))
    todo = said(row, "left_to_do")
    if todo:
        return paint.line((f"{paint.glyph('cross')} cannot be closed: ", "bad"), todo)
    return paint.line((f"{paint.glyph('check')} can be closed: nothing is unexplained", "good"))


def detail(row: Data, cells: int) -> list[Line]:
    """What stands below the list of days about the one under the cursor."""
    if not row:
        return []
    first = paint.join([paint.line((key(row), "strong")), state(row), paint.line(("unexplained gross ", "dim"), *gross(row))], "   ")
    money = [("fees", sums(row, "fees"), ""), ("net", sums(row, "net"), ""), ("payouts", sums(row, "payouts"), "")]
    if rows_of(row, "claims"):
        money.append(("claims on the PSP", sums(row, "claims"), "warn"))
    beside = whole(row, "beside", "count")
    if beside:
        money.append(("beside the buckets", f"{paint.count(beside)}, {_amount(row, 'beside', 'gross')}", "dim"))
    told: list[Line] = []
    for name, text, tone in money:
        told.append(paint.line((f"{name} ", "dim"), (text, cast("Tone", tone))))
    lines = [first, *buckets(row, BAR_CELLS if cells >= 90 else 6), *wrapped(paint.join(told, "   "), max(20, cells - 4), 2), left(row)]
    return [part for one in lines for part in wrapped(one, max(20, cells - 2), 2)]


def strays(found: Data) -> list[Line]:
    """Findings that belong to a day and to no currency."""
    return [
        paint.line(
            (f"{paint.glyph('differs')} {said(one, 'day')} {said(one, 'connector')}: ", "bad"),
            f"{said(one, 'findings')} findings without a currency, {said(one, 'unexplained')} unexplained",
        )
        for one in rows_of(found, "without_currency")
    ][:3]


def of_day(row: Data) -> Subject | None:
    """A day, as `a` is about it."""
    if not said(row, "day"):
        return None
    return Subject(id=key(row), kind="day", title=f"the day {key(row)}", actions=tuple(rows_of(row, "actions")))


def as_row_text(row: Data) -> str:
    """The day as tab-separated values, for a spreadsheet: amounts in minor units."""
    amount_ = member(row, "gross_difference", "amount")
    figures = [str(count_of(row, name)) for name, _, _ in BUCKETS]
    return "\t".join(
        paint.safe(one) for one in (said(row, "day"), said(row, "connector"), said(row, "currency"), said(row, "state"), *figures, amount_)
    )
