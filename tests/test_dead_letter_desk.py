"""`payorch dead-letters`: what died is listed, read, given another life or discarded, beside a running journal and without one."""

from __future__ import annotations

import getpass
import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import psycopg
import pytest
import trio
from msgspec.structs import replace

from actors.inbox import dead_letter_of
from actors.notifier import dead_letter_of as dead_letter_of_delivery
from payorch import dead_letter_desk
from payorch.dead_letter_desk import Desk
from payorch.store import audit, delivery_reads, inbox_reads
from payorch.store.dead_letters import Subject
from payorch.store.driver import Connection
from payorch.store.inbox_reads import Refers
from payorch.store.items import (
    DEAD_LETTER_STREAM,
    ENDPOINT_STREAM,
    Arrival,
    DeadLetter,
    DeadLetterKind,
    Delivery,
    DeliveryState,
    Endpoint,
    EndpointState,
    Entry,
    MerchantRow,
    NoticeMark,
    NoticeState,
)
from payorch.store.journal import Journal
from payorch.system import SystemClock
from payorch.wording import printable, shortened, span
from tests.command_line import Run, runner
from tests.conftest import Database
from tests.store.stories import MERCHANT, START, connected, journal_on, new_id

T = TypeVar("T")
US = f"cli:{getpass.getuser()}"
HOSTILE = "\x1b[2J\u202eyenom\x07"


@pytest.fixture
def payorch(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, database: Database) -> Run:
    run = runner(monkeypatch, capfd, tmp_path, PAYORCH_DATABASE_URL=database.app)
    return lambda *words: run("dead-letters", *words)


def written(database: Database, *entries: Entry | Arrival) -> None:
    """Writes these as the platform would."""

    async def write() -> None:
        async with journal_on(database.app) as journal:
            await journal.write(list(entries))

    trio.run(write)


def soon() -> datetime:
    """Later than whatever is due at once."""
    return SystemClock().now() + timedelta(minutes=1)


def read(database: Database, question: Callable[[Connection], Awaitable[T]]) -> T:
    async def ask() -> T:
        async with connected(database.app) as connection:
            return await question(connection)

    return trio.run(ask)


def an_entry(stream: str, stream_id: str, sequence: int, *rows: Any) -> Entry:
    return Entry(stream=stream, stream_id=stream_id, sequence=sequence, name="Happened", at=START, actor="system", cause="c", rows=rows)


def a_dead_notice(database: Database, n: int = 1, **changes: Any) -> DeadLetter:
    """A notice that was buried, as the inbox buries it."""
    notice = Arrival(
        id=new_id("ntc"), connector="psp_one", identity=f"evt_{n}", digest=b"d" * 32, kind="payment.done", sealed=b"sealed",
        refers=msgspec.json.encode(Refers(psp=("pi_1",))), received_at=START, request_id="req_1", next_try_at=START,
    )  # fmt: skip
    letter = DeadLetter(
        id=dead_letter_of(notice.id), kind=DeadLetterKind.WEBHOOK_IN, origin="psp_one",
        subject=msgspec.json.encode(Subject(notice=notice.id)), reason_class="no_payment", reason="nothing that it names is known here",
        fingerprint="webhook_in/psp_one/no_payment/payment.done", payload='{"amount": 1999}', attempts=13, first_failed_at=START,
        last_failed_at=START + timedelta(days=3),
    )  # fmt: skip
    letter = replace(letter, **changes)
    mark = NoticeMark(notice_id=notice.id, state=NoticeState.DEAD, outcome="no_payment", at=START, tries=12)
    written(database, notice)
    written(database, an_entry(DEAD_LETTER_STREAM, letter.id, 1, mark, letter))
    return letter


def a_dead_delivery(database: Database, state: EndpointState = EndpointState.ENABLED) -> tuple[DeadLetter, Delivery]:
    """An event that no try has brought to its endpoint, as the notifier buries it."""
    endpoint = Endpoint(
        id=new_id("whe"), merchant_id=MERCHANT, url="https://shop.example/hooks", events=("*",), state=EndpointState.ENABLED,
        secret=b"sealed", version=1, created_at=START, updated_at=START,
    )  # fmt: skip
    delivery = Delivery(
        payment_id=new_id("pay"), event_id=new_id("evt"), endpoint_id=endpoint.id, merchant_id=MERCHANT, type="payment.failed",
        state=DeliveryState.DEAD, created_at=START, attempts=10, last_error="answered 500",
    )  # fmt: skip
    letter = DeadLetter(
        id=dead_letter_of_delivery(delivery), kind=DeadLetterKind.WEBHOOK_OUT, origin=endpoint.id,
        subject=msgspec.json.encode(Subject(delivery=delivery)), reason_class="http_500", reason="answered 500",
        fingerprint=f"webhook_out/{endpoint.id}/http_500", payload="{}", attempts=10, first_failed_at=START, last_failed_at=START,
        merchant_id=MERCHANT, payment_id=delivery.payment_id,
    )  # fmt: skip
    written(
        database,
        an_entry("merchant", MERCHANT, 1, MerchantRow(id=MERCHANT, name="Shop", created_at=START)),
        an_entry(ENDPOINT_STREAM, endpoint.id, 1, endpoint),
        an_entry(DEAD_LETTER_STREAM, letter.id, 1, delivery, letter),
    )
    if state is not EndpointState.ENABLED:
        reason = "it is gone" if state is EndpointState.DISABLED else None
        written(database, an_entry(ENDPOINT_STREAM, endpoint.id, 2, replace(endpoint, state=state, disabled_reason=reason, version=2)))
    return letter, delivery


# --- looking ----------------------------------------------------------------------------------------------------------------------------


def test_what_waits_is_listed_newest_first(payorch: Run, database: Database) -> None:
    assert payorch("list").out == "there is no open dead letter\n"
    older, newer = a_dead_notice(database, 1), a_dead_notice(database, 2, reason_class="unreadable", reason="no JSON", attempts=1)
    head, first, second = payorch("list").out.splitlines()
    assert head.split() == ["id", "age", "tries", "kind", "origin", "why"]
    assert re.fullmatch(rf"{newer.id}  \d+ d  1      webhook_in  psp_one  unreadable  no JSON", first)
    assert second.startswith(older.id)
    assert second.endswith("no_payment  nothing that it names is known here")
    listed = payorch("list", "--json").data
    assert [(one["id"], one["attempts"], one["first_failed_at"]) for one in listed["data"]] == [
        (newer.id, 1, "2026-03-01T12:00:00.000Z"),
        (older.id, 13, "2026-03-01T12:00:00.000Z"),
    ]
    assert "payload" not in listed["data"][0]


def test_the_list_goes_on_where_it_ended(payorch: Run, database: Database) -> None:
    letters = [a_dead_notice(database, n) for n in range(3)]
    page = payorch("list", "--limit", "2")
    assert page.err == f"payorch: there are more: --after {letters[1].id}, or --limit\n"
    rest = payorch("list", "--after", letters[1].id, "--json").data
    assert ([one["id"] for one in rest["data"]], rest["next_cursor"]) == ([letters[0].id], None)


def test_the_list_is_narrowed(payorch: Run, database: Database) -> None:
    a_dead_notice(database, 1)
    unreadable = a_dead_notice(database, 2, reason_class="unreadable", origin="psp_two", fingerprint="f")
    delivery, _ = a_dead_delivery(database)

    def found(*options: str) -> list[str]:
        return [one["id"] for one in payorch("list", "--json", *options).data["data"]]

    assert found("--reason-class", "unreadable") == found("--origin", "psp_two") == found("--fingerprint", "f") == [unreadable.id]
    assert found("--kind", "webhook_out") == [delivery.id]
    assert found("--state", "discarded") == []
    assert payorch("list", "--origin", "psp_three").out == "there is no open dead letter of that kind\n"
    assert payorch("list", "--kind", "webhook").code == 2


def test_what_failed_alike_is_one_line(payorch: Run, database: Database) -> None:
    letters = [a_dead_notice(database, n) for n in range(2)]
    a_dead_notice(database, 3, fingerprint="another")
    head, first, second = payorch("list", "--group").out.splitlines()
    assert head.split() == ["letters", "oldest", "newest", "fingerprint", "for", "instance"]
    assert re.fullmatch(rf"2 +\d+ d +\d+ d +{letters[1].fingerprint} +{letters[1].id}", first)
    assert second.startswith("1 ")
    assert [one["letters"] for one in payorch("list", "--group", "--json").data] == [2, 1]
    assert payorch("list", "--group", "--after", letters[0].id).code == 2


def test_one_is_shown_whole_and_cannot_steer_the_terminal(payorch: Run, database: Database) -> None:
    letter = a_dead_notice(database, reason=f"odd {HOSTILE}", payload=f'{{"amount": 1999, "note": "{HOSTILE[4:-1]}"}}')
    ran = payorch("show", letter.id)
    assert ran.code == 0
    assert r"odd \x1b[2J\u202eyenom\x07" in ran.out
    assert '  {\n    "amount": 1999,\n    "note": "\\u202eyenom"\n  }\n' in ran.out
    for text in (ran.out, payorch("list").out, payorch("show", letter.id, "--json").out, payorch("list", "--json").out):
        assert all(one.isprintable() or one == "\n" for one in text)
    shown = payorch("show", letter.id, "--json").data
    assert (shown["reason"], shown["subject"]) == (letter.reason, msgspec.json.decode(letter.subject))
    assert shown["payload"] == letter.payload
    written(database, an_entry(DEAD_LETTER_STREAM, letter.id, 2, replace(letter, payload=HOSTILE)))
    assert r"  \x1b[2J\u202eyenom\x07" in payorch("show", letter.id).out
    written(database, an_entry(DEAD_LETTER_STREAM, letter.id, 3, replace(letter, payload="")))
    assert "(its contents are not kept any more)" in payorch("show", letter.id).out


def test_one_that_is_not_there(payorch: Run, database: Database) -> None:
    unknown = new_id("dlq")
    ran = payorch("show", unknown)
    assert (ran.code, ran.err) == (1, f"payorch: there is no dead letter {unknown}; `payorch dead-letters list` shows them\n")
    for wrong in ("dlq_1", new_id("pay"), "x"):
        assert payorch("show", wrong).code == payorch("replay", wrong).code == 2


# --- another life -----------------------------------------------------------------------------------------------------------------------


def test_a_replay_takes_effect_once_and_stands_in_the_record(payorch: Run, database: Database) -> None:
    letter = a_dead_notice(database)
    ran = payorch("replay", letter.id, "--reason", "its payment is there now")
    assert ran.code == 0
    assert ran.out.startswith(f"{letter.id}  replayed\n\n1 of 1 replayed\n")
    assert "tries them again by itself within a second" in ran.out

    [due] = read(database, lambda connection: inbox_reads.due_notices(connection, soon(), limit=9))
    assert (dead_letter_of(due.id), due.state) == (letter.id, NoticeState.RECEIVED)
    shown = payorch("show", letter.id, "--json").data
    assert (shown["state"], shown["resolved_by"], shown["resolution"]) == ("replayed", US, "its payment is there now")

    again = payorch("replay", letter.id)
    assert (again.code, again.err) == (1, "payorch: nothing was changed\n")
    assert f"{letter.id}  is replayed already\n\n0 of 1 replayed" in again.out
    with psycopg.connect(database.superuser) as connection:
        record = connection.execute("SELECT name, actor, cause FROM payorch.journal ORDER BY position DESC LIMIT 1").fetchone()
    assert record == ("DeadLetterReplayed", US, "payorch dead-letters replay")
    assert read(database, audit.verify).whole


def test_some_may_be_open_and_others_not(payorch: Run, database: Database) -> None:
    first, second = a_dead_notice(database, 1), a_dead_notice(database, 2)
    payorch("discard", first.id, "--reason", "a test of theirs")
    unknown = new_id("dlq")
    ran = payorch("replay", first.id, second.id, unknown, second.id, "--json")
    assert ran.code == 0
    assert ran.data["replayed"] == 1
    assert [(one["id"], one["told"]) for one in ran.data["letters"]] == [
        (first.id, "is discarded already"),
        (second.id, "replayed"),
        (unknown, "there is no such dead letter"),
    ]


def test_all_that_failed_alike_are_replayed_up_to_a_bound(payorch: Run, database: Database) -> None:
    letters = [a_dead_notice(database, n) for n in range(3)]
    other = a_dead_notice(database, 9, fingerprint="another")
    ran = payorch("replay", "--fingerprint", letters[0].fingerprint, "--limit", "2")
    assert (ran.code, ran.err) == (0, "payorch: more of that fingerprint are open: run it again, or raise --limit\n")
    assert "2 of 2 replayed" in ran.out
    assert payorch("replay", "--fingerprint", letters[0].fingerprint, "--json").data["replayed"] == 1
    ran = payorch("replay", "--fingerprint", letters[0].fingerprint)
    assert (ran.code, "no open dead letter has that fingerprint" in ran.err) == (1, True)
    assert [one["id"] for one in payorch("list", "--json").data["data"]] == [other.id]


def test_a_delivery_is_due_again_at_once_unless_nobody_would_take_it(payorch: Run, database: Database) -> None:
    letter, delivery = a_dead_delivery(database)
    assert payorch("replay", letter.id).code == 0
    [row] = read(database, lambda connection: delivery_reads.deliveries_of(connection, [delivery.event_id]))[delivery.event_id]
    assert (row.state, row.attempts) == (DeliveryState.PENDING, 0)


def test_a_delivery_to_an_endpoint_that_is_off_waits(payorch: Run, database: Database) -> None:
    letter, _ = a_dead_delivery(database, EndpointState.DISABLED)
    assert "replayed; it waits until its endpoint is enabled again" in payorch("replay", letter.id).out


def test_a_delivery_to_a_deleted_endpoint_can_only_be_discarded(payorch: Run, database: Database) -> None:
    letter, delivery = a_dead_delivery(database, EndpointState.DELETED)
    ran = payorch("replay", letter.id)
    assert (ran.code, "its endpoint is deleted" in ran.out) == (1, True)
    [row] = read(database, lambda connection: delivery_reads.deliveries_of(connection, [delivery.event_id]))[delivery.event_id]
    assert row.state is not DeliveryState.PENDING
    assert payorch("discard", letter.id, "--reason", "the shop has closed").code == 0


def test_two_people_at_the_same_letter_replay_it_once(database: Database) -> None:
    letters = [a_dead_notice(database, n) for n in range(5)]
    ids = [one.id for one in letters]
    told: list[list[bool]] = []

    async def one_of_them(name: str) -> None:
        async with connected(database.app) as connection:
            desk = Desk(connection, clock=SystemClock(), actor=name, cause="test")
            told.append([one.changed for one in await desk.replay(ids)])

    async def both() -> None:
        async with journal_on(database.app) as journal, trio.open_nursery() as nursery:
            for name in ("ann", "bob"):
                nursery.start_soon(one_of_them, name)
            nursery.start_soon(keep_writing, journal)

    async def keep_writing(journal: Journal) -> None:
        for _ in range(20):
            await journal.write([an_entry("merchant", new_id("mer"), 1)])

    trio.run(both)
    assert [sum(pair) for pair in zip(*told, strict=True)] == [1] * 5
    with psycopg.connect(database.superuser) as connection:
        counted = connection.execute("SELECT count(*) FROM payorch.journal WHERE name = 'DeadLetterReplayed'").fetchone()
    assert counted == (5,)
    assert read(database, audit.verify).whole


def test_a_notice_that_has_had_its_effect_is_left_alone(payorch: Run, database: Database) -> None:
    letter = a_dead_notice(database)
    notice_id = msgspec.json.decode(letter.subject)["notice"]
    mark = NoticeMark(notice_id=notice_id, state=NoticeState.APPLIED, outcome="applied", at=START)
    written(database, an_entry(DEAD_LETTER_STREAM, letter.id, 2, mark))
    ran = payorch("replay", letter.id)
    assert (ran.code, "is left as it is: it has had its effect meanwhile" in ran.out) == (1, True)
    assert payorch("show", letter.id, "--json").data["state"] == "open"


# --- no answer needed -------------------------------------------------------------------------------------------------------------------


def test_one_is_discarded_for_a_reason(payorch: Run, database: Database) -> None:
    letter = a_dead_notice(database)
    assert payorch("discard", letter.id).code == 2
    blank = payorch("discard", letter.id, "--reason", "  ")
    assert (blank.code, "say which" in blank.err) == (2, True)
    ran = payorch("discard", letter.id, "--reason", " a test of theirs ")
    assert (ran.code, ran.out) == (0, f"{letter.id}  discarded\n\n1 of 1 discarded\n")
    shown = payorch("show", letter.id).out
    assert re.search(r"^resolution +a test of theirs$", shown, re.MULTILINE)
    assert re.search(rf"^resolved by +{US}$", shown, re.MULTILINE)
    assert read(database, lambda connection: inbox_reads.due_notices(connection, soon(), limit=9)) == []
    assert payorch("discard", letter.id, "--reason", "again").code == 1
    assert payorch("list").out == "there is no open dead letter\n"
    assert letter.id in payorch("list", "--state", "discarded").out


@pytest.mark.parametrize("words", [[], ["--fingerprint", "f", new_id("dlq")]])
def test_either_letters_or_a_fingerprint(payorch: Run, words: list[str]) -> None:
    for ran in (payorch("replay", *words), payorch("discard", "--reason", "x", *words)):
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith("payorch: name dead letters, or --fingerprint, and not both\npayorch: See payorch --help")


# --- words ------------------------------------------------------------------------------------------------------------------------------


def test_spans_and_texts() -> None:
    assert [span(seconds) for seconds in (-1, 0, 59.4, 60, 3599, 3600, 86_399, 86_400, 1e7)] == [
        *("0 s", "0 s", "59 s", "1 min", "59 min", "1 h", "23 h", "1 d", "115 d"),
    ]
    assert (shortened("abcd", 4), shortened("abcde", 4)) == ("abcd", "abc…")
    assert printable("a\tb\u2066c é €") == r"a\tb\u2066c é €"


def test_a_table_keeps_long_reasons_to_a_line() -> None:
    letter = DeadLetter(
        id=new_id("dlq"), kind=DeadLetterKind.WEBHOOK_IN, origin="psp_one", subject=b"{}", reason_class="unreadable", reason="x\n" * 500,
        fingerprint="f", payload="", attempts=1, first_failed_at=START, last_failed_at=START,
    )  # fmt: skip
    assert [len(line) < 200 for line in dead_letter_desk.table([letter], START).splitlines()] == [True, True]
