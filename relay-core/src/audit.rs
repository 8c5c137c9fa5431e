//! The audit log: every decision as a record, in an order that nobody can change unnoticed.
//!
//! A record is one line of canonical JSON ([`entry`]), made of what somebody reports ([`event`]). Records are the leaves of a
//! Merkle tree after RFC 6962 ([`tree`]), and each has the hash of the one before it, so that a change is found where it is.
//! A [`checkpoint`] is the signed statement of how long the log is and what is in it, in the text form of C2SP; [`verify`] goes
//! through a whole log. What writes the log and signs it is the top master's; nothing here knows a key's secret half.

pub mod checkpoint;
pub mod entry;
pub mod event;
pub mod line;
pub mod tree;
pub mod verify;

pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint, VerifierKey};
pub use entry::{Entry, EntryError};
pub use event::{Event, Kind};
pub use line::{Line, checkpoint_line};
pub use tree::{Hash, Log};
