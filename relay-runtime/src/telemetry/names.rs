//! The one list of metric names, with what each means. A metric that is not here does not exist.

use metrics::Unit;

/// Gauge: links from children that are attached now.
pub const LINKS_UP: &str = "relay_links_up";
/// Gauge: minions below this process that are up now.
pub const MINIONS_UP: &str = "relay_minions_up";
/// Gauge: jobs that still have a target without a final outcome.
pub const JOBS_OPEN: &str = "relay_jobs_open";
/// Gauge: 1 while this top master owns the fabric, 0 while it is a standby. The sum over all top masters is 1, but for the
/// moments of a takeover.
pub const OWNER: &str = "relay_owner";
/// Counter, label `outcome`: targets that reached an outcome here.
pub const RETURNS_TOTAL: &str = "relay_returns_total";
/// Counter: return batches sent to a parent, or committed from a child.
pub const RETURN_BATCHES_TOTAL: &str = "relay_return_batches_total";
/// Counter: bytes written to parents, frames included.
pub const UPLINK_BYTES_TOTAL: &str = "relay_uplink_bytes_total";
/// Gauge: length of the spool's file in bytes.
pub const SPOOL_BYTES: &str = "relay_spool_bytes";
/// Counter, label `why`: connections turned away before a link stood.
pub const HANDSHAKES_REFUSED_TOTAL: &str = "relay_handshakes_refused_total";
/// Counter, label `why`: bundles of trust that were not taken.
pub const BUNDLES_REFUSED_TOTAL: &str = "relay_trust_bundles_refused_total";
/// Counter: unfinished writes cut off a spool or journal at start.
pub const TORN_RECORDS_TOTAL: &str = "relay_torn_records_total";
/// Counter: returns that came again and changed nothing.
pub const DUPLICATE_RETURNS_TOTAL: &str = "relay_duplicate_returns_total";
/// Counter: heartbeats that did not come in time.
pub const HEARTBEATS_MISSED_TOTAL: &str = "relay_heartbeats_missed_total";
/// Counter, label `why`: links that ended.
pub const LINK_DROPPED_TOTAL: &str = "relay_link_dropped_total";
/// Histogram: seconds a transaction of the store took to commit.
pub const STORE_COMMIT_SECONDS: &str = "relay_store_commit_seconds";
/// Counter: refusals that the audit log has only as a count (top master).
pub const AUDIT_SUPPRESSED_TOTAL: &str = "relay_audit_suppressed_total";
/// Counter, label `output` (`file`, `syslog`): writes of audit records that failed; each is tried again.
pub const AUDIT_OUTPUT_REFUSED_TOTAL: &str = "relay_audit_output_refused_total";
/// Gauge, label `output`: audit records that an output has not got yet.
pub const AUDIT_OUTPUT_BEHIND: &str = "relay_audit_output_behind";
/// Counter, label `why`: messages refused on a link that stands.
pub const FRAMES_REFUSED_TOTAL: &str = "relay_frames_refused_total";
/// Counter, label `kind`: forgeries that a minion or a syndic refused; at a top master, those that were reported to it (`dropped`: more
/// than it takes).
pub const SUSPICIONS_TOTAL: &str = "relay_suspicions_total";
/// Gauge: minions that are up and not attached where the topology places them (top master).
pub const MINIONS_MISPLACED: &str = "relay_minions_misplaced";
/// Counter, label `result`: tries of a minion to move to its primary (`left`, `not_reached`); at a top master `seen`:
/// minions that came up below another syndic than before.
pub const MOVES_TOTAL: &str = "relay_moves_total";
/// Gauge: resident memory of this process in bytes (the name Prometheus's own libraries use).
pub const PROCESS_RSS_BYTES: &str = "process_resident_memory_bytes";
/// Gauge: open file descriptors of this process (likewise).
pub const PROCESS_OPEN_FDS: &str = "process_open_fds";

pub(super) enum Shape {
    Counter,
    Gauge,
    Histogram,
}

/// The help texts of the scrape, one row per constant above.
pub(super) const DESCRIPTIONS: &[(&str, Shape, Unit, &str)] = &[
    (LINKS_UP, Shape::Gauge, Unit::Count, "Links from children attached now."),
    (MINIONS_UP, Shape::Gauge, Unit::Count, "Minions below this process that are up now."),
    (JOBS_OPEN, Shape::Gauge, Unit::Count, "Jobs with a target that has no final outcome yet."),
    (OWNER, Shape::Gauge, Unit::Count, "1 while this top master owns the fabric, 0 while it is a standby."),
    (RETURNS_TOTAL, Shape::Counter, Unit::Count, "Targets that reached an outcome here, by outcome."),
    (RETURN_BATCHES_TOTAL, Shape::Counter, Unit::Count, "Return batches sent upward or committed."),
    (UPLINK_BYTES_TOTAL, Shape::Counter, Unit::Bytes, "Bytes written to parents."),
    (SPOOL_BYTES, Shape::Gauge, Unit::Bytes, "Returns that the parent has not acknowledged yet."),
    (HANDSHAKES_REFUSED_TOTAL, Shape::Counter, Unit::Count, "Connections turned away, by reason."),
    (BUNDLES_REFUSED_TOTAL, Shape::Counter, Unit::Count, "Bundles of trust that were not taken, by reason."),
    (
        TORN_RECORDS_TOTAL,
        Shape::Counter,
        Unit::Count,
        "Unfinished writes cut off a spool or journal at start.",
    ),
    (DUPLICATE_RETURNS_TOTAL, Shape::Counter, Unit::Count, "Returns that came again and changed nothing."),
    (HEARTBEATS_MISSED_TOTAL, Shape::Counter, Unit::Count, "Heartbeats that did not come in time."),
    (LINK_DROPPED_TOTAL, Shape::Counter, Unit::Count, "Links that ended, by reason."),
    (STORE_COMMIT_SECONDS, Shape::Histogram, Unit::Seconds, "Time a store transaction took to commit."),
    (AUDIT_SUPPRESSED_TOTAL, Shape::Counter, Unit::Count, "Refusals that the audit log has only as a count."),
    (AUDIT_OUTPUT_REFUSED_TOTAL, Shape::Counter, Unit::Count, "Failed writes of audit records, by output."),
    (AUDIT_OUTPUT_BEHIND, Shape::Gauge, Unit::Count, "Audit records that an output has not got yet."),
    (FRAMES_REFUSED_TOTAL, Shape::Counter, Unit::Count, "Messages refused on a standing link, by reason."),
    (SUSPICIONS_TOTAL, Shape::Counter, Unit::Count, "Forgeries refused or reported, by kind."),
    (MINIONS_MISPLACED, Shape::Gauge, Unit::Count, "Minions that are up and not where they are placed."),
    (MOVES_TOTAL, Shape::Counter, Unit::Count, "Minions that changed their syndic, or tried to, by result."),
    (PROCESS_RSS_BYTES, Shape::Gauge, Unit::Bytes, "Resident memory of this process."),
    (PROCESS_OPEN_FDS, Shape::Gauge, Unit::Count, "Open file descriptors of this process."),
];

/// Hands the help texts to the recorder.
pub(super) fn describe() {
    for (name, shape, unit, text) in DESCRIPTIONS {
        match shape {
            Shape::Counter => metrics::describe_counter!(*name, *unit, *text),
            Shape::Gauge => metrics::describe_gauge!(*name, *unit, *text),
            Shape::Histogram => metrics::describe_histogram!(*name, *unit, *text),
        }
    }
}
