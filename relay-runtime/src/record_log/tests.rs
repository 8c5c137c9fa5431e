//! Properties of the whole log: no damage and no failing disk ever shows a wrong record.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

use super::format::{FIRST_SEQUENCE, HEADER_LEN, Header, RECORD_HEAD, RecordHead, VERSION};
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
            let dropped = bytes[good..cut].iter().rposition(|byte| *byte != 0).map(|last| last as u64 + 1);
            assert_eq!(opened.torn.map(|torn| torn.dropped_bytes), dropped, "cut at {cut}");
        }
    }
}

/// Whatever the last record ends with, also with what room looks like.
#[test]
fn a_flipped_byte_is_torn_in_the_last_record_and_a_reset_before_it() {
    let dir = TempDir::new().unwrap();
    for (last, room) in
        [(&b"four"[..], 0), (b"", 0), (&[0], 50), (&[1, 0, 0], 7), (&[0; 24], 50), (b"four", 50)]
    {
        let records = [&four()[..3], &[last.to_vec()]].concat();
        let mut whole = sample(&dir, &records);
        let start_of_last = whole.len() - RECORD_HEAD - last.len();
        let end = whole.len();
        whole.resize(end + room, 0);
        for (at, mask) in (0..end).flat_map(|at| [(at, 0x01), (at, 0x80), (at, 0xFF)]) {
            let mut bytes = whole.clone();
            bytes[at] ^= mask;
            let opened = check_recovery(&dir, &bytes, &records);
            let expected = if at < start_of_last { (SECOND, 0, false) } else { (FIRST, 3, true) };
            let found = (opened.incarnation, opened.records.len(), opened.torn.is_some());
            assert_eq!(found, expected, "byte {at} ^ {mask:#x}, {last:?} and room of {room} behind");
        }
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
        room in prop::sample::select(vec![0usize, 1, 19, 20, 500]),
    ) {
        let dir = TempDir::new().unwrap();
        let mut bytes = sample(&dir, &records);
        bytes.resize(bytes.len() + room, 0);
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

    /// A disk that runs full, frees up and fails to sync or to cut at random moments: after each step its bytes are exactly the
    /// committed records and zeros, unless a cut failed.
    #[test]
    fn a_failing_disk_holds_what_was_committed_and_nothing_else(
        steps in prop::collection::vec((0..5u8, 0..60usize, any::<bool>()), 1..60),
    ) {
        let disk = FullDisk { bytes: RefCell::default(), room: Cell::new(0), synced: Cell::new(true), sync_fails: Cell::new(false), cut_fails: Cell::new(false), cut_unsynced: Cell::new(false) };
        let mut tail = Tail::new(FIRST, 0, 0, 5);
        let (mut committed, mut buffered, mut unsure) = (Vec::new(), Vec::new(), false);
        for (number, (step, size, sync_fails)) in steps.into_iter().enumerate() {
            disk.cut_fails.set(sync_fails && size % 2 == 0);
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
                        prop_assert!(disk.synced.get() || buffered.is_empty());
                        unsure &= buffered.is_empty();
                        committed.append(&mut buffered);
                    } else {
                        unsure = disk.cut_fails.get();
                    }
                }
                3 => {
                    disk.room.set(disk.bytes.borrow().len() + size);
                    disk.sync_fails.set(sync_fails);
                    let before = disk.bytes.borrow().clone();
                    if tail.make_room(&disk, 200, 2_000).is_ok() && *disk.bytes.borrow() != before {
                        prop_assert!(disk.synced.get() && !unsure);
                    }
                }
                _ => {
                    prop_assert_eq!(tail.rollback(), buffered.len() as u64);
                    buffered.clear();
                }
            }
            // A commit that failed may show, until the next one that works.
            prop_assert!(disk.records(5).starts_with(&committed));
            if !unsure {
                prop_assert_eq!(disk.records(5), committed.clone());
                prop_assert!(disk.bytes.borrow()[tail.committed_len() as usize..].iter().all(|byte| *byte == 0));
            }
        }
        disk.room.set(usize::MAX);
        disk.sync_fails.set(false);
        disk.cut_fails.set(false);
        tail.push(b"the last");
        buffered.push(b"the last".to_vec());
        prop_assert!(tail.commit(&disk).is_ok());
        committed.append(&mut buffered);
        prop_assert_eq!(disk.records(5), committed);
    }
}

/// A disk in memory that takes what it has room for and then refuses, as a real one does.
struct FullDisk {
    bytes: RefCell<Vec<u8>>,
    room: Cell<usize>,
    /// All of it is on the disk.
    synced: Cell<bool>,
    sync_fails: Cell<bool>,
    cut_fails: Cell<bool>,
    /// More than zeros was cut off, which a power cut may bring back.
    cut_unsynced: Cell<bool>,
}

impl FullDisk {
    /// Up to the first that does not verify.
    fn records(&self, first_sequence: u64) -> Vec<Vec<u8>> {
        let header = Header { version: VERSION, kind: 2, incarnation: FIRST, first_sequence };
        let (bytes, mut at, mut sequence, mut records) = (self.bytes.borrow(), 0, first_sequence, Vec::new());
        while bytes.len() - at >= RECORD_HEAD {
            let head = RecordHead::decode(&header, &bytes[at..]);
            let Some(payload) = bytes[at + RECORD_HEAD..].get(..head.length as usize) else { break };
            if !head.matches(FIRST, payload) || head.sequence != sequence {
                break;
            }
            records.push(payload.to_vec());
            at += RECORD_HEAD + payload.len();
            sequence += 1;
        }
        records
    }
}

impl Medium for FullDisk {
    fn write_all_at(&self, new: &[u8], offset: u64) -> io::Result<()> {
        let (mut bytes, offset) = (self.bytes.borrow_mut(), offset as usize);
        assert!(offset <= bytes.len(), "there would be a hole");
        assert!(!self.cut_unsynced.get(), "what was cut off could come back amid this");
        self.synced.set(false);
        // What is written over has its space already.
        let fits = new.len().min(self.room.get().max(bytes.len()) - offset);
        let len = bytes.len().max(offset + fits);
        bytes.resize(len, 0);
        bytes[offset..offset + fits].copy_from_slice(&new[..fits]);
        if fits < new.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.cut_fails.get() {
            return Err(io::Error::other("the disk is dying"));
        }
        let mut bytes = self.bytes.borrow_mut();
        let cut = bytes.get(len as usize..).is_some_and(|cut| cut.iter().any(|byte| *byte != 0));
        self.cut_unsynced.set(self.cut_unsynced.get() || cut);
        bytes.truncate(len as usize);
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        if self.sync_fails.get() {
            return Err(io::Error::other("the disk is dying"));
        }
        self.synced.set(true);
        self.cut_unsynced.set(false);
        Ok(())
    }
}

/// What a power cut leaves of one commit over room: each of its blocks is there or zeros, in any order.
#[test]
fn a_commit_of_which_any_parts_are_missing_is_torn_and_one_before_it_is_damage() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("journal");
    let mut log = open(&path, FIRST).log;
    write(&mut log, &[b"before"]);
    log.make_room().unwrap();
    let start = log.size() as usize;
    let records: Vec<Vec<u8>> = (1..6u8).map(|n| vec![n; 40]).collect();
    write(&mut log, &records.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let end = log.size() as usize;
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.len() > end, "there is room behind it");
    write(&mut log, &[b"after"]);
    let followed = fs::read(&path).unwrap();
    assert_eq!(followed.len(), bytes.len(), "it was written over");
    let blocks: Vec<_> = (start..end).step_by(60).map(|at| at..end.min(at + 60)).collect();
    let all: Vec<Vec<u8>> = [vec![b"before".to_vec()], records].concat();
    for present in 0..1u32 << blocks.len() {
        let lost =
            || blocks.iter().enumerate().filter(|(n, _)| present & (1 << n) == 0).map(|(_, b)| b.clone());
        let wound = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            lost().for_each(|block| bytes[block].fill(0));
            bytes
        };
        let opened = check_recovery(&dir, &wound(&bytes), &all);
        let whole = lost().next().map_or(6, |block| 1 + (block.start - start) / 60);
        assert_eq!((opened.incarnation, opened.records.len()), (FIRST, whole), "{present:b}");
        let opened =
            check_recovery(&dir, &wound(&followed), &[all.clone(), vec![b"after".to_vec()]].concat());
        let whole = lost().next().is_none();
        assert_eq!(
            opened.incarnation,
            if whole { FIRST } else { SECOND },
            "{present:b}: the next was committed"
        );
    }
}

#[test]
fn room_is_made_once_kept_over_a_restart_and_never_beyond_the_limit() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("journal");
    let len = || fs::metadata(&path).unwrap().len();
    let mut log = open(&path, FIRST).log;
    write(&mut log, &[b"one"]);
    assert!(log.wants_room());
    log.make_room().unwrap();
    assert_eq!((log.size(), len()), (32 + 23, 32 + 23 + (32 << 10)));
    drop(log);
    let Opened { mut log, torn, records, .. } = open(&path, SECOND);
    assert_eq!((torn, records.len(), log.wants_room()), (None, 1, false));
    write(&mut log, &[&[7; 900]]);
    assert_eq!(len(), 32 + 23 + (32 << 10));
    while log.append(&[&[7; 900]]).is_ok() {
        log.commit().unwrap();
        if log.wants_room() {
            log.make_room().unwrap();
        }
        assert!(len() <= LIMITS.max_file_bytes);
    }
    log.rewrite(&[Bytes::from("live")]).unwrap();
    assert_eq!((log.size(), len()), (32 + 24, 32 + 24));
    assert!(log.wants_room());
}

#[test]
fn a_log_of_version_1_is_read_and_goes_on_as_the_newest() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("journal");
    // As version 1 wrote them: records "a" and "bc" with sequences 0 and 1.
    let header = Header { version: 1, kind: 2, incarnation: FIRST, first_sequence: 0 }.encode();
    let record = |sequence: u64, payload: &[u8]| {
        let [length, sequence] = [&(payload.len() as u32).to_le_bytes()[..], &sequence.to_le_bytes()[..]];
        let checked = [&FIRST.to_le_bytes()[..], length, sequence, payload].concat();
        [length, &crc32fast::hash(&checked).to_le_bytes(), sequence, payload].concat()
    };
    let whole = [&header[..], &record(0, b"a"), &record(1, b"bc")].concat();
    let old = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        open(&path, SECOND)
    };
    let Opened { mut log, incarnation, records, torn, .. } = old(&whole);
    assert_eq!((incarnation, torn, records), (FIRST, None, vec![Bytes::from("a"), Bytes::from("bc")]));
    write(&mut log, &[b"new"]);
    drop(log);
    let header = Header { version: VERSION, kind: 2, incarnation: FIRST, first_sequence: 2 };
    assert_eq!(fs::read(&path).unwrap()[..HEADER_LEN], header.encode());
    assert_eq!(open(&path, SECOND).records, [Bytes::from("a"), Bytes::from("bc"), Bytes::from("new")]);
    // An empty one, one that was cut short, and one whose first record is gone.
    let first = old(&whole[..HEADER_LEN]);
    assert_eq!((first.incarnation, first.log.header.first_sequence), (FIRST, FIRST_SEQUENCE));
    drop(first);
    let cut = old(&whole[..whole.len() - 1]);
    assert_eq!((cut.incarnation, cut.records.len(), cut.torn.unwrap().dropped_bytes), (FIRST, 1, 17));
    drop(cut.log);
    let damaged = old(&[&whole[..HEADER_LEN], &[0; 17], &record(1, b"bc")].concat());
    assert_eq!((damaged.incarnation, damaged.reset.is_some()), (SECOND, true));
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
    let limits = Limits { max_record_bytes: 4, max_file_bytes: 32 + 2 * 24 };
    let path = dir.path().join("spool");
    let mut log = RecordLog::open(&path, Kind::Spool, FIRST, limits).unwrap().log;
    assert!(matches!(
        log.append(&[b"ok", b"five!"]),
        Err(LogError::RecordTooLarge { bytes: 5, limit: 4, .. })
    ));
    assert!(matches!(
        log.append(&[b"1234", b"1234", b""]),
        Err(LogError::Full { bytes: 100, limit: 80, .. })
    ));
    assert_eq!(log.rollback(), 0);
    write(&mut log, &[b"1234", b"1234"]);
    assert_eq!(log.size(), 80);
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
    assert_eq!(log.size(), 32 + 24);
    // Sequences go on, so that a payload quoting the old file can never pass for a later record.
    let header = Header { version: VERSION, kind: 2, incarnation: FIRST, first_sequence: 4 };
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
    let newer = Header { version: 3, kind: 2, incarnation: FIRST, first_sequence: 0 }.encode();
    fs::write(&path, newer).unwrap();
    let error = RecordLog::open(&path, Kind::Journal, SECOND, LIMITS).unwrap_err();
    assert!(matches!(error, LogError::NewerFormat { found: 3, known: 2, .. }), "{error}");
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
