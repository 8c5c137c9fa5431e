//! The pattern of `S@`: an address, or a network in CIDR notation or with a netmask, of either IP version.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use super::error::Problem;

/// An address or a network. An address is the network of it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet(IpNet);

impl Subnet {
    /// As strict as Python's `ipaddress`, which Salt uses: `10.1.2.3/8` may be a slip of either half.
    pub(super) fn new(text: &str) -> Result<Subnet, Problem> {
        let Some(net) = read(text) else {
            let found = format!("{text:?} is no address and no network");
            return Err(Problem::new(found, "one such as 10.1.2.3, 10.0.0.0/8 or fd00::/8"));
        };
        match net.addr() == net.network() {
            true => Ok(Subnet(net)),
            false => {
                let found = format!("{net} has bits set beyond its prefix");
                Err(Problem::new(found, format!("the network {} or the address {}", net.trunc(), net.addr())))
            }
        }
    }

    /// Its first address. Minions have their addresses of IPv4 and IPv6 in the grains `ipv4` and `ipv6`.
    pub fn first(&self) -> IpAddr {
        self.0.network()
    }

    /// Its last address.
    pub fn last(&self) -> IpAddr {
        self.0.broadcast()
    }
}

fn read(text: &str) -> Option<IpNet> {
    let Some((address, mask)) = text.split_once('/') else {
        return text.parse::<IpAddr>().ok().map(IpNet::from);
    };
    match mask.parse::<IpAddr>() {
        Ok(mask) => IpNet::with_netmask(address.parse().ok()?, mask).ok(),
        Err(_) => text.parse().ok(),
    }
}

/// As text that reads back as the same.
impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.prefix_len() == self.0.max_prefix_len() {
            true => write!(f, "{}", self.0.addr()),
            false => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_ipaddress_reads() {
        for (text, shown) in [
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.3/32", "10.1.2.3"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("FD00:0::/8", "fd00::/8"),
            ("::1", "::1"),
        ] {
            let subnet = Subnet::new(text).expect(text);
            assert_eq!(subnet.to_string(), shown);
            assert_eq!(Subnet::new(shown), Ok(subnet));
        }
        for (text, expected) in [
            ("10.1.2.3/8", "the network 10.0.0.0/8 or the address 10.1.2.3"),
            ("10.0.0.0/33", "10.1.2.3"),
            ("10.0.0.0/255.0.255.0", "10.1.2.3"),
            ("10.0.0", "10.1.2.3"),
            ("web01", "10.1.2.3"),
            ("", "10.1.2.3"),
        ] {
            let problem = Subnet::new(text).expect_err(text);
            assert!(problem.expected.contains(expected), "{problem:?}");
        }
    }

    fn holds(subnet: &str, address: &str) -> bool {
        let subnet = Subnet::new(subnet).expect("a subnet");
        (subnet.first()..=subnet.last()).contains(&address.parse::<IpAddr>().expect("an address"))
    }

    #[test]
    fn holds_its_addresses() {
        for (subnet, address, yes) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.10", false),
            ("fd00::/8", "fd12::1", true),
            ("::1", "0:0:0:0:0:0:0:1", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "255.255.255.255", false),
        ] {
            assert_eq!(holds(subnet, address), yes, "{subnet} {address}");
        }
    }
}
