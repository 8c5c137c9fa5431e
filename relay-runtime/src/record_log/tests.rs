//! Properties of the whole log: no damage and no failing disk ever shows a wrong record.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

use super::format::{HEADER_LEN, Header, RECORD_HEAD, RecordHead};
use super::tail::{Medium, Tail};
use super::{Kind, Limits, LogError, Opened, RecordLog};

const LIMITS: Limits = Limits { max_record_bytes: 1000, max_file_bytes: 100_000 };
const FIRST: u64 = 0x0102_0304_0506_0708;
const SECOND: u64 = 0x1112_1314_1516_1718;

fn open(path: &Path, incarnation: u64) -> Opened {
    RecordLog::open(path, Kind::Journal, incarnation, LIMITS).expect("opens")
}

fn write(log: &mut RecordLog, records: &[&[u8]]) {
    log.append(records).expect("room");
    log.commit().expect("commits");
}

/// A log of these records, one commit each, and its bytes.
fn sample(dir: &TempDir, records: &[Vec<u8>]) -> Vec<u8> {
    let path = dir.path().join("sample");
    let _ = fs::remove_file(&path);
    let mut log = open(&path, FIRST).log;
    records.iter().for_each(|record| write(&mut log, &[record]));
    fs::read(&path).expect("readable")
}

/// What must hold whatever happened to the bytes: a prefix under the old name or nothing under a new one, and a log
/// that goes on from there.
fn check_recovery(dir: &TempDir, bytes: &[u8], committed: &[Vec<u8>]) -> Opened {
    let scratch = tempfile::tempdir_in(dir.path()).expect("temp dir");
    let path = scratch.path().join("journal");
    fs::write(&path, bytes).expect("writable");
    let mut opened = open(&path, SECOND);
    if opened.incarnation == FIRST {
        assert!(committed.starts_with(&opened.records.iter().map(|r| r.to_vec()).collect::<Vec<_>>()));
        assert!(opened.reset.is_none());
    } else {
        assert_eq!((opened.incarnation, opened.records.len()), (SECOND, 0));
        assert_eq!(opened.reset.is_some(), !bytes.is_empty(), "only an empty file may go without a trace");
        let kept = opened.reset.as_ref().map(|reset| fs::read(&reset.set_aside).expect("set aside"));
        assert_eq!(kept.unwrap_or_default(), bytes);
    }
    write(&mut opened.log, &[b"after"]);
    let Opened { records, incarnation, log, torn, reset } = opened;
    drop(log);
    let again = open(&path, FIRST ^ SECOND);
    assert_eq!(again.incarnation, incarnation);
    assert_eq!(again.records.split_last(), Some((&Bytes::from_static(b"after"), records.as_slice())));
    assert!(again.torn.is_none() && again.reset.is_none());
    Opened { records, incarnation, torn, reset, log: again.log }
}

fn four() -> Vec<Vec<u8>> {
    vec![b"one".to_vec(), Vec::new(), vec![0; 24], b"four".to_vec()]
}

#[test]
fn a_log_cut_at_any_byte_yields_the_records_before_the_cut() {
    let dir = TempDir::new().unwrap();
    let records = four();
    let bytes = sample(&dir, &records);
    for cut in 0..=bytes.len() {
        let opened = check_recovery(&dir, &bytes[..cut], &records);
        if cut >= HEADER_LEN {
            let mut end = HEADER_LEN;
            let ends = records.iter().map(|record| {
                end += RECORD_HEAD + record.len();
                end
            });
            let whole = ends.filter(|end| *end <= cut).count();
            assert_eq!((opened.incarnation, opened.records.len()), (FIRST, whole), "cut at {cut}");
            let good: usize =
                HEADER_LEN + records[..whole].iter().map(|r| RECORD_HEAD + r.len()).sum::<usize>();
            assert_eq!(opened.torn.map(|torn| torn.dropped_bytes), (cut > good).then(|| (cut - good) as u64));
        }
    }
}

#[test]
fn a_flipped_byte_is_torn_in_the_last_record_and_a_reset_before_it() {
    let dir = TempDir::new().unwrap();
    let records = four();
    let bytes = sample(&dir, &records);
    let last = bytes.len() - RECORD_HEAD - records[3].len();
    for (at, mask) in (0..bytes.len()).flat_map(|at| [(at, 0x01), (at, 0x80), (at, 0xFF)]) {
        let mut bytes = bytes.clone();
        bytes[at] ^= mask;
        let opened = check_recovery(&dir, &bytes, &records);
        let expected = if at < last { (SECOND, 0, false) } else { (FIRST, 3, true) };
        let found = (opened.incarnation, opened.records.len(), opened.torn.is_some());
        assert_eq!(found, expected, "byte {at} ^ {mask:#x}");
    }
}

#[test]
fn a_vanished_record_is_a_reset_and_a_repeated_one_is_cut_off() {
    let dir = TempDir::new().unwrap();
    let records = four();
    let bytes = sample(&dir, &records);
    let starts: Vec<usize> = (0..=4)
        .map(|n| HEADER_LEN + records[..n].iter().map(|r| RECORD_HEAD + r.len()).sum::<usize>())
        .collect();
    for gone in 0..3 {
        let spliced = [&bytes[..starts[gone]], &bytes[starts[gone + 1]..]].concat();
        assert_eq!(check_recovery(&dir, &spliced, &records).incarnation, SECOND, "without record {gone}");
    }
    for again in 0..4 {
        let spliced = [&bytes[..], &bytes[starts[again]..starts[again + 1]]].concat();
        let opened = check_recovery(&dir, &spliced, &records);
        assert_eq!((opened.records.len(), opened.torn.is_some()), (4, true), "record {again} twice");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Records of any content, then up to three wounds anywhere, then a cut anywhere or junk at the end.
    #[test]
    fn no_wound_shows_a_wrong_record(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8),
        wounds in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 0..3),
        cut in prop::option::of(any::<prop::sample::Index>()),
        junk in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let dir = TempDir::new().unwrap();
        let mut bytes = sample(&dir, &records);
        for (at, mask) in wounds {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        bytes.extend_from_slice(&junk);
        check_recovery(&dir, &bytes, &records);
    }

    #[test]
    fn any_bytes_at_all_open(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check_recovery(&TempDir::new().unwrap(), &bytes, &[]);
    }

    /// A disk that runs full, frees up and fails to sync at random moments: after each step its bytes are exactly the
    /// committed records.
    #[test]
    fn a_failing_disk_holds_what_was_committed_and_nothing_else(
        steps in prop::collection::vec((0..4u8, 0..60usize, any::<bool>()), 1..60),
    ) {
        let disk = FullDisk { bytes: RefCell::default(), room: Cell::new(0), synced: Cell::new(0), sync_fails: Cell::new(false) };
        let mut tail = Tail::new(FIRST, 0, 5);
        let (mut committed, mut buffered) = (Vec::new(), Vec::new());
        for (number, (step, size, sync_fails)) in steps.into_iter().enumerate() {
            match step {
                0 | 1 => {
                    let payload = vec![number as u8; size];
                    tail.push(&payload);
                    buffered.push(payload);
                }
                2 => {
                    disk.room.set(disk.bytes.borrow().len() + size);
                    disk.sync_fails.set(sync_fails);
                    if tail.commit(&disk).is_ok() {
                        prop_assert_eq!(disk.synced.get(), disk.bytes.borrow().len());
                        committed.append(&mut buffered);
                    }
                }
                _ => {
                    prop_assert_eq!(tail.rollback(), buffered.len() as u64);
                    buffered.clear();
                }
            }
            prop_assert_eq!(disk.records(5), committed.clone());
            prop_assert_eq!(tail.committed_len(), disk.bytes.borrow().len() as u64);
        }
        disk.room.set(usize::MAX);
        disk.sync_fails.set(false);
        prop_assert!(tail.commit(&disk).is_ok());
        committed.append(&mut buffered);
        prop_assert_eq!(disk.records(5), committed);
    }
}

/// A disk in memory that takes what it has room for and then refuses, as a real one does.
struct FullDisk {
    bytes: RefCell<Vec<u8>>,
    room: Cell<usize>,
    synced: Cell<usize>,
    sync_fails: Cell<bool>,
}

impl FullDisk {
    fn records(&self, first_sequence: u64) -> Vec<Vec<u8>> {
        let (bytes, mut at, mut sequence, mut records) = (self.bytes.borrow(), 0, first_sequence, Vec::new());
        while at < bytes.len() {
            let head = RecordHead::decode(&bytes[at..]);
            let payload = &bytes[at + RECORD_HEAD..][..head.length as usize];
            assert!(head.matches(FIRST, payload) && head.sequence == sequence);
            records.push(payload.to_vec());
            at += RECORD_HEAD + payload.len();
            sequence += 1;
        }
        records
    }
}

impl Medium for FullDisk {
    fn write_all_at(&self, new: &[u8], offset: u64) -> io::Result<()> {
        let mut bytes = self.bytes.borrow_mut();
        bytes.truncate(offset as usize);
        self.synced.set(self.synced.get().min(bytes.len()));
        let fits = new.len().min(self.room.get().saturating_sub(bytes.len()));
        bytes.extend_from_slice(&new[..fits]);
        if fits < new.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.bytes.borrow_mut().truncate(len as usize);
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        if self.sync_fails.get() {
            return Err(io::Error::other("the disk is dying"));
        }
        self.synced.set(self.bytes.borrow().len());
        Ok(())
    }
}

#[test]
fn records_come_back_in_order_and_only_after_a_commit() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("journal");
    let mut opened = open(&path, FIRST);
    assert_eq!((opened.incarnation, opened.log.size()), (FIRST, 32));
    write(&mut opened.log, &[b"a", b"b"]);
    opened.log.append(&[b"never committed"]).unwrap();
    drop(opened);
    let again = open(&path, SECOND);
    assert_eq!(
        (again.incarnation, again.records.as_slice()),
        (FIRST, &[Bytes::from("a"), Bytes::from("b")][..])
    );
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn limits_refuse_the_whole_call() {
    let dir = TempDir::new().unwrap();
    let limits = Limits { max_record_bytes: 4, max_file_bytes: 32 + 2 * 20 };
    let path = dir.path().join("spool");
    let mut log = RecordLog::open(&path, Kind::Spool, FIRST, limits).unwrap().log;
    assert!(matches!(
        log.append(&[b"ok", b"five!"]),
        Err(LogError::RecordTooLarge { bytes: 5, limit: 4, .. })
    ));
    assert!(matches!(log.append(&[b"1234", b"1234", b""]), Err(LogError::Full { bytes: 88, limit: 72, .. })));
    assert_eq!(log.rollback(), 0);
    write(&mut log, &[b"1234", b"1234"]);
    assert_eq!(log.size(), 72);
    assert!(matches!(log.append(&[b""]), Err(LogError::Full { .. })));
    drop(log);
    let tight = Limits { max_record_bytes: 1, max_file_bytes: 1 };
    assert_eq!(RecordLog::open(&path, Kind::Spool, FIRST, tight).unwrap().records.len(), 2);
}

#[test]
fn a_rewrite_keeps_the_live_records_the_name_and_the_lock() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("journal");
    let mut log = open(&path, FIRST).log;
    write(&mut log, &[b"dead", b"live", b"dead too"]);
    log.append(&[b"buffered"]).unwrap();
    assert!(matches!(log.rewrite(&[]), Err(LogError::Uncommitted { .. })));
    log.rollback();
    log.rewrite(&[Bytes::from("live")]).unwrap();
    assert_eq!(log.size(), 32 + 20);
    // Sequences go on, so that a payload quoting the old file can never pass for a later record.
    let header = Header { version: 1, kind: 2, incarnation: FIRST, first_sequence: 3 };
    assert_eq!(fs::read(&path).unwrap()[..HEADER_LEN], header.encode());
    write(&mut log, &[b"new"]);
    assert!(matches!(RecordLog::open(&path, Kind::Journal, SECOND, LIMITS), Err(LogError::Locked { .. })));
    drop(log);
    let again = open(&path, SECOND);
    assert_eq!((again.incarnation, again.records), (FIRST, vec![Bytes::from("live"), Bytes::from("new")]));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_rewrite_that_cannot_finish_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("journal");
    let mut log = open(&path, FIRST).log;
    write(&mut log, &[b"live"]);
    let too_large = [Bytes::from("live"), Bytes::from(vec![0; 1001])];
    assert!(matches!(log.rewrite(&too_large), Err(LogError::RecordTooLarge { .. })));
    write(&mut log, &[b"new"]);
    drop(log);
    // What a crash in the middle of a rewrite leaves behind.
    fs::write(dir.path().join("journal.rewrite"), b"half").unwrap();
    assert_eq!(open(&path, SECOND).records, [Bytes::from("live"), Bytes::from("new")]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn what_this_program_must_not_touch_stays_as_it_is() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("journal");
    let newer = Header { version: 2, kind: 2, incarnation: FIRST, first_sequence: 0 }.encode();
    fs::write(&path, newer).unwrap();
    let error = RecordLog::open(&path, Kind::Journal, SECOND, LIMITS).unwrap_err();
    assert!(matches!(error, LogError::NewerFormat { found: 2, known: 1, .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), newer);

    let other = dir.path().join("spool");
    drop(open(&other, FIRST));
    let before = fs::read(&other).unwrap();
    let error = RecordLog::open(&other, Kind::Spool, SECOND, LIMITS).unwrap_err();
    assert!(matches!(error, LogError::WrongKind { wanted: Kind::Spool, .. }), "{error}");
    assert_eq!(fs::read(&other).unwrap(), before);
}

#[test]
fn three_damaged_logs_are_kept_and_the_oldest_goes() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("journal");
    for round in 1..=5u64 {
        fs::write(&path, format!("not a log, round {round}")).unwrap();
        let opened = open(&path, round);
        let aside = opened.reset.expect("a reset").set_aside;
        assert_eq!(aside, dir.path().join(format!("journal.damaged-{round}")));
        assert_eq!(opened.incarnation, round);
    }
    let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["journal", "journal.damaged-3", "journal.damaged-4", "journal.damaged-5"]);
}
