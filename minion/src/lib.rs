//! The minion: verifies, journals, executes, returns. It dials its parent and listens on no port.
//!
//! In reading order: [`serve`] puts a process together, [`session`] is one minion's loop around the core's seat,
//! [`journal`], [`parents`] and
//! [`execution`] carry out what the seat asks for, [`functions`], [`grains`] and [`runner`] do the work. [`local`] does it without a fabric.

pub mod enrol;
pub mod execution;
mod footprint;
pub mod functions;
pub mod grains;
pub mod journal;
pub mod local;
pub mod parents;
pub mod policy;
pub mod runner;
pub mod serve;
pub mod session;
pub mod trust;
pub mod verify;
