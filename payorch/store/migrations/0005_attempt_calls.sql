-- What an attempt may have beside its first call: the PSP's id of what holds its money, the call that finishes it after the shopper's action
-- (in place of the first, in the same columns), and the call that fences it off.

ALTER TABLE attempts
    ADD COLUMN money_reference    text,  -- the PSP's id of what holds or took the money, where that is not psp_reference
    ADD COLUMN fence_key          text,  -- as psp_key, of the fence
    ADD COLUMN fence_method       text,
    ADD COLUMN fence_path         text,
    ADD COLUMN fence_content_type text,
    ADD COLUMN fence_body         text,
    ADD CONSTRAINT attempts_fence CHECK (
        (fence_key IS NULL) = (fence_method IS NULL) AND (fence_key IS NULL) = (fence_path IS NULL)
        AND (fence_key IS NULL) = (fence_body IS NULL) AND fence_key IS DISTINCT FROM psp_key);
CREATE UNIQUE INDEX attempts_fence_key ON attempts (payment_id, fence_key) WHERE fence_key IS NOT NULL;
CREATE INDEX attempts_money_reference ON attempts (money_reference) WHERE money_reference IS NOT NULL;

-- What may be on the wire stays as it was committed: another call takes its place only when the shopper has done his part, under another
-- key, and a fence is made once.
CREATE FUNCTION refuse_other_call() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the call of attempt % has been committed', OLD.id
        USING ERRCODE = 'insufficient_privilege', CONSTRAINT = 'attempts_call_committed';
END $$;

CREATE TRIGGER attempts_call_committed
    BEFORE UPDATE OF psp_key, psp_key_safe_until, call_method, call_path, call_content_type, call_body ON attempts FOR EACH ROW
    WHEN ((OLD.psp_key, OLD.psp_key_safe_until, OLD.call_method, OLD.call_path, OLD.call_content_type, OLD.call_body)
        IS DISTINCT FROM
        (NEW.psp_key, NEW.psp_key_safe_until, NEW.call_method, NEW.call_path, NEW.call_content_type, NEW.call_body)
        AND NOT (OLD.state = 'ACTION_REQUIRED' AND NEW.state = 'SENT' AND OLD.psp_key <> NEW.psp_key))
    EXECUTE FUNCTION refuse_other_call();
CREATE TRIGGER attempts_fence_committed
    BEFORE UPDATE OF fence_key, fence_method, fence_path, fence_content_type, fence_body ON attempts FOR EACH ROW
    WHEN (OLD.fence_key IS NOT NULL AND (OLD.fence_key, OLD.fence_method, OLD.fence_path, OLD.fence_content_type, OLD.fence_body)
        IS DISTINCT FROM (NEW.fence_key, NEW.fence_method, NEW.fence_path, NEW.fence_content_type, NEW.fence_body))
    EXECUTE FUNCTION refuse_other_call();

GRANT UPDATE (psp_key, psp_key_safe_until, call_method, call_path, call_content_type, call_body, money_reference, fence_key, fence_method,
    fence_path, fence_content_type, fence_body) ON attempts TO payorch_app;
