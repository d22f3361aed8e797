"""What the books check may find wrong: the kinds of findings, which promise each breaks, and the record of one.

Not here: finding anything (`books`, `books_own`, `books_ledger`), what each means in words (`payorch.books_words`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct


class Kind(StrEnum):
    """What is wrong, in one word. What it means and what to do: `payorch.books_words`."""

    CHARGED_TWICE = "charged_twice"
    CAPTURED_DIFFERS = "captured_differs"
    REFUNDED_DIFFERS = "refunded_differs"
    HELD_DIFFERS = "held_differs"
    CLOSED_BUT_CHARGED = "closed_but_charged"
    CAPTURE_TAKEN_BACK = "capture_taken_back"
    REFUND_TAKEN_BACK = "refund_taken_back"
    OPERATION_MISSING = "operation_missing"
    OPERATION_DIFFERS = "operation_differs"
    OPERATION_DENIED = "operation_denied"
    OPERATION_NOT_OURS = "operation_not_ours"
    CHARGE_NOT_OURS = "charge_not_ours"
    CHARGE_ELSEWHERE = "charge_elsewhere"
    AMOUNT_DIFFERS = "amount_differs"
    CURRENCY_DIFFERS = "currency_differs"
    LEDGER_TORN = "ledger_torn"

    OUT_OF_BOUNDS = "out_of_bounds"
    FOREIGN_CURRENCY = "foreign_currency"
    TOTAL_DIFFERS = "total_differs"
    CLAIM_ASTRAY = "claim_astray"
    NOBODY_ASKED = "nobody_asked"
    ANSWER_ASTRAY = "answer_astray"
    KEY_TWICE = "key_twice"
    TWO_UNRESOLVED = "two_unresolved"
    NO_TIMER = "no_timer"
    ILLEGAL_STORY = "illegal_story"
    GAP = "gap"
    ROW_DIFFERS = "row_differs"
    ROW_ASTRAY = "row_astray"
    MOVED_DIFFERS = "moved_differs"
    MOVEMENT_ASTRAY = "movement_astray"
    UNBALANCED = "unbalanced"
    ACCOUNT_DIFFERS = "account_differs"


INVARIANT: Final[Mapping[Kind, str]] = {
    Kind.CHARGED_TWICE: "M1",
    Kind.CAPTURED_DIFFERS: "M3",
    Kind.REFUNDED_DIFFERS: "M3",
    Kind.HELD_DIFFERS: "M3",
    Kind.CLOSED_BUT_CHARGED: "M3",
    Kind.CAPTURE_TAKEN_BACK: "M3",
    Kind.REFUND_TAKEN_BACK: "M3",
    Kind.OPERATION_MISSING: "M3",
    Kind.OPERATION_DIFFERS: "M9",
    Kind.OPERATION_DENIED: "M3",
    Kind.OPERATION_NOT_OURS: "M7",
    Kind.CHARGE_NOT_OURS: "M7",
    Kind.CHARGE_ELSEWHERE: "M7",
    Kind.AMOUNT_DIFFERS: "M9",
    Kind.CURRENCY_DIFFERS: "M9",
    Kind.LEDGER_TORN: "M4",
    Kind.OUT_OF_BOUNDS: "M2",
    Kind.FOREIGN_CURRENCY: "M2",
    Kind.TOTAL_DIFFERS: "M4",
    Kind.CLAIM_ASTRAY: "M5",
    Kind.NOBODY_ASKED: "M5",
    Kind.ANSWER_ASTRAY: "M6",
    Kind.KEY_TWICE: "M7",
    Kind.TWO_UNRESOLVED: "M7",
    Kind.NO_TIMER: "L2",
    Kind.ILLEGAL_STORY: "S1",
    Kind.GAP: "S2",
    Kind.ROW_DIFFERS: "S2",
    Kind.ROW_ASTRAY: "S2",
    Kind.MOVED_DIFFERS: "M4",
    Kind.MOVEMENT_ASTRAY: "M4",
    Kind.UNBALANCED: "M4",
    Kind.ACCOUNT_DIFFERS: "M4",
}
"""The promise that each breaks. Total over Kind."""


class Finding(Struct, frozen=True, kw_only=True, gc=False):
    """One thing that is wrong. `subject_id`: the attempt, operation, key or PSP's payment it is about.

    ours, theirs: minor units of `currency`, where it is about money; `detail` says in words what amounts do not.
    """

    kind: Kind
    payment_id: str | None = None
    subject_id: str | None = None
    connector: str | None = None
    currency: str | None = None
    ours: int | None = None
    theirs: int | None = None
    detail: str = ""

    @property
    def invariant(self) -> str:
        return INVARIANT[self.kind]
