//! Links: one long-lived bidirectional stream of messages between a child and its parent, over mutual TLS: a gRPC stream, or, between a
//! minion and its syndic, frames of our own.
//!
//! Owns sockets, TLS, HTTP/2, framing, the two lanes of each direction, admission and reconnecting. What the messages
//! mean is the core's. Both ends report to one bounded channel of [`LinkEvent`]s; sending never waits: a peer too slow
//! for its bounds is cut off, and brought up to date when it comes back.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use relay_core::{identity::Identity, ids::Incarnation, message::LinkId};

pub mod accept;
mod attach;
pub mod bodies;
pub mod bounds;
pub mod codec;
pub mod dial;
mod ending;
pub mod frame;
pub(crate) mod framed;
pub mod lanes;
mod pace;
pub mod read;
pub mod serving;
pub mod strangers;
pub mod table;
pub mod trust;
mod unread;

pub use attach::{Admit, LinkService};
pub use dial::{Channel, DialError, channel};
pub use lanes::{Lane, LinkTx};
pub use serving::{Server, Serving};

/// Events waiting for a role's loop: one per message. Beyond it readers wait, and TCP holds the peers back.
pub const EVENT_QUEUE: usize = 4_096;

/// What a child said of itself when it attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerHello {
    /// Its journal's or spool's incarnation.
    pub incarnation: Incarnation,
    /// Its software version, for people.
    pub software: String,
    /// The protocol version of the link: the newest that both ends speak.
    pub protocol: u32,
}

impl PeerHello {
    /// Whether it understands [`relay_core::message::Up::Suspicions`].
    pub fn hears_suspicions(&self) -> bool {
        self.protocol >= relay_proto::SUSPICIONS_SINCE
    }

    /// Whether it knows numbers in the place of bodies ([`bodies`]).
    pub fn knows_bodies(&self) -> bool {
        self.protocol >= relay_proto::BODIES_SINCE
    }
}

/// What happens on links. `M` is what is received: `Up` at a parent, `Down` at a child.
#[derive(Debug)]
pub enum LinkEvent<M> {
    /// A link is up.
    Up {
        /// The link.
        link: LinkId,
        /// Who the certificate says that the peer is.
        peer: Identity,
        /// What the peer said of itself (a parent says nothing but its version).
        hello: PeerHello,
        /// The way to send to it.
        tx: LinkTx,
    },
    /// A message arrived.
    Message {
        /// On this link.
        link: LinkId,
        /// The message.
        message: M,
        /// Its size on the wire: less than what is in it, where bodies were named by number.
        bytes: usize,
    },
    /// A link is gone. Follows every `Up` exactly once.
    Down {
        /// The link.
        link: LinkId,
        /// Why, for the log.
        why: String,
    },
}

impl<M> LinkEvent<M> {
    /// The link that it is about.
    pub fn link(&self) -> LinkId {
        match self {
            LinkEvent::Up { link, .. } | LinkEvent::Message { link, .. } | LinkEvent::Down { link, .. } => {
                *link
            }
        }
    }
}

/// Numbers the links of a process.
#[derive(Debug, Clone, Default)]
pub struct LinkIds(Arc<AtomicU64>);

impl LinkIds {
    /// The next number.
    pub fn next(&self) -> LinkId {
        LinkId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Bounds of one side's links.
#[derive(Debug, Clone, Copy)]
pub struct LinkLimits {
    /// Largest reassembled message, in bytes.
    pub max_message: usize,
    /// Bytes waiting to be sent on the bulk lane before the peer is cut off.
    pub max_queued: usize,
    /// HTTP/2 receive window of the stream, in bytes. Credit only: it costs nothing while idle.
    pub window: u32,
    /// Whether a parent remembers the bodies that come ([`bodies`]), which is memory that the peer fills: not for minions.
    pub remembers: bool,
}

impl LinkLimits {
    /// A link to or from a syndic: rosters of thousands of minions, folded returns.
    pub const SYNDIC: LinkLimits =
        LinkLimits { max_message: 64 << 20, max_queued: 128 << 20, window: 4 << 20, remembers: true };
    /// A link to or from a minion: one job or one return at a time, 1 MiB each and its framing.
    pub const MINION: LinkLimits =
        LinkLimits { max_message: 2 << 20, max_queued: 8 << 20, window: 128 << 10, remembers: false };
}

/// What this build calls itself on a link.
pub const SOFTWARE: &str = concat!("relay/", env!("CARGO_PKG_VERSION"));
