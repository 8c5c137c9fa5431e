//! The syndic: a top master to the minions below it, a minion to the top masters above it.
//!
//! In reading order: [`serve`] puts the process together, [`daemon`] is its one loop around the core's relay, [`spool`] what that
//! loop writes to.

pub mod daemon;
pub mod enrol;
pub mod serve;
pub mod spool;
