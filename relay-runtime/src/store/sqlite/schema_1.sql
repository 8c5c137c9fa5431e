-- Schema 1. Large columns stand last: SQLite then reads the small ones without them.
-- 64 bit numbers without sign are stored as the signed number with the same bits.

CREATE TABLE owner (
    one   INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL                  -- of the owner that began last
) STRICT;
INSERT INTO owner (one, epoch) VALUES (1, 0);

CREATE TABLE minions (
    no              INTEGER NOT NULL PRIMARY KEY,
    id              TEXT    NOT NULL UNIQUE,
    region          TEXT    NOT NULL,
    syndic          TEXT    NOT NULL,
    incarnation     INTEGER NOT NULL,
    incarnation_seq INTEGER NOT NULL,
    up              INTEGER NOT NULL,
    since           INTEGER NOT NULL,       -- microseconds since 1970 UTC, as every moment here
    epoch           INTEGER NOT NULL,       -- who wrote it, with
    ticket          INTEGER NOT NULL,       -- which commit: an older one never replaces it
    grains          TEXT    NOT NULL
) STRICT;

CREATE TABLE jobs (
    jid               INTEGER NOT NULL PRIMARY KEY, -- microseconds since 1970 UTC
    epoch             INTEGER NOT NULL,     -- of its owner
    created           INTEGER NOT NULL,
    closed            INTEGER,              -- when every target first had an outcome
    unresolved        INTEGER NOT NULL,     -- closed, and some of them are unknown
    cancelled         INTEGER NOT NULL,
    dropped           INTEGER NOT NULL,     -- is being pruned: gone for every reader
    counts            TEXT,                 -- at the close, {"ok":4998,"failed":2}
    target_count      INTEGER NOT NULL,
    inventory_version INTEGER NOT NULL,
    delivery_limit    INTEGER NOT NULL,     -- milliseconds
    request_id        BLOB    NOT NULL,
    request_digest    BLOB    NOT NULL,
    digest            BLOB    NOT NULL,     -- SHA-256 of the envelope
    function          TEXT    NOT NULL,
    caller            TEXT    NOT NULL,
    args              BLOB,                 -- for lists, where short; whole in the envelope
    target            TEXT    NOT NULL,
    targets           BLOB    NOT NULL,     -- a roaring bitmap of minions.no, as every set here
    envelope          BLOB    NOT NULL      -- the sealed job
) STRICT;
CREATE INDEX jobs_open       ON jobs (jid) WHERE closed IS NULL;
CREATE INDEX jobs_unresolved ON jobs (jid) WHERE unresolved = 1;
CREATE INDEX jobs_closed     ON jobs (closed) WHERE closed IS NOT NULL;
CREATE INDEX jobs_dropped    ON jobs (jid) WHERE dropped = 1;

-- Outlives its job, so that a retry never starts the same thing again.
CREATE TABLE requests (
    id           BLOB    NOT NULL PRIMARY KEY,
    digest       BLOB    NOT NULL,
    jid          INTEGER NOT NULL UNIQUE,
    target_count INTEGER NOT NULL,
    created      INTEGER NOT NULL
) STRICT;
CREATE INDEX requests_created ON requests (created);

-- Who was sent a job, by the path it took. Written before the first byte leaves.
CREATE TABLE sends (
    jid     INTEGER NOT NULL REFERENCES jobs (jid),
    via     INTEGER NOT NULL,
    members BLOB    NOT NULL,
    PRIMARY KEY (jid, via)
) STRICT, WITHOUT ROWID;

-- Equal answers are one row; written once.
CREATE TABLE answers (
    jid       INTEGER NOT NULL REFERENCES jobs (jid),
    no        INTEGER NOT NULL,
    outcome   TEXT    NOT NULL,
    reason    TEXT    NOT NULL,
    retcode   INTEGER NOT NULL,
    by_tier   INTEGER NOT NULL,
    digest    BLOB    NOT NULL,             -- SHA-256 over body and truncated
    truncated BLOB,
    body_size INTEGER NOT NULL,
    body      BLOB    NOT NULL,
    PRIMARY KEY (jid, no)
) STRICT;

-- Who gave an answer. Written anew as they come, so apart from the bodies.
CREATE TABLE members (
    jid     INTEGER NOT NULL,
    no      INTEGER NOT NULL,
    outcome TEXT    NOT NULL,
    count   INTEGER NOT NULL,
    members BLOB    NOT NULL,
    PRIMARY KEY (jid, no),
    FOREIGN KEY (jid, no) REFERENCES answers (jid, no)
) STRICT, WITHOUT ROWID;
