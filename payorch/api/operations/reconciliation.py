"""Reconciliation over HTTP, for operators: a settlement report comes in, and days are read, with what they consist of.

Not here: who asks (`operators`), reading a report (`payorch.settlements`), explaining findings and closing days, which are acts
(`payorch.operations.settlements`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any, Final, Protocol, final
from zoneinfo import ZoneInfo

import msgspec
from quart import Response, request

from payorch.api.answering import Said
from payorch.api.merchant import Handler
from payorch.api.operations.operators import Knock, Operator, OperatorDoor
from payorch.api.operations.reconciliation_views import Report, days_view, piece_view, report_view
from payorch.api.operations.settlement_offers import day_offers, finding_offers
from payorch.api.operations.uploads import Pieces
from payorch.api.present import View
from payorch.api.problems import Code, FieldError
from payorch.api.reading import Reader, query_of, text, view_response, whole
from payorch.api.refusal import Refusal, not_found
from payorch.domain.matching import Policy
from payorch.domain.money import EXPONENTS
from payorch.domain.roles import Role
from payorch.domain.settlement import NotAReport, SettlementState
from payorch.ports import Clock
from payorch.store.identities import OperatorToken
from payorch.store.items import Entry, Result
from payorch.store.reconciliation import MalformedCursor, Of, Piece
from payorch.store.reconciliation_sums import Day, Days

UPLOAD_PATH: Final = "/ops/v1/settlements/"
UPLOAD_ROUTE: Final = "/ops/v1/settlements/<connector>"
MOST_DAYS: Final = 92
"""A quarter in one answer: each day is a few sums over its lines."""


class ImportReport(Protocol):
    """Reads a report into the database: `payorch.settlements`. Raises NotAReport, and whatever the pieces raise, before it is stored."""

    def __call__(self, connector: str, pieces: Pieces, *, name: str, by: str, cause: str) -> Awaitable[Report]: ...


class ListPieces(Protocol):
    """`reconciliation.pieces` over a lent connection."""

    def __call__(self, of: Of, *, limit: int, after: str | None) -> Awaitable[tuple[Sequence[Piece], str | None]]: ...


class ListDays(Protocol):
    """`reconciliation_sums.days` over a lent connection: the days that have anything, of these connectors with their time zones."""

    def __call__(self, since: date, until: date, zones: Mapping[str, str]) -> Awaitable[Days]: ...


NO_TOLERANCE: Final = Policy()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationSurroundings:
    """What these calls are given, beside what the API has.

    find_token: `identities.operator_token` over a lent connection. write: through the journal writer. zones: connector -> the time zone in
    which its PSP counts days; those that are known, whether or not they are switched on. report_limit_bytes, silence_seconds: of a file.
    page_default, page_limit: of a list. policy: what one person may accept.
    """

    find_token: Callable[[str], Awaitable[OperatorToken | None]]
    write: Callable[[Entry], Awaitable[Result]]
    import_report: ImportReport
    days: ListDays
    pieces: ListPieces
    zones: Mapping[str, str]
    report_limit_bytes: int
    silence_seconds: float
    page_default: int
    page_limit: int
    policy: Policy = NO_TOLERANCE


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text) if len(text) == len("2026-01-31") else None
    except ValueError:
        day = None
    if day is None or not 2000 <= day.year <= 2999:
        raise ValueError("This is a day such as 2026-01-31.")
    return day


def _status(text: str) -> SettlementState:
    if text not in _STATUSES:
        raise ValueError(f"This is one of: {', '.join(_STATUSES)}.")
    return SettlementState(text)


def _currency(text: str) -> str:
    if text not in EXPONENTS and text != "XXX":
        raise ValueError("This is a current ISO 4217 code in upper case, or XXX for lines that cannot be read.")
    return text


_STATUSES: Final = tuple(one for one in SettlementState if one is not SettlementState.NOT_DUE)
_DAYS_READERS: Final[Mapping[str, Reader]] = {"from": _day, "to": _day, "connector": text}
_DAY_READERS: Final[Mapping[str, Reader]] = {"connector": text}
_ITEM_READERS: Final[Mapping[str, Reader]] = {
    "status": _status, "connector": text, "currency": _currency, "limit": whole, "cursor": text,
}  # fmt: skip
_REPORT_READERS: Final[Mapping[str, Reader]] = {"name": text}
DAYS_PARAMETERS: Final = tuple(_DAYS_READERS)
DAY_PARAMETERS: Final = tuple(_DAY_READERS)
ITEM_PARAMETERS: Final = tuple(_ITEM_READERS)
REPORT_PARAMETERS: Final = tuple(_REPORT_READERS)
"""The names of the calls' parameters."""


@final
class ReconciliationApi:
    """The handlers."""

    def __init__(self, around: ReconciliationSurroundings, door: OperatorDoor, *, clock: Clock) -> None:
        self._around = around
        self._door = door
        self._clock = clock

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """(method, path) -> handler."""
        return {
            ("POST", UPLOAD_ROUTE): self.upload,
            ("GET", "/ops/v1/reconciliation/days"): self.days,
            ("GET", "/ops/v1/reconciliation/days/<day>"): self.day,
            ("GET", "/ops/v1/reconciliation/days/<day>/items"): self.items,
        }

    # --- reports

    async def upload(self, connector: str) -> Response:
        """`uploads` is in front of this route and answers in its place; here the framework learns that there is such a path."""
        raise AssertionError("a report came past the way in for files")

    async def uploaded(self, connector: str, query: bytes, knock: Knock, pieces: Pieces) -> Said:
        """A settlement report (`uploads.Run`): 201, or 200 where these very bytes are known. Raises Refusal."""
        who = await self._door.operator(knock, Role.OPERATOR)
        if connector not in self._around.zones:
            raise not_found()
        asked = self._asked(query, _REPORT_READERS)
        name = asked.get("name", f"upload of {self._clock.now().date().isoformat()}")
        try:
            report = await self._around.import_report(connector, pieces, name=name, by=who.actor, cause=knock.request_id)
        except NotAReport as wrong:
            detail = f"This is not a settlement report of {connector}: {wrong}. Nothing of it was taken and no money moved."
            raise Refusal(Code.VALIDATION_FAILED, detail=detail, errors=[FieldError(pointer="", detail=str(wrong))]) from None
        return Said(status=200 if report.known else 201, body=msgspec.json.encode(report_view(report)))

    # --- days

    async def days(self) -> Response:
        """The days of a span, newest first, by connector and currency."""
        who = await self._viewer()
        asked = self._asked(request.query_string, _DAYS_READERS)
        until = asked.get("to", self._clock.now().date())
        since = asked.get("from", until - timedelta(days=6))
        if not 0 <= (until - since).days < MOST_DAYS:
            wrong = f"From is not after to, and they are less than {MOST_DAYS} days apart."
            raise Refusal(Code.VALIDATION_FAILED, errors=[FieldError(pointer="/from", detail=wrong)])
        found = await self._around.days(since, until, self._zones(asked.get("connector")))
        return view_response(days_view(found, partial(self._day_offers, who.role)))

    async def day(self, day: str) -> Response:
        """One day of all connectors and currencies that have anything on it."""
        who = await self._viewer()
        on = self._on(day)
        asked = self._asked(request.query_string, _DAY_READERS)
        found = await self._around.days(on, on, self._zones(asked.get("connector")))
        return view_response({"day": on.isoformat(), **days_view(found, partial(self._day_offers, who.role))})

    async def items(self, day: str) -> Response:
        """A page of what a day consists of."""
        who = await self._viewer()
        on = self._on(day)
        around = self._around
        asked = query_of(request.query_string, _ITEM_READERS, default=around.page_default, largest=around.page_limit)
        of = Of(
            day=on,
            zones=self._zones(asked.values.get("connector")),
            currency=asked.values.get("currency"),
            status=asked.values.get("status"),
        )
        try:
            found, cursor = await around.pieces(of, limit=asked.limit, after=asked.after)
        except MalformedCursor:
            wrong = FieldError(pointer="/cursor", detail="This is the next_cursor of the page before.")
            raise Refusal(Code.VALIDATION_FAILED, errors=[wrong]) from None
        offers = partial(finding_offers, who.role, self._around.policy)
        return view_response({"data": [piece_view(one, offers) for one in found], "next_cursor": cursor})

    # --- what they share

    def _day_offers(self, role: Role, day: Day) -> list[View]:
        zone = ZoneInfo(self._around.zones[day.figures.connector])
        return day_offers(role, day, today=self._clock.now().astimezone(zone).date())

    async def _viewer(self) -> Operator:
        return await self._door.asked(Role.VIEWER)

    def _asked(self, query: bytes, readers: Mapping[str, Reader]) -> Mapping[str, Any]:
        return query_of(query, readers, default=self._around.page_default, largest=self._around.page_limit).values

    def _on(self, day: str) -> date:
        try:
            return _day(day)
        except ValueError:
            raise not_found() from None

    def _zones(self, connector: str | None) -> Mapping[str, str]:
        zones = self._around.zones
        if connector is None:
            return zones
        if connector not in zones:
            wrong = FieldError(pointer="/connector", detail=f"This is one of: {', '.join(zones)}.")
            raise Refusal(Code.VALIDATION_FAILED, errors=[wrong])
        return {connector: zones[connector]}
