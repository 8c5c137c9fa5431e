//! Enrolment at the owner: records, tokens, and who gets a certificate.
//!
//! The rules are `relay_core::enrol`'s. Here they meet the world: [`kept`] is how records stand in the store, [`requests`] answers
//! newcomers and members, [`members`] and [`tokens`] answer operators, [`waiting`] counts who waits. Certificates are made and
//! withdrawn by whoever holds the issuers ([`Authority`]). Every change is one compare-and-swap in the store: of two requests
//! for a name that come at once, the second one is decided anew.

mod issuing;
mod kept;
mod members;
mod requests;
#[cfg(test)]
mod tests;
mod tokens;
mod waiting;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_core::future::BoxFuture;
use relay_core::{
    audit::{Event as Report, Kind},
    enrol::{Denial, Enrolled, Event, State, Step},
    identity::{FabricName, Identity},
};
use relay_proto::Code;
use relay_runtime::{
    clock::{Clock, wall},
    enrol::gate::Pace,
    store::{Area, Expect, PutRecord, Store},
    trust::{Enrolment, enrolment::BY_HAND},
};
use rustls_pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::{info, warn};

use crate::{audit::Audit, operator::store_error};
pub use issuing::Issuers;
use kept::{Name, Stood};
pub use members::MembersService;
pub use requests::EnrolService;
use waiting::Waiting;

/// How often a change is tried anew because somebody else changed the same record meanwhile.
const MAX_TRIES: usize = 8;
/// Records are looked through this often for those who have gone away, and for tokens whose time is up.
const SWEEP_EVERY: Duration = Duration::from_secs(10 * 60);
/// Records read at a time.
const PAGE: usize = 500;

/// Whoever holds the issuers, and says which certificates count no more.
pub trait Authority: Send + Sync {
    /// A certificate for this name with this key (SubjectPublicKeyInfo, DER), and those between it and the root.
    ///
    /// # Errors
    /// There is no issuer for it: in words, with what to do.
    fn issue(
        &self,
        who: &Identity,
        spki: &[u8],
        enrolment: Enrolment,
    ) -> Result<Vec<CertificateDer<'static>>, String>;
    /// How long a certificate counts.
    fn life(&self) -> Duration;
    /// The roots that count now.
    fn roots(&self) -> Vec<CertificateDer<'static>>;
    /// The newest bundle of trust, if there is one.
    fn bundle(&self) -> Option<Bytes>;
    /// Lets certificates count no more, everywhere. It is durable when this returns.
    fn deny(&self, denial: Denial) -> BoxFuture<'_, Result<(), String>>;
}

/// What enrolment works with.
pub struct Parts {
    /// The fabric.
    pub fabric: FabricName,
    /// Where records are.
    pub store: Arc<dyn Store>,
    /// Who makes certificates.
    pub authority: Arc<dyn Authority>,
    /// Where decisions are written down.
    pub audit: Audit,
    /// The process's clock.
    pub clock: Clock,
}

/// Enrolment during one term of ownership. Clones are the same one.
#[derive(Clone)]
pub struct Desk {
    parts: Arc<Parts>,
    waiting: Waiting,
    pace: Pace,
}

/// A change that was made: the answer, and the record as it stands.
struct Changed<T> {
    answer: T,
    record: Option<Enrolled>,
}

impl Desk {
    /// Looks through the records: who waits, and whose certificates must not count (which may not have been said before a crash).
    ///
    /// # Errors
    /// The store can't be read, or a record is of a newer version.
    pub async fn open(parts: Parts) -> anyhow::Result<Desk> {
        let pace = Pace::new(parts.clock);
        let desk = Desk { parts: Arc::new(parts), waiting: Waiting::default(), pace };
        let now = wall();
        for (name, stood) in desk.all().await.map_err(|status| anyhow::anyhow!("{}", status.message()))? {
            if stood.record.state == State::Pending {
                desk.waiting.enter(&stood.record.from);
            }
            let gone = matches!(stood.record.state, State::Quarantined | State::Retired);
            if let Some(denial) = stood.record.withdrawn().filter(|denial| gone && denial.until > now) {
                desk.deny(&name, denial).await.unwrap_or_else(|status| {
                    warn!(%name, why = status.message(), "what was withdrawn is not denied yet");
                });
            }
        }
        Ok(desk)
    }

    /// Forgets who has gone away, now and then, until stopped.
    pub async fn run(self, token: CancellationToken) {
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                () = tokio::time::sleep(SWEEP_EVERY) => {}
            }
            if let Err(status) = self.sweep(wall()).await {
                warn!(why = status.message(), "who has gone away can't be forgotten yet");
            }
        }
    }

    /// Removes those who wait and have not asked for long, and tokens that let nobody in any more.
    async fn sweep(&self, now: u64) -> Result<(), Status> {
        for (name, stood) in self.all().await? {
            let expect = Expect::Revision(stood.revision);
            if stood.record.is_stale(now) && self.put(&name, expect, None, Vec::new()).await? {
                self.waiting.leave(&stood.record.from);
                info!(%name, "has not asked for a day: forgotten");
            }
        }
        self.sweep_tokens(now).await
    }

    /// When a certificate ends that is given now, in microseconds.
    fn until(&self, now: u64) -> u64 {
        let life = self.parts.authority.life().as_micros();
        now.saturating_add(u64::try_from(life).unwrap_or(u64::MAX))
    }

    /// A uid that nobody has had: 63 random bits, which clash after some billion enrolments.
    fn new_uid() -> u64 {
        (rand::random::<u64>() % (BY_HAND - 1)) + 1
    }

    /// Does what a rule leads to, given how the name stood; `more` are changes to other records in the same transaction. Nothing: it
    /// stands otherwise by now, and the rule is to be asked again.
    async fn settle<T>(
        &self,
        name: &Name,
        stood: Option<Stood>,
        step: Step<T>,
        more: Vec<PutRecord>,
        report: Option<Report>,
    ) -> Result<Option<Changed<T>>, Status> {
        if let Some(report) = report {
            // Before it is so: what can't be written down is not done.
            self.record(report).await?;
        }
        let Some(record) = step.record else {
            return Ok(Some(Changed { answer: step.answer, record: stood.map(|stood| stood.record) }));
        };
        // First: should the rest fail, it is asked for again and denied twice. The other way round, a name that was given to
        // somebody else meanwhile would have lost the uid that was still to be denied.
        if let Some(denial) = step.deny {
            self.deny(name, denial).await?;
        }
        let expect = stood.as_ref().map_or(Expect::Absent, |stood| Expect::Revision(stood.revision));
        if !self.put(name, expect, Some(&record), more).await? {
            return Ok(None);
        }
        self.waiting.moved(stood.as_ref().map(|stood| &stood.record), &record);
        Ok(Some(Changed { answer: step.answer, record: Some(record) }))
    }

    /// Several change a name at once, again and again.
    fn crowded(name: &Name) -> Status {
        Code::Busy.status(format!("{name} is being changed by several at once: try again"))
    }

    /// Writes something down; it is durable when this returns.
    async fn record(&self, report: Report) -> Result<(), Status> {
        let recorded = self.parts.audit.record(report).await;
        recorded.map(drop).map_err(|error| Code::Store.status(error.to_string()))
    }

    async fn deny(&self, name: &Name, denial: Denial) -> Result<(), Status> {
        match self.parts.authority.deny(denial).await {
            Ok(()) => {
                info!(%name, uid = denial.uid, "its certificates count no more");
                Ok(())
            }
            Err(why) => {
                let why = format!("{name}: nothing is changed, its certificates can't be denied: {why}");
                Err(Code::Store.status(why))
            }
        }
    }

    async fn read(&self, name: &Name) -> Result<Option<Stood>, Status> {
        let record = self.parts.store.record(Area::Enrolled, name.key()).await.map_err(store_error)?;
        record.map(|record| Stood::read(&record)).transpose().map_err(|why| Code::Store.status(why))
    }

    /// Every name with its record.
    async fn all(&self) -> Result<Vec<(Name, Stood)>, Status> {
        let (mut all, mut after) = (Vec::new(), Bytes::new());
        loop {
            let page = self.parts.store.records(Area::Enrolled, after, PAGE).await.map_err(store_error)?;
            let Some(last) = page.last() else { return Ok(all) };
            after = last.key.clone();
            for record in &page {
                let name = Name::read(&record.key, &self.parts.fabric);
                let stood = Stood::read(record);
                all.push((
                    name.map_err(|why| Code::Store.status(why))?,
                    stood.map_err(|why| Code::Store.status(why))?,
                ));
            }
        }
    }

    /// Writes a record if it stands as it was read, with other changes. False: it does not.
    async fn put(
        &self,
        name: &Name,
        expect: Expect,
        record: Option<&Enrolled>,
        more: Vec<PutRecord>,
    ) -> Result<bool, Status> {
        let value = record.map(kept::write);
        let mut puts = vec![PutRecord { area: Area::Enrolled, key: name.key(), expect, value }];
        puts.extend(more);
        self.parts.store.put_records(puts).await.map_err(store_error)
    }
}

/// What is written down of something that happened to a name.
fn report(name: &Name, who: &str, how: &str, event: Event, record: Option<&Enrolled>) -> Report {
    let kind = match event {
        Event::Cloned | Event::Rejected | Event::Conflict => Kind::Deny,
        _ => Kind::Enrol,
    };
    let report = Report::new(kind, who, how).about(name).with("event", event.word());
    let Some(record) = record else { return report };
    let report = report.with("state", record.state).with("fingerprint", record.fingerprint);
    let report = if record.uid == 0 { report } else { report.with("uid", format!("{:016x}", record.uid)) };
    let report = if record.generation == 0 { report } else { report.with("generation", record.generation) };
    let why = (!record.why.is_empty()).then_some(&record.why);
    let report = why.into_iter().fold(report, |report, why| report.with("why", why));
    record.rivals.last().into_iter().fold(report, |report, rival| report.with("other_key", rival.fingerprint))
}
