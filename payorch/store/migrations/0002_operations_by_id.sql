-- A capture, void or refund is asked for by its own id (GET /v1/refunds/{id}), while the table's key begins with its payment.
--
-- Not unique: a unique index of a partitioned table holds the partition key, so it would fence nothing. Only operations pay for it: a
-- payment that is authorised and captured in one go has none.

CREATE INDEX operations_id ON operations (id);
