//! The wire: generated messages, and their conversions to and from the core's own types.
//!
//! Nothing here decides anything. What comes from a wire or a file is checked for form here ([`WireError`]) and becomes
//! a core type, or is refused.

pub mod convert;
pub mod envelope;
pub mod error;
pub mod records;

pub use error::{Code, WireError};

/// Generated from `proto/link.proto`.
#[allow(missing_docs, clippy::all, reason = "generated; documented in the .proto files")]
pub mod link {
    tonic::include_proto!("relay.link.v1");
}

/// Generated from `proto/spool.proto`.
#[allow(missing_docs, clippy::all, reason = "generated; documented in the .proto files")]
pub mod spool {
    tonic::include_proto!("relay.spool.v1");
}

/// Generated from `proto/operator.proto`.
#[allow(missing_docs, clippy::all, reason = "generated; documented in the .proto files")]
pub mod operator {
    tonic::include_proto!("relay.operator.v1");
}

/// The protocol versions this build speaks, oldest and newest. A peer without one in common is refused by name.
pub const PROTOCOL: std::ops::RangeInclusive<u32> = 1..=1;
