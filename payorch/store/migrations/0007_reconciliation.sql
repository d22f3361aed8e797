-- Reconciliation: our movements of money, the PSPs' settlement reports, what does not fit between them, and the days that people close.
--
-- Two accounts of the same money. `movements` is ours: each change of what was captured, refunded or charged back, written in the commit of
-- the event that it follows from, as one double entry. `settlement_rows` is the PSPs', as their reports say, each with the double entries
-- (`settlement_postings`) that follow from it. A movement that is in a report is settled.

-- One change of what a payment has moved: a double entry, from the account `credit` to the account `debit`, so that every one balances.
-- Never changed but for where it stands with the PSP's reports.
CREATE TABLE movements (
    payment_id  uuid           NOT NULL,
    sequence    integer        NOT NULL CHECK (sequence > 0),  -- of the event that it follows from
    subject_id  uuid           NOT NULL,                       -- the attempt, operation or dispute whose money moved
    merchant_id uuid           NOT NULL,
    attempt_id  uuid           NOT NULL,
    connector   text           NOT NULL,
    kind        text           NOT NULL CHECK (kind IN (
        'capture', 'capture_reversed', 'refund', 'refund_reversed', 'chargeback', 'chargeback_reversed')),
    amount      bigint         NOT NULL CHECK (amount > 0),
    currency    text           NOT NULL,
    debit       text           NOT NULL,
    credit      text           NOT NULL CHECK (credit <> debit),
    at          timestamptz(3) NOT NULL,
    settlement  text           NOT NULL DEFAULT 'pending' CHECK (settlement IN ('pending', 'settled', 'mismatched', 'manually_reviewed')),
    batch_id    uuid,          -- the line of a report that it was matched with
    line        integer,
    booked_on   date,          -- and the PSP's date of it
    PRIMARY KEY (payment_id, sequence, subject_id)
) PARTITION BY RANGE (payment_id);
CREATE INDEX movements_pending ON movements (connector, at) WHERE settlement = 'pending';

-- What must be filled in once for payments of the time before a table, by a program that runs as the owner, page by page (`store/backfill`):
-- how far that has come, by the payment's identifier. The platform does not start before it is done.
CREATE TABLE backfills (
    name     text PRIMARY KEY,
    after_id uuid NOT NULL,
    done_at  timestamptz(3)
);
INSERT INTO backfills (name, after_id, done_at)
SELECT 'movements', '00000000-0000-0000-0000-000000000000', CASE WHEN EXISTS (SELECT FROM payments) THEN NULL ELSE now() END;
-- A platform that still runs does not know of movements. What it went on to write would be money without one, so it is made to stop.
UPDATE journal_head SET epoch = epoch + 1, writer = '00000000-0000-0000-0000-000000000000' WHERE EXISTS (SELECT FROM payments);

-- A report, known by its content: the same bytes are read once. While it is being read, `lines_done` says how far that has come.
CREATE TABLE settlement_batches (
    id          uuid PRIMARY KEY,
    connector   text           NOT NULL,
    digest      bytea          NOT NULL CHECK (length(digest) = 32),
    name        text           NOT NULL,
    state       text           NOT NULL CHECK (state IN ('importing', 'imported')),
    lines_done  integer        NOT NULL CHECK (lines_done >= 0),
    rows        integer        NOT NULL CHECK (rows >= 0),
    bad_rows    integer        NOT NULL CHECK (bad_rows >= 0),
    repeated    integer        NOT NULL CHECK (repeated >= 0),  -- bookings that another report had before
    findings    integer        NOT NULL CHECK (findings >= 0),
    ties        json           NOT NULL,                        -- totals that the report states, beside the same over its lines
    received_at timestamptz(3) NOT NULL,
    imported_at timestamptz(3),
    received_by text           NOT NULL,
    CONSTRAINT settlement_batches_content UNIQUE (connector, digest),
    CHECK ((imported_at IS NULL) = (state = 'importing'))
);

CREATE TABLE settlement_rows (
    batch_id       uuid           NOT NULL REFERENCES settlement_batches,
    line           integer        NOT NULL CHECK (line > 0),
    connector      text           NOT NULL,
    identity       text COLLATE "C" NOT NULL,
    kind           text           NOT NULL,
    type           text           NOT NULL,
    booked_on      date           NOT NULL,
    gross          bigint         NOT NULL,
    currency       text           NOT NULL,  -- of gross
    fee            bigint         NOT NULL,
    net            bigint         NOT NULL,
    net_currency   text           NOT NULL,  -- of net and fee
    psp_operation  text           NOT NULL,  -- ids, parted by blanks, as are the next two
    psp_payment    text           NOT NULL,
    our_references text           NOT NULL,
    rate           text,
    payout         text,
    booked_at      timestamptz(3),
    state          text           NOT NULL CHECK (state IN ('matched', 'evidence', 'unmatched', 'duplicate', 'beside')),
    key            text,          -- by what it was matched
    payment_id     uuid,          -- the movement that it was matched with, or the payment that it is evidence for
    sequence       integer,
    subject_id     uuid,
    next_try_at    timestamptz(3),  -- of evidence that its payment has not weighed yet
    tries          integer        NOT NULL DEFAULT 0,
    PRIMARY KEY (batch_id, line),
    CHECK ((next_try_at IS NULL) OR (state = 'evidence'))
);
CREATE INDEX settlement_rows_identity ON settlement_rows (connector, identity);
CREATE INDEX settlement_rows_day ON settlement_rows (booked_on, batch_id, line);  -- in the order in which people page through a day
CREATE INDEX settlement_rows_payment ON settlement_rows (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX settlement_rows_evidence ON settlement_rows (next_try_at) WHERE next_try_at IS NOT NULL;

-- The double entries that follow from a line of a report: what settled, what the PSP kept, what went to the bank.
CREATE TABLE settlement_postings (
    batch_id  uuid    NOT NULL,
    line      integer NOT NULL,
    leg       integer NOT NULL CHECK (leg > 0),
    connector text    NOT NULL,
    currency  text    NOT NULL,
    debit     text    NOT NULL,
    credit    text    NOT NULL CHECK (credit <> debit),
    amount    bigint  NOT NULL CHECK (amount > 0),
    booked_on date    NOT NULL,
    PRIMARY KEY (batch_id, line, leg)
);

-- The ledger as accountants read it: each double entry as its two lines, which sum to zero.
CREATE VIEW ledger_lines AS
    SELECT 'payment' AS source, payment_id AS stream_id, sequence AS number, connector, currency, side.account, side.sign * amount AS amount,
           at::date AS day
    FROM movements, LATERAL (VALUES (debit, 1), (credit, -1)) AS side (account, sign)
    UNION ALL
    SELECT 'settlement', batch_id, line, connector, currency, side.account, side.sign * amount, booked_on
    FROM settlement_postings, LATERAL (VALUES (debit, 1), (credit, -1)) AS side (account, sign);

-- What does not fit. `day`: the PSP's date that it belongs to. Explained by people (or by what came later), never deleted. What changes the
-- truth about money takes two of them: `proposed_by` asks, `resolved_by` of another person agrees.
CREATE TABLE reconciliation_findings (
    id              uuid PRIMARY KEY,
    connector       text           NOT NULL,
    currency        text           NOT NULL,  -- the day's: of the payment; XXX where a line cannot be read
    day             date           NOT NULL,
    kind            text           NOT NULL CHECK (kind IN ('amount', 'currency', 'fee', 'duplicate', 'status_conflict', 'missing_here',
        'missing_at_psp', 'unparseable', 'totals')),
    state           text           NOT NULL CHECK (state IN ('open', 'proposed', 'reviewed', 'linked', 'accepted', 'psp_error', 'resolved')),
    detail          text           NOT NULL,
    expected        bigint,
    actual          bigint,
    difference      bigint,                   -- NULL: nobody can say how much
    amount_currency text           NOT NULL,  -- of the three
    batch_id        uuid,
    line            integer,
    payment_id      uuid,
    sequence        integer,
    subject_id      uuid,
    suggestions     json           NOT NULL,  -- movements that have the amount and about the date, for people
    dead_letter_id  uuid,
    found_at        timestamptz(3) NOT NULL,
    version         integer        NOT NULL CHECK (version > 0),
    proposed_action text,
    proposed_detail json,
    proposed_by     text,                     -- the person, not the account
    proposed_at     timestamptz(3),
    resolved_by     text,
    resolved_at     timestamptz(3),
    resolution      text,
    CONSTRAINT reconciliation_findings_four_eyes CHECK (proposed_by IS NULL OR resolved_by IS NULL OR proposed_by <> resolved_by),
    CHECK ((state IN ('open', 'proposed')) = (resolved_at IS NULL)),
    CHECK (state <> 'proposed' OR proposed_by IS NOT NULL)
);
CREATE INDEX reconciliation_findings_day ON reconciliation_findings (day, connector, currency);
CREATE INDEX reconciliation_findings_open ON reconciliation_findings (connector, day) WHERE state IN ('open', 'proposed');
CREATE INDEX reconciliation_findings_payment ON reconciliation_findings (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX reconciliation_findings_line ON reconciliation_findings (batch_id, line) WHERE batch_id IS NOT NULL;

-- A day that was closed, or reopened after that. A day that never was has no row. `figures`: what it came to when it was closed.
CREATE TABLE reconciliation_days (
    day        date           NOT NULL,
    connector  text           NOT NULL,
    currency   text           NOT NULL,
    state      text           NOT NULL CHECK (state IN ('closed', 'reopened')),
    version    integer        NOT NULL CHECK (version > 0),
    figures    json           NOT NULL,
    changed_at timestamptz(3) NOT NULL,
    changed_by text           NOT NULL,
    reason     text           NOT NULL,
    PRIMARY KEY (day, connector, currency)
);

-- A chargeback's line may name nothing but the dispute.
CREATE INDEX disputes_psp_reference ON disputes (psp_reference);

-- A line that cannot be read is a dead letter like any other.
ALTER TABLE dead_letters DROP CONSTRAINT dead_letters_kind,
    ADD CONSTRAINT dead_letters_kind CHECK (kind IN ('webhook_in', 'webhook_out', 'settlement_row'));

-- ---- Partitions, now with the movements

CREATE OR REPLACE FUNCTION ensure_partitions(start date, months integer) RETURNS integer LANGUAGE plpgsql SECURITY INVOKER AS $$
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
    FOREACH parent IN ARRAY ARRAY['journal', 'payments', 'attempts', 'operations', 'outbox', 'deliveries', 'disputes', 'movements'] LOOP
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

SELECT ensure_partition('movements', 'movements_default', 'DEFAULT');
-- Also where the payments of earlier months are.
SELECT ensure_partitions(to_date(substr(payments.name, length('payments_') + 1), 'YYYY_MM'), 1)
FROM (SELECT relname::text AS name FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
      WHERE inhparent = 'payments'::regclass AND relname ~ '^payments_[0-9]{4}_[0-9]{2}$' ORDER BY relname) AS payments;
SELECT ensure_partitions((now() AT TIME ZONE 'UTC' - interval '1 month')::date, 3);

-- ---- Rights of the application

GRANT SELECT, INSERT ON movements, settlement_batches, settlement_rows, settlement_postings, reconciliation_findings, reconciliation_days
    TO payorch_app;
GRANT SELECT ON ledger_lines, backfills TO payorch_app;
GRANT UPDATE (settlement, batch_id, line, booked_on) ON movements TO payorch_app;
GRANT UPDATE (state, lines_done, rows, bad_rows, repeated, findings, ties, imported_at) ON settlement_batches TO payorch_app;
GRANT UPDATE (state, key, payment_id, sequence, subject_id, next_try_at, tries) ON settlement_rows TO payorch_app;
GRANT UPDATE (state, detail, payment_id, sequence, subject_id, version, proposed_action, proposed_detail, proposed_by, proposed_at,
    resolved_by, resolved_at, resolution) ON reconciliation_findings TO payorch_app;
GRANT UPDATE (state, version, figures, changed_at, changed_by, reason) ON reconciliation_days TO payorch_app;
