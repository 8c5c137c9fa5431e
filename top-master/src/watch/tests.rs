//! Streams in pieces against whole streams, from a real store, with the changes of a made-up job.

use relay_core::{
    Members,
    ids::{Epoch, Incarnation, RequestId},
    inventory::{Inventory, Record},
    job::{Job, JobSpec},
    outcome::{Outcome, Reason},
    owner::{Change, GroupRow, JobHead, Write},
    signing::{KeyId, NoKey, Signature},
};
use relay_proto::envelope;
use relay_runtime::store::SqliteStore;

use super::*;

fn jid() -> Jid {
    Jid::from_micros(CREATED)
}

const CREATED: WallMicros = 1_795_246_616_000_000;
const TARGETS: u32 = 24;

/// A job, its changes in order, and the store that they are committed to.
struct Bench {
    _directory: tempfile::TempDir,
    store: Arc<dyn Store>,
    names: Directory,
    epoch: Epoch,
    rows: BTreeMap<GroupNo, Members>,
    ticket: u64,
}

fn answer(no: GroupNo) -> Arc<Answer> {
    let (outcome, reason) = match no {
        0 => (Outcome::Unknown, Reason::NoReport),
        1 => (Outcome::NotStarted, Reason::Unreachable),
        2 => (Outcome::Failed, Reason::None),
        _ => (Outcome::Ok, Reason::None),
    };
    let body = format!("\"{no}\"").into();
    Arc::new(Answer { outcome, reason, retcode: no as i32, body, truncated: None, by_tier: no < 2 })
}

/// Which answers come in each change, from whom: members 0 to 3 are unknown at first, and resolved after the close.
fn changes() -> Vec<Change> {
    let change = |seq: u64, answers: &[(GroupNo, std::ops::Range<u32>)], closed| Change {
        jid: jid(),
        seq,
        at: CREATED + seq * 1_000_000,
        answers: answers.iter().map(|(no, who)| (*no, answer(*no), who.clone().collect())).collect(),
        closed,
    };
    vec![
        change(1, &[(3, 4..8)], false),
        change(2, &[(2, 8..10), (3, 10..12), (4, 12..13)], false),
        change(3, &[(0, 0..4)], false),
        change(4, &[(1, 13..15), (4, 15..24)], true),
        change(5, &[(3, 0..2)], true),
        change(6, &[(2, 2..3), (4, 3..4)], true),
    ]
}

impl Bench {
    async fn new() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("store")).unwrap();
        let epoch = store.begin().await.unwrap().epoch;
        let (names, mut inventory) = (Directory::default(), Inventory::new());
        for no in 0..TARGETS {
            inventory.restore(record(no)).unwrap();
        }
        names.note(&inventory);
        let (store, rows) = (Arc::new(store), BTreeMap::new());
        let mut bench = Bench { _directory: directory, store, names, epoch, rows, ticket: 0 };
        bench.commit(vec![Write::Accept(Box::new(head(epoch)))]).await;
        bench
    }

    async fn commit(&mut self, writes: Vec<Write>) {
        self.ticket += 1;
        self.store.commit(self.ticket, writes).await.unwrap();
    }

    /// Commits a change as the owner does.
    async fn apply(&mut self, change: &Change) {
        let mut rows = Vec::new();
        for (no, answer, members) in &change.answers {
            for (other, others) in self.rows.iter_mut().filter(|(other, _)| *other != no) {
                if !others.is_disjoint(members) {
                    *others -= members;
                    let (members, added) = (others.clone(), Members::new());
                    rows.push(GroupRow { no: *other, answer: None, members, added });
                }
            }
            let row = self.rows.entry(*no).or_default();
            let first = row.is_empty();
            *row |= members;
            let (members, added, answer) = (row.clone(), members.clone(), first.then(|| answer.clone()));
            rows.push(GroupRow { no: *no, answer, members, added });
        }
        // One row for each answer, as it is at the end.
        rows.reverse();
        rows.sort_by_key(|row| row.no);
        rows.dedup_by_key(|row| row.no);
        let (jid, epoch, seq, at) = (jid(), self.epoch, change.seq, change.at);
        let mut writes = vec![Write::Returns { jid, epoch, seq, at, rows }];
        if change.closed {
            let count = |(no, members): (&GroupNo, &Members)| (answer(*no).outcome, members.len());
            let mut counts = BTreeMap::new();
            self.rows.iter().map(count).for_each(|(outcome, n)| *counts.entry(outcome).or_default() += n);
            writes.push(Write::Close { jid, epoch, at, counts });
        }
        self.commit(writes).await;
    }

    /// Begins a stream after a cursor; what the loop tells comes by the watchers.
    fn watch(&self, watchers: &mut Watchers, after: u64) -> mpsc::Receiver<Result<wire::WatchEvent, Status>> {
        let subscription = watchers.subscribe(jid(), Standing::default()).unwrap();
        let (tx, rx) = mpsc::channel(1_000);
        tokio::spawn(stream(self.store.clone(), self.names.clone(), jid(), after, subscription, tx));
        rx
    }
}

fn record(no: u32) -> Record {
    Record {
        no,
        id: format!("m-{no:02}").parse().unwrap(),
        region: "aws".parse().unwrap(),
        syndic: "aws-1".parse().unwrap(),
        incarnation: Incarnation(1),
        incarnation_seq: 1,
        up: true,
        since: 0,
        grains: "{}".into(),
    }
}

fn head(epoch: Epoch) -> JobHead {
    let spec = JobSpec {
        jid: jid(),
        fabric: "test.example".into(),
        function: "test.ping".into(),
        args: "{}".into(),
        caller: "alice".into(),
        run_limit: 1,
        epoch,
        request: [0; 32],
        targets: Default::default(),
        span: Default::default(),
    };
    let nobody = Signature { key: KeyId([0; 8]), bytes: [0; 64] };
    let job: Job = envelope::seal_with(&spec, |_| Ok::<_, NoKey>(nobody)).unwrap();
    JobHead {
        job: Arc::new(job),
        spec,
        request_id: RequestId(1),
        request_digest: [0; 32],
        target: "*".into(),
        targets: (0..TARGETS).collect(),
        leaves: Default::default(),
        inventory_version: 1,
        created: CREATED,
        delivery_limit: 1,
        batch: Default::default(),
        epoch,
    }
}

fn told(change: &Change) -> Update {
    Update::Changed { change: Arc::new(change.clone()), standing: Standing::default() }
}

/// The events of a stream that has ended, but for heads and progress.
async fn rest(mut stream: mpsc::Receiver<Result<wire::WatchEvent, Status>>) -> Vec<wire::WatchEvent> {
    let mut events = Vec::new();
    while let Some(event) = stream.recv().await {
        let event = event.unwrap();
        if !matches!(event.event, Some(Event::Head(_) | Event::Progress(_))) {
            events.push(event);
        }
    }
    events
}

fn up_to(events: &[wire::WatchEvent], cursor: u64) -> usize {
    let end = events.iter().position(|event| event.cursor == cursor && cursor > 0);
    end.map_or(0, |at| at + 1)
}

/// The stream of somebody who watches the open job live, told from after change `stored` on.
async fn live(stored: usize, after: u64) -> Vec<wire::WatchEvent> {
    let (mut bench, mut watchers, changes) = (Bench::new().await, Watchers::default(), changes());
    for change in &changes[..stored] {
        bench.apply(change).await;
    }
    let mut stream = bench.watch(&mut watchers, after);
    // The store is read when the head is here. What is told of it again must not come twice.
    let head = stream.recv().await.unwrap().unwrap();
    assert!(matches!(head.event, Some(Event::Head(_))));
    for change in &changes[..4] {
        watchers.tell(jid(), || told(change));
    }
    rest(stream).await
}

#[tokio::test]
async fn pieces_fit_together_wherever_they_are_cut_and_wherever_they_are_read() {
    let whole = live(0, 0).await;
    let cursors: Vec<u64> = whole.iter().map(|event| event.cursor).collect();
    assert_eq!(cursors, [1, 0, 0, 2, 3, 0, 4, 0], "the last event of each change has its number");
    for after in 0..4 {
        for stored in after as usize..4 {
            let resumed = live(stored, after).await;
            assert_eq!(resumed, whole[up_to(&whole, after)..], "{stored} stored, after {after}");
        }
    }
}

#[tokio::test]
async fn a_closed_job_is_told_as_it_was_and_what_came_late_too() {
    let mut bench = Bench::new().await;
    for change in &changes() {
        bench.apply(change).await;
    }
    let mut watchers = Watchers::default();
    let whole = rest(bench.watch(&mut watchers, 0)).await;
    let live = live(0, 0).await;
    assert_eq!(whole[..up_to(&live, 4)], live[..up_to(&live, 4)], "up to the close it is the live one");
    let Some(Event::Closed(closed)) = &whole.last().unwrap().event else { panic!("{whole:?}") };
    let counts: Vec<_> = closed.outcomes.iter().map(|c| (c.outcome.as_str(), c.minions)).collect();
    assert_eq!(counts, [("ok", 19), ("failed", 3), ("not_started", 2)]);
    assert_eq!(closed.elapsed_ms, 4_000, "it closed with the fourth change");
    for after in 1..=6 {
        let resumed = rest(bench.watch(&mut watchers, after)).await;
        assert_eq!(resumed, whole[up_to(&whole, after)..], "after {after}");
    }
    let mut beyond = bench.watch(&mut watchers, 7);
    assert!(beyond.recv().await.unwrap().unwrap_err().message().contains("cursor 7"));
}

#[tokio::test]
async fn returns_carry_the_time_of_their_change() {
    let events = live(4, 0).await;
    for event in &events {
        if let Some(Event::Returns(returns)) = &event.event {
            let change = changes().into_iter().find(|c| CREATED + c.seq * 1_000_000 == returns.at).unwrap();
            let ids: Vec<String> = returns.minions.clone();
            let of_change = change.answers.iter().flat_map(|(_, _, members)| members.iter());
            let named: Vec<String> = of_change.map(|no| format!("m-{no:02}")).collect();
            assert!(ids.iter().all(|id| named.contains(id)), "{returns:?}");
        }
    }
}

#[tokio::test]
async fn a_change_of_many_is_told_in_parts_and_only_the_last_has_the_cursor() {
    let (names, mut inventory) = (Directory::default(), Inventory::new());
    let count = telling::IDS_PER_MESSAGE as u32 + 1;
    for no in 0..count {
        inventory.restore(Record { id: format!("m-{no}").parse().unwrap(), ..record(no) }).unwrap();
    }
    names.note(&inventory);
    let (tx, mut rx) = mpsc::channel(10);
    let mut telling = Telling::new(&tx, &names, 9, 1);
    telling.answer(&answer(3), inventory.all()).await.unwrap();
    telling.end().await.unwrap();
    drop(tx);
    let mut parts = Vec::new();
    while let Some(Ok(wire::WatchEvent { event: Some(Event::Returns(returns)), cursor })) = rx.recv().await {
        parts.push((returns.minions.len(), cursor));
    }
    assert_eq!(parts, [(telling::IDS_PER_MESSAGE, 0), (1, 9)]);
}

#[tokio::test]
async fn who_does_not_keep_up_is_cut_off_and_too_many_are_refused() {
    let mut watchers = Watchers::default();
    let slow = watchers.subscribe(jid(), Standing::default()).unwrap();
    for _ in 0..=WATCH_QUEUE {
        watchers.tell(jid(), || Update::Standing(Standing::default()));
    }
    assert!(!watchers.has(jid()));
    drop(slow);
    let all: Vec<_> =
        (0..MAX_WATCHERS).map(|_| watchers.subscribe(jid(), Standing::default()).unwrap()).collect();
    assert!(watchers.subscribe(jid(), Standing::default()).is_none());
    drop(all);
    assert!(watchers.subscribe(jid(), Standing::default()).is_some());
}
