"""What a call's end shows about its PSP, and what a connector's circuits and budget tell the rest of the house."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from actors.admission import Admission, CallKind, Changed, Refused, judge, unavailable
from actors.breaker import Mode, Permit, Reason, Verdict
from payorch.domain.outcome import (
    Absent,
    Approved,
    ConnectorDetail,
    Declined,
    ErrorClass,
    Evidence,
    Failure,
    Finding,
    NotExecuted,
    Pending,
    Released,
    Source,
    Unknown,
)
from tests.actors.connector_world import LIMITS

START = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)
G, S, B, N = Verdict.GOOD, Verdict.SLOW, Verdict.BAD, Verdict.NOTHING
R, P, Q = Source.RESPONSE, Source.REPLAY, Source.INQUIRY


def why(error_class: ErrorClass, code: str = "code", status: int | None = None) -> Failure:
    detail = None if status is None else ConnectorDetail(http_status=status)
    return Failure(error_class=error_class, code=code, message="no", connector=detail)


def unsent(code: str) -> NotExecuted:
    return NotExecuted(failure=why(ErrorClass.NOT_SENT, code), sent=False)


def refused(error_class: ErrorClass) -> NotExecuted:
    return NotExecuted(failure=why(error_class), sent=True)


def unknown(status: int | None = None, error_class: ErrorClass = ErrorClass.UNKNOWN_OUTCOME) -> Unknown:
    return Unknown(failure=why(error_class, status=status))


@pytest.mark.parametrize(
    ("finding", "source", "verdict"),
    [
        *[(finding, R, G) for finding in (Approved(), Pending(), Released(expired=True))],
        (Absent(), Q, G),
        *[(Declined(failure=why(error_class)), R, G) for error_class in ErrorClass],
        *[(unsent(code), R, B) for code in ("dns", "connect", "tls")],
        *[(unsent(code), R, N) for code in ("pool", "deadline", "bulkhead_full", "unsendable", "circuit_open", "retry_budget_spent")],
        (refused(ErrorClass.RATE_LIMITED), R, B),
        (refused(ErrorClass.CONFIGURATION), R, N),
        (refused(ErrorClass.INVALID_REQUEST), R, G),
        *[(unknown(), source, B) for source in (R, P, Q)],  # no answer at all
        *[(unknown(status), R, B) for status in (200, 302, 408, 409, 500, 503)],  # an answer that cannot be read, or is none
        (unknown(500), Q, B),
        (unknown(429), Q, B),
        *[(unknown(status), Q, N) for status in (400, 401, 403, 404, 200)],
        *[(unknown(status), P, B) for status in (408, 409, 429)],
        *[(unknown(status), P, N) for status in (500, 502, 503)],
        (unknown(401), P, N),
        (unknown(200, ErrorClass.DUPLICATE_AT_PSP), R, G),
    ],
)
def test_what_it_shows(finding: Finding, source: Source, verdict: Verdict) -> None:
    evidence = Evidence(source=source, finding=finding, at=START, latency_ms=9_999)
    assert judge(evidence, replays_errors=True, slow_seconds=10)[0] is verdict


def test_a_psp_that_does_not_replay_errors_is_ill_when_a_replay_fails() -> None:
    evidence = Evidence(source=P, finding=unknown(500), at=START)
    assert judge(evidence, replays_errors=False, slow_seconds=10) == (B, "code")


@pytest.mark.parametrize("source", [R, P])
@pytest.mark.parametrize("replays_errors", [True, False])
def test_an_error_that_the_psp_says_it_keeps_is_no_news(source: Source, *, replays_errors: bool) -> None:
    kept = Evidence(source=source, finding=unknown(500), at=START, stored=True)
    assert judge(kept, replays_errors=replays_errors, slow_seconds=10) == (N, None)
    refused = Evidence(source=source, finding=Declined(failure=why(ErrorClass.HARD_DECLINE)), at=START, stored=True)
    assert judge(refused, replays_errors=replays_errors, slow_seconds=10)[0] is G


def test_an_answer_about_the_right_payment_is_one_whatever_it_leaves_open() -> None:
    for source in (R, P, Q):
        evidence = Evidence(source=source, finding=unknown(200), at=START, psp_reference="pi_1")
        assert judge(evidence, replays_errors=True, slow_seconds=10)[0] is G


@pytest.mark.parametrize(("finding", "verdict"), [(Approved(), S), (Declined(failure=why(ErrorClass.HARD_DECLINE)), S), (unknown(), B)])
def test_a_slow_answer(finding: Finding, verdict: Verdict) -> None:
    evidence = Evidence(source=R, finding=finding, at=START, latency_ms=10_000)
    assert judge(evidence, replays_errors=True, slow_seconds=10)[0] is verdict


# --- all circuits of one connector


class Watched:
    """An admission, and what it told."""

    def __init__(self) -> None:
        self.changes: list[Changed] = []
        self.well: list[tuple[CallKind, float]] = []
        self.one = Admission("psp", LIMITS, 0, changed=self.changes.append, well_again=lambda *what: self.well.append(what))

    def call(self, kind: CallKind, verdict: Verdict, now: float, *, repeat: bool = False, stored: bool = False) -> bool:
        """One call; whether it passed."""
        permit = self.one.enter(kind, now, "att_1", repeat=repeat)
        if isinstance(permit, Refused):
            return False
        assert isinstance(permit, Permit)
        self.one.ended(kind, permit, verdict, now, "att_1", repeat=repeat, sent=True, stored=stored)
        return True

    def calls(self, kind: CallKind, verdicts: str, now: float) -> None:
        for letter in verdicts:
            self.call(kind, {"g": G, "b": B, "s": S}[letter], now)


def test_one_failure_and_then_an_answer_is_a_recovery_since_the_failure() -> None:
    watched = Watched()
    watched.calls(CallKind.AUTHORIZE, "gggb", 1)
    watched.calls(CallKind.AUTHORIZE, "b", 2)
    assert not watched.one.is_well(CallKind.AUTHORIZE, 2)
    assert watched.well == []
    watched.calls(CallKind.AUTHORIZE, "gg", 3)
    assert watched.well == [(CallKind.AUTHORIZE, 1)]
    assert watched.one.is_well(CallKind.AUTHORIZE, 3)


def test_a_circuit_that_is_being_tried_has_not_recovered_before_it_closes() -> None:
    watched = Watched()
    watched.calls(CallKind.CAPTURE, "bbbbb", 1)
    watched.calls(CallKind.CAPTURE, "g", 6)
    assert watched.well == []
    watched.calls(CallKind.CAPTURE, "g", 7)
    assert watched.well == [(CallKind.CAPTURE, 1)]


def test_a_psp_that_can_be_asked_again_is_tried_at_once_with_payments_too() -> None:
    watched = Watched()
    for at in (1, 6, 16, 36):
        watched.calls(CallKind.AUTHORIZE, "bbbbb", at)
    watched.calls(CallKind.LOOKUP, "b", 36)
    assert not watched.call(CallKind.AUTHORIZE, G, 40)
    watched.calls(CallKind.LOOKUP, "g", 40)
    assert watched.call(CallKind.AUTHORIZE, B, 40)
    assert not watched.call(CallKind.AUTHORIZE, G, 69)


def test_the_end_of_an_outage_fills_the_retry_budget_up() -> None:
    watched = Watched()
    for _ in range(5):
        watched.call(CallKind.AUTHORIZE, B, 1, repeat=True)
    assert not watched.one.budget.may_take(1)
    watched.calls(CallKind.AUTHORIZE, "gg", 6)
    assert watched.one.view(CallKind.AUTHORIZE, 6).reason is Reason.PROBES_SUCCEEDED
    assert watched.one.budget.tokens(6) >= 5


def test_an_answer_that_the_psp_kept_gives_its_token_back_and_one_that_may_be_fresh_does_not() -> None:
    watched = Watched()
    for _ in range(9):
        assert watched.call(CallKind.AUTHORIZE, N, 1, repeat=True, stored=True)
    assert [watched.call(CallKind.AUTHORIZE, N, 1, repeat=True) for _ in range(6)] == [True] * 5 + [False]


def test_a_circuit_is_not_closed_by_what_the_psp_kept() -> None:
    watched = Watched()
    watched.calls(CallKind.AUTHORIZE, "bbbbb", 1)
    for _ in range(5):
        watched.call(CallKind.AUTHORIZE, N, 6, repeat=True, stored=True)
    assert watched.one.view(CallKind.AUTHORIZE, 6).mode is Mode.HALF_OPEN
    assert watched.well == []


@pytest.mark.parametrize("kind", CallKind)
def test_an_answer_after_a_failure_does_not_fill_it_up(kind: CallKind) -> None:
    """Otherwise a PSP that loses one call in ten would be sent all the repeats that are wanted."""
    watched = Watched()
    passed = 0
    for n in range(200):
        watched.calls(kind, "bggggggggg", n * 0.1)
        passed += sum(watched.call(CallKind.CAPTURE, N, n * 0.1, repeat=True) for _ in range(3))
    first_calls = 0 if kind is CallKind.LOOKUP else 2000
    assert passed <= 5 + first_calls * 0.1 + 1
    assert len(watched.well) == 200


@pytest.mark.parametrize("how", ["reset", "expired", "forced closed"])
def test_what_an_operator_kept_closed_to_calls_was_ill_since_then(how: str) -> None:
    """Its payments have waited, and go on when it is over, as after an outage."""
    watched = Watched()
    kind = CallKind.CAPTURE
    watched.one.force(kind, Mode.FORCED_OPEN, 100, 1, "operator:ann", "act_1")
    assert not watched.one.is_well(kind, 50)
    assert not watched.one.wants_probe(kind, 99)
    if how == "reset":
        watched.one.reset(kind, 60, "operator:ann", "act_2")
    elif how == "expired":
        assert watched.one.wants_probe(kind, 100)
        watched.calls(kind, "gg", 101)
    else:
        watched.one.force(kind, Mode.FORCED_CLOSED, 100, 60, "operator:ann", "act_2")
        assert watched.one.wants_probe(kind, 60), "nobody knows yet whether it is answered"
        watched.calls(kind, "g", 61)
    assert watched.well == [(kind, 1)]


def test_a_probe_is_wanted_where_nobody_brings_one() -> None:
    watched = Watched()
    kind = CallKind.LOOKUP
    assert not watched.one.wants_probe(kind, 0)
    watched.calls(kind, "b", 1)
    assert not watched.one.wants_probe(kind, 2.9)
    assert watched.one.wants_probe(kind, 3)
    watched.calls(kind, "bbbb", 3)
    assert not watched.one.wants_probe(kind, 4.9)
    assert watched.one.wants_probe(kind, 5)
    permit = watched.one.enter(kind, 5, "att_1", repeat=False)
    assert not watched.one.wants_probe(kind, 5), "one is under way"
    assert isinstance(permit, Permit)
    watched.one.ended(kind, permit, N, 5, "att_1", repeat=False, sent=False)
    assert watched.one.wants_probe(kind, 5)
    watched.calls(kind, "gg", 5)
    assert not watched.one.wants_probe(kind, 100)


def test_routing_is_told_why_a_connector_is_left_out_and_only_of_authorisations() -> None:
    watched = Watched()
    watched.calls(CallKind.CAPTURE, "bbbbb", 1)

    def wall(seconds: float) -> datetime:
        return START + timedelta(seconds=seconds)

    assert unavailable({"psp": watched.one}, 1, wall) == {}
    watched.calls(CallKind.AUTHORIZE, "bgbgbgbgbb", 1)
    assert unavailable({"psp": watched.one}, 1, wall) == {
        "psp": "the circuit of psp for authorisations is open since 2027-03-01 12:00:01 UTC, until 2027-03-01 12:00:06 UTC:"
        " 6 of the last 10 calls failed"
    }
    assert unavailable({"psp": watched.one}, 6, wall) == {}
    permits = [watched.one.enter(CallKind.AUTHORIZE, 6, "att_1", repeat=False) for _ in range(2)]
    assert all(isinstance(permit, Permit) for permit in permits)
    assert "is being tried" in unavailable({"psp": watched.one}, 6, wall)["psp"]


def test_changes_are_told_with_what_caused_them() -> None:
    watched = Watched()
    watched.calls(CallKind.VOID, "bbbbb", 1)
    watched.one.force(CallKind.VOID, Mode.FORCED_CLOSED, 10, 2, "operator:ann", "act_1")
    watched.one.view(CallKind.VOID, 10)
    assert [(one.kind, one.view.mode, one.cause) for one in watched.changes] == [
        (CallKind.VOID, Mode.OPEN, "att_1"),
        (CallKind.VOID, Mode.FORCED_CLOSED, "act_1"),
        (CallKind.VOID, Mode.CLOSED, "timer"),
    ]
