"""Connectors as data: the row of each, what stands beside the list, and the head and the charts of a connector's page.

Not here: the tables of the page (`tui.views.connector_tables`), trying other rules (`tui.views.routing`), the screens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from tui import paint
from tui.paint import Line, Piece, Tone
from tui.views.overview import latency_scale, milliseconds
from tui.views.table import Data, member, number, rows_of, said, table_of, whole, wrapped
from tui.widgets.minichart import PERCENT, Scale, chart
from tui.widgets.rows import Column

OPERATIONS: Final = ("authorize", "capture", "void", "refund", "lookup")
"""The calls that have a breaker, in the order of a payment's life. Others that the server names come after them."""
OK_BAD_PERCENT: Final = 80.0
"""Of calls that were answered as by one that is well; breakers open at about half, and should not come as a surprise."""
OK_WARN_PERCENT: Final = 95.0
STOPPED: Final = frozenset({"open", "forced_open"})
BUDGET_LOW: Final = 0.25
"""Of the retry budget: with less than a quarter left, calls are about not to be repeated."""


# --- one circuit -----------------------------------------------------------------------------------------------------------------------


def operations(connector: Data) -> list[str]:
    """The calls that have a breaker there."""
    there = table_of(connector, "circuits")
    return [*(one for one in OPERATIONS if one in there), *sorted(str(one) for one in there if one not in OPERATIONS)]


def left(until: object, now: datetime) -> str:
    """How long until then: 18s; overdue is 0."""
    at = paint.instant(until)
    return "" if at is None else paint.span(max(0.0, (at - now).total_seconds()))


def mode(value: object, until: object, now: datetime) -> Line:
    """✕ open 18s: the state of a breaker, and how long it stays so."""
    if value is None:
        return paint.state(None)
    remains = left(until, now)
    name = str(value).replace("_", " ")
    tone: Tone = "warn" if value == "forced_closed" else paint.state_tone(value)  # it is well by somebody's word only
    return paint.line((f"{paint.glyph(tone)} {name}", tone), (f" {remains}" if remains else "", "dim"))


def state_of(connector: Data, now: datetime) -> Line:
    """The state of the connector in one word: that it is drained, or how the breaker of authorisations stands."""
    if said(connector, "state") == "draining":
        return mode("draining", member(connector, "draining", "until"), now)
    line = mode(connector.get("state"), member(connector, "circuits", "authorize", "until"), now)
    others = sum(said(connector, "circuits", one, "mode") not in ("closed", "") for one in operations(connector) if one != "authorize")
    return line + paint.line((f" +{others}" if others else "", "warn"))


# --- the rows of lists -----------------------------------------------------------------------------------------------------------------


def rows(connectors: Iterable[Data], now: datetime, slo: int | None = None) -> list[dict[str, Any]]:
    """A row of each, with what depends on the time of day as it is now."""
    return [{**one, "breaker": state_of(one, now), "slo": slo} for one in connectors]


def key(row: Data) -> str:
    return said(row, "name")


def is_problem(row: Data) -> bool:
    """Whether a person should look at it: it is not closed, or something of it is unknown."""
    return said(row, "state") not in ("closed", "") or bool(row.get("unknown"))


def _name(row: Data) -> Line:
    off = row.get("enabled") is False
    return paint.line((said(row, "name"), "dim" if off else "strong"), (" off" if off else "", "warn"))


def _breaker(row: Data) -> Line:
    found: Line = row.get("breaker") or paint.EMPTY
    return found


def ok_percent(row: Data) -> Line:
    """The share of calls that it answered as one that is well does."""
    value = number(row, "ok_percent")
    return paint.line((paint.percent(value), "dim" if value is None else ok_tone(value)))


def ok_tone(value: float) -> Tone:
    return "bad" if value < OK_BAD_PERCENT else "warn" if value < OK_WARN_PERCENT else ""


def _milliseconds(name: str) -> Callable[[Data], Line]:
    def draw(row: Data) -> Line:
        value, slo = whole(row, "latency", name), whole(row, "slo")
        return paint.line((paint.count(value), "bad" if value is not None and slo is not None and value > slo else ""))

    return draw


def per_second(row: Data) -> Line:
    value = number(row, "calls_per_second")
    return paint.line(paint.glyph("none") if value is None else f"{value:.1f}" if value < 10 else f"{value:.0f}")


def share(row: Data) -> Line:
    """Of all that is routed, on the fixed scale."""
    return paint.bar(number(row, "share_percent"), 8)


def count(name: str, tone: Tone = "") -> Callable[[Data], Line]:
    """A column of whole numbers; none is dim."""
    return lambda row: paint.line((paint.count(whole(row, name)), tone if whole(row, name) else "dim"))


def _of(part: object, most: object) -> Line:
    known = isinstance(part, int) and isinstance(most, int)
    return paint.line(paint.count(part), (f" of {paint.count(most)}" if known else "", "dim"))


PANE: Final = (
    Column("name", "connector", 9, _name, grow=True),
    Column("state", "breaker", 18, _breaker),
    Column("ok", "ok%", 6, ok_percent, align="right"),
    Column("p50", "p50", 5, _milliseconds("p50_ms"), align="right", least=56),
    Column("p99", "p99", 6, _milliseconds("p99_ms"), align="right"),
    Column("rps", "rps", 4, per_second, align="right", least=46),
    Column("share", "share", 13, share, least=66),
)
"""Beside what needs attention."""
LIST: Final = (
    Column("name", "connector", 11, _name, grow=True, sort=key),
    Column("state", "breaker", 18, _breaker, sort=lambda row: said(row, "state")),
    Column("ok", "ok%", 6, ok_percent, align="right", sort=lambda row: number(row, "ok_percent")),
    Column("p50", "p50 ms", 6, _milliseconds("p50_ms"), align="right", least=72, sort=lambda row: whole(row, "latency", "p50_ms")),
    Column("p90", "p90 ms", 6, _milliseconds("p90_ms"), align="right", least=96, sort=lambda row: whole(row, "latency", "p90_ms")),
    Column("p99", "p99 ms", 6, _milliseconds("p99_ms"), align="right", sort=lambda row: whole(row, "latency", "p99_ms")),
    Column("rps", "rps", 5, per_second, align="right", least=66, sort=lambda row: number(row, "calls_per_second")),
    Column("in_flight", "flight", 6, lambda row: paint.line(paint.count(whole(row, "in_flight"))), align="right", least=104),
    Column("unknown", "unknown", 7, count("unknown", "unknown"), align="right"),
    Column("dlq", "dead", 5, count("dead_letters", "bad"), align="right", sort=lambda row: whole(row, "dead_letters")),
    Column("share", "share", 14, share, least=86, sort=lambda row: number(row, "share_percent")),
)
"""On the screen of connectors."""


def beside(row: Data, now: datetime) -> list[Line]:
    """What stands beside the list of connectors: each breaker, and what waits."""
    if not row:
        return []
    lines = [paint.line((said(row, "name"), "strong")) + paint.line("  ") + state_of(row, now)]
    if drained := drain(row, now):
        lines.append(drained)
    lines.append(paint.EMPTY)
    for name in operations(row):
        circuit = table_of(row, "circuits", name)
        lines.append(paint.line((f"{paint.safe(name, 10):<10} ", "dim")) + mode(circuit.get("mode"), circuit.get("until"), now))
        counted = f"{paint.count(whole(circuit, 'failures'))} of {paint.count(whole(circuit, 'calls'))} failed"
        code = said(circuit, "code")
        lines.append(paint.line((f"{'':<11}{counted}{f', {code}' if code else ''}", "dim")))
    return [*lines, paint.EMPTY, *facts(row)]


# --- the page's head -------------------------------------------------------------------------------------------------------------------


def drain(connector: Data, now: datetime) -> Line:
    """That it takes no new payments, until when, by whom and why; nothing where it does."""
    if not isinstance(connector.get("draining"), Mapping):
        return paint.EMPTY
    told = table_of(connector, "draining")
    until = f"{paint.moment(told.get('until'))[:8]}Z in {left(told.get('until'), now) or '?'}"
    return paint.line(
        (f"{paint.glyph('warn')} takes no new payments until {until}", "warn"), (f", by {said(told, 'by')}: {said(told, 'reason')}", "dim")
    )


def facts(connector: Data) -> list[Line]:
    """What waits where: bulkhead, mailbox, retry budget, dead letters, unknown outcomes, notices."""
    tokens, most = number(connector, "retry_budget", "tokens"), number(connector, "retry_budget", "most")
    low = tokens is not None and most is not None and tokens < BUDGET_LOW * most
    waiting = whole(connector, "waiting")
    lag = number(connector, "webhook_lag_seconds")
    budget = paint.glyph("none") if tokens is None or most is None else f"{tokens:.1f} of {most:.0f}"
    return [
        paint.line(("in flight ", "dim"), paint.count(whole(connector, "in_flight")))
        + paint.line((" over ", "dim"), paint.count(whole(connector, "connections")), (" connections", "dim"))
        + paint.line((f", {paint.count(waiting)} wait for one", "bad" if waiting else "dim")),
        paint.line(("mailbox ", "dim")) + _of(member(connector, "mailbox", "depth"), member(connector, "mailbox", "capacity")),
        paint.line(("retry budget ", "dim"), (budget, "warn" if low else "")),
        paint.line(("dead letters ", "dim")) + count("dead_letters", "bad")(connector),
        paint.line(("unknown outcomes ", "dim")) + count("unknown", "unknown")(connector),
        paint.line(("webhook lag ", "dim"), paint.glyph("none") if lag is None else f"{lag:.1f} s"),
    ]


def head(connector: Data, now: datetime, cells: int, most: int = 6) -> list[Line]:
    """The lines above the charts, each at most so wide."""
    name = paint.line((said(connector, "name"), "strong"), ("  switched off" if connector.get("enabled") is False else "", "warn"))
    first = name + paint.line("  ") + state_of(connector, now)
    first += paint.line(("   why ", "dim"), said(connector, "circuits", "authorize", "reason")) if _is_stopped(connector) else paint.EMPTY
    slo = whole(connector, "slo_ms")
    flow = paint.line(("calls ", "dim")) + per_second(connector) + paint.line(("/s  ok ", "dim")) + ok_percent(connector)
    of_all = number(connector, "share_percent")
    flow += paint.line(("  share ", "dim"), paint.percent(of_all, 0))
    for point in ("p50", "p90", "p99"):
        value = whole(connector, "latency", f"{point}_ms")
        late = value is not None and slo is not None and value > slo
        flow += paint.line((f"  {point} ", "dim"), (milliseconds(value), "bad" if late else ""))
    flow += paint.line(("  SLO ", "dim"), milliseconds(slo))
    found = [first, *([drained] if (drained := drain(connector, now)) else []), flow, paint.join(facts(connector), "   ")]
    return [line for one in found for line in wrapped(one, cells, 3)][:most]


def _is_stopped(connector: Data) -> bool:
    return said(connector, "circuits", "authorize", "mode") in STOPPED and bool(said(connector, "circuits", "authorize", "reason"))


# --- the page's charts -----------------------------------------------------------------------------------------------------------------


def charts(connector: Data, cells: int, rows: int, most: int = 4) -> list[Line]:
    """The last hour by the minute: p99 and p50 with the line of the SLO, the share that was well, and calls; two side by side."""
    slo = whole(connector, "slo_ms")
    series = table_of(connector, "series")
    calls = series.get("calls")
    full = round_up(max((one for one in calls if type(one) is int), default=0)) if isinstance(calls, list) else 10
    parts = [
        ("p99", "p99_ms", latency_scale(slo), f"0 to {milliseconds(2 * slo)}, {_rule()} SLO {milliseconds(slo)}" if slo else "0 to 5.00 s"),
        ("ok%", "ok_percent", PERCENT, "0 to 100%"),
        ("p50", "p50_ms", latency_scale(slo), f"0 to {milliseconds(2 * slo)}" if slo else "0 to 5.00 s"),
        ("calls/min", "calls", Scale(low=0, high=full), f"0 to {paint.count(full)}"),
    ]
    wide = (cells - 2) // 2
    blocks = [_chart(title, series.get(name), scale, note, wide, rows) for title, name, scale, note in parts[:most]]
    lines: list[Line] = []
    for at in range(0, len(blocks), 2):
        pair = blocks[at : at + 2]
        lines += [(*one, Piece("  "), *other) for one, other in zip(pair[0], pair[1], strict=True)]
    return lines


def _chart(title: str, values: object, scale: Scale, note: str, cells: int, rows: int) -> list[Line]:
    known = [one for one in values if number({"": one}, "") is not None] if isinstance(values, Sequence) else []
    none = "" if known else "  nothing measured in the last hour"
    label = paint.line((f"{title} 1 h ", "key"), (note, "dim"), (none, "warn"))
    return [paint.fit(label, cells), *chart(values, cells, rows, scale)]


def _rule() -> str:
    return paint.glyph("rule")


def round_up(value: int) -> int:
    """The next of 10, 20, 50, 100, 200, ...: so that a scale changes seldom."""
    step = 10
    while True:
        for factor in (1, 2, 5):
            if value <= step * factor:
                return step * factor
        step *= 10


# --- what may be done ------------------------------------------------------------------------------------------------------------------


def actions(connector: Data, meta: Data, operation: str | None = None) -> tuple[Data, ...]:
    """The server's list for this connector, or where only a row of a list is known what there is at all; only of one breaker and of the
    connector as a whole where an operation is named."""
    name = said(connector, "name")
    listed = rows_of(connector, "actions") or _known(name, operations(connector), meta)
    if operation is None:
        return tuple(listed)
    wanted = {name, f"{name}/{operation}"}
    return tuple(one for one in listed if said(one, "subject") in wanted)


def _known(name: str, circuits: list[str], meta: Data) -> list[Data]:
    found: list[Data] = []
    for one in rows_of(meta, "actions"):
        kind = said(one, "subject")
        subjects = [name] if kind == "connector" else [f"{name}/{circuit}" for circuit in circuits] if kind == "circuit" else []
        told = {"action": one.get("name"), "verb": one.get("verb"), "allowed": one.get("may", True), "why_not": one.get("why_not")}
        found += [{**told, "people": None, "subject": subject} for subject in subjects]
    return found
