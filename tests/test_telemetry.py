"""Log lines that hold nothing secret and never hurt the one who writes them, and metrics that are handed on by reference."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from payorch.domain.outcome import Approved, Evidence, Source
from payorch.keys import Secret
from payorch.telemetry import LONGEST_LINE_BYTES, LineWriter, Metrics, clean, configure, described, line, scrubbed

CARD = "4242424242424242"
AT = datetime(2026, 5, 17, 12, 0, 0, 123_000, tzinfo=UTC)


class FixedClock:
    def now(self) -> datetime:
        return AT


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def read(pipe: tuple[int, int]) -> list[dict[str, Any]]:
    os.close(pipe[1])
    with os.fdopen(os.dup(pipe[0])) as file:
        return [json.loads(text) for text in file.read().splitlines()]


@pytest.mark.usefixtures("restored_logging")
def test_both_kinds_of_logging_come_out_alike(pipe: tuple[int, int]) -> None:
    configure(FixedClock(), descriptor=pipe[1])
    structlog.get_logger("payorch.app").info("payment.created", payment_id="pay_1", amount=1999)
    logging.getLogger("hypercorn").warning("a %s one", "strange")
    structlog.get_logger("payorch.app").debug("not.shown")
    assert read(pipe) == [
        {
            "time": "2026-05-17T12:00:00.123Z",
            "level": "info",
            "event": "payment.created",
            "logger": "payorch.app",
            "payment_id": "pay_1",
            "amount": 1999,
        },
        {"time": "2026-05-17T12:00:00.123Z", "level": "warning", "event": "a strange one", "logger": "hypercorn"},
    ]


@pytest.mark.usefixtures("restored_logging")
def test_an_exception_shows_frames_and_no_locals(pipe: tuple[int, int]) -> None:
    configure(FixedClock(), descriptor=pipe[1])

    def fails(password: str) -> None:
        try:
            raise KeyError(len(password))
        except KeyError as error:
            raise ValueError(f"card {CARD} is bad") from error

    for log in (structlog.get_logger("x").exception, logging.getLogger("x").exception):
        try:
            fails("hunter2-confidential")
        except ValueError:
            log("it.failed")
    for shown in read(pipe):
        assert shown["exception"]["type"] == "ValueError"
        assert shown["exception"]["message"] == "card [card number removed] is bad"
        assert shown["exception"]["cause"]["type"] == "KeyError"
        assert shown["exception"]["frames"][-1].startswith("tests/test_telemetry.py:")
        assert "confidential" not in json.dumps(shown)


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "api_key",
        "API-Key",
        "secret",
        "webhook_secret",
        "Authorization",
        "password",
        "cvc",
        "card_number",
        "merchant_key",
        "conninfo",
    ],
)
def test_values_under_secret_names_are_dropped(name: str) -> None:
    assert clean("confidential", name) == "[removed]"
    assert clean({name: ["confidential"]}) == {name: "[removed]"}


@pytest.mark.parametrize("name", ["idempotency_key", "psp_key", "payment_id", "reference", "key", "connector"])
def test_other_names_keep_theirs(name: str) -> None:
    assert clean("plain", name) == "plain"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"paid with {CARD}", "paid with [card number removed]"),
        ("mk_test_0123456789abcdef_" + "A" * 49, "mk_test_0123456789abcdef[removed]"),
        ("whsec_c2VjcmV0", "[removed]"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer [removed]"),
        ("postgresql://user:pass@host/db", "postgresql://user:[removed]@host/db"),
        ("host=x password='a b' user=y", "host=x password=[removed] user=y"),
        ("nothing of that kind", "nothing of that kind"),
    ],
)
def test_secrets_inside_texts_are_removed(text: str, shown: str) -> None:
    assert scrubbed(text) == shown


def test_values_of_any_kind_become_json() -> None:
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError

    value = {"n": int(CARD), "b": b"12", "s": Secret("confidential"), "h": Hostile(), "deep": [[[[["x"]]]]], "long": "x" * 5000}
    cleaned = clean(value)
    assert cleaned["n"] == "[card number removed]"
    assert cleaned["b"] == "(2 bytes)"
    assert cleaned["h"] == "(Hostile, which cannot be shown)"
    assert "confidential" not in json.dumps(cleaned)
    assert len(cleaned["long"]) < 1100


def test_a_line_is_never_longer_than_a_pipe_takes() -> None:
    event = {"event": "long", **{f"key_{number}": "ä" * 900 for number in range(20)}}
    text = line(event, level="info", at=AT, pretty=False)
    assert len(text.encode()) < LONGEST_LINE_BYTES
    assert json.loads(text)["shortened"][0] == "key_0"


def test_a_terminal_gets_text_without_control_characters() -> None:
    shown = line({"event": "it.came", "note": "a\x1b[2J\nb", "n": 1}, level="warning", at=AT, pretty=True)
    assert shown == "12:00:00.123Z warning it.came note=a\\x1b[2J\\nb n=1"


def test_groups_are_described_with_their_members() -> None:
    shown = described(ExceptionGroup("several", [ValueError("one"), ExceptionGroup("deeper", [KeyError("two")])]))
    assert [member["type"] for member in shown["group"]] == ["ValueError", "ExceptionGroup"]
    assert shown["group"][1]["group"][0]["type"] == "KeyError"


def test_a_full_pipe_drops_lines_and_does_not_block(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1])
    for _ in range(1_000):
        writer.write("x" * 1_000)
    assert 0 < writer.lost < 1_000
    os.read(pipe[0], 65536)
    lost = writer.lost
    writer.write("there is room again")
    assert writer.lost == lost


def test_a_closed_reader_and_a_closed_descriptor_are_no_errors(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1])
    os.close(pipe[0])
    writer.write("nobody reads this")
    os.close(pipe[1])
    writer.write("nor this")
    assert writer.lost == 2


def test_metrics_are_named_in_base_units() -> None:
    metrics = Metrics.create()
    metrics.http_answered("/v1/payments", 201, 0.004)
    metrics.authorized("a-psp", "approved", platform_seconds=0.003, psp_seconds=0.2)
    metrics.psp_call("a-psp", Evidence(source=Source.RESPONSE, finding=Approved(), at=AT, latency_ms=200))
    metrics.committed(3, 0.002)
    metrics.journal_position.set(42)
    metrics.payments_live.set(7)
    metrics.database_available.set(1)
    metrics.circuit_state.labels("a-psp", "capture", "open").set(1)
    metrics.circuit_transitions.labels("a-psp", "capture", "open").inc()
    metrics.psp_calls_refused.labels("a-psp", "capture", "circuit_open").inc()
    metrics.retry_budget_tokens.labels("a-psp").set(4.5)
    metrics.pulled_forward("a-psp", 25)
    text = metrics.exposition().decode()
    for expected in (
        'payorch_http_requests_total{route="/v1/payments",status="201"} 1.0',
        'payorch_http_request_duration_seconds_bucket{le="0.005",route="/v1/payments"} 1.0',
        'payorch_authorizations_total{connector="a-psp",outcome="approved"} 1.0',
        'payorch_authorization_duration_seconds_sum{connector="a-psp",part="psp"} 0.2',
        'payorch_psp_calls_total{connector="a-psp",finding="approved",source="response"} 1.0',
        "payorch_journal_batch_items_sum 3.0",
        "payorch_journal_position 42.0",
        "payorch_payments_live 7.0",
        "payorch_database_available 1.0",
        'payorch_circuit_state{connector="a-psp",operation="capture",state="open"} 1.0',
        'payorch_circuit_transitions_total{connector="a-psp",operation="capture",to="open"} 1.0',
        'payorch_psp_calls_refused_total{connector="a-psp",operation="capture",reason="circuit_open"} 1.0',
        'payorch_retry_budget_tokens{connector="a-psp"} 4.5',
        'payorch_payments_pulled_forward_total{connector="a-psp"} 25.0',
    ):
        assert expected in text, expected
    assert "_created" not in text


def test_two_registries_are_apart() -> None:
    one, other = Metrics.create(), Metrics.create()
    one.payments_live.set(5)
    assert "payorch_payments_live 0.0" in other.exposition().decode()
