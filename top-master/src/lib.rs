//! The top master: serves operators, owns jobs, fans them out to the syndics that attach to it.
//!
//! In reading order: [`serve`] puts the process together, [`owning`] keeps it in the registry and learns when it owns the
//! fabric ([`register`] is what it says there), [`term`] is what an owner runs, [`daemon`] its one loop around the core's
//! owner, [`commits`] carries its writes to the store, [`operator`] and [`watch`] answer operators, [`directory`] is what
//! they need to name minions, [`schedule`] runs jobs at their times.

pub mod commits;
pub mod daemon;
pub mod directory;
pub mod operator;
pub mod owning;
pub mod register;
pub mod schedule;
pub mod serve;
pub mod term;
pub mod topology;
pub mod watch;
