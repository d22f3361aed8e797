"""The command line's twins of the console: each view and each act, without a screen, in an operator's name, over the operations API.

As in `cli`, which registers these commands: one function for each. Not here: asking (`operator_client`), words (`operator_words`), what
operators do next to the database without a platform (`cli_findings`, `cli_days`, `cli_webhooks`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from cyclopts import App, Parameter, validators

from payorch.cli_place import HERE, At, Where
from payorch.terminal import CalledWrongly, CommandFailed, Json, as_text, show, tell

MOST: Final = 10_000

ops = App(name="ops", help="What the console shows and does, without a screen: over the operations API, as an operator.")

Most = Annotated[int, Parameter(name="--limit", validator=validators.Number(gte=1, lte=MOST), help="so many at most")]
Cursor = Annotated[str | None, Parameter(help="where the page before ended")]


async def _get(path: str, query: Mapping[str, Any], at: Where) -> dict[str, Any]:
    from payorch.operator_client import operator_client

    async with operator_client(at.place()) as client:
        return await client.get(path, query)


async def _list(name: str, path: str, query: Mapping[str, Any], limit: int, json: bool, at: Where) -> None:
    from payorch import operator_words
    from payorch.operator_client import operator_client

    async with operator_client(at.place()) as client:
        view = await client.pages(path, query, most=limit)
    show(view, json, lambda: operator_words.table(name, view))


async def _whole_list(name: str, path: str, json: bool, at: Where, query: Mapping[str, Any] | None = None) -> None:
    """One that comes without pages."""
    from payorch import operator_words

    view = await _get(path, query or {}, at)
    show(view, json, lambda: operator_words.table(name, view))


async def _one(path: str, query: Mapping[str, Any], json: bool, at: Where) -> None:
    from payorch import operator_words

    view = await _get(path, query, at)
    show(view, json, lambda: operator_words.whole(view))


# --- seeing -----------------------------------------------------------------------------------------------------------------------------


@ops.command
async def meta(*, at: At = HERE, json: Json = False) -> None:
    """Which platform this is, as whom it is asked, and which actions there are."""
    await _one("meta", {}, json, at)


@ops.command
async def overview(*, at: At = HERE, json: Json = False) -> None:
    """How it goes: what needs attention first, then the figures."""
    from payorch import operator_words

    view = await _get("snapshot", {}, at)
    found = view["overview"] or {"attention": [], "tiles": {}}

    def text() -> str:
        attention = operator_words.table("attention", {"data": found["attention"]})
        connectors = operator_words.table("connectors", {"data": view["connectors"] or []})
        return f"{attention}\n\n{connectors}\n\n{operator_words.whole(found['tiles'])}"

    show(view, json, text)


@ops.command
async def watch(
    *,
    topics: Annotated[str | None, Parameter(help="only these, as in payment,connector")] = None,
    after: Annotated[int | None, Parameter(help="from this position on [default: from now on]")] = None,
    count: Annotated[int | None, Parameter(validator=validators.Number(gte=1), help="end after so many")] = None,
    at: At = HERE,
    json: Json = False,
) -> None:
    """Follow the live stream: one line for each event, with --json one object."""
    from payorch import operator_words
    from payorch.operator_client import operator_client

    seen = 0
    async with operator_client(at.place()) as client:
        async for kind, event in client.stream(topics=topics, after=None if after is None else str(after)):
            line = as_text({"kind": kind, **event}) if json else operator_words.event_line(kind, event)
            if line is None or (json and kind in ("hb", "vital")):
                continue
            tell(line)
            seen += 1
            if seen == count:
                return


@ops.command
async def payments(
    *,
    state: str | None = None,
    status: str | None = None,
    connector: str | None = None,
    merchant: str | None = None,
    reference: str | None = None,
    psp_reference: str | None = None,
    currency: str | None = None,
    amount_min: int | None = None,
    amount_max: int | None = None,
    created_from: str | None = None,
    created_to: str | None = None,
    held: Annotated[bool | None, Parameter(negative="")] = None,
    problem: Annotated[bool | None, Parameter(negative="", help="only those that need people or an answer")] = None,
    query: Annotated[str | None, Parameter(name="--q", help="an id, a PSP's reference, or how the merchant's begins")] = None,
    limit: Most = 50,
    cursor: Cursor = None,
    at: At = HERE,
    json: Json = False,
) -> None:
    """List payments of all merchants, newest first."""
    asked = {
        "state": state, "status": status, "connector": connector, "merchant": merchant, "reference": reference,
        "psp_reference": psp_reference, "currency": currency, "amount_min": amount_min, "amount_max": amount_max,
        "created_from": created_from, "created_to": created_to, "held": _yes(held), "problem": _yes(problem), "q": query, "cursor": cursor,
    }  # fmt: skip
    await _list("payments", "payments", asked, limit, json, at)


@ops.command
async def payment(payment_id: str, *, at: At = HERE, json: Json = False) -> None:
    """Explain a payment: whether money moved and who says so, why it stands where it stands, what happens next, what may be done."""
    from payorch import operator_words

    view = await _get(f"payments/{segment(payment_id)}", {}, at)
    show(view, json, lambda: operator_words.payment_text(view))


@ops.command
async def timeline(payment_id: str, *, at: At = HERE, json: Json = False) -> None:
    """Everything that happened to a payment, from all sources, in order."""
    await _whole_list("timeline", f"payments/{segment(payment_id)}/timeline", json, at)


@ops.command
async def route(payment_id: str, *, at: At = HERE, json: Json = False) -> None:
    """Why a payment went where it went."""
    await _whole_list("routing", f"payments/{segment(payment_id)}/routing", json, at)


@ops.command
async def connectors(*, at: At = HERE, json: Json = False) -> None:
    """How each PSP does."""
    await _whole_list("connectors", "connectors", json, at)


@ops.command
async def connector(name: str, *, at: At = HERE, json: Json = False) -> None:
    """One PSP: latency, errors, breakers, bulkhead, retry budget, recent decisions for and against it."""
    await _one(f"connectors/{segment(name)}", {}, json, at)


@ops.command
async def routing(*, at: At = HERE, json: Json = False) -> None:
    """The rules that are in force."""
    await _one("routing", {}, json, at)


@ops.command
async def decisions(
    *,
    connector: str | None = None,
    limit: Most = 50,
    cursor: Cursor = None,
    at: At = HERE,
    json: Json = False,
) -> None:
    """The last decisions of routing, newest first."""
    await _list("decisions", "routing/decisions", {"connector": connector, "cursor": cursor}, limit, json, at)


@ops.command(name="what-if")
async def what_if(
    rules: Annotated[Path, Parameter(validator=validators.Path(exists=True, dir_okay=False), help="as config/routing.toml")],
    *,
    since: Annotated[str | None, Parameter(help="payments made at this time or later [default: 24 hours ago]")] = None,
    until: str | None = None,
    limit: Most = MOST,
    at: At = HERE,
    json: Json = False,
) -> None:
    """Make stored decisions again under other rules. Changes nothing."""
    from payorch import operator_words
    from payorch.operator_client import operator_client

    body = {"routing": rules.read_text(encoding="utf-8"), "from": since, "to": until, "limit": limit}
    async with operator_client(at.place()) as client:
        view = await client.post("routing/simulations", body)
    show(view, json, lambda: operator_words.whole(view))


@ops.command(name="dead-letters")
async def dead_letters(
    *,
    group: Annotated[bool, Parameter(negative="", help="those that failed alike in one line")] = False,
    state: Literal["open", "replayed", "discarded"] | None = None,
    kind: Literal["webhook_in", "webhook_out", "settlement_row"] | None = None,
    origin: str | None = None,
    fingerprint: str | None = None,
    payment_id: str | None = None,
    limit: Most = 50,
    cursor: Cursor = None,
    at: At = HERE,
    json: Json = False,
) -> None:
    """What died and waits for people."""
    asked = {"state": state, "kind": kind, "origin": origin, "fingerprint": fingerprint, "payment_id": payment_id, "cursor": cursor}
    if group:
        return await _whole_list("dead_letter_groups", "dead-letters", json, at, {**asked, "cursor": None, "group": "fingerprint"})
    return await _list("dead_letters", "dead-letters", asked, limit, json, at)


@ops.command(name="dead-letter")
async def dead_letter(letter_id: str, *, at: At = HERE, json: Json = False) -> None:
    """One of them, with its contents, redacted."""
    await _one(f"dead-letters/{segment(letter_id)}", {}, json, at)


@ops.command
async def days(
    *,
    since: Annotated[str | None, Parameter(help="a day, as in 2026-01-31 [default: a week ago]")] = None,
    until: str | None = None,
    connector: str | None = None,
    at: At = HERE,
    json: Json = False,
) -> None:
    """Days of reconciliation, newest first."""
    from payorch import operator_words

    view = await _get("reconciliation/days", {"from": since, "to": until, "connector": connector}, at)
    show(view, json, lambda: operator_words.table("days", view))


@ops.command
async def day(
    day: str,
    *,
    connector: str | None = None,
    items: Annotated[bool, Parameter(negative="", help="what it consists of")] = False,
    status: str | None = None,
    limit: Most = 200,
    at: At = HERE,
    json: Json = False,
) -> None:
    """One day of reconciliation, or what it consists of."""
    path = f"reconciliation/days/{segment(day)}"
    if items or status is not None:
        asked = {"connector": connector, "status": status}
        return await _list("items", f"{path}/items", asked, limit, json, at)
    return await _one(path, {"connector": connector}, json, at)


@ops.command
async def audit(
    *,
    who: str | None = None,
    act: Annotated[str | None, Parameter(help="the record's name, as in Approved")] = None,
    subject: str | None = None,
    stream: str | None = None,
    connector: str | None = None,
    since: Annotated[str | None, Parameter(help="a time, as in 2026-01-31T10:00:00Z")] = None,
    until: str | None = None,
    query: Annotated[str | None, Parameter(name="--q", help="words in it")] = None,
    scope: Literal["people", "all"] | None = None,
    limit: Most = 50,
    cursor: Cursor = None,
    at: At = HERE,
    json: Json = False,
) -> None:
    """Search the journal: what people did and were refused, or everything."""
    asked = {
        "who": who, "act": act, "subject": subject, "stream": stream, "connector": connector, "from": since, "to": until, "q": query,
        "scope": scope, "cursor": cursor,
    }  # fmt: skip
    await _list("audit", "audit", asked, limit, json, at)


@ops.command(name="audit-state")
async def audit_state(*, at: At = HERE, json: Json = False) -> None:
    """Whether the journal's chain is whole, when that was looked at, and where its anchors are. Fails where it is not whole."""
    from payorch import operator_words

    view = await _get("audit/verification", {}, at)
    show(view, json, lambda: operator_words.whole(view))
    if view["state"] == "broken":
        raise CommandFailed(f"the journal is not whole from position {view['position']} on: {view['detail']}")


@ops.command
async def acts(
    *,
    state: str | None = None,
    subject: str | None = None,
    action: str | None = None,
    who: str | None = None,
    open_: Annotated[bool | None, Parameter(name="--open", negative="", help="only those that are not over")] = None,
    review_due: Annotated[bool | None, Parameter(negative="", help="only those done alone that nobody has looked at yet")] = None,
    limit: Most = 50,
    cursor: Cursor = None,
    at: At = HERE,
    json: Json = False,
) -> None:
    """What operators asked for, newest first."""
    asked = {
        "state": state, "subject": subject, "action": action, "who": who, "open": _yes(open_), "review": "due" if review_due else None,
        "cursor": cursor,
    }  # fmt: skip
    await _list("acts", "actions", asked, limit, json, at)


@ops.command
async def act(act_id: str, *, at: At = HERE, json: Json = False) -> None:
    """One of them, with its plan as it was and as it would be now."""
    from payorch import operator_words

    view = await _get(f"actions/{segment(act_id)}", {}, at)
    show(view, json, lambda: operator_words.whole(view))


def _yes(value: bool | None) -> str | None:
    return "true" if value else None


def segment(text: str) -> str:
    """A name in a path. Raises CalledWrongly for what would be another path."""
    from urllib.parse import quote

    if not text or "/" in text or text in (".", ".."):
        raise CalledWrongly(f"{text!r} is no id")
    return quote(text, safe="")
