"""Events survive storage whatever they hold; what cannot be read says so; old journals stay readable."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payorch.domain import decide
from payorch.domain.events import DATA, AttemptChange, Data, Ending, Event, UnreadableEvent, decode, encode
from payorch.domain.evolve import evolve, replay
from payorch.domain.intent import CaptureMode
from payorch.domain.money import EXPONENTS, Money
from payorch.domain.outcome import Approved
from payorch.domain.payment import Name, State
from payorch.domain.records import Payment, Pursuit
from tests.domain.worlds import START, World

_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
st.register_type_strategy(Money, st.builds(Money, st.integers(-(10**13), 10**13), st.sampled_from(sorted(EXPONENTS))))
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2099, 1, 1)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
)


def built(kind: type[Data]) -> st.SearchStrategy[Data]:
    """Any value of that kind of data, by way of JSON-like values for its free fields."""
    return st.deferred(lambda: _struct(kind))


def _struct(kind: type[msgspec.Struct]) -> st.SearchStrategy[Data]:
    fields = {one.name: _of(one.type) for one in msgspec.inspect.type_info(kind).fields}  # type: ignore[attr-defined]
    return st.builds(kind, **fields)  # type: ignore[arg-type]


def _of(info: msgspec.inspect.Type) -> st.SearchStrategy[object]:
    inspect = msgspec.inspect
    match info:
        case inspect.StructType(cls=cls) if cls is Money:
            return st.from_type(Money)
        case inspect.StructType():
            return st.deferred(lambda: _struct(info.cls))
        case inspect.UnionType(types=types):
            return st.one_of(*[_of(one) for one in types])
        case inspect.EnumType():
            return st.sampled_from(list(info.cls))
        case inspect.DateTimeType():
            return MOMENTS
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return st.integers(-(2**53), 2**53)
        case inspect.NoneType():
            return st.none()
        case inspect.StrType():
            return _TEXT
        case inspect.VarTupleType(item_type=item):
            return st.lists(_of(item), max_size=2).map(tuple)
        case inspect.TupleType(item_types=items):
            return st.tuples(*[_of(one) for one in items])
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_of(key), _of(value), max_size=2)
        case inspect.AnyType() | inspect.CustomType():
            return st.one_of(_TEXT, st.integers(0, 9), st.booleans(), st.none())
    raise NotImplementedError(f"no values for {info}")


KINDS: list[type[Data]] = list(dict.fromkeys(kind for name in Name for kind in DATA[name]))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_whatever_an_event_holds_survives_storage(kind: type[Data], data: st.DataObject) -> None:
    content = data.draw(built(kind))
    for name in Name:
        if kind in DATA[name]:
            event = Event(name=name, to=data.draw(st.sampled_from(State)), at=START, actor="a", cause="c", data=content)
            assert read(event, encode(event)) == event


def read(event: Event, body: bytes | str) -> Event:
    return decode(name=event.name, at=event.at, actor=event.actor, cause=event.cause, body=body)


def test_an_event_with_another_ones_data_cannot_be_written() -> None:
    wrong = Event(name=Name.CONFIRMED, to=State.ROUTING, at=START, actor="a", cause="c", data=Ending())
    with pytest.raises(TypeError):
        encode(wrong)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("Unheard", '{"to":"FAILED","kind":"Ending","data":{}}'),
        ("NoRoute", '{"to":"FAILED","kind":"Unheard","data":{}}'),
        ("NoRoute", '{"to":"FAILED","kind":"Confirmation","data":{}}'),
        ("NoRoute", '{"to":"LIMBO","kind":"Ending","data":{}}'),
        ("NoRoute", '{"to":"FAILED","kind":"Ending"}'),
        ("NoRoute", '{"to":"FAILED","kind":"Ending","data":{"failure":{"error_class":"NEW"}}}'),
        ("NoRoute", "not json"),
        ("NoRoute", ""),
    ],
)
def test_what_cannot_be_read_says_so(name: str, body: str) -> None:
    with pytest.raises(UnreadableEvent):
        decode(name=name, at=START, actor="a", cause="c", body=body)


def test_fields_that_came_later_have_defaults_in_old_journals() -> None:
    story = World()
    payment = story.answer(story.pay(), Approved(captured=True))
    later = {"held_since", "pursuit", "next_action_at", "reason", "failure", "metadata", "sent_at", "retry_of", "stored"}
    stripped = [read(event, json.dumps(_without(json.loads(encode(event)), later))) for event in story.events]
    old = replay(stripped)
    assert old.state is payment.state
    assert (old.captured_minor, old.disputes) == (payment.captured_minor, ())
    change = decode(
        name="OutcomeLost", at=START, actor="a", cause="c",
        body='{"to":"OUTCOME_UNKNOWN","kind":"AttemptChange","data":{"attempt_id":"att_1","state":"UNKNOWN"}}',
    )  # fmt: skip
    assert isinstance(change.data, AttemptChange)
    assert change.data.pursuit is None


def test_a_search_and_its_evidence_of_before_stored_answers_were_known_can_be_read() -> None:
    failure = '{"error_class":"UNKNOWN_OUTCOME","code":"outcome_unknown","message":"-","connector":{"http_status":500}}'
    evidence = f'{{"source":"replay","finding":{{"type":"Unknown","failure":{failure}}},"at":"2027-03-01T12:00:00Z"}}'
    pursuit = '{"since":"2027-03-01T12:00:00Z","steps":3,"absences":[],"sent_at":null,"replayed":true,"early":0}'
    data = f'{{"attempt_id":"att_1","state":"UNKNOWN","evidence":{evidence},"pursuit":{pursuit}}}'
    body = f'{{"to":"OUTCOME_UNKNOWN","kind":"AttemptChange","data":{data}}}'
    change = decode(name="EvidenceRecorded", at=START, actor="a", cause="c", body=body).data
    assert isinstance(change, AttemptChange)
    assert change.evidence is not None
    assert not change.evidence.repeats_error
    assert change.pursuit == Pursuit(since=START, steps=3, replayed=True, stored=False)


def test_the_least_that_is_said_of_a_dispute_can_be_read() -> None:
    dispute = (
        '{"id":"dsp_1","attempt_id":"att_1","psp_reference":"dp_1","stage":"dispute","status":"opened",'
        '"amount":{"minor":1500,"currency":"EUR"},"created_at":"2027-03-01T12:00:00Z","updated_at":"2027-03-01T12:00:00Z"}'
    )
    body = f'{{"to":"CAPTURED","kind":"DisputeOpened","data":{{"dispute":{dispute}}}}}'
    event = decode(name="DisputeOpened", at=START, actor="a", cause="c", body=body)
    world = World()
    payment = evolve(world.answer(world.pay(), Approved(captured=True)), event)
    [known] = payment.disputes
    assert (known.stage, known.status, known.told_at, known.respond_by) == ("dispute", "opened", None, None)
    assert payment.refundable_minor == 500


def test_fields_of_a_newer_program_are_passed_over() -> None:
    event = decode(name="NoRoute", at=START, actor="a", cause="c", body='{"to":"FAILED","kind":"Ending","data":{"since_v9":1}}')
    assert event.data == Ending()


def _without(value: object, names: set[str]) -> object:
    if isinstance(value, dict):
        return {key: _without(one, names) for key, one in value.items() if key not in names}
    return [_without(one, names) for one in value] if isinstance(value, list) else value


def test_a_replay_is_the_fold_of_the_events_and_the_storys_payment() -> None:
    world = World()
    payment = world.answer(world.pay(capture=CaptureMode.MANUAL), Approved())
    payment = world.command(payment, lambda story: decide.capture(story, 500))
    folded: Payment | None = None
    for event in world.events:
        folded = evolve(folded, event)
    assert replay(world.events) == folded == payment
    assert payment.version == len(world.events)
