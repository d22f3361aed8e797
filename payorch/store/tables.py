"""The tables that the journal writes, each as a piece of the one statement, and that statement for any set of them.

Not here: values and columns (`rows`), which rows an item makes (`batch`, `entry_rows`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from payorch.store.rows import Bigints, Blobs, Booleans, Column, Dates, Integers, Jsons, Moments, Table, Texts, Uuids


def _columns(**kinds: type[Column]) -> tuple[tuple[str, type[Column]], ...]:
    return tuple(kinds.items())


def _insert(table: str, conflict: str = "") -> str:
    """Plain INSERT, or one with an answer to conflicts."""
    return f"INSERT INTO payorch.{table} ({{columns}}) SELECT {{columns}} FROM {{source}} {conflict}"


def _upsert(table: str, key: str, changing: str, further: str = "") -> str:
    """INSERT or UPDATE in one piece. No join, so no plan that a fresh database without statistics could get wrong."""
    assignments = ", ".join(f"{name} = excluded.{name}" for name in changing.split())
    return _insert(table, f"ON CONFLICT ({key}) DO UPDATE SET {assignments}{further}")


JOURNAL: Final = Table(
    rank=1,
    name="journal",
    columns=_columns(
        position=Bigints, stream=Texts, stream_id=Uuids, sequence=Integers, name=Texts, at=Moments, actor=Texts, cause=Texts, body=Jsons,
        hash=Blobs,
    ),
    template=_insert("journal"),
)  # fmt: skip

PAYMENTS: Final = Table(
    rank=2,
    name="payments",
    columns=_columns(
        id=Uuids, merchant_id=Uuids, state=Texts, version=Integers, previous_version=Integers, amount=Bigints, currency=Texts,
        capture=Texts, reference=Texts, connector=Texts, psp_reference=Texts, authorized=Bigints, captured=Bigints,
        capture_reserved=Bigints, refunded=Bigints, refund_reserved=Bigints, unfinished=Booleans, due_at=Moments, held=Booleans,
        created_at=Moments, updated_at=Moments,
    ),
    template=_upsert(
        "payments",
        "id",
        "state version previous_version connector psp_reference authorized captured capture_reserved refunded refund_reserved"
        " unfinished due_at held updated_at",
    ),
)  # fmt: skip

ATTEMPTS: Final = Table(
    rank=3,
    name="attempts",
    columns=_columns(
        payment_id=Uuids, id=Uuids, connector=Texts, state=Texts, exclusive=Booleans, amount=Bigints, currency=Texts, psp_key=Texts,
        psp_key_safe_until=Moments, call_method=Texts, call_path=Texts, call_content_type=Texts, call_body=Texts, psp_reference=Texts,
        money_reference=Texts, fence_key=Texts, fence_method=Texts, fence_path=Texts, fence_content_type=Texts, fence_body=Texts,
        next_action_at=Moments, created_at=Moments, updated_at=Moments,
    ),
    # The call is another one once the shopper has done his part, and only then (0005_attempt_calls.sql).
    # A definitive no stays one (items.is_exclusive). In the order of the rows: a closed attempt gives way before the next one comes in.
    template=_upsert(
        "attempts",
        "payment_id, id",
        "state psp_key psp_key_safe_until call_method call_path call_content_type call_body psp_reference money_reference fence_key"
        " fence_method fence_path fence_content_type fence_body next_action_at updated_at",
        ", exclusive = excluded.exclusive AND attempts.exclusive",
    ).replace("ON CONFLICT", "ORDER BY new.n ON CONFLICT"),
)  # fmt: skip

OPERATIONS: Final = Table(
    rank=4,
    name="operations",
    columns=_columns(
        payment_id=Uuids, id=Uuids, attempt_id=Uuids, kind=Texts, state=Texts, origin=Texts, amount=Bigints, currency=Texts, final=Booleans,
        psp_key=Texts, psp_key_safe_until=Moments, call_method=Texts, call_path=Texts, call_content_type=Texts, call_body=Texts,
        psp_reference=Texts, reason=Texts, reference=Texts, next_action_at=Moments, in_review=Booleans, created_at=Moments,
        updated_at=Moments,
    ),
    template=_upsert(
        "operations",
        "payment_id, id",
        "state amount final psp_reference reason reference next_action_at in_review updated_at",
    ),
)  # fmt: skip

OUTBOX: Final = Table(
    rank=5,
    name="outbox",
    columns=_columns(payment_id=Uuids, sequence=Integers, event_id=Uuids, merchant_id=Uuids, type=Texts, body=Jsons, created_at=Moments),
    template=_insert("outbox", "RETURNING payment_id, event_id, merchant_id, type, created_at"),
)

CLAIMS: Final = Table(
    rank=6,
    name="claims",
    columns=_columns(
        merchant_id=Uuids, key=Texts, fingerprint=Blobs, method_path=Texts, payment_id=Uuids, subject_id=Texts, request_id=Texts,
        created_at=Moments, answered_at=Moments, status=Integers, body=Blobs,
    ),
    template=_insert("idempotency_keys"),
)  # fmt: skip

ANSWERS: Final = Table(
    rank=7,
    name="answers",
    columns=_columns(merchant_id=Uuids, key=Texts, answered_at=Moments, status=Integers, body=Blobs),
    template=(
        "UPDATE payorch.idempotency_keys AS old SET answered_at = new.answered_at, status = new.status, body = new.body FROM {source}"
        ' WHERE old.merchant_id = new.merchant_id AND old.key = new.key COLLATE "C" AND old.answered_at IS NULL RETURNING new.n'
    ),
)

MERCHANTS: Final = Table(
    rank=8, name="merchants", columns=_columns(id=Uuids, name=Texts, created_at=Moments), template=_insert("merchants")
)
MERCHANT_KEYS: Final = Table(
    rank=9,
    name="merchant_keys",
    columns=_columns(lookup_id=Texts, merchant_id=Uuids, digest=Blobs, mode=Texts, created_at=Moments, expires_at=Moments),
    template=_insert("merchant_keys"),
)
OPERATORS: Final = Table(
    rank=10, name="operators", columns=_columns(id=Uuids, name=Texts, person=Texts, created_at=Moments), template=_insert("operators")
)
OPERATOR_TOKENS: Final = Table(
    rank=11,
    name="operator_tokens",
    columns=_columns(lookup_id=Texts, operator_id=Uuids, digest=Blobs, role=Texts, created_at=Moments, expires_at=Moments),
    template=_insert("operator_tokens"),
)
_REVOKE: Final = (
    "UPDATE payorch.{table} AS old SET revoked_at = new.revoked_at FROM {{source}}"
    ' WHERE old.lookup_id = new.lookup_id COLLATE "C" AND old.revoked_at IS NULL'
)
REVOKED_MERCHANT_KEYS: Final = Table(
    rank=12,
    name="revoked_merchant_keys",
    columns=_columns(lookup_id=Texts, revoked_at=Moments),
    template=_REVOKE.format(table="merchant_keys"),
)
REVOKED_OPERATOR_TOKENS: Final = Table(
    rank=13,
    name="revoked_operator_tokens",
    columns=_columns(lookup_id=Texts, revoked_at=Moments),
    template=_REVOKE.format(table="operator_tokens"),
)

INBOX: Final = Table(
    rank=14,
    name="arrivals",
    columns=_columns(
        id=Uuids, connector=Texts, identity=Texts, digest=Blobs, kind=Texts, content=Blobs, refers=Jsons, occurred_at=Moments,
        received_at=Moments, request_id=Texts, state=Texts, tries=Integers, next_try_at=Moments, outcome=Texts, settled_at=Moments,
    ),
    template=_insert("inbox", "ON CONFLICT (connector, identity) DO NOTHING RETURNING id"),
)  # fmt: skip
NOTICES: Final = Table(
    rank=15,
    name="notices",
    columns=_columns(
        id=Uuids, state=Texts, tries=Integers, next_try_at=Moments, payment_id=Uuids, outcome=Texts, settled_at=Moments
    ),
    template=(
        "UPDATE payorch.inbox AS old SET state = new.state, tries = new.tries, next_try_at = new.next_try_at,"
        " payment_id = new.payment_id, outcome = new.outcome, settled_at = new.settled_at FROM {source} WHERE old.id = new.id"
    ),
)  # fmt: skip
ENDPOINTS: Final = Table(
    rank=16,
    name="endpoints",
    columns=_columns(
        id=Uuids, merchant_id=Uuids, url=Texts, events=Texts, description=Texts, state=Texts, disabled_reason=Texts, secret=Blobs,
        previous_secret=Blobs, previous_until=Moments, version=Integers, created_at=Moments, updated_at=Moments,
    ),
    template=_upsert(
        "webhook_endpoints",
        "id",
        "url events description state disabled_reason secret previous_secret previous_until version updated_at",
    ),
)  # fmt: skip
DELIVERIES: Final = Table(
    rank=17,
    name="deliveries",
    columns=_columns(
        payment_id=Uuids, event_id=Uuids, endpoint_id=Uuids, merchant_id=Uuids, type=Texts, state=Texts, attempts=Integers,
        next_attempt_at=Moments, last_attempt_at=Moments, last_status=Integers, last_error=Texts, delivered_at=Moments, created_at=Moments,
    ),
    template=_upsert(
        "deliveries",
        "payment_id, event_id, endpoint_id",
        "state attempts next_attempt_at last_attempt_at last_status last_error delivered_at",
    ),
)  # fmt: skip
DEAD_LETTERS: Final = Table(
    rank=18,
    name="dead_letters",
    columns=_columns(
        id=Uuids, kind=Texts, origin=Texts, merchant_id=Uuids, payment_id=Uuids, subject=Jsons, reason_class=Texts, reason=Texts,
        fingerprint=Texts, payload=Texts, attempts=Integers, first_failed_at=Moments, last_failed_at=Moments, state=Texts,
        resolved_at=Moments, resolved_by=Texts, resolution=Texts,
    ),
    template=_upsert(
        "dead_letters",
        "id",
        "reason_class reason fingerprint payload attempts last_failed_at state resolved_at resolved_by resolution",
    ),
)  # fmt: skip
_ERASE: Final = (
    "UPDATE payorch.{table} SET {column} = '' FROM {{source}} WHERE id IN (SELECT id FROM payorch.{table} AS old"
    " WHERE {settled} < new.before AND {column} <> '' ORDER BY {settled}, id LIMIT new.most)"
)
ERASED_NOTICES: Final = Table(
    rank=19,
    name="erased_notices",
    columns=_columns(before=Moments, most=Integers),
    template=_ERASE.format(table="inbox", column="content", settled="settled_at"),
)
ERASED_DEAD_LETTERS: Final = Table(
    rank=20,
    name="erased_dead_letters",
    columns=_columns(before=Moments, most=Integers),
    template=_ERASE.format(table="dead_letters", column="payload", settled="resolved_at"),
)

DISPUTES: Final = Table(
    rank=21,
    name="disputes",
    columns=_columns(
        payment_id=Uuids, id=Uuids, merchant_id=Uuids, attempt_id=Uuids, psp_reference=Texts, stage=Texts, status=Texts, amount=Bigints,
        currency=Texts, reason=Texts, respond_by=Moments, created_at=Moments, updated_at=Moments,
    ),
    template=_upsert("disputes", "payment_id, id", "status amount reason respond_by updated_at"),
)  # fmt: skip

# Of the same statement as the event that moved the money: nobody can see the one without the other.
MOVEMENTS: Final = Table(
    rank=22,
    name="movements",
    columns=_columns(
        payment_id=Uuids, sequence=Integers, subject_id=Uuids, merchant_id=Uuids, attempt_id=Uuids, connector=Texts, kind=Texts,
        amount=Bigints, currency=Texts, debit=Texts, credit=Texts, at=Moments,
    ),
    template=_insert("movements"),
)  # fmt: skip

# Whoever changes a finding or a day has read it before, under the lock of reconciliation. A version that does not follow the one that is
# there is no version at all, which the table's own check refuses: nothing of the entry is written then.
_NEXT_VERSION: Final = ", version = CASE {table}.version WHEN excluded.version - 1 THEN excluded.version ELSE 0 END"
FINDINGS: Final = Table(
    rank=23,
    name="findings",
    columns=_columns(
        id=Uuids, connector=Texts, currency=Texts, day=Dates, kind=Texts, state=Texts, detail=Texts, expected=Bigints, actual=Bigints,
        difference=Bigints, amount_currency=Texts, batch_id=Uuids, line=Integers, payment_id=Uuids, sequence=Integers, subject_id=Uuids,
        suggestions=Jsons, dead_letter_id=Uuids, found_at=Moments, version=Integers, proposed_action=Texts, proposed_detail=Jsons,
        proposed_by=Texts, proposed_at=Moments, resolved_by=Texts, resolved_at=Moments, resolution=Texts,
    ),
    template=_upsert(
        "reconciliation_findings",
        "id",
        "state detail payment_id sequence subject_id proposed_action proposed_detail proposed_by proposed_at resolved_by resolved_at"
        " resolution",
        _NEXT_VERSION.format(table="reconciliation_findings"),
    ),
)  # fmt: skip
DAYS: Final = Table(
    rank=24,
    name="days",
    columns=_columns(
        day=Dates, connector=Texts, currency=Texts, state=Texts, version=Integers, figures=Jsons, changed_at=Moments, changed_by=Texts,
        reason=Texts,
    ),
    template=_upsert(
        "reconciliation_days",
        "day, connector, currency",
        "state figures changed_at changed_by reason",
        _NEXT_VERSION.format(table="reconciliation_days"),
    ),
)  # fmt: skip

USED_OPERATOR_TOKENS: Final = Table(
    rank=41,
    name="used_operator_tokens",
    columns=_columns(lookup_id=Texts, used_at=Moments),
    template=(
        "UPDATE payorch.operator_tokens AS old SET used_at = new.used_at FROM {source}"
        ' WHERE old.lookup_id = new.lookup_id COLLATE "C" AND (old.used_at IS NULL OR old.used_at < new.used_at)'
    ),
)
PLANS: Final = Table(
    rank=25,
    name="plans",
    columns=_columns(
        id=Uuids, name=Texts, subject=Texts, parameters=Jsons, break_glass=Booleans, draft=Jsons, hash=Blobs, operator_id=Uuids,
        operator_name=Texts, person=Texts, created_at=Moments, expires_at=Moments,
    ),
    template=_insert("plans"),
)  # fmt: skip
# Whoever changes an act has read it before. A version that does not follow the one that is there is refused by a trigger, and so is another
# decision than the one that was made (0008_operations.sql).
ACTS: Final = Table(
    rank=26,
    name="acts",
    columns=_columns(
        id=Uuids, reference=Texts, plan_id=Uuids, name=Texts, subject=Texts, parameters=Jsons, draft=Jsons, hash=Blobs, people=Integers,
        break_glass=Booleans, state=Texts, version=Integers, reason=Texts, idempotency_key=Texts, requested_by=Uuids, requested_name=Texts,
        requested_person=Texts, requested_at=Moments, expires_at=Moments, decided_by=Uuids, decided_name=Texts, decided_person=Texts,
        decided_at=Moments, decision=Texts, decision_reason=Texts, progress=Jsons, result=Jsons, finished_at=Moments, halted_by=Uuids,
        halted_name=Texts, halted_person=Texts, halted_at=Moments, halt_reason=Texts, review_due_at=Moments, reviewed_by=Uuids,
        reviewed_name=Texts, reviewed_person=Texts, reviewed_at=Moments, review_note=Texts,
    ),
    template=_upsert(
        "acts",
        "id",
        "state version decided_by decided_name decided_person decided_at decision decision_reason progress result finished_at halted_by"
        " halted_name halted_person halted_at halt_reason reviewed_by reviewed_name reviewed_person reviewed_at review_note",
    ),
)  # fmt: skip
FORGOTTEN_PLANS: Final = Table(
    rank=27,
    name="forgotten_plans",
    columns=_columns(before=Moments, most=Integers),
    template=(
        "DELETE FROM payorch.plans USING {source} WHERE id IN (SELECT id FROM payorch.plans AS old WHERE old.expires_at < new.before"
        " ORDER BY old.expires_at, old.id LIMIT new.most)"
    ),
)
DRAINS: Final = Table(
    rank=31,
    name="drains",
    columns=_columns(connector=Texts, until=Moments, reason=Texts, by=Texts, cause=Texts, changed_at=Moments),
    template=_upsert("drains", "connector", "until reason by cause changed_at"),
)

# Each event becomes a delivery for each endpoint of its merchant that wants it, in the same statement: none is forgotten, and nobody has to
# follow the events to find out.
_FAN_OUT: Final = (
    "fanned_out AS (INSERT INTO payorch.deliveries"
    " (payment_id, event_id, endpoint_id, merchant_id, type, state, attempts, next_attempt_at, created_at)"
    " SELECT told.payment_id, told.event_id, one.id, told.merchant_id, told.type, 'pending', 0, told.created_at, told.created_at"
    " FROM outbox AS told JOIN payorch.webhook_endpoints AS one ON one.merchant_id = told.merchant_id AND one.state = 'enabled'"
    " AND (told.type = ANY(one.event_types) OR one.events = '*'))"
)

# $1 position and $2 hash where we believe the head to be, $3 our epoch; $4 and $5 where it goes.
_HEAD: Final = (
    "head AS (UPDATE payorch.journal_head SET position = $4, hash = $5 WHERE position = $1 AND hash = $2 AND epoch = $3"
    " RETURNING position AS reached)"
)
_FIRST_COLUMN: Final = 6


@lru_cache(maxsize=256)
def statement(tables: tuple[Table, ...]) -> str:
    """The statement that moves the head and writes these tables, in order of rank. Nothing is written when the head is elsewhere.

    Answers one row (position, numbers of the answers that were stored, from 1, ids of the notices that were), or none when the head is
    elsewhere.
    """
    pieces, parameter = [_HEAD], _FIRST_COLUMN
    for table in tables:
        pieces.append(table.piece(parameter))
        parameter += len(table.columns)
    if OUTBOX in tables:
        pieces.append(_FAN_OUT)
    stored = "(SELECT array_agg(n) FROM answers)" if ANSWERS in tables else "NULL::bigint[]"
    arrived = "(SELECT array_agg(id) FROM arrivals)" if INBOX in tables else "NULL::uuid[]"
    return f"WITH {', '.join(pieces)} SELECT head.reached, {stored}, {arrived} FROM head"
