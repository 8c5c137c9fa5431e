//! What a watcher knows of a job so far: enough for the progress of each region and the counts at the end.

use std::collections::BTreeMap;

use relay_core::{Members, ids::RegionName, members, outcome::Outcome, time::WallMicros, window::BatchState};
use relay_proto::operator::{self as wire, watch_event::Event};
use relay_runtime::store::JobView;

use super::Standing;
use crate::{directory::Directory, operator::head};

/// One watcher's picture of a job.
pub(super) struct Picture {
    regions: Vec<(RegionName, Members)>,
    /// Who has which outcome: each of those who have one in one of the sets.
    outcomes: BTreeMap<Outcome, Members>,
    done: Members,
    created: WallMicros,
    /// The rest of it, as the loop last told.
    pub(super) standing: Standing,
}

impl Picture {
    /// The job as a view has it.
    pub(super) fn new(directory: &Directory, view: &JobView, standing: Standing) -> Picture {
        let mut picture = Picture {
            regions: directory.by_region(&view.head.targets),
            outcomes: BTreeMap::new(),
            done: Members::new(),
            created: view.head.created,
            standing,
        };
        view.groups.iter().for_each(|group| picture.take(group.answer.outcome, &group.members));
        picture
    }

    /// Members got an outcome.
    pub(super) fn take(&mut self, outcome: Outcome, members: &Members) {
        let before = self.done.len();
        members::add(&mut self.done, members);
        // Who was `unknown` may have another one now.
        if self.done.len() < before + members.len() {
            self.outcomes.values_mut().for_each(|others| members::remove(others, members));
        }
        members::add(self.outcomes.entry(outcome).or_default(), members);
    }

    /// How the batch stands, as the loop last told. That the next stage may be approved is held back until all answers
    /// that it follows from have been taken: who is asked must see them.
    pub(super) fn batch(&self) -> Option<BatchState> {
        let whole = self.done.len() >= self.standing.answered;
        let batch = self.standing.batch?;
        Some(BatchState { awaits_approval: batch.awaits_approval && whole, ..batch })
    }

    /// Where the job stands.
    pub(super) fn progress(&self) -> Event {
        let running = &self.standing.running - &self.done;
        let ok = self.outcomes.get(&Outcome::Ok);
        let region = |(name, targets): &(RegionName, Members)| {
            let done = self.done.intersection_len(targets);
            let ok = ok.map_or(0, |ok| ok.intersection_len(targets));
            wire::RegionProgress {
                region: name.to_string(),
                targets: targets.len(),
                ok,
                failed: done - ok,
                running: running.intersection_len(targets),
                outstanding: targets.len() - done,
            }
        };
        let regions = self.regions.iter().map(region).collect();
        let batch = self.batch().unwrap_or_default();
        Event::Progress(wire::Progress {
            regions,
            window: batch.window.unwrap_or(0),
            failures: batch.failures,
            delivery_failures: batch.delivery_failures,
            stopped: head::stopped(&batch),
            stage: batch.stage,
            stages: batch.stages,
            awaits_approval: batch.awaits_approval,
        })
    }

    /// The end.
    pub(super) fn closed(&self, at: WallMicros) -> Event {
        let counts = self.outcomes.iter().map(|(outcome, members)| (*outcome, members.len()));
        let elapsed_ms = at.saturating_sub(self.created) / 1_000;
        Event::Closed(wire::Closed { elapsed_ms, outcomes: head::counts(counts) })
    }
}
