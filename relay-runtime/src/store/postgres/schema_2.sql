-- Schema 2: the history of the topology, as in SQLite's schema 3.

CREATE TABLE topologies (
    number           bigint NOT NULL PRIMARY KEY, -- rises by one
    state            text   NOT NULL,       -- staging, active, superseded, rolled_back
    planned_on       bigint NOT NULL,       -- the number that was active when it was planned; 0: none
    digest           text   NOT NULL,       -- SHA-256 of what it means
    caller           text   NOT NULL,
    applied          bigint NOT NULL,
    commit_id        text   NOT NULL,
    author           text   NOT NULL,
    message          text   NOT NULL,
    rollback_of      bigint NOT NULL,
    max_lost_percent bigint NOT NULL,
    settle_ms        bigint NOT NULL,
    regions          text   NOT NULL,       -- those that have it, ["aws","azure"]
    why              text   NOT NULL,       -- it was rolled back
    watched          bytea  NOT NULL,       -- minions that were up when it began
    text             text   NOT NULL        -- the file as it was written
);
-- At most one that is staging, and one that is active.
CREATE UNIQUE INDEX topologies_current ON topologies (state) WHERE state IN ('staging', 'active');
