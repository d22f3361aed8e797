"""The screens by their names: which class shows which place. A new screen is one entry here.

Not here: how one gets there (`tui.app`), and what a place is (`tui.places`).
"""

from __future__ import annotations

from typing import Final

from tui.screens.approvals import ActView, ApprovalsView
from tui.screens.audit import AuditView
from tui.screens.base import View
from tui.screens.connector import ConnectorView
from tui.screens.connectors import ConnectorsView
from tui.screens.dead_letters import DeadLettersView, LettersView, LetterView
from tui.screens.details import DetailView
from tui.screens.overview import OverviewView
from tui.screens.payment import PaymentView
from tui.screens.payments import PaymentsView
from tui.screens.recon_day import DayView
from tui.screens.reconciliation import ReconciliationView

SCREENS: Final[dict[str, type[View]]] = {
    "overview": OverviewView,
    "payments": PaymentsView,
    "connectors": ConnectorsView,
    "dead_letters": DeadLettersView,
    "reconciliation": ReconciliationView,
    "approvals": ApprovalsView,
    "audit": AuditView,
    "payment": PaymentView,
    "connector": ConnectorView,
    "dead_letter": LetterView,
    "dead_letter_group": LettersView,
    "day": DayView,
    "action": ActView,
    "record": DetailView,
    "routing": DetailView,
}
"""Total over `places.ROOTS` and `places.DETAILS`; a test says so."""
