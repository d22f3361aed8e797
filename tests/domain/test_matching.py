"""Matching: each rung of the ladder, what follows from each way a line may not fit, and that no order of anything changes a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from payorch.domain.matching import MOST_SUGGESTIONS, Candidate, Policy, Tolerance, Verdict, match, match_all, repetition
from payorch.domain.money import Money
from payorch.domain.movements import MovementKind
from payorch.domain.settlement import OF_PAYMENTS, Finding, FindingKind, Key, RowKind, RowState, SettlementRow, SettlementState

ACME = "acme"
DAY = date(2026, 10, 16)
EXACT = Policy()


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def line(number: int = 1, **changes: Any) -> SettlementRow:
    """The line of a capture of 20.00 EUR; ids end in its number."""
    fields: dict[str, Any] = {
        "line": number, "kind": RowKind.CAPTURE, "type": "charge", "identity": f"txn_{number:03}", "booked_on": DAY, "gross": eur(2000),
        "fee": eur(55), "net": eur(1945), "psp_operation": (f"ch_{number}",), "psp_payment": (f"pi_{number}",),
        "our_references": (f"att_{number}",),
    }  # fmt: skip
    return SettlementRow(**fields | changes)


def movement(number: int = 1, **changes: Any) -> Candidate:
    """The movement that `line` of that number is about, in no report yet."""
    fields: dict[str, Any] = {
        "payment_id": f"pay_{number}", "subject_id": f"att_{number}", "connector": ACME, "kind": MovementKind.CAPTURE, "amount": eur(2000),
        "day": DAY, "state": "CHARGED", "sequence": 4, "settlement": SettlementState.PENDING, "psp_operation": (f"ch_{number}",),
        "psp_payment": (f"pi_{number}",), "our_references": (f"att_{number}",),
    }  # fmt: skip
    return Candidate(**fields | changes)


def unmoved(state: str, number: int = 1, **changes: Any) -> Candidate:
    """The attempt of that number, of which our books have no movement."""
    return movement(number, state=state, sequence=None, settlement=None, **changes)


def judged(row: SettlementRow, *candidates: Candidate, policy: Policy = EXACT) -> Verdict:
    return match(row, candidates, policy, connector=ACME)


def kinds(verdict: Verdict) -> list[FindingKind]:
    return [one.kind for one in verdict.findings]


def only_finding(verdict: Verdict) -> Finding:
    (found,) = verdict.findings
    return found


# --- the ladder -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "key", "why"),
    [
        (line(), Key.PSP_OPERATION, "the PSP's id ch_1 of the capture"),
        (line(psp_operation=("other", "ch_1")), Key.PSP_OPERATION, "the PSP's id ch_1 of the capture"),
        (line(psp_operation=("other",)), Key.OUR_OPERATION, "our own id att_1 of the capture"),
        (line(psp_operation=(), our_references=()), Key.PSP_PAYMENT, "the payment's id pi_1, the kind and the amount"),
        (line(psp_operation=("pi_1",), psp_payment=(), our_references=()), Key.PSP_PAYMENT, "the payment's id pi_1"),
    ],
)
def test_a_line_is_matched_by_the_strongest_key_that_it_has_and_says_by_which(row: SettlementRow, key: Key, why: str) -> None:
    verdict = judged(row, movement())
    assert (verdict.state, verdict.key, verdict.settlement) == (RowState.MATCHED, key, SettlementState.SETTLED)
    assert verdict.candidate == movement()
    assert why in verdict.why
    assert not verdict.findings
    assert verdict.tolerated is None


def test_amount_currency_and_date_alone_never_match_and_are_suggested() -> None:
    verdict = judged(line(), movement(2), movement(3, day=DAY + timedelta(days=1)), movement(4, amount=eur(1999)))
    assert verdict.state is RowState.UNMATCHED
    assert verdict.candidate is None
    assert [one.payment_id for one in verdict.suggestions] == ["pay_2", "pay_3"]
    found = only_finding(verdict)
    assert (found.kind, found.expected, found.actual, found.difference) == (FindingKind.MISSING_HERE, eur(0), eur(2000), eur(2000))
    assert "20.00 EUR" in found.detail
    assert "ch_1" in found.detail


@pytest.mark.parametrize("row", [line(gross=eur(1999)), line(gross=Money(2000, "USD"))])
def test_a_payments_id_matches_only_with_the_amount_and_the_currency(row: SettlementRow) -> None:
    """What else of a known payment moved, nobody can say: it is for the payment to weigh, and the movement is only shown."""
    verdict = judged(replace(row, psp_operation=("ch_9",), our_references=()), movement())
    assert (verdict.state, verdict.key) == (RowState.EVIDENCE, Key.PSP_PAYMENT)
    assert verdict.suggestions == (movement(),)
    assert not verdict.findings


def test_what_is_at_another_connector_is_never_meant() -> None:
    verdict = judged(line(), movement(connector="other"))
    assert verdict.state is RowState.UNMATCHED
    assert not verdict.suggestions


def test_a_stronger_key_decides_alone() -> None:
    """The capture that the line names has its line already: then this one is booked twice, although another would fit by a weaker key."""
    booked = movement(psp_operation=("ch_1",), settlement=SettlementState.SETTLED)
    fitting = movement(subject_id="cap_2", psp_operation=("ch_2",))
    verdict = judged(line(our_references=()), fitting, booked)
    assert (verdict.state, verdict.candidate, verdict.key) == (RowState.DUPLICATE, booked, Key.PSP_OPERATION)


def test_of_several_captures_of_one_charge_one_without_a_line_is_taken() -> None:
    first = movement(subject_id="cap_1", amount=eur(500), settlement=SettlementState.SETTLED)
    second, third = movement(subject_id="cap_2", amount=eur(500), sequence=6), movement(subject_id="cap_3", amount=eur(1000), sequence=8)
    row = line(gross=eur(500), our_references=())
    assert judged(row, third, first, second).candidate == second
    doubled = judged(row, third, first, replace(second, settlement=SettlementState.SETTLED))
    assert doubled.state is RowState.DUPLICATE, "not the third with a wrong amount"


def test_the_operations_reference_is_meant_before_its_attempts() -> None:
    """A line of a capture names the capture and the attempt that holds the money, of which our books have no movement."""
    held = unmoved("AUTHORIZED")
    capture = movement(subject_id="cap_1", psp_operation=("x",), our_references=("cap_1", "att_1"))
    assert judged(line(psp_operation=(), our_references=("cap_1", "att_1")), held, capture).candidate == capture
    verdict = judged(line(psp_operation=(), our_references=("att_1",)), held, capture)
    assert (verdict.candidate, verdict.key) == (capture, Key.PSP_PAYMENT)


def test_an_id_of_another_kind_of_movement_is_not_the_movements() -> None:
    """A dispute's or refund's id is on the line that takes the money and on the one that gives it back."""
    taken = movement(kind=MovementKind.REFUND, subject_id="ref_1", psp_operation=("re_1",), settlement=SettlementState.SETTLED)
    back = replace(taken, kind=MovementKind.REFUND_REVERSED, sequence=9, settlement=SettlementState.PENDING)
    row = line(kind=RowKind.REFUND_REVERSED, psp_operation=("re_1",))
    assert judged(row, taken, back).candidate == back
    assert judged(row, taken).state is RowState.EVIDENCE


@pytest.mark.parametrize("kind", sorted(set(RowKind) - OF_PAYMENTS))
def test_a_line_of_no_payment_is_beside(kind: RowKind) -> None:
    verdict = judged(line(kind=kind), movement())
    assert (verdict.state, verdict.candidate, verdict.findings) == (RowState.BESIDE, None, ())
    assert kind.value in verdict.why


# --- what does not fit ------------------------------------------------------------------------------------------------------------------


def test_another_amount_is_a_finding_and_the_movement_is_mismatched() -> None:
    verdict = judged(line(gross=eur(1999)), movement())
    assert (verdict.state, verdict.settlement) == (RowState.MATCHED, SettlementState.MISMATCHED)
    found = only_finding(verdict)
    assert (found.kind, found.expected, found.actual, found.difference) == (FindingKind.AMOUNT, eur(2000), eur(1999), eur(-1))
    assert "19.99 EUR" in found.detail


def test_a_positive_drift_is_a_finding_like_any_other() -> None:
    assert only_finding(judged(line(gross=eur(2001)), movement())).difference == eur(1)
    refund = movement(kind=MovementKind.REFUND)
    assert only_finding(judged(line(kind=RowKind.REFUND, gross=eur(-1999)), refund)).difference == eur(1)


def test_within_the_tolerance_of_connector_and_currency_a_difference_is_recorded_and_let_pass() -> None:
    policy = Policy(tolerances={(ACME, "EUR"): Tolerance(amount_minor=2)})
    verdict = judged(line(gross=eur(2002)), movement(), policy=policy)
    assert (verdict.settlement, verdict.tolerated, verdict.findings) == (SettlementState.SETTLED, eur(2), ())
    assert "0.02 EUR" in verdict.why
    assert kinds(judged(line(gross=eur(2003)), movement(), policy=policy)) == [FindingKind.AMOUNT]
    elsewhere = Policy(tolerances={("other", "EUR"): Tolerance(amount_minor=2), (ACME, "USD"): Tolerance(amount_minor=2)})
    assert kinds(judged(line(gross=eur(2002)), movement(), policy=elsewhere)) == [FindingKind.AMOUNT]


def test_another_currency_is_a_finding_of_an_amount_that_nobody_can_say() -> None:
    verdict = judged(line(gross=Money(2000, "USD")), movement())
    found = only_finding(verdict)
    assert (verdict.state, verdict.settlement, found.kind) == (RowState.MATCHED, SettlementState.MISMATCHED, FindingKind.CURRENCY)
    assert (found.expected, found.actual, found.difference) == (eur(2000), None, None)
    assert "20.00 USD" in found.detail


@pytest.mark.parametrize("settlement", [SettlementState.SETTLED, SettlementState.MISMATCHED, SettlementState.MANUALLY_REVIEWED])
@pytest.mark.parametrize("row", [line(), line(psp_operation=()), line(psp_operation=(), our_references=())])
def test_a_second_line_of_a_movement_is_a_duplicate_by_every_key(row: SettlementRow, settlement: SettlementState) -> None:
    verdict = judged(row, movement(settlement=settlement))
    found = only_finding(verdict)
    assert (verdict.state, verdict.settlement, verdict.candidate) == (RowState.DUPLICATE, None, movement(settlement=settlement))
    assert (found.kind, found.difference) == (FindingKind.DUPLICATE, eur(2000))


@pytest.mark.parametrize("state", ["UNKNOWN", "PENDING", "SENT", "REQUESTED", "ACTION_REQUIRED", "AUTHORIZED"])
def test_what_nobody_knows_gets_the_line_as_evidence_and_no_finding(state: str) -> None:
    verdict = judged(line(), unmoved(state))
    assert (verdict.state, verdict.candidate, verdict.settlement, verdict.findings) == (RowState.EVIDENCE, unmoved(state), None, ())


@pytest.mark.parametrize("state", ["DECLINED", "REJECTED", "ABSENT", "NOT_SENT", "VOIDED", "FAILED"])
def test_what_our_books_deny_gets_it_as_evidence_and_a_conflict(state: str) -> None:
    verdict = judged(line(), unmoved(state))
    found = only_finding(verdict)
    assert (verdict.state, found.kind, found.difference) == (RowState.EVIDENCE, FindingKind.STATUS_CONFLICT, eur(2000))
    assert state in found.detail


def test_what_is_in_review_is_a_conflict_unless_it_is_unresolved() -> None:
    assert kinds(judged(line(), unmoved("in_review"))) == [FindingKind.STATUS_CONFLICT]
    assert not judged(line(), unmoved("in_review", unresolved=True)).findings


def test_a_dispute_that_was_only_a_warning_as_far_as_we_know_is_no_conflict() -> None:
    warning = unmoved("opened", kind=MovementKind.CHARGEBACK, subject_id="dsp_1", psp_operation=("dp_1",))
    verdict = judged(line(kind=RowKind.CHARGEBACK, gross=eur(-2000), psp_operation=("dp_1",)), warning)
    assert (verdict.state, verdict.candidate, verdict.findings) == (RowState.EVIDENCE, warning, ())


@pytest.mark.parametrize("kind", [RowKind.CHARGEBACK, RowKind.REFUND, RowKind.CAPTURE_REVERSED])
def test_what_only_the_psp_did_to_a_payment_that_we_know_is_evidence(kind: RowKind) -> None:
    verdict = judged(line(kind=kind, gross=eur(-700), psp_operation=("dp_1",)), movement(settlement=SettlementState.SETTLED))
    assert (verdict.state, verdict.findings, verdict.settlement) == (RowState.EVIDENCE, (), None)
    assert verdict.candidate is not None
    assert (verdict.candidate.payment_id, verdict.candidate.sequence) == ("pay_1", None)


@pytest.mark.parametrize(("kind", "gross"), [(RowKind.CAPTURE, -2000), (RowKind.REFUND, 2000), (RowKind.CHARGEBACK, 2000)])
def test_an_amount_of_the_wrong_sign_is_wrong_by_both_amounts(kind: RowKind, gross: int) -> None:
    """However much is let pass."""
    policy = Policy(tolerances={(ACME, "EUR"): Tolerance(amount_minor=10_000)})
    verdict = judged(line(kind=kind, gross=eur(gross)), movement(kind=MovementKind(kind.value)), policy=policy)
    found = only_finding(verdict)
    assert (found.kind, found.expected, found.difference) == (FindingKind.AMOUNT, eur(-gross), eur(2 * gross))


@pytest.mark.parametrize("candidate", [unmoved("UNKNOWN"), unmoved("DECLINED"), movement(kind=MovementKind.REFUND)])
def test_a_line_of_the_wrong_sign_is_evidence_for_nothing(candidate: Candidate) -> None:
    verdict = judged(line(gross=eur(-2000)), candidate)
    assert (verdict.state, kinds(verdict)) == (RowState.UNMATCHED, [FindingKind.MISSING_HERE])
    assert only_finding(verdict).difference == eur(-2000)


def test_suggestions_are_few_and_the_likeliest_come_first() -> None:
    refund = movement(2, kind=MovementKind.REFUND)
    far = [movement(number, day=DAY - timedelta(days=number)) for number in (3, 4, 5)]
    near = [movement(number) for number in (8, 7)]
    other = [
        movement(20, day=DAY - timedelta(days=6)),
        movement(21, amount=Money(2000, "USD")),
        movement(22, settlement=SettlementState.SETTLED),
    ]
    verdict = judged(line(), *other, refund, *far, *near)
    assert len(verdict.suggestions) == MOST_SUGGESTIONS == 5
    assert [one.payment_id for one in verdict.suggestions] == ["pay_7", "pay_8", "pay_3", "pay_4", "pay_5"]
    assert judged(line(), refund, *near).suggestions[-1] == refund


# --- a chunk ----------------------------------------------------------------------------------------------------------------------------


def chunk(rows: Sequence[SettlementRow], ours: Sequence[Candidate], policy: Policy = EXACT) -> dict[int, Verdict]:
    """The verdicts by line."""
    return dict(zip([row.line for row in rows], match_all(rows, lambda row: ours, policy, connector=ACME), strict=True))


def test_of_two_lines_for_one_movement_the_stronger_key_has_it() -> None:
    weak, strong = line(1, identity="a", psp_operation=("ch_9",)), line(2, identity="b", psp_operation=("ch_1",), psp_payment=("pi_1",))
    verdicts = chunk([weak, strong], [movement()])
    assert [verdicts[1].state, verdicts[2].state] == [RowState.DUPLICATE, RowState.MATCHED]


def test_of_two_lines_with_the_same_key_the_one_that_fits_then_the_smaller_identity_has_it() -> None:
    same = {"psp_operation": ("ch_1",), "psp_payment": ("pi_1",), "our_references": ("att_1",)}
    verdicts = chunk([line(1, identity="b", **same), line(2, identity="a", **same)], [movement()])
    assert [verdicts[1].state, verdicts[2].state] == [RowState.DUPLICATE, RowState.MATCHED]
    verdicts = chunk([line(1, identity="b", **same), line(2, identity="a", gross=eur(1), **same)], [movement()])
    assert [verdicts[1].state, verdicts[2].state] == [RowState.MATCHED, RowState.DUPLICATE]


def test_equal_captures_of_one_payment_get_a_line_each_and_one_too_many_is_a_duplicate() -> None:
    ours = [movement(subject_id=f"cap_{number}", sequence=number, amount=eur(500), psp_operation=()) for number in (4, 5)]
    rows = [line(number, gross=eur(500), psp_operation=(), psp_payment=("pi_1",), our_references=()) for number in (1, 2, 3)]
    verdicts = chunk(rows, ours)
    assert [verdicts[number].state for number in (1, 2, 3)] == [RowState.MATCHED, RowState.MATCHED, RowState.DUPLICATE]
    assert verdicts[1].candidate != verdicts[2].candidate


def test_a_doubled_line_does_not_take_the_other_capture_of_its_charge() -> None:
    ours = [movement(subject_id="cap_1", amount=eur(500)), movement(subject_id="cap_2", amount=eur(700), sequence=5)]
    same = {"psp_operation": ("ch_1",), "psp_payment": ("pi_1",), "our_references": ()}
    rows = [line(1, gross=eur(500), **same), line(2, gross=eur(500), **same), line(3, gross=eur(700), **same)]
    assert [one.state for one in chunk(rows, ours).values()] == [RowState.MATCHED, RowState.DUPLICATE, RowState.MATCHED]


def test_two_lines_of_what_nobody_knows_are_evidence_once() -> None:
    same = {"psp_operation": ("ch_1",), "psp_payment": ("pi_1",), "our_references": ("att_1",)}
    verdicts = chunk([line(1, **same), line(2, **same)], [unmoved("UNKNOWN")])
    assert [one.state for one in verdicts.values()] == [RowState.EVIDENCE, RowState.DUPLICATE]


@pytest.mark.parametrize("kind", [RowKind.CAPTURE, RowKind.FEE])
def test_a_booking_that_stands_in_a_report_twice_is_a_duplicate_of_its_first_line(kind: RowKind) -> None:
    first, again = line(1, kind=kind), line(2, kind=kind, identity="txn_001", psp_operation=("ch_2",))
    verdicts = chunk([again, first], [movement(1), movement(2)])
    assert verdicts[1].state in (RowState.MATCHED, RowState.BESIDE)
    assert verdicts[2] == repetition(again)
    assert kinds(verdicts[2]) == [FindingKind.DUPLICATE]


def test_what_is_matched_in_a_chunk_is_suggested_to_nobody_in_it() -> None:
    stranger = line(2, psp_operation=("ch_9",), psp_payment=("pi_9",), our_references=())
    verdicts = chunk([stranger, line(1)], [movement()])
    assert (verdicts[2].state, verdicts[2].suggestions) == (RowState.UNMATCHED, ())


# --- no order of anything changes a verdict ---------------------------------------------------------------------------------------------

_AMOUNTS = st.sampled_from([500, 700, 2000])
_SOME = st.sampled_from([1, 2, 3])
_SIDES = {RowKind.CAPTURE: 1, RowKind.REFUND: -1, RowKind.CHARGEBACK: -1}


@st.composite
def lines(draw: st.DrawFn, number: int) -> SettlementRow:
    """A line with ids that it has in common with some of what is ours, or with nothing, of amounts that are often right."""
    kind = draw(st.sampled_from([*_SIDES, RowKind.FEE]))
    gross = draw(_AMOUNTS) * _SIDES.get(kind, 1) * draw(st.sampled_from([1, 1, 1, -1]))
    return line(
        number,
        kind=kind,
        gross=Money(gross, draw(st.sampled_from(["EUR", "EUR", "EUR", "USD"]))),
        identity=f"txn_{draw(st.integers(1, 12))}",
        booked_on=DAY + timedelta(days=draw(st.integers(0, 2))),
        psp_operation=draw(st.sampled_from([(), (f"ch_{draw(_SOME)}",), ("other",)])),
        psp_payment=draw(st.sampled_from([(), (f"pi_{draw(_SOME)}",)])),
        our_references=draw(st.sampled_from([(), (f"att_{draw(_SOME)}",), (f"cap_{draw(_SOME)}", f"att_{draw(_SOME)}")])),
    )


@st.composite
def candidates(draw: st.DrawFn, sequence: int) -> Candidate:
    number, moved = draw(_SOME), draw(st.booleans())
    return movement(
        number,
        subject_id=draw(st.sampled_from([f"att_{number}", f"cap_{number}"])),
        kind=MovementKind(draw(st.sampled_from(sorted(_SIDES))).value),
        amount=eur(draw(_AMOUNTS)),
        day=DAY + timedelta(days=draw(st.integers(0, 2))),
        state=draw(st.sampled_from(["CHARGED", "UNKNOWN", "DECLINED", "AUTHORIZED"])),
        sequence=sequence if moved else None,
        settlement=draw(st.sampled_from([SettlementState.PENDING, SettlementState.SETTLED])) if moved else None,
        psp_operation=draw(st.sampled_from([(), (f"ch_{number}",)])),
    )


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[SettlementRow], list[Candidate]]:
    rows = [draw(lines(number)) for number in range(1, draw(st.integers(1, 8)) + 1)]
    ours = [draw(candidates(sequence)) for sequence in range(1, draw(st.integers(1, 8)) + 1)]
    # Nothing that has not moved is offered twice.
    return rows, list({(one.payment_id, one.sequence, one.subject_id, one.kind): one for one in ours}.values())


@given(world=worlds(), data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_permutation_of_lines_or_candidates_changes_any_verdict(
    world: tuple[list[SettlementRow], list[Candidate]], data: st.DataObject
) -> None:
    rows, ours = world
    shuffled = chunk(data.draw(st.permutations(rows)), data.draw(st.permutations(ours)))
    assert shuffled == chunk(rows, ours)


@given(world=worlds())
@settings(max_examples=150, deadline=None)
def test_every_line_has_one_verdict_and_no_movement_has_two_lines(world: tuple[list[SettlementRow], list[Candidate]]) -> None:
    rows, ours = world
    verdicts = chunk(rows, ours)
    assert sorted(verdicts) == [row.line for row in rows]
    taken = Counter(one.candidate for one in verdicts.values() if one.state is RowState.MATCHED)
    assert all(times == 1 for times in taken.values())
    for row in rows:
        verdict = verdicts[row.line]
        assert verdict.why
        assert (verdict.state is RowState.MATCHED) == (verdict.settlement is not None)
        assert (verdict.state in (RowState.UNMATCHED, RowState.DUPLICATE)) <= bool(verdict.findings)
        if verdict.state is RowState.MATCHED:
            assert verdict.candidate is not None
            assert verdict.candidate.settlement is SettlementState.PENDING
            assert (verdict.settlement is SettlementState.SETTLED) == (not verdict.findings)


@given(world=worlds())
@settings(max_examples=80, deadline=None)
def test_what_the_lines_say_is_what_settled_and_what_is_different(world: tuple[list[SettlementRow], list[Candidate]]) -> None:
    """The sum of the parts: the lines about payments come to the movements that they were matched with, and the differences."""
    rows, ours = world
    rows = [replace(row, gross=eur(row.gross.minor)) for row in rows if row.kind in OF_PAYMENTS]
    said = matched = different = evidence = 0
    verdicts = chunk(rows, ours)
    for row in rows:
        verdict = verdicts[row.line]
        said += row.gross.minor
        different += sum(one.difference.minor for one in verdict.findings if one.difference is not None)
        if verdict.state is RowState.MATCHED and verdict.candidate is not None:
            matched += verdict.candidate.amount.minor * _SIDES[row.kind]
        if verdict.state is RowState.EVIDENCE and not verdict.findings:
            evidence += row.gross.minor
    assert said == matched + different + evidence


@given(world=worlds())
@settings(max_examples=80, deadline=None)
def test_what_was_matched_is_never_matched_again(world: tuple[list[SettlementRow], list[Candidate]]) -> None:
    """The PSP books all of it again, under new identities: nothing that had its line gets another."""
    rows, ours = world
    first = chunk(rows, ours)
    after = {one.candidate: one.settlement for one in first.values() if one.state is RowState.MATCHED}
    now = [replace(one, settlement=after.get(one, one.settlement)) for one in ours]
    second = chunk([replace(row, identity=f"again_{row.identity}") for row in rows], now)
    settled = {replace(one, settlement=settlement) for one, settlement in after.items() if one is not None}
    assert not settled & {one.candidate for one in second.values() if one.state is RowState.MATCHED}


@given(world=worlds())
@settings(max_examples=80, deadline=None)
def test_one_line_alone_is_judged_as_in_a_chunk(world: tuple[list[SettlementRow], list[Candidate]]) -> None:
    rows, ours = world
    assert chunk(rows[:1], ours)[1] == match(rows[0], ours, EXACT, connector=ACME)
