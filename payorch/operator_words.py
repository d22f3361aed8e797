"""What operators' commands show, as text for people: lists in columns, and one thing line by line.

Everything comes from outside and is made harmless first. Not here: asking for it (`operator_client`), JSON, which is shown as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from payorch.domain.money import EXPONENTS, Money
from payorch.wording import aligned, printable, shortened

Column: TypeAlias = tuple[str, str]
"""A heading, and where the value stands: names with points between them; `NAME currency` is an amount of the entry in its own currency."""

_LONGEST_CELL: Final = 70
_DEEPEST: Final = 6

LISTS: Final[Mapping[str, tuple[Column, ...]]] = {
    "payments": (
        ("id", "id"), ("state", "state"), ("amount", "amount currency"), ("captured", "amount_captured currency"),
        ("refunded", "amount_refunded currency"),
        ("merchant", "merchant"), ("connector", "connector"), ("reference", "reference"), ("created", "created_at"),
    ),
    "payment_attempts": (
        ("attempt", "id"), ("connector", "connector"), ("state", "state"), ("amount", "amount"), ("PSP's reference", "psp_reference"),
        ("looks", "looks"), ("next", "next_action_at"), ("why not", "failure.message"),
    ),
    "payment_operations": (
        ("operation", "id"), ("what", "object"), ("state", "state"), ("amount", "amount"), ("by", "origin"),
        ("PSP's reference", "psp_reference"), ("looks", "looks"), ("next", "next_action_at"), ("why not", "failure.message"),
    ),
    "payment_actions": (("action", "action"), ("people", "people"), ("allowed", "allowed"), ("why not", "why_not")),
    "timeline": (("at", "at"), ("source", "source"), ("who", "who"), ("event", "event"), ("what", "text"), ("ms", "latency_ms")),
    "routing": (("at", "at"), ("rule", "rule"), ("order", "order"), ("excluded", "excluded")),
    "decisions": (("at", "at"), ("payment", "payment_id"), ("rule", "rule"), ("chosen", "chosen"), ("order", "order")),
    "connectors": (
        ("connector", "name"), ("state", "state"), ("ok %", "ok_percent"), ("p50 ms", "latency.p50_ms"), ("p99 ms", "latency.p99_ms"),
        ("calls/s", "calls_per_second"), ("share %", "share_percent"), ("in flight", "in_flight"), ("unknown", "unknown"),
        ("dead letters", "dead_letters"),
    ),
    "dead_letters": (
        ("id", "id"), ("since", "first_failed_at"), ("tries", "attempts"), ("kind", "kind"), ("origin", "origin"), ("why", "reason_class"),
        ("state", "state"),
    ),
    "dead_letter_groups": (
        ("open", "open"), ("letters", "letters"), ("oldest", "first_failed_at"), ("newest", "last_failed_at"),
        ("fingerprint", "fingerprint"), ("for instance", "example"),
    ),
    "days": (
        ("day", "day"), ("connector", "connector"), ("", "currency"), ("state", "state"), ("settled", "settled.count"),
        ("pending", "pending.count"), ("mismatched", "mismatched.count"), ("reviewed", "manually_reviewed.count"),
        ("gross difference", "gross_difference"), ("left to do", "left_to_do"),
    ),
    "items": (
        ("status", "status"), ("connector", "connector"), ("", "currency"), ("what", "object"), ("line", "line.number"),
        ("gross", "line.gross"), ("movement", "movement.amount"), ("payment", "line.payment_id"), ("findings", "findings"),
    ),
    "audit": (("position", "position"), ("at", "at"), ("who", "actor"), ("event", "event"), ("subject", "subject_id"), ("what", "text")),
    "acts": (
        ("id", "id"), ("state", "state"), ("action", "action"), ("subject", "subject"), ("asked by", "requested_by.name"),
        ("decided by", "decided_by.name"), ("people", "people"), ("reason", "reason"), ("at", "requested_at"),
    ),
    "attention": (("", "severity"), ("what", "what"), ("count", "count"), ("at risk", "at_risk"), ("since", "since")),
}  # fmt: skip


def table(name: str, view: Mapping[str, Any]) -> str:
    """A list in columns, with what there is beyond it."""
    entries: Sequence[Mapping[str, Any]] = view["data"]
    if not entries:
        return "(nothing)"
    columns = LISTS[name]
    rows = [tuple(heading for heading, _ in columns), *(tuple(_cell(one, where) for _, where in columns) for one in entries)]
    more = view.get("next_cursor")
    total = view.get("total")
    lines = [aligned(rows)]
    if total is not None:
        lines.append(f"\n{len(entries)} of {total if view.get('total_is_exact', True) else f'more than {total}'}")
    if more:
        lines.append(f"\nmore: --cursor {printable(str(more))}")
    return "".join(f"{line}\n" for line in lines).rstrip("\n")


def whole(view: Mapping[str, Any]) -> str:
    """Everything of one thing: a name and its value in each line, what belongs to it further in."""
    return "\n".join(_lines(view, 0))


def payment_text(payment: Mapping[str, Any]) -> str:
    """A payment explained: did money move and who says so, why it stands there, what happens next, what may be done."""
    money, why, coming = payment["money"], payment["why"] or {}, payment["next"] or {}
    amount = _money({"amount": payment["amount"], "currency": payment["currency"]})
    opinions = "; ".join(f"{who} {_word((money[part] or {}).get('text')) or 'nothing'}" for who, part in _OPINIONS)
    head = [
        ("", f"{payment['id']}  {payment['state']}  {amount}  {_word(payment['merchant']['name'])}  {_word(payment['reference'])}"),
        ("money", opinions),
        ("", f"THEY DISAGREE: {_word(money['disagreement'])}" if money["disagreement"] else ""),
        ("why", f"{_word(why.get('headline'))}: {_word(why.get('text'))}" if why else ""),
        ("next", " ".join(filter(None, (_word(coming.get("text")), _word(coming.get("at")))))),
        ("then", " ".join(filter(None, (_word(coming.get("then")), _word(coming.get("gives_up_at")))))),
        ("held", _word(payment["held"])),
        ("route", " -> ".join(map(_word, payment["route"]))),
    ]
    parts = [aligned([row for row in head if row[1]])]
    for name in ("attempts", "operations", "actions", "acts"):
        if payment[name]:
            parts.append(table(f"payment_{name}" if name != "acts" else name, {"data": payment[name]}))
    parts.append("more: `payorch ops timeline`, `payorch ops route`, or all of it with --json")
    return "\n\n".join(parts)


_OPINIONS: Final = (("we", "ours"), ("our ledger", "ledger"), ("the PSP", "psp"), ("its reports", "settlement"))


def plan_text(plan: Mapping[str, Any]) -> str:
    """A plan as whoever asks for it, or agrees to it, needs to read it."""
    head = f"{plan['verb']}: {plan['subject']}   ({_people(plan)})"
    lines = [printable(head)]
    lines += [f"  {one['what']:<8} {printable(one['before'])}  ->  {printable(one['after'])}" for one in plan["effects"]]
    lines.append(f"  undo     {printable(plan['undo'])}")
    lines += [f"  {_mark(one)} {printable(one['what'])}{_about(one.get('detail'))}" for one in plan["checks"]]
    lines += [f"  proof    {printable(one['reference'])}: {printable(one['text'])}" for one in plan["proofs"]]
    lines += [f"  NOT ALLOWED ({one['code']}): {printable(one['why'])}" for one in plan["objections"]]
    return "\n".join(lines)


def act_text(act: Mapping[str, Any]) -> str:
    """An act, and what came of it."""
    result = act.get("result") or {}
    told = result.get("text") or (act.get("progress") or {}).get("text") or ""
    waits = "  it waits for another person" if act["state"] == "proposed" else ""
    return printable(f"{act['id']}  {act['action']} {act['subject']}: {act['state']}{waits}  {told}").rstrip()


def event_line(kind: str, event: Mapping[str, Any]) -> str | None:
    """One message of the stream in one line; None for what only says that it is alive."""
    if kind in ("hb", "vital"):
        return None
    if "position" not in event:
        return printable(f"({kind}: {event.get('reason', '')})")
    change = f"  {event['change']}" if event.get("change") else ""
    return printable(
        f"{event['position']:>8}  {event['at']}  {kind:<14}  {event['subject_id']}{change}  {event['text']}  ({event['actor']})"
    )


def _people(plan: Mapping[str, Any]) -> str:
    return "one person" if plan["people"] == 1 else f"two people: {plan['why_people']}"


def _mark(check: Mapping[str, Any]) -> str:
    return "ok      " if check["holds"] else "WARNING "


def _about(detail: str | None) -> str:
    return f" ({printable(detail)})" if detail else ""


def _cell(entry: Mapping[str, Any], where: str) -> str:
    if where.endswith(" currency"):
        amount = entry.get(where.removesuffix(" currency"))
        return "" if amount is None else _money({"amount": amount, "currency": entry.get("currency")})
    value: Any = entry
    for name in where.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return shortened(_word(value), _LONGEST_CELL)


def _word(value: Any) -> str:
    """A value in one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return _money(value) if set(value) == {"amount", "currency"} else ", ".join(f"{name} {_word(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(_name_of(one) for one in value)
    return printable(str(value))


def _name_of(value: Any) -> str:
    if isinstance(value, Mapping):
        if set(value) == {"amount", "currency"}:
            return _money(value)
        if set(value) == {"connector", "reason"}:
            return f"{_word(value['connector'])}: {_word(value['reason'])}"
        return _word(value.get("id") or value.get("name") or value)
    return _word(value)


def _money(value: Mapping[str, Any]) -> str:
    minor, currency = value.get("amount"), value.get("currency")
    if not isinstance(minor, int) or currency not in EXPONENTS:
        return _word(minor) if currency is None else f"{_word(minor)} {printable(str(currency))}"
    return f"{Money(minor, str(currency)).major()} {currency}"


def _lines(value: Any, depth: int) -> list[str]:
    shown: Callable[[Any], bool] = lambda one: one not in (None, [], {})  # noqa: E731
    indent = "  " * depth
    if isinstance(value, Mapping) and set(value) != {"amount", "currency"} and depth < _DEEPEST:
        lines: list[str] = []
        for name, one in value.items():
            if not shown(one):
                continue
            nested = isinstance(one, (Mapping, list)) and not (isinstance(one, Mapping) and set(one) == {"amount", "currency"})
            if nested and not (isinstance(one, list) and all(not isinstance(item, (Mapping, list)) for item in one)):
                lines += [f"{indent}{printable(str(name))}", *_lines(one, depth + 1)]
            else:
                lines.append(f"{indent}{printable(str(name)):<{max(1, 24 - len(indent))}} {_word(one)}")
        return lines
    if isinstance(value, list) and depth < _DEEPEST:
        lines = []
        for one in value:
            inner = _lines(one, depth + 1)
            lines += [f"{indent}-", *inner] if isinstance(one, Mapping) else [f"{indent}- {_word(one)}"]
        return lines
    return [f"{indent}{_word(value)}"]
