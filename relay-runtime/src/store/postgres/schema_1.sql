-- Schema 1, with the tables of SQLite's schema 2. Sets, digests and bodies are bytea; a 64 bit number without sign stands
-- as the signed number with the same bits. In texts that come from elsewhere, a zero byte stands as U+0001 '0', and U+0001
-- itself as U+0001 '1': PostgreSQL has no zero byte.

CREATE TABLE owner (
    one   boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    epoch bigint  NOT NULL                  -- of the owner that began last
);
INSERT INTO owner (epoch) VALUES (0);

-- How far each process that writes here came: whoever lost the connection in a commit looks here whether it was done.
CREATE TABLE marks (
    process bigint      NOT NULL PRIMARY KEY,
    number  bigint      NOT NULL,           -- of its last transaction
    seen    timestamptz NOT NULL DEFAULT now() -- when it last wrote
);

CREATE TABLE minions (
    no              bigint  NOT NULL PRIMARY KEY,
    id              text    NOT NULL COLLATE "C" UNIQUE,
    region          text    NOT NULL,
    syndic          text    NOT NULL,
    incarnation     bigint  NOT NULL,
    incarnation_seq bigint  NOT NULL,
    up              boolean NOT NULL,
    since           bigint  NOT NULL,       -- microseconds since 1970 UTC, as every moment here
    epoch           bigint  NOT NULL,       -- who wrote it, with
    ticket          bigint  NOT NULL,       -- which commit: an older one never replaces it
    grains          text    NOT NULL
);

CREATE TABLE jobs (
    jid               bigint  NOT NULL PRIMARY KEY, -- microseconds since 1970 UTC
    epoch             bigint  NOT NULL,     -- of its owner
    created           bigint  NOT NULL,
    closed            bigint,               -- when every target first had an outcome
    unresolved        boolean NOT NULL DEFAULT false, -- closed, and some of them are unknown
    cancelled         boolean NOT NULL DEFAULT false,
    dropped           boolean NOT NULL DEFAULT false, -- is being pruned: gone for every reader
    counts            text,                 -- at the close, {"ok":4998,"failed":2}
    target_count      bigint  NOT NULL,
    inventory_version bigint  NOT NULL,
    delivery_limit    bigint  NOT NULL,     -- milliseconds
    request_id        bytea   NOT NULL,
    request_digest    bytea   NOT NULL,
    digest            bytea   NOT NULL,     -- SHA-256 of the envelope
    function          text    NOT NULL COLLATE "C",
    caller            text    NOT NULL,
    args              bytea,                -- for lists, where short; whole in the envelope
    target            text    NOT NULL,
    targets           bytea   NOT NULL,     -- a roaring bitmap of minions.no, as every set here
    envelope          bytea   NOT NULL      -- the sealed job
);
CREATE INDEX jobs_open       ON jobs (jid) WHERE closed IS NULL;
CREATE INDEX jobs_unresolved ON jobs (jid) WHERE unresolved;
CREATE INDEX jobs_closed     ON jobs (closed) WHERE closed IS NOT NULL;
CREATE INDEX jobs_dropped    ON jobs (jid) WHERE dropped;
-- An index takes no long values, and nobody promised that a function's name is short.
CREATE INDEX jobs_function   ON jobs (left(function, 100), jid);

-- Outlives its job, so that a retry never starts the same thing again.
CREATE TABLE requests (
    id           bytea  NOT NULL PRIMARY KEY,
    digest       bytea  NOT NULL,
    jid          bigint NOT NULL UNIQUE,
    target_count bigint NOT NULL,
    created      bigint NOT NULL
);
CREATE INDEX requests_created ON requests (created);

-- How many at once. No row: all at once.
CREATE TABLE batches (
    jid      bigint NOT NULL PRIMARY KEY REFERENCES jobs (jid),
    approved bigint NOT NULL,               -- stages of the canary
    rule     bytea  NOT NULL                -- relay.operator.v1.Batch
);

-- Who was sent a job, by the path it took. Written before the first byte leaves.
CREATE TABLE sends (
    jid     bigint NOT NULL REFERENCES jobs (jid),
    via     bigint NOT NULL,
    members bytea  NOT NULL,
    PRIMARY KEY (jid, via)
);

-- Equal answers are one row; written once.
CREATE TABLE answers (
    jid       bigint  NOT NULL REFERENCES jobs (jid),
    no        bigint  NOT NULL,
    outcome   text    NOT NULL,
    reason    text    NOT NULL,
    retcode   integer NOT NULL,
    by_tier   boolean NOT NULL,
    digest    bytea   NOT NULL,             -- SHA-256 over body and truncated
    truncated bytea,
    body_size bigint  NOT NULL,
    body      bytea   NOT NULL,
    PRIMARY KEY (jid, no)
);

-- Who gave an answer. Written anew as they come, so apart from the bodies.
CREATE TABLE members (
    jid     bigint NOT NULL,
    no      bigint NOT NULL,
    outcome text   NOT NULL,
    count   bigint NOT NULL,
    members bytea  NOT NULL,
    PRIMARY KEY (jid, no),
    FOREIGN KEY (jid, no) REFERENCES answers (jid, no)
);

-- Who newly gave which answer, and when; never changed. A job's last number is the last one here, so a change in which
-- members only left their answer has its rows, too, with nobody in them.
CREATE TABLE changes (
    jid     bigint NOT NULL REFERENCES jobs (jid),
    seq     bigint NOT NULL,                -- rises by one within the job
    no      bigint NOT NULL,                -- of the answer
    at      bigint NOT NULL,
    members bytea  NOT NULL,
    PRIMARY KEY (jid, seq, no)
);

CREATE TABLE plans (
    id      bytea  NOT NULL PRIMARY KEY,    -- SHA-256 of what it would run
    created bigint NOT NULL,
    expires bigint NOT NULL,
    targets bytea  NOT NULL,
    request bytea  NOT NULL                 -- the top master's
);
CREATE INDEX plans_expires ON plans (expires);

CREATE TABLE schedules (
    name       text    NOT NULL COLLATE "C" PRIMARY KEY,
    paused     boolean NOT NULL,
    passed     bigint  NOT NULL,            -- times up to here are over for it
    last       bigint,                      -- when it last ran
    last_jid   bigint,
    last_error text,
    definition bytea   NOT NULL             -- the top master's
);
