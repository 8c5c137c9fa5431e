//! What one peer may have of a port: connections, and what HTTP/2 lets it do on each.
//!
//! Owns the figures (docs/security.md, Limits) that are the same on every port. A port's own ones (windows, streams) are its
//! service's; those of connections without a certificate are [`super::strangers`]'s. None is configurable: no fabric that
//! works comes near them, and a peer that does is not one of ours.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper::server::conn::http2;
use hyper_util::rt::TokioExecutor;
use relay_core::identity::{Identity, Role};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Streams that a peer has opened and reset before they were looked at. More is a flood (CVE-2023-44487).
pub const MAX_PENDING_RESETS: usize = 20;
/// Streams that were reset here for the peer's errors, in one connection. More is a flood (RUSTSEC-2024-0003).
pub const MAX_LOCAL_RESETS: usize = 64;
/// Headers of one call, in bytes, as they are once they are read. Ours have a few hundred, a token among them.
pub const MAX_HEADERS: u32 = 16 << 10;
/// Headers that a peer may have kept for it between calls, in bytes: what HTTP/2 begins with.
pub const HEADER_TABLE: u32 = 4 << 10;
/// How long a connection may stand without any call. A peer of ours calls as soon as it is connected.
pub const FIRST_CALL: Duration = Duration::from_secs(10);
/// Connections of one syndic or minion: its link, and the next one while the old one is not yet known to be dead.
pub const MAX_LINKS_EACH: usize = 2;
/// Connections of one operator: commands that run side by side, each with its own.
pub const MAX_CONNECTIONS_OF_OPERATOR: usize = 64;

/// Lines that a port logs of connections that it refuses, in each [`SAID_EVERY`]. The others are counted: in the metric, and in
/// the first line of the next lot.
const SAID: u32 = 20;
/// See [`SAID`].
const SAID_EVERY: Duration = Duration::from_secs(10);

/// What may still be logged of a port's refusals: who floods a port must not fill the log.
#[derive(Debug, Default)]
pub(super) struct Said(Mutex<Lot>);

#[derive(Debug, Default)]
struct Lot {
    begun: Option<Instant>,
    said: u32,
    unsaid: u64,
}

impl Said {
    /// Whether to log one more: how many were not logged before it.
    pub(super) fn one(&self) -> Option<u64> {
        let mut lot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lot.begun.is_none_or(|begun| begun.elapsed() >= SAID_EVERY) {
            (lot.begun, lot.said) = (Some(Instant::now()), 0);
        }
        if lot.said >= SAID {
            lot.unsaid += 1;
            return None;
        }
        lot.said += 1;
        Some(std::mem::take(&mut lot.unsaid))
    }
}

/// Sets what holds on every port.
pub(super) fn harden(builder: &mut http2::Builder<TokioExecutor>) {
    builder
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .max_header_list_size(MAX_HEADERS)
        .header_table_size(HEADER_TABLE);
}

/// Ends when a connection has had its time and no call (`begun` is cancelled by the first one); else never.
pub(super) async fn unused(begun: &CancellationToken) {
    if tokio::time::timeout(FIRST_CALL, begun.cancelled()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

/// Who is connected to a port, and how often.
#[derive(Debug, Clone, Default)]
pub(super) struct Crowd(Arc<Mutex<HashMap<Identity, usize>>>);

/// One connection's place; free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    crowd: Crowd,
    who: Identity,
}

impl Crowd {
    /// A place for one more connection of somebody, if there is one.
    pub(super) fn enter(&self, who: &Identity) -> Option<Seat> {
        let most = match who.role() {
            Role::Operator => MAX_CONNECTIONS_OF_OPERATOR,
            Role::TopMaster | Role::Syndic | Role::Minion => MAX_LINKS_EACH,
        };
        let mut here = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = here.entry(who.clone()).or_default();
        if *own >= most {
            return None;
        }
        *own += 1;
        Some(Seat { crowd: self.clone(), who: who.clone() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut here = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = here.get_mut(&self.who) {
            *own -= 1;
            if *own == 0 {
                here.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_core::identity::check_region;

    fn who(id: &str, role: Role) -> Identity {
        let region = check_region("aws").unwrap_or_else(|e| panic!("{e}"));
        Identity::new(id, role, region, "acme.example".parse().unwrap()).unwrap()
    }

    #[test]
    fn each_has_a_link_and_a_spare_and_takes_nobody_else_s() {
        let crowd = Crowd::default();
        let (minion, other) = (who("web01", Role::Minion), who("web02", Role::Minion));
        let (first, _spare) = (crowd.enter(&minion).unwrap(), crowd.enter(&minion).unwrap());
        assert!(crowd.enter(&minion).is_none(), "a third");
        assert!(crowd.enter(&other).is_some(), "another's first");
        assert!(crowd.enter(&who("web01", Role::Syndic)).is_some(), "another role of the same id");
        drop(first);
        assert!(crowd.enter(&minion).is_some());
        assert_eq!(crowd.0.lock().unwrap().len(), 1, "who is gone leaves nothing behind");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_call_ends_and_one_with_a_call_does_not() {
        unused(&CancellationToken::new()).await;
        let begun = CancellationToken::new();
        begun.cancel();
        assert!(tokio::time::timeout(10 * FIRST_CALL, unused(&begun)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refusals_is_counted_and_not_told_one_by_one() {
        let said = Said::default();
        let told: Vec<u64> = (0..1_000).filter_map(|_| said.one()).collect();
        assert_eq!(told, vec![0; SAID as usize]);
        tokio::time::advance(SAID_EVERY).await;
        assert_eq!((said.one(), said.one()), (Some(1_000 - u64::from(SAID)), Some(0)));
    }
}
