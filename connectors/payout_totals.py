"""What the rows of each payout in a settlement report add up to, beside what was paid out: how a report without totals states them itself.

Not here: reading the rows (`connectors.reports`), totals in footers (the connector whose PSP has them).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from payorch.domain.money import Money
from payorch.domain.settlement import SettlementRow, Tie

MOST_TOTALS: Final = 10_000
"""Payouts of one file whose sums are kept: a report of a year has some hundreds. What more there are is read, and not added up."""


class PayoutTotals:
    """What the rows of each payout add up to, in each currency, beside what was paid out.

    A line that cannot be read is missing in the sum of its payout, which then says nothing: it is not compared. Such a line is a finding
    already, and a second one about the same money would only hide what else is wrong.
    """

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], int] = {}
        self._paid: dict[tuple[str, str], tuple[int, int]] = {}  # the line of the first payout row, and what was paid
        self._spoilt: set[str] = set()
        self._all_spoilt = False

    def add(self, row: SettlementRow, *, is_payout: bool) -> None:
        """One more row that was understood."""
        if row.payout is None:
            return
        key = (row.payout, row.net.currency)
        if is_payout:
            if key in self._paid or len(self._paid) < MOST_TOTALS:
                line, paid = self._paid.get(key, (row.line, 0))
                self._paid[key] = (line, paid - row.net.minor)
        elif key in self._sums:
            self._sums[key] += row.net.minor
        elif len(self._sums) < MOST_TOTALS:
            self._sums[key] = row.net.minor
        else:
            self.spoil(row.payout)

    def spoil(self, payout: str | None) -> None:
        """One more row that was not, of that payout; of any, where it is None."""
        if payout is None or len(self._spoilt) >= MOST_TOTALS:
            self._all_spoilt = True
        else:
            self._spoilt.add(payout)

    def ties(self) -> Iterator[Tie]:
        """One for each payout that has a row of its own."""
        for (payout, currency), (line, paid) in self._paid.items():
            if self._all_spoilt or payout in self._spoilt:
                continue
            yield Tie(
                line=line,
                what=f"payout {payout} in {currency}",
                declared=Money(paid, currency),
                computed=Money(self._sums.get((payout, currency), 0), currency),
            )
