"""What the platform says about itself: log lines on stderr and Prometheus metrics.

A log line is one JSON object: `time`, `level`, `event` (a dotted name), `logger`, and what the caller adds; on a terminal it is readable
text. structlog and the standard library's logging come out alike. Nothing secret leaves: values under names of secrets are dropped, card
numbers, keys and passwords inside texts are removed, and an exception shows its type, message and frames but never a local variable.

Logging must not hurt what it watches: a line that stderr would not take at once is dropped and counted, and a closed stderr is no error.
Metrics are handed on as one object, without a global registry. Not here: which events there are, or serving `/metrics`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import select
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from structlog.typing import EventDict, WrappedLogger

from payorch.api.card_numbers import names_card_data, redact
from payorch.domain.outcome import Evidence
from payorch.ports import Clock

REMOVED: Final = "[removed]"
# What a pipe takes whole or not at all (PIPE_BUF): lines of several processes do not mix, and one that poll() says fits never blocks.
LONGEST_LINE_BYTES: Final = 4096
_LONGEST_TEXT: Final = 1000
_DEEPEST: Final = 4
_FRAMES: Final = 8
_CAUSES: Final = 4

# No id and no reference is called so: an idempotency key is the merchant's own name for a request, and needed to find it.
_SECRET_NAME: Final = re.compile(
    r"(^|[_-])(secret|secrets|token|tokens|password|passwd|pepper|credentials?|authorization|cookie|conninfo|dsn)($|[_-])"
    r"|(api|secret|private|merchant|signing)[_-]?key$|^(headers|body|database_url)$",
    re.IGNORECASE,
)
_SECRET_TEXT: Final = re.compile(
    r"(?P<ours>\b(?:mk|op)_(?:test|live)_[0-9a-z]{16})_[0-9A-Za-z]+"  # our own keys keep what they are looked up by
    r"|\b(?:whsec|sk_test|sk_live|rk_test|rk_live)_[0-9A-Za-z+/=_-]+"
    r"|(?P<scheme>\b(?:Bearer|Basic)\s)[0-9A-Za-z+/=._~-]+"
    r"|(?P<user>://[^/@\s:]*:)[^/@\s]+(?=@)"
    r"|(?P<password>\bpassword\s*=\s*)('[^']*'|\S+)",
    re.IGNORECASE,
)


# --- log lines --------------------------------------------------------------------------------------------------------------------------


def configure(clock: Clock, *, descriptor: int = 2, pretty: bool | None = None, level: int = logging.INFO) -> LineWriter:
    """Sends all logging of this process to a file descriptor (stderr). `pretty`: readable lines; by default on a terminal only.

    May be called again; the last call counts.
    """
    writer = LineWriter(descriptor)
    readable = _is_terminal(descriptor) if pretty is None else pretty

    def finish(logger: WrappedLogger, method: str, event: EventDict) -> str:
        return line({"logger": logger.name, **event}, level=method, at=clock.now(), pretty=readable)

    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, finish],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *names: _Logger(writer, names[0] if names else None),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Handler(clock, writer, readable)], level=level, force=True)
    for chatty in ("httpx2", "httpcore2"):  # a line for each request, at INFO
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)
    return writer


def line(event: Mapping[str, Any], *, level: str, at: datetime, pretty: bool) -> str:
    """One event as one line, cleaned, without its line end. Never raises, whatever the event holds."""
    name, logger, error = event.get("event"), event.get("logger"), event.get("exc_info")
    head = {"time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "level": _LEVELS.get(level, level)}
    head |= {"event": _cut(scrubbed(str(name))), **({"logger": logger} if logger else {})}
    rest = {key: clean(value, str(key)) for key, value in event.items() if key not in ("event", "logger", "exc_info", "stack_info")}
    if error:
        rest["exception"] = _exception(error)
    if pretty:
        return _readable(head, rest)
    text = json.dumps({**head, **rest}, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode(errors="backslashreplace")) < LONGEST_LINE_BYTES:
        return text
    return json.dumps({**head, "shortened": sorted(map(str, rest))[:50]}, ensure_ascii=False, separators=(",", ":"))


def clean(value: object, name: str = "", depth: int = 0) -> Any:
    """A value as it may be logged under that name: JSON types only, nothing secret, nothing long."""
    if name and (_SECRET_NAME.search(name) or names_card_data(name)):
        return REMOVED
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        digits = str(value)
        return value if redact(digits) == digits else redact(digits)
    if isinstance(value, bytes | bytearray):
        return f"({len(value)} bytes)"
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {scrubbed(str(key)): clean(member, str(key), depth + 1) for key, member in list(value.items())[:50]}
    if depth < _DEEPEST and isinstance(value, list | tuple | set | frozenset):
        return [clean(member, "", depth + 1) for member in list(value)[:50]]
    try:
        return _cut(scrubbed(str(value)))
    except Exception:
        return f"({type(value).__name__}, which cannot be shown)"


def scrubbed(text: str) -> str:
    """`text` without card numbers, and without what has the shape of a key, a bearer token or a password."""
    return redact(
        _SECRET_TEXT.sub(lambda match: (match["ours"] or match["scheme"] or match["user"] or match["password"] or "") + REMOVED, text)
    )


@final
class LineWriter:
    """Puts whole lines on a file descriptor. Never waits and never raises; `lost` counts the lines that were dropped."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._ready = select.poll()
        self._ready.register(descriptor, select.POLLOUT)
        self.lost = 0

    def write(self, text: str) -> None:
        """One line; its end is added. Longer than a pipe takes at once, it is cut."""
        data = text.encode(errors="backslashreplace")[: LONGEST_LINE_BYTES - 1] + b"\n"
        try:
            ready = self._ready.poll(0)
            if ready and ready[0][1] & select.POLLOUT:
                os.write(self._descriptor, data)
                return
        except OSError:
            pass  # closed, or nobody reads it any more
        self.lost += 1


_LEVELS: Final = {"warn": "warning", "exception": "error", "fatal": "critical", "msg": "info"}


@final
class _Logger:
    """What structlog calls in the end; all levels are alike here."""

    def __init__(self, writer: LineWriter, name: str | None) -> None:
        self._writer = writer
        self.name = name

    def msg(self, text: str) -> None:
        self._writer.write(text)

    debug = info = warn = warning = error = exception = critical = fatal = log = msg


@final
class _Handler(logging.Handler):
    """The standard library's logging, as the same lines."""

    def __init__(self, clock: Clock, writer: LineWriter, pretty: bool) -> None:
        super().__init__()
        self._clock = clock
        self._writer = writer
        self._pretty = pretty

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event = {"event": record.getMessage(), "logger": record.name, "exc_info": record.exc_info}
            self._writer.write(line(event, level=record.levelname.lower(), at=self._clock.now(), pretty=self._pretty))
        except Exception:
            self._writer.lost += 1


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}... ({len(text)} characters)"


def _readable(head: Mapping[str, Any], rest: Mapping[str, Any]) -> str:
    shown = " ".join(f"{key}={_inline(value)}" for key, value in rest.items())
    return f"{head['time'][11:]} {head['level']:<7} {_one_line(head['event'])} {shown}".rstrip()


def _inline(value: object) -> str:
    return _one_line(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _one_line(text: str) -> str:
    """Control characters would let an attacker draw on the operator's terminal, or write lines of his own."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


# --- exceptions -------------------------------------------------------------------------------------------------------------------------


def _exception(info: object) -> Any:
    error = info if isinstance(info, BaseException) else info[1] if isinstance(info, tuple) else sys.exc_info()[1]
    return described(error) if isinstance(error, BaseException) else None


def described(error: BaseException, causes: int = _CAUSES) -> dict[str, Any]:
    """An exception as data: type, message, the last frames without their variables, and what it was caused by or is a group of."""
    whole: dict[str, Any] = {"type": type(error).__qualname__, "message": clean(error), "frames": _frames(error.__traceback__)}
    if causes and isinstance(error, BaseExceptionGroup):
        whole["group"] = [described(member, causes - 1) for member in error.exceptions[:_CAUSES]]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if causes and cause is not None:
        whole["cause"] = described(cause, causes - 1)
    return whole


def _frames(traceback: TracebackType | None) -> list[str]:
    frames = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        file = Path(code.co_filename)
        frames.append(f"{file.parent.name}/{file.name}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return frames[-_FRAMES:]


# --- metrics ----------------------------------------------------------------------------------------------------------------------------

METRICS_CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

# From the 6 ms that the platform itself may take to the 30 s that a PSP may take.
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.03, 0.06, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_COMMIT_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)
_BATCH_ITEMS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Everything that is counted and measured, in base units; no id is ever a label. Made by `Metrics.create`, handed on by reference."""

    registry: CollectorRegistry
    http_requests: Counter
    """by route (the pattern, never the path) and status"""
    http_request_seconds: Histogram
    """by route"""
    authorizations: Counter
    """by connector and outcome"""
    authorization_seconds: Histogram
    """by connector and part: "psp" is the time its call took, "platform" all the rest"""
    psp_calls: Counter
    """by connector, source (a first call, a replay, an inquiry) and what was found"""
    psp_call_seconds: Histogram
    """by connector"""
    journal_batch_items: Histogram
    journal_batch_seconds: Histogram
    journal_position: Gauge
    mailbox_depth: Gauge
    """by actor; payments together are one"""
    payments_live: Gauge
    """payment actors in memory"""
    payments_unknown: Gauge
    """payments whose outcome nobody knows yet"""
    database_available: Gauge
    """1, or 0 while the platform pauses"""
    log_lines_lost: Gauge
    circuit_state: Gauge
    """by connector, operation and state: 1 for the state in which the circuit stands, else 0"""
    circuit_transitions: Counter
    """by connector, operation and the state that was entered"""
    psp_calls_refused: Counter
    """calls that were not sent, by connector, operation and reason: the circuit, or the retry budget"""
    retry_budget_tokens: Gauge
    """by connector: repeats that may be sent before first calls or answers bring more"""
    payments_pulled_forward: Counter
    """by connector: payments looked at before their time, because their PSP answers again"""
    notices: Counter
    """what PSPs told, by connector and whether it was new or repeated"""
    notices_refused: Counter
    """deliveries that were not surely a PSP's, by connector"""
    notices_settled: Counter
    """by connector and what became of the notice: applied, implied, dead"""
    notices_waiting: Gauge
    """by state: received and parked"""
    deliveries: Counter
    """tries to tell a merchant, by what came of them: delivered, failed, dead"""
    delivery_seconds: Histogram
    """of a try to tell a merchant"""
    deliveries_waiting: Gauge
    """deliveries whose time has come"""
    dead_letters_open: Gauge
    """by kind: what waits for people"""

    @classmethod
    def create(cls) -> Self:
        """All of them at zero, with a registry of their own and the process's figures (memory, CPU, file descriptors)."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # half the text otherwise, and no one has a use for it
        registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        make = _Maker(registry)
        return cls(
            registry=registry,
            http_requests=make.counter("http_requests", "HTTP requests answered.", "route", "status"),
            http_request_seconds=make.histogram("http_request_duration_seconds", "Time to answer.", _SECONDS, "route"),
            authorizations=make.counter("authorizations", "Authorisations that came to an outcome.", "connector", "outcome"),
            authorization_seconds=make.histogram(
                "authorization_duration_seconds", "Time of an authorisation, ours and the PSP's.", _SECONDS, "connector", "part"
            ),
            psp_calls=make.counter("psp_calls", "Calls to a PSP that came to an end.", "connector", "source", "finding"),
            psp_call_seconds=make.histogram("psp_call_duration_seconds", "Time of a call to a PSP.", _SECONDS, "connector"),
            journal_batch_items=make.histogram("journal_batch_items", "Appends in one commit.", _BATCH_ITEMS),
            journal_batch_seconds=make.histogram("journal_batch_duration_seconds", "Time of one commit.", _COMMIT_SECONDS),
            journal_position=make.gauge("journal_position", "The last position written."),
            mailbox_depth=make.gauge("mailbox_depth", "Messages waiting.", "actor"),
            payments_live=make.gauge("payments_live", "Payment actors in memory."),
            payments_unknown=make.gauge("payments_unknown", "Payments with an unknown outcome."),
            database_available=make.gauge("database_available", "1 when the database answers, else 0."),
            log_lines_lost=make.gauge("log_lines_lost", "Log lines that stderr did not take."),
            circuit_state=make.gauge("circuit_state", "1 for the state a circuit stands in.", "connector", "operation", "state"),
            circuit_transitions=make.counter("circuit_transitions", "Changes of a circuit.", "connector", "operation", "to"),
            psp_calls_refused=make.counter("psp_calls_refused", "Calls that were kept back.", "connector", "operation", "reason"),
            retry_budget_tokens=make.gauge("retry_budget_tokens", "Repeats that may still be sent.", "connector"),
            payments_pulled_forward=make.counter("payments_pulled_forward", "Payments looked at before their time.", "connector"),
            notices=make.counter("notices", "Notices of PSPs.", "connector", "novelty"),
            notices_refused=make.counter("notices_refused", "Deliveries that were not surely a PSP's.", "connector"),
            notices_settled=make.counter("notices_settled", "What became of notices.", "connector", "outcome"),
            notices_waiting=make.gauge("notices_waiting", "Notices that are still to be applied.", "state"),
            deliveries=make.counter("deliveries", "Tries to tell merchants.", "outcome"),
            delivery_seconds=make.histogram("delivery_duration_seconds", "Time of a try to tell a merchant.", _SECONDS),
            deliveries_waiting=make.gauge("deliveries_waiting", "Deliveries whose time has come."),
            dead_letters_open=make.gauge("dead_letters_open", "Dead letters that wait for people.", "kind"),
        )

    def http_answered(self, route: str, status: int, seconds: float) -> None:
        """An HTTP request was answered. `route` is a pattern, or one word for all paths that have none."""
        self.http_requests.labels(route, status).inc()
        self.http_request_seconds.labels(route).observe(seconds)

    def authorized(self, connector: str, outcome: str, *, platform_seconds: float, psp_seconds: float) -> None:
        """An authorisation came to an outcome, good or bad."""
        self.authorizations.labels(connector, outcome).inc()
        self.authorization_seconds.labels(connector, "platform").observe(platform_seconds)
        self.authorization_seconds.labels(connector, "psp").observe(psp_seconds)

    def psp_call(self, connector: str, evidence: Evidence) -> None:
        """A call to a PSP ended in this evidence."""
        self.psp_calls.labels(connector, evidence.source.value, type(evidence.finding).__name__.lower()).inc()
        if evidence.latency_ms is not None:
            self.psp_call_seconds.labels(connector).observe(evidence.latency_ms / 1000)

    def pulled_forward(self, connector: str, payments: int) -> None:
        """So many payments of that connector were woken before their time."""
        self.payments_pulled_forward.labels(connector).inc(payments)

    def committed(self, items: int, seconds: float) -> None:
        """The journal wrote a batch."""
        self.journal_batch_items.observe(items)
        self.journal_batch_seconds.observe(seconds)

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format, of the type METRICS_CONTENT_TYPE."""
        return generate_latest(self.registry)


@dataclass(frozen=True, slots=True)
class _Maker:
    registry: CollectorRegistry

    def counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, namespace="payorch", registry=self.registry)

    def gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(name, what, labels, namespace="payorch", registry=self.registry)

    def histogram(self, name: str, what: str, buckets: Iterable[float], *labels: str) -> Histogram:
        return Histogram(name, what, labels, namespace="payorch", registry=self.registry, buckets=tuple(buckets))
