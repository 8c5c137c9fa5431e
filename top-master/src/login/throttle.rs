//! How often somebody may try to log in: counted by user and by address, with pauses that grow.
//!
//! Owns the counting alone; time comes in as an argument. A try counts as failed until it turns out right, so many at once get no
//! further than one after another. A name that nobody has is counted as any other: the answers to both are the same.
//! Tables are bounded. When one is full, whoever has failed least makes room: who is held off cannot free himself by
//! making up names.

use std::{collections::HashMap, hash::Hash, net::IpAddr};

use relay_core::time::Millis;
use relay_runtime::source::network;

/// Failed tries of one user that cost nothing: typing mistakes.
const FREE_BY_USER: u32 = 5;
/// The same from one address, behind which may be many users.
const FREE_BY_ADDRESS: u32 = 20;
/// The first pause; each one after it is twice as long.
const FIRST_PAUSE: Millis = 1_000;
/// The longest pause: who is locked out by somebody else's tries gets in again soon, and 60 tries an hour find no password.
const LONGEST_PAUSE: Millis = 60_000;
/// After so long without a failure nothing is held against anybody.
const FORGOTTEN: Millis = 15 * 60_000;
/// Users and addresses that are counted; some 100 bytes each.
const MAX_COUNTED: usize = 4_096;

/// Who has failed how often.
#[derive(Debug, Default)]
pub struct Throttle {
    users: Table<String>,
    addresses: Table<IpAddr>,
}

/// A try that was let through.
#[derive(Debug)]
#[must_use = "what became of it is to be told"]
pub struct Try {
    user: String,
    address: IpAddr,
}

impl Throttle {
    /// Somebody wants to try. It counts as failed until the contrary is told.
    ///
    /// # Errors
    /// Not now: so many milliseconds are to pass first.
    pub fn begin(&mut self, user: &str, address: IpAddr, now: Millis) -> Result<Try, Millis> {
        let (user, address) = (user.to_owned(), network(address));
        let wait = self.users.wait(&user, now).max(self.addresses.wait(&address, now));
        if wait > 0 {
            return Err(wait);
        }
        self.users.failed(user.clone(), FREE_BY_USER, now);
        self.addresses.failed(address, FREE_BY_ADDRESS, now);
        Ok(Try { user, address })
    }

    /// It was right: the user starts anew. His address does so only for this one try, else an account of one's own would be
    /// enough to try others for ever.
    pub fn right(&mut self, tried: Try, now: Millis) {
        self.users.counts.remove(&tried.user);
        self.addresses.undo(&tried.address, FREE_BY_ADDRESS, now);
    }

    /// It was neither right nor wrong: nobody could tell.
    pub fn void(&mut self, tried: Try, now: Millis) {
        self.users.undo(&tried.user, FREE_BY_USER, now);
        self.addresses.undo(&tried.address, FREE_BY_ADDRESS, now);
    }
}

#[derive(Debug)]
struct Table<K> {
    counts: HashMap<K, Count>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Table { counts: HashMap::new() }
    }
}

#[derive(Debug, Clone, Copy)]
struct Count {
    failures: u32,
    last: Millis,
    not_before: Millis,
}

impl<K: Hash + Eq + Clone> Table<K> {
    fn wait(&self, key: &K, now: Millis) -> Millis {
        self.counts.get(key).map_or(0, |count| count.not_before.saturating_sub(now))
    }

    fn failed(&mut self, key: K, free: u32, now: Millis) {
        self.make_room(&key, now);
        let fresh = Count { failures: 0, last: now, not_before: now };
        let count = self.counts.entry(key).or_insert(fresh);
        let failures = if now.saturating_sub(count.last) >= FORGOTTEN { 0 } else { count.failures };
        let failures = failures.saturating_add(1);
        *count = Count { failures, last: now, not_before: now + pause(failures, free) };
    }

    fn undo(&mut self, key: &K, free: u32, now: Millis) {
        let Some(count) = self.counts.get_mut(key) else { return };
        count.failures = count.failures.saturating_sub(1);
        count.not_before = count.not_before.min(count.last + pause(count.failures, free)).max(now);
        if count.failures == 0 {
            self.counts.remove(key);
        }
    }

    fn make_room(&mut self, key: &K, now: Millis) {
        if self.counts.len() < MAX_COUNTED || self.counts.contains_key(key) {
            return;
        }
        self.counts.retain(|_, count| now.saturating_sub(count.last) < FORGOTTEN);
        if self.counts.len() >= MAX_COUNTED {
            let least = self.counts.iter().min_by_key(|(_, count)| (count.failures, count.last));
            let least = least.map(|(key, _)| key.clone());
            least.map(|key| self.counts.remove(&key));
        }
    }
}

/// How long after this many failures.
fn pause(failures: u32, free: u32) -> Millis {
    match failures.checked_sub(free + 1) {
        None => 0,
        Some(beyond) => FIRST_PAUSE.checked_shl(beyond.min(32)).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn from(n: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(n))
    }

    #[test]
    fn failures_of_a_user_cost_time_from_everywhere() {
        let (mut throttle, mut now) = (Throttle::default(), 1_000);
        for n in 0..=FREE_BY_USER {
            let _ = throttle.begin("alice", from(n), now).unwrap();
        }
        let mut pauses = Vec::new();
        for n in 100..108 {
            let wait = throttle.begin("alice", from(n), now).unwrap_err();
            pauses.push(wait);
            now += wait;
            let _ = throttle.begin("alice", from(n), now).unwrap();
        }
        assert_eq!(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert!(throttle.begin("bob", from(1_000), now).is_ok(), "others are free");
        now += FORGOTTEN;
        for n in 0..FREE_BY_USER {
            let _ = throttle.begin("alice", from(n), now).unwrap();
        }
    }

    #[test]
    fn many_names_from_one_address_cost_time_and_its_own_account_frees_it_not() {
        let mut throttle = Throttle::default();
        for n in 0..=FREE_BY_ADDRESS {
            let _ = throttle.begin(&format!("user{n}"), from(1), 0).unwrap();
            if n % 4 == 3 {
                let own = throttle.begin("mallory", from(1), 0).unwrap();
                throttle.right(own, 0);
            }
        }
        assert_eq!(throttle.begin("mallory", from(1), 0).unwrap_err(), FIRST_PAUSE);
        assert!(throttle.begin("mallory", from(2), 0).is_ok());
    }

    #[test]
    fn one_customer_of_ipv6_is_one_address() {
        let mut throttle = Throttle::default();
        for n in 0..=FREE_BY_ADDRESS {
            let _ = throttle.begin(&format!("u{n}"), format!("2001:db8::{n:x}").parse().unwrap(), 0).unwrap();
        }
        assert!(throttle.begin("u", "2001:db8::ffff:1".parse().unwrap(), 0).is_err());
        assert!(throttle.begin("u", "2001:db8:0:1::1".parse().unwrap(), 0).is_ok());
    }

    #[test]
    fn who_is_right_starts_anew_and_what_nobody_could_tell_does_not_count() {
        let mut throttle = Throttle::default();
        for round in 0..100 {
            let mut tried = None;
            for _ in 0..3 {
                tried = Some(throttle.begin("alice", from(round), 0).unwrap());
            }
            throttle.right(tried.unwrap(), 0);
        }
        for _ in 0..100 {
            let tried = throttle.begin("bob", from(7_000), 0).unwrap();
            throttle.void(tried, 0);
        }
        assert!(!throttle.users.counts.contains_key("bob"));
    }

    #[test]
    fn made_up_names_free_nobody_and_fill_no_memory() {
        let mut throttle = Throttle::default();
        while throttle.begin("alice", from(1), 0).is_ok() {}
        for n in 0..3 * MAX_COUNTED as u32 {
            let _ = throttle.begin(&format!("user{n}"), from(1_000 + n), 0);
        }
        assert!(throttle.begin("alice", from(2), 0).is_err());
        assert_eq!(
            (throttle.users.counts.len(), throttle.addresses.counts.len()),
            (MAX_COUNTED, MAX_COUNTED)
        );
    }
}
