//! A checked topology, written out again: as a document in one fixed form, as the firewall rules it needs, as a picture.
//!
//! The fixed form says everything that a reader of the file would take by default, in one order. Two files that mean the
//! same have the same one, so it is what revisions are compared by.

mod document;
mod firewall;
mod graph;
#[cfg(test)]
mod tests;

pub use document::{Fields, Part};
pub use firewall::{Direction, Peer, Rule};
pub use graph::Picture;

#[cfg(test)]
pub(crate) use document::node;
pub(super) use document::{parts, topology};
