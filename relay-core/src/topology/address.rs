//! Where somebody is dialled: a host name or an IP address, and a port. Resolving it is not done here.

use std::{fmt, net::IpAddr, str::FromStr};

use crate::{identity::MAX_DNS_BYTES, ids::check_id};

/// `host:port`. The host is a DNS name or an IP address (IPv6 in brackets when written).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    host: String,
    port: u16,
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No colon between host and port.
    #[error("the address {0:?} has no port (write host:port, for example top1.acme.example:4510)")]
    NoPort(String),
    /// The port is no number from 1 to 65535.
    #[error("the address {0:?} has no usable port (a number from 1 to 65535)")]
    Port(String),
    /// The host is neither a name nor an IP address.
    #[error(
        "the address {0:?} has no usable host (a DNS name, an IPv4 address, or an IPv6 address in brackets)"
    )]
    Host(String),
}

impl HostPort {
    /// The host: a DNS name or an IP address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }
    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for HostPort {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let shown = || text.chars().take(80).collect::<String>();
        let (host, port) = text.rsplit_once(':').ok_or_else(|| AddressError::NoPort(shown()))?;
        let port: u16 = port.parse().ok().filter(|p| *p > 0).ok_or_else(|| AddressError::Port(shown()))?;
        let bare = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok().then_some(v6),
            None => is_host(host).then_some(host),
        };
        let host = bare.ok_or_else(|| AddressError::Host(shown()))?.to_owned();
        Ok(HostPort { host, port })
    }
}

/// A DNS name or an IPv4 address; what looks like an IPv4 address has to be one (`10.0.0.256` is nobody's name).
fn is_host(host: &str) -> bool {
    let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match numeric {
        true => host.parse::<std::net::Ipv4Addr>().is_ok(),
        false => host.len() <= MAX_DNS_BYTES && host.split('.').all(|label| check_id(label).is_ok()),
    }
}

impl From<std::net::SocketAddr> for HostPort {
    fn from(at: std::net::SocketAddr) -> Self {
        HostPort { host: at.ip().to_string(), port: at.port() }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(v6)) => write!(f, "[{v6}]:{}", self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["top1.acme.example:4510", "10.0.0.1:1", "[::1]:65535", "localhost:80"] {
            assert_eq!(good.parse::<HostPort>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "host",
            ":1",
            "host:",
            "host:0",
            "host:65536",
            "::1:80",
            "[x]:1",
            "a b:1",
            "10.0.0.256:1",
            "a..b:1",
            "http://x:1",
        ] {
            assert!(bad.parse::<HostPort>().is_err(), "{bad}");
        }
    }
}
