//! Which faults come when, and doing them.

use std::{collections::VecDeque, fmt, time::Duration};

use super::Pace;
use crate::{fabric::Fabric, scenario::Run};

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// `kill -9` of a syndic, started again after a while.
    KillSyndic(usize),
    /// `kill -9` of the top master, started again after a while.
    KillTop,
    /// `SIGSTOP` of a syndic, `SIGCONT` after a while.
    StopSyndic(usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::KillSyndic(k) => write!(f, "kill -9 of syndic {k}"),
            Fault::KillTop => f.write_str("kill -9 of the top master"),
            Fault::StopSyndic(k) => write!(f, "SIGSTOP of syndic {k}"),
        }
    }
}

/// All faults of a run.
#[derive(Debug)]
pub(super) struct Faults {
    pace: Pace,
    to_come: VecDeque<(Duration, Fault)>,
    /// The one that is not undone yet, and until when.
    under_way: Option<(Duration, Fault)>,
    done: Vec<Fault>,
}

impl Faults {
    /// In the first half all kinds in turn, in the second only such as every process lives through.
    pub(super) fn plan(pace: Pace, syndics: usize) -> Faults {
        let longest = pace.away.max(pace.still);
        let mut to_come = VecDeque::new();
        let (mut at, mut n) = (pace.faults, 0);
        while at + longest < pace.length {
            let k = n / 3 % syndics.max(1);
            let kills = at + longest < pace.length / 2;
            let fault = match n % 3 {
                0 if kills => Fault::KillSyndic(k),
                1 if kills => Fault::KillTop,
                _ => Fault::StopSyndic(n % syndics.max(1)),
            };
            to_come.push_back((at, fault));
            (at, n) = (at + pace.faults, n + 1);
        }
        Faults { pace, to_come, under_way: None, done: Vec::new() }
    }

    /// Does what is due.
    pub(super) async fn step(&mut self, run: &Run, fabric: &mut Fabric, now: Duration) -> anyhow::Result<()> {
        if let Some((_, fault)) = self.under_way.take_if(|(until, _)| *until <= now) {
            repair(fabric, fault).await?;
        }
        if self.under_way.is_some() || self.to_come.front().is_none_or(|(at, _)| *at > now) {
            return Ok(());
        }
        let Some((_, fault)) = self.to_come.pop_front() else { return Ok(()) };
        run.tell(&format!("{:4} s: {fault}", now.as_secs()));
        let lasts = match fault {
            Fault::KillSyndic(k) => fabric.kill_syndic(k).map(|()| self.pace.away)?,
            Fault::KillTop => fabric.kill_top().map(|()| self.pace.away)?,
            Fault::StopSyndic(k) => fabric.freeze_syndic(k, true).map(|()| self.pace.still)?,
        };
        self.under_way = Some((now + lasts, fault));
        self.done.push(fault);
        Ok(())
    }

    /// Undoes the one that is under way.
    pub(super) async fn undo(&mut self, fabric: &mut Fabric) -> anyhow::Result<()> {
        match self.under_way.take() {
            Some((_, fault)) => repair(fabric, fault).await,
            None => Ok(()),
        }
    }

    /// How many have not come yet.
    pub(super) fn to_come(&self) -> usize {
        self.to_come.len()
    }

    /// How many there were.
    pub(super) fn done(&self) -> usize {
        self.done.len()
    }

    /// What there was, in words.
    pub(super) fn told(&self) -> String {
        let count = |kind: fn(&Fault) -> bool| self.done.iter().filter(|fault| kind(fault)).count();
        format!(
            "{} x kill -9 of a syndic, {} x kill -9 of the top master, {} x SIGSTOP of a syndic",
            count(|fault| matches!(fault, Fault::KillSyndic(_))),
            count(|fault| matches!(fault, Fault::KillTop)),
            count(|fault| matches!(fault, Fault::StopSyndic(_)))
        )
    }
}

async fn repair(fabric: &mut Fabric, fault: Fault) -> anyhow::Result<()> {
    match fault {
        Fault::KillSyndic(k) => fabric.start_syndic(k),
        Fault::KillTop => fabric.start_top().await,
        Fault::StopSyndic(k) => fabric.freeze_syndic(k, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(minutes: u64) -> Faults {
        let s = Duration::from_secs;
        let pace = Pace {
            length: s(60 * minutes),
            jobs: s(2),
            faults: s(60),
            away: s(3),
            still: s(30),
            looks: s(5),
        };
        Faults::plan(pace, 4)
    }

    #[test]
    fn kills_end_with_the_first_half_and_all_kinds_come() {
        let faults = planned(30);
        assert_eq!(faults.to_come(), 29);
        let half = Duration::from_secs(15 * 60);
        let (early, late): (Vec<_>, Vec<_>) = faults.to_come.iter().partition(|(at, _)| *at < half);
        assert!(late.iter().all(|(_, fault)| matches!(fault, Fault::StopSyndic(_))));
        assert!(early.iter().any(|(_, fault)| *fault == Fault::KillTop));
        assert!(early.iter().any(|(_, fault)| *fault == Fault::KillSyndic(1)));
    }

    #[test]
    fn none_is_still_under_way_at_the_end() {
        assert!(planned(1).to_come.is_empty());
        assert_eq!(planned(2).to_come(), 1);
    }
}
