"""The bare composition's one statement: only what a batch has rows for stands in it, and it is one statement whatever that is."""

from __future__ import annotations

from uuid import UUID

from bench.bare import Job, statement

_ID = UUID(int=1)
_EVENT = (_ID, 1, "PaymentCreated", "{}")


def test_webhooks_alone_are_one_insert() -> None:
    sql, parameters = statement([Job(webhooks=(("evt_1", "{}"),)), Job(webhooks=(("evt_2", "[]"),))])
    assert sql.startswith("INSERT INTO webhooks")
    assert parameters == [["evt_1", "evt_2"], ["{}", "[]"]]


def test_claims_answers_and_events_are_parts_of_one_statement_in_the_order_of_its_parameters() -> None:
    jobs = [Job(claims=(("k1", _ID),), events=(_EVENT,)), Job(answers=(("k0", 201, "{}"),), events=(_EVENT,))]
    sql, parameters = statement(jobs)
    assert sql.startswith("WITH part_0 AS (INSERT INTO claims")
    assert sql.index("UPDATE claims") < sql.index("INSERT INTO events")
    assert sql.count("%b") == len(parameters) == 2 + 3 + 4
    assert parameters[0] == ["k1"]
    assert parameters[2] == ["k0"]
