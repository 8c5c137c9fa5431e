//! The top master: serves operators, owns jobs, fans them out to the syndics that attach to it.
//!
//! In reading order: [`serve`] puts the process together, [`owning`] keeps it in the registry and learns when it owns the
//! fabric ([`register`] is what it says there), [`term`] is what an owner runs, [`daemon`] its one loop around the core's
//! owner, [`commits`] carries its writes to the store, [`front`] lets operators in ([`login`] is how they log in), [`access`] says what they may, [`operator`] and [`watch`] answer them, [`directory`] is what
//! they need to name minions, [`schedule`] runs jobs at their times.

pub mod access;
pub mod audit;
pub mod commits;
pub mod daemon;
pub mod directory;
pub mod enrol;
pub mod front;
pub mod login;
pub mod operator;
pub mod owning;
pub mod register;
pub mod schedule;
pub mod serve;
pub mod streams;
pub mod term;
pub mod topology;
pub mod trust;
pub mod watch;
