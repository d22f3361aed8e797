"""What becomes of a payment at a healthy PSP, by what the shared test cards stand for: every operation, every class of outcome.

The tables name no PSP: whoever simulates one makes its own words mean the same. Findings are those that the platform ends up with, at once
where the PSP answers so, or after its notices and inquiries; the PSP's books say that they are true.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pytest

from connectors.contract import NotSupported
from connectors.simulator.cards import SHARED
from connectors.simulator.challenge import Choice
from payorch.domain.intent import Initiator
from payorch.domain.money import Money
from payorch.domain.outcome import (
    Absent,
    Approved,
    Declined,
    ErrorClass,
    Evidence,
    Finding,
    NotExecuted,
    Pending,
    Released,
    Source,
    Unknown,
)
from payorch.domain.records import OperationKind
from tests.connectors.conformance.life import EURO, Life, born, can_be_asked
from tests.connectors.conformance.psp import Psp
from tests.connectors.conformance.steps import charged, held, several_captures

E: Final = ErrorClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One card: what an authorisation with it comes to at once, and why not."""

    token: str
    finding: type[Finding]
    error_class: ErrorClass | None = None
    shopper: bool = False

    def __str__(self) -> str:
        return self.token


ROWS: Final = (
    Row(token="tok_visa", finding=Approved),
    Row(token="tok_mastercard", finding=Approved),
    Row(token="tok_soft_decline", finding=Declined, error_class=E.SOFT_TRY_OTHER),
    Row(token="tok_insufficient_funds", finding=Declined, error_class=E.SOFT_RETRY_LATER),
    Row(token="tok_hard_decline", finding=Declined, error_class=E.HARD_DECLINE),
    Row(token="tok_expired_card", finding=Declined, error_class=E.FIX_DATA),
    Row(token="tok_fraud", finding=Declined, error_class=E.FRAUD_BLOCKED),
    Row(token="tok_3ds", finding=Pending, shopper=True),
    Row(token="tok_3ds_fail", finding=Pending, shopper=True),
    Row(token="tok_pending", finding=Pending),
    Row(token="tok_capture_fails_late", finding=Approved),
    Row(token="tok_refund_fails_late", finding=Approved),
    Row(token="tok_refund_pending", finding=Approved),
    Row(token="tok_nobody_knows", finding=NotExecuted, error_class=E.INVALID_REQUEST),
)
BOTH_MODES: Final = pytest.mark.parametrize("manual", [True, False], ids=["manual", "automatic"])


def test_every_shared_card_has_a_row() -> None:
    assert {row.token for row in ROWS} >= set(SHARED)


# --- authorising ------------------------------------------------------------------------------------------------------------------------


@BOTH_MODES
@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_an_authorisation(psp: Psp, row: Row, manual: bool) -> None:
    life = born(psp, token=row.token, manual=manual)
    evidence = await life.authorize()
    assert_is(evidence, row)
    books = await psp.books()
    if isinstance(evidence.finding, Approved):
        reported = not manual and psp.connector.manifest.capture_reportable
        assert evidence.finding == Approved(captured=reported)
        assert evidence.amount in (None, EURO)
        assert (books.held, books.captured) == ((0, 1999) if reported else (1999, 0))
    else:
        assert (books.held, books.captured) == (0, 0)


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_an_authorisation_means_the_same_in_every_answer(psp: Psp, row: Row) -> None:
    life = born(psp, token=row.token)
    first = await life.authorize()
    again = await life.replay(life.attempt.id)
    assert_is(again, row, replayed=True)
    assert (again.psp_reference, again.our_reference, again.amount) == (first.psp_reference, first.our_reference, first.amount)
    if life.attempt.psp_reference is not None and (asked := await life.inquire(life.attempt.id)) is not None:
        assert_is(asked, row)
        assert (asked.psp_reference, asked.our_reference) == (first.psp_reference, life.attempt.id)
    assert (await psp.books()).lines.get("authorized", 0) <= 1


def assert_is(evidence: Evidence, row: Row, *, replayed: bool = False) -> None:
    """By the table. A message that is refused again is not known to have been refused the first time."""
    finding = evidence.finding
    if replayed and row.finding is NotExecuted and isinstance(finding, Unknown):
        return
    assert isinstance(finding, row.finding), finding
    match finding:
        case Declined(failure=no) | NotExecuted(failure=no):
            assert no.error_class is row.error_class
            assert no.code
            assert no.message
        case Pending(action=action):
            assert (action is not None) == row.shopper
            assert not finding.ready


async def test_a_payment_without_the_shopper(psp: Psp) -> None:
    life = born(psp, initiator=Initiator.MERCHANT)
    assert (await life.authorize()).finding == Approved(captured=False)


async def test_a_pending_authorisation_is_approved_in_the_end(psp: Psp) -> None:
    life = born(psp, token="tok_pending")
    await life.authorize()
    assert (await psp.books()).held == 0
    found = await life.found_out(life.attempt.id)
    assert found.finding == Approved(captured=False)
    assert (await psp.books()).held == 1999


async def test_a_pending_charge_is_taken_in_the_end(psp: Psp) -> None:
    life = born(psp, token="tok_pending", manual=False)
    await life.authorize()
    found = await life.found_out(life.attempt.id)
    assert found.finding == Approved(captured=psp.connector.manifest.capture_reportable)


async def test_an_amount_in_every_currency_comes_back_as_it_went(psp: Psp) -> None:
    """The scales of the connector and of the simulated PSP, which were written apart, are the same, and the books are in ours."""
    wrong = []
    support = psp.connector.manifest.methods["card"]
    expected = []
    for currency in sorted(support.currencies or psp.connector.manifest.currencies):
        minor = max(12_300, support.minimum_minor.get(currency, 0) // 100 * 100 + 100)
        amount = Money(min(minor, support.maximum_minor.get(currency, minor)), currency)
        life = born(psp, amount=amount)
        evidence = await life.authorize()
        expected.append((life.attempt.id, amount.minor, currency))
        if evidence.finding != Approved(captured=False) or evidence.amount not in (None, amount):
            wrong.append((currency, evidence.finding, evidence.amount))
    assert not wrong
    assert sorted(await psp.references(), key=repr) == sorted(expected, key=repr)


async def test_an_attempt_is_found_by_our_own_id_where_the_manifest_says_so(psp: Psp) -> None:
    life = born(psp)
    if psp.connector.inquire(life.attempt, life.attempt) is None:
        pytest.skip(f"{psp.name}: cannot be asked by a reference of ours alone")
    await psp.ask(life.attempt, life.attempt.call, key=life.attempt.psp_key)  # and its answer is lost
    psp.later(psp.connector.manifest.lookup_lag_seconds)
    found = await life.inquire(life.attempt.id)
    assert found is not None
    assert (found.finding, found.our_reference) == (Approved(captured=False), life.attempt.id)
    never = born(psp)
    absent = await never.inquire(never.attempt.id)
    assert absent is not None
    assert absent.finding == Absent()


# --- the shopper ------------------------------------------------------------------------------------------------------------------------


@BOTH_MODES
async def test_a_shopper_who_approves(psp: Psp, manual: bool) -> None:
    life = born(psp, token="tok_3ds", manual=manual)
    await life.authorize()
    evidence = await life.finish(Choice.APPROVE)
    reported = not manual and psp.connector.manifest.capture_reportable
    assert evidence.finding == Approved(captured=reported)
    assert evidence.amount in (None, EURO)
    books = await psp.books()
    assert (books.held, books.captured) == ((0, 1999) if reported else (1999, 0))


@pytest.mark.parametrize(
    ("token", "choice"), [("tok_3ds", Choice.FAIL), ("tok_3ds", Choice.CANCEL), ("tok_3ds_fail", Choice.APPROVE)], ids=str
)
async def test_a_shopper_who_does_not(psp: Psp, token: str, choice: Choice) -> None:
    life = born(psp, token=token)
    await life.authorize()
    evidence = await life.finish(choice)
    # Either it is over, or he may still come back to it.
    assert isinstance(evidence.finding, (Declined, Pending)), evidence.finding
    if isinstance(evidence.finding, Pending):
        assert evidence.finding.action is not None
    else:
        assert evidence.finding.failure.error_class in (E.AUTHENTICATION_REQUIRED, E.FIX_DATA, E.CUSTOMER_CANCELED)
    books = await psp.books()
    assert (books.held, books.captured, books.lines) == (0, 0, {})


async def test_what_comes_back_with_the_shopper_is_nobodys_word(psp: Psp) -> None:
    """Whatever stands in the address: without his part at the PSP nothing is held, and nothing is said to be."""
    life = born(psp, token="tok_3ds")
    await life.authorize()
    forged = {"redirect_status": "succeeded", "redirectResult": "made-up", "token": "made-up", "PayerID": "x", "result": "\r\n<>"}
    for returned in (forged, {}):
        evidence = await life.complete(returned)
        assert evidence is None or not isinstance(evidence.finding, Approved)
    assert (await psp.books()).lines == {}


async def test_every_method_without_a_token_goes_by_the_shopper(psp: Psp) -> None:
    methods = [method for method, support in psp.connector.manifest.methods.items() if not support.needs_token]
    if not methods:
        pytest.skip(f"{psp.name}: every method needs a token")
    for method in methods:
        for manual in (True, False):
            life = born(psp, token=None, method=method, manual=manual)
            pending = (await life.authorize()).finding
            assert isinstance(pending, Pending)
            assert pending.action is not None
            evidence = await life.finish(Choice.APPROVE)
            assert evidence.finding == Approved(captured=not manual and psp.connector.manifest.capture_reportable)
        gone = born(psp, token=None, method=method)
        await gone.authorize()
        assert not isinstance((await gone.finish(Choice.CANCEL)).finding, Approved)


async def test_an_open_session_is_closed_by_a_call_where_the_manifest_says_so(psp: Psp) -> None:
    life = born(psp, token="tok_3ds")
    await life.authorize()
    if not psp.connector.manifest.session_cancel:
        with pytest.raises(NotSupported):
            life.operation(OperationKind.VOID)
        return
    void = await life.void()
    assert (await life.found_out(void)).finding == Approved()


# --- capturing and releasing ------------------------------------------------------------------------------------------------------------


async def test_a_full_capture(psp: Psp) -> None:
    life = await held(psp)
    taken = await life.capture()
    evidence = await life.found_out(taken)
    assert evidence.finding == Approved(captured=True)
    assert_amount(evidence, 1999)
    books = await psp.books()
    assert (books.held, books.captured) == (0, 1999)


async def test_a_partial_capture_that_releases_the_rest(psp: Psp) -> None:
    needs(psp, partial_capture=psp.connector.manifest.partial_capture)
    life = await held(psp)
    evidence = await life.found_out(await life.capture(700))
    assert evidence.finding == Approved(captured=True)
    assert_amount(evidence, 700)
    books = await psp.books()
    assert (books.held, books.captured) == (0, 700)


async def test_several_captures_and_the_release_of_the_rest(psp: Psp) -> None:
    needs(psp, multiple_captures=psp.connector.manifest.multiple_captures)
    life = await held(psp, options=several_captures(psp))
    first = await life.capture(700, final=False, settled=True)
    second = await life.capture(500, final=False, settled=True)
    for taken in (first, second):
        if (asked := await life.inquire(taken)) is not None:
            # A PSP may be unable to tell one of several from another, once it is over.
            assert isinstance(asked.finding, (Approved, Unknown)), asked.finding
    books = await psp.books()
    assert (books.held, books.captured, books.lines["captured"]) == (799, 1200, 2)
    await life.void(settled=True)
    books = await psp.books()
    assert (books.held, books.captured) == (0, 1200)


async def test_a_rest_stays_open_only_where_that_was_agreed(psp: Psp) -> None:
    """Without it a capture that is not final is not even sent, or is one of several all the same: never a loss of the rest in silence."""
    life = await held(psp)
    try:
        taken = await life.capture(700, final=False)
    except NotSupported:
        assert (await psp.books()).lines == {"authorized": 1}
        return
    assert (await life.found_out(taken)).finding == Approved(captured=True)
    assert (await psp.books()).held == 1299


async def test_a_void(psp: Psp) -> None:
    life = await held(psp)
    evidence = await life.found_out(await life.void())
    assert evidence.finding == Approved()
    assert (await psp.books()).held == 0
    if (asked := await life.inquire(life.attempt.id)) is not None:
        assert asked.finding == Released(expired=False)


REFUSED: Final = ("capture after void", "capture twice", "capture too much", "void after capture", "refund too much")


@pytest.mark.parametrize("what", REFUSED)
async def test_what_the_payment_does_not_allow_is_declined_and_moves_nothing(psp: Psp, what: str) -> None:
    life = await held(psp)
    match what:
        case "capture after void":
            await life.void(settled=True)
            before, refused = await psp.books(), await life.capture()
        case "capture twice":
            await life.capture(settled=True)
            before, refused = await psp.books(), await life.capture()
        case "capture too much":
            # Some PSPs take a little more than was authorised.
            before, refused = await psp.books(), await life.capture(EURO.minor * 100)
        case "void after capture":
            await life.capture(settled=True)
            before, refused = await psp.books(), await life.void()
        case _:
            await life.capture(settled=True)
            before, refused = await psp.books(), await life.refund(EURO.minor + 1)
    finding = (await life.found_out(refused)).finding
    assert isinstance(finding, (Declined, NotExecuted)), finding
    assert finding.failure.error_class in (E.OPERATION_NOT_ALLOWED, E.EXPIRED, E.INVALID_REQUEST)
    psp.later(60)
    assert (await psp.books()) == before


async def test_a_hold_that_runs_out(psp: Psp) -> None:
    life = await held(psp)
    psp.later(60 * 24 * 3600)
    await life.listen()
    if can_be_asked(life):
        await life.inquire(life.attempt.id)
        assert life.last(life.attempt.id).finding == Released(expired=True)
    assert (await psp.books()).held == 0
    refused = (await life.found_out(await life.capture())).finding
    assert isinstance(refused, (Declined, NotExecuted)), refused


# --- giving back ------------------------------------------------------------------------------------------------------------------------


async def test_a_full_refund(psp: Psp) -> None:
    life = await charged(psp)
    evidence = await life.found_out(await life.refund(reason="duplicate"))
    assert evidence.finding == Approved()
    assert evidence.amount in (None, EURO)
    assert (await psp.books()).refunded == 1999


async def test_several_refunds(psp: Psp) -> None:
    needs(psp, partial_refund=psp.connector.manifest.partial_refund, multiple_refunds=psp.connector.manifest.multiple_refunds)
    life = await charged(psp)
    made = [await life.refund(minor, settled=True) for minor in (300, 200)]
    assert (await psp.books()).refunded == 500
    for refund, minor in zip(made, (300, 200), strict=True):
        assert_amount(life.last(refund), minor)
        if (asked := await life.inquire(refund)) is not None:
            assert (asked.finding, asked.amount) == (Approved(), Money(minor, "EUR"))
    if (whole := await life.inquire(life.attempt.id)) is not None:
        assert (whole.captured, whole.refunded) == (EURO, Money(500, "EUR"))
        assert whole.refunds is None or sorted(one.our_reference or "" for one in whole.refunds) == sorted(made)


async def test_refunds_of_different_captures(psp: Psp) -> None:
    needs(psp, multiple_captures=psp.connector.manifest.multiple_captures)
    life = await held(psp, options=several_captures(psp))
    first = await life.capture(700, final=False, settled=True)
    second = await life.capture(500, final=False, settled=True)
    await life.refund(400, of=second, settled=True)
    await life.refund(700, of=first, settled=True)
    books = await psp.books()
    assert (books.captured, books.refunded) == (1200, 1100)


async def test_a_refund_that_takes_its_time(psp: Psp) -> None:
    life = await charged(psp, token="tok_refund_pending")
    made = await life.refund(500)
    assert isinstance(life.last(made).finding, Pending)
    assert (await life.found_out(made)).finding == Approved()
    assert (await psp.books()).refunded == 500


# --- afterwards -------------------------------------------------------------------------------------------------------------------------


async def test_a_refund_that_comes_back_is_told(psp: Psp) -> None:
    life = await charged(psp, token="tok_refund_fails_late")
    made = await life.refund(500, settled=True)
    psp.later(3600)
    await life.listen()
    assert (await psp.books()).refunded == 0
    assert isinstance(life.last(made).finding, Declined) or nothing_given_back(life)


def nothing_given_back(life: Life) -> bool:
    """Whether the PSP's total, or its list, says so."""
    last = life.last(life.attempt.id)
    listed = last.refunds is not None and all(isinstance(one.finding, Declined) for one in last.refunds)
    return listed or last.refunded == Money(0, "EUR")


async def test_a_capture_that_fails_late_is_told(psp: Psp) -> None:
    life = await held(psp, token="tok_capture_fails_late")
    taken = await life.capture(settled=True)
    psp.later(3600)
    await life.listen()
    assert (await psp.books()).captured == 0
    last = life.last(life.attempt.id)
    assert isinstance(life.last(taken).finding, Declined) or last.captured == Money(0, "EUR"), (life.last(taken), last)


@pytest.mark.parametrize("deed", ["refund", "capture", "cancel"])
async def test_what_people_do_in_the_dashboard_is_told_or_found(psp: Psp, deed: str) -> None:
    life = await (charged(psp) if deed == "refund" else held(psp))
    assert await psp.by_hand(life.attempt.psp_reference or "", deed, **({} if deed == "cancel" else {"amount": 500})) == 200
    await life.listen()
    assert life.notices, "a PSP tells what people do there"
    if can_be_asked(life):
        await life.inquire(life.attempt.id)
    last = life.last(life.attempt.id)
    match deed:
        case "refund":
            assert last.refunded == Money(500, "EUR")
        case "capture":
            assert last.captured == Money(500, "EUR")
        case _:
            assert isinstance(last.finding, Released)


# --- wrong credentials ------------------------------------------------------------------------------------------------------------------


async def test_wrong_credentials_are_our_configuration_and_say_nothing_of_what_was_sent_before(psp: Psp) -> None:
    life = born(psp)
    wrong = dict.fromkeys(psp.credentials, "wrong")
    evidence = await life.authorize(credentials=wrong)
    assert isinstance(evidence.finding, NotExecuted)
    assert evidence.finding.failure.error_class is E.CONFIGURATION
    replayed = await life.send(life.attempt.id, life.attempt.call, Source.REPLAY, credentials=wrong)
    assert isinstance(replayed.finding, Unknown)
    assert (await psp.books()).lines == {}
    if psp.connector.sign_in(wrong) is not None:
        assert not await psp.sign_in(wrong)


def needs(psp: Psp, **capabilities: bool) -> None:
    """Skips the test where the manifest lacks one of them."""
    for capability, there in capabilities.items():
        if not there:
            pytest.skip(f"{psp.name}: its manifest says no to {capability}")


def assert_amount(evidence: Evidence, minor: int) -> None:
    """Where the evidence tells how much, it is that much: of the operation itself, or in the total of the payment's captures."""
    told = evidence.captured if evidence.amount is None else evidence.amount
    assert told in (None, Money(minor, "EUR")), told
