//! Keeps a top master in the registry: its lease, what is registered under it, and who owns the fabric.
//!
//! Owns the calls to the registry and their order. What follows from their answers is `relay_core::tenure`'s; what an owner
//! does, the term's ([`crate::term`]). Everybody else learns of it from [`Lead`].

use std::{collections::BTreeMap, time::Duration};

use relay_core::{
    ids::TierId,
    tenure::{Leader, RETRY, Step, Tenure, TenureRule},
    time::Millis,
};
use relay_runtime::{
    clock::Clock,
    registry::{
        Area, Entry, Key, LeaseId, RegistryError, RegistryFuture, SharedRegistry, Swap, Watch, leadership,
    },
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::register::{Presence, Registered, Syndics};

mod picture;
#[cfg(test)]
mod tests;
pub use picture::OWNER;
use picture::Picture;

/// Life of the lease: how long the others take to learn of a death. Long against a pause of a busy machine or an election
/// within etcd (about a second), short against the patience of an operator who waits for a takeover.
pub const TTL: Millis = 5_000;
/// How long a standby leaves a vacancy to an owner that has only been cut from the registry: it comes back within a retry or
/// two, and a takeover costs every syndic its link.
pub const GRACE: Millis = 2_000;
/// A call to the registry may take this long: so two fit in what is left of a lease when it is to be kept.
const CALL_TIME: Duration = Duration::from_millis(TTL / 3);
/// How long a registry may take to be told that this process stops. Its lease's end tells it too.
const LEAVE_TIME: Duration = Duration::from_secs(2);
/// Ends of terms waiting to be heard of: there is one term at a time.
pub const ENDED_QUEUE: usize = 1;

/// How this top master stands, for everybody in the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lead {
    /// An owner's work is to be done here.
    pub owns: bool,
    /// New jobs are taken before this moment: until then nobody else can own the fabric, as far as is known.
    pub certain_until: Millis,
    /// Since when that is not so, if it is not: the registry is silent, or we have to be elected again.
    pub uncertain_since: Millis,
    /// Since when there was no owner before us.
    pub vacant_since: Millis,
    /// Who owns the fabric, as far as is known.
    pub owner: Option<TierId>,
    /// The top masters that are there, this one among them.
    pub present: BTreeMap<TierId, Presence>,
}

impl Lead {
    /// Why nobody is served here, for people.
    pub fn refusal(&self, own: &TierId) -> String {
        let Some(owner) = self.owner.as_ref().filter(|id| *id != own) else {
            return format!("{own} is a standby, and no top master owns the fabric yet: try again");
        };
        match self.present.get(owner) {
            Some(Presence { listen, operators, .. }) => format!(
                "{own} is a standby: {owner} owns the fabric (operators: {operators}, links: {listen})"
            ),
            None => format!("{own} is a standby: {owner} owns the fabric"),
        }
    }
}

/// What keeps it.
pub struct Keeper {
    registry: SharedRegistry,
    clock: Clock,
    ttl: Millis,
    own: TierId,
    presence: Presence,
    tenure: Tenure,
    picture: Picture,
    watch: Option<Watch>,
    registered: Option<Registered>,
    syndics: watch::Receiver<Syndics>,
    /// A term has ended by itself.
    ended: mpsc::Receiver<()>,
    lead: watch::Sender<Lead>,
    /// What the log was told of the registry.
    told: Option<String>,
}

impl Keeper {
    /// A standby that is not registered yet.
    pub fn new(
        registry: SharedRegistry,
        clock: Clock,
        (own, presence): (TierId, Presence),
        syndics: watch::Receiver<Syndics>,
        ended: mpsc::Receiver<()>,
        lead: watch::Sender<Lead>,
    ) -> Result<Keeper, relay_core::ids::IdError> {
        let rule = TenureRule { ttl: TTL, grace: GRACE };
        Keeper::with(rule, registry, clock, (own, presence), syndics, ended, lead)
    }

    fn with(
        rule: TenureRule,
        registry: SharedRegistry,
        clock: Clock,
        (own, presence): (TierId, Presence),
        syndics: watch::Receiver<Syndics>,
        ended: mpsc::Receiver<()>,
        lead: watch::Sender<Lead>,
    ) -> Result<Keeper, relay_core::ids::IdError> {
        let tenure = Tenure::new(rule, clock.now());
        let picture = Picture::new(own.clone(), OWNER.parse()?);
        let (watch, registered, told) = (None, None, None);
        Ok(Keeper {
            registry,
            clock,
            ttl: rule.ttl,
            own,
            presence,
            tenure,
            picture,
            watch,
            registered,
            syndics,
            ended,
            lead,
            told,
        })
    }

    /// Runs until stopped, and then lets others take what it has.
    pub async fn run(mut self, token: CancellationToken) {
        token.run_until_cancelled(self.keep()).await;
        if timeout(LEAVE_TIME, self.leave()).await.is_err() {
            info!("the registry was not told in time that this top master stops: its lease ends by itself");
        }
    }

    async fn keep(&mut self) {
        loop {
            let now = self.clock.now();
            let done = match self.tenure.next(now) {
                _ if self.watch.is_none() && self.may_call(now) => self.begin_watch().await,
                Step::Grant => self.grant(now).await,
                Step::Keep => self.keep_lease(now).await,
                Step::Stand => self.stand().await,
                Step::Wait(until) => self.wait(until).await,
            };
            self.heard(done);
            self.tell();
        }
    }

    /// The pause after a failure is over.
    fn may_call(&self, now: Millis) -> bool {
        self.tenure.silent().is_none() || !matches!(self.tenure.next(now), Step::Wait(_))
    }

    fn lease(&self) -> Option<LeaseId> {
        self.registered.as_ref().map(|r| r.lease)
    }

    async fn begin_watch(&mut self) -> Result<(), RegistryError> {
        let (listing, watch) = within(self.registry.watch(Area::All)).await?;
        self.watch = Some(watch);
        self.picture.list(listing);
        Ok(())
    }

    async fn grant(&mut self, now: Millis) -> Result<(), RegistryError> {
        let lease = within(self.registry.grant(self.ttl)).await?;
        debug!(%lease, "has a lease");
        self.registered = Some(Registered::under(lease));
        self.tenure.kept(now);
        self.say().await
    }

    async fn keep_lease(&mut self, now: Millis) -> Result<(), RegistryError> {
        let Some(lease) = self.lease() else { return Ok(()) };
        within(self.registry.keep_alive(lease)).await?;
        self.tenure.kept(now);
        self.say().await
    }

    /// Makes the registry say what is so.
    async fn say(&mut self) -> Result<(), RegistryError> {
        let Some(registered) = &mut self.registered else { return Ok(()) };
        let wanted = self.syndics.borrow_and_update().clone();
        let said = registered.say(&*self.registry, &self.own, &self.presence, &wanted);
        timeout(CALL_TIME, said).await.unwrap_or_else(|_| Err(no_answer()))
    }

    async fn stand(&mut self) -> Result<(), RegistryError> {
        let Some(lease) = self.lease() else { return Ok(()) };
        let (key, value) = (self.picture.key.clone(), self.own.as_str().as_bytes().to_vec());
        match within(self.registry.swap(key.clone(), None, value.clone().into(), Some(lease))).await? {
            Swap::Done(revision) => {
                self.picture.elected(Entry { key, value: value.into(), revision, lease: Some(lease) });
            }
            Swap::Other(Some(entry)) => self.picture.elected(entry),
            Swap::Other(None) => {}
        }
        Ok(())
    }

    /// Waits for something to hear, or for the moment.
    async fn wait(&mut self, until: Millis) -> Result<(), RegistryError> {
        let next = async {
            match &mut self.watch {
                Some(watch) => watch.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = next => match event {
                Some(event) => if !self.picture.event(event) {
                    let listing = within(self.registry.list(Area::All)).await?;
                    self.picture.list(listing);
                },
                None => {
                    self.watch = None;
                    return Err(RegistryError::Unreachable("the watch ended".into()));
                }
            },
            Ok(()) = self.syndics.changed() => self.say().await?,
            Some(()) = self.ended.recv() => self.resign().await?,
            () = tokio::time::sleep(self.clock.until(until)) => {}
        }
        Ok(())
    }

    /// The term has ended by itself: others come first.
    async fn resign(&mut self) -> Result<(), RegistryError> {
        let ours = self.picture.ours(self.lease());
        if self.tenure.term_ended(self.clock.now()) {
            self.picture.resigned();
        }
        let (Some(ours), Key::Leader(task)) = (ours, &self.picture.key) else { return Ok(()) };
        timeout(CALL_TIME, leadership::resign(&*self.registry, task, ours))
            .await
            .unwrap_or(Err(no_answer()))?;
        Ok(())
    }

    /// What a call came to.
    fn heard(&mut self, done: Result<(), RegistryError>) {
        let now = self.clock.now();
        match done {
            Ok(()) if self.tenure.silent().is_none() && self.told.take().is_some() => {
                info!("the registry answers again");
            }
            Ok(()) => {}
            Err(error @ RegistryError::LeaseEnded(_)) => {
                warn!(%error, "the lease is lost: registering anew");
                if self.picture.leader(self.lease()) == Leader::Ours {
                    self.picture.resigned();
                }
                self.registered = None;
                self.tenure.lease_ended(now);
            }
            Err(error) => {
                self.tenure.unanswered(now);
                self.complain(error.to_string());
            }
        }
        let leader = self.picture.leader(self.lease());
        self.tenure.heard(now, leader);
    }

    /// The same error twice a second would bury the log.
    fn complain(&mut self, error: String) {
        if self.told.as_ref() != Some(&error) {
            warn!(error, retry_ms = RETRY, "trouble with the registry; running jobs go on");
            self.told = Some(error);
        }
    }

    fn tell(&self) {
        let (now, certain_until) = (self.clock.now(), self.tenure.certain_until());
        let lead = Lead {
            owns: self.tenure.owns(),
            certain_until,
            uncertain_since: self.tenure.silent().or(self.tenure.certain(now).err()).unwrap_or(certain_until),
            vacant_since: self.tenure.vacant_since(),
            owner: self.picture.owner(),
            present: self.picture.present().clone(),
        };
        self.lead.send_if_modified(|before| std::mem::replace(before, lead.clone()) != lead);
    }

    /// Gives everything back: who comes next need not wait.
    async fn leave(&mut self) {
        let Some(lease) = self.lease() else { return };
        if self.picture.leader(Some(lease)) == Leader::Ours {
            self.presence.leaving = true;
            let _ = self.say().await;
            let _ = self.resign().await;
        }
        let _ = self.registry.revoke(lease).await;
    }
}

async fn within<T>(call: RegistryFuture<T>) -> Result<T, RegistryError> {
    timeout(CALL_TIME, call).await.unwrap_or_else(|_| Err(no_answer()))
}

fn no_answer() -> RegistryError {
    RegistryError::Unreachable(format!("no answer within {CALL_TIME:?}"))
}
