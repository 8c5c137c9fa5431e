//! Folding: equal answers become one body and a set of members.
//!
//! Owns the open batch of one uplink and the rule when it is due: by count, by bytes or by age, whichever is first. Answers
//! that a window waits for go sooner, and at once if nothing was sent lately. Sending and spooling are the relay's, and so is
//! when a job is taken out because it has its last answer.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use crate::{Members, ids::Jid, members, message::ReturnGroup, outcome::Answer, time::Millis};

/// When an open batch is flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushRule {
    /// At this many answers.
    pub count: u64,
    /// At this many bytes of bodies (folded: each distinct body once).
    pub bytes: usize,
    /// At this age, and no sooner than this after the last flush, if somebody waits for what it holds ([`Fold::hurry`]); else
    /// at [`PATIENCE`] times this age.
    pub age: Millis,
}

/// How much longer answers wait for company that nothing but a person's eye waits for: a fifth of a second, by default. What a
/// job costs the top master is its batches.
pub const PATIENCE: Millis = 4;

impl Default for FlushRule {
    /// 4,096 answers, 64 KiB, 50 ms: each batch is an fsync at the syndic and a commit at the top master, so at most 20 a
    /// second of them, and 5 where no window waits for them. The last answer of a job goes at once.
    fn default() -> Self {
        FlushRule { count: 4_096, bytes: 64 << 10, age: 50 }
    }
}

/// The open batch.
#[derive(Debug)]
pub struct Fold {
    rule: FlushRule,
    groups: Vec<ReturnGroup>,
    index: HashMap<(Jid, Arc<Answer>), usize>,
    answers: u64,
    bytes: usize,
    last_flush: Option<Millis>,
    opened: Millis,
    hurried: bool,
}

impl Fold {
    /// An empty batch.
    pub fn new(rule: FlushRule) -> Fold {
        Fold {
            rule,
            groups: Vec::new(),
            index: HashMap::new(),
            answers: 0,
            bytes: 0,
            last_flush: None,
            opened: 0,
            hurried: false,
        }
    }

    /// Adds an answer for some members.
    pub fn add(&mut self, now: Millis, jid: Jid, answer: Arc<Answer>, members: &Members) {
        if self.groups.is_empty() {
            self.opened = now;
        }
        self.answers += members.len();
        match self.index.get(&(jid, answer.clone())) {
            Some(&at) => members::add(&mut self.groups[at].members, members),
            None => {
                self.bytes += answer.body.len();
                self.index.insert((jid, answer.clone()), self.groups.len());
                self.groups.push(ReturnGroup { jid, answer, members: members.clone() });
            }
        }
    }

    /// Somebody waits for what it holds now: the window of a job, in which others start when these have ended.
    pub fn hurry(&mut self) {
        self.hurried = true;
    }

    /// When the open batch must go; `None` if it is empty.
    pub fn due(&self) -> Option<Millis> {
        if self.groups.is_empty() {
            return None;
        }
        if self.answers >= self.rule.count || self.bytes >= self.rule.bytes {
            return Some(0);
        }
        if !self.hurried {
            return Some(self.opened.saturating_add(self.rule.age.saturating_mul(PATIENCE)));
        }
        let spaced = self.last_flush.map_or(0, |at| at + self.rule.age);
        Some(spaced.min(self.opened + self.rule.age))
    }

    /// Takes the batch.
    pub fn take(&mut self, now: Millis) -> Vec<ReturnGroup> {
        self.last_flush = Some(now);
        self.index.clear();
        (self.answers, self.bytes, self.hurried) = (0, 0, false);
        std::mem::take(&mut self.groups)
    }

    /// Takes what it holds of some jobs, and keeps the rest for when that is due.
    pub fn take_of(&mut self, now: Millis, jobs: &BTreeSet<Jid>) -> Vec<ReturnGroup> {
        if self.groups.iter().all(|group| jobs.contains(&group.jid)) {
            return self.take(now);
        }
        let stays = |group: &ReturnGroup| !jobs.contains(&group.jid);
        let places: Vec<Option<usize>> = (self.groups.iter())
            .scan(0, |next, group| Some(stays(group).then(|| std::mem::replace(next, *next + 1))))
            .collect();
        self.index.retain(|_, at| {
            places[*at].is_some_and(|place| {
                *at = place;
                true
            })
        });
        let (kept, taken): (Vec<_>, Vec<_>) = std::mem::take(&mut self.groups).into_iter().partition(stays);
        self.groups = kept;
        let answers: u64 = taken.iter().map(|group| group.members.len()).sum();
        let bytes: usize = taken.iter().map(|group| group.answer.body.len()).sum();
        (self.answers, self.bytes) = (self.answers.saturating_sub(answers), self.bytes.saturating_sub(bytes));
        taken
    }

    /// What it holds so far.
    pub fn groups(&self) -> &[ReturnGroup] {
        &self.groups
    }

    /// Bytes of distinct bodies held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Outcome, Reason};
    use proptest::prelude::*;

    fn answer(body: &'static str) -> Arc<Answer> {
        Arc::new(Answer { body: body.into(), ..Answer::bare(Outcome::Ok, Reason::None) })
    }

    #[test]
    fn equal_answers_are_one_body() {
        let mut fold = Fold::new(FlushRule::default());
        for no in 0..5_000 {
            fold.add(0, Jid::from_micros(1), answer("true"), &Members::from_iter([no]));
        }
        assert_eq!(fold.bytes(), 4);
        let groups = fold.take(0);
        assert_eq!((groups.len(), groups[0].members.len()), (1, 5_000));
    }

    #[test]
    fn what_a_window_waits_for_goes_at_once_and_the_next_waits_for_company() {
        let mut fold = Fold::new(FlushRule { count: 3, bytes: 100, age: 25 });
        assert_eq!(fold.due(), None);
        fold.add(1_000, Jid::from_micros(1), answer("1"), &Members::from_iter([1]));
        fold.hurry();
        assert_eq!(fold.due(), Some(0));
        fold.take(1_000);
        fold.add(1_001, Jid::from_micros(1), answer("1"), &Members::from_iter([2]));
        assert_eq!(fold.due(), Some(1_101), "nothing waits for this one");
        fold.hurry();
        assert_eq!(fold.due(), Some(1_025));
        fold.add(1_002, Jid::from_micros(1), answer("1"), &Members::from_iter([3, 4]));
        assert_eq!(fold.due(), Some(0), "by count");
    }

    #[test]
    fn bytes_flush_too() {
        let mut fold = Fold::new(FlushRule { count: 1_000, bytes: 4, age: 25 });
        fold.take(1_000);
        fold.add(1_001, Jid::from_micros(1), answer("12345"), &Members::from_iter([1]));
        assert_eq!(fold.due(), Some(0));
    }

    #[test]
    fn a_job_is_taken_out_and_what_stays_is_folded_on() {
        let mut fold = Fold::new(FlushRule { count: 100, bytes: 100, age: 25 });
        for (jid, body, no) in [(1, "a", 1), (2, "bb", 1), (1, "ccc", 2), (3, "d", 1), (1, "a", 3)] {
            fold.add(1_000, Jid::from_micros(jid), answer(body), &Members::from_iter([no]));
        }
        let jobs = |jids: &[u64]| jids.iter().map(|jid| Jid::from_micros(*jid)).collect();
        let named = |groups: &[ReturnGroup]| -> Vec<(u64, u64)> {
            groups.iter().map(|g| (g.jid.micros(), g.members.len())).collect()
        };
        assert_eq!(named(&fold.take_of(1_001, &jobs(&[2, 3, 9]))), [(2, 1), (3, 1)]);
        assert_eq!((fold.bytes(), fold.due()), (4, Some(1_100)), "the rest waits on");
        fold.add(1_002, Jid::from_micros(1), answer("ccc"), &Members::from_iter([4]));
        fold.add(1_002, Jid::from_micros(2), answer("bb"), &Members::from_iter([5]));
        assert_eq!(named(fold.groups()), [(1, 2), (1, 2), (2, 1)]);
        assert_eq!(fold.take_of(1_003, &jobs(&[1, 2])).len(), 3);
        assert_eq!((fold.bytes(), fold.due()), (0, None));
    }

    proptest! {
        #[test]
        fn folding_loses_and_adds_nobody(rows in prop::collection::vec((0u64..3, 0usize..4, 0u32..50), 0..200)) {
            let bodies = ["", "a", "b", "c"];
            let mut fold = Fold::new(FlushRule::default());
            let mut naive = std::collections::BTreeSet::new();
            for (jid, body, no) in rows {
                fold.add(0, Jid::from_micros(jid), answer(bodies[body]), &Members::from_iter([no]));
                naive.insert((jid, bodies[body], no));
            }
            let groups = fold.take(0);
            let unfolded: Vec<_> = groups.iter().flat_map(|g| {
                g.members.iter().map(|no| (g.jid.micros(), std::str::from_utf8(&g.answer.body).unwrap(), no))
            }).collect();
            prop_assert_eq!(unfolded.len(), naive.len());
            for row in unfolded {
                prop_assert!(naive.contains(&row));
            }
        }
    }
}
