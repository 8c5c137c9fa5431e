//! The network's grains: names, interfaces, addresses, resolvers. Only what the machine itself says: nothing is asked
//! of the network, so that a dead resolver delays no start.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use nix::{ifaddrs::getifaddrs, sys::socket::SockaddrStorage};
use serde_json::{Map, Value, json};

use super::sources::Sources;

pub(super) fn add(grains: &mut Map<String, Value>, sources: &Sources) {
    add_names(grains, sources);
    add_addresses(grains, &interfaces());
    grains.insert("dns".into(), dns(&sources.text("/etc/resolv.conf")));
}

fn add_names(grains: &mut Map<String, Value>, sources: &Sources) {
    let nodename = sources.line("/proc/sys/kernel/hostname").unwrap_or_else(|| "localhost".into());
    let fqdn = fqdn(&nodename, &sources.text("/etc/hosts"));
    let (host, domain) = fqdn.split_once('.').unwrap_or((&fqdn, ""));
    grains.insert("host".into(), host.into());
    grains.insert("nodename".into(), nodename.clone().into());
    grains.insert("domain".into(), domain.into());
    grains.insert("fqdn".into(), fqdn.clone().into());
    grains.insert("localhost".into(), nodename.into());
}

/// The host's full name: its own if that has a domain, else the first name with one on its line in /etc/hosts.
fn fqdn(nodename: &str, hosts: &str) -> String {
    if nodename.contains('.') {
        return nodename.into();
    }
    let lines = hosts.lines().map(|l| l.split('#').next().unwrap_or_default());
    let names =
        lines.map(|l| l.split_whitespace().skip(1)).filter(|names| names.clone().any(|n| n == nodename));
    let full = names.flatten().find(|n| n.strip_prefix(nodename).is_some_and(|rest| rest.starts_with('.')));
    full.unwrap_or(nodename).into()
}

/// One interface.
#[derive(Debug, Default)]
struct Interface {
    addresses: BTreeSet<IpAddr>,
    hardware: Option<String>,
}

fn interfaces() -> BTreeMap<String, Interface> {
    let mut all: BTreeMap<String, Interface> = BTreeMap::new();
    for entry in getifaddrs().into_iter().flatten() {
        let interface = all.entry(entry.interface_name).or_default();
        let Some(address) = entry.address else { continue };
        interface.addresses.extend(ip(&address));
        if let Some(bytes) = address.as_link_addr().and_then(|link| link.addr()) {
            interface.hardware = Some(bytes.map(|b| format!("{b:02x}")).join(":"));
        }
    }
    all
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|a| IpAddr::from(a.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| a.ip().into()))
}

fn add_addresses(grains: &mut Map<String, Value>, interfaces: &BTreeMap<String, Interface>) {
    type Keep = fn(&IpAddr) -> bool;
    for (by_interface, flat, keep) in [
        ("ip_interfaces", "", (|_| true) as Keep),
        ("ip4_interfaces", "ipv4", IpAddr::is_ipv4),
        ("ip6_interfaces", "ipv6", IpAddr::is_ipv6),
    ] {
        let kept =
            |i: &Interface| i.addresses.iter().filter(|a| keep(a)).map(IpAddr::to_string).collect::<Vec<_>>();
        let map: Map<_, _> = interfaces.iter().map(|(name, i)| (name.clone(), kept(i).into())).collect();
        grains.insert(by_interface.into(), map.into());
        if !flat.is_empty() {
            let all: BTreeSet<&IpAddr> =
                interfaces.values().flat_map(|i| &i.addresses).filter(|a| keep(a)).collect();
            grains.insert(flat.into(), all.into_iter().map(IpAddr::to_string).collect());
        }
    }
    let hardware = interfaces.iter().filter_map(|(name, i)| Some((name.clone(), i.hardware.clone()?.into())));
    grains.insert("hwaddr_interfaces".into(), hardware.collect::<Map<_, _>>().into());
}

fn dns(resolv: &str) -> Value {
    let values = |keyword: &str| -> Vec<&str> {
        let lines = resolv.lines().map(|l| l.split(['#', ';']).next().unwrap_or_default().split_whitespace());
        lines.filter_map(|mut words| (words.next() == Some(keyword)).then_some(words)).flatten().collect()
    };
    let (servers, domain) = (values("nameserver"), values("domain"));
    let of = |v4: bool| {
        servers.iter().filter(|s| s.parse().is_ok_and(|ip: IpAddr| ip.is_ipv4() == v4)).collect::<Vec<_>>()
    };
    json!({
        "nameservers": servers,
        "ip4_nameservers": of(true),
        "ip6_nameservers": of(false),
        "domain": domain.first().copied().unwrap_or_default(),
        "search": values("search"),
        "options": values("options"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_name_comes_from_the_hosts_file() {
        let hosts = "127.0.0.1 localhost\n# 1.1.1.1 web01.no web01\n10.0.0.1\tweb01x.no web01.example.org web01 # me\n";
        for (name, full) in
            [("web01", "web01.example.org"), ("db", "db"), ("a.b", "a.b"), ("localhost", "localhost")]
        {
            assert_eq!(fqdn(name, hosts), full);
        }
    }

    #[test]
    fn resolvers_are_sorted_by_family() {
        let dns =
            dns("# comment\nnameserver 10.0.0.2 ; here\nnameserver ::1\nsearch a.org b.org\nnonsense\n");
        assert_eq!(dns["ip4_nameservers"], json!(["10.0.0.2"]));
        assert_eq!((&dns["ip6_nameservers"], &dns["search"]), (&json!(["::1"]), &json!(["a.org", "b.org"])));
    }

    #[test]
    fn addresses_are_sorted_per_interface_and_over_all() {
        let lo =
            Interface { addresses: ["::1", "127.0.0.1"].map(|a| a.parse().unwrap()).into(), hardware: None };
        let mut grains = Map::new();
        add_addresses(&mut grains, &[("lo".to_string(), lo)].into());
        assert_eq!(
            Value::from(grains),
            json!({
                "ip_interfaces": {"lo": ["127.0.0.1", "::1"]},
                "ip4_interfaces": {"lo": ["127.0.0.1"]}, "ipv4": ["127.0.0.1"],
                "ip6_interfaces": {"lo": ["::1"]}, "ipv6": ["::1"],
                "hwaddr_interfaces": {},
            })
        );
    }
}
