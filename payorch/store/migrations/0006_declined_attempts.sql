-- How often each card was declined in the last 30 days is read from the journal at the start of a process, and this finds those payments.
--
-- Partial: only attempts that were declined are in it, and only they pay for it, once.

CREATE INDEX attempts_declined ON attempts (updated_at) WHERE state = 'DECLINED';
