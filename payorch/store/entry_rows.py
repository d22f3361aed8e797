"""The rows of everything that is no payment, as the statement takes them: identities, notices, endpoints, deliveries, dead letters,
findings and days of reconciliation.

Pure. Not here: payments and their children (`batch`), plans and acts (`act_rows`), which rows an item has (`items`).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import assert_never

from payorch.domain.act_records import ActRecord, Plan
from payorch.domain.identifiers import bytes_of
from payorch.store import tables
from payorch.store.act_rows import act_row
from payorch.store.items import (
    Arrival,
    DeadLetter,
    Delivery,
    DrainRow,
    Endpoint,
    EntryRow,
    Erasure,
    MerchantKeyRevoked,
    MerchantKeyRow,
    MerchantRow,
    NoticeMark,
    NoticeState,
    OperatorRow,
    OperatorTokenRevoked,
    OperatorTokenRow,
    OperatorTokenUsed,
    PlansForgotten,
)
from payorch.store.reconciliation_items import DayRow, FindingRow
from payorch.store.rows import NULL, Row, Table, bigint, date_of, integer, learned_words, moment, raw, uuid, words

_SETTLED = frozenset({NoticeState.APPLIED, NoticeState.IGNORED, NoticeState.DEAD})


def entry_row(row: EntryRow) -> tuple[Table, Row]:
    """The table and the row of what an entry brings with it."""
    match row:
        case MerchantRow():
            return tables.MERCHANTS, (uuid(bytes_of(row.id)), words(row.name), moment(row.created_at))
        case MerchantKeyRow():
            owner = uuid(bytes_of(row.merchant_id))
            times = (moment(row.created_at), moment(row.expires_at))
            return tables.MERCHANT_KEYS, (words(row.lookup_id), owner, raw(row.digest), words(row.mode), *times)
        case OperatorRow():
            return tables.OPERATORS, (uuid(bytes_of(row.id)), words(row.name), words(row.person), moment(row.created_at))
        case OperatorTokenRow():
            owner = uuid(bytes_of(row.operator_id))
            times = (moment(row.created_at), moment(row.expires_at))
            return tables.OPERATOR_TOKENS, (words(row.lookup_id), owner, raw(row.digest), words(row.role), *times)
        case MerchantKeyRevoked():
            return tables.REVOKED_MERCHANT_KEYS, (words(row.lookup_id), moment(row.at))
        case OperatorTokenRevoked():
            return tables.REVOKED_OPERATOR_TOKENS, (words(row.lookup_id), moment(row.at))
        case OperatorTokenUsed():
            return tables.USED_OPERATOR_TOKENS, (words(row.lookup_id), moment(row.at))
        case Endpoint():
            return tables.ENDPOINTS, _endpoint(row)
        case Delivery():
            return tables.DELIVERIES, delivery(row)
        case NoticeMark():
            return tables.NOTICES, notice(row)
        case DeadLetter():
            return tables.DEAD_LETTERS, _dead_letter(row)
        case FindingRow():
            return tables.FINDINGS, _finding(row)
        case DayRow():
            return tables.DAYS, _day(row)
        case ActRecord():
            return act_row(row)
        case DrainRow():
            why = (words(row.reason), words(row.by), words(row.cause))
            return tables.DRAINS, (words(row.connector), moment(row.until), *why, moment(row.changed_at))
        case _ as never:
            assert_never(never)


def touched(row: object) -> frozenset[Hashable]:
    """What a row of an entry or a mark must have to itself within a statement. Rows of streams are covered by their stream."""
    match row:
        case NoticeMark():
            return frozenset({uuid(bytes_of(row.notice_id))})
        case OperatorTokenUsed():
            return frozenset({row.lookup_id})
        case Plan() | ActRecord():
            return frozenset({uuid(bytes_of(row.id))})
        case PlansForgotten():
            return frozenset({PlansForgotten})
        case Delivery():
            return frozenset({(row.event_id, row.endpoint_id)})
        case _:
            return frozenset()


def arrival(item: Arrival) -> Row:
    """A notice as it came in."""
    return (
        uuid(bytes_of(item.id)),
        words(item.connector),
        words(item.identity),
        raw(item.digest),
        words(item.kind),
        raw(item.sealed),
        raw(item.refers),
        moment(item.occurred_at),
        moment(item.received_at),
        words(item.request_id),
        words(item.state),
        integer(0),
        moment(item.next_try_at),
        words(item.outcome),
        moment(item.received_at if item.state in _SETTLED else None),
    )


def notice(mark: NoticeMark) -> Row:
    """What became of a notice."""
    return (
        uuid(bytes_of(mark.notice_id)),
        words(mark.state),
        integer(mark.tries),
        moment(mark.next_try_at),
        _maybe(mark.payment_id),
        words(mark.outcome),
        moment(mark.at if mark.state in _SETTLED else None),
    )


def delivery(row: Delivery) -> Row:
    """The delivery of an event to an endpoint, as it stands."""
    return (
        uuid(bytes_of(row.payment_id)),
        uuid(bytes_of(row.event_id)),
        uuid(bytes_of(row.endpoint_id)),
        uuid(bytes_of(row.merchant_id)),
        words(row.type),
        words(row.state),
        integer(row.attempts),
        moment(row.next_attempt_at),
        moment(row.last_attempt_at),
        NULL if row.last_status is None else integer(row.last_status),
        learned_words(row.last_error),
        moment(row.delivered_at),
        moment(row.created_at),
    )


def erasures(item: Erasure) -> tuple[tuple[Table, Row], ...]:
    """What is to be forgotten."""
    return (
        (tables.ERASED_NOTICES, (moment(item.notices_before), integer(item.limit))),
        (tables.ERASED_DEAD_LETTERS, (moment(item.dead_letters_before), integer(item.limit))),
    )


def _endpoint(row: Endpoint) -> Row:
    return (
        uuid(bytes_of(row.id)),
        uuid(bytes_of(row.merchant_id)),
        words(row.url),
        words(" ".join(row.events)),
        words(row.description),
        words(row.state),
        words(row.disabled_reason),
        raw(row.secret),
        NULL if row.previous_secret is None else raw(row.previous_secret),
        moment(row.previous_until),
        integer(row.version),
        moment(row.created_at),
        moment(row.updated_at),
    )


def _dead_letter(row: DeadLetter) -> Row:
    return (
        uuid(bytes_of(row.id)),
        words(row.kind),
        words(row.origin),
        _maybe(row.merchant_id),
        _maybe(row.payment_id),
        raw(row.subject),
        words(row.reason_class),
        learned_words(row.reason),
        words(row.fingerprint),
        learned_words(row.payload),
        integer(row.attempts),
        moment(row.first_failed_at),
        moment(row.last_failed_at),
        words(row.state),
        moment(row.resolved_at),
        words(row.resolved_by),
        words(row.resolution),
    )


def _finding(row: FindingRow) -> Row:
    return (
        uuid(bytes_of(row.id)),
        words(row.connector),
        words(row.currency),
        date_of(row.day),
        words(row.kind),
        words(row.state),
        learned_words(row.detail),
        _minor(row.expected),
        _minor(row.actual),
        _minor(row.difference),
        words(row.amount_currency),
        _maybe(row.batch_id),
        NULL if row.line is None else integer(row.line),
        _maybe(row.payment_id),
        NULL if row.sequence is None else integer(row.sequence),
        _maybe(row.subject_id),
        raw(row.suggestions),
        _maybe(row.dead_letter_id),
        moment(row.found_at),
        integer(row.version),
        words(row.proposed_action),
        NULL if row.proposed_detail is None else raw(row.proposed_detail),
        words(row.proposed_by),
        moment(row.proposed_at),
        words(row.resolved_by),
        moment(row.resolved_at),
        words(row.resolution),
    )


def _day(row: DayRow) -> Row:
    return (
        date_of(row.day),
        words(row.connector),
        words(row.currency),
        words(row.state),
        integer(row.version),
        raw(row.figures),
        moment(row.changed_at),
        words(row.changed_by),
        words(row.reason),
    )


def _minor(amount: int | None) -> bytes:
    return NULL if amount is None else bigint(amount)


def _maybe(identifier: str | None) -> bytes:
    return NULL if identifier is None else uuid(bytes_of(identifier))
