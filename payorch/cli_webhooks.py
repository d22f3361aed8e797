"""The command line for webhooks: what died and waits for people, and a developer's loop of seeing events and making them happen.

As in `cli`, which registers these commands: one function for each, which reads its options, calls what does the work, and prints. Not here:
the work (`dead_letter_desk`, `listen`, `trigger`).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from cyclopts import App, Parameter, validators

from payorch.terminal import DEFAULT_DATA_DIR, CalledWrongly, CommandFailed, DataDir, Json, as_text, hint, say, show

if TYPE_CHECKING:
    from payorch.dead_letter_desk import Desk
    from payorch.dead_letter_outlook import Verdict
    from payorch.merchant_client import Platform

PAGE: Final = 20
LARGEST_PAGE: Final = 1000
AT_ONCE: Final = 100
"""Letters that one call changes unless asked: a look at what a hundred do is worth having before the next thousand are let go."""
MOST_AT_ONCE: Final = 1000
"""Each is a commit of its own that the running platform's writer makes room for: seconds in all."""

dead_letters = App(name="dead-letters", help="What could not be settled or delivered, and waits for people.")

Kind: TypeAlias = Literal["webhook_in", "webhook_out", "settlement_row"]
State: TypeAlias = Literal["open", "replayed", "discarded"]


def _is_letter(_: object, value: object) -> None:
    from payorch.domain.identifiers import MalformedIdentifier, parse

    for one in value if isinstance(value, tuple | list) else (value,):
        try:
            sound = one is None or parse(str(one))[0] == "dlq"
        except MalformedIdentifier:
            sound = False
        if not sound:
            raise ValueError("a dead letter is dlq_ and 26 characters; `payorch dead-letters list` shows them")


def _is_address(_: object, value: str | None) -> None:
    if value is None:
        return
    try:
        parts = urlsplit(value)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound:
        raise ValueError("an address begins with http:// or https:// and a host, as in http://127.0.0.1:3000/webhooks")


def _is_duration(_: object, value: str | None) -> None:
    from payorch.chaos import duration

    if value is not None:
        duration(value)


Letter: TypeAlias = Annotated[str, Parameter(validator=_is_letter)]
Fingerprint: TypeAlias = Annotated[str | None, Parameter(help="all open ones that failed alike, instead of naming them")]
AtOnce: TypeAlias = Annotated[
    int, Parameter(validator=validators.Number(gte=1, lte=MOST_AT_ONCE), help="of a fingerprint, change so many at most: the newest")
]


# --- dead letters -----------------------------------------------------------------------------------------------------------------------


@dead_letters.command(name="list")
async def dead_letters_list(
    *,
    kind: Annotated[Kind | None, Parameter(help="what PSPs told us, what merchants are told, or lines of reports")] = None,
    origin: Annotated[str | None, Parameter(help="the connector, or the endpoint (whe_...)")] = None,
    reason_class: Annotated[str | None, Parameter(help="why, in one word as the list shows it")] = None,
    fingerprint: Annotated[str | None, Parameter(help="only those that failed alike")] = None,
    state: Annotated[State, Parameter(help="whether somebody has answered it")] = "open",
    group: Annotated[bool, Parameter(negative="", help="one line for all that failed alike, the largest group first")] = False,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=LARGEST_PAGE), help="so many at most")] = PAGE,
    after: Annotated[str | None, Parameter(validator=_is_letter, help="those that come after this one in the list")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """List dead letters, newest first."""
    from payorch import dead_letter_desk as desk
    from payorch import local
    from payorch.api.operations import dead_letter_views as views
    from payorch.store import dead_letters as stored
    from payorch.store.items import DeadLetterKind, DeadLetterState
    from payorch.system import SystemClock

    if group and after is not None:
        raise CalledWrongly("--group shows the largest groups: it has no --after")
    what = stored.Filter(
        state=DeadLetterState(state),
        kind=None if kind is None else DeadLetterKind(kind),
        origin=origin,
        reason_class=reason_class,
        fingerprint=fingerprint,
    )
    now = SystemClock().now()
    none = f"there is no {state} dead letter{' of that kind' if what != stored.Filter(state=what.state) else ''}"
    async with local.connection_to(data_dir) as connection:
        if group:
            groups = await stored.groups(connection, what, limit=limit)
            return show([views.group_data(one) for one in groups], json, lambda: desk.group_table(groups, now) if groups else none)
        found, cursor = await stored.find(connection, what, limit=limit, after=after)
    shown = {"data": [views.data(one) for one in found], "next_cursor": cursor}
    show(shown, json, lambda: desk.table(found, now) if found else none)
    if cursor is not None and not json:
        hint(f"there are more: --after {cursor}, or --limit")
    return None


@dead_letters.command(name="show")
async def dead_letters_show(letter_id: Letter, *, data_dir: DataDir = None, json: Json = False) -> None:
    """Show everything of one dead letter, with its contents as far as people may see them."""
    from payorch import dead_letter_desk as desk
    from payorch import local
    from payorch.api.operations import dead_letter_views as views
    from payorch.store import dead_letters as stored

    async with local.connection_to(data_dir) as connection:
        letter = await stored.load(connection, letter_id)
    if letter is None:
        raise CommandFailed(f"there is no dead letter {letter_id}; `payorch dead-letters list` shows them")
    show(views.whole_data(letter), json, lambda: desk.whole(letter))


@dead_letters.command(name="replay")
async def dead_letters_replay(
    *letter_ids: Letter,
    fingerprint: Fingerprint = None,
    reason: Annotated[str | None, Parameter(help="why it may go well now; stands in the record")] = None,
    limit: AtOnce = AT_ONCE,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Give dead letters another life. Each keeps its identity: it takes effect once, however often it is replayed."""
    async with _desk(data_dir, "replay") as desk:
        ids, more = await _chosen(desk, letter_ids, fingerprint, limit)
        verdicts = await desk.replay(ids, reason=reason)
    _decided(verdicts, "replayed", more=more, as_json=json)
    if not json:
        say("\nThe running platform tries them again by itself within a second; one that does not run does so when it starts.")


@dead_letters.command(name="discard")
async def dead_letters_discard(
    *letter_ids: Letter,
    fingerprint: Fingerprint = None,
    reason: Annotated[str, Parameter(help="why it needs no answer; stands in the record")],
    limit: AtOnce = AT_ONCE,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Say of dead letters that they need no answer, and why. Nothing is deleted."""
    if not reason.strip():
        raise CalledWrongly("a dead letter is discarded for a reason: say which")
    async with _desk(data_dir, "discard") as desk:
        ids, more = await _chosen(desk, letter_ids, fingerprint, limit)
        verdicts = await desk.discard(ids, reason=reason)
    _decided(verdicts, "discarded", more=more, as_json=json)


@asynccontextmanager
async def _desk(data_dir: Path | None, command: str) -> AsyncIterator[Desk]:
    from getpass import getuser

    from payorch import local
    from payorch.dead_letter_desk import Desk
    from payorch.system import SystemClock

    async with local.connection_to(data_dir) as connection:
        yield Desk(connection, clock=SystemClock(), actor=f"cli:{getuser()}", cause=f"payorch dead-letters {command}")


async def _chosen(desk: Desk, letter_ids: Sequence[str], fingerprint: str | None, limit: int) -> tuple[list[str], bool]:
    """The letters that are meant, and whether the fingerprint has more of them."""
    if bool(letter_ids) == (fingerprint is not None):
        raise CalledWrongly("name dead letters, or --fingerprint, and not both")
    if fingerprint is None:
        return list(dict.fromkeys(letter_ids)), False
    ids, more = await desk.open_ones(fingerprint, limit=limit)
    if not ids:
        raise CommandFailed("no open dead letter has that fingerprint; `payorch dead-letters list --group` shows them")
    return ids, more


def _decided(verdicts: Sequence[Verdict], what: str, *, more: bool, as_json: bool) -> None:
    from payorch import dead_letter_desk as desk

    changed = sum(one.changed for one in verdicts)
    shown = {what: changed, "letters": [{"id": one.id, "changed": one.changed, "told": one.text} for one in verdicts], "more": more}
    show(shown, as_json, lambda: f"{desk.verdicts(verdicts)}\n\n{changed} of {len(verdicts)} {what}")
    if more and not as_json:
        hint("more of that fingerprint are open: run it again, or raise --limit")
    if not changed:
        raise CommandFailed("nothing was changed")


# --- a developer's loop -----------------------------------------------------------------------------------------------------------------


async def listen(
    *,
    forward_to: Annotated[str | None, Parameter(validator=_is_address)] = None,
    events: Annotated[str | None, Parameter(help="only these types, as in payment.succeeded,refund.failed")] = None,
    data_dir: Path = DEFAULT_DATA_DIR,
    url: Annotated[str | None, Parameter(validator=_is_address)] = None,
    json: Json = False,
) -> None:
    """See the merchant's events as they happen, and forward each to a developer's machine. Ctrl-C ends it.

    Parameters
    ----------
    forward_to
        Where each event is posted, signed as a webhook is, with a secret that is shown at the start.
    data_dir
        Of the local stack, whose credentials.json says where it is and with which key.
    url
        Of another platform; its merchant key is taken from PAYORCH_MERCHANT_KEY.
    """
    from payorch import listen as listening
    from payorch.domain.announcements import EVENT_TYPES
    from payorch.system import SystemClock, SystemEntropy

    types = listening.types_of(events)
    if unknown := [one for one in types if one not in EVENT_TYPES]:
        raise CalledWrongly(f"there is no event {unknown[0]}; the events are: {', '.join(EVENT_TYPES)}")
    clock = SystemClock()
    listener = listening.Listener(
        platform=lambda: _platform(data_dir, url),
        types=types,
        forward_to=forward_to,
        clock=clock,
        entropy=SystemEntropy(clock),
        began=(lambda start: say(as_text(listening.start_data(start)))) if json else (lambda start: say(listening.start_text(start))),
        seen=(lambda seen: say(as_text(listening.data(seen)))) if json else (lambda seen: say(listening.line(seen))),
        hint=hint,
    )
    await listening.until_stopped(listener)


async def trigger(
    event: Annotated[str | None, Parameter(help="as in payment.succeeded; without it the events are listed")] = None,
    *,
    connector: Annotated[str | None, Parameter(help="at this simulated PSP [default: the first]")] = None,
    token: Annotated[str | None, Parameter(help="pay with this test token instead of the event's own")] = None,
    wait: Annotated[str, Parameter(validator=_is_duration, help="for the event to come")] = "45s",
    data_dir: Annotated[Path, Parameter(help="of the local stack")] = DEFAULT_DATA_DIR,
    json: Json = False,
) -> None:
    """Make a real event happen on the local stack, through its front door and its simulated PSPs."""
    from payorch import local
    from payorch import trigger as making
    from payorch.chaos import duration
    from payorch.system import SystemClock, SystemEntropy

    if event is None:
        return show(making.recipes_data(), json, making.recipes_table)
    if event not in making.RECIPES:
        raise CalledWrongly(f"there is no event {event}; `payorch trigger` lists them")
    simulators = local.read_credentials(data_dir).get("simulators") or {}
    stage = making.Stage(
        platform=_platform(data_dir, None),
        simulators={str(name): str(place) for name, place in simulators.items()},
        entropy=SystemEntropy(SystemClock()),
        say=(lambda _: None) if json else say,
    )
    made = await stage.trigger(event, connector=connector, token=token, wait_seconds=duration(wait))
    return show(making.data(made), json, lambda: making.sentence(made))


def _platform(data_dir: Path, url: str | None) -> Platform:
    """Where the platform is, and as whom it is asked: read anew each time, since `payorch up` may have moved meanwhile."""
    from payorch import local
    from payorch.keys import Secret
    from payorch.merchant_client import Platform

    key = os.environ.get("PAYORCH_MERCHANT_KEY")
    if url is not None:
        if not key:
            raise CalledWrongly("--url needs the merchant's key in PAYORCH_MERCHANT_KEY")
        return Platform(base_url=url.rstrip("/"), key=Secret(key))
    known = local.read_credentials(data_dir)
    base_url, found = known.get("base_url"), known.get("merchant_key")
    if not isinstance(base_url, str) or not isinstance(found, str):
        raise CommandFailed(f"{data_dir} holds no local stack's credentials. `payorch up --data-dir {data_dir}` makes one, or name a --url")
    return Platform(base_url=base_url, key=Secret(key or found))
