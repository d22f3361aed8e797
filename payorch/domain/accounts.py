"""The accounts of the double-entry books: a closed set of kinds, each of one connector or one merchant, and what is on them.

An account is a plain name, as it stands in the tables: `psp_receivable:<connector>`, the kind before the colon and whose it is after it. A
debit is counted above zero and a credit below: what others owe us stands above zero, what we owe below.

Not here: which entries are made (`movements` of our events, `postings` of the PSPs' reports), sums over them (`payorch.store.ledger`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Account(StrEnum):
    """A kind of account. What is on each: `MEANING`."""

    PSP_RECEIVABLE = "psp_receivable"
    MERCHANT_PAYABLE = "merchant_payable"
    PSP_BALANCE = "psp_balance"
    PSP_FEES = "psp_fees"
    BANK = "bank"
    EXCHANGE = "exchange"
    ADJUSTMENTS = "adjustments"
    SUSPENSE = "suspense"

    def of(self, owner: str) -> str:
        """The account of that kind of that connector or merchant."""
        return f"{self.value}:{owner}"


MEANING: Final[Mapping[Account, str]] = {
    Account.PSP_RECEIVABLE: "What the PSP has taken by our books and not reported yet: movements that are in no report.",
    Account.MERCHANT_PAYABLE: "What was taken for the merchant, less what was given back to shoppers and what disputes have taken.",
    Account.PSP_BALANCE: "What the PSP's own account of the merchant shows by its reports.",
    Account.PSP_FEES: "What the PSP has kept.",
    Account.BANK: "What the PSP has paid out.",
    Account.EXCHANGE: "Both sides of each exchange of currencies: what went out in the one is what came in in the other.",
    Account.ADJUSTMENTS: "What the PSP booked for reasons of its own: reserves, corrections, transfers.",
    Account.SUSPENSE: "What the PSP has booked of payments and we cannot match with a movement of ours.",
}
"""Total over Account; a test holds it. EXCHANGE is one account for all; MERCHANT_PAYABLE is a merchant's, the others are a connector's."""
