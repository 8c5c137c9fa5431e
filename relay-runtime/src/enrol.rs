//! Enrolment on the wire: how a newcomer asks to join and a member renews, and how that travels up the tree.
//!
//! The service `Enrol` is on the port where links are accepted. A newcomer has no certificate, so this service alone is open to
//! those who show none ([`gate`]); whom it speaks to it knows by the fingerprint of the root ([`pinned`]). A syndic passes
//! requests on to its parent ([`passing`]); only the owner answers. What the rules are is `relay_core::enrol`'s, what is decided
//! is the top master's.
//!
//! In reading order: [`proof`] (what is signed), [`gate`] (who is let in to ask), [`parents`] (whom one asks), [`passing`] (a
//! syndic's part), [`pinned`], [`files`], [`newcomer`] (joining), [`renewing`].

pub mod files;
pub mod gate;
pub mod newcomer;
pub mod parents;
pub mod passing;
pub mod pinned;
pub mod proof;
pub mod renewing;

use std::time::Duration;

/// The version of the requests that this build makes and answers.
pub const FORMAT: u32 = 1;
/// Largest request and reply, in bytes: a CSR has half a KiB, a chain of three certificates 2 KiB, the bundle of a large fabric
/// (its deny list) some 500 KiB.
pub const MAX_REQUEST: usize = 64 << 10;
/// See [`MAX_REQUEST`].
pub const MAX_REPLY: usize = 2 << 20;
/// How long one call may take, with all tiers that it goes through.
pub const CALL_TIME: Duration = Duration::from_secs(15);
