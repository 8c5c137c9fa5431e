//! What a process believes: which roots count, which keys sign jobs, which certificates count no more.
//!
//! It is one file, the *bundle* (`relay.trust.v1.Bundle`): anchors signed by roots, keys signed by a key that the anchors name.
//! [`bundle`] makes and reads it, [`Belief`] is what follows from one and which next one may replace it (the rules are those of
//! TUF: no older version, nothing that has expired, a new root only with the word of an old one), [`Trusted`] is what all parts of
//! a process share, [`signing`] the keys of a top master. Who holds the secret halves is [`crate::authority`]'s; how a bundle
//! travels, the roles'.

pub mod belief;
pub mod bundle;
pub mod enrolment;
mod kept;
pub mod key;
mod shared;
pub mod signing;
#[cfg(test)]
pub(crate) mod testing;

pub use belief::{Belief, Refused};
pub use bundle::{Anchors, Denied, Flaw, JobKey, Keys};
pub use enrolment::Enrolment;
pub use kept::{Ground, Keeping, TrustFileError};
pub use key::{KeyId, Pin};
pub use shared::Trusted;
pub use signing::{SigningError, SigningKeys};

/// Seconds since 1970 UTC: certificates and bundles count in these.
pub type Seconds = u64;

/// The seconds of now, by this machine's clock.
pub fn now() -> Seconds {
    crate::clock::wall() / 1_000_000
}
