//! The bundle of trust in the hands of the owner: read from the store, kept current, written, and published.
//!
//! The owner alone writes it (the store fences others off), so there is one line of versions. What is written is durable before
//! anybody hears of it. Everybody who passes bundles on follows [`Trust::trusted`].

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message;
use relay_core::audit::{Event, Kind};
use relay_proto::trust::Signed;
use relay_runtime::{
    authority::AuthorityError,
    store::{Area, Expect, PutRecord, Record, Store, StoreError},
    trust::{
        self, Anchors, Denied, Flaw, JobKey, Keys, Refused, Seconds, SigningError,
        bundle::{self, MAX_DENIED, MAX_JOB_KEYS},
    },
};
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::Trust;
use crate::audit::Audit;

/// How long a list is taken for new. While top masters are away for longer, nobody takes jobs; that is how long an old list can
/// be passed off as the present one.
const KEYS_LIFE: Seconds = 3 * 24 * 3600;
/// With so much left, a list is signed anew.
const KEYS_RENEWED: Seconds = 2 * 24 * 3600;
/// Keys, times and the directory are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// The records in the store.
const ANCHORS_KEY: &[u8] = b"anchors";
const KEYS_KEY: &[u8] = b"keys";

/// Why the bundle could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is in the store cannot be read.
    #[error("the bundle of trust in the store: {0}")]
    Flawed(#[from] Flaw),
    /// Two authorities.
    #[error("{0}")]
    Authority(String),
    /// The directory.
    #[error(transparent)]
    Held(#[from] AuthorityError),
    /// The keys that sign jobs.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// Somebody else has written it meanwhile.
    #[error("another top master has changed the bundle of trust meanwhile")]
    Moved,
    /// What was made is not believed by this very process.
    #[error("this top master's own bundle is refused: {0}")]
    Refused(#[from] Refused),
    /// Nothing more can be denied.
    #[error(
        "{MAX_DENIED} enrolments are denied already: rotate the issuers, or wait until certificates have expired"
    )]
    Full,
    /// Enrolment 0 is everybody who has none.
    #[error("a certificate without an enrolment can't be denied: rotate its issuer or its root")]
    Unknown,
}

/// The owner's book. Clones share it.
#[derive(Clone)]
pub struct Book {
    trust: Trust,
    store: Arc<dyn Store>,
    audit: Audit,
    page: Arc<Mutex<Page>>,
}

/// The bundle as it stands in the store.
struct Page {
    anchors: Signed,
    anchors_read: Anchors,
    keys: Keys,
    /// The revisions of both records.
    revisions: [Option<u64>; 2],
    /// What is not written yet: the first look of a term writes.
    written: bool,
    /// A write failed, and may have been done all the same: what stands here may be older than the store.
    doubtful: bool,
}

impl Book {
    /// Takes the bundle over: names this top master's keys in it, makes that durable, and publishes it. To be called when a
    /// term begins, before any job is signed.
    ///
    /// # Errors
    /// It can't be read or written, or is of another authority.
    pub async fn begin(trust: Trust, store: Arc<dyn Store>, audit: Audit) -> Result<Book, BookError> {
        let page = Page::read(&trust, &*store).await?;
        let book = Book { trust, store, audit, page: Arc::new(Mutex::new(page)) };
        book.look(trust::now()).await?;
        Ok(book)
    }

    /// Keeps it current, until stopped.
    pub async fn run(self, token: CancellationToken) {
        let mut held = self.trust.0.held.subscribe();
        held.mark_unchanged();
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                _ = held.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if let Err(why) = self.look(trust::now()).await {
                error!(%why, "the bundle of trust is not current; trying on");
            }
        }
    }

    /// Certificates of an enrolment, up to and with a generation, count no more from now on, anywhere. When this comes
    /// back it is durable and on its way; links that stand are cut as it arrives.
    ///
    /// # Errors
    /// It is not denied.
    pub async fn deny(&self, denied: Denied, now: Seconds) -> Result<(), BookError> {
        // A list that named it would be refused by every reader, this top master's next term among them.
        if denied.uid == 0 {
            return Err(BookError::Unknown);
        }
        let mut page = self.page().await?;
        let mut keys = page.keys.clone();
        let full = keys.denied.len() >= MAX_DENIED;
        match keys.denied.iter_mut().find(|known| known.uid == denied.uid) {
            Some(known)
                if known.up_to_generation >= denied.up_to_generation && known.until >= denied.until =>
            {
                return Ok(());
            }
            Some(known) => {
                known.up_to_generation = known.up_to_generation.max(denied.up_to_generation);
                known.until = known.until.max(denied.until);
            }
            None if full => return Err(BookError::Full),
            None => keys.denied.push(denied),
        }
        self.publish(&mut page, keys, now).await?;
        warn!(uid = format!("{:016x}", denied.uid), up_to = denied.up_to_generation, "denied");
        Ok(())
    }

    /// Looks whether something is to be changed, and changes it.
    pub(super) async fn look(&self, now: Seconds) -> Result<(), BookError> {
        let mut page = self.page().await?;
        self.trust.signing().rotate(now)?;
        let renewed = page.take_anchors(&self.trust)?;
        let listed = self.trust.signing().listed();
        let mut keys = page.keys.clone();
        keys.denied.retain(|denied| now < denied.until);
        keys.job_keys.retain(|key| now < key.not_after);
        name(&mut keys.job_keys, &listed);
        let due = keys.expires < now + KEYS_RENEWED;
        if page.written && !renewed && !due && keys == page.keys {
            return Ok(());
        }
        self.publish(&mut page, keys, now).await
    }

    /// The page, read again if it is not known whether the last change of it was written.
    async fn page(&self) -> Result<MutexGuard<'_, Page>, BookError> {
        let mut page = self.page.lock().await;
        if page.doubtful {
            *page = Page::read(&self.trust, &*self.store).await?;
        }
        Ok(page)
    }

    /// Signs, writes, and tells. What this process itself would not believe is not written.
    async fn publish(&self, page: &mut Page, mut keys: Keys, now: Seconds) -> Result<(), BookError> {
        let known = self.trust.trusted().now().versions().1.max(page.keys.version);
        // By the clock: a store that was lost or restored must not begin below what others have seen.
        keys.version = (known + 1).max(now);
        keys.expires = now + KEYS_LIFE;
        let held = self.trust.held();
        let signed = keys.sign(held.list_key());
        let puts = [(ANCHORS_KEY, &page.anchors), (KEYS_KEY, &signed)].into_iter().zip(page.revisions);
        let puts = puts.map(|((key, value), revision)| PutRecord {
            area: Area::Trust,
            key: Bytes::from_static(key),
            expect: revision.map_or(Expect::Absent, Expect::Revision),
            value: Some(value.encode_to_vec().into()),
        });
        let bundle = bundle::encode(&page.anchors, &signed);
        self.trust.trusted().now().after(&bundle, now)?;
        page.doubtful = true;
        let written = self.store.put_records(puts.collect()).await?;
        if written {
            page.revisions =
                revisions(&*self.store).await?.map(|record| record.map(|record| record.revision));
        }
        page.doubtful = false;
        if !written {
            return Err(BookError::Moved);
        }
        self.trust.trusted().offer(&bundle, now)?;
        self.trust.signing().announced(&keys.job_keys);
        let own = self.trust.0.own.id();
        let event =
            Event::new(Kind::Trust, own, "self").about(keys.version).with("event", "bundle.published");
        let event = event.with("anchors", page.anchors_read.version).with("job_keys", keys.job_keys.len());
        // What is published is durable already, and who asked for it was recorded before.
        self.audit.note(event.with("denied", keys.denied.len()));
        info!(
            version = keys.version,
            job_keys = keys.job_keys.len(),
            denied = keys.denied.len(),
            "published the bundle of trust"
        );
        (page.keys, page.written) = (keys, true);
        Ok(())
    }
}

async fn revisions(store: &dyn Store) -> Result<[Option<Record>; 2], StoreError> {
    let record = |key| store.record(Area::Trust, Bytes::from_static(key));
    Ok([record(ANCHORS_KEY).await?, record(KEYS_KEY).await?])
}

/// Names these keys in the list, too. If it is full, the oldest of others go: their jobs are the likeliest to be over.
fn name(job_keys: &mut Vec<JobKey>, own: &[JobKey]) {
    let known: HashSet<[u8; 32]> = job_keys.iter().map(|key| key.public).collect();
    job_keys.extend(own.iter().filter(|key| !known.contains(&key.public)).cloned());
    let beyond = job_keys.len().saturating_sub(MAX_JOB_KEYS);
    if beyond > 0 {
        job_keys.sort_by_key(|key| (own.contains(key), key.not_after));
        job_keys.drain(..beyond);
    }
}

impl Page {
    async fn read(trust: &Trust, store: &dyn Store) -> Result<Page, BookError> {
        let held = trust.held();
        let [anchors, keys] = revisions(store).await?;
        let decode = |record: &Record| {
            Signed::decode(&*record.value).map_err(|_| BookError::Flawed(Flaw::Decode("a record")))
        };
        let revisions = [anchors.as_ref(), keys.as_ref()].map(|record| record.map(|record| record.revision));
        let mut page = Page {
            anchors: held.signed().clone(),
            anchors_read: held.anchors().clone(),
            keys: Keys {
                fabric: held.fabric().clone(),
                version: 0,
                expires: 0,
                job_keys: Vec::new(),
                denied: Vec::new(),
            },
            revisions,
            written: false,
            doubtful: false,
        };
        if let Some(anchors) = &anchors {
            let signed = decode(anchors)?;
            page.anchors_read = Anchors::read(&signed.payload)?;
            page.anchors = signed;
            page.take_anchors(trust)?;
        }
        if let Some(keys) = &keys {
            let signed = decode(keys)?;
            match Keys::signer(&signed, &page.anchors_read.list_keys) {
                Some(_) => page.keys = Keys::read(&signed.payload)?,
                None => {
                    warn!("the list in the store is signed by a key that counts no more: a new one is begun")
                }
            }
        }
        Ok(page)
    }

    /// The anchors of the directory, if they are newer. True: they are.
    fn take_anchors(&mut self, trust: &Trust) -> Result<bool, BookError> {
        let held = trust.held();
        let (own, known) = (held.anchors(), &self.anchors_read);
        if own.version > known.version {
            if !Anchors::signed_by_one(held.signed(), &known.roots) {
                let why = "the anchors in trust.dir do not follow those in the store: they are of another authority";
                return Err(BookError::Authority(why.into()));
            }
            (self.anchors, self.anchors_read) = (held.signed().clone(), own.clone());
            return Ok(true);
        }
        if own.version == known.version && held.signed().payload != self.anchors.payload {
            let why = "the anchors in trust.dir and in the store are two of one version: they are of two authorities";
            return Err(BookError::Authority(why.into()));
        }
        if own.version < known.version {
            if !Anchors::signed_by_one(&self.anchors, &own.roots) {
                let why = "the anchors in the store do not follow those in trust.dir: they are of another authority";
                return Err(BookError::Authority(why.into()));
            }
            if !known.list_keys.contains(&held.list_key().public()) {
                let why = "trust.dir is older than what the other top masters have, and its list key counts no more: copy theirs";
                return Err(BookError::Authority(why.into()));
            }
            warn!(
                own = own.version,
                store = known.version,
                "trust.dir is older than what other top masters have: copy theirs"
            );
        }
        Ok(false)
    }
}
