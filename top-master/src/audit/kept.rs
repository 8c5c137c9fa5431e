//! How the log stands in the store, and whether what stands there is whole.
//!
//! Records are under their numbers. Beside them, in the same transactions: the *head* (how long the log is, and the peaks of its
//! tree, so that appending reads nothing), the newest signed checkpoint of each hour with the peaks of its time, and the keys
//! that signed. Who takes the log over starts from the newest checkpoint and reads on to the head: a second's records at most.

use std::{path::Path, str::FromStr, sync::Arc};

use bytes::Bytes;
use relay_core::audit::{
    Entry, Hash, Log, SignedCheckpoint, VerifierKey,
    tree::{Hex, from_hex},
};
use relay_runtime::{
    checkpoint::signed_by,
    store::{Area, Expect, PutRecord, Record, Store},
};
use serde::{Deserialize, Serialize};

use super::{AuditError, DIRECTORY};

/// The version of what is kept beside the records.
const FORMAT: u64 = 1;
const HEAD: &[u8] = b"head";
const CHECKPOINT: &[u8] = b"checkpoint/";
const KEY: &[u8] = b"key/";
/// Records that are read at once.
const PAGE: usize = 1_000;
/// Most keys that are read: a top master makes one in its life.
const MAX_KEYS: usize = 1_000;

/// A log of which the records are elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) log: Log,
    /// The leaf of the last record.
    pub(super) last: Option<Hash>,
    /// The hour that the newest checkpoint is kept under.
    pub(super) hour: u64,
}

/// A newest checkpoint, as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) text: String,
    pub(super) size: u64,
}

/// The head or a checkpoint, as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    format: u64,
    size: u64,
    peaks: Vec<String>,
    last: String,
    /// The hour of the newest checkpoint; 0: there is none.
    hour: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    text: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    format: u64,
    key: String,
}

fn damaged(why: impl std::fmt::Display) -> AuditError {
    AuditError::Damaged(why.to_string())
}

impl Mark {
    fn of(state: &State, text: String) -> Mark {
        let hex = |hash: &Hash| Hex(hash).to_string();
        let peaks = state.log.peaks().iter().map(hex).collect();
        let last = state.last.as_ref().map(hex).unwrap_or_default();
        Mark { format: FORMAT, size: state.log.size(), peaks, last, hour: state.hour, text }
    }

    fn read(record: &Record, what: &str) -> Result<(State, String), AuditError> {
        let mark: Mark = read(record, what)?;
        let wrong = || damaged(format_args!("{what}: its hashes are not as many as its size asks for"));
        let peaks: Option<Vec<Hash>> = mark.peaks.iter().map(|hex| from_hex(hex)).collect();
        let log = peaks.and_then(|peaks| Log::restore(mark.size, peaks)).ok_or_else(wrong)?;
        let last = from_hex(&mark.last);
        if last.is_some() != (mark.size > 0) {
            return Err(wrong());
        }
        Ok((State { log, last, hour: mark.hour }, mark.text))
    }
}

fn read<T: for<'de> Deserialize<'de>>(record: &Record, what: &str) -> Result<T, AuditError> {
    serde_json::from_slice(&record.value).map_err(|e| damaged(format_args!("{what} can't be read: {e}")))
}

fn put(area: Area, key: Vec<u8>, expect: Expect, value: &impl Serialize) -> PutRecord {
    // Strings and numbers: writing them cannot fail.
    let value = serde_json::to_vec(value).unwrap_or_default();
    PutRecord { area, key: key.into(), expect, value: Some(value.into()) }
}

/// A record's line, under its number. Nobody has written one there.
pub(super) fn put_line(seq: u64, line: Vec<u8>) -> PutRecord {
    let key = Bytes::copy_from_slice(&seq.to_be_bytes());
    PutRecord { area: Area::Audit, key, expect: Expect::Absent, value: Some(line.into()) }
}

/// The head. The store lets only the owner write.
pub(super) fn put_head(state: &State) -> PutRecord {
    put(Area::Checkpoint, HEAD.to_vec(), Expect::Any, &Mark::of(state, String::new()))
}

/// A checkpoint, in the place of the one before of the same hour.
pub(super) fn put_checkpoint(state: &State, text: &str) -> PutRecord {
    put(Area::Checkpoint, hour_key(state.hour), Expect::Any, &Mark::of(state, text.to_owned()))
}

fn hour_key(hour: u64) -> Vec<u8> {
    [CHECKPOINT, &hour.to_be_bytes()].concat()
}

/// The public half of a key, so that other owners know it.
pub(super) fn put_key(key: &VerifierKey) -> PutRecord {
    let name = [KEY, Hex(&sha(key)).to_string().as_bytes()].concat();
    put(Area::Checkpoint, name, Expect::Any, &Key { format: FORMAT, key: key.to_string() })
}

fn sha(key: &VerifierKey) -> Hash {
    use sha2::{Digest, Sha256};
    Sha256::digest(key.to_string()).into()
}

async fn one(store: &Arc<dyn Store>, key: Vec<u8>) -> Result<Option<Record>, AuditError> {
    store.record(Area::Checkpoint, key.into()).await.map_err(AuditError::Store)
}

/// The keys that have signed this log.
pub(super) async fn keys(store: &Arc<dyn Store>) -> Result<Vec<VerifierKey>, AuditError> {
    let page = store.records(Area::Checkpoint, KEY.into(), MAX_KEYS).await.map_err(AuditError::Store)?;
    let ours = page.iter().filter(|record| record.key.starts_with(KEY));
    let parse = |record| {
        read::<Key>(record, "a key").and_then(|key| VerifierKey::from_str(&key.key).map_err(damaged))
    };
    ours.map(parse).collect()
}

/// Some lines of the log, from one number on.
///
/// # Errors
/// The store can't be read, or a record is missing.
pub async fn read_page(store: &dyn Store, from: u64, limit: usize) -> Result<Vec<(u64, Bytes)>, AuditError> {
    // Keys above it: the number before, and none before the first.
    let after = from.checked_sub(1).map(|seq| Bytes::copy_from_slice(&seq.to_be_bytes())).unwrap_or_default();
    let page = store.records(Area::Audit, after, limit.min(PAGE)).await.map_err(AuditError::Store)?;
    let numbered = (from..).zip(page).map(|(seq, record)| match record.key[..] == seq.to_be_bytes() {
        true => Ok((seq, record.value)),
        false => Err(damaged(format_args!("record {seq} is missing"))),
    });
    numbered.collect()
}

/// The log as it is, checked; with its newest checkpoint. `witness`: the last checkpoint that this top master signed, which the
/// store can't have changed.
pub(super) async fn load(
    store: &Arc<dyn Store>,
    own: &VerifierKey,
    witness: Option<&SignedCheckpoint>,
) -> Result<(State, Signed), AuditError> {
    let Some(head) = one(store, HEAD.to_vec()).await? else {
        return nothing(store, witness).await;
    };
    let (head, _) = Mark::read(&head, "its head")?;
    let (mut state, signed) = newest_checkpoint(store, &head, own).await?;
    let mut witness = Witness(witness);
    witness.look(&state.log)?;
    loop {
        let from = state.log.size();
        let page = read_page(&**store, from, PAGE).await?;
        if page.is_empty() {
            break;
        }
        for (seq, line) in page {
            follow(&mut state, seq, &line)?;
            witness.look(&state.log)?;
        }
        if state.log.size() > head.log.size() {
            return Err(damaged(format_args!(
                "there are records behind its end, which is record {}",
                head.log.size()
            )));
        }
    }
    state.hour = head.hour;
    if state != head {
        let (found, said) = (state.log.size(), head.log.size());
        return Err(damaged(format_args!("its records ({found}) are not those of its head ({said})")));
    }
    witness.seen(&state.log)?;
    Ok((state, signed))
}

/// There is no head: there is no log.
async fn nothing(
    store: &Arc<dyn Store>,
    witness: Option<&SignedCheckpoint>,
) -> Result<(State, Signed), AuditError> {
    if !store.records(Area::Audit, Bytes::new(), 1).await.map_err(AuditError::Store)?.is_empty() {
        return Err(damaged("it has records and no head"));
    }
    Witness(witness).seen(&Log::default())?;
    Ok(Default::default())
}

/// Where to read on from: the newest checkpoint, if its signature and its hashes are right.
async fn newest_checkpoint(
    store: &Arc<dyn Store>,
    head: &State,
    own: &VerifierKey,
) -> Result<(State, Signed), AuditError> {
    if head.hour == 0 {
        return Ok(Default::default());
    }
    let Some(record) = one(store, hour_key(head.hour)).await? else {
        return Err(damaged("its newest checkpoint is missing"));
    };
    let (state, text) = Mark::read(&record, "its newest checkpoint")?;
    let signed: SignedCheckpoint = text.parse().map_err(damaged)?;
    let mut known = keys(store).await?;
    known.push(own.clone());
    signed_by(&known, &signed).map_err(|why| damaged(format_args!("its newest checkpoint: {why}")))?;
    let size = signed.checkpoint.size;
    if (size, signed.checkpoint.root) != (state.log.size(), state.log.root()) {
        return Err(damaged(format_args!(
            "its newest checkpoint, of {size} records, has other hashes beside it"
        )));
    }
    Ok((state, Signed { text, size }))
}

/// One more record, if it fits.
fn follow(state: &mut State, seq: u64, line: &[u8]) -> Result<(), AuditError> {
    let entry = Entry::decode(line).map_err(|why| damaged(format_args!("record {seq}: {why}")))?;
    if entry.seq != seq || entry.prev != state.last {
        return Err(damaged(format_args!(
            "record {seq} does not fit the one before it: one of them was changed"
        )));
    }
    let leaf = relay_core::audit::tree::leaf_hash(line);
    state.log.append(leaf);
    state.last = Some(leaf);
    Ok(())
}

/// What this top master has signed last, as it knows itself.
struct Witness<'w>(Option<&'w SignedCheckpoint>);

impl Witness<'_> {
    /// Compares, where the log has just that length.
    fn look(&mut self, log: &Log) -> Result<(), AuditError> {
        match self.0.take_if(|signed| signed.checkpoint.size == log.size()) {
            Some(signed) if signed.checkpoint.root != log.root() => Err(damaged(format_args!(
                "this top master has signed other records than the first {} that are in it",
                log.size()
            ))),
            _ => Ok(()),
        }
    }

    /// The log is over: it is not shorter than what was signed.
    fn seen(&self, log: &Log) -> Result<(), AuditError> {
        match self.0.map(|signed| signed.checkpoint.size).filter(|size| *size > log.size()) {
            Some(size) => Err(damaged(format_args!(
                "it has {} records, and this top master has signed {size}. If the store was restored from an older backup on purpose, move the file {DIRECTORY}/{WITNESS_FILE} in its state directory away",
                log.size()
            ))),
            None => Ok(()),
        }
    }
}

/// The last checkpoint that this top master signed, in its own state directory.
pub(super) const WITNESS_FILE: &str = "witness";

/// Reads the witness; one that can't be read is none.
pub(super) fn read_witness(path: &Path) -> Option<SignedCheckpoint> {
    std::fs::read_to_string(path).ok()?.parse().ok()
}
