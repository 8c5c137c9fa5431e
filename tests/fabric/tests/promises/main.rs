//! The promises of the fabric on real processes: one binary, so that all tests share the machine's cores at once.
//!
//! Each file is one kind of trouble. Every test ends with the invariants, where there is a job to hold against them.

mod access;
mod answers;
mod audit;
mod batches;
mod cancelling;
mod certificates;
mod configuration;
mod console;
mod damaged_files;
mod deeper_trees;
mod enrolment;
mod follow;
mod full_disks;
mod garbage;
mod job_control;
mod local_policy;
mod login;
mod minion_faults;
mod minion_kills;
mod output;
mod partitions;
mod placement;
mod plans;
mod postgres;
mod salt_lines;
mod schedules;
mod syndic_kills;
mod syndic_stops;
mod takeover;
mod top_kills;
mod top_stops;
mod topology;
mod trust;
mod watching;
