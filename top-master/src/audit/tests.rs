//! The log as a term writes it: durable, chained, signed, gone on with by the next owner, and refused if it is not whole.

use std::{collections::BTreeMap, path::Path, time::Duration};

use bytes::Bytes;
use relay_core::audit::{
    Entry, Line, SignedCheckpoint,
    verify::{Findings, Verifier},
};
use relay_runtime::{
    checkpoint::signed_by,
    config::{AuditConfig, AuditFile, Syslog},
    store::{Area, Expect, PutRecord, SqliteStore},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{kept::WITNESS_FILE, *};

mod hooks;

/// Longer than anything here takes: a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A top master's directory and its store.
struct House {
    directory: tempfile::TempDir,
    store: Arc<dyn Store>,
    key: Arc<CheckpointKey>,
}

/// A term that runs.
struct Term {
    audit: Audit,
    token: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

fn event(n: u32) -> Event {
    Event::new(Kind::Job, "alice", "certificate").about(n)
}

fn key(directory: &Path) -> Arc<CheckpointKey> {
    Arc::new(CheckpointKey::open(directory, "test/audit/top-1").unwrap())
}

impl House {
    async fn new() -> House {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(&directory.path().join("store")).unwrap());
        store.begin().await.unwrap();
        let key = key(&directory.path().join("audit"));
        House { directory, store, key }
    }

    fn place(&self) -> PathBuf {
        self.directory.path().join("audit")
    }

    fn parts(&self) -> Parts {
        let (store, key, fabric) = (self.store.clone(), self.key.clone(), "test".parse().unwrap());
        Parts { store, key, directory: self.place(), fabric, epoch: Epoch(3) }
    }

    async fn open(&self) -> Result<Audit, AuditError> {
        Audit::open(self.parts()).await.map(|(audit, _)| audit)
    }

    async fn term(&self) -> Term {
        self.term_with(AuditConfig::default()).await
    }

    async fn term_with(&self, config: AuditConfig) -> Term {
        let (audit, writer) = Audit::open(self.parts()).await.unwrap();
        let token = CancellationToken::new();
        let source = outputs::Source {
            store: self.store.clone(),
            audit: audit.clone(),
            directory: self.place(),
            host: "top-1".into(),
        };
        let tasks = vec![
            tokio::spawn(writer.run(token.clone())),
            tokio::spawn(outputs::run(config, source, token.clone())),
        ];
        Term { audit, token, tasks }
    }

    /// All lines of the log, with the newest checkpoint behind the records that it is about.
    async fn verify(&self, text: &str) -> Findings {
        let mut verifier =
            Verifier::new(|signed: &SignedCheckpoint| signed_by([self.key.verifier()], signed).map(drop));
        let mut from = 0;
        verifier.checkpoint(text, "checkpoint");
        loop {
            let page = read_page(&*self.store, from, 7).await.unwrap();
            if page.is_empty() {
                return verifier.finish();
            }
            from += page.len() as u64;
            page.iter().for_each(|(_, line)| verifier.record(line));
        }
    }

    async fn put(&self, area: Area, key: &[u8], value: Option<Vec<u8>>) {
        let value = value.map(Bytes::from);
        let put = PutRecord { area, key: Bytes::copy_from_slice(key), expect: Expect::Any, value };
        assert!(self.store.put_records(vec![put]).await.unwrap());
    }

    /// The keys of an area, with what is there.
    async fn all(&self, area: Area) -> BTreeMap<Bytes, Bytes> {
        let all = self.store.records(area, Bytes::new(), 1_000).await.unwrap();
        all.into_iter().map(|record| (record.key, record.value)).collect()
    }
}

impl Term {
    async fn record(&self, n: u32) -> u64 {
        match tokio::time::timeout(PATIENCE, self.audit.record(event(n))).await.unwrap().unwrap() {
            Recorded::As(seq) => seq,
            Recorded::Counted => panic!("{n} was not recorded"),
        }
    }

    /// Ends it; what it came to.
    async fn end(self) -> Progress {
        let progress = self.audit.progress();
        self.token.cancel();
        for task in self.tasks {
            tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
        }
        progress.borrow().clone()
    }
}

#[tokio::test]
async fn what_is_recorded_is_durable_chained_and_signed() {
    let house = House::new().await;
    let term = house.term().await;
    let all = futures(&term, 100).await;
    assert_eq!(all, (0..100).collect::<Vec<_>>(), "each has its number, in order");
    let end = term.end().await;
    assert_eq!((end.size, end.signed), (100, 100));
    let found = house.verify(&end.checkpoint).await;
    assert_eq!((found.problems.clone(), found.proven), (vec![], 100));
    let first = Entry::decode(&read_page(&*house.store, 0, 1).await.unwrap()[0].1).unwrap();
    assert_eq!((first.seq, first.epoch, first.event), (0, Epoch(3), event(0)));
}

/// Reports that all wait together.
async fn futures(term: &Term, n: u32) -> Vec<u64> {
    let tasks: Vec<_> = (0..n)
        .map(|n| {
            let audit = term.audit.clone();
            tokio::spawn(async move { audit.record(event(n)).await.unwrap() })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Recorded::As(seq) => all.push(seq),
            Recorded::Counted => panic!("it was not recorded"),
        }
    }
    all.sort_unstable();
    all
}

#[tokio::test]
async fn a_checkpoint_comes_by_itself() {
    let house = House::new().await;
    let term = house.term().await;
    term.record(0).await;
    let mut progress = term.audit.progress();
    let signed = tokio::time::timeout(PATIENCE, progress.wait_for(|now| now.signed == 1)).await;
    assert!(signed.unwrap().unwrap().checkpoint.starts_with("test/audit\n1\n"));
    drop(progress);
    term.end().await;
}

#[tokio::test]
async fn the_next_owner_goes_on_with_it_also_with_another_key() {
    let mut house = House::new().await;
    let term = house.term().await;
    for n in 0..5 {
        term.record(n).await;
    }
    let first = term.end().await;
    // Another top master, which knows nothing of the first one's disk.
    house.key = key(&house.directory.path().join("other"));
    std::fs::remove_file(house.place().join(WITNESS_FILE)).unwrap();
    let term = house.term().await;
    assert_eq!(term.record(5).await, 5);
    let second = term.end().await;
    let found = house.verify(&second.checkpoint).await;
    assert_eq!((found.problems, found.proven), (vec![], 6));
    assert_eq!(
        house.verify(&first.checkpoint).await.problems.len(),
        1,
        "the first one is signed by another key"
    );
}

#[tokio::test]
async fn an_owner_that_was_killed_leaves_a_log_to_go_on_with() {
    let house = House::new().await;
    let term = house.term().await;
    futures(&term, 20).await;
    // Nothing is signed at its end.
    term.tasks.iter().for_each(JoinHandle::abort);
    let term = house.term().await;
    assert_eq!(term.record(20).await, 20);
    let end = term.end().await;
    assert_eq!(house.verify(&end.checkpoint).await.problems, []);
}

/// What is put where (or removed), and a word of what is said of it.
type Change = (Area, Vec<u8>, Option<Vec<u8>>, &'static str);

/// Whatever somebody changes in the store, the next owner does not go on with it.
#[tokio::test]
async fn a_log_that_is_not_whole_is_refused_in_words() {
    let house = House::new().await;
    let term = house.term().await;
    for n in 0..4 {
        term.record(n).await;
    }
    term.end().await;
    let (records, marks) = (house.all(Area::Audit).await, house.all(Area::Checkpoint).await);
    let seq = |n: u64| n.to_be_bytes().to_vec();
    let mark = |name: &str| marks.keys().find(|key| key.starts_with(name.as_bytes())).unwrap().to_vec();
    let other = |name: &str, from: &str, to: &str| {
        let text = String::from_utf8(marks[&mark(name)[..]].to_vec()).unwrap();
        assert!(text.contains(from), "{text}");
        Some(text.replacen(from, to, 1).into_bytes())
    };
    let table: Vec<Change> = vec![
        (Area::Audit, seq(4), Some(records[&seq(3)[..]].to_vec()), "record 4 does not fit"),
        (Area::Audit, seq(9), Some(b"{}".to_vec()), "record 4 is missing"),
        (Area::Checkpoint, mark("head"), None, "it has records and no head"),
        (Area::Checkpoint, mark("head"), other("head", "\"size\":4", "\"size\":2"), "its head"),
        (Area::Checkpoint, mark("head"), Some(b"?".to_vec()), "can't be read"),
        (Area::Checkpoint, mark("checkpoint"), None, "newest checkpoint is missing"),
        (Area::Checkpoint, mark("checkpoint"), other("checkpoint", "test/audit", "test/audio"), "signature"),
        (
            Area::Checkpoint,
            mark("checkpoint"),
            other("checkpoint", "\"peaks\":[\"", "\"peaks\":[\"0"),
            "hashes",
        ),
    ];
    for (area, key, value, word) in table {
        house.put(area, &key, value).await;
        let Err(error) = house.open().await else { panic!("{word}: it was opened") };
        let told = error.to_string();
        assert!(matches!(error, AuditError::Damaged(_)) && told.contains(word), "{word}: {told}");
        assert!(told.contains("restore the store from a backup"), "{told}");
        let before = if area == Area::Audit { &records } else { &marks };
        house.put(area, &key, before.get(&key[..]).map(|value| value.to_vec())).await;
        house.open().await.unwrap();
    }
}

/// All records, head and checkpoints of an older moment: as such they are whole.
#[tokio::test]
async fn a_store_that_went_back_is_refused_by_whoever_signed_more() {
    let house = House::new().await;
    let term = house.term().await;
    term.record(0).await;
    term.end().await;
    let (records, marks) = (house.all(Area::Audit).await, house.all(Area::Checkpoint).await);
    let term = house.term().await;
    term.record(1).await;
    term.end().await;
    for (area, before) in [(Area::Audit, records), (Area::Checkpoint, marks)] {
        for (key, _) in house.all(area).await {
            house.put(area, &key, before.get(&key).map(|value| value.to_vec())).await;
        }
    }
    let Err(error) = house.open().await else { panic!("it was opened") };
    assert!(error.to_string().contains("this top master has signed 2"), "{error}");
    std::fs::remove_file(house.place().join(WITNESS_FILE)).unwrap();
    house.open().await.unwrap();
}

#[tokio::test]
async fn a_former_owner_records_nothing_and_says_so() {
    let house = House::new().await;
    let term = house.term().await;
    term.record(0).await;
    let next = SqliteStore::open(&house.directory.path().join("store")).unwrap();
    next.begin().await.unwrap();
    let refused = term.audit.record(event(1)).await;
    assert_eq!(refused, Err(AuditError::Store(StoreError::Fenced)));
    assert_eq!(house.all(Area::Audit).await.len(), 1);
    term.end().await;
    let (audit, writer) = Audit::open(house.parts()).await.unwrap();
    drop(writer);
    assert_eq!(audit.record(event(1)).await, Err(AuditError::Closed));
}

/// A commit that was reported as failed, and was done.
#[tokio::test]
async fn after_a_failure_the_log_is_read_again() {
    let house = House::new().await;
    let term = house.term().await;
    term.record(0).await;
    let other = house.term().await;
    other.record(1).await;
    other.end().await;
    assert_eq!(term.audit.record(event(2)).await, Err(AuditError::Moved));
    assert_eq!(term.record(2).await, 2, "and then it goes on");
    let end = term.end().await;
    assert_eq!(house.verify(&end.checkpoint).await.problems, []);
}

#[tokio::test]
async fn refusals_are_counted_and_the_count_is_recorded() {
    let house = House::new().await;
    let term = house.term().await;
    let deny = || Event::new(Kind::Deny, "mallory", "token").about("cmd.run");
    let mut recorded = 0;
    for _ in 0..100 {
        recorded += u32::from(term.audit.record(deny()).await.unwrap() != Recorded::Counted);
    }
    assert_eq!(recorded, denials::PER_CALLER);
    let end = term.end().await;
    let last = read_page(&*house.store, end.size - 1, 1).await.unwrap();
    let last = Entry::decode(&last[0].1).unwrap().event;
    assert_eq!((last.kind, &*last.who, &*last.subject), (Kind::Suppressed, "mallory", "deny"));
    assert_eq!(last.details["count"], (100 - denials::PER_CALLER).to_string());
}

#[tokio::test]
async fn a_test_sees_what_was_reported() {
    let (audit, reported) = Audit::double();
    audit.record(event(1)).await.unwrap();
    audit.note(event(2));
    assert_eq!(reported.seen(), [(Kind::Job, "1".into()), (Kind::Job, "2".into())]);
    assert_eq!(reported.events()[0], event(1));
}

fn file(house: &House) -> AuditFile {
    AuditFile { path: house.directory.path().join("out.jsonl"), rotate_bytes: 1 << 20, keep: 2 }
}

/// The lines of a file, verified.
fn verify_file(house: &House, path: &Path) -> Findings {
    let mut verifier =
        Verifier::new(|signed: &SignedCheckpoint| signed_by([house.key.verifier()], signed).map(drop));
    for line in std::fs::read(path).unwrap().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match Line::of(line) {
            Line::Record(line) => verifier.record(line),
            Line::Checkpoint(text) => verifier.checkpoint(&text, "a line"),
        }
    }
    verifier.finish()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_has_all_of_the_log_over_terms() {
    let house = House::new().await;
    // What was before there was a file comes into it, too.
    let term = house.term().await;
    term.record(0).await;
    term.end().await;
    let config = AuditConfig { file: Some(file(&house)), syslog: None };
    for round in 1..4 {
        let term = house.term_with(config.clone()).await;
        futures(&term, 10).await;
        term.end().await;
        let found = verify_file(&house, &file(&house).path);
        assert_eq!((found.problems, found.proven), (vec![], 1 + 10 * round));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn syslog_gets_every_record_also_those_of_a_time_without_a_server() {
    let house = House::new().await;
    let path = house.directory.path().join("log");
    let config = AuditConfig { file: None, syslog: Some(Syslog::Unix(path.clone())) };
    let term = house.term_with(config).await;
    term.record(0).await;
    let server = tokio::net::UnixDatagram::bind(&path).unwrap();
    term.record(1).await;
    for n in 0..2 {
        let mut buffer = vec![0; 9_000];
        let got = tokio::time::timeout(PATIENCE, server.recv(&mut buffer)).await.unwrap().unwrap();
        let told = String::from_utf8(buffer[..got].to_vec()).unwrap();
        assert!(told.contains(&format!(" top-1 relay {n} job - ")), "{told}");
    }
    term.end().await;
}
