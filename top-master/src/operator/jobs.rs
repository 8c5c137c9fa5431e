//! What operators ask about jobs and do to them: lists, figures, who is missing, cancel, approve, prune.

use std::collections::HashMap;

use relay_core::{
    access::{Caller, Verb},
    ids::Jid,
    outcome::Outcome,
    owner::{ApproveError, Approving, Held, Owner},
    target::Glob,
};
use relay_proto::{Code, operator as wire};
use relay_runtime::{
    clock::wall,
    store::{FunctionStats, JobFilter, JobState},
};
use tonic::Status;

use super::{Ask, OperatorService, Reply, Streamed, head, invalid, no_such_job, store_error};

/// Jobs in a list if the operator does not say.
const LIST: usize = 50;
/// Members in one message of a list.
const PER_PAGE: usize = 1_000;
/// Longest text of one field of a filter, in bytes: an expression.
const MAX_FILTER_BYTES: usize = 4 << 10;

impl OperatorService {
    pub(crate) async fn cancel_job(&self, jid: Jid) -> Result<wire::CancelReply, Status> {
        match self.ask(|tx| Ask::Cancel(jid, tx)).await? {
            Some(outstanding) => Ok(wire::CancelReply { outstanding }),
            None => Err(self.not_open(jid, "there is nothing to cancel").await),
        }
    }

    pub(super) async fn approve_job(&self, jid: Jid) -> Result<wire::ApproveReply, Status> {
        match self.ask(|tx| Ask::Approve(jid, tx)).await? {
            Ok(Approving { stage, stages, .. }) => Ok(wire::ApproveReply { stage, stages }),
            Err(ApproveError::NotOpen) => Err(self.not_open(jid, "there is nothing to approve").await),
            Err(ApproveError::NotWaiting) => {
                Err(invalid(format_args!("job {jid} does not wait for an approval now")))
            }
        }
    }

    /// Why a job is not open: it has ended, or there is none.
    async fn not_open(&self, jid: Jid, so: &str) -> Status {
        // Without changes and bodies: only whether it is there.
        match self.store.job(jid, u64::MAX).await {
            Ok(Some(_)) => Code::NoSuchJob.status(format!("job {jid} has ended already: {so}")),
            Ok(None) => no_such_job(jid),
            Err(error) => store_error(error),
        }
    }

    /// Who has no outcome yet, sorted by id.
    pub(super) async fn outstanding_of(&self, jid: Jid) -> Reply<Streamed<wire::OutstandingPage>> {
        let look = move |owner: &Owner| owner.head(jid).map(|_| outstanding(owner, jid));
        let mut minions = match self.look(look).await? {
            Some(minions) => minions,
            None if self.store.job(jid, u64::MAX).await.map_err(store_error)?.is_some() => Vec::new(),
            None => return Err(no_such_job(jid)),
        };
        minions.sort_by(|a, b| a.id.cmp(&b.id));
        self.streams.paged(minions, PER_PAGE, |minions| wire::OutstandingPage { minions })
    }

    pub(super) async fn job_list(
        &self,
        request: wire::ListJobsRequest,
    ) -> Result<wire::ListJobsReply, Status> {
        let wire::ListJobsRequest { limit, before, filter } = request;
        let limit = if limit == 0 { LIST } else { limit as usize };
        let before = (before != 0).then(|| Jid::from_micros(before));
        let filter = read_filter(filter.unwrap_or_default())?;
        let jobs = self.store.jobs(filter, limit, before).await.map_err(store_error)?;
        let open: Vec<Jid> = jobs.iter().filter(|job| job.closed.is_none()).map(|job| job.jid).collect();
        let mut states = match open.is_empty() {
            true => HashMap::new(),
            false => self.look(move |owner| states(owner, &open)).await?,
        };
        let jobs = jobs.into_iter().map(|job| {
            let state = states.remove(&job.jid);
            head::of_summary(job, state)
        });
        Ok(wire::ListJobsReply { jobs: jobs.collect() })
    }

    /// Who may not see all jobs sees his own.
    pub(super) async fn only_own(
        &self,
        caller: &Caller,
        request: wire::ListJobsRequest,
    ) -> Result<wire::ListJobsRequest, Status> {
        if self.access.may_all(caller, Verb::JobsList) {
            return Ok(request);
        }
        let mut filter = request.filter.clone().unwrap_or_default();
        let own = filter.caller.is_empty() || filter.caller == caller.name();
        self.access.may(caller, Verb::JobsList, own, &filter.caller).await?;
        filter.caller = caller.name().to_owned();
        Ok(wire::ListJobsRequest { filter: Some(filter), ..request })
    }

    pub(super) async fn stats(&self, filter: wire::JobFilter) -> Result<wire::JobStatsReply, Status> {
        let figures = self.store.stats(read_filter(filter)?).await.map_err(store_error)?;
        Ok(wire::JobStatsReply { functions: figures.into_iter().map(function_stats).collect() })
    }

    pub(super) async fn prune(
        &self,
        request: wire::PruneJobsRequest,
    ) -> Result<wire::PruneJobsReply, Status> {
        if request.before == 0 || request.before > wall() {
            return Err(invalid(
                "prune: name a moment that has passed; jobs that closed before it are forgotten",
            ));
        }
        let pruned = self.store.prune_before(request.before).await.map_err(store_error)?;
        tracing::info!(jobs = pruned.jobs, "pruned for an operator");
        Ok(wire::PruneJobsReply { jobs: pruned.jobs })
    }
}

type States = HashMap<Jid, relay_core::window::BatchState>;

fn states(owner: &Owner, jids: &[Jid]) -> States {
    jids.iter().filter_map(|jid| Some((*jid, owner.batch_state(*jid)?))).collect()
}

fn outstanding(owner: &Owner, jid: Jid) -> Vec<wire::Outstanding> {
    let minion = |held: Held, no: u32| {
        let minion = owner.inventory().get(no)?;
        Some(wire::Outstanding {
            id: minion.id.to_string(),
            region: minion.region.to_string(),
            syndic: minion.syndic.to_string(),
            held: held.word().into(),
            up: minion.up,
        })
    };
    let held = owner.held(jid).into_iter();
    held.flat_map(|(held, members)| members.into_iter().filter_map(move |no| minion(held, no))).collect()
}

fn function_stats(stats: FunctionStats) -> wire::FunctionStats {
    wire::FunctionStats {
        function: stats.function,
        jobs: stats.jobs,
        targets: stats.targets,
        outcomes: head::counts(stats.counts),
        median_ms: stats.median_ms,
        slowest_ms: stats.slowest_ms,
    }
}

fn read_filter(filter: wire::JobFilter) -> Result<JobFilter, Status> {
    let wire::JobFilter { state, function, target, caller, since, until } = filter;
    if let Some(long) = [&function, &target, &caller].into_iter().find(|text| text.len() > MAX_FILTER_BYTES) {
        return Err(invalid(format_args!(
            "filter: a text of {} bytes, at most {MAX_FILTER_BYTES}",
            long.len()
        )));
    }
    let text = |text: String| (!text.is_empty()).then_some(text);
    let moment = |moment: u64| (moment > 0).then_some(moment);
    Ok(JobFilter {
        state: read_state(&state)?,
        function: text(function).map(|glob| Glob::new(&glob)),
        target: text(target),
        caller: text(caller),
        since: moment(since),
        until: moment(until),
    })
}

fn read_state(word: &str) -> Result<Option<JobState>, Status> {
    Ok(match word {
        "" => None,
        "open" => Some(JobState::Open),
        "closed" => Some(JobState::Closed),
        // The state, not the outcome of that name, which every cancelled job has that had not started everywhere.
        "cancelled" => Some(JobState::Cancelled),
        word => match Outcome::from_word(word) {
            Some(outcome) => Some(JobState::Has(outcome)),
            None => {
                let outcomes: Vec<&str> = Outcome::ALL.iter().map(|outcome| outcome.word()).collect();
                let outcomes = outcomes.join(", ");
                return Err(invalid(format_args!(
                    "{word:?} is no state of a job: open, closed, cancelled, or an outcome ({outcomes})"
                )));
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_and_nonsense_is_refused() {
        let state = |word: &str| read_filter(wire::JobFilter { state: word.into(), ..Default::default() });
        assert_eq!(read_filter(wire::JobFilter::default()).unwrap(), JobFilter::default());
        assert_eq!(state("open").unwrap().state, Some(JobState::Open));
        assert_eq!(state("cancelled").unwrap().state, Some(JobState::Cancelled));
        assert_eq!(state("unknown").unwrap().state, Some(JobState::Has(Outcome::Unknown)));
        let told = state("opne").unwrap_err();
        assert!(
            told.message().contains("\"opne\" is no state of a job") && told.message().contains("timed_out")
        );
        let long = wire::JobFilter { target: "x".repeat(MAX_FILTER_BYTES + 1), ..Default::default() };
        assert!(read_filter(long).is_err());
    }
}
