//! Whom an address stands for, wherever something is bounded by address: one rule for all of them.

use std::net::IpAddr;

/// Bits of an IPv6 address that are a customer's own: whoever has one network of that size has 2^64 addresses, and is one (RFC 6177).
const OWN_BITS: u32 = 64;

/// Whom an address stands for: an IPv4 address for itself, also one that came by an IPv6 socket; an IPv6 address for its /64.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & (u128::MAX << OWN_BITS)).into()),
        v4 => v4,
    }
}

/// The same of an address as it is written. What is none stands for itself.
pub fn network_of(written: &str) -> String {
    written.parse().map_or_else(|_| written.to_owned(), |address| network(address).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_and_an_ipv4_address_is_itself() {
        let table = [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2::1", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
            ("::1", "::"),
            ("", ""),
            ("web01", "web01"),
        ];
        for (written, stands_for) in table {
            assert_eq!(network_of(written), stands_for, "{written}");
            if let Ok(address) = written.parse() {
                assert_eq!(network(address).to_string(), stands_for, "{written}");
            }
        }
    }
}
