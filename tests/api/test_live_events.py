"""What the stream says of a record: every name that the program writes has words; nothing of a body leaves but what they name."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payorch.api.operations.event_words import KINDS, WORDS
from payorch.api.operations.events import LARGEST_EVENT_BYTES, Narrator
from payorch.api.operations.feed import Kind
from payorch.domain import identifiers
from payorch.domain.payment import Name
from payorch.store.items import STREAMS
from payorch.store.tail_reads import TailRow, Watched
from tests.api.merchant_world import Life, new_id
from tests.api.test_openapi import check

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def a_row(**changes: Any) -> TailRow:
    what = {
        "position": 1, "stream": "merchant", "stream_id": new_id("mer"), "sequence": 1, "name": "MerchantAdded", "at": AT,
        "actor": "cli:olga", "cause": "req_1", "body": '{"name":"Shop"}',
    }  # fmt: skip
    return TailRow(**{**what, **changes})


def told(*rows: TailRow, connectors: tuple[str, ...] = ("psp_one",)) -> list[dict[str, Any]]:
    return [msgspec.json.decode(one.data) for one in Narrator(connectors).tell(rows)]


MAKERS = ("Entry", "Change", "_change", "changed", "_of_batch", "Step", "_to")
"""What makes records, or names them."""


def names_written() -> set[str]:
    """Every name that stands in the program as that of a record: in PascalCase, in a call that makes one or in a table of names."""
    root = Path(__file__).parent.parent.parent
    found = set()
    for path in (*(root / "payorch").rglob("*.py"), *(root / "actors").rglob("*.py")):
        if "event_words" in path.name:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                ("Entry", "Change", "_change", "changed", "_of_batch", "Step", "_to")
            ):
                words = (*node.args, *(one.value for one in node.keywords if one.arg == "name"))
                found |= {one.value for one in words if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    return {name for name in found if name[:1].isupper() and name.isalpha()}


def test_every_record_has_words() -> None:
    known = {name for names in WORDS.values() for name in names}
    found = names_written()
    assert len(found) > 15, "the search finds nothing: it has to be written anew"
    assert found - known - {name.value for name in Name} == set()


def test_every_stream_has_a_topic() -> None:
    assert set(KINDS) == set(STREAMS)
    assert set(WORDS) <= set(STREAMS)


@pytest.mark.parametrize("stream", WORDS)
def test_words_take_whatever_a_body_holds(stream: str) -> None:
    for name in WORDS[stream]:
        for body in ("{}", "[]", "null", "nonsense", '{"reason":["x"],"connector":7,"day":null}'):
            [one] = told(a_row(stream=stream, stream_id=new_id(STREAMS[stream]), name=name, body=body))
            assert one["text"]
            check(one, "LiveEventShape")


def test_a_circuit_is_told_by_its_connectors_name_and_what_it_was() -> None:
    where = {"stream": "connector", "stream_id": identifiers.of_name("con", "psp_one")}
    opened = a_row(
        **where, name="CircuitOpened",
        body='{"operation":"authorize","reason":"failure_rate","calls":20,"failures":8,"code":"read_timeout"}',
    )  # fmt: skip
    closed = a_row(**where, name="CircuitClosed", body='{"operation":"authorize","reason":"probes_succeeded"}')
    other = a_row(**where, name="CircuitClosed", body='{"operation":"refund","reason":"probes_succeeded"}')
    first, second, third = told(opened, closed, other)
    assert first["text"] == "Calls to psp_one are kept back (authorize): failure_rate, 8 of 20 failed, last read_timeout."
    assert (first["connector"], first["tone"], first["change"]) == ("psp_one", "bad", None)
    assert (second["change"], third["change"]) == ("open -> closed", None)


def test_a_refusal_is_a_topic_of_its_own() -> None:
    [one] = told(a_row(stream="act", stream_id=new_id("act"), name="Refused", body='{"reason":"same person","lookup_id":"abc"}'))
    assert (one["kind"], one["text"]) == ("refusal", "Refused: same person.")


def test_what_nobody_knows_is_told_by_its_name() -> None:
    [one] = told(a_row(stream="moon", stream_id="moon_1", name="MoonRisen", body='{"secret":"s3cret"}'))
    assert (one["kind"], one["text"], one["tone"]) == (Kind.AUDIT, "MoonRisen", "info")


@given(name=st.sampled_from([(stream, name) for stream, names in WORDS.items() for name in names]), value=st.text(max_size=50_000))
def test_an_event_is_short_in_one_line_and_keeps_the_rest_to_itself(name: tuple[str, str], value: str) -> None:
    fields = ("name", "reason", "detail", "subject", "text", "code", "url", "person", "connector")
    body = msgspec.json.encode({"secret": "s3cret-value", **dict.fromkeys(fields, value)}).decode()
    row = a_row(stream=name[0], stream_id=new_id(STREAMS[name[0]]), name=name[1], body=body, actor=f"operator:{value}", cause=value)
    [one] = Narrator(()).tell([row])
    assert len(one.data) <= LARGEST_EVENT_BYTES
    assert b"\n" not in one.data
    assert b"\r" not in one.data
    assert b"s3cret-value" not in one.data


def test_events_of_payments_name_neither_tokens_nor_calls() -> None:
    life = Life().created().sent().lost()
    shown = Watched(amount=life.intent.amount, connector="stripe", merchant_id=life.merchant_id, held=False)
    rows = [
        TailRow(
            position=n, stream="payment", stream_id=life.payment_id, sequence=n, name=event.name, at=event.at, actor=event.actor,
            cause=event.cause, event=event, payment=shown,
        )
        for n, event in enumerate(life.events, start=1)
    ]  # fmt: skip
    found = told(*rows)
    for one in found:
        check(one, "LiveEventShape")
    text = msgspec.json.encode(found)
    for secret in (b"tok_visa_secret", b"secret_body", b"secret_path", b"<html>"):
        assert secret not in text
    assert (found[-1]["tone"], found[-1]["change"], found[-1]["connector"]) == ("unknown", "AUTHORIZING -> OUTCOME_UNKNOWN", "stripe")
