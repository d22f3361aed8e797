"""The reducer: order and repetition make no difference, gaps are marked, nothing grows without end."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.tui.world import connectors, event, snapshot
from tui import store
from tui.messages import Happened, Heartbeat, Link, Message, Page, Snapshot, Vital, as_data, from_data
from tui.store import LIVE_MOST, State, apply


def happened(position: int, **more: Any) -> Happened:
    return Happened(event=event(position, **more))


@given(st.permutations([*range(1, 15)]), st.lists(st.integers(0, 13), max_size=10))
def test_neither_order_nor_repetition_of_events_matters(order: list[int], repeated: list[int]) -> None:
    arriving = [*order, *(order[at] for at in repeated)]
    state, _ = apply(State(), [happened(position) for position in arriving])
    assert [store.position(one) for one in state.live] == sorted(order)
    assert state.cursor == 14


@given(st.lists(st.integers(1, 30), max_size=25), st.integers(1, 5))
def test_a_batch_is_the_same_as_one_by_one(positions: list[int], size: int) -> None:
    messages = [happened(position) for position in positions]
    at_once, dirty = apply(State(), messages)
    single = State()
    collected: set[str] = set()
    for at in range(0, len(messages), size):
        single, more = apply(single, messages[at : at + size])
        collected |= more
    assert at_once == single
    assert dirty == collected


def test_the_live_list_has_an_end_and_old_events_do_not_come_back() -> None:
    state, _ = apply(State(), [happened(position) for position in range(1, LIVE_MOST + 11)])
    assert len(state.live) == LIVE_MOST
    state, dirty = apply(state, [happened(3)])
    assert store.position(state.live[0]) == 11
    assert dirty == frozenset()


def test_a_snapshot_after_a_gap_is_marked_where_it_was() -> None:
    state, _ = apply(State(), [happened(5), Snapshot(data=snapshot(), gap=True), happened(121)])
    assert [one["kind"] for one in state.live] == ["payment", "connector", "routing", "gap", "payment", "payment"]
    assert state.gaps == 1
    assert state.cursor == 121


def test_figures_that_are_left_out_stay() -> None:
    state, _ = apply(State(), [Snapshot(data=snapshot())])
    vital = Vital(data={"overview": {"tiles": {"unknown": {"count": 13}}}, "connectors": [{"name": "adyen", "state": "half_open"}]})
    state, dirty = apply(state, [vital])
    assert state.overview is not None
    assert state.overview["tiles"]["unknown"]["count"] == 13
    assert state.overview["tiles"]["unknown"]["series"][-1] == 12
    assert state.overview["attention"]
    assert state.connectors["adyen"]["state"] == "half_open"
    assert state.connectors["adyen"]["dead_letters"] == 31
    assert dirty == {"overview", "connectors", "connector:adyen"}


def test_dirty_keys_name_what_changed() -> None:
    _, dirty = apply(State(), [happened(1, subject_id="pay_1"), Heartbeat(server_time=None, head=9)])
    assert dirty == {"live", "payment:pay_1", "link"}


def test_a_newer_server_is_noticed() -> None:
    state, _ = apply(State(), [Snapshot(data=snapshot(meta={"schema": 2}))])
    assert state.newer_schema


def test_every_message_can_be_written_down_and_read_back() -> None:
    messages: list[Message] = [
        Snapshot(data=snapshot(), gap=True),
        happened(4),
        Heartbeat(server_time="2026-10-16T14:33:09.800Z", head=4),
        Vital(data={"connectors": connectors()}),
        Link(state="lost", reason="ConnectError"),
        Page(path="payments", query={"limit": "200"}, status=200, data={"data": []}),
    ]
    assert [from_data(as_data(message)) for message in messages] == messages
    assert from_data({"what": "of the future", "data": {}}) is None
