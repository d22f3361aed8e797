"""Reconciliation over HTTP: who may do what, reports as they stream in, and days as programs read them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from payorch.api.operations.operators import REFUSED_AT_MOST
from payorch.api.problems import Code
from payorch.domain.money import Money
from payorch.domain.movements import MovementKind
from payorch.domain.reconciliation import FindingSum, MovementSum, RowSum, figures
from payorch.domain.roles import Role
from payorch.domain.settlement import FindingKind, FindingState, Key, RowKind, RowState, SettlementState
from payorch.keys import KeyKind
from payorch.store.reconciliation import Line, Of, Piece, Unreported
from payorch.store.reconciliation_items import DayRow, DayState, FindingRow
from payorch.store.reconciliation_sums import Day
from tests.api.merchant_world import KEY, START, World, new_id, new_key
from tests.api.reconciliation_world import LIMIT_BYTES
from tests.api.webhook_calls import check, refused

DAY = date(2026, 2, 27)
UPLOAD = "/ops/v1/settlements/psp_one"
READS = ("/ops/v1/reconciliation/days", f"/ops/v1/reconciliation/days/{DAY}", f"/ops/v1/reconciliation/days/{DAY}/items")
REPORT = b"report\n" + b"1,2,3\n" * 200


async def upload(world: World, body: bytes = REPORT, path: str = UPLOAD, **how: Any) -> Any:
    how.setdefault("key", world.reconciling.operator(Role.OPERATOR))
    return await world.call("POST", path, data=body, **how)


async def look(world: World, path: str, role: Role = Role.VIEWER) -> Any:
    return await world.call("GET", path, key=world.reconciling.operator(role))


# --- who ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", Role)
async def test_roles(role: Role) -> None:
    world = World()
    for path in READS:
        assert (await look(world, path, role)).status_code == 200
    answer = await upload(world, key=world.reconciling.operator(role))
    assert answer.status_code == (403 if role is Role.VIEWER else 201)


@pytest.mark.parametrize(("method", "path"), [("POST", UPLOAD), *(("GET", path) for path in READS)])
async def test_a_merchants_key_opens_none_of_it_and_the_reverse(method: str, path: str) -> None:
    world = World()
    refused(await world.call(method, path, key=KEY, data=REPORT), 403, Code.FORBIDDEN)
    refused(await world.call(method, path, key=None, data=REPORT), 401, Code.UNAUTHENTICATED)
    refused(await world.call(method, path, key=new_key(KeyKind.OPERATOR), data=REPORT), 401, Code.UNAUTHENTICATED)
    refused(await world.call("GET", "/v1/payments", key=world.reconciling.operator(Role.ADMIN)), 403, Code.FORBIDDEN)
    route = {"POST": "POST /ops/v1/settlements/<connector>", "GET": f"GET {path.replace(str(DAY), '<day>')}"}[method]
    told = [msgspec.json.decode(entry.body) for entry in world.reconciling.entries]
    assert [(one["route"], one["reason"]) for one in told] == [
        (route, "a merchant's key"),
        (route, "no token"),
        (route, "not a token that exists"),
    ]
    assert world.reconciling.taken == []


async def test_guessing_is_told_to_wait() -> None:
    world = World()
    for _ in range(REFUSED_AT_MOST):
        refused(await world.call("GET", READS[0], key=new_key(KeyKind.OPERATOR)), 401, Code.UNAUTHENTICATED)
    answer = await world.call("GET", READS[0], key=new_key(KeyKind.OPERATOR))
    refused(answer, 429, Code.RATE_LIMITED)
    assert 0 < int(answer.headers["Retry-After"]) <= 600
    assert len(world.reconciling.entries) == REFUSED_AT_MOST


# --- reports --------------------------------------------------------------------------------------------------------------------------


async def test_a_report_is_read_once() -> None:
    world = World()
    first = await upload(world, path=f"{UPLOAD}?name=february.csv")
    again = await upload(world)
    assert (first.status_code, again.status_code) == (201, 200)
    check(first.seen, "ReportShape")
    assert (first.seen["known"], again.seen["known"]) == (False, True)
    assert first.headers["X-Request-Id"]
    assert first.headers["Cache-Control"] == "no-store"
    assert world.reconciling.taken == [
        ("psp_one", "february.csv", "operator:olga", REPORT),
        ("psp_one", "upload of 2026-03-01", "operator:olga", REPORT),
    ]


async def test_what_is_no_report_is_refused_with_what_it_lacks() -> None:
    answer = await upload(World(), b"<html>")
    refused(answer, 400, Code.VALIDATION_FAILED, "")
    assert "it has no column called Net" in answer.seen["detail"]


async def test_there_are_only_psps_that_are_known() -> None:
    world = World()
    refused(await upload(world, path="/ops/v1/settlements/psp_nine"), 404, Code.NOT_FOUND)
    refused(await upload(world, path="/ops/v1/settlements/psp_one/more"), 404, Code.NOT_FOUND)
    refused(await world.call("GET", UPLOAD, key=world.reconciling.operator(Role.ADMIN)), 405, Code.METHOD_NOT_ALLOWED)
    refused(await upload(world, path=f"{UPLOAD}?file=x"), 400, Code.VALIDATION_FAILED, "/file")


async def test_a_report_may_be_larger_than_a_body_and_not_larger_than_its_own_limit() -> None:
    world = World(body_limit_bytes=2000)
    assert (await upload(world, b"report" + b"x" * (LIMIT_BYTES - 6))).status_code == 201
    refused(await upload(world, b"report" + b"x" * (LIMIT_BYTES - 5)), 413, Code.PAYLOAD_TOO_LARGE)
    assert len(world.reconciling.taken) == 1


class Client:
    """One that sends as a test says. After its messages it says nothing more."""

    def __init__(self, world: World, messages: Sequence[dict[str, Any]], *, token: bool = True) -> None:
        self.read = 0
        self.sent: list[Any] = []
        self._messages = list(messages)
        key = world.reconciling.operator(Role.OPERATOR)
        self._headers = [(b"authorization", f"Bearer {key.text.reveal()}".encode())] if token else []
        self._app = world.app

    async def receive(self) -> Any:
        if not self._messages:
            await trio.sleep_forever()
        self.read += 1
        return self._messages.pop(0)

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def post(self) -> None:
        scope = {
            "type": "http", "asgi": {}, "method": "POST", "path": UPLOAD, "raw_path": UPLOAD.encode(), "query_string": b"",
            "http_version": "1.1", "scheme": "http", "root_path": "", "headers": self._headers, "client": ("10.0.0.7", 1),
            "server": ("127.0.0.1", 2),
        }  # fmt: skip
        await self._app(scope, self.receive, self.send)  # type: ignore[arg-type]


def piece(body: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_pieces_are_put_together_and_a_stranger_is_not_listened_to() -> None:
    world = World()
    client = Client(world, [piece(b"rep"), piece(b""), piece(b"ort"), piece(b"!", more=False)])
    await client.post()
    assert (client.sent[0]["status"], world.reconciling.taken[0][3]) == (201, b"report!")
    stranger = Client(world, [piece(b"x")] * 1000, token=False)
    await stranger.post()
    assert (stranger.sent[0]["status"], stranger.read) == (401, 0)
    assert msgspec.json.decode(world.reconciling.entries[0].body)["address"] == "10.0.0.7"


async def test_who_falls_silent_or_hangs_up_leaves_nothing_behind(autojump_clock: trio.testing.MockClock) -> None:
    world = World()
    silent, gone = Client(world, [piece(b"report")]), Client(world, [piece(b"report"), {"type": "http.disconnect"}])
    await silent.post()
    await gone.post()
    assert (silent.sent[0]["status"], gone.sent, world.reconciling.taken) == (408, [], [])


# --- days -----------------------------------------------------------------------------------------------------------------------------


def a_day(**changes: Any) -> Day:
    rows = [
        RowSum(kind=RowKind.CAPTURE, state=RowState.MATCHED, status=SettlementState.SETTLED, count=2, gross=3000, balance=3000,
               net_currency="EUR", fee=90, net=2910),
        RowSum(kind=RowKind.PAYOUT, state=RowState.BESIDE, status=SettlementState.SETTLED, count=1, gross=2910, balance=-2910,
               net_currency="EUR", fee=0, net=-2910),
    ]  # fmt: skip
    movements = [MovementSum(kind=MovementKind.REFUND, status=SettlementState.PENDING, count=1, amount=500)]
    finding = FindingSum(kind=FindingKind.FEE, state=changes.pop("finding", FindingState.OPEN), currency="EUR", count=1, gross=30)
    folded = figures(DAY, "psp_one", "EUR", rows=rows, movements=movements, findings=[finding])
    return Day(figures=folded, reported=True, **changes)


async def test_a_day_is_shown_with_its_headline_and_what_is_left() -> None:
    world = World()
    closed = DayRow(day=DAY, connector="psp_one", currency="EUR", state=DayState.CLOSED, version=1, figures=b"{}", changed_at=START,
                    changed_by="operator:olga", reason="all explained")  # fmt: skip
    world.reconciling.days = [a_day(), a_day(finding=FindingState.REVIEWED, left=closed)]
    answer = await look(world, READS[1])
    check(answer.seen, "OneDay")
    check((await look(world, READS[0])).seen, "DayList")
    first, second = answer.seen["data"]
    assert (first["state"], first["gross_difference"]) == ("open", {"amount": 30, "currency": "EUR"})
    assert "0.30 EUR" in first["left_to_do"]
    assert first["settled"] == {"count": 2, "gross": {"amount": 3000, "currency": "EUR"}, "balance": {"amount": 3000, "currency": "EUR"}}
    assert first["pending"]["balance"] == {"amount": -500, "currency": "EUR"}
    assert (first["fees"], first["payouts"]) == ([{"amount": 90, "currency": "EUR"}], [{"amount": 2910, "currency": "EUR"}])
    assert (second["state"], second["left_to_do"], second["changed_by"]) == ("closed", None, "operator:olga")
    assert world.reconciling.asked[0] == (DAY, DAY, ("psp_one", "psp_two"))


async def test_a_span_of_days() -> None:
    world = World()
    today = START.date()
    await look(world, READS[0])
    await look(world, f"{READS[0]}?from=2026-01-01&to=2026-01-31&connector=psp_two")
    assert world.reconciling.asked == [
        (today - timedelta(days=6), today, ("psp_one", "psp_two")),
        (date(2026, 1, 1), date(2026, 1, 31), ("psp_two",)),
    ]
    refused(await look(world, f"{READS[0]}?from=2026-02-01&to=2026-01-31"), 400, Code.VALIDATION_FAILED, "/from")
    refused(await look(world, f"{READS[0]}?from=2025-01-01&to=2026-01-31"), 400, Code.VALIDATION_FAILED, "/from")
    refused(await look(world, f"{READS[0]}?from=yesterday"), 400, Code.VALIDATION_FAILED, "/from")
    refused(await look(world, f"{READS[0]}?connector=psp_nine"), 400, Code.VALIDATION_FAILED, "/connector")
    refused(await look(world, "/ops/v1/reconciliation/days/2026-02-30"), 404, Code.NOT_FOUND)


async def test_what_a_day_consists_of() -> None:
    world = World()
    finding = FindingRow(
        id=new_id("fnd"), connector="psp_one", currency="EUR", day=DAY, kind=FindingKind.MISSING_HERE, state=FindingState.OPEN,
        detail="nobody here knows of it", amount_currency="EUR", found_at=START, expected=0, actual=1000, difference=1000,
        suggestions=b'[{"payment": "pay_x"}]',
    )  # fmt: skip
    line = Line(
        batch_id=new_id("bat"), line=2, kind=RowKind.CAPTURE, type="charge", identity="txn_1", gross=Money(1000, "EUR"),
        fee=Money(30, "EUR"), net=Money(970, "EUR"), rate=None, payout="po_1", state=RowState.UNMATCHED, key=Key.PERSON, payment_id=None,
        sequence=None, subject_id=None,
    )  # fmt: skip
    movement = Unreported(payment_id=new_id("pay"), sequence=3, subject_id=new_id("ref"), kind=MovementKind.REFUND,
                          amount=Money(5, "EUR"), at=START)  # fmt: skip
    world.reconciling.pieces = [
        Piece(connector="psp_one", currency="EUR", status=SettlementState.MISMATCHED, line=line, findings=(finding,)),
        Piece(connector="psp_one", currency="EUR", status=SettlementState.PENDING, movement=movement),
        Piece(connector="psp_one", currency="XXX", status=SettlementState.MISMATCHED, findings=(finding,)),
    ]
    whole = await look(world, READS[2])
    check(whole.seen, "ItemList")
    assert [one["object"] for one in whole.seen["data"]] == ["settlement_line", "movement", "finding"]
    assert whole.seen["data"][0]["findings"][0]["difference"] == {"amount": 1000, "currency": "EUR"}
    page = await look(world, f"{READS[2]}?limit=1&status=mismatched&currency=EUR&connector=psp_one")
    assert (len(page.seen["data"]), page.seen["next_cursor"]) == (1, "next")
    asked = Of(day=DAY, zones={"psp_one": "UTC"}, currency="EUR", status=SettlementState.MISMATCHED)
    assert world.reconciling.asked[1] == (asked, 1, None)
    await look(world, f"{READS[2]}?limit=200")
    assert world.reconciling.asked[-1][1] == 200, "as long a page as of every other list of operators"
    refused(await look(world, f"{READS[2]}?limit=201"), 400, Code.VALIDATION_FAILED, "/limit")
    refused(await look(world, f"{READS[2]}?cursor=nonsense"), 400, Code.VALIDATION_FAILED, "/cursor")
    refused(await look(world, f"{READS[2]}?status=not_due&currency=EURO"), 400, Code.VALIDATION_FAILED, "/status", "/currency")


# --- what may be done -----------------------------------------------------------------------------------------------------------------


async def test_each_day_and_finding_says_what_may_be_done_to_it() -> None:
    world = World()
    closed = DayRow(day=DAY, connector="psp_one", currency="EUR", state=DayState.CLOSED, version=1, figures=b"{}", changed_at=START,
                    changed_by="operator:olga", reason="all explained")  # fmt: skip
    world.reconciling.days = [a_day(), a_day(finding=FindingState.REVIEWED), a_day(finding=FindingState.REVIEWED, left=closed)]
    days = [one["actions"] for one in (await look(world, READS[0], Role.OPERATOR)).seen["data"]]
    assert [[(one["action"], one["allowed"]) for one in some] for some in days] == [
        [("settlement.close_day", False), ("settlement.reopen_day", False)],
        [("settlement.close_day", True), ("settlement.reopen_day", False)],
        [("settlement.close_day", False), ("settlement.reopen_day", False)],
    ]
    assert days[0][0]["subject"] == f"{DAY}/psp_one/EUR"
    assert ("0.30 EUR" in days[0][0]["why_not"], days[2][0]["why_not"]) == (True, "it is closed already")
    assert days[2][1]["why_not"] == "this takes the role approver, and you have the role operator"
    finding = FindingRow(
        id=new_id("fnd"), connector="psp_one", currency="EUR", day=DAY, kind=FindingKind.MISSING_HERE, state=FindingState.OPEN,
        detail="nobody here knows of it", amount_currency="EUR", found_at=START, expected=0, actual=1000, difference=1000,
    )  # fmt: skip
    unreadable = msgspec.structs.replace(finding, kind=FindingKind.UNPARSEABLE, difference=None)
    some = (finding, unreadable, msgspec.structs.replace(finding, state=FindingState.REVIEWED))
    world.reconciling.pieces = [Piece(connector="psp_one", currency="EUR", status=SettlementState.MISMATCHED, findings=some)]
    (piece,) = (await look(world, READS[2], Role.OPERATOR)).seen["data"]
    names = ["settlement.review", "settlement.link", "settlement.accept", "settlement.psp_error"]
    told = [[(one["action"], one["allowed"], one["people"]) for one in each["actions"]] for each in piece["findings"]]
    assert told[0] == list(zip(names, [True] * 4, [1, 2, 2, 1], strict=True))
    assert told[1] == list(zip(names, [True, False, False, True], [1, 2, 2, 1], strict=True))
    assert [allowed for _, allowed, _ in told[2]] == [False] * 4
