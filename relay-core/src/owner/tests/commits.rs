//! What goes into one commit of outcomes, what goes before it, and what may leave after it.

use proptest::prelude::*;

use super::*;
use crate::ledger::{AnswerKey, Group};

mod model;
use model::Model;

const SEATS: u32 = 3;

/// A syndic's link, as it is now, and what it has sent over it.
#[derive(Debug, Clone, Default)]
struct Sent {
    link: u64,
    seq: u64,
    acked: u64,
    /// Whose answer was in which batch.
    claims: Vec<(u64, Jid, u32)>,
}

/// An owner whose commits end one by one, when the test says so.
struct Steps {
    bench: Bench,
    model: Model,
    asked: VecDeque<(u64, Vec<Write>)>,
    syndics: [Sent; 2],
    commits: CommitRule,
    now: Millis,
}

impl Steps {
    fn new(commits: CommitRule) -> Steps {
        let rule = OwnerRule { commits, ..rule() };
        let owner = Owner::recover(rule, 0, 0, Inventory::new(), Vec::new());
        let bench = Bench { owner, writes: Vec::new(), out: Vec::new(), refuse: None };
        let (model, asked) = (Model::default(), VecDeque::new());
        let mut steps = Steps { bench, model, asked, syndics: Default::default(), commits, now: 0 };
        steps.attach();
        steps
    }

    fn attach(&mut self) {
        for (place, minions) in [["a0", "a1", "a2"], ["b0", "b1", "b2"]].iter().enumerate() {
            let syndic = &mut self.syndics[place];
            *syndic = Sent { link: syndic.link + 10 + place as u64, ..Sent::default() };
            let mut roster = Roster::default();
            for id in minions {
                let id: MinionId = id.parse().unwrap();
                let no = roster.number(&id, Incarnation(1)).unwrap().no;
                let (incarnation, grains) = (Incarnation(1), "{}".into());
                roster.put(RosterEntry { no, id, incarnation, up: true, since: 0, grains });
            }
            roster.delta();
            let (id, region) = (format!("s{place}").parse().unwrap(), format!("r{place}").parse().unwrap());
            let (link, spool) = (LinkId(syndic.link), Incarnation(70 + place as u64));
            self.bench.owner.syndic_up(self.now, link, id, region, spool);
            self.bench.owner.from_syndic(self.now, 0, link, Up::Roster(roster.full()));
        }
        self.drain();
    }

    /// A turn: what it asks the store for waits, the rest is looked at.
    fn turn(&mut self) {
        self.bench.owner.end_turn(self.now, self.now * 1_000);
        for effect in self.bench.owner.effects() {
            match effect {
                OwnerEffect::Persist { ticket, writes, .. } => self.asked.push_back((ticket, writes)),
                OwnerEffect::Changed { changes, .. } => changes.iter().for_each(|c| self.model.tell(c)),
                OwnerEffect::Send(Sending { links, down: Down::ReturnsAck { up_to }, .. }) => {
                    self.acked_up_to(links[0], up_to);
                }
                other => self.bench.out.push(other),
            }
        }
    }

    /// Up to which batch each syndic was told that it is taken.
    fn acked(&self) -> [u64; 2] {
        self.syndics.each_ref().map(|syndic| syndic.acked)
    }

    fn acked_up_to(&mut self, link: LinkId, up_to: u64) {
        let Some(syndic) = self.syndics.iter_mut().find(|s| s.link == link.0) else { return };
        syndic.acked = syndic.acked.max(up_to);
        for (_, jid, member) in syndic.claims.iter().filter(|(seq, ..)| *seq <= up_to) {
            let sent = self.model.sent(*jid).contains(*member);
            assert!(!sent || self.model.has_final(*jid, *member), "{up_to} is acknowledged and not durable");
        }
    }

    /// The oldest commit is done: the rows of each job in it.
    fn commit(&mut self) -> Option<Vec<(Jid, Vec<GroupNo>)>> {
        self.turn();
        let (ticket, writes) = self.asked.pop_front()?;
        self.model.commit(&writes);
        self.bench.owner.persisted(self.now, ticket, Ok(()));
        self.turn();
        let rows = writes.iter().filter_map(|write| match write {
            Write::Returns { jid, rows, .. } => Some((*jid, rows.iter().map(|row| row.no).collect())),
            _ => None,
        });
        Some(rows.collect())
    }

    fn drain(&mut self) {
        for _ in 0..1_000 {
            if self.commit().is_none() {
                return;
            }
        }
        panic!("it goes on for ever");
    }

    fn submit(&mut self, target: &str) -> Jid {
        self.now += 1; // or a jid could come twice, after a crash
        let request_id = RequestId(1_000 + self.bench.owner.next_ticket as u128);
        let submission = Submission { request_id, ..submission(target) };
        self.bench.owner.submit(self.now, self.now * 1_000 + 1, 5, submission);
        self.turn();
        Jid::from_micros(self.bench.owner.last_jid)
    }

    /// Minions of one syndic (by their numbers there) answer, each with so many bytes of its own.
    fn answer(&mut self, place: usize, jid: Jid, seats: &[(u32, usize)]) {
        let syndic = &mut self.syndics[place];
        syndic.seq += 1;
        let group = |(seat, bytes): &(u32, usize)| {
            let body = vec![b'a' + *seat as u8; *bytes].into();
            let answer = Arc::new(Answer { body, ..Answer::bare(Outcome::Ok, Reason::None) });
            ReturnGroup { jid, answer, members: set(&[*seat]) }
        };
        let groups = seats.iter().map(group).collect();
        let claims = seats.iter().map(|(seat, _)| (syndic.seq, jid, place as u32 * SEATS + seat));
        syndic.claims.extend(claims);
        let (link, batch) = (LinkId(syndic.link), ReturnBatch { seq: syndic.seq, groups });
        self.bench.owner.from_syndic(self.now, 0, link, Up::Returns(batch));
        self.turn();
    }

    /// So late that whoever has not answered is `unknown`.
    fn past_every_bound(&mut self) {
        self.now += 10_000 + 60_000 + 2 * HOP_GRACE * HOPS + 1;
        self.bench.owner.from_syndic(self.now, 0, LinkId(self.syndics[0].link), Up::Heartbeat(Vec::new()));
        self.bench.owner.from_syndic(self.now, 0, LinkId(self.syndics[1].link), Up::Heartbeat(Vec::new()));
        self.bench.owner.tick(self.now);
        self.turn();
    }

    /// The process dies over what it was committing, and comes back.
    fn crash(&mut self) {
        self.asked.clear();
        let (inventory, stored) = self.model.recovered();
        let rule = OwnerRule { commits: self.commits, ..rule() };
        self.bench.owner = Owner::recover(rule, self.now, self.now * 1_000, inventory, stored);
        self.attach();
    }
}

/// One row in each commit, whatever it is; and no job is small.
const ONE_BY_ONE: CommitRule = CommitRule { bytes: 0, short: 0, small: 0 };
/// Together with a row's cost, more than half of a short commit.
const BULK: usize = SHORT_COMMIT_BYTES * 3 / 4;

#[test]
fn a_small_job_goes_before_the_rest_of_a_large_one_and_every_other_commit_is_the_large_one_s() {
    let mut steps = Steps::new(CommitRule::default());
    let large = steps.submit("a*");
    let small = ["b0", "b1", "b2"].map(|id| steps.submit(id));
    steps.drain();
    steps.answer(0, large, &[(0, BULK), (1, BULK), (2, BULK)]);
    steps.answer(1, small[0], &[(0, 0)]);
    assert_eq!(steps.commit(), Some(vec![(large, vec![0])]), "under way when the small one came");
    assert!(!steps.model.is_closed(large));
    steps.answer(1, small[1], &[(1, 0)]);
    assert_eq!(steps.commit(), Some(vec![(small[0], vec![0])]), "alone");
    assert!(steps.model.is_closed(small[0]));
    steps.answer(1, small[2], &[(2, 0)]);
    assert_eq!(
        steps.commit(),
        Some(vec![(large, vec![1]), (small[1], vec![0])]),
        "its turn, and room is left"
    );
    assert_eq!(steps.commit(), Some(vec![(small[2], vec![0])]), "alone again");
    assert_eq!(steps.acked(), [0, 0], "something older is not durable yet");
    assert_eq!(steps.commit(), Some(vec![(large, vec![2])]));
    assert!(steps.model.is_closed(large), "with the last of it");
    assert_eq!((steps.acked(), steps.commit()), ([1, 3], None));
}

#[test]
fn commits_of_bulk_are_short_while_small_jobs_come_and_long_otherwise() {
    let mut steps = Steps::new(CommitRule::default());
    let large = steps.submit("a*");
    let small = steps.submit("b0");
    steps.drain();
    let rows = [(0, BULK), (1, BULK), (2, BULK)];
    steps.now += SHORT_FOR - 1;
    steps.answer(0, large, &rows[..2]);
    assert_eq!(steps.commit(), Some(vec![(large, vec![0])]), "a job was accepted just now");
    steps.now += 1;
    steps.answer(1, small, &[(0, 0)]);
    assert_eq!(steps.commit(), Some(vec![(large, vec![1])]), "under way when time was over");
    assert_eq!(steps.commit(), Some(vec![(small, vec![0])]));
    let next = steps.submit("a*");
    steps.drain();
    steps.now += SHORT_FOR;
    steps.answer(0, next, &rows);
    assert_eq!(steps.commit(), Some(vec![(next, vec![0, 1, 2])]), "nobody small came of late");
}

#[test]
fn commits_are_short_behind_a_small_job_that_commits_beside_a_large_one_however_long_ago_it_came() {
    let mut steps = Steps::new(CommitRule::default());
    let large = steps.submit("a*");
    let small = steps.submit("b0");
    steps.drain();
    steps.now += 10 * SHORT_FOR;
    steps.answer(0, large, &[(0, BULK)]);
    steps.answer(1, small, &[(0, 0)]);
    steps.answer(0, large, &[(1, BULK), (2, BULK)]);
    assert_eq!(steps.commit(), Some(vec![(large, vec![0])]), "under way when the small one had an answer");
    assert_eq!(steps.commit(), Some(vec![(small, vec![0])]));
    assert_eq!(steps.commit(), Some(vec![(large, vec![1])]), "short");
    assert_eq!(steps.commit(), Some(vec![(large, vec![2])]));
}

#[test]
fn what_is_left_of_a_large_job_is_nobody_small() {
    let mut steps = Steps::new(CommitRule::default());
    let large = steps.submit("a*");
    steps.drain();
    steps.now += SHORT_FOR;
    steps.answer(0, large, &[(0, 0)]);
    steps.answer(0, large, &[(1, BULK), (2, BULK)]);
    assert_eq!(
        steps.commit(),
        Some(vec![(large, vec![0])]),
        "a small row of it, under way when the rest came"
    );
    assert_eq!(steps.commit(), Some(vec![(large, vec![1, 2])]), "as long as may be");
}

#[test]
fn a_batch_is_acknowledged_when_it_is_durable_although_later_ones_are_not() {
    let mut steps = Steps::new(CommitRule::default());
    let large = steps.submit("a*");
    steps.drain();
    (0..3).for_each(|seat| steps.answer(0, large, &[(seat, BULK)]));
    for acked in 1..=3 {
        assert_eq!(steps.commit(), Some(vec![(large, vec![acked as GroupNo - 1])]));
        assert_eq!(steps.acked()[0], acked);
    }
}

#[test]
fn what_is_known_already_is_acknowledged_behind_what_is_not_durable() {
    let mut steps = Steps::new(ONE_BY_ONE);
    let jid = steps.submit("a*");
    steps.drain();
    steps.answer(0, jid, &[(0, 1), (1, 1), (2, 1)]);
    steps.answer(0, jid, &[(2, 1)]);
    steps.commit();
    steps.commit();
    assert_eq!(steps.acked()[0], 0, "its first answer waits");
    steps.commit();
    assert_eq!(steps.acked()[0], 2);
}

#[test]
fn a_late_return_for_a_row_that_waits_leaves_everybody_in_one_row() {
    let mut steps = Steps::new(ONE_BY_ONE);
    let jid = steps.submit("*");
    steps.drain();
    // Whoever has not answered is unknown; that waits behind the answers, and some of it is outdated before it is durable.
    steps.answer(0, jid, &[(0, 1), (1, 2)]);
    steps.past_every_bound();
    steps.answer(0, jid, &[(2, 3)]);
    steps.answer(1, jid, &[(0, 1)]);
    steps.drain();
    let (unknown, rows) = (set(&[4, 5]), steps.model.rows(jid));
    assert_eq!(rows[..2], [set(&[0, 3]), set(&[1])]);
    assert!(rows.contains(&unknown) && rows.contains(&set(&[2])), "{rows:?}");
    // And what is durable is left row by row, with a count that is true each time.
    steps.answer(1, jid, &[(1, 1), (2, 2)]);
    assert_eq!(steps.commit().map(|rows| rows[0].1.len()), Some(2), "the row that is left changes with it");
    assert!(steps.model.has_final(jid, 4) ^ steps.model.has_final(jid, 5));
    steps.drain();
    assert!(steps.model.has_final(jid, 4) && steps.model.has_final(jid, 5));
    assert_eq!((steps.acked(), steps.bench.owner.jobs.len()), ([2, 2], 0));
}

#[test]
fn whoever_is_fenced_in_the_middle_says_nothing_of_the_rest() {
    let mut steps = Steps::new(ONE_BY_ONE);
    let jid = steps.submit("a*");
    steps.drain();
    steps.answer(0, jid, &[(0, 1), (1, 1), (2, 1)]);
    steps.commit();
    let (ticket, _) = steps.asked.pop_front().expect("the next row");
    steps.bench.owner.persisted(steps.now, ticket, Err(WriteError::Fenced));
    assert_eq!((steps.commit(), steps.acked()), (None, [0, 0]));
    assert!(!steps.model.is_closed(jid));
}

#[test]
fn a_job_that_is_cancelled_while_its_rows_wait_closes_with_the_last() {
    let mut steps = Steps::new(ONE_BY_ONE);
    let jid = steps.submit("*");
    steps.drain();
    steps.answer(0, jid, &[(0, 1), (1, 1), (2, 1)]);
    assert_eq!(steps.bench.owner.cancel(jid).map(|c| c.outstanding), Some(3));
    steps.answer(1, jid, &[(0, 1), (1, 1), (2, 1)]);
    assert_eq!(
        steps.bench.owner.cancel(jid).map(|c| c.outstanding),
        Some(0),
        "all are in, not all are durable"
    );
    steps.drain();
    assert!(steps.model.is_closed(jid));
    assert_eq!(steps.bench.owner.cancel(jid), None);
}

#[test]
fn batches_without_end_are_kept_account_of_in_little() {
    let mut steps = Steps::new(ONE_BY_ONE);
    let jid = steps.submit("a*");
    steps.drain();
    steps.answer(0, jid, &[(0, 1), (1, 1)]);
    (0..1_000).for_each(|_| steps.answer(0, jid, &[(1, 1)]));
    assert!(steps.bench.owner.owed.values().all(|owed| owed.len() <= crate::relay::MAX_UNACKED_BATCHES));
    steps.drain();
    assert_eq!(steps.acked()[0], 1_001);
}

#[derive(Debug, Clone)]
enum Step {
    Submit(&'static str),
    Answer(usize, prop::sample::Index, Vec<(u32, usize)>),
    Commit,
    Cancel(prop::sample::Index),
    Bound,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let seats = prop::collection::vec((0..SEATS, 0usize..3), 1..4);
    prop_oneof![
        3 => prop::sample::select(vec!["*", "a*", "b*", "a0", "b1"]).prop_map(Step::Submit),
        12 => (0usize..2, any::<prop::sample::Index>(), seats).prop_map(|(p, j, s)| Step::Answer(p, j, s)),
        10 => Just(Step::Commit),
        1 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        1 => Just(Step::Bound),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    /// What must hold in each step is in [`Model`] and [`Steps::acked_up_to`].
    #[test]
    fn any_history_is_stored_row_by_row_as_it_was(
        bytes in 0usize..5, small in 0usize..3, history in prop::collection::vec(step(), 1..80)
    ) {
        let (bytes, short, small) = (bytes * ROW_BYTES + 10, bytes / 2 * ROW_BYTES + 10, small * ROW_BYTES + 10);
        let commits = CommitRule { bytes, short, small };
        let mut steps = Steps::new(commits);
        let mut jobs = Vec::new();
        for step in history {
            let job = |index: prop::sample::Index, jobs: &[Jid]| (!jobs.is_empty()).then(|| *index.get(jobs));
            match step {
                Step::Submit(target) => jobs.push(steps.submit(target)),
                Step::Answer(place, index, seats) => {
                    // Nobody answers what he was not sent.
                    if let Some(jid) = job(index, &jobs).filter(|jid| !steps.model.sent(*jid).is_empty()) {
                        steps.answer(place, jid, &seats);
                    }
                }
                Step::Commit => drop(steps.commit()),
                Step::Cancel(index) => {
                    let accepted = job(index, &jobs).filter(|jid| steps.model.jobs.contains_key(jid));
                    if let Some(jid) = accepted {
                        steps.bench.owner.cancel(jid);
                        steps.turn();
                    }
                }
                Step::Bound => steps.past_every_bound(),
                Step::Crash => {
                    steps.crash();
                    jobs.retain(|jid| steps.model.jobs.contains_key(jid));
                }
            }
        }
        steps.drain();
        prop_assert!(steps.syndics.iter().all(|syndic| syndic.acked == syndic.seq), "nothing is owed any more");
        for (jid, ledger) in steps.bench.owner.ledgers() {
            let rows: Vec<Members> = ledger.groups().iter().map(|group| group.members.clone()).collect();
            prop_assert_eq!(steps.model.rows(jid), rows);
            prop_assert_eq!(steps.model.is_closed(jid), ledger.is_complete());
        }
    }
}
