"""The page of one payment, as data: its tabs, the table of each, and the page as text for whoever takes the incident over.

Not here: asking for it and following it (`tui.screens.payment`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from tui import paint
from tui.paint import Line
from tui.views.payment_books import ACT_COLUMNS, LEDGER_COLUMNS, RECON_COLUMNS, acts, ledger, reconciliation
from tui.views.payment_head import head
from tui.views.payment_parts import COLUMNS as ATTEMPT_COLUMNS
from tui.views.payment_parts import attempts
from tui.views.payment_reasons import ROUTING_COLUMNS, WEBHOOK_COLUMNS, routing, webhooks
from tui.views.payment_timeline import COLUMNS as TIMELINE_COLUMNS
from tui.views.payment_timeline import lane, since, timeline
from tui.views.table import Column, Data, Table, rows_of, said

TABS: Final[tuple[tuple[str, str, tuple[Column, ...]], ...]] = (
    ("timeline", "Timeline", TIMELINE_COLUMNS),
    ("attempts", "Attempts", ATTEMPT_COLUMNS),
    ("routing", "Routing", ROUTING_COLUMNS),
    ("webhooks", "Webhooks", WEBHOOK_COLUMNS),
    ("ledger", "Ledger", LEDGER_COLUMNS),
    ("recon", "Recon", RECON_COLUMNS),
    ("actions", "Actions", ACT_COLUMNS),
)
"""Name, title and columns of each, in their order."""
TEXT_CELLS: Final = 132
"""How wide the page is as text: what a ticket and a mail show without breaking lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What is known of one payment: three answers of the API, each of which may be missing."""

    payment: Data = field(default_factory=dict)
    events: Sequence[Data] = ()
    decisions: Sequence[Data] = ()


def table(tab: str, page: Page, now: datetime) -> Table:
    """The table of that tab."""
    match tab:
        case "attempts":
            return attempts(page.payment)
        case "routing":
            return routing(list(page.decisions))
        case "webhooks":
            return webhooks(page.payment)
        case "ledger":
            return ledger(page.payment)
        case "recon":
            return reconciliation(page.payment)
        case "actions":
            return acts(page.payment, now)
        case _:
            return timeline(page.payment, page.events, now)


def later(tab: str, page: Page, made: Table, now: datetime) -> Table:
    """The same table some time later, without making again what the time does not change. `made`: what `lasting` gave."""
    if tab == "timeline":
        return since(made, page.payment, page.events, now)
    return acts(page.payment, now) if tab == "actions" else made


def lasting(tab: str, page: Page, now: datetime) -> Table:
    """The table of that tab, as far as it does not change with the time."""
    return lane(page.payment, page.events) if tab == "timeline" else table(tab, page, now)


def badge(tab: str, payment: Data) -> str:
    """How many there are behind a tab, where that is worth knowing before one looks."""
    counted = {
        "attempts": ("attempts", "operations", "disputes"),
        "webhooks": ("notices", "deliveries"),
        "ledger": ("postings",),
        "recon": ("settlement_lines",),
        "actions": ("acts",),
    }
    number = sum(len(rows_of(payment, name)) for name in counted.get(tab, ()))
    return f" {number}" if number else ""


def copies(payment: Data) -> list[tuple[str, str]]:
    """What is copied of a payment: names and values, the ones that are there."""
    attempts_ = rows_of(payment, "attempts")
    last = attempts_[-1] if attempts_ else {}
    named = [
        ("payment id", said(payment, "id")),
        ("psp reference", said(payment, "psp_reference")),
        ("merchant's reference", said(payment, "reference")),
        ("request id", said(last, "request_id")),
        ("idempotency key at the psp", said(last, "psp_key")),
        ("trace", said(last, "trace_id")),
        ("attempt id", said(last, "id")),
        ("command that opens it", f":pay {said(payment, 'id')}"),
        ("command of a shell", f"payorch ops payment {said(payment, 'id')} --json"),
    ]
    return [(name, value) for name, value in named if value]


def text(page: Page, now: datetime) -> str:
    """The page as text: its head, and every tab as a table."""
    lines: list[Line] = [paint.line(f"payment {said(page.payment, 'id')} as of {now:%Y-%m-%d %H:%M:%S}Z"), paint.EMPTY]
    lines += head(page.payment, now, TEXT_CELLS)
    for tab, title, _ in TABS:
        lines += [paint.EMPTY, paint.line(title), *as_lines(table(tab, page, now), TEXT_CELLS)]
    return "\n".join(paint.plain(one).rstrip() for one in lines) + "\n"


def as_lines(made: Table, cells: int) -> list[Line]:
    """A table as lines of so many cells, all of its columns."""
    if not made.rows:
        return [made.empty]
    fixed = sum(column.cells + 1 for column in made.columns)
    widths = [column.cells or max(20, cells - fixed) for column in made.columns]
    titles = tuple(paint.line((column.name, "strong")) for column in made.columns)
    found = []
    for row_cells, across in ((titles, False), *((row.cells, row.across) for row in made.rows)):
        if across:
            found.append(paint.fit(row_cells[0], cells))
            continue
        fitted = (paint.fit(one, width, column.align) for one, width, column in zip(row_cells, widths, made.columns, strict=False))
        found.append(paint.join(fitted, " "))
    return found
