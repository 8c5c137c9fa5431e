//! Top masters without anything to own: only who of them leads, at one registry.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use relay_runtime::registry::{Embedded, Listing, Registry, Revision};
use tokio::task::JoinHandle;

use super::*;

/// Longest wait for what has to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Short times: what a test waits for comes soon; what must not come is kept out by a long grace.
fn rule(grace: Millis) -> TenureRule {
    TenureRule { ttl: 600, grace }
}

/// A registry that can be cut off.
#[derive(Clone)]
struct Cut {
    inner: Embedded,
    away: Arc<AtomicBool>,
}

impl Cut {
    fn or_away<T: Send + 'static>(&self, call: RegistryFuture<T>) -> RegistryFuture<T> {
        match self.away.load(Ordering::Relaxed) {
            false => call,
            true => Box::pin(async { Err(RegistryError::Unreachable("cut".into())) }),
        }
    }
}

impl Registry for Cut {
    fn grant(&self, ttl: Millis) -> RegistryFuture<LeaseId> {
        self.or_away(self.inner.grant(ttl))
    }
    fn keep_alive(&self, lease: LeaseId) -> RegistryFuture<()> {
        match self.away.load(Ordering::Relaxed) {
            false => self.inner.keep_alive(lease),
            true => Box::pin(async { Err(RegistryError::Unreachable("cut".into())) }),
        }
    }
    fn revoke(&self, lease: LeaseId) -> RegistryFuture<()> {
        self.inner.revoke(lease)
    }
    fn put(&self, key: Key, value: Bytes, lease: Option<LeaseId>) -> RegistryFuture<Revision> {
        self.or_away(self.inner.put(key, value, lease))
    }
    fn swap(
        &self,
        key: Key,
        expected: Option<Revision>,
        value: Bytes,
        lease: Option<LeaseId>,
    ) -> RegistryFuture<Swap> {
        match self.away.load(Ordering::Relaxed) {
            false => self.inner.swap(key, expected, value, lease),
            true => Box::pin(async { Err(RegistryError::Unreachable("cut".into())) }),
        }
    }
    fn remove(&self, key: Key, expected: Revision) -> RegistryFuture<bool> {
        self.inner.remove(key, expected)
    }
    fn list(&self, area: Area) -> RegistryFuture<Listing> {
        self.or_away(self.inner.list(area))
    }
    fn watch(&self, area: Area) -> RegistryFuture<(Listing, Watch)> {
        self.or_away(self.inner.watch(area))
    }
}

struct Top {
    lead: watch::Receiver<Lead>,
    syndics: watch::Sender<Syndics>,
    ended: mpsc::Sender<()>,
    token: CancellationToken,
    task: JoinHandle<()>,
}

struct Bench {
    clock: Clock,
    registry: Cut,
    _leases: JoinHandle<()>,
}

impl Bench {
    fn new() -> Bench {
        let clock = Clock::start();
        let inner = Embedded::new(Arc::new(move || clock.now()));
        let leases = inner.clone();
        let task = tokio::spawn(async move { leases.run(CancellationToken::new()).await });
        Bench { clock, registry: Cut { inner, away: Arc::default() }, _leases: task }
    }

    fn top(&self, id: &str, rule: TenureRule) -> Top {
        let presence = Presence {
            listen: format!("{id}:4510"),
            operators: format!("{id}:4511"),
            version: "relay/test".into(),
            leaving: false,
        };
        let (syndics, registered) = watch::channel(Syndics::new());
        let ((ended, ends), (tell, lead)) = (mpsc::channel(ENDED_QUEUE), watch::channel(Lead::default()));
        let (registry, own) = (Arc::new(self.registry.clone()), (id.parse().unwrap(), presence));
        let keeper = Keeper::with(rule, registry, self.clock, own, registered, ends, tell).unwrap();
        let token = CancellationToken::new();
        let task = tokio::spawn(keeper.run(token.clone()));
        Top { lead, syndics, ended, token, task }
    }

    fn cut(&self, away: bool) {
        self.registry.away.store(away, Ordering::Relaxed);
    }

    async fn keys(&self) -> Vec<String> {
        let listing = self.registry.inner.list(Area::All).await.unwrap();
        listing.entries.iter().map(|entry| entry.key.to_string()).collect()
    }
}

impl Top {
    async fn until(&mut self, what: &str, is: impl FnMut(&Lead) -> bool) -> Lead {
        let seen = timeout(PATIENCE, self.lead.wait_for(is)).await;
        seen.unwrap_or_else(|_| panic!("waited in vain: {what}")).expect("a keeper").clone()
    }

    async fn owns(&mut self) -> Lead {
        self.until("to own", |lead| lead.owns).await
    }

    async fn knows_owner(&mut self, id: &str) -> Lead {
        let id: TierId = id.parse().unwrap();
        self.until("to know the owner", |lead| {
            lead.owner.as_ref() == Some(&id) && lead.present.contains_key(&id)
        })
        .await
    }
}

#[tokio::test]
async fn the_first_one_owns_and_the_other_says_who_does() {
    let bench = Bench::new();
    let mut one = bench.top("top-1", rule(10));
    let first = one.owns().await;
    assert!(first.certain_until > 0);
    let mut two = bench.top("top-2", rule(10));
    let standby = two.knows_owner("top-1").await;
    assert!(!standby.owns);
    let told = standby.refusal(&"top-2".parse().unwrap());
    assert!(
        told.starts_with("top-2 is a standby: top-1 owns") && told.contains("operators: top-1:4511"),
        "{told}"
    );
    let nobody = Lead::default().refusal(&"top-2".parse().unwrap());
    assert!(nobody.contains("no top master owns the fabric yet"), "{nobody}");
}

#[tokio::test]
async fn one_that_stops_hands_over_at_once_and_leaves_nothing() {
    let bench = Bench::new();
    let mut one = bench.top("top-1", rule(10));
    one.owns().await;
    one.syndics.send_replace([("aws-1".parse().unwrap(), Bytes::new())].into());
    // Nothing but a handover ends this grace.
    let mut two = bench.top("top-2", rule(u64::MAX / 4));
    two.knows_owner("top-1").await;
    one.token.cancel();
    two.owns().await;
    one.task.await.unwrap();
    let left: Vec<String> = bench.keys().await.into_iter().filter(|key| key.contains("top-1")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn one_that_dies_is_followed_when_its_lease_is_over() {
    let bench = Bench::new();
    let mut one = bench.top("top-1", rule(10));
    one.owns().await;
    let mut two = bench.top("top-2", rule(10));
    two.knows_owner("top-1").await;
    one.task.abort();
    let lead = two.owns().await;
    assert!(lead.vacant_since > 0);
    two.until("the dead one to be gone", |lead| lead.present.len() == 1).await;
}

#[tokio::test]
async fn a_revoked_lease_changes_no_owner() {
    let bench = Bench::new();
    let mut one = bench.top("top-1", rule(10));
    one.owns().await;
    let mut two = bench.top("top-2", rule(u64::MAX / 4));
    two.knows_owner("top-1").await;
    let owner = Key::Leader(OWNER.parse().unwrap());
    let of_owner = async || {
        let listing = bench.registry.inner.list(Area::Leaders).await.unwrap();
        listing.entries.into_iter().find(|entry| entry.key == owner)
    };
    let before = of_owner().await.unwrap();
    bench.registry.inner.revoke(before.lease.unwrap()).await.unwrap();
    let lead = one.lead.clone();
    while of_owner().await.is_none_or(|now| now.lease == before.lease) {
        assert!(lead.borrow().owns, "it goes on meanwhile");
        tokio::task::yield_now().await;
    }
    assert_eq!(of_owner().await.unwrap().value, before.value);
    assert!(!two.lead.borrow().owns);
}

#[tokio::test]
async fn an_owner_whose_term_ended_lets_the_other_try() {
    let bench = Bench::new();
    let mut one = bench.top("top-1", rule(200));
    one.owns().await;
    let mut two = bench.top("top-2", rule(0));
    two.knows_owner("top-1").await;
    one.ended.send(()).await.unwrap();
    two.owns().await;
    one.knows_owner("top-2").await;
    assert!(!one.lead.borrow().owns);
}

#[tokio::test]
async fn without_the_registry_an_owner_goes_on_uncertain_and_is_certain_again_by_itself() {
    let bench = Bench::new();
    let mut one = bench.top("top-1", rule(u64::MAX / 4));
    one.owns().await;
    bench.cut(true);
    let (clock, mut seen) = (bench.clock, one.lead.clone());
    let silent = one.until("silence", |lead| lead.certain_until <= clock.now() || lead.uncertain_since > 0);
    assert!(silent.await.owns);
    while seen.borrow_and_update().certain_until > clock.now() {
        tokio::task::yield_now().await;
    }
    assert!(seen.borrow().owns);
    bench.cut(false);
    let again = one.until("certainty", |lead| lead.certain_until > clock.now()).await;
    assert!(again.owns);
}
