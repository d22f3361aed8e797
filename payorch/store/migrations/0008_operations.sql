-- What operators plan and do. A plan is a dry run that was shown to somebody; an act is a plan that he asked for, with a reason. Both are
-- kept: an act's record says what its people had before their eyes. Written by the journal's writer, together with an entry each time.

-- Whose eyes these are, however the name is written: blanks, capitals, full-width letters and characters that nobody sees make no other
-- person. The program has a rule of its own, which knows more of them (`payorch.domain.persons`); this one is for when it is wrong.
CREATE FUNCTION eyes_of(person text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT lower(regexp_replace(normalize(person, NFKC), '[[:space:]\u00ad\u200b-\u200f\u2060\ufeff]', '', 'g'))
$$;

ALTER TABLE reconciliation_findings DROP CONSTRAINT reconciliation_findings_four_eyes, ADD CONSTRAINT reconciliation_findings_four_eyes
    CHECK (proposed_by IS NULL OR resolved_by IS NULL OR eyes_of(proposed_by) <> eyes_of(resolved_by));

-- An account belongs to one person for good: who it is stands beside its id in everything that he agrees to.
ALTER TABLE operators ADD CONSTRAINT operators_whose UNIQUE (id, person);

CREATE TABLE plans (
    id          uuid PRIMARY KEY,
    name        text           NOT NULL,
    subject     text           NOT NULL CHECK (length(subject) BETWEEN 1 AND 500),
    parameters  json           NOT NULL,
    break_glass boolean        NOT NULL,
    draft       json           NOT NULL,
    hash        bytea          NOT NULL CHECK (length(hash) = 32),  -- of what is wanted and of the draft
    operator_id uuid           NOT NULL REFERENCES operators,
    operator_name text         NOT NULL,
    person      text           NOT NULL,
    created_at  timestamptz(3) NOT NULL,
    expires_at  timestamptz(3) NOT NULL CHECK (expires_at > created_at)
);
CREATE INDEX plans_expired ON plans (expires_at);

CREATE TABLE acts (
    id               uuid PRIMARY KEY,
    reference        text COLLATE "C" NOT NULL CONSTRAINT acts_reference UNIQUE,  -- the id as it stands in the cause of what it did
    plan_id          uuid           NOT NULL CONSTRAINT acts_once_per_plan UNIQUE,
    name             text           NOT NULL,
    subject          text           NOT NULL,
    parameters       json           NOT NULL,
    draft            json           NOT NULL,
    hash             bytea          NOT NULL CHECK (length(hash) = 32),
    people           integer        NOT NULL CHECK (people IN (1, 2)),
    break_glass      boolean        NOT NULL,
    state            text           NOT NULL CONSTRAINT acts_state CHECK (state IN ('proposed', 'approved', 'running', 'done', 'refused',
        'failed', 'halted', 'rejected', 'expired')),
    version          integer        NOT NULL CHECK (version > 0),
    reason           text           NOT NULL CHECK (length(reason) BETWEEN 1 AND 1000),
    idempotency_key  text COLLATE "C" NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    requested_by     uuid           NOT NULL,
    requested_name   text           NOT NULL,
    requested_person text           NOT NULL,
    requested_at     timestamptz(3) NOT NULL,
    expires_at       timestamptz(3) NOT NULL,
    decided_by       uuid,
    decided_name     text,
    decided_person   text,
    decided_at       timestamptz(3),
    decision         text CHECK (decision IN ('approved', 'rejected')),
    decision_reason  text,
    progress         json,
    result           json,
    finished_at      timestamptz(3),
    halted_by        uuid REFERENCES operators,  -- who wants it to stop, while it runs: it does after the step that it is in
    halted_name      text,
    halted_person    text,
    halted_at        timestamptz(3),
    halt_reason      text,
    review_due_at    timestamptz(3),
    reviewed_by      uuid,
    reviewed_name    text,
    reviewed_person  text,
    reviewed_at      timestamptz(3),
    review_note      text,
    -- Four eyes. What takes two people is carried out only when a second has agreed, who is another person, whatever the program believes.
    -- Neither a second account of one person makes two of him, nor one account that was given to somebody else, nor another spelling, nor
    -- a name that is not the account's.
    CONSTRAINT acts_four_eyes CHECK (
        decision IS DISTINCT FROM 'approved' OR eyes_of(decided_person) <> eyes_of(requested_person) AND decided_by <> requested_by),
    CONSTRAINT acts_requested_by_whom FOREIGN KEY (requested_by, requested_person) REFERENCES operators (id, person),
    CONSTRAINT acts_decided_by_whom FOREIGN KEY (decided_by, decided_person) REFERENCES operators (id, person),
    CONSTRAINT acts_reviewed_by_whom FOREIGN KEY (reviewed_by, reviewed_person) REFERENCES operators (id, person),
    CONSTRAINT acts_second_person CHECK (
        people = 1 OR break_glass OR state NOT IN ('approved', 'running', 'done', 'failed', 'halted')
        OR decision IS NOT DISTINCT FROM 'approved'),  -- not `=`: a check that comes to NULL lets everything pass
    CONSTRAINT acts_decided_whole CHECK ((decision IS NULL) = (decided_person IS NULL) AND (decision IS NULL) = (decided_by IS NULL)),
    -- What one person did alone with the glass broken, another looks at afterwards.
    CONSTRAINT acts_reviewed CHECK (reviewed_person IS NULL AND reviewed_by IS NULL
        OR reviewed_person IS NOT NULL AND reviewed_by IS NOT NULL AND eyes_of(reviewed_person) <> eyes_of(requested_person) AND reviewed_by <> requested_by),
    CONSTRAINT acts_review_wanted CHECK (NOT break_glass OR review_due_at IS NOT NULL),
    CONSTRAINT acts_key UNIQUE (requested_by, idempotency_key)
);
CREATE INDEX acts_recent ON acts (id DESC);
CREATE INDEX acts_open ON acts (state, id) WHERE state IN ('proposed', 'approved', 'running');
CREATE INDEX acts_subject ON acts (subject, id DESC);
CREATE INDEX acts_to_review ON acts (review_due_at) WHERE review_due_at IS NOT NULL AND reviewed_at IS NULL;
-- Two people who want the same of the same thing at once: the second looks at what the first has asked for.
CREATE UNIQUE INDEX acts_one_open ON acts (subject, name) WHERE state IN ('proposed', 'approved', 'running');

-- What is decided of an act is never decided again, and an act never goes back.
CREATE FUNCTION refuse_second_decision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an act that was decided or is over is not decided again'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'acts_decided_once';
END $$;
CREATE TRIGGER acts_decided_once BEFORE UPDATE ON acts FOR EACH ROW
    WHEN (OLD.decision IS NOT NULL AND (NEW.decision, NEW.decided_person) IS DISTINCT FROM (OLD.decision, OLD.decided_person)
        OR OLD.state IN ('done', 'refused', 'failed', 'halted', 'rejected', 'expired') AND NEW.state <> OLD.state
        OR OLD.reviewed_at IS NOT NULL AND (NEW.reviewed_by, NEW.reviewed_person) IS DISTINCT FROM (OLD.reviewed_by, OLD.reviewed_person)
        OR (NEW.requested_by, NEW.requested_person, NEW.people, NEW.break_glass, NEW.hash, NEW.subject, NEW.name, NEW.parameters::text)
            IS DISTINCT FROM
            (OLD.requested_by, OLD.requested_person, OLD.people, OLD.break_glass, OLD.hash, OLD.subject, OLD.name, OLD.parameters::text)
        OR NEW.version <> OLD.version + 1)
    EXECUTE FUNCTION refuse_second_decision();
ALTER TABLE acts ENABLE ALWAYS TRIGGER acts_decided_once;

-- And none comes into being decided: what takes two people is there for a second one to look at before he can have agreed to it.
CREATE FUNCTION refuse_decided_from_the_start() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an act begins undecided: it is asked for first, and decided then'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'acts_asked_first';
END $$;
CREATE TRIGGER acts_asked_first AFTER INSERT ON acts FOR EACH ROW
    WHEN (NEW.decision IS NOT NULL OR NEW.reviewed_at IS NOT NULL OR NEW.version <> 1 OR NEW.state NOT IN ('proposed', 'approved'))
    EXECUTE FUNCTION refuse_decided_from_the_start();
ALTER TABLE acts ENABLE ALWAYS TRIGGER acts_asked_first;

-- An id as it is written outside: its prefix, and its 128 bits in 26 digits of Crockford's base 32 (`payorch.domain.identifiers`).
CREATE FUNCTION identifier_of(prefix text, id uuid) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT prefix || '_' || string_agg(substr('0123456789abcdefghjkmnpqrstvwxyz', substring(bits FROM n * 5 + 1 FOR 5)::integer + 1, 1), '' ORDER BY n)
    FROM (SELECT B'00' || ('x' || replace(id::text, '-', ''))::bit(128) AS bits) AS one, generate_series(0, 25) AS n
$$;

-- A payment whose truth about money people decide has an act behind it, in the same database, to resolve this very payment: of two of them,
-- or with the glass broken.
CREATE FUNCTION refuse_lonely_correction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM payorch.acts
        WHERE reference = NEW.cause AND name = 'payment.resolve' AND subject = payorch.identifier_of('pay', NEW.stream_id)
            AND state IN ('approved', 'running') AND (break_glass OR decision = 'approved'))
    THEN
        RAISE EXCEPTION 'a payment is corrected by two people, through an act that both agreed to'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'journal_four_eyes';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER journal_four_eyes AFTER INSERT ON journal FOR EACH ROW
    WHEN (NEW.name IN ('CorrectionApproved', 'CompensationApproved', 'OperationCorrected')) EXECUTE FUNCTION refuse_lonely_correction();
ALTER TABLE journal ENABLE ALWAYS TRIGGER journal_four_eyes;

-- A connector that takes no new payments for a while, by an operator's word. One row each, the last word.
CREATE TABLE drains (
    connector  text PRIMARY KEY,
    until      timestamptz(3) NOT NULL,
    reason     text           NOT NULL,
    by         text           NOT NULL,
    cause      text           NOT NULL,
    changed_at timestamptz(3) NOT NULL
);

-- People's acts, and what was refused to them, are a needle in the hay of payments.
CREATE INDEX journal_of_people ON journal (position)
    WHERE actor LIKE 'operator:%' OR actor LIKE 'cli:%' OR stream IN ('act', 'operator', 'merchant');

-- What waits for people is counted every two seconds while anybody watches: by what waits, and not by all there is.
CREATE INDEX payments_held ON payments (id) WHERE held;
CREATE INDEX operations_in_review ON operations (payment_id) WHERE in_review;

-- When a token was last used, to the hour, so that one that nobody uses any more can be locked.
ALTER TABLE operator_tokens ADD COLUMN used_at timestamptz(3);

GRANT SELECT, INSERT ON plans, acts, drains TO payorch_app;
GRANT DELETE ON plans TO payorch_app;  -- plans that nobody acted upon
GRANT UPDATE (state, version, decided_by, decided_name, decided_person, decided_at, decision, decision_reason, progress, result, finished_at,
    halted_by, halted_name, halted_person, halted_at, halt_reason, reviewed_by, reviewed_name, reviewed_person, reviewed_at, review_note)
    ON acts TO payorch_app;
GRANT UPDATE (until, reason, by, cause, changed_at) ON drains TO payorch_app;
GRANT UPDATE (used_at) ON operator_tokens TO payorch_app;
