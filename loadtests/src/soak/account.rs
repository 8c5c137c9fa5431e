//! Everything that was seen of a run, held against the fabric's invariants.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use relay_core::{
    ids::{Jid, MinionId},
    invariants::{Observation, Trace, Verdict, Violation, at_rest},
    outcome::{Answer, Outcome, Reason},
    seat::JournalRecord,
};
use relay_proto::operator::Returns;

use super::work::Accepted;
use crate::{bed::Bed, scenario::Run};

/// How long late returns may take to arrive, once everything else is at rest.
const LATE_TIME: Duration = Duration::from_secs(60);
/// The pause between two looks at everything.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What came out.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Promises that were not kept.
    pub(super) broken: Vec<Violation>,
    /// Targets with an outcome, in the worst job.
    pub(super) least: u64,
    /// Targets without one, in all jobs.
    pub(super) unaccounted: u64,
    /// Targets with another outcome than `ok`.
    pub(super) not_ok: u64,
    /// Starts that journals still know of.
    pub(super) executions: u64,
    /// Targets by their last outcome, and its reason.
    pub(super) outcomes: BTreeMap<String, u64>,
}

/// Looks at everything, again while something is missing that may still come.
pub(super) async fn take(run: &Run, bed: &mut Bed, jobs: &[Accepted]) -> anyhow::Result<Account> {
    let begun = Instant::now();
    loop {
        let account = look(run, bed, jobs).await?;
        if account.broken.is_empty() || begun.elapsed() > LATE_TIME {
            return Ok(account);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn look(run: &Run, bed: &mut Bed, jobs: &[Accepted]) -> anyhow::Result<Account> {
    let names = (0..run.minions).map(|n| Ok(run.shape.name(n).parse()?));
    let targets = names.collect::<anyhow::Result<BTreeSet<MinionId>>>()?;
    let (mut trace, mut account) =
        (Trace::default(), Account { least: targets.len() as u64, ..Account::default() });
    let known: BTreeSet<Jid> = jobs.iter().map(|job| Jid::from_micros(job.jid)).collect();
    for job in jobs {
        let jid = Jid::from_micros(job.jid);
        trace.note(Observation::Shown { jid, targets: job.targets });
        trace.note(Observation::Recorded { jid, targets: targets.clone() });
        trace.note(Observation::Due(jid, 0));
        let told = bed.fabric.operator.history(job.jid).await?;
        // The stream has ended with the close.
        trace.note(Observation::Closed(jid, 0));
        account.job(&mut trace, jid, &targets, &told)?;
    }
    for (minion, record) in journaled(run, &bed.dir().join("journals"))? {
        match record {
            JournalRecord::Intent { jid, .. } if known.contains(&jid) => {
                account.executions += 1;
                trace.note(Observation::Started((jid, minion)));
            }
            JournalRecord::End { jid, answer } if known.contains(&jid) => {
                trace.note(Observation::Ended((jid, minion), Verdict::of(&answer)));
            }
            _ => {}
        }
    }
    account.broken = at_rest(&trace);
    Ok(account)
}

impl Account {
    fn job(
        &mut self,
        trace: &mut Trace,
        jid: Jid,
        targets: &BTreeSet<MinionId>,
        told: &[Returns],
    ) -> anyhow::Result<()> {
        let mut last: BTreeMap<MinionId, &Returns> = BTreeMap::new();
        for returns in told {
            let verdict = Verdict::of(&answer(returns)?);
            for id in &returns.minions {
                let minion: MinionId = id.parse().context("a minion's id")?;
                trace.note(Observation::Slot((jid, minion.clone()), verdict.clone()));
                last.insert(minion, returns);
            }
        }
        let accounted = last.keys().filter(|minion| targets.contains(minion)).count() as u64;
        self.least = self.least.min(accounted);
        self.unaccounted += targets.len() as u64 - accounted;
        for Returns { outcome, reason, .. } in last.into_values() {
            self.not_ok += u64::from(outcome != Outcome::Ok.word());
            *self.outcomes.entry(format!("{outcome} {reason}").trim().to_owned()).or_default() += 1;
        }
        Ok(())
    }
}

fn answer(returns: &Returns) -> anyhow::Result<Answer> {
    Ok(Answer {
        outcome: Outcome::from_word(&returns.outcome).context("an outcome that is none")?,
        reason: Reason::from_word(&returns.reason).context("a reason that is none")?,
        retcode: returns.retcode,
        body: returns.body.clone(),
        truncated: <[u8; 32]>::try_from(returns.truncated.as_slice()).ok(),
        by_tier: false,
    })
}

/// Every record that minions' journals hold, whose minions go on writing: copies are read, their torn ends are not looked at.
fn journaled(run: &Run, journals: &Path) -> anyhow::Result<Vec<(MinionId, JournalRecord)>> {
    let copy = run.directory()?;
    let mut all = Vec::new();
    for n in 0..run.minions {
        let name = run.shape.name(n);
        let minion: MinionId = name.parse()?;
        let file = journals.join(&name).join("journal");
        std::fs::copy(&file, copy.path().join("journal")).with_context(|| file.display().to_string())?;
        let found = minion::journal::open(copy.path())?;
        all.extend(found.records.into_iter().map(|record| (minion.clone(), record)));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn returns(outcome: &str, minions: &[&str]) -> Returns {
        let minions = minions.iter().map(|id| (*id).to_owned()).collect();
        Returns { outcome: outcome.into(), reason: "none".into(), minions, ..Returns::default() }
    }

    #[test]
    fn a_target_counts_once_by_its_last_outcome() {
        let targets: BTreeSet<MinionId> = ["a", "b", "c"].map(|id| id.parse().unwrap()).into();
        let reason = Reason::None.word();
        let told = [
            Returns { reason: reason.into(), ..returns("unknown", &["a", "b"]) },
            Returns { reason: reason.into(), ..returns("ok", &["b"]) },
        ];
        let (mut trace, mut account) = (Trace::default(), Account { least: 3, ..Account::default() });
        account.job(&mut trace, Jid::from_micros(7), &targets, &told).unwrap();
        assert_eq!((account.least, account.unaccounted, account.not_ok), (2, 1, 1));
        let one = |outcome: &str| (format!("{outcome} {reason}").trim().to_owned(), 1);
        assert_eq!(account.outcomes, BTreeMap::from([one("ok"), one("unknown")]));
        assert!(account.job(&mut trace, Jid::from_micros(8), &targets, &[returns("fine", &["a"])]).is_err());
    }
}
