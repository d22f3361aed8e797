"""`payorch routing`: other rules on stored decisions, and a wish that a platform answers or nobody does."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from connectors.registry import CONNECTORS
from payorch.domain import events as e
from payorch.domain.payment import Name, State
from payorch.domain.routing import Decision, Estimate, route
from payorch.domain.rules import asked, draw_of
from payorch.settings import load
from payorch.store.items import Appended
from tests.command_line import Run, runner
from tests.conftest import Database
from tests.store.stories import START, Story, journal_on

OTHERS = '[[rules]]\nname = "others"\nprefer = ["stripe"]\n[[fees]]\nconnector = "stripe"\nwhen.currency = "EUR"\nfixed_minor = 25\n'
SINCE = ("--since", START.isoformat())


@pytest.fixture
def payorch(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], database: Database, tmp_path: Path) -> Run:
    return runner(monkeypatch, capfd, tmp_path, PAYORCH_DATABASE_URL=database.app)


def write(database: Database, *decisions: Decision | None) -> None:
    """A confirmed payment for each decision; None: as the shipped rules decide."""

    async def written() -> None:
        settings = load({})
        enabled = settings.enabled_connectors()
        plan, manifests = settings.routing.plan(enabled), {name: CONNECTORS[name].manifest for name in enabled}
        async with journal_on(database.app) as journal:
            for given in decisions:
                story = Story(connector="stripe")
                born, confirmed = story.birth(), story.confirmation()
                assert isinstance(born[2], e.Created)
                question = asked(born[2].intent, merchant_id=story.merchant_id, draw=draw_of(story.payment_id), at=story.at)
                known = {"stripe": Estimate(success=9000, latency_ms=200)}
                decision = given or route(question, plan, manifests, estimates=known)
                step = story.step(born, confirmed, (Name.ROUTED, State.ROUTING, e.Choice(decision=decision)))
                assert isinstance((await journal.write([step]))[0], Appended)

    trio.run(written)


def test_the_rules_in_force_decide_as_they_did(payorch: Run, database: Database) -> None:
    write(database, None, None, Decision(order=("stripe",), version="1"))
    ran = payorch("routing", "simulate", *SINCE)
    assert ran.code == 0, ran.err
    assert "2 were decided under these very rules; all came out the same" in ran.out
    assert "1 more are of an older program" in ran.out


def test_other_rules_are_compared(payorch: Run, database: Database, tmp_path: Path) -> None:
    write(database, None, None)
    (tmp_path / "others.toml").write_text(OTHERS)
    shown = payorch("routing", "simulate", "--rules", "others.toml", *SINCE, "--json").data
    assert (shown["payments"], shown["changed"], shown["same_rules"]) == (2, 0, 0)
    assert (shown["before"]["rules"], shown["after"]["rules"]) == ({"default": 2}, {"others": 2})
    assert shown["after"]["fees_minor"] == {"EUR": 50}
    assert shown["after"]["success"] == 9000


def test_nothing_to_compare_is_said(payorch: Run, database: Database) -> None:
    assert "no decision of that time" in payorch("routing", "simulate").out


def test_rules_that_are_not_valid_are_not_tried(payorch: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('[[rules]]\nname = "a"\nprefer = ["nobody"]')
    ran = payorch("routing", "simulate", "--rules", "bad.toml")
    assert ran.code == 1
    assert 'bad.toml:3: routing.rules: "a": prefer: names nobody' in ran.err
    assert payorch("routing", "simulate", "--rules", "nowhere.toml").code == 2


def test_a_wish_that_nobody_answers_says_so(payorch: Run) -> None:
    ran = payorch("routing", "reload", "--within", "0.1")
    assert ran.code == 1
    assert "no running platform answered within 0.1 s" in ran.err


def test_what_no_platform_has_loaded_is_shown_as_such(payorch: Run) -> None:
    assert "no platform has loaded any rules yet" in payorch("routing", "show").out
