-- Webhooks both ways, dead letters, disputes.
--
-- In: a PSP's notice is stored before it is acknowledged, under the PSP's own identity of it, and settled in the transaction of the step
-- that it caused. Out: what merchants are told (`outbox`) becomes a delivery for each of their endpoints, in the same transaction. What
-- cannot be settled or delivered is a dead letter, which people answer.

-- What PSPs told. Not partitioned: an identity is known for ever, whichever month the payment is of.
CREATE TABLE inbox (
    id          uuid PRIMARY KEY,
    connector   text             NOT NULL,
    identity    text COLLATE "C" NOT NULL CHECK (length(identity) BETWEEN 1 AND 400),  -- the PSP's, or the digest where it has none
    digest      bytea            NOT NULL CHECK (length(digest) = 32),                 -- SHA-256 of the item's bytes
    kind        text             NOT NULL,
    content     bytea            NOT NULL,  -- the item's bytes, sealed with the platform's key; empty once its time of keeping is over
    refers      json             NOT NULL,  -- the ids by which its payment is found: the PSP's, and ours
    occurred_at timestamptz(3),
    received_at timestamptz(3)   NOT NULL,
    request_id  text             NOT NULL,
    state       text             NOT NULL CONSTRAINT inbox_state CHECK (state IN ('received', 'parked', 'applied', 'ignored', 'dead')),
    tries       integer          NOT NULL CHECK (tries >= 0),
    next_try_at timestamptz(3),
    payment_id  uuid,
    outcome     text,                       -- in one word, what became of it
    settled_at  timestamptz(3),
    CONSTRAINT inbox_identity UNIQUE (connector, identity),
    CHECK ((next_try_at IS NOT NULL) = (state IN ('received', 'parked')))
);
CREATE INDEX inbox_due ON inbox (next_try_at) WHERE next_try_at IS NOT NULL;
CREATE INDEX inbox_payment ON inbox (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX inbox_kept ON inbox (settled_at) WHERE settled_at IS NOT NULL AND content <> '';

-- A notice takes effect once: the step that settles it a second time is refused as a whole, with everything that came with it.
CREATE FUNCTION refuse_second_settlement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the notice has been settled before'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'inbox_settled_once';
END $$;

CREATE TRIGGER inbox_settled_once BEFORE UPDATE OF state ON inbox FOR EACH ROW
    WHEN (OLD.state IN ('applied', 'ignored')) EXECUTE FUNCTION refuse_second_settlement();

-- A merchant's addresses for events. `events`: types parted by blanks; * stands for all.
CREATE TABLE webhook_endpoints (
    id              uuid PRIMARY KEY,
    merchant_id     uuid           NOT NULL REFERENCES merchants,
    url             text           NOT NULL CHECK (length(url) BETWEEN 1 AND 2048),
    events          text           NOT NULL CHECK (length(events) BETWEEN 1 AND 4000),
    event_types     text[]         GENERATED ALWAYS AS (string_to_array(events, ' ')) STORED,
    description     text,
    state           text           NOT NULL CHECK (state IN ('enabled', 'disabled', 'deleted')),
    disabled_reason text,
    secret          bytea          NOT NULL,  -- sealed with the platform's key, as is the next
    previous_secret bytea,
    previous_until  timestamptz(3),
    version         integer        NOT NULL CHECK (version > 0),
    created_at      timestamptz(3) NOT NULL,
    updated_at      timestamptz(3) NOT NULL,
    CHECK ((previous_secret IS NULL) = (previous_until IS NULL))
);
CREATE INDEX webhook_endpoints_merchant ON webhook_endpoints (merchant_id, id);

-- One event for one endpoint. Made by the statement that writes the event; the schedule of its tries is here and nowhere else.
CREATE TABLE deliveries (
    payment_id      uuid           NOT NULL,
    event_id        uuid           NOT NULL,
    endpoint_id     uuid           NOT NULL,
    merchant_id     uuid           NOT NULL,
    type            text           NOT NULL,
    state           text           NOT NULL CONSTRAINT deliveries_state CHECK (state IN ('pending', 'delivered', 'dead', 'canceled')),
    attempts        integer        NOT NULL CHECK (attempts >= 0),
    next_attempt_at timestamptz(3),
    last_attempt_at timestamptz(3),
    last_status     integer,
    last_error      text,
    delivered_at    timestamptz(3),
    created_at      timestamptz(3) NOT NULL,
    PRIMARY KEY (payment_id, event_id, endpoint_id),
    CHECK ((next_attempt_at IS NOT NULL) = (state = 'pending'))
) PARTITION BY RANGE (payment_id);
CREATE INDEX deliveries_due ON deliveries (endpoint_id, next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX deliveries_event ON deliveries (event_id);

-- What was still to be sent to an endpoint is not, once it is deleted; a disabled one may come back, and its deliveries wait.
CREATE FUNCTION cancel_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE payorch.deliveries SET state = 'canceled', next_attempt_at = NULL WHERE endpoint_id = NEW.id AND next_attempt_at IS NOT NULL;
    RETURN NULL;
END $$;

CREATE TRIGGER webhook_endpoints_deleted AFTER UPDATE OF state ON webhook_endpoints FOR EACH ROW
    WHEN (NEW.state = 'deleted' AND OLD.state <> 'deleted') EXECUTE FUNCTION cancel_deliveries();

-- The list of events, newest first, whether anybody was told of them or not.
CREATE INDEX outbox_merchant ON outbox (merchant_id, event_id DESC);

-- What needs people: a notice that cannot be settled, a delivery that no try has brought there. `subject`: what it is, for the replay.
CREATE TABLE dead_letters (
    id              uuid PRIMARY KEY,
    kind            text           NOT NULL CONSTRAINT dead_letters_kind CHECK (kind IN ('webhook_in', 'webhook_out')),
    origin          text           NOT NULL,  -- the connector, or the endpoint
    merchant_id     uuid,
    payment_id      uuid,
    subject         json           NOT NULL,
    reason_class    text           NOT NULL,
    reason          text           NOT NULL,
    fingerprint     text           NOT NULL,  -- the same for all that failed alike
    payload         text           NOT NULL,  -- without secrets and card numbers; empty once its time of keeping is over
    attempts        integer        NOT NULL CHECK (attempts >= 0),
    first_failed_at timestamptz(3) NOT NULL,
    last_failed_at  timestamptz(3) NOT NULL,
    state           text           NOT NULL CHECK (state IN ('open', 'replayed', 'discarded')),
    resolved_at     timestamptz(3),
    resolved_by     text,
    resolution      text,
    CHECK ((resolved_at IS NULL) = (state = 'open')),
    CHECK (state <> 'discarded' OR length(resolution) > 0)
);
CREATE INDEX dead_letters_open ON dead_letters (id DESC) WHERE state = 'open';
CREATE INDEX dead_letters_fingerprint ON dead_letters (fingerprint, id DESC);
CREATE INDEX dead_letters_payment ON dead_letters (payment_id) WHERE payment_id IS NOT NULL;

-- A shopper's bank takes money back. A child of its payment, like an operation; each stage is a row.
CREATE TABLE disputes (
    payment_id    uuid           NOT NULL,
    id            uuid           NOT NULL,
    merchant_id   uuid           NOT NULL,
    attempt_id    uuid           NOT NULL,
    psp_reference text           NOT NULL,
    stage         text           NOT NULL CHECK (stage IN ('pre_dispute', 'dispute', 'pre_arbitration')),
    status        text           NOT NULL CHECK (status IN (
        'opened', 'challenged', 'accepted', 'expired', 'cancelled', 'won', 'lost')),
    amount        bigint         NOT NULL CHECK (amount >= 0),
    currency      text           NOT NULL,
    reason        text,
    respond_by    timestamptz(3),
    created_at    timestamptz(3) NOT NULL,
    updated_at    timestamptz(3) NOT NULL,
    PRIMARY KEY (payment_id, id),
    -- By attempt too: two PSPs may name their disputes alike, and what is learned is never forbidden.
    CONSTRAINT disputes_stage UNIQUE (payment_id, attempt_id, psp_reference, stage)
) PARTITION BY RANGE (payment_id);
CREATE INDEX disputes_merchant ON disputes (merchant_id, id DESC);
CREATE INDEX disputes_id ON disputes (id);

-- A notice names the attempt by its own id, which the table's key does not begin with. Not unique, as operations_id.
CREATE INDEX attempts_id ON attempts (id);

-- ---- Partitions, now with the two new tables

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
    FOREACH parent IN ARRAY ARRAY['journal', 'payments', 'attempts', 'operations', 'outbox', 'deliveries', 'disputes'] LOOP
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

SELECT ensure_partition(parent, parent || '_default', 'DEFAULT') FROM unnest(ARRAY['deliveries', 'disputes']) AS parent;
SELECT ensure_partitions((now() AT TIME ZONE 'UTC' - interval '1 month')::date, 3);

-- ---- Rights of the application

GRANT SELECT, INSERT ON inbox, webhook_endpoints, deliveries, dead_letters, disputes TO payorch_app;
GRANT UPDATE (content, state, tries, next_try_at, payment_id, outcome, settled_at) ON inbox TO payorch_app;
GRANT UPDATE (url, events, description, state, disabled_reason, secret, previous_secret, previous_until, version, updated_at)
    ON webhook_endpoints TO payorch_app;
GRANT UPDATE (state, attempts, next_attempt_at, last_attempt_at, last_status, last_error, delivered_at) ON deliveries TO payorch_app;
GRANT UPDATE (reason_class, reason, fingerprint, payload, attempts, last_failed_at, state, resolved_at, resolved_by, resolution)
    ON dead_letters TO payorch_app;
GRANT UPDATE (status, amount, reason, respond_by, updated_at) ON disputes TO payorch_app;
