//! The wire: generated messages, and their conversions to and from the core's own types.
//!
//! Nothing here decides anything. What comes from a wire or a file is checked for form here ([`WireError`]) and becomes
//! a core type, or is refused.

pub mod batch;
pub mod convert;
pub mod envelope;
pub mod error;
pub mod records;

pub use error::{Code, WireError};

/// The generated code, in the shape of the packages (generated paths refer to each other by it).
#[allow(missing_docs, clippy::all, reason = "generated; documented in the .proto files")]
mod relay {
    pub mod link {
        pub mod v1 {
            tonic::include_proto!("relay.link.v1");
        }
    }
    pub mod spool {
        pub mod v1 {
            tonic::include_proto!("relay.spool.v1");
        }
    }
    pub mod operator {
        pub mod v1 {
            tonic::include_proto!("relay.operator.v1");
        }
    }
    pub mod trust {
        pub mod v1 {
            tonic::include_proto!("relay.trust.v1");
        }
    }
    pub mod access {
        pub mod v1 {
            tonic::include_proto!("relay.access.v1");
        }
    }
    pub mod audit {
        pub mod v1 {
            tonic::include_proto!("relay.audit.v1");
        }
    }
}

pub use relay::{
    access::v1 as access, audit::v1 as audit, link::v1 as link, operator::v1 as operator, spool::v1 as spool,
    trust::v1 as trust,
};

/// The protocol versions this build speaks, oldest and newest. A peer without one in common is refused by name; a link
/// speaks the newest that both ends know.
///
/// 2 adds `Placed`.
pub const PROTOCOL: std::ops::RangeInclusive<u32> = 1..=2;
/// The first version that knows `Placed`. An older child is not sent it: it would drop the link over a message without
/// content.
pub const PLACED_SINCE: u32 = 2;
