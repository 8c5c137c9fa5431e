//! A fabric from a script, for the tests of commands that ask one.

use std::collections::VecDeque;

use relay_core::ids::Jid;
use relay_proto::operator::{
    ApplyTopologyRequest, Following, JobHead, Minion, Outstanding, TopologyProgress, TopologyRegion,
    TopologyRevision, TopologyStatusReply, topology_progress::Event,
};
use relay_runtime::config::parse_topology;

use super::api::{Progress, Topologies};
use crate::api::CallError;

/// A small topology: one top master, a region with as many syndics as asked for.
pub fn text(syndics: usize) -> String {
    let syndics: String =
        (1..=syndics).map(|i| format!("      - {{id: e{i}, address: \"e{i}:4510\"}}\n")).collect();
    format!(
        "# the fabric\nversion: 1\nfabric: acme.example\ntop_masters: [{{id: t, address: \"t:1\", region: core}}]\nregions:\n  \
         - name: east\n    provider: aws\n    syndics:\n{syndics}    minions: {{count: 100, patterns: [\"m-*\"]}}\n"
    )
}

/// A revision with such a text.
pub fn revision(number: u64, state: &str, text: &str) -> TopologyRevision {
    TopologyRevision {
        number,
        digest: parse_topology(text).map(|t| t.digest()).unwrap_or_default(),
        text: text.into(),
        caller: "alice".into(),
        applied: 1_795_246_616_000_000,
        state: state.into(),
        ..TopologyRevision::default()
    }
}

/// A step of an apply.
pub fn step(event: Event) -> Result<TopologyProgress, CallError> {
    Ok(TopologyProgress { event: Some(event) })
}

/// A region in the middle of one.
pub fn region(name: &str, up: u64, settled: bool) -> Result<TopologyProgress, CallError> {
    step(Event::Region(TopologyRegion { name: name.into(), before: 4, up, moving: 1, settled }))
}

pub fn lost() -> CallError {
    CallError::Lost("reset".into())
}

/// A fabric with these revisions, oldest first.
#[derive(Default)]
pub struct Fake {
    pub revisions: Vec<TopologyRevision>,
    pub minions: Vec<Minion>,
    pub jobs: Vec<(JobHead, Vec<Outstanding>)>,
    pub standing: TopologyStatusReply,
    /// What each apply is answered.
    pub applies: VecDeque<Result<Vec<Result<TopologyProgress, CallError>>, CallError>>,
    /// Revisions that are there after an apply, whatever was heard of it.
    pub then: Vec<TopologyRevision>,
    /// What was asked to be applied.
    pub asked: Vec<ApplyTopologyRequest>,
    /// How often the history was asked.
    pub pages: usize,
}

impl Fake {
    /// A fabric of so many minions with these revisions.
    pub fn of(revisions: Vec<TopologyRevision>, minions: usize) -> Fake {
        let minion =
            |n| Minion { id: format!("m-{n}"), region: "east".into(), up: true, ..Minion::default() };
        Fake { revisions, minions: (0..minions).map(minion).collect(), ..Fake::default() }
    }
    /// A job with targets that have no outcome.
    pub fn running(mut self, jid: u64, missing: &[&str]) -> Fake {
        let head = JobHead { jid, function: "cmd.run".into(), target: "*".into(), ..JobHead::default() };
        let missing = missing.iter().map(|id| Outstanding {
            id: (*id).into(),
            region: "east".into(),
            ..Outstanding::default()
        });
        self.jobs.push((head, missing.collect()));
        self
    }
}

/// The steps of one apply; without an end it stays silent.
pub struct Steps(VecDeque<Result<TopologyProgress, CallError>>);

impl Progress for Steps {
    async fn next(&mut self) -> Result<Option<TopologyProgress>, CallError> {
        match self.0.pop_front() {
            Some(step) => step.map(Some),
            None => std::future::pending().await,
        }
    }
}

impl Topologies for Fake {
    type Progress = Steps;

    async fn revision(&mut self, number: u64) -> Result<TopologyRevision, CallError> {
        let found = match number {
            0 => self.revisions.iter().find(|r| r.state == "active"),
            n => self.revisions.iter().find(|r| r.number == n),
        };
        Ok(found.cloned().unwrap_or_default())
    }
    async fn history(&mut self, limit: u32, before: u64) -> Result<Vec<TopologyRevision>, CallError> {
        self.pages += 1;
        let older = self.revisions.iter().rev().filter(|r| before == 0 || r.number < before);
        let without = |r: &TopologyRevision| TopologyRevision { text: String::new(), ..r.clone() };
        Ok(older.take(limit as usize).map(without).collect())
    }
    async fn standing(&mut self) -> Result<TopologyStatusReply, CallError> {
        Ok(self.standing.clone())
    }
    async fn apply(&mut self, request: ApplyTopologyRequest) -> Result<Steps, CallError> {
        self.asked.push(request);
        self.revisions.append(&mut self.then);
        let steps = self.applies.pop_front().expect("nothing was to be applied");
        steps.map(|steps| Steps(steps.into()))
    }
    async fn look(&mut self, _: bool) -> Result<Following, CallError> {
        Ok(self.standing.following.clone().unwrap_or_default())
    }
    async fn inventory(&mut self) -> Result<Vec<Minion>, CallError> {
        Ok(self.minions.clone())
    }
    async fn open_jobs(&mut self) -> Result<Vec<JobHead>, CallError> {
        Ok(self.jobs.iter().map(|(head, _)| head.clone()).collect())
    }
    async fn missing(&mut self, jid: Jid) -> Result<Vec<Outstanding>, CallError> {
        let job = self.jobs.iter().find(|(head, _)| head.jid == jid.micros());
        Ok(job.map(|(_, missing)| missing.clone()).unwrap_or_default())
    }
}
