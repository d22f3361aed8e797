"""A record of the journal as the live stream tells it: one JSON object with a sentence for people, of at most 16 KiB.

Nothing is copied out of a record's body but single fields that the tables name, each cut to a length, so neither a secret nor a shopper's
data can come along. Pure, but for a bounded memory of where each payment and circuit stood, from which changes are told. Not here: the
words (`event_words`, `timeline`), reading the journal (`payorch.store.tail_reads`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, final

import msgspec

from payorch.api.operations.event_words import CHANGES, KINDS, WORDS, Tone, tone_of
from payorch.api.operations.feed import Kind, Told
from payorch.api.present import View, money_view, rfc3339
from payorch.api.timeline import Subject, Teller
from payorch.domain import identifiers
from payorch.domain.events import Event, OperationChange
from payorch.store.items import CONNECTOR_STREAM
from payorch.store.tail_reads import TailRow, Watched

LARGEST_EVENT_BYTES: Final = 16 * 1024
"""Of one event. Held by the lengths below: a dozen short fields and one sentence."""
LONGEST_SENTENCE: Final = 600
LONGEST_FIELD: Final = 160
REMEMBERED: Final = 20_000
"""Payments and circuits whose last state is remembered, some 3 MB; the one heard of least recently gives way."""
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


@final
class Narrator:
    """Tells records in their order. connectors: the names of all that are known, by which records about them are recognised."""

    def __init__(self, connectors: Iterable[str]) -> None:
        self._connectors = {identifiers.of_name("con", name): name for name in connectors}
        self._stood: dict[str, str] = {}

    def tell(self, rows: Iterable[TailRow]) -> list[Told]:
        """Each record as it is sent."""
        return [self._told(row) for row in rows]

    def _told(self, row: TailRow) -> Told:
        kind = KINDS.get(row.stream, Kind.AUDIT)
        if kind is Kind.ACTION and row.name == "Refused":
            kind = Kind.REFUSAL
        try:
            what = self._payments(row, row.event) if row.event is not None else self._others(row)
        except Exception:  # whatever a record holds, it must not stop what people watch
            what = _bare(row)
        view: View = {
            "position": row.position,
            "at": rfc3339(row.at),
            "kind": kind,
            "event": row.name,
            "stream": row.stream,
            "subject_id": row.stream_id,
            "sequence": row.sequence,
            "actor": _clean(row.actor, LONGEST_FIELD),
            "cause": _clean(row.cause, LONGEST_FIELD),
            **what,
        }
        return Told(row.position, kind, _encode(view))

    def _payments(self, row: TailRow, event: Event) -> View:
        connector = _connector_of(row)
        return {
            "text": _clean(_sentence(row, event, connector), LONGEST_SENTENCE),
            "tone": tone_of(event.name, event.to),
            "change": self._change(row.stream_id, event.to.value),
            "payment": None if row.payment is None else _payment_view(row.stream_id, event, row.payment),
            "connector": connector,
        }

    def _others(self, row: TailRow) -> View:
        body = _fields(row.body)
        connector = self._connectors.get(row.stream_id) if row.stream == CONNECTOR_STREAM else None
        connector = connector or (str(body["connector"]) if body.get("connector") else None)
        text, tone = _words_of(row, body, connector)
        circuit = CHANGES.get(row.name)
        return {
            "text": text,
            "tone": tone,
            "change": None if circuit is None else self._change(f"{row.stream_id}/{body.get('operation')}", circuit),
            "payment": None,
            "connector": connector,
        }

    def _change(self, what: str, to: str) -> str | None:
        """`from -> to`, where it is known what it was and it is another now."""
        before = self._stood.pop(what, None)
        self._stood[what] = to
        if len(self._stood) > REMEMBERED:
            del self._stood[next(iter(self._stood))]
        return None if before in (None, to) else f"{before} -> {to}"


def _bare(row: TailRow) -> View:
    return {"text": _clean(row.name, LONGEST_FIELD), "tone": "info", "change": None, "payment": None, "connector": None}


def _sentence(row: TailRow, event: Event, connector: str | None) -> str:
    """As the timeline tells it, of what the record and its row know: there is no need to load the payment."""
    payment = row.payment.amount if row.payment is not None else None
    operation = None
    if isinstance(event.data, OperationChange):
        said = event.data.evidence.amount if event.data.evidence is not None else None
        amount = said if row.operation is None else row.operation
        kind = _KINDS_OF_OPERATIONS.get(event.data.operation_id.partition("_")[0], "operation")
        operation = None if amount is None else Subject(id=event.data.operation_id, kind=kind, connector=connector or "", amount=amount)
    attempt = None if payment is None else Subject(id="", kind="attempt", connector=connector or "", amount=payment)
    # Of an operation whose amount is not known here it is not said: the payment's may be another.
    amount = None if isinstance(event.data, OperationChange) else payment
    return Teller(subjects=_Known(operation, attempt), amount=amount, method="payment").sentence(event)


_KINDS_OF_OPERATIONS: Final = {"cap": "capture", "void": "void", "ref": "refund"}


class _Known(dict[str, Subject]):
    """What is known of the subjects of one event: its operation, and any attempt of its payment."""

    def __init__(self, operation: Subject | None, attempt: Subject | None) -> None:
        super().__init__()
        self._operation = operation
        self._attempt = attempt

    def get(self, key: str, default: Any = None) -> Any:
        if key.startswith("att_"):
            return default if self._attempt is None else self._attempt
        return self._operation if self._operation is not None and self._operation.id == key else super().get(key, default)


def _connector_of(row: TailRow) -> str | None:
    """Whose word it is, else where the payment is now."""
    kind, _, name = row.actor.partition(":")
    if kind == "psp" and name:
        return name
    return row.payment.connector if row.payment is not None else None


def _payment_view(payment_id: str, event: Event, payment: Watched) -> View:
    return {
        "id": payment_id,
        "state": event.to,
        "amount": money_view(payment.amount),
        "connector": payment.connector,
        "merchant_id": payment.merchant_id,
        "held": payment.held,
    }


def words_of(stream: str, name: str, body: Mapping[str, Any]) -> str:
    """The sentence that tells a record that is no payment's event; its name, where no table has one."""
    found = WORDS.get(stream, {}).get(name)
    connector = str(body["connector"]) if body.get("connector") else None
    return name if found is None else _clean(found[0].format_map(_Words(body, connector)), LONGEST_SENTENCE)


def _words_of(row: TailRow, body: Mapping[str, Any], connector: str | None) -> tuple[str, Tone]:
    found = WORDS.get(row.stream, {}).get(row.name)
    if found is None:
        return _clean(row.name, LONGEST_FIELD), "info"
    sentence, tone = found
    return _clean(sentence.format_map(_Words(body, connector)), LONGEST_SENTENCE), tone


class _Words(dict[str, str]):
    """The fields that a sentence may name: short texts and numbers. One that is not there is told as such."""

    def __init__(self, body: Mapping[str, Any], connector: str | None) -> None:
        super().__init__()
        self._body = body
        self["connector"] = connector or "a connector"

    def __missing__(self, name: str) -> str:
        values = (self._body.get(one) for one in name.split("|"))
        value = next((one for one in values if isinstance(one, (str, int, float)) and one != ""), "not known")
        return _clean(str(value), LONGEST_FIELD).rstrip(".")


def _fields(body: str | None) -> Mapping[str, Any]:
    if not body:
        return {}
    try:
        found = _decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _clean(text: str, longest: int) -> str:
    """In one line, without control characters, and cut."""
    clean = _CONTROL.sub(" ", text)
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"
