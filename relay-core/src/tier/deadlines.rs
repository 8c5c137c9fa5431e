//! Until when each member of a job may still be delivered.

use crate::{Members, time::Millis};

/// Members by deadline. Deadlines that have passed are all alike, so they are kept as one.
#[derive(Debug, Clone, Default)]
pub struct Deadlines(Vec<(Millis, Members)>);

impl Deadlines {
    /// Sets the deadline of members, whatever they had before.
    pub fn set(&mut self, now: Millis, at: Millis, members: &Members) {
        self.0.iter_mut().for_each(|(_, others)| *others -= members);
        match self.0.iter_mut().find(|(deadline, _)| *deadline == at) {
            Some((_, others)) => *others |= members,
            None => self.0.push((at, members.clone())),
        }
        self.settle(now);
    }

    fn settle(&mut self, now: Millis) {
        let passed = self.passed(now);
        let last = self.0.iter().map(|(at, _)| *at).filter(|at| *at <= now).max();
        self.0.retain(|(at, members)| *at > now && !members.is_empty());
        self.0.extend(last.filter(|_| !passed.is_empty()).map(|at| (at, passed)));
    }

    /// A member's deadline; one that has none may not start any more.
    pub fn of(&self, member: u32) -> Millis {
        self.0.iter().find(|(_, members)| members.contains(member)).map_or(0, |(at, _)| *at)
    }

    /// Members by their deadlines; those that have none may not start any more.
    pub fn split(&self, members: &Members) -> Vec<(Millis, Members)> {
        let mut rest = members.clone();
        let mut split: Vec<(Millis, Members)> = Vec::new();
        for (at, others) in self.0.iter().filter(|(_, others)| !others.is_disjoint(members)) {
            rest -= others;
            split.push((*at, others & members));
        }
        split.extend((!rest.is_empty()).then_some((0, rest)));
        split
    }

    /// Those that have one, passed or not.
    pub fn known(&self) -> Members {
        self.0.iter().fold(Members::new(), |all, (_, members)| all | members)
    }

    /// Those whose deadline has passed.
    pub fn passed(&self, now: Millis) -> Members {
        let passed = self.0.iter().filter(|(at, _)| *at <= now);
        passed.fold(Members::new(), |all, (_, members)| all | members)
    }

    /// The first deadline of any of `members`.
    pub fn first_of(&self, members: &Members) -> Option<Millis> {
        self.0.iter().filter(|(_, others)| !others.is_disjoint(members)).map(|(at, _)| *at).min()
    }

    /// The last deadline of all.
    pub fn last(&self) -> Millis {
        self.0.iter().map(|(at, _)| *at).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(members: &[u32]) -> Members {
        members.iter().copied().collect()
    }

    #[test]
    fn a_later_deadline_of_some_leaves_the_others_theirs() {
        let mut deadlines = Deadlines::default();
        deadlines.set(0, 10, &set(&[1, 2, 3]));
        deadlines.set(5, 20, &set(&[2]));
        assert_eq!([1, 2, 3, 4].map(|m| deadlines.of(m)), [10, 20, 10, 0]);
        assert_eq!(deadlines.split(&set(&[1, 2, 4])), [(10, set(&[1])), (20, set(&[2])), (0, set(&[4]))]);
        assert_eq!(deadlines.passed(10), set(&[1, 3]));
        assert_eq!(deadlines.first_of(&set(&[2])), Some(20));
    }

    #[test]
    fn passed_ones_are_kept_as_one() {
        let mut deadlines = Deadlines::default();
        for at in 1..100 {
            deadlines.set(at, at, &set(&[at as u32]));
        }
        assert_eq!(deadlines.0.len(), 1);
        assert_eq!(deadlines.passed(99).len(), 99);
        assert_eq!(deadlines.known(), deadlines.passed(99));
    }
}
