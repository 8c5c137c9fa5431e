-- Schema 4: records, and the order of a job's targets.

-- Small values by area and key: enrolments, tokens, approvals, the audit log. A put takes a new revision, never used again.
CREATE TABLE records (
    revision INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    area     TEXT    NOT NULL,
    key      BLOB    NOT NULL,
    value    BLOB    NOT NULL,
    UNIQUE (area, key)
) STRICT;

-- The order in which a job's targets stand in the tree that is signed; empty: ascending.
ALTER TABLE jobs ADD COLUMN leaves BLOB NOT NULL DEFAULT x'';
