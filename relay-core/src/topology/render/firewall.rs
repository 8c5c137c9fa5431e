//! Who has to reach whom: the rules that a firewall or a security group needs. Everybody dials upward, so a rule that lets
//! in has its counterpart below, and minions let nobody in.
//!
//! Ports that the topology does not name (operators, metrics) are not here.

use std::fmt;

use ipnet::IpNet;

use crate::{
    ids::{RegionName, TierId},
    topology::{HostPort, Region, Syndic, TopMaster, Topology},
};

/// One permission: TCP, to one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Whose rule: the region in which the machine stands.
    pub region: RegionName,
    /// Which machine. Nothing: every minion of the region.
    pub on: Option<TierId>,
    /// In or out, seen from that machine.
    pub direction: Direction,
    /// The port: its own for `In`, the other's for `Out`.
    pub port: u16,
    /// The other end.
    pub peer: Peer,
}

/// Which way a connection is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// The other dials.
    In,
    /// It dials the other.
    Out,
}

/// The other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// A top master or syndic, under its name or address in the topology.
    Tier {
        /// Which one.
        id: TierId,
        /// Its host.
        host: String,
    },
    /// Minions of the region, from these networks. Empty: from anywhere.
    Minions(Vec<IpNet>),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tier { id, host } => write!(f, "{id} ({host})"),
            Peer::Minions(nets) if nets.is_empty() => f.write_str("minions (anywhere)"),
            Peer::Minions(nets) => {
                let nets: Vec<String> = nets.iter().map(IpNet::to_string).collect();
                write!(f, "minions ({})", nets.join(", "))
            }
        }
    }
}

impl Direction {
    /// `in` or `out`.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::In => "in",
            Direction::Out => "out",
        }
    }
}

impl Topology {
    /// Every permission that the fabric needs, region by region: those of the file in its order, then those where only top
    /// masters stand.
    pub fn firewall(&self) -> Vec<(RegionName, Vec<Rule>)> {
        let mut regions: Vec<&RegionName> = self.regions.iter().map(|r| &r.name).collect();
        let more = self.top_masters.iter().map(|t| &t.region);
        more.for_each(|name| {
            if !regions.contains(&name) {
                regions.push(name)
            }
        });
        regions.into_iter().map(|name| (name.clone(), self.rules_of(name))).collect()
    }

    fn rules_of(&self, name: &RegionName) -> Vec<Rule> {
        let tops = self.top_masters.iter().filter(|t| t.region == *name);
        let mut rules: Vec<Rule> = tops.flat_map(|top| self.of_top_master(top)).collect();
        if let Some(region) = self.region(name) {
            rules.extend(region.syndics.iter().flat_map(|syndic| self.of_syndic(region, syndic)));
            rules.extend(region.syndics.iter().map(|syndic| of_minions(region, syndic)));
        }
        rules
    }

    fn of_top_master(&self, top: &TopMaster) -> Vec<Rule> {
        self.dialled_by(&top.region, &top.id, &top.address).collect()
    }

    /// Its parents, who dials it from below, and its minions.
    fn of_syndic(&self, region: &Region, syndic: &Syndic) -> Vec<Rule> {
        let out = syndic.parents.iter().filter_map(|parent| {
            let address = self.address(parent)?;
            Some(Rule {
                region: region.name.clone(),
                on: Some(syndic.id.clone()),
                direction: Direction::Out,
                port: address.port(),
                peer: tier(parent, address),
            })
        });
        let minions = Rule {
            region: region.name.clone(),
            on: Some(syndic.id.clone()),
            direction: Direction::In,
            port: syndic.address.port(),
            peer: Peer::Minions(region.network.allowed_cidrs.clone()),
        };
        let children = self.dialled_by(&region.name, &syndic.id, &syndic.address);
        std::iter::once(minions).chain(children).chain(out).collect()
    }

    fn dialled_by(&self, region: &RegionName, id: &TierId, own: &HostPort) -> impl Iterator<Item = Rule> {
        let children = self.syndics().map(|(_, s)| s).filter(move |s| s.parents.contains(id));
        children.map(move |child| Rule {
            region: region.clone(),
            on: Some(id.clone()),
            direction: Direction::In,
            port: own.port(),
            peer: tier(&child.id, &child.address),
        })
    }

    fn address(&self, id: &TierId) -> Option<&HostPort> {
        let top = self.top_master(id).map(|t| &t.address);
        top.or_else(|| self.syndic(id).map(|(_, s)| &s.address))
    }
}

fn of_minions(region: &Region, syndic: &Syndic) -> Rule {
    Rule {
        region: region.name.clone(),
        on: None,
        direction: Direction::Out,
        port: syndic.address.port(),
        peer: tier(&syndic.id, &syndic.address),
    }
}

fn tier(id: &TierId, address: &HostPort) -> Peer {
    Peer::Tier { id: id.clone(), host: address.host().to_owned() }
}
