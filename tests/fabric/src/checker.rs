//! What was observed, held against the promises: the same `relay_core::invariants` that the simulation uses.
//!
//! Starts come from the witness, ends from copies of the minions' journals, slots from watching, jobs from the top
//! master. An END that a living journal holds must become the owner's outcome (I3), so this waits for it.

use std::{collections::BTreeMap, fs, path::Path};

use relay_core::{
    ids::{Jid, MinionId},
    invariants::{Observation, Trace, Verdict, Violation, at_rest},
    seat::JournalRecord,
};
use relay_proto::records;
use relay_runtime::record_log::{Kind, Limits, Opened, RecordLog};

use crate::{Fabric, Job, wait};

/// How often a journal is copied until the copy is whole.
const COPIES: usize = 8;
/// Any journal of a test is far smaller.
const LIMITS: Limits = Limits { max_record_bytes: 4 << 20, max_file_bytes: 1 << 30 };

impl Fabric {
    /// Waits until every job is closed and everything that happened agrees with every promise.
    ///
    /// # Panics
    /// It does not come to that: with the promises that were broken.
    pub async fn check(&self, jobs: &mut [&mut Job]) {
        let begun = std::time::Instant::now();
        loop {
            for job in jobs.iter_mut() {
                job.look_anew();
                job.closed(self).await;
            }
            let violations = self.violations(jobs).await;
            if violations.is_empty() {
                for job in jobs.iter() {
                    job.check_replay(self).await;
                }
                return;
            }
            assert!(begun.elapsed() < wait::PATIENCE / 2, "promises broken: {violations:#?}");
            tokio::time::sleep(4 * wait::LOOK_EVERY).await;
        }
    }

    /// The promises that are broken by what was seen so far.
    ///
    /// # Panics
    /// The top master does not answer.
    pub async fn violations(&self, jobs: &[&mut Job]) -> Vec<Violation> {
        let mut trace = Trace::default();
        for job in jobs {
            let (jid, targets) = (job.jid(), job.targets().clone());
            trace.note(Observation::Shown { jid, targets: targets.len() as u64 });
            trace.note(Observation::Recorded { jid, targets });
        }
        let listed = self.operator().jobs().await.expect("a list of jobs");
        // Starts of other jobs are those jobs' own matter, if the top master knows them.
        let other = |jid: Jid| {
            listed.iter().any(|head| head.jid == jid.micros()) && jobs.iter().all(|job| job.jid() != jid)
        };
        for start in self.witness().starts().into_iter().filter(|start| !other(start.jid)) {
            trace.note(Observation::Started((start.jid, start.minion)));
        }
        for (minion, jid, verdict) in self.journaled() {
            if jobs.iter().any(|job| job.jid() == jid) {
                trace.note(Observation::Ended((jid, minion), verdict));
            }
        }
        for job in jobs {
            for (minion, history) in job.verdicts() {
                for verdict in history {
                    trace.note(Observation::Slot((job.jid(), minion.clone()), verdict));
                }
            }
        }
        let known = |job: &&mut Job| {
            let head = listed.iter().find(|head| head.jid == job.jid().micros())?;
            (head.targets == job.targets().len() as u64).then(|| (job.jid(), job.targets().clone()))
        };
        trace.note(Observation::Looked { jobs: jobs.iter().filter_map(known).collect::<BTreeMap<_, _>>() });
        at_rest(&trace)
    }

    /// Every END in every minion's journal.
    fn journaled(&self) -> Vec<(MinionId, Jid, Verdict)> {
        let mut ends = Vec::new();
        for (process, ids) in self.minion_processes() {
            for id in ids {
                let journal = self.dir().join(process).join("state").join(id).join("journal");
                let found = read_copy(&journal).into_iter().filter_map(|record| match record {
                    JournalRecord::End { jid, answer } => Some((jid, Verdict::of(&answer))),
                    _ => None,
                });
                let id: MinionId = id.parse().expect("a minion's id");
                ends.extend(found.map(|(jid, verdict)| (id.clone(), jid, verdict)));
            }
        }
        ends
    }
}

/// The records of a journal that its minion may be writing at this moment: its torn end is not looked at.
fn read_copy(journal: &Path) -> Vec<JournalRecord> {
    (0..COPIES).find_map(|_| try_copy(journal)).expect("a copy of a journal that is whole")
}

/// Nothing if it was written over while it was copied, so that a later commit is in the copy and an earlier one is not.
fn try_copy(journal: &Path) -> Option<Vec<JournalRecord>> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let copy = dir.path().join("journal");
    if fs::copy(journal, &copy).is_err() {
        return Some(Vec::new());
    }
    let Opened { records, reset, .. } =
        RecordLog::open(&copy, Kind::Journal, 0, LIMITS).expect("a copy that can be opened");
    reset.is_none().then(|| records.into_iter().filter_map(|bytes| records::journal_in(bytes).ok()).collect())
}
