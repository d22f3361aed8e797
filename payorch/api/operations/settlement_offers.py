"""What may be done to findings and days of reconciliation, as their views show it.

Not here: whether it may be done (`payorch.domain.explanations`, `payorch.domain.reconciliation`), doing it.
"""

from __future__ import annotations

from datetime import date

from payorch.api.operations.offers import names_of, offer_view
from payorch.api.present import View
from payorch.domain.acts import ActName
from payorch.domain.explanations import PEOPLE, Action, People, people_for, propose
from payorch.domain.matching import Policy
from payorch.domain.reconciliation import Refusal, may_close
from payorch.domain.roles import Role
from payorch.store.reconciliation_findings import case_of
from payorch.store.reconciliation_items import FindingRow
from payorch.store.reconciliation_sums import Day


def finding_offers(role: Role, policy: Policy, finding: FindingRow) -> list[View]:
    """Each way to explain it."""
    case, tolerance = case_of(finding), policy.tolerance(finding.connector, finding.amount_currency)
    offers = []
    for name in names_of("finding"):
        action = Action(name.value)
        asked = propose(action, case, person="", reason="looked at", tolerance=tolerance)
        why_not = asked.why if isinstance(asked, Refusal) else None
        people = people_for(action, case, tolerance=tolerance)
        offers.append(offer_view(name, finding.id, role, people=people, why_not=why_not))
    return offers


def day_offers(role: Role, day: Day, *, today: date) -> list[View]:
    """Closing it, and opening it again. today: by the PSP's clock."""
    figures = day.figures
    subject = f"{figures.day.isoformat()}/{figures.connector}/{figures.currency}"
    left = may_close(figures, today=today)
    whys = {
        ActName.SETTLEMENT_CLOSE_DAY: "it is closed already" if day.closed else None if left is None else left.why,
        ActName.SETTLEMENT_REOPEN_DAY: None if day.closed else "it is not closed",
    }
    return [
        offer_view(name, subject, role, people=1 if PEOPLE[Action(name.value)] is People.ONE else 2, why_not=whys[name])
        for name in names_of("day")
    ]
