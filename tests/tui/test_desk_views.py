"""Dead letters, days, acts and audit records as data: what they say of made-up answers, and that nothing breaks them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tui import answers
from tests.tui.answers_basics import HOSTILE
from tui import paint
from tui.acts import offers
from tui.filters import Unclear
from tui.paint import Line
from tui.views import approvals, asking, audit, dead_letters, recon_day, reconciliation

NOW = datetime(2026, 10, 16, 14, 33, 10, tzinfo=UTC)
ROOT = "/ops/v1"

leaves = st.sampled_from((None, True, False, 0, -1, 3, 10**30, 1.5, "", "open", "2026-10-16T14:30:00.000Z", "2026-10-15", *HOSTILE))
names = st.sampled_from(
    ("amount", "currency", "count", "gross", "total", "done", "ok", "by", "at", "id", "kind", "what", "name", "identity")
)
tables = st.dictionaries(names, leaves, max_size=4)
anything = (
    leaves | tables | st.lists(leaves | tables, max_size=3) | st.dictionaries(names, tables | st.lists(tables, max_size=2), max_size=3)
)


def objects(*members: str) -> st.SearchStrategy[dict[str, Any]]:
    """An answer with those members, each of which may be anything or missing."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(members, anything))


def words(said: list[Line] | Line) -> str:
    """Lines, or one line, as text."""
    return "\n".join(paint.plain(one) for one in said) if isinstance(said, list) else paint.plain(said)


def printable(lines: list[Line]) -> bool:
    return all(character.isprintable() or character == paint.GROUP for one in lines for piece in one for character in piece.text)


# --- a filter, divided ---


def asked(text: str, words_: asking.Words = audit.AUDIT_WORDS) -> asking.Asked:
    return asking.asked_of(text, words_, NOW)


def test_a_search_is_what_the_server_is_asked() -> None:
    found = asked('who:ana act:Approved since:2d psp:one "INC-4412"')
    wanted = {"who": "ana", "act": "Approved", "from": "2026-10-14T14:33:10Z", "connector": "one", "q": "INC-4412"}
    assert found.query == wanted
    assert not found.here


def test_what_the_server_cannot_judge_is_judged_here_and_said() -> None:
    found = asked("!who:ana who:ben who:eve ~refund")
    assert found.query == {}
    assert found.typed == "!who:ana who:ben who:eve ~refund"
    assert found.keeps({"who": "ben", "text": "a refund"})
    assert not found.keeps({"who": "ana", "text": "a refund"})
    assert "judged here" in words(asking.above("x", found, ""))


def test_days_are_days_and_ages_are_days_ago() -> None:
    assert asked("since:3d until:2026-10-15", reconciliation.DAY_WORDS).query == {"from": "2026-10-13", "to": "2026-10-15"}


def test_several_values_where_the_server_takes_several() -> None:
    assert asked("state:done state:failed by:ana", approvals.ACT_WORDS).query == {"state": "done,failed", "who": "ana"}


@pytest.mark.parametrize("text", ["colour:red", "since:soon", "!since:2d", "since:1d since:2d"])
def test_what_cannot_be_understood_says_what_can_be_typed(text: str) -> None:
    with pytest.raises(Unclear):
        asked(text)


# --- dead letters ---


def test_a_replay_under_way_says_how_far_it_is() -> None:
    acts = answers.answer(f"{ROOT}/actions")["data"]
    told = words(dead_letters.running(acts, 140))
    assert "12/31" in told
    assert "12 ok 0 failed" in told
    assert "canary 3" in told
    assert "the canary of 3 was well" in told
    assert "the canary of 3 was well" not in words(dead_letters.running(acts, 80))


def test_the_last_replay_is_told_by_how_it_ended() -> None:
    last = {"ok": 2, "failed": 1, "at": "2026-10-16T14:30:10.000Z", "halted": False}
    assert words(dead_letters.last_replay({"last_replay": last}, NOW)) == "2/3 failed 03:00"
    assert words(dead_letters.last_replay({"last_replay": {**last, "halted": True}}, NOW)) == "2/3 halted 03:00"
    assert words(dead_letters.last_replay({}, NOW)) == "never"


def test_one_letter_the_marked_ones_or_all_are_meant() -> None:
    rows = answers.answer(f"{ROOT}/dead-letters")["data"][:3]
    group = dead_letters.of_group(answers.answer(f"{ROOT}/dead-letters?group=fingerprint")["data"][0], ())
    found = dead_letters.of_letters(rows[0], rows[1:], group)
    assert found is not None
    assert [one.id for one in found.scopes] == ["marked", rows[0]["id"], "webhook_in/adyen/signature_invalid"]
    assert found.scopes[0].parameters["ids"] == [rows[1]["id"], rows[2]["id"]]
    replay = next(one for one in offers(found.scopes[0], answers.answer(f"{ROOT}/meta")) if one.action == "dead_letter.replay")
    assert [one.name for one in replay.parameters] == ["canary", "per_second", "halt_percent"]
    assert replay.parameters[0].choices == ("1", "2", "3", "4", "5")


def test_a_running_replay_can_be_halted_where_it_is_seen() -> None:
    acts = answers.answer(f"{ROOT}/actions")["data"]
    group = answers.answer(f"{ROOT}/dead-letters?group=fingerprint")["data"][0]
    subject = dead_letters.of_group(group, acts)
    assert subject is not None
    halt = next(one for one in offers(subject, answers.answer(f"{ROOT}/meta")) if one.action == "halt")
    assert halt.subject == dead_letters.replay_of(acts, group["fingerprint"])["id"]
    assert halt.why_not is None


@given(
    objects(
        "fingerprint", "kind", "open", "letters", "first_failed_at", "last_replay", "state", "payload", "subject", "actions", "progress"
    )
)
def test_no_letter_breaks_the_screen(row: dict[str, Any]) -> None:
    lines = [*dead_letters.group_detail(row, NOW), *dead_letters.letter_detail(row, NOW), *dead_letters.contents(row)]
    lines += [
        *dead_letters.allowed(row),
        dead_letters.progress(row, 100),
        dead_letters.last_replay(row, NOW),
        dead_letters.in_all([row], NOW),
    ]
    assert printable(lines)


# --- days ---


def day(settled: int = 0, pending: int = 0, mismatched: int = 0, reviewed: int = 0, **other: Any) -> dict[str, Any]:
    buckets = {"settled": settled, "pending": pending, "mismatched": mismatched, "manually_reviewed": reviewed}
    found: dict[str, Any] = {name: {"count": number} for name, number in buckets.items()}
    return {"day": "2026-10-15", "connector": "one", "currency": "EUR", "state": "open", **found, **other}


counts = st.integers(min_value=0, max_value=10**7)


@given(counts, counts, counts, counts)
def test_nothing_looks_whole_that_is_not(settled: int, pending: int, mismatched: int, reviewed: int) -> None:
    row = day(settled, pending, mismatched, reviewed)
    told = words(reconciliation.bar(row))
    whole = mismatched + reviewed == 0 and settled + pending > 0
    assert ("100%" in told) == whole
    assert (told.count(paint.glyph("full")) == reconciliation.BAR_CELLS) == whole


@given(counts, counts)
def test_the_scale_is_fixed(settled: int, mismatched: int) -> None:
    """Twice the share is about twice the bar, whatever the other days are."""
    cells = reconciliation.full_cells(100.0 * settled / (settled + mismatched or 1), 100)
    assert abs(cells - 100 * settled / (settled + mismatched or 1)) <= 1


def test_gross_is_the_headline_per_currency() -> None:
    lines = reconciliation.in_all(answers.answer(f"{ROOT}/reconciliation/days")["data"], NOW)
    assert "unexplained gross 1\u2009404.50 EUR, 500 JPY" in words(lines)
    assert "oldest 1d" in words(lines)


def test_a_day_says_what_is_left_before_it_can_be_closed() -> None:
    rows = answers.answer(f"{ROOT}/reconciliation/days")["data"]
    told = {reconciliation.key(row): words(reconciliation.left(row)) for row in rows}
    assert told["2026-10-15/stripe/EUR"].startswith("✕ cannot be closed: 4 findings are open")
    assert "can be closed" in told["2026-10-15/adyen/EUR"]
    assert told["2026-10-14/stripe/EUR"].startswith("● closed by operator:ben")


def test_net_hides_what_gross_shows() -> None:
    plus = {"finding": {"state": "open", "difference": {"amount": 100_00, "currency": "EUR"}}}
    minus = {"finding": {"state": "open", "difference": {"amount": -100_00, "currency": "EUR"}}}
    assert words(recon_day.net([plus, minus])) == "unexplained gross 200.00 EUR   net +0.00 EUR"


def rows_of_day() -> list[dict[str, Any]]:
    return recon_day.flat(answers.answer(f"{ROOT}/reconciliation/days/2026-10-15/items")["data"])


def test_only_what_differs_is_coloured() -> None:
    row = next(one for one in rows_of_day() if one["kind"] == "amount")
    red = [piece.text for one in recon_day.beside(row, 138) for piece in one if piece.tone == "bad"]
    assert [text.strip() for text in red] == ["249.00 EUR", "≠ amount", "244.50 EUR"]


def test_who_reviewed_what_is_told() -> None:
    row = next(one for one in rows_of_day() if one["kind"] == "fee")
    assert "reviewed by operator:ben 2026-10-16 09:10:00.000Z: rounding of the PSP" in words(recon_day.beside(row, 138))
    assert not recon_day.is_problem(row)


def test_a_link_is_chosen_among_what_it_could_be() -> None:
    suggestion = {"payment": "pay_1", "subject": "cap_1", "kind": "capture", "amount": 300_00, "currency": "EUR", "day": "2026-10-15"}
    row = {"finding": {"id": "fnd_1", "kind": "missing_here", "state": "open", "detail": "d", "suggestions": [suggestion]}}
    subject = recon_day.of_finding(row, None)
    assert subject is not None
    assert subject.choices == {"to": ("cap_1",)}
    assert words(recon_day.suggestion(row)) == "capture 300.00 EUR of 2026-10-15, pay_1? d"


@given(objects("day", "state", "gross_difference", "settled", "left_to_do", "fees", "unexplained", "reported"), st.integers(20, 200))
def test_no_day_breaks_the_screen(row: dict[str, Any], cells: int) -> None:
    lines = [*reconciliation.detail(row, cells), *recon_day.head(row, cells, low=cells < 60), *reconciliation.in_all([row], NOW)]
    lines += [reconciliation.bar(row), reconciliation.state(row), reconciliation.age(row, NOW)]
    assert printable(lines)
    assert all(paint.width(one) <= max(20, cells) for one in reconciliation.detail(row, cells))


@given(st.lists(objects("line", "movement", "findings", "status"), max_size=3), st.integers(40, 160))
def test_no_piece_breaks_the_screen(pieces: list[dict[str, Any]], cells: int) -> None:
    for row in recon_day.flat(pieces):
        lines = [recon_day.kind(row), recon_day.ours(row), recon_day.theirs(row), recon_day.difference(row), recon_day.suggestion(row)]
        assert printable([*lines, *recon_day.beside(row, cells), recon_day.reference(row)])
        recon_day.of_finding(row, None)


# --- acts ---


def acts() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answers.answer(f"{ROOT}/actions")["data"]
    return found


def test_the_inbox_has_each_act_once_in_its_part() -> None:
    rows = approvals.inbox([*acts(), *acts()], {})
    parts = {row["heading"]: row["count"] for row in rows if "heading" in row}
    assert parts == {
        "mine to approve": 2,
        "glass was broken, to be reviewed": 1,
        "being carried out": 1,
        "waiting for others": 1,
        "done": 3,
    }
    ids = [row["id"] for row in rows if "heading" not in row]
    assert len(ids) == len(set(ids)) == len(acts())


def page(subject: str) -> dict[str, Any]:
    one = next(act for act in acts() if act["subject"] == subject)
    return answers.answer(f"{ROOT}/actions/{one['id']}")


@pytest.mark.parametrize("cells", [136, 76])
def test_where_the_plans_differ_it_is_marked_and_said(cells: int) -> None:
    told = words(approvals.page(page("adyen/authorize"), NOW, cells))
    assert "CHANGED since it was proposed" in told
    assert "≠ ledger" in told
    assert "≠ traffic" in told
    assert "≠ version" in told
    assert "≠ state" not in told


def test_a_plan_that_is_the_same_has_no_mark() -> None:
    act = page(acts()[0]["subject"])
    told = words(approvals.page(act, NOW, 136))
    assert "the plan of now is the one that was proposed" in told
    assert "≠" not in told


def test_an_act_says_what_may_be_said_of_it_and_why_not() -> None:
    mine = next(act for act in acts() if act["action"] == "payment.refund")
    subject = approvals.of_act(mine)
    assert subject is not None
    found = {one.action: one.why_not for one in offers(subject, answers.answer(f"{ROOT}/meta"))}
    assert found["approve"] == "you asked for it: another person decides"
    assert found["reject"] is None
    assert found["halt"] == "it is proposed"


def test_what_expires_soon_is_said() -> None:
    act = {"state": "proposed", "expires_at": "2026-10-16T14:35:10.000Z"}
    assert approvals.expires(act, NOW)[0] == paint.Piece("02:00", "bad")
    assert words(approvals.expires(act, NOW + timedelta(minutes=3))) == "expired"


@given(
    objects("id", "state", "plan", "plan_now", "changed", "progress", "review", "result", "requested_by", "parameters"),
    st.integers(20, 160),
)
def test_no_act_breaks_the_screen(act: dict[str, Any], cells: int) -> None:
    assert printable([*approvals.page(act, NOW, cells), *approvals.short(act), approvals.state(act), approvals.expires(act, NOW)])
    approvals.of_act(act)
    for row in approvals.inbox([act], {}):
        approvals.heading_of(row)


# --- audit ---


def test_the_chain_is_said_in_one_line() -> None:
    found = answers.answer(f"{ROOT}/audit/verification")
    told = words(audit.chain(found, NOW))
    assert told == "● chain ok to #88\u2009213, checked 14:30:00Z (03:10 ago), anchors 412, last 14:30:00Z"


def test_a_broken_chain_says_where() -> None:
    found = {
        **answers.answer(f"{ROOT}/audit/verification"),
        "state": "broken",
        "position": 77,
        "fault": "hash",
        "detail": "body was changed",
    }
    assert words(audit.chain(found, NOW)).startswith("✕ CHAIN BROKEN at #77: hash body was changed")


def test_a_chain_that_is_anchored_nowhere_says_so() -> None:
    found = {**answers.answer(f"{ROOT}/audit/verification"), "anchors": {"where": None, "count": 0}}
    assert "anchored nowhere" in words(audit.chain(found, NOW))


@given(objects("position", "at", "event", "actor", "text", "body", "hash", "anchors", "state", "checked_at", "searched_to"))
def test_no_record_breaks_the_screen(row: dict[str, Any]) -> None:
    assert printable([*audit.short(row), audit.at(row), audit.event(row), audit.chain(row, NOW), audit.searched(row)])
    assert paint.safe(audit.as_text(row)) == audit.as_text(row)
