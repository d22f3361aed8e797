"""The command line for findings of reconciliation: looking at them, and explaining them, alone or in twos.

As in `cli_days`, which registers these commands. Not here: the work (`reconciliation_desk`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from cyclopts import Parameter, validators

from payorch.cli_desk import As, Connector, Reason, Token, day_of, work
from payorch.terminal import CommandFailed, DataDir, Json, hint, show

if TYPE_CHECKING:
    from payorch.domain.explanations import Action

PAGE: Final = 50
LARGEST_PAGE: Final = 1000

Version: TypeAlias = Annotated[int | None, Parameter(help="only while the finding is of this version", validator=validators.Number(gte=1))]
State: TypeAlias = Literal["open", "proposed", "reviewed", "linked", "accepted", "psp_error", "resolved", "unexplained", "any"]


def _is_finding(_: object, value: str | None) -> None:
    from payorch.domain.identifiers import MalformedIdentifier, parse

    try:
        sound = value is None or parse(value)[0] == "fnd"
    except MalformedIdentifier:
        sound = False
    if not sound:
        raise ValueError("a finding is fnd_ and 26 characters; `payorch reconciliation findings` shows them")


FindingId: TypeAlias = Annotated[str, Parameter(validator=_is_finding)]


async def findings(
    *,
    day: Annotated[str | None, Parameter(help="only of this day")] = None,
    connector: Connector = None,
    state: State = "unexplained",
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=LARGEST_PAGE), help="so many at most")] = PAGE,
    after: Annotated[str | None, Parameter(validator=_is_finding, help="those that come after this one in the list")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """List findings, newest first, with what may be done about each."""
    from payorch import local
    from payorch import reconciliation_words as words
    from payorch.api.operations import reconciliation_views as views
    from payorch.domain.settlement import FindingState
    from payorch.store import reconciliation_findings as stored

    states = {"unexplained": stored.UNEXPLAINED, "any": ()}.get(state)
    on = None if day is None else day_of(day)
    what = stored.Filter(
        states=tuple(states) if states is not None else (FindingState(state),), connector=connector, since=on, until=on
    )  # fmt: skip
    async with local.connection_to(data_dir) as connection:
        found, cursor = await stored.find(connection, what, limit=limit, after=after)
    shown = {"data": [views.finding_view(one) for one in found], "next_cursor": cursor}
    show(shown, json, lambda: words.findings_text(found) or f"there is no finding that is {state}")
    if cursor is not None and not json:
        hint(f"there are more: --after {cursor}, or --limit")


async def finding_(finding: FindingId, *, data_dir: DataDir = None, json: Json = False) -> None:
    """Show everything of one finding, with the movements that it could be."""
    from payorch import local
    from payorch import reconciliation_words as words
    from payorch.api.operations import reconciliation_views as views
    from payorch.store import reconciliation_findings as stored

    async with local.connection_to(data_dir) as connection:
        found = await stored.load(connection, finding)
    if found is None:
        raise CommandFailed(f"there is no finding {finding}; `payorch reconciliation findings` shows them")
    show(views.finding_view(found), json, lambda: words.finding_text(found))


# --- explaining -------------------------------------------------------------------------------------------------------------------------


async def review(
    finding: FindingId, *, reason: Reason, version: Version = None, token: Token = None, as_: As = None, data_dir: DataDir = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Say why a finding is as it is. Its difference stays counted, as manually reviewed."""
    from payorch.domain.explanations import Action

    await _explain(Action.REVIEW, finding, reason, version, token, as_, data_dir, json)


async def accept(
    finding: FindingId, *, reason: Reason, version: Version = None, token: Token = None, as_: As = None, data_dir: DataDir = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Take the difference into our books. Above what one person may accept, it waits for another to approve."""
    from payorch.domain.explanations import Action

    await _explain(Action.ACCEPT, finding, reason, version, token, as_, data_dir, json)


async def psp_error(
    finding: FindingId, *, reason: Reason, version: Version = None, token: Token = None, as_: As = None, data_dir: DataDir = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Say that the PSP is wrong and is to put it right. It stays visible as a claim."""
    from payorch.domain.explanations import Action

    await _explain(Action.PSP_ERROR, finding, reason, version, token, as_, data_dir, json)


async def link(
    finding: FindingId,
    to: Annotated[str, Parameter(help="the payment, or its attempt, capture, refund or dispute")],
    *,
    reason: Reason,
    version: Version = None,
    token: Token = None,
    as_: As = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Say which movement of ours the finding's line is. Another person has to approve it."""
    await work(
        "link", "operator", token, as_, data_dir, json, lambda desk: desk.link(finding, to, reason=reason, version=version)
    )  # fmt: skip


async def approve(
    finding: FindingId, *, version: Version = None, token: Token = None, as_: As = None, data_dir: DataDir = None, json: Json = False
) -> None:
    """Agree with what another person has asked for. It is done at once."""
    await work("approve", "approver", token, as_, data_dir, json, lambda desk: desk.approve(finding, version=version))


async def reject(
    finding: FindingId, *, reason: Reason, version: Version = None, token: Token = None, as_: As = None, data_dir: DataDir = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Do not agree with what was asked for, or take it back: the finding is open again."""
    await work("reject", "operator", token, as_, data_dir, json, lambda desk: desk.reject(finding, reason=reason, version=version))


async def _explain(
    action: Action, finding: str, reason: str, version: int | None, token: str | None, as_: str | None, data_dir: Path | None, json: bool
) -> None:
    await work(
        action.value.partition(".")[2].replace("_", "-"),
        "operator",
        token,
        as_,
        data_dir,
        json,
        lambda desk: desk.explain(action, finding, reason=reason, version=version),
    )


COMMANDS: Final[Mapping[str, Callable[..., Any]]] = {
    "findings": findings,
    "finding": finding_,
    "review": review,
    "accept": accept,
    "psp-error": psp_error,
    "link": link,
    "approve": approve,
    "reject": reject,
}
"""Name -> the command."""
