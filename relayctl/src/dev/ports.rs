//! Free loopback ports for processes that are not started yet.
//!
//! They lie below the range from which Linux takes the ports of outgoing connections: so none of the thousands that
//! minions open takes one before its daemon listens on it. Another program still may; then the daemon says so and dies,
//! and `dev up` shows its words.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use anyhow::bail;

/// Where ports are looked for: above the well-known ones, below Linux's default for outgoing connections (32768).
const RANGE: std::ops::Range<u16> = 20_000..32_000;
/// How many taken ports are met before giving up.
const MAX_MISSES: usize = 2_000;

/// Hands out ports, each once.
#[derive(Debug, Default)]
pub struct Ports {
    given: BTreeSet<u16>,
}

impl Ports {
    /// An address that nobody listens on.
    ///
    /// # Errors
    /// None was found.
    pub fn next(&mut self) -> anyhow::Result<SocketAddr> {
        for _ in 0..MAX_MISSES {
            let port = rand::random_range(RANGE);
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            if !self.given.contains(&port) && TcpListener::bind(address).is_ok() {
                self.given.insert(port);
                return Ok(address);
            }
        }
        bail!(
            "no free port from {} to {} on 127.0.0.1: stop what holds them (ss -ltn)",
            RANGE.start,
            RANGE.end
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let mut ports = Ports::default();
        let all: BTreeSet<_> = (0..100).map(|_| ports.next().unwrap()).collect();
        assert_eq!(all.len(), 100);
        assert!(all.iter().all(|a| a.ip().is_loopback() && RANGE.contains(&a.port())));
    }
}
