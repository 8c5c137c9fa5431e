//! The links of one process, by number: sending to them, and cutting those that do not keep up.

use std::collections::HashMap;

use relay_core::{
    identity::{Identity, Role},
    ids::Incarnation,
    message::{Down, LinkId, Up},
    tier::Sending,
};
use relay_proto::{PLACED_SINCE, SIGNED_SINCE, convert, link};
use tracing::warn;

use super::{
    Lane, LinkTx, PeerHello,
    bodies::Said,
    frame::{Encoded, Frame},
};
use crate::telemetry;

/// One link.
#[derive(Debug)]
pub struct Entry {
    /// Who is at the other end.
    pub peer: Identity,
    /// What it said of itself.
    pub hello: PeerHello,
    tx: LinkTx,
    /// The bodies that it was sent, if it is told numbers in their place.
    said: Option<Box<Said>>,
}

/// All links of one direction.
#[derive(Debug, Default)]
pub struct LinkTable {
    links: HashMap<LinkId, Entry>,
    shortens: bool,
}

impl LinkTable {
    /// For a syndic's links to its parents: an equal body is sent once per link ([`super::bodies`]) to a parent that knows that.
    /// All returns on these links have to go through [`LinkTable::send_up`].
    pub fn shortening() -> LinkTable {
        LinkTable { shortens: true, ..LinkTable::default() }
    }

    /// A link came up.
    pub fn insert(&mut self, link: LinkId, peer: Identity, hello: PeerHello, tx: LinkTx) {
        let said = (self.shortens && hello.knows_bodies()).then(Box::default);
        self.links.insert(link, Entry { peer, hello, tx, said });
    }

    /// A link is gone.
    pub fn remove(&mut self, link: LinkId) -> Option<Entry> {
        self.links.remove(&link)
    }

    /// The other end of a link.
    pub fn get(&self, link: LinkId) -> Option<&Entry> {
        self.links.get(&link)
    }

    /// All links.
    pub fn iter(&self) -> impl Iterator<Item = (LinkId, &Entry)> {
        self.links.iter().map(|(link, entry)| (*link, entry))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Sends to children: encoded once, whatever their number, but for what proves to a minion that it is meant. One that speaks
    /// too old a protocol for it is left out.
    pub fn send(&self, sending: &Sending) {
        let encoded = Encoded::new(&convert::down_out(&sending.down));
        let dispatch = matches!(sending.down, Down::Dispatch(_));
        // Trust in the lane of jobs and cancels: it comes before those that are signed with a key that it names. And a cancel that
        // overtook its job would say nothing to a syndic.
        let bulk = dispatch || matches!(sending.down, Down::Placed(_) | Down::Trust(_) | Down::Cancel { .. });
        let lane = if bulk { Lane::Bulk } else { Lane::Control };
        for (at, link) in sending.links.iter().enumerate() {
            let Some(entry) = self.links.get(link).filter(|entry| entry.knows(&sending.down)) else {
                continue;
            };
            if dispatch && entry.peer.role() == Role::Minion {
                entry.send(lane, encoded.frames_for(entry.hello.incarnation, sending.proofs.get(at)));
            } else {
                entry.send(lane, encoded.frames());
            }
        }
    }

    /// Sends to a parent. Returns the bytes that go: none to one that speaks too old a protocol for it.
    pub fn send_up(&mut self, link: LinkId, up: &Up) -> usize {
        let Some(entry) = self.links.get_mut(&link) else { return 0 };
        if matches!(up, Up::Suspicions(_)) && !entry.hello.hears_suspicions() {
            return 0;
        }
        let mut wire = convert::up_out(up);
        if let (Some(link::up::Message::Returns(returns)), Some(said)) = (&mut wire.message, &mut entry.said)
        {
            // What is encoded is sent, in this order, or the link ends.
            said.shorten(returns);
        }
        let encoded = Encoded::new(&wire);
        let lane = if matches!(up, Up::Heartbeat(_)) { Lane::Control } else { Lane::Bulk };
        entry.send(lane, encoded.frames());
        encoded.bytes()
    }

    /// Drops a link; its end is reported like any other.
    pub fn hang_up(&self, link: LinkId, why: &'static str) {
        if let Some(entry) = self.links.get(&link) {
            warn!(peer = %entry.peer, why, "hanging up");
            metrics::counter!(telemetry::LINK_DROPPED_TOTAL, "why" => why).increment(1);
            if why == "silent" {
                metrics::counter!(telemetry::HEARTBEATS_MISSED_TOTAL).increment(1);
            }
            entry.tx.cut();
        }
    }
}

impl Entry {
    /// Whether the protocol of the link has this message.
    fn knows(&self, down: &Down) -> bool {
        let since = match down {
            Down::Placed(_) => PLACED_SINCE,
            Down::Trust(_) => SIGNED_SINCE,
            _ => return true,
        };
        self.hello.protocol >= since
    }

    fn send(&self, lane: Lane, frames: impl IntoIterator<Item = Frame>) {
        if let Err(overflow) = self.tx.send(lane, frames) {
            warn!(peer = %self.peer, %overflow, "hanging up");
            metrics::counter!(telemetry::LINK_DROPPED_TOTAL, "why" => "overflow").increment(1);
            self.tx.cut();
        }
    }
}

/// The incarnation of a peer, for logs.
impl std::fmt::Display for PeerHello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Incarnation(incarnation) = self.incarnation;
        write!(f, "{} {incarnation:016x}", self.software)
    }
}
