//! Approvals as the store keeps them: one record for each job that waits, or waited, for a second person.

use bytes::Bytes;
use prost::Message as _;
use relay_core::{
    Members,
    access::{Caller, How},
    time::WallMicros,
};
use relay_proto::{Code, access as proto};
use relay_runtime::store::{Area, Expect, PutRecord, Record, Store};
use tonic::Status;

use crate::operator::store_error;

/// The version of the records this build reads and writes.
const FORMAT: u32 = 1;
/// Most that wait at once: whoever reads the list is a person.
pub const MAX_WAITING: usize = 200;
/// Most of one caller.
pub const MAX_WAITING_OF_ONE: usize = 20;
/// How long one is kept after its time: long enough to see what became of it, as long as a request id is remembered.
const KEPT_AFTER: WallMicros = 7 * 24 * 60 * 60 * 1_000_000;
/// Records read at once.
const PAGE: usize = 500;

/// Where an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Pending,
    Approved,
    Rejected,
    /// Nobody decided in time.
    Expired,
}

impl State {
    const KEPT: [State; 3] = [State::Pending, State::Approved, State::Rejected];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Approved => "approved",
            State::Rejected => "rejected",
            State::Expired => "expired",
        }
    }
}

/// A record, with its key and its revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// What is approved: SHA-256 over who asked, the exact request and its targets.
    pub digest: [u8; 32],
    /// To change it as it was read.
    pub revision: u64,
    /// What is kept.
    pub what: proto::KeptApproval,
}

impl Kept {
    fn read(record: Record) -> Result<Kept, Status> {
        let damaged = |why: String| Code::Store.status(format!("a stored approval can't be read: {why}"));
        let digest = <[u8; 32]>::try_from(record.key.as_ref()).map_err(|_| damaged("its key".into()))?;
        let what = proto::KeptApproval::decode(record.value).map_err(|e| damaged(e.to_string()))?;
        match what.format {
            FORMAT => Ok(Kept { digest, revision: record.revision, what }),
            other => Err(damaged(format!("format {other}; this build knows {FORMAT}"))),
        }
    }

    /// Where it stands at a moment.
    pub fn state(&self, now: WallMicros) -> State {
        let kept = State::KEPT.into_iter().find(|state| state.word() == self.what.state);
        match kept.unwrap_or(State::Rejected) {
            State::Pending if self.what.expires <= now => State::Expired,
            state => state,
        }
    }

    /// Whoever asked.
    ///
    /// # Errors
    /// The record is damaged.
    pub fn caller(&self) -> Result<Caller, Status> {
        let damaged = |why: String| Code::Store.status(format!("a stored approval can't be read: {why}"));
        let how =
            How::from_word(&self.what.how).ok_or_else(|| damaged(format!("how {:?}", self.what.how)))?;
        Caller::new(&self.what.caller, self.what.groups.iter().cloned(), how)
            .map_err(|e| damaged(e.to_string()))
    }

    /// Its targets.
    ///
    /// # Errors
    /// The record is damaged.
    pub fn targets(&self) -> Result<Members, Status> {
        let read = Members::deserialize_from(self.what.targets.as_slice());
        read.map_err(|e| Code::Store.status(format!("a stored approval can't be read: its targets: {e}")))
    }

    fn put(&self, expect: Expect) -> PutRecord {
        let value = proto::KeptApproval { format: FORMAT, ..self.what.clone() }.encode_to_vec();
        PutRecord {
            area: Area::Approval,
            key: Bytes::copy_from_slice(&self.digest),
            expect,
            value: Some(value.into()),
        }
    }
}

/// One by its digest.
pub async fn one(store: &dyn Store, digest: [u8; 32]) -> Result<Option<Kept>, Status> {
    let record = store.record(Area::Approval, Bytes::copy_from_slice(&digest)).await.map_err(store_error)?;
    record.map(Kept::read).transpose()
}

/// All of them, newest first.
pub async fn all(store: &dyn Store) -> Result<Vec<Kept>, Status> {
    let (mut all, mut after) = (Vec::new(), Bytes::new());
    loop {
        let page = store.records(Area::Approval, after.clone(), PAGE).await.map_err(store_error)?;
        let Some(last) = page.last() else { break };
        after = last.key.clone();
        all.extend(page.into_iter().map(Kept::read).collect::<Result<Vec<_>, _>>()?);
    }
    all.sort_by_key(|kept| std::cmp::Reverse((kept.what.asked, kept.digest)));
    Ok(all)
}

/// Keeps a new one, and forgets those whose time is long over. False: it is there by now.
///
/// # Errors
/// Too many wait, or the store can't be written.
pub async fn add(store: &dyn Store, new: &Kept, now: WallMicros) -> Result<bool, Status> {
    let all = all(store).await?;
    let waiting = || all.iter().filter(|kept| kept.state(now) == State::Pending);
    if waiting().count() >= MAX_WAITING {
        return Err(Code::Busy
            .status(format!("{MAX_WAITING} jobs wait for a second person: have some decided first")));
    }
    if waiting().filter(|kept| kept.what.caller == new.what.caller).count() >= MAX_WAITING_OF_ONE {
        let told =
            format!("{MAX_WAITING_OF_ONE} of your jobs wait for a second person: have some decided first");
        return Err(Code::Busy.status(told));
    }
    let over = all.iter().filter(|kept| kept.what.expires.saturating_add(KEPT_AFTER) <= now);
    let forget = over.map(|kept| PutRecord {
        area: Area::Approval,
        key: Bytes::copy_from_slice(&kept.digest),
        expect: Expect::Any,
        value: None,
    });
    let puts = forget.take(PAGE).chain([new.put(Expect::Absent)]).collect();
    store.put_records(puts).await.map_err(store_error)
}

/// Changes one as it was read; nothing if it is not so any more.
///
/// # Errors
/// The store can't be written.
pub async fn change(
    store: &dyn Store,
    kept: &Kept,
    how: impl FnOnce(&mut proto::KeptApproval),
) -> Result<Option<Kept>, Status> {
    let mut changed = kept.clone();
    how(&mut changed.what);
    let put = changed.put(Expect::Revision(kept.revision));
    match store.put_records(vec![put]).await.map_err(store_error)? {
        true => one(store, kept.digest).await,
        false => Ok(None),
    }
}
