//! Schedules as operators put, see and pause them. When they run is [`crate::schedule`]'s.

use std::sync::Arc;

use prost::Message as _;
use relay_core::{
    access::{Caller, Decision, How, Verb},
    ids::{Jid, RequestId},
    schedule::{Draft, Rule},
    time::WallMicros,
};
use relay_proto::{Code, operator as wire};
use relay_runtime::{
    clock::wall,
    store::{MAX_SCHEDULES, NewSchedule, Put, ScheduleRun, StoredSchedule},
};
use tonic::Status;

use super::{
    OperatorService,
    gate::{Decided, nobody_to_ask},
    invalid, store_error,
    submit::submission,
};
use crate::access::{Arguments, Asking};

/// Who a scheduled job is from: the schedule, and whoever made it (or runs it now). No certificate names such a caller.
pub fn scheduled_by(name: &str, caller: &str) -> String {
    format!("schedule:{name} (by {caller})")
}

/// Who asks for a schedule's runs: whoever made it, as he was known then, with the rights that he has at the time of the run.
///
/// # Errors
/// It says nobody who could be a caller.
pub fn asking_of(schedule: &wire::Schedule) -> Result<Asking, Status> {
    let wire::Schedule { name, caller, caller_groups, caller_how, .. } = schedule;
    let damaged = |why: String| {
        Code::Denied.status(format!("schedule {name}: {why}; remove it and let somebody make it again"))
    };
    // Before it was written down, there were only certificates.
    let how = if caller_how.is_empty() { Some(How::Certificate) } else { How::from_word(caller_how) };
    let how = how.ok_or_else(|| damaged(format!("{caller_how:?} is no way of logging in")))?;
    let caller =
        Caller::new(caller, caller_groups.iter().cloned(), how).map_err(|e| damaged(e.to_string()))?;
    Ok(Asking { named: scheduled_by(name, caller.name()), caller: Arc::new(caller), waits: false })
}

/// A stored schedule's definition, with its rule.
///
/// # Errors
/// It is damaged, or a newer build has written it.
pub fn definition(stored: &StoredSchedule) -> Result<(wire::Schedule, Rule), Status> {
    let damaged = |why: &dyn std::fmt::Display| {
        let what =
            format!("the stored schedule {} can't be read: {why}; remove it and add it again", stored.name);
        Code::Store.status(what)
    };
    let schedule = wire::Schedule::decode(stored.definition.clone()).map_err(|error| damaged(&error))?;
    let rule = rule(&schedule, wall()).map_err(|error| damaged(&error))?;
    Ok((schedule, rule))
}

fn rule(schedule: &wire::Schedule, now: WallMicros) -> Result<Rule, relay_core::schedule::RuleError> {
    let draft = Draft {
        name: &schedule.name,
        cron: &schedule.cron,
        every: schedule.every_ms,
        splay: schedule.splay_ms,
        max_running: schedule.max_running,
        missed: &schedule.missed,
    };
    Rule::check(draft, now)
}

/// A schedule as operators see it.
fn shown(stored: &StoredSchedule) -> Result<wire::Schedule, Status> {
    let (schedule, rule) = definition(stored)?;
    let next = rule.next(stored.passed).filter(|_| !stored.paused);
    let last = stored.last.as_ref();
    Ok(wire::Schedule {
        paused: stored.paused,
        last: last.map_or(0, |run| run.at),
        // What is due waits for an earlier run, or for the next look.
        next: next.map_or(0, |next| next.max(wall())),
        last_jid: last.and_then(|run| run.jid).map_or(0, Jid::micros),
        last_error: last.and_then(|run| run.error.clone()).unwrap_or_default(),
        ..schedule
    })
}

fn not_found(name: &str) -> Status {
    Code::NotFound.status(format!("there is no schedule {name:?}: relayctl schedule list shows them"))
}

impl OperatorService {
    pub(crate) async fn keep_schedule(
        &self,
        caller: Arc<Caller>,
        request: wire::PutScheduleRequest,
    ) -> Result<wire::Schedule, Status> {
        let wire::PutScheduleRequest { schedule, replace } = request;
        let asked = schedule.ok_or_else(|| invalid("a schedule without a definition"))?;
        let (now, paused) = (wall(), asked.paused);
        let kept = self.checked(&caller, now, asked)?;
        self.refuse_hopeless(&kept).await?;
        self.refuse_taking(&caller, &kept.name, replace).await?;
        let new = NewSchedule {
            name: kept.name.clone(),
            definition: kept.encode_to_vec().into(),
            paused,
            passed: now,
            replace,
        };
        let name = &kept.name;
        match self.store.put_schedule(new).await.map_err(store_error)? {
            Put::Kept => {}
            Put::Taken => {
                return Err(invalid(format_args!(
                    "there is a schedule {name:?} already: replace it (--replace), or choose another name"
                )));
            }
            Put::Full => {
                let what = format!("{MAX_SCHEDULES} schedules are kept already: remove some");
                return Err(Code::Busy.status(what));
            }
        }
        self.schedules_changed.notify_one();
        shown(&self.stored(name).await?)
    }

    /// A job that is too wide without a batch, or that who makes the schedule may not run, would be refused at each of its times, when
    /// nobody looks. That nobody matches now is no error: who matches is found at each time anew.
    async fn refuse_hopeless(&self, kept: &wire::Schedule) -> Result<(), Status> {
        let job = kept.job.clone().unwrap_or_default();
        let defaults = self.defaults();
        let submission = submission(kept.caller.clone(), RequestId(0), job, &defaults)?;
        match self.decided(&asking_of(kept)?, &submission, &defaults).await {
            Ok(Decided { decision: Decision::NeedsApproval(_, why), active, .. }) => {
                Err(nobody_to_ask(&why.text(&active.shown)))
            }
            Err(refused)
                if matches!(Code::of(&refused), Some(Code::TooWide | Code::Denied | Code::Store)) =>
            {
                Err(refused)
            }
            _ => Ok(()),
        }
    }

    /// In the place of somebody else's schedule stands only what who may remove that one puts there.
    async fn refuse_taking(&self, caller: &Caller, name: &str, replace: bool) -> Result<(), Status> {
        match replace && self.schedules().await?.iter().any(|kept| kept.name == name) {
            true => self.may_with_schedule(caller, Verb::SchedulesRemove, name).await,
            false => Ok(()),
        }
    }

    /// What is kept of a schedule that is asked for: its rule and its job checked, nothing else in it.
    fn checked(
        &self,
        caller: &Caller,
        now: WallMicros,
        asked: wire::Schedule,
    ) -> Result<wire::Schedule, Status> {
        let rule = rule(&asked, now).map_err(invalid)?;
        let job =
            asked.job.ok_or_else(|| invalid("a schedule without a job: name a target and a function"))?;
        if !job.plan_id.is_empty() {
            return Err(invalid("a plan lives for a day: schedule a target and a function"));
        }
        let job = wire::SubmitRequest { request_id: Vec::new(), ..job };
        let named = scheduled_by(&asked.name, caller.name());
        let checked = submission(named, RequestId(0), job.clone(), &self.defaults())?;
        Arguments::read(&checked.args)?;
        Ok(wire::Schedule {
            name: asked.name,
            cron: asked.cron.trim().into(),
            every_ms: asked.every_ms,
            splay_ms: asked.splay_ms,
            max_running: rule.max_running(),
            missed: rule.missed().word().into(),
            job: Some(job),
            caller: caller.name().to_owned(),
            caller_groups: caller.groups().map(str::to_owned).collect(),
            caller_how: caller.how().word().to_owned(),
            made: now,
            ..wire::Schedule::default()
        })
    }

    pub(crate) async fn schedules(&self) -> Result<Vec<wire::Schedule>, Status> {
        let stored = self.store.schedules().await.map_err(store_error)?;
        stored.iter().map(shown).collect()
    }

    async fn stored(&self, name: &str) -> Result<StoredSchedule, Status> {
        let all = self.store.schedules().await.map_err(store_error)?;
        all.into_iter().find(|stored| stored.name == name).ok_or_else(|| not_found(name))
    }

    pub(crate) async fn forget_schedule(&self, name: &str) -> Result<wire::Schedule, Status> {
        let stored = self.stored(name).await?;
        if !self.store.remove_schedule(name).await.map_err(store_error)? {
            return Err(not_found(name));
        }
        self.schedules_changed.notify_one();
        // Also one that can't be read is removed.
        let unread = |_| wire::Schedule { name: name.into(), ..wire::Schedule::default() };
        Ok(wire::Schedule { next: 0, ..shown(&stored).unwrap_or_else(unread) })
    }

    pub(crate) async fn hold_schedule(&self, name: &str, paused: bool) -> Result<wire::Schedule, Status> {
        if !self.store.pause_schedule(name, paused, wall()).await.map_err(store_error)? {
            return Err(not_found(name));
        }
        self.schedules_changed.notify_one();
        shown(&self.stored(name).await?)
    }

    /// Runs a schedule's job now. Its times stay as they are; it counts among the runs that may be open.
    pub(crate) async fn run_now(
        &self,
        caller: Arc<Caller>,
        request: wire::RunScheduleRequest,
    ) -> Result<wire::Submitted, Status> {
        let wire::RunScheduleRequest { name, request_id } = request;
        let (schedule, _) = definition(&self.stored(&name).await?)?;
        let job = wire::SubmitRequest { request_id, ..schedule.job.unwrap_or_default() };
        let named = scheduled_by(&name, caller.name());
        let submitted = self.submit_as(Asking { caller, named, waits: false }, job).await?;
        let run = ScheduleRun { at: wall(), jid: Some(Jid::from_micros(submitted.jid)), error: None };
        self.store.schedule_ran(&name, run, 0).await.map_err(store_error)?;
        Ok(submitted)
    }
}
