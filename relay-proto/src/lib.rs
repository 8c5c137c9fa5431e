//! The wire: generated messages, and their conversions to and from the core's own types.
//!
//! Nothing here decides anything. What comes from a wire or a file is checked for form here ([`WireError`]) and becomes
//! a core type, or is refused.

pub mod arguments;
pub mod batch;
pub mod cancel;
pub mod convert;
pub mod envelope;
pub mod error;
mod hidden;
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

/// The path of every call of every service, from the descriptors: what can be asked of this software at all. Sorted.
pub const CALLS: &[&str] = include!(concat!(env!("OUT_DIR"), "/calls.rs"));

/// The protocol versions this build speaks, oldest and newest. A peer without one in common is refused by name; a link
/// speaks the newest that both ends know.
///
/// 2 adds `Placed`. 3 signs jobs, proves their targets, and adds `Trust`: an older minion refuses every job (`version`), and so
/// does a newer one below an older syndic, which cannot pass on what proves that it is a target. So an upgrade goes from the top
/// down, and what is not upgraded yet runs nothing meanwhile, stays attached, and is told by name. 4 adds `Suspicions`, and
/// signs cancels: a minion that knows them heeds no other. Below an older syndic, which does not pass the signature on, it runs jobs
/// and none of them can be stopped. 5 adds `ReturnGroup.same_body`: a syndic says an equal body once per connection.
pub const PROTOCOL: std::ops::RangeInclusive<u32> = 1..=5;
/// The first version that knows `ReturnGroup.same_body`. An older parent is sent bodies in full: it would take the answer for an empty
/// one.
pub const BODIES_SINCE: u32 = 5;
/// The first version in which jobs are signed and proven.
pub const SIGNED_SINCE: u32 = 3;
/// The first version in which cancels are signed.
pub const CANCELS_SIGNED_SINCE: u32 = 4;
/// The first version that knows `Suspicions`. An older parent is not sent them.
pub const SUSPICIONS_SINCE: u32 = 4;
/// The first version that knows `Placed`. An older child is not sent it: it would drop the link over a message without
/// content.
pub const PLACED_SINCE: u32 = 2;
