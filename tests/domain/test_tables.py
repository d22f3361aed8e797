"""The tables of states and edges are those of STATES.md, total, and whatever is not in them is refused and changes nothing."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from payorch.domain.events import DATA, Discrepancy, Ending, Event
from payorch.domain.evolve import evolve, replay
from payorch.domain.intent import CaptureMode, Intent
from payorch.domain.payment import (
    ATTEMPT_EDGES,
    EDGES,
    FACTS,
    LEGAL,
    OPEN_ATTEMPT,
    OPEN_OPERATION,
    OPERATION_EDGES,
    PUBLIC_STATUS,
    TERMINAL,
    UNCONFIRMED,
    AttemptState,
    Command,
    IllegalTransition,
    Name,
    OperationState,
    State,
    check_attempt_move,
    check_move,
    check_operation_move,
)
from payorch.domain.records import Payment
from tests.domain.worlds import CARD, EUR_20, START

STATES_MD = Path(__file__).parents[3] / "shared" / "STATES.md"

Edge = tuple[str, str, str]

# The table "Legal transitions" of STATES.md, copied: from, to, events.
EXPECTED = """
CREATED ROUTING Confirmed
CREATED CANCELED MerchantCanceled IntentExpired
ROUTING AUTHORIZING AttemptPrepared
ROUTING FAILED NoRoute RouterDeclined AttemptsExhausted
ROUTING CANCELED MerchantCanceled IntentExpired
AUTHORIZING AUTHORIZED ProviderAuthorized
AUTHORIZING CAPTURED ProviderCharged
AUTHORIZING REQUIRES_ACTION ProviderActionRequired
AUTHORIZING PROVIDER_PENDING ProviderAccepted
AUTHORIZING ROUTING AttemptNotSent DeclinedRetriable RejectedElsewherePossible
AUTHORIZING FAILED DeclinedTerminal RejectedTerminal
AUTHORIZING CANCELED CustomerCanceled ProviderExpired
AUTHORIZING OUTCOME_UNKNOWN OutcomeLost FoundSentAfterRestart
AUTHORIZING MANUAL_REVIEW IntegrityMismatch
REQUIRES_ACTION AUTHORIZING ActionReturned
REQUIRES_ACTION AUTHORIZED ProviderAuthorized
REQUIRES_ACTION CAPTURED ProviderCharged
REQUIRES_ACTION PROVIDER_PENDING ProviderAccepted
REQUIRES_ACTION FAILED ActionFailed
REQUIRES_ACTION CANCELED MerchantCanceled CustomerCanceled ActionExpired
REQUIRES_ACTION VOIDING CancelRequested
REQUIRES_ACTION OUTCOME_UNKNOWN ActionAbandoned
REQUIRES_ACTION MANUAL_REVIEW IntegrityMismatch
PROVIDER_PENDING AUTHORIZED ProviderAuthorized
PROVIDER_PENDING CAPTURED ProviderCharged
PROVIDER_PENDING REQUIRES_ACTION ProviderActionRequired
PROVIDER_PENDING CANCELED CustomerCanceled ProviderExpired
PROVIDER_PENDING ROUTING DeclinedRetriable
PROVIDER_PENDING FAILED DeclinedTerminal
PROVIDER_PENDING OUTCOME_UNKNOWN PendingDeadlinePassed
PROVIDER_PENDING MANUAL_REVIEW IntegrityMismatch
OUTCOME_UNKNOWN AUTHORIZED ResolvedAuthorized ResolvedCaptureNotDone ResolvedVoidNotDone
OUTCOME_UNKNOWN CAPTURED ResolvedCharged ResolvedCaptured ResolvedVoided ResolvedAuthorizationGone
OUTCOME_UNKNOWN PARTIALLY_CAPTURED ResolvedCaptured ResolvedCaptureNotDone ResolvedVoidNotDone
OUTCOME_UNKNOWN REQUIRES_ACTION ResolvedActionRequired
OUTCOME_UNKNOWN PROVIDER_PENDING ResolvedPending
OUTCOME_UNKNOWN CAPTURING ResolvedCapturePending
OUTCOME_UNKNOWN VOIDING ResolvedVoidPending
OUTCOME_UNKNOWN CANCELED ResolvedVoided FencedAbsent ResolvedCustomerCanceled ResolvedAuthorizationGone
OUTCOME_UNKNOWN ROUTING ResolvedAbsent ResolvedDeclinedRetriable
OUTCOME_UNKNOWN FAILED ResolvedDeclined ResolvedAbsentNoRetry
OUTCOME_UNKNOWN MANUAL_REVIEW SyncBudgetExhausted IntegrityMismatch
AUTHORIZED CAPTURING CaptureRequested
AUTHORIZED VOIDING VoidRequested AutoVoid
AUTHORIZED CANCELED AuthorizationExpired ProviderVoided
AUTHORIZED MANUAL_REVIEW UnexpectedProviderState
CAPTURING CAPTURED CaptureSucceeded CaptureRejectedAuthorizationGone
CAPTURING CAPTURING CaptureRequested
CAPTURING PARTIALLY_CAPTURED CaptureSucceeded CaptureRejected CaptureNotSent
CAPTURING AUTHORIZED CaptureRejected CaptureNotSent
CAPTURING CANCELED CaptureRejectedAuthorizationGone
CAPTURING OUTCOME_UNKNOWN OutcomeLost FoundSentAfterRestart PendingDeadlinePassed
CAPTURING MANUAL_REVIEW IntegrityMismatch
PARTIALLY_CAPTURED CAPTURING CaptureRequested
PARTIALLY_CAPTURED VOIDING VoidRemainderRequested
PARTIALLY_CAPTURED CAPTURED CaptureClosed AuthorizationExpired ProviderVoided
PARTIALLY_CAPTURED MANUAL_REVIEW UnexpectedProviderState LateCaptureFailure
VOIDING CANCELED VoidSucceeded ProviderVoided AuthorizationExpired
VOIDING CAPTURED VoidSucceeded ProviderVoided AuthorizationExpired VoidRejectedAlreadyCaptured
VOIDING AUTHORIZED VoidRejected VoidNotSent
VOIDING PARTIALLY_CAPTURED VoidRejected VoidNotSent
VOIDING REQUIRES_ACTION VoidRejected
VOIDING OUTCOME_UNKNOWN OutcomeLost FoundSentAfterRestart PendingDeadlinePassed
VOIDING MANUAL_REVIEW VoidRejectedAlreadyCaptured
CAPTURED MANUAL_REVIEW LateCaptureFailure IntegrityMismatch
CANCELED MANUAL_REVIEW LateSuccess
FAILED MANUAL_REVIEW LateSuccess
any MANUAL_REVIEW SecondSuccess
MANUAL_REVIEW OUTCOME_UNKNOWN ResyncRequested
MANUAL_REVIEW AUTHORIZED CorrectionApproved
MANUAL_REVIEW PARTIALLY_CAPTURED CorrectionApproved
MANUAL_REVIEW CAPTURED CorrectionApproved
MANUAL_REVIEW CANCELED CorrectionApproved
MANUAL_REVIEW FAILED CorrectionApproved
MANUAL_REVIEW VOIDING CompensationApproved
"""

# What the code adds to that table, each with the sentence of STATES.md, or the reason, behind it.
ADDITIONS = """
CAPTURING CAPTURING CaptureSucceeded CaptureRejected CaptureNotSent
VOIDING REQUIRES_ACTION VoidNotSent
OUTCOME_UNKNOWN CANCELED ResolvedDeclined ResolvedAbsentNoRetry
OUTCOME_UNKNOWN MANUAL_REVIEW ReviewRequested
"""
# CAPTURING -> CAPTURING: "the state is left when the last one in flight ends".
# VoidNotSent: closing a session can fail to be sent just as it can be refused.
# -> CANCELED: the note beside OUTCOME_UNKNOWN -> FAILED, "with `cancel_requested`: CANCELED".
# ReviewRequested: "5. Settlement report row (last, decisive). 6. People." who know better need not wait seven days for their turn.


def rows(text: str) -> set[Edge]:
    """`FROM TO Event Event` lines as edges; "any" stands for every state but the target itself."""
    found: set[Edge] = set()
    for line in text.split("\n"):
        if line.strip():
            state, target, *names = line.split()
            states = [str(one) for one in State if one is not State.MANUAL_REVIEW] if state == "any" else [state]
            found |= {(one, target, name) for one in states for name in names}
    return found


def ruled() -> set[Edge]:
    """The edges of the code."""
    return {(str(s), str(to), str(name)) for s, row in EDGES.items() for name, targets in row.items() for to in targets}


def section(title: str) -> str:
    """The part of STATES.md under that heading, up to the next one."""
    if not STATES_MD.exists():
        pytest.skip(f"{STATES_MD} is not on this machine")
    text = STATES_MD.read_text(encoding="utf-8")
    return text.split(title, 1)[1].split("\n##", 1)[0]


# --- the payment's machine


def test_every_state_has_a_row_in_every_table() -> None:
    assert set(EDGES) == set(LEGAL) == set(PUBLIC_STATUS) == set(State)
    assert len(State) == 14


def test_edges_are_those_of_the_specification_and_the_known_additions() -> None:
    assert rows(EXPECTED).isdisjoint(rows(ADDITIONS))
    assert ruled() == rows(EXPECTED) | rows(ADDITIONS)


def test_the_copy_of_the_specification_is_not_stale() -> None:
    found: set[Edge] = set()
    for line in section("## Legal transitions").split("\n"):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) >= 3 and re.fullmatch(r"[A-Z_]+|any", cells[0]) and cells[0] != "From":
            found |= rows(" ".join([cells[0], cells[1], *re.findall(r"\w+", cells[2])]))
    assert found == rows(EXPECTED)


@pytest.mark.parametrize("state", State)
def test_whatever_is_not_in_the_table_is_illegal(state: State) -> None:
    for name, target in itertools.product(Name, State):
        legal = state is target if name in FACTS else target in EDGES[state].get(name, ())
        if legal:
            check_move(state, name, target)
        else:
            with pytest.raises(IllegalTransition):
                check_move(state, name, target)


def payment_in(state: State) -> Payment:
    """A payment that says it stands there."""
    intent = Intent(amount=EUR_20, capture=CaptureMode.MANUAL, method=CARD)
    return Payment(id="pay_1", merchant_id="mer_1", state=state, version=7, intent=intent, created_at=START, updated_at=START)


@pytest.mark.parametrize("state", State)
def test_an_illegal_event_changes_nothing(state: State) -> None:
    payment = payment_in(state)
    for name, target in itertools.product(Name, State):
        legal = state is target if name in FACTS else target in EDGES[state].get(name, ())
        if not legal:
            with pytest.raises(IllegalTransition):
                evolve(payment, Event(name=name, to=target, at=START, actor="a", cause="c", data=Ending()))
    assert payment == payment_in(state)


def test_facts_leave_every_state_as_it_is() -> None:
    moving = {name for row in EDGES.values() for name in row}
    assert moving.isdisjoint(FACTS)
    assert moving | FACTS == set(Name)
    for state in State:
        data = Discrepancy(kind="k", detail="d")
        event = Event(name=Name.DISCREPANCY_RAISED, to=state, at=START, actor="a", cause="c", data=data)
        assert evolve(payment_in(state), event).state is state


def test_a_payment_is_born_once_and_from_its_own_event() -> None:
    stray = Event(name=Name.CONFIRMED, to=State.ROUTING, at=START, actor="a", cause="c", data=Ending())
    with pytest.raises(IllegalTransition):
        evolve(None, stray)
    with pytest.raises(IllegalTransition):
        replay([])


def test_terminal_states_have_one_exit_to_people() -> None:
    for state in TERMINAL:
        assert {target for targets in EDGES[state].values() for target in targets} == {State.MANUAL_REVIEW}


def test_unknown_never_fails_by_time() -> None:
    into_failed = {name for name, targets in EDGES[State.OUTCOME_UNKNOWN].items() if State.FAILED in targets}
    assert into_failed == {Name.RESOLVED_DECLINED, Name.RESOLVED_ABSENT_NO_RETRY}


def test_people_leave_review_only_by_acts_of_their_own() -> None:
    assert set(EDGES[State.MANUAL_REVIEW]) == {Name.RESYNC_REQUESTED, Name.CORRECTION_APPROVED, Name.COMPENSATION_APPROVED}


def test_every_event_name_has_its_kinds_of_data() -> None:
    assert set(DATA) == set(Name)
    assert all(DATA.values())


# --- what merchants see and may ask

PUBLIC = """
CREATED requires_confirmation
ROUTING processing
AUTHORIZING processing
PROVIDER_PENDING processing
CAPTURING processing
VOIDING processing
OUTCOME_UNKNOWN processing
MANUAL_REVIEW processing
REQUIRES_ACTION requires_action
AUTHORIZED requires_capture
PARTIALLY_CAPTURED partially_captured
CAPTURED succeeded
CANCELED canceled
FAILED failed
"""
ASKED = {
    Command.CONFIRM: "CREATED",
    Command.CANCEL: "CREATED ROUTING AUTHORIZING REQUIRES_ACTION PROVIDER_PENDING OUTCOME_UNKNOWN",
    Command.CAPTURE: "AUTHORIZED PARTIALLY_CAPTURED CAPTURING",
    Command.VOID: "AUTHORIZED PARTIALLY_CAPTURED AUTHORIZING REQUIRES_ACTION PROVIDER_PENDING OUTCOME_UNKNOWN",
    Command.REFUND: "CAPTURED PARTIALLY_CAPTURED CAPTURING VOIDING OUTCOME_UNKNOWN",
}


def test_public_status_is_that_of_the_specification() -> None:
    expected = dict(line.split() for line in PUBLIC.strip().split("\n"))
    assert {str(state): status for state, status in PUBLIC_STATUS.items()} == expected
    assert {State.OUTCOME_UNKNOWN, State.MANUAL_REVIEW} == UNCONFIRMED


def test_legal_commands_are_those_of_the_specification() -> None:
    for command, states in ASKED.items():
        assert {str(state) for state, commands in LEGAL.items() if command in commands} == set(states.split()), command


# --- attempts and operations

ATTEMPT_ANSWERS = "ACTION_REQUIRED PENDING AUTHORIZED CHARGED DECLINED REJECTED UNKNOWN"
ATTEMPTS = {
    "PREPARED": f"SENT NOT_SENT {ATTEMPT_ANSWERS}",
    "SENT": ATTEMPT_ANSWERS,
    "ACTION_REQUIRED": "SENT PENDING AUTHORIZED CHARGED DECLINED REJECTED UNKNOWN",
    "PENDING": "ACTION_REQUIRED AUTHORIZED CHARGED DECLINED REJECTED UNKNOWN",
    "UNKNOWN": "ABSENT ACTION_REQUIRED PENDING AUTHORIZED CHARGED DECLINED REJECTED",
    "AUTHORIZED": "VOIDED",
    "CHARGED": "VOIDED",
    "DECLINED": "AUTHORIZED CHARGED",
    "REJECTED": "AUTHORIZED CHARGED",
    "NOT_SENT": "AUTHORIZED CHARGED",
    "ABSENT": "AUTHORIZED CHARGED",
    "VOIDED": "",
}
ATTEMPT_ADDITIONS = {
    # A session that was closed before anything was authorised, by the merchant, the PSP or time.
    **dict.fromkeys(("PREPARED", "SENT", "ACTION_REQUIRED", "PENDING", "UNKNOWN"), "VOIDED"),
    "AUTHORIZED": "CHARGED",  # an automatic capture won the race against our void
    "VOIDED": "AUTHORIZED CHARGED",  # the shopper finished a session that we had given up (CANCELED -> MANUAL_REVIEW, LateSuccess)
}
OPERATIONS = {
    "REQUESTED": "SENT FAILED",
    "SENT": "PENDING SUCCEEDED FAILED UNKNOWN",
    "PENDING": "SUCCEEDED FAILED UNKNOWN",
    "UNKNOWN": "PENDING SUCCEEDED FAILED REQUESTED",
    "SUCCEEDED": "REVERSED",
    "REVERSED": "SUCCEEDED",
    "FAILED": "SUCCEEDED",
}
# SENT is never committed separately, so whatever may follow it may follow REQUESTED.
OPERATION_ADDITIONS = {"REQUESTED": "PENDING SUCCEEDED UNKNOWN"}


def test_attempt_edges_are_those_of_the_specification_and_the_known_additions() -> None:
    expected = {state: {*targets.split(), *ATTEMPT_ADDITIONS.get(state, "").split()} for state, targets in ATTEMPTS.items()}
    assert {str(state): {str(one) for one in targets} for state, targets in ATTEMPT_EDGES.items()} == expected


def test_operation_edges_are_those_of_the_specification_and_the_known_additions() -> None:
    expected = {state: {*targets.split(), *OPERATION_ADDITIONS.get(state, "").split()} for state, targets in OPERATIONS.items()}
    assert {str(state): {str(one) for one in targets} for state, targets in OPERATION_EDGES.items()} == expected


def test_children_refuse_what_is_not_in_their_tables() -> None:
    for state, to in itertools.product(AttemptState, AttemptState):
        if to is state or to in ATTEMPT_EDGES[state]:
            check_attempt_move(state, to)
        else:
            with pytest.raises(IllegalTransition):
                check_attempt_move(state, to)
    for before, after in itertools.product(OperationState, OperationState):
        if after is before or after in OPERATION_EDGES[before]:
            check_operation_move(before, after)
        else:
            with pytest.raises(IllegalTransition):
                check_operation_move(before, after)


def test_open_children_are_those_that_may_still_move_money() -> None:
    assert {str(one) for one in OPEN_ATTEMPT} == {"PREPARED", "SENT", "ACTION_REQUIRED", "PENDING", "UNKNOWN"}
    assert {str(one) for one in OPEN_OPERATION} == {"REQUESTED", "SENT", "PENDING", "UNKNOWN"}
