-- The journal, what is derived from it in the same transaction, and who may knock: the first migration.
--
-- Runs as the owner. The application role may add to the journal and read it; it may change only the columns granted below, and delete
-- nothing anywhere.
--
-- Identifiers are UUIDv7. Tables that grow with the payments are partitioned by the payment's month of creation, which is a range of its
-- identifier and part of every key, so that all of one payment lies in one partition and a unique key still fences. There are no foreign
-- keys on them: they were measured to cost 15 %, and everything is written by one statement from one record.
--
-- Constraints forbid what we cause (a second charge, an amount out of bounds, a capture or refund larger than what is there). They never
-- forbid what we learn: a PSP that has refunded more than was captured has done so, and the row must be writable.
--
-- `json`, never `jsonb`: the text is kept as it was written, and the hash chain is computed over it.

-- The chain's end: one row, moved by compare-and-set in the transaction of every batch.
CREATE TABLE journal_head (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    position bigint  NOT NULL CHECK (position >= 0),
    hash     bytea   NOT NULL CHECK (length(hash) = 32),
    epoch    bigint  NOT NULL CHECK (epoch >= 0),
    writer   uuid    NOT NULL  -- the process whose epoch it is, so that it recognises its own hand after a lost answer
);
INSERT INTO journal_head (position, hash, epoch, writer)
VALUES (0, decode(repeat('00', 32), 'hex'), 0, '00000000-0000-0000-0000-000000000000');

-- Everything that happened, in one order. `stream_id` is the payment (merchant, operator, act) it happened to.
CREATE TABLE journal (
    stream_id uuid           NOT NULL,
    sequence  integer        NOT NULL CHECK (sequence > 0),
    position  bigint         NOT NULL CHECK (position > 0),
    stream    text           NOT NULL,
    name      text           NOT NULL,
    at        timestamptz(3) NOT NULL,
    actor     text           NOT NULL,
    cause     text           NOT NULL,
    body      json           NOT NULL,
    hash      bytea          NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (stream_id, sequence)
) PARTITION BY RANGE (stream_id);
CREATE INDEX journal_position ON journal (position);

-- What search and recovery look at: one row per payment, always as its last event left it. A payment is loaded from its events.
CREATE TABLE payments (
    id               uuid           NOT NULL,
    merchant_id      uuid           NOT NULL,
    state            text           NOT NULL CONSTRAINT payments_state CHECK (state IN (
        'CREATED', 'ROUTING', 'AUTHORIZING', 'REQUIRES_ACTION', 'PROVIDER_PENDING', 'OUTCOME_UNKNOWN', 'AUTHORIZED', 'CAPTURING',
        'PARTIALLY_CAPTURED', 'CAPTURED', 'VOIDING', 'CANCELED', 'FAILED', 'MANUAL_REVIEW')),
    version          integer        NOT NULL,
    previous_version integer        NOT NULL CHECK (previous_version >= 0 AND previous_version < version),
    amount           bigint         NOT NULL CONSTRAINT payments_amount CHECK (amount BETWEEN 1 AND 1000000000000),
    currency         text           NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    capture          text           NOT NULL CHECK (capture IN ('automatic', 'manual')),
    reference        text COLLATE "C",
    connector        text,
    psp_reference    text,
    authorized       bigint         NOT NULL CHECK (authorized >= 0),
    captured         bigint         NOT NULL CHECK (captured >= 0),
    capture_reserved bigint         NOT NULL CHECK (capture_reserved >= 0),
    refunded         bigint         NOT NULL CHECK (refunded >= 0),
    refund_reserved  bigint         NOT NULL CHECK (refund_reserved >= 0),
    unfinished       boolean        NOT NULL,  -- something of it is open or has a timer: recovery must wake it
    due_at           timestamptz(3),
    held             boolean        NOT NULL,
    owner            uuid,                     -- for several processes on one database: whose it is, and in which of its lives
    owner_epoch      bigint         NOT NULL DEFAULT 0,
    created_at       timestamptz(3) NOT NULL,
    updated_at       timestamptz(3) NOT NULL,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX payments_merchant ON payments (merchant_id, id DESC);
CREATE INDEX payments_state_id ON payments (state, id DESC);
CREATE INDEX payments_reference ON payments (reference) WHERE reference IS NOT NULL;
CREATE INDEX payments_due ON payments (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX payments_unfinished ON payments (id) WHERE unfinished;

CREATE TABLE attempts (
    payment_id         uuid           NOT NULL,
    id                 uuid           NOT NULL,
    connector          text           NOT NULL,
    state              text           NOT NULL CONSTRAINT attempts_state CHECK (state IN (
        'PREPARED', 'SENT', 'ACTION_REQUIRED', 'PENDING', 'AUTHORIZED', 'CHARGED', 'DECLINED', 'REJECTED', 'NOT_SENT', 'UNKNOWN', 'ABSENT',
        'VOIDED')),
    exclusive          boolean        NOT NULL,  -- it may be in flight or hold money: no other may be prepared (items.is_exclusive)
    amount             bigint         NOT NULL CONSTRAINT attempts_amount CHECK (amount BETWEEN 1 AND 1000000000000),
    currency           text           NOT NULL,
    psp_key            text           NOT NULL,
    psp_key_safe_until timestamptz(3) NOT NULL,
    call_method        text           NOT NULL,
    call_path          text           NOT NULL,
    call_content_type  text,
    call_body          text           NOT NULL,
    psp_reference      text,
    next_action_at     timestamptz(3),
    created_at         timestamptz(3) NOT NULL,
    updated_at         timestamptz(3) NOT NULL,
    PRIMARY KEY (payment_id, id),
    CONSTRAINT attempts_psp_key UNIQUE (payment_id, psp_key)
) PARTITION BY RANGE (payment_id);
CREATE UNIQUE INDEX attempts_one_exclusive ON attempts (payment_id) WHERE exclusive;
CREATE INDEX attempts_psp_reference ON attempts (psp_reference) WHERE psp_reference IS NOT NULL;

CREATE TABLE operations (
    payment_id         uuid           NOT NULL,
    id                 uuid           NOT NULL,
    attempt_id         uuid           NOT NULL,
    kind               text           NOT NULL CHECK (kind IN ('capture', 'void', 'refund')),
    state              text           NOT NULL CONSTRAINT operations_state CHECK (state IN (
        'REQUESTED', 'SENT', 'PENDING', 'SUCCEEDED', 'FAILED', 'UNKNOWN', 'REVERSED')),
    origin             text           NOT NULL CHECK (origin IN ('merchant', 'system', 'operator', 'provider')),
    amount             bigint         NOT NULL CHECK (amount >= 0),
    currency           text           NOT NULL,
    final              boolean        NOT NULL,
    psp_key            text,
    psp_key_safe_until timestamptz(3),
    call_method        text,
    call_path          text,
    call_content_type  text,
    call_body          text,
    psp_reference      text,
    reason             text,
    reference          text,
    next_action_at     timestamptz(3),
    in_review          boolean        NOT NULL,
    created_at         timestamptz(3) NOT NULL,
    updated_at         timestamptz(3) NOT NULL,
    PRIMARY KEY (payment_id, id),
    CONSTRAINT operations_psp_key UNIQUE (payment_id, psp_key),
    -- What we ask a PSP for lies in the bounds of any amount. What it did on its own may be anything from nothing upwards.
    CONSTRAINT operations_amount CHECK (origin = 'provider' OR kind = 'void' OR amount BETWEEN 1 AND 1000000000000)
) PARTITION BY RANGE (payment_id);
CREATE INDEX operations_psp_reference ON operations (psp_reference) WHERE psp_reference IS NOT NULL;

-- What merchants are to be told. Written with the events it tells of; delivered later by somebody else.
CREATE TABLE outbox (
    payment_id  uuid           NOT NULL,
    sequence    integer        NOT NULL CHECK (sequence > 0),  -- orders what is told about one payment
    event_id    uuid           NOT NULL,
    merchant_id uuid           NOT NULL,
    type        text           NOT NULL,
    body        json           NOT NULL,
    created_at  timestamptz(3) NOT NULL,
    PRIMARY KEY (payment_id, sequence),
    CONSTRAINT outbox_event UNIQUE (event_id, payment_id)
) PARTITION BY RANGE (payment_id);

-- Not partitioned: a key maps to its payment for ever, whichever month either is of.
CREATE TABLE idempotency_keys (
    merchant_id uuid             NOT NULL,
    key         text COLLATE "C" NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    fingerprint bytea            NOT NULL,
    method_path text             NOT NULL,
    payment_id  uuid             NOT NULL,
    subject_id  text,
    request_id  text             NOT NULL,
    created_at  timestamptz(3)   NOT NULL,
    answered_at timestamptz(3),
    status      integer CHECK (status BETWEEN 100 AND 599),
    body        bytea,
    PRIMARY KEY (merchant_id, key),
    CHECK ((answered_at IS NULL) = (status IS NULL))
);

CREATE TABLE merchants (
    id         uuid PRIMARY KEY,
    name       text           NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    created_at timestamptz(3) NOT NULL
);

CREATE TABLE merchant_keys (
    lookup_id   text COLLATE "C" PRIMARY KEY,
    merchant_id uuid           NOT NULL REFERENCES merchants,
    digest      bytea          NOT NULL CHECK (length(digest) = 32),
    mode        text           NOT NULL CHECK (mode IN ('test', 'live')),
    created_at  timestamptz(3) NOT NULL,
    expires_at  timestamptz(3),
    revoked_at  timestamptz(3)
);
CREATE INDEX merchant_keys_merchant ON merchant_keys (merchant_id);

-- An operator's account. `person`: whose it is; four eyes are two different people, not two accounts.
CREATE TABLE operators (
    id         uuid PRIMARY KEY,
    name       text           NOT NULL CONSTRAINT operators_name UNIQUE CHECK (length(name) BETWEEN 1 AND 100),
    person     text           NOT NULL CHECK (length(person) BETWEEN 1 AND 200),
    created_at timestamptz(3) NOT NULL
);

CREATE TABLE operator_tokens (
    lookup_id   text COLLATE "C" PRIMARY KEY,
    operator_id uuid           NOT NULL REFERENCES operators,
    digest      bytea          NOT NULL CHECK (length(digest) = 32),
    role        text           NOT NULL CHECK (role IN ('viewer', 'operator', 'approver', 'admin')),
    created_at  timestamptz(3) NOT NULL,
    expires_at  timestamptz(3),
    revoked_at  timestamptz(3)
);
CREATE INDEX operator_tokens_operator ON operator_tokens (operator_id);

-- ---- What must never happen, held here as well as in the program. A WHEN clause costs nothing where it is false.

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is append-only: % of % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

-- ALWAYS: also where somebody has set session_replication_role. Row triggers are cloned to partitions, those of TRUNCATE are not:
-- ensure_partitions makes them.
CREATE TRIGGER journal_append_only BEFORE UPDATE OR DELETE ON journal FOR EACH ROW EXECUTE FUNCTION refuse_change();
ALTER TABLE journal ENABLE ALWAYS TRIGGER journal_append_only;
CREATE TRIGGER journal_no_truncate BEFORE TRUNCATE ON journal FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE journal ENABLE ALWAYS TRIGGER journal_no_truncate;

CREATE FUNCTION refuse_broken_head() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the head of the journal moves forward only: % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER journal_head_forward BEFORE UPDATE ON journal_head FOR EACH ROW
    WHEN (NEW.position < OLD.position OR NEW.epoch < OLD.epoch OR (NEW.position = OLD.position AND NEW.hash <> OLD.hash))
    EXECUTE FUNCTION refuse_broken_head();
ALTER TABLE journal_head ENABLE ALWAYS TRIGGER journal_head_forward;
CREATE TRIGGER journal_head_stays BEFORE DELETE OR TRUNCATE ON journal_head FOR EACH STATEMENT EXECUTE FUNCTION refuse_broken_head();
ALTER TABLE journal_head ENABLE ALWAYS TRIGGER journal_head_stays;

-- A payment's versions follow each other. The journal's key already refuses a version that is there; this refuses one that leaves a gap.
CREATE FUNCTION refuse_version_gap() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the step does not follow the payment''s last version'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'payments_version_follows';
END $$;

CREATE TRIGGER payments_born_whole AFTER INSERT ON payments FOR EACH ROW
    WHEN (NEW.previous_version <> 0) EXECUTE FUNCTION refuse_version_gap();
CREATE TRIGGER payments_version_follows AFTER UPDATE ON payments FOR EACH ROW
    WHEN (NEW.previous_version <> OLD.version AND NEW.version <> OLD.version) EXECUTE FUNCTION refuse_version_gap();

-- A capture or refund that we open must fit into what is there, with everything in flight or unknown counted as used. Checked when it is
-- opened and never again: what the PSP reports later is written whatever it is. An AFTER trigger sees the whole statement done, so the
-- payment's sums already include the new operation.
CREATE FUNCTION refuse_overdraft() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    fits boolean;
BEGIN
    SELECT CASE NEW.kind WHEN 'capture' THEN captured + capture_reserved <= authorized ELSE refunded + refund_reserved <= captured END
        INTO fits FROM payorch.payments WHERE id = NEW.payment_id;
    IF fits IS NOT TRUE THEN
        RAISE EXCEPTION 'the % is larger than what is left', NEW.kind
            USING ERRCODE = 'check_violation', CONSTRAINT = 'operations_fit';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER operations_fit AFTER INSERT ON operations FOR EACH ROW
    WHEN (NEW.origin <> 'provider' AND NEW.kind <> 'void' AND NEW.state = 'REQUESTED') EXECUTE FUNCTION refuse_overdraft();

-- Two keys may be live at a time, so that one can be replaced without a gap. Writers are one after the other by the head's row lock.
CREATE FUNCTION refuse_third_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM payorch.merchant_keys
        WHERE merchant_id = NEW.merchant_id AND mode = NEW.mode AND revoked_at IS NULL
          AND (expires_at IS NULL OR expires_at > NEW.created_at)) > 2 THEN
        RAISE EXCEPTION 'two keys of this merchant and mode are live already: revoke one first'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'merchant_keys_two_live';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER merchant_keys_two_live AFTER INSERT ON merchant_keys FOR EACH ROW EXECUTE FUNCTION refuse_third_key();

-- ---- Partitions

-- The smallest UUIDv7 of that moment.
CREATE FUNCTION earliest_id(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

CREATE FUNCTION ensure_partition(parent text, name text, bounds text) RETURNS void LANGUAGE plpgsql SECURITY INVOKER AS $$
BEGIN
    EXECUTE format('CREATE TABLE payorch.%I PARTITION OF payorch.%I %s', name, parent, bounds);
    IF parent = 'journal' THEN
        EXECUTE format('CREATE TRIGGER journal_no_truncate BEFORE TRUNCATE ON payorch.%I FOR EACH STATEMENT'
                       ' EXECUTE FUNCTION payorch.refuse_change()', name);
        EXECUTE format('ALTER TABLE payorch.%I ENABLE ALWAYS TRIGGER journal_no_truncate', name);
        EXECUTE format('ALTER TABLE payorch.%I ENABLE ALWAYS TRIGGER journal_append_only', name);
    END IF;
END $$;

-- Makes what is missing of the partitions for `months` months from that of `start` on. Run by the owner, as often as one likes.
-- A month of which the default partition already holds rows stays there: nothing is lost by it but a little speed.
CREATE FUNCTION ensure_partitions(start date, months integer) RETURNS integer LANGUAGE plpgsql SECURITY INVOKER AS $$
DECLARE
    parent  text;
    key     text;
    first   uuid;  -- the month's bounds
    next    uuid;
    month   timestamp;
    name    text;
    taken   boolean;
    created integer := 0;
BEGIN
    FOREACH parent IN ARRAY ARRAY['journal', 'payments', 'attempts', 'operations', 'outbox'] LOOP
        key := CASE parent WHEN 'journal' THEN 'stream_id' WHEN 'payments' THEN 'id' ELSE 'payment_id' END;
        FOR number IN 0 .. months - 1 LOOP
            month := date_trunc('month', start::timestamp) + make_interval(months => number);
            name := parent || '_' || to_char(month, 'YYYY_MM');
            CONTINUE WHEN to_regclass('payorch.' || name) IS NOT NULL;
            first := payorch.earliest_id(month AT TIME ZONE 'UTC');
            next := payorch.earliest_id((month + interval '1 month') AT TIME ZONE 'UTC');
            EXECUTE format('SELECT EXISTS (SELECT FROM payorch.%I WHERE %I >= $1 AND %I < $2)', parent || '_default', key, key)
                INTO taken USING first, next;
            CONTINUE WHEN taken;
            PERFORM payorch.ensure_partition(parent, name, format('FOR VALUES FROM (%L) TO (%L)', first, next));
            created := created + 1;
        END LOOP;
    END LOOP;
    RETURN created;
END $$;

REVOKE ALL ON FUNCTION ensure_partition(text, text, text), ensure_partitions(date, integer) FROM PUBLIC;

-- An insert never fails for lack of a partition. Here only last month, this and the next: `payorch migrate` calls ensure_partitions with
-- more each time it runs, and a test's copy of the schema stays small (measured: 0.1 s against 1.3 s for 15 months).
SELECT ensure_partition(parent, parent || '_default', 'DEFAULT')
FROM unnest(ARRAY['journal', 'payments', 'attempts', 'operations', 'outbox']) AS parent;
SELECT ensure_partitions((now() AT TIME ZONE 'UTC' - interval '1 month')::date, 3);

-- ---- Rights of the application

GRANT SELECT ON journal_head, journal, payments, attempts, operations, outbox, idempotency_keys,
    merchants, merchant_keys, operators, operator_tokens TO payorch_app;
GRANT INSERT ON journal, payments, attempts, operations, outbox, idempotency_keys,
    merchants, merchant_keys, operators, operator_tokens TO payorch_app;
GRANT UPDATE (position, hash, epoch, writer) ON journal_head TO payorch_app;
GRANT UPDATE (state, version, previous_version, connector, psp_reference, authorized, captured, capture_reserved, refunded,
    refund_reserved, unfinished, due_at, held, owner, owner_epoch, updated_at) ON payments TO payorch_app;
GRANT UPDATE (state, exclusive, psp_reference, next_action_at, updated_at) ON attempts TO payorch_app;
GRANT UPDATE (state, amount, final, psp_reference, reason, reference, next_action_at, in_review, updated_at) ON operations TO payorch_app;
GRANT UPDATE (answered_at, status, body) ON idempotency_keys TO payorch_app;
GRANT UPDATE (revoked_at) ON merchant_keys, operator_tokens TO payorch_app;
