//! The rules of the relay fabric: everything that decides, and nothing that touches the world.
//!
//! There is no IO here, no runtime, no clock and no randomness: time comes in as an argument ([`time::Millis`]),
//! random numbers come in as values, effects go out as values. The roles (top master, syndic, minion) and the
//! simulator drive the same code; see `docs/architecture.md`.
//!
//! In reading order:
//!
//! * the words: [`ids`], [`identity`], [`outcome`], [`message`], [`job`], [`time`]
//! * what is below a place in the tree: [`roster`], [`inventory`], [`target`], [`compact`]
//! * what happens to a job: [`batch`], [`ledger`], [`window`], [`fold`], [`tier`]
//! * the three roles: [`owner`] (top master), [`relay`] (syndic), [`seat`] (minion)
//! * jobs at times: [`schedule`]
//! * who becomes a member, and who stays one: [`enrol`]
//! * which of several top masters owns the fabric: [`tenure`]
//! * who may do what: [`access`]
//! * who was found out: [`suspicion`]
//! * what was decided, for ever: [`audit`]
//! * [`topology`], [`placement`] and who is told of it ([`placed`]), [`backoff`], and the [`invariants`] every test checks

pub mod access;
pub mod allowance;
pub mod audit;
pub mod backoff;
pub mod batch;
pub mod compact;
pub mod document;
pub mod enrol;
pub mod fold;
pub mod identity;
pub mod ids;
pub mod invariants;
pub mod inventory;
pub mod job;
pub mod leaves;
pub mod ledger;
pub mod members;
pub mod merkle;
pub mod message;
pub mod outcome;
pub mod owner;
pub mod placed;
pub mod placement;
pub mod relay;
pub mod roster;
pub mod schedule;
pub mod seat;
pub mod signing;
pub mod suspicion;
pub mod target;
pub mod tenure;
#[cfg(test)]
pub(crate) mod testing;
pub mod tier;
pub mod time;
pub mod topology;
pub mod warrant;
pub mod window;

/// A set of minions, by number. Which numbering (inventory or a link's roster) is said where it is used.
pub type Members = roaring::RoaringBitmap;
