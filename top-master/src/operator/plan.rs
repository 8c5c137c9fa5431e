//! Plans: what a job would do, written down so that exactly that can be run.
//!
//! A plan's id is a digest of all that it shows, so what an operator approved by its id is what runs: at the run the
//! targets are resolved again, and if they or the regions' batches are not the plan's any more it is refused.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use prost::Message as _;
use relay_core::{
    Members,
    access::Decision,
    batch::BatchRule,
    ids::{MinionId, RegionName, RequestId, TierId},
    owner::{Owner, Submission, SubmitError},
    time::{Millis, WallMicros},
    window::{PlannedStage, preview},
};
use relay_proto::{Code, operator as wire};
use relay_runtime::{
    clock::wall,
    store::{PlanId, Ran, StoredPlan},
};
use tonic::Status;

use super::{
    Asking, Defaults, OperatorService, invalid, store_error,
    submit::{digest, submission},
};

/// How long a plan can be run: what was looked at yesterday has to be looked at again.
const PLAN_LIFE: WallMicros = 24 * 60 * 60 * 1_000_000;
/// Jobs that an estimate is made from: enough that one odd run among them does not count.
const HISTORY: usize = 20;

/// What the loop knows of the targets of a plan.
struct Resolved {
    /// Sorted.
    ids: Vec<MinionId>,
    down: Vec<MinionId>,
    /// How many of them, and how many of these are up.
    syndics: BTreeMap<(RegionName, TierId), (u64, u64)>,
}

impl OperatorService {
    pub(super) async fn make_plan(
        &self,
        asking: Asking,
        request: wire::SubmitRequest,
    ) -> Result<wire::PlanReply, Status> {
        if !request.plan_id.is_empty() {
            return Err(invalid("a plan of a plan: name a target and a function to plan, or run the plan"));
        }
        let defaults = self.defaults();
        let submission = submission(asking.named.clone(), RequestId(0), request.clone(), &defaults)?;
        // What is decided about is what is kept: one look.
        let (decided, resolved) = self.decided_by(&asking, &submission, &defaults, resolve).await?;
        let needs_approval = match &decided.decision {
            Decision::NeedsApproval(_, why) => why.text(&decided.active.shown),
            _ => String::new(),
        };
        let rule = full_rule(&submission.batch, &defaults);
        let history = self.store.history(&request.function, HISTORY).await.map_err(store_error)?;
        let stages = preview(&rule, &by_region(&resolved));
        let (estimated_ms, estimated_from) = estimate(&history, &stages, &rule);
        // With the limits as they are now, so that a change of the defaults does not change the plan.
        let request = wire::SubmitRequest {
            request_id: Vec::new(),
            delivery_timeout_ms: submission.delivery_limit,
            run_timeout_ms: submission.run_limit,
            ..request
        };
        let created = wall();
        let plan = StoredPlan {
            id: plan_id(&request, &rule, resolved.ids.iter().map(MinionId::as_str)),
            created,
            expires: created + PLAN_LIFE,
            request: request.encode_to_vec().into(),
            targets: decided.targets,
        };
        let (plan_id, expires) = (plan.id.to_vec(), plan.expires);
        self.store.put_plan(plan).await.map_err(store_error)?;
        let names = |ids: &[MinionId]| ids.iter().map(MinionId::to_string).collect();
        Ok(wire::PlanReply {
            plan_id,
            targets: resolved.ids.len() as u64,
            syndics: syndics(&resolved),
            stages: stages.into_iter().map(stage).collect(),
            estimated_ms,
            estimated_from,
            down: names(&resolved.down),
            minions: names(&resolved.ids),
            function: request.function,
            args: request.args,
            target: request.target,
            expires,
            needs_approval,
        })
    }

    /// The request of a plan and its frozen targets.
    ///
    /// # Errors
    /// There is no such plan (any more), or the regions' batches have changed since.
    pub(super) async fn recall_plan(
        &self,
        id: &[u8],
        defaults: &Defaults,
    ) -> Result<(wire::SubmitRequest, Members), Status> {
        let id =
            PlanId::try_from(id).map_err(|_| invalid(format_args!("plan id: {} bytes, not 32", id.len())))?;
        let plan = self.store.plan(id).await.map_err(store_error)?.filter(|plan| plan.expires > wall());
        let gone =
            || Code::NotFound.status("there is no such plan (any more: they are kept for a day); plan again");
        let plan = plan.ok_or_else(gone)?;
        let damaged =
            |error: prost::DecodeError| Code::Store.status(format!("the stored plan is damaged: {error}"));
        let request = wire::SubmitRequest::decode(plan.request.clone()).map_err(damaged)?;
        let batch = request.batch.clone().map(relay_proto::batch::decode).transpose().map_err(invalid)?;
        let rule = full_rule(&batch.unwrap_or_default(), defaults);
        let mut ids = self.directory.ids(&plan.targets);
        ids.sort();
        if plan_id(&request, &rule, ids.iter().map(String::as_str)) != id {
            return Err(Code::PlanMoved
                .status("the plan has moved: what regions have for batches has changed; plan again"));
        }
        Ok((request, plan.targets))
    }
}

/// The rule with what the topology says of the regions, as the owner freezes it.
fn full_rule(rule: &BatchRule, defaults: &Defaults) -> BatchRule {
    BatchRule { regions: defaults.batches.regions.clone(), ..rule.clone() }
}

/// The targets as they are now. A preview is given of a job that is too wide, too: the guard stands at its run.
fn resolve(owner: &Owner, submission: &Submission) -> Result<(Members, Resolved), SubmitError> {
    let targets = match owner.resolve(submission) {
        Err(SubmitError::TooWide { targets, .. }) => {
            owner.resolve(&Submission { confirmed: Some(targets), ..submission.clone() })?
        }
        targets => targets?,
    };
    let mut resolved = Resolved { ids: Vec::new(), down: Vec::new(), syndics: BTreeMap::new() };
    for minion in targets.iter().filter_map(|no| owner.inventory().get(no)) {
        let place = (minion.region.clone(), minion.syndic.clone());
        let (targets, up) = resolved.syndics.entry(place).or_default();
        *targets += 1;
        resolved.ids.push(minion.id.clone());
        match minion.up {
            true => *up += 1,
            false => resolved.down.push(minion.id.clone()),
        }
    }
    resolved.ids.sort_unstable();
    resolved.down.sort_unstable();
    Ok((targets, resolved))
}

fn by_region(resolved: &Resolved) -> Vec<(RegionName, u64)> {
    let mut regions = BTreeMap::new();
    for ((region, _), (targets, _)) in &resolved.syndics {
        *regions.entry(region.clone()).or_default() += targets;
    }
    regions.into_iter().collect()
}

fn syndics(resolved: &Resolved) -> Vec<wire::PlanSyndic> {
    let syndic = |((region, syndic), (targets, up)): (&(RegionName, TierId), &(u64, u64))| wire::PlanSyndic {
        region: region.to_string(),
        syndic: syndic.to_string(),
        targets: *targets,
        up: *up,
        down: targets - up,
    };
    resolved.syndics.iter().map(syndic).collect()
}

fn stage(stage: PlannedStage) -> wire::PlanStage {
    wire::PlanStage { upto: stage.upto, at_once: stage.at_once, approve: stage.approve }
}

/// The digest that names a plan. `ids` sorted.
fn plan_id<'a>(
    request: &wire::SubmitRequest,
    rule: &BatchRule,
    ids: impl Iterator<Item = &'a str>,
) -> PlanId {
    let limits = [request.delivery_timeout_ms.to_be_bytes(), request.run_timeout_ms.to_be_bytes()].concat();
    let rule = relay_proto::batch::encode(rule).encode_to_vec();
    let subset = request.subset.unwrap_or_default().encode_to_vec();
    let parts: [&[u8]; 6] =
        [request.function.as_bytes(), &request.args, &limits, &rule, request.target.as_bytes(), &subset];
    let ids: Vec<&[u8]> = ids.map(str::as_bytes).collect();
    digest(parts.into_iter().chain(ids))
}

/// How many waves a job takes: in each stage, as often as its window has to be filled.
fn waves(stages: &[PlannedStage]) -> u64 {
    let mut before = 0;
    let of_stage = stages.iter().map(|stage| {
        let targets = stage.upto.saturating_sub(before);
        before = stage.upto;
        targets.div_ceil(stage.at_once.max(1))
    });
    of_stage.sum::<u64>().max(1)
}

/// How long a job takes that has these stages, and from how many earlier jobs that is known.
///
/// Of each earlier job: `wave = (duration - wait * (waves - 1)) / waves`, with its own waves and batch wait. Of these
/// the median (the lower of two), and then `median * waves + wait * (waves - 1)` with those of the job. Stages that wait
/// for an approval take as long as the operator takes, which is not in it.
fn estimate(history: &[Ran], stages: &[PlannedStage], rule: &BatchRule) -> (Millis, u32) {
    let mut each: Vec<Millis> = history.iter().map(wave).collect();
    each.sort_unstable();
    let Some(median) = each.get(each.len().saturating_sub(1) / 2) else { return (0, 0) };
    let waves = waves(stages);
    let estimated = median.saturating_mul(waves).saturating_add(rule.wait.saturating_mul(waves - 1));
    (estimated.max(1), each.len() as u32)
}

fn wave(ran: &Ran) -> Millis {
    let waves = waves(&preview(&ran.batch, &spread(ran)));
    ran.duration_ms.saturating_sub(ran.batch.wait.saturating_mul(waves - 1)) / waves
}

/// The targets of an earlier job by region. The history has their number alone, so they are spread evenly over the
/// regions that there were.
fn spread(ran: &Ran) -> Vec<(RegionName, u64)> {
    let regions = ran.batch.regions.len() as u64;
    let Some(each) = ran.targets.checked_div(regions) else {
        return "all".parse().map(|nameless| vec![(nameless, ran.targets)]).unwrap_or_default();
    };
    let share = |(no, name): (usize, &RegionName)| {
        (name.clone(), each + u64::from((no as u64) < ran.targets % regions))
    };
    ran.batch.regions.keys().enumerate().map(share).collect()
}
