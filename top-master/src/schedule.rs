//! Runs schedules at their times.
//!
//! Which time is due is `relay_core::schedule`'s, and keeping them the store's. A run is submitted under a request id
//! that is computed from schedule and time, and only then noted: whoever dies in between submits the same again and gets
//! the job that stands, so each time runs once.

use std::{collections::HashMap, time::Duration};

use relay_core::{
    ids::Jid,
    owner::Owner,
    schedule::{Due, Rule, request_id},
    time::WallMicros,
};
use relay_proto::{Code, operator as wire};
use relay_runtime::{
    clock::wall,
    store::{NewSchedule, ScheduleRun, StoreError, StoredSchedule},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::{info, warn};

use crate::operator::{OperatorService, asking_of, definition, store_error};

/// The clock is looked at this often: it may jump, and the finest interval is a second.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pause after the store could not be read or written.
const RETRY: Duration = Duration::from_secs(5);

/// One schedule in memory.
struct Entry {
    stored: StoredSchedule,
    schedule: wire::Schedule,
    rule: Rule,
    /// Nothing is due before.
    until: WallMicros,
}

/// All schedules as they were last read.
struct Scheduler {
    service: OperatorService,
    entries: Vec<Entry>,
    looked: WallMicros,
}

/// Runs schedules until stopped.
pub async fn run(service: OperatorService, token: CancellationToken) {
    let changed = service.schedules_changed.clone();
    let mut scheduler = Scheduler { service, entries: Vec::new(), looked: 0 };
    let mut stale = true;
    loop {
        let pause = match scheduler.pass(stale, wall()).await {
            Ok(()) => LOOK_EVERY,
            Err(error) => {
                warn!(error = error.message(), "schedules wait; trying on");
                RETRY
            }
        };
        stale = pause == RETRY;
        tokio::select! {
            () = token.cancelled() => return,
            () = changed.notified() => stale = true,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Scheduler {
    async fn pass(&mut self, stale: bool, now: WallMicros) -> Result<(), Status> {
        if stale {
            // What was changed until here is read now.
            self.changed();
            self.read().await?;
        }
        if now < self.looked {
            // The clock was put back: what was far off may be near.
            self.entries.iter_mut().for_each(|entry| entry.until = 0);
        }
        self.looked = now;
        if !self.entries.iter().any(|entry| entry.until <= now) {
            return Ok(());
        }
        let running = self.service.look(running).await?;
        let mut moved = false;
        for no in 0..self.entries.len() {
            if self.changed() {
                // What is paused, removed or replaced runs no more from the moment its operator hears so: all are read again.
                self.service.schedules_changed.notify_one();
                break;
            }
            let Some(entry) = self.entries.get_mut(no).filter(|entry| entry.until <= now) else { continue };
            let open = running.get(&entry.stored.name).copied().unwrap_or(0);
            moved |= entry.look(&self.service, now, open).await?;
        }
        if moved { self.read().await } else { Ok(()) }
    }

    /// Whether an operator changed something since this was last asked.
    fn changed(&self) -> bool {
        std::pin::pin!(self.service.schedules_changed.notified()).enable()
    }

    async fn read(&mut self) -> Result<(), Status> {
        let stored = self.service.store.schedules().await.map_err(store_error)?;
        self.entries.clear();
        for stored in stored.into_iter().filter(|stored| !stored.paused) {
            match definition(&stored) {
                Ok((schedule, rule)) => self.entries.push(Entry { stored, schedule, rule, until: 0 }),
                Err(error) => warn!(error = error.message(), "a schedule does not run"),
            }
        }
        Ok(())
    }
}

impl Entry {
    /// Does what is due. True: the store has something new of it.
    async fn look(&mut self, service: &OperatorService, now: WallMicros, open: u32) -> Result<bool, Status> {
        let name = &self.stored.name;
        match self.rule.due(now, self.stored.passed, open) {
            Due::Wait(until) => {
                self.until = until.unwrap_or(WallMicros::MAX);
                return Ok(false);
            }
            Due::Run(nominal) => {
                let Some(run) = self.submit(service, now, nominal).await else { return Ok(false) };
                self.note(service, run, nominal).await?;
            }
            Due::Missed(nominal, why) => {
                info!(schedule = %name, %why, "a time was missed");
                let run = ScheduleRun { at: now, jid: None, error: Some(why.to_string()) };
                self.note(service, run, nominal).await?;
            }
            Due::Settle(passed) => {
                warn!(schedule = %name, "the clock was put back: times count from now on");
                let StoredSchedule { name, definition, paused, .. } = self.stored.clone();
                let again = NewSchedule { name, definition, paused, passed, replace: true };
                service.store.put_schedule(again).await.map_err(store_error)?;
            }
        }
        Ok(true)
    }

    /// Submits the run of one time; `None`: it is tried again at the next look, for what keeps it passes.
    async fn submit(
        &self,
        service: &OperatorService,
        now: WallMicros,
        nominal: WallMicros,
    ) -> Option<ScheduleRun> {
        let wire::Schedule { name, made, job, .. } = &self.schedule;
        let id = request_id(name, *made, nominal);
        let job = wire::SubmitRequest {
            request_id: id.0.to_be_bytes().to_vec(),
            ..job.clone().unwrap_or_default()
        };
        let run = async { service.submit_as(asking_of(&self.schedule)?, job).await };
        match run.await {
            Ok(submitted) => {
                let jid = Jid::from_micros(submitted.jid);
                info!(schedule = %name, %jid, targets = submitted.targets, known = submitted.known, "runs");
                Some(ScheduleRun { at: now, jid: Some(jid), error: None })
            }
            Err(error) if matches!(Code::of(&error), Some(Code::Store | Code::Busy | Code::Registry)) => {
                warn!(schedule = %name, error = error.message(), "can't run now; trying on");
                None
            }
            Err(error) => {
                warn!(schedule = %name, error = error.message(), "brings no job");
                Some(ScheduleRun { at: now, jid: None, error: Some(error.message().into()) })
            }
        }
    }

    async fn note(
        &self,
        service: &OperatorService,
        run: ScheduleRun,
        passed: WallMicros,
    ) -> Result<(), Status> {
        let noted = service.store.schedule_ran(&self.stored.name, run, passed).await;
        noted.map(|_| ()).map_err(|error: StoreError| store_error(error))
    }
}

/// How many jobs of each schedule are open.
fn running(owner: &Owner) -> HashMap<String, u32> {
    let mut running = HashMap::new();
    for head in owner.open_jobs().filter_map(|jid| owner.head(jid)) {
        let name = head.spec.caller.strip_prefix("schedule:").and_then(|rest| rest.split_once(" (by "));
        if let Some((name, _)) = name {
            *running.entry(name.to_owned()).or_default() += 1;
        }
    }
    running
}

#[cfg(test)]
mod tests;
