-- Schema 2: batches, numbered changes, plans, schedules.

-- How many at once. Apart from the jobs, so that an approval does not write the envelope again, and for lists. No row: all
-- at once, as every job of schema 1.
CREATE TABLE batches (
    jid      INTEGER NOT NULL PRIMARY KEY REFERENCES jobs (jid),
    approved INTEGER NOT NULL,              -- stages of the canary
    rule     BLOB    NOT NULL               -- relay.operator.v1.Batch
) STRICT;

-- Who newly gave which answer, and when; never changed. A job's last number is the last one here, so a change in which
-- members only left their answer has its rows, too, with nobody in them.
CREATE TABLE changes (
    jid     INTEGER NOT NULL REFERENCES jobs (jid),
    seq     INTEGER NOT NULL,               -- rises by one within the job
    no      INTEGER NOT NULL,               -- of the answer
    at      INTEGER NOT NULL,
    members BLOB    NOT NULL,
    PRIMARY KEY (jid, seq, no)
) STRICT, WITHOUT ROWID;

-- What came before changes were numbered is each job's first.
INSERT INTO changes (jid, seq, no, at, members)
    SELECT m.jid, 1, m.no, coalesce(j.closed, j.created), m.members
    FROM members m JOIN jobs j USING (jid) WHERE m.count > 0;

CREATE INDEX jobs_function ON jobs (function, jid);

CREATE TABLE plans (
    id      BLOB    NOT NULL PRIMARY KEY,   -- SHA-256 of what it would run
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    targets BLOB    NOT NULL,
    request BLOB    NOT NULL                -- the top master's
) STRICT;
CREATE INDEX plans_expires ON plans (expires);

CREATE TABLE schedules (
    name       TEXT    NOT NULL PRIMARY KEY,
    paused     INTEGER NOT NULL,
    passed     INTEGER NOT NULL,            -- times up to here are over for it
    last       INTEGER,                     -- when it last ran
    last_jid   INTEGER,
    last_error TEXT,
    definition BLOB    NOT NULL             -- the top master's
) STRICT;
