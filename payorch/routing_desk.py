"""What people do about routing from the command line: see the rules, try others on past decisions, have a platform read them anew.

It works on a connection of its own, beside the running platform. A wish for new rules is a record in the journal; the platform that finds
it answers with another, and this waits for it. Not here: the rules (`payorch.domain.rules`), deciding again (`payorch.domain.rerouting`),
the platform's side (`payorch.routes`), printing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
import trio

from payorch.domain.capability import Manifest
from payorch.domain.events import Choice, Confirmation, Created
from payorch.domain.intent import Intent
from payorch.domain.rerouting import NOBODY, Comparison, Side, Simulation, Stored
from payorch.domain.rules import POINTS, Plan, Rule, RuleBook
from payorch.ports import Clock
from payorch.routes import LOADED, REFUSED, REQUESTED
from payorch.store import entries, routing_reads
from payorch.store.driver import Connection
from payorch.store.entries import Change
from payorch.store.items import ROUTING_STREAM
from payorch.store.reads import JournalRow
from payorch.store.routing_reads import STREAM_ID, Told
from payorch.wording import aligned, printable

_PAGE: Final = 500
_LOOK_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a wish for new rules. answered: a platform has looked; loaded: the rules are in force. version: of those in force."""

    answered: bool
    loaded: bool
    version: str = ""
    before: str | None = None
    doubts: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


class _Body(msgspec.Struct, frozen=True):
    version: str
    before: str | None = None
    doubts: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


async def ask_for_reload(connection: Connection, *, clock: Clock, actor: str, wish: str, patience_seconds: float) -> Verdict:
    """Has the platform that writes this journal read its rules anew, and waits for its answer. wish: a new id for it.

    Raises ChangeRefused, and psycopg's errors.
    """
    change = Change(stream=ROUTING_STREAM, stream_id=STREAM_ID, name=REQUESTED, rows=(), detail={})
    await entries.changed(connection, lambda entry: entries.visit(connection, entry), change, at=clock.now(), actor=actor, cause=wish)
    with trio.move_on_after(patience_seconds):
        while True:
            for record in reversed(await routing_reads.rule_records(connection)):
                if record.cause == wish and record.name in (LOADED, REFUSED):
                    body = msgspec.json.decode(record.body, type=_Body)
                    return Verdict(
                        answered=True,
                        loaded=record.name == LOADED,
                        version=body.version,
                        before=body.before,
                        doubts=body.doubts,
                        faults=body.faults,
                    )
            await trio.sleep(_LOOK_SECONDS)
    return Verdict(answered=False, loaded=False)


async def in_force(connection: Connection) -> JournalRow | None:
    """The record of the rules that a platform loaded last; None where none ever did."""
    return await routing_reads.last_rules(connection, (LOADED,))


async def simulate(
    connection: Connection,
    plan: Plan,
    manifests: Mapping[str, Manifest],
    *,
    since: datetime,
    until: datetime | None,
    limit: int,
    progress: Callable[[str], None],
) -> Comparison:
    """The decisions of payments made in that time, at most so many, made again under this plan."""
    simulation, after, left = Simulation(plan, manifests), None, limit
    while left > 0:
        told, after = await routing_reads.decided(connection, since, until, limit=min(_PAGE, left), after=after)
        for stored in stored_decisions(told):
            simulation.add(stored)
        left -= _PAGE
        progress(f"{simulation.comparison().payments} decisions")
        if after is None:
            break
    return simulation.comparison()


def stored_decisions(told: Collection[Told]) -> Iterator[Stored]:
    """The decisions among these events, each with its payment as it was then. Each payment's events stand together, in order."""
    asking: dict[str, tuple[str, Intent]] = {}
    for one in told:
        match one.event.data:
            case Created(merchant_id=merchant_id, intent=intent):
                asking[one.payment_id] = (merchant_id, intent)
            case Confirmation(method=method) if one.payment_id in asking:
                merchant_id, intent = asking[one.payment_id]
                asking[one.payment_id] = (merchant_id, msgspec.structs.replace(intent, method=method))
            case Choice(decision=decision) if one.payment_id in asking:
                merchant_id, intent = asking[one.payment_id]
                yield Stored(payment_id=one.payment_id, merchant_id=merchant_id, intent=intent, decision=decision)
            case _:
                pass


# --- as people and programs read them ---------------------------------------------------------------------------------------------------


def book_data(book: RuleBook) -> dict[str, Any]:
    """The rules for programs."""
    data: dict[str, Any] = msgspec.to_builtins(book)
    return {"version": book.version, **data}


def record_data(record: JournalRow | None) -> dict[str, Any] | None:
    """What a platform loaded last, for programs."""
    if record is None:
        return None
    body = msgspec.json.decode(record.body, type=_Body)
    return {"version": body.version, "since": _moment(record.at), "by": record.actor, "cause": record.cause}


def book_text(book: RuleBook) -> str:
    """The rules in columns."""
    rows = [(str(number), printable(rule.name), _conditions(rule), _answer(rule)) for number, rule in enumerate(book.rules, start=1)]
    rows.append(("", "default", "everything else", " > ".join(book.default)))
    weights = ", ".join(f"{name} {value:g}" for name, value in msgspec.structs.asdict(book.weights).items())
    fees = f"\n{len(book.fees)} fees are known" if book.fees else ""
    return f"version {book.version}\n\n{aligned([('', 'rule', 'when', 'then'), *rows])}\n\nweights: {weights}{fees}"


def _conditions(rule: Rule) -> str:
    said = msgspec.to_builtins(rule.when)
    return printable(msgspec.json.encode(said).decode()) if said else "everything"


def _answer(rule: Rule) -> str:
    if rule.split:
        return ", ".join(f"{name} {percent} %" for name, percent in rule.split.items())
    return f"{' > '.join(rule.prefer)}{' (strict)' if rule.strict else ''}"


def comparison_data(comparison: Comparison) -> dict[str, Any]:
    """A comparison for programs."""
    data: dict[str, Any] = msgspec.to_builtins(comparison)
    examples = [{"payment": payment, "before": before, "after": after} for payment, before, after in comparison.examples]
    return {**data, "examples": examples}


def comparison_text(comparison: Comparison) -> str:
    """A comparison for people."""
    total = comparison.payments
    if not total:
        return f"no decision of that time can be made again ({comparison.not_replayable} do not say what they were made from)"
    names = sorted({*comparison.before.first, *comparison.after.first}, key=lambda name: (name == NOBODY, name))
    rows = [("", "as it was", "under these rules")]
    rows += [(name, _share(comparison.before, name, total), _share(comparison.after, name, total)) for name in names]
    rows.append(("expected approvals", f"{comparison.before.success / 100:.2f} %", f"{comparison.after.success / 100:.2f} %"))
    for currency in sorted({*comparison.before.fees_minor, *comparison.after.fees_minor}):
        before, after = (side.fees_minor.get(currency, 0) for side in (comparison.before, comparison.after))
        rows.append((f"expected fees, {currency} minor units", str(before), str(after)))
    if comparison.before.without_fee or comparison.after.without_fee:
        rows.append(("payments without a known fee", str(comparison.before.without_fee), str(comparison.after.without_fee)))
    lines = [f"{total} decisions, made again under version {comparison.version}", "", aligned(rows), ""]
    lines.append(f"{comparison.changed} would go to somebody else first, {comparison.reordered} more differ behind the first")
    if comparison.same_rules:
        same = "all came out the same" if not comparison.differing else f"{comparison.differing} came out differently"
        lines.append(f"{comparison.same_rules} were decided under these very rules; {same}")
    if comparison.not_replayable:
        lines.append(f"{comparison.not_replayable} more are of an older program and cannot be made again")
    return "\n".join(lines)


def _share(side: Side, name: str, total: int) -> str:
    count = side.first.get(name, 0)
    return f"{count * POINTS // total / 100:.2f} % ({count})"


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
