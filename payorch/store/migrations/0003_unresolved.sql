-- When a PSP answers again after an outage, recovery looks for what is still open there, oldest first, a page at a time
-- (connector_reads.unresolved_at). Among a million payments these are few, and without an index of their own every page would look at all that are
-- unfinished. Both indexes hold only what is unresolved, so a payment that goes well pays for neither, and a capture for one entry.

CREATE INDEX attempts_unknown ON attempts (connector, payment_id) WHERE state = 'UNKNOWN';
CREATE INDEX operations_unresolved ON operations (payment_id) WHERE state IN ('UNKNOWN', 'REQUESTED');
