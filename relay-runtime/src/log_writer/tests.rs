//! The thread on real files: order, refusals, and what a compaction does to writes that wait.

use super::*;

fn open(dir: &std::path::Path, max_file_bytes: u64) -> (RecordLog, Vec<Bytes>) {
    let limits = Limits { max_record_bytes: 1_000, max_file_bytes };
    let opened = RecordLog::open(&dir.join("log"), Kind::Journal, 1, limits).unwrap();
    (opened.log, opened.records)
}

#[test]
fn what_is_reported_written_is_there_and_compaction_keeps_the_order() {
    let dir = tempfile::tempdir().unwrap();
    let (tx, mut rx) = mpsc::channel(64);
    let writer = LogWriter::start("test", vec![open(dir.path(), 1 << 20).0], tx).unwrap();
    writer.write(0, 1, vec![b"a".to_vec()], false);
    writer.compact(0, vec![Bytes::from_static(b"A")]);
    writer.write(0, 2, vec![b"b".to_vec()], false);
    let mut tickets = Vec::new();
    while tickets.len() < 2 {
        if let Some(Report::Written { ticket, .. }) = rx.blocking_recv() {
            tickets.push(ticket);
        }
    }
    assert_eq!(tickets, [1, 2]);
    drop(writer);
    while rx.blocking_recv().is_some() {}
    assert_eq!(open(dir.path(), 1 << 20).1, ["A", "b"]);
}

#[test]
fn a_loop_that_writes_more_than_it_reads_of_reports_is_not_a_deadlock() {
    let dir = tempfile::tempdir().unwrap();
    let (tx, mut rx) = mpsc::channel(1);
    let writer = LogWriter::start("test", vec![open(dir.path(), 1 << 20).0], tx).unwrap();
    let writes = 3 * QUEUE as u64;
    (0..writes).for_each(|ticket| writer.write(0, ticket, vec![b"x".to_vec()], false));
    for expected in 0..writes {
        assert!(matches!(rx.blocking_recv(), Some(Report::Written { ticket, .. }) if ticket == expected));
    }
}

#[test]
fn a_full_log_gives_up_what_may_fail_and_keeps_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let (tx, mut rx) = mpsc::channel(64);
    let writer = LogWriter::start("test", vec![open(dir.path(), 200).0], tx).unwrap();
    writer.write(0, 1, vec![vec![0; 500]], true);
    assert_eq!(rx.blocking_recv(), Some(Report::GivenUp { log: 0, ticket: 1 }));
    assert!(matches!(rx.blocking_recv(), Some(Report::Stalled { why: Some(_), .. })));
    assert_eq!(rx.blocking_recv(), Some(Report::Full { log: 0 }));
    writer.write(0, 2, vec![b"small".to_vec()], false);
    assert_eq!(rx.blocking_recv(), Some(Report::Stalled { log: 0, why: None }));
    assert!(matches!(rx.blocking_recv(), Some(Report::Written { ticket: 2, .. })));
}

#[test]
fn a_full_log_that_is_compacted_takes_what_waits_for_it_once_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (tx, mut rx) = mpsc::channel(64);
    let writer = LogWriter::start("test", vec![open(dir.path(), 200).0], tx).unwrap();
    let mut next = || rx.blocking_recv().unwrap();
    writer.write(0, 1, vec![vec![b'a'; 100]], false);
    assert!(matches!(next(), Report::Written { ticket: 1, .. }));
    writer.write(0, 2, vec![vec![b'b'; 90]], false);
    let Report::Stalled { why: Some(why), .. } = next() else { panic!("it is full") };
    assert!(why.contains("log: full, 262 bytes would pass the limit of 200; it is compacted"), "{why}");
    assert_eq!(next(), Report::Full { log: 0 });
    // More than the file may hold lives, and then only the second.
    writer.compact(0, vec![vec![b'a'; 100].into(), vec![b'b'; 90].into()]);
    assert!(matches!(next(), Report::Compacted { done: false, size: 100.., .. }));
    writer.compact(0, vec![vec![b'b'; 90].into()]);
    assert_eq!(next(), Report::Stalled { log: 0, why: None });
    let Report::Written { ticket: 2, size, .. } = next() else { panic!("it is durable") };
    assert_eq!(next(), Report::Compacted { log: 0, size, done: true });
    writer.write(0, 3, vec![b"c".to_vec()], false);
    assert!(matches!(next(), Report::Written { ticket: 3, .. }));
    drop(writer);
    while rx.blocking_recv().is_some() {}
    assert_eq!(open(dir.path(), 200).1, [vec![b'b'; 90], b"c".to_vec()]);
}

fn thread(log: RecordLog) -> (Thread, mpsc::Receiver<Report>) {
    let (reports, rx) = mpsc::channel(64);
    (Thread::new(vec![log], reports), rx)
}

#[test]
fn who_waits_for_a_write_does_not_wait_for_the_compaction_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut thread, mut rx) = thread(open(dir.path(), 1 << 20).0);
    let write = Write { log: 0, ticket: 1, records: vec![b"a".to_vec()], may_fail: false };
    thread.turn(&mut vec![write], vec![(0, vec![Bytes::from_static(b"a")], 1)]);
    assert!(matches!(rx.try_recv(), Ok(Report::Written { ticket: 1, .. })), "given before the compaction");
    assert!(rx.try_recv().is_err());
    thread.hand_over();
    assert!(matches!(rx.try_recv(), Ok(Report::Compacted { done: true, .. })));
}

#[test]
fn a_write_is_never_durable_before_an_earlier_one() {
    let dir = tempfile::tempdir().unwrap();
    let (mut thread, _rx) = thread(open(dir.path(), 200).0);
    let write = |ticket, bytes| Write { log: 0, ticket, records: vec![vec![0; bytes]], may_fail: false };
    let mut waiting = vec![write(1, 180), write(2, 1)];
    thread.turn(&mut waiting, vec![(0, vec![Bytes::from(vec![0; 180])], 1)]);
    let tickets = |waiting: &[Write]| waiting.iter().map(|write| write.ticket).collect::<Vec<_>>();
    assert_eq!(tickets(&waiting), [1, 2], "the first is too large, and all of it lives");
    waiting.push(write(3, 1));
    thread.turn(&mut waiting, vec![(0, vec![Bytes::from_static(b"lives")], 2)]);
    assert_eq!(tickets(&waiting), [0; 0]);
    let written = thread.backlog.iter().filter_map(|report| match report {
        Report::Written { ticket, .. } => Some(*ticket),
        _ => None,
    });
    assert_eq!(written.collect::<Vec<_>>(), [1, 2, 3]);
    drop(thread);
    assert_eq!(open(dir.path(), 200).1, [&b"lives"[..], &[0]]);
}
