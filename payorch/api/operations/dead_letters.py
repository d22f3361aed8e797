"""Dead letters over HTTP, for operators: the list, those that failed alike, and one with its redacted contents. Any operator may look.

Not here: replaying and discarding, which are acts (`payorch.operations.dead_letters`), how it looks (`dead_letter_views`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, final

from quart import Response, request

from payorch.api.merchant import Handler
from payorch.api.operations.dead_letter_views import data, group_data, replay_view, whole_data
from payorch.api.operations.offers import names_of, offer_view
from payorch.api.operations.operators import OperatorDoor
from payorch.api.present import View
from payorch.api.problems import Code, FieldError
from payorch.api.reading import Reader, identifier, is_identifier, paging, query_of, text, view_response
from payorch.api.refusal import Refusal, not_found
from payorch.domain.acts import ActName
from payorch.domain.roles import Role
from payorch.store.act_reads import ReplayAct
from payorch.store.dead_letters import Filter, Group, NoOtherLife, require_another_life
from payorch.store.items import DeadLetter, DeadLetterKind, DeadLetterState

PAGE_DEFAULT: Final = 50
PAGE_LIMIT: Final = 200
"""Of every list under /ops/v1: what a screen shows, and what one answer may cost."""


class FindLetters(Protocol):
    """`dead_letters.find` over a lent connection."""

    def __call__(self, what: Filter, *, limit: int, after: str | None) -> Awaitable[tuple[list[DeadLetter], str | None]]: ...


class FindGroups(Protocol):
    """`dead_letters.groups` over a lent connection."""

    def __call__(self, what: Filter, *, limit: int) -> Awaitable[list[Group]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterSurroundings:
    """What these calls are given, all over lent connections. last_replays: `act_reads.last_replays`, of these fingerprints."""

    find: FindLetters
    groups: FindGroups
    load: Callable[[str], Awaitable[DeadLetter | None]]
    last_replays: Callable[[Sequence[str]], Awaitable[Mapping[str, ReplayAct]]]


def _state(text: str) -> DeadLetterState:
    return DeadLetterState(_one_of(text, [one.value for one in DeadLetterState]))


def _kind(text: str) -> DeadLetterKind:
    return DeadLetterKind(_one_of(text, [one.value for one in DeadLetterKind]))


def _group(text: str) -> str:
    return _one_of(text, ["fingerprint"])


def _one_of(text: str, known: Sequence[str]) -> str:
    if text not in known:
        raise ValueError(f"This is one of: {', '.join(known)}.")
    return text


def _payment(text: str) -> str:
    if not is_identifier(text, "pay"):
        raise ValueError("This is the id of a payment, as in pay_.")
    return text


_READERS: Final[Mapping[str, Reader]] = {
    "state": _state, "kind": _kind, "origin": text, "reason_class": text, "fingerprint": text, "payment_id": _payment, "group": _group,
    **paging("dlq"),
}  # fmt: skip
LIST_PARAMETERS: Final = tuple(_READERS)


@final
class DeadLetterApi:
    """The handlers."""

    def __init__(self, around: DeadLetterSurroundings, door: OperatorDoor) -> None:
        self._around = around
        self._door = door

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """(method, path) -> handler."""
        return {
            ("GET", "/ops/v1/dead-letters"): self.listed,
            ("GET", "/ops/v1/dead-letters/<letter_id>"): self.one,
        }

    async def listed(self) -> Response:
        """A page of letters, newest first; or the largest groups of those that failed alike."""
        await self._door.asked(Role.VIEWER)
        asked = query_of(request.query_string, _READERS, default=PAGE_DEFAULT, largest=PAGE_LIMIT)
        values = dict(asked.values)
        grouped = values.pop("group", None) is not None
        if not grouped:
            found, cursor = await self._around.find(Filter(**values), limit=asked.limit, after=asked.after)
            return view_response({"data": [{"object": "dead_letter", **data(one)} for one in found], "next_cursor": cursor})
        if asked.after is not None:
            wrong = FieldError(pointer="/cursor", detail="Groups are one page: the largest ones.")
            raise Refusal(Code.VALIDATION_FAILED, errors=[wrong])
        return view_response({"data": await self._groups(Filter(**values), asked.limit), "next_cursor": None})

    async def _groups(self, what: Filter, limit: int) -> list[View]:
        found = await self._around.groups(what, limit=limit)
        replays = await self._around.last_replays([one.fingerprint for one in found]) if found else {}
        return [
            {"object": "dead_letter_group", **group_data(one), "last_replay": replay_view(replays.get(one.fingerprint))} for one in found
        ]

    async def one(self, letter_id: str) -> Response:
        """One letter with its contents, and what may be done about it."""
        who = await self._door.asked(Role.VIEWER)
        letter = await self._around.load(identifier(letter_id, "dlq"))
        if letter is None:
            raise not_found()
        return view_response({"object": "dead_letter", **whole_data(letter), "actions": _actions(letter, who.role)})


def _actions(letter: DeadLetter, role: Role) -> list[View]:
    return [
        offer_view(name, letter.id, role, people=2 if name is ActName.DEAD_LETTER_DISCARD else 1, why_not=_why_not(name, letter))
        for name in names_of("dead_letters")
    ]


def _why_not(name: ActName, letter: DeadLetter) -> str | None:
    if letter.state is not DeadLetterState.OPEN:
        return f"it is {letter.state.value} already"
    if name is ActName.DEAD_LETTER_REPLAY:
        try:
            require_another_life(letter)
        except NoOtherLife as refusal:
            return str(refusal)
    return None
