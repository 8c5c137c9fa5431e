//! Connections without a certificate: how many there are at once, from one address ([`crate::source`]) and in all, and how long one may last.
//!
//! Which calls such a connection may make is its port's affair ([`super::accept::Serve::serve_stranger`]); none if the port
//! says nothing.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::source::network;

/// Bounds of one port's connections without a certificate.
#[derive(Debug)]
pub struct Strangers {
    most: usize,
    per_address: usize,
    time: Duration,
    here: Mutex<HashMap<IpAddr, usize>>,
}

/// A stranger's place; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    strangers: Arc<Strangers>,
    address: IpAddr,
}

impl Strangers {
    /// At most `most` at once, `per_address` of them from one address, none for longer than `time`.
    pub fn new(most: usize, per_address: usize, time: Duration) -> Arc<Strangers> {
        Arc::new(Strangers { most, per_address, time, here: Mutex::default() })
    }

    /// How long one may last.
    pub fn time(&self) -> Duration {
        self.time
    }

    /// A place for somebody from this address, if there is one.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        if here.values().sum::<usize>() >= self.most {
            return None;
        }
        let own = here.entry(address).or_default();
        if *own >= self.per_address {
            return None;
        }
        *own += 1;
        Some(Place { strangers: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut here = self.strangers.here.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = here.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                here.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_by_address_and_in_all_and_come_back() {
        let strangers = Strangers::new(3, 2, Duration::from_secs(1));
        let [a, b, c]: [IpAddr; 3] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|a| a.parse().unwrap());
        let (first, _second) = (strangers.enter(a).unwrap(), strangers.enter(a).unwrap());
        assert!(strangers.enter(a).is_none(), "a third from one address");
        assert!(
            strangers.enter("::ffff:192.0.2.1".parse().unwrap()).is_none(),
            "the same address in another dress"
        );
        let _third = strangers.enter(b).unwrap();
        assert!(strangers.enter(c).is_none(), "a fourth in all");
        drop(first);
        assert!(strangers.enter(c).is_some());
        assert_eq!(strangers.here.lock().unwrap().len(), 2, "who is gone leaves nothing behind");
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let strangers = Strangers::new(9, 2, Duration::from_secs(1));
        let enter = |address: &str| strangers.enter(address.parse().unwrap());
        let (_first, second) = (enter("2001:db8:0:1::1").unwrap(), enter("2001:db8:0:1::2").unwrap());
        assert!(enter("2001:db8:0:1:9::9").is_none(), "another address of the same network");
        let _other = enter("2001:db8:0:2::1").unwrap();
        drop(second);
        assert!(enter("2001:db8:0:1:9::9").is_some());
    }
}
