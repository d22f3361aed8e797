"""The language of the command bar, and the history."""

from __future__ import annotations

import pytest

from tui import places, twins
from tui.history import History
from tui.places import NoSuchPlace, Place


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("pay pay_1", Place("payment", "pay_1")),
        (":payments state:OUTCOME_UNKNOWN", Place("payments", None, "state:OUTCOME_UNKNOWN")),
        ("conn one", Place("connector", "one")),
        ("recon", Place("reconciliation")),
        ("recon 2026-10-16 one EUR", Place("day", "2026-10-16/one/EUR")),
        ("recon state:open", Place("reconciliation", None, "state:open")),
        ("dead_letters", Place("dead_letters")),
        ("routing", Place("routing")),
        ("audit who:ana", Place("audit", None, "who:ana")),
    ],
)
def test_commands_lead_to_places(text: str, where: Place) -> None:
    assert places.place(text) == where
    assert places.place(places.command(where)) == where


@pytest.mark.parametrize("text", ["nowhere", "pay", "", "rm -rf"])
def test_a_command_that_leads_nowhere_says_so(text: str) -> None:
    with pytest.raises(NoSuchPlace):
        places.place(text)


@pytest.mark.parametrize(
    ("where", "query", "said"),
    [
        (Place("payments"), {"state": "OUTCOME_UNKNOWN"}, "payments --state OUTCOME_UNKNOWN"),
        (Place("payment", "pay_1"), {}, "payment pay_1"),
        (Place("day", "2026-10-16/one/EUR"), {}, "day 2026-10-16 --connector one"),
        (Place("approvals"), {}, "acts --open"),
        (Place("audit"), {"who": "ana; rm -rf"}, "audit --who 'ana; rm -rf'"),
    ],
)
def test_every_place_has_a_twin_in_a_shell(where: Place, query: dict[str, str], said: str) -> None:
    assert twins.twin(where, query) == f"payorch ops {said} --json"
    assert set(twins.WORDS) == {*places.ROOTS, *places.DETAILS}


def test_commands_and_names_are_completed() -> None:
    assert places.complete("pa") == ["payments", "pay"]
    assert places.complete("conn a", ("one", "another")) == ["conn another"]


def test_history_goes_back_and_forward_and_forgets_what_lay_ahead() -> None:
    history = History()
    for place in (Place("overview"), Place("payments"), Place("payment", "pay_1")):
        history.visit(place)
    assert history.back() == Place("payments")
    assert history.back() == Place("overview")
    assert history.back() is None
    assert history.forward() == Place("payments")
    history.visit(Place("audit"))
    assert not history.has_forward
    assert history.back() == Place("payments")
