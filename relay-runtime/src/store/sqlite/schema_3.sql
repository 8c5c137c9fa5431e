-- Schema 3: the history of the topology.

CREATE TABLE topologies (
    number           INTEGER NOT NULL PRIMARY KEY, -- rises by one
    state            TEXT    NOT NULL,      -- staging, active, superseded, rolled_back
    planned_on       INTEGER NOT NULL,      -- the number that was active when it was planned; 0: none
    digest           TEXT    NOT NULL,      -- SHA-256 of what it means
    caller           TEXT    NOT NULL,
    applied          INTEGER NOT NULL,
    commit_id        TEXT    NOT NULL,
    author           TEXT    NOT NULL,
    message          TEXT    NOT NULL,
    rollback_of      INTEGER NOT NULL,
    max_lost_percent INTEGER NOT NULL,
    settle_ms        INTEGER NOT NULL,
    regions          TEXT    NOT NULL,      -- those that have it, ["aws","azure"]
    why              TEXT    NOT NULL,      -- it was rolled back
    watched          BLOB    NOT NULL,      -- minions that were up when it began
    text             TEXT    NOT NULL       -- the file as it was written
) STRICT;
-- At most one that is staging, and one that is active.
CREATE UNIQUE INDEX topologies_current ON topologies (state) WHERE state IN ('staging', 'active');
